// DPDK's environment (EAL), which can be started once a process. Control thread.
#pragma once

#include "rtvs/dp.h"

struct dp;

int eal_default_workers(struct cpu_list *list); // the last CPU that this process may use. -errno
int eal_start(struct dp *dp, char err[DP_ERR_SIZE]); // for dp->cfg. -errno
// Before the first device that DPDK drives: opens the drivers that eal_start left out. Takes some
// 50 ms once.
void eal_need_drivers(void);

struct stat;
int eal_stat(const char *path, struct stat *ret_stat); // stat(2), of rtvswitchd
