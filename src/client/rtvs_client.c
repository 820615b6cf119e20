// The installed library: a request is a line, its answer is the line with its id. Received bytes
// that were not taken yet stay in the buffer, so that a wait that ends early loses nothing.
#include "rtvswitch/client.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

// The largest configuration takes less than 24 MiB, the answers of the largest batch 8 MiB more.
#define MESSAGE_BYTES_MAX (32u << 20)
#define BUFFER_BYTES 4096
#define NO_LIMIT INT64_MAX

struct rtvs_client {
	int fd;
	unsigned timeout_ms;
	json_int_t id;
	char *data;
	size_t size, used;
	size_t n_seen; // of used: no newline in these
};

static int64_t
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

// Cannot fail on a socket with such a value. Unix sockets apply the one for sending to connect(2),
// too.
static void
set_send_timeout(int fd, unsigned ms)
{
	struct timeval limit = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

int
rtvs_client_open_within(const char *path, unsigned ms, struct rtvs_client **ret_client)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct rtvs_client *c;
	int rc;

	path = path ? path : RTVS_CLIENT_SOCKET;
	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path) + 1);
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->timeout_ms = ms;
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0) {
		rc = -errno;
		goto err_socket;
	}
	set_send_timeout(c->fd, c->timeout_ms);
	if (connect(c->fd, (struct sockaddr *)&addr, sizeof(addr))) {
		rc = errno == EAGAIN ? -ETIMEDOUT : -errno;
		goto err_connect;
	}
	*ret_client = c;
	return 0;

err_connect:
	close(c->fd);
err_socket:
	free(c);
	return rc;
}

int
rtvs_client_open(const char *path, struct rtvs_client **ret_client)
{
	return rtvs_client_open_within(path, RTVS_CLIENT_TIMEOUT_MS, ret_client);
}

void
rtvs_client_close(struct rtvs_client *c)
{
	if (!c)
		return;
	close(c->fd);
	free(c->data);
	free(c);
}

void
rtvs_client_set_timeout(struct rtvs_client *c, unsigned ms)
{
	c->timeout_ms = ms;
	set_send_timeout(c->fd, ms);
}

int
rtvs_client_fd(const struct rtvs_client *c)
{
	return c->fd;
}

static int
send_line(struct rtvs_client *c, const char *text)
{
	char *line = NULL;
	size_t len = strlen(text), n_sent = 0;
	int rc = 0;

	line = malloc(len + 1);
	if (!line)
		return -ENOMEM;
	memcpy(line, text, len);
	line[len++] = '\n';
	while (n_sent < len && !rc) {
		ssize_t n = send(c->fd, line + n_sent, len - n_sent, MSG_NOSIGNAL);

		if (n >= 0)
			n_sent += (size_t)n;
		else if (errno == EPIPE)
			rc = -ECONNRESET;
		else if (errno != EINTR)
			rc = errno == EAGAIN ? -ETIMEDOUT : -errno;
	}
	// Half a request makes nonsense of the next one.
	if (rc && n_sent)
		(void)shutdown(c->fd, SHUT_RDWR);
	free(line);
	return rc;
}

// More bytes, until end_ms.
static int
receive(struct rtvs_client *c, int64_t end_ms)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	int64_t left_ms = end_ms == NO_LIMIT ? -1 : end_ms - now_ms();
	ssize_t n;
	int rc;

	if (c->used == c->size) {
		size_t size = c->size ? c->size * 2 : BUFFER_BYTES;
		char *data = size > MESSAGE_BYTES_MAX ? NULL : realloc(c->data, size);

		if (!data)
			return size > MESSAGE_BYTES_MAX ? -EPROTO : -ENOMEM;
		c->data = data;
		c->size = size;
	}
	if (end_ms != NO_LIMIT && left_ms < 0)
		left_ms = 0;
	rc = poll(&p, 1, left_ms > INT32_MAX ? INT32_MAX : (int)left_ms);
	if (rc <= 0)
		return rc ? -errno : -ETIMEDOUT;
	n = recv(c->fd, c->data + c->used, c->size - c->used, 0);
	if (n <= 0)
		return n ? -errno : -ECONNRESET;
	c->used += (size_t)n;
	return 0;
}

static int
next_message(struct rtvs_client *c, int64_t end_ms, json_t **ret_message)
{
	char *end;
	size_t len;
	json_t *message;

	while (!(end = c->used > c->n_seen ? memchr(c->data + c->n_seen, '\n', c->used - c->n_seen) : NULL)) {
		int rc;

		c->n_seen = c->used;
		rc = receive(c, end_ms);
		if (rc)
			return rc;
	}
	len = (size_t)(end - c->data);
	message = json_loadb(c->data, len, 0, NULL);
	c->used -= len + 1;
	c->n_seen = 0;
	memmove(c->data, end + 1, c->used);
	if (!json_is_object(message)) {
		json_decref(message);
		return -EPROTO;
	}
	*ret_message = message;
	return 0;
}

// The content of the answer, which is the request's by its id.
static int
take_answer(json_t *answer, json_t **ret_result, json_t **ret_error)
{
	json_t *error = json_object_get(answer, "error");
	json_t *result = json_object_get(answer, "result");

	if (error)
		*ret_error = json_incref(error);
	else if (result)
		*ret_result = json_incref(result);
	return error ? -EREMOTEIO : result ? 0 : -EPROTO;
}

int
rtvs_client_call(struct rtvs_client *c, const char *method, json_t *params, json_t **ret_result, json_t **ret_error)
{
	json_t *request =
		json_pack("{s:s, s:I, s:s, s:o*}", "jsonrpc", "2.0", "id", ++c->id, "method", method, "params", params);
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	int64_t end_ms = c->timeout_ms ? now_ms() + c->timeout_ms : NO_LIMIT;
	int rc = text ? send_line(c, text) : -EINVAL; // a method that is no UTF-8, or no memory

	free(text);
	json_decref(request);
	// A daemon without room for this client says so, and closes the connection before it reads
	// the request.
	if (rc == -ECONNRESET)
		rc = end_ms = 0;
	while (!rc) {
		json_t *answer, *id;

		rc = next_message(c, end_ms, &answer);
		if (rc)
			break;
		id = json_object_get(answer, "id");
		// null: the daemon could not read the request.
		if (id && (json_is_null(id) || json_integer_value(id) == c->id)) {
			rc = take_answer(answer, ret_result, ret_error);
			json_decref(answer);
			break;
		}
		json_decref(answer);
	}
	return rc;
}

int
rtvs_client_event(struct rtvs_client *c, int ms, json_t **ret_event)
{
	int64_t end_ms = ms < 0 ? NO_LIMIT : now_ms() + ms;
	json_t *message;
	int rc;

	while (!(rc = next_message(c, end_ms, &message)) && json_object_get(message, "id"))
		json_decref(message);
	if (!rc)
		*ret_event = message;
	return rc;
}
