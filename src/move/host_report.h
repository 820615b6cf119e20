// What became of the guests of a host, told by what rtvs-move answered for each of them.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#define HOST_REPORT_LINE_SIZE 512

// The lists, by their names in JSON.
#define HOST_REPORT_OUTCOMES(X) \
	X(MOVED, "moved")       \
	X(REFUSED, "refused")   \
	X(LOST, "lost")         \
	X(ENDED, "ended")       \
	X(LEFT_OUT, "left_out")

#define HOST_REPORT_ENUM(id, name) HOST_REPORT_##id,
enum host_report_outcome {
	HOST_REPORT_OUTCOMES(HOST_REPORT_ENUM) HOST_REPORT_OUTCOME_COUNT
};
#undef HOST_REPORT_ENUM

struct host_report {
	bool is_check;
	json_t *lists[HOST_REPORT_OUTCOME_COUNT];
};

struct host_report_guest {
	pid_t pid;
	const char *name; // "": none
};

// How rtvs-move for one guest ended.
struct host_report_answer {
	int status; // as waitpid gives it
	const char *out, *err; // JSON, and what it said beside
	int late_s; // not 0: it ran longer than so many seconds, and was told to end
	bool is_gone; // the guest's first process is not there any more
};

// -ENOMEM
int host_report_init(struct host_report *r, bool is_check);
void host_report_fini(struct host_report *r);
// Both return the guest's entry, which is the report's; *ret_outcome: in which list it is.
const json_t *host_report_take(struct host_report *r, const struct host_report_guest *g,
	const struct host_report_answer *answer, enum host_report_outcome *ret_outcome);
const json_t *host_report_add(
	struct host_report *r, const struct host_report_guest *g, enum host_report_outcome outcome, const char *reason);
size_t host_report_count(const struct host_report *r, enum host_report_outcome outcome);
// One line without its end: the guest, and what became of it.
void host_report_line(const struct host_report *r, enum host_report_outcome outcome, const json_t *entry,
	char ret_line[HOST_REPORT_LINE_SIZE]);
// The whole: how many, and the reasons.
void host_report_print(const struct host_report *r, FILE *f, double wall_ms);
// New reference; NULL: no memory.
json_t *host_report_json(const struct host_report *r, double wall_ms);
// enum move_exit: the worst of all.
int host_report_status(const struct host_report *r);
