// DPDK's environment (EAL), which can be started once a process. Control thread.
#pragma once

#include "rtvs/dp.h"

struct dp;

int eal_default_workers(struct cpu_list *list); // the last CPU that this process may use. -errno
int eal_start(struct dp *dp, char err[DP_ERR_SIZE]); // for dp->cfg. -errno
