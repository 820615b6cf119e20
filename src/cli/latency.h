// rtvsctl latency: delays of what a port sent, as histograms.
#pragma once

#include "client.h"

#include <stdbool.h>

// from: the port that sent; port: the egress port, NULL: all.
enum cli_exit latency_run(struct client *c, const char *from, const char *port, bool is_json);
