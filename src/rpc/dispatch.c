// From the bytes of one JSON-RPC 2.0 request or batch to its response. Limits come first: length,
// then depth by a scan that needs no memory, then the parser. Every outcome except silence
// (notifications) is a response. A client's bad request fails only its own call. ctl's server calls
// this with a line, its configuration loader with single calls.

#include "params.h"
#include "rtvs/text.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct rpc_method *
rpc_find(const struct rpc_api *api, const char *name, size_t len)
{
	for (const struct rpc_noun *noun = api->nouns; noun->methods != NULL; noun++) {
		for (const struct rpc_method *m = noun->methods; m->name != NULL; m++) {
			if (strlen(m->name) == len && memcmp(m->name, name, len) == 0)
				return m;
		}
	}
	return NULL;
}

static const char *
find_near(const struct rpc_api *api, const char *name)
{
	for (const struct rpc_noun *noun = api->nouns; noun->methods != NULL; noun++) {
		for (const struct rpc_method *m = noun->methods; m->name != NULL; m++) {
			if (text_is_near(name, m->name))
				return m->name;
		}
	}
	return NULL;
}

// Brackets outside of strings; whether they match is the parser's question.
static bool
is_deeper_than(const char *text, size_t len, unsigned max_depth)
{
	bool in_string = false;
	unsigned depth = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"')
			in_string = !in_string;
		else if (in_string)
			i += text[i] == '\\';
		else if (text[i] == '[' || text[i] == '{')
			depth++;
		else if ((text[i] == ']' || text[i] == '}') && depth > 0)
			depth--;
		if (depth > max_depth)
			return true;
	}
	return false;
}

json_t *
rpc_parse(const char *text, size_t len, size_t max_bytes, struct rpc_error *err)
{
	json_error_t parse_err;
	json_t *json;

	if (max_bytes == 0)
		max_bytes = RPC_MAX_REQUEST_BYTES;
	if (len > max_bytes) {
		rpc_error_set(err, RPC_PARSE_ERROR, "longer than %zu bytes", max_bytes);
		return NULL;
	}
	if (is_deeper_than(text, len, RPC_MAX_DEPTH)) {
		rpc_error_set(err, RPC_PARSE_ERROR, "nested deeper than %d", RPC_MAX_DEPTH);
		return NULL;
	}
	json = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &parse_err);
	if (json == NULL)
		rpc_error_set(err, RPC_PARSE_ERROR, "line %d, column %d: %s", parse_err.line, parse_err.column,
			parse_err.text);
	return json;
}

static const struct rpc_method *
find_allowed(const struct rpc_session *session, const char *name, struct rpc_error *err)
{
	const struct rpc_method *method = rpc_find(session->api, name, strlen(name));

	if (method == NULL) {
		const char *near = find_near(session->api, name);

		rpc_error_set(err, RPC_METHOD_NOT_FOUND, "unknown method '%.60s'%s%s%s", name,
			near != NULL ? "; did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?" : "");
		return NULL;
	}
	if ((method->flags & session->only_flags) != session->only_flags) {
		rpc_error_errno(err, -EPERM, "%s: %s", name,
			session->only_flags & RPC_READ_ONLY ? "not on this socket, which is read-only" :
							      "not a call of a configuration");
		return NULL;
	}
	if (method->flags & session->deny_flags) {
		rpc_error_errno(err, -EPERM, "%s: %s", name,
			method->flags & session->deny_flags & RPC_STARTUP ?
				"only at startup, as a first call of the configuration file" :
				"not allowed here");
		return NULL;
	}
	return method;
}

// The object of the method's noun.
static void *
ctx_of(const struct rpc_session *session, const struct rpc_method *method)
{
	const struct rpc_noun *noun = session->api->nouns;
	const struct rpc_method *m = noun->methods;

	while (m != method)
		m = m->name != NULL ? m + 1 : (++noun)->methods;
	return session->ctx != NULL ? (char *)session->ctx + noun->ctx_offset : NULL;
}

static int
run(struct rpc_session *session, const struct rpc_method *method, const json_t *params, json_t **ret_result,
	struct rpc_error *err)
{
	void *decoded = calloc(1, method->params_size + 1u);
	json_t *result = NULL;
	unsigned n_params = params_count(method);
	uint64_t present = 0;
	int rc = -1;

	if (decoded == NULL)
		rpc_error_set(err, RPC_INTERNAL_ERROR, "out of memory");
	else if (params_check_names(method->params, n_params, method->name, params, err) == 0)
		rc = rpc_decode(
			method->params, n_params, params, !(method->flags & RPC_CHANGE), decoded, &present, err);
	if (rc == 0) {
		rc = method->handler(ctx_of(session, method), decoded, present, &result, err);
		if (rc != 0 && err->code == 0)
			rpc_error_set(err, RPC_INTERNAL_ERROR, "%s failed without a reason", method->name);
	}
	free(decoded);
	if (rc != 0 || ret_result == NULL)
		json_decref(result);
	else
		*ret_result = result != NULL ? result : json_true();
	return rc;
}

int
rpc_call(
	struct rpc_session *session, const char *name, const json_t *params, json_t **ret_result, struct rpc_error *err)
{
	const struct rpc_method *method;
	int rc = -1;

	memset(err, 0, sizeof(*err));
	session->n_calls++;
	if (session->ended)
		rpc_error_errno(err, -ESHUTDOWN, "%s", session->ended);
	method = session->ended ? NULL : find_allowed(session, name, err);
	if (method != NULL)
		rc = run(session, method, params, ret_result, err);
	if (method != NULL && session->done != NULL)
		session->done(session->ctx, method, params, rc);
	session->n_errors += rc != 0;
	return rc;
}

// Takes over err's data.
static json_t *
error_response(json_t *id, struct rpc_error *err)
{
	json_t *error = json_pack("{s:i, s:s, s:o*}", "code", err->code, "message", err->message, "data", err->data);

	err->data = NULL;
	return json_pack("{s:s, s:o, s:O?}", "jsonrpc", "2.0", "error", error, "id", id);
}

static json_t *
refuse(struct rpc_session *session, json_t *id, int code, const char *message)
{
	struct rpc_error err = {0};

	session->n_errors++;
	rpc_error_set(&err, code, "%s", message);
	return error_response(id, &err);
}

// One request of its own or of a batch.
static json_t *
dispatch_one(struct rpc_session *session, const json_t *request)
{
	json_t *id = json_object_get(request, "id"), *result = NULL, *response;
	const char *version = json_string_value(json_object_get(request, "jsonrpc"));
	const char *method = json_string_value(json_object_get(request, "method"));
	struct rpc_error err = {0};

	if (!json_is_object(request))
		return refuse(session, NULL, RPC_INVALID_REQUEST, "a request is an object");
	if (id != NULL && !json_is_string(id) && !json_is_number(id) && !json_is_null(id))
		return refuse(session, NULL, RPC_INVALID_REQUEST, "id: neither text, number nor null");
	if (version == NULL || strcmp(version, "2.0") != 0)
		return refuse(session, id, RPC_INVALID_REQUEST, "jsonrpc: not \"2.0\"");
	if (method == NULL)
		return refuse(session, id, RPC_INVALID_REQUEST, "method: not a text");
	if (rpc_call(session, method, json_object_get(request, "params"), &result, &err) != 0)
		response = error_response(id, &err);
	else
		response = json_pack("{s:s, s:o, s:O?}", "jsonrpc", "2.0", "result", result, "id", id);
	if (id != NULL)
		return response;
	json_decref(response);
	return NULL;
}

static json_t *
dispatch_batch(struct rpc_session *session, const json_t *batch)
{
	size_t n = json_array_size(batch), max = session->max_batch ? session->max_batch : RPC_MAX_BATCH;
	size_t n_bytes = 0, i;
	json_t *responses, *request;

	if (n == 0)
		return refuse(session, NULL, RPC_INVALID_REQUEST, "an empty batch");
	if (n > max) {
		struct rpc_error err = {0};

		rpc_error_set(&err, RPC_INVALID_REQUEST, "%zu calls in one batch, at most %zu", n, max);
		return refuse(session, NULL, err.code, err.message);
	}
	responses = json_array();
	json_array_foreach (batch, i, request) {
		json_t *id = json_object_get(request, "id"), *response;

		// All answers of a batch are one message, which must be kept in memory.
		if (n_bytes > RPC_MAX_BATCH_BYTES && id != NULL)
			response = refuse(session, id, RPC_STATE_ERROR,
				"not executed: the answers of the batch are longer than 8 MiB; make it shorter");
		else
			response = dispatch_one(session, request);
		if (response == NULL)
			continue;
		n_bytes += json_dumpb(response, NULL, 0, JSON_COMPACT);
		(void)json_array_append_new(responses, response);
	}
	if (json_array_size(responses) > 0)
		return responses;
	json_decref(responses);
	return NULL;
}

json_t *
rpc_dispatch(struct rpc_session *session, const char *text, size_t len)
{
	struct rpc_error err = {0};
	json_t *request = rpc_parse(text, len, 0, &err), *response;

	if (request == NULL) {
		session->n_errors++;
		return error_response(NULL, &err);
	}
	response = json_is_array(request) ? dispatch_batch(session, request) : dispatch_one(session, request);
	json_decref(request);
	return response;
}
