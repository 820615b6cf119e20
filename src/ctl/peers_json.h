// Peers in results.
#pragma once

#include <jansson.h>

struct ctl;

json_t *peers_json(const struct ctl *ctl); // a list, new reference
