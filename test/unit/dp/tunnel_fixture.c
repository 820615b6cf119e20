#include "tunnel_fixture.h"

#include "rtvs/neighbor.h"

#include <rte_ip.h>
#include <rte_udp.h>

#include <stdio.h>
#include <string.h>

struct host other;
struct dp_port_cfg uplink_cfg, tunnel_cfg;
const struct mac near_mac = {{0x52, 0x54, 0, 0, 0, 1}}, far_mac = {{0x52, 0x54, 0, 0, 0, 2}};

void
send_bytes(unsigned i, const uint8_t *frame, size_t len)
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
		send_bytes(NET, reply, neighbor_reply(&self, &msg, reply));
	return true;
}

struct rte_mbuf *
poll_outside(void)
{
	struct dp_datagram ignored;
	struct rte_mbuf *m;

	while (dp_datagram_next(dp, &ignored))
		;
	if (!rte_eth_rx_burst(guest[NET].dev, 0, &m, 1))
		return NULL;
	if (!answer_neighbor(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len))
		return m;
	rte_pktmbuf_free(m);
	return NULL;
}

struct rte_mbuf *
receive_outside(void)
{
	uint64_t end = wait_limit();
	struct rte_mbuf *m;

	while (!(m = poll_outside()))
		if (rte_rdtsc() > end)
			fail_msg("the other host received nothing");
	return m;
}

struct geneve_packet
receive_tunnelled(uint8_t out[FRAME_BYTES])
{
	struct geneve_packet p;
	struct rte_mbuf *m = receive_outside();

	assert_true(m->nb_segs == 1 && m->pkt_len <= FRAME_BYTES);
	memcpy(out, rte_pktmbuf_mtod(m, const uint8_t *), m->pkt_len);
	assert_int_equal(geneve_parse(out, m->pkt_len, dp_tai_ns(dp), GENEVE_CLASS_DEFAULT, &p), GENEVE_OK);
	rte_pktmbuf_free(m);
	return p;
}

struct geneve_template
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

void
send_tunnelled(uint32_t vni, const uint8_t *inner, size_t len)
{
	struct geneve_template t = headers_of_other(vni, false);
	uint8_t frame[FRAME_BYTES];

	memcpy(frame + t.len, inner, len);
	geneve_push(&t, frame, len, 50000, 0, 0, 0);
	send_bytes(NET, frame, t.len + len);
}

size_t
make_udp(uint8_t *out, const struct mac *src, const struct mac *dst, size_t payload, bool has_df)
{
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(out + RTE_ETHER_HDR_LEN);
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);
	// whose addresses and ports are told apart as well
	uint8_t from = src->b[5], to = dst->b[5];

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

void
guest_sends(size_t payload)
{
	uint8_t frame[FRAME_BYTES];

	send_bytes(GUEST, frame, make_udp(frame, &near_mac, &far_mac, payload, true));
}

unsigned
add_tunnel(const char *name, uint32_t vni)
{
	struct dp_port_cfg cfg = tunnel_cfg;
	uint64_t end = wait_limit();
	struct dp_port_state state;
	unsigned id;

	snprintf(cfg.name, sizeof(cfg.name), "%s", name);
	cfg.vni = vni;
	id = new_port(&cfg);
	do { // the next hop is asked for once a second
		dp_housekeeping(dp);
		take_events();
		rte_pktmbuf_free(poll_outside());
		assert_true(rte_rdtsc() < end);
		assert_int_equal(dp_port_state(dp, id, &state), 0);
	} while (!state.is_connected);
	dp_housekeeping(dp);
	return id;
}

void
begin_tunnel(bool is_ipv6, uint64_t net_rx_offloads, uint64_t net_tx_offloads)
{
	static const struct prefix own4 = {.addr = {10, 9, 0, 1}, .len = 24},
				   own6 = {.addr = {0xfd, 9, [15] = 1}, .len = 64, .is_v6 = true};
	// an uplink of its own each: tunnels remember what they were through one
	static unsigned n_begun;
	struct dp_port_cfg cfg = port_cfg(GUEST);

	// The guest's packets are guaranteed: none is dropped because it waited.
	cfg.min_rate_bps = DP_RATE_MIN;
	cfg.burst_bytes = 1 << 20;
	add_port(GUEST, &cfg);
	uplink_cfg = port_cfg(NET);
	snprintf(uplink_cfg.name, sizeof(uplink_cfg.name), "up%u", ++n_begun);
	uplink_cfg.bridge[0] = '\0';
	uplink_cfg.mtu = 1700;
	uplink_cfg.tso = false;
	uplink_cfg.address = is_ipv6 ? own6 : own4;
	other = (struct host){.mac = {{0x02, 0, 0, 9, 0, 2}}, .is_ipv6 = is_ipv6};
	memcpy(other.addr, uplink_cfg.address.addr, 16);
	other.addr[is_ipv6 ? 15 : 3] = 2;
	tunnel_cfg = (struct dp_port_cfg){.type = DP_PORT_GENEVE,
		.admin_up = true,
		.mtu = 1500,
		.bridge = "br0",
		.remote = {.len = is_ipv6 ? 128 : 32, .is_v6 = is_ipv6},
		.timestamps = true,
		.n_queues = 1,
		.weight = 1,
		.queue = 512};
	memcpy(tunnel_cfg.uplink, uplink_cfg.name, sizeof(tunnel_cfg.uplink));
	memcpy(tunnel_cfg.remote.addr, other.addr, 16);
	add_port(NET, &uplink_cfg);
	plug(GUEST, 0, RTE_ETH_TX_OFFLOAD_UDP_CKSUM);
	plug(NET, net_rx_offloads, net_tx_offloads);
	guest[TUNNEL].port = add_tunnel("t", VNI);
}

void
narrow(uint32_t mtu)
{
	tunnel_cfg.mtu = mtu;
	snprintf(tunnel_cfg.name, sizeof(tunnel_cfg.name), "t");
	tunnel_cfg.vni = VNI;
	set_port(TUNNEL, &tunnel_cfg);
}
