// One look at a segment, for list and watch.
#pragma once

#include "rtvs/segment_file.h"

#include <stdio.h>

struct picture {
	struct segment_geometry geometry;
	struct segment_pool_info pool;
	bool is_there[SEGMENT_MAX_NODES], is_dead[SEGMENT_MAX_NODES];
	struct segment_node_info node[SEGMENT_MAX_NODES];
};

void picture_take(struct segment_file *file, struct picture *p);
const char *picture_state(const struct picture *p, unsigned node);
uint64_t picture_dropped(const struct segment_counters *c); // for all reasons
void picture_print_segment(const struct picture *p, const char *path, FILE *out); // one line
