// Which nodes live, and recovery of the slots of dead ones. Any node may sweep, also several at
// once, and may die in a sweep. Every change is a compare-and-swap from a value that names the dead
// node. The number becomes free only after a whole turn over the segment.
//
// Three places name a slot's holder: the slot's word, the share words of a frame for several nodes,
// the inbox that the slot waits in. A turn looks at all of them: O(slots + nodes * inbox_size).
#include "address.h"
#include "inbox.h"
#include "noncoherent.h"
#include "own.h"
#include "parcel.h"
#include "share.h"
#include "slot.h"
#include "watch.h"

#define PATROL_TURNS 16 // tendings in which all slots are looked at once, without a death
#define STEP_MAX_NS (SEGMENT_SILENCE_NS / 4) // that a clock moves on between two tendings

// A parcel that no receiver will take out of a dead node's inbox. From its end, as a receiver does
// it.
static uint32_t
sweep_parcel(struct segment *seg, uint64_t ref, unsigned n)
{
	struct own_parcel p;
	uint32_t n_freed = 0;

	(void)parcel_read(seg, ref, n, &p);
	while (p.n--)
		if (!(p.word[p.n] & WORD_SHARED))
			n_freed += slot_free_seen(seg, p.slot[p.n], p.word[p.n]);
	return n_freed;
}

static uint32_t
sweep_slot(struct segment *seg, uint32_t slot)
{
	uint64_t word = shared_load_ordered(own_word(seg, slot));

	if (layout_word_is_free(word))
		return 0;
	if (word & WORD_SHARED)
		return share_sweep(seg, slot, word);
	return !own_is_alive(seg, layout_word_owner(word), layout_word_epoch(word)) && slot_free_seen(seg, slot, word);
}

static void
count_reaped(struct segment *seg, uint32_t n)
{
	if (!n)
		return;
	SHARED_STEP();
	atomic_fetch_add_explicit(&own_header(seg)->n_reaped, n, memory_order_relaxed);
}

uint32_t
segment_sweep(struct segment *seg)
{
	uint32_t n_freed = 0;

	// Each node's slots are its own, and come back when it learns of the death.
	if (seg->g.memory == SEGMENT_NONCOHERENT)
		return 0;
	for (unsigned node = 0; node < seg->g.n_nodes; node++)
		for (uint32_t i = 0; i < seg->g.inbox_size; i++) {
			uint64_t ref;
			unsigned n;

			if (inbox_look_dead(seg, node, i, &ref, &n))
				n_freed += sweep_parcel(seg, ref, n);
		}
	for (uint32_t slot = 0; slot < seg->g.n_slots; slot++)
		n_freed += sweep_slot(seg, slot);
	count_reaped(seg, n_freed);
	return n_freed;
}

// A node that others took for dead, and that does not know yet, may take slots after they looked
// for its own, and then die.
static void
patrol(struct segment *seg)
{
	uint32_t n_freed = 0;

	for (uint32_t n = seg->g.n_slots / PATROL_TURNS + 1; n--;) {
		n_freed += sweep_slot(seg, seg->patrolled);
		seg->patrolled = (seg->patrolled + 1) % seg->g.n_slots;
	}
	count_reaped(seg, n_freed);
}

// A clock that only advances, and never by much. A step of the caller's clock, or a computer that
// stood still with all its nodes, kills no node.
static uint64_t
move_clock(struct segment *seg, uint64_t now_ns)
{
	uint64_t passed_ns = now_ns > seg->tended_ns ? now_ns - seg->tended_ns : 0;

	seg->tended_ns = now_ns;
	seg->clock_ns += passed_ns < STEP_MAX_NS ? passed_ns : STEP_MAX_NS;
	return seg->clock_ns;
}

void
segment_look_pool(const struct segment *seg, struct segment_pool_info *ret_info)
{
	struct segment_pool_info info = {0};

	info.n_reaped = atomic_load_explicit(&own_header(seg)->n_reaped, memory_order_relaxed);
	if (seg->g.memory == SEGMENT_NONCOHERENT) {
		noncoherent_look_pool(seg, &info);
		*ret_info = info;
		return;
	}
	for (uint32_t slot = 0; slot < seg->g.n_slots; slot++) {
		uint64_t word = atomic_load_explicit(own_word(seg, slot), memory_order_relaxed);

		if (layout_word_is_free(word))
			info.n_free++;
		else if (layout_word_owner(word) < SEGMENT_MAX_NODES)
			info.n_held[layout_word_owner(word)]++;
	}
	*ret_info = info;
}

unsigned
segment_tend(struct segment *seg, segment_lock_fn has_lock, void *ctx, uint64_t now_ns)
{
	uint64_t to_free[SEGMENT_MAX_NODES] = {0};
	unsigned n_dead = 0;
	bool is_to_sweep = false;

	address_age(seg, now_ns);
	now_ns = move_clock(seg, now_ns);
	if (seg->g.memory == SEGMENT_NONCOHERENT)
		return noncoherent_tend(seg, has_lock, ctx, now_ns);
	patrol(seg);
	if (seg->self >= 0 && own_is_alive(seg, (unsigned)seg->self, seg->epoch))
		shared_count(&own_node(seg, (unsigned)seg->self)->beat, 1);
	for (unsigned i = 0; i < seg->g.n_nodes; i++) {
		_Atomic uint64_t *state = &own_node(seg, i)->state;
		uint64_t seen = shared_load(state);

		if ((int)i == seg->self || layout_state_of(seen) == SEGMENT_FREE)
			continue;
		// A node in this state has been found dead already; the node that began the sweep
		// may have died.
		if (layout_state_of(seen) != SEGMENT_REAPING) {
			if (!watch_is_dead(seg, i, has_lock, ctx, now_ns))
				continue;
			if (!shared_cas(state, seen, layout_state(SEGMENT_REAPING, layout_state_epoch(seen))))
				continue;
			n_dead++;
		}
		to_free[i] = layout_state(SEGMENT_REAPING, layout_state_epoch(seen));
		is_to_sweep = true;
	}
	if (!is_to_sweep)
		return 0;
	(void)segment_sweep(seg);
	for (unsigned i = 0; i < seg->g.n_nodes; i++)
		if (to_free[i])
			(void)shared_cas(&own_node(seg, i)->state, to_free[i],
				layout_state(SEGMENT_FREE, layout_state_epoch(to_free[i])));
	address_moved(seg);
	return n_dead;
}
