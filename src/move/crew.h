// Programs that run beside each other, so many at a time: their output is kept, and each has a
// limit in time. SIGINT, SIGTERM and SIGHUP of this process are passed on to them.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define CREW_MAX_OUTPUT_BYTES (1u << 20) // what is more is cut

struct crew;

struct crew_options {
	unsigned parallel; // at least 1
	// A program that runs longer gets SIGTERM, and SIGKILL so much later. With limit_ms 0 it
	// has no limit. After a signal it is killed in any case when grace_ms are over.
	int limit_ms, grace_ms;
};

struct crew_end {
	void *job; // of crew_start
	int status; // as waitpid gives it
	bool is_late; // the limit was over
	char *out, *err; // what it wrote; never NULL
};

// Takes the signals: one at a time in a process. -errno.
int crew_create(const struct crew_options *o, struct crew **ret_crew);
// The signals do again what they did. There is nothing that runs. NULL is accepted.
void crew_destroy(struct crew *c);

bool crew_has_room(const struct crew *c);
bool crew_is_idle(const struct crew *c);
// Whether a signal came. Passes it on first.
bool crew_is_interrupted(struct crew *c);
// Where there is room. words[0] is the program; its input is /dev/null. -errno.
int crew_start(struct crew *c, char *const *words, void *job);
// Waits for the next one that ends; one runs. The caller frees what it gets.
void crew_wait(struct crew *c, struct crew_end *ret_end);
void crew_end_free(struct crew_end *end);
