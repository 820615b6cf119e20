// The order of steps. Two rules hold at each of them. The destination is started with -incoming and
// runs only when it has received the whole state; the source has stopped before it sends the last
// of it. And the return path is on: the source waits for the destination's word that it runs, and
// goes on by itself when the connection breaks before. So one message between the two QEMUs decides
// which one runs, and this program is not needed for it.
//
//   step        what is there after it               if this program is killed behind it
//   1 start     destination waits; source runs       the guard ends the destination
//   2 prepare   both ends have their capabilities    the guard takes those back, too
//   3 send      the QEMUs hand the guest over        they end it by themselves: see below
//   4 confirm   destination runs; source stopped     the source stays, stopped (postmigrate)
//   5 end       the source is gone                   sockets keep the suffix .rtvs-move
//   6 rename    sockets and files have their names   all is done
//
// SIGINT and SIGTERM: before step 3 the destination is ended and the source is as before. A move
// without a copy is finished from step 3 on; it takes milliseconds. A copy that is still under way
// is ended: the destination is stopped (SIGSTOP), the source asked. If that has not begun to send
// the last state, the destination cannot have run; it is killed, and the source goes on by itself.
//
// The destination dies (or refuses the state): before step 3 it is reported, and nothing happened
// to the source. In step 3 the source's return path breaks and it goes on; where it did not, it
// gets `cont` as soon as the destination is known to be dead. After step 3 the guest is lost, as
// with any QEMU that dies: the source must not run again, because the guest has run since, in this
// memory.
//
// The source dies: before the end of step 3 the guest is lost as it would have been; the
// destination has nothing to run and is ended. After that it is not needed any more.
//
// One moment is QEMU's own: a destination that dies after its first instruction and before its word
// arrives makes the source go on although the guest has run. Its memory is then some microseconds
// newer than the rest of its state.
#include "steps.h"

#include "attempt.h"
#include "destination.h"
#include "probe.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define START_MS 30000
#define GREETING_MS 500
#define HAND_OVER_MS 30000 // without a copy; QEMU needs some ms
#define END_MS 5000
#define POLL_US 2000
#define BANDWIDTH (INT64_C(100) << 30) // bytes a second: the socket's own speed

struct steps {
	const struct steps_options *o;
	struct attempt a;
	off_t log_size; // of the source's messages, before the destination's
	double begin_ms;
};

static atomic_int interrupted; // the signal that came

static void
on_signal(int number)
{
	interrupted = number;
}

void
steps_catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, hangup;
	sigset_t set;

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	// As nohup wants it.
	if (!sigaction(SIGHUP, NULL, &hangup) && hangup.sa_handler != SIG_IGN)
		(void)sigaction(SIGHUP, &action, NULL);
	sigemptyset(&set);
	(void)sigprocmask(SIG_SETMASK, &set, NULL);
}

bool
steps_are_interrupted(void)
{
	return interrupted;
}

static double
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

// A step is done. For tests: with RTVS_MOVE_STOP=NAME this program stops itself (SIGSTOP) here, so
// that a test can kill it, or one of the others, at a known place.
static void
done(const struct steps *s, const char *name, const char *text)
{
	const char *stop = getenv("RTVS_MOVE_STOP");

	if (s->o->output != STEPS_QUIET) {
		printf("%s%8.1f ms  %-8s %s\n", s->o->output == STEPS_SCREEN ? "\r\033[K" : "", now_ms() - s->begin_ms,
			name, text);
		fflush(stdout);
	}
	if (stop && !strcmp(stop, name))
		(void)raise(SIGSTOP);
}

static void
pause_us(long us)
{
	struct timespec t = {.tv_nsec = us * 1000};

	(void)nanosleep(&t, NULL);
}

// ---- step 1

// Whether a process listens on this unix socket. A connection would tell, but it would be the one
// that the destination waits for.
static bool
is_listening(const char *path)
{
	FILE *f = fopen("/proc/net/unix", "re");
	char line[512], at[256];
	unsigned flags;
	bool is_found = false;

	while (f && !is_found && fgets(line, sizeof(line), f))
		is_found = sscanf(line, "%*s %*s %*s %x %*s %*s %*s %255s", &flags, at) == 2 && flags & 0x10000 &&
			!strcmp(at, path);
	if (f)
		fclose(f);
	return is_found;
}

static int
destination_died(struct steps *s)
{
	char text[ATTEMPT_ERROR_SIZE - 64];

	process_log_tail(s->o->source, s->log_size, text, sizeof(text));
	return attempt_fail(&s->a, -ECHILD, "the destination ended%s%s",
		*text ? ": " : ", and its messages are where the source's are", text);
}

static int
connect_destination(struct steps *s, double end_ms)
{
	char err[QMP_ERROR_SIZE] = "it has no QMP socket",
	     *path = probe_path(s->o->source, s->a.d->qmp ? s->a.d->qmp : "");
	int rc = -ENOMEM;

	while (path && s->a.d->qmp) {
		rc = qmp_open(path, GREETING_MS, &s->a.qmp, err);
		if (!rc)
			break;
		if (interrupted) {
			rc = attempt_fail(&s->a, -EINTR, "interrupted");
			break;
		}
		if (attempt_is_dead(&s->a)) {
			rc = destination_died(s);
			break;
		}
		if (now_ms() > end_ms) {
			rc = attempt_fail(&s->a, -ETIMEDOUT, "the destination: %s", err);
			break;
		}
		pause_us(POLL_US);
	}
	free(path);
	return rc;
}

static int
wait_for_channel(struct steps *s, double end_ms)
{
	while (!is_listening(s->a.cpr_socket)) {
		if (interrupted)
			return attempt_fail(&s->a, -EINTR, "interrupted");
		if (attempt_is_dead(&s->a))
			return destination_died(s);
		if (now_ms() > end_ms)
			return attempt_fail(&s->a, -ETIMEDOUT, "the destination does not listen");
		pause_us(POLL_US);
	}
	return 0;
}

static int
make_dir(struct steps *s)
{
	snprintf(s->a.dir, sizeof(s->a.dir), "%s/rtvs-move-XXXXXX", geteuid() ? "/tmp" : "/run");
	if (!mkdtemp(s->a.dir)) {
		s->a.dir[0] = '\0';
		return attempt_fail(&s->a, -errno, "no directory for the migration's sockets: %s", strerror(errno));
	}
	if (chown(s->a.dir, s->o->source->uid, s->o->source->gid))
		return attempt_fail(&s->a, -errno, "%s: %s", s->a.dir, strerror(errno));
	snprintf(s->a.main_socket, sizeof(s->a.main_socket), "%s/main", s->a.dir);
	snprintf(s->a.cpr_socket, sizeof(s->a.cpr_socket), "%s/cpr", s->a.dir);
	return 0;
}

static int
start(struct steps *s)
{
	struct destination_options options = {.program = s->o->program,
		.way = s->o->way,
		.machine = json_string_value(json_object_get(s->o->facts, "machine")),
		.qmp = s->o->qmp_path};
	double end_ms = now_ms() + START_MS;
	int rc = attempt_save(&s->a);

	if (!rc)
		rc = make_dir(s);
	if (rc)
		return rc;
	options.main_socket = s->a.main_socket;
	options.cpr_socket = s->a.cpr_socket;
	rc = destination_create(s->o->cmdline, &options, &s->a.d);
	if (rc)
		return attempt_fail(&s->a, rc, "its arguments: %s", strerror(-rc));
	rc = permit_give(s->o->permit);
	if (rc)
		return attempt_fail(&s->a, rc, "rtvswitchd does not permit a second connection");
	s->log_size = process_log_size(s->o->source);
	s->a.pid = process_start(s->o->source, s->a.d->words, -1, -1, &s->a.pidfd);
	if (s->a.pid < 0)
		return attempt_fail(
			&s->a, (int)s->a.pid, "%s cannot be executed: %s", s->o->program, strerror((int)-s->a.pid));
	rc = attempt_guard(&s->a);
	if (!rc)
		rc = s->o->way == PLAN_CPR_TRANSFER ? wait_for_channel(s, end_ms) : connect_destination(s, end_ms);
	return rc;
}

// ---- step 2

static int
prepare(struct steps *s)
{
	struct qmp *q = *s->o->qmp;
	json_t *parameters = json_pack("{s:I}", "max-bandwidth", (json_int_t)BANDWIDTH);
	int rc = attempt_set_capability(&s->a, q, "return-path", true);
	char *uri = NULL;

	if (s->o->way == PLAN_CPR_TRANSFER)
		json_object_set_new(parameters, "mode", json_string("cpr-transfer"));
	if (!rc)
		rc = attempt_call(&s->a, q, "migrate-set-parameters", json_incref(parameters), NULL);
	json_decref(parameters);
	if (s->o->way == PLAN_CPR_TRANSFER || rc)
		return rc;
	if (s->o->way == PLAN_IGNORE_SHARED) {
		rc = attempt_set_capability(&s->a, s->a.qmp, "x-ignore-shared", true);
		if (!rc)
			rc = attempt_set_capability(&s->a, q, "x-ignore-shared", true);
	}
	if (!rc && asprintf(&uri, "unix:%s", s->a.main_socket) < 0)
		rc = -ENOMEM;
	if (!rc)
		rc = attempt_call(&s->a, s->a.qmp, "migrate-incoming", json_pack("{s:s}", "uri", uri), NULL);
	free(uri);
	return rc;
}

// ---- step 3

static json_t *
channel(const char *type, const char *path)
{
	return json_pack("{s:s, s:{s:s, s:s, s:s}}", "channel-type", type, "addr", "transport", "socket", "type",
		"unix", "path", path);
}

static int
send_guest(struct steps *s)
{
	json_t *arguments;
	char *uri = NULL;

	if (s->o->way == PLAN_CPR_TRANSFER) {
		arguments = json_pack(
			"{s:[o, o]}", "channels", channel("main", s->a.main_socket), channel("cpr", s->a.cpr_socket));
	} else {
		arguments = asprintf(&uri, "unix:%s", s->a.main_socket) < 0 ? NULL : json_pack("{s:s}", "uri", uri);
		free(uri);
	}
	if (interrupted) {
		json_decref(arguments);
		return attempt_fail(&s->a, -EINTR, "interrupted");
	}
	// From here on the QEMUs decide, so nobody ends the destination for this program.
	attempt_unguard(&s->a);
	return attempt_call(&s->a, *s->o->qmp, "migrate", arguments, NULL);
}

// Ends a copy that is under way. See above; false: it is too late, and the move goes on.
static bool
end_copy(struct steps *s)
{
	(void)pidfd_send_signal(s->a.pidfd, SIGSTOP, NULL, 0);
	if (attempt_is_status(*s->o->qmp, "query-migrate", "active") ||
		attempt_is_status(*s->o->qmp, "query-migrate", "setup")) {
		attempt_kill(&s->a);
		return true;
	}
	(void)pidfd_send_signal(s->a.pidfd, SIGCONT, NULL, 0);
	return false;
}

static void
show_copy(const struct steps *s, const json_t *answer)
{
	const json_t *ram = json_object_get(answer, "ram");
	double total = (double)json_integer_value(json_object_get(ram, "total")),
	       left = (double)json_integer_value(json_object_get(ram, "remaining"));

	if (s->o->output == STEPS_SCREEN && s->o->way == PLAN_PLAIN && total > 0) {
		printf("\r\033[K%8.1f ms  copies   %3.0f %%, %.0f MiB sent", now_ms() - s->begin_ms,
			100 * (1 - left / total),
			(double)json_integer_value(json_object_get(ram, "transferred")) / 1048576);
		fflush(stdout);
	}
}

// Until the source says how it ended: 0 completed; -ECANCELED with err.
static int
wait_for_end(struct steps *s, json_t **ret_answer)
{
	double end_ms = now_ms() + HAND_OVER_MS;
	bool is_asked = false;

	for (;;) {
		char err[QMP_ERROR_SIZE];
		json_t *answer = NULL;
		const char *status, *why;
		int rc = qmp_call(*s->o->qmp, "query-migrate", NULL, ATTEMPT_ANSWER_MS, &answer, err);

		if (rc)
			return attempt_fail(&s->a, -EPIPE, "source: %s", err);
		status = json_string_value(json_object_get(answer, "status"));
		if (status && !strcmp(status, "completed")) {
			*ret_answer = answer;
			return 0;
		}
		if (status && (!strcmp(status, "failed") || !strcmp(status, "cancelled"))) {
			why = json_string_value(json_object_get(answer, "error-desc"));
			snprintf(err, sizeof(err), "%s", why ? why : status);
			json_decref(answer);
			(void)process_ends(s->a.pidfd, 1000); // its last words
			rc = attempt_is_dead(&s->a) && !is_asked ? destination_died(s) : 0;
			return rc ? rc : attempt_fail(&s->a, -ECANCELED, "%s", is_asked ? "interrupted" : err);
		}
		show_copy(s, answer);
		json_decref(answer);
		if ((interrupted && s->o->way == PLAN_PLAIN && !is_asked) ||
			(s->o->way != PLAN_PLAIN && !is_asked && now_ms() > end_ms))
			is_asked = end_copy(s);
		pause_us(POLL_US);
	}
}

// Nothing was completed. The destination is dead before the source may run.
static int
go_back(struct steps *s, int rc)
{
	char status[64], text[ATTEMPT_ERROR_SIZE];
	double end_ms = now_ms() + ATTEMPT_ANSWER_MS;

	attempt_kill(&s->a);
	do {
		attempt_ask_status(*s->o->qmp, "query-status", status, sizeof(status));
		if (!*status) {
			snprintf(text, sizeof(text), "%s", s->a.err);
			return attempt_fail(&s->a, -EOWNERDEAD, "%.400s; the source does not answer either", text);
		}
		if (!strcmp(status, "running"))
			break;
		// A migration that is not over yet refuses it.
		if (attempt_is_status(*s->o->qmp, "query-migrate", "failed") ||
			attempt_is_status(*s->o->qmp, "query-migrate", "cancelled") ||
			attempt_is_status(*s->o->qmp, "query-migrate", "none"))
			(void)qmp_call(*s->o->qmp, "cont", NULL, ATTEMPT_ANSWER_MS, NULL, text);
		pause_us(POLL_US);
	} while (now_ms() < end_ms);
	if (strcmp(status, "running") != 0) {
		snprintf(text, sizeof(text), "%s", s->a.err);
		return attempt_fail(&s->a, -EOWNERDEAD, "%.400s; the source is in state %.60s", text, status);
	}
	attempt_restore(&s->a);
	return rc == -EINTR ? rc : -ECANCELED;
}

// ---- step 4

static int
confirm(struct steps *s)
{
	double end_ms = now_ms() + START_MS;
	int rc = s->a.qmp ? 0 : connect_destination(s, end_ms);

	while (!rc && !attempt_is_status(s->a.qmp, "query-status", "running")) {
		if (attempt_is_dead(&s->a))
			rc = destination_died(s);
		else if (now_ms() > end_ms)
			rc = attempt_fail(&s->a, -ETIMEDOUT, "the destination does not run the guest");
		pause_us(POLL_US);
	}
	// Or its next migration, to another host, would leave the memory behind.
	if (!rc && s->o->way == PLAN_IGNORE_SHARED)
		rc = attempt_set_capability(&s->a, s->a.qmp, "x-ignore-shared", false);
	return rc;
}

static void
measure(const struct steps *s, const json_t *answer, struct steps_result *ret_result)
{
	const json_t *ram = json_object_get(answer, "ram");

	ret_result->pid = s->a.pid;
	ret_result->total_ms = (double)json_integer_value(json_object_get(answer, "total-time"));
	ret_result->downtime_ms = (double)json_integer_value(json_object_get(answer, "downtime"));
	ret_result->copied_bytes = (uint64_t)json_integer_value(json_object_get(ram, "transferred"));
	ret_result->ram_bytes = (uint64_t)json_integer_value(json_object_get(s->o->facts, "ram_bytes"));
	ret_result->is_copied = ret_result->copied_bytes * 100 >= ret_result->ram_bytes;
}

// ---- steps 5 and 6

static void
end_source(struct steps *s)
{
	char err[QMP_ERROR_SIZE];

	(void)qmp_call(*s->o->qmp, "quit", NULL, END_MS, NULL, err);
	if (!process_ends(s->o->source->pidfd, END_MS)) {
		(void)pidfd_send_signal(s->o->source->pidfd, SIGKILL, NULL, 0);
		(void)process_ends(s->o->source->pidfd, END_MS);
	}
}

// The source removed its own sockets at its end. What cannot be renamed is told; the guest runs.
static int
rename_files(struct steps *s)
{
	int rc = 0;

	for (unsigned i = 0; i < s->a.d->n_renames; i++) {
		char *from = probe_path(s->o->source, s->a.d->renames[i].from),
		     *to = probe_path(s->o->source, s->a.d->renames[i].to);

		if (!from || !to || rename(from, to)) {
			fprintf(stderr, "rtvs-move: %s: %s\n", s->a.d->renames[i].from, strerror(errno));
			rc = -errno;
		}
		free(from);
		free(to);
	}
	return rc;
}

// Steps 3 to 6. The guard is not needed any more.
static int
hand_over(struct steps *s, struct steps_result *ret_result)
{
	json_t *answer = NULL;
	char text[ATTEMPT_ERROR_SIZE];
	int rc = send_guest(s);

	if (!rc) {
		done(s, "send", "the guest is handed over");
		rc = wait_for_end(s, &answer);
	}
	if (rc == -EPIPE) {
		// The source is gone, and nobody knows at which moment.
		if (!s->a.qmp)
			(void)connect_destination(s, now_ms() + 1000);
		if (attempt_is_status(s->a.qmp, "query-status", "running")) {
			rc = 0;
		} else {
			snprintf(text, sizeof(text), "%s", s->a.err);
			attempt_kill(&s->a);
			attempt_remove_files(&s->a); // of a destination that never ran
			return attempt_fail(&s->a, -EOWNERDEAD, "%.400s: the guest ended with the source", text);
		}
	}
	if (rc)
		return go_back(s, rc);
	measure(s, answer, ret_result);
	json_decref(answer);
	rc = confirm(s);
	if (rc) {
		snprintf(text, sizeof(text), "%s", s->a.err);
		return attempt_fail(
			&s->a, -EOWNERDEAD, "%.400s. It had the guest already: the source stays stopped", text);
	}
	done(s, "confirm", "it runs in the destination");
	end_source(s);
	done(s, "end", "the source is gone");
	rc = rename_files(s);
	done(s, "rename", "sockets and files have their names");
	return 0;
}

int
steps_run(const struct steps_options *o, struct steps_result *ret_result, char err[ATTEMPT_ERROR_SIZE])
{
	struct steps s = {.o = o,
		.begin_ms = now_ms(),
		.a = {.source = o->source,
			.source_qmp = o->qmp,
			.qmp_path = o->qmp_path,
			.pidfd = -1,
			.guard_fd = -1,
			.parameters = json_object(),
			.capabilities = json_array(),
			.err = err}};
	struct steps_result result = {0};
	int rc = start(&s);

	if (!rc) {
		done(&s, "start", "the destination waits");
		rc = prepare(&s);
	}
	if (!rc && interrupted)
		rc = attempt_fail(&s.a, -EINTR, "interrupted");
	if (rc) {
		attempt_kill(&s.a);
		attempt_restore(&s.a);
	} else {
		done(&s, "prepare", "both are prepared");
		rc = hand_over(&s, &result);
	}
	attempt_unguard(&s.a);
	if (rc && rc != -EOWNERDEAD)
		attempt_remove_files(&s.a);
	attempt_remove_dir(&s.a);
	result.wall_ms = now_ms() - s.begin_ms;
	if (!rc)
		*ret_result = result;
	qmp_close(s.a.qmp);
	if (s.a.pidfd >= 0)
		(void)close(s.a.pidfd);
	destination_destroy(s.a.d);
	json_decref(s.a.parameters);
	json_decref(s.a.capabilities);
	return rc;
}
