// The agent's socket in the guest. A serial port has one user, so that other programs speak the
// channel's protocol here while the agent has it. One thread; nothing waits for a program that does
// not read.
#pragma once

#include <jansson.h>
#include <poll.h>

#define RELAY_CLIENTS_MAX 8
#define RELAY_LINE_BYTES_MAX 65536
#define RELAY_ERR_SIZE 256

struct relay;

// Of a request {method, params, id}: the answer's result, new reference, or NULL with err.
typedef json_t *(*relay_fn)(void *arg, const char *method, const json_t *params, char err[RELAY_ERR_SIZE]);

// path: a socket at which nobody listens is replaced. NULL with err.
struct relay *relay_create(const char *path, relay_fn answer_cb, void *arg, char err[RELAY_ERR_SIZE]);
void relay_destroy(struct relay *relay); // NULL is accepted
// What to wait for. Returns how many.
unsigned relay_poll(const struct relay *relay, struct pollfd fds[RELAY_CLIENTS_MAX + 1]);
// Accepts, answers, and forgets who has left.
void relay_serve(struct relay *relay);
// To those whose hello asked for events.
void relay_tell(struct relay *relay, const json_t *event);
