// A daemon for tests: answers from a table, in place of client.c; and the captured output of a
// command.
#pragma once

#include "rtvs/client.h"

struct fake_answer {
	const char *method, *json; // json NULL: it is refused
	const char *params; // that must have been given as JSON; NULL: any
};

extern const struct fake_answer *fake_client_answers; // ended by one without method
// The standard output since begin, at most 64 KiB; static. rows: 0: a file, else a terminal of that
// height.
void fake_client_begin(unsigned short rows);
const char *fake_client_end(void);
