// The layout of a segment, and the words that nodes share. docs/segment.md is this file in prose.
//
// header | nodes | inboxes | slot words | slots, each part at a multiple of SEGMENT_PAGE. Each word
// has few writers. Most words change only by compare-and-swap from a value that was seen, so that a
// node overtaken by a reaper does no harm.
#pragma once

#include "rtvs/segment.h"

#include <assert.h>
#include <stdatomic.h>

#define SEGMENT_PAGE 4096
#define SEGMENT_LINE 64
#define SEGMENT_MAGIC UINT64_C(0x4745535356545200) // "\0RTVSSEG", little-endian; written last

// The first page. Everything before `addresses` is written once.
struct layout_header {
	_Atomic uint64_t magic;
	uint32_t version;
	uint32_t memory, buffers;
	uint32_t n_nodes, n_slots, slot_bytes, inbox_size;
	uint32_t reserved;
	uint64_t bytes; // of the object
	uint8_t id[16];
	_Alignas(SEGMENT_LINE) _Atomic uint64_t addresses; // moves after a node's addresses did
	_Alignas(SEGMENT_LINE) _Atomic uint64_t n_reaped;
};

// state: enum segment_state | epoch << 8. Whole words, so that a reader sees each as its writer
// wrote it.
struct layout_node {
	_Alignas(SEGMENT_LINE) _Atomic uint64_t state; // by compare-and-swap
	_Alignas(SEGMENT_LINE) _Atomic uint64_t host[2]; // the rest of the entry: the node writes
	_Atomic uint64_t who; // pid | flags << 32
	_Atomic uint64_t mtu;
	_Atomic uint64_t n_macs;
	_Atomic uint64_t mac[SEGMENT_MAX_MACS]; // first byte lowest
	_Atomic uint64_t name[RTVS_NAME_SIZE / 8];
	_Alignas(SEGMENT_LINE) _Atomic uint64_t beat;
	_Atomic uint64_t addresses; // non-coherent: moves after the node's addresses did
	// Non-coherent: of the writer of the entry, so that two nodes with one number notice.
	_Atomic uint64_t incarnation;
	_Alignas(SEGMENT_LINE) _Atomic uint32_t asleep; // the node sets it, senders clear it
	_Alignas(SEGMENT_LINE) _Atomic uint64_t tx[6]; // as in struct segment_counters
	_Atomic uint64_t held; // non-coherent: slots handed over | slots reserved << 32
	_Alignas(SEGMENT_LINE) _Atomic uint64_t rx[5];
};

// Entries follow at once.
struct layout_inbox {
	_Alignas(SEGMENT_LINE) _Atomic uint64_t tail; // a hint: senders look for the end from here
	_Alignas(SEGMENT_LINE) _Atomic uint64_t head; // the node writes it, for who looks
	_Alignas(SEGMENT_LINE) _Atomic uint64_t entry[];
};

// Of a non-coherent segment, instead of inboxes: n_nodes lanes from node 0, one to each node, then
// those from node 1, and so on. After the lanes there are as many struct layout_passed in the same
// order of their *readers*. See lane.h.
struct layout_lane {
	// LANE_GONE | epoch of a reader that the sender took for dead
	_Alignas(SEGMENT_LINE) _Atomic uint64_t gone;
	_Alignas(SEGMENT_LINE) _Atomic uint64_t entry[];
};

struct layout_passed {
	// reader's epoch << 48 | entries that it has finished
	_Alignas(SEGMENT_LINE) _Atomic uint64_t passed;
};

// At the beginning of a slot, in front of its bytes. The sender writes it.
struct layout_slot {
	// Of a parcel's first slot: all its slots and frames, this one first, as layout_item.
	_Alignas(SEGMENT_LINE) _Atomic uint64_t first;
	_Atomic uint64_t offload[2]; // of a frame's first slot, if it has any; see frame.c
	_Atomic uint64_t n_items; // of the parcel
	// Of a frame for several nodes: the relation of each of 16 nodes to it, see share.h.
	_Atomic uint64_t share[4];
	// After `first`. Non-coherent: a frame's other slots, their numbers in the sender's
	// partition.
	_Atomic uint64_t other[SEGMENT_MAX_CHAIN - 1];
};

static_assert(sizeof(struct layout_header) <= SEGMENT_PAGE, "one page");
static_assert(sizeof(struct layout_slot) % (2 * SEGMENT_LINE) == SEGMENT_LINE, "slots of an odd number of lines");

// Where the parts begin, from the geometry alone.
struct layout {
	size_t nodes, inboxes, words, slots, bytes;
	size_t inbox_stride, slot_stride;
};

void segment_layout(const struct segment_geometry *g, struct layout *ret_layout);

// A slot's word names its owner: owner + 1, or 0: free; the owner's epoch; and a generation. The
// generation moves whenever the slot is freed or taken by a receiver, so that no node mistakes a
// slot for its former use.
#define WORD_SHARED (UINT64_C(1) << 55) // a frame for several nodes: share.h

static inline uint64_t
layout_word(unsigned node, uint16_t epoch, uint32_t gen)
{
	return (uint64_t)(node + 1) << 56 | (uint64_t)epoch << 32 | gen;
}

static inline unsigned
layout_word_owner(uint64_t word) // SEGMENT_MAX_NODES or more: no node's number
{
	return (unsigned)(word >> 56) - 1;
}

static inline bool
layout_word_is_free(uint64_t word)
{
	return !(word >> 56);
}

static inline uint16_t
layout_word_epoch(uint64_t word)
{
	return (uint16_t)(word >> 32);
}

static inline uint64_t
layout_word_freed(uint64_t word)
{
	return (uint32_t)((uint32_t)word + 1);
}

static inline bool
layout_word_is(uint64_t word, unsigned node, uint16_t epoch)
{
	return layout_word_owner(word) == node && layout_word_epoch(word) == epoch;
}

// How an inbox or a slot names a slot: its number, and the low bits of its generation as a tag.
#define REF_SLOT_BITS 21
#define REF_TAG_BITS 22
#define REF_BITS (REF_SLOT_BITS + REF_TAG_BITS)
#define REF_TAG_MASK ((1u << REF_TAG_BITS) - 1)

static inline uint64_t
layout_ref(uint32_t slot, uint64_t word)
{
	return slot | (word & REF_TAG_MASK) << REF_SLOT_BITS;
}

static inline uint32_t
layout_ref_slot(uint64_t ref)
{
	return (uint32_t)ref & ((1u << REF_SLOT_BITS) - 1);
}

// An item of a parcel's list: a slot, and the length of the frame that begins there, 0: it
// continues. Or, with ITEM_PACKED, one more frame in the same slot: where it begins, its length,
// and its checksum fields, in place of the reference.
#define ITEM_LEN_BITS 17
#define ITEM_OFFLOAD (UINT64_C(1) << 63) // the frame's slot has more to say
#define ITEM_PACKED (UINT64_C(1) << 62)
#define PACK_ALIGN 64
#define PACK_OFFSET_BITS 10 // in units of PACK_ALIGN
#define PACK_FLAGS_BITS 2
#define PACK_CSUM_BITS 15

static_assert(PACK_OFFSET_BITS + PACK_FLAGS_BITS + 2 * PACK_CSUM_BITS <= REF_BITS, "in place of a reference");
static_assert(SEGMENT_MAX_SLOT_BYTES / PACK_ALIGN <= 1 << PACK_OFFSET_BITS, "any place of a slot");

static inline uint64_t
layout_item(uint64_t ref, uint32_t len)
{
	return ref | (uint64_t)len << REF_BITS;
}

static inline uint32_t
layout_item_len(uint64_t item)
{
	return (uint32_t)(item >> REF_BITS) & ((1u << ITEM_LEN_BITS) - 1);
}

static inline bool
layout_ref_fits(uint64_t ref, uint64_t word)
{
	return ((ref >> REF_SLOT_BITS) & REF_TAG_MASK) == (word & REF_TAG_MASK);
}

// A node's state with its epoch. A joining node owns nothing yet; after its end, its epoch never
// comes back.
static inline uint64_t
layout_state(enum segment_state state, uint16_t epoch)
{
	return (uint64_t)state | (uint64_t)epoch << 8;
}

static inline enum segment_state
layout_state_of(uint64_t state)
{
	return (enum segment_state)(state & 3);
}

static inline uint16_t
layout_state_epoch(uint64_t state)
{
	return (uint16_t)(state >> 8);
}
