// The kept configuration: what a daemon that died, or was restarted, leaves to the next one. To
// destroy a control plane that has not run to its end is what kill -9 does.
#include "config.h"
#include "ctl_fixture.h"
#include "running.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char running_path[RTVS_PATH_SIZE + 16], unused_path[RTVS_PATH_SIZE + 32];

static int
setup(void **state)
{
	struct fixture *f;
	int rc = fixture_setup_stopped(state);

	f = *state;
	(void)snprintf(running_path, sizeof(running_path), "%s.running", f->socket);
	(void)snprintf(unused_path, sizeof(unused_path), "%s.unused", running_path);
	return rc;
}

static void
begin(struct fixture *f)
{
	char err[DP_ERR_SIZE];

	if (ctl_create(&f->params, &f->ctl, err))
		fail_msg("%s", err);
}

static void
die(struct fixture *f)
{
	ctl_destroy(f->ctl);
	f->ctl = NULL;
}

static void
stop(struct fixture *f)
{
	running_end(&f->ctl->running, false);
	die(f);
}

static char *
dump(struct fixture *f)
{
	struct rpc_error err;
	json_t *calls = fixture_call(f, "config.dump", NULL, &err);
	char *text = json_dumps(calls, JSON_INDENT(1));

	json_decref(calls);
	return text;
}

static void
crash_and_compare(struct fixture *f)
{
	char *before = dump(f), *after;

	die(f);
	begin(f);
	after = dump(f);
	assert_string_equal(before, after);
	free(before);
	free(after);
}

static json_t *
info(struct fixture *f, const char *key)
{
	struct rpc_error err;
	json_t *all = fixture_call(f, "system.info", NULL, &err);
	json_t *value = json_incref(json_object_get(json_object_get(all, "running"), key));

	assert_non_null(value);
	json_decref(all);
	return value;
}

static void
expect_source(struct fixture *f, const char *source)
{
	json_t *value = info(f, "source");

	assert_string_equal(json_string_value(value), source);
	json_decref(value);
}

static void
expect_kept(struct fixture *f, bool is_kept, const char *error)
{
	json_t *kept = info(f, "kept"), *text = info(f, "error");

	assert_int_equal(json_is_true(kept), is_kept);
	if (error && (!json_is_string(text) || !strstr(json_string_value(text), error)))
		fail_msg("%s", json_is_string(text) ? json_string_value(text) : "no error");
	assert_int_equal(json_is_null(text), !error);
	json_decref(kept);
	json_decref(text);
}

static bool
has(struct fixture *f, const char *port)
{
	return model_port_find(f->ctl->plane.live, port) != NULL;
}

static off_t
size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) ? -1 : st.st_size;
}

static void
each_change_outlives_a_crash(void **state)
{
	static const char *const changes[][2] = {{"bridge.add", "{\"name\": \"br0\"}"},
		{"bridge.set", "{\"name\": \"br0\", \"mac_age\": \"1min\"}"},
		{"port.add", "{\"name\": \"p\", \"bridge\": \"br0\", \"vlan\": 5, \"deadline\": \"2ms\"}"},
		{"port.set", "{\"name\": \"p\", \"vlan\": 0, \"domain\": \"web1\"}"},
		{"port.add",
			"{\"name\": \"up\", \"type\": \"ethdev\", \"devargs\": \"t0\", \"mtu\": 1700, \"address\": "
			"\"192.0.2.1/24\"}"},
		{"port.add",
			"{\"name\": \"a-tunnel\", \"type\": \"geneve\", \"uplink\": \"up\", \"remote\": "
			"\"192.0.2.2\", \"bridge\": \"br0\"}"},
		{"mac.add", "{\"bridge\": \"br0\", \"mac\": \"52:54:00:00:00:01\", \"port\": \"p\"}"},
		{"port.set", "{\"name\": \"p\", \"bridge\": \"\"}"}, {"system.set", "{\"idle_after\": \"7ms\"}"},
		{"pool.add", "{\"name\": \"fast\", \"devices\": \"0000:03:00.2\"}"},
		{"log.set", "{\"level\": \"error\"}"}, {"system.set", "{\"dscp_classes\": \"1ms:cs6\"}"},
		{"port.del", "{\"name\": \"a-tunnel\"}"}, {"pool.del", "{\"name\": \"fast\"}"}};
	struct fixture *f = *state;

	for (unsigned each = 0; each < 2; each++) {
		begin(f);
		expect_source(f, "empty");
		for (unsigned i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
			fixture_ok(f, changes[i][0], changes[i][1]);
			expect_kept(f, true, NULL);
			if (!each && i + 3 < sizeof(changes) / sizeof(changes[0]))
				continue; // as lines of one file
			crash_and_compare(f);
			crash_and_compare(f);
			expect_source(f, "kept");
		}
		running_end(&f->ctl->running, true);
		die(f);
	}
}

static void
config_apply_is_kept_as_a_whole(void **state)
{
	struct fixture *f = *state;

	begin(f);
	fixture_ok(f, "bridge.add", "{\"name\": \"br0\"}");
	fixture_ok(f, "config.apply",
		"{\"calls\": [{\"method\": \"bridge.add\", \"params\": {\"name\": \"br1\"}}, {\"method\": "
		"\"port.add\", "
		"\"params\": {\"name\": \"p\", \"bridge\": \"br1\"}}]}");
	crash_and_compare(f);
	assert_null(model_bridge_find(f->ctl->plane.live, "br0"));
	// One that fails in its middle, and is undone.
	(void)fake_dp_fail(3, -EIO);
	fixture_refused(f, "config.apply",
		"{\"calls\": [{\"method\": \"bridge.add\", \"params\": {\"name\": \"br2\"}}, {\"method\": "
		"\"port.add\", "
		"\"params\": {\"name\": \"q\", \"bridge\": \"br2\"}}]}",
		RPC_STATE_ERROR, "");
	crash_and_compare(f);
	assert_true(has(f, "p"));
	assert_false(has(f, "q"));
}

// Calls that change nothing, and those that are refused, leave the file as it is.
static void
only_changes_are_written(void **state)
{
	struct fixture *f = *state;
	off_t size;

	begin(f);
	fixture_ok(f, "bridge.add", "{\"name\": \"br0\"}");
	fixture_ok(f, "port.add", "{\"name\": \"p\", \"bridge\": \"br0\"}");
	size = size_of(running_path);
	fixture_ok(f, "port.set", "{\"name\": \"p\", \"bridge\": \"br0\"}");
	fixture_refused(f, "port.add", "{\"name\": \"p\"}", RPC_STATE_ERROR, "exists");
	fixture_ok(f, "port.list", NULL);
	assert_int_equal(size_of(running_path), size);
	fixture_ok(f, "port.set", "{\"name\": \"p\", \"vlan\": 7}");
	assert_true(size_of(running_path) > size);
}

static void
many_changes_make_no_long_file(void **state)
{
	struct fixture *f = *state;
	char params[64];
	off_t max = 0;

	begin(f);
	fixture_ok(f, "bridge.add", "{\"name\": \"br0\"}");
	fixture_ok(f, "port.add", "{\"name\": \"p\", \"bridge\": \"br0\"}");
	for (unsigned i = 0; i < 6000; i++) {
		(void)snprintf(params, sizeof(params), "{\"name\": \"p\", \"vlan\": %u}", i % 4000);
		fixture_ok(f, "port.set", params);
		max = size_of(running_path) > max ? size_of(running_path) : max;
	}
	assert_true(max > (off_t)RUNNING_SPARE_BYTES / 2);
	assert_true(max < (off_t)RUNNING_SPARE_BYTES + 4096);
	crash_and_compare(f);
	assert_int_equal(model_port_find(f->ctl->plane.live, "p")->cfg.vlan, 5999 % 4000);
}

static void
largest_configuration_is_kept(void **state)
{
	struct fixture *f = *state;
	char params[128];

	begin(f);
	fixture_ok(f, "bridge.add", "{\"name\": \"br0\"}");
	for (unsigned i = 0; i < DP_MAX_PORTS; i++) {
		(void)snprintf(params, sizeof(params), "{\"name\": \"port-%u\", \"bridge\": \"br0\", \"vlan\": %u}", i,
			i % 4000);
		fixture_ok(f, "port.add", params);
	}
	expect_kept(f, true, NULL);
	crash_and_compare(f);
	assert_int_equal(f->ctl->plane.live->n_ports, DP_MAX_PORTS);
}

// A port whose device is gone, a tunnel through it, a bridge that stays.
static void
what_is_refused_is_set_aside_and_the_rest_runs(void **state)
{
	struct fixture *f = *state;
	char err[DP_ERR_SIZE];
	json_t *refused, *calls;
	int rc;

	begin(f);
	fixture_ok(f, "bridge.add", "{\"name\": \"br0\"}");
	fixture_ok(f, "port.add",
		"{\"name\": \"up\", \"type\": \"ethdev\", \"devargs\": \"t0\", \"mtu\": 1700, \"address\": "
		"\"192.0.2.1/24\"}");
	fixture_ok(f, "port.add",
		"{\"name\": \"host2\", \"type\": \"geneve\", \"uplink\": \"up\", \"remote\": \"192.0.2.2\", "
		"\"bridge\": \"br0\"}");
	fixture_ok(f, "port.add", "{\"name\": \"vm\", \"bridge\": \"br0\"}");
	die(f);
	fake_dp_lose("t0");
	begin(f);
	fake_dp_lose(NULL);
	assert_false(has(f, "up"));
	assert_false(has(f, "host2"));
	assert_true(has(f, "vm"));
	refused = info(f, "refused");
	assert_int_equal(json_integer_value(refused), 2);
	json_decref(refused);
	calls = config_load(unused_path, &rc, err);
	assert_int_equal(json_array_size(calls), 2);
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(json_array_get(calls, 0), "params"), "name")), "up");
	json_decref(calls);
	expect_kept(f, true, NULL);
	crash_and_compare(f);
}

static void
refused_calls_are_applied_later(void **state)
{
	struct fixture *f = *state;
	char err[DP_ERR_SIZE], *params;
	json_t *calls;
	int rc;

	begin(f);
	fixture_ok(f, "port.add", "{\"name\": \"up\", \"type\": \"ethdev\", \"devargs\": \"t0\"}");
	die(f);
	fake_dp_lose("t0");
	begin(f);
	fake_dp_lose(NULL);
	assert_false(has(f, "up"));
	calls = json_pack("{s:o, s:b}", "calls", config_load(unused_path, &rc, err), "replace", 0);
	params = json_dumps(calls, 0);
	fixture_ok(f, "config.apply", params);
	assert_true(has(f, "up"));
	free(params);
	json_decref(calls);
}

static void
fresh_forgets(void **state)
{
	struct fixture *f = *state;

	begin(f);
	fixture_ok(f, "port.add", "{\"name\": \"vm\"}");
	die(f);
	f->params.is_fresh = true;
	begin(f);
	expect_source(f, "empty");
	assert_false(has(f, "vm"));
	f->params.is_fresh = false;
	crash_and_compare(f);
	assert_false(has(f, "vm"));
	assert_int_equal(size_of(unused_path), -1);
}

static const char saved_text[] = "[{\"method\": \"bridge.add\", \"params\": {\"name\": \"saved\"}}]";
static const char edited_text[] = "[{\"method\": \"bridge.add\", \"params\": {\"name\": \"edited\"}}]";

static void
a_stop_and_an_edited_file_mean_the_file(void **state)
{
	struct fixture *f = *state;

	fixture_write(f->config, saved_text);
	f->params.config = f->config;
	begin(f);
	expect_source(f, "saved");
	fixture_ok(f, "port.add", "{\"name\": \"vm\"}");
	stop(f);
	begin(f); // the file is as it was
	expect_source(f, "kept");
	assert_true(has(f, "vm"));
	fixture_write(f->config, edited_text);
	die(f);
	begin(f); // a crash applies no edit, not even at the second time
	assert_true(has(f, "vm"));
	die(f);
	begin(f);
	assert_true(has(f, "vm"));
	stop(f);
	begin(f);
	expect_source(f, "saved");
	assert_false(has(f, "vm"));
	assert_non_null(model_bridge_find(f->ctl->plane.live, "edited"));
	assert_true(size_of(unused_path) > 0);
}

static void
a_saved_configuration_is_no_edited_one(void **state)
{
	struct fixture *f = *state;
	char params[256];

	fixture_write(f->config, saved_text);
	f->params.config = f->config;
	begin(f);
	fixture_ok(f, "port.add", "{\"name\": \"vm\"}");
	fixture_ok(f, "config.save", NULL);
	fixture_ok(f, "port.add", "{\"name\": \"vm2\"}");
	(void)snprintf(params, sizeof(params), "{\"file\": \"%s/other.json\"}", f->dir);
	fixture_ok(f, "config.save", params);
	stop(f);
	begin(f);
	expect_source(f, "kept");
	assert_true(has(f, "vm2"));
}

static void
an_edit_that_was_applied_is_no_edit(void **state)
{
	struct fixture *f = *state;
	char params[256];

	fixture_write(f->config, saved_text);
	f->params.config = f->config;
	begin(f);
	fixture_write(f->config, edited_text);
	(void)snprintf(params, sizeof(params), "{\"calls\": %s}", edited_text);
	fixture_ok(f, "config.apply", params);
	fixture_ok(f, "port.add", "{\"name\": \"vm\"}");
	stop(f);
	begin(f);
	expect_source(f, "kept");
	assert_true(has(f, "vm"));
	assert_null(model_bridge_find(f->ctl->plane.live, "saved"));
	// One that was applied in part is one still.
	fixture_write(f->config, saved_text);
	(void)snprintf(params, sizeof(params), "{\"calls\": %s, \"replace\": false}", saved_text);
	fixture_ok(f, "config.apply", params);
	stop(f);
	begin(f);
	expect_source(f, "saved");
}

// The file matters only where it is needed: half an edit must not turn a crash into an end.
static void
a_broken_file_does_not_end_a_crashed_daemon(void **state)
{
	struct fixture *f = *state;
	char err[DP_ERR_SIZE];

	fixture_write(
		f->config, "[{\"method\": \"system.init\", \"params\": {\"idle\": \"adaptive\", \"buffers\": 2048}}]");
	f->params.config = f->config;
	begin(f);
	fixture_ok(f, "port.add", "{\"name\": \"vm\"}");
	fixture_write(f->config, "[");
	crash_and_compare(f);
	assert_int_equal(f->ctl->plane.live->system.n_mbufs, 2048);
	assert_int_equal(unlink(f->config), 0);
	crash_and_compare(f);
	stop(f);
	assert_int_equal(ctl_create(&f->params, &f->ctl, err), -ENOENT);
	fixture_write(f->config, "[");
	assert_int_equal(ctl_create(&f->params, &f->ctl, err), -EINVAL);
}

// Options of the command line are for the next start, whatever was kept.
static void
fixed_values_are_the_command_lines(void **state)
{
	struct fixture *f = *state;

	begin(f);
	fixture_ok(f, "system.set", "{\"idle_after\": \"7ms\"}");
	stop(f);
	f->params.system.n_mbufs = 4096;
	f->params.system.idle = DP_IDLE_ADAPTIVE;
	f->params.system.idle_ns = 300000;
	begin(f);
	assert_int_equal(f->ctl->plane.live->system.n_mbufs, 4096);
	assert_int_equal(f->ctl->plane.live->system.idle, DP_IDLE_ADAPTIVE);
	assert_int_equal(f->ctl->plane.live->system.idle_ns, 7000000);
}

static void
a_damaged_file_is_not_used(void **state)
{
	struct fixture *f = *state;
	int fd;

	fixture_write(f->config, saved_text);
	f->params.config = f->config;
	for (unsigned i = 0; i < 4; i++) {
		begin(f);
		fixture_ok(f, "port.add", "{\"name\": \"vm\"}");
		die(f);
		fd = open(running_path, O_WRONLY);
		if (i == 0)
			assert_int_equal(ftruncate(fd, 40), 0);
		else if (i == 1)
			assert_int_equal(ftruncate(fd, RUNNING_LOG_MAX_BYTES + 1), 0);
		else if (i == 2)
			assert_int_equal(pwrite(fd, "zz", 2, 30), 2);
		else
			assert_int_equal(ftruncate(fd, 0), 0);
		close(fd);
		begin(f);
		expect_source(f, "saved");
		assert_false(has(f, "vm"));
		expect_kept(f, true, NULL);
		die(f);
		assert_int_equal(unlink(running_path), 0);
	}
}

static void
half_a_line_is_no_change(void **state)
{
	struct fixture *f = *state;
	int fd;

	begin(f);
	fixture_ok(f, "port.add", "{\"name\": \"vm\"}");
	die(f);
	fd = open(running_path, O_WRONLY | O_APPEND);
	assert_int_equal(write(fd, "0123456789abcdef {\"meth", 23), 23);
	close(fd);
	begin(f);
	expect_source(f, "kept");
	assert_true(has(f, "vm"));
	crash_and_compare(f);
}

static void
a_file_of_others_is_left_alone(void **state)
{
	struct fixture *f = *state;
	char target[RTVS_PATH_SIZE + 16];
	struct stat st;

	(void)snprintf(target, sizeof(target), "%s/precious", f->dir);
	for (unsigned i = 0; i < 4; i++) {
		fixture_write(target, "precious");
		if (i == 0)
			assert_int_equal(symlink(target, running_path), 0);
		else if (i == 1)
			assert_int_equal(mkfifo(running_path, 0600), 0);
		else
			fixture_write(running_path, "precious");
		if (i == 2)
			assert_int_equal(chmod(running_path, 0644), 0);
		else if (i == 3)
			assert_int_equal(chmod(running_path, 0600), 0);
		if (i == 3 && (geteuid() || chown(running_path, 1, (gid_t)-1)))
			continue;
		begin(f);
		expect_source(f, "empty");
		expect_kept(f, false, "remove it");
		fixture_ok(f, "port.add", "{\"name\": \"vm\"}");
		die(f);
		assert_int_equal(lstat(running_path, &st), 0);
		assert_int_equal(S_ISLNK(st.st_mode), i == 0);
		assert_int_equal(size_of(target), 8);
		assert_int_equal(unlink(running_path), 0);
	}
}

// What daemons that die in their start leave.
static void
a_configuration_that_kills_is_given_up(void **state)
{
	struct fixture *f = *state;
	struct running_log log;
	struct running running;
	struct plane plane = {0};

	begin(f);
	fixture_ok(f, "port.add", "{\"name\": \"vm\"}");
	die(f);
	for (unsigned i = 0; i < RUNNING_LOG_MAX_STARTS + 1; i++) {
		running_init(&running, &plane, f->socket);
		assert_true(running_load(&running, NULL, false, &log));
		running_log_fini(&log);
		if (i == 0)
			running_fini(&running); // an error that was told is no death
		else
			close(running.fd);
	}
	begin(f);
	expect_source(f, "empty");
	assert_true(size_of(unused_path) > 0);
}

static void
a_daemon_that_lives_has_its_file(void **state)
{
	struct fixture *f = *state;
	struct running_log log;
	struct running running;
	struct plane plane = {0};

	begin(f);
	fixture_ok(f, "port.add", "{\"name\": \"vm\"}");
	running_init(&running, &plane, f->socket);
	assert_false(running_load(&running, NULL, true, &log));
	assert_int_equal(running.fd, -1);
	crash_and_compare(f);
	assert_true(has(f, "vm"));
}

// A write fails: the change is made, the file is gone, the state is told; later it is there again.
static void
a_full_disk_refuses_no_change(void **state)
{
	struct fixture *f = *state;
	struct rlimit unlimited, full;
	json_t *failures;

	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
	begin(f);
	full = (struct rlimit){(rlim_t)size_of(running_path) + 20, unlimited.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
	fixture_ok(f, "port.add", "{\"name\": \"vm\"}");
	expect_kept(f, false, "File too large");
	assert_int_equal(size_of(running_path), -1);
	fixture_ok(f, "port.add", "{\"name\": \"vm2\"}");
	for (unsigned i = 0; i < 10; i++)
		running_tick(&f->ctl->running);
	expect_kept(f, false, "File too large");
	failures = info(f, "failures");
	assert_in_range(json_integer_value(failures), 3, 6); // ever more seldom
	json_decref(failures);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
	for (unsigned i = 0; i < RUNNING_MAX_WAIT_TICKS; i++)
		running_tick(&f->ctl->running);
	expect_kept(f, true, NULL);
	crash_and_compare(f);
	assert_true(has(f, "vm") && has(f, "vm2"));
}

static void
a_file_that_was_removed_is_written_again(void **state)
{
	struct fixture *f = *state;

	begin(f);
	fixture_ok(f, "port.add", "{\"name\": \"vm\"}");
	assert_int_equal(unlink(running_path), 0);
	running_tick(&f->ctl->running);
	crash_and_compare(f);
	assert_true(has(f, "vm"));
}

static void
a_file_of_others_that_comes_later_is_left_alone(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	begin(f);
	fixture_ok(f, "port.add", "{\"name\": \"vm\"}");
	assert_int_equal(unlink(running_path), 0);
	assert_int_equal(symlink("/nowhere", running_path), 0);
	running_tick(&f->ctl->running);
	expect_kept(f, false, "remove it");
	assert_int_equal(lstat(running_path, &st), 0);
	assert_int_equal(unlink(running_path), 0);
	running_tick(&f->ctl->running);
	expect_kept(f, true, NULL);
	crash_and_compare(f);
}

// A stop that finds the file as long as it may be is a stop all the same.
static void
a_stop_is_told_in_the_longest_file(void **state)
{
	struct fixture *f = *state;

	fixture_write(f->config, saved_text);
	f->params.config = f->config;
	begin(f);
	fixture_ok(f, "port.add", "{\"name\": \"vm\"}");
	f->ctl->running.max_bytes = f->ctl->running.n_bytes;
	stop(f);
	fixture_write(f->config, edited_text);
	begin(f);
	expect_source(f, "saved");
}

static void
a_stop_by_hand_forgets(void **state)
{
	struct fixture *f = *state;

	begin(f);
	fixture_ok(f, "port.add", "{\"name\": \"vm\"}");
	running_end(&f->ctl->running, true);
	assert_int_equal(size_of(running_path), -1);
	die(f);
	begin(f);
	expect_source(f, "empty");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, fixture_teardown)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(each_change_outlives_a_crash),
		T(config_apply_is_kept_as_a_whole),
		T(only_changes_are_written),
		T(many_changes_make_no_long_file),
		T(largest_configuration_is_kept),
		T(what_is_refused_is_set_aside_and_the_rest_runs),
		T(refused_calls_are_applied_later),
		T(fresh_forgets),
		T(a_stop_and_an_edited_file_mean_the_file),
		T(a_saved_configuration_is_no_edited_one),
		T(an_edit_that_was_applied_is_no_edit),
		T(a_broken_file_does_not_end_a_crashed_daemon),
		T(fixed_values_are_the_command_lines),
		T(a_damaged_file_is_not_used),
		T(half_a_line_is_no_change),
		T(a_file_of_others_is_left_alone),
		T(a_configuration_that_kills_is_given_up),
		T(a_daemon_that_lives_has_its_file),
		T(a_full_disk_refuses_no_change),
		T(a_file_that_was_removed_is_written_again),
		T(a_file_of_others_that_comes_later_is_left_alone),
		T(a_stop_is_told_in_the_longest_file),
		T(a_stop_by_hand_forgets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
