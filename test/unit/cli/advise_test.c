// The command: the choice of the guest, the daemon's part, and the output.
#include "../unit.h"
#include "advise.h"
#include "fake_client.h"
#include "proc_tree.h"

#include <jansson.h>
#include <string.h>

static struct client *const daemon_there = (struct client *)1; // the fake does not look at it

static uint64_t
wait_window(void *ctx)
{
	(void)ctx;
	return 1000000000;
}

static void
coalesce(void *ctx, struct machine_device *d)
{
	(void)ctx;
	d->rx_usecs = strcmp(d->name, "eth1") ? 0 : 30;
}

static const struct machine_source source = {.root = proc_tree_root, .wait = wait_window, .coalesce = coalesce};

static int
make_tree(void **state)
{
	(void)state;
	proc_tree_begin();
	proc_tree_put_host();
	proc_tree_put_qemu(10, "qemu-system-x86_64|-name|guest=g1,debug-threads=on|");
	proc_tree_put_thread(10, 10, "qemu-system-x86", "0");
	proc_tree_put_thread(10, 12, "CPU 0/TCG", "0-1");
	return 0;
}

static int
end_tree(void **state)
{
	(void)state;
	proc_tree_end();
	return 0;
}

static void
expect_refused(const char *guest, const char *expected)
{
	char problem[ADVISE_PROBLEM_SIZE] = "";
	int pid = 77;

	assert_int_not_equal(advise_find(proc_tree_root, guest, problem, &pid), 0);
	assert_int_equal(pid, 77);
	assert_string_equal(problem, expected);
}

static void
guests_are_found(void **state)
{
	char problem[ADVISE_PROBLEM_SIZE];
	int pid = 0;

	(void)state;
	assert_int_equal(advise_find(proc_tree_root, "g1", problem, &pid), 0);
	assert_int_equal(pid, 10);
	pid = 0;
	assert_int_equal(advise_find(proc_tree_root, "10", problem, &pid), 0);
	assert_int_equal(pid, 10);
	// A name of digits is a name first.
	proc_tree_put_qemu(20, "/usr/libexec/qemu-kvm|-name|10|");
	assert_int_equal(advise_find(proc_tree_root, "10", problem, &pid), 0);
	assert_int_equal(pid, 20);
}

static void
others_are_refused(void **state)
{
	(void)state;
	proc_tree_put("/proc/30/cmdline", "bash");
	proc_tree_put_qemu(31, "qemu-system-x86_64|-S|");
	expect_refused("g2", "there is no guest 'g2'; there are: g1 (pid 10), one without a name (pid 31)");
	expect_refused("30", "process 30 is not QEMU; there are: g1 (pid 10), one without a name (pid 31)");
	expect_refused("40", "there is no process 40; there are: g1 (pid 10), one without a name (pid 31)");
	expect_refused("0", "there is no guest '0'; there are: g1 (pid 10), one without a name (pid 31)");
	expect_refused("99999999999999999999",
		"there is no guest '99999999999999999999'; there are: g1 (pid 10), one without a name (pid 31)");
	proc_tree_put_qemu(32, "qemu-system-x86_64|-name|g1|");
	expect_refused("g1",
		"2 guests are called 'g1': give a pid; there are: g1 (pid 10), one without a name (pid 31), g1 (pid "
		"32)");
	proc_tree_remove("/proc/10");
	proc_tree_remove("/proc/31");
	proc_tree_remove("/proc/32");
	expect_refused("g1", "there is no guest 'g1'; no QEMU process is to be seen");
}

// Of a list that was printed as JSON, NULL: none.
static json_t *
find(const json_t *list, const char *id)
{
	json_t *f;
	size_t i;

	json_array_foreach ((json_t *)(uintptr_t)list, i, f) {
		if (!strcmp(json_string_value(json_object_get(f, "id")), id))
			return f;
	}
	return NULL;
}

static const char *
text_of(const json_t *list, const char *id, const char *key)
{
	const char *text = json_string_value(json_object_get(find(list, id), key));

	return text ? text : "";
}

static void
daemon_adds_workers_and_interfaces(void **state)
{
	static const struct fake_answer answers[] = {
		{"worker.list", "[{\"worker\": 0, \"cpu\": 1, \"priority\": \"normal\"}, {\"worker\": 1, \"cpu\": -1}]",
			NULL},
		{"port.list",
			"[{\"name\": \"up\", \"devargs\": \"net_af_xdp0,iface=eth1,start_queue=0\"}, {\"name\": "
			"\"vm1\"},"
			" {\"name\": \"t\", \"devargs\": \"net_tap0,iface=tap0\"}, {\"name\": \"p\", \"devargs\": "
			"\"0000:01:00.0,iface=eth9\"},"
			" {\"name\": \"q\", \"devargs\": \"net_af_packet0,iface=\"}]",
			NULL},
		{0}};
	json_t *list;

	(void)state;
	fake_client_answers = answers;
	fake_client_begin(0);
	assert_int_equal(advise_report(&source, daemon_there, "/x.sock", "g1", true), CLI_OK);
	list = json_loads(fake_client_end(), 0, NULL);
	assert_non_null(list);
	assert_string_equal(text_of(list, "vcpu.worker", "severity"), "problem");
	assert_string_equal(text_of(list, "worker.priority", "severity"), "problem");
	assert_string_equal(text_of(list, "nic.coalesce", "finding"), "eth1 of port up: rx-usecs 30, adaptive-rx off");
	assert_true(json_is_null(json_object_get(find(list, "nic.coalesce"), "libvirt")));
	assert_null(find(list, "workers"));
	json_decref(list);
}

static void
without_daemon_it_says_so(void **state)
{
	static const struct fake_answer refuses[] = {{"worker.list", NULL, NULL}, {0}};
	const char *text;

	(void)state;
	fake_client_begin(0);
	assert_int_equal(advise_report(&source, NULL, "/x.sock", "10", false), CLI_OK);
	text = fake_client_end();
	assert_non_null(strstr(text, "g1 (pid 10); other guests: 0, workers of rtvswitchd: 0\n\nproblem  accel "));
	assert_non_null(strstr(text, "vcpu.pin       vCPU 0 may run on CPUs 0-1\n"));
	assert_non_null(strstr(text, "taskset -pc 1 12\n"));
	assert_non_null(strstr(text, "unknown  workers        rtvswitchd does not answer at /x.sock\n"));
	assert_non_null(strstr(text, "\n\n2 problems, "));
	fake_client_answers = refuses;
	fake_client_begin(0);
	assert_int_equal(advise_report(&source, daemon_there, "/x.sock", "g1", false), CLI_OK);
	assert_non_null(strstr(fake_client_end(), "does not answer"));
}

// Each file that is missing is named; nothing is made of what is not known.
static void
machine_without_files_is_unknown(void **state)
{
	static const struct {
		const char *id, *path;
	} expected[] = {{"accel", "/proc/10/fd"}, {"cpu.steal", "/proc/stat"}, {"mem.swap", "/proc/10/status"},
		{"mem.huge", "/proc/10/status"}, {"mem.compact", "/sys/kernel/mm/transparent_hugepage/enabled"},
		{"vcpu.wait", "/proc/10/task/12/schedstat"}, {"vcpu.policy", "/proc/10/task/12/stat"},
		{"cgroup.quota", "/proc/10/cgroup"},
		{"clock", "/sys/devices/system/clocksource/clocksource0/current_clocksource"}};
	json_t *list;

	(void)state;
	proc_tree_put_thread(10, 12, "CPU 0", "0-1"); // no accelerator
	proc_tree_put("/proc/10/task/12/comm", "CPU 0/\n");
	proc_tree_remove("/sys");
	proc_tree_remove("/proc/stat");
	proc_tree_remove("/proc/10/status");
	proc_tree_remove("/proc/10/fd");
	proc_tree_remove("/proc/10/task/12/schedstat");
	proc_tree_remove("/proc/10/task/12/stat");
	proc_tree_remove("/proc/10/task/12/cgroup");
	fake_client_begin(0);
	assert_int_equal(advise_report(&source, NULL, "/x.sock", "g1", true), CLI_OK);
	list = json_loads(fake_client_end(), 0, NULL);
	assert_non_null(list);
	for (unsigned i = 0; i < sizeof(expected) / sizeof(*expected); i++) {
		assert_string_equal(text_of(list, expected[i].id, "severity"), "unknown");
		if (strncmp(text_of(list, expected[i].id, "finding"), expected[i].path, strlen(expected[i].path)))
			fail_msg("%s: %s", expected[i].id, text_of(list, expected[i].id, "finding"));
	}
	assert_string_equal(text_of(list, "vcpu.pin", "finding"),
		"vCPU 0 may run on CPUs 0-1; no CPUs are proposed: /sys/devices/system/cpu/online: No such file or "
		"directory");
	assert_true(json_is_null(json_object_get(find(list, "vcpu.pin"), "shell")));
	json_decref(list);
}

static void
refusal_prints_nothing(void **state)
{
	(void)state;
	fake_client_begin(0);
	assert_int_equal(advise_report(&source, NULL, "/x.sock", "g2", true), CLI_REFUSED);
	assert_string_equal(fake_client_end(), "");
	proc_tree_remove("/proc/10/task");
	fake_client_begin(0);
	assert_int_equal(advise_report(&source, NULL, "/x.sock", "g1", true), CLI_REFUSED);
	assert_string_equal(fake_client_end(), "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_tree, end_tree)

int
main(void)
{
	const struct CMUnitTest tests[] = {TEST(guests_are_found), TEST(others_are_refused),
		TEST(daemon_adds_workers_and_interfaces), TEST(without_daemon_it_says_so),
		TEST(machine_without_files_is_unknown), TEST(refusal_prints_nothing)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
