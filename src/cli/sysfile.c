// Reads of files that the kernel makes as they are read: short, mostly complete in one read, gone
// when their process is.
#include "sysfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
make_path(char path[SYSFILE_PATH_SIZE], const char *root, const char *format, va_list ap)
{
	int n = snprintf(path, SYSFILE_PATH_SIZE, "%s", root), k;

	if (n < 0 || n >= SYSFILE_PATH_SIZE)
		return -ENAMETOOLONG;
	k = vsnprintf(path + n, (size_t)(SYSFILE_PATH_SIZE - n), format, ap);
	return k < 0 || k >= SYSFILE_PATH_SIZE - n ? -ENAMETOOLONG : 0;
}

static ssize_t
read_path(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	size_t len = 0;
	ssize_t n = 0;

	buf[0] = '\0';
	if (fd < 0)
		return -errno;
	while (len + 1 < size && (n = read(fd, buf + len, size - 1 - len)) > 0)
		len += (size_t)n;
	if (n < 0)
		n = -errno;
	close(fd);
	buf[len] = '\0';
	return n < 0 ? n : (ssize_t)len;
}

static ssize_t
vread(const char *root, char *buf, size_t size, const char *format, va_list ap)
{
	char path[SYSFILE_PATH_SIZE];
	int rc = make_path(path, root, format, ap);

	buf[0] = '\0';
	return rc ? rc : read_path(path, buf, size);
}

ssize_t
sysfile_read(const char *root, char *buf, size_t size, const char *format, ...)
{
	va_list ap;
	ssize_t n;

	va_start(ap, format);
	n = vread(root, buf, size, format, ap);
	va_end(ap);
	return n;
}

void
sysfile_make_printable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

int
sysfile_line(const char *root, char *buf, size_t size, const char *format, ...)
{
	va_list ap;
	ssize_t n;

	va_start(ap, format);
	n = vread(root, buf, size, format, ap);
	va_end(ap);
	if (n < 0)
		return (int)n;
	buf[strcspn(buf, "\n")] = '\0';
	sysfile_make_printable(buf);
	return 0;
}

// From 0, with nothing but blanks before it.
static int64_t
parse_number(const char *text)
{
	char *end;
	long long n;

	errno = 0;
	n = strtoll(text, &end, 10);
	if (end == text || n < 0)
		return -EINVAL;
	return errno ? -ERANGE : n;
}

int64_t
sysfile_number(const char *root, const char *format, ...)
{
	char buf[64];
	va_list ap;
	ssize_t n;

	va_start(ap, format);
	n = vread(root, buf, sizeof(buf), format, ap);
	va_end(ap);
	return n < 0 ? n : parse_number(buf);
}

int
sysfile_cpus(const char *root, struct cpus *ret_set, const char *format, ...)
{
	char buf[CPUS_MAX * 5];
	va_list ap;
	ssize_t n;

	va_start(ap, format);
	n = vread(root, buf, sizeof(buf), format, ap);
	va_end(ap);
	return n < 0 ? (int)n : cpus_parse(buf, ret_set);
}

int
sysfile_link(const char *root, char *buf, size_t size, const char *format, ...)
{
	char path[SYSFILE_PATH_SIZE];
	va_list ap;
	ssize_t n;
	int rc;

	va_start(ap, format);
	rc = make_path(path, root, format, ap);
	va_end(ap);
	buf[0] = '\0';
	if (rc)
		return rc;
	n = readlink(path, buf, size - 1);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	sysfile_make_printable(buf);
	return 0;
}

const char *
sysfile_key(const char *text, const char *key)
{
	size_t len = strlen(key);

	for (; text; text = strchr(text, '\n')) {
		text += *text == '\n';
		if (!strncmp(text, key, len))
			return text + len + strspn(text + len, " \t");
	}
	return NULL;
}

int64_t
sysfile_key_number(const char *text, const char *key)
{
	const char *value = sysfile_key(text, key);

	return value ? parse_number(value) : -ENODATA;
}
