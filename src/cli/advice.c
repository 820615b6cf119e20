// The writing of findings, for all checks. The checks call this file; advice_make.c calls the
// checks.
#include "advice.h"

#include "advice_check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void
advice_put(char *buf, size_t size, const char *format, ...)
{
	size_t len = strlen(buf);
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(buf + len, size - len, format, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n >= size - len)
		memcpy(buf + size - 4, "...", 4);
}

enum advice_severity
advice_unreadable(struct advice_finding *f, int64_t rc, const char *format, ...)
{
	char path[512];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(path, sizeof(path), format, ap);
	va_end(ap);
	if (rc == -ENODATA || rc == -EINVAL || rc == -ERANGE)
		ADVICE_SAY(f, "%s: does not say it", path);
	else
		ADVICE_SAY(f, "%s: %s", path, strerror((int)-rc));
	return ADVICE_UNKNOWN;
}

const char *
advice_vcpu(const struct machine_thread *t, char buf[32])
{
	if (t->vcpu < 0)
		return "the thread of all vCPUs";
	(void)snprintf(buf, 32, "vCPU %d", t->vcpu);
	return buf;
}

unsigned
advice_count(const struct advice *a, enum advice_severity severity)
{
	unsigned n = 0;

	for (unsigned i = 0; i < a->n; i++)
		n += a->findings[i].severity == severity;
	return n;
}

const char *
advice_severity_name(enum advice_severity severity)
{
	static const char *const names[] = {"problem", "hint", "unknown", "ok", ""};

	return names[severity];
}
