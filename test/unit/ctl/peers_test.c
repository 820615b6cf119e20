// What another host's daemon may cause, and what nobody else may: the other side is core's own session under the same key.
#include "ctl_clock.h"
#include "ctl_fixture.h"
#include "metrics.h"
#include "rtvs/peer_msg.h"
#include "rtvs/peer_session.h"
#include "rtvs/random.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_ID 7
#define N_RANDOM 1000000

static struct peer_session remote;
static unsigned char key[32];
static char key_path[64];
static struct dp_datagram last; // that the remote sent

// A datagram of the remote, under the key that it has.
static struct dp_datagram
datagram(struct peer_msg *msg, const struct peer_session_stamp *stamp)
{
	struct dp_datagram d = {
		.from = {.addr = {10, 9, 0, 2}, .len = 32}, .from_port = PEER_MSG_PORT, .to_port = PEER_MSG_PORT};
	size_t covered;

	msg->key_id = (uint16_t)stamp->key;
	msg->session = stamp->session;
	msg->echo = stamp->echo;
	msg->seq = stamp->seq;
	d.len = (uint16_t)peer_msg_encode(msg, d.data);
	covered = peer_msg_covered(d.len);
	(void)crypto_generichash(d.data + covered, PEER_MSG_TAG_BYTES, d.data, covered, key, sizeof(key));
	return d;
}

static void
remote_sends(struct fixture *f, struct peer_msg *msg)
{
	struct peer_session_stamp stamp;

	assert_true(peer_session_send(&remote, &stamp, ctl_now_ns()));
	last = datagram(msg, &stamp);
	peers_receive(f->ctl, &last);
}

// The remote takes what was sent to it.
static enum peer_session_verdict
remote_takes(struct peer_msg *ret_msg)
{
	const struct dp_datagram *d = fake_dp_sent();
	unsigned char tag[PEER_MSG_TAG_BYTES];

	assert_int_equal(peer_msg_decode(d->data, d->len, ret_msg), 0);
	(void)crypto_generichash(tag, sizeof(tag), d->data, peer_msg_covered(d->len), key, sizeof(key));
	assert_memory_equal(tag, d->data + peer_msg_covered(d->len), sizeof(tag));
	return peer_session_receive(&remote,
		&(struct peer_session_stamp){.session = ret_msg->session,
			.echo = ret_msg->echo,
			.seq = ret_msg->seq,
			.key = ret_msg->key_id},
		ctl_now_ns());
}

static uint64_t
count(struct fixture *f, const char *name)
{
	json_t *list = peers_json(f->ctl);
	uint64_t n = (uint64_t)json_integer_value(json_object_get(json_array_get(list, 0), name));

	assert_int_equal(json_array_size(list), 1);
	json_decref(list);
	return n;
}

// The file holds this key, under the same number; it is the remote's from here on.
static void
write_key(void)
{
	FILE *file = fopen(key_path, "we");
	char hex[65];

	randombytes_buf(key, sizeof(key));
	assert_non_null(file);
	assert_int_equal(fchmod(fileno(file), 0600), 0);
	(void)fprintf(
		file, "# shared with host 2\n%d %s\n", KEY_ID, sodium_bin2hex(hex, sizeof(hex), key, sizeof(key)));
	assert_int_equal(fclose(file), 0);
}

// A tunnel to a peer that knows us, and a port whose packets it may report.
static struct fixture *
acquainted(void **state)
{
	struct fixture *f = *state;
	uint32_t id = KEY_ID;
	struct peer_session_stamp stamp;
	struct peer_msg msg = {.type = PEER_MSG_HELLO};
	char params[256];

	(void)snprintf(key_path, sizeof(key_path), "/tmp/rtvs-key-%d", (int)getpid());
	(void)unlink(key_path);
	write_key();
	fixture_ok(f, "bridge.add", "{\"name\": \"br0\"}");
	fixture_ok(f, "port.add",
		"{\"name\": \"up\", \"type\": \"ethdev\", \"devargs\": \"net_null0\", \"mtu\": 1700, \"address\": "
		"\"10.9.0.1/24\"}");
	fixture_ok(f, "port.add",
		"{\"name\": \"vm\", \"bridge\": \"br0\", \"socket\": \"/tmp/vm.sock\", \"deadline\": \"2ms\"}");
	(void)snprintf(params, sizeof(params),
		"{\"name\": \"t\", \"type\": \"geneve\", \"bridge\": \"br0\", \"uplink\": \"up\", \"remote\": "
		"\"10.9.0.2\", "
		"\"key_file\": \"%s\", \"clock\": \"peer\"}",
		key_path);
	fixture_ok(f, "port.add", params);
	assert_int_equal(peer_session_init(&remote, 0x1234567, &id, 1, ctl_now_ns()), 0);
	assert_true(peer_session_hello(&remote, &stamp, ctl_now_ns()));
	last = datagram(&msg, &stamp);
	peers_receive(f->ctl, &last);
	(void)remote_takes(&msg); // a HELLO that names us
	assert_int_equal(msg.type, PEER_MSG_HELLO);
	assert_true(peer_session_is_known(&remote));
	return f;
}

static int
forget(void **state)
{
	(void)unlink(key_path);
	return fixture_teardown(state);
}

static struct peer_msg
late_report(struct fixture *f, uint64_t last_seq)
{
	struct peer_msg msg = {.type = PEER_MSG_FEEDBACK, .n_flows = 1};

	msg.flows[0] = (struct peer_msg_flow){.flow = (uint16_t)model_port_find(f->ctl->live, "vm")->id,
		.packets = 10,
		.missed = 5,
		.worst_over_ns = 3000000,
		.worst_network_ns = 4900000,
		.last_seq = last_seq};
	return msg;
}

static void
a_report_is_answered_once(void **state)
{
	struct fixture *f = acquainted(state);
	struct peer_msg msg = late_report(f, 100);

	remote_sends(f, &msg);
	assert_int_equal(count(f, "accepted"), 1);
	assert_int_equal(count(f, "reports"), 1);
	assert_int_equal(
		fake_dp_n_answers(), 2); // the controller's start, and a step: the network alone takes too long
	peers_receive(f->ctl, &last);
	assert_int_equal(count(f, "replayed"), 1);
	assert_int_equal(count(f, "reports"), 1);
	assert_int_equal(fake_dp_n_answers(), 2);
}

static void
metrics_say_what_was_done_about_a_report(void **state)
{
	static const char *const expected[] = {
		"rtvs_peer_known{uplink=\"up\",address=\"10.9.0.2\"} 1\n",
		"rtvs_peer_reports_total{uplink=\"up\",address=\"10.9.0.2\"} 1\n",
		"rtvs_feedback_deadline_seconds{uplink=\"up\",address=\"10.9.0.2\",port=\"vm\"} 0.002000000\n",
		"rtvs_feedback_escalated{uplink=\"up\",address=\"10.9.0.2\",port=\"vm\"} 1\n", // no rate, so no EF
		"rtvs_feedback_missed_packets_total{uplink=\"up\",address=\"10.9.0.2\",port=\"vm\"} 5\n",
	};
	struct fixture *f = acquainted(state);
	struct peer_msg msg = late_report(f, 100);
	size_t len;
	char *text;

	remote_sends(f, &msg);
	text = metrics_text(f->ctl, &len);
	for (unsigned i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		if (!strstr(text, expected[i]))
			fail_msg("not there: %s", expected[i]);
	free(text);
}

static void
a_clock_request_is_answered(void **state)
{
	struct fixture *f = acquainted(state);
	struct peer_msg msg = {.type = PEER_MSG_CLOCK_REQUEST, .t1_ns = 77};

	remote_sends(f, &msg);
	assert_int_equal(remote_takes(&msg), PEER_SESSION_ACCEPTED);
	assert_int_equal(msg.type, PEER_MSG_CLOCK_REPLY);
	assert_int_equal(msg.t1_ns, 77);
	// An answer to what was not asked.
	msg = (struct peer_msg){.type = PEER_MSG_CLOCK_REPLY, .t1_ns = 1, .t2_ns = 2, .t3_ns = 3};
	remote_sends(f, &msg);
	assert_int_equal(count(f, "clock_known"), 0);
}

static void
no_bit_may_be_wrong(void **state)
{
	struct fixture *f = acquainted(state);
	struct peer_msg msg = late_report(f, 100);
	struct peer_session_stamp stamp;
	struct dp_datagram good, d;

	assert_true(peer_session_send(&remote, &stamp, ctl_now_ns()));
	good = datagram(&msg, &stamp);
	for (unsigned bit = 0; bit < good.len * 8u; bit++) {
		d = good;
		d.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		peers_receive(f->ctl, &d);
	}
	for (uint16_t len = 0; len < good.len; len++) {
		d = good;
		d.len = len;
		peers_receive(f->ctl, &d);
	}
	assert_int_equal(count(f, "malformed") + count(f, "unknown_key") + count(f, "forged"), good.len * 9u);
	assert_int_equal(count(f, "accepted"), 0);
	assert_int_equal(fake_dp_n_answers(), 0);
	peers_receive(f->ctl, &good);
	assert_int_equal(count(f, "accepted"), 1);
}

static void
random_datagrams_change_nothing(void **state)
{
	struct fixture *f = acquainted(state);
	struct peer_msg msg = late_report(f, 100);
	uint64_t seed = unit_seed();
	struct peer_session_stamp stamp;
	struct dp_datagram good, d;

	assert_true(peer_session_send(&remote, &stamp, ctl_now_ns()));
	good = datagram(&msg, &stamp);
	for (unsigned i = 0; i < N_RANDOM; i++) {
		d = good;
		if (random_below(&seed, 2)) // right in form
			for (unsigned k = 0; k < 3; k++)
				d.data[8 + random_below(&seed, d.len - 8u)] ^= (uint8_t)(1 + random_below(&seed, 255));
		else
			for (d.len = (uint16_t)random_below(&seed, 200), msg.n_flows = 0; msg.n_flows < d.len;
				msg.n_flows++)
				d.data[msg.n_flows] = (uint8_t)random_next(&seed);
		if (!memcmp(d.data, good.data, good.len) && d.len == good.len)
			d.data[8] ^= 1;
		peers_receive(f->ctl, &d);
	}
	assert_int_equal(count(f, "malformed") + count(f, "unknown_key") + count(f, "forged"), N_RANDOM);
	assert_int_equal(count(f, "accepted"), 0);
	assert_int_equal(fake_dp_n_answers(), 0);
}

static void
strangers_are_counted(void **state)
{
	struct fixture *f = acquainted(state);
	struct peer_msg msg = late_report(f, 100);
	struct peer_session_stamp stamp;
	struct dp_datagram d;

	assert_true(peer_session_send(&remote, &stamp, ctl_now_ns()));
	d = datagram(&msg, &stamp);
	d.from.addr[3] = 3;
	peers_receive(f->ctl, &d);
	assert_int_equal(f->ctl->peers.n_strangers, 1);
	assert_int_equal(count(f, "accepted"), 0);
}

static void
a_report_of_what_is_not_there_changes_nothing(void **state)
{
	static const unsigned wrong[] = {DP_MAX_PORTS - 1, DP_MAX_PORTS, UINT16_MAX};
	struct fixture *f = acquainted(state);

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct peer_msg msg = late_report(f, 100);

		msg.flows[0].flow = (uint16_t)wrong[i];
		remote_sends(f, &msg);
	}
	fixture_ok(f, "port.set", "{\"name\": \"vm\", \"deadline\": 0}");
	{
		struct peer_msg msg = late_report(f, 100);

		remote_sends(f, &msg);
	}
	assert_int_equal(count(f, "accepted"), 4);
	assert_int_equal(fake_dp_n_answers(), 0);
}

// Without its rate a port may not climb as high as it has: until its controller begins anew, the highest step left counts.
static void
a_ladder_that_became_shorter_has_a_highest_step(void **state)
{
	struct fixture *f = acquainted(state);
	struct peer_msg msg;

	fixture_ok(f, "port.set", "{\"name\": \"vm\", \"min_rate\": \"1Mbit\"}");
	msg = late_report(f, 100);
	remote_sends(f, &msg);
	assert_int_equal(peers_dscp(f->ctl, model_port_find(f->ctl->live, "vm")), 46); // above the deadline's, AF41
	fixture_ok(f, "port.set", "{\"name\": \"vm\", \"min_rate\": 0}");
	assert_int_equal(peers_dscp(f->ctl, model_port_find(f->ctl->live, "vm")), 34);
}

static void
a_peer_goes_with_its_tunnel(void **state)
{
	struct fixture *f = acquainted(state);
	json_t *list;

	fixture_ok(f, "port.del", "{\"name\": \"t\"}");
	list = peers_json(f->ctl);
	assert_int_equal(json_array_size(list), 0);
	json_decref(list);
}

// Whatever else changes at ports, keys are those of the last reload.
static void
key_files_are_read_when_that_is_asked_for(void **state)
{
	struct fixture *f = acquainted(state);
	struct peer_msg msg = {.type = PEER_MSG_CLOCK_REQUEST, .t1_ns = 77};
	char moved[sizeof(key_path) + 8];
	struct rpc_error err;
	json_t *params;

	(void)snprintf(moved, sizeof(moved), "%s.moved", key_path);
	assert_int_equal(rename(key_path, moved), 0);
	fixture_ok(f, "port.set", "{\"name\": \"vm\", \"mtu\": 1400}");
	fixture_ok(f, "port.set", "{\"name\": \"t\", \"mtu\": 1400}");
	params = json_pack("{s:o}", "calls", fixture_call(f, "config.dump", NULL, &err));
	assert_int_equal(
		rpc_call(&(struct rpc_session){.api = ctl_api(), .ctx = f->ctl}, "config.apply", params, NULL, &err),
		0);
	json_decref(params);
	remote_sends(f, &msg);
	assert_int_equal(remote_takes(&msg), PEER_SESSION_ACCEPTED);
	fixture_refused(f, "peer.reload", NULL, RPC_INVALID_PARAMS, "key_file");
	// Another key: until it is read, the old one counts.
	(void)unlink(moved);
	write_key();
	fixture_ok(f, "port.set", "{\"name\": \"t\", \"mtu\": 1300}");
	remote_sends(f, &msg);
	assert_int_equal(count(f, "accepted"), 1);
	assert_int_equal(count(f, "forged"), 1);
	fixture_ok(f, "peer.reload", NULL);
	remote_sends(f, &msg);
	assert_int_equal(count(f, "accepted"), 2);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, forget)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_report_is_answered_once),
		T(metrics_say_what_was_done_about_a_report),
		T(a_clock_request_is_answered),
		T(no_bit_may_be_wrong),
		T(random_datagrams_change_nothing),
		T(strangers_are_counted),
		T(a_report_of_what_is_not_there_changes_nothing),
		T(a_ladder_that_became_shorter_has_a_highest_step),
		T(a_peer_goes_with_its_tunnel),
		T(key_files_are_read_when_that_is_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
