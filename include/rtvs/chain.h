// One packet at a time is followed on its way to a guest, and the answer on its way back. Its times
// are those of arrival, queueing, putting into the ring, kick, consumption and answer, and of the
// answer's departure. Several threads take turns: the stage names the thread whose turn it is, and
// each step belongs to one thread (below). No thread ever waits. Times are ns on one monotonic
// clock. owner: the worker that sends packets to the guest. poller: a worker that takes packets
// from the guest. sender: a worker that forwards those.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CHAIN_KEPT 1024 // unread records; a power of 2
#define CHAIN_TIMEOUT_NS UINT64_C(200000000) // for each of: to be put, consumed, answered

struct chain_record { // 0: it did not come so far
	uint64_t arrived_ns; // at the switch
	uint64_t queued_ns; // reached the guest's egress
	uint64_t prewoken_ns; // the guest was kicked ahead of it
	uint64_t put_ns; // its burst was about to be put into the ring,
	uint64_t kicked_ns; // was in it, and the guest kicked, if it wanted to be
	// time at which the guest's driver had emptied the ring and asked for an interrupt
	uint64_t consumed_ns;
	uint64_t answered_ns; // a packet back was taken from the guest
	uint64_t left_ns; // and given to where it went
	uint32_t depth; // packets in the ring before that the driver had not told to have consumed
	bool is_kicked; // else the guest was polling
};

// The two ends of a packet.
struct chain_key {
	uint64_t src_mac, dst_mac;
	uint8_t src[16], dst[16]; // IP, ARP; 0 where there is none
	uint16_t src_port, dst_port;
	uint16_t ether_type;
	uint8_t proto;
};

// How far the guest is with a ring, as it says itself.
struct chain_ring {
	uint32_t cycle; // indices are below it and begin at 0 again
	uint16_t put; // index behind the last packet given
	// The driver asks for a kick with the packet of this index: it has consumed all before.
	uint16_t wanted;
	bool is_polling; // it wants no kicks
};

struct chain {
	// id of the packet in flight, and its stage: a late thread advances no other packet
	_Atomic uint64_t state;
	_Atomic uint64_t interval_ns; // between two packets followed; any thread
	uint64_t next_ns, step_ns; // owner
	uint16_t end; // owner: index behind its burst
	uint32_t n_skipped; // owner: packets that could have been followed since the last one
	_Atomic uint64_t key[sizeof(struct chain_key) / 8]; // owner: wo before it is put
	struct chain_record record; // owner; the atomics below are merged into it at the end
	_Atomic uint64_t consumed_ns, answered_ns, left_ns;
	_Atomic uint64_t wake_ns; // median of kicked to consumed, 0: not known yet
	uint64_t n_wakes; // measured
	struct chain_record kept[CHAIN_KEPT];
	_Atomic uint32_t n_written, n_read;
	_Atomic uint64_t lost;
};

void chain_init(struct chain *c, uint64_t interval_ns);

// Owner, for a unicast packet that reached the egress. True: the packet is followed; chain_put
// recognises it by *ret_id.
bool chain_begin(struct chain *c, const struct chain_key *key, uint64_t arrived_ns, uint32_t *ret_id, uint64_t now_ns);
// Owner: whether chain_begin may follow a packet.
bool chain_is_due(const struct chain *c, uint64_t now_ns);
bool chain_is_queued(const struct chain *c, uint32_t id); // owner
// Owner: its burst was put between put_ns and now. `before` is the former state of the ring, NULL:
// not known. put: the index after it.
void chain_put(struct chain *c, const struct chain_ring *before, uint16_t put, uint64_t prewoken_ns, uint64_t put_ns,
	uint64_t now_ns);
bool chain_is_watched(const struct chain *c); // owner: a worker waits to see the packet consumed
// Owner, whenever it can: ring as it is, NULL: not known. Ends what took too long.
void chain_look(struct chain *c, const struct chain_ring *ring, uint64_t now_ns);
bool chain_is_unanswered(const struct chain *c); // poller: an answer is waited for
// Poller: is a packet from the guest the answer? Then *ret_id is to be recognised by chain_left.
bool chain_answer(struct chain *c, const struct chain_key *key, uint32_t *ret_id, uint64_t now_ns);
void chain_left(struct chain *c, uint32_t id, uint64_t now_ns); // sender

// Whether to kick a sleeping guest ahead of a packet. Now and then the answer is no, so that its
// wake-up can be measured.
bool chain_may_prewake(const struct chain *c);

// one thread; false: nothing more
bool chain_next(struct chain *c, struct chain_record *ret_record);

static inline bool
chain_is_asleep(const struct chain_ring *ring)
{
	return !ring->is_polling && ring->put == ring->wanted;
}
