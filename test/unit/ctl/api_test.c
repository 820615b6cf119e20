// The table of methods: complete, and readable by all that is derived from it.
#include "ctl_fixture.h"

#include <string.h>

static void
check_param(const struct rpc_method *m, const struct rpc_param *p)
{
	if (!p->name || !p->help || !p->help[0])
		fail_msg("%s: a parameter has no name or no help", m->name);
	if (p->type == RPC_ENUM && !p->names)
		fail_msg("%s %s: no names", m->name, p->name);
	if (p->offset + p->size > m->params_size)
		fail_msg("%s %s: outside of its struct", m->name, p->name);
	if (p->is_key && p != m->params)
		fail_msg("%s %s: the key is not the first parameter", m->name, p->name);
}

static void
every_method_is_complete(void **state)
{
	const struct rpc_api *api = ctl_api();

	(void)state;
	for (const struct rpc_noun *t = api->nouns; t->methods; t++) {
		for (const struct rpc_method *m = t->methods; m->name; m++) {
			if (!m->handler || !m->help || !m->help[0] || !m->result || !m->result[0])
				fail_msg("%s: handler, help or result is missing", m->name);
			assert_non_null(strchr(m->name, '.'));
			assert_true(m->n_params <= RPC_MAX_PARAMS);
			for (unsigned i = 0; i < m->n_params; i++)
				check_param(m, &m->params[i]);
			assert_ptr_equal(rpc_find(api, m->name, strlen(m->name)), m);
		}
	}
}

static void
every_default_decodes(void **state)
{
	static char buf[UINT16_MAX];
	struct rpc_error err;
	uint64_t present;

	(void)state;
	for (const struct rpc_noun *t = ctl_api()->nouns; t->methods; t++) {
		for (const struct rpc_method *m = t->methods; m->name; m++) {
			json_t *in = json_object();
			assert_true(m->params_size <= sizeof(buf));
			for (unsigned i = 0; i < m->n_params; i++)
				if (m->params[i].is_required &&
					(m->params[i].type == RPC_NAME || m->params[i].type == RPC_STR))
					(void)json_object_set_new(in, m->params[i].name, json_string("x"));
				else if (m->params[i].is_required && m->params[i].type == RPC_MAC)
					(void)json_object_set_new(
						in, m->params[i].name, json_string("52:54:00:00:00:01"));
				else if (m->params[i].is_required && m->params[i].type == RPC_CALLS)
					(void)json_object_set_new(in, m->params[i].name, json_array());
				else if (m->params[i].is_required && m->params[i].type == RPC_ENUM)
					(void)json_object_set_new(
						in, m->params[i].name, json_string(m->params[i].names[0]));
			memset(buf, 0, sizeof(buf));
			err = (struct rpc_error){0};
			if (rpc_decode(m->params, m->n_params, in, !(m->flags & RPC_CHANGE), buf, &present, &err) < 0 &&
				!(m->flags & RPC_CHANGE))
				fail_msg("%s: %s", m->name, err.message);
			json_decref(in);
		}
	}
}

// A monitor must not be able to change anything, nor to have files read (config.check: key_file).
static void
read_only_methods_are_those_that_show(void **state)
{
	static const char *const verbs[] = {"list", "show", "info", "get", "drops", "dump", "check", "discover",
		"subscribe", "unsubscribe", "stalls", "remote", "qemu"};

	(void)state;
	for (const struct rpc_noun *t = ctl_api()->nouns; t->methods; t++) {
		for (const struct rpc_method *m = t->methods; m->name; m++) {
			bool is_showing = false;
			for (unsigned i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
				is_showing |= strcmp(strchr(m->name, '.') + 1, verbs[i]) == 0;
			is_showing &= strcmp(m->name, "config.check") != 0;
			if (is_showing != !!(m->flags & RPC_READ_ONLY))
				fail_msg("%s: RPC_READ_ONLY is wrong", m->name);
		}
	}
}

static void
discover_tells_all(void **state)
{
	struct rpc_error err;
	json_t *all = fixture_call(*state, "rpc.discover", NULL, &err);
	size_t n = 0;

	for (const struct rpc_noun *t = ctl_api()->nouns; t->methods; t++)
		for (const struct rpc_method *m = t->methods; m->name; m++)
			n++;
	assert_int_equal(json_array_size(all), n);
	json_decref(all);
}

// bridge.add and bridge.set share their parameters; what is not given stays in the second.
static void
change_shows_no_default(void **state)
{
	struct rpc_error err;
	json_t *all = fixture_call(*state, "rpc.discover", NULL, &err), *method, *param;
	size_t i, j, n_add = 0;

	json_array_foreach (all, i, method) {
		const char *name = json_string_value(json_object_get(method, "method"));

		json_array_foreach (json_object_get(method, "params"), j, param) {
			n_add += !strcmp(name, "bridge.add") && json_object_get(param, "default");
			if (!strcmp(name, "bridge.set"))
				assert_null(json_object_get(param, "default"));
		}
	}
	assert_true(n_add > 0);
	json_decref(all);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_method_is_complete),
		cmocka_unit_test(every_default_decodes),
		cmocka_unit_test(read_only_methods_are_those_that_show),
		cmocka_unit_test_setup_teardown(discover_tells_all, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(change_shows_no_default, fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
