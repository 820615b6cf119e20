// Programs in C that control rtvswitchd: a connection to its control socket. rtvswitch-api(7)
// describes the methods, their parameters and results, and the events of "events.subscribe".
// Compile with `pkg-config --cflags --libs rtvswitch`.
//
// Functions return 0 or a negative errno, leave ret_* untouched on failure, and print nothing. A
// connection belongs to one thread at a time; no signal is raised when the daemon ends.
#pragma once

#include <jansson.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RTVS_CLIENT_SOCKET "/run/rtvswitch/control.sock"
// An answer takes this long at most, unless rtvs_client_set_timeout says otherwise: systemd
// restarts a daemon that hangs after 10 s.
#define RTVS_CLIENT_TIMEOUT_MS 15000

struct rtvs_client;

// path NULL: RTVS_CLIENT_SOCKET. -ENOENT, -ECONNREFUSED: no daemon there; -EACCES: not a member of
// its group; -ENAMETOOLONG.
int rtvs_client_open(const char *path, struct rtvs_client **ret_client);
// The same with its own limit, in milliseconds, for the call itself, too; 0: none. -ETIMEDOUT: the
// daemon's queue of connections is full.
int rtvs_client_open_within(const char *path, unsigned ms, struct rtvs_client **ret_client);
void rtvs_client_close(struct rtvs_client *c); // NULL is accepted
// For calls from here on, in milliseconds; 0: without limit.
void rtvs_client_set_timeout(struct rtvs_client *c, unsigned ms);
// One call. params is an object or NULL, and stolen, also on failure. 0: *ret_result is a new
// reference.
// -EREMOTEIO: the daemon refused; *ret_error is a new reference to {"code", "message", "data"?}.
// -ETIMEDOUT, -EINTR: no answer so far; a later one is skipped, and the connection remains usable.
// -ECONNRESET: the daemon closed the connection; -EPROTO: the received line is no answer; others of
// send(2) and recv(2). Events that come meanwhile are lost: use a second connection for them.
int rtvs_client_call(
	struct rtvs_client *c, const char *method, json_t *params, json_t **ret_result, json_t **ret_error);
// The next event, a new reference to {"method", "params"}. Waits for ms milliseconds, -1: without
// limit.
// -ETIMEDOUT: none came; else as above.
int rtvs_client_event(struct rtvs_client *c, int ms, json_t **ret_event);
// To poll for events. Data that were read already do not show there: take events with ms = 0 until
// none comes, then poll.
int rtvs_client_fd(const struct rtvs_client *c);

#ifdef __cplusplus
}
#endif
