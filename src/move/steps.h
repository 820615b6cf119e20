// The move itself, once the plan has no reason against it.
#pragma once

#include "attempt.h"
#include "cmdline.h"
#include "permit.h"
#include "plan.h"
#include "process.h"
#include "qmp.h"

#include <stdint.h>

enum steps_output {
	STEPS_QUIET, // nothing
	STEPS_LINES, // a line for each step
	STEPS_SCREEN, // and the progress of a copy, on a terminal
};

struct steps_options {
	const struct cmdline *cmdline;
	const struct process *source;
	struct qmp **qmp; // the source's; it is opened anew where needed, and the caller closes it
	const char *qmp_path; // as in the arguments, without a suffix
	const char *program; // of the destination, absolute
	const json_t *facts; // plan_facts.source
	const struct permit *permit; // of the ports that the guest has
	enum plan_way way;
	enum steps_output output;
};

struct steps_result {
	pid_t pid; // of the destination
	double total_ms, downtime_ms; // as QEMU measured
	double wall_ms; // from the destination's start to the source's end
	uint64_t copied_bytes, ram_bytes;
	bool is_copied; // 1 % of the memory or more was transferred
};

// SIGINT, SIGTERM and SIGHUP end the process only as the steps permit, from here on. Between the
// steps it is the caller who asks for them. A process that was started with them blocked gets them;
// SIGHUP stays ignored where it was.
void steps_catch_signals(void);
bool steps_are_interrupted(void);

// After steps_catch_signals. 0: the guest runs in the destination, and the source is gone.
// Otherwise the destination is gone, err says why and what became of the guest. -EINTR: a signal
// came in time. -EOWNERDEAD: the guest is lost, or its state could not be learned; err says what is
// known.
int steps_run(const struct steps_options *o, struct steps_result *ret_result, char err[ATTEMPT_ERROR_SIZE]);
