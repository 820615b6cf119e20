// A port in results.
#pragma once

#include "model.h"

#include <jansson.h>

// All return new references.
json_t *port_json_summary(const struct dp *dp, const struct model_port *port);
json_t *port_json_state(const struct dp *dp, const struct model_port *port);
// A list; a device that counts nothing has an empty one.
json_t *port_json_device_stats(const struct dp *dp, const struct model_port *port);
json_t *port_json_stats(const struct dp *dp, const struct model_port *port);
// Counters; drops: their sum.
json_t *port_json_counters(const struct dp_port_stats *stats);
// Ports that held this one back, or, with is_holder, that this one held back: a list, empty where
// there was none.
json_t *port_json_holds(const struct dp *dp, const struct model *model, const struct model_port *port, bool is_holder);
// Reasons that are not zero, by name.
json_t *port_json_drops(const struct dp_port_stats *stats);
// Drops of a segment's node itself, by the reason's name; i from 0 on until it is false.
bool port_json_segment_drop(
	const struct segment_counters *counters, unsigned i, const char **ret_reason, uint64_t *ret_n);
// Names of virtio-net feature bits, in order; "bitN" for one without a name.
json_t *port_json_features(uint64_t features);
// Percentiles in ns and buckets [low, high, count].
json_t *port_json_hist(const struct hist *h);
uint64_t port_json_n_drops(const struct dp_port_stats *stats);
