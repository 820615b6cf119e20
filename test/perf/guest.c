#include "guest.h"

#include <errno.h>
#include <linux/memfd.h>
#include <linux/sockios.h>
#include <linux/vhost_types.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define RING_BYTES 8192 // a page of descriptors, then the driver's area, then the device's
#define AVAIL_AT (GUEST_RING * sizeof(struct vring_desc))
#define USED_AT (AVAIL_AT + 1024)
#define HUGEPAGE (2u << 20)
#define PAGE 4096u
#define ANSWER_S 10
#define VERSION 1u
#define IS_REPLY 4u

// Bits of virtio's features, of vhost-user's own, and of its protocol features.
#define F_MRG_RXBUF (UINT64_C(1) << 15)
#define F_MQ (UINT64_C(1) << 22)
#define F_PROTOCOL (UINT64_C(1) << 30)
#define F_VERSION_1 (UINT64_C(1) << 32)
#define F_PACKED (UINT64_C(1) << 34)
#define F_IN_ORDER (UINT64_C(1) << 35)
#define PROTOCOL_MQ UINT64_C(1)
#define NO_FD 0x100u // in the place of a ring's number: without a descriptor

enum request {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	GET_VRING_BASE = 11,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	SET_VRING_ENABLE = 18
};

struct head {
	uint32_t request, flags, size;
};

struct mem_table {
	uint32_t n_regions, padding;
	uint64_t guest_addr, size, user_addr, offset;
};

// Sends one message, with a descriptor unless fd is -1.
static int
tell(struct guest *g, enum request request, const void *payload, size_t size, int fd)
{
	struct head head = {request, VERSION, (uint32_t)size};
	struct iovec parts[] = {{&head, sizeof(head)}, {(void *)(uintptr_t)payload, size}};
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr msg = {.msg_iov = parts, .msg_iovlen = size ? 2 : 1};
	ssize_t n;

	if (fd >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		control.head = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	}
	n = sendmsg(g->socket, &msg, MSG_NOSIGNAL);
	if (n < 0)
		return -errno;
	return (size_t)n == sizeof(head) + size ? 0 : -EIO;
}

static int
tell_u64(struct guest *g, enum request request, uint64_t value, int fd)
{
	return tell(g, request, &value, sizeof(value), fd);
}

static int
tell_state(struct guest *g, enum request request, unsigned vring, unsigned num)
{
	struct vhost_vring_state state = {vring, num};

	return tell(g, request, &state, sizeof(state), -1);
}

static int
ask(struct guest *g, enum request request, uint64_t *ret_value)
{
	struct {
		struct head head;
		uint64_t value;
	} __attribute__((packed)) reply;
	int rc = tell(g, request, NULL, 0, -1);
	ssize_t n;

	if (rc)
		return rc;
	n = recv(g->socket, &reply, sizeof(reply), MSG_WAITALL);
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	if (!n)
		return -ECONNRESET;
	if (n != sizeof(reply) || reply.head.request != request || reply.head.flags != (VERSION | IS_REPLY) ||
		reply.head.size != sizeof(reply.value))
		return -EPROTO;
	*ret_value = reply.value;
	return 0;
}

// What a Linux guest negotiates, without offloads, indirect descriptors and event indexes.
static int
negotiate(struct guest *g)
{
	uint64_t wanted = F_VERSION_1 | F_MRG_RXBUF | F_PROTOCOL | (g->cfg.n_queues > 1 ? F_MQ : 0) |
		(g->cfg.is_packed ? F_PACKED : 0) | (g->cfg.is_in_order ? F_IN_ORDER : 0);
	uint64_t offered, protocol;
	int rc = ask(g, GET_FEATURES, &offered);

	if (rc)
		return rc;
	if ((offered & wanted) != wanted)
		return -ENOTSUP;
	rc = ask(g, GET_PROTOCOL_FEATURES, &protocol);
	if (!rc)
		rc = tell_u64(g, SET_PROTOCOL_FEATURES, protocol & PROTOCOL_MQ, -1);
	if (!rc)
		rc = tell(g, SET_OWNER, NULL, 0, -1);
	return rc ? rc : tell_u64(g, SET_FEATURES, wanted, -1);
}

static void
lay_out_ring(struct guest *g, struct guest_vring *r, size_t at)
{
	r->desc = (struct vring_desc *)(g->memory + at);
	r->avail = (struct vring_avail *)(g->memory + at + AVAIL_AT);
	r->used = (struct vring_used *)(g->memory + at + USED_AT);
	r->is_packed = g->cfg.is_packed;
	r->is_in_order = g->cfg.is_in_order;
	// a guest of a bench polls
	if (r->is_packed)
		r->driver->flags = VRING_PACKED_EVENT_FLAG_DISABLE;
	else
		r->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
}

// Memory begins with the rings. Frames to send follow, then each receive ring's buffers. Guest
// physical addresses are offsets.
static void
lay_out(struct guest *g)
{
	for (unsigned q = 0; q < g->cfg.n_queues; q++) {
		struct guest_vring *rx = &g->rx[q], *tx = &g->tx[q];

		lay_out_ring(g, rx, 2 * q * RING_BYTES);
		lay_out_ring(g, tx, (2 * q + 1) * RING_BYTES);
		tx->n_fresh = GUEST_RING;
		for (uint16_t i = 0; !tx->is_packed && i < GUEST_RING; i++)
			tx->desc[i].addr = guest_frame_addr(g, i % g->cfg.n_frames);
		for (uint16_t i = 0; i < GUEST_RING; i++)
			guest_vring_post(rx, i, guest_buffer_addr(g, q, i), GUEST_STRIDE, VRING_DESC_F_WRITE);
		if (!rx->is_packed)
			rx->avail->idx = rx->posted;
	}
}

static int
make_memory(struct guest *g)
{
	size_t page = g->cfg.has_hugepages ? HUGEPAGE : PAGE, n = g->cfg.n_frames + g->cfg.n_queues * g->cfg.n_buffers;
	void *memory;

	g->memory_fd =
		memfd_create("rtvs-guest", MFD_CLOEXEC | (g->cfg.has_hugepages ? MFD_HUGETLB | MFD_HUGE_2MB : 0));
	if (g->memory_fd < 0)
		return -errno;
	g->frames = 2 * g->cfg.n_queues * RING_BYTES;
	g->size = (g->frames + n * GUEST_STRIDE + page - 1) / page * page;
	if (ftruncate(g->memory_fd, (off_t)g->size))
		return -errno;
	memory = mmap(NULL, g->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, g->memory_fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	g->memory = memory;
	lay_out(g);
	return 0;
}

static int
share_memory(struct guest *g)
{
	struct mem_table table = {.n_regions = 1, .size = g->size, .user_addr = (uintptr_t)g->memory};

	return tell(g, SET_MEM_TABLE, &table, sizeof(table), g->memory_fd);
}

// Where the device continues: behind what it has used. Both positions of a packed ring are told,
// each with its wrap counter.
static unsigned
base_of(struct guest_vring *r)
{
	unsigned pos;

	(void)guest_vring_ready(r);
	if (!r->is_packed)
		return r->seen;
	pos = r->seen % GUEST_RING | (r->seen & GUEST_RING ? 0 : 1u << 15);
	return pos | pos << 16;
}

static int
start_ring(struct guest *g, struct guest_vring *r, unsigned vring)
{
	struct vhost_vring_addr addr = {.index = vring,
		.desc_user_addr = (uintptr_t)r->desc,
		.avail_user_addr = (uintptr_t)r->avail,
		.used_user_addr = (uintptr_t)r->used};
	int call_fd = eventfd(0, EFD_CLOEXEC), rc = -EMFILE;

	if (r->kick_fd >= 0)
		close(r->kick_fd);
	r->kick_fd = eventfd(0, EFD_CLOEXEC);
	if (call_fd >= 0 && r->kick_fd >= 0)
		rc = tell_state(g, SET_VRING_NUM, vring, GUEST_RING);
	if (!rc)
		rc = tell_state(g, SET_VRING_BASE, vring, base_of(r));
	if (!rc)
		rc = tell(g, SET_VRING_ADDR, &addr, sizeof(addr), -1);
	if (!rc)
		rc = tell_u64(g, SET_VRING_CALL, vring, call_fd);
	if (!rc)
		rc = tell_u64(g, SET_VRING_KICK, vring, r->kick_fd);
	if (call_fd >= 0)
		close(call_fd); // the device has its own, which nobody waits for
	return rc;
}

static int
start_rings(struct guest *g)
{
	int rc = 0;

	for (unsigned i = 0; !rc && i < 2 * g->cfg.n_queues; i++)
		rc = start_ring(g, i % 2 ? &g->tx[i / 2] : &g->rx[i / 2], i);
	for (unsigned i = 0; !rc && i < 2 * g->cfg.n_queues; i++)
		rc = tell_state(g, SET_VRING_ENABLE, i, 1);
	return rc;
}

static int
connect_socket(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd, rc;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || !connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return fd < 0 ? -errno : fd;
	rc = -errno;
	close(fd);
	return rc;
}

int
guest_init(struct guest *g, const struct guest_cfg *cfg)
{
	int rc;

	*g = (struct guest){.socket = -1, .memory_fd = -1, .cfg = *cfg};
	for (unsigned q = 0; q < GUEST_MAX_QUEUES; q++)
		g->rx[q].kick_fd = g->tx[q].kick_fd = -1;
	rc = make_memory(g);
	if (rc)
		guest_close(g);
	return rc;
}

int
guest_attach(struct guest *g, int socket, const char **ret_what)
{
	struct timeval limit = {.tv_sec = ANSWER_S};
	uint64_t ignored;
	int rc = 0;

	g->socket = socket;
	*ret_what = "features";
	if (setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ||
		setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)))
		rc = -errno;
	if (!rc)
		rc = negotiate(g);
	if (!rc) {
		*ret_what = "memory";
		rc = share_memory(g);
	}
	if (!rc) {
		*ret_what = "rings";
		rc = start_rings(g);
	}
	// messages are read in order: the rings are started
	if (!rc)
		rc = ask(g, GET_FEATURES, &ignored);
	if (rc)
		guest_detach(g);
	return rc;
}

void
guest_detach(struct guest *g)
{
	if (g->socket >= 0)
		close(g->socket);
	g->socket = -1;
}

int
guest_connect(struct guest *g, const char *path, const char **ret_what)
{
	int fd = connect_socket(path);

	*ret_what = "connect";
	return fd < 0 ? fd : guest_attach(g, fd, ret_what);
}

int
guest_open(struct guest *g, const char *path, const struct guest_cfg *cfg, char err[static GUEST_ERR_SIZE])
{
	const char *what = "memory";
	int rc = guest_init(g, cfg);

	if (!rc)
		rc = guest_connect(g, path, &what);
	if (!rc)
		return 0;
	snprintf(err, GUEST_ERR_SIZE, "%s: %s: %s", path, what, strerror(-rc));
	guest_close(g);
	return rc;
}

void
guest_close(struct guest *g)
{
	guest_detach(g);
	if (g->memory)
		munmap(g->memory, g->size);
	if (g->memory_fd >= 0)
		close(g->memory_fd);
	g->memory = NULL;
	g->memory_fd = -1;
	for (unsigned q = 0; q < g->cfg.n_queues; q++) {
		if (g->rx[q].kick_fd >= 0)
			close(g->rx[q].kick_fd);
		if (g->tx[q].kick_fd >= 0)
			close(g->tx[q].kick_fd);
		g->rx[q].kick_fd = g->tx[q].kick_fd = -1;
	}
}

int
guest_toggle(struct guest *g)
{
	unsigned step = g->n_toggles, vring = step / 8 % 2;
	struct guest_vring *r = vring ? &g->tx[0] : &g->rx[0];
	uint8_t replies[256];
	int n_unread, call_fd, rc = 0;

	if (ioctl(g->socket, SIOCOUTQ, &n_unread))
		return -errno;
	if (n_unread)
		return 0;
	while (recv(g->socket, replies, sizeof(replies), MSG_DONTWAIT) > 0)
		;
	switch (step % 8) {
	case 0:
	case 1:
		rc = tell_state(g, SET_VRING_ENABLE, vring, step % 8);
		break;
	case 2:
		rc = share_memory(g);
		break;
	case 3:
		rc = tell_state(g, GET_VRING_BASE, vring, 0); // which ends it
		break;
	case 4:
		rc = start_ring(g, r, vring);
		break;
	case 5:
		call_fd = eventfd(0, EFD_CLOEXEC);
		rc = call_fd < 0 ? -errno : tell_u64(g, SET_VRING_CALL, vring, call_fd);
		if (call_fd >= 0)
			close(call_fd);
		break;
	case 6:
		r->avail->flags ^= VRING_AVAIL_F_NO_INTERRUPT;
		rc = tell_u64(g, SET_VRING_CALL, vring | NO_FD, -1);
		break;
	case 7:
		guest_vring_kick(r);
		rc = tell(g, GET_FEATURES, NULL, 0, -1);
		break;
	}
	g->n_toggles++;
	return rc ? rc : 1;
}

void
guest_vring_kick(struct guest_vring *r)
{
	r->n_kicks++;
	(void)!eventfd_write(r->kick_fd, 1);
}
