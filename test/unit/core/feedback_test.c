// The controller by itself, and in a loop with a plant. The plant is a sender's scheduler, a
// network with a queue per step of the ladder, a receiver with its account (flow_delay), and a way
// back for reports that delays, loses, doubles and re-orders them.
#include "../unit.h"
#include "rtvs/feedback.h"
#include "rtvs/random.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define US UINT64_C(1000)
#define MS (1000 * US)
#define SECOND (1000 * MS)
#define TICK_NS (50 * US)
#define DEADLINE_NS (2 * MS)
#define PACKET_BYTES 1000
#define N_PACKETS 16384u // under way; 0.8 s
#define N_REPORTS 256u

struct packet {
	uint64_t delay_ns, residence_ns;
	uint32_t next; // index + 1 of the next that arrives at the same tick
};

struct way_back {
	struct flow_delay_report report;
	uint64_t arrives_ns; // UINT64_MAX: free
};

struct plant {
	uint64_t now_ns, rng, seq;
	// The load, which the test may change at any time.
	uint64_t backlog_ns; // what a packet would wait for without a deadline
	// of the scheduling deadline that a packet waits for, up to the backlog
	uint32_t slope_permille;
	uint64_t network_ns[FEEDBACK_MAX_STEPS], jitter_ns;
	uint64_t floor_ns;
	// The way back.
	uint64_t rtt_ns, back_jitter_ns;
	uint32_t loss_percent, double_percent;

	struct packet packets[N_PACKETS];
	uint32_t arrivals[N_PACKETS]; // index + 1, by tick
	struct way_back back[N_REPORTS];
	uint32_t n_back; // under way
	struct flow_delay account;
	struct feedback control;

	uint64_t n_missed, first_missed_ns, last_missed_ns; // by when they were sent
	uint64_t n_events[FEEDBACK_EVENTS], last_event_ns[FEEDBACK_EVENTS];
};

static struct plant plants[2];
static struct plant *const p = &plants[0];

static void
setup_plant(struct plant *plant, uint64_t rng)
{
	struct feedback_params params = feedback_params_default(DEADLINE_NS, 3);

	memset(plant, 0, sizeof(*plant));
	plant->rng = rng;
	plant->slope_permille = 1000;
	plant->rtt_ns = MS;
	plant->jitter_ns = 20 * US;
	for (unsigned i = 0; i < FEEDBACK_MAX_STEPS; i++)
		plant->network_ns[i] = 100 * US;
	for (unsigned i = 0; i < N_REPORTS; i++)
		plant->back[i].arrives_ns = UINT64_MAX;
	flow_delay_init(&plant->account, NULL, NULL);
	feedback_init(&plant->control, &params, 0);
}

static void
send_packet(struct plant *plant)
{
	uint64_t may_wait_ns = plant->control.deadline_ns * plant->slope_permille / 1000;
	struct packet *packet = &plant->packets[++plant->seq % N_PACKETS];

	packet->residence_ns = plant->backlog_ns < may_wait_ns ? plant->backlog_ns : may_wait_ns;
	packet->delay_ns = packet->residence_ns + plant->network_ns[plant->control.step] +
		random_below(&plant->rng, plant->jitter_ns + 1);
	if (packet->delay_ns > DEADLINE_NS) {
		plant->n_missed++;
		plant->last_missed_ns = plant->now_ns;
		if (!plant->first_missed_ns)
			plant->first_missed_ns = plant->now_ns;
	}
	uint32_t *tick = &plant->arrivals[(plant->now_ns + packet->delay_ns) / TICK_NS % N_PACKETS];
	packet->next = *tick;
	*tick = (uint32_t)(plant->seq % N_PACKETS) + 1;
}

static void
send_report(struct plant *plant, const struct flow_delay_report *report)
{
	unsigned n = 1 + (random_below(&plant->rng, 100) < plant->double_percent);

	for (unsigned i = 0; i < N_REPORTS && n; i++) {
		if (plant->back[i].arrives_ns != UINT64_MAX)
			continue;
		n--;
		if (random_below(&plant->rng, 100) < plant->loss_percent)
			continue;
		plant->n_back++;
		plant->back[i].report = *report;
		plant->back[i].arrives_ns =
			plant->now_ns + plant->rtt_ns / 2 + random_below(&plant->rng, plant->back_jitter_ns + 1);
	}
}

static void
receive(struct plant *plant)
{
	uint32_t *tick = &plant->arrivals[plant->now_ns / TICK_NS % N_PACKETS];
	struct flow_delay_report report;

	for (uint32_t i = *tick; i; i = plant->packets[i - 1].next) {
		uint64_t seq = plant->seq - (plant->seq - (i - 1)) % N_PACKETS;
		struct flow_delay_packet packet = {.seq = seq,
			.delay_ns = (int64_t)plant->packets[i - 1].delay_ns,
			.residence_ns = plant->packets[i - 1].residence_ns,
			.deadline_ns = DEADLINE_NS,
			.bytes = PACKET_BYTES};

		flow_delay_add(&plant->account, &packet, 1);
	}
	*tick = 0;
	if (flow_delay_wants_report(&plant->account, FLOW_DELAY_INTERVAL_NS, plant->now_ns) &&
		flow_delay_take(&plant->account, &report, plant->now_ns))
		send_report(plant, &report);
}

static void
note(struct plant *plant, enum feedback_event event)
{
	plant->n_events[event]++;
	plant->last_event_ns[event] = plant->now_ns;
	assert_true(feedback_is_consistent(&plant->control));
}

static void
control(struct plant *plant)
{
	struct feedback_path path = {.sent_seq = plant->seq, .rtt_ns = plant->rtt_ns, .floor_ns = plant->floor_ns};

	for (unsigned i = 0; plant->n_back && i < N_REPORTS; i++) {
		if (plant->back[i].arrives_ns > plant->now_ns)
			continue;
		plant->n_back--;
		plant->back[i].arrives_ns = UINT64_MAX;
		note(plant, feedback_report(&plant->control, &plant->back[i].report, &path, plant->now_ns));
	}
	if (plant->now_ns >= feedback_next_ns(&plant->control))
		note(plant, feedback_poll(&plant->control, plant->now_ns));
}

static void
tick(struct plant *plant)
{
	send_packet(plant);
	plant->now_ns += TICK_NS;
	receive(plant);
	control(plant);
}

static void
run(struct plant *plant, uint64_t for_ns)
{
	for (uint64_t end_ns = plant->now_ns + for_ns; plant->now_ns < end_ns;)
		tick(plant);
}

// From the first packet that missed to the last one.
static uint64_t
missing_time(const struct plant *plant)
{
	return plant->n_missed ? plant->last_missed_ns - plant->first_missed_ns : 0;
}

static uint64_t
bound(uint64_t rtts, uint64_t rtt_ns, uint64_t at_least_ns)
{
	return rtts * rtt_ns > at_least_ns ? rtts * rtt_ns : at_least_ns;
}

// Any queue at the sender with a network that leaves room for the floor.
static void
stage_1_ends_misses_and_stage_2_is_not_needed(void **state)
{
	uint64_t rng = unit_seed(), worst_ns = 0, n_shortened = 0;

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		setup_plant(p, random_next(&rng));
		p->rtt_ns = 100 * US + random_below(&rng, 20 * MS);
		p->network_ns[0] = 200 * US + random_below(&rng, 1400 * US);
		p->jitter_ns = random_below(&rng, 100 * US);
		p->slope_permille = (uint32_t)(500 + random_below(&rng, 501));
		run(p, 20 * MS);
		assert_int_equal(p->n_missed, 0);
		p->backlog_ns = DEADLINE_NS - p->network_ns[0] + random_below(&rng, 10 * MS);
		run(p, 900 * MS); // less than the first clean time
		assert_int_equal(p->n_events[FEEDBACK_RAISED] + p->n_events[FEEDBACK_ESCALATED], 0);
		if (missing_time(p) > bound(5, p->rtt_ns, 50 * MS))
			fail_msg("plant %u: %llu us, round trip %llu us", i, (unsigned long long)(missing_time(p) / US),
				(unsigned long long)(p->rtt_ns / US));
		worst_ns = missing_time(p) > worst_ns ? missing_time(p) : worst_ns;
		n_shortened += p->n_events[FEEDBACK_SHORTENED];
	}
	print_message(
		"worst %llu us, %llu steps\n", (unsigned long long)(worst_ns / US), (unsigned long long)n_shortened);
	assert_true(n_shortened > 150);
}

static void
stage_2_answers_a_network_that_leaves_no_room_at_once(void **state)
{
	uint64_t rng = unit_seed(), worst_ns = 0;

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		unsigned n_bad = 1 + i % 2;

		setup_plant(p, random_next(&rng));
		p->rtt_ns = 100 * US + random_below(&rng, 20 * MS);
		p->backlog_ns = random_below(&rng, 500 * US);
		run(p, 20 * MS);
		for (unsigned step = 0; step < n_bad; step++)
			p->network_ns[step] = DEADLINE_NS + 1 + random_below(&rng, 20 * MS);
		run(p, 900 * MS);
		assert_int_equal(p->n_events[FEEDBACK_RAISED], n_bad);
		assert_int_equal(p->n_events[FEEDBACK_SHORTENED] + p->n_events[FEEDBACK_ESCALATED], 0);
		assert_int_equal(p->control.deadline_ns, DEADLINE_NS);
		if (missing_time(p) > bound(10, p->rtt_ns, 100 * MS))
			fail_msg("plant %u: %llu us, round trip %llu us", i, (unsigned long long)(missing_time(p) / US),
				(unsigned long long)(p->rtt_ns / US));
		worst_ns = missing_time(p) > worst_ns ? missing_time(p) : worst_ns;
	}
	print_message("worst %llu us\n", (unsigned long long)(worst_ns / US));
}

// The scheduler could help, but not enough: its guarantee has a floor.
static void
stage_2_follows_when_stage_1_is_at_its_floor(void **state)
{
	(void)state;
	setup_plant(p, unit_seed());
	p->floor_ns = DEADLINE_NS / 2;
	p->backlog_ns = 10 * MS;
	p->network_ns[0] = DEADLINE_NS / 2 + 50 * US;
	run(p, 900 * MS);
	assert_int_equal(p->n_events[FEEDBACK_RAISED], 1);
	assert_true(p->control.deadline_ns >= p->floor_ns);
	assert_in_range(missing_time(p), 1, 100 * MS);
	// Where the network is not to blame, a floor is as good a reason.
	setup_plant(p, unit_seed());
	p->floor_ns = DEADLINE_NS;
	p->backlog_ns = 10 * MS;
	run(p, 50 * MS);
	assert_int_equal(p->control.deadline_ns, DEADLINE_NS);
	assert_int_equal(p->n_events[FEEDBACK_SHORTENED], 0);
	assert_true(p->n_events[FEEDBACK_RAISED] >= 1);
}

static void
escalation_is_told_once_and_again_only_after_it_ended(void **state)
{
	(void)state;
	setup_plant(p, unit_seed());
	for (unsigned step = 0; step < 3; step++)
		p->network_ns[step] = 5 * MS;
	run(p, 5 * SECOND);
	assert_int_equal(p->n_events[FEEDBACK_RAISED], 2);
	assert_int_equal(p->n_events[FEEDBACK_ESCALATED], 1);
	assert_true(p->control.is_escalated);
	assert_in_range(p->last_event_ns[FEEDBACK_ESCALATED], 1, 100 * MS);
	for (unsigned step = 0; step < 3; step++)
		p->network_ns[step] = 100 * US;
	run(p, 500 * MS);
	assert_true(p->control.is_escalated); // not clean for long enough
	run(p, 2 * SECOND);
	assert_false(p->control.is_escalated);
	for (unsigned step = 0; step < 3; step++)
		p->network_ns[step] = 5 * MS;
	run(p, 5 * SECOND);
	assert_int_equal(p->n_events[FEEDBACK_ESCALATED], 2);
}

// Without a ladder the only answer to the network is to say so.
static void
flow_without_a_ladder_escalates(void **state)
{
	struct feedback_params params = feedback_params_default(DEADLINE_NS, 1);

	(void)state;
	setup_plant(p, unit_seed());
	feedback_init(&p->control, &params, 0);
	p->network_ns[0] = 5 * MS;
	run(p, SECOND);
	assert_int_equal(p->n_events[FEEDBACK_ESCALATED], 1);
	assert_int_equal(p->n_events[FEEDBACK_RAISED] + p->n_events[FEEDBACK_SHORTENED], 0);
	p->network_ns[0] = 100 * US;
	run(p, 500 * MS);
	assert_true(p->control.is_escalated);
	run(p, 2 * SECOND);
	assert_false(p->control.is_escalated);
	assert_int_equal(p->n_events[FEEDBACK_RECOVERED], 1); // who helps may stop
	run(p, 61 * SECOND);
	assert_int_equal(p->n_events[FEEDBACK_RECOVERED], 1);
	assert_true(feedback_next_ns(&p->control) == UINT64_MAX);
}

static void
all_returns_to_the_start_when_the_load_is_gone(void **state)
{
	(void)state;
	setup_plant(p, unit_seed());
	p->network_ns[0] = 5 * MS; // and at step 1 the queue here is too long
	p->network_ns[1] = MS;
	p->backlog_ns = 10 * MS;
	run(p, 900 * MS);
	assert_int_equal(p->control.step, 1);
	assert_true(p->control.deadline_ns < DEADLINE_NS);
	uint64_t n_missed = p->n_missed;
	p->backlog_ns = 0;
	p->network_ns[0] = p->network_ns[1] = 100 * US;
	run(p, 10 * SECOND);
	assert_true(feedback_is_at_start(&p->control));
	assert_int_equal(p->n_events[FEEDBACK_RECOVERED], 1);
	assert_true(p->n_events[FEEDBACK_RELAXED] >= 2);
	assert_int_equal(p->n_missed, n_missed);
	run(p, 130 * SECOND); // and all is forgotten
	assert_true(feedback_is_at_start(&p->control));
	assert_true(feedback_next_ns(&p->control) == UINT64_MAX);
	assert_int_equal(p->n_events[FEEDBACK_RECOVERED], 1);
}

// Ten minutes of a load that stays: what it takes is found once, and tried again ever more rarely.
static void
constant_load_is_no_oscillation(void **state)
{
	uint64_t rng = unit_seed();

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		uint64_t last_try_ns = 0, last_gap_ns = 0, n_tries = 0;

		setup_plant(p, random_next(&rng));
		p->backlog_ns = 10 * MS;
		p->network_ns[0] = i % 2 ? 5 * MS : 800 * US;
		p->network_ns[1] = i / 2 ? 800 * US : 100 * US;
		p->slope_permille = i % 2 && !(i / 2) ? 500 : 1000;
		for (uint64_t n_relaxed = 0; p->now_ns < 600 * SECOND;
			n_relaxed = p->n_events[FEEDBACK_RELAXED] + p->n_events[FEEDBACK_RECOVERED]) {
			uint64_t n_tight = p->n_events[FEEDBACK_SHORTENED] + p->n_events[FEEDBACK_RAISED];

			tick(p);
			if (n_tight == p->n_events[FEEDBACK_SHORTENED] + p->n_events[FEEDBACK_RAISED] || !n_relaxed)
				continue;
			n_tries++;
			if (last_gap_ns)
				assert_true(p->now_ns - last_try_ns >= last_gap_ns * 3 / 2);
			last_gap_ns = last_try_ns ? p->now_ns - last_try_ns : 0;
			last_try_ns = p->now_ns;
		}
		print_message("load %u: %llu tries, %llu of %llu packets missed\n", i, (unsigned long long)n_tries,
			(unsigned long long)p->n_missed, (unsigned long long)p->seq);
		assert_in_range(n_tries, 5, 11);
		assert_true(p->n_missed < p->seq / 2000);
		assert_int_equal(p->n_events[FEEDBACK_ESCALATED], 0);
	}
}

// A load that comes and goes is met ever less; when it stays away, that is forgiven.
static void
slowness_is_forgiven_after_a_long_clean_time(void **state)
{
	(void)state;
	setup_plant(p, unit_seed());
	for (unsigned i = 0; i < 30; i++) {
		p->network_ns[0] = 5 * MS;
		run(p, 2 * SECOND);
		p->network_ns[0] = 100 * US;
		run(p, 5 * SECOND);
	}
	assert_true(p->n_events[FEEDBACK_RAISED] < 15);
	assert_true(p->control.level >= 3);
	run(p, 1000 * SECOND);
	assert_true(feedback_is_at_start(&p->control));
	assert_int_equal(p->control.level, 0);
	assert_true(feedback_next_ns(&p->control) == UINT64_MAX);
}

static void
lost_reports_slow_the_answer_but_do_not_change_it(void **state)
{
	static const uint32_t losses[] = {10, 50, 80};
	uint64_t rng = unit_seed();

	(void)state;
	for (unsigned i = 0; i < 60; i++) {
		setup_plant(p, random_next(&rng));
		p->loss_percent = losses[i % 3];
		p->network_ns[0] = i % 2 ? 5 * MS : MS;
		p->backlog_ns = i % 2 ? 0 : 10 * MS;
		run(p, SECOND);
		assert_in_range(missing_time(p), 0, 900 * MS);
		assert_int_equal(p->control.step, i % 2);
		assert_int_equal(p->control.deadline_ns < DEADLINE_NS, !(i % 2));
		p->network_ns[0] = 100 * US;
		p->backlog_ns = 0;
		run(p, 30 * SECOND); // the silence included
		assert_true(feedback_is_at_start(&p->control));
	}
}

static void
without_any_report_nothing_changes(void **state)
{
	(void)state;
	setup_plant(p, unit_seed());
	p->loss_percent = 100;
	p->network_ns[0] = 5 * MS;
	run(p, 20 * SECOND);
	assert_true(feedback_is_at_start(&p->control));
	assert_int_equal(p->control.stats.reports, 0);
	// Nor when they stop: what was found stays for the silence, and then it is given back.
	p->loss_percent = 0;
	run(p, SECOND);
	assert_int_equal(p->control.step, 1);
	p->network_ns[1] = 5 * MS;
	run(p, 5 * MS);
	p->loss_percent = 100;
	run(p, 9 * SECOND);
	assert_true(p->control.step >= 1);
	run(p, 60 * SECOND);
	assert_true(feedback_is_at_start(&p->control));
}

static void
late_double_and_reordered_reports_cause_no_further_step(void **state)
{
	uint64_t rng = unit_seed();

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		setup_plant(p, random_next(&rng));
		p->back_jitter_ns = 50 * MS;
		p->double_percent = 50;
		p->network_ns[0] = i % 2 ? 5 * MS : MS;
		p->backlog_ns = i % 2 ? 0 : 10 * MS;
		run(p, 900 * MS);
		if (i % 2)
			assert_int_equal(p->n_events[FEEDBACK_RAISED], 1);
		else
			assert_in_range(p->n_events[FEEDBACK_SHORTENED], 1, 2);
		assert_int_equal(p->n_events[FEEDBACK_SHORTENED] != 0, !(i % 2));
		assert_true(p->control.stats.stale + p->control.stats.answered > 0);
	}
}

// Two flows of one uplink: what one gains the other waits for. Both shorten, neither wins.
static void
two_flows_share_alike(void **state)
{
	uint64_t rng = unit_seed();

	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		setup_plant(&plants[0], random_next(&rng));
		setup_plant(&plants[1], random_next(&rng));
		for (unsigned k = 0; k < 2; k++) {
			plants[k].network_ns[0] = 600 * US;
			plants[k].floor_ns = 500 * US;
		}
		run(&plants[1], random_below(&rng, 30 * MS)); // not in step
		uint64_t lead_ns = plants[1].now_ns;
		while (plants[0].now_ns < 800 * MS) {
			// A backlog of 2.4 ms that the earlier deadline leaves to the other.
			uint64_t sum_ns = plants[0].control.deadline_ns + plants[1].control.deadline_ns;

			for (unsigned k = 0; k < 2; k++) {
				plants[k].backlog_ns = 2 * 1600 * US * plants[k].control.deadline_ns / sum_ns;
				tick(&plants[k]);
			}
		}
		for (unsigned k = 0; k < 2; k++) {
			assert_in_range(missing_time(&plants[k]), 0, 150 * MS + lead_ns);
			assert_int_equal(plants[k].control.step, 0);
		}
		uint64_t a = plants[0].control.deadline_ns, b = plants[1].control.deadline_ns;
		assert_true(a <= b * 3 / 2 && b <= a * 3 / 2);
	}
}

static void
modes_other_than_act_change_nothing(void **state)
{
	struct feedback_params params = feedback_params_default(DEADLINE_NS, 3);

	(void)state;
	for (params.mode = FEEDBACK_OFF; params.mode < FEEDBACK_ACT; params.mode++) {
		setup_plant(p, unit_seed());
		feedback_init(&p->control, &params, 0);
		p->network_ns[0] = 5 * MS;
		run(p, SECOND);
		assert_true(feedback_is_at_start(&p->control));
		assert_int_equal(p->control.is_missing, params.mode == FEEDBACK_MEASURE);
		assert_int_equal(p->control.stats.missed > 0, params.mode == FEEDBACK_MEASURE);
		for (unsigned event = FEEDBACK_NONE + 1; event < FEEDBACK_EVENTS; event++)
			assert_int_equal(p->n_events[event], 0);
	}
}

// By hand: D = 2 ms, reports of one miss.
static struct flow_delay_report
missed(uint64_t last_seq, uint64_t over_ns, uint64_t network_ns)
{
	return (struct flow_delay_report){.received = 10,
		.missed = 1,
		.last_seq = last_seq,
		.worst_over_ns = over_ns,
		.worst_network_ns = network_ns};
}

static struct feedback
fresh(uint32_t n_steps)
{
	struct feedback_params params = feedback_params_default(DEADLINE_NS, n_steps);
	struct feedback f;

	feedback_init(&f, &params, 0);
	return f;
}

// A report of misses after another of the same step, which says nothing yet.
static enum feedback_event
report_twice(struct feedback *f, struct flow_delay_report r, uint64_t sent_seq, uint64_t now_ns)
{
	struct feedback_path path = {.sent_seq = sent_seq, .rtt_ns = MS};

	r.last_seq -= 10;
	assert_int_equal(feedback_report(f, &r, &path, now_ns - 5 * MS), FEEDBACK_NONE);
	r.last_seq += 10;
	return feedback_report(f, &r, &path, now_ns);
}

static void
deadline_is_shortened_by_what_paper_and_pencil_say(void **state)
{
	struct feedback f = fresh(3);
	struct flow_delay_report r = missed(50, 200 * US, 500 * US);
	struct feedback_path path = {.sent_seq = 100, .rtt_ns = MS};

	(void)state;
	// The network leaves 1,500 us of 2,000, the gain asks for 250 less, the margin is 40.
	assert_int_equal(feedback_report(&f, &r, &path, 10 * MS), FEEDBACK_SHORTENED);
	assert_int_equal(f.deadline_ns, 1460 * US);
	// Within the room: 1.25 * 100 + 40, twice.
	assert_int_equal(report_twice(&f, missed(150, 100 * US, 100 * US), 200, 20 * MS), FEEDBACK_SHORTENED);
	assert_int_equal(f.deadline_ns, (1460 - 330) * US);
	assert_int_equal(report_twice(&f, missed(250, 100 * US, 100 * US), 300, 30 * MS), FEEDBACK_SHORTENED);
	assert_int_equal(f.deadline_ns, (1130 - 660) * US);
	// Eight times that is below the floor of 250 us.
	assert_int_equal(report_twice(&f, missed(350, 100 * US, 100 * US), 400, 40 * MS), FEEDBACK_SHORTENED);
	assert_int_equal(f.deadline_ns, 250 * US);
	assert_int_equal(report_twice(&f, missed(450, 100 * US, 100 * US), 500, 50 * MS), FEEDBACK_RAISED);
	assert_int_equal(f.deadline_ns, 250 * US);
	assert_int_equal(f.step, 1);
	// The margin of unseen lateness is added.
	f = fresh(3);
	r.uncertainty_ns = 10 * US;
	r.last_seq = 50;
	path.sent_seq = 100;
	assert_int_equal(feedback_report(&f, &r, &path, 0), FEEDBACK_SHORTENED);
	assert_int_equal(f.deadline_ns, 1450 * US);
	// A network that leaves less than the floor is not answered with the floor.
	f = fresh(3);
	r = missed(50, 100 * US, 1751 * US);
	assert_int_equal(feedback_report(&f, &r, &path, 0), FEEDBACK_RAISED);
	assert_int_equal(f.deadline_ns, DEADLINE_NS);
	f = fresh(3);
	r = missed(50, 100 * US, 1750 * US);
	assert_int_equal(feedback_report(&f, &r, &path, 0), FEEDBACK_SHORTENED);
	assert_int_equal(f.deadline_ns, 250 * US);
}

// A clean report between ends the row: the next shortening is not twice as much.
static void
row_of_shortenings_ends_with_the_misses(void **state)
{
	struct feedback f = fresh(3);
	struct flow_delay_report r = missed(50, 100 * US, 0), clean = {.received = 1, .last_seq = 150};
	struct feedback_path path = {.sent_seq = 100};

	(void)state;
	assert_int_equal(feedback_report(&f, &r, &path, 0), FEEDBACK_SHORTENED);
	assert_int_equal(f.deadline_ns, (2000 - 165) * US);
	path.sent_seq = 200;
	assert_int_equal(feedback_report(&f, &clean, &path, 10 * MS), FEEDBACK_NONE);
	r.last_seq = 160;
	assert_int_equal(feedback_report(&f, &r, &path, 20 * MS), FEEDBACK_SHORTENED);
	assert_int_equal(f.deadline_ns, (2000 - 2 * 165) * US);
}

static void
good_steps_back_become_faster(void **state)
{
	struct feedback f = fresh(8);
	uint64_t waits_ns[] = {8 * SECOND, 8 * SECOND, 4 * SECOND, 2 * SECOND, SECOND}, now_ns = 0;

	(void)state;
	f.step = 5;
	f.level = 3;
	for (unsigned i = 0; i < 5; i++) {
		assert_true(feedback_next_ns(&f) == now_ns + waits_ns[i]);
		now_ns += waits_ns[i];
		assert_int_equal(feedback_poll(&f, now_ns - 1), FEEDBACK_NONE);
		assert_int_equal(feedback_poll(&f, now_ns), i < 4 ? FEEDBACK_RELAXED : FEEDBACK_RECOVERED);
	}
}

static void
report_of_packets_from_before_a_step_does_not_cause_another(void **state)
{
	struct feedback f = fresh(3);
	struct flow_delay_report r = missed(50, 5 * MS, 7 * MS);
	struct feedback_path path = {.sent_seq = 100, .rtt_ns = MS};

	(void)state;
	assert_int_equal(feedback_report(&f, &r, &path, 10 * MS), FEEDBACK_RAISED);
	path.sent_seq = 200;
	r.last_seq = 99;
	assert_int_equal(feedback_report(&f, &r, &path, 20 * MS), FEEDBACK_NONE);
	r.last_seq = 100; // the last that left before
	assert_int_equal(feedback_report(&f, &r, &path, 20 * MS), FEEDBACK_NONE);
	r.last_seq = 101; // with others from before
	assert_int_equal(feedback_report(&f, &r, &path, 20 * MS), FEEDBACK_NONE);
	assert_int_equal(f.stats.answered, 3);
	r.last_seq = 102;
	assert_int_equal(feedback_report(&f, &r, &path, 20 * MS), FEEDBACK_RAISED);
	assert_int_equal(feedback_report(&f, &r, &path, 30 * MS), FEEDBACK_NONE); // the same again
	r.last_seq = 60;
	assert_int_equal(feedback_report(&f, &r, &path, 30 * MS), FEEDBACK_NONE); // an old one
	assert_int_equal(f.stats.stale, 2);
	r.last_seq = 201;
	// of packets that were never sent
	assert_int_equal(feedback_report(&f, &r, &path, 30 * MS), FEEDBACK_NONE);
	r.last_seq = 199;
	r.received = 0;
	assert_int_equal(feedback_report(&f, &r, &path, 30 * MS), FEEDBACK_NONE);
	assert_int_equal(f.stats.refused, 2);
}

// Without the numbers of sent packets the sender has the round trip alone.
static void
report_within_a_round_trip_of_a_step_does_not_cause_another(void **state)
{
	struct feedback f = fresh(3);
	struct flow_delay_report r = missed(50, 5 * MS, 7 * MS);
	struct feedback_path path = {.rtt_ns = MS};

	(void)state;
	assert_int_equal(feedback_report(&f, &r, &path, 10 * MS), FEEDBACK_RAISED);
	r.last_seq++;
	assert_int_equal(feedback_report(&f, &r, &path, 10 * MS), FEEDBACK_NONE);
	r.last_seq++;
	assert_int_equal(feedback_report(&f, &r, &path, 11 * MS - 1), FEEDBACK_NONE);
	r.last_seq++;
	assert_int_equal(feedback_report(&f, &r, &path, 11 * MS), FEEDBACK_NONE);
	r.last_seq++;
	assert_int_equal(feedback_report(&f, &r, &path, 11 * MS), FEEDBACK_RAISED);
	r.last_seq++;
	// time that goes back
	assert_int_equal(feedback_report(&f, &r, &path, 9 * MS), FEEDBACK_NONE);
	r.last_seq++;
	assert_int_equal(feedback_report(&f, &r, &path, 12 * MS), FEEDBACK_NONE);
	r.last_seq++;
	assert_int_equal(feedback_report(&f, &r, &path, 12 * MS), FEEDBACK_ESCALATED);
	r.last_seq++;
	assert_int_equal(feedback_report(&f, &r, &path, 13 * MS), FEEDBACK_NONE); // once
}

static void
reports_that_could_not_judge_change_nothing(void **state)
{
	struct feedback f = fresh(3);
	struct flow_delay_report r = missed(50, 5 * MS, 7 * MS);
	struct feedback_path path = {.sent_seq = 100000, .rtt_ns = MS};

	(void)state;
	assert_int_equal(feedback_report(&f, &r, &path, 10 * MS), FEEDBACK_RAISED);
	r = (struct flow_delay_report){.received = 1, .last_seq = 60, .flags = FLOW_DELAY_UNJUDGED};
	assert_int_equal(feedback_report(&f, &r, &path, 20 * MS), FEEDBACK_NONE);
	assert_true(f.is_blind);
	assert_true(feedback_next_ns(&f) == UINT64_MAX); // no step back either
	assert_int_equal(feedback_poll(&f, 1000 * SECOND), FEEDBACK_NONE);
	r = missed(100001, 5 * MS, 7 * MS);
	path.sent_seq = 200000;
	r.uncertainty_ns = DEADLINE_NS / 2 + 1; // whatever it claims
	assert_int_equal(feedback_report(&f, &r, &path, 1000 * SECOND), FEEDBACK_NONE);
	r.uncertainty_ns = DEADLINE_NS / 2;
	r.last_seq = 100100;
	assert_int_equal(report_twice(&f, r, 200000, 1001 * SECOND), FEEDBACK_RAISED);
	assert_false(f.is_blind);
	assert_int_equal(f.stats.blind, 2);
}

static void
step_back_that_fails_is_undone_at_once(void **state)
{
	struct feedback f = fresh(3);
	struct flow_delay_report r = missed(50, 5 * MS, 7 * MS), clean = {.received = 1, .last_seq = 60};
	struct feedback_path path = {.sent_seq = 55, .rtt_ns = MS};

	(void)state;
	assert_int_equal(feedback_report(&f, &r, &path, 0), FEEDBACK_RAISED);
	path.sent_seq = 60;
	assert_int_equal(feedback_report(&f, &clean, &path, 10 * MS), FEEDBACK_NONE);
	assert_int_equal(feedback_poll(&f, SECOND + 10 * MS - 1), FEEDBACK_NONE);
	assert_true(feedback_next_ns(&f) == SECOND + 10 * MS);
	assert_int_equal(feedback_poll(&f, SECOND + 10 * MS), FEEDBACK_RECOVERED);
	r = missed(70, 100 * US, 100 * US); // by its numbers stage 1 would do
	path.sent_seq = 80;
	assert_int_equal(feedback_report(&f, &r, &path, SECOND + 20 * MS), FEEDBACK_RAISED);
	assert_int_equal(f.deadline_ns, DEADLINE_NS);
	assert_int_equal(f.level, 1);
	clean.last_seq = 90;
	path.sent_seq = 90;
	assert_int_equal(feedback_report(&f, &clean, &path, SECOND + 30 * MS), FEEDBACK_NONE);
	assert_true(feedback_next_ns(&f) == 3 * SECOND + 30 * MS);
	// Rates that admission has given to others since are not taken back.
	f = fresh(1);
	r = missed(1, MS, 0);
	path = (struct feedback_path){.sent_seq = 100};
	assert_int_equal(feedback_report(&f, &r, &path, 0), FEEDBACK_SHORTENED);
	assert_int_equal(f.deadline_ns, 710 * US);
	clean.last_seq = 101;
	path.sent_seq = 200;
	assert_int_equal(feedback_report(&f, &clean, &path, 0), FEEDBACK_NONE);
	assert_int_equal(feedback_poll(&f, SECOND), FEEDBACK_RELAXED);
	path.floor_ns = 900 * US;
	r = missed(102, 1, 0);
	assert_int_equal(feedback_report(&f, &r, &path, 2 * SECOND), FEEDBACK_SHORTENED);
	assert_int_equal(f.deadline_ns, 900 * US);
}

static void
parameters_are_checked_at_their_limits(void **state)
{
	const struct feedback_params good = feedback_params_default(DEADLINE_NS, 3);
	const char *field = NULL;
	struct feedback_params bad;

	(void)state;
	assert_int_equal(feedback_params_check(&good, &field), 0);
	assert_null(field);
#define REFUSED(member, value, name)                                    \
	bad = good;                                                     \
	bad.member = value;                                             \
	assert_int_equal(feedback_params_check(&bad, &field), -EINVAL); \
	assert_string_equal(field, name)
#define TAKEN(member, value) \
	bad = good;          \
	bad.member = value;  \
	assert_int_equal(feedback_params_check(&bad, &field), 0)
	REFUSED(mode, FEEDBACK_ACT + 1, "mode");
	REFUSED(deadline_ns, 0, "deadline");
	REFUSED(deadline_ns, FEEDBACK_DEADLINE_MAX_NS + 1, "deadline");
	TAKEN(deadline_ns, 1);
	TAKEN(deadline_ns, FEEDBACK_DEADLINE_MAX_NS);
	REFUSED(n_steps, 0, "n_steps");
	REFUSED(n_steps, FEEDBACK_MAX_STEPS + 1, "n_steps");
	TAKEN(n_steps, FEEDBACK_MAX_STEPS);
	REFUSED(gain_permille, 0, "gain");
	REFUSED(gain_permille, FEEDBACK_MAX_GAIN_PERMILLE + 1, "gain");
	TAKEN(gain_permille, FEEDBACK_MAX_GAIN_PERMILLE);
	REFUSED(margin_permille, 0, "margin");
	REFUSED(margin_permille, 1001, "margin");
	TAKEN(margin_permille, 1000);
	REFUSED(floor_permille, 0, "floor");
	REFUSED(floor_permille, 1001, "floor");
	TAKEN(floor_permille, 1000);
	REFUSED(clean_ns, FEEDBACK_TIME_MIN_NS - 1, "clean");
	REFUSED(clean_ns, FEEDBACK_TIME_MAX_NS + 1, "clean");
	TAKEN(clean_ns, FEEDBACK_TIME_MIN_NS);
	REFUSED(clean_max_ns, good.clean_ns - 1, "clean_max");
	REFUSED(clean_max_ns, FEEDBACK_TIME_MAX_NS + 1, "clean_max");
	TAKEN(clean_max_ns, good.clean_ns);
	REFUSED(forgive_ns, FEEDBACK_TIME_MIN_NS - 1, "forgive");
	REFUSED(forgive_ns, FEEDBACK_TIME_MAX_NS + 1, "forgive");
	REFUSED(silence_ns, FEEDBACK_TIME_MIN_NS - 1, "silence");
	REFUSED(silence_ns, FEEDBACK_TIME_MAX_NS + 1, "silence");
}

// Parameters at and between their limits.
static struct feedback_params
random_params(uint64_t *rng)
{
	struct feedback_params params = feedback_params_default(1 + random_wide(rng, 42) % FEEDBACK_DEADLINE_MAX_NS,
		1 + (uint32_t)random_below(rng, FEEDBACK_MAX_STEPS));

	params.gain_permille = 1 + (uint32_t)random_below(rng, FEEDBACK_MAX_GAIN_PERMILLE);
	params.margin_permille = 1 + (uint32_t)random_below(rng, 1000);
	params.floor_permille = 1 + (uint32_t)random_below(rng, 1000);
	params.clean_ns = FEEDBACK_TIME_MIN_NS + random_wide(rng, 41);
	params.clean_max_ns = random_below(rng, 2) ? params.clean_ns : FEEDBACK_TIME_MAX_NS;
	params.forgive_ns = FEEDBACK_TIME_MIN_NS + random_wide(rng, 41);
	params.silence_ns = FEEDBACK_TIME_MIN_NS + random_wide(rng, 41);
	if (!random_below(rng, 8))
		params.mode = (enum feedback_mode)random_below(rng, 2);
	return params;
}

// With new parameters, misses of packets that were sent under the old ones say nothing.
static void
reports_from_before_are_ignored(void **state)
{
	struct feedback f = fresh(3);
	struct feedback_path path = {.sent_seq = 200, .rtt_ns = MS};
	struct flow_delay_report r = {
		.received = 10, .missed = 1, .worst_over_ns = MS, .worst_network_ns = 10 * US, .last_seq = 100};

	(void)state;
	feedback_ignore_until(&f, 100, 10 * MS);
	assert_int_equal(feedback_report(&f, &r, &path, 12 * MS), FEEDBACK_NONE);
	r.last_seq = 101;
	// sooner than it can know
	assert_int_equal(feedback_report(&f, &r, &path, 11 * MS - 1), FEEDBACK_NONE);
	r.last_seq = 102;
	assert_int_equal(feedback_report(&f, &r, &path, 12 * MS), FEEDBACK_SHORTENED);
}

// Anything in reports, paths and times: states stay in range, steps a round trip apart, no deadline
// below the present floor.
static void
random_reports_keep_the_invariants(void **state)
{
	uint64_t rng = unit_seed(), n_events[FEEDBACK_EVENTS] = {0}, now_ns = 0, sent_seq = 0, acted_ns = 0;
	struct feedback f = fresh(1);
	bool has_acted = false;

	(void)state;
	for (unsigned i = 0; i < 1000000; i++) {
		if (i % 1000 == 0) {
			struct feedback_params params = random_params(&rng);

			feedback_init(&f, &params, now_ns);
			has_acted = false;
		}
		now_ns += random_wide(&rng, 1 + (unsigned)random_below(&rng, 44));
		sent_seq += random_wide(&rng, 12);
		struct feedback before = f;
		struct feedback_path path = {.sent_seq = random_below(&rng, 10) ? sent_seq : random_wide(&rng, 64),
			.rtt_ns = random_wide(&rng, random_below(&rng, 20) ? 24 : 64),
			.floor_ns = random_below(&rng, 3) ? 0 : random_wide(&rng, 42)};
		struct flow_delay_report r = {.received = random_wide(&rng, 10),
			.lost = random_wide(&rng, 10),
			.missed = random_below(&rng, 2) ? 0 : random_wide(&rng, 10),
			.worst_over_ns = random_wide(&rng, random_below(&rng, 20) ? 30 : 64),
			.worst_network_ns = random_wide(&rng, random_below(&rng, 20) ? 30 : 64),
			.uncertainty_ns = random_wide(&rng, 20),
			.last_seq = random_below(&rng, 20) ? sent_seq - random_below(&rng, sent_seq % 4096 + 1) :
							     random_wide(&rng, 64),
			.flags = (uint16_t)!random_below(&rng, 50)};
		bool is_report = random_below(&rng, 3);
		enum feedback_event event =
			is_report ? feedback_report(&f, &r, &path, now_ns) : feedback_poll(&f, now_ns);

		n_events[event]++;
		if (!feedback_is_consistent(&f))
			fail_msg("inconsistent after %u", i);
		assert_true(feedback_next_ns(&f) == UINT64_MAX || feedback_next_ns(&f) >= f.quiet_ns);
		assert_int_equal(event == FEEDBACK_SHORTENED, f.deadline_ns < before.deadline_ns);
		assert_int_equal(event == FEEDBACK_RAISED, f.step > before.step);
		assert_int_equal(event == FEEDBACK_RELAXED || event == FEEDBACK_RECOVERED,
			f.step < before.step || f.deadline_ns > before.deadline_ns ||
				(before.is_escalated && !f.is_escalated));
		assert_true(f.step + 1 >= before.step && f.step <= before.step + 1);
		assert_int_equal(event == FEEDBACK_ESCALATED, f.is_escalated && !before.is_escalated);
		if (event == FEEDBACK_SHORTENED)
			assert_true(f.deadline_ns >= path.floor_ns);
		if (event == FEEDBACK_SHORTENED || event == FEEDBACK_RAISED) {
			assert_true(is_report && r.missed && r.received && !r.flags);
			assert_true(!has_acted || now_ns - acted_ns >= path.rtt_ns);
			acted_ns = now_ns;
			has_acted = true;
		}
	}
	for (unsigned event = 0; event < FEEDBACK_EVENTS; event++) {
		print_message("event %u: %llu\n", event, (unsigned long long)n_events[event]);
		assert_true(n_events[event] > 300);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stage_1_ends_misses_and_stage_2_is_not_needed),
		cmocka_unit_test(stage_2_answers_a_network_that_leaves_no_room_at_once),
		cmocka_unit_test(stage_2_follows_when_stage_1_is_at_its_floor),
		cmocka_unit_test(escalation_is_told_once_and_again_only_after_it_ended),
		cmocka_unit_test(flow_without_a_ladder_escalates),
		cmocka_unit_test(all_returns_to_the_start_when_the_load_is_gone),
		cmocka_unit_test(constant_load_is_no_oscillation),
		cmocka_unit_test(slowness_is_forgiven_after_a_long_clean_time),
		cmocka_unit_test(lost_reports_slow_the_answer_but_do_not_change_it),
		cmocka_unit_test(without_any_report_nothing_changes),
		cmocka_unit_test(late_double_and_reordered_reports_cause_no_further_step),
		cmocka_unit_test(two_flows_share_alike),
		cmocka_unit_test(modes_other_than_act_change_nothing),
		cmocka_unit_test(deadline_is_shortened_by_what_paper_and_pencil_say),
		cmocka_unit_test(row_of_shortenings_ends_with_the_misses),
		cmocka_unit_test(good_steps_back_become_faster),
		cmocka_unit_test(report_of_packets_from_before_a_step_does_not_cause_another),
		cmocka_unit_test(report_within_a_round_trip_of_a_step_does_not_cause_another),
		cmocka_unit_test(reports_that_could_not_judge_change_nothing),
		cmocka_unit_test(step_back_that_fails_is_undone_at_once),
		cmocka_unit_test(parameters_are_checked_at_their_limits),
		cmocka_unit_test(reports_from_before_are_ignored),
		cmocka_unit_test(random_reports_keep_the_invariants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
