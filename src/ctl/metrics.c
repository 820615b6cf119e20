// The HTTP side of the metrics: libmicrohttpd without threads of its own; its epoll descriptor is a
// source of our loop. The text comes from metrics_text.c.
// Invariant: one page is made and sent for a request, and nothing of it is kept.
#include "metrics.h"

#include "ctl.h"
#include "rtvs/units.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define METRICS_MAX_CONNECTIONS 16
#define METRICS_TIMEOUT_S 10
#define METRICS_MEMORY_BYTES 32768 // a connection
#define METRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

struct metrics {
	struct loop_source source; // the descriptor is MHD's
	struct ctl *ctl;
	struct MHD_Daemon *daemon;
	char path[RTVS_PATH_SIZE]; // of the unix socket; empty: none
};

static enum MHD_Result
answer(struct MHD_Connection *connection, unsigned status, const char *type, char *text, size_t len)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE);
	enum MHD_Result result;

	if (!response) {
		free(text);
		return MHD_NO;
	}
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result
on_request(void *arg, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
	const char *upload, size_t *upload_len, void **state)
{
	const struct metrics *m = arg;
	unsigned status = MHD_HTTP_OK;
	size_t len = 0;
	char *text;

	(void)version;
	(void)upload;
	// The first call is for the headers; a body is read and thrown away.
	if (!*state) {
		*state = connection;
		return MHD_YES;
	}
	if (*upload_len > 0) {
		*upload_len = 0;
		return MHD_YES;
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		status = MHD_HTTP_METHOD_NOT_ALLOWED;
	else if (strcmp(url, "/metrics") != 0 && strcmp(url, "/") != 0)
		status = MHD_HTTP_NOT_FOUND;
	if (status == MHD_HTTP_OK) {
		text = metrics_text(m->ctl, &len);
		return text ? answer(connection, status, METRICS_TYPE, text, len) : MHD_NO;
	}
	text = strdup(status == MHD_HTTP_NOT_FOUND ? "not here: /metrics\n" : "GET only\n");
	return text ? answer(connection, status, "text/plain; charset=utf-8", text, strlen(text)) : MHD_NO;
}

// Without descriptors libmicrohttpd (1.0) leaves its listener in its epoll set while it has no
// connection. The pending connection would then wake this thread for ever. The source is disabled
// until the next second.
static void
on_ready(struct loop_source *source, uint32_t events)
{
	struct metrics *m = LOOP_OWNER(source, struct metrics, source);
	struct pollfd still = {.fd = source->fd, .events = POLLIN};
	const union MHD_DaemonInfo *info;

	(void)events;
	metrics_run(m);
	info = MHD_get_daemon_info(m->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
	if (info && info->num_connections == 0 && poll(&still, 1, 0) > 0)
		loop_set(&m->ctl->loop, source, 0);
}

void
metrics_tick(struct metrics *m)
{
	if (m)
		loop_set(&m->ctl->loop, &m->source, EPOLLIN);
}

static int
bind_unix(struct metrics *m, const char *path, int *ret_fd, char err[DP_ERR_SIZE])
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	mode_t mask;
	int rc = server_probe(path, err);

	if (rc < 0)
		return rc;
	memcpy(addr.sun_path, path, strlen(path) + 1);
	*ret_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*ret_fd < 0)
		return -errno;
	mask = umask(0777 & ~0660);
	rc = bind(*ret_fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
	(void)umask(mask);
	if (rc == 0)
		memcpy(m->path, path, strlen(path) + 1);
	return rc;
}

// Loopback only: there is no authentication, and the page tells who talks how much.
static int
bind_tcp(const char *host, uint16_t port, int *ret_fd)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	bool is_v4 = inet_pton(AF_INET, host, &v4.sin_addr) == 1;
	const struct sockaddr *addr = is_v4 ? (const struct sockaddr *)&v4 : (const struct sockaddr *)&v6;
	int one = 1;

	if (is_v4 ? (ntohl(v4.sin_addr.s_addr) >> 24) != 127 :
		    inet_pton(AF_INET6, host, &v6.sin6_addr) != 1 || !IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr))
		return -EINVAL;
	*ret_fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*ret_fd < 0)
		return -errno;
	(void)setsockopt(*ret_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	return bind(*ret_fd, addr, is_v4 ? sizeof(v4) : sizeof(v6)) < 0 ? -errno : 0;
}

// "HOST:PORT", an IPv6 host in brackets.
static int
split_tcp(const char *address, char host[64], uint16_t *ret_port)
{
	const char *colon = strrchr(address, ':');
	size_t len = colon ? (size_t)(colon - address) : 0;
	uint64_t port;

	if (len < 2 || len >= 64 || units_parse_uint(colon + 1, &port) < 0 || port == 0 || port > 65535)
		return -EINVAL;
	if (address[0] == '[' && address[len - 1] == ']') {
		address++;
		len -= 2;
	}
	memcpy(host, address, len);
	host[len] = '\0';
	*ret_port = (uint16_t)port;
	return 0;
}

static int
open_listener(struct metrics *m, const char *address, int *ret_fd, char err[DP_ERR_SIZE])
{
	char host[64];
	uint16_t port;
	int rc;

	if (strncmp(address, "unix:", 5) == 0) {
		rc = bind_unix(m, address + 5, ret_fd, err);
	} else {
		rc = split_tcp(address, host, &port);
		if (rc == 0)
			rc = bind_tcp(host, port, ret_fd);
	}
	if (rc == 0 && listen(*ret_fd, METRICS_MAX_CONNECTIONS) < 0)
		rc = -errno;
	if (rc < 0 && !err[0])
		(void)snprintf(err, DP_ERR_SIZE, "metrics %.100s: %s", address,
			rc == -EINVAL ? "must be 127.x.y.z:PORT, [::1]:PORT or unix:PATH" : strerror(-rc));
	return rc;
}

int
metrics_create(struct ctl *ctl, const char *address, struct metrics **ret_metrics, char err[DP_ERR_SIZE])
{
	struct metrics *m = calloc(1, sizeof(*m));
	const union MHD_DaemonInfo *info;
	int rc, fd = -1;

	if (!m)
		return -ENOMEM;
	m->ctl = ctl;
	m->source.on_ready = on_ready;
	err[0] = '\0';
	rc = open_listener(m, address, &fd, err);
	if (rc < 0)
		goto err_fd;
	m->daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, m, MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_CONNECTION_LIMIT, METRICS_MAX_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, METRICS_TIMEOUT_S,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)METRICS_MEMORY_BYTES, MHD_OPTION_END);
	info = m->daemon ? MHD_get_daemon_info(m->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (!info) {
		rc = -EIO;
		(void)snprintf(err, DP_ERR_SIZE, "metrics %.100s: libmicrohttpd refused to start", address);
		goto err_daemon;
	}
	m->source.fd = info->epoll_fd;
	rc = loop_add(&ctl->loop, &m->source, EPOLLIN);
	if (rc < 0)
		goto err_daemon;
	*ret_metrics = m;
	return 0;

err_daemon:
	if (m->daemon) {
		MHD_stop_daemon(m->daemon);
		fd = -1;
	}
err_fd:
	if (fd >= 0)
		close(fd);
	if (m->path[0])
		(void)unlink(m->path);
	free(m);
	return rc;
}

void
metrics_destroy(struct metrics *m)
{
	if (!m)
		return;
	// Its epoll descriptor leaves our loop by being closed.
	MHD_stop_daemon(m->daemon);
	if (m->path[0])
		(void)unlink(m->path);
	free(m);
}

int
metrics_timeout(const struct metrics *m)
{
	MHD_UNSIGNED_LONG_LONG ms;

	if (!m || MHD_get_timeout(m->daemon, &ms) != MHD_YES)
		return -1;
	return ms > 1000 ? 1000 : (int)ms;
}

void
metrics_run(struct metrics *m)
{
	(void)MHD_run(m->daemon);
}
