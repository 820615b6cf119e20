// Whether a port may be as it is configured. Control thread. What is refused is told by its parameter's name.
#pragma once

#include "rtvs/dp.h"

struct dp;

int port_check(const struct dp *dp, const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE]); // -errno
