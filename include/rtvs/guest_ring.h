// Virtqueues of a guest's network card as the device sees them: split and packed, with chains,
// indirect tables, mergeable receive buffers, and both kinds of suppression. Pure: the caller maps
// memory, fences, waits and signals.
// Sources: Virtio 1.2, sections 2.7 (split), 2.8 (packed) and 5.1.6 (network device operation).
//
// Each word of the guest is read once, copied, then checked. A ring that contradicts the
// specification is broken: it says which fault, and does nothing more until it is set up again. No
// descriptor is held beyond one turn:
//
//     guest_ring_take (rings from the guest), guest_ring_deliver (rings to guests): any number
//     guest_ring_publish for each ring that was touched
//     one atomic_thread_fence(memory_order_seq_cst) for all
//     guest_ring_must_signal for each: the caller writes to the eventfd where it says true
//
// One thread at a time uses a ring. Multi-byte fields are little-endian, as the host.
#pragma once

#include "rtvs/guest_log.h"
#include "rtvs/guest_mem.h"

#include <stdbool.h>
#include <stdint.h>

#define GUEST_RING_MAX 32768 // descriptors of a ring
#define GUEST_BURST 32 // frames taken at once
#define GUEST_HEAD 128 // bytes of a frame that are copied as it is taken
#define GUEST_BURST_PIECES 1024 // of all frames of a burst; a single frame may have so many
#define GUEST_MERGE_MAX 256 // receive buffers of one frame, and contiguous pieces of them

// clang-format off
#define GUEST_RING_FAULTS(X) \
	X(NONE, "none") \
	X(INDEX, "more buffers are offered than the ring has") \
	X(HEAD, "a buffer begins beyond the ring") \
	X(CHAIN, "a chain has more descriptors than the ring, or leaves it") \
	X(INDIRECT, "an indirect table is nested, has a successor, no whole descriptors, or was not negotiated") \
	X(ADDRESS, "an address is not in the guest's memory") \
	X(EMPTY, "a descriptor has no bytes") \
	X(DIRECTION, "a buffer has the wrong direction") \
	X(SHORT, "a frame is shorter than its header") \
	X(PIECES, "a frame is in too many pieces")
// clang-format on

enum guest_ring_fault {
#define X(name, text) GUEST_RING_FAULT_##name,
	GUEST_RING_FAULTS(X)
#undef X
	GUEST_RING_N_FAULTS
};

struct guest_state;

// The next descriptor on either side. A split ring has no wraps; its indexes count to 65535.
struct guest_ring_pos {
	uint16_t avail, used;
	bool avail_wrap, used_wrap;
};

struct guest_ring_cfg {
	// Host addresses of the ring's three parts, whole: descriptors (16 bytes aligned), the
	// driver's part (avail ring, driver event) and the device's part (used ring, device event),
	// both 4 bytes aligned. guest_ring_bytes says how many bytes each has.
	void *desc, *driver, *device;
	uint64_t desc_guest, device_guest; // where these are in the guest, for the dirty log
	uint16_t size; // descriptors: 1 to GUEST_RING_MAX, of a split ring a power of 2
	uint8_t hdr_bytes; // 10: legacy without mergeable buffers; else 12
	bool is_packed, has_event_idx, has_indirect, has_mergeable;
	const struct guest_mem *mem; // of the buffers; lives as long as the ring
	struct guest_log log;
	struct guest_ring_pos pos;
	struct guest_state *state; // of a packed ring (rtvs/guest_state.h), NULL: it is not kept
};

struct guest_ring_bytes {
	uint64_t desc, driver, device;
};

// The header of a frame (struct virtio_net_hdr), without num_buffers.
struct guest_hdr {
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset;
};

// Contiguous bytes of a guest, valid for the turn in which they were found.
struct guest_piece {
	uint8_t *at;
	uint64_t guest; // its guest-physical address
	uint32_t n_bytes;
};

struct guest_frame {
	uint8_t *head; // the caller's room for GUEST_HEAD bytes, for a copy of its first ones
	struct guest_hdr hdr; // a copy
	uint32_t n_bytes; // of the frame
	uint16_t n_head; // of these, in head; the rest is in pieces
	uint16_t first_piece, n_pieces; // in the burst
};

struct guest_burst {
	struct guest_frame frame[GUEST_BURST];
	struct guest_piece piece[GUEST_BURST_PIECES];
	uint32_t n_pieces;
};

#define GUEST_RING_UNKNOWN (1u << 16)

// How bytes are copied: by moves of 16 bytes (or what the compiler has elsewhere), 32 or 64.
enum guest_moves {
	GUEST_MOVES_PLAIN,
	GUEST_MOVES_AVX2,
	GUEST_MOVES_AVX512
};

// Workers write to rings in turn, so that no two are on one cache line.
struct __attribute__((aligned(64))) guest_ring {
	struct guest_ring_cfg cfg;
	struct guest_ring_pos pos;
	uint16_t mask; // split: size - 1
	uint16_t seen; // split: the avail index as it was last read
	uint16_t published; // split: used index as the guest may see it
	uint16_t told; // used position when the guest was last asked whether it wants a signal
	bool repeats; // split: used entries are compared before they are written
	// packed: the first used descriptor that is not published, if is_held. It is written whole
	// then: a device that dies before leaves it as the driver offered it.
	uint16_t held_at;
	bool is_held, is_told;
	uint64_t held; // its second half
	// While the driver's word here has this value, it offers no further buffer;
	// GUEST_RING_UNKNOWN: which that is, is not known.
	const uint16_t *quiet_at;
	uint32_t quiet;
	enum guest_ring_fault fault;
	enum guest_moves moves; // the widest that the CPU has
	uint32_t hint; // of guest_mem
};

struct guest_ring_bytes guest_ring_bytes(uint16_t size, bool is_packed);

// Errors: -EINVAL (a size, position, header or alignment out of the ranges above).
int guest_ring_init(struct guest_ring *r, const struct guest_ring_cfg *cfg);

// How many buffers the driver offers, n (GUEST_BURST at most) at most: no more frames can be taken.
// 0 also where the ring is broken, r->fault tells.
unsigned guest_ring_count(struct guest_ring *r, unsigned n);

// 0: nothing has come since guest_ring_count, which found no buffer. Else something may have. The
// cheapest look at a ring: it reads one word of the driver.
static inline uint32_t
guest_ring_peek(const struct guest_ring *r)
{
	return __atomic_load_n(r->quiet_at, __ATOMIC_RELAXED) ^ r->quiet;
}

// Takes up to n (GUEST_BURST at most) frames that the driver sends, and marks their buffers used.
// burst->frame[0 .. n) have room for their heads. Returns how many, as guest_ring_count.
unsigned guest_ring_take(struct guest_ring *r, struct guest_burst *burst, unsigned n);

// Copies a frame, which is the pieces one after another, into the driver's next receive buffers,
// behind a header made of *hdr. n_pieces: 1 at least. Returns 0 or an error. -EAGAIN: there are too
// few buffers so far. -EMSGSIZE: the next buffer is too small and buffers cannot be merged, or the
// frame would need more than GUEST_MERGE_MAX or the ring has. -EPROTO: the ring is broken. Nothing
// is taken then.
int guest_ring_deliver(
	struct guest_ring *r, const struct guest_hdr *hdr, const struct guest_piece *piece, unsigned n_pieces);

// Copies n frames of a burst, which[] of them, as guest_ring_deliver does: none of them asks for
// anything. Returns how many, from the front. The next, if any, needs more than one contiguous
// buffer, or there is none so far: guest_ring_deliver tells.
unsigned guest_ring_deliver_frames(
	struct guest_ring *r, const struct guest_burst *burst, const uint8_t *which, unsigned n);

// Makes what was used since the last call visible to the guest, then marks the dirty log.
void guest_ring_publish(struct guest_ring *r);

// After a full fence: does the driver want a signal for what was published? The first call after
// guest_ring_init says true: whatever a former device owed is told by that.
bool guest_ring_must_signal(struct guest_ring *r);

// Asks the driver to kick when it offers a buffer, or not to. After asking, the caller fences, then
// looks once more (guest_ring_has_work). A driver may kick in any case.
void guest_ring_arm(struct guest_ring *r, bool is_on);

// buffers that the device has not taken; false: it is broken
bool guest_ring_has_work(const struct guest_ring *r);

// How far the driver is, as it says itself. Positions are below `circle` and begin at 0 again.
struct guest_ring_progress {
	uint32_t circle;
	uint32_t used; // behind the last buffer that was delivered, published or not
	// It wants a signal for the buffer of this position: it has consumed all before.
	uint32_t wanted;
	bool is_polling; // it wants no signals
};

// False: the driver does not say, as one without F_EVENT_IDX, or one that wants each signal.
bool guest_ring_look(const struct guest_ring *r, struct guest_ring_progress *ret_progress);

const char *guest_ring_fault_text(enum guest_ring_fault fault);
