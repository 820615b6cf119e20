// Ports and bridges by name: control thread.
#pragma once

struct bridge;
struct dp;
struct port;

// NULL: there is none.
struct port *registry_port(const struct dp *dp, const char *name);
struct bridge *registry_bridge(const struct dp *dp, const char *name);
