// rtvsctl advise: the causes of a guest's fluctuating response time, and the setting against each.
#pragma once

#include "machine.h"
#include "rtvs/client.h"

#include <stdbool.h>

#define ADVISE_PROBLEM_SIZE 4096

// The pid of the guest of that name, or of the QEMU process with this pid. 0; -ENOENT with a
// sentence for people in problem, which lists the existing guests.
int advise_find(const char *root, const char *guest, char problem[ADVISE_PROBLEM_SIZE], int *ret_pid);
// Examines the guest and prints. c NULL: the daemon is not reached at socket. CLI_REFUSED: no such
// guest, or it ended; with a message on stderr.
enum cli_exit advise_report(
	const struct machine_source *source, struct client *c, const char *socket, const char *guest, bool is_json);
// The same of this machine.
enum cli_exit advise_run(struct client *c, const char *socket, const char *guest, bool is_json);
