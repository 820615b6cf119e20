// Fuzz target: a kernel's requests in any order, with any answer to what the device asks it. The
// kernel is trusted, but what its guest behind it makes it say is not. Each step of the input is a
// byte, which says what comes, and its bytes. For any input each descriptor goes to one effect,
// each mapping is undone, and rings run only in mapped memory.
#include "vduse_kernel.h"

#include <stdlib.h>

#define N_REGIONS 4

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

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
	bool ran = !kernel_is_quiet(), is_change;

	memset(&req, 0, sizeof(req));
	if (!take(&req.type, 4, input, len) || !take(&req.iova, sizeof(req.iova), input, len))
		return;
	is_change = vduse_is_change(v, &req);
	vduse_handle(v, &req, &resp);
	PROMISE(is_change || !ran || !kernel_is_quiet());
	PROMISE(resp.request_id == req.request_id && resp.result <= VDUSE_REQ_RESULT_FAILED);
}

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	static const struct vduse_cfg cfg = {.ops = &kernel_ops, .features = UINT64_C(0x730018000)};
	static struct vduse v;
	uint8_t what = 0;

	memset(&kernel, 0, sizeof(kernel));
	kernel.n_regions = N_REGIONS;
	memset(kernel_memory, 1, sizeof(kernel_memory));
	(void)take(&what, 1, &input, &len);
	kernel.has_driver = what & 1;
	(void)take(&kernel.features, sizeof(kernel.features), &input, &len);
	vduse_init(&v, &cfg);
	while (take(&what, 1, &input, &len)) {
		switch (what & 7) {
		case 0:
			kernel.has_driver = what >> 3 & 1;
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
	PROMISE(kernel_is_quiet() && kernel.n_fds == 0 && kernel.n_maps == 0);
	return 0;
}
