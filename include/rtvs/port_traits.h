// The types of ports. One row here makes the enum, the name in RPC and metrics, the datapath's
// entry in its table of types (src/dp/house/port.c), and the traits. Code asks for a trait, never
// for a type: a new type then answers every question by its row. Only a type's own file names the
// type.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum port_trait {
	// A guest's interface: a driver chooses its offloads and rings.
	PORT_IS_GUEST = 1,
	PORT_IS_DEVICE = 2, // a device of this host, which devargs name
	PORT_IS_TUNNEL = 4, // it has no device: its frames leave and come through its uplink
	PORT_IS_NODE = 8, // a node of a segment: it waits for the segment's file
	PORT_MAY_BE_UPLINK = 16, // it may have an address, and carry tunnels
	PORT_MAY_HOLD = 32, // with a rate: a full queue there holds back the guests that fill it
	PORT_HAS_SOCKET = 64, // a file where front-ends connect
	// Another process may go on with it while this one runs (dp_hand_prepare).
	PORT_IS_HANDED = 128,
	// It has no device: other ports receive and send its packets, and count them, too.
	PORT_IS_VIRTUAL = 256,
	PORT_IS_ESWITCH = 512, // the uplink of an eswitch (rtvs/dp_eswitch.h)
};

// clang-format off
// X(arg, ID, name, traits, what it is): DP_PORT_ID, and struct port_type port_NAME_type in
// src/dp/house/port_NAME.c. arg is the caller's own.
#define PORT_TYPES(X, arg) \
	X(arg, VHOST,   vhost,   PORT_IS_GUEST | PORT_HAS_SOCKET | PORT_MAY_BE_UPLINK | PORT_IS_HANDED, "a guest's vhost-user socket") \
	X(arg, ETHDEV,  ethdev,  PORT_IS_DEVICE | PORT_MAY_BE_UPLINK | PORT_MAY_HOLD,  "a DPDK device") \
	X(arg, GENEVE,  geneve,  PORT_IS_TUNNEL | PORT_IS_VIRTUAL | PORT_IS_HANDED,    "a tunnel to another host") \
	X(arg, SEGMENT, segment, PORT_IS_NODE | PORT_MAY_BE_UPLINK,                    "Ethernet over shared memory") \
	X(arg, VDUSE,   vduse,   PORT_IS_GUEST,                                        "a device of the kernel's vDPA bus, for containers and guests") \
	X(arg, ESWITCH, eswitch, PORT_IS_ESWITCH | PORT_IS_VIRTUAL | PORT_IS_HANDED,   "what connects a guest's own switch with a bridge")
// clang-format on

enum dp_port_type {
#define X(arg, id, name, traits, about) DP_PORT_##id,
	PORT_TYPES(X, )
#undef X
	PORT_N_TYPES,
};

extern const char *const port_traits_names[PORT_N_TYPES + 1]; // by enum dp_port_type; NULL ends it

// Bits of enum port_trait. No type has any beyond the table.
uint32_t port_traits_of(uint32_t type);
uint32_t port_traits_of_name(const char *type); // NULL allowed: no name has traits

// The types that have any of these traits, as bits 1 << enum dp_port_type. A constant where traits
// is one.
#define PORT_KIND(wanted, id, name, traits, about) | (((traits) & (wanted)) ? 1u << DP_PORT_##id : 0u)
#define PORT_KINDS(traits) (0u PORT_TYPES(PORT_KIND, traits))

// Has the type any of these traits?
static inline bool
port_has(uint32_t type, uint32_t traits)
{
	return port_traits_of(type) & traits;
}
