// The CPU that each vCPU should have for itself, and the CPUs that remain for the guest's other
// threads. Pure.
#pragma once

#include "machine.h"

struct advice_plan {
	unsigned n_vcpus; // the first threads of the facts
	int cpu[MACHINE_MAX_THREADS]; // of each of them; -1: there are too few
	unsigned n_missing;
	struct cpus vcpus; // all of cpu[]
	struct cpus rest; // for the emulator and iothreads; never empty when a CPU is online
	struct cpus taken; // by workers and by vCPUs of other guests
};

// A vCPU that already has a CPU for itself keeps it. The plan prefers isolated CPUs, the node of
// the guest's memory, and cores whose other half is unused. CPU 0 is last: the kernel uses it for
// work that must run somewhere.
void advice_plan_make(const struct machine_facts *m, struct advice_plan *ret_plan);
int64_t advice_plan_memory_node(
	const struct machine_facts *m); // that has most of the guest's memory; -ENODATA: not known
