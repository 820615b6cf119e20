// The subcommands of rtvs-vni, and how each reads its command line.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum command_exit {
	COMMAND_OK,
	COMMAND_REFUSED,
	COMMAND_USAGE,
};

// argv[0] is the subcommand's name. Returns enum command_exit.
typedef int (*command_fn)(int argc, char **argv);

struct command {
	const char *name;
	command_fn run;
	const char *summary, *help;
};

extern const struct command command_bench, command_create, command_join, command_list, command_watch, command_reap;

#define COMMAND_HELP_OPTION {"help", no_argument, NULL, 'h'}

// Says what is wrong on stderr. Returns COMMAND_USAGE, COMMAND_REFUSED.
int command_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
int command_refused(const char *text);
int command_help(const struct command *command);
// What getopt_long with ":..." refused: c is its answer.
int command_bad_option(int c, char **argv);

// The value of an option. False: was said; the caller returns COMMAND_USAGE.
bool command_number(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *ret_value);
bool command_size(const char *option, const char *text, uint64_t *ret_bytes); // 64M, 64MiB, 2G

// FILE, or with --ivshmem what a PCI address, if any, stands for. The one argument that is left. COMMAND_OK, or what was said.
int command_path(int argc, char **argv, int first, bool is_ivshmem, const char **ret_path);
