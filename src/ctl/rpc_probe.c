// Method of the noun probe.
#include "answer.h"
#include "methods.h"
#include "probes.h"

#include <errno.h>

struct probe_params {
	char port[RTVS_NAME_SIZE];
};

static const struct rpc_param probe_params[] = {
	RPC_PARAM(
		struct probe_params, port, RPC_NAME, .max = RTVS_NAME_SIZE - 1, .help = "only this tunnel; empty: all"),
};

static int
probe_list(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct probe_params *p = params;
	json_t *list = probes_json(ctx, p->port);

	(void)present;
	if (!list && p->port[0])
		return ctl_refuse_name(err, -ENOENT, "port", p->port);
	return ctl_answer(ret_result, list, err);
}

const struct rpc_method rpc_probe_methods[] = {
	{"probe.list", "Show the results of STAMP test packets for idle flows, through tunnels with `probe`.",
		"List of {tunnel, port: of the flow, every, sent, received, lost: no reply after 1 s, rtt: without the "
		"reflector's own time, there, back: one way, while the other daemon is known; delays as in flow.show}.",
		probe_list, probe_params, 1, sizeof(struct probe_params), RPC_READ_ONLY},
	{0},
};
