// The parameters of system.init and system.set. The handlers decode by these tables; a
// configuration is compared and dumped by them.
#include "system_params.h"

#include "rtvs/dscp.h"
#include "rtvs/geneve.h"

#define P(member, type, ...) RPC_PARAM(struct dp_system_cfg, member, type, __VA_ARGS__)
#define PAS(json_name, member, type, ...) RPC_PARAM_AS(json_name, struct dp_system_cfg, member, type, __VA_ARGS__)
// No defaults in the table: what is not given comes from the command line, or stays.
// clang-format off
#define SET_PARAMS \
	P(idle, RPC_ENUM, .names = dp_idle_names, .help = "busy: workers never sleep; adaptive: after idle_after without work"), \
	PAS("idle_after", idle_ns, RPC_TIME, .min = 1000, .max = 1000000000, .help = "adaptive: time without work before a sleep"), \
	P(dscp_classes, RPC_STR, .max = DSCP_TEXT_SIZE - 1, \
		.help = "DSCPs of deadlines up to a time (\"1ms:ef,10ms:af41\"), for ports with dscp=deadline; empty: none")
#define FIXED_PARAMS \
	P(workers, RPC_CPUS, .help = "CPUs of the datapath, one worker each; empty: the last one it may use"), \
	P(worker_priority, RPC_ENUM, .names = dp_priority_names, \
		.help = "fifo: workers run before all other threads except for 6 % of the time; nice: nice -20; normal: as others; a value that the kernel refuses becomes the next"), \
	PAS("memory", memory_bytes, RPC_SIZE, .max = UINT64_C(1) << 40, .help = "packet memory; 0: as the buffers need"), \
	PAS("buffers", n_mbufs, RPC_UINT, .min = 1024, .max = 1u << 24, .help = "packet buffers of 2 KiB for all ports"), \
	P(hugepages, RPC_BOOL, .help = "use hugepages when the machine has free ones"), \
	P(option_class, RPC_UINT, .min = GENEVE_CLASS_MIN, .max = UINT16_MAX, \
		.help = "Geneve option class of tunnels' timestamps, from the range for experiments (RFC 8926); the same on all hosts"), \
	P(eal, RPC_STR, .max = RTVS_DEVARGS_SIZE - 1, .help = "further arguments for DPDK, separated by spaces")
// clang-format on

const struct rpc_param system_params_init[] = {FIXED_PARAMS, SET_PARAMS};
const struct rpc_param system_params_set[] = {SET_PARAMS};
_Static_assert(sizeof(system_params_init) == sizeof((const struct rpc_param[]){FIXED_PARAMS, SET_PARAMS}) &&
		sizeof(system_params_set) == sizeof((const struct rpc_param[]){SET_PARAMS}),
	"the header has the counts of rows");

bool
system_params_is_settable(const struct dp_system_cfg *from, const struct dp_system_cfg *to)
{
	return rpc_is_same(system_params_init, SYSTEM_PARAMS_N_INIT - SYSTEM_PARAMS_N_SET, from, to);
}

bool
system_params_is_same(const struct dp_system_cfg *a, const struct dp_system_cfg *b)
{
	return rpc_is_same(system_params_set, SYSTEM_PARAMS_N_SET, a, b);
}

json_t *
system_params_encode(const struct dp_system_cfg *cfg)
{
	json_t *object = json_object();

	for (unsigned i = 0; i < SYSTEM_PARAMS_N_INIT; i++)
		(void)json_object_set_new(
			object, system_params_init[i].name, rpc_encode_value(&system_params_init[i], cfg));
	return object;
}
