// Log front-end: one line, one write(2), so that lines of several threads never mix. What journald reads gets
// "<priority>" in front and no level in words; a terminal or file gets "warning: ...". Time stamps are the
// reader's business: journald and container runtimes add them. Called by ctl, main and the tools.

#include "rtvs/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_LINE_BYTES 1024

const char *const log_level_names[] = {"error", "warning", "info", "debug", NULL};

static const char *const prefixes[] = {"<3>", "<4>", "<6>", "<7>"}; // sd-daemon(3)
static _Atomic int max_level = LOG_LEVEL_INFO; // any thread reads

void
log_set_level(enum log_level level)
{
	atomic_store_explicit(&max_level, (int)level, memory_order_relaxed);
}

// systemd sets JOURNAL_STREAM to device:inode of the stream it connected; stderr may have been redirected since.
static bool
is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char own[64];
	struct stat st;

	if (stream == NULL || fstat(STDERR_FILENO, &st) != 0)
		return false;
	(void)snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return strcmp(stream, own) == 0;
}

// A line has no control characters: what a guest or a file supplied cannot forge a second line.
static void
flatten(char *text)
{
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = ' ';
	}
}

void
log_write(enum log_level level, const char *fmt, ...)
{
	char line[MAX_LINE_BYTES];
	va_list args;
	int n;

	if ((int)level > atomic_load_explicit(&max_level, memory_order_relaxed))
		return;
	if (is_journal())
		n = snprintf(line, sizeof(line), "%s", prefixes[level]);
	else
		n = snprintf(line, sizeof(line), "%s: ", log_level_names[level]);
	va_start(args, fmt);
	(void)vsnprintf(line + n, sizeof(line) - 1 - (size_t)n, fmt, args);
	va_end(args);
	flatten(line + n);
	n = (int)strlen(line);
	line[n++] = '\n';
	// Nobody is left to tell when stderr is gone.
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return;
}
