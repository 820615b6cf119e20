// The account of one flow: numbers against a list of the network's actions, misses at their limits,
// and the times of reports.
#include "../unit.h"
#include "rtvs/flow_delay.h"
#include "rtvs/random.h"

#include <stdbool.h>
#include <string.h>

#define US UINT64_C(1000)
#define MS (1000 * US)
#define INTERVAL_NS FLOW_DELAY_INTERVAL_NS

static struct flow_delay f;
static struct hist delay, network;

static void
init(void)
{
	hist_init(&delay);
	hist_init(&network);
	flow_delay_init(&f, &delay, &network);
}

static void
add(uint64_t seq)
{
	struct flow_delay_packet p = {.seq = seq, .delay_ns = (int64_t)(100 * US)};

	flow_delay_add(&f, &p, 1);
}

// One packet with deadline 1 ms, uncertainty 10 us, residence 400 us.
static void
add_delayed(uint64_t seq, uint64_t delay_ns)
{
	struct flow_delay_packet p = {.seq = seq,
		.delay_ns = (int64_t)delay_ns,
		.uncertainty_ns = 10 * US,
		.residence_ns = 400 * US,
		.deadline_ns = MS};

	flow_delay_add(&f, &p, 1);
}

static struct flow_delay_report
take(uint64_t now_ns)
{
	struct flow_delay_report r;

	assert_true(flow_delay_take(&f, &r, now_ns));
	return r;
}

static void
gap_is_lost_when_the_window_has_passed(void **state)
{
	(void)state;
	init();
	add(1000);
	add(1004);
	for (uint64_t seq = 1005; seq <= 1001 + FLOW_DELAY_WINDOW - 1; seq++)
		add(seq);
	assert_int_equal(f.stats.lost, 0);
	add(1001 + FLOW_DELAY_WINDOW);
	assert_int_equal(f.stats.lost, 1);
	add(1002); // of the others, one comes after all
	assert_int_equal(f.stats.reordered, 1);
	add(1002 + FLOW_DELAY_WINDOW);
	add(1003 + FLOW_DELAY_WINDOW);
	assert_int_equal(f.stats.lost, 2);
	add(1001);
	assert_int_equal(f.stats.late, 1);
	assert_int_equal(f.stats.lost, 2);
	add(1003 + 2 * FLOW_DELAY_WINDOW); // 63 between are open
	add(1003 + FLOW_DELAY_WINDOW);
	assert_int_equal(f.stats.late, 2);
	assert_int_equal(f.stats.lost, 2);
	add(1003 + 4 * FLOW_DELAY_WINDOW);
	assert_int_equal(f.stats.lost, 2 + 63 + 64);
	assert_int_equal(f.stats.restarts, 0);
}

static void
duplicate_counts_once(void **state)
{
	(void)state;
	init();
	add(5);
	add(5);
	add(7);
	add(7);
	assert_int_equal(f.stats.duplicates, 2);
	assert_int_equal(f.stats.received, 2);
	assert_int_equal(delay.count, 2);
	assert_int_equal(take(0).received, 2);
}

#define N_NUMBERS 20000
#define REACH 20 // by how much the network re-orders

// The arrivals of each time slot. All dropped packets are lost, no others, in any re-ordering
// within the window.
static void
losses_agree_with_what_the_network_did(void **state)
{
	static uint64_t order[2 * N_NUMBERS];
	uint64_t rng = unit_seed();

	(void)state;
	for (unsigned round = 0; round < 40; round++) {
		uint64_t base = round % 2 ? random_wide(&rng, 63) : UINT64_MAX - N_NUMBERS - 200;
		uint64_t n = 0, n_dropped = 0, n_doubled = 0, loss = random_below(&rng, 60);

		init();
		add(base);
		for (uint64_t i = 1; i < N_NUMBERS; i++) {
			if (random_below(&rng, 100) < loss) {
				n_dropped++;
				continue;
			}
			order[n++] = base + i;
			if (!random_below(&rng, 20)) {
				order[n++] = base + i;
				n_doubled++;
			}
		}
		// a swap takes an entry REACH further at most once
		for (uint64_t i = 0; i + REACH < n; i++) {
			uint64_t k = i + random_below(&rng, REACH / 2), other = order[k];

			if (order[k] - order[i] > FLOW_DELAY_WINDOW / 2)
				continue;
			order[k] = order[i];
			order[i] = other;
			i += REACH / 2;
		}
		for (uint64_t i = 0; i < n; i++)
			add(order[i]);
		for (uint64_t i = 0; i < FLOW_DELAY_WINDOW; i++)
			add(base + N_NUMBERS + i);
		assert_int_equal(f.stats.lost, n_dropped);
		assert_int_equal(f.stats.duplicates, n_doubled);
		assert_int_equal(f.stats.received, N_NUMBERS - n_dropped + FLOW_DELAY_WINDOW);
		assert_int_equal(f.stats.late + f.stats.restarts, 0);
		assert_true(f.stats.reordered > 0);
		assert_int_equal(take(0).lost, n_dropped);
	}
}

static void
sender_that_begins_again_is_recognised(void **state)
{
	// Far below, above by more than can be lost, and among the numbers of the window.
	static const uint64_t begins[] = {1, UINT64_C(1) << 40, 999990};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		init();
		for (uint64_t seq = 999900; seq <= 1000000; seq++)
			add(seq);
		for (uint64_t seq = 0; seq < FLOW_DELAY_RESTART_RUN - 1; seq++)
			add(begins[i] + seq);
		assert_int_equal(f.stats.restarts, 0);
		add(begins[i] + FLOW_DELAY_RESTART_RUN - 1);
		assert_int_equal(f.stats.restarts, 1);
		assert_int_equal(f.stats.lost, 0);
		for (uint64_t seq = FLOW_DELAY_RESTART_RUN + 1; seq < 200; seq++)
			add(begins[i] + seq);
		assert_int_equal(f.stats.lost, 1);
		add(begins[i] + FLOW_DELAY_RESTART_RUN); // one stray is no run
		assert_int_equal(f.stats.restarts, 1);
	}
}

static void
strays_that_do_not_follow_each_other_are_no_restart(void **state)
{
	(void)state;
	init();
	add(1000000);
	for (uint64_t i = 0; i < 1000; i++) {
		add(5 + 2 * i);
		add(UINT64_MAX - 3 * i);
		add(1000001 + i);
	}
	assert_int_equal(f.stats.restarts, 0);
	assert_int_equal(f.stats.lost, 0);
	assert_int_equal(f.stats.received, 3001);
	add(1001000 + FLOW_DELAY_MAX_GAP); // the longest that is loss
	assert_int_equal(f.stats.lost, FLOW_DELAY_MAX_GAP - FLOW_DELAY_WINDOW);
	add(1001000 + 2 * FLOW_DELAY_MAX_GAP + 1);
	assert_int_equal(f.stats.lost, FLOW_DELAY_MAX_GAP - FLOW_DELAY_WINDOW);
}

static void
miss_is_beyond_deadline_and_uncertainty(void **state)
{
	struct flow_delay_report r;

	(void)state;
	init();
	add_delayed(1, MS + 10 * US);
	r = take(0);
	assert_true(!r.missed && !r.worst_over_ns && !r.worst_network_ns && r.last_seq == 1);
	add_delayed(2, MS + 10 * US + 1);
	add_delayed(3, MS + 50 * US);
	add_delayed(4, 500 * US);
	r = take(0);
	assert_int_equal(r.received, 3);
	assert_int_equal(r.missed, 2);
	assert_int_equal(r.worst_over_ns, 50 * US);
	assert_int_equal(r.worst_network_ns, 650 * US);
	assert_int_equal(r.uncertainty_ns, 10 * US);
	assert_int_equal(r.last_seq, 3); // that missed
	assert_int_equal(r.flags, 0);
	add_delayed(5, 800 * US);
	r = take(0);
	assert_true(!r.missed && r.last_seq == 5 && r.received == 1);
	assert_int_equal(f.stats.missed, 2);
	assert_int_equal(f.stats.worst_over_ns, 50 * US);
	assert_int_equal(f.stats.worst_network_ns, 650 * US);
	assert_int_equal(delay.count, 5);
	assert_int_equal(delay.max, MS + 50 * US);
	assert_int_equal(network.max, 650 * US);
	// Without a deadline nothing is missed.
	struct flow_delay_packet free = {.seq = 6, .delay_ns = INT64_MAX, .uncertainty_ns = UINT64_MAX};
	flow_delay_add(&f, &free, 1);
	r = take(0);
	assert_true(!r.missed && !r.uncertainty_ns && !r.flags);
}

static void
nothing_is_judged_with_more_than_half_the_deadline_uncertain(void **state)
{
	struct flow_delay_packet p = {.seq = 1, .delay_ns = 5000001, .uncertainty_ns = MS / 2, .deadline_ns = MS};
	struct flow_delay_report r;

	(void)state;
	init();
	flow_delay_add(&f, &p, 1);
	r = take(0);
	assert_int_equal(r.missed, 1);
	assert_int_equal(r.flags, 0);
	p.seq++;
	p.uncertainty_ns++;
	flow_delay_add(&f, &p, 1);
	r = take(0);
	assert_int_equal(r.missed, 0);
	assert_int_equal(r.flags, FLOW_DELAY_UNJUDGED);
	assert_int_equal(r.uncertainty_ns, MS / 2 + 1);
	assert_int_equal(f.stats.unjudged, 1);
	flow_delay_add(&f, &p, 0);
	assert_int_equal(f.stats.uncertainty_ns, MS / 2 + 1);
	assert_int_equal(f.stats.deadline_ns, MS);
}

static void
clocks_that_contradict_are_counted_and_shares_stay_in_range(void **state)
{
	struct flow_delay_packet p[] = {
		{.seq = 1, .delay_ns = -5000, .uncertainty_ns = 5000, .deadline_ns = MS},
		{.seq = 2, .delay_ns = -5001, .uncertainty_ns = 5000, .deadline_ns = MS},
		{.seq = 3, .delay_ns = INT64_MIN, .uncertainty_ns = 0, .residence_ns = UINT64_MAX, .deadline_ns = 1},
		{.seq = 4, .delay_ns = INT64_MAX, .residence_ns = UINT64_MAX, .deadline_ns = UINT64_MAX},
		{.seq = 5, .delay_ns = 1000, .residence_ns = 1001, .deadline_ns = MS},
	};

	(void)state;
	init();
	flow_delay_add(&f, p, 5);
	assert_int_equal(f.stats.impossible, 2);
	assert_int_equal(f.stats.missed, 0);
	assert_int_equal(network.max, 0);
	assert_int_equal(delay.count, 5);
	flow_delay_init(&f, NULL, NULL); // no histograms
	flow_delay_add(&f, p, 5);
	assert_int_equal(f.stats.received, 5);
}

static void
nothing_is_told_as_long_as_nothing_is_missed(void **state)
{
	struct flow_delay_report r = {.received = 77};

	(void)state;
	init();
	assert_false(flow_delay_wants_report(&f, INTERVAL_NS, UINT64_MAX));
	assert_false(flow_delay_take(&f, &r, 0));
	assert_int_equal(r.received, 77);
	add_delayed(1, 500 * US);
	assert_false(flow_delay_wants_report(&f, INTERVAL_NS, UINT64_MAX));
}

// Packets every millisecond, of which those from 50 to 99 ms miss; the times of all reports.
static void
reports_come_at_once_then_every_interval_and_say_when_it_is_over(void **state)
{
	static const uint64_t expected_ms[] = {50, 60, 70, 80, 90, 100, 110, 120, 130, 200, 210, 220, 230};
	static const uint64_t expected_missed[] = {1, 10, 10, 10, 10, 9, 0, 0, 0, 1, 0, 0, 0};
	unsigned n = 0;

	(void)state;
	init();
	for (uint64_t ms = 0; ms < 300; ms++) {
		add_delayed(ms, (ms >= 50 && ms < 100) || ms == 200 ? 2 * MS : 500 * US);
		if (!flow_delay_wants_report(&f, INTERVAL_NS, ms * MS))
			continue;
		struct flow_delay_report r = take(ms * MS);

		assert_true(n < sizeof(expected_ms) / sizeof(*expected_ms));
		assert_int_equal(ms, expected_ms[n]);
		assert_int_equal(r.missed, expected_missed[n]);
		n++;
	}
	assert_int_equal(n, sizeof(expected_ms) / sizeof(*expected_ms));
}

static void
end_of_misses_is_told_only_with_packets_that_prove_it(void **state)
{
	(void)state;
	init();
	add_delayed(1, 2 * MS);
	(void)take(0);
	assert_false(flow_delay_wants_report(&f, INTERVAL_NS, 1000 * MS));
	add_delayed(2, 500 * US);
	assert_false(flow_delay_wants_report(&f, INTERVAL_NS, INTERVAL_NS - 1));
	assert_true(flow_delay_wants_report(&f, INTERVAL_NS, INTERVAL_NS));
	(void)take(INTERVAL_NS);
	// A miss right after it waits for the interval: the end had not been told to its end.
	add_delayed(3, 2 * MS);
	assert_false(flow_delay_wants_report(&f, INTERVAL_NS, INTERVAL_NS + 1));
	assert_true(flow_delay_wants_report(&f, INTERVAL_NS, 2 * INTERVAL_NS));
	// So does a miss after the last word of the end: otherwise there would be more than one
	// report an interval.
	(void)take(2 * INTERVAL_NS);
	for (uint64_t i = 3; i < 3 + FLOW_DELAY_REPEATS; i++) {
		add_delayed(i + 1, 500 * US);
		(void)take(i * INTERVAL_NS);
	}
	add_delayed(4 + FLOW_DELAY_REPEATS, 2 * MS);
	assert_false(flow_delay_wants_report(&f, INTERVAL_NS, (3 + FLOW_DELAY_REPEATS) * INTERVAL_NS - 1));
	assert_true(flow_delay_wants_report(&f, INTERVAL_NS, (3 + FLOW_DELAY_REPEATS) * INTERVAL_NS));
}

static void
uncertainty_that_comes_and_goes_is_told(void **state)
{
	struct flow_delay_packet p = {.delay_ns = 100, .deadline_ns = MS};
	unsigned n_blind = 0, n_clean = 0;

	(void)state;
	init();
	for (uint64_t ms = 0; ms < 300; ms++) {
		struct flow_delay_report r;

		p.seq = ms;
		p.uncertainty_ns = ms >= 100 && ms < 200 ? MS : 0;
		flow_delay_add(&f, &p, 1);
		if (!flow_delay_wants_report(&f, INTERVAL_NS, ms * MS))
			continue;
		r = take(ms * MS);
		assert_int_equal(r.missed, 0);
		if (r.flags & FLOW_DELAY_UNJUDGED) {
			assert_in_range(ms, 100, 200 + INTERVAL_NS / MS);
			n_blind++;
		} else {
			assert_in_range(ms, 200, 300);
			n_clean++;
		}
	}
	assert_in_range(n_blind, FLOW_DELAY_REPEATS, FLOW_DELAY_REPEATS + 1);
	assert_int_equal(n_clean, FLOW_DELAY_REPEATS);
}

static void
time_that_goes_back_delays_reports(void **state)
{
	(void)state;
	init();
	add_delayed(1, 2 * MS);
	(void)take(UINT64_MAX);
	add_delayed(2, 2 * MS);
	assert_false(flow_delay_wants_report(&f, INTERVAL_NS, 0));
	assert_false(flow_delay_wants_report(&f, INTERVAL_NS, UINT64_MAX - 1));
	assert_false(flow_delay_wants_report(&f, INTERVAL_NS, UINT64_MAX));
	assert_true(flow_delay_wants_report(&f, 0, UINT64_MAX));
}

// Reports of a flow that always misses, each as soon as it is wanted. *ret_bytes: of the flow.
static uint64_t
count_reports(uint64_t period_ns, uint32_t bytes, uint64_t time_ns, uint64_t *ret_bytes)
{
	struct flow_delay_packet p = {.delay_ns = (int64_t)(2 * MS), .deadline_ns = MS, .bytes = bytes};
	uint64_t n = 0, told_ns = 0;

	init();
	*ret_bytes = 0;
	for (uint64_t now_ns = 0; now_ns < time_ns; now_ns += period_ns) {
		p.seq++;
		flow_delay_add(&f, &p, 1);
		*ret_bytes += bytes;
		if (!flow_delay_wants_report(&f, INTERVAL_NS, now_ns))
			continue;
		(void)take(now_ns);
		n++;
		assert_true(now_ns - told_ns <= FLOW_DELAY_SLOW_NS + period_ns);
		told_ns = now_ns;
	}
	return n;
}

static void
reports_are_a_small_share_of_the_flow(void **state)
{
	uint64_t bytes, n;

	(void)state;
	// 8 Mbit/s for 100 s.
	n = count_reports(MS, 1000, 100000 * MS, &bytes);
	assert_in_range(n, bytes / FLOW_DELAY_SHARE / FLOW_DELAY_REPORT_BYTES,
		bytes / FLOW_DELAY_SHARE / FLOW_DELAY_REPORT_BYTES + FLOW_DELAY_BURST + 20);
	// 64 kbit/s: too little for any, but no sender is left without reports.
	n = count_reports(20 * MS, 160, 100000 * MS, &bytes);
	assert_in_range(n, FLOW_DELAY_BURST + 19, FLOW_DELAY_BURST + 20 + 4);
	// After a long silence it has all of them again.
	struct flow_delay_packet late = {.seq = f.top, .delay_ns = (int64_t)(2 * MS), .deadline_ns = MS};

	n = 0;
	for (uint64_t now_ns = 500000 * MS; now_ns < 501000 * MS; now_ns += INTERVAL_NS) {
		late.seq++;
		flow_delay_add(&f, &late, 1);
		if (flow_delay_wants_report(&f, INTERVAL_NS, now_ns)) {
			(void)take(now_ns);
			n++;
		}
	}
	assert_int_equal(n, FLOW_DELAY_BURST);
	// 1 Gbit/s: as often as may be.
	assert_int_equal(count_reports(10 * US, 1250, 1000 * MS, &bytes), 100);
}

// In any case reports add up to the totals, and no more of them come than the interval permits.
static void
reports_add_up_whatever_comes(void **state)
{
	uint64_t rng = unit_seed(), now_ns = 0, n_reports = 0, start_ns;
	struct flow_delay_report sum = {0}, r;

	(void)state;
	init();
	start_ns = now_ns = random_wide(&rng, 60);
	for (unsigned i = 0; i < 200000; i++) {
		struct flow_delay_packet p = {
			.seq = random_below(&rng, 10) ? f.top + random_below(&rng, 3) : random_wide(&rng, 64),
			.delay_ns = (int64_t)random_wide(&rng, random_below(&rng, 50) ? 21 : 64),
			.uncertainty_ns = random_wide(&rng, 20),
			.residence_ns = random_wide(&rng, 21),
			.deadline_ns = random_below(&rng, 3) ? 500 * US : 0,
			.bytes = FLOW_DELAY_REPORT_BYTES * FLOW_DELAY_SHARE};

		flow_delay_add(&f, &p, 1);
		now_ns += random_wide(&rng, 22);
		if (!flow_delay_wants_report(&f, INTERVAL_NS, now_ns))
			continue;
		r = take(now_ns);
		assert_true(r.missed <= r.received && (r.missed != 0) == (r.worst_over_ns != 0));
		sum.received += r.received;
		sum.lost += r.lost;
		sum.missed += r.missed;
		n_reports++;
	}
	sum.received += f.next.received;
	sum.lost += f.next.lost;
	sum.missed += f.next.missed;
	assert_int_equal(sum.received, f.stats.received);
	assert_int_equal(sum.lost, f.stats.lost);
	assert_int_equal(sum.missed, f.stats.missed);
	assert_true(n_reports > 1000 && n_reports <= (now_ns - start_ns) / INTERVAL_NS + 1);
	assert_true(f.stats.late && f.stats.duplicates && f.stats.unjudged && f.stats.impossible);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gap_is_lost_when_the_window_has_passed),
		cmocka_unit_test(duplicate_counts_once),
		cmocka_unit_test(losses_agree_with_what_the_network_did),
		cmocka_unit_test(sender_that_begins_again_is_recognised),
		cmocka_unit_test(strays_that_do_not_follow_each_other_are_no_restart),
		cmocka_unit_test(miss_is_beyond_deadline_and_uncertainty),
		cmocka_unit_test(nothing_is_judged_with_more_than_half_the_deadline_uncertain),
		cmocka_unit_test(clocks_that_contradict_are_counted_and_shares_stay_in_range),
		cmocka_unit_test(nothing_is_told_as_long_as_nothing_is_missed),
		cmocka_unit_test(reports_come_at_once_then_every_interval_and_say_when_it_is_over),
		cmocka_unit_test(end_of_misses_is_told_only_with_packets_that_prove_it),
		cmocka_unit_test(uncertainty_that_comes_and_goes_is_told),
		cmocka_unit_test(time_that_goes_back_delays_reports),
		cmocka_unit_test(reports_are_a_small_share_of_the_flow),
		cmocka_unit_test(reports_add_up_whatever_comes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
