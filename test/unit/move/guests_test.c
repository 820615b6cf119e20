// Processes are found by their program's file, whether it is still there or not.
#include "fake_guest.h"
#include "guests.h"

#include <sched.h>

static char dir[] = "/tmp/guests-XXXXXX", program[64], other[64];

static int
set_up(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(program, sizeof(program), "%s/qemu", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
	return 0;
}

static int
begin(void **state)
{
	(void)state;
	fake_guest_make_program(program);
	fake_guest_make_program(other);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	(void)unlink(program);
	(void)unlink(other);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	return rmdir(dir);
}

static void
look(struct guests *g, const char *from, const char *to, unsigned n_expected)
{
	assert_int_equal(guests_look(g, from, to), 0);
	assert_int_equal(g->n, n_expected);
}

static void
only_processes_of_the_program_are_found(void **state)
{
	pid_t one = fake_guest_start(program, "-S -name guest=vm1,debug-threads=on"),
	      two = fake_guest_start(other, "-S");
	struct guests g = {0};

	(void)state;
	look(&g, program, other, 1);
	assert_int_equal(g.items[0].pid, one);
	assert_string_equal(g.items[0].name, "vm1");
	assert_string_equal(g.items[0].left_out, "");
	// Nothing of it twice.
	look(&g, program, other, 1);
	fake_guest_end(one);
	fake_guest_end(two);
	guests_fini(&g);
}

static void
a_link_to_the_program_names_it_too(void **state)
{
	pid_t pid = fake_guest_start(program, "-S");
	struct guests g = {0};
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/link", dir);
	assert_int_equal(symlink("qemu", path), 0);
	look(&g, path, other, 1);
	assert_int_equal(g.items[0].pid, pid);
	assert_string_equal(g.items[0].name, "");
	(void)unlink(path);
	fake_guest_end(pid);
	guests_fini(&g);
}

// As dpkg does it.
static void
after_an_upgrade_only_processes_of_the_former_file_are_found(void **state)
{
	pid_t former = fake_guest_start(program, "-S -name former"), later;
	struct guests g = {0};
	char path[64];

	(void)state;
	look(&g, program, program, 0);
	snprintf(path, sizeof(path), "%s/qemu.new", dir);
	fake_guest_make_program(path);
	assert_int_equal(rename(path, program), 0);
	later = fake_guest_start(program, "-S -name later");
	look(&g, program, program, 1);
	assert_int_equal(g.items[0].pid, former);
	assert_string_equal(g.items[0].name, "former");
	guests_fini(&g);
	// To another program both are moved.
	look(&g, program, other, 2);
	fake_guest_end(former);
	fake_guest_end(later);
	guests_fini(&g);
}

static void
a_program_that_was_deleted_is_known_by_its_path(void **state)
{
	pid_t pid = fake_guest_start(program, "-S");
	struct guests g = {0};
	char path[96];

	(void)state;
	(void)unlink(program);
	look(&g, program, other, 1);
	assert_int_equal(g.items[0].pid, pid);
	guests_fini(&g);
	snprintf(path, sizeof(path), "%s/qem", dir);
	look(&g, path, other, 0);
	snprintf(path, sizeof(path), "%s/../%s/qemu", dir, dir + 5);
	look(&g, path, other, 1);
	snprintf(path, sizeof(path), "%s/nosuch/qemu", dir);
	assert_int_equal(guests_look(&g, path, other), -ENOENT);
	fake_guest_end(pid);
	guests_fini(&g);
}

static void
names_are_printable(void **state)
{
	static const struct {
		const char *words, *name;
	} cases[] = {{"-S -name vm1", "vm1"}, {"-S -name process=q,guest=a,,b", "a,b"}, {"-S -name process=q", ""},
		{"-S -name x -name guest=y", "y"}, {"-S -name a\nb\x7f", "a?b?"}, {"-S -name \xc3\xa4", "\xc3\xa4"},
		{"-S -name a\xff", "a?"}, {"-S -m", ""}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		pid_t pid = fake_guest_start(program, cases[i].words);
		struct guests g = {0};

		look(&g, program, other, 1);
		assert_string_equal(g.items[0].name, cases[i].name);
		fake_guest_end(pid);
		guests_fini(&g);
	}
}

static void
a_name_longer_than_the_limit_is_cut(void **state)
{
	char words[GUESTS_NAME_SIZE + 32] = "-S -name ";
	struct guests g = {0};
	pid_t pid;

	(void)state;
	memset(words + 9, 'x', GUESTS_NAME_SIZE);
	pid = fake_guest_start(program, words);
	look(&g, program, other, 1);
	assert_int_equal(strlen(g.items[0].name), GUESTS_NAME_SIZE - 1);
	fake_guest_end(pid);
	guests_fini(&g);
}

static bool
has_child(struct guests *g, unsigned n)
{
	assert_int_equal(guests_look(g, program, other), 0);
	return g->n == n;
}

// A guest that was moved has -incoming for ever: what counts is who its parent is.
static void
destinations_of_a_move_are_left_out(void **state)
{
	struct guests g = {0};
	char mover[64], words[128];
	pid_t parent, moved = fake_guest_start(program, "-S -incoming defer -name moved"), child = 0;

	(void)state;
	snprintf(mover, sizeof(mover), "%s/rtvs-move", dir);
	fake_guest_make_program(mover);
	snprintf(words, sizeof(words), "-parent %s -S -incoming defer -name waits", program);
	parent = fake_guest_start(mover, words);
	for (unsigned i = 0; i < 2000 && !has_child(&g, 2); i++) {
		guests_fini(&g);
		(void)usleep(5000);
	}
	assert_int_equal(g.n, 2);
	for (unsigned i = 0; i < 2; i++) {
		bool waits = !strcmp(g.items[i].name, "waits");

		if (waits)
			child = g.items[i].pid;
		else
			assert_int_equal(g.items[i].pid, moved);
		assert_int_equal(strstr(g.items[i].left_out, "destination of a move") != NULL, waits);
	}
	assert_true(child > 0);
	fake_guest_end_other(child);
	fake_guest_end(parent);
	fake_guest_end(moved);
	(void)unlink(mover);
	guests_fini(&g);
}

static void
those_of_another_pid_namespace_are_left_out(void **state)
{
	struct guests g = {0};
	pid_t pid = fork();

	(void)state;
	if (!pid) {
		if (unshare(CLONE_NEWPID) && unshare(CLONE_NEWUSER | CLONE_NEWPID))
			_exit(77);
		(void)fake_guest_start(program, "-S");
		(void)alarm(60);
		for (;;)
			(void)pause();
	}
	for (unsigned i = 0; i < 2000 && !has_child(&g, 1) && waitpid(pid, NULL, WNOHANG) != pid; i++)
		(void)usleep(5000);
	if (!g.n)
		skip(); // it may not be made here
	assert_non_null(strstr(g.items[0].left_out, "another pid namespace"));
	fake_guest_end_other(g.items[0].pid);
	fake_guest_end(pid);
	guests_fini(&g);
}

static void
an_ended_process_is_gone(void **state)
{
	pid_t pid = fake_guest_start(program, "-S");
	struct guests g = {0};

	(void)state;
	look(&g, program, other, 1);
	assert_false(guests_is_gone(&g.items[0]));
	(void)kill(pid, SIGKILL);
	// Before somebody has asked for its status, too.
	assert_int_equal(waitid(P_PID, (id_t)pid, NULL, WEXITED | WNOWAIT), 0);
	assert_true(guests_is_gone(&g.items[0]));
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(guests_is_gone(&g.items[0]));
	// A later process with its number is another one.
	g.items[0].pid = getpid();
	assert_true(guests_is_gone(&g.items[0]));
	assert_int_equal(guests_know(&g, pid), -ESRCH);
	guests_fini(&g);
}

static void
as_many_as_the_limit_are_kept_and_no_more(void **state)
{
	struct guests g = {.n = GUESTS_MAX - 1, .size = GUESTS_MAX, .items = calloc(GUESTS_MAX, sizeof(struct guest))};
	pid_t pid = fake_guest_start(program, "-S");

	(void)state;
	assert_int_equal(guests_know(&g, getpid()), 0);
	assert_int_equal(g.n, GUESTS_MAX);
	assert_int_equal(guests_know(&g, getpid()), 0); // it is in the list
	assert_int_equal(guests_look(&g, program, other), -E2BIG);
	assert_int_equal(g.n, GUESTS_MAX);
	fake_guest_end(pid);
	guests_fini(&g);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(only_processes_of_the_program_are_found),
		CASE(a_link_to_the_program_names_it_too),
		CASE(after_an_upgrade_only_processes_of_the_former_file_are_found),
		CASE(a_program_that_was_deleted_is_known_by_its_path),
		CASE(names_are_printable),
		CASE(a_name_longer_than_the_limit_is_cut),
		CASE(destinations_of_a_move_are_left_out),
		CASE(those_of_another_pid_namespace_are_left_out),
		CASE(an_ended_process_is_gone),
		CASE(as_many_as_the_limit_are_kept_and_no_more),
	};

	fake_guest_main(argc, argv);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
