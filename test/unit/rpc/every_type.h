// A method table with a parameter of every type, for the tests and the fuzz target: types that the
// daemon's own table lacks are covered all the same. test.echo answers with the decoded values.
#pragma once

#include "rtvs/rpc.h"
#include "rtvs/types.h"

#include <errno.h>

struct every_type {
	char name[RTVS_NAME_SIZE], label[RTVS_NAME_SIZE];
	char str[24];
	bool flag;
	uint32_t mtu, mode, kind;
	uint64_t count, deadline, rate, size;
	struct mac mac;
	struct mac_list macs;
	struct prefix addr;
	struct prefix_list ips;
	struct vlan_set vlans;
	struct cpu_list cpus;
	json_t *calls, *list;
};

static const char *const every_type_kinds[] = {"vhost", "ethdev", "vdpa", NULL};

#define P(member, type, ...) RPC_PARAM(struct every_type, member, type, __VA_ARGS__)
static const struct rpc_param every_type_params[] = {
	P(name, RPC_NAME, .is_key = true, .is_required = true, .min = 1, .help = "name"),
	P(label, RPC_NAME, .help = "name or nothing"),
	P(str, RPC_STR, .def = "text", .help = "text"),
	P(flag, RPC_BOOL, .def = "on", .help = "bool"),
	P(mtu, RPC_UINT, .min = 68, .max = 9600, .def = "1500", .help = "32 bits"),
	P(mode, RPC_OCTAL, .max = 0777, .def = "0660", .help = "mode"),
	P(kind, RPC_ENUM, .names = every_type_kinds, .def = "ethdev", .help = "enum"),
	P(count, RPC_UINT, .help = "64 bits"),
	P(deadline, RPC_TIME, .min = 1000, .max = 1000000000, .def = "2ms", .help = "time"),
	P(rate, RPC_RATE, .help = "rate"),
	P(size, RPC_SIZE, .def = "64MiB", .help = "size"),
	P(mac, RPC_MAC, .help = "MAC"),
	P(macs, RPC_MACS, .help = "MACs"),
	P(addr, RPC_ADDR, .help = "address"),
	P(ips, RPC_PREFIXES, .help = "prefixes"),
	P(vlans, RPC_VLANS, .help = "VLANs"),
	P(cpus, RPC_CPUS, .def = "0-1", .help = "CPUs"),
	P(calls, RPC_CALLS, .help = "calls"),
	P(list, RPC_LIST, .max = 4, .help = "list"),
};
#undef P
#define EVERY_TYPE_N_PARAMS (sizeof(every_type_params) / sizeof(every_type_params[0]))

static int
every_type_echo(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	(void)ctx;
	(void)present;
	*ret_result = rpc_encode(every_type_params, EVERY_TYPE_N_PARAMS, params);
	if (*ret_result)
		return 0;
	rpc_error_set(err, RPC_INTERNAL_ERROR, "cannot be encoded");
	return -1;
}

// The caller's parameters, as a number: defaults do not count.
static int
every_type_present(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	(void)ctx;
	(void)params;
	(void)err;
	*ret_result = json_integer((json_int_t)present);
	return 0;
}

static int
every_type_nothing(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	(void)ctx;
	(void)params;
	(void)present;
	(void)ret_result;
	(void)err;
	return 0;
}

static int
every_type_fail(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	(void)ctx;
	(void)params;
	(void)present;
	(void)ret_result;
	rpc_error_errno(err, -ENOENT, "port vm3 does not exist");
	return -1;
}

static int
every_type_fail_silently(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	(void)ctx;
	(void)params;
	(void)present;
	(void)err;
	*ret_result = json_object();
	return -1;
}

#define TABLE every_type_params, EVERY_TYPE_N_PARAMS, sizeof(struct every_type)
static const struct rpc_method every_type_methods[] = {
	{"test.echo", "Answer what was decoded.", "The parameters.", every_type_echo, TABLE, RPC_READ_ONLY},
	{"test.set", "Change.", "Which were given.", every_type_present, TABLE, RPC_CONFIG | RPC_CHANGE},
	{"test.nothing", "Do nothing.", NULL, every_type_nothing, NULL, 0, 0, RPC_CONFIG},
	{"test.init", "Start.", "true", every_type_nothing, NULL, 0, 0, RPC_STARTUP | RPC_CONFIG},
	{"test.fail", "Fail.", "true", every_type_fail, NULL, 0, 0, RPC_READ_ONLY},
	{"test.broken", "Fail without a word.", "true", every_type_fail_silently, NULL, 0, 0, 0},
	{0},
};
static const struct rpc_noun every_type_nouns[] = {{every_type_methods, 0}, {0}};
static const struct rpc_api every_type_api = {every_type_nouns};
