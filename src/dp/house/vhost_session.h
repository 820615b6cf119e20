// The front-ends of a guest's port: which is connected, whose driver is ready, and librte_vhost's
// state of it. A port outlives its front-ends. One has it until it goes or a move to another QEMU
// process was asked for (claim.h). Of the connected ones the one whose driver became ready last has
// the port.
#pragma once

#include "io/vhost_conn.h"
#include "io/vhost_io.h"
#include "port.h"
#include "rtvs/claim.h"
#include "rtvs/dp.h"

#include <rte_vhost.h>

#include <pthread.h>
#include <stdatomic.h>

#define VHOST_MAX_FRONTENDS 4 // connected to one port at a time

struct frontend {
	int vid; // VHOST_NO_VID: free
	int socket;
	bool is_ready, was_ready; // new_device came
	bool is_told; // subscribers know of it
	uint64_t since_ns;
	uint32_t rx_enabled, tx_enabled; // bit per queue pair
	pid_t pid; // of the process at the other end
};

struct vhost {
	struct vhost_io io; // what workers have
	struct port *port;
	struct vhost_client client; // of its connections
	struct dp_port_cfg fixed; // as the port was made: the part that other threads may read
	bool is_registered; // ctl
	pthread_mutex_t lock; // of frontend[]; event thread and control thread
	struct frontend frontend[VHOST_MAX_FRONTENDS];
	_Atomic pid_t pid; // of the front-end that has the port, its driver may not be ready yet
	pthread_mutex_t claim_lock; // of claim and fault; any thread, never waits while held
	struct claim claim;
	char fault[DP_CAUSE_SIZE]; // the last one's cause, "": none since the last connection
	bool is_fault_told;
	_Atomic uint64_t n_connects, n_disconnects, n_rings_recovered;
	_Atomic int connect_errno; // of the last attempt
	uint64_t offered; // of virtio's features; ctl, before there are connections
	// features of the guest of a port on the same socket that is gone; ctl
	uint64_t used_before;
	_Atomic uint32_t n_flaps; // front-ends in a row that left at once; event thread: wo
	uint64_t errors_told; // ctl
};

extern const struct rte_vhost_device_ops vhost_session_ops; // event thread

// Control thread. add: from here on front-ends find the port by its socket; -EADDRINUSE: another
// port has that. del: not any more.
int vhost_session_add(struct vhost *v, char err[DP_ERR_SIZE]);
void vhost_session_del(struct vhost *v);
// Control thread: the library has ended all connections of the port's socket.
void vhost_session_clear(struct vhost *v);

// Any thread. Front-ends in a row left at once, and why they probably do.
bool vhost_session_is_flapping(const struct vhost *v);
void vhost_session_explain_flaps(const struct vhost *v, char *text, size_t size);
// Of enabled pairs of queues those before the first that is not.
uint32_t vhost_session_n_pairs(uint32_t pairs);
// vhost_fds_may_connect_fn.
bool vhost_session_may_connect(const char *path, pid_t pid);
// Any thread: an error line of librte_vhost, which begins with its socket's path in parentheses, is
// the port's.
void vhost_session_count_error(const char *line, size_t len);
