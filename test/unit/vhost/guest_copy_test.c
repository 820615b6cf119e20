// Each kind of moves that this CPU has: all bytes arrive, and none outside of them is touched. Both
// sides end where no memory is.
#include "../unit.h"
#include "guest_copy.h"

#include <sys/mman.h>
#include <unistd.h>

#define LONGEST (COPY_WIDE_MAX + 2)
#define ROOM 4096 // more than the longest, whole pages
#define CANARY 0xa5

static uint8_t *from_end, *to_end;

static uint8_t *
map_before_nothing(void)
{
	uint8_t *at = mmap(NULL, 2 * ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	assert_int_equal(mprotect(at + ROOM, ROOM, PROT_NONE), 0);
	return at + ROOM;
}

static void
copies_well(guest_copy_fn copy)
{
	for (uint32_t gap = 0; gap < 3; gap++) {
		for (uint32_t n = 0; n <= LONGEST; n++) {
			uint8_t *from = from_end - n - gap, *to = to_end - n;

			for (uint32_t i = 0; i < n; i++)
				from[i] = (uint8_t)(i * 7 + n);
			memset(to_end - ROOM, CANARY, ROOM);
			copy(to, from, n);
			assert_memory_equal(to, from, n);
			for (uint8_t *p = to_end - ROOM; p < to; p++)
				assert_int_equal(*p, CANARY);
		}
	}
}

#ifdef GUEST_HAS_WIDE_MOVES
GUEST_AVX2 static void
copy_avx2(uint8_t *to, const uint8_t *from, uint32_t n)
{
	guest_copy_avx2(to, from, n);
}

GUEST_AVX512 static void
copy_avx512(uint8_t *to, const uint8_t *from, uint32_t n)
{
	guest_copy_avx512(to, from, n);
}
#endif

static void
each_kind_copies_all_bytes_and_no_others(void **state)
{
	(void)state;
	copies_well(guest_copy_plain);
#ifdef GUEST_HAS_WIDE_MOVES
	if (guest_copy_moves() >= GUEST_MOVES_AVX2)
		copies_well(copy_avx2);
	if (guest_copy_moves() >= GUEST_MOVES_AVX512)
		copies_well(copy_avx512);
#endif
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_copies_all_bytes_and_no_others),
	};

	from_end = map_before_nothing();
	to_end = map_before_nothing();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
