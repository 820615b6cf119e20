// The other end of a vhost-user connection: its messages with their descriptors, and all that an
// honest front-end says from its first message to its last, as a table. Tests send parts of it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRONT_FDS 33 // descriptors of a message here; the protocol has 8 at most
#define FRONT_PAIRS 8u
#define FRONT_RING_BYTES 0x4000u // a ring's three parts
#define FRONT_RING_SIZE 256u
#define FRONT_MEM_BYTES (2 * FRONT_PAIRS * FRONT_RING_BYTES)
#define FRONT_USER (UINT64_C(1) << 40) // of the memory in the front-end
#define FRONT_FILE "front" // the memory's in /proc/self/maps

enum front_kind {
	FRONT_EVENT,
	FRONT_MEMORY,
};

struct front_message {
	uint32_t request, n_bytes; // of its payload
	uint64_t word[9]; // the payload
	uint32_t n_fds;
	enum front_kind kind; // of them
	bool names_ring; // by the first byte
};

// Its first pair of queues runs, and half of the second, before they end one by one.
extern const struct front_message front_session[];
extern const unsigned front_n_messages;

// False: the other end hung up.
bool front_send(int socket, const void *bytes, size_t n, const int *fds, unsigned n_fds);
bool front_say(int socket, uint32_t request, const void *payload, uint32_t n, int fd); // -1: none
bool front_say_u64(int socket, uint32_t request, uint64_t value, int fd);
bool front_say_state(int socket, uint32_t request, uint32_t ring, uint32_t value);
bool front_say_memory(int socket);
bool front_say_event(int socket, uint32_t request, uint32_t ring);
bool front_say_addr(int socket, uint32_t ring);
bool front_start(int socket, unsigned n_rings); // memory and so many rings, enabled

int front_memory(size_t n_bytes); // a file
// What this process has of front-ends.
unsigned front_n_fds(void); // all descriptors
unsigned front_n_maps(void); // mappings of such files
