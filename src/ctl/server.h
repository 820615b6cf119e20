// Unix stream sockets that speak newline-delimited JSON-RPC. Every client has one bounded input
// line, one answer that it has not read yet, and a bounded backlog of events. Its next request
// waits until it has read the answer. Places are for clients that use them: at a limit, the client
// that has been idle longest is closed. A subscriber never is, but subscribers have fewer places
// than there are. A new client that finds no room waits in the listener's queue.
#pragma once

#include "loop.h"
#include "rtvs/dp.h"
#include "rtvs/rpc.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define SERVER_MAX_CLIENTS 128
#define SERVER_MAX_PER_PROCESS 32 // clients of one process
#define SERVER_MAX_SUBSCRIBERS 64 // clients
// A client without a complete request for so long is idle, whatever it has under way.
#define SERVER_PATIENCE_TICKS 2
#define SERVER_MAX_READ_ONLY_BYTES (1u << 20) // of a line on the monitors' socket
#define SERVER_MAX_BACKLOG_BYTES (8u << 20) // events that a client has not read yet
#define SERVER_MAX_PATTERNS 256 // bytes of a subscription

// What the clients of a server may do. server_init sets those of the control socket.
struct server_limits {
	unsigned n_clients;
	bool is_newest_alone; // a new client takes the place of the one before, whatever that does
	size_t line_bytes; // of a request
	const char *line_text; // the same for people
	size_t backlog_bytes; // events that a client has not read yet
	unsigned n_batch; // calls in one batch
	// Lines and calls of all clients in a tick, and after ticks without any; 0: no limit. Then
	// nothing is read until the next tick.
	unsigned calls_per_tick, calls_burst;
	// Lines are skipped, and not answered, until a call of a method with RPC_STARTUP has set
	// the client's is_greeted.
	bool has_hello;
};

// A socket file. owner and group: NULL or empty: the daemon's own.
struct server_socket {
	const char *path, *owner, *group;
	uint32_t mode;
};

struct server_stats {
	uint64_t n_accepted;
	uint64_t n_refused; // there was no room, and no client could make any
	uint64_t n_evicted; // idle clients that made room
	uint64_t n_slow; // disconnected with SERVER_MAX_BACKLOG_BYTES unread
	uint64_t n_too_long; // disconnected for a line that is longer than the limit
	uint64_t n_replaced; // by a newer client
	uint64_t n_skipped; // lines before a hello
	uint64_t n_paused; // ticks in which calls waited for the next one
	uint64_t n_calls, n_errors; // of clients that have left
};

struct server_client {
	struct loop_source source;
	struct server *server;
	struct server_client *next;
	struct rpc_session session;
	char *in, *out;
	size_t in_len, in_size, in_off,
		in_scanned; // in_off: bytes already executed; up to in_scanned there is no newline
	// out_off: bytes already sent; out_answer: where the answer ends
	size_t out_len, out_size, out_off, out_answer;
	int pid; // of the process that connected; 0: of another pid namespace
	uint64_t turn, tick; // of its last request, or of its arrival
	bool has_spoken; // a request of it was executed
	bool is_greeted;
	bool is_eof; // nothing more comes; what came is executed
	bool is_ending; // nothing more is executed; closed when out is empty
	bool is_dead; // closed; freed by server_reap
	bool is_subscribed;
	char patterns[SERVER_MAX_PATTERNS];
};

struct server_listener {
	struct loop_source source;
	struct server *server;
	bool is_read_only, is_paused;
	unsigned n_paused_ticks; // since it accepted a client
	char path[RTVS_PATH_SIZE];
};

struct server {
	struct loop *loop;
	const struct rpc_api *api;
	void *ctx; // for handlers
	// Of the clients' sessions.
	void (*done)(void *ctx, const struct rpc_method *method, const json_t *params, int rc);
	struct server_limits limits;
	int64_t n_calls_left; // in this tick; below 0 after a batch
	struct server_listener listeners[2]; // read-write, read-only
	// caller: whose request is being executed, NULL: no client's
	struct server_client *clients, *caller;
	unsigned n_clients;
	uint64_t n_turns, n_ticks; // requests and arrivals; calls of server_tick
	struct server_stats stats;
};

void server_init(struct server *server, struct loop *loop, const struct rpc_api *api, void *ctx);
void server_fini(struct server *server);
// Is the path free for us? -EADDRINUSE: a process answers there. A socket file without a server is
// removed.
int server_probe(const char *path, char err[DP_ERR_SIZE]);
int server_listen(struct server *server, const struct server_socket *socket, bool is_read_only, char err[DP_ERR_SIZE]);
// Likewise, of a socket that listens at that path already; it is the server's from here on.
int server_take(struct server *server, int fd, const char *path, bool is_read_only);
// Takes a connected socket over. -EUSERS at a limit: the client was told, and fd is closed.
int server_adopt(struct server *server, int fd, bool is_read_only);
// Likewise, of a client of a former daemon, as that describes it: {monitor, subscribed, patterns,
// input}.
void server_adopt_handed(struct server *server, int fd, const json_t *client);
// Lets the caller have events. -EUSERS at the limit of subscribers.
int server_subscribe(struct server_client *client, const char *patterns);
// Of the caller, or -1: nobody's that is known.
int64_t server_caller_uid(const struct server *server);
// Queues an event. A client with too long a backlog is closed instead.
void server_send(struct server_client *client, const json_t *message);
// With the calls of clients that are there.
struct server_stats server_stats(const struct server *server);
// Frees closed clients; not from a handler.
void server_reap(struct server *server);
// Once a second: clients become idle, listeners that had no room or no descriptor try again, and
// calls that waited are executed.
void server_tick(struct server *server);
