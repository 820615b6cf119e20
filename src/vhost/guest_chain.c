// A buffer of a ring is a chain of descriptors, and may end in an indirect table of more of them.
// Every loop is bounded by the ring's size: a chain is never longer (Virtio 1.2, 2.7.5.3.1).
#include "guest_chain.h"

#include <string.h>

static bool
is_faulty(struct guest_ring *r, enum guest_ring_fault fault)
{
	r->fault = fault;
	return false;
}

bool
guest_chain_read_index(struct guest_ring *r)
{
	const struct vring_avail *avail = r->cfg.driver;

	r->seen = guest_load_16(&avail->idx, __ATOMIC_ACQUIRE);
	// More than there are: an index that went back, or jumped.
	return (uint16_t)(r->seen - r->pos.avail) <= r->cfg.size || is_faulty(r, GUEST_RING_FAULT_INDEX);
}

static bool
add(struct guest_ring *r, struct guest_chain *c, uint64_t addr, uint32_t len)
{
	// As in QEMU. Each descriptor takes up a piece, so pieces bound a chain: 256 tables of
	// 32768 empty ones would be read anew for each frame, and take their worker tens of
	// milliseconds.
	if (!len)
		return is_faulty(r, GUEST_RING_FAULT_EMPTY);
	if (c->n_bytes + len < len)
		return is_faulty(r, GUEST_RING_FAULT_PIECES);
	c->n_bytes += len;
	while (len) {
		uint32_t n = len;
		uint8_t *at = guest_mem_at(r->cfg.mem, &r->hint, addr, &n);

		if (!at)
			return is_faulty(r, GUEST_RING_FAULT_ADDRESS);
		if (c->n_pieces == c->cap)
			return is_faulty(r, GUEST_RING_FAULT_PIECES);
		c->piece[c->n_pieces++] = (struct guest_piece){.at = at, .guest = addr, .n_bytes = n};
		addr += n;
		len -= n;
	}
	return true;
}

static bool
add_desc(struct guest_ring *r, struct guest_chain *c, const struct guest_desc *d, bool is_writable)
{
	if (!!(d->flags & VRING_DESC_F_WRITE) != is_writable)
		return is_faulty(r, GUEST_RING_FAULT_DIRECTION);
	return add(r, c, d->addr, d->len);
}

// A descriptor of an indirect table, which may lie across two regions, and anyhow.
static bool
load_indirect(struct guest_ring *r, uint64_t addr, struct guest_desc *ret_desc)
{
	uint64_t copy[2];
	uint32_t n = sizeof(copy);
	uint8_t *at = guest_mem_at(r->cfg.mem, &r->hint, addr, &n);

	if (at && n == sizeof(copy) && (uintptr_t)at % 8 == 0) {
		*ret_desc = guest_desc_load(at, r->cfg.is_packed);
		return true;
	}
	for (uint32_t i = 0; i < sizeof(copy); i++) {
		n = 1;
		at = guest_mem_at(r->cfg.mem, &r->hint, addr + i, &n);
		if (!at)
			return is_faulty(r, GUEST_RING_FAULT_ADDRESS);
		guest_step();
		((uint8_t *)copy)[i] = __atomic_load_n(at, __ATOMIC_RELAXED);
	}
	*ret_desc = guest_desc_load(copy, r->cfg.is_packed);
	return true;
}

// budget: descriptors that the chain may still have.
static bool
add_table(
	struct guest_ring *r, struct guest_chain *c, const struct guest_desc *table, uint32_t budget, bool is_writable)
{
	uint32_t n = table->len / sizeof(struct vring_desc), at = 0;

	if (!r->cfg.has_indirect || table->len % sizeof(struct vring_desc) || !n || table->flags & VRING_DESC_F_NEXT)
		return is_faulty(r, GUEST_RING_FAULT_INDIRECT);
	for (;; budget--) {
		struct guest_desc d;

		if (!budget || at >= n)
			return is_faulty(r, GUEST_RING_FAULT_CHAIN);
		if (!load_indirect(r, table->addr + at * sizeof(struct vring_desc), &d))
			return false;
		if (d.flags & VRING_DESC_F_INDIRECT)
			return is_faulty(r, GUEST_RING_FAULT_INDIRECT);
		if (!add_desc(r, c, &d, is_writable))
			return false;
		// A packed ring's table is used from its first entry to its last (2.8.7).
		if (r->cfg.is_packed ? at + 1 == n : !(d.flags & VRING_DESC_F_NEXT))
			return true;
		at = r->cfg.is_packed ? at + 1 : d.next_or_id;
	}
}

static bool
read_split(struct guest_ring *r, struct guest_cursor *cursor, bool is_writable, struct guest_chain *c)
{
	const struct vring_avail *avail = r->cfg.driver;
	const struct vring_desc *ring = r->cfg.desc;
	uint16_t at = guest_load_16(&avail->ring[cursor->at & r->mask], __ATOMIC_RELAXED);

	if (at >= r->cfg.size)
		return is_faulty(r, GUEST_RING_FAULT_HEAD);
	c->id = at;
	c->n_slots = 0;
	for (uint32_t budget = r->cfg.size; budget; budget--) {
		struct guest_desc d = guest_desc_load(&ring[at], false);

		if (d.flags & VRING_DESC_F_INDIRECT ? !add_table(r, c, &d, budget, is_writable) :
						      !add_desc(r, c, &d, is_writable))
			return false;
		c->n_slots++;
		if (!(d.flags & VRING_DESC_F_NEXT)) {
			cursor->at++;
			return true;
		}
		at = d.next_or_id;
		if (at >= r->cfg.size)
			break;
	}
	return is_faulty(r, GUEST_RING_FAULT_CHAIN);
}

static bool
read_packed(struct guest_ring *r, struct guest_cursor *cursor, bool is_writable, struct guest_chain *c)
{
	struct guest_cursor next = *cursor;

	c->n_slots = 0;
	for (uint32_t budget = r->cfg.size; budget; budget--) {
		struct guest_desc d = guest_desc_load(guest_chain_packed_at(r, next.at), true);

		if (d.flags & VRING_DESC_F_INDIRECT ? !add_table(r, c, &d, budget, is_writable) :
						      !add_desc(r, c, &d, is_writable))
			return false;
		guest_cursor_step(r, &next, true);
		c->n_slots++;
		if (!(d.flags & VRING_DESC_F_NEXT)) {
			c->id = d.next_or_id;
			*cursor = next;
			return true;
		}
	}
	return is_faulty(r, GUEST_RING_FAULT_CHAIN);
}

bool
guest_chain_read(struct guest_ring *r, struct guest_cursor *cursor, bool is_writable, struct guest_chain *c)
{
	c->n_pieces = c->n_bytes = 0;
	return r->cfg.is_packed ? read_packed(r, cursor, is_writable, c) : read_split(r, cursor, is_writable, c);
}
