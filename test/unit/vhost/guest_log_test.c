// Every page written is marked by the flush, none before it, none beside it, and a hypervisor that
// clears bits meanwhile misses none.
#include "../unit.h"
#include "rtvs/guest_log.h"
#include "rtvs/random.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#define N_BYTES 64

static _Atomic uint8_t bits[N_BYTES + 1];
static struct guest_log guest_log;

static int
begin(void **state)
{
	(void)state;
	memset((void *)bits, 0, sizeof(bits));
	guest_log_init(&guest_log, bits, N_BYTES);
	return 0;
}

static bool
is_dirty(uint64_t page)
{
	return bits[page / 8] >> page % 8 & 1;
}

static void
pages_are_marked_at_the_flush(void **state)
{
	(void)state;
	guest_log_mark(&guest_log, 3 * GUEST_LOG_PAGE + 4095, 1);
	guest_log_mark(&guest_log, 9 * GUEST_LOG_PAGE + 4095, 2);
	guest_log_mark(&guest_log, 20 * GUEST_LOG_PAGE, 0);
	for (uint64_t page = 0; page < 8 * N_BYTES; page++)
		assert_false(is_dirty(page));
	guest_log_flush(&guest_log);
	for (uint64_t page = 0; page < 8 * N_BYTES; page++)
		assert_int_equal(is_dirty(page), page == 3 || page == 9 || page == 10);
}

static void
more_marks_than_are_kept_are_not_lost(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < N_BYTES; i++)
		guest_log_mark(&guest_log, i * 8 * GUEST_LOG_PAGE, 1);
	guest_log_flush(&guest_log);
	for (uint64_t page = 0; page < 8 * N_BYTES; page++)
		assert_int_equal(is_dirty(page), page % 8 == 0);
}

static void
pages_beyond_the_log_are_not_written(void **state)
{
	(void)state;
	guest_log_mark(&guest_log, 8 * N_BYTES * (uint64_t)GUEST_LOG_PAGE - 1, 2);
	guest_log_mark(&guest_log, UINT64_MAX - 1, 100);
	guest_log_flush(&guest_log);
	assert_true(is_dirty(8 * N_BYTES - 1));
	assert_int_equal(bits[N_BYTES], 0);
}

static void
nobody_migrates(void **state)
{
	(void)state;
	guest_log_init(&guest_log, NULL, 0);
	guest_log_mark(&guest_log, 0, 100);
	guest_log_flush(&guest_log);
	assert_int_equal(bits[0], 0);
}

// The hypervisor: takes a page's bit, then copies the page.
#define N_WRITES 200000
static _Atomic uint64_t page_now, copy_of_page;
static _Atomic bool is_over;

static void *
hypervisor(void *arg)
{
	(void)arg;
	while (!is_over || atomic_load(&bits[5]))
		if (atomic_exchange(&bits[5], 0))
			atomic_store(&copy_of_page, atomic_load(&page_now));
	return NULL;
}

static void
a_page_that_is_written_while_it_is_copied_is_copied_again(void **state)
{
	pthread_t thread;

	(void)state;
	is_over = false;
	assert_int_equal(pthread_create(&thread, NULL, hypervisor, NULL), 0);
	for (uint64_t i = 1; i <= N_WRITES; i++) {
		atomic_store_explicit(&page_now, i, memory_order_relaxed);
		guest_log_mark(&guest_log, 40 * GUEST_LOG_PAGE, 8);
		guest_log_flush(&guest_log);
	}
	is_over = true;
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(copy_of_page, N_WRITES);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(pages_are_marked_at_the_flush, begin),
		cmocka_unit_test_setup(more_marks_than_are_kept_are_not_lost, begin),
		cmocka_unit_test_setup(pages_beyond_the_log_are_not_written, begin),
		cmocka_unit_test_setup(nobody_migrates, begin),
		cmocka_unit_test_setup(a_page_that_is_written_while_it_is_copied_is_copied_again, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
