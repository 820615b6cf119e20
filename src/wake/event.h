// The events and counters of a guest's threads on the kernel's side (wake.bpf.c). Included by BPF
// programs too, so it has only fixed types. Numbers of processes and threads are those of the pid
// namespace of the watching program; 0: not in it.
#pragma once

#include <stdint.h>

#define EVENT_COMM_SIZE 16 // the kernel's TASK_COMM_LEN

enum event_type {
	EVENT_WAKING, // a thread begins to wake it
	EVENT_IN, // it gets a CPU
	EVENT_OUT, // it gives its CPU away and sleeps
	EVENT_PREEMPTED, // its CPU is taken away
	EVENT_COUNT
};

struct event {
	uint64_t ts_ns; // CLOCK_MONOTONIC
	uint32_t type;
	uint32_t tgid, tid, cpu;
	uint32_t waker_tid, waker_tgid; // of EVENT_WAKING; 0: unknown
	char comm[EVENT_COMM_SIZE];
};

// Of one guest, since it is watched.
struct event_counts {
	uint64_t hlt_exits; // kvm_exit because of HLT
	// kvm_vcpu_wakeup: ends of a halt, and of those the ones that released the CPU.
	uint64_t halts, waited;
	uint64_t halted_ns;
};
