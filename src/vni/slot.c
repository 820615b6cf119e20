// A slot is free when its word names no owner; there is no list of free slots, which a node could die in the middle of changing. A sender
// looks through the words for free ones, some at a time, and keeps them at hand. It begins at a home of its own and looks no further than a
// window that grows while less than half of it is free: so few slots are in use that they stay in the cache, and nodes seldom meet.
//
// Cost: one compare-and-swap a slot, and words that lie side by side: eight a line.
#include "slot.h"

#define WINDOW 256 // slots at least
#define SCAN_MAX 4096 // words that one call looks at

static uint64_t
mine(const struct segment *seg, uint32_t gen)
{
	return layout_word((unsigned)seg->self, seg->epoch, gen);
}

bool
slot_is_taken(const struct segment *seg, uint64_t word)
{
	return seg->self >= 0 && word == mine(seg, (uint32_t)word);
}

static uint32_t
least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

void
slot_begin(struct segment *seg)
{
	uint32_t share = seg->g.n_slots / seg->g.n_nodes;

	seg->tx.n_slots = 0;
	seg->tx.limit = share < 8 ? 1 : least(SLOT_CACHE, share / 4);
	seg->tx.home = share * (uint32_t)seg->self;
	seg->tx.window = least(WINDOW, seg->g.n_slots);
	seg->tx.at = seg->tx.n_found = 0;
}

bool
slot_free_seen(struct segment *seg, uint32_t slot, uint64_t word)
{
	return shared_cas(own_word(seg, slot), word, layout_word_freed(word));
}

bool
slot_claim_seen(struct segment *seg, uint32_t slot, uint64_t word)
{
	return shared_cas(own_word(seg, slot), word, mine(seg, (uint32_t)word + 1) | WORD_RECEIVED);
}

void
slot_free(struct segment *seg, uint32_t slot)
{
	uint64_t word = shared_load(own_word(seg, slot));

	if (slot_is_taken(seg, word))
		(void)slot_free_seen(seg, slot, word);
}

void
slot_free_received(struct segment *seg, uint32_t slot)
{
	uint64_t word = shared_load(own_word(seg, slot));

	if (word & WORD_RECEIVED && slot_is_taken(seg, word & ~WORD_RECEIVED))
		(void)slot_free_seen(seg, slot, word);
}

static bool
take_if_free(struct segment *seg, uint32_t slot)
{
	_Atomic uint64_t *word = own_word(seg, slot);
	uint64_t seen = shared_load(word);

	return layout_word_is_free(seen) && shared_cas(word, seen, mine(seg, (uint32_t)seen));
}

// The end of the window: it grows while it is too full, and shrinks when all of it was free.
static void
turn_window(struct segment *seg)
{
	uint32_t window = seg->tx.window;

	if (seg->tx.n_found < window / 2 && window < seg->g.n_slots) {
		seg->tx.window = least(2 * window, seg->g.n_slots); // and goes on where it is
	} else {
		if (seg->tx.n_found == window && window > WINDOW)
			seg->tx.window = window / 2;
		seg->tx.at = 0;
	}
	seg->tx.n_found = 0;
}

static void
refill(struct segment *seg)
{
	uint32_t n_words = least(SCAN_MAX, 2 * seg->g.n_slots);

	for (uint32_t i = 0; i < n_words && seg->tx.n_slots < seg->tx.limit; i++) {
		uint32_t slot = seg->tx.home + seg->tx.at;

		if (slot >= seg->g.n_slots)
			slot -= seg->g.n_slots;
		if (take_if_free(seg, slot)) {
			// From the end, so that they leave in the order of their numbers.
			seg->tx.slot[seg->tx.limit - ++seg->tx.n_slots] = slot;
			seg->tx.n_found++;
			shared_prefetch_write(own_slot(seg, slot));
			shared_prefetch_write(own_bytes(seg, slot));
		}
		if (++seg->tx.at >= seg->tx.window)
			turn_window(seg);
	}
	// Others took this node for dead, and have looked for its slots perhaps already.
	if (!own_is_alive(seg, (unsigned)seg->self, seg->epoch))
		while (seg->tx.n_slots)
			slot_free(seg, seg->tx.slot[seg->tx.limit - seg->tx.n_slots--]);
}

// Of the slots that frames from this node to that one may have, when buffers are separate.
static bool
take_separate(struct segment *seg, unsigned to, uint32_t *ret_slot)
{
	uint32_t n_pairs = seg->g.n_nodes * (seg->g.n_nodes - 1), n = seg->g.n_slots / n_pairs;
	uint32_t pair = (uint32_t)seg->self * (seg->g.n_nodes - 1) + to - (to > (unsigned)seg->self);

	for (uint32_t i = 0; i < n; i++) {
		uint32_t slot = pair * n + seg->tx.at_of[to];

		seg->tx.at_of[to] = (seg->tx.at_of[to] + 1) % n;
		if (take_if_free(seg, slot)) {
			*ret_slot = slot;
			return true;
		}
	}
	return false;
}

bool
slot_take(struct segment *seg, unsigned to, uint32_t *ret_slot)
{
	if (seg->g.buffers == SEGMENT_SEPARATE)
		return take_separate(seg, to, ret_slot);
	for (;;) {
		uint32_t slot;

		if (!seg->tx.n_slots)
			refill(seg);
		if (!seg->tx.n_slots)
			return false;
		slot = seg->tx.slot[seg->tx.limit - seg->tx.n_slots--];
		// A node that others took for dead has nothing at hand any more.
		if (slot_is_taken(seg, shared_load(own_word(seg, slot)))) {
			*ret_slot = slot;
			return true;
		}
	}
}

void
slot_untake(struct segment *seg, uint32_t slot)
{
	if (seg->g.buffers == SEGMENT_POOL && seg->tx.n_slots < seg->tx.limit)
		seg->tx.slot[seg->tx.limit - ++seg->tx.n_slots] = slot;
	else
		slot_free(seg, slot);
}
