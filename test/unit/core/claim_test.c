// One front-end has a port: who may follow it, and when.
#include "../unit.h"
#include "rtvs/claim.h"

#define FOR_NS 60000000000

static void
free_port_is_granted_and_a_held_one_refused(void **state)
{
	struct claim c = {0};

	(void)state;
	assert_int_equal(claim_ask(&c, 7, false, 0, 1), CLAIM_GRANTED);
	assert_false(c.is_refusing);
	assert_int_equal(claim_ask(&c, 8, true, 7, 2), CLAIM_REFUSED_TELL);
	assert_true(c.is_refusing);
	assert_int_equal(c.refused_pid, 8);
	assert_int_equal(c.holder_pid, 7);
	assert_int_equal(claim_ask(&c, 7, true, 7, 2 + CLAIM_TELL_OTHER_NS),
		CLAIM_REFUSED_TELL); // a second interface of the same process
	// the first has gone
	assert_int_equal(claim_ask(&c, 8, false, 0, 3 + CLAIM_TELL_OTHER_NS), CLAIM_GRANTED);
	assert_false(c.is_refusing);
}

static void
refusal_is_told_once_in_a_while(void **state)
{
	struct claim c = {0};

	(void)state;
	assert_int_equal(claim_ask(&c, 8, true, 7, 1), CLAIM_REFUSED_TELL);
	assert_int_equal(claim_ask(&c, 8, true, 7, CLAIM_TELL_NS), CLAIM_REFUSED);
	assert_int_equal(claim_ask(&c, 8, true, 7, CLAIM_TELL_NS + 1), CLAIM_REFUSED_TELL);
}

// Children of one process that take turns, with a front-end that was granted the port between them.
static void
refusals_of_many_are_told_at_a_bounded_rate(void **state)
{
	struct claim c = {0};

	(void)state;
	assert_int_equal(claim_ask(&c, 8, true, 7, 1), CLAIM_REFUSED_TELL);
	assert_int_equal(claim_ask(&c, 9, true, 7, CLAIM_TELL_OTHER_NS), CLAIM_REFUSED);
	assert_int_equal(claim_ask(&c, 10, false, 0, CLAIM_TELL_OTHER_NS), CLAIM_GRANTED);
	assert_int_equal(claim_ask(&c, 8, true, 10, CLAIM_TELL_OTHER_NS), CLAIM_REFUSED);
	assert_int_equal(claim_ask(&c, 9, true, 10, CLAIM_TELL_OTHER_NS + 1), CLAIM_REFUSED_TELL);
}

static void
move_lets_one_successor_in_within_its_time(void **state)
{
	struct claim c = {0};

	(void)state;
	claim_move(&c, FOR_NS, 5);
	assert_int_equal(claim_ask(&c, 8, true, 7, 5 + FOR_NS - 1), CLAIM_GRANTED);
	assert_int_equal(claim_ask(&c, 9, true, 7, 5 + FOR_NS - 1), CLAIM_REFUSED_TELL);
	c = (struct claim){0};
	claim_move(&c, FOR_NS, 5);
	assert_int_equal(claim_ask(&c, 8, true, 7, 5 + FOR_NS), CLAIM_REFUSED_TELL);
}

static void
ban_ends(void **state)
{
	struct claim c = {0};

	(void)state;
	claim_move(&c, FOR_NS, 0);
	claim_ban(&c, 10);
	assert_true(claim_is_banned(&c, 10 + CLAIM_BAN_NS - 1));
	assert_int_equal(claim_ask(&c, 7, false, 0, 10 + CLAIM_BAN_NS - 1), CLAIM_BANNED);
	assert_false(claim_is_banned(&c, 10 + CLAIM_BAN_NS));
	// the move was not used up
	assert_int_equal(claim_ask(&c, 7, true, 6, 10 + CLAIM_BAN_NS), CLAIM_GRANTED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(free_port_is_granted_and_a_held_one_refused),
		cmocka_unit_test(refusal_is_told_once_in_a_while),
		cmocka_unit_test(refusals_of_many_are_told_at_a_bounded_rate),
		cmocka_unit_test(move_lets_one_successor_in_within_its_time),
		cmocka_unit_test(ban_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
