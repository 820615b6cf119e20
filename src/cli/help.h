// The output of `rtvsctl help`, all from the embedded table except for the CLI's own commands.
#pragma once

#include <jansson.h>
#include <stdbool.h>

void help_usage(void);
bool help_noun(const json_t *api, const char *noun); // NULL: all nouns. false: no such noun
bool help_method(const json_t *api, const char *noun, const char *verb); // false: there is none
