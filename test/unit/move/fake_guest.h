// Processes that stand for QEMUs where only their file and arguments count: a copy of the test's
// own program, which does nothing. Each ends by itself after a minute.
#pragma once

#include "../unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAKE_GUEST_MAX_WORDS 8

// At the begin of main: does not return in such a process. With -parent the rest of the words is
// the command line of a child.
static inline void
fake_guest_main(int argc, char **argv)
{
	pid_t pid;

	if (argc < 2 || (strcmp(argv[1], "-S") != 0 && strcmp(argv[1], "-parent") != 0))
		return;
	(void)alarm(60);
	if (!strcmp(argv[1], "-parent"))
		(void)posix_spawn(&pid, argv[2], NULL, NULL, argv + 2, environ);
	for (;;)
		(void)pause();
}

static inline void
fake_guest_make_program(const char *path)
{
	int in = open("/proc/self/exe", O_RDONLY | O_CLOEXEC),
	    out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	struct stat st;

	assert_true(in >= 0 && out >= 0 && !fstat(in, &st));
	while (st.st_size > 0) {
		ssize_t n = sendfile(out, in, NULL, (size_t)st.st_size);

		assert_true(n > 0);
		st.st_size -= n;
	}
	(void)close(in);
	(void)close(out);
}

// exec lets its caller go on first, then gives the process its file, and its arguments a moment
// later.
static inline bool
fake_guest_has_words(pid_t pid, const char *program)
{
	char path[64], byte;
	struct stat st, own;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	if (stat(path, &own) || stat(program, &st) || own.st_dev != st.st_dev || own.st_ino != st.st_ino)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, &byte, 1);
	(void)close(fd);
	return n == 1;
}

// Words with a space between, behind the program. It has its file and its words when this returns.
static inline pid_t
fake_guest_start(const char *program, const char *text)
{
	char words[512], *argv[FAKE_GUEST_MAX_WORDS + 2] = {(char *)(uintptr_t)program}, *at = words;
	pid_t pid;
	int n = 1;

	snprintf(words, sizeof(words), "%s", text);
	while (*at && n <= FAKE_GUEST_MAX_WORDS) {
		argv[n++] = at;
		at += strcspn(at, " ");
		if (*at)
			*at++ = '\0';
	}
	assert_int_equal(posix_spawn(&pid, program, NULL, NULL, argv, environ), 0);
	while (!fake_guest_has_words(pid, program))
		(void)usleep(1000);
	return pid;
}

// A child of this process.
static inline void
fake_guest_end(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

// Somebody else's child.
static inline void
fake_guest_end_other(pid_t pid)
{
	char path[64], byte;

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	(void)kill(pid, SIGKILL);
	while (readlink(path, &byte, 1) >= 0)
		(void)usleep(1000);
}
