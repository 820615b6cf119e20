// A command line as /proc has it, for tests: words with a space between.
#pragma once

#include "cmdline.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Of words without spaces, the program's name first.
static inline struct cmdline *
words_parse(const char *text)
{
	char err[CMDLINE_ERROR_SIZE] = "", *words = strdup(text);
	struct cmdline *c = NULL;
	size_t len = strlen(text) + 1;

	assert(words);
	for (size_t i = 0; i < len; i++)
		if (words[i] == ' ')
			words[i] = '\0';
	if (cmdline_parse(words, len, &c, err))
		fprintf(stderr, "%s\n", err);
	free(words);
	return c;
}
