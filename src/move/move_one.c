// One guest: options become a move, or only its checks. probe.h asks, plan.h decides, steps.h
// moves.
#include "move_one.h"

#include "cmdline.h"
#include "permit.h"
#include "plan.h"
#include "probe.h"
#include "process.h"
#include "rtvs/units.h"
#include "steps.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// What one run has of both QEMUs.
struct run {
	struct process process;
	struct cmdline *cmdline;
	struct qmp *qmp;
	char *qmp_path, *target;
	json_t *source_facts, *target_facts;
	struct permit permit;
	struct plan plan;
};

static const char *
text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "?";
}

static int
print_json(json_t *object)
{
	int rc = object ? json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6)) : -1;

	putchar('\n');
	json_decref(object);
	return rc;
}

// All reasons, and what they mean. The state is the guest's in QEMU's word; NULL: not known.
static int
refuse(const struct options *o, const struct reasons *r, const char *state, int status)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < r->n; i++) {
		if (o->is_json)
			json_array_append_new(list, json_string(r->text[i]));
		else
			fprintf(stderr, "rtvs-move: %s\n", r->text[i]);
	}
	if (o->is_json)
		(void)print_json(json_pack("{s:n, s:o, s:s*}", "way", "reasons", list, "state", state));
	else
		json_decref(list);
	return status;
}

static int
refuse_one(const struct options *o, const char *reason, int status)
{
	struct reasons r = {0};

	reasons_add(&r, "%s", reason);
	return refuse(o, &r, NULL, status);
}

static void
run_end(struct run *r)
{
	permit_end(&r->permit);
	json_decref(r->source_facts);
	json_decref(r->target_facts);
	qmp_close(r->qmp);
	cmdline_destroy(r->cmdline);
	process_free(&r->process);
	free(r->qmp_path);
	free(r->target);
}

// The process behind PID or QMP-SOCKET.
static int
find_process(const struct options *o, struct run *r, char *err)
{
	struct qmp *q;
	uint64_t pid;
	int rc;

	if (units_parse_uint(o->source, &pid)) {
		rc = qmp_open(o->source, PROBE_GREETING_MS, &q, err);
		if (rc)
			return rc;
		pid = (uint64_t)qmp_peer(q);
		qmp_close(q);
		if (!pid) {
			snprintf(
				err, PROCESS_ERROR_SIZE, "%.200s: its process is not in this pid namespace", o->source);
			return -ESRCH;
		}
	}
	return process_read(pid > INT32_MAX ? -1 : (pid_t)pid, &r->process, err);
}

// MOVE_OK, or what was said.
static int
look(const struct options *o, struct run *r)
{
	char err[PROCESS_ERROR_SIZE] = "";
	struct reasons reasons = {0};
	int rc = find_process(o, r, err);

	if (rc)
		return refuse_one(o, err, rc == -EXDEV ? MOVE_REFUSED : MOVE_UNREACHABLE);
	rc = cmdline_parse(r->process.words, r->process.words_len, &r->cmdline, err);
	if (rc)
		return refuse_one(o, *err ? err : strerror(-rc), MOVE_REFUSED);
	rc = probe_connect(r->cmdline, &r->process, &r->qmp, &r->qmp_path, &reasons);
	if (!rc)
		rc = probe_source(r->qmp, &r->process, &r->source_facts, &reasons);
	if (rc)
		return refuse(o, &reasons, NULL, rc == -ENOENT || rc == -EBUSY ? MOVE_REFUSED : MOVE_UNREACHABLE);
	r->target = realpath(o->target, NULL);
	if (!r->target || access(r->target, X_OK)) {
		snprintf(err, sizeof(err), "the target %.200s cannot be executed: %s", o->target, strerror(errno));
		return refuse_one(o, err, MOVE_REFUSED);
	}
	return probe_target(r->target, &r->process, &r->target_facts, &reasons) ?
		refuse(o, &reasons, NULL, MOVE_REFUSED) :
		MOVE_OK;
}

static void
say_plan(const struct run *r)
{
	printf("process %d, QEMU %s, %s, %lld MiB, moves to QEMU %s by %s: %s\n", (int)r->process.pid,
		text_of(r->source_facts, "version"), text_of(r->source_facts, "machine"),
		(long long)(json_integer_value(json_object_get(r->source_facts, "ram_bytes")) >> 20),
		text_of(r->target_facts, "version"), plan_way_name(r->plan.way), r->plan.why);
	fflush(stdout);
}

static int
move(const struct options *o, struct run *r)
{
	struct steps_options steps = {.cmdline = r->cmdline,
		.source = &r->process,
		.qmp = &r->qmp,
		.qmp_path = r->qmp_path,
		.program = r->target,
		.facts = r->source_facts,
		.permit = &r->permit,
		.way = r->plan.way,
		.output = o->is_json	      ? STEPS_QUIET :
			isatty(STDOUT_FILENO) ? STEPS_SCREEN :
						STEPS_LINES};
	char err[ATTEMPT_ERROR_SIZE] = "", text[ATTEMPT_ERROR_SIZE + 64];
	struct steps_result result;
	int rc = steps_run(&steps, &result, err);
	double copied_mib, ram_mib;

	if (rc) {
		snprintf(text, sizeof(text), "%s%s", rc == -EOWNERDEAD ? "" : "the guest goes on where it was: ", err);
		return refuse_one(o, text, rc == -EOWNERDEAD ? MOVE_LOST : MOVE_REFUSED);
	}
	copied_mib = (double)result.copied_bytes / 1048576;
	ram_mib = (double)result.ram_bytes / 1048576;
	if (!o->is_json) {
		printf("moved to process %d: %.0f ms, of which the guest stood still for %.0f; %.2f of %.0f MiB "
		       "sent%s\n",
			(int)result.pid, result.total_ms, result.downtime_ms, copied_mib, ram_mib,
			result.is_copied ? ": copied" : "");
		return MOVE_OK;
	}
	return print_json(json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:b, s:i}", "way", plan_way_name(r->plan.way),
		       "total_ms", result.total_ms, "downtime_ms", result.downtime_ms, "copied_mib", copied_mib,
		       "ram_mib", ram_mib, "wall_ms", result.wall_ms, "copied", (int)result.is_copied, "pid",
		       (int)result.pid)) ?
		MOVE_REFUSED :
		MOVE_OK;
}

int
move_one_run(const struct options *o)
{
	struct run r = {.process = {.pidfd = -1}};
	struct plan_facts facts;
	int rc;

	// A signal would leave the target's instance that is asked.
	steps_catch_signals();
	rc = look(o, &r);
	if (!rc && steps_are_interrupted())
		rc = refuse_one(o, "the guest goes on where it was: interrupted", MOVE_REFUSED);
	if (!rc) {
		facts = (struct plan_facts){.cmdline = r.cmdline,
			.source = r.source_facts,
			.target = r.target_facts,
			.is_plain = o->is_plain};
		plan_make(&facts, &r.plan);
		(void)permit_find(o->socket, r.cmdline, &r.process, &r.permit, &r.plan.reasons);
		if (r.plan.reasons.n) {
			rc = refuse(o, &r.plan.reasons, text_of(r.source_facts, "status"), MOVE_REFUSED);
		} else {
			if (!o->is_json)
				say_plan(&r);
			if (o->is_check && o->is_json)
				(void)print_json(json_pack("{s:s, s:[]}", "way", plan_way_name(r.plan.way), "reasons"));
			if (!o->is_check)
				rc = move(o, &r);
		}
	}
	run_end(&r);
	return rc;
}
