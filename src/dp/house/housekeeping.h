// Periodic work: control thread.
#pragma once

struct dp;

void housekeeping_ports(struct dp *dp); // of all ports
