// A guest is where rtvs-move's exit status says. What it does not say is not assumed to be well: a
// process that ended in another way counts as lost, with what is known as the reason.
#include "host_report.h"

#include "move_one.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#define NAME(id, name) name,
static const char *const list_names[] = {HOST_REPORT_OUTCOMES(NAME)};
#undef NAME

int
host_report_init(struct host_report *r, bool is_check)
{
	*r = (struct host_report){.is_check = is_check};
	for (unsigned i = 0; i < HOST_REPORT_OUTCOME_COUNT; i++) {
		r->lists[i] = json_array();
		if (!r->lists[i]) {
			host_report_fini(r);
			return -ENOMEM;
		}
	}
	return 0;
}

void
host_report_fini(struct host_report *r)
{
	for (unsigned i = 0; i < HOST_REPORT_OUTCOME_COUNT; i++) {
		json_decref(r->lists[i]);
		r->lists[i] = NULL;
	}
}

size_t
host_report_count(const struct host_report *r, enum host_report_outcome outcome)
{
	return json_array_size(r->lists[outcome]);
}

// ---- one guest

static const json_t *
put(struct host_report *r, const struct host_report_guest *g, enum host_report_outcome outcome, json_t *entry)
{
	json_object_set_new(entry, "pid", json_integer(g->pid));
	json_object_set_new(entry, "name", *g->name ? json_string(g->name) : json_null());
	json_array_append_new(r->lists[outcome], entry);
	return entry;
}

__attribute__((format(printf, 2, 3))) static void
add_reason(json_t *reasons, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	json_array_append_new(reasons, json_vsprintf(format, args));
	va_end(args);
}

// Lines of its standard error.
static void
add_messages(json_t *reasons, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");

		if (!strncmp(text, "rtvs-move: ", 11) && len > 11)
			json_array_append_new(reasons, json_stringn(text + 11, len - 11));
		else if (len)
			json_array_append_new(reasons, json_stringn(text, len));
		text += len + (text[len] == '\n');
	}
}

static bool
is_success(const struct host_report *r, const json_t *object)
{
	return json_is_string(json_object_get(object, "way")) &&
		(r->is_check || json_is_integer(json_object_get(object, "pid")));
}

static enum host_report_outcome
decide(const struct host_report *r, const struct host_report_answer *a, const json_t *object, json_t *reasons)
{
	const char *state = json_string_value(json_object_get(object, "state"));
	int status = WIFEXITED(a->status) ? WEXITSTATUS(a->status) : -1;

	if (WIFSIGNALED(a->status)) {
		add_reason(reasons, "rtvs-move for it was ended by signal %d%s", WTERMSIG(a->status),
			r->is_check ? "" : ": either process may have the guest");
		return HOST_REPORT_LOST;
	}
	if (status == MOVE_OK && is_success(r, object))
		return HOST_REPORT_MOVED;
	if (status == MOVE_LOST)
		return HOST_REPORT_LOST;
	if (status == MOVE_REFUSED || status == MOVE_UNREACHABLE) {
		if (a->is_gone) {
			add_reason(reasons, "its process ended by itself before the guest was handed over");
			return HOST_REPORT_ENDED;
		}
		return state && !strcmp(state, "inmigrate") ? HOST_REPORT_LEFT_OUT : HOST_REPORT_REFUSED;
	}
	if (status == MOVE_USAGE || status == 127)
		return HOST_REPORT_REFUSED; // it never began
	add_reason(reasons, "rtvs-move for it ended with status %d and without a result", status);
	return HOST_REPORT_LOST;
}

const json_t *
host_report_take(struct host_report *r, const struct host_report_guest *g, const struct host_report_answer *answer,
	enum host_report_outcome *ret_outcome)
{
	json_t *object = json_loads(answer->out, 0, NULL), *reasons = json_array(), *messages = json_array(), *entry;
	json_t *list = json_object_get(object, "reasons");

	enum host_report_outcome outcome;

	if (answer->late_s)
		add_reason(reasons, "it took more than %d s, and rtvs-move for it was told to end", answer->late_s);
	outcome = decide(r, answer, object, reasons);
	if (r->is_check && outcome == HOST_REPORT_LOST)
		outcome = HOST_REPORT_REFUSED; // nothing was begun
	add_messages(messages, answer->err);
	if (outcome == HOST_REPORT_MOVED) {
		entry = json_deep_copy(object);
		json_object_del(entry, "reasons");
		if (json_object_get(entry, "pid"))
			json_object_set(entry, "to_pid", json_object_get(entry, "pid"));
		if (json_array_size(messages))
			json_object_set(entry, "messages", messages);
	} else {
		if (json_is_array(list))
			json_array_extend(reasons, list);
		json_array_extend(reasons, messages);
		entry = json_pack("{s:O}", "reasons", reasons);
	}
	json_decref(object);
	json_decref(reasons);
	json_decref(messages);
	*ret_outcome = outcome;
	return put(r, g, outcome, entry);
}

const json_t *
host_report_add(
	struct host_report *r, const struct host_report_guest *g, enum host_report_outcome outcome, const char *reason)
{
	return put(r, g, outcome, json_pack("{s:[s]}", "reasons", reason));
}

// ---- text

static const char *
outcome_text(const struct host_report *r, enum host_report_outcome outcome)
{
	static const char *const texts[] = {[HOST_REPORT_REFUSED] = "refused, and runs on where it was",
		[HOST_REPORT_LOST] = "lost, or stopped",
		[HOST_REPORT_ENDED] = "ended",
		[HOST_REPORT_LEFT_OUT] = "left out"};

	return r->is_check && outcome == HOST_REPORT_REFUSED ? "cannot be moved" : texts[outcome];
}

// "guest NAME  pid 4242"
static int
who(const json_t *entry, const char *gap, char *buf, size_t size)
{
	const char *name = json_string_value(json_object_get(entry, "name"));

	return snprintf(buf, size, "%s%s%spid %lld", name ? "guest " : "", name ? name : "", name ? gap : "",
		(long long)json_integer_value(json_object_get(entry, "pid")));
}

static double
number(const json_t *entry, const char *key)
{
	return json_number_value(json_object_get(entry, key));
}

void
host_report_line(const struct host_report *r, enum host_report_outcome outcome, const json_t *entry,
	char ret_line[HOST_REPORT_LINE_SIZE])
{
	const json_t *reasons = json_object_get(entry, "reasons");
	const char *reason = json_string_value(json_array_get(reasons, 0));
	size_t n = json_array_size(reasons), size = HOST_REPORT_LINE_SIZE;
	int len = who(entry, "  ", ret_line, size);
	char more[48] = "";

	if (outcome == HOST_REPORT_MOVED && r->is_check) {
		snprintf(ret_line + len, size - (size_t)len, "  can be moved by %s",
			json_string_value(json_object_get(entry, "way")));
	} else if (outcome == HOST_REPORT_MOVED) {
		snprintf(ret_line + len, size - (size_t)len, " -> %.0f  %.0f ms, stood still %.0f ms%s",
			number(entry, "to_pid"), number(entry, "total_ms"), number(entry, "downtime_ms"),
			json_is_true(json_object_get(entry, "copied")) ? ", copied" : "");
	} else {
		if (n > 1)
			snprintf(more, sizeof(more), " (and %zu more)", n - 1);
		snprintf(ret_line + len, size - (size_t)len, "  %s: %.240s%s", list_names[outcome],
			reason ? reason : "no reason was told", more);
	}
}

static void
print_list(FILE *f, const json_t *entry, const char *key)
{
	const json_t *text;
	size_t i;

	json_array_foreach (json_object_get(entry, key), i, text)
		fprintf(f, "  %s\n", json_string_value(text));
}

void
host_report_print(const struct host_report *r, FILE *f, double wall_ms)
{
	const json_t *entry;
	char text[256];
	size_t k;

	if (r->is_check)
		fprintf(f, "%zu can be moved, %zu cannot", host_report_count(r, HOST_REPORT_MOVED),
			host_report_count(r, HOST_REPORT_REFUSED));
	else
		fprintf(f, "%zu moved, %zu refused, %zu lost", host_report_count(r, HOST_REPORT_MOVED),
			host_report_count(r, HOST_REPORT_REFUSED), host_report_count(r, HOST_REPORT_LOST));
	if (host_report_count(r, HOST_REPORT_ENDED))
		fprintf(f, ", %zu ended meanwhile", host_report_count(r, HOST_REPORT_ENDED));
	if (host_report_count(r, HOST_REPORT_LEFT_OUT))
		fprintf(f, ", %zu left out", host_report_count(r, HOST_REPORT_LEFT_OUT));
	fprintf(f, "; %.1f s\n", wall_ms / 1000);
	json_array_foreach (r->lists[HOST_REPORT_MOVED], k, entry)
		if (json_object_get(entry, "messages")) {
			(void)who(entry, ", ", text, sizeof(text));
			fprintf(f, "%s: moved\n", text);
			print_list(f, entry, "messages");
		}
	for (unsigned i = HOST_REPORT_REFUSED; i < HOST_REPORT_OUTCOME_COUNT; i++)
		json_array_foreach (r->lists[i], k, entry) {
			(void)who(entry, ", ", text, sizeof(text));
			fprintf(f, "%s: %s:\n", text, outcome_text(r, (enum host_report_outcome)i));
			print_list(f, entry, "reasons");
		}
}

// ---- the whole

json_t *
host_report_json(const struct host_report *r, double wall_ms)
{
	json_t *all = json_object();

	for (unsigned i = 0; i < HOST_REPORT_OUTCOME_COUNT; i++)
		json_object_set(all, i == HOST_REPORT_MOVED && r->is_check ? "movable" : list_names[i], r->lists[i]);
	if (json_object_set_new(all, "wall_ms", json_real(wall_ms))) {
		json_decref(all);
		return NULL;
	}
	return all;
}

int
host_report_status(const struct host_report *r)
{
	if (host_report_count(r, HOST_REPORT_LOST))
		return MOVE_LOST;
	return host_report_count(r, HOST_REPORT_REFUSED) ? MOVE_REFUSED : MOVE_OK;
}
