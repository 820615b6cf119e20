// Peers as results show them.
#pragma once

#include <jansson.h>

struct ctl;

json_t *peers_json(const struct ctl *ctl); // a list, new reference
