// The MTU of a path through the network, as its routers report it (RFC 1191, RFC 8201): for a time,
// and only ever less. A forger of reports gets no further than the floor, and that not for long.
// Pure.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PATH_MTU_NS UINT64_C(600000000000) // RFC 1191, section 6.3: 10 minutes
#define PATH_MTU_FLOOR_IPV4 576u // what every host takes (RFC 791)
#define PATH_MTU_FLOOR_IPV6 1280u

struct path_mtu {
	uint32_t mtu; // of IP; 0: nothing was said
	uint64_t until_ns;
};

// A router reported mtu. True: that is less than the known value. IPv4 routers that report less
// than the floor, or nothing (0), mean the floor. Such reports of IPv6 are ignored (RFC 8201,
// section 4).
bool path_mtu_hear(struct path_mtu *p, uint32_t mtu, bool is_ipv6, uint64_t now_ns);
// True: what was said is too old, and forgotten.
bool path_mtu_expire(struct path_mtu *p, uint64_t now_ns);
