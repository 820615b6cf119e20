#include "eswitches.h"

#include "dp_state.h"
#include "path/view.h"
#include "port.h"
#include "port_link.h"
#include "port_rules.h"
#include "registry.h"
#include "rtvs/dp_eswitch.h"
#include "views.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MISS_BURST_DIV 10 // a tenth of a second's worth may come at once
#define MAC_BITS 48
#define N_PORTS (DP_ESWITCH_VFS + 2)

// The n-th port: the uplink, then VFs, then the PF.
static unsigned
port_at(const struct view_eswitch *eswitch, unsigned n)
{
	if (!n)
		return eswitch->uplink;
	return n <= eswitch->n_vfs ? eswitch->vf[n - 1] : eswitch->pf;
}

static unsigned
n_ports(const struct view_eswitch *eswitch)
{
	return eswitch->n_vfs + 2u;
}

static struct view_eswitch *
make(const struct dp_eswitch_cfg *cfg)
{
	struct view_eswitch *eswitch = calloc(1, sizeof(*eswitch));

	if (!eswitch)
		return NULL;
	eswitch->pf = (uint16_t)cfg->pf;
	eswitch->uplink = (uint16_t)cfg->uplink;
	eswitch->n_vfs = (uint16_t)cfg->n_vfs;
	for (unsigned i = 0; i < cfg->n_vfs; i++)
		eswitch->vf[i] = (uint16_t)cfg->vf[i];
	rate_limit_init(&eswitch->miss, cfg->miss_pps, cfg->miss_pps / MISS_BURST_DIV + 1);
	eswitch->n_macs = (uint16_t)cfg->n_macs;
	for (unsigned i = 0; i < cfg->n_macs; i++) {
		uint64_t mask = ((UINT64_C(1) << cfg->macs[i].n_bits) - 1) << (MAC_BITS - cfg->macs[i].n_bits);

		eswitch->macs[i].mask = mask;
		eswitch->macs[i].value = frame_load_mac(cfg->macs[i].mac.b) & mask;
	}
	return eswitch;
}

static bool
has_same_ports(const struct view_eswitch *a, const struct view_eswitch *b)
{
	return a->pf == b->pf && a->uplink == b->uplink && a->n_vfs == b->n_vfs &&
		!memcmp(a->vf, b->vf, a->n_vfs * sizeof(a->vf[0]));
}

static int
check_port(const struct dp *dp, unsigned id, unsigned pf, uint32_t trait, char err[DP_ERR_SIZE])
{
	const struct port *port = id < DP_MAX_PORTS ? dp->port[id] : NULL;

	if (!port) {
		dp_error(err, "there is no port %u", id);
		return -ENOENT;
	}
	if (port->eswitch && port->eswitch->pf != pf) {
		dp_error(err, "port %s belongs to another eswitch", port->cfg.name);
		return -EBUSY;
	}
	if (port_has(port->cfg.type, trait) && !port->cfg.device[0] && !port->cfg.address.len)
		return 0;
	dp_error(err, "port %s has type=%s", port->cfg.name, port_traits_names[port->cfg.type]);
	return -EINVAL;
}

static int
check(const struct dp *dp, const struct dp_eswitch_cfg *cfg, char err[DP_ERR_SIZE])
{
	int rc = -EINVAL;

	if (!cfg->n_vfs || cfg->n_vfs > DP_ESWITCH_VFS)
		dp_error(err, "vfs: %u ports are out of range 1 to %u", cfg->n_vfs, DP_ESWITCH_VFS);
	else if (cfg->n_macs > DP_ESWITCH_MACS)
		dp_error(err, "allowed_macs: %u are out of range 0 to %u", cfg->n_macs, DP_ESWITCH_MACS);
	else
		rc = check_port(dp, cfg->pf, cfg->pf, PORT_IS_GUEST, err);
	if (!rc)
		rc = check_port(dp, cfg->uplink, cfg->pf, PORT_IS_ESWITCH, err);
	for (unsigned i = 0; !rc && i < cfg->n_vfs; i++) {
		rc = check_port(dp, cfg->vf[i], cfg->pf, PORT_IS_GUEST, err);
		for (unsigned k = 0; !rc && k < i + 1; k++)
			if (cfg->vf[i] == (k < i ? cfg->vf[k] : cfg->pf)) {
				dp_error(err, "port %s is named twice", dp->port[cfg->vf[i]]->cfg.name);
				rc = -EINVAL;
			}
	}
	for (unsigned i = 0; !rc && i < cfg->n_macs; i++)
		if (!cfg->macs[i].n_bits || cfg->macs[i].n_bits > MAC_BITS) {
			dp_error(err, "allowed_macs: %u bits are out of range 1 to %u", cfg->macs[i].n_bits, MAC_BITS);
			rc = -EINVAL;
		}
	return rc;
}

// All ports of `of` are those of `eswitch`, NULL: of none.
static void
attach(struct dp *dp, const struct view_eswitch *of, struct view_eswitch *eswitch)
{
	for (unsigned i = 0; i < n_ports(of); i++) {
		dp->port[port_at(of, i)]->eswitch = eswitch;
		registry_touch(dp->port[port_at(of, i)]);
	}
}

static void
update_link(struct port *uplink)
{
	(void)port_link_set(uplink, uplink->life == PORT_STARTED && uplink->eswitch);
}

int
dp_eswitch_set(struct dp *dp, const struct dp_eswitch_cfg *cfg, char err[DP_ERR_SIZE])
{
	int rc = check(dp, cfg, err);
	struct view_eswitch *next = rc ? NULL : make(cfg), *was = rc ? NULL : dp->port[cfg->pf]->eswitch;

	if (rc)
		return rc;
	if (next && was && !has_same_ports(was, next)) {
		dp_error(err, "pf: port %s is in switchdev mode with other ports", dp->port[cfg->pf]->cfg.name);
		free(next);
		return -EBUSY;
	}
	if (next) {
		attach(dp, next, next);
		rc = views_publish(dp);
	}
	if (!next || rc) {
		if (next)
			attach(dp, next, was);
		free(next);
		dp_error(err, "no memory for an eswitch");
		return -ENOMEM;
	}
	free(was);
	update_link(dp->port[cfg->uplink]);
	return 0;
}

static int
clear(struct dp *dp, struct view_eswitch *eswitch)
{
	struct rules *rules[N_PORTS];
	int rc;

	attach(dp, eswitch, NULL);
	for (unsigned i = 0; i < n_ports(eswitch); i++) {
		rules[i] = dp->port[port_at(eswitch, i)]->rules[DP_RULES_GUEST];
		dp->port[port_at(eswitch, i)]->rules[DP_RULES_GUEST] = NULL;
	}
	rc = views_publish(dp);
	if (rc) {
		for (unsigned i = 0; i < n_ports(eswitch); i++)
			dp->port[port_at(eswitch, i)]->rules[DP_RULES_GUEST] = rules[i];
		attach(dp, eswitch, eswitch);
		return rc;
	}
	for (unsigned i = 0; i < n_ports(eswitch); i++)
		port_rules_free_list(rules[i]);
	update_link(dp->port[eswitch->uplink]);
	free(eswitch);
	return 0;
}

int
dp_eswitch_clear(struct dp *dp, unsigned pf)
{
	struct port *port = pf < DP_MAX_PORTS ? dp->port[pf] : NULL;

	if (!port || !port->eswitch || port->eswitch->pf != pf)
		return -ENOENT;
	return clear(dp, port->eswitch);
}

int
eswitches_leave(struct port *port)
{
	return port->eswitch ? clear(port->dp, port->eswitch) : 0;
}
