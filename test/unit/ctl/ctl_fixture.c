// Shared by the tests of the control plane; no test of its own.
#include "ctl_fixture.h"

#include "metrics.h"
#include "rtvs/log.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int
fixture_setup_stopped(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	log_set_level(LOG_LEVEL_ERROR);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/rtvs-ctl-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->socket, sizeof(f->socket), "%s/ctl.sock", f->dir);
	(void)snprintf(f->monitor, sizeof(f->monitor), "%s/monitor.sock", f->dir);
	(void)snprintf(f->config, sizeof(f->config), "%s/config.json", f->dir);
	f->params = (struct ctl_params){.version = "1.2.3",
		.socket = f->socket,
		.monitor_socket = f->monitor,
		.system = {.idle_ns = 200000,
			.n_mbufs = 16384,
			.hugepages = true,
			.dscp_classes = DSCP_DEFAULT,
			.option_class = 0xfff5}};
	*state = f;
	return 0;
}

int
fixture_setup(void **state)
{
	struct fixture *f;
	char err[DP_ERR_SIZE];

	if (fixture_setup_stopped(state) < 0)
		return -1;
	f = *state;
	return ctl_create(&f->params, &f->ctl, err);
}

int
fixture_teardown(void **state)
{
	struct fixture *f = *state;
	const struct dirent *entry;
	char path[512];
	DIR *dir;

	ctl_destroy(f->ctl);
	dir = opendir(f->dir);
	while (dir && (entry = readdir(dir))) {
		(void)snprintf(path, sizeof(path), "%s/%s", f->dir, entry->d_name);
		(void)unlink(path);
	}
	(void)closedir(dir);
	(void)rmdir(f->dir);
	free(f);
	return 0;
}

void
fixture_write(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

json_t *
fixture_call(struct fixture *f, const char *method, const char *params, struct rpc_error *ret_err)
{
	struct rpc_session session = {.api = ctl_api(), .ctx = f->ctl, .deny_flags = RPC_STARTUP, .done = ctl_done};
	json_t *object = params ? json_loads(params, 0, NULL) : NULL;
	json_t *result = NULL;

	if (params && !object)
		fail_msg("not JSON: %s", params);
	*ret_err = (struct rpc_error){0};
	if (rpc_call(&session, method, object, &result, ret_err) < 0)
		result = NULL;
	json_decref(object);
	return result;
}

void
fixture_ok(struct fixture *f, const char *method, const char *params)
{
	struct rpc_error err;
	json_t *result = fixture_call(f, method, params, &err);

	if (!result)
		fail_msg("%s %s: %s", method, params ? params : "", err.message);
	json_decref(result);
}

void
fixture_refused(struct fixture *f, const char *method, const char *params, int code, const char *text)
{
	struct rpc_error err;
	json_t *result = fixture_call(f, method, params, &err);

	if (result)
		fail_msg("%s %s was accepted", method, params ? params : "");
	if (err.code != code || !strstr(err.message, text))
		fail_msg("%s %s: %d %s", method, params ? params : "", err.code, err.message);
	json_decref(err.data);
}

void
fixture_turn(struct fixture *f)
{
	struct timespec begin, end;

	for (unsigned i = 0; i < 10000; i++) {
		clock_gettime(CLOCK_MONOTONIC, &begin);
		if (f->ctl->metrics)
			metrics_run(f->ctl->metrics);
		(void)loop_turn(&f->ctl->loop, 20);
		clock_gettime(CLOCK_MONOTONIC, &end);
		if ((end.tv_sec - begin.tv_sec) * 1000000000 + end.tv_nsec - begin.tv_nsec >= 18000000)
			return;
	}
}
