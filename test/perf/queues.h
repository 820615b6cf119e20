// The queues of deadlines that were compared for src/core/edf.c, behind one interface, for
// sched_bench. All are exact except the buckets.
#pragma once

#include <stdint.h>

struct queue_ops {
	const char *name;
	void (*init)(uint32_t max_flows);
	void (*push)(uint32_t flow, uint64_t deadline_ns);
	uint32_t (*pop)(uint64_t *ret_deadline_ns); // not empty
};

extern const struct queue_ops queue_ops[]; // ends with a name of NULL
