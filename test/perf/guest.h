// A guest of the benches: a vhost-user front-end that drives its own rings, split or packed. It
// costs the generator little, having neither packet buffers nor a driver: frames lie in its memory
// before they are sent, and a receive buffer returns to the device with the frame still in it. One
// thread uses a guest. Sources: QEMU's vhost-user protocol; virtio 1.2, sections 2.7 and 2.8.
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

struct guest_vring {
	union {
		struct vring_desc *desc;
		struct vring_packed_desc *packed;
	};
	union {
		struct vring_avail *avail;
		struct vring_packed_desc_event *driver;
	};
	union {
		struct vring_used *used;
		struct vring_packed_desc_event *device;
	};
	bool is_packed, is_in_order;
	// These count on without end. A packed ring's wrap counters are their bit of GUEST_RING.
	uint16_t posted; // descriptors given to the device so far; a split ring's are published
	uint16_t taken; // used descriptors that came back so far
	uint16_t seen; // how many the device had used when that was last read
	uint16_t n_last; // how many more these were than the time before
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
	bool is_packed;
	bool is_in_order; // negotiates IN_ORDER; of a packed guest
};

struct guest {
	int socket; // -1: not connected
	int memory_fd; // -1: none
	uint8_t *memory;
	size_t size;
	size_t frames; // offset of the first frame, GUEST_HEADER bytes of zeros before it
	unsigned n_toggles;
	struct guest_cfg cfg;
	struct guest_vring rx[GUEST_MAX_QUEUES], tx[GUEST_MAX_QUEUES];
};

// Connects to a backend that listens at path and starts all queues. The backend has read all
// messages when this returns. Returns 0, or a negative errno with what failed in err and the guest
// closed.
int guest_open(struct guest *g, const char *path, const struct guest_cfg *cfg, char err[static GUEST_ERR_SIZE]);
void guest_close(struct guest *g); // an initialized one, or a closed one

// The same in steps, for guests that outlive their backends: memory and rings; then, any number of
// times, a backend that takes the rings over where they stand, by a path or a connected socket,
// which the guest closes. *ret_what: what failed; the guest is then detached.
int guest_init(struct guest *g, const struct guest_cfg *cfg);
int guest_connect(struct guest *g, const char *path, const char **ret_what);
int guest_attach(struct guest *g, int socket, const char **ret_what);
void guest_detach(struct guest *g);

// A guest without traffic takes its memory, rings and interrupts away and back, a step with each
// call: as soon as the backend has read all that was said before. It waits for nothing. Returns 1,
// 0: not yet, or a negative errno: the backend hung up.
int guest_toggle(struct guest *g);

static inline uint64_t
guest_frame_addr(const struct guest *g, unsigned frame)
{
	return g->frames + (uint64_t)frame * GUEST_STRIDE;
}

// Of the n'th buffer that queue q receives into at first.
static inline uint64_t
guest_buffer_addr(const struct guest *g, unsigned q, unsigned n)
{
	return guest_frame_addr(g, g->cfg.n_frames + q * g->cfg.n_buffers + n % g->cfg.n_buffers);
}

// The bytes of a frame to send, GUEST_FRAME_MAX at most; for the caller to fill.
static inline uint8_t *
guest_frame(const struct guest *g, unsigned frame)
{
	return g->memory + guest_frame_addr(g, frame) + GUEST_HEADER;
}

static inline bool
guest_vring_is_used(const struct guest_vring *r, uint16_t pos)
{
	uint16_t flags = __atomic_load_n(&r->packed[pos % GUEST_RING].flags, __ATOMIC_ACQUIRE);
	uint16_t both = 1 << VRING_PACKED_DESC_F_AVAIL | 1 << VRING_PACKED_DESC_F_USED;

	return (flags & both) == (pos & GUEST_RING ? 0 : both);
}

// A device that works in order may write only the last descriptor of a batch, into the place of the
// first one.
static inline void
guest_vring_look_packed(struct guest_vring *r)
{
	uint16_t seen = r->seen;

	// As many lines as last time are fetched all at once.
	for (uint16_t i = 0; r->is_in_order && i < r->n_last; i += 4)
		__builtin_prefetch(&r->packed[(uint16_t)(seen + i) % GUEST_RING]);
	while ((uint16_t)(seen - r->taken) < GUEST_RING && guest_vring_is_used(r, seen)) {
		uint16_t id = r->packed[seen % GUEST_RING].id % GUEST_RING;

		// Branches: the next descriptor's place does not wait for this one's identifier.
		while (r->is_in_order && id != seen % GUEST_RING)
			seen++;
		seen++;
	}
	r->n_last = (uint16_t)(seen - r->seen);
	r->seen = seen;
}

// Descriptors that the device is through with and the guest has not taken back.
static inline unsigned
guest_vring_ready(struct guest_vring *r)
{
	if (r->is_packed)
		guest_vring_look_packed(r);
	else
		r->seen = __atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE);
	return (uint16_t)(r->seen - r->taken);
}

// Takes one of those that guest_vring_ready counted. len: bytes that the device wrote, with the
// header.
static inline struct vring_used_elem
guest_vring_take(struct guest_vring *r)
{
	uint16_t at = r->taken++ % GUEST_RING;

	if (!r->is_packed)
		return r->used->ring[at];
	return (struct vring_used_elem){.id = r->is_in_order ? at : r->packed[at].id, .len = r->packed[at].len};
}

// The lines of the next n descriptors, of those that guest_vring_ready counted, are fetched from
// the switch's core all at once.
static inline void
guest_vring_fetch(const struct guest_vring *r, unsigned n)
{
	for (uint16_t i = 0; !r->is_packed && i < n; i++)
		__builtin_prefetch(&r->desc[r->used->ring[(uint16_t)(r->taken + i) % GUEST_RING].id % GUEST_RING], 1);
}

// A descriptor of a send ring that the device does not have. False: it has all.
static inline bool
guest_vring_free(struct guest_vring *r, uint16_t *ret_id)
{
	if (r->n_fresh) {
		*ret_id = (uint16_t)(GUEST_RING - r->n_fresh--);
		return true;
	}
	if (r->seen == r->taken && !guest_vring_ready(r))
		return false;
	*ret_id = (uint16_t)guest_vring_take(r).id;
	return true;
}

// As DPDK's driver: descriptors are used in order, so that the entry is mostly there already.
static inline void
guest_vring_avail(struct guest_vring *r, uint16_t at, uint16_t id)
{
	if (r->avail->ring[at] != id)
		r->avail->ring[at] = id;
}

// flags: 0, or VRING_DESC_F_WRITE for a receive buffer.
static inline void
guest_vring_post(struct guest_vring *r, uint16_t id, uint64_t addr, uint32_t len, uint16_t flags)
{
	uint16_t at = r->posted % GUEST_RING;
	struct vring_packed_desc *d;

	if (!r->is_packed) {
		r->desc[id] = (struct vring_desc){.addr = addr, .len = len, .flags = flags};
		guest_vring_avail(r, at, id);
	} else {
		d = &r->packed[at];
		d->addr = addr;
		d->len = len;
		d->id = id;
		flags |= r->posted & GUEST_RING ? 1 << VRING_PACKED_DESC_F_USED : 1 << VRING_PACKED_DESC_F_AVAIL;
		__atomic_store_n(&d->flags, flags, __ATOMIC_RELEASE);
	}
	r->posted++;
}

// Gives a receive buffer back as it was. A split ring still has its descriptor.
static inline void
guest_vring_repost(struct guest_vring *r, uint16_t id, uint64_t addr, uint32_t len)
{
	if (r->is_packed)
		guest_vring_post(r, id, addr, len, VRING_DESC_F_WRITE);
	else
		guest_vring_avail(r, r->posted++ % GUEST_RING, id);
}

static inline bool
guest_vring_wants_kick(const struct guest_vring *r)
{
	if (r->is_packed)
		return __atomic_load_n(&r->device->flags, __ATOMIC_RELAXED) != VRING_PACKED_EVENT_FLAG_DISABLE;
	return !(__atomic_load_n(&r->used->flags, __ATOMIC_RELAXED) & VRING_USED_F_NO_NOTIFY);
}

void guest_vring_kick(struct guest_vring *r);

// Shows the device what was posted. The guest then fences, and kicks a device that asks for it.
static inline void
guest_vring_expose(struct guest_vring *r)
{
	if (!r->is_packed)
		__atomic_store_n(&r->avail->idx, r->posted, __ATOMIC_RELEASE);
}

static inline void
guest_vring_tell(struct guest_vring *r)
{
	if (guest_vring_wants_kick(r))
		guest_vring_kick(r);
}

static inline void
guest_vring_publish(struct guest_vring *r)
{
	guest_vring_expose(r);
	rte_smp_mb(); // the device writes the flags, then reads the index
	guest_vring_tell(r);
}
