#include "dp_fixture.h"

#include "rtvs/log.h"
#include "rtvs/units.h"

#include <rte_cycles.h>
#include <rte_dev.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct dp *dp;
unsigned n_workers = 1;
struct rte_mempool *pool;
unsigned bridge;
struct guest guest[N_GUESTS];
static bool is_virtual[DP_MAX_PORTS];

struct mac
guest_mac(unsigned i)
{
	return (struct mac){{0x52, 0x54, 0, 0, 0, (uint8_t)(i + 1)}};
}

void
set_workers(int argc, char **argv)
{
	n_workers = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1;
}

int
fixture_start(void **state)
{
	struct dp_system_cfg cfg = system_cfg(DSCP_DEFAULT);
	char err[DP_ERR_SIZE] = "";

	(void)state;
	for (unsigned cpu = 0; n_workers > 1 && cpu < n_workers; cpu++)
		cfg.workers.cpu[cfg.workers.n++] = (uint16_t)cpu;
	log_set_level(LOG_LEVEL_WARNING);
	(void)signal(SIGPIPE, SIG_IGN); // virtio-user writes to sockets that the switch has closed
	assert_non_null(mkdtemp(fixture_dir));
	if (dp_init(&cfg, &dp, err)) {
		print_error("dp_init: %s\n", err);
		return -1;
	}
	pool = rte_pktmbuf_pool_create("test", 2047, 0, 0, RTE_PKTMBUF_HEADROOM + 4096, SOCKET_ID_ANY);
	return pool ? 0 : -1;
}

int
fixture_stop(void **state)
{
	(void)state;
	rte_mempool_free(pool);
	dp_fini(dp);
	return rmdir(fixture_dir);
}

unsigned
new_port(const struct dp_port_cfg *cfg)
{
	char err[DP_ERR_SIZE] = "";
	unsigned id = 0;

	if (dp_port_add(dp, cfg, &id, err))
		fail_msg("port %s: %s", cfg->name, err);
	is_virtual[id] = port_has(cfg->type, PORT_IS_VIRTUAL);
	return id;
}

void
add_port(unsigned i, const struct dp_port_cfg *cfg)
{
	guest[i].port = new_port(cfg);
}

void
set_port(unsigned i, const struct dp_port_cfg *cfg)
{
	char err[DP_ERR_SIZE] = "";

	if (dp_port_set(dp, guest[i].port, cfg, err))
		fail_msg("port %u: %s", i, err);
}

struct dp_port_state
state_of(unsigned i)
{
	struct dp_port_state state;

	assert_int_equal(dp_port_state(dp, guest[i].port, &state), 0);
	return state;
}

struct dp_port_stats
stats_of(unsigned i)
{
	struct dp_port_stats s;

	refresh_stats();
	assert_int_equal(dp_port_stats(dp, guest[i].port, &s), 0);
	return s;
}

void
take_events(void)
{
	struct dp_event ignored;

	while (dp_event_next(dp, &ignored))
		;
}

void
wait_link(unsigned port, bool is_up)
{
	uint64_t end = wait_limit();
	struct dp_port_state state;

	do {
		take_events();
		assert_int_equal(dp_port_state(dp, port, &state), 0);
		if (state.is_link_up == is_up)
			return;
	} while (rte_rdtsc() < end);
	fail_msg("port %u: link is not %s", port, is_up ? "up" : "down");
}

void
plug(unsigned i, uint64_t rx_offloads, uint64_t tx_offloads)
{
	struct rte_eth_conf conf = {.rxmode = {.offloads = rx_offloads}, .txmode = {.offloads = tx_offloads}};
	char name[32], args[256], mac[UNITS_TEXT_SIZE];
	struct mac m = guest_mac(i);

	snprintf(name, sizeof(name), "net_virtio_user%u", i);
	snprintf(args, sizeof(args), "path=%s/p%u,mac=%s,queues=1", fixture_dir, i, units_format_mac(&m, mac));
	assert_int_equal(rte_eal_hotplug_add("vdev", name, args), 0);
	assert_int_equal(rte_eth_dev_get_port_by_name(name, &guest[i].dev), 0);
	assert_int_equal(rte_eth_dev_configure(guest[i].dev, 1, 1, &conf), 0);
	assert_int_equal(rte_eth_rx_queue_setup(guest[i].dev, 0, 256, SOCKET_ID_ANY, NULL, pool), 0);
	assert_int_equal(rte_eth_tx_queue_setup(guest[i].dev, 0, 256, SOCKET_ID_ANY, NULL), 0);
	assert_int_equal(rte_eth_dev_start(guest[i].dev), 0);
	wait_link(guest[i].port, true);
}

void
unplug(unsigned i)
{
	char name[32];

	snprintf(name, sizeof(name), "net_virtio_user%u", i);
	(void)rte_eth_dev_stop(guest[i].dev);
	assert_int_equal(rte_eal_hotplug_remove("vdev", name), 0);
}

int
fixture_add_bridge(void **state)
{
	struct dp_bridge_cfg cfg = bridge_cfg(0);
	char err[DP_ERR_SIZE];

	(void)state;
	return dp_bridge_add(dp, &cfg, &bridge, err);
}

void
add_guests(const struct dp_port_cfg *cfgs)
{
	for (unsigned i = 0; i < N_GUESTS; i++) {
		add_port(i, &cfgs[i]);
		plug(i, 0, 0);
	}
}

void
plain_guests(void)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};

	add_guests(cfgs);
}

static void
add_stats(struct dp_port_stats *sum, const struct dp_port_stats *s)
{
	sum->rx_pkts += s->rx_pkts;
	sum->tx_pkts += s->tx_pkts;
	sum->replicated += s->replicated;
	sum->to_daemon += s->to_daemon;
	sum->queued += s->queued;
	for (unsigned i = 0; i < DROP_COUNT; i++)
		sum->drops[i] += s->drops[i];
}

// rx and replicated less their results: 0. Packets of virtual ports are packets of others, too.
static int64_t
unaccounted(void)
{
	struct dp_port_stats sum, s;
	uint64_t drops = 0;

	refresh_stats();
	dp_stats_gone(dp, &sum);
	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		if (!dp_port_stats(dp, i, &s)) {
			if (is_virtual[i])
				s.rx_pkts = s.tx_pkts = 0;
			add_stats(&sum, &s);
		}
	for (unsigned i = 0; i < DROP_COUNT; i++)
		drops += sum.drops[i];
	return (int64_t)(sum.rx_pkts + sum.replicated) - ((int64_t)(sum.tx_pkts + sum.to_daemon + drops) + sum.queued);
}

void
assert_conserved(void)
{
	assert_int_equal(unaccounted(), 0);
}

// Removes first and asserts afterwards: a case that fails leaves nothing to the next one.
int
fixture_remove_all(void **state)
{
	int64_t before = unaccounted();
	int rc;

	(void)state;
	for (unsigned i = 0; i < N_GUESTS; i++) {
		char name[32];
		uint16_t dev;

		snprintf(name, sizeof(name), "net_virtio_user%u", i);
		if (!rte_eth_dev_get_port_by_name(name, &dev))
			unplug(i);
	}
	for (unsigned i = DP_MAX_PORTS; i--;) // tunnels were added after their uplink
		(void)dp_port_del(dp, i);
	rc = dp_bridge_del(dp, bridge);
	assert_int_equal(before, 0);
	assert_conserved();
	return rc;
}

uint64_t
drops_of(unsigned i, enum drop reason)
{
	return stats_of(i).drops[reason];
}

uint64_t
ns_since(uint64_t tsc)
{
	return (uint64_t)((double)(rte_rdtsc() - tsc) * 1e9 / (double)rte_get_tsc_hz()) + 1;
}

void
wait_drops(unsigned i, enum drop reason, uint64_t n)
{
	uint64_t end = wait_limit();

	while (drops_of(i, reason) < n && rte_rdtsc() < end)
		;
	assert_int_equal(drops_of(i, reason), n);
}

struct rte_mbuf *
make_frame(unsigned from, unsigned to, uint16_t vlan, unsigned len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	struct mac src = guest_mac(from), dst = guest_mac(to);
	uint8_t *p;

	assert_non_null(m);
	p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)len);
	assert_non_null(p);
	memset(p, 0, len);
	memset(p, 0xff, 6);
	if (to < N_GUESTS)
		memcpy(p, dst.b, 6);
	memcpy(p + 6, src.b, 6);
	if (vlan) {
		p[12] = 0x81;
		p[14] = (uint8_t)(vlan >> 8);
		p[15] = (uint8_t)vlan;
		p += 4;
	}
	p[12] = 0x88; // an experimental EtherType (IEEE 802, local experimental 1)
	p[13] = 0xb5;
	return m;
}

void
send_mbuf(unsigned from, struct rte_mbuf *m)
{
	uint64_t end = wait_limit();

	while (!rte_eth_tx_burst(guest[from].dev, 0, &m, 1))
		assert_true(rte_rdtsc() < end);
}

void
send_frame(unsigned from, unsigned to, uint16_t vlan, unsigned len)
{
	send_mbuf(from, make_frame(from, to, vlan, len));
}

struct rte_mbuf *
receive(unsigned i)
{
	uint64_t end = wait_limit();
	struct rte_mbuf *m;

	while (!rte_eth_rx_burst(guest[i].dev, 0, &m, 1))
		if (rte_rdtsc() > end) {
			fail_msg("guest %u received nothing", i);
			return NULL;
		}
	return m;
}

void
expect_frame(unsigned i, unsigned len)
{
	struct rte_mbuf *m = receive(i);

	assert_int_equal(m->pkt_len, len);
	rte_pktmbuf_free(m);
}

void
expect_nothing(unsigned i)
{
	struct rte_mbuf *m;

	assert_int_equal(rte_eth_rx_burst(guest[i].dev, 0, &m, 1), 0);
}
