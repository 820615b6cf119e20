// Calls that a front-end can make wait, with a bound. A front-end shares the open file behind a descriptor that it sent and may fill an
// eventfd or clear its O_NONBLOCK at any time, so a worker's interrupt write may block although all was checked; and what lies in a
// queue of messages may be a socket that lingers, so whatever drops messages may wait. A supervisor interrupts them. Descriptors are
// closed by other threads: those that nothing is known of wait for their own port's only.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define VHOST_GUARD_PERIOD_MS 1 // a worker's call takes twice that at most

int vhost_guard_start(void); // 0 or a negative errno
void vhost_guard_stop(void);

// A worker's first act: its calls are watched.
void vhost_guard_join(unsigned worker);
// Any thread, around a system call that may drop what a front-end sent.
void vhost_guard_enter(void);
void vhost_guard_leave(void);
// Writes one to a front-end's eventfd, which owner (vhost_conn_owner) names. False: it could not be written.
bool vhost_guard_notify(int fd, unsigned owner);

// Closes a descriptor, some time. serial: of the port whose it is, which nothing is known of; 0: one that is known to wait only as
// long as vhost_guard_enter allows, though freeing what it held may take long.
void vhost_guard_close(int fd, uint64_t serial);
// Some of the port's are not closed yet.
bool vhost_guard_is_closing(uint64_t serial);
