#include "port_check.h"

#include "dp_state.h"
#include "registry.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define ETHER_HEADER 14

static const char *
first_of_switch(const struct dp_port_cfg *cfg)
{
	return cfg->bridge[0] ? "bridge" : cfg->mirror_to[0] ? "mirror_to" : cfg->address.len ? "address" : NULL;
}

int
dp_port_check_qos(const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE])
{
	const struct {
		const char *name;
		uint64_t value, min, max;
		bool may_be_zero;
	} fields[] = {
		{"deadline", cfg->deadline_ns, 1, DP_DEADLINE_MAX_NS, true},
		{"min_rate", cfg->min_rate_bps, DP_RATE_MIN, DP_RATE_MAX, true},
		{"max_rate", cfg->max_rate_bps, DP_RATE_MIN, DP_RATE_MAX, true},
		{"rate", cfg->link_rate_bps, DP_RATE_MIN, DP_RATE_MAX, true},
		{"burst", cfg->burst_bytes, cfg->mtu + ETHER_HEADER, DP_BURST_MAX, !cfg->min_rate_bps},
		{"weight", cfg->weight, 1, DP_WEIGHT_MAX, false},
		{"queue", cfg->queue, DP_QUEUE_MIN, DP_QUEUE_MAX, false},
	};

	for (unsigned i = 0; i < RTE_DIM(fields); i++) {
		if ((fields[i].may_be_zero && !fields[i].value) ||
			(fields[i].value >= fields[i].min && fields[i].value <= fields[i].max))
			continue;
		dp_error(err, "%s: %" PRIu64 " is out of range %" PRIu64 " to %" PRIu64, fields[i].name,
			fields[i].value, fields[i].min, fields[i].max);
		return -EINVAL;
	}
	if (cfg->late > DP_LATE_DROP)
		dp_error(err, "late: must be send or drop");
	else if (cfg->dscp > DP_DSCP_DEADLINE)
		dp_error(err, "dscp: must be keep or deadline");
	else if (cfg->max_rate_bps && cfg->max_rate_bps < cfg->min_rate_bps)
		dp_error(err, "max_rate: %" PRIu64 " bit/s is less than min_rate", cfg->max_rate_bps);
	else
		return 0;
	return -EINVAL;
}

int
port_check(const struct dp *dp, const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE])
{
	char wrong[GENEVE_IGNORE_ERR];
	struct geneve_ignore ignore;

	if (cfg->type >= PORT_N_TYPES)
		dp_error(err, "type: %u is out of range 0 to %u", cfg->type, PORT_N_TYPES - 1);
	else if (cfg->mtu < DP_MTU_MIN || cfg->mtu > DP_MTU_MAX)
		dp_error(err, "mtu: %u is out of range %u to %u", cfg->mtu, DP_MTU_MIN, DP_MTU_MAX);
	else if (!cfg->n_queues || cfg->n_queues > DP_MAX_QUEUES)
		dp_error(err, "queues: %u is out of range 1 to %u", cfg->n_queues, DP_MAX_QUEUES);
	else if (cfg->vlan > RTVS_VLAN_MAX)
		dp_error(err, "vlan: %u is out of range 0 to %u", cfg->vlan, RTVS_VLAN_MAX);
	else if (cfg->mirror_to[0] && !strcmp(cfg->mirror_to, cfg->name))
		dp_error(err, "mirror_to: a port cannot be its own mirror");
	else if (cfg->device[0] && first_of_switch(cfg))
		dp_error(err, "%s: " DP_OFFLOADED, first_of_switch(cfg), cfg->device);
	else if (cfg->bridge[0] && !registry_bridge(dp, cfg->bridge)) {
		dp_error(err, "bridge: there is no bridge '%s'", cfg->bridge);
		return -ENOENT;
	} else if (geneve_ignore_parse(cfg->ignore_options, &ignore, wrong)) {
		dp_error(err, "ignore_options: %s", wrong);
	} else
		return dp_port_check_qos(cfg, err);
	return -EINVAL;
}
