// Whether a port's configuration is valid. Control thread. A refusal names its parameter.
#pragma once

#include "rtvs/dp.h"

struct dp;

int port_check(const struct dp *dp, const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE]); // -errno
