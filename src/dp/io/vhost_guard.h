// Calls that a front-end can block, with a bound. A front-end shares the open file behind a
// descriptor that it sent, and may fill an eventfd or clear its O_NONBLOCK at any time. So a
// worker's interrupt write may block although all was checked. A queue of messages may hold a
// socket that lingers, so a call that drops messages may wait. A supervisor interrupts them. Other
// threads close descriptors; an unknown one delays its own port only.
#pragma once

#include "rtvs/dp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VHOST_GUARD_PERIOD_MS 1 // a worker's call takes twice that at most

int vhost_guard_start(void); // 0 or a negative errno
void vhost_guard_stop(void);

#define VHOST_GUARD_LOOP DP_MAX_WORKERS // the thread of connections

// First act of a worker, and of the thread of connections: its calls are watched.
void vhost_guard_join(unsigned worker);
// Any thread, around a system call that may drop what a front-end sent.
void vhost_guard_enter(void);
void vhost_guard_leave(void);
// Writes one to a front-end's eventfd, which owner (vhost_owner.h) names. False: it could not be
// written.
bool vhost_guard_notify(int fd, unsigned owner);

// Closes a descriptor, some time. serial: of its port, for an unknown descriptor. 0: a known one,
// which waits only as long as vhost_guard_enter permits, though freeing its object may take long.
void vhost_guard_close(int fd, uint64_t serial);
// Unmaps memory, some time: freeing it may take long.
void vhost_guard_unmap(void *at, size_t n_bytes);
// Some of the port's are not closed yet.
bool vhost_guard_is_closing(uint64_t serial);
