// What every unit test includes: cmocka with the headers that it needs before itself, and the seed of random tests.
#pragma once

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#include <stdlib.h>
#include <time.h>

// Of this run: RTVS_SEED, else the clock. Printed, so that a failure can be repeated.
static inline unsigned
unit_seed(void)
{
	const char *text = getenv("RTVS_SEED");
	unsigned seed = text ? (unsigned)strtoul(text, NULL, 10) : (unsigned)time(NULL);

	print_message("RTVS_SEED=%u\n", seed);
	return seed;
}
