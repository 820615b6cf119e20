// Nothing here trusts a number that came through memory which another program can write: an index
// or an address that cannot be changes nothing, and is told.
// Invariant: free[0] to free[n_free - 1] are different frames, those that is_free marks.
#include "xdp_frames.h"

#define FIRST ((uint64_t)XDP_RX_FRAMES * XDP_FRAME_SIZE) // for transmission

void
xdp_frames_init(struct xdp_frames *f)
{
	for (uint32_t i = 0; i < XDP_TX_FRAMES; i++) {
		f->free[i] = XDP_TX_FRAMES - 1 - i;
		f->is_free[i] = 1;
	}
	f->n_free = XDP_TX_FRAMES;
}

bool
xdp_frames_take(struct xdp_frames *f, uint64_t *ret_addr)
{
	uint32_t i;

	if (!f->n_free || f->n_free > XDP_TX_FRAMES)
		return false;
	i = f->free[f->n_free - 1];
	if (i >= XDP_TX_FRAMES || !f->is_free[i])
		return false;
	f->is_free[i] = 0;
	f->n_free--;
	*ret_addr = FIRST + (uint64_t)i * XDP_FRAME_SIZE;
	return true;
}

bool
xdp_frames_give(struct xdp_frames *f, uint64_t addr)
{
	uint64_t i = (addr - FIRST) / XDP_FRAME_SIZE;

	if (addr < FIRST || addr % XDP_FRAME_SIZE || i >= XDP_TX_FRAMES || f->is_free[i] || f->n_free >= XDP_TX_FRAMES)
		return false;
	f->is_free[i] = 1;
	f->free[f->n_free++] = (uint32_t)i;
	return true;
}

bool
xdp_frames_is_consistent(const struct xdp_frames *f)
{
	bool is_seen[XDP_TX_FRAMES] = {0};
	uint32_t n_marked = 0;

	if (f->n_free > XDP_TX_FRAMES)
		return false;
	for (uint32_t i = 0; i < f->n_free; i++) {
		if (f->free[i] >= XDP_TX_FRAMES || is_seen[f->free[i]] || !f->is_free[f->free[i]])
			return false;
		is_seen[f->free[i]] = true;
	}
	for (uint32_t i = 0; i < XDP_TX_FRAMES; i++)
		n_marked += f->is_free[i] != 0;
	return n_marked == f->n_free;
}

bool
xdp_frames_is_received(uint64_t addr, uint32_t len)
{
	return addr < FIRST && len <= XDP_FRAME_SIZE && addr % XDP_FRAME_SIZE + len <= XDP_FRAME_SIZE;
}
