// Tunnels for tests: a guest's port, an uplink whose network is a virtio-user device of this
// process, and the test as the other host. The test answers for that host's address, and reads and
// writes Geneve.
#pragma once

#include "dp_fixture.h"
#include "rtvs/geneve.h"

// Places among the fixture's guests.
#define GUEST 0
#define NET 1 // the uplink and what is behind it
#define TUNNEL 2 // no guest is plugged in there
#define VNI 100
#define FRAME_BYTES 2048

struct host { // as the test has it
	struct mac mac;
	uint8_t addr[16];
	bool is_ipv6;
};

extern struct host other;
// of begin_tunnel; a test changes them and sets them again
extern struct dp_port_cfg uplink_cfg, tunnel_cfg;
extern const struct mac near_mac, far_mac; // of the guest, and of one behind the other host

// GUEST, NET and TUNNEL are there
void begin_tunnel(bool is_ipv6, uint64_t net_rx_offloads, uint64_t net_tx_offloads);
// as tunnel_cfg; returns the port when it knows its next hop
unsigned add_tunnel(const char *name, uint32_t vni);
void narrow(uint32_t mtu); // of TUNNEL
void send_bytes(unsigned i, const uint8_t *frame, size_t len);
void send_tunnelled(uint32_t vni, const uint8_t *inner, size_t len);
struct geneve_template headers_of_other(uint32_t vni, bool has_csum);
// The next frame of NET, except neighbours' questions, which are answered. poll: NULL: there is
// none now.
struct rte_mbuf *poll_outside(void);
struct rte_mbuf *receive_outside(void);
// The daemon's packet through a tunnel: the whole frame is in `out`.
struct geneve_packet receive_tunnelled(uint8_t out[FRAME_BYTES]);
// An IPv4 UDP packet inside of a frame; the payload counts up. Returns its length.
size_t make_udp(uint8_t *out, const struct mac *src, const struct mac *dst, size_t payload, bool has_df);
void guest_sends(size_t payload); // to far_mac
