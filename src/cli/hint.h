// What somebody meant who wrote a command as other switches' tools have it. Pure; the embedded table says what there is.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

// The command that there is, "NOUN VERB", for one that there is not; verb may be "". False: none comes to mind.
bool hint_command(const json_t *api, const char *noun, const char *verb, char *buf, size_t size);
// How words[0], no "name=value" that the method takes, is written. params: what was given before it. False: none comes to mind.
bool hint_word(const json_t *method, const json_t *params, int n_words, char *const *words, char *buf, size_t size);
