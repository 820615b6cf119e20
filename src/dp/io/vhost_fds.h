// Connections of vhost-user front-ends and the descriptors that came with their messages, beneath
// librte_vhost. Each descriptor is checked before the library has it, counted while it is open, and
// closed at the latest with its connection. A front-end that breaks a rule loses its connection,
// and the reason is reported.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct vhost_client;

// Event thread: a process has connected to a socket with that path. False: it is a port's, and the
// process must not have it.
typedef bool vhost_fds_may_connect_fn(const char *path, pid_t pid);

// Open ones of a connection: a table of 8 regions and its successor, 16 rings with kick and call,
// one of each new.
#define VHOST_FDS_BUDGET 64
#define VHOST_MESSAGE_WAIT_MS 10 // a front-end sends a message's parts at once

int vhost_fds_start(vhost_fds_may_connect_fn *may_connect); // 0 or a negative errno
// In librte_vhost's new_connection: takes the connection that this thread accepted or made last for
// the client's. Returns its descriptor, or -1: no room; ret_pid is the process at its other end, 0:
// not known.
int vhost_fds_adopt(struct vhost_client *client, pid_t *ret_pid);
// The front-end of an adopted connection has closed it, though librte_vhost may not have seen that
// yet.
bool vhost_fds_is_hung_up(int socket);

// Control thread, before and after rte_vhost_driver_start of a port that connects: what comes from
// the connection meanwhile is not read.
void vhost_fds_connect_begin(void);
void vhost_fds_connect_end(void);
// Control thread, before and after rte_vhost_driver_unregister, which closes a connection before
// its descriptors.
void vhost_fds_unregister_begin(void);
void vhost_fds_unregister_end(void);
