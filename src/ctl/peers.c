// Datagrams between daemons: keyed BLAKE2b (libsodium) says whose they are, core's peer_session whether they are new, clock_offset
// what time it is there, feedback what to do about what a receiver reports. Anybody may send to us: what does not pass
// the tag is counted and has no effect.
// A peer is a host, not a tunnel: tunnels to the same address through the same uplink share one.
#include "peers.h"

#include "admit.h"
#include "ctl.h"
#include "ctl_clock.h"
#include "rtvs/clock_offset.h"
#include "rtvs/dscp.h"
#include "rtvs/feedback.h"
#include "rtvs/log.h"
#include "rtvs/peer_msg.h"
#include "rtvs/peer_session.h"
#include "rtvs/units.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ASK_CLOCK_NS UINT64_C(100000000)
#define KEY_BYTES 32
#define KEY_LINE 128
#define TOS_CS6 0xc0 // network control, RFC 4594
#define REPORTS_MAX_INTERVAL_NS UINT64_C(100000000)
#define DSCP_EF 46
#define RTT_UNKNOWN_NS UINT64_C(10000000)

_Static_assert(PEER_MSG_TAG_BYTES == 32 && PEER_MSG_MAX <= DP_DATAGRAM_MAX, "a tag is BLAKE2b-256, a message fits");

struct key {
	uint32_t id;
	unsigned char bytes[KEY_BYTES];
};

struct peer_counters {
	uint64_t sent, unsent, reports, malformed, unknown_key, forged, steps;
};

struct peer {
	struct peer *next;
	unsigned uplink; // id of the port
	struct prefix addr;
	char key_file[RTVS_PATH_SIZE];
	struct key key[PEER_SESSION_MAX_KEYS];
	uint32_t n_keys;
	struct peer_session session;
	struct clock_offset clock;
	uint64_t asked_tai_ns; // t1 of the request that is not answered, 0: none
	uint64_t asked_ns, rtt_ns;
	struct feedback *flow[DP_MAX_PORTS]; // of our ports' packets to it, by port; NULL: nothing was reported
	struct peer_counters count;
	bool is_wanted; // in peers_sync
};

static int
read_keys(const char *path, struct key keys[PEER_SESSION_MAX_KEYS], uint32_t *ret_n, char err[DP_ERR_SIZE])
{
	FILE *f = fopen(path, "re");
	char line[KEY_LINE];
	struct stat st;
	uint32_t n = 0;
	int rc = -EINVAL;

	if (!f) {
		(void)snprintf(err, DP_ERR_SIZE, "key_file: %s: %s", path, strerror(errno));
		return -EINVAL;
	}
	if (fstat(fileno(f), &st) || !S_ISREG(st.st_mode) || (st.st_mode & 077)) {
		(void)snprintf(err, DP_ERR_SIZE,
			"key_file: %s: must be a file that only its owner may read (mode 0600)", path);
		goto out;
	}
	while (fgets(line, sizeof(line), f)) {
		char *end = NULL, *hex = line + strcspn(line, " \t");
		size_t len = 0;
		unsigned long id = strtoul(line, &end, 10);

		if (line[0] == '#' || line[strspn(line, " \t\n")] == '\0')
			continue;
		hex += strspn(hex, " \t");
		hex[strcspn(hex, "\n")] = '\0';
		if (n == PEER_SESSION_MAX_KEYS || end == line || (*end != ' ' && *end != '\t') || id > UINT16_MAX ||
			(n && keys[0].id == id) ||
			sodium_hex2bin(keys[n].bytes, KEY_BYTES, hex, strlen(hex), NULL, &len, NULL) ||
			len != KEY_BYTES) {
			(void)snprintf(err, DP_ERR_SIZE,
				"key_file: %s: must have one or two lines, the newest key last: a number 0 to 65535, a "
				"space, "
				"64 hexadecimal digits",
				path);
			goto out;
		}
		keys[n++].id = (uint32_t)id;
	}
	if (!n) {
		(void)snprintf(err, DP_ERR_SIZE, "key_file: %s: has no key", path);
		goto out;
	}
	*ret_n = n;
	rc = 0;
out:
	sodium_memzero(line, sizeof(line));
	(void)fclose(f);
	return rc;
}

int
peers_check_keys(const char *path, char err[DP_ERR_SIZE])
{
	struct key keys[PEER_SESSION_MAX_KEYS];
	uint32_t n;
	int rc = read_keys(path, keys, &n, err);

	sodium_memzero(keys, sizeof(keys));
	return rc;
}

static bool
is_same_host(const struct peer *p, unsigned uplink, const struct prefix *addr)
{
	return p->uplink == uplink && p->addr.is_v6 == addr->is_v6 &&
		!memcmp(p->addr.addr, addr->addr, addr->is_v6 ? 16 : 4);
}

static struct peer *
find(const struct ctl *ctl, unsigned uplink, const struct prefix *addr)
{
	struct peer *p = ctl->peers.list;

	while (p && !is_same_host(p, uplink, addr))
		p = p->next;
	return p;
}

static const struct key *
find_key(const struct peer *p, uint32_t id)
{
	for (uint32_t i = 0; i < p->n_keys; i++)
		if (p->key[i].id == id)
			return &p->key[i];
	return NULL;
}

static void
put_tag(uint8_t *data, size_t len, const struct key *key)
{
	(void)crypto_generichash(
		data + peer_msg_covered(len), PEER_MSG_TAG_BYTES, data, peer_msg_covered(len), key->bytes, KEY_BYTES);
}

static bool
has_right_tag(const uint8_t *data, size_t len, const struct key *key)
{
	unsigned char tag[PEER_MSG_TAG_BYTES];

	(void)crypto_generichash(tag, sizeof(tag), data, peer_msg_covered(len), key->bytes, KEY_BYTES);
	return sodium_memcmp(tag, data + peer_msg_covered(len), sizeof(tag)) == 0;
}

// msg but for its stamp.
static void
send_msg(struct ctl *ctl, struct peer *p, struct peer_msg *msg, const struct peer_session_stamp *stamp)
{
	struct dp_datagram d = {.uplink = p->uplink,
		.to = p->addr,
		.from_port = PEER_MSG_PORT,
		.to_port = PEER_MSG_PORT,
		.hop_limit = 64};
	const struct key *key = find_key(p, stamp->key);

	if (!key)
		return;
	msg->key_id = (uint16_t)stamp->key;
	msg->session = stamp->session;
	msg->echo = stamp->echo;
	msg->seq = stamp->seq;
	d.len = (uint16_t)peer_msg_encode(msg, d.data);
	put_tag(d.data, d.len, key);
	if (dp_datagram_send(ctl->dp, &d, TOS_CS6))
		p->count.unsent++;
	else
		p->count.sent++;
}

static bool
send_data(struct ctl *ctl, struct peer *p, struct peer_msg *msg)
{
	struct peer_session_stamp stamp;

	if (!peer_session_send(&p->session, &stamp, ctl_now_ns()))
		return false;
	send_msg(ctl, p, msg, &stamp);
	return true;
}

// Clock.

static bool
is_tunnel_to(const struct ctl *ctl, const struct peer *p, const struct model_port *tunnel)
{
	const struct model_port *uplink =
		tunnel->cfg.type == DP_PORT_GENEVE ? model_port_find(ctl->live, tunnel->cfg.uplink) : NULL;

	return uplink && is_same_host(p, uplink->id, &tunnel->cfg.remote);
}

// What the datapath needs to know of the way to the peer. More than two reports a round trip would tell of the same.
static void
tell_path(struct ctl *ctl, const struct peer *p)
{
	uint64_t uncertainty_ns = UINT64_MAX, interval_ns = p->rtt_ns / 2;
	int64_t offset_ns = 0;

	if (!clock_offset_at(&p->clock, dp_tai_ns(ctl->dp), &offset_ns, &uncertainty_ns))
		uncertainty_ns = UINT64_MAX;
	if (interval_ns < FLOW_DELAY_INTERVAL_NS)
		interval_ns = FLOW_DELAY_INTERVAL_NS;
	if (interval_ns > REPORTS_MAX_INTERVAL_NS)
		interval_ns = REPORTS_MAX_INTERVAL_NS;
	for (unsigned i = 0; i < ctl->live->n_ports; i++) {
		const struct model_port *tunnel = ctl->live->ports[i];

		if (!is_tunnel_to(ctl, p, tunnel))
			continue;
		dp_tunnel_set_interval(ctl->dp, tunnel->id, interval_ns);
		if (tunnel->cfg.clock == DP_CLOCK_PEER)
			dp_tunnel_set_clock(ctl->dp, tunnel->id, offset_ns, uncertainty_ns);
	}
}

static void
ask_clock(struct ctl *ctl, struct peer *p, uint64_t now_ns)
{
	struct peer_msg msg = {.type = PEER_MSG_CLOCK_REQUEST};

	if (!peer_session_is_known(&p->session) || now_ns - p->asked_ns < ASK_CLOCK_NS)
		return;
	p->asked_ns = now_ns;
	p->asked_tai_ns = msg.t1_ns = dp_tai_ns(ctl->dp);
	(void)send_data(ctl, p, &msg);
}

static void
answer_clock(struct ctl *ctl, struct peer *p, const struct peer_msg *request, uint64_t received_ns)
{
	struct peer_msg msg = {.type = PEER_MSG_CLOCK_REPLY, .t1_ns = request->t1_ns, .t2_ns = received_ns};

	msg.t3_ns = dp_tai_ns(ctl->dp);
	(void)send_data(ctl, p, &msg);
}

static void
take_clock(struct ctl *ctl, struct peer *p, const struct peer_msg *msg, uint64_t received_ns)
{
	struct clock_offset_exchange x = {msg->t1_ns, msg->t2_ns, msg->t3_ns, received_ns};
	char addr[UNITS_TEXT_SIZE];
	enum clock_offset_result result;

	if (!p->asked_tai_ns || msg->t1_ns != p->asked_tai_ns)
		return;
	p->asked_tai_ns = 0;
	result = clock_offset_add(&p->clock, &x);
	if (result == CLOCK_OFFSET_STEPPED && p->clock.n_taken > 1) {
		p->count.steps++;
		log_about(LOG_LEVEL_INFO, LOG_ABOUT(NULL, {"PEER", units_format_prefix(&p->addr, addr)}),
			"peer %s: a clock was set", addr);
	}
	if (result != CLOCK_OFFSET_REFUSED)
		p->rtt_ns = received_ns - msg->t1_ns - (msg->t3_ns - msg->t2_ns);
	tell_path(ctl, p);
}

// Feedback, as its receiver.

static uint32_t
clamp32(uint64_t value)
{
	return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

static void
send_reports(struct ctl *ctl, struct peer *p, struct peer_msg *msg)
{
	if (msg->n_flows)
		(void)send_data(ctl, p, msg);
	msg->n_flows = 0;
}

// One message to each peer, or more when it is full. Reports that may not be sent, or that nobody waits for, are lost, as any
// may be.
void
peers_tell(struct ctl *ctl)
{
	static struct peer_msg msg; // of one peer at a time: reports of a peer come in runs
	struct peer *to = NULL;
	struct dp_report r;

	msg = (struct peer_msg){.type = PEER_MSG_FEEDBACK};
	for (unsigned i = 0; i < 4 * PEER_MSG_MAX_FLOWS && dp_report_next(ctl->dp, &r); i++) {
		const struct model_port *tunnel = r.tunnel < DP_MAX_PORTS ? ctl->live->port_by_id[r.tunnel] : NULL;
		const struct model_port *uplink = tunnel ? model_port_find(ctl->live, tunnel->cfg.uplink) : NULL;
		struct peer *p = uplink ? find(ctl, uplink->id, &tunnel->cfg.remote) : NULL;

		if (!p)
			continue;
		if (to && (to != p || msg.n_flows == PEER_MSG_MAX_FLOWS))
			send_reports(ctl, to, &msg);
		to = p;
		msg.flows[msg.n_flows++] = (struct peer_msg_flow){.flow = r.flow,
			.flags = r.report.flags,
			.packets = clamp32(r.report.received),
			.lost = clamp32(r.report.lost),
			.missed = clamp32(r.report.missed),
			.worst_over_ns = clamp32(r.report.worst_over_ns),
			.worst_network_ns = clamp32(r.report.worst_network_ns),
			.uncertainty_ns = clamp32(r.report.uncertainty_ns),
			.last_seq = r.report.last_seq};
	}
	if (to)
		send_reports(ctl, to, &msg);
}

// Feedback, as the sender of the packets.

// The DSCPs that a flow may climb: its own, then assured forwarding and expedited forwarding (RFC 2597, RFC 3246). The latter is
// for what keeps to a rate, so that a raise is no weapon: without a min_rate there is none.
static uint32_t
ladder_of(const struct ctl *ctl, const struct dp_port_cfg *cfg, uint8_t ret_steps[FEEDBACK_MAX_STEPS])
{
	static const uint8_t higher[] = {18, 26, 34, DSCP_EF}; // AF21, AF31, AF41
	struct dscp_table table;
	char wrong[DSCP_ERR_SIZE];
	uint8_t base = DSCP_KEEP;
	uint32_t n = 1;

	if (!dscp_parse(ctl->live->system.dscp_classes, &table, wrong))
		base = dscp_find(&table, cfg->deadline_ns);
	ret_steps[0] = base;
	for (unsigned i = 0; i < sizeof(higher); i++)
		if ((base == DSCP_KEEP || higher[i] > base) && (higher[i] != DSCP_EF || cfg->min_rate_bps))
			ret_steps[n++] = higher[i];
	// A controller may be further up than a ladder that has become shorter since.
	for (uint32_t i = n; i < FEEDBACK_MAX_STEPS; i++)
		ret_steps[i] = ret_steps[n - 1];
	return n;
}

struct answer {
	uint64_t deadline_ns;
	uint8_t dscp, excess; // DSCP_KEEP: the deadline's class
};

// Of all peers that a port sends to, the one in the greatest need counts.
static struct answer
answer_of(const struct ctl *ctl, const struct model_port *port)
{
	struct answer a = {.deadline_ns = port->cfg.deadline_ns, .dscp = DSCP_KEEP, .excess = DSCP_KEEP};
	uint8_t steps[FEEDBACK_MAX_STEPS];
	uint32_t step = 0;

	(void)ladder_of(ctl, &port->cfg, steps);
	for (const struct peer *p = ctl->peers.list; p; p = p->next) {
		const struct feedback *f = p->flow[port->id];

		if (!f || f->params.mode != FEEDBACK_ACT)
			continue;
		a.deadline_ns = f->deadline_ns < a.deadline_ns ? f->deadline_ns : a.deadline_ns;
		step = f->step > step ? f->step : step;
	}
	if (step) {
		a.dscp = steps[step];
		a.excess = a.dscp == DSCP_EF ? steps[step - 1] : a.dscp;
	}
	return a;
}

static void
apply(struct ctl *ctl, const struct model_port *port)
{
	struct answer a = answer_of(ctl, port);

	if (dp_port_set_answer(
		    ctl->dp, port->id, a.deadline_ns == port->cfg.deadline_ns ? 0 : a.deadline_ns, a.dscp, a.excess))
		log_about(LOG_LEVEL_WARNING, LOG_ABOUT(NULL, {"PORT", port->cfg.name}, {"DOMAIN", port->cfg.domain}),
			"port %s: no memory to answer feedback", port->cfg.name);
}

uint8_t
peers_dscp(const struct ctl *ctl, const struct model_port *port)
{
	struct answer a = answer_of(ctl, port);
	uint8_t steps[FEEDBACK_MAX_STEPS];

	(void)ladder_of(ctl, &port->cfg, steps);
	return a.dscp == DSCP_KEEP ? steps[0] : a.dscp;
}

bool
peers_clock(const struct ctl *ctl, unsigned uplink, const struct prefix *addr, int64_t *ret_offset_ns)
{
	const struct peer *p = find(ctl, uplink, addr);
	uint64_t uncertainty_ns;

	return p && clock_offset_at(&p->clock, dp_tai_ns(ctl->dp), ret_offset_ns, &uncertainty_ns);
}

// A tunnel to the peer through which the port's packets go.
static const struct model_port *
tunnel_for(const struct ctl *ctl, const struct peer *p, const struct model_port *port)
{
	for (unsigned i = 0; i < ctl->live->n_ports; i++) {
		const struct model_port *tunnel = ctl->live->ports[i];

		if (!strcmp(tunnel->cfg.bridge, port->cfg.bridge) && is_tunnel_to(ctl, p, tunnel))
			return tunnel;
	}
	return NULL;
}

// As results show it; -1: its packets keep their own.
static int
step_dscp(const struct model_port *tunnel, uint8_t dscp)
{
	return tunnel->cfg.dscp == DP_DSCP_DEADLINE && dscp != DSCP_KEEP ? dscp : -1;
}

// Of the steps of the controller those that an operator acts upon: nothing is left to do here, and all is well again.
static void
log_feedback(struct ctl *ctl, const struct peer *p, const struct model_port *port, enum feedback_event event)
{
	char addr[UNITS_TEXT_SIZE];
	const char *peer = units_format_prefix(&p->addr, addr);

	if (event == FEEDBACK_ESCALATED)
		events_log(ctl, port->id, LOG_LEVEL_WARNING,
			LOG_ABOUT(LOG_ID_FLOW_ESCALATED, {"PORT", port->cfg.name}, {"DOMAIN", port->cfg.domain},
				{"PEER", peer}),
			"port %s: its packets are late at peer %s, and nothing is left to do here", port->cfg.name,
			peer);
	else if (event == FEEDBACK_RECOVERED)
		events_log(ctl, port->id, LOG_LEVEL_INFO,
			LOG_ABOUT(LOG_ID_FLOW_RECOVERED, {"PORT", port->cfg.name}, {"DOMAIN", port->cfg.domain},
				{"PEER", peer}),
			"port %s: its packets are in time at peer %s again", port->cfg.name, peer);
}

static void
on_feedback(struct ctl *ctl, const struct peer *p, const struct model_port *port, enum feedback_event event)
{
	static const char *const names[FEEDBACK_EVENTS] = {
		NULL, "flow.shortened", "flow.raised", "flow.escalated", "flow.relaxed", "flow.recovered"};
	const struct model_port *tunnel = tunnel_for(ctl, p, port);
	const struct model_port *uplink = ctl->live->port_by_id[p->uplink];
	const struct feedback *f = p->flow[port->id];
	uint8_t steps[FEEDBACK_MAX_STEPS];
	char addr[UNITS_TEXT_SIZE], own[UNITS_TEXT_SIZE];

	if (event == FEEDBACK_NONE || !tunnel || !uplink)
		return;
	apply(ctl, port);
	(void)ladder_of(ctl, &port->cfg, steps);
	log_feedback(ctl, p, port, event);
	events_emit(ctl, names[event],
		json_pack("{s:s, s:s, s:s, s:I, s:s, s:I, s:I, s:i, s:i, s:I, s:I, s:I}", "port", port->cfg.name,
			"peer", units_format_prefix(&p->addr, addr), "tunnel", tunnel->cfg.name, "vni",
			(json_int_t)tunnel->cfg.vni, "address", units_format_prefix(&uplink->cfg.address, own),
			"deadline_ns", (json_int_t)port->cfg.deadline_ns, "scheduling_deadline_ns",
			(json_int_t)f->deadline_ns, "step", (int)f->step, "dscp", step_dscp(tunnel, steps[f->step]),
			"missed", (json_int_t)f->last.missed, "worst_over_ns", (json_int_t)f->last.worst_over_ns,
			"worst_network_ns", (json_int_t)f->last.worst_network_ns));
}

// The controller of a port's packets to a peer, as the port is configured. NULL: there is nothing to control.
static struct feedback *
controller(struct ctl *ctl, struct peer *p, const struct model_port *port)
{
	struct feedback **f = &p->flow[port->id];
	uint8_t steps[FEEDBACK_MAX_STEPS];
	uint32_t n = ladder_of(ctl, &port->cfg, steps);
	const struct model_port *tunnel;
	struct feedback_params params;
	bool is_new;

	if (!port->cfg.deadline_ns)
		return NULL;
	if (*f && (*f)->params.deadline_ns == port->cfg.deadline_ns && (*f)->params.n_steps == n &&
		(uint32_t)(*f)->params.mode == port->cfg.feedback)
		return *f;
	is_new = !*f;
	if (is_new)
		*f = calloc(1, sizeof(**f));
	if (!*f)
		return NULL;
	params = feedback_params_default(port->cfg.deadline_ns, n);
	params.mode = (enum feedback_mode)port->cfg.feedback;
	feedback_init(*f, &params, ctl_now_ns());
	tunnel = tunnel_for(ctl, p, port);
	if (!is_new && tunnel)
		feedback_ignore_until(*f, dp_flow_seq(ctl->dp, tunnel->id, port->id), ctl_now_ns());
	apply(ctl, port);
	return *f;
}

static void
take_report(struct ctl *ctl, struct peer *p, const struct peer_msg_flow *r)
{
	const struct model_port *port = r->flow < DP_MAX_PORTS ? ctl->live->port_by_id[r->flow] : NULL;
	const struct model_port *tunnel = port ? tunnel_for(ctl, p, port) : NULL;
	struct feedback *f = tunnel ? controller(ctl, p, port) : NULL;
	struct flow_delay_report report = {.received = r->packets,
		.lost = r->lost,
		.missed = r->missed,
		.worst_over_ns = r->worst_over_ns,
		.worst_network_ns = r->worst_network_ns,
		.uncertainty_ns = r->uncertainty_ns,
		.last_seq = r->last_seq,
		.flags = r->flags};
	struct feedback_path path = {.rtt_ns = p->rtt_ns};

	p->count.reports++;
	if (!f)
		return;
	path.sent_seq = dp_flow_seq(ctl->dp, tunnel->id, port->id);
	path.floor_ns = r->missed ? admit_floor_ns(ctl->live, &port->cfg) : 0;
	on_feedback(ctl, p, port, feedback_report(f, &report, &path, ctl_now_ns()));
}

static void
poll_controllers(struct ctl *ctl, struct peer *p)
{
	for (unsigned i = 0; i < DP_MAX_PORTS; i++) {
		const struct model_port *port = ctl->live->port_by_id[i];

		if (!p->flow[i])
			continue;
		if (port && controller(ctl, p, port) == p->flow[i]) {
			on_feedback(ctl, p, port, feedback_poll(p->flow[i], ctl_now_ns()));
			continue;
		}
		// The port went, or has no deadline any more.
		free(p->flow[i]);
		p->flow[i] = NULL;
		if (port)
			apply(ctl, port);
	}
}

static void
receive_known(struct ctl *ctl, struct peer *p, const struct peer_msg *msg, uint64_t received_ns)
{
	switch (msg->type) {
	case PEER_MSG_CLOCK_REQUEST:
		answer_clock(ctl, p, msg, received_ns);
		break;
	case PEER_MSG_CLOCK_REPLY:
		take_clock(ctl, p, msg, received_ns);
		break;
	case PEER_MSG_FEEDBACK:
		for (uint32_t i = 0; i < msg->n_flows; i++)
			take_report(ctl, p, &msg->flows[i]);
		break;
	case PEER_MSG_HELLO:
		break;
	}
}

static void
greet(struct ctl *ctl, struct peer *p)
{
	struct peer_msg msg = {.type = PEER_MSG_HELLO};
	struct peer_session_stamp stamp;

	if (peer_session_hello(&p->session, &stamp, ctl_now_ns()))
		send_msg(ctl, p, &msg, &stamp);
}

void
peers_receive(struct ctl *ctl, const struct dp_datagram *d)
{
	static struct peer_msg msg;
	struct peer *p = find(ctl, d->uplink, &d->from);
	const struct key *key;

	if (!p) {
		ctl->peers.n_strangers++;
		return;
	}
	if (peer_msg_decode(d->data, d->len, &msg)) {
		p->count.malformed++;
		return;
	}
	key = peer_session_has_key(&p->session, msg.key_id) ? find_key(p, msg.key_id) : NULL;
	if (!key) {
		p->count.unknown_key++;
		return;
	}
	if (!has_right_tag(d->data, d->len, key)) {
		p->count.forged++;
		return;
	}
	if (peer_session_receive(&p->session,
		    &(struct peer_session_stamp){
			    .session = msg.session, .echo = msg.echo, .seq = msg.seq, .key = msg.key_id},
		    ctl_now_ns()) == PEER_SESSION_ACCEPTED)
		receive_known(ctl, p, &msg, d->time_ns);
	greet(ctl, p);
}

// Life.

void
peers_turn(struct ctl *ctl)
{
	for (struct peer *p = ctl->peers.list; p; p = p->next) {
		greet(ctl, p);
		tell_path(ctl, p);
		poll_controllers(ctl, p);
	}
}

void
peers_ask_clocks(struct ctl *ctl)
{
	for (struct peer *p = ctl->peers.list; p; p = p->next)
		ask_clock(ctl, p, ctl_now_ns());
}

static void
peer_destroy(struct peer *p)
{
	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		free(p->flow[i]);
	sodium_memzero(p->key, sizeof(p->key));
	free(p);
}

static void
set_keys(struct peer *p, const char *path, uint64_t now_ns)
{
	uint32_t ids[PEER_SESSION_MAX_KEYS], n = 0;
	struct key keys[PEER_SESSION_MAX_KEYS];
	char err[DP_ERR_SIZE];
	uint64_t own;

	if (read_keys(path, keys, &n, err)) {
		log_warning("%s; the keys stay as they are", err);
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		ids[i] = keys[i].id;
	memcpy(p->key, keys, n * sizeof(keys[0]));
	sodium_memzero(keys, sizeof(keys));
	(void)snprintf(p->key_file, sizeof(p->key_file), "%s", path);
	if (p->n_keys) {
		(void)peer_session_set_keys(&p->session, ids, n);
	} else {
		do
			randombytes_buf(&own, sizeof(own));
		while (!own);
		(void)peer_session_init(&p->session, own, ids, n, now_ns);
	}
	p->n_keys = n;
}

static void
want(struct ctl *ctl, unsigned uplink, const struct dp_port_cfg *tunnel)
{
	struct peer *p = find(ctl, uplink, &tunnel->remote);

	if (p && p->is_wanted)
		return;
	if (!p) {
		p = calloc(1, sizeof(*p));
		if (!p)
			return;
		p->uplink = uplink;
		p->addr = tunnel->remote;
		p->rtt_ns = RTT_UNKNOWN_NS;
		clock_offset_init(&p->clock);
		p->next = ctl->peers.list;
		ctl->peers.list = p;
	}
	p->is_wanted = true;
	if (!p->n_keys || strcmp(p->key_file, tunnel->key_file))
		set_keys(p, tunnel->key_file, ctl_now_ns());
}

bool
peers_sync(struct ctl *ctl)
{
	struct peer **at = &ctl->peers.list;
	bool has_tunnels = false;

	for (struct peer *p = ctl->peers.list; p; p = p->next)
		p->is_wanted = false;
	for (unsigned i = 0; i < ctl->live->n_ports; i++) {
		const struct dp_port_cfg *cfg = &ctl->live->ports[i]->cfg;
		const struct model_port *uplink = cfg->key_file[0] ? model_port_find(ctl->live, cfg->uplink) : NULL;

		has_tunnels |= cfg->type == DP_PORT_GENEVE;
		if (uplink)
			want(ctl, uplink->id, cfg);
	}
	while (*at) {
		struct peer *p = *at;

		if (p->is_wanted && p->n_keys) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		peer_destroy(p);
	}
	return has_tunnels;
}

void
peers_reload(struct ctl *ctl)
{
	(void)peers_sync(ctl); // keys that could not be read when their tunnel came
	for (struct peer *p = ctl->peers.list; p; p = p->next)
		set_keys(p, p->key_file, ctl_now_ns());
}

void
peers_fini(struct ctl *ctl)
{
	while (ctl->peers.list) {
		struct peer *p = ctl->peers.list;

		ctl->peers.list = p->next;
		peer_destroy(p);
	}
}

static json_t *
flows_json(const struct ctl *ctl, const struct peer *p)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < DP_MAX_PORTS; i++) {
		const struct feedback *f = p->flow[i];
		const struct model_port *port = ctl->live->port_by_id[i], *tunnel;
		uint8_t steps[FEEDBACK_MAX_STEPS];
		char deadline[UNITS_TEXT_SIZE];

		if (!f || !port)
			continue;
		tunnel = tunnel_for(ctl, p, port);
		(void)ladder_of(ctl, &port->cfg, steps);
		(void)json_array_append_new(list,
			json_pack("{s:s, s:s, s:i, s:i, s:b, s:I, s:I, s:I, s:I, s:I}", "port", port->cfg.name,
				"scheduling_deadline", units_format_time(f->deadline_ns, deadline), "step",
				(int)f->step, "dscp", tunnel ? step_dscp(tunnel, steps[f->step]) : -1, "escalated",
				f->is_escalated, "reports", (json_int_t)f->stats.reports, "missed",
				(json_int_t)f->stats.missed, "shortened",
				(json_int_t)f->stats.events[FEEDBACK_SHORTENED], "raised",
				(json_int_t)f->stats.events[FEEDBACK_RAISED], "recovered",
				(json_int_t)f->stats.events[FEEDBACK_RECOVERED]));
	}
	return list;
}

json_t *
peers_json(const struct ctl *ctl)
{
	json_t *list = json_array();

	for (const struct peer *p = ctl->peers.list; p; p = p->next) {
		const struct model_port *uplink = ctl->live->port_by_id[p->uplink];
		const uint64_t *verdicts = p->session.n_received;
		char addr[UNITS_TEXT_SIZE];
		uint64_t uncertainty_ns = 0;
		int64_t offset_ns = 0;
		bool is_clock_known = clock_offset_at(&p->clock, dp_tai_ns(ctl->dp), &offset_ns, &uncertainty_ns);

		(void)json_array_append_new(list,
			json_pack("{s:s, s:s, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
				  "s:I, s:I, s:o}",
				"uplink", uplink ? uplink->cfg.name : "", "address",
				units_format_prefix(&p->addr, addr), "known", peer_session_is_known(&p->session),
				"clock_known", is_clock_known, "offset_ns", (json_int_t)offset_ns, "uncertainty_ns",
				(json_int_t)uncertainty_ns, "rtt_ns", (json_int_t)p->rtt_ns, "clock_steps",
				(json_int_t)p->count.steps, "sent", (json_int_t)p->count.sent, "unsent",
				(json_int_t)p->count.unsent, "accepted", (json_int_t)verdicts[PEER_SESSION_ACCEPTED],
				"replayed",
				(json_int_t)(verdicts[PEER_SESSION_REPLAYED] + verdicts[PEER_SESSION_STALE]),
				"elsewhere", (json_int_t)verdicts[PEER_SESSION_ELSEWHERE], "limited",
				(json_int_t)verdicts[PEER_SESSION_LIMITED], "malformed", (json_int_t)p->count.malformed,
				"unknown_key", (json_int_t)p->count.unknown_key, "forged", (json_int_t)p->count.forged,
				"reports", (json_int_t)p->count.reports, "flows", flows_json(ctl, p)));
	}
	return list;
}
