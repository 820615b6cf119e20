// Requests of a VDUSE device. Its memory is read while no ring runs, so that workers' table of it
// never changes; a request that takes memory away stops the rings first.
#include "rtvs/vduse.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <string.h>

static bool
has(uint64_t features, unsigned bit)
{
	return features >> bit & 1;
}

static bool
has_driver(uint8_t status)
{
	return status & VIRTIO_CONFIG_S_DRIVER_OK && !(status & (VIRTIO_CONFIG_S_FAILED | VIRTIO_CONFIG_S_NEEDS_RESET));
}

static bool
is_running(const struct vduse *v)
{
	return v->ring[0].is_running || v->ring[1].is_running;
}

static void
stop_ring(struct vduse *v, unsigned i)
{
	struct vduse_ring *r = &v->ring[i];

	if (!r->is_running)
		return;
	v->cfg.ops->stop(v->cfg.arg, i, &r->pos);
	r->has_pos = true;
	r->is_running = false;
}

static void
stop_all(struct vduse *v)
{
	for (unsigned i = 0; i < VDUSE_N_RINGS; i++)
		stop_ring(v, i);
}

// Memory.

static void
forget_memory(struct vduse *v)
{
	stop_all(v);
	for (uint32_t i = 0; i < v->mem.n_regions; i++)
		v->cfg.ops->unmap(v->cfg.arg, v->mem.region[i].host, v->mem.region[i].n_bytes);
	memset(&v->mem, 0, sizeof(v->mem));
}

// Regions that the device may only read, or only write, are left out: workers do both to any.
static void
add_region(struct vduse *v, int fd, const struct vduse_iotlb_entry *e)
{
	struct guest_region r = {.guest = e->start, .user = e->start, .n_bytes = e->last - e->start + 1};
	uint32_t hint = 0, one = 1;

	if (e->perm != VDUSE_ACCESS_RW || guest_mem_find(&v->mem, &hint, e->start, &one)) {
		v->cfg.ops->close(v->cfg.arg, fd);
		return;
	}
	if (v->cfg.ops->map(v->cfg.arg, fd, e->offset, r.n_bytes, &r.host))
		return;
	if (guest_mem_add(&v->mem, &r))
		v->cfg.ops->unmap(v->cfg.arg, r.host, r.n_bytes);
}

// Those that came since. Regions beyond GUEST_MEM_MAX_REGIONS are not looked for.
static void
read_memory(struct vduse *v)
{
	struct vduse_iotlb_entry e = {.start = 0};

	for (unsigned i = 0; i <= GUEST_MEM_MAX_REGIONS; i++) {
		uint64_t from = e.start;
		int fd;

		e = (struct vduse_iotlb_entry){.start = from, .last = UINT64_MAX};
		fd = v->cfg.ops->find(v->cfg.arg, &e);
		if (fd < 0)
			return;
		add_region(v, fd, &e);
		if (e.last < from || e.last == UINT64_MAX)
			return;
		e.start = e.last + 1;
	}
}

// Rings.

static struct guest_ring_pos
told_pos(const struct vduse *v, const struct vduse_vq_info *info)
{
	if (!has(v->features, VIRTIO_F_RING_PACKED))
		return (struct guest_ring_pos){.avail = info->split.avail_index, .used = info->split.avail_index};
	return (struct guest_ring_pos){.avail = info->packed.last_avail_idx,
		.avail_wrap = info->packed.last_avail_counter & 1,
		.used = info->packed.last_used_idx,
		.used_wrap = info->packed.last_used_counter & 1};
}

// Of a split ring, the index of its driver's or its device's part.
static uint16_t
index_of(const void *part)
{
	return __atomic_load_n((const uint16_t *)part + 1, __ATOMIC_ACQUIRE);
}

// False: it is not ready, or not in memory that is known.
static bool
find_ring(struct vduse *v, unsigned i, struct guest_ring_cfg *cfg)
{
	bool is_packed = has(v->features, VIRTIO_F_RING_PACKED);
	struct vduse_vq_info info = {.index = i};
	struct guest_ring_bytes n;
	struct guest_ring probe;
	uint64_t guest;

	if (v->cfg.ops->ring(v->cfg.arg, &info) || !info.ready || !info.num || info.num > GUEST_RING_MAX)
		return false;
	n = guest_ring_bytes((uint16_t)info.num, is_packed);
	*cfg = (struct guest_ring_cfg){.size = (uint16_t)info.num,
		.hdr_bytes = 12, // of version 1
		.is_packed = is_packed,
		.has_event_idx = has(v->features, VIRTIO_RING_F_EVENT_IDX),
		.has_indirect = has(v->features, VIRTIO_RING_F_INDIRECT_DESC),
		.has_mergeable = has(v->features, VIRTIO_NET_F_MRG_RXBUF),
		.mem = &v->mem,
		.desc = guest_mem_of_user(&v->mem, info.desc_addr, n.desc, &guest),
		.driver = guest_mem_of_user(&v->mem, info.driver_addr, n.driver, &guest),
		.device = guest_mem_of_user(&v->mem, info.device_addr, n.device, &guest),
		.desc_guest = info.desc_addr,
		.device_guest = info.device_addr,
		.pos = v->ring[i].has_pos ? v->ring[i].pos : told_pos(v, &info)};
	if (!cfg->desc || !cfg->driver || !cfg->device)
		return false;
	guest_log_init(&cfg->log, NULL, 0);
	// A split ring itself tells where it stands; of a packed one only its flags do, which are
	// the caller's to read (rtvs/guest_state.h).
	if (v->is_resumed && !v->ring[i].has_pos && !is_packed)
		cfg->pos.avail = cfg->pos.used = index_of(cfg->device);
	return !guest_ring_init(&probe, cfg);
}

// Has the driver ever offered a buffer?
static bool
is_in_use(const struct guest_ring_cfg *cfg)
{
	static const uint8_t unused[16];

	return cfg->is_packed ? memcmp(cfg->desc, unused, sizeof(unused)) != 0 : index_of(cfg->driver) != 0;
}

static bool
start_ring(struct vduse *v, unsigned i, const struct guest_ring_cfg *cfg)
{
	return !v->cfg.ops->start(v->cfg.arg, i, cfg, v->is_resumed && !v->ring[i].has_pos);
}

bool
vduse_look(struct vduse *v)
{
	struct guest_ring_cfg cfg[VDUSE_N_RINGS];
	bool is_found[VDUSE_N_RINGS] = {false}, may_run = is_running(v);
	unsigned n = 0;

	if (!has_driver(v->status))
		return false;
	if (!v->cfg.ops->has_driver(v->cfg.arg))
		return true;
	if (!may_run)
		read_memory(v);
	for (unsigned i = 0; i < VDUSE_N_RINGS; i++) {
		is_found[i] = !v->ring[i].is_running && find_ring(v, i, &cfg[i]);
		may_run |= is_found[i] && is_in_use(&cfg[i]);
	}
	// The first buffer may have been offered since memory was read, and come with its memory.
	if (may_run && !is_running(v))
		read_memory(v);
	for (unsigned i = 0; i < VDUSE_N_RINGS; i++) {
		if (may_run && is_found[i])
			v->ring[i].is_running = start_ring(v, i, &cfg[i]);
		n += v->ring[i].is_running;
	}
	return n < VDUSE_N_RINGS;
}

// Requests.

static void
reset(struct vduse *v)
{
	forget_memory(v);
	memset(v->ring, 0, sizeof(v->ring));
	v->features = 0;
	v->is_resumed = false;
}

static int
read_features(struct vduse *v)
{
	uint64_t features = 0;
	int rc = v->cfg.ops->features(v->cfg.arg, &features);

	if (rc)
		return rc;
	if (features & ~v->cfg.features || !has(features, VIRTIO_F_VERSION_1))
		return -EOPNOTSUPP;
	v->features = features;
	v->cfg.ops->listen(v->cfg.arg);
	return 0;
}

static int
set_status(struct vduse *v, uint8_t status)
{
	bool had_driver = has_driver(v->status);

	if (!status)
		reset(v);
	v->status = status;
	if (!has_driver(v->status)) {
		stop_all(v);
		return 0;
	}
	if (had_driver || !read_features(v))
		return 0;
	v->status &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
	return -EOPNOTSUPP;
}

static int
get_state(struct vduse *v, uint32_t i, struct vduse_vq_state *ret_state)
{
	struct vduse_vq_info info = {.index = i};
	const struct guest_ring_pos *pos;
	struct guest_ring_pos told;
	int rc;

	if (i >= VDUSE_N_RINGS)
		return -EINVAL;
	stop_ring(v, i);
	rc = v->ring[i].has_pos ? 0 : v->cfg.ops->ring(v->cfg.arg, &info);
	if (rc)
		return rc;
	told = told_pos(v, &info);
	pos = v->ring[i].has_pos ? &v->ring[i].pos : &told;
	ret_state->index = i;
	if (has(v->features, VIRTIO_F_RING_PACKED))
		ret_state->packed = (struct vduse_vq_state_packed){.last_avail_counter = pos->avail_wrap,
			.last_avail_idx = pos->avail,
			.last_used_counter = pos->used_wrap,
			.last_used_idx = pos->used};
	else
		ret_state->split.avail_index = pos->avail;
	return 0;
}

static int
update_memory(struct vduse *v, const struct vduse_iova_range *range)
{
	if (range->start > range->last)
		return -EINVAL;
	// All of it: the kernel has no narrower range than the whole address space.
	forget_memory(v);
	return 0;
}

bool
vduse_is_change(const struct vduse *v, const struct vduse_dev_request *request)
{
	return is_running(v) && !(request->type == VDUSE_SET_STATUS && has_driver(request->s.status));
}

void
vduse_handle(struct vduse *v, const struct vduse_dev_request *request, struct vduse_dev_response *ret_response)
{
	int rc = -EOPNOTSUPP;

	*ret_response = (struct vduse_dev_response){.request_id = request->request_id};
	switch (request->type) {
	case VDUSE_GET_VQ_STATE:
		rc = get_state(v, request->vq_state.index, &ret_response->vq_state);
		break;
	case VDUSE_SET_STATUS:
		rc = set_status(v, request->s.status);
		break;
	case VDUSE_UPDATE_IOTLB:
		rc = update_memory(v, &request->iova);
		break;
	}
	ret_response->result = rc ? VDUSE_REQ_RESULT_FAILED : VDUSE_REQ_RESULT_OK;
}

void
vduse_init(struct vduse *v, const struct vduse_cfg *cfg)
{
	memset(v, 0, sizeof(*v));
	v->cfg = *cfg;
	if (!cfg->ops->has_driver(cfg->arg) || read_features(v))
		return;
	v->status = VIRTIO_CONFIG_S_DRIVER_OK;
	v->is_resumed = true;
}

void
vduse_fini(struct vduse *v)
{
	reset(v);
}
