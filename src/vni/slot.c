// A slot is free when its word names no owner. There is no list of free slots, which a node could
// die in the middle of changing. A sender searches the words for free ones, some at a time, and
// caches them. It begins at a home of its own, and searches a window that grows while less than
// half of it is free. So nodes seldom meet. The windows of all nodes together are larger than a
// CPU's own cache, and smaller than the shared one: a line that went on to the shared cache is
// written sooner than one that is still in another CPU's.
//
// Cost: one compare-and-swap a slot, and words that lie side by side: eight a line.
#include "slot.h"

// Slots of all windows at least. Zen 4, two nodes, 1,514-byte frames: 285 Gbit/s; 210 with 2,048,
// 67 with 512.
#define WINDOWS 4096
#define WINDOW_MIN 128
#define SCAN_MAX 4096 // words that one call looks at
#define SCAN_AHEAD 128 // while there are slots at hand

static uint32_t
least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t
least_window(const struct segment *seg)
{
	uint32_t n_nodes = 1 + (uint32_t)__builtin_popcountll(seg->tx.live),
		 window = WINDOWS / (n_nodes > 2 ? n_nodes : 2);

	return least(window > WINDOW_MIN ? window : WINDOW_MIN, seg->g.n_slots);
}

void
slot_begin(struct segment *seg)
{
	uint32_t share = seg->g.n_slots / seg->g.n_nodes;

	seg->tx.first = seg->tx.n_slots = 0;
	seg->tx.open.to = 0;
	// searched anew, should a number's epoch have come back
	for (unsigned i = 0; i < SEGMENT_MAX_NODES; i++)
		seg->tx.end[i].position = seg->tx.end[i].epoch = 0;
	seg->tx.limit = share < 8 ? 1 : least(SLOT_CACHE, share / 4);
	seg->tx.home = share * (uint32_t)seg->self;
	seg->tx.window = least_window(seg);
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
	return shared_cas(own_word(seg, slot), word, own_mine(seg, (uint32_t)word + 1));
}

void
slot_free(struct segment *seg, uint64_t slot)
{
	(void)slot_free_seen(seg, (uint32_t)slot, own_mine(seg, (uint32_t)(slot >> 32)));
}

static bool
take_if_free(struct segment *seg, uint32_t slot, uint64_t *ret_slot)
{
	_Atomic uint64_t *word = own_word(seg, slot);
	uint64_t seen = shared_load(word);

	if (!layout_word_is_free(seen) || !shared_cas(word, seen, own_mine(seg, (uint32_t)seen)))
		return false;
	*ret_slot = slot | seen << 32;
	return true;
}

// The end of the window: it grows while it is too full, and shrinks when all of it was free.
static void
turn_window(struct segment *seg)
{
	uint32_t window = seg->tx.window;

	if (seg->tx.n_found < window / 2 && window < seg->g.n_slots) {
		seg->tx.window = least(2 * window, seg->g.n_slots); // and goes on where it is
	} else {
		if (seg->tx.n_found == window && window > least_window(seg))
			seg->tx.window = window / 2;
		seg->tx.at = 0;
	}
	seg->tx.n_found = 0;
}

static void
refill(struct segment *seg)
{
	uint32_t n_words = seg->tx.n_slots ? SCAN_AHEAD : least(SCAN_MAX, 2 * seg->g.n_slots);

	for (uint32_t i = 0; i < n_words && seg->tx.n_slots < seg->tx.limit; i++) {
		uint32_t slot = seg->tx.home + seg->tx.at;

		if (slot >= seg->g.n_slots)
			slot -= seg->g.n_slots;
		if (!i || slot % (SEGMENT_LINE / sizeof(uint64_t)) == 0)
			shared_prefetch_write(own_word(seg, slot) + 2 * SEGMENT_LINE / sizeof(uint64_t));
		if (take_if_free(seg, slot, &seg->tx.slot[(seg->tx.first + seg->tx.n_slots) % SLOT_CACHE])) {
			seg->tx.n_slots++;
			seg->tx.n_found++;
			// It is written when half of the others have been.
			shared_prefetch_write(own_slot(seg, slot));
			shared_prefetch_write(own_bytes(seg, slot));
		}
		if (++seg->tx.at >= seg->tx.window)
			turn_window(seg);
	}
	// Others took this node for dead, and have looked for its slots perhaps already.
	if (!own_is_alive(seg, (unsigned)seg->self, seg->epoch))
		for (; seg->tx.n_slots; seg->tx.n_slots--)
			slot_free(seg, seg->tx.slot[seg->tx.first++ % SLOT_CACHE]);
}

// Of the slots that frames from this node to that one may have, when buffers are separate.
static bool
take_separate(struct segment *seg, unsigned to, uint64_t *ret_slot)
{
	uint32_t n_pairs = seg->g.n_nodes * (seg->g.n_nodes - 1), n = seg->g.n_slots / n_pairs;
	uint32_t pair = (uint32_t)seg->self * (seg->g.n_nodes - 1) + to - (to > (unsigned)seg->self);

	for (uint32_t i = 0; i < n; i++) {
		uint32_t slot = pair * n + seg->tx.at_of[to];

		seg->tx.at_of[to] = (seg->tx.at_of[to] + 1) % n;
		if (take_if_free(seg, slot, ret_slot))
			return true;
	}
	return false;
}

bool
slot_take(struct segment *seg, unsigned to, uint64_t *ret_slot)
{
	if (seg->g.buffers == SEGMENT_SEPARATE)
		return take_separate(seg, to, ret_slot);
	if (seg->tx.n_slots <= seg->tx.limit / 2)
		refill(seg);
	if (!seg->tx.n_slots)
		return false;
	*ret_slot = seg->tx.slot[seg->tx.first++ % SLOT_CACHE];
	seg->tx.n_slots--;
	return true;
}

void
slot_untake(struct segment *seg, uint64_t slot)
{
	if (seg->g.buffers == SEGMENT_SEPARATE || seg->tx.n_slots == seg->tx.limit) {
		slot_free(seg, slot);
		return;
	}
	seg->tx.slot[--seg->tx.first % SLOT_CACHE] = slot;
	seg->tx.n_slots++;
}
