// Eswitches of a model: which ports belong to one, and which limits its guest has. Their ports are
// made and changed by model_port.c, which asks here whether a port may go.
// Invariant: the ports of an eswitch exist, are guests' ports of one bridge, and belong to no other
// eswitch.
#include "model.h"
#include "rtvs/log.h"
#include "rtvs/units.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAC_BITS 48

const char *const model_eswitch_modes[] = {"legacy", "switchdev", NULL};

struct model_eswitch *
model_eswitch_find(const struct model *m, const char *name)
{
	for (unsigned i = 0; i < m->n_eswitches; i++)
		if (!strcmp(m->eswitches[i]->name, name))
			return m->eswitches[i];
	return NULL;
}

// The next text of the list; one that is too long is cut.
static bool
next_text(const char *list, unsigned *pos, char *ret_text, size_t size)
{
	size_t len = strcspn(list + *pos, ",");

	if (!list[*pos])
		return false;
	(void)snprintf(ret_text, size, "%.*s", (int)len, list + *pos);
	*pos += (unsigned)len + (list[*pos + len] == ',');
	return true;
}

bool
model_eswitch_next(const struct model_eswitch *eswitch, unsigned *pos, char ret_port[RTVS_NAME_SIZE])
{
	return next_text(eswitch->vfs, pos, ret_port, RTVS_NAME_SIZE);
}

const struct model_port *
model_eswitch_vf(const struct model *m, const struct model_eswitch *eswitch, unsigned vf)
{
	char port[RTVS_NAME_SIZE];

	for (unsigned pos = 0; model_eswitch_next(eswitch, &pos, port); vf--)
		if (!vf)
			return model_port_find(m, port);
	return NULL;
}

const struct model_eswitch *
model_eswitch_of(const struct model *m, const char *port, int *ret_vf)
{
	char name[RTVS_NAME_SIZE];

	for (unsigned i = 0; i < m->n_eswitches; i++) {
		const struct model_eswitch *eswitch = m->eswitches[i];

		*ret_vf = -1;
		if (!strcmp(eswitch->pf, port) || !strcmp(eswitch->uplink, port))
			return eswitch;
		for (unsigned pos = 0; model_eswitch_next(eswitch, &pos, name);) {
			++*ret_vf;
			if (!strcmp(name, port))
				return eswitch;
		}
	}
	return NULL;
}

// "52:54:00:00:00:00" or "52:54:00:00:00:00/40". 0 or -EINVAL.
static int
parse_mac(const char *text, struct mac *ret_mac, unsigned *ret_bits)
{
	size_t len = strcspn(text, "/");
	uint64_t bits = MAC_BITS;
	char address[32];

	(void)snprintf(address, sizeof(address), "%.*s", (int)len, text);
	if (units_parse_mac(address, ret_mac) || (text[len] && units_parse_uint(text + len + 1, &bits)) || !bits ||
		bits > MAC_BITS)
		return -EINVAL;
	*ret_bits = (unsigned)bits;
	return 0;
}

bool
model_eswitch_next_mac(const struct model_eswitch *eswitch, unsigned *pos, struct mac *ret_mac, unsigned *ret_bits)
{
	char text[32];

	return next_text(eswitch->allowed_macs, pos, text, sizeof(text)) && !parse_mac(text, ret_mac, ret_bits);
}

static bool
is_within(const struct mac *mac, const struct mac *prefix, unsigned bits)
{
	for (unsigned i = 0; i < bits; i++)
		if ((mac->b[i / 8] ^ prefix->b[i / 8]) & (0x80u >> i % 8))
			return false;
	return true;
}

bool
model_eswitch_permits(const struct model_eswitch *eswitch, const struct mac *mac)
{
	struct mac prefix;
	unsigned bits;

	for (unsigned pos = 0; model_eswitch_next_mac(eswitch, &pos, &prefix, &bits);)
		if (is_within(mac, &prefix, bits))
			return true;
	return false;
}

static int
check_limits(const struct model_eswitch *cfg, char err[DP_ERR_SIZE])
{
	const uint64_t rates[] = {cfg->max_rate_bps, cfg->min_rate_bps};
	char text[32];
	struct mac mac;
	unsigned n = 0, bits;

	for (unsigned pos = 0; next_text(cfg->allowed_macs, &pos, text, sizeof(text)); n++) {
		if (parse_mac(text, &mac, &bits))
			return model_fail(-EINVAL, err,
				"allowed_macs: '%.31s' is no unicast address, with or without /1 to /48", text);
	}
	if (n > MODEL_ESWITCH_MACS)
		return model_fail(
			-EINVAL, err, "allowed_macs: %u entries are out of range 0 to %u", n, MODEL_ESWITCH_MACS);
	for (unsigned i = 0; i < 2; i++)
		if (rates[i] && rates[i] < DP_RATE_MIN)
			return model_fail(-EINVAL, err, "%s: must be 0 or from 8kbit", i ? "min_rate" : "max_rate");
	return 0;
}

// what: the parameter that names it.
static int
check_port(const struct model *m, const struct model_eswitch *cfg, const char *what, const char *name,
	char err[DP_ERR_SIZE])
{
	const struct model_port *port = model_port_find(m, name), *pf = model_port_find(m, cfg->pf);
	const struct model_eswitch *other;
	int vf;

	if (!port)
		return model_fail(-ENOENT, err, "%s: port '%s' does not exist", what, name);
	other = model_eswitch_of(m, name, &vf);
	if (other)
		return model_fail(-EBUSY, err, "%s: port %s belongs to eswitch %s", what, name, other->name);
	if (!port_has(port->cfg.type, PORT_IS_GUEST))
		return model_fail(-EINVAL, err, "%s: port %s has type=%s; a guest's port is needed", what, name,
			port_traits_names[port->cfg.type]);
	if (port->cfg.device[0])
		return model_fail(-EINVAL, err, "%s: port %s: " DP_OFFLOADED, what, name, port->cfg.device);
	if (!port->cfg.bridge[0])
		return model_fail(-EINVAL, err, "%s: port %s is on no bridge", what, name);
	if (strcmp(port->cfg.bridge, pf->cfg.bridge) != 0)
		return model_fail(-EINVAL, err, "%s: port %s is on bridge %s, and pf on %s; all must be on one", what,
			name, port->cfg.bridge, pf->cfg.bridge);
	return 0;
}

static int
check_vfs(const struct model *m, const struct model_eswitch *cfg, char err[DP_ERR_SIZE])
{
	char name[RTVS_NAME_SIZE], other[RTVS_NAME_SIZE];
	unsigned n = 0;
	int rc;

	for (unsigned pos = 0; model_eswitch_next(cfg, &pos, name);)
		n++;
	if (!n || n > MODEL_ESWITCH_VFS)
		return model_fail(-EINVAL, err, "vfs: %u ports are out of range 1 to %u", n, MODEL_ESWITCH_VFS);
	for (unsigned pos = 0; model_eswitch_next(cfg, &pos, name);) {
		rc = check_port(m, cfg, "vfs", name, err);
		if (rc < 0)
			return rc;
		if (!strcmp(name, cfg->pf))
			return model_fail(-EINVAL, err, "vfs: port %s is the pf", name);
		for (unsigned k = pos; model_eswitch_next(cfg, &k, other);)
			if (!strcmp(name, other))
				return model_fail(-EINVAL, err, "vfs: port %s is named twice", name);
	}
	return 0;
}

static int
check_uplink(const struct model *m, const struct model_eswitch *cfg, char err[DP_ERR_SIZE])
{
	const struct model_port *port = model_port_find(m, cfg->uplink), *pf = model_port_find(m, cfg->pf);
	const struct model_eswitch *other;
	int vf;

	if (!cfg->uplink[0])
		return cfg->mode == MODEL_ESWITCH_LEGACY ?
			0 :
			model_fail(-EINVAL, err, "mode: switchdev needs uplink as well");
	if (!port)
		return model_fail(-ENOENT, err, "uplink: port '%s' does not exist", cfg->uplink);
	other = model_eswitch_of(m, cfg->uplink, &vf);
	if (other && strcmp(other->name, cfg->name) != 0)
		return model_fail(-EBUSY, err, "uplink: port %s belongs to eswitch %s", cfg->uplink, other->name);
	if (!port_has(port->cfg.type, PORT_IS_ESWITCH))
		return model_fail(-EINVAL, err, "uplink: port %s has type=%s; type=eswitch is needed", cfg->uplink,
			port_traits_names[port->cfg.type]);
	if (strcmp(port->cfg.bridge, pf->cfg.bridge) != 0)
		return model_fail(
			-EINVAL, err, "uplink: port %s is not on bridge %s, as pf is", cfg->uplink, pf->cfg.bridge);
	return 0;
}

static struct dp_eswitch_cfg
dp_cfg(const struct model *m, const struct model_eswitch *eswitch)
{
	struct dp_eswitch_cfg cfg = {.pf = model_port_find(m, eswitch->pf)->id,
		.uplink = model_port_find(m, eswitch->uplink)->id,
		.miss_pps = eswitch->miss_pps};
	char port[RTVS_NAME_SIZE];

	for (unsigned pos = 0; model_eswitch_next(eswitch, &pos, port);)
		cfg.vf[cfg.n_vfs++] = model_port_find(m, port)->id;
	for (unsigned pos = 0; cfg.n_macs < DP_ESWITCH_MACS &&
		model_eswitch_next_mac(eswitch, &pos, &cfg.macs[cfg.n_macs].mac, &cfg.macs[cfg.n_macs].n_bits);)
		cfg.n_macs++;
	return cfg;
}

// was: NULL, there was none.
static int
apply(const struct model *m, const struct model_eswitch *was, const struct model_eswitch *eswitch,
	char err[DP_ERR_SIZE])
{
	struct dp_eswitch_cfg cfg;
	int rc = 0;

	if (eswitch->mode == MODEL_ESWITCH_SWITCHDEV) {
		cfg = dp_cfg(m, eswitch);
		return m->dp ? dp_eswitch_set(m->dp, &cfg, err) : 0;
	}
	if (!was || was->mode == MODEL_ESWITCH_LEGACY)
		return 0;
	if (m->dp)
		rc = dp_eswitch_clear(m->dp, model_port_find(m, eswitch->pf)->id);
	if (!rc && m->flushed)
		m->flushed(m->channels, eswitch->name);
	return rc ? model_fail(rc, err, "no memory") : 0;
}

static int
open_channel(const struct model *m, const struct model_eswitch *eswitch, char err[DP_ERR_SIZE])
{
	return m->open_channel && !m->has_no_channels ? m->open_channel(m->channels, eswitch, err) : 0;
}

void
model_eswitch_open_channels(struct model *m)
{
	char err[DP_ERR_SIZE];

	m->has_no_channels = false;
	for (unsigned i = 0; i < m->n_eswitches; i++)
		if (open_channel(m, m->eswitches[i], err))
			log_warning("eswitch %s has no channel: %s", m->eswitches[i]->name, err);
}

int
model_eswitch_add(struct model *m, const struct model_eswitch *cfg, char err[DP_ERR_SIZE])
{
	struct model_eswitch *eswitch;
	unsigned pos = m->n_eswitches;
	int rc;

	if (model_eswitch_find(m, cfg->name))
		return model_fail(-EEXIST, err, "eswitch %s exists already", cfg->name);
	if (m->n_eswitches == MODEL_MAX_ESWITCHES)
		return model_fail(-ENOSPC, err, "there are %u eswitches already, the limit", MODEL_MAX_ESWITCHES);
	for (unsigned i = 0; i < m->n_eswitches; i++)
		if (!strcmp(m->eswitches[i]->control, cfg->control))
			return model_fail(
				-EEXIST, err, "control: %s belongs to eswitch %s", cfg->control, m->eswitches[i]->name);
	if (cfg->control[0] != '/')
		return model_fail(-EINVAL, err, "control: must be an absolute path");
	rc = check_limits(cfg, err);
	if (!rc)
		rc = check_port(m, cfg, "pf", cfg->pf, err);
	if (!rc)
		rc = check_vfs(m, cfg, err);
	if (!rc)
		rc = check_uplink(m, cfg, err);
	if (rc < 0)
		return rc;
	eswitch = malloc(sizeof(*eswitch));
	if (!eswitch)
		return model_fail(-ENOMEM, err, "out of memory");
	*eswitch = *cfg;
	eswitch->n_sets = 0;
	rc = open_channel(m, eswitch, err);
	if (!rc) {
		rc = apply(m, NULL, eswitch, err);
		if (rc && m->close_channel)
			m->close_channel(m->channels, eswitch->name);
	}
	if (rc < 0) {
		free(eswitch);
		return rc;
	}
	for (; pos > 0 && strverscmp(m->eswitches[pos - 1]->name, cfg->name) > 0; pos--)
		m->eswitches[pos] = m->eswitches[pos - 1];
	m->eswitches[pos] = eswitch;
	m->n_eswitches++;
	m->n_changes++;
	return 0;
}

int
model_eswitch_set(struct model *m, const struct model_eswitch *cfg, char err[DP_ERR_SIZE])
{
	struct model_eswitch *eswitch = model_eswitch_find(m, cfg->name), next;
	int rc;

	if (!eswitch)
		return model_fail(-ENOENT, err, "eswitch %s does not exist", cfg->name);
	rc = check_limits(cfg, err);
	if (rc < 0)
		return rc;
	next = *eswitch;
	memcpy(next.allowed_macs, cfg->allowed_macs, sizeof(next.allowed_macs));
	next.vlans = cfg->vlans;
	next.has_untagged = cfg->has_untagged;
	next.max_rate_bps = cfg->max_rate_bps;
	next.min_rate_bps = cfg->min_rate_bps;
	next.delegates_deadline = cfg->delegates_deadline;
	next.mode = cfg->mode;
	next.max_rules = cfg->max_rules;
	next.miss_pps = cfg->miss_pps;
	next.n_sets++;
	rc = check_uplink(m, &next, err);
	if (!rc)
		rc = apply(m, eswitch, &next, err);
	if (rc < 0)
		return rc;
	*eswitch = next;
	m->n_changes++;
	return 0;
}

int
model_eswitch_del(struct model *m, const char *name, char err[DP_ERR_SIZE])
{
	struct model_eswitch *eswitch = model_eswitch_find(m, name);
	unsigned pos = 0;

	if (!eswitch)
		return model_fail(-ENOENT, err, "eswitch %s does not exist", name);
	if (m->dp && eswitch->mode == MODEL_ESWITCH_SWITCHDEV &&
		dp_eswitch_clear(m->dp, model_port_find(m, eswitch->pf)->id) == -ENOMEM)
		return model_fail(-ENOMEM, err, "no memory");
	if (m->close_channel)
		m->close_channel(m->channels, name);
	while (m->eswitches[pos] != eswitch)
		pos++;
	m->n_eswitches--;
	memmove(&m->eswitches[pos], &m->eswitches[pos + 1], (m->n_eswitches - pos) * sizeof(m->eswitches[0]));
	m->n_changes++;
	free(eswitch);
	return 0;
}
