// Peers come and go with tunnels, and have the keys that were read last.
#include "ctl_clock.h"
#include "peers_json.h"
#include "remote.h"

#include <stdio.h>
#include <unistd.h>

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
a_peer_goes_with_its_tunnel(void **state)
{
	struct fixture *f = acquainted(state);
	json_t *list;

	fixture_ok(f, "port.del", "{\"name\": \"t\"}");
	list = peers_json(f->ctl);
	assert_int_equal(json_array_size(list), 0);
	json_decref(list);
}

// After any other change of ports, keys are those of the last reload.
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
		T(strangers_are_counted),
		T(a_peer_goes_with_its_tunnel),
		T(key_files_are_read_when_that_is_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
