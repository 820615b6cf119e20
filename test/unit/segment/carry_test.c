// Frames between a TAP, whose place a pair of sockets takes here, and a segment.
#include "../../../src/segment/carry.h"
#include "../unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_NS UINT64_C(20000000000)
#define LONG_BYTES 9000

static char dir[] = "/dev/shm/rtvs-unit-XXXXXX";
static char path[64];
static char err[SEGMENT_ERR_SIZE];

struct world {
	struct segment_file *near, *far;
	struct carry carry;
	int programs; // the other end of the TAP
};

static struct segment_file *
join(unsigned number)
{
	struct segment_identity identity = {
		.name = {(char)('a' + number)}, .n_macs = 1, .mac = {{{2, 0, 0, 0, 0, (uint8_t)number}}}};
	struct segment_file *file = NULL;

	assert_int_equal(segment_file_open(path, false, &file, err), 0);
	assert_int_equal(segment_file_join(file, (int)number, &identity, err), 0);
	return file;
}

static int
begin(void **state)
{
	static struct world world;
	struct segment_create create = {.path = path,
		.geometry = {.n_nodes = 2, .slot_bytes = 2048, .inbox_size = 256},
		.size = 4 << 20,
		.mode = 0600};
	int ends[2];

	(void)snprintf(path, sizeof(path), "%s/segment", dir);
	assert_int_equal(segment_file_create(&create, err), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	world = (struct world){.near = join(0), .far = join(1), .programs = ends[0]};
	world.carry = (struct carry){.file = world.near, .tap = ends[1]};
	*state = &world;
	return 0;
}

static int
end(void **state)
{
	struct world *w = *state;

	segment_file_close(w->far);
	segment_file_close(w->near);
	close(w->programs);
	close(w->carry.tap);
	return unlink(path);
}

// From a program on this side to the node on the other one; each byte is its mark.
static void
program_sends(struct world *w, uint32_t len, uint8_t mark)
{
	uint8_t frame[sizeof(struct segment_offload) + LONG_BYTES] = {0};
	uint8_t *data = frame + sizeof(struct segment_offload);

	memset(data, mark, len);
	memcpy(data, (uint8_t[]){2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0}, 12);
	assert_int_equal(send(w->programs, frame, sizeof(struct segment_offload) + len, 0),
		sizeof(struct segment_offload) + len);
}

static void
assert_receives(struct world *w, struct segment_frame *frames, unsigned n)
{
	struct segment *seg = segment_file_segment(w->far);

	for (unsigned got = 0; got < n;) {
		unsigned more = segment_receive(seg, frames + got, n - got);

		got += more;
		if (!more)
			assert_true(segment_file_wait(w->far, WAIT_NS));
	}
}

// A slot costs both sides more than a frame in it.
static void
small_frames_of_a_burst_share_a_slot(void **state)
{
	struct segment_frame frames[SEGMENT_BURST];
	struct world *w = *state;

	for (uint8_t i = 0; i < SEGMENT_BURST; i++)
		program_sends(w, 60, i);
	assert_int_equal(carry_start(&w->carry), 0);
	assert_receives(w, frames, SEGMENT_BURST);
	for (uint8_t i = 0; i < SEGMENT_BURST; i++) {
		uint8_t data[60];

		assert_int_equal(frames[i].len, 60);
		assert_int_equal(frames[i].slot[0], frames[0].slot[0]);
		segment_copy(segment_file_segment(w->far), &frames[i], data);
		assert_int_equal(data[59], i);
	}
	segment_release(segment_file_segment(w->far), frames, SEGMENT_BURST);
	carry_stop(&w->carry);
}

static void
frames_of_all_lengths_keep_their_order(void **state)
{
	static const uint32_t lens[] = {60, LONG_BYTES, 60, 60, LONG_BYTES, LONG_BYTES, 1514, 2048, 2049, 14};
	struct segment_pool_info pool;
	struct world *w = *state;

	assert_int_equal(carry_start(&w->carry), 0);
	for (unsigned i = 0; i < 300; i++) {
		uint32_t len = lens[i % 10];
		struct segment_frame frame;
		uint8_t data[LONG_BYTES];

		if (i % 10 == 0)
			for (unsigned k = 0; k < 10; k++)
				program_sends(w, lens[k], (uint8_t)(i + k));
		assert_receives(w, &frame, 1);
		assert_int_equal(frame.len, len);
		segment_copy(segment_file_segment(w->far), &frame, data);
		assert_int_equal(data[len - 1], (uint8_t)i);
		segment_release(segment_file_segment(w->far), &frame, 1);
	}
	carry_stop(&w->carry);
	segment_file_leave(w->far);
	segment_file_leave(w->near);
	segment_look_pool(segment_file_segment(w->near), &pool);
	assert_int_equal(pool.n_free, segment_geometry_of(segment_file_segment(w->near))->n_slots);
}

// Runts are dropped; what is longer than the longest, too, and counted.
static void
other_lengths_are_dropped(void **state)
{
	static uint8_t too_long[sizeof(struct segment_offload) + SEGMENT_MAX_FRAME + 1];
	struct world *w = *state;
	struct segment_frame frame;

	assert_int_equal(send(w->programs, "", 1, 0), 1);
	program_sends(w, 13, 1);
	assert_int_equal(send(w->programs, too_long, sizeof(too_long), 0), sizeof(too_long));
	program_sends(w, 60, 2);
	assert_int_equal(carry_start(&w->carry), 0);
	assert_receives(w, &frame, 1);
	assert_int_equal(frame.len, 60);
	segment_release(segment_file_segment(w->far), &frame, 1);
	carry_stop(&w->carry);
	assert_int_equal(w->carry.n_refused, 1);
}

static void
frames_that_the_tap_refuses_are_counted_in_the_segment(void **state)
{
	struct world *w = *state;
	struct segment_node_info info;
	unsigned n_turns = 20000;
	uint64_t wake = 0;

	close(w->programs);
	w->programs = -1;
	assert_int_equal(
		segment_put(segment_file_segment(w->far), "\2\0\0\0\0\0\2\0\0\0\0\1\x88\xb5", 14, NULL, &wake), 0);
	assert_int_equal(carry_start(&w->carry), 0);
	segment_file_wake(w->far, wake);
	while (segment_look(segment_file_segment(w->far), 0, &info) && !info.counters.rx_refused && n_turns--)
		(void)usleep(1000);
	carry_stop(&w->carry);
	assert_int_equal(info.counters.rx_refused, 1);
	assert_int_equal(w->carry.n_refused, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(small_frames_of_a_burst_share_a_slot, begin, end),
		cmocka_unit_test_setup_teardown(frames_of_all_lengths_keep_their_order, begin, end),
		cmocka_unit_test_setup_teardown(other_lengths_are_dropped, begin, end),
		cmocka_unit_test_setup_teardown(frames_that_the_tap_refuses_are_counted_in_the_segment, begin, end),
	};
	int rc;

	if (!mkdtemp(dir))
		return 77;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	(void)rmdir(dir);
	return rc;
}
