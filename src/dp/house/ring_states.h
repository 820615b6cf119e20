// Positions of guests' packed rings in a file (rtvs/guest_state.h), by the port's socket, so that
// the next daemon finds them after a crash. The file is on a tmpfs: it ends with the guests at the
// host's end. Control thread.
#pragma once

#include "rtvs/guest_state.h"

struct ring_states;

// path: of the file, which is made if it is not there. NULL: it cannot be used, which is logged;
// rings are then found by their flags alone.
struct ring_states *ring_states_open(const char *path);
void ring_states_close(struct ring_states *states); // NULL is accepted; the file stays

// The states of a socket's rings, VHOST_USER_MAX_RINGS: those that the socket's last port left, or
// zeroes. NULL: there is no file. They are the caller's until release, which leaves them as they
// are.
struct guest_state *ring_states_take(struct ring_states *states, const char *socket);
// NULL is accepted.
void ring_states_release(struct ring_states *states, const struct guest_state *rings);
