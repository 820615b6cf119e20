// Methods of the noun port. One table of parameters makes port.add, port.set, what port.show prints and config.dump;
// what is fixed for a port's life is in port.add only. The rules are in model.c, texts of states in port_json.c.
#include "rpc_port.h"

#include "admit.h"
#include "answer.h"
#include "ctl.h"
#include "methods.h"
#include "port_json.h"
#include "rtvs/log.h"
#include "rtvs/units.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MOVE_MAX_NS UINT64_C(3600000000000)
#define RUN_DIR "/run/rtvswitch"
#define P(member, type, ...) RPC_PARAM(struct dp_port_cfg, member, type, __VA_ARGS__)
#define PAS(json_name, member, type, ...) RPC_PARAM_AS(json_name, struct dp_port_cfg, member, type, __VA_ARGS__)
// clang-format off
#define PORT_KEY \
	P(name, RPC_NAME, .is_required = true, .is_key = true, .min = 1, .max = RTVS_NAME_SIZE - 1, .help = "name of the port")
#define PORT_FIXED_PARAMS \
	P(type, RPC_ENUM, .names = dp_port_type_names, .def = "vhost", \
		.help = "vhost: a guest's vhost-user socket; ethdev: a DPDK device; geneve: a tunnel to another host; segment: Ethernet over shared memory"), \
	P(socket, RPC_STR, .max = RTVS_PATH_SIZE - 1, .help = "vhost: path of the socket; " RUN_DIR "/NAME.sock when not given"), \
	PAS("mode", vhost_mode, RPC_ENUM, .names = dp_vhost_mode_names, .def = "listen", \
		.help = "vhost: listen makes the socket, connect waits for QEMU's (server=on)"), \
	P(socket_mode, RPC_OCTAL, .max = 0777, .def = "0660", .help = "vhost, mode=listen: permissions of the socket file"), \
	P(socket_owner, RPC_STR, .max = RTVS_NAME_SIZE - 1, .help = "vhost, mode=listen: user who owns the socket file"), \
	P(socket_group, RPC_STR, .max = RTVS_NAME_SIZE - 1, .help = "vhost, mode=listen: group of the socket file"), \
	P(packed, RPC_BOOL, .def = "true", .help = "vhost: offer packed rings"), \
	P(csum, RPC_BOOL, .def = "true", .help = "vhost: offer checksum offload; geneve: UDP checksums outside; when not given true over IPv6, false over IPv4"), \
	P(tso, RPC_BOOL, .def = "true", .help = "vhost: offer segmentation offload; needs csum"), \
	P(devargs, RPC_STR, .max = RTVS_DEVARGS_SIZE - 1, \
		.help = "ethdev: DPDK's name of the device (\"0000:01:00.0\", \"net_tap0,iface=t0\")"), \
	P(path, RPC_STR, .max = RTVS_PATH_SIZE - 1, \
		.help = "segment: its file (\"/dev/shm/NAME\"), made by rtvs-vni create; where there is none yet the port waits for it"), \
	P(uplink, RPC_NAME, .max = RTVS_NAME_SIZE - 1, .help = "geneve: port that it goes through, which has an address"), \
	P(remote, RPC_ADDR, .help = "geneve: address of the other host on the underlay"), \
	P(vni, RPC_UINT, .max = DP_VNI_MAX, .def = "0", .help = "geneve: virtual network, as the other host has it"), \
	P(timestamps, RPC_BOOL, .def = "true", .help = "geneve: packets say when they left and what deadline they have"), \
	PAS("queues", n_queues, RPC_UINT, .min = 1, .max = DP_MAX_QUEUES, .def = "1", .help = "queue pairs at most")
#define PORT_PARAMS \
	P(prewake, RPC_BOOL, .def = "false", \
		.help = "vhost: kick a guest that sleeps ahead of a packet that waits, by half of what its waking takes"), \
	P(bridge, RPC_NAME, .max = RTVS_NAME_SIZE - 1, .help = "bridge it belongs to; empty: none, it forwards nothing"), \
	P(admin_up, RPC_BOOL, .def = "true", .help = "false: the socket is closed or the device stopped"), \
	P(mtu, RPC_UINT, .min = DP_MTU_MIN, .max = DP_MTU_MAX, .def = "1500", .help = "largest IP packet in bytes, as Linux counts"), \
	P(vlan_mode, RPC_ENUM, .names = dp_vlan_mode_names, .def = "access", \
		.help = "access: untagged frames only, all in `vlan`; trunk: tagged with a VLAN of `trunk`"), \
	P(vlan, RPC_UINT, .max = RTVS_VLAN_MAX, .def = "0", \
		.help = "VLAN of untagged frames; 0: access: the bridge's untagged VLAN, trunk: they are refused"), \
	P(trunk, RPC_VLANS, .help = "trunk: VLANs it carries (\"1,5,100-200\"); empty: all"), \
	P(address, RPC_ADDR, \
		.help = "own address on the underlay, with its prefix length: tunnels go through this port; empty: none do"), \
	P(gateway, RPC_ADDR, .help = "with address: router to hosts outside of its prefix"), \
	P(key_file, RPC_STR, .max = RTVS_PATH_SIZE - 1, \
		.help = "geneve: keys shared with the daemon there, one or two lines \"NUMBER HEX\"; empty: it is not talked to"), \
	P(clock, RPC_ENUM, .names = dp_clock_names, .def = "system", \
		.help = "geneve: system: both hosts have theirs from PTP or NTP; peer: the daemons measure how far they are apart"), \
	P(ignore_options, RPC_STR, .max = GENEVE_IGNORE_TEXT - 1, \
		.help = "geneve: critical options that are accepted unread, CLASS[/TYPE],... (\"0x102/0x80\": OVN's)"), \
	PAS("probe", probe_ns, RPC_TIME, .max = PROBES_MAX_NS, .def = "0", \
		.help = "geneve: how often flows with a deadline that send nothing are probed (STAMP, RFC 8762); 0: never, or from 100ms"), \
	P(stamp, RPC_BOOL, .def = "false", .help = "with address: answer STAMP test packets (RFC 8762)"), \
	P(allowed_macs, RPC_MACS, .max = RTVS_MAX_MACS, .help = "source MACs it may use; empty: any"), \
	P(allowed_ips, RPC_PREFIXES, .max = RTVS_MAX_PREFIXES, .help = "source addresses or prefixes it may use; empty: any"), \
	P(isolated, RPC_BOOL, .def = "false", .help = "exchanges nothing with other isolated ports of its bridge"), \
	P(forwards_reserved, RPC_BOOL, .def = "false", \
		.help = "exchanges frames to 01:80:c2:00:00:0x (STP, LACP, 802.1X, LLDP; no PAUSE) with other ports that do"), \
	P(mac_limit, RPC_UINT, .max = 1048576, .def = "0", .help = "MACs learned from it at most; 0: only the bridge's limit"), \
	PAS("flood_rate", flood_pps, RPC_UINT, .max = UINT32_MAX, .def = "0", \
		.help = "broadcast, multicast and unknown unicast packets it may send a second; 0: no limit"), \
	P(mirror_to, RPC_NAME, .max = RTVS_NAME_SIZE - 1, .help = "port that receives a copy of its packets, whenever there is one of that name; empty: none"), \
	P(mirror, RPC_ENUM, .names = dp_mirror_dir_names, .def = "none", \
		.help = "what is copied, as the port sees it: rx was taken from it, tx given to it"), \
	PAS("deadline", deadline_ns, RPC_TIME, .max = DP_DEADLINE_MAX_NS, .def = "0", \
		.help = "what it sends shall have left this long after it came; 0: no deadline"), \
	PAS("min_rate", min_rate_bps, RPC_RATE, .max = DP_RATE_MAX, .def = "0", \
		.help = "guaranteed to what it sends, at every egress port; 0 or from 8kbit"), \
	PAS("burst", burst_bytes, RPC_SIZE, .max = DP_BURST_MAX, .def = "15kB", \
		.help = "bytes that may come at once within min_rate, and max_rate; a frame of its mtu at least, tags and tunnel headers count"), \
	PAS("max_rate", max_rate_bps, RPC_RATE, .max = DP_RATE_MAX, .def = "0", \
		.help = "taken from it at most; 0: no limit, or from 8kbit"), \
	P(weight, RPC_UINT, .min = 1, .max = DP_WEIGHT_MAX, .def = "1", .help = "its share of what guarantees leave of an egress port"), \
	P(late, RPC_ENUM, .names = dp_late_names, .def = "send", .help = "what becomes of its packets whose deadline has passed"), \
	P(feedback, RPC_ENUM, .names = dp_feedback_names, .def = "act", \
		.help = "when another host's daemon says that its packets come late: act: leave sooner, then with a higher DSCP"), \
	P(domain, RPC_STR, .max = DP_DOMAIN_SIZE - 1, .help = "virtual machine that it belongs to, as libvirt has it"), \
	P(domain_uuid, RPC_NAME, .max = DP_UUID_SIZE - 1, \
		.help = "UUID of that, when libvirt's hook makes and removes the port; empty: nobody but you"), \
	P(force, RPC_BOOL, .def = "false", .help = "take its guarantee though an egress port may not be able to keep it"), \
	P(queue, RPC_UINT, .min = DP_QUEUE_MIN, .max = DP_QUEUE_MAX, .def = "512", \
		.help = "packets of it that wait at one egress port at most, in no more than system buffers / 16 / workers; a device with a rate holds a guest back from half of either on, up to 100 ms"), \
	PAS("rate", rate_bps, RPC_RATE, .max = DP_RATE_MAX, .def = "0", \
		.help = "egress rate: what the port is given; 0: as much as it takes, or from 8kbit"), \
	P(dscp, RPC_ENUM, .names = dp_dscp_names, .def = "keep", \
		.help = "DSCP of what the port is given: keep, or that of the sender's deadline (system.set dscp_classes)")
// clang-format on

static const struct rpc_param add_params[] = {PORT_KEY, PORT_FIXED_PARAMS, PORT_PARAMS};
static const struct rpc_param set_params[] = {PORT_KEY, PORT_PARAMS};
static const struct rpc_param fixed_params[] = {PORT_FIXED_PARAMS};
#define N(table) (sizeof(table) / sizeof((table)[0]))
#define CFG_SIZE sizeof(struct dp_port_cfg)

bool
rpc_port_is_settable(const struct dp_port_cfg *from, const struct dp_port_cfg *to)
{
	return rpc_is_same(fixed_params, N(fixed_params), from, to);
}

bool
rpc_port_is_same(const struct dp_port_cfg *a, const struct dp_port_cfg *b)
{
	return rpc_is_same(add_params, N(add_params), a, b);
}

json_t *
rpc_port_encode(const struct dp_port_cfg *cfg)
{
	json_t *object = rpc_encode(add_params, N(add_params), cfg);

	// Left out is what port_add makes of it.
	if (object && cfg->type == DP_PORT_GENEVE) {
		(void)json_object_del(object, "csum");
		if (cfg->csum != cfg->remote.is_v6)
			(void)json_object_set_new(object, "csum", json_boolean(cfg->csum));
	}
	return object;
}

// Did the caller give the parameter of this name?
static bool
is_given(const struct rpc_param *params, unsigned n, uint64_t present, const char *name)
{
	for (unsigned i = 0; i < n; i++)
		if ((present >> i & 1) && strcmp(params[i].name, name) == 0)
			return true;
	return false;
}

// Parameters that mean nothing to this type or mode of port. Returns -1 with err naming the first one given.
static int
check_given(uint64_t present, const struct dp_port_cfg *cfg, struct rpc_error *err)
{
	static const struct {
		const char *name;
		uint32_t types; // bit per enum dp_port_type
		const char *only;
	} rules[] = {
		{"socket", 1 << DP_PORT_VHOST, "type=vhost"},
		{"mode", 1 << DP_PORT_VHOST, "type=vhost"},
		{"packed", 1 << DP_PORT_VHOST, "type=vhost"},
		{"tso", 1 << DP_PORT_VHOST, "type=vhost"},
		{"csum", 1 << DP_PORT_VHOST | 1 << DP_PORT_GENEVE, "type=vhost and type=geneve"},
		{"uplink", 1 << DP_PORT_GENEVE, "type=geneve"},
		{"remote", 1 << DP_PORT_GENEVE, "type=geneve"},
		{"vni", 1 << DP_PORT_GENEVE, "type=geneve"},
		{"timestamps", 1 << DP_PORT_GENEVE, "type=geneve"},
		{"path", 1 << DP_PORT_SEGMENT, "type=segment"},
	};
	static const char *const listen_only[] = {"socket_mode", "socket_owner", "socket_group"};
	bool is_vhost = cfg->type == DP_PORT_VHOST;

	for (unsigned i = 0; i < N(listen_only); i++) {
		if ((is_vhost && cfg->vhost_mode == DP_VHOST_LISTEN) ||
			!is_given(add_params, N(add_params), present, listen_only[i]))
			continue;
		rpc_error_set(err, RPC_INVALID_PARAMS, "%s: only for type=vhost with mode=listen", listen_only[i]);
		return -1;
	}
	for (unsigned i = 0; i < N(rules); i++) {
		if ((rules[i].types >> cfg->type & 1) || !is_given(add_params, N(add_params), present, rules[i].name))
			continue;
		rpc_error_set(err, RPC_INVALID_PARAMS, "%s: only for %s", rules[i].name, rules[i].only);
		return -1;
	}
	if (is_vhost && cfg->tso && !cfg->csum) {
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

// Who forces a guarantee shall read in the log, too, what cannot be kept.
static void
warn_of_force(const struct ctl *ctl, const struct dp_port_cfg *cfg)
{
	struct dp_port_cfg strict = *cfg;
	char text[DP_ERR_SIZE];

	strict.force = false;
	if (ctl->model == ctl->live && cfg->force && admit_check(ctl->model, &strict, text))
		log_about(LOG_LEVEL_WARNING,
			LOG_ABOUT(LOG_ID_UNGUARANTEED, {"PORT", cfg->name}, {"DOMAIN", cfg->domain},
				{"BRIDGE", cfg->bridge}),
			"port %s: unguaranteed: %s", cfg->name, text);
}

// Not an error: the port that receives comes and goes as its guest does. It may be a slip, though.
static void
warn_of_mirror(const struct ctl *ctl, const struct dp_port_cfg *cfg)
{
	if (ctl->model == ctl->live && cfg->mirror_to[0] && !model_port_find(ctl->model, cfg->mirror_to))
		log_about(LOG_LEVEL_WARNING, LOG_ABOUT(NULL, {"PORT", cfg->name}),
			"port %s: there is no port %s: its mirror waits", cfg->name, cfg->mirror_to);
}

// Whoever waits for a guest that did not get its guarantee finds the reason in the log, too. A full table is -ENOSPC as well.
static void
log_refusal(const struct ctl *ctl, const struct dp_port_cfg *cfg, int rc)
{
	char text[DP_ERR_SIZE];

	if (rc == -ENOSPC && ctl->model == ctl->live && admit_check(ctl->model, cfg, text) == -ENOSPC)
		log_about(LOG_LEVEL_WARNING,
			LOG_ABOUT(LOG_ID_ADMISSION_REFUSED, {"PORT", cfg->name}, {"DOMAIN", cfg->domain},
				{"BRIDGE", cfg->bridge}),
			"port %s: refused: %s", cfg->name, text);
}

// A tunnel to the same host has its keys already: only peer.reload reads them again.
static int
check_keys(const struct ctl *ctl, const struct dp_port_cfg *cfg, char text[DP_ERR_SIZE])
{
	const struct model_port *live = ctl->live ? model_port_find(ctl->live, cfg->name) : NULL;

	if (!cfg->key_file[0] ||
		(live && !strcmp(live->cfg.key_file, cfg->key_file) && !strcmp(live->cfg.uplink, cfg->uplink) &&
			!memcmp(&live->cfg.remote, &cfg->remote, sizeof(cfg->remote))))
		return 0;
	return peers_check_keys(cfg->key_file, text);
}

// A wrong file is most likely the caller's slip. One that is in the configuration was right once: it may not keep the daemon, and with it all
// other ports, from starting, since whoever is a node of the segment can spoil it.
static int
check_segment(const struct ctl *ctl, const struct dp_port_cfg *cfg, char text[DP_ERR_SIZE])
{
	return ctl->model == ctl->live && cfg->type == DP_PORT_SEGMENT && cfg->path[0] == '/' ?
		dp_port_check_segment(cfg->path, text) :
		0;
}

static void
set_socket(struct dp_port_cfg *cfg)
{
	if (cfg->type == DP_PORT_VHOST && !cfg->socket[0])
		(void)snprintf(cfg->socket, sizeof(cfg->socket), RUN_DIR "/%s.sock", cfg->name);
}

static int
port_add(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct ctl *ctl = ctx;
	struct dp_port_cfg cfg = *(const struct dp_port_cfg *)params;
	char text[DP_ERR_SIZE] = "";
	int rc;

	(void)ret_result;
	if (check_given(present, &cfg, err) < 0)
		return -1;
	set_socket(&cfg);
	if (cfg.type == DP_PORT_GENEVE && !is_given(add_params, N(add_params), present, "csum"))
		cfg.csum = cfg.remote.is_v6; // RFC 8200, section 8.1: peers that know no better drop what has none
	rc = check_keys(ctl, &cfg, text);
	if (!rc)
		rc = check_segment(ctl, &cfg, text);
	if (!rc)
		rc = model_port_add(ctl->model, &cfg, text);
	if (!rc) {
		warn_of_force(ctl, &cfg);
		warn_of_mirror(ctl, &cfg);
	}
	log_refusal(ctl, &cfg, rc);
	return rc < 0 ? port_refuse(err, rc, text, cfg.name) : 0;
}

static int
port_set(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct ctl *ctl = ctx;
	const struct dp_port_cfg *p = params;
	const struct model_port *port = model_port_find(ctl->model, p->name);
	struct dp_port_cfg cfg = port ? port->cfg : *p;
	char text[DP_ERR_SIZE] = "";
	int rc;

	(void)ret_result;
	if (!port)
		return ctl_refuse_name(err, -ENOENT, "port", p->name);
	ctl_merge(set_params, N(set_params), present, p, &cfg);
	// An access port has no trunk, and nobody should have to say so.
	if (cfg.vlan_mode == DP_VLAN_ACCESS && !is_given(set_params, N(set_params), present, "trunk"))
		memset(&cfg.trunk, 0, sizeof(cfg.trunk));
	// Who says again what is so disturbs nobody.
	if (rpc_port_is_same(&port->cfg, &cfg))
		return 0;
	rc = check_keys(ctl, &cfg, text);
	if (!rc)
		rc = model_port_set(ctl->model, &cfg, text);
	if (!rc) {
		warn_of_force(ctl, &cfg);
		warn_of_mirror(ctl, &cfg);
	}
	log_refusal(ctl, &cfg, rc);
	return rc < 0 ? port_refuse(err, rc, text, cfg.name) : 0;
}

// Names of parameters that differ.
static json_t *
changes(const struct dp_port_cfg *from, const struct dp_port_cfg *to)
{
	json_t *list = json_array();

	for (unsigned i = 1; i < N(add_params); i++) {
		json_t *a = rpc_encode_value(&add_params[i], from), *b = rpc_encode_value(&add_params[i], to);

		if (!json_equal(a, b))
			(void)json_array_append_new(list, json_string(add_params[i].name));
		json_decref(a);
		json_decref(b);
	}
	return list;
}

// The same parameters as port.add; of a port that exists, those not given are its own.
static int
admission_check_cfg(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct ctl *ctl = ctx;
	const struct dp_port_cfg *p = params;
	const struct model_port *port = model_port_find(ctl->model, p->name);
	struct dp_port_cfg cfg = port ? port->cfg : *p;
	char text[DP_ERR_SIZE] = "";
	int rc;

	if (port)
		ctl_merge(add_params, N(add_params), present, p, &cfg);
	set_socket(&cfg);
	rc = model_port_check(ctl->model, &cfg, text);
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
	struct ctl *ctl = ctx;
	const struct dp_port_cfg *p = params;
	char text[DP_ERR_SIZE] = "";
	int rc = model_port_del(ctl->model, p->name, text);

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
	const struct ctl *ctl = ctx;
	const struct move_params *p = params;
	const struct model_port *port = model_port_find(ctl->model, p->name);
	int rc;

	(void)present;
	(void)ret_result;
	if (!port)
		return ctl_refuse_name(err, -ENOENT, "port", p->name);
	rc = dp_port_move(ctl->dp, port->id, p->for_ns);
	return rc < 0 ?
		port_refuse(err, rc, "name: only a port with type=vhost and mode=listen can be moved", p->name) :
		0;
}

// What was promised to what the port sends, and whether it can be kept: its conforming packets have left after `bound` at most.
static void
set_guarantee(const struct ctl *ctl, const struct dp_port_cfg *cfg, json_t *object)
{
	bool is_broken = cfg->force && admit_is_broken(ctl->model, cfg);
	char bound[UNITS_TEXT_SIZE];

	(void)json_object_set_new(object, "guarantee",
		json_string(!cfg->min_rate_bps && !cfg->deadline_ns ? "none" :
				is_broken			    ? "unguaranteed" :
								      "kept"));
	if (cfg->min_rate_bps && !is_broken)
		(void)json_object_set_new(object, "bound", json_string(units_format_time(admit_bound_ns(cfg), bound)));
}

static json_t *
port_json(const struct ctl *ctl, const struct model_port *port)
{
	json_t *object = port_json_summary(ctl->dp, port);
	json_t *config = json_object(), *state;

	for (unsigned i = 1; i < N(add_params); i++)
		(void)json_object_set_new(config, add_params[i].name, rpc_encode_value(&add_params[i], &port->cfg));
	set_guarantee(ctl, &port->cfg, object);
	(void)json_object_set_new(object, "config", config);
	state = port_json_state(ctl->dp, port);
	if (port->cfg.mirror_to[0])
		(void)json_object_set_new(state, "mirror",
			json_string(
				model_port_find(ctl->model, port->cfg.mirror_to) ? "active" : "waits for its port"));
	(void)json_object_set_new(object, "state", state);
	(void)json_object_set_new(object, "stats", port_json_stats(ctl->dp, port));
	(void)json_object_set_new(object, "held_back_by", port_json_holds(ctl->dp, ctl->model, port, false));
	(void)json_object_set_new(object, "holds_back", port_json_holds(ctl->dp, ctl->model, port, true));
	return object;
}

static int
port_list(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct ctl *ctl = ctx;
	json_t *list = json_array();

	(void)params;
	(void)present;
	(void)dp_stats_refresh(ctl->dp);
	for (unsigned i = 0; i < ctl->model->n_ports; i++)
		(void)json_array_append_new(list, port_json(ctl, ctl->model->ports[i]));
	return ctl_answer(ret_result, list, err);
}

static int
port_show(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct ctl *ctl = ctx;
	const struct dp_port_cfg *p = params;
	const struct model_port *port = model_port_find(ctl->model, p->name);
	char least[UNITS_TEXT_SIZE];
	uint64_t least_ns;
	json_t *object;

	(void)present;
	if (!port)
		return ctl_refuse_name(err, -ENOENT, "port", p->name);
	(void)dp_stats_refresh(ctl->dp);
	object = port_json(ctl, port);
	least_ns =
		port->cfg.min_rate_bps && json_object_get(object, "bound") ? admit_floor_ns(ctl->model, &port->cfg) : 0;
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
		"Make a port. Without bridge= it belongs to none and forwards nothing until port.set gives it one.",
		"true", port_add, add_params, N(add_params), CFG_SIZE, RPC_CONFIG},
	{"port.set", "Change a port; what is not given stays. Its static MACs go when it changes the bridge.", "true",
		port_set, set_params, N(set_params), CFG_SIZE, RPC_CONFIG | RPC_CHANGE},
	{"port.del", "Remove a port and its static MACs.", "true", port_del, add_params, 1, CFG_SIZE, RPC_CONFIG},
	{"port.move",
		"A guest moves to another process: let one connect to the port's socket though another has it. The one "
		"whose driver is ready last gets the packets.",
		"true", port_move, move_params, N(move_params), sizeof(struct move_params), 0},
	{"port.list", "Show all ports.", "List of what port.show returns.", port_list, NULL, 0, 0, RPC_READ_ONLY},
	{"port.show", "Show one port.",
		"Its summary, config (parameters of port.add), state and stats; held_back_by: the "
		"slower ports for which it had to wait, holds_back: the ports that waited for it, each with held_ns. "
		"bound: what is promised, the deadline; least_bound: the shortest that admission could promise, all "
		"else as it is.",
		port_show, add_params, 1, CFG_SIZE, RPC_READ_ONLY},
	{"admission.check", "Ask whether a port, or a change of one, could be guaranteed; nothing is changed.",
		"{fits, why, changes}: why names the egress port, the time that fails and what would fit; changes are "
		"the parameters that a port which exists "
		"has otherwise.",
		admission_check_cfg, add_params, N(add_params), CFG_SIZE, RPC_READ_ONLY},
	{0},
};
