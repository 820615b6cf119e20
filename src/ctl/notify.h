// The daemon's messages to systemd (sd_notify). Does nothing when it was not started by systemd.
#pragma once

#include "rtvs/dp.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct notify {
	uint64_t interval_ns; // between two signs of life; 0: no watchdog
	uint64_t last_ns;
	uint64_t progress[DP_MAX_WORKERS]; // turns + sleeps at the last sign
	bool is_stuck; // said already
};

void notify_init(struct notify *notify);
void notify_ready(const char *status);
void notify_stopping(void);
void notify_alive(void); // ahead of something that may take seconds
// Another process is the service's main one from here on.
void notify_main_pid(pid_t pid);
// The descriptor store (systemd's FileDescriptorStoreMax=): what a former
// process of the service stored comes back with the start. As struct dp_fd_store; arg is not used.
// They wait while systemd does not read its socket, as its other messages do.
bool notify_has_store(void);
bool notify_store(void *arg, const char *name, int fd);
void notify_forget(void *arg, const char *name);
int notify_barrier(void *arg);
void notify_give_stored(struct dp *dp); // before ports are added
// Once a second. A sign of life only when every worker has made a turn or slept since the last one.
void notify_tick(struct notify *notify, const struct dp *dp, uint64_t now_ns);
