// One attempt to move a guest: the two QEMUs, and how it is taken back.
#pragma once

#include "destination.h"
#include "permit.h"
#include "plan.h"
#include "process.h"
#include "qmp.h"

#include <stdbool.h>
#include <sys/types.h>

#define ATTEMPT_ERROR_SIZE 512
#define ATTEMPT_ANSWER_MS 10000

struct attempt {
	const struct process *source;
	struct qmp **source_qmp; // the caller's; NULL in it: there is no connection
	const char *qmp_path; // of the source, as in the arguments, without a suffix
	struct destination *d; // NULL: there is none
	struct qmp *qmp; // of the destination; NULL: not connected
	pid_t pid; // of the destination
	int pidfd, guard_fd; // -1: there is none
	pid_t guard;
	char dir[64], main_socket[96], cpr_socket[96]; // "": there are none
	json_t *parameters, *capabilities; // the source's, as they were
	char *err; // of ATTEMPT_ERROR_SIZE
};

// Writes err. Returns rc.
int attempt_fail(struct attempt *a, int rc, const char *format, ...) __attribute__((format(printf, 3, 4)));

// A command to one of the two, as qmp_call; err says whose.
int attempt_call(struct attempt *a, struct qmp *q, const char *command, json_t *arguments, json_t **ret_answer);
int attempt_set_capability(struct attempt *a, struct qmp *q, const char *name, bool is_on);
// The status in a query's answer, "" without one. q may be NULL.
void attempt_ask_status(struct qmp *q, const char *command, char *ret_status, size_t size);
bool attempt_is_status(struct qmp *q, const char *command, const char *status);

// Whether the destination ended, or never was.
bool attempt_is_dead(const struct attempt *a);
// The destination does not run a single instruction after this. Also without one.
void attempt_kill(struct attempt *a);
// What the move changes in the source; restore sets it as it was, whether or not it was changed.
int attempt_save(struct attempt *a);
void attempt_restore(struct attempt *a);
// What the destination made below its own names; the sockets of the migration.
void attempt_remove_files(struct attempt *a);
void attempt_remove_dir(struct attempt *a);

// Begins a second process that takes the attempt back if this one ends before attempt_unguard. It
// knows what is in *a now. attempt_unguard without a guard does nothing.
int attempt_guard(struct attempt *a);
void attempt_unguard(struct attempt *a);
