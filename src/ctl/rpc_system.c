// Methods of the nouns system and log. system.init is for the configuration file only: it is read before the datapath
// starts, on top of the command line.
#include "rpc_system.h"

#include "answer.h"
#include "ctl.h"
#include "ctl_clock.h"
#include "methods.h"
#include "rtvs/geneve.h"
#include "rtvs/log.h"
#include "rtvs/units.h"

#include <string.h>
#include <unistd.h>

#define P(member, type, ...) RPC_PARAM(struct dp_system_cfg, member, type, __VA_ARGS__)
#define PAS(json_name, member, type, ...) RPC_PARAM_AS(json_name, struct dp_system_cfg, member, type, __VA_ARGS__)
// No defaults in the table: what is not given comes from the command line, or stays.
// clang-format off
#define SET_PARAMS \
	P(idle, RPC_ENUM, .names = dp_idle_names, .help = "busy: workers never sleep; adaptive: after idle_after without work"), \
	PAS("idle_after", idle_ns, RPC_TIME, .min = 1000, .max = 1000000000, .help = "adaptive: time without work before a sleep"), \
	P(dscp_classes, RPC_STR, .max = DSCP_TEXT_SIZE - 1, \
		.help = "DSCPs of deadlines up to a time (\"1ms:ef,10ms:af41\"), for ports with dscp=deadline; empty: none")
static const struct rpc_param init_params[] = {
	P(workers, RPC_CPUS, .help = "CPUs of the datapath, one worker each; empty: the last one it may use"),
	PAS("memory", memory_bytes, RPC_SIZE, .max = UINT64_C(1) << 40, .help = "packet memory; 0: what the buffers need"),
	PAS("buffers", n_mbufs, RPC_UINT, .min = 1024, .max = 1u << 24, .help = "packet buffers of 2 KiB for all ports"),
	P(hugepages, RPC_BOOL, .help = "use hugepages when the machine has free ones"),
	P(option_class, RPC_UINT, .min = GENEVE_CLASS_MIN, .max = UINT16_MAX,
		.help = "Geneve option class of tunnels' timestamps, of those for experiments (RFC 8926); the same on all hosts"),
	P(eal, RPC_STR, .max = RTVS_DEVARGS_SIZE - 1, .help = "further arguments for DPDK, separated by spaces"),
	SET_PARAMS,
};
// clang-format on
static const struct rpc_param set_params[] = {SET_PARAMS};
#define N(table) (sizeof(table) / sizeof((table)[0]))
#define N_FIXED (N(init_params) - N(set_params))

struct log_params {
	uint32_t level;
};

static const struct rpc_param log_params[] = {
	RPC_PARAM(struct log_params, level, RPC_ENUM, .names = log_level_names, .is_required = true, .is_key = true,
		.help = "lines of this level and worse are written"),
};

bool
rpc_system_is_settable(const struct dp_system_cfg *from, const struct dp_system_cfg *to)
{
	return rpc_is_same(init_params, N_FIXED, from, to);
}

bool
rpc_system_is_same(const struct dp_system_cfg *a, const struct dp_system_cfg *b)
{
	return rpc_is_same(set_params, N(set_params), a, b);
}

json_t *
rpc_system_encode(const struct dp_system_cfg *cfg)
{
	json_t *object = json_object();

	for (unsigned i = 0; i < N(init_params); i++)
		(void)json_object_set_new(object, init_params[i].name, rpc_encode_value(&init_params[i], cfg));
	return object;
}

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
	struct ctl *ctl = ctx;

	(void)ret_result;
	ctl_merge(init_params, N(init_params), present, params, &ctl->model->system);
	return normalize_classes(&ctl->model->system, err);
}

static int
system_set(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct ctl *ctl = ctx;
	struct dp_system_cfg cfg = ctl->model->system;
	char text[DP_ERR_SIZE] = "";
	int rc;

	(void)ret_result;
	ctl_merge(set_params, N(set_params), present, params, &cfg);
	if (normalize_classes(&cfg, err) < 0)
		return -1;
	rc = model_system_set(ctl->model, &cfg, text);
	return rc < 0 ? ctl_refuse(err, rc, text) : 0;
}

static int
system_stop(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct ctl *ctl = ctx;

	(void)params;
	(void)present;
	(void)ret_result;
	(void)err;
	ctl->is_stopping = true;
	return 0;
}

static int
log_set(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct ctl *ctl = ctx;
	const struct log_params *p = params;

	(void)present;
	(void)ret_result;
	(void)err;
	model_log_set(ctl->model, p->level);
	return 0;
}

static json_t *
datapath_json(const struct ctl *ctl)
{
	struct dp_system_info info = {0};
	const struct dp_system_cfg *cfg = &ctl->model->system;
	char time[UNITS_TEXT_SIZE];

	dp_system_info(ctl->dp, &info);
	return json_pack("{s:s, s:i, s:s, s:s, s:s, s:I, s:I, s:I, s:i, s:i, s:I, s:I}", "dpdk", info.dpdk_version,
		"workers", (int)dp_n_workers(ctl->dp), "idle", dp_idle_names[cfg->idle], "idle_after",
		units_format_time(cfg->idle_ns, time), "dscp_classes", cfg->dscp_classes, "page_bytes",
		(json_int_t)info.page_size, "memory_bytes", (json_int_t)info.memory_bytes, "memory_free_bytes",
		(json_int_t)info.memory_free_bytes, "buffers", (int)info.n_mbufs, "buffers_free",
		(int)info.n_mbufs_free, "log_errors", (json_int_t)info.log_errors, "bus_errors",
		(json_int_t)info.bus_errors);
}

static json_t *
control_json(const struct ctl *ctl)
{
	const struct server_stats *stats = &ctl->server.stats;
	uint64_t n_calls = stats->n_calls, n_errors = stats->n_errors;

	for (const struct server_client *c = ctl->server.clients; c; c = c->next) {
		n_calls += c->session.n_calls;
		n_errors += c->session.n_errors;
	}
	return json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "clients", (int)ctl->server.n_clients, "accepted",
		(json_int_t)stats->n_accepted, "refused", (json_int_t)stats->n_refused, "evicted",
		(json_int_t)stats->n_evicted, "slow", (json_int_t)stats->n_slow, "too_long",
		(json_int_t)stats->n_too_long, "calls", (json_int_t)n_calls, "errors", (json_int_t)n_errors);
}

static int
system_info(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct ctl *ctl = ctx;
	char uptime[UNITS_TEXT_SIZE];
	// Whole seconds: this is for people.
	uint64_t uptime_ns = (ctl_now_ns() - ctl->start_ns) / 1000000000u * 1000000000u;

	(void)params;
	(void)present;
	return ctl_answer(ret_result,
		json_pack("{s:s, s:i, s:s, s:i, s:i, s:o, s:o, s:o}", "version", ctl->params.version, "pid",
			(int)getpid(), "uptime", units_format_time(uptime_ns, uptime), "bridges",
			(int)ctl->model->n_bridges, "ports", (int)ctl->model->n_ports, "saved", saved_json(ctl),
			"datapath", datapath_json(ctl), "control", control_json(ctl)),
		err);
}

#define SIZE sizeof(struct dp_system_cfg)
const struct rpc_method rpc_system_methods[] = {
	{"system.info", "Show the daemon: version, memory, workers, clients.",
		"{version, pid, uptime, bridges, ports, saved: whether the --config file says what runs (null: there "
		"is no file), "
		"datapath, control}.",
		system_info, NULL, 0, 0, RPC_READ_ONLY},
	{"system.init", "Set what is fixed while the daemon runs; what is not given comes from the command line.",
		"true", system_init, init_params, N(init_params), SIZE, RPC_STARTUP | RPC_CONFIG | RPC_CHANGE},
	{"system.set", "Change the idle policy or the DSCPs of deadlines; what is not given stays.", "true", system_set,
		set_params, N(set_params), SIZE, RPC_CONFIG | RPC_CHANGE},
	{"system.stop", "Stop the daemon.", "true; the connection ends.", system_stop, NULL, 0, 0, 0},
	{"log.set", "Set the level of the log.", "true", log_set, log_params, 1, sizeof(struct log_params), RPC_CONFIG},
	{0},
};
