// The reader's end of the lanes towards a node. Lanes are polled in turn, so that a flooding sender
// gets its turn and no more. Frames are read in their slots; the sender learns of them in order,
// however they are released.
//
// An entry is read only after its line was dropped. An old copy of a line shows entries of another
// lap, which are void, but also some of a life of the sender that is over, whose slots have another
// use. A frame's lines are dropped after its entry was seen, and read after that.
#include "address.h"
#include "frame.h"
#include "lane.h"
#include "piece.h"
#include "plain.h"

#define ENTRIES_PER_LINE (LINES_BYTES / sizeof(uint64_t))
#define BUSY_ENTRIES SEGMENT_BURST // looked at when those of one line were all full
#define TURNS_PER_MEND 4096

static void
show_passed(struct segment *seg, unsigned from)
{
	struct layout_passed *passed = lane_passed(seg, (unsigned)seg->self, from);

	shared_store(&passed->passed, (uint64_t)seg->epoch << 48 | lane_own(seg)->rx[from].passed);
	lines_write_back(lane_own(seg)->how, passed, sizeof(*passed));
}

static uint64_t *
released_word(const struct segment *seg, unsigned from, uint64_t position, uint64_t *ret_bit)
{
	uint64_t at = (uint64_t)from * seg->g.inbox_size + (position & (seg->g.inbox_size - 1));

	*ret_bit = UINT64_C(1) << at % 64;
	return &lane_own(seg)->released[at / 64];
}

static void
release(struct segment *seg, unsigned from, uint64_t position)
{
	uint64_t bit, *word = released_word(seg, from, position, &bit);

	if (lane_ahead(position, lane_own(seg)->rx[from].passed) <
		lane_ahead(lane_own(seg)->rx[from].head, lane_own(seg)->rx[from].passed))
		*word |= bit;
}

// Tells the senders what was released, as far as all before it was, too.
static void
pass(struct segment *seg, uint64_t lanes)
{
	struct lanes *l = lane_own(seg);

	for (; lanes; lanes &= lanes - 1) {
		unsigned from = (unsigned)__builtin_ctzll(lanes);
		uint64_t before = l->rx[from].passed, bit, *word;

		while (l->rx[from].passed != l->rx[from].head &&
			*(word = released_word(seg, from, l->rx[from].passed, &bit)) & bit) {
			*word &= ~bit;
			l->rx[from].passed = (l->rx[from].passed + 1) & POSITION_MASK;
		}
		if (l->rx[from].passed != before)
			show_passed(seg, from);
	}
}

static bool
read_head(const struct segment *seg, unsigned from, uint64_t *ret_entry)
{
	uint64_t head = lane_own(seg)->rx[from].head;

	*ret_entry = shared_load(lane_entry(seg, lane_at(seg, from, (unsigned)seg->self), head));
	return lane_is_full(seg, *ret_entry, seg->epoch, head);
}

// Entries of a lane in one turn: the rest of the head's line, or more.
static unsigned
n_looked_at(const struct segment *seg, unsigned from)
{
	const struct lanes *l = lane_own(seg);

	return l->rx[from].is_busy ? BUSY_ENTRIES : ENTRIES_PER_LINE - l->rx[from].head % ENTRIES_PER_LINE;
}

// Reads the heads of all lanes anew, including entries that were seen already. Others may have
// taken this node for dead while it did not run. The slots of such entries may then have another
// use.
static void
look(struct segment *seg, uint64_t live)
{
	struct lanes *l = lane_own(seg);

	for (; live; live &= live - 1) {
		unsigned from = (unsigned)__builtin_ctzll(live);

		lane_drop(seg, from, (unsigned)seg->self, l->rx[from].head, n_looked_at(seg, from));
	}
	lines_fence();
}

// The frame that the entry at the head tells of, in memory of this node's own. False: it is none.
static bool
take(struct segment *seg, unsigned from, uint64_t entry, struct segment_frame *ret_frame)
{
	struct lanes *l = lane_own(seg);
	uint64_t position = l->rx[from].head;
	uint32_t slot = lane_slot_of(entry);

	l->rx[from].head = (position + 1) & POSITION_MASK;
	*ret_frame = (struct segment_frame){
		.len = (uint32_t)(entry >> ENTRY_LEN_SHIFT) & ENTRY_LEN_MASK,
		.n_slots = (uint16_t)lane_count_of(entry),
		.from = (uint8_t)from,
		.is_shared = true, // its lines are the sender's alone to write
		.to = (uint64_t)seg->epoch << 48 | position,
	};
	ret_frame->slot[0] = from * l->per_node + slot;
	if (ret_frame->len >= FRAME_MIN && ret_frame->len <= SEGMENT_MAX_FRAME &&
		ret_frame->n_slots == frame_n_slots(seg, ret_frame->len) && slot < l->per_node &&
		(ret_frame->n_slots == 1 || entry & ENTRY_MORE)) {
		if (entry & ENTRY_MORE)
			lines_drop(l->how, own_slot(seg, (uint32_t)ret_frame->slot[0]), sizeof(struct layout_slot));
		return true;
	}
	release(seg, from, position);
	own_count_rx(seg, ret_frame->len ? RX_BAD : RX_STALE, 1);
	return false;
}

// Takes up to n frames from the lanes in turn. *ret_more: set of those whose header says more.
static unsigned
take_all(struct segment *seg, uint64_t live, struct segment_frame *ret_frames, unsigned n, uint64_t *ret_more)
{
	struct lanes *l = lane_own(seg);
	unsigned n_taken = 0;

	for (unsigned i = 0; i < seg->g.n_nodes; i++) {
		unsigned from = (l->turn + i) % seg->g.n_nodes, max = n_looked_at(seg, from), n_seen;
		uint64_t entry;

		if (!(live >> from & 1))
			continue;
		for (n_seen = 0; n_seen < max && n_taken < n && read_head(seg, from, &entry); n_seen++)
			if (take(seg, from, entry, &ret_frames[n_taken])) {
				*ret_more |= (uint64_t)!!(entry & ENTRY_MORE) << n_taken;
				n_taken++;
			}
		l->rx[from].is_busy = n_seen >= ENTRIES_PER_LINE / 2;
	}
	l->turn = (l->turn + 1) % seg->g.n_nodes;
	return n_taken;
}

// False: it names slots that are not the sender's.
static bool
read_header(const struct segment *seg, struct segment_frame *frame)
{
	const struct layout_slot *header = own_slot(seg, (uint32_t)frame->slot[0]);
	uint32_t per_node = lane_own(seg)->per_node;

	frame->offload = piece_read_offload(header);
	for (unsigned i = 1; i < frame->n_slots; i++) {
		uint64_t slot = shared_load(&header->other[i - 1]);

		if (slot >= per_node)
			return false;
		frame->slot[i] = frame->from * per_node + (uint32_t)slot;
	}
	return true;
}

// Reads the headers, and leaves out the frames that cannot be. Returns how many are left.
static unsigned
read_headers(struct segment *seg, struct segment_frame *frames, unsigned n, uint64_t more)
{
	unsigned n_good = 0;

	lines_fence();
	for (unsigned i = 0; i < n; i++) {
		if (more >> i & 1 && !read_header(seg, &frames[i])) {
			release(seg, frames[i].from, frames[i].to & POSITION_MASK);
			own_count_rx(seg, RX_BAD, 1);
			continue;
		}
		if (n_good != i)
			frames[n_good] = frames[i];
		n_good++;
	}
	return n_good;
}

// An entry that a node emptied against the rules would stop the lane for ever. When the same entry
// is missing twice, with others behind it, the reader continues there. The lines of one send may
// come in any order, but not that late.
static void
mend(struct segment *seg, unsigned from)
{
	struct lanes *l = lane_own(seg);
	struct layout_lane *lane = lane_at(seg, from, (unsigned)seg->self);
	uint64_t head = l->rx[from].head, behind = head, entry;
	uint32_t n;

	show_passed(seg, from); // in case another node has written there
	lane_drop(seg, from, (unsigned)seg->self, 0, seg->g.inbox_size);
	lines_fence();
	if (read_head(seg, from, &entry))
		return;
	for (n = 1; n < seg->g.inbox_size; n++) {
		behind = head + n;
		if (lane_is_full(seg, shared_load(lane_entry(seg, lane, behind)), seg->epoch, behind))
			break;
	}
	if (n == seg->g.inbox_size) {
		l->rx[from].hole = 0;
	} else if (l->rx[from].hole != head + 1) {
		l->rx[from].hole = head + 1;
	} else {
		l->rx[from].head = behind & POSITION_MASK;
		while (n--)
			release(seg, from, (head + n) & POSITION_MASK);
		own_count_rx(seg, RX_BAD, 1);
		pass(seg, UINT64_C(1) << from);
	}
}

unsigned
lane_rx_receive(struct segment *seg, struct segment_frame *ret_frames, unsigned n)
{
	struct lanes *l = lane_own(seg);
	uint64_t live = atomic_load_explicit(&l->live, memory_order_acquire), more = 0, bytes = 0;
	uint64_t bridges = atomic_load_explicit(&seg->bridges, memory_order_relaxed);

	if (atomic_load_explicit(&l->expelled, memory_order_relaxed) != LANE_NOT_EXPELLED)
		return 0;
	if (n > SEGMENT_BURST)
		n = SEGMENT_BURST;
	if (++l->n_turns % TURNS_PER_MEND == 0) {
		unsigned from = l->n_turns / TURNS_PER_MEND % seg->g.n_nodes;

		if (live >> from & 1)
			mend(seg, from);
	}
	look(seg, live);
	n = take_all(seg, live, ret_frames, n, &more);
	if (more)
		n = read_headers(seg, ret_frames, n, more);
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < ret_frames[i].n_slots; k++) {
			uint32_t len;
			const uint8_t *piece = segment_piece(seg, &ret_frames[i], k, &len);

			lines_drop(l->how, piece, len);
		}
	if (n)
		lines_fence();
	for (unsigned i = 0; i < n; i++) {
		bytes += ret_frames[i].len;
		if (bridges >> ret_frames[i].from & 1)
			address_learn(seg, own_bytes(seg, (uint32_t)ret_frames[i].slot[0]) + 6, ret_frames[i].from);
	}
	pass(seg, live); // what could not be
	own_count_rx(seg, RX_FRAMES, n);
	own_count_rx(seg, RX_BYTES, bytes);
	return n;
}

void
lane_rx_release(struct segment *seg, const struct segment_frame *frames, unsigned n)
{
	uint64_t lanes = 0;

	if (atomic_load_explicit(&lane_own(seg)->expelled, memory_order_relaxed) == LANE_ROBBED)
		return;
	for (unsigned i = 0; i < n; i++) {
		if (frames[i].from >= seg->g.n_nodes || frames[i].to >> 48 != seg->epoch)
			continue; // of a former life
		release(seg, frames[i].from, frames[i].to & POSITION_MASK);
		lanes |= UINT64_C(1) << frames[i].from;
	}
	pass(seg, lanes);
}

bool
lane_rx_is_idle(struct segment *seg)
{
	uint64_t live = atomic_load_explicit(&lane_own(seg)->live, memory_order_acquire), entry;

	look(seg, live);
	for (; live; live &= live - 1)
		if (read_head(seg, (unsigned)__builtin_ctzll(live), &entry))
			return false;
	return true;
}

void
lane_rx_join(struct segment *seg)
{
	struct lanes *l = lane_own(seg);
	size_t n_words = (size_t)seg->g.n_nodes * seg->g.inbox_size / 64;

	for (size_t i = 0; i < n_words; i++)
		l->released[i] = 0;
	for (unsigned i = 0; i < seg->g.n_nodes; i++) {
		l->rx[i].head = l->rx[i].passed = l->rx[i].hole = 0;
		l->rx[i].is_busy = false;
		show_passed(seg, i);
	}
	l->turn = l->n_turns = 0;
}
