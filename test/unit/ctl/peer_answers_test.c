// The reaction to packets that are late at a peer, once for each report.
#include "metrics.h"
#include "peer_answers.h"
#include "remote.h"

#include <stdlib.h>
#include <string.h>

static void
a_report_is_answered_once(void **state)
{
	struct fixture *f = acquainted(state);
	struct peer_msg msg = late_report(f, 100);

	remote_sends(f, &msg);
	assert_int_equal(count(f, "accepted"), 1);
	assert_int_equal(count(f, "reports"), 1);
	// the controller's start, and a step: the network alone takes too long
	assert_int_equal(fake_dp_n_answers(), 2);
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
		// no rate, so no EF
		"rtvs_feedback_escalated{uplink=\"up\",address=\"10.9.0.2\",port=\"vm\"} 1\n",
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

// Without its rate a port may not climb as high as it has: until its controller begins anew, the
// highest permitted step counts.
static void
a_ladder_that_became_shorter_has_a_highest_step(void **state)
{
	struct fixture *f = acquainted(state);
	struct peer_msg msg;

	fixture_ok(f, "port.set", "{\"name\": \"vm\", \"min_rate\": \"1Mbit\"}");
	msg = late_report(f, 100);
	remote_sends(f, &msg);
	// above the deadline's, AF41
	assert_int_equal(peer_answers_dscp(f->ctl, model_port_find(f->ctl->plane.live, "vm")), 46);
	fixture_ok(f, "port.set", "{\"name\": \"vm\", \"min_rate\": 0}");
	assert_int_equal(peer_answers_dscp(f->ctl, model_port_find(f->ctl->plane.live, "vm")), 34);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, forget)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_report_is_answered_once),
		T(metrics_say_what_was_done_about_a_report),
		T(a_report_of_what_is_not_there_changes_nothing),
		T(a_ladder_that_became_shorter_has_a_highest_step),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
