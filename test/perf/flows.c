// Guests that send flows with known rates, and the one that receives them all, in one process on
// one core. Every packet carries its sending time, so delay, loss and rate of each flow are known.
// The last port is the receiver. Its own stalls (times when another thread had its core) are known,
// too: packets on their way then are counted apart. Commands on stdin: "flow N KBIT SIZE
// DEADLINE_US" describes the flow of port N (KBIT 0: nothing), "run WARMUP_MS MS" sends and answers
// with a line of JSON, "quit". A flow never sends more than CATCH_UP packets at once, so it keeps
// its token bucket.
#include "rtvs/hist.h"

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FLOWS 8
#define BURST 32
#define CATCH_UP 8
#define ETHER_TYPE 0x88b5 // IEEE 802: local experimental
#define STALL_US 100
#define MAX_SPANS 65536
#define DRAIN_MS 300

struct payload {
	struct rte_ether_hdr eth;
	uint16_t run;
	uint32_t flow, seq;
	uint64_t tsc;
} __attribute__((packed, aligned(2)));

struct flow {
	uint64_t kbit;
	unsigned size;
	uint64_t deadline; // cycles
	uint64_t interval, next; // cycles
	uint32_t seq;
	uint64_t sent, refused, received, bytes, late, late_in_stall;
	struct hist delay_ns;
};

static struct rte_mempool *pool;
static struct rte_ether_addr mac[RTE_MAX_ETHPORTS];
static struct flow flow[MAX_FLOWS];
static unsigned n_senders;
static uint16_t run_number;
// Late packets that were on their way together: when the first was sent and the last came
// (CLOCK_REALTIME), and the worst of them.
struct span {
	uint64_t begin_ns, end_ns, n, worst_ns;
};

static uint64_t hz, last_look, stall_end, n_stalls, stall_max;
static struct span spans[MAX_SPANS];
static unsigned n_spans;

static uint64_t
to_ns(uint64_t cycles)
{
	return (uint64_t)((unsigned __int128)cycles * 1000000000 / hz);
}

static int
start_port(uint16_t port)
{
	struct rte_eth_conf conf = {0};
	int rc = rte_eth_dev_configure(port, 1, 1, &conf);

	if (!rc)
		rc = rte_eth_rx_queue_setup(port, 0, 1024, SOCKET_ID_ANY, NULL, pool);
	if (!rc)
		rc = rte_eth_tx_queue_setup(port, 0, 256, SOCKET_ID_ANY, NULL);
	if (!rc)
		rc = rte_eth_dev_start(port);
	if (!rc)
		(void)rte_eth_promiscuous_enable(port);
	if (!rc)
		rc = rte_eth_macaddr_get(port, &mac[port]);
	return rc;
}

static struct rte_mbuf *
make(uint16_t from, uint16_t to, unsigned size)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	struct payload *p;

	if (!m)
		return NULL;
	p = (void *)rte_pktmbuf_append(m, (uint16_t)size);
	memset(p, 0, sizeof(*p));
	p->eth.src_addr = mac[from];
	p->eth.dst_addr = mac[to];
	p->eth.ether_type = rte_cpu_to_be_16(ETHER_TYPE);
	p->run = run_number;
	p->flow = from;
	return m;
}

// The due packets of a flow; a port that takes no more refuses them, and its sender continues.
static void
send_due(uint16_t id, uint64_t now)
{
	struct rte_mbuf *pkts[CATCH_UP];
	struct flow *f = &flow[id];
	uint16_t n = 0, sent;

	if (!f->interval || now < f->next)
		return;
	if (now - f->next > f->interval * CATCH_UP)
		f->next = now - f->interval * (CATCH_UP - 1);
	for (; n < CATCH_UP && f->next <= now; f->next += f->interval) {
		struct payload *p;

		pkts[n] = make(id, (uint16_t)n_senders, f->size);
		if (!pkts[n])
			break;
		p = rte_pktmbuf_mtod(pkts[n], struct payload *);
		p->seq = f->seq + n;
		p->tsc = rte_rdtsc();
		n++;
	}
	sent = rte_eth_tx_burst(id, 0, pkts, n);
	f->seq += sent;
	f->sent += sent;
	f->refused += n - sent;
	rte_pktmbuf_free_bulk(pkts + sent, n - sent);
}

// By the kernel's clock, as the switch's stalls are: DPDK's frequency of the TSC is rounded.
static uint64_t
kernel_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

// The generator reads its clock where packets are sent and received: a long time between two reads
// is an absence.
static uint64_t
look(void)
{
	uint64_t now = rte_rdtsc();

	if (now - last_look > hz / 1000000 * STALL_US) {
		stall_end = now;
		n_stalls++;
		stall_max = RTE_MAX(stall_max, now - last_look);
	}
	last_look = now;
	return now;
}

static void
note_late(struct flow *f, uint64_t sent, uint64_t now)
{
	uint64_t now_ns = kernel_ns(), sent_ns = now_ns - to_ns(now - sent), late_ns = to_ns(now - sent - f->deadline);
	struct span *span = n_spans ? &spans[n_spans - 1] : NULL;

	f->late++;
	// The generator was away while the packet was on its way, or took it late.
	if (stall_end > sent) {
		f->late_in_stall++;
		return;
	}
	if (!span || sent_ns > span->end_ns) {
		if (n_spans == MAX_SPANS)
			rte_exit(1, "flows: more than %u times at which packets were late\n", MAX_SPANS);
		span = &spans[n_spans++];
		*span = (struct span){.begin_ns = sent_ns};
	}
	span->begin_ns = RTE_MIN(span->begin_ns, sent_ns);
	span->end_ns = now_ns;
	span->n++;
	span->worst_ns = RTE_MAX(span->worst_ns, late_ns);
}

static void
receive(uint64_t begin, bool is_sending)
{
	struct rte_mbuf *pkts[BURST];
	uint16_t n = rte_eth_rx_burst((uint16_t)n_senders, 0, pkts, BURST);
	uint64_t now = look();

	for (uint16_t i = 0; i < n; i++) {
		const struct payload *p = rte_pktmbuf_mtod(pkts[i], const struct payload *);
		struct flow *f = &flow[p->flow % MAX_FLOWS];

		if (pkts[i]->data_len < sizeof(*p) || p->eth.ether_type != rte_cpu_to_be_16(ETHER_TYPE) ||
			p->run != run_number)
			continue;
		if (is_sending) // throughput is what comes in this time, delay what was sent in it
			f->bytes += pkts[i]->pkt_len;
		if (p->tsc < begin)
			continue;
		f->received++;
		hist_add(&f->delay_ns, to_ns(now - p->tsc));
		if (f->deadline && now - p->tsc > f->deadline)
			note_late(f, p->tsc, now);
	}
	rte_pktmbuf_free_bulk(pkts, n);
	// nothing is sent to them, but floods come
	for (uint16_t port = 0; port < n_senders; port++)
		rte_pktmbuf_free_bulk(pkts, rte_eth_rx_burst(port, 0, pkts, BURST));
}

static void
loop(uint64_t cycles, uint64_t begin, bool is_sending)
{
	uint64_t end, now;

	last_look = rte_rdtsc();
	end = last_look + cycles;
	while ((now = look()) < end) {
		for (uint16_t id = 0; is_sending && id < n_senders; id++)
			send_due(id, now);
		receive(begin, is_sending);
	}
}

// The receiver makes itself known, so that nothing is flooded.
static void
announce(void)
{
	struct rte_mbuf *m = make((uint16_t)n_senders, 0, 64);

	if (m && !rte_eth_tx_burst((uint16_t)n_senders, 0, &m, 1))
		rte_pktmbuf_free(m);
}

static void
report(uint64_t cycles)
{
	printf("{\"seconds\": %.6f, \"stalls\": %" PRIu64 ", \"stall_max_us\": %.1f, \"flows\": [",
		(double)cycles / (double)hz, n_stalls, (double)to_ns(stall_max) / 1e3);
	for (unsigned i = 0; i < n_senders; i++) {
		const struct flow *f = &flow[i];

		printf("%s{\"sent\": %" PRIu64 ", \"refused\": %" PRIu64 ", \"received\": %" PRIu64
		       ", \"bytes\": %" PRIu64 ", \"late\": %" PRIu64 ", \"late_in_stall\": %" PRIu64
		       ", \"buckets\": [",
			i ? ", " : "", f->sent, f->refused, f->received, f->bytes, f->late, f->late_in_stall);
		for (unsigned b = 0, n = 0; b < HIST_BUCKETS; b++)
			if (f->delay_ns.bucket[b])
				printf("%s[%" PRIu64 ", %" PRIu64 "]", n++ ? ", " : "", hist_bucket_high(b),
					f->delay_ns.bucket[b]);
		printf("], \"p50\": %" PRIu64 ", \"p99\": %" PRIu64 ", \"p999\": %" PRIu64 ", \"max\": %" PRIu64 "}",
			hist_percentile(&f->delay_ns, 50000), hist_percentile(&f->delay_ns, 99000),
			hist_percentile(&f->delay_ns, 99900), f->delay_ns.max);
	}
	printf("], \"late_spans\": [");
	for (unsigned i = 0; i < n_spans; i++)
		printf("%s[%" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 "]", i ? ", " : "", spans[i].begin_ns,
			spans[i].end_ns, spans[i].n, spans[i].worst_ns);
	printf("]}\n");
	fflush(stdout);
}

static void
run(unsigned warmup_ms, unsigned ms)
{
	uint64_t begin, now = rte_rdtsc();

	run_number++;
	for (unsigned i = 0; i < n_senders; i++) {
		struct flow *f = &flow[i];

		f->interval = f->kbit ? hz * f->size * 8 / (f->kbit * 1000) : 0;
		f->next = now;
		f->seq = 0;
	}
	announce();
	loop(hz / 1000 * warmup_ms, UINT64_MAX, true);
	for (unsigned i = 0; i < n_senders; i++) {
		flow[i].sent = flow[i].refused = flow[i].received = flow[i].bytes = flow[i].late =
			flow[i].late_in_stall = 0;
		hist_init(&flow[i].delay_ns);
	}
	n_spans = 0;
	n_stalls = stall_max = 0;
	begin = rte_rdtsc();
	loop(hz / 1000 * ms, begin, true);
	now = rte_rdtsc() - begin;
	loop(hz / 1000 * DRAIN_MS, begin, false);
	report(now);
}

int
main(int argc, char **argv)
{
	unsigned id, kbit, size, deadline_us, warmup, ms;
	char line[256];

	if (rte_eal_init(argc, argv) < 0)
		return 1;
	hz = rte_get_tsc_hz();
	pool = rte_pktmbuf_pool_create("flows", 16383, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (!pool || rte_eth_dev_count_avail() < 2 || rte_eth_dev_count_avail() > MAX_FLOWS) {
		fprintf(stderr, "flows: needs 2 to %u ports\n", MAX_FLOWS);
		return 1;
	}
	n_senders = rte_eth_dev_count_avail() - 1u;
	for (uint16_t port = 0; port <= n_senders; port++)
		if (start_port(port)) {
			fprintf(stderr, "flows: port %u does not start\n", port);
			return 1;
		}
	printf("{\"ready\": true}\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) && strncmp(line, "quit", 4)) {
		if (sscanf(line, "flow %u %u %u %u", &id, &kbit, &size, &deadline_us) == 4 && id < n_senders &&
			size >= sizeof(struct payload) && size <= 1514)
			flow[id] = (struct flow){.kbit = kbit, .size = size, .deadline = hz / 1000000 * deadline_us};
		else if (sscanf(line, "run %u %u", &warmup, &ms) == 2)
			run(warmup, ms);
	}
	return 0;
}
