// A node's own knowledge, in memory that no other node sees; and the ways into the segment.
#pragma once

#include "layout.h"
#include "shared.h"

#define SLOT_CACHE 64 // slots that a sender has at hand; a power of two
#define LEARNED 4096 // addresses behind bridges; a power of two
// For SEGMENT_MAX_NODES * SEGMENT_MAX_MACS addresses, at most a quarter full; a power of two.
#define KNOWN 4096

// The content of one entry of an inbox.
struct own_parcel {
	unsigned n, n_items; // slots; items of its list
	uint32_t slot[SEGMENT_MAX_CHAIN];
	uint64_t word[SEGMENT_MAX_CHAIN]; // of each slot, as seen
	uint64_t item[SEGMENT_MAX_CHAIN]; // layout_item
};

struct segment {
	struct segment_geometry g;
	struct layout at;
	uint8_t *mem;
	unsigned inbox_shift, slot_shift; // log2 of inbox_size, slot_bytes
	int self; // -1: has not joined
	uint16_t epoch;

	// The sending thread.
	struct {
		// a ring; as in struct segment_frame
		_Alignas(SEGMENT_LINE) uint64_t slot[SLOT_CACHE];
		uint32_t first, n_slots, limit; // limit: SLOT_CACHE, or less in a small segment
		uint32_t home, window, at, n_found; // where it looks for free slots: slot.c
		// separate buffers: likewise, for each destination
		uint32_t at_of[SEGMENT_MAX_NODES];
		struct {
			uint64_t position; // where this node looks for the end of an inbox first
			uint16_t epoch;
		} end[SEGMENT_MAX_NODES];
		struct {
			// small frames for that one node go into this slot; to 0: none
			uint64_t to, slot;
			uint32_t used; // bytes
		} open;
		uint64_t addresses; // of the header, when the tables were made
		uint64_t live; // set of nodes, likewise
		uint64_t known[KNOWN]; // address | (node + 1) << 48, 0: none
	} tx;

	_Atomic uint64_t bridges; // set of nodes; sending thread: wo, receiving thread: ro
	// How often the tables may be made again; tending thread: wo, sending thread: rw.
	_Atomic uint32_t may_look;
	_Atomic uint64_t learned[LEARNED]; // as known, and whether it is fresh; see address.c

	// The receiving thread.
	struct {
		_Alignas(SEGMENT_LINE) uint64_t head;
		uint32_t n_covered; // entries from the head on that belong to the parcel before
		uint32_t n_idle; // turns since an entry was found or the inbox mended
		// The parcel that was taken; frames are returned from item `at` and slot `at_slot`
		// on.
		struct own_parcel parcel;
		uint8_t at, at_slot, from;
		uint64_t shared; // its word, when the frame is for several nodes, else 0
	} rx;

	// The tending thread.
	uint64_t aged_ns;
	uint64_t tended_ns; // when last, by the caller's clock
	uint64_t clock_ns; // what of it counts: sweep.c
	uint32_t patrolled; // slots
	struct {
		uint64_t state, beat, since_ns;
	} watched[SEGMENT_MAX_NODES];

	// Coherent: two bytes for each slot, the frames in it that this node has reserved, and
	// those that it has received.
	_Alignas(SEGMENT_LINE) uint8_t more[];
};

static inline struct layout_header *
own_header(const struct segment *seg)
{
	return (struct layout_header *)(void *)seg->mem;
}

static inline struct layout_node *
own_node(const struct segment *seg, unsigned node)
{
	return (struct layout_node *)(void *)(seg->mem + seg->at.nodes) + node;
}

static inline struct layout_inbox *
own_inbox(const struct segment *seg, unsigned node)
{
	return (struct layout_inbox *)(void *)(seg->mem + seg->at.inboxes + node * seg->at.inbox_stride);
}

static inline _Atomic uint64_t *
own_word(const struct segment *seg, uint32_t slot)
{
	return (_Atomic uint64_t *)(void *)(seg->mem + seg->at.words) + slot;
}

static inline struct layout_slot *
own_slot(const struct segment *seg, uint32_t slot)
{
	return (struct layout_slot *)(void *)(seg->mem + seg->at.slots + slot * seg->at.slot_stride);
}

static inline uint8_t *
own_bytes(const struct segment *seg, uint32_t slot)
{
	return (uint8_t *)(own_slot(seg, slot) + 1);
}

static inline uint8_t *
own_n_reserved(struct segment *seg, uint64_t slot)
{
	return &seg->more[(uint32_t)slot];
}

static inline uint8_t *
own_n_received(struct segment *seg, uint64_t slot)
{
	return &seg->more[seg->g.n_slots + (uint32_t)slot];
}

static inline uint64_t
own_mine(const struct segment *seg, uint32_t gen)
{
	return layout_word((unsigned)seg->self, seg->epoch, gen);
}

// Whether the node of that epoch lives. For words of other nodes: load the word first, then ask; a
// dead epoch never comes back.
static inline bool
own_is_alive(const struct segment *seg, unsigned node, uint16_t epoch)
{
	return node < seg->g.n_nodes &&
		shared_load_ordered(&own_node(seg, node)->state) == layout_state(SEGMENT_LIVE, epoch);
}

enum own_tx {
	TX_FRAMES,
	TX_BYTES,
	TX_NO_SLOT,
	TX_INBOX_FULL,
	TX_NOBODY,
	TX_GONE
};
enum own_rx {
	RX_FRAMES,
	RX_BYTES,
	RX_STALE,
	RX_BAD,
	RX_REFUSED
};

static inline void
own_count_tx(struct segment *seg, enum own_tx what, uint64_t n)
{
	if (seg->self >= 0)
		shared_count(&own_node(seg, (unsigned)seg->self)->tx[what], n);
}

static inline void
own_count_rx(struct segment *seg, enum own_rx what, uint64_t n)
{
	if (seg->self >= 0)
		shared_count(&own_node(seg, (unsigned)seg->self)->rx[what], n);
}
