// The reason for a refused call of rtvs/dp.h, for a person.
#pragma once

#include "rtvs/dp.h"

void dp_error(char err[DP_ERR_SIZE], const char *fmt, ...) __attribute__((format(printf, 2, 3)));
