// The watchdog's sign of life, heard on a socket of our own in systemd's place.
#include "ctl_fixture.h"
#include "notify.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int listener;

static bool
is_heard(const char *what)
{
	char text[512];
	ssize_t n = recv(listener, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[n > 0 ? n : 0] = '\0';
	return n > 0 && strstr(text, what);
}

static void
open_listener(const struct fixture *f)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/notify", f->dir);
	listener = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	(void)setenv("NOTIFY_SOCKET", addr.sun_path, 1);
}

static void
life_needs_every_worker(void **state)
{
	struct fixture *f = *state;
	struct notify n;
	char pid[16];
	uint64_t now_ns = 1;

	open_listener(f);
	(void)snprintf(pid, sizeof(pid), "%d", getpid());
	(void)setenv("WATCHDOG_PID", pid, 1);
	(void)setenv("WATCHDOG_USEC", "10000000", 1);
	notify_init(&n);
	assert_int_equal(n.interval_ns, 5000000000);
	fake_dp_worker(0)->turns = 1;
	fake_dp_worker(1)->sleeps = 1;
	notify_tick(&n, f->ctl->plane.dp, now_ns += 5000000000);
	assert_true(is_heard("WATCHDOG=1"));
	notify_tick(&n, f->ctl->plane.dp, now_ns += 1000000); // too early to tell
	assert_false(is_heard("WATCHDOG=1"));
	fake_dp_worker(0)->turns++;
	notify_tick(&n, f->ctl->plane.dp, now_ns += 5000000000);
	assert_false(is_heard("WATCHDOG=1")); // worker 1 is stuck
	fake_dp_worker(0)->turns++;
	fake_dp_worker(1)->sleeps++;
	notify_tick(&n, f->ctl->plane.dp, now_ns += 5000000000);
	assert_true(is_heard("WATCHDOG=1"));
	close(listener);
}

static void
ready_and_stopping_are_told(void **state)
{
	struct fixture *f = *state;

	open_listener(f);
	fixture_ok(f, "system.stop", NULL);
	assert_int_equal(ctl_run(f->ctl), 0);
	assert_true(is_heard("READY=1"));
	assert_true(is_heard("STOPPING=1"));
	close(listener);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(life_needs_every_worker, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(ready_and_stopping_are_told, fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
