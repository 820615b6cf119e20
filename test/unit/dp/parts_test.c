// A guest leaves checksums and segments to the switch, behind all headers that may precede them,
// and a tunnel sends packets in fragments. The receiver gets right frames or none. Guests here are
// DPDK's virtio devices, which give the checksum's place as Linux does (csum_start).
#include "rtvs/frame.h"
#include "tunnel_fixture.h"

#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include <stdio.h>
#include <string.h>

#define PAYLOAD 200
#define SUPER_PAYLOAD 2900
#define TSO_MSS 500
#define TCP 6
#define UDP 17
#define OFFLOADS (RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM)

enum tags {
	PLAIN,
	VLAN,
	QINQ, // 802.1ad, which is no VLAN tag here
	VLAN_VLAN,
	QINQ_VLAN,
	N_TAGS
};
static const uint16_t tpids[N_TAGS][2] = {{0}, {0x8100}, {0x88a8}, {0x8100, 0x8100}, {0x88a8, 0x8100}};

static void
add_two(bool takes_offloads)
{
	struct dp_port_cfg cfgs[2] = {port_cfg(0), port_cfg(1)};

	for (unsigned i = 0; i < 2; i++) {
		cfgs[i].vlan_mode = DP_VLAN_TRUNK;
		cfgs[i].vlan = 1;
		vlan_set_add(&cfgs[i].trunk, 5);
	}
	cfgs[1].csum = cfgs[1].tso = takes_offloads;
	add_port(0, &cfgs[0]);
	plug(0, 0, OFFLOADS);
	add_port(1, &cfgs[1]);
	plug(1, takes_offloads ? RTE_ETH_RX_OFFLOAD_TCP_LRO | RTE_ETH_RX_OFFLOAD_TCP_CKSUM : 0, 0);
}

static void
store16(uint8_t *p, unsigned value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static uint64_t
pseudo_sum(const uint8_t *ip, bool is_v6, unsigned proto, unsigned l4_bytes)
{
	return frame_checksum_add(proto + l4_bytes, ip + (is_v6 ? 8 : 12), is_v6 ? 32 : 8);
}

// A frame whose checksum is left to the switch: the pseudo header's sum is in its field. n_options:
// IPv6 destination options.
static struct rte_mbuf *
make_request(enum tags tags, bool is_v6, unsigned n_options, unsigned proto, unsigned payload)
{
	unsigned n_tags = !!tpids[tags][0] + !!tpids[tags][1];
	unsigned l2_len = ETHER_HDR + 4 * n_tags, l3_len = (is_v6 ? 40 : 20) + 8 * n_options;
	unsigned l4_len = proto == TCP ? 20 : 8;
	struct rte_mbuf *m = make_frame(0, BROADCAST, 0, l2_len + l3_len + l4_len + payload);
	uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *), *ip = p + l2_len, *l4 = ip + l3_len;

	for (unsigned i = 0; i < n_tags; i++) {
		store16(p + 12 + 4 * i, tpids[tags][i]);
		store16(p + 14 + 4 * i, 5);
	}
	store16(ip - 2, is_v6 ? FRAME_ETHER_IPV6 : FRAME_ETHER_IPV4);
	if (is_v6) {
		ip[0] = 0x60;
		store16(ip + 4, l3_len - 40 + l4_len + payload);
		ip[6] = (uint8_t)(n_options ? 60 : proto);
		ip[7] = 64;
		memset(ip + 8, 0x21, 16);
		memset(ip + 24, 0x22, 16);
		for (unsigned i = 0; i < n_options; i++) {
			ip[40 + 8 * i] = (uint8_t)(i + 1 < n_options ? 60 : proto);
			ip[40 + 8 * i + 2] = 1; // PadN
			ip[40 + 8 * i + 3] = 4;
		}
	} else {
		ip[0] = 0x45;
		store16(ip + 2, l3_len + l4_len + payload);
		ip[8] = 64;
		ip[9] = (uint8_t)proto;
		memset(ip + 12, 0x0a, 4);
		memset(ip + 16, 0x0b, 4);
		store16(ip + 10, (uint16_t)~frame_checksum_fold(frame_checksum_add(0, ip, 20)));
	}
	l4[1] = 1;
	l4[3] = 2;
	if (proto == TCP)
		l4[12] = 0x50;
	else
		store16(l4 + 4, l4_len + payload);
	for (unsigned i = 0; i < payload; i++)
		l4[l4_len + i] = (uint8_t)i;
	store16(l4 + (proto == TCP ? 16 : 6), frame_checksum_fold(pseudo_sum(ip, is_v6, proto, l4_len + payload)));
	m->l2_len = l2_len & 0x7f;
	m->l3_len = l3_len & 0x1ff;
	m->l4_len = l4_len & 0xff;
	m->ol_flags = (proto == TCP ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM) |
		(is_v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4);
	return m;
}

// Of whole frames, as they are received; returns the payload's length.
static unsigned
assert_right(struct rte_mbuf *m, enum tags tags, bool is_v6, unsigned n_options, unsigned proto)
{
	unsigned n_tags = !!tpids[tags][0] + !!tpids[tags][1], l3_len = (is_v6 ? 40 : 20) + 8 * n_options;
	const uint8_t *ip = rte_pktmbuf_mtod_offset(m, const uint8_t *, ETHER_HDR + 4 * n_tags);
	unsigned l4_bytes = m->pkt_len - ETHER_HDR - 4 * n_tags - l3_len;

	assert_int_equal(m->nb_segs, 1);
	if (frame_checksum_fold(frame_checksum_add(pseudo_sum(ip, is_v6, proto, l4_bytes), ip + l3_len, l4_bytes)) !=
		0xffff)
		fail_msg("tags %u, IPv%u, %u options, protocol %u: wrong checksum", tags, is_v6 ? 6 : 4, n_options,
			proto);
	return l4_bytes - (proto == TCP ? 20 : 8);
}

static void
checksum_is_right_behind_all_headers(void **state)
{
	static const unsigned protos[] = {TCP, UDP};

	(void)state;
	add_two(false);
	for (unsigned tags = 0; tags < N_TAGS; tags++)
		for (unsigned i = 0; i < 2; i++)
			for (unsigned n_options = 0; n_options <= 3; n_options++)
				for (unsigned is_v6 = n_options ? 1 : 0; is_v6 < 2; is_v6++) {
					struct rte_mbuf *m;

					send_mbuf(0, make_request(tags, is_v6, n_options, protos[i], PAYLOAD));
					m = receive(1);
					assert_int_equal(assert_right(m, tags, is_v6, n_options, protos[i]), PAYLOAD);
					rte_pktmbuf_free(m);
				}
}

// A guest that takes requests gets those that it knows itself, and all headers as they were.
static void
receiver_with_offloads_gets_requests(void **state)
{
	(void)state;
	add_two(true);
	for (unsigned tags = 0; tags < N_TAGS; tags++)
		for (unsigned n_options = 0; n_options <= 3; n_options++)
			for (unsigned is_super = 0; is_super < 2; is_super++) {
				unsigned payload = is_super ? SUPER_PAYLOAD : PAYLOAD, len;
				struct rte_mbuf *m = make_request(tags, true, n_options, TCP, payload);
				uint8_t sent[ETHER_HDR + 8 + 40 + 24 + 20 + SUPER_PAYLOAD], got[sizeof(sent)];
				unsigned at = m->l2_len + m->l3_len + 16;
				const uint8_t *data;

				len = m->pkt_len;
				memcpy(sent, rte_pktmbuf_mtod(m, void *), len);
				m->ol_flags |= is_super ? RTE_MBUF_F_TX_TCP_SEG : 0;
				m->tso_segsz = TSO_MSS;
				send_mbuf(0, m);
				m = receive(1);
				assert_int_equal(m->pkt_len, len);
				assert_int_equal(!!(m->ol_flags & RTE_MBUF_F_RX_LRO), is_super);
				if (is_super)
					assert_int_equal(m->tso_segsz, TSO_MSS);
				data = rte_pktmbuf_read(m, 0, len, got);
				// Its driver finishes checksums that it has no flag for.
				if (!(m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK))
					(void)assert_right(m, tags, true, n_options, TCP);
				else if (!is_super)
					assert_memory_equal(data + at, sent + at, 2);
				assert_memory_equal(data, sent, at);
				assert_memory_equal(data + at + 2, sent + at + 2, len - at - 2);
				rte_pktmbuf_free(m);
			}
}

static void
super_frame_is_segmented_behind_all_headers(void **state)
{
	(void)state;
	add_two(false);
	for (unsigned tags = 0; tags < N_TAGS; tags++)
		for (unsigned n_options = 0; n_options <= 3; n_options++)
			for (unsigned is_v6 = n_options ? 1 : 0; is_v6 < 2; is_v6++) {
				struct rte_mbuf *m = make_request(tags, is_v6, n_options, TCP, SUPER_PAYLOAD);
				unsigned sum = 0;

				m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IP_CKSUM;
				m->tso_segsz = TSO_MSS;
				send_mbuf(0, m);
				while (sum < SUPER_PAYLOAD) {
					unsigned n;

					m = receive(1);
					n = assert_right(m, tags, is_v6, n_options, TCP);
					assert_true(n && n <= TSO_MSS);
					sum += n;
					rte_pktmbuf_free(m);
				}
				assert_int_equal(sum, SUPER_PAYLOAD);
			}
}

static void
request_that_cannot_be_executed_is_dropped_by_name(void **state)
{
	struct rte_mbuf *m;

	(void)state;
	add_two(false);
	// A checksum behind the frame's end.
	m = make_request(PLAIN, false, 0, TCP, PAYLOAD);
	m->l3_len += PAYLOAD + 3;
	send_mbuf(0, m);
	wait_drops(0, DROP_OFFLOAD, 1);
	// A super-frame with a length of IP that it does not have.
	m = make_request(PLAIN, true, 2, TCP, SUPER_PAYLOAD);
	m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
	m->tso_segsz = TSO_MSS;
	store16(rte_pktmbuf_mtod_offset(m, uint8_t *, ETHER_HDR) + 4, 1400);
	send_mbuf(0, m);
	wait_drops(0, DROP_OFFLOAD, 2);
	// Without a request they are frames like others.
	m = make_request(PLAIN, false, 0, TCP, 40);
	m->ol_flags = 0;
	send_mbuf(0, m);
	rte_pktmbuf_free(receive(1));
}

// A super-frame of 64 kB has 151 where a way takes 576 bytes outside of a tunnel.
static void
super_frame_has_so_many_segments_at_most(void **state)
{
	(void)state;
	add_two(false);
	for (unsigned more = 0; more < 2; more++) {
		struct rte_mbuf *m = make_request(PLAIN, false, 0, TCP, 256 * 8 + more);
		unsigned sum = 0;

		m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IP_CKSUM;
		m->tso_segsz = 8;
		send_mbuf(0, m);
		if (more) {
			wait_drops(1, DROP_OFFLOAD, 1);
			continue;
		}
		for (; sum < 256; sum++)
			rte_pktmbuf_free(receive(1));
	}
}

static struct rte_mbuf *
make_tso_frame(void)
{
	struct rte_mbuf *m = make_frame(0, 1, 0, ETHER_HDR + 20 + 20 + SUPER_PAYLOAD);
	uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);
	struct rte_ipv4_hdr ip = {.version_ihl = 0x45,
		.total_length = rte_cpu_to_be_16(20 + 20 + SUPER_PAYLOAD),
		.time_to_live = 64,
		.next_proto_id = IPPROTO_TCP,
		.src_addr = rte_cpu_to_be_32(0x0a000001),
		.dst_addr = rte_cpu_to_be_32(0x0a000002)};
	struct rte_tcp_hdr tcp = {.src_port = 1,
		.dst_port = 2,
		.sent_seq = rte_cpu_to_be_32(1000),
		.data_off = 5 << 4,
		.tcp_flags = RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG};

	p[12] = 0x08;
	p[13] = 0;
	memcpy(p + ETHER_HDR, &ip, sizeof(ip));
	memcpy(p + ETHER_HDR + 20, &tcp, sizeof(tcp));
	for (unsigned i = 0; i < SUPER_PAYLOAD; i++)
		p[ETHER_HDR + 40 + i] = (uint8_t)i;
	m->l2_len = ETHER_HDR;
	m->l3_len = 20;
	m->l4_len = 20;
	m->tso_segsz = TSO_MSS;
	m->ol_flags = RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
	return m;
}

static void
super_frame_is_segmented_for_a_guest_without_tso(void **state)
{
	struct dp_port_cfg cfgs[2] = {port_cfg(0), port_cfg(1)};
	struct dp_capture_pkt pkt;
	struct rte_mbuf *m;
	unsigned sum = 0;
	char err[DP_ERR_SIZE];
	uint64_t lost;

	(void)state;
	cfgs[0].deadline_ns = 1000000;
	add_port(0, &cfgs[0]);
	plug(0, 0, RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_TCP_CKSUM);
	cfgs[1].csum = cfgs[1].tso = false;
	cfgs[1].dscp = DP_DSCP_DEADLINE;
	add_port(1, &cfgs[1]);
	plug(1, 0, 0);
	m = make_tso_frame();
	assert_int_equal(rte_eth_tx_prepare(guest[0].dev, 0, &m, 1), 1);
	assert_int_equal(dp_capture_start(dp, guest[0].port, "", 0, err), 0);
	send_mbuf(0, m);
	while (sum < SUPER_PAYLOAD) {
		const struct rte_ipv4_hdr *ip;
		const struct rte_tcp_hdr *tcp;

		m = receive(1);
		ip = rte_pktmbuf_mtod_offset(m, const struct rte_ipv4_hdr *, ETHER_HDR);
		tcp = (const void *)(ip + 1);
		assert_int_equal(ip->type_of_service, 46 << 2); // as its sender's deadline
		// over a right header: 0 or its complement
		assert_int_equal(rte_ipv4_cksum(ip) & 0xffff, 0);
		assert_int_equal(rte_ipv4_udptcp_cksum_verify(ip, tcp), 0);
		assert_int_equal(rte_be_to_cpu_32(tcp->sent_seq), 1000 + sum);
		assert_true(m->pkt_len <= ETHER_HDR + 40 + TSO_MSS);
		sum += m->pkt_len - ETHER_HDR - 40;
		assert_int_equal(!!(tcp->tcp_flags & RTE_TCP_PSH_FLAG), sum == SUPER_PAYLOAD);
		rte_pktmbuf_free(m);
	}
	assert_int_equal(sum, SUPER_PAYLOAD);
	// A capture has it in one piece, as the guest sent it.
	assert_true(dp_capture_next(dp, guest[0].port, &pkt));
	assert_int_equal(pkt.caplen, ETHER_HDR + 40 + SUPER_PAYLOAD);
	dp_capture_stop(dp, guest[0].port, &lost);
}

// Fragments of the packet come through the tunnel; together they are the one that was sent.
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
	size_t len = make_udp(frame, &near_mac, &far_mac, 1472, false);

	(void)state;
	begin_tunnel(false, 0, 0);
	narrow(600);
	send_bytes(GUEST, frame, len);
	expect_fragments(frame, len, 3, 600);
	assert_int_equal(stats_of(TUNNEL).replicated, 2);
	assert_conserved();
}

// The checksum of the whole packet is nowhere to be computed any more when it is in fragments.
static void
checksum_that_was_left_is_there_before_fragments_are(void **state)
{
	uint8_t frame[FRAME_BYTES];
	size_t len = make_udp(frame, &near_mac, &far_mac, 1472, false);
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	struct rte_ipv4_hdr *ip;
	struct rte_udp_hdr *udp;

	(void)state;
	begin_tunnel(false, 0, 0);
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

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(checksum_is_right_behind_all_headers),
		WITH_BRIDGE(receiver_with_offloads_gets_requests),
		WITH_BRIDGE(super_frame_is_segmented_behind_all_headers),
		WITH_BRIDGE(request_that_cannot_be_executed_is_dropped_by_name),
		WITH_BRIDGE(super_frame_has_so_many_segments_at_most),
		WITH_BRIDGE(super_frame_is_segmented_for_a_guest_without_tso),
		WITH_BRIDGE(packet_without_df_arrives_in_fragments),
		WITH_BRIDGE(checksum_that_was_left_is_there_before_fragments_are),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests_name("dp/parts", tests, fixture_start, fixture_stop);
}
