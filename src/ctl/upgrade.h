// The former daemon's side of a hand-over to another process of the same host (hand_over.h): the
// program is started, prepares itself beside this one, and takes over within milliseconds. Until it
// has taken over, a failure of either side leaves this daemon as it was.
#pragma once

#include "rtvs/dp.h"
#include "rtvs/rpc.h"

#include <sched.h>
#include <stdbool.h>

struct ctl;

struct upgrade {
	cpu_set_t cpus; // that this process was started with: its threads have fewer
	bool is_done; // another process has taken over: this one ends without touching anything
	bool is_lost; // it died after that: only a new start can go on
};

// Before the datapath's threads start.
void upgrade_init(struct upgrade *upgrade);
// Waits for the other process while the loop's other sources are served, but no client is.
// binary: its program, absolute; "": the one that this daemon was started from. *ret_result:
// {pid, version, gap, steps}.
int upgrade_run(struct ctl *ctl, const char *binary, json_t **ret_result, char err[DP_ERR_SIZE]);
