// The kernel's structures with the members that wake.bpf.c reads; the loader finds their offsets in
// the running kernel (CO-RE). A generated vmlinux.h would be the building machine's.
#pragma once

#include "event.h"

#include <linux/bpf.h>
#include <stdbool.h>

#define KERNEL __attribute__((preserve_access_index))

struct ns_common {
	unsigned int inum;
} KERNEL;

struct pid_namespace {
	struct ns_common ns;
} KERNEL;

struct upid {
	int nr;
	struct pid_namespace *ns;
} KERNEL;

struct pid {
	unsigned int level;
	struct upid numbers[1];
} KERNEL;

struct task_struct {
	int pid, tgid;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	char comm[EVENT_COMM_SIZE];
	unsigned int __state;
} KERNEL;

struct task_struct___before_5_14 {
	long state;
} KERNEL;
