// What `rtvsctl help` prints, all from the embedded table but for the commands that are the CLI's own.
#pragma once

#include <jansson.h>
#include <stdbool.h>

void help_usage(void);
bool help_noun(const json_t *api, const char *noun); // NULL: all nouns. false: there is no such noun
bool help_method(const json_t *api, const char *noun, const char *verb); // false: there is none
