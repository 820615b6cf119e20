// The text of a file that keeps a running configuration: a head, then one call or mark a line, to
// which a change appends its call. Pure: text and JSON in, text and JSON out.
// Each line begins with a sum of all lines up to its own end. So a line that is missing, changed or
// of another file is found. A last line that was not written to its end is nobody's: its call was
// never answered.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUNNING_LOG_VERSION 1
#define RUNNING_LOG_MAX_BYTES (64u << 20)
#define RUNNING_LOG_ID_SIZE 64 // of a boot, and of a saved file's content
#define RUNNING_LOG_ERR_SIZE 128
// Daemons that died before they were ready; then the calls are not tried again.
#define RUNNING_LOG_MAX_STARTS 3

// Marks.
#define RUNNING_LOG_STARTING "starting" // a daemon begins to apply the calls
#define RUNNING_LOG_FAILED "failed" // that daemon ended with an error of its own
#define RUNNING_LOG_ENDED "ended" // the daemon of these calls was stopped

struct running_log {
	char boot[RUNNING_LOG_ID_SIZE]; // of the machine, as the kernel names it
	char saved[RUNNING_LOG_ID_SIZE]; // content of the saved configuration that it knew
	json_t *system; // parameters of system.init at the daemon's start
	json_t *calls; // array: they recreate the rest
	unsigned n_starts; // of daemons that died while they applied the calls
	bool has_ended;
	uint64_t sum; // of the lines, for the next one
	size_t n_bytes; // of whole lines; what follows is no line yet
};

// One line with its newline; value is an object or a text. Advances the sum, 0 before the head. The
// caller frees; NULL: out of memory.
char *running_log_line(const json_t *value, uint64_t *inout_sum, size_t *ret_len);
// The head of n_calls lines of calls, new reference.
json_t *running_log_head(const char *boot, const char *saved, json_t *system, size_t n_calls);
// The line that says that the saved configuration has another content, new reference.
json_t *running_log_saved(const char *saved);

// 0, or -EINVAL with err: too long, of an unknown version, damaged. The caller calls fini after 0.
int running_log_parse(const char *text, size_t len, struct running_log *ret_log, char err[RUNNING_LOG_ERR_SIZE]);
void running_log_fini(struct running_log *log);

// Why the calls are not for a daemon that starts in this boot and finds a saved configuration of
// this content. NULL: they are.
const char *running_log_objection(const struct running_log *log, const char *boot, const char *saved);
