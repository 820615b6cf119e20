// Requests and batches from bytes to bytes: the specification's cases, limits at their value and
// one more, flags, and the counters.
#include "../unit.h"
#include "every_type.h"

#include <stdio.h>
#include <string.h>

static struct rpc_session session;

static int
setup(void **state)
{
	(void)state;
	session = (struct rpc_session){.api = &every_type_api, .deny_flags = RPC_STARTUP};
	return 0;
}

static json_t *
dispatch(const char *text)
{
	return rpc_dispatch(&session, text, strlen(text));
}

static json_int_t
code_of(const json_t *response)
{
	return json_integer_value(json_object_get(json_object_get(response, "error"), "code"));
}

static const char *
message_of(const json_t *response)
{
	return json_string_value(json_object_get(json_object_get(response, "error"), "message"));
}

static const struct {
	const char *request, *response;
} exchanges[] = {
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"test.nothing\"}",
		"{\"jsonrpc\":\"2.0\",\"result\":true,\"id\":1}"},
	{"{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"test.nothing\",\"params\":{}}",
		"{\"jsonrpc\":\"2.0\",\"result\":true,\"id\":\"x\"}"},
	{"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"test.nothing\"}",
		"{\"jsonrpc\":\"2.0\",\"result\":true,\"id\":null}"},
	{"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"test.echo\",\"params\":{\"name\":\"a\",\"mtu\":\"68\"}}",
		"{\"jsonrpc\":\"2.0\",\"result\":{\"name\":\"a\",\"mtu\":68},\"id\":2}"},
	{"{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"test.set\",\"params\":{\"name\":\"a\",\"str\":\"b\"}}",
		"{\"jsonrpc\":\"2.0\",\"result\":5,\"id\":3}"},
	{"{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"test.fail\"}",
		"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000,\"message\":\"port vm3 does not exist\","
		"\"data\":{\"errno\":\"ENOENT\"}},\"id\":4}"},
	{"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"test.nothing\"},{\"jsonrpc\":\"2.0\",\"method\":\"test.nothing\"}"
	 ","
	 "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"test.nothing\"}]",
		"[{\"jsonrpc\":\"2.0\",\"result\":true,\"id\":1},{\"jsonrpc\":\"2.0\",\"result\":true,\"id\":2}]"},
};

static void
calls_are_answered(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(exchanges) / sizeof(exchanges[0]); i++) {
		json_t *response = dispatch(exchanges[i].request);
		char *text = json_dumps(response, JSON_COMPACT);

		assert_non_null(text);
		assert_string_equal(text, exchanges[i].response);
		free(text);
		json_decref(response);
	}
}

#define CALL(method, params) "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":" params "}"
static const struct {
	const char *request;
	int code;
	const char *message; // how it begins
} refused[] = {
	{"", RPC_PARSE_ERROR, "line 1"},
	{"{", RPC_PARSE_ERROR, "line 1"},
	{"{}x", RPC_PARSE_ERROR, "line 1"},
	{"\xff", RPC_PARSE_ERROR, "line 1"},
	{"{\"id\":1,\"id\":2}", RPC_PARSE_ERROR, "line 1"},
	{CALL("test.echo", "{\"name\":\"a\",\"name\":\"b\"}"), RPC_PARSE_ERROR, "line 1"},
	{CALL("test.echo", "{\"name\":\"a\\u0000b\"}"), RPC_PARSE_ERROR, "line 1"},
	{CALL("test.echo", "{\"name\":\"a\",\"count\":9223372036854775808}"), RPC_PARSE_ERROR, "line 1"},
	{"1", RPC_INVALID_REQUEST, "a request is an object"},
	{"null", RPC_INVALID_REQUEST, "a request is an object"},
	{"[]", RPC_INVALID_REQUEST, "an empty batch"},
	{"{}", RPC_INVALID_REQUEST, "jsonrpc: not \"2.0\""},
	{"{\"jsonrpc\":2.0,\"id\":1,\"method\":\"test.nothing\"}", RPC_INVALID_REQUEST, "jsonrpc: not \"2.0\""},
	{"{\"jsonrpc\":\"2.0\",\"id\":1}", RPC_INVALID_REQUEST, "method: not a text"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}", RPC_INVALID_REQUEST, "method: not a text"},
	{"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"test.nothing\"}", RPC_INVALID_REQUEST, "id: neither"},
	{CALL("test.ehco", "{}"), RPC_METHOD_NOT_FOUND, "unknown method 'test.ehco'; did you mean 'test.echo'?"},
	{CALL("", "{}"), RPC_METHOD_NOT_FOUND, "unknown method ''"},
	{CALL("test.nothing", "[]"), RPC_INVALID_PARAMS, "params: not an object"},
	{CALL("test.nothing", "null"), RPC_INVALID_PARAMS, "params: not an object"},
	{CALL("test.nothing", "{\"a\":1}"), RPC_INVALID_PARAMS, "unknown parameter 'a' of test.nothing"},
	{CALL("test.echo", "{\"name\":\"a\",\"mtuu\":1}"), RPC_INVALID_PARAMS,
		"unknown parameter 'mtuu' of test.echo; did you mean 'mtu'?"},
	{CALL("test.init", "{}"), RPC_STATE_ERROR, "test.init: only at startup"},
	{CALL("test.broken", "{}"), RPC_INTERNAL_ERROR, "test.broken failed without a reason"},
};

static void
bad_input_becomes_an_error_response(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		json_t *response = dispatch(refused[i].request);

		if (code_of(response) != refused[i].code)
			fail_msg("%s: code %lld", refused[i].request, (long long)code_of(response));
		if (strncmp(message_of(response), refused[i].message, strlen(refused[i].message)) != 0)
			fail_msg("%s: %s", refused[i].request, message_of(response));
		json_decref(response);
	}
	assert_int_equal(session.n_errors, sizeof(refused) / sizeof(refused[0]));
}

static void
notifications_are_executed_in_silence(void **state)
{
	(void)state;
	assert_null(dispatch("{\"jsonrpc\":\"2.0\",\"method\":\"test.nothing\"}"));
	assert_int_equal(session.n_calls, 1);
	assert_int_equal(session.n_errors, 0);
	assert_null(dispatch("{\"jsonrpc\":\"2.0\",\"method\":\"test.fail\"}"));
	assert_int_equal(session.n_errors, 1);
	assert_null(dispatch("[{\"jsonrpc\":\"2.0\",\"method\":\"test.nothing\"}]"));
	assert_int_equal(session.n_calls, 3);
}

static void
one_bad_call_of_a_batch_harms_no_other(void **state)
{
	json_t *responses = dispatch("[1," CALL("test.nothing", "{}") "," CALL("test.none", "{}") "]");

	(void)state;
	assert_int_equal(json_array_size(responses), 3);
	assert_int_equal(code_of(json_array_get(responses, 0)), RPC_INVALID_REQUEST);
	assert_true(json_is_true(json_object_get(json_array_get(responses, 1), "result")));
	assert_int_equal(code_of(json_array_get(responses, 2)), RPC_METHOD_NOT_FOUND);
	json_decref(responses);
}

static json_t *
dispatch_batch_of(unsigned n)
{
	json_t *batch = json_array(), *response;
	char *text;

	for (unsigned i = 0; i < n; i++)
		(void)json_array_append_new(
			batch, json_pack("{s:s, s:i, s:s}", "jsonrpc", "2.0", "id", (int)i, "method", "test.nothing"));
	text = json_dumps(batch, 0);
	response = dispatch(text);
	free(text);
	json_decref(batch);
	return response;
}

static void
batches_end_at_their_limit(void **state)
{
	json_t *response = dispatch_batch_of(RPC_MAX_BATCH);

	(void)state;
	assert_int_equal(json_array_size(response), RPC_MAX_BATCH);
	json_decref(response);
	assert_int_equal(session.n_calls, RPC_MAX_BATCH);
	response = dispatch_batch_of(RPC_MAX_BATCH + 1);
	assert_int_equal(code_of(response), RPC_INVALID_REQUEST);
	assert_string_equal(message_of(response), "257 calls in one batch, at most 256");
	assert_int_equal(session.n_calls, RPC_MAX_BATCH);
	json_decref(response);
}

struct fill_params {
	uint64_t n;
};

static int
fill(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct fill_params *p = params;
	char *text = malloc(p->n);

	(void)ctx;
	(void)present;
	(void)err;
	assert_non_null(text);
	memset(text, 'x', p->n);
	*ret_result = json_stringn(text, p->n);
	free(text);
	return 0;
}

static const struct rpc_param fill_param[] = {RPC_PARAM(struct fill_params, n, RPC_UINT, .help = "bytes")};
static const struct rpc_method fill_methods[] = {
	{"test.fill", "Answer much.", "x", fill, fill_param, 1, sizeof(struct fill_params), 0}, {0}};
static const struct rpc_api fill_api = {(const struct rpc_noun[]){{fill_methods, 0}, {0}}};

// As many calls as there are lengths; each is answered with as many bytes.
static json_t *
dispatch_fills(const size_t *bytes, unsigned n)
{
	json_t *batch = json_array(), *response;
	char *text;

	for (unsigned i = 0; i < n; i++)
		(void)json_array_append_new(batch,
			json_pack("{s:s, s:i, s:s, s:{s:I}}", "jsonrpc", "2.0", "id", 1, "method", "test.fill",
				"params", "n",
				(json_int_t)(bytes[i] - strlen("{\"jsonrpc\":\"2.0\",\"result\":\"\",\"id\":1}"))));
	text = json_dumps(batch, 0);
	response = dispatch(text);
	free(text);
	json_decref(batch);
	return response;
}

// One message has them all: what comes after so many bytes is not executed, and says so.
static void
answers_of_a_batch_end_at_their_limit(void **state)
{
	json_t *response;

	(void)state;
	session.api = &fill_api;
	response = dispatch_fills((size_t[]){1000, RPC_MAX_BATCH_BYTES - 1000, 1000}, 3);
	assert_int_equal(json_array_size(response), 3);
	assert_int_equal(code_of(json_array_get(response, 2)), 0);
	json_decref(response);
	session.n_calls = 0;
	response = dispatch_fills((size_t[]){1000, RPC_MAX_BATCH_BYTES - 999, 1000, 1000}, 4);
	assert_int_equal(json_array_size(response), 4);
	assert_int_equal(code_of(json_array_get(response, 1)), 0);
	assert_int_equal(code_of(json_array_get(response, 2)), RPC_STATE_ERROR);
	assert_non_null(strstr(message_of(json_array_get(response, 3)), "not executed"));
	assert_int_equal(session.n_calls, 2);
	json_decref(response);
}

// n nested lists. New reference or NULL.
static json_t *
parse_nested(unsigned n, struct rpc_error *err)
{
	char text[64];

	assert_true(2 * n < sizeof(text));
	memset(text, '[', n);
	memset(text + n, ']', n);
	memset(err, 0, sizeof(*err));
	return rpc_parse(text, 2 * n, 0, err);
}

static void
depth_ends_at_its_limit(void **state)
{
	static const char brackets[] = "\"[[[[[[[[[[[[[[[[[[[[\\\"[[[[[[[[[[[[[[[[[[[[\"";
	struct rpc_error err = {0};
	json_t *json = parse_nested(RPC_MAX_DEPTH, &err);

	(void)state;
	assert_non_null(json);
	json_decref(json);
	assert_null(parse_nested(RPC_MAX_DEPTH + 1, &err));
	assert_int_equal(err.code, RPC_PARSE_ERROR);
	assert_string_equal(err.message, "nested deeper than 16");
	// Brackets in a text do not nest.
	json = rpc_parse(brackets, strlen(brackets), 0, &err);
	assert_true(json_is_string(json));
	json_decref(json);
}

static void
length_ends_at_its_limit(void **state)
{
	char *text = malloc(RPC_MAX_REQUEST_BYTES + 1);
	struct rpc_error err = {0};
	json_t *json;

	(void)state;
	assert_non_null(text);
	memset(text, ' ', RPC_MAX_REQUEST_BYTES + 1);
	text[0] = '1';
	json = rpc_parse(text, RPC_MAX_REQUEST_BYTES, 0, &err);
	assert_non_null(json);
	json_decref(json);
	assert_null(rpc_parse(text, RPC_MAX_REQUEST_BYTES + 1, 0, &err));
	assert_string_equal(err.message, "longer than 25231360 bytes");
	json = rpc_parse(text, RPC_MAX_REQUEST_BYTES + 1, RPC_MAX_REQUEST_BYTES + 1, &err);
	assert_non_null(json);
	json_decref(json);
	free(text);
}

static void
flags_say_who_may_call(void **state)
{
	struct rpc_error err;

	(void)state;
	session.only_flags = RPC_READ_ONLY;
	assert_int_equal(rpc_call(&session, "test.nothing", NULL, NULL, &err), -1);
	assert_int_equal(err.code, RPC_STATE_ERROR);
	assert_string_equal(err.message, "test.nothing: not on this socket, which is read-only");
	assert_string_equal(json_string_value(json_object_get(err.data, "errno")), "EPERM");
	json_decref(err.data);
	session.only_flags = RPC_CONFIG;
	session.deny_flags = 0;
	assert_int_equal(rpc_call(&session, "test.init", NULL, NULL, &err), 0);
	assert_int_equal(rpc_call(&session, "test.fail", NULL, NULL, &err), -1);
	assert_string_equal(err.message, "test.fail: not a call of a configuration");
	json_decref(err.data);
}

static void
results_are_optional_for_the_caller(void **state)
{
	json_t *params = json_pack("{s:s}", "name", "a"), *result = NULL;
	struct rpc_error err;

	(void)state;
	assert_int_equal(rpc_call(&session, "test.echo", params, NULL, &err), 0);
	assert_int_equal(rpc_call(&session, "test.echo", params, &result, &err), 0);
	assert_true(json_equal(params, result));
	json_decref(result);
	json_decref(params);
}

struct parts {
	int first, second;
};

static int
answer_own(void *ctx, const void *params, uint64_t n, json_t **ret_result, struct rpc_error *e)
{
	(void)params;
	(void)n;
	(void)e;
	*ret_result = json_integer(*(const int *)ctx);
	return 0;
}

// The first noun has two methods: what follows is not the second one's.
static void
handlers_get_the_part_of_their_noun(void **state)
{
	static const struct rpc_method first[] = {{"a.x", "", "", answer_own, NULL, 0, 0, 0},
		{"a.y", "", "", answer_own, NULL, 0, 0, 0}, {0}},
				       second[] = {{"b.x", "", "", answer_own, NULL, 0, 0, 0}, {0}};
	static const struct rpc_noun nouns[] = {
		{first, offsetof(struct parts, first)}, {second, offsetof(struct parts, second)}, {0}};
	static const struct rpc_api api = {nouns};
	static const struct {
		const char *method;
		int answer;
	} cases[] = {{"a.x", 1}, {"a.y", 1}, {"b.x", 2}};
	struct parts parts = {1, 2};
	struct rpc_session s = {.api = &api, .ctx = &parts};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rpc_error e;
		json_t *result = NULL;

		assert_int_equal(rpc_call(&s, cases[i].method, NULL, &result, &e), 0);
		assert_int_equal(json_integer_value(result), cases[i].answer);
		json_decref(result);
	}
}

static void
discover_shows_the_limits_in_force(void **state)
{
	json_t *api = rpc_discover(&every_type_api), *params, *param;

	(void)state;
	assert_int_equal(json_array_size(api), 6);
	assert_string_equal(json_string_value(json_object_get(json_array_get(api, 0), "method")), "test.echo");
	params = json_object_get(json_array_get(api, 0), "params");
	assert_int_equal(json_array_size(params), EVERY_TYPE_N_PARAMS);
	param = json_array_get(params, 0);
	assert_string_equal(json_string_value(json_object_get(param, "type")), "name");
	assert_true(json_is_true(json_object_get(param, "key")));
	assert_int_equal(json_integer_value(json_object_get(param, "max")), RTVS_NAME_SIZE - 1);
	param = json_array_get(params, 7);
	assert_string_equal(json_string_value(json_object_get(param, "name")), "count");
	assert_null(json_object_get(param, "max"));
	assert_null(json_object_get(param, "default"));
	assert_int_equal(json_array_size(json_object_get(json_array_get(params, 6), "names")), 3);
	json_decref(api);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(calls_are_answered, setup),
		cmocka_unit_test_setup(bad_input_becomes_an_error_response, setup),
		cmocka_unit_test_setup(notifications_are_executed_in_silence, setup),
		cmocka_unit_test_setup(one_bad_call_of_a_batch_harms_no_other, setup),
		cmocka_unit_test_setup(batches_end_at_their_limit, setup),
		cmocka_unit_test_setup(answers_of_a_batch_end_at_their_limit, setup),
		cmocka_unit_test_setup(depth_ends_at_its_limit, setup),
		cmocka_unit_test_setup(length_ends_at_its_limit, setup),
		cmocka_unit_test_setup(flags_say_who_may_call, setup),
		cmocka_unit_test_setup(results_are_optional_for_the_caller, setup),
		cmocka_unit_test(handlers_get_the_part_of_their_noun),
		cmocka_unit_test_setup(discover_shows_the_limits_in_force, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
