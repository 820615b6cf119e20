// From one worker to another, both made by hand. The packets of a burst for ports of the other
// worker are handed over when the stage is flushed, in order, with one wake-up, and counted
// whatever happens to them.
#include "eal_fixture.h"
#include "path/egress.h"
#include "rtvs/random.h"

#include <rte_ether.h>

#include <stdlib.h>
#include <sys/eventfd.h>

#define N_PORTS 3 // the first is the sender's, the others belong to the other worker
#define BOX 128 // size of their mailboxes: one packet less fits
#define N_MBUFS 255
#define SIZE 64
#define MINE 0
#define OTHERS 1

static struct env env;
static struct view *view, *before; // before: there were ports of the other worker
static struct view_port entry[N_PORTS];
static const struct view_block ports = {.port = {&entry[0], &entry[1], &entry[2]}};
static const struct view_block no_ports = {.port = {&view_no_port, &view_no_port, &view_no_port}};
static struct worker w[2];
static struct port_path port[N_PORTS];
static uint16_t got[N_PORTS]; // packets that each port's device took, all in order

// The sender numbers its packets in the VLAN field, which nothing here looks at.
static uint16_t
fake_tx(struct device *device, uint16_t q, struct rte_mbuf **pkts, uint16_t n, struct port_refused *refused)
{
	unsigned i = (unsigned)(uintptr_t)device->priv;

	(void)refused;
	assert_int_equal(q, 0);
	for (uint16_t k = 0; k < n; k++)
		assert_int_equal(pkts[k]->vlan_tci, got[i]++);
	pkt_free_burst(pkts, n);
	return n;
}

static const struct port_io fake_io = {.tx = fake_tx};

static void
add_port(unsigned i)
{
	port[i] = (struct port_path){.id = (uint16_t)i,
		.owner = i ? OTHERS : MINE,
		.device = {.io = &fake_io, .priv = (void *)(uintptr_t)i, .is_up = true, .n_txq = 1}};
	entry[i] = (struct view_port){.port = &port[i],
		.mirror_to = VIEW_NO_PORT,
		.takes_untagged = true,
		.is_admin_up = true,
		.frame_max = 1514,
		.dscp_out = DSCP_KEEP};
}

static int
start(void **state)
{
	(void)state;
	view = calloc(1, sizeof(*view) + 2 * sizeof(view->worker[0]));
	before = calloc(1, sizeof(*before));
	if (start_eal(N_MBUFS) || !view || !before)
		return -1;
	view->block[0] = &ports;
	before->block[0] = &no_ports;
	for (unsigned i = 0; i < 2; i++) {
		w[i] = (struct worker){.env = &env, .index = (uint16_t)i, .pool = pool, .now_ns = 1};
		w[i].port = aligned_alloc(RTE_CACHE_LINE_SIZE, DP_MAX_PORTS * sizeof(*w[i].port));
		env.waker[i] = &w[i].waker;
		if (!w[i].port || waker_init(&w[i].waker))
			return -1;
	}
	return 0;
}

static int
stop(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		free(w[i].port);
		waker_fini(&w[i].waker);
	}
	free(before);
	free(view);
	return stop_eal(state);
}

static int
begin(void **state)
{
	static const uint16_t owned[] = {1, 2};
	static const struct view_worker others = {.owned = owned, .n_owned = RTE_DIM(owned)};

	(void)state;
	memset(got, 0, sizeof(got));
	memset(env.due, 0, sizeof(env.due));
	for (unsigned i = 0; i < 2; i++)
		memset(w[i].port, 0, DP_MAX_PORTS * sizeof(*w[i].port));
	for (unsigned i = 0; i < N_PORTS; i++) {
		add_port(i);
		if (mailbox_init(&port[i].handoff, BOX))
			return -1;
	}
	view->worker[OTHERS] = &others;
	waker_awake(&w[OTHERS].waker);
	return 0;
}

static struct port_counters
sum_of(unsigned i)
{
	struct port_counters sum = {0};

	for (unsigned k = 0; k < 2; k++) {
		const struct port_counters *c = &w[k].port[i].c;

		sum.queued_in += c->queued_in;
		sum.queued_out += c->queued_out;
		sum.tx_pkts += c->tx_pkts;
		sum.drops[DROP_HANDOFF_FULL] += c->drops[DROP_HANDOFF_FULL];
	}
	return sum;
}

static int
end(void **state)
{
	eventfd_t ignored;

	(void)state;
	for (unsigned i = 0; i < N_PORTS; i++) {
		assert_int_equal(sum_of(i).queued_in, sum_of(i).queued_out);
		assert_int_equal(sum_of(i).tx_pkts, got[i]);
		mailbox_fini(&port[i].handoff);
	}
	(void)eventfd_read(w[OTHERS].waker.fd, &ignored);
	assert_int_equal(rte_mempool_avail_count(pool), N_MBUFS);
	return 0;
}

// The k-th packet for the port.
static void
put(unsigned out, uint16_t k)
{
	struct egress_pkt pkt = {.m = pkt_make(pool, SIZE)};

	assert_non_null(pkt.m);
	memset(rte_pktmbuf_mtod(pkt.m, void *), 0, SIZE);
	pkt.m->vlan_tci = k;
	pkt.m->port = MINE;
	egress_put(&w[MINE], view, (uint16_t)out, pkt);
}

static unsigned
n_wakeups(void)
{
	eventfd_t n = 0;

	return eventfd_read(w[OTHERS].waker.fd, &n) ? 0 : (unsigned)n;
}

static void
burst_is_handed_over_in_order_with_one_wakeup(void **state)
{
	(void)state;
	waker_sleep(&w[OTHERS].waker);
	for (uint16_t k = 0; k < PORT_BURST; k++) {
		put(1, k);
		put(2, k);
	}
	assert_int_equal(n_wakeups(), 0);
	assert_int_equal(egress_drain(&w[OTHERS], view), 0);
	egress_flush(&w[MINE], view);
	assert_int_equal(n_wakeups(), 1);
	assert_int_equal(egress_drain(&w[OTHERS], view), 2 * PORT_BURST);
	assert_int_equal(got[1], PORT_BURST);
	assert_int_equal(got[2], PORT_BURST);
	// Asleep again, it is woken again.
	waker_sleep(&w[OTHERS].waker);
	put(1, PORT_BURST);
	egress_flush(&w[MINE], view);
	assert_int_equal(n_wakeups(), 1);
	assert_int_equal(egress_drain(&w[OTHERS], view), 1);
}

static void
worker_that_is_awake_is_not_woken(void **state)
{
	(void)state;
	put(1, 0);
	egress_flush(&w[MINE], view);
	assert_int_equal(n_wakeups(), 0);
	assert_int_equal(egress_drain(&w[OTHERS], view), 1);
}

static void
port_of_the_worker_itself_wakes_nobody(void **state)
{
	(void)state;
	waker_sleep(&w[OTHERS].waker);
	put(MINE, 0);
	egress_flush(&w[MINE], view);
	assert_int_equal(n_wakeups(), 0);
	assert_int_equal(got[MINE], 1);
	assert_int_equal(egress_drain(&w[OTHERS], view), 0);
}

static void
full_mailbox_loses_the_last_ones_and_counts_them(void **state)
{
	unsigned n;

	(void)state;
	for (uint16_t k = 0; k < BOX; k++) {
		put(1, k);
		if (k % PORT_BURST == PORT_BURST - 1)
			egress_flush(&w[MINE], view);
	}
	put(2, 0);
	egress_flush(&w[MINE], view);
	assert_int_equal(sum_of(1).drops[DROP_HANDOFF_FULL], 1);
	assert_int_equal(sum_of(2).drops[DROP_HANDOFF_FULL], 0);
	// A burst of each port in a turn.
	n = egress_drain(&w[OTHERS], view);
	assert_int_equal(n, PORT_BURST + 1);
	assert_int_equal(got[2], 1);
	while ((n = egress_drain(&w[OTHERS], view)))
		assert_in_range(n, 1, PORT_BURST);
	assert_int_equal(got[1], BOX - 1);
}

static void
stage_that_is_full_is_handed_over_at_once(void **state)
{
	(void)state;
	for (uint16_t k = 0; k < WORKER_STAGE; k++)
		put(1, k);
	assert_int_equal(sum_of(1).queued_in, 0);
	put(1, WORKER_STAGE);
	assert_int_equal(sum_of(1).queued_in, WORKER_STAGE);
	egress_flush(&w[MINE], view);
	while (egress_drain(&w[OTHERS], view))
		;
	assert_int_equal(got[1], WORKER_STAGE + 1);
}

static void
packets_for_a_port_that_is_not_known_yet_wait_for_the_view(void **state)
{
	(void)state;
	put(1, 0);
	egress_flush(&w[MINE], view);
	assert_int_equal(egress_drain(&w[OTHERS], before), 0);
	assert_int_equal(egress_drain(&w[OTHERS], view), 0); // the mark is gone, the packet is not
	egress_apply(&w[OTHERS], view);
	assert_int_equal(egress_drain(&w[OTHERS], view), 1);
	assert_int_equal(got[1], 1);
}

#define VLAN 5
#define N_PACKETS 20000

static struct rte_mbuf *
make_any(uint64_t *random)
{
	uint16_t n = (uint16_t)(14 + random_below(random, random_below(random, 4) ? 100 : 1600));
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool), *more;

	memset(rte_pktmbuf_append(m, n), (int)random_below(random, 256), n);
	if (!random_below(random, 8)) {
		more = rte_pktmbuf_alloc(pool);
		memset(rte_pktmbuf_append(more, 50), 1, 50);
		assert_int_equal(rte_pktmbuf_chain(m, more), 0);
	}
	if (!random_below(random, 8) && n >= 16)
		pkt_set_offload(m, (struct offload){.csum_start = 14});
	return m;
}

static void
make_any_port(uint64_t *random)
{
	entry[0].vlan = random_below(random, 4) ? VLAN : 0;
	entry[0].takes_untagged = random_below(random, 8);
	entry[0].is_trunk = entry[0].carries_all = !random_below(random, 4);
	entry[0].is_mirror_target = !random_below(random, 8);
	entry[0].is_admin_up = random_below(random, 8);
	entry[0].writes_dscp = !random_below(random, 8);
	entry[0].dscp_out = random_below(random, 2) ? DSCP_KEEP : 46;
	entry[0].frame_max = random_below(random, 2) ? 100 : 1514;
	port[0].device.is_up = random_below(random, 8);
	port[0].device.caps = (uint32_t)random_below(random, PORT_CAP_ALL + 1);
}

// What passes is what egress_put would have staged as it is.
static void
packets_pass_only_as_they_came(void **state)
{
	struct worker_tx *tx = &w[MINE].port[0].tx;
	uint64_t random = unit_seed();
	unsigned n_passed = 0;

	(void)state;
	for (unsigned i = 0; i < N_PACKETS; i++) {
		struct rte_mbuf *first = rte_pktmbuf_alloc(pool), *m, *copy;
		struct egress_way way;

		make_any_port(&random);
		way = egress_way(&w[MINE], view, 0, VLAN);
		m = make_any(&random);
		m->port = 0;
		copy = rte_pktmbuf_copy(m, pool, 0, UINT32_MAX);
		tx->pkts[0] = first;
		tx->n = 1;
		if (!egress_pass(&w[MINE], &way, m)) {
			assert_int_equal(tx->n, 1);
			egress_put(&w[MINE], view, 0, (struct egress_pkt){.m = m, .vlan = VLAN});
			rte_pktmbuf_free(copy);
		} else {
			n_passed++;
			assert_int_equal(tx->n, 2);
			tx->n = 1;
			egress_put(&w[MINE], view, 0, (struct egress_pkt){.m = copy, .vlan = VLAN});
			assert_int_equal(tx->n, 2);
			assert_ptr_equal(tx->pkts[1], copy);
			assert_int_equal(copy->pkt_len, m->pkt_len);
			assert_memory_equal(rte_pktmbuf_mtod(copy, void *), rte_pktmbuf_mtod(m, void *), m->data_len);
			rte_pktmbuf_free(m);
		}
		rte_pktmbuf_free_bulk(tx->pkts, tx->n);
		tx->n = w[MINE].n_dirty = 0;
	}
	assert_in_range(n_passed, N_PACKETS / 20, N_PACKETS / 2);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(burst_is_handed_over_in_order_with_one_wakeup),
		CASE(worker_that_is_awake_is_not_woken),
		CASE(port_of_the_worker_itself_wakes_nobody),
		CASE(full_mailbox_loses_the_last_ones_and_counts_them),
		CASE(stage_that_is_full_is_handed_over_at_once),
		CASE(packets_pass_only_as_they_came),
		CASE(packets_for_a_port_that_is_not_known_yet_wait_for_the_view),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
