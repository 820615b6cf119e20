// The file of rings' positions: a socket's next port finds what the last one left, also after the
// daemon's end, and the file is never another's.
#include "../unit.h"
#include "ring_states.h"
#include "rtvs/dp.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[64];

static int
begin(void **state)
{
	(void)state;
	(void)snprintf(path, sizeof(path), "/dev/shm/rtvs-ring-states-test-%d", getpid());
	return 0;
}

static int
end(void **state)
{
	(void)state;
	(void)unlink(path);
	return 0;
}

static void
next_daemon_finds_what_was_left(void **state)
{
	struct ring_states *states = ring_states_open(path);
	struct ring_record *a = ring_states_take(states, "/run/a"), *b = ring_states_take(states, "/run/b");

	(void)state;
	assert_non_null(states);
	assert_non_null(a);
	assert_ptr_not_equal(a, b);
	a->ring[0].size = 256;
	b->ring[3].size = 128;
	ring_states_release(states, a);
	assert_ptr_equal(ring_states_take(states, "/run/a"), a);
	ring_states_close(states); // with ports, as a crash does
	states = ring_states_open(path);
	assert_int_equal(ring_states_take(states, "/run/c")->ring[0].size, 0);
	assert_int_equal(ring_states_take(states, "/run/b")->ring[3].size, 128);
	assert_int_equal(ring_states_take(states, "/run/a")->ring[0].size, 256);
	ring_states_close(states);
}

static void
each_port_has_a_record_and_one_more_has_none(void **state)
{
	struct ring_states *states = ring_states_open(path);
	struct ring_record *first = ring_states_take(states, "/run/first");
	char name[32];

	(void)state;
	first->ring[0].size = 1;
	first->link.serial = 7;
	for (unsigned i = 1; i < DP_MAX_PORTS; i++) {
		(void)snprintf(name, sizeof(name), "/run/%u", i);
		assert_non_null(ring_states_take(states, name));
	}
	assert_null(ring_states_take(states, "/run/more"));
	// The place of a port that is gone is another's, without what it left.
	ring_states_release(states, first);
	assert_ptr_equal(ring_states_take(states, "/run/more"), first);
	assert_int_equal(first->ring[0].size, 0);
	assert_int_equal(first->link.serial, 7); // but for the names that it used
	ring_states_close(states);
}

static void
file_of_another_kind_is_not_used(void **state)
{
	char other[80];
	struct ring_states *states;
	int fd;

	(void)state;
	(void)snprintf(other, sizeof(other), "%s.other", path);
	assert_int_equal(symlink(other, path), 0);
	assert_null(ring_states_open(path));
	(void)unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_null(ring_states_open(path));
	(void)unlink(path);
	fd = open(path, O_CREAT | O_WRONLY, 0666);
	assert_int_equal(fchmod(fd, 0666), 0); // others may write it
	assert_null(ring_states_open(path));
	assert_int_equal(fchmod(fd, 0600), 0);
	assert_int_equal(write(fd, "short", 5), 5);
	close(fd);
	states = ring_states_open(path);
	assert_int_equal(ring_states_take(states, "/run/a")->ring[0].size, 0);
	ring_states_close(states);
	assert_null(ring_states_open("/proc/rtvs-no-such-directory/file"));
}

// Two processes have the same records, also where there is no file.
static void
other_process_joins(void **state)
{
	struct ring_states *states = ring_states_create(), *other;
	struct ring_record *record = ring_states_take(states, "/run/a"), *same;
	int fd = fcntl(ring_states_fd(states), F_DUPFD_CLOEXEC, 0);

	(void)state;
	other = ring_states_join(fd);
	assert_non_null(other);
	same = ring_states_take(other, "/run/a");
	assert_int_equal(ring_states_index(other, same), ring_states_index(states, record));
	record->link.serial = 7;
	assert_int_equal(same->link.serial, 7);
	ring_states_close(states);
	assert_int_equal(same->link.serial, 7);
	fd = fcntl(ring_states_fd(other), F_DUPFD_CLOEXEC, 0);
	ring_states_close(other);
	assert_int_equal(ftruncate(fd, sizeof(struct ring_record)), 0);
	assert_null(ring_states_join(fd));
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(next_daemon_finds_what_was_left, begin, end),
		cmocka_unit_test_setup_teardown(each_port_has_a_record_and_one_more_has_none, begin, end),
		cmocka_unit_test_setup_teardown(file_of_another_kind_is_not_used, begin, end),
		cmocka_unit_test(other_process_joins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
