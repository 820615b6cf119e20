// Methods of the nouns config and rpc: the configuration as a whole, and the list of methods.
#include "rpc_config.h"

#include "answer.h"
#include "config.h"
#include "events.h"
#include "methods.h"
#include "rtvs/log.h"
#include "running.h"
#include "saved.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct config_params {
	json_t *calls;
	bool replace;
	char file[256];
};

#define P(member, type, ...) RPC_PARAM(struct config_params, member, type, __VA_ARGS__)
static const struct rpc_param apply_params[] = {
	P(calls, RPC_CALLS, .is_required = true, .help = "list of {\"method\", \"params\"}, as config.dump returns it"),
	P(replace, RPC_BOOL, .def = "true",
		.help = "true: ports, bridges and static MACs that the calls do not make are removed; false: they "
			"stay"),
};
static const struct rpc_param save_params[] = {
	P(file, RPC_STR, .max = 255, .help = "path; default the daemon's --config file"),
};

static int
rpc_config_dump(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct rpc_config *config = ctx;

	(void)params;
	(void)present;
	return ctl_answer(ret_result, config_dump(config->plane->model), err);
}

static int
rpc_config_apply(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct rpc_config *config = ctx;
	const struct config_params *p = params;
	struct model *target;
	unsigned n_changes = 0;
	int rc;

	(void)present;
	rc = config_check(config->ctl, p->calls, p->replace, &target, err);
	if (rc == 0) {
		rc = config_install(config->ctl, target, p->calls, &n_changes, err);
		model_destroy(target);
	}
	if (rc < 0) {
		log_about(
			LOG_LEVEL_WARNING, LOG_ABOUT(LOG_ID_CONFIG_REFUSED), "configuration refused: %s", err->message);
		return -1;
	}
	// An edited file that was applied is no edit for the next start.
	if (config->file && !running_knows(config->running, config->file)) {
		json_t *saved = saved_json(config->ctl);

		if (json_is_true(saved))
			running_note_saved(config->running, config->file);
		json_decref(saved);
	}
	events_emit(config->ctl, "config.apply",
		json_pack("{s:i, s:i}", "calls", (int)json_array_size(p->calls), "changes", (int)n_changes));
	return ctl_answer(ret_result, json_pack("{s:i}", "changes", (int)n_changes), err);
}

// Not for monitors: it looks for files that the calls name.
static int
rpc_config_check(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct rpc_config *config = ctx;
	const struct config_params *p = params;
	struct model *target;

	(void)present;
	(void)ret_result;
	if (config_check(config->ctl, p->calls, p->replace, &target, err) < 0)
		return -1;
	model_destroy(target);
	return 0;
}

static int
rpc_config_save(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct rpc_config *config = ctx;
	const struct config_params *p = params;
	const char *path = p->file[0] ? p->file : config->file;
	char text[DP_ERR_SIZE] = "";
	int rc;

	(void)present;
	if (!path)
		return ctl_refuse(err, -EINVAL, "file: needed, the daemon was started without --config");
	rc = config_save(config->plane->model, path, text);
	if (rc < 0)
		return ctl_refuse(err, rc, text);
	if (config->file && strcmp(path, config->file) == 0)
		running_note_saved(config->running, path);
	return ctl_answer(ret_result, json_pack("{s:s}", "file", path), err);
}

// Not for monitors: it reads what the file names.
static int
rpc_config_diff(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct rpc_config *config = ctx;
	json_t *running, *file;

	(void)params;
	(void)present;
	if (saved_diff(config->ctl, &running, &file, err) < 0)
		return -1;
	return ctl_answer(ret_result,
		json_pack("{s:s, s:o, s:o}", "file", config->file, "only_running", running, "only_saved", file), err);
}

static int
rpc_config_discover(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct rpc_config *config = ctx;

	(void)params;
	(void)present;
	return ctl_answer(ret_result, rpc_discover(config->api), err);
}

#define SIZE sizeof(struct config_params)
const struct rpc_method rpc_config_methods[] = {
	{"config.dump", "Show the calls that recreate the present configuration.", "List of {method, params}.",
		rpc_config_dump, NULL, 0, 0, RPC_READ_ONLY},
	{"config.apply",
		"Change the configuration to that of a list of calls, all or nothing. Objects that are the same stay "
		"untouched.",
		"{changes}: the number of steps.", rpc_config_apply, apply_params, 2, SIZE, 0},
	{"config.check",
		"Look for errors in a list of calls, as config.apply does first; nothing is changed. Guarantees must "
		"fit at the end of the list. Errors of devices and files are not found.",
		"true", rpc_config_check, apply_params, 2, SIZE, 0},
	{"config.diff",
		"Compare the running configuration with the daemon's --config file, which a "
		"start of the machine restores.",
		"{file, only_running, only_saved}: lists of calls.", rpc_config_diff, NULL, 0, 0, 0},
	{"config.save", "Write the present configuration to a file, atomically.", "{file}", rpc_config_save,
		save_params, 1, SIZE, 0},
	{"rpc.discover", "Show all methods and their parameters.", "List of methods.", rpc_config_discover, NULL, 0, 0,
		RPC_READ_ONLY},
	{0},
};
