// Fuzz target: a kernel's requests in any order, with any answer to what the device asks it. The
// kernel is trusted, but what its guest behind it makes it say is not. Each step of the input is a
// byte, which says what comes, and its bytes. For any input each descriptor goes to one effect,
// each mapping is undone, and rings run only in mapped memory.
#include "promise.h"
#include "rtvs/vduse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY 65536
#define N_REGIONS 4

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

static uint8_t memory[MEMORY];
static int n_open, n_maps;
static bool is_running[VDUSE_N_RINGS];
// What the kernel says.
static struct {
	uint64_t features;
	struct vduse_vq_info ring[VDUSE_N_RINGS];
	struct vduse_iotlb_entry region[N_REGIONS];
	uint8_t has_driver;
} kernel;

static int
get_features(void *arg, uint64_t *ret_features)
{
	(void)arg;
	*ret_features = kernel.features;
	return 0;
}

static int
get_ring(void *arg, struct vduse_vq_info *info)
{
	(void)arg;
	PROMISE(info->index < VDUSE_N_RINGS);
	*info = kernel.ring[info->index];
	return 0;
}

static bool
has_driver(void *arg)
{
	(void)arg;
	return kernel.has_driver & 1;
}

static int
find(void *arg, struct vduse_iotlb_entry *entry)
{
	(void)arg;
	for (unsigned i = 0; i < N_REGIONS; i++)
		if (kernel.region[i].start <= kernel.region[i].last && kernel.region[i].last >= entry->start) {
			*entry = kernel.region[i];
			n_open++;
			return 1;
		}
	return -EINVAL;
}

static void
do_close(void *arg, int fd)
{
	(void)arg;
	PROMISE(fd == 1 && n_open > 0);
	n_open--;
}

static void
listen_now(void *arg)
{
	(void)arg;
}

static int
do_map(void *arg, int fd, uint64_t offset, uint64_t n_bytes, uint8_t **ret_host)
{
	do_close(arg, fd);
	PROMISE(!is_running[0] && !is_running[1]);
	if (offset > MEMORY || n_bytes > MEMORY - offset)
		return -EINVAL;
	*ret_host = memory + offset;
	n_maps++;
	return 0;
}

static void
do_unmap(void *arg, uint8_t *host, uint64_t n_bytes)
{
	(void)arg;
	PROMISE(host >= memory && n_bytes <= MEMORY);
	PROMISE(!is_running[0] && !is_running[1]);
	n_maps--;
}

static bool
is_mapped(const void *at, uint64_t n_bytes)
{
	return (const uint8_t *)at >= memory && (const uint8_t *)at + n_bytes <= memory + MEMORY;
}

static int
do_start(void *arg, unsigned ring, const struct guest_ring_cfg *cfg)
{
	struct guest_ring_bytes n = guest_ring_bytes(cfg->size, cfg->is_packed);
	struct guest_ring r;

	(void)arg;
	PROMISE(ring < VDUSE_N_RINGS && !is_running[ring]);
	PROMISE(is_mapped(cfg->desc, n.desc) && is_mapped(cfg->driver, n.driver) && is_mapped(cfg->device, n.device));
	PROMISE(guest_ring_init(&r, cfg) == 0);
	is_running[ring] = true;
	return 0;
}

static void
do_stop(void *arg, unsigned ring, struct guest_ring_pos *ret_pos)
{
	(void)arg;
	(void)ret_pos;
	PROMISE(is_running[ring]);
	is_running[ring] = false;
}

static bool
take(void *to, size_t n, const uint8_t **input, size_t *len)
{
	if (*len < n)
		return false;
	memcpy(to, *input, n);
	*input += n;
	*len -= n;
	return true;
}

static void
request(struct vduse *v, const uint8_t **input, size_t *len)
{
	struct vduse_dev_request req;
	struct vduse_dev_response resp;
	bool ran = is_running[0] || is_running[1], is_change;

	memset(&req, 0, sizeof(req));
	if (!take(&req.type, 4, input, len) || !take(&req.iova, sizeof(req.iova), input, len))
		return;
	is_change = vduse_is_change(v, &req);
	vduse_handle(v, &req, &resp);
	PROMISE(is_change || !ran || is_running[0] || is_running[1]);
	PROMISE(resp.request_id == req.request_id && resp.result <= VDUSE_REQ_RESULT_FAILED);
}

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	static const struct vduse_ops ops = {.features = get_features,
		.ring = get_ring,
		.has_driver = has_driver,
		.find = find,
		.listen = listen_now,
		.map = do_map,
		.unmap = do_unmap,
		.close = do_close,
		.start = do_start,
		.stop = do_stop};
	static const struct vduse_cfg cfg = {.ops = &ops, .features = UINT64_C(0x730018000)};
	static struct vduse v;
	uint8_t what = 0;

	memset(&kernel, 0, sizeof(kernel));
	memset(memory, 1, sizeof(memory));
	n_open = n_maps = 0;
	(void)take(&kernel.has_driver, 1, &input, &len);
	(void)take(&kernel.features, sizeof(kernel.features), &input, &len);
	vduse_init(&v, &cfg);
	while (take(&what, 1, &input, &len)) {
		switch (what & 7) {
		case 0:
			kernel.has_driver = what >> 3;
			break;
		case 1:
			(void)take(&kernel.features, sizeof(kernel.features), &input, &len);
			break;
		case 2:
			(void)take(&kernel.ring[what >> 3 & 1], sizeof(kernel.ring[0]), &input, &len);
			break;
		case 3:
			(void)take(&kernel.region[what >> 3 & 3], sizeof(kernel.region[0]), &input, &len);
			break;
		case 4:
			(void)vduse_look(&v);
			break;
		default:
			request(&v, &input, &len);
			break;
		}
	}
	vduse_fini(&v);
	PROMISE(!is_running[0] && !is_running[1] && n_open == 0 && n_maps == 0);
	return 0;
}
