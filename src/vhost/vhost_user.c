// Messages of a vhost-user front-end. One table row a message says its payload, its descriptors and
// its handler; one function checks them all before a handler runs.
//
// A ring runs while its front-end has told size, addresses and kick, all in memory that is mapped.
// A message that moves any of these, or memory, or features, stops the rings first and starts them
// after.
#include "rtvs/vhost_user.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <string.h>

#define FLAG_VERSION 1u
#define FLAG_REPLY 4u
#define FLAG_NEED_REPLY 8u
#define RING_MASK 0xffu // of a number whose bit 8 says that no descriptor comes
#define RING_NO_FD 0x100u
#define SET_VRING_ENABLE 18
#define SET_STATUS 39

struct message_region { // of the specification's memory tables
	uint64_t guest, n_bytes, user, offset;
};

struct message {
	uint32_t request, flags, n_bytes;
	union {
		uint64_t u64;
		struct {
			uint32_t ring, value;
		} state;
		struct {
			uint32_t ring, flags;
			uint64_t desc, device, driver, log;
		} addr;
		struct {
			uint32_t n, unused;
			struct message_region region[VHOST_USER_MAX_FDS];
		} table;
		struct {
			uint64_t unused;
			struct message_region region;
		} slot;
		struct {
			uint64_t n_bytes, offset;
		} log;
	} u;
};
_Static_assert(sizeof(struct message) == 16 + VHOST_USER_MAX_PAYLOAD, "the longest payload is a table");

// Ends the connection.
static int
breach(struct vhost_user *u, const char *why)
{
	size_t n = strlen(why);

	if (n >= sizeof(u->why))
		n = sizeof(u->why) - 1;
	memcpy(u->why, why, n);
	u->why[n] = 0;
	return -EPROTO;
}

static bool
has(uint64_t features, unsigned bit)
{
	return features >> bit & 1;
}

static void
close_fd(struct vhost_user *u, int *fd)
{
	if (*fd >= 0)
		u->cfg.ops->close(u->cfg.arg, *fd);
	*fd = -1;
}

// The message's descriptor i is another's from here on.
static int
take_fd(struct vhost_user *u, unsigned i)
{
	int fd = i < u->n_fds ? u->fd[i] : -1;

	if (i < u->n_fds)
		u->fd[i] = -1;
	return fd;
}

static int
reply(struct vhost_user *u, uint32_t request, const void *payload, uint32_t n)
{
	uint32_t header[3] = {request, FLAG_VERSION | FLAG_REPLY, n};

	if (u->n_out + sizeof(header) + n > sizeof(u->out))
		return breach(u, "the front-end reads no replies");
	memcpy(u->out + u->n_out, header, sizeof(header));
	if (n)
		memcpy(u->out + u->n_out + sizeof(header), payload, n);
	u->n_out += (uint32_t)sizeof(header) + n;
	return 0;
}

static int
reply_u64(struct vhost_user *u, uint32_t request, uint64_t value)
{
	return reply(u, request, &value, sizeof(value));
}

// Rings.

static bool
finds_ring(struct vhost_user *u, const struct vhost_user_ring *r, struct guest_ring_cfg *cfg)
{
	bool is_packed = has(u->features, VIRTIO_F_RING_PACKED);
	struct guest_ring_bytes n = guest_ring_bytes(r->size, is_packed);
	bool is_modern = has(u->features, VIRTIO_F_VERSION_1), can_merge = has(u->features, VIRTIO_NET_F_MRG_RXBUF);
	uint64_t driver_guest;

	*cfg = (struct guest_ring_cfg){.size = r->size,
		.hdr_bytes = is_modern || can_merge ? 12 : 10, // Virtio 1.2, 5.1.6.1
		.is_packed = is_packed,
		.has_event_idx = has(u->features, VIRTIO_RING_F_EVENT_IDX),
		.has_indirect = has(u->features, VIRTIO_RING_F_INDIRECT_DESC),
		.has_mergeable = can_merge,
		.mem = &u->mem,
		.pos = r->pos};
	cfg->desc = guest_mem_of_user(&u->mem, r->desc, n.desc, &cfg->desc_guest);
	cfg->driver = guest_mem_of_user(&u->mem, r->driver, n.driver, &driver_guest);
	cfg->device = guest_mem_of_user(&u->mem, r->device, n.device, &cfg->device_guest);
	guest_log_init(&cfg->log, NULL, 0);
	if (u->log && has(u->features, VHOST_USER_F_LOG_ALL))
		guest_log_init(&cfg->log, (_Atomic uint8_t *)u->log, u->log_bytes);
	return cfg->desc && cfg->driver && cfg->device;
}

// Starts the ring if all of it is told. Addresses that lie nowhere are an error only then: memory
// may come after them.
static int
start_ring(struct vhost_user *u, unsigned i)
{
	struct vhost_user_ring *r = &u->ring[i];
	struct guest_ring_cfg cfg;
	struct guest_ring probe;
	int rc;

	if (r->is_running || !r->has_kick || !r->has_addr || !r->size || !u->mem.n_regions)
		return 0;
	if (!finds_ring(u, r, &cfg))
		return breach(u, "a ring's addresses are not in the guest's memory");
	if (guest_ring_init(&probe, &cfg))
		return breach(u, "a ring's size, base or alignment is none of the specification's");
	rc = u->cfg.ops->start(u->cfg.arg, i, &cfg, r->kick);
	r->is_running = !rc;
	return rc;
}

static void
stop_ring(struct vhost_user *u, unsigned i)
{
	struct vhost_user_ring *r = &u->ring[i];

	if (r->is_running)
		u->cfg.ops->stop(u->cfg.arg, i, &r->pos);
	r->is_running = false;
}

static unsigned
n_rings(const struct vhost_user *u)
{
	return 2 * u->cfg.n_pairs;
}

static void
stop_all(struct vhost_user *u)
{
	for (unsigned i = 0; i < n_rings(u); i++)
		stop_ring(u, i);
}

static int
start_all(struct vhost_user *u)
{
	int rc = 0;

	for (unsigned i = 0; !rc && i < n_rings(u); i++)
		rc = start_ring(u, i);
	return rc;
}

static void
enable(struct vhost_user *u, unsigned i, bool is_enabled)
{
	u->ring[i].is_enabled = is_enabled;
	u->cfg.ops->enable(u->cfg.arg, i, is_enabled);
}

static void
forget_ring(struct vhost_user *u, unsigned i)
{
	stop_ring(u, i);
	close_fd(u, &u->ring[i].kick);
	u->cfg.ops->set_call(u->cfg.arg, i, -1);
	u->ring[i].has_kick = false;
}

// As after a reset of the device: what was told of rings is void; memory and features stay.
static void
reset(struct vhost_user *u)
{
	for (unsigned i = 0; i < n_rings(u); i++) {
		forget_ring(u, i);
		enable(u, i, false);
		u->ring[i].pos = (struct guest_ring_pos){.avail_wrap = true, .used_wrap = true};
		u->ring[i].has_addr = false;
	}
}

// Memory.

static int
add_region(struct vhost_user *u, const struct message_region *m, int fd)
{
	struct guest_region r = {.guest = m->guest, .user = m->user, .n_bytes = m->n_bytes};
	int rc = u->cfg.ops->map(u->cfg.arg, fd, m->offset, m->n_bytes, &r.host);

	if (rc)
		return rc;
	rc = guest_mem_add(&u->mem, &r);
	if (!rc)
		return 0;
	u->cfg.ops->unmap(u->cfg.arg, r.host, r.n_bytes);
	return breach(u, rc == -ENOSPC ? "more memory regions than slots" : "memory regions that overlap, or are none");
}

static void
unmap_all(struct vhost_user *u)
{
	for (uint32_t i = 0; i < u->mem.n_regions; i++)
		u->cfg.ops->unmap(u->cfg.arg, u->mem.region[i].host, u->mem.region[i].n_bytes);
	memset(&u->mem, 0, sizeof(u->mem));
}

static void
drop_log(struct vhost_user *u)
{
	if (u->log)
		u->cfg.ops->unmap(u->cfg.arg, u->log, u->log_bytes);
	u->log = NULL;
	u->log_bytes = 0;
}

// Handlers. The message's shape, its ring and its number of descriptors are checked before.

static int
get_features(struct vhost_user *u, const struct message *m)
{
	return reply_u64(u, m->request,
		u->cfg.features | UINT64_C(1) << VHOST_USER_F_LOG_ALL | UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES);
}

static int
set_features(struct vhost_user *u, const struct message *m)
{
	uint64_t offered =
		u->cfg.features | UINT64_C(1) << VHOST_USER_F_LOG_ALL | UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES;

	if (m->u.u64 & ~offered)
		return breach(u, "features that were not offered");
	// A front-end that starts a migration says all features again, and one more.
	if (m->u.u64 != u->features)
		stop_all(u);
	u->features = m->u.u64;
	if (!has(u->features, VHOST_USER_F_PROTOCOL_FEATURES))
		for (unsigned i = 0; i < n_rings(u); i++)
			enable(u, i, true);
	return start_all(u);
}

static int
get_protocol_features(struct vhost_user *u, const struct message *m)
{
	return reply_u64(u, m->request, VHOST_USER_PROTOCOL_FEATURES);
}

static int
set_protocol_features(struct vhost_user *u, const struct message *m)
{
	if (m->u.u64 & ~(uint64_t)VHOST_USER_PROTOCOL_FEATURES)
		return breach(u, "protocol features that were not offered");
	u->protocol_features = m->u.u64;
	return 0;
}

static int
set_owner(struct vhost_user *u, const struct message *m)
{
	(void)u;
	(void)m;
	return 0;
}

static int
reset_device(struct vhost_user *u, const struct message *m)
{
	(void)m;
	reset(u);
	return 0;
}

static int
set_mem_table(struct vhost_user *u, const struct message *m)
{
	int rc = 0;

	if (m->u.table.n > VHOST_USER_MAX_FDS || m->u.table.n != u->n_fds ||
		m->n_bytes < 8 + m->u.table.n * sizeof(struct message_region))
		return breach(u, "a memory table with another number of regions or descriptors");
	stop_all(u);
	unmap_all(u);
	for (uint32_t i = 0; !rc && i < m->u.table.n; i++)
		rc = add_region(u, &m->u.table.region[i], take_fd(u, i));
	return rc ? rc : start_all(u);
}

static int
get_max_mem_slots(struct vhost_user *u, const struct message *m)
{
	return reply_u64(u, m->request, GUEST_MEM_MAX_REGIONS);
}

// Rings stop, because they read the table, which is changed in place. They go on in the memory that
// there is, also without the region.
static int
add_mem_reg(struct vhost_user *u, const struct message *m)
{
	int rc, start_rc;

	stop_all(u);
	rc = add_region(u, &m->u.slot.region, take_fd(u, 0));
	start_rc = start_all(u);
	return rc ? rc : start_rc;
}

static int
rem_mem_reg(struct vhost_user *u, const struct message *m)
{
	const struct message_region *region = &m->u.slot.region;
	struct guest_region r = {.guest = region->guest, .user = region->user, .n_bytes = region->n_bytes}, removed;

	stop_all(u);
	if (guest_mem_remove(&u->mem, &r, &removed))
		return breach(u, "a memory region to remove that is none");
	u->cfg.ops->unmap(u->cfg.arg, removed.host, removed.n_bytes);
	return start_all(u);
}

static int
set_log_base(struct vhost_user *u, const struct message *m)
{
	uint8_t *log;
	int rc;

	if (!(u->protocol_features & VHOST_USER_LOG_SHMFD))
		return breach(u, "a dirty log without LOG_SHMFD");
	if (!m->u.log.n_bytes)
		return breach(u, "a dirty log of no bytes");
	rc = u->cfg.ops->map(u->cfg.arg, take_fd(u, 0), m->u.log.offset, m->u.log.n_bytes, &log);
	if (rc)
		return rc;
	stop_all(u);
	drop_log(u);
	u->log = log;
	u->log_bytes = m->u.log.n_bytes;
	rc = start_all(u);
	return rc ? rc : reply(u, m->request, NULL, 0);
}

static int
set_log_fd(struct vhost_user *u, const struct message *m)
{
	int fd = take_fd(u, 0);

	(void)m;
	close_fd(u, &fd); // it would report changes to the log; no reader waits for that
	return 0;
}

static int
set_vring_num(struct vhost_user *u, const struct message *m)
{
	struct vhost_user_ring *r = &u->ring[m->u.state.ring];

	if (!m->u.state.value || m->u.state.value > GUEST_RING_MAX)
		return breach(u, "a ring with no descriptors, or more than 32768");
	stop_ring(u, m->u.state.ring);
	r->size = (uint16_t)m->u.state.value;
	return 0;
}

static int
set_vring_addr(struct vhost_user *u, const struct message *m)
{
	struct vhost_user_ring *r = &u->ring[m->u.addr.ring];

	stop_ring(u, m->u.addr.ring);
	r->desc = m->u.addr.desc;
	r->driver = m->u.addr.driver;
	r->device = m->u.addr.device;
	r->has_addr = true;
	return start_ring(u, m->u.addr.ring);
}

static int
set_vring_base(struct vhost_user *u, const struct message *m)
{
	uint32_t v = m->u.state.value;
	struct guest_ring_pos *pos = &u->ring[m->u.state.ring].pos;

	stop_ring(u, m->u.state.ring);
	// The used position is where the avail position is: no buffer is kept beyond a stop. Of a
	// packed ring some front-ends say the latter only, and zeroes for the former.
	*pos = (struct guest_ring_pos){.avail = (uint16_t)v, .used = (uint16_t)v};
	if (has(u->features, VIRTIO_F_RING_PACKED))
		*pos = (struct guest_ring_pos){
			.avail = v & 0x7fff, .avail_wrap = v >> 15 & 1, .used = v & 0x7fff, .used_wrap = v >> 15 & 1};
	return 0;
}

static int
get_vring_base(struct vhost_user *u, const struct message *m)
{
	const struct guest_ring_pos *pos = &u->ring[m->u.state.ring].pos;
	uint32_t answer[2] = {m->u.state.ring, 0};

	forget_ring(u, m->u.state.ring);
	answer[1] = pos->avail;
	if (has(u->features, VIRTIO_F_RING_PACKED))
		answer[1] = (uint32_t)pos->avail | (uint32_t)pos->avail_wrap << 15 | (uint32_t)pos->used << 16 |
			(uint32_t)pos->used_wrap << 31;
	return reply(u, m->request, answer, sizeof(answer));
}

static int
set_vring_kick(struct vhost_user *u, const struct message *m)
{
	unsigned i = m->u.u64 & RING_MASK;
	struct vhost_user_ring *r = &u->ring[i];

	stop_ring(u, i);
	close_fd(u, &r->kick);
	r->kick = take_fd(u, 0);
	r->has_kick = true;
	return start_ring(u, i);
}

static int
set_vring_call(struct vhost_user *u, const struct message *m)
{
	u->cfg.ops->set_call(u->cfg.arg, m->u.u64 & RING_MASK, take_fd(u, 0));
	return 0;
}

static int
set_vring_err(struct vhost_user *u, const struct message *m)
{
	(void)u;
	(void)m;
	return 0; // its descriptor is closed: faults end a connection or a ring, by name
}

static int
set_vring_enable(struct vhost_user *u, const struct message *m)
{
	// QEMU enables rings before it has set any features.
	if (u->features && !has(u->features, VHOST_USER_F_PROTOCOL_FEATURES))
		return breach(u, "a ring enabled without PROTOCOL_FEATURES");
	if (m->u.state.value > 1)
		return breach(u, "a ring enabled by a number that is neither 0 nor 1");
	enable(u, m->u.state.ring, m->u.state.value);
	return 0;
}

static int
get_queue_num(struct vhost_user *u, const struct message *m)
{
	return reply_u64(u, m->request, u->cfg.n_pairs);
}

static int
send_rarp(struct vhost_user *u, const struct message *m)
{
	uint8_t mac[6];

	memcpy(mac, &m->u.u64, sizeof(mac));
	u->cfg.ops->announce(u->cfg.arg, mac);
	return 0;
}

static int
net_set_mtu(struct vhost_user *u, const struct message *m)
{
	return u->cfg.ops->set_mtu(u->cfg.arg, m->u.u64);
}

static int
set_status(struct vhost_user *u, const struct message *m)
{
	if (m->u.u64 > UINT8_MAX)
		return breach(u, "a device status beyond 255");
	if (!m->u.u64)
		reset(u);
	u->status = (uint8_t)m->u.u64;
	u->cfg.ops->set_status(u->cfg.arg, u->status);
	return 0;
}

static int
get_status(struct vhost_user *u, const struct message *m)
{
	return reply_u64(u, m->request, u->status);
}

// How a message names a ring, if it does.
enum ring_by {
	NO_RING,
	RING_IN_STATE, // struct vhost_vring_state, or _addr: its first word
	RING_IN_U64, // the low byte; bit 8 set: no descriptor comes
};

struct row {
	int (*handler)(struct vhost_user *u, const struct message *m);
	uint16_t n_bytes, max_bytes; // of its payload; max_bytes 0: exactly n_bytes
	uint8_t n_fds, max_fds; // as the bytes
	enum ring_by ring;
	bool has_reply; // of its own: it is not acknowledged besides
	enum vhost_user_fds fds;
	bool is_harmless; // no ring is stopped by it, and no memory goes
};

static const struct row rows[] = {
	[1] = {get_features, .has_reply = true, .is_harmless = true},
	[2] = {set_features, 8},
	[3] = {set_owner, .is_harmless = true},
	[4] = {reset_device}, // RESET_OWNER, which is obsolete
	[5] = {set_mem_table, 8, VHOST_USER_MAX_PAYLOAD, 0, VHOST_USER_MAX_FDS, .fds = VHOST_USER_MEMORY},
	[6] = {set_log_base, 16, .n_fds = 1, .has_reply = true, .fds = VHOST_USER_MEMORY},
	[7] = {set_log_fd, 0, 8, .n_fds = 1, .is_harmless = true, .fds = VHOST_USER_EVENT},
	[8] = {set_vring_num, 8, .ring = RING_IN_STATE},
	[9] = {set_vring_addr, 40, .ring = RING_IN_STATE},
	[10] = {set_vring_base, 8, .ring = RING_IN_STATE},
	[11] = {get_vring_base, 8, .ring = RING_IN_STATE, .has_reply = true},
	[12] = {set_vring_kick, 8, .max_fds = 1, .ring = RING_IN_U64, .fds = VHOST_USER_EVENT},
	[13] = {set_vring_call, 8, .max_fds = 1, .ring = RING_IN_U64, .is_harmless = true, .fds = VHOST_USER_EVENT},
	[14] = {set_vring_err, 8, .max_fds = 1, .ring = RING_IN_U64, .is_harmless = true, .fds = VHOST_USER_EVENT},
	[15] = {get_protocol_features, .has_reply = true, .is_harmless = true},
	[16] = {set_protocol_features, 8, .is_harmless = true},
	[17] = {get_queue_num, .has_reply = true, .is_harmless = true},
	[SET_VRING_ENABLE] = {set_vring_enable, 8, .ring = RING_IN_STATE},
	[19] = {send_rarp, 8, .is_harmless = true},
	[20] = {net_set_mtu, 8, .is_harmless = true},
	[34] = {reset_device},
	[36] = {get_max_mem_slots, .has_reply = true, .is_harmless = true},
	[37] = {add_mem_reg, 40, .n_fds = 1, .fds = VHOST_USER_MEMORY},
	[38] = {rem_mem_reg, 40, .max_fds = 1, .fds = VHOST_USER_MEMORY},
	[SET_STATUS] = {set_status, 8},
	[40] = {get_status, .has_reply = true, .is_harmless = true},
};

static int
check(struct vhost_user *u, const struct message *m, const struct row **ret_row)
{
	const struct row *row = m->request < sizeof(rows) / sizeof(rows[0]) ? &rows[m->request] : NULL;
	uint64_t ring = 0;

	if (!row || !row->handler)
		return breach(u, "a request that was not offered");
	if (m->n_bytes < row->n_bytes || m->n_bytes > (row->max_bytes ? row->max_bytes : row->n_bytes))
		return breach(u, "a message of another length than its request's");
	if (u->n_fds < row->n_fds || u->n_fds > (row->max_fds ? row->max_fds : row->n_fds))
		return breach(u, "a message with another number of descriptors than its request's");
	if (row->ring == RING_IN_STATE)
		ring = m->u.state.ring;
	else if (row->ring == RING_IN_U64) {
		if (m->u.u64 > (RING_NO_FD | RING_MASK) || (m->u.u64 & RING_NO_FD ? 0u : 1u) != u->n_fds)
			return breach(u, "a ring's descriptor that is missing, or one too many");
		ring = m->u.u64 & RING_MASK;
	}
	if (ring >= n_rings(u))
		return breach(u, "a ring beyond those of the device");
	*ret_row = row;
	return 0;
}

static int
handle(struct vhost_user *u, const struct message *m)
{
	bool needs_reply = m->flags & FLAG_NEED_REPLY && u->protocol_features & VHOST_USER_REPLY_ACK;
	const struct row *row;
	int rc = check(u, m, &row);

	if (rc)
		return rc;
	rc = row->handler(u, m);
	if (u->why[0])
		return -EPROTO;
	if (row->has_reply || !needs_reply)
		return rc ? breach(u, "what the front-end told cannot be done, and it waits for no answer") : 0;
	return reply_u64(u, m->request, !!rc);
}

int
vhost_user_init(struct vhost_user *u, const struct vhost_user_cfg *cfg)
{
	if (!cfg->n_pairs || cfg->n_pairs > VHOST_USER_MAX_RINGS / 2)
		return -EINVAL;
	memset(u, 0, sizeof(*u));
	u->cfg = *cfg;
	for (unsigned i = 0; i < VHOST_USER_MAX_RINGS; i++) {
		u->ring[i].kick = -1;
		u->ring[i].pos = (struct guest_ring_pos){.avail_wrap = true, .used_wrap = true};
	}
	return 0;
}

static uint32_t
payload_bytes(const struct vhost_user *u)
{
	uint32_t n;

	memcpy(&n, u->in + 8, sizeof(n));
	return n;
}

size_t
vhost_user_wants(const struct vhost_user *u)
{
	return u->n_in < VHOST_USER_HEADER ? VHOST_USER_HEADER - u->n_in :
					     VHOST_USER_HEADER + payload_bytes(u) - u->n_in;
}

static int
check_header(struct vhost_user *u)
{
	uint32_t flags;

	memcpy(&flags, u->in + 4, sizeof(flags));
	if ((flags & 3) != FLAG_VERSION || flags & FLAG_REPLY)
		return breach(u, "a message of another version, or a reply");
	return payload_bytes(u) > VHOST_USER_MAX_PAYLOAD ? breach(u, "a message that is too long") : 0;
}

// Whether the message at hand stops no ring, and takes no memory away. Of two messages the value
// tells.
static bool
is_harmless(const struct vhost_user *u)
{
	uint32_t request, word[2] = {0};

	memcpy(&request, u->in, sizeof(request));
	if (payload_bytes(u) >= sizeof(word))
		memcpy(word, u->in + VHOST_USER_HEADER, sizeof(word));
	if (request == SET_VRING_ENABLE)
		return word[1];
	if (request == SET_STATUS)
		return word[0];
	return request < sizeof(rows) / sizeof(rows[0]) && rows[request].is_harmless;
}

enum vhost_user_next
vhost_user_next(const struct vhost_user *u)
{
	if (u->n_in < VHOST_USER_HEADER || u->n_in < VHOST_USER_HEADER + payload_bytes(u))
		return VHOST_USER_PART;
	return is_harmless(u) ? VHOST_USER_HARMLESS : VHOST_USER_CHANGE;
}

enum vhost_user_fds
vhost_user_fds(const struct vhost_user *u)
{
	uint32_t request;

	memcpy(&request, u->in, sizeof(request));
	return request < sizeof(rows) / sizeof(rows[0]) ? rows[request].fds : VHOST_USER_NO_FDS;
}

static struct message
message_of(const struct vhost_user *u)
{
	struct message m = {0};

	memcpy(&m, u->in, VHOST_USER_HEADER);
	memcpy(&m.u, u->in + VHOST_USER_HEADER, m.n_bytes);
	return m;
}

void
vhost_user_pass(struct vhost_user *u)
{
	for (uint32_t i = 0; i < u->n_fds; i++) // those that no handler took
		close_fd(u, &u->fd[i]);
	u->n_fds = u->n_in = 0;
}

int
vhost_user_handle(struct vhost_user *u)
{
	struct message m = message_of(u);
	int rc = handle(u, &m);

	vhost_user_pass(u);
	return rc;
}

int
vhost_user_check(struct vhost_user *u)
{
	struct message m = message_of(u);
	const struct row *row;

	return check(u, &m, &row);
}

int
vhost_user_receive(struct vhost_user *u, const uint8_t *bytes, size_t n, const int *fds, unsigned n_fds)
{
	bool is_too_many = n_fds > VHOST_USER_MAX_FDS - u->n_fds, is_over = u->why[0];
	int rc = 0;

	for (unsigned i = 0; i < n_fds; i++) {
		int fd = fds[i];

		if (is_too_many || is_over)
			close_fd(u, &fd);
		else
			u->fd[u->n_fds++] = fd;
	}
	if (is_over)
		return -EPROTO;
	if (is_too_many)
		return breach(u, "more descriptors than any message has");
	if (n > vhost_user_wants(u))
		return breach(u, "more bytes than were asked for");
	memcpy(u->in + u->n_in, bytes, n);
	u->n_in += (uint32_t)n;
	if (u->n_in < VHOST_USER_HEADER)
		return 0;
	if (u->n_in == VHOST_USER_HEADER)
		rc = check_header(u);
	return rc;
}

void
vhost_user_refuse(struct vhost_user *u, const char *why)
{
	(void)breach(u, why);
}

void
vhost_user_sent(struct vhost_user *u, size_t n)
{
	u->n_out -= (uint32_t)n;
	memmove(u->out, u->out + n, u->n_out);
}

void
vhost_user_fini(struct vhost_user *u)
{
	for (unsigned i = 0; i < n_rings(u); i++)
		forget_ring(u, i);
	unmap_all(u);
	drop_log(u);
	for (uint32_t i = 0; i < u->n_fds; i++)
		close_fd(u, &u->fd[i]);
	u->n_fds = u->n_in = u->n_out = 0;
}
