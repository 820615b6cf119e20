// Brings a model, and the datapath behind it, to the state of another one.
#pragma once

#include "model.h"

struct plan_result {
	unsigned n_changes;
	const char *noun; // of the step that failed: "port", "bridge", "mac", "system"
	char name[RTVS_NAME_SIZE];
};

// All or nothing: after a failure the model is as it was before. Objects that are the same in both
// are not touched, so their guests notice nothing.
int plan_apply(struct model *model, const struct model *target, struct plan_result *ret_result, char err[DP_ERR_SIZE]);

// noun and name as in a plan_result. text says why the step was refused.
typedef void plan_refused_fn(void *arg, const char *noun, const char *name, const char *text);
// From an empty model as far as it goes: a step that is refused is told, and the others are made.
void plan_follow(struct model *model, const struct model *target, plan_refused_fn *refused, void *arg);
