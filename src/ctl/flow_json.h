// A flow in results: the packets of one port through an egress port, or those of one port of
// another host through a tunnel.
#pragma once

#include "ctl.h"

#include <jansson.h>

// New reference; NULL: this one is not shown.
typedef json_t *flow_json_fn(const struct dp_port_cfg *out, const struct dp_port_cfg *from, const struct dp_sender *f);

// Packets and bytes, and percentiles of the delay.
json_t *flow_json_counters(const struct dp_port_cfg *out, const struct dp_port_cfg *from, const struct dp_sender *f);
// The delay as a histogram.
json_t *flow_json_delay(const struct dp_port_cfg *out, const struct dp_port_cfg *from, const struct dp_sender *f);
// Appends the result of fn for each flow of egress port out. from: only packets of this port;
// empty: all.
void flow_json_add(
	const struct plane *plane, const struct model_port *out, const char *from, flow_json_fn *fn, json_t *list);

// New reference.
typedef json_t *flow_json_remote_fn(const struct model_port *tunnel, const struct dp_delay *d);

// Packets, what is known of the clocks, and percentiles of the delays.
json_t *flow_json_remote_counters(const struct model_port *tunnel, const struct dp_delay *d);
// The same and the delays as histograms.
json_t *flow_json_remote_delay(const struct model_port *tunnel, const struct dp_delay *d);
// Appends the result of fn for each flow that came through the port, nothing if it is no tunnel.
// flow: only this one.
#define FLOW_JSON_ALL UINT32_MAX
void flow_json_add_remote(const struct plane *plane, const struct model_port *tunnel, uint32_t flow,
	flow_json_remote_fn *fn, json_t *list);
