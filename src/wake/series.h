// A value over time in a bounded number of points: when there are too many, two neighbours become
// one, the greater of both.
#pragma once

#include <stdint.h>

#define SERIES_MAX 16384u // even

struct series_point {
	uint64_t at_ns; // since the beginning
	uint32_t value;
};

struct series {
	unsigned n, per_point, n_pending; // values that a point stands for; of the last point
	struct series_point points[SERIES_MAX];
};

void series_init(struct series *s);
void series_add(struct series *s, uint32_t value, uint64_t at_ns);
