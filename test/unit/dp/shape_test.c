// The frame as its port wants it: MTU and DSCP. Mirrors show it as it came.
#include "dp_fixture.h"

#include <rte_cycles.h>
#include <rte_ip.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ECN 1
#define DSCP_BEFORE 56

static void
frame_longer_than_the_receivers_mtu_is_dropped(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};

	(void)state;
	cfgs[1].mtu = 1000;
	add_guests(cfgs);
	send_frame(1, BROADCAST, 0, 60);
	expect_frame(0, 60);
	send_frame(0, 1, 0, 1000 + ETHER_HDR);
	expect_frame(1, 1000 + ETHER_HDR);
	send_frame(0, 1, 0, 1001 + ETHER_HDR);
	wait_drops(1, DROP_MTU, 1);
}

// An IP packet without payload, marked DSCP_BEFORE and with ECN bits. vlan as in make_frame.
static struct rte_mbuf *
make_ip_frame(unsigned from, unsigned to, uint16_t vlan, bool is_v6)
{
	struct rte_mbuf *m = make_frame(from, to, vlan, 100);
	uint8_t *p = rte_pktmbuf_mtod_offset(m, uint8_t *, ETHER_HDR + (vlan ? 4 : 0));
	struct rte_ipv4_hdr v4 = {.version_ihl = 0x45,
		.type_of_service = DSCP_BEFORE << 2 | ECN,
		.total_length = rte_cpu_to_be_16(20),
		.time_to_live = 64,
		.src_addr = rte_cpu_to_be_32(0x0a000001),
		.dst_addr = rte_cpu_to_be_32(0x0a000002)};
	struct rte_ipv6_hdr v6 = {
		.vtc_flow = rte_cpu_to_be_32(6u << 28 | (DSCP_BEFORE << 2 | ECN) << 20 | 0xabcde), .proto = 59};

	p[-2] = is_v6 ? 0x86 : 0x08;
	p[-1] = is_v6 ? 0xdd : 0;
	v4.hdr_checksum = rte_ipv4_cksum(&v4);
	if (is_v6)
		memcpy(p, &v6, sizeof(v6));
	else
		memcpy(p, &v4, sizeof(v4));
	return m;
}

static void
expect_dscp(unsigned i, uint16_t vlan, bool is_v6, unsigned dscp)
{
	struct rte_mbuf *m = receive(i);
	unsigned at = ETHER_HDR + (vlan ? 4 : 0);
	struct rte_ipv4_hdr v4;
	struct rte_ipv6_hdr v6;

	memcpy(&v4, rte_pktmbuf_mtod_offset(m, uint8_t *, at), sizeof(v4));
	memcpy(&v6, rte_pktmbuf_mtod_offset(m, uint8_t *, at), sizeof(v6));
	if (is_v6) {
		assert_int_equal(rte_be_to_cpu_32(v6.vtc_flow), 6u << 28 | (dscp << 2 | ECN) << 20 | 0xabcde);
	} else {
		uint16_t sum = v4.hdr_checksum;

		assert_int_equal(v4.type_of_service, dscp << 2 | ECN);
		v4.hdr_checksum = 0;
		assert_int_equal(sum, rte_ipv4_cksum(&v4));
	}
	rte_pktmbuf_free(m);
}

static void
flood_is_marked_only_where_it_is_asked_for(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	char err[DP_ERR_SIZE];

	(void)state;
	cfgs[0].deadline_ns = 5000000;
	add_guests(cfgs);
	// Each of the two shares the bytes with the other once as the first and once as the last.
	for (unsigned k = 0; k < 8; k++) {
		unsigned writer = 1 + k / 2 % 2, other = 3 - writer;

		cfgs[writer].dscp = DP_DSCP_DEADLINE;
		cfgs[other].dscp = DP_DSCP_KEEP;
		assert_int_equal(dp_port_set(dp, guest[other].port, &cfgs[other], err), 0);
		assert_int_equal(dp_port_set(dp, guest[writer].port, &cfgs[writer], err), 0);
		send_mbuf(0, make_ip_frame(0, BROADCAST, 0, k % 2));
		expect_dscp(writer, 0, k % 2, 34);
		expect_dscp(other, 0, k % 2, DSCP_BEFORE);
	}
	send_frame(0, BROADCAST, 0, 60); // no IP
	expect_frame(1, 60);
	expect_frame(2, 60);
}

static void
dscp_is_that_of_the_senders_deadline(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	struct dp_system_cfg none = system_cfg(""), own = system_cfg("1ms:cs6"), wrong = system_cfg("1ms:64"),
			     back = system_cfg(DSCP_DEFAULT);
	char err[DP_ERR_SIZE];

	(void)state;
	cfgs[0].deadline_ns = 1000000;
	cfgs[2].deadline_ns = 1; // that of the receiver says nothing
	cfgs[2].dscp = DP_DSCP_DEADLINE;
	cfgs[2].vlan_mode = DP_VLAN_TRUNK;
	cfgs[2].vlan = 7; // untagged
	cfgs[0].vlan = cfgs[1].vlan = 5;
	add_guests(cfgs);
	send_mbuf(0, make_ip_frame(0, 2, 0, false));
	expect_dscp(2, 5, false, 46);
	send_mbuf(1, make_ip_frame(1, 2, 0, true));
	expect_dscp(2, 5, true, DSCP_BEFORE);
	cfgs[0].deadline_ns++;
	assert_int_equal(dp_port_set(dp, guest[0].port, &cfgs[0], err), 0);
	send_mbuf(0, make_ip_frame(0, 2, 0, true));
	expect_dscp(2, 5, true, 34);
	assert_int_equal(dp_system_set(dp, &wrong, err), -EINVAL);
	assert_non_null(strstr(err, "dscp_classes: entry 1"));
	assert_int_equal(dp_system_set(dp, &own, err), 0);
	send_mbuf(0, make_ip_frame(0, 2, 0, false));
	expect_dscp(2, 5, false, DSCP_BEFORE);
	cfgs[0].deadline_ns--;
	assert_int_equal(dp_port_set(dp, guest[0].port, &cfgs[0], err), 0);
	send_mbuf(0, make_ip_frame(0, 2, 0, false));
	expect_dscp(2, 5, false, 48);
	assert_int_equal(dp_system_set(dp, &none, err), 0);
	send_mbuf(0, make_ip_frame(0, 2, 0, false));
	expect_dscp(2, 5, false, DSCP_BEFORE);
	assert_int_equal(dp_system_set(dp, &back, err), 0);
}

// Expedited forwarding is for what keeps to the port's rate.
static void
raised_dscp_ends_at_the_guaranteed_rate(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};

	unsigned n_of[2] = {0};
	uint64_t begin, ms;

	(void)state;
	cfgs[0].deadline_ns = 1000000000;
	cfgs[0].min_rate_bps = 8000; // a byte each ms
	cfgs[0].burst_bytes = 1514;
	cfgs[1].dscp = DP_DSCP_DEADLINE;
	add_guests(cfgs);
	send_mbuf(0, make_ip_frame(0, 1, 0, false));
	expect_dscp(1, 0, false, 10); // the class of its deadline
	assert_int_equal(dp_port_set_answer(dp, guest[0].port, 0, 46, 34), 0);
	begin = rte_rdtsc();
	for (unsigned n = 0; n < 40; n++) {
		struct rte_mbuf *m;

		send_mbuf(0, make_ip_frame(0, 1, 0, false));
		m = receive(1);
		n_of[rte_pktmbuf_mtod(m, uint8_t *)[ETHER_HDR + 1] >> 2 == 46]++;
		rte_pktmbuf_free(m);
	}
	ms = (rte_rdtsc() - begin) * 1000 / rte_get_tsc_hz();
	// 100 bytes each; the bucket holds a frame with a tunnel's headers.
	assert_in_range(n_of[true], 16, RTE_MIN(16 + ms / 100 + 1, 40u));
	assert_int_equal(dp_port_set_answer(dp, guest[0].port, 0, 46, 46), 0);
	send_mbuf(0, make_ip_frame(0, 1, 0, false));
	expect_dscp(1, 0, false, 46);
	assert_int_equal(dp_port_set_answer(dp, guest[0].port, 0, DSCP_KEEP, DSCP_KEEP), 0);
	send_mbuf(0, make_ip_frame(0, 1, 0, false));
	expect_dscp(1, 0, false, 10);
	assert_int_equal(dp_port_set_answer(dp, DP_MAX_PORTS, 0, 46, 46), -ENOENT);
}

static void
mirrors_show_packets_as_they_came(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	char err[DP_ERR_SIZE];

	(void)state;
	cfgs[0].deadline_ns = 5000000;
	cfgs[1].dscp = cfgs[2].dscp = DP_DSCP_DEADLINE;
	add_guests(cfgs);
	snprintf(cfgs[0].mirror_to, sizeof(cfgs[0].mirror_to), "p2");
	cfgs[0].mirror = DP_MIRROR_RX;
	assert_int_equal(dp_port_set(dp, guest[0].port, &cfgs[0], err), 0);
	send_mbuf(0, make_ip_frame(0, BROADCAST, 0, false));
	expect_dscp(1, 0, false, 34);
	expect_dscp(2, 0, false, DSCP_BEFORE);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(frame_longer_than_the_receivers_mtu_is_dropped),
		WITH_BRIDGE(flood_is_marked_only_where_it_is_asked_for),
		WITH_BRIDGE(dscp_is_that_of_the_senders_deadline),
		WITH_BRIDGE(raised_dscp_ends_at_the_guaranteed_rate),
		WITH_BRIDGE(mirrors_show_packets_as_they_came),
	};

	if (argc > 1)
		n_workers = (unsigned)strtoul(argv[1], NULL, 10);
	return cmocka_run_group_tests_name("shape", tests, fixture_start, fixture_stop);
}
