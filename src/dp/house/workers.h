// The workers' threads: made at the start, halted and resumed for a hand-over. Control thread.
#pragma once

struct dp;

// With the snapshot that they read first; none of them runs. 0 or a negative errno.
int workers_create(struct dp *dp);
