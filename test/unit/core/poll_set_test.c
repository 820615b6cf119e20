// Queues under virtual time: idle ones leave the round, each is looked at in time whatever the
// others do, and is back when it has something.
#include "../unit.h"
#include "rtvs/poll_set.h"
#include "rtvs/random.h"

#define N 64
#define MS UINT64_C(1000000)
#define N_STEPS 200000
#define STEP_MAX_NS 3000 // of a turn

static struct poll_set s;
static struct poll_queue queue[N];
static uint64_t now_ns;

static int
begin(void **state)
{
	(void)state;
	now_ns = 5 * MS;
	poll_set_init(&s, queue, now_ns);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	assert_true(poll_set_is_consistent(&s));
	return 0;
}

static void
add(unsigned n, uint64_t deadline_ns)
{
	for (unsigned i = 0; i < n; i++)
		poll_set_add(&s, (uint16_t)(s.n / 2), (uint16_t)(s.n % 2), deadline_ns, now_ns);
}

static void
sleep_all(bool has_wakeup)
{
	struct poll_queue *q;

	now_ns += POLL_IDLE_NS;
	while ((q = poll_set_tired(&s, now_ns)))
		poll_set_sleep(&s, q, has_wakeup);
}

static unsigned
look(void)
{
	unsigned n = 0;

	poll_set_look(&s, now_ns);
	while (poll_set_next(&s))
		n++;
	return n;
}

static void
queue_leaves_the_round_when_it_was_empty_for_long(void **state)
{
	(void)state;
	add(2, 0);
	now_ns += POLL_IDLE_NS - 1;
	assert_null(poll_set_tired(&s, now_ns));
	poll_set_found(&queue[0], now_ns);
	now_ns++;
	assert_ptr_equal(poll_set_tired(&s, now_ns), &queue[1]);
	poll_set_sleep(&s, &queue[1], true);
	assert_true(queue[1].is_idle);
	assert_null(poll_set_tired(&s, now_ns));
	now_ns += POLL_IDLE_NS - 1;
	assert_ptr_equal(poll_set_tired(&s, now_ns), &queue[0]);
}

static void
queue_that_is_woken_is_in_its_place_for_a_while(void **state)
{
	(void)state;
	add(5, 0);
	sleep_all(true);
	assert_int_equal(s.n_idle, 5);
	for (unsigned i = 5; i-- > 0;)
		poll_set_wake(&s, &queue[i], now_ns + POLL_GRACE_NS);
	poll_set_wake(&s, &queue[2], 0); // which is there: nothing changes
	assert_ptr_equal(s.round.first, &queue[0]);
	assert_int_equal(s.n_idle, 0);
	now_ns += POLL_GRACE_NS - 1;
	assert_null(poll_set_tired(&s, now_ns));
	now_ns++;
	assert_non_null(poll_set_tired(&s, now_ns));
}

static void
deadline_that_needs_more_looks_than_there_are_keeps_its_queue_in_the_round(void **state)
{
	(void)state;
	add(1, 2 * POLL_LOOK_NS * POLL_DEADLINE_DIV - 1);
	add(1, 2 * POLL_LOOK_NS * POLL_DEADLINE_DIV);
	sleep_all(true);
	assert_false(queue[0].is_idle);
	assert_true(queue[1].is_idle);
	assert_int_equal(queue[1].interval, 0);
}

// An interval's length twice is within the bound, and the next one's would not be.
static void
interval_follows_from_what_the_queue_needs(void **state)
{
	static const uint64_t deadline_ns[] = {MS, 2 * MS, 10 * MS, 100 * MS, 1000 * MS, 0};

	(void)state;
	for (unsigned i = 0; i < sizeof(deadline_ns) / sizeof(deadline_ns[0]); i++) {
		uint64_t bound = deadline_ns[i] ? deadline_ns[i] / POLL_DEADLINE_DIV : POLL_LOST_NS;

		begin(state);
		add(1, deadline_ns[i]);
		sleep_all(true);
		if (bound > POLL_LOST_NS)
			bound = POLL_LOST_NS;
		assert_true(2 * POLL_LOOK_NS << queue[0].interval <= bound);
		assert_true(2 * POLL_LOOK_NS << (queue[0].interval + 1) > bound);
	}
	add(1, 0);
	sleep_all(false);
	assert_int_equal(queue[1].interval, 0);
}

static void
look_costs_a_share_of_the_idle_queues(void **state)
{
	unsigned sum = 0;

	(void)state;
	add(N, 0);
	sleep_all(true);
	(void)look();
	for (unsigned i = 0; i < 1 << POLL_LOOKS_LOG2; i++) {
		unsigned n;

		now_ns += POLL_LOOK_NS;
		assert_true(poll_set_is_due(&s, now_ns));
		n = look();
		assert_in_range(n, 0, 1);
		sum += n;
	}
	assert_int_equal(sum, N);
	assert_false(poll_set_is_due(&s, now_ns + POLL_LOOK_NS - 1));
}

static void
thread_that_was_away_looks_at_all_once(void **state)
{
	(void)state;
	add(N, 0);
	sleep_all(true);
	(void)look();
	now_ns += 100 * MS;
	assert_int_equal(look(), N);
	now_ns += POLL_LOOK_NS;
	assert_in_range(look(), 0, 1);
}

// Turns of any length, packets and wake-ups at any time: no queue waits longer for a look than its
// bound and a turn.
static void
every_queue_is_looked_at_in_time(void **state)
{
	uint64_t r = unit_seed() + 1;
	uint64_t seen_ns[N];

	begin(state);
	for (unsigned i = 0; i < N; i++)
		add(1, random_below(&r, 2) ? (1 + random_below(&r, 200)) * MS : 0);
	for (unsigned i = 0; i < N; i++)
		seen_ns[i] = now_ns;
	for (unsigned k = 0; k < N_STEPS; k++) {
		uint64_t busy = random_below(&r, 4); // of 1,000 queues, that have something
		struct poll_queue *q;

		now_ns += 1 + random_below(&r, STEP_MAX_NS);
		for (unsigned i = 0; i < N; i++)
			if (!queue[i].is_idle) {
				seen_ns[i] = now_ns;
				if (random_below(&r, 1000) < busy)
					poll_set_found(&queue[i], now_ns);
			}
		if (!poll_set_is_due(&s, now_ns))
			continue;
		poll_set_look(&s, now_ns);
		while ((q = poll_set_next(&s))) {
			seen_ns[q - queue] = now_ns;
			if (random_below(&r, 100) < busy)
				poll_set_wake(&s, q, now_ns + POLL_IDLE_NS);
		}
		q = poll_set_tired(&s, now_ns);
		if (q)
			poll_set_sleep(&s, q, random_below(&r, 4));
		if (!random_below(&r, 50)) {
			q = &queue[random_below(&r, N)];
			poll_set_wake(&s, q, now_ns + POLL_GRACE_NS);
			seen_ns[q - queue] = now_ns; // as a kick tells
		}
		for (unsigned i = 0; i < N; i++)
			assert_true(
				now_ns - seen_ns[i] <= (queue[i].is_idle ? 2 * POLL_LOOK_NS << queue[i].interval : 0) +
					POLL_LOOK_NS + STEP_MAX_NS);
		assert_true(poll_set_is_consistent(&s));
	}
	assert_true(s.n_idle > 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(queue_leaves_the_round_when_it_was_empty_for_long),
		CASE(queue_that_is_woken_is_in_its_place_for_a_while),
		CASE(deadline_that_needs_more_looks_than_there_are_keeps_its_queue_in_the_round),
		CASE(interval_follows_from_what_the_queue_needs),
		CASE(look_costs_a_share_of_the_idle_queues),
		CASE(thread_that_was_away_looks_at_all_once),
		CASE(every_queue_is_looked_at_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
