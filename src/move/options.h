// The command line of rtvs-move: its subcommands, their options and their help, all from one table.
#pragma once

#include <stdbool.h>
#include <stdio.h>

#define OPTIONS_ERROR_SIZE 256

enum options_action {
	OPTIONS_HELP,
	OPTIONS_VERSION,
	OPTIONS_QEMU,
};

struct options {
	enum options_action action;
	const char *help_of; // the subcommand that help is about; NULL: all
	const char *source; // PID or QMP-SOCKET
	const char *target; // program
	const char *socket; // NULL: not given
	bool is_plain, is_check, is_json;
};

// The texts are argv's own. -EINVAL: err says what is wrong. Not
// reentrant, as getopt_long is not.
int options_parse(int argc, char **argv, struct options *ret_options, char err[OPTIONS_ERROR_SIZE]);
// The help of one subcommand, or of all for NULL.
void options_print_help(FILE *f, const char *command);
