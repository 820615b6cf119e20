// The agent's socket, as programs of the guest meet it.
#include "../unit.h"
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct place {
	char dir[64], path[96];
	struct relay *relay;
	unsigned n_calls;
};

static json_t *
answer_cb(void *arg, const char *method, const json_t *params, char err[RELAY_ERR_SIZE])
{
	(void)params;
	((struct place *)arg)->n_calls++;
	if (!strcmp(method, "nic.get"))
		return json_pack("{s:i}", "n", 7);
	(void)snprintf(err, RELAY_ERR_SIZE, "%s is refused", method);
	return NULL;
}

static int
set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	char err[RELAY_ERR_SIZE];

	(void)snprintf(place->dir, sizeof(place->dir), "/tmp/relay_test.XXXXXX");
	assert_non_null(mkdtemp(place->dir));
	(void)snprintf(place->path, sizeof(place->path), "%s/agent.sock", place->dir);
	place->relay = relay_create(place->path, answer_cb, place, err);
	assert_non_null(place->relay);
	*state = place;
	return 0;
}

static int
tear_down(void **state)
{
	struct place *place = *state;

	relay_destroy(place->relay);
	assert_int_not_equal(access(place->path, F_OK), 0);
	assert_int_equal(rmdir(place->dir), 0);
	free(place);
	return 0;
}

static int
join(struct place *place)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", place->path);
	assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	relay_serve(place->relay);
	return fd;
}

// What comes back, or "" if the connection was closed, or NULL if nothing came.
static const char *
say(struct place *place, int fd, const char *text)
{
	static char buf[4096];
	ssize_t n;

	if (text[0])
		assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	relay_serve(place->relay);
	n = recv(fd, buf, sizeof(buf) - 1, MSG_DONTWAIT);
	if (n < 0)
		return errno == ECONNRESET ? "" : NULL;
	buf[n] = '\0';
	return buf;
}

static void
programs_are_greeted_and_answered(void **state)
{
	struct place *place = *state;
	int fd = join(place);

	assert_string_equal(say(place, fd, "\n{\"id\":\"a\",\"method\":\"nic.hello\",\"params\":{\"nonce\":\"x1\"}}\n"),
		"{\"jsonrpc\":\"2.0\",\"result\":{\"nonce\":\"x1\",\"protocol\":1},\"id\":\"a\"}\n");
	assert_int_equal(place->n_calls, 0);
	assert_null(say(place, fd, "{\"id\":\"b\",\"meth")); // in parts
	assert_string_equal(
		say(place, fd, "od\":\"nic.get\"}\n"), "{\"jsonrpc\":\"2.0\",\"result\":{\"n\":7},\"id\":\"b\"}\n");
	assert_string_equal(say(place, fd, "{\"id\":\"c\",\"method\":\"fly\"}\n"),
		"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000,\"message\":\"fly is refused\"},\"id\":\"c\"}\n");
	assert_null(say(place, fd, "garbage\n[1]\n{\"method\":\"nic.get\"}\n")); // nobody asked
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_string_equal(say(place, fd, ""), "");
	close(fd);
}

static void
events_are_for_those_who_want_them(void **state)
{
	struct place *place = *state;
	json_t *event = json_pack("{s:s}", "method", "vf.up");
	int wants = join(place), other = join(place);

	(void)say(place, wants, "{\"id\":1,\"method\":\"nic.hello\",\"params\":{\"nonce\":\"x\",\"events\":true}}\n");
	(void)say(place, other, "{\"id\":1,\"method\":\"nic.hello\",\"params\":{\"nonce\":\"x\"}}\n");
	relay_tell(place->relay, event);
	assert_string_equal(say(place, wants, ""), "{\"method\":\"vf.up\"}\n");
	assert_null(say(place, other, ""));
	close(wants);
	close(other);
	relay_serve(place->relay);
	relay_tell(place->relay, event);
	json_decref(event);
}

static void
limits_end_connections(void **state)
{
	static char line[RELAY_LINE_BYTES_MAX + 2];
	struct place *place = *state;
	int fds[RELAY_CLIENTS_MAX + 1];

	for (unsigned i = 0; i <= RELAY_CLIENTS_MAX; i++)
		fds[i] = join(place);
	assert_null(say(place, fds[RELAY_CLIENTS_MAX - 1], ""));
	assert_string_equal(say(place, fds[RELAY_CLIENTS_MAX], ""), "");
	memset(line, ' ', sizeof(line));
	memcpy(line, "{\"id\":1,\"method\":\"nic.get\"}", 27);
	line[RELAY_LINE_BYTES_MAX - 1] = '\n';
	line[RELAY_LINE_BYTES_MAX] = '\0';
	assert_non_null(say(place, fds[0], line)); // as long as a line may be
	assert_int_equal(place->n_calls, 1);
	line[RELAY_LINE_BYTES_MAX - 1] = ' ';
	line[RELAY_LINE_BYTES_MAX] = '\n';
	line[RELAY_LINE_BYTES_MAX + 1] = '\0';
	(void)say(place, fds[0], line);
	assert_string_equal(say(place, fds[0], ""), "");
	assert_int_equal(place->n_calls, 1);
	for (unsigned i = 0; i <= RELAY_CLIENTS_MAX; i++)
		close(fds[i]);
	relay_serve(place->relay);
}

static void
one_agent_has_the_socket(void **state)
{
	struct place *place = *state;
	char err[RELAY_ERR_SIZE], path[128];
	struct relay *second = relay_create(place->path, answer_cb, place, err);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct stat st;
	int fd;

	assert_null(second);
	assert_non_null(strstr(err, "another agent is running"));
	assert_int_equal(stat(place->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	// What a killed one left is replaced; another file is not.
	(void)snprintf(path, sizeof(path), "%s/left", place->dir);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	assert_null(relay_create(path, answer_cb, place, err));
	assert_int_equal(unlink(path), 0);
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%.100s", path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
	second = relay_create(path, answer_cb, place, err);
	assert_non_null(second);
	relay_destroy(second);
	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	assert_null(relay_create(path, answer_cb, place, err));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(programs_are_greeted_and_answered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(events_are_for_those_who_want_them, set_up, tear_down),
		cmocka_unit_test_setup_teardown(limits_end_connections, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_agent_has_the_socket, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
