// The trials of trial.h: one link of 1 Gbit/s; flows with random packets, bursts, rates and
// deadlines. The sum of their rates is not above the link's.
//
// The worst arrivals for a deadline d (Liebeherr, Wrege and Ferrari 1996): all flows with deadlines
// up to d send their bursts at one instant, and then as their token buckets permit. Just before,
// the longest packet of the others has begun. Each deadline of a set is tried. The others' bursts
// come, too: they must not matter.
#include "trial.h"

#include "rtvs/random.h"
#include "sim.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_S UINT64_C(1000000000)
#define LINK_BPS UINT64_C(1000000000)
#define BURSTS_NS UINT64_C(1000000) // when they come
#define GREEDY_NS UINT64_C(3000000) // for how long
#define BEST_EFFORT_PACKET 1500u

struct set {
	struct admission_sender flow[TRIAL_MAX_FLOWS];
	uint32_t n;
	struct admission_link link;
};

static void
draw(uint64_t *seed, struct set *set)
{
	uint32_t n = (uint32_t)random_below(seed, TRIAL_MAX_FLOWS) + 1;

	set->n = n;
	set->link = (struct admission_link){
		.rate = LINK_BPS / 8, .best_effort_packet = random_below(seed, 2) ? BEST_EFFORT_PACKET : 0};
	for (uint32_t i = 0; i < n; i++) {
		uint32_t packet = 64 + (uint32_t)random_below(seed, 1437);
		struct admission_sender *flow = &set->flow[i];

		// One draw a statement, or compilers differ.
		*flow = (struct admission_sender){.max_packet = packet, .id = i};
		// Each has at most its share of the link: sums of rates always fit, deadlines
		// decide.
		flow->rate = set->link.rate / (n * (1 + random_below(seed, 20)));
		flow->burst = packet * (1 + random_below(seed, 5));
		flow->burst += random_below(seed, packet);
		flow->deadline_ns = (1000 + random_below(seed, 120000)) * n;
	}
}

static void
set_flow(struct scenario_flow *to, const struct admission_sender *from, uint64_t start_ns)
{
	*to = (struct scenario_flow){.n_hops = 1,
		.source = {.type = SOURCE_GREEDY,
			.link_rate_bps = from->rate * 8,
			.burst_bytes = from->burst,
			.start_ns = start_ns,
			.packet = from->max_packet},
		.deadline_ns = from->deadline_ns,
		.min_rate_bps = from->rate * 8,
		.burst_bytes = from->burst,
		.weight = 1,
		.queue = SCENARIO_MAX_QUEUE};
}

struct worst {
	uint64_t late_ns; // after its deadline
	uint64_t permille; // of its deadline
};

// The worst that happens to packets of the set under the worst arrivals for deadline_ns.
static int
run_pattern(const struct set *set, uint64_t deadline_ns, struct trial_counts *counts, struct worst *ret_worst)
{
	struct scenario_host host = {.link_rate_bps = LINK_BPS};
	struct scenario_flow flows[TRIAL_MAX_FLOWS + 1] = {0};
	struct source_entry blocking = {BURSTS_NS - 1, set->link.best_effort_packet};
	struct scenario sc = {
		.time_ns = BURSTS_NS + deadline_ns + GREEDY_NS, .hosts = &host, .flows = flows, .n_hosts = 1};
	struct scenario_flow *longest = NULL;
	struct sim_result result;
	int rc;

	for (uint32_t i = 0; i < set->n; i++) {
		struct scenario_flow *f = &flows[sc.n_flows++];

		set_flow(f, &set->flow[i], BURSTS_NS);
		if (f->deadline_ns > deadline_ns && (!longest || f->source.packet > longest->source.packet))
			longest = f;
	}
	// Only the longest begins before: all others wait for it.
	if (longest && longest->source.packet > blocking.len)
		longest->source.start_ns = BURSTS_NS - 1;
	else if (blocking.len)
		flows[sc.n_flows++] = (struct scenario_flow){.n_hops = 1,
			.source = {.type = SOURCE_TRACE, .trace = &blocking, .n_trace = 1},
			.weight = 1,
			.queue = 1};
	rc = sim_run(&sc, POLICY_EDF, 0, &result);
	if (rc)
		return rc;
	*ret_worst = (struct worst){0};
	counts->runs++;
	for (uint32_t i = 0; i < set->n; i++) {
		uint64_t max_ns = result.flows[i].delay.max, promised_ns = flows[i].deadline_ns;

		counts->packets += result.flows[i].sent;
		if (max_ns > promised_ns && max_ns - promised_ns > ret_worst->late_ns)
			ret_worst->late_ns = max_ns - promised_ns;
		if (max_ns * 1000 / promised_ns > ret_worst->permille)
			ret_worst->permille = max_ns * 1000 / promised_ns;
	}
	sim_fini(&result);
	return 0;
}

static int
try_admitted(const struct set *set, struct trial_counts *counts)
{
	bool is_broken = false;

	counts->admitted++;
	for (uint32_t i = 0; i < set->n; i++) {
		struct worst worst;
		int rc = run_pattern(set, set->flow[i].deadline_ns, counts, &worst);

		if (rc)
			return rc;
		is_broken |= worst.late_ns > 0;
		if (worst.permille > counts->closest_permille)
			counts->closest_permille = worst.permille;
	}
	counts->broken += is_broken;
	return 0;
}

// Admission counts bytes, arrivals come in whole packets. Counts bytes that are due by the failing
// time t: those of packets that have not come whole, or become due only after t.
static uint64_t
partial_bytes(const struct set *set, uint64_t t_ns)
{
	uint64_t bytes = 1;

	for (uint32_t i = 0; i < set->n; i++) {
		const struct admission_sender *f = &set->flow[i];

		if (f->deadline_ns <= t_ns)
			bytes += (f->burst + f->rate * (t_ns - f->deadline_ns) / NS_PER_S + 1) % f->max_packet + 1;
	}
	return bytes;
}

static int
try_refused(const struct set *set, const struct admission_result *r, struct trial_counts *counts, uint64_t *ret_late_ns)
{
	struct worst worst;
	int rc = run_pattern(set, r->t_ns, counts, &worst);

	if (rc)
		return rc;
	*ret_late_ns = worst.late_ns;
	counts->refused++;
	if (worst.late_ns)
		counts->shown++;
	else if (r->demand_bytes - r->supply_bytes <= partial_bytes(set, r->t_ns) + 1)
		counts->partial++;
	else
		counts->not_shown++;
	return 0;
}

int
trial_run(uint64_t n_sets, uint64_t seed, trial_example_fn example, void *arg, struct trial_counts *ret_counts)
{
	struct trial_counts counts = {.sets = n_sets};

	for (uint64_t i = 0; i < n_sets; i++) {
		struct trial_example shown = {.set = i};
		struct set set;
		int rc;

		draw(&seed, &set);
		shown.n_flows = set.n;
		if (admission_check(set.flow, set.n, &set.link, &shown.result))
			rc = try_admitted(&set, &counts);
		else
			rc = try_refused(&set, &shown.result, &counts, &shown.worst_late_ns);
		if (rc)
			return rc;
		if (example && shown.worst_late_ns)
			example(arg, &shown);
	}
	*ret_counts = counts;
	return 0;
}

bool
trial_is_right(const struct trial_counts *counts)
{
	return !counts->broken && !counts->not_shown;
}
