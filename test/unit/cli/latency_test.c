// The output of `latency` for a guest's port and for a tunnel, and its choice between the two.
#include "../unit.h"
#include "fake_client.h"
#include "latency.h"

#include <string.h>

#define DELAY                                                                                                  \
	"{\"count\": 4, \"p50_ns\": 900000, \"p90_ns\": 1000000, \"p99_ns\": 3000000, \"p99_9_ns\": 3000000, " \
	"\"p99_99_ns\": 3000000, \"max_ns\": 3000000, \"buckets\": [[850000, 900000, 3], [2900000, 3000000, 1]]}"
#define NETWORK                                                                                             \
	"{\"count\": 4, \"p50_ns\": 100000, \"p90_ns\": 100000, \"p99_ns\": 100000, \"p99_9_ns\": 100000, " \
	"\"p99_99_ns\": 100000, \"max_ns\": 100000, \"buckets\": [[95000, 100000, 4]]}"
#define REMOTE(uncertainty)                                                                                      \
	"[{\"tunnel\": \"t\", \"flow\": 3, \"deadline\": \"2ms\", \"received\": 4, \"lost\": 5, \"missed\": 1, " \
	"\"unjudged\": 2, \"mean_residence_ns\": 800000, \"uncertainty_ns\": " uncertainty ", \"delay\": " DELAY \
	", \"network\": " NETWORK "}]"
#define PERCENTILES "  p50 900us  p90 1ms  p99 3ms  p99.9 3ms  p99.99 3ms  max 3ms\n"
#define FULL "########################################" // 40

static const char *
run(const struct fake_answer *answers, const char *port, const char *flow, enum cli_exit expected)
{
	enum cli_exit rc;
	const char *text;

	fake_client_answers = answers;
	fake_client_begin(0);
	rc = latency_run(NULL, "t", port, flow, false);
	text = fake_client_end();
	assert_int_equal(rc, expected);
	return text;
}

static void
tunnel_shows_what_came_through_it(void **state)
{
	static const struct fake_answer answers[] = {{"port.show", "{\"type\": \"geneve\"}", "{\"name\":\"t\"}"},
		{"flow.remote", REMOTE("40000"), "{\"port\":\"t\"}"}, {0}};

	(void)state;
	assert_string_equal(run(answers, NULL, NULL, CLI_OK),
		"flow 3 through t, deadline 2ms: 4 packets, 1 missed, 5 lost, 2 unjudged\n"
		"end to end, to within 40us:\n" PERCENTILES
		"  <    1048us            3  75.00% ##############################\n"
		"  <    2097us            0   0.00%   <- deadline\n"
		"  <    4194us            1  25.00% ##########\n"
		"on the network, 800us less on average:\n"
		"  p50 100us  p90 100us  p99 100us  p99.9 100us  p99.99 100us  max 100us\n"
		"  <     131us            4 100.00% " FULL "\n");
}

static void
clocks_that_are_not_known_are_told(void **state)
{
	static const struct fake_answer answers[] = {
		{"flow.remote", REMOTE("null"), "{\"port\":\"t\",\"flow\":\"3\"}"}, {0}};

	(void)state;
	assert_non_null(strstr(run(answers, NULL, "3", CLI_OK), "how far they are apart is not known\n"));
}

static void
other_ports_show_what_they_sent(void **state)
{
	static const struct fake_answer answers[] = {{"port.show", "{\"type\": \"vhost\"}", NULL},
		{"flow.show",
			"[{\"port\": \"up\", \"from\": \"t\", \"deadline\": \"0ns\", \"missed_pkts\": 0, "
			"\"delay\": " DELAY "}]",
			"{\"from\":\"t\"}"},
		{0}};

	(void)state;
	assert_string_equal(run(answers, NULL, NULL, CLI_OK),
		"t to up, deadline none: 4 packets, 0 missed\n" PERCENTILES
		"  <    1048us            3  75.00% ##############################\n"
		"  <    2097us            0   0.00% \n"
		"  <    4194us            1  25.00% ##########\n");
}

// Also of a tunnel, whose packets meet egress ports here.
static void
egress_port_is_about_this_host(void **state)
{
	static const struct fake_answer answers[] = {{"flow.show", "[]", "{\"from\":\"t\",\"port\":\"vm1\"}"}, {0}};

	(void)state;
	assert_string_equal(run(answers, "vm1", NULL, CLI_OK), "no port with a schedule has seen packets of t\n");
}

static void
tunnel_without_packets_says_so(void **state)
{
	static const struct fake_answer answers[] = {
		{"port.show", "{\"type\": \"geneve\"}", NULL}, {"flow.remote", "[]", NULL}, {0}};

	(void)state;
	assert_string_equal(run(answers, NULL, NULL, CLI_OK), "nothing with times has come through t\n");
}

static void
refusals_end_it(void **state)
{
	static const struct fake_answer no_port[] = {{"port.show", NULL, NULL}, {0}};
	static const struct fake_answer no_flow[] = {{"flow.remote", NULL, NULL}, {0}};

	(void)state;
	assert_string_equal(run(no_port, NULL, NULL, CLI_REFUSED), "");
	assert_string_equal(run(no_flow, NULL, "7", CLI_REFUSED), "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tunnel_shows_what_came_through_it),
		cmocka_unit_test(clocks_that_are_not_known_are_told),
		cmocka_unit_test(other_ports_show_what_they_sent),
		cmocka_unit_test(egress_port_is_about_this_host),
		cmocka_unit_test(tunnel_without_packets_says_so),
		cmocka_unit_test(refusals_end_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
