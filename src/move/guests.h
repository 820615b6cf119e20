// Which QEMU processes of this host run in one program.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define GUESTS_MAX 4096u
#define GUESTS_NAME_SIZE 128
#define GUESTS_REASON_SIZE 192

struct guest {
	pid_t pid;
	uint64_t start_ticks; // of the process: distinguishes it from a later one with the number
	char name[GUESTS_NAME_SIZE]; // of -name, in printable UTF-8; "": it has none
	char left_out[GUESTS_REASON_SIZE]; // why it is not to be moved; "": it is
};

struct guests {
	unsigned n, size;
	struct guest *items; // in the order of their finding
};

// Appends the processes whose file is the program `from`, or was at its path before it was replaced
// or deleted, and is not the program `to`. Those that are in the list stay as they are. Processes
// that this user may not look at, or that end meanwhile, are none. -E2BIG: there are more than
// GUESTS_MAX. -ENOENT: the directory of `from` is not there. -errno of /proc.
int guests_look(struct guests *g, const char *from, const char *to);
// Appends a process that is not to be found again. It is left out without a reason being shown.
// -ESRCH: it has ended. -E2BIG.
int guests_know(struct guests *g, pid_t pid);
// Whether the process has ended.
bool guests_is_gone(const struct guest *g);
void guests_fini(struct guests *g);
