// The nodes of a segment in memory that hosts do not see alike; frames between them: lane.h.
// Internal to src/vni.
#pragma once

#include "own.h"

size_t noncoherent_lane_bytes(const struct segment_geometry *g);
size_t noncoherent_own_bytes(const struct segment_geometry *g); // beyond struct segment
void noncoherent_attach(struct segment *seg);
int noncoherent_join(struct segment *seg, unsigned number, const struct segment_identity *identity);
void noncoherent_leave(struct segment *seg);
bool noncoherent_expel(struct segment *seg, unsigned number);
bool noncoherent_is_expelled(const struct segment *seg);
uint32_t noncoherent_depth(const struct segment *seg, unsigned number);
unsigned noncoherent_tend(struct segment *seg, segment_lock_fn has_lock, void *ctx, uint64_t now_ns);
bool noncoherent_sleep(struct segment *seg);
void noncoherent_awake(struct segment *seg);
void noncoherent_look_pool(const struct segment *seg, struct segment_pool_info *ret_info);
