// A packet's way to a guest and back, with the steps in every order that threads may take them.
#include "../unit.h"
#include "rtvs/chain.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#define MS UINT64_C(1000000)

static const struct chain_key ask = {.src_mac = 1,
	.dst_mac = 2,
	.src = {10},
	.dst = {20},
	.src_port = 5,
	.dst_port = 6,
	.ether_type = 0x800,
	.proto = 17};
static const struct chain_key answer = {.src_mac = 2,
	.dst_mac = 1,
	.src = {20},
	.dst = {10},
	.src_port = 6,
	.dst_port = 5,
	.ether_type = 0x800,
	.proto = 17};

static struct chain c;
static struct chain_record r;

static struct chain_ring
ring(uint16_t put, uint16_t wanted)
{
	return (struct chain_ring){.cycle = 1 << 16, .put = put, .wanted = wanted};
}

// Some pass before one is followed.
static bool
begin(uint64_t arrived_ns, uint32_t *ret_id, uint64_t now_ns)
{
	for (unsigned i = 0; i < 4; i++)
		if (chain_begin(&c, &ask, arrived_ns, ret_id, now_ns))
			return true;
	return false;
}

// Follows a packet until it is in the ring as number 100, which the guest wants to be kicked for.
static uint32_t
put_one(uint64_t now_ns)
{
	struct chain_ring before = ring(100, 100);
	uint32_t id;

	assert_true(begin(now_ns, &id, now_ns + 1));
	assert_true(chain_is_queued(&c, id));
	chain_put(&c, &before, 101, 0, now_ns + 2, now_ns + 3);
	assert_false(chain_is_queued(&c, id));
	return id;
}

static void
whole_way_is_recorded(void **state)
{
	struct chain_ring idle = ring(101, 100), done = ring(101, 101);
	uint32_t id, back;

	(void)state;
	chain_init(&c, 0);
	id = put_one(10);
	assert_true(chain_is_watched(&c));
	chain_look(&c, &idle, 14);
	assert_true(chain_is_watched(&c));
	chain_look(&c, &done, 15);
	assert_false(chain_is_watched(&c));
	assert_true(chain_answer(&c, &answer, &back, 16));
	assert_int_equal(back, id);
	assert_false(chain_next(&c, &r));
	chain_left(&c, id + 1, 17); // another's
	assert_false(chain_next(&c, &r));
	chain_left(&c, id, 18);
	assert_true(chain_next(&c, &r));
	assert_int_equal(r.arrived_ns, 10);
	assert_int_equal(r.queued_ns, 11);
	assert_int_equal(r.prewoken_ns, 0);
	assert_int_equal(r.put_ns, 12);
	assert_int_equal(r.kicked_ns, 13);
	assert_int_equal(r.consumed_ns, 15);
	assert_int_equal(r.answered_ns, 16);
	assert_int_equal(r.left_ns, 18);
	assert_int_equal(r.depth, 0);
	assert_true(r.is_kicked);
	assert_false(chain_next(&c, &r));
}

static void
answer_before_the_driver_says_so_means_consumed(void **state)
{
	uint32_t id;

	(void)state;
	chain_init(&c, 0);
	(void)put_one(10);
	assert_true(chain_answer(&c, &answer, &id, 20));
	chain_left(&c, id, 21);
	assert_true(chain_next(&c, &r));
	assert_int_equal(r.consumed_ns, 20);
}

static void
other_packets_are_no_answer(void **state)
{
	struct chain_key k[8];
	uint32_t id;

	(void)state;
	chain_init(&c, 0);
	assert_false(chain_answer(&c, &answer, &id, 1));
	assert_true(begin(1, &id, 1));
	assert_false(chain_answer(&c, &answer, &id, 2)); // not given to the guest yet
	chain_put(&c, NULL, 0, 0, 3, 3);
	for (unsigned i = 0; i < 8; i++)
		k[i] = answer;
	k[0] = ask;
	k[1].src_mac++;
	k[2].dst_mac++;
	k[3].src[15]++;
	k[4].dst[0]++;
	k[5].src_port++;
	k[6].proto++;
	k[7].ether_type++;
	for (unsigned i = 0; i < 8; i++)
		assert_false(chain_answer(&c, &k[i], &id, 4));
	assert_true(chain_answer(&c, &answer, &id, 5));
	assert_false(chain_answer(&c, &answer, &id, 6)); // one is enough
}

static void
kick_is_due_when_the_wanted_index_is_in_the_burst(void **state)
{
	static const struct {
		uint32_t cycle;
		uint16_t before, wanted, after;
		bool is_polling, is_kicked;
		uint32_t depth;
	} cases[] = {
		{1 << 16, 100, 100, 101, false, true, 0},
		{1 << 16, 100, 100, 104, false, true, 0},
		// asked for later: nothing is known of the depth
		{1 << 16, 100, 103, 104, false, true, 65533},
		{1 << 16, 100, 90, 104, false, false, 10}, // still at work: told before
		{1 << 16, 65535, 65535, 2, false, true, 0},
		{1 << 16, 3, 65530, 4, false, false, 9},
		{512, 511, 511, 0, false, true, 0}, // a packed ring of 256
		{512, 2, 510, 4, false, false, 4},
		{512, 2, 2, 4, true, false, 0},
	};
	uint32_t id;

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct chain_ring before = {.cycle = cases[i].cycle,
			.put = cases[i].before,
			.wanted = cases[i].wanted,
			.is_polling = cases[i].is_polling};

		chain_init(&c, 0);
		assert_true(begin(1, &id, 1));
		chain_put(&c, &before, cases[i].after, 0, 2, 3);
		assert_true(chain_answer(&c, &answer, &id, 4));
		chain_left(&c, id, 5);
		assert_true(chain_next(&c, &r));
		assert_int_equal(r.is_kicked, cases[i].is_kicked);
		assert_int_equal(r.depth, cases[i].depth);
	}
}

static void
consumed_is_seen_across_the_end_of_the_indices(void **state)
{
	struct chain_ring before = ring(65535, 65535), at = ring(0, 65535);
	uint32_t id;

	(void)state;
	chain_init(&c, 0);
	assert_true(begin(1, &id, 1));
	chain_put(&c, &before, 0, 0, 2, 3);
	chain_look(&c, &at, 4);
	assert_true(chain_is_watched(&c));
	at.wanted = 0;
	at.is_polling = true; // what a packed ring says is old then
	chain_look(&c, &at, 5);
	assert_true(chain_is_watched(&c));
	at.is_polling = false;
	chain_look(&c, &at, 6);
	assert_false(chain_is_watched(&c));
}

static void
what_takes_too_long_is_ended_where_it_is(void **state)
{
	struct chain_ring done = ring(101, 101);
	uint32_t id, back;

	(void)state;
	chain_init(&c, 0);
	assert_true(begin(1, &id, 1)); // dropped on the way
	chain_look(&c, NULL, 1 + CHAIN_TIMEOUT_NS);
	assert_false(chain_next(&c, &r));
	chain_look(&c, NULL, 2 + CHAIN_TIMEOUT_NS);
	assert_true(chain_next(&c, &r));
	assert_int_equal(r.queued_ns, 1);
	assert_int_equal(r.put_ns, 0);

	(void)put_one(1000 * MS); // no answer
	chain_look(&c, &done, 1001 * MS);
	chain_look(&c, &done, 1300 * MS);
	assert_true(chain_next(&c, &r));
	assert_int_equal(r.consumed_ns, 1001 * MS);
	assert_int_equal(r.left_ns, 0);

	(void)put_one(2000 * MS); // its answer is dropped
	assert_true(chain_answer(&c, &answer, &back, 2001 * MS));
	chain_look(&c, &done, 2300 * MS);
	assert_true(chain_next(&c, &r));
	assert_int_equal(r.answered_ns, 2001 * MS);
	assert_int_equal(r.left_ns, 0);
	chain_left(&c, back, 2301 * MS); // too late
	assert_false(chain_next(&c, &r));
}

static void
one_at_a_time_and_no_more_than_the_interval_allows(void **state)
{
	struct chain_key flood = ask;
	uint32_t id;

	(void)state;
	chain_init(&c, 100);
	flood.dst_mac = UINT64_C(0xffffffffffff);
	assert_false(chain_begin(&c, &flood, 1000, &id, 1000));
	assert_true(begin(1000, &id, 1000));
	assert_false(begin(2000, &id, 2000)); // one is on its way
	chain_put(&c, NULL, 0, 0, 1001, 1002);
	assert_true(chain_answer(&c, &answer, &id, 1003));
	chain_left(&c, id, 1004);
	assert_false(begin(1099, &id, 1099));
	assert_true(begin(1100, &id, 1100));
}

// Of bursts of four, each with a pause before, every place is followed as often.
static void
no_place_in_a_burst_is_preferred(void **state)
{
	unsigned n[4] = {0};
	uint32_t id;

	(void)state;
	chain_init(&c, 1);
	for (unsigned i = 0; i < 400; i++)
		for (unsigned k = 0; k < 4; k++) {
			if (!chain_begin(&c, &ask, i * MS + k, &id, i * MS + k))
				continue;
			n[k]++;
			chain_put(&c, NULL, 0, 0, i * MS + k, i * MS + k);
			assert_true(chain_answer(&c, &answer, &id, i * MS + 4));
			chain_left(&c, id, i * MS + 5);
			break;
		}
	for (unsigned k = 0; k < 4; k++)
		assert_in_range(n[k], 80, 120);
}

static void
records_that_nobody_reads_are_counted(void **state)
{
	uint32_t id;

	(void)state;
	chain_init(&c, 0);
	for (unsigned i = 0; i < CHAIN_KEPT + 3; i++) {
		(void)put_one(10 + i);
		assert_true(chain_answer(&c, &answer, &id, 20 + i));
		chain_left(&c, id, 21 + i);
	}
	assert_int_equal(atomic_load(&c.lost), 3);
	for (unsigned i = 0; i < CHAIN_KEPT; i++) {
		assert_true(chain_next(&c, &r));
		assert_int_equal(r.arrived_ns, 10 + i);
	}
	assert_false(chain_next(&c, &r));
}

// One kicked packet whose wake-up takes took_ns.
static void
wake(uint64_t now_ns, uint64_t took_ns, uint64_t prewoken_ns)
{
	struct chain_ring before = ring(100, 100), done = ring(101, 101);
	uint32_t id;

	assert_true(begin(now_ns, &id, now_ns));
	chain_put(&c, &before, 101, prewoken_ns, now_ns + 5, now_ns + 6);
	chain_look(&c, &done, now_ns + 5 + took_ns);
	assert_true(chain_answer(&c, &answer, &id, now_ns + 6 + took_ns));
	chain_left(&c, id, now_ns + 7 + took_ns);
	assert_true(chain_next(&c, &r));
}

static void
wake_latency_is_the_median_of_plain_wakings(void **state)
{
	(void)state;
	chain_init(&c, 0);
	assert_false(chain_may_prewake(&c)); // nothing is known yet
	wake(0, 20 * MS, 0); // a bad beginning is soon forgotten
	for (unsigned i = 1; i < 30; i++)
		wake(i * 100 * MS, 90000, 0);
	assert_in_range(atomic_load(&c.wake_ns), 60000, 130000);
	chain_init(&c, 0);
	// a quarter is stalled
	for (unsigned i = 0; i < 400; i++)
		wake(i * 100 * MS, i % 4 ? 90000 + i % 7 * 1000 : 50 * MS, 0);
	assert_in_range(atomic_load(&c.wake_ns), 80000, 120000);
	for (unsigned i = 400; i < 500; i++)
		wake(i * 100 * MS, 1000, i * 100 * MS + 1); // woken ahead: that says nothing
	assert_in_range(atomic_load(&c.wake_ns), 80000, 120000);
	assert_int_equal(r.prewoken_ns, 499 * 100 * MS + 1);
	wake(600 * 100 * MS, 1000, 500 * 100 * MS); // a kick for another one, before
	assert_int_equal(r.prewoken_ns, 0);
}

// A guest that was stopped, or a port without a trace for a while: that was no waking.
static void
what_took_too_long_is_no_wake_latency(void **state)
{
	struct chain_ring before = ring(100, 100), done = ring(101, 101);
	uint32_t id;

	(void)state;
	chain_init(&c, 0);
	assert_true(begin(1, &id, 1));
	chain_put(&c, &before, 101, 0, 2, 3);
	chain_look(&c, &done, 3600 * 1000 * MS);
	assert_int_equal(atomic_load(&c.wake_ns), 0);
	assert_true(chain_next(&c, &r));
	assert_int_equal(r.consumed_ns, 0);
}

static void
now_and_then_a_guest_is_not_woken_ahead(void **state)
{
	unsigned n_plain = 0;
	uint32_t id;

	(void)state;
	chain_init(&c, 0);
	wake(0, 1000, 0);
	for (unsigned i = 1; i <= 160; i++) {
		assert_true(chain_may_prewake(&c)); // nothing is followed
		assert_true(begin(i * MS, &id, i * MS));
		n_plain += !chain_may_prewake(&c);
		chain_put(&c, NULL, 0, 0, i * MS, i * MS);
		assert_true(chain_answer(&c, &answer, &id, i * MS + 1));
		chain_left(&c, id, i * MS + 2);
		assert_true(chain_next(&c, &r));
	}
	assert_int_equal(n_plain, 10);
}

// Threads: one sends to the guest and polls, one answers, one forwards, one reads. Records come out
// in order and whole.
#define N_RACED 2000
static _Atomic uint32_t answered, is_over;

static void *
poll_answers(void *arg)
{
	uint64_t now_ns = 1;
	uint32_t id;

	(void)arg;
	while (!atomic_load(&is_over))
		if (chain_answer(&c, &answer, &id, ++now_ns))
			atomic_store(&answered, id);
		else
			(void)sched_yield();
	return NULL;
}

static void *
send_answers(void *arg)
{
	uint64_t now_ns = 1;

	(void)arg;
	while (!atomic_load(&is_over)) {
		chain_left(&c, atomic_load(&answered), ++now_ns);
		(void)sched_yield();
	}
	return NULL;
}

static void *
read_records(void *arg)
{
	struct chain_record mine;
	uint64_t *n = arg, last = 0;

	for (;;) {
		bool was_over = atomic_load(&is_over);

		if (!chain_next(&c, &mine)) {
			if (was_over)
				return NULL;
			(void)sched_yield();
			continue;
		}
		assert_true(mine.arrived_ns > last);
		assert_int_equal(mine.queued_ns, mine.arrived_ns + 1);
		last = mine.arrived_ns;
		++*n;
	}
}

static void
threads_take_turns(void **state)
{
	pthread_t thread[3];
	uint64_t n_read = 0, now_ns = 0;
	struct chain_ring done = ring(101, 101);
	uint32_t id;

	(void)state;
	chain_init(&c, 0);
	assert_int_equal(pthread_create(&thread[0], NULL, poll_answers, NULL), 0);
	assert_int_equal(pthread_create(&thread[1], NULL, send_answers, NULL), 0);
	assert_int_equal(pthread_create(&thread[2], NULL, read_records, &n_read), 0);
	for (unsigned i = 0; i < N_RACED;) {
		now_ns += 2;
		if (begin(now_ns - 1, &id, now_ns)) {
			chain_put(&c, NULL, 101, 0, now_ns, now_ns);
			i++;
		}
		chain_look(&c, &done, now_ns);
		(void)sched_yield();
	}
	while (!chain_is_due(&c, UINT64_MAX)) // the last one
		chain_look(&c, &done, now_ns += MS);
	atomic_store(&is_over, 1);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_true(n_read > 0 && n_read + atomic_load(&c.lost) <= N_RACED);
}

// Threads that were late with an answer answer no other packet: two poll, packets end by time, too,
// and each has its own key.
#define N_LATE 20000
static _Atomic uint32_t asked;

static void *
answer_late(void *arg)
{
	struct chain_key key = answer;
	uint32_t id, n;

	(void)arg;
	while (!atomic_load(&is_over)) {
		n = atomic_load(&asked);
		key.dst_port = (uint16_t)n;
		if (chain_answer(&c, &key, &id, n * 1000 * MS + 5))
			chain_left(&c, id, n * 1000 * MS + 6);
		else
			(void)sched_yield();
	}
	return NULL;
}

static void
late_answer_is_no_answer_to_another_packet(void **state)
{
	pthread_t thread[2];
	struct chain_key key = ask;
	uint32_t id;

	(void)state;
	chain_init(&c, 0);
	atomic_store(&is_over, 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, answer_late, NULL), 0);
	for (uint32_t n = 1; n <= N_LATE; n++) {
		key.src_port = (uint16_t)n;
		while (!chain_begin(&c, &key, n * 1000 * MS, &id, n * 1000 * MS + 1))
			chain_look(&c, NULL, n * 1000 * MS);
		chain_put(&c, NULL, 0, 0, n * 1000 * MS + 2, n * 1000 * MS + 3);
		atomic_store(&asked, n);
		if (n % 2)
			(void)sched_yield();
		while (chain_next(&c, &r))
			if (r.answered_ns)
				assert_int_equal(r.answered_ns, r.arrived_ns + 5);
	}
	atomic_store(&is_over, 1);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_int_equal(atomic_load(&c.lost), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_way_is_recorded),
		cmocka_unit_test(answer_before_the_driver_says_so_means_consumed),
		cmocka_unit_test(other_packets_are_no_answer),
		cmocka_unit_test(kick_is_due_when_the_wanted_index_is_in_the_burst),
		cmocka_unit_test(consumed_is_seen_across_the_end_of_the_indices),
		cmocka_unit_test(what_takes_too_long_is_ended_where_it_is),
		cmocka_unit_test(one_at_a_time_and_no_more_than_the_interval_allows),
		cmocka_unit_test(no_place_in_a_burst_is_preferred),
		cmocka_unit_test(records_that_nobody_reads_are_counted),
		cmocka_unit_test(wake_latency_is_the_median_of_plain_wakings),
		cmocka_unit_test(what_took_too_long_is_no_wake_latency),
		cmocka_unit_test(now_and_then_a_guest_is_not_woken_ahead),
		cmocka_unit_test(threads_take_turns),
		cmocka_unit_test(late_answer_is_no_answer_to_another_packet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
