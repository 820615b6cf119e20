// The destination of a domain's move while libvirt starts it: gives it the source's memory before
// its QEMU opens a file, and lets it take the guest only when it has that memory.
#pragma once

#include "qmp.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define ARRIVAL_MAX_FILES 64u
#define ARRIVAL_ERROR_SIZE 512
#define ARRIVAL_SHORT_NAME 20u // so much of a domain's name is in the directory's

struct arrival {
	const char *dir; // where libvirt makes the directory of the domain's memory
	const char *name; // of the domain
	const char *qmp_path; // that the destination's QEMU makes
	unsigned n_files;
	char *files[ARRIVAL_MAX_FILES]; // of the source's memory
	// Called in the thread of arrival_run once the destination has the memory and the
	// capability.
	void (*ready)(void *ctx);
	void *ctx;
	atomic_bool is_over; // set by the owner: the move ended
	// Of arrival_run, for the owner after it returned.
	int fd; // inotify's
	bool is_ready;
	pid_t pid; // of the destination; 0: not known
	struct qmp *qmp; // NULL: there is no connection
	char made[PATH_MAX]; // the destination's directory; "": there is none
	char err[ARRIVAL_ERROR_SIZE]; // why it is not ready; "": no directory appeared
};

// Whether a directory's name, ID-NAME, is that of the domain, as libvirt makes it.
bool arrival_is_of(const char *directory, const char *name);
// Whether libvirt uses the domain's name unchanged, so that arrival_is_of can tell.
bool arrival_is_plain_name(const char *name);
// Watches dir from here on. -errno.
int arrival_begin(struct arrival *a);
// Returns once is_over is set, after one turn at least.
void arrival_run(struct arrival *a);
void arrival_end(struct arrival *a);
