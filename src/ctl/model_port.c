// Ports of a model: which parameters go together, with each other and with those of other ports.
// admit.c decides which guarantees the egress ports can keep.
#include "admit.h"
#include "model.h"
#include "probes.h"
#include "rtvs/geneve_ignore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct model_port *
port_mirroring_to(const struct model *m, const char *name)
{
	for (unsigned i = 0; i < m->n_ports; i++)
		if (strcmp(m->ports[i]->cfg.mirror_to, name) == 0)
			return m->ports[i];
	return NULL;
}

static int
port_check_mirror(const struct model *m, const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE])
{
	const struct model_port *target, *source;

	if ((cfg->mirror_to[0] != '\0') != (cfg->mirror != 0))
		return model_fail(-EINVAL, err, "%s: needs %s as well", cfg->mirror ? "mirror" : "mirror_to",
			cfg->mirror ? "mirror_to" : "mirror (rx, tx or both)");
	if (!cfg->mirror_to[0])
		return 0;
	if (strcmp(cfg->mirror_to, cfg->name) == 0)
		return model_fail(-EINVAL, err, "mirror_to: a port cannot mirror to itself");
	target = model_port_find(m, cfg->mirror_to); // NULL: the mirror waits for it
	if (target && target->cfg.device[0])
		return model_fail(-EINVAL, err, "mirror_to: " DP_OFFLOADED, target->cfg.device);
	if (target && port_has(target->cfg.type, PORT_IS_ESWITCH))
		return model_fail(-EINVAL, err, "mirror_to: port %s is an eswitch's uplink, which takes no copies",
			cfg->mirror_to);
	source = port_mirroring_to(m, cfg->name);
	if ((target && target->cfg.mirror_to[0]) || source)
		return model_fail(-EINVAL, err, "mirror_to: port %s receives a mirror and cannot be mirrored",
			source ? cfg->name : cfg->mirror_to);
	return 0;
}

const struct model_port *
model_port_at(const struct model *m, unsigned id)
{
	return id < DP_MAX_PORTS ? m->port_by_id[id] : NULL;
}

const struct model_port *
model_port_next(const struct model *m, const char *bridge, unsigned *pos)
{
	while (*pos < m->n_ports) {
		const struct model_port *port = m->ports[(*pos)++];

		if (!strcmp(port->cfg.bridge, bridge))
			return port;
	}
	return NULL;
}

const struct model_port *
model_port_sender(const struct model *model, unsigned port)
{
	static const struct model_port others = {.cfg.name = "*"};

	return port < DP_MAX_PORTS ? model->port_by_id[port] : &others;
}

unsigned
model_port_rank(const struct dp_port_cfg *cfg)
{
	return port_has(cfg->type, PORT_IS_TUNNEL);
}

static bool
is_same_addr(const struct prefix *a, const struct prefix *b)
{
	return a->is_v6 == b->is_v6 && memcmp(a->addr, b->addr, a->is_v6 ? 16 : 4) == 0;
}

// One that goes through the uplink; NULL: none.
static const struct model_port *
tunnel_through(const struct model *m, const char *uplink)
{
	for (unsigned i = 0; i < m->n_ports; i++)
		if (port_has(m->ports[i]->cfg.type, PORT_IS_TUNNEL) && strcmp(m->ports[i]->cfg.uplink, uplink) == 0)
			return m->ports[i];
	return NULL;
}

static int
port_check_tunnel(
	const struct model *m, const struct dp_port_cfg *cfg, const struct model_port *self, char err[DP_ERR_SIZE])
{
	const struct model_port *uplink = model_port_find(m, cfg->uplink);
	uint32_t needed = cfg->mtu + DP_TUNNEL_OVERHEAD;
	char wrong[GENEVE_IGNORE_ERR];
	struct geneve_ignore ignore;

	if (!cfg->uplink[0])
		return model_fail(-EINVAL, err, "uplink: needed for type=%s", port_traits_names[cfg->type]);
	if (!uplink)
		return model_fail(-ENOENT, err, "uplink: port %s does not exist", cfg->uplink);
	if (!uplink->cfg.address.len)
		return model_fail(-EINVAL, err, "uplink: port %s has no address", cfg->uplink);
	if (!cfg->remote.len)
		return model_fail(-EINVAL, err, "remote: needed for type=%s", port_traits_names[cfg->type]);
	if (cfg->remote.is_v6 != uplink->cfg.address.is_v6 || cfg->remote.len != (cfg->remote.is_v6 ? 128 : 32))
		return model_fail(-EINVAL, err, "remote: must be one %s address, as the uplink's is",
			uplink->cfg.address.is_v6 ? "IPv6" : "IPv4");
	if (is_same_addr(&cfg->remote, &uplink->cfg.address))
		return model_fail(-EINVAL, err, "remote: is the uplink's own address");
	if (cfg->probe_ns && cfg->probe_ns < PROBES_MIN_NS)
		return model_fail(-EINVAL, err, "probe: must be 0 or 100ms to 1h");
	if (cfg->clock == DP_CLOCK_PEER && !cfg->key_file[0])
		return model_fail(-EINVAL, err, "clock: peer needs key_file as well");
	if (cfg->vni > DP_VNI_MAX)
		return model_fail(-EINVAL, err, "vni: %u is out of range 0 to %u", cfg->vni, DP_VNI_MAX);
	if (geneve_ignore_parse(cfg->ignore_options, &ignore, wrong))
		return model_fail(-EINVAL, err, "ignore_options: %s", wrong);
	if (needed > uplink->cfg.mtu)
		return model_fail(-EINVAL, err, "mtu: %u needs an uplink with an mtu of %u at least, %s has %u",
			cfg->mtu, needed, cfg->uplink, uplink->cfg.mtu);
	for (unsigned i = 0; i < m->n_ports; i++) {
		const struct dp_port_cfg *other = &m->ports[i]->cfg;
		if (m->ports[i] != self && port_has(other->type, PORT_IS_TUNNEL) &&
			strcmp(other->uplink, cfg->uplink) == 0 && other->vni == cfg->vni &&
			is_same_addr(&other->remote, &cfg->remote))
			return model_fail(-EEXIST, err, "vni: port %s has this uplink, remote and VNI", other->name);
	}
	return 0;
}

// A port with an address.
static int
port_check_uplink(
	const struct model *m, const struct dp_port_cfg *cfg, const struct model_port *self, char err[DP_ERR_SIZE])
{
	const struct model_port *tunnel = self ? tunnel_through(m, cfg->name) : NULL;
	unsigned n = 0;

	if (tunnel &&
		(memcmp(&cfg->address, &self->cfg.address, sizeof(cfg->address)) != 0 ||
			memcmp(&cfg->gateway, &self->cfg.gateway, sizeof(cfg->gateway)) != 0 ||
			cfg->vlan != self->cfg.vlan || cfg->mtu < self->cfg.mtu))
		return model_fail(-EBUSY, err,
			"port %s goes through port %s: its address, gateway, vlan and a smaller mtu must wait",
			tunnel->cfg.name, cfg->name);
	if (!cfg->address.len)
		return cfg->gateway.len || cfg->stamp ?
			model_fail(-EINVAL, err, "%s: needs address as well", cfg->gateway.len ? "gateway" : "stamp") :
			0;
	for (unsigned i = 0; i < m->n_ports; i++)
		n += m->ports[i] != self && m->ports[i]->cfg.address.len;
	if (n >= DP_MAX_UPLINKS)
		return model_fail(
			-ENOSPC, err, "address: there are %u ports with one already, the limit", DP_MAX_UPLINKS);
	if (cfg->bridge[0])
		return model_fail(-EINVAL, err, "address: only for a port without bridge");
	if (self && self->n_rules)
		return model_fail(-EINVAL, err, "address: not for a port with rules; remove them first");
	if (cfg->mtu > DP_UPLINK_MTU_MAX)
		return model_fail(-EINVAL, err, "mtu: %u is out of range %u to %u of a port with an address", cfg->mtu,
			DP_MTU_MIN, DP_UPLINK_MTU_MAX);
	if (cfg->mirror_to[0])
		return model_fail(-EINVAL, err, "mirror_to: not for a port with an address");
	if (cfg->vlan_mode != DP_VLAN_ACCESS)
		return model_fail(-EINVAL, err,
			"vlan_mode: must be access for a port with an address; vlan is the underlay's tag");
	if (cfg->n_queues != 1)
		return model_fail(-EINVAL, err, "queues: must be 1 for a port with an address");
	if (cfg->gateway.len &&
		(cfg->gateway.is_v6 != cfg->address.is_v6 || is_same_addr(&cfg->gateway, &cfg->address)))
		return model_fail(-EINVAL, err, "gateway: must be another address of the same family as address");
	return 0;
}

// The required parameters of a port's type. The rows of parameters have refused those of other
// types.
static int
port_check_type(
	const struct model *m, const struct dp_port_cfg *cfg, const struct model_port *self, char err[DP_ERR_SIZE])
{
	if (port_has(cfg->type, PORT_IS_TUNNEL))
		return port_check_tunnel(m, cfg, self, err);
	if (port_has(cfg->type, PORT_IS_NODE) && cfg->path[0] != '/')
		return model_fail(-EINVAL, err, "path: needed for type=%s, absolute: /dev/shm/NAME",
			port_traits_names[cfg->type]);
	if (port_has(cfg->type, PORT_IS_DEVICE) && !cfg->devargs[0])
		return model_fail(-EINVAL, err, "devargs: needed for type=%s", port_traits_names[cfg->type]);
	if (port_has(cfg->type, PORT_HAS_SOCKET) && cfg->socket[0] != '/')
		return model_fail(-EINVAL, err, "socket: must be an absolute path");
	return 0;
}

// An eswitch needs its ports where they are.
static int
port_check_leave(const struct model *m, const char *name, const char *what, char err[DP_ERR_SIZE])
{
	int vf;
	const struct model_eswitch *eswitch = model_eswitch_of(m, name, &vf);

	return eswitch ? model_fail(-EBUSY, err, "port %s belongs to eswitch %s: %s", name, eswitch->name, what) : 0;
}

// self: the port to be changed, NULL: a further one.
static int
port_check(const struct model *m, const struct dp_port_cfg *cfg, const struct model_port *self, char err[DP_ERR_SIZE])
{
	static const struct vlan_set none;
	char device[RTVS_DEVARGS_SIZE];
	int rc;

	if (m->asks == MODEL_ASKS_NOTHING)
		return 0;
	rc = port_check_type(m, cfg, self, err);
	if (!rc && self && strcmp(cfg->bridge, self->cfg.bridge) != 0)
		rc = port_check_leave(m, cfg->name, "its bridge must stay", err);
	if (!rc && port_has(cfg->type, PORT_MAY_BE_UPLINK))
		rc = port_check_uplink(m, cfg, self, err);
	if (rc < 0)
		return rc;
	if (cfg->bridge[0] && !model_bridge_find(m, cfg->bridge))
		return model_fail(-ENOENT, err, "bridge: %s does not exist", cfg->bridge);
	if (cfg->vdpa[0] && port_mirroring_to(m, cfg->name))
		return model_fail(-EINVAL, err, "vdpa: port %s mirrors to this one; a device takes no copies",
			port_mirroring_to(m, cfg->name)->cfg.name);
	if (cfg->vlan_mode == DP_VLAN_ACCESS && memcmp(&cfg->trunk, &none, sizeof(none)) != 0)
		return model_fail(-EINVAL, err, "trunk: only for vlan_mode=trunk");
	for (unsigned i = 0; i < m->n_ports; i++) {
		const struct dp_port_cfg *other = &m->ports[i]->cfg;
		if (m->ports[i] == self)
			continue;
		if (cfg->socket[0] && strcmp(other->socket, cfg->socket) == 0)
			return model_fail(-EEXIST, err, "socket: %s belongs to port %s", cfg->socket, other->name);
		if (cfg->path[0] && strcmp(other->path, cfg->path) == 0)
			return model_fail(-EEXIST, err, "path: %s is the segment of port %s", cfg->path, other->name);
		if (cfg->devargs[0] && strcmp(other->devargs, cfg->devargs) == 0)
			return model_fail(-EEXIST, err, "devargs: the device belongs to port %s", other->name);
	}
	rc = self ? 0 : model_pool_take(m, cfg->vdpa, device, err);
	if (!rc)
		rc = dp_port_check_qos(cfg, err);
	if (!rc)
		rc = port_check_mirror(m, cfg, err);
	return rc || m->asks == MODEL_ASKS_ADMISSION_LATER ? rc : admit_check(m, cfg, err);
}

int
model_port_check(const struct model *m, const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE])
{
	return port_check(m, cfg, model_port_find(m, cfg->name), err);
}

int
model_port_add(struct model *m, const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE])
{
	struct model_port *port;
	unsigned pos = m->n_ports;
	int rc;

	if (model_port_find(m, cfg->name))
		return model_fail(-EEXIST, err, "port %s exists already", cfg->name);
	if (m->n_ports == DP_MAX_PORTS)
		return model_fail(-ENOSPC, err, "there are %u ports already, the limit", DP_MAX_PORTS);
	rc = port_check(m, cfg, NULL, err);
	if (rc < 0)
		return rc;
	port = calloc(1, sizeof(*port));
	if (!port)
		return model_fail(-ENOMEM, err, "out of memory");
	port->cfg = *cfg;
	port->id = model_free_id((void *const *)m->port_by_id);
	rc = model_pool_take(m, cfg->vdpa, port->cfg.device, err);
	if (!rc && m->dp)
		rc = dp_port_add(m->dp, &port->cfg, &port->id, err);
	if (rc < 0) {
		free(port);
		return rc;
	}
	for (; pos > 0 && strverscmp(m->ports[pos - 1]->cfg.name, cfg->name) > 0; pos--)
		m->ports[pos] = m->ports[pos - 1];
	m->ports[pos] = m->port_by_id[port->id] = port;
	m->n_ports++;
	model_tell(m, "port.add", cfg->name);
	return 0;
}

// Forgets the static MACs of a port that leaves its bridge. The datapath may have done so by
// itself.
static void
port_forget_macs(struct model *m, const struct model_port *port)
{
	struct model_bridge *bridge = model_bridge_find(m, port->cfg.bridge);
	unsigned n = 0;

	if (!bridge)
		return;
	for (unsigned i = 0; i < bridge->n_macs; i++) {
		const struct model_mac *mac = &bridge->macs[i];
		if (strcmp(mac->port, port->cfg.name) != 0)
			bridge->macs[n++] = *mac;
		else if (m->dp)
			(void)dp_mac_del(m->dp, bridge->id, &mac->mac, mac->vlan);
	}
	bridge->n_macs = n;
}

int
model_port_set(struct model *m, const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE])
{
	struct model_port *port = model_port_find(m, cfg->name);
	struct dp_port_cfg to = *cfg;
	int rc;

	if (!port)
		return model_fail(-ENOENT, err, "port %s does not exist", cfg->name);
	// Fixed; a dry model's port may have taken another.
	memcpy(to.device, port->cfg.device, sizeof(to.device));
	rc = port_check(m, &to, port, err);
	if (rc < 0)
		return rc;
	rc = m->dp ? dp_port_set(m->dp, port->id, &to, err) : 0;
	if (rc < 0)
		return rc;
	if (strcmp(port->cfg.bridge, to.bridge) != 0)
		port_forget_macs(m, port);
	port->cfg = to;
	model_tell(m, "port.set", cfg->name);
	return 0;
}

int
model_port_del(struct model *m, const char *name, char err[DP_ERR_SIZE])
{
	struct model_port *port = model_port_find(m, name);
	const struct model_port *tunnel;
	unsigned pos = 0;
	int rc;

	if (!port)
		return model_fail(-ENOENT, err, "port %s does not exist", name);
	tunnel = tunnel_through(m, name);
	if (tunnel)
		return model_fail(-EBUSY, err, "port %s goes through port %s; remove it first", tunnel->cfg.name, name);
	rc = port_check_leave(m, name, "remove that first", err);
	if (rc < 0)
		return rc;
	rc = m->dp ? dp_port_del(m->dp, port->id) : 0;
	if (rc < 0)
		return model_fail(rc, err, "port %s: %s", name, strerror(-rc));
	port_forget_macs(m, port);
	while (m->ports[pos] != port)
		pos++;
	m->n_ports--;
	memmove(&m->ports[pos], &m->ports[pos + 1], (m->n_ports - pos) * sizeof(m->ports[0]));
	m->port_by_id[port->id] = NULL;
	model_tell(m, "port.del", port->cfg.name);
	model_port_free(port);
	return 0;
}
