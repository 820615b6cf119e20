// The library for other programs, by its public header: two nodes of one process, refusals, and
// that the archive shows nothing else.
#include "../unit.h"
#include "rtvs/segment_file.h"
#include "rtvswitch/segment.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char path[64];
static char err[RTVS_SEGMENT_ERR_SIZE];

static struct rtvs_segment_node
node_of(const char *name, uint8_t mac)
{
	return (struct rtvs_segment_node){
		.name = name, .number = RTVS_SEGMENT_ANY_NUMBER, .n_macs = 1, .mac = {{2, 0, 0, 0, 0, mac}}};
}

static struct rtvs_segment *
open_as(const char *name, uint8_t mac)
{
	struct rtvs_segment_node node = node_of(name, mac);
	struct rtvs_segment *s = NULL;

	assert_int_equal(rtvs_segment_open(path, &node, &s, err), 0);
	return s;
}

static int
make(void **state)
{
	struct segment_create create = {.path = path,
		.geometry = {.n_nodes = 3, .slot_bytes = 2048, .inbox_size = 64},
		.size = 1 << 20,
		.mode = 0600};

	(void)state;
	snprintf(path, sizeof(path), "/dev/shm/rtvs-unit-api-%d", getpid());
	return segment_file_create(&create, err);
}

static int
unmake(void **state)
{
	(void)state;
	return unlink(path);
}

static void
frames_go_there_and_back(void **state)
{
	static const uint8_t data[5000] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 77};
	static const struct rtvs_segment_offload offload = {1, 1, 66, 1448, 34, 16};
	struct rtvs_segment *a = open_as("a", 1), *b = open_as("b", 2);
	struct rtvs_segment_frame frame;
	struct rtvs_segment_stats stats;
	uint8_t got[sizeof(data)];
	uint32_t n;

	(void)state;
	assert_int_equal(rtvs_segment_put(a, data, sizeof(data), &offload), 0);
	assert_true(rtvs_segment_wait(b, UINT64_C(10000000000)));
	assert_int_equal(rtvs_segment_receive(b, &frame, 1), 1);
	assert_int_equal(frame.len, sizeof(data));
	assert_int_equal(frame.n_pieces, 3);
	assert_int_equal(frame.from, rtvs_segment_number(a));
	assert_memory_equal(&frame.offload, &offload, sizeof(offload));
	rtvs_segment_copy(b, &frame, got);
	assert_memory_equal(got, data, sizeof(data));
	rtvs_segment_release(b, &frame, 1);
	assert_int_equal(rtvs_segment_reserve(b, rtvs_segment_route(b, data + 6), 3000, &frame), 0);
	assert_int_equal(rtvs_segment_piece_bytes(b), 2048);
	memset(rtvs_segment_piece(b, &frame, 0, &n), 5, 2048);
	assert_int_equal(n, 2048);
	rtvs_segment_shorten(b, &frame, 60);
	assert_int_equal(rtvs_segment_send(b, &frame, 1), 1);
	assert_int_equal(rtvs_segment_receive(a, &frame, 1), 1);
	assert_int_equal(frame.len, 60);
	rtvs_segment_release(a, &frame, 1);
	assert_int_equal(rtvs_segment_reserve(a, 2, 60, &frame), 0);
	rtvs_segment_unreserve(a, &frame);
	rtvs_segment_stats(a, &stats);
	assert_int_equal(stats.tx_frames, 1);
	assert_int_equal(stats.rx_bytes, 60);
	assert_int_equal(rtvs_segment_tend(a), 0);
	assert_int_equal(rtvs_segment_put(a, data + 6, 60, NULL), -EHOSTUNREACH); // to itself
	rtvs_segment_close(b);
	assert_int_equal(rtvs_segment_put(a, data, 60, NULL), -EHOSTUNREACH);
	rtvs_segment_close(a);
	rtvs_segment_close(NULL);
}

static void
node_that_was_taken_for_dead_joins_again(void **state)
{
	struct rtvs_segment *a = open_as("a", 1), *b = open_as("b", 2);
	uint8_t data[60] = {2, 0, 0, 0, 0, 2};

	(void)state;
	assert_true(segment_expel(
		segment_file_segment((struct segment_file *)(void *)b), (unsigned)rtvs_segment_number(a)));
	assert_int_equal(rtvs_segment_tend(a), -ESTALE);
	assert_int_equal(rtvs_segment_put(a, data, sizeof(data), NULL), -ENOTCONN);
	assert_int_equal(rtvs_segment_rejoin(a, err), 0);
	assert_int_equal(rtvs_segment_tend(a), 0);
	assert_int_equal(rtvs_segment_put(a, data, sizeof(data), NULL), 0);
	rtvs_segment_close(a);
	rtvs_segment_close(b);
}

// Even a program that is not prepared for it at each access lives on, is told, and does not join
// empty pages.
static void
truncated_file_is_told_and_not_joined_again(void **state)
{
	struct rtvs_segment *a = open_as("a", 1);
	uint8_t data[60] = {2, 0, 0, 0, 0, 2};

	(void)state;
	assert_int_equal(rtvs_segment_catch_truncation(), 0);
	assert_int_equal(truncate(path, 0), 0);
	(void)rtvs_segment_put(a, data, sizeof(data), NULL);
	assert_int_equal(rtvs_segment_tend(a), -ESTALE);
	assert_int_equal(rtvs_segment_rejoin(a, err), -EFBIG);
	assert_false(rtvs_segment_wait(a, 1000));
	rtvs_segment_close(a);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(make(state), 0);
}

static void
who_may_not_join_is_told_why(void **state)
{
	static const char *const names[] = {NULL, "", "with space", "a/b",
		"0123456789012345678901234567890123456789012345678901234567890123456789012345678901"};
	struct rtvs_segment_node node;
	struct rtvs_segment *a, *b, *c, *s = NULL;

	(void)state;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		node = node_of(names[i], 1);
		assert_int_equal(rtvs_segment_open(path, &node, &s, err), -EINVAL);
		assert_non_null(strstr(err, "name"));
	}
	node = node_of("a", 1);
	node.n_macs = RTVS_SEGMENT_MAX_MACS + 1;
	assert_int_equal(rtvs_segment_open(path, &node, &s, err), -EINVAL);
	node = node_of("a", 1);
	node.n_macs = RTVS_SEGMENT_MAX_MACS;
	assert_int_equal(rtvs_segment_open(path, &node, &a, err), 0);
	assert_int_equal(rtvs_segment_open(path, &node, &s, err), -EEXIST);
	node = node_of("b", 2);
	node.number = 3;
	assert_true(rtvs_segment_open(path, &node, &s, err) < 0); // of 3 nodes
	assert_int_equal(rtvs_segment_open("/dev/shm/rtvs-no-such-file", &node, &s, err), -ENOENT);
	b = open_as("b", 2);
	c = open_as("c", 3);
	node = node_of("d", 4);
	assert_int_equal(rtvs_segment_open(path, &node, &s, err), -EBUSY);
	assert_null(s);
	rtvs_segment_close(a);
	rtvs_segment_close(b);
	rtvs_segment_close(c);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_go_there_and_back),
		cmocka_unit_test(node_that_was_taken_for_dead_joins_again),
		cmocka_unit_test(truncated_file_is_told_and_not_joined_again),
		cmocka_unit_test(who_may_not_join_is_told_why),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
