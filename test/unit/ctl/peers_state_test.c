// What is known of a peer goes on in another process: its session, its clock and what its reports
// were answered. Here the peer begins anew with its tunnel, as it does there.
#include "ctl_clock.h"
#include "peer.h"
#include "peer_answers.h"
#include "peers_json.h"
#include "peers_state.h"
#include "remote.h"
#include "rtvs/dscp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
tunnel_again(struct fixture *f)
{
	char params[256];

	fixture_ok(f, "port.del", "{\"name\": \"t\"}");
	(void)snprintf(params, sizeof(params),
		"{\"name\": \"t\", \"type\": \"geneve\", \"bridge\": \"br0\", \"uplink\": \"up\", \"remote\": "
		"\"10.9.0.2\", \"key_file\": \"%s\", \"clock\": \"peer\"}",
		key_path);
	fixture_ok(f, "port.add", params);
}

// A peer whose clock is known, and whose report was answered; its state is the caller's.
static json_t *
known(struct fixture *f)
{
	struct peer_msg msg = {.type = PEER_MSG_CLOCK_REQUEST, .t1_ns = 77};
	struct peer_session_stamp stamp;
	struct dp_datagram reply;
	json_t *state;

	remote_sends(f, &msg);
	peers_ask_clocks(f->ctl);
	assert_int_equal(remote_takes(&msg), PEER_SESSION_ACCEPTED);
	assert_int_equal(msg.type, PEER_MSG_CLOCK_REQUEST);
	msg = (struct peer_msg){
		.type = PEER_MSG_CLOCK_REPLY, .t1_ns = msg.t1_ns, .t2_ns = msg.t1_ns + 5000, .t3_ns = msg.t1_ns + 5000};
	assert_true(peer_session_send(&remote, &stamp, ctl_now_ns()));
	reply = datagram(&msg, &stamp);
	reply.time_ns = msg.t1_ns + 10000;
	peers_receive(f->ctl, &reply);
	msg = late_report(f, 100);
	remote_sends(f, &msg);
	assert_int_equal(count(f, "clock_known"), 1);
	assert_int_equal(count(f, "reports"), 1);
	f->ctl->peers.n_strangers = 3;
	state = peers_state_save(f->ctl);
	f->ctl->peers.n_strangers = 0;
	assert_non_null(state);
	return state;
}

// But for what changes with the time.
static char *
shown(struct fixture *f)
{
	json_t *list = peers_json(f->ctl);
	char *text;

	(void)json_object_del(json_array_get(list, 0), "offset_ns");
	(void)json_object_del(json_array_get(list, 0), "uncertainty_ns");
	text = json_dumps(list, JSON_SORT_KEYS);
	json_decref(list);
	assert_non_null(text);
	return text;
}

static void
a_peer_is_known_as_before(void **state)
{
	struct fixture *f = acquainted(state);
	json_t *saved = known(f), *copy;
	char *text = json_dumps(saved, 0), *before = shown(f), *after;
	struct peer_msg msg = {.type = PEER_MSG_CLOCK_REQUEST, .t1_ns = 77};
	unsigned dscp = peer_answers_dscp(f->ctl, model_port_find(f->ctl->plane.live, "vm"));

	assert_int_not_equal(dscp, DSCP_KEEP);
	tunnel_again(f);
	assert_int_equal(count(f, "known"), 0);
	copy = json_loads(text, 0, NULL); // as it was sent
	peers_state_load(f->ctl, copy);
	after = shown(f);
	assert_string_equal(after, before);
	assert_int_equal(f->ctl->peers.n_strangers, 3);
	assert_int_equal(peer_answers_dscp(f->ctl, model_port_find(f->ctl->plane.live, "vm")), dscp);
	// What was taken before is taken once. The next is, without a greeting.
	peers_receive(f->ctl, &last);
	assert_int_equal(count(f, "replayed"), 1);
	assert_int_equal(count(f, "reports"), 1);
	remote_sends(f, &msg);
	assert_int_equal(remote_takes(&msg), PEER_SESSION_ACCEPTED);
	assert_int_equal(msg.type, PEER_MSG_CLOCK_REPLY);
	free(text);
	free(before);
	free(after);
	json_decref(saved);
	json_decref(copy);
}

static void
without_a_state_peers_begin_anew(void **state)
{
	struct fixture *f = acquainted(state);
	json_t *saved = known(f);
	struct peer_msg msg = {.type = PEER_MSG_CLOCK_REQUEST, .t1_ns = 77};
	unsigned n;

	tunnel_again(f);
	n = fake_dp_n_answers();
	peers_state_load(f->ctl, NULL);
	// What the former daemon answered is the datapath's no more.
	assert_int_equal(fake_dp_n_answers(), n + f->ctl->plane.live->n_ports);
	assert_int_equal(count(f, "known"), 0);
	remote_sends(f, &msg);
	assert_int_equal(count(f, "elsewhere"), 1);
	json_decref(saved);
}

// Another deadline since: its answers were about other packets.
static void
answers_are_those_of_the_same_deadline(void **state)
{
	struct fixture *f = acquainted(state);
	json_t *saved = known(f);

	tunnel_again(f);
	fixture_ok(f, "port.set", "{\"name\": \"vm\", \"deadline\": \"3ms\"}");
	peers_state_load(f->ctl, saved);
	assert_int_equal(count(f, "clock_known"), 1);
	assert_int_equal(peer_control(f->ctl->peers.list, model_port_find(f->ctl->plane.live, "vm")->id)->step, 0);
	json_decref(saved);
}

static void
expect_sound(struct fixture *f)
{
	const struct peer *p = f->ctl->peers.list;

	assert_true(peer_session_is_consistent(&p->session));
	assert_true(clock_offset_is_consistent(&p->clock));
	for (const struct peer_flow *flow = p->flows; flow; flow = flow->next)
		assert_true(feedback_is_consistent(&flow->control));
	peers_turn(f->ctl);
	peers_ask_clocks(f->ctl);
}

// A value in each place of the state, one after another.
static void
try_each(struct fixture *f, const json_t *whole, json_t *at, json_t *value)
{
	json_t *keys = json_array(), *key, *child; // a key that was removed comes back as the last
	const char *name;
	size_t i;

	json_object_foreach (at, name, child)
		(void)json_array_append_new(keys, json_string(name));
	json_array_foreach (keys, i, key) {
		name = json_string_value(key);
		child = json_incref(json_object_get(at, name));
		if (value)
			(void)json_object_set(at, name, value);
		else
			(void)json_object_del(at, name);
		peers_state_load(f->ctl, whole);
		expect_sound(f);
		(void)json_object_set_new(at, name, child);
		try_each(f, whole, child, value);
	}
	json_decref(keys);
	json_array_foreach (at, i, child) {
		json_t *kept = json_incref(child);

		(void)json_array_set(at, i, value ? value : json_null());
		peers_state_load(f->ctl, whole);
		expect_sound(f);
		(void)json_array_set_new(at, i, kept);
		try_each(f, whole, child, value);
	}
}

static void
a_state_that_lies_or_lacks_something_does_no_harm(void **state)
{
	struct fixture *f = acquainted(state);
	json_t *saved = known(f);
	json_t *lies[] = {NULL, json_null(), json_string("x"), json_integer(-1), json_integer(2),
		json_integer(INT64_MAX), json_integer(INT64_MIN), json_array(), json_object()};

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		tunnel_again(f);
		try_each(f, saved, saved, lies[i]);
		json_decref(lies[i]);
	}
	json_decref(saved);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, forget)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_peer_is_known_as_before),
		T(without_a_state_peers_begin_anew),
		T(answers_are_those_of_the_same_deadline),
		T(a_state_that_lies_or_lacks_something_does_no_harm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
