// A flow as results show it: what one port sent through an egress port.
#pragma once

#include "ctl.h"

#include <jansson.h>

// New reference; NULL: this one is not shown.
typedef json_t *flow_json_fn(const struct dp_port_cfg *out, const struct dp_port_cfg *from, const struct dp_flow *f);

// Packets and bytes, and percentiles of the delay.
json_t *flow_json_counters(const struct dp_port_cfg *out, const struct dp_port_cfg *from, const struct dp_flow *f);
// The delay as a histogram.
json_t *flow_json_delay(const struct dp_port_cfg *out, const struct dp_port_cfg *from, const struct dp_flow *f);
// Appends what fn makes of each flow of egress port out. from: only what this port sends; empty: all.
void flow_json_add(
	const struct ctl *ctl, const struct model_port *out, const char *from, flow_json_fn *fn, json_t *list);
