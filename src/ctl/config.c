// The configuration file is a list of the same calls that come over the socket. Applying one runs
// it on a dry model first, so that most errors are found before anything is touched. plan.c then
// executes the difference.
// Invariant: config_dump of a model, applied to an empty one, makes an equal model.
#include "config.h"

#include "admit.h"
#include "answer.h"
#include "bridge_params.h"
#include "ctl.h"
#include "eswitch_params.h"
#include "mac_params.h"
#include "plan.h"
#include "pool_params.h"
#include "port_params.h"
#include "rtvs/log.h"
#include "rule_params.h"
#include "system_params.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// The whole file, at most CONFIG_MAX_BYTES + 1 bytes of it. NULL with errno.
static char *
read_file(const char *path, size_t *ret_len)
{
	FILE *file = fopen(path, "re");
	char *text = file ? malloc(CONFIG_MAX_BYTES + 1) : NULL;
	int saved;

	if (text)
		*ret_len = fread(text, 1, CONFIG_MAX_BYTES + 1, file);
	if (text && ferror(file)) {
		free(text);
		text = NULL;
	}
	saved = errno;
	if (file)
		(void)fclose(file);
	errno = saved;
	return text;
}

void
config_fingerprint(const char *path, char ret_id[RUNNING_LOG_ID_SIZE])
{
	unsigned char hash[crypto_generichash_BYTES_MIN];
	size_t len = 0;
	char *text = path ? read_file(path, &len) : NULL;

	_Static_assert(2 * sizeof(hash) < RUNNING_LOG_ID_SIZE, "it has room");
	(void)snprintf(ret_id, RUNNING_LOG_ID_SIZE, "%s", path ? "?" : "");
	if (text && !crypto_generichash(hash, sizeof(hash), (const unsigned char *)text, len, NULL, 0))
		(void)sodium_bin2hex(ret_id, RUNNING_LOG_ID_SIZE, hash, sizeof(hash));
	free(text);
}

json_t *
config_load(const char *path, int *ret_rc, char err[DP_ERR_SIZE])
{
	struct rpc_error error = {0};
	size_t len = 0;
	char *text = read_file(path, &len);
	json_t *root, *calls;

	*ret_rc = -EINVAL;
	if (!text) {
		*ret_rc = -errno;
		(void)snprintf(err, DP_ERR_SIZE, "%s: %s", path, strerror(-*ret_rc));
		return NULL;
	}
	root = rpc_parse(text, len, CONFIG_MAX_BYTES, &error);
	free(text);
	if (!root) {
		(void)snprintf(err, DP_ERR_SIZE, "%.100s: %.140s", path, error.message);
		json_decref(error.data);
		return NULL;
	}
	calls = json_is_object(root) && json_object_size(root) == 1 ? json_object_get(root, "calls") : root;
	if (!json_is_array(calls)) {
		(void)snprintf(err, DP_ERR_SIZE, "%.100s: must be a list of calls or {\"calls\": [...]}", path);
		calls = NULL;
	} else {
		*ret_rc = 0;
	}
	json_incref(calls);
	json_decref(root);
	return calls;
}

// Says which call it was, in the text and in the data.
static void
blame_call(struct rpc_error *err, size_t index, const char *method)
{
	char text[RPC_MAX_ERROR_TEXT];

	(void)snprintf(text, sizeof(text), "call %zu (%.40s): %.420s", index, method, err->message);
	memcpy(err->message, text, sizeof(text));
	if (!err->data)
		err->data = json_object();
	(void)json_object_set_new(err->data, "call", json_integer((json_int_t)index));
	(void)json_object_set_new(err->data, "method", json_string(method));
}

static int
check_call(struct rpc_session *session, const json_t *call, bool is_first, struct rpc_error *err)
{
	const char *method = json_string_value(json_object_get(call, "method"));
	const json_t *params = json_object_get(call, "params");
	size_t n_known = (method ? 1u : 0u) + (params ? 1u : 0u);

	if (!method || json_object_size(call) != n_known) {
		rpc_error_set(err, RPC_INVALID_PARAMS, "a call is {\"method\": NAME, \"params\": {...}}");
		return -1;
	}
	if (!is_first && strcmp(method, "system.init") == 0) {
		rpc_error_set(err, RPC_INVALID_PARAMS, "system.init must come before all other calls");
		return -1;
	}
	return rpc_call(session, method, params, NULL, err);
}

static bool
is_of_port(const char *noun)
{
	return strcmp(noun, "mac") == 0 || strcmp(noun, "rule") == 0;
}

// The call that asked for the object, for the error's index. The list's size: none did (an object
// to be removed).
static size_t
find_call(json_t *calls, const char *noun, const char *name)
{
	size_t found = json_array_size(calls), i;
	json_t *call;

	json_array_foreach (calls, i, call) {
		const char *method = json_string_value(json_object_get(call, "method"));
		const json_t *params = json_object_get(call, "params");
		const char *key = json_string_value(json_object_get(params, is_of_port(noun) ? "port" : "name"));
		if (strncmp(method, noun, strlen(noun)) == 0 && strcmp(key ? key : "", name) == 0)
			found = i;
	}
	return found;
}

// An error about an object of a list whose calls are all right one by one.
static int
refuse_object(json_t *calls, const char *noun, const char *name, int rc, const char *text, struct rpc_error *err)
{
	size_t index = find_call(calls, noun, name);

	(void)ctl_refuse(err, rc, text);
	if (index < json_array_size(calls))
		blame_call(err, index, json_string_value(json_object_get(json_array_get(calls, index), "method")));
	return -1;
}

static int
check_system(const struct dp_system_cfg *live, const struct dp_system_cfg *target, struct rpc_error *err)
{
	if (system_params_is_settable(live, target))
		return 0;
	rpc_error_errno(
		err, -EBUSY, "system.init: only idle, idle_after and dscp_classes can change while the daemon runs");
	return -1;
}

// The checks that need the target as a whole.
static int
check_target(const struct ctl *ctl, const struct model *target, json_t *calls, struct rpc_error *err)
{
	char text[DP_ERR_SIZE] = "";
	const char *name;
	int rc;

	if (ctl->plane.live && check_system(&ctl->plane.live->system, &target->system, err) < 0)
		return -1;
	rc = admit_check_all(target, NULL, &name, text);
	if (rc != -ENOSPC)
		return rc < 0 ? ctl_refuse(err, rc, "out of memory") : 0;
	// The last call that could change it, as if admission had been asked there.
	for (size_t i = json_array_size(calls); i-- > 0;) {
		const json_t *params = json_object_get(json_array_get(calls, i), "params");
		const char *of = json_string_value(json_object_get(params, "name"));
		const struct model_port *port = of ? model_port_find(target, of) : NULL;

		if (port && admit_check_all(target, port, &name, text) == -ENOSPC && strcmp(name, of) == 0)
			break;
	}
	return refuse_object(calls, "port", name, rc, text, err);
}

int
config_check(struct ctl *ctl, json_t *calls, bool replace, struct model **ret_target, struct rpc_error *err)
{
	// Values that are fixed while the daemon runs are no object that could be absent: they stay
	// unless a call changes them.
	const struct dp_system_cfg *system = ctl->plane.live ? &ctl->plane.live->system : &ctl->params.system;
	struct model *target = replace ? model_create(system) : model_clone(ctl->plane.live);
	struct rpc_session session = {.api = ctl->config.api, .ctx = ctl, .only_flags = RPC_CONFIG};
	bool is_first = true;
	size_t i;
	json_t *call;
	int rc = 0;

	if (!target) {
		rpc_error_errno(err, -ENOMEM, "out of memory");
		return -1;
	}
	target->asks = MODEL_ASKS_ADMISSION_LATER;
	ctl->plane.model = target;
	json_array_foreach (calls, i, call) {
		const char *method = json_string_value(json_object_get(call, "method"));
		rc = check_call(&session, call, is_first, err);
		if (rc < 0) {
			blame_call(err, i, method ? method : "?");
			break;
		}
		is_first = is_first && strcmp(method, "system.init") == 0;
	}
	ctl->plane.model = ctl->plane.live;
	if (rc == 0)
		rc = check_target(ctl, target, calls, err);
	if (rc < 0)
		model_destroy(target);
	else
		*ret_target = target;
	return rc;
}

int
config_install(struct ctl *ctl, const struct model *target, json_t *calls, unsigned *ret_changes, struct rpc_error *err)
{
	struct plan_result result;
	char text[DP_ERR_SIZE] = "";
	int rc;

	rc = plan_apply(ctl->plane.live, target, &result, text);
	*ret_changes = result.n_changes;
	if (rc == 0)
		return 0;
	return result.noun ? refuse_object(calls, result.noun, result.name, rc, text, err) : ctl_refuse(err, rc, text);
}

// For calls that were right once. Noun and name lead the text.
static void
tell_refused(const char *noun, const char *name, const char *text)
{
	bool is_port = strcmp(noun, "port") == 0 || is_of_port(noun);

	log_about(LOG_LEVEL_WARNING,
		LOG_ABOUT(LOG_ID_CONFIG_REFUSED,
			{is_port ? "PORT" : "BRIDGE", is_port || !strcmp(noun, "bridge") ? name : ""}),
		"kept configuration: %s %s: %s", noun, name, text);
}

struct model *
config_gather(struct ctl *ctl, const struct dp_system_cfg *system, json_t *calls, json_t *refused)
{
	struct model *target = model_create(system);
	struct rpc_session session = {.api = ctl->config.api, .ctx = ctl, .only_flags = RPC_CONFIG};
	const char *name = "";
	char noun[16], text[DP_ERR_SIZE] = "";
	size_t i;
	json_t *call;

	if (!target)
		return NULL;
	target->asks = MODEL_ASKS_ADMISSION_LATER;
	ctl->plane.model = target;
	json_array_foreach (calls, i, call) {
		const char *method = json_string_value(json_object_get(call, "method"));
		const json_t *params = json_object_get(call, "params");
		const char *of = json_string_value(json_object_get(params, "name"));
		struct rpc_error err = {0};

		if (check_call(&session, call, i == 0, &err) == 0)
			continue;
		(void)snprintf(
			noun, sizeof(noun), "%.*s", method ? (int)strcspn(method, ".") : 0, method ? method : "");
		tell_refused(noun, of ? of : "", err.message);
		json_decref(err.data);
		(void)json_array_append(refused, call);
	}
	ctl->plane.model = ctl->plane.live;
	// It was promised once: the guests keep what they have.
	if (admit_check_all(target, NULL, &name, text) == -ENOSPC)
		log_about(LOG_LEVEL_WARNING, LOG_ABOUT(LOG_ID_UNGUARANTEED, {"PORT", name}),
			"port %s: unguaranteed: %s", name, text);
	return target;
}

static void
on_refused(void *arg, const char *noun, const char *name, const char *text)
{
	(void)arg;
	tell_refused(noun, name, text);
}

void
config_follow(struct ctl *ctl, const struct model *target, json_t *refused)
{
	json_t *wanted = config_dump(target), *running;

	plan_follow(ctl->plane.live, target, on_refused, NULL);
	running = config_dump(ctl->plane.live);
	config_subtract(wanted, running, refused);
	json_decref(wanted);
	json_decref(running);
}

void
config_subtract(const json_t *list, const json_t *other, json_t *rest)
{
	json_t *set = json_object(), *call;
	size_t i;

	json_array_foreach (other, i, call) {
		char *text = json_dumps(call, JSON_COMPACT | JSON_SORT_KEYS);
		(void)json_object_set_new(set, text ? text : "", json_true());
		free(text);
	}
	json_array_foreach (list, i, call) {
		char *text = json_dumps(call, JSON_COMPACT | JSON_SORT_KEYS);
		if (!text || !json_object_get(set, text))
			(void)json_array_append(rest, call);
		free(text);
	}
	json_decref(set);
}

static void
append_call(json_t *calls, const char *method, json_t *params)
{
	(void)json_array_append_new(calls, json_pack("{s:s, s:o}", "method", method, "params", params));
}

static void
dump_ports(const struct model *m, unsigned rank, json_t *calls)
{
	for (unsigned i = 0; i < m->n_ports; i++)
		if (model_port_rank(&m->ports[i]->cfg) == rank)
			append_call(calls, "port.add", port_params_encode(&m->ports[i]->cfg));
}

json_t *
config_dump(const struct model *m)
{
	json_t *calls = json_array();

	append_call(calls, "system.init", system_params_encode(&m->system));
	if (m->log_level != LOG_LEVEL_INFO)
		append_call(calls, "log.set", json_pack("{s:s}", "level", log_level_names[m->log_level]));
	for (unsigned i = 0; i < m->n_bridges; i++)
		append_call(calls, "bridge.add", bridge_params_encode(&m->bridges[i]->cfg));
	for (unsigned i = 0; i < m->n_pools; i++)
		append_call(calls, "pool.add", pool_params_encode(m->pools[i]));
	for (unsigned rank = 0; rank < MODEL_PORT_RANKS; rank++)
		dump_ports(m, rank, calls);
	for (unsigned i = 0; i < m->n_ports; i++)
		for (unsigned k = 0; k < m->ports[i]->n_rules; k++)
			append_call(
				calls, "rule.add", rule_params_encode(m->ports[i]->cfg.name, &m->ports[i]->rules[k]));
	for (unsigned i = 0; i < m->n_eswitches; i++)
		append_call(calls, "eswitch.add", eswitch_params_encode(m->eswitches[i]));
	for (unsigned i = 0; i < m->n_bridges; i++)
		for (unsigned k = 0; k < m->bridges[i]->n_macs; k++)
			append_call(
				calls, "mac.add", mac_params_encode(m->bridges[i]->cfg.name, &m->bridges[i]->macs[k]));
	return calls;
}

// One call a line: two versions compare well.
static int
write_calls(FILE *file, json_t *calls)
{
	size_t i;
	json_t *call;

	(void)fputs("[", file);
	json_array_foreach (calls, i, call) {
		(void)fputs(i > 0 ? ",\n  " : "\n  ", file);
		if (json_dumpf(call, file, 0) < 0)
			return -ENOMEM;
	}
	(void)fputs("\n]\n", file);
	if (fflush(file) != 0 || ferror(file) || fsync(fileno(file)) < 0)
		return errno ? -errno : -EIO;
	return 0;
}

// A rename lasts through a power cut when its directory is on the disk.
static void
sync_directory(const char *path)
{
	char copy[PATH_MAX];
	int fd;

	(void)snprintf(copy, sizeof(copy), "%s", path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)fsync(fd);
	close(fd);
}

int
config_write(json_t *calls, const char *path, mode_t mode, char err[DP_ERR_SIZE])
{
	char temp[PATH_MAX];
	FILE *file = NULL;
	int rc, fd = -1;

	rc = snprintf(temp, sizeof(temp), "%s.XXXXXX", path) < (int)sizeof(temp) ? 0 : -ENAMETOOLONG;
	if (rc == 0)
		fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0) {
		rc = rc < 0 ? rc : -errno;
		goto out;
	}
	(void)fchmod(fd, mode);
	file = fdopen(fd, "w");
	rc = file ? write_calls(file, calls) : -errno;
	if (file)
		(void)fclose(file);
	else
		close(fd);
	if (rc == 0 && rename(temp, path) < 0)
		rc = -errno;
	if (rc < 0)
		(void)unlink(temp);
	else
		sync_directory(path);
out:
	if (rc < 0)
		(void)snprintf(err, DP_ERR_SIZE, "%.150s: %s", path, strerror(-rc));
	return rc;
}

int
config_save(const struct model *m, const char *path, char err[DP_ERR_SIZE])
{
	json_t *calls = config_dump(m);
	struct stat st;
	int rc = config_write(calls, path, stat(path, &st) == 0 ? st.st_mode & 0777 : 0640, err);

	json_decref(calls);
	return rc;
}
