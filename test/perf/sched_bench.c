// Cost of a packet through a scheduler, enqueue and dequeue, one thread: src/core/sched.c and
// DPDK's rte_sched, in turns, on the same packets. A flow is a flow of ours and a pipe of
// rte_sched; rates are high enough that no packet waits for tokens.
// usage: sched_bench EAL-ARGS -- ROUNDS MILLISECONDS. Prints a JSON object a line: a round of one
// system, number of flows and backlog. The second part compares queues that could hold the
// deadlines (queues.h).
#include "queues.h"
#include "rtvs/sched.h"

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>
#include <rte_sched.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BURST 8 // a scheduler that is nearly empty sees a few packets at a time
#define N_PKTS 16384
#define PKT_BYTES 64
#define RATE UINT64_C(50000000000) // bytes/s
#define RTE_RATE UINT64_C(12500000000) // 100 Gbit/s, more than rte_sched can carry
#define MAX_FLOWS 65536

struct system_ops {
	const char *name;
	void (*begin)(uint32_t n_flows);
	void (*end)(void);
	void (*enqueue)(struct rte_mbuf **pkts, const uint32_t *flows, unsigned n);
	unsigned (*dequeue)(struct rte_mbuf **pkts, unsigned n);
};

static struct rte_mempool *pool;
static int item_offset;
static uint64_t seed = 88172645463325252u;

static uint32_t
random32(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16);
}

static struct sched sched;
static void *sched_memory;

static uint64_t
now_ns(void)
{
	static uint64_t mult;

	if (!mult)
		mult = (uint64_t)(((unsigned __int128)1000000000 << 32) / rte_get_tsc_hz());
	return (uint64_t)((unsigned __int128)rte_rdtsc() * mult >> 32);
}

static struct sched_item *
item_of(struct rte_mbuf *m)
{
	return RTE_MBUF_DYNFIELD(m, item_offset, struct sched_item *);
}

static void
ours_begin(uint32_t n_flows)
{
	sched_memory = rte_malloc("sched", sched_memory_bytes(n_flows), SCHED_ALIGN);
	sched_init(&sched, n_flows, sched_memory, now_ns());
	for (uint32_t i = 0; i < n_flows; i++) {
		struct sched_params p = {.deadline_ns = 100000 + random32() % 10000000,
			.min_rate = RATE,
			.burst = SCHED_BURST_MAX,
			.weight = 1,
			.limit = N_PKTS};

		sched_set_sender(&sched, i, &p, now_ns());
	}
}

static void
ours_end(void)
{
	rte_free(sched_memory);
}

static void
ours_enqueue(struct rte_mbuf **pkts, const uint32_t *flows, unsigned n)
{
	uint64_t now = now_ns();

	for (unsigned i = 0; i < n; i++) {
		sched_prefetch(&sched, flows[i]);
		rte_prefetch0(item_of(pkts[i])); // rte_sched does so with its packets
		rte_prefetch0(pkts[i]);
	}
	for (unsigned i = 0; i < n; i++) {
		struct sched_item *item = item_of(pkts[i]);

		item->len = pkts[i]->pkt_len;
		item->arrival_ns = now;
		(void)sched_enqueue(&sched, flows[i], item, now);
	}
}

static unsigned
ours_dequeue(struct rte_mbuf **pkts, unsigned n)
{
	struct sched_item *items[BURST];

	n = sched_dequeue(&sched, items, n, now_ns());
	for (unsigned i = 0; i < n; i++)
		pkts[i] = (struct rte_mbuf *)((char *)items[i] - item_offset);
	return n;
}

static struct rte_sched_port *port;

static void
rte_begin(uint32_t n_flows)
{
	struct rte_sched_pipe_params pipe = {.tb_rate = RTE_RATE,
		.tb_size = 1000000,
		.tc_period = 10,
		.tc_ov_weight = 1,
		.wrr_weights = {1, 1, 1, 1}};
	struct rte_sched_subport_profile_params profile = {.tb_rate = RTE_RATE, .tb_size = 1000000, .tc_period = 10};
	struct rte_sched_port_params params = {.name = "bench",
		.rate = RTE_RATE,
		.mtu = 1522,
		.frame_overhead = 24,
		.n_subports_per_port = 1,
		.subport_profiles = &profile,
		.n_subport_profiles = 1,
		.n_max_subport_profiles = 1,
		.n_pipes_per_subport = n_flows};
	struct rte_sched_subport_params subport = {.n_pipes_per_subport_enabled = n_flows,
		.pipe_profiles = &pipe,
		.n_pipe_profiles = 1,
		.n_max_pipe_profiles = 1};

	for (unsigned i = 0; i < RTE_SCHED_TRAFFIC_CLASSES_PER_PIPE; i++) {
		pipe.tc_rate[i] = profile.tc_rate[i] = RTE_RATE;
		subport.qsize[i] = (uint16_t)RTE_MAX(64u, RTE_MIN(4 * N_PKTS / n_flows, 4096u));
	}
	port = rte_sched_port_config(&params);
	if (!port || rte_sched_subport_config(port, 0, &subport, 0))
		rte_exit(1, "rte_sched refused %u flows\n", n_flows);
	for (uint32_t i = 0; i < n_flows; i++)
		if (rte_sched_pipe_config(port, 0, i, 0))
			rte_exit(1, "rte_sched refused pipe %u\n", i);
}

static void
rte_end(void)
{
	rte_sched_port_free(port);
}

static void
rte_enqueue(struct rte_mbuf **pkts, const uint32_t *flows, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		rte_sched_port_pkt_write(port, pkts[i], 0, flows[i], 0, 0, RTE_COLOR_GREEN);
	(void)rte_sched_port_enqueue(port, pkts, n);
}

static unsigned
rte_dequeue(struct rte_mbuf **pkts, unsigned n)
{
	return (unsigned)rte_sched_port_dequeue(port, pkts, n);
}

static const struct system_ops systems[] = {
	{"rtvswitch", ours_begin, ours_end, ours_enqueue, ours_dequeue},
	{"rte_sched", rte_begin, rte_end, rte_enqueue, rte_dequeue},
};

// Packets not in the scheduler: a ring, so that each is used in turn and none is warm by chance.
static struct rte_mbuf *idle[N_PKTS * 2];
static uint64_t idle_head, idle_tail;

static void
put_idle(struct rte_mbuf **pkts, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		idle[idle_tail++ % RTE_DIM(idle)] = pkts[i];
}

static void
take_idle(struct rte_mbuf **pkts, uint32_t *flows, unsigned n, uint32_t n_flows)
{
	for (unsigned i = 0; i < n; i++) {
		pkts[i] = idle[idle_head++ % RTE_DIM(idle)];
		flows[i] = random32() % n_flows;
	}
}

// At most one burst is missing: rte_sched keeps a few packets in its pipeline.
static double
measure(const struct system_ops *sys, uint32_t n_flows, unsigned backlog, double seconds)
{
	struct rte_mbuf *in[BURST], *out[BURST];
	uint32_t flows[BURST];
	uint64_t begin, used = 0, end, n_done = 0;
	unsigned n;

	sys->begin(n_flows);
	for (unsigned queued = 0; queued < backlog; queued += BURST) {
		take_idle(in, flows, BURST, n_flows);
		sys->enqueue(in, flows, BURST);
	}
	end = rte_rdtsc() + (uint64_t)(seconds * (double)rte_get_tsc_hz());
	do {
		take_idle(in, flows, BURST, n_flows);
		begin = rte_rdtsc();
		sys->enqueue(in, flows, BURST);
		n = sys->dequeue(out, BURST);
		used += rte_rdtsc() - begin;
		put_idle(out, n);
		n_done += n;
		while (idle_tail - idle_head < 2 * BURST) { // those that came out late
			begin = rte_rdtsc();
			n = sys->dequeue(out, BURST);
			used += rte_rdtsc() - begin;
			put_idle(out, n);
			n_done += n;
		}
	} while (rte_rdtsc() < end);
	end = rte_rdtsc() + 2 * rte_get_tsc_hz();
	while (idle_tail - idle_head < N_PKTS && rte_rdtsc() < end) {
		n = sys->dequeue(out, BURST);
		put_idle(out, n);
	}
	sys->end();
	if (idle_tail - idle_head != N_PKTS)
		rte_exit(1, "%s lost packets: %u of %u came back\n", sys->name, (unsigned)(idle_tail - idle_head),
			N_PKTS);
	return (double)used / (double)rte_get_tsc_hz() * (double)NS_PER_S / (double)n_done;
}

// A flow leaves with the earliest deadline and comes back with a new one, n_flows of them queued.
static double
measure_queue(const struct queue_ops *q, uint32_t n_flows, double seconds)
{
	uint64_t now = 1000000000, begin, end, used, n_done = 0;

	q->init(MAX_FLOWS);
	for (uint32_t i = 0; i < n_flows; i++)
		q->push(i, now + random32() % 10000000);
	begin = rte_rdtsc();
	end = begin + (uint64_t)(seconds * (double)rte_get_tsc_hz());
	do {
		for (unsigned i = 0; i < 1000; i++) {
			uint64_t deadline;
			uint32_t flow = q->pop(&deadline);

			now = deadline; // time as the queue sees it moves on
			q->push(flow, now + 100000 + random32() % 10000000);
		}
		n_done += 1000;
	} while (rte_rdtsc() < end);
	used = rte_rdtsc() - begin;
	return (double)used / (double)rte_get_tsc_hz() * (double)NS_PER_S / (double)n_done;
}

int
main(int argc, char **argv)
{
	static const uint32_t n_flows[] = {64, 1024, 4096, 65536}, n_queued[] = {16, 64, 1024, 4096, 65536};
	static const unsigned backlogs[] = {0, 8192};
	static const struct rte_mbuf_dynfield field = {
		.name = "rtvs_bench_item", .size = sizeof(struct sched_item), .align = 8};
	int used = rte_eal_init(argc, argv);
	unsigned rounds;
	double seconds;

	if (used < 0 || argc - used != 3)
		rte_exit(1, "usage: sched_bench EAL-ARGS -- ROUNDS MILLISECONDS\n");
	rounds = (unsigned)strtoul(argv[used + 1], NULL, 10);
	seconds = strtod(argv[used + 2], NULL) / 1000;
	pool = rte_pktmbuf_pool_create("pkts", N_PKTS, 0, 0, 256, SOCKET_ID_ANY);
	item_offset = rte_mbuf_dynfield_register(&field);
	if (!pool || item_offset < 0)
		rte_exit(1, "no memory\n");
	for (unsigned i = 0; i < N_PKTS; i++) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

		m->pkt_len = m->data_len = PKT_BYTES;
		put_idle(&m, 1);
	}
	for (unsigned round = 0; round < rounds; round++) {
		for (unsigned f = 0; f < RTE_DIM(n_flows); f++)
			for (unsigned b = 0; b < RTE_DIM(backlogs); b++)
				for (unsigned s = 0; s < RTE_DIM(systems); s++)
					printf("{\"system\": \"%s\", \"flows\": %u, \"backlog\": %u, \"ns\": %.2f}\n",
						systems[s].name, n_flows[f], backlogs[b],
						measure(&systems[s], n_flows[f], backlogs[b], seconds));
		for (unsigned f = 0; f < RTE_DIM(n_queued); f++)
			for (unsigned q = 0; queue_ops[q].name; q++)
				printf("{\"queue\": \"%s\", \"flows\": %u, \"ns\": %.2f}\n", queue_ops[q].name,
					n_queued[f], measure_queue(&queue_ops[q], n_queued[f], seconds));
		fflush(stdout);
	}
	return 0;
}
