// The sender's end of its lanes. Slots always belong to this node, and their use is counted here. A
// frame is in use until all readers that it was sent to have finished it, have left or are dead. A
// frame for several nodes lies in its slots once.
//
// A slow reader fills its lane and nothing else. It has at most as many slots as are free, so that
// k stuck readers leave one part in k + 1; and none has more than inbox_size. Frames that do not
// fit are dropped and counted.
//
// Order of a send: frames are written back, fence, entries are written, entries are written back. A
// node that dies in between has published a beginning of the burst, or single lines of it: the next
// life of the node begins behind the first missing entry. O(1) a slot; O(inbox_size) when a reader
// joins or leaves.
#include "frame.h"
#include "lane.h"
#include "piece.h"
#include "plain.h"

#include <errno.h>

enum slot_use {
	SLOT_FREE,
	SLOT_RESERVED,
	SLOT_FIRST, // of a frame that was handed over
	SLOT_OTHER, // of such a frame
};

static uint32_t
first_slot(const struct segment *seg)
{
	return (uint32_t)seg->self * lane_own(seg)->per_node;
}

// Of the partition.
static uint32_t
slot_of(const struct segment *seg, const struct segment_frame *frame, unsigned i)
{
	return (uint32_t)frame->slot[i] - first_slot(seg);
}

static void
show_held(struct segment *seg)
{
	const struct lanes *l = lane_own(seg);

	shared_store(&own_node(seg, (unsigned)seg->self)->held, l->n_out | (uint64_t)l->n_reserved << 32);
}

static void
free_slot(struct lanes *l, uint32_t slot)
{
	l->use[slot] = SLOT_FREE;
	l->next[slot] = l->free;
	l->free = slot;
	l->n_free++;
}

static void
free_reserved(struct lanes *l, uint32_t slot)
{
	if (slot >= l->per_node || l->use[slot] != SLOT_RESERVED)
		return;
	l->n_reserved--;
	free_slot(l, slot);
}

// One reader less.
static void
put_frame(struct lanes *l, uint32_t slot, uint32_t n)
{
	if (--l->n_readers[slot])
		return;
	l->n_out -= n;
	while (n--) {
		uint32_t next = l->next[slot];

		free_slot(l, slot);
		slot = next;
	}
}

static uint32_t *
entry_of(const struct segment *seg, unsigned to, uint64_t position)
{
	return &lane_own(seg)->entry[(size_t)to * seg->g.inbox_size + (position & (seg->g.inbox_size - 1))];
}

static void
pass(struct segment *seg, unsigned to, uint64_t until)
{
	struct lanes *l = lane_own(seg);

	while (l->tx[to].passed != until) {
		uint32_t entry = *entry_of(seg, to, l->tx[to].passed);

		l->tx[to].passed = (l->tx[to].passed + 1) & POSITION_MASK;
		if (entry == NO_SLOT)
			continue;
		l->tx[to].n_slots -= lane_count_of(entry);
		put_frame(l, lane_slot_of(entry), lane_count_of(entry));
	}
}

static void
drop_passed(const struct segment *seg, unsigned to)
{
	lines_drop(lane_own(seg)->how, lane_passed(seg, to, (unsigned)seg->self), sizeof(struct layout_passed));
}

// The reader's word, after drop_passed and a fence. False: of another life.
static bool
read_passed(const struct segment *seg, unsigned to, uint64_t life, uint64_t *ret_position)
{
	uint64_t word = shared_load(&lane_passed(seg, to, (unsigned)seg->self)->passed);

	*ret_position = word & POSITION_MASK;
	return word >> 48 == layout_state_epoch(life);
}

// The reader has gone, or has only been silent. It must then not find entries whose slots have
// another use.
static void
give_up(struct segment *seg, unsigned to)
{
	struct lanes *l = lane_own(seg);
	struct layout_lane *lane = lane_at(seg, (unsigned)seg->self, to);
	uint64_t n = lane_ahead(l->tx[to].tail, l->tx[to].passed);

	for (uint64_t i = 0; i < n; i++)
		shared_store(lane_entry(seg, lane, l->tx[to].passed + i), 0);
	lane_write_back(seg, to, l->tx[to].passed, n);
	lines_fence_writes();
	pass(seg, to, l->tx[to].tail);
}

// A new life of the reader, which begins at 0. The ring must have nothing that could be taken for
// an entry of that life.
static void
begin(struct segment *seg, unsigned to, uint64_t life)
{
	struct lanes *l = lane_own(seg);
	struct layout_lane *lane = lane_at(seg, (unsigned)seg->self, to);

	if (l->tx[to].life)
		give_up(seg, to);
	l->tx[to].life = life;
	l->tx[to].tail = l->tx[to].passed = l->tx[to].written = 0;
	if (!life)
		return;
	for (uint32_t i = 0; i < seg->g.inbox_size; i++)
		shared_store(&lane->entry[i], 0);
	lane_write_back(seg, to, 0, seg->g.inbox_size);
	lines_fence_writes();
}

static void
begin_if_new(struct segment *seg, unsigned to)
{
	uint64_t life = atomic_load_explicit(&lane_own(seg)->life[to], memory_order_acquire);

	if (life != lane_own(seg)->tx[to].life)
		begin(seg, to, life);
}

// Slots that a reader has finished come back. An impossible position is believed: either another
// node has written into the ring what this node did not, and the reader has read it. Or the reader
// lies, and gets later frames too soon.
static void
collect(struct segment *seg, unsigned to)
{
	struct lanes *l = lane_own(seg);
	uint64_t position;

	if (!read_passed(seg, to, l->tx[to].life, &position))
		return;
	if (lane_ahead(position, l->tx[to].passed) <= lane_ahead(l->tx[to].tail, l->tx[to].passed)) {
		pass(seg, to, position);
	} else {
		give_up(seg, to);
		l->tx[to].tail = l->tx[to].passed = l->tx[to].written = position;
	}
}

static void
collect_all(struct segment *seg)
{
	struct lanes *l = lane_own(seg);
	uint64_t used = 0;

	for (unsigned i = 0; i < seg->g.n_nodes; i++) {
		begin_if_new(seg, i);
		if (l->tx[i].tail == l->tx[i].passed)
			continue;
		drop_passed(seg, i);
		used |= UINT64_C(1) << i;
	}
	lines_fence();
	for (; used; used &= used - 1)
		collect(seg, (unsigned)__builtin_ctzll(used));
}

int
lane_tx_reserve(struct segment *seg, struct segment_frame *ret_frame)
{
	struct lanes *l = lane_own(seg);

	if (atomic_load_explicit(&l->expelled, memory_order_relaxed) != LANE_NOT_EXPELLED)
		return -ENOTCONN;
	if (l->n_free < ret_frame->n_slots)
		collect_all(seg);
	if (l->n_free < ret_frame->n_slots) {
		own_count_tx(seg, TX_NO_SLOT, 1);
		return -ENOBUFS;
	}
	for (unsigned i = 0; i < ret_frame->n_slots; i++) {
		uint32_t slot = l->free;

		l->free = l->next[slot];
		l->use[slot] = SLOT_RESERVED;
		if (slot >= l->n_touched)
			l->n_touched = slot + 1;
		ret_frame->slot[i] = first_slot(seg) + slot;
	}
	l->n_free -= ret_frame->n_slots;
	l->n_reserved += ret_frame->n_slots;
	show_held(seg);
	return 0;
}

void
lane_tx_unreserve(struct segment *seg, const struct segment_frame *frame)
{
	for (unsigned i = frame->n_slots; i--;)
		free_reserved(lane_own(seg), slot_of(seg, frame, i));
	show_held(seg);
}

static bool
has_more(const struct segment_frame *frame)
{
	return frame->n_slots > 1 || frame_has_offload(&frame->offload);
}

static size_t
header_bytes(unsigned n_slots)
{
	return offsetof(struct layout_slot, other) + (n_slots - 1) * sizeof(uint64_t);
}

// The frame is in memory after the next fence. False: its slots are not reserved, it is of a former
// life of this node.
static bool
write_frame(struct segment *seg, const struct segment_frame *frame)
{
	struct lanes *l = lane_own(seg);
	struct layout_slot *header = own_slot(seg, (uint32_t)frame->slot[0]);

	for (unsigned i = 0; i < frame->n_slots; i++) {
		uint32_t slot = slot_of(seg, frame, i);

		if (slot >= l->per_node || l->use[slot] != SLOT_RESERVED)
			return false;
	}
	if (has_more(frame)) {
		piece_write_offload(header, &frame->offload);
		for (unsigned i = 1; i < frame->n_slots; i++)
			shared_store(&header->other[i - 1], slot_of(seg, frame, i));
		lines_write_back(l->how, header, header_bytes(frame->n_slots));
	}
	for (unsigned i = 0; i < frame->n_slots; i++) {
		uint32_t len;
		const uint8_t *piece = segment_piece(seg, frame, i, &len);

		lines_write_back(l->how, piece, len);
	}
	return true;
}

static bool
has_room(const struct segment *seg, unsigned to, uint32_t n_slots)
{
	const struct lanes *l = lane_own(seg);
	uint32_t most = l->n_free + l->n_reserved, wanted = l->tx[to].n_slots + n_slots;

	return wanted <= seg->g.inbox_size && lane_ahead(l->tx[to].tail, l->tx[to].passed) < seg->g.inbox_size &&
		(!l->tx[to].n_slots || wanted <= most);
}

static bool
push(struct segment *seg, unsigned to, const struct segment_frame *frame)
{
	struct lanes *l = lane_own(seg);
	uint64_t *tail = &l->tx[to].tail, n = (uint64_t)frame->n_slots << ENTRY_COUNT_SHIFT;
	uint32_t slot = slot_of(seg, frame, 0);

	begin_if_new(seg, to);
	if (!l->tx[to].life) {
		own_count_tx(seg, TX_GONE, 1);
		return false;
	}
	if (!has_room(seg, to, frame->n_slots) && !l->has_collected) {
		l->has_collected = true;
		collect_all(seg);
	}
	if (!has_room(seg, to, frame->n_slots)) {
		own_count_tx(seg, TX_INBOX_FULL, 1);
		return false;
	}
	*entry_of(seg, to, *tail) = slot | (uint32_t)n;
	l->tx[to].n_slots += frame->n_slots;
	shared_store(lane_entry(seg, lane_at(seg, (unsigned)seg->self, to), *tail),
		lane_mark(seg, layout_state_epoch(l->tx[to].life), *tail) | (has_more(frame) ? ENTRY_MORE : 0) |
			(uint64_t)frame->len << ENTRY_LEN_SHIFT | n | slot);
	*tail = (*tail + 1) & POSITION_MASK;
	return true;
}

// Returns the set of nodes that it was handed to.
static uint64_t
hand_over(struct segment *seg, const struct segment_frame *frame)
{
	struct lanes *l = lane_own(seg);
	uint32_t slot = slot_of(seg, frame, 0);
	uint64_t reached = 0;

	for (uint64_t left = frame->to; left; left &= left - 1) {
		unsigned to = (unsigned)__builtin_ctzll(left);

		if (push(seg, to, frame))
			reached |= UINT64_C(1) << to;
	}
	if (!reached) {
		lane_tx_unreserve(seg, frame);
		return 0;
	}
	l->n_reserved -= frame->n_slots;
	l->n_out += frame->n_slots;
	l->n_readers[slot] = (uint8_t)__builtin_popcountll(reached);
	l->use[slot] = SLOT_FIRST;
	for (unsigned i = 1; i < frame->n_slots; i++) {
		uint32_t next = slot_of(seg, frame, i);

		l->use[next] = SLOT_OTHER;
		l->next[slot] = next;
		slot = next;
	}
	return reached;
}

unsigned
lane_tx_send(struct segment *seg, struct segment_frame *frames, unsigned n)
{
	struct lanes *l = lane_own(seg);
	bool is_expelled = atomic_load_explicit(&l->expelled, memory_order_relaxed) != LANE_NOT_EXPELLED;
	uint64_t touched = 0, bytes = 0;
	unsigned n_sent = 0;

	l->has_collected = false;
	for (unsigned i = 0; i < n; i++) {
		if (is_expelled)
			frames[i].to = 0;
		if (frames[i].to && !write_frame(seg, &frames[i]))
			frames[i].n_slots = 0;
	}
	lines_fence_writes();
	for (unsigned i = 0; i < n; i++) {
		uint64_t reached = 0;

		if (frames[i].n_slots) {
			if (!frames[i].to)
				own_count_tx(seg, TX_NOBODY, 1);
			reached = hand_over(seg, &frames[i]);
		}
		frames[i].to = reached;
		touched |= reached;
		n_sent += reached != 0;
		bytes += reached ? frames[i].len : 0;
	}
	for (; touched; touched &= touched - 1) {
		unsigned to = (unsigned)__builtin_ctzll(touched);

		lane_write_back(seg, to, l->tx[to].written, lane_ahead(l->tx[to].tail, l->tx[to].written));
		l->tx[to].written = l->tx[to].tail;
	}
	own_count_tx(seg, TX_FRAMES, n_sent);
	own_count_tx(seg, TX_BYTES, bytes);
	show_held(seg);
	return n_sent;
}

// A frame that a former life has sent: its slots are in use. The ring may have any content.
static uint32_t
take_over_frame(struct segment *seg, uint64_t entry)
{
	struct lanes *l = lane_own(seg);
	uint32_t slot = lane_slot_of(entry), first = slot, n = 1;
	struct layout_slot *header;

	if (slot >= l->per_node || !lane_count_of(entry) || l->use[slot] == SLOT_OTHER)
		return NO_SLOT;
	if (l->use[slot] == SLOT_FIRST) { // for several nodes
		if (l->n_readers[slot] >= SEGMENT_MAX_NODES)
			return NO_SLOT;
		l->n_readers[slot]++;
		while ((slot = l->next[slot]) != NO_SLOT)
			n++;
		return first | n << ENTRY_COUNT_SHIFT;
	}
	l->use[slot] = SLOT_FIRST;
	l->n_readers[slot] = 1;
	header = own_slot(seg, first_slot(seg) + slot);
	lines_drop(l->how, header, header_bytes(SEGMENT_MAX_CHAIN));
	lines_fence();
	for (; n < lane_count_of(entry) && n < SEGMENT_MAX_CHAIN; n++) {
		uint64_t next = shared_load(&header->other[n - 1]);

		if (next >= l->per_node || l->use[next] != SLOT_FREE)
			break;
		l->use[next] = SLOT_OTHER;
		l->next[slot] = (uint32_t)next;
		slot = (uint32_t)next;
	}
	l->next[slot] = NO_SLOT;
	l->n_out += n;
	return first | n << ENTRY_COUNT_SHIFT;
}

// The reader continues at its position. It has read some of the entries from there on, and has not
// finished them. The sender of the others has died: they have no length from here on. But they name
// their slots, for the life after this one.
static void
take_over(struct segment *seg, unsigned to, uint64_t life)
{
	struct lanes *l = lane_own(seg);
	struct layout_lane *lane = lane_at(seg, (unsigned)seg->self, to);
	uint16_t epoch = layout_state_epoch(life);
	uint64_t position, at;

	l->tx[to].life = life;
	drop_passed(seg, to);
	lane_drop(seg, (unsigned)seg->self, to, 0, seg->g.inbox_size);
	lines_fence();
	if (!read_passed(seg, to, life, &position))
		position = 0;
	for (at = position; at - position < seg->g.inbox_size; at++) {
		_Atomic uint64_t *word = lane_entry(seg, lane, at);
		uint64_t entry = shared_load(word);

		if (!lane_is_full(seg, entry, epoch, at))
			break;
		*entry_of(seg, to, at) = take_over_frame(seg, entry);
		if (*entry_of(seg, to, at) != NO_SLOT)
			l->tx[to].n_slots += lane_count_of(*entry_of(seg, to, at));
		shared_store(word, entry & ~((uint64_t)ENTRY_LEN_MASK << ENTRY_LEN_SHIFT));
	}
	l->tx[to].passed = position;
	l->tx[to].tail = l->tx[to].written = at & POSITION_MASK;
	// Lines of the former life that came without those before them.
	for (; at - position < seg->g.inbox_size; at++)
		shared_store(lane_entry(seg, lane, at), 0);
	lane_write_back(seg, to, 0, seg->g.inbox_size);
}

void
lane_tx_join(struct segment *seg)
{
	struct lanes *l = lane_own(seg);

	l->n_free = l->n_reserved = l->n_out = l->n_touched = 0;
	for (uint32_t i = 0; i < l->per_node; i++)
		l->use[i] = SLOT_FREE;
	for (unsigned i = 0; i < seg->g.n_nodes; i++) {
		uint64_t life = atomic_load_explicit(&l->life[i], memory_order_relaxed);

		l->tx[i].life = l->tx[i].tail = l->tx[i].passed = l->tx[i].written = 0;
		l->tx[i].n_slots = 0;
		if (life)
			take_over(seg, i, life);
	}
	lines_fence();
	for (uint32_t i = l->per_node; i--;)
		if (l->use[i] == SLOT_FREE)
			free_slot(l, i);
	show_held(seg);
}
