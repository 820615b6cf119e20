// The daemon as a host on the underlay of its uplinks: it answers for its address, asks for those
// of next hops, and sends and takes datagrams of its own. All runs in the control thread. Workers
// put packets for it into one ring (punt), limited in rate, and take its packets from a ring of the
// port (inject). Any host on the underlay may send: an answer is taken only from a neighbour that
// was asked for, and there are as many as tunnels.
#include "underlay.h"

#include "base/sparse.h"
#include "dp_state.h"
#include "port_type.h"
#include "registry.h"
#include "rtvs/frame.h"
#include "rtvs/icmp_too_big.h"
#include "rtvs/neighbor.h"
#include "rtvs/udp.h"
#include "tunnel.h"

#include <rte_errno.h>
#include <rte_ring_elem.h>

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timex.h>
#include <time.h>

#define PUNT_RING 512
#define REPORT_RING 1024
#define INJECT_RING 256
#define ASK_EVERY_NS UINT64_C(1000000000) // while unknown
#define REFRESH_NS UINT64_C(30000000000)
#define FORGET_NS UINT64_C(120000000000) // without an answer
#define IP_HEADER_V4 20
#define IP_HEADER_V6 40
#define UDP_HEADER 8

struct hop {
	struct prefix addr;
	struct mac mac;
	bool is_known;
	uint64_t asked_ns, seen_ns; // 0: never
};

// Of one uplink, in sparse memory; control thread only.
struct underlay {
	unsigned n_hops;
	struct hop hop[DP_MAX_PORTS]; // one for each tunnel at most
};

// How well the clocks of two hosts agree that each keep theirs by NTP or PTP: the kernel's own
// bound, twice.
static uint64_t
clocks_bound_ns(void)
{
	struct timex tx = {0};

	return adjtimex(&tx) != TIME_ERROR && tx.maxerror > 0 ? 2000 * (uint64_t)tx.maxerror : UINT64_MAX;
}

static void
set_clock(const struct port *tunnel, uint64_t bound_ns)
{
	if (tunnel->cfg.clock == DP_CLOCK_SYSTEM)
		dp_tunnel_set_clock(tunnel->dp, tunnel->path.id, 0, bound_ns);
}

int
underlay_start(struct dp *dp)
{
	clock_follow_tai(&dp->env.clock);
	dp->env.reports = rte_ring_create_elem(
		"rtvs_reports", sizeof(struct dp_report), REPORT_RING, SOCKET_ID_ANY, RING_F_SC_DEQ);
	return dp->env.reports ? mailbox_init(&dp->env.punt, PUNT_RING) : -rte_errno;
}

void
underlay_stop(struct dp *dp)
{
	mailbox_fini(&dp->env.punt);
	rte_ring_free(dp->env.reports);
}

int
underlay_create(struct port *uplink)
{
	int rc;

	if (uplink->underlay)
		return 0;
	uplink->underlay = sparse_alloc(sizeof(*uplink->underlay));
	if (!uplink->underlay)
		return -ENOMEM;
	rc = mailbox_init(&uplink->path.inject, INJECT_RING);
	if (rc) {
		sparse_free(uplink->underlay, sizeof(*uplink->underlay));
		uplink->underlay = NULL;
	}
	return rc;
}

void
underlay_destroy(struct port *uplink)
{
	mailbox_fini(&uplink->path.inject);
	sparse_free(uplink->underlay, sizeof(*uplink->underlay));
}

static bool
is_same(const struct prefix *a, const struct prefix *b)
{
	return a->is_v6 == b->is_v6 && !memcmp(a->addr, b->addr, a->is_v6 ? 16 : 4);
}

static bool
is_inside(const struct prefix *addr, const struct prefix *net)
{
	unsigned bytes = net->len / 8, bits = net->len % 8;

	if (addr->is_v6 != net->is_v6 || memcmp(addr->addr, net->addr, bytes))
		return false;
	return !bits || !((addr->addr[bytes] ^ net->addr[bytes]) >> (8 - bits));
}

// The next hop of packets to addr: the host itself, or the gateway. NULL: there is none.
static const struct prefix *
next_hop(const struct port *uplink, const struct prefix *addr)
{
	if (is_inside(addr, &uplink->cfg.address))
		return addr;
	return uplink->cfg.gateway.len ? &uplink->cfg.gateway : NULL;
}

static struct hop *
find_hop(const struct port *uplink, const struct prefix *addr)
{
	for (unsigned i = 0; addr && uplink->underlay && i < uplink->underlay->n_hops; i++)
		if (is_same(&uplink->underlay->hop[i].addr, addr))
			return &uplink->underlay->hop[i];
	return NULL;
}

static struct hop *
make_hop(const struct port *uplink, const struct prefix *addr)
{
	struct hop *hop = find_hop(uplink, addr);

	if (addr && !hop && uplink->underlay->n_hops < DP_MAX_PORTS) {
		hop = &uplink->underlay->hop[uplink->underlay->n_hops++];
		*hop = (struct hop){.addr = *addr};
		hop->addr.len = addr->is_v6 ? 128 : 32;
	}
	return hop;
}

// The device's own. Without one, as for guests' sockets, a locally administered one made of the end
// of the address, which is the daemon's alone on its network.
static struct mac
mac_of(const struct port *uplink)
{
	static const struct mac none;
	const uint8_t *end = uplink->cfg.address.addr + (uplink->cfg.address.is_v6 ? 12 : 0);
	struct dp_port_state state = {0};

	uplink->type->state(uplink, &state);
	if (memcmp(&state.mac, &none, sizeof(none)) != 0)
		return state.mac;
	return (struct mac){{0x02, uplink->cfg.address.is_v6, end[0], end[1], end[2], end[3]}};
}

static const struct port *
uplink_of(const struct port *tunnel)
{
	const struct port *uplink = registry_uplink(tunnel);

	return uplink && uplink->cfg.address.len && uplink->underlay ? uplink : NULL;
}

bool
underlay_is_resolved(const struct port *tunnel)
{
	const struct port *uplink = uplink_of(tunnel);
	const struct hop *hop = uplink ? find_hop(uplink, next_hop(uplink, &tunnel->cfg.remote)) : NULL;

	return hop && hop->is_known;
}

bool
underlay_headers(const struct dp *dp, const struct port *tunnel, struct geneve_template *ret_headers)
{
	const struct port *uplink = uplink_of(tunnel);
	const struct hop *hop = uplink ? find_hop(uplink, next_hop(uplink, &tunnel->cfg.remote)) : NULL;
	struct geneve_tunnel t = {.is_ipv6 = tunnel->cfg.remote.is_v6,
		.has_meta = tunnel->cfg.timestamps,
		.has_csum = tunnel->cfg.csum,
		.hop_limit = 64,
		.option_class = (uint16_t)dp->cfg.option_class,
		.vni = tunnel->cfg.vni};

	if (!hop || !hop->is_known)
		return false;
	t.vlan = (uint16_t)uplink->cfg.vlan;
	t.local_mac = mac_of(uplink);
	t.remote_mac = hop->mac;
	memcpy(t.local, uplink->cfg.address.addr, sizeof(t.local));
	memcpy(t.remote, tunnel->cfg.remote.addr, sizeof(t.remote));
	return !geneve_template_init(ret_headers, &t);
}

// Gives a frame to the uplink's worker. False: its ring is full, or there is no buffer.
static bool
inject(const struct port *uplink, const uint8_t *frame, size_t len)
{
	struct rte_mbuf *m = pkt_make(uplink->dp->env.pool, (uint16_t)len);

	if (!m)
		return false;
	memcpy(rte_pktmbuf_mtod(m, void *), frame, len);
	m->port = uplink->path.id;
	if (!mailbox_put(&uplink->path.inject, m)) {
		pkt_free(m);
		return false;
	}
	env_call_owner(&uplink->dp->env, &uplink->path);
	return true;
}

static struct neighbor_self
self_of(const struct port *uplink)
{
	struct neighbor_self self = {.is_ipv6 = uplink->cfg.address.is_v6, .vlan = (uint16_t)uplink->cfg.vlan};

	self.mac = mac_of(uplink);
	memcpy(self.addr, uplink->cfg.address.addr, sizeof(self.addr));
	return self;
}

static void
ask(const struct port *uplink, struct hop *hop, uint64_t now_ns)
{
	struct neighbor_self self = self_of(uplink);
	uint8_t frame[NEIGHBOR_MAX];

	hop->asked_ns = now_ns;
	(void)inject(uplink, frame, neighbor_request(&self, hop->addr.addr, hop->is_known ? &hop->mac : NULL, frame));
}

// Tunnels whose packets go to the hop.
static void
touch_users(const struct port *uplink, const struct hop *hop)
{
	struct port *tunnel;

	LIST_FOREACH (tunnel, &uplink->place.name->tunnels, place.tunnels) {
		const struct prefix *addr = next_hop(uplink, &tunnel->cfg.remote);

		if (addr && is_same(addr, &hop->addr))
			registry_touch(tunnel);
	}
}

static void
look_after(struct port *tunnel, uint64_t now_ns)
{
	const struct port *uplink = uplink_of(tunnel);
	struct hop *hop = uplink ? make_hop(uplink, next_hop(uplink, &tunnel->cfg.remote)) : NULL;

	if (tunnel_expire_mtu(tunnel, now_ns))
		registry_touch(tunnel);
	if (!hop)
		return;
	if (hop->is_known && now_ns - hop->seen_ns > FORGET_NS) {
		hop->is_known = false;
		touch_users(uplink, hop);
	}
	if ((!hop->asked_ns || now_ns - hop->asked_ns > ASK_EVERY_NS) &&
		(!hop->is_known || now_ns - hop->seen_ns > REFRESH_NS))
		ask(uplink, hop, now_ns);
}

void
underlay_housekeeping(struct dp *dp)
{
	uint64_t now_ns = clock_now_ns(&dp->env.clock), bound_ns = clocks_bound_ns();

	clock_follow_tai(&dp->env.clock);
	tunnel_housekeeping(dp);
	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		if (dp->port[i] && port_has(dp->port[i]->cfg.type, PORT_IS_TUNNEL)) {
			set_clock(dp->port[i], bound_ns);
			look_after(dp->port[i], now_ns);
		}
}

void
underlay_follow(struct port *port)
{
	uint64_t now_ns = clock_now_ns(&port->dp->env.clock);
	struct port *tunnel;

	if (port_has(port->cfg.type, PORT_IS_TUNNEL)) {
		set_clock(port, clocks_bound_ns());
		look_after(port, now_ns);
	}
	LIST_FOREACH (tunnel, &port->place.name->tunnels, place.tunnels)
		look_after(tunnel, now_ns);
}

// A neighbour told its address.
static void
learn(const struct port *uplink, const uint8_t *addr, const struct mac *mac, uint64_t now_ns)
{
	struct prefix key = {.is_v6 = uplink->cfg.address.is_v6, .len = uplink->cfg.address.is_v6 ? 128 : 32};
	struct hop *hop;

	memcpy(key.addr, addr, key.is_v6 ? 16 : 4);
	hop = find_hop(uplink, &key);
	if (!hop || !hop->asked_ns)
		return;
	if (!hop->is_known || memcmp(&hop->mac, mac, sizeof(*mac)) != 0)
		touch_users(uplink, hop);
	hop->mac = *mac;
	hop->is_known = true;
	hop->seen_ns = now_ns;
}

bool
underlay_next_hop(
	const struct port *uplink, unsigned *pos, struct prefix *ret_addr, struct mac *ret_mac, uint64_t *ret_seen_ns)
{
	while (uplink->underlay && *pos < uplink->underlay->n_hops) {
		const struct hop *hop = &uplink->underlay->hop[(*pos)++];

		if (!hop->is_known)
			continue;
		*ret_addr = hop->addr;
		*ret_mac = hop->mac;
		*ret_seen_ns = hop->seen_ns;
		return true;
	}
	return false;
}

bool
underlay_restore_hop(struct port *uplink, const struct prefix *addr, const struct mac *mac, uint64_t seen_ns)
{
	struct hop *hop = find_hop(uplink, addr);

	if (!hop || hop->is_known)
		return false;
	hop->mac = *mac;
	hop->is_known = true;
	hop->seen_ns = seen_ns;
	touch_users(uplink, hop);
	return true;
}

// A router reports that packets to a host are too big: the limit of all tunnels there falls. A
// report that quotes none of our packets is ignored.
static void
hear_too_big(const struct port *uplink, const struct icmp_too_big_news *news)
{
	uint64_t now_ns = clock_now_ns(&uplink->dp->env.clock);
	size_t n = news->is_ipv6 ? 16 : 4;
	bool is_ours = false;
	struct port *tunnel;

	if (news->is_ipv6 != uplink->cfg.address.is_v6 || memcmp(news->src, uplink->cfg.address.addr, n) != 0)
		return;
	LIST_FOREACH (tunnel, &uplink->place.name->tunnels, place.tunnels)
		is_ours |= !memcmp(news->dst, tunnel->cfg.remote.addr, n) &&
			(!news->has_vni || news->vni == tunnel->cfg.vni);
	if (!is_ours)
		return;
	LIST_FOREACH (tunnel, &uplink->place.name->tunnels, place.tunnels)
		if (!memcmp(news->dst, tunnel->cfg.remote.addr, n) && tunnel_hear_mtu(tunnel, news->mtu, now_ns))
			registry_touch(tunnel);
}

bool
underlay_take(struct dp *dp, struct port *uplink, struct rte_mbuf *m, struct dp_datagram *ret_d)
{
	struct neighbor_self self = self_of(uplink);
	uint8_t *data = rte_pktmbuf_mtod(m, uint8_t *), answer[NEIGHBOR_MAX];
	struct icmp_too_big_news news;
	struct neighbor_msg msg;
	struct udp_datagram udp;

	if (udp_parse(data, m->data_len, &udp)) {
		if (memcmp(udp.dst, self.addr, self.is_ipv6 ? 16 : 4) || udp.is_ipv6 != self.is_ipv6)
			return false;
		*ret_d = (struct dp_datagram){.uplink = uplink->path.id,
			.from.is_v6 = udp.is_ipv6,
			.from.len = udp.is_ipv6 ? 128 : 32,
			.via = udp.src_mac,
			.from_port = udp.src_port,
			.to_port = udp.dst_port,
			.hop_limit = udp.hop_limit,
			.time_ns = clock_tai_ns(&dp->env.clock, pkt_item(m)->arrival_ns),
			.len = udp.len};
		memcpy(ret_d->from.addr, udp.src, sizeof(ret_d->from.addr));
		memcpy(ret_d->data, udp.data, udp.len);
		return true;
	}
	if (!neighbor_echo(data, m->data_len, &self)) {
		(void)inject(uplink, data, m->data_len);
		return false;
	}
	if (icmp_too_big_parse(data, m->data_len, &news)) {
		hear_too_big(uplink, &news);
		return false;
	}
	if (neighbor_parse(data, m->data_len, &msg) || msg.is_ipv6 != self.is_ipv6 || msg.vlan != self.vlan)
		return false;
	if (neighbor_asks_for(&msg, &self))
		(void)inject(uplink, answer, neighbor_reply(&self, &msg, answer));
	// A neighbour that asks tells its own address as well.
	if (msg.has_mac)
		learn(uplink, msg.addr, &msg.mac, clock_now_ns(&dp->env.clock));
	return false;
}

int
dp_datagram_send(struct dp *dp, const struct dp_datagram *d, uint8_t tos)
{
	const struct port *uplink = d->uplink < DP_MAX_PORTS ? dp->port[d->uplink] : NULL;
	static const struct mac none;
	const struct hop *hop;
	struct udp_datagram udp = {.is_ipv6 = d->to.is_v6,
		.tos = tos,
		.hop_limit = d->hop_limit,
		.src_port = d->from_port,
		.dst_port = d->to_port,
		.data = d->data,
		.len = d->len};
	uint8_t frame[UDP_HEADERS_MAX + UDP_DATA_MAX];

	if (!uplink || !uplink->underlay || uplink->cfg.address.is_v6 != d->to.is_v6 || d->len > UDP_DATA_MAX)
		return -EINVAL;
	hop = find_hop(uplink, next_hop(uplink, &d->to));
	if (memcmp(&d->via, &none, sizeof(none)))
		udp.dst_mac = d->via;
	else if (hop && hop->is_known)
		udp.dst_mac = hop->mac;
	else
		return -EHOSTUNREACH;
	udp.vlan = (uint16_t)uplink->cfg.vlan;
	udp.src_mac = mac_of(uplink);
	memcpy(udp.src, uplink->cfg.address.addr, sizeof(udp.src));
	memcpy(udp.dst, d->to.addr, sizeof(udp.dst));
	return inject(uplink, frame, udp_build(&udp, frame)) ? 0 : -ENOBUFS;
}
