// The event loop of loop.h. As in sim.c there is at most one event of a kind per object, so the
// core's queue of deadlines is the queue of events. At one instant packets arrive before links
// send; otherwise events happen in the order of their planning.
//
// A packet's way: source -> the host's scheduler -> its wire -> the shared link -> its flow's wire
// -> receiver. A report's way: receiver -> a list with random arrivals -> controller. Each wire has
// one latency and so is a queue.
#include "loop.h"

#include "policy.h"
#include "pool.h"
#include "rtvs/admission.h"
#include "rtvs/random.h"
#include "rtvs/sched.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define CROSS UINT32_MAX // packet.sender: of no host

// The item comes first: an item returned by a scheduler is a packet. Its user is the step of the
// ladder.
struct packet {
	struct sched_item item;
	uint64_t created_ns, arrives_ns; // arrives_ns: on a wire, at its end
	uint64_t residence_ns, seq;
	uint32_t sender;
};

struct wire {
	struct packet *head, *tail;
};

struct report {
	struct report *next;
	struct flow_delay_report report;
	uint64_t arrives_ns;
};

// One flow of one host, and what its receiver knows of it.
struct sender {
	struct stream stream;
	uint64_t seq;
	int64_t clock_error_ns;
	bool has_feedback;
	struct loop_result_tally tally;
	struct feedback control;
	struct flow_delay account;
	struct report *reports; // under way
};

enum kind { // of events
	EVENT_SOURCE, // of a sender, as the next two
	EVENT_REPORT,
	EVENT_POLL,
	EVENT_WIRE, // of a host
	EVENT_ARRIVAL, // of a flow
	EVENT_CROSS,
	EVENT_SAMPLE,
	EVENT_SEND, // of a host
	EVENT_NETWORK,
	EVENT_KINDS,
};

struct loop {
	const struct loop_scenario *sc;
	struct loop_result *result;
	struct sender *senders; // host * n_flows + flow
	struct sched *hosts;
	struct wire *wires; // of hosts
	struct wire flow_wires[LOOP_MAX_FLOWS];
	struct policy *network; // the shared link
	struct stream cross[LOOP_MAX_CROSS];
	uint64_t seed; // of reports
	void *host_memory, *event_memory;
	struct edf events;
	uint32_t first[EVENT_KINDS + 1]; // number of a kind's first event
	struct pool packets, reports;
};

static const struct loop_flow *
flow_of(const struct loop *l, uint32_t sender)
{
	return &l->sc->flows[sender % l->sc->n_flows];
}

static struct loop_result_flow *
result_of(const struct loop *l, uint32_t sender)
{
	return &l->result->flows[sender % l->sc->n_flows];
}

// Instead of when it was planned for. UINT64_MAX: not at all. Times are below 2^62.
static void
plan(struct loop *l, enum kind kind, uint32_t i, uint64_t at_ns)
{
	uint32_t event = l->first[kind] + i;

	if (edf_has(&l->events, event))
		edf_remove(&l->events, event);
	if (at_ns != UINT64_MAX)
		edf_push(&l->events, event, at_ns * 2 + (kind >= EVENT_SEND));
}

static bool
is_planned(const struct loop *l, enum kind kind, uint32_t i)
{
	return edf_has(&l->events, l->first[kind] + i);
}

// The first arrival of a wire is an event.
static void
push_wire(struct loop *l, struct wire *wire, struct packet *packet, enum kind kind, uint32_t i)
{
	packet->item.next = NULL;
	if (wire->head)
		wire->tail->item.next = &packet->item;
	else
		wire->head = packet;
	wire->tail = packet;
	if (wire->head == packet)
		plan(l, kind, i, packet->arrives_ns);
}

static struct packet *
pop_wire(struct loop *l, struct wire *wire, enum kind kind, uint32_t i)
{
	struct packet *packet = wire->head;

	wire->head = (struct packet *)packet->item.next;
	if (wire->head)
		plan(l, kind, i, wire->head->arrives_ns);
	return packet;
}

// Another packet of a stream, which goes on.
static int
take_packet(struct loop *l, struct stream *s, uint32_t sender, struct packet **ret_packet, uint64_t now_ns)
{
	void *object;
	int rc = pool_get(&l->packets, &object);

	if (rc)
		return rc;
	*ret_packet = object;
	**ret_packet = (struct packet){
		.item = {.len = (uint32_t)s->source.len, .arrival_ns = now_ns}, .created_ns = now_ns, .sender = sender};
	source_advance(&s->source);
	return 0;
}

static void
plan_send(struct loop *l, uint32_t host, uint64_t now_ns)
{
	uint64_t next_ns;

	if (!is_planned(l, EVENT_SEND, host) && sched_next_ns(&l->hosts[host], &next_ns, now_ns))
		plan(l, EVENT_SEND, host, next_ns);
}

static int
run_source(struct loop *l, uint32_t i, uint64_t now_ns)
{
	struct sender *s = &l->senders[i];
	uint32_t host = i / l->sc->n_flows, flow = i % l->sc->n_flows;
	struct packet *packet;
	int rc = take_packet(l, &s->stream, i, &packet, now_ns);

	if (rc)
		return rc;
	l->result->flows[flow].sent++;
	if (sched_enqueue(&l->hosts[host], flow, &packet->item, now_ns)) {
		l->result->flows[flow].full++;
		pool_put(&l->packets, packet);
	} else {
		plan_send(l, host, now_ns);
	}
	plan(l, EVENT_SOURCE, i, stream_next_ns(&s->stream));
	return 0;
}

// One packet begins to leave a host.
static void
run_send(struct loop *l, uint32_t host, uint64_t now_ns)
{
	struct sched *sched = &l->hosts[host];
	struct sched_item *item;

	if (sched_dequeue(sched, &item, 1, now_ns)) {
		struct packet *packet = (struct packet *)item;
		struct sender *s = &l->senders[packet->sender];

		packet->seq = ++s->seq;
		packet->item.user = (uint16_t)s->control.step;
		packet->residence_ns = sched->link.free_ns - packet->created_ns;
		packet->arrives_ns = sched->link.free_ns + l->sc->hosts.latency_ns;
		push_wire(l, &l->wires[host], packet, EVENT_WIRE, host);
	}
	plan_send(l, host, now_ns);
}

static void
plan_network(struct loop *l, uint64_t now_ns)
{
	uint64_t next_ns;

	if (!is_planned(l, EVENT_NETWORK, 0) && policy_next_ns(l->network, &next_ns, now_ns))
		plan(l, EVENT_NETWORK, 0, next_ns);
}

static void
enter_network(struct loop *l, struct packet *packet, uint64_t now_ns)
{
	packet->item.arrival_ns = now_ns;
	if (policy_enqueue(l->network, &packet->item, now_ns)) {
		++*(packet->sender == CROSS ? &l->result->cross_lost : &result_of(l, packet->sender)->lost);
		pool_put(&l->packets, packet);
	} else {
		plan_network(l, now_ns);
	}
}

static int
run_cross(struct loop *l, uint32_t i, uint64_t now_ns)
{
	struct packet *packet;
	int rc = take_packet(l, &l->cross[i], CROSS, &packet, now_ns);

	if (rc)
		return rc;
	packet->item.user = (uint16_t)l->sc->cross[i].step;
	l->result->cross_sent++;
	enter_network(l, packet, now_ns);
	plan(l, EVENT_CROSS, i, stream_next_ns(&l->cross[i]));
	return 0;
}

// One packet begins to leave the shared link, which is free.
static void
run_network(struct loop *l, uint64_t now_ns)
{
	uint64_t left_ns;
	struct packet *packet = (struct packet *)policy_dequeue(l->network, &left_ns, now_ns);
	uint32_t flow = packet->sender % l->sc->n_flows;

	if (packet->sender == CROSS) {
		pool_put(&l->packets, packet);
	} else {
		packet->arrives_ns = left_ns + l->sc->flows[flow].latency_ns;
		push_wire(l, &l->flow_wires[flow], packet, EVENT_ARRIVAL, flow);
	}
	plan_network(l, now_ns);
}

static void
plan_report(struct loop *l, uint32_t i)
{
	uint64_t next_ns = UINT64_MAX;

	for (const struct report *r = l->senders[i].reports; r; r = r->next)
		next_ns = r->arrives_ns < next_ns ? r->arrives_ns : next_ns;
	plan(l, EVENT_REPORT, i, next_ns);
}

static bool
is_report_lost(struct loop *l, uint32_t sender, uint64_t now_ns)
{
	const struct loop_scenario *sc = l->sc;

	return random_below(&l->seed, 100) < sc->reports.loss_percent &&
		sender / sc->n_flows < sc->reports.loss_hosts && stream_times_has(&sc->reports.loss_times, now_ns);
}

static int
send_report(struct loop *l, uint32_t i, uint64_t now_ns)
{
	const struct loop_scenario *sc = l->sc;
	struct sender *s = &l->senders[i];
	struct flow_delay_report report;
	struct report *r;
	void *object;
	int rc;

	if (!flow_delay_take(&s->account, &report, now_ns))
		return 0;
	loop_result_report(result_of(l, i), &s->tally, now_ns);
	if (is_report_lost(l, i, now_ns)) {
		result_of(l, i)->reports_lost++;
		return 0;
	}
	rc = pool_get(&l->reports, &object);
	if (rc)
		return rc;
	r = object;
	*r = (struct report){.next = s->reports,
		.report = report,
		.arrives_ns = now_ns + sc->reports.latency_ns + random_below(&l->seed, sc->reports.jitter_ns + 1)};
	s->reports = r;
	plan_report(l, i);
	return 0;
}

static int
run_arrival(struct loop *l, uint32_t flow, uint64_t now_ns)
{
	struct packet *packet = pop_wire(l, &l->flow_wires[flow], EVENT_ARRIVAL, flow);
	uint64_t delay_ns = now_ns - packet->created_ns;
	uint64_t deadline_ns = l->sc->flows[flow].deadline_ns;
	uint32_t i = packet->sender;
	struct sender *s = &l->senders[i];
	struct flow_delay_packet seen = {.seq = packet->seq,
		.delay_ns = (int64_t)delay_ns + s->clock_error_ns,
		.uncertainty_ns = l->sc->hosts.clock_error_ns,
		.residence_ns = packet->residence_ns,
		.deadline_ns = deadline_ns,
		.bytes = (uint32_t)l->sc->flows[flow].source.packet};

	loop_result_deliver(l->result, flow, &s->tally, deadline_ns, packet->created_ns, delay_ns);
	pool_put(&l->packets, packet);
	flow_delay_add(&s->account, &seen, 1);
	if (!s->has_feedback || now_ns >= l->sc->time_ns ||
		!flow_delay_wants_report(&s->account, l->sc->reports.interval_ns, now_ns))
		return 0;
	return send_report(l, i, now_ns);
}

// Admission's grant for the flow, beside the present scheduling of the others of its host.
static uint64_t
shortest_deadline(const struct loop *l, uint32_t sender)
{
	const struct loop_scenario *sc = l->sc;
	uint32_t own = sender % sc->n_flows, n = 0;
	const struct sched *host = &l->hosts[sender / sc->n_flows];
	struct admission_link link = {.rate = sc->hosts.link_rate_bps / 8};
	struct admission_sender flows[LOOP_MAX_FLOWS];
	uint64_t best_ns;

	for (uint32_t i = 0; i < sc->n_flows; i++) {
		const struct loop_flow *f = &sc->flows[i];

		if (f->source.packet > link.best_effort_packet)
			link.best_effort_packet = (uint32_t)f->source.packet;
		if (f->min_rate_bps)
			flows[n++] = (struct admission_sender){.rate = f->min_rate_bps / 8,
				.burst = f->burst_bytes,
				.deadline_ns = host->sender[i].deadline_ns,
				.max_packet = (uint32_t)f->source.packet,
				.id = i};
	}
	if (sc->flows[own].min_rate_bps && admission_best(flows, n, &link, own, ADMISSION_BEST_DEADLINE, &best_ns))
		return best_ns;
	return sc->flows[own].deadline_ns;
}

static void
set_scheduling(struct loop *l, uint32_t sender, uint64_t now_ns)
{
	const struct loop_flow *f = flow_of(l, sender);
	struct sched_params params = {.deadline_ns = f->deadline_ns ? l->senders[sender].control.deadline_ns : 0,
		.min_rate = f->min_rate_bps / 8,
		.burst = f->burst_bytes,
		.weight = (uint32_t)f->weight,
		.limit = (uint32_t)f->queue};

	sched_set_sender(&l->hosts[sender / l->sc->n_flows], sender % l->sc->n_flows, &params, now_ns);
}

static void
apply(struct loop *l, uint32_t i, enum feedback_event event, uint64_t now_ns)
{
	struct sender *s = &l->senders[i];

	assert(feedback_is_consistent(&s->control));
	plan(l, EVENT_POLL, i, feedback_next_ns(&s->control));
	if (!event)
		return;
	result_of(l, i)->events[event]++;
	set_scheduling(l, i, now_ns);
}

static void
run_report(struct loop *l, uint32_t i, uint64_t now_ns)
{
	struct sender *s = &l->senders[i];
	struct feedback_path path = {
		.sent_seq = s->seq + l->hosts[i / l->sc->n_flows].sender[i % l->sc->n_flows].n_queued,
		.rtt_ns = l->sc->hosts.latency_ns + flow_of(l, i)->latency_ns + l->sc->reports.latency_ns,
		.floor_ns = shortest_deadline(l, i)};
	struct report **at = &s->reports;

	while (*at) {
		struct report *r = *at;

		if (r->arrives_ns > now_ns) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		apply(l, i, feedback_report(&s->control, &r->report, &path, now_ns), now_ns);
		pool_put(&l->reports, r);
	}
	plan_report(l, i);
}

static void
run_sample(struct loop *l, uint64_t now_ns)
{
	for (uint32_t i = 0; i < l->sc->hosts.count * l->sc->n_flows; i++)
		if (l->senders[i].has_feedback)
			loop_result_sample(l->result, i % l->sc->n_flows, &l->senders[i].control, now_ns);
	plan(l, EVENT_SAMPLE, 0, now_ns + l->result->sample_ns);
}

static int
run_event(struct loop *l, enum kind kind, uint32_t i, uint64_t now_ns)
{
	switch (kind) {
	case EVENT_SOURCE:
		return run_source(l, i, now_ns);
	case EVENT_REPORT:
		run_report(l, i, now_ns);
		return 0;
	case EVENT_POLL:
		apply(l, i, feedback_poll(&l->senders[i].control, now_ns), now_ns);
		return 0;
	case EVENT_WIRE:
		enter_network(l, pop_wire(l, &l->wires[i], kind, i), now_ns);
		return 0;
	case EVENT_ARRIVAL:
		return run_arrival(l, i, now_ns);
	case EVENT_CROSS:
		return run_cross(l, i, now_ns);
	case EVENT_SAMPLE:
		run_sample(l, now_ns);
		return 0;
	case EVENT_SEND:
		run_send(l, i, now_ns);
		return 0;
	default:
		run_network(l, now_ns);
		return 0;
	}
}

// After the scenario's time packets that are under way still arrive; nothing else happens.
static bool
is_over(const struct loop *l, enum kind kind, uint64_t now_ns)
{
	return now_ns >= l->sc->time_ns && kind != EVENT_WIRE && kind != EVENT_ARRIVAL && kind != EVENT_SEND &&
		kind != EVENT_NETWORK;
}

static int
run_events(struct loop *l)
{
	int rc = 0;

	while (!rc && !edf_is_empty(&l->events)) {
		uint32_t event = edf_first(&l->events), kind = 0;
		uint64_t now_ns = edf_first_ns(&l->events) / 2;

		while (event >= l->first[kind + 1])
			kind++;
		l->result->n_events++;
		edf_remove(&l->events, event);
		if (!is_over(l, (enum kind)kind, now_ns))
			rc = run_event(l, (enum kind)kind, event - l->first[kind], now_ns);
	}
	return rc;
}

// Strict priority by step: the higher one is the more urgent flow of a policy.
static struct policy *
create_network(const struct loop_scenario *sc)
{
	struct sched_params steps[FEEDBACK_MAX_STEPS];

	for (uint32_t i = 0; i < sc->network.steps; i++)
		steps[i] = (struct sched_params){
			.deadline_ns = FEEDBACK_MAX_STEPS - i, .weight = 1, .limit = (uint32_t)sc->network.queue};
	return policy_create(POLICY_PRIORITY, steps, (uint32_t)sc->network.steps, sc->network.link_rate_bps / 8);
}

static int
allocate(struct loop *l)
{
	const struct loop_scenario *sc = l->sc;
	uint32_t n_hosts = (uint32_t)sc->hosts.count, n_senders = n_hosts * sc->n_flows;
	const uint32_t counts[EVENT_KINDS] = {
		n_senders, n_senders, n_senders, n_hosts, sc->n_flows, LOOP_MAX_CROSS, 1, n_hosts, 1};

	for (unsigned kind = 0; kind < EVENT_KINDS; kind++)
		l->first[kind + 1] = l->first[kind] + counts[kind];
	l->senders = calloc(n_senders, sizeof(*l->senders));
	l->hosts = calloc(n_hosts, sizeof(*l->hosts));
	l->wires = calloc(n_hosts, sizeof(*l->wires));
	l->host_memory = aligned_alloc(SCHED_ALIGN, n_hosts * sched_memory_bytes(sc->n_flows));
	l->event_memory = aligned_alloc(EDF_ALIGN, edf_memory_bytes(l->first[EVENT_KINDS]));
	if (!l->senders || !l->hosts || !l->wires || !l->host_memory || !l->event_memory)
		return -ENOMEM;
	edf_init(&l->events, l->first[EVENT_KINDS], l->event_memory);
	l->network = create_network(sc);
	if (!l->network)
		return -ENOMEM;
	return 0;
}

static void
init_sender(struct loop *l, uint32_t i, enum feedback_mode mode, uint64_t *seed)
{
	const struct loop_scenario *sc = l->sc;
	const struct loop_flow *f = flow_of(l, i);
	struct sender *s = &l->senders[i];
	uint64_t phase_ns = random_below(seed, sc->hosts.spread_ns + 1);

	stream_init(&s->stream, &f->source, &f->times, phase_ns, random_next(seed));
	s->clock_error_ns =
		(int64_t)random_below(seed, 2 * sc->hosts.clock_error_ns + 1) - (int64_t)sc->hosts.clock_error_ns;
	s->has_feedback = f->deadline_ns;
	flow_delay_init(&s->account, NULL, NULL);
	if (s->has_feedback) {
		struct feedback_params params = loop_scenario_control(sc, i % sc->n_flows, mode);

		feedback_init(&s->control, &params, 0);
	}
	set_scheduling(l, i, 0);
	plan(l, EVENT_SOURCE, i, stream_next_ns(&s->stream));
}

static int
init(struct loop *l, enum feedback_mode mode, uint64_t seed)
{
	const struct loop_scenario *sc = l->sc;
	int rc = allocate(l);

	if (rc)
		return rc;
	for (uint32_t i = 0; i < sc->hosts.count; i++) {
		sched_init(&l->hosts[i], sc->n_flows, (char *)l->host_memory + i * sched_memory_bytes(sc->n_flows), 0);
		sched_set_link(&l->hosts[i], sc->hosts.link_rate_bps / 8, 0, 0, 0);
	}
	for (uint32_t i = 0; i < sc->hosts.count * sc->n_flows; i++)
		init_sender(l, i, mode, &seed);
	for (uint32_t i = 0; i < sc->n_cross; i++) {
		stream_init(&l->cross[i], &sc->cross[i].source, &sc->cross[i].times, 0, random_next(&seed));
		plan(l, EVENT_CROSS, i, stream_next_ns(&l->cross[i]));
	}
	plan(l, EVENT_SAMPLE, 0, 0);
	l->seed = seed;
	return 0;
}

static void
fini(struct loop *l)
{
	pool_fini(&l->packets);
	pool_fini(&l->reports);
	policy_destroy(l->network);
	free(l->senders);
	free(l->hosts);
	free(l->wires);
	free(l->host_memory);
	free(l->event_memory);
}

int
loop_run(const struct loop_scenario *sc, enum feedback_mode mode, uint64_t seed, struct loop_result *ret_result)
{
	struct loop_result *result = malloc(sizeof(*result)); // of histograms: not for the stack
	struct loop l = {.sc = sc, .result = result};
	int rc;

	if (!result)
		return -ENOMEM;
	pool_init(&l.packets, sizeof(struct packet), LOOP_MAX_PACKETS);
	pool_init(&l.reports, sizeof(struct report), LOOP_MAX_REPORTS);
	rc = loop_result_init(result, sc);
	if (!rc)
		rc = init(&l, mode, seed);
	if (!rc)
		rc = run_events(&l);
	for (uint32_t i = 0; !rc && i < sc->hosts.count * sc->n_flows; i++)
		result_of(&l, i)->at_start += l.senders[i].has_feedback && feedback_is_at_start(&l.senders[i].control);
	fini(&l);
	if (rc)
		loop_result_fini(result);
	else
		*ret_result = *result;
	free(result);
	return rc;
}
