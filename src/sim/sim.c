// The event loop of sim.h. There are three kinds of events, and at most one of each per object: the
// next packet of a source, a host whose link may send, the first packet on a link that arrives. So
// the core's queue of deadlines is the queue of events. At one instant packets arrive before links
// send; otherwise events happen in the order of their planning.
#include "sim.h"

#include "admit.h"
#include "pool.h"
#include "rtvs/random.h"

#include <errno.h>
#include <stdlib.h>

#define NS_PER_S UINT64_C(1000000000)

// The item comes first: what a policy gives back is a packet.
struct packet {
	struct sched_item item;
	uint64_t created_ns, arrives_ns; // arrives_ns: on a link, at its end
	uint32_t hop;
};

struct host {
	struct policy *policy;
	struct packet *head, *tail; // on the link
};

struct flow {
	struct source source;
	struct rate tokens; // what is promised
};

struct sim {
	const struct scenario *sc;
	struct sim_result *result;
	struct host *hosts;
	struct flow *flows;
	struct edf events; // by number: sources of flows, links that may send, links with arrivals
	void *memory;
	struct pool packets;
};

// Keys of events; times are below 2^62. A link that may send comes after what arrives.
static void
plan_source(struct sim *sim, uint32_t flow)
{
	uint64_t next_ns = sim->flows[flow].source.next_ns;

	if (next_ns < sim->sc->time_ns)
		edf_push(&sim->events, flow, next_ns * 2);
}

static void
plan_send(struct sim *sim, uint32_t host, uint64_t now_ns)
{
	uint32_t event = sim->sc->n_flows + host;
	uint64_t next_ns;

	if (!edf_has(&sim->events, event) && policy_next_ns(sim->hosts[host].policy, &next_ns, now_ns))
		edf_push(&sim->events, event, next_ns * 2 + 1);
}

static void
plan_arrival(struct sim *sim, uint32_t host)
{
	uint32_t event = sim->sc->n_flows + sim->sc->n_hosts + host;

	if (sim->hosts[host].head && !edf_has(&sim->events, event))
		edf_push(&sim->events, event, sim->hosts[host].head->arrives_ns * 2);
}

static void
arrive(struct sim *sim, struct packet *packet, uint64_t now_ns)
{
	uint32_t host = sim->sc->flows[packet->item.user].path[packet->hop];

	packet->item.arrival_ns = now_ns;
	if (policy_enqueue(sim->hosts[host].policy, &packet->item, now_ns)) {
		sim->result->flows[packet->item.user].full++;
		pool_put(&sim->packets, packet);
		return;
	}
	plan_send(sim, host, now_ns);
}

static void
deliver(struct sim *sim, struct packet *packet, uint64_t now_ns)
{
	const struct scenario_flow *f = &sim->sc->flows[packet->item.user];
	struct sim_flow *result = &sim->result->flows[packet->item.user];
	uint64_t delay_ns = now_ns - packet->created_ns;

	result->delivered++;
	hist_add(&result->delay, delay_ns);
	if (f->deadline_ns && delay_ns > f->deadline_ns)
		result->missed++;
	if (now_ns <= sim->sc->time_ns)
		result->bytes += packet->item.len;
	pool_put(&sim->packets, packet);
}

// All packets of a source at this instant.
static int
run_source(struct sim *sim, uint32_t id, uint64_t now_ns)
{
	struct flow *f = &sim->flows[id];
	struct sim_flow *result = &sim->result->flows[id];

	while (f->source.next_ns == now_ns) {
		struct packet *packet;
		void *object;
		int rc = pool_get(&sim->packets, &object);

		if (rc)
			return rc;
		packet = object;
		*packet = (struct packet){
			.item = {.len = (uint32_t)f->source.len, .user = (uint16_t)id}, .created_ns = now_ns};
		result->sent++;
		if (sim->sc->flows[id].min_rate_bps && rate_take(&f->tokens, packet->item.len, now_ns) &&
			now_ns + sim->sc->flows[id].deadline_ns <= sim->sc->time_ns)
			result->promised_bytes += packet->item.len;
		arrive(sim, packet, now_ns);
		source_advance(&f->source);
	}
	plan_source(sim, id);
	return 0;
}

// One packet begins to leave; those that are too late are dropped on the way.
static void
run_send(struct sim *sim, uint32_t id, uint64_t now_ns)
{
	struct host *host = &sim->hosts[id];
	struct sched_item *item;
	uint64_t left_ns = 0;

	while ((item = policy_dequeue(host->policy, &left_ns, now_ns))) {
		struct packet *packet = (struct packet *)item;

		if (item->verdict == SCHED_LATE) {
			sim->result->flows[item->user].late++;
			pool_put(&sim->packets, packet);
			continue;
		}
		packet->arrives_ns = left_ns + sim->sc->hosts[id].latency_ns;
		item->next = NULL;
		if (host->head)
			host->tail->item.next = item;
		else
			host->head = packet;
		host->tail = packet;
		if (left_ns <= sim->sc->time_ns)
			sim->result->hosts[id].bytes += item->len;
	}
	plan_arrival(sim, id);
	plan_send(sim, id, now_ns);
}

static void
run_arrival(struct sim *sim, uint32_t id, uint64_t now_ns)
{
	struct host *host = &sim->hosts[id];
	struct packet *packet = host->head;

	host->head = (struct packet *)packet->item.next;
	packet->hop++;
	if (packet->hop == sim->sc->flows[packet->item.user].n_hops)
		deliver(sim, packet, now_ns);
	else
		arrive(sim, packet, now_ns);
	plan_arrival(sim, id);
}

static int
run_events(struct sim *sim)
{
	uint32_t n_flows = sim->sc->n_flows, n_hosts = sim->sc->n_hosts;
	int rc = 0;

	while (!rc && !edf_is_empty(&sim->events)) {
		uint32_t event = edf_first(&sim->events);
		uint64_t now_ns = edf_first_ns(&sim->events) / 2;

		if (sim->result->n_events++ == SIM_MAX_EVENTS)
			return -EOVERFLOW;
		edf_remove(&sim->events, event);
		if (event < n_flows)
			rc = run_source(sim, event, now_ns);
		else if (event < n_flows + n_hosts)
			run_send(sim, event - n_flows, now_ns);
		else
			run_arrival(sim, event - n_flows - n_hosts, now_ns);
	}
	return rc;
}

// Every host knows all flows by their numbers; flows that do not cross it have neutral parameters.
static int
init_host(struct sim *sim, uint32_t id, enum policy_type type)
{
	const struct scenario *sc = sim->sc;
	struct sched_params *params = calloc(sc->n_flows, sizeof(*params));

	if (!params)
		return -ENOMEM;
	for (uint32_t i = 0; i < sc->n_flows; i++) {
		params[i] = (struct sched_params){.weight = 1, .limit = 1};
		for (uint32_t hop = 0; hop < sc->flows[i].n_hops; hop++)
			if (sc->flows[i].path[hop] == id)
				admit_hop_params(sc, &sc->flows[i], hop, &params[i]);
	}
	sim->hosts[id].policy = policy_create(type, params, sc->n_flows, sc->hosts[id].link_rate_bps / 8);
	free(params);
	return sim->hosts[id].policy ? 0 : -ENOMEM;
}

static int
init(struct sim *sim, enum policy_type type, uint64_t seed)
{
	const struct scenario *sc = sim->sc;
	uint32_t n_events = sc->n_flows + 2 * sc->n_hosts;
	int rc = 0;

	sim->hosts = calloc(sc->n_hosts, sizeof(*sim->hosts));
	sim->flows = calloc(sc->n_flows, sizeof(*sim->flows));
	sim->memory = aligned_alloc(EDF_ALIGN, edf_memory_bytes(n_events));
	sim->result->flows = calloc(sc->n_flows, sizeof(*sim->result->flows));
	sim->result->hosts = calloc(sc->n_hosts, sizeof(*sim->result->hosts));
	if (!sim->hosts || !sim->flows || !sim->memory || !sim->result->flows || !sim->result->hosts)
		return -ENOMEM;
	edf_init(&sim->events, n_events, sim->memory);
	for (uint32_t i = 0; !rc && i < sc->n_hosts; i++)
		rc = init_host(sim, i, type);
	for (uint32_t i = 0; !rc && i < sc->n_flows; i++) {
		const struct scenario_flow *f = &sc->flows[i];

		hist_init(&sim->result->flows[i].delay);
		rate_init(&sim->flows[i].tokens, f->min_rate_bps / 8, f->burst_bytes, 0);
		source_init(&sim->flows[i].source, &f->source, random_next(&seed));
		plan_source(sim, i);
	}
	return rc;
}

static void
fini(struct sim *sim)
{
	for (uint32_t i = 0; sim->hosts && i < sim->sc->n_hosts; i++)
		policy_destroy(sim->hosts[i].policy);
	pool_fini(&sim->packets);
	free(sim->hosts);
	free(sim->flows);
	free(sim->memory);
}

int
sim_run(const struct scenario *sc, enum policy_type policy, uint64_t seed, struct sim_result *ret_result)
{
	struct sim_result result = {0};
	struct sim sim = {.sc = sc, .result = &result};
	int rc;

	pool_init(&sim.packets, sizeof(struct packet), SIM_MAX_PACKETS);
	rc = init(&sim, policy, seed);
	if (!rc)
		rc = run_events(&sim);
	for (uint32_t i = 0; !rc && i < sc->n_flows; i++)
		for (uint32_t hop = 0; hop < sc->flows[i].n_hops; hop++)
			result.flows[i].broken += policy_broken(sim.hosts[sc->flows[i].path[hop]].policy, i);
	fini(&sim);
	if (rc)
		sim_fini(&result);
	else
		*ret_result = result;
	return rc;
}

void
sim_fini(struct sim_result *result)
{
	free(result->flows);
	free(result->hosts);
	*result = (struct sim_result){0};
}
