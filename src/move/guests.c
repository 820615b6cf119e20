// Programs are compared as files, by device and inode. After an upgrade the processes run a file
// without a name, of which /proc/PID/exe keeps the path, with " (deleted)" behind it. A process may
// end at any moment: what cannot be read of one is no error.
#include "guests.h"

#include "cmdline.h"
#include "process.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DELETED " (deleted)"

// A program's path as the kernel writes it, and its file if there is one.
struct program {
	char path[PATH_MAX + NAME_MAX + 2];
	bool is_there;
	struct stat st;
};

static int
read_program(const char *path, struct program *ret_program)
{
	struct program p = {.is_there = !stat(path, &p.st)};
	const char *name = strrchr(path, '/');
	char *dir = NULL, *full = realpath(path, NULL);

	if (!full) {
		// Only its directory may be there.
		name = name ? name + 1 : path;
		full = strndup(path, (size_t)(name - path));
		dir = full ? realpath(*full ? full : ".", NULL) : NULL;
		free(full);
		if (!dir)
			return -ENOENT;
		snprintf(p.path, sizeof(p.path), "%s/%.*s", strcmp(dir, "/") != 0 ? dir : "", NAME_MAX, name);
		free(dir);
	} else {
		snprintf(p.path, sizeof(p.path), "%s", full);
		free(full);
	}
	*ret_program = p;
	return 0;
}

static bool
is_file(const struct program *p, const struct stat *st)
{
	return p->is_there && p->st.st_dev == st->st_dev && p->st.st_ino == st->st_ino;
}

static bool
is_run_by(pid_t pid, const struct program *from, const struct program *to)
{
	char exe[64], path[PATH_MAX + sizeof(DELETED)];
	struct stat st;
	ssize_t len;

	snprintf(exe, sizeof(exe), "/proc/%d/exe", (int)pid);
	if (stat(exe, &st) || is_file(to, &st))
		return false;
	if (is_file(from, &st))
		return true;
	len = readlink(exe, path, sizeof(path) - 1) - (ssize_t)strlen(DELETED);
	return len > 0 && !strncmp(path + len, DELETED, strlen(DELETED)) && (size_t)len == strlen(from->path) &&
		!memcmp(path, from->path, (size_t)len);
}

// ---- what is known of a process

// The parent, and the time of the start.
static int
read_stat(pid_t pid, pid_t *ret_parent, uint64_t *ret_start_ticks)
{
	char path[64], line[1024], *at;
	unsigned long long start = 0;
	FILE *f;
	int n = 0, parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return -ESRCH;
	// proc_pid_stat(5): fields 4 and 22. The name may have spaces and parentheses.
	at = fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
	if (at)
		n = sscanf(at, ") %*c %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
			&parent, &start);
	fclose(f);
	if (n != 2)
		return -ESRCH;
	*ret_parent = parent;
	*ret_start_ticks = start;
	return 0;
}

// What may stand in a line of text and in JSON.
static void
clean(char *text)
{
	json_t *probe = json_string(text);

	for (char *at = text; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f || (!probe && (unsigned char)*at > 0x7f))
			*at = '?';
	json_decref(probe);
}

static void
take_name(const struct cmdline *c, char *ret_name)
{
	const struct cmdline_option *option;
	char value[CMDLINE_VALUE_SIZE];
	unsigned cursor = 0;

	while ((option = cmdline_next(c, "name", &cursor)))
		if (cmdline_get(option, "guest", value))
			snprintf(ret_name, GUESTS_NAME_SIZE, "%.*s", GUESTS_NAME_SIZE - 1, value);
	clean(ret_name);
}

// Whether another rtvs-move made the process, and has not ended.
static bool
is_destination(const struct cmdline *c, pid_t parent)
{
	char link[64], path[PATH_MAX + 1], *name;
	unsigned cursor = 0;
	ssize_t len;

	if (!cmdline_next(c, "incoming", &cursor))
		return false; // moved once, it has the option for ever
	snprintf(link, sizeof(link), "/proc/%d/exe", (int)parent);
	len = readlink(link, path, sizeof(path) - 1);
	path[len > 0 ? len : 0] = '\0';
	name = strrchr(path, '/');
	return name && (!strcmp(name, "/rtvs-move") || !strcmp(name, "/rtvs-move" DELETED));
}

static bool
has_our_numbers(pid_t pid)
{
	struct stat st, own;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)pid);
	return !stat(path, &st) && !stat("/proc/self/ns/pid", &own) && st.st_dev == own.st_dev &&
		st.st_ino == own.st_ino;
}

// False: it has no words yet, as exec gives a process its file first. The next look finds it.
static bool
describe(struct guest *g, pid_t parent)
{
	char *words = NULL, err[CMDLINE_ERROR_SIZE];
	struct cmdline *c = NULL;
	size_t len = 1; // what cannot be read is there

	if (!process_read_words(g->pid, &words, &len) && len && !cmdline_parse(words, len, &c, err)) {
		take_name(c, g->name);
		if (is_destination(c, parent))
			snprintf(g->left_out, sizeof(g->left_out),
				"it is the destination of a move that goes on (process %d)", (int)parent);
	}
	if (!has_our_numbers(g->pid))
		snprintf(g->left_out, sizeof(g->left_out),
			"it has another pid namespace: start rtvs-move there (nsenter)");
	cmdline_destroy(c);
	free(words);
	return len;
}

// ---- the list

static int
append(struct guests *g, const struct guest *guest)
{
	if (g->n == GUESTS_MAX)
		return -E2BIG;
	if (g->n == g->size) {
		unsigned size = g->size ? 2 * g->size : 16;
		struct guest *items = reallocarray(g->items, size, sizeof(*items));

		if (!items)
			return -ENOMEM;
		g->items = items;
		g->size = size;
	}
	g->items[g->n++] = *guest;
	return 0;
}

static bool
is_known(const struct guests *g, const struct guest *guest)
{
	for (unsigned i = 0; i < g->n; i++)
		if (g->items[i].pid == guest->pid && g->items[i].start_ticks == guest->start_ticks)
			return true;
	return false;
}

static int
look_at(struct guests *g, pid_t pid, const struct program *from, const struct program *to)
{
	struct guest guest = {.pid = pid};
	pid_t parent;

	if (!is_run_by(pid, from, to) || read_stat(pid, &parent, &guest.start_ticks) || is_known(g, &guest))
		return 0;
	// What was read may be half of a process that ended meanwhile.
	return !describe(&guest, parent) || guests_is_gone(&guest) ? 0 : append(g, &guest);
}

int
guests_look(struct guests *g, const char *from, const char *to)
{
	struct program program, other;
	const struct dirent *entry;
	int rc = read_program(from, &program);
	DIR *dir;

	if (!rc)
		rc = read_program(to, &other);
	if (rc)
		return rc;
	dir = opendir("/proc");
	if (!dir)
		return -errno;
	while (!rc && (entry = readdir(dir))) {
		long pid = strtol(entry->d_name, NULL, 10);

		if (pid > 0)
			rc = look_at(g, (pid_t)pid, &program, &other);
	}
	(void)closedir(dir);
	return rc;
}

int
guests_know(struct guests *g, pid_t pid)
{
	struct guest guest = {.pid = pid};
	pid_t parent;
	int rc = read_stat(pid, &parent, &guest.start_ticks);

	return rc || is_known(g, &guest) ? rc : append(g, &guest);
}

bool
guests_is_gone(const struct guest *g)
{
	uint64_t start_ticks;
	char exe[64], byte;
	pid_t parent;

	// A zombie has a number, and no program any more.
	snprintf(exe, sizeof(exe), "/proc/%d/exe", (int)g->pid);
	return readlink(exe, &byte, 1) < 0 || read_stat(g->pid, &parent, &start_ticks) || start_ticks != g->start_ticks;
}

void
guests_fini(struct guests *g)
{
	free(g->items);
	*g = (struct guests){0};
}
