// Programs greet here as at the channel; the hello is answered with the nonce alone.
#include "relay.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 8

struct client {
	int fd; // -1: there is none
	bool wants_events;
	char *in;
	size_t n;
};

struct relay {
	struct sockaddr_un addr;
	int fd;
	relay_fn answer_cb;
	void *arg;
	struct client clients[RELAY_CLIENTS_MAX];
};

static bool
is_served(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool is = fd >= 0 && !connect(fd, (const struct sockaddr *)addr, sizeof(*addr));

	if (fd >= 0)
		close(fd);
	return is;
}

static int
listen_at(struct relay *relay, const char *path)
{
	struct stat st;
	mode_t before;
	int rc;

	if (strlen(path) >= sizeof(relay->addr.sun_path))
		return -ENAMETOOLONG;
	relay->addr.sun_family = AF_UNIX;
	memcpy(relay->addr.sun_path, path, strlen(path) + 1);
	if (is_served(&relay->addr))
		return -EBUSY;
	if (!lstat(path, &st) && S_ISSOCK(st.st_mode))
		(void)unlink(path); // of an agent that was killed
	relay->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (relay->fd < 0)
		return -errno;
	before = umask(0177);
	rc = bind(relay->fd, (const struct sockaddr *)&relay->addr, sizeof(relay->addr)) ? -errno : 0;
	(void)umask(before);
	if (!rc && listen(relay->fd, BACKLOG))
		rc = -errno;
	return rc;
}

struct relay *
relay_create(const char *path, relay_fn answer_cb, void *arg, char err[RELAY_ERR_SIZE])
{
	struct relay *relay = calloc(1, sizeof(*relay));
	int rc;

	if (!relay) {
		(void)snprintf(err, RELAY_ERR_SIZE, "no memory");
		return NULL;
	}
	*relay = (struct relay){.fd = -1, .answer_cb = answer_cb, .arg = arg};
	for (unsigned i = 0; i < RELAY_CLIENTS_MAX; i++)
		relay->clients[i].fd = -1;
	rc = listen_at(relay, path);
	if (!rc)
		return relay;
	(void)snprintf(
		err, RELAY_ERR_SIZE, "%.150s: %s", path, rc == -EBUSY ? "another agent is running" : strerror(-rc));
	if (relay->fd >= 0)
		close(relay->fd);
	free(relay);
	return NULL;
}

static void
drop(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	free(client->in);
	*client = (struct client){.fd = -1};
}

void
relay_destroy(struct relay *relay)
{
	if (!relay)
		return;
	for (unsigned i = 0; i < RELAY_CLIENTS_MAX; i++)
		drop(&relay->clients[i]);
	(void)unlink(relay->addr.sun_path);
	close(relay->fd);
	free(relay);
}

unsigned
relay_poll(const struct relay *relay, struct pollfd fds[RELAY_CLIENTS_MAX + 1])
{
	unsigned n = 0;

	fds[n++] = (struct pollfd){.fd = relay->fd, .events = POLLIN};
	for (unsigned i = 0; i < RELAY_CLIENTS_MAX; i++)
		if (relay->clients[i].fd >= 0)
			fds[n++] = (struct pollfd){.fd = relay->clients[i].fd, .events = POLLIN};
	return n;
}

// A message is stolen. Whoever does not read it has no place here.
static void
say(struct client *client, json_t *message)
{
	char *text = message ? json_dumps(message, JSON_COMPACT) : NULL, *line = NULL;
	int n = text ? asprintf(&line, "%s\n", text) : -1;

	if (n < 0 || send(client->fd, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) != n)
		drop(client);
	free(n < 0 ? NULL : line);
	free(text);
	json_decref(message);
}

static void
answer(struct relay *relay, struct client *client, const json_t *request)
{
	const char *method = json_string_value(json_object_get(request, "method"));
	json_t *id = json_object_get(request, "id"), *params = json_object_get(request, "params"), *result = NULL;
	char err[RELAY_ERR_SIZE] = "no method";

	if (!id)
		return;
	if (method && !strcmp(method, "nic.hello")) {
		client->wants_events = json_is_true(json_object_get(params, "events"));
		result = json_pack("{s:O*, s:i}", "nonce", json_object_get(params, "nonce"), "protocol", 1);
	} else if (method) {
		result = relay->answer_cb(relay->arg, method, params, err);
	}
	if (result)
		say(client, json_pack("{s:s, s:o, s:O}", "jsonrpc", "2.0", "result", result, "id", id));
	else
		say(client,
			json_pack("{s:s, s:{s:i, s:s}, s:O}", "jsonrpc", "2.0", "error", "code", -32000, "message", err,
				"id", id));
}

static void
read_lines(struct relay *relay, struct client *client)
{
	char *end;

	while (client->fd >= 0 && (end = memchr(client->in, '\n', client->n))) {
		size_t len = (size_t)(end - client->in);
		json_t *request = json_loadb(client->in, len, 0, NULL);

		client->n -= len + 1;
		memmove(client->in, end + 1, client->n);
		if (json_is_object(request))
			answer(relay, client, request);
		json_decref(request);
	}
}

static void
serve_client(struct relay *relay, struct client *client)
{
	ssize_t n;

	if (!client->in)
		client->in = malloc(RELAY_LINE_BYTES_MAX);
	if (!client->in || client->n == RELAY_LINE_BYTES_MAX) {
		drop(client);
		return;
	}
	n = recv(client->fd, client->in + client->n, RELAY_LINE_BYTES_MAX - client->n, MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		drop(client);
		return;
	}
	if (n > 0) {
		client->n += (size_t)n;
		read_lines(relay, client);
	}
}

void
relay_serve(struct relay *relay)
{
	unsigned free_one = 0;
	int fd;

	for (unsigned i = 0; i < RELAY_CLIENTS_MAX; i++)
		if (relay->clients[i].fd >= 0)
			serve_client(relay, &relay->clients[i]);
	while ((fd = accept4(relay->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		while (free_one < RELAY_CLIENTS_MAX && relay->clients[free_one].fd >= 0)
			free_one++;
		if (free_one < RELAY_CLIENTS_MAX)
			relay->clients[free_one] = (struct client){.fd = fd};
		else
			close(fd);
	}
}

void
relay_tell(struct relay *relay, const json_t *event)
{
	for (unsigned i = 0; i < RELAY_CLIENTS_MAX; i++)
		if (relay->clients[i].fd >= 0 && relay->clients[i].wants_events)
			say(&relay->clients[i], json_deep_copy(event));
}
