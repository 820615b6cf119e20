// A slot is a socket that listens, or a link. Sockets of links are watched for one event at a time:
// a link whose rings workers may still have, or that changes them too often, is parked, and read
// again by time.
// Invariants: all slots are under the lock, which the thread holds but while it waits for events;
// functions of ports run under it. An event of a slot that was freed meanwhile is known by its
// generation.
#include "guest_loop.h"

#include "base/rcu.h"
#include "rtvs/log.h"
#include "vhost_guard.h"

#include <rte_common.h>
#include <rte_pause.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_SLOTS (GUEST_LOOP_PORTS * (1 + GUEST_LOOP_LINKS))
#define MAX_EVENTS 64 // of one wait
#define STOP UINT64_MAX // the event that ends the thread
#define QUICK_LOOKS 200 // for the workers' turns, before a link is parked
#define QUIET_NS 100000 // between two looks at a parked one
#define SHED_TOLD_S 60
#define FILES_MAX 65536 // descriptors of the process, if it may have so many

struct slot {
	struct guest_port *port; // NULL: free
	struct guest_link *link; // NULL: it listens
	uint32_t gen;
	int fd;
	bool is_over; // the link has ended, its port knows
	bool is_removed; // the control thread frees it
	bool is_parked;
	unsigned owner;
	// Since the link was hidden for the n_hidden-th time: whether workers may still have its
	// rings.
	uint64_t token, n_hidden;
	uint64_t changes_since_ns;
	uint32_t n_changes;
	TAILQ_ENTRY(slot) parked;
};

struct guest_loop {
	struct rcu *rcu;
	pthread_t thread;
	pthread_mutex_t lock;
	int epoll_fd, stop_fd;
	int reserve; // a descriptor that is there when there are no more
	time_t shed_told;
	bool is_frozen;
	unsigned n_slots; // all that were ever used are below
	TAILQ_HEAD(, slot) parked;
	struct slot slot[MAX_SLOTS];
};

static uint64_t
now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int
watch(struct guest_loop *loop, struct slot *s, int op, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.u64 = (uint64_t)s->gen << 32 | (uint32_t)(s - loop->slot)};

	return epoll_ctl(loop->epoll_fd, op, s->fd, &ev) ? -errno : 0;
}

static void
rearm(struct guest_loop *loop, struct slot *s)
{
	uint32_t out = guest_link_has_replies(s->link) ? EPOLLOUT : 0;

	(void)watch(loop, s, EPOLL_CTL_MOD, EPOLLIN | EPOLLRDHUP | EPOLLONESHOT | out);
}

static struct slot *
new_slot(struct guest_loop *loop, struct guest_port *port, int fd)
{
	unsigned i = 0;

	while (i < loop->n_slots && loop->slot[i].port)
		i++;
	if (i == MAX_SLOTS)
		return NULL;
	loop->n_slots = RTE_MAX(loop->n_slots, i + 1);
	loop->slot[i] = (struct slot){.port = port, .fd = fd, .gen = loop->slot[i].gen + 1};
	return &loop->slot[i];
}

static void
park(struct guest_loop *loop, struct slot *s, bool is_parked)
{
	if (s->is_parked == is_parked)
		return;
	s->is_parked = is_parked;
	if (is_parked)
		TAILQ_INSERT_TAIL(&loop->parked, s, parked);
	else
		TAILQ_REMOVE(&loop->parked, s, parked);
}

// No worker has the link's rings.
static void
free_link(struct guest_loop *loop, struct slot *s)
{
	park(loop, s, false);
	(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
	vhost_owner_del(s->owner);
	guest_link_destroy(s->link);
	s->port = NULL;
}

// No worker has the rings of the hidden link any more.
static bool
is_quiet(struct guest_loop *loop, struct slot *s)
{
	if (s->n_hidden != guest_link_n_hidden(s->link)) {
		s->n_hidden = guest_link_n_hidden(s->link);
		s->token = rcu_token(loop->rcu);
	}
	for (unsigned i = 0; i < QUICK_LOOKS; i++) {
		if (rcu_is_over(loop->rcu, s->token))
			return true;
		rte_pause();
	}
	return false;
}

static void
end(struct guest_loop *loop, struct slot *s)
{
	const char *why = guest_link_why(s->link);

	s->is_over = true;
	(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
	s->port->closed(s->port, s->link, why[0] ? why : NULL);
}

static bool
changes_too_often(struct slot *s)
{
	uint64_t now = now_ns();

	if (now - s->changes_since_ns >= GUEST_LOOP_CHANGES_NS) {
		s->changes_since_ns = now;
		s->n_changes = 0;
	}
	return s->n_changes == GUEST_LOOP_CHANGES;
}

// 0: all that came is handled. -EAGAIN: it has to wait. Else the link ends.
static int
read_link(struct guest_loop *loop, struct slot *s)
{
	int rc = guest_link_is_shown(s->link) || is_quiet(loop, s) ? guest_link_read(s->link) : -EAGAIN;

	if (rc != -EBUSY)
		return rc;
	if (changes_too_often(s))
		return -EAGAIN;
	s->n_changes++;
	guest_link_hide(s->link);
	return is_quiet(loop, s) ? guest_link_read(s->link) : -EAGAIN;
}

static void
serve(struct guest_loop *loop, struct slot *s)
{
	int rc = s->is_over ? 0 : read_link(loop, s);

	if (rc && rc != -EAGAIN)
		end(loop, s);
	if (s->is_over && is_quiet(loop, s)) {
		free_link(loop, s);
		return;
	}
	park(loop, s, rc || s->is_over);
	if (s->is_parked)
		return;
	s->port->changed(s->port, s->link);
	rearm(loop, s);
}

static void
drop_socket(const struct guest_port *port, int socket)
{
	vhost_guard_close(socket, guest_link_end_socket(socket) ? port->serial : 0);
}

static void
close_later(void *arg, int fd, bool is_foreign)
{
	const struct guest_port *port = arg;

	vhost_guard_close(fd, is_foreign ? port->serial : 0);
}

static void
unmap_later(void *arg, void *at, size_t n_bytes)
{
	(void)arg;
	vhost_guard_unmap(at, n_bytes);
}

static unsigned
n_links(const struct guest_loop *loop, const struct guest_port *port)
{
	unsigned n = 0;

	for (unsigned i = 0; i < loop->n_slots; i++)
		n += loop->slot[i].port == port && loop->slot[i].link;
	return n;
}

static int
add_link(struct guest_loop *loop, struct guest_port *port, int fd, pid_t pid, struct slot **ret_slot)
{
	struct guest_link_cfg cfg = {.fd = fd,
		.features = port->features,
		.n_pairs = port->n_pairs,
		.device = port->device,
		.is_kept = port->is_kept,
		.arg = port,
		.announce = port->announce,
		.prepare = port->prepare,
		.close = close_later,
		.unmap = unmap_later};
	struct slot *s = n_links(loop, port) < GUEST_LOOP_LINKS ? new_slot(loop, port, fd) : NULL;
	int rc = -ENOMEM;

	cfg.owner = s ? vhost_owner_add(fd, &port->client) : 0;
	if (!cfg.owner) {
		if (s)
			s->port = NULL;
		drop_socket(port, fd);
		return -EMFILE;
	}
	s->owner = cfg.owner;
	s->link = port->create(&cfg);
	if (s->link) {
		s->fd = guest_link_fd(s->link);
		rc = watch(loop, s, EPOLL_CTL_ADD, EPOLLIN | EPOLLRDHUP | EPOLLONESHOT);
	}
	if (rc) {
		vhost_owner_del(s->owner);
		guest_link_destroy(s->link);
		s->port = NULL;
		return rc;
	}
	port->opened(port, s->link, pid);
	*ret_slot = s;
	return 0;
}

static pid_t
pid_of(int socket)
{
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);

	return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &len) ? 0 : peer.pid;
}

// A connection that cannot be accepted would keep its listener readable, and the thread busy. It is
// accepted with the descriptor that is kept for that, and closed.
static void
shed(struct guest_loop *loop, int socket)
{
	struct timespec now;
	int fd;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	if (loop->reserve >= 0)
		close(loop->reserve);
	fd = accept4(socket, NULL, NULL, SOCK_CLOEXEC);
	vhost_guard_enter();
	if (fd >= 0)
		close(fd); // now: its number is the reserve's
	vhost_guard_leave();
	loop->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (!loop->shed_told || now.tv_sec - loop->shed_told >= SHED_TOLD_S) {
		log_error("out of descriptors: new front-ends are hung up on; raise LimitNOFILE= of the service "
			  "(ulimit -n)");
		loop->shed_told = now.tv_sec;
	}
}

static void
take_connection(struct guest_loop *loop, const struct slot *s)
{
	struct guest_port *port = s->port;
	struct slot *ignored;
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	pid_t pid;

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE)
			shed(loop, s->fd);
		return;
	}
	pid = pid_of(fd);
	if (port->may_connect(port, pid))
		(void)add_link(loop, port, fd, pid, &ignored);
	else
		drop_socket(port, fd);
}

static void
handle_event(struct guest_loop *loop, uint64_t id)
{
	struct slot *s = &loop->slot[(uint32_t)id];

	if (!s->port || s->gen != id >> 32 || s->is_removed || s->is_over)
		return;
	if (s->link)
		serve(loop, s);
	else
		take_connection(loop, s);
}

static void
serve_parked(struct guest_loop *loop)
{
	struct slot *s, *next;

	for (s = TAILQ_FIRST(&loop->parked); s; s = next) {
		next = TAILQ_NEXT(s, parked);
		if (!s->is_removed)
			serve(loop, s);
	}
}

static int
wait_events(struct guest_loop *loop, struct epoll_event *ev, bool is_parked)
{
	const struct timespec quiet = {.tv_nsec = QUIET_NS};
	int n = epoll_pwait2(loop->epoll_fd, ev, MAX_EVENTS, is_parked ? &quiet : NULL, NULL);

	return n < 0 && errno == ENOSYS ? epoll_wait(loop->epoll_fd, ev, MAX_EVENTS, is_parked ? 1 : -1) : n;
}

static void *
run(void *arg)
{
	struct guest_loop *loop = arg;
	struct epoll_event ev[MAX_EVENTS];
	bool is_ending = false, is_parked = false;

	vhost_guard_join(VHOST_GUARD_LOOP);
	while (!is_ending) {
		int n = wait_events(loop, ev, is_parked);

		pthread_mutex_lock(&loop->lock);
		is_ending |= loop->is_frozen;
		for (int i = 0; i < n && !loop->is_frozen; i++)
			if (ev[i].data.u64 == STOP)
				is_ending = true;
			else
				handle_event(loop, ev[i].data.u64);
		if (!loop->is_frozen)
			serve_parked(loop);
		is_parked = !TAILQ_EMPTY(&loop->parked);
		pthread_mutex_unlock(&loop->lock);
	}
	return NULL;
}

static void
raise_limit(void)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = RTE_MIN(limit.rlim_max, (rlim_t)FILES_MAX);
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int
guest_loop_create(struct rcu *rcu, struct guest_loop **ret_loop)
{
	struct guest_loop *loop = calloc(1, sizeof(*loop));
	struct epoll_event stop = {.events = EPOLLIN, .data.u64 = STOP};
	int rc;

	if (!loop)
		return -ENOMEM;
	raise_limit();
	loop->rcu = rcu;
	TAILQ_INIT(&loop->parked);
	pthread_mutex_init(&loop->lock, NULL);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	loop->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	rc = loop->epoll_fd < 0 || loop->stop_fd < 0 || loop->reserve < 0 ||
			epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->stop_fd, &stop) ?
		-errno :
		-pthread_create(&loop->thread, NULL, run, loop);
	if (rc) {
		loop->thread = 0;
		guest_loop_destroy(loop);
		return rc;
	}
	(void)pthread_setname_np(loop->thread, "rtvs-vhost");
	*ret_loop = loop;
	return 0;
}

void
guest_loop_destroy(struct guest_loop *loop)
{
	if (!loop)
		return;
	if (loop->thread) {
		(void)eventfd_write(loop->stop_fd, 1);
		pthread_join(loop->thread, NULL);
	}
	for (unsigned i = 0; i < 3; i++) {
		int fd = ((int[]){loop->epoll_fd, loop->stop_fd, loop->reserve})[i];

		if (fd >= 0)
			close(fd);
	}
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

int
guest_loop_listen(struct guest_loop *loop, struct guest_port *port, int socket)
{
	struct slot *s;
	int rc = -EMFILE;

	pthread_mutex_lock(&loop->lock);
	s = new_slot(loop, port, socket);
	if (s)
		rc = watch(loop, s, EPOLL_CTL_ADD, EPOLLIN);
	if (rc && s)
		s->port = NULL;
	pthread_mutex_unlock(&loop->lock);
	if (rc)
		close(socket);
	return rc;
}

int
guest_loop_connect(struct guest_loop *loop, struct guest_port *port, int socket)
{
	struct slot *ignored;
	int rc;

	pthread_mutex_lock(&loop->lock);
	rc = add_link(loop, port, socket, pid_of(socket), &ignored);
	pthread_mutex_unlock(&loop->lock);
	return rc;
}

// The port sees the link before it is restored: it says where rings stand.
int
guest_loop_adopt(struct guest_loop *loop, struct guest_port *port, int socket, const struct vhost_user_kept *kept,
	struct vhost_user_kept_fds *fds, _Atomic uint32_t *is_whole)
{
	struct slot *s;
	int rc;

	pthread_mutex_lock(&loop->lock);
	rc = add_link(loop, port, socket, pid_of(socket), &s);
	if (rc)
		vhost_link_drop(fds);
	else {
		s->link->is_whole = is_whole;
		rc = vhost_link_restore(s->link, kept, fds);
		if (!rc)
			port->changed(port, s->link);
		else {
			end(loop, s);
			free_link(loop, s);
		}
	}
	pthread_mutex_unlock(&loop->lock);
	return rc;
}

int
guest_loop_listener(const struct guest_loop *loop, const struct guest_port *port)
{
	for (unsigned i = 0; i < loop->n_slots; i++)
		if (loop->slot[i].port == port && !loop->slot[i].link && !loop->slot[i].is_removed)
			return loop->slot[i].fd;
	return -1;
}

void
guest_loop_freeze(struct guest_loop *loop)
{
	loop->is_frozen = true;
	pthread_mutex_unlock(&loop->lock);
}

void
guest_loop_lock(struct guest_loop *loop)
{
	pthread_mutex_lock(&loop->lock);
}

void
guest_loop_unlock(struct guest_loop *loop)
{
	pthread_mutex_unlock(&loop->lock);
}

void
guest_loop_refresh(struct guest_loop *loop, struct guest_port *port)
{
	pthread_mutex_lock(&loop->lock);
	for (unsigned i = 0; i < loop->n_slots; i++) {
		struct slot *s = &loop->slot[i];

		// A parked one is changed when its message is handled.
		if (s->port == port && s->link && !s->is_over && !s->is_parked)
			port->changed(port, s->link);
	}
	pthread_mutex_unlock(&loop->lock);
	rcu_wait(loop->rcu);
}

void
guest_loop_remove(struct guest_loop *loop, struct guest_port *port)
{
	pthread_mutex_lock(&loop->lock);
	for (unsigned i = 0; i < loop->n_slots; i++) {
		struct slot *s = &loop->slot[i];

		if (s->port != port)
			continue;
		s->is_removed = true;
		if (s->link && !s->is_over)
			end(loop, s);
	}
	pthread_mutex_unlock(&loop->lock);
	rcu_wait(loop->rcu);
	pthread_mutex_lock(&loop->lock);
	for (unsigned i = 0; i < loop->n_slots; i++) {
		struct slot *s = &loop->slot[i];

		if (s->port != port)
			continue;
		if (s->link) {
			free_link(loop, s);
			continue;
		}
		(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
		close(s->fd);
		s->port = NULL;
	}
	pthread_mutex_unlock(&loop->lock);
}
