// The running configuration in a file beside the control socket. The next daemon at this socket
// goes on with it: after a crash, and after a restart.
// A change costs one line, written before its answer is sent; the file is written anew when its
// lines have become as long as the configuration itself. A change is never refused for the file's
// sake. A file that could not be written is removed: an old configuration is never taken for the
// running one.
#pragma once

#include "rtvs/dp.h"
#include "rtvs/log.h"
#include "rtvs/rpc.h"
#include "rtvs/running_log.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct ctl;
struct plane;

#define RUNNING_SPARE_BYTES (256u << 10) // of appended lines, however short the configuration is
#define RUNNING_MAX_WAIT_TICKS 64 // between two attempts to write a file that cannot be written

enum running_source {
	RUNNING_EMPTY, // there was neither
	RUNNING_SAVED,
	RUNNING_KEPT
};

struct running {
	const struct plane *plane;
	char path[RTVS_PATH_SIZE + 16];
	char boot[RUNNING_LOG_ID_SIZE], saved[RUNNING_LOG_ID_SIZE];
	struct dp_system_cfg started; // what the command line and the saved configuration say
	int fd; // of the file, -1: there is none
	uint64_t sum; // of its lines
	size_t n_bytes, max_bytes; // beyond the latter it is written anew
	uint64_t n_changes; // of the model, that it has
	int rc; // why there is none; 0: there is one
	uint64_t n_failures;
	unsigned n_ticks, n_wait_ticks; // since the last attempt; until the next
	unsigned n_refused; // calls of the kept configuration that could not be used
	enum running_source source;
	bool is_serving; // the control socket is this daemon's, and so is the file
	bool is_starting; // the file's daemon is marked as starting
};

void running_init(struct running *running, const struct plane *plane, const char *socket);
// Reads the file of the daemon before. True: its calls are for this one, and *ret_log is the
// caller's. Else the saved configuration is, and why is logged unless there was no file. config:
// the saved configuration, NULL: none.
bool running_load(struct running *running, const char *config, bool is_fresh, struct running_log *ret_log);
// The text that running_load would read in a process that takes over, for running_take there. The
// caller frees. 0 or -ENOMEM.
int running_text(const struct running *running, char **ret_text, size_t *ret_len);
// 0, or -EINVAL with err; *ret_log is the caller's.
int running_take(struct running *running, const char *text, size_t len, struct running_log *ret_log,
	char err[RUNNING_LOG_ERR_SIZE]);
// Calls that the start did not use, in a file of their own for the operator; none: no file.
void running_set_aside(struct running *running, enum log_level level, json_t *calls);
// The control socket serves: the first file of this daemon.
void running_begin(struct running *running);
// After a call: what it changed is kept. As a session's done.
void running_done(struct running *running, const struct rpc_method *method, const json_t *params, int rc);
// Once a second: whatever else has changed the model or the file, and attempts after a failure.
void running_tick(struct running *running);
// The running configuration is that of config, as it is: saved, or applied.
void running_note_saved(struct running *running, const char *config);
// Is the content of config the one that was noted last, or read at the start?
bool running_knows(const struct running *running, const char *config);
// The daemon was stopped. The next one goes on with the file unless it is forgotten.
void running_end(struct running *running, bool is_forgotten);
void running_fini(struct running *running);
// {source, kept, error, failures, refused}, new reference.
json_t *running_json(const struct running *running);
