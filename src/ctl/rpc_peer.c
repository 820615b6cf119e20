// Methods of the noun peer: the daemons of other hosts, of which tunnels with a key_file make one
// each.
#include "answer.h"
#include "methods.h"
#include "peers.h"
#include "peers_json.h"

#include <errno.h>

static int
peer_list(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	(void)params;
	(void)present;
	return ctl_answer(ret_result, peers_json(ctx), err);
}

static int
peer_reload(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	char text[DP_ERR_SIZE];

	(void)params;
	(void)present;
	(void)ret_result;
	if (peers_reload(ctx, text) < 0)
		return ctl_refuse(err, -EINVAL, text);
	return 0;
}

const struct rpc_method rpc_peer_methods[] = {
	{"peer.list", "Show the daemons of other hosts: whether they are known, their clocks, and messages by result.",
		"List of {uplink, address, known, clock_known, offset_ns: their clock less ours, uncertainty_ns, "
		"rtt_ns, counts of datagrams, flows: reactions to the peer's reports}.",
		peer_list, NULL, 0, 0, RPC_READ_ONLY},
	{"peer.reload",
		"Read the key files again: a further key in a file takes effect at once, and no message is lost.",
		"true", peer_reload, NULL, 0, 0, 0},
	{0},
};
