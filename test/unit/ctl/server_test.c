// The sockets: hostile and slow clients, limits, stale files, the monitors' socket.
#include "ctl_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LIST "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"port.list\"}\n"

static int
connect_to(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%.107s", path);
	assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

// Sends all, turning the loop whenever the socket is full. False: the other end is gone.
static bool
send_all(struct fixture *f, int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN)
			return false;
		if (n < 0) {
			(void)loop_turn(&f->ctl->loop, 0);
			continue;
		}
		data += n;
		len -= (size_t)n;
	}
	fixture_turn(f);
	return true;
}

// What has arrived; -1: nothing yet, 0: closed.
static ssize_t
receive(int fd, char *buf, size_t size)
{
	ssize_t n = recv(fd, buf, size - 1, MSG_DONTWAIT);

	buf[n > 0 ? n : 0] = '\0';
	return n;
}

static void
expect_answer(struct fixture *f, int fd, const char *request, const char *text)
{
	char buf[4096];

	assert_true(send_all(f, fd, request, strlen(request)));
	assert_true(receive(fd, buf, sizeof(buf)) > 0);
	if (!strstr(buf, text))
		fail_msg("%s -> %s", request, buf);
	assert_int_equal(buf[strlen(buf) - 1], '\n');
}

static void
requests_may_come_in_pieces_or_together(void **state)
{
	struct fixture *f = *state;
	int fd = connect_to(f->socket);
	char buf[4096];
	const char *list = LIST;

	for (size_t i = 0; i < strlen(list); i++) {
		assert_int_equal(receive(fd, buf, sizeof(buf)), -1);
		assert_int_equal(send(fd, list + i, 1, 0), 1);
		(void)loop_turn(&f->ctl->loop, 0);
		(void)loop_turn(&f->ctl->loop, 0);
	}
	assert_true(receive(fd, buf, sizeof(buf)) > 0);
	assert_true(send_all(f, fd, "\n" LIST "\r\n" LIST, 2 * strlen(list) + 3));
	assert_int_equal(
		receive(fd, buf, sizeof(buf)), 2 * (ssize_t)strlen("{\"jsonrpc\":\"2.0\",\"result\":[],\"id\":1}\n"));
	close(fd);
}

static void
garbage_is_answered(void **state)
{
	struct fixture *f = *state;
	int fd = connect_to(f->socket);

	expect_answer(f, fd, "\x01\x02\xff{[\n", "-32700");
	expect_answer(f, fd, "[]\n", "-32600");
	expect_answer(f, fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"port.fly\"}\n", "-32601");
	expect_answer(f, fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"system.init\"}\n", "EPERM");
	expect_answer(f, fd, LIST, "result");
	close(fd);
}

// len bytes and a newline.
static int
send_long(struct fixture *f, size_t len)
{
	int fd = connect_to(f->socket);
	char *line = malloc(len + 1);

	memset(line, ' ', len);
	memcpy(line, LIST, strlen(LIST) - 1);
	line[len] = '\n';
	(void)send_all(f, fd, line, len + 1);
	free(line);
	return fd;
}

static void
limit_of_a_request(void **state)
{
	struct fixture *f = *state;
	char buf[4096];
	int fd = send_long(f, RPC_MAX_REQUEST_BYTES);

	assert_true(receive(fd, buf, sizeof(buf)) > 0);
	assert_non_null(strstr(buf, "result"));
	close(fd);
	fd = send_long(f, RPC_MAX_REQUEST_BYTES + 1);
	fixture_turn(f);
	assert_int_equal(f->ctl->server.stats.n_too_long, 1);
	(void)receive(fd, buf, sizeof(buf));
	assert_non_null(strstr(buf, "longer than"));
	assert_true(receive(fd, buf, sizeof(buf)) == 0 || errno == ECONNRESET);
	close(fd);
	fixture_turn(f);
	assert_int_equal(f->ctl->server.n_clients, 0);
}

static void
limit_of_clients(void **state)
{
	struct fixture *f = *state;
	int fds[SERVER_MAX_CLIENTS], more;
	char buf[256];

	for (unsigned i = 0; i < SERVER_MAX_CLIENTS; i++) {
		fds[i] = connect_to(f->socket);
		fixture_turn(f);
	}
	expect_answer(f, fds[SERVER_MAX_CLIENTS - 1], LIST, "result");
	more = connect_to(f->socket);
	fixture_turn(f);
	assert_true(receive(more, buf, sizeof(buf)) > 0);
	assert_non_null(strstr(buf, "too many clients"));
	assert_int_equal(receive(more, buf, sizeof(buf)), 0);
	assert_int_equal(f->ctl->server.stats.n_refused, 1);
	close(more);
	close(fds[0]);
	fixture_turn(f);
	more = connect_to(f->socket);
	expect_answer(f, more, LIST, "result");
	close(more);
	for (unsigned i = 1; i < SERVER_MAX_CLIENTS; i++)
		close(fds[i]);
	fixture_turn(f);
	assert_int_equal(f->ctl->server.n_clients, 0);
}

static void
slow_readers_are_disconnected(void **state)
{
	struct fixture *f = *state;
	int slow = connect_to(f->socket), other = connect_to(f->socket);
	const char *request = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rpc.discover\"}\n";
	bool is_alive = true;

	for (unsigned i = 0; i < 10000 && is_alive && f->ctl->server.stats.n_slow == 0; i++) {
		is_alive = send(slow, request, strlen(request), MSG_NOSIGNAL | MSG_DONTWAIT) > 0 || errno == EAGAIN;
		(void)loop_turn(&f->ctl->loop, 0);
	}
	assert_int_equal(f->ctl->server.stats.n_slow, 1);
	expect_answer(f, other, LIST, "result");
	assert_int_equal(f->ctl->server.n_clients, 1);
	close(slow);
	close(other);
}

// A message that takes len bytes of the backlog.
static json_t *
message_of(size_t len)
{
	char *text = malloc(len);
	json_t *message;

	memset(text, 'x', len);
	message = json_pack("[s#]", text, (int)len - 5); // brackets, quotes, newline
	free(text);
	return message;
}

// At the limit a client stays, one byte more and it goes.
static void
limit_of_the_backlog(void **state)
{
	struct fixture *f = *state;
	int fd[2];
	struct server_client *c;
	json_t *message = message_of(SERVER_MAX_BACKLOG_BYTES);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	assert_int_equal(server_adopt(&f->ctl->server, fd[0], false), 0);
	c = f->ctl->server.clients;
	server_send(c, message);
	assert_false(c->is_dead);
	json_decref(message);
	// The socket took a part of it.
	message = message_of(SERVER_MAX_BACKLOG_BYTES - (c->out_len - c->out_off) + 1);
	server_send(c, message);
	assert_true(c->is_dead);
	assert_int_equal(f->ctl->server.stats.n_slow, 1);
	server_reap(&f->ctl->server);
	json_decref(message);
	close(fd[1]);
}

static void
answers_arrive_after_half_a_close(void **state)
{
	struct fixture *f = *state;
	int fd = connect_to(f->socket);
	char buf[256];

	(void)send(fd, LIST, strlen(LIST), 0);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	fixture_turn(f);
	assert_true(receive(fd, buf, sizeof(buf)) > 0);
	assert_int_equal(receive(fd, buf, sizeof(buf)), 0);
	close(fd);
}

static void
monitors_cannot_write(void **state)
{
	struct fixture *f = *state;
	int fd = connect_to(f->monitor);

	expect_answer(f, fd, LIST, "result");
	expect_answer(f, fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"bridge.add\",\"params\":{\"name\":\"b\"}}\n",
		"EPERM");
	expect_answer(f, fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"system.stop\"}\n", "EPERM");
	assert_int_equal(f->ctl->live->n_bridges, 0);
	assert_false(f->ctl->is_stopping);
	close(fd);
}

static void
socket_files_have_their_mode_and_go(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	assert_int_equal(stat(f->socket, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	ctl_destroy(f->ctl);
	f->ctl = NULL;
	assert_int_equal(stat(f->socket, &st), -1);
	assert_int_equal(stat(f->monitor, &st), -1);
}

static void
a_served_socket_is_refused(void **state)
{
	struct fixture *f = *state;
	char err[DP_ERR_SIZE];
	struct ctl *second = NULL;

	assert_int_equal(ctl_create(&f->params, &second, err), -EADDRINUSE);
	assert_non_null(strstr(err, f->socket));
	assert_int_equal(access(f->socket, F_OK), 0);
}

static void
a_stale_socket_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	char err[DP_ERR_SIZE];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%.107s", f->socket);
	assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
	assert_int_equal(ctl_create(&f->params, &f->ctl, err), 0);
}

static void
what_is_no_socket_stays(void **state)
{
	struct fixture *f = *state;
	char err[DP_ERR_SIZE];

	fixture_write(f->socket, "precious");
	assert_int_equal(ctl_create(&f->params, &f->ctl, err), -EEXIST);
	assert_non_null(strstr(err, "not a socket"));
	assert_int_equal(access(f->socket, F_OK), 0);
	f->params.socket = "relative";
	assert_int_equal(ctl_create(&f->params, &f->ctl, err), -EINVAL);
	f->params.socket = f->config;
	f->params.group = "no-such-group";
	assert_int_equal(ctl_create(&f->params, &f->ctl, err), -EINVAL);
	assert_non_null(strstr(err, "no-such-group"));
	assert_int_equal(access(f->config, F_OK), -1);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
#define STOPPED(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup_stopped, fixture_teardown)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(requests_may_come_in_pieces_or_together),
		T(garbage_is_answered),
		T(limit_of_a_request),
		T(limit_of_clients),
		T(slow_readers_are_disconnected),
		T(limit_of_the_backlog),
		T(answers_arrive_after_half_a_close),
		T(monitors_cannot_write),
		T(socket_files_have_their_mode_and_go),
		T(a_served_socket_is_refused),
		STOPPED(a_stale_socket_is_replaced),
		STOPPED(what_is_no_socket_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
