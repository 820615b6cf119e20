// The part of the daemon that the methods of the noun system know.
#pragma once

#include "plane.h"

struct ctl;
struct running;
struct server;

struct rpc_system {
	struct plane *plane;
	const struct server *server;
	struct ctl *ctl; // for saved.h
	const struct running *running;
	const char *version;
	uint64_t start_ns; // CLOCK_MONOTONIC
	bool is_stopping; // system.stop, or a signal
};
