// Memory that hosts do not see alike: see noncoherent.h.
#include "noncoherent.h"

#include <errno.h>

size_t
noncoherent_ring_bytes(const struct segment_geometry *g)
{
	(void)g;
	return 0;
}

size_t
noncoherent_own_bytes(const struct segment_geometry *g)
{
	(void)g;
	return 0;
}

int
noncoherent_join(struct segment *seg, unsigned number, const struct segment_identity *identity)
{
	(void)seg;
	(void)number;
	(void)identity;
	return -ENOTSUP;
}

void
noncoherent_leave(struct segment *seg)
{
	(void)seg;
}

bool
noncoherent_expel(struct segment *seg, unsigned number)
{
	(void)seg;
	(void)number;
	return false;
}

bool
noncoherent_is_expelled(const struct segment *seg)
{
	(void)seg;
	return false;
}

void
noncoherent_look(const struct segment *seg, unsigned number)
{
	(void)seg;
	(void)number;
}

uint32_t
noncoherent_depth(const struct segment *seg, unsigned number)
{
	(void)seg;
	(void)number;
	return 0;
}

unsigned
noncoherent_tend(struct segment *seg, segment_lock_fn has_lock, void *ctx, uint64_t now_ns)
{
	(void)seg;
	(void)has_lock;
	(void)ctx;
	(void)now_ns;
	return 0;
}

int
noncoherent_reserve(struct segment *seg, uint32_t len, struct segment_frame *ret_frame)
{
	(void)seg;
	(void)len;
	(void)ret_frame;
	return -ENOTSUP;
}

void
noncoherent_unreserve(struct segment *seg, const struct segment_frame *frame)
{
	(void)seg;
	(void)frame;
}

unsigned
noncoherent_send(struct segment *seg, struct segment_frame *frames, unsigned n, uint64_t *ret_wake)
{
	(void)seg;
	(void)frames;
	(void)n;
	(void)ret_wake;
	return 0;
}

unsigned
noncoherent_receive(struct segment *seg, struct segment_frame *ret_frames, unsigned n)
{
	(void)seg;
	(void)ret_frames;
	(void)n;
	return 0;
}

void
noncoherent_release(struct segment *seg, const struct segment_frame *frames, unsigned n)
{
	(void)seg;
	(void)frames;
	(void)n;
}

bool
noncoherent_sleep(struct segment *seg)
{
	(void)seg;
	return false;
}

void
noncoherent_look_pool(const struct segment *seg, struct segment_pool_info *ret_info)
{
	(void)seg;
	(void)ret_info;
}
