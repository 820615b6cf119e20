// The command line of rtvs-move: its subcommands, their options and their help, all from one table.
#pragma once

#include <stdbool.h>
#include <stdio.h>

#define OPTIONS_ERROR_SIZE 256
#define OPTIONS_MAX_PARALLEL 64u
#define OPTIONS_DEFAULT_URI "qemu:///system"

enum options_action {
	OPTIONS_HELP,
	OPTIONS_VERSION,
	OPTIONS_QEMU,
	OPTIONS_HOST,
	OPTIONS_LIBVIRT,
};

struct options {
	enum options_action action;
	const char *help_of; // the subcommand that help is about; NULL: all
	const char *source; // PID or QMP-SOCKET; DOMAIN
	const char *from, *target; // programs; libvirt's URIs
	const char *memory; // a directory, NULL: not given
	const char *socket; // NULL: not given
	unsigned parallel; // 1 to OPTIONS_MAX_PARALLEL
	bool is_plain, is_check, is_json;
};

// The texts are argv's own. -EINVAL: err says what is wrong, and with a number its range. Not
// reentrant, as getopt_long is not.
int options_parse(int argc, char **argv, struct options *ret_options, char err[OPTIONS_ERROR_SIZE]);
// The help of one subcommand, or of all for NULL.
void options_print_help(FILE *f, const char *command);
