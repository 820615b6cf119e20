// The watched objects: ports, the guests behind them, and the sums of their chains. Fed in the
// order in which facts are learned, live or out of a record. No I/O, no clock.
#pragma once

#include "rtvs/types.h"
#include "tally.h"
#include "threads.h"

#define WATCH_MAX_PORTS 1024
#define WATCH_NAME_SIZE RTVS_NAME_SIZE
#define WATCH_MAX_MISSING 8

// A source of the kernel that is not there.
struct watch_missing {
	char name[32], why[160], hides[96];
};

struct watch_guest; // one QEMU process; several ports may be its

struct watch_port {
	char name[WATCH_NAME_SIZE];
	uint32_t pid; // of the QEMU there, 0: none
	struct watch_guest *guest; // NULL: no guest's
	// Chains that the daemon had no room for: all, and as this daemon counts.
	uint64_t lost, lost_so_far;
	uint64_t n_guests; // that were seen there, one after the other
	struct event_counts counts; // of those that are gone
	struct tally tally;
};

struct watch {
	uint64_t begin_ns;
	uint32_t switch_pid;
	bool has_sched; // events come
	uint64_t events, events_lost, events_wrong;
	unsigned n_missing, n_ports;
	struct watch_missing missing[WATCH_MAX_MISSING];
	struct watch_port *ports[WATCH_MAX_PORTS];
	struct watch_guest *guests;
};

// NULL: out of memory
struct watch *watch_create(uint64_t begin_ns, uint32_t switch_pid, bool has_sched);
void watch_destroy(struct watch *w);
// no more than WATCH_MAX_MISSING
void watch_miss(struct watch *w, const char *name, const char *why, const char *hides);

struct watch_port *watch_find(const struct watch *w, const char *port); // NULL: no fact named it
// The guest of a port, from since_ns on; pid 0: it is gone. The port is added when it is new.
// ret_is_new: threads_add is due.
// -ENOSPC, -ENOMEM, -EINVAL (the name's length)
int watch_guest(struct watch *w, const char *port, uint32_t pid, uint64_t since_ns, bool *ret_is_new);
bool watch_has_guest(const struct watch *w, uint32_t pid); // some port's
int watch_thread(struct watch *w, uint32_t pid, uint32_t tid, const char *comm, enum threads_state state);
void watch_event(struct watch *w, const struct event *e);
void watch_event_loss(struct watch *w, uint64_t n, uint64_t from_ns, uint64_t to_ns);
// After all events up to its end. Chains from before the guest was watched are omitted. -ENOENT:
// there is no such port.
int watch_chain(struct watch *w, const char *port, const struct stages_chain *chain);
// As a daemon counts them from its start; one that was restarted begins anew.
void watch_chains_lost(struct watch_port *port, uint64_t n_so_far);
void watch_counts(struct watch *w, uint32_t pid, const struct event_counts *counts); // so far
// Of a port: what is known of all its guests.
struct event_counts watch_halts(const struct watch_port *port);
