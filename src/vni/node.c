// A node's entry in the table. The node alone writes its entry; in coherent memory other nodes also
// change its state, by compare-and-swap, in life.c and sweep.c. In memory that hosts do not see
// alike the functions here pass the caches.
#include "node.h"

#include "lane.h"

#include <string.h>

void
node_write_identity(struct layout_node *node, const struct segment_identity *identity)
{
	uint64_t words[RTVS_NAME_SIZE / 8];

	memcpy(words, identity->host, sizeof(identity->host));
	for (unsigned i = 0; i < 2; i++)
		shared_store(&node->host[i], words[i]);
	memcpy(words, identity->name, sizeof(words));
	for (unsigned i = 0; i < RTVS_NAME_SIZE / 8; i++)
		shared_store(&node->name[i], words[i]);
	shared_store(&node->who, identity->pid | (uint64_t)identity->flags << 32);
	shared_store(&node->mtu, identity->mtu);
	for (unsigned i = 0; i < 6; i++)
		shared_store(&node->tx[i], 0);
	for (unsigned i = 0; i < 5; i++)
		shared_store(&node->rx[i], 0);
	shared_store(&node->beat, 1);
	atomic_store_explicit(&node->asleep, 0, memory_order_release);
}

void
node_drop(const struct segment *seg, unsigned number)
{
	lines_drop(lane_own(seg)->how, own_node(seg, number), sizeof(struct layout_node));
}

void
node_write_back(const struct segment *seg)
{
	lines_write_back(lane_own(seg)->how, own_node(seg, (unsigned)seg->self), sizeof(struct layout_node));
}

void
node_moved(struct segment *seg)
{
	struct layout_node *node = own_node(seg, (unsigned)seg->self);

	node_write_back(seg);
	lines_fence_writes();
	shared_store(&node->addresses, shared_load(&node->addresses) + 1);
	lines_write_back(lane_own(seg)->how, &node->addresses, sizeof(node->addresses));
}

uint64_t
node_seen(const struct segment *seg, unsigned number)
{
	uint64_t state = shared_load(&own_node(seg, number)->state);
	uint64_t dead = atomic_load_explicit(&lane_own(seg)->dead[number], memory_order_acquire);

	if (layout_state_of(state) != SEGMENT_LIVE)
		return layout_state(SEGMENT_FREE, layout_state_epoch(state));
	return state == dead ? layout_state(SEGMENT_REAPING, layout_state_epoch(state)) : state;
}

uint64_t
node_state(const struct segment *seg, unsigned number)
{
	if (seg->g.memory != SEGMENT_NONCOHERENT)
		return shared_load(&own_node(seg, number)->state);
	node_drop(seg, number);
	lines_fence();
	return node_seen(seg, number);
}

_Atomic uint32_t *
segment_sleep_word(const struct segment *seg, unsigned node)
{
	return &own_node(seg, node)->asleep;
}
