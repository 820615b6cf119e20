// Ports to flows, and refusals to sentences. A port's guarantee counts at every egress port with a
// rate on its bridge, since its packets may go to any of them. model_port.c calls this file, so
// nothing here calls it: ports are read from the struct.
#include "admit.h"

#include "rtvs/admission.h"
#include "rtvs/sched.h"
#include "rtvs/units.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct egress {
	struct admission_sender flows[DP_MAX_PORTS];
	uint32_t n;
	struct admission_link link;
};

// The port's configuration as it would be. cfg NULL, here and below: as it is.
static const struct dp_port_cfg *
config_of(const struct model_port *port, const struct dp_port_cfg *cfg)
{
	return cfg && !strcmp(port->cfg.name, cfg->name) ? cfg : &port->cfg;
}

// Is cfg that of a port that the model does not have yet?
static bool
is_further(const struct model *m, const struct dp_port_cfg *cfg)
{
	for (unsigned i = 0; cfg && i < m->n_ports; i++)
		if (config_of(m->ports[i], cfg) == cfg)
			return false;
	return cfg;
}

// Port number i of the future state, cfg the last one when it is a further one; NULL: there are no
// more.
static const struct dp_port_cfg *
config_at(const struct model *m, const struct dp_port_cfg *cfg, uint32_t i)
{
	if (i < m->n_ports)
		return config_of(m->ports[i], cfg);
	return i == m->n_ports && is_further(m, cfg) ? cfg : NULL;
}

uint64_t
admit_bound_ns(const struct dp_port_cfg *cfg)
{
	return cfg->deadline_ns ? cfg->deadline_ns : SCHED_DEADLINE_DEFAULT_NS;
}

static void
add_sender(struct egress *e, const struct dp_port_cfg *sender, const struct dp_port_cfg *out, uint32_t id)
{
	uint32_t longest = dp_frame_max(sender->mtu, out->address.len);

	// Ports with a guarantee count, too: a packet beyond the guarantee may just have begun when
	// the guaranteed packets come.
	if (longest > e->link.best_effort_packet)
		e->link.best_effort_packet = longest;
	if (!sender->min_rate_bps || sender->force)
		return;
	e->flows[e->n++] = (struct admission_sender){.rate = sender->min_rate_bps / 8,
		.burst = dp_bucket_bytes(sender->burst_bytes, sender->mtu, out->address.len),
		.deadline_ns = admit_bound_ns(sender),
		.max_packet = longest,
		.id = id};
}

// A tunnel's packets leave through its uplink, too.
static bool
is_on_uplink(const struct model *m, const struct dp_port_cfg *cfg, const char *bridge, const struct dp_port_cfg *out)
{
	const struct dp_port_cfg *tunnel;

	for (uint32_t i = 0; (tunnel = config_at(m, cfg, i)); i++)
		if (port_has(tunnel->type, PORT_IS_TUNNEL) && !strcmp(tunnel->uplink, out->name) &&
			!strcmp(tunnel->bridge, bridge))
			return true;
	return false;
}

// May what the sender sends leave through out?
static bool
may_reach(const struct model *m, const struct dp_port_cfg *cfg, const struct dp_port_cfg *sender,
	const struct dp_port_cfg *out)
{
	if (!strcmp(sender->name, out->name) || !sender->bridge[0])
		return false;
	return out->bridge[0] ? !strcmp(sender->bridge, out->bridge) : is_on_uplink(m, cfg, sender->bridge, out);
}

// All that may send to an egress port. Number n_ports is cfg when it is a further port.
static void
collect(const struct model *m, const struct dp_port_cfg *cfg, const struct dp_port_cfg *out, struct egress *e)
{
	const struct dp_port_cfg *sender;

	e->n = 0;
	e->link = (struct admission_link){.rate = out->link_rate_bps / 8, .latency_ns = ADMIT_LATENCY_NS};
	for (uint32_t i = 0; (sender = config_at(m, cfg, i)); i++)
		if (may_reach(m, cfg, sender, out))
			add_sender(e, sender, out, i);
}

static const char *
name_of(const struct model *m, const struct dp_port_cfg *cfg, uint32_t id)
{
	return id < m->n_ports ? m->ports[id]->cfg.name : cfg->name;
}

// " deadline from 1.4ms" and the like, each alone would do.
static void
append_best(struct egress *e, uint32_t id, char *text, size_t size)
{
	char value[UNITS_TEXT_SIZE];
	uint64_t best;
	size_t n = 0;

	text[0] = '\0';
	if (admission_best(e->flows, e->n, &e->link, id, ADMISSION_BEST_DEADLINE, &best))
		n += (size_t)snprintf(
			text + n, size - n, ", deadline from %s", units_format_time((best + 999) / 1000 * 1000, value));
	if (n < size && admission_best(e->flows, e->n, &e->link, id, ADMISSION_BEST_RATE, &best) &&
		best >= DP_RATE_MIN / 8)
		n += (size_t)snprintf(
			text + n, size - n, ", min_rate to %s", units_format_rate(best / 1000 * 8000, value));
	if (n < size && admission_best(e->flows, e->n, &e->link, id, ADMISSION_BEST_BURST, &best))
		(void)snprintf(text + n, size - n, ", burst to %s", units_format_size(best, value));
}

// The flow whose change would make the guarantee fit: the one that the caller changes, or the one
// that fails.
static int
refuse(const struct model *m, const struct dp_port_cfg *cfg, const struct dp_port_cfg *out, struct egress *e,
	const struct admission_result *r, const char **ret_name, char err[DP_ERR_SIZE])
{
	char demand[UNITS_TEXT_SIZE], supply[UNITS_TEXT_SIZE], time[UNITS_TEXT_SIZE], best[128];
	uint32_t id = r->id;

	for (uint32_t i = 0; i < e->n; i++)
		if (config_at(m, cfg, e->flows[i].id) == cfg)
			id = e->flows[i].id;
	*ret_name = name_of(m, cfg, id);
	append_best(e, id, best, sizeof(best));
	units_format_size(r->demand_bytes, demand);
	units_format_size(r->supply_bytes, supply);
	if (r->reason == ADMISSION_RATE)
		(void)snprintf(err, DP_ERR_SIZE, "min_rate: port %s carries %s/s, %s/s would be reserved", out->name,
			supply, demand);
	else
		(void)snprintf(err, DP_ERR_SIZE,
			"deadline: port %s cannot keep %s's: by t=%s %s may be due, it carries %s", out->name,
			name_of(m, cfg, r->id), units_format_time(r->t_ns, time), demand, supply);
	(void)snprintf(err + strlen(err), DP_ERR_SIZE - strlen(err), "; for %s would fit%s%s", name_of(m, cfg, id),
		best[0] ? best + 1 : " nothing", "; or force=true");
	return -ENOSPC;
}

static int
check(const struct model *m, const struct dp_port_cfg *cfg, const char **ret_name, char err[DP_ERR_SIZE])
{
	struct egress *e = malloc(sizeof(*e));
	const struct dp_port_cfg *out;
	int rc = 0;

	if (!e)
		return -ENOMEM;
	for (uint32_t i = 0; !rc && (out = config_at(m, cfg, i)); i++) {
		struct admission_result r;

		if (!out->link_rate_bps)
			continue;
		collect(m, cfg, out, e);
		if (!admission_check(e->flows, e->n, &e->link, &r))
			rc = refuse(m, cfg, out, e, &r, ret_name, err);
	}
	free(e);
	return rc;
}

int
admit_check(const struct model *m, const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE])
{
	const char *ignored;

	return check(m, cfg, &ignored, err);
}

int
admit_check_all(const struct model *m, const struct model_port *changed, const char **ret_name, char err[DP_ERR_SIZE])
{
	return check(m, changed ? &changed->cfg : NULL, ret_name, err);
}

uint64_t
admit_floor_ns(const struct model *m, const struct dp_port_cfg *cfg)
{
	struct egress *e = malloc(sizeof(*e));
	uint64_t floor_ns = 0, best;

	for (uint32_t i = 0; e && i < m->n_ports; i++) {
		const struct dp_port_cfg *out = config_of(m->ports[i], cfg);

		if (!out->link_rate_bps)
			continue;
		collect(m, cfg, out, e);
		for (uint32_t k = 0; k < e->n; k++)
			if (!strcmp(name_of(m, cfg, e->flows[k].id), cfg->name)) {
				if (admission_best(
					    e->flows, e->n, &e->link, e->flows[k].id, ADMISSION_BEST_DEADLINE, &best) &&
					best > floor_ns)
					floor_ns = best;
				break;
			}
	}
	free(e);
	return floor_ns;
}

bool
admit_is_broken(const struct model *m, const struct dp_port_cfg *cfg)
{
	char ignored[DP_ERR_SIZE];
	struct dp_port_cfg strict = *cfg;

	strict.force = false;
	return admit_check(m, &strict, ignored) != 0;
}
