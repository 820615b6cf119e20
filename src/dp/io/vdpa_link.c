// Each message is read whole and checked, then sent to librte_vhost in one piece; the next one is
// read when that has taken it. Replies are read at once: a front-end that leaves too many unread is
// hung up on.
// Invariant: the link's own session (struct vhost_user) checks, and handles nothing.
#include "vdpa_link.h"

#include "vdpa_device.h"
#include "vhost_link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define SET_FEATURES 2
#define FIRST_PAIR 3u // rings

struct vdpa_link {
	struct guest_link link; // its fd is an epoll set: front-end, `back`, the device's changes
	struct vhost_user user;
	int back; // librte_vhost
	uint64_t features;
	uint8_t reply[VHOST_USER_MAX_REPLIES * 32]; // that the front-end has not taken yet
	size_t n_reply;
};

static struct vdpa_link *
link_of(struct guest_link *link)
{
	return (struct vdpa_link *)link;
}

static void
do_close(void *arg, int fd)
{
	struct guest_link *link = arg;

	link->cfg.close(link->cfg.arg, fd, false);
}

static void
do_set_call(void *arg, unsigned ring, int fd)
{
	(void)arg;
	(void)ring;
	(void)fd; // -1: at the end
}

// Errors of guest_link_read from here on.
static int
take_replies(struct vdpa_link *link)
{
	ssize_t n = recv(link->back, link->reply + link->n_reply, sizeof(link->reply) - link->n_reply, MSG_DONTWAIT);

	if (n == 0 && link->n_reply == sizeof(link->reply))
		vhost_user_refuse(&link->user, "the front-end reads no replies");
	else if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		vhost_user_refuse(&link->user, "librte_vhost or the device refused a message, the log has more");
	else if (n > 0)
		link->n_reply += (size_t)n;
	return link->user.why[0] ? -EPROTO : 0;
}

static int
do_write(struct guest_link *base)
{
	struct vdpa_link *link = link_of(base);
	ssize_t n;

	if (!link->n_reply)
		return 0;
	n = send(base->cfg.fd, link->reply, link->n_reply, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -ECONNRESET;
	link->n_reply -= (size_t)n;
	memmove(link->reply, link->reply + n, link->n_reply);
	return 0;
}

// 1: the message was sent, 0: there is no room for it.
static int
send_on(struct vdpa_link *link)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(VHOST_USER_MAX_FDS * sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec iov = {.iov_base = link->user.in, .iov_len = link->user.n_in};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (link->user.n_fds) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(link->user.n_fds * sizeof(int));
		*CMSG_FIRSTHDR(&msg) = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(link->user.n_fds * sizeof(int))};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), link->user.fd, link->user.n_fds * sizeof(int));
	}
	n = sendmsg(link->back, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n == link->user.n_in) // so short a message is sent as one or not at all
		return 1;
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -ECONNRESET;
}

static bool
has_message(const struct vdpa_link *link)
{
	return vhost_user_next(&link->user) != VHOST_USER_PART;
}

// As send_on.
static int
pass_message(struct vdpa_link *link)
{
	uint32_t request;
	int rc = vhost_link_receive(&link->link, &link->user);

	if (rc != 1)
		return rc;
	if (vhost_user_check(&link->user))
		return -EPROTO;
	rc = send_on(link);
	if (rc != 1)
		return rc;
	memcpy(&request, link->user.in, sizeof(request));
	if (request == SET_FEATURES)
		memcpy(&link->features, link->user.in + VHOST_USER_HEADER, sizeof(link->features));
	vhost_user_pass(&link->user);
	return 1;
}

// What the set waits for. A front-end whose message has no room yet is not read.
static int
watch(struct vdpa_link *link, int op)
{
	struct epoll_event front = {.events = (has_message(link) ? 0u : EPOLLIN) | (link->n_reply ? EPOLLOUT : 0u)};
	struct epoll_event back = {.events = EPOLLIN | (has_message(link) ? EPOLLOUT : 0u)};

	if (epoll_ctl(link->link.fd, op, link->link.cfg.fd, &front) || epoll_ctl(link->link.fd, op, link->back, &back))
		return -errno;
	return 0;
}

static int
do_read(struct guest_link *base)
{
	struct vdpa_link *link = link_of(base);
	int rc = take_replies(link);
	eventfd_t ignored;

	if (!rc)
		rc = do_write(base);
	for (unsigned i = 0; rc >= 0 && i < VHOST_LINK_MESSAGES; i++) {
		rc = pass_message(link);
		if (!rc)
			break;
	}
	if (rc >= 0 && has_message(link) && guest_link_is_hung_up(base))
		rc = -ECONNRESET;
	if (rc < 0)
		return rc;
	(void)eventfd_read(vdpa_device_changes(base->cfg.device), &ignored);
	base->running = vdpa_device_is_running(base->cfg.device) ? FIRST_PAIR : 0;
	return watch(link, EPOLL_CTL_MOD);
}

static void
do_destroy(struct guest_link *base)
{
	struct vdpa_link *link = link_of(base);

	vhost_user_fini(&link->user);
	if (link->back >= 0)
		close(link->back);
	if (base->fd >= 0 && base->fd != base->cfg.fd)
		close(base->fd);
	base->cfg.close(base->cfg.arg, base->cfg.fd, guest_link_end_socket(base->cfg.fd));
	guest_link_free(base);
}

static int
open_all(struct vdpa_link *link)
{
	struct epoll_event changes = {.events = EPOLLIN};

	link->link.fd = epoll_create1(EPOLL_CLOEXEC);
	link->back = vdpa_device_connect(link->link.cfg.device);
	if (link->link.fd < 0 || link->back < 0 ||
		epoll_ctl(link->link.fd, EPOLL_CTL_ADD, vdpa_device_changes(link->link.cfg.device), &changes))
		return -EIO;
	return watch(link, EPOLL_CTL_ADD);
}

struct guest_link *
vdpa_link_create(const struct guest_link_cfg *cfg)
{
	static const struct guest_link_kind kind = {.read = do_read, .write = do_write, .destroy = do_destroy};
	static const struct vhost_user_ops ops = {.close = do_close, .set_call = do_set_call};
	struct guest_link *base = guest_link_create(sizeof(struct vdpa_link), &kind, cfg);
	struct vhost_user_cfg user = {.ops = &ops, .arg = base, .n_pairs = cfg->n_pairs};
	struct vdpa_link *link = link_of(base);

	if (!base || vhost_user_init(&link->user, &user)) {
		guest_link_free(base);
		close(cfg->fd);
		return NULL;
	}
	base->features = &link->features;
	base->why = link->user.why;
	link->back = -1;
	for (unsigned i = 0; i < 2; i++)
		guest_link_enable(base, i, true);
	if (open_all(link)) {
		do_destroy(base);
		return NULL;
	}
	return base;
}
