// The order is: the other process is ready; descriptors and clients are sent while workers run; the
// workers stop, and the rest is sent; the other process takes over, or this one goes on. The
// clients wait meanwhile: the loop that runs here has no listener and no client.
// Invariant: from `go` on, only the compare and swap of the page's owner decides who goes on.
#include "upgrade.h"

#include "ctl.h"
#include "ctl_clock.h"
#include "hand_over.h"
#include "metrics.h"
#include "peers_state.h"
#include "rtvs/log.h"
#include "rtvs/units.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define READY_NS UINT64_C(60000000000) // of a program that starts
#define SEND_S 2 // it does not read
#define TAKE_MS 1000 // guests' packets wait so long at most when it does not take over
#define TAKEN_MS 10000 // it has begun to take over
#define BARRIER_MS 5000 // of a service manager that does not answer
#define CHILD_FD 3
#define MAX_ARGS 64

extern char **environ;

struct attempt {
	struct ctl *ctl;
	struct loop loop;
	struct loop_source source; // our end of the socket pair
	pid_t pid;
	int page_fd;
	struct hand_over_page *page;
	struct hand_over_message answer; // the last one; no body: none came
	int rc; // of receiving it
	uint32_t takes; // enum dp_hands: the other process, by descriptor
	char version[64];
	uint64_t begin_ns, ready_ns, sent_ns, halted_ns, go_ns, resumed_ns;
	char *err;
};

static int
fail(struct attempt *a, int rc, const char *text)
{
	if (!a->err[0])
		(void)snprintf(a->err, DP_ERR_SIZE, "%s", text);
	return rc;
}

void
upgrade_init(struct upgrade *u)
{
	*u = (struct upgrade){0};
	if (sched_getaffinity(0, sizeof(u->cpus), &u->cpus))
		CPU_ZERO(&u->cpus);
}

// The arguments of this process, but for those that are for one start alone. 0 or -E2BIG.
static int
copy_args(const struct ctl_params *p, const char *binary, char *take_over, char *ret_argv[MAX_ARGS])
{
	unsigned n = 0;

	ret_argv[n++] = (char *)binary;
	for (char *const *arg = p->argv + 1; p->argv[0] && *arg; arg++) {
		if (!strcmp(*arg, "--fresh") || !strncmp(*arg, "--take-over", strlen("--take-over")))
			continue;
		if (n == MAX_ARGS - 2)
			return -E2BIG;
		ret_argv[n++] = *arg;
	}
	ret_argv[n++] = take_over;
	ret_argv[n] = NULL;
	return 0;
}

// With the CPUs of this process's start, and no signal blocked.
static int
spawn(struct attempt *a, const char *binary, int fd)
{
	char take_over[32], *argv[MAX_ARGS];
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	cpu_set_t own;
	sigset_t none;
	int rc;

	(void)snprintf(take_over, sizeof(take_over), "--take-over=%d", CHILD_FD);
	if (copy_args(&a->ctl->params, binary, take_over, argv))
		return fail(a, -E2BIG, "the daemon has too many arguments");
	(void)sigemptyset(&none);
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_adddup2(&actions, fd, CHILD_FD);
	// Drivers of DPDK do not mark all of theirs.
	(void)posix_spawn_file_actions_addclosefrom_np(&actions, CHILD_FD + 1);
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	rc = sched_getaffinity(0, sizeof(own), &own) ? -errno : 0;
	if (!rc && CPU_COUNT(&a->ctl->upgrade.cpus))
		(void)sched_setaffinity(0, sizeof(own), &a->ctl->upgrade.cpus);
	if (!rc) {
		rc = -posix_spawn(&a->pid, binary, &actions, &attr, argv, environ);
		(void)sched_setaffinity(0, sizeof(own), &own);
	}
	(void)posix_spawnattr_destroy(&attr);
	(void)posix_spawn_file_actions_destroy(&actions);
	if (rc)
		(void)snprintf(a->err, DP_ERR_SIZE, "binary: cannot start %.300s: %s", binary, strerror(-rc));
	return rc;
}

static void
on_answer(struct loop_source *source, uint32_t events)
{
	struct attempt *a = LOOP_OWNER(source, struct attempt, source);

	(void)events;
	a->rc = hand_over_receive(source->fd, 0, &a->answer);
}

// The loop of this time: all but the clients.
static int
open_loop(struct attempt *a)
{
	struct loop_source *sources[] = {&a->ctl->tick, &a->ctl->dp_events, &a->ctl->signal, &a->ctl->beat};
	int rc = loop_init(&a->loop);

	if (!rc)
		rc = loop_add(&a->loop, &a->source, EPOLLIN);
	for (unsigned i = 0; !rc && i < sizeof(sources) / sizeof(sources[0]); i++)
		if (sources[i]->fd >= 0)
			rc = loop_add(&a->loop, sources[i], EPOLLIN);
	return rc;
}

static int
begin(struct attempt *a, const char *binary)
{
	const struct timeval patience = {.tv_sec = SEND_S};
	static const struct hand_over_page fresh = {.owner = HAND_OVER_FORMER};
	int ends[2], rc;

	a->page_fd = hand_over_file("rtvs-hand-over", &fresh, sizeof(fresh));
	a->page = a->page_fd < 0 ? NULL : hand_over_map(a->page_fd);
	if (!a->page)
		return fail(a, -ENOMEM, "no memory for a hand-over");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return fail(a, -errno, "no descriptor for a hand-over");
	a->source.fd = ends[0];
	(void)setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	rc = spawn(a, binary, ends[1]);
	close(ends[1]);
	return rc ? rc : open_loop(a);
}

static int
say_hello(struct attempt *a)
{
	struct ctl *ctl = a->ctl;
	char *text;
	uint8_t *ids = NULL;
	size_t len, n_ids = 0;
	int rc = running_text(&ctl->running, &text, &len), file = rc ? rc : hand_over_file("rtvs-running", text, len);
	int ids_file = dp_ids_save(ctl->plane.dp, &ids, &n_ids) ? -ENOMEM : hand_over_file("rtvs-ids", ids, n_ids);
	int fds[] = {a->page_fd, file, dp_hand_rings(ctl->plane.dp), ids_file, ctl->server.listeners[0].source.fd,
		ctl->server.listeners[1].source.fd};

	free(text);
	free(ids);
	if (file < 0 || ids_file < 0) {
		rc = file < 0 ? file : ids_file;
		goto out;
	}
	rc = hand_over_send(a->source.fd,
		json_pack("{s:s, s:i, s:s, s:b, s:b}", "type", "hello", "format", HAND_OVER_FORMAT, "version",
			ctl->params.version, "taps", 1, "xdp", 1),
		fds, fds[5] < 0 ? 5 : 6);
out:
	if (file >= 0)
		close(file);
	if (ids_file >= 0)
		close(ids_file);
	return rc;
}

// What the process said instead of what was to come.
static int
explain(struct attempt *a, int rc)
{
	const char *text = a->answer.body ? json_string_value(json_object_get(a->answer.body, "text")) : NULL;

	if (text)
		(void)snprintf(a->err, DP_ERR_SIZE, "the new process cannot take over: %.400s", text);
	return fail(a, rc ? rc : -EPROTO,
		rc == -ETIMEDOUT ?
			"the new process was not ready in time" :
			"the new process ended; the lines above in the log say why, or it is an older version "
			"without this hand-over");
}

// The loop turns meanwhile.
static int
wait_for(struct attempt *a, const char *type)
{
	uint64_t end_ns = ctl_now_ns() + READY_NS;
	int rc = 0;

	a->rc = -ETIMEDOUT;
	while (!rc && a->rc == -ETIMEDOUT) {
		rc = a->ctl->system.is_stopping ? -EINTR : loop_turn(&a->loop, 100);
		if (!rc && a->rc == -ETIMEDOUT && ctl_now_ns() >= end_ns)
			return explain(a, -ETIMEDOUT);
	}
	if (rc == -EINTR)
		return fail(a, rc, "the daemon is stopping");
	return rc || a->rc || !hand_over_is(&a->answer, type) ? explain(a, rc ? rc : a->rc) : 0;
}

static int
wait_ready(struct attempt *a)
{
	const char *version;
	int rc = wait_for(a, "ready");

	if (rc)
		return rc;
	version = json_string_value(json_object_get(a->answer.body, "version"));
	(void)snprintf(a->version, sizeof(a->version), "%s", version ? version : "?");
	a->takes = hand_over_hands(&a->answer);
	hand_over_fini(&a->answer);
	a->ready_ns = ctl_now_ns();
	return 0;
}

static int
wait_warm(struct attempt *a)
{
	int rc = hand_over_send(a->source.fd, json_pack("{s:s}", "type", "prepared"), NULL, 0);

	if (!rc)
		rc = wait_for(a, "warm");
	if (!rc)
		hand_over_fini(&a->answer);
	return rc;
}

static bool
send_fd(void *arg, const char *name, int fd)
{
	struct attempt *a = arg;

	return !hand_over_send_now(a->source.fd, json_pack("{s:s, s:s}", "type", "fd", "name", name), &fd, 1);
}

// Connections whose answers are sent. The caller's ends with this process, which answers it, as
// does one whose input does not fit in a message.
static int
send_clients(struct attempt *a)
{
	const struct server *server = &a->ctl->server;
	int rc = 0;

	for (const struct server_client *c = server->clients; !rc && c; c = c->next) {
		json_t *body;

		if (c == server->caller || c->is_dead || c->is_eof || c->is_ending || c->out_len > 0)
			continue;
		body = json_pack("{s:s, s:b, s:b, s:s, s:s%}", "type", "client", "monitor",
			c->session.only_flags & RPC_READ_ONLY, "subscribed", c->is_subscribed, "patterns", c->patterns,
			"input", c->in ? c->in + c->in_off : "", c->in_len - c->in_off);
		if (!body || json_dumpb(body, NULL, 0, JSON_COMPACT) > HAND_OVER_MAX_BYTES)
			json_decref(body);
		else
			rc = hand_over_send(a->source.fd, body, &c->source.fd, 1);
	}
	return rc;
}

static int
prepare(struct attempt *a)
{
	struct dp_fd_store to = {.arg = a, .store = send_fd};
	int rc = say_hello(a);

	if (!rc)
		rc = wait_ready(a);
	to.takes = a->takes;
	if (!rc)
		rc = dp_hand_prepare(a->ctl->plane.dp, &to, a->err);
	if (!rc)
		rc = wait_warm(a);
	if (!rc)
		rc = send_clients(a);
	a->sent_ns = ctl_now_ns();
	return rc ? fail(a, rc, "the new process ended, or does not read; the lines above in the log say why") : 0;
}

// Workers have stopped.
static int
say_go(struct attempt *a)
{
	uint8_t *state = NULL;
	size_t len = 0;
	int file = dp_state_save(a->ctl->plane.dp, &state, &len) ? -ENOMEM : hand_over_file("rtvs-state", state, len);
	int rc = file;

	free(state);
	a->go_ns = ctl_now_ns();
	if (file >= 0)
		rc = hand_over_send(a->source.fd,
			json_pack("{s:s, s:I}", "type", "go", "halted_ns", (json_int_t)a->halted_ns), &file, 1);
	if (file >= 0)
		close(file);
	return rc;
}

// True: this daemon goes on.
static bool
take_back(struct attempt *a)
{
	uint32_t owner = HAND_OVER_FORMER;

	return atomic_compare_exchange_strong(&a->page->owner, &owner, HAND_OVER_BACK);
}

static int
wait_taken(struct attempt *a, int timeout_ms)
{
	int rc = hand_over_receive(a->source.fd, timeout_ms, &a->answer);

	if (!rc && !hand_over_is(&a->answer, "taken"))
		rc = -EPROTO;
	if (!rc)
		a->resumed_ns = (uint64_t)json_integer_value(json_object_get(a->answer.body, "resumed_ns"));
	return rc;
}

// The guests' packets wait. Nothing here may take long.
static int
commit(struct attempt *a)
{
	const struct dp_fd_store to = {.arg = a, .store = send_fd, .takes = a->takes};
	struct upgrade *u = &a->ctl->upgrade;
	int rc;

	rc = dp_hand_stop(a->ctl->plane.dp, &to, a->err);
	if (rc)
		return fail(a, rc, "the new process ended, or does not read; the lines above in the log say why");
	notify_alive();
	a->halted_ns = ctl_now_ns();
	dp_halt(a->ctl->plane.dp);
	rc = say_go(a);
	if (rc)
		(void)fail(a, rc, "the state cannot be passed on: no memory, or the new process does not read");
	else
		rc = wait_taken(a, TAKE_MS);
	if (rc && take_back(a)) {
		(void)kill(a->pid, SIGKILL);
		if (dp_hand_resume(a->ctl->plane.dp))
			log_error("the datapath's workers do not start again");
		return explain(a, rc);
	}
	if (rc == -ETIMEDOUT)
		rc = wait_taken(a, TAKEN_MS);
	u->is_done = !rc;
	u->is_lost = rc;
	return rc ? fail(a, rc, "the new process failed while it took over") : 0;
}

// Without what is known of peers these begin anew there.
static void
say_released(struct attempt *a)
{
	json_t *state = peers_state_save(a->ctl);
	char *text = state ? json_dumps(state, JSON_COMPACT) : NULL;
	int file = text ? hand_over_file("rtvs-peers", text, strlen(text)) : -1;

	(void)hand_over_send(a->source.fd, json_pack("{s:s}", "type", "released"), &file, file >= 0);
	if (file >= 0)
		close(file);
	free(text);
	json_decref(state);
}

// What could not be handed over is the other process's from here on, and so is the service.
static void
release(struct attempt *a)
{
	struct pollfd barrier = {.fd = -1, .events = POLLIN};

	notify_alive();
	metrics_destroy(a->ctl->metrics);
	a->ctl->metrics = NULL;
	channels_fini(&a->ctl->channels); // QEMU connects again, to the other process
	dp_hand_release(a->ctl->plane.dp);
	notify_main_pid(a->pid);
	barrier.fd = notify_barrier(NULL);
	if (barrier.fd >= 0) {
		(void)poll(&barrier, 1, BARRIER_MS);
		close(barrier.fd);
	}
	say_released(a);
}

static json_t *
time_json(uint64_t from_ns, uint64_t to_ns)
{
	char text[UNITS_TEXT_SIZE];

	return json_string(units_format_time(to_ns > from_ns ? to_ns - from_ns : 0, text));
}

static json_t *
result_json(const struct attempt *a)
{
	return json_pack("{s:i, s:s, s:o, s:I, s:o, s:o, s:o, s:o}", "pid", (int)a->pid, "version", a->version, "gap",
		time_json(a->halted_ns, a->resumed_ns), "gap_ns", (json_int_t)(a->resumed_ns - a->halted_ns), "started",
		time_json(a->begin_ns, a->ready_ns), "sent", time_json(a->ready_ns, a->sent_ns), "stopped",
		time_json(a->halted_ns, a->go_ns), "taken", time_json(a->go_ns, a->resumed_ns));
}

static void
end(struct attempt *a, bool is_taken)
{
	hand_over_fini(&a->answer);
	if (a->source.fd >= 0)
		close(a->source.fd);
	if (a->pid && !is_taken) {
		(void)kill(a->pid, SIGKILL);
		(void)waitpid(a->pid, NULL, 0);
	}
	// Before systemd knew it, its death would leave nobody.
	if (is_taken && waitpid(a->pid, NULL, WNOHANG) == a->pid)
		a->ctl->upgrade.is_lost = true;
	loop_fini(&a->loop);
	hand_over_unmap(a->page);
	if (a->page_fd >= 0)
		close(a->page_fd);
}

int
upgrade_run(struct ctl *ctl, const char *binary, json_t **ret_result, char err[DP_ERR_SIZE])
{
	struct attempt a = {.ctl = ctl,
		.loop.epoll_fd = -1,
		.source = {.fd = -1, .on_ready = on_answer},
		.page_fd = -1,
		.begin_ns = ctl_now_ns(),
		.err = err};
	int rc = begin(&a, binary[0] ? binary : ctl->params.program);

	if (!rc)
		rc = prepare(&a);
	if (!rc) {
		hand_over_hurry(true);
		rc = commit(&a);
		hand_over_hurry(false);
	}
	if (!rc) {
		release(&a);
		*ret_result = result_json(&a);
		log_info("process %d, version %s, has taken over", (int)a.pid, a.version);
	}
	end(&a, ctl->upgrade.is_done);
	if (ctl->upgrade.is_done || ctl->upgrade.is_lost) {
		ctl->system.is_stopping = true;
		for (struct server_client *c = ctl->server.clients; c; c = c->next)
			c->session.ended = "another process has taken over: connect again";
	}
	return rc;
}
