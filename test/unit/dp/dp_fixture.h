// A datapath without mocks for tests of src/dp: vhost ports of the real thing, and in the same
// process DPDK's virtio-user devices as guests. One datapath a program; each case begins without
// ports and ends without, and no packet is unaccounted for. Waiting is for a condition, up to a
// generous limit; no time is asserted.
#pragma once

#include "../unit.h"
#include "cfg_fixture.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <errno.h>

#define N_GUESTS 3
#define BROADCAST N_GUESTS
#define WAIT_S 20 // for a condition
#define ETHER_HDR 14

struct guest {
	unsigned port; // of the switch
	uint16_t dev; // of DPDK: the guest's end
};

extern struct dp *dp;
extern unsigned n_workers; // before fixture_start
extern struct rte_mempool *pool;
extern unsigned bridge;
extern struct guest guest[N_GUESTS];

// A case of a group that begins with fixture_start and ends with fixture_stop.
#define WITH_BRIDGE(test) cmocka_unit_test_setup_teardown(test, fixture_add_bridge, fixture_remove_all)

int fixture_start(void **state);
int fixture_stop(void **state);
int fixture_add_bridge(void **state);
int fixture_remove_all(void **state);

void set_workers(int argc, char **argv); // main's: as many as the first one says
struct mac guest_mac(unsigned i);
unsigned new_port(const struct dp_port_cfg *cfg); // returns its number in the datapath
void add_port(unsigned i, const struct dp_port_cfg *cfg); // guest i's
void set_port(unsigned i, const struct dp_port_cfg *cfg);
struct dp_port_state state_of(unsigned i);
struct dp_port_stats stats_of(unsigned i);
void take_events(void); // takes all and drops them
void wait_link(unsigned port, bool is_up);
// Plugs a guest in. offloads: of the guest's driver.
void plug(unsigned i, uint64_t rx_offloads, uint64_t tx_offloads);
void unplug(unsigned i);
void add_guests(const struct dp_port_cfg *cfgs); // and plugs them in
void plain_guests(void);

// When a wait that begins now has taken too long.
static inline uint64_t
wait_limit(void)
{
	return rte_rdtsc() + rte_get_tsc_hz() * WAIT_S;
}

// A worker may wait for its processor longer than dp_stats_refresh waits for it.
static inline void
refresh_stats(void)
{
	uint64_t end = wait_limit();
	int rc;

	do
		rc = dp_stats_refresh(dp);
	while (rc == -ETIMEDOUT && rte_rdtsc() < end);
	assert_int_equal(rc, 0);
}

void assert_conserved(void);
uint64_t drops_of(unsigned i, enum drop reason);
uint64_t ns_since(uint64_t tsc); // for bounds that follow from how long the test itself took
void wait_drops(unsigned i, enum drop reason, uint64_t n);
// to: a guest, or BROADCAST. vlan 0: no tag.
struct rte_mbuf *make_frame(unsigned from, unsigned to, uint16_t vlan, unsigned len);
void send_mbuf(unsigned from, struct rte_mbuf *m);
void send_frame(unsigned from, unsigned to, uint16_t vlan, unsigned len);
struct rte_mbuf *receive(unsigned i);
void expect_frame(unsigned i, unsigned len);
// Nothing came: a frame sent afterwards by a way that works is the first to arrive.
void expect_nothing(unsigned i);
