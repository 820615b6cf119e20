// Whether the links of a scenario can keep the promises to its flows: the core's test, per host,
// with the parameters of each host's scheduler. A path keeps a flow's deadline when each of its
// hosts keeps its share, since each judges packets by their flow's own token bucket. Packets that
// an earlier host sent in a clump become guaranteed no later than packets that it kept for as long
// as permitted.
// Source: Georgiadis, Guerin, Peris, Sivarajan, "Efficient network QoS provisioning based on per
// node traffic shaping", IEEE/ACM Trans. Networking 4(4), 1996.
#include "admit.h"

#include <errno.h>
#include <stdlib.h>

#define NS_PER_S UINT64_C(1000000000)

static uint32_t
max_packet(const struct scenario_flow *f)
{
	uint64_t longest = f->source.type == SOURCE_TRACE ? 0 : f->source.packet;

	for (uint32_t i = 0; i < f->source.n_trace; i++)
		if (f->source.trace[i].len > longest)
			longest = f->source.trace[i].len;
	return (uint32_t)longest;
}

// All its packets have tokens on arrival at the first host. cbr and bursts round times to whole
// nanoseconds: the bucket must have room for one.
static bool
is_conforming(const struct scenario_flow *f)
{
	const struct source_params *p = &f->source;

	if (p->link_rate_bps > f->min_rate_bps)
		return false;
	if (p->type == SOURCE_GREEDY)
		return p->burst_bytes <= f->burst_bytes;
	if (p->type != SOURCE_CBR && p->type != SOURCE_BURSTS)
		return false;
	return f->burst_bytes >=
		(p->type == SOURCE_CBR ? p->packet : p->burst_bytes) + p->link_rate_bps / 8 / NS_PER_S + 1;
}

void
admit_hop_params(
	const struct scenario *sc, const struct scenario_flow *f, uint32_t hop, struct sched_params *ret_params)
{
	uint64_t left_ns = f->deadline_ns;

	*ret_params = (struct sched_params){.min_rate = f->min_rate_bps / 8,
		.burst = f->burst_bytes,
		.weight = (uint32_t)f->weight,
		.limit = (uint32_t)f->queue,
		.drops_late = f->drops_late};
	if (!f->deadline_ns)
		return;
	for (uint32_t i = 0; i < f->n_hops; i++)
		left_ns -= sc->hosts[f->path[i]].latency_ns;
	ret_params->deadline_ns = left_ns / f->n_hops + (hop ? 0 : left_ns % f->n_hops);
}

// Packets that may leave as surplus count as best effort, whatever their flow. These are packets of
// flows without guarantee, and of flows that send more than theirs. An earlier host may also send
// packets ahead of their flow's tokens.
static void
add_flow(const struct scenario *sc, uint32_t id, uint32_t hop, struct admission_sender *flows, uint32_t *n,
	struct admission_link *link)
{
	const struct scenario_flow *f = &sc->flows[id];
	uint32_t longest = max_packet(f);
	struct sched_params params;

	if ((hop || !f->min_rate_bps || !is_conforming(f)) && longest > link->best_effort_packet)
		link->best_effort_packet = longest;
	if (!f->min_rate_bps)
		return;
	admit_hop_params(sc, f, hop, &params);
	flows[(*n)++] = (struct admission_sender){.rate = params.min_rate,
		.burst = params.burst,
		.deadline_ns = params.deadline_ns,
		.max_packet = longest,
		.id = id};
}

int
admit_host(const struct scenario *sc, uint32_t host, struct admission_result *ret_result)
{
	struct admission_sender *flows = calloc(sc->n_flows, sizeof(*flows));
	struct admission_link link = {.rate = sc->hosts[host].link_rate_bps / 8};
	uint32_t n = 0;

	if (!flows)
		return -ENOMEM;
	for (uint32_t i = 0; i < sc->n_flows; i++)
		for (uint32_t hop = 0; hop < sc->flows[i].n_hops; hop++)
			if (sc->flows[i].path[hop] == host)
				add_flow(sc, i, hop, flows, &n, &link);
	(void)admission_check(flows, n, &link, ret_result);
	free(flows);
	return 0;
}
