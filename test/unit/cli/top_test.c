// The output of `top`: only sections with content, and no more lines than the terminal has.
#include "../unit.h"
#include "fake_client.h"
#include "top.h"

#include <string.h>

#define MS UINT64_C(1000000)
#define PORT(name, more) "{\"port\": \"" name "\", \"rx_pkts\": 0, \"tx_pkts\": 0" more "}"
#define WORKERS "[{\"worker\": 0, \"cpu\": 1, \"tsc_hz\": 1000000000, \"stalls\": {\"count\": 0, \"max_ns\": 0}}]"
#define PEER(clock_known)                                                                                       \
	"{\"uplink\": \"up\", \"address\": \"10.9.0.2\", \"known\": true, \"clock_known\": " clock_known        \
	", \"offset_ns\": -1500, \"uncertainty_ns\": 20000, \"rtt_ns\": 40000, \"flows\": [{\"port\": \"vm\", " \
	"\"scheduling_deadline\": \"1ms\", \"step\": 2, \"escalated\": false}]}"

static const struct fake_answer alone[] = {
	{"stats.get", "{\"ports\": [" PORT("vm", "") ", " PORT("vm2", "") "]}", NULL}, {"worker.list", WORKERS, NULL},
	{"stats.drops", "[]", NULL}, {"peer.list", "[]", NULL}, {0}};
static const struct fake_answer with_others[] = {
	{"stats.get",
		"{\"ports\": [" PORT("t",
			", \"remote_flows\": [{\"tunnel\": \"t\", \"flow\": 3, \"deadline\": \"2ms\", \"received\": 9, "
			"\"missed\": 1, \"lost\": 2, \"p99_ns\": 3000000, \"network_p99_ns\": 2000000, "
			"\"uncertainty_ns\": null}]") "]}",
		NULL},
	{"worker.list", WORKERS, NULL}, {"stats.drops", "[]", NULL},
	{"peer.list", "[" PEER("true") ", " PEER("false") "]", NULL}, {0}};

static const char *
run(const struct fake_answer *answers, unsigned short rows, bool is_json)
{
	enum cli_exit rc;
	const char *text;

	fake_client_answers = answers;
	fake_client_begin(rows);
	rc = top_run(NULL, MS, 1, is_json);
	text = fake_client_end();
	assert_int_equal(rc, CLI_OK);
	return text;
}

static void
host_alone_shows_ports_and_workers(void **state)
{
	const char *text;

	(void)state;
	text = run(alone, 0, false);
	assert_memory_equal(text, "PORTS\nport  rx/s", 15);
	assert_non_null(strstr(text, "\n\nWORKERS\nworker  cpu"));
	assert_null(strstr(text, "FLOWS"));
	assert_null(strstr(text, "PEERS"));
	assert_string_equal(text + strlen(text) - 2, "\n\n");
}

static void
other_hosts_have_sections(void **state)
{
	const char *text;

	(void)state;
	text = run(with_others, 0, false);
	assert_non_null(strstr(text,
		"\n\nREMOTE FLOWS\n"
		"tunnel  flow  deadline  pkts/s  missed/s  lost/s  p99_ns  network_p99_ns  uncertainty_ns\n"
		"t          3  2ms            0         0       0     3ms             2ms  -\n"
		"\nPEERS\n"
		"peer      uplink  known  clock known  offset_ns  uncertainty_ns  rtt_ns\n"
		"10.9.0.2  up      yes    yes             -1.5us            20us    40us\n"
		"10.9.0.2  up      yes    no                   -               -    40us\n"
		"flows:\n"
		"  peer      port  scheduling_deadline  step  escalated\n"
		"  10.9.0.2  vm    1ms                     2  no\n"
		"  10.9.0.2  vm    1ms                     2  no\n"
		"\nWORKERS\n"));
}

static void
programs_get_every_section(void **state)
{
	json_t *all, *alone_json;

	(void)state;
	all = json_loads(run(with_others, 0, true), 0, NULL);
	alone_json = json_loads(run(alone, 0, true), 0, NULL);
	assert_int_equal(json_array_size(json_object_get(all, "remote")), 1);
	assert_int_equal(json_array_size(json_object_get(all, "peers")), 2);
	assert_true(json_is_array(json_object_get(alone_json, "remote")));
	assert_true(json_is_array(json_object_get(alone_json, "peers")));
	assert_int_equal(json_object_size(alone_json), 5);
	json_decref(all);
	json_decref(alone_json);
}

static unsigned
n_lines(const char *text)
{
	unsigned n = 0;

	while ((text = strchr(text, '\n'))) {
		text++;
		n++;
	}
	return n;
}

static void
screen_is_filled_and_not_scrolled(void **state)
{
	const char *text;

	(void)state;
	text = run(alone, 8, false);
	assert_int_equal(n_lines(text), 7); // of eight
	assert_non_null(strstr(text, "(1 more lines)"));
	assert_non_null(strstr(text, "vm2"));
	text = run(alone, 9, false);
	assert_int_equal(n_lines(text), 8);
	assert_null(strstr(text, "more lines"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_alone_shows_ports_and_workers),
		cmocka_unit_test(other_hosts_have_sections),
		cmocka_unit_test(programs_get_every_section),
		cmocka_unit_test(screen_is_filled_and_not_scrolled),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
