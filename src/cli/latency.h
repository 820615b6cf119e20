// rtvsctl latency: delays of what a port sent, or of what another host sent, as histograms.
#pragma once

#include "rtvs/client.h"

#include <stdbool.h>

// from: the port that sent; port: the egress port, NULL: all. Of a tunnel without port: what came through it from the other host; flow: of
// that only this number, NULL: all.
enum cli_exit latency_run(struct client *c, const char *from, const char *port, const char *flow, bool is_json);
