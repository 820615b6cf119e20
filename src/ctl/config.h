// The configuration as a list of calls: read from a file, applied as a whole, dumped and saved.
#pragma once

#include "model.h"
#include "rtvs/rpc.h"
#include "rtvs/running_log.h"

#include <jansson.h>
#include <stdbool.h>
#include <sys/stat.h>

struct ctl;

#define CONFIG_MAX_BYTES (24u << 20) // of the file

// The file's list of calls, new reference; NULL with err and *ret_rc.
json_t *config_load(const char *path, int *ret_rc, char err[DP_ERR_SIZE]);
// Executes the calls on a dry model: an empty one, or (replace false) a copy of the live one.
// Returns 0, or -1 with an error that names the call's index and method.
int config_check(struct ctl *ctl, json_t *calls, bool replace, struct model **ret_target, struct rpc_error *err);
// Changes the live model, and the datapath, to target; all or nothing. calls: for the error's
// index.
int config_install(
	struct ctl *ctl, const struct model *target, json_t *calls, unsigned *ret_changes, struct rpc_error *err);
// For calls that were accepted once and whose daemon died. A dry model of them, on top of system; a
// call that is refused is logged, and appended to refused. NULL: out of memory.
struct model *config_gather(struct ctl *ctl, const struct dp_system_cfg *system, json_t *calls, json_t *refused);
// Changes the empty live model, and the datapath, to target as far as it goes. What is missing then
// is logged, and appended to refused as calls.
void config_follow(struct ctl *ctl, const struct model *target, json_t *refused);
// Appends the calls of list that other has not to rest.
void config_subtract(const json_t *list, const json_t *other, json_t *rest);
// Calls that recreate the state. New reference.
json_t *config_dump(const struct model *model);
// Atomic: the file is the old or the new one, never a part. 0 or a negative errno with err.
int config_save(const struct model *model, const char *path, char err[DP_ERR_SIZE]);
// The same of a list of calls, in a file of this mode.
int config_write(json_t *calls, const char *path, mode_t mode, char err[DP_ERR_SIZE]);
// A name of the file's present content; "?": it cannot be read; empty: path is NULL.
void config_fingerprint(const char *path, char ret_id[RUNNING_LOG_ID_SIZE]);
