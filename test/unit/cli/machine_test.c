// Facts out of trees: a whole machine, an empty one, and files with contents that no kernel writes.
#include "../unit.h"
#include "machine.h"
#include "proc_tree.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct machine_facts *m;
static void (*within_window)(void);

static uint64_t
wait_window(void *ctx)
{
	(void)ctx;
	if (within_window)
		within_window();
	return 1000000000;
}

static void
coalesce(void *ctx, struct machine_device *d)
{
	(void)ctx;
	d->rx_usecs = strlen(d->name);
}

static const struct machine_source source = {.root = proc_tree_root, .wait = wait_window, .coalesce = coalesce};

// Guest g1 is process 10, its vCPUs are 12 and 13.
static int
make_tree(void **state)
{
	(void)state;
	m = calloc(1, sizeof(*m));
	within_window = NULL;
	proc_tree_begin();
	proc_tree_put_host();
	proc_tree_put_qemu(10, "qemu-system-x86_64|-name|guest=g1,debug-threads=on|-overcommit|cpu-pm=on|");
	proc_tree_put_thread(10, 10, "qemu-system-x86", "0");
	proc_tree_put_thread(10, 13, "CPU 1/KVM", "0-1");
	proc_tree_put_thread(10, 12, "CPU 0/KVM", "1");
	proc_tree_put_thread(10, 14, "IO iothread1", "0-1");
	proc_tree_link("/proc/10/fd/9", "anon_inode:kvm-vcpu:0");
	proc_tree_put("/sys/fs/cgroup/machine/g1/cpu.max", "50000 100000\n");
	proc_tree_put("/sys/fs/cgroup/machine/g1/cpu.weight", "20\n");
	proc_tree_put("/sys/fs/cgroup/machine/g1/cpu.stat", "usage_usec 5\nthrottled_usec 1000\n");
	proc_tree_put("/sys/fs/cgroup/machine/cpu.max", "max 100000\n");
	return 0;
}

static int
end_tree(void **state)
{
	(void)state;
	proc_tree_end();
	free(m);
	return 0;
}

static void
guest_is_read(void **state)
{
	(void)state;
	assert_int_equal(machine_read(&source, 10, m), 0);
	assert_string_equal(m->name, "g1");
	assert_true(m->options.cpu_pm);
	assert_int_equal(m->n_threads, 4);
	// vCPUs come first, by their numbers.
	assert_int_equal(m->threads[0].tid, 12);
	assert_int_equal(m->threads[0].vcpu, 0);
	assert_int_equal(m->threads[1].tid, 13);
	assert_int_equal(m->threads[2].kind, MACHINE_IOTHREAD);
	assert_int_equal(m->threads[3].kind, MACHINE_EMULATOR);
	assert_int_equal(cpus_count(&m->threads[0].allowed), 1);
	assert_int_equal(m->threads[0].policy, 0);
	assert_int_equal(m->threads[0].nice, 20);
	assert_int_equal(m->has_kvm_fd, 1);
	assert_int_equal(m->rss_kib, 40960);
	assert_int_equal(m->numa_rc, -ENODATA);
	assert_int_equal(m->n_cgroups, 2);
	assert_string_equal(m->cgroups[0].path, "/sys/fs/cgroup/machine/g1");
	assert_int_equal(m->cgroups[0].quota_us, 50000);
	assert_int_equal(m->cgroups[0].weight, 20);
	assert_int_equal(m->cgroups[1].quota_us, 0);
}

static void
change_counters(void)
{
	proc_tree_put("/proc/10/task/12/schedstat", "5000 12002000 9\n");
	proc_tree_put("/proc/10/task/12/status", "Cpus_allowed_list:\t1\nnonvoluntary_ctxt_switches:\t17\n");
	proc_tree_put("/proc/interrupts",
		"           CPU0       CPU1\n 24:  500  57  PCI-MSI  0-edge   eth0-rx\n 25: 3 0 x\nLOC:  10  270   "
		"Local timer interrupts\n");
	proc_tree_put("/proc/stat", "cpu  150 0 0 940 0 0 0 10 0 0\n");
	proc_tree_put("/sys/fs/cgroup/machine/g1/cpu.stat", "throttled_usec 41000\n");
}

static void
window_shows_differences(void **state)
{
	(void)state;
	within_window = change_counters;
	proc_tree_put("/proc/irq/24/effective_affinity_list", "1\n");
	proc_tree_put("/proc/irq/25/smp_affinity_list", "0\n");
	assert_int_equal(machine_read(&source, 10, m), 0);
	assert_int_equal(m->threads[0].waited_ns, 12000000);
	assert_int_equal(m->threads[0].ran_ns, 4000);
	assert_int_equal(m->threads[0].preempted, 7);
	assert_int_equal(m->threads[1].waited_ns, 0);
	assert_int_equal(m->cgroups[0].throttled_us, 40000);
	assert_int_equal(m->steal_ticks, 10);
	assert_int_equal(m->all_ticks, 100);
	// Only of CPU 1, where vCPU 0 is pinned; 25 neither goes there nor came.
	assert_int_equal(m->n_irqs, 1);
	assert_int_equal(m->irqs[0].number, 24);
	assert_int_equal(m->irqs[0].n_fired, 50);
	assert_string_equal(m->irqs[0].name, "eth0-rx");
	assert_int_equal(m->cpu[1].ticks, 250);
	assert_int_equal(m->cpu[0].ticks, -ENODATA);
}

static void
settings_are_read(void **state)
{
	static const char latency[4] = {20, 0, 0, 0};

	(void)state;
	proc_tree_put("/proc/cmdline", "quiet idle=poll rcu_nocbs=1 isolcpus=1\n");
	proc_tree_put("/sys/devices/system/cpu/isolated", "1\n");
	proc_tree_put_bytes("/dev/cpu_dma_latency", latency, sizeof(latency));
	proc_tree_put("/sys/devices/system/cpu/cpu1/cpuidle/state0/latency", "0\n");
	proc_tree_put("/sys/devices/system/cpu/cpu1/cpuidle/state1/latency", "133\n");
	proc_tree_put("/sys/devices/system/cpu/cpu1/cpuidle/state1/disable", "1\n");
	proc_tree_put("/sys/devices/system/cpu/cpu1/cpuidle/state1/name", "C6\n");
	proc_tree_put("/sys/module/kvm/parameters/halt_poll_ns", "200000\n");
	proc_tree_put("/proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition 100 0 -2\n");
	proc_tree_put("/sys/class/vduse/c1/msg_timeout", "30\n");
	proc_tree_put("/sys/class/vduse/c2/msg_timeout", "5\n");
	proc_tree_put("/sys/class/vduse/control/dev", "511:0\n");
	m->n_devices = 1;
	memcpy(m->devices[0].name, "eth0", 5);
	assert_int_equal(machine_read(&source, 10, m), 0);
	assert_string_equal(m->vduse, "c1");
	assert_int_equal(m->vduse_wait_s, 30);
	proc_tree_put("/sys/class/vduse/c3/msg_timeout", "0\n");
	m->vduse[0] = '\0';
	assert_int_equal(machine_read(&source, 10, m), 0);
	assert_string_equal(m->vduse, "c3");
	assert_true(m->is_idle_poll);
	assert_true(cpus_has(&m->rcu_nocbs, 1) && !cpus_has(&m->rcu_nocbs, 0));
	assert_true(cpus_has(&m->isolated, 1));
	assert_int_equal(m->dma_latency_us, 20);
	assert_int_equal(m->cpu[1].n_idle, 2);
	assert_int_equal(m->cpu[1].idle[1].latency_us, 133);
	assert_true(m->cpu[1].idle[1].is_disabled);
	assert_string_equal(m->cpu[1].idle[1].name, "C6");
	assert_int_equal(m->halt_poll_ns, 200000);
	assert_string_equal(m->thp_defrag, "madvise");
	assert_int_equal(m->has_swap, 1);
	assert_int_equal(m->devices[0].rx_usecs, 4);
	assert_int_equal(m->nohz_rc, 0);
	assert_int_equal(m->cpu[0].governor_rc, -ENOENT);
}

static void
neighbours_are_read(void **state)
{
	(void)state;
	proc_tree_put_qemu(20, "/usr/bin/qemu-system-x86_64|-name|g2|");
	proc_tree_put_thread(20, 21, "CPU 0/KVM", "0");
	proc_tree_put_thread(20, 22, "CPU 1/KVM", "0-1");
	proc_tree_put("/proc/30/comm", "irqbalance\n");
	proc_tree_put_bytes("/proc/30/environ", "A=b\0IRQBALANCE_BANNED_CPULIST=1\0", 32);
	proc_tree_put("/sys/devices/system/node/node1/cpulist", "\n");
	proc_tree_put("/proc/10/numa_maps",
		"7f00 default anon=300 N0=256 N1=512 kernelpagesize_kB=4\n7f01 default huge N1=2 "
		"kernelpagesize_kB=2048\n");
	assert_int_equal(machine_read(&source, 10, m), 0);
	assert_int_equal(m->n_others, 1);
	assert_string_equal(m->others[0].name, "g2");
	assert_int_equal(cpus_count(&m->others[0].vcpus), 2);
	assert_int_equal(cpus_count(&m->others[0].pinned), 1);
	assert_int_equal(m->irqbalance_pid, 30);
	assert_true(cpus_has(&m->irqbalance_banned, 1));
	assert_int_equal(m->numa_rc, 0);
	assert_int_equal(m->node_kib[0], 1024);
	assert_int_equal(m->node_kib[1], 2048 + 4096);
}

static void
cgroup_v1_is_read(void **state)
{
	(void)state;
	for (int tid = 12; tid < 14; tid++) {
		char path[64];

		(void)snprintf(path, sizeof(path), "/proc/10/task/%d/cgroup", tid);
		proc_tree_put(path, "9:cpuset:/x\n4:cpu,cpuacct:/vm\n0::/\n");
	}
	proc_tree_put("/sys/fs/cgroup/cpu,cpuacct/vm/cpu.cfs_quota_us", "20000\n");
	proc_tree_put("/sys/fs/cgroup/cpu,cpuacct/vm/cpu.cfs_period_us", "100000\n");
	proc_tree_put("/sys/fs/cgroup/cpu,cpuacct/vm/cpu.shares", "512\n");
	assert_int_equal(machine_read(&source, 10, m), 0);
	assert_string_equal(m->cgroups[0].path, "/sys/fs/cgroup/cpu,cpuacct/vm");
	assert_int_equal(m->cgroups[0].quota_us, 20000);
	assert_int_equal(m->cgroups[0].weight, 50);
}

static void
machine_without_files(void **state)
{
	(void)state;
	proc_tree_remove("/sys");
	proc_tree_remove("/proc/interrupts");
	proc_tree_remove("/proc/stat");
	proc_tree_remove("/proc/cmdline");
	proc_tree_remove("/proc/swaps");
	proc_tree_remove("/proc/10/fd");
	proc_tree_remove("/proc/10/status");
	proc_tree_remove("/proc/10/task/12/schedstat");
	proc_tree_remove("/proc/10/task/12/cgroup");
	proc_tree_remove("/proc/10/task/13/cgroup");
	assert_int_equal(machine_read(&source, 10, m), 0);
	assert_int_equal(m->online_rc, -ENOENT);
	assert_int_equal(m->isolated_rc, -ENOENT);
	assert_int_equal(m->irqs_rc, -ENOENT);
	assert_int_equal(m->steal_ticks, -ENOENT);
	assert_int_equal(m->cmdline_rc, -ENOENT);
	assert_int_equal(m->has_swap, -ENOENT);
	assert_int_equal(m->has_kvm_fd, -ENOENT);
	assert_int_equal(m->rss_kib, -ENOENT);
	assert_int_equal(m->threads[0].waited_ns, -ENOENT);
	assert_int_equal(m->cgroup_rc, -ENOENT);
	assert_int_equal(m->halt_poll_ns, -ENOENT);
	assert_int_equal(m->ksm_run, -ENOENT);
	assert_int_equal(m->thp_rc, -ENOENT);
	assert_int_equal(m->clocksource_rc, -ENOENT);
}

static void
remove_guest(void)
{
	proc_tree_remove("/proc/10");
}

static void
remove_thread(void)
{
	proc_tree_remove("/proc/10/task/12");
}

static void
what_vanishes_is_told(void **state)
{
	(void)state;
	within_window = remove_thread;
	assert_int_equal(machine_read(&source, 10, m), 0);
	assert_int_equal(m->threads[0].waited_ns, -ENODATA);
	assert_int_equal(m->threads[1].waited_ns, 0);
	memset(m, 0, sizeof(*m));
	within_window = remove_guest;
	assert_int_equal(machine_read(&source, 10, m), -ESRCH);
	assert_int_equal(machine_read(&source, 11, m), -ESRCH);
	proc_tree_put("/proc/40/cmdline", "bash");
	assert_int_equal(machine_read(&source, 40, m), -EXDEV);
	proc_tree_put("/proc/41/cmdline", "%s", "");
	assert_int_equal(machine_read(&source, 41, m), -EXDEV);
}

// Each file of the tree in turn becomes ten million bytes without a line's end, digits, or garbage.
static void
no_content_is_trusted(void **state)
{
	static const char *const files[] = {"/proc/cmdline", "/proc/stat", "/proc/swaps", "/proc/interrupts",
		"/proc/10/cmdline", "/proc/10/status", "/proc/10/comm", "/proc/10/task/12/comm",
		"/proc/10/task/12/status", "/proc/10/task/12/stat", "/proc/10/task/12/schedstat",
		"/proc/10/task/12/cgroup", "/sys/devices/system/cpu/online", "/sys/devices/system/cpu/isolated",
		"/sys/devices/system/cpu/nohz_full", "/sys/devices/system/cpu/cpu1/topology/thread_siblings_list",
		"/sys/devices/system/cpu/cpu1/cpuidle/state0/latency",
		"/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "/sys/devices/system/node/node0/cpulist",
		"/sys/devices/system/node/node1/cpulist", "/proc/10/numa_maps",
		"/sys/module/kvm/parameters/halt_poll_ns", "/dev/cpu_dma_latency",
		"/sys/kernel/mm/transparent_hugepage/enabled", "/sys/fs/cgroup/machine/g1/cpu.max",
		"/sys/fs/cgroup/machine/g1/cpu.stat",
		"/sys/devices/system/clocksource/clocksource0/current_clocksource", "/proc/10/environ"};
	static const char fills[] = {'9', 'x', '\n', '\0', ',', ' ', '\377', ':', '-', '('};
	size_t len = 10000000;
	char *bytes = malloc(len);

	(void)state;
	for (unsigned i = 0; i < sizeof(files) / sizeof(*files); i++) {
		for (unsigned k = 0; k < sizeof(fills); k++) {
			int rc;

			memset(bytes, fills[k], len);
			// The first is large; the others are as hostile with less to write.
			proc_tree_put_bytes(files[i], bytes, k ? 70000 : len);
			memset(m, 0, sizeof(*m));
			m->n_workers = 1;
			m->workers[0].cpu = 1;
			rc = machine_read(&source, 10, m);
			assert_true(rc <= 0);
		}
		end_tree(NULL);
		make_tree(NULL);
	}
	free(bytes);
}

static void
comm_and_paths_are_made_harmless(void **state)
{
	(void)state;
	proc_tree_put_thread(10, 12, "CPU \033[2J", "0");
	proc_tree_put("/proc/10/task/13/cgroup", "0::/../../etc\n");
	proc_tree_put("/proc/10/task/14/status", "Cpus_allowed_list:\t0-99999\n"); // left out
	assert_int_equal(machine_read(&source, 10, m), 0);
	assert_int_equal(m->n_threads, 3);
	assert_int_equal(m->threads[0].tid, 13);
	assert_int_equal(m->cgroup_rc, -EXDEV);
	assert_int_equal(m->n_cgroups, 0);
	assert_string_equal(m->threads[2].comm, "CPU ?[2J");
}

static void
more_threads_than_room(void **state)
{
	(void)state;
	for (int tid = 2000; tid < 2000 + MACHINE_MAX_THREADS - 4; tid++)
		proc_tree_put_thread(10, tid, "worker", "0");
	assert_int_equal(machine_read(&source, 10, m), 0);
	assert_int_equal(m->n_threads, MACHINE_MAX_THREADS);
	assert_int_equal(m->n_threads_left_out, 0);
	proc_tree_put_thread(10, 9000, "worker", "0");
	assert_int_equal(machine_read(&source, 10, m), 0);
	assert_int_equal(m->n_threads, MACHINE_MAX_THREADS);
	assert_int_equal(m->n_threads_left_out, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_tree, end_tree)

int
main(void)
{
	const struct CMUnitTest tests[] = {TEST(guest_is_read), TEST(window_shows_differences), TEST(settings_are_read),
		TEST(neighbours_are_read), TEST(cgroup_v1_is_read), TEST(machine_without_files),
		TEST(what_vanishes_is_told), TEST(no_content_is_trusted), TEST(comm_and_paths_are_made_harmless),
		TEST(more_threads_than_room)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
