// The facts about the machine, a guest on it and the daemon beside it, for advice.h, and how they
// are read. A number below zero is the negative errno for which it is unknown; -ENODATA: the file
// exists and does not have it.
#pragma once

#include "cpus.h"
#include "qemu.h"
#include "rtvs/types.h"

#include <stdbool.h>
#include <stdint.h>

#define MACHINE_MAX_THREADS 1024 // of the guest; further ones are counted
#define MACHINE_MAX_WORKERS 16
#define MACHINE_MAX_DEVICES 64
#define MACHINE_MAX_IRQS 256
#define MACHINE_MAX_IDLE_STATES 16
#define MACHINE_MAX_CGROUPS 32
#define MACHINE_MAX_NODES 64

enum machine_thread_kind {
	MACHINE_EMULATOR, // the main loop and everything that is none of the others
	MACHINE_IOTHREAD,
	MACHINE_VCPU
};

struct machine_thread {
	int tid;
	char comm[16];
	enum machine_thread_kind kind;
	int vcpu; // its number; -1: one thread runs them all
	struct cpus allowed;
	int64_t policy, nice, rt_priority; // SCHED_*; nice plus 20
	int64_t waited_ns, ran_ns, preempted; // within the window
};

// A control group of the guest's that gives less than all there is.
struct machine_cgroup {
	char path[256]; // of its directory
	int64_t quota_us, period_us; // 0: none
	int64_t throttled_us; // within the window
	int64_t weight; // 100 is what others have; cgroup v1's shares are converted
};

struct machine_cpu {
	struct cpus siblings; // with itself
	int siblings_rc; // 0 or a negative errno
	int64_t node;
	int idle_rc; // 0 or a negative errno: of the states
	unsigned n_idle;
	struct {
		char name[16];
		int64_t latency_us;
		bool is_disabled;
	} idle[MACHINE_MAX_IDLE_STATES];
	char governor[24];
	int governor_rc;
	int64_t ticks; // interrupts of its own timer within the window; -ENODATA: not counted
};

struct machine_irq {
	unsigned number;
	char name[48];
	struct cpus effective; // where it goes
	int effective_rc;
	uint64_t n_fired; // within the window, on CPUs of vCPUs and workers
};

struct machine_worker {
	unsigned cpu;
	char priority[16]; // as worker.list names it; "": an older daemon does not say
};

struct machine_device {
	char port[RTVS_NAME_SIZE], name[16]; // the daemon's port, the kernel's interface
	int64_t rx_usecs, adaptive_rx; // 0, 1
};

struct machine_other {
	int pid;
	char name[QEMU_NAME_SIZE];
	// Where its vCPUs may run; the CPUs that are a single vCPU's only one.
	struct cpus vcpus, pinned;
};

struct machine_facts {
	int pid;
	char name[QEMU_NAME_SIZE];
	struct qemu_options options;
	int64_t has_kvm_fd; // 0, 1
	struct machine_thread threads[MACHINE_MAX_THREADS];
	unsigned n_threads, n_threads_left_out;
	struct machine_cgroup cgroups[MACHINE_MAX_CGROUPS];
	unsigned n_cgroups;
	int cgroup_rc; // 0 or a negative errno
	int64_t rss_kib, hugetlb_kib, swap_kib, locked_kib;
	uint64_t node_kib[MACHINE_MAX_NODES]; // of the guest's memory
	int numa_rc; // 0; -ENODATA: the machine has one node only; another negative errno

	struct machine_other others[QEMU_MAX];
	unsigned n_others;
	int irqbalance_pid; // 0: does not run
	struct cpus irqbalance_banned; // its IRQBALANCE_BANNED_CPULIST

	struct cpus online, isolated, nohz_full, rcu_nocbs;
	// 0 or a negative errno; -ENOENT of nohz: not in this kernel.
	int online_rc, isolated_rc, nohz_rc, cmdline_rc;
	bool is_idle_poll; // idle=poll on the kernel's command line
	struct machine_cpu cpu[CPUS_MAX]; // of those that are online
	int64_t halt_poll_ns, dma_latency_us;
	struct machine_irq irqs[MACHINE_MAX_IRQS]; // that go to CPUs of vCPUs and workers
	unsigned n_irqs;
	int irqs_rc;
	char thp_enabled[16], thp_defrag[24];
	int thp_rc;
	int64_t ksm_run, has_swap; // has_swap: 0, 1
	char clocksource[24];
	int clocksource_rc;
	uint64_t window_ns; // how long was measured
	int64_t steal_ticks, all_ticks; // of all CPUs within the window

	// Of this machine's VDUSE devices, the one for whose program the kernel waits longest; 0 s:
	// without limit. "": there is none.
	char vduse[64];
	int64_t vduse_wait_s;

	bool is_daemon_known;
	char daemon_problem[160]; // why not
	struct machine_worker workers[MACHINE_MAX_WORKERS];
	unsigned n_workers;
	struct machine_device devices[MACHINE_MAX_DEVICES];
	unsigned n_devices;
};

// Where facts come from. Functions get ctx.
struct machine_source {
	const char *root; // "" is the machine
	uint64_t (*wait)(void *ctx); // the window: waits, returns how long it was in ns
	// The coalescing of an interface into *ret_device, also why it is not known.
	void (*coalesce)(void *ctx, struct machine_device *ret_device);
	void *ctx;
};

// Reads everything about QEMU process pid except the daemon's workers and devices, which must be
// filled in. Waits once. 0, -ESRCH (the process ended), -EXDEV (it is not QEMU) or another negative
// errno.
int machine_read(const struct machine_source *source, int pid, struct machine_facts *m);
// CPUs that must not be disturbed: each that is a vCPU's only one, and workers'.
void machine_quiet_cpus(const struct machine_facts *m, struct cpus *ret_set);
