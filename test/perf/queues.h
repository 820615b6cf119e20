// Queues of deadlines that src/core/edf.c was chosen from, behind one interface, for sched_bench. Exact ones but for the buckets.
#pragma once

#include <stdint.h>

struct queue_ops {
	const char *name;
	void (*init)(uint32_t max_flows);
	void (*push)(uint32_t flow, uint64_t deadline_ns);
	uint32_t (*pop)(uint64_t *ret_deadline_ns); // not empty
};

extern const struct queue_ops queue_ops[]; // ends with a name of NULL
