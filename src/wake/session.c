// A connection and a list of ports. trace.start is repeated for each port until the daemon accepts
// it: after a restart its ports may come later than its socket. The daemon ends traces that no
// client reads, so a killed watcher leaves nothing.
#include "session.h"

#include "rtvs/port_traits.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_NS UINT64_C(1000000000) // between two looks for ports to start

struct port {
	char *name;
	bool is_started;
};

struct session {
	const char *path;
	struct client *client; // NULL: the daemon is away
	bool is_all;
	uint64_t rate, looked_ns;
	uint32_t daemon_pid;
	unsigned n_ports;
	struct port ports[SESSION_MAX_PORTS];
};

static struct port *
find(struct session *s, const char *name)
{
	for (unsigned i = 0; i < s->n_ports; i++)
		if (!strcmp(s->ports[i].name, name))
			return &s->ports[i];
	return NULL;
}

static bool
add(struct session *s, const char *name)
{
	if (find(s, name))
		return true;
	if (s->n_ports == SESSION_MAX_PORTS)
		return false;
	s->ports[s->n_ports].name = strdup(name);
	if (!s->ports[s->n_ports].name)
		return false;
	s->ports[s->n_ports++].is_started = false;
	return true;
}

static bool
is_guest(const json_t *port)
{
	return port_traits_of_name(json_string_value(json_object_get(port, "type"))) & PORT_IS_GUEST;
}

static bool
is_text(const json_t *object, const char *key, const char *expected)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && !strcmp(text, expected);
}

// Takes the port of that name, or else all ports of the domain of that name. False: there is none,
// or no room.
static bool
add_named(struct session *s, const json_t *list, const char *name)
{
	bool is_found = false;
	json_t *port;
	size_t i;

	json_array_foreach (list, i, port)
		if (is_guest(port) && is_text(port, "name", name))
			return add(s, name);
	json_array_foreach (list, i, port)
		if (is_guest(port) && is_text(json_object_get(port, "config"), "domain", name))
			is_found |= add(s, json_string_value(json_object_get(port, "name")));
	return is_found;
}

static enum cli_exit
refuse(const json_t *list, const char *name)
{
	const char *separator = "";
	json_t *port;
	size_t i;

	fprintf(stderr, "%s: there is no vhost port or domain '%s'; there are: ", program_invocation_short_name, name);
	json_array_foreach (list, i, port) {
		if (!is_guest(port))
			continue;
		fprintf(stderr, "%s%s", separator, json_string_value(json_object_get(port, "name")));
		separator = ", ";
	}
	fputs(*separator ? "\n" : "none\n", stderr);
	return CLI_REFUSED;
}

// Takes ports that are new, where all are wanted.
static void
add_all(struct session *s, const json_t *list)
{
	json_t *port;
	size_t i;

	json_array_foreach (list, i, port)
		if (is_guest(port))
			(void)add(s, json_string_value(json_object_get(port, "name")));
}

// Whether the daemon follows the port. A refusal is followed by another request; its reason is
// printed the first time.
static enum cli_exit
start(struct session *s, struct port *port, bool is_told)
{
	json_t *result = NULL, *error = NULL;
	enum cli_exit rc = client_call(s->client, "trace.start",
		json_pack("{s:s, s:I}", "port", port->name, "rate", (json_int_t)s->rate), &result, &error);

	port->is_started = rc == CLI_OK;
	if (rc == CLI_REFUSED && is_told)
		fprintf(stderr, "%s: trace.start: %s\n", program_invocation_short_name,
			json_string_value(json_object_get(error, "message")));
	json_decref(result);
	json_decref(error);
	return rc;
}

static void
leave(struct session *s)
{
	client_close(s->client);
	s->client = NULL;
	for (unsigned i = 0; i < s->n_ports; i++)
		s->ports[i].is_started = false;
}

// Starts what has not been started. Only a broken connection is a failure.
static enum cli_exit
look(struct session *s)
{
	json_t *list = NULL;
	enum cli_exit rc = CLI_OK;

	if (s->is_all) {
		rc = client_ask(s->client, "port.list", NULL, &list);
		add_all(s, list);
		json_decref(list);
	}
	for (unsigned i = 0; i < s->n_ports && rc != CLI_UNREACHABLE; i++)
		if (!s->ports[i].is_started)
			rc = start(s, &s->ports[i], false);
	return rc == CLI_UNREACHABLE ? rc : CLI_OK;
}

static enum cli_exit
choose(struct session *s, const char *const *names, unsigned n_names)
{
	json_t *list = NULL;
	enum cli_exit rc = client_ask(s->client, "port.list", NULL, &list);

	for (unsigned i = 0; i < n_names && !rc; i++)
		rc = add_named(s, list, names[i]) ? CLI_OK : refuse(list, names[i]);
	if (!rc && s->is_all)
		add_all(s, list);
	json_decref(list);
	for (unsigned i = 0; i < s->n_ports && !rc; i++)
		rc = start(s, &s->ports[i], true);
	return rc;
}

enum cli_exit
session_open(const char *path, const char *const *names, unsigned n_names, uint64_t rate, struct session **ret_session)
{
	struct session *s = calloc(1, sizeof(*s));
	enum cli_exit rc;

	if (!s)
		return CLI_REFUSED;
	s->path = path;
	s->is_all = !n_names;
	s->rate = rate;
	s->client = client_open(path);
	if (!s->client) {
		free(s);
		return CLI_UNREACHABLE;
	}
	s->daemon_pid = (uint32_t)client_peer_pid(s->client);
	rc = choose(s, names, n_names);
	if (rc) {
		session_close(s);
		return rc;
	}
	*ret_session = s;
	return CLI_OK;
}

void
session_close(struct session *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < s->n_ports; i++) {
		json_t *result = NULL, *error = NULL;

		if (s->client && s->ports[i].is_started &&
			client_call(s->client, "trace.stop", json_pack("{s:s}", "port", s->ports[i].name), &result,
				&error) == CLI_UNREACHABLE)
			leave(s);
		json_decref(result);
		json_decref(error);
		free(s->ports[i].name);
	}
	client_close(s->client);
	free(s);
}

static bool
is_back(struct session *s)
{
	if (client_connect(s->path, CLIENT_TIMEOUT_MS, &s->client))
		return false;
	s->daemon_pid = (uint32_t)client_peer_pid(s->client);
	fprintf(stderr, "%s: rtvswitchd is back\n", program_invocation_short_name);
	s->looked_ns = 0;
	return true;
}

// A port that was removed and added again is not followed any more.
static void
forget_ended(struct session *s, const json_t *read)
{
	for (unsigned i = 0; i < s->n_ports; i++) {
		bool is_there = false;
		json_t *port;
		size_t k;

		json_array_foreach (json_object_get(read, "ports"), k, port) {
			const char *name = json_string_value(json_object_get(port, "port"));

			is_there |= name && !strcmp(name, s->ports[i].name);
		}
		s->ports[i].is_started &= is_there;
	}
}

json_t *
session_read(struct session *s, uint64_t now_ns)
{
	json_t *result = NULL;
	enum cli_exit rc = CLI_OK;

	if (!s->client && !is_back(s))
		return NULL;
	if (now_ns - s->looked_ns >= LOOK_NS) {
		s->looked_ns = now_ns;
		rc = look(s);
	}
	if (rc == CLI_OK)
		rc = client_ask(s->client, "trace.read", NULL, &result);
	if (rc == CLI_UNREACHABLE) {
		fprintf(stderr, "%s: waiting for rtvswitchd\n", program_invocation_short_name);
		leave(s);
	}
	if (result)
		forget_ended(s, result);
	return result;
}

uint32_t
session_daemon_pid(const struct session *s)
{
	return s->daemon_pid;
}
