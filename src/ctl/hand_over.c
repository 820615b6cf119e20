// Both ends are this program, of different versions: what is not as it should be ends the
// hand-over, and the former daemon goes on.
#include "hand_over.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PRIORITY 1 // of SCHED_FIFO, as the workers'
#define MAX_FILE_BYTES (UINT64_C(4) << 30)

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(HAND_OVER_MAX_FDS * sizeof(int))];
};

static int
send_message(int socket, json_t *body, const int *fds, unsigned n_fds, int flags)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct iovec iov = {.iov_base = text, .iov_len = text ? strlen(text) : 0};
	union control control = {0};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;
	int rc = text && iov.iov_len <= HAND_OVER_MAX_BYTES ? 0 : -ENOMEM;

	if (n_fds) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	if (!rc && sendmsg(socket, &msg, MSG_NOSIGNAL | flags) < 0)
		rc = -errno;
	free(text);
	json_decref(body);
	return rc;
}

int
hand_over_send_now(int socket, json_t *body, const int *fds, unsigned n_fds)
{
	return send_message(socket, body, fds, n_fds, MSG_DONTWAIT);
}

int
hand_over_send(int socket, json_t *body, const int *fds, unsigned n_fds)
{
	return send_message(socket, body, fds, n_fds, 0);
}

static void
take_fds(struct msghdr *msg, struct hand_over_message *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || n > HAND_OVER_MAX_FDS)
			continue;
		memcpy(m->fd, CMSG_DATA(c), n * sizeof(int));
		m->n_fds = (unsigned)n;
	}
}

int
hand_over_receive(int socket, int timeout_ms, struct hand_over_message *ret_message)
{
	struct pollfd p = {.fd = socket, .events = POLLIN};
	struct hand_over_message m = {0};
	char *text = malloc(HAND_OVER_MAX_BYTES);
	struct iovec iov = {.iov_base = text, .iov_len = HAND_OVER_MAX_BYTES};
	union control control;
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};
	ssize_t n;
	int rc = text ? 0 : -ENOMEM;

	if (!rc && poll(&p, 1, timeout_ms) <= 0)
		rc = -ETIMEDOUT;
	if (rc)
		goto out;
	n = recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n <= 0) {
		rc = n < 0 && (errno == EAGAIN || errno == EINTR) ? -ETIMEDOUT : -ECONNRESET;
		goto out;
	}
	take_fds(&msg, &m);
	m.body = msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? NULL : json_loadb(text, (size_t)n, JSON_ALLOW_NUL, NULL);
	if (json_is_object(m.body)) {
		*ret_message = m;
	} else {
		hand_over_fini(&m);
		rc = -EPROTO;
	}
out:
	free(text);
	return rc;
}

bool
hand_over_is(const struct hand_over_message *m, const char *type)
{
	const char *has = json_string_value(json_object_get(m->body, "type"));

	return has && strcmp(has, type) == 0;
}

uint32_t
hand_over_hands(const struct hand_over_message *m)
{
	return (json_is_true(json_object_get(m->body, "taps")) ? DP_HANDS_TAPS : 0u) |
		(json_is_true(json_object_get(m->body, "xdp")) ? DP_HANDS_XDP : 0u);
}

int
hand_over_take_fd(struct hand_over_message *m)
{
	int fd;

	if (!m->n_fds)
		return -1;
	fd = m->fd[0];
	m->n_fds--;
	memmove(m->fd, m->fd + 1, m->n_fds * sizeof(m->fd[0]));
	return fd;
}

void
hand_over_fini(struct hand_over_message *m)
{
	for (unsigned i = 0; i < m->n_fds; i++)
		close(m->fd[i]);
	m->n_fds = 0;
	json_decref(m->body);
	m->body = NULL;
}

void
hand_over_hurry(bool is_on)
{
	(void)sched_setscheduler(
		0, is_on ? SCHED_FIFO : SCHED_OTHER, &(struct sched_param){.sched_priority = is_on ? PRIORITY : 0});
}

int
hand_over_file(const char *name, const void *bytes, size_t len)
{
	int fd = memfd_create(name, MFD_CLOEXEC);
	const char *at = bytes;
	ssize_t n = 0;

	if (fd < 0)
		return -errno;
	for (; len > 0; at += n, len -= (size_t)n) {
		n = write(fd, at, len);
		if (n < 0 && errno == EINTR)
			n = 0;
		if (n < 0) {
			int rc = -errno;

			close(fd);
			return rc;
		}
	}
	return fd;
}

char *
hand_over_read(int fd, size_t *ret_len)
{
	struct stat st;
	size_t size = fstat(fd, &st) || st.st_size < 0 || (uint64_t)st.st_size > MAX_FILE_BYTES ? SIZE_MAX :
												  (size_t)st.st_size;
	char *bytes = size == SIZE_MAX ? NULL : malloc(size + 1);
	size_t len = 0;
	ssize_t n = 1;

	while (bytes && len < size && n > 0) {
		n = pread(fd, bytes + len, size - len, (off_t)len);
		len += n > 0 ? (size_t)n : 0;
	}
	if (!bytes || n < 0) {
		free(bytes);
		return NULL;
	}
	bytes[len] = '\0';
	*ret_len = len;
	return bytes;
}

struct hand_over_page *
hand_over_map(int fd)
{
	struct stat st;
	void *page = fstat(fd, &st) || st.st_size < (off_t)sizeof(struct hand_over_page) ?
		MAP_FAILED :
		mmap(NULL, sizeof(struct hand_over_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return page == MAP_FAILED ? NULL : page;
}

void
hand_over_unmap(struct hand_over_page *page)
{
	if (page)
		(void)munmap(page, sizeof(*page));
}
