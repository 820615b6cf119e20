// Two tables. `known` has the addresses that the nodes have written, and is built anew when the
// header says that one has moved. `learned` has addresses behind bridges, from the frames that come
// from them. Known addresses take precedence. An address that is in neither goes to all bridges.
//
// O(1) a frame. A node that moves its addresses all the time makes a sender build its table LOOKS
// times between two tendings at most.
#include "address.h"

#include "lane.h"
#include "node.h"

#include <endian.h>
#include <string.h>

#define LOOKS 16
// An address is forgotten after one to two of these without a frame.
#define AGE_NS UINT64_C(150000000000)
#define FRESH (UINT64_C(1) << 63)
#define MAC_MASK ((UINT64_C(1) << 48) - 1)

static uint64_t
pack(const uint8_t mac[6])
{
	uint32_t low;
	uint16_t high;

	memcpy(&low, mac, sizeof(low));
	memcpy(&high, mac + sizeof(low), sizeof(high));
	return le32toh(low) | (uint64_t)le16toh(high) << 32;
}

static uint32_t
hash(uint64_t mac)
{
	return (uint32_t)((mac * UINT64_C(0x9e3779b97f4a7c15)) >> 52); // 12 bits
}

static unsigned
node_of(uint64_t entry)
{
	return ((unsigned)(entry >> 48) & 0x7f) - 1;
}

uint8_t
address_read(const struct layout_node *node, struct mac ret_macs[SEGMENT_MAX_MACS])
{
	uint64_t n = shared_load(&node->n_macs);

	if (n > SEGMENT_MAX_MACS)
		n = 0;
	for (unsigned i = 0; i < n; i++) {
		uint64_t mac = shared_load(&node->mac[i]);

		for (unsigned k = 0; k < 6; k++)
			ret_macs[i].b[k] = (uint8_t)(mac >> 8 * k);
	}
	return (uint8_t)n;
}

static uint64_t
moves(const struct segment *seg)
{
	return seg->g.memory == SEGMENT_NONCOHERENT ?
		atomic_load_explicit(&lane_own(seg)->addresses, memory_order_acquire) :
		shared_load(&own_header(seg)->addresses);
}

void
address_moved(struct segment *seg)
{
	if (seg->g.memory == SEGMENT_NONCOHERENT) {
		node_moved(seg);
		return;
	}
	SHARED_STEP();
	atomic_fetch_add(&own_header(seg)->addresses, 1);
}

void
address_write(struct segment *seg, const struct mac *macs, unsigned n)
{
	struct layout_node *node = own_node(seg, (unsigned)seg->self);

	shared_store(&node->n_macs, 0);
	for (unsigned i = 0; i < n; i++)
		shared_store(&node->mac[i], pack(macs[i].b));
	shared_store(&node->n_macs, n);
	address_moved(seg);
}

static void
know(struct segment *seg, uint64_t mac, unsigned node)
{
	uint32_t at = hash(mac);

	while (seg->tx.known[at % KNOWN] && (seg->tx.known[at % KNOWN] & MAC_MASK) != mac)
		at++;
	if (!seg->tx.known[at % KNOWN]) // the node with the lowest number has it
		seg->tx.known[at % KNOWN] = mac | (uint64_t)(node + 1) << 48;
}

static void
look(struct segment *seg)
{
	uint64_t bridges = 0, live = 0;

	for (unsigned i = 0; i < KNOWN; i++)
		seg->tx.known[i] = 0;
	for (unsigned i = 0; i < seg->g.n_nodes; i++) {
		const struct layout_node *node = own_node(seg, i);
		struct mac macs[SEGMENT_MAX_MACS];
		uint8_t n;

		if (i == (unsigned)seg->self || layout_state_of(node_state(seg, i)) != SEGMENT_LIVE)
			continue;
		live |= UINT64_C(1) << i;
		if (shared_load(&node->who) >> 32 & SEGMENT_BRIDGE)
			bridges |= UINT64_C(1) << i;
		n = address_read(node, macs);
		for (unsigned k = 0; k < n; k++)
			know(seg, pack(macs[k].b), i);
	}
	seg->tx.live = live;
	atomic_store_explicit(&seg->bridges, bridges, memory_order_relaxed);
}

static void
look_if_moved(struct segment *seg)
{
	uint64_t addresses = moves(seg);
	uint32_t looks = atomic_load_explicit(&seg->may_look, memory_order_relaxed);

	if (addresses == seg->tx.addresses || !looks)
		return;
	atomic_store_explicit(&seg->may_look, looks - 1, memory_order_relaxed);
	seg->tx.addresses = addresses;
	look(seg);
}

void
address_begin(struct segment *seg)
{
	seg->tx.addresses = moves(seg) - 1;
	atomic_store(&seg->may_look, LOOKS);
	for (unsigned i = 0; i < LEARNED; i++)
		atomic_store_explicit(&seg->learned[i], 0, memory_order_relaxed);
}

static uint64_t
find(const struct segment *seg, uint64_t mac)
{
	uint64_t bridges = atomic_load_explicit(&seg->bridges, memory_order_relaxed), entry;

	if (mac & 1)
		return seg->tx.live;
	for (uint32_t at = hash(mac); (entry = seg->tx.known[at % KNOWN]); at++)
		if ((entry & MAC_MASK) == mac)
			return UINT64_C(1) << node_of(entry);
	entry = atomic_load_explicit(&seg->learned[hash(mac)], memory_order_relaxed);
	if (entry && (entry & MAC_MASK) == mac && bridges >> node_of(entry) & 1)
		return UINT64_C(1) << node_of(entry);
	return bridges;
}

uint64_t
segment_route(struct segment *seg, const uint8_t mac[6])
{
	look_if_moved(seg);
	return find(seg, pack(mac));
}

void
address_learn(struct segment *seg, const uint8_t mac[6], unsigned from)
{
	uint64_t entry;
	_Atomic uint64_t *learned;

	if (mac[0] & 1)
		return;
	entry = pack(mac) | (uint64_t)(from + 1) << 48 | FRESH;
	learned = &seg->learned[hash(entry & MAC_MASK)];
	if (atomic_load_explicit(learned, memory_order_relaxed) != entry)
		atomic_store_explicit(learned, entry, memory_order_relaxed);
}

void
address_age(struct segment *seg, uint64_t now_ns)
{
	atomic_store_explicit(&seg->may_look, LOOKS, memory_order_relaxed);
	if (now_ns - seg->aged_ns < AGE_NS)
		return;
	seg->aged_ns = now_ns;
	for (unsigned i = 0; i < LEARNED; i++) {
		uint64_t entry = atomic_load_explicit(&seg->learned[i], memory_order_relaxed);

		if (entry)
			atomic_store_explicit(
				&seg->learned[i], entry & FRESH ? entry & ~FRESH : 0, memory_order_relaxed);
	}
}
