// Saved states of types come back unchanged, and no others do; the list of states that ports left
// behind is bounded. A test inside of the datapath: no function of its facade takes a state.
#include "dp_fixture.h"
#include "dp_state.h"
#include "kept.h"
#include "port_type.h"
#include "tunnel.h"
#include "vhost_session.h"

#include <stdio.h>
#include <string.h>

#define STATE_SIZE 16384
#define FEATURES UINT64_C(0x123456789)

static _Alignas(8) uint8_t state_of_port[STATE_SIZE], again[STATE_SIZE];

// In geneve's: uint32_t version, n_senders, path_mtu, zero; uint64_t path_mtu_left_ns; then
// {uint64_t seq; uint32_t id, zero} for each.
enum {
	AT_VERSION,
	AT_N,
	AT_MTU,
	AT_ZERO,
	AT_LEFT,
	AT_SENDER = 6,
	SENDER_WORDS = 4,
	AT_ID = 2
};

// One that nothing was left for.
static struct port *
add_tunnel(bool is_v6)
{
	struct dp_port_cfg cfg = {.name = "t",
		.type = DP_PORT_GENEVE,
		.mtu = 1500,
		.uplink = "nobody",
		.remote = {.addr = {10, 9, 0, 2}, .len = is_v6 ? 128 : 32, .is_v6 = is_v6},
		.n_queues = 1,
		.weight = 1,
		.queue = 512};

	kept_forget_all(dp);
	return dp->port[new_port(&cfg)];
}

static size_t
save(const struct port *port, void *state)
{
	size_t len = port->type->save(port, NULL, 0);

	assert_true(len <= STATE_SIZE);
	assert_int_equal(port->type->save(port, state, len), len);
	return len;
}

static void
types_save_and_restore_or_do_neither(void **state)
{
	(void)state;
#define X(arg, id, name, traits, about) assert_int_equal(!port_##name##_type.save, !port_##name##_type.restore);
	PORT_TYPES(X, )
#undef X
}

static void
tunnel_goes_on_where_it_was(void **state)
{
	struct port *port = add_tunnel(false);
	struct tunnel *t = port->priv;
	uint64_t now_ns = clock_now_ns(&dp->env.clock);
	size_t len;

	(void)state;
	assert_int_equal(port->type->save(port, state_of_port, STATE_SIZE), 0);
	t->seq[0] = 7;
	t->seq[DP_MAX_PORTS - 1] = UINT64_MAX;
	assert_true(tunnel_hear_mtu(port, 1300, now_ns));
	len = save(port, state_of_port);
	assert_int_equal(dp_port_del(dp, port->path.id), 0);
	port = add_tunnel(false);
	t = port->priv;
	assert_int_equal(t->seq[0], 0);
	assert_int_equal(port->type->restore(port, state_of_port, len), 0);
	assert_int_equal(t->seq[0], 7);
	assert_int_equal(t->seq[1], 0);
	assert_int_equal(t->seq[DP_MAX_PORTS - 1], UINT64_MAX);
	assert_int_equal(t->path.mtu, 1300);
	assert_true(t->path.until_ns <= clock_now_ns(&dp->env.clock) + PATH_MTU_NS);
	assert_true(t->path.until_ns > now_ns);
	assert_int_equal(save(port, again), len);
}

// A room that is too small by one is left alone.
static void
save_writes_what_fits_or_nothing(void **state)
{
	struct port *port = add_tunnel(false);
	size_t len;

	(void)state;
	((struct tunnel *)port->priv)->seq[3] = 1;
	len = port->type->save(port, NULL, 0);
	memset(again, 0xee, sizeof(again));
	assert_int_equal(port->type->save(port, again, len - 1), len);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(again[i], 0xee);
	assert_int_equal(port->type->save(port, again, len), len);
	assert_int_not_equal(again[0], 0xee);
}

static void
expect_refused(struct port *port, const uint8_t *bytes, size_t len, const char *what)
{
	if (port->type->restore(port, bytes, len) != -EINVAL)
		fail_msg("%s is accepted", what);
	if (port->type->save(port, NULL, 0))
		fail_msg("%s leaves something", what);
}

static void
tunnel_refuses_what_it_does_not_save(void **state)
{
	static const struct {
		const char *what;
		unsigned word;
		uint32_t value;
		bool is_v6;
	} cases[] = {
		{"version 0", AT_VERSION, 0, false},
		{"a later version", AT_VERSION, 2, false},
		{"a sender more than there are", AT_N, 3, false},
		{"senders beyond all lengths", AT_N, UINT32_MAX, false},
		{"a path MTU below the floor", AT_MTU, PATH_MTU_FLOOR_IPV4 - 1, false},
		{"a path MTU below the floor of IPv6", AT_MTU, PATH_MTU_FLOOR_IPV6 - 1, true},
		{"a time without a path MTU", AT_MTU, 0, false},
		{"a time that is too long", AT_LEFT + 1, UINT32_MAX, false},
		{"a reserved word", AT_ZERO, 1, false},
		{"a reserved word of a sender", AT_SENDER + 3, 1, false},
		{"a sender beyond the last", AT_SENDER + SENDER_WORDS + AT_ID, DP_MAX_PORTS, false},
		{"a sender twice", AT_SENDER + SENDER_WORDS + AT_ID, 3, false},
	};
	struct port *port = add_tunnel(false);
	struct tunnel *t = port->priv;
	size_t len;

	(void)state;
	t->seq[3] = t->seq[4] = 1;
	assert_true(tunnel_hear_mtu(port, 1300, clock_now_ns(&dp->env.clock)));
	len = save(port, state_of_port);
	for (unsigned i = 0; i < RTE_DIM(cases); i++) {
		assert_int_equal(dp_port_del(dp, port->path.id), 0);
		port = add_tunnel(cases[i].is_v6);
		memcpy(again, state_of_port, len);
		memcpy(again + 4 * cases[i].word, &cases[i].value, 4);
		expect_refused(port, again, len, cases[i].what);
	}
	assert_int_equal(dp_port_del(dp, port->path.id), 0);
	port = add_tunnel(false);
	for (size_t n = 0; n < len; n++)
		expect_refused(port, state_of_port, n, "a part");
	expect_refused(port, state_of_port, len + 1, "a byte more");
	assert_int_equal(port->type->restore(port, state_of_port, len), 0);
}

static struct vhost *
vhost_of(unsigned i)
{
	return dp->port[guest[i].port]->priv;
}

static void
guests_features_come_back_or_are_refused(void **state)
{
	struct dp_port_cfg cfg = port_cfg(0);
	struct port *port;
	size_t len;

	(void)state;
	add_port(0, &cfg);
	port = dp->port[guest[0].port];
	assert_int_equal(port->type->save(port, state_of_port, STATE_SIZE), 0);
	vhost_of(0)->used_before = FEATURES;
	len = save(port, state_of_port);
	vhost_of(0)->used_before = 0;
	for (size_t n = 0; n < len; n++)
		expect_refused(port, state_of_port, n, "a part");
	expect_refused(port, state_of_port, len + 1, "a byte more");
	for (unsigned word = 0; word < 2; word++) {
		memcpy(again, state_of_port, len);
		again[4 * word] ^= 2;
		expect_refused(port, again, len, word ? "a reserved word" : "another version");
	}
	assert_int_equal(port->type->restore(port, state_of_port, len), 0);
	assert_int_equal(vhost_of(0)->used_before, FEATURES);
}

// As many far ends as there can be ports are remembered; one more, and the oldest is not.
static void
list_ends_and_the_oldest_goes(void **state)
{
	struct dp_port_cfg cfg = port_cfg(0);
	struct port *port;

	(void)state;
	add_port(0, &cfg);
	port = dp->port[guest[0].port];
	for (unsigned i = 0; i <= KEPT_MAX; i++) {
		snprintf(port->cfg.socket, sizeof(port->cfg.socket), "/nowhere/%u", i);
		vhost_of(0)->used_before = FEATURES + i;
		kept_save(dp, port);
		if (i == 0 || i == KEPT_MAX - 1) {
			snprintf(port->cfg.socket, sizeof(port->cfg.socket), "/nowhere/0");
			vhost_of(0)->used_before = 0;
			kept_restore(dp, port);
			assert_int_equal(vhost_of(0)->used_before, FEATURES);
		}
	}
	for (unsigned i = 0; i < 2; i++) {
		snprintf(port->cfg.socket, sizeof(port->cfg.socket), "/nowhere/%u", i);
		vhost_of(0)->used_before = 0;
		kept_restore(dp, port);
		assert_int_equal(vhost_of(0)->used_before, i ? FEATURES + 1 : 0);
	}
	port->cfg = cfg;
	kept_forget_all(dp);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(types_save_and_restore_or_do_neither),
		WITH_BRIDGE(tunnel_goes_on_where_it_was),
		WITH_BRIDGE(save_writes_what_fits_or_nothing),
		WITH_BRIDGE(tunnel_refuses_what_it_does_not_save),
		WITH_BRIDGE(guests_features_come_back_or_are_refused),
		WITH_BRIDGE(list_ends_and_the_oldest_goes),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests_name("dp/kept", tests, fixture_start, fixture_stop);
}
