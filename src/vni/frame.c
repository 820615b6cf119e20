// Frames between nodes. A sender takes slots, writes frames, and names the slots in the receiver's inbox, in parcels: what one burst has for one
// node costs one entry. The receiver makes the slots its own, reads, and frees them. Whoever dies in between leaves words that name a dead
// node, by which sweep.c finds the slots.
#include "frame.h"

#include "address.h"
#include "inbox.h"
#include "lane.h"
#include "noncoherent.h"
#include "own.h"
#include "parcel.h"
#include "share.h"
#include "slot.h"

#include <errno.h>
#include <string.h>

#define PARCELS_MAX 64 // that one call takes, of which all may be stale
#define IDLE_TURNS 4096 // without an entry, before it is looked for a hole

static bool
is_one(uint64_t set)
{
	return set && !(set & (set - 1));
}

int
segment_reserve(struct segment *seg, uint64_t to, uint32_t len, struct segment_frame *ret_frame)
{
	uint16_t n = frame_n_slots(seg, len), got;
	unsigned first_to = to ? (unsigned)__builtin_ctzll(to) : 0;

	if (len < FRAME_MIN || len > SEGMENT_MAX_FRAME)
		return -EMSGSIZE;
	// Also when others took this node for dead: what it takes now nobody would take back.
	if (seg->self < 0 || !own_is_alive(seg, (unsigned)seg->self, seg->epoch))
		return -ENOTCONN;
	ret_frame->len = len;
	ret_frame->n_slots = n;
	ret_frame->to = to;
	ret_frame->offload = (struct segment_offload){0};
	if (seg->g.memory == SEGMENT_NONCOHERENT)
		return lane_tx_reserve(seg, ret_frame);
	for (got = 0; got < n; got++)
		if (!slot_take(seg, first_to, &ret_frame->slot[got]))
			break;
	if (got == n)
		return 0;
	while (got--)
		slot_untake(seg, ret_frame->slot[got]);
	own_count_tx(seg, TX_NO_SLOT, 1);
	return -ENOBUFS;
}

void
segment_unreserve(struct segment *seg, const struct segment_frame *frame)
{
	if (seg->g.memory == SEGMENT_NONCOHERENT) {
		lane_tx_unreserve(seg, frame);
		return;
	}
	for (unsigned i = frame->n_slots; i--;)
		slot_untake(seg, frame->slot[i]);
}

void
segment_shorten(struct segment *seg, struct segment_frame *frame, uint32_t len)
{
	struct segment_frame rest = {0};
	uint16_t n = frame_n_slots(seg, len);

	if (len < FRAME_MIN || len > frame->len)
		return;
	for (uint16_t i = n; i < frame->n_slots; i++)
		rest.slot[rest.n_slots++] = frame->slot[i];
	segment_unreserve(seg, &rest);
	frame->len = len;
	frame->n_slots = n;
}

void
frame_write_offload(struct layout_slot *slot, const struct segment_offload *o)
{
	shared_store(&slot->offload[0],
		o->flags | (uint64_t)o->gso_type << 8 | (uint64_t)o->hdr_len << 16 | (uint64_t)o->gso_size << 32 |
			(uint64_t)o->csum_start << 48);
	shared_store(&slot->offload[1], o->csum_offset);
}

struct segment_offload
frame_read_offload(const struct layout_slot *slot)
{
	uint64_t offload = shared_load(&slot->offload[0]);

	return (struct segment_offload){
		.flags = (uint8_t)offload,
		.gso_type = (uint8_t)(offload >> 8),
		.hdr_len = (uint16_t)(offload >> 16),
		.gso_size = (uint16_t)(offload >> 32),
		.csum_start = (uint16_t)(offload >> 48),
		.csum_offset = (uint16_t)shared_load(&slot->offload[1]),
	};
}

static uint64_t
ref_of(uint64_t slot)
{
	return layout_ref((uint32_t)slot, slot >> 32);
}

// The frame's slots as the items `at` and following of a parcel.
static void
write_items(struct segment *seg, uint32_t first, unsigned at, const struct segment_frame *frame)
{
	bool has_more = frame_has_offload(&frame->offload);
	uint64_t item = layout_item(ref_of(frame->slot[0]), frame->len) | (has_more ? ITEM_OFFLOAD : 0);

	if (has_more)
		frame_write_offload(own_slot(seg, (uint32_t)frame->slot[0]), &frame->offload);
	shared_store(parcel_item(seg, first, at), item);
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
	// Whoever clears up behind a dead node sees this entry, or this node sees here that it has died.
	if (result == INBOX_TAKEN && shared_load_ordered(&own_node(seg, to)->state) != state)
		result = INBOX_GONE;
	return result;
}

// The slots are this node's still, or nobody's.
static void
take_back(struct segment *seg, const struct segment_frame *frame)
{
	for (unsigned i = frame->n_slots; i--;)
		slot_free(seg, frame->slot[i]);
}

// n frames for one node, of n_slots slots in all.
static enum inbox_result
send_parcel(struct segment *seg, const struct segment_frame *frames, unsigned n, unsigned n_slots)
{
	unsigned at = 0;

	for (unsigned i = 0; i < n; at += frames[i++].n_slots)
		write_items(seg, (uint32_t)frames[0].slot[0], at, &frames[i]);
	return hand_over(seg, (unsigned)__builtin_ctzll(frames[0].to), ref_of(frames[0].slot[0]), n_slots);
}

static void
count_refused(struct segment *seg, enum inbox_result result)
{
	own_count_tx(seg, result == INBOX_FULL ? TX_INBOX_FULL : TX_GONE, 1);
}

// Frames for one node, in parcels; what the inbox has no room for as a whole goes frame by frame, until it is full. Returns how many were taken.
static unsigned
send_to_one(struct segment *seg, const struct segment_frame *frames, unsigned n, unsigned n_slots)
{
	enum inbox_result result = send_parcel(seg, frames, n, n_slots);
	unsigned n_sent = result == INBOX_TAKEN ? n : 0;

	// Not when the node is gone: whoever clears up behind it may have found the parcel, and the slots may be others' by now.
	if (result == INBOX_FULL && n > 1)
		while (n_sent < n &&
			(result = send_parcel(seg, &frames[n_sent], 1, frames[n_sent].n_slots)) == INBOX_TAKEN)
			n_sent++;
	for (unsigned i = n_sent; i < n; i++) {
		count_refused(seg, result);
		take_back(seg, &frames[i]);
	}
	return n_sent;
}

static uint64_t
send_shared(struct segment *seg, const struct segment_frame *frame)
{
	uint32_t slot = (uint32_t)frame->slot[0];
	uint64_t word = own_mine(seg, (uint32_t)(frame->slot[0] >> 32)), shared = word | WORD_SHARED, reached = 0;

	write_items(seg, slot, 0, frame);
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

// Of more than one slot, or into separate buffers: each node gets slots of its own.
static uint64_t
send_copies(struct segment *seg, const struct segment_frame *frame)
{
	uint64_t reached = 0;

	for (uint64_t left = frame->to; left; left &= left - 1) {
		struct segment_frame copy;

		if (segment_reserve(seg, left & -left, frame->len, &copy))
			continue;
		copy.offload = frame->offload;
		for (unsigned i = 0; i < copy.n_slots; i++) {
			uint32_t len;
			uint8_t *piece = segment_piece(seg, &copy, i, &len);

			memcpy(piece, own_bytes(seg, (uint32_t)frame->slot[i]), len);
		}
		if (send_to_one(seg, &copy, 1, copy.n_slots))
			reached |= copy.to;
	}
	take_back(seg, frame);
	return reached;
}

// How many of the frames, from the first on, make one parcel.
static unsigned
gather(const struct segment_frame *frames, unsigned n, unsigned *ret_n_slots)
{
	unsigned n_slots = frames[0].n_slots, i;

	for (i = 1; i < n && frames[i].to == frames[0].to && n_slots + frames[i].n_slots <= SEGMENT_MAX_CHAIN; i++)
		n_slots += frames[i].n_slots;
	*ret_n_slots = n_slots;
	return i;
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
	uint64_t reached = 0, self = UINT64_C(1) << seg->self;
	unsigned n_sent = 0, n_now;

	if (seg->g.memory == SEGMENT_NONCOHERENT)
		return lane_tx_send(seg, frames, n); // nobody can be woken
	for (unsigned i = 0; i < n; i += n_now) {
		struct segment_frame *frame = &frames[i];
		unsigned n_slots, n_taken;
		uint64_t got;

		n_now = 1;
		frame->to &= ~self;
		if (is_one(frame->to)) {
			n_now = gather(frame, n - i, &n_slots);
			n_taken = send_to_one(seg, frame, n_now, n_slots);
			got = n_taken ? frame->to : 0;
		} else if (!frame->to) {
			own_count_tx(seg, TX_NOBODY, 1);
			take_back(seg, frame);
			continue;
		} else {
			got = frame->n_slots == 1 && seg->g.buffers == SEGMENT_POOL ? send_shared(seg, frame) :
										      send_copies(seg, frame);
			n_taken = got != 0;
		}
		reached |= got;
		n_sent += n_taken;
		count_sent(seg, frame, n_taken);
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
	for (unsigned i = 0; i < frame.n_slots; i++) {
		uint32_t piece_len;
		uint8_t *piece = segment_piece(seg, &frame, i, &piece_len);

		memcpy(piece, (const uint8_t *)data + i * seg->g.slot_bytes, piece_len);
	}
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

	while (i && slot_claim_seen(seg, layout_ref_slot(p->item[i - 1]), p->word[i - 1]))
		i--;
	if (!i && p->n == n)
		return RX_FRAMES;
	for (; i < p->n; i++)
		(void)slot_free_seen(seg, layout_ref_slot(p->item[i]), own_mine(seg, (uint32_t)p->word[i] + 1));
	return RX_STALE;
}

// The parcel at the head of the inbox becomes the one whose frames are handed out.
static enum own_rx
take_parcel(struct segment *seg, uint64_t ref, unsigned n)
{
	struct own_parcel *p = &seg->rx.parcel;
	bool is_possible = parcel_read(seg, ref, n, p);
	enum own_rx result = is_possible ? RX_STALE : RX_BAD;

	seg->rx.at = 0;
	seg->rx.shared = is_possible && p->n && p->word[0] & WORD_SHARED ? p->word[0] : 0;
	if (!is_possible && p->n)
		(void)slot_free_seen(seg, layout_ref_slot(p->item[0]), p->word[0]);
	else if (p->n)
		result = seg->rx.shared ? take_shared(seg, layout_ref_slot(p->item[0]), p->word[0]) :
					  take_own(seg, p, n);
	if (result != RX_FRAMES)
		p->n = 0;
	else
		seg->rx.from = (uint8_t)layout_word_owner(p->word[0]);
	return result;
}

static void
hand_out(struct segment *seg, struct segment_frame *ret_frame, unsigned n)
{
	const struct own_parcel *p = &seg->rx.parcel;

	for (unsigned i = 0; i < n; i++, seg->rx.at++)
		ret_frame->slot[i] = layout_ref_slot(p->item[seg->rx.at]) |
			(p->word[seg->rx.at] + 1) << 32; // taken: the next generation
	ret_frame->n_slots = (uint16_t)n;
	ret_frame->from = seg->rx.from;
	ret_frame->is_shared = seg->rx.shared;
	ret_frame->to = seg->rx.shared;
}

// The next frame of the parcel that was taken. What its sender says of it may be a lie.
static bool
unpack(struct segment *seg, struct segment_frame *ret_frame)
{
	uint64_t item = seg->rx.parcel.item[seg->rx.at];
	unsigned left = seg->rx.parcel.n - seg->rx.at, n;

	ret_frame->len = layout_item_len(item);
	n = frame_n_slots(seg, ret_frame->len);
	if (ret_frame->len < FRAME_MIN || ret_frame->len > SEGMENT_MAX_FRAME || n > left) {
		hand_out(seg, ret_frame, left); // all that is left of it
		segment_release(seg, ret_frame, 1);
		own_count_rx(seg, RX_BAD, 1);
		return false;
	}
	ret_frame->offload = item & ITEM_OFFLOAD ? frame_read_offload(own_slot(seg, layout_ref_slot(item))) :
						   (struct segment_offload){0};
	hand_out(seg, ret_frame, n);
	return true;
}

unsigned
segment_receive(struct segment *seg, struct segment_frame *ret_frames, unsigned n)
{
	unsigned n_taken = 0, n_slots;
	uint64_t bytes = 0, ref;

	if (seg->self < 0)
		return 0;
	if (seg->g.memory == SEGMENT_NONCOHERENT)
		return lane_rx_receive(seg, ret_frames, n);
	for (unsigned n_parcels = 0; n_taken < n;) {
		if (seg->rx.at < seg->rx.parcel.n) {
			struct segment_frame *frame = &ret_frames[n_taken];

			if (!unpack(seg, frame))
				continue;
			n_taken++;
			bytes += frame->len;
			address_learn(seg, own_bytes(seg, (uint32_t)frame->slot[0]) + 6, frame->from);
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
		else
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
	if (seg->rx.at == seg->rx.parcel.n && !inbox_peek(seg, &ref, &n))
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
