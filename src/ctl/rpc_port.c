// Methods of the noun port. Their parameters are in port_params.c, the rules in model_port.c, texts
// of states in port_json.c.
#include "admit.h"
#include "answer.h"
#include "methods.h"
#include "peer_keys.h"
#include "plane.h"
#include "port_json.h"
#include "port_params.h"
#include "rtvs/log.h"
#include "rtvs/units.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MOVE_MAX_NS UINT64_C(3600000000000)
#define N(table) (sizeof(table) / sizeof((table)[0]))
#define CFG_SIZE sizeof(struct dp_port_cfg)

// Did the caller give the parameter of this name?
static bool
is_given(uint64_t present, const char *name)
{
	for (unsigned i = 0; i < port_params_n; i++)
		if ((present >> i & 1) && strcmp(port_params[i].name, name) == 0)
			return true;
	return false;
}

// Parameters without a meaning for this type or mode of port. Returns -1 with err naming the first
// one.
static int
check_given(uint64_t present, const struct dp_port_cfg *cfg, struct rpc_error *err)
{
	static const char *const listen_only[] = {"socket_mode", "socket_owner", "socket_group"};

	if (rpc_check_kinds(port_params, port_params_n, present, cfg, err))
		return -1;
	for (unsigned i = 0; cfg->vdpa[0] && i < port_params_n; i++) {
		if ((present >> i & 1) && !port_params_is_of_device(&port_params[i], cfg)) {
			rpc_error_set(err, RPC_INVALID_PARAMS, "%s: " DP_OFFLOADED, port_params[i].name, cfg->vdpa);
			return -1;
		}
	}
	for (unsigned i = 0; cfg->vhost_mode != DP_VHOST_LISTEN && i < N(listen_only); i++) {
		if (is_given(present, listen_only[i])) {
			rpc_error_set(err, RPC_INVALID_PARAMS, "%s: only for mode=listen", listen_only[i]);
			return -1;
		}
	}
	if (port_has(cfg->type, PORT_IS_GUEST) && cfg->tso && !cfg->csum) {
		rpc_error_set(err, RPC_INVALID_PARAMS, "tso: needs csum=true (virtio's rule); give tso=false as well");
		return -1;
	}
	return 0;
}

static int
port_refuse(struct rpc_error *err, int rc, const char *text, const char *name)
{
	(void)ctl_refuse(err, rc, text);
	if (err->data)
		(void)json_object_set_new(err->data, "port", json_string(name));
	return -1;
}

// An operator who forces a guarantee finds in the log, too, what cannot be kept.
static void
warn_of_force(const struct plane *plane, const struct dp_port_cfg *cfg)
{
	struct dp_port_cfg strict = *cfg;
	char text[DP_ERR_SIZE];

	strict.force = false;
	if (plane->model == plane->live && cfg->force && admit_check(plane->model, &strict, text))
		log_about(LOG_LEVEL_WARNING,
			LOG_ABOUT(LOG_ID_UNGUARANTEED, {"PORT", cfg->name}, {"DOMAIN", cfg->domain},
				{"BRIDGE", cfg->bridge}),
			"port %s: unguaranteed: %s", cfg->name, text);
}

// Not an error: the port that receives comes and goes as its guest does. It may be a slip, though.
static void
warn_of_mirror(const struct plane *plane, const struct dp_port_cfg *cfg)
{
	if (plane->model == plane->live && cfg->mirror_to[0] && !model_port_find(plane->model, cfg->mirror_to))
		log_about(LOG_LEVEL_WARNING, LOG_ABOUT(NULL, {"PORT", cfg->name}),
			"port %s: there is no port %s: its mirror waits", cfg->name, cfg->mirror_to);
}

// An operator whose guest did not get its guarantee finds the reason in the log, too. A full table
// is -ENOSPC as well.
static void
log_refusal(const struct plane *plane, const struct dp_port_cfg *cfg, int rc)
{
	char text[DP_ERR_SIZE];

	if (rc == -ENOSPC && plane->model == plane->live && admit_check(plane->model, cfg, text) == -ENOSPC)
		log_about(LOG_LEVEL_WARNING,
			LOG_ABOUT(LOG_ID_ADMISSION_REFUSED, {"PORT", cfg->name}, {"DOMAIN", cfg->domain},
				{"BRIDGE", cfg->bridge}),
			"port %s: refused: %s", cfg->name, text);
}

// A tunnel to the same host has its keys already: only peer.reload reads them again.
static int
check_keys(const struct plane *plane, const struct dp_port_cfg *cfg, char text[DP_ERR_SIZE])
{
	const struct model_port *live = plane->live ? model_port_find(plane->live, cfg->name) : NULL;

	if (!cfg->key_file[0] ||
		(live && !strcmp(live->cfg.key_file, cfg->key_file) && !strcmp(live->cfg.uplink, cfg->uplink) &&
			!memcmp(&live->cfg.remote, &cfg->remote, sizeof(cfg->remote))))
		return 0;
	return peer_keys_check(cfg->key_file, text);
}

// A wrong file is most likely the caller's mistake. A file in the configuration was right once. It
// may not keep the daemon, and with it all other ports, from starting, since any node of the
// segment can spoil it.
static int
check_segment(const struct plane *plane, const struct dp_port_cfg *cfg, char text[DP_ERR_SIZE])
{
	return plane->model == plane->live && port_has(cfg->type, PORT_IS_NODE) && cfg->path[0] == '/' ?
		dp_port_check_segment(cfg->path, text) :
		0;
}

static void
set_socket(struct dp_port_cfg *cfg)
{
	if (port_has(cfg->type, PORT_HAS_SOCKET) && !cfg->socket[0])
		(void)snprintf(cfg->socket, sizeof(cfg->socket), PORT_PARAMS_RUN_DIR "/%s.sock", cfg->name);
}

static int
port_add(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct plane *plane = ctx;
	struct dp_port_cfg cfg = *(const struct dp_port_cfg *)params;
	char text[DP_ERR_SIZE] = "";
	int rc;

	(void)ret_result;
	if (check_given(present, &cfg, err) < 0)
		return -1;
	set_socket(&cfg);
	// RFC 8200, section 8.1: other peers drop packets without one
	if (port_has(cfg.type, PORT_IS_TUNNEL) && !is_given(present, "csum"))
		cfg.csum = cfg.remote.is_v6;
	rc = check_keys(plane, &cfg, text);
	if (!rc)
		rc = check_segment(plane, &cfg, text);
	if (!rc)
		rc = model_port_add(plane->model, &cfg, text);
	if (!rc) {
		warn_of_force(plane, &cfg);
		warn_of_mirror(plane, &cfg);
	}
	log_refusal(plane, &cfg, rc);
	return rc < 0 ? port_refuse(err, rc, text, cfg.name) : 0;
}

static int
port_set(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct plane *plane = ctx;
	const struct dp_port_cfg *p = params;
	const struct model_port *port = model_port_find(plane->model, p->name);
	struct dp_port_cfg cfg = port ? port->cfg : *p;
	char text[DP_ERR_SIZE] = "";
	int rc;

	(void)ret_result;
	if (!port)
		return ctl_refuse_name(err, -ENOENT, "port", p->name);
	ctl_merge(port_params, port_params_n, present, p, &cfg);
	if (check_given(present, &cfg, err) < 0 || rpc_check_fixed(port_params, port_params_n, &port->cfg, &cfg, err))
		return -1;
	// An access port has no trunk, and the caller need not say so.
	if (cfg.vlan_mode == DP_VLAN_ACCESS && !is_given(present, "trunk"))
		memset(&cfg.trunk, 0, sizeof(cfg.trunk));
	// A call that repeats the present state disturbs no guest.
	if (port_params_is_same(&port->cfg, &cfg))
		return 0;
	rc = check_keys(plane, &cfg, text);
	if (!rc)
		rc = model_port_set(plane->model, &cfg, text);
	if (!rc) {
		warn_of_force(plane, &cfg);
		warn_of_mirror(plane, &cfg);
	}
	log_refusal(plane, &cfg, rc);
	return rc < 0 ? port_refuse(err, rc, text, cfg.name) : 0;
}

// Names of parameters that differ.
static json_t *
changes(const struct dp_port_cfg *from, const struct dp_port_cfg *to)
{
	json_t *list = json_array();

	for (unsigned i = 1; i < port_params_n; i++) {
		json_t *a = rpc_encode_value(&port_params[i], from), *b = rpc_encode_value(&port_params[i], to);

		if (!json_equal(a, b))
			(void)json_array_append_new(list, json_string(port_params[i].name));
		json_decref(a);
		json_decref(b);
	}
	return list;
}

// The same parameters as port.add; of a port that exists, those not given are its own.
static int
admission_check_cfg(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct plane *plane = ctx;
	const struct dp_port_cfg *p = params;
	const struct model_port *port = model_port_find(plane->model, p->name);
	struct dp_port_cfg cfg = port ? port->cfg : *p;
	char text[DP_ERR_SIZE] = "";
	int rc;

	if (port)
		ctl_merge(port_params, port_params_n, present, p, &cfg);
	if (check_given(present, &cfg, err) < 0)
		return -1;
	set_socket(&cfg);
	rc = model_port_check(plane->model, &cfg, text);
	if (rc < 0 && rc != -ENOSPC)
		return port_refuse(err, rc, text, cfg.name);
	return ctl_answer(ret_result,
		json_pack("{s:b, s:s, s:o}", "fits", rc == 0, "why", text, "changes",
			port ? changes(&port->cfg, &cfg) : json_array()),
		err);
}

static int
port_del(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct plane *plane = ctx;
	const struct dp_port_cfg *p = params;
	char text[DP_ERR_SIZE] = "";
	int rc = model_port_del(plane->model, p->name, text);

	(void)present;
	(void)ret_result;
	return rc < 0 ? port_refuse(err, rc, text, p->name) : 0;
}

struct move_params {
	char name[RTVS_NAME_SIZE];
	uint64_t for_ns;
};

static int
port_move(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct plane *plane = ctx;
	const struct move_params *p = params;
	const struct model_port *port = model_port_find(plane->model, p->name);
	int rc;

	(void)present;
	(void)ret_result;
	if (!port)
		return ctl_refuse_name(err, -ENOENT, "port", p->name);
	rc = dp_port_move(plane->dp, port->id, p->for_ns);
	return rc < 0 ? port_refuse(err, rc, "name: only a port with type=vhost, mode=listen and no vdpa can be moved",
				p->name) :
			0;
}

// The port's promises, and whether they can be kept: its conforming packets have left after `bound`
// at most.
static void
set_guarantee(const struct plane *plane, const struct dp_port_cfg *cfg, json_t *object)
{
	bool is_broken = cfg->force && admit_is_broken(plane->model, cfg);
	char bound[UNITS_TEXT_SIZE];

	(void)json_object_set_new(object, "guarantee",
		json_string(!cfg->min_rate_bps && !cfg->deadline_ns ? "none" :
				is_broken			    ? "unguaranteed" :
								      "kept"));
	if (cfg->min_rate_bps && !is_broken)
		(void)json_object_set_new(object, "bound", json_string(units_format_time(admit_bound_ns(cfg), bound)));
}

static json_t *
port_json(const struct plane *plane, const struct model_port *port)
{
	json_t *object = port_json_summary(plane->dp, port);
	json_t *config = json_object(), *state;

	for (unsigned i = 1; i < port_params_n; i++)
		(void)json_object_set_new(config, port_params[i].name, rpc_encode_value(&port_params[i], &port->cfg));
	set_guarantee(plane, &port->cfg, object);
	(void)json_object_set_new(object, "config", config);
	state = port_json_state(plane->dp, port);
	if (port->cfg.mirror_to[0])
		(void)json_object_set_new(state, "mirror",
			json_string(
				model_port_find(plane->model, port->cfg.mirror_to) ? "active" : "waits for its port"));
	(void)json_object_set_new(object, "state", state);
	(void)json_object_set_new(object, "stats", port_json_stats(plane->dp, port));
	(void)json_object_set_new(object, "rules", json_integer(port->n_rules));
	if (port->cfg.device[0])
		(void)json_object_set_new(object, "device_stats", port_json_device_stats(plane->dp, port));
	(void)json_object_set_new(object, "held_back_by", port_json_holds(plane->dp, plane->model, port, false));
	(void)json_object_set_new(object, "holds_back", port_json_holds(plane->dp, plane->model, port, true));
	return object;
}

static int
port_list(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct plane *plane = ctx;
	json_t *list = json_array();

	(void)params;
	(void)present;
	(void)dp_stats_refresh(plane->dp);
	for (unsigned i = 0; i < plane->model->n_ports; i++)
		(void)json_array_append_new(list, port_json(plane, plane->model->ports[i]));
	return ctl_answer(ret_result, list, err);
}

static int
port_show(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct plane *plane = ctx;
	const struct dp_port_cfg *p = params;
	const struct model_port *port = model_port_find(plane->model, p->name);
	char least[UNITS_TEXT_SIZE];
	uint64_t least_ns;
	json_t *object;

	(void)present;
	if (!port)
		return ctl_refuse_name(err, -ENOENT, "port", p->name);
	(void)dp_stats_refresh(plane->dp);
	object = port_json(plane, port);
	least_ns = port->cfg.min_rate_bps && json_object_get(object, "bound") ?
		admit_floor_ns(plane->model, &port->cfg) :
		0;
	if (least_ns)
		(void)json_object_set_new(object, "least_bound", json_string(units_format_time(least_ns, least)));
	return ctl_answer(ret_result, object, err);
}

// clang-format off
static const struct rpc_param move_params[] = {
	RPC_PARAM(struct move_params, name, RPC_NAME, .is_required = true, .is_key = true, .min = 1, .max = RTVS_NAME_SIZE - 1,
		.help = "name of the port"),
	RPC_PARAM_AS("for", struct move_params, for_ns, RPC_TIME, .min = 1000000000, .max = MOVE_MAX_NS, .def = "60s",
		.help = "how long the other process has to connect"),
};
// clang-format on

const struct rpc_method rpc_port_methods[] = {
	{"port.add",
		"Make a port. Without bridge= the port belongs to none and forwards nothing until port.set sets one.",
		"true", port_add, port_params, 0, CFG_SIZE, RPC_CONFIG},
	{"port.set", "Change a port; missing parameters stay. A change of the bridge removes its static MACs.", "true",
		port_set, port_params, 0, CFG_SIZE, RPC_CONFIG | RPC_CHANGE},
	{"port.del",
		"Remove a port and its static MACs. What waits for it leaves for up to 100 ms, then its device is "
		"closed.",
		"true", port_del, port_params, 1, CFG_SIZE, RPC_CONFIG},
	{"port.move",
		"A guest moves to another process: let a second process connect to the port's socket. The process "
		"whose driver is ready last gets the packets, which wait in between.",
		"true", port_move, move_params, N(move_params), sizeof(struct move_params), 0},
	{"port.list", "Show all ports.", "List of results of port.show.", port_list, NULL, 0, 0, RPC_READ_ONLY},
	{"port.show", "Show one port.",
		"Its summary, config (parameters of port.add), state, stats and the number of its rules; held_back_by: "
		"the slower ports for "
		"which it had to wait, holds_back: the ports that waited for it, each with held_ns. bound: the "
		"promised deadline; least_bound: the shortest that admission could promise, all else being equal.",
		port_show, port_params, 1, CFG_SIZE, RPC_READ_ONLY},
	{"admission.check", "Ask whether a port, or a change of one, could be guaranteed; nothing is changed.",
		"{fits, why, changes}: why names the egress port, the time that fails and what would fit; changes are "
		"the parameters in which an existing port differs.",
		admission_check_cfg, port_params, 0, CFG_SIZE, RPC_READ_ONLY},
	{0},
};
