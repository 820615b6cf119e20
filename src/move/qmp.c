// QMP is a line of JSON for each message. A command's answer is the next message that is no event.
// Every wait has a limit, so that a QEMU that hangs does not hang the move.
#include "qmp.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct qmp {
	int fd;
	char name[128];
	char *buf; // what arrived and was not read as a message
	size_t len, size;
};

static long long
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static int
failed(char *err, const struct qmp *q, const char *what, int rc)
{
	snprintf(err, QMP_ERROR_SIZE, "%s: %s: %s", q->name, what,
		rc == -ETIMEDOUT     ? "no answer in time" :
			rc == -EPIPE ? "the connection ended" :
				       strerror(-rc));
	return rc;
}

// One more piece of what arrives.
static int
receive(struct qmp *q, long long end_ms)
{
	struct pollfd p = {.fd = q->fd, .events = POLLIN};
	ssize_t n;
	long long left = end_ms - now_ms();

	if (q->len == q->size) {
		size_t size = q->size ? 2 * q->size : 65536;
		char *buf = size > QMP_MAX_ANSWER_BYTES ? NULL : realloc(q->buf, size);

		if (!buf)
			return -ENOMEM;
		q->buf = buf;
		q->size = size;
	}
	if (poll(&p, 1, left > 0 ? (int)left : 0) == 0)
		return -ETIMEDOUT;
	n = recv(q->fd, q->buf + q->len, q->size - q->len, MSG_DONTWAIT);
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : errno == ECONNRESET ? -EPIPE : -errno;
	q->len += (size_t)n;
	return n ? 0 : -EPIPE;
}

static int
next_message(struct qmp *q, long long end_ms, json_t **ret_message)
{
	for (;;) {
		char *end = q->len ? memchr(q->buf, '\n', q->len) : NULL;
		int rc;

		if (end) {
			size_t len = (size_t)(end - q->buf) + 1;
			json_t *message = json_loadb(q->buf, len, 0, NULL);

			memmove(q->buf, q->buf + len, q->len - len);
			q->len -= len;
			if (!json_is_object(message)) {
				json_decref(message);
				return -EPROTO;
			}
			*ret_message = message;
			return 0;
		}
		rc = receive(q, end_ms);
		if (rc)
			return rc;
	}
}

static int
send_message(struct qmp *q, const json_t *message)
{
	char *text = json_dumps(message, JSON_COMPACT);
	size_t len, done = 0;
	int rc = text ? 0 : -ENOMEM;

	len = text ? strlen(text) : 0;
	if (text)
		text[len++] = '\n';
	while (!rc && done < len) {
		ssize_t n = send(q->fd, text + done, len - done, MSG_NOSIGNAL);

		// Commands are short: QEMU's buffer has room, unless it does not read any more.
		if (n < 0 && errno != EINTR)
			rc = errno == ECONNRESET ? -EPIPE : errno == EAGAIN ? -ETIMEDOUT : -errno;
		else if (n > 0)
			done += (size_t)n;
	}
	free(text);
	return rc;
}

int
qmp_call(struct qmp *q, const char *command, json_t *arguments, int ms, json_t **ret_answer, char err[QMP_ERROR_SIZE])
{
	long long end_ms = now_ms() + ms;
	json_t *message = json_pack("{s:s, s:o*}", "execute", command, "arguments", arguments);
	int rc = message ? send_message(q, message) : -ENOMEM;

	json_decref(message);
	while (!rc) {
		json_t *answer, *value;

		rc = next_message(q, end_ms, &answer);
		if (rc)
			break;
		value = json_object_get(answer, "error");
		if (value) {
			const char *text = json_string_value(json_object_get(value, "desc"));

			snprintf(err, QMP_ERROR_SIZE, "%s: %s", command, text ? text : "refused");
			json_decref(answer);
			return -EREMOTE;
		}
		value = json_object_get(answer, "return");
		if (value && ret_answer)
			*ret_answer = json_incref(value);
		json_decref(answer);
		if (value)
			return 0;
	}
	return failed(err, q, command, rc);
}

int
qmp_adopt(int fd, const char *name, int ms, struct qmp **ret_qmp, char err[QMP_ERROR_SIZE])
{
	struct qmp *q = calloc(1, sizeof(*q));
	json_t *greeting = NULL;
	int rc;

	if (!q) {
		(void)close(fd);
		snprintf(err, QMP_ERROR_SIZE, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	q->fd = fd;
	snprintf(q->name, sizeof(q->name), "%s", name);
	rc = next_message(q, now_ms() + ms, &greeting);
	if (!rc && !json_object_get(greeting, "QMP"))
		rc = -EPROTO;
	json_decref(greeting);
	rc = rc ? failed(err, q, "no greeting of QEMU", rc) : qmp_call(q, "qmp_capabilities", NULL, ms, NULL, err);
	if (rc) {
		qmp_close(q);
		return rc;
	}
	*ret_qmp = q;
	return 0;
}

int
qmp_open(const char *path, int ms, struct qmp **ret_qmp, char err[QMP_ERROR_SIZE])
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	long long end_ms = now_ms() + ms;
	int fd, rc;

	if (strlen(path) >= sizeof(address.sun_path)) {
		snprintf(err, QMP_ERROR_SIZE, "%.200s: the path is too long for a socket", path);
		return -ENAMETOOLONG;
	}
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	rc = fd < 0 ? -errno : 0;
	// EAGAIN: as many as may wait for QEMU's answer do so already.
	while (!rc && connect(fd, (const struct sockaddr *)&address, sizeof(address))) {
		rc = errno != EAGAIN ? -errno : now_ms() > end_ms ? -ETIMEDOUT : 0;
		(void)poll(NULL, 0, rc ? 0 : 5);
	}
	if (rc) {
		snprintf(err, QMP_ERROR_SIZE, "%.200s: %s", path, strerror(-rc));
		if (fd >= 0)
			(void)close(fd);
		return rc;
	}
	return qmp_adopt(fd, path, ms, ret_qmp, err);
}

pid_t
qmp_peer(const struct qmp *q)
{
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);

	return getsockopt(q->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) ? 0 : peer.pid;
}

void
qmp_close(struct qmp *q)
{
	if (!q)
		return;
	(void)close(q->fd);
	free(q->buf);
	free(q);
}
