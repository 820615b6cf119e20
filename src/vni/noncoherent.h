// The same for memory that hosts do not see alike: noncoherent.c. Internal to src/vni.
#pragma once

#include "own.h"

size_t noncoherent_ring_bytes(const struct segment_geometry *g);
size_t noncoherent_own_bytes(const struct segment_geometry *g); // beyond struct segment
int noncoherent_join(struct segment *seg, unsigned number, const struct segment_identity *identity);
void noncoherent_leave(struct segment *seg);
bool noncoherent_expel(struct segment *seg, unsigned number);
bool noncoherent_is_expelled(const struct segment *seg);
void noncoherent_look(const struct segment *seg, unsigned number); // its entry is read anew
uint32_t noncoherent_depth(const struct segment *seg, unsigned number);
unsigned noncoherent_tend(struct segment *seg, segment_lock_fn has_lock, void *ctx, uint64_t now_ns);
int noncoherent_reserve(struct segment *seg, uint32_t len, struct segment_frame *ret_frame);
void noncoherent_unreserve(struct segment *seg, const struct segment_frame *frame);
unsigned noncoherent_send(struct segment *seg, struct segment_frame *frames, unsigned n, uint64_t *ret_wake);
unsigned noncoherent_receive(struct segment *seg, struct segment_frame *ret_frames, unsigned n);
void noncoherent_release(struct segment *seg, const struct segment_frame *frames, unsigned n);
bool noncoherent_sleep(struct segment *seg);
void noncoherent_look_pool(const struct segment *seg, struct segment_pool_info *ret_info);
