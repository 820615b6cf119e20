// The end of standard output, for each program that has one. stdio drops data that it could not
// write without a message. The last place for a check is the end of the process, whichever way main
// returned.
#include "rtvs/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int failure;

static void
close_output(void)
{
	struct stat st;
	// Nothing else fails there: the reader has enough.
	bool is_pipe = fstat(STDOUT_FILENO, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
	bool is_needed = __fpending(stdout) > 0, has_failed = ferror(stdout);
	int rc = fclose(stdout) == 0 ? 0 : errno;

	// Closed before, and nothing to say.
	if (is_pipe || (!has_failed && (!rc || (rc == EBADF && !is_needed))))
		return;
	(void)fprintf(stderr, "%s: the output could not be written%s%s\n", program_invocation_short_name,
		rc ? ": " : "", rc ? strerror(rc) : "");
	_exit(failure);
}

void
output_guard(int status)
{
	// Opened for the wrong direction: reads and writes of the program there fail, as on a
	// closed descriptor.
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
			(void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
	failure = status;
	(void)atexit(close_output);
}
