// Reads the devargs of an AF_XDP device. Arguments that are not known here (busy_budget, xdp_prog,
// shared_umem, use_cni) are not ignored: such a device is DPDK's driver's.
#include "xdp_args.h"

#include "rtvs/units.h"

#include <string.h>

static bool
take_number(const char *value, uint32_t min, uint32_t max, uint32_t *ret_number)
{
	uint64_t n;

	if (units_parse_uint(value, &n) || n < min || n > max)
		return false;
	*ret_number = (uint32_t)n;
	return true;
}

static bool
take(const char *key, const char *value, void *arg)
{
	struct xdp_args *args = arg;
	uint32_t flag = 0;
	bool is_good;

	if (!strcmp(key, "iface"))
		return devargs_take_iface(value, args->iface);
	if (!strcmp(key, "start_queue"))
		return take_number(value, 0, XDP_MAX_START, &args->start_queue);
	if (!strcmp(key, "queue_count"))
		return take_number(value, 1, XDP_MAX_QUEUES, &args->n_queues);
	is_good = !strcmp(key, "force_copy") && take_number(value, 0, 1, &flag);
	args->forces_copy = flag;
	return is_good;
}

bool
xdp_args_parse(const char *devargs, struct xdp_args *ret_args)
{
	struct xdp_args args = {.n_queues = 1};

	if (!devargs_parse(devargs, "net_af_xdp", args.device, take, &args) || !args.iface[0])
		return false;
	*ret_args = args;
	return true;
}
