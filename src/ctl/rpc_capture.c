// Methods of the noun capture: the parameter table over capture.c.
#include "answer.h"
#include "capture.h"
#include "methods.h"

#include <stdio.h>

#define P(member, type, ...) RPC_PARAM(struct capture_params, member, type, __VA_ARGS__)
// clang-format off
static const struct rpc_param start_params[] = {
	P(port, RPC_NAME, .is_required = true, .is_key = true, .min = 1, .max = RTVS_NAME_SIZE - 1, .help = "name of the port"),
	P(file, RPC_STR, .is_required = true, .min = 1, .max = 255, .help = "new pcapng file, absolute path; must not exist yet"),
	P(filter, RPC_STR, .max = CAPTURE_MAX_FILTER - 1, .help = "libpcap expression (\"icmp or arp\"); empty: every packet"),
	P(snaplen, RPC_UINT, .min = 14, .max = CAPTURE_MAX_SNAPLEN, .def = "65535", .help = "bytes kept of each packet"),
	P(count, RPC_UINT, .def = "0", .help = "number of packets after which the capture ends; 0: until capture.stop"),
};
// clang-format on

static int
rpc_capture_start(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	char text[DP_ERR_SIZE] = "";
	int rc = capture_start(ctx, params, text);

	(void)present;
	(void)ret_result;
	return rc < 0 ? ctl_refuse(err, rc, text) : 0;
}

static int
rpc_capture_stop(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct capture_params *p = params;
	char text[DP_ERR_SIZE];
	int rc;

	(void)present;
	(void)ret_result;
	(void)capture_poll(ctx); // what came before the call is in the file
	rc = capture_stop(ctx, p->port, "capture.stop");
	(void)snprintf(text, sizeof(text), "port %s has no capture", p->port);
	return rc < 0 ? ctl_refuse(err, rc, text) : 0;
}

static int
rpc_capture_list(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	(void)params;
	(void)present;
	return ctl_answer(ret_result, capture_json(ctx), err);
}

#define SIZE sizeof(struct capture_params)
const struct rpc_method rpc_capture_methods[] = {
	{"capture.start", "Copy the packets of a port to a pcapng file; traffic is never delayed.", "true",
		rpc_capture_start, start_params, 5, SIZE, 0},
	{"capture.stop", "End a capture.", "true", rpc_capture_stop, start_params, 1, SIZE, 0},
	{"capture.list", "Show the running captures.", "List of {port, filter, file, snaplen, count, pkts, bytes}.",
		rpc_capture_list, NULL, 0, 0, RPC_READ_ONLY},
	{0},
};
