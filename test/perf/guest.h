// A guest of the benches: a vhost-user front-end that drives its own split rings. It costs the
// generator little, having neither packet buffers nor a driver: frames lie in its memory before
// they are sent, and a receive buffer returns to the device with the frame still in it. One thread
// uses a guest. Sources: QEMU's vhost-user protocol; virtio 1.2, section 2.7.
#pragma once

#include <rte_atomic.h>

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define GUEST_MAX_QUEUES 8
#define GUEST_RING 256 // entries of a ring, as QEMU's devices have them
#define GUEST_HEADER 12 // bytes of struct virtio_net_hdr_v1, ahead of each frame
#define GUEST_FRAME_MAX 1780 // bytes: an MTU of 1700, a VLAN tag, and the Ethernet header
// From buffer to buffer, bytes: an odd number of cache lines uses all sets of a cache.
#define GUEST_STRIDE 1856
#define GUEST_ERR_SIZE 256

struct guest_ring {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t posted; // descriptors given to the device so far, published by guest_ring_publish
	uint16_t taken; // used descriptors that came back so far
	uint16_t seen; // the device's used index when it was last read
	uint16_t n_fresh; // descriptors that the device never had; of a receive ring 0
	int kick_fd;
	uint64_t n_kicks; // that the device asked for
};

struct guest_cfg {
	unsigned n_queues; // pairs, 1 to GUEST_MAX_QUEUES
	unsigned n_frames; // to send, at least 1; an echo needs GUEST_RING
	// Of each receive ring. Fewer than GUEST_RING: descriptors share them, frames are not to be
	// read.
	unsigned n_buffers;
	bool has_hugepages; // its memory has pages of 2 MB
};

struct guest {
	int socket; // -1: closed
	uint8_t *memory;
	size_t size;
	size_t frames; // offset of the first frame, GUEST_HEADER bytes of zeros before it
	struct guest_cfg cfg;
	struct guest_ring rx[GUEST_MAX_QUEUES], tx[GUEST_MAX_QUEUES];
};

// Connects to a backend that listens at path and starts all queues. The backend has read all
// messages when this returns. Returns 0, or a negative errno with what failed in err and the guest
// closed.
int guest_open(struct guest *g, const char *path, const struct guest_cfg *cfg, char err[static GUEST_ERR_SIZE]);
void guest_close(struct guest *g); // a closed one, too

static inline uint64_t
guest_frame_addr(const struct guest *g, unsigned frame)
{
	return g->frames + (uint64_t)frame * GUEST_STRIDE;
}

// The bytes of a frame to send, GUEST_FRAME_MAX at most; for the caller to fill.
static inline uint8_t *
guest_frame(const struct guest *g, unsigned frame)
{
	return g->memory + guest_frame_addr(g, frame) + GUEST_HEADER;
}

// Descriptors that the device is through with and the guest has not taken back.
static inline unsigned
guest_ring_ready(struct guest_ring *r)
{
	r->seen = __atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE);
	return (uint16_t)(r->seen - r->taken);
}

// Takes one of those that guest_ring_ready counted. len: bytes that the device wrote, with the
// header.
static inline struct vring_used_elem
guest_ring_take(struct guest_ring *r)
{
	return r->used->ring[r->taken++ % GUEST_RING];
}

// A descriptor of a send ring that the device does not have. False: it has all.
static inline bool
guest_ring_free(struct guest_ring *r, uint16_t *ret_id)
{
	if (r->n_fresh) {
		*ret_id = (uint16_t)(GUEST_RING - r->n_fresh--);
		return true;
	}
	if (r->seen == r->taken && !guest_ring_ready(r))
		return false;
	*ret_id = (uint16_t)guest_ring_take(r).id;
	return true;
}

static inline void
guest_ring_post(struct guest_ring *r, uint16_t id)
{
	r->avail->ring[r->posted++ % GUEST_RING] = id;
}

void guest_ring_kick(struct guest_ring *r);

// Shows the device what was posted, and kicks it when it asks for that.
static inline void
guest_ring_publish(struct guest_ring *r)
{
	__atomic_store_n(&r->avail->idx, r->posted, __ATOMIC_RELEASE);
	rte_smp_mb(); // the device writes the flags, then reads the index
	if (!(__atomic_load_n(&r->used->flags, __ATOMIC_RELAXED) & VRING_USED_F_NO_NOTIFY))
		guest_ring_kick(r);
}
