// Which nodes are attached: the node writes its entry in the table, its state changes by
// compare-and-swap. The states are free, joining, living, reaping, and free again in the next
// epoch. The epoch distinguishes a number's former life from its present one, wherever it is named.
#include "address.h"
#include "inbox.h"
#include "node.h"
#include "noncoherent.h"
#include "own.h"
#include "slot.h"

#include <errno.h>
#include <string.h>

static void
read_identity(const struct layout_node *node, struct segment_identity *ret_identity)
{
	struct segment_identity identity = {0};
	uint64_t words[RTVS_NAME_SIZE / 8], who = shared_load(&node->who);

	for (unsigned i = 0; i < 2; i++)
		words[i] = shared_load(&node->host[i]);
	memcpy(identity.host, words, sizeof(identity.host));
	for (unsigned i = 0; i < RTVS_NAME_SIZE / 8; i++)
		words[i] = shared_load(&node->name[i]);
	memcpy(identity.name, words, sizeof(words));
	identity.name[sizeof(identity.name) - 1] = 0;
	identity.pid = (uint32_t)who;
	identity.flags = (uint32_t)(who >> 32);
	identity.mtu = (uint32_t)shared_load(&node->mtu);
	identity.n_macs = address_read(node, identity.mac);
	*ret_identity = identity;
}

int
segment_set_macs(struct segment *seg, const struct mac *macs, unsigned n)
{
	if (n > SEGMENT_MAX_MACS)
		return -EINVAL;
	if (seg->self < 0)
		return -ENOTCONN;
	address_write(seg, macs, n);
	return 0;
}

bool
segment_expel(struct segment *seg, unsigned number)
{
	_Atomic uint64_t *state = &own_node(seg, number)->state;
	uint64_t seen = shared_load(state);

	if (seg->g.memory == SEGMENT_NONCOHERENT)
		return noncoherent_expel(seg, number);
	return (layout_state_of(seen) == SEGMENT_LIVE || layout_state_of(seen) == SEGMENT_JOINING) &&
		shared_cas(state, seen, layout_state(SEGMENT_REAPING, layout_state_epoch(seen)));
}

int
segment_join(struct segment *seg, unsigned number, const struct segment_identity *identity)
{
	struct layout_node *node = own_node(seg, number);
	uint64_t seen;
	uint16_t epoch;

	if (number >= seg->g.n_nodes || identity->n_macs > SEGMENT_MAX_MACS || seg->self >= 0)
		return -EINVAL;
	if (seg->g.memory == SEGMENT_NONCOHERENT)
		return noncoherent_join(seg, number, identity);
	seen = shared_load(&node->state);
	epoch = (uint16_t)(layout_state_epoch(seen) + 1);
	if (layout_state_of(seen) == SEGMENT_LIVE || layout_state_of(seen) == SEGMENT_JOINING ||
		!shared_cas(&node->state, seen, layout_state(SEGMENT_JOINING, epoch)))
		return -EBUSY;
	seg->self = (int)number;
	seg->epoch = epoch;
	// Perhaps no other node knows that the number's former node is still to be swept.
	if (layout_state_of(seen) == SEGMENT_REAPING)
		(void)segment_sweep(seg);
	inbox_renew(seg);
	slot_begin(seg);
	address_begin(seg);
	node_write_identity(node, identity);
	address_write(seg, identity->mac, identity->n_macs);
	if (!shared_cas(&node->state, layout_state(SEGMENT_JOINING, epoch), layout_state(SEGMENT_LIVE, epoch))) {
		seg->self = -1;
		return -EBUSY;
	}
	address_moved(seg);
	return 0;
}

void
segment_leave(struct segment *seg)
{
	_Atomic uint64_t *state;

	if (seg->self < 0)
		return;
	if (seg->g.memory == SEGMENT_NONCOHERENT) {
		noncoherent_leave(seg);
		return;
	}
	state = &own_node(seg, (unsigned)seg->self)->state;
	(void)shared_cas(state, layout_state(SEGMENT_LIVE, seg->epoch), layout_state(SEGMENT_REAPING, seg->epoch));
	// also behind a node that others took for dead, and that did not know
	(void)segment_sweep(seg);
	(void)shared_cas(state, layout_state(SEGMENT_REAPING, seg->epoch), layout_state(SEGMENT_FREE, seg->epoch));
	address_moved(seg);
	seg->self = -1;
}

bool
segment_is_expelled(const struct segment *seg)
{
	if (seg->g.memory == SEGMENT_NONCOHERENT)
		return noncoherent_is_expelled(seg);
	return seg->self >= 0 && !own_is_alive(seg, (unsigned)seg->self, seg->epoch);
}

bool
segment_look(const struct segment *seg, unsigned number, struct segment_node_info *ret_info)
{
	const struct layout_node *node = own_node(seg, number);
	struct segment_node_info info = {0};
	uint64_t state, counters[11];

	if (number >= seg->g.n_nodes)
		return false;
	state = node_state(seg, number);
	info.state = layout_state_of(state);
	info.epoch = layout_state_epoch(state);
	if (info.state == SEGMENT_FREE)
		return false;
	info.beat = shared_load(&node->beat);
	info.inbox_depth =
		seg->g.memory == SEGMENT_NONCOHERENT ? noncoherent_depth(seg, number) : inbox_depth(seg, number);
	read_identity(node, &info.identity);
	for (unsigned i = 0; i < 11; i++)
		counters[i] = atomic_load_explicit(i < 6 ? &node->tx[i] : &node->rx[i - 6], memory_order_relaxed);
	info.counters = (struct segment_counters){
		.tx_frames = counters[TX_FRAMES],
		.tx_bytes = counters[TX_BYTES],
		.tx_no_slot = counters[TX_NO_SLOT],
		.tx_inbox_full = counters[TX_INBOX_FULL],
		.tx_nobody = counters[TX_NOBODY],
		.tx_gone = counters[TX_GONE],
		.rx_frames = counters[6 + RX_FRAMES],
		.rx_bytes = counters[6 + RX_BYTES],
		.rx_stale = counters[6 + RX_STALE],
		.rx_bad = counters[6 + RX_BAD],
		.rx_refused = counters[6 + RX_REFUSED],
	};
	*ret_info = info;
	return true;
}
