// The kernel's side, loaded and attached: it reports the scheduler's events of watched processes'
// threads, and counts halts of virtual processors. Parts that the kernel lacks or refuses are
// omitted, with a message. Everything ends with this process.
#pragma once

#include "watch.h"

struct probe;
typedef void (*probe_event_fn)(void *arg, const struct event *e);

// NULL: out of memory. probe_missing reports missing parts.
struct probe *probe_create(probe_event_fn on_event, void *arg);
void probe_destroy(struct probe *p);
bool probe_has_sched(const struct probe *p); // events come
unsigned probe_missing(const struct probe *p, const struct watch_missing **ret_missing);
// -E2BIG: too many are watched; other errors of the kernel.
int probe_watch(struct probe *p, uint32_t pid);
void probe_unwatch(struct probe *p, uint32_t pid);
// Calls on_event for all that came.
void probe_drain(struct probe *p);
// Events for which there was no room, since the beginning.
uint64_t probe_n_lost(const struct probe *p);
struct event_counts probe_counts(const struct probe *p, uint32_t pid);
