// What frames look like when they leave: tags, lengths, and who gets which, whatever they look like when they come.
#include "dp_fixture.h"

#include <rte_cycles.h>

#include <stdio.h>
#include <string.h>

#define MTU 1500
#define UNTAGGED 0
#define PRIORITY 0xb000 // VLAN 0, priority 5, drop eligible
#define TAG(vlan) (0x6000 | (vlan)) // priority 3

static void
set_port(unsigned i, const struct dp_port_cfg *cfg)
{
	char err[DP_ERR_SIZE] = "";

	if (dp_port_set(dp, guest[i].port, cfg, err))
		fail_msg("port %u: %s", i, err);
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

// VLAN 0 is "untagged, with a priority" (IEEE 802.1Q, 6.9.1): the frame is the port's untagged VLAN's. Where the VLAN is tagged it
// leaves with that tag and its priority, where it is untagged without one.
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
		// What has no VLAN has no place on a trunk, where it would be the native one's.
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

// Whoever takes the first tag off must not find a VLAN that nobody checked.
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
frame_to_nobody_is_flooded_as_the_first_of_its_burst(void **state)
{
	struct rte_mbuf *m;

	(void)state;
	plain_guests();
	for (unsigned from = 0; from < N_GUESTS; from++) {
		m = make_frame(from, BROADCAST, 0, 60 + from);
		memset(rte_pktmbuf_mtod(m, void *), 0, 6);
		send_mbuf(from, m);
		for (unsigned to = 0; to < N_GUESTS; to++)
			if (to != from)
				expect_frame(to, 60 + from);
	}
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

		// What was in the buffers before.
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

static void
send_to_group(unsigned from, uint8_t last, unsigned len)
{
	struct rte_mbuf *m = make_frame(from, BROADCAST, 0, len);
	const uint8_t group[6] = {0x01, 0x80, 0xc2, 0, 0, last};

	memcpy(rte_pktmbuf_mtod(m, void *), group, sizeof(group));
	send_mbuf(from, m);
}

static void
reserved_groups_pass_between_ports_that_forward_them(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	uint64_t n_drops = 0;

	(void)state;
	cfgs[0].forwards_reserved = cfgs[1].forwards_reserved = true;
	add_guests(cfgs);
	for (unsigned last = 0; last < 18; last++) {
		send_to_group(0, (uint8_t)last, 60 + last);
		if (last == 1) // PAUSE
			wait_drops(0, DROP_RESERVED_MAC, 1);
		else
			expect_frame(1, 60 + last);
		if (last >= 16) // a group like others
			expect_frame(2, 60 + last);
		if (last < 16) {
			send_to_group(2, (uint8_t)last, 100);
			wait_drops(2, DROP_RESERVED_MAC, ++n_drops);
		}
	}
	cfgs[1].forwards_reserved = false;
	set_port(1, &cfgs[1]);
	send_to_group(0, 0x0e, 60);
	wait_drops(0, DROP_NO_TARGET, 1);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(frames_leave_with_the_tag_of_their_vlan),
		WITH_BRIDGE(known_destination_is_no_way_into_a_vlan),
		WITH_BRIDGE(tag_behind_a_tag_does_not_come_to_light),
		WITH_BRIDGE(mtu_counts_what_is_behind_two_tags),
		WITH_BRIDGE(frame_to_nobody_is_flooded_as_the_first_of_its_burst),
		WITH_BRIDGE(short_frames_leave_with_zeroes_up_to_the_shortest),
		WITH_BRIDGE(reserved_groups_pass_between_ports_that_forward_them),
	};

	if (argc > 1)
		n_workers = (unsigned)strtoul(argv[1], NULL, 10);
	return cmocka_run_group_tests_name("dp/frames", tests, fixture_start, fixture_stop);
}
