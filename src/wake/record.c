// Each kind of line has a reader. An error names a member that is missing, of another type or out
// of range, with its accepted values. A record may come from anywhere: nothing in it is trusted.
#include "record.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define VERSION 1
#define MAX_LINE 65536u

static const char *const type_names[EVENT_COUNT] = {
	[EVENT_WAKING] = "waking",
	[EVENT_IN] = "in",
	[EVENT_OUT] = "out",
	[EVENT_PREEMPTED] = "preempted",
};
static const char *const state_names[] = {
	[THREADS_UNKNOWN] = "unknown",
	[THREADS_ASLEEP] = "asleep",
	[THREADS_WAITING] = "waiting",
	[THREADS_RUNNING] = "running",
};

static const struct {
	const char *name;
	size_t offset;
} chain_times[] = {
	{"arrived_ns", offsetof(struct stages_chain, arrived_ns)},
	{"queued_ns", offsetof(struct stages_chain, queued_ns)},
	{"prewoken_ns", offsetof(struct stages_chain, prewoken_ns)},
	{"put_ns", offsetof(struct stages_chain, put_ns)},
	{"kicked_ns", offsetof(struct stages_chain, kicked_ns)},
	{"consumed_ns", offsetof(struct stages_chain, consumed_ns)},
	{"answered_ns", offsetof(struct stages_chain, answered_ns)},
	{"left_ns", offsetof(struct stages_chain, left_ns)},
};
#define N_CHAIN_TIMES (sizeof(chain_times) / sizeof(*chain_times))

static void
put_line(FILE *out, json_t *line)
{
	if (line) {
		(void)json_dumpf(line, out, JSON_COMPACT);
		fputc('\n', out);
	}
	json_decref(line);
}

void
record_begin(FILE *out, const struct watch *w)
{
	if (!out)
		return;
	put_line(out,
		json_pack("{s:s, s:i, s:I, s:I, s:b}", "kind", "begin", "version", VERSION, "at_ns",
			(json_int_t)w->begin_ns, "switch_pid", (json_int_t)w->switch_pid, "has_sched", w->has_sched));
	for (unsigned i = 0; i < w->n_missing; i++)
		put_line(out,
			json_pack("{s:s, s:s, s:s, s:s}", "kind", "missing", "name", w->missing[i].name, "why",
				w->missing[i].why, "hides", w->missing[i].hides));
}

void
record_switch(FILE *out, uint32_t pid)
{
	if (out)
		put_line(out, json_pack("{s:s, s:I}", "kind", "switch", "pid", (json_int_t)pid));
}

void
record_guest(FILE *out, const char *port, uint32_t pid, uint64_t since_ns)
{
	if (out)
		put_line(out,
			json_pack("{s:s, s:s, s:I, s:I}", "kind", "guest", "port", port, "pid", (json_int_t)pid,
				"since_ns", (json_int_t)since_ns));
}

void
record_thread(FILE *out, uint32_t pid, uint32_t tid, const char *comm, enum threads_state state)
{
	if (out)
		put_line(out,
			json_pack("{s:s, s:I, s:I, s:s, s:s}", "kind", "thread", "pid", (json_int_t)pid, "tid",
				(json_int_t)tid, "comm", comm, "state", state_names[state]));
}

void
record_event(FILE *out, const struct event *e)
{
	char comm[EVENT_COMM_SIZE + 1] = {0};

	if (!out)
		return;
	memcpy(comm, e->comm, EVENT_COMM_SIZE);
	put_line(out,
		json_pack("{s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:s}", "kind", "event", "ts_ns",
			(json_int_t)e->ts_ns, "type", type_names[e->type], "tgid", (json_int_t)e->tgid, "tid",
			(json_int_t)e->tid, "cpu", (json_int_t)e->cpu, "waker_tid", (json_int_t)e->waker_tid,
			"waker_tgid", (json_int_t)e->waker_tgid, "comm", comm));
}

void
record_loss(FILE *out, uint64_t n, uint64_t from_ns, uint64_t to_ns)
{
	if (out)
		put_line(out,
			json_pack("{s:s, s:I, s:I, s:I}", "kind", "loss", "n", (json_int_t)n, "from_ns",
				(json_int_t)from_ns, "to_ns", (json_int_t)to_ns));
}

void
record_chain(FILE *out, const char *port, const struct stages_chain *chain)
{
	json_t *line;

	if (!out)
		return;
	line = json_pack("{s:s, s:s, s:b, s:I}", "kind", "chain", "port", port, "is_kicked", chain->is_kicked, "depth",
		(json_int_t)chain->depth);
	for (unsigned i = 0; i < N_CHAIN_TIMES; i++)
		(void)json_object_set_new(line, chain_times[i].name,
			json_integer((json_int_t) *
				(const uint64_t *)(const void *)((const char *)chain + chain_times[i].offset)));
	put_line(out, line);
}

void
record_chains_lost(FILE *out, const char *port, uint64_t n)
{
	if (out)
		put_line(out, json_pack("{s:s, s:s, s:I}", "kind", "chains_lost", "port", port, "n", (json_int_t)n));
}

void
record_counts(FILE *out, uint32_t pid, const struct event_counts *c)
{
	if (out)
		put_line(out,
			json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "kind", "counts", "pid", (json_int_t)pid,
				"hlt_exits", (json_int_t)c->hlt_exits, "halts", (json_int_t)c->halts, "waited",
				(json_int_t)c->waited, "halted_ns", (json_int_t)c->halted_ns));
}

void
record_end(FILE *out, uint64_t at_ns)
{
	if (out)
		put_line(out, json_pack("{s:s, s:I}", "kind", "end", "at_ns", (json_int_t)at_ns));
}

// Members of one line; the first that is wrong is told, and all that follow are 0.
struct members {
	const json_t *object;
	char *err;
	bool is_wrong;
};

static void
complain(struct members *m, const char *key, const char *what)
{
	if (!m->is_wrong)
		(void)snprintf(m->err, RECORD_ERROR_SIZE, "%s: is not %s", key, what);
	m->is_wrong = true;
}

static uint64_t
number(struct members *m, const char *key, uint64_t max)
{
	const json_t *value = json_object_get(m->object, key);
	char range[64];

	if (json_is_integer(value) && json_integer_value(value) >= 0 && (uint64_t)json_integer_value(value) <= max)
		return (uint64_t)json_integer_value(value);
	(void)snprintf(range, sizeof(range), "a number from 0 to %" PRIu64, max);
	complain(m, key, range);
	return 0;
}

static uint64_t
time_of(struct members *m, const char *key)
{
	return number(m, key, INT64_MAX);
}

static bool
boolean(struct members *m, const char *key)
{
	const json_t *value = json_object_get(m->object, key);

	if (!json_is_boolean(value))
		complain(m, key, "true or false");
	return json_is_true(value);
}

static const char *
string(struct members *m, const char *key)
{
	const char *text = json_string_value(json_object_get(m->object, key));

	if (!text)
		complain(m, key, "a string");
	return text ? text : "";
}

static unsigned
one_of(struct members *m, const char *key, const char *const *names, unsigned n)
{
	const char *text = string(m, key);

	for (unsigned i = 0; i < n; i++)
		if (!strcmp(names[i], text))
			return i;
	complain(m, key, "a name that is known there");
	return 0;
}

static void
read_chain(struct members *m, struct stages_chain *chain)
{
	for (unsigned i = 0; i < N_CHAIN_TIMES; i++)
		*(uint64_t *)(void *)((char *)chain + chain_times[i].offset) = time_of(m, chain_times[i].name);
	chain->depth = (uint32_t)number(m, "depth", UINT32_MAX);
	chain->is_kicked = boolean(m, "is_kicked");
}

int
record_read_chain(const json_t *object, struct stages_chain *ret_chain, char *err)
{
	struct members m = {.object = object, .err = err};
	struct stages_chain chain = {0};

	read_chain(&m, &chain);
	if (m.is_wrong)
		return -EINVAL;
	*ret_chain = chain;
	return 0;
}

struct reading {
	struct watch *watch;
	uint64_t last_ns, line;
	char *err;
};

static void
take_missing(struct reading *r, struct members *m)
{
	const char *name = string(m, "name"), *why = string(m, "why");

	watch_miss(r->watch, name, why, string(m, "hides"));
}

static void
take_switch(struct reading *r, struct members *m)
{
	r->watch->switch_pid = (uint32_t)number(m, "pid", INT32_MAX);
}

static void
take_guest(struct reading *r, struct members *m)
{
	const char *port = string(m, "port");
	uint32_t pid = (uint32_t)number(m, "pid", INT32_MAX);
	uint64_t since_ns = time_of(m, "since_ns");
	bool is_new;

	if (!m->is_wrong && watch_guest(r->watch, port, pid, since_ns, &is_new))
		complain(m, "port", "one of as many as there may be");
	r->last_ns = since_ns;
}

static void
take_thread(struct reading *r, struct members *m)
{
	uint32_t pid = (uint32_t)number(m, "pid", INT32_MAX), tid = (uint32_t)number(m, "tid", INT32_MAX);
	const char *comm = string(m, "comm");
	unsigned state = one_of(m, "state", state_names, sizeof(state_names) / sizeof(*state_names));

	if (!m->is_wrong && watch_thread(r->watch, pid, tid, comm, (enum threads_state)state))
		complain(m, "pid", "a guest's, or it has too many threads");
}

static void
take_event(struct reading *r, struct members *m)
{
	struct event e = {
		.ts_ns = time_of(m, "ts_ns"),
		.type = one_of(m, "type", type_names, EVENT_COUNT),
		.tgid = (uint32_t)number(m, "tgid", INT32_MAX),
		.tid = (uint32_t)number(m, "tid", INT32_MAX),
		.cpu = (uint32_t)number(m, "cpu", INT32_MAX),
		.waker_tid = (uint32_t)number(m, "waker_tid", INT32_MAX),
		.waker_tgid = (uint32_t)number(m, "waker_tgid", INT32_MAX),
	};
	const char *comm = string(m, "comm");

	memcpy(e.comm, comm, strnlen(comm, sizeof(e.comm)));
	if (!m->is_wrong)
		watch_event(r->watch, &e);
	r->last_ns = e.ts_ns;
}

static void
take_loss(struct reading *r, struct members *m)
{
	uint64_t n = number(m, "n", INT64_MAX), from_ns = time_of(m, "from_ns"), to_ns = time_of(m, "to_ns");

	if (!m->is_wrong)
		watch_event_loss(r->watch, n, from_ns, to_ns);
}

static void
take_chain(struct reading *r, struct members *m)
{
	const char *port = string(m, "port");
	struct stages_chain chain = {0};

	read_chain(m, &chain);
	if (!m->is_wrong && watch_chain(r->watch, port, &chain))
		complain(m, "port", "one that a guest was at");
}

static void
take_chains_lost(struct reading *r, struct members *m)
{
	struct watch_port *port = watch_find(r->watch, string(m, "port"));
	uint64_t n = number(m, "n", INT64_MAX);

	if (port)
		watch_chains_lost(port, n);
	else
		complain(m, "port", "one that a guest was at");
}

static void
take_counts(struct reading *r, struct members *m)
{
	struct event_counts counts = {number(m, "hlt_exits", INT64_MAX), number(m, "halts", INT64_MAX),
		number(m, "waited", INT64_MAX), time_of(m, "halted_ns")};

	watch_counts(r->watch, (uint32_t)number(m, "pid", INT32_MAX), &counts);
}

static void
take_end(struct reading *r, struct members *m)
{
	r->last_ns = time_of(m, "at_ns");
}

static const struct {
	const char *kind;
	void (*take)(struct reading *, struct members *);
} kinds[] = {{"missing", take_missing}, {"switch", take_switch}, {"guest", take_guest}, {"thread", take_thread},
	{"event", take_event}, {"loss", take_loss}, {"chain", take_chain}, {"chains_lost", take_chains_lost},
	{"counts", take_counts}, {"end", take_end}};

static void
take_begin(struct reading *r, struct members *m)
{
	uint64_t version = number(m, "version", INT32_MAX), at_ns = time_of(m, "at_ns");
	uint32_t switch_pid = (uint32_t)number(m, "switch_pid", INT32_MAX);
	bool has_sched = boolean(m, "has_sched");

	if (version != VERSION)
		complain(m, "version", "1");
	if (m->is_wrong)
		return;
	r->watch = watch_create(at_ns, switch_pid, has_sched);
	r->last_ns = at_ns;
	if (!r->watch)
		complain(m, "begin", "possible without memory");
}

static int
take_line(struct reading *r, const char *text, size_t len)
{
	char why[RECORD_ERROR_SIZE] = "";
	json_t *object = len < MAX_LINE ? json_loadb(text, len, 0, NULL) : NULL;
	struct members m = {.object = object, .err = why};
	const char *kind = json_string_value(json_object_get(object, "kind"));
	unsigned i = 0;

	if (!json_is_object(object) || !kind) {
		complain(&m, "line", "an object with a kind");
	} else if (!r->watch) {
		if (strcmp(kind, "begin"))
			complain(&m, "kind", "begin, which comes first");
		else
			take_begin(r, &m);
	} else {
		while (i < sizeof(kinds) / sizeof(*kinds) && strcmp(kinds[i].kind, kind))
			i++;
		if (i < sizeof(kinds) / sizeof(*kinds))
			kinds[i].take(r, &m);
		else
			complain(&m, "kind", "one that is known");
	}
	json_decref(object);
	if (m.is_wrong)
		(void)snprintf(r->err, RECORD_ERROR_SIZE, "line %" PRIu64 ": %.200s", r->line, why);
	return m.is_wrong ? -EINVAL : 0;
}

int
record_read(FILE *in, struct watch **ret_watch, uint64_t *ret_end_ns, char *err)
{
	struct reading r = {.err = err};
	size_t size = 0;
	char *text = NULL;
	ssize_t len;
	int rc = 0;

	// A line without its end is one that was being written when the program was killed.
	while (!rc && (len = getline(&text, &size, in)) > 0 && text[len - 1] == '\n') {
		r.line++;
		rc = take_line(&r, text, (size_t)len);
	}
	free(text);
	if (!rc && !r.watch) {
		(void)snprintf(err, RECORD_ERROR_SIZE, "has no line that begins a record");
		rc = -EINVAL;
	}
	if (rc) {
		watch_destroy(r.watch);
		return rc;
	}
	*ret_watch = r.watch;
	*ret_end_ns = r.last_ns;
	return 0;
}
