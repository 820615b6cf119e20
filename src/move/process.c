// /proc says what there is to know of a process. A pidfd stands for one process for as long as it
// is open, so that no signal ever reaches another one that got its number.
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_WORDS_BYTES (4u << 20)

static int
open_proc(pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

int
process_read_words(pid_t pid, char **ret_words, size_t *ret_len)
{
	int fd = open_proc(pid, "cmdline");
	size_t len = 0;
	ssize_t n = 0;
	char *words;

	if (fd < 0)
		return -errno;
	words = malloc(MAX_WORDS_BYTES);
	while (words && len < MAX_WORDS_BYTES && (n = read(fd, words + len, MAX_WORDS_BYTES - len)) > 0)
		len += (size_t)n;
	(void)close(fd);
	if (!words)
		return -ENOMEM;
	if (n < 0) {
		free(words);
		return -EIO;
	}
	*ret_words = words;
	*ret_len = len;
	return 0;
}

static bool
is_same(pid_t pid, const char *name)
{
	struct stat a, b;
	char path[64], own[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	snprintf(own, sizeof(own), "/proc/self/%s", name);
	return !stat(path, &a) && !stat(own, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int
read_status(struct process *p)
{
	int fd = open_proc(p->pid, "status");
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	char line[256];

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		(void)sscanf(line, "Uid: %*u %u", &p->uid);
		(void)sscanf(line, "Gid: %*u %u", &p->gid);
		(void)sscanf(line, "Umask: %o", &p->umask);
	}
	fclose(f);
	return 0;
}

int
process_read(pid_t pid, struct process *ret_process, char err[PROCESS_ERROR_SIZE])
{
	static const char *const places[] = {"ns/mnt", "ns/net", "ns/pid", "ns/user", "ns/ipc", "root"};
	struct process p = {.pid = pid, .pidfd = pidfd_open(pid, 0)};
	char link[64];
	ssize_t len;
	int rc;

	if (p.pidfd < 0) {
		rc = -errno;
		snprintf(err, PROCESS_ERROR_SIZE, "process %d: %s", (int)pid, strerror(-rc));
		return rc == -EINVAL ? -ESRCH : rc;
	}
	snprintf(link, sizeof(link), "/proc/%d/cwd", (int)pid);
	len = readlink(link, p.cwd, sizeof(p.cwd) - 1);
	rc = len < 0 ? -errno : process_read_words(pid, &p.words, &p.words_len);
	if (!rc)
		rc = read_status(&p);
	if (rc)
		snprintf(err, PROCESS_ERROR_SIZE, "process %d cannot be read: %s", (int)pid, strerror(-rc));
	for (size_t i = 0; !rc && i < sizeof(places) / sizeof(places[0]); i++)
		if (!is_same(pid, places[i])) {
			snprintf(err, PROCESS_ERROR_SIZE,
				"process %d has another /proc/PID/%s than this one: start rtvs-move there (nsenter)",
				(int)pid, places[i]);
			rc = -EXDEV;
		}
	if (rc) {
		process_free(&p);
		return rc;
	}
	*ret_process = p;
	return 0;
}

void
process_free(struct process *p)
{
	free(p->words);
	p->words = NULL;
	if (p->pidfd > 0)
		(void)close(p->pidfd);
	p->pidfd = -1;
}

bool
process_has_mapped(const struct process *p, const char *path)
{
	int fd = open_proc(p->pid, "maps");
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	unsigned major, minor;
	unsigned long long inode;
	bool is_found = false;
	char *line = NULL;
	size_t size = 0;
	struct stat st;

	if (f && !stat(path, &st) && S_ISREG(st.st_mode))
		while (!is_found && getline(&line, &size, f) > 0)
			is_found = sscanf(line, "%*s %*s %*s %x:%x %llu", &major, &minor, &inode) == 3 &&
				makedev(major, minor) == st.st_dev && inode == st.st_ino;
	free(line);
	if (f)
		fclose(f);
	return is_found;
}

bool
process_ends(int pidfd, int ms)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	return poll(&p, 1, ms) == 1;
}

// ---- a second one

static void
copy_limits(pid_t from)
{
	struct rlimit limit;
	cpu_set_t cpus;
	int priority;

	for (int i = 0; i < (int)RLIM_NLIMITS; i++)
		if (!prlimit(from, (enum __rlimit_resource)i, NULL, &limit))
			(void)setrlimit((enum __rlimit_resource)i, &limit);
	if (!sched_getaffinity(from, sizeof(cpus), &cpus))
		(void)sched_setaffinity(0, sizeof(cpus), &cpus);
	errno = 0;
	priority = getpriority(PRIO_PROCESS, (id_t)from);
	if (!errno)
		(void)setpriority(PRIO_PROCESS, 0, priority);
}

// The very descriptor where the kernel gives it, /dev/null otherwise.
static void
copy_descriptor(int pidfd, int number)
{
	int fd = pidfd_getfd(pidfd, number, 0);

	if (fd < 0)
		fd = open("/dev/null", O_WRONLY);
	if (fd >= 0 && fd != number) {
		(void)dup2(fd, number);
		(void)close(fd);
	}
}

static int
become(const struct process *like)
{
	gid_t groups[256];
	char line[4096];
	int n = 0;

	if (like->uid == geteuid())
		return 0;
	// The supplementary groups, before the right to take them is gone.
	{
		int fd = open_proc(like->pid, "status");
		FILE *f = fd < 0 ? NULL : fdopen(fd, "r");

		while (f && fgets(line, sizeof(line), f)) {
			char *at = line + 7, *end;

			if (strncmp(line, "Groups:", 7) != 0)
				continue;
			for (; n < 256; at = end) {
				unsigned long group = strtoul(at, &end, 10);

				if (end == at)
					break;
				groups[n++] = (gid_t)group;
			}
		}
		if (f)
			fclose(f);
	}
	return setgroups((size_t)n, groups) || setgid(like->gid) || setuid(like->uid) ? -errno : 0;
}

static int
be_like(const struct process *like, int in, int out)
{
	sigset_t none;
	int null = open("/dev/null", O_RDONLY);

	(void)setsid();
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	for (int i = 1; i < NSIG; i++)
		(void)signal(i, SIG_DFL);
	copy_limits(like->pid);
	if (dup2(in >= 0 ? in : null, STDIN_FILENO) < 0)
		return -errno;
	if (out >= 0 && dup2(out, STDOUT_FILENO) < 0)
		return -errno;
	if (out < 0)
		copy_descriptor(like->pidfd, STDOUT_FILENO);
	copy_descriptor(like->pidfd, STDERR_FILENO);
	(void)umask(like->umask);
	if (chdir(like->cwd))
		return -errno;
	return become(like);
}

pid_t
process_start(const struct process *like, char *const *words, int in, int out, int *ret_pidfd)
{
	int pipe_fds[2], rc = 0, pidfd;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (!pid) {
		// Descriptors of this program are all closed at exec.
		rc = be_like(like, in, out);
		if (!rc) {
			execv(words[0], words);
			rc = -errno;
		}
		(void)!write(pipe_fds[1], &rc, sizeof(rc));
		_exit(127);
	}
	if (pid < 0)
		rc = -errno;
	(void)close(pipe_fds[1]);
	if (pid > 0 && read(pipe_fds[0], &rc, sizeof(rc)) == (ssize_t)sizeof(rc))
		(void)waitpid(pid, NULL, 0);
	(void)close(pipe_fds[0]);
	if (rc)
		return rc;
	pidfd = pidfd_open(pid, 0);
	if (pidfd < 0) {
		rc = -errno;
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		return rc;
	}
	*ret_pidfd = pidfd;
	return pid;
}

// ---- its messages

static int
open_log(const struct process *p)
{
	struct stat st;
	int fd = open_proc(p->pid, "fd/2");

	if (fd >= 0 && (fstat(fd, &st) || !S_ISREG(st.st_mode))) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

off_t
process_log_size(const struct process *p)
{
	int fd = open_log(p);
	off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);

	if (fd >= 0)
		(void)close(fd);
	return size < 0 ? 0 : size;
}

void
process_log_tail(const struct process *p, off_t from, char *ret_text, size_t size)
{
	int fd = open_log(p);
	ssize_t n = fd < 0 ? 0 : pread(fd, ret_text, size - 1, from);

	if (fd >= 0)
		(void)close(fd);
	if (n < 0)
		n = 0;
	while (n > 0 && ret_text[n - 1] == '\n')
		n--;
	ret_text[n] = '\0';
	for (char *at = ret_text; (at = strchr(at, '\n'));)
		*at = ';';
}
