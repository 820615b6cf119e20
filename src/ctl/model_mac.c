// Static MACs of a model's bridges.
#include "model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int
mac_compare(const struct model_mac *a, const struct mac *mac, uint16_t vlan)
{
	return a->vlan != vlan ? (a->vlan < vlan ? -1 : 1) : memcmp(&a->mac, mac, sizeof(*mac));
}

struct model_mac *
model_mac_find(const struct model_bridge *bridge, const struct mac *mac, uint16_t vlan)
{
	for (unsigned i = 0; i < bridge->n_macs; i++)
		if (mac_compare(&bridge->macs[i], mac, vlan) == 0)
			return &bridge->macs[i];
	return NULL;
}

int
model_mac_add(struct model *m, const char *name, const struct model_mac *mac, char err[DP_ERR_SIZE])
{
	struct model_bridge *bridge = model_bridge_find(m, name);
	const struct model_port *port = model_port_find(m, mac->port);
	struct model_mac *macs;
	unsigned pos;
	int rc;

	if (!bridge)
		return model_fail(-ENOENT, err, "bridge %s does not exist", name);
	if (!port || strcmp(port->cfg.bridge, name) != 0)
		return model_fail(-ENOENT, err, "port %s is not on bridge %s", mac->port, name);
	if (mac->mac.b[0] & 1)
		return model_fail(-EINVAL, err, "mac: must be a unicast address");
	if (model_mac_find(bridge, &mac->mac, mac->vlan))
		return model_fail(-EEXIST, err, "mac: is a static entry of bridge %s already", name);
	if (bridge->n_macs == DP_MAX_STATIC_MACS)
		return model_fail(
			-ENOSPC, err, "bridge %s has %u static MACs already, the limit", name, DP_MAX_STATIC_MACS);
	macs = realloc(bridge->macs, (bridge->n_macs + 1u) * sizeof(*macs));
	if (!macs)
		return model_fail(-ENOMEM, err, "out of memory");
	bridge->macs = macs;
	rc = m->dp ? dp_mac_add(m->dp, bridge->id, &mac->mac, mac->vlan, port->id, err) : 0;
	if (rc < 0)
		return rc;
	for (pos = bridge->n_macs++; pos > 0 && mac_compare(&macs[pos - 1], &mac->mac, mac->vlan) > 0; pos--)
		macs[pos] = macs[pos - 1];
	macs[pos] = *mac;
	m->n_changes++;
	return 0;
}

int
model_mac_del(struct model *m, const char *name, const struct mac *mac, uint16_t vlan, char err[DP_ERR_SIZE])
{
	struct model_bridge *bridge = model_bridge_find(m, name);
	struct model_mac *entry;
	int rc;

	if (!bridge)
		return model_fail(-ENOENT, err, "bridge %s does not exist", name);
	entry = model_mac_find(bridge, mac, vlan);
	if (!entry)
		return model_fail(-ENOENT, err, "mac: is no static entry of bridge %s in VLAN %u", name, vlan);
	rc = m->dp ? dp_mac_del(m->dp, bridge->id, mac, vlan) : 0;
	if (rc < 0)
		return model_fail(rc, err, "mac: %s", strerror(-rc));
	m->n_changes++;
	bridge->n_macs--;
	memmove(entry, entry + 1, (size_t)(&bridge->macs[bridge->n_macs] - entry) * sizeof(*entry));
	return 0;
}
