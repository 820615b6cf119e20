// Reading small files of /proc and /sys, below a root that tests can choose. Every read is bounded
// and never waits, and text for people has printable ASCII only. Paths are printf formats without
// the root.
#pragma once

#include "cpus.h"

#include <stdint.h>
#include <sys/types.h>

#define SYSFILE_PATH_SIZE 512
#define SYSFILE_TEXT_SIZE 65536 // of files like /proc/PID/status: they have some 2 KiB

// At most size - 1 bytes, and a NUL; longer content is cut off. The number of bytes or a negative
// errno.
ssize_t sysfile_read(const char *root, char *buf, size_t size, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
// The first line, without what is not printable; 0 or a negative errno.
int sysfile_line(const char *root, char *buf, size_t size, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
// The whole number at its begin: from 0, or a negative errno.
int64_t sysfile_number(const char *root, const char *format, ...) __attribute__((format(printf, 2, 3)));
int sysfile_cpus(const char *root, struct cpus *ret_set, const char *format, ...) __attribute__((format(printf, 3, 4)));
// Of a symbolic link, as sysfile_line.
int sysfile_link(const char *root, char *buf, size_t size, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
// The text behind the first line that begins with key ("VmSwap:"), blanks skipped; NULL: no such
// line.
const char *sysfile_key(const char *text, const char *key);
int64_t sysfile_key_number(const char *text, const char *key); // from 0; -ENODATA: no such line
void sysfile_make_printable(char *text);
