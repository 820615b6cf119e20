// Which CPU each vCPU should have for itself, and what is left for the guest's other threads. Pure.
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

// A vCPU that already has a CPU for itself keeps it. Others get isolated CPUs before others, on the node of the guest's memory, on cores of
// which nobody else has the other half, and CPU 0 last: the kernel uses it for what must run somewhere.
void advice_plan_make(const struct machine_facts *m, struct advice_plan *ret_plan);
int64_t advice_plan_memory_node(
	const struct machine_facts *m); // that has most of the guest's memory; -ENODATA: not known
