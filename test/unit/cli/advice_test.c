// Decisions from facts alone: a good machine has no finding, and each fault makes its own finding,
// with its setting.
#include "../unit.h"
#include "advice.h"

#include <errno.h>
#include <string.h>

static struct machine_facts *m;
static struct advice *a;

// Eight CPUs, 2 to 7 isolated; two vCPUs on 4 and 5, a worker on 2; nothing is wrong.
static int
make_good_machine(void **state)
{
	static const char *const comms[] = {"CPU 0/KVM", "CPU 1/KVM", "IO iothread1", "qemu-system-x86"};
	static const char *const cpus[] = {"4", "5", "0-1", "0-1"};
	static const enum machine_thread_kind kinds[] = {
		MACHINE_VCPU, MACHINE_VCPU, MACHINE_IOTHREAD, MACHINE_EMULATOR};

	(void)state;
	m = calloc(1, sizeof(*m));
	a = calloc(1, sizeof(*a));
	m->pid = 100;
	memcpy(m->name, "g1", 3);
	m->options.cpu_pm = true;
	for (unsigned i = 0; i < 4; i++) {
		m->threads[i] = (struct machine_thread){
			.tid = 101 + (int)i, .kind = kinds[i], .vcpu = i < 2 ? (int)i : -1, .nice = 20};
		memcpy(m->threads[i].comm, comms[i], strlen(comms[i]));
		assert_int_equal(cpus_parse(cpus[i], &m->threads[i].allowed), 0);
	}
	m->n_threads = 4;
	m->has_kvm_fd = 1;
	m->rss_kib = 50000;
	m->hugetlb_kib = 1 << 20;
	m->numa_rc = -ENODATA;
	assert_int_equal(cpus_parse("0-7", &m->online), 0);
	assert_int_equal(cpus_parse("2-7", &m->isolated), 0);
	m->nohz_full = m->rcu_nocbs = m->isolated;
	for (unsigned cpu = 0; cpu < 8; cpu++) {
		cpus_add(&m->cpu[cpu].siblings, cpu);
		m->cpu[cpu].n_idle = 1;
		memcpy(m->cpu[cpu].idle[0].name, "C1", 3);
		m->cpu[cpu].idle[0].latency_us = 1;
		memcpy(m->cpu[cpu].governor, "performance", 12);
	}
	m->halt_poll_ns = 200000;
	m->dma_latency_us = -EACCES;
	memcpy(m->thp_enabled, "madvise", 8);
	memcpy(m->thp_defrag, "madvise", 8);
	memcpy(m->clocksource, "tsc", 4);
	m->window_ns = 1000000000;
	m->all_ticks = 800;
	m->is_daemon_known = true;
	m->workers[0].cpu = 2;
	m->n_workers = 1;
	return 0;
}

static int
end_machine(void **state)
{
	(void)state;
	free(m);
	free(a);
	return 0;
}

static const struct advice_finding *
find(const char *id)
{
	advice_make(m, a);
	for (unsigned i = 0; i < a->n; i++)
		if (!strcmp(a->findings[i].id, id))
			return &a->findings[i];
	return NULL;
}

// The finding exists with this severity, and its sentence, XML and commands contain these texts
// (NULL: there is none).
static void
expect(const char *id, enum advice_severity severity, const char *text, const char *libvirt, const char *shell)
{
	const struct advice_finding *f = find(id);

	if (!f)
		fail_msg("no finding %s", id);
	if (f->severity != severity || !strstr(f->text, text) ||
		(libvirt ? !strstr(f->libvirt, libvirt) : !!f->libvirt[0]) ||
		(shell ? !strstr(f->shell, shell) : !!f->shell[0]))
		fail_msg("%s: %s: %s | %s | %s", id, advice_severity_name(f->severity), f->text, f->libvirt, f->shell);
}

static void
good_machine_is_left_alone(void **state)
{
	(void)state;
	advice_make(m, a);
	for (unsigned i = 0; i < a->n; i++)
		if (a->findings[i].severity != ADVICE_OK)
			fail_msg("%s: %s", a->findings[i].id, a->findings[i].text);
	assert_true(a->n > 10);
}

static void
worst_comes_first(void **state)
{
	(void)state;
	m->halt_poll_ns = 0;
	m->options.cpu_pm = false;
	m->clocksource_rc = -ENOENT;
	m->swap_kib = 5;
	memcpy(m->clocksource, "hpet", 5);
	advice_make(m, a);
	assert_int_equal(advice_count(a, ADVICE_PROBLEM), 2);
	assert_string_equal(a->findings[0].id, "halt.poll");
	assert_string_equal(a->findings[1].id, "mem.swap");
	for (unsigned i = 1; i < a->n; i++)
		assert_true(a->findings[i - 1].severity <= a->findings[i].severity);
}

static void
tcg_is_told_by_each_sign(void **state)
{
	(void)state;
	memcpy(m->threads[0].comm, "CPU 0/TCG", 10);
	expect("accel", ADVICE_PROBLEM, "TCG", "<domain type='kvm'>", "-accel kvm");
	assert_null(find("halt.poll"));
	m->n_threads = 0;
	m->has_kvm_fd = 0;
	expect("accel", ADVICE_PROBLEM, "TCG", "<domain type='kvm'>", "-accel kvm");
	m->has_kvm_fd = -EACCES;
	expect("accel", ADVICE_UNKNOWN, "/proc/100/fd: Permission denied", NULL, NULL);
	m->options.asks_kvm = true;
	expect("accel", ADVICE_OK, "KVM", NULL, NULL);
	expect("vcpu.names", ADVICE_UNKNOWN, "/proc/100/task", NULL, "debug-threads=on");
}

static void
vcpus_without_own_cpus_get_pins(void **state)
{
	(void)state;
	m->threads[1].allowed = m->online;
	// CPU 4 stays vCPU 0's; of the isolated ones 3 is the first that neither it nor the worker
	// has.
	expect("vcpu.pin", ADVICE_PROBLEM, "vCPU 1 may run on CPUs 0-7",
		"<cputune><vcpupin vcpu='0' cpuset='4'/><vcpupin vcpu='1' cpuset='3'/><emulatorpin "
		"cpuset='0-1'/></cputune>",
		"taskset -pc 4 101; taskset -pc 3 102");
	expect("vcpu.worker", ADVICE_PROBLEM, "vCPU 1 may run on CPU 2, which is worker 0's", "<vcpupin", "taskset");
	m->threads[1].allowed = m->threads[0].allowed;
	expect("vcpu.pin", ADVICE_PROBLEM, "vCPU 1 shares CPU 4 with vCPU 0", "<vcpupin vcpu='1' cpuset='3'/>",
		"taskset -pc 3 102");
}

static void
too_few_cpus_are_told(void **state)
{
	(void)state;
	assert_int_equal(cpus_parse("0-2", &m->online), 0);
	memset(&m->isolated, 0, sizeof(m->isolated));
	m->threads[0].allowed = m->threads[1].allowed = m->online;
	expect("vcpu.pin", ADVICE_PROBLEM, "are more than the 3 that are online", "<vcpu>1</vcpu>",
		"taskset -pc 1 101");
	assert_null(strstr(find("vcpu.pin")->shell, "102"));
}

static void
workers_without_priority(void **state)
{
	(void)state;
	memcpy(m->workers[0].priority, "fifo", 5);
	m->workers[1].cpu = 6;
	memcpy(m->workers[1].priority, "fifo", 5);
	m->n_workers = 2;
	expect("worker.priority", ADVICE_OK, "(2 looked at)", NULL, NULL);
	memcpy(m->workers[1].priority, "nice", 5); // isolated
	expect("worker.priority", ADVICE_OK, "(2 looked at)", NULL, NULL);
	m->workers[1].cpu = 1;
	expect("worker.priority", ADVICE_PROBLEM, "worker 1 on CPU 1, which is not isolated, has worker_priority=nice",
		NULL, "LimitRTPRIO=2");
	m->workers[1].priority[0] = '\0';
	m->workers[0].priority[0] = '\0';
	assert_null(find("worker.priority"));
}

static void
vcpu_on_workers_cpu(void **state)
{
	(void)state;
	assert_int_equal(cpus_parse("2", &m->threads[0].allowed), 0);
	expect("vcpu.worker", ADVICE_PROBLEM, "vCPU 0 is on CPU 2, which is worker 0's",
		"<vcpupin vcpu='0' cpuset='3'/>", "taskset -pc 3 101");
	m->n_workers = 0;
	m->is_daemon_known = false;
	memcpy(m->daemon_problem, "nobody at x", 12);
	assert_null(find("vcpu.worker"));
	expect("workers", ADVICE_UNKNOWN, "nobody at x", NULL, "-s SOCKET");
}

static void
threads_that_get_in_the_way(void **state)
{
	(void)state;
	m->threads[3].allowed = m->online;
	expect("vcpu.emulator", ADVICE_PROBLEM, "1 of 1 emulator threads may run on CPUs 0-7",
		"<emulatorpin cpuset='0-1'/>", "taskset -pc 0-1 104");
	m->threads[2].allowed = m->threads[0].allowed;
	expect("vcpu.iothread", ADVICE_PROBLEM, "CPUs 4", "<iothreadpin iothread='1' cpuset='0-1'/>",
		"taskset -pc 0-1 103");
}

static void
other_guests_on_our_cpus(void **state)
{
	(void)state;
	m->n_others = 1;
	m->others[0].pid = 200;
	memcpy(m->others[0].name, "g2", 3);
	expect("vcpu.guests", ADVICE_UNKNOWN, "/proc/200/task", NULL, NULL);
	m->others[0].vcpus = m->others[0].pinned = m->threads[1].allowed;
	expect("vcpu.guests", ADVICE_PROBLEM, "CPUs 5 also run vCPUs of g2 (pid 200)", "<vcpupin vcpu='1' cpuset='3'/>",
		"taskset -pc 3 102");
	assert_int_equal(cpus_parse("6", &m->others[0].vcpus), 0);
	expect("vcpu.guests", ADVICE_OK, "no other guest", NULL, NULL);
}

static void
waiting_is_measured(void **state)
{
	(void)state;
	m->threads[1].waited_ns = 12345678;
	m->threads[1].preempted = 7;
	expect("vcpu.wait", ADVICE_PROBLEM, "vCPU 1 waited 12.3 ms (preempted 7 times) of the last second for a CPU",
		"vcpu.pin", "ps -eLo");
	m->threads[1].waited_ns = 1000000; // a thousandth: not beyond it yet
	assert_int_equal(find("vcpu.wait")->severity, ADVICE_HINT);
	m->threads[1].waited_ns = 1000001;
	assert_int_equal(find("vcpu.wait")->severity, ADVICE_PROBLEM);
	m->threads[1].waited_ns = 100000;
	assert_int_equal(find("vcpu.wait")->severity, ADVICE_OK);
	m->threads[1].waited_ns = -ENOENT;
	expect("vcpu.wait", ADVICE_UNKNOWN, "/proc/100/task/102/schedstat: No such file", NULL, NULL);
}

static void
scheduling_that_holds_back(void **state)
{
	(void)state;
	m->threads[1].policy = 5;
	expect("vcpu.policy", ADVICE_PROBLEM, "vCPU 1 is SCHED_IDLE", "<vcpusched vcpus='0-1'", "chrt -o -p 0 102");
	m->threads[1].policy = 0;
	m->threads[1].nice = 30;
	expect("vcpu.policy", ADVICE_PROBLEM, "vCPU 1 is SCHED_OTHER with nice 10", "<vcpusched", "renice -n 0 -p 102");
	m->threads[1].policy = 4;
	m->threads[1].nice = 20;
	assert_int_equal(find("vcpu.policy")->severity, ADVICE_OK);
	m->threads[1].policy = 99;
	assert_int_equal(find("vcpu.policy")->severity, ADVICE_OK);
	m->n_cgroups = 2;
	memcpy(m->cgroups[1].path, "/sys/fs/cgroup/machine", 23);
	m->cgroups[0].weight = 100;
	m->cgroups[1].weight = 20;
	m->cgroups[1].quota_us = 50000;
	m->cgroups[1].period_us = 100000;
	m->cgroups[1].throttled_us = 400000;
	expect("cgroup.quota", ADVICE_PROBLEM,
		"may run 50000 us in each 100000 us, and was stopped for 400.0 ms of the last 1000 ms",
		"<vcpu_quota>-1", "echo max > '/sys/fs/cgroup/machine/cpu.max'");
	expect("cgroup.weight", ADVICE_HINT, "weight of 20", "<shares>1024", "cpu.weight");
}

static void
halting_costs(void **state)
{
	(void)state;
	m->options.cpu_pm = false;
	expect("halt.poll", ADVICE_HINT, "KVM waits up to 200 us", "<qemu:arg value='cpu-pm=on'/>",
		"-overcommit cpu-pm=on");
	expect("halt.guest", ADVICE_HINT, "in the guest", "<poll-control state='on'/>", "cpuidle-haltpoll");
	m->halt_poll_ns = 0;
	expect("halt.poll", ADVICE_PROBLEM, "halt_poll_ns is 0", "cpu-pm=on", "echo 200000 >");
	m->halt_poll_ns = -ENOENT;
	expect("halt.poll", ADVICE_UNKNOWN, "/sys/module/kvm/parameters/halt_poll_ns: No such file", NULL, NULL);
	m->options.cpu_pm = true;
	m->threads[0].allowed = m->online;
	expect("halt.poll", ADVICE_PROBLEM, "no CPUs of their own", "<vcpupin/>", "pins");
}

static void
cpus_that_sleep(void **state)
{
	(void)state;
	m->cpu[5].n_idle = 2;
	m->cpu[5].idle[1].latency_us = 133;
	memcpy(m->cpu[5].idle[1].name, "C6", 3);
	expect("cpu.idle", ADVICE_PROBLEM, "CPU 5 may sleep in C6, which takes 133 us to leave", NULL,
		"echo 1 > /sys/devices/system/cpu/cpu5/cpuidle/state1/disable");
	m->dma_latency_us = 20; // a program asked for at most so much
	expect("cpu.idle", ADVICE_OK, "C1", NULL, NULL);
	m->dma_latency_us = 2000000000;
	assert_int_equal(find("cpu.idle")->severity, ADVICE_PROBLEM);
	m->cpu[5].idle[1].is_disabled = true;
	assert_int_equal(find("cpu.idle")->severity, ADVICE_OK);
	m->cpu[4].idle_rc = -ENOENT;
	expect("cpu.idle", ADVICE_UNKNOWN, "/sys/devices/system/cpu/cpu4/cpuidle/state0/latency", NULL, NULL);
	memcpy(m->cpu[4].governor, "powersave", 10);
	expect("cpu.frequency", ADVICE_HINT, "CPU 4 with the governor powersave", NULL,
		"echo performance > /sys/devices/system/cpu/cpu4/");
}

static void
cpus_that_are_open_to_all(void **state)
{
	(void)state;
	assert_int_equal(cpus_parse("4", &m->isolated), 0);
	memset(&m->nohz_full, 0, sizeof(m->nohz_full));
	m->cpu[5].ticks = 250;
	expect("cpu.isolated", ADVICE_HINT, "CPUs 2,5, for vCPUs and workers, not isolated", NULL,
		"isolcpus=domain,managed_irq,2,4-5");
	expect("cpu.tick", ADVICE_HINT, "CPUs 4-5 not in nohz_full; up to 250 timer interrupts", NULL,
		"nohz_full=4-5 rcu_nocbs=4-5");
	m->irqbalance_pid = 50;
	expect("irq.balance", ADVICE_HINT, "may use CPUs 2,5", NULL, "IRQBALANCE_BANNED_CPULIST=2,4-5");
	assert_int_equal(cpus_parse("2,4-5", &m->irqbalance_banned), 0);
	expect("irq.balance", ADVICE_OK, "leaves", NULL, NULL);
	m->isolated_rc = -EACCES;
	expect("cpu.isolated", ADVICE_UNKNOWN, "/sys/devices/system/cpu/isolated", NULL, NULL);
}

static void
interrupts_on_quiet_cpus(void **state)
{
	(void)state;
	m->n_irqs = 1;
	m->irqs[0] = (struct machine_irq){.number = 36, .name = "eth0-rx-0", .n_fired = 99};
	expect("irq.affinity", ADVICE_HINT, "36 (eth0-rx-0) 99 times", NULL,
		"echo 0-1 > /proc/irq/36/smp_affinity_list");
	m->irqs[0].n_fired = 100;
	assert_int_equal(find("irq.affinity")->severity, ADVICE_PROBLEM);
	m->irqs_rc = -EACCES;
	expect("irq.affinity", ADVICE_UNKNOWN, "/proc/interrupts", NULL, NULL);
}

static void
nics_that_wait(void **state)
{
	(void)state;
	m->n_devices = 1;
	m->devices[0] = (struct machine_device){.port = "up", .name = "eth1", .rx_usecs = 50, .adaptive_rx = 1};
	expect("nic.coalesce", ADVICE_HINT, "eth1 of port up: rx-usecs 50, adaptive-rx on", NULL,
		"ethtool -C eth1 rx-usecs 0 adaptive-rx off");
	m->devices[0].rx_usecs = m->devices[0].adaptive_rx = 0;
	expect("nic.coalesce", ADVICE_OK, "no interface", NULL, NULL);
	m->devices[0].rx_usecs = m->devices[0].adaptive_rx = -ENODEV;
	expect("nic.coalesce", ADVICE_UNKNOWN, "eth1", NULL, NULL);
	m->devices[0].rx_usecs = -EOPNOTSUPP;
	assert_null(find("nic.coalesce"));
}

static void
kernel_that_waits_for_a_daemon(void **state)
{
	(void)state;
	assert_null(find("vdpa.timeout"));
	memcpy(m->vduse, "c1", 3);
	expect("vdpa.timeout", ADVICE_PROBLEM, "c1 without limit", NULL, "echo 5 > /sys/class/vduse/c1/msg_timeout");
	m->vduse_wait_s = 6;
	expect("vdpa.timeout", ADVICE_HINT, "up to 6 s", NULL, "echo 5 > /sys/class/vduse/c1/msg_timeout");
	m->vduse_wait_s = 5;
	expect("vdpa.timeout", ADVICE_OK, "up to 5 s for the program of VDUSE device c1", NULL, NULL);
}

static void
memory_that_moves(void **state)
{
	(void)state;
	m->hugetlb_kib = 0;
	m->ksm_run = 1;
	m->has_swap = 1;
	expect("mem.huge", ADVICE_HINT, "0 MiB of the guest's process are in hugepages, 48 MiB are not", "<hugepages/>",
		"hugetlb=on");
	expect("mem.compact", ADVICE_HINT, "madvise", "<hugepages/>", "echo defer");
	expect("mem.ksm", ADVICE_HINT, "KSM runs", "<nosharepages/>", "mem-merge=off");
	expect("mem.swap", ADVICE_HINT, "not locked", "<locked/>", "mem-lock=on");
	m->swap_kib = 77;
	expect("mem.swap", ADVICE_PROBLEM, "77 KiB", "<locked/>", "mem-lock=on");
	m->swap_kib = -ENODATA;
	expect("mem.swap", ADVICE_UNKNOWN, "/proc/100/status: does not say it", NULL, NULL);
	m->options.mem_merge_off = true;
	assert_null(find("mem.ksm"));
}

static void
memory_on_the_other_node(void **state)
{
	(void)state;
	m->numa_rc = 0;
	m->cpu[4].node = m->cpu[5].node = 0;
	m->node_kib[0] = 1024;
	m->node_kib[1] = 3072;
	expect("mem.node", ADVICE_PROBLEM, "3 of 4 MiB", "<memory mode='strict' nodeset='0'/>",
		"migratepages 100 all 0");
	m->node_kib[1] = 10;
	expect("mem.node", ADVICE_OK, "0 of 1 MiB", NULL, NULL);
	m->numa_rc = -EACCES;
	expect("mem.node", ADVICE_UNKNOWN, "/proc/100/numa_maps", NULL, NULL);
}

static void
halves_of_cores(void **state)
{
	(void)state;
	cpus_add(&m->cpu[4].siblings, 6);
	expect("cpu.smt", ADVICE_OK, "nobody", NULL, NULL); // isolated and free
	cpus_add(&m->cpu[4].siblings, 1);
	expect("cpu.smt", ADVICE_HINT, "CPUs 1,6 are other halves", NULL,
		"echo 0 > /sys/devices/system/cpu/cpu1/online");
	cpus_add(&m->cpu[4].siblings, 2);
	expect("cpu.smt", ADVICE_PROBLEM, "a worker or another guest", NULL, "--workers");
	assert_null(strstr(find("cpu.smt")->shell, "cpu2/online"));
	m->cpu[4].siblings_rc = -ENOENT;
	expect("cpu.smt", ADVICE_UNKNOWN, "thread_siblings_list", NULL, NULL);
}

static void
hosts_that_are_guests(void **state)
{
	(void)state;
	m->steal_ticks = 8;
	expect("cpu.steal", ADVICE_HINT, "1.0 %", NULL, "dedicated");
	m->steal_ticks = 9;
	assert_int_equal(find("cpu.steal")->severity, ADVICE_PROBLEM);
	memcpy(m->clocksource, "hpet", 5);
	expect("clock", ADVICE_HINT, "hpet", NULL, "echo tsc");
}

// As many vCPUs as there is room for: settings stay whole, or say that they do not.
static void
five_hundred_vcpus(void **state)
{
	(void)state;
	m->n_threads = 512;
	m->n_workers = 0;
	assert_int_equal(cpus_parse("0-1023", &m->online), 0);
	for (unsigned i = 0; i < 512; i++)
		m->threads[i] = (struct machine_thread){.tid = 4000000 + (int)i,
			.kind = MACHINE_VCPU,
			.vcpu = (int)i,
			.allowed = m->online,
			.nice = 20};
	assert_non_null(strstr(find("vcpu.pin")->libvirt, "</cputune>"));
	assert_non_null(strstr(find("vcpu.pin")->shell, " 4000511"));
	assert_non_null(strstr(find("vcpu.pin")->text, "512 of 512"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_good_machine, end_machine)

int
main(void)
{
	const struct CMUnitTest tests[] = {TEST(good_machine_is_left_alone), TEST(worst_comes_first),
		TEST(tcg_is_told_by_each_sign), TEST(vcpus_without_own_cpus_get_pins), TEST(too_few_cpus_are_told),
		TEST(workers_without_priority), TEST(vcpu_on_workers_cpu), TEST(threads_that_get_in_the_way),
		TEST(other_guests_on_our_cpus), TEST(waiting_is_measured), TEST(scheduling_that_holds_back),
		TEST(halting_costs), TEST(cpus_that_sleep), TEST(cpus_that_are_open_to_all),
		TEST(interrupts_on_quiet_cpus), TEST(nics_that_wait), TEST(kernel_that_waits_for_a_daemon),
		TEST(memory_that_moves), TEST(memory_on_the_other_node), TEST(halves_of_cores),
		TEST(hosts_that_are_guests), TEST(five_hundred_vcpus)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
