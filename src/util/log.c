// Log front-end: one line, one write(2), so that lines of several threads never mix. Lines for
// journald begin with "<priority>" and have no level in words, or, with a sink, become a message
// and its fields. A terminal or file gets "warning: ...". Readers add time stamps: journald and
// container runtimes do. Called by ctl, main and the tools.

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

#define MAX_LINE_BYTES 1000 // the text; a level and the end of the line come to it

const char *const log_level_names[] = {"error", "warning", "info", "debug", NULL};

static const char *const prefixes[] = {"<3>", "<4>", "<6>", "<7>"}; // sd-daemon(3)
static _Atomic int max_level = LOG_LEVEL_INFO; // any thread reads
static log_sink_fn *journal_sink; // set before there are threads that read it

void
log_set_level(enum log_level level)
{
	atomic_store_explicit(&max_level, (int)level, memory_order_relaxed);
}

bool
log_is_shown(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&max_level, memory_order_relaxed);
}

void
log_set_sink(log_sink_fn *sink)
{
	journal_sink = sink;
}

// systemd sets JOURNAL_STREAM to device:inode of the stream it connected; stderr may have been
// redirected since.
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

// There is no reader left when stderr is gone.
static void
write_line(enum log_level level, bool is_priority, const char *text)
{
	char line[MAX_LINE_BYTES + 16];
	int n = is_priority ? snprintf(line, sizeof(line), "%s%s\n", prefixes[level], text) :
			      snprintf(line, sizeof(line), "%s: %s\n", log_level_names[level], text);

	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return;
}

static void
write_message(enum log_level level, const struct log_about *about, const char *fmt, va_list args)
{
	bool is_for_journal = is_journal();
	char text[MAX_LINE_BYTES];

	(void)vsnprintf(text, sizeof(text), fmt, args);
	flatten(text);
	if (is_for_journal && journal_sink)
		journal_sink(level, text, about);
	else
		write_line(level, is_for_journal, text);
}

void
log_write(enum log_level level, const char *fmt, ...)
{
	va_list args;

	if (!log_is_shown(level))
		return;
	va_start(args, fmt);
	write_message(level, NULL, fmt, args);
	va_end(args);
}

void
log_about(enum log_level level, const struct log_about *about, const char *fmt, ...)
{
	va_list args;

	if (!log_is_shown(level))
		return;
	va_start(args, fmt);
	write_message(level, about, fmt, args);
	va_end(args);
}
