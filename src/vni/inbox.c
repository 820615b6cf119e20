// An entry is one word: full or empty, the lap of the ring in which it is used next, and the epoch
// of the reading node. A full entry also has the number of the parcel's slots and the reference of
// the first. An empty entry has the rest of lap and epoch in their place. So a sender that slept
// for many laps does not mistake it for a former one. A sender publishes by one compare-and-swap
// from the empty entry to the full one. It cannot die in between, and an entry for a node's former
// life fails. The end of the ring is found by a search for an entry that is empty in its lap. The
// tail is a hint, so a sender that died before it moved the tail does no harm. After Tsigas and
// Zhang's queue (SPAA 2001), with laps in place of two kinds of empty.
//
// A parcel of n slots covers n entries, the first of which is full. So the ring's size bounds the
// slots that wait, in whatever parcels. A sender that was overtaken may fill an entry that another
// parcel covers. The reader finds it, since it looks at each entry that it passes.
//
// Positions count on through the laps: lap = position / size. Push and pop are O(1); a push looks
// at PUSH_STEPS entries at most.
#include "inbox.h"

#define COUNT_SHIFT REF_BITS
#define COUNT_MASK 0x3f
#define EPOCH_SHIFT (COUNT_SHIFT + 6)
#define EPOCH_MASK 0xff
#define LAP_SHIFT (EPOCH_SHIFT + 8)
#define LAP_BITS (63 - LAP_SHIFT)
#define LAP_MASK ((1u << LAP_BITS) - 1)
#define ENTRY_FULL (UINT64_C(1) << 63)
#define REF_MASK ((UINT64_C(1) << REF_BITS) - 1)
#define PARCEL_MASK ((UINT64_C(1) << EPOCH_SHIFT) - 1) // count and reference
#define POSITION_BITS 56 // the low bits of the epoch are above it
#define POSITION_MASK ((UINT64_C(1) << POSITION_BITS) - 1)
#define PUSH_STEPS 256
#define NEAR 8 // entries that others have filled since, before the tail is asked
#define PASS_MAX 128 // entries that one peek passes over

static uint64_t
empty_entry(const struct segment *seg, uint64_t position, uint16_t epoch)
{
	uint64_t lap = position >> seg->inbox_shift;

	return (lap & LAP_MASK) << LAP_SHIFT | (uint64_t)(epoch & EPOCH_MASK) << EPOCH_SHIFT |
		(lap >> LAP_BITS << 8 & PARCEL_MASK) | epoch >> 8;
}

// Of the same lap and epoch. parcel: count and reference, or 0.
static uint64_t
full_entry(uint64_t empty, uint64_t parcel)
{
	return (empty & ~PARCEL_MASK) | ENTRY_FULL | parcel;
}

static _Atomic uint64_t *
entry_at(const struct segment *seg, struct layout_inbox *inbox, uint64_t position)
{
	return &inbox->entry[position & (seg->g.inbox_size - 1)];
}

static uint64_t
read_tail(struct layout_inbox *inbox, uint16_t epoch, uint64_t or_else)
{
	uint64_t tail = shared_load(&inbox->tail);

	return tail >> POSITION_BITS == (epoch & EPOCH_MASK) ? tail & POSITION_MASK : or_else;
}

static uint64_t
parcel_of(uint64_t ref, unsigned n)
{
	return ref | (uint64_t)n << COUNT_SHIFT;
}

static unsigned
count_of(uint64_t entry)
{
	return (unsigned)(entry >> COUNT_SHIFT) & COUNT_MASK;
}

static bool
is_empty_at(const struct segment *seg, struct layout_inbox *inbox, uint64_t position, uint16_t epoch)
{
	return shared_load(entry_at(seg, inbox, position)) == empty_entry(seg, position, epoch);
}

enum inbox_result
inbox_push(struct segment *seg, unsigned to, uint16_t epoch, uint64_t ref, unsigned n)
{
	struct layout_inbox *inbox = own_inbox(seg, to);
	uint64_t at = seg->tx.end[to].epoch == epoch ? seg->tx.end[to].position : read_tail(inbox, epoch, 0);
	enum inbox_result result = INBOX_FULL;
	bool has_read_tail = false;

	for (unsigned step = 0; step < PUSH_STEPS; step++) {
		_Atomic uint64_t *entry = entry_at(seg, inbox, at);
		uint64_t empty = empty_entry(seg, at, epoch), seen = shared_load(entry);
		uint32_t laps_ahead;
		bool is_taken;

		if (seen == empty) {
			if (n > 1 && !is_empty_at(seg, inbox, at + n - 1, epoch))
				break;
			if (!shared_cas(entry, seen, full_entry(empty, parcel_of(ref, n))))
				continue; // another sender was faster
			at += n;
			result = INBOX_TAKEN;
			break;
		}
		if (((seen ^ empty) >> EPOCH_SHIFT) & EPOCH_MASK) {
			result = INBOX_GONE;
			break;
		}
		laps_ahead = (uint32_t)((seen >> LAP_SHIFT) - (empty >> LAP_SHIFT)) & LAP_MASK;
		is_taken = !laps_ahead && seen & ENTRY_FULL;
		if (!has_read_tail && (!is_taken || step >= NEAR)) { // full; or others have gone on
			uint64_t tail = read_tail(inbox, epoch, at);

			has_read_tail = true;
			// Never back: a sender that died before it moved the tail may have left it
			// far behind.
			if (tail > at)
				at = tail;
		} else if (is_taken) {
			at += count_of(seen) ? count_of(seen) : 1;
		} else if (laps_ahead > LAP_MASK / 2) {
			break;
		} else {
			at++;
		}
	}
	seg->tx.end[to].epoch = epoch;
	seg->tx.end[to].position = at & POSITION_MASK;
	return result;
}

void
inbox_settle(struct segment *seg, unsigned to)
{
	struct layout_inbox *inbox = own_inbox(seg, to);
	uint64_t end = (uint64_t)(seg->tx.end[to].epoch & EPOCH_MASK) << POSITION_BITS | seg->tx.end[to].position;

	for (unsigned tries = 0; tries < 4; tries++) {
		uint64_t tail = shared_load(&inbox->tail);

		if (tail >> POSITION_BITS != end >> POSITION_BITS || tail >= end || shared_cas(&inbox->tail, tail, end))
			return;
	}
}

// Empties the entry at the head for the next lap. seen: its value. False: a sender that was
// overtaken has filled it just then.
static bool
pass(struct segment *seg, uint64_t seen)
{
	if (!shared_cas(entry_at(seg, own_inbox(seg, (unsigned)seg->self), seg->rx.head), seen,
		    empty_entry(seg, seg->rx.head + seg->g.inbox_size, seg->epoch)))
		return false;
	seg->rx.head++;
	if (seg->rx.n_covered)
		seg->rx.n_covered--;
	return true;
}

bool
inbox_peek(struct segment *seg, uint64_t *ret_ref, unsigned *ret_n)
{
	struct layout_inbox *inbox = own_inbox(seg, (unsigned)seg->self);

	for (unsigned passed = 0; passed < PASS_MAX; passed++) {
		uint64_t empty = empty_entry(seg, seg->rx.head, seg->epoch);
		// after segment_sleep's store
		uint64_t seen = shared_load_ordered(entry_at(seg, inbox, seg->rx.head));

		if ((seen & ~PARCEL_MASK) == full_entry(empty, 0)) {
			*ret_ref = seen & REF_MASK;
			*ret_n = count_of(seen);
			return true;
		}
		if (seen == empty && !seg->rx.n_covered)
			return false;
		// Either a node that breaks the rules wrote this, or it belongs to the number's
		// next life.
		if (seen != empty && !own_is_alive(seg, (unsigned)seg->self, seg->epoch))
			return false;
		if (pass(seg, seen) && seen != empty)
			own_count_rx(seg, RX_BAD, 1);
	}
	return false;
}

void
inbox_pop(struct segment *seg, uint64_t ref, unsigned n)
{
	struct layout_inbox *inbox = own_inbox(seg, (unsigned)seg->self);
	uint64_t head = seg->rx.head, full = full_entry(empty_entry(seg, head, seg->epoch), parcel_of(ref, n));
	unsigned n_covered = n > seg->rx.n_covered ? n - 1 : seg->rx.n_covered, i = 1;

	while (i <= n_covered && is_empty_at(seg, inbox, head + i, seg->epoch))
		i++;
	// From the end, the first entry last: while that one is full, senders pass over the covered
	// entries, and no other node changes them. An entry that an overtaken sender filled long
	// ago ends the loop above, and the next peek finds it.
	for (unsigned k = i; --k;)
		(void)shared_cas(entry_at(seg, inbox, head + k), empty_entry(seg, head + k, seg->epoch),
			empty_entry(seg, head + k + seg->g.inbox_size,
				seg->epoch)); // a late reader changes no later inbox
	(void)shared_cas(entry_at(seg, inbox, head), full, empty_entry(seg, head + seg->g.inbox_size, seg->epoch));
	seg->rx.head = head + i;
	seg->rx.n_covered = n_covered - (i - 1);
}

// A hole, an entry that a node emptied against the rules, would stop the reader for ever. It is
// passed over when an entry behind it is full.
void
inbox_mend(struct segment *seg)
{
	struct layout_inbox *inbox = own_inbox(seg, (unsigned)seg->self);

	for (uint32_t n = 1; n < seg->g.inbox_size; n++) {
		uint64_t position = seg->rx.head + n, full = full_entry(empty_entry(seg, position, seg->epoch), 0);

		if ((shared_load(entry_at(seg, inbox, position)) & ~PARCEL_MASK) == full &&
			is_empty_at(seg, inbox, seg->rx.head, seg->epoch)) {
			seg->rx.n_covered = n; // peek looks at each of them once more
			own_count_rx(seg, RX_BAD, 1);
			return;
		}
	}
}

// A node that others took for dead while it joined continues here: entries of a later life are left
// alone. epoch: its low bits.
static void
renew(_Atomic uint64_t *word, unsigned epoch_shift, uint64_t value)
{
	for (unsigned tries = 0; tries < PUSH_STEPS; tries++) {
		uint64_t seen = shared_load(word);

		if ((int8_t)((seen >> epoch_shift) - (value >> epoch_shift)) > 0 || shared_cas(word, seen, value))
			return;
	}
}

void
inbox_renew(struct segment *seg)
{
	struct layout_inbox *inbox = own_inbox(seg, (unsigned)seg->self);

	for (uint32_t i = 0; i < seg->g.inbox_size; i++)
		renew(&inbox->entry[i], EPOCH_SHIFT, empty_entry(seg, i, seg->epoch));
	renew(&inbox->tail, POSITION_BITS, (uint64_t)(seg->epoch & EPOCH_MASK) << POSITION_BITS);
	shared_store(&inbox->head, 0);
	seg->rx.head = 0;
	seg->rx.n_covered = seg->rx.n_idle = 0;
	seg->rx.parcel.n_items = seg->rx.at = 0;
}

bool
inbox_look_dead(const struct segment *seg, unsigned node, uint32_t i, uint64_t *ret_ref, unsigned *ret_n)
{
	uint64_t seen = shared_load_ordered(&own_inbox(seg, node)->entry[i]), state;

	if (!(seen & ENTRY_FULL))
		return false;
	state = shared_load_ordered(&own_node(seg, node)->state);
	if (layout_state_of(state) == SEGMENT_LIVE &&
		(layout_state_epoch(state) & EPOCH_MASK) == ((seen >> EPOCH_SHIFT) & EPOCH_MASK))
		return false;
	*ret_ref = seen & REF_MASK;
	*ret_n = count_of(seen);
	return true;
}

uint32_t
inbox_depth(const struct segment *seg, unsigned node)
{
	struct layout_inbox *inbox = own_inbox(seg, node);
	uint64_t depth = (shared_load(&inbox->tail) & POSITION_MASK) - shared_load(&inbox->head);

	// the tail may be behind
	return depth > seg->g.inbox_size ? seg->g.inbox_size : (uint32_t)depth;
}
