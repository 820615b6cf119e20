// Places of senders: the limit, the order, and random comings and goings against an array.
#include "../unit.h"
#include "rtvs/random.h"
#include "rtvs/sender_table.h"

#include <string.h>

#define N_PORTS 4096
#define NONE UINT32_MAX

static struct sender_table t;
static uint32_t place_of[N_PORTS]; // the model

static void
begin(void)
{
	memset(&t, 0, sizeof(t));
	for (unsigned i = 0; i < N_PORTS; i++)
		place_of[i] = NONE;
}

static void
assert_as_model(void)
{
	uint32_t n = 0;

	for (uint32_t place = sender_table_next(&t, 0); place != SENDER_SHARED;
		place = sender_table_next(&t, place + 1)) {
		assert_int_equal(place_of[sender_table_port(&t, place)], place);
		n++;
	}
	assert_int_equal(n, t.n);
	for (unsigned i = 0; i < N_PORTS; i++) {
		assert_int_equal(sender_table_find(&t, (uint16_t)i), place_of[i] == NONE ? SENDER_SHARED : place_of[i]);
		n -= place_of[i] != NONE;
	}
	assert_int_equal(n, 0);
}

static void
as_many_as_the_limit_have_places_and_one_more_shares(void **state)
{
	(void)state;
	begin();
	for (unsigned i = 0; i < SENDER_MAX; i++)
		assert_int_equal(place_of[3 * i] = sender_table_add(&t, (uint16_t)(3 * i)), i);
	assert_int_equal(sender_table_add(&t, 1), SENDER_SHARED);
	assert_as_model();
	sender_table_remove(&t, 700);
	place_of[3 * 700] = NONE;
	assert_as_model();
	assert_int_equal(place_of[1] = sender_table_add(&t, 1), 700);
	assert_int_equal(sender_table_add(&t, 2), SENDER_SHARED);
	assert_as_model();
}

static void
lowest_free_place_is_taken(void **state)
{
	(void)state;
	begin();
	for (uint16_t i = 0; i < 200; i++)
		(void)sender_table_add(&t, i);
	sender_table_remove(&t, 130);
	sender_table_remove(&t, 64);
	assert_int_equal(sender_table_next(&t, 64), 65);
	assert_int_equal(sender_table_add(&t, 1000), 64);
	assert_int_equal(sender_table_add(&t, 1001), 130);
	assert_int_equal(sender_table_add(&t, 1002), 200);
	assert_int_equal(sender_table_next(&t, 201), SENDER_SHARED);
}

static void
equals_an_array(void **state)
{
	uint64_t seed = 1618;

	(void)state;
	print_message("seed %llu\n", (unsigned long long)seed);
	begin();
	for (unsigned step = 0; step < 200000; step++) {
		// Now few, now as many as there is room for.
		bool is_growing = step / 5000 % 2;
		unsigned port = (unsigned)random_below(&seed, N_PORTS);

		if (place_of[port] == NONE) {
			uint32_t place = is_growing || !random_below(&seed, 3) ? sender_table_add(&t, (uint16_t)port) :
										 SENDER_SHARED;

			place_of[port] = place == SENDER_SHARED ? NONE : place;
		} else if (!is_growing || !random_below(&seed, 3)) {
			sender_table_remove(&t, place_of[port]);
			place_of[port] = NONE;
		}
		if (step % 500 == 0)
			assert_as_model();
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_many_as_the_limit_have_places_and_one_more_shares),
		cmocka_unit_test(lowest_free_place_is_taken),
		cmocka_unit_test(equals_an_array),
	};

	return cmocka_run_group_tests_name("sender_table", tests, NULL, NULL);
}
