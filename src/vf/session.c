// The guest's end of a channel. A serial port keeps the bytes that an earlier program left there.
// So a session begins with a hello that has a nonce, and whatever is no answer with that nonce is
// skipped. A hello that gets lost, since the daemon is just starting, is said again.
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES_MAX (1u << 20)
#define READ_BYTES 4096
#define PAUSE_MS 50 // until the port may have changed
#define HELLO_MS 1000 // until a hello is said again
#define FOR_EVER INT64_MAX
#define EVENTS_MAX 256 // that are kept; vf.up and vf.down beyond them are not missed

static int64_t
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int __attribute__((format(printf, 3, 4)))
fail(int rc, char err[SESSION_ERR_SIZE], const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(err, SESSION_ERR_SIZE, fmt, args);
	va_end(args);
	return rc;
}

static int
fail_silent(int rc, char err[SESSION_ERR_SIZE])
{
	if (rc == -ETIMEDOUT)
		return fail(rc, err,
			"the host does not answer: its virtual switch is not running, or not connected to this "
			"channel");
	return fail(rc, err, "channel: %s", strerror(-rc));
}

static int
connect_socket(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd, rc;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (const struct sockaddr *)&addr, sizeof(addr)))
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

static int
open_path(struct session *s, const char *path)
{
	struct stat st;
	int fd;

	if (stat(path, &st))
		return -errno;
	s->is_socket = S_ISSOCK(st.st_mode);
	if (s->is_socket)
		return connect_socket(path);
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

const char *
vf_session_channel(const char *named, const char *agent)
{
	int fd = named ? -1 : connect_socket(agent);

	if (fd < 0)
		return named ? named : SESSION_CHANNEL;
	close(fd);
	return agent;
}

// A port has one user at a time: the other one is waited for.
static int
open_within(struct session *s, const char *path, int64_t end_ms, char err[SESSION_ERR_SIZE])
{
	int rc = open_path(s, path);

	while (rc == -EBUSY && now_ms() < end_ms) {
		(void)poll(NULL, 0, PAUSE_MS);
		rc = open_path(s, path);
	}
	if (rc >= 0) {
		s->fd = rc;
		return 0;
	}
	if (rc == -ENOENT)
		return fail(rc, err,
			"%s: there is no such channel; the virtual machine needs a serial port of this name "
			"(org.rtvswitch.nic.0), or --channel names another one",
			path);
	if (rc == -EBUSY)
		return fail(rc, err, "%s: another program has the channel", path);
	return fail(rc, err, "%s: %s", path, strerror(-rc));
}

static int
wait_for(const struct session *s, short events, int64_t end_ms)
{
	struct pollfd p = {.fd = s->fd, .events = events};
	int64_t left_ms = end_ms - now_ms();
	int n;

	if (left_ms <= 0)
		return -ETIMEDOUT;
	n = poll(&p, 1, end_ms == FOR_EVER ? -1 : (int)left_ms);
	if (n < 0 && errno != EINTR)
		return -errno;
	// A port whose other end is not there is always ready.
	if (n > 0 && !(p.revents & events))
		(void)poll(NULL, 0, PAUSE_MS);
	return 0;
}

static int
send_all(const struct session *s, const char *text, size_t len, int64_t end_ms)
{
	int rc = 0;

	while (!rc && len > 0) {
		ssize_t n = s->is_socket ? send(s->fd, text, len, MSG_NOSIGNAL) : write(s->fd, text, len);

		if (n > 0) {
			text += n;
			len -= (size_t)n;
		} else if (n < 0 && errno != EAGAIN && errno != EINTR && (s->is_socket || errno != EPIPE)) {
			rc = -errno;
		} else {
			rc = wait_for(s, POLLOUT, end_ms);
		}
	}
	return rc;
}

// Takes the next line out of what was received. NULL: there is none yet, or it was no JSON object.
static json_t *
take_line(struct session *s, bool *ret_has_line)
{
	const char *end = s->in_len ? memchr(s->in, '\n', s->in_len) : NULL;
	size_t len = end ? (size_t)(end - s->in) : 0;
	json_t *message = NULL;

	*ret_has_line = end;
	if (!end && s->in_len > LINE_BYTES_MAX) {
		s->is_skipping = true;
		s->in_len = 0;
	}
	if (!end)
		return NULL;
	if (!s->is_skipping)
		message = json_loadb(s->in, len, 0, NULL);
	s->is_skipping = false;
	s->in_len -= len + 1;
	memmove(s->in, end + 1, s->in_len);
	if (message && json_is_object(message))
		return message;
	json_decref(message);
	return NULL;
}

// end_ms 0: does not wait.
static int
receive(struct session *s, int64_t end_ms)
{
	ssize_t n;

	if (s->in_size - s->in_len < READ_BYTES) {
		size_t size = s->in_len + 2 * READ_BYTES;
		char *in = realloc(s->in, size);

		if (!in)
			return -ENOMEM;
		s->in = in;
		s->in_size = size;
	}
	n = read(s->fd, s->in + s->in_len, READ_BYTES);
	if (n > 0) {
		s->in_len += (size_t)n;
		return 0;
	}
	if (n == 0 && s->is_socket)
		return -ECONNRESET;
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return -errno;
	return end_ms ? wait_for(s, POLLIN, end_ms) : -EAGAIN;
}

static json_t *
take_event(struct session *s)
{
	json_t *event = json_incref(json_array_get(s->events, 0));

	if (event)
		(void)json_array_remove(s->events, 0);
	return event;
}

static void
keep_event(struct session *s, json_t *event)
{
	if (!s->events)
		s->events = json_array();
	if (json_is_string(json_object_get(event, "method")) && json_array_size(s->events) < EVENTS_MAX)
		(void)json_array_append(s->events, event);
}

// The answer with this id, or without one the next event. 0 or a negative errno.
static int
next_message(struct session *s, const char *id, int64_t end_ms, json_t **ret_message)
{
	*ret_message = id ? NULL : take_event(s);
	if (*ret_message)
		return 0;
	for (;;) {
		bool has_line = true;
		int rc;

		while (has_line) {
			json_t *message = take_line(s, &has_line);
			const char *own = json_string_value(json_object_get(message, "id"));

			if (message &&
				(id ? own && !strcmp(own, id) : json_is_string(json_object_get(message, "method")))) {
				*ret_message = message;
				return 0;
			}
			if (message && id)
				keep_event(s, message);
			json_decref(message);
		}
		rc = receive(s, end_ms);
		if (rc)
			return rc;
	}
}

// One request and its answer. again_ms: until it is said once more; 0: never.
static int
ask(struct session *s, const char *method, json_t *params, unsigned again_ms, json_t **ret_answer)
{
	int64_t end_ms = now_ms() + s->timeout_ms;
	char id[SESSION_NONCE_SIZE + 16];
	char *text, *line = NULL;
	json_t *request;
	int rc = -ENOMEM, len = 0;

	(void)snprintf(id, sizeof(id), "%s-%u", s->nonce, s->n_calls++);
	request = json_pack("{s:s, s:s, s:s, s:o*}", "jsonrpc", "2.0", "id", id, "method", method, "params", params);
	text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	// The newline ends what another program may have left half.
	if (text)
		len = asprintf(&line, "\n%s\n", text);
	do {
		int64_t until_ms = again_ms && now_ms() + again_ms < end_ms ? now_ms() + again_ms : end_ms;

		if (len > 0)
			rc = send_all(s, line, (size_t)len, end_ms);
		if (!rc)
			rc = next_message(s, id, until_ms, ret_answer);
	} while (again_ms && rc == -ETIMEDOUT && now_ms() < end_ms);
	free(line);
	free(text);
	json_decref(request);
	return rc;
}

static int
greet(struct session *s, bool wants_events, char err[SESSION_ERR_SIZE])
{
	json_t *answer = NULL;
	int rc = ask(
		s, "nic.hello", json_pack("{s:s, s:b}", "nonce", s->nonce, "events", wants_events), HELLO_MS, &answer);
	const char *nonce = json_string_value(json_object_get(json_object_get(answer, "result"), "nonce"));

	if (!rc && (!nonce || strcmp(nonce, s->nonce) != 0))
		rc = fail(-EPROTO, err, "the host's virtual switch speaks another protocol");
	else if (rc)
		rc = fail_silent(rc, err);
	json_decref(answer);
	return rc;
}

int
vf_session_open(struct session *s, const char *path, unsigned timeout_ms, bool wants_events, char err[SESSION_ERR_SIZE])
{
	unsigned char random[(SESSION_NONCE_SIZE - 1) / 2];
	int rc;

	*s = (struct session){.fd = -1, .timeout_ms = timeout_ms};
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return fail(-EIO, err, "no random bytes");
	for (unsigned i = 0; i < sizeof(random); i++)
		(void)snprintf(s->nonce + 2 * i, 3, "%02x", random[i]);
	rc = open_within(s, path, now_ms() + timeout_ms, err);
	if (!rc)
		rc = greet(s, wants_events, err);
	if (rc)
		vf_session_close(s);
	return rc;
}

void
vf_session_close(struct session *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	free(s->in);
	s->in = NULL;
	json_decref(s->events);
	s->events = NULL;
}

int
vf_session_call(struct session *s, const char *method, json_t *params, json_t **ret_result, char err[SESSION_ERR_SIZE])
{
	json_t *answer = NULL, *result;
	const char *text;
	int rc = ask(s, method, params, 0, &answer);

	if (rc)
		return fail_silent(rc, err);
	result = json_object_get(answer, "result");
	text = json_string_value(json_object_get(json_object_get(answer, "error"), "message"));
	if (result)
		*ret_result = json_incref(result);
	else
		rc = fail(1, err, "%s", text ? text : "refused");
	json_decref(answer);
	return rc;
}

int
vf_session_event(struct session *s, json_t **ret_event, char err[SESSION_ERR_SIZE])
{
	int rc = next_message(s, NULL, FOR_EVER, ret_event);

	return rc ? fail_silent(rc, err) : 0;
}

int
vf_session_poll(struct session *s, json_t **ret_event, char err[SESSION_ERR_SIZE])
{
	int rc = next_message(s, NULL, 0, ret_event);

	return rc && rc != -EAGAIN ? fail_silent(rc, err) : 0;
}
