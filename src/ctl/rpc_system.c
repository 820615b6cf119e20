// Methods of the nouns system and log. system.init is for the configuration file only: it is read
// before the datapath starts, on top of the command line.
#include "rpc_system.h"

#include "answer.h"
#include "ctl_clock.h"
#include "methods.h"
#include "rtvs/log.h"
#include "rtvs/units.h"
#include "running.h"
#include "saved.h"
#include "server.h"
#include "system_params.h"
#include "upgrade.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define N(table) (sizeof(table) / sizeof((table)[0]))

struct log_params {
	uint32_t level;
};

struct upgrade_params {
	char binary[RTVS_PATH_SIZE];
};

static const struct rpc_param upgrade_params[] = {
	RPC_PARAM(struct upgrade_params, binary, RPC_STR, .def = "",
		.help = "the program that takes over, an absolute path; default: the file that the daemon was started "
			"from"),
};

static const struct rpc_param log_params[] = {
	RPC_PARAM(struct log_params, level, RPC_ENUM, .names = log_level_names, .is_required = true, .is_key = true,
		.help = "lines of this level and worse are written"),
};

// The table of classes as dscp_format writes it, so that equal tables are equal texts.
static int
normalize_classes(struct dp_system_cfg *cfg, struct rpc_error *err)
{
	struct dscp_table table;
	char text[DSCP_ERR_SIZE];

	if (dscp_parse(cfg->dscp_classes, &table, text) < 0) {
		rpc_error_set(err, RPC_INVALID_PARAMS, "dscp_classes: %s", text);
		return -1;
	}
	dscp_format(&table, cfg->dscp_classes);
	return 0;
}

static int
system_init(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct rpc_system *system = ctx;

	(void)ret_result;
	ctl_merge(system_params_init, N(system_params_init), present, params, &system->plane->model->system);
	return normalize_classes(&system->plane->model->system, err);
}

static int
system_set(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct rpc_system *system = ctx;
	struct dp_system_cfg cfg = system->plane->model->system;
	char text[DP_ERR_SIZE] = "";
	int rc;

	(void)ret_result;
	ctl_merge(system_params_set, N(system_params_set), present, params, &cfg);
	if (normalize_classes(&cfg, err) < 0)
		return -1;
	rc = model_system_set(system->plane->model, &cfg, text);
	return rc < 0 ? ctl_refuse(err, rc, text) : 0;
}

static int
system_stop(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct rpc_system *system = ctx;

	(void)params;
	(void)present;
	(void)ret_result;
	(void)err;
	system->is_stopping = true;
	return 0;
}

static int
system_upgrade(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct rpc_system *system = ctx;
	const struct upgrade_params *p = params;
	char text[DP_ERR_SIZE] = "";
	json_t *result = NULL;
	int64_t uid;
	int rc;

	(void)present;
	if (p->binary[0] && p->binary[0] != '/') {
		rpc_error_set(err, RPC_INVALID_PARAMS, "binary: '%.200s' must be an absolute path", p->binary);
		return -1;
	}
	// A member of the sockets' group may control the switch, not run programs.
	uid = server_caller_uid(system->server);
	if (p->binary[0] && uid != 0 && uid != (int64_t)geteuid()) {
		rpc_error_errno(err, -EPERM, "binary: only root and the daemon's own user may name a program");
		return -1;
	}
	rc = upgrade_run(system->ctl, p->binary, &result, text);
	return rc < 0 ? ctl_refuse(err, rc, text) : ctl_answer(ret_result, result, err);
}

static int
log_set(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct rpc_system *system = ctx;
	const struct log_params *p = params;

	(void)present;
	(void)ret_result;
	(void)err;
	model_log_set(system->plane->model, p->level);
	return 0;
}

static json_t *
datapath_json(const struct rpc_system *system)
{
	struct dp_system_info info = {0};
	const struct dp_system_cfg *cfg = &system->plane->model->system;
	char time[UNITS_TEXT_SIZE];

	dp_system_info(system->plane->dp, &info);
	return json_pack("{s:s, s:i, s:s, s:s, s:s, s:I, s:I, s:I, s:i, s:i, s:I, s:I}", "dpdk", info.dpdk_version,
		"workers", (int)dp_n_workers(system->plane->dp), "idle", dp_idle_names[cfg->idle], "idle_after",
		units_format_time(cfg->idle_ns, time), "dscp_classes", cfg->dscp_classes, "page_bytes",
		(json_int_t)info.page_size, "memory_bytes", (json_int_t)info.memory_bytes, "memory_free_bytes",
		(json_int_t)info.memory_free_bytes, "buffers", (int)info.n_mbufs, "buffers_free",
		(int)info.n_mbufs_free, "log_errors", (json_int_t)info.log_errors, "bus_errors",
		(json_int_t)info.bus_errors);
}

static json_t *
control_json(const struct server *server)
{
	struct server_stats s = server_stats(server);

	return json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "clients", (int)server->n_clients, "accepted",
		(json_int_t)s.n_accepted, "refused", (json_int_t)s.n_refused, "evicted", (json_int_t)s.n_evicted,
		"slow", (json_int_t)s.n_slow, "too_long", (json_int_t)s.n_too_long, "calls", (json_int_t)s.n_calls,
		"errors", (json_int_t)s.n_errors);
}

static int
system_info(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct rpc_system *system = ctx;
	char uptime[UNITS_TEXT_SIZE];
	// Whole seconds: this is for people.
	uint64_t uptime_ns = (ctl_now_ns() - system->start_ns) / 1000000000u * 1000000000u;

	(void)params;
	(void)present;
	return ctl_answer(ret_result,
		json_pack("{s:s, s:i, s:s, s:i, s:i, s:o, s:o, s:o, s:o}", "version", system->version, "pid",
			(int)getpid(), "uptime", units_format_time(uptime_ns, uptime), "bridges",
			(int)system->plane->model->n_bridges, "ports", (int)system->plane->model->n_ports, "saved",
			saved_json(system->ctl), "running", running_json(system->running), "datapath",
			datapath_json(system), "control", control_json(system->server)),
		err);
}

#define SIZE sizeof(struct dp_system_cfg)
const struct rpc_method rpc_system_methods[] = {
	{"system.info", "Show the daemon: version, memory, workers, clients.",
		"{version, pid, uptime, bridges, ports, saved: whether the --config file has the running configuration "
		"(null: there is no file), running: the source of the configuration at the start (kept, saved, empty), "
		"whether it is kept for the next start, the error if it is not, failures to keep it, calls refused at "
		"the start, datapath, control}.",
		system_info, NULL, 0, 0, RPC_READ_ONLY},
	{"system.init",
		"Set the values that are fixed while the daemon runs; missing parameters come from the command line.",
		"true", system_init, system_params_init, N(system_params_init), SIZE,
		RPC_STARTUP | RPC_CONFIG | RPC_CHANGE},
	{"system.set", "Change the idle policy or the DSCPs of deadlines; missing parameters stay.", "true", system_set,
		system_params_set, N(system_params_set), SIZE, RPC_CONFIG | RPC_CHANGE},
	{"system.stop", "Stop the daemon.", "true; the connection ends.", system_stop, NULL, 0, 0, 0},
	{"system.upgrade",
		"Start the program anew beside the daemon and hand everything over to it; guests keep their links, and "
		"nothing is lost. If it fails, the daemon goes on.",
		"{pid and version of the new process, gap: how long packets waited, gap_ns, and the parts: started, "
		"sent, stopped, taken}.",
		system_upgrade, upgrade_params, 1, sizeof(struct upgrade_params), 0},
	{"log.set", "Set the level of the log.", "true", log_set, log_params, 1, sizeof(struct log_params), RPC_CONFIG},
	{0},
};
