// The front-ends of a guest's port: which is connected, whose driver is ready, and which has the
// port. A port outlives its front-ends. One has it until it goes or a move to another QEMU process
// was asked for (claim.h). Of the connected ones the one whose driver became ready last has the
// port. When a guest stops in one process to go on in another that is connected, the port keeps its
// link for up to VHOST_AWAY_NS: packets for the guest wait in the port's schedule.
#pragma once

#include "io/guest_loop.h"
#include "port.h"
#include "ring_states.h"
#include "rtvs/claim.h"
#include "rtvs/dp.h"

#include <pthread.h>
#include <stdatomic.h>

// QEMU stops a guest for 300 ms at most, unless it is told otherwise.
#define VHOST_AWAY_NS UINT64_C(1000000000)

struct frontend {
	struct guest_link *link; // NULL: free
	bool is_ready, was_ready; // its driver has set up the first pair of rings
	bool is_told; // subscribers know of it
	bool is_second; // another one was connected
	uint32_t enabled; // its rings, when workers were told
	uint64_t since_ns;
	pid_t pid; // of the process at the other end
};

struct port_connects;

struct vhost {
	struct guest_io io; // what workers have
	struct port *port;
	struct guest_port served; // what the thread of connections has
	struct vdpa_device *device; // that moves the rings (io/vdpa_device.h), NULL: workers do
	struct dp_port_cfg fixed; // as the port was made: the part that other threads may read
	bool is_bound; // its socket file is there; ctl
	_Atomic bool is_off; // workers do not get its rings; ctl: wo
	struct ring_record *record; // of its rings and connection, NULL: none is kept. loop: rw
	uint64_t n_changes; // events of its connections; under the loop's lock
	// Of these, when link_store.c looked last, and when it stored the connection; ctl
	uint64_t n_looked, n_stored;
	// Likewise + 1, when it was sent to the process that takes over, in hand-over number
	// `hand`; ctl
	uint64_t n_handed, hand;
	bool is_stored, is_store_asked; // ctl
	// The memory's that are stored, ctl; see link_store.c.
	int stored_file[VHOST_USER_KEPT_REGIONS];
	unsigned n_stored_files;
	struct frontend frontend[GUEST_LOOP_LINKS]; // under the loop's lock, as `has`
	struct frontend *has; // the port, NULL: none does
	// Its guest is on the way between two of them until then, 0: it is not. Changed under the
	// loop's lock
	_Atomic uint64_t away_until_ns;
	_Atomic pid_t pid; // of the front-end that has the port, its driver may not be ready yet
	_Atomic bool is_ready; // its driver is
	_Atomic uint64_t features; // that its driver negotiated; of the last one
	_Atomic uint32_t n_pairs, mtu; // that its driver enabled, and told; 0: none
	pthread_mutex_t claim_lock; // of claim and fault; any thread, never waits while held
	struct claim claim;
	char fault[DP_CAUSE_SIZE]; // the last one's cause, "": none since the last connection
	bool is_fault_told;
	_Atomic uint64_t n_connects, n_disconnects, n_rings_recovered;
	// The former process had a connection, which counts as lost until it goes on; ctl
	bool has_former;
	_Atomic int connect_errno; // of the last attempt
	// features of the guest of a port on the same socket that is gone; ctl
	uint64_t used_before;
	_Atomic uint32_t n_flaps; // front-ends in a row that left at once; loop: wo
	uint64_t errors_told; // ctl
};

// Features of rings and offloads that the configuration offers.
uint64_t vhost_session_offers(const struct dp_port_cfg *cfg);

// Control thread. v: zeroes. far_end: where front-ends come from; the rings' state is kept by that.
// Front-ends are those of a vhost-user socket, unless v->served and v->io.signal are changed.
void vhost_session_open(struct vhost *v, struct port *port, uint64_t offered, const char *far_end);
void vhost_session_close(struct vhost *v); // it is served no more
// True: a driver uses the port, and all of *ret_state but the detail is told; else a part.
bool vhost_session_state(struct vhost *v, struct dp_port_state *ret_state);
// Control thread, before the port is started: counters of the former process. adopted: its
// connection goes on, and was counted here as another one.
void vhost_session_connects(const struct vhost *v, struct port_connects *ret_connects);
void vhost_session_go_on(struct vhost *v, const struct port_connects *connects);
void vhost_session_adopted(struct vhost *v);
void vhost_session_housekeeping(struct port *port);

// Any thread. Front-ends in a row left at once, and why they probably do.
bool vhost_session_is_flapping(const struct vhost *v);
void vhost_session_explain_flaps(const struct vhost *v, char *text, size_t size);
