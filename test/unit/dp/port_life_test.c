// Every step of a port's life: those that are allowed, and that no other is.
#include "../unit.h"
#include "port_life.h"

static const bool allowed[PORT_LIVES][PORT_LIVES] = {
	[PORT_MADE] = {[PORT_STARTED] = true, [PORT_GONE] = true},
	[PORT_STARTED] = {[PORT_STOPPED] = true, [PORT_DRAINING] = true, [PORT_GONE] = true},
	[PORT_STOPPED] = {[PORT_STARTED] = true, [PORT_GONE] = true},
	[PORT_DRAINING] = {[PORT_GONE] = true},
};

static void
steps_that_are_allowed_are_taken(void **state)
{
	(void)state;
	for (unsigned from = 0; from < PORT_LIVES; from++)
		for (unsigned to = 0; to < PORT_LIVES; to++) {
			enum port_life life = from;

			if (!allowed[from][to])
				continue;
			assert_true(port_life_may(from, to));
			port_life_step(&life, to);
			assert_int_equal(life, to);
		}
}

static void
all_others_are_refused(void **state)
{
	(void)state;
	for (unsigned from = 0; from < PORT_LIVES; from++)
		for (unsigned to = 0; to < PORT_LIVES; to++)
			if (!allowed[from][to] && port_life_may(from, to))
				fail_msg("from %u to %u", from, to);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps_that_are_allowed_are_taken),
		cmocka_unit_test(all_others_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
