// One thread: the kernel announces filters, the book says what the host lacks, and the session with
// the host carries it there. The kernel's announcements wait in their socket meanwhile; if it
// overflows, all filters are read anew. The agent moves no packet: without it, what the host's
// rules do not cover takes the way through the guest's kernel.
#include "agent.h"

#include "book.h"
#include "kernel.h"
#include "relay.h"
#include "session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS 1000
#define ALIVE_MS 5000 // a question, if nothing else was said; the host forgets rules after 30 s
#define AGAIN_MS 1000 // until the channel is opened again
#define FULL_MS 30000 // until a full book is read anew
#define LIST_MAX 100 // rows of an answer, which fits into a socket
#define SYNCS_MAX 16 // before others are served

enum {
	DONE,
	REFUSED,
	UNREACHABLE = 3
};

struct agent {
	const struct agent_options *options;
	struct session session;
	bool is_open; // the session is, and the NIC is in switchdev mode
	bool needs_dump, is_dumping;
	char refusal[SESSION_ERR_SIZE]; // of the last attempt to open the session, which was told
	int64_t opened_ms, spoke_ms, dumped_ms, retried_ms;
	unsigned first_vid, n_vfs;
	struct kernel_reps reps;
	struct book *book;
	struct relay *relay;
	int events, signals;
	unsigned long long n_syncs, n_dumps, n_overruns, n_sessions;
};

static int64_t
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void __attribute__((format(printf, 1, 2)))
say(const char *fmt, ...)
{
	va_list args;

	(void)fputs("rtvs-vf: ", stderr);
	va_start(args, fmt);
	(void)vfprintf(stderr, fmt, args);
	va_end(args);
	(void)fputc('\n', stderr);
}

// ---- the host

static void
close_session(struct agent *agent, const char *why)
{
	if (agent->is_open)
		say("%s; trying again", why);
	agent->is_open = false;
	vf_session_close(&agent->session);
	agent->opened_ms = now_ms();
}

// 0, 1: refused, or a negative errno: the session is closed. *ret_result: new reference.
static int
ask(struct agent *agent, const char *method, json_t *params, json_t **ret_result, char err[SESSION_ERR_SIZE])
{
	int rc = vf_session_call(&agent->session, method, params, ret_result, err);

	agent->spoke_ms = now_ms();
	if (rc < 0)
		close_session(agent, err);
	return rc;
}

// What the host has of the NIC. 0, 1 with err, or a negative errno with err.
static int
set_mode(struct agent *agent, char err[SESSION_ERR_SIZE])
{
	json_t *nic = NULL, *done = NULL;
	const char *mode;
	int rc = ask(agent, "nic.get", NULL, &nic, err);

	if (rc)
		return rc;
	mode = json_string_value(json_object_get(nic, "mode"));
	agent->first_vid = (unsigned)json_integer_value(json_object_get(nic, "first_vid"));
	agent->n_vfs = (unsigned)json_array_size(json_object_get(nic, "vfs"));
	if (!mode || !agent->first_vid || agent->first_vid + agent->n_vfs > 4094 || agent->n_vfs >= TC_RULE_PORTS) {
		(void)snprintf(err, SESSION_ERR_SIZE, "the host's virtual switch has no switchdev mode");
		rc = 1;
	} else if (strcmp(mode, "switchdev") != 0 && !agent->options->sets_mode) {
		(void)snprintf(err, SESSION_ERR_SIZE, "the NIC is in mode %.20s; --switchdev changes it", mode);
		rc = 1;
	} else if (strcmp(mode, "switchdev") != 0) {
		rc = ask(agent, "nic.mode", json_pack("{s:s}", "mode", "switchdev"), &done, err);
	}
	json_decref(done);
	json_decref(nic);
	return rc;
}

static int
open_session(struct agent *agent, unsigned timeout_ms, char err[SESSION_ERR_SIZE])
{
	int rc;

	agent->opened_ms = now_ms();
	rc = vf_session_open(&agent->session, agent->options->channel, timeout_ms, true, err);
	if (rc)
		return rc;
	agent->session.timeout_ms = agent->options->timeout_ms;
	rc = set_mode(agent, err);
	if (rc > 0)
		vf_session_close(&agent->session);
	if (rc)
		return rc;
	agent->is_open = true;
	agent->n_sessions++;
	book_reset(agent->book);
	return 0;
}

// One request to the host. False: nothing is left, or the host does not take it.
static bool
sync_once(struct agent *agent)
{
	char err[SESSION_ERR_SIZE];
	json_t *params = agent->is_open ? book_request(agent->book) : NULL, *result = NULL;
	int rc;

	if (!params)
		return false;
	rc = ask(agent, "flow.sync", params, &result, err);
	agent->n_syncs++;
	if (!rc)
		book_answer(agent->book, result);
	else
		book_reset(agent->book);
	if (rc > 0)
		close_session(agent, err);
	json_decref(result);
	return !rc;
}

static void
read_host(struct agent *agent)
{
	char err[SESSION_ERR_SIZE];
	json_t *event = NULL;
	int rc = 0;

	while (agent->is_open && !(rc = vf_session_poll(&agent->session, &event, err)) && event) {
		const char *method = json_string_value(json_object_get(event, "method"));

		relay_tell(agent->relay, event);
		if (method && !strcmp(method, "nic.changed")) {
			say("the host has changed the NIC; all rules are sent again");
			rc = set_mode(agent, err);
			if (rc > 0)
				close_session(agent, err);
			book_reset(agent->book);
		}
		json_decref(event);
		event = NULL;
	}
	if (rc < 0 && agent->is_open)
		close_session(agent, err);
}

static void
keep_alive(struct agent *agent)
{
	char err[SESSION_ERR_SIZE];
	json_t *nic = NULL;
	int rc;

	if (!agent->is_open || now_ms() - agent->spoke_ms < ALIVE_MS)
		return;
	rc = ask(agent, "nic.get", NULL, &nic, err);
	if (!rc && strcmp(json_string_value(json_object_get(nic, "mode")) ?: "", "switchdev") != 0)
		close_session(agent, "the NIC has left switchdev mode");
	json_decref(nic);
}

// ---- the kernel

static void
take_filter_cb(void *arg, const void *message, size_t len)
{
	struct agent *agent = arg;
	struct tc_rule rule;
	bool was_full;
	struct book_counts counts;

	if (tc_rule_read(message, len, &agent->reps.ports, &rule))
		return;
	if (rule.is_empty && agent->is_dumping)
		return;
	if (rule.is_empty)
		agent->needs_dump = true;
	book_count(agent->book, &counts);
	was_full = counts.is_full;
	if (book_take(agent->book, &rule) && !was_full)
		say("more than %d filters: the switch has none of them", BOOK_RULES_MAX);
}

static const char *
rep_name(const struct agent *agent, uint32_t ifindex)
{
	for (unsigned i = 0; i < TC_RULE_PORTS; i++)
		if (agent->reps.ports.ifindex[i] == ifindex)
			return agent->reps.name[i];
	return NULL;
}

static void
ingress_gone_cb(void *arg, uint32_t ifindex, bool is_gone)
{
	struct agent *agent = arg;
	const char *name = rep_name(agent, ifindex);

	if (!name)
		return;
	book_forget(agent->book, ifindex);
	if (!is_gone)
		return;
	say("representor %s is gone; a restart of the agent makes it again", name);
	for (unsigned i = 0; i < TC_RULE_PORTS; i++)
		if (agent->reps.ports.ifindex[i] == ifindex)
			agent->reps.ports.ifindex[i] = 0;
	agent->needs_dump = true; // rules that output there are traps from now on
}

static void
shared_cb(void *arg, uint32_t ifindex)
{
	struct agent *agent = arg;
	const char *name = rep_name(agent, ifindex);

	if (name)
		say("%s: filters of a shared block are not sent to the switch", name);
}

static void
action_cb(void *arg)
{
	((struct agent *)arg)->needs_dump = true;
}

static const struct kernel_event_fns *
event_fns(struct agent *agent)
{
	static struct kernel_event_fns fns;

	fns = (struct kernel_event_fns){take_filter_cb, ingress_gone_cb, shared_cb, action_cb, agent};
	return &fns;
}

// What is announced meanwhile is read afterwards, and is later.
static void
dump_filters(struct agent *agent)
{
	int rc = 0;

	agent->needs_dump = false;
	agent->n_dumps++;
	agent->dumped_ms = now_ms();
	agent->is_dumping = true;
	book_dump_begin(agent->book);
	for (unsigned i = 0; !rc && i < TC_RULE_PORTS; i++)
		if (agent->reps.ports.ifindex[i])
			rc = kernel_dump_filters(agent->reps.ports.ifindex[i], event_fns(agent));
	agent->is_dumping = false;
	if (!rc)
		book_dump_end(agent->book);
	else
		agent->needs_dump = true;
}

static void
read_kernel(struct agent *agent)
{
	struct book_counts counts;
	int rc = kernel_read_events(agent->events, event_fns(agent));

	if (rc) {
		agent->n_overruns += rc == -ENOBUFS;
		agent->needs_dump = true;
	}
	book_count(agent->book, &counts);
	if (counts.is_full && now_ms() - agent->dumped_ms > FULL_MS)
		agent->needs_dump = true;
	// A dump that was interrupted by a change is repeated a little later.
	if (agent->needs_dump && now_ms() - agent->dumped_ms >= (rc ? 0 : TICK_MS / 10)) {
		dump_filters(agent);
		(void)kernel_read_events(agent->events, event_fns(agent));
	}
}

// ---- other programs of the guest

static json_t *
show_self(const struct agent *agent)
{
	json_t *reps = json_array();
	struct book_counts counts;

	book_count(agent->book, &counts);
	for (unsigned i = 0; i < TC_RULE_PORTS; i++)
		if (agent->reps.name[i][0])
			(void)json_array_append_new(reps, json_string(agent->reps.name[i]));
	return json_pack("{s:b, s:s, s:o, s:i, s:i, s:i, s:i, s:b, s:I, s:I, s:I, s:I}", "connected", agent->is_open,
		"pf", agent->reps.pf, "representors", reps, "filters", counts.n_rules, "hw", counts.n_in_hardware,
		"trap", counts.n_traps, "refused", counts.n_refused, "full", counts.is_full, "sessions",
		(json_int_t)agent->n_sessions, "syncs", (json_int_t)agent->n_syncs, "dumps", (json_int_t)agent->n_dumps,
		"overruns", (json_int_t)agent->n_overruns);
}

static json_t *
answer_cb(void *arg, const char *method, const json_t *params, char err[RELAY_ERR_SIZE])
{
	static const char *const own[] = {"flow.sync", "flow.flush", "nic.mode"};
	char text[SESSION_ERR_SIZE] = "the host does not answer";
	struct agent *agent = arg;
	json_t *result = NULL;

	if (!strcmp(method, "agent.get"))
		return show_self(agent);
	if (!strcmp(method, "flow.list"))
		return json_pack("{s:o}", "flows",
			book_list(
				agent->book, (uint64_t)json_integer_value(json_object_get(params, "from")), LIST_MAX));
	for (unsigned i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (!strcmp(own[i], method)) {
			(void)snprintf(err, RELAY_ERR_SIZE, "%s is the agent's, as long as it runs", method);
			return NULL;
		}
	if (agent->is_open && !ask(agent, method, params ? json_deep_copy(params) : NULL, &result, text))
		return result;
	(void)snprintf(err, RELAY_ERR_SIZE, "%.200s", text);
	return NULL;
}

// ---- life

static void
wait_for_events(struct agent *agent, int timeout_ms, bool *ret_ends)
{
	struct pollfd fds[3 + RELAY_CLIENTS_MAX + 1];
	unsigned n = 0;

	fds[n++] = (struct pollfd){.fd = agent->signals, .events = POLLIN};
	fds[n++] = (struct pollfd){.fd = agent->events, .events = POLLIN};
	fds[n++] = (struct pollfd){.fd = agent->is_open ? agent->session.fd : -1, .events = POLLIN};
	n += relay_poll(agent->relay, fds + n);
	(void)poll(fds, n, timeout_ms);
	*ret_ends = fds[0].revents;
	if (agent->is_open && fds[2].revents & (POLLHUP | POLLERR))
		close_session(agent, "the host's virtual switch has gone");
}

// The reason is told once.
static void
open_again(struct agent *agent)
{
	char err[SESSION_ERR_SIZE] = "the host's virtual switch is there again";

	(void)open_session(agent, TICK_MS, err);
	if (strcmp(agent->refusal, err) != 0)
		say("%s", err);
	(void)snprintf(agent->refusal, sizeof(agent->refusal), "%s", agent->is_open ? "" : err);
}

static void
serve(struct agent *agent)
{
	bool ends = false;
	unsigned n;

	while (!ends) {
		if (!agent->is_open && now_ms() - agent->opened_ms >= AGAIN_MS)
			open_again(agent);
		read_kernel(agent);
		if (now_ms() - agent->retried_ms >= TICK_MS) {
			book_retry(agent->book);
			agent->retried_ms = now_ms();
		}
		for (n = 0; n < SYNCS_MAX && sync_once(agent); n++) {
			// What was announced meanwhile goes into the next request.
			read_kernel(agent);
			relay_serve(agent->relay);
		}
		wait_for_events(agent, n == SYNCS_MAX ? 0 : agent->needs_dump ? TICK_MS / 10 : TICK_MS, &ends);
		read_host(agent);
		relay_serve(agent->relay);
		keep_alive(agent);
	}
}

static int
start(struct agent *agent)
{
	const struct agent_options *options = agent->options;
	char err[SESSION_ERR_SIZE], pf[IF_NAMESIZE];
	sigset_t set;
	int rc;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	agent->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	agent->book = book_create();
	agent->events = kernel_watch();
	if (!agent->book || agent->events < 0 || agent->signals < 0) {
		say("cannot watch the kernel: %s", strerror(agent->events < 0 ? -agent->events : ENOMEM));
		return REFUSED;
	}
	(void)snprintf(pf, sizeof(pf), "%s", options->pf ? options->pf : "");
	if (!pf[0] && kernel_find_pf(pf, err)) {
		say("%s", err);
		return REFUSED;
	}
	agent->relay = relay_create(options->socket, answer_cb, agent, err);
	if (!agent->relay) {
		say("%s", err);
		return REFUSED;
	}
	rc = open_session(agent, options->timeout_ms, err);
	if (!rc && kernel_open_reps(&agent->reps, pf, agent->first_vid, agent->n_vfs, err))
		rc = 1;
	if (!rc) {
		dump_filters(agent);
		return DONE;
	}
	say("%s", err);
	return rc < 0 ? UNREACHABLE : REFUSED;
}

// Rules, representors, and the mode that the agent set end with it, as far as the host answers.
static void
stop(struct agent *agent)
{
	char err[SESSION_ERR_SIZE];
	json_t *result = NULL;

	if (agent->is_open && agent->reps.n_vfs)
		(void)ask(agent, "flow.flush", NULL, &result, err);
	json_decref(result);
	result = NULL;
	if (agent->is_open && agent->reps.n_vfs && agent->options->sets_mode)
		(void)ask(agent, "nic.mode", json_pack("{s:s}", "mode", "legacy"), &result, err);
	json_decref(result);
	kernel_close_reps(&agent->reps);
	vf_session_close(&agent->session);
	relay_destroy(agent->relay);
	book_destroy(agent->book);
	if (agent->events >= 0)
		close(agent->events);
	if (agent->signals >= 0)
		close(agent->signals);
}

int
agent_run(const struct agent_options *options)
{
	struct agent agent = {.options = options, .session = {.fd = -1}, .events = -1, .signals = -1};
	int status = start(&agent);

	if (status == DONE) {
		say("the agent of %s is ready: %s and %u more representors", agent.reps.pf,
			agent.reps.name[FLOW_TEXT_UPLINK], agent.n_vfs);
		serve(&agent);
	}
	stop(&agent);
	return status;
}
