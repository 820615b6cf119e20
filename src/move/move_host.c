// Each guest is moved by a process of its own, `rtvs-move qemu`: what happens to one of them is
// nothing that the others notice. This process only finds guests, starts those, and collects what
// they say. It may be killed: the moves under way finish as they do by themselves.
#include "move_host.h"

#include "crew.h"
#include "guests.h"
#include "move_one.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct work {
	const struct options *o;
	const struct move_host_mover *mover;
	struct host_report *report;
	FILE *progress; // NULL: none
	struct guests guests;
	struct crew *crew;
	unsigned n_to_move, n_ended;
};

static double
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static struct host_report_guest
of(const struct guest *g)
{
	return (struct host_report_guest){.pid = g->pid, .name = g->name};
}

static void
show(struct work *w, enum host_report_outcome outcome, const json_t *entry)
{
	char line[HOST_REPORT_LINE_SIZE];

	w->n_ended++;
	if (!w->progress)
		return;
	host_report_line(w->report, outcome, entry, line);
	fprintf(w->progress, "%u of %u  %s\n", w->n_ended, w->n_to_move, line);
	fflush(w->progress);
}

static void
refuse(struct work *w, const struct guest *g, const char *reason)
{
	struct host_report_guest guest = of(g);

	show(w, HOST_REPORT_REFUSED, host_report_add(w->report, &guest, HOST_REPORT_REFUSED, reason));
}

static void
begin(struct work *w, unsigned index)
{
	const struct options *o = w->o;
	const struct guest *g = &w->guests.items[index];
	char pid[16], text[128];
	const char *words[12] = {w->mover->program, "qemu", pid, "--json", "--to", o->target};
	unsigned n = 6;
	int rc;

	snprintf(pid, sizeof(pid), "%d", (int)g->pid);
	if (o->is_check)
		words[n++] = "--check";
	if (o->is_plain)
		words[n++] = "--plain";
	if (o->socket) {
		words[n++] = "--socket";
		words[n++] = o->socket;
	}
	// The list may move in memory, so the job is the index.
	rc = crew_start(w->crew, (char *const *)(uintptr_t)words, (void *)(uintptr_t)index);
	if (rc) {
		snprintf(text, sizeof(text), "rtvs-move for it cannot be started: %s", strerror(-rc));
		refuse(w, g, text);
	}
}

static void
collect(struct work *w)
{
	enum host_report_outcome outcome;
	struct host_report_answer answer;
	struct host_report_guest guest;
	const struct guest *g;
	const json_t *entry;
	struct crew_end end;

	crew_wait(w->crew, &end);
	g = &w->guests.items[(uintptr_t)end.job];
	guest = of(g);
	answer = (struct host_report_answer){.status = end.status,
		.out = end.out,
		.err = end.err,
		.late_s = end.is_late ? w->mover->limit_ms / 1000 + !w->mover->limit_ms : 0,
		.is_gone = guests_is_gone(g)};
	entry = host_report_take(w->report, &guest, &answer, &outcome);
	show(w, outcome, entry);
	if (outcome == HOST_REPORT_MOVED && !w->o->is_check)
		(void)guests_know(&w->guests, (pid_t)json_integer_value(json_object_get(entry, "to_pid")));
	crew_end_free(&end);
}

// Those of one look: guests from `first` to `last`.
static void
move_all(struct work *w, unsigned first, unsigned last)
{
	unsigned next = first;

	for (;;) {
		while (next < last &&
			(w->guests.items[next].left_out[0] ||
				(crew_has_room(w->crew) && !crew_is_interrupted(w->crew)))) {
			if (!w->guests.items[next].left_out[0])
				begin(w, next);
			next++;
		}
		if (crew_is_idle(w->crew))
			break;
		collect(w);
	}
	for (; next < last; next++)
		if (!w->guests.items[next].left_out[0])
			refuse(w, &w->guests.items[next], "interrupted before its move began");
}

// How many of them are to be moved. The others are told of at once.
static unsigned
sort_out(struct work *w, unsigned first)
{
	unsigned n = 0;

	for (unsigned i = first; i < w->guests.n; i++) {
		const struct guest *g = &w->guests.items[i];
		struct host_report_guest guest = of(g);

		if (g->left_out[0])
			(void)host_report_add(w->report, &guest, HOST_REPORT_LEFT_OUT, g->left_out);
		else
			n++;
	}
	return n;
}

static void
say_begin(const struct work *w, unsigned n)
{
	if (!w->progress)
		return;
	if (w->o->is_check)
		fprintf(w->progress, "%u guest%s of %s: can they be moved to %s?\n", n, n == 1 ? "" : "s", w->o->from,
			w->o->target);
	else
		fprintf(w->progress, "%u guest%s of %s to move to %s, %u at a time\n", n, n == 1 ? "" : "s", w->o->from,
			w->o->target, w->o->parallel);
	fflush(w->progress);
}

// A look, and the moves of those that it found. *ret_n: how many there were to move.
static int
look_and_move(struct work *w, unsigned n_looks, unsigned *ret_n)
{
	unsigned first = w->guests.n, last, n;
	int rc = guests_look(&w->guests, w->o->from, w->o->target);

	if (rc)
		return rc;
	last = w->guests.n;
	n = sort_out(w, first);
	w->n_to_move += n;
	if (n)
		say_begin(w, n);
	if (n_looks == MOVE_HOST_MAX_LOOKS) {
		for (unsigned i = first; i < last; i++)
			if (!w->guests.items[i].left_out[0])
				refuse(w, &w->guests.items[i],
					"it came after the last look: start rtvs-move host again");
		n = 0;
	} else {
		move_all(w, first, last);
	}
	*ret_n = n;
	return 0;
}

int
move_host_work(const struct options *o, const struct move_host_mover *mover, struct host_report *report, FILE *progress)
{
	struct crew_options crew = {
		.parallel = o->parallel, .limit_ms = o->is_plain ? 0 : mover->limit_ms, .grace_ms = mover->grace_ms};
	struct work w = {.o = o, .mover = mover, .report = report, .progress = progress};
	unsigned n_looks = 0, n;
	int rc = crew_create(&crew, &w.crew);

	if (rc)
		return rc;
	do
		rc = look_and_move(&w, n_looks++, &n);
	while (!rc && n && !o->is_check && !crew_is_interrupted(w.crew));
	crew_destroy(w.crew);
	guests_fini(&w.guests);
	// The first look decides; what a later one cannot see is as if it came after the end.
	return n_looks > 1 ? 0 : rc;
}

// ---- the program

static int
fail(const struct options *o, const char *text, const char *program)
{
	json_t *object = o->is_json ? json_pack("{s:n, s:[s]}", "moved", "reasons", text) : NULL;

	if (object) {
		(void)json_dumpf(object, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		fprintf(stderr, "rtvs-move: %s%s%s\n", program, *program ? ": " : "", text);
	}
	json_decref(object);
	return MOVE_REFUSED;
}

static bool
is_empty(const struct host_report *r)
{
	for (unsigned i = 0; i < HOST_REPORT_OUTCOME_COUNT; i++)
		if (host_report_count(r, (enum host_report_outcome)i))
			return false;
	return true;
}

static void
say_none(const struct options *o)
{
	printf("no process%s runs %s%s%s\n", geteuid() ? " that this user may look at" : "", o->from,
		access(o->from, F_OK) ? ", which is not there" : "",
		strcmp(o->from, o->target) != 0 ? "" : " as it was before");
}

int
move_host_run(const struct options *o)
{
	struct move_host_mover mover = {
		.program = "/proc/self/exe", .limit_ms = MOVE_HOST_LIMIT_MS, .grace_ms = MOVE_HOST_GRACE_MS};
	struct host_report report;
	double begin_ms = now_ms();
	json_t *object;
	int rc;

	if (access(o->target, X_OK))
		return fail(o, strerror(errno), o->target);
	if (host_report_init(&report, o->is_check))
		return fail(o, strerror(ENOMEM), "");
	rc = move_host_work(o, &mover, &report, o->is_json ? NULL : stdout);
	if (rc == -E2BIG) {
		rc = fail(o, "more than 4096 processes run this program", o->from);
	} else if (rc) {
		rc = fail(o, strerror(-rc), o->from);
	} else if (o->is_json) {
		object = host_report_json(&report, now_ms() - begin_ms);
		rc = !object || json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6)) ?
			MOVE_LOST :
			host_report_status(&report);
		putchar('\n');
		json_decref(object);
	} else {
		if (is_empty(&report))
			say_none(o);
		else
			host_report_print(&report, stdout, now_ms() - begin_ms);
		rc = host_report_status(&report);
	}
	host_report_fini(&report);
	return rc;
}
