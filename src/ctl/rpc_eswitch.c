// Methods of the noun eswitch: thin handlers over model_eswitch.c. What the guest may call is in
// rpc_nic.c.
#include "answer.h"
#include "channels.h"
#include "eswitch_params.h"
#include "eswitch_qemu.h"
#include "methods.h"

#include <errno.h>

static int
eswitch_add(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct channels *channels = ctx;
	char text[DP_ERR_SIZE] = "";
	int rc = model_eswitch_add(channels->plane->model, params, text);

	(void)present;
	(void)ret_result;
	return rc < 0 ? ctl_refuse(err, rc, text) : 0;
}

static int
eswitch_set(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct channels *channels = ctx;
	const struct model_eswitch *p = params;
	const struct model_eswitch *eswitch = model_eswitch_find(channels->plane->model, p->name);
	struct model_eswitch cfg = eswitch ? *eswitch : *p;
	char text[DP_ERR_SIZE] = "";
	int rc;

	(void)ret_result;
	if (!eswitch)
		return ctl_refuse_name(err, -ENOENT, "eswitch", p->name);
	ctl_merge(eswitch_params, ESWITCH_PARAMS_N, present, params, &cfg);
	if (rpc_check_fixed(eswitch_params, ESWITCH_PARAMS_N, eswitch, &cfg, err))
		return -1;
	rc = model_eswitch_set(channels->plane->model, &cfg, text);
	return rc < 0 ? ctl_refuse(err, rc, text) : 0;
}

static int
eswitch_del(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct channels *channels = ctx;
	const struct model_eswitch *p = params;
	char text[DP_ERR_SIZE] = "";
	int rc = model_eswitch_del(channels->plane->model, p->name, text);

	(void)present;
	(void)ret_result;
	return rc < 0 ? ctl_refuse(err, rc, text) : 0;
}

static json_t *
vfs_json(const struct plane *plane, const struct model_eswitch *eswitch)
{
	const struct model_port *port;
	json_t *list = json_array();

	for (unsigned vf = 0; (port = model_eswitch_vf(plane->model, eswitch, vf)); vf++) {
		struct dp_port_state state = {0};

		(void)dp_port_state(plane->dp, port->id, &state);
		(void)json_array_append_new(list,
			json_pack("{s:i, s:s, s:b, s:i, s:b}", "vf", (int)vf, "port", port->cfg.name, "enabled",
				state.is_link_up, "vlan", (int)port->cfg.vlan, "admin_up", port->cfg.admin_up));
	}
	return list;
}

static json_t *
eswitch_json(const struct channels *channels, const struct model_eswitch *eswitch)
{
	json_t *config = json_object();

	for (unsigned i = 1; i < ESWITCH_PARAMS_N; i++)
		(void)json_object_set_new(
			config, eswitch_params[i].name, rpc_encode_value(&eswitch_params[i], eswitch));
	return json_pack("{s:s, s:s, s:o, s:o, s:o}", "name", eswitch->name, "pf", eswitch->pf, "config", config, "vfs",
		vfs_json(channels->plane, eswitch), "channel", channels_json(channels, eswitch->name));
}

static int
eswitch_list(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct channels *channels = ctx;
	const struct model *m = channels->plane->model;
	json_t *list = json_array();

	(void)params;
	(void)present;
	for (unsigned i = 0; i < m->n_eswitches; i++)
		(void)json_array_append_new(list, eswitch_json(channels, m->eswitches[i]));
	return ctl_answer(ret_result, list, err);
}

static int
eswitch_show(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct channels *channels = ctx;
	const struct model_eswitch *p = params;
	const struct model_eswitch *eswitch = model_eswitch_find(channels->plane->model, p->name);

	(void)present;
	if (!eswitch)
		return ctl_refuse_name(err, -ENOENT, "eswitch", p->name);
	return ctl_answer(ret_result, eswitch_json(channels, eswitch), err);
}

struct qemu_params {
	char name[RTVS_NAME_SIZE];
	bool is_xml;
};

static const struct rpc_param qemu_params[] = {
	RPC_PARAM(struct qemu_params, name, RPC_NAME, .is_required = true, .is_key = true, .min = 1,
		.max = RTVS_NAME_SIZE - 1, .help = "name of the eswitch"),
	RPC_PARAM_AS("xml", struct qemu_params, is_xml, RPC_BOOL, .def = "false",
		.help = "true: the element of a libvirt domain"),
};

static int
eswitch_qemu_list(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct channels *channels = ctx;
	const struct qemu_params *p = params;
	const struct model *m = channels->plane->model;
	const struct model_eswitch *eswitch = model_eswitch_find(m, p->name);
	json_t *lines = eswitch ? eswitch_qemu(m, eswitch, p->is_xml) : NULL;

	(void)present;
	if (!eswitch)
		return ctl_refuse_name(err, -ENOENT, "eswitch", p->name);
	if (!lines)
		return ctl_refuse(
			err, -EOPNOTSUPP, "pf, vfs: QEMU's arguments are known for ports with type=vhost alone");
	return ctl_answer(ret_result, lines, err);
}

#define CFG_SIZE sizeof(struct model_eswitch)
const struct rpc_method rpc_eswitch_methods[] = {
	{"eswitch.add",
		"Let a guest control the virtual functions of its NIC, within limits, through a channel of its own.",
		"true", eswitch_add, eswitch_params, ESWITCH_PARAMS_N, CFG_SIZE, RPC_CONFIG},
	{"eswitch.set", "Change the limits of an eswitch. VFs keep what they have beyond a smaller limit.", "true",
		eswitch_set, eswitch_params, ESWITCH_PARAMS_N, CFG_SIZE, RPC_CONFIG | RPC_CHANGE},
	{"eswitch.del", "Remove an eswitch and its channel. Its ports stay as they are.", "true", eswitch_del,
		eswitch_params, 1, CFG_SIZE, RPC_CONFIG},
	{"eswitch.list", "Show all eswitches.", "List of results of eswitch.show.", eswitch_list, NULL, 0, 0,
		RPC_READ_ONLY},
	{"eswitch.qemu", "Show what QEMU needs for the guest of an eswitch, beside memory that is shared.",
		"List of options with their values, or lines of XML.", eswitch_qemu_list, qemu_params,
		sizeof(qemu_params) / sizeof(qemu_params[0]), sizeof(struct qemu_params), RPC_READ_ONLY},
	{"eswitch.show", "Show one eswitch.",
		"Its name, pf, config (parameters of eswitch.add), vfs (vf, port, enabled, vlan, admin_up) and "
		"channel: whether QEMU is connected and a program of the guest has greeted, calls, those of them that "
		"were refused, lines skipped before a greeting or ended as too long, seconds in which calls had to "
		"wait; refusal: the host's last reason that the guest was not told; rules of the guest in mode "
		"switchdev, and how many were refused (rules_refused).",
		eswitch_show, eswitch_params, 1, CFG_SIZE, RPC_READ_ONLY},
	{0},
};
