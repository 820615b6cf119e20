// The control sockets. Accepts, cuts input into lines, passes each to rpc_dispatch and sends the
// answers; events.c sends through server_send as well. Nothing here blocks and nothing here knows a
// method.
// Invariant: a client is in the list until server_reap, so a walk of the list may close any client
// meanwhile.
#include "server.h"

#include "rtvs/log.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SERVER_READ_BYTES 65536 // a turn: other clients come in between
#define SERVER_LISTEN_BACKLOG 1024 // clients that wait for room

static void
resume_listeners(struct server *server)
{
	for (unsigned i = 0; i < 2; i++) {
		struct server_listener *l = &server->listeners[i];
		if (l->is_paused)
			loop_set(server->loop, &l->source, EPOLLIN);
		l->is_paused = false;
	}
}

static void
client_close(struct server_client *c)
{
	if (c->is_dead)
		return;
	loop_close(c->server->loop, &c->source);
	c->is_dead = true;
	c->is_subscribed = false;
	c->server->n_clients--;
	c->server->stats.n_calls += c->session.n_calls;
	c->server->stats.n_errors += c->session.n_errors;
	resume_listeners(c->server);
}

// Recently, for the limits: neither idle nor waiting for its turn to be closed.
static void
client_touch(struct server_client *c)
{
	c->turn = ++c->server->n_turns;
	c->tick = c->server->n_ticks;
}

// Is it sure that closing the client loses no answer? Half a request and an unread answer are
// waited for, as is the first request of a new client, but not for ever.
static bool
client_is_idle(const struct server_client *c)
{
	bool is_overdue = c->server->n_ticks - c->tick >= SERVER_PATIENCE_TICKS;
	int n_unread = 0;

	if (c->is_dead || c->is_subscribed)
		return false;
	if (c->in_len > 0 || c->out_len > 0)
		return is_overdue;
	return (c->has_spoken || is_overdue) && ioctl(c->source.fd, FIONREAD, &n_unread) == 0 && n_unread == 0;
}

// Of the process, or of all (0).
static bool
evict_idle(struct server *server, int pid)
{
	struct server_client *found = NULL;

	for (struct server_client *c = server->clients; c; c = c->next)
		if ((pid == 0 || c->pid == pid) && client_is_idle(c) && (!found || c->turn < found->turn))
			found = c;
	if (!found)
		return false;
	server->stats.n_evicted++;
	client_close(found);
	return true;
}

static bool
has_room(struct server *server)
{
	return server->limits.is_newest_alone || server->n_clients < server->limits.n_clients || evict_idle(server, 0);
}

static bool
has_room_for(struct server *server, int pid)
{
	unsigned n = 0;

	for (const struct server_client *c = server->clients; c; c = c->next)
		n += !c->is_dead && c->pid == pid;
	return pid == 0 || n < SERVER_MAX_PER_PROCESS || evict_idle(server, pid);
}

static bool
has_calls_left(const struct server *server)
{
	return !server->limits.calls_per_tick || server->n_calls_left > 0;
}

// Nothing is read while an answer waits for its reader: a client that reads slowly is served
// slowly.
static void
client_want(struct server_client *c)
{
	bool is_reading = !c->is_eof && !c->is_ending && c->out_len == 0 && has_calls_left(c->server);

	loop_set(c->server->loop, &c->source, (is_reading ? EPOLLIN : 0u) | (c->out_len > 0 ? EPOLLOUT : 0u));
}

static void
client_flush(struct server_client *c)
{
	while (c->out_off < c->out_len) {
		ssize_t n =
			send(c->source.fd, c->out + c->out_off, c->out_len - c->out_off, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			client_close(c);
			return;
		}
		if (n < 0)
			return;
		c->out_off += (size_t)n;
	}
	free(c->out);
	c->out = NULL;
	c->out_len = c->out_size = c->out_off = c->out_answer = 0;
}

// Makes room for len more bytes of output.
static bool
client_reserve(struct server_client *c, size_t len)
{
	size_t unread = c->out_len - c->out_off;
	size_t size = c->out_size ? c->out_size : 4096;
	char *out;

	if (c->out_off > 0) {
		memmove(c->out, c->out + c->out_off, unread);
		c->out_answer -= c->out_off < c->out_answer ? c->out_off : c->out_answer;
		c->out_len = unread;
		c->out_off = 0;
	}
	if (unread + len <= c->out_size)
		return true;
	while (size < unread + len)
		size *= 2;
	out = realloc(c->out, size);
	if (!out)
		return false;
	c->out = out;
	c->out_size = size;
	return true;
}

static bool
client_may_have_event(struct server_client *c, size_t len)
{
	size_t unread = c->out_len - (c->out_off > c->out_answer ? c->out_off : c->out_answer);

	if (unread + len <= c->server->limits.backlog_bytes)
		return true;
	c->server->stats.n_slow++;
	log_warning("client disconnected: %zu bytes of events unread, %zu more to send, limit %zu", unread, len,
		c->server->limits.backlog_bytes);
	return false;
}

static void
client_send(struct server_client *c, const json_t *message, bool is_answer)
{
	size_t len = json_dumpb(message, NULL, 0, JSON_COMPACT);
	bool is_first = c->out_len == 0;

	if (c->is_dead)
		return;
	if (len == 0 || (!is_answer && !client_may_have_event(c, len + 1)) || !client_reserve(c, len + 1)) {
		client_close(c);
		return;
	}
	(void)json_dumpb(message, c->out + c->out_len, len, JSON_COMPACT);
	c->out_len += len;
	c->out[c->out_len++] = '\n';
	if (is_answer)
		c->out_answer = c->out_len;
	// Else the socket is full, and client_on_ready sends both.
	if (is_first)
		client_flush(c);
	if (!c->is_dead)
		client_want(c);
}

void
server_send(struct server_client *c, const json_t *message)
{
	client_send(c, message, false);
}

static void
client_refuse(struct server_client *c, int code, const char *text)
{
	json_t *answer =
		json_pack("{s:s, s:{s:i, s:s}, s:n}", "jsonrpc", "2.0", "error", "code", code, "message", text, "id");

	c->is_ending = true;
	if (answer)
		client_send(c, answer, true);
	else
		client_close(c);
	json_decref(answer);
}

static void
client_line(struct server_client *c, const char *line, size_t len)
{
	const struct rpc_session before = c->session;
	json_t *answer;

	c->server->n_calls_left--;
	if (len > 0 && line[len - 1] == '\r')
		len--;
	if (len == 0)
		return;
	c->server->caller = c;
	client_touch(c);
	c->has_spoken = true;
	answer = rpc_dispatch(&c->session, line, len);
	c->server->caller = NULL;
	if (c->server->limits.has_hello && !c->is_greeted) {
		c->server->stats.n_skipped++;
		c->session = before;
		json_decref(answer);
		return;
	}
	if (c->session.n_calls > before.n_calls)
		c->server->n_calls_left -= (int64_t)(c->session.n_calls - before.n_calls - 1);
	if (answer)
		client_send(c, answer, true);
	json_decref(answer);
}

static bool
is_monitor(const struct server_client *c)
{
	return c->session.only_flags & RPC_READ_ONLY;
}

// A configuration is the longest request: who may not apply one needs no room for it.
static size_t
max_line(const struct server_client *c)
{
	return is_monitor(c) ? SERVER_MAX_READ_ONLY_BYTES : c->server->limits.line_bytes;
}

static void
client_refuse_line(struct server_client *c)
{
	char text[96];

	(void)snprintf(text, sizeof(text), "request longer than %s",
		is_monitor(c) ? "1 MiB on the monitors' socket" : c->server->limits.line_text);
	c->server->stats.n_too_long++;
	client_refuse(c, RPC_INVALID_REQUEST, text);
}

// The next line of the input, and at its end the rest.
static bool
client_next_line(struct server_client *c, const char **ret_line, size_t *ret_len)
{
	size_t begin = c->in_off;
	const char *end =
		c->in_scanned < c->in_len ? memchr(c->in + c->in_scanned, '\n', c->in_len - c->in_scanned) : NULL;

	c->in_scanned = end ? (size_t)(end - c->in) + 1 : c->in_len;
	if (begin == c->in_len || (!end && !c->is_eof && c->in_len - begin <= max_line(c)))
		return false;
	*ret_line = c->in + begin;
	*ret_len = c->in_scanned - begin - (end ? 1 : 0);
	c->in_off = c->in_scanned;
	return true;
}

static void
client_forget_input(struct server_client *c)
{
	free(c->in);
	c->in = NULL;
	c->in_len = c->in_size = c->in_off = c->in_scanned = 0;
}

// Executes lines until the answer of one waits for its reader, or no further call is allowed.
static void
client_run(struct server_client *c)
{
	const char *line;
	size_t len;

	client_flush(c);
	while (!c->is_dead && !c->is_ending && c->out_len == 0 && has_calls_left(c->server) &&
		client_next_line(c, &line, &len)) {
		if (len <= max_line(c))
			client_line(c, line, len);
		else
			client_refuse_line(c);
	}
	if (c->is_dead)
		return;
	if (c->in_off == c->in_len)
		client_forget_input(c);
	if ((c->is_ending || (c->is_eof && (!c->in || has_calls_left(c->server)))) && c->out_len == 0)
		client_close(c);
	else
		client_want(c);
}

static void
client_read(struct server_client *c)
{
	ssize_t n;

	if (c->in_off > 0) {
		c->in_len -= c->in_off;
		c->in_scanned -= c->in_off;
		memmove(c->in, c->in + c->in_off, c->in_len);
		c->in_off = 0;
	}
	if (c->in_size - c->in_len < SERVER_READ_BYTES) {
		size_t size = c->in_size ? 2 * c->in_size : SERVER_READ_BYTES;
		char *in = realloc(c->in, size);
		if (!in) {
			client_close(c);
			return;
		}
		c->in = in;
		c->in_size = size;
	}
	n = recv(c->source.fd, c->in + c->in_len, SERVER_READ_BYTES, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		client_close(c);
		return;
	}
	// The peer may have shut down its half only: its last request, with a newline or without,
	// is answered.
	if (n == 0)
		c->is_eof = true;
	c->in_len += (size_t)n;
	client_run(c);
}

static void
client_on_ready(struct loop_source *source, uint32_t events)
{
	struct server_client *c = LOOP_OWNER(source, struct server_client, source);
	struct server *server = c->server;

	if (events & EPOLLOUT)
		client_run(c);
	if (!c->is_dead && !c->is_eof && !c->is_ending && c->out_len == 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		client_read(c);
	else if (!c->is_dead && (events & (EPOLLHUP | EPOLLERR)))
		client_close(c);
	server_reap(server);
}

static int
pid_of(int fd)
{
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ? 0 : (int)peer.pid;
}

int
server_adopt(struct server *server, int fd, bool is_read_only)
{
	struct server_client *c = calloc(1, sizeof(*c));
	int pid = pid_of(fd), rc = -ENOMEM;
	const char *full = NULL;

	if (!c)
		goto err_fd;
	for (struct server_client *old = server->clients; server->limits.is_newest_alone && old; old = old->next) {
		server->stats.n_replaced += !old->is_dead;
		client_close(old);
	}
	if (!has_room(server))
		full = "too many clients";
	else if (!has_room_for(server, pid))
		full = "too many clients of one process";
	c->source = (struct loop_source){.fd = fd, .on_ready = client_on_ready};
	c->server = server;
	c->session = (struct rpc_session){.api = server->api,
		.ctx = server->ctx,
		.only_flags = server->limits.has_hello ? RPC_STARTUP :
			is_read_only		       ? RPC_READ_ONLY :
							 0,
		.deny_flags = server->limits.has_hello ? 0 : RPC_STARTUP,
		.max_batch = server->limits.n_batch,
		.done = server->done};
	rc = loop_add(server->loop, &c->source, EPOLLIN);
	if (rc < 0)
		goto err_client;
	c->pid = pid;
	client_touch(c);
	c->next = server->clients;
	server->clients = c;
	server->n_clients++;
	if (full) {
		server->stats.n_refused++;
		client_refuse(c, RPC_STATE_ERROR, full);
		client_close(c);
		return -EUSERS;
	}
	server->stats.n_accepted++;
	return 0;

err_client:
	free(c);
err_fd:
	close(fd);
	return rc;
}

void
server_adopt_handed(struct server *server, int fd, const json_t *client)
{
	const json_t *input = json_object_get(client, "input");
	const char *patterns = json_string_value(json_object_get(client, "patterns"));
	struct server_client *c;

	if (server_adopt(server, fd, json_is_true(json_object_get(client, "monitor"))))
		return;
	c = server->clients;
	c->has_spoken = true;
	if (json_is_true(json_object_get(client, "subscribed")) && patterns)
		(void)server_subscribe(c, patterns);
	if (!json_string_length(input))
		return;
	c->in_len = json_string_length(input);
	c->in_size = c->in_len + SERVER_READ_BYTES; // as client_read makes room
	c->in = malloc(c->in_size);
	if (!c->in) {
		client_close(c);
		return;
	}
	memcpy(c->in, json_string_value(input), c->in_len);
	client_run(c);
}

static void
listener_pause(struct server_listener *l)
{
	l->is_paused = true;
	loop_set(l->server->loop, &l->source, 0);
}

// Without room a client waits in the queue: another client will leave, or become idle. The client
// is told when that takes too long.
static void
listener_on_ready(struct loop_source *source, uint32_t events)
{
	struct server_listener *l = LOOP_OWNER(source, struct server_listener, source);
	int fd;

	(void)events;
	if (!has_room(l->server) && l->n_paused_ticks < SERVER_PATIENCE_TICKS) {
		listener_pause(l);
		return;
	}
	fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0) {
		if (server_adopt(l->server, fd, l->is_read_only) == 0)
			l->n_paused_ticks = 0;
	} else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
		// Out of descriptors or memory: the pending connection would wake us for ever.
		int rc = errno;
		if (!evict_idle(l->server, 0)) {
			log_error("%s: accept: %s", l->path, strerror(rc));
			listener_pause(l);
		}
	}
	server_reap(l->server);
}

// Calls that waited for the tick.
static void
run_waiting(struct server *server)
{
	bool has_waited = !has_calls_left(server);

	server->n_calls_left += server->limits.calls_per_tick;
	if (server->n_calls_left > (int64_t)server->limits.calls_burst)
		server->n_calls_left = server->limits.calls_burst;
	for (struct server_client *c = server->clients; has_waited && c; c = c->next)
		if (!c->is_dead)
			client_run(c);
	server->stats.n_paused += has_waited;
}

void
server_tick(struct server *server)
{
	server->n_ticks++;
	run_waiting(server);
	for (unsigned i = 0; i < 2; i++)
		if (server->listeners[i].is_paused)
			server->listeners[i].n_paused_ticks++;
	resume_listeners(server);
}

int64_t
server_caller_uid(const struct server *server)
{
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);

	return server->caller && !getsockopt(server->caller->source.fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) ?
		(int64_t)peer.uid :
		-1;
}

int
server_subscribe(struct server_client *client, const char *patterns)
{
	unsigned n = 0;

	for (const struct server_client *c = client->server->clients; c; c = c->next)
		n += c->is_subscribed && c != client;
	if (n >= SERVER_MAX_SUBSCRIBERS)
		return -EUSERS;
	client->is_subscribed = true;
	(void)snprintf(client->patterns, sizeof(client->patterns), "%s", patterns);
	return 0;
}

void
server_reap(struct server *server)
{
	struct server_client **link = &server->clients;

	while (*link) {
		struct server_client *c = *link;
		if (!c->is_dead) {
			link = &c->next;
			continue;
		}
		*link = c->next;
		free(c->in);
		free(c->out);
		free(c);
	}
}

static int
address_of(const char *path, struct sockaddr_un *ret_addr, char err[DP_ERR_SIZE])
{
	*ret_addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (path[0] != '/' || strlen(path) >= sizeof(ret_addr->sun_path)) {
		(void)snprintf(err, DP_ERR_SIZE, "socket %.120s: must be an absolute path of at most %zu bytes", path,
			sizeof(ret_addr->sun_path) - 1);
		return -EINVAL;
	}
	memcpy(ret_addr->sun_path, path, strlen(path) + 1);
	return 0;
}

int
server_probe(const char *path, char err[DP_ERR_SIZE])
{
	struct sockaddr_un addr;
	struct stat st;
	int rc = address_of(path, &addr, err);
	int fd;

	if (rc < 0 || lstat(path, &st) < 0)
		return rc;
	if (!S_ISSOCK(st.st_mode)) {
		(void)snprintf(err, DP_ERR_SIZE, "%s: exists and is not a socket; remove it", path);
		return -EEXIST;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	rc = connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
	close(fd);
	if (rc == -ECONNREFUSED && unlink(path) == 0)
		return 0;
	if (rc == 0 || rc == -EAGAIN) {
		(void)snprintf(err, DP_ERR_SIZE,
			"%s: another daemon serves this socket; stop it or choose another socket", path);
		return -EADDRINUSE;
	}
	(void)snprintf(err, DP_ERR_SIZE, "%s: %s", path, strerror(-rc));
	return rc;
}

// Of a fresh socket file. The mode comes from bind's umask, so no client gets in before the owner
// is set.
static int
set_owner(const char *path, const struct server_socket *file, char err[DP_ERR_SIZE])
{
	const char *owner = file->owner ? file->owner : "", *group = file->group ? file->group : "";
	const struct passwd *pw = owner[0] ? getpwnam(owner) : NULL;
	const struct group *gr = group[0] ? getgrnam(group) : NULL;

	if (!owner[0] && !group[0])
		return 0;
	if ((owner[0] && !pw) || (group[0] && !gr)) {
		(void)snprintf(err, DP_ERR_SIZE, "%s %s: does not exist", owner[0] && !pw ? "owner" : "group",
			owner[0] && !pw ? owner : group);
		return -EINVAL;
	}
	if (chown(path, pw ? pw->pw_uid : (uid_t)-1, gr ? gr->gr_gid : (gid_t)-1) < 0) {
		int rc = -errno;
		(void)snprintf(err, DP_ERR_SIZE, "%s: owner %s, group %s: %s", path, owner[0] ? owner : "unchanged",
			group[0] ? group : "unchanged", strerror(-rc));
		return rc;
	}
	return 0;
}

// A name of our own in the directory of path.
static int
draft_of(const char *path, struct sockaddr_un *ret_addr, char err[DP_ERR_SIZE])
{
	const char *slash = strrchr(path, '/');
	char draft[RTVS_PATH_SIZE + 16];

	(void)snprintf(draft, sizeof(draft), "%.*s.%d", slash ? (int)(slash + 1 - path) : 0, path, (int)getpid());
	return address_of(draft, ret_addr, err);
}

// The file gets its name when the socket listens and has its owner. A client never meets one that
// is not ready, and of two daemons that start at once one finds the name taken.
int
server_listen(struct server *server, const struct server_socket *file, bool is_read_only, char err[DP_ERR_SIZE])
{
	struct server_listener *l = &server->listeners[is_read_only];
	const char *path = file->path;
	struct sockaddr_un addr;
	mode_t mask;
	int rc = server_probe(path, err);

	if (!rc)
		rc = draft_of(path, &addr, err);
	if (rc < 0)
		return rc;
	(void)unlink(addr.sun_path); // of a process that had our number
	l->source.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->source.fd < 0)
		goto err_errno;
	mask = umask(0777 & ~file->mode);
	rc = bind(l->source.fd, (const struct sockaddr *)&addr, sizeof(addr));
	(void)umask(mask);
	if (rc < 0)
		goto err_errno;
	rc = set_owner(addr.sun_path, file, err);
	if (rc < 0)
		goto err_socket;
	l->is_read_only = is_read_only;
	if (listen(l->source.fd, SERVER_LISTEN_BACKLOG) < 0 || link(addr.sun_path, path) < 0)
		goto err_errno;
	(void)snprintf(l->path, sizeof(l->path), "%s", path);
	if (loop_add(server->loop, &l->source, EPOLLIN) < 0)
		goto err_errno;
	(void)unlink(addr.sun_path);
	return 0;

err_errno:
	rc = -errno;
	(void)snprintf(err, DP_ERR_SIZE, "%s: %s", path, strerror(-rc));
err_socket:
	if (l->source.fd >= 0)
		close(l->source.fd);
	l->source.fd = -1;
	(void)unlink(addr.sun_path);
	if (l->path[0])
		(void)unlink(l->path);
	l->path[0] = '\0';
	return rc;
}

int
server_take(struct server *server, int fd, const char *path, bool is_read_only)
{
	struct server_listener *l = &server->listeners[is_read_only];

	l->source.fd = fd;
	l->is_read_only = is_read_only;
	(void)snprintf(l->path, sizeof(l->path), "%s", path);
	return loop_add(server->loop, &l->source, EPOLLIN);
}

void
server_init(struct server *server, struct loop *loop, const struct rpc_api *api, void *ctx)
{
	*server = (struct server){.loop = loop,
		.api = api,
		.ctx = ctx,
		.limits = {.n_clients = SERVER_MAX_CLIENTS,
			.line_bytes = RPC_MAX_REQUEST_BYTES,
			.line_text = RPC_MAX_REQUEST_TEXT,
			.backlog_bytes = SERVER_MAX_BACKLOG_BYTES}};
	for (unsigned i = 0; i < 2; i++)
		server->listeners[i] =
			(struct server_listener){.source = {.fd = -1, .on_ready = listener_on_ready}, .server = server};
}

void
server_fini(struct server *server)
{
	for (unsigned i = 0; i < 2; i++) {
		struct server_listener *l = &server->listeners[i];
		if (l->source.fd < 0)
			continue;
		loop_close(server->loop, &l->source);
		(void)unlink(l->path);
	}
	for (struct server_client *c = server->clients; c; c = c->next)
		client_close(c);
	server_reap(server);
}

struct server_stats
server_stats(const struct server *server)
{
	struct server_stats stats = server->stats;

	for (const struct server_client *c = server->clients; c; c = c->next) {
		stats.n_calls += c->session.n_calls;
		stats.n_errors += c->session.n_errors;
	}
	return stats;
}
