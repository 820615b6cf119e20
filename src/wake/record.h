// A watch as lines of JSON, one fact each in the order in which it was learned. Lines are written
// while watching, and read back later for the same report. Writers do nothing when out is NULL.
#pragma once

#include "watch.h"

#include <jansson.h>
#include <stdio.h>

#define RECORD_ERROR_SIZE 256

void record_begin(FILE *out, const struct watch *w); // with what is missing
void record_switch(FILE *out, uint32_t pid); // another daemon's process
void record_guest(FILE *out, const char *port, uint32_t pid, uint64_t since_ns);
void record_thread(FILE *out, uint32_t pid, uint32_t tid, const char *comm, enum threads_state state);
void record_event(FILE *out, const struct event *e);
void record_loss(FILE *out, uint64_t n, uint64_t from_ns, uint64_t to_ns);
void record_chain(FILE *out, const char *port, const struct stages_chain *chain);
void record_chains_lost(FILE *out, const char *port, uint64_t n);
void record_counts(FILE *out, uint32_t pid, const struct event_counts *counts);
void record_end(FILE *out, uint64_t at_ns);

// One chain as trace.read has it. -EINVAL: err names the wrong member (no more than
// RECORD_ERROR_SIZE bytes).
int record_read_chain(const json_t *object, struct stages_chain *ret_chain, char *err);
// All of a record, or the present part of one that was cut off: its end is then the last time in
// it. -EINVAL: err says where and why. ret_watch is the caller's.
int record_read(FILE *in, struct watch **ret_watch, uint64_t *ret_end_ns, char *err);
