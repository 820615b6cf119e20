// The table of methods as JSON: the answer of rpc.discover. Documentation, completion and the CLI's
// own table are generated from it. Everything that dispatch.c enforces is visible here, limits of
// types included.

#include "params.h"

static void
set(json_t *object, const char *key, json_t *value)
{
	(void)json_object_set_new(object, key, value);
}

static json_t *
names_list(const char *const *names)
{
	json_t *list = json_array();

	for (; *names != NULL; names++)
		(void)json_array_append_new(list, json_string(*names));
	return list;
}

static json_t *
kinds_list(const struct rpc_param *kind, uint32_t kinds)
{
	json_t *list = json_array();

	for (unsigned i = 0; kind->names[i] != NULL; i++) {
		if (kinds >> i & 1)
			(void)json_array_append_new(list, json_sprintf("%s=%s", kind->name, kind->names[i]));
	}
	return list;
}

// A method that changes what exists leaves what is not given as it is: no default applies.
static json_t *
discover_param(const struct rpc_param *param, const struct rpc_param *kind, bool has_defaults)
{
	json_t *out = json_object();
	uint64_t min, max;

	params_limits(param, &min, &max);
	set(out, "name", json_string(param->name));
	set(out, "type", json_string(rpc_type_names[param->type]));
	set(out, "required", json_boolean(param->is_required || param->is_key));
	set(out, "key", json_boolean(param->is_key));
	set(out, "min", json_integer((json_int_t)min));
	if (max <= INT64_MAX)
		set(out, "max", json_integer((json_int_t)max));
	if (param->type == RPC_ENUM)
		set(out, "names", names_list(param->names));
	if (has_defaults && param->def != NULL)
		set(out, "default", json_string(param->def));
	if (param->kinds != 0 && kind != NULL)
		set(out, "only_for", kinds_list(kind, param->kinds));
	set(out, "fixed", json_boolean(param->fixed != NULL));
	set(out, "help", json_string(param->help));
	return out;
}

static json_t *
discover_flags(uint32_t flags)
{
	static const struct {
		uint32_t flag;
		const char *name;
	} names[] = {
		{RPC_READ_ONLY, "read_only"}, {RPC_STARTUP, "startup"}, {RPC_CONFIG, "config"}, {RPC_CHANGE, "change"}};
	json_t *list = json_array();

	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (flags & names[i].flag)
			(void)json_array_append_new(list, json_string(names[i].name));
	}
	return list;
}

static json_t *
discover_method(const struct rpc_method *method)
{
	unsigned n_params = params_count(method);
	const struct rpc_param *kind = params_kind(method->params, n_params);
	json_t *out = json_object(), *params = json_array();
	bool is_change = method->flags & RPC_CHANGE;

	for (unsigned i = 0; i < n_params; i++) {
		if (!is_change || method->params[i].fixed == NULL)
			(void)json_array_append_new(params, discover_param(&method->params[i], kind, !is_change));
	}
	set(out, "method", json_string(method->name));
	set(out, "help", json_string(method->help));
	set(out, "result", json_string(method->result != NULL ? method->result : "true"));
	set(out, "flags", discover_flags(method->flags));
	set(out, "params", params);
	return out;
}

json_t *
rpc_discover(const struct rpc_api *api)
{
	json_t *out = json_array();

	for (const struct rpc_noun *noun = api->nouns; noun->methods != NULL; noun++) {
		for (const struct rpc_method *m = noun->methods; m->name != NULL; m++)
			(void)json_array_append_new(out, discover_method(m));
	}
	return out;
}
