// Why something is refused: a list of sentences without a full stop, in the order of their finding.
#pragma once

#define REASONS_MAX 64u
#define REASONS_TEXT_SIZE 512

struct reasons {
	unsigned n; // at most REASONS_MAX are kept
	char text[REASONS_MAX][REASONS_TEXT_SIZE];
};

void reasons_add(struct reasons *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
