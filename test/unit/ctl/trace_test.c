// trace.start, read and stop over the fake datapath, which returns as many records as the rate
// says.
#include "ctl_fixture.h"
#include "rpc_trace.h"

static json_t *
read_traces(struct fixture *f)
{
	struct rpc_error err;
	json_t *answer = fixture_call(f, "trace.read", NULL, &err);

	assert_non_null(answer);
	return answer;
}

static size_t
n_traced(struct fixture *f)
{
	json_t *answer = read_traces(f);
	size_t n = json_array_size(json_object_get(answer, "ports"));

	json_decref(answer);
	return n;
}

static void
records_are_read_once(void **state)
{
	struct fixture *f = *state;
	json_t *answer, *port, *chain;

	fixture_ok(f, "port.add", "{\"name\": \"vm1\"}");
	fixture_ok(f, "port.add", "{\"name\": \"vm2\"}");
	fixture_ok(f, "trace.start", "{\"port\": \"vm2\", \"rate\": 3}");
	answer = read_traces(f);
	assert_true(json_integer_value(json_object_get(answer, "monotonic_ns")) > 0);
	assert_int_equal(json_array_size(json_object_get(answer, "ports")), 1);
	port = json_array_get(json_object_get(answer, "ports"), 0);
	assert_string_equal(json_string_value(json_object_get(port, "port")), "vm2");
	assert_int_equal(json_integer_value(json_object_get(port, "lost")), 1);
	assert_int_equal(json_array_size(json_object_get(port, "chains")), 3);
	chain = json_array_get(json_object_get(port, "chains"), 2);
	assert_int_equal(json_integer_value(json_object_get(chain, "arrived_ns")), 1);
	assert_int_equal(json_integer_value(json_object_get(chain, "left_ns")), 8);
	assert_int_equal(json_integer_value(json_object_get(chain, "depth")), 9);
	assert_true(json_is_true(json_object_get(chain, "is_kicked")));
	json_decref(answer);

	answer = read_traces(f);
	port = json_array_get(json_object_get(answer, "ports"), 0);
	assert_int_equal(json_array_size(json_object_get(port, "chains")), 0);
	json_decref(answer);
}

// The rest comes with the next reading.
static void
an_answer_has_its_limit(void **state)
{
	struct fixture *f = *state;
	json_t *answer;

	fixture_ok(f, "port.add", "{\"name\": \"vm1\"}");
	fixture_ok(f, "trace.start", "{\"port\": \"vm1\", \"rate\": 5000}");
	for (unsigned i = 0; i < 2; i++) {
		answer = read_traces(f);
		assert_int_equal(
			json_array_size(json_object_get(json_array_get(json_object_get(answer, "ports"), 0), "chains")),
			i ? 5000 - 4096 : 4096);
		json_decref(answer);
	}
}

static void
traces_end_when_stopped_or_unread(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "port.add", "{\"name\": \"vm1\"}");
	fixture_ok(f, "trace.start", "{\"port\": \"vm1\"}");
	assert_int_equal(n_traced(f), 1);
	fixture_ok(f, "trace.stop", "{\"port\": \"vm1\"}");
	assert_int_equal(n_traced(f), 0);
	fixture_ok(f, "trace.stop", "{\"port\": \"vm1\"}");

	fixture_ok(f, "trace.start", "{\"port\": \"vm1\"}");
	rpc_trace_tick(&f->ctl->trace);
	assert_int_equal(n_traced(f), 1);
	f->ctl->trace.read_ns -= UINT64_C(10000000000);
	rpc_trace_tick(&f->ctl->trace);
	assert_int_equal(n_traced(f), 0);
}

static void
what_cannot_be_traced_is_refused(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "port.add", "{\"name\": \"t1\", \"type\": \"ethdev\", \"devargs\": \"net_tap0\"}");
	fixture_refused(f, "trace.start", "{\"port\": \"t1\"}", RPC_INVALID_PARAMS, "guest");
	fixture_refused(f, "trace.start", "{\"port\": \"vm1\"}", RPC_STATE_ERROR, "vm1");
	fixture_refused(f, "trace.stop", "{\"port\": \"vm1\"}", RPC_STATE_ERROR, "vm1");
	fixture_refused(f, "trace.start", "{\"port\": \"t1\", \"rate\": 0}", RPC_INVALID_PARAMS, "rate");
	fixture_refused(f, "trace.start", "{\"port\": \"t1\", \"rate\": 10001}", RPC_INVALID_PARAMS, "rate");
	fixture_refused(f, "port.set", "{\"name\": \"t1\", \"prewake\": true}", RPC_INVALID_PARAMS, "prewake");
	assert_int_equal(n_traced(f), 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(records_are_read_once),
		T(an_answer_has_its_limit),
		T(traces_end_when_stopped_or_unread),
		T(what_cannot_be_traced_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
