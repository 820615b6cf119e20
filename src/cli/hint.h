// The intended command of a user who wrote it as other switches' tools have it. Pure; the embedded
// table has the existing commands.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

// The existing command, "NOUN VERB", for an unknown one; verb may be "". False: no hint.
bool hint_command(const json_t *api, const char *noun, const char *verb, char *buf, size_t size);
// The right spelling of words[0], no "name=value" that the method takes. params: the words before
// it. False: no hint.
bool hint_word(const json_t *method, const json_t *params, int n_words, char *const *words, char *buf, size_t size);
