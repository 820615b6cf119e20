// The sender's side of STAMP. Any host may send replies. A reply counts if it names a number that
// is under way, comes from that number's destination, and repeats its time to the nanosecond.
// Invariant: a probe is in the list as long as its tunnel has `probe`, and its port a deadline and
// the tunnel's bridge. A packet under way of a removed probe points to no probe.
#include "probes.h"

#include "ctl.h"
#include "ctl_clock.h"
#include "peer_answers.h"
#include "peer_clock.h"
#include "port_json.h"
#include "rtvs/dscp.h"
#include "rtvs/stamp.h"
#include "rtvs/units.h"

#include <stdlib.h>
#include <string.h>

struct probe {
	struct probe *next;
	unsigned tunnel, port; // ids
	uint64_t next_ns; // when it is looked at again
	uint64_t flow_seq; // of the flow, then
	uint64_t sent, received, lost;
	struct hist rtt; // the reflector's own time not included
	struct hist there, back; // one way, as far as the clocks are known
	bool is_wanted;
};

static struct probe *
find(const struct ctl *ctl, unsigned tunnel, unsigned port)
{
	struct probe *p = ctl->probes.list;

	while (p && (p->tunnel != tunnel || p->port != port))
		p = p->next;
	return p;
}

static void
forget(struct ctl *ctl, struct probe *p)
{
	for (unsigned i = 0; i < PROBES_UNDER_WAY; i++)
		if (ctl->probes.sent[i].probe == p)
			ctl->probes.sent[i].probe = NULL;
	ctl->probes.n--;
	free(p);
}

static bool
is_probed(const struct model_port *tunnel, const struct model_port *port)
{
	return port_has(tunnel->cfg.type, PORT_IS_TUNNEL) && tunnel->cfg.probe_ns && port->cfg.deadline_ns &&
		tunnel->cfg.bridge[0] && !strcmp(tunnel->cfg.bridge, port->cfg.bridge);
}

// NULL: there are too many, or no memory.
static struct probe *
want(struct ctl *ctl, const struct model_port *tunnel, const struct model_port *port)
{
	struct probe *p = find(ctl, tunnel->id, port->id);

	if (p || ctl->probes.n == PROBES_MAX)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->tunnel = tunnel->id;
	p->port = port->id;
	p->flow_seq = dp_flow_seq(ctl->plane.dp, p->tunnel, p->port);
	p->next = ctl->probes.list;
	ctl->probes.list = p;
	ctl->probes.n++;
	return p;
}

// The oldest under way is given up.
static void
give_up(struct probes *probes)
{
	struct probe_sent *s = &probes->sent[probes->head++ % PROBES_UNDER_WAY];

	if (s->probe)
		s->probe->lost++;
	s->probe = NULL;
}

static void
send_probe(struct ctl *ctl, struct probe *p, const struct model_port *tunnel, const struct model_port *port)
{
	const struct model_port *uplink = model_port_find(ctl->plane.live, tunnel->cfg.uplink);
	struct probes *probes = &ctl->probes;
	struct stamp_request request = {.seq = probes->tail,
		.clock = {.format = STAMP_PTP, .error_ns = STAMP_ERROR_MAX_NS},
		.sent_ns = dp_tai_ns(ctl->plane.dp)};
	struct dp_datagram d = {.to = tunnel->cfg.remote,
		.from_port = PROBES_PORT,
		.to_port = STAMP_PORT,
		.hop_limit = STAMP_HOP_LIMIT,
		.len = STAMP_BYTES};
	uint8_t dscp = tunnel->cfg.dscp == DP_DSCP_DEADLINE ? peer_answers_dscp(ctl, port) : DSCP_KEEP;

	if (!uplink)
		return;
	d.uplink = uplink->id;
	stamp_request_encode(&request, 0, d.data);
	if (dp_datagram_send(ctl->plane.dp, &d, dscp == DSCP_KEEP ? 0 : (uint8_t)(dscp << 2)))
		return;
	if (probes->tail - probes->head == PROBES_UNDER_WAY)
		give_up(probes);
	probes->sent[probes->tail++ % PROBES_UNDER_WAY] = (struct probe_sent){p, request.sent_ns};
	p->sent++;
}

static void
look_at(struct ctl *ctl, const struct model_port *tunnel, const struct model_port *port, uint64_t now_ns)
{
	struct probe *p = want(ctl, tunnel, port);
	uint64_t seq;

	if (!p)
		return;
	p->is_wanted = true;
	if (now_ns < p->next_ns)
		return;
	p->next_ns = now_ns + tunnel->cfg.probe_ns;
	seq = dp_flow_seq(ctl->plane.dp, p->tunnel, p->port);
	if (seq == p->flow_seq)
		send_probe(ctl, p, tunnel, port);
	p->flow_seq = seq;
}

void
probes_turn(struct ctl *ctl)
{
	struct probes *probes = &ctl->probes;
	struct probe **at = &probes->list;
	uint64_t now_tai_ns = dp_tai_ns(ctl->plane.dp);

	while (probes->head != probes->tail &&
		(int64_t)(now_tai_ns - probes->sent[probes->head % PROBES_UNDER_WAY].tai_ns) > (int64_t)PROBES_LOST_NS)
		give_up(probes);
	for (struct probe *p = probes->list; p; p = p->next)
		p->is_wanted = false;
	for (unsigned i = 0; i < ctl->plane.live->n_ports; i++)
		for (unsigned k = 0; ctl->plane.live->ports[i]->cfg.probe_ns && k < ctl->plane.live->n_ports; k++)
			if (is_probed(ctl->plane.live->ports[i], ctl->plane.live->ports[k]))
				look_at(ctl, ctl->plane.live->ports[i], ctl->plane.live->ports[k], ctl_now_ns());
	while (*at) {
		struct probe *p = *at;

		if (p->is_wanted) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		forget(ctl, p);
	}
}

static void
add(struct hist *h, int64_t ns)
{
	hist_add(h, ns > 0 ? (uint64_t)ns : 0);
}

void
probes_receive(struct ctl *ctl, const struct dp_datagram *d)
{
	struct probes *probes = &ctl->probes;
	struct stamp_reply r;
	struct probe_sent *s;
	const struct model_port *tunnel;
	struct probe *p;
	int64_t offset_ns;

	if (stamp_reply_decode(d->data, d->len, 0, d->time_ns, &r) ||
		r.request.seq - probes->head >= probes->tail - probes->head)
		goto stray;
	s = &probes->sent[r.request.seq % PROBES_UNDER_WAY];
	p = s->probe;
	tunnel = p ? ctl->plane.live->port_by_id[p->tunnel] : NULL;
	if (!tunnel || s->tai_ns != r.request.sent_ns || tunnel->cfg.remote.is_v6 != d->from.is_v6 ||
		memcmp(tunnel->cfg.remote.addr, d->from.addr, d->from.is_v6 ? 16 : 4) != 0)
		goto stray;
	s->probe = NULL;
	p->received++;
	add(&p->rtt, (int64_t)(d->time_ns - r.request.sent_ns) - (int64_t)(r.sent_ns - r.received_ns));
	if (!peer_clock_offset(ctl, d->uplink, &d->from, &offset_ns))
		return;
	add(&p->there, (int64_t)(r.received_ns - r.request.sent_ns) - offset_ns);
	add(&p->back, (int64_t)(d->time_ns - r.sent_ns) + offset_ns);
	return;
stray:
	probes->n_strays++;
}

void
probes_fini(struct ctl *ctl)
{
	while (ctl->probes.list) {
		struct probe *p = ctl->probes.list;

		ctl->probes.list = p->next;
		forget(ctl, p);
	}
}

json_t *
probes_json(const struct ctl *ctl, const char *tunnel)
{
	json_t *list;

	if (tunnel[0] && !model_port_find(ctl->plane.live, tunnel))
		return NULL;
	list = json_array();
	for (const struct probe *p = ctl->probes.list; p; p = p->next) {
		const struct model_port *t = ctl->plane.live->port_by_id[p->tunnel],
					*port = ctl->plane.live->port_by_id[p->port];
		char every[UNITS_TEXT_SIZE];

		if (!t || !port || (tunnel[0] && strcmp(t->cfg.name, tunnel) != 0))
			continue;
		(void)json_array_append_new(list,
			json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:o, s:o, s:o}", "tunnel", t->cfg.name, "port",
				port->cfg.name, "every", units_format_time(t->cfg.probe_ns, every), "sent",
				(json_int_t)p->sent, "received", (json_int_t)p->received, "lost", (json_int_t)p->lost,
				"rtt", port_json_hist(&p->rtt), "there", port_json_hist(&p->there), "back",
				port_json_hist(&p->back)));
	}
	return list;
}
