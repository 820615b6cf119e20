// The configuration as a list of calls: read from a file, applied as a whole, dumped and saved.
#pragma once

#include "model.h"
#include "rtvs/rpc.h"

#include <jansson.h>
#include <stdbool.h>

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
// Calls that recreate the state. New reference.
json_t *config_dump(const struct model *model);
// Atomic: the file is the old or the new one, never a part. 0 or a negative errno with err.
int config_save(const struct model *model, const char *path, char err[DP_ERR_SIZE]);
