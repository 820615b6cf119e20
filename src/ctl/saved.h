// The daemon's configuration file, compared with the running state: a restart brings the former
// back.
#pragma once

#include "rtvs/rpc.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct ctl;

// The last comparison. It holds while neither the model nor the file changes.
struct saved {
	uint64_t n_changes; // of the model, at that time
	struct stat st; // of the file
	bool is_known, is_same;
};

// true, false, or null without a file. New reference.
json_t *saved_json(struct ctl *ctl);
// Calls that only the running configuration has, and those that only the file has. 0, or -1 with
// err: there is no file, or none that could be applied.
int saved_diff(struct ctl *ctl, json_t **ret_running, json_t **ret_file, struct rpc_error *err);
