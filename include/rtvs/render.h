// JSON results for people: lists of objects as tables, objects as "key: value" lines, numbers with
// their units.
#pragma once

#include <jansson.h>
#include <stdio.h>

void render(const json_t *value, FILE *out);
// One value in a cell; the key's ending gives the unit (_ns, _bytes, _bps). buf holds the result
// where one is needed.
const char *render_cell(const char *key, const json_t *value, char *buf, size_t size);
