// The file becomes a dry model, whose dump is compared with the live one's: its style does not
// matter. That takes about a millisecond for 1,000 calls, so system.info, which monitors call, does
// it after changes only.
#include "saved.h"

#include "answer.h"
#include "config.h"
#include "ctl.h"

#include <errno.h>
#include <string.h>

int
saved_diff(struct ctl *ctl, json_t **ret_running, json_t **ret_file, struct rpc_error *err)
{
	char text[DP_ERR_SIZE] = "";
	struct model *target, *live = ctl->plane.live;
	json_t *calls, *file, *running;
	int rc = 0;

	if (!ctl->params.config)
		return ctl_refuse(err, -ENOENT, "the daemon was started without --config");
	calls = config_load(ctl->params.config, &rc, text);
	if (!calls)
		return ctl_refuse(err, rc, text);
	ctl->plane.live = NULL; // as at a start: what the file does not say is the command line's
	rc = config_check(ctl, calls, true, &target, err);
	ctl->plane.live = ctl->plane.model = live;
	json_decref(calls);
	if (rc < 0)
		return -1;
	file = config_dump(target);
	running = config_dump(ctl->plane.live);
	*ret_running = json_array();
	*ret_file = json_array();
	config_subtract(running, file, *ret_running);
	config_subtract(file, running, *ret_file);
	json_decref(file);
	json_decref(running);
	model_destroy(target);
	return 0;
}

static bool
is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size &&
		!memcmp(&a->st_mtim, &b->st_mtim, sizeof(a->st_mtim));
}

json_t *
saved_json(struct ctl *ctl)
{
	struct saved *saved = &ctl->saved;
	struct rpc_error err = {0};
	json_t *running = NULL, *file = NULL;
	struct stat st;

	if (!ctl->params.config || stat(ctl->params.config, &st) < 0)
		return json_null();
	if (!saved->is_known || saved->n_changes != ctl->plane.live->n_changes || !is_same_file(&saved->st, &st)) {
		saved->is_same = saved_diff(ctl, &running, &file, &err) == 0 && !json_array_size(running) &&
			!json_array_size(file);
		saved->is_known = true;
		saved->n_changes = ctl->plane.live->n_changes;
		saved->st = st;
		json_decref(err.data);
		json_decref(running);
		json_decref(file);
	}
	return json_boolean(saved->is_same);
}
