// Switchdev mode: who may have it, what becomes of the rules that a guest sends, and when they go.
#include "channels.h"
#include "fake_dp.h"
#include "nic_fixture.h"
#include "rtvs/dp_rules.h"
#include "rtvs/flow_table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYNC(params) CALL("flow.sync", params)
#define EXPECT_SYNC(params, text) nic_expect(SYNC(params), text)
#define EXPECT_ADDED(params) EXPECT_SYNC(params, "\"result\":{\"refused\":[]}")
#define RULE(cookie, in, rule) "{\"cookie\":" cookie ",\"in\":\"" in "\",\"rule\":\"" rule "\"}"

static void
begin(const char *more)
{
	char limits[256];

	fixture_ok(nic.f, "port.add", "{\"name\":\"up\",\"bridge\":\"br0\",\"type\":\"eswitch\"}");
	(void)snprintf(limits, sizeof(limits), ",\"uplink\":\"up\"%s", more);
	nic_add(limits);
	nic_greet();
	nic_expect(CALL("nic.mode", "{\"mode\":\"switchdev\"}"), "\"result\":true");
}

static bool
is_in_datapath(const char *text)
{
	char *dump = fake_dp_dump();
	bool is = strstr(dump, text);

	free(dump);
	return is;
}

static void
expect_line(const char *text)
{
	char *dump = fake_dp_dump();

	if (!strstr(dump, text))
		fail_msg("'%s' is not in\n%s", text, dump);
	free(dump);
}

static void
host_permits_the_mode(void **state)
{
	struct fixture *f = *state;

	nic_add("");
	nic_greet();
	nic_expect(CALL("nic.get", "{}"), "\"mode\":\"legacy\",\"first_vid\":3072");
	nic_expect(CALL("nic.mode", "{\"mode\":\"switchdev\"}"), "switchdev needs an uplink; the host's administrator");
	nic_expect(CALL("flow.sync", "{}"), "mode legacy, which has no rules");
	fixture_refused(f, "eswitch.set", "{\"name\":\"e\",\"mode\":\"switchdev\"}", RPC_INVALID_PARAMS,
		"mode: switchdev needs uplink as well");
	fixture_ok(f, "eswitch.del", "{\"name\":\"e\"}");
	fixture_refused(f, "eswitch.add", nic_with_control(PORTS ",\"uplink\":\"f1\""), RPC_INVALID_PARAMS,
		"uplink: port f1 has type=vhost");
	fixture_refused(f, "eswitch.add", nic_with_control(PORTS ",\"uplink\":\"none\""), RPC_STATE_ERROR,
		"uplink: port 'none' does not exist");
	fixture_ok(f, "bridge.add", "{\"name\":\"br1\"}");
	fixture_ok(f, "port.add", "{\"name\":\"far\",\"bridge\":\"br1\",\"type\":\"eswitch\"}");
	fixture_refused(f, "eswitch.add", nic_with_control(PORTS ",\"uplink\":\"far\""), RPC_INVALID_PARAMS,
		"uplink: port far is not on bridge br0");
	close(nic.fd);
	begin("");
	nic_expect(CALL("nic.get", "{}"), "\"mode\":\"switchdev\"");
	nic_expect(CALL("nic.get", "{}"), "\"switchdev\":true,\"max_rules\":1024,\"miss_rate\":20000");
	nic_expect(CALL("vf.set", "{\"vf\":0,\"vlan\":5}"), "vlan: in mode switchdev rules put tags");
	expect_line("eswitch f0 up f1 f2 miss 20000");
	fixture_refused(f, "port.del", "{\"name\":\"up\"}", RPC_STATE_ERROR, "port up belongs to eswitch e");
	fixture_refused(f, "port.set", "{\"name\":\"up\",\"bridge\":\"br1\"}", RPC_STATE_ERROR, "its bridge must stay");
	fixture_refused(f, "port.set", "{\"name\":\"f1\",\"mirror_to\":\"up\",\"mirror\":\"rx\"}", RPC_INVALID_PARAMS,
		"takes no copies");
	nic_expect(CALL("nic.mode", "{\"mode\":\"legacy\"}"), "\"result\":true");
	assert_false(is_in_datapath("eswitch f0"));
	fixture_ok(f, "eswitch.set", "{\"name\":\"e\",\"mode\":\"switchdev\",\"miss_rate\":7}");
	expect_line("eswitch f0 up f1 f2 miss 7");
	fixture_ok(f, "eswitch.del", "{\"name\":\"e\"}");
	assert_false(is_in_datapath("eswitch f0"));
}

// As for ports with rules: a VF is added down, the eswitch comes, and the VF is set up.
static void
functions_are_never_on_the_bridge_before(void **state)
{
	struct fixture *f = *state;
	struct rpc_error err;
	unsigned n_switched, n_plain;
	json_t *calls, *params;
	char *text;

	begin("");
	fixture_ok(f, "port.add", "{\"name\":\"plain\",\"bridge\":\"br0\",\"socket\":\"/s7\"}");
	calls = fixture_call(f, "config.dump", NULL, &err);
	fixture_ok(f, "config.apply", "{\"calls\":[]}");
	n_switched = fake_dp_n_port_changes("f1");
	n_plain = fake_dp_n_port_changes("plain");
	params = json_pack("{s:o}", "calls", calls);
	text = json_dumps(params, JSON_COMPACT);
	fixture_ok(f, "config.apply", text);
	assert_int_equal(fake_dp_n_port_changes("plain"), n_plain + 1);
	assert_int_equal(fake_dp_n_port_changes("f1"), n_switched + 2);
	expect_line("eswitch f0 up f1 f2");
	free(text);
	json_decref(params);
}

static void
the_datapath_has_the_last_word(void **state)
{
	struct fixture *f = *state;

	begin("");
	(void)fake_dp_fail(1, -ENOMEM);
	fixture_refused(f, "eswitch.set", "{\"name\":\"e\",\"miss_rate\":7}", RPC_STATE_ERROR, "");
	nic_expect(CALL("nic.get", "{}"), "\"miss_rate\":20000");
	(void)fake_dp_fail(1, -ENOMEM);
	nic_expect(CALL("nic.mode", "{\"mode\":\"legacy\"}"), "the host refuses the change");
	expect_line("eswitch f0 up");
	(void)fake_dp_fail(1, -ENOMEM);
	fixture_refused(f, "eswitch.del", "{\"name\":\"e\"}", RPC_STATE_ERROR, "no memory");
	(void)fake_dp_fail(1, -ENOMEM);
	// By itself it works.
	nic_expect(SYNC("{\"add\":[" RULE("1", "vf0", "actions=drop") "]}"), "\"refused\":[]");
	(void)fake_dp_fail(1, -ENOMEM);
	nic_expect(CALL("flow.flush", "{}"), "out of memory");
	expect_line("guest-rule f1 priority=32768,actions=drop");
}

static void
rules_come_and_go(void **state)
{
	(void)state;
	begin("");
	EXPECT_ADDED(
		"{\"add\":[" RULE("7", "vf0", "priority=3,tcp,tp_dst=80,actions=output:vf1,output:uplink") "," RULE(
			"9007199254740991", "uplink", "dl_dst=02:00:00:00:00:01,actions=push_vlan:5,output:vf0") "]}");
	expect_line("guest-rule f1 priority=3,tcp,tp_dst=80,actions=output:f2,output:up\n");
	expect_line("guest-rule up priority=32768,dl_dst=02:00:00:00:00:01,actions=push_vlan:5,output:f1\n");
	// In its place.
	EXPECT_ADDED("{\"add\":[" RULE("7", "vf0", "priority=3,tcp,tp_dst=80,actions=drop") "]}");
	expect_line("guest-rule f1 priority=3,tcp,tp_dst=80,actions=drop\n");
	assert_false(is_in_datapath("output:f2"));
	// One that is not there.
	EXPECT_ADDED("{\"del\":[7,8],\"add\":[" RULE("8", "vf1", "actions=allow") "]}");
	assert_false(is_in_datapath("guest-rule f1"));
	expect_line("guest-rule f2 priority=32768,actions=allow\n");
	nic_expect(CALL("flow.stats", "{}"),
		"\"flows\":[{\"cookie\":8,\"packets\":1,\"bytes\":100},{\"cookie\":9007199254740991,");
	nic_expect(CALL("flow.stats", "{\"cookies\":[8,1]}"),
		"\"flows\":[{\"cookie\":8,\"packets\":1,\"bytes\":100}],\"more\":false");
	nic_expect(CALL("flow.stats", "{\"from\":8}"), "\"flows\":[{\"cookie\":9007199254740991,");
	assert_int_equal(nic_channel_count("rules"), 2);
	EXPECT_ADDED("{\"reset\":true,\"add\":[" RULE("1", "vf0", "actions=drop") "," RULE(
		"1", "vf0", "actions=allow") "]}");
	assert_int_equal(nic_channel_count("rules"), 1); // the later one of a cookie
	expect_line("guest-rule f1 priority=32768,actions=allow\n");
	nic_expect(CALL("flow.flush", "{}"), "\"result\":true");
	assert_false(is_in_datapath("guest-rule"));
	EXPECT_ADDED("{\"add\":[" RULE("1", "vf0", "actions=drop") "]}");
	fixture_ok(nic.f, "eswitch.set", "{\"name\":\"e\",\"mode\":\"legacy\"}");
	assert_int_equal(nic_channel_count("rules"), 0);
	assert_false(is_in_datapath("guest-rule"));
}

// What is wrong with one rule is said, and the others are done.
static void
each_rule_is_refused_by_itself(void **state)
{
	(void)state;
	begin(",\"max_rules\":3");
	EXPECT_SYNC("{\"add\":[" RULE("1", "vf0", "actions=fly") "," RULE("2", "vf2", "actions=drop") "," RULE(
			    "3", "vf0", "actions=output:vf2") "," RULE("4", "vf0", "actions=output:f2") "," RULE("5",
			    "vf1", "actions=drop") "]}",
		"{\"refused\":[{\"cookie\":1,\"reason\":\"actions: 'fly' is none of");
	assert_int_equal(nic_channel_count("rules"), 1);
	assert_int_equal(nic_channel_count("rules_refused"), 4);
	EXPECT_SYNC("{\"add\":[" RULE("2", "vf2", "actions=drop") "]}",
		"\"reason\":\"in: there is no such virtual function\"");
	EXPECT_SYNC("{\"add\":[" RULE("3", "vf0", "actions=output:vf2") "]}", "\"reason\":\"output: there is no such");
	EXPECT_SYNC("{\"add\":[" RULE("4", "vf0", "actions=output:f2") "]}", "there is no port 'f2'");
	EXPECT_SYNC("{\"add\":[" RULE("5", "vf0", "actions=drop") "]}", "in: that of a cookie stays");
	EXPECT_SYNC("{\"add\":[" RULE("1", "vf0", "actions=drop") "," RULE("2", "vf1", "tcp,actions=drop") "," RULE(
			    "3", "vf0", "tcp,actions=drop") "]}",
		"{\"refused\":[{\"cookie\":3,\"reason\":\"there are 3 rules already, the limit that the host's "
		"administrator set\"}]}");
	// One that is there may change.
	EXPECT_ADDED("{\"add\":[" RULE("2", "vf1", "udp,actions=drop") "]}");
	expect_line("guest-rule f2 priority=32768,udp,actions=drop");
}

// What the datapath refuses of a call is found rule by rule.
static void
rules_of_one_match_and_too_many_masks_are_refused(void **state)
{
	char call[8192];
	size_t len;

	(void)state;
	begin("");
	EXPECT_ADDED("{\"add\":[" RULE("1", "vf0", "arp,actions=drop") "]}");
	EXPECT_SYNC("{\"add\":[" RULE("2", "vf0", "arp,actions=allow") "," RULE("3", "vf0", "ip,actions=drop") "," RULE(
			    "4", "vf1", "arp,actions=drop") "]}",
		"{\"refused\":[{\"cookie\":2,\"reason\":\"another rule has this match and priority\"}]}");
	assert_int_equal(nic_channel_count("rules"), 3);
	// Two exchange their matches.
	EXPECT_ADDED("{\"add\":[" RULE("3", "vf0", "arp,actions=drop") "," RULE("1", "vf0", "ip,actions=drop") "]}");
	len = (size_t)snprintf(call, sizeof(call),
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"flow.sync\",\"params\":{\"reset\":true,\"add\":[");
	for (unsigned i = 1; i <= FLOW_TABLE_MASKS_MAX + 1; i++)
		len += (size_t)snprintf(call + len, sizeof(call) - len,
			"%s{\"cookie\":%u,\"in\":\"vf0\",\"rule\":\"ipv6,ipv6_dst=8000::/%u,actions=drop\"}",
			i > 1 ? "," : "", i, i);
	(void)snprintf(call + len, sizeof(call) - len, "]}}\n");
	nic_expect(call, "{\"refused\":[{\"cookie\":33,\"reason\":\"too many masks\"}]}");
	assert_int_equal(nic_channel_count("rules"), FLOW_TABLE_MASKS_MAX);
	EXPECT_ADDED("{\"add\":[" RULE("33", "vf1", "ip,actions=drop") "," RULE("1", "vf0", "udp,actions=drop") "]}");
}

// Each guest has its own cookies, and no names of the other's ports.
static void
guests_do_not_reach_each_other(void **state)
{
	static const char *const names[] = {"g1", "gu", "vf2", "pf", "f0", "up", "", "vf01"};
	char call[512], control[RTVS_PATH_SIZE];

	(void)state;
	begin("");
	EXPECT_ADDED("{\"add\":[" RULE("1", "vf0", "actions=output:vf1") "]}");
	for (unsigned i = 0; i < 2; i++) {
		(void)snprintf(call, sizeof(call), "{\"name\":\"g%u\",\"bridge\":\"br0\",\"socket\":\"/sg%u\"}", i, i);
		fixture_ok(nic.f, "port.add", call);
	}
	fixture_ok(nic.f, "port.add", "{\"name\":\"gu\",\"bridge\":\"br0\",\"type\":\"eswitch\"}");
	(void)snprintf(control, sizeof(control), "%.64s/other.sock", nic.f->dir);
	(void)snprintf(call, sizeof(call),
		"{\"name\":\"other\",\"pf\":\"g0\",\"vfs\":\"g1\",\"control\":\"%.100s\",\"uplink\":\"up\"}", control);
	fixture_refused(nic.f, "eswitch.add", call, RPC_STATE_ERROR, "uplink: port up belongs to eswitch e");
	(void)snprintf(call, sizeof(call),
		"{\"name\":\"other\",\"pf\":\"g0\",\"vfs\":\"g1\",\"control\":\"%.100s\",\"uplink\":\"gu\","
		"\"mode\":\"switchdev\"}",
		control);
	fixture_ok(nic.f, "eswitch.add", call);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(call, sizeof(call),
			SYNC("{\"add\":[{\"cookie\":2,\"in\":\"vf0\",\"rule\":\"actions=output:%s\"}]}"), names[i]);
		nic_expect(call, "{\"refused\":[{\"cookie\":2,");
	}
	close(nic.fd);
	nic.fd = nic_connect(control);
	nic_say(HELLO, strlen(HELLO));
	(void)nic_hear(NULL);
	nic_expect(CALL("flow.stats", "{}"), "{\"flows\":[],\"more\":false}");
	EXPECT_ADDED("{\"del\":[1],\"add\":[" RULE("1", "vf0", "actions=output:uplink") "]}");
	expect_line("guest-rule f1 priority=32768,actions=output:f2\n");
	expect_line("guest-rule g1 priority=32768,actions=output:gu\n");
	nic_expect(CALL("flow.flush", "{}"), "\"result\":true");
	expect_line("guest-rule f1");
	assert_false(is_in_datapath("guest-rule g1"));
}

// A port has as many slots as there may be rules.
static void
a_port_may_have_all_rules(void **state)
{
	static char call[CHANNELS_LINE_BYTES];
	size_t len;

	fixture_refused(*state, "eswitch.add", nic_with_control(PORTS ",\"max_rules\":4097"), RPC_INVALID_PARAMS,
		"max_rules: 4097 is out of range 0 to 4096");
	begin(",\"max_rules\":4096");
	for (unsigned first = 1; first <= DP_MAX_RULES; first += 512) {
		len = (size_t)snprintf(call, sizeof(call),
			"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"flow.sync\",\"params\":{\"add\":[");
		for (unsigned i = first; i < first + 512; i++)
			len += (size_t)snprintf(call + len, sizeof(call) - len,
				"%s{\"cookie\":%u,\"in\":\"vf0\",\"rule\":\"priority=%u,actions=drop\"}",
				i > first ? "," : "", i, i);
		(void)snprintf(call + len, sizeof(call) - len, "]}}\n");
		channels_tick(&nic.f->ctl->channels);
		channels_tick(&nic.f->ctl->channels);
		nic_expect(call, "\"refused\":[]");
	}
	assert_int_equal(nic_channel_count("rules"), DP_MAX_RULES);
	EXPECT_SYNC("{\"add\":[" RULE("4097", "vf1", "actions=drop") "]}", "there are 4096 rules already");
	EXPECT_ADDED("{\"add\":[" RULE("9", "vf0", "priority=5000,actions=drop") "]}");
	EXPECT_ADDED("{\"del\":[10,11],\"add\":[" RULE("4097", "vf0", "actions=drop") "," RULE(
		"4098", "vf1", "actions=drop") "]}");
	assert_int_equal(nic_channel_count("rules"), DP_MAX_RULES);
}

// Else a guest could have the control thread publish a view for each of its rules.
static void
a_call_is_one_change_of_each_port(void **state)
{
	unsigned n[2];

	(void)state;
	begin("");
	n[0] = fake_dp_n_port_changes("f1");
	n[1] = fake_dp_n_port_changes("f2");
	EXPECT_ADDED(
		"{\"add\":[" RULE("1", "vf0", "tcp,actions=drop") "," RULE("2", "vf1", "tcp,actions=drop") "," RULE(
			"3", "vf0", "udp,actions=drop") "," RULE("4", "vf1", "udp,actions=drop") "]}");
	assert_int_equal(nic_channel_count("rules"), 4);
	assert_int_equal(fake_dp_n_port_changes("f1"), n[0] + 1);
	assert_int_equal(fake_dp_n_port_changes("f2"), n[1] + 1);
}

static void
wrong_calls_change_nothing(void **state)
{
	static const struct {
		const char *params, *text;
	} cases[] = {
		{"{\"add\":[" RULE("0", "vf0", "actions=drop") "]}", "add[0]: cookie: an integer from 1 to 2^53 - 1"},
		{"{\"add\":[" RULE("9007199254740992", "vf0", "actions=drop") "]}", "add[0]: cookie"},
		{"{\"add\":[" RULE("\\\"1\\\"", "vf0", "actions=drop") "]}", "-32700"},
		{"{\"add\":[7]}", "add[0]: cookie"}, {"{\"add\":7}", "add: 7 is not a list"},
		{"{\"add\":[" RULE("1", "vf0", "actions=drop") "," RULE("1", "vf64", "actions=drop") "]}",
			"add[1]: in: vf0 to vf63"},
		{"{\"add\":[{\"cookie\":1,\"in\":\"vf0\"}]}", "add[0]: rule: a text"},
		{"{\"add\":[{\"cookie\":1,\"rule\":\"actions=drop\"}]}", "add[0]: in"},
		{"{\"del\":[1,0]}", "del[1]: a cookie"}, {"{\"reset\":true,\"del\":[1,0]}", "del[1]"},
		{"{\"reset\":true,\"fly\":1}", "fly"}};

	(void)state;
	begin("");
	EXPECT_ADDED("{\"add\":[" RULE("5", "vf0", "actions=drop") "]}");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char call[512];

		(void)snprintf(call, sizeof(call),
			"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"flow.sync\",\"params\":%s}\n", cases[i].params);
		nic_expect(call, cases[i].text);
	}
	nic_expect(CALL("flow.stats", "{\"cookies\":[0]}"), "cookies[0]");
	assert_int_equal(nic_channel_count("rules"), 1);
	expect_line("guest-rule f1");
}

static void
rules_outlive_their_session_for_a_while(void **state)
{
	struct channels *channels = &nic.f->ctl->channels;

	(void)state;
	begin("");
	EXPECT_ADDED("{\"add\":[" RULE("5", "vf0", "actions=drop") "]}");
	for (unsigned i = 0; i < 2 * CHANNELS_RULES_S; i++)
		channels_tick(channels);
	expect_line("guest-rule f1"); // it has a session
	close(nic.fd);
	fixture_turn(nic.f);
	for (unsigned i = 0; i < CHANNELS_RULES_S - 1; i++)
		channels_tick(channels);
	expect_line("guest-rule f1");
	nic.fd = nic_connect(nic.control); // which is not yet a session
	fixture_turn(nic.f);
	channels_tick(channels);
	assert_false(is_in_datapath("guest-rule"));
	nic_say(HELLO, strlen(HELLO));
	(void)nic_hear(NULL);
	assert_int_equal(nic_channel_count("rules"), 0);
	// A session that is shorter than a tick.
	close(nic.fd);
	fixture_turn(nic.f);
	for (unsigned i = 0; i < 2 * CHANNELS_RULES_S; i++)
		channels_tick(channels);
	nic_greet();
	EXPECT_ADDED("{\"add\":[" RULE("5", "vf0", "actions=drop") "]}");
	close(nic.fd);
	fixture_turn(nic.f);
	for (unsigned i = 0; i < CHANNELS_RULES_S - 1; i++)
		channels_tick(channels);
	expect_line("guest-rule f1");
	channels_tick(channels);
	assert_false(is_in_datapath("guest-rule"));
	nic_greet();
	EXPECT_ADDED("{\"add\":[" RULE("5", "vf0", "actions=drop") "]}");
	fixture_ok(nic.f, "eswitch.del", "{\"name\":\"e\"}");
	assert_false(is_in_datapath("guest-rule"));
}

static void
guests_hear_of_changes_by_the_host(void **state)
{
	static const char hello[] = CALL("nic.hello", "{\"nonce\":\"n2\",\"events\":true}");
	struct channels *channels = &nic.f->ctl->channels;

	(void)state;
	begin("");
	nic_say(hello, strlen(hello));
	channels_tick(channels);
	(void)nic_hear(NULL);
	nic_expect(CALL("nic.mode", "{\"mode\":\"legacy\"}"), "true");
	channels_tick(channels);
	assert_null(strstr(nic_hear(NULL), "nic.changed")); // its own
	fixture_ok(nic.f, "eswitch.set", "{\"name\":\"e\",\"max_rules\":5}");
	channels_tick(channels);
	fixture_turn(nic.f);
	assert_non_null(strstr(nic_hear(NULL), "\"method\":\"nic.changed\""));
}

// QEMU keeps the channel while its guest boots again.
static void
rules_end_with_the_guests_driver(void **state)
{
	static const char hello[] = CALL("nic.hello", "{\"nonce\":\"n2\",\"events\":true}");
	struct dp_event ev = {.type = DP_EVENT_LINK, .is_up = true};

	(void)state;
	begin("");
	nic_say(hello, strlen(hello));
	channels_tick(&nic.f->ctl->channels);
	EXPECT_ADDED("{\"add\":[" RULE("5", "vf0", "actions=drop") "]}");
	ev.port = model_port_find(nic.f->ctl->plane.live, "f0")->id;
	fake_dp_event(&ev);
	ev.port = model_port_find(nic.f->ctl->plane.live, "up")->id;
	ev.is_up = false;
	fake_dp_event(&ev);
	fixture_turn(nic.f);
	expect_line("guest-rule f1");
	(void)nic_hear(NULL);
	ev.port = model_port_find(nic.f->ctl->plane.live, "f0")->id;
	fake_dp_event(&ev);
	fixture_turn(nic.f);
	assert_false(is_in_datapath("guest-rule"));
	channels_tick(&nic.f->ctl->channels);
	fixture_turn(nic.f);
	assert_non_null(strstr(nic_hear(NULL), "nic.changed")); // one that is still there
}

// As many as a line takes, again and again: what is beyond 2,000 a second waits.
static void
rules_beyond_the_rate_wait(void **state)
{
	static char call[CHANNELS_LINE_BYTES];
	unsigned n_done = 0;
	size_t len;

	(void)state;
	begin(",\"max_rules\":4096");
	channels_tick(&nic.f->ctl->channels);
	for (unsigned round = 0; round < 14; round++) {
		len = (size_t)snprintf(call, sizeof(call),
			"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"flow.sync\",\"params\":{\"add\":[");
		for (unsigned i = 0; i < 400; i++)
			len += (size_t)snprintf(call + len, sizeof(call) - len,
				"%s{\"cookie\":%u,\"in\":\"vf%u\",\"rule\":\"priority=%u,actions=drop\"}", i ? "," : "",
				1 + round * 100 + i % 100, i % 2, round * 100 + i % 100);
		len += (size_t)snprintf(call + len, sizeof(call) - len, "]}}\n");
		nic_say(call, len);
		n_done += strstr(nic_hear(NULL), "result") != NULL;
	}
	assert_in_range(n_done, 4, 12); // 200 calls at once, each batch counts as 21
	channels_tick(&nic.f->ctl->channels);
	fixture_turn(nic.f);
	assert_non_null(strstr(nic_hear(NULL), "result"));
}

static void
statistics_come_in_pages(void **state)
{
	static char call[CHANNELS_LINE_BYTES];
	size_t len;

	(void)state;
	begin("");
	for (unsigned part = 0; part < 3; part++) {
		len = (size_t)snprintf(call, sizeof(call),
			"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"flow.sync\",\"params\":{\"add\":[");
		for (unsigned i = part * 334; i < part * 334 + 334 && i < 1001; i++)
			len += (size_t)snprintf(call + len, sizeof(call) - len,
				"%s{\"cookie\":%u,\"in\":\"vf0\",\"rule\":\"priority=%u,actions=drop\"}",
				i % 334 ? "," : "", i + 1, i);
		(void)snprintf(call + len, sizeof(call) - len, "]}}\n");
		nic_expect(call, "\"refused\":[]");
	}
	nic_expect(CALL("flow.stats", "{}"), "{\"cookie\":1000,\"packets\":1000,\"bytes\":100000}],\"more\":true}");
	nic_expect(CALL("flow.stats", "{\"from\":1000}"),
		"[{\"cookie\":1001,\"packets\":1001,\"bytes\":100100}],\"more\":false}");
}

#define WITH_NIC(test) cmocka_unit_test_setup_teardown(test, nic_setup, nic_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_NIC(host_permits_the_mode),
		WITH_NIC(functions_are_never_on_the_bridge_before),
		WITH_NIC(the_datapath_has_the_last_word),
		WITH_NIC(rules_come_and_go),
		WITH_NIC(each_rule_is_refused_by_itself),
		WITH_NIC(rules_of_one_match_and_too_many_masks_are_refused),
		WITH_NIC(guests_do_not_reach_each_other),
		WITH_NIC(a_port_may_have_all_rules),
		WITH_NIC(a_call_is_one_change_of_each_port),
		WITH_NIC(wrong_calls_change_nothing),
		WITH_NIC(rules_outlive_their_session_for_a_while),
		WITH_NIC(guests_hear_of_changes_by_the_host),
		WITH_NIC(rules_end_with_the_guests_driver),
		WITH_NIC(rules_beyond_the_rate_wait),
		WITH_NIC(statistics_come_in_pages),
	};

	return cmocka_run_group_tests_name("ctl/nic_flow", tests, NULL, NULL);
}
