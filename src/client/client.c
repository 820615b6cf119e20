// The additions of rtvsctl and its companions to the installed library (rtvs_client.c): error
// messages on stderr, and an exit status for scripts.
#include "rtvs/client.h"

#include "rtvswitch/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct client {
	struct rtvs_client *conn;
};

int
client_connect(const char *path, unsigned ms, struct client **ret_client)
{
	struct client *c = calloc(1, sizeof(*c));
	int rc = c ? rtvs_client_open_within(path, ms, &c->conn) : -ENOMEM;

	if (rc) {
		free(c);
		return rc;
	}
	*ret_client = c;
	return 0;
}

struct client *
client_open(const char *path)
{
	struct client *c = NULL;
	int rc = client_connect(path, CLIENT_TIMEOUT_MS, &c);

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

	return getsockopt(rtvs_client_fd(c->conn), SOL_SOCKET, SO_PEERCRED, &peer, &len) ? 0 : peer.pid;
}

void
client_set_timeout(struct client *c, unsigned ms)
{
	rtvs_client_set_timeout(c->conn, ms);
}

int
client_fd(const struct client *c)
{
	return rtvs_client_fd(c->conn);
}

void
client_close(struct client *c)
{
	if (!c)
		return;
	rtvs_client_close(c->conn);
	free(c);
}

enum cli_exit
client_call(struct client *c, const char *method, json_t *params, json_t **ret_result, json_t **ret_error)
{
	int rc = rtvs_client_call(c->conn, method, params, ret_result, ret_error);

	if (!rc || rc == -EREMOTEIO)
		return rc ? CLI_REFUSED : CLI_OK;
	fprintf(stderr,
		rc == -ETIMEDOUT ? "%s: rtvswitchd does not answer\n" : "%s: the connection to rtvswitchd broke\n",
		program_invocation_short_name);
	return CLI_UNREACHABLE;
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

int
client_event_within(struct client *c, int ms, json_t **ret_event)
{
	return rtvs_client_event(c->conn, ms, ret_event);
}
