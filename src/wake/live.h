// Watching: joins the daemon's side, the kernel's side and /proc in one loop, and feeds a watch and
// a record.
#pragma once

#include "rtvs/client.h"
#include "session.h"

#include <stdio.h>

struct live_options {
	uint64_t duration_ns; // 0: until Ctrl-C
	bool is_screen; // a table that is drawn anew each second
	bool has_hist;
	FILE *record; // NULL: none
};

struct watch;

// Runs until the time is over or a signal came. ret_watch (the caller's) has the results, NULL:
// none; ret_end_ns is the end.
enum cli_exit live_run(struct session *s, const struct live_options *o, struct watch **ret_watch, uint64_t *ret_end_ns);
