// Methods of system, log and worker; the daemon's end.
#include "ctl_fixture.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static void
info_tells_of_the_daemon(void **state)
{
	struct rpc_error err;
	json_t *info = fixture_call(*state, "system.info", NULL, &err);

	assert_string_equal(json_string_value(json_object_get(info, "version")), "1.2.3");
	assert_string_equal(json_string_value(json_object_get(json_object_get(info, "datapath"), "dpdk")), "fake");
	assert_int_equal(json_integer_value(json_object_get(json_object_get(info, "control"), "clients")), 0);
	json_decref(info);
}

static void
idle_policy_changes_at_run_time(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "system.set", "{\"idle\": \"adaptive\"}");
	assert_int_equal(f->ctl->plane.live->system.idle, DP_IDLE_ADAPTIVE);
	assert_int_equal(f->ctl->plane.live->system.idle_ns, 200000);
	fixture_ok(f, "system.set", "{\"idle_after\": \"1us\"}");
	assert_int_equal(f->ctl->plane.live->system.idle, DP_IDLE_ADAPTIVE);
	fixture_refused(f, "system.set", "{\"idle_after\": \"999ns\"}", RPC_INVALID_PARAMS, "idle_after");
	fixture_refused(f, "system.set", "{\"idle_after\": 1000000001}", RPC_INVALID_PARAMS, "idle_after");
	fixture_refused(f, "system.init", NULL, RPC_STATE_ERROR, "startup");
	fixture_refused(f, "system.set", "{\"worker_priority\": \"nice\"}", RPC_INVALID_PARAMS, "worker_priority");
	fixture_refused(f, "log.set", "{\"level\": \"loud\"}", RPC_INVALID_PARAMS, "level");
}

static void
deadline_classes_change_at_run_time(void **state)
{
	struct fixture *f = *state;
	const char *classes = f->ctl->plane.live->system.dscp_classes;

	assert_string_equal(classes, "1ms:46,10ms:34,50ms:26,200ms:18,1h:10");
	fixture_ok(f, "system.set", "{\"dscp_classes\": \"500us:EF,1000us:af41,2ms:7\"}");
	assert_string_equal(classes, "500us:46,1ms:34,2ms:7");
	fixture_refused(f, "system.set", "{\"dscp_classes\": \"1ms:ef,2ms:perhaps\"}", RPC_INVALID_PARAMS,
		"dscp_classes: entry 2");
	fixture_refused(f, "system.set", "{\"dscp_classes\": \"2ms:ef,1ms:1\"}", RPC_INVALID_PARAMS, "longer than");
	assert_string_equal(classes, "500us:46,1ms:34,2ms:7");
	fixture_ok(f, "system.set", "{\"idle\": \"adaptive\"}"); // the rest stays
	assert_string_equal(classes, "500us:46,1ms:34,2ms:7");
	fixture_ok(f, "system.set", "{\"dscp_classes\": \"\"}");
	assert_string_equal(classes, "");
}

static void
workers_tell_of_their_stalls(void **state)
{
	struct rpc_error err;
	json_t *list;
	const json_t *stalls;

	hist_add(&fake_dp_worker(1)->stalls, 50000);
	list = fixture_call(*state, "worker.list", NULL, &err);
	assert_int_equal(json_array_size(list), 2);
	stalls = json_object_get(json_array_get(list, 1), "stalls");
	assert_int_equal(json_integer_value(json_object_get(stalls, "count")), 1);
	assert_int_equal(json_integer_value(json_object_get(stalls, "max_ns")), 50000);
	assert_int_equal(json_array_size(json_object_get(stalls, "buckets")), 1);
	json_decref(list);
}

static void
a_worker_lists_its_last_stalls(void **state)
{
	struct rpc_error err;
	json_t *all = fixture_call(*state, "worker.stalls", NULL, &err), *rest;
	const json_t *list = json_object_get(all, "stalls");
	int64_t first_ns = json_integer_value(json_object_get(json_array_get(list, 0), "time_ns"));
	int64_t last_ns = json_integer_value(json_object_get(json_array_get(list, 2), "time_ns"));

	assert_int_equal(json_array_size(list), 3);
	assert_int_equal(last_ns - first_ns, 2);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 2), "stall_ns")), 60002);
	assert_int_equal(json_integer_value(json_object_get(all, "next")), 10);
	rest = fixture_call(*state, "worker.stalls", "{\"pos\": 9}", &err);
	assert_int_equal(json_array_size(json_object_get(rest, "stalls")), 1);
	json_decref(rest);
	rest = fixture_call(*state, "worker.stalls", "{\"pos\": 10}", &err);
	assert_int_equal(json_array_size(json_object_get(rest, "stalls")), 0);
	assert_int_equal(json_integer_value(json_object_get(rest, "next")), 10);
	json_decref(rest);
	json_decref(all);
	fixture_refused(*state, "worker.stalls", "{\"worker\": 2}", RPC_INVALID_PARAMS, "worker: must be 0 to 1");
}

static void
a_signal_stops_the_loop(void **state)
{
	struct fixture *f = *state;

	(void)raise(SIGTERM);
	assert_int_equal(ctl_run(f->ctl), 0);
}

static void
a_refused_datapath_fails_the_start(void **state)
{
	struct fixture *f = *state;
	char err[DP_ERR_SIZE];

	(void)snprintf(f->params.system.eal, sizeof(f->params.system.eal), "nonsense");
	assert_int_equal(ctl_create(&f->params, &f->ctl, err), -EINVAL);
	assert_non_null(strstr(err, "eal"));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(info_tells_of_the_daemon),
		T(idle_policy_changes_at_run_time),
		T(deadline_classes_change_at_run_time),
		T(workers_tell_of_their_stalls),
		T(a_worker_lists_its_last_stalls),
		T(a_signal_stops_the_loop),
		cmocka_unit_test_setup_teardown(
			a_refused_datapath_fails_the_start, fixture_setup_stopped, fixture_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
