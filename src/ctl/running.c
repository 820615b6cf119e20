// rtvs/running_log.h has the file's text, config.c applies it. A new file is written beside the old
// one and takes its name when it is complete. There is no fsync: the file is for the next process,
// and a machine that starts again does not use it.
#include "running.h"

#include "config.h"
#include "plane.h"
#include "system_params.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define NOT_OWN (-EUCLEAN) // an error that no call here has

static const char *const source_names[] = {"empty", "saved", "kept"};

static void
read_boot_id(char id[RUNNING_LOG_ID_SIZE])
{
	FILE *file = fopen(BOOT_ID, "re");

	if (!file || !fgets(id, RUNNING_LOG_ID_SIZE, file))
		id[0] = '\0';
	if (file)
		(void)fclose(file);
	id[strcspn(id, "\n")] = '\0';
}

void
running_init(struct running *r, const struct plane *plane, const char *socket)
{
	*r = (struct running){.plane = plane, .fd = -1};
	(void)snprintf(r->path, sizeof(r->path), "%s.running", socket);
	read_boot_id(r->boot);
}

// A file that somebody else could have written is neither read nor replaced: NOT_OWN.
static int
check_own(const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_uid == geteuid() && !(st->st_mode & 077) ? 0 : NOT_OWN;
}

static const char *
reason(int rc)
{
	return rc == NOT_OWN ? "not a file of this daemon's alone; remove it" : strerror(-rc);
}

static int
open_own(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), rc;
	struct stat st;

	if (fd < 0)
		return errno == ELOOP ? NOT_OWN : -errno;
	rc = fstat(fd, &st) ? -errno : check_own(&st);
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

static int
write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

// One line more in the buffer of text. 0 or -ENOMEM.
static int
add_line(FILE *text, const json_t *value, uint64_t *inout_sum)
{
	size_t len;
	char *line = value ? running_log_line(value, inout_sum, &len) : NULL;
	int rc = line && fwrite(line, 1, len, text) == len ? 0 : -ENOMEM;

	free(line);
	return rc;
}

// Values of the system that were changed while the daemon ran; the others are those of the command
// line and of the saved configuration at each start.
static json_t *
system_changes(const struct running *r)
{
	const struct dp_system_cfg *system = &r->plane->live->system;
	json_t *object = json_object();

	for (unsigned i = 0; i < SYSTEM_PARAMS_N_SET; i++)
		if (!rpc_is_same(&system_params_set[i], 1, system, &r->started))
			(void)json_object_set_new(
				object, system_params_set[i].name, rpc_encode_value(&system_params_set[i], system));
	return object;
}

// As config_dump, without what is fixed.
static json_t *
dump(const struct running *r)
{
	json_t *calls = config_dump(r->plane->live), *changes = system_changes(r);

	(void)json_array_remove(calls, 0); // system.init
	if (json_object_size(changes) > 0)
		(void)json_array_insert_new(
			calls, 0, json_pack("{s:s, s:O}", "method", "system.set", "params", changes));
	json_decref(changes);
	return calls;
}

// The whole text; the caller frees. 0 or -ENOMEM.
static int
make_text(const struct running *r, char **ret_text, size_t *ret_len, uint64_t *ret_sum)
{
	json_t *calls = dump(r), *system = system_params_encode(&r->started), *call;
	json_t *head = running_log_head(r->boot, r->saved, system, json_array_size(calls));
	uint64_t sum = 0;
	FILE *text = open_memstream(ret_text, ret_len);
	size_t i;
	int rc = text ? add_line(text, head, &sum) : -ENOMEM;

	json_array_foreach (calls, i, call)
		if (!rc)
			rc = add_line(text, call, &sum);
	if (text && fclose(text))
		rc = -ENOMEM;
	json_decref(head);
	json_decref(system);
	json_decref(calls);
	*ret_sum = sum;
	return rc;
}

// Under a name of its own, which is free again afterwards. The descriptor or a negative errno.
static int
write_file(const char *path, const char *text, size_t len)
{
	char temp[RTVS_PATH_SIZE + 32];
	struct stat st;
	int fd, rc;

	if (!lstat(path, &st) && check_own(&st))
		return NOT_OWN;
	(void)snprintf(temp, sizeof(temp), "%s.new", path);
	(void)unlink(temp); // of a daemon that died here
	fd = open(temp, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	rc = flock(fd, LOCK_EX | LOCK_NB) ? -errno : write_all(fd, text, len);
	if (!rc && rename(temp, path))
		rc = -errno;
	if (!rc)
		return fd;
	(void)unlink(temp);
	close(fd);
	return rc;
}

// Does the path still name this file, and not another one?
static bool
is_at(int fd, const char *path)
{
	struct stat own, st;

	return !fstat(fd, &own) && !lstat(path, &st) && own.st_dev == st.st_dev && own.st_ino == st.st_ino;
}

// The file ends, whether its directory can be written or not: an empty one is none.
static void
remove_file(struct running *r)
{
	int fd = r->fd < 0 ? open_own(r->path, O_WRONLY) : r->fd;

	if (fd < 0)
		return;
	(void)!ftruncate(fd, 0);
	if (is_at(fd, r->path))
		(void)unlink(r->path);
	close(fd);
	r->fd = -1;
}

static void
fail(struct running *r, int rc)
{
	remove_file(r);
	if (!r->rc)
		log_about(LOG_LEVEL_WARNING, LOG_ABOUT(LOG_ID_NOT_KEPT, {"FILE", r->path}),
			"%s: %s: the running configuration is not kept; only what 'config save' writes outlives this "
			"daemon",
			r->path, reason(rc));
	r->rc = rc;
	r->n_failures++;
	r->n_ticks = 0;
	r->n_wait_ticks = r->n_wait_ticks ? 2 * r->n_wait_ticks : 1;
	if (r->n_wait_ticks > RUNNING_MAX_WAIT_TICKS)
		r->n_wait_ticks = RUNNING_MAX_WAIT_TICKS;
}

static void
write_anew(struct running *r)
{
	char *text = NULL;
	size_t len = 0;
	uint64_t sum;
	int rc = make_text(r, &text, &len, &sum), fd = rc ? rc : write_file(r->path, text, len);

	free(text);
	if (fd < 0) {
		fail(r, fd);
		return;
	}
	if (r->fd >= 0)
		close(r->fd);
	r->fd = fd;
	r->sum = sum;
	r->n_bytes = len;
	r->max_bytes = len + (len > RUNNING_SPARE_BYTES ? len : RUNNING_SPARE_BYTES);
	if (r->max_bytes > RUNNING_LOG_MAX_BYTES)
		r->max_bytes = RUNNING_LOG_MAX_BYTES;
	r->n_changes = r->plane->live->n_changes;
	if (r->rc)
		log_info("%s: the running configuration is kept again", r->path);
	r->rc = 0;
	r->n_wait_ticks = 0;
}

// One line at the end. A line that would make the file too long makes it anew instead.
static void
append(struct running *r, json_t *value)
{
	uint64_t sum = r->sum;
	size_t len = 0;
	char *line = value ? running_log_line(value, &sum, &len) : NULL;
	int rc = line ? 0 : -ENOMEM;

	if (!rc && r->n_bytes + len > r->max_bytes) {
		write_anew(r);
	} else {
		if (!rc)
			rc = write_all(r->fd, line, len);
		if (rc) {
			fail(r, rc);
		} else {
			r->sum = sum;
			r->n_bytes += len;
			r->n_changes = r->plane->live->n_changes;
		}
	}
	free(line);
	json_decref(value);
}

// A mark in the file of the daemon before. It may fail: there is nothing to lose.
static void
append_mark(struct running *r, const char *mark)
{
	json_t *value = json_string(mark);
	size_t len = 0;
	char *line = running_log_line(value, &r->sum, &len);

	if (line && !ftruncate(r->fd, (off_t)r->n_bytes) && pwrite(r->fd, line, len, (off_t)r->n_bytes) == (ssize_t)len)
		r->n_bytes += len;
	free(line);
	json_decref(value);
}

// The file's text, RUNNING_LOG_MAX_BYTES + 1 bytes at most; NULL: out of memory, or unreadable.
static char *
read_all(int fd, size_t *ret_len)
{
	struct stat st;
	size_t size = fstat(fd, &st) || st.st_size < 0 || (uint64_t)st.st_size > RUNNING_LOG_MAX_BYTES ?
		RUNNING_LOG_MAX_BYTES + 1u :
		(size_t)st.st_size + 1;
	char *text = malloc(size);
	ssize_t n = 1;

	*ret_len = 0;
	while (text && n > 0 && *ret_len < size) {
		n = read(fd, text + *ret_len, size - *ret_len);
		*ret_len += n > 0 ? (size_t)n : 0;
	}
	if (n >= 0)
		return text;
	free(text);
	return NULL;
}

// Why its calls are not used; NULL: they are. Those that were whole are set aside.
static const char *
examine(struct running *r, struct running_log *ret_log, enum log_level *ret_level, char err[RUNNING_LOG_ERR_SIZE])
{
	struct running_log log;
	const char *why;
	size_t len = 0;
	char *text = read_all(r->fd, &len);
	int rc = text ? running_log_parse(text, len, &log, err) : -ENOMEM;

	free(text);
	if (rc)
		return text ? err : "it cannot be read";
	why = running_log_objection(&log, r->boot, r->saved);
	if (!why) {
		// Until the saved configuration was read again, it has what that daemon knew.
		memcpy(r->saved, log.saved, sizeof(r->saved));
		r->sum = log.sum;
		r->n_bytes = log.n_bytes;
		*ret_log = log;
		return NULL;
	}
	if (log.n_starts < RUNNING_LOG_MAX_STARTS)
		*ret_level = LOG_LEVEL_INFO; // as somebody wanted it
	if (!strcmp(log.boot, r->boot))
		running_set_aside(r, *ret_level, log.calls);
	running_log_fini(&log);
	return why;
}

bool
running_load(struct running *r, const char *config, bool is_fresh, struct running_log *ret_log)
{
	char err[RUNNING_LOG_ERR_SIZE];
	struct stat st;
	enum log_level level = LOG_LEVEL_WARNING;
	const char *why = NULL;
	int fd = open_own(r->path, O_RDWR);

	config_fingerprint(config, r->saved);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB)) { // of a daemon that lives
		close(fd);
		return false;
	}
	if (fd < 0) {
		if (fd != -ENOENT)
			log_about(LOG_LEVEL_WARNING, LOG_ABOUT(NULL, {"FILE", r->path}), "%s: %s", r->path, reason(fd));
		return false;
	}
	r->fd = fd;
	if (is_fresh || fstat(fd, &st) || !st.st_size) {
		remove_file(r);
		return false;
	}
	why = examine(r, ret_log, &level, err);
	if (!why) {
		append_mark(r, RUNNING_LOG_STARTING);
		r->is_starting = true;
		return true;
	}
	log_about(level, LOG_ABOUT(NULL, {"FILE", r->path}), "%s: %s: the saved configuration is used instead", r->path,
		why);
	return false; // the file stays until this daemon serves: its start may fail
}

int
running_text(const struct running *r, char **ret_text, size_t *ret_len)
{
	uint64_t sum;

	*ret_text = NULL;
	return make_text(r, ret_text, ret_len, &sum);
}

int
running_take(
	struct running *r, const char *text, size_t len, struct running_log *ret_log, char err[RUNNING_LOG_ERR_SIZE])
{
	int rc = running_log_parse(text, len, ret_log, err);

	if (!rc)
		memcpy(r->saved, ret_log->saved, sizeof(r->saved));
	return rc;
}

void
running_set_aside(struct running *r, enum log_level level, json_t *calls)
{
	char path[sizeof(r->path) + 8], err[DP_ERR_SIZE];

	if (!json_array_size(calls))
		return;
	(void)snprintf(path, sizeof(path), "%s.unused", r->path);
	if (config_write(calls, path, 0600, err) < 0)
		log_warning("calls that are not used are lost: %s", err);
	else
		log_about(level, LOG_ABOUT(NULL, {"FILE", path}), "%s has the %zu calls that are not used", path,
			json_array_size(calls));
}

void
running_begin(struct running *r)
{
	r->is_serving = true;
	r->is_starting = false;
	write_anew(r);
}

void
running_done(struct running *r, const struct rpc_method *method, const json_t *params, int rc)
{
	if (!r->is_serving || r->fd < 0 || r->n_changes == r->plane->live->n_changes)
		return;
	if (rc == 0 && (method->flags & RPC_CONFIG))
		append(r, json_pack("{s:s, s:O*}", "method", method->name, "params", params));
	else
		write_anew(r);
}

void
running_tick(struct running *r)
{
	if (!r->is_serving)
		return;
	if (r->fd < 0) {
		if (++r->n_ticks >= r->n_wait_ticks)
			write_anew(r);
	} else if (r->n_changes != r->plane->live->n_changes || !is_at(r->fd, r->path)) {
		write_anew(r);
	}
}

void
running_note_saved(struct running *r, const char *config)
{
	config_fingerprint(config, r->saved);
	// Within a call that has changed the model, the file is written anew after it.
	if (r->is_serving && r->fd >= 0 && r->n_changes == r->plane->live->n_changes)
		append(r, running_log_saved(r->saved));
}

bool
running_knows(const struct running *r, const char *config)
{
	char present[RUNNING_LOG_ID_SIZE];

	config_fingerprint(config, present);
	return strcmp(present, r->saved) == 0;
}

void
running_end(struct running *r, bool is_forgotten)
{
	if (!r->is_serving)
		return;
	if (is_forgotten)
		remove_file(r);
	r->max_bytes = SIZE_MAX; // a new file would have no mark
	if (r->fd >= 0)
		append(r, json_string(RUNNING_LOG_ENDED));
}

void
running_fini(struct running *r)
{
	if (r->fd >= 0 && r->is_starting)
		append_mark(r, RUNNING_LOG_FAILED);
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}

json_t *
running_json(const struct running *r)
{
	return json_pack("{s:s, s:b, s:s?, s:I, s:i}", "source", source_names[r->source], "kept", r->fd >= 0, "error",
		r->rc ? reason(r->rc) : NULL, "failures", (json_int_t)r->n_failures, "refused", (int)r->n_refused);
}
