// Everything that a move does before its point of no return can be taken back: the destination is
// killed, the source gets its capabilities back, and files are removed. The guard does the same for
// a process that was killed.
#include "attempt.h"

#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

int
attempt_fail(struct attempt *a, int rc, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(a->err, ATTEMPT_ERROR_SIZE, format, args);
	va_end(args);
	return rc;
}

int
attempt_call(struct attempt *a, struct qmp *q, const char *command, json_t *arguments, json_t **ret_answer)
{
	char err[QMP_ERROR_SIZE];
	int rc = qmp_call(q, command, arguments, ATTEMPT_ANSWER_MS, ret_answer, err);

	return rc ? attempt_fail(a, rc, "%s: %s", q == a->qmp ? "destination" : "source", err) : 0;
}

int
attempt_set_capability(struct attempt *a, struct qmp *q, const char *name, bool is_on)
{
	return attempt_call(a, q, "migrate-set-capabilities",
		json_pack("{s:[{s:s, s:b}]}", "capabilities", "capability", name, "state", (int)is_on), NULL);
}

void
attempt_ask_status(struct qmp *q, const char *command, char *ret_status, size_t size)
{
	char err[QMP_ERROR_SIZE];
	json_t *answer = NULL;
	const char *text;

	if (q)
		(void)qmp_call(q, command, NULL, ATTEMPT_ANSWER_MS, &answer, err);
	text = json_string_value(json_object_get(answer, "status"));
	snprintf(ret_status, size, "%s", text ? text : "");
	json_decref(answer);
}

bool
attempt_is_status(struct qmp *q, const char *command, const char *status)
{
	char text[64];

	attempt_ask_status(q, command, text, sizeof(text));
	return !strcmp(text, status);
}

// ---- taking it back

bool
attempt_is_dead(const struct attempt *a)
{
	return a->pidfd < 0 || process_ends(a->pidfd, 0);
}

void
attempt_kill(struct attempt *a)
{
	if (a->pidfd < 0)
		return;
	(void)pidfd_send_signal(a->pidfd, SIGKILL, NULL, 0);
	(void)process_ends(a->pidfd, -1);
	(void)waitpid(a->pid, NULL, 0); // the guard is not its parent, and gets an error
	qmp_close(a->qmp);
	a->qmp = NULL;
}

void
attempt_restore(struct attempt *a)
{
	struct qmp *q = *a->source_qmp;
	char err[QMP_ERROR_SIZE];

	if (!q)
		return;
	(void)qmp_call(q, "migrate-set-capabilities", json_pack("{s:O}", "capabilities", a->capabilities),
		ATTEMPT_ANSWER_MS, NULL, err);
	(void)qmp_call(q, "migrate-set-parameters", json_incref(a->parameters), ATTEMPT_ANSWER_MS, NULL, err);
}

int
attempt_save(struct attempt *a)
{
	static const char *const keys[] = {"max-bandwidth", "mode"},
				 *const names[] = {"x-ignore-shared", "return-path"};
	json_t *answer = NULL;
	const json_t *item;
	size_t i;
	int rc = attempt_call(a, *a->source_qmp, "query-migrate-parameters", NULL, &answer);

	for (unsigned k = 0; !rc && k < 2; k++)
		if (json_object_get(answer, keys[k]))
			json_object_set(a->parameters, keys[k], json_object_get(answer, keys[k]));
	json_decref(answer);
	answer = NULL;
	if (!rc)
		rc = attempt_call(a, *a->source_qmp, "query-migrate-capabilities", NULL, &answer);
	json_array_foreach (answer, i, item)
		for (unsigned k = 0; k < 2; k++)
			if (!strcmp(json_string_value(json_object_get(item, "capability")), names[k]))
				json_array_append(a->capabilities, (json_t *)(uintptr_t)item);
	json_decref(answer);
	return rc;
}

void
attempt_remove_files(struct attempt *a)
{
	for (unsigned i = 0; a->d && i < a->d->n_renames; i++) {
		char *path = probe_path(a->source, a->d->renames[i].from);

		if (path)
			(void)unlink(path);
		free(path);
	}
}

void
attempt_remove_dir(struct attempt *a)
{
	if (!a->dir[0])
		return;
	(void)unlink(a->main_socket);
	(void)unlink(a->cpr_socket);
	(void)rmdir(a->dir);
	a->dir[0] = '\0';
}

// ---- the guard: a child that notices the end of this process before step 3

static void
guard_run(struct attempt *a, int fd)
{
	char byte, err[QMP_ERROR_SIZE], *path;

	(void)setsid();
	// This process shares the connection; QEMU must see its end when the other one ends.
	qmp_close(*a->source_qmp);
	*a->source_qmp = NULL;
	if (read(fd, &byte, 1) != 0)
		_exit(0);
	attempt_kill(a);
	path = probe_path(a->source, a->qmp_path);
	if (path && !qmp_open(path, ATTEMPT_ANSWER_MS, a->source_qmp, err))
		attempt_restore(a);
	attempt_remove_files(a);
	attempt_remove_dir(a);
	_exit(0);
}

int
attempt_guard(struct attempt *a)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return attempt_fail(a, -errno, "no pipe: %s", strerror(errno));
	a->guard = fork();
	if (!a->guard) {
		(void)close(fds[1]);
		guard_run(a, fds[0]);
	}
	(void)close(fds[0]);
	a->guard_fd = fds[1];
	return a->guard < 0 ? attempt_fail(a, -EAGAIN, "no second process") : 0;
}

void
attempt_unguard(struct attempt *a)
{
	if (a->guard_fd < 0)
		return;
	(void)!write(a->guard_fd, "", 1);
	(void)close(a->guard_fd);
	a->guard_fd = -1;
	(void)waitpid(a->guard, NULL, 0);
}
