// rtvs-move host: all guests of one program.
#pragma once

#include "host_report.h"
#include "options.h"

#include <stdio.h>

// Looks for guests so often: those that came while the ones before were moved.
#define MOVE_HOST_MAX_LOOKS 8u
// A move without a copy takes milliseconds, and all of its waits together are below this. A copy
// has no limit. After SIGTERM a move that cannot be taken back is finished.
#define MOVE_HOST_LIMIT_MS 300000
#define MOVE_HOST_GRACE_MS 120000

// The program that moves one guest, started as `PROGRAM qemu PID --to TARGET --json ...`.
struct move_host_mover {
	const char *program;
	int limit_ms, grace_ms; // as in crew.h
};

// Moves them, and fills in the report; progress, if not NULL, gets a line for each guest. It takes
// the signals meanwhile. Returns 0, whatever became of the guests; -errno: no guest was touched.
int move_host_work(
	const struct options *o, const struct move_host_mover *mover, struct host_report *report, FILE *progress);
// The same with rtvs-move itself, and prints the report. Returns enum move_exit.
int move_host_run(const struct options *o);
