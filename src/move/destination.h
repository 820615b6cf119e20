// The arguments of the process that a guest moves to: those of the running one, except for what two
// processes cannot have at a time.
#pragma once

#include "cmdline.h"
#include "plan.h"

// Of paths that have another name until the source is gone; the second after a move with the first,
// because a QEMU removes at its end what has the path of its own arguments.
#define DESTINATION_SUFFIX ".rtvs-move"
#define DESTINATION_OTHER_SUFFIX ".rtvs-move2"
#define DESTINATION_MAX_RENAMES 64u

// A path that the destination has, and the one that it gets when the source is gone.
struct destination_rename {
	char *from, *to;
};

struct destination {
	unsigned n_words, n_renames;
	char **words; // with a NULL behind the last
	struct destination_rename renames[DESTINATION_MAX_RENAMES];
	char *qmp; // path of its monitor; one of the words' own
};

struct destination_options {
	const char *program;
	const char *machine; // the type with its version
	enum plan_way way;
	const char *main_socket, *cpr_socket; // absolute paths for the migration
	const char *qmp; // the source's monitor that is in use, without a suffix; NULL: none
};

// The path that a socket or file of this argument really has: without the suffix of an earlier
// move. Allocated.
char *destination_true_path(const char *path);
// -ENOMEM; -E2BIG: more sockets and files than DESTINATION_MAX_RENAMES.
int destination_create(
	const struct cmdline *c, const struct destination_options *options, struct destination **ret_destination);
void destination_destroy(struct destination *d); // NULL is accepted
