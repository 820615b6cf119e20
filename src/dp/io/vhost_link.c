// A connection's socket and the effects of its messages. Memory is mapped whole, in the pages of
// its file system, of files that no stranger serves (fd_kind.h); bus_error.c handles files that are
// shortened later.
// Invariant: while a link is shown, only messages are handled that stop no ring and take nothing
// away from workers. An eventfd that they may be writing to is closed when they have lost it.
#include "vhost_link.h"

#include "fd_kind.h"
#include "vhost_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MTU_MIN 68 // RFC 791

struct vhost_link {
	struct guest_link link;
	struct vhost_user user;
};

// NULL: NULL.
static struct vhost_link *
link_of(struct guest_link *link)
{
	return (struct vhost_link *)link;
}

static int
do_map(void *arg, int fd, uint64_t offset, uint64_t n_bytes, uint8_t **ret_host)
{
	struct guest_link *link = arg;
	int rc = guest_link_map_file(link, fd, offset, n_bytes, ret_host);

	if (rc || !link->cfg.is_kept || link->n_files == VHOST_USER_KEPT_REGIONS) {
		link->cfg.close(link->cfg.arg, fd, false);
		return rc;
	}
	guest_link_keep_file(link, *ret_host, fd, offset);
	return 0;
}

static void
do_close(void *arg, int fd)
{
	struct guest_link *link = arg;

	link->cfg.close(link->cfg.arg, fd, false);
}

static void
do_set_call(void *arg, unsigned i, int fd)
{
	struct guest_link *link = arg;
	int former;

	if (fd >= 0)
		(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	former = atomic_exchange(&link->queue[i].call, fd);
	link->fresh |= 1u << i;
	if (former >= 0 && link->io)
		link->late[link->n_late++] = former;
	else if (former >= 0)
		link->cfg.close(link->cfg.arg, former, false);
}

static void
do_announce(void *arg, const uint8_t mac[6])
{
	struct guest_link *link = arg;

	link->cfg.announce(link->cfg.arg, mac);
}

static int
do_set_mtu(void *arg, uint64_t mtu)
{
	struct guest_link *link = arg;

	if (mtu < MTU_MIN || mtu > UINT16_MAX)
		return -ERANGE;
	link->mtu = mtu;
	return 0;
}

static void
do_set_status(void *arg, uint8_t status)
{
	(void)arg;
	(void)status;
}

// Descriptors of a message. True: one is neither an eventfd nor memory; it is closed.
static bool
take_fds(struct guest_link *link, struct msghdr *msg, int fds[], unsigned *n)
{
	bool has_foreign = false;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n_here = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t k = 0; k < n_here; k++) {
			bool is_foreign;
			int fd;

			memcpy(&fd, CMSG_DATA(c) + k * sizeof(fd), sizeof(fd));
			is_foreign = fd_kind(fd) == FD_FOREIGN;
			has_foreign |= is_foreign;
			if (!is_foreign && *n < VHOST_USER_MAX_FDS + 1)
				fds[(*n)++] = fd;
			else
				link->cfg.close(link->cfg.arg, fd, is_foreign);
		}
	}
	return has_foreign;
}

// A queue of messages may hold sockets that linger: a call that drops what has no room may wait.
static ssize_t
receive(const struct guest_link *link, struct msghdr *msg)
{
	ssize_t n;

	if (link->is_whole)
		atomic_store(link->is_whole, 0);
	vhost_guard_enter();
	n = recvmsg(link->cfg.fd, msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	vhost_guard_leave();
	return n;
}

// 1: a part of a message came, 0: there is none, else an error of guest_link_read.
static int
read_part(struct guest_link *link, struct vhost_user *user)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE((VHOST_USER_MAX_FDS + 1) * sizeof(int))];
	} control;
	uint8_t bytes[VHOST_USER_HEADER + VHOST_USER_MAX_PAYLOAD];
	struct iovec iov = {.iov_base = bytes, .iov_len = vhost_user_wants(user)};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};
	int fds[VHOST_USER_MAX_FDS + 1];
	unsigned n_fds = 0;
	bool has_foreign;
	ssize_t n = receive(link, &msg);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -ECONNRESET;
	has_foreign = take_fds(link, &msg, fds, &n_fds);
	if (n == 0 || has_foreign || msg.msg_flags & MSG_CTRUNC) {
		for (unsigned i = 0; i < n_fds; i++)
			link->cfg.close(link->cfg.arg, fds[i], false);
		if (n == 0)
			return -ECONNRESET;
		vhost_user_refuse(user, "a descriptor that is neither an eventfd nor memory, or too many");
		return -EPROTO;
	}
	return vhost_user_receive(user, bytes, (size_t)n, fds, n_fds) ? -EPROTO : 1;
}

// Of the message that is there, each descriptor is of its kind.
static bool
are_right(const struct vhost_user *user)
{
	enum fd_kind kind = vhost_user_fds(user) == VHOST_USER_MEMORY ? FD_MEMORY : FD_EVENT;

	for (uint32_t i = 0; i < user->n_fds; i++)
		if (fd_kind(user->fd[i]) != kind)
			return false;
	return true;
}

int
vhost_link_receive(struct guest_link *link, struct vhost_user *user)
{
	int rc = 1;

	while (rc == 1 && vhost_user_next(user) == VHOST_USER_PART)
		rc = read_part(link, user);
	if (rc != 1 || are_right(user))
		return rc;
	vhost_user_refuse(user, "a descriptor of another kind than its message's");
	return -EPROTO;
}

static int
handle(struct vhost_link *link)
{
	bool is_change = vhost_user_next(&link->user) == VHOST_USER_CHANGE;

	if ((is_change || link->link.n_late == GUEST_LINK_MAX_LATE) && link->link.io)
		return -EBUSY;
	return vhost_user_handle(&link->user) ? -EPROTO : 1;
}

static int
do_read(struct guest_link *base)
{
	struct vhost_link *link = link_of(base);
	int rc = 1;

	guest_link_close_late(base);
	for (unsigned i = 0; rc == 1 && i < VHOST_LINK_MESSAGES; i++) {
		rc = vhost_link_receive(base, &link->user);
		if (rc == 1)
			rc = handle(link);
	}
	return rc < 0 ? rc : guest_link_write(base);
}

static int
do_write(struct guest_link *base)
{
	struct vhost_link *link = link_of(base);
	ssize_t n;

	if (!link->user.n_out)
		return 0;
	n = send(base->cfg.fd, link->user.out, link->user.n_out, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -ECONNRESET;
	vhost_user_sent(&link->user, (size_t)n);
	return 0;
}

static void
do_destroy(struct guest_link *base)
{
	bool is_left = base->is_left && atomic_load(base->is_whole);

	guest_link_close_late(base);
	vhost_user_fini(&link_of(base)->user);
	base->cfg.close(base->cfg.arg, base->cfg.fd, !is_left && guest_link_end_socket(base->cfg.fd));
	guest_link_free(base);
}

static bool
keep_memory(const struct guest_link *link, const struct vhost_user *user, struct vhost_user_kept *kept,
	struct vhost_user_kept_fds *fds)
{
	for (uint32_t i = 0; i < user->mem.n_regions; i++) {
		const struct guest_link_map *m = guest_link_find_map(link, user->mem.region[i].host);

		if (!m || !m->has_fd)
			return false;
		kept->region[i].offset = m->offset;
		fds->memory[i] = m->fd;
	}
	return true;
}

bool
vhost_link_keep(const struct guest_link *link, struct vhost_user_kept *ret_kept, struct vhost_user_kept_fds *ret_fds)
{
	const struct vhost_user *user = &((const struct vhost_link *)link)->user;

	memset(ret_fds, -1, sizeof(*ret_fds));
	if (!vhost_user_kept_save(user, ret_kept) || !keep_memory(link, user, ret_kept, ret_fds))
		return false;
	ret_kept->mtu = link->mtu;
	for (unsigned i = 0; i < VHOST_USER_MAX_RINGS; i++) {
		const struct guest_queue *q = &link->queue[i];

		if (link->running >> i & 1 && q->ring.cfg.is_packed && !q->ring.cfg.state)
			return false;
		ret_fds->kick[i] = user->ring[i].kick;
		ret_fds->call[i] = q->call;
	}
	return true;
}

bool
vhost_link_is_midway(const struct guest_link *link)
{
	const struct vhost_user *user = &((const struct vhost_link *)link)->user;

	return user->n_in || user->n_out;
}

static void
drop(const int *fd, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (fd[i] >= 0)
			vhost_guard_close(fd[i], 0);
}

void
vhost_link_drop(const struct vhost_user_kept_fds *fds)
{
	drop(fds->memory, VHOST_USER_KEPT_REGIONS);
	drop(fds->kick, VHOST_USER_MAX_RINGS);
	drop(fds->call, VHOST_USER_MAX_RINGS);
}

int
vhost_link_restore(struct guest_link *link, const struct vhost_user_kept *kept, struct vhost_user_kept_fds *fds)
{
	return vhost_user_kept_restore(&link_of(link)->user, kept, fds);
}

struct guest_link *
vhost_link_create(const struct guest_link_cfg *cfg)
{
	static const struct guest_link_kind kind = {.read = do_read, .write = do_write, .destroy = do_destroy};
	static const struct vhost_user_ops ops = {
		.map = do_map,
		.unmap = guest_link_unmap,
		.close = do_close,
		.start = guest_link_start,
		.stop = guest_link_stop,
		.enable = guest_link_enable,
		.set_call = do_set_call,
		.announce = do_announce,
		.set_mtu = do_set_mtu,
		.set_status = do_set_status,
	};
	struct guest_link *base = guest_link_create(sizeof(struct vhost_link), &kind, cfg);
	struct vhost_user_cfg user = {.ops = &ops, .arg = base, .features = cfg->features, .n_pairs = cfg->n_pairs};
	struct vhost_link *link = link_of(base);

	if (!base || vhost_user_init(&link->user, &user)) {
		guest_link_free(base);
		close(cfg->fd);
		return NULL;
	}
	base->features = &link->user.features;
	base->why = link->user.why;
	base->n_replies = &link->user.n_out;
	return base;
}
