// A super-frame for a guest that takes none.
#include "dp_fixture.h"

#include <rte_ip.h>
#include <rte_tcp.h>

#include <string.h>

#define TSO_PAYLOAD 2900
#define TSO_MSS 500

static struct rte_mbuf *
make_tso_frame(void)
{
	struct rte_mbuf *m = make_frame(0, 1, 0, ETHER_HDR + 20 + 20 + TSO_PAYLOAD);
	uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);
	struct rte_ipv4_hdr ip = {.version_ihl = 0x45,
		.total_length = rte_cpu_to_be_16(20 + 20 + TSO_PAYLOAD),
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
	for (unsigned i = 0; i < TSO_PAYLOAD; i++)
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
	while (sum < TSO_PAYLOAD) {
		const struct rte_ipv4_hdr *ip;
		const struct rte_tcp_hdr *tcp;

		m = receive(1);
		ip = rte_pktmbuf_mtod_offset(m, const struct rte_ipv4_hdr *, ETHER_HDR);
		tcp = (const void *)(ip + 1);
		assert_int_equal(ip->type_of_service, 46 << 2); // as its sender's deadline
		assert_int_equal(rte_ipv4_cksum(ip) & 0xffff, 0); // over a right header: 0 or its complement
		assert_int_equal(rte_ipv4_udptcp_cksum_verify(ip, tcp), 0);
		assert_int_equal(rte_be_to_cpu_32(tcp->sent_seq), 1000 + sum);
		assert_true(m->pkt_len <= ETHER_HDR + 40 + TSO_MSS);
		sum += m->pkt_len - ETHER_HDR - 40;
		assert_int_equal(!!(tcp->tcp_flags & RTE_TCP_PSH_FLAG), sum == TSO_PAYLOAD);
		rte_pktmbuf_free(m);
	}
	assert_int_equal(sum, TSO_PAYLOAD);
	// A capture has it in one piece, as the guest sent it.
	assert_true(dp_capture_next(dp, guest[0].port, &pkt));
	assert_int_equal(pkt.caplen, ETHER_HDR + 40 + TSO_PAYLOAD);
	dp_capture_stop(dp, guest[0].port, &lost);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(super_frame_is_segmented_for_a_guest_without_tso),
	};

	if (argc > 1)
		n_workers = (unsigned)strtoul(argv[1], NULL, 10);
	return cmocka_run_group_tests_name("parts", tests, fixture_start, fixture_stop);
}
