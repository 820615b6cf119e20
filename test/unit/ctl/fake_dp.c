// Keeps the configuration and checks it as the datapath does: names that must exist, limits. Every
// change counts, and any one of them can be made to fail.
// Invariant: a call that fails changed nothing.
#include "fake_dp.h"

#include "bridge_params.h"
#include "rtvs/dp_eswitch.h"
#include "rtvs/dp_rules.h"
#include "rtvs/flow_table.h"
#include "rtvs/flow_text.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAX_EVENTS 64
#define MAX_PKTS 64

const char *const dp_idle_names[] = {"busy", "adaptive", NULL};
const char *const dp_priority_names[] = {"normal", "nice", "fifo", NULL};
const char *const dp_vhost_mode_names[] = {"listen", "connect", NULL};
const char *const dp_vlan_mode_names[] = {"access", "trunk", NULL};
const char *const dp_clock_names[] = {"system", "peer", NULL};
const char *const dp_feedback_names[] = {"off", "measure", "act", NULL};
const char *const dp_late_names[] = {"send", "drop", NULL};
const char *const dp_dscp_names[] = {"keep", "deadline", NULL};
const char *const dp_mirror_dir_names[] = {"none", "rx", "tx", "both", NULL};

struct fake_port {
	bool is_used, is_capturing;
	struct dp_port_cfg cfg;
	struct dp_port_state state;
	struct dp_port_stats stats;
	struct dp_capture_pkt pkts[MAX_PKTS];
	unsigned first_pkt, n_pkts;
	uint32_t trace_rate, n_traced; // rate 0: not traced
	struct dp_rule_change *rules[DP_RULES_N]; // DP_MAX_RULES, by slot; NULL: none
	struct dp_eswitch_cfg eswitch; // of a PF; n_vfs 0: none
};

struct fake_bridge {
	bool is_used;
	struct dp_bridge_cfg cfg;
	struct dp_mac macs[DP_MAX_STATIC_MACS];
	unsigned n_macs;
};

// What one port sends to another.
struct fake_pair {
	struct fake_pair *next;
	unsigned from;
	bool has_flow;
	struct dp_sender flow;
	uint64_t held_ns; // of `from`, by `out`
};

struct dp {
	struct dp_system_cfg system;
	struct fake_port ports[DP_MAX_PORTS];
	struct fake_pair *pairs[DP_MAX_PORTS]; // of what `out` sends, in no order
	struct fake_bridge bridges[DP_MAX_BRIDGES];
	struct dp_worker_stats workers[2];
	struct dp_event events[MAX_EVENTS];
	struct dp_datagram datagrams[4], sent;
	unsigned n_datagrams, n_answers;
	unsigned n_events;
	int event_fd;
	unsigned n_changes, fail_at;
	int fail_rc;
	struct {
		char name[RTVS_NAME_SIZE];
		unsigned n;
	} port_changes[DP_MAX_PORTS];
};

static struct dp *fake; // of this process
static const char *lost_device;

static int
refuse(int rc, char *err, const char *text)
{
	if (err)
		(void)snprintf(err, DP_ERR_SIZE, "fake: %s", text);
	return rc;
}

// One change is about to happen; the injected failure, or 0.
static int
change(char *err)
{
	if (++fake->n_changes == fake->fail_at)
		return refuse(fake->fail_rc, err, "injected failure");
	return 0;
}

static void
count_port(const char *name)
{
	unsigned i = 0;

	while (fake->port_changes[i].name[0] && strcmp(fake->port_changes[i].name, name) != 0)
		i++;
	(void)snprintf(fake->port_changes[i].name, RTVS_NAME_SIZE, "%s", name);
	fake->port_changes[i].n++;
}

void
fake_dp_lose(const char *devargs)
{
	lost_device = devargs;
}

unsigned
fake_dp_fail(unsigned n, int rc)
{
	fake->fail_at = n ? fake->n_changes + n : 0;
	fake->fail_rc = rc;
	return fake->n_changes;
}

unsigned
fake_dp_n_changes(void)
{
	return fake->n_changes;
}

unsigned
fake_dp_n_port_changes(const char *name)
{
	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		if (strcmp(fake->port_changes[i].name, name) == 0)
			return fake->port_changes[i].n;
	return 0;
}

static int
find_bridge(const char *name)
{
	for (int i = 0; i < DP_MAX_BRIDGES; i++)
		if (fake->bridges[i].is_used && strcmp(fake->bridges[i].cfg.name, name) == 0)
			return i;
	return -1;
}

static int
find_port(const char *name)
{
	for (int i = 0; i < DP_MAX_PORTS; i++)
		if (fake->ports[i].is_used && strcmp(fake->ports[i].cfg.name, name) == 0)
			return i;
	return -1;
}

// NULL: there is none.
static struct fake_port *
port_at(const struct dp *dp, unsigned id)
{
	return id < DP_MAX_PORTS && dp->ports[id].is_used ? &fake->ports[id] : NULL;
}

static struct fake_bridge *
bridge_at(const struct dp *dp, unsigned id)
{
	return id < DP_MAX_BRIDGES && dp->bridges[id].is_used ? &fake->bridges[id] : NULL;
}

int
dp_init(const struct dp_system_cfg *cfg, struct dp **ret_dp, char err[DP_ERR_SIZE])
{
	if (fake)
		return refuse(-EBUSY, err, "second dp_init");
	if (strcmp(cfg->eal, "nonsense") == 0)
		return refuse(-EINVAL, err, "eal: nonsense");
	fake = calloc(1, sizeof(*fake));
	if (!fake)
		return -ENOMEM;
	fake->system = *cfg;
	fake->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	for (unsigned i = 0; i < 2; i++) {
		fake->workers[i].cpu = (uint16_t)i;
		fake->workers[i].priority = cfg->worker_priority;
		hist_init(&fake->workers[i].stalls);
	}
	*ret_dp = fake;
	return 0;
}

static void
forget_flows(struct dp *dp, unsigned out)
{
	for (struct fake_pair *pair; (pair = dp->pairs[out]);) {
		dp->pairs[out] = pair->next;
		free(pair);
	}
}

static struct fake_pair *
find_pair(const struct dp *dp, unsigned out, unsigned from)
{
	struct fake_pair *pair = out < DP_MAX_PORTS ? dp->pairs[out] : NULL;

	while (pair && pair->from != from)
		pair = pair->next;
	return pair;
}

static struct fake_pair *
make_pair(struct dp *dp, unsigned out, unsigned from)
{
	struct fake_pair *pair = find_pair(dp, out, from);

	if (pair)
		return pair;
	pair = calloc(1, sizeof(*pair));
	if (!pair)
		abort();
	*pair = (struct fake_pair){.next = dp->pairs[out], .from = from, .flow.port = from};
	return dp->pairs[out] = pair;
}

static void
forget_rules(struct fake_port *port)
{
	for (unsigned of = 0; of < DP_RULES_N; of++) {
		free(port->rules[of]);
		port->rules[of] = NULL;
	}
}

void
dp_fini(struct dp *dp)
{
	if (!dp)
		return;
	for (unsigned i = 0; i < DP_MAX_PORTS; i++) {
		dp_capture_stop(dp, i, &(uint64_t){0});
		forget_flows(dp, i);
		forget_rules(&dp->ports[i]);
	}
	close(dp->event_fd);
	free(dp);
	fake = NULL;
}

int
dp_system_set(struct dp *dp, const struct dp_system_cfg *cfg, char err[DP_ERR_SIZE])
{
	int rc = change(err);

	if (rc < 0)
		return rc;
	dp->system.idle = cfg->idle;
	dp->system.idle_ns = cfg->idle_ns;
	memcpy(dp->system.dscp_classes, cfg->dscp_classes, sizeof(dp->system.dscp_classes));
	return 0;
}

void
dp_system_info(const struct dp *dp, struct dp_system_info *ret_info)
{
	*ret_info = (struct dp_system_info){.dpdk_version = "fake", .page_size = 4096, .n_mbufs = dp->system.n_mbufs};
}

void
dp_give_fd(struct dp *dp, const char *name, int fd)
{
	(void)dp;
	(void)name;
	close(fd);
}

void
dp_housekeeping(struct dp *dp)
{
	dp->workers[0].turns++;
}

int
dp_event_fd(const struct dp *dp)
{
	return dp->event_fd;
}

bool
dp_event_next(struct dp *dp, struct dp_event *ret_event)
{
	eventfd_t n;

	if (dp->n_events == 0) {
		(void)eventfd_read(dp->event_fd, &n);
		return false;
	}
	*ret_event = dp->events[0];
	dp->n_events--;
	memmove(dp->events, dp->events + 1, dp->n_events * sizeof(dp->events[0]));
	return true;
}

void
fake_dp_event(const struct dp_event *event)
{
	if (fake->n_events < MAX_EVENTS)
		fake->events[fake->n_events++] = *event;
	(void)eventfd_write(fake->event_fd, 1);
}

int
dp_bridge_add(struct dp *dp, const struct dp_bridge_cfg *cfg, unsigned *ret_id, char err[DP_ERR_SIZE])
{
	int rc = change(err);

	if (rc < 0)
		return rc;
	if (find_bridge(cfg->name) >= 0)
		return refuse(-EEXIST, err, "bridge exists");
	for (unsigned i = 0; i < DP_MAX_BRIDGES; i++) {
		if (dp->bridges[i].is_used)
			continue;
		dp->bridges[i] = (struct fake_bridge){.is_used = true, .cfg = *cfg};
		*ret_id = i;
		return 0;
	}
	return refuse(-ENOSPC, err, "bridges");
}

int
dp_bridge_set(struct dp *dp, unsigned id, const struct dp_bridge_cfg *cfg, char err[DP_ERR_SIZE])
{
	int rc = bridge_at(dp, id) ? change(err) : -ENOENT;

	if (rc == 0)
		dp->bridges[id].cfg = *cfg;
	return rc;
}

int
dp_bridge_del(struct dp *dp, unsigned id)
{
	int rc = bridge_at(dp, id) ? change(NULL) : -ENOENT;

	for (unsigned i = 0; i < DP_MAX_PORTS && rc == 0; i++)
		if (dp->ports[i].is_used && strcmp(dp->ports[i].cfg.bridge, dp->bridges[id].cfg.name) == 0)
			rc = -EBUSY;
	if (rc == 0)
		dp->bridges[id].is_used = false;
	return rc;
}

uint32_t
dp_bridge_n_macs(const struct dp *dp, unsigned id)
{
	return bridge_at(dp, id) ? dp->bridges[id].n_macs : 0;
}

uint64_t
dp_bridge_n_moves(const struct dp *dp, unsigned id)
{
	return bridge_at(dp, id) ? 7 : 0;
}

int
dp_mac_add(struct dp *dp, unsigned bridge, const struct mac *mac, uint16_t vlan, unsigned port, char err[DP_ERR_SIZE])
{
	struct fake_bridge *b = bridge_at(dp, bridge);
	int rc = b && port_at(dp, port) ? change(err) : -ENOENT;

	if (rc < 0)
		return rc;
	if (b->n_macs == DP_MAX_STATIC_MACS)
		return refuse(-ENOSPC, err, "macs");
	b->macs[b->n_macs++] = (struct dp_mac){.mac = *mac, .vlan = vlan, .port = port, .is_static = true};
	return 0;
}

int
dp_mac_del(struct dp *dp, unsigned bridge, const struct mac *mac, uint16_t vlan)
{
	struct fake_bridge *b = bridge_at(dp, bridge);
	int rc = b ? change(NULL) : -ENOENT;

	for (unsigned i = 0; rc == 0 && i < b->n_macs; i++) {
		if (b->macs[i].vlan != vlan || memcmp(&b->macs[i].mac, mac, sizeof(*mac)) != 0)
			continue;
		b->macs[i] = b->macs[--b->n_macs];
		return 0;
	}
	return rc < 0 ? rc : -ENOENT;
}

// Static MACs of a port that leaves.
static void
forget_port(struct dp *dp, unsigned port)
{
	for (unsigned i = 0; i < DP_MAX_BRIDGES; i++) {
		struct fake_bridge *b = &dp->bridges[i];
		for (unsigned k = b->n_macs; k-- > 0;)
			if (b->macs[k].port == port)
				b->macs[k] = b->macs[--b->n_macs];
	}
}

unsigned
dp_mac_flush(struct dp *dp, unsigned bridge)
{
	(void)dp;
	(void)bridge;
	return 3;
}

unsigned
dp_mac_list(const struct dp *dp, unsigned bridge, uint32_t *pos, struct dp_mac *ret_macs, unsigned max)
{
	const struct fake_bridge *b = bridge_at(dp, bridge);
	unsigned n = 0;

	for (; b && n < max && *pos < b->n_macs; n++)
		ret_macs[n] = b->macs[(*pos)++];
	return n;
}

// self: its number, -1: a further one.
static int
check_port(int self, const struct dp_port_cfg *cfg, char *err)
{
	for (int i = 0; i < DP_MAX_PORTS; i++) {
		const struct dp_port_cfg *other = &fake->ports[i].cfg;
		if (!fake->ports[i].is_used || i == self)
			continue;
		if ((cfg->socket[0] && strcmp(cfg->socket, other->socket) == 0) ||
			(cfg->devargs[0] && strcmp(cfg->devargs, other->devargs) == 0))
			return refuse(-EEXIST, err, "socket or device in use");
		if (self >= 0 && strcmp(other->uplink, cfg->name) == 0 &&
			(memcmp(&cfg->address, &fake->ports[self].cfg.address, sizeof(cfg->address)) != 0 ||
				cfg->vlan != fake->ports[self].cfg.vlan || cfg->mtu < fake->ports[self].cfg.mtu))
			return refuse(-EBUSY, err, "a tunnel goes through");
	}
	if (cfg->bridge[0] && find_bridge(cfg->bridge) < 0)
		return refuse(-ENOENT, err, "bridge");
	return 0;
}

int
dp_port_add(struct dp *dp, const struct dp_port_cfg *cfg, unsigned *ret_id, char err[DP_ERR_SIZE])
{
	int rc = change(err);

	if (rc == 0)
		rc = check_port(-1, cfg, err);
	if (rc == 0 && lost_device && strcmp(cfg->devargs, lost_device) == 0)
		rc = refuse(-ENODEV, err, "devargs: it is gone");
	if (rc < 0)
		return rc;
	if (find_port(cfg->name) >= 0)
		return refuse(-EEXIST, err, "port exists");
	for (unsigned i = 0; i < DP_MAX_PORTS; i++) {
		if (dp->ports[i].is_used)
			continue;
		dp->ports[i] = (struct fake_port){.is_used = true, .cfg = *cfg, .state = {.mtu = cfg->mtu}};
		*ret_id = i;
		count_port(cfg->name);
		return 0;
	}
	return refuse(-ENOSPC, err, "ports");
}

int
dp_port_set(struct dp *dp, unsigned id, const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE])
{
	struct dp_port_cfg *old;
	int rc = port_at(dp, id) ? change(err) : -ENOENT;

	if (rc == 0)
		rc = check_port((int)id, cfg, err);
	if (rc < 0)
		return rc;
	old = &dp->ports[id].cfg;
	assert(!strcmp(old->name, cfg->name) && old->type == cfg->type);
	if (strcmp(old->bridge, cfg->bridge) != 0)
		forget_port(dp, id);
	*old = *cfg;
	dp->ports[id].state.mtu = cfg->mtu;
	count_port(cfg->name);
	return 0;
}

int
dp_port_check_segment(const char *path, char err[DP_ERR_SIZE])
{
	return strcmp(path, FAKE_BAD_SEGMENT) ? 0 : refuse(-EINVAL, err, "no segment");
}

unsigned
dp_port_device_stats(const struct dp *dp, unsigned id, struct dp_device_stat *ret_stats, unsigned max)
{
	(void)dp;
	(void)id;
	(void)ret_stats;
	(void)max;
	return 0;
}

int
dp_port_move(struct dp *dp, unsigned id, uint64_t for_ns)
{
	(void)dp;
	(void)for_ns;
	return id < DP_MAX_PORTS ? 0 : -ENOENT;
}

int
dp_port_del(struct dp *dp, unsigned id)
{
	int rc = port_at(dp, id) ? change(NULL) : -ENOENT;

	if (rc < 0)
		return rc;
	dp_capture_stop(dp, id, &(uint64_t){0});
	forget_port(dp, id);
	forget_flows(dp, id);
	forget_rules(&dp->ports[id]);
	count_port(dp->ports[id].cfg.name);
	dp->ports[id].is_used = false;
	return 0;
}

static bool
is_same_rule(const struct dp_rule_change *a, const struct dp_rule_change *b)
{
	const struct flow_rule *x = &a->entry.rule, *y = &b->entry.rule;

	return a->is_there && b->is_there && x->priority == y->priority && !memcmp(&x->key, &y->key, sizeof(x->key)) &&
		!memcmp(&x->mask, &y->mask, sizeof(x->mask));
}

// As the datapath refuses them. slot: of one that comes.
static int
check_match(const struct dp_rule_change *rules, uint32_t slot, char err[DP_ERR_SIZE])
{
	for (uint32_t i = 0; i < DP_MAX_RULES; i++)
		if (i != slot && is_same_rule(&rules[i], &rules[slot])) {
			(void)snprintf(err, DP_ERR_SIZE, "rule %u: another rule has this match and priority", slot);
			return -EEXIST;
		}
	return 0;
}

static int
check_masks(const struct dp_rule_change *rules, char err[DP_ERR_SIZE])
{
	const struct flow_key *masks[FLOW_TABLE_MASKS_MAX], *mask;
	unsigned n = 0, k;

	for (uint32_t i = 0; i < DP_MAX_RULES; i++) {
		mask = &rules[i].entry.rule.mask;
		for (k = 0; k < n && memcmp(masks[k], mask, sizeof(*mask)) != 0; k++)
			;
		if (!rules[i].is_there || k < n)
			continue;
		if (n == FLOW_TABLE_MASKS_MAX) {
			(void)snprintf(err, DP_ERR_SIZE, "rule %u: too many masks", i);
			return -EMLINK;
		}
		masks[n++] = mask;
	}
	return 0;
}

int
dp_rules_change(struct dp *dp, unsigned id, enum dp_rules_of of, const struct dp_rule_change *changes, unsigned n,
	char err[DP_ERR_SIZE])
{
	struct dp_rule_change *rules = NULL;
	int rc = port_at(dp, id) ? change(err) : -ENOENT;

	if (rc < 0)
		return rc;
	rules = calloc(DP_MAX_RULES, sizeof(*rules));
	assert(rules);
	if (dp->ports[id].rules[of])
		memcpy(rules, dp->ports[id].rules[of], DP_MAX_RULES * sizeof(*rules));
	for (unsigned i = 0; i < n; i++) {
		assert(changes[i].entry.rule.slot < DP_MAX_RULES);
		rules[changes[i].entry.rule.slot] = changes[i];
	}
	rc = check_masks(rules, err);
	for (unsigned i = 0; !rc && i < n; i++)
		rc = check_match(rules, changes[i].entry.rule.slot, err);
	if (rc < 0) {
		free(rules);
		return rc;
	}
	count_port(dp->ports[id].cfg.name);
	free(dp->ports[id].rules[of]);
	dp->ports[id].rules[of] = rules;
	return 0;
}

int
dp_eswitch_set(struct dp *dp, const struct dp_eswitch_cfg *cfg, char err[DP_ERR_SIZE])
{
	int rc = port_at(dp, cfg->pf) && port_at(dp, cfg->uplink) ? change(err) : -ENOENT;

	if (rc < 0)
		return rc;
	dp->ports[cfg->pf].eswitch = *cfg;
	return 0;
}

int
dp_eswitch_clear(struct dp *dp, unsigned pf)
{
	struct dp_eswitch_cfg *cfg = port_at(dp, pf) ? &dp->ports[pf].eswitch : NULL;
	int rc = cfg && cfg->n_vfs ? change(NULL) : -ENOENT;

	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < cfg->n_vfs + 1; i++) {
		struct fake_port *port = &dp->ports[i ? cfg->vf[i - 1] : cfg->uplink];

		free(port->rules[DP_RULES_GUEST]);
		port->rules[DP_RULES_GUEST] = NULL;
	}
	*cfg = (struct dp_eswitch_cfg){0};
	return 0;
}

int
dp_rule_stats(const struct dp *dp, unsigned id, enum dp_rules_of of, uint32_t slot, struct dp_rule_stats *ret_stats)
{
	(void)of;
	*ret_stats = (struct dp_rule_stats){.packets = slot + 1, .bytes = 100 * (slot + 1)};
	return port_at(dp, id) ? 0 : -ENOENT;
}

int
dp_port_state(const struct dp *dp, unsigned id, struct dp_port_state *ret_state)
{
	if (!port_at(dp, id))
		return -ENOENT;
	*ret_state = dp->ports[id].state;
	return 0;
}

int
dp_stats_refresh(struct dp *dp)
{
	(void)dp;
	return 0;
}

int
dp_port_check_qos(const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE])
{
	if (cfg->deadline_ns != FAKE_BAD_DEADLINE_NS)
		return 0;
	(void)snprintf(err, DP_ERR_SIZE, "deadline: the fake does not take this one");
	return -EINVAL;
}

unsigned
dp_sender_list(const struct dp *dp, unsigned id, uint32_t *pos, struct dp_sender *ret_flows, unsigned max)
{
	unsigned n = 0;

	for (; dp->pairs[id] && *pos <= DP_MAX_PORTS && n < max; ++*pos) {
		const struct fake_pair *pair = find_pair(dp, id, *pos);

		if (pair && pair->has_flow)
			ret_flows[n++] = pair->flow;
	}
	return n;
}

struct dp_sender *
fake_dp_flow(const char *out, const char *from)
{
	unsigned id = from ? (unsigned)find_port(from) : DP_MAX_PORTS;
	struct fake_pair *pair = make_pair(fake, (unsigned)find_port(out), id);

	pair->has_flow = true;
	return &pair->flow;
}

int
dp_port_stats(const struct dp *dp, unsigned id, struct dp_port_stats *ret_stats)
{
	if (!port_at(dp, id))
		return -ENOENT;
	*ret_stats = dp->ports[id].stats;
	return 0;
}

void
dp_stats_gone(const struct dp *dp, struct dp_port_stats *ret_stats)
{
	(void)dp;
	*ret_stats = (struct dp_port_stats){.rx_pkts = 7, .tx_pkts = 7, .blocked_ns = 500};
}

uint64_t
dp_port_held_ns(const struct dp *dp, unsigned id, unsigned by)
{
	const struct fake_pair *pair = find_pair(dp, by, id);

	return pair ? pair->held_ns : 0;
}

void
fake_dp_held(const char *port, const char *by, uint64_t ns)
{
	make_pair(fake, (unsigned)find_port(by), (unsigned)find_port(port))->held_ns = ns;
}

uint32_t
dp_port_n_macs(const struct dp *dp, unsigned id)
{
	return port_at(dp, id) ? id : 0;
}

unsigned
dp_n_workers(const struct dp *dp)
{
	(void)dp;
	return 2;
}

int
dp_worker_stats(const struct dp *dp, unsigned worker, struct dp_worker_stats *ret_stats)
{
	if (worker >= 2)
		return -ENOENT;
	*ret_stats = dp->workers[worker];
	return 0;
}

unsigned
dp_delay_list(const struct dp *dp, unsigned tunnel, uint32_t *pos, struct dp_delay *ret_delays, unsigned max)
{
	(void)dp;
	(void)tunnel;
	if (*pos || !max)
		return 0;
	*pos = DP_MAX_PORTS;
	memset(ret_delays, 0, sizeof(*ret_delays));
	ret_delays->flow = 3;
	ret_delays->stats = (struct flow_delay_stats){
		.received = 10, .lost = 1, .deadline_ns = 2000000, .uncertainty_ns = UINT64_MAX};
	hist_init(&ret_delays->delay);
	hist_init(&ret_delays->network);
	hist_add(&ret_delays->delay, 5000);
	hist_add(&ret_delays->network, 4000);
	return 1;
}

bool
dp_report_next(struct dp *dp, struct dp_report *ret_report)
{
	(void)dp;
	(void)ret_report;
	return false;
}

void
dp_tunnel_set_clock(struct dp *dp, unsigned tunnel, int64_t offset_ns, uint64_t uncertainty_ns)
{
	(void)dp;
	(void)tunnel;
	(void)offset_ns;
	(void)uncertainty_ns;
}

void
dp_tunnel_set_interval(struct dp *dp, unsigned tunnel, uint64_t interval_ns)
{
	(void)dp;
	(void)tunnel;
	(void)interval_ns;
}

int
dp_port_set_answer(struct dp *dp, unsigned id, uint64_t deadline_ns, uint8_t dscp, uint8_t excess)
{
	(void)id;
	(void)deadline_ns;
	(void)dscp;
	(void)excess;
	dp->n_answers++;
	return 0;
}

uint64_t
dp_flow_seq(const struct dp *dp, unsigned tunnel, unsigned port)
{
	(void)dp;
	(void)tunnel;
	(void)port;
	return 0;
}

bool
dp_datagram_next(struct dp *dp, struct dp_datagram *ret_datagram)
{
	if (!dp->n_datagrams)
		return false;
	*ret_datagram = dp->datagrams[--dp->n_datagrams];
	return true;
}

int
dp_datagram_send(struct dp *dp, const struct dp_datagram *datagram, uint8_t tos)
{
	(void)tos;
	dp->sent = *datagram;
	return 0;
}

void
dp_clock_follow(struct dp *dp)
{
	(void)dp;
}

uint64_t
dp_tai_ns(const struct dp *dp)
{
	(void)dp;
	return 2000000000;
}

unsigned
dp_worker_stalls(const struct dp *dp, unsigned worker, struct dp_stall ret_stalls[DP_STALLS_KEPT])
{
	(void)dp;
	for (unsigned i = 0; worker == 0 && i < 3; i++)
		ret_stalls[i] = (struct dp_stall){.number = 7 + i, .ago_ns = 1000000000 - i, .took_ns = 60000 + i};
	return worker == 0 ? 3 : 0;
}

int
dp_capture_start(struct dp *dp, unsigned port, const char *filter, uint32_t snaplen, char err[DP_ERR_SIZE])
{
	(void)snaplen;
	if (!port_at(dp, port))
		return -ENOENT;
	if (strcmp(filter, "nonsense") == 0)
		return refuse(-EINVAL, err, "filter: syntax error");
	if (dp->ports[port].is_capturing)
		return refuse(-EBUSY, err, "capture");
	dp->ports[port].is_capturing = true;
	dp->ports[port].first_pkt = dp->ports[port].n_pkts = 0;
	return 0;
}

int
dp_trace_start(struct dp *dp, unsigned port, uint32_t rate, char err[DP_ERR_SIZE])
{
	if (!port_has(dp->ports[port].cfg.type, PORT_IS_GUEST))
		return refuse(-EINVAL, err, "port: no guest's");
	dp->ports[port].trace_rate = rate;
	return 0;
}

void
dp_trace_stop(struct dp *dp, unsigned port)
{
	dp->ports[port].trace_rate = 0;
}

bool
dp_trace_is_on(const struct dp *dp, unsigned port)
{
	return dp->ports[port].trace_rate;
}

// As many records as the rate says, at times 1 to 8 ns.
bool
dp_trace_next(struct dp *dp, unsigned port, struct chain_record *ret_record)
{
	if (!dp->ports[port].trace_rate || dp->ports[port].n_traced == dp->ports[port].trace_rate)
		return false;
	dp->ports[port].n_traced++;
	*ret_record = (struct chain_record){1, 2, 3, 4, 5, 6, 7, 8, .depth = 9, .is_kicked = true};
	return true;
}

uint64_t
dp_trace_lost(const struct dp *dp, unsigned port)
{
	(void)dp;
	return port;
}

bool
dp_capture_next(struct dp *dp, unsigned port, struct dp_capture_pkt *ret_pkt)
{
	struct fake_port *p = &dp->ports[port];

	if (p->first_pkt == p->n_pkts)
		return false;
	*ret_pkt = p->pkts[p->first_pkt++];
	return true;
}

void
dp_capture_stop(struct dp *dp, unsigned port, uint64_t *ret_lost)
{
	struct fake_port *p = &dp->ports[port];

	*ret_lost = p->is_capturing ? 5 : 0;
	for (unsigned i = 0; i < p->n_pkts; i++)
		free((void *)(uintptr_t)p->pkts[i].data);
	p->n_pkts = p->first_pkt = 0;
	p->is_capturing = false;
}

void
fake_dp_packet(unsigned port, const struct dp_capture_pkt *pkt)
{
	struct fake_port *p = &fake->ports[port];
	uint8_t *copy = malloc(pkt->caplen);

	if (!copy || !p->is_capturing || p->n_pkts == MAX_PKTS) {
		free(copy);
		return;
	}
	memcpy(copy, pkt->data, pkt->caplen);
	p->pkts[p->n_pkts] = *pkt;
	p->pkts[p->n_pkts++].data = copy;
}

struct dp_port_stats *
fake_dp_stats(const char *port)
{
	return &fake->ports[find_port(port)].stats;
}

struct dp_port_state *
fake_dp_state(const char *port)
{
	return &fake->ports[find_port(port)].state;
}

const struct dp_datagram *
fake_dp_sent(void)
{
	return &fake->sent;
}

unsigned
fake_dp_n_answers(void)
{
	return fake->n_answers;
}

struct dp_worker_stats *
fake_dp_worker(unsigned worker)
{
	return &fake->workers[worker];
}

static int
compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
print_port(FILE *f, const struct dp_port_cfg *c)
{
	uint64_t trunk = 0;

	for (unsigned i = 0; i < 64; i++)
		trunk = trunk * 31 + c->trunk.bits[i];
	(void)fprintf(f, "port %s %s %u %d %u %s %u %o %s %s %d%d%d %s %u %u %u %llx %u %u %d %u %u %s %u %u\n",
		c->name, c->bridge, c->type, c->admin_up, c->mtu, c->socket, c->vhost_mode, c->socket_mode,
		c->socket_owner, c->socket_group, c->packed, c->csum, c->tso, c->devargs, c->n_queues, c->vlan_mode,
		c->vlan, (unsigned long long)trunk, c->allowed_macs.n, c->allowed_ips.n, c->isolated, c->mac_limit,
		c->flood_pps, c->mirror_to, c->mirror, c->dscp);
}

// Rules output to numbers of ports.
static const char *
name_port(const void *arg, uint16_t number, char buf[RTVS_NAME_SIZE])
{
	const struct dp *dp = arg;

	(void)snprintf(buf, RTVS_NAME_SIZE, "%s", port_at(dp, number) ? dp->ports[number].cfg.name : "?");
	return buf;
}

static void
print_rules(FILE *f, const struct fake_port *port)
{
	static const char *const heads[] = {"rule", "guest-rule"};
	const struct flow_text_ports names = {.name = name_port, .arg = fake};
	char text[FLOW_TEXT_SIZE];

	for (unsigned of = 0; of < DP_RULES_N; of++)
		for (unsigned i = 0; port->rules[of] && i < DP_MAX_RULES; i++)
			if (port->rules[of][i].is_there)
				(void)fprintf(f, "%s %s %s\n", heads[of], port->cfg.name,
					flow_text_format(&port->rules[of][i].entry, &names, text));
}

static void
print_eswitch(FILE *f, const struct fake_port *port)
{
	const struct dp_eswitch_cfg *cfg = &port->eswitch;

	if (!cfg->n_vfs)
		return;
	(void)fprintf(f, "eswitch %s %s", port->cfg.name, fake->ports[cfg->uplink].cfg.name);
	for (unsigned i = 0; i < cfg->n_vfs; i++)
		(void)fprintf(f, " %s", fake->ports[cfg->vf[i]].cfg.name);
	(void)fprintf(f, " miss %u\n", cfg->miss_pps);
}

static void
print_bridge(FILE *f, const struct fake_bridge *b)
{
	json_t *params = bridge_params_encode(&b->cfg);
	char *text = json_dumps(params, 0);

	(void)fprintf(f, "bridge %s\n", text);
	free(text);
	json_decref(params);
	for (unsigned i = 0; i < b->n_macs; i++) {
		(void)fprintf(f, "mac %s %u %s ", b->cfg.name, b->macs[i].vlan, fake->ports[b->macs[i].port].cfg.name);
		for (unsigned k = 0; k < 6; k++)
			(void)fprintf(f, "%02x", b->macs[i].mac.b[k]);
		(void)fputs("\n", f);
	}
}

char *
fake_dp_dump(void)
{
	char *text = NULL, *sorted = NULL, *lines[2048], *save = NULL;
	size_t size, n = 0;
	FILE *f = open_memstream(&text, &size);

	(void)fprintf(f, "system %u %llu %s\n", fake->system.idle, (unsigned long long)fake->system.idle_ns,
		fake->system.dscp_classes);
	for (unsigned i = 0; i < DP_MAX_BRIDGES; i++)
		if (fake->bridges[i].is_used)
			print_bridge(f, &fake->bridges[i]);
	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		if (fake->ports[i].is_used) {
			print_port(f, &fake->ports[i].cfg);
			print_rules(f, &fake->ports[i]);
			print_eswitch(f, &fake->ports[i]);
		}
	(void)fclose(f);
	for (char *line = strtok_r(text, "\n", &save); line && n < 2048; line = strtok_r(NULL, "\n", &save))
		lines[n++] = line;
	qsort(lines, n, sizeof(lines[0]), compare_lines);
	f = open_memstream(&sorted, &size);
	for (size_t i = 0; i < n; i++)
		(void)fprintf(f, "%s\n", lines[i]);
	(void)fclose(f);
	free(text);
	return sorted;
}

bool
dp_port_is_handed(const struct dp_port_cfg *cfg, uint32_t takes)
{
	(void)takes;
	return port_has(cfg->type, PORT_IS_HANDED);
}

int
dp_hand_prepare(struct dp *dp, const struct dp_fd_store *to, char err[DP_ERR_SIZE])
{
	(void)dp;
	(void)to;
	(void)snprintf(err, DP_ERR_SIZE, "no hand-over of a fake datapath");
	return -EBUSY;
}

int
dp_hand_stop(struct dp *dp, const struct dp_fd_store *to, char err[DP_ERR_SIZE])
{
	return dp_hand_prepare(dp, to, err);
}

int
dp_hand_resume(struct dp *dp)
{
	(void)dp;
	return 0;
}

void
dp_hand_release(struct dp *dp)
{
	(void)dp;
}

int
dp_take_over(struct dp *dp)
{
	(void)dp;
	return 0;
}

int
dp_raise(struct dp *dp)
{
	(void)dp;
	return 0;
}

void
dp_halt(struct dp *dp)
{
	(void)dp;
}

int
dp_hand_rings(const struct dp *dp)
{
	(void)dp;
	return 0;
}

int
dp_state_save(struct dp *dp, uint8_t **buf, size_t *len)
{
	(void)dp;
	(void)buf;
	(void)len;
	return 0;
}

int
dp_state_load(struct dp *dp, const uint8_t *buf, size_t len, struct dp_state_loaded *ret)
{
	(void)dp;
	(void)buf;
	(void)len;
	(void)ret;
	return 0;
}

int
dp_ids_save(struct dp *dp, uint8_t **buf, size_t *len)
{
	(void)dp;
	(void)buf;
	(void)len;
	return 0;
}

int
dp_ids_load(struct dp *dp, const uint8_t *buf, size_t len, unsigned *ret_n)
{
	(void)dp;
	(void)buf;
	(void)len;
	*ret_n = 0;
	return 0;
}

int
dp_warm(struct dp *dp, char err[DP_ERR_SIZE])
{
	(void)dp;
	(void)err;
	return 0;
}

void
dp_state_end(struct dp *dp)
{
	(void)dp;
}
