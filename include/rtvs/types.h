// The nouns that all parts share: addresses, prefixes, sets of VLANs and of CPUs.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// Object names, with the terminating NUL: [A-Za-z0-9][A-Za-z0-9_.:-]{0,78}. A UUID or a container's
// id (64 digits) and a prefix fit. So does a socket named after the port in a directory of up to 22
// bytes.
#define RTVS_NAME_SIZE 80
#define RTVS_PATH_SIZE 108 // sun_path of a unix socket, with the terminating NUL
#define RTVS_DEVARGS_SIZE 256
#define RTVS_VLAN_MAX 4094
#define RTVS_MAX_MACS 16
#define RTVS_MAX_PREFIXES 32
#define RTVS_MAX_CPUS 16

struct mac {
	uint8_t b[6]; // as on the wire
};

struct mac_list {
	uint8_t n; // 0 to RTVS_MAX_MACS
	struct mac mac[RTVS_MAX_MACS];
};

// IPv4 addresses use the first four bytes of addr, network byte order. Bits beyond len are zero.
struct prefix {
	uint8_t addr[16];
	uint8_t len; // 0 to 32, or 0 to 128
	bool is_v6;
};

struct prefix_list {
	uint8_t n; // 0 to RTVS_MAX_PREFIXES
	struct prefix prefix[RTVS_MAX_PREFIXES];
};

// Bit v of the set: VLAN v, 1 to RTVS_VLAN_MAX. All zero: the empty set.
struct vlan_set {
	uint64_t bits[64];
};

struct cpu_list {
	uint8_t n; // 0 to RTVS_MAX_CPUS
	uint16_t cpu[RTVS_MAX_CPUS];
};

static inline bool
vlan_set_has(const struct vlan_set *set, uint16_t vlan)
{
	return (set->bits[(vlan >> 6) & 63] >> (vlan & 63)) & 1;
}

static inline void
vlan_set_add(struct vlan_set *set, uint16_t vlan)
{
	set->bits[(vlan >> 6) & 63] |= UINT64_C(1) << (vlan & 63);
}
