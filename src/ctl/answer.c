// Shared by all handlers. This file knows parameters, results and errors and nothing of the switch,
// so every file that answers a request may call it.
#include "answer.h"

#include <errno.h>
#include <string.h>

int
ctl_refuse(struct rpc_error *err, int rc, const char *text)
{
	if (!text[0])
		text = strerror(-rc);
	if (rc == -EINVAL)
		rpc_error_set(err, RPC_INVALID_PARAMS, "%s", text);
	else
		rpc_error_errno(err, rc, "%s", text);
	return -1;
}

int
ctl_refuse_name(struct rpc_error *err, int rc, const char *noun, const char *name)
{
	rpc_error_errno(err, rc, "%s %s does not exist", noun, name);
	if (err->data)
		(void)json_object_set_new(err->data, noun, json_string(name));
	return -1;
}

int
ctl_answer(json_t **ret_result, json_t *result, struct rpc_error *err)
{
	if (!result) {
		rpc_error_set(err, RPC_INTERNAL_ERROR, "out of memory");
		return -1;
	}
	*ret_result = result;
	return 0;
}

void
ctl_merge(const struct rpc_param *params, unsigned n_params, uint64_t present, const void *in, void *inout)
{
	for (unsigned i = 0; i < n_params; i++)
		if (present >> i & 1)
			memcpy((char *)inout + params[i].offset, (const char *)in + params[i].offset, params[i].size);
}
