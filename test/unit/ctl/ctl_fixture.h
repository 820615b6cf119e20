// A control plane over the fake datapath, in a directory of its own, and calls on it.
#pragma once

#include "../unit.h"
#include "ctl.h"
#include "fake_dp.h"

#include <jansson.h>

struct fixture {
	char dir[64], socket[RTVS_PATH_SIZE], monitor[RTVS_PATH_SIZE], config[RTVS_PATH_SIZE];
	struct ctl_params params;
	struct ctl *ctl;
};

// Neither file nor metrics.
int fixture_setup(void **state);
int fixture_teardown(void **state);
// The directory only; the test calls ctl_create itself.
int fixture_setup_stopped(void **state);
void fixture_write(const char *path, const char *text);
// One call on a session of its own. params as JSON text, NULL: none. The result; NULL when refused,
// then *ret_err.
json_t *fixture_call(struct fixture *f, const char *method, const char *params, struct rpc_error *ret_err);
// The call must work; the result is dropped.
void fixture_ok(struct fixture *f, const char *method, const char *params);
// The call must be refused, with the text in its message.
void fixture_refused(struct fixture *f, const char *method, const char *params, int code, const char *text);
// Turns the loop until nothing happens for 20 ms.
void fixture_turn(struct fixture *f);
