#include "guest_recover.h"

#include "rtvs/vring.h"

#include <stdlib.h>
#include <string.h>

static void
mark_used(struct vring_packed_entry *ring, uint16_t n, const struct vring_position *pos)
{
	for (uint16_t i = 0; i < pos->n_unfinished; i++) {
		uint16_t at = (uint16_t)((pos->first_unfinished + i) % n);
		bool wrap = pos->first_unfinished + i < n ? pos->first_wrap : !pos->first_wrap;
		uint16_t flags = wrap ? VRING_DESC_F_AVAIL | VRING_DESC_F_USED : 0;

		if (!!(ring[at].flags & VRING_DESC_F_AVAIL) != !!(ring[at].flags & VRING_DESC_F_USED))
			__atomic_store_n(&ring[at].flags, flags, __ATOMIC_RELEASE);
	}
}

bool
guest_recover(struct guest_ring_cfg *cfg)
{
	struct vring_packed_entry *copy;
	struct vring_position pos;
	bool is_moved = false;

	if (!cfg->is_packed || !cfg->has_indirect)
		return false;
	copy = malloc(cfg->size * sizeof(*copy));
	if (!copy)
		return false;
	memcpy(copy, cfg->desc, cfg->size * sizeof(*copy));
	if (!vring_packed_recover(copy, cfg->size, &pos)) {
		mark_used(cfg->desc, cfg->size, &pos);
		is_moved = pos.n_unfinished || pos.index != cfg->pos.avail || pos.wrap != cfg->pos.avail_wrap ||
			pos.index != cfg->pos.used || pos.wrap != cfg->pos.used_wrap;
		cfg->pos = (struct guest_ring_pos){
			.avail = pos.index, .used = pos.index, .avail_wrap = pos.wrap, .used_wrap = pos.wrap};
	}
	free(copy);
	return is_moved;
}
