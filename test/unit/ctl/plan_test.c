// From any valid configuration to any other: apply does what check says, and at no step more is
// reserved than can be kept. A step that fails leaves everything unchanged.
#include "admit.h"
#include "config.h"
#include "ctl_fixture.h"
#include "rtvs/random.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define N_GUESTS 5
#define N_PAIRS 400
// clang-format off
#define PICK(seed, ...) \
	((const char *const[]){__VA_ARGS__}[random_below(seed, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))])
// clang-format on

static unsigned n_steps; // executed since a test began

static void
add_call(json_t *calls, const char *method, json_t *params)
{
	json_array_append_new(calls, json_pack("{s:s, s:o}", "method", method, "params", params));
}

static void
set(json_t *object, const char *key, const char *value)
{
	json_object_set_new(object, key, json_string(value));
}

static json_t *
named(const char *format, unsigned i)
{
	char name[32];

	(void)snprintf(name, sizeof(name), format, i);
	return json_string(name);
}

// Half of its numbers are exchanged between ports: sockets, VNIs.
static void
shuffle(uint64_t *seed, unsigned *numbers, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		numbers[i] = i;
	for (unsigned i = n; i-- > 1;) {
		unsigned k = (unsigned)random_below(seed, i + 1), kept = numbers[i];

		if (random_below(seed, 2)) {
			numbers[i] = numbers[k];
			numbers[k] = kept;
		}
	}
}

static json_t *
random_guest(uint64_t *seed, unsigned i, unsigned socket, bool has_third)
{
	json_t *p = json_object();
	const char *bridge = PICK(seed, "br0", "br0", "br1", "br2", "");

	json_object_set_new(p, "name", named("g%u", i));
	json_object_set_new(p, "socket", named("/run/s%u", socket));
	set(p, "bridge", !has_third && strcmp(bridge, "br2") == 0 ? "br0" : bridge);
	set(p, "min_rate", PICK(seed, "0", "5Mbit", "20Mbit", "40Mbit", "60Mbit"));
	set(p, "deadline", PICK(seed, "0", "10ms", "20ms", "200ms"));
	set(p, "burst", PICK(seed, "9018B", "15kB", "60kB"));
	json_object_set_new(p, "mtu", json_integer(random_below(seed, 4) ? 1500 : 9000));
	if (!random_below(seed, 8))
		json_object_set_new(p, "force", json_true());
	return p;
}

static void
add_tunnels(uint64_t *seed, json_t *calls)
{
	unsigned vni[2];
	json_t *p = json_object();

	set(p, "name", "ul");
	set(p, "type", "ethdev");
	set(p, "devargs", "dev9");
	set(p, "address", PICK(seed, "10.9.0.1/24", "10.9.0.1/24", "10.9.0.3/24"));
	set(p, "rate", PICK(seed, "0", "10Mbit", "100Mbit", "1Gbit"));
	json_object_set_new(p, "mtu", json_integer(random_below(seed, 2) ? 1700 : 1900));
	json_object_set_new(p, "vlan", json_integer(random_below(seed, 4) ? 0 : 7));
	add_call(calls, "port.add", p);
	shuffle(seed, vni, 2);
	for (unsigned i = 0; i < 2; i++) {
		p = json_object();
		json_object_set_new(p, "name", named("t%u", i));
		set(p, "type", "geneve");
		set(p, "uplink", "ul");
		set(p, "remote", "10.9.0.7");
		set(p, "bridge", PICK(seed, "br0", "br1"));
		json_object_set_new(p, "vni", json_integer(vni[i]));
		add_call(calls, "port.add", p);
	}
}

static json_t *
random_config(uint64_t *seed)
{
	json_t *calls = json_array(), *p;
	unsigned sockets[N_GUESTS];
	bool has_third = random_below(seed, 2);

	add_call(calls, "bridge.add", json_pack("{s:s}", "name", "br0"));
	add_call(calls, "bridge.add", json_pack("{s:s}", "name", "br1"));
	if (has_third)
		add_call(calls, "bridge.add", json_pack("{s:s}", "name", "br2"));
	p = json_pack("{s:s, s:s}", "name", "nic", "type", "ethdev");
	set(p, "devargs", PICK(seed, "dev0", "dev0", "dev1"));
	set(p, "rate", PICK(seed, "0", "10Mbit", "100Mbit", "120Mbit"));
	set(p, "bridge", PICK(seed, "br0", "br0", "br1", ""));
	add_call(calls, "port.add", p);
	if (random_below(seed, 2))
		add_tunnels(seed, calls);
	shuffle(seed, sockets, N_GUESTS);
	for (unsigned i = 0; i < N_GUESTS; i++) {
		if (!random_below(seed, 3))
			continue;
		p = random_guest(seed, i, sockets[i], has_third);
		if (!random_below(seed, 6)) {
			set(p, "mirror_to", "nic");
			set(p, "mirror", PICK(seed, "rx", "tx"));
		}
		add_call(calls, "port.add", p);
		if (random_below(seed, 2) && json_string_value(json_object_get(p, "bridge"))[0])
			add_call(calls, "mac.add",
				json_pack("{s:O, s:s, s:O}", "bridge", json_object_get(p, "bridge"), "mac",
					"52:54:00:00:00:09", "port", json_object_get(p, "name")));
	}
	return calls;
}

static bool
call(struct fixture *f, const char *method, json_t *calls, char message[RPC_MAX_ERROR_TEXT])
{
	json_t *params = json_pack("{s:O, s:b}", "calls", calls, "replace", 1), *result;
	char *text = json_dumps(params, 0);
	struct rpc_error err;

	result = fixture_call(f, method, text, &err);
	if (message)
		(void)snprintf(message, RPC_MAX_ERROR_TEXT, "%s", err.message);
	json_decref(err.data);
	json_decref(result);
	json_decref(params);
	free(text);
	return result;
}

// The configuration, here and in the datapath.
static char *
dump(struct fixture *f)
{
	json_t *calls = config_dump(f->ctl->plane.live);
	char *config = json_dumps(calls, 0), *dp = fake_dp_dump(), *both = NULL;

	assert_true(asprintf(&both, "%s\n%s", config, dp) > 0);
	json_decref(calls);
	free(config);
	free(dp);
	return both;
}

static void
assert_is(struct fixture *f, const char *expected)
{
	char *now = dump(f);

	assert_string_equal(now, expected);
	free(now);
}

static model_changed_fn *reported;

// After each step.
static void
all_is_kept(void *arg, const char *what, const char *name)
{
	const struct ctl *ctl = arg;
	char err[DP_ERR_SIZE] = "";
	const char *ignored;

	n_steps++;
	if (admit_check_all(ctl->plane.live, NULL, &ignored, err))
		fail_msg("%s %s: %s", what, name, err);
	reported(arg, what, name);
}

static void
watch_steps(struct fixture *f)
{
	reported = f->ctl->plane.live->changed;
	assert_ptr_equal(f->ctl->plane.live->changed_arg, f->ctl);
	f->ctl->plane.live->changed = all_is_kept;
}

// Every change of the way fails once.
static void
fail_each_step(struct fixture *f, json_t *to, const char *before)
{
	unsigned begin, n, n_failed = 0;

	do {
		begin = fake_dp_n_changes();
		(void)fake_dp_fail(n_failed + 1, -EIO);
		if (call(f, "config.apply", to, NULL)) {
			n = fake_dp_n_changes() - begin;
			(void)fake_dp_fail(0, 0);
			// A static MAC of a port that had left is forgotten anyway: that failure is
			// none.
			if (n <= n_failed)
				return;
			fail_msg("the change that failed was the last one: %u of %u", n_failed + 1, n);
		}
		(void)fake_dp_fail(0, 0);
		assert_is(f, before);
		n_failed++;
	} while (n_failed < 200);
	fail_msg("no end");
}

static void
apply_does_what_check_says_and_fails_whole(void **state)
{
	struct fixture *f = *state;
	uint64_t seed = 20261129;
	unsigned n_valid = 0;
	char *now, message[RPC_MAX_ERROR_TEXT];

	print_message("seed %llu\n", (unsigned long long)seed);
	watch_steps(f);
	now = dump(f);
	for (unsigned i = 0; i < N_PAIRS; i++) {
		json_t *to = random_config(&seed), *nothing = json_array();
		bool is_valid = call(f, "config.check", to, NULL);
		char *after;

		assert_is(f, now);
		if (is_valid && i % 20 == 0)
			fail_each_step(f, to, now);
		if (call(f, "config.apply", to, message) != is_valid)
			fail_msg("pair %u: check says %s, apply: %s", i, is_valid ? "yes" : "no", message);
		after = dump(f);
		if (!is_valid)
			assert_string_equal(after, now);
		n_valid += is_valid;
		free(now);
		now = after;
		// The same from nothing.
		if (is_valid && i % 10 == 0) {
			assert_true(call(f, "config.apply", nothing, NULL));
			assert_true(call(f, "config.apply", to, NULL));
			assert_is(f, now);
		}
		json_decref(to);
		json_decref(nothing);
	}
	free(now);
	print_message("%u of %u configurations were valid, %u steps\n", n_valid, N_PAIRS, n_steps);
	assert_true(n_valid > N_PAIRS / 4 && n_valid < N_PAIRS);
}

#define NIC                                                                                                    \
	"{\"method\": \"port.add\", \"params\": {\"name\": \"nic\", \"type\": \"ethdev\", \"devargs\": \"d\"," \
	" \"bridge\": \"br0\", \"rate\": \"100Mbit\"}}"
#define GUEST(name, rate)                                                                                              \
	"{\"method\": \"port.add\", \"params\": {\"name\": \"" name "\", \"bridge\": \"br0\", \"deadline\": \"50ms\"," \
	" \"min_rate\": \"" rate "\"}}"
#define SET(name, rate) "{\"method\": \"port.set\", \"params\": {\"name\": \"" name "\", \"min_rate\": \"" rate "\"}}"
#define BRIDGE "{\"method\": \"bridge.add\", \"params\": {\"name\": \"br0\"}}"

static void
reservations_are_asked_for_once_about_the_whole(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "config.apply",
		"{\"calls\": [" BRIDGE "," NIC "," GUEST("a", "30Mbit") "," GUEST("b", "60Mbit") "]}");
	watch_steps(f);
	// In the order of the calls it would not fit.
	fixture_ok(
		f, "config.apply", "{\"replace\": false, \"calls\": [" SET("a", "60Mbit") "," SET("b", "30Mbit") "]}");
	assert_int_equal(model_port_find(f->ctl->plane.live, "a")->cfg.min_rate_bps, 60000000);
	fixture_refused(f, "config.check",
		"{\"calls\": [" BRIDGE "," NIC "," GUEST("a", "60Mbit") "," GUEST("b", "60Mbit") "]}", RPC_STATE_ERROR,
		"call 3 (port.add): min_rate: port nic carries");
	fixture_refused(f, "config.apply", "{\"replace\": false, \"calls\": [" SET("b", "60Mbit") "]}", RPC_STATE_ERROR,
		"call 0 (port.set): min_rate: port nic carries");
	// No port asked for less, no port gets less.
	assert_int_equal(model_port_find(f->ctl->plane.live, "b")->cfg.min_rate_bps, 30000000);
	// One by one each call is asked about.
	fixture_refused(
		f, "port.set", "{\"name\": \"b\", \"min_rate\": \"60Mbit\"}", RPC_STATE_ERROR, "port nic carries");
}

static void
check_refuses_what_a_running_daemon_cannot_change(void **state)
{
	struct fixture *f = *state;
	static const char calls[] = "{\"calls\": [{\"method\": \"system.init\", \"params\": {\"buffers\": 2048}}]}";

	fixture_refused(f, "config.check", calls, RPC_STATE_ERROR, "while the daemon runs");
	fixture_refused(f, "config.apply", calls, RPC_STATE_ERROR, "while the daemon runs");
}

// Ports with addresses 10.9.N.1: from `first` to the limit of them, and one without.
static json_t *
uplinks(unsigned first)
{
	json_t *calls = json_array(), *p;
	char text[32];

	for (unsigned i = 0; i <= DP_MAX_UPLINKS; i++) {
		p = json_pack("{s:o, s:o, s:s}", "name", named("u%u", i), "devargs", named("d%u", i), "type", "ethdev");
		(void)snprintf(text, sizeof(text), "10.9.%u.1/24", i);
		if (i >= first && i < first + DP_MAX_UPLINKS)
			set(p, "address", text);
		add_call(calls, "port.add", p);
	}
	return calls;
}

static void
places_at_a_limit_change_hands(void **state)
{
	struct fixture *f = *state;
	json_t *a = uplinks(0), *b = uplinks(1);

	assert_true(call(f, "config.apply", b, NULL));
	assert_true(call(f, "config.apply", a, NULL));
	assert_true(call(f, "config.apply", b, NULL));
	json_decref(a);
	json_decref(b);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(apply_does_what_check_says_and_fails_whole),
		T(reservations_are_asked_for_once_about_the_whole),
		T(check_refuses_what_a_running_daemon_cannot_change),
		T(places_at_a_limit_change_hands),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
