// Messages between a daemon and the one that takes over from it: JSON objects, and descriptors,
// over a SOCK_SEQPACKET socket pair of the two. docs/upgrade.md has the protocol. The former daemon
// says:
//
//   hello    {format, version, taps, xdp, fds: page, configuration, rings, ids, control, monitor}
//   fd       {name}, a descriptor of the datapath (dp_give_fd)
//   prepared {}: all of these were sent
//   client   {monitor, patterns, input}, a connection of the control socket
//   go       {halted_ns, fds: state}: it has stopped
//   released {fds: peers}: what could not be handed over is closed, and peers are not heard any
//            more
//
// and the next one: ready {version, taps, xdp} to hello, warm to prepared, taken {resumed_ns} to
// go, or error {text} and its end. taps, xdp: TAPs, and sockets of AF_XDP, go over by descriptor if
// both say so; else the former closes them before it says `released`, and the next one makes them
// then.
#pragma once

#include "rtvs/dp.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Of all that the two say and share. A daemon that knows it not is refused, and the former goes on.
#define HAND_OVER_FORMAT 1
#define HAND_OVER_MAX_FDS 8 // of a message
#define HAND_OVER_MAX_BYTES (128u << 10)

// Who has the guests' rings. It changes once in a hand-over, by compare and swap: a process that
// finds another one in it touches none of them.
enum hand_over_owner {
	HAND_OVER_FORMER,
	HAND_OVER_NEXT, // it has begun to take over
	HAND_OVER_BACK // the former one did not wait any longer
};

// Shared memory of the two.
struct hand_over_page {
	_Atomic uint32_t owner;
};

struct hand_over_message {
	json_t *body; // an object
	int fd[HAND_OVER_MAX_FDS];
	unsigned n_fds;
};

// Steals the body; NULL: out of memory. Waits for room as long as the socket is set to.
// 0 or a negative errno. now: does not wait; -EAGAIN.
int hand_over_send_now(int socket, json_t *body, const int *fds, unsigned n_fds);
int hand_over_send(int socket, json_t *body, const int *fds, unsigned n_fds);
// Waits timeout_ms at most. -ETIMEDOUT; -ECONNRESET: the other end is gone; -EPROTO. The caller
// calls fini after 0.
int hand_over_receive(int socket, int timeout_ms, struct hand_over_message *ret_message);
// Is it of this type?
bool hand_over_is(const struct hand_over_message *message, const char *type);
// What the other one goes on with by descriptor, by its hello or ready: enum dp_hands.
uint32_t hand_over_hands(const struct hand_over_message *message);
// The first descriptor that is left, which is the caller's from here on; -1: there is none.
int hand_over_take_fd(struct hand_over_message *message);
void hand_over_fini(struct hand_over_message *message); // with the descriptors that are left

// While guests wait, this thread is ahead of ordinary ones. What the kernel refuses is not needed.
void hand_over_hurry(bool is_on);

// A file in memory with these bytes. A descriptor or a negative errno.
int hand_over_file(const char *name, const void *bytes, size_t len);
// The bytes of such a file, with a 0 behind; the caller frees. NULL: out of memory, or unreadable.
char *hand_over_read(int fd, size_t *ret_len);
// Maps such a file of one page. NULL: it is none.
struct hand_over_page *hand_over_map(int fd);
void hand_over_unmap(struct hand_over_page *page); // NULL is accepted
