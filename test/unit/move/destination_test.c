// The second process's arguments: what is the same, what has another name for a while, what is left
// out.
#include "../unit.h"
#include "destination.h"
#include "words.h"

#include <errno.h>

static struct destination *
create(const char *words, enum plan_way way, const char *qmp)
{
	struct destination_options options = {.program = "/new",
		.machine = "pc-q35-10.0",
		.way = way,
		.main_socket = "/r/main",
		.cpr_socket = "/r/cpr",
		.qmp = qmp};
	struct cmdline *c = words_parse(words);
	struct destination *d = NULL;

	assert_non_null(c);
	assert_int_equal(destination_create(c, &options, &d), 0);
	cmdline_destroy(c);
	return d;
}

static void
becomes(const char *words, enum plan_way way, const char *expected)
{
	struct destination *d = create(words, way, NULL);
	char text[4096] = "";

	for (unsigned i = 0; i < d->n_words; i++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "", d->words[i]);
	assert_string_equal(text, expected);
	assert_null(d->words[d->n_words]);
	destination_destroy(d);
}

static void
what_is_no_file_or_socket_stays(void **state)
{
	(void)state;
	becomes("qemu -M q35,memory-backend=mem -m 64 disk.img -nodefaults -device a,id=b -append -v",
		PLAN_IGNORE_SHARED,
		"/new -M pc-q35-10.0,memory-backend=mem -m 64 disk.img -nodefaults -device a,id=b -append -v -incoming "
		"defer");
	becomes("qemu -machine memory-backend=mem", PLAN_PLAIN,
		"/new -machine memory-backend=mem -machine pc-q35-10.0 -incoming defer");
}

static void
what_belongs_to_a_start_is_left_out(void **state)
{
	(void)state;
	becomes("qemu -S -daemonize -M q35 -incoming unix:/x -loadvm snap -mem-prealloc", PLAN_CPR_TRANSFER,
		"/new -M pc-q35-10.0 -incoming unix:/r/main -incoming "
		"{\"channel-type\":\"cpr\",\"addr\":{\"transport\":\"socket\",\"type\":\"unix\",\"path\":\"/r/cpr\"}}");
}

static void
listening_sockets_get_a_suffix_and_clients_do_not(void **state)
{
	struct destination *d = create("qemu -M q35 -qmp unix:/q,server=on -chardev socket,id=c,path=/c,server=on "
				       "-chardev socket,id=v,path=/v -pidfile /p",
		PLAN_IGNORE_SHARED, "/q");

	(void)state;
	assert_string_equal(d->words[4], "unix:/q.rtvs-move,server=on");
	assert_string_equal(d->words[6], "socket,id=c,path=/c.rtvs-move,server=on");
	assert_string_equal(d->words[8], "socket,id=v,path=/v");
	assert_string_equal(d->words[10], "/p.rtvs-move");
	assert_int_equal(d->n_renames, 3);
	assert_string_equal(d->renames[1].from, "/c.rtvs-move");
	assert_string_equal(d->renames[1].to, "/c");
	assert_string_equal(d->qmp, "/q.rtvs-move");
	destination_destroy(d);
}

static void
a_second_move_has_the_other_suffix_and_a_third_the_first(void **state)
{
	struct destination *d = create("qemu -M q35 -qmp unix:/q.rtvs-move,server=on", PLAN_IGNORE_SHARED, "/q");

	(void)state;
	assert_string_equal(d->words[4], "unix:/q.rtvs-move2,server=on");
	assert_string_equal(d->renames[0].to, "/q");
	assert_string_equal(d->qmp, "/q.rtvs-move2");
	destination_destroy(d);
	becomes("qemu -M q35 -qmp unix:/q.rtvs-move2,server=on", PLAN_IGNORE_SHARED,
		"/new -M pc-q35-10.0 -qmp unix:/q.rtvs-move,server=on -incoming defer");
}

static void
consoles_in_files_are_not_emptied(void **state)
{
	(void)state;
	becomes("qemu -M q35 -serial null -serial file:/a,b -chardev file,id=f,path=/f", PLAN_IGNORE_SHARED,
		"/new -M pc-q35-10.0 -serial null -chardev file,append=on,path=/a,,b,id=serial1 -serial "
		"chardev:serial1 "
		"-chardev file,id=f,path=/f,append=on -incoming defer");
}

#define MEMORY "memory-backend-file,id=m,share=on,mem-path=/m"

static void
memory_is_the_same_file_unless_it_is_copied(void **state)
{
	(void)state;
	becomes("qemu -M q35 -object " MEMORY ",prealloc=on", PLAN_IGNORE_SHARED,
		"/new -M pc-q35-10.0 -object " MEMORY " -incoming defer");
	becomes("qemu -M q35 -object " MEMORY, PLAN_PLAIN,
		"/new -M pc-q35-10.0 -object " MEMORY ".rtvs-move -incoming defer");
	becomes("qemu -M q35 -object " MEMORY ".rtvs-move", PLAN_IGNORE_SHARED,
		"/new -M pc-q35-10.0 -object " MEMORY " -incoming defer");
	becomes("qemu -M q35 -object " MEMORY ".rtvs-move", PLAN_PLAIN,
		"/new -M pc-q35-10.0 -object " MEMORY ".rtvs-move2 -incoming defer");
	becomes("qemu -M q35 -object memory-backend-memfd,id=m,prealloc=on -object iothread,id=i", PLAN_PLAIN,
		"/new -M pc-q35-10.0 -object memory-backend-memfd,id=m -object iothread,id=i -incoming defer");
}

static void
true_paths_have_no_suffix(void **state)
{
	static const char *const pairs[][2] = {{"/a", "/a"}, {"/a.rtvs-move", "/a"}, {"/a.rtvs-move2", "/a"},
		{".rtvs-move", ".rtvs-move"}, {"/a.rtvs-move3", "/a.rtvs-move3"}};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		char *path = destination_true_path(pairs[i][0]);

		assert_string_equal(path, pairs[i][1]);
		free(path);
	}
}

static void
as_many_renames_as_the_limit_and_no_more(void **state)
{
	struct destination_options options = {.program = "/new", .machine = "m", .way = PLAN_PLAIN};
	char words[8192] = "qemu -M q35";
	struct destination *d = NULL;
	struct cmdline *c;

	(void)state;
	for (unsigned i = 0; i <= DESTINATION_MAX_RENAMES; i++) {
		c = words_parse(words);
		assert_int_equal(destination_create(c, &options, &d), 0);
		assert_int_equal(d->n_renames, i);
		destination_destroy(d);
		cmdline_destroy(c);
		(void)snprintf(words + strlen(words), sizeof(words) - strlen(words), " -monitor unix:/%u,server=on", i);
	}
	c = words_parse(words);
	assert_int_equal(destination_create(c, &options, &d), -E2BIG);
	cmdline_destroy(c);
	destination_destroy(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_file_or_socket_stays),
		cmocka_unit_test(what_belongs_to_a_start_is_left_out),
		cmocka_unit_test(listening_sockets_get_a_suffix_and_clients_do_not),
		cmocka_unit_test(a_second_move_has_the_other_suffix_and_a_third_the_first),
		cmocka_unit_test(consoles_in_files_are_not_emptied),
		cmocka_unit_test(memory_is_the_same_file_unless_it_is_copied),
		cmocka_unit_test(true_paths_have_no_suffix),
		cmocka_unit_test(as_many_renames_as_the_limit_and_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
