// rtvs-move: the words of the command line become one of its subcommands.
#include "move_host.h"
#include "move_one.h"
#include "options.h"
#include "rtvs/output.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_SOCKET "/run/rtvswitch/control.sock"

// A program of its own: not every host has libvirt.
static int
run_libvirt(const struct options *o, int argc, char **argv)
{
	const char *dir = getenv("RTVS_LIBEXEC_DIR");
	const char **args = calloc((size_t)argc + 3, sizeof(*args));
	char path[4096];

	if (!args)
		return MOVE_REFUSED;
	// The options may be anywhere among the words; the last --socket counts.
	args[0] = argv[0];
	args[1] = "--socket";
	args[2] = o->socket;
	for (int i = 1; i < argc; i++)
		args[i + 2] = argv[i];
	(void)snprintf(path, sizeof(path), "%s/rtvs-move-libvirt", dir && *dir ? dir : RTVS_LIBEXEC_DIR);
	(void)execv(path, (char **)args);
	fprintf(stderr, "rtvs-move: %s: %s%s\n", path, strerror(errno),
		errno == ENOENT ? "; rtvswitch was built or installed without libvirt" : "");
	free(args);
	return MOVE_REFUSED;
}

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
	case OPTIONS_LIBVIRT:
		return run_libvirt(&o, argc, argv);
	}
	return MOVE_USAGE;
}
