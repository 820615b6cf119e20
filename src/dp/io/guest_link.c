// What all kinds of links do: rings start and stop, memory is mapped and unmapped, and workers get
// the rings and lose them.
// Invariant: workers read a ring, its memory and its descriptors only while the link is shown, and
// to the end of their turn when it is hidden; the caller lets these turns pass before it undoes
// anything.
#include "guest_link.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>

// Mapped at a time: more than any guest has, but no part of the address space that others miss.
#define MAX_MAPPED (UINT64_C(1) << 43)
#define MAX_MAPS (sizeof((struct guest_link){0}.map) / sizeof(struct guest_link_map))

struct guest_link *
guest_link_create(size_t n_bytes, const struct guest_link_kind *kind, const struct guest_link_cfg *cfg)
{
	const size_t line = _Alignof(struct guest_link);
	struct guest_link *link = aligned_alloc(line, (n_bytes + line - 1) / line * line);

	if (!link)
		return NULL;
	memset(link, 0, n_bytes);
	link->kind = kind;
	link->cfg = *cfg;
	link->fd = cfg->fd;
	for (unsigned i = 0; i < VHOST_USER_MAX_RINGS; i++)
		link->queue[i] = (struct guest_queue){.call = -1, .kick = -1, .owner = cfg->owner};
	return link;
}

void
guest_link_free(struct guest_link *link)
{
	free(link);
}

void
guest_link_destroy(struct guest_link *link)
{
	if (link)
		link->kind->destroy(link);
}

int
guest_link_read(struct guest_link *link)
{
	return link->kind->read(link);
}

int
guest_link_write(struct guest_link *link)
{
	return link->kind->write ? link->kind->write(link) : 0;
}

int
guest_link_fd(const struct guest_link *link)
{
	return link->fd;
}

void
guest_link_close_late(struct guest_link *link)
{
	while (!link->io && link->n_late)
		link->cfg.close(link->cfg.arg, link->late[--link->n_late], false);
}

// Maps that no link has yet, mostly in the order in which links will ask for them.
struct warm {
	STAILQ_ENTRY(warm) next;
	dev_t dev;
	ino_t ino;
	uint64_t first;
	size_t n_bytes;
	void *base;
};

static STAILQ_HEAD(, warm) warm_maps = STAILQ_HEAD_INITIALIZER(warm_maps);

// The file's pages that these bytes are in. False: no map can have them.
static bool
pages_of(uint64_t offset, uint64_t n_bytes, uint64_t page, uint64_t *ret_first, size_t *ret_n)
{
	if (n_bytes > MAX_MAPPED || offset > UINT64_MAX - MAX_MAPPED - page)
		return false;
	*ret_first = offset / page * page;
	*ret_n = (size_t)((offset + n_bytes + page - 1) / page * page - *ret_first);
	return true;
}

// MAP_FAILED: there is none, or no memory.
static void *
map_pages(int fd, uint64_t first, size_t n_bytes)
{
	void *base = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, (off_t)first);

	if (base != MAP_FAILED)
		(void)madvise(base, n_bytes, MADV_DONTDUMP);
	return base;
}

static void *
take_warm(int fd, uint64_t first, size_t n_bytes)
{
	struct stat st;
	struct warm *w;
	void *base;

	if (STAILQ_EMPTY(&warm_maps) || fstat(fd, &st))
		return MAP_FAILED;
	STAILQ_FOREACH (w, &warm_maps, next)
		if (w->dev == st.st_dev && w->ino == st.st_ino && w->first == first && w->n_bytes == n_bytes)
			break;
	if (!w)
		return MAP_FAILED;
	STAILQ_REMOVE(&warm_maps, w, warm, next);
	base = w->base;
	free(w);
	return base;
}

int
guest_link_warm(int fd, uint64_t offset, uint64_t n_bytes)
{
	struct warm *w;
	struct stat st;
	uint64_t first;
	size_t n;

	if (fstat(fd, &st) || !pages_of(offset, n_bytes, (uint64_t)st.st_blksize, &first, &n))
		return 0; // the link that asks for it is refused alone
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	*w = (struct warm){
		.dev = st.st_dev, .ino = st.st_ino, .first = first, .n_bytes = n, .base = map_pages(fd, first, n)};
	if (w->base == MAP_FAILED) {
		free(w);
		return -ENOMEM;
	}
	STAILQ_INSERT_TAIL(&warm_maps, w, next);
	return 0;
}

void
guest_link_cool(void)
{
	struct warm *w;

	while ((w = STAILQ_FIRST(&warm_maps))) {
		STAILQ_REMOVE_HEAD(&warm_maps, next);
		(void)munmap(w->base, w->n_bytes);
		free(w);
	}
}

int
guest_link_map(struct guest_link *link, int fd, uint64_t offset, uint64_t n_bytes, uint64_t page, uint8_t **ret_host)
{
	struct guest_link_map *m = link->map;
	void *base = MAP_FAILED;
	uint64_t first;

	while (m < link->map + MAX_MAPS && m->base)
		m++;
	if (m == link->map + MAX_MAPS || !pages_of(offset, n_bytes, page, &first, &m->n_bytes))
		return -ENOMEM;
	if (m->n_bytes <= MAX_MAPPED - link->n_mapped) {
		base = take_warm(fd, first, m->n_bytes);
		base = base == MAP_FAILED ? map_pages(fd, first, m->n_bytes) : base;
	}
	if (base == MAP_FAILED)
		return -ENOMEM;
	link->n_mapped += m->n_bytes;
	m->base = base;
	m->host = (uint8_t *)base + (offset - first);
	*ret_host = m->host;
	return 0;
}

int
guest_link_map_file(struct guest_link *link, int fd, uint64_t offset, uint64_t n_bytes, uint8_t **ret_host)
{
	struct stat st;

	if (fstat(fd, &st) || !n_bytes || n_bytes > (uint64_t)st.st_size || offset > (uint64_t)st.st_size - n_bytes)
		return -EINVAL;
	return guest_link_map(link, fd, offset, n_bytes, (uint64_t)st.st_blksize, ret_host);
}

void
guest_link_unmap(void *arg, uint8_t *host, uint64_t n_bytes)
{
	struct guest_link *link = arg;

	(void)n_bytes;
	for (struct guest_link_map *m = link->map; m < link->map + MAX_MAPS; m++)
		if (m->base && m->host == host) {
			link->n_mapped -= m->n_bytes;
			link->cfg.unmap(link->cfg.arg, m->base, m->n_bytes);
			if (m->has_fd) {
				link->cfg.close(link->cfg.arg, m->fd, false);
				link->n_files--;
			}
			*m = (struct guest_link_map){0};
			return;
		}
}

const struct guest_link_map *
guest_link_find_map(const struct guest_link *link, const uint8_t *host)
{
	for (const struct guest_link_map *m = link->map; m < link->map + MAX_MAPS; m++)
		if (m->base && m->host == host)
			return m;
	return NULL;
}

void
guest_link_keep_file(struct guest_link *link, const uint8_t *host, int fd, uint64_t offset)
{
	struct guest_link_map *m = (struct guest_link_map *)guest_link_find_map(link, host);

	m->has_fd = true;
	m->fd = fd;
	m->offset = offset;
	link->n_files++;
}

int
guest_link_start(void *arg, unsigned i, const struct guest_ring_cfg *cfg, int kick)
{
	struct guest_link *link = arg;
	struct guest_queue *q = &link->queue[i];
	struct guest_ring_cfg found = *cfg;
	int rc;

	link->cfg.prepare(link->cfg.arg, link, i, &found, !(link->known >> i & 1));
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

void
guest_link_stop(void *arg, unsigned i, struct guest_ring_pos *ret_pos)
{
	struct guest_link *link = arg;

	link->running &= ~(1u << i);
	link->used &= ~(1u << i);
	link->queue[i].kick = -1;
	*ret_pos = link->queue[i].ring.pos;
}

void
guest_link_enable(void *arg, unsigned i, bool is_enabled)
{
	struct guest_link *link = arg;

	link->queue[i].is_enabled = is_enabled;
	if (is_enabled)
		link->used |= link->running & 1u << i;
}

bool
guest_link_has_replies(const struct guest_link *link)
{
	return link->n_replies && *link->n_replies;
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
	struct pollfd p = {.fd = link->cfg.fd, .events = POLLRDHUP};

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
	return *link->features;
}

uint64_t
guest_link_mtu(const struct guest_link *link)
{
	return link->mtu;
}

const char *
guest_link_why(const struct guest_link *link)
{
	return link->why;
}
