// Frames that a driver sends: header and first bytes are copied once, the rest is borrowed.
#include "guest_chain.h"
#include "guest_copy.h"

#include <string.h>

// Copies up to n bytes off the front of the pieces. Returns how many.
static uint32_t
cut(struct guest_piece **piece, uint32_t *n_pieces, void *to, uint32_t n)
{
	uint32_t got = 0;

	while (got < n && *n_pieces) {
		struct guest_piece *p = *piece;
		uint32_t part = p->n_bytes < n - got ? p->n_bytes : n - got;

		memcpy((uint8_t *)to + got, p->at, part);
		got += part;
		p->at += part;
		p->guest += part;
		p->n_bytes -= part;
		if (!p->n_bytes) {
			++*piece;
			--*n_pieces;
		}
	}
	return got;
}

static bool
fill_frame(struct guest_ring *r, struct guest_burst *burst, struct guest_frame *f, const struct guest_chain *c)
{
	struct guest_piece *piece = c->piece;
	uint32_t n_pieces = c->n_pieces;
	uint8_t num_buffers[2]; // the driver's is 0 and means nothing

	if (c->n_bytes < r->cfg.hdr_bytes) {
		r->fault = GUEST_RING_FAULT_SHORT;
		return false;
	}
	(void)cut(&piece, &n_pieces, &f->hdr, sizeof(f->hdr));
	(void)cut(&piece, &n_pieces, num_buffers, r->cfg.hdr_bytes - (uint32_t)sizeof(f->hdr));
	f->n_bytes = c->n_bytes - r->cfg.hdr_bytes;
	f->n_head = (uint16_t)cut(&piece, &n_pieces, f->head, GUEST_HEAD);
	f->first_piece = (uint16_t)(piece - burst->piece);
	f->n_pieces = (uint16_t)n_pieces;
	if (n_pieces)
		burst->n_pieces += c->n_pieces;
	return true;
}

// A frame in one contiguous descriptor. False: it is not, and nothing was done.
GUEST_ALWAYS_INLINE bool
take_plain(struct guest_ring *r, struct guest_cursor *cursor, struct guest_burst *burst, struct guest_frame *f,
	guest_copy_fn copy, bool is_packed)
{
	uint32_t n_hdr = r->cfg.hdr_bytes, n;
	struct guest_desc d;
	uint16_t id;
	uint8_t *at;

	if (burst->n_pieces == GUEST_BURST_PIECES || !guest_chain_first(r, cursor, is_packed, &d, &id))
		return false;
	at = guest_chain_plain(r, &d, 0);
	if (!at || d.len < n_hdr)
		return false;
	memcpy(&f->hdr, at, sizeof(f->hdr));
	n = d.len - n_hdr;
	f->n_bytes = n;
	f->n_head = (uint16_t)(n < GUEST_HEAD ? n : GUEST_HEAD);
	copy(f->head, at + n_hdr, f->n_head);
	f->first_piece = (uint16_t)burst->n_pieces;
	f->n_pieces = n > GUEST_HEAD;
	if (n > GUEST_HEAD)
		burst->piece[burst->n_pieces++] = (struct guest_piece){
			.at = at + n_hdr + GUEST_HEAD, .guest = d.addr + n_hdr + GUEST_HEAD, .n_bytes = n - GUEST_HEAD};
	guest_cursor_step(r, cursor, is_packed);
	guest_chain_use(r, id, 1, 0, is_packed);
	return true;
}

static bool
take_any(struct guest_ring *r, struct guest_cursor *cursor, struct guest_burst *burst, unsigned taken)
{
	struct guest_chain c = {.piece = burst->piece + burst->n_pieces, .cap = GUEST_BURST_PIECES - burst->n_pieces};

	if (!guest_chain_read(r, cursor, false, &c)) {
		// The burst may have been full, not the frame in too many pieces: it is the next
		// burst's first.
		if (r->fault == GUEST_RING_FAULT_PIECES && taken)
			r->fault = GUEST_RING_FAULT_NONE;
		return false;
	}
	if (!fill_frame(r, burst, &burst->frame[taken], &c))
		return false;
	guest_chain_use(r, c.id, c.n_slots, 0, r->cfg.is_packed);
	return true;
}

GUEST_ALWAYS_INLINE unsigned
take_of(struct guest_ring *r, struct guest_burst *burst, unsigned n, guest_copy_fn copy, bool is_packed)
{
	struct guest_cursor cursor = guest_cursor_of(r);
	unsigned taken = 0;

	burst->n_pieces = 0;
	r->quiet = GUEST_RING_UNKNOWN;
	if (r->fault)
		return 0;
	for (; taken < n && taken < GUEST_BURST && guest_chain_is_offered(r, &cursor, is_packed); taken++) {
		if (!take_plain(r, &cursor, burst, &burst->frame[taken], copy, is_packed) &&
			!take_any(r, &cursor, burst, taken))
			break;
		r->pos.avail = cursor.at;
		r->pos.avail_wrap = cursor.wrap;
	}
	// All decisions are made on the copies: the compiler must not read the guest's words again.
	atomic_signal_fence(memory_order_seq_cst);
	return taken;
}

GUEST_ALWAYS_INLINE unsigned
take(struct guest_ring *r, struct guest_burst *burst, unsigned n, guest_copy_fn copy)
{
	return r->cfg.is_packed ? take_of(r, burst, n, copy, true) : take_of(r, burst, n, copy, false);
}

static unsigned
take_plainly(struct guest_ring *r, struct guest_burst *burst, unsigned n)
{
	return take(r, burst, n, guest_copy_plain);
}

#ifdef GUEST_HAS_WIDE_MOVES
GUEST_AVX2 static unsigned
take_avx2(struct guest_ring *r, struct guest_burst *burst, unsigned n)
{
	return take(r, burst, n, guest_copy_avx2);
}

GUEST_AVX512 static unsigned
take_avx512(struct guest_ring *r, struct guest_burst *burst, unsigned n)
{
	return take(r, burst, n, guest_copy_avx512);
}
#endif

unsigned
guest_ring_take(struct guest_ring *r, struct guest_burst *burst, unsigned n)
{
	switch (r->moves) {
#ifdef GUEST_HAS_WIDE_MOVES
	case GUEST_MOVES_AVX512:
		return take_avx512(r, burst, n);
	case GUEST_MOVES_AVX2:
		return take_avx2(r, burst, n);
#endif
	default:
		return take_plainly(r, burst, n);
	}
}
