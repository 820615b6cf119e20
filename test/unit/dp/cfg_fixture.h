// Configurations for tests of the datapath and of its fake.
#pragma once

#include "rtvs/dp.h"

extern char fixture_dir[]; // of the sockets; mkdtemp completes its name

struct dp_system_cfg system_cfg(const char *dscp_classes);
struct dp_bridge_cfg bridge_cfg(unsigned i);
struct dp_port_cfg port_cfg(unsigned i); // a vhost port of the first bridge
