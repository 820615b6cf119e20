// Nodes of one segment in one thread: joining, sending to one, to several, to none, refusals, and
// the remains of a node that is gone. The segment is coherent, or (in a build of its own) not.
#include "segment_fixture.h"

#include <errno.h>

#ifdef LINES_SIMULATED
#define IS_SIMULATED true
#else
#define IS_SIMULATED false
#endif
#define IS_COHERENT (FIXTURE_MEMORY == SEGMENT_COHERENT)

static const struct segment_geometry SMALL = {.memory = FIXTURE_MEMORY,
	.n_nodes = FIXTURE_NODES,
	.n_slots = IS_COHERENT ? 256 : 4 * 256, // of which each node has a part
	.slot_bytes = 2048,
	.inbox_size = 64};

static void
make_frame(uint8_t *frame, uint32_t len, uint8_t to, uint8_t from, uint8_t mark)
{
	for (uint32_t i = 0; i < len; i++)
		frame[i] = (uint8_t)(i * 7 + mark);
	memcpy(frame, (uint8_t[]){2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 8, 0}, 14);
}

static int
put(struct fixture *f, uint8_t from, uint8_t to, uint32_t len, uint8_t mark)
{
	uint8_t frame[SEGMENT_MAX_FRAME];
	uint64_t wake = 0;

	make_frame(frame, len, to, from, mark);
	if (to == 0xff)
		memset(frame, 0xff, 6);
	return segment_put(f->node[from], frame, len, NULL, &wake);
}

// The next frame is the one that put made.
static void
assert_received(struct fixture *f, uint8_t node, uint8_t from, uint32_t len, uint8_t mark)
{
	uint8_t frame[SEGMENT_MAX_FRAME], got[SEGMENT_MAX_FRAME];
	struct segment_frame received;

	fixture_settle(f);
	assert_int_equal(segment_receive(f->node[node], &received, 1), 1);
	assert_int_equal(received.len, len);
	assert_int_equal(received.from, from);
	segment_copy(f->node[node], &received, got);
	// the destination may be an address behind the node
	make_frame(frame, len, node, from, mark);
	assert_memory_equal(got + 6, frame + 6, len - 6);
	segment_release(f->node[node], &received, 1);
	fixture_settle(f);
}

static void
assert_nothing(struct fixture *f, uint8_t node)
{
	struct segment_frame received;

	fixture_settle(f);
	assert_int_equal(segment_receive(f->node[node], &received, 1), 0);
}

static void
assert_all_free_after_leave(struct fixture *f)
{
	struct segment *looker = fixture_attach(f);
	struct segment_pool_info info;

	for (unsigned i = 0; i < f->g.n_nodes; i++)
		if (f->node[i])
			segment_leave(f->node[i]);
	fixture_settle(f);
	segment_look_pool(looker, &info);
	assert_int_equal(info.n_free, f->g.n_slots);
	free(looker);
}

static void
geometry_is_refused_beyond_each_limit(void **state)
{
	static const struct {
		struct segment_geometry g;
		const char *field;
	} cases[] = {
		{{.n_nodes = 1, .n_slots = 256, .slot_bytes = 2048, .inbox_size = 64}, "nodes"},
		{{.n_nodes = SEGMENT_MAX_NODES + 1, .n_slots = 4096, .slot_bytes = 2048, .inbox_size = 64}, "nodes"},
		{{.n_nodes = 2, .n_slots = 256, .slot_bytes = 1024, .inbox_size = 64}, "slot_bytes"},
		{{.n_nodes = 2, .n_slots = 256, .slot_bytes = 3000, .inbox_size = 64}, "slot_bytes"},
		{{.n_nodes = 2, .n_slots = 256, .slot_bytes = 2 * SEGMENT_MAX_SLOT_BYTES, .inbox_size = 64},
			"slot_bytes"},
		{{.n_nodes = 2, .n_slots = 256, .slot_bytes = 2048, .inbox_size = 32}, "inbox"},
		{{.n_nodes = 2, .n_slots = 256, .slot_bytes = 2048, .inbox_size = 65}, "inbox"},
		{{.n_nodes = 2, .n_slots = 256, .slot_bytes = 2048, .inbox_size = 2 * SEGMENT_MAX_INBOX}, "inbox"},
		{{.n_nodes = 2, .n_slots = 65, .slot_bytes = 2048, .inbox_size = 64}, "slots"},
		{{.n_nodes = 2, .n_slots = SEGMENT_MAX_SLOTS + 1, .slot_bytes = 2048, .inbox_size = 64}, "slots"},
		{{.n_nodes = 4, .n_slots = 395, .slot_bytes = 2048, .inbox_size = 64, .buffers = SEGMENT_SEPARATE},
			"slots"},
		{{.n_nodes = 2, .n_slots = 256, .slot_bytes = 2048, .inbox_size = 64, .memory = 2}, "memory"},
		{{.n_nodes = 2, .n_slots = 256, .slot_bytes = 2048, .inbox_size = 64, .buffers = 2}, "buffers"},
		{{.n_nodes = 2,
			 .n_slots = 256,
			 .slot_bytes = 2048,
			 .inbox_size = 64,
			 .memory = SEGMENT_NONCOHERENT,
			 .buffers = SEGMENT_SEPARATE},
			"buffers"},
		{{.n_nodes = 2, .n_slots = 65, .slot_bytes = 2048, .inbox_size = 64, .memory = SEGMENT_NONCOHERENT},
			"slots"},
	};
	struct segment_geometry least = {.n_nodes = 2, .n_slots = 66, .slot_bytes = 2048, .inbox_size = 64};
	struct segment_geometry most = {.n_nodes = SEGMENT_MAX_NODES,
		.n_slots = SEGMENT_MAX_SLOTS,
		.slot_bytes = SEGMENT_MAX_SLOT_BYTES,
		.inbox_size = SEGMENT_MAX_INBOX};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *field = "none";

		assert_int_equal(segment_check_geometry(&cases[i].g, &field), -EINVAL);
		assert_string_equal(field, cases[i].field);
		assert_int_equal(segment_bytes(&cases[i].g), 0);
	}
	for (unsigned memory = SEGMENT_COHERENT; memory <= SEGMENT_NONCOHERENT; memory++) {
		least.memory = most.memory = memory;
		assert_int_equal(segment_check_geometry(&least, NULL), 0);
		assert_int_equal(segment_check_geometry(&most, NULL), 0);
	}
}

static void
object_that_is_no_segment_is_refused(void **state)
{
	struct fixture f;
	struct segment_geometry g;
	size_t bytes = segment_bytes(&SMALL);
	uint32_t *words;

	(void)state;
	fixture_make(&f, &SMALL, 0);
	assert_int_equal(segment_read_geometry(f.mem, bytes, &g), 0);
	assert_memory_equal(&g, &SMALL, sizeof(g));
	assert_int_equal(segment_read_geometry(f.mem, bytes - 1, &g), -EFBIG);
	assert_int_equal(segment_read_geometry(f.mem, 4095, &g), -ENODATA);
	assert_int_equal(segment_format(f.mem, bytes - 1, &SMALL, (uint8_t[16]){0}), -ENOSPC);
	words = f.mem;
	words[2]++; // the version
	assert_int_equal(segment_read_geometry(f.mem, bytes, &g), -EPROTO);
	words[2]--;
	words[5] = SEGMENT_MAX_NODES + 1;
	assert_int_equal(segment_read_geometry(f.mem, bytes, &g), -EINVAL);
	words[5] = SMALL.n_nodes;
	words[6] = SMALL.n_slots / 2 + 10; // in range, but not what the length was made for
	assert_int_equal(segment_read_geometry(f.mem, bytes, &g), -EINVAL);
	words[0] = 0;
	assert_int_equal(segment_read_geometry(f.mem, bytes, &g), -ENODATA);
	fixture_free(&f);
}

static void
frame_reaches_the_node_of_its_address(void **state)
{
	struct fixture f;

	(void)state;
	fixture_make(&f, &SMALL, 3);
	for (uint32_t len = 14; len <= 2049; len += len < 2040 ? 61 : 1) {
		assert_int_equal(put(&f, 0, 1, len, (uint8_t)len), 0);
		assert_received(&f, 1, 0, len, (uint8_t)len);
		assert_nothing(&f, 0);
		assert_nothing(&f, 2);
	}
	assert_int_equal(put(&f, 0, 1, SEGMENT_MAX_FRAME, 9), 0);
	assert_received(&f, 1, 0, SEGMENT_MAX_FRAME, 9);
	assert_int_equal(put(&f, 0, 1, 13, 9), -EMSGSIZE);
	assert_int_equal(put(&f, 0, 0, 60, 9), -EHOSTUNREACH); // to itself
	assert_int_equal(put(&f, 0, 9, 60, 9), -EHOSTUNREACH); // no such address, no bridge
	assert_nothing(&f, 1);
	assert_all_free_after_leave(&f);
	fixture_free(&f);
}

static void
frame_longer_than_the_longest_is_refused(void **state)
{
	struct fixture f;
	struct segment_frame frame;

	(void)state;
	fixture_make(&f, &SMALL, 2);
	assert_int_equal(segment_reserve(f.node[0], 2, SEGMENT_MAX_FRAME, &frame), 0);
	assert_int_equal(frame.n_slots, SEGMENT_MAX_CHAIN);
	segment_shorten(f.node[0], &frame, 100);
	assert_int_equal(frame.n_slots, 1);
	segment_unreserve(f.node[0], &frame);
	assert_int_equal(segment_reserve(f.node[0], 2, SEGMENT_MAX_FRAME + 1, &frame), -EMSGSIZE);
	assert_all_free_after_leave(&f);
	fixture_free(&f);
}

static void
broadcast_reaches_all_others_once(void **state)
{
	struct fixture f;

	(void)state;
	fixture_make(&f, &SMALL, 4);
	for (unsigned i = 0; i < 1000; i++) {
		// one slot that all read, or several slots for each
		uint32_t len = i % 2 ? 60 : 3000;

		assert_int_equal(put(&f, 1, 0xff, len, (uint8_t)i), 0);
		for (uint8_t node = 0; node < 4; node++)
			if (node != 1)
				assert_received(&f, node, 1, len, (uint8_t)i);
		for (uint8_t node = 0; node < 4; node++)
			assert_nothing(&f, node);
	}
	assert_all_free_after_leave(&f);
	fixture_free(&f);
}

static void
unknown_address_goes_to_bridges_and_is_learned(void **state)
{
	struct fixture f;
	struct segment_frame received;
	uint8_t behind[60];
	uint64_t wake = 0;

	(void)state;
	fixture_make(&f, &SMALL, 2);
	fixture_join(&f, 2, SEGMENT_BRIDGE);
	fixture_join(&f, 3, SEGMENT_BRIDGE);
	assert_int_equal(put(&f, 0, 77, 60, 5), 0);
	assert_received(&f, 2, 0, 60, 5);
	assert_received(&f, 3, 0, 60, 5);
	assert_nothing(&f, 1);
	make_frame(behind, 60, 0, 77, 6); // 77 is behind node 2
	assert_int_equal(segment_put(f.node[2], behind, 60, NULL, &wake), 0);
	fixture_settle(&f);
	assert_int_equal(segment_receive(f.node[0], &received, 1), 1);
	assert_int_equal(received.from, 2);
	segment_release(f.node[0], &received, 1);
	assert_int_equal(put(&f, 0, 77, 60, 7), 0);
	assert_received(&f, 2, 0, 60, 7);
	assert_nothing(&f, 3);
	fixture_leave(&f, 2); // and with it what is behind it
	assert_int_equal(put(&f, 0, 77, 60, 8), 0);
	assert_received(&f, 3, 0, 60, 8);
	assert_all_free_after_leave(&f);
	fixture_free(&f);
}

static void
full_inbox_costs_its_node_alone(void **state)
{
	struct fixture f;
	struct segment_node_info info;
	unsigned n = 0;

	(void)state;
	fixture_make(&f, &SMALL, 3);
	while (!put(&f, 0, 1, 60, (uint8_t)n))
		n++;
	assert_int_equal(n, SMALL.inbox_size);
	assert_true(segment_look(f.node[0], 0, &info));
	assert_int_equal(info.counters.tx_inbox_full, 1);
	fixture_settle(&f);
	assert_true(segment_look(f.node[0], 1, &info));
	assert_int_equal(info.inbox_depth, SMALL.inbox_size);
	assert_int_equal(put(&f, 0, 2, 60, 1), 0);
	assert_received(&f, 2, 0, 60, 1);
	for (unsigned i = 0; i < n; i++)
		assert_received(&f, 1, 0, 60, (uint8_t)i);
	assert_nothing(&f, 1);
	assert_int_equal(put(&f, 0, 1, 60, 1), 0);
	assert_received(&f, 1, 0, 60, 1);
	assert_all_free_after_leave(&f);
	fixture_free(&f);
}

// Node 1 has no room, node 2 has, and there is no node 3.
static void
sender_learns_whom_each_frame_reached(void **state)
{
	static const uint64_t to[] = {1 << 1, 1 << 2, 1 << 1 | 1 << 2, 1 << 3, 1 << 2, 0};
	static const uint64_t reached[] = {0, 1 << 2, 1 << 2, 0, 1 << 2, 0};
	struct segment_frame frames[6];
	struct fixture f;
	uint64_t wake = 0;

	(void)state;
	fixture_make(&f, &SMALL, 3);
	while (!put(&f, 0, 1, 60, 0))
		;
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(segment_reserve(f.node[0], to[i], 1500, &frames[i]), 0);
	assert_int_equal(segment_send(f.node[0], frames, 6, &wake), 3);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(frames[i].to, reached[i]);
	assert_int_equal(segment_reserve(f.node[0], 1 << 2, 60, &frames[0]), 0);
	segment_leave(f.node[0]);
	assert_int_equal(segment_send(f.node[0], frames, 1, &wake), 0);
	assert_int_equal(frames[0].to, 0);
	fixture_free(&f);
}

// The inbox bounds slots, however they come: parcels of bursts, super-frames.
static void
inbox_bounds_slots_not_parcels(void **state)
{
	struct fixture f;
	unsigned n = 0;

	(void)state;
	fixture_make(&f, &SMALL, 2);
	while (!put(&f, 0, 1, 20 * 2048, (uint8_t)n))
		n++;
	assert_int_equal(n, SMALL.inbox_size / 20);
	for (unsigned i = 0; i < 1000; i++) {
		assert_received(&f, 1, 0, 20 * 2048, (uint8_t)i);
		assert_int_equal(put(&f, 0, 1, 20 * 2048, (uint8_t)(i + n)), 0);
	}
	assert_all_free_after_leave(&f);
	fixture_free(&f);
}

static void
burst_keeps_its_order_through_many_laps(void **state)
{
	struct fixture f;
	struct segment_frame frames[SEGMENT_BURST], received[SEGMENT_BURST];
	uint32_t sent = 0, got = 0;
	uint64_t wake = 0;

	(void)state;
	fixture_make(&f, &SMALL, 2);
	for (unsigned turn = 0; turn < 20000; turn++) {
		unsigned n = turn * 7 % SEGMENT_BURST + 1, n_got;

		for (unsigned i = 0; i < n; i++) {
			uint8_t data[60];
			uint32_t len;

			make_frame(data, 60, 1, 0, 0);
			memcpy(data + 20, &sent, 4);
			assert_int_equal(segment_reserve(f.node[0], segment_route(f.node[0], data), 60, &frames[i]), 0);
			memcpy(segment_piece(f.node[0], &frames[i], 0, &len), data, 60);
			sent++;
		}
		sent -= n - segment_send(f.node[0], frames, n, &wake);
		n_got = segment_receive(f.node[1], received, turn % 5 + 14);
		for (unsigned i = 0; i < n_got; i++, got++) {
			uint32_t len;

			assert_memory_equal(segment_piece(f.node[1], &received[i], 0, &len) + 20, &got, 4);
		}
		segment_release(f.node[1], received, n_got);
	}
	assert_true(got > 100000);
	assert_all_free_after_leave(&f);
	fixture_free(&f);
}

// Small frames of one burst for one node share slots; each arrives unchanged, and a slot is free
// after its last frame.
static void
small_frames_share_a_slot(void **state)
{
	static const uint32_t lens[] = {14, 60, 64, 65, 1000, 1024, 1025, 60, 60};
	struct segment_frame frames[SEGMENT_BURST], received[SEGMENT_BURST];
	struct fixture f;
	uint64_t wake = 0;
	uint32_t n_free, len;

	(void)state;
	if (!IS_COHERENT)
		return; // each frame has slots of its own there
	fixture_make(&f, &SMALL, 2);
	for (unsigned i = 0; i < 9; i++) {
		uint8_t data[1100];

		make_frame(data, lens[i], 1, 0, (uint8_t)i);
		assert_int_equal(segment_reserve(f.node[0], 2, lens[i], &frames[i]), 0);
		frames[i].offload = (struct segment_offload){i % 3 ? 1 : 0, 0, 0, 0, i % 3 ? 34 : 0, i % 3 ? 16 : 0};
		memcpy(segment_piece(f.node[0], &frames[i], 0, &len), data, lens[i]);
		assert_int_equal(len, lens[i]);
	}
	assert_int_equal(frames[4].slot[0], frames[0].slot[0]);
	// the first five leave no room for it
	assert_int_not_equal(frames[5].slot[0], frames[0].slot[0]);
	assert_int_not_equal(frames[6].slot[0], frames[5].slot[0]); // more than half a slot
	assert_int_equal(frames[8].slot[0], frames[7].slot[0]);
	assert_int_equal(segment_send(f.node[0], frames, 9, &wake), 9);
	n_free = fixture_n_free(&f);
	assert_int_equal(segment_receive(f.node[1], received, 5), 5);
	assert_int_equal(segment_receive(f.node[1], received + 5, SEGMENT_BURST), 4);
	for (unsigned i = 0; i < 9; i++) {
		uint8_t data[1100], got[1100];

		make_frame(data, lens[i], 1, 0, (uint8_t)i);
		assert_int_equal(received[i].len, lens[i]);
		assert_memory_equal(&received[i].offload, &frames[i].offload, sizeof(frames[i].offload));
		segment_copy(f.node[1], &received[i], got);
		assert_memory_equal(got, data, lens[i]);
	}
	for (unsigned i = 4; i--;)
		segment_release(f.node[1], &received[i], 1);
	assert_int_equal(fixture_n_free(&f), n_free); // one frame is still in the slot
	segment_release(f.node[1], &received[4], 1);
	assert_int_equal(fixture_n_free(&f), n_free + 1);
	segment_release(f.node[1], &received[5], 4);
	assert_int_equal(fixture_n_free(&f), n_free + 4);
	assert_all_free_after_leave(&f);
	fixture_free(&f);
}

// Frames that share a slot may leave one by one, in any order, to another node than they were
// reserved for, or not at all.
static void
frames_that_share_a_slot_need_not_leave_together(void **state)
{
	struct segment_frame frames[4];
	struct fixture f;
	uint64_t wake = 0;
	uint32_t len;

	(void)state;
	if (!IS_COHERENT)
		return; // each frame has slots of its own there
	fixture_make(&f, &SMALL, 3);
	for (uint8_t i = 0; i < 4; i++) {
		uint8_t data[60];

		make_frame(data, 60, i == 3 ? 2 : 1, 0, i);
		assert_int_equal(segment_reserve(f.node[0], 2, 60, &frames[i]), 0);
		memcpy(segment_piece(f.node[0], &frames[i], 0, &len), data, 60);
	}
	assert_int_equal(frames[3].slot[0], frames[0].slot[0]);
	assert_int_equal(segment_send(f.node[0], &frames[1], 1, &wake), 1);
	frames[3].to = 4;
	assert_int_equal(segment_send(f.node[0], &frames[3], 1, &wake), 1);
	segment_unreserve(f.node[0], &frames[2]);
	assert_int_equal(segment_send(f.node[0], &frames[0], 1, &wake), 1);
	assert_received(&f, 1, 0, 60, 1);
	assert_received(&f, 1, 0, 60, 0);
	assert_nothing(&f, 1);
	assert_received(&f, 2, 0, 60, 3);
	assert_nothing(&f, 2);
	assert_int_equal(segment_reserve(f.node[0], 2, 60, &frames[0]), 0);
	assert_int_equal(segment_reserve(f.node[0], 2, 60, &frames[1]), 0);
	segment_unreserve(f.node[0], &frames[0]);
	segment_unreserve(f.node[0], &frames[1]);
	assert_int_equal(put(&f, 0, 1, 60, 9), 0);
	assert_received(&f, 1, 0, 60, 9);
	assert_all_free_after_leave(&f);
	fixture_free(&f);
}

// The same to several nodes: they would free the slot under the frames that stay behind.
static void
frame_that_shares_a_slot_goes_to_several_nodes(void **state)
{
	struct segment_frame frames[2];
	struct fixture f;
	uint64_t wake = 0;
	uint32_t len;

	(void)state;
	if (!IS_COHERENT)
		return; // each frame has slots of its own there
	for (uint8_t first = 0; first < 2; first++) {
		fixture_make(&f, &SMALL, 3);
		for (uint8_t i = 0; i < 2; i++) {
			uint8_t data[60];

			make_frame(data, 60, 1, 0, i);
			assert_int_equal(segment_reserve(f.node[0], 2, 60, &frames[i]), 0);
			memcpy(segment_piece(f.node[0], &frames[i], 0, &len), data, 60);
		}
		assert_int_equal(frames[1].slot[0], frames[0].slot[0]);
		frames[first].to = 2 | 4;
		assert_int_equal(segment_send(f.node[0], &frames[first], 1, &wake), 1);
		assert_received(&f, 1, 0, 60, first);
		assert_received(&f, 2, 0, 60, first);
		for (unsigned i = 0; i < SMALL.n_slots; i++) { // in every slot that is free
			assert_int_equal(put(&f, 2, 1, 60, 77), 0);
			assert_received(&f, 1, 2, 60, 77);
		}
		assert_int_equal(segment_send(f.node[0], &frames[!first], 1, &wake), 1);
		assert_received(&f, 1, 0, 60, !first);
		assert_nothing(&f, 2);
		assert_all_free_after_leave(&f);
		fixture_free(&f);
	}
}

// Of each life of the node.
static void
refused_frames_are_counted(void **state)
{
	struct segment_node_info info;
	struct fixture f;

	(void)state;
	fixture_make(&f, &SMALL, 2);
	segment_count_refused(f.node[1]);
	segment_count_refused(f.node[1]);
	fixture_settle(&f);
	assert_true(segment_look(f.node[0], 1, &info));
	assert_int_equal(info.counters.rx_refused, 2);
	segment_leave(f.node[1]);
	segment_count_refused(f.node[1]);
	fixture_settle(&f);
	free(f.node[1]);
	fixture_join(&f, 1, 0);
	fixture_settle(&f);
	assert_true(segment_look(f.node[0], 1, &info));
	assert_int_equal(info.counters.rx_refused, 0);
	assert_all_free_after_leave(&f);
	fixture_free(&f);
}

// The place of a node's entry belongs to no node.
static void
frame_goes_to_no_number_that_there_is_not(void **state)
{
	struct segment_node_info info;
	struct segment_frame frame;
	struct fixture f;
	uint64_t wake = 0;

	(void)state;
	fixture_make(&f, &SMALL, FIXTURE_NODES);
	assert_int_equal(segment_reserve(f.node[0], UINT64_MAX, 60, &frame), 0);
	frame.to = UINT64_MAX;
	assert_int_equal(segment_send(f.node[0], &frame, 1, &wake), 1);
	assert_int_equal(frame.to, 0xe);
	fixture_settle(&f);
	assert_true(segment_look(f.node[0], 0, &info));
	assert_int_equal(info.counters.tx_gone, 0);
	for (uint8_t i = 1; i < FIXTURE_NODES; i++) {
		assert_int_equal(segment_receive(f.node[i], &frame, 1), 1);
		segment_release(f.node[i], &frame, 1);
	}
	assert_all_free_after_leave(&f);
	assert_int_equal(segment_send(f.node[0], &frame, 0, &wake), 0); // and not without a number
	fixture_free(&f);
}

static void
offload_header_comes_with_its_frame(void **state)
{
	static const struct segment_offload offload = {1, 4, 66, 1448, 34, 16};
	struct fixture f;
	struct segment_frame received;
	uint8_t data[3000];
	uint64_t wake = 0;

	(void)state;
	fixture_make(&f, &SMALL, 2);
	make_frame(data, sizeof(data), 1, 0, 0);
	assert_int_equal(segment_put(f.node[0], data, sizeof(data), &offload, &wake), 0);
	fixture_settle(&f);
	assert_int_equal(segment_receive(f.node[1], &received, 1), 1);
	assert_memory_equal(&received.offload, &offload, sizeof(offload));
	segment_release(f.node[1], &received, 1);
	fixture_free(&f);
}

static void
sleeper_is_woken_once(void **state)
{
	struct fixture f;
	uint8_t data[60];
	uint64_t wake = 0;

	(void)state;
	fixture_make(&f, &SMALL, 2);
	make_frame(data, 60, 1, 0, 0);
	assert_true(segment_sleep(f.node[1]));
	assert_int_equal(segment_put(f.node[0], data, 60, NULL, &wake), 0);
	assert_int_equal(wake, IS_COHERENT ? 2 : 0); // no node can: it sleeps for a short time
	wake = 0;
	assert_int_equal(segment_put(f.node[0], data, 60, NULL, &wake), 0);
	assert_int_equal(wake, 0);
	fixture_settle(&f);
	assert_false(segment_sleep(f.node[1])); // frames wait
	fixture_free(&f);
}

static void
number_is_taken_once(void **state)
{
	struct segment_identity identity = fixture_identity(1);
	struct fixture f;
	struct segment *other;

	(void)state;
	fixture_make(&f, &SMALL, 2);
	other = fixture_attach_as(&f, 2);
	assert_int_equal(segment_join(other, 1, &identity), -EBUSY);
	assert_int_equal(segment_join(other, SMALL.n_nodes, &identity), -EINVAL);
	assert_int_equal(segment_join(other, 2, &identity), 0);
	assert_int_equal(segment_join(other, 3, &identity), -EINVAL); // has joined already
	segment_leave(other);
	assert_int_equal(segment_self(other), -1);
	segment_leave(other);
	free(other);
	fixture_free(&f);
}

// A node ends without a word, with frames in its own inbox, in others', in its hands.
static void
dead_node_leaves_no_slot_behind(void **state)
{
	struct fixture f;
	struct segment_frame held[2];

	(void)state;
	fixture_make(&f, &SMALL, 4);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(put(&f, 1, 2, i % 3 ? 60 : 5000, (uint8_t)i), 0);
		assert_int_equal(put(&f, 2, 1, i % 3 ? 60 : 5000, (uint8_t)i), 0);
		assert_int_equal(put(&f, 1, 0xff, 60, (uint8_t)i), 0);
		assert_int_equal(put(&f, 3, 0xff, 60, (uint8_t)i), 0);
	}
	fixture_settle(&f);
	assert_int_equal(segment_receive(f.node[1], held, 2), 2);
	f.dead = 2;
	for (unsigned i = 0; i < 13; i++, f.now_ns += SEGMENT_TEND_NS) { // beating, without node 1
		assert_int_equal(segment_tend(f.node[2], NULL, NULL, f.now_ns), 0);
		assert_int_equal(segment_tend(f.node[3], NULL, NULL, f.now_ns), 0);
		assert_int_equal(segment_tend(f.node[0], NULL, NULL, f.now_ns), 0);
		assert_false(segment_is_expelled(f.node[1]));
	}
	assert_int_equal(segment_tend(f.node[0], NULL, NULL, f.now_ns), 1);
	fixture_settle(&f);
	// it lives, and sees that others take it for dead
	if (!IS_COHERENT)
		segment_tend(f.node[1], NULL, NULL, f.now_ns);
	assert_true(segment_is_expelled(f.node[1]));
	segment_release(f.node[1], held, 2); // comes too late: nothing happens
	assert_int_equal(put(&f, 1, 2, 60, 1), -ENOTCONN);
	for (uint8_t node = 0; node < 4; node++) { // node 3's frames arrive, node 1's are lost
		if (node == 1 || node == 3)
			continue;
		for (unsigned i = 0; i < 10; i++)
			assert_received(&f, node, 3, 60, (uint8_t)i);
		assert_nothing(&f, node);
	}
	free(f.node[1]);
	fixture_join(&f, 1, 0);
	assert_nothing(&f, 1);
	assert_int_equal(put(&f, 2, 1, 60, 1), 0);
	assert_received(&f, 1, 2, 60, 1);
	assert_all_free_after_leave(&f);
	fixture_free(&f);
}

// Others fill and empty the inbox for many laps while a node sends nothing: its next frame is the
// next there, not one of a lap to come.
static void
rare_sender_finds_the_end_of_the_inbox(void **state)
{
	struct fixture f;

	(void)state;
	if (IS_SIMULATED) // its steps are slow, and each node has memory of its own
		return; // each frame has slots of its own there
	for (unsigned n = 64 * 64 - 70; n < 64 * 64 + 70; n += IS_COHERENT ? 1 : 35) {
		fixture_make(&f, &SMALL, 3);
		for (uint8_t lap = 0; lap < 3; lap++) {
			assert_int_equal(put(&f, 0, 1, 60, lap), 0);
			assert_received(&f, 1, 0, 60, lap);
			for (unsigned i = 0; i < n; i++) {
				assert_int_equal(put(&f, 2, 1, 60, (uint8_t)i), 0);
				assert_received(&f, 1, 2, 60, (uint8_t)i);
			}
		}
		assert_all_free_after_leave(&f);
		fixture_free(&f);
	}
}

static void
rare_sender_has_room_behind_many_that_wait(void **state)
{
	static const struct segment_geometry big = {
		.n_nodes = 3, .n_slots = 1536, .slot_bytes = 2048, .inbox_size = 1024};
	struct fixture f;

	(void)state;
	if (!IS_COHERENT) // of lanes each sender has its own
		return; // each frame has slots of its own there
	fixture_make(&f, &big, 3);
	assert_int_equal(put(&f, 0, 1, 60, 0), 0);
	for (unsigned i = 0; i < big.inbox_size - 2; i++)
		assert_int_equal(put(&f, 2, 1, 60, 0), 0);
	assert_int_equal(put(&f, 0, 1, 60, 0), 0);
	assert_int_equal(put(&f, 0, 1, 60, 0), -EHOSTUNREACH); // at the limit
	assert_all_free_after_leave(&f);
	fixture_free(&f);
}

// In the smallest pool of the largest slots each of the most nodes can send; there is no number for
// one more.
static void
all_nodes_of_the_smallest_pool_can_send(void **state)
{
	struct segment_geometry g = {.memory = FIXTURE_MEMORY,
		.n_nodes = SEGMENT_MAX_NODES,
		.slot_bytes = SEGMENT_MAX_SLOT_BYTES,
		.inbox_size = 64};
	struct segment_identity identity = fixture_identity(0);
	struct fixture f;
	struct segment *other;

	(void)state;
	if (IS_SIMULATED) // its steps are slow, and each node has memory of its own
		return; // each frame has slots of its own there
	g.n_slots = segment_min_slots(&g);
	fixture_make(&f, &g, SEGMENT_MAX_NODES);
	other = fixture_attach(&f);
	for (unsigned i = 0; i < SEGMENT_MAX_NODES; i++)
		assert_int_equal(segment_join(other, i, &identity), -EBUSY);
	assert_int_equal(segment_join(other, SEGMENT_MAX_NODES, &identity), -EINVAL);
	for (uint8_t i = 0; i < SEGMENT_MAX_NODES; i++) {
		uint8_t to = (uint8_t)(i + 1) % SEGMENT_MAX_NODES;

		assert_int_equal(put(&f, i, to, 60, i), 0);
		assert_received(&f, to, i, 60, i);
	}
	assert_int_equal(put(&f, 63, 0xff, 60, 9), 0);
	for (uint8_t i = 0; i < SEGMENT_MAX_NODES - 1; i++)
		assert_received(&f, i, 63, 60, 9);
	free(other);
	assert_all_free_after_leave(&f);
	fixture_free(&f);
}

static void
tend_all(struct fixture *f, uint64_t now_ns)
{
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(segment_tend(f->node[i], NULL, NULL, now_ns), 0);
}

// Clocks are set, and computers stand still and continue: that alone kills no node. A dead node is
// found all the same.
static void
clock_that_steps_kills_nobody(void **state)
{
	static const int64_t steps_ns[] = {
		-1, -1000000000, 3600000000000, -3600000000000, INT64_MAX, INT64_MIN, 600000001};
	struct segment_node_info info;
	struct fixture f;
	uint64_t now_ns = 1000000000;
	unsigned n_tends = 0;

	(void)state;
	fixture_make(&f, &SMALL, 3);
	for (unsigned i = 0; i < 200; i++) {
		now_ns += i % 5 ? SEGMENT_TEND_NS : (uint64_t)steps_ns[i / 5 % 7];
		tend_all(&f, now_ns);
	}
	// it tends no more
	while (segment_look(f.node[0], 1, &info) && info.state == SEGMENT_LIVE) {
		now_ns += n_tends++ % 5 ? SEGMENT_TEND_NS : (uint64_t)steps_ns[n_tends / 5 % 7];
		segment_tend(f.node[0], NULL, NULL, now_ns);
		segment_tend(f.node[2], NULL, NULL, now_ns);
		assert_true(n_tends < 20);
	}
	assert_true(n_tends >= 4); // not by one step alone
	assert_all_free_after_leave(&f);
	fixture_free(&f);
}

// A node that does not know yet that others took it for dead lends its number's next node no life.
static void
late_node_beats_for_nobody_else(void **state)
{
	struct segment_node_info before, after;
	struct segment *late;
	struct fixture f;

	(void)state;
	fixture_make(&f, &SMALL, 2);
	late = f.node[1];
	f.dead = 2;
	assert_true(segment_expel(f.node[0], 1));
	segment_tend(f.node[0], NULL, NULL, 1);
	fixture_join(&f, 1, 0);
	fixture_write_back(&f);
	assert_true(segment_look(f.node[0], 1, &before));
	segment_tend(late, NULL, NULL, 1);
	if (!IS_COHERENT)
		assert_true(segment_is_expelled(late));
	assert_true(segment_look(f.node[0], 1, &after));
	assert_int_equal(before.beat, after.beat);
	segment_leave(late);
	free(late);
	assert_false(segment_is_expelled(f.node[1]));
	assert_all_free_after_leave(&f);
	fixture_free(&f);
}

// A number's epochs have 16 bits, and come round.
static void
number_can_be_taken_for_ever(void **state)
{
	struct segment_identity identity = fixture_identity(1);
	struct fixture f;

	(void)state;
	if (IS_SIMULATED) // its steps are slow, and each node has memory of its own
		return; // each frame has slots of its own there
	fixture_make(&f, &SMALL, 2);
	for (unsigned i = 0; i < (1u << 16) + 300; i++) {
		if (i % 256 < 2 || i > 65500) {
			assert_int_equal(put(&f, 0, 1, 60, (uint8_t)i), 0);
			assert_int_equal(put(&f, 1, 0, 60, (uint8_t)i), 0);
			assert_received(&f, 1, 0, 60, (uint8_t)i);
			assert_received(&f, 0, 1, 60, (uint8_t)i);
			assert_int_equal(put(&f, 0, 1, 60, (uint8_t)i), 0); // is lost
		}
		segment_leave(f.node[1]);
		assert_int_equal(segment_join(f.node[1], 1, &identity), 0);
		assert_nothing(&f, 1);
	}
	assert_all_free_after_leave(&f);
	fixture_free(&f);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(geometry_is_refused_beyond_each_limit),
		cmocka_unit_test(object_that_is_no_segment_is_refused),
		cmocka_unit_test(frame_reaches_the_node_of_its_address),
		cmocka_unit_test(frame_longer_than_the_longest_is_refused),
		cmocka_unit_test(broadcast_reaches_all_others_once),
		cmocka_unit_test(unknown_address_goes_to_bridges_and_is_learned),
		cmocka_unit_test(full_inbox_costs_its_node_alone),
		cmocka_unit_test(sender_learns_whom_each_frame_reached),
		cmocka_unit_test(inbox_bounds_slots_not_parcels),
		cmocka_unit_test(burst_keeps_its_order_through_many_laps),
		cmocka_unit_test(small_frames_share_a_slot),
		cmocka_unit_test(frames_that_share_a_slot_need_not_leave_together),
		cmocka_unit_test(frame_that_shares_a_slot_goes_to_several_nodes),
		cmocka_unit_test(refused_frames_are_counted),
		cmocka_unit_test(frame_goes_to_no_number_that_there_is_not),
		cmocka_unit_test(offload_header_comes_with_its_frame),
		cmocka_unit_test(sleeper_is_woken_once),
		cmocka_unit_test(number_is_taken_once),
		cmocka_unit_test(dead_node_leaves_no_slot_behind),
		cmocka_unit_test(clock_that_steps_kills_nobody),
		cmocka_unit_test(late_node_beats_for_nobody_else),
		cmocka_unit_test(rare_sender_finds_the_end_of_the_inbox),
		cmocka_unit_test(rare_sender_has_room_behind_many_that_wait),
		cmocka_unit_test(all_nodes_of_the_smallest_pool_can_send),
		cmocka_unit_test(number_can_be_taken_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
