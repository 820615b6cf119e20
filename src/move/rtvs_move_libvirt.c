// A program of its own, which rtvs-move becomes for its subcommand libvirt: not every host has
// libvirt's library. The command line is that of rtvs-move, which was found right already.
#include "domain_move.h"
#include "move_one.h"
#include "options.h"
#include "rtvs/output.h"

#include <signal.h>
#include <stdio.h>

int
main(int argc, char **argv)
{
	char err[OPTIONS_ERROR_SIZE];
	struct options o;

	output_guard(MOVE_REFUSED);
	(void)signal(SIGPIPE, SIG_IGN);
	if (options_parse(argc, argv, &o, err) || o.action != OPTIONS_LIBVIRT || !o.socket || !o.from) {
		fputs("rtvs-move-libvirt: rtvs-move libvirt starts this program\n", stderr);
		return MOVE_USAGE;
	}
	return domain_move_run(&o);
}
