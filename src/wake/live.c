// Each turn reads the daemon, then the kernel's events. So all events up to the end of a chain are
// known when it is cut into stages. Guests come and go between turns: the kernel's side watches the
// processes that the daemon names.
#include "live.h"

#include "probe.h"
#include "record.h"
#include "report.h"
#include "rtvs/screen.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TURN_NS 100000000
#define SCREEN_NS UINT64_C(1000000000)
#define PATH_SIZE 64

static _Atomic bool is_interrupted; // set by the signal handler

struct live {
	struct session *session;
	const struct live_options *options;
	struct watch *watch;
	struct probe *probe;
	uint64_t drained_ns, n_lost; // until when events were asked for; lost until then
	uint64_t drawn_ns;
};

static void
on_signal(int sig)
{
	(void)sig;
	is_interrupted = true;
}

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void
on_event(void *arg, const struct event *e)
{
	struct live *l = arg;

	record_event(l->options->record, e);
	watch_event(l->watch, e);
}

static void
drain(struct live *l)
{
	uint64_t now, n_lost;

	probe_drain(l->probe);
	now = now_ns();
	n_lost = probe_n_lost(l->probe);
	if (n_lost != l->n_lost) {
		record_loss(l->options->record, n_lost - l->n_lost, l->drained_ns, now);
		watch_event_loss(l->watch, n_lost - l->n_lost, l->drained_ns, now);
	}
	l->n_lost = n_lost;
	l->drained_ns = now;
}

// Name and state out of /proc/PID/task/TID/stat: "TID (NAME) STATE ...", where NAME may have any
// content.
static bool
read_thread(uint32_t pid, uint32_t tid, char *comm, enum threads_state *ret_state)
{
	char path[PATH_SIZE], line[256], *open, *close;
	FILE *in;
	bool is_read;

	(void)snprintf(path, sizeof(path), "/proc/%" PRIu32 "/task/%" PRIu32 "/stat", pid, tid);
	in = fopen(path, "re");
	if (!in)
		return false;
	is_read = fgets(line, sizeof(line), in);
	fclose(in);
	open = is_read ? strchr(line, '(') : NULL;
	close = is_read ? strrchr(line, ')') : NULL;
	if (!open || !close || close < open || close[1] != ' ')
		return false;
	(void)snprintf(comm, EVENT_COMM_SIZE, "%.*s", (int)(close - open - 1), open + 1);
	*ret_state = close[2] == 'R' ? THREADS_RUNNING : THREADS_ASLEEP;
	return true;
}

// After the kernel's side began to watch: what changes from here on it tells.
static void
read_threads(struct live *l, uint32_t pid)
{
	char path[PATH_SIZE], comm[EVENT_COMM_SIZE];
	struct dirent *entry;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%" PRIu32 "/task", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		uint32_t tid = (uint32_t)strtoul(entry->d_name, NULL, 10);
		enum threads_state state;

		if (!tid || !read_thread(pid, tid, comm, &state))
			continue;
		record_thread(l->options->record, pid, tid, comm, state);
		(void)watch_thread(l->watch, pid, tid, comm, state);
	}
	if (dir)
		(void)closedir(dir);
}

static void
keep_counts(struct live *l, uint32_t pid)
{
	struct event_counts counts = probe_counts(l->probe, pid);

	record_counts(l->options->record, pid, &counts);
	watch_counts(l->watch, pid, &counts);
}

static void
change_guest(struct live *l, const char *port, uint32_t pid)
{
	struct watch_port *known = watch_find(l->watch, port);
	uint32_t before = known ? known->pid : 0;
	uint64_t since_ns;
	bool is_new;
	int rc;

	if (known && before == pid)
		return;
	if (before)
		keep_counts(l, before);
	if (pid && !watch_has_guest(l->watch, pid)) {
		rc = probe_watch(l->probe, pid);
		if (rc)
			fprintf(stderr, "%s: port %s: process %" PRIu32 " cannot be watched: %s\n",
				program_invocation_short_name, port, pid, strerror(-rc));
	}
	since_ns = now_ns();
	record_guest(l->options->record, port, pid, since_ns);
	rc = watch_guest(l->watch, port, pid, since_ns, &is_new);
	if (rc)
		fprintf(stderr, "%s: port %s: %s\n", program_invocation_short_name, port, strerror(-rc));
	else if (is_new)
		read_threads(l, pid);
	if (before && !watch_has_guest(l->watch, before))
		probe_unwatch(l->probe, before);
}

static void
change_guests(struct live *l, const json_t *read)
{
	json_t *port;
	size_t i;

	json_array_foreach (json_object_get(read, "ports"), i, port) {
		const char *name = json_string_value(json_object_get(port, "port"));

		if (name)
			change_guest(l, name, (uint32_t)json_integer_value(json_object_get(port, "pid")));
	}
}

static void
take_chains(struct live *l, const json_t *port)
{
	const char *name = json_string_value(json_object_get(port, "port"));
	struct watch_port *known = name ? watch_find(l->watch, name) : NULL;
	uint64_t lost = (uint64_t)json_integer_value(json_object_get(port, "lost"));
	char err[RECORD_ERROR_SIZE];
	json_t *object;
	size_t i;

	if (!known)
		return;
	json_array_foreach (json_object_get(port, "chains"), i, object) {
		struct stages_chain chain;

		if (record_read_chain(object, &chain, err)) {
			fprintf(stderr, "%s: trace.read: %s\n", program_invocation_short_name, err);
			continue;
		}
		record_chain(l->options->record, name, &chain);
		(void)watch_chain(l->watch, name, &chain);
	}
	if (lost != known->lost_so_far)
		record_chains_lost(l->options->record, name, lost);
	watch_chains_lost(known, lost);
}

// Chains belong to the guests that were there before; a port's first guest is known before its
// chains.
static void
turn(struct live *l)
{
	json_t *read = session_read(l->session, now_ns()), *port;
	size_t i;

	if (l->watch->switch_pid != session_daemon_pid(l->session)) {
		l->watch->switch_pid = session_daemon_pid(l->session);
		record_switch(l->options->record, l->watch->switch_pid);
	}
	drain(l);
	json_array_foreach (json_object_get(read, "ports"), i, port)
		take_chains(l, port);
	change_guests(l, read);
	json_decref(read);
	if (l->options->record)
		(void)fflush(l->options->record); // others may follow it
}

static void
draw(struct live *l, uint64_t now)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out;

	if (!l->options->is_screen || now - l->drawn_ns < SCREEN_NS)
		return;
	l->drawn_ns = now;
	out = open_memstream(&text, &len);
	if (out) {
		report_print(l->watch, now, l->options->has_hist, out);
		(void)fclose(out);
	}
	if (text)
		screen_draw(text);
	free(text);
}

static void
run(struct live *l)
{
	uint64_t begin_ns = l->watch->begin_ns, now = begin_ns;

	while (!is_interrupted && (!l->options->duration_ns || now - begin_ns < l->options->duration_ns)) {
		turn(l);
		draw(l, now_ns());
		(void)nanosleep(&(struct timespec){.tv_nsec = TURN_NS}, NULL);
		now = now_ns();
	}
	turn(l);
	for (unsigned i = 0; i < l->watch->n_ports; i++)
		if (l->watch->ports[i]->pid)
			keep_counts(l, l->watch->ports[i]->pid);
}

static bool
begin(struct live *l)
{
	const struct watch_missing *missing;
	unsigned n;

	l->probe = probe_create(on_event, l);
	if (!l->probe)
		return false;
	l->watch = watch_create(now_ns(), session_daemon_pid(l->session), probe_has_sched(l->probe));
	if (!l->watch)
		return false;
	n = probe_missing(l->probe, &missing);
	for (unsigned i = 0; i < n; i++)
		watch_miss(l->watch, missing[i].name, missing[i].why, missing[i].hides);
	record_begin(l->options->record, l->watch);
	l->drained_ns = l->watch->begin_ns;
	return true;
}

enum cli_exit
live_run(struct session *s, const struct live_options *o, struct watch **ret_watch, uint64_t *ret_end_ns)
{
	struct live l = {.session = s, .options = o};
	struct sigaction action = {.sa_handler = on_signal};
	enum cli_exit rc = CLI_REFUSED;

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigaction(SIGHUP, &action, NULL);
	if (begin(&l)) {
		run(&l);
		*ret_end_ns = now_ns();
		record_end(o->record, *ret_end_ns);
		rc = CLI_OK;
	} else {
		fprintf(stderr, "%s: %s\n", program_invocation_short_name, strerror(ENOMEM));
	}
	probe_destroy(l.probe);
	*ret_watch = l.watch;
	return rc;
}
