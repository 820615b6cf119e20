// The installed client library against a peer whose bytes the test writes itself, before the call
// that reads them.
#include "../unit.h"
#include "rtvswitch/client.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MESSAGE_BYTES_MAX (32u << 20)

struct pair {
	char dir[32], path[64];
	struct rtvs_client *c;
	int listener, peer;
};

static void
say(struct pair *p, const char *text)
{
	assert_int_equal(write(p->peer, text, strlen(text)), strlen(text));
}

static int
pair_setup(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct pair *p = calloc(1, sizeof(*p));

	snprintf(p->dir, sizeof(p->dir), "/tmp/rtvs-client-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/sock", p->dir);
	memcpy(addr.sun_path, p->path, sizeof(p->path));
	p->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_return_code(bind(p->listener, (struct sockaddr *)&addr, sizeof(addr)), errno);
	assert_return_code(listen(p->listener, 1), errno);
	assert_int_equal(rtvs_client_open(p->path, &p->c), 0);
	p->peer = accept(p->listener, NULL, NULL);
	assert_true(p->peer >= 0);
	*state = p;
	return 0;
}

static int
pair_teardown(void **state)
{
	struct pair *p = *state;

	rtvs_client_close(p->c);
	if (p->peer >= 0)
		close(p->peer);
	close(p->listener);
	unlink(p->path);
	rmdir(p->dir);
	free(p);
	return 0;
}

static void
result_is_returned(void **state)
{
	struct pair *p = *state;
	json_t *result = NULL, *error = NULL;
	char text[256] = "";

	say(p, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[5]}\n");
	assert_int_equal(rtvs_client_call(p->c, "port.show", json_pack("{s:s}", "name", "vm1"), &result, &error), 0);
	assert_int_equal(json_integer_value(json_array_get(result, 0)), 5);
	assert_null(error);
	json_decref(result);
	assert_true(read(p->peer, text, sizeof(text) - 1) > 0);
	assert_string_equal(
		text, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"port.show\",\"params\":{\"name\":\"vm1\"}}\n");
}

static void
refusal_has_its_reason(void **state)
{
	struct pair *p = *state;
	json_t *result = NULL, *error = NULL;

	say(p, "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32602,\"message\":\"no\"}}\n");
	assert_int_equal(rtvs_client_call(p->c, "port.show", NULL, &result, &error), -EREMOTEIO);
	assert_null(result);
	assert_int_equal(json_integer_value(json_object_get(error, "code")), -32602);
	json_decref(error);
}

static void
late_answer_is_skipped(void **state)
{
	struct pair *p = *state;
	json_t *result = NULL, *error = NULL;

	rtvs_client_set_timeout(p->c, 1);
	say(p, "{\"jsonrpc\":\"2.0\",\"id\":1,"); // half of it is there
	assert_int_equal(rtvs_client_call(p->c, "a.b", NULL, &result, &error), -ETIMEDOUT);
	say(p, "\"result\":\"first\"}\n{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":\"second\"}\n");
	rtvs_client_set_timeout(p->c, 0);
	assert_int_equal(rtvs_client_call(p->c, "a.b", NULL, &result, &error), 0);
	assert_string_equal(json_string_value(result), "second");
	json_decref(result);
}

static void
events_come_in_order_or_not_at_all(void **state)
{
	struct pair *p = *state;
	json_t *result, *error, *event;

	assert_int_equal(rtvs_client_event(p->c, 0, &event), -ETIMEDOUT);
	assert_int_equal(rtvs_client_event(p->c, 1, &event), -ETIMEDOUT);
	say(p,
		"{\"method\":\"lost\"}\n{\"id\":1,\"result\":true}\n{\"method\":\"x\"}\n{\"id\":7,\"result\":1}\n{"
		"\"method\":\"y\"}\n");
	assert_int_equal(rtvs_client_call(p->c, "events.subscribe", NULL, &result, &error), 0);
	json_decref(result);
	for (const char *name = "x"; name; name = *name == 'x' ? "y" : NULL) {
		assert_int_equal(rtvs_client_event(p->c, -1, &event), 0);
		assert_string_equal(json_string_value(json_object_get(event, "method")), name);
		json_decref(event);
	}
	assert_int_equal(rtvs_client_event(p->c, 0, &event), -ETIMEDOUT);
}

static void
what_is_no_answer_is_told(void **state)
{
	static const char *const lines[] = {"{\"id\":\n", "5\n", "{\"id\":3}\n", "{\"id\":null}\n", "\n"};
	struct pair *p = *state;
	json_t *result = NULL, *error = NULL;

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		say(p, lines[i]);
		assert_int_equal(rtvs_client_call(p->c, "a.b", NULL, &result, &error), -EPROTO);
	}
	assert_null(result);
	assert_null(error);
	assert_int_equal(rtvs_client_call(p->c, "a.\xff", json_object(), &result, &error), -EINVAL);
}

static void
daemon_that_goes_is_told(void **state)
{
	struct pair *p = *state;
	json_t *result, *error, *event;

	assert_int_equal(shutdown(p->peer, SHUT_RDWR), 0);
	assert_int_equal(rtvs_client_event(p->c, -1, &event), -ECONNRESET);
	// SIGPIPE would end this program.
	assert_int_equal(rtvs_client_call(p->c, "a.b", NULL, &result, &error), -ECONNRESET);
}

// It says so and closes the connection before it reads a request.
static void
daemon_without_room_is_quoted(void **state)
{
	struct pair *p = *state;
	json_t *result = NULL, *error = NULL;

	say(p, "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000,\"message\":\"too many clients\"},\"id\":null}\n");
	close(p->peer);
	p->peer = -1;
	assert_int_equal(rtvs_client_call(p->c, "a.b", NULL, &result, &error), -EREMOTEIO);
	assert_string_equal(json_string_value(json_object_get(error, "message")), "too many clients");
	json_decref(error);
	assert_int_equal(rtvs_client_call(p->c, "a.b", NULL, &result, &error), -ECONNRESET);
}

// A message of so many bytes with its newline, from another process.
static int
call_with_answer_of(struct pair *p, size_t n_bytes)
{
	static const char head[] = "{\"id\":1,\"result\":\"", tail[] = "\"}\n";
	size_t n_fill = n_bytes - strlen(head) - strlen(tail);
	json_t *result = NULL, *error = NULL;
	pid_t pid = fork();
	int rc;

	assert_true(pid >= 0);
	if (!pid) {
		char *fill = malloc(n_fill);
		FILE *out = fdopen(p->peer, "w");

		memset(fill, 'x', n_fill);
		fputs(head, out);
		fwrite(fill, 1, n_fill, out);
		fputs(tail, out);
		fflush(out);
		_exit(0);
	}
	rc = rtvs_client_call(p->c, "a.b", NULL, &result, &error);
	if (!rc)
		assert_int_equal(json_string_length(result), n_fill);
	json_decref(result);
	rtvs_client_close(p->c); // the writer ends with it
	p->c = NULL;
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return rc;
}

static void
message_of_the_limit_is_taken(void **state)
{
	assert_int_equal(call_with_answer_of(*state, MESSAGE_BYTES_MAX), 0);
}

static void
longer_message_is_refused(void **state)
{
	assert_int_equal(call_with_answer_of(*state, MESSAGE_BYTES_MAX + 1), -EPROTO);
}

// No process accepts, as of a stopped daemon.
static void
queue_that_is_full_is_waited_for_within_the_limit(void **state)
{
	struct pair *p = *state;
	struct rtvs_client *waiting[8];
	unsigned n = 0;
	int rc;

	while (!(rc = rtvs_client_open_within(p->path, 1, &waiting[n])))
		assert_true(++n < 8);
	assert_int_equal(rc, -ETIMEDOUT);
	while (n)
		rtvs_client_close(waiting[--n]);
}

static void
socket_that_is_not_there(void **state)
{
	struct pair *p = *state;
	struct rtvs_client *c = NULL;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];

	assert_int_equal(rtvs_client_open("/tmp/rtvs-client-nobody/sock", &c), -ENOENT);
	close(p->listener);
	assert_int_equal(rtvs_client_open(p->path, &c), -ECONNREFUSED);
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(rtvs_client_open(path, &c), -ENAMETOOLONG);
	path[sizeof(path) - 2] = '\0';
	assert_int_equal(rtvs_client_open(path, &c), -ENOENT);
	assert_null(c);
	rtvs_client_close(NULL);
}

#define PAIR_TEST(name) cmocka_unit_test_setup_teardown(name, pair_setup, pair_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(result_is_returned),
		PAIR_TEST(refusal_has_its_reason),
		PAIR_TEST(late_answer_is_skipped),
		PAIR_TEST(events_come_in_order_or_not_at_all),
		PAIR_TEST(what_is_no_answer_is_told),
		PAIR_TEST(daemon_that_goes_is_told),
		PAIR_TEST(daemon_without_room_is_quoted),
		PAIR_TEST(message_of_the_limit_is_taken),
		PAIR_TEST(longer_message_is_refused),
		PAIR_TEST(queue_that_is_full_is_waited_for_within_the_limit),
		PAIR_TEST(socket_that_is_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
