// rtvs-move: the words of the command line become one of its subcommands.
#include "move_host.h"
#include "move_one.h"
#include "options.h"
#include "rtvs/output.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_SOCKET "/run/rtvswitch/control.sock"

int
main(int argc, char **argv)
{
	const char *env = getenv("RTVS_SOCKET");
	char err[OPTIONS_ERROR_SIZE];
	struct options o;

	output_guard(MOVE_REFUSED);
	(void)signal(SIGPIPE, SIG_IGN);
	if (options_parse(argc, argv, &o, err)) {
		fprintf(stderr, "rtvs-move: %s\nTry 'rtvs-move --help'.\n", err);
		return MOVE_USAGE;
	}
	if (!o.socket)
		o.socket = env && *env ? env : DEFAULT_SOCKET;
	switch (o.action) {
	case OPTIONS_HELP:
		options_print_help(stdout, o.help_of);
		return MOVE_OK;
	case OPTIONS_VERSION:
		puts("rtvs-move " RTVS_VERSION);
		return MOVE_OK;
	case OPTIONS_QEMU:
		return move_one_run(&o);
	case OPTIONS_HOST:
		return move_host_run(&o);
	}
	return MOVE_USAGE;
}
