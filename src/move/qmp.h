// A QEMU's control socket: one connection, one command after the other. Events are passed over.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#define QMP_ERROR_SIZE 300
#define QMP_MAX_ANSWER_BYTES (16u << 20)

struct qmp;

// Connects and waits so long for QEMU's greeting. -ETIMEDOUT: none came, as while another client
// has the socket. Other errors are those of the connection. err says it with the path.
int qmp_open(const char *path, int ms, struct qmp **ret_qmp, char err[QMP_ERROR_SIZE]);
// The same over a socket that is connected; fd is closed with it, also in failure.
int qmp_adopt(int fd, const char *name, int ms, struct qmp **ret_qmp, char err[QMP_ERROR_SIZE]);
void qmp_close(struct qmp *q); // NULL is accepted
// The process that listens; 0: not known.
pid_t qmp_peer(const struct qmp *q);
// One command; arguments are stolen (NULL: none). 0 with a new reference in *ret_answer (NULL: not
// wanted). -EREMOTE: QEMU refused it, err has its text. -ETIMEDOUT, -EPIPE, other: there is no
// answer, and the connection is of no use any more.
int qmp_call(
	struct qmp *q, const char *command, json_t *arguments, int ms, json_t **ret_answer, char err[QMP_ERROR_SIZE]);
