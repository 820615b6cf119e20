// The part of the daemon that the methods of the nouns config and rpc know.
#pragma once

#include "plane.h"

struct ctl;
struct rpc_api;
struct running;

struct rpc_config {
	const struct plane *plane;
	struct ctl *ctl; // for config.h, saved.h and events.h
	const struct rpc_api *api; // all methods
	struct running *running;
	const char *file; // of --config; NULL: there is none
};
