// Events: their subscribers, and how often they are logged.
#include "ctl_fixture.h"
#include "events.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct client {
	int fd;
	char text[65536];
};

static void
client_open(struct fixture *f, struct client *c)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(server_adopt(&f->ctl->server, fds[0], true), 0);
	c->fd = fds[1];
}

// Sends a request, if there is one, and reads what has come.
static const char *
client_talk(struct fixture *f, struct client *c, const char *request)
{
	ssize_t n;

	if (request)
		assert_int_equal(send(c->fd, request, strlen(request), 0), strlen(request));
	fixture_turn(f);
	n = recv(c->fd, c->text, sizeof(c->text) - 1, MSG_DONTWAIT);
	c->text[n > 0 ? n : 0] = '\0';
	return c->text;
}

// A wait for an event that never comes would never end.
static void
names_that_no_event_has_are_refused(void **state)
{
	char longest[SERVER_MAX_PATTERNS + 64], unknown[SERVER_MAX_PATTERNS];

	fixture_refused(*state, "events.subscribe", "{\"events\": \"port.*,port.ad\"}", RPC_INVALID_PARAMS,
		"no event is called 'port.ad'; there are port.add, ");
	fixture_refused(
		*state, "events.subscribe", "{\"events\": \"port.*,,flow.*\"}", RPC_INVALID_PARAMS, "called ''");
	assert_true(events_check("", unknown));
	assert_true(events_check("port.*,worker.stall,[bm]*.set", unknown));
	assert_false(events_check("*.x", unknown));
	assert_string_equal(unknown, "*.x");
	memset(longest, '*', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_true(events_check(longest, unknown)); // cut, it still matches all
}

static void
subscribers_hear_what_they_asked_for(void **state)
{
	struct fixture *f = *state;
	struct client all, ports, none;

	client_open(f, &all);
	client_open(f, &ports);
	client_open(f, &none);
	assert_non_null(strstr(
		client_talk(f, &all, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"events.subscribe\"}\n"), "true"));
	(void)client_talk(f, &ports,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"events.subscribe\",\"params\":{\"events\":\"port.*,worker."
		"stall\"}}\n");
	fixture_ok(f, "bridge.add", "{\"name\": \"br0\"}");
	fixture_ok(f, "port.add", "{\"name\": \"vm1\"}");
	assert_non_null(strstr(client_talk(f, &all, NULL), "bridge.add"));
	assert_non_null(strstr(all.text, "\"port\":\"vm1\""));
	assert_non_null(strstr(all.text, "\"time\":\"20"));
	assert_non_null(strstr(client_talk(f, &ports, NULL), "port.add"));
	assert_null(strstr(ports.text, "bridge.add"));
	assert_string_equal(client_talk(f, &none, NULL), "");
	(void)client_talk(f, &all, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"events.unsubscribe\"}\n");
	fixture_ok(f, "port.del", "{\"name\": \"vm1\"}");
	assert_string_equal(client_talk(f, &all, NULL), "");
	fixture_refused(f, "events.subscribe", NULL, RPC_STATE_ERROR, "connection");
	close(all.fd);
	close(ports.fd);
	close(none.fd);
}

static void
the_datapaths_events_are_told(void **state)
{
	static const struct {
		struct dp_event event;
		const char *text;
	} cases[] = {
		{{.type = DP_EVENT_LINK, .is_up = true},
			"\"method\":\"port.link\",\"params\":{\"port\":\"vm1\",\"link\":\"up\""},
		{{.type = DP_EVENT_CONNECT},
			"\"method\":\"port.connect\",\"params\":{\"port\":\"vm1\",\"connected\":false"},
		{{.type = DP_EVENT_STALL, .port = DP_MAX_PORTS, .worker = 1, .value = 5000000}, "\"stall_ns\":5000000"},
		{{.type = DP_EVENT_MAC_LIMIT, .value = 4},
			"\"method\":\"mac.limit\",\"params\":{\"port\":\"vm1\",\"limit\":4"},
		{{.type = DP_EVENT_MAC_LIMIT, .port = DP_MAX_PORTS, .value = 16}, "\"limit\":16"},
		{{.type = DP_EVENT_MAC_MOVES, .port = DP_MAX_PORTS, .bridge = 0, .value = 4711},
			"\"method\":\"mac.moves\",\"params\":{\"bridge\":\"br0\",\"per_s\":4711,\"limit\":100"},
		{{.type = DP_EVENT_DRAINED, .port = 77, .value = 3, .cause = "old"},
			"\"method\":\"port.drained\",\"params\":{\"port\":\"old\",\"dropped\":3"},
		{{.type = DP_EVENT_GUEST_ERROR, .value = 9}, "\"method\":\"guest.error\""},
		{{.type = DP_EVENT_HOLD, .value = 1},
			"\"method\":\"port.held\",\"params\":{\"port\":\"vm1\",\"by\":\"up\""},
	};
	struct fixture *f = *state;
	struct dp_event stray = {.type = DP_EVENT_LINK, .port = 77}, by_stray = {.type = DP_EVENT_HOLD, .value = 77};
	struct dp_event stray_moves = {.type = DP_EVENT_MAC_MOVES, .port = DP_MAX_PORTS, .bridge = 1};
	struct client c;

	fixture_ok(f, "bridge.add", "{\"name\": \"br0\"}");
	fixture_ok(f, "port.add", "{\"name\": \"vm1\"}");
	fixture_ok(f, "port.add", "{\"name\": \"up\"}");
	client_open(f, &c);
	(void)client_talk(f, &c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"events.subscribe\"}\n");
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fake_dp_event(&cases[i].event);
		if (!strstr(client_talk(f, &c, NULL), cases[i].text))
			fail_msg("%s not in %s", cases[i].text, c.text);
	}
	fake_dp_event(&stray); // its port went meanwhile
	fake_dp_event(&by_stray);
	fake_dp_event(&stray_moves); // its bridge
	assert_string_equal(client_talk(f, &c, NULL), "");
	close(c.fd);
}

static void
patterns_match(void **state)
{
	(void)state;
	assert_true(events_match("", "port.add"));
	assert_true(events_match("port.add", "port.add"));
	assert_true(events_match("x,port.*", "port.add"));
	assert_false(events_match("port", "port.add"));
	assert_false(events_match(",,", "port.add"));
	assert_false(events_match("bridge.*,worker.stall", "port.add"));
}

static void
a_guest_cannot_fill_the_log(void **state)
{
	struct events_limit limit = {0};
	uint32_t n_suppressed;
	uint64_t now_ns = 1000;

	(void)state;
	for (unsigned i = 0; i < EVENTS_LOG_BURST; i++)
		assert_true(events_limit_pass(&limit, &n_suppressed, now_ns));
	for (unsigned i = 0; i < 5; i++)
		assert_false(events_limit_pass(&limit, &n_suppressed, now_ns + i));
	assert_true(events_limit_pass(&limit, &n_suppressed, now_ns + EVENTS_LOG_WINDOW_NS));
	assert_int_equal(n_suppressed, 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(names_that_no_event_has_are_refused, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(subscribers_hear_what_they_asked_for, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(the_datapaths_events_are_told, fixture_setup, fixture_teardown),
		cmocka_unit_test(patterns_match),
		cmocka_unit_test(a_guest_cannot_fill_the_log),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
