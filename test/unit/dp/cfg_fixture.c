#include "cfg_fixture.h"

#include "rtvs/geneve.h"

#include <stdio.h>

char fixture_dir[] = "/tmp/rtvs-dp-test-XXXXXX";

struct dp_system_cfg
system_cfg(const char *dscp_classes)
{
	struct dp_system_cfg cfg = {
		.idle = DP_IDLE_ADAPTIVE, .idle_ns = 50000, .n_mbufs = 4096, .option_class = GENEVE_CLASS_DEFAULT};

	snprintf(cfg.dscp_classes, sizeof(cfg.dscp_classes), "%s", dscp_classes);
	return cfg;
}

struct dp_bridge_cfg
bridge_cfg(unsigned i)
{
	struct dp_bridge_cfg cfg = {.mac_limit = 64, .mac_age_ns = UINT64_C(300000000000)};

	snprintf(cfg.name, sizeof(cfg.name), "br%u", i);
	return cfg;
}

struct dp_port_cfg
port_cfg(unsigned i)
{
	struct dp_port_cfg cfg = {.type = DP_PORT_VHOST,
		.admin_up = true,
		.mtu = 1500,
		.socket_mode = 0600,
		.packed = true,
		.csum = true,
		.tso = true,
		.n_queues = 1,
		.weight = 1,
		.queue = 512};

	snprintf(cfg.name, sizeof(cfg.name), "p%u", i);
	snprintf(cfg.bridge, sizeof(cfg.bridge), "br0");
	snprintf(cfg.socket, sizeof(cfg.socket), "%s/p%u", fixture_dir, i);
	return cfg;
}
