// Chains and scripted events become stages. All of them add up to the time from end to end, in
// every case.
#include "../unit.h"
#include "stages.h"
#include "wake_script.h"

#include <stdlib.h>
#include <string.h>

// Answered, kicked for.
static const struct stages_chain plain = {.arrived_ns = 1000,
	.queued_ns = 1010,
	.put_ns = 1030,
	.kicked_ns = 1060,
	.consumed_ns = 1500,
	.answered_ns = 1800,
	.left_ns = 1805,
	.is_kicked = true};

static struct stages_chain
shifted(struct stages_chain c, uint64_t base_ns)
{
	uint64_t *const times[] = {
		&c.arrived_ns, &c.queued_ns, &c.put_ns, &c.kicked_ns, &c.consumed_ns, &c.answered_ns, &c.left_ns};

	for (unsigned i = 0; i < 7; i++)
		*times[i] += base_ns;
	return c;
}

static void
expect_sum(const struct stages *s, uint64_t total_ns)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < STAGE_COUNT; i++)
		sum += s->ns[i];
	assert_int_equal(sum, total_ns);
	assert_int_equal(s->total_ns, total_ns);
}

static void
expect_stages(const struct stages *s, const uint64_t *expected)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < STAGE_COUNT; i++) {
		if (s->ns[i] != expected[i])
			fail_msg("%s: %llu, expected %llu", stages_names[i], (unsigned long long)s->ns[i],
				(unsigned long long)expected[i]);
		sum += expected[i];
	}
	expect_sum(s, sum);
}

static struct stages
cut(const struct stages_chain *c, const char *script, uint64_t base_ns)
{
	struct threads *t = wake_script_threads(script, base_ns);
	struct stages s;

	assert_int_equal(stages_of(c, t, SCRIPT_SWITCH, &s), c->left_ns ? STAGES_ANSWERED : STAGES_UNANSWERED);
	threads_destroy(t);
	return s;
}

static enum stages_result
result(const struct stages_chain *c, const char *script)
{
	struct threads *t = wake_script_threads(script, 0);
	struct stages s;
	enum stages_result r = stages_of(c, t, SCRIPT_SWITCH, &s);

	threads_destroy(t);
	return r;
}

// Stages in their order: switch, queue, vring, emulator, wake, run, consume, answer, leave.
#define EXPECT(s, ...) expect_stages(&(s), (const uint64_t[STAGE_COUNT]){__VA_ARGS__})

static void
sleeping_processor_is_woken_by_the_switch(void **state)
{
	struct stages s = cut(&plain, "1080 waking cpu0 by switch; 1200 in cpu0; 1900 out cpu0", 0);

	(void)state;
	EXPECT(s, 10, 20, 30, 0, 20, 120, 300, 300, 5);
	assert_false(s.is_running);
	assert_false(s.is_emulated);
}

static void
kick_may_take_effect_before_its_call_returns(void **state)
{
	struct stages s = cut(&plain, "1040 waking cpu0 by switch; 1050 in cpu0", 0);

	(void)state;
	EXPECT(s, 10, 20, 10, 0, 0, 10, 450, 300, 5);
}

static void
main_loop_passes_the_kick_on(void **state)
{
	struct stages s =
		cut(&plain, "1055 waking loop by switch; 1090 in loop; 1160 waking cpu0 by loop; 1170 in cpu0", 0);

	(void)state;
	EXPECT(s, 10, 20, 30, 100, 0, 10, 330, 300, 5);
	assert_true(s.is_emulated);
}

static void
main_loop_that_was_awake_is_the_emulator_too(void **state)
{
	struct stages s = cut(&plain, "900 waking loop; 910 in loop; 1160 waking cpu0 by loop; 1170 in cpu0", 0);

	(void)state;
	EXPECT(s, 10, 20, 30, 100, 0, 10, 330, 300, 5);
	assert_true(s.is_emulated);
}

static void
running_processor_needs_no_time_to_wake(void **state)
{
	struct stages s = cut(&plain, "900 waking cpu0; 910 in cpu0; 1900 out cpu0", 0);

	(void)state;
	EXPECT(s, 10, 20, 30, 0, 0, 0, 440, 300, 5);
	assert_true(s.is_running);
}

static void
running_processor_is_told_by_the_main_loop(void **state)
{
	struct stages s = cut(&plain, "900 waking cpu0; 910 in cpu0; 1050 waking loop by switch; 1260 in loop", 0);

	(void)state;
	EXPECT(s, 10, 20, 30, 200, 0, 0, 240, 300, 5);
	assert_true(s.is_running);
	assert_true(s.is_emulated);
}

static void
processor_that_falls_asleep_meanwhile_is_woken(void **state)
{
	struct stages s =
		cut(&plain, "900 waking cpu0; 910 in cpu0; 1035 out cpu0; 1050 waking cpu0 by switch; 1100 in cpu0", 0);

	(void)state;
	EXPECT(s, 10, 20, 20, 0, 0, 50, 400, 300, 5);
	assert_false(s.is_running);
}

static void
processor_that_sleeps_after_the_kick_ran_already(void **state)
{
	struct stages s = cut(&plain, "900 waking cpu0; 910 in cpu0; 1300 out cpu0; 1400 waking cpu0; 1410 in cpu0", 0);

	(void)state;
	EXPECT(s, 10, 20, 30, 0, 0, 0, 440, 300, 5);
}

static void
preempted_processor_waits_for_a_cpu(void **state)
{
	struct stages s = cut(&plain, "900 waking cpu0; 910 in cpu0; 1000 preempted cpu0; 1300 in cpu0", 0);

	(void)state;
	EXPECT(s, 10, 20, 30, 0, 0, 240, 200, 300, 5);
}

static void
guest_that_polls_needs_no_kick(void **state)
{
	struct stages_chain c = plain;
	struct stages s;

	(void)state;
	c.is_kicked = false;
	s = cut(&c, "900 waking cpu0; 910 in cpu0", 0);
	EXPECT(s, 10, 20, 30, 0, 0, 0, 440, 300, 5);
	c.kicked_ns = 0;
	s = cut(&c, "900 waking cpu0; 910 in cpu0", 0);
	EXPECT(s, 10, 20, 0, 0, 0, 0, 470, 300, 5);
}

static void
processor_woken_ahead_is_found_awake(void **state)
{
	struct stages_chain c = plain;
	struct stages s;

	(void)state;
	c.prewoken_ns = 1012;
	s = cut(&c, "1014 waking cpu0 by switch; 1100 in cpu0", 0);
	EXPECT(s, 10, 20, 30, 0, 0, 40, 400, 300, 5);
	s = cut(&c, "1014 waking cpu0 by switch; 1025 in cpu0", 0);
	EXPECT(s, 10, 20, 30, 0, 0, 0, 440, 300, 5);
}

static void
no_answer_ends_when_consumed(void **state)
{
	struct stages_chain c = plain;
	struct stages s;

	(void)state;
	c.answered_ns = c.left_ns = 0;
	s = cut(&c, "1080 waking cpu0 by switch; 1200 in cpu0", 0);
	EXPECT(s, 10, 20, 30, 0, 20, 120, 300, 0, 0);
	// Taken from the guest, but it left nowhere.
	c.answered_ns = 1800;
	s = cut(&c, "1080 waking cpu0 by switch; 1200 in cpu0", 0);
	expect_sum(&s, 500);
}

static void
chains_that_did_not_come_far_have_no_stages(void **state)
{
	struct stages_chain c = plain;

	(void)state;
	c.consumed_ns = c.answered_ns = c.left_ns = 0;
	assert_int_equal(result(&c, ""), STAGES_UNCONSUMED);
	c.put_ns = c.kicked_ns = 0;
	assert_int_equal(result(&c, ""), STAGES_NOT_PUT);
	c = plain;
	c.left_ns = 999;
	assert_int_equal(result(&c, ""), STAGES_WRONG);
	c = plain;
	c.consumed_ns = 1029;
	assert_int_equal(result(&c, ""), STAGES_WRONG);
	c = plain;
	c.arrived_ns = 0;
	assert_int_equal(result(&c, ""), STAGES_WRONG);
}

// The switch looked at its clock, lost its CPU, and then looked at the ring.
static void
guest_that_answered_consumed_no_sooner_than_it_ran(void **state)
{
	struct stages s = cut(&plain, "1080 waking cpu0 by switch; 1600 in cpu0", 0);

	(void)state;
	EXPECT(s, 10, 20, 30, 0, 20, 520, 0, 200, 5);
	s = cut(&plain, "1570 waking loop by switch; 1590 waking cpu0 by loop; 1600 in cpu0", 0);
	EXPECT(s, 10, 20, 30, 530, 0, 10, 0, 200, 5);
}

// It sleeps all the time: events of some thread are missing.
static void
chain_that_nothing_explains_is_blind(void **state)
{
	(void)state;
	assert_int_equal(result(&plain, ""), STAGES_BLIND);
	assert_int_equal(result(&plain, "2000 waking cpu0 by switch; 2010 in cpu0"), STAGES_BLIND);
}

static void
chain_with_lost_events_is_blind(void **state)
{
	struct threads *t = wake_script_threads("1080 waking cpu0 by switch; 1200 in cpu0", 0);
	struct stages s;

	(void)state;
	threads_lost(t, 1801, 1900);
	assert_int_equal(stages_of(&plain, t, SCRIPT_SWITCH, &s), STAGES_ANSWERED);
	threads_lost(t, 1400, 1450);
	assert_int_equal(stages_of(&plain, t, SCRIPT_SWITCH, &s), STAGES_BLIND);
	threads_destroy(t);
}

static void
out_of_order_events_give_the_same(void **state)
{
	struct stages s = cut(&plain, "1900 out cpu0; 1200 in cpu0; 1080 waking cpu0 by switch", 0);

	(void)state;
	EXPECT(s, 10, 20, 30, 0, 20, 120, 300, 300, 5);
}

// The thread counts: it is woken on one CPU, runs on the next one and moves on.
static void
migrated_processor_is_the_same(void **state)
{
	struct stages s = cut(&plain,
		"1080 waking cpu0 by switch; 1200 in cpu0; 1210 preempted cpu0; 1220 in cpu0; 1300 preempted cpu0; "
		"1350 in cpu0",
		0);

	(void)state;
	EXPECT(s, 10, 20, 30, 0, 20, 120, 300, 300, 5);
}

static void
the_processor_that_was_kicked_counts(void **state)
{
	struct stages s = cut(&plain, "900 waking cpu1; 910 in cpu1; 1080 waking cpu0 by switch; 1200 in cpu0", 0);

	(void)state;
	EXPECT(s, 10, 20, 30, 0, 20, 120, 300, 300, 5);
	// cpu0's own timer is not the kick.
	s = cut(&plain, "900 waking cpu1; 910 in cpu1; 1080 waking cpu0 by kernel; 1200 in cpu0", 0);
	EXPECT(s, 10, 20, 30, 0, 0, 0, 440, 300, 5);
	assert_true(s.is_running);
	// Nor is another processor's request.
	s = cut(&plain, "900 waking cpu1; 910 in cpu1; 1080 waking cpu0 by cpu1; 1200 in cpu0", 0);
	assert_true(s.is_running);
}

static void
without_the_kernels_side_consume_is_all_of_it(void **state)
{
	struct stages s;

	(void)state;
	assert_int_equal(stages_of(&plain, NULL, 0, &s), STAGES_ANSWERED);
	EXPECT(s, 10, 20, 30, 0, 0, 0, 440, 300, 5);
}

static void
times_may_wrap(void **state)
{
	// 0 of a chain means none, so none of its times is.
	static const uint64_t bases[] = {UINT64_MAX - 1001, UINT64_MAX - 1040, UINT64_MAX - 1100, UINT64_MAX - 1300,
		UINT64_MAX - 1801, (UINT64_C(1) << 63) - 1100};

	(void)state;
	for (unsigned i = 0; i < sizeof(bases) / sizeof(*bases); i++) {
		const struct stages_chain c = shifted(plain, bases[i]);
		struct stages s = cut(&c, "1080 waking cpu0 by switch; 1200 in cpu0; 1900 out cpu0", bases[i]);

		EXPECT(s, 10, 20, 30, 0, 20, 120, 300, 300, 5);
	}
}

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

// For any events and any of the switch's own times the sum is the time from end to end.
static void
stages_always_add_up(void **state)
{
	struct threads *t;
	unsigned n_cut = 0;

	(void)state;
	srand(unit_seed());
	for (unsigned round = 0; round < 20000; round++) {
		uint64_t at[7];
		struct stages_chain c;
		struct stages s;

		t = threads_create(SCRIPT_QEMU);
		for (unsigned i = 0; i < 20; i++) {
			struct event e = {.ts_ns = 1 + (uint64_t)rand() % 2000,
				.type = (uint32_t)rand() % EVENT_COUNT,
				.tgid = SCRIPT_QEMU,
				.tid = SCRIPT_QEMU + (uint32_t)rand() % 3,
				.waker_tgid = rand() % 2 ? SCRIPT_SWITCH : SCRIPT_QEMU,
				.waker_tid = SCRIPT_QEMU + (uint32_t)rand() % 3};

			memcpy(e.comm, e.tid == SCRIPT_QEMU ? "qemu" : "CPU 0/TCG", 5);
			assert_int_equal(threads_event(t, &e), 0);
		}
		for (unsigned i = 0; i < 7; i++)
			at[i] = 1 + (uint64_t)rand() % 2000;
		if (rand() % 2)
			qsort(at, 7, sizeof(*at), compare);
		c = (struct stages_chain){.arrived_ns = at[0],
			.queued_ns = at[1],
			.put_ns = at[2],
			.kicked_ns = at[3],
			.consumed_ns = at[4],
			.answered_ns = at[5],
			.left_ns = rand() % 4 ? at[6] : 0};
		if (stages_of(&c, t, SCRIPT_SWITCH, &s) <= STAGES_UNANSWERED) {
			expect_sum(&s, (c.left_ns ? c.left_ns : c.consumed_ns) - c.arrived_ns);
			for (unsigned i = 0; i < STAGE_COUNT; i++)
				assert_true(s.ns[i] <= 2000);
			n_cut++;
		}
		threads_destroy(t);
	}
	assert_true(n_cut > 1000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sleeping_processor_is_woken_by_the_switch),
		cmocka_unit_test(kick_may_take_effect_before_its_call_returns),
		cmocka_unit_test(main_loop_passes_the_kick_on),
		cmocka_unit_test(main_loop_that_was_awake_is_the_emulator_too),
		cmocka_unit_test(running_processor_needs_no_time_to_wake),
		cmocka_unit_test(running_processor_is_told_by_the_main_loop),
		cmocka_unit_test(processor_that_falls_asleep_meanwhile_is_woken),
		cmocka_unit_test(processor_that_sleeps_after_the_kick_ran_already),
		cmocka_unit_test(preempted_processor_waits_for_a_cpu),
		cmocka_unit_test(guest_that_polls_needs_no_kick),
		cmocka_unit_test(processor_woken_ahead_is_found_awake),
		cmocka_unit_test(no_answer_ends_when_consumed),
		cmocka_unit_test(chains_that_did_not_come_far_have_no_stages),
		cmocka_unit_test(guest_that_answered_consumed_no_sooner_than_it_ran),
		cmocka_unit_test(chain_that_nothing_explains_is_blind),
		cmocka_unit_test(chain_with_lost_events_is_blind),
		cmocka_unit_test(out_of_order_events_give_the_same),
		cmocka_unit_test(migrated_processor_is_the_same),
		cmocka_unit_test(the_processor_that_was_kicked_counts),
		cmocka_unit_test(without_the_kernels_side_consume_is_all_of_it),
		cmocka_unit_test(times_may_wrap),
		cmocka_unit_test(stages_always_add_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
