// Connections that outlive the process: a port is ended as at a process's end, and the next one on
// its socket goes on with the guest's connection, of which nothing is left where it ends before.
// The service manager is a table of names here; test/smoke/service_test.sh has the real one. A test
// inside of the datapath: no function of its facade ends a process.
#include "dp_fixture.h"
#include "dp_state.h"
#include "link_store.h"
#include "ring_states.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_STORED 128

static struct {
	char name[32];
	int fd;
} stored[MAX_STORED];
static unsigned n_stored, n_left; // that it takes before it refuses
static char rings[64];
static int barrier = -1;

static bool
keep(void *arg, const char *name, int fd)
{
	assert_null(arg);
	assert_true(n_stored < MAX_STORED);
	assert_true(strlen(name) < sizeof(stored[0].name));
	for (unsigned i = 0; i < n_stored; i++)
		assert_string_not_equal(stored[i].name, name);
	if (!n_left)
		return false;
	n_left--;
	memcpy(stored[n_stored].name, name, strlen(name) + 1);
	stored[n_stored].fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	assert_true(stored[n_stored++].fd >= 0);
	return true;
}

static void
forget(void *arg, const char *name)
{
	(void)arg;
	for (unsigned i = 0; i < n_stored; i++)
		if (!strcmp(stored[i].name, name)) {
			close(stored[i].fd);
			stored[i] = stored[--n_stored];
			return;
		}
}

// The service manager's end of the last barrier.
static int
set_barrier(void *arg)
{
	int ends[2];

	(void)arg;
	if (barrier >= 0)
		close(barrier);
	assert_int_equal(pipe(ends), 0);
	barrier = ends[1];
	return ends[0];
}

// Descriptors of this process that are of the file.
static unsigned
count_fds(const struct stat *file)
{
	unsigned n = 0;
	struct stat st;
	char path[32];

	// By its path: another thread may be closing it.
	for (int fd = 0; fd < 1024; fd++) {
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n += !stat(path, &st) && st.st_ino == file->st_ino && st.st_dev == file->st_dev;
	}
	return n;
}

static void
wait_fds(const struct stat *file, unsigned n)
{
	uint64_t end_tsc = wait_limit();
	struct dp_event event;

	while (count_fds(file) != n) {
		assert_true(rte_rdtsc() < end_tsc);
		(void)dp_event_next(dp, &event);
	}
}

// Once those that a thread of the datapath closes are closed.
static unsigned
least_fds(const struct stat *file)
{
	unsigned n = count_fds(file), n_same = 0;
	struct dp_event event;

	while (n_same < 100) {
		unsigned now = count_fds(file);

		(void)dp_event_next(dp, &event);
		(void)usleep(1000);
		n_same = now == n ? n_same + 1 : 0;
		n = now;
	}
	return n;
}

static void
find_memory(struct stat *ret_file)
{
	unsigned i = 0;

	while (!strstr(stored[i].name, ".memory"))
		i++;
	assert_int_equal(fstat(stored[i].fd, ret_file), 0);
}

static int
begin(void **state)
{
	int rc = fixture_start(state);

	snprintf(rings, sizeof(rings), "/dev/shm/rtvs-link-store-test-%d", getpid());
	link_store_destroy(dp);
	ring_states_close(dp->ring_states);
	dp->ring_states = ring_states_open(rings);
	assert_non_null(dp->ring_states);
	dp->cfg.fd_store = (struct dp_fd_store){.store = keep, .forget = forget, .barrier = set_barrier};
	assert_int_equal(link_store_create(dp), 0);
	n_left = UINT32_MAX;
	return rc;
}

static int
end(void **state)
{
	int rc = fixture_stop(state);

	(void)unlink(rings);
	if (barrier >= 0)
		close(barrier);
	return rc;
}

// A connection is stored when it was quiet from one look to the next.
static void
look_until(unsigned n)
{
	uint64_t end_tsc = wait_limit();

	while (n_stored != n) {
		assert_true(rte_rdtsc() < end_tsc);
		dp_housekeeping(dp);
	}
}

// As the end of the process, and what the next one is given.
static void
end_process(unsigned i)
{
	dp->is_ending = true;
	assert_int_equal(dp_port_del(dp, guest[i].port), 0);
	dp->is_ending = false;
	for (unsigned k = 0; k < n_stored; k++)
		dp_give_fd(dp, stored[k].name, fcntl(stored[k].fd, F_DUPFD_CLOEXEC, 0));
}

static void
expect_frames_both_ways(void)
{
	send_frame(0, 1, 0, 60);
	expect_frame(1, 60);
	send_frame(1, 0, 0, 60);
	expect_frame(0, 60);
}

// Guest 1's alone is stored; guest 0 is there to talk to.
static void
plug_two(void)
{
	struct dp_port_cfg cfg[] = {port_cfg(0), port_cfg(1)};

	for (unsigned i = 0; i < 2; i++) {
		add_port(i, &cfg[i]);
		plug(i, 0, 0);
		((struct vhost *)dp->port[guest[i].port]->priv)->served.is_kept = i == 1;
	}
	send_frame(1, BROADCAST, 0, 60);
	expect_frame(0, 60);
}

static unsigned
n_of_guest(void)
{
	dp_housekeeping(dp);
	for (unsigned i = 0; i < 100 && !n_stored; i++)
		dp_housekeeping(dp);
	assert_true(n_stored >= 6); // the connection, memory, two rings with two eventfds
	return n_stored;
}

static void
connection_goes_on_with_the_next_port(void **state)
{
	struct dp_port_cfg cfg = port_cfg(1);

	(void)state;
	plug_two();
	for (unsigned i = 0; i < 3; i++) {
		unsigned n = n_of_guest();

		end_process(1);
		add_port(1, &cfg);
		wait_link(guest[1].port, true);
		expect_frames_both_ways();
		assert_int_equal(state_of(1).n_disconnects, 0);
		assert_int_equal(n_stored, n);
		((struct vhost *)dp->port[guest[1].port]->priv)->served.is_kept = true;
	}
	unplug(1);
	look_until(0);
	plug(1, 0, 0);
	expect_frames_both_ways();
	(void)n_of_guest();
	assert_int_equal(dp_port_del(dp, guest[1].port), 0);
	assert_int_equal(n_stored, 0);
}

// With one descriptor missing, whichever it is, the guest's driver sees that its device went.
static void
connection_that_is_not_whole_ends(void **state)
{
	struct dp_port_cfg cfg = port_cfg(1);
	unsigned n = 1;

	(void)state;
	plug_two();
	for (unsigned missing = 0; missing < n; missing++) {
		n = n_of_guest();
		forget(NULL, stored[missing].name);
		end_process(1);
		add_port(1, &cfg);
		((struct vhost *)dp->port[guest[1].port]->priv)->served.is_kept = true;
		assert_false(state_of(1).is_connected);
		assert_int_equal(n_stored, 0);
		unplug(1);
		plug(1, 0, 0);
		expect_frames_both_ways();
	}
}

static void
store_that_is_full_has_nothing_of_a_connection(void **state)
{
	(void)state;
	plug_two();
	for (unsigned n = 0; n < 6; n++) {
		n_left = n;
		for (unsigned i = 0; i < 3; i++)
			dp_housekeeping(dp);
		assert_int_equal(n_stored, 0);
		n_left = UINT32_MAX;
		unplug(1);
		plug(1, 0, 0);
	}
	(void)n_of_guest();
	expect_frames_both_ways();
}

// A change without a message, as the operator's.
static void
what_is_forgotten_is_not_whole(void **state)
{
	struct vhost *v;

	(void)state;
	plug_two();
	(void)n_of_guest();
	v = dp->port[guest[1].port]->priv;
	assert_int_equal(atomic_load(&v->record->link.is_whole), 1);
	guest_loop_refresh(dp->guests, &v->served);
	link_store_look(v);
	assert_int_equal(n_stored, 0);
	assert_int_equal(atomic_load(&v->record->link.is_whole), 0);
	(void)n_of_guest();
	expect_frames_both_ways();
}

// Who closes a file of memory last has to free it.
static void
files_are_closed_after_the_store_has(void **state)
{
	uint64_t end_tsc = wait_limit();
	struct dp_event event;
	struct stat file;
	unsigned n; // the guest's own

	(void)state;
	plug_two();
	(void)n_of_guest();
	find_memory(&file);
	assert_int_equal(dp_port_del(dp, guest[0].port), 0); // its guest has the same memory
	unplug(1);
	// The event of its end is enough: nobody waits for the next second.
	while (n_stored) {
		assert_true(rte_rdtsc() < end_tsc);
		while (dp_event_next(dp, &event))
			;
	}
	close(barrier);
	barrier = -1;
	n = least_fds(&file);
	plug(1, 0, 0);
	(void)n_of_guest();
	unplug(1);
	while (n_stored)
		(void)dp_event_next(dp, &event);
	wait_fds(&file, n + 1);
	for (unsigned i = 0; i < 3; i++)
		(void)dp_event_next(dp, &event);
	assert_int_equal(count_fds(&file), n + 1);
	close(barrier);
	barrier = -1;
	wait_fds(&file, n);
}

// The process that takes over: a table, too.
static struct {
	char name[32];
	int fd;
} handed[MAX_STORED];
static unsigned n_handed, n_hands_left;

static bool
hand(void *arg, const char *name, int fd)
{
	(void)arg;
	assert_true(n_handed < MAX_STORED);
	if (!n_hands_left)
		return false;
	n_hands_left--;
	memcpy(handed[n_handed].name, name, strlen(name) + 1);
	handed[n_handed++].fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return true;
}

static const struct dp_fd_store next = {.store = hand};

static void
drop_handed(void)
{
	while (n_handed)
		close(handed[--n_handed].fd);
	n_hands_left = UINT32_MAX;
}

static unsigned
count_handed(const char *role)
{
	unsigned n = 0;

	for (unsigned i = 0; i < n_handed; i++)
		n += strstr(handed[i].name, role) != NULL;
	return n;
}

// Its port ends here as with the process, and is made anew as in the one that takes over.
static void
take_over(unsigned i)
{
	struct dp_port_cfg cfg = port_cfg(i);

	dp->is_ending = true;
	assert_int_equal(dp_port_del(dp, guest[i].port), 0);
	dp->is_ending = false;
	dp->cfg.is_standby = true;
	add_port(i, &cfg);
	assert_false(state_of(i).is_connected);
	while (n_handed) {
		n_handed--;
		dp_give_fd(dp, handed[n_handed].name, handed[n_handed].fd);
	}
	dp_halt(dp);
	assert_int_equal(dp_take_over(dp), 0);
	((struct vhost *)dp->port[guest[i].port]->priv)->served.is_kept = true;
}

// The end of a connection is seen a little later.
static void
wait_gone(unsigned i)
{
	uint64_t end_tsc = wait_limit();

	while (state_of(i).is_connected)
		assert_true(rte_rdtsc() < end_tsc);
}

static void
stop_and_resume(void)
{
	char err[DP_ERR_SIZE] = "";

	assert_int_equal(dp_hand_stop(dp, &next, err), 0);
	dp_halt(dp);
	assert_int_equal(dp_hand_resume(dp), 0);
}

// Whether the service manager has it or not, and again.
static void
handed_connection_goes_on(void **state)
{
	char err[DP_ERR_SIZE] = "";

	(void)state;
	plug_two();
	for (unsigned i = 0; i < 6; i++) {
		unsigned n = i % 2 ? n_of_guest() : 0;

		drop_handed();
		assert_int_equal(dp_hand_prepare(dp, &next, err), 0);
		assert_int_equal(count_handed("link"), 1);
		assert_int_equal(count_handed("listen"), 1);
		stop_and_resume();
		assert_int_equal(count_handed("link"), 1); // nothing was sent again
		take_over(1);
		expect_frames_both_ways();
		assert_int_equal(state_of(1).n_disconnects, 0);
		if (i % 2)
			assert_int_equal(n_stored, n);
	}
}

static void
change_after_the_first_sending_is_sent_again(void **state)
{
	char err[DP_ERR_SIZE] = "";

	(void)state;
	plug_two();
	drop_handed();
	assert_int_equal(dp_hand_prepare(dp, &next, err), 0);
	unplug(1);
	plug(1, 0, 0);
	stop_and_resume();
	assert_int_equal(count_handed("link"), 2);
	assert_int_equal(count_handed("listen"), 1);
	take_over(1);
	expect_frames_both_ways();
	assert_int_equal(state_of(1).n_disconnects, 0);
	drop_handed();
	unplug(1);
	wait_gone(1);
	assert_int_equal(dp_hand_prepare(dp, &next, err), 0);
	assert_int_equal(count_handed("link"), 0);
	drop_handed();
}

// The service manager has it as it was.
static void
stored_connection_that_changed_is_handed(void **state)
{
	char err[DP_ERR_SIZE] = "";
	struct vhost *v;

	(void)state;
	plug_two();
	(void)n_of_guest();
	v = dp->port[guest[1].port]->priv;
	guest_loop_refresh(dp->guests, &v->served);
	drop_handed();
	assert_int_equal(dp_hand_prepare(dp, &next, err), 0);
	assert_string_equal(err, ""); // what the first try met is no error of the last one
	assert_int_equal(count_handed("link"), 1);
	stop_and_resume();
	take_over(1);
	expect_frames_both_ways();
	assert_int_equal(state_of(1).n_disconnects, 0);
}

// At each descriptor; the port goes on, and another process may take over.
static void
process_that_takes_no_descriptor_is_told(void **state)
{
	char err[DP_ERR_SIZE];
	unsigned n;

	(void)state;
	plug_two();
	for (n = 0;; n++) {
		drop_handed();
		n_hands_left = n;
		err[0] = '\0';
		if (!dp_hand_prepare(dp, &next, err))
			break;
		assert_string_equal(err, "the other process does not take descriptors");
		expect_frames_both_ways();
	}
	assert_true(n >= 7);
	take_over(1);
	expect_frames_both_ways();
}

// Its front-end stalls there, and harms itself alone.
static void
connection_in_the_middle_of_a_message_is_left_out(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct dp_port_cfg cfg = port_cfg(1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t end_tsc = wait_limit();
	char err[DP_ERR_SIZE] = "";

	(void)state;
	add_port(1, &cfg);
	((struct vhost *)dp->port[guest[1].port]->priv)->served.is_kept = true;
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%.100s", cfg.socket);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(write(fd, "half", 4), 4);
	drop_handed();
	while (!state_of(1).is_connected)
		assert_true(rte_rdtsc() < end_tsc);
	assert_int_equal(dp_hand_prepare(dp, &next, err), 0);
	assert_int_equal(count_handed("listen"), 1);
	close(fd);
	wait_gone(1);
	assert_int_equal(dp_hand_prepare(dp, &next, err), 0);
	drop_handed();
}

// After a crash the next process finds where they stand.
static void
rings_of_a_guest_that_moved_are_kept(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct dp_port_cfg cfg = port_cfg(1);
	const struct vhost *v;

	(void)state;
	plug_two();
	v = dp->port[guest[1].port]->priv;
	assert_int_equal(dp_port_move(dp, guest[1].port, UINT64_MAX / 2), 0);
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%.100s", cfg.socket);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	while (state_of(1).n_connects < 2)
		;
	unplug(1);
	assert_int_equal(dp_port_move(dp, guest[1].port, UINT64_MAX / 2), 0);
	plug(1, 0, 0);
	expect_frames_both_ways();
	for (unsigned ring = 0; ring < 2; ring++)
		assert_ptr_equal(v->io.queue[ring]->ring.cfg.state, &v->record->ring[ring]);
	close(fd);
}

// What no port asks for is closed with the process, at the latest, and a name that is too long, or
// a descriptor that nobody stored, is no harm.
static void
what_no_port_asks_for_ends(void **state)
{
	(void)state;
	dp_give_fd(dp, "99.1.link0", open("/dev/null", O_RDONLY | O_CLOEXEC));
	dp_give_fd(dp, "a name of more than thirty-one characters", open("/dev/null", O_RDONLY | O_CLOEXEC));
	plug_two();
	expect_frames_both_ways();
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(connection_goes_on_with_the_next_port),
		WITH_BRIDGE(connection_that_is_not_whole_ends),
		WITH_BRIDGE(store_that_is_full_has_nothing_of_a_connection),
		WITH_BRIDGE(what_is_forgotten_is_not_whole),
		WITH_BRIDGE(files_are_closed_after_the_store_has),
		WITH_BRIDGE(handed_connection_goes_on),
		WITH_BRIDGE(change_after_the_first_sending_is_sent_again),
		WITH_BRIDGE(stored_connection_that_changed_is_handed),
		WITH_BRIDGE(process_that_takes_no_descriptor_is_told),
		WITH_BRIDGE(connection_in_the_middle_of_a_message_is_left_out),
		WITH_BRIDGE(rings_of_a_guest_that_moved_are_kept),
		WITH_BRIDGE(what_no_port_asks_for_ends),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests(tests, begin, end);
}
