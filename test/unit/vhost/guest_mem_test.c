// Regions are found by any address in them, refused where they overlap or end, and removed by their
// whole description.
#include "../unit.h"
#include "rtvs/guest_mem.h"

#include <errno.h>
#include <string.h>

static uint8_t bytes[4096];
static struct guest_mem mem;

static struct guest_region
region(uint64_t guest, uint64_t user, uint64_t n_bytes)
{
	return (struct guest_region){.guest = guest, .user = user, .n_bytes = n_bytes, .host = bytes + guest % 4096};
}

static int
add(uint64_t guest, uint64_t user, uint64_t n_bytes)
{
	struct guest_region r = region(guest, user, n_bytes);

	return guest_mem_add(&mem, &r);
}

static int
begin(void **state)
{
	(void)state;
	memset(&mem, 0, sizeof(mem));
	return 0;
}

static void
an_empty_table_has_no_address(void **state)
{
	uint32_t hint = 0, n = 1;
	uint64_t guest;

	(void)state;
	assert_null(guest_mem_at(&mem, &hint, 0, &n));
	assert_null(guest_mem_at(&mem, &hint, UINT64_MAX, &n));
	assert_null(guest_mem_of_user(&mem, 0, 1, &guest));
}

static void
each_byte_is_found_and_no_other(void **state)
{
	const uint64_t first[] = {100, 200, 1000}; // the first two are adjacent
	uint32_t hint = 0;

	(void)state;
	assert_int_equal(add(200, 5000, 100), 0);
	assert_int_equal(add(1000, 100, 7), 0);
	assert_int_equal(add(100, 9000, 100), 0);
	for (uint64_t guest = 0; guest < 1100; guest++) {
		uint32_t n = 50;
		uint8_t *at = guest_mem_at(&mem, &hint, guest, &n);
		uint64_t end = guest >= 100 && guest < 200 ? 200 : guest >= 200 && guest < 300 ? 300 : 1007;

		if (guest < first[0] || (guest >= 300 && guest < first[2]) || guest >= 1007) {
			assert_null(at);
			continue;
		}
		assert_ptr_equal(at, bytes + guest);
		assert_int_equal(n, end - guest < 50 ? end - guest : 50);
	}
}

static void
user_addresses_are_found_whole(void **state)
{
	uint64_t guest = 1;

	(void)state;
	assert_int_equal(add(200, 5000, 100), 0);
	assert_int_equal(add(300, 5100, 100), 0);
	assert_ptr_equal(guest_mem_of_user(&mem, 5010, 90, &guest), bytes + 210);
	assert_int_equal(guest, 210);
	// the next region is mapped elsewhere
	assert_null(guest_mem_of_user(&mem, 5010, 91, &guest));
	assert_null(guest_mem_of_user(&mem, 4999, 1, &guest));
	assert_null(guest_mem_of_user(&mem, 5010, UINT64_MAX, &guest));
	assert_ptr_equal(guest_mem_of_user(&mem, 5199, 1, &guest), bytes + 399);
}

static void
regions_that_are_none_are_refused(void **state)
{
	struct guest_region r = region(100, 100, 10);

	(void)state;
	assert_int_equal(add(100, 100, 0), -EINVAL);
	assert_int_equal(add(UINT64_MAX - 9, 0, 11), -EINVAL);
	assert_int_equal(add(0, UINT64_MAX - 9, 11), -EINVAL);
	r.host = NULL;
	assert_int_equal(guest_mem_add(&mem, &r), -EINVAL);
	assert_int_equal(mem.n_regions, 0);
	assert_int_equal(add(UINT64_MAX - 9, UINT64_MAX - 9, 10), 0); // to the last byte
	assert_int_equal(add(100, 100, 10), 0);
	for (uint64_t at = 91; at < 110; at++) {
		assert_int_equal(add(at, 1000, 10), -EEXIST);
		assert_int_equal(add(1000, at, 10), -EEXIST);
	}
	assert_int_equal(add(90, 90, 10), 0);
	assert_int_equal(add(110, 110, 10), 0);
	assert_int_equal(mem.n_regions, 4);
}

static void
a_table_ends_at_its_limit(void **state)
{
	uint32_t hint = 0, n = 1;

	(void)state;
	for (uint64_t i = GUEST_MEM_MAX_REGIONS; i; i--)
		assert_int_equal(add(i * 10, i * 10, 10), 0);
	assert_int_equal(add(0, 0, 10), -ENOSPC);
	for (uint64_t i = 1; i <= GUEST_MEM_MAX_REGIONS; i++)
		assert_ptr_equal(guest_mem_at(&mem, &hint, i * 10 + 3, &n), bytes + (i * 10) % 4096 + 3);
}

static void
a_region_is_removed_by_all_that_is_said_of_it(void **state)
{
	struct guest_region r = region(200, 500, 10), got;
	uint32_t hint = 0, n = 1;

	(void)state;
	assert_int_equal(add(100, 400, 10), 0);
	assert_int_equal(guest_mem_add(&mem, &r), 0);
	assert_int_equal(add(300, 600, 10), 0);
	r.n_bytes = 9;
	assert_int_equal(guest_mem_remove(&mem, &r, &got), -ENOENT);
	r.n_bytes = 10;
	r.user = 501;
	assert_int_equal(guest_mem_remove(&mem, &r, &got), -ENOENT);
	r.user = 500;
	assert_int_equal(guest_mem_remove(&mem, &r, &got), 0);
	assert_ptr_equal(got.host, bytes + 200);
	assert_int_equal(guest_mem_remove(&mem, &r, &got), -ENOENT);
	assert_null(guest_mem_at(&mem, &hint, 205, &n));
	assert_non_null(guest_mem_at(&mem, &hint, 305, &n));
	assert_non_null(guest_mem_at(&mem, &hint, 105, &n));
	hint = 2; // of the region that is now the second
	assert_null(guest_mem_at(&mem, &hint, 205, &n));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_empty_table_has_no_address, begin),
		cmocka_unit_test_setup(each_byte_is_found_and_no_other, begin),
		cmocka_unit_test_setup(user_addresses_are_found_whole, begin),
		cmocka_unit_test_setup(regions_that_are_none_are_refused, begin),
		cmocka_unit_test_setup(a_table_ends_at_its_limit, begin),
		cmocka_unit_test_setup(a_region_is_removed_by_all_that_is_said_of_it, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
