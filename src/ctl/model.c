// What the operator configured. Handlers (rpc_*.c) and plan.c change it through these functions only; each checks
// names and combinations, then tells the datapath, then remembers. Invariant: the datapath and a model
// that is not dry hold the same objects, and every name that an object refers to exists, but that of a mirror's target.
#include "model.h"

#include "admit.h"
#include "probes.h"
#include "rtvs/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 3, 4))) static int
fail(int rc, char err[DP_ERR_SIZE], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(err, DP_ERR_SIZE, fmt, ap);
	va_end(ap);
	return rc;
}

static void
changed(struct model *m, const char *what, const char *name)
{
	m->n_changes++;
	if (m->changed)
		m->changed(m->changed_arg, what, name);
}

struct model *
model_create(const struct dp_system_cfg *system)
{
	struct model *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->system = *system;
	m->log_level = LOG_LEVEL_INFO;
	return m;
}

void
model_destroy(struct model *m)
{
	if (!m)
		return;
	for (unsigned i = 0; i < m->n_ports; i++)
		free(m->ports[i]);
	for (unsigned i = 0; i < m->n_bridges; i++) {
		free(m->bridges[i]->macs);
		free(m->bridges[i]);
	}
	free(m);
}

struct model *
model_clone(const struct model *model)
{
	struct model *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->system = model->system;
	m->log_level = model->log_level;
	for (; m->n_ports < model->n_ports; m->n_ports++) {
		struct model_port *port = malloc(sizeof(*port));
		if (!port)
			goto err_model;
		*port = *model->ports[m->n_ports];
		m->ports[m->n_ports] = m->port_by_id[port->id] = port;
	}
	for (; m->n_bridges < model->n_bridges; m->n_bridges++) {
		const struct model_bridge *from = model->bridges[m->n_bridges];
		struct model_bridge *bridge = calloc(1, sizeof(*bridge));
		if (!bridge)
			goto err_model;
		*bridge = *from;
		bridge->macs = calloc(from->n_macs + 1u, sizeof(*from->macs));
		if (!bridge->macs) {
			free(bridge);
			goto err_model;
		}
		if (from->n_macs > 0)
			memcpy(bridge->macs, from->macs, from->n_macs * sizeof(*from->macs));
		m->bridges[m->n_bridges] = m->bridge_by_id[bridge->id] = bridge;
	}
	return m;

err_model:
	model_destroy(m);
	return NULL;
}

struct model_bridge *
model_bridge_find(const struct model *m, const char *name)
{
	for (unsigned i = 0; i < m->n_bridges; i++)
		if (strcmp(m->bridges[i]->cfg.name, name) == 0)
			return m->bridges[i];
	return NULL;
}

struct model_port *
model_port_find(const struct model *m, const char *name)
{
	for (unsigned i = 0; i < m->n_ports; i++)
		if (strcmp(m->ports[i]->cfg.name, name) == 0)
			return m->ports[i];
	return NULL;
}

unsigned
model_bridge_n_ports(const struct model *m, const char *name)
{
	unsigned n = 0;

	for (unsigned i = 0; i < m->n_ports; i++)
		n += strcmp(m->ports[i]->cfg.bridge, name) == 0;
	return n;
}

// A dry model numbers its objects itself.
static unsigned
free_id(void *const *by_id)
{
	unsigned id = 0;

	while (by_id[id])
		id++;
	return id;
}

int
model_bridge_add(struct model *m, const struct dp_bridge_cfg *cfg, char err[DP_ERR_SIZE])
{
	struct model_bridge *bridge;
	unsigned pos = m->n_bridges;
	int rc;

	if (model_bridge_find(m, cfg->name))
		return fail(-EEXIST, err, "bridge %s exists already", cfg->name);
	if (m->n_bridges == DP_MAX_BRIDGES)
		return fail(-ENOSPC, err, "there are %u bridges already, the limit", DP_MAX_BRIDGES);
	bridge = calloc(1, sizeof(*bridge));
	if (!bridge)
		return fail(-ENOMEM, err, "out of memory");
	bridge->cfg = *cfg;
	bridge->id = free_id((void *const *)m->bridge_by_id);
	rc = m->dp ? dp_bridge_add(m->dp, cfg, &bridge->id, err) : 0;
	if (rc < 0) {
		free(bridge);
		return rc;
	}
	for (; pos > 0 && strverscmp(m->bridges[pos - 1]->cfg.name, cfg->name) > 0; pos--)
		m->bridges[pos] = m->bridges[pos - 1];
	m->bridges[pos] = m->bridge_by_id[bridge->id] = bridge;
	m->n_bridges++;
	changed(m, "bridge.add", cfg->name);
	return 0;
}

int
model_bridge_set(struct model *m, const struct dp_bridge_cfg *cfg, char err[DP_ERR_SIZE])
{
	struct model_bridge *bridge = model_bridge_find(m, cfg->name);
	int rc;

	if (!bridge)
		return fail(-ENOENT, err, "bridge %s does not exist", cfg->name);
	rc = m->dp ? dp_bridge_set(m->dp, bridge->id, cfg, err) : 0;
	if (rc < 0)
		return rc;
	bridge->cfg = *cfg;
	changed(m, "bridge.set", cfg->name);
	return 0;
}

int
model_bridge_del(struct model *m, const char *name, char err[DP_ERR_SIZE])
{
	struct model_bridge *bridge = model_bridge_find(m, name);
	unsigned n, pos = 0;
	int rc;

	if (!bridge)
		return fail(-ENOENT, err, "bridge %s does not exist", name);
	n = model_bridge_n_ports(m, name);
	if (n > 0)
		return fail(-EBUSY, err, "bridge %s still has %u ports; remove or move them first", name, n);
	rc = m->dp ? dp_bridge_del(m->dp, bridge->id) : 0;
	if (rc < 0)
		return fail(rc, err, "bridge %s: %s", name, strerror(-rc));
	while (m->bridges[pos] != bridge)
		pos++;
	m->n_bridges--;
	memmove(&m->bridges[pos], &m->bridges[pos + 1], (m->n_bridges - pos) * sizeof(m->bridges[0]));
	m->bridge_by_id[bridge->id] = NULL;
	changed(m, "bridge.del", bridge->cfg.name);
	free(bridge->macs);
	free(bridge);
	return 0;
}

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
		return fail(-EINVAL, err, "%s: needs %s as well", cfg->mirror ? "mirror" : "mirror_to",
			cfg->mirror ? "mirror_to" : "mirror (rx, tx or both)");
	if (!cfg->mirror_to[0])
		return 0;
	if (strcmp(cfg->mirror_to, cfg->name) == 0)
		return fail(-EINVAL, err, "mirror_to: a port cannot mirror to itself");
	target = model_port_find(m, cfg->mirror_to); // NULL: the mirror waits for it
	source = port_mirroring_to(m, cfg->name);
	if ((target && target->cfg.mirror_to[0]) || source)
		return fail(-EINVAL, err, "mirror_to: port %s receives a mirror and cannot be mirrored",
			source ? cfg->name : cfg->mirror_to);
	return 0;
}

unsigned
model_port_rank(const struct dp_port_cfg *cfg)
{
	return cfg->type == DP_PORT_GENEVE;
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
		if (m->ports[i]->cfg.type == DP_PORT_GENEVE && strcmp(m->ports[i]->cfg.uplink, uplink) == 0)
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

	if (cfg->socket[0] || cfg->devargs[0])
		return fail(-EINVAL, err, "%s: not for type=geneve", cfg->socket[0] ? "socket" : "devargs");
	if (!cfg->uplink[0])
		return fail(-EINVAL, err, "uplink: needed for type=geneve");
	if (!uplink)
		return fail(-ENOENT, err, "uplink: port %s does not exist", cfg->uplink);
	if (!uplink->cfg.address.len)
		return fail(-EINVAL, err, "uplink: port %s has no address", cfg->uplink);
	if (!cfg->remote.len)
		return fail(-EINVAL, err, "remote: needed for type=geneve");
	if (cfg->remote.is_v6 != uplink->cfg.address.is_v6 || cfg->remote.len != (cfg->remote.is_v6 ? 128 : 32))
		return fail(-EINVAL, err, "remote: must be one %s address, as the uplink's is",
			uplink->cfg.address.is_v6 ? "IPv6" : "IPv4");
	if (is_same_addr(&cfg->remote, &uplink->cfg.address))
		return fail(-EINVAL, err, "remote: is the uplink's own address");
	if (cfg->probe_ns && cfg->probe_ns < PROBES_MIN_NS)
		return fail(-EINVAL, err, "probe: must be 0 or 100ms to 1h");
	if (cfg->clock == DP_CLOCK_PEER && !cfg->key_file[0])
		return fail(-EINVAL, err, "clock: peer needs key_file as well");
	if (cfg->vni > DP_VNI_MAX)
		return fail(-EINVAL, err, "vni: %u is out of range 0 to %u", cfg->vni, DP_VNI_MAX);
	if (geneve_ignore_parse(cfg->ignore_options, &ignore, wrong))
		return fail(-EINVAL, err, "ignore_options: %s", wrong);
	if (needed > uplink->cfg.mtu)
		return fail(-EINVAL, err, "mtu: %u needs an uplink with an mtu of %u at least, %s has %u", cfg->mtu,
			needed, cfg->uplink, uplink->cfg.mtu);
	for (unsigned i = 0; i < m->n_ports; i++) {
		const struct dp_port_cfg *other = &m->ports[i]->cfg;
		if (m->ports[i] != self && other->type == DP_PORT_GENEVE && strcmp(other->uplink, cfg->uplink) == 0 &&
			other->vni == cfg->vni && is_same_addr(&other->remote, &cfg->remote))
			return fail(-EEXIST, err, "vni: port %s has this uplink, remote and VNI", other->name);
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
		return fail(-EBUSY, err,
			"port %s goes through port %s: its address, gateway, vlan and a smaller mtu must wait",
			tunnel->cfg.name, cfg->name);
	if (!cfg->address.len)
		return cfg->gateway.len || cfg->stamp ?
			fail(-EINVAL, err, "%s: needs address as well", cfg->gateway.len ? "gateway" : "stamp") :
			0;
	for (unsigned i = 0; i < m->n_ports; i++)
		n += m->ports[i] != self && m->ports[i]->cfg.address.len;
	if (n >= DP_MAX_UPLINKS)
		return fail(-ENOSPC, err, "address: there are %u ports with one already, the limit", DP_MAX_UPLINKS);
	if (cfg->bridge[0])
		return fail(-EINVAL, err, "address: only for a port without bridge");
	if (cfg->mtu > DP_UPLINK_MTU_MAX)
		return fail(-EINVAL, err, "mtu: %u is out of range %u to %u of a port with an address", cfg->mtu,
			DP_MTU_MIN, DP_UPLINK_MTU_MAX);
	if (cfg->mirror_to[0])
		return fail(-EINVAL, err, "mirror_to: not for a port with an address");
	if (cfg->vlan_mode != DP_VLAN_ACCESS)
		return fail(-EINVAL, err,
			"vlan_mode: must be access for a port with an address; vlan is the underlay's tag");
	if (cfg->n_queues != 1)
		return fail(-EINVAL, err, "queues: must be 1 for a port with an address");
	if (cfg->gateway.len &&
		(cfg->gateway.is_v6 != cfg->address.is_v6 || is_same_addr(&cfg->gateway, &cfg->address)))
		return fail(-EINVAL, err, "gateway: must be another address of the same family as address");
	return 0;
}

static int
port_check_segment(const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE])
{
	if (cfg->socket[0] || cfg->devargs[0])
		return fail(-EINVAL, err, "%s: not for type=segment", cfg->socket[0] ? "socket" : "devargs");
	if (cfg->path[0] != '/')
		return fail(-EINVAL, err, "path: needed for type=segment, absolute: /dev/shm/NAME");
	if (cfg->n_queues != 1)
		return fail(-EINVAL, err, "queues: must be 1 for type=segment");
	return 0;
}

static int
port_check_type(
	const struct model *m, const struct dp_port_cfg *cfg, const struct model_port *self, char err[DP_ERR_SIZE])
{
	if (cfg->prewake && cfg->type != DP_PORT_VHOST)
		return fail(-EINVAL, err, "prewake: only for type=vhost");
	if (cfg->path[0] && cfg->type != DP_PORT_SEGMENT)
		return fail(-EINVAL, err, "path: only for type=segment");
	if (cfg->type == DP_PORT_GENEVE) {
		if (cfg->address.len || cfg->gateway.len || cfg->stamp)
			return fail(-EINVAL, err, "address: not for type=geneve");
		return port_check_tunnel(m, cfg, self, err);
	}
	if (cfg->uplink[0] || cfg->remote.len || cfg->key_file[0] || cfg->clock != DP_CLOCK_SYSTEM || cfg->probe_ns ||
		cfg->ignore_options[0])
		return fail(-EINVAL, err, "%s: only for type=geneve",
			cfg->uplink[0]		       ? "uplink" :
				cfg->remote.len	       ? "remote" :
				cfg->key_file[0]       ? "key_file" :
				cfg->probe_ns	       ? "probe" :
				cfg->ignore_options[0] ? "ignore_options" :
							 "clock");
	if (cfg->type == DP_PORT_SEGMENT)
		return port_check_segment(cfg, err);
	if (cfg->type == DP_PORT_ETHDEV) {
		if (!cfg->devargs[0])
			return fail(-EINVAL, err, "devargs: needed for type=ethdev");
		if (cfg->socket[0])
			return fail(-EINVAL, err, "socket: only for type=vhost");
		return 0;
	}
	if (cfg->devargs[0])
		return fail(-EINVAL, err, "devargs: only for type=ethdev");
	if (cfg->socket[0] != '/')
		return fail(-EINVAL, err, "socket: must be an absolute path");
	return 0;
}

// self: the port to be changed, NULL: a further one.
static int
port_check(const struct model *m, const struct dp_port_cfg *cfg, const struct model_port *self, char err[DP_ERR_SIZE])
{
	static const struct vlan_set none;
	int rc;

	if (m->asks == MODEL_ASKS_NOTHING)
		return 0;
	rc = port_check_type(m, cfg, self, err);
	if (!rc && cfg->type != DP_PORT_GENEVE)
		rc = port_check_uplink(m, cfg, self, err);
	if (rc < 0)
		return rc;
	if (cfg->bridge[0] && !model_bridge_find(m, cfg->bridge))
		return fail(-ENOENT, err, "bridge: %s does not exist", cfg->bridge);
	if (cfg->vlan_mode == DP_VLAN_ACCESS && memcmp(&cfg->trunk, &none, sizeof(none)) != 0)
		return fail(-EINVAL, err, "trunk: only for vlan_mode=trunk");
	for (unsigned i = 0; i < m->n_ports; i++) {
		const struct dp_port_cfg *other = &m->ports[i]->cfg;
		if (m->ports[i] == self)
			continue;
		if (cfg->socket[0] && strcmp(other->socket, cfg->socket) == 0)
			return fail(-EEXIST, err, "socket: %s belongs to port %s", cfg->socket, other->name);
		if (cfg->path[0] && strcmp(other->path, cfg->path) == 0)
			return fail(-EEXIST, err, "path: %s is the segment of port %s", cfg->path, other->name);
		if (cfg->devargs[0] && strcmp(other->devargs, cfg->devargs) == 0)
			return fail(-EEXIST, err, "devargs: the device belongs to port %s", other->name);
	}
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
		return fail(-EEXIST, err, "port %s exists already", cfg->name);
	if (m->n_ports == DP_MAX_PORTS)
		return fail(-ENOSPC, err, "there are %u ports already, the limit", DP_MAX_PORTS);
	rc = port_check(m, cfg, NULL, err);
	if (rc < 0)
		return rc;
	port = calloc(1, sizeof(*port));
	if (!port)
		return fail(-ENOMEM, err, "out of memory");
	port->cfg = *cfg;
	port->id = free_id((void *const *)m->port_by_id);
	rc = m->dp ? dp_port_add(m->dp, cfg, &port->id, err) : 0;
	if (rc < 0) {
		free(port);
		return rc;
	}
	for (; pos > 0 && strverscmp(m->ports[pos - 1]->cfg.name, cfg->name) > 0; pos--)
		m->ports[pos] = m->ports[pos - 1];
	m->ports[pos] = m->port_by_id[port->id] = port;
	m->n_ports++;
	changed(m, "port.add", cfg->name);
	return 0;
}

// Forgets the static MACs of a port that leaves its bridge. The datapath may have done so by itself.
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
	int rc;

	if (!port)
		return fail(-ENOENT, err, "port %s does not exist", cfg->name);
	rc = port_check(m, cfg, port, err);
	if (rc < 0)
		return rc;
	rc = m->dp ? dp_port_set(m->dp, port->id, cfg, err) : 0;
	if (rc < 0)
		return rc;
	if (strcmp(port->cfg.bridge, cfg->bridge) != 0)
		port_forget_macs(m, port);
	port->cfg = *cfg;
	changed(m, "port.set", cfg->name);
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
		return fail(-ENOENT, err, "port %s does not exist", name);
	tunnel = tunnel_through(m, name);
	if (tunnel)
		return fail(-EBUSY, err, "port %s goes through port %s; remove it first", tunnel->cfg.name, name);
	rc = m->dp ? dp_port_del(m->dp, port->id) : 0;
	if (rc < 0)
		return fail(rc, err, "port %s: %s", name, strerror(-rc));
	port_forget_macs(m, port);
	while (m->ports[pos] != port)
		pos++;
	m->n_ports--;
	memmove(&m->ports[pos], &m->ports[pos + 1], (m->n_ports - pos) * sizeof(m->ports[0]));
	m->port_by_id[port->id] = NULL;
	changed(m, "port.del", port->cfg.name);
	free(port);
	return 0;
}

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
		return fail(-ENOENT, err, "bridge %s does not exist", name);
	if (!port || strcmp(port->cfg.bridge, name) != 0)
		return fail(-ENOENT, err, "port %s is not on bridge %s", mac->port, name);
	if (mac->mac.b[0] & 1)
		return fail(-EINVAL, err, "mac: must be a unicast address");
	if (model_mac_find(bridge, &mac->mac, mac->vlan))
		return fail(-EEXIST, err, "mac: is a static entry of bridge %s already", name);
	if (bridge->n_macs == DP_MAX_STATIC_MACS)
		return fail(-ENOSPC, err, "bridge %s has %u static MACs already, the limit", name, DP_MAX_STATIC_MACS);
	macs = realloc(bridge->macs, (bridge->n_macs + 1u) * sizeof(*macs));
	if (!macs)
		return fail(-ENOMEM, err, "out of memory");
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
		return fail(-ENOENT, err, "bridge %s does not exist", name);
	entry = model_mac_find(bridge, mac, vlan);
	if (!entry)
		return fail(-ENOENT, err, "mac: is no static entry of bridge %s in VLAN %u", name, vlan);
	rc = m->dp ? dp_mac_del(m->dp, bridge->id, mac, vlan) : 0;
	if (rc < 0)
		return fail(rc, err, "mac: %s", strerror(-rc));
	m->n_changes++;
	bridge->n_macs--;
	memmove(entry, entry + 1, (size_t)(&bridge->macs[bridge->n_macs] - entry) * sizeof(*entry));
	return 0;
}

int
model_system_set(struct model *m, const struct dp_system_cfg *cfg, char err[DP_ERR_SIZE])
{
	int rc;

	if (!m->dp) {
		m->system = *cfg;
		return 0;
	}
	rc = dp_system_set(m->dp, cfg, err);
	if (rc < 0)
		return rc;
	m->system = *cfg;
	changed(m, "system.set", "");
	return 0;
}

void
model_log_set(struct model *m, uint32_t level)
{
	m->n_changes++;
	m->log_level = level;
	if (m->dp)
		log_set_level((enum log_level)level);
}
