// The assertion of a fuzz target. Not assert: release builds must find it, too.
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static inline void
promise(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "broken promise: %s\n", what);
	abort();
}
#define PROMISE(condition) promise(condition, #condition)
