// Frames to a driver: receive buffers are found for all of it first, then written, then marked
// used, so that a frame that does not fit leaves no trace.
#include "guest_chain.h"
#include "guest_copy.h"

#include <errno.h>
#include <string.h>

struct room {
	struct guest_piece piece[GUEST_MERGE_MAX];
	struct {
		uint32_t n_bytes;
		uint16_t id, n_slots;
	} chain[GUEST_MERGE_MAX];
	uint32_t n_pieces, n_chains, n_slots;
	uint64_t n_bytes;
};

static int
find_room(struct guest_ring *r, struct guest_cursor *cursor, struct room *room, uint64_t n_bytes)
{
	while (room->n_bytes < n_bytes) {
		struct guest_chain c = {.piece = room->piece + room->n_pieces, .cap = GUEST_MERGE_MAX - room->n_pieces};

		if (room->n_chains &&
			(!r->cfg.has_mergeable || room->n_slots >= r->cfg.size || !c.cap ||
				room->n_chains == GUEST_MERGE_MAX))
			return -EMSGSIZE;
		if (!guest_chain_is_offered(r, cursor, r->cfg.is_packed))
			return r->fault ? -EPROTO : -EAGAIN;
		if (!guest_chain_read(r, cursor, true, &c)) {
			if (r->fault != GUEST_RING_FAULT_PIECES || !room->n_chains)
				return -EPROTO;
			r->fault = GUEST_RING_FAULT_NONE;
			return -EMSGSIZE;
		}
		room->chain[room->n_chains].id = c.id;
		room->chain[room->n_chains].n_slots = c.n_slots;
		room->chain[room->n_chains++].n_bytes = c.n_bytes;
		room->n_slots += c.n_slots;
		room->n_pieces += c.n_pieces;
		room->n_bytes += c.n_bytes;
	}
	return 0;
}

// Where the next byte is written.
struct pen {
	struct guest_ring *r;
	const struct guest_piece *piece;
	uint32_t offset;
};

static void
put(struct pen *pen, const void *from, uint32_t n)
{
	for (uint32_t done = 0, part; done < n; done += part) {
		const struct guest_piece *p = pen->piece;
		uint8_t *to = p->at + pen->offset;

		part = p->n_bytes - pen->offset < n - done ? p->n_bytes - pen->offset : n - done;
		memcpy(to, (const uint8_t *)from + done, part);
		guest_log_mark(&pen->r->cfg.log, p->guest + pen->offset, part);
		pen->offset += part;
		if (pen->offset == p->n_bytes) {
			pen->piece++;
			pen->offset = 0;
		}
	}
}

struct header {
	struct guest_hdr hdr;
	uint16_t num_buffers; // 1 where buffers are not merged (5.1.6.4.1)
};

#define LINE 64 // bytes of memory that a CPU has alone when it writes

// A header on a line of its own is compared before it is stored: a line that is not written does
// not change hands. It goes through registers: bytes that were stored one by one cannot be loaded
// together before all stores have left the CPU, and those to the receiver take long.
static inline void
put_header(uint8_t *at, const struct guest_hdr *hdr, uint16_t num_buffers, uint32_t n)
{
	bool has_num = n == sizeof(struct header);
	uint64_t first, had_first;
	uint16_t end, had_end, had_num = num_buffers;

	memcpy(&first, hdr, sizeof(first));
	memcpy(&end, (const uint8_t *)hdr + sizeof(first), sizeof(end));
	if (((uintptr_t)at + n) % LINE == 0) {
		memcpy(&had_first, at, sizeof(had_first));
		memcpy(&had_end, at + sizeof(first), sizeof(had_end));
		if (has_num)
			memcpy(&had_num, at + sizeof(*hdr), sizeof(had_num));
		if (had_first == first && had_end == end && had_num == num_buffers)
			return;
	}
	memcpy(at, &first, sizeof(first));
	memcpy(at + sizeof(first), &end, sizeof(end));
	if (has_num)
		memcpy(at + sizeof(*hdr), &num_buffers, sizeof(num_buffers));
}

// A frame in two parts, into one contiguous descriptor. False: the next buffer is another, or too
// small, and nothing was done.
GUEST_ALWAYS_INLINE bool
deliver_plain(struct guest_ring *r, const struct guest_hdr *hdr, const uint8_t *head, uint32_t n_head,
	const struct guest_piece *piece, unsigned n_pieces, uint64_t n_bytes, guest_copy_fn copy, bool is_packed)
{
	struct guest_cursor cursor = guest_cursor_of(r);
	uint32_t n_hdr = r->cfg.hdr_bytes;
	struct guest_desc d;
	uint8_t *at, *to;
	uint16_t id;

	if (!guest_chain_is_offered(r, &cursor, is_packed) || !guest_chain_first(r, &cursor, is_packed, &d, &id) ||
		d.len < n_bytes)
		return false;
	at = guest_chain_plain(r, &d, VRING_DESC_F_WRITE);
	if (!at)
		return false;
	put_header(at, hdr, 1, n_hdr);
	to = at + n_hdr;
	copy(to, head, n_head);
	to += n_head;
	for (unsigned i = 0; i < n_pieces; to += piece[i++].n_bytes)
		copy(to, piece[i].at, piece[i].n_bytes);
	guest_log_mark(&r->cfg.log, d.addr, n_bytes);
	guest_cursor_step(r, &cursor, is_packed);
	r->pos.avail = cursor.at;
	r->pos.avail_wrap = cursor.wrap;
	guest_chain_use(r, id, 1, (uint32_t)n_bytes, is_packed);
	return true;
}

static int
deliver_any(struct guest_ring *r, const struct guest_hdr *hdr, const struct guest_piece *piece, unsigned n_pieces,
	uint64_t left)
{
	struct guest_cursor cursor = guest_cursor_of(r);
	struct header header = {.hdr = *hdr};
	struct room room;
	struct pen pen = {.r = r, .piece = room.piece};
	int rc;

	room.n_pieces = room.n_chains = room.n_slots = 0;
	room.n_bytes = 0;
	rc = find_room(r, &cursor, &room, left);
	if (rc)
		return rc;
	header.num_buffers = (uint16_t)room.n_chains;
	put(&pen, &header, r->cfg.hdr_bytes);
	for (unsigned i = 0; i < n_pieces; i++)
		put(&pen, piece[i].at, piece[i].n_bytes);
	for (uint32_t i = 0; i < room.n_chains; i++) {
		uint32_t n = room.chain[i].n_bytes < left ? room.chain[i].n_bytes : (uint32_t)left;

		guest_chain_use(r, room.chain[i].id, room.chain[i].n_slots, n, r->cfg.is_packed);
		left -= n;
	}
	r->pos.avail = cursor.at;
	r->pos.avail_wrap = cursor.wrap;
	return 0;
}

int
guest_ring_deliver(
	struct guest_ring *r, const struct guest_hdr *hdr, const struct guest_piece *piece, unsigned n_pieces)
{
	uint64_t n_bytes = r->cfg.hdr_bytes;

	if (r->fault)
		return -EPROTO;
	for (unsigned i = 0; i < n_pieces; i++)
		n_bytes += piece[i].n_bytes;
	if (deliver_plain(r, hdr, piece[0].at, piece[0].n_bytes, piece + 1, n_pieces - 1, n_bytes, guest_copy_plain,
		    r->cfg.is_packed))
		return 0;
	return r->fault ? -EPROTO : deliver_any(r, hdr, piece, n_pieces, n_bytes);
}

GUEST_ALWAYS_INLINE unsigned
deliver_frames_of(struct guest_ring *r, const struct guest_burst *burst, const uint8_t *which, unsigned n,
	guest_copy_fn copy, bool is_packed)
{
	static const struct guest_hdr none;
	unsigned k = 0;

	if (r->fault)
		return 0;
	for (; k < n; k++) {
		const struct guest_frame *f = &burst->frame[which[k]];

		if (!deliver_plain(r, &none, f->head, f->n_head, &burst->piece[f->first_piece], f->n_pieces,
			    (uint64_t)r->cfg.hdr_bytes + f->n_bytes, copy, is_packed))
			break;
	}
	return k;
}

GUEST_ALWAYS_INLINE unsigned
deliver_frames(
	struct guest_ring *r, const struct guest_burst *burst, const uint8_t *which, unsigned n, guest_copy_fn copy)
{
	return r->cfg.is_packed ? deliver_frames_of(r, burst, which, n, copy, true) :
				  deliver_frames_of(r, burst, which, n, copy, false);
}

static unsigned
frames_plainly(struct guest_ring *r, const struct guest_burst *burst, const uint8_t *which, unsigned n)
{
	return deliver_frames(r, burst, which, n, guest_copy_plain);
}

#ifdef GUEST_HAS_WIDE_MOVES
GUEST_AVX2 static unsigned
frames_avx2(struct guest_ring *r, const struct guest_burst *burst, const uint8_t *which, unsigned n)
{
	return deliver_frames(r, burst, which, n, guest_copy_avx2);
}

GUEST_AVX512 static unsigned
frames_avx512(struct guest_ring *r, const struct guest_burst *burst, const uint8_t *which, unsigned n)
{
	return deliver_frames(r, burst, which, n, guest_copy_avx512);
}
#endif

unsigned
guest_ring_deliver_frames(struct guest_ring *r, const struct guest_burst *burst, const uint8_t *which, unsigned n)
{
	switch (r->moves) {
#ifdef GUEST_HAS_WIDE_MOVES
	case GUEST_MOVES_AVX512:
		return frames_avx512(r, burst, which, n);
	case GUEST_MOVES_AVX2:
		return frames_avx2(r, burst, which, n);
#endif
	default:
		return frames_plainly(r, burst, which, n);
	}
}
