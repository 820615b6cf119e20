// The port outlives its segment: files that come, go, are replaced or truncated; nodes that die;
// names.
#include "segment_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY_SLOTS 32768 // 64 MiB

static void
the_port_waits_for_its_file(void **state)
{
	struct dp_port_cfg cfg = segment_cfg(PORT, path_a);
	char err[DP_ERR_SIZE] = "";
	struct node a;
	int fd;

	(void)state;
	assert_int_equal(dp_port_check_segment(path_a, err), 0);
	add_port(PORT, &cfg);
	assert_false(state_of(PORT).is_link_up);
	assert_int_equal(state_of(PORT).segment.node, -1);
	assert_true(says(PORT, "waiting for the segment: "));
	assert_true(says(PORT, "no such file"));
	// The file there is no segment yet.
	fd = open(path_a, O_CREAT | O_RDWR, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 65536), 0);
	WAIT_FOR(says(PORT, "is no segment"));
	assert_int_equal(dp_port_check_segment(path_a, err), -ENODATA);
	assert_non_null(strstr(err, "path: "));
	close(fd);
	assert_int_equal(unlink(path_a), 0);
	WAIT_FOR(says(PORT, "no such file"));
	create(path_a);
	WAIT_FOR(state_of(PORT).is_link_up);
	assert_int_equal(dp_port_check_segment(path_a, err), 0);
	assert_string_equal(state_of(PORT).detail, "");
	a = join(path_a, 7);
	put_frame(&a, broadcast, 60);
	wait_drops(PORT, DROP_NO_TARGET, 1);
	leave(&a);
	assert_int_equal(state_of(PORT).n_connects, 1);
}

static void
a_file_made_anew_is_joined(void **state)
{
	struct node a = join(path_a, 7), b = join(path_b, 8);

	(void)state;
	assert_int_equal(unlink(path_a), 0);
	WAIT_FOR(says(PORT, "was removed"));
	put_frame(&a, mac_of(8), 60); // those who have it go on
	expect_at(&b, 60);
	create(path_a);
	WAIT_FOR(state_of(PORT).n_connects == 2);
	assert_true(state_of(PORT).is_link_up);
	assert_string_equal(state_of(PORT).detail, "");
	leave(&a);
	a = join(path_a, 7);
	put_frame(&a, mac_of(8), 61);
	expect_at(&b, 61);
	put_frame(&b, mac_of(7), 62);
	expect_at(&a, 62);
	assert_conserved();
	leave(&a);
	leave(&b);
}

// By any program that may write it, to any length; the other ports continue.
static void
a_truncated_file_costs_its_port_only(void **state)
{
	static const off_t lens[] = {0, 1 << 20, 4096, 1};
	struct node b = join(path_b, 8);

	(void)state;
	assert_int_equal(sigaction(SIGBUS, &bus_errors, NULL), 0);
	for (unsigned i = 0; i < RTE_DIM(lens); i++) {
		uint64_t n_before = state_of(PORT).n_disconnects;

		assert_int_equal(truncate(path_a, lens[i]), 0);
		put_frame(&b, broadcast, 60); // into what is left
		expect_frame(GUEST, 60);
		WAIT_FOR(state_of(PORT).n_disconnects == n_before + 1);
		assert_false(state_of(PORT).is_link_up);
		assert_true(says(PORT, "waiting for the segment: "));
		send_frame(GUEST, BROADCAST, 0, 61);
		assert_int_equal(get(&b, (uint8_t[64]){0}, NULL), 61);
		assert_int_equal(unlink(path_a), 0);
		create(path_a);
		WAIT_FOR(state_of(PORT).is_link_up);
	}
	assert_conserved();
	leave(&b);
}

static void
expelled_it_joins_again(void **state)
{
	struct node a = join(path_a, 7), b = join(path_b, 8);

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		WAIT_FOR(state_of(PORT).segment.n_nodes == 2);
		assert_true(segment_expel(a.seg, (unsigned)state_of(PORT).segment.node));
		WAIT_FOR(state_of(PORT).n_connects == i + 2);
		put_frame(&a, mac_of(8), 60 + i);
		expect_at(&b, 60 + i);
		put_frame(&b, mac_of(7), 70 + i);
		expect_at(&a, 70 + i);
	}
	assert_conserved();
	leave(&a);
	leave(&b);
}

static void
a_name_that_lives_is_waited_for(void **state)
{
	struct dp_port_cfg cfg = segment_cfg(PORT, path_a);
	struct node twin;

	(void)state;
	create(path_a);
	twin = join_as(path_a, cfg.name, 7);
	add_port(PORT, &cfg);
	assert_false(state_of(PORT).is_link_up);
	assert_true(says(PORT, "has the name p1"));
	leave(&twin);
	WAIT_FOR(state_of(PORT).is_link_up);
}

// Pages of shared memory that this process has mapped.
static uint64_t
mapped_bytes(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%*u %*u %lu", &pages), 1);
	(void)fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

// Before frames want it, by a thread that has the time.
static void
a_whole_file_is_mapped_ahead(void **state)
{
	struct dp_port_cfg cfg = segment_cfg(PORT, path_a);
	uint64_t before;

	(void)state;
	geometry.n_slots = MANY_SLOTS;
	create(path_a);
	before = mapped_bytes();
	add_port(PORT, &cfg);
	WAIT_FOR(mapped_bytes() >= before + (uint64_t)MANY_SLOTS * SLOT_BYTES);
}

// Its slots are free again, and its number.
static void
a_dead_node_is_cleared_up(void **state)
{
	struct node b = join(path_b, 8);
	uint32_t before = n_free(b.seg);
	unsigned n_nodes;
	int status;
	pid_t pid;

	(void)state;
	n_nodes = state_of(OTHER_PORT).segment.n_nodes;
	assert_int_equal(n_nodes, 2);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct segment_identity identity = {.name = "mortal", .mtu = MTU};
		struct segment_frame frame;
		struct segment_file *file;
		char err[SEGMENT_ERR_SIZE];

		if (!segment_file_open(path_b, false, &file, err) && !segment_file_join(file, -1, &identity, err))
			for (unsigned i = 0; i < 100; i++)
				(void)segment_reserve(segment_file_segment(file), 0, SEGMENT_MAX_FRAME, &frame);
		(void)raise(SIGKILL);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	WAIT_FOR(state_of(OTHER_PORT).segment.n_nodes == n_nodes && n_free(b.seg) == before);
	put_frame(&b, broadcast, 60);
	expect_frame(GUEST, 60);
	assert_conserved();
	leave(&b);
}

static void
down_is_left(void **state)
{
	struct dp_port_cfg cfg = segment_cfg(PORT, path_a);
	struct node a = join(path_a, 7);
	char err[DP_ERR_SIZE];

	(void)state;
	cfg.admin_up = false;
	assert_int_equal(dp_port_set(dp, guest[PORT].port, &cfg, err), 0);
	assert_false(state_of(PORT).is_link_up);
	assert_true(says(PORT, "administratively down"));
	assert_int_equal(put(&a, (uint8_t[60]){0x52, 0x54, 0, 0, 1, 8}, 60, NULL), -EHOSTUNREACH);
	cfg.admin_up = true;
	assert_int_equal(dp_port_set(dp, guest[PORT].port, &cfg, err), 0);
	WAIT_FOR(state_of(PORT).is_link_up);
	assert_int_equal(dp_port_del(dp, guest[PORT].port), 0);
	assert_int_equal(put(&a, (uint8_t[60]){0x52, 0x54, 0, 0, 1, 8}, 60, NULL), -EHOSTUNREACH);
	add_port(PORT, &cfg);
	leave(&a);
}

int
main(int argc, char **argv)
{
#define T_OF(test, add) cmocka_unit_test_setup_teardown(test, add, remove_segments)
#define T(test) T_OF(test, add_segments)
#define T_ALONE(test) cmocka_unit_test_setup_teardown(test, fixture_add_bridge, remove_segments)
	const struct CMUnitTest tests[] = {
		T_ALONE(the_port_waits_for_its_file),
		T(a_file_made_anew_is_joined),
		T(a_truncated_file_costs_its_port_only),
		T(expelled_it_joins_again),
		T_ALONE(a_name_that_lives_is_waited_for),
		T_ALONE(a_whole_file_is_mapped_ahead),
		T(a_dead_node_is_cleared_up),
		T(down_is_left),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests_name("dp/segment_life", tests, segment_fixture_start, fixture_stop);
}
