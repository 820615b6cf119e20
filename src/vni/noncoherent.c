// Which nodes are attached, in memory that hosts do not see alike. A node alone writes its entry in
// the table, its state, too: there is no compare-and-swap. Each node decides for itself which nodes
// are dead, and keeps that to itself. It tells the dead one in the lane's first line, in case that
// one lives. So there is nothing to reap. A dead node held slots of others, which those take back
// by themselves. It also held its own slots, which are its next life's: docs/segment.md.
//
// Two nodes that take one number at the same time write one entry. Each writes its identity beside
// its heartbeat, and finds the other's there.
#include "noncoherent.h"

#include "address.h"
#include "lane.h"
#include "node.h"
#include "plain.h"
#include "watch.h"

#include <errno.h>

static size_t
n_entries(const struct segment_geometry *g)
{
	return (size_t)g->n_nodes * g->inbox_size;
}

static uint32_t
per_node(const struct segment_geometry *g)
{
	return g->n_slots / g->n_nodes;
}

size_t
noncoherent_lane_bytes(const struct segment_geometry *g)
{
	return g->n_nodes *
		(g->n_nodes * (sizeof(struct layout_lane) + sizeof(struct layout_passed)) +
			n_entries(g) * sizeof(uint64_t));
}

size_t
noncoherent_own_bytes(const struct segment_geometry *g)
{
	return sizeof(struct lanes) + n_entries(g) / 8 + n_entries(g) * sizeof(uint32_t) +
		per_node(g) * (sizeof(uint32_t) + 2 * sizeof(uint8_t));
}

void
noncoherent_attach(struct segment *seg)
{
	struct lanes *l = lane_own(seg);

	l->how = lines_look();
	l->per_node = per_node(&seg->g);
	l->released = (uint64_t *)(void *)(l + 1);
	l->entry = (uint32_t *)(void *)(l->released + n_entries(&seg->g) / 64);
	l->next = l->entry + n_entries(&seg->g);
	l->use = (uint8_t *)(l->next + l->per_node);
	l->n_readers = l->use + l->per_node;
}

static uint64_t
load(const _Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_acquire);
}

static void
store(_Atomic uint64_t *word, uint64_t value)
{
	atomic_store_explicit(word, value, memory_order_release);
}

uint32_t
noncoherent_depth(const struct segment *seg, unsigned number)
{
	uint16_t epoch = layout_state_epoch(shared_load(&own_node(seg, number)->state));
	uint32_t depth = 0;

	for (unsigned from = 0; from < seg->g.n_nodes; from++)
		depth += lane_n_waiting(seg, from, number, epoch);
	return depth;
}

static void
others_moved(struct segment *seg)
{
	store(&lane_own(seg)->addresses, load(&lane_own(seg)->addresses) + 1);
}

// A node has come to live, or lives no more.
static void
set_life(struct segment *seg, unsigned number, uint64_t life)
{
	struct lanes *l = lane_own(seg);
	uint64_t bit = UINT64_C(1) << number;

	store(&l->life[number], life);
	store(&l->live, life ? load(&l->live) | bit : load(&l->live) & ~bit);
	others_moved(seg);
}

static _Atomic uint64_t *
gone_word(const struct segment *seg, unsigned from, unsigned to)
{
	return &lane_at(seg, from, to)->gone;
}

static uint64_t
gone_in(uint64_t state)
{
	return LANE_GONE | layout_state_epoch(state);
}

// This node does not speak with it any more, in this life of it.
static void
take_for_dead(struct segment *seg, unsigned number, uint64_t state)
{
	store(&lane_own(seg)->dead[number], state);
	if (load(&lane_own(seg)->life[number]))
		set_life(seg, number, 0);
	if (seg->self < 0)
		return;
	shared_store(gone_word(seg, (unsigned)seg->self, number), gone_in(state));
	lines_write_back(lane_own(seg)->how, gone_word(seg, (unsigned)seg->self, number), sizeof(uint64_t));
}

bool
noncoherent_expel(struct segment *seg, unsigned number)
{
	uint64_t state = node_state(seg, number);

	if (layout_state_of(state) != SEGMENT_LIVE)
		return false;
	take_for_dead(seg, number, state);
	return true;
}

bool
noncoherent_is_expelled(const struct segment *seg)
{
	return atomic_load_explicit(&lane_own(seg)->expelled, memory_order_relaxed) != LANE_NOT_EXPELLED;
}

static uint64_t
make_incarnation(const struct segment *seg, const struct segment_identity *identity)
{
	uint64_t mix = (uintptr_t)seg + identity->pid;

	for (unsigned i = 0; i < sizeof(identity->host); i++)
		mix = (mix ^ identity->host[i]) * UINT64_C(0x100000001b3);
	return mix | 1;
}

// Nodes that this node's former life took for dead do not exchange frames with this one, either,
// until they have joined again.
static void
look_at_all(struct segment *seg)
{
	unsigned self = (unsigned)seg->self;

	for (unsigned i = 0; i < seg->g.n_nodes; i++) {
		lines_drop(lane_own(seg)->how, gone_word(seg, self, i), sizeof(uint64_t));
		node_drop(seg, i);
	}
	lines_fence();
	for (unsigned i = 0; i < seg->g.n_nodes; i++) {
		uint64_t state = node_seen(seg, i);

		if (i != self && layout_state_of(state) == SEGMENT_LIVE &&
			shared_load(gone_word(seg, self, i)) == gone_in(state))
			store(&lane_own(seg)->dead[i], state);
		state = node_seen(seg, i);
		set_life(seg, i, i != self && layout_state_of(state) == SEGMENT_LIVE ? state : 0);
	}
}

int
noncoherent_join(struct segment *seg, unsigned number, const struct segment_identity *identity)
{
	struct lanes *l = lane_own(seg);
	struct layout_node *node = own_node(seg, number);
	uint64_t seen = node_state(seg, number);

	if (layout_state_of(seen) == SEGMENT_LIVE)
		return -EBUSY;
	seg->self = (int)number;
	seg->epoch = (uint16_t)(layout_state_epoch(seen) + 1);
	atomic_store_explicit(&l->expelled, LANE_NOT_EXPELLED, memory_order_relaxed);
	l->incarnation = make_incarnation(seg, identity);
	look_at_all(seg);
	lane_rx_join(seg);
	lane_tx_join(seg);
	address_begin(seg);
	node_write_identity(node, identity);
	shared_store(&node->incarnation, l->incarnation);
	address_write(seg, identity->mac, identity->n_macs);
	node_write_back(seg);
	lines_fence_writes();
	shared_store(&node->state, layout_state(SEGMENT_LIVE, seg->epoch));
	lines_write_back(l->how, &node->state, sizeof(node->state));
	lines_fence_writes();
	return 0;
}

// No line of this node may stay in this host's caches, to be written back when another host's node
// has the number.
void
noncoherent_leave(struct segment *seg)
{
	struct lanes *l = lane_own(seg);
	struct layout_node *node = own_node(seg, (unsigned)seg->self);

	if (atomic_load_explicit(&l->expelled, memory_order_relaxed) != LANE_ROBBED) {
		lines_write_back(
			l->how, own_slot(seg, (uint32_t)seg->self * l->per_node), l->n_touched * seg->at.slot_stride);
		node_write_back(seg);
		lines_fence_writes();
		shared_store(&node->state, layout_state(SEGMENT_FREE, seg->epoch));
		lines_write_back(l->how, &node->state, sizeof(node->state));
		lines_fence_writes();
	}
	for (unsigned i = 0; i < seg->g.n_nodes; i++)
		set_life(seg, i, 0);
	seg->self = -1;
}

// Whether this node's entry is its own still, and whether others have taken it for dead.
static enum lane_expelled
look_at_self(const struct segment *seg)
{
	unsigned self = (unsigned)seg->self;
	const struct layout_node *node = own_node(seg, self);

	if (shared_load(&node->incarnation) != lane_own(seg)->incarnation ||
		shared_load(&node->state) != layout_state(SEGMENT_LIVE, seg->epoch))
		return LANE_ROBBED;
	for (unsigned i = 0; i < seg->g.n_nodes; i++)
		if (shared_load(gone_word(seg, i, self)) == (LANE_GONE | seg->epoch))
			return LANE_TAKEN_FOR_DEAD;
	return LANE_NOT_EXPELLED;
}

static void
beat(struct segment *seg)
{
	struct lanes *l = lane_own(seg);
	struct layout_node *node = own_node(seg, (unsigned)seg->self);

	if (!noncoherent_is_expelled(seg))
		atomic_store_explicit(&l->expelled, look_at_self(seg), memory_order_relaxed);
	if (atomic_load_explicit(&l->expelled, memory_order_relaxed) == LANE_ROBBED)
		return;
	shared_count(&node->beat, 1);
	node_write_back(seg); // the counters, too
}

unsigned
noncoherent_tend(struct segment *seg, segment_lock_fn has_lock, void *ctx, uint64_t now_ns)
{
	struct lanes *l = lane_own(seg);
	unsigned n_dead = 0;

	for (unsigned i = 0; i < seg->g.n_nodes; i++) {
		if (seg->self >= 0)
			lines_drop(l->how, gone_word(seg, i, (unsigned)seg->self), sizeof(uint64_t));
		node_drop(seg, i);
	}
	lines_fence();
	if (seg->self >= 0)
		beat(seg);
	for (unsigned i = 0; i < seg->g.n_nodes; i++) {
		uint64_t state = node_seen(seg, i), addresses = shared_load(&own_node(seg, i)->addresses);

		if ((int)i == seg->self)
			continue;
		if (layout_state_of(state) == SEGMENT_LIVE && watch_is_dead(seg, i, has_lock, ctx, now_ns)) {
			take_for_dead(seg, i, state);
			n_dead++;
			continue;
		}
		if (layout_state_of(state) != SEGMENT_LIVE)
			state = 0;
		if (state != load(&l->life[i]))
			set_life(seg, i, state);
		else if (addresses != l->seen_addresses[i])
			others_moved(seg);
		l->seen_addresses[i] = addresses;
	}
	return n_dead;
}

bool
noncoherent_sleep(struct segment *seg)
{
	if (!lane_rx_is_idle(seg))
		return false;
	atomic_store_explicit(segment_sleep_word(seg, (unsigned)seg->self), 1, memory_order_release);
	return true;
}

void
noncoherent_awake(struct segment *seg)
{
	atomic_store_explicit(segment_sleep_word(seg, (unsigned)seg->self), 0, memory_order_release);
}

// Of a node's slots: the reserved ones; and the published ones by its own account, but no more than
// wait, since it collects only when it needs to.
void
noncoherent_look_pool(const struct segment *seg, struct segment_pool_info *ret_info)
{
	uint32_t per_node = lane_own(seg)->per_node;

	for (unsigned from = 0; from < seg->g.n_nodes; from++) {
		uint64_t held, waiting = 0, out;

		if (layout_state_of(node_state(seg, from)) != SEGMENT_LIVE) {
			ret_info->n_free += per_node;
			continue;
		}
		for (unsigned to = 0; to < seg->g.n_nodes; to++) {
			uint64_t state = node_state(seg, to);

			if (layout_state_of(state) == SEGMENT_LIVE)
				waiting += lane_n_waiting(seg, from, to, layout_state_epoch(state));
		}
		held = shared_load(&own_node(seg, from)->held);
		out = (uint32_t)held < waiting ? (uint32_t)held : waiting;
		held = (held >> 32) + out;
		ret_info->n_held[from] = held < per_node ? (uint32_t)held : per_node;
		ret_info->n_free += per_node - ret_info->n_held[from];
	}
}
