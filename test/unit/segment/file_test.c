// Segments in files: creating, opening, refusing; who lives, by locks, also of killed processes;
// truncation; waiting. Other processes of the same segment are children. Other hosts are a second
// path to the same memory without shared locks, which this test cannot have (test/vm).
#include "../unit.h"
#include "rtvs/segment_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_OPEN 128 // segments of one process

static char dir[] = "/dev/shm/rtvs-unit-XXXXXX";
static char path[64];
static char err[SEGMENT_ERR_SIZE];

static struct segment_create
wanted(void)
{
	return (struct segment_create){.path = path,
		.geometry = {.n_nodes = 4, .slot_bytes = 2048, .inbox_size = 256},
		.size = 1 << 20,
		.mode = 0640};
}

static void
make(void)
{
	struct segment_create create = wanted();

	assert_int_equal(segment_file_create(&create, err), 0);
}

static struct segment_identity
called(const char *name)
{
	struct segment_identity identity = {.n_macs = 1, .mac = {{{2, 0, 0, 0, 0, (uint8_t)name[0]}}}};

	(void)snprintf(identity.name, sizeof(identity.name), "%s", name);
	return identity;
}

static struct segment_file *
open_it(void)
{
	struct segment_file *file = NULL;

	assert_int_equal(segment_file_open(path, false, &file, err), 0);
	return file;
}

static struct segment_file *
join(int node, const char *name)
{
	struct segment_identity identity = called(name);
	struct segment_file *file = open_it();

	assert_int_equal(segment_file_join(file, node, &identity, err), 0);
	return file;
}

static int
refused_join(int node, const char *name)
{
	struct segment_identity identity = called(name);
	struct segment_file *file = open_it();
	int rc = segment_file_join(file, node, &identity, err);

	segment_file_close(file);
	return rc;
}

static unsigned
n_files(void)
{
	char command[128];
	unsigned n = 0;
	FILE *in;

	(void)snprintf(command, sizeof(command), "ls -A %s | wc -l", dir);
	in = popen(command, "r");
	assert_non_null(in);
	assert_int_equal(fscanf(in, "%u", &n), 1);
	(void)pclose(in);
	return n;
}

// A process that joins, says so, and does nothing more. pipe: its end of life.
static pid_t
child_joins(int node, const char *name)
{
	int ready[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		struct segment_identity identity = called(name);
		struct segment_file *file = NULL;

		if (segment_file_open(path, false, &file, err) || segment_file_join(file, node, &identity, err))
			_exit(1);
		(void)!write(ready[1], "", 1);
		for (;;)
			(void)pause();
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void
kill_it(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static int
begin(void **state)
{
	(void)state;
	(void)snprintf(path, sizeof(path), "%s/segment", dir);
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
file_is_whole_and_its_owners(void **state)
{
	struct segment_create create = wanted();
	struct stat st;
	mode_t mask = umask(077);

	(void)state;
	create.size = (3 << 20) + 1;
	create.group = "0";
	assert_int_equal(segment_file_create(&create, err), 0);
	(void)umask(mask);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(st.st_size, (3 << 20) + 4096);
	assert_true(st.st_blocks * 512 >= st.st_size); // no write can fail for want of space
	assert_int_equal(n_files(), 1);
}

static void
size_decides_about_slots(void **state)
{
	struct segment_create create = wanted();
	struct segment_file *file;
	struct segment_geometry g;

	(void)state;
	create.size = 0;
	create.geometry.n_slots = segment_min_slots(&create.geometry);
	assert_int_equal(segment_file_create(&create, err), 0);
	assert_int_equal(segment_file_create(&create, err), -EEXIST);
	assert_int_equal(unlink(path), 0);
	make();
	file = open_it();
	g = *segment_geometry_of(segment_file_segment(file));
	assert_true(segment_bytes(&g) <= 1 << 20);
	g.n_slots++;
	assert_true(segment_bytes(&g) > 1 << 20);
	segment_file_close(file);
}

static void
wrong_wishes_are_refused_by_name(void **state)
{
	struct {
		const char *word;
		int rc;
		struct segment_create create;
	} cases[] = {{"nodes: 65", -EINVAL, wanted()}, {"nodes: 1 ", -EINVAL, wanted()},
		{"slot-bytes: 3000", -EINVAL, wanted()}, {"inbox: 63", -EINVAL, wanted()},
		{"slots: 63", -EINVAL, wanted()}, {"size: is too small", -EINVAL, wanted()},
		{"size: is too small", -EINVAL, wanted()}, {"group: /etc/group has no", -ENOENT, wanted()},
		{"no-such-directory/: there is no such directory", -ENOENT, wanted()}};

	(void)state;
	cases[0].create.geometry.n_nodes = 65;
	cases[1].create.geometry.n_nodes = 1;
	cases[2].create.geometry.slot_bytes = 3000;
	cases[3].create.geometry.inbox_size = 63;
	cases[4].create.geometry.n_slots = 63;
	cases[5].create.size = 4096;
	cases[6].create.geometry.n_slots = 1000;
	cases[7].create.group = "no such group";
	cases[8].create.path = "/dev/shm/no-such-directory/segment";
	for (unsigned i = 0; i < 9; i++) {
		assert_int_equal(segment_file_create(&cases[i].create, err), cases[i].rc);
		assert_non_null(strstr(err, cases[i].word));
		assert_int_equal(n_files(), 0);
	}
}

static void
only_segments_are_replaced(void **state)
{
	struct segment_create create = wanted();
	struct segment_file *old;
	FILE *out;

	(void)state;
	make();
	assert_int_equal(segment_file_create(&create, err), -EEXIST);
	old = join(0, "old");
	assert_false(segment_file_is_replaced(old, path));
	create.is_forced = true;
	assert_int_equal(segment_file_create(&create, err), 0);
	assert_int_equal(n_files(), 1);
	assert_true(segment_file_is_replaced(old, path));
	segment_file_close(join(0, "new"));
	segment_file_close(old);
	assert_int_equal(unlink(path), 0);

	out = fopen(path, "w");
	assert_non_null(out);
	fputs("a letter", out);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(segment_file_create(&create, err), -EEXIST);
	assert_non_null(strstr(err, "no segment"));
}

// Holes that another process made cost no memory; once the file is whole, it is populated as far as
// the segment goes.
static void
holes_are_not_populated(void **state)
{
	struct segment_file *file;
	struct stat sparse, st;
	unsigned n = 1;
	int fd;

	(void)state;
	make();
	file = open_it();
	fd = open(path, O_RDWR);
	assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 19, 1 << 19), 0);
	assert_int_equal(fstat(fd, &sparse), 0);
	assert_false(segment_file_populate(file, SIZE_MAX));
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_blocks, sparse.st_blocks);
	assert_int_equal(fallocate(fd, 0, 0, 1 << 20), 0);
	while (segment_file_populate(file, 1 << 16))
		n++;
	assert_int_equal(n, (segment_bytes(segment_geometry_of(segment_file_segment(file))) + 65535) >> 16);
	segment_file_close(file);
	close(fd);
	assert_int_equal(unlink(path), 0);
}

static void
what_is_no_segment_is_not_opened(void **state)
{
	struct segment_file *file = NULL;
	uint32_t version = 2;
	int fd;

	(void)state;
	assert_int_equal(segment_file_open(path, false, &file, err), -ENOENT);
	assert_int_equal(segment_file_open("/dev/null", false, &file, err), -EINVAL);
	assert_int_equal(segment_file_open("/dev/shm", true, &file, err), -EINVAL);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(segment_file_open(path, true, &file, err), -EINVAL);
	assert_int_equal(unlink(path), 0);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(segment_file_open(path, false, &file, err), -ENODATA);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_int_equal(segment_file_open(path, false, &file, err), -ENODATA);
	close(fd);
	assert_int_equal(unlink(path), 0);
	make();
	fd = open(path, O_RDWR);
	assert_int_equal(pwrite(fd, &version, sizeof(version), 8), sizeof(version));
	assert_int_equal(segment_file_open(path, false, &file, err), -EPROTO);
	assert_non_null(strstr(err, "another version than 1"));
	version = 1;
	assert_int_equal(pwrite(fd, &version, sizeof(version), 8), sizeof(version));
	assert_int_equal(ftruncate(fd, (1 << 20) - 8192), 0);
	assert_int_equal(segment_file_open(path, false, &file, err), -EFBIG);
	close(fd);
	assert_null(file);
}

static void
names_and_numbers_are_of_one_node(void **state)
{
	struct segment_file *a, *b;

	(void)state;
	make();
	a = join(2, "a");
	b = join(-1, "b");
	assert_int_equal(segment_self(segment_file_segment(b)), 0);
	assert_int_equal(refused_join(2, "c"), -EBUSY);
	assert_non_null(strstr(err, "node 2 is in use"));
	assert_int_equal(refused_join(3, "a"), -EEXIST);
	assert_non_null(strstr(err, "node 2 has the name a"));
	assert_int_equal(refused_join(4, "c"), -EINVAL);
	segment_file_close(a);
	a = join(2, "a");
	segment_file_leave(a);
	segment_file_leave(a);
	segment_file_close(b);
	segment_file_close(a);
}

static void
all_numbers_and_no_more(void **state)
{
	struct segment_create create = wanted();
	struct segment_file *files[SEGMENT_MAX_NODES];
	char name[16];

	(void)state;
	create.size = 8 << 20;
	create.geometry.n_nodes = SEGMENT_MAX_NODES;
	assert_int_equal(segment_file_create(&create, err), 0);
	for (unsigned i = 0; i < SEGMENT_MAX_NODES; i++) {
		(void)snprintf(name, sizeof(name), "node-%u", i);
		files[i] = join(-1, name);
	}
	assert_int_equal(refused_join(-1, "one-more"), -EBUSY);
	assert_non_null(strstr(err, "all 64 numbers are in use"));
	segment_file_close(files[33]);
	files[33] = join(-1, "one-more");
	assert_int_equal(segment_self(segment_file_segment(files[33])), 33);
	for (unsigned i = 0; i < SEGMENT_MAX_NODES; i++)
		segment_file_close(files[i]);
}

static void
process_has_so_many_segments_open_and_no_more(void **state)
{
	struct segment_file *files[MAX_OPEN], *one_more = NULL;

	(void)state;
	make();
	for (unsigned i = 0; i < MAX_OPEN; i++)
		files[i] = open_it();
	assert_int_equal(segment_file_open(path, true, &one_more, err), -EMFILE);
	assert_null(one_more);
	segment_file_close(files[0]);
	files[0] = open_it();
	for (unsigned i = 0; i < MAX_OPEN; i++)
		segment_file_close(files[i]);
}

static void
killed_node_comes_back_at_once(void **state)
{
	struct segment_file *watcher;
	pid_t pid;

	(void)state;
	make();
	watcher = join(0, "watcher");
	pid = child_joins(1, "a");
	assert_int_equal(segment_file_has_lock(watcher, 0), 1);
	assert_int_equal(segment_file_has_lock(watcher, 1), 1);
	assert_int_equal(segment_file_has_lock(watcher, 2), -1);
	kill_it(pid);
	assert_int_equal(segment_file_has_lock(watcher, 1), 0);
	segment_file_close(join(3, "a")); // its name, elsewhere
	pid = child_joins(1, "a");
	kill_it(pid);
	segment_file_close(join(1, "a")); // name and number
	pid = child_joins(1, "a");
	kill_it(pid);
	assert_int_equal(segment_file_tend(watcher) + segment_file_tend(watcher), 1);
	assert_int_equal(segment_file_tend(watcher), 0);
	segment_file_close(watcher);
}

static void
tend_while_a_heart_may_be_silent(struct segment_file *file)
{
	const struct timespec pause_ns = {.tv_nsec = (long)SEGMENT_TEND_NS};

	for (uint64_t ns = 0; ns < 2 * SEGMENT_SILENCE_NS; ns += SEGMENT_TEND_NS) {
		assert_int_equal(segment_file_tend(file), 0);
		(void)nanosleep(&pause_ns, NULL);
	}
}

// Its heart stands still, but its lock is held: no node takes it for dead, not even an observer
// that has not joined and has no node beside to trust.
static void
stopped_node_is_not_taken_for_dead(void **state)
{
	struct segment_file *watcher, *stranger;
	struct segment_node_info info;
	pid_t pid;

	(void)state;
	make();
	watcher = join(0, "watcher");
	pid = child_joins(1, "a");
	assert_int_equal(kill(pid, SIGSTOP), 0);
	tend_while_a_heart_may_be_silent(watcher);
	segment_file_close(watcher);
	stranger = open_it();
	tend_while_a_heart_may_be_silent(stranger);
	assert_true(segment_look(segment_file_segment(stranger), 1, &info));
	assert_int_equal(info.state, SEGMENT_LIVE);
	assert_true(segment_file_is_neighbour(stranger, &info));
	kill_it(pid);
	segment_file_close(stranger);
}

static void
expelled_node_joins_again(void **state)
{
	struct segment_file *a, *b;
	uint64_t wake = 0;

	(void)state;
	make();
	a = join(0, "a");
	b = join(1, "b");
	assert_true(segment_expel(segment_file_segment(b), 0));
	assert_true(segment_is_expelled(segment_file_segment(a)));
	assert_int_equal(segment_file_rejoin(a, err), 0);
	assert_false(segment_is_expelled(segment_file_segment(a)));
	assert_int_equal(segment_self(segment_file_segment(a)), 0);
	assert_int_equal(segment_put(segment_file_segment(a), "\2\0\0\0\0b\2\0\0\0\0a\x88\xb5", 14, NULL, &wake), 0);
	segment_file_close(b);
	segment_file_close(a);
}

static void
truncated_file_ends_nobody(void **state)
{
	const int lengths[] = {0, 4096, (1 << 20) - 4096};

	(void)state;
	assert_int_equal(segment_file_catch_truncation(), 0);
	for (unsigned i = 0; i < 3; i++) {
		struct segment_file *a, *reader = NULL;
		struct segment_frame frame;
		struct segment_pool_info pool;

		make();
		a = join(0, "a");
		assert_int_equal(segment_file_open(path, true, &reader, err), 0);
		assert_int_equal(truncate(path, lengths[i]), 0);
		(void)segment_file_tend(a);
		assert_true(segment_file_is_broken(a));
		(void)segment_reserve(segment_file_segment(a), 2, 1500, &frame);
		assert_int_equal(segment_receive(segment_file_segment(a), &frame, 1), 0);
		assert_int_equal(segment_file_rejoin(a, err), -EFBIG);
		assert_int_equal(segment_self(segment_file_segment(a)), -1);
		// An observer that only reads touches it.
		segment_look_pool(segment_file_segment(reader), &pool);
		assert_true(segment_file_is_broken(reader));
		segment_file_close(reader);
		segment_file_close(a);
		assert_int_equal(unlink(path), 0);
	}
	assert_false(segment_file_mend(&path));
	(void)signal(SIGBUS, SIG_DFL);
}

// By who tends, without a signal.
static void
truncation_is_seen_before_it_is_touched(void **state)
{
	struct segment_file *a;

	(void)state;
	make();
	a = join(0, "a");
	assert_int_equal(truncate(path, 0), 0);
	(void)segment_file_tend(a);
	assert_true(segment_file_is_broken(a));
	segment_file_close(a);
}

// It claims a million slots and has one page: looking at it costs no memory for the rest.
static void
file_with_holes_is_refused(void **state)
{
	struct segment_geometry g = wanted().geometry;
	struct segment_file *file = NULL;
	uint8_t page[4096];
	struct stat st;
	int fd;

	(void)state;
	make();
	fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, page, sizeof(page), 0), sizeof(page));
	g.n_slots = 1 << 20;
	memcpy(page + 24, &g.n_slots, sizeof(g.n_slots));
	*(uint64_t *)(void *)(page + 40) = segment_bytes(&g);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(ftruncate(fd, (off_t)segment_bytes(&g)), 0);
	assert_int_equal(pwrite(fd, page, sizeof(page), 0), sizeof(page));
	for (int is_readonly = 0; is_readonly < 2; is_readonly++) {
		assert_int_equal(segment_file_open(path, is_readonly, &file, err), -EFBIG);
		assert_non_null(strstr(err, "has holes"));
	}
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(st.st_blocks * 512 <= 4096);
	close(fd);
}

// No node may allocate its missing pages.
static void
grown_file_costs_no_memory(void **state)
{
	struct stat before, after;
	struct segment_file *a;

	(void)state;
	make();
	assert_int_equal(truncate(path, 64 << 20), 0);
	assert_int_equal(stat(path, &before), 0);
	a = join(0, "a");
	assert_false(segment_file_populate(a, SIZE_MAX));
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(after.st_size, 64 << 20);
	assert_int_equal(after.st_blocks, before.st_blocks);
	segment_file_close(a);
	assert_int_equal(unlink(path), 0);
}

static void *
send_one(void *arg)
{
	struct segment_file *file = arg;
	uint64_t wake = 0;

	(void)segment_put(segment_file_segment(file), "\2\0\0\0\0b\2\0\0\0\0a\x88\xb5", 14, NULL, &wake);
	segment_file_wake(file, wake);
	return NULL;
}

static void
frame_wakes_the_receiver(void **state)
{
	struct segment_file *a, *b;
	struct segment_frame frame;
	pthread_t thread;

	(void)state;
	make();
	a = join(0, "a");
	b = join(1, "b");
	assert_false(segment_file_wait(b, 1000000));
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(pthread_create(&thread, NULL, send_one, a), 0);
		while (!segment_receive(segment_file_segment(b), &frame, 1))
			assert_true(segment_file_wait(b, UINT64_C(20000000000)));
		assert_int_equal(frame.len, 14);
		assert_int_equal(frame.from, 0);
		segment_release(segment_file_segment(b), &frame, 1);
		assert_int_equal(pthread_join(thread, NULL), 0);
	}
	segment_file_close(b);
	segment_file_close(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(file_is_whole_and_its_owners, begin, end),
		cmocka_unit_test_setup_teardown(size_decides_about_slots, begin, end),
		cmocka_unit_test_setup_teardown(wrong_wishes_are_refused_by_name, begin, end),
		cmocka_unit_test_setup_teardown(only_segments_are_replaced, begin, end),
		cmocka_unit_test_setup_teardown(what_is_no_segment_is_not_opened, begin, end),
		cmocka_unit_test_setup_teardown(names_and_numbers_are_of_one_node, begin, end),
		cmocka_unit_test_setup_teardown(all_numbers_and_no_more, begin, end),
		cmocka_unit_test_setup_teardown(process_has_so_many_segments_open_and_no_more, begin, end),
		cmocka_unit_test_setup_teardown(killed_node_comes_back_at_once, begin, end),
		cmocka_unit_test_setup_teardown(stopped_node_is_not_taken_for_dead, begin, end),
		cmocka_unit_test_setup_teardown(expelled_node_joins_again, begin, end),
		cmocka_unit_test_setup_teardown(truncated_file_ends_nobody, begin, end),
		cmocka_unit_test_setup_teardown(truncation_is_seen_before_it_is_touched, begin, end),
		cmocka_unit_test_setup_teardown(file_with_holes_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(holes_are_not_populated, begin, end),
		cmocka_unit_test_setup_teardown(grown_file_costs_no_memory, begin, end),
		cmocka_unit_test_setup_teardown(frame_wakes_the_receiver, begin, end),
	};
	int rc;

	if (!mkdtemp(dir))
		return 77;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	(void)rmdir(dir);
	return rc;
}
