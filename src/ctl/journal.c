// Messages with fields for systemd's journal (log.h says when it is used), sent in journald's
// native protocol.
// Invariant: a message that the journal does not take goes to stderr, which is the journal, too,
// and loses no more than its fields.
#include "rtvs/journal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#define FIELD_BYTES 320 // a domain's name has 255
#define TEXT_BYTES 1024
#define FIXED_FIELDS 4 // MESSAGE, PRIORITY, SYSLOG_IDENTIFIER, MESSAGE_ID

// syslog(3)
static const char *const priorities[] = {"PRIORITY=3", "PRIORITY=4", "PRIORITY=6", "PRIORITY=7"};

static struct iovec
to_iovec(const char *text)
{
	return (struct iovec){.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
}

void
journal_send(enum log_level level, const char *text, const struct log_about *about)
{
	char message[TEXT_BYTES + 16], who[64], id[64], fields[LOG_MAX_FIELDS][FIELD_BYTES];
	struct iovec iov[FIXED_FIELDS + LOG_MAX_FIELDS];
	int n = 0;

	(void)snprintf(message, sizeof(message), "MESSAGE=%s", text);
	iov[n++] = to_iovec(message);
	iov[n++] = to_iovec(priorities[level]);
	(void)snprintf(who, sizeof(who), "SYSLOG_IDENTIFIER=%s", program_invocation_short_name);
	iov[n++] = to_iovec(who);
	if (about && about->id) {
		(void)snprintf(id, sizeof(id), "MESSAGE_ID=%s", about->id);
		iov[n++] = to_iovec(id);
	}
	for (unsigned i = 0; about && i < LOG_MAX_FIELDS && about->fields[i].name; i++) {
		const struct log_field *f = &about->fields[i];

		if (!f->value || !f->value[0])
			continue;
		(void)snprintf(fields[i], sizeof(fields[i]), "RTVS_%s=%s", f->name, f->value);
		iov[n++] = to_iovec(fields[i]);
	}
	if (sd_journal_sendv(iov, n) < 0)
		(void)dprintf(STDERR_FILENO, "<%c>%s\n", priorities[level][strlen("PRIORITY=")], text);
}
