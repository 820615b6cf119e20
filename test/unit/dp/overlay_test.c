// Tunnels in the datapath, without mocks: a guest's port, an uplink whose network is a virtio-user device of this process, and the
// test as the other host, which answers for its address and reads and writes Geneve. Waiting is for a condition, with a limit.
#include "../unit.h"
#include "rtvs/dp.h"
#include "rtvs/frame.h"
#include "rtvs/geneve.h"
#include "rtvs/log.h"
#include "rtvs/neighbor.h"
#include "rtvs/units.h"

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GUEST 0 // devices
#define NET 1
#define N_DEVICES 2
#define WAIT_S 10
#define VNI 100
#define FRAME_BYTES 2048

struct host { // as the test has it
	struct mac mac;
	uint8_t addr[16];
	bool is_ipv6;
};

static struct dp *dp;
static unsigned n_workers = 1; // first argument
static struct rte_mempool *pool;
static char dir[] = "/tmp/rtvs-overlay-test-XXXXXX";
static unsigned bridge, port[N_DEVICES], tunnel;
static uint16_t dev[N_DEVICES];
static struct dp_port_cfg uplink_cfg, tunnel_cfg;
static struct host other;
static const struct mac guest_mac = {{0x52, 0x54, 0, 0, 0, 1}}, far_mac = {{0x52, 0x54, 0, 0, 0, 2}};

static int
start_dp(void **state)
{
	struct dp_system_cfg cfg = {
		.idle = DP_IDLE_ADAPTIVE, .idle_ns = 50000, .n_mbufs = 4096, .option_class = GENEVE_CLASS_DEFAULT};
	char err[DP_ERR_SIZE] = "";

	(void)state;
	for (unsigned cpu = 0; n_workers > 1 && cpu < n_workers; cpu++)
		cfg.workers.cpu[cfg.workers.n++] = (uint16_t)cpu;
	log_set_level(LOG_LEVEL_WARNING);
	(void)signal(SIGPIPE, SIG_IGN); // virtio-user writes to sockets that the switch has closed
	assert_non_null(mkdtemp(dir));
	if (dp_init(&cfg, &dp, err)) {
		print_error("dp_init: %s\n", err);
		return -1;
	}
	pool = rte_pktmbuf_pool_create("test", 1023, 0, 0, RTE_PKTMBUF_HEADROOM + 4096, SOCKET_ID_ANY);
	return pool ? 0 : -1;
}

static int
stop_dp(void **state)
{
	(void)state;
	rte_mempool_free(pool);
	dp_fini(dp);
	return rmdir(dir);
}

static uint64_t
limit(void)
{
	return rte_rdtsc() + rte_get_tsc_hz() * WAIT_S;
}

static struct dp_port_cfg
device_cfg(unsigned i)
{
	struct dp_port_cfg cfg = {.type = DP_PORT_VHOST,
		.admin_up = true,
		.mtu = i == NET ? 1700 : 1500,
		.socket_mode = 0600,
		.packed = true,
		.csum = true,
		.tso = i == GUEST,
		.n_queues = 1,
		.weight = 1,
		.queue = 512};

	snprintf(cfg.name, sizeof(cfg.name), "p%u", i);
	snprintf(cfg.socket, sizeof(cfg.socket), "%s/p%u", dir, i);
	return cfg;
}

static unsigned
add_port(const struct dp_port_cfg *cfg)
{
	char err[DP_ERR_SIZE] = "";
	unsigned id;

	if (dp_port_add(dp, cfg, &id, err))
		fail_msg("port %s: %s", cfg->name, err);
	return id;
}

static void
set_port(unsigned id, const struct dp_port_cfg *cfg)
{
	char err[DP_ERR_SIZE] = "";

	if (dp_port_set(dp, id, cfg, err))
		fail_msg("port %s: %s", cfg->name, err);
}

static struct dp_port_state
state_of(unsigned id)
{
	struct dp_port_state state;
	struct dp_event ignored;

	while (dp_event_next(dp, &ignored))
		;
	assert_int_equal(dp_port_state(dp, id, &state), 0);
	return state;
}

static void
plug(unsigned i, uint64_t rx_offloads, uint64_t tx_offloads)
{
	struct rte_eth_conf conf = {.rxmode = {.offloads = rx_offloads}, .txmode = {.offloads = tx_offloads}};
	char name[32], args[256], text[UNITS_TEXT_SIZE];
	uint64_t end = limit();

	snprintf(name, sizeof(name), "net_virtio_user%u", i);
	snprintf(args, sizeof(args), "path=%s/p%u,mac=%s,queues=1", dir, i,
		units_format_mac(i == GUEST ? &guest_mac : &other.mac, text));
	assert_int_equal(rte_eal_hotplug_add("vdev", name, args), 0);
	assert_int_equal(rte_eth_dev_get_port_by_name(name, &dev[i]), 0);
	assert_int_equal(rte_eth_dev_configure(dev[i], 1, 1, &conf), 0);
	assert_int_equal(rte_eth_rx_queue_setup(dev[i], 0, 256, SOCKET_ID_ANY, NULL, pool), 0);
	assert_int_equal(rte_eth_tx_queue_setup(dev[i], 0, 256, SOCKET_ID_ANY, NULL), 0);
	assert_int_equal(rte_eth_dev_start(dev[i]), 0);
	while (!state_of(port[i]).is_link_up)
		assert_true(rte_rdtsc() < end);
}

static void
unplug(unsigned i)
{
	char name[32];

	snprintf(name, sizeof(name), "net_virtio_user%u", i);
	(void)rte_eth_dev_stop(dev[i]);
	assert_int_equal(rte_eal_hotplug_remove("vdev", name), 0);
}

static void
send_mbuf(unsigned i, struct rte_mbuf *m)
{
	uint64_t end = limit();

	while (!rte_eth_tx_burst(dev[i], 0, &m, 1))
		assert_true(rte_rdtsc() < end);
}

static void
send_frame(unsigned i, const uint8_t *frame, size_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	assert_non_null(m);
	memcpy(rte_pktmbuf_append(m, (uint16_t)len), frame, len);
	send_mbuf(i, m);
}

// The other host's neighbour: what the daemon asks is answered. True: it was asked.
static bool
answer_neighbor(const uint8_t *frame, size_t len)
{
	struct neighbor_self self = {.is_ipv6 = other.is_ipv6, .mac = other.mac};
	uint8_t reply[NEIGHBOR_MAX];
	struct neighbor_msg msg;

	memcpy(self.addr, other.addr, sizeof(self.addr));
	if (neighbor_parse(frame, len, &msg))
		return false;
	if (neighbor_asks_for(&msg, &self))
		send_frame(NET, reply, neighbor_reply(&self, &msg, reply));
	return true;
}

// The next frame of a device, but for what neighbours ask; NULL: there is none now.
static struct rte_mbuf *
poll_device(unsigned i)
{
	struct dp_datagram ignored;
	struct rte_mbuf *m;

	while (dp_datagram_next(dp, &ignored))
		;
	if (!rte_eth_rx_burst(dev[i], 0, &m, 1))
		return NULL;
	if (i != NET || !answer_neighbor(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len))
		return m;
	rte_pktmbuf_free(m);
	return NULL;
}

static struct rte_mbuf *
receive(unsigned i)
{
	uint64_t end = limit();
	struct rte_mbuf *m;

	while (!(m = poll_device(i)))
		if (rte_rdtsc() > end)
			fail_msg("device %u received nothing", i);
	return m;
}

// What the daemon sent through a tunnel: the whole frame is in `out`.
static struct geneve_packet
receive_tunnelled(uint8_t out[FRAME_BYTES])
{
	struct geneve_packet p;
	struct rte_mbuf *m = receive(NET);

	assert_true(m->nb_segs == 1 && m->pkt_len <= FRAME_BYTES);
	memcpy(out, rte_pktmbuf_mtod(m, const uint8_t *), m->pkt_len);
	assert_int_equal(geneve_parse(out, m->pkt_len, dp_tai_ns(dp), GENEVE_CLASS_DEFAULT, &p), GENEVE_OK);
	rte_pktmbuf_free(m);
	return p;
}

static struct geneve_template
headers_of_other(uint32_t vni, bool has_csum)
{
	struct geneve_tunnel t = {.is_ipv6 = other.is_ipv6,
		.has_csum = has_csum,
		.hop_limit = 64,
		.option_class = GENEVE_CLASS_DEFAULT,
		.vni = vni,
		.local_mac = other.mac,
		.remote_mac = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}};
	struct geneve_template template;

	memcpy(t.local, other.addr, 16);
	memcpy(t.remote, uplink_cfg.address.addr, 16);
	assert_int_equal(geneve_template_init(&template, &t), 0);
	return template;
}

static void
send_tunnelled(uint32_t vni, const uint8_t *inner, size_t len)
{
	struct geneve_template t = headers_of_other(vni, false);
	uint8_t frame[FRAME_BYTES];

	memcpy(frame + t.len, inner, len);
	geneve_push(&t, frame, len, 50000, 0, 0, 0);
	send_frame(NET, frame, t.len + len);
}

// An IPv4 UDP packet inside of a frame; the payload counts up. Returns its length.
static size_t
make_udp(uint8_t *out, const struct mac *src, const struct mac *dst, size_t payload, bool has_df)
{
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(out + RTE_ETHER_HDR_LEN);
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);
	uint8_t from = src->b[5], to = dst->b[5]; // whose addresses and ports are told apart as well

	memcpy(out, dst->b, 6);
	memcpy(out + 6, src->b, 6);
	out[12] = 0x08;
	out[13] = 0;
	*ip = (struct rte_ipv4_hdr){.version_ihl = 0x45,
		.total_length = rte_cpu_to_be_16((uint16_t)(sizeof(*ip) + sizeof(*udp) + payload)),
		.packet_id = rte_cpu_to_be_16(7),
		.fragment_offset = rte_cpu_to_be_16(has_df ? RTE_IPV4_HDR_DF_FLAG : 0),
		.time_to_live = 64,
		.next_proto_id = IPPROTO_UDP,
		.src_addr = rte_cpu_to_be_32(RTE_IPV4(10, 0, 0, from)),
		.dst_addr = rte_cpu_to_be_32(RTE_IPV4(10, 0, 0, to))};
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	*udp = (struct rte_udp_hdr){.src_port = rte_cpu_to_be_16((uint16_t)(1000 + from)),
		.dst_port = rte_cpu_to_be_16((uint16_t)(1000 + to)),
		.dgram_len = rte_cpu_to_be_16((uint16_t)(sizeof(*udp) + payload))};
	for (size_t i = 0; i < payload; i++)
		((uint8_t *)(udp + 1))[i] = (uint8_t)(i * 7 + i / 256);
	udp->dgram_cksum = rte_ipv4_udptcp_cksum(ip, udp);
	return RTE_ETHER_HDR_LEN + sizeof(*ip) + sizeof(*udp) + payload;
}

static void
guest_sends(size_t payload)
{
	uint8_t frame[FRAME_BYTES];

	send_frame(GUEST, frame, make_udp(frame, &guest_mac, &far_mac, payload, true));
}

// A worker may wait for its processor longer than dp_stats_refresh waits for it.
static void
refresh_stats(void)
{
	uint64_t end = limit();
	int rc;

	do
		rc = dp_stats_refresh(dp);
	while (rc == -ETIMEDOUT && rte_rdtsc() < end);
	assert_int_equal(rc, 0);
}

static struct dp_port_stats
stats_of(unsigned id)
{
	struct dp_port_stats s;

	refresh_stats();
	assert_int_equal(dp_port_stats(dp, id, &s), 0);
	return s;
}

static void
wait_drops(unsigned id, enum drop reason, uint64_t n)
{
	uint64_t end = limit();

	while (stats_of(id).drops[reason] < n && rte_rdtsc() < end)
		;
	assert_int_equal(stats_of(id).drops[reason], n);
}

static bool
is_tunnel(unsigned id)
{
	return id != port[GUEST] && id != port[NET];
}

// What tunnels take and give their uplink does, too.
static void
assert_conserved(void)
{
	struct dp_port_stats s;
	int64_t in = 0, out = 0;

	refresh_stats();
	for (unsigned i = 0; i <= DP_MAX_PORTS; i++) {
		if (i == DP_MAX_PORTS)
			dp_stats_gone(dp, &s);
		else if (dp_port_stats(dp, i, &s))
			continue;
		else if (is_tunnel(i))
			s.rx_pkts = s.tx_pkts = 0;
		in += (int64_t)(s.rx_pkts + s.replicated);
		out += (int64_t)(s.tx_pkts + s.to_daemon) + s.queued;
		for (unsigned k = 0; k < DROP_COUNT; k++)
			out += (int64_t)s.drops[k];
	}
	assert_int_equal(in, out);
}

static unsigned
add_tunnel(const char *name, uint32_t vni)
{
	struct dp_port_cfg cfg = tunnel_cfg;
	uint64_t end = limit();
	unsigned id;

	snprintf(cfg.name, sizeof(cfg.name), "%s", name);
	cfg.vni = vni;
	id = add_port(&cfg);
	while (!state_of(id).is_connected) { // the next hop is asked for once a second
		dp_housekeeping(dp);
		rte_pktmbuf_free(poll_device(NET));
		assert_true(rte_rdtsc() < end);
	}
	dp_housekeeping(dp);
	return id;
}

// A guest, a network, and a tunnel through it to the other host.
static void
begin(bool is_ipv6, uint64_t net_rx_offloads, uint64_t net_tx_offloads)
{
	static const struct prefix own4 = {.addr = {10, 9, 0, 1}, .len = 24},
				   own6 = {.addr = {0xfd, 9, [15] = 1}, .len = 64, .is_v6 = true};
	struct dp_port_cfg guest = device_cfg(GUEST);

	uplink_cfg = device_cfg(NET);
	uplink_cfg.address = is_ipv6 ? own6 : own4;
	other = (struct host){.mac = {{0x02, 0, 0, 9, 0, 2}}, .is_ipv6 = is_ipv6};
	memcpy(other.addr, uplink_cfg.address.addr, 16);
	other.addr[is_ipv6 ? 15 : 3] = 2;
	tunnel_cfg = (struct dp_port_cfg){.type = DP_PORT_GENEVE,
		.admin_up = true,
		.mtu = 1500,
		.bridge = "br0",
		.uplink = "p1",
		.remote = {.len = is_ipv6 ? 128 : 32, .is_v6 = is_ipv6},
		.timestamps = true,
		.n_queues = 1,
		.weight = 1,
		.queue = 512};
	memcpy(tunnel_cfg.remote.addr, other.addr, 16);
	snprintf(guest.bridge, sizeof(guest.bridge), "br0");
	// What it sends here is guaranteed: no packet is dropped because it waited.
	guest.min_rate_bps = DP_RATE_MIN;
	guest.burst_bytes = 1 << 20;
	port[GUEST] = add_port(&guest);
	port[NET] = add_port(&uplink_cfg);
	plug(GUEST, 0, RTE_ETH_TX_OFFLOAD_UDP_CKSUM);
	plug(NET, net_rx_offloads, net_tx_offloads);
	tunnel = add_tunnel("t", VNI);
}

static int
add_bridge(void **state)
{
	struct dp_bridge_cfg cfg = {.name = "br0", .mac_limit = 64, .mac_age_ns = UINT64_C(300000000000)};
	char err[DP_ERR_SIZE];

	(void)state;
	return dp_bridge_add(dp, &cfg, &bridge, err);
}

static int
remove_all(void **state)
{
	(void)state;
	for (unsigned i = DP_MAX_PORTS; i--;) { // tunnels were added after their uplink
		struct dp_port_state ignored;

		if (dp_port_state(dp, i, &ignored))
			continue;
		if (i == port[GUEST] || i == port[NET])
			unplug(i == port[GUEST] ? GUEST : NET);
		(void)dp_port_del(dp, i);
	}
	assert_conserved();
	return dp_bridge_del(dp, bridge);
}

static void
frames_pass_both_ways_and_are_accounted_for(void **state)
{
	uint8_t frame[FRAME_BYTES], inner[FRAME_BYTES];
	struct geneve_packet p;
	struct rte_mbuf *m;
	size_t len;

	(void)state;
	begin(false, 0, 0);
	guest_sends(100);
	p = receive_tunnelled(frame);
	len = make_udp(inner, &guest_mac, &far_mac, 100, true);
	assert_int_equal(p.inner_len, len);
	assert_memory_equal(frame + p.inner_offset, inner, len);
	len = make_udp(inner, &far_mac, &guest_mac, 200, true);
	send_tunnelled(VNI, inner, len);
	m = receive(GUEST);
	assert_int_equal(m->pkt_len, len);
	assert_memory_equal(rte_pktmbuf_mtod(m, const void *), inner, len);
	rte_pktmbuf_free(m);
	assert_true(stats_of(port[NET]).to_daemon);
	assert_conserved();
}

static void
capture_of_a_tunnel_has_what_it_sends_and_receives(void **state)
{
	uint8_t inner[FRAME_BYTES], frame[FRAME_BYTES];
	struct dp_capture_pkt pkt;
	uint64_t lost, end = limit();
	char err[DP_ERR_SIZE];

	(void)state;
	begin(false, 0, 0);
	assert_int_equal(dp_capture_start(dp, tunnel, "", 0, err), 0);
	guest_sends(100);
	while (!dp_capture_next(dp, tunnel, &pkt))
		assert_true(rte_rdtsc() < end);
	assert_true(pkt.is_tx);
	assert_int_equal(pkt.len, make_udp(inner, &guest_mac, &far_mac, 100, true));
	assert_memory_equal(pkt.data, inner, pkt.len);
	(void)receive_tunnelled(frame);
	send_tunnelled(VNI, inner, make_udp(inner, &far_mac, &guest_mac, 200, true));
	while (!dp_capture_next(dp, tunnel, &pkt))
		assert_true(rte_rdtsc() < end);
	assert_false(pkt.is_tx);
	assert_memory_equal(pkt.data, inner, pkt.len);
	dp_capture_stop(dp, tunnel, &lost);
	assert_int_equal(lost, 0);
	rte_pktmbuf_free(receive(GUEST));
}

// A packet from another host is followed to the guest, and the guest's answer until it leaves through the tunnel.
static void
trace_goes_on_through_a_tunnel(void **state)
{
	uint8_t inner[FRAME_BYTES], frame[FRAME_BYTES];
	size_t len = make_udp(inner, &far_mac, &guest_mac, 100, true);
	struct chain_record r = {0};
	uint64_t end = limit();
	char err[DP_ERR_SIZE];

	(void)state;
	begin(false, 0, 0);
	assert_int_equal(dp_trace_start(dp, port[GUEST], 10000, err), 0);
	while (!r.left_ns) {
		assert_true(rte_rdtsc() < end);
		rte_delay_us_block(150); // one may be followed as often
		send_tunnelled(VNI, inner, len);
		rte_pktmbuf_free(receive(GUEST));
		rte_delay_us_block(150);
		guest_sends(100);
		(void)receive_tunnelled(frame);
		(void)dp_trace_next(dp, port[GUEST], &r);
	}
	assert_true(r.left_ns > r.answered_ns);
}

// Packets wait at an uplink that hardly sends; then it does.
static void
slow_down(void)
{
	uplink_cfg.rate_bps = DP_RATE_MIN;
	set_port(port[NET], &uplink_cfg);
}

static void
speed_up(void)
{
	uplink_cfg.rate_bps = UINT64_C(10000000000);
	set_port(port[NET], &uplink_cfg);
}

static void
wait_queued(int64_t n)
{
	uint64_t end = limit();

	while (stats_of(port[NET]).queued < n)
		assert_true(rte_rdtsc() < end);
}

// So many packets of the guest have left through a tunnel, or wait for it.
static void
wait_seq(unsigned id, uint64_t n)
{
	uint64_t end = limit();

	while (dp_flow_seq(dp, id, port[GUEST]) != n)
		assert_true(rte_rdtsc() < end);
}

#define N_OLD 8

static void
new_tunnel_numbers_none_of_the_packets_of_an_old_one(void **state)
{
	uint8_t frame[FRAME_BYTES];
	struct geneve_packet p;
	unsigned before;

	(void)state;
	begin(false, 0, 0);
	slow_down();
	for (unsigned i = 0; i < N_OLD; i++)
		guest_sends(1000);
	wait_queued(N_OLD - 2); // the link owes a packet or two at most
	before = tunnel;
	assert_int_equal(dp_port_del(dp, tunnel), 0);
	tunnel = add_tunnel("t2", VNI + 1);
	assert_int_equal(tunnel, before);
	guest_sends(10);
	wait_queued(N_OLD - 1);
	speed_up();
	do
		p = receive_tunnelled(frame);
	while (p.vni != VNI + 1);
	assert_int_equal(p.meta.seq, 0);
	assert_true(p.meta.time_ns > UINT64_C(1000000000));
}

static void
number_of_a_flow_counts_no_packets_for_other_tunnels(void **state)
{
	uint8_t inner[FRAME_BYTES], frame[FRAME_BYTES];
	static const struct mac third = {{0x52, 0x54, 0, 0, 0, 3}};
	unsigned second;

	(void)state;
	begin(false, 0, 0);
	second = add_tunnel("t2", VNI + 1);
	// Each is known to be behind one of the tunnels.
	send_tunnelled(VNI, inner, make_udp(inner, &far_mac, &guest_mac, 50, true));
	rte_pktmbuf_free(receive(GUEST));
	send_tunnelled(VNI + 1, inner, make_udp(inner, &third, &guest_mac, 50, true));
	rte_pktmbuf_free(receive(GUEST));
	slow_down();
	for (unsigned i = 0; i < N_OLD; i++)
		send_frame(GUEST, inner, make_udp(inner, &guest_mac, &third, 1000, true));
	wait_seq(second, N_OLD);
	assert_int_equal(dp_flow_seq(dp, tunnel, port[GUEST]), 0);
	guest_sends(10);
	wait_seq(tunnel, 1);
	speed_up();
	for (unsigned i = 0; i <= N_OLD; i++)
		(void)receive_tunnelled(frame);
	assert_int_equal(dp_flow_seq(dp, tunnel, port[GUEST]), 1);
	assert_int_equal(dp_flow_seq(dp, second, port[GUEST]), N_OLD);
}

// What was dropped while it waited is not counted as waiting any more.
static void
number_of_a_flow_forgets_what_was_dropped(void **state)
{
	(void)state;
	begin(false, 0, 0);
	slow_down();
	for (unsigned i = 0; i < N_OLD; i++)
		guest_sends(1000);
	wait_seq(tunnel, N_OLD);
	uplink_cfg.admin_up = false;
	set_port(port[NET], &uplink_cfg);
	while (stats_of(port[NET]).queued)
		;
	assert_in_range(dp_flow_seq(dp, tunnel, port[GUEST]), 0, 2);
	uplink_cfg.admin_up = true;
	set_port(port[NET], &uplink_cfg);
}

static void
narrow(uint32_t mtu)
{
	tunnel_cfg.mtu = mtu;
	snprintf(tunnel_cfg.name, sizeof(tunnel_cfg.name), "t");
	tunnel_cfg.vni = VNI;
	set_port(tunnel, &tunnel_cfg);
}

// What comes through the tunnel is fragments of the packet, which is then the one that was sent.
static void
expect_fragments(const uint8_t *packet, size_t len, unsigned n_fragments, uint32_t mtu)
{
	uint8_t frame[FRAME_BYTES], again[FRAME_BYTES] = {0};
	size_t sum = 0;

	for (unsigned i = 0; i < n_fragments; i++) {
		struct geneve_packet p = receive_tunnelled(frame);
		const struct rte_ipv4_hdr *ip =
			(const struct rte_ipv4_hdr *)(frame + p.inner_offset + RTE_ETHER_HDR_LEN);
		uint16_t field = rte_be_to_cpu_16(ip->fragment_offset);
		size_t n = rte_be_to_cpu_16(ip->total_length) - sizeof(*ip);

		assert_true(n + sizeof(*ip) <= mtu);
		assert_int_equal(rte_ipv4_cksum(ip) & 0xffff, 0);
		assert_int_equal(p.inner_len, RTE_ETHER_HDR_LEN + sizeof(*ip) + n);
		assert_int_equal(!!(field & RTE_IPV4_HDR_MF_FLAG), i + 1 < n_fragments);
		assert_true((field & RTE_IPV4_HDR_OFFSET_MASK) * 8 + n <= sizeof(again));
		memcpy(again + (field & RTE_IPV4_HDR_OFFSET_MASK) * 8, ip + 1, n);
		assert_int_equal(p.meta.seq, i);
		sum += n;
	}
	assert_int_equal(sum, len - RTE_ETHER_HDR_LEN - sizeof(struct rte_ipv4_hdr));
	assert_memory_equal(again, packet + RTE_ETHER_HDR_LEN + sizeof(struct rte_ipv4_hdr), sum);
}

static void
packet_without_df_arrives_in_fragments(void **state)
{
	uint8_t frame[FRAME_BYTES];
	size_t len = make_udp(frame, &guest_mac, &far_mac, 1472, false);

	(void)state;
	begin(false, 0, 0);
	narrow(600);
	send_frame(GUEST, frame, len);
	expect_fragments(frame, len, 3, 600);
	assert_int_equal(stats_of(tunnel).replicated, 2);
	assert_conserved();
}

// The checksum of the whole packet is nowhere to be computed any more when it is in fragments.
static void
checksum_that_was_left_is_there_before_fragments_are(void **state)
{
	uint8_t frame[FRAME_BYTES];
	size_t len = make_udp(frame, &guest_mac, &far_mac, 1472, false);
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	struct rte_ipv4_hdr *ip;
	struct rte_udp_hdr *udp;

	(void)state;
	begin(false, 0, 0);
	narrow(600);
	assert_non_null(m);
	memcpy(rte_pktmbuf_append(m, (uint16_t)len), frame, len);
	m->l2_len = RTE_ETHER_HDR_LEN;
	m->l3_len = sizeof(*ip);
	m->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM;
	ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);
	udp = (struct rte_udp_hdr *)(ip + 1);
	udp->dgram_cksum = rte_ipv4_phdr_cksum(ip, 0);
	send_mbuf(GUEST, m);
	expect_fragments(frame, len, 3, 600);
}

static void
packet_with_df_is_answered_and_no_ip_is_counted(void **state)
{
	uint8_t frame[FRAME_BYTES];
	struct rte_mbuf *m;
	size_t len;

	(void)state;
	begin(false, 0, 0);
	narrow(600);
	send_frame(GUEST, frame, make_udp(frame, &guest_mac, &far_mac, 1472, true));
	m = receive(GUEST); // ICMP fragmentation needed
	assert_int_equal(rte_pktmbuf_mtod(m, const uint8_t *)[23], IPPROTO_ICMP);
	rte_pktmbuf_free(m);
	wait_drops(tunnel, DROP_MTU, 1);
	len = make_udp(frame, &guest_mac, &far_mac, 1472, false);
	frame[12] = 0x88; // an experimental EtherType
	frame[13] = 0xb5;
	send_frame(GUEST, frame, len);
	wait_drops(tunnel, DROP_UNFRAGMENTABLE, 1);
	wait_drops(tunnel, DROP_MTU, 1);
	assert_conserved();
}

// The checksum field of the UDP header outside.
static uint16_t
outer_checksum(const uint8_t *frame)
{
	const uint8_t *udp = frame + RTE_ETHER_HDR_LEN + (other.is_ipv6 ? 40 : 20);

	return (uint16_t)(udp[6] << 8 | udp[7]);
}

// receive_tunnelled has verified one that is there.
static void
checksum_outside_is_there_where_it_is_asked_for(void **state)
{
	uint8_t frame[FRAME_BYTES];

	(void)state;
	begin(true, 0, 0);
	guest_sends(100);
	(void)receive_tunnelled(frame);
	assert_int_equal(outer_checksum(frame), 0);
	assert_int_equal(dp_port_del(dp, tunnel), 0);
	tunnel_cfg.csum = true;
	tunnel = add_tunnel("t", VNI);
	for (size_t payload = 0; payload < 8; payload++) {
		guest_sends(100 + payload);
		(void)receive_tunnelled(frame);
		assert_true(outer_checksum(frame));
	}
	assert_int_equal(dp_port_del(dp, tunnel), 0);
	tunnel_cfg.timestamps = false;
	tunnel = add_tunnel("t", VNI);
	guest_sends(100);
	(void)receive_tunnelled(frame);
	assert_true(outer_checksum(frame));
}

static void
checksum_outside_works_over_ipv4(void **state)
{
	uint8_t frame[FRAME_BYTES];
	char err[DP_ERR_SIZE];

	(void)state;
	begin(false, 0, 0);
	assert_int_equal(dp_port_del(dp, tunnel), 0);
	tunnel_cfg.csum = true;
	tunnel = add_tunnel("t", VNI);
	guest_sends(100);
	(void)receive_tunnelled(frame);
	assert_true(outer_checksum(frame));
	tunnel_cfg.csum = false;
	snprintf(tunnel_cfg.name, sizeof(tunnel_cfg.name), "t");
	tunnel_cfg.vni = VNI;
	assert_int_equal(dp_port_set(dp, tunnel, &tunnel_cfg, err), -EINVAL);
	assert_non_null(strstr(err, "csum: fixed"));
	assert_null(strstr(err, "guest")); // it has none
}

// A network that completes checksums gets the pseudo-header's sum.
static void
checksum_outside_is_left_to_a_device_that_does_it(void **state)
{
	uint8_t frame[FRAME_BYTES];
	const struct rte_ipv6_hdr *ip = (const struct rte_ipv6_hdr *)(frame + RTE_ETHER_HDR_LEN);
	struct rte_mbuf *m;

	(void)state;
	begin(true, RTE_ETH_RX_OFFLOAD_UDP_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM, 0);
	assert_int_equal(dp_port_del(dp, tunnel), 0);
	tunnel_cfg.csum = true;
	tunnel = add_tunnel("t", VNI);
	guest_sends(100);
	m = receive(NET);
	assert_true(m->pkt_len <= FRAME_BYTES);
	memcpy(frame, rte_pktmbuf_mtod(m, const void *), m->pkt_len);
	rte_pktmbuf_free(m);
	assert_int_equal(rte_cpu_to_be_16(outer_checksum(frame)), rte_ipv6_phdr_cksum(ip, 0));
}

// A guest that is the other host leaves checksums to its NIC, which the uplink is.
static void
checksum_that_the_network_left_to_us_is_right(void **state)
{
	struct geneve_template t;
	uint8_t inner[FRAME_BYTES];
	struct rte_mbuf *m;
	size_t len = make_udp(inner, &far_mac, &guest_mac, 200, true);
	uint8_t *data;

	(void)state;
	begin(true, 0, RTE_ETH_TX_OFFLOAD_UDP_CKSUM);
	t = headers_of_other(VNI, true);
	m = rte_pktmbuf_alloc(pool);
	assert_non_null(m);
	data = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(t.len + len));
	memcpy(data + t.len, inner, len);
	geneve_push(&t, data, len, 50000, 0, 0, 0);
	m->l2_len = RTE_ETHER_HDR_LEN;
	m->l3_len = sizeof(struct rte_ipv6_hdr);
	m->ol_flags = RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_UDP_CKSUM;
	send_mbuf(NET, m);
	m = receive(GUEST);
	assert_int_equal(m->pkt_len, len);
	rte_pktmbuf_free(m);
	assert_int_equal(stats_of(port[NET]).drops[DROP_TUNNEL_CHECKSUM], 0);
}

// OVN's option, by itself.
static void
send_critical(const uint8_t *inner, size_t len)
{
	static const uint8_t option[] = {0x01, 0x02, 0x80, 1, 0, 1, 0, 2};
	struct geneve_template t = headers_of_other(VNI, false);
	uint8_t frame[FRAME_BYTES], *ip = frame + t.l3_offset, *udp = frame + t.udp_offset;
	uint16_t total;

	geneve_push(&t, frame, len + sizeof(option), 50000, 0, 0, 0);
	udp[8] = sizeof(option) / 4;
	udp[9] |= 0x40; // there are critical options
	memcpy(frame + t.len, option, sizeof(option));
	memcpy(frame + t.len + sizeof(option), inner, len);
	total = (uint16_t)(t.len + sizeof(option) + len - t.l3_offset);
	assert_int_equal(ip[2] << 8 | ip[3], total);
	send_frame(NET, frame, t.l3_offset + total);
}

static void
critical_option_is_ignored_where_its_tunnel_says_so(void **state)
{
	uint8_t inner[FRAME_BYTES];
	size_t len = make_udp(inner, &far_mac, &guest_mac, 200, true);
	char err[DP_ERR_SIZE];
	struct rte_mbuf *m;

	(void)state;
	begin(false, 0, 0);
	send_critical(inner, len);
	wait_drops(port[NET], DROP_TUNNEL_OPTION, 1);
	narrow(1400);
	snprintf(tunnel_cfg.ignore_options, sizeof(tunnel_cfg.ignore_options), "0x102/");
	assert_int_equal(dp_port_set(dp, tunnel, &tunnel_cfg, err), -EINVAL);
	assert_non_null(strstr(err, "ignore_options: must be CLASS"));
	snprintf(tunnel_cfg.ignore_options, sizeof(tunnel_cfg.ignore_options), "0x103,0x102/0x80");
	set_port(tunnel, &tunnel_cfg);
	send_critical(inner, len);
	m = receive(GUEST);
	assert_int_equal(m->pkt_len, len);
	assert_memory_equal(rte_pktmbuf_mtod(m, const void *), inner, len);
	rte_pktmbuf_free(m);
	snprintf(tunnel_cfg.ignore_options, sizeof(tunnel_cfg.ignore_options), "0x102/0x81");
	set_port(tunnel, &tunnel_cfg);
	send_critical(inner, len);
	wait_drops(port[NET], DROP_TUNNEL_OPTION, 2);
}

// A router says that mtu is the most for a packet that was seen, of which it quotes so many bytes.
static void
router_says(const uint8_t *seen, uint32_t mtu, size_t quote)
{
	uint8_t frame[FRAME_BYTES] = {0};
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(frame + RTE_ETHER_HDR_LEN);
	uint8_t *icmp = (uint8_t *)(ip + 1);
	uint16_t sum;

	memcpy(frame, seen + 6, 6);
	memcpy(frame + 6, seen, 6);
	frame[12] = 0x08;
	*ip = (struct rte_ipv4_hdr){.version_ihl = 0x45,
		.total_length = rte_cpu_to_be_16((uint16_t)(sizeof(*ip) + 8 + quote)),
		.time_to_live = 60,
		.next_proto_id = IPPROTO_ICMP,
		.src_addr = rte_cpu_to_be_32(RTE_IPV4(10, 9, 0, 254)),
		.dst_addr = rte_cpu_to_be_32(RTE_IPV4(10, 9, 0, 1))};
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	icmp[0] = 3;
	icmp[1] = 4;
	icmp[6] = (uint8_t)(mtu >> 8);
	icmp[7] = (uint8_t)mtu;
	memcpy(icmp + 8, seen + RTE_ETHER_HDR_LEN, quote);
	sum = (uint16_t)~rte_raw_cksum(icmp, 8 + quote);
	memcpy(icmp + 2, &sum, 2);
	send_frame(NET, frame, RTE_ETHER_HDR_LEN + sizeof(*ip) + 8 + quote);
}

// The daemon has looked at all that was sent to it before.
static void
settle(void)
{
	uint64_t n = stats_of(port[NET]).to_daemon, end = limit();
	uint8_t request[NEIGHBOR_MAX];
	struct neighbor_self self = {.is_ipv6 = other.is_ipv6, .mac = other.mac};

	memcpy(self.addr, other.addr, sizeof(self.addr));
	send_frame(NET, request, neighbor_request(&self, uplink_cfg.address.addr, NULL, request));
	while (stats_of(port[NET]).to_daemon == n)
		assert_true(rte_rdtsc() < end);
	for (unsigned i = 0; i < 100; i++)
		rte_pktmbuf_free(poll_device(NET));
}

static void
wait_mtu(uint32_t mtu)
{
	uint64_t end = limit();

	while (state_of(tunnel).mtu != mtu) {
		rte_pktmbuf_free(poll_device(NET));
		assert_true(rte_rdtsc() < end);
	}
}

static void
what_the_network_takes_is_what_the_tunnel_takes(void **state)
{
	uint8_t seen[FRAME_BYTES], frame[FRAME_BYTES], forged[FRAME_BYTES];
	size_t len;

	(void)state;
	begin(false, 0, 0);
	guest_sends(1400);
	(void)receive_tunnelled(seen);
	// Of a packet to another host, of another network's, of one that would fit, of one that is not ours.
	memcpy(forged, seen, FRAME_BYTES);
	forged[RTE_ETHER_HDR_LEN + 19]++;
	router_says(forged, 1300, 28);
	memcpy(forged, seen, FRAME_BYTES);
	forged[RTE_ETHER_HDR_LEN + 20 + 8 + 6]++; // VNI
	router_says(forged, 1300, 100);
	router_says(seen, 1600, 100);
	memcpy(forged, seen, FRAME_BYTES);
	forged[RTE_ETHER_HDR_LEN + 22]++; // destination port
	router_says(forged, 1300, 28);
	settle();
	assert_int_equal(state_of(tunnel).mtu, 1500);
	router_says(seen, 1300, 28);
	wait_mtu(1300 - 90);
	assert_non_null(strstr(state_of(tunnel).detail, "1300 bytes at most"));
	len = make_udp(frame, &guest_mac, &far_mac, 1472, false);
	send_frame(GUEST, frame, len);
	for (unsigned i = 0; i < 2; i++) {
		struct geneve_packet p = receive_tunnelled(seen);

		assert_true(p.inner_offset + p.inner_len <= RTE_ETHER_HDR_LEN + 1300);
	}
	assert_conserved();
}

// An IPv6 packet of len bytes inside of a frame.
static size_t
make_ipv6(uint8_t *out, size_t len)
{
	struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)(out + RTE_ETHER_HDR_LEN);

	memset(out, 0, RTE_ETHER_HDR_LEN + len);
	memcpy(out, far_mac.b, 6);
	memcpy(out + 6, guest_mac.b, 6);
	out[12] = 0x86;
	out[13] = 0xdd;
	ip->vtc_flow = rte_cpu_to_be_32(6u << 28);
	ip->payload_len = rte_cpu_to_be_16((uint16_t)(len - sizeof(*ip)));
	ip->proto = 59; // no next header
	ip->hop_limits = 64;
	memset(&ip->src_addr, 0x21, 16);
	memset(&ip->dst_addr, 0x22, 16);
	return RTE_ETHER_HDR_LEN + len;
}

// A router may say less, or somebody who forges what it says, and hosts need not take less (RFC 8200, section 5).
static void
ipv6_is_not_asked_for_less_than_its_minimum(void **state)
{
	uint8_t frame[FRAME_BYTES], seen[FRAME_BYTES];
	const uint8_t *answer;
	struct geneve_packet p;
	struct rte_mbuf *m;
	size_t len;

	(void)state;
	begin(false, 0, 0);
	guest_sends(1400);
	(void)receive_tunnelled(seen);
	router_says(seen, 576, 28);
	wait_mtu(576 - 90);
	len = make_ipv6(frame, 1280);
	send_frame(GUEST, frame, len);
	p = receive_tunnelled(seen);
	assert_int_equal(p.inner_len, len);
	assert_memory_equal(seen + p.inner_offset, frame, len);
	send_frame(GUEST, frame, make_ipv6(frame, 1281));
	wait_drops(tunnel, DROP_MTU, 1);
	m = receive(GUEST);
	answer = rte_pktmbuf_mtod(m, const uint8_t *) + RTE_ETHER_HDR_LEN + 40;
	assert_int_equal(answer[0], 2); // ICMPv6 packet too big
	assert_int_equal(answer[6] << 8 | answer[7], 1280);
	rte_pktmbuf_free(m);
	assert_conserved();
}

// IPv4 with DF, its tags before it. Returns the frame's length.
static size_t
make_tagged(uint8_t *out, size_t ip_len)
{
	static const uint8_t tags[] = {0x88, 0xa8, 0, 5, 0x81, 0, 0, 6};
	size_t len = make_udp(out, &guest_mac, &far_mac, ip_len - 28, true);

	memmove(out + 12 + sizeof(tags), out + 12, len - 12);
	memcpy(out + 12, tags, sizeof(tags));
	return len + sizeof(tags);
}

// An uplink that has room for a tunnel's headers and one tag, as its configuration must, says so before it drops.
static void
packet_behind_two_tags_fits_its_uplink_or_is_answered(void **state)
{
	uint8_t frame[FRAME_BYTES], seen[FRAME_BYTES];
	const uint8_t *answer;
	struct geneve_packet p;
	struct rte_mbuf *m;
	size_t len;

	(void)state;
	begin(true, 0, 0);
	for (unsigned room = 0; room < 2; room++) {
		uint32_t mtu = room ? 1500 : 1496;

		uplink_cfg.mtu = 1500 + DP_TUNNEL_OVERHEAD + 4 * room;
		set_port(port[NET], &uplink_cfg);
		len = make_tagged(frame, mtu);
		send_frame(GUEST, frame, len);
		p = receive_tunnelled(seen);
		assert_int_equal(p.inner_len, len);
		send_frame(GUEST, frame, make_tagged(frame, mtu + 1));
		wait_drops(tunnel, DROP_MTU, room + 1);
		m = receive(GUEST);
		answer = rte_pktmbuf_mtod(m, const uint8_t *) + RTE_ETHER_HDR_LEN + 8 + 20;
		assert_int_equal(answer[0], 3);
		assert_int_equal(answer[1], 4); // fragmentation needed
		assert_int_equal(answer[6] << 8 | answer[7], mtu);
		rte_pktmbuf_free(m);
	}
	assert_int_equal(stats_of(port[NET]).drops[DROP_MTU], 0);
	assert_conserved();
}

#define WITH_BRIDGE(test) cmocka_unit_test_setup_teardown(test, add_bridge, remove_all)

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(frames_pass_both_ways_and_are_accounted_for),
		WITH_BRIDGE(capture_of_a_tunnel_has_what_it_sends_and_receives),
		WITH_BRIDGE(trace_goes_on_through_a_tunnel),
		WITH_BRIDGE(new_tunnel_numbers_none_of_the_packets_of_an_old_one),
		WITH_BRIDGE(number_of_a_flow_counts_no_packets_for_other_tunnels),
		WITH_BRIDGE(number_of_a_flow_forgets_what_was_dropped),
		WITH_BRIDGE(packet_without_df_arrives_in_fragments),
		WITH_BRIDGE(checksum_that_was_left_is_there_before_fragments_are),
		WITH_BRIDGE(packet_with_df_is_answered_and_no_ip_is_counted),
		WITH_BRIDGE(checksum_outside_is_there_where_it_is_asked_for),
		WITH_BRIDGE(checksum_outside_works_over_ipv4),
		WITH_BRIDGE(checksum_outside_is_left_to_a_device_that_does_it),
		WITH_BRIDGE(checksum_that_the_network_left_to_us_is_right),
		WITH_BRIDGE(critical_option_is_ignored_where_its_tunnel_says_so),
		WITH_BRIDGE(what_the_network_takes_is_what_the_tunnel_takes),
		WITH_BRIDGE(ipv6_is_not_asked_for_less_than_its_minimum),
		WITH_BRIDGE(packet_behind_two_tags_fits_its_uplink_or_is_answered),
	};

	if (argc > 1)
		n_workers = (unsigned)strtoul(argv[1], NULL, 10);
	return cmocka_run_group_tests_name("overlay", tests, start_dp, stop_dp);
}
