// A program's end is its process's end, not that of its output: it may leave processes behind that
// have the same files. So the output goes to files in memory, and is read when the process is gone.
#include "crew.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct member {
	void *job;
	pid_t pid; // 0: the place is free
	int pidfd, out, err;
	int64_t end_ms; // INT64_MAX: none
	bool is_told, is_late;
};

struct crew {
	struct crew_options o;
	int signal_fd, signal; // 0: none came
	sigset_t before;
	unsigned n; // that run
	struct member *members; // o.parallel
	struct pollfd *polls; // one more
};

static int64_t
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

int
crew_create(const struct crew_options *o, struct crew **ret_crew)
{
	struct crew *c = calloc(1, sizeof(*c));
	sigset_t set;
	int rc;

	if (!c)
		return -ENOMEM;
	c->o = *o;
	c->members = calloc(o->parallel, sizeof(*c->members));
	c->polls = calloc(o->parallel + 1, sizeof(*c->polls));
	if (!c->members || !c->polls) {
		rc = -ENOMEM;
		goto err_crew;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	c->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (c->signal_fd < 0) {
		rc = -errno;
		goto err_crew;
	}
	// Shells ignore SIGINT for what they start in the background. SIGHUP stays as nohup left
	// it.
	(void)signal(SIGINT, SIG_DFL);
	(void)signal(SIGTERM, SIG_DFL);
	(void)sigprocmask(SIG_BLOCK, &set, &c->before);
	*ret_crew = c;
	return 0;

err_crew:
	free(c->members);
	free(c->polls);
	free(c);
	return rc;
}

void
crew_destroy(struct crew *c)
{
	struct signalfd_siginfo info;

	if (!c)
		return;
	// A second one was for the same end.
	while (read(c->signal_fd, &info, sizeof(info)) > 0)
		;
	(void)close(c->signal_fd);
	(void)sigprocmask(SIG_SETMASK, &c->before, NULL);
	free(c->members);
	free(c->polls);
	free(c);
}

bool
crew_has_room(const struct crew *c)
{
	return c->n < c->o.parallel;
}

bool
crew_is_idle(const struct crew *c)
{
	return !c->n;
}

// ---- signals and limits

static void
tell(struct crew *c, struct member *m, int number)
{
	(void)pidfd_send_signal(m->pidfd, number, NULL, 0);
	if (!m->is_told)
		m->end_ms = now_ms() + c->o.grace_ms;
	m->is_told = true;
}

bool
crew_is_interrupted(struct crew *c)
{
	struct signalfd_siginfo info;

	while (read(c->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		c->signal = (int)info.ssi_signo;
		for (unsigned i = 0; i < c->o.parallel; i++)
			if (c->members[i].pid)
				tell(c, &c->members[i], c->signal);
	}
	return c->signal;
}

static void
end_late_ones(struct crew *c)
{
	int64_t now = now_ms();

	for (unsigned i = 0; i < c->o.parallel; i++) {
		struct member *m = &c->members[i];

		if (!m->pid || now < m->end_ms)
			continue;
		if (m->is_told) {
			(void)pidfd_send_signal(m->pidfd, SIGKILL, NULL, 0);
			m->end_ms = INT64_MAX;
		} else {
			tell(c, m, SIGTERM);
		}
		m->is_late = true;
	}
}

// ---- programs

static int
spawn(char *const *words, int out, int err, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	int rc = posix_spawn_file_actions_init(&actions);

	if (rc)
		return -rc;
	rc = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (!rc)
		rc = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	if (!rc)
		rc = posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
	if (!rc)
		rc = posix_spawn(ret_pid, words[0], &actions, NULL, words, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	return -rc;
}

int
crew_start(struct crew *c, char *const *words, void *job)
{
	struct member m = {.job = job,
		.out = memfd_create("output", MFD_CLOEXEC),
		.err = memfd_create("messages", MFD_CLOEXEC),
		.pidfd = -1,
		.end_ms = c->o.limit_ms ? now_ms() + c->o.limit_ms : INT64_MAX};
	int rc = m.out < 0 || m.err < 0 ? -errno : spawn(words, m.out, m.err, &m.pid);
	unsigned i = 0;

	if (!rc) {
		m.pidfd = pidfd_open(m.pid, 0);
		rc = m.pidfd < 0 ? -errno : 0;
	}
	if (rc) {
		if (m.pid) {
			(void)kill(m.pid, SIGTERM);
			(void)waitpid(m.pid, NULL, 0);
		}
		if (m.out >= 0)
			(void)close(m.out);
		if (m.err >= 0)
			(void)close(m.err);
		return rc;
	}
	while (c->members[i].pid)
		i++;
	c->members[i] = m;
	c->n++;
	return 0;
}

static char *
read_file(int fd)
{
	struct stat st = {0};
	size_t size;
	ssize_t n;
	char *text;

	(void)fstat(fd, &st);
	size = st.st_size > CREW_MAX_OUTPUT_BYTES ? CREW_MAX_OUTPUT_BYTES : (size_t)st.st_size;
	text = calloc(1, size + 1);
	n = text ? pread(fd, text, size, 0) : 0;
	if (text)
		text[n > 0 ? n : 0] = '\0';
	(void)close(fd);
	return text ? text : strdup("");
}

static void
take_end(struct crew *c, struct member *m, struct crew_end *ret_end)
{
	struct crew_end end = {.job = m->job, .is_late = m->is_late};

	(void)waitpid(m->pid, &end.status, 0);
	end.out = read_file(m->out);
	end.err = read_file(m->err);
	(void)close(m->pidfd);
	m->pid = 0;
	c->n--;
	*ret_end = end;
}

static int
next_timeout(const struct crew *c)
{
	int64_t end_ms = INT64_MAX, left;

	for (unsigned i = 0; i < c->o.parallel; i++)
		if (c->members[i].pid && c->members[i].end_ms < end_ms)
			end_ms = c->members[i].end_ms;
	if (end_ms == INT64_MAX)
		return -1;
	left = end_ms - now_ms();
	return left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

void
crew_wait(struct crew *c, struct crew_end *ret_end)
{
	for (;;) {
		(void)crew_is_interrupted(c);
		end_late_ones(c);
		// poll passes over places with a descriptor of -1.
		for (unsigned i = 0; i < c->o.parallel; i++)
			c->polls[i] =
				(struct pollfd){.fd = c->members[i].pid ? c->members[i].pidfd : -1, .events = POLLIN};
		c->polls[c->o.parallel] = (struct pollfd){.fd = c->signal_fd, .events = POLLIN};
		if (poll(c->polls, c->o.parallel + 1, next_timeout(c)) <= 0)
			continue;
		for (unsigned i = 0; i < c->o.parallel; i++)
			if (c->polls[i].revents) {
				take_end(c, &c->members[i], ret_end);
				return;
			}
	}
}

void
crew_end_free(struct crew_end *end)
{
	free(end->out);
	free(end->err);
	*end = (struct crew_end){0};
}
