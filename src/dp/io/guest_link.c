// A connection's socket and the effects of its messages. Memory is mapped whole, in the pages of
// its file system, of files that no stranger serves (fd_kind.h); bus_error.c handles files that are
// shortened later.
// Invariant: while a link is shown, only messages are handled that stop no ring and take nothing
// away from workers. An eventfd that they may be writing to is closed when they have lost it.
#include "guest_link.h"

#include "fd_kind.h"
#include "vhost_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define MESSAGES_AT_ONCE 16 // of one link, before others have their turn
#define MTU_MIN 68 // RFC 791
#define MAX_LATE 32
// Mapped at a time: more than any guest has, but no part of the address space that others miss.
#define MAX_MAPPED (UINT64_C(1) << 43)
#define MAX_MAPS (GUEST_MEM_MAX_REGIONS + 2) // and a dirty log, and its successor

struct mapping {
	uint8_t *host; // of the region
	void *base; // of the pages, NULL: free
	size_t n_bytes;
};

struct guest_link {
	struct guest_link_cfg cfg;
	struct vhost_user user;
	struct guest_io *io; // that it is shown in, NULL: it is hidden
	struct guest_queue queue[VHOST_USER_MAX_RINGS];
	uint64_t n_hidden;
	// Bit per ring. fresh: started since it was shown last; known: it ran before. used: was
	// enabled since it was started.
	uint32_t running, fresh, known, used;
	int late[MAX_LATE]; // to be closed when workers have lost the rings
	unsigned n_late;
	struct mapping map[MAX_MAPS];
	uint64_t n_mapped; // bytes of them
	uint64_t mtu;
};

static int
do_map(void *arg, int fd, uint64_t offset, uint64_t n_bytes, uint8_t **ret_host)
{
	struct guest_link *link = arg;
	struct mapping *m = link->map;
	uint64_t first, page;
	struct stat st;
	void *base = MAP_FAILED;
	int rc = -EINVAL;

	while (m < link->map + MAX_MAPS && m->base)
		m++;
	if (m < link->map + MAX_MAPS && !fstat(fd, &st) && n_bytes && n_bytes <= (uint64_t)st.st_size &&
		offset <= (uint64_t)st.st_size - n_bytes) {
		page = (uint64_t)st.st_blksize;
		first = offset / page * page;
		m->n_bytes = (size_t)((offset + n_bytes + page - 1) / page * page - first);
		if (m->n_bytes <= MAX_MAPPED - link->n_mapped)
			base = mmap(
				NULL, m->n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, (off_t)first);
		rc = base == MAP_FAILED ? -ENOMEM : 0;
	}
	link->cfg.close(link->cfg.arg, fd, false);
	if (rc)
		return rc;
	(void)madvise(base, m->n_bytes, MADV_DONTDUMP);
	link->n_mapped += m->n_bytes;
	m->base = base;
	m->host = (uint8_t *)base + (offset - first);
	*ret_host = m->host;
	return 0;
}

static void
do_unmap(void *arg, uint8_t *host, uint64_t n_bytes)
{
	struct guest_link *link = arg;

	(void)n_bytes;
	for (struct mapping *m = link->map; m < link->map + MAX_MAPS; m++)
		if (m->base && m->host == host) {
			link->n_mapped -= m->n_bytes;
			link->cfg.unmap(link->cfg.arg, m->base, m->n_bytes);
			*m = (struct mapping){0};
			return;
		}
}

static void
do_close(void *arg, int fd)
{
	struct guest_link *link = arg;

	link->cfg.close(link->cfg.arg, fd, false);
}

static int
do_start(void *arg, unsigned i, const struct guest_ring_cfg *cfg, int kick)
{
	struct guest_link *link = arg;
	struct guest_queue *q = &link->queue[i];
	struct guest_ring_cfg found = *cfg;
	int rc;

	link->cfg.prepare(link->cfg.arg, i, &found, !(link->known >> i & 1));
	rc = guest_ring_init(&q->ring, &found);
	if (rc)
		return rc;
	q->kick = kick;
	link->running |= 1u << i;
	link->used |= (uint32_t)q->is_enabled << i;
	link->fresh |= 1u << i;
	link->known |= 1u << i;
	return 0;
}

static void
do_stop(void *arg, unsigned i, struct guest_ring_pos *ret_pos)
{
	struct guest_link *link = arg;

	link->running &= ~(1u << i);
	link->used &= ~(1u << i);
	link->queue[i].kick = -1;
	*ret_pos = link->queue[i].ring.pos;
}

static void
do_enable(void *arg, unsigned i, bool is_enabled)
{
	struct guest_link *link = arg;

	link->queue[i].is_enabled = is_enabled;
	if (is_enabled)
		link->used |= link->running & 1u << i;
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

struct guest_link *
guest_link_create(const struct guest_link_cfg *cfg)
{
	static const struct vhost_user_ops ops = {
		.map = do_map,
		.unmap = do_unmap,
		.close = do_close,
		.start = do_start,
		.stop = do_stop,
		.enable = do_enable,
		.set_call = do_set_call,
		.announce = do_announce,
		.set_mtu = do_set_mtu,
		.set_status = do_set_status,
	};
	struct guest_link *link = aligned_alloc(_Alignof(struct guest_link), sizeof(*link));
	struct vhost_user_cfg user = {.ops = &ops, .arg = link, .features = cfg->features, .n_pairs = cfg->n_pairs};

	if (link)
		memset(link, 0, sizeof(*link));
	if (!link || vhost_user_init(&link->user, &user)) {
		free(link);
		close(cfg->socket);
		return NULL;
	}
	link->cfg = *cfg;
	for (unsigned i = 0; i < VHOST_USER_MAX_RINGS; i++)
		link->queue[i] = (struct guest_queue){.call = -1, .kick = -1, .owner = cfg->owner};
	return link;
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

	vhost_guard_enter();
	n = recvmsg(link->cfg.socket, msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	vhost_guard_leave();
	return n;
}

// 1: a part of a message came, 0: there is none, else an error of guest_link_read.
static int
read_part(struct guest_link *link)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE((VHOST_USER_MAX_FDS + 1) * sizeof(int))];
	} control;
	uint8_t bytes[VHOST_USER_HEADER + VHOST_USER_MAX_PAYLOAD];
	struct iovec iov = {.iov_base = bytes, .iov_len = vhost_user_wants(&link->user)};
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
		vhost_user_refuse(&link->user, "a descriptor that is neither an eventfd nor memory, or too many");
		return -EPROTO;
	}
	return vhost_user_receive(&link->user, bytes, (size_t)n, fds, n_fds) ? -EPROTO : 1;
}

// Of the message that is there, each descriptor is of its kind.
static bool
are_right(const struct guest_link *link)
{
	enum fd_kind kind = vhost_user_fds(&link->user) == VHOST_USER_MEMORY ? FD_MEMORY : FD_EVENT;

	for (uint32_t i = 0; i < link->user.n_fds; i++)
		if (fd_kind(link->user.fd[i]) != kind)
			return false;
	return true;
}

// As read_part, of the message that is there.
static int
handle(struct guest_link *link)
{
	enum vhost_user_next next = vhost_user_next(&link->user);

	if (next == VHOST_USER_PART)
		return 1;
	if (!are_right(link)) {
		vhost_user_refuse(&link->user, "a descriptor of another kind than its message's");
		return -EPROTO;
	}
	if ((next == VHOST_USER_CHANGE || link->n_late == MAX_LATE) && link->io)
		return -EBUSY;
	return vhost_user_handle(&link->user) ? -EPROTO : 1;
}

static void
close_late(struct guest_link *link)
{
	while (!link->io && link->n_late)
		link->cfg.close(link->cfg.arg, link->late[--link->n_late], false);
}

int
guest_link_read(struct guest_link *link)
{
	int rc;

	close_late(link);
	rc = handle(link);
	for (unsigned i = 0; rc == 1 && i < 2 * MESSAGES_AT_ONCE; i++) {
		rc = read_part(link);
		if (rc == 1)
			rc = handle(link);
	}
	return rc < 0 ? rc : guest_link_write(link);
}

int
guest_link_write(struct guest_link *link)
{
	ssize_t n;

	if (!link->user.n_out)
		return 0;
	n = send(link->cfg.socket, link->user.out, link->user.n_out, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -ECONNRESET;
	vhost_user_sent(&link->user, (size_t)n);
	return 0;
}

bool
guest_link_has_replies(const struct guest_link *link)
{
	return link->user.n_out;
}

bool
guest_link_end_socket(int socket)
{
	int n_unread = 0;

	(void)shutdown(socket, SHUT_RDWR);
	return ioctl(socket, FIONREAD, &n_unread) || n_unread > 0;
}

bool
guest_link_is_hung_up(const struct guest_link *link)
{
	struct pollfd p = {.fd = link->cfg.socket, .events = POLLRDHUP};

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL));
}

void
guest_link_show(struct guest_link *link, struct guest_io *io)
{
	link->io = io;
	for (unsigned i = 0; i < VHOST_USER_MAX_RINGS; i++) {
		struct guest_queue *q = &link->queue[i];

		// What a driver sends through a disabled ring is discarded. One that was not
		// enabled yet only waits for the message: its guest may have sent before the
		// front-end was connected.
		if (!(link->used >> i & 1))
			continue;
		if (atomic_load(&io->queue[i]) != q) {
			// Workers poll it first. A ring that no packet comes for must be quiet,
			// too.
			guest_ring_arm(&q->ring, false);
			atomic_store_explicit(&io->queue[i], q, memory_order_release);
		}
		// As a worker does it: a front-end whose eventfd makes the thread wait is hung up
		// on.
		if (link->fresh >> i & 1 && q->call >= 0)
			(void)io->signal(q->call, q->owner);
	}
	link->fresh &= ~link->used;
}

void
guest_link_hide(struct guest_link *link)
{
	if (!link->io)
		return;
	for (unsigned i = 0; i < VHOST_USER_MAX_RINGS; i++)
		atomic_store(&link->io->queue[i], NULL);
	link->io = NULL;
	link->n_hidden++;
}

uint64_t
guest_link_n_hidden(const struct guest_link *link)
{
	return link->n_hidden;
}

bool
guest_link_is_shown(const struct guest_link *link)
{
	return link->io;
}

uint32_t
guest_link_running(const struct guest_link *link)
{
	return link->running;
}

uint32_t
guest_link_enabled(const struct guest_link *link)
{
	uint32_t enabled = 0;

	for (unsigned i = 0; i < VHOST_USER_MAX_RINGS; i++)
		enabled |= (uint32_t)link->queue[i].is_enabled << i;
	return enabled & link->running;
}

uint64_t
guest_link_features(const struct guest_link *link)
{
	return link->user.features;
}

uint64_t
guest_link_mtu(const struct guest_link *link)
{
	return link->mtu;
}

const char *
guest_link_why(const struct guest_link *link)
{
	return link->user.why;
}

void
guest_link_destroy(struct guest_link *link)
{
	if (!link)
		return;
	close_late(link);
	vhost_user_fini(&link->user);
	link->cfg.close(link->cfg.arg, link->cfg.socket, guest_link_end_socket(link->cfg.socket));
	free(link);
}
