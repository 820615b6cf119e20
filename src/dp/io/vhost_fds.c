// Calls of the C library that librte_vhost makes on a front-end's behalf, intercepted: this
// program's own symbols precede the library's. recvmsg checks the messages. close keeps the
// account, and lets another thread close. sendmsg does not wait for a front-end that does not read.
// accept and connect learn the descriptor, which librte_vhost (24.11) keeps to itself.
// eventfd_write is watched, and so are recvmsg and read, which drop parts that a message should not
// have. Other descriptors are passed through.
//
// Invariant: librte_vhost and this file are the only ones that close a connection's descriptors,
// which vhost_conn.c knows. Descriptors that librte_vhost forgets (of a message that it refuses
// half-way) are closed with their connection.
//
// recvmsg also holds the event thread up while the control thread connects a port. librte_vhost
// gives the connection to the event thread before it puts it into its own list. A connection that
// ends at once would be removed from the list before it is in.
#include "vhost_fds.h"

#include "base/tsan.h"
#include "fd_kind.h"
#include "rtvs/dp.h"
#include "rtvs/log.h"
#include "vhost_conn.h"
#include "vhost_guard.h"

#include <rte_common.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MAX_MESSAGE_FDS 8 // librte_vhost has room for as many
#define MAX_RING (2 * DP_MAX_QUEUES) // librte_vhost would allocate up to 256 rings
#define SHED_TOLD_S 60
// The connection is in the list by then: the control thread does nothing else.
#define CONNECT_NS 100000000

struct message { // the head of each, vhost-user specification, "Header"
	uint32_t request, flags, size;
};

// The messages that the daemon offers ("Front-end message types"), and the kinds of their
// descriptors. Messages of other protocol features are refused, whatever librte_vhost would do with
// them: GET_INFLIGHT_FD makes it clear up to 4 GB of memory, POSTCOPY_ADVISE lets the front-end
// hold up page faults.
static const struct request {
	bool is_offered, has_ring;
	enum fd_kind kind;
	const char *name;
} requests[] = {
	[1] = {true, .name = "GET_FEATURES"},
	[2] = {true, .name = "SET_FEATURES"},
	[3] = {true, .name = "SET_OWNER"},
	[4] = {true, .name = "RESET_OWNER"},
	[5] = {true, .kind = FD_MEMORY, .name = "SET_MEM_TABLE"},
	[6] = {true, .kind = FD_MEMORY, .name = "SET_LOG_BASE"},
	[7] = {true, .kind = FD_EVENT, .name = "SET_LOG_FD"},
	[8] = {true, true, .name = "SET_VRING_NUM"},
	[9] = {true, true, .name = "SET_VRING_ADDR"},
	[10] = {true, true, .name = "SET_VRING_BASE"},
	[11] = {true, true, .name = "GET_VRING_BASE"},
	[12] = {true, true, FD_EVENT, "SET_VRING_KICK"},
	[13] = {true, true, FD_EVENT, "SET_VRING_CALL"},
	[14] = {true, true, FD_EVENT, "SET_VRING_ERR"},
	[15] = {true, .name = "GET_PROTOCOL_FEATURES"},
	[16] = {true, .name = "SET_PROTOCOL_FEATURES"},
	[17] = {true, .name = "GET_QUEUE_NUM"},
	[18] = {true, true, .name = "SET_VRING_ENABLE"},
	[19] = {true, .name = "SEND_RARP"},
	[20] = {true, .name = "NET_SET_MTU"},
	[39] = {true, .name = "SET_STATUS"},
	[40] = {true, .name = "GET_STATUS"},
};

// of reserve; the supervisor never waits for it
static pthread_mutex_t shedding = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t connecting = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(vhost_fds_may_connect_fn *) may_connect_cb; // NULL: there are no ports yet
static int reserve = -1; // a descriptor that is there when there are no more
static _Thread_local bool is_connecting, is_unregistering;
static _Thread_local int last_socket = -1; // accepted or connected

ssize_t recvmsg(int socket, struct msghdr *msg, int flags);
ssize_t sendmsg(int socket, const struct msghdr *msg, int flags);
int accept(int socket, struct sockaddr *addr, socklen_t *len);
int connect(int socket, const struct sockaddr *addr, socklen_t len);
ssize_t read(int fd, void *buf, size_t size);
int close(int fd);
int eventfd_write(int fd, eventfd_t value);

// Bytes from a socket were sent before: ThreadSanitizer knows that of the C library's functions
// only.
static char in_order;

static ssize_t
receive_now(int socket, struct msghdr *msg, int flags)
{
	ssize_t n = syscall(SYS_recvmsg, socket, msg, flags);

	tsan_acquire(&in_order);
	return n;
}

// At once for its other end. Unread data in it are freed later.
static void
drop_socket(int socket)
{
	(void)shutdown(socket, SHUT_RDWR);
	vhost_guard_close(socket, 0);
}

int
vhost_fds_adopt(struct vhost_client *client, pid_t *ret_pid)
{
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);
	int socket = last_socket;

	last_socket = -1;
	if (!vhost_conn_add(socket, client))
		return -1;
	*ret_pid = getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &len) ? 0 : peer.pid;
	return socket;
}

bool
vhost_fds_is_hung_up(int socket)
{
	struct pollfd p = {.fd = socket, .events = POLLRDHUP};

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL));
}

// All that its connection has left open, then its place is free.
static void
close_rest(struct vhost_conn *c)
{
	for (int fd = -1; (fd = vhost_conn_next_fd(c, fd)) >= 0;)
		vhost_guard_close(fd, 0);
	vhost_conn_free(c);
}

int
close(int fd)
{
	struct vhost_conn *c;

	if (__builtin_expect(!vhost_conn_owner(fd), 1))
		return tsan_close(fd);
	c = vhost_conn_at(fd);
	if (!c) {
		vhost_conn_del_fd(fd);
		vhost_guard_close(fd, 0); // it may be the last that holds a guest's memory
		return 0;
	}
	vhost_conn_close(c, is_unregistering);
	// librte_vhost's event thread closes a connection when it is done with it.
	if (!is_unregistering)
		close_rest(c);
	drop_socket(fd);
	return 0;
}

void
vhost_fds_unregister_begin(void)
{
	is_unregistering = true;
}

void
vhost_fds_unregister_end(void)
{
	struct vhost_conn *c;

	is_unregistering = false;
	while ((c = vhost_conn_left()))
		close_rest(c);
}

void
vhost_fds_connect_begin(void)
{
	pthread_mutex_lock(&connecting);
	is_connecting = true;
}

void
vhost_fds_connect_end(void)
{
	is_connecting = false;
	pthread_mutex_unlock(&connecting);
}

static struct timespec
after(uint64_t ns)
{
	struct timespec end;

	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	ns += (uint64_t)end.tv_nsec;
	return (struct timespec){end.tv_sec + (time_t)(ns / 1000000000), (long)(ns % 1000000000)};
}

// With a limit, so that a library that waited for its event thread meanwhile would only be slow.
static void
wait_connected(void)
{
	struct timespec end = after(CONNECT_NS);

	if (!is_connecting && !pthread_mutex_clocklock(&connecting, CLOCK_MONOTONIC, &end))
		pthread_mutex_unlock(&connecting);
}

// librte_vhost reads the rest of a message blocking, so the rest must have arrived. False: it did
// not come in time.
static bool
wait_rest(int socket, uint32_t size)
{
	struct timespec end = after((uint64_t)VHOST_MESSAGE_WAIT_MS * 1000000), now;
	int n = 0;

	while (!ioctl(socket, FIONREAD, &n) && (uint32_t)n < size) {
		struct pollfd p = {.fd = socket, .events = POLLIN};

		(void)clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec > end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec >= end.tv_nsec))
			return false;
		if (n) // poll tells of the first byte only
			(void)nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
		else if (poll(&p, 1, VHOST_MESSAGE_WAIT_MS) > 0 && (p.revents & (POLLHUP | POLLERR)) &&
			!(p.revents & POLLIN))
			return true; // the end, which librte_vhost reads
	}
	return true;
}

// Why a message with its n descriptors is not let through; NULL: it is. The text is of this thread,
// until the next call.
static const char *
find_fault(const struct vhost_conn *c, const struct message *m, const int *fds, unsigned n, bool is_cut)
{
	static _Thread_local char text[128];
	const struct request *r = m->request < RTE_DIM(requests) ? &requests[m->request] : NULL;
	uint32_t ring;

	if (!r || !r->is_offered) {
		(void)snprintf(text, sizeof(text), "message %u, which is not offered", m->request);
		return text;
	}
	if (is_cut || (n && !r->kind)) {
		(void)snprintf(text, sizeof(text), "%s with descriptors, or too many", r->name);
		return text;
	}
	for (unsigned i = 0; i < n; i++) {
		if ((unsigned)fds[i] >= VHOST_CONN_FDS || atomic_load(&c->n_fds) + n > VHOST_FDS_BUDGET) {
			(void)snprintf(text, sizeof(text), "more than %u open descriptors", VHOST_FDS_BUDGET);
			return text;
		}
		if (fd_kind(fds[i]) != r->kind) {
			(void)snprintf(
				text, sizeof(text), "%s whose descriptor is not %s", r->name, fd_kind_names[r->kind]);
			return text;
		}
	}
	if (r->has_ring &&
		(m->size < sizeof(ring) ||
			recv(c->socket, &ring, sizeof(ring), MSG_PEEK | MSG_DONTWAIT) < (ssize_t)sizeof(ring) ||
			(r->kind ? ring & 0xff : ring) >= MAX_RING)) {
		(void)snprintf(text, sizeof(text), "%s of a ring beyond the %u that there may be", r->name, MAX_RING);
		return text;
	}
	return NULL;
}

static unsigned
take_fds(struct msghdr *msg, int fds[MAX_MESSAGE_FDS])
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = RTE_MIN(n, (size_t)MAX_MESSAGE_FDS);
		memcpy(fds, CMSG_DATA(c), n * sizeof(int));
		return (unsigned)n;
	}
	return 0;
}

// The kernel drops descriptors that have no room.
static ssize_t
receive(int socket, struct msghdr *msg, int flags)
{
	size_t room = msg->msg_controllen; // which a failure may have changed
	ssize_t n;

	vhost_guard_enter();
	n = receive_now(socket, msg, flags | MSG_DONTWAIT);
	vhost_guard_leave();
	if (n < 0)
		msg->msg_controllen = room;
	return n;
}

ssize_t
recvmsg(int socket, struct msghdr *msg, int flags)
{
	struct vhost_conn *c = vhost_conn_at(socket);
	struct message m = {0};
	int fds[MAX_MESSAGE_FDS];
	const char *fault;
	bool is_late = false;
	unsigned n_fds;
	ssize_t n;

	if (!c)
		return receive_now(socket, msg, flags);
	wait_connected();
	n = receive(socket, msg, flags);
	// An event may have been of a connection that had this number before.
	if (n < 0 && errno == EAGAIN &&
		poll(&(struct pollfd){.fd = socket, .events = POLLIN}, 1, VHOST_MESSAGE_WAIT_MS) > 0)
		n = receive(socket, msg, flags);
	if (n <= 0)
		return n;
	memcpy(&m, msg->msg_iov[0].iov_base, RTE_MIN((size_t)n, sizeof(m)));
	n_fds = take_fds(msg, fds);
	if ((size_t)n == sizeof(m))
		is_late = !wait_rest(socket, m.size);
	fault = is_late || (size_t)n < sizeof(m) ? "a message that stops in the middle" :
						   find_fault(c, &m, fds, n_fds, msg->msg_flags & MSG_CTRUNC);
	for (unsigned i = 0; i < n_fds; i++) {
		if (fd_kind(fds[i]) == FD_FOREIGN) {
			vhost_guard_close(fds[i], c->client->serial);
		} else if (fault) {
			vhost_guard_close(fds[i], 0);
		} else {
			vhost_conn_add_fd(c, fds[i]);
		}
	}
	if (!fault)
		return n;
	c->client->fault(c->client, fault, is_late);
	msg->msg_controllen = 0;
	errno = EPROTO;
	return -1;
}

// The rest of a message, whose descriptors the kernel drops.
ssize_t
read(int fd, void *buf, size_t size)
{
	bool is_watched = vhost_conn_owner(fd);
	ssize_t n;

	if (is_watched)
		vhost_guard_enter();
	n = tsan_read(fd, buf, size);
	if (is_watched)
		vhost_guard_leave();
	return n;
}

ssize_t
sendmsg(int socket, const struct msghdr *msg, int flags)
{
	struct vhost_conn *c = vhost_conn_at(socket);
	ssize_t n;

	tsan_release(&in_order);
	n = syscall(SYS_sendmsg, socket, msg, c ? flags | MSG_DONTWAIT : flags);
	// librte_vhost takes no notice of what sendmsg says.
	if (c && (n < 0 ? errno == EAGAIN || errno == EWOULDBLOCK : (size_t)n < msg->msg_iov[0].iov_len))
		vhost_conn_hang_up(c, "answers that it does not read", false);
	return n;
}

// A connection that cannot be accepted would keep its listener readable, and the thread that waits
// for the listener busy. It is accepted with the descriptor that is kept for that, and closed.
static void
shed(int socket)
{
	static time_t told;
	struct timespec now;
	int fd;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	pthread_mutex_lock(&shedding);
	if (reserve >= 0)
		(void)tsan_close(reserve);
	fd = (int)syscall(SYS_accept, socket, NULL, NULL);
	vhost_guard_enter();
	if (fd >= 0)
		(void)tsan_close(fd);
	// another thread was faster
	else
		(void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	vhost_guard_leave();
	reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (!told || now.tv_sec - told >= SHED_TOLD_S) {
		log_error("out of descriptors: new front-ends are hung up on; raise LimitNOFILE= of the service "
			  "(ulimit -n)");
		told = now.tv_sec;
	}
	pthread_mutex_unlock(&shedding);
}

// False: it connected to a port that it may not have. librte_vhost need not know.
static bool
may_stay(int socket)
{
	struct sockaddr_un addr = {0};
	struct ucred peer = {0};
	socklen_t len = sizeof(addr), peer_len = sizeof(peer);
	vhost_fds_may_connect_fn *may_connect;

	if (getsockname(socket, (struct sockaddr *)&addr, &len) || addr.sun_family != AF_UNIX)
		return true;
	(void)getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &peer_len);
	may_connect = atomic_load(&may_connect_cb);
	return !may_connect || may_connect(addr.sun_path, peer.pid);
}

int
accept(int socket, struct sockaddr *addr, socklen_t *len)
{
	int fd;

	fd = (int)syscall(SYS_accept, socket, addr, len);
	tsan_acquire(&in_order);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
		shed(socket);
		errno = EMFILE;
	}
	if (fd >= 0 && !may_stay(fd)) {
		drop_socket(fd);
		errno = ECONNABORTED;
		fd = -1;
	}
	last_socket = fd;
	return fd;
}

int
connect(int socket, const struct sockaddr *addr, socklen_t len)
{
	int rc;

	tsan_release(&in_order);
	rc = (int)syscall(SYS_connect, socket, addr, len);
	last_socket = rc ? -1 : socket;
	return rc;
}

int
eventfd_write(int fd, eventfd_t value)
{
	unsigned owner = vhost_conn_owner(fd);

	if (owner)
		return vhost_guard_notify(fd, owner) ? 0 : -1;
	return write(fd, &value, sizeof(value)) == sizeof(value) ? 0 : -1;
}

// One descriptor in reserve, and as many as the process may have.
int
vhost_fds_start(vhost_fds_may_connect_fn *may_connect)
{
	struct rlimit limit;

	atomic_store(&may_connect_cb, may_connect);
	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = RTE_MIN(limit.rlim_max, (rlim_t)VHOST_CONN_FDS);
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return reserve < 0 ? -errno : 0;
}
