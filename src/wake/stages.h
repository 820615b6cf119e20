// The way of one packet to a guest and of the answer back, cut into stages. The switch's view (a
// chain) is joined with the kernel's view of the guest's threads. The stages of a chain add up to
// its time from beginning to end, by construction.
#pragma once

#include "threads.h"

#include <stdbool.h>
#include <stdint.h>

// SWITCH: arrived in the switch until it reached the guest's egress. QUEUE: until it is put into
// the vring. VRING: until it is in it, and the guest kicked. EMULATOR: until QEMU's main loop has
// passed the kick on; 0 where it has no part. WAKE: until a virtual processor is runnable. RUN:
// until that has a CPU. CONSUME: until the guest's driver has taken the packet. ANSWER: until the
// guest has sent the answer to the switch. LEAVE: until that left the switch.
// clang-format off
#define STAGES(X) \
	X(SWITCH, "switch") \
	X(QUEUE, "queue") \
	X(VRING, "vring") \
	X(EMULATOR, "emulator") \
	X(WAKE, "wake") \
	X(RUN, "run") \
	X(CONSUME, "consume") \
	X(ANSWER, "answer") \
	X(LEAVE, "leave")
// clang-format on

enum stage {
#define STAGES_ENUM(name, text) STAGE_##name,
	STAGES(STAGES_ENUM)
#undef STAGES_ENUM
	STAGE_COUNT
};

extern const char *const stages_names[STAGE_COUNT];

// As the daemon has it (trace.read); 0: the packet did not come so far, or the guest was not woken
// ahead of it.
struct stages_chain {
	uint64_t arrived_ns, queued_ns, prewoken_ns, put_ns, kicked_ns, consumed_ns, answered_ns, left_ns;
	uint32_t depth; // packets that were in the vring before
	bool is_kicked; // else the guest was polling
};

enum stages_result {
	STAGES_ANSWERED,
	STAGES_UNANSWERED, // consumed, which is the end then
	STAGES_UNCONSUMED, // put into the vring, no more is known
	STAGES_NOT_PUT,
	// The guest's processors' events are unknown: events were lost, or they began before.
	STAGES_BLIND,
	STAGES_WRONG, // ends before it begins
	STAGES_RESULTS
};

struct stages {
	uint64_t ns[STAGE_COUNT], total_ns;
	bool is_running; // a virtual processor ran already: no time to wake or to run
	bool is_emulated; // the kick went through QEMU's main loop
};

// threads NULL: there is no kernel's side; then emulator, wake and run are 0 and their time is part
// of consume. switch_pid: the daemon's process, 0: not known. stages is written for STAGES_ANSWERED
// and STAGES_UNANSWERED only.
enum stages_result stages_of(const struct stages_chain *chain, const struct threads *threads, uint32_t switch_pid,
	struct stages *ret_stages);
