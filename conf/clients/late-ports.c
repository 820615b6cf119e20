// usage: late-ports [SOCKET [--events]]
//
// An example of a program that asks rtvswitchd: prints how many packets missed the deadline of each port that has one; with --events
// goes on with what happens to ports and bridges. rtvswitch-api(7) has all methods.
//
//   cc -o late-ports late-ports.c $(pkg-config --cflags --libs rtvswitch)
#include <rtvswitch/client.h>
#include <stdio.h>
#include <string.h>

// A call whose result is printed or used; NULL: told on stderr.
static json_t *
ask(struct rtvs_client *client, const char *method, json_t *params)
{
	json_t *result = NULL, *error = NULL;
	int rc = rtvs_client_call(client, method, params, &result, &error);

	if (error)
		fprintf(stderr, "%s: %s\n", method, json_string_value(json_object_get(error, "message")));
	else if (rc)
		fprintf(stderr, "%s: %s\n", method, strerror(-rc));
	json_decref(error);
	return result;
}

// flow.list has one entry for each pair of ports, from a sender to where it leaves.
static json_int_t
missed_of(const json_t *flows, const char *port)
{
	json_int_t n = 0;
	size_t i;
	json_t *flow;

	json_array_foreach (flows, i, flow) {
		const char *from = json_string_value(json_object_get(flow, "from"));

		if (from && !strcmp(from, port))
			n += json_integer_value(json_object_get(flow, "missed_pkts"));
	}
	return n;
}

static int
print_ports(struct rtvs_client *client)
{
	json_t *ports = ask(client, "port.list", NULL);
	json_t *flows = ports ? ask(client, "flow.list", NULL) : NULL;
	size_t i;
	json_t *port;

	json_array_foreach (ports, i, port) {
		const char *name = json_string_value(json_object_get(port, "name"));
		const char *deadline = json_string_value(json_object_get(json_object_get(port, "config"), "deadline"));

		if (flows && name && deadline && strcmp(deadline, "0ns"))
			printf("%s: deadline %s, %lld packets missed it\n", name, deadline,
				(long long)missed_of(flows, name));
	}
	json_decref(ports);
	json_decref(flows);
	return flows ? 0 : 1;
}

static int
print_events(struct rtvs_client *client)
{
	json_t *result = ask(client, "events.subscribe", json_pack("{s:s}", "events", "port.*,bridge.*"));
	json_t *event;
	int rc;

	if (!result)
		return 1;
	json_decref(result);
	puts("listening");
	while (!(rc = rtvs_client_event(client, -1, &event))) {
		char *params = json_dumps(json_object_get(event, "params"), JSON_COMPACT);

		printf("%s %s\n", json_string_value(json_object_get(event, "method")), params ? params : "");
		free(params);
		json_decref(event);
	}
	fprintf(stderr, "events: %s\n", strerror(-rc));
	return 1;
}

int
main(int argc, char **argv)
{
	struct rtvs_client *client;
	int rc = rtvs_client_open(argc > 1 ? argv[1] : NULL, &client);

	if (rc) {
		fprintf(stderr, "%s: %s\n", argc > 1 ? argv[1] : RTVS_CLIENT_SOCKET, strerror(-rc));
		return 1;
	}
	rc = print_ports(client);
	if (!rc && argc > 2 && !strcmp(argv[2], "--events"))
		rc = print_events(client);
	rtvs_client_close(client);
	return rc;
}
