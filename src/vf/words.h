// The words of `ip link set dev IF vf N ...`, which `rtvs-vf set N ...` has as well.
#pragma once

#include <jansson.h>

#define WORDS_ERR_SIZE 256

// The words behind the number of the VF, as parameters of vf.set, new reference. NULL with err.
json_t *vf_words_parse(char *const *words, unsigned n, char err[WORDS_ERR_SIZE]);
// A number of decimal digits alone. 0 or -1.
int vf_words_number(const char *text, json_int_t *ret_number);
