// The table of types answers by number and by name, and its traits do not contradict each other.
#include "../unit.h"
#include "rtvs/port_traits.h"

#include <string.h>

static void
each_type_has_a_name_of_its_own(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < PORT_N_TYPES; i++) {
		const char *name = port_traits_names[i];

		assert_true(strlen(name) > 0);
		assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
		for (uint32_t k = 0; k < i; k++)
			assert_string_not_equal(name, port_traits_names[k]);
		assert_int_equal(port_traits_of_name(name), port_traits_of(i));
	}
	assert_null(port_traits_names[PORT_N_TYPES]);
	assert_string_equal(port_traits_names[DP_PORT_GENEVE], "geneve");
}

// A port has at most one kind. A tunnel has no device, so it can neither carry tunnels nor hold a
// port back. No port waits for a guest, which may stop.
static void
traits_of_a_type_go_together(void **state)
{
	const uint32_t made_of = PORT_IS_GUEST | PORT_IS_DEVICE | PORT_IS_TUNNEL | PORT_IS_NODE;

	(void)state;
	for (uint32_t i = 0; i < PORT_N_TYPES; i++) {
		assert_true(__builtin_popcount(port_traits_of(i) & made_of) <= 1);
		assert_false(port_has(i, PORT_IS_TUNNEL) && port_has(i, PORT_MAY_BE_UPLINK));
		assert_false(port_has(i, PORT_IS_TUNNEL | PORT_IS_GUEST) && port_has(i, PORT_MAY_HOLD));
	}
	assert_true(port_has(DP_PORT_VHOST, PORT_IS_GUEST));
	assert_true(port_has(DP_PORT_GENEVE, PORT_IS_TUNNEL));
}

static void
what_is_no_type_has_no_traits(void **state)
{
	(void)state;
	assert_int_equal(port_traits_of(PORT_N_TYPES), 0);
	assert_int_equal(port_traits_of(UINT32_MAX), 0);
	assert_int_equal(port_traits_of_name(NULL), 0);
	assert_int_equal(port_traits_of_name(""), 0);
	assert_int_equal(port_traits_of_name("vhos"), 0);
	assert_int_equal(port_traits_of_name("vhosts"), 0);
	assert_false(port_has(PORT_N_TYPES, UINT32_MAX));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_type_has_a_name_of_its_own),
		cmocka_unit_test(traits_of_a_type_go_together),
		cmocka_unit_test(what_is_no_type_has_no_traits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
