// The methods as the CLI knows them without the daemon: rpc.discover's answer, which the build
// makes part of the program.
#pragma once

#include <jansson.h>

extern const char api_json[];

json_t *api_load(void); // new reference
json_t *api_find(const json_t *api, const char *method); // borrowed, NULL: none
json_t *api_param(const json_t *method, const char *name); // borrowed, NULL: none
// The name a slip of the fingers away, NULL: none.
const char *api_near_method(const json_t *api, const char *method);
const char *api_near_param(const json_t *method, const char *name);
json_t *api_key(const json_t *method); // the parameter that needs no name; borrowed, NULL: none
