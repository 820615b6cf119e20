// Routers' reports about a path, and how long they count.
#include "../unit.h"
#include "rtvs/path_mtu.h"

#define NOW UINT64_C(1000)

static void
less_is_believed_for_a_time(void **state)
{
	struct path_mtu p = {0};

	(void)state;
	assert_true(path_mtu_hear(&p, 1400, false, NOW));
	assert_int_equal(p.mtu, 1400);
	assert_false(path_mtu_hear(&p, 1400, false, NOW + 1)); // and does not make it last longer
	assert_false(path_mtu_hear(&p, 1450, false, NOW + 1));
	assert_true(path_mtu_hear(&p, 1399, false, NOW + 10));
	assert_false(path_mtu_expire(&p, NOW + 10 + PATH_MTU_NS - 1));
	assert_true(path_mtu_expire(&p, NOW + 10 + PATH_MTU_NS));
	assert_int_equal(p.mtu, 0);
	assert_false(path_mtu_expire(&p, NOW + 11 + PATH_MTU_NS));
	assert_true(path_mtu_hear(&p, 1450, false, NOW + 20 + PATH_MTU_NS));
}

static void
nobody_gets_below_the_floor(void **state)
{
	static const uint32_t small[] = {0, 1, PATH_MTU_FLOOR_IPV4 - 1, PATH_MTU_FLOOR_IPV4};
	struct path_mtu p;

	(void)state;
	for (unsigned i = 0; i < sizeof(small) / sizeof(*small); i++) {
		p = (struct path_mtu){0};
		assert_true(path_mtu_hear(&p, small[i], false, NOW));
		assert_int_equal(p.mtu, PATH_MTU_FLOOR_IPV4);
	}
	p = (struct path_mtu){0};
	assert_false(path_mtu_hear(&p, PATH_MTU_FLOOR_IPV6 - 1, true, NOW));
	assert_false(path_mtu_hear(&p, 0, true, NOW));
	assert_int_equal(p.mtu, 0);
	assert_true(path_mtu_hear(&p, PATH_MTU_FLOOR_IPV6, true, NOW));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(less_is_believed_for_a_time),
		cmocka_unit_test(nobody_gets_below_the_floor),
	};

	return cmocka_run_group_tests_name("core/path_mtu", tests, NULL, NULL);
}
