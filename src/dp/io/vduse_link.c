// The kernel's requests are read from the device, and answered by a write, neither of which waits.
// It has 30 s (msg_timeout) before it gives the device up. A ring that waits for its driver is
// looked at whenever that kicks, and some times by a timer: a driver may make a ring ready, or the
// kernel take our answer, without a further word.
// Invariant: as vhost_link.c.
#include "vduse_link.h"

#include "fd_kind.h"
#include "rtvs/vduse.h"
#include "vduse_device.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define REQUESTS_AT_ONCE 16 // of one link, before others have their turn
#define LOOK_NS 10000000
#define LOOKS_MAX 100 // by time, after a change of the device's status
#define PAGE 4096 // of the kernel's own memory

struct vduse_link {
	struct guest_link link; // its fd is an epoll set of those below
	struct vduse vduse;
	struct vduse_dev_request request; // read and not handled, if there is one
	bool has_request;
	int timer;
	unsigned n_looks; // by time
	int kick[VDUSE_N_RINGS];
	bool is_watched[VDUSE_N_RINGS]; // its kick, by us in place of workers
	char why[80];
};

static struct vduse_link *
link_of(struct guest_link *link)
{
	return (struct vduse_link *)link;
}

static int
get_features(void *arg, uint64_t *ret_features)
{
	struct guest_link *link = arg;

	return ioctl(link->cfg.fd, VDUSE_DEV_GET_FEATURES, ret_features) ? -errno : 0;
}

static int
get_ring(void *arg, struct vduse_vq_info *info)
{
	struct guest_link *link = arg;

	return ioctl(link->cfg.fd, VDUSE_VQ_GET_INFO, info) ? -errno : 0;
}

static bool
has_driver(void *arg)
{
	struct guest_link *link = arg;

	return vduse_device_has_driver(link->cfg.fd);
}

static int
find(void *arg, struct vduse_iotlb_entry *entry)
{
	struct guest_link *link = arg;
	int fd = ioctl(link->cfg.fd, VDUSE_IOTLB_GET_FD, entry);

	return fd < 0 ? -errno : fd;
}

static void
listen_kicks(void *arg)
{
	struct vduse_link *link = arg;

	for (uint32_t i = 0; i < VDUSE_N_RINGS; i++) {
		struct vduse_vq_eventfd kick = {.index = i, .fd = link->kick[i]};

		(void)ioctl(link->link.cfg.fd, VDUSE_VQ_SETUP_KICKFD, &kick);
	}
}

// The device's own memory: copies of what its driver sends, and rings of a driver in the kernel. No
// file has a name without a slash.
static bool
is_kernel_memory(int fd)
{
	static const char name[] = "anon_inode:[vduse-domain]";
	char path[32], text[sizeof(name)];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, text, sizeof(text)) == sizeof(name) - 1 && !memcmp(text, name, sizeof(name) - 1);
}

static int
do_map(void *arg, int fd, uint64_t offset, uint64_t n_bytes, uint8_t **ret_host)
{
	struct guest_link *link = arg;
	bool is_kernels = is_kernel_memory(fd), is_memory = is_kernels || fd_kind(fd) == FD_MEMORY;
	int rc = -EINVAL;

	if (is_kernels)
		rc = guest_link_map(link, fd, offset, n_bytes, PAGE, ret_host);
	else if (is_memory)
		rc = guest_link_map_file(link, fd, offset, n_bytes, ret_host);
	link->cfg.close(link->cfg.arg, fd, !is_memory);
	return rc;
}

static void
do_close(void *arg, int fd)
{
	struct guest_link *link = arg;

	link->cfg.close(link->cfg.arg, fd, !is_kernel_memory(fd) && fd_kind(fd) == FD_FOREIGN);
}

// The rings of a new driver are where those of the former one were, and look alike: what is kept of
// those must not be taken for theirs.
static int
do_start(void *arg, unsigned ring, const struct guest_ring_cfg *cfg, bool is_resumed)
{
	struct guest_link *link = arg;

	if (!is_resumed)
		link->known |= 1u << ring;
	return guest_link_start(link, ring, cfg, link_of(link)->kick[ring]);
}

// -EBUSY: workers have what the request is about. 0: there is none, 1: it was handled.
static int
take_request(struct vduse_link *link)
{
	struct vduse_dev_response response;
	int device = link->link.cfg.fd;
	ssize_t n;

	if (!link->has_request) {
		n = read(device, &link->request, sizeof(link->request));
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -ECONNRESET;
		if (n != sizeof(link->request))
			return -ECONNRESET;
		link->has_request = true;
	}
	if (link->link.io && vduse_is_change(&link->vduse, &link->request))
		return -EBUSY;
	vduse_handle(&link->vduse, &link->request, &response);
	link->has_request = false;
	link->n_looks = 0;
	// The kernel may have stopped waiting: then it takes no answer.
	(void)!write(device, &response, sizeof(response));
	return 1;
}

static bool
is_given_up(const struct vduse_link *link)
{
	struct pollfd p = {.fd = link->link.cfg.fd};

	return poll(&p, 1, 0) > 0 && p.revents & POLLERR;
}

// Kicks of a ring that runs are the workers'.
static void
watch_kicks(struct vduse_link *link)
{
	for (unsigned i = 0; i < VDUSE_N_RINGS; i++) {
		bool is_wanted = !link->vduse.ring[i].is_running;
		struct epoll_event ev = {.events = EPOLLIN};

		if (is_wanted != link->is_watched[i] &&
			!epoll_ctl(link->link.fd, is_wanted ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, link->kick[i], &ev))
			link->is_watched[i] = is_wanted;
	}
}

static void
look(struct vduse_link *link)
{
	struct itimerspec at = {.it_value.tv_nsec = 0};
	uint64_t ignored;

	(void)!read(link->timer, &ignored, sizeof(ignored));
	for (unsigned i = 0; i < VDUSE_N_RINGS; i++)
		if (link->is_watched[i])
			(void)!read(link->kick[i], &ignored, sizeof(ignored));
	if (vduse_look(&link->vduse) && link->n_looks < LOOKS_MAX) {
		link->n_looks++;
		at.it_value.tv_nsec = LOOK_NS;
	}
	(void)timerfd_settime(link->timer, 0, &at, NULL);
	watch_kicks(link);
}

static int
do_read(struct guest_link *base)
{
	struct vduse_link *link = link_of(base);
	int rc = 1;

	for (unsigned i = 0; rc == 1 && i < REQUESTS_AT_ONCE; i++)
		rc = take_request(link);
	if (rc >= 0 && is_given_up(link)) {
		(void)snprintf(link->why, sizeof(link->why), "the kernel gave up waiting for an answer (msg_timeout)");
		rc = -EPROTO;
	}
	if (rc < 0)
		return rc;
	look(link);
	return 0;
}

static void
close_all(struct vduse_link *link)
{
	const int fds[] = {link->kick[0], link->kick[1], link->timer, link->link.fd, link->link.cfg.fd};

	for (unsigned i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	guest_link_free(&link->link);
}

static void
do_destroy(struct guest_link *base)
{
	struct vduse_link *link = link_of(base);

	vduse_fini(&link->vduse);
	close_all(link);
}

static int
open_all(struct vduse_link *link)
{
	struct epoll_event ev = {.events = EPOLLIN};

	link->link.fd = epoll_create1(EPOLL_CLOEXEC);
	link->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	for (unsigned i = 0; i < VDUSE_N_RINGS; i++)
		link->kick[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (link->link.fd < 0 || link->timer < 0 || link->kick[0] < 0 || link->kick[1] < 0 ||
		epoll_ctl(link->link.fd, EPOLL_CTL_ADD, link->link.cfg.fd, &ev) ||
		epoll_ctl(link->link.fd, EPOLL_CTL_ADD, link->timer, &ev))
		return -errno;
	return 0;
}

struct guest_link *
vduse_link_create(const struct guest_link_cfg *cfg)
{
	static const struct guest_link_kind kind = {.read = do_read, .destroy = do_destroy};
	static const struct vduse_ops ops = {
		.features = get_features,
		.ring = get_ring,
		.has_driver = has_driver,
		.find = find,
		.listen = listen_kicks,
		.map = do_map,
		.unmap = guest_link_unmap,
		.close = do_close,
		.start = do_start,
		.stop = guest_link_stop,
	};
	struct guest_link *base = guest_link_create(sizeof(struct vduse_link), &kind, cfg);
	struct vduse_cfg vduse = {.ops = &ops, .arg = base, .features = cfg->features};
	struct vduse_link *link = link_of(base);

	if (!base) {
		close(cfg->fd);
		return NULL;
	}
	if (open_all(link)) {
		close_all(link);
		return NULL;
	}
	base->features = &link->vduse.features;
	base->why = link->why;
	for (unsigned i = 0; i < VDUSE_N_RINGS; i++) {
		base->queue[i].call = cfg->fd;
		base->queue[i].owner = i;
		guest_link_enable(base, i, true);
	}
	vduse_init(&link->vduse, &vduse);
	// Rings of a driver that is there already start by the first read: whom the link is for
	// knows it by then.
	(void)timerfd_settime(link->timer, 0, &(struct itimerspec){.it_value.tv_nsec = 1}, NULL);
	return base;
}

bool
vduse_link_signal(int device, unsigned ring)
{
	uint32_t index = ring;

	return !ioctl(device, VDUSE_VQ_INJECT_IRQ, &index);
}
