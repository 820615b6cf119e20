// Frames between nodes. A sender takes slots, writes frames, and names the slots in the receiver's
// inbox, in parcels: the frames of one burst for one node cost one entry. The receiver makes the
// slots its own, reads, and frees them. A node that dies in between leaves words that name a dead
// node, by which sweep.c finds the slots.
#include "frame.h"

#include "address.h"
#include "inbox.h"
#include "lane.h"
#include "noncoherent.h"
#include "own.h"
#include "parcel.h"
#include "piece.h"
#include "share.h"
#include "slot.h"

#include <errno.h>
#include <string.h>

#define PACK_MAX 32 // frames of one slot
#define PARCELS_MAX 64 // that one call takes, of which all may be stale
#define IDLE_TURNS 4096 // without an entry, before it is looked for a hole

static bool
is_one(uint64_t set)
{
	return set && !(set & (set - 1));
}

// All nodes that there may be but this one.
static uint64_t
others(const struct segment *seg)
{
	return UINT64_MAX >> (SEGMENT_MAX_NODES - seg->g.n_nodes) & ~(UINT64_C(1) << seg->self);
}

static uint32_t
room_for(uint32_t len)
{
	return (len + PACK_ALIGN - 1) & ~(uint32_t)(PACK_ALIGN - 1);
}

// A place behind small frames of the same burst for the same node: a slot costs both sides a
// compare-and-swap or two, a frame in it none.
static bool
pack(struct segment *seg, struct segment_frame *frame)
{
	uint64_t slot = seg->tx.open.slot;

	if (seg->tx.open.to != frame->to || !frame->to ||
		seg->tx.open.used + room_for(frame->len) > seg->g.slot_bytes || *own_n_reserved(seg, slot) == PACK_MAX)
		return false;
	frame->slot[0] = slot;
	frame->offset = (uint16_t)seg->tx.open.used;
	seg->tx.open.used += room_for(frame->len);
	++*own_n_reserved(seg, slot);
	return true;
}

static int
reserve_slots(struct segment *seg, struct segment_frame *frame)
{
	unsigned first_to = frame->to ? (unsigned)__builtin_ctzll(frame->to) : 0, got;

	for (got = 0; got < frame->n_slots; got++)
		if (!slot_take(seg, first_to, &frame->slot[got]))
			break;
	if (got < frame->n_slots) {
		while (got--)
			slot_untake(seg, frame->slot[got]);
		own_count_tx(seg, TX_NO_SLOT, 1);
		return -ENOBUFS;
	}
	*own_n_reserved(seg, frame->slot[0]) = 1;
	return 0;
}

int
segment_reserve(struct segment *seg, uint64_t to, uint32_t len, struct segment_frame *ret_frame)
{
	int rc;

	if (len < FRAME_MIN || len > SEGMENT_MAX_FRAME)
		return -EMSGSIZE;
	// Also when others took this node for dead: slots that it takes now would never come back.
	if (seg->self < 0 || !own_is_alive(seg, (unsigned)seg->self, seg->epoch))
		return -ENOTCONN;
	ret_frame->len = len;
	ret_frame->n_slots = frame_n_slots(seg, len);
	ret_frame->to = to & others(seg);
	ret_frame->offset = 0;
	ret_frame->offload = (struct segment_offload){0};
	if (seg->g.memory == SEGMENT_NONCOHERENT)
		return lane_tx_reserve(seg, ret_frame);
	if (pack(seg, ret_frame))
		return 0;
	rc = reserve_slots(seg, ret_frame);
	seg->tx.open.to = !rc && is_one(ret_frame->to) && len <= seg->g.slot_bytes / 2 ? ret_frame->to : 0;
	seg->tx.open.slot = ret_frame->slot[0];
	seg->tx.open.used = room_for(len);
	return rc;
}

void
segment_unreserve(struct segment *seg, const struct segment_frame *frame)
{
	if (seg->g.memory == SEGMENT_NONCOHERENT) {
		lane_tx_unreserve(seg, frame);
		return;
	}
	if (--*own_n_reserved(seg, frame->slot[0]))
		return; // others are in the slot
	if (seg->tx.open.slot == frame->slot[0])
		seg->tx.open.to = 0;
	for (unsigned i = frame->n_slots; i--;)
		slot_untake(seg, frame->slot[i]);
}

void
segment_shorten(struct segment *seg, struct segment_frame *frame, uint32_t len)
{
	struct segment_frame rest = {.n_slots = 0};
	uint16_t n = frame_n_slots(seg, len);

	if (len < FRAME_MIN || len > frame->len)
		return;
	for (uint16_t i = n; i < frame->n_slots; i++)
		rest.slot[rest.n_slots++] = frame->slot[i];
	if (seg->g.memory == SEGMENT_NONCOHERENT && rest.n_slots)
		lane_tx_unreserve(seg, &rest);
	else
		for (unsigned i = rest.n_slots; i--;)
			slot_untake(seg, rest.slot[i]);
	frame->len = len;
	frame->n_slots = n;
}

static uint64_t
ref_of(uint64_t slot)
{
	return layout_ref((uint32_t)slot, slot >> 32);
}

// The fields that a packed frame's item can have.
static bool
fits_item(const struct segment_offload *o)
{
	return !o->gso_type && o->flags < 1 << PACK_FLAGS_BITS && o->csum_start < 1 << PACK_CSUM_BITS &&
		o->csum_offset < 1 << PACK_CSUM_BITS;
}

static uint64_t
packed_item(const struct segment_frame *frame)
{
	const struct segment_offload *o = &frame->offload;
	uint64_t where = frame->offset / PACK_ALIGN | (uint64_t)o->flags << PACK_OFFSET_BITS |
		(uint64_t)o->csum_start << (PACK_OFFSET_BITS + PACK_FLAGS_BITS) |
		(uint64_t)o->csum_offset << (PACK_OFFSET_BITS + PACK_FLAGS_BITS + PACK_CSUM_BITS);

	return layout_item(where, frame->len) | ITEM_PACKED;
}

static void
read_packed(uint64_t item, struct segment_frame *ret_frame)
{
	ret_frame->offset = (uint16_t)((item & ((1u << PACK_OFFSET_BITS) - 1)) * PACK_ALIGN);
	item >>= PACK_OFFSET_BITS;
	ret_frame->offload.flags = item & ((1u << PACK_FLAGS_BITS) - 1);
	item >>= PACK_FLAGS_BITS;
	ret_frame->offload.csum_start = item & ((1u << PACK_CSUM_BITS) - 1);
	ret_frame->offload.csum_offset = (item >> PACK_CSUM_BITS) & ((1u << PACK_CSUM_BITS) - 1);
}

// The frame as the items `at` and following of a parcel.
static void
write_items(struct segment *seg, uint32_t first, unsigned at, const struct segment_frame *frame)
{
	bool has_more = frame_has_offload(&frame->offload);

	if (frame->offset) {
		shared_store(parcel_item(seg, first, at), packed_item(frame));
		return;
	}
	if (has_more)
		piece_write_offload(own_slot(seg, (uint32_t)frame->slot[0]), &frame->offload);
	shared_store(parcel_item(seg, first, at),
		layout_item(ref_of(frame->slot[0]), frame->len) | (has_more ? ITEM_OFFLOAD : 0));
	for (unsigned i = 1; i < frame->n_slots; i++)
		shared_store(parcel_item(seg, first, at + i), layout_item(ref_of(frame->slot[i]), 0));
}

static void
wake_if_asleep(struct segment *seg, unsigned node, uint64_t *ret_wake)
{
	uint32_t one = 1;
	_Atomic uint32_t *asleep = segment_sleep_word(seg, node);

	SHARED_STEP();
	if (atomic_load(asleep) == 1 && atomic_compare_exchange_strong(asleep, &one, 0))
		*ret_wake |= UINT64_C(1) << node;
}

// Names a parcel in the node's inbox.
static enum inbox_result
hand_over(struct segment *seg, unsigned to, uint64_t ref, unsigned n)
{
	uint64_t state = shared_load(&own_node(seg, to)->state);
	enum inbox_result result = INBOX_GONE;

	if (layout_state_of(state) == SEGMENT_LIVE)
		result = inbox_push(seg, to, layout_state_epoch(state), ref, n);
	// Either the sweeper of a dead node sees this entry, or this node sees here that the
	// receiver has died.
	if (result == INBOX_TAKEN && shared_load_ordered(&own_node(seg, to)->state) != state)
		result = INBOX_GONE;
	return result;
}

// The slots are this node's still, or free. Of n frames, with all that share their slots.
static void
take_back(struct segment *seg, const struct segment_frame *frames, unsigned n)
{
	for (; n--; frames++)
		for (unsigned i = frames->offset ? 0 : frames->n_slots; i--;)
			slot_free(seg, frames->slot[i]);
}

// How many frames, from the first on, share its slot: all that were reserved there, side by side,
// else 0.
static unsigned
run_of(struct segment *seg, const struct segment_frame *frames, unsigned n)
{
	unsigned n_reserved = *own_n_reserved(seg, frames[0].slot[0]);

	if (frames[0].offset || n_reserved > n)
		return 0;
	for (unsigned i = 1; i < n && i < n_reserved; i++)
		if (!frames[i].offset || frames[i].slot[0] != frames[0].slot[0] || frames[i].to != frames[0].to ||
			!fits_item(&frames[i].offload))
			return 0;
	return n_reserved;
}

// How many of the frames, from the first on, make one parcel; 0: the first one's slot has others
// that are not here.
static unsigned
gather(struct segment *seg, const struct segment_frame *frames, unsigned n)
{
	unsigned n_items = 0, i = 0, run;

	for (; i < n && frames[i].to == frames[0].to; i += run) {
		run = run_of(seg, &frames[i], n - i);
		n_items += run - 1 + frames[i].n_slots;
		if (!run || n_items > SEGMENT_MAX_CHAIN)
			break;
	}
	return i;
}

// n frames for one node, as gathered.
static enum inbox_result
send_parcel(struct segment *seg, const struct segment_frame *frames, unsigned n)
{
	uint32_t first = (uint32_t)frames[0].slot[0];
	unsigned n_items = 0, n_slots = 0;

	for (unsigned i = 0; i < n; i++) {
		write_items(seg, first, n_items, &frames[i]);
		n_items += frames[i].n_slots;
		n_slots += frames[i].offset ? 0 : frames[i].n_slots;
	}
	shared_store(&own_slot(seg, first)->n_items, n_items);
	return hand_over(seg, (unsigned)__builtin_ctzll(frames[0].to), ref_of(frames[0].slot[0]), n_slots);
}

static void
count_refused(struct segment *seg, enum inbox_result result)
{
	own_count_tx(seg, result == INBOX_FULL ? TX_INBOX_FULL : TX_GONE, 1);
}

// Frames for one node, as gathered. If the inbox has no room for the whole, they are sent slot by
// slot, until it is full. Returns how many were taken.
static unsigned
send_to_one(struct segment *seg, const struct segment_frame *frames, unsigned n)
{
	enum inbox_result result = send_parcel(seg, frames, n);
	unsigned n_sent = 0, run;

	if (result == INBOX_TAKEN)
		return n;
	// Not when the node is gone: a sweeper may have found the parcel, and the slots may already
	// belong to others.
	for (; result == INBOX_FULL && n_sent < n; n_sent += run) {
		enum inbox_result alone;

		run = run_of(seg, &frames[n_sent], n - n_sent);
		alone = run == n ? result : send_parcel(seg, &frames[n_sent], run);
		if (alone == INBOX_TAKEN)
			continue;
		result = alone;
		break;
	}
	for (unsigned i = n_sent; i < n; i++)
		count_refused(seg, result);
	take_back(seg, &frames[n_sent], n - n_sent);
	return n_sent;
}

static uint64_t
send_shared(struct segment *seg, const struct segment_frame *frame)
{
	uint32_t slot = (uint32_t)frame->slot[0];
	uint64_t word = own_mine(seg, (uint32_t)(frame->slot[0] >> 32)), shared = word | WORD_SHARED, reached = 0;

	write_items(seg, slot, 0, frame);
	shared_store(&own_slot(seg, slot)->n_items, 1);
	share_begin(seg, slot, word);
	if (!shared_cas(own_word(seg, slot), word, shared))
		return 0; // others took this node for dead
	for (uint64_t left = frame->to; left; left &= left - 1) {
		unsigned node = (unsigned)__builtin_ctzll(left);
		enum inbox_result result;

		if (!share_add(seg, slot, shared, node))
			break;
		result = hand_over(seg, node, layout_ref(slot, word), 1);
		if (result == INBOX_TAKEN) {
			reached |= UINT64_C(1) << node;
			continue;
		}
		count_refused(seg, result);
		share_drop(seg, slot, shared, node);
	}
	share_drop(seg, slot, shared, (unsigned)seg->self);
	return reached;
}

// Each node gets slots of its own in three cases: a frame of several slots, separate buffers, or a
// slot shared with frames that do not leave with it.
static uint64_t
send_copies(struct segment *seg, const struct segment_frame *frame)
{
	uint64_t reached = 0;

	for (uint64_t left = frame->to; left; left &= left - 1) {
		struct segment_frame copy = *frame;

		copy.to = left & -left;
		copy.offset = 0;
		if (!own_is_alive(seg, (unsigned)seg->self, seg->epoch) || reserve_slots(seg, &copy))
			continue;
		for (unsigned i = 0; i < copy.n_slots; i++) {
			uint32_t len;
			const uint8_t *piece = segment_piece(seg, frame, i, &len);

			// A segment that lies may have given the same slots twice.
			memmove(own_bytes(seg, (uint32_t)copy.slot[i]), piece, len);
		}
		if (send_to_one(seg, &copy, 1))
			reached |= copy.to;
	}
	segment_unreserve(seg, frame);
	return reached;
}

static void
count_sent(struct segment *seg, const struct segment_frame *frames, unsigned n)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n; i++)
		bytes += frames[i].len;
	own_count_tx(seg, TX_FRAMES, n);
	own_count_tx(seg, TX_BYTES, bytes);
}

unsigned
segment_send(struct segment *seg, struct segment_frame *frames, unsigned n, uint64_t *ret_wake)
{
	uint64_t reached = 0;
	unsigned n_sent = 0, n_now;

	for (unsigned i = 0; i < n; i++)
		frames[i].to &= seg->self < 0 ? 0 : others(seg);
	if (seg->self < 0)
		return 0; // what it reserved is void
	if (seg->g.memory == SEGMENT_NONCOHERENT)
		return lane_tx_send(seg, frames, n); // no node can be woken
	seg->tx.open.to = 0;
	for (unsigned i = 0; i < n; i += n_now) {
		struct segment_frame *frame = &frames[i];
		unsigned n_taken;
		uint64_t got = 0;

		n_now = is_one(frame->to) ? gather(seg, frame, n - i) : 0;
		if (n_now) {
			n_taken = send_to_one(seg, frame, n_now);
			got = n_taken ? frame->to : 0;
		} else {
			n_now = 1;
			if (!frame->to) {
				own_count_tx(seg, TX_NOBODY, 1);
				segment_unreserve(seg, frame);
			} else if (!is_one(frame->to) && frame->n_slots == 1 && run_of(seg, frame, 1) &&
				seg->g.buffers == SEGMENT_POOL) {
				got = send_shared(seg, frame);
			} else {
				got = send_copies(seg, frame);
			}
			n_taken = got != 0;
		}
		reached |= got;
		n_sent += n_taken;
		count_sent(seg, frame, n_taken);
		for (unsigned k = 0; k < n_now; k++)
			frame[k].to = k < n_taken ? got : 0;
	}
	for (; reached; reached &= reached - 1) {
		unsigned node = (unsigned)__builtin_ctzll(reached);

		inbox_settle(seg, node);
		wake_if_asleep(seg, node, ret_wake);
	}
	return n_sent;
}

int
segment_put(
	struct segment *seg, const void *data, uint32_t len, const struct segment_offload *offload, uint64_t *ret_wake)
{
	struct segment_frame frame;
	int rc;

	if (len < FRAME_MIN)
		return -EMSGSIZE;
	rc = segment_reserve(seg, segment_route(seg, data), len, &frame);
	if (rc)
		return rc;
	if (offload)
		frame.offload = *offload;
	segment_fill(seg, &frame, data);
	return segment_send(seg, &frame, 1, ret_wake) ? 0 : -EHOSTUNREACH;
}

// A frame for several nodes, of which this node is one.
static enum own_rx
take_shared(struct segment *seg, uint32_t slot, uint64_t word)
{
	return share_hold(seg, slot, word) ? RX_FRAMES : RX_STALE;
}

// Makes the parcel's slots this node's, from the end.
static enum own_rx
take_own(struct segment *seg, const struct own_parcel *p, unsigned n)
{
	unsigned i = p->n;

	while (i && slot_claim_seen(seg, p->slot[i - 1], p->word[i - 1]))
		i--;
	if (!i && p->n == n)
		return RX_FRAMES;
	for (; i < p->n; i++)
		(void)slot_free_seen(seg, p->slot[i], own_mine(seg, (uint32_t)p->word[i] + 1));
	return RX_STALE;
}

// A slot that was taken, as in struct segment_frame: in the next generation.
static uint64_t
taken_slot(const struct own_parcel *p, unsigned i)
{
	return p->slot[i] | (p->word[i] + 1) << 32;
}

static void
give_up(struct segment *seg, const struct own_parcel *p)
{
	if (seg->rx.shared)
		share_drop(seg, p->slot[0], seg->rx.shared, (unsigned)seg->self);
	else
		for (unsigned i = p->n; i--;)
			slot_free(seg, taken_slot(p, i));
}

// The packed frame lies within its slot.
static bool
is_within(const struct segment *seg, uint64_t item)
{
	uint32_t offset = (item & ((1u << PACK_OFFSET_BITS) - 1)) * PACK_ALIGN, len = layout_item_len(item);

	return len >= FRAME_MIN && offset + len <= seg->g.slot_bytes;
}

// The items behind the one of a frame of n slots say that it goes on.
static bool
goes_on(const struct own_parcel *p, unsigned i, unsigned n)
{
	if (n > p->n_items - i)
		return false;
	while (--n)
		if (p->item[i + n] & ITEM_PACKED || layout_item_len(p->item[i + n]))
			return false;
	return true;
}

// A sender may lie about its frames. Each must be within its slots. A slot has either one frame, or
// small ones, which are counted.
static bool
count_frames(struct segment *seg, const struct own_parcel *p)
{
	unsigned i = 0, n_slots = 0;

	while (i < p->n_items) {
		uint64_t item = p->item[i];
		uint32_t len = layout_item_len(item), slot;
		unsigned n = frame_n_slots(seg, len);
		uint8_t n_frames = 1;

		if (item & ITEM_PACKED || len < FRAME_MIN || len > SEGMENT_MAX_FRAME || !goes_on(p, i, n))
			return false;
		slot = p->slot[n_slots];
		n_slots += n;
		for (i += n; n == 1 && i < p->n_items && p->item[i] & ITEM_PACKED; i++, n_frames++)
			if (!is_within(seg, p->item[i]))
				return false;
		*own_n_received(seg, slot) = n_frames;
	}
	return !seg->rx.shared || p->n_items == 1;
}

// The parcel at the head of the inbox becomes the one whose frames are handed out.
static enum own_rx
take_parcel(struct segment *seg, uint64_t ref, unsigned n)
{
	struct own_parcel *p = &seg->rx.parcel;
	bool is_possible = parcel_read(seg, ref, n, p);
	enum own_rx result = is_possible ? RX_STALE : RX_BAD;

	seg->rx.at = seg->rx.at_slot = 0;
	seg->rx.shared = is_possible && p->n && p->word[0] & WORD_SHARED ? p->word[0] : 0;
	if (!is_possible && p->n)
		(void)slot_free_seen(seg, p->slot[0], p->word[0]);
	else if (p->n)
		result = seg->rx.shared ? take_shared(seg, p->slot[0], p->word[0]) : take_own(seg, p, n);
	if (result == RX_FRAMES && !count_frames(seg, p)) {
		give_up(seg, p);
		result = RX_BAD;
	}
	if (result != RX_FRAMES)
		p->n_items = 0;
	else
		seg->rx.from = (uint8_t)layout_word_owner(p->word[0]);
	return result;
}

// The next frame of the parcel that was taken.
static void
unpack(struct segment *seg, struct segment_frame *ret_frame)
{
	const struct own_parcel *p = &seg->rx.parcel;
	uint64_t item = p->item[seg->rx.at];

	ret_frame->len = layout_item_len(item);
	ret_frame->from = seg->rx.from;
	ret_frame->is_shared = seg->rx.shared;
	ret_frame->to = seg->rx.shared;
	ret_frame->n_slots = frame_n_slots(seg, ret_frame->len);
	ret_frame->offset = 0;
	ret_frame->offload = (struct segment_offload){0};
	seg->rx.at = (uint8_t)(seg->rx.at + ret_frame->n_slots);
	if (item & ITEM_PACKED) {
		read_packed(item, ret_frame);
		ret_frame->slot[0] = taken_slot(p, seg->rx.at_slot - 1u);
		return;
	}
	if (item & ITEM_OFFLOAD)
		ret_frame->offload = piece_read_offload(own_slot(seg, layout_ref_slot(item)));
	for (unsigned i = 0; i < ret_frame->n_slots; i++)
		ret_frame->slot[i] = taken_slot(p, seg->rx.at_slot++);
}

unsigned
segment_receive(struct segment *seg, struct segment_frame *ret_frames, unsigned n)
{
	unsigned n_taken = 0, n_slots;
	uint64_t bytes = 0, ref, bridges = atomic_load_explicit(&seg->bridges, memory_order_relaxed);

	if (seg->self < 0)
		return 0;
	if (seg->g.memory == SEGMENT_NONCOHERENT)
		return lane_rx_receive(seg, ret_frames, n);
	for (unsigned n_parcels = 0; n_taken < n;) {
		if (seg->rx.at < seg->rx.parcel.n_items) {
			struct segment_frame *frame = &ret_frames[n_taken++];

			unpack(seg, frame);
			bytes += frame->len;
			if (bridges >> frame->from & 1)
				address_learn(
					seg, own_bytes(seg, (uint32_t)frame->slot[0]) + frame->offset + 6, frame->from);
		} else if (n_parcels++ < PARCELS_MAX && inbox_peek(seg, &ref, &n_slots)) {
			enum own_rx result = take_parcel(seg, ref, n_slots);

			inbox_pop(seg, ref, n_slots);
			if (result != RX_FRAMES)
				own_count_rx(seg, result, 1);
		} else {
			break;
		}
	}
	if (n_taken) {
		shared_store(&own_inbox(seg, (unsigned)seg->self)->head, seg->rx.head);
		own_count_rx(seg, RX_FRAMES, n_taken);
		own_count_rx(seg, RX_BYTES, bytes);
	} else if (++seg->rx.n_idle % IDLE_TURNS == 0) {
		inbox_mend(seg);
	}
	return n_taken;
}

void
segment_release(struct segment *seg, const struct segment_frame *frames, unsigned n)
{
	if (seg->self < 0)
		return;
	if (seg->g.memory == SEGMENT_NONCOHERENT) {
		lane_rx_release(seg, frames, n);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		const struct segment_frame *frame = &frames[i];

		if (frame->is_shared)
			share_drop(seg, (uint32_t)frame->slot[0], frame->to, (unsigned)seg->self);
		else if (!--*own_n_received(seg, frame->slot[0])) // the last one in its slot
			for (unsigned k = frame->n_slots; k--;)
				slot_free(seg, frame->slot[k]);
	}
}

bool
segment_sleep(struct segment *seg)
{
	_Atomic uint32_t *asleep;
	uint64_t ref;
	unsigned n;

	if (seg->self < 0)
		return true;
	if (seg->g.memory == SEGMENT_NONCOHERENT)
		return noncoherent_sleep(seg);
	asleep = segment_sleep_word(seg, (unsigned)seg->self);
	SHARED_STEP();
	atomic_store(asleep, 1);
	if (seg->rx.at == seg->rx.parcel.n_items && !inbox_peek(seg, &ref, &n))
		return true;
	atomic_store(asleep, 0);
	return false;
}

void
segment_awake(struct segment *seg)
{
	if (seg->self >= 0 && seg->g.memory == SEGMENT_NONCOHERENT)
		noncoherent_awake(seg);
	else if (seg->self >= 0)
		atomic_store(segment_sleep_word(seg, (unsigned)seg->self), 0);
}
