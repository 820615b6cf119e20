// rtvsctl latency: delays of the packets of a port, or of another host, as histograms.
#pragma once

#include "rtvs/client.h"

#include <stdbool.h>

// from: the port that sent; port: the egress port, NULL: all. Of a tunnel without port: packets
// that came through it from the other host; flow: of those only this number, NULL: all.
enum cli_exit latency_run(struct client *c, const char *from, const char *port, const char *flow, bool is_json);
