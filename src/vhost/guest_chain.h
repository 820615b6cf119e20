// Descriptors of one buffer, read and checked: the part that takes and delivers share.
#pragma once

#include "rtvs/guest_ring.h"
#include "rtvs/guest_state.h"

#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <string.h>

// The read parts of a descriptor, of either kind of ring.
struct guest_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next_or_id; // split: flags and next; packed: see guest_desc_load
};

// A place in the ring, ahead of r->pos while a frame's buffers are being found.
struct guest_cursor {
	uint16_t at;
	bool wrap; // packed
};

struct guest_chain {
	struct guest_piece *piece; // the caller's
	uint32_t cap; // of pieces
	uint32_t n_pieces, n_bytes;
	uint16_t id; // by which the driver knows the buffer
	uint16_t n_slots; // descriptors of the ring that it has; an indirect table is one
};

// Comes before each read of a word that the guest may change meanwhile, and between stores that a
// device that dies may not reach. The fuzz target changes some words; a test lets the device die.
#ifdef GUEST_STEPS
void guest_step(void);
#else
static inline void
guest_step(void)
{
}
#endif

static inline uint16_t
guest_load_16(const uint16_t *at, int order)
{
	guest_step();
	return __atomic_load_n(at, order);
}

// Two loads of 8 bytes each: no field is read twice. Descriptors are aligned to 16 bytes.
static inline struct guest_desc
guest_desc_load(const void *at, bool is_packed)
{
	const uint64_t *word = __builtin_assume_aligned(at, 8);
	uint64_t addr, rest;
	uint16_t low, high;

	guest_step();
	addr = __atomic_load_n(&word[0], __ATOMIC_RELAXED);
	guest_step();
	rest = __atomic_load_n(&word[1], __ATOMIC_RELAXED);
	low = (uint16_t)(rest >> 32);
	high = (uint16_t)(rest >> 48);
	return (struct guest_desc){.addr = addr,
		.len = (uint32_t)rest,
		.flags = is_packed ? high : low, // struct vring_packed_desc: id, flags
		.next_or_id = is_packed ? low : high}; // struct vring_desc: flags, next
}

static inline struct guest_cursor
guest_cursor_of(const struct guest_ring *r)
{
	return (struct guest_cursor){.at = r->pos.avail, .wrap = r->pos.avail_wrap};
}

// is_packed: the ring's kind. Loops over frames exist once for each, where it is a constant.

// The driver's index of a split ring. False: r->fault says that it lies.
bool guest_chain_read_index(struct guest_ring *r);

// Of a packed ring's descriptor.
static inline bool
guest_chain_is_available(uint16_t flags, bool wrap)
{
	return !!(flags & 1 << VRING_PACKED_DESC_F_AVAIL) == wrap && !!(flags & 1 << VRING_PACKED_DESC_F_USED) != wrap;
}

// Does the ring offer a buffer at the cursor? Reads the guest's index where the last look is used
// up.
static inline bool
guest_chain_is_offered(struct guest_ring *r, const struct guest_cursor *cursor, bool is_packed)
{
	const struct vring_packed_desc *d;

	if (!is_packed)
		return r->seen != cursor->at || (guest_chain_read_index(r) && r->seen != cursor->at);
	d = (const struct vring_packed_desc *)r->cfg.desc + cursor->at;
	return guest_chain_is_available(guest_load_16(&d->flags, __ATOMIC_ACQUIRE), cursor->wrap);
}

// Reads the buffer at the cursor, which is offered, and moves the cursor behind it. is_writable:
// all of it must be for the device to write, else to read. False: r->fault says why; nothing moved.
bool guest_chain_read(struct guest_ring *r, struct guest_cursor *cursor, bool is_writable, struct guest_chain *c);

static inline struct vring_packed_desc *
guest_chain_packed_at(const struct guest_ring *r, uint16_t at)
{
	return (struct vring_packed_desc *)r->cfg.desc + at;
}

// Behind n descriptors of a packed ring.
static inline struct guest_cursor
guest_cursor_behind(const struct guest_ring *r, struct guest_cursor from, uint16_t n)
{
	uint32_t next = (uint32_t)from.at + n;

	if (next < r->cfg.size)
		return (struct guest_cursor){(uint16_t)next, from.wrap};
	return (struct guest_cursor){(uint16_t)(next - r->cfg.size), !from.wrap};
}

// Before the buffer at r->pos.used is touched. The compiler must not move what follows before it.
static inline void
guest_chain_keep_last(struct guest_ring *r, uint16_t id, struct guest_cursor end)
{
	if (!r->cfg.state)
		return;
	atomic_store_explicit(&r->cfg.state->last,
		(uint64_t)1 << 48 | (uint64_t)id << 32 | (uint64_t)end.wrap << 31 | (uint64_t)end.at << 16 |
			(uint64_t)r->pos.used_wrap << 15 | r->pos.used,
		memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
}

// len, id and flags are the second half of an aligned descriptor: it is used, or as it was offered.
static inline void
guest_chain_store_used(struct vring_packed_desc *d, uint64_t used)
{
	__atomic_store_n((uint64_t *)&d->len, used, __ATOMIC_RELEASE);
}

// All words are 64 bits wide: where the compiler keeps a narrower one on the stack and loads it
// back whole, the CPU waits until all stores before have left.
static inline void
guest_chain_use_packed(struct guest_ring *r, uint16_t id, uint16_t n_slots, uint32_t n_bytes)
{
	struct guest_cursor end = guest_cursor_behind(r, (struct guest_cursor){r->pos.used, r->pos.used_wrap}, n_slots);
	struct vring_packed_desc *d = guest_chain_packed_at(r, r->pos.used);
	uint64_t flags =
		(r->pos.used_wrap ? UINT64_C(1) << VRING_PACKED_DESC_F_AVAIL | 1 << VRING_PACKED_DESC_F_USED : 0) |
		(n_bytes ? VRING_DESC_F_WRITE : 0);
	uint64_t used;

	guest_chain_keep_last(r, id, end);
	guest_step();
	used = n_bytes | (uint64_t)id << 32 | flags << 48;
	// The driver reads used descriptors in order: while the first is not marked, it sees none.
	if (r->is_held)
		guest_chain_store_used(d, used);
	else {
		r->is_held = true;
		r->held_at = r->pos.used;
		r->held = used;
		if (r->cfg.state)
			atomic_store_explicit(&r->cfg.state->held, used, memory_order_relaxed);
		atomic_signal_fence(memory_order_seq_cst);
	}
	guest_log_mark(&r->cfg.log, r->cfg.desc_guest + r->pos.used * sizeof(*d), sizeof(*d));
	r->pos.used = end.at;
	r->pos.used_wrap = end.wrap;
}

// Drivers that use their buffers in order find the same entry at the same place of each round, as
// long as lengths repeat. A line that is not written stays with the driver: between distant CPUs
// its transfer costs more than all else that is done for a frame. Where one entry differs, nothing
// is compared until the next round, because a load before a store costs a transfer more.
static inline void
guest_chain_write_used(struct guest_ring *r, struct vring_used_elem *at, struct vring_used_elem e)
{
	if (!r->repeats)
		r->repeats = !(r->pos.used & r->mask);
	else if (!memcmp(at, &e, sizeof(e)))
		return;
	else
		r->repeats = false;
	memcpy(at, &e, sizeof(e));
}

// Marks a buffer used that the device has written n_bytes of. Not visible before
// guest_ring_publish.
static inline void
guest_chain_use(struct guest_ring *r, uint16_t id, uint16_t n_slots, uint32_t n_bytes, bool is_packed)
{
	struct vring_used *used = r->cfg.device;
	struct vring_used_elem *e = &used->ring[r->pos.used & r->mask];

	if (is_packed) {
		guest_chain_use_packed(r, id, n_slots, n_bytes);
		return;
	}
	guest_chain_write_used(r, e, (struct vring_used_elem){.id = id, .len = n_bytes});
	guest_log_mark(&r->cfg.log, r->cfg.device_guest + (uint64_t)((uint8_t *)e - (uint8_t *)used), sizeof(*e));
	r->pos.used++;
}

// The address of a buffer that is one descriptor and contiguous, as nearly all are: *d is the
// cursor's, which is offered. flags: VRING_DESC_F_WRITE, or 0. NULL: it is another, see
// guest_chain_read.
static inline uint8_t *
guest_chain_plain(struct guest_ring *r, const struct guest_desc *d, uint16_t flags)
{
	uint32_t n = d->len;
	uint8_t *at;

	if ((d->flags & (VRING_DESC_F_NEXT | VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE)) != flags)
		return NULL;
	at = guest_mem_at(r->cfg.mem, &r->hint, d->addr, &n);
	return n == d->len ? at : NULL;
}

// The first descriptor at the cursor, and the id by which the driver knows its buffer. False: none
// such is in the ring.
static inline bool
guest_chain_first(const struct guest_ring *r, const struct guest_cursor *cursor, bool is_packed,
	struct guest_desc *ret_desc, uint16_t *ret_id)
{
	const struct vring_avail *avail = r->cfg.driver;
	uint16_t at = cursor->at;

	if (!is_packed) {
		at = guest_load_16(&avail->ring[at & r->mask], __ATOMIC_RELAXED);
		if (at >= r->cfg.size)
			return false;
	}
	*ret_desc = guest_desc_load((const uint8_t *)r->cfg.desc + at * sizeof(struct vring_desc), is_packed);
	*ret_id = is_packed ? ret_desc->next_or_id : at;
	return true;
}

static inline void
guest_cursor_step(const struct guest_ring *r, struct guest_cursor *cursor, bool is_packed)
{
	cursor->at++;
	if (is_packed && cursor->at == r->cfg.size) {
		cursor->at = 0;
		cursor->wrap = !cursor->wrap;
	}
}
