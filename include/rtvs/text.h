// Texts: copies that never overflow, and the nearest name for "did you mean". Pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>

// Copies src with its NUL into dst of size bytes. false: it does not fit, dst is untouched.
bool text_copy(char *dst, size_t size, const char *src);
// The smallest number of inserted, removed or replaced bytes, or swapped neighbours, that turns a
// into b (optimal string alignment). Texts longer than 63 bytes are infinitely far from any other:
// UINT_MAX.
unsigned text_distance(const char *a, const char *b);
// Whether a person who wrote `word` may have meant `name`: near, and near in proportion to its
// length.
bool text_is_near(const char *word, const char *name);
// Copies the next piece of a list separated by commas into buf and moves *cursor behind it; false
// at the end. The caller starts with *cursor at the text. A piece that does not fit becomes "",
// which is no valid item anywhere; so does the one piece of an empty text.
bool text_next_piece(const char **cursor, char *buf, size_t size);
