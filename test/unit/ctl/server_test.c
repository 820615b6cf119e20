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

// The bytes that have arrived; -1: nothing yet, 0: closed.
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
send_long(struct fixture *f, const char *socket, size_t len)
{
	int fd = connect_to(socket);
	char *line = malloc(len + 1);

	memset(line, ' ', len);
	memcpy(line, LIST, strlen(LIST) - 1);
	line[len] = '\n';
	(void)send_all(f, fd, line, len + 1);
	free(line);
	return fd;
}

static void
expect_limit(struct fixture *f, const char *socket, size_t limit)
{
	uint64_t before = f->ctl->server.stats.n_too_long;
	char buf[4096];
	int fd = send_long(f, socket, limit);

	assert_true(receive(fd, buf, sizeof(buf)) > 0);
	assert_non_null(strstr(buf, "result"));
	close(fd);
	fd = send_long(f, socket, limit + 1);
	fixture_turn(f);
	assert_int_equal(f->ctl->server.stats.n_too_long, before + 1);
	(void)receive(fd, buf, sizeof(buf));
	assert_non_null(strstr(buf, "longer than"));
	assert_true(receive(fd, buf, sizeof(buf)) == 0 || errno == ECONNRESET);
	close(fd);
	fixture_turn(f);
	assert_int_equal(f->ctl->server.n_clients, 0);
}

static void
limit_of_a_request(void **state)
{
	struct fixture *f = *state;

	expect_limit(f, f->socket, RPC_MAX_REQUEST_BYTES);
	expect_limit(f, f->monitor, SERVER_MAX_READ_ONLY_BYTES);
}

// The daemon's end of a connection, as if the process had made it: a test is one process, and
// limits are per process. The test sets the time.
static int
connect_as(struct fixture *f, int pid)
{
	int fd[2];

	loop_close(&f->ctl->loop, &f->ctl->tick);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	for (struct server_client *c = f->ctl->server.clients; c; c = c->next)
		c->pid = c->pid == getpid() ? -1 : c->pid;
	assert_int_equal(server_adopt(&f->ctl->server, fd[0], false), 0);
	f->ctl->server.clients->pid = pid;
	return fd[1];
}

static void
turn_all(struct fixture *f)
{
	for (unsigned i = 0; i < 8 * SERVER_MAX_CLIENTS; i++)
		(void)loop_turn(&f->ctl->loop, 0);
}

// Ways in which a client may hold its place: each is more than the limit of clients.
enum hold {
	HOLD_SILENT, // connects, and says nothing
	HOLD_DONE, // asked once
	HOLD_HALF, // half a request
	HOLD_UNREAD, // reads no answers
	HOLD_SUBSCRIBED,
	N_HOLDS
};

static void
hold_a_place(struct fixture *f, enum hold hold, int fd)
{
	static const char subscribe[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"events.subscribe\"}\n";
	static const char discover[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rpc.discover\"}\n";

	if (hold == HOLD_DONE)
		(void)send(fd, LIST, strlen(LIST), MSG_NOSIGNAL);
	else if (hold == HOLD_HALF)
		(void)send(fd, LIST, 9, MSG_NOSIGNAL);
	else if (hold == HOLD_SUBSCRIBED)
		(void)send(fd, subscribe, strlen(subscribe), MSG_NOSIGNAL);
	for (unsigned i = 0; hold == HOLD_UNREAD && i < 20; i++)
		(void)send(fd, discover, strlen(discover), MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)loop_turn(&f->ctl->loop, 0);
	(void)loop_turn(&f->ctl->loop, 0);
}

// The guests' hook waits 3 s for an answer, and a guest's start fails without one.
static void
one_more_client_gets_in_whatever_others_do(void **state)
{
	struct fixture *f = *state;
	int fds[SERVER_MAX_CLIENTS + 1], more;
	char buf[65536];

	for (enum hold hold = HOLD_SILENT; hold < N_HOLDS; hold++) {
		for (unsigned i = 0; i < SERVER_MAX_CLIENTS; i++) {
			fds[i] = connect_as(f, 1000 + (int)i);
			hold_a_place(f, hold, fds[i]);
		}
		more = connect_to(f->socket);
		assert_true(send_all(f, more, LIST, strlen(LIST)));
		for (unsigned tick = 0; tick < SERVER_PATIENCE_TICKS; tick++) {
			server_tick(&f->ctl->server);
			turn_all(f);
		}
		if (receive(more, buf, sizeof(buf)) <= 0 || !strstr(buf, "result"))
			fail_msg("others do %d: %s", (int)hold, buf);
		assert_int_equal(f->ctl->server.n_clients, SERVER_MAX_CLIENTS);
		close(more);
		for (unsigned i = 0; i < SERVER_MAX_CLIENTS; i++)
			close(fds[i]);
		turn_all(f);
		assert_int_equal(f->ctl->server.n_clients, 0);
	}
}

// -1: it is still connected; 0: it was closed. Bytes for it are dropped.
static ssize_t
receive_all(int fd)
{
	char buf[65536];
	ssize_t n;

	while ((n = receive(fd, buf, sizeof(buf))) > 0)
		;
	return n;
}

static void
who_is_idle_longest_makes_room(void **state)
{
	struct fixture *f = *state;
	int fds[SERVER_MAX_CLIENTS + 1];

	for (unsigned i = 0; i < SERVER_MAX_CLIENTS; i++) {
		fds[i] = connect_as(f, 1000 + (int)i);
		hold_a_place(f,
			i == 0	       ? HOLD_SUBSCRIBED :
				i == 1 ? HOLD_HALF :
				i == 2 ? HOLD_UNREAD :
					 HOLD_DONE,
			fds[i]);
	}
	hold_a_place(f, HOLD_DONE, fds[3]); // the one idle longest is fds[4]
	assert_int_equal(send(fds[5], LIST, strlen(LIST), 0), strlen(LIST)); // not yet read
	assert_int_equal(f->ctl->server.n_clients, SERVER_MAX_CLIENTS);
	fds[SERVER_MAX_CLIENTS] = connect_as(f, 1);
	for (unsigned i = 0; i <= SERVER_MAX_CLIENTS; i++)
		if ((receive_all(fds[i]) == 0) != (i == 4))
			fail_msg("client %u", i);
	assert_int_equal(f->ctl->server.stats.n_evicted, 1);
	assert_int_equal(f->ctl->server.stats.n_refused, 0);
	turn_all(f);
	assert_int_equal(receive_all(fds[5]), -1); // and answered
	for (unsigned i = 0; i <= SERVER_MAX_CLIENTS; i++)
		close(fds[i]);
}

// Clients that are all busy: a new one waits for a place, and is told when there is none for too
// long.
static void
limit_of_clients(void **state)
{
	struct fixture *f = *state;
	int fds[SERVER_MAX_CLIENTS], more;
	char buf[256];

	for (unsigned i = 0; i < SERVER_MAX_CLIENTS; i++) {
		fds[i] = connect_as(f, 1000 + (int)i);
		hold_a_place(f, HOLD_HALF, fds[i]);
	}
	assert_int_equal(f->ctl->server.n_clients, SERVER_MAX_CLIENTS);
	more = connect_to(f->socket);
	turn_all(f);
	assert_int_equal(receive(more, buf, sizeof(buf)), -1);
	close(fds[0]);
	turn_all(f);
	expect_answer(f, more, LIST, "result");
	assert_int_equal(send(more, LIST, 9, 0), 9);
	turn_all(f);
	fds[0] = more;
	more = connect_to(f->socket);
	turn_all(f);
	for (unsigned tick = 0; tick < SERVER_PATIENCE_TICKS; tick++) {
		for (struct server_client *c = f->ctl->server.clients; c; c = c->next)
			c->tick = f->ctl->server.n_ticks + 1; // each sent something
		server_tick(&f->ctl->server);
		turn_all(f);
	}
	assert_true(receive(more, buf, sizeof(buf)) > 0);
	assert_non_null(strstr(buf, "too many clients"));
	assert_int_equal(receive(more, buf, sizeof(buf)), 0);
	assert_int_equal(f->ctl->server.stats.n_refused, 1);
	assert_int_equal(f->ctl->server.stats.n_evicted, 0);
	close(more);
	for (unsigned i = 0; i < SERVER_MAX_CLIENTS; i++)
		close(fds[i]);
	turn_all(f);
	assert_int_equal(f->ctl->server.n_clients, 0);
}

// Its own clients make room, and when they cannot it is told.
static void
limit_of_a_process(void **state)
{
	struct fixture *f = *state;
	int fds[SERVER_MAX_PER_PROCESS + 1], other = connect_as(f, 1000);
	char buf[256];

	hold_a_place(f, HOLD_DONE, other);
	for (unsigned i = 0; i < SERVER_MAX_PER_PROCESS; i++) {
		fds[i] = connect_to(f->socket);
		hold_a_place(f, i ? HOLD_SUBSCRIBED : HOLD_DONE, fds[i]);
		turn_all(f);
	}
	assert_int_equal(f->ctl->server.stats.n_evicted, 0);
	fds[SERVER_MAX_PER_PROCESS] = connect_to(f->socket);
	expect_answer(f, fds[SERVER_MAX_PER_PROCESS], LIST, "result");
	assert_int_equal(f->ctl->server.stats.n_evicted, 1);
	assert_int_equal(receive_all(fds[0]), 0);
	assert_int_equal(receive_all(other), -1);
	hold_a_place(f, HOLD_SUBSCRIBED, fds[SERVER_MAX_PER_PROCESS]);
	close(fds[0]);
	fds[0] = connect_to(f->socket);
	turn_all(f);
	assert_true(receive(fds[0], buf, sizeof(buf)) > 0);
	assert_non_null(strstr(buf, "too many clients of one process"));
	assert_int_equal(f->ctl->server.stats.n_refused, 1);
	expect_answer(f, other, LIST, "result");
	close(other);
	for (unsigned i = 0; i <= SERVER_MAX_PER_PROCESS; i++)
		close(fds[i]);
}

static void
limit_of_subscribers(void **state)
{
	struct fixture *f = *state;
	int fds[SERVER_MAX_SUBSCRIBERS + 1];
	const char *subscribe = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"events.subscribe\"}\n";

	for (unsigned i = 0; i <= SERVER_MAX_SUBSCRIBERS; i++)
		fds[i] = connect_as(f, 1000 + (int)i);
	for (unsigned i = 0; i < SERVER_MAX_SUBSCRIBERS; i++)
		expect_answer(f, fds[i], subscribe, "result");
	expect_answer(f, fds[0], subscribe, "result"); // again
	expect_answer(f, fds[SERVER_MAX_SUBSCRIBERS], subscribe, "too many subscribers: 64 at most");
	close(fds[0]);
	turn_all(f);
	expect_answer(f, fds[SERVER_MAX_SUBSCRIBERS], subscribe, "result");
	for (unsigned i = 1; i <= SERVER_MAX_SUBSCRIBERS; i++)
		close(fds[i]);
}

// A client that sends many requests before it reads gets every answer, as fast as it reads. No
// other client waits meanwhile, and no more than one answer is kept for it.
static void
answers_wait_for_their_reader(void **state)
{
	struct fixture *f = *state;
	const char *request = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rpc.discover\"}\n";
	int slow = connect_to(f->socket), other;
	static char buf[1 << 20];
	unsigned n_sent = 0, n_answers = 0;
	size_t most = 0, n_bytes = 0;
	ssize_t n;

	while (n_sent < 2000 && send(slow, request, strlen(request), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		n_sent++;
	assert_int_equal(shutdown(slow, SHUT_WR), 0);
	turn_all(f);
	other = connect_to(f->socket);
	expect_answer(f, other, LIST, "result");
	for (unsigned idle = 0; idle < 100;) {
		n = receive(slow, buf, sizeof(buf));
		idle = n < 0 ? idle + 1 : 0;
		if (n == 0)
			break;
		n_bytes += n > 0 ? (size_t)n : 0;
		for (ssize_t i = 0; i < n; i++)
			n_answers += buf[i] == '\n';
		for (struct server_client *c = f->ctl->server.clients; c; c = c->next)
			most = c->out_len + c->in_len > most ? c->out_len + c->in_len : most;
		(void)loop_turn(&f->ctl->loop, 0);
	}
	assert_true(n_bytes > SERVER_MAX_BACKLOG_BYTES);
	assert_int_equal(n_answers, n_sent);
	assert_int_equal(f->ctl->server.stats.n_slow, 0);
	assert_true(most > 0 && most < 1 << 20);
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

// An answer may have any length, and events that come while it is read have their limit for
// themselves.
static void
answer_is_no_backlog(void **state)
{
	struct fixture *f = *state;
	const char *request = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rpc.discover\"}";
	int fd = connect_to(f->socket);
	json_t *message = message_of(SERVER_MAX_BACKLOG_BYTES);
	char *batch = malloc(RPC_MAX_BATCH * (strlen(request) + 1) + 3);
	struct server_client *c;
	size_t n = 0;

	for (unsigned i = 0; i < RPC_MAX_BATCH; i++)
		n += (size_t)snprintf(batch + n, strlen(request) + 2, "%c%s", i ? ',' : '[', request);
	memcpy(batch + n, "]\n", 3);
	assert_true(send_all(f, fd, batch, n + 2));
	free(batch);
	c = f->ctl->server.clients;
	assert_true(c->out_len - c->out_off > SERVER_MAX_BACKLOG_BYTES / 2);
	server_send(c, message);
	assert_false(c->is_dead);
	json_decref(message);
	message = message_of(10);
	server_send(c, message);
	assert_true(c->is_dead);
	server_reap(&f->ctl->server);
	json_decref(message);
	close(fd);
}

static void
last_request_needs_no_newline(void **state)
{
	struct fixture *f = *state;
	int fd = connect_to(f->socket);
	char buf[256];

	assert_true(send_all(f, fd, LIST, strlen(LIST) - 1));
	assert_int_equal(receive(fd, buf, sizeof(buf)), -1);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	fixture_turn(f);
	assert_true(receive(fd, buf, sizeof(buf)) > 0);
	assert_non_null(strstr(buf, "result"));
	assert_int_equal(receive(fd, buf, sizeof(buf)), 0);
	close(fd);
	// Half of one is answered, too: it is an error.
	fd = connect_to(f->socket);
	assert_int_equal(send(fd, LIST, 9, 0), 9);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	fixture_turn(f);
	assert_true(receive(fd, buf, sizeof(buf)) > 0);
	assert_non_null(strstr(buf, "-32700"));
	close(fd);
	fixture_turn(f);
	assert_int_equal(f->ctl->server.n_clients, 0);
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
	assert_int_equal(f->ctl->plane.live->n_bridges, 0);
	assert_false(f->ctl->system.is_stopping);
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
		T(one_more_client_gets_in_whatever_others_do),
		T(who_is_idle_longest_makes_room),
		T(limit_of_clients),
		T(limit_of_a_process),
		T(limit_of_subscribers),
		T(answers_wait_for_their_reader),
		T(limit_of_the_backlog),
		T(answer_is_no_backlog),
		T(last_request_needs_no_newline),
		T(answers_arrive_after_half_a_close),
		T(monitors_cannot_write),
		T(socket_files_have_their_mode_and_go),
		T(a_served_socket_is_refused),
		STOPPED(a_stale_socket_is_replaced),
		STOPPED(what_is_no_socket_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
