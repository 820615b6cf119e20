// A daemon for tests: answers from a table, in place of client.c; and what a command prints.
#pragma once

#include "rtvs/client.h"

struct fake_answer {
	const char *method, *json; // json NULL: it is refused
	const char *params; // that must have been given as JSON; NULL: any
};

extern const struct fake_answer *fake_client_answers; // ended by one without method
// Of what was printed to standard output since begin, at most 64 KiB; static. rows: 0: a file, else a terminal as high.
void fake_client_begin(unsigned short rows);
const char *fake_client_end(void);
