// The QEMU processes, the guest of each, and the settings on its command line.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define QEMU_NAME_SIZE 128
#define QEMU_MAX 512 // guests on a machine

struct qemu_process {
	int pid;
	char name[QEMU_NAME_SIZE]; // printable; empty: it has none
};

struct qemu_options {
	char name[QEMU_NAME_SIZE];
	bool asks_kvm, asks_tcg; // -accel, -machine accel=, -enable-kvm; both: the first that works
	bool cpu_pm, mem_lock; // -overcommit
	bool hint_dedicated, poll_control; // -cpu
	bool mem_merge_off; // -machine
};

// len bytes: arguments that end with NUL, the last one perhaps without. Pure.
void qemu_parse_options(const char *cmdline, size_t len, struct qemu_options *ret_options);
// Of a process; 0, -ESRCH (there is none), -EXDEV (it is not QEMU) or another negative errno.
int qemu_read(const char *root, int pid, struct qemu_options *ret_options);
// All of them, at most max, in the order of their pids. *ret_irqbalance_pid is the pid of a process
// named irqbalance (0: none). The number or a negative errno.
int qemu_list(const char *root, struct qemu_process *list, unsigned max, int *ret_irqbalance_pid);
