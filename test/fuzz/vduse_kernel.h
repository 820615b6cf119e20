// A fake kernel behind a VDUSE device, for the device's unit test and its fuzz target: the kernel's
// answers are in `kernel`, what the device does is counted there, and what holds for any input is
// promised: each descriptor goes to one effect, and memory changes only while no ring runs.
#pragma once

#include "promise.h"
#include "rtvs/vduse.h"

#include <errno.h>
#include <string.h>

#define KERNEL_MEMORY 65536
#define KERNEL_FD 7

static _Alignas(4096) uint8_t kernel_memory[KERNEL_MEMORY];

static struct {
	uint64_t features;
	bool has_driver;
	struct vduse_vq_info ring[VDUSE_N_RINGS];
	// Those that end before they start are none. offset: in kernel_memory.
	struct vduse_iotlb_entry region[GUEST_MEM_MAX_REGIONS + 1];
	unsigned n_regions;
	unsigned n_failing_maps; // of the next ones
	void (*memory_was_read)(void); // NULL: nothing happens then
	struct guest_ring_pos stopped_at; // of rings that stop

	// What the device did.
	unsigned n_fds, n_maps, n_listens;
	bool is_running[VDUSE_N_RINGS], is_resumed[VDUSE_N_RINGS];
	struct guest_ring_cfg started[VDUSE_N_RINGS];
} kernel;

static inline bool
kernel_is_quiet(void)
{
	return !kernel.is_running[0] && !kernel.is_running[1];
}

static inline int
kernel_features(void *arg, uint64_t *ret_features)
{
	(void)arg;
	*ret_features = kernel.features;
	return 0;
}

static inline int
kernel_ring(void *arg, struct vduse_vq_info *info)
{
	(void)arg;
	PROMISE(info->index < VDUSE_N_RINGS);
	*info = kernel.ring[info->index];
	return 0;
}

static inline bool
kernel_has_driver(void *arg)
{
	(void)arg;
	return kernel.has_driver;
}

static inline int
kernel_find(void *arg, struct vduse_iotlb_entry *entry)
{
	(void)arg;
	for (unsigned i = 0; i < kernel.n_regions; i++) {
		const struct vduse_iotlb_entry *r = &kernel.region[i];

		if (r->start <= r->last && r->last >= entry->start && r->start <= entry->last) {
			*entry = *r;
			kernel.n_fds++;
			return KERNEL_FD;
		}
	}
	if (kernel.memory_was_read)
		kernel.memory_was_read();
	return -EINVAL;
}

static inline void
kernel_close(void *arg, int fd)
{
	(void)arg;
	PROMISE(fd == KERNEL_FD && kernel.n_fds > 0);
	kernel.n_fds--;
}

static inline void
kernel_listen(void *arg)
{
	(void)arg;
	kernel.n_listens++;
}

static inline int
kernel_map(void *arg, int fd, uint64_t offset, uint64_t n_bytes, uint8_t **ret_host)
{
	kernel_close(arg, fd);
	PROMISE(kernel_is_quiet());
	if (offset > KERNEL_MEMORY || n_bytes > KERNEL_MEMORY - offset)
		return -EINVAL;
	if (kernel.n_failing_maps && kernel.n_failing_maps--)
		return -ENOMEM;
	*ret_host = kernel_memory + offset;
	kernel.n_maps++;
	return 0;
}

static inline void
kernel_unmap(void *arg, uint8_t *host, uint64_t n_bytes)
{
	(void)arg;
	PROMISE(host >= kernel_memory && n_bytes <= KERNEL_MEMORY);
	PROMISE(kernel_is_quiet() && kernel.n_maps > 0);
	kernel.n_maps--;
}

static inline bool
kernel_has(const void *at, uint64_t n_bytes)
{
	const uint8_t *first = at;

	return first >= kernel_memory && first + n_bytes <= kernel_memory + KERNEL_MEMORY;
}

static inline int
kernel_start(void *arg, unsigned ring, const struct guest_ring_cfg *cfg, bool is_resumed)
{
	struct guest_ring_bytes n = guest_ring_bytes(cfg->size, cfg->is_packed);
	struct guest_ring r;

	(void)arg;
	PROMISE(ring < VDUSE_N_RINGS && !kernel.is_running[ring]);
	PROMISE(kernel_has(cfg->desc, n.desc) && kernel_has(cfg->driver, n.driver) &&
		kernel_has(cfg->device, n.device));
	PROMISE(guest_ring_init(&r, cfg) == 0);
	kernel.is_running[ring] = true;
	kernel.is_resumed[ring] = is_resumed;
	kernel.started[ring] = *cfg;
	return 0;
}

static inline void
kernel_stop(void *arg, unsigned ring, struct guest_ring_pos *ret_pos)
{
	(void)arg;
	PROMISE(kernel.is_running[ring]);
	kernel.is_running[ring] = false;
	*ret_pos = kernel.stopped_at;
}

static const struct vduse_ops kernel_ops = {.features = kernel_features,
	.ring = kernel_ring,
	.has_driver = kernel_has_driver,
	.find = kernel_find,
	.listen = kernel_listen,
	.map = kernel_map,
	.unmap = kernel_unmap,
	.close = kernel_close,
	.start = kernel_start,
	.stop = kernel_stop};
