// The differences between types of ports, for the control thread. A new type is one file with a
// table, and a row in rtvs/port_traits.h.
#pragma once

#include "port.h"

// Of front-ends, in all processes that had the port.
struct port_connects {
	uint64_t n_connects, n_disconnects, n_rings_recovered;
};

struct port_type {
	// open: make the device from port->cfg. start and stop: link up and down by the operator.
	int (*open)(struct port *port, char err[DP_ERR_SIZE]);
	void (*close)(struct port *port);
	int (*start)(struct port *port, char err[DP_ERR_SIZE]);
	void (*stop)(struct port *port);
	// Before port->cfg becomes cfg: what the device itself has of it. NULL: nothing.
	int (*configure)(struct port *port, const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE]);
	void (*state)(const struct port *port, struct dp_port_state *ret_state);
	// Of the packets that tx took, those that the device says it did not send. NULL: none.
	uint64_t (*tx_lost)(const struct port *port);
	void (*housekeeping)(struct port *port);
	// The state for the next port at the same far end, of this process (kept.h) or of one that
	// takes over from it: plain numbers in a struct that begins with its version, valid on this
	// machine, aligned to 8 bytes. Both NULL: there is none. save returns the length,
	// 0: there is none now, and writes when that is no more than size. No worker uses the port.
	size_t (*save)(const struct port *port, void *state, size_t size);
	// dp_port_move, which makes the schedule behind it. NULL: -EOPNOTSUPP.
	int (*move)(struct port *port, uint64_t for_ns);
	// Sends the port's sockets and connections to a process that takes over, if anything is new
	// since the last time. The lock of guest_loop.h is held. NULL: there are none, and that
	// process opens the device when this one has ended. Errors: as dp_hand_prepare.
	// is_last: what a front-end holds up is left out, and that front-end has to connect again.
	int (*hand)(struct port *port, const struct dp_fd_store *to, bool is_last, char err[DP_ERR_SIZE]);
	// In that process, before start: whatever of it can fail. NULL: nothing can.
	int (*warm)(struct port *port, char err[DP_ERR_SIZE]);
	// After open, before start. -EINVAL: another version or length, or a number that save does
	// not write; the port is then as it was.
	int (*restore)(struct port *port, const void *state, size_t len);
	// Both NULL: no front-end of the port outlives a hand-over. go_on: of the process before,
	// after open, before start. A connection that goes on is among them.
	void (*connects)(const struct port *port, struct port_connects *ret_connects);
	void (*go_on)(struct port *port, const struct port_connects *connects);
	const struct port_io *io; // NULL: it has no device of its own
};

#define X(arg, id, name, traits, about) extern const struct port_type port_##name##_type;
PORT_TYPES(X, )
#undef X
