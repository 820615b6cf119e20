// Rings as a crash of ours left them. A split ring's position is in guest memory; a packed ring's is not.
#include "vhost_ring.h"

#include "rtvs/log.h"
#include "rtvs/vring.h"

#include <rte_vhost.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
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
vhost_ring_recover(int vid, uint16_t queue, const char *port)
{
	struct rte_vhost_vring ring;
	struct vring_packed_entry *copy;
	struct vring_position pos;
	uint64_t features = 0;
	uint16_t avail, used, base;
	bool is_moved = false;

	if (rte_vhost_get_negotiated_features(vid, &features) || !(features & (1ULL << VIRTIO_F_RING_PACKED)) ||
		!(features & (1ULL << VIRTIO_RING_F_INDIRECT_DESC)) || rte_vhost_get_vhost_vring(vid, queue, &ring) ||
		!ring.desc_packed || !ring.size || rte_vhost_get_vring_base(vid, queue, &avail, &used))
		return false;
	copy = malloc(ring.size * sizeof(*copy));
	if (!copy)
		return false;
	memcpy(copy, ring.desc_packed, ring.size * sizeof(*copy));
	if (!vring_packed_recover(copy, ring.size, &pos)) {
		base = (uint16_t)(pos.index | (pos.wrap ? 1 << 15 : 0));
		mark_used((struct vring_packed_entry *)ring.desc_packed, ring.size, &pos);
		is_moved = base != avail || base != used || pos.n_unfinished;
	}
	free(copy);
	if (is_moved) {
		(void)rte_vhost_set_vring_base(vid, queue, base, base);
		log_info("port %s: packed ring %u goes on at %u, wrap %u (front-end said %u, wrap %u)", port, queue,
			pos.index, pos.wrap, avail & 0x7fff, avail >> 15);
	}
	return is_moved;
}
