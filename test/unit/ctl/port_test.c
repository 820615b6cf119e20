// Methods of the noun port, and the counters of ports: accepted values, refusals with their field,
// and results.
#include "ctl_fixture.h"
#include "port_json.h"
#include "port_params.h"

#include <errno.h>
#include <string.h>

static void
defaults_are_filled_in(void **state)
{
	struct fixture *f = *state;
	const struct dp_port_cfg *cfg;

	fixture_ok(f, "port.add", "{\"name\": \"vm1\"}");
	cfg = &f->ctl->plane.live->ports[0]->cfg;
	assert_string_equal(cfg->socket, "/run/rtvswitch/vm1.sock");
	assert_string_equal(cfg->bridge, "");
	assert_int_equal(cfg->mtu, 1500);
	assert_int_equal(cfg->socket_mode, 0660);
	assert_int_equal(cfg->n_queues, 1);
	assert_true(cfg->admin_up && cfg->packed && cfg->csum && cfg->tso && !cfg->isolated);
}

// A missing value is the family's default, and comes back so from a dump.
static void
tunnels_have_checksums_over_ipv6(void **state)
{
	static const struct {
		const char *address, *remote, *given;
		bool csum, is_dumped;
	} cases[] = {
		{"10.9.0.1/24", "10.9.0.2", "", false, false},
		{"10.9.0.1/24", "10.9.0.2", ", \"csum\": true", true, true},
		{"fd09::1/64", "fd09::2", "", true, false},
		{"fd09::1/64", "fd09::2", ", \"csum\": false", false, true},
	};
	struct fixture *f = *state;
	char params[256];

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct model_port *port;
		json_t *config;

		(void)snprintf(params, sizeof(params),
			"{\"name\": \"up\", \"type\": \"ethdev\", \"devargs\": \"x\", \"mtu\": 1700, \"address\": "
			"\"%s\"}",
			cases[i].address);
		fixture_ok(f, "port.add", params);
		(void)snprintf(params, sizeof(params),
			"{\"name\": \"t\", \"type\": \"geneve\", \"uplink\": \"up\", \"remote\": \"%s\"%s}",
			cases[i].remote, cases[i].given);
		fixture_ok(f, "port.add", params);
		port = model_port_find(f->ctl->plane.live, "t");
		assert_int_equal(port->cfg.csum, cases[i].csum);
		config = port_params_encode(&port->cfg);
		assert_int_equal(json_object_get(config, "csum") != NULL, cases[i].is_dumped);
		json_decref(config);
		fixture_ok(f, "port.del", "{\"name\": \"t\"}");
		fixture_ok(f, "port.del", "{\"name\": \"up\"}");
	}
}

static void
ignored_options_are_checked(void **state)
{
	static const char add[] =
		"{\"name\": \"t\", \"type\": \"geneve\", \"uplink\": \"up\", \"remote\": \"10.9.0.2\"}";
	struct fixture *f = *state;

	fixture_ok(f, "port.add",
		"{\"name\": \"up\", \"type\": \"ethdev\", \"devargs\": \"x\", \"mtu\": 1700, \"address\": "
		"\"10.9.0.1/24\"}");
	fixture_ok(f, "port.add", add);
	fixture_ok(f, "port.set", "{\"name\": \"t\", \"ignore_options\": \"0x102/0x80\"}");
	fixture_refused(f, "port.set", "{\"name\": \"t\", \"ignore_options\": \"0x102/0x80,\"}", RPC_INVALID_PARAMS,
		"ignore_options: must be CLASS[/TYPE],...");
	assert_string_equal(model_port_find(f->ctl->plane.live, "t")->cfg.ignore_options, "0x102/0x80");
}

static void
wrong_combinations_name_the_field(void **state)
{
	static const struct {
		const char *params, *text;
		int code;
	} cases[] = {
		{"\"type\": \"ethdev\"", "devargs: needed", RPC_INVALID_PARAMS},
		{"\"devargs\": \"net_tap0\"", "devargs: only", RPC_INVALID_PARAMS},
		{"\"type\": \"ethdev\", \"devargs\": \"x\", \"socket\": \"/a\"", "socket: only", RPC_INVALID_PARAMS},
		{"\"type\": \"ethdev\", \"devargs\": \"x\", \"packed\": true", "packed: only", RPC_INVALID_PARAMS},
		{"\"type\": \"ethdev\", \"devargs\": \"x\", \"mode\": \"listen\"", "mode: only", RPC_INVALID_PARAMS},
		{"\"type\": \"ethdev\", \"devargs\": \"x\", \"socket_mode\": \"0600\"", "socket_mode: only",
			RPC_INVALID_PARAMS},
		{"\"mode\": \"connect\", \"socket_group\": \"kvm\"", "socket_group: only for mode=listen",
			RPC_INVALID_PARAMS},
		{"\"csum\": false", "tso: needs csum", RPC_INVALID_PARAMS},
		{"\"type\": \"ethdev\", \"devargs\": \"x\", \"csum\": true", "csum: only", RPC_INVALID_PARAMS},
		{"\"ignore_options\": \"0x102\"", "ignore_options: only for type=geneve", RPC_INVALID_PARAMS},
		{"\"path\": \"/dev/shm/s\"", "path: only for type=segment", RPC_INVALID_PARAMS},
		{"\"type\": \"segment\"", "path: needed for type=segment, absolute", RPC_INVALID_PARAMS},
		{"\"type\": \"segment\", \"path\": \"s\"", "path: needed for type=segment, absolute",
			RPC_INVALID_PARAMS},
		{"\"type\": \"segment\", \"path\": \"/s\", \"queues\": 2",
			"queues: only for type=vhost and type=ethdev and type=vduse", RPC_INVALID_PARAMS},
		{"\"type\": \"segment\", \"path\": \"/s\", \"tso\": false", "tso: only for type=vhost and type=vduse",
			RPC_INVALID_PARAMS},
		{"\"type\": \"segment\", \"path\": \"/s\", \"csum\": false",
			"csum: only for type=vhost and type=geneve and type=vduse", RPC_INVALID_PARAMS},
		{"\"type\": \"segment\", \"path\": \"/s\", \"devargs\": \"x\"", "devargs: only for type=ethdev",
			RPC_INVALID_PARAMS},
		{"\"type\": \"segment\", \"path\": \"/s\", \"prewake\": true",
			"prewake: only for type=vhost and type=vduse", RPC_INVALID_PARAMS},
		{"\"type\": \"segment\", \"path\": \"" FAKE_BAD_SEGMENT "\"", "fake: no segment", RPC_INVALID_PARAMS},
		{"\"socket\": \"relative\"", "socket: must be", RPC_INVALID_PARAMS},
		{"\"type\": \"vduse\", \"socket\": \"/s\"", "socket: only for type=vhost", RPC_INVALID_PARAMS},
		{"\"type\": \"vduse\", \"mode\": \"listen\"", "mode: only for type=vhost", RPC_INVALID_PARAMS},
		{"\"type\": \"vduse\", \"csum\": false", "tso: needs csum", RPC_INVALID_PARAMS},
		{"\"trunk\": \"1-3\"", "trunk: only", RPC_INVALID_PARAMS},
		{"\"mirror\": \"rx\"", "mirror: needs mirror_to", RPC_INVALID_PARAMS},
		{"\"mirror_to\": \"m\"", "mirror_to: needs mirror", RPC_INVALID_PARAMS},
		{"\"mirror_to\": \"p\", \"mirror\": \"rx\"", "itself", RPC_INVALID_PARAMS},
		{"\"bridge\": \"br9\"", "br9 does not exist", RPC_STATE_ERROR},
		{"\"mtu\": 67", "mtu: 67 is out of range 68 to 9600", RPC_INVALID_PARAMS},
		{"\"mtu\": 9601", "mtu: 9601 is out of range 68 to 9600", RPC_INVALID_PARAMS},
		{"\"queues\": 9", "queues: 9 is out of range 1 to 8", RPC_INVALID_PARAMS},
		{"\"domain_uuid\": \"no uuid\"", "domain_uuid: 'no uuid' is not a name", RPC_INVALID_PARAMS},
		{"\"vlan\": 4095", "vlan: 4095 is out of range 0 to 4094", RPC_INVALID_PARAMS},
		{"\"colour\": 1", "unknown parameter 'colour'", RPC_INVALID_PARAMS},
	};
	char params[256];

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)snprintf(params, sizeof(params), "{\"name\": \"p\", %s}", cases[i].params);
		fixture_refused(*state, "port.add", params, cases[i].code, cases[i].text);
	}
	assert_int_equal(fake_dp_n_changes(), 0);
}

static void
sockets_and_devices_have_one_port(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "port.add", "{\"name\": \"a\", \"socket\": \"/s\"}");
	fixture_refused(f, "port.add", "{\"name\": \"b\", \"socket\": \"/s\"}", RPC_STATE_ERROR, "belongs to port a");
	fixture_refused(f, "port.add", "{\"name\": \"a\"}", RPC_STATE_ERROR, "port a exists");
	fixture_ok(f, "port.add", "{\"name\": \"c\", \"type\": \"ethdev\", \"devargs\": \"net_tap0\"}");
	fixture_refused(f, "port.add", "{\"name\": \"d\", \"type\": \"ethdev\", \"devargs\": \"net_tap0\"}",
		RPC_STATE_ERROR, "belongs to port c");
	fixture_ok(f, "port.add", "{\"name\": \"e\", \"type\": \"segment\", \"path\": \"/dev/shm/s\"}");
	fixture_refused(f, "port.add", "{\"name\": \"f\", \"type\": \"segment\", \"path\": \"/dev/shm/s\"}",
		RPC_STATE_ERROR, "path: /dev/shm/s is the segment of port e");
}

// A daemon starts again with what it had, whatever others did to a segment's file meanwhile.
static void
spoiled_segments_do_not_refuse_a_configuration(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "config.apply",
		"{\"calls\": [{\"method\": \"port.add\", \"params\": {\"name\": \"s\", \"type\": \"segment\", "
		"\"path\": \"" FAKE_BAD_SEGMENT "\"}}]}");
	assert_string_equal(model_port_find(f->ctl->plane.live, "s")->cfg.path, FAKE_BAD_SEGMENT);
}

static void
show_tells_of_a_segment(void **state)
{
	struct fixture *f = *state;
	const json_t *part;
	json_t *port;
	struct rpc_error err;

	fixture_ok(f, "port.add", "{\"name\": \"s\", \"type\": \"segment\", \"path\": \"/dev/shm/s\"}");
	*fake_dp_state("s") = (struct dp_port_state){.detail = "waiting", .n_disconnects = 1, .segment = {.node = -1}};
	port = fixture_call(f, "port.show", "{\"name\": \"s\"}", &err);
	part = json_object_get(port, "state");
	assert_true(json_is_null(json_object_get(part, "node")));
	assert_string_equal(json_string_value(json_object_get(part, "detail")), "waiting");
	assert_int_equal(json_integer_value(json_object_get(part, "disconnects")), 1);
	json_decref(port);
	fake_dp_state("s")->segment = (struct dp_segment_state){.node = 0,
		.n_nodes = 3,
		.n_slots = 4096,
		.n_slots_free = 4000,
		.n_slots_held = 7,
		.inbox_depth = 5,
		.inbox_size = 512,
		.counters = {.tx_inbox_full = 9}};
	port = fixture_call(f, "port.show", "{\"name\": \"s\"}", &err);
	part = json_object_get(port, "config");
	assert_string_equal(json_string_value(json_object_get(part, "path")), "/dev/shm/s");
	part = json_object_get(port, "state");
	assert_int_equal(json_integer_value(json_object_get(part, "node")), 0);
	assert_int_equal(json_integer_value(json_object_get(part, "nodes")), 3);
	assert_int_equal(json_integer_value(json_object_get(part, "slots")), 4096);
	assert_int_equal(json_integer_value(json_object_get(part, "slots_free")), 4000);
	assert_int_equal(json_integer_value(json_object_get(part, "slots_held")), 7);
	assert_int_equal(json_integer_value(json_object_get(part, "inbox")), 5);
	assert_int_equal(json_integer_value(json_object_get(part, "inbox_size")), 512);
	part = json_object_get(part, "segment_drops");
	assert_int_equal(json_object_size(part), 6);
	assert_int_equal(json_integer_value(json_object_get(part, "tx_inbox_full")), 9);
	json_decref(port);
}

static void
set_changes_what_is_given(void **state)
{
	struct fixture *f = *state;
	const struct dp_port_cfg *cfg;

	fixture_ok(f, "port.add", "{\"name\": \"p\", \"mtu\": 9000, \"vlan_mode\": \"trunk\", \"trunk\": \"5,7\"}");
	fixture_ok(f, "port.set", "{\"name\": \"p\", \"isolated\": true}");
	cfg = &f->ctl->plane.live->ports[0]->cfg;
	assert_int_equal(cfg->mtu, 9000);
	assert_true(cfg->isolated && vlan_set_has(&cfg->trunk, 7));
	fixture_refused(f, "port.set", "{\"name\": \"p\", \"trunk\": \"5\", \"vlan_mode\": \"access\"}",
		RPC_INVALID_PARAMS, "trunk: only for vlan_mode=trunk");
	fixture_ok(f, "port.set", "{\"name\": \"p\", \"vlan_mode\": \"access\"}");
	assert_false(vlan_set_has(&cfg->trunk, 7));
	// A value that is set already does not reach the datapath.
	(void)fake_dp_fail(1, -EIO);
	fixture_ok(f, "port.set", "{\"name\": \"p\", \"isolated\": true, \"mtu\": \"9000\"}");
	fixture_refused(f, "port.set", "{\"name\": \"p\", \"isolated\": false}", RPC_STATE_ERROR, "injected");
	fixture_refused(f, "port.set", "{\"name\": \"p\", \"socket\": \"/x\"}", RPC_INVALID_PARAMS, "socket");
	fixture_refused(f, "port.set", "{\"name\": \"q\", \"mtu\": 1500}", RPC_STATE_ERROR, "q does not exist");
	fixture_refused(f, "port.set", "{\"mtu\": 1500}", RPC_INVALID_PARAMS, "name");
}

// What a port of the type needs to be one; NULL: its type alone.
static const char *const of_each_type[PORT_N_TYPES] = {
	[DP_PORT_VHOST] = "\"name\": \"p\"",
	[DP_PORT_ETHDEV] = "\"name\": \"p\", \"type\": \"ethdev\", \"devargs\": \"x\"",
	[DP_PORT_GENEVE] = "\"name\": \"p\", \"type\": \"geneve\", \"uplink\": \"up\", \"remote\": \"10.9.0.2\"",
	[DP_PORT_SEGMENT] = "\"name\": \"p\", \"type\": \"segment\", \"path\": \"/dev/shm/s\"",
};

// As port.show prints it of a port that does not say otherwise.
static json_t *
default_of(const struct rpc_param *param)
{
	static const struct dp_port_cfg nothing = {.mtu = 1500, .n_queues = 1, .weight = 1, .queue = 512};

	return param->def ? json_string(param->def) : rpc_encode_value(param, &nothing);
}

static const char *
needs(uint32_t type, char own[160])
{
	if (of_each_type[type])
		return of_each_type[type];
	(void)snprintf(own, 160, "\"name\": \"p\", \"type\": \"%s\"", port_traits_names[type]);
	return own;
}

static void
add_of_each_type(struct fixture *f, uint32_t type)
{
	char own[160], params[180];

	(void)snprintf(params, sizeof(params), "{%s}", needs(type, own));
	fixture_ok(f, "port.add", params);
}

// port.add, port.set and admission.check refuse parameters that are not for the type, whatever
// their value. port.set takes all others, with their default value at least, when they are not
// fixed.
static void
each_parameter_is_for_its_types(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "port.add",
		"{\"name\": \"up\", \"type\": \"ethdev\", \"devargs\": \"u\", \"mtu\": 1700, \"address\": "
		"\"10.9.0.1/24\"}");
	for (uint32_t type = 0; type < PORT_N_TYPES; type++) {
		add_of_each_type(f, type);
		for (unsigned i = 1; i < port_params_n; i++) {
			const struct rpc_param *param = &port_params[i];
			bool is_for_type = !param->kinds || (param->kinds >> type & 1);
			json_t *value = default_of(param);
			char *text = json_dumps(value, JSON_ENCODE_ANY), params[512], why[128], own[160];

			(void)snprintf(why, sizeof(why), "%s: only for type=", param->name);
			(void)snprintf(params, sizeof(params), "{\"name\": \"p\", \"%s\": %s}", param->name, text);
			if (!is_for_type) {
				fixture_refused(f, "port.set", params, RPC_INVALID_PARAMS, why);
				fixture_refused(f, "admission.check", params, RPC_INVALID_PARAMS, why);
				(void)snprintf(params, sizeof(params), "{%s, \"%s\": %s}", needs(type, own),
					param->name, text);
				fixture_refused(f, "port.add", params, RPC_INVALID_PARAMS, why);
			} else if (!param->fixed) {
				fixture_ok(f, "port.set", params);
			}
			free(text);
			json_decref(value);
		}
		fixture_ok(f, "port.del", "{\"name\": \"p\"}");
	}
}

// A call that repeats the present state disturbs no guest. A driver's agreed features take more
// than a new port.
static void
what_is_fixed_cannot_be_set(void **state)
{
	static const struct {
		uint32_t type;
		const char *param, *same, *other;
	} cases[] = {
		{DP_PORT_VHOST, "type", "\"vhost\"", "\"ethdev\""},
		{DP_PORT_VHOST, "socket", "\"/run/rtvswitch/p.sock\"", "\"/x\""},
		{DP_PORT_VHOST, "mode", "\"listen\"", "\"connect\""},
		{DP_PORT_VHOST, "socket_mode", "\"0660\"", "\"0600\""},
		{DP_PORT_VHOST, "socket_owner", "\"\"", "\"root\""},
		{DP_PORT_VHOST, "socket_group", "\"\"", "\"kvm\""},
		{DP_PORT_VHOST, "packed", "true", "false"},
		{DP_PORT_VHOST, "tso", "true", "false"},
		{DP_PORT_VHOST, "queues", "1", "2"},
		{DP_PORT_ETHDEV, "devargs", "\"x\"", "\"y\""},
		{DP_PORT_ETHDEV, "queues", "1", "2"},
		{DP_PORT_GENEVE, "type", "\"geneve\"", "\"segment\""},
		{DP_PORT_GENEVE, "uplink", "\"up\"", "\"other\""},
		{DP_PORT_GENEVE, "remote", "\"10.9.0.2\"", "\"10.9.0.3\""},
		{DP_PORT_GENEVE, "vni", "0", "1"},
		{DP_PORT_GENEVE, "csum", "false", "true"},
		{DP_PORT_GENEVE, "timestamps", "true", "false"},
		{DP_PORT_SEGMENT, "path", "\"/dev/shm/s\"", "\"/dev/shm/t\""},
	};
	struct fixture *f = *state;
	char params[160], why[128];

	fixture_ok(f, "port.add",
		"{\"name\": \"up\", \"type\": \"ethdev\", \"devargs\": \"u\", \"mtu\": 1700, \"address\": "
		"\"10.9.0.1/24\"}");
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		add_of_each_type(f, cases[i].type);
		(void)snprintf(params, sizeof(params), "{\"name\": \"p\", \"%s\": %s}", cases[i].param, cases[i].same);
		fixture_ok(f, "port.set", params);
		(void)snprintf(params, sizeof(params), "{\"name\": \"p\", \"mtu\": 1400, \"%s\": %s}", cases[i].param,
			cases[i].other);
		(void)snprintf(why, sizeof(why),
			"%s: fixed when the port is added; delete the port and add it again to change it",
			cases[i].param);
		fixture_refused(f, "port.set", params, RPC_INVALID_PARAMS, why);
		assert_int_equal(model_port_find(f->ctl->plane.live, "p")->cfg.mtu, 1500);
		fixture_ok(f, "port.del", "{\"name\": \"p\"}");
	}
	add_of_each_type(f, DP_PORT_VHOST);
	fixture_refused(f, "port.set", "{\"name\": \"p\", \"tso\": false}", RPC_INVALID_PARAMS,
		"a guest that runs keeps what it uses until it is powered off and on");
}

static void
expect_mirror(struct fixture *f, const char *port, const char *expected)
{
	struct rpc_error err;
	char params[64];
	json_t *result;

	(void)snprintf(params, sizeof(params), "{\"name\": \"%s\"}", port);
	result = fixture_call(f, "port.show", params, &err);
	assert_non_null(result);
	assert_string_equal(json_string_value(json_object_get(json_object_get(result, "state"), "mirror")), expected);
	json_decref(result);
}

static void
mirror_waits_for_its_target(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "port.add", "{\"name\": \"p\", \"mirror_to\": \"tap\", \"mirror\": \"both\"}");
	expect_mirror(f, "p", "waits for its port");
	for (unsigned i = 0; i < 2; i++) {
		// A port that is another's mirror target copies nothing itself, whichever comes
		// first.
		fixture_refused(f, "port.add", "{\"name\": \"tap\", \"mirror_to\": \"q\", \"mirror\": \"rx\"}",
			RPC_INVALID_PARAMS, "receives a mirror");
		fixture_ok(f, "port.add", "{\"name\": \"tap\"}");
		expect_mirror(f, "p", "active");
		fixture_refused(f, "port.add", "{\"name\": \"q\", \"mirror_to\": \"p\", \"mirror\": \"rx\"}",
			RPC_INVALID_PARAMS, "receives a mirror");
		fixture_refused(f, "port.set", "{\"name\": \"tap\", \"mirror_to\": \"p\", \"mirror\": \"rx\"}",
			RPC_INVALID_PARAMS, "receives a mirror");
		fixture_ok(f, "port.del", "{\"name\": \"tap\"}");
		expect_mirror(f, "p", "waits for its port");
	}
	fixture_ok(f, "port.set", "{\"name\": \"p\", \"mirror_to\": \"\", \"mirror\": \"none\"}");
	fixture_ok(f, "port.add", "{\"name\": \"tap\", \"mirror_to\": \"q\", \"mirror\": \"rx\"}");
}

static void
show_has_config_state_and_stats(void **state)
{
	struct fixture *f = *state;
	struct rpc_error err;
	json_t *port;
	const json_t *part;

	fixture_ok(f, "port.add", "{\"name\": \"vm1\"}");
	*fake_dp_state("vm1") = (struct dp_port_state){.is_link_up = true,
		.is_connected = true,
		.is_packed = true,
		.n_queues = 1,
		.mtu = 1500,
		.features = 1u << 15 | UINT64_C(1) << 34};
	fake_dp_stats("vm1")->rx_pkts = 12;
	fake_dp_stats("vm1")->drops[DROP_SPOOF_MAC] = 3;
	fake_dp_stats("vm1")->blocked_ns = 1500;
	port = fixture_call(f, "port.show", "{\"name\": \"vm1\"}", &err);
	assert_string_equal(json_string_value(json_object_get(port, "link")), "up");
	part = json_object_get(port, "config");
	assert_string_equal(json_string_value(json_object_get(part, "mode")), "listen");
	assert_string_equal(json_string_value(json_object_get(part, "socket_mode")), "0660");
	part = json_object_get(port, "state");
	assert_string_equal(json_string_value(json_object_get(part, "ring")), "packed");
	assert_string_equal(json_string_value(json_object_get(part, "features_hex")), "0x400008000");
	assert_string_equal(json_string_value(json_array_get(json_object_get(part, "features"), 0)), "mrg_rxbuf");
	assert_string_equal(json_string_value(json_array_get(json_object_get(part, "features"), 1)), "ring_packed");
	part = json_object_get(port, "stats");
	assert_int_equal(json_integer_value(json_object_get(part, "rx_pkts")), 12);
	assert_int_equal(json_integer_value(json_object_get(part, "drops")), 3);
	assert_int_equal(json_object_size(json_object_get(part, "drops_by_reason")), 1);
	assert_int_equal(json_integer_value(json_object_get(part, "blocked_ns")), 1500);
	json_decref(port);
	fixture_refused(f, "port.show", "{\"name\": \"vm2\"}", RPC_STATE_ERROR, "vm2");
}

static void
unknown_features_have_a_number(void **state)
{
	json_t *list = port_json_features(UINT64_C(1) << 25);

	(void)state;
	assert_string_equal(json_string_value(json_array_get(list, 0)), "bit25");
	json_decref(list);
}

static void
stats_add_up(void **state)
{
	struct fixture *f = *state;
	struct rpc_error err;
	json_t *result;

	fixture_ok(f, "port.add", "{\"name\": \"a\"}");
	fixture_ok(f, "port.add", "{\"name\": \"b\"}");
	fake_dp_stats("a")->rx_pkts = 10;
	fake_dp_stats("b")->tx_pkts = 8;
	fake_dp_stats("b")->drops[DROP_TX_FULL] = 3;
	fake_dp_stats("b")->queued = -1;
	result = fixture_call(f, "stats.get", NULL, &err);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(result, "total"), "rx_pkts")), 17);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(result, "total"), "queued")), -1);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(result, "total"), "drops")), 3);
	json_decref(result);
	result = fixture_call(f, "stats.drops", "{\"port\": \"b\"}", &err);
	assert_int_equal(json_array_size(result), 1);
	assert_string_equal(json_string_value(json_object_get(
				    json_array_get(json_object_get(json_array_get(result, 0), "drops"), 0), "reason")),
		"tx_full");
	json_decref(result);
	fixture_refused(f, "stats.get", "{\"port\": \"c\"}", RPC_STATE_ERROR, "c does not exist");
}

// The time that a port is held back has no egress port: it is in the port's counters, once, and in
// no flow.
static void
time_held_back_is_the_ports_own(void **state)
{
	struct fixture *f = *state;
	struct rpc_error err;
	json_t *result, *ports;

	fixture_ok(f, "port.add", "{\"name\": \"a\"}");
	fixture_ok(f, "port.add", "{\"name\": \"b\"}");
	fake_dp_stats("a")->blocked_ns = 1500;
	fake_dp_flow("b", "a")->surplus_pkts = 1;
	result = fixture_call(f, "stats.get", NULL, &err);
	ports = json_object_get(result, "ports");
	assert_int_equal(json_integer_value(json_object_get(json_array_get(ports, 0), "blocked_ns")), 1500);
	assert_true(json_is_integer(json_object_get(json_array_get(ports, 1), "blocked_ns")));
	assert_int_equal(json_integer_value(json_object_get(json_array_get(ports, 1), "blocked_ns")), 0);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(result, "total"), "blocked_ns")), 2000);
	json_decref(result);
	result = fixture_call(f, "flow.list", NULL, &err);
	assert_true(json_is_integer(json_object_get(json_array_get(result, 0), "queued")));
	assert_null(json_object_get(json_array_get(result, 0), "blocked_ns"));
	json_decref(result);
}

static void
assert_holds(const json_t *port, const char *key, const char *other)
{
	const json_t *list = json_object_get(port, key), *entry = json_array_get(list, 0);

	assert_int_equal(json_array_size(list), other ? 1 : 0);
	if (!other)
		return;
	assert_string_equal(json_string_value(json_object_get(entry, "port")), other);
	assert_int_equal(json_integer_value(json_object_get(entry, "held_ns")), 1500);
}

// Each end names the other.
static void
ports_that_hold_each_other_back_are_named(void **state)
{
	struct fixture *f = *state;
	struct rpc_error err;
	json_t *port;

	fixture_ok(f, "port.add", "{\"name\": \"a\"}");
	fixture_ok(f, "port.add", "{\"name\": \"up\"}");
	fake_dp_held("a", "up", 1500);
	port = fixture_call(f, "port.show", "{\"name\": \"a\"}", &err);
	assert_holds(port, "held_back_by", "up");
	assert_holds(port, "holds_back", NULL);
	json_decref(port);
	port = fixture_call(f, "port.show", "{\"name\": \"up\"}", &err);
	assert_holds(port, "held_back_by", NULL);
	assert_holds(port, "holds_back", "a");
	json_decref(port);
	port = fixture_call(f, "stats.get", "{\"port\": \"a\"}", &err);
	assert_holds(json_array_get(json_object_get(port, "ports"), 0), "held_back_by", "up");
	json_decref(port);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(defaults_are_filled_in),
		T(wrong_combinations_name_the_field),
		T(tunnels_have_checksums_over_ipv6),
		T(ignored_options_are_checked),
		T(sockets_and_devices_have_one_port),
		T(spoiled_segments_do_not_refuse_a_configuration),
		T(show_tells_of_a_segment),
		T(set_changes_what_is_given),
		T(each_parameter_is_for_its_types),
		T(what_is_fixed_cannot_be_set),
		T(mirror_waits_for_its_target),
		T(show_has_config_state_and_stats),
		cmocka_unit_test(unknown_features_have_a_number),
		T(stats_add_up),
		T(time_held_back_is_the_ports_own),
		T(ports_that_hold_each_other_back_are_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
