// Positions of guests' packed rings (rtvs/guest_state.h) and what is known of their connections
// (link_store.h) in a file, by the port's socket, so that the next daemon finds them after a crash.
// The file is on a tmpfs: it ends with the guests at the host's end. Control thread.
#pragma once

#include "rtvs/dp.h"
#include "rtvs/guest_state.h"
#include "rtvs/vhost_user.h"

#include <stdatomic.h>

#define LINK_RECORD_VERSION 1

enum link_whole {
	LINK_PARTIAL, // the connection was changing
	LINK_STORED, // and all of the set is in the descriptor store
	LINK_HANDED, // and all of the set is with the process that takes over
};

// A connection whose descriptors are stored, or handed over.
struct link_record {
	uint32_t version; // 0: there never was one
	uint32_t serial; // of the set of descriptors that is stored
	_Atomic uint32_t is_whole; // enum link_whole: what follows is so
	uint32_t n_files; // of memory
	uint32_t kicks, calls; // rings that have one, as bits
	uint8_t file[VHOST_USER_KEPT_REGIONS]; // by region
	struct vhost_user_kept session;
};

struct ring_record {
	char socket[RTVS_PATH_SIZE]; // empty: none so far
	struct guest_state ring[VHOST_USER_MAX_RINGS];
	struct link_record link;
};

struct ring_states;

// path: of the file, which is made if it is not there. NULL: it cannot be used, which is logged;
// rings are then found by their flags alone.
struct ring_states *ring_states_open(const char *path);
// In memory alone: for a process that takes over, and after no crash. NULL: out of memory.
struct ring_states *ring_states_create(void);
// Those of another process, by the descriptor of its file, which is taken in any case. NULL: it is
// none of this version.
struct ring_states *ring_states_join(int fd);
int ring_states_fd(const struct ring_states *states);
void ring_states_close(struct ring_states *states); // NULL is accepted; the file stays

// A socket's record: as the socket's last port left it, or zeroes. NULL: there is no file. It is
// the caller's until release, which leaves it as it is.
struct ring_record *ring_states_take(struct ring_states *states, const char *socket);
// NULL is accepted.
void ring_states_release(struct ring_states *states, const struct ring_record *record);
// The record's place in the file.
unsigned ring_states_index(const struct ring_states *states, const struct ring_record *record);
