// A session that another process goes on with. It is told what the front-end told the former one,
// by the same messages, so each word is checked as theirs are.
#include "rtvs/guest_ring.h"
#include "rtvs/vhost_user.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>

#define FLAG_VERSION 1u
#define RING_NO_FD 0x100u

enum request {
	SET_FEATURES = 2,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	SET_PROTOCOL_FEATURES = 16,
	SET_VRING_ENABLE = 18,
	NET_SET_MTU = 20,
	ADD_MEM_REG = 37,
	SET_STATUS = 39
};

static bool
is_packed(uint64_t features)
{
	return features >> VIRTIO_F_RING_PACKED & 1;
}

bool
vhost_user_kept_save(const struct vhost_user *u, struct vhost_user_kept *ret_kept)
{
	if (u->n_in || u->n_out || u->log || u->why[0] || u->mem.n_regions > VHOST_USER_KEPT_REGIONS)
		return false;
	*ret_kept = (struct vhost_user_kept){.features = u->features,
		.protocol_features = u->protocol_features,
		.status = u->status,
		.n_regions = u->mem.n_regions};
	for (uint32_t i = 0; i < u->mem.n_regions; i++) {
		ret_kept->region[i].guest = u->mem.region[i].guest;
		ret_kept->region[i].user = u->mem.region[i].user;
		ret_kept->region[i].n_bytes = u->mem.region[i].n_bytes;
	}
	for (unsigned i = 0; i < 2 * u->cfg.n_pairs; i++) {
		const struct vhost_user_ring *r = &u->ring[i];
		bool wrap = is_packed(u->features) && r->pos.avail_wrap;

		ret_kept->ring[i].desc = r->desc;
		ret_kept->ring[i].driver = r->driver;
		ret_kept->ring[i].device = r->device;
		ret_kept->ring[i].size = r->size;
		ret_kept->ring[i].base = (uint16_t)(r->pos.avail | wrap << 15);
		ret_kept->ring[i].has_addr = r->has_addr;
		ret_kept->ring[i].has_kick = r->has_kick;
		ret_kept->ring[i].is_enabled = r->is_enabled;
	}
	return true;
}

// Takes the descriptor, -1: none.
static int
tell(struct vhost_user *u, enum request request, const void *payload, uint32_t n, int fd)
{
	const uint32_t header[3] = {request, FLAG_VERSION, n};
	int rc = vhost_user_receive(u, (const uint8_t *)header, sizeof(header), NULL, 0);

	rc = vhost_user_receive(u, payload, rc ? 0 : n, &fd, fd >= 0) || rc ? -EPROTO : 0;
	return rc ? rc : vhost_user_handle(u);
}

static int
tell_u64(struct vhost_user *u, enum request request, uint64_t value, int fd)
{
	return tell(u, request, &value, sizeof(value), fd);
}

static int
tell_state(struct vhost_user *u, enum request request, uint32_t ring, uint32_t value)
{
	const uint32_t state[2] = {ring, value};

	return tell(u, request, state, sizeof(state), -1);
}

static int
take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

static int
tell_memory(struct vhost_user *u, const struct vhost_user_kept *kept, struct vhost_user_kept_fds *fds)
{
	int rc = 0;

	for (uint32_t i = 0; !rc && i < kept->n_regions; i++) {
		const uint64_t slot[] = {0, kept->region[i].guest, kept->region[i].n_bytes, kept->region[i].user,
			kept->region[i].offset};

		rc = tell(u, ADD_MEM_REG, slot, sizeof(slot), take(&fds->memory[i]));
	}
	return rc;
}

// A split ring's used index is where its former device stood.
static uint16_t
base_of(const struct vhost_user *u, const struct vhost_user_kept *kept, unsigned i)
{
	uint64_t n = guest_ring_bytes(kept->ring[i].size, false).device, guest;
	const struct vring_used *used =
		(const struct vring_used *)guest_mem_of_user(&u->mem, kept->ring[i].device, n, &guest);

	if (is_packed(kept->features) || !kept->ring[i].has_addr || !used || (uintptr_t)used % sizeof(uint32_t))
		return kept->ring[i].base;
	return __atomic_load_n(&used->idx, __ATOMIC_ACQUIRE);
}

static int
tell_fd(struct vhost_user *u, enum request request, unsigned i, int *fd)
{
	bool has_fd = *fd >= 0;

	return tell_u64(u, request, has_fd ? i : i | RING_NO_FD, take(fd));
}

// Enabled last but the kick, with which it starts.
static int
tell_ring(struct vhost_user *u, const struct vhost_user_kept *kept, unsigned i, struct vhost_user_kept_fds *fds)
{
	const uint64_t addr[] = {i, kept->ring[i].desc, kept->ring[i].device, kept->ring[i].driver, 0};
	int rc = 0;

	if (kept->ring[i].size)
		rc = tell_state(u, SET_VRING_NUM, i, kept->ring[i].size);
	if (!rc)
		rc = tell_state(u, SET_VRING_BASE, i, base_of(u, kept, i));
	if (!rc && kept->ring[i].has_addr)
		rc = tell(u, SET_VRING_ADDR, addr, sizeof(addr), -1);
	if (!rc)
		rc = tell_fd(u, SET_VRING_CALL, i, &fds->call[i]);
	if (!rc && kept->ring[i].is_enabled != u->ring[i].is_enabled)
		rc = tell_state(u, SET_VRING_ENABLE, i, kept->ring[i].is_enabled);
	if (!rc && kept->ring[i].has_kick)
		rc = tell_fd(u, SET_VRING_KICK, i, &fds->kick[i]);
	return rc;
}

static void
close_rest(struct vhost_user *u, int *fd, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (fd[i] >= 0)
			u->cfg.ops->close(u->cfg.arg, fd[i]);
}

int
vhost_user_kept_restore(struct vhost_user *u, const struct vhost_user_kept *kept, struct vhost_user_kept_fds *fds)
{
	int rc = kept->n_regions > VHOST_USER_KEPT_REGIONS ? -EPROTO : 0;

	if (!rc)
		rc = tell_u64(u, SET_FEATURES, kept->features, -1);
	if (!rc)
		rc = tell_u64(u, SET_PROTOCOL_FEATURES, kept->protocol_features, -1);
	if (!rc)
		rc = tell_memory(u, kept, fds);
	for (unsigned i = 0; !rc && i < 2 * u->cfg.n_pairs; i++)
		rc = tell_ring(u, kept, i, fds);
	if (!rc && kept->mtu)
		rc = tell_u64(u, NET_SET_MTU, kept->mtu, -1);
	if (!rc && kept->status)
		rc = tell_u64(u, SET_STATUS, kept->status, -1);
	close_rest(u, fds->memory, VHOST_USER_KEPT_REGIONS);
	close_rest(u, fds->kick, VHOST_USER_MAX_RINGS);
	close_rest(u, fds->call, VHOST_USER_MAX_RINGS);
	return rc;
}
