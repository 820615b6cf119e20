// rtvs-vni: the table of its subcommands. It needs only the C library, so that guests can have it
// in one file.
#include "command.h"
#include "rtvs/output.h"
#include "rtvs/segment_file.h"
#include "rtvs/text.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct command *const commands[] = {
	&command_create,
	&command_join,
	&command_list,
	&command_watch,
	&command_reap,
	&command_bench,
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct command *
find(const char *name)
{
	for (unsigned i = 0; i < N_COMMANDS; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

static int
unknown(const char *name)
{
	for (unsigned i = 0; i < N_COMMANDS; i++)
		if (text_is_near(name, commands[i]->name))
			return command_wrong("there is no command '%s'; did you mean '%s'?", name, commands[i]->name);
	return command_wrong("there is no command '%s'", name);
}

static int
help(const char *name)
{
	const struct command *command = name ? find(name) : NULL;

	if (name)
		return command ? command_help(command) : unknown(name);
	puts("usage: rtvs-vni COMMAND [OPTION...] FILE\n"
	     "\n"
	     "Ethernet over shared memory: programs, containers and virtual machines on one segment, without a switch "
	     "between.\n");
	for (unsigned i = 0; i < N_COMMANDS; i++)
		printf("  %-8s %s\n", commands[i]->name, commands[i]->summary);
	puts("  help     prints this, or with a command's name more about it\n"
	     "\n"
	     "rtvs-vni --version prints the version. Exit status: 0 done, 1 refused, 2 wrong usage.");
	return COMMAND_OK;
}

int
main(int argc, char **argv)
{
	const struct command *command;

	output_guard(COMMAND_REFUSED);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)segment_file_catch_truncation();
	if (argc < 2)
		return command_wrong("which command?");
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("rtvs-vni " RTVS_VERSION);
		return COMMAND_OK;
	}
	if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return help(argc > 2 ? argv[2] : NULL);
	command = find(argv[1]);
	return command ? command_run(command, argc - 1, argv + 1) : unknown(argv[1]);
}
