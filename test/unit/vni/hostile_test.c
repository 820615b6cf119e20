// A node that lies: between the operations of honest nodes it writes anything anywhere into the
// segment: lists, words, inboxes, node entries, headers. No node may crash, read or write beyond
// the segment (run it with AddressSanitizer), or loop for ever. Frames are within their bounds.
// When the liar is gone and the others have joined anew, frames arrive again.
#include "../../../src/vni/layout.h"
#include "segment_fixture.h"

#define NODES 3
#define ROUNDS 150
#define TURNS 400

static const struct segment_geometry GEOMETRY = {
	.n_nodes = NODES, .n_slots = 128, .slot_bytes = 2048, .inbox_size = 64};
static uint64_t random_state;

// xorshift64
static uint64_t
any(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static uint32_t
below(uint32_t n)
{
	return (uint32_t)(any() % n);
}

static uint64_t *
any_word(const struct fixture *f, const struct layout *at)
{
	uint8_t *mem = f->mem;

	switch (below(10)) {
	case 0:
	case 1:
		return (uint64_t *)(void *)(mem + at->words) + below(f->g.n_slots);
	case 2:
		return (uint64_t *)(void *)(mem + at->inboxes + below(NODES) * at->inbox_stride) +
			below((uint32_t)(at->inbox_stride / 8));
	case 3:
		return (uint64_t *)(void *)(mem + at->nodes) + below(NODES * (uint32_t)sizeof(struct layout_node) / 8);
	case 4:
		return (uint64_t *)(void *)mem + below(SEGMENT_PAGE / 8);
	default: // what is said of a parcel
		return (uint64_t *)(void *)(mem + at->slots + below(f->g.n_slots) * at->slot_stride) +
			(below(3) ? below(6) : below((uint32_t)sizeof(struct layout_slot) / 8));
	}
}

static void
lie(const struct fixture *f, const struct layout *at)
{
	uint64_t *word = any_word(f, at);

	switch (below(5)) {
	case 0:
		*word ^= UINT64_C(1) << below(64);
		break;
	case 1:
		*word = any();
		break;
	case 2:
		*word ^= (any() & 0x1ffff) << REF_BITS; // a length
		break;
	case 3:
		*word ^= UINT64_C(3) << 62;
		break;
	default:
		*word += below(5) - UINT64_C(2);
	}
}

static void
lie_a_little(const struct fixture *f, const struct layout *at)
{
	for (uint32_t n = below(3); n--;)
		lie(f, at);
}

// Frames of all lengths to one, to several, to none; some returned, shortened, or sent elsewhere.
static unsigned
prepare(struct segment *seg, unsigned self, struct segment_frame frames[SEGMENT_BURST])
{
	unsigned n = 0;

	for (uint32_t i = 1 + below(SEGMENT_BURST); i--;) {
		uint64_t to = below(6) ? UINT64_C(1) << (self + 1 + below(2)) % NODES : any();
		struct segment_frame *frame = &frames[n];
		uint32_t len;

		if (segment_reserve(seg, to, 14 + below(below(3) ? 300 : 9000), frame))
			continue;
		memset(segment_piece(seg, frame, 0, &len), 1, 14);
		frame->offload = (struct segment_offload){.flags = (uint8_t)below(2),
			.gso_type = !below(9),
			.csum_start = (uint16_t)below(60),
			.csum_offset = 16};
		if (!below(12)) {
			segment_unreserve(seg, frame);
			continue;
		}
		if (!below(12))
			frame->to = any();
		if (!below(12))
			segment_shorten(seg, frame, 14 + below(200));
		n++;
	}
	return n;
}

static void
read_all(struct segment *seg)
{
	static uint8_t data[SEGMENT_MAX_FRAME];
	struct segment_frame frames[SEGMENT_BURST];
	unsigned n = segment_receive(seg, frames, 1 + below(SEGMENT_BURST));

	for (unsigned i = 0; i < n; i++) {
		assert_in_range(frames[i].len, 14, SEGMENT_MAX_FRAME);
		segment_copy(seg, &frames[i], data);
	}
	segment_release(seg, frames, n);
}

static void
come_back(struct fixture *f, unsigned number)
{
	struct segment_identity identity = fixture_identity(number);

	segment_leave(f->node[number]);
	(void)segment_join(f->node[number], number, &identity); // the liar may hold the number
}

static void
turn(struct fixture *f, const struct layout *at)
{
	unsigned number = below(NODES);
	struct segment *seg = f->node[number];
	struct segment_frame frames[SEGMENT_BURST];
	struct segment_pool_info pool;
	struct segment_node_info info;
	uint64_t wake = 0;
	unsigned n = prepare(seg, number, frames);

	lie_a_little(f, at);
	(void)segment_send(seg, frames, n, &wake);
	lie_a_little(f, at);
	read_all(f->node[below(NODES)]);
	read_all(f->node[below(NODES)]);
	if (!below(20))
		(void)segment_tend(seg, NULL, NULL, f->now_ns += SEGMENT_TEND_NS);
	if (!below(50) && segment_sleep(seg))
		segment_awake(seg);
	if (!below(50)) {
		segment_look_pool(seg, &pool);
		(void)segment_look(seg, below(NODES), &info);
	}
	if (segment_is_expelled(seg) || !below(150))
		come_back(f, number);
}

// The liar has gone: nodes that join anew, and wait until false ones are taken for dead, can talk.
static void
assert_flows_again(struct fixture *f)
{
	static const uint8_t frame[60] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 8, 0};
	struct segment_frame received;
	uint64_t wake = 0;
	bool has_come = false;

	for (unsigned i = 0; i < 3 * SEGMENT_SILENCE_NS / SEGMENT_TEND_NS; i++) {
		f->now_ns += SEGMENT_TEND_NS;
		for (unsigned number = 0; number < NODES; number++) {
			if (!i || segment_self(f->node[number]) < 0 || segment_is_expelled(f->node[number]))
				come_back(f, number);
			(void)segment_tend(f->node[number], NULL, NULL, f->now_ns);
		}
	}
	for (unsigned i = 0; i < 100 && !has_come; i++) {
		(void)segment_put(f->node[0], frame, sizeof(frame), NULL, &wake);
		while (segment_receive(f->node[1], &received, 1)) {
			has_come |= received.len == sizeof(frame) && received.from == 0;
			segment_release(f->node[1], &received, 1);
		}
	}
	assert_true(has_come);
}

static void
node_that_lies_crashes_and_hangs_nobody(void **state)
{
	(void)state;
	random_state = unit_seed() * UINT64_C(2654435761) + 1;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct fixture f;
		struct layout at;

		fixture_make(&f, &GEOMETRY, 2);
		fixture_join(&f, 2, SEGMENT_BRIDGE);
		segment_layout(&f.g, &at);
		for (unsigned i = 0; i < TURNS; i++)
			turn(&f, &at);
		assert_flows_again(&f);
		fixture_free(&f);
	}
}

// A file's header, with any content, is refused or within the limits.
static void
header_that_lies_is_refused_or_harmless(void **state)
{
	struct fixture f;
	size_t bytes;

	(void)state;
	random_state = unit_seed() * UINT64_C(2654435761) + 1;
	fixture_make(&f, &GEOMETRY, 0);
	bytes = segment_bytes(&f.g);
	for (unsigned i = 0; i < 100000; i++) {
		uint32_t page[SEGMENT_PAGE / 4];
		struct segment_geometry g;

		memcpy(page, f.mem, sizeof(page));
		for (uint32_t n = 1 + below(3); n--;)
			page[2 + below(14)] = below(2) ? (uint32_t)any() : UINT32_C(1) << below(32);
		memcpy((uint8_t *)f.mem + 8, page + 2, 64);
		if (!segment_read_geometry(f.mem, bytes, &g)) {
			assert_int_equal(segment_check_geometry(&g, NULL), 0);
			assert_true(segment_bytes(&g) <= bytes);
		}
		if (!below(8))
			assert_int_equal(segment_format(f.mem, bytes, &f.g, (uint8_t[16]){1}), 0);
	}
	fixture_free(&f);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(node_that_lies_crashes_and_hangs_nobody),
		cmocka_unit_test(header_that_lies_is_refused_or_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
