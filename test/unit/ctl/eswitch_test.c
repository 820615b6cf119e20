// Eswitches: their limits, what a guest may change on its channel, and what it can do to it.
#include "config.h"
#include "nic_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAC_A "52:54:00:aa:00:01"
#define MAC_B "52:54:00:aa:00:02"

static void
ports_are_of_one_bridge_and_one_eswitch(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "bridge.add", "{\"name\":\"br1\"}");
	fixture_ok(f, "port.add", "{\"name\":\"far\",\"bridge\":\"br1\",\"socket\":\"/s9\"}");
	fixture_ok(f, "port.add", "{\"name\":\"lost\",\"socket\":\"/s10\"}");
	fixture_ok(f, "port.add", "{\"name\":\"dev\",\"bridge\":\"br0\",\"type\":\"ethdev\",\"devargs\":\"d0\"}");
	fixture_refused(f, "eswitch.add", nic_with_control("\"name\":\"e\",\"pf\":\"no\",\"vfs\":\"f1\""),
		RPC_STATE_ERROR, "pf: port 'no' does not exist");
	fixture_refused(f, "eswitch.add", nic_with_control("\"name\":\"e\",\"pf\":\"f0\",\"vfs\":\"f1,,f2\""),
		RPC_STATE_ERROR, "vfs: port '' does not exist");
	fixture_refused(f, "eswitch.add", nic_with_control("\"name\":\"e\",\"pf\":\"f0\",\"vfs\":\"f1,f0\""),
		RPC_INVALID_PARAMS, "vfs: port f0 is the pf");
	fixture_refused(f, "eswitch.add", nic_with_control("\"name\":\"e\",\"pf\":\"f0\",\"vfs\":\"f1,f1\""),
		RPC_INVALID_PARAMS, "vfs: port f1 is named twice");
	fixture_refused(f, "eswitch.add", nic_with_control("\"name\":\"e\",\"pf\":\"f0\",\"vfs\":\"far\""),
		RPC_INVALID_PARAMS, "vfs: port far is on bridge br1, and pf on br0");
	fixture_refused(f, "eswitch.add", nic_with_control("\"name\":\"e\",\"pf\":\"lost\",\"vfs\":\"f1\""),
		RPC_INVALID_PARAMS, "pf: port lost is on no bridge");
	fixture_refused(f, "eswitch.add", nic_with_control("\"name\":\"e\",\"pf\":\"f0\",\"vfs\":\"dev\""),
		RPC_INVALID_PARAMS, "vfs: port dev has type=ethdev");
	fixture_refused(f, "eswitch.add", "{\"name\":\"e\",\"pf\":\"f0\",\"vfs\":\"f1\",\"control\":\"nic.sock\"}",
		RPC_INVALID_PARAMS, "control: must be an absolute path");
	nic_add("");
	fixture_refused(f, "eswitch.add", nic_with_control(PORTS), RPC_STATE_ERROR, "eswitch e exists already");
	fixture_refused(f, "eswitch.add", nic_with_control("\"name\":\"e2\",\"pf\":\"f0\",\"vfs\":\"f1\""),
		RPC_STATE_ERROR, "belongs to eswitch e");
	fixture_refused(f, "eswitch.add", "{\"name\":\"e2\",\"pf\":\"f0\",\"vfs\":\"f1\",\"control\":\"/x\"}",
		RPC_STATE_ERROR, "pf: port f0 belongs to eswitch e");
	fixture_refused(
		f, "port.del", "{\"name\":\"f2\"}", RPC_STATE_ERROR, "port f2 belongs to eswitch e: remove that");
	fixture_refused(f, "port.set", "{\"name\":\"f0\",\"bridge\":\"br1\"}", RPC_STATE_ERROR,
		"port f0 belongs to eswitch e: its bridge must stay");
	fixture_refused(f, "eswitch.set", "{\"name\":\"e\",\"vfs\":\"f1\"}", RPC_INVALID_PARAMS, "vfs: fixed");
	fixture_refused(f, "eswitch.set", "{\"name\":\"x\"}", RPC_STATE_ERROR, "eswitch x does not exist");
	fixture_refused(f, "eswitch.show", "{\"name\":\"x\"}", RPC_STATE_ERROR, "eswitch x does not exist");
	fixture_refused(f, "eswitch.del", "{\"name\":\"x\"}", RPC_STATE_ERROR, "eswitch x does not exist");
	fixture_ok(f, "eswitch.del", "{\"name\":\"e\"}");
	assert_int_equal(access(nic.control, F_OK), -1);
	fixture_ok(f, "port.del", "{\"name\":\"f2\"}");
}

// The PF is last, and each function has an address of its own.
static void
qemus_arguments_are_told(void **state)
{
	static const char *const wanted[] = {"-device virtio-serial-pci,id=e-serial",
		"-device virtserialport,bus=e-serial.0,chardev=e-ctl,name=org.rtvswitch.nic.0",
		"-device pcie-root-port,id=e-port,chassis=100", "-chardev socket,id=e-c1,path=/s1,reconnect-ms=500",
		"-netdev vhost-user,id=e-n1,chardev=e-c1", "-chardev socket,id=e-c2,path=/s2,reconnect-ms=500",
		"-netdev vhost-user,id=e-n2,chardev=e-c2", "-chardev socket,id=e-c0,path=/s0,reconnect-ms=500",
		"-netdev vhost-user,id=e-n0,chardev=e-c0",
		"-device virtio-net-pci,bus=e-port,addr=0x0.0x1,netdev=e-n1,mac=52:54:00:00:00:11,sriov-pf=e-pf"};
	struct rpc_error err;
	json_t *lines, *again;
	const char *last;

	(void)state;
	fixture_ok(nic.f, "port.set", "{\"name\":\"f1\",\"allowed_macs\":\"52:54:00:00:00:11\"}");
	nic_add("");
	lines = fixture_call(nic.f, "eswitch.qemu", "{\"name\":\"e\"}", &err);
	assert_int_equal(json_array_size(lines), 13);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		assert_string_equal(json_string_value(json_array_get(lines, i + 1)), wanted[i]);
	last = json_string_value(json_array_get(lines, 12));
	assert_non_null(strstr(last, "addr=0x0.0x0,netdev=e-n0,mac=52:54:00:"));
	assert_non_null(strstr(last, ",id=e-pf"));
	again = fixture_call(nic.f, "eswitch.qemu", "{\"name\":\"e\"}", &err);
	assert_true(json_equal(lines, again));
	json_decref(again);
	json_decref(lines);
	lines = fixture_call(nic.f, "eswitch.qemu", "{\"name\":\"e\",\"xml\":true}", &err);
	assert_int_equal(json_array_size(lines), 2 * 13 + 2);
	assert_string_equal(json_string_value(json_array_get(lines, 3)), "  <qemu:arg value='-device'/>");
	json_decref(lines);
	fixture_refused(nic.f, "eswitch.qemu", "{\"name\":\"none\"}", RPC_STATE_ERROR, "none does not exist");
}

static void
limits_of_an_eswitch(void **state)
{
	struct fixture *f = *state;
	char rest[4096], params[256];
	size_t len;

	for (unsigned n = 64; n <= 65; n++) {
		len = (size_t)snprintf(rest, sizeof(rest), "\"name\":\"e\",\"pf\":\"f0\",\"vfs\":\"");
		for (unsigned i = 0; i < n; i++) {
			(void)snprintf(params, sizeof(params),
				"{\"name\":\"v%u\",\"bridge\":\"br0\",\"socket\":\"/v%u\"}", i, i);
			if (n == 64 || i == 64)
				fixture_ok(f, "port.add", params);
			len += (size_t)snprintf(rest + len, sizeof(rest) - len, "%sv%u", i ? "," : "", i);
		}
		(void)snprintf(rest + len, sizeof(rest) - len, "\"");
		if (n == 64)
			fixture_ok(f, "eswitch.add", nic_with_control(rest));
		else
			fixture_refused(f, "eswitch.add", nic_with_control(rest), RPC_INVALID_PARAMS,
				"vfs: 65 ports are out of range 1 to 64");
		if (n == 64)
			fixture_ok(f, "eswitch.del", "{\"name\":\"e\"}");
	}
	nic_add("");
	len = 0;
	for (unsigned i = 0; i < 17; i++) {
		len += (size_t)snprintf(rest + len, sizeof(rest) - len, "%s52:54:00:00:00:%02x", i ? "," : "", i);
		(void)snprintf(params, sizeof(params), "%s", "");
		if (i == 15 || i == 16) {
			char call[1024];

			(void)snprintf(call, sizeof(call), "{\"name\":\"e\",\"allowed_macs\":\"%.900s\"}", rest);
			if (i == 15)
				fixture_ok(f, "eswitch.set", call);
			else
				fixture_refused(f, "eswitch.set", call, RPC_INVALID_PARAMS, "allowed_macs");
		}
	}
	fixture_refused(f, "eswitch.set", "{\"name\":\"e\",\"allowed_macs\":\"52:54:00:00:00:00/49\"}",
		RPC_INVALID_PARAMS, "allowed_macs: '52:54:00:00:00:00/49' is no unicast address");
	fixture_refused(f, "eswitch.set", "{\"name\":\"e\",\"allowed_macs\":\"52:54\"}", RPC_INVALID_PARAMS,
		"allowed_macs: '52:54' is no");
	fixture_refused(f, "eswitch.set", "{\"name\":\"e\",\"max_rate\":7999}", RPC_INVALID_PARAMS,
		"max_rate: must be 0 or from 8kbit");
	fixture_refused(f, "eswitch.set", "{\"name\":\"e\",\"min_rate\":7999}", RPC_INVALID_PARAMS,
		"min_rate: must be 0 or from 8kbit");
}

static void
limit_of_eswitches(void **state)
{
	struct fixture *f = *state;
	char params[512];

	for (unsigned i = 0; i < MODEL_MAX_ESWITCHES + 1; i++) {
		for (unsigned k = 0; k < 2; k++) {
			(void)snprintf(params, sizeof(params),
				"{\"name\":\"p%u\",\"bridge\":\"br0\",\"socket\":\"/p%u\"}", 2 * i + k, 2 * i + k);
			fixture_ok(f, "port.add", params);
		}
		(void)snprintf(params, sizeof(params),
			"{\"name\":\"e%u\",\"pf\":\"p%u\",\"vfs\":\"p%u\",\"control\":\"%.40s/e%u\"}", i, 2 * i,
			2 * i + 1, f->dir, i);
		if (i < MODEL_MAX_ESWITCHES)
			fixture_ok(f, "eswitch.add", params);
		else
			fixture_refused(f, "eswitch.add", params, RPC_STATE_ERROR, "there are 64 eswitches already");
	}
}

static void
the_socket_is_made_as_it_is_asked_for(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	nic_add(",\"socket_mode\":\"0600\"");
	assert_int_equal(stat(nic.control, &st), 0);
	assert_true(S_ISSOCK(st.st_mode) && (st.st_mode & 0777) == 0600);
	fixture_ok(f, "eswitch.del", "{\"name\":\"e\"}");
	fixture_refused(f, "eswitch.add", nic_with_control(PORTS ",\"socket_owner\":\"nobody-there\""),
		RPC_INVALID_PARAMS, "owner nobody-there: does not exist");
	fixture_refused(f, "eswitch.add", nic_with_control(PORTS ",\"socket_group\":\"nobody-there\""),
		RPC_INVALID_PARAMS, "group nobody-there: does not exist");
	fixture_refused(
		f, "eswitch.add", "{" PORTS ",\"control\":\"/nowhere/at/all\"}", RPC_STATE_ERROR, "/nowhere/at/all");
	fixture_write(nic.control, "a file");
	fixture_refused(
		f, "eswitch.add", nic_with_control(PORTS), RPC_STATE_ERROR, "exists and is not a socket; remove it");
	fixture_ok(f, "port.del", "{\"name\":\"f1\"}");
}

static void
everything_before_a_hello_is_skipped(void **state)
{
	static const char junk[] = "\x01\x02\xff\0{[\n" CALL("nic.get", "{}") CALL("vf.set", "{\"vf\":0,\"vlan\":10}")
		CALL("nic.hello", "{\"nonce\":\"\"}") "half a li";

	(void)state;
	nic_add(",\"vlans\":\"10-19\"");
	nic.fd = nic_connect(nic.control);
	nic_say(junk, sizeof(junk) - 1);
	assert_string_equal(nic_hear(NULL), "");
	nic_expect_config("f1", "vlan", "0");
	assert_int_equal(nic_channel_count("calls"), 0);
	nic_say("\n" HELLO, strlen("\n" HELLO));
	assert_non_null(strstr(nic_hear(NULL), "\"protocol\":1,\"n_vfs\":2"));
	assert_int_equal(nic_channel_count("skipped"), 5);
	assert_int_equal(nic_channel_count("refused"), 0);
	nic_expect("{[\n", "-32700");
	nic_expect(CALL("nic.fly", "{}"), "-32601");
	nic_expect(CALL("port.list", "{}"), "-32601");
	assert_int_equal(nic_channel_count("refused"), 3);
	nic_expect(CALL("nic.get", "{}"), "\"vfs\":[{\"vf\":0,");
}

static void
a_guest_changes_what_the_host_permits(void **state)
{
	struct fixture *f = *state;

	nic_add(",\"allowed_macs\":\"" MAC_A "," MAC_B
		"\",\"vlans\":\"10-19\",\"max_rate\":\"1Gbit\",\"min_rate\":\"300Mbit\"");
	nic_greet();
	EXPECT_DONE("{\"vf\":1,\"mac\":\"" MAC_B "\",\"vlan\":19,\"qos\":0,\"proto\":\"802.1Q\",\"max_tx_rate\":1000,"
		    "\"min_tx_rate\":200}");
	nic_expect_config("f2", "allowed_macs", "[\"" MAC_B "\"]");
	nic_expect_config("f2", "vlan", "19");
	nic_expect_config("f2", "max_rate", "\"1Gbit\"");
	nic_expect_config("f2", "min_rate", "\"200Mbit\"");
	nic_expect(CALL("nic.get", "{}"),
		"{\"vf\":1,\"mac\":\"" MAC_B "\",\"vlan\":19,\"qos\":0,\"proto\":\"802.1Q\",\"spoofchk\":true,"
		"\"trust\":false,\"link_state\":\"auto\",\"min_tx_rate\":200,\"max_tx_rate\":1000,\"deadline\":\"0ns\","
		"\"enabled\":false}");
	EXPECT_DONE("{\"vf\":1,\"spoofchk\":false}");
	nic_expect_config("f2", "allowed_macs", "[\"" MAC_B "\",\"" MAC_A "\"]");
	EXPECT_DONE("{\"vf\":1,\"mac\":\"" MAC_A "\"}"); // still unchecked
	nic_expect_config("f2", "allowed_macs", "[\"" MAC_A "\",\"" MAC_B "\"]");
	EXPECT_DONE("{\"vf\":1,\"trust\":\"off\"}");
	nic_expect_config("f2", "allowed_macs", "[\"" MAC_A "\"]");
	EXPECT_DONE("{\"vf\":1,\"trust\":\"on\",\"spoofchk\":\"off\"}");
	EXPECT_DONE("{\"vf\":1,\"link_state\":\"disable\"}");
	nic_expect_config("f2", "admin_up", "false");
	EXPECT_DONE("{\"vf\":1,\"link_state\":\"enable\"}");
	nic_expect_config("f2", "admin_up", "true");
	EXPECT_DONE("{\"vf\":1,\"max_tx_rate\":0,\"min_tx_rate\":0}");
	nic_expect_config("f2", "max_rate", "\"1Gbit\"");
	EXPECT_DONE("{\"vf\":1}");
	fixture_ok(f, "eswitch.set", "{\"name\":\"e\",\"untagged\":true}");
	EXPECT_DONE("{\"vf\":1,\"vlan\":0}");
	nic_expect_config("f2", "vlan", "0");
	EXPECT_SET("{\"vf\":1,\"vlan\":20}", "vlan: 20 is outside of vlans 10-19 and 0;");
	// The host's configuration has it all.
	assert_non_null(f);
	EXPECT_DONE("{\"vf\":0,\"min_tx_rate\":300}");
	EXPECT_DONE("{\"vf\":0,\"min_tx_rate\":100}");
}

static void
deadlines_are_the_hosts_unless_it_says_so(void **state)
{
	struct fixture *f = *state;

	nic_add("");
	nic_greet();
	EXPECT_SET("{\"vf\":0,\"deadline\":\"2ms\"}",
		"deadline: the guest may not change it (deadlines is false); the host's administrator set that");
	fixture_ok(f, "eswitch.set", "{\"name\":\"e\",\"deadlines\":true}");
	nic_expect(CALL("nic.get", "{}"), "\"deadlines\":true");
	EXPECT_DONE("{\"vf\":0,\"deadline\":\"2ms\"}");
	nic_expect_config("f1", "deadline", "\"2ms\"");
	nic_expect(CALL("nic.get", "{}"), "\"deadline\":\"2ms\"");
	EXPECT_SET("{\"vf\":0,\"deadline\":\"2h\"}", "deadline: ");
	EXPECT_SET("{\"vf\":0,\"deadline\":\"fast\"}", "deadline: ");
	EXPECT_DONE("{\"vf\":0,\"deadline\":0}");
	nic_expect_config("f1", "deadline", "\"0ns\"");
}

static void
a_guest_changes_nothing_else(void **state)
{
	(void)state;
	nic_add(",\"allowed_macs\":\"52:54:00:aa:00:00/40\",\"vlans\":\"10-19\",\"max_rate\":\"1Gbit\","
		"\"min_rate\":\"300Mbit\"");
	nic_greet();
	EXPECT_SET("{}", "vf");
	EXPECT_SET("{\"vf\":2}", "vf: 2 is out of range 0 to 1");
	EXPECT_SET("{\"vf\":64}", "vf: 64 is out of range 0 to 63");
	EXPECT_SET("{\"vf\":0,\"port\":\"f2\"}", "-32602");
	EXPECT_SET("{\"vf\":0,\"mac\":\"52:54:00:ab:00:01\"}",
		"mac: 52:54:00:ab:00:01 is outside of allowed_macs 52:54:00:aa:00:00/40; the host's administrator set "
		"that");
	EXPECT_SET("{\"vf\":0,\"mac\":\"01:00:5e:00:00:01\"}", "mac");
	EXPECT_SET("{\"vf\":0,\"mac\":\"00:00:00:00:00:00\"}", "mac");
	EXPECT_SET("{\"vf\":0,\"spoofchk\":true}", "spoofchk: on needs mac as well");
	EXPECT_SET("{\"vf\":0,\"spoofchk\":false}", "spoofchk: off needs allowed_macs without prefixes");
	EXPECT_SET("{\"vf\":0,\"spoofchk\":true,\"trust\":true}", "trust: a VF that is trusted chooses its MAC");
	EXPECT_SET("{\"vf\":0,\"mac\":\"52:54:00:aa:01:00\"}", "mac: 52:54:00:aa:01:00 is outside of");
	EXPECT_DONE("{\"vf\":0,\"mac\":\"52:54:00:aa:00:ff\",\"vlan\":10}");
	EXPECT_SET("{\"vf\":0,\"vlan\":9}", "vlan: 9 is outside of vlans 10-19; the host's administrator set that");
	EXPECT_SET("{\"vf\":0,\"vlan\":20}", "vlan: 20 is outside of vlans 10-19");
	EXPECT_SET("{\"vf\":0,\"vlan\":0}", "vlan: 0 is outside of vlans 10-19");
	EXPECT_SET("{\"vf\":0,\"vlan\":4095}", "vlan: 4095 is out of range 0 to 4094");
	EXPECT_SET("{\"vf\":0,\"qos\":1}", "qos: the switch gives packets no 802.1p priority");
	EXPECT_SET("{\"vf\":0,\"proto\":\"802.1ad\"}", "proto: the switch has no 802.1ad");
	EXPECT_SET("{\"vf\":0,\"max_tx_rate\":1001}",
		"max_tx_rate: 1001 Mbit/s is more than max_rate, 1Gbit; the host's administrator set that");
	EXPECT_DONE("{\"vf\":0,\"min_tx_rate\":200}");
	EXPECT_SET("{\"vf\":1,\"min_tx_rate\":101}",
		"min_tx_rate: 101 Mbit/s is more than what is left of min_rate, 100Mbit of 300Mbit");
	EXPECT_SET("{\"vf\":0,\"max_tx_rate\":199}", "min_tx_rate: larger than max_tx_rate, 199Mbit");
	EXPECT_SET("{\"vf\":0,\"max_tx_rate\":400001}", "max_tx_rate: 400001 is out of range 0 to 400000");
	EXPECT_SET("{\"vf\":0,\"link_state\":\"maybe\"}", "link_state");
}

static void
what_the_host_does_not_name_is_not_the_guests(void **state)
{
	(void)state;
	nic_add("");
	nic_greet();
	EXPECT_SET("{\"vf\":0,\"mac\":\"" MAC_A "\"}", "mac: the guest may not change MACs (allowed_macs is empty)");
	EXPECT_SET("{\"vf\":0,\"spoofchk\":false}", "spoofchk: the guest may not change MACs");
	EXPECT_SET("{\"vf\":0,\"trust\":true}", "trust: the guest may not change MACs");
	EXPECT_SET("{\"vf\":0,\"vlan\":1}", "vlan: 1 is outside of vlans (none)");
	EXPECT_SET("{\"vf\":0,\"max_tx_rate\":1}", "max_tx_rate: the guest may not change it (max_rate is 0)");
	EXPECT_SET("{\"vf\":0,\"min_tx_rate\":1}", "min_tx_rate: 1 Mbit/s is more than what is left of min_rate");
	EXPECT_DONE("{\"vf\":0,\"vlan\":0}"); // as it is
	EXPECT_DONE("{\"vf\":0,\"link_state\":\"disable\"}");
	fixture_ok(nic.f, "port.set", "{\"name\":\"f2\",\"vlan_mode\":\"trunk\",\"trunk\":\"10-12\"}");
	fixture_ok(nic.f, "eswitch.set", "{\"name\":\"e\",\"vlans\":\"10\"}");
	EXPECT_SET("{\"vf\":1,\"vlan\":10}", "vlan: the VF is a trunk of several VLANs");
}

static void
a_guest_learns_nothing_of_other_ports(void **state)
{
	struct fixture *f = *state;
	struct rpc_error err;
	json_t *shown;
	const char *refusal;

	fixture_ok(f, "port.add",
		"{\"name\":\"secret\",\"bridge\":\"br0\",\"type\":\"ethdev\",\"devargs\":\"d0\",\"rate\":\"100Mbit\"}");
	nic_add(",\"max_rate\":\"10Gbit\",\"min_rate\":\"10Gbit\"");
	nic_greet();
	EXPECT_SET("{\"vf\":0,\"min_tx_rate\":500}",
		"min_tx_rate, deadline: the host cannot guarantee that beside its other promises; its administrator "
		"sees why");
	shown = fixture_call(f, "eswitch.show", "{\"name\":\"e\"}", &err);
	refusal = json_string_value(json_object_get(json_object_get(shown, "channel"), "refusal"));
	assert_non_null(strstr(refusal, "VF 0: "));
	assert_non_null(strstr(refusal, "secret"));
	json_decref(shown);
	(void)fake_dp_fail(1, -EIO);
	EXPECT_SET("{\"vf\":0,\"link_state\":\"disable\"}", "vf 0: the host refuses the change");
	nic_expect_config("f1", "admin_up", "true");
}

static void
changes_are_in_the_dump_and_in_the_running_file(void **state)
{
	struct fixture *f = *state;
	char path[128], text[8192];
	json_t *dump;
	char *before;
	size_t len;
	FILE *file;

	nic_add(",\"vlans\":\"10-19\"");
	nic_greet();
	EXPECT_DONE("{\"vf\":0,\"vlan\":12}");
	(void)snprintf(path, sizeof(path), "%.100s.running", f->socket);
	file = fopen(path, "r");
	assert_non_null(file);
	len = fread(text, 1, sizeof(text) - 1, file);
	text[len] = '\0';
	(void)fclose(file);
	assert_non_null(strstr(text, "\"eswitch.add\""));
	assert_non_null(strstr(text, "{\"method\":\"port.set\",\"params\":{\"name\":\"f1\",\"vlan\":12}}"));
	dump = config_dump(f->ctl->plane.live);
	before = json_dumps(dump, JSON_COMPACT);
	assert_non_null(strstr(before, "\"method\":\"eswitch.add\""));
	// The same again is no change, and a configuration without the eswitch removes it first.
	for (unsigned i = 0; i < 2; i++) {
		struct rpc_error err;
		json_t *params = json_pack("{s:O, s:b}", "calls", dump, "replace", true);
		char *call = json_dumps(params, JSON_COMPACT);
		unsigned n = fake_dp_n_changes();

		fixture_ok(f, "config.apply", call);
		if (i == 0)
			assert_int_equal(fake_dp_n_changes(), n);
		else
			assert_int_equal(f->ctl->channels.n, 0);
		free(call);
		json_decref(params);
		(void)err;
		// From here on without f1 and the eswitch.
		for (size_t k = json_array_size(dump); k-- > 0;) {
			json_t *item = json_array_get(dump, k);
			const char *name = json_string_value(json_object_get(json_object_get(item, "params"), "name"));

			if (name && (!strcmp(name, "e") || !strcmp(name, "f1")))
				(void)json_array_remove(dump, k);
		}
	}
	assert_null(model_port_find(f->ctl->plane.live, "f1"));
	assert_int_equal(access(nic.control, F_OK), -1);
	free(before);
	json_decref(dump);
}

static void
a_failed_apply_brings_the_channel_back(void **state)
{
	struct fixture *f = *state;
	json_t *dump, *params;
	char *call;

	nic_add("");
	dump = config_dump(f->ctl->plane.live);
	for (size_t k = json_array_size(dump); k-- > 0;)
		if (!strcmp(json_string_value(json_object_get(json_array_get(dump, k), "method")), "eswitch.add"))
			(void)json_array_remove(dump, k);
	(void)json_array_append_new(dump,
		json_pack("{s:s, s:{s:s, s:s}}", "method", "port.add", "params", "name", "more", "socket", "/more"));
	params = json_pack("{s:o, s:b}", "calls", dump, "replace", true);
	call = json_dumps(params, JSON_COMPACT);
	(void)fake_dp_fail(1, -EIO);
	fixture_refused(f, "config.apply", call, RPC_STATE_ERROR, "");
	assert_int_equal(f->ctl->channels.n, 1);
	nic_greet();
	free(call);
	json_decref(params);
}

static void
events_are_for_those_who_asked(void **state)
{
	struct fixture *f = *state;
	struct dp_event ev = {.type = DP_EVENT_LINK, .is_up = true};

	nic_add("");
	ev.port = (uint16_t)model_port_find(f->ctl->plane.live, "f2")->id;
	nic_greet();
	fake_dp_event(&ev);
	fixture_turn(f);
	assert_string_equal(nic_hear(NULL), "");
	nic_expect(CALL("nic.hello", "{\"nonce\":\"n2\",\"events\":true}"), "\"nonce\":\"n2\"");
	fake_dp_event(&ev);
	fixture_turn(f);
	assert_string_equal(nic_hear(NULL), "{\"jsonrpc\":\"2.0\",\"method\":\"vf.up\",\"params\":{\"vf\":1}}\n");
	ev.is_up = false;
	fake_dp_event(&ev);
	fixture_turn(f);
	assert_non_null(strstr(nic_hear(NULL), "\"vf.down\""));
	ev.port = (uint16_t)model_port_find(f->ctl->plane.live, "f0")->id;
	fake_dp_event(&ev);
	fixture_turn(f);
	assert_string_equal(nic_hear(NULL), "");
	nic_say(HELLO, strlen(HELLO)); // a new session
	(void)nic_hear(NULL);
	ev.port = (uint16_t)model_port_find(f->ctl->plane.live, "f2")->id;
	fake_dp_event(&ev);
	fixture_turn(f);
	assert_string_equal(nic_hear(NULL), "");
}

static void
a_guest_that_does_not_read_is_disconnected(void **state)
{
	struct fixture *f = *state;
	struct dp_event ev = {.type = DP_EVENT_LINK, .is_up = true};
	unsigned n = 0;

	nic_add("");
	ev.port = (uint16_t)model_port_find(f->ctl->plane.live, "f1")->id;
	nic_greet();
	nic_expect(CALL("nic.hello", "{\"nonce\":\"n2\",\"events\":true}"), "n2");
	for (; n < 100000 && f->ctl->channels.list[0]->server.n_clients; n++) {
		fake_dp_event(&ev);
		(void)loop_turn(&f->ctl->loop, 0);
	}
	assert_int_equal(f->ctl->channels.list[0]->server.stats.n_slow, 1);
	fixture_ok(f, "port.list", NULL);
}

static void
the_newest_connection_is_the_only_one(void **state)
{
	ssize_t n;
	int old;

	(void)state;
	nic_add("");
	nic_greet();
	old = nic.fd;
	nic_greet();
	assert_int_equal(nic_channel_count("replaced"), 1);
	assert_int_equal(recv(old, &n, 1, MSG_DONTWAIT), 0);
	close(old);
	// It need not greet before it counts.
	old = nic.fd;
	nic.fd = nic_connect(nic.control);
	fixture_turn(nic.f);
	assert_int_equal(recv(old, &n, 1, MSG_DONTWAIT), 0);
	close(old);
}

static void
limit_of_a_line(void **state)
{
	static char line[CHANNELS_LINE_BYTES + 2];
	ssize_t n;

	(void)state;
	nic_add("");
	nic_greet();
	for (unsigned more = 0; more < 2; more++) {
		memset(line, ' ', sizeof(line));
		memcpy(line, CALL("nic.get", "{}"), strlen(CALL("nic.get", "{}")) - 1);
		line[CHANNELS_LINE_BYTES + more] = '\n';
		nic_say(line, CHANNELS_LINE_BYTES + more + 1);
		if (!more)
			assert_non_null(strstr(nic_hear(NULL), "result"));
	}
	assert_int_equal(nic.f->ctl->channels.list[0]->server.n_clients, 0);
	(void)nic_hear(&n);
	assert_int_equal(nic_channel_count("too_long"), 1);
	close(nic.fd);
	// A line without an end, before any hello.
	nic.fd = nic_connect(nic.control);
	memset(line, '{', sizeof(line));
	nic_say(line, sizeof(line));
	assert_int_equal(nic_channel_count("too_long"), 2);
	assert_int_equal(nic.f->ctl->channels.list[0]->server.n_clients, 0);
}

static void
limit_of_a_batch(void **state)
{
	char batch[4096];

	(void)state;
	nic_add("");
	nic_greet();
	for (unsigned n = CHANNELS_BATCH; n <= CHANNELS_BATCH + 1; n++) {
		size_t len = 0;

		for (unsigned i = 0; i < n; i++)
			len += (size_t)snprintf(batch + len, sizeof(batch) - len,
				"%c{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"nic.get\"}", i ? ',' : '[', i);
		(void)snprintf(batch + len, sizeof(batch) - len, "]\n");
		nic_expect(batch, n == CHANNELS_BATCH ? "\"id\":15" : "17 calls in one batch, at most 16");
	}
}

static unsigned
count(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		n++;
	return n;
}

// The answers of len bytes of calls until nothing more comes.
static unsigned
count_answers(const char *calls, size_t len)
{
	unsigned n = 0, more;

	nic_say(calls, len);
	do {
		more = count(nic_hear(NULL), "\"id\":");
		n += more;
		fixture_turn(nic.f);
	} while (more > 0);
	return n;
}

static void
calls_beyond_the_rate_wait(void **state)
{
	static const char call[] = CALL("nic.fly", "{}");
	static char calls[500 * sizeof(call)];
	struct fixture *f = *state;
	size_t len = 0;

	nic_add(",\"vlans\":\"10-19\"");
	nic_greet(); // one of CHANNELS_BURST
	for (unsigned i = 0; i < 450; i++)
		len += (size_t)snprintf(calls + len, sizeof(calls) - len, "%s", call);
	assert_int_equal(count_answers(calls, len), CHANNELS_BURST - 1);
	fixture_ok(f, "port.list", NULL);
	channels_tick(&f->ctl->channels);
	assert_int_equal(count_answers("", 0), CHANNELS_CALLS);
	// A connection anew has what is left: nothing.
	close(nic.fd);
	fixture_turn(f);
	nic.fd = nic_connect(nic.control);
	nic_say(HELLO, strlen(HELLO));
	assert_string_equal(nic_hear(NULL), "");
	channels_tick(&f->ctl->channels);
	fixture_turn(f);
	assert_non_null(strstr(nic_hear(NULL), "n1"));
	assert_true(nic_channel_count("paused") >= 2);
	// A change counts as several calls.
	for (unsigned i = 0; i < 10; i++)
		channels_tick(&f->ctl->channels);
	len = 0;
	for (unsigned i = 0; i < 100; i++)
		len += (size_t)snprintf(
			calls + len, sizeof(calls) - len, "%s", CALL("vf.set", "{\"vf\":0,\"vlan\":10}"));
	assert_int_equal(count_answers(calls, len), CHANNELS_BURST / CHANNELS_CHANGE_CALLS);
}

// Bytes of a generator with a printed seed: whatever they are, the next program is served.
static void
garbage_ends_nothing(void **state)
{
	unsigned seed = 20261130;
	char bytes[2048];

	(void)state;
	print_message("seed %u\n", seed);
	nic_add("");
	for (unsigned round = 0; round < 50; round++) {
		nic.fd = nic_connect(nic.control);
		if (round % 2)
			nic_say(HELLO, strlen(HELLO));
		for (size_t i = 0; i < sizeof(bytes); i++) {
			seed = seed * 1103515245u + 12345u;
			bytes[i] = (seed >> 16) % 64 ? (char)(seed >> 16) : '\n';
		}
		nic_say(bytes, sizeof(bytes));
		for (unsigned i = 0; i < 3; i++)
			channels_tick(&nic.f->ctl->channels);
		(void)nic_hear(NULL);
		nic_say("\n" HELLO, strlen("\n" HELLO));
		assert_non_null(strstr(nic_hear(NULL), "n1"));
		close(nic.fd);
		nic.fd = -1;
		fixture_turn(nic.f);
	}
}

static void
a_guests_lines_in_the_log_are_limited(void **state)
{
	struct fixture *f = *state;
	const struct model_port *port;

	nic_add(",\"vlans\":\"10-19\"");
	nic_greet();
	port = model_port_find(f->ctl->plane.live, "f1");
	for (unsigned i = 0; i < 20; i++) {
		if (i % 2)
			EXPECT_DONE("{\"vf\":0,\"vlan\":10}");
		else
			EXPECT_DONE("{\"vf\":0,\"vlan\":11}");
	}
	assert_true(f->ctl->events.limits[port->id].n_suppressed >= 10);
}

#define T(name) cmocka_unit_test_setup_teardown(name, nic_setup, nic_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(ports_are_of_one_bridge_and_one_eswitch),
		T(qemus_arguments_are_told),
		T(limits_of_an_eswitch),
		T(limit_of_eswitches),
		T(the_socket_is_made_as_it_is_asked_for),
		T(everything_before_a_hello_is_skipped),
		T(a_guest_changes_what_the_host_permits),
		T(deadlines_are_the_hosts_unless_it_says_so),
		T(a_guest_changes_nothing_else),
		T(what_the_host_does_not_name_is_not_the_guests),
		T(a_guest_learns_nothing_of_other_ports),
		T(changes_are_in_the_dump_and_in_the_running_file),
		T(a_failed_apply_brings_the_channel_back),
		T(events_are_for_those_who_asked),
		T(a_guest_that_does_not_read_is_disconnected),
		T(the_newest_connection_is_the_only_one),
		T(limit_of_a_line),
		T(limit_of_a_batch),
		T(calls_beyond_the_rate_wait),
		T(garbage_ends_nothing),
		T(a_guests_lines_in_the_log_are_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
