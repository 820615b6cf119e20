// A lane leads from one node to another in memory that hosts do not see alike. It is a ring of
// words that the sender alone writes, and one word of the reader: the number of entries that it has
// finished. Internal to src/vni.
//
// A word is an entry: full, the reader's epoch, the lap, and the frame, namely its length, how many
// slots, the first one. So a remainder of another lap or another life of the reader is no entry,
// however late a line arrives, and no tail is shared. Positions count on through the laps, from 0
// for each life of the reader.
//
// The pool is divided: node i sends from its n_slots / n_nodes slots. It alone writes them and
// decides that one is free again. The use of a slot is recorded in private memory; lane_tx_begin
// finds the slots that a former life of the node has left.
#pragma once

#include "lines.h"
#include "own.h"

#define ENTRY_SLOT_BITS 20 // SEGMENT_MAX_SLOTS of two nodes
#define ENTRY_COUNT_SHIFT ENTRY_SLOT_BITS
#define ENTRY_LEN_SHIFT (ENTRY_COUNT_SHIFT + 6)
#define ENTRY_LEN_MASK 0x1ffffu
// The first slot's header says more: offload, the other slots.
#define ENTRY_MORE (UINT64_C(1) << (ENTRY_LEN_SHIFT + 17))
#define ENTRY_LAP_SHIFT (ENTRY_LEN_SHIFT + 18)
#define ENTRY_LAP_MASK 7u
#define ENTRY_EPOCH_SHIFT (ENTRY_LAP_SHIFT + 3)
#define ENTRY_FULL (UINT64_C(1) << 63)
#define ENTRY_OF_FRAME ((UINT64_C(1) << ENTRY_LAP_SHIFT) - 1)
#define LANE_GONE (UINT64_C(1) << 16)
#define POSITION_MASK ((UINT64_C(1) << 48) - 1)
#define NO_SLOT UINT32_MAX

static_assert(ENTRY_EPOCH_SHIFT + 16 == 63, "an entry is one word");

enum lane_expelled {
	LANE_NOT_EXPELLED,
	LANE_TAKEN_FOR_DEAD,
	LANE_ROBBED, // another node has written this node's entry
};

// A node's private knowledge; the arrays follow it.
struct lanes {
	enum lines_how how;
	uint32_t per_node; // slots of a partition

	// The tending thread writes, all read.
	_Atomic uint64_t live; // set of nodes
	_Atomic uint64_t life[SEGMENT_MAX_NODES]; // the state of a living node, else 0
	_Atomic uint64_t addresses; // moves when a node has come, gone, or moved its addresses
	_Atomic uint32_t expelled; // enum lane_expelled
	// The state in which a node was taken for dead: it is dead in that epoch.
	_Atomic uint64_t dead[SEGMENT_MAX_NODES];

	// The tending thread.
	uint64_t seen_addresses[SEGMENT_MAX_NODES];
	uint64_t incarnation;

	// The sending thread. Slots are counted from the partition's first.
	struct {
		_Alignas(SEGMENT_LINE) uint64_t life; // the reader's, for which the lane is used
		uint64_t tail, passed, written; // passed: as the reader said; written: back
		uint32_t n_slots; // that the reader is not done with
	} tx[SEGMENT_MAX_NODES];
	uint32_t free; // the first free slot; the others by next[]
	uint32_t n_free, n_reserved, n_out;
	uint32_t n_touched; // slots below may have lines that were not written back
	bool has_collected; // in this call
	uint32_t *next; // of a slot: the next of the frame, or the next free one
	uint8_t *use; // of a slot: enum slot_use
	uint8_t *n_readers; // of a frame's first slot
	uint32_t *entry; // of each lane: first slot | n_slots << ENTRY_COUNT_SHIFT, or NO_SLOT

	// The receiving thread.
	struct {
		_Alignas(SEGMENT_LINE) uint64_t head, passed;
		uint64_t hole; // head + 1 when an entry behind the head was seen without it
		bool is_busy; // more than one line is looked at
	} rx[SEGMENT_MAX_NODES];
	unsigned turn; // whose lane is first
	uint32_t n_turns;
	uint64_t *released; // of each lane a bit an entry
};

static inline struct lanes *
lane_own(const struct segment *seg)
{
	return (struct lanes *)(void *)(uintptr_t)seg->more;
}

static inline struct layout_lane *
lane_at(const struct segment *seg, unsigned from, unsigned to)
{
	size_t stride = sizeof(struct layout_lane) + seg->g.inbox_size * sizeof(uint64_t);

	return (struct layout_lane *)(void *)(seg->mem + seg->at.inboxes + (from * seg->g.n_nodes + to) * stride);
}

static inline struct layout_passed *
lane_passed(const struct segment *seg, unsigned reader, unsigned from)
{
	size_t n_nodes = seg->g.n_nodes;

	return (struct layout_passed *)(void *)lane_at(seg, seg->g.n_nodes, 0) + reader * n_nodes + from;
}

static inline uint64_t
lane_ahead(uint64_t position, uint64_t of) // by how much
{
	return (position - of) & POSITION_MASK;
}

static inline _Atomic uint64_t *
lane_entry(const struct segment *seg, struct layout_lane *lane, uint64_t position)
{
	return &lane->entry[position & (seg->g.inbox_size - 1)];
}

static inline uint64_t
// of an entry there, beside the frame
lane_mark(const struct segment *seg, uint16_t epoch, uint64_t position)
{
	return ENTRY_FULL | (uint64_t)epoch << ENTRY_EPOCH_SHIFT |
		((position >> seg->inbox_shift) & ENTRY_LAP_MASK) << ENTRY_LAP_SHIFT;
}

static inline bool
lane_is_full(const struct segment *seg, uint64_t entry, uint16_t epoch, uint64_t position)
{
	return (entry & ~ENTRY_OF_FRAME) == lane_mark(seg, epoch, position);
}

static inline uint32_t
lane_slot_of(uint64_t entry)
{
	return (uint32_t)entry & ((1u << ENTRY_SLOT_BITS) - 1);
}

static inline uint32_t
lane_count_of(uint64_t entry)
{
	return (uint32_t)(entry >> ENTRY_COUNT_SHIFT) & 0x3f;
}

// Entries from a position on, which may be more than one piece.
void lane_drop(const struct segment *seg, unsigned from, unsigned to, uint64_t position, uint32_t n);
void lane_write_back(const struct segment *seg, unsigned to, uint64_t position, uint64_t n);
// How many slots wait, for who looks: it reads up to the first entry that is none.
uint32_t lane_n_waiting(const struct segment *seg, unsigned from, unsigned to, uint16_t epoch);

// Sending thread. join: before there are threads; takes over the lanes to all living nodes from the
// node's former life.
void lane_tx_join(struct segment *seg);
// ret_frame->n_slots of them
int lane_tx_reserve(struct segment *seg, struct segment_frame *ret_frame);
void lane_tx_unreserve(struct segment *seg, const struct segment_frame *frame);
unsigned lane_tx_send(struct segment *seg, struct segment_frame *frames, unsigned n);

// Receiving thread.
void lane_rx_join(struct segment *seg);
unsigned lane_rx_receive(struct segment *seg, struct segment_frame *ret_frames, unsigned n);
void lane_rx_release(struct segment *seg, const struct segment_frame *frames, unsigned n);
bool lane_rx_is_idle(struct segment *seg); // no frame waits
