// The time at a peer: who asks whom, and which answers count.
#include "remote.h"

static void
a_clock_request_is_answered(void **state)
{
	struct fixture *f = acquainted(state);
	struct peer_msg msg = {.type = PEER_MSG_CLOCK_REQUEST, .t1_ns = 77};

	remote_sends(f, &msg);
	assert_int_equal(remote_takes(&msg), PEER_SESSION_ACCEPTED);
	assert_int_equal(msg.type, PEER_MSG_CLOCK_REPLY);
	assert_int_equal(msg.t1_ns, 77);
	// An answer to what was not asked.
	msg = (struct peer_msg){.type = PEER_MSG_CLOCK_REPLY, .t1_ns = 1, .t2_ns = 2, .t3_ns = 3};
	remote_sends(f, &msg);
	assert_int_equal(count(f, "clock_known"), 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, forget)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_clock_request_is_answered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
