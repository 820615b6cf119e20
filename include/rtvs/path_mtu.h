// What a way through the network takes of a packet, as its routers say (RFC 1191, RFC 8201): for a time, and only ever less. Who can
// forge what they say gets no further than the floor, and that not for long. Pure.
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

// A router said that mtu is the most. True: that is less than what was known. IPv4 routers that say less than the floor, or nothing (0),
// mean the floor; of IPv6 that is to be ignored (RFC 8201, section 4).
bool path_mtu_hear(struct path_mtu *p, uint32_t mtu, bool is_ipv6, uint64_t now_ns);
// True: what was said is too old, and forgotten.
bool path_mtu_expire(struct path_mtu *p, uint64_t now_ns);
