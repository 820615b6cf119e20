// QEMU is recognised by the file that the process runs, or by its first argument where that is
// hidden. Its name begins with qemu-system- or is qemu-kvm or kvm. Option texts are comma lists
// where a doubled comma is one.
#include "qemu.h"

#include "sysfile.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CMDLINE_SIZE (1u << 20) // longer ones are read up to here

// The next piece of a comma list, cut to size; false at the end.
static bool
next_piece(const char **cursor, char *buf, size_t size)
{
	const char *at = *cursor;
	size_t n = 0;

	if (!at)
		return false;
	for (; *at && (at[0] != ',' || at[1] == ','); at++) {
		at += at[0] == ',';
		if (n + 1 < size)
			buf[n++] = *at;
	}
	buf[n] = '\0';
	*cursor = *at ? at + 1 : NULL;
	return true;
}

static bool
is_on(const char *piece, const char *key)
{
	size_t len = strlen(key);

	return !strncmp(piece, key, len) && (!strcmp(piece + len, "=on") || !strcmp(piece + len, "=yes"));
}

static void
take_accel(const char *name, struct qemu_options *o)
{
	char buf[64];

	// -machine accel=kvm:tcg
	while (*name) {
		size_t len = strcspn(name, ":");

		(void)memcpy(buf, name, len < sizeof(buf) ? len : sizeof(buf) - 1);
		buf[len < sizeof(buf) ? len : sizeof(buf) - 1] = '\0';
		o->asks_kvm |= !strcmp(buf, "kvm");
		o->asks_tcg |= !strcmp(buf, "tcg");
		name += len + (name[len] == ':');
	}
}

static void
take_piece(const char *option, const char *piece, bool is_first, struct qemu_options *o)
{
	if (!strcmp(option, "name")) {
		const char *name = !strncmp(piece, "guest=", 6) ? piece + 6 :
			is_first && !strchr(piece, '=')		? piece :
								  NULL;

		if (name) {
			size_t len = strnlen(name, sizeof(o->name) - 1);

			memcpy(o->name, name, len);
			o->name[len] = '\0';
			sysfile_make_printable(o->name);
		}
	} else if (!strcmp(option, "accel")) {
		if (is_first)
			take_accel(!strncmp(piece, "accel=", 6) ? piece + 6 : piece, o);
	} else if (!strcmp(option, "machine") || !strcmp(option, "M")) {
		if (!strncmp(piece, "accel=", 6))
			take_accel(piece + 6, o);
		o->mem_merge_off |= !strcmp(piece, "mem-merge=off") || !strcmp(piece, "mem-merge=no");
	} else if (!strcmp(option, "overcommit")) {
		o->cpu_pm |= is_on(piece, "cpu-pm");
		o->mem_lock |= is_on(piece, "mem-lock") || !strcmp(piece, "mem-lock=on-fault");
	} else if (!strcmp(option, "cpu")) {
		o->hint_dedicated |= is_on(piece, "kvm-hint-dedicated") || !strcmp(piece, "+kvm-hint-dedicated");
		o->poll_control |= is_on(piece, "kvm-poll-control") || !strcmp(piece, "+kvm-poll-control");
	}
}

static void
take_option(const char *option, const char *value, struct qemu_options *o)
{
	const char *cursor = value;
	char piece[QEMU_NAME_SIZE + 16];

	for (bool is_first = true; next_piece(&cursor, piece, sizeof(piece)); is_first = false)
		take_piece(option, piece, is_first, o);
}

void
qemu_parse_options(const char *cmdline, size_t len, struct qemu_options *ret_options)
{
	struct qemu_options o = {0};
	char option[32] = "", *value;

	for (size_t at = 0; at < len;) {
		size_t n = strnlen(cmdline + at, len - at);
		const char *arg = cmdline + at;

		if (arg[0] == '-' && n < sizeof(option)) {
			memcpy(option, arg + 1 + (n > 1 && arg[1] == '-'), n - 1 - (n > 1 && arg[1] == '-'));
			option[n - 1 - (n > 1 && arg[1] == '-')] = '\0';
			o.asks_kvm |= !strcmp(option, "enable-kvm");
		} else if (option[0]) {
			value = strndup(arg, n);
			if (value)
				take_option(option, value, &o);
			free(value);
			option[0] = '\0';
		}
		at += n + 1;
	}
	*ret_options = o;
}

static bool
is_qemu_file(const char *path)
{
	const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
	size_t len = strcspn(file, " "); // "(deleted)" after an upgrade

	return !strncmp(file, "qemu-system-", 12) || (len == 8 && !strncmp(file, "qemu-kvm", 8)) ||
		(len == 3 && !strncmp(file, "kvm", 3));
}

int
qemu_read(const char *root, int pid, struct qemu_options *ret_options)
{
	char exe[SYSFILE_PATH_SIZE], *cmdline = malloc(CMDLINE_SIZE);
	ssize_t n;
	int rc = 0;

	if (!cmdline)
		return -ENOMEM;
	n = sysfile_read(root, cmdline, CMDLINE_SIZE, "/proc/%d/cmdline", pid);
	if (n < 0)
		rc = n == -ENOENT ? -ESRCH : (int)n;
	else if (!n) // kernel threads, and what has ended
		rc = -EXDEV;
	else if (!is_qemu_file(sysfile_link(root, exe, sizeof(exe), "/proc/%d/exe", pid) ? cmdline : exe))
		rc = -EXDEV;
	else
		qemu_parse_options(cmdline, (size_t)n, ret_options);
	free(cmdline);
	return rc;
}

static int
by_pid(const void *a, const void *b)
{
	const struct qemu_process *p = a, *q = b;

	return (p->pid > q->pid) - (p->pid < q->pid);
}

int
qemu_list(const char *root, struct qemu_process *list, unsigned max, int *ret_irqbalance_pid)
{
	char path[SYSFILE_PATH_SIZE], comm[32];
	struct dirent *entry;
	unsigned n = 0;
	DIR *dir;

	if ((size_t)snprintf(path, sizeof(path), "%s/proc", root) >= sizeof(path))
		return -ENAMETOOLONG;
	dir = opendir(path);
	if (!dir)
		return -errno;
	*ret_irqbalance_pid = 0;
	while ((entry = readdir(dir))) {
		struct qemu_options options;
		int pid = (int)strtol(entry->d_name, NULL, 10);

		if (pid <= 0)
			continue;
		if (!sysfile_line(root, comm, sizeof(comm), "/proc/%d/comm", pid) && !strcmp(comm, "irqbalance"))
			*ret_irqbalance_pid = pid;
		if (n == max || qemu_read(root, pid, &options))
			continue;
		list[n] = (struct qemu_process){.pid = pid};
		memcpy(list[n++].name, options.name, sizeof(options.name));
	}
	closedir(dir);
	qsort(list, n, sizeof(*list), by_pid);
	return (int)n;
}
