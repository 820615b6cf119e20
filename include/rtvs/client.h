// A program's end of the control socket: one connection, newline-delimited JSON-RPC. Errors are
// printed on stderr after the program's name.
#pragma once

#include "rtvswitch/client.h"

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

enum cli_exit {
	CLI_OK,
	CLI_REFUSED,
	CLI_USAGE,
	CLI_UNREACHABLE
};

// An answer takes this long at most, unless client_set_timeout says otherwise.
#define CLIENT_TIMEOUT_MS RTVS_CLIENT_TIMEOUT_MS

struct client;

// NULL: not reachable, and told on stderr.
struct client *client_open(const char *path);
// The same without messages, and with a time limit, also for calls (0: none): 0 or a negative
// errno.
int client_connect(const char *path, unsigned ms, struct client **ret_client);
// The daemon's process, as this process's pid namespace numbers it; 0: not known there.
pid_t client_peer_pid(const struct client *c);
void client_set_timeout(struct client *c, unsigned ms); // 0: none
// Readable: the connection ended, where there are no events. Not to be read.
int client_fd(const struct client *c);
void client_close(struct client *c); // NULL is accepted
// One call; params is stolen (NULL: none). CLI_OK with a new reference in *ret_result. CLI_REFUSED:
// the server's message is in *ret_error (new reference, {"code","message",...}). CLI_UNREACHABLE:
// the connection broke, with a message on stderr.
enum cli_exit client_call(
	struct client *c, const char *method, json_t *params, json_t **ret_result, json_t **ret_error);
// The same with the server's message on stderr.
enum cli_exit client_ask(struct client *c, const char *method, json_t *params, json_t **ret_result);
// The next notification {"method","params"}, new reference, within so many milliseconds (-1:
// without limit). Prints nothing. -ETIMEDOUT: no event came; -EINTR: a signal came; other errors:
// the connection ended.
int client_event_within(struct client *c, int ms, json_t **ret_event);
