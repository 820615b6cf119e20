// Whether a node lives: its lock decides on its own host, else its heart. Changes only private
// knowledge of this node.
#include "watch.h"

static bool
is_of_one_host(const struct layout_node *a, const struct layout_node *b)
{
	return shared_load(&a->host[0]) == shared_load(&b->host[0]) &&
		shared_load(&a->host[1]) == shared_load(&b->host[1]);
}

// A node of that node's host, whose heart beats: it knows better whether that node lives, by its
// lock.
static bool
has_kin(const struct segment *seg, unsigned number, uint64_t now_ns)
{
	for (unsigned i = 0; i < seg->g.n_nodes; i++)
		if (i != number && (int)i != seg->self &&
			layout_state_of(shared_load(&own_node(seg, i)->state)) == SEGMENT_LIVE &&
			now_ns - seg->watched[i].since_ns < SEGMENT_SILENCE_NS &&
			is_of_one_host(own_node(seg, i), own_node(seg, number)))
			return true;
	return false;
}

bool
watch_is_dead(struct segment *seg, unsigned number, segment_lock_fn has_lock, void *ctx, uint64_t now_ns)
{
	struct layout_node *node = own_node(seg, number);
	uint64_t state = shared_load(&node->state), beat = shared_load(&node->beat);
	bool has_locked = shared_load(&node->who) >> 32 & SEGMENT_LOCKED;
	int lock = -1;

	if (seg->watched[number].state != state || seg->watched[number].beat != beat) {
		seg->watched[number].state = state;
		seg->watched[number].beat = beat;
		seg->watched[number].since_ns = now_ns;
		return false;
	}
	if (has_locked && has_lock && (seg->self < 0 || is_of_one_host(node, own_node(seg, (unsigned)seg->self))))
		lock = has_lock(ctx, number);
	if (lock >= 0)
		return !lock;
	return now_ns - seg->watched[number].since_ns > SEGMENT_SILENCE_NS &&
		!(has_locked && has_kin(seg, number, now_ns));
}
