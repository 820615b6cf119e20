// Unix stream sockets that speak newline-delimited JSON-RPC. Every client has one bounded input line and a
// bounded backlog of output; who exceeds either is told, disconnected and counted.
#pragma once

#include "loop.h"
#include "rtvs/dp.h"
#include "rtvs/rpc.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define SERVER_MAX_CLIENTS 64
#define SERVER_MAX_BACKLOG_BYTES (8u << 20) // answers and events that a client has not read yet
#define SERVER_MAX_PATTERNS 256 // bytes of a subscription

struct server_stats {
	uint64_t n_accepted;
	uint64_t n_refused; // SERVER_MAX_CLIENTS were there
	uint64_t n_slow; // disconnected with SERVER_MAX_BACKLOG_BYTES unread
	uint64_t n_too_long; // disconnected for a line of more than RPC_MAX_REQUEST_BYTES
	uint64_t n_calls, n_errors; // of clients that have left
};

struct server_client {
	struct loop_source source;
	struct server *server;
	struct server_client *next;
	struct rpc_session session;
	char *in, *out;
	size_t in_len, in_size, in_scanned; // in_scanned: bytes known to hold no newline
	size_t out_len, out_size, out_off; // out_off: bytes already sent
	bool is_ending; // no more input; closed when out is empty
	bool is_dead; // closed; freed by server_reap
	bool is_subscribed;
	char patterns[SERVER_MAX_PATTERNS];
};

struct server_listener {
	struct loop_source source;
	struct server *server;
	bool is_read_only, is_paused;
	char path[RTVS_PATH_SIZE];
};

struct server {
	struct loop *loop;
	const struct rpc_api *api;
	void *ctx; // for handlers
	struct server_listener listeners[2]; // read-write, read-only
	struct server_client *clients, *caller; // caller: whose request is being executed, NULL: nobody's
	unsigned n_clients;
	struct server_stats stats;
};

void server_init(struct server *server, struct loop *loop, const struct rpc_api *api, void *ctx);
void server_fini(struct server *server);
// Is the path free for us? -EADDRINUSE: somebody answers there. A socket file that nobody serves is removed.
int server_probe(const char *path, char err[DP_ERR_SIZE]);
// Mode 0660; group NULL: the daemon's own.
int server_listen(struct server *server, const char *path, const char *group, bool is_read_only, char err[DP_ERR_SIZE]);
// Takes a connected socket over. -EUSERS at the limit; fd is closed then.
int server_adopt(struct server *server, int fd, bool is_read_only);
// Queues one line. A client with too long a backlog is closed instead.
void server_send(struct server_client *client, const json_t *message);
// Frees closed clients; not from a handler.
void server_reap(struct server *server);
// Once a second: listens again after the process had run out of descriptors.
void server_tick(struct server *server);
