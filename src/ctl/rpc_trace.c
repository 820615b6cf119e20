// Methods of the noun trace: packets to guests that are followed, and the answers. Nothing of it is
// configuration. A trace that no client reads ends by itself, so that a killed reader leaves
// nothing behind.
#include "rpc_trace.h"

#include "answer.h"
#include "ctl_clock.h"
#include "methods.h"

#include <errno.h>
#include <string.h>

#define TRACE_LEASE_NS UINT64_C(10000000000) // without trace.read
#define TRACE_MAX_RATE 10000
#define TRACE_MAX_RECORDS 4096 // in one answer, over all ports

struct trace_params {
	char port[RTVS_NAME_SIZE];
	uint32_t rate;
};

#define P(member, type, ...) RPC_PARAM(struct trace_params, member, type, __VA_ARGS__)
static const struct rpc_param start_params[] = {
	P(port, RPC_NAME, .is_required = true, .is_key = true, .min = 1, .max = RTVS_NAME_SIZE - 1,
		.help = "name of a port of type vhost"),
	P(rate, RPC_UINT, .min = 1, .max = TRACE_MAX_RATE, .def = "100",
		.help = "packets followed a second, at most; one at a time"),
};

static int
trace_start(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct rpc_trace *trace = ctx;
	const struct trace_params *p = params;
	const struct model_port *port = model_port_find(trace->plane->live, p->port);
	char text[DP_ERR_SIZE] = "";
	int rc;

	(void)present;
	(void)ret_result;
	if (!port)
		return ctl_refuse_name(err, -ENOENT, "port", p->port);
	rc = dp_trace_start(trace->plane->dp, port->id, p->rate, text);
	if (rc < 0)
		return ctl_refuse(err, rc, text);
	trace->read_ns = ctl_now_ns();
	return 0;
}

static int
trace_stop(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct rpc_trace *trace = ctx;
	const struct trace_params *p = params;
	const struct model_port *port = model_port_find(trace->plane->live, p->port);

	(void)present;
	(void)ret_result;
	if (!port)
		return ctl_refuse_name(err, -ENOENT, "port", p->port);
	dp_trace_stop(trace->plane->dp, port->id);
	return 0;
}

static json_t *
record_json(const struct chain_record *r)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:b}", "arrived_ns", (json_int_t)r->arrived_ns,
		"queued_ns", (json_int_t)r->queued_ns, "prewoken_ns", (json_int_t)r->prewoken_ns, "put_ns",
		(json_int_t)r->put_ns, "kicked_ns", (json_int_t)r->kicked_ns, "consumed_ns", (json_int_t)r->consumed_ns,
		"answered_ns", (json_int_t)r->answered_ns, "left_ns", (json_int_t)r->left_ns, "depth", (int)r->depth,
		"is_kicked", r->is_kicked);
}

static json_t *
port_json(const struct plane *plane, const struct model_port *port, unsigned *inout_left)
{
	struct dp_port_state state = {0};
	struct chain_record record;
	json_t *chains = json_array();

	(void)dp_port_state(plane->dp, port->id, &state);
	for (; *inout_left && dp_trace_next(plane->dp, port->id, &record); --*inout_left)
		(void)json_array_append_new(chains, record_json(&record));
	return json_pack("{s:s, s:i, s:I, s:o}", "port", port->cfg.name, "pid", (int)state.pid, "lost",
		(json_int_t)dp_trace_lost(plane->dp, port->id), "chains", chains);
}

static int
trace_read(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct rpc_trace *trace = ctx;
	unsigned left = TRACE_MAX_RECORDS;
	json_t *list = json_array();

	(void)params;
	(void)present;
	trace->read_ns = ctl_now_ns();
	for (unsigned i = 0; i < trace->plane->live->n_ports; i++)
		if (dp_trace_is_on(trace->plane->dp, trace->plane->live->ports[i]->id))
			(void)json_array_append_new(list, port_json(trace->plane, trace->plane->live->ports[i], &left));
	return ctl_answer(
		ret_result, json_pack("{s:I, s:o}", "monotonic_ns", (json_int_t)trace->read_ns, "ports", list), err);
}

void
rpc_trace_tick(struct rpc_trace *trace)
{
	if (ctl_now_ns() - trace->read_ns < TRACE_LEASE_NS)
		return;
	for (unsigned i = 0; i < trace->plane->live->n_ports; i++)
		dp_trace_stop(trace->plane->dp, trace->plane->live->ports[i]->id);
}

#define SIZE sizeof(struct trace_params)
const struct rpc_method rpc_trace_methods[] = {
	{"trace.start", "Follow packets to a guest, and its answers; ends when no client reads for 10 s.", "true",
		trace_start, start_params, 2, SIZE, 0},
	{"trace.stop", "Stop following packets to a guest.", "true", trace_stop, start_params, 1, SIZE, 0},
	{"trace.read", "Return the records of followed packets since the last reading.",
		"{monotonic_ns, ports}: of each port {port, pid, lost, chains}; times of CLOCK_MONOTONIC, 0: did not "
		"come so far. The times of a packet are those of arrival, queueing, putting into the ring, kick "
		"(is_kicked: the guest wanted it), consumption by the driver and answer, and of the answer's "
		"departure. prewoken_ns: a kick ahead; depth: packets in the ring before it.",
		trace_read, NULL, 0, 0, 0},
	{0},
};
