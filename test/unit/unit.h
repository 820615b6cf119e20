// Included by every unit test: cmocka with the headers that it needs before itself, the seed of
// random tests, and the choice of cases. With RTVS_CASE in the environment a program runs only the
// cases whose name matches that pattern, as shells match files.
#pragma once

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#include <fnmatch.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

// Which sanitizer this program is built with. It makes a test many times slower, and the large
// number of rounds or ports that proves a figure shows it nothing that a smaller number does not.
#if defined(__SANITIZE_ADDRESS__)
#define UNIT_HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNIT_HAS_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define UNIT_HAS_TSAN 1
#endif
#endif
#ifndef UNIT_HAS_ASAN
#define UNIT_HAS_ASAN 0
#endif
#ifndef UNIT_HAS_TSAN
#define UNIT_HAS_TSAN 0
#endif

// Of this run: RTVS_SEED, else the clock. Printed, so that a failure can be repeated.
static inline unsigned
unit_seed(void)
{
	const char *text = getenv("RTVS_SEED");
	unsigned seed = text ? (unsigned)strtoul(text, NULL, 10) : (unsigned)time(NULL);

	print_message("RTVS_SEED=%u\n", seed);
	return seed;
}

// True: the group has a case to run. A pattern that matches none is a mistake, not a success.
static inline bool
unit_choose(const struct CMUnitTest *tests, size_t n)
{
	const char *pattern = getenv("RTVS_CASE");

	if (!pattern)
		return true;
	cmocka_set_test_filter(pattern);
	for (size_t i = 0; i < n; i++)
		if (!fnmatch(pattern, tests[i].name, 0))
			return true;
	print_error("no case matches RTVS_CASE=%s\n", pattern);
	return false;
}

#undef cmocka_run_group_tests
#undef cmocka_run_group_tests_name
#define cmocka_run_group_tests(tests, setup, teardown) cmocka_run_group_tests_name(#tests, tests, setup, teardown)
#define cmocka_run_group_tests_name(name, tests, setup, teardown)                                                   \
	(unit_choose(tests, sizeof(tests) / sizeof((tests)[0])) ?                                                   \
			_cmocka_run_group_tests(name, tests, sizeof(tests) / sizeof((tests)[0]), setup, teardown) : \
			1)
