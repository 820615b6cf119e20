// Blocking socket I/O of rtvsctl and its companions: a request is a line, its answer is the next line that has an id; lines without
// one are events and are only kept while somebody waits for them (client_event).
#include "rtvs/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

struct client {
	FILE *in, *out;
	char *line;
	size_t size;
	unsigned id;
};

// Cannot fail on a socket with such a value; unix sockets apply the one for sending to connect(2), too.
static void
set_timeout(int fd, int option, unsigned ms)
{
	struct timeval limit = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	(void)setsockopt(fd, SOL_SOCKET, option, &limit, sizeof(limit));
}

int
client_connect(const char *path, struct client **ret_client)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct client *c;
	int fd, copy, rc;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	set_timeout(fd, SO_SNDTIMEO, CLIENT_TIMEOUT_MS);
	set_timeout(fd, SO_RCVTIMEO, CLIENT_TIMEOUT_MS);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		rc = -errno;
		close(fd);
		return rc;
	}
	c = calloc(1, sizeof(*c));
	copy = dup(fd);
	if (c) {
		c->in = fdopen(fd, "r");
		c->out = copy < 0 ? NULL : fdopen(copy, "w");
	}
	if (!c || !c->in || !c->out) {
		client_close(c);
		return -ENOMEM;
	}
	*ret_client = c;
	return 0;
}

struct client *
client_open(const char *path)
{
	struct client *c = NULL;
	int rc = client_connect(path, &c);

	if (rc == -ENAMETOOLONG)
		fprintf(stderr, "%s: '%s' is too long for a socket's path\n", program_invocation_short_name, path);
	else if (rc)
		fprintf(stderr, "%s: cannot reach rtvswitchd at %s: %s%s\n", program_invocation_short_name, path,
			strerror(-rc), rc == -EACCES ? "" : "; is it running?");
	return c;
}

pid_t
client_peer_pid(const struct client *c)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fileno(c->in), SOL_SOCKET, SO_PEERCRED, &peer, &len) ? 0 : peer.pid;
}

void
client_set_timeout(struct client *c, unsigned ms)
{
	set_timeout(fileno(c->out), SO_SNDTIMEO, ms);
	set_timeout(fileno(c->in), SO_RCVTIMEO, ms);
}

void
client_close(struct client *c)
{
	if (!c)
		return;
	if (c->in)
		fclose(c->in);
	if (c->out)
		fclose(c->out);
	free(c->line);
	free(c);
}

static json_t *
read_message(struct client *c)
{
	ssize_t n;

	errno = 0; // getline leaves it at the end of the file
	n = getline(&c->line, &c->size, c->in);
	return n > 0 ? json_loadb(c->line, (size_t)n, 0, NULL) : NULL;
}

static enum cli_exit
broken(void)
{
	bool is_late = errno == EAGAIN || errno == EWOULDBLOCK;

	fprintf(stderr, is_late ? "%s: rtvswitchd does not answer\n" : "%s: the connection to rtvswitchd broke\n",
		program_invocation_short_name);
	return CLI_UNREACHABLE;
}

enum cli_exit
client_call(struct client *c, const char *method, json_t *params, json_t **ret_result, json_t **ret_error)
{
	json_t *request = json_pack(
		"{s:s, s:i, s:s, s:o*}", "jsonrpc", "2.0", "id", (int)++c->id, "method", method, "params", params);
	json_t *answer = NULL, *error;
	bool is_sent =
		request && !json_dumpf(request, c->out, JSON_COMPACT) && fputc('\n', c->out) != EOF && !fflush(c->out);

	json_decref(request);
	if (!is_sent)
		return broken();
	do {
		json_decref(answer);
		answer = read_message(c);
	} while (answer && !json_object_get(answer, "id"));
	if (!answer)
		return broken();
	error = json_object_get(answer, "error");
	if (error)
		*ret_error = json_incref(error);
	else
		*ret_result = json_incref(json_object_get(answer, "result"));
	json_decref(answer);
	return error ? CLI_REFUSED : CLI_OK;
}

enum cli_exit
client_ask(struct client *c, const char *method, json_t *params, json_t **ret_result)
{
	json_t *error = NULL;
	enum cli_exit rc = client_call(c, method, params, ret_result, &error);

	if (rc == CLI_REFUSED) {
		fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, method,
			json_string_value(json_object_get(error, "message")));
		json_decref(error);
	}
	return rc;
}

json_t *
client_event(struct client *c)
{
	json_t *message;

	set_timeout(fileno(c->in), SO_RCVTIMEO, 0);
	while ((message = read_message(c)) && json_object_get(message, "id"))
		json_decref(message);
	return message;
}
