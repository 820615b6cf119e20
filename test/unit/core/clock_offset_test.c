// Two clocks and a network under virtual time. The test knows the true offset: whatever the queues
// do, it must be within the uncertainty at all times.
#include "../unit.h"
#include "rtvs/clock_offset.h"
#include "rtvs/random.h"

#include <stdbool.h>

#define US UINT64_C(1000)
#define MS (1000 * US)
#define SECOND (1000 * MS)
#define MAX_ERROR_NS (20 * US)
#define MAX_UNCERTAINTY_NS (50 * US)
// 4,000 in 15,000 worlds; from the longest trips instead of the shortest it is above 6,000.
#define MAX_DRIFT_RANGE_PPB 5000

// True time is 0 at the start of a world, whatever its clocks show then. Ours runs with true time.
struct world {
	uint64_t rng, now_ns; // true time
	uint64_t local_start_ns;
	int64_t offset_ns; // of the peer, less what the drift adds
	int64_t drift_ppb, swing_ppb; // and a triangle of as much as the wander allows
	int64_t gained_fs; // 1e-6 ns: by drift
	uint64_t floor_ns[2], queue_ns[2]; // of the ways: always, and mean of what queues add
	unsigned loss_percent;
	uint64_t gap_ns; // longest between two exchanges
	uint64_t worst_error_ns, worst_uncertainty_ns, n_checked, n_bent, n_stepped;
	struct clock_offset c;
};

static struct world world;

// Exponential with this mean, its density a straight line between powers of two: only the tails
// matter.
static uint64_t
exponential(uint64_t *rng, uint64_t mean_ns)
{
	uint64_t r = random_next(rng) | 1, zeros = (uint64_t)__builtin_clzll(r);
	uint64_t rest = ~(r << zeros << 1) >> 54; // 0 to 1023

	return mean_ns * 693 / 1000 * (zeros * 1024 + rest) / 1024;
}

// A triangle with slopes of CLOCK_OFFSET_WANDER_PPB a second.
static int64_t
drift_at(const struct world *w)
{
	if (!w->swing_ppb)
		return w->drift_ppb;
	uint64_t period_ns = (uint64_t)w->swing_ppb * SECOND / (uint64_t)CLOCK_OFFSET_WANDER_PPB,
		 at_ns = w->now_ns % (2 * period_ns);
	uint64_t up_ns = at_ns < period_ns ? at_ns : 2 * period_ns - at_ns;

	return w->drift_ppb + (int64_t)(up_ns * (uint64_t)CLOCK_OFFSET_WANDER_PPB / SECOND);
}

static void
pass(struct world *w, uint64_t dt_ns)
{
	while (dt_ns) {
		uint64_t step_ns = dt_ns < MS ? dt_ns : MS;

		w->gained_fs += drift_at(w) * (int64_t)step_ns / 1000;
		w->now_ns += step_ns;
		dt_ns -= step_ns;
	}
}

static int64_t
true_offset(const struct world *w)
{
	return (int64_t)((uint64_t)w->offset_ns + (uint64_t)(w->gained_fs / 1000000));
}

static uint64_t
local(const struct world *w)
{
	return w->local_start_ns + w->now_ns;
}

static uint64_t
peer(const struct world *w)
{
	return local(w) + (uint64_t)true_offset(w);
}

// The claim about the time when our clock showed at_ns.
static void
check_at(struct world *w, uint64_t at_ns, int64_t true_ns)
{
	uint64_t uncertainty_ns, error_ns;
	int64_t offset_ns, difference;

	if (!clock_offset_at(&w->c, at_ns, &offset_ns, &uncertainty_ns))
		return;
	difference = (int64_t)((uint64_t)offset_ns - (uint64_t)true_ns);
	error_ns = (uint64_t)(difference < 0 ? -difference : difference);
	if (error_ns > uncertainty_ns)
		fail_msg("error of %llu ns, uncertainty of %llu, after %llu ns", (unsigned long long)error_ns,
			(unsigned long long)uncertainty_ns, (unsigned long long)w->now_ns);
	w->worst_error_ns = error_ns > w->worst_error_ns ? error_ns : w->worst_error_ns;
	w->worst_uncertainty_ns = uncertainty_ns > w->worst_uncertainty_ns ? uncertainty_ns : w->worst_uncertainty_ns;
	w->n_checked++;
}

static void
check(struct world *w)
{
	check_at(w, local(w), true_offset(w));
}

static void
exchange(struct world *w)
{
	struct clock_offset_exchange e = {.t1_ns = local(w)};

	pass(w, w->floor_ns[0] + exponential(&w->rng, w->queue_ns[0]));
	e.t2_ns = peer(w);
	pass(w, random_below(&w->rng, 50 * US));
	e.t3_ns = peer(w);
	pass(w, w->floor_ns[1] + exponential(&w->rng, w->queue_ns[1]));
	e.t4_ns = local(w);
	if (random_below(&w->rng, 100) < w->loss_percent)
		return;
	switch (clock_offset_add(&w->c, &e)) {
	case CLOCK_OFFSET_BENT:
		w->n_bent++;
		break;
	case CLOCK_OFFSET_STEPPED:
		w->n_stepped++;
		break;
	case CLOCK_OFFSET_TAKEN:
		break;
	case CLOCK_OFFSET_REFUSED:
		assert_true(e.t4_ns - e.t1_ns > CLOCK_OFFSET_MAX_TRIP_NS);
		break;
	}
	assert_true(clock_offset_is_consistent(&w->c));
}

// Exchanges at random times, the truth checked at times between.
static void
run(struct world *w, uint64_t for_ns)
{
	uint64_t end_ns = w->now_ns + for_ns;

	while (w->now_ns < end_ns) {
		for (unsigned i = 0; i < 3; i++) {
			pass(w, random_below(&w->rng, w->gap_ns / 3 + 1));
			check(w);
		}
		exchange(w);
		check(w);
	}
}

static void
forget_worst(struct world *w)
{
	w->worst_error_ns = w->worst_uncertainty_ns = 0;
}

// Ways of 15 us each, queues of up to 100 us on average each way, any offset of +-50 ms, any drift
// of +-50 ppm.
static struct world
random_world(uint64_t *rng)
{
	struct world w = {.rng = random_next(rng), .floor_ns = {15 * US, 15 * US}};

	w.local_start_ns = random_wide(rng, 64);
	w.offset_ns = (int64_t)random_below(rng, 100 * MS) - (int64_t)(50 * MS);
	w.drift_ppb = (int64_t)random_below(rng, 100001) - 50000;
	w.queue_ns[0] = random_below(rng, 100 * US);
	w.queue_ns[1] = random_below(rng, 100 * US);
	w.loss_percent = (unsigned)random_below(rng, 30);
	w.gap_ns = 20 * MS + random_below(rng, 230 * MS);
	clock_offset_init(&w.c);
	return w;
}

static void
truth_is_within_the_uncertainty_and_the_error_small(void **state)
{
	uint64_t rng = unit_seed(), worst_error_ns = 0, worst_uncertainty_ns = 0;
	int64_t worst_drift_ppb = 0;

	(void)state;
	for (unsigned i = 0; i < 150; i++) {
		world = random_world(&rng);
		run(&world, 30 * SECOND);
		forget_worst(&world);
		run(&world, 60 * SECOND);
		assert_int_equal(world.n_bent + world.n_stepped, 0);
		assert_true(world.n_checked > 500);
		if (world.worst_error_ns >= MAX_ERROR_NS)
			fail_msg("world %u: error of %llu ns", i, (unsigned long long)world.worst_error_ns);
		if (world.worst_error_ns > worst_error_ns)
			worst_error_ns = world.worst_error_ns;
		if (world.worst_uncertainty_ns > worst_uncertainty_ns)
			worst_uncertainty_ns = world.worst_uncertainty_ns;
		if (world.c.drift_hi_ppb - world.c.drift_lo_ppb > worst_drift_ppb)
			worst_drift_ppb = world.c.drift_hi_ppb - world.c.drift_lo_ppb;
	}
	assert_true(worst_uncertainty_ns < MAX_UNCERTAINTY_NS);
	assert_true(worst_drift_ppb < MAX_DRIFT_RANGE_PPB);
	print_message("worst error %llu ns, worst uncertainty %llu ns, drift within %lld ppb\n",
		(unsigned long long)worst_error_ns, (unsigned long long)worst_uncertainty_ns,
		(long long)worst_drift_ppb);
}

static void
quiet_network_is_known_to_the_trip_at_once(void **state)
{
	uint64_t rng = unit_seed();

	(void)state;
	world = random_world(&rng);
	world.queue_ns[0] = world.queue_ns[1] = world.loss_percent = 0;
	world.gap_ns = 100 * MS;
	exchange(&world);
	check(&world);
	assert_in_range(world.worst_error_ns, 0, 100);
	assert_in_range(world.worst_uncertainty_ns, 15 * US, 15 * US + 100);
	run(&world, 20 * SECOND);
	forget_worst(&world);
	run(&world, 20 * SECOND);
	assert_in_range(world.worst_error_ns, 0, 500);
	assert_in_range(world.worst_uncertainty_ns, 15 * US - 500, 17 * US);
}

// The middle is off by half the difference of the ways, which cannot be known.
static void
asymmetric_ways_are_within_the_uncertainty(void **state)
{
	uint64_t rng = unit_seed();

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		world = random_world(&rng);
		world.floor_ns[0] = i % 2 ? 0 : 30 * US;
		world.floor_ns[1] = i % 2 ? 30 * US : 0;
		world.queue_ns[0] /= 4;
		world.queue_ns[1] /= 4;
		run(&world, 30 * SECOND);
		forget_worst(&world);
		run(&world, 30 * SECOND);
		assert_in_range(world.worst_error_ns, 10 * US, 25 * US);
	}
}

static void
uncertainty_grows_with_silence_and_ends(void **state)
{
	uint64_t rng = unit_seed(), before_ns, after_ns, later_ns;
	int64_t offset_ns;

	(void)state;
	world = random_world(&rng);
	run(&world, 60 * SECOND);
	assert_true(clock_offset_at(&world.c, world.c.now.at_ns, &offset_ns, &before_ns));
	assert_true(clock_offset_at(&world.c, world.c.now.at_ns + 10 * SECOND, &offset_ns, &after_ns));
	assert_true(clock_offset_at(&world.c, world.c.now.at_ns - 10 * SECOND, &offset_ns, &later_ns));
	assert_int_equal(after_ns, later_ns);
	assert_true(after_ns > before_ns + 2 * US);
	for (unsigned i = 0; i < 3400; i++) {
		pass(&world, SECOND);
		check(&world);
	}
	uint64_t last_ns = world.c.now.at_ns;
	assert_true(clock_offset_at(&world.c, last_ns + CLOCK_OFFSET_MAX_AGE_NS, &offset_ns, &later_ns));
	assert_in_range(later_ns, 200 * MS, 500 * MS); // 72 ppm of wander and more
	assert_false(clock_offset_at(&world.c, last_ns + CLOCK_OFFSET_MAX_AGE_NS + 1, &offset_ns, &later_ns));
	assert_false(clock_offset_at(&world.c, last_ns - CLOCK_OFFSET_MAX_AGE_NS - 1, &offset_ns, &later_ns));
	assert_false(clock_offset_at(&world.c, last_ns + INT64_MAX, &offset_ns, &later_ns));
	assert_false(clock_offset_at(&world.c, last_ns + INT64_MAX + 1, &offset_ns, &later_ns));
	pass(&world, 300 * SECOND);
	exchange(&world);
	check(&world);
}

static void
truth_of_the_past_is_within_the_uncertainty(void **state)
{
	uint64_t rng = unit_seed();

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		world = random_world(&rng);
		run(&world, 60 * SECOND);
		uint64_t then_ns = local(&world);
		int64_t true_ns = true_offset(&world);
		forget_worst(&world);
		for (unsigned k = 0; k < 50; k++) {
			pass(&world, 100 * MS);
			exchange(&world);
			check_at(&world, then_ns, true_ns);
		}
		assert_in_range(world.worst_error_ns, 0, 40 * US);
	}
}

static void
nothing_is_known_before_the_first_exchange(void **state)
{
	uint64_t uncertainty_ns = 7;
	int64_t offset_ns = 7;

	(void)state;
	clock_offset_init(&world.c);
	assert_false(clock_offset_at(&world.c, 0, &offset_ns, &uncertainty_ns));
	assert_true(offset_ns == 7 && uncertainty_ns == 7);
}

static void
steps_of_either_clock_are_found_and_survived(void **state)
{
	uint64_t rng = unit_seed();

	(void)state;
	for (unsigned i = 0; i < 60; i++) {
		uint64_t size_ns = 100 * MS + random_wide(&rng, 60);

		world = random_world(&rng);
		run(&world, 20 * SECOND);
		if (i % 2)
			size_ns = -size_ns;
		if (i % 4 < 2) {
			world.offset_ns = (int64_t)((uint64_t)world.offset_ns + size_ns);
		} else { // our own clock: the peer's is off by as much, the other way
			world.local_start_ns += size_ns;
			world.offset_ns = (int64_t)((uint64_t)world.offset_ns - size_ns);
		}
		while (!world.n_stepped) // unknown until the next exchange
			exchange(&world);
		check(&world);
		run(&world, 30 * SECOND);
		forget_worst(&world);
		run(&world, 30 * SECOND);
		assert_int_equal(world.n_stepped, 1);
		assert_int_equal(world.n_bent, 0);
		assert_in_range(world.worst_error_ns, 0, MAX_ERROR_NS);
	}
}

static void
our_clock_going_back_is_a_step(void **state)
{
	struct clock_offset_exchange e = {5000, 15020, 15020, 5040};

	(void)state;
	clock_offset_init(&world.c);
	assert_int_equal(clock_offset_add(&world.c, &e), CLOCK_OFFSET_TAKEN);
	assert_int_equal(clock_offset_add(&world.c, &e), CLOCK_OFFSET_TAKEN);
	e = (struct clock_offset_exchange){4999, 15019, 15019, 5039};
	assert_int_equal(clock_offset_add(&world.c, &e), CLOCK_OFFSET_STEPPED);
	assert_int_equal(clock_offset_add(&world.c, &e), CLOCK_OFFSET_TAKEN);
}

static void
what_the_drift_explains_is_not_a_step(void **state)
{
	uint64_t rng = unit_seed();

	(void)state;
	world = random_world(&rng);
	world.queue_ns[0] = world.queue_ns[1] = world.loss_percent = 0;
	world.drift_ppb = CLOCK_OFFSET_MAX_DRIFT_PPB;
	run(&world, 20 * SECOND);
	assert_int_equal(world.n_stepped + world.n_bent, 0);
	// 200 us after 1 s could be 200 ppm.
	world.drift_ppb = 0;
	clock_offset_init(&world.c);
	run(&world, 20 * SECOND);
	world.offset_ns += (int64_t)(200 * US);
	pass(&world, SECOND);
	exchange(&world);
	assert_true(world.n_bent == 1 && !world.n_stepped);
	run(&world, 20 * SECOND); // all checks pass
	// At once it could not, though since the best exchange of this second it could.
	pass(&world, (UINT64_C(1) << CLOCK_OFFSET_SLOT_BITS) - local(&world) % (UINT64_C(1) << CLOCK_OFFSET_SLOT_BITS));
	world.floor_ns[0] = world.floor_ns[1] = 5 * US;
	exchange(&world);
	world.floor_ns[0] = world.floor_ns[1] = 15 * US;
	for (unsigned i = 0; i < 9; i++) {
		pass(&world, 100 * MS);
		exchange(&world);
	}
	world.offset_ns += (int64_t)(200 * US);
	exchange(&world);
	assert_true(world.n_bent == 1 && world.n_stepped == 1);
}

static void
other_rate_of_a_clock_is_found_and_learnt(void **state)
{
	uint64_t rng = unit_seed();

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		world = random_world(&rng);
		run(&world, 40 * SECOND);
		world.drift_ppb += i % 2 ? 200000 : -200000;
		while (!world.n_bent) {
			pass(&world, 50 * MS);
			exchange(&world);
			assert_int_equal(world.n_stepped, 0);
			assert_true(world.now_ns < 60 * SECOND);
		}
		run(&world, 30 * SECOND);
		forget_worst(&world);
		run(&world, 30 * SECOND);
		assert_int_equal(world.n_stepped, 0);
		assert_in_range(world.worst_error_ns, 0, MAX_ERROR_NS);
	}
}

static void
slow_wander_is_followed(void **state)
{
	uint64_t rng = unit_seed();

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		world = random_world(&rng);
		world.swing_ppb = 100 + (int64_t)random_below(&rng, 2000);
		run(&world, 30 * SECOND);
		forget_worst(&world);
		run(&world, 200 * SECOND);
		assert_int_equal(world.n_stepped + world.n_bent, 0);
		assert_in_range(world.worst_error_ns, 0, MAX_ERROR_NS);
	}
}

static void
clocks_may_begin_anywhere(void **state)
{
	static const uint64_t starts[] = {0, 1, UINT64_MAX, UINT64_MAX - 20 * SECOND, INT64_MAX, UINT64_C(1) << 63};
	static const int64_t offsets[] = {0, -1, INT64_MAX, INT64_MIN, INT64_MIN / 2, INT64_MAX - (int64_t)SECOND};
	uint64_t rng = unit_seed();

	(void)state;
	for (unsigned i = 0; i < 36; i++) {
		world = random_world(&rng);
		world.local_start_ns = starts[i % 6]; // some pass 2^64 on the way
		world.offset_ns = offsets[i / 6];
		run(&world, 30 * SECOND);
		forget_worst(&world);
		run(&world, 10 * SECOND);
		assert_int_equal(world.n_stepped + world.n_bent, 0);
		assert_in_range(world.worst_error_ns, 0, MAX_ERROR_NS);
	}
}

static void
impossible_times_are_refused(void **state)
{
	static const struct clock_offset_exchange bad[] = {
		{1000, 0, 0, 999}, // the answer before the question
		{1000, 0, 0, 1000 + CLOCK_OFFSET_MAX_TRIP_NS + 1},
		{1000, 5000, 4000, 2000}, // answered before it was asked
		{1000, 5000, 7004, 3000}, // took longer to answer than both ways together
	};
	static const struct clock_offset_exchange good[] = {
		{1000, 0, 0, 1000 + CLOCK_OFFSET_MAX_TRIP_NS}, {1000, 5000, 7003, 3000}, {1000, 5000, 5000, 1000}};
	uint64_t uncertainty_ns;
	int64_t offset_ns;

	(void)state;
	clock_offset_init(&world.c);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(clock_offset_add(&world.c, &bad[i]), CLOCK_OFFSET_REFUSED);
	assert_int_equal(world.c.n_refused, 4);
	assert_false(clock_offset_at(&world.c, 1000, &offset_ns, &uncertainty_ns));
	for (unsigned i = 0; i < 3; i++) {
		clock_offset_init(&world.c);
		assert_int_equal(clock_offset_add(&world.c, &good[i]), CLOCK_OFFSET_TAKEN);
	}
	assert_true(clock_offset_at(&world.c, 1000, &offset_ns, &uncertainty_ns));
	assert_true(offset_ns == 4000 && uncertainty_ns <= 2);
}

static void
any_times_keep_the_bounds_in_order(void **state)
{
	uint64_t rng = unit_seed(), n[4] = {0}, t4_ns = 0;

	(void)state;
	clock_offset_init(&world.c);
	for (unsigned i = 0; i < 300000; i++) {
		struct clock_offset_exchange e;
		uint64_t uncertainty_ns;
		int64_t offset_ns;

		t4_ns += random_wide(&rng, random_below(&rng, 1000) ? 32 : 64);
		e.t4_ns = t4_ns;
		e.t1_ns = t4_ns - random_wide(&rng, 31);
		e.t2_ns = random_below(&rng, 100) ? e.t1_ns + random_wide(&rng, 22) : random_wide(&rng, 64);
		e.t3_ns = e.t2_ns + random_wide(&rng, 22);
		n[clock_offset_add(&world.c, &e)]++;
		assert_true(clock_offset_is_consistent(&world.c));
		if (clock_offset_at(&world.c, e.t4_ns + random_wide(&rng, 42), &offset_ns, &uncertainty_ns))
			assert_true(uncertainty_ns < 4 * SECOND);
	}
	print_message("%llu taken, %llu refused, %llu bent, %llu stepped\n", (unsigned long long)n[0],
		(unsigned long long)n[1], (unsigned long long)n[2], (unsigned long long)n[3]);
	for (unsigned i = 0; i < 4; i++)
		assert_true(n[i] > 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(truth_is_within_the_uncertainty_and_the_error_small),
		cmocka_unit_test(quiet_network_is_known_to_the_trip_at_once),
		cmocka_unit_test(asymmetric_ways_are_within_the_uncertainty),
		cmocka_unit_test(uncertainty_grows_with_silence_and_ends),
		cmocka_unit_test(truth_of_the_past_is_within_the_uncertainty),
		cmocka_unit_test(nothing_is_known_before_the_first_exchange),
		cmocka_unit_test(steps_of_either_clock_are_found_and_survived),
		cmocka_unit_test(our_clock_going_back_is_a_step),
		cmocka_unit_test(what_the_drift_explains_is_not_a_step),
		cmocka_unit_test(other_rate_of_a_clock_is_found_and_learnt),
		cmocka_unit_test(slow_wander_is_followed),
		cmocka_unit_test(clocks_may_begin_anywhere),
		cmocka_unit_test(impossible_times_are_refused),
		cmocka_unit_test(any_times_keep_the_bounds_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
