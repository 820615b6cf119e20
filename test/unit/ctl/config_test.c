// The configuration as a whole: dump and apply are inverse, apply is all or nothing wherever it
// fails, files.
#include "config.h"
#include "ctl_fixture.h"
#include "rtvs/units.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// Two states that differ in every way that plan.c knows. A: br0, br1; p1 mirrors to tap; p3 alone.
static const char state_a[] =
	"[{\"method\": \"bridge.add\", \"params\": {\"name\": \"br0\"}},"
	"{\"method\": \"bridge.add\", \"params\": {\"name\": \"br1\", \"mac_limit\": 64}},"
	"{\"method\": \"port.add\", \"params\": {\"name\": \"tap\", \"type\": \"ethdev\", \"devargs\": \"t0\"}},"
	"{\"method\": \"port.add\", \"params\": {\"name\": \"p1\", \"bridge\": \"br0\", \"mirror_to\": \"tap\","
	" \"mirror\": \"rx\"}},"
	"{\"method\": \"port.add\", \"params\": {\"name\": \"p2\", \"bridge\": \"br1\", \"vlan_mode\": \"trunk\","
	" \"trunk\": \"5,7-9\", \"allowed_ips\": \"10.0.0.1,fd00::/64\", \"allowed_macs\": \"52:54:00:00:00:02\"}},"
	"{\"method\": \"port.add\", \"params\": {\"name\": \"p3\", \"bridge\": \"br0\"}},"
	"{\"method\": \"port.add\", \"params\": {\"name\": \"same\", \"bridge\": \"br0\", \"flood_rate\": 5}},"
	"{\"method\": \"rule.add\", \"params\": {\"port\": \"p1\", \"rule\": \"tcp,tp_dst=23,actions=drop\"}},"
	"{\"method\": \"rule.add\", \"params\": {\"port\": \"p1\", \"rule\": "
	"\"priority=9,tcp,actions=rate:1Mbit,allow\"}},"
	"{\"method\": \"rule.add\", \"params\": {\"port\": \"same\", \"rule\": \"udp,actions=drop\"}},"
	"{\"method\": \"rule.add\", \"params\": {\"port\": \"p3\", \"rule\": \"arp,actions=allow\"}},"
	"{\"method\": \"mac.add\", \"params\": {\"bridge\": \"br0\", \"mac\": \"52:54:00:00:00:03\","
	" \"port\": \"p3\"}},"
	"{\"method\": \"mac.add\", \"params\": {\"bridge\": \"br1\", \"mac\": \"52:54:00:00:00:02\","
	" \"port\": \"p2\", \"vlan\": 7}}]";
// B: br1 is gone, br2 is there; tap is another device; p2 moved; p1 has another MTU and mirrors
// still; p3 mirrors too.
static const char state_b[] =
	"[{\"method\": \"system.init\", \"params\": {\"idle\": \"adaptive\", \"dscp_classes\": \"1ms:cs6\"}},"
	"{\"method\": \"log.set\", \"params\": {\"level\": \"error\"}},"
	"{\"method\": \"bridge.add\", \"params\": {\"name\": \"br0\", \"mac_age\": \"1min\"}},"
	"{\"method\": \"bridge.add\", \"params\": {\"name\": \"br2\"}},"
	"{\"method\": \"port.add\", \"params\": {\"name\": \"tap\", \"type\": \"ethdev\", \"devargs\": \"t1\"}},"
	"{\"method\": \"port.add\", \"params\": {\"name\": \"p1\", \"bridge\": \"br0\", \"mirror_to\": \"tap\","
	" \"mirror\": \"rx\", \"mtu\": 9000}},"
	"{\"method\": \"port.add\", \"params\": {\"name\": \"p2\", \"bridge\": \"br2\"}},"
	"{\"method\": \"port.add\", \"params\": {\"name\": \"same\", \"bridge\": \"br0\", \"flood_rate\": 5}},"
	"{\"method\": \"port.add\", \"params\": {\"name\": \"p4\", \"mirror_to\": \"tap\", \"mirror\": \"tx\"}},"
	"{\"method\": \"rule.add\", \"params\": {\"port\": \"p1\", \"rule\": \"priority=9,tcp,actions=drop\"}},"
	"{\"method\": \"rule.add\", \"params\": {\"port\": \"p1\", \"rule\": \"tcp,tp_dst=22,actions=drop\"}},"
	"{\"method\": \"rule.add\", \"params\": {\"port\": \"same\", \"rule\": \"udp,actions=drop\"}},"
	"{\"method\": \"rule.add\", \"params\": {\"port\": \"p4\", \"rule\": \"actions=drop\"}},"
	"{\"method\": \"rule.add\", \"params\": {\"port\": \"tap\", \"rule\": \"actions=drop\"}},"
	"{\"method\": \"mac.add\", \"params\": {\"bridge\": \"br2\", \"mac\": \"52:54:00:00:00:02\","
	" \"port\": \"p2\"}}]";

// Applies; NULL: worked, else the message (static).
static const char *
apply(struct fixture *f, const char *calls, bool replace)
{
	static char message[RPC_MAX_ERROR_TEXT];
	static char params[1 << 16];
	struct rpc_error err;
	json_t *result;

	(void)snprintf(params, sizeof(params), "{\"calls\": %s, \"replace\": %s}", calls, replace ? "true" : "false");
	result = fixture_call(f, "config.apply", params, &err);
	(void)snprintf(message, sizeof(message), "%s", err.message);
	json_decref(err.data);
	json_decref(result);
	return result ? NULL : message;
}

static char *
dump(struct fixture *f)
{
	struct rpc_error err;
	json_t *calls = fixture_call(f, "config.dump", NULL, &err);
	char *text = json_dumps(calls, JSON_INDENT(1));

	json_decref(calls);
	return text;
}

static void
dump_recreates_the_state(void **state)
{
	struct fixture *f = *state;
	char *config, *again, *dp, *dp_again;

	assert_null(apply(f, state_a, true));
	config = dump(f);
	dp = fake_dp_dump();
	assert_null(apply(f, "[]", true));
	assert_int_equal(f->ctl->plane.live->n_ports + f->ctl->plane.live->n_bridges, 0);
	assert_int_equal(f->ctl->plane.live->system.n_mbufs, 16384);
	assert_null(apply(f, config, true));
	again = dump(f);
	dp_again = fake_dp_dump();
	assert_string_equal(config, again);
	assert_string_equal(dp, dp_again);
	free(config);
	free(again);
	free(dp);
	free(dp_again);
}

static void
what_is_the_same_is_not_touched(void **state)
{
	struct fixture *f = *state;
	unsigned n, n_same;

	assert_null(apply(f, state_a, true));
	n_same = fake_dp_n_port_changes("same");
	n = fake_dp_n_changes();
	assert_null(apply(f, state_a, true));
	assert_int_equal(fake_dp_n_changes(), n);
	assert_null(apply(f, "[{\"method\": \"system.init\", \"params\": {\"idle\": \"busy\"}}]", false));
	assert_int_equal(fake_dp_n_changes(), n);
	assert_null(apply(f,
		"[{\"method\": \"system.init\", \"params\": {\"dscp_classes\": "
		"\"1000us:EF,10ms:af41,50ms:26,200ms:18,60min:10\"}}]",
		false)); // the default, written otherwise
	assert_int_equal(fake_dp_n_changes(), n);
	assert_null(apply(f, state_b, true));
	assert_int_equal(fake_dp_n_port_changes("same"), n_same);
	assert_int_equal(f->ctl->plane.live->n_ports, 5);
	assert_int_equal(f->ctl->plane.live->system.idle, DP_IDLE_ADAPTIVE);
	assert_string_equal(f->ctl->plane.live->system.dscp_classes, "1ms:48");
	assert_null(model_bridge_find(f->ctl->plane.live, "br1"));
}

// Every change of the way from one state to the other fails once.
static void
check_atomic(struct fixture *f, const char *from, const char *to)
{
	unsigned n_steps, begin;
	char *config, *dp;

	assert_null(apply(f, to, true));
	assert_null(apply(f, from, true));
	config = dump(f);
	dp = fake_dp_dump();
	begin = fake_dp_n_changes();
	assert_null(apply(f, to, true));
	n_steps = fake_dp_n_changes() - begin;
	assert_true(n_steps > 5);
	assert_null(apply(f, from, true));
	for (unsigned i = 1; i <= n_steps; i++) {
		char *config_after, *dp_after;
		const char *message;
		(void)fake_dp_fail(i, -EIO);
		message = apply(f, to, true);
		if (!message)
			continue; // a static MAC of a port that had left: forgotten anyway
		if (!strstr(message, "injected") && !strstr(message, "Input/output"))
			fail_msg("step %u: %s", i, message);
		(void)fake_dp_fail(0, 0);
		config_after = dump(f);
		dp_after = fake_dp_dump();
		assert_string_equal(config, config_after);
		assert_string_equal(dp, dp_after);
		free(config_after);
		free(dp_after);
	}
	free(config);
	free(dp);
}

static void
a_failure_at_any_step_leaves_the_old_state(void **state)
{
	check_atomic(*state, state_a, state_b);
	check_atomic(*state, state_b, state_a);
	check_atomic(*state, "[]", state_a);
	check_atomic(*state, state_b, "[]");
}

// A value that the parameter does not have: as JSON. False: it names the object.
static bool
other_value(const json_t *param, const char *now, char *buf, size_t size)
{
	const char *type = json_string_value(json_object_get(param, "type"));
	json_int_t least = json_integer_value(json_object_get(param, "min"));

	if (json_is_true(json_object_get(param, "key")))
		return false;
	if (!strcmp(type, "bool"))
		(void)snprintf(buf, size, "%s", strcmp(now, "true") ? "true" : "false");
	else if (!strcmp(type, "enum"))
		(void)snprintf(
			buf, size, "\"%s\"", json_string_value(json_array_get(json_object_get(param, "names"), 1)));
	else if (!strcmp(type, "uint") || !strcmp(type, "time"))
		(void)snprintf(buf, size, "%lld", (long long)(least + 1));
	else
		fail_msg("a value of type %s is needed here", type);
	return true;
}

// Each parameter of a bridge in the table reaches an existing bridge.
static void
each_parameter_of_a_bridge_is_applied(void **state)
{
	struct fixture *f = *state;
	struct rpc_error err;
	json_t *api = fixture_call(f, "rpc.discover", NULL, &err), *method, *param;
	size_t i, k, n = 0;

	json_array_foreach (api, i, method) {
		if (strcmp(json_string_value(json_object_get(method, "method")), "bridge.add"))
			continue;
		json_array_foreach (json_object_get(method, "params"), k, param) {
			const char *name = json_string_value(json_object_get(param, "name"));
			char value[32], calls[256], *dp, *dp_after, *now;
			json_t *shown;

			assert_null(apply(f, "[{\"method\": \"bridge.add\", \"params\": {\"name\": \"br0\"}}]", true));
			shown = fixture_call(f, "bridge.show", "{\"name\": \"br0\"}", &err);
			now = json_dumps(json_object_get(shown, name), JSON_ENCODE_ANY);
			if (other_value(param, now, value, sizeof(value))) {
				dp = fake_dp_dump();
				(void)snprintf(calls, sizeof(calls),
					"[{\"method\": \"bridge.add\", \"params\": {\"name\": \"br0\", \"%s\": %s}}]",
					name, value);
				assert_null(apply(f, calls, true));
				dp_after = fake_dp_dump();
				assert_string_not_equal(dp, dp_after);
				free(dp);
				free(dp_after);
				n++;
			}
			free(now);
			json_decref(shown);
		}
	}
	assert_true(n > 0);
	json_decref(api);
}

static void
errors_name_the_call(void **state)
{
	struct fixture *f = *state;
	const char *message;
	unsigned n = fake_dp_n_changes();

	message = apply(f,
		"[{\"method\": \"bridge.add\", \"params\": {\"name\": \"x\"}}, {\"method\": \"port.add\","
		" \"params\": {\"name\": \"p\", \"bridge\": \"y\"}}]",
		true);
	assert_non_null(strstr(message, "call 1 (port.add): bridge: y does not exist"));
	message = apply(f, "[{\"method\": \"port.list\"}]", true);
	assert_non_null(strstr(message, "call 0 (port.list)"));
	message = apply(f, "[{\"method\": \"config.apply\", \"params\": {\"calls\": []}}]", true);
	assert_non_null(strstr(message, "call 0 (config.apply)"));
	message = apply(f,
		"[{\"method\": \"bridge.add\", \"params\": {\"name\": \"x\"}}, {\"method\": \"system.init\"}]", true);
	assert_non_null(strstr(message, "system.init must come before"));
	message = apply(f, "[{\"method\": \"system.init\", \"params\": {\"buffers\": 2048}}]", true);
	assert_non_null(strstr(message, "while the daemon runs"));
	// all of that was found before anything was touched
	assert_int_equal(fake_dp_n_changes(), n);
	(void)fake_dp_fail(2, -EIO);
	message = apply(f, state_a, true);
	assert_non_null(strstr(message, "call 1 (bridge.add)"));
}

static void
check_changes_nothing(void **state)
{
	struct fixture *f = *state;
	unsigned n = fake_dp_n_changes();

	fixture_ok(f, "config.check", "{\"calls\": [{\"method\": \"bridge.add\", \"params\": {\"name\": \"x\"}}]}");
	assert_int_equal(f->ctl->plane.live->n_bridges, 0);
	fixture_refused(f, "config.check",
		"{\"calls\": [{\"method\": \"port.add\", \"params\": {\"name\": \"p\", \"mtu\": 1}}]}",
		RPC_INVALID_PARAMS, "call 0 (port.add): mtu");
	assert_int_equal(fake_dp_n_changes(), n);
}

static void
without_replace_the_rest_stays(void **state)
{
	struct fixture *f = *state;

	assert_null(apply(f, state_a, true));
	assert_null(apply(f,
		"[{\"method\": \"port.add\", \"params\": {\"name\": \"more\"}},"
		"{\"method\": \"port.set\", \"params\": {\"name\": \"p3\", \"mtu\": 1400}},"
		"{\"method\": \"port.del\", \"params\": {\"name\": \"same\"}}]",
		false));
	assert_non_null(model_port_find(f->ctl->plane.live, "more"));
	assert_non_null(model_port_find(f->ctl->plane.live, "p1"));
	assert_null(model_port_find(f->ctl->plane.live, "same"));
	assert_int_equal(model_port_find(f->ctl->plane.live, "p3")->cfg.mtu, 1400);
	assert_non_null(apply(f, "[{\"method\": \"port.add\", \"params\": {\"name\": \"p1\"}}]", false));
}

static void
saved_file_starts_the_same_daemon(void **state)
{
	struct fixture *f = *state;
	char params[256], err[DP_ERR_SIZE];
	struct stat st;
	char *config, *again;

	assert_null(apply(f, state_b, true));
	fixture_refused(f, "config.save", NULL, RPC_INVALID_PARAMS, "--config");
	fixture_refused(f, "config.save", "{\"file\": \"/nowhere/x\"}", RPC_STATE_ERROR, "/nowhere/x");
	(void)snprintf(params, sizeof(params), "{\"file\": \"%s\"}", f->config);
	fixture_ok(f, "config.save", params);
	assert_int_equal(stat(f->config, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	config = dump(f);
	ctl_destroy(f->ctl);
	f->ctl = NULL;
	f->params.config = f->config;
	if (ctl_create(&f->params, &f->ctl, err) < 0)
		fail_msg("%s", err);
	again = dump(f);
	assert_string_equal(config, again);
	fixture_ok(f, "config.save", NULL);
	free(config);
	free(again);
}

static void
start_fails(struct fixture *f, const char *text, int rc, const char *what)
{
	char err[DP_ERR_SIZE];

	fixture_write(f->config, text);
	f->params.config = f->config;
	assert_int_equal(ctl_create(&f->params, &f->ctl, err), rc);
	assert_null(f->ctl);
	if (!strstr(err, what) || !strstr(err, f->config) || strchr(err, '\n'))
		fail_msg("%s", err);
}

static void
a_bad_file_fails_the_start(void **state)
{
	struct fixture *f = *state;
	struct dp *dp = NULL;
	char err[DP_ERR_SIZE];

	start_fails(f, "[{]", -EINVAL, "line 1");
	start_fails(f, "", -EINVAL, "line 1");
	start_fails(f, "{\"x\": []}", -EINVAL, "must be a list");
	start_fails(f, "[5]", -EINVAL, "call 0");
	start_fails(f, "[{\"method\": \"port.fly\"}]", -EINVAL, "call 0 (port.fly)");
	start_fails(f, "{\"calls\": [{\"method\": \"bridge.add\", \"params\": {\"name\": \"b\", \"mac_limit\": 1}}]}",
		-EINVAL, "call 0 (bridge.add): mac_limit");
	start_fails(
		f, "[{\"method\": \"bridge.add\", \"params\": {\"name\": \"b\"}, \"extra\": 1}]", -EINVAL, "call 0");
	// Nothing stays: the next datapath is the first.
	assert_int_equal(dp_init(&f->params.system, &dp, err), 0);
	dp_fini(dp);
	f->params.config = "/nowhere/file";
	assert_int_equal(ctl_create(&f->params, &f->ctl, err), -ENOENT);
	assert_non_null(strstr(err, "/nowhere/file"));
}

static void
system_init_comes_on_top_of_the_command_line(void **state)
{
	struct fixture *f = *state;
	char err[DP_ERR_SIZE];

	f->params.config = f->config;
	f->params.system.n_mbufs = 4096;
	fixture_write(f->config,
		"[{\"method\": \"system.init\", \"params\": {\"idle\": \"adaptive\", \"workers\": \"0\", "
		"\"worker_priority\": \"fifo\"}}]");
	assert_int_equal(ctl_create(&f->params, &f->ctl, err), 0);
	assert_int_equal(f->ctl->plane.live->system.n_mbufs, 4096);
	// The running values stay when a list of calls does not speak of them.
	assert_null(apply(f, "[]", true));
	assert_int_equal(f->ctl->plane.live->system.idle, DP_IDLE_ADAPTIVE);
	assert_int_equal(f->ctl->plane.live->system.idle, DP_IDLE_ADAPTIVE);
	assert_int_equal(f->ctl->plane.live->system.workers.n, 1);
	assert_int_equal(f->ctl->plane.live->system.worker_priority, DP_PRIORITY_FIFO);
}

static void
shipped_examples_load(void **state)
{
	static const char *const names[] = {"deadlines.json", "segment.json", "two-guests.json", "two-hosts.json",
		"vlan-trunk.json", "uplink.json"};
	struct fixture *f = *state;
	char err[DP_ERR_SIZE], path[512];

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), RTVS_CONF_DIR "/%s", names[i]);
		f->params.config = path;
		if (ctl_create(&f->params, &f->ctl, err) < 0)
			fail_msg("%s", err);
		assert_true(f->ctl->plane.live->n_ports >= 2);
		ctl_destroy(f->ctl);
		f->ctl = NULL;
	}
}

// The greatest number of bridges and static MACs, with names of the greatest length, in one list of
// calls.
static json_t *
largest_calls(void)
{
	json_t *calls = json_array();
	char bridge[RTVS_NAME_SIZE], port[RTVS_NAME_SIZE], mac[UNITS_TEXT_SIZE];

	for (unsigned b = 0; b < DP_MAX_BRIDGES; b++) {
		(void)snprintf(bridge, sizeof(bridge), "bridge-%0*u", RTVS_NAME_SIZE - 8, b);
		(void)snprintf(port, sizeof(port), "port-%0*u", RTVS_NAME_SIZE - 6, b);
		assert_int_equal(strlen(bridge), RTVS_NAME_SIZE - 1);
		(void)json_array_append_new(calls,
			json_pack("{s:s, s:{s:s, s:i}}", "method", "bridge.add", "params", "name", bridge, "mac_limit",
				2 * DP_MAX_STATIC_MACS));
		(void)json_array_append_new(calls,
			json_pack(
				"{s:s, s:{s:s, s:s}}", "method", "port.add", "params", "name", port, "bridge", bridge));
		for (unsigned i = 0; i < DP_MAX_STATIC_MACS; i++) {
			(void)snprintf(mac, sizeof(mac), "52:54:00:%02x:%02x:%02x", b, i >> 8, i & 255);
			(void)json_array_append_new(calls,
				json_pack("{s:s, s:{s:s, s:s, s:s, s:i}}", "method", "mac.add", "params", "bridge",
					bridge, "mac", mac, "port", port, "vlan", RTVS_VLAN_MAX));
		}
	}
	return calls;
}

// The line of a request, as clients send it.
static json_t *
dispatch_calls(struct fixture *f, const char *method, json_t *calls)
{
	struct rpc_session session = {.api = ctl_api(), .ctx = f->ctl};
	json_t *request = json_pack(
		"{s:s, s:i, s:s, s:{s:O}}", "jsonrpc", "2.0", "id", 1, "method", method, "params", "calls", calls);
	char *text = json_dumps(request, JSON_COMPACT);
	json_t *answer = rpc_dispatch(&session, text, strlen(text));

	json_decref(request);
	free(text);
	return answer;
}

// The daemon accepts the file that it saves: when it starts, and as one call while it runs.
static void
largest_configuration_is_taken(void **state)
{
	static const char *const methods[] = {"config.apply", "config.check"};
	struct fixture *f = *state;
	json_t *calls = largest_calls(), *answer;
	char err[DP_ERR_SIZE];
	int rc;

	for (unsigned i = 0; i < 2; i++) {
		answer = dispatch_calls(f, methods[i], calls);
		if (json_object_get(answer, "error"))
			fail_msg("%s: %s", methods[i],
				json_string_value(json_object_get(json_object_get(answer, "error"), "message")));
		json_decref(answer);
		json_decref(calls);
		assert_int_equal(config_save(f->ctl->plane.live, f->config, err), 0);
		calls = config_load(f->config, &rc, err);
		if (!calls)
			fail_msg("%s", err);
	}
	assert_int_equal(f->ctl->plane.live->bridges[DP_MAX_BRIDGES - 1]->n_macs, DP_MAX_STATIC_MACS);
	json_decref(calls);
}

static void
expect_saved(struct fixture *f, bool is_saved)
{
	struct rpc_error err;
	json_t *info = fixture_call(f, "system.info", NULL, &err), *saved = json_object_get(info, "saved");

	assert_true(json_is_boolean(saved));
	assert_int_equal(json_is_true(saved), is_saved);
	json_decref(info);
}

// After any change, by any client: until it is saved, a restart would undo it.
static void
what_runs_and_is_not_saved_is_told(void **state)
{
	static const char *const changes[][2] = {{"system.set", "{\"idle_after\": \"7ms\"}"},
		{"bridge.set", "{\"name\": \"br0\", \"mac_age\": \"1min\"}"},
		{"port.add", "{\"name\": \"p\", \"bridge\": \"br0\"}"},
		{"mac.add", "{\"bridge\": \"br0\", \"mac\": \"52:54:00:00:00:01\", \"port\": \"p\"}"},
		{"mac.del", "{\"bridge\": \"br0\", \"mac\": \"52:54:00:00:00:01\"}"},
		{"log.set", "{\"level\": \"error\"}"}, {"system.set", "{\"idle\": \"adaptive\"}"}};
	struct fixture *f = *state;
	char err[DP_ERR_SIZE];
	struct rpc_error error;
	json_t *diff;

	fixture_write(f->config, "{\"calls\": [{\"method\": \"bridge.add\", \"params\": {\"name\": \"br0\"}}]}");
	f->params.config = f->config;
	assert_int_equal(ctl_create(&f->params, &f->ctl, err), 0);
	expect_saved(f, true);
	for (unsigned i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		fixture_ok(f, changes[i][0], changes[i][1]);
		expect_saved(f, false);
		fixture_ok(f, "config.save", NULL);
		expect_saved(f, true);
	}
	fixture_ok(f, "port.del", "{\"name\": \"p\"}");
	diff = fixture_call(f, "config.diff", NULL, &error);
	assert_int_equal(json_array_size(json_object_get(diff, "only_running")), 0);
	assert_int_equal(json_array_size(json_object_get(diff, "only_saved")), 1);
	json_decref(diff);
	fixture_write(f->config, "[");
	expect_saved(f, false);
	fixture_refused(f, "config.diff", NULL, RPC_INVALID_PARAMS, "config.json");
	assert_int_equal(unlink(f->config), 0);
	fixture_refused(f, "config.diff", NULL, RPC_STATE_ERROR, "No such file");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
#define STOPPED(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup_stopped, fixture_teardown)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(dump_recreates_the_state),
		T(what_is_the_same_is_not_touched),
		T(a_failure_at_any_step_leaves_the_old_state),
		T(each_parameter_of_a_bridge_is_applied),
		T(errors_name_the_call),
		T(check_changes_nothing),
		T(without_replace_the_rest_stays),
		T(saved_file_starts_the_same_daemon),
		T(largest_configuration_is_taken),
		STOPPED(what_runs_and_is_not_saved_is_told),
		STOPPED(a_bad_file_fails_the_start),
		STOPPED(system_init_comes_on_top_of_the_command_line),
		STOPPED(shipped_examples_load),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
