#include "../unit.h"
#include "bounded.h"
#include "rtvs/vdpa.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#define LONG_MS 60000

static int gate[2]; // who waits in the "kernel" goes on when there is a byte
static int ended[2];

static int
add_one(void *data)
{
	return ++*(int *)data;
}

static int
wait_at_gate(void *data)
{
	char byte = 0;

	(void)!read(gate[0], &byte, 1);
	*(int *)data = 5;
	(void)!write(ended[1], &byte, 1);
	return 0;
}

static int
refuse(void *data)
{
	(void)data;
	return -EPERM;
}

static void
a_call_in_time_changes_the_data(void **state)
{
	int n = 41;

	(void)state;
	assert_int_equal(bounded_call(add_one, &n, sizeof(n), LONG_MS), 42);
	assert_int_equal(n, 42);
}

static void
its_error_comes_back(void **state)
{
	int n = 1;

	(void)state;
	assert_int_equal(bounded_call(refuse, &n, sizeof(n), LONG_MS), -EPERM);
	assert_int_equal(n, 1);
}

static void
late_calls_are_left_alone_and_counted(void **state)
{
	int n = 1;

	(void)state;
	assert_int_equal(pipe(gate) | pipe(ended), 0);
	for (int i = 0; i < VDPA_MAX_CALLS; i++)
		assert_int_equal(bounded_call(wait_at_gate, &n, sizeof(n), 1), -ETIMEDOUT);
	assert_int_equal(bounded_call(add_one, &n, sizeof(n), LONG_MS), -EBUSY);
	assert_int_equal(n, 1);
	for (int i = 0; i < VDPA_MAX_CALLS; i++)
		assert_int_equal(write(gate[1], "", 1), 1);
	for (int i = 0; i < VDPA_MAX_CALLS; i++) {
		char byte;

		assert_int_equal(read(ended[0], &byte, 1), 1);
	}
	assert_int_equal(n, 1);
	// The last thread counts until it has ended.
	for (int i = 0, rc = -EBUSY; rc == -EBUSY; i++) {
		assert_true(i < 10000);
		(void)poll(NULL, 0, 1);
		rc = bounded_call(add_one, &n, sizeof(n), LONG_MS);
	}
	assert_int_equal(n, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_in_time_changes_the_data),
		cmocka_unit_test(its_error_comes_back),
		cmocka_unit_test(late_calls_are_left_alone_and_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
