// The subcommands of rtvs-vni, and how each reads its command line.
#pragma once

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

enum command_exit {
	COMMAND_OK,
	COMMAND_REFUSED,
	COMMAND_USAGE,
};

struct command_args {
	const char *path; // FILE, or with --ivshmem what the PCI address, if any, stands for
	bool is_json;
};

struct command {
	const char *name;
	int (*run)(const struct command_args *args); // returns enum command_exit
	const char *summary, *help;
	const char *short_options; // as getopt_long's
	const struct option *options;
	// An option of its own, and its value. False: what is wrong was said. NULL: it has none.
	bool (*parse)(int c, const char *value);
};

extern const struct command command_bench, command_create, command_join, command_list, command_watch, command_reap;

// Of more than one.
#define COMMAND_HELP {"help", no_argument, NULL, 'h'}
#define COMMAND_IVSHMEM {"ivshmem", no_argument, NULL, 'i'}
#define COMMAND_JSON {"json", no_argument, NULL, 'j'}

// argv[0] is the subcommand's name. Returns enum command_exit.
int command_run(const struct command *command, int argc, char **argv);

// Says what is wrong on stderr. Returns COMMAND_USAGE, COMMAND_REFUSED.
int command_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
int command_refused(const char *text);
int command_help(const struct command *command);

// The value of an option. False: was said; the caller returns COMMAND_USAGE.
bool command_number(const char *option, const char *text, uint32_t min, uint32_t max, uint32_t *ret_value);
bool command_size(const char *option, const char *text, uint64_t *ret_bytes); // 64M, 64MiB, 2G
