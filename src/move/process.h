// Processes: what a running QEMU was started with, and a second one that is started like it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PROCESS_ERROR_SIZE 320

struct process {
	pid_t pid;
	int pidfd;
	char *words; // its arguments, each with its NUL
	size_t words_len;
	char cwd[4096];
	uid_t uid;
	gid_t gid;
	mode_t umask;
};

// -ESRCH: there is no such process, or it is not in reach. -EXDEV: it has other namespaces or
// another root directory. err says more.
int process_read(pid_t pid, struct process *ret_process, char err[PROCESS_ERROR_SIZE]);
// Its arguments, each with its NUL; allocated. -errno of /proc, -ENOMEM.
int process_read_words(pid_t pid, char **ret_words, size_t *ret_len);
void process_free(struct process *p);
// Whether it has this very file in its memory, not one of the same name.
bool process_has_mapped(const struct process *p, const char *path);
// Starts a program as the process was: its user, directory, limits, CPUs, umask and standard output
// and error, in a session of its own. Input is /dev/null; in and out are used instead where they
// are not -1. Returns the new process's number, its pidfd in *ret_pidfd; -errno of fork or exec.
pid_t process_start(const struct process *like, char *const *words, int in, int out, int *ret_pidfd);
// Whether it ended, within so many ms.
bool process_ends(int pidfd, int ms);
// What a process wrote to its standard error: the size of that file, and the text from an offset
// on, as one line. 0 and "" where it is no file.
off_t process_log_size(const struct process *p);
void process_log_tail(const struct process *p, off_t from, char *ret_text, size_t size);
