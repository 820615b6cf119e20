// Rings after a crash of the daemon: a split ring's position is in guest memory, a packed ring's is
// not. Also the guest's progress: librte_vhost may unmap its memory at any time, so the kernel
// reads it for us (process_vm_readv), which fails then.
#include "vhost_ring.h"

#include "rtvs/log.h"
#include "rtvs/vring.h"

#include <rte_vhost.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

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
		log_about(LOG_LEVEL_INFO, LOG_ABOUT(NULL, {"PORT", port}),
			"port %s: packed ring %u goes on at %u, wrap %u (front-end said %u, wrap %u)", port, queue,
			pos.index, pos.wrap, avail & 0x7fff, avail >> 15);
	}
	return is_moved;
}

static bool
read_guest(const struct iovec *to, const struct iovec *from)
{
	return process_vm_readv(getpid(), to, 1, from, 1, 0) == (ssize_t)to->iov_len;
}

// Of a packed ring an index counts two rounds: in the first its wrap counter is 1.
static uint16_t
packed_index(uint16_t off_wrap, uint16_t size)
{
	return (uint16_t)((off_wrap & 0x7fff) + (off_wrap >> 15 ? 0 : size));
}

// The most that librte_vhost (24.11) uses for one packet: of mergeable buffers all of the ring but
// one, and 256 pieces.
#define PIECES_MAX 256

bool
vhost_ring_offers(int vid, uint16_t queue, uint64_t features)
{
	bool is_packed = features >> VIRTIO_F_RING_PACKED & 1, wrap;
	struct rte_vhost_vring ring;
	uint16_t avail, used, seen, last;
	struct iovec to = {.iov_base = &seen, .iov_len = sizeof(seen)}, from = {.iov_len = sizeof(seen)};

	if (rte_vhost_get_vhost_vring(vid, queue, &ring) || !ring.avail || ring.size < 2 ||
		rte_vhost_get_vring_base(vid, queue, &avail, &used))
		return false;
	last = features >> VIRTIO_NET_F_MRG_RXBUF & 1 ? (uint16_t)(RTE_MIN(ring.size - 1, PIECES_MAX) - 1) : 0;
	if (!is_packed) {
		from.iov_base = &ring.avail->idx;
		return read_guest(&to, &from) && (uint16_t)(seen - avail) > last;
	}
	// Descriptors are offered in order: the last of them tells.
	wrap = avail >> 15;
	avail = (uint16_t)((avail & 0x7fff) + last);
	if (avail >= ring.size) {
		avail = (uint16_t)(avail - ring.size);
		wrap = !wrap;
	}
	from.iov_base = &ring.desc_packed[avail % ring.size].flags;
	return read_guest(&to, &from) && !!(seen & VRING_DESC_F_AVAIL) == wrap && !!(seen & VRING_DESC_F_USED) != wrap;
}

bool
vhost_ring_look(int vid, uint16_t queue, uint64_t features, struct chain_ring *ret_ring)
{
	bool is_packed = features >> VIRTIO_F_RING_PACKED & 1;
	uint16_t wanted[2] = {0}, avail, used; // off_wrap, flags
	struct iovec to = {.iov_base = wanted, .iov_len = is_packed ? 4 : 2};
	struct iovec from = {.iov_len = to.iov_len};
	struct rte_vhost_vring ring;

	if (!(features >> VIRTIO_RING_F_EVENT_IDX & 1) || rte_vhost_get_vhost_vring(vid, queue, &ring) || !ring.avail ||
		!ring.size || rte_vhost_get_vring_base(vid, queue, &avail, &used))
		return false;
	from.iov_base = is_packed ? (void *)ring.driver_event :
				    // used_event, Virtio 1.2, 2.7.6
				    (void *)&ring.avail->ring[ring.size];
	if (!read_guest(&to, &from))
		return false;
	*ret_ring = (struct chain_ring){.cycle = 1 << 16, .put = used, .wanted = wanted[0]};
	if (!is_packed)
		return true;
	if (wanted[1] == VRING_PACKED_EVENT_FLAG_ENABLE)
		return false;
	ret_ring->cycle = 2u * ring.size;
	ret_ring->put = packed_index(used, ring.size);
	ret_ring->wanted = packed_index(wanted[0], ring.size);
	ret_ring->is_polling = wanted[1] == VRING_PACKED_EVENT_FLAG_DISABLE;
	return ret_ring->put < ret_ring->cycle && ret_ring->wanted < ret_ring->cycle;
}
