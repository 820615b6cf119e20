// Whether a port may be as it is configured. Control thread. What is refused is told by its parameter's name.
#pragma once

#include "rtvs/dp.h"

struct dp;

int port_check(const struct dp *dp, const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE]); // -errno
// Which parameter of those that are fixed for a port's life differs, or NULL.
const char *port_check_fixed(const struct dp_port_cfg *a, const struct dp_port_cfg *b);
// Is the parameter one that a guest agrees to when its driver starts?
bool port_check_is_negotiated(const struct dp_port_cfg *cfg, const char *param);
