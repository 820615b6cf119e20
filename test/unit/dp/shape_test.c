// The frame in its port's form: tags, lengths, MTU and DSCP. Mirrors show it unchanged.
#include "dp_fixture.h"

#include <rte_ip.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ECN 1
#define DSCP_BEFORE 56
#define MTU 1500
#define UNTAGGED 0
#define PRIORITY 0xb000 // VLAN 0, priority 5, drop eligible
#define TAG(vlan) (0x6000 | (vlan)) // priority 3

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

// tpid, tci: of a tag that is put before the others; 0: none.
static void
push(struct rte_mbuf *m, uint16_t tpid, uint16_t tci)
{
	uint8_t *p = tpid ? (uint8_t *)rte_pktmbuf_prepend(m, 4) : NULL;

	if (!p)
		return;
	memmove(p, p + 4, 12);
	p[12] = (uint8_t)(tpid >> 8);
	p[13] = (uint8_t)tpid;
	p[14] = (uint8_t)(tci >> 8);
	p[15] = (uint8_t)tci;
}

static uint16_t
word(const struct rte_mbuf *m, unsigned offset)
{
	const uint8_t *p = rte_pktmbuf_mtod_offset(m, const uint8_t *, offset);

	return (uint16_t)(p[0] << 8 | p[1]);
}

enum kind { // of ports
	ACCESS_5,
	ACCESS_0,
	TRUNK_5, // refuses untagged frames
	TRUNK_ALL,
	NATIVE_5, // untagged frames are VLAN 5's
	NATIVE_7, // carries all others
};

static struct dp_port_cfg
cfg_of(unsigned i, enum kind kind)
{
	struct dp_port_cfg cfg = port_cfg(i);

	cfg.vlan_mode = kind >= TRUNK_5 ? DP_VLAN_TRUNK : DP_VLAN_ACCESS;
	cfg.vlan = kind == ACCESS_5 || kind == NATIVE_5 ? 5 : kind == NATIVE_7 ? 7 : 0;
	if (kind == TRUNK_5)
		vlan_set_add(&cfg.trunk, 5);
	return cfg;
}

// VLAN 0 is "untagged, with a priority" (IEEE 802.1Q, 6.9.1): the frame belongs to the port's
// untagged VLAN. Where the VLAN is tagged the frame leaves with that tag and its priority, where it
// is untagged without one.
static void
frames_leave_with_the_tag_of_their_vlan(void **state)
{
	static const struct {
		enum kind from;
		uint16_t tci;
		enum kind to;
		enum drop drop; // DROP_NONE: it arrives with
		uint16_t expected; // this, or untagged
	} cases[] = {
		{ACCESS_5, UNTAGGED, ACCESS_5, DROP_NONE, UNTAGGED},
		{ACCESS_5, UNTAGGED, TRUNK_5, DROP_NONE, 5},
		{ACCESS_5, UNTAGGED, TRUNK_ALL, DROP_NONE, 5},
		{ACCESS_5, UNTAGGED, NATIVE_5, DROP_NONE, UNTAGGED},
		{ACCESS_5, UNTAGGED, NATIVE_7, DROP_NONE, 5},
		{ACCESS_5, PRIORITY, ACCESS_5, DROP_NONE, UNTAGGED},
		{ACCESS_5, PRIORITY, TRUNK_5, DROP_NONE, PRIORITY | 5},
		{ACCESS_5, PRIORITY, TRUNK_ALL, DROP_NONE, PRIORITY | 5},
		{ACCESS_5, PRIORITY, NATIVE_5, DROP_NONE, UNTAGGED},
		{ACCESS_5, PRIORITY, NATIVE_7, DROP_NONE, PRIORITY | 5},
		{ACCESS_5, TAG(5), TRUNK_5, DROP_VLAN_INGRESS, 0},
		{ACCESS_5, PRIORITY, ACCESS_0, DROP_NO_TARGET, 0},
		{ACCESS_0, UNTAGGED, ACCESS_0, DROP_NONE, UNTAGGED},
		{ACCESS_0, PRIORITY, ACCESS_0, DROP_NONE, UNTAGGED},
		// A frame without a VLAN has no place on a trunk, where it would be in the native
		// one.
		{ACCESS_0, UNTAGGED, TRUNK_ALL, DROP_NO_TARGET, 0},
		{ACCESS_0, PRIORITY, TRUNK_ALL, DROP_NO_TARGET, 0},
		{ACCESS_0, UNTAGGED, NATIVE_7, DROP_NO_TARGET, 0},
		{ACCESS_0, PRIORITY, NATIVE_7, DROP_NO_TARGET, 0},
		{TRUNK_5, UNTAGGED, ACCESS_5, DROP_VLAN_INGRESS, 0},
		{TRUNK_5, PRIORITY, ACCESS_5, DROP_VLAN_INGRESS, 0},
		{TRUNK_5, TAG(5), ACCESS_5, DROP_NONE, UNTAGGED},
		{TRUNK_5, TAG(5), TRUNK_ALL, DROP_NONE, TAG(5)},
		{TRUNK_5, TAG(5), NATIVE_5, DROP_NONE, UNTAGGED},
		{TRUNK_5, TAG(6), TRUNK_ALL, DROP_VLAN_INGRESS, 0},
		{TRUNK_ALL, TAG(6), TRUNK_5, DROP_NO_TARGET, 0},
		{TRUNK_ALL, TAG(0xfff), TRUNK_ALL, DROP_VLAN_INGRESS, 0},
		{NATIVE_7, UNTAGGED, TRUNK_ALL, DROP_NONE, 7},
		{NATIVE_7, PRIORITY, TRUNK_ALL, DROP_NONE, PRIORITY | 7},
		{NATIVE_7, PRIORITY, NATIVE_7, DROP_NONE, UNTAGGED},
		{NATIVE_7, PRIORITY, NATIVE_5, DROP_NONE, PRIORITY | 7},
		{NATIVE_7, TAG(7), NATIVE_7, DROP_NONE, UNTAGGED},
		{NATIVE_7, PRIORITY, ACCESS_5, DROP_NO_TARGET, 0},
	};
	struct dp_port_cfg cfgs[2] = {port_cfg(0), port_cfg(1)};
	uint64_t n_drops[DROP_COUNT] = {0};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		add_port(i, &cfgs[i]);
		plug(i, 0, 0);
	}
	for (unsigned i = 0; i < RTE_DIM(cases); i++) {
		bool is_tagged = cases[i].expected != UNTAGGED;
		struct rte_mbuf *m = make_frame(0, BROADCAST, 0, 100 + i);

		cfgs[0] = cfg_of(0, cases[i].from);
		cfgs[1] = cfg_of(1, cases[i].to);
		set_port(0, &cfgs[0]);
		set_port(1, &cfgs[1]);
		push(m, cases[i].tci == UNTAGGED ? 0 : 0x8100, cases[i].tci);
		send_mbuf(0, m);
		if (cases[i].drop != DROP_NONE) {
			wait_drops(0, cases[i].drop, ++n_drops[cases[i].drop]);
			continue;
		}
		m = receive(1);
		if (m->pkt_len != 100 + i + 4u * is_tagged || word(m, 12) != (is_tagged ? 0x8100 : 0x88b5) ||
			(is_tagged && (word(m, 14) != cases[i].expected || word(m, 16) != 0x88b5)))
			fail_msg("case %u: %u bytes, %04x %04x %04x", i, m->pkt_len, word(m, 12), word(m, 14),
				word(m, 16));
		rte_pktmbuf_free(m);
	}
}

static void
known_destination_is_no_way_into_a_vlan(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {cfg_of(0, ACCESS_0), cfg_of(1, NATIVE_7), cfg_of(2, ACCESS_0)};
	struct mac mac = guest_mac(1);
	char err[DP_ERR_SIZE];

	(void)state;
	add_guests(cfgs);
	assert_int_equal(dp_mac_add(dp, bridge, &mac, 0, guest[1].port, err), 0);
	send_frame(0, 1, 0, 60);
	wait_drops(1, DROP_VLAN_EGRESS, 1);
}

// A host that removes the first tag must not find an unchecked VLAN.
static void
tag_behind_a_tag_does_not_come_to_light(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {cfg_of(0, ACCESS_5), cfg_of(1, NATIVE_5), cfg_of(2, TRUNK_5)};
	struct rte_mbuf *m;

	(void)state;
	add_guests(cfgs);
	m = make_frame(0, BROADCAST, 9, 64);
	push(m, 0x8100, PRIORITY);
	send_mbuf(0, m);
	wait_drops(0, DROP_VLAN_INGRESS, 1);
	m = make_frame(2, BROADCAST, 9, 64);
	push(m, 0x8100, TAG(5));
	send_mbuf(2, m);
	wait_drops(1, DROP_VLAN_EGRESS, 1);
	// Where tags have no meaning it is payload.
	m = receive(0);
	assert_int_equal(word(m, 12), 0x8100);
	assert_int_equal(word(m, 14), 9);
	rte_pktmbuf_free(m);
}

static void
mtu_counts_what_is_behind_two_tags(void **state)
{
	static const struct {
		uint16_t outer, inner;
	} tags[] = {{0, 0}, {0x8100, 0}, {0x88a8, 0}, {0x8100, 0x8100}, {0x88a8, 0x8100}, {0x8100, 0x88a8}};
	struct dp_port_cfg cfgs[2] = {cfg_of(0, TRUNK_ALL), cfg_of(1, TRUNK_ALL)};
	struct rte_mbuf *m;
	uint64_t n_drops = 0;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		cfgs[i].vlan = 1;
		add_port(i, &cfgs[i]);
		plug(i, 0, 0);
	}
	for (unsigned i = 0; i < RTE_DIM(tags); i++)
		for (unsigned more = 0; more < 2; more++) {
			uint32_t len = MTU + more + ETHER_HDR + 4 * !!tags[i].outer + 4 * !!tags[i].inner;

			m = make_frame(0, BROADCAST, 0, MTU + more + ETHER_HDR);
			push(m, tags[i].inner, TAG(6));
			push(m, tags[i].outer, TAG(5));
			send_mbuf(0, m);
			if (more)
				wait_drops(1, DROP_MTU, ++n_drops);
			else
				expect_frame(1, len);
		}
	m = make_frame(0, BROADCAST, 0, MTU + ETHER_HDR);
	for (unsigned i = 0; i < 3; i++)
		push(m, 0x8100, TAG(5));
	send_mbuf(0, m);
	wait_drops(1, DROP_MTU, ++n_drops);
}

static void
short_frames_leave_with_zeroes_up_to_the_shortest(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {cfg_of(0, TRUNK_ALL), cfg_of(1, ACCESS_5), cfg_of(2, ACCESS_5)};

	(void)state;
	add_guests(cfgs);
	for (unsigned len = 18; len <= 65; len += len == 18 ? 24 : 1) {
		struct rte_mbuf *m = make_frame(0, BROADCAST, 5, 200);
		uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);

		// The former content of the buffers.
		memset(p + 18, 0xee, 200 - 18);
		send_mbuf(0, m);
		expect_frame(1, 196);
		expect_frame(2, 196);
		m = make_frame(0, BROADCAST, 5, len);
		if (len > 18)
			memset(rte_pktmbuf_mtod_offset(m, void *, 18), 0xdd, len - 18);
		send_mbuf(0, m);
		for (unsigned to = 1; to < 3; to++) {
			m = receive(to);
			assert_int_equal(m->pkt_len, RTE_MAX(len - 4, 60u));
			p = rte_pktmbuf_mtod(m, uint8_t *);
			for (unsigned k = 14; k < m->pkt_len; k++)
				assert_int_equal(p[k], k < len - 4 ? 0xdd : 0);
			rte_pktmbuf_free(m);
		}
	}
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
		WITH_BRIDGE(frames_leave_with_the_tag_of_their_vlan),
		WITH_BRIDGE(known_destination_is_no_way_into_a_vlan),
		WITH_BRIDGE(tag_behind_a_tag_does_not_come_to_light),
		WITH_BRIDGE(mtu_counts_what_is_behind_two_tags),
		WITH_BRIDGE(short_frames_leave_with_zeroes_up_to_the_shortest),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests_name("dp/shape", tests, fixture_start, fixture_stop);
}
