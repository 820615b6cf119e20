// libvirt makes a directory for the memory of a domain that it starts, and QEMU a file in there.
// The file's name is a second link to the source's memory when QEMU comes to open it: the
// directory's creation is an event, and libvirt needs tens of milliseconds from there to QEMU's
// start.
//
// Nothing depends on that race being won. The destination's QEMU starts without the capability
// x-ignore-shared, and gets it over a QMP socket of its own only after its memory was found to be
// the source's files. Without the capability QEMU refuses a state that was sent with it, libvirt
// ends the destination, and the source goes on.
#include "arrival.h"

#include "process.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define POLL_MS 5
#define GREETING_MS 500
#define ANSWER_MS 10000

bool
arrival_is_plain_name(const char *name)
{
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("-_.+", *c))
			return false;
	return *name;
}

bool
arrival_is_of(const char *directory, const char *name)
{
	size_t digits = strspn(directory, "0123456789"), len = strlen(name);

	if (len > ARRIVAL_SHORT_NAME)
		len = ARRIVAL_SHORT_NAME;
	return digits && directory[digits] == '-' && strlen(directory + digits + 1) == len &&
		!strncmp(directory + digits + 1, name, len);
}

int
arrival_begin(struct arrival *a)
{
	int rc;

	a->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (a->fd < 0)
		return -errno;
	if (inotify_add_watch(a->fd, a->dir, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR) < 0) {
		rc = -errno;
		(void)close(a->fd);
		a->fd = -1;
		return rc;
	}
	return 0;
}

static const char *
base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

// *ret_path of PATH_MAX.
static bool
make_path(const struct arrival *a, unsigned i, char *ret_path)
{
	int n = snprintf(ret_path, PATH_MAX, "%.2048s/%.255s", a->made, base_of(a->files[i]));

	return n < PATH_MAX;
}

static void
link_memory(struct arrival *a, const char *directory)
{
	char path[PATH_MAX];

	if (a->made[0])
		return;
	(void)snprintf(a->made, sizeof(a->made), "%.2048s/%.255s", a->dir, directory);
	for (unsigned i = 0; i < a->n_files && !a->err[0]; i++)
		if (!make_path(a, i, path) || link(a->files[i], path))
			(void)snprintf(a->err, sizeof(a->err), "the memory's second name, in %.300s: %s", a->made,
				strerror(errno));
}

static void
read_events(struct arrival *a)
{
	_Alignas(struct inotify_event) char buf[4096];
	ssize_t n = read(a->fd, buf, sizeof(buf));

	for (ssize_t at = 0; at < n;) {
		const struct inotify_event *e = (const void *)(buf + at);

		if (e->len && e->mask & IN_ISDIR && arrival_is_of(e->name, a->name))
			link_memory(a, e->name);
		at += (ssize_t)(sizeof(*e) + e->len);
	}
}

static bool
has_memory(const struct arrival *a)
{
	const struct process p = {.pid = a->pid};

	for (unsigned i = 0; i < a->n_files; i++)
		if (!process_has_mapped(&p, a->files[i]))
			return false;
	return a->pid && a->n_files;
}

static void
admit(struct arrival *a)
{
	char err[QMP_ERROR_SIZE];

	if (qmp_open(a->qmp_path, GREETING_MS, &a->qmp, err))
		return; // it does not listen yet
	a->pid = qmp_peer(a->qmp);
	if (!has_memory(a)) {
		if (!a->err[0])
			(void)snprintf(a->err, sizeof(a->err), "the destination's memory is not the source's file");
	} else if (qmp_call(a->qmp, "migrate-set-capabilities",
			   json_pack("{s:[{s:s, s:b}]}", "capabilities", "capability", "x-ignore-shared", "state", 1),
			   ANSWER_MS, NULL, err)) {
		(void)snprintf(a->err, sizeof(a->err), "destination: %s", err);
	} else {
		a->is_ready = true;
		a->ready(a->ctx);
	}
}

void
arrival_run(struct arrival *a)
{
	struct pollfd p = {.fd = a->fd, .events = POLLIN};

	do {
		if (poll(&p, 1, a->is_ready || a->err[0] ? 100 : POLL_MS) > 0)
			read_events(a);
		if (!a->qmp && !a->err[0] && !access(a->qmp_path, F_OK))
			admit(a);
	} while (!a->is_over);
}

void
arrival_end(struct arrival *a)
{
	qmp_close(a->qmp);
	a->qmp = NULL;
	if (a->fd >= 0)
		(void)close(a->fd);
	a->fd = -1;
}
