// Rules as text: what each word means, that a rule reads back as it was written, and each refusal.
#include "../unit.h"
#include "rtvs/flow_text.h"
#include "rtvs/random.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_ROUNDS 20000

static struct flow_entry
parse(const char *text)
{
	char err[FLOW_TEXT_ERROR_SIZE] = "";
	struct flow_entry rule;

	if (flow_text_parse(text, &flow_text_vfs, &rule, err))
		fail_msg("%s: %s", text, err);
	return rule;
}

static void
words_are_fields(void **state)
{
	struct flow_entry rule = parse("priority=7,tcp,nw_dst=10.1.0.0/16,tp_dst=443,tcp_flags=0x2/0x12,actions=allow");
	struct flow_key key = {.ether_type = htobe16(0x0800),
		.ip_proto = 6,
		.ip_dst = {10, 1},
		.l4_dst = htobe16(443),
		.tcp_flags = htobe16(2)};
	struct flow_key mask = {.ether_type = 0xffff,
		.ip_proto = 255,
		.ip_dst = {255, 255},
		.l4_dst = 0xffff,
		.tcp_flags = htobe16(0x12)};

	(void)state;
	assert_memory_equal(&rule.rule.key, &key, sizeof(key));
	assert_memory_equal(&rule.rule.mask, &mask, sizeof(mask));
	assert_int_equal(rule.rule.priority, 7);
	assert_int_equal(rule.action.verdict, FLOW_ALLOW);
	assert_int_equal(parse("actions=drop").rule.priority, FLOW_PRIORITY_DEFAULT);
	assert_int_equal(parse("actions=normal").action.verdict, FLOW_ALLOW);
}

// Each is written in one way, whatever it was read from.
static void
rules_are_written_in_one_way(void **state)
{
	static const struct {
		const char *text, *written;
	} cases[] = {{"actions=drop", "priority=32768,actions=drop"},
		{"dl_type=0x800,nw_proto=6,tp_src=1,actions=allow", "priority=32768,tcp,tp_src=1,actions=allow"},
		{"dl_type=0x88cc,actions=drop", "priority=32768,dl_type=0x88cc,actions=drop"},
		{"ip,nw_proto=47,actions=allow", "priority=32768,ip,nw_proto=47,actions=allow"},
		{"ipv6,ipv6_src=2001:db8::/32,actions=drop", "priority=32768,ipv6,ipv6_src=2001:db8::/32,actions=drop"},
		{"eth_src=02:00:00:00:00:01,actions=drop", "priority=32768,dl_src=02:00:00:00:00:01,actions=drop"},
		{"dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=drop",
			"priority=32768,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=drop"},
		{"dl_vlan=5,dl_vlan_pcp=7,actions=drop", "priority=32768,dl_vlan=5,dl_vlan_pcp=7,actions=drop"},
		{"dl_vlan=0xffff,actions=drop", "priority=32768,dl_vlan=0xffff,actions=drop"},
		{"icmp,icmp_type=8,icmp_code=0,actions=drop",
			"priority=32768,icmp,icmp_type=8,icmp_code=0,actions=drop"},
		{"icmp6,icmpv6_type=134,actions=drop", "priority=32768,icmp6,icmp_type=134,actions=drop"},
		{"arp,arp_op=1,arp_spa=10.0.0.1,actions=allow",
			"priority=32768,arp,arp_spa=10.0.0.1,arp_op=1,actions=allow"},
		{"udp,tp_dst=0x400/0xfc00,actions=drop", "priority=32768,udp,tp_dst=0x400/0xfc00,actions=drop"},
		{"tcp,tcp_flags=0x12,actions=drop", "priority=32768,tcp,tcp_flags=0x12,actions=drop"},
		{"ip,ip_frag=later,ip_dscp=46,nw_ttl=1,actions=drop",
			"priority=32768,ip,ip_dscp=46,nw_ttl=1,ip_frag=later,actions=drop"},
		{"actions=strip_vlan,push_vlan:0x0a/3,output:uplink,output:vf63",
			"priority=32768,actions=strip_vlan,push_vlan:10/3,output:uplink,output:vf63"},
		{"dl_vlan=5,actions=mod_dl_vlan:0,mod_dl_vlan_pcp:7,push_vlan:4095,allow",
			"priority=32768,dl_vlan=5,actions=mod_dl_vlan:0,mod_dl_vlan_pcp:7,push_vlan:4095,allow"},
		{"udp,actions=rate:2500kbit,allow", "priority=32768,udp,actions=rate:2.5Mbit,allow"},
		{"tcp,nw_dst=10.0.0.1,tp_dst=80,actions=mod_nw_dst:10.0.0.2,mod_tp_dst:8080,mod_dl_dst:02:00:00:00:00:"
		 "02,allow",
			"priority=32768,tcp,nw_dst=10.0.0.1,tp_dst=80,actions=mod_dl_dst:02:00:00:00:00:02,mod_nw_dst:"
			"10.0.0.2,"
			"mod_tp_dst:8080,allow"}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct flow_entry rule = parse(cases[i].text);
		char buf[FLOW_TEXT_SIZE];

		assert_string_equal(flow_text_format(&rule, &flow_text_vfs, buf), cases[i].written);
	}
}

static void
each_refusal_names_its_field(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {{"", "empty"}, {"tcp", "actions= is missing"}, {"tcp,actions=", "none of allow"},
		{"tcp,,actions=drop", "empty"}, {"actions=drop,allow", "nothing follows"},
		{"priority=65536,actions=drop", "priority"}, {"priority=1,priority=1,actions=drop", "priority"},
		{"tpp,actions=drop", "'tpp' is not known"}, {"nw_dts=1.2.3.4,actions=drop", "did you mean nw_dst"},
		{"tcp,udp,actions=drop", "udp: the rule has a type"}, {"tp_dst=80,actions=drop", "tp_dst needs tcp"},
		{"ip,tp_dst=80,actions=drop", "tp_dst needs tcp"}, {"nw_src=10.0.0.1,actions=drop", "nw_src needs ip"},
		{"ipv6,nw_src=10.0.0.1,actions=drop", "nw_src needs ip"},
		{"udp,tcp_flags=2,actions=drop", "tcp_flags needs tcp"},
		{"tcp,tp_dst=65536,actions=drop", "tp_dst: '65536' is no number from 0 to 65535"},
		{"tcp,tp_dst=0x1ff/0xff,actions=drop", "not in its mask"}, {"tcp,tp_dst=-1,actions=drop", "tp_dst"},
		{"tcp,tp_dst=1,tp_dst=2,actions=drop", "tp_dst: the rule has it"},
		{"tcp,nw_proto=6,actions=drop", "nw_proto: the rule"}, {"ip,nw_src=10.0.0.1/8,actions=drop", "nw_src"},
		{"ip,nw_src=2001:db8::1,actions=drop", "nw_src"}, {"ip,nw_ttl=256,actions=drop", "nw_ttl"},
		{"ip,nw_ttl=1/1,actions=drop", "nw_ttl takes no mask"}, {"ip,ip_dscp=64,actions=drop", "ip_dscp"},
		{"dl_vlan=4096,actions=drop", "dl_vlan"}, {"dl_vlan_pcp=1,actions=drop", "dl_vlan_pcp needs dl_vlan"},
		{"dl_vlan=1,dl_vlan_pcp=8,actions=drop", "dl_vlan_pcp"},
		{"dl_vlan=0xffff,dl_vlan_pcp=1,actions=drop", "dl_vlan_pcp needs"},
		{"ip,ip_frag=maybe,actions=drop", "ip_frag"}, {"dl_src=1,actions=drop", "dl_src"},
		{"dl_src=03:00:00:00:00:00/01:00:00:00:00:00,actions=drop", "dl_src"},
		{"tcp,tcp_flags=0x1000,actions=drop", "tcp_flags"}, {"actions=output:1,allow", "there is no port '1'"},
		{"actions=mod_nw_dst:10.0.0.1,allow", "mod_nw_dst is for a rule that matches ip"},
		{"ip,actions=mod_nw_dst:10.0.0.1,mod_nw_dst:10.0.0.2,allow", "set twice"},
		{"ip,actions=mod_nw_dst:10.0.0.0/8,allow", "takes no mask"},
		{"tcp,actions=mod_tcp_flags:1,allow", "not known"}, {"sctp,actions=mod_tp_dst:1,allow", "sctp"},
		{"ip,actions=mod_nw_dst:x,allow", "nw_dst"}, {"actions=rate:7999bit,allow", "rate: 8kbit to 400Gbit"},
		{"actions=rate:401Gbit,allow", "rate: 8kbit to 400Gbit"}, {"actions=rate:,allow", "rate: 8kbit"},
		{"actions=rate:1Mbit,rate:1Mbit,allow", "rate is set twice"},
		{"actions=rate:1Mbit,drop", "drop stands alone"}, {"actions=strip_vlan,drop", "drop stands alone"},
		{"actions=push_vlan:1,drop", "drop stands alone"}, {"actions=output:vf64", "no port 'vf64'"},
		{"actions=output:vf01", "no port"}, {"actions=output:vf", "no port"}, {"actions=output:", "no port"},
		{"actions=output:vf0,drop", "only outputs follow"}, {"actions=output:vf0,allow", "only outputs follow"},
		{"actions=output:vf0,strip_vlan", "only outputs follow"}, {"actions=strip_vlan", "actions= is missing"},
		{"actions=output:vf0,output:vf1,output:vf2,output:vf3,output:vf4", "more than 4 times"},
		{"actions=strip_vlan,strip_vlan,allow", "strip_vlan stands once"},
		{"actions=push_vlan:1,strip_vlan,allow", "strip_vlan stands once"},
		{"actions=push_vlan:1,push_vlan:2,allow", "push_vlan stands twice"},
		{"actions=push_vlan:4096,allow", "push_vlan takes"}, {"actions=push_vlan:1/8,allow", "push_vlan takes"},
		{"actions=push_vlan:,allow", "push_vlan takes"}, {"actions=push_vlan:1/,allow", "push_vlan takes"},
		{"ip,actions=strip_vlan,mod_nw_ttl:1,allow", "mod_nw_ttl stands before"},
		{"actions=mod_dl_vlan:1,allow", "mod_dl_vlan is for a rule that matches dl_vlan"},
		{"dl_vlan=1,actions=mod_dl_vlan:4096,allow", "dl_vlan: '4096'"},
		{"dl_vlan=1,actions=mod_dl_vlan:1,mod_dl_vlan:2,allow", "set twice"},
		{"ip,actions=mod_nw_dst:10.0.0.1,drop", "drop stands alone"}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char err[FLOW_TEXT_ERROR_SIZE] = "";
		struct flow_entry rule;

		if (flow_text_parse(cases[i].text, &flow_text_vfs, &rule, err) != -EINVAL || !strstr(err, cases[i].why))
			fail_msg("%s: '%s' does not say '%s'", cases[i].text, err, cases[i].why);
	}
}

static void
pieces_have_a_limit(void **state)
{
	char text[400], err[FLOW_TEXT_ERROR_SIZE] = "";
	struct flow_entry rule;

	(void)state;
	(void)snprintf(text, sizeof(text), "tcp,tp_dst=%0151d1,actions=drop", 0); // 159 bytes
	assert_int_equal(flow_text_parse(text, &flow_text_vfs, &rule, err), 0);
	(void)snprintf(text, sizeof(text), "tcp,tp_dst=%0152d1,actions=drop", 0);
	assert_int_equal(flow_text_parse(text, &flow_text_vfs, &rule, err), -EINVAL);
	assert_non_null(strstr(err, "longer than"));
}

static void
add(char *text, size_t size, const char *piece)
{
	size_t n = strlen(text);

	(void)snprintf(text + n, size - n, "%s", piece);
}

// What was written reads as the rule that it was, in its longest form, too.
static void
rules_read_back_as_they_were(void **state)
{
	static const char *const
		pieces[][4] = {{"dl_src=02:00:00:00:00:01,", "dl_src=02:00:00:00:00:00/fe:00:00:00:00:00,", "", ""},
			{"dl_dst=ff:ff:ff:ff:ff:ff,", "", "", ""},
			{"dl_vlan=4095,dl_vlan_pcp=0,", "dl_vlan=0,", "dl_vlan=0xffff,", ""}},
		*const v6[][4] = {{"ipv6_src=ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff,", "ipv6_src=::/1,", "", ""},
			{"ipv6_dst=ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127,", "ipv6_dst=1::,", "", ""},
			{"ip_dscp=0,", "ip_dscp=63,", "", ""}, {"nw_ttl=0,", "nw_ttl=255,", "", ""},
			{"ip_frag=no,", "ip_frag=yes,", "ip_frag=first,", "ip_frag=not_later,"},
			{"tp_src=0,", "tp_src=65535,", "tp_src=0x0/0x1,", ""},
			{"tp_dst=0x0/0xffff,", "tp_dst=0xf0/0xf0,", "", ""},
			{"tcp_flags=0,", "tcp_flags=0xfff,", "tcp_flags=0x2/0x3,", ""}},
		*const sets[][2] = {{"rate:400Gbit,", "rate:8001bit,"}, {"mod_dl_src:02:00:00:00:00:09,", ""},
			{"mod_ipv6_dst:1::,", ""}, {"mod_ip_dscp:0,", ""}, {"mod_nw_ttl:64,", ""},
			{"mod_tp_dst:0,", ""}, {"strip_vlan,", ""}, {"push_vlan:0,", "push_vlan:4095/7,"}};
	static const char *const verdicts[] = {
		"allow", "output:vf0", "output:uplink,output:vf63,output:vf1,output:uplink"};
	uint64_t random = 4, *r = &random;

	(void)state;
	for (unsigned round = 0; round < N_ROUNDS; round++) {
		char text[2 * FLOW_TEXT_SIZE] = "", buf[FLOW_TEXT_SIZE], again[FLOW_TEXT_SIZE];
		struct flow_entry rule, back;
		bool is_drop;

		for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
			add(text, sizeof(text), pieces[i][random_below(r, 4)]);
		add(text, sizeof(text), "tcp6,");
		for (size_t i = 0; i < sizeof(v6) / sizeof(v6[0]); i++)
			add(text, sizeof(text), v6[i][random_below(r, 4)]);
		add(text, sizeof(text), "actions=");
		is_drop = random_below(r, 2);
		for (size_t i = 0; !is_drop && i < sizeof(sets) / sizeof(sets[0]); i++)
			add(text, sizeof(text), sets[i][random_below(r, 2)]);
		add(text, sizeof(text), is_drop ? "drop" : verdicts[random_below(r, 3)]);
		rule = parse(text);
		back = parse(flow_text_format(&rule, &flow_text_vfs, buf));
		assert_memory_equal(&back, &rule, sizeof(rule));
		assert_string_equal(flow_text_format(&back, &flow_text_vfs, again), buf);
		assert_true(strlen(buf) < FLOW_TEXT_SIZE - 64);
	}
}

static void
other_lists_have_no_ports(void **state)
{
	char err[FLOW_TEXT_ERROR_SIZE] = "";
	struct flow_entry rule;

	(void)state;
	assert_int_equal(flow_text_parse("actions=output:vf0", NULL, &rule, err), -EINVAL);
	assert_non_null(strstr(err, "output is not possible here"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_fields),
		cmocka_unit_test(rules_are_written_in_one_way),
		cmocka_unit_test(each_refusal_names_its_field),
		cmocka_unit_test(pieces_have_a_limit),
		cmocka_unit_test(rules_read_back_as_they_were),
		cmocka_unit_test(other_lists_have_no_ports),
	};

	return cmocka_run_group_tests_name("util/flow_text", tests, NULL, NULL);
}
