// Rules of a port: what becomes of packets, counters, changes while packets pass, refusals.
#include "dp_fixture.h"
#include "rtvs/dp_rules.h"
#include "rtvs/flow_text.h"

#include <rte_ip.h>
#include <rte_udp.h>

#include <stdio.h>
#include <string.h>

#define IP_AT ETHER_HDR
#define UDP_AT (IP_AT + 20)
#define OPTIONS 160 // bytes of an extension header: ports are behind the head that is copied

static struct dp_rule_change
change(uint32_t slot, const char *text)
{
	struct dp_rule_change c = {.is_there = text};
	char err[FLOW_TEXT_ERROR_SIZE];

	if (text && flow_text_parse(text, NULL, &c.entry, err))
		fail_msg("%s: %s", text, err);
	c.entry.rule.slot = slot;
	return c;
}

static void
set_rules(unsigned port, const struct dp_rule_change *changes, unsigned n)
{
	char err[DP_ERR_SIZE] = "";

	if (dp_rules_change(dp, port, DP_RULES_HOST, changes, n, err))
		fail_msg("%s", err);
}

static void
set_rule(unsigned i, uint32_t slot, const char *text)
{
	const struct dp_rule_change c = change(slot, text);

	set_rules(guest[i].port, &c, 1);
}

static void
wait_matched(unsigned i, uint32_t slot, uint64_t packets, uint64_t bytes)
{
	struct dp_rule_stats stats;
	uint64_t end = wait_limit();

	do
		assert_int_equal(dp_rule_stats(dp, guest[i].port, DP_RULES_HOST, slot, &stats), 0);
	while ((stats.packets != packets || stats.bytes != bytes) && rte_rdtsc() < end);
	assert_int_equal(stats.packets, packets);
	assert_int_equal(stats.bytes, bytes);
}

static struct rte_mbuf *
make_udp(unsigned from, unsigned to, uint16_t dst_port, unsigned len)
{
	struct rte_mbuf *m = make_frame(from, to, 0, len);
	uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);
	struct rte_ipv4_hdr *ip = (void *)(p + IP_AT);
	struct rte_udp_hdr *udp = (void *)(p + UDP_AT);

	p[12] = 8;
	p[13] = 0;
	*ip = (struct rte_ipv4_hdr){.version_ihl = 0x45,
		.total_length = rte_cpu_to_be_16((uint16_t)(len - IP_AT)),
		.time_to_live = 64,
		.next_proto_id = 17,
		.src_addr = rte_cpu_to_be_32(RTE_IPV4(10, 0, 0, 1)),
		.dst_addr = rte_cpu_to_be_32(RTE_IPV4(10, 0, 0, 2))};
	*udp = (struct rte_udp_hdr){.src_port = rte_cpu_to_be_16(5),
		.dst_port = rte_cpu_to_be_16(dst_port),
		.dgram_len = rte_cpu_to_be_16((uint16_t)(len - UDP_AT))};
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	udp->dgram_cksum = rte_ipv4_udptcp_cksum(ip, udp);
	return m;
}

static void
send_udp(unsigned from, unsigned to, uint16_t dst_port, unsigned len)
{
	send_mbuf(from, make_udp(from, to, dst_port, len));
}

static void
rules_say_what_passes(void **state)
{
	(void)state;
	plain_guests();
	set_rule(0, 0, "udp,tp_dst=7,actions=drop");
	set_rule(0, 1, "priority=1,ip,actions=allow");
	send_udp(0, 1, 7, 100);
	wait_drops(0, DROP_RULE, 1);
	assert_int_equal(dp_bridge_n_macs(dp, bridge), 0); // nor was it learned
	send_udp(0, BROADCAST, 8, 110);
	expect_frame(1, 110);
	expect_frame(2, 110);
	send_frame(1, 0, 0, 60); // of other ports
	expect_frame(0, 60);
	send_udp(0, 1, 8, 120);
	expect_frame(1, 120);
	send_frame(0, BROADCAST, 0, 61); // that none matches
	expect_frame(1, 61);
	wait_matched(0, 0, 1, 100);
	wait_matched(0, 1, 2, 230);
	set_rule(0, 0, NULL);
	set_rule(0, 1, NULL);
	send_udp(0, 1, 7, 130);
	expect_frame(1, 130);
	assert_int_equal(dp_rule_stats(dp, guest[0].port, DP_RULES_HOST, 1, &(struct dp_rule_stats){0}), -ENOENT);
}

// Checksums stay right, and the switch goes by what was written.
static void
rules_write_headers(void **state)
{
	const struct rte_ipv4_hdr *ip;
	const struct rte_udp_hdr *udp;
	struct rte_mbuf *m;

	(void)state;
	plain_guests();
	send_frame(2, BROADCAST, 0, 60);
	expect_frame(0, 60);
	expect_frame(1, 60);
	set_rule(0, 3,
		"udp,tp_dst=7,actions=mod_dl_dst:52:54:00:00:00:03,mod_nw_dst:10.9.9.9,mod_tp_dst:4789,"
		"mod_ip_dscp:46,allow");
	assert_memory_equal(guest_mac(2).b, ((uint8_t[]){0x52, 0x54, 0, 0, 0, 3}), 6);
	for (unsigned len = 60; len <= 1500; len += 720) { // what is borrowed of its sender, too
		send_udp(0, 1, 7, len);
		m = receive(2);
		ip = rte_pktmbuf_mtod_offset(m, const struct rte_ipv4_hdr *, IP_AT);
		udp = rte_pktmbuf_mtod_offset(m, const struct rte_udp_hdr *, UDP_AT);
		assert_int_equal(m->pkt_len, len);
		assert_int_equal(ip->dst_addr, rte_cpu_to_be_32(RTE_IPV4(10, 9, 9, 9)));
		assert_int_equal(ip->type_of_service, 46 << 2);
		assert_int_equal(rte_ipv4_cksum(ip), ip->hdr_checksum ? 0 : 0xffff);
		assert_int_equal(udp->dst_port, rte_cpu_to_be_16(4789));
		assert_int_equal(rte_ipv4_udptcp_cksum_verify(ip, udp), 0);
		rte_pktmbuf_free(m);
	}
	// A frame without these headers, which the match does not ask for.
	set_rule(0, 3, "dl_vlan=0xffff,actions=mod_dl_dst:52:54:00:00:00:03,allow");
	send_frame(0, 1, 0, 64);
	expect_frame(2, 64);
}

static void
rules_limit_rates(void **state)
{
	unsigned n = 100;

	(void)state;
	plain_guests();
	set_rule(0, 0, "udp,tp_dst=7,actions=rate:8kbit,allow");
	for (unsigned i = 0; i < n; i++)
		send_udp(0, BROADCAST, 7, 1000);
	wait_matched(0, 0, n, n * 1000);
	refresh_stats();
	// A second's worth is one frame; the bucket has room for nine.
	assert_in_range(drops_of(0, DROP_RULE_RATE), 1, n - 9);
	send_udp(0, 1, 8, 99); // none of its business
	for (n = 0; n != 99;) {
		struct rte_mbuf *m = receive(1);

		n = m->pkt_len;
		rte_pktmbuf_free(m);
	}
}

// A sender that hides ports behind long headers is judged by them all the same.
static void
headers_may_be_long(void **state)
{
	unsigned len = ETHER_HDR + 40 + OPTIONS + 8 + 300;
	struct rte_mbuf *m;
	uint8_t *p;

	(void)state;
	plain_guests();
	set_rule(0, 0, "udp6,tp_dst=7,actions=drop");
	for (uint8_t port = 7; port <= 8; port++) {
		m = make_frame(0, 1, 0, len);
		p = rte_pktmbuf_mtod(m, uint8_t *);
		memset(p + 12, 0, len - 12);
		memcpy(p + 12, (uint8_t[]){0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 60, 64}, 10);
		p[18] = (uint8_t)((len - ETHER_HDR - 40) >> 8);
		p[19] = (uint8_t)(len - ETHER_HDR - 40);
		memcpy(p + ETHER_HDR + 40, (uint8_t[]){17, OPTIONS / 8 - 1, 1, OPTIONS - 4}, 4);
		memcpy(p + ETHER_HDR + 40 + OPTIONS, (uint8_t[]){0, 5, 0, port}, 4);
		send_mbuf(0, m);
	}
	wait_drops(0, DROP_RULE, 1);
	expect_frame(1, len);
	wait_matched(0, 0, 1, len);
}

static void
rules_that_stay_keep_their_counters(void **state)
{
	(void)state;
	plain_guests();
	set_rule(0, 0, "udp,actions=drop");
	send_udp(0, 1, 7, 100);
	wait_matched(0, 0, 1, 100);
	set_rule(0, 1, "tcp,actions=drop");
	set_rule(0, 0, "udp,actions=drop");
	wait_matched(0, 0, 1, 100);
	set_rule(0, 0, "udp,actions=allow");
	wait_matched(0, 0, 0, 0);
	set_rule(0, 0, "udp,tp_dst=9,actions=drop"); // another match in its place
	send_udp(0, 1, 9, 100);
	wait_drops(0, DROP_RULE, 2);
	send_udp(0, 1, 7, 100);
	expect_frame(1, 100);
}

// Of packets that other rules are about none is lost, and each of the two is judged by one of both
// lists.
static void
rules_change_while_packets_pass(void **state)
{
	unsigned n = 1000, n_seven = 0;

	(void)state;
	plain_guests();
	send_frame(1, BROADCAST, 0, 60);
	expect_frame(0, 60);
	expect_frame(2, 60);
	for (unsigned i = 0; i < n; i++) {
		const struct dp_rule_change two[] = {change(i % 2, "udp,tp_dst=7,actions=drop"),
			change(1 - i % 2, i % 3 ? "udp,tp_dst=8,actions=allow" : "udp,tp_dst=9,actions=drop")};
		struct rte_mbuf *m;

		set_rules(guest[0].port, two, 2);
		send_udp(0, 1, 7, 100);
		send_udp(0, 1, 8, 101);
		m = receive(1);
		assert_int_equal(m->pkt_len, 101);
		rte_pktmbuf_free(m);
		n_seven++;
	}
	wait_drops(0, DROP_RULE, n_seven);
}

static void
rules_output_to_ports_of_the_bridge(void **state)
{
	struct dp_rule_change c = change(0, "udp,actions=allow");

	(void)state;
	plain_guests();
	c.entry.action.verdict = FLOW_OUTPUT;
	c.entry.action.n_outputs = 2;
	c.entry.action.output[0] = (uint16_t)guest[2].port;
	c.entry.action.output[1] = DP_MAX_PORTS - 1; // there is none
	set_rules(guest[0].port, &c, 1);
	send_udp(0, 1, 7, 100);
	expect_frame(2, 100);
	wait_drops(0, DROP_NO_TARGET, 1);
	c.entry.action.output[1] = (uint16_t)guest[1].port;
	set_rules(guest[0].port, &c, 1);
	send_udp(0, BROADCAST, 7, 101); // each once
	expect_frame(2, 101);
	expect_frame(1, 101);
	c.entry.action.n_outputs = 1;
	c.entry.action.output[0] = (uint16_t)guest[0].port;
	set_rules(guest[0].port, &c, 1);
	send_udp(0, 1, 7, 102);
	wait_drops(0, DROP_SAME_PORT, 1);
	expect_nothing(1);
}

static void
assert_refused(const struct dp_rule_change *changes, unsigned n, int rc, const char *why)
{
	char err[DP_ERR_SIZE] = "";

	assert_int_equal(dp_rules_change(dp, guest[0].port, DP_RULES_HOST, changes, n, err), rc);
	if (!strstr(err, why))
		fail_msg("'%s' does not say '%s'", err, why);
}

static void
wrong_changes_are_refused_as_a_whole(void **state)
{
	struct dp_rule_change two[2] = {change(0, "udp,actions=drop"), change(DP_MAX_RULES, "tcp,actions=drop")};
	struct dp_rule_change many[FLOW_TABLE_MASKS_MAX + 1];
	char text[64], err[DP_ERR_SIZE];

	(void)state;
	plain_guests();
	assert_refused(two, 2, -EINVAL, "rule 4096: its number is used twice, or out of range 0 to 4095");
	two[1] = change(0, "tcp,actions=drop");
	assert_refused(two, 2, -EINVAL, "used twice");
	two[1] = change(1, "udp,actions=allow");
	assert_refused(two, 2, -EEXIST, "rule 1: another rule has this match and priority");
	two[1] = change(1, "tcp,actions=drop");
	two[1].entry.rule.key.in = two[1].entry.rule.mask.in = 1;
	assert_refused(two, 2, -EINVAL, "do not match on the port");
	two[1] = change(1, "tcp,actions=drop");
	two[1].entry.rule.key.l4_dst = 1;
	assert_refused(two, 2, -EINVAL, "outside of its mask");
	two[1] = change(1, "tcp,actions=drop");
	two[1].entry.action.set.mask.ip_proto = 255;
	assert_refused(two, 2, -EINVAL, "cannot be written");
	for (unsigned i = 0; i <= FLOW_TABLE_MASKS_MAX; i++) {
		(void)snprintf(text, sizeof(text), "%s,actions=drop", i ? "ip,nw_src=0.0.0.0/" : "arp");
		if (i)
			(void)snprintf(text, sizeof(text), "ip,nw_src=0.0.0.0/%u,actions=drop", i);
		many[i] = change(i, text);
	}
	assert_refused(many, FLOW_TABLE_MASKS_MAX + 1, -EMLINK, "rule 32");
	assert_int_equal(dp_rules_change(dp, DP_MAX_PORTS, DP_RULES_HOST, two, 1, err), -ENOENT);
	send_udp(0, BROADCAST, 7, 100);
	expect_frame(1, 100);
	set_rules(guest[0].port, many, FLOW_TABLE_MASKS_MAX);
	set_rule(0, DP_MAX_RULES - 1, NULL); // an empty one stays empty
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(rules_say_what_passes),
		WITH_BRIDGE(rules_write_headers),
		WITH_BRIDGE(rules_limit_rates),
		WITH_BRIDGE(rules_output_to_ports_of_the_bridge),
		WITH_BRIDGE(headers_may_be_long),
		WITH_BRIDGE(rules_that_stay_keep_their_counters),
		WITH_BRIDGE(rules_change_while_packets_pass),
		WITH_BRIDGE(wrong_changes_are_refused_as_a_whole),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests_name("dp/rules", tests, fixture_start, fixture_stop);
}
