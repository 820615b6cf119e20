// DPDK's own log lines, as ours: one per line, errors counted, a flood of them cut.
#pragma once

struct dp;

int dp_log_start(struct dp *dp); // before EAL; 0 or a negative errno
void dp_log_stop(void);
