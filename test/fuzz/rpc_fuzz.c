// Fuzz target: a client's bytes, or a configuration file's. The bytes are dispatched against a
// table with every type. Decoded values must encode, and decode again to the same.
#include "../unit/rpc/every_type.h"
#include "promise.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

// A response has a result or an error with code and message, never both.
static void
check_response(const json_t *response)
{
	const json_t *error = json_object_get(response, "error");

	PROMISE(json_object_get(response, "id") != NULL);
	PROMISE((json_object_get(response, "result") == NULL) == (error != NULL));
	PROMISE(error == NULL || json_integer_value(json_object_get(error, "code")) != 0);
	PROMISE(error == NULL || json_string_length(json_object_get(error, "message")) > 0);
}

// params: what test.echo answered. It decodes, and encodes to the same.
static void
check_round_trip(const json_t *params)
{
	static struct every_type decoded;
	struct rpc_error err = {0};
	json_t *again;

	memset(&decoded, 0, sizeof(decoded));
	PROMISE(rpc_decode(every_type_params, EVERY_TYPE_N_PARAMS, params, true, &decoded, NULL, &err) == 0);
	again = rpc_encode(every_type_params, EVERY_TYPE_N_PARAMS, &decoded);
	PROMISE(json_equal(params, again));
	json_decref(again);
}

static void
check_one(const json_t *response)
{
	const json_t *result = json_object_get(response, "result");

	check_response(response);
	if (json_object_get(result, "name") != NULL)
		check_round_trip(result);
}

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	struct rpc_session session = {.api = &every_type_api, .deny_flags = RPC_STARTUP};
	json_t *response = rpc_dispatch(&session, (const char *)input, len), *item;
	char *text;
	size_t i;

	if (json_is_object(response))
		check_one(response);
	json_array_foreach (response, i, item)
		check_one(item);
	// Each answer must be writable as JSON.
	text = response != NULL ? json_dumps(response, JSON_COMPACT) : NULL;
	PROMISE(response == NULL || text != NULL);
	free(text);
	json_decref(response);
	return 0;
}
