// What a guest may call on its NIC's channel. The eswitch is that of the socket, and VFs have
// numbers: a guest knows no name of the host. A change is checked against the host's limits, and
// then is a port.set as the host's administrator makes it: checks of the port, admission, the
// configuration and its file follow.
// Invariant: no text that a guest gets contains a name of a port, or another port's values.
#include "answer.h"
#include "channels.h"
#include "methods.h"
#include "port_params.h"
#include "rtvs/units.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define N(table) (sizeof(table) / sizeof((table)[0]))
#define BPS_PER_MBIT UINT64_C(1000000)
#define MAX_MBIT (DP_RATE_MAX / BPS_PER_MBIT)
#define MAX_VF (MODEL_ESWITCH_VFS - 1)
#define NONCE_SIZE 65
#define VLANS_TEXT_SIZE 20480 // see units.h
#define BY_HOST "the host's administrator set that"

enum link_state {
	LINK_AUTO,
	LINK_ENABLE,
	LINK_DISABLE,
};
static const char *const link_names[] = {"auto", "enable", "disable", NULL};
static const char *const proto_names[] = {"802.1Q", "802.1ad", NULL};

struct hello_params {
	char nonce[NONCE_SIZE];
	bool events;
};

struct mode_params {
	uint32_t mode; // enum model_eswitch_mode
};

struct vf_params {
	uint32_t vf;
	struct mac mac;
	uint32_t vlan, qos, proto;
	bool spoofchk, trust;
	uint32_t link_state;
	uint32_t min_mbit, max_mbit;
	uint64_t deadline_ns;
};

// Positions in vf_set_params.
enum given {
	GIVEN_VF,
	GIVEN_MAC,
	GIVEN_VLAN,
	GIVEN_QOS,
	GIVEN_PROTO,
	GIVEN_SPOOFCHK,
	GIVEN_TRUST,
	GIVEN_LINK,
	GIVEN_MIN,
	GIVEN_MAX,
	GIVEN_DEADLINE,
	N_GIVEN
};

#define HAS(present, what) ((present) >> GIVEN_##what & 1)

static unsigned
count_vfs(const struct model_eswitch *eswitch)
{
	char port[RTVS_NAME_SIZE];
	unsigned n = 0;

	for (unsigned pos = 0; model_eswitch_next(eswitch, &pos, port);)
		n++;
	return n;
}

static int
nic_hello(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct channel *channel = ctx;
	const struct hello_params *p = params;
	struct server_client *c = channel->server.caller;

	(void)present;
	if (!c)
		return ctl_refuse(err, -ENOTCONN, "nic.hello works on a channel only");
	c->session.only_flags = 0;
	c->is_greeted = true;
	c->is_subscribed = p->events;
	return ctl_answer(ret_result,
		json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i}", "nonce", p->nonce, "protocol", CHANNELS_PROTOCOL,
			"n_vfs", (int)count_vfs(channels_eswitch(channel)), "max_line_bytes", (int)CHANNELS_LINE_BYTES,
			"max_batch", CHANNELS_BATCH, "calls_per_s", CHANNELS_CALLS, "calls_burst", CHANNELS_BURST),
		err);
}

// The address that a VF's packets must have, as far as the switch knows one.
static json_t *
mac_json(const struct dp_port_cfg *cfg)
{
	char text[UNITS_TEXT_SIZE];

	return cfg->allowed_macs.n ? json_string(units_format_mac(&cfg->allowed_macs.mac[0], text)) : json_null();
}

static bool
is_checked(const struct dp_port_cfg *cfg)
{
	return cfg->allowed_macs.n == 1;
}

static json_t *
port_json(const struct channel *channel, const struct model_port *port)
{
	const struct dp_port_cfg *cfg = &port->cfg;
	struct dp_port_state state = {0};
	char deadline[UNITS_TEXT_SIZE];

	(void)dp_port_state(channel->channels->plane->dp, port->id, &state);
	return json_pack("{s:o, s:i, s:i, s:s, s:b, s:b, s:s, s:I, s:I, s:s, s:b}", "mac", mac_json(cfg), "vlan",
		(int)cfg->vlan, "qos", 0, "proto", proto_names[0], "spoofchk", is_checked(cfg), "trust",
		!is_checked(cfg), "link_state", link_names[cfg->admin_up ? LINK_AUTO : LINK_DISABLE], "min_tx_rate",
		(json_int_t)(cfg->min_rate_bps / BPS_PER_MBIT), "max_tx_rate",
		(json_int_t)(cfg->max_rate_bps / BPS_PER_MBIT), "deadline",
		units_format_time(cfg->deadline_ns, deadline), "enabled", state.is_link_up);
}

static json_t *
vfs_json(const struct channel *channel, const struct model_eswitch *eswitch)
{
	const struct model_port *port;
	json_t *list = json_array();

	for (unsigned vf = 0; (port = model_eswitch_vf(channel->channels->plane->live, eswitch, vf)); vf++) {
		json_t *own = json_pack("{s:i}", "vf", (int)vf), *rest = port_json(channel, port);

		if (own && rest)
			(void)json_object_update(own, rest);
		json_decref(rest);
		(void)json_array_append_new(list, own);
	}
	return list;
}

static const char *
vlans_text(const struct model_eswitch *eswitch)
{
	static char text[VLANS_TEXT_SIZE];

	(void)units_format_vlans(&eswitch->vlans, text, sizeof(text));
	return text;
}

static json_t *
limits_json(const struct model_eswitch *eswitch)
{
	return json_pack("{s:s, s:s, s:b, s:I, s:I, s:b, s:b, s:i, s:i}", "allowed_macs", eswitch->allowed_macs,
		"vlans", vlans_text(eswitch), "untagged", eswitch->has_untagged, "max_rate",
		(json_int_t)(eswitch->max_rate_bps / BPS_PER_MBIT), "min_rate",
		(json_int_t)(eswitch->min_rate_bps / BPS_PER_MBIT), "deadlines", eswitch->delegates_deadline,
		"switchdev", eswitch->uplink[0] != '\0', "max_rules", (int)eswitch->max_rules, "miss_rate",
		(int)eswitch->miss_pps);
}

static int
nic_get(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct channel *channel = ctx;
	const struct model_eswitch *eswitch = channels_eswitch(channel);
	const struct model_port *pf = model_port_find(channel->channels->plane->live, eswitch->pf);

	(void)params;
	(void)present;
	assert(pf);
	return ctl_answer(ret_result,
		json_pack("{s:s, s:i, s:o, s:o, s:o}", "mode", model_eswitch_modes[eswitch->mode], "first_vid",
			DP_ESWITCH_VID, "pf", port_json(channel, pf), "vfs", vfs_json(channel, eswitch), "limits",
			limits_json(eswitch)),
		err);
}

static int refuse(struct rpc_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// A parameter that the host, or the switch, does not permit.
static int
refuse(struct rpc_error *err, const char *fmt, ...)
{
	char text[RPC_MAX_ERROR_TEXT];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	rpc_error_set(err, RPC_INVALID_PARAMS, "%s", text);
	return -1;
}

// All that the host permits, the VF's own first.
static int
permit_all(const struct model_eswitch *eswitch, const struct mac *own, struct mac_list *ret_list, struct rpc_error *err)
{
	struct mac_list list = {0};
	struct mac mac;
	unsigned bits;

	if (own && model_eswitch_permits(eswitch, own))
		list.mac[list.n++] = *own;
	for (unsigned pos = 0; model_eswitch_next_mac(eswitch, &pos, &mac, &bits);) {
		if (bits < 8 * sizeof(mac.b))
			return refuse(err, "spoofchk: off needs allowed_macs without prefixes, they are %s; " BY_HOST,
				eswitch->allowed_macs);
		if (list.n < RTVS_MAX_MACS && (!own || memcmp(own, &mac, sizeof(mac)) != 0))
			list.mac[list.n++] = mac;
	}
	*ret_list = list;
	return 0;
}

// mac, spoofchk and trust are one list of addresses in the switch.
static int
set_macs(const struct model_eswitch *eswitch, const struct vf_params *p, uint64_t present, struct dp_port_cfg *cfg,
	struct rpc_error *err)
{
	const struct mac own = HAS(present, MAC) ? p->mac : cfg->allowed_macs.mac[0];
	bool has_own = HAS(present, MAC) || cfg->allowed_macs.n > 0;
	// A VF without any address was not told that it may have several.
	bool is_check = HAS(present, SPOOFCHK) ? p->spoofchk :
		HAS(present, TRUST)	       ? !p->trust :
						 cfg->allowed_macs.n <= 1;
	char text[UNITS_TEXT_SIZE];

	if (!HAS(present, MAC) && !HAS(present, SPOOFCHK) && !HAS(present, TRUST))
		return 0;
	if (HAS(present, SPOOFCHK) && HAS(present, TRUST) && p->spoofchk == p->trust)
		return refuse(err,
			"trust: a VF that is trusted chooses its MAC: trust on is spoofchk off here, and trust off is "
			"spoofchk on");
	if (!eswitch->allowed_macs[0])
		return refuse(err, "%s: the guest may not change MACs (allowed_macs is empty); " BY_HOST,
			HAS(present, MAC)	       ? "mac" :
				HAS(present, SPOOFCHK) ? "spoofchk" :
							 "trust");
	if (HAS(present, MAC) && !model_eswitch_permits(eswitch, &own))
		return refuse(err, "mac: %s is outside of allowed_macs %s; " BY_HOST, units_format_mac(&own, text),
			eswitch->allowed_macs);
	if (!is_check)
		return permit_all(eswitch, has_own ? &own : NULL, &cfg->allowed_macs, err);
	if (!has_own)
		return refuse(err, "spoofchk: on needs mac as well: the VF has none yet");
	cfg->allowed_macs = (struct mac_list){.n = 1, .mac = {own}};
	return 0;
}

static int
set_vlan(const struct model_eswitch *eswitch, const struct vf_params *p, uint64_t present, struct dp_port_cfg *cfg,
	struct rpc_error *err)
{
	const char *vlans = vlans_text(eswitch);

	if (HAS(present, QOS) && p->qos)
		return refuse(err, "qos: the switch gives packets no 802.1p priority; only 0 is possible");
	if (HAS(present, PROTO) && p->proto)
		return refuse(err, "proto: the switch has no 802.1ad; only 802.1Q is possible");
	if (!HAS(present, VLAN) || p->vlan == cfg->vlan)
		return 0;
	if (eswitch->mode == MODEL_ESWITCH_SWITCHDEV)
		return refuse(err, "vlan: in mode switchdev rules put tags");
	if (cfg->vlan_mode != DP_VLAN_ACCESS)
		return refuse(err, "vlan: the VF is a trunk of several VLANs; " BY_HOST);
	if (p->vlan ? !vlan_set_has(&eswitch->vlans, (uint16_t)p->vlan) : !eswitch->has_untagged)
		return refuse(err, "vlan: %u is outside of vlans %.200s%s; " BY_HOST, p->vlan,
			vlans[0] ? vlans : "(none)", eswitch->has_untagged ? " and 0" : "");
	cfg->vlan = p->vlan;
	return 0;
}

// Guarantees of the other VFs.
static uint64_t
others_min_bps(const struct model *m, const struct model_eswitch *eswitch, const char *name)
{
	const struct model_port *port;
	uint64_t sum = 0;

	for (unsigned vf = 0; (port = model_eswitch_vf(m, eswitch, vf)); vf++)
		sum += strcmp(port->cfg.name, name) ? port->cfg.min_rate_bps : 0;
	return sum;
}

static int
set_max_rate(
	const struct model_eswitch *eswitch, const struct vf_params *p, struct dp_port_cfg *cfg, struct rpc_error *err)
{
	char text[UNITS_TEXT_SIZE];

	if (!eswitch->max_rate_bps)
		return refuse(err, "max_tx_rate: the guest may not change it (max_rate is 0); " BY_HOST);
	if (p->max_mbit * BPS_PER_MBIT > eswitch->max_rate_bps)
		return refuse(err, "max_tx_rate: %u Mbit/s is more than max_rate, %s; " BY_HOST, p->max_mbit,
			units_format_rate(eswitch->max_rate_bps, text));
	cfg->max_rate_bps = p->max_mbit ? p->max_mbit * BPS_PER_MBIT : eswitch->max_rate_bps;
	return 0;
}

static int
set_min_rate(const struct model *m, const struct model_eswitch *eswitch, const struct vf_params *p,
	struct dp_port_cfg *cfg, struct rpc_error *err)
{
	uint64_t others_bps = others_min_bps(m, eswitch, cfg->name), limit_bps = eswitch->min_rate_bps;
	char text[UNITS_TEXT_SIZE], left[UNITS_TEXT_SIZE];

	cfg->min_rate_bps = p->min_mbit * BPS_PER_MBIT;
	if (!p->min_mbit || cfg->min_rate_bps + others_bps <= limit_bps)
		return 0;
	return refuse(err, "min_tx_rate: %u Mbit/s is more than what is left of min_rate, %s of %s; " BY_HOST,
		p->min_mbit, units_format_rate(limit_bps > others_bps ? limit_bps - others_bps : 0, left),
		units_format_rate(limit_bps, text));
}

static int
set_rates(const struct model *m, const struct model_eswitch *eswitch, const struct vf_params *p, uint64_t present,
	struct dp_port_cfg *cfg, struct rpc_error *err)
{
	char text[UNITS_TEXT_SIZE];
	int rc = HAS(present, MAX) ? set_max_rate(eswitch, p, cfg, err) : 0;

	if (!rc && HAS(present, MIN))
		rc = set_min_rate(m, eswitch, p, cfg, err);
	if (!rc && (HAS(present, MIN) || HAS(present, MAX)) && cfg->max_rate_bps &&
		cfg->min_rate_bps > cfg->max_rate_bps)
		rc = refuse(
			err, "min_tx_rate: larger than max_tx_rate, %s", units_format_rate(cfg->max_rate_bps, text));
	return rc;
}

static int
set_deadline(const struct model_eswitch *eswitch, const struct vf_params *p, uint64_t present, struct dp_port_cfg *cfg,
	struct rpc_error *err)
{
	if (!HAS(present, DEADLINE))
		return 0;
	if (!eswitch->delegates_deadline)
		return refuse(err, "deadline: the guest may not change it (deadlines is false); " BY_HOST);
	cfg->deadline_ns = p->deadline_ns;
	return 0;
}

// The parameters of the port.set that makes one of the other.
static json_t *
changes_json(const struct dp_port_cfg *from, const struct dp_port_cfg *to)
{
	static const char *const names[] = {"allowed_macs", "vlan", "admin_up", "min_rate", "max_rate", "deadline"};
	json_t *changes = json_pack("{s:s}", "name", to->name);

	for (unsigned i = 0; i < port_params_n; i++)
		for (unsigned k = 0; k < N(names); k++)
			if (!strcmp(port_params[i].name, names[k]) && !rpc_is_same(&port_params[i], 1, from, to))
				(void)json_object_set_new(changes, names[k], rpc_encode_value(&port_params[i], to));
	return changes;
}

// The guest is not told what the host's other ports have; the administrator is.
static int
refuse_by_host(struct channel *channel, unsigned vf, bool is_full, const char *text, struct rpc_error *err)
{
	(void)snprintf(channel->refusal, sizeof(channel->refusal), "VF %u: %.480s", vf, text);
	if (is_full)
		rpc_error_errno(err, -ENOSPC,
			"min_tx_rate, deadline: the host cannot guarantee that beside its other promises; its "
			"administrator sees why");
	else
		rpc_error_errno(err, -EPERM, "vf %u: the host refuses the change; its administrator sees why", vf);
	return -1;
}

// As the host's administrator calls it. What the model refuses is asked first: a guest's refusals
// are no lines of the log.
static int
change_port(struct channel *channel, unsigned vf, const struct dp_port_cfg *from, const struct dp_port_cfg *to,
	struct rpc_error *err)
{
	char text[DP_ERR_SIZE] = "";
	struct rpc_error own = {0};
	json_t *changes;
	int rc = model_port_check(channel->channels->plane->live, to, text);

	if (rc < 0)
		return refuse_by_host(channel, vf, rc == -ENOSPC, text, err);
	changes = changes_json(from, to);
	if (json_object_size(changes) > 1)
		rc = rpc_call(&channel->channels->host, "port.set", changes, NULL, &own);
	json_decref(changes);
	if (rc)
		rc = refuse_by_host(channel, vf, false, own.message, err);
	json_decref(own.data);
	return rc;
}

static int
vf_set(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct channel *channel = ctx;
	const struct model *m = channel->channels->plane->live;
	const struct model_eswitch *eswitch = channels_eswitch(channel);
	const struct vf_params *p = params;
	const struct model_port *port = model_eswitch_vf(m, eswitch, p->vf);
	struct dp_port_cfg to;
	int rc;

	(void)ret_result;
	channel->server.n_calls_left -= CHANNELS_CHANGE_CALLS - 1;
	if (!port)
		return refuse(err, "vf: %u is out of range 0 to %u", p->vf, count_vfs(eswitch) - 1);
	to = port->cfg;
	rc = set_macs(eswitch, p, present, &to, err);
	if (!rc)
		rc = set_vlan(eswitch, p, present, &to, err);
	if (!rc)
		rc = set_rates(m, eswitch, p, present, &to, err);
	if (!rc)
		rc = set_deadline(eswitch, p, present, &to, err);
	if (!rc && HAS(present, LINK))
		to.admin_up = p->link_state != LINK_DISABLE;
	return rc ? rc : change_port(channel, p->vf, &port->cfg, &to, err);
}

static int
nic_mode(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct channel *channel = ctx;
	const struct model_eswitch *eswitch = channels_eswitch(channel);
	const struct mode_params *p = params;
	struct rpc_error own = {0};
	json_t *changes;
	int rc = -1;

	(void)present;
	(void)ret_result;
	channel->server.n_calls_left -= CHANNELS_CHANGE_CALLS - 1;
	if (p->mode == eswitch->mode)
		return 0;
	if (!eswitch->uplink[0])
		return refuse(err, "mode: switchdev needs an uplink; " BY_HOST " to none");
	changes = json_pack("{s:s, s:s}", "name", eswitch->name, "mode", model_eswitch_modes[p->mode]);
	if (changes)
		rc = rpc_call(&channel->channels->host, "eswitch.set", changes, NULL, &own);
	json_decref(changes);
	if (rc) {
		(void)snprintf(channel->refusal, sizeof(channel->refusal), "mode: %.480s", own.message);
		rpc_error_errno(err, -EPERM, "mode: the host refuses the change; its administrator sees why");
	} else {
		channel->n_sets = eswitch->n_sets; // it knows
	}
	json_decref(own.data);
	return rc;
}

#define M(member, type, ...) RPC_PARAM(struct mode_params, member, type, __VA_ARGS__)
#define H(member, type, ...) RPC_PARAM(struct hello_params, member, type, __VA_ARGS__)
#define V(member, type, ...) RPC_PARAM(struct vf_params, member, type, __VA_ARGS__)
#define VAS(json_name, member, type, ...) RPC_PARAM_AS(json_name, struct vf_params, member, type, __VA_ARGS__)
// clang-format off
static const struct rpc_param hello_params[] = {
	H(nonce, RPC_NAME, .is_required = true, .min = 1, .max = NONCE_SIZE - 1, .help = "text that the answer repeats"),
	H(events, RPC_BOOL, .def = "false", .help = "send vf.up, vf.down and nic.changed"),
};

static const struct rpc_param mode_params[] = {
	M(mode, RPC_ENUM, .is_required = true, .names = model_eswitch_modes, .help = "switchdev: rules say where packets go; legacy: the host's bridge"),
};

static const struct rpc_param vf_set_params[] = {
	[GIVEN_VF] = V(vf, RPC_UINT, .is_required = true, .is_key = true, .max = MAX_VF, .help = "number of the virtual function"),
	[GIVEN_MAC] = V(mac, RPC_MAC, .help = "its address, within the host's allowed_macs"),
	[GIVEN_VLAN] = V(vlan, RPC_UINT, .max = RTVS_VLAN_MAX, .help = "its VLAN, within the host's vlans"),
	[GIVEN_QOS] = V(qos, RPC_UINT, .max = 7, .help = "802.1p priority: 0 alone"),
	[GIVEN_PROTO] = V(proto, RPC_ENUM, .names = proto_names, .help = "of the VLAN: 802.1Q alone"),
	[GIVEN_SPOOFCHK] = V(spoofchk, RPC_BOOL, .help = "on: packets must have its address; off: one of allowed_macs"),
	[GIVEN_TRUST] = V(trust, RPC_BOOL, .help = "on: as spoofchk off"),
	[GIVEN_LINK] = V(link_state, RPC_ENUM, .names = link_names, .help = "disable: no carrier; auto, enable: there is one"),
	[GIVEN_MIN] = VAS("min_tx_rate", min_mbit, RPC_UINT, .max = MAX_MBIT, .help = "guaranteed rate in Mbit/s; 0: none"),
	[GIVEN_DEADLINE] = VAS("deadline", deadline_ns, RPC_TIME, .max = DP_DEADLINE_MAX_NS, .help = "from a packet's arrival to its departure; 0: none"),
	[GIVEN_MAX] = VAS("max_tx_rate", max_mbit, RPC_UINT, .max = MAX_MBIT, .help = "largest rate in Mbit/s; 0: the host's limit"),
};
// clang-format on
_Static_assert(N(vf_set_params) == N_GIVEN, "each parameter has its position");

const struct rpc_method rpc_nic_methods[] = {
	{"nic.hello", "Begin a session. Whatever came before it is skipped, and subscriptions before it end.",
		"{nonce, protocol, n_vfs, max_line_bytes, max_batch, calls_per_s, calls_burst}", nic_hello,
		hello_params, N(hello_params), sizeof(struct hello_params), RPC_STARTUP},
	{"nic.get", "Show the physical function, the virtual ones, and the host's limits.",
		"{mode, first_vid, pf, vfs, limits}", nic_get, NULL, 0, 0, RPC_READ_ONLY},
	{"nic.mode", "Change who switches the packets of virtual functions. Rules of before are gone.", "true",
		nic_mode, mode_params, N(mode_params), sizeof(struct mode_params), RPC_CHANGE},
	{"vf.set", "Change a virtual function; missing parameters stay.", "true", vf_set, vf_set_params,
		N(vf_set_params), sizeof(struct vf_params), RPC_CHANGE},
	{0},
};
