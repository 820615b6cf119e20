// A FAKE driver of DPDK's vDPA class, for tests: "vdpa_fakeN" on the bus of virtual devices, which
// no hardware is behind. A thread moves the rings of one guest: each frame that the guest sends
// comes back to it, as far as the guest has buffers for it. DPDK's -d loads it; no package has it.
// The driver SDK's headers are in no package either: what is needed of them is declared here, as
// DPDK 24.11 has it.
#include <rte_vdpa.h>
#include <rte_vhost.h>

#include <errno.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#define MAX_DEVICES 8
#define N_PAIRS 1
#define LOOK_MS 10 // at the stop flag
#define MAX_FRAME 2048

struct rte_device;

struct vdev_device {
	TAILQ_ENTRY(vdev_device) next;
	char device[]; // struct rte_device
};

struct vdev_driver {
	TAILQ_ENTRY(vdev_driver) next;
	struct {
		TAILQ_ENTRY(rte_driver) next;
		const char *name, *alias;
	} driver;
	int (*probe)(struct vdev_device *dev);
	int (*remove)(struct vdev_device *dev);
	void *dma_map, *dma_unmap;
	uint32_t drv_flags;
};

struct rte_vdpa_dev_ops {
	int (*get_queue_num)(struct rte_vdpa_device *dev, uint32_t *queue_num);
	int (*get_features)(struct rte_vdpa_device *dev, uint64_t *features);
	int (*get_protocol_features)(struct rte_vdpa_device *dev, uint64_t *protocol_features);
	int (*dev_conf)(int vid);
	int (*dev_close)(int vid);
	int (*dev_cleanup)(int vid);
	int (*set_vring_state)(int vid, int vring, int state);
	int (*set_features)(int vid);
	void *migration_done, *get_vfio_group_fd, *get_vfio_device_fd, *get_notify_area;
	int (*get_stats_names)(struct rte_vdpa_device *dev, struct rte_vdpa_stat_name *names, unsigned size);
	int (*get_stats)(struct rte_vdpa_device *dev, int qid, struct rte_vdpa_stat *stats, unsigned n);
	void *reset_stats, *get_config, *set_config, *get_dev_type;
};

void rte_vdev_register(struct vdev_driver *driver);
void rte_vdev_unregister(struct vdev_driver *driver);
struct rte_vdpa_device *rte_vdpa_register_device(struct rte_device *dev, struct rte_vdpa_dev_ops *ops);
int rte_vdpa_unregister_device(struct rte_vdpa_device *dev);
struct rte_vdpa_device *rte_vhost_get_vdpa_device(int vid);

enum stat {
	FRAMES,
	BYTES,
	ERRORS,
	N_STATS
};
static const char *const stat_names[N_STATS] = {"frames", "bytes", "errors"};

struct fake {
	struct vdev_device *vdev; // NULL: free
	struct rte_vdpa_device *dev;
	int vid;
	pthread_t thread;
	_Atomic bool is_running;
	struct rte_vhost_memory *mem;
	struct rte_vhost_vring ring[2 * N_PAIRS];
	uint16_t last[2 * N_PAIRS];
	_Atomic uint64_t stats[2 * N_PAIRS][N_STATS];
};

static struct fake fakes[MAX_DEVICES];

// The next chain of the ring, its first buffers as one piece. NULL: none.
static uint8_t *
take(struct fake *f, unsigned q, uint16_t *ret_head, uint64_t *ret_len)
{
	struct rte_vhost_vring *r = &f->ring[q];
	uint16_t at = f->last[q];

	if (__atomic_load_n(&r->avail->idx, __ATOMIC_ACQUIRE) == at)
		return NULL;
	f->last[q]++;
	*ret_head = r->avail->ring[at % r->size] % r->size;
	*ret_len = r->desc[*ret_head].len;
	return (uint8_t *)(uintptr_t)rte_vhost_va_from_guest_pa(f->mem, r->desc[*ret_head].addr, ret_len);
}

static void
give(struct fake *f, unsigned q, uint16_t head, uint32_t len)
{
	struct rte_vhost_vring *r = &f->ring[q];
	uint16_t at = r->used->idx;

	r->used->ring[at % r->size] = (struct vring_used_elem){.id = head, .len = len};
	__atomic_store_n(&r->used->idx, (uint16_t)(at + 1), __ATOMIC_RELEASE);
	if (r->callfd >= 0)
		(void)eventfd_write(r->callfd, 1);
}

static bool
echo(struct fake *f)
{
	uint8_t frame[MAX_FRAME];
	uint64_t len, room;
	uint16_t head, to;
	uint8_t *data = take(f, 1, &head, &len);

	if (!data || len > sizeof(frame)) {
		bool is_bad = f->last[1] != f->ring[1].used->idx;

		f->stats[1][ERRORS] += is_bad;
		if (is_bad)
			give(f, 1, head, 0);
		return is_bad;
	}
	memcpy(frame, data, len);
	give(f, 1, head, 0);
	f->stats[1][FRAMES]++;
	f->stats[1][BYTES] += len;
	data = take(f, 0, &to, &room);
	if (!data || room < len)
		return true; // the guest has no room for it
	memcpy(data, frame, len);
	give(f, 0, to, (uint32_t)len);
	f->stats[0][FRAMES]++;
	f->stats[0][BYTES] += len;
	return true;
}

static void *
run(void *arg)
{
	struct fake *f = arg;
	struct pollfd kick = {.fd = f->ring[1].kickfd, .events = POLLIN};
	eventfd_t ignored;

	while (atomic_load(&f->is_running)) {
		while (atomic_load(&f->is_running) && echo(f))
			;
		if (poll(&kick, 1, LOOK_MS) > 0)
			(void)eventfd_read(kick.fd, &ignored);
	}
	return NULL;
}

static struct fake *
fake_of(struct rte_vdpa_device *dev)
{
	for (unsigned i = 0; i < MAX_DEVICES; i++)
		if (fakes[i].vdev && fakes[i].dev == dev)
			return &fakes[i];
	return NULL;
}

static int
get_queue_num(struct rte_vdpa_device *dev, uint32_t *queue_num)
{
	(void)dev;
	*queue_num = N_PAIRS;
	return 0;
}

static int
get_features(struct rte_vdpa_device *dev, uint64_t *features)
{
	(void)dev;
	*features = 1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_NET_F_MRG_RXBUF | 1ULL << VIRTIO_NET_F_CSUM |
		1ULL << VHOST_USER_F_PROTOCOL_FEATURES;
	return 0;
}

static int
get_protocol_features(struct rte_vdpa_device *dev, uint64_t *protocol_features)
{
	(void)dev;
	*protocol_features = ~0ULL;
	return 0;
}

static int
dev_conf(int vid)
{
	struct fake *f = fake_of(rte_vhost_get_vdpa_device(vid));
	uint16_t used;

	if (!f || atomic_load(&f->is_running))
		return -EBUSY;
	f->vid = vid;
	if (rte_vhost_get_mem_table(vid, &f->mem))
		return -EINVAL;
	for (uint16_t q = 0; q < 2 * N_PAIRS; q++)
		if (rte_vhost_get_vhost_vring(vid, q, &f->ring[q]) ||
			rte_vhost_get_vring_base(vid, q, &f->last[q], &used))
			goto err_mem;
	atomic_store(&f->is_running, true);
	if (!pthread_create(&f->thread, NULL, run, f))
		return 0;
	atomic_store(&f->is_running, false);
err_mem:
	free(f->mem);
	return -EINVAL;
}

static int
dev_close(int vid)
{
	struct fake *f = fake_of(rte_vhost_get_vdpa_device(vid));

	if (!f || !atomic_load(&f->is_running) || f->vid != vid)
		return 0;
	atomic_store(&f->is_running, false);
	pthread_join(f->thread, NULL);
	for (uint16_t q = 0; q < 2 * N_PAIRS; q++)
		(void)rte_vhost_set_vring_base(vid, q, f->last[q], f->last[q]);
	free(f->mem);
	return 0;
}

static int
set_vring_state(int vid, int vring, int state)
{
	(void)vid;
	(void)vring;
	(void)state;
	return 0;
}

static int
set_features(int vid)
{
	(void)vid;
	return 0;
}

static int
get_stats_names(struct rte_vdpa_device *dev, struct rte_vdpa_stat_name *names, unsigned size)
{
	(void)dev;
	for (unsigned i = 0; names && i < N_STATS && i < size; i++)
		snprintf(names[i].name, sizeof(names[i].name), "%s", stat_names[i]);
	return N_STATS;
}

static int
get_stats(struct rte_vdpa_device *dev, int qid, struct rte_vdpa_stat *stats, unsigned n)
{
	struct fake *f = fake_of(dev);

	if (!f || qid >= 2 * N_PAIRS)
		return -EINVAL;
	for (unsigned i = 0; i < N_STATS && i < n; i++)
		stats[i] = (struct rte_vdpa_stat){.id = i, .value = atomic_load(&f->stats[qid][i])};
	return (int)(n < N_STATS ? n : N_STATS);
}

static struct rte_vdpa_dev_ops ops = {
	.get_queue_num = get_queue_num,
	.get_features = get_features,
	.get_protocol_features = get_protocol_features,
	.dev_conf = dev_conf,
	.dev_close = dev_close,
	.set_vring_state = set_vring_state,
	.set_features = set_features,
	.get_stats_names = get_stats_names,
	.get_stats = get_stats,
};

static int
probe(struct vdev_device *vdev)
{
	struct fake *f = fakes;

	while (f < fakes + MAX_DEVICES && f->vdev)
		f++;
	if (f == fakes + MAX_DEVICES)
		return -ENOSPC;
	memset(f, 0, sizeof(*f));
	f->dev = rte_vdpa_register_device((struct rte_device *)vdev->device, &ops);
	if (!f->dev)
		return -ENODEV;
	f->vdev = vdev;
	return 0;
}

static int
do_remove(struct vdev_device *vdev)
{
	for (unsigned i = 0; i < MAX_DEVICES; i++)
		if (fakes[i].vdev == vdev) {
			(void)rte_vdpa_unregister_device(fakes[i].dev);
			fakes[i].vdev = NULL;
		}
	return 0;
}

// A second name: a device of a driver that is none of the vDPA class.
static int
probe_other(struct vdev_device *vdev)
{
	(void)vdev;
	return 0;
}

static struct vdev_driver driver = {.driver.name = "vdpa_fake", .probe = probe, .remove = do_remove};
static struct vdev_driver other = {.driver.name = "none_fake", .probe = probe_other, .remove = probe_other};

__attribute__((constructor)) static void
register_drivers(void)
{
	rte_vdev_register(&driver);
	rte_vdev_register(&other);
}
