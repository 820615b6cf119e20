// The ends of a network whose switch, if it has one, is not ours to link: programs that send and
// receive through DPDK devices (memif, AF_PACKET on a veth, virtio-user on a vhost-user socket).
// Two processes of it are the two ends, each on its own core and polling; beside a switch that
// needs a core for itself one process is both. src/segment/measure.c does the same over a segment,
// and counts and measures alike: each frame is written whole where the device takes it from, and
// one word of each cache line is read where the device left it.
//
// Arguments behind EAL's: the address that frames go to, one for each port. Commands on stdin, one
// a line, answered by one line of JSON:
//   send SIZE MS            from all ports in turn
//     -> {"sent"}
//   receive WARMUP_MS MS    from all ports, measured from the first frame on
//     -> {"mpps", "gbps", "received", "stalls_us"}
//   both SIZE WARMUP_MS MS  sends from even ports, receives at odd ones
//     -> {"mpps", "gbps", "received", "sent", "stalls_us"}
//   loop SIZE WARMUP_MS MS LOOK_US
//                           a fixed number of frames is on its way in each direction between two
//                           ports, which look for frames every LOOK_US and pass them on
//     -> {"mpps", "gbps", "busy", "limit_mpps", "lost", "away"}, busy: the share of time that looks
//        took which found frames, limit_mpps: the rate if that were all of the time, away: the
//        share of time that is not counted, as the ends or the switch had no processor
//   echo                    answers at all ports, until no frame comes any more
//   ping SIZE MS            one frame at a time from port 0
//     -> {"rtt_p50_us", "rtt_p99_us", "lost"}
//   ping-both SIZE MS       the same, port 1 answers
//   hello                   one frame from each port, so that a switch learns where they are
//   quit
// Sizes are told as on a wire, with 4 bytes of checksum that memory does not have.
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_PORTS 32 // DPDK's own
#define BURST 32
#define RING 1024
#define WINDOW 192 // frames of a loop in each direction: fewer than a ring of virtio-user holds
#define FCS 4
#define LINE 64
#define MAX_SAMPLES (1 << 20)
#define QUIET_NS 50000000 // without a frame: there are no more
#define PATIENCE_NS 2000000000 // until the first one
#define LOST_NS 20000000 // an answer that takes longer is lost
#define AWAY_NS 1000000 // without a frame of a loop: a processor was away
#define STALL_NS 50000 // between two turns: another thread had the core
#define TEST_ETHER_TYPE 0x88b5 // for experiments

struct port {
	struct rte_ether_hdr header;
	struct rte_mbuf *pkts[BURST]; // that the device did not take yet
	uint16_t n, first;
};

struct tally {
	uint64_t frames, bytes, stalls_ns;
	uint64_t sum; // of what was read, so that the reading is not optimized away
};

static struct rte_mempool *pool;
static uint16_t n_ports;
static struct port ports[MAX_PORTS];
static uint32_t samples[MAX_SAMPLES];
static uint8_t content[RTE_ETHER_MAX_LEN];

static uint64_t
now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int
start_port(uint16_t id, const char *to)
{
	struct rte_eth_conf conf = {0};
	int rc = rte_eth_dev_configure(id, 1, 1, &conf);

	if (!rc)
		rc = rte_eth_rx_queue_setup(id, 0, RING, SOCKET_ID_ANY, NULL, pool);
	if (!rc)
		rc = rte_eth_tx_queue_setup(id, 0, RING, SOCKET_ID_ANY, NULL);
	if (!rc)
		rc = rte_eth_dev_start(id);
	if (!rc)
		rc = rte_eth_macaddr_get(id, &ports[id].header.src_addr);
	if (!rc)
		rc = rte_ether_unformat_addr(to, &ports[id].header.dst_addr);
	ports[id].header.ether_type = rte_cpu_to_be_16(TEST_ETHER_TYPE);
	return rc;
}

static void
write_frame(const struct port *port, struct rte_mbuf *m, unsigned size)
{
	uint8_t *data = rte_pktmbuf_mtod(m, uint8_t *);

	memcpy(data, &port->header, sizeof(port->header));
	memcpy(data + sizeof(port->header), content, size - sizeof(port->header));
	m->data_len = (uint16_t)size;
	m->pkt_len = size;
}

// Frames that the device has no room for are offered again in the next turn.
static unsigned
send_some(uint16_t id, unsigned size)
{
	struct port *port = &ports[id];
	uint16_t sent;

	if (!port->n) {
		if (rte_pktmbuf_alloc_bulk(pool, port->pkts, BURST))
			return 0;
		for (unsigned i = 0; i < BURST; i++)
			write_frame(port, port->pkts[i], size);
		port->n = BURST;
		port->first = 0;
	}
	sent = rte_eth_tx_burst(id, 0, port->pkts + port->first, port->n);
	port->first = (uint16_t)(port->first + sent);
	port->n = (uint16_t)(port->n - sent);
	return sent;
}

static uint64_t
read_frame(const struct rte_mbuf *m)
{
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	uint64_t sum = 0, word;

	for (unsigned at = 0; at + sizeof(word) <= m->data_len; at += LINE) {
		memcpy(&word, data + at, sizeof(word));
		sum += word;
	}
	return sum;
}

static unsigned
receive_some(uint16_t id, struct tally *tally)
{
	struct rte_mbuf *pkts[BURST];
	uint16_t n = rte_eth_rx_burst(id, 0, pkts, BURST);

	for (uint16_t i = 0; i < n; i++) {
		tally->bytes += pkts[i]->pkt_len + FCS;
		tally->sum += read_frame(pkts[i]);
	}
	tally->frames += n;
	rte_pktmbuf_free_bulk(pkts, n);
	return n;
}

static void
drop_rest(void)
{
	for (uint16_t id = 0; id < n_ports; id++) {
		rte_pktmbuf_free_bulk(ports[id].pkts + ports[id].first, ports[id].n);
		ports[id].n = 0;
	}
}

static void
send_for(unsigned size, unsigned ms)
{
	uint64_t sent = 0, end = now() + ms * UINT64_C(1000000);

	while (now() < end)
		for (uint16_t id = 0; id < n_ports; id++)
			sent += send_some(id, size);
	drop_rest();
	printf("{\"sent\": %" PRIu64 "}\n", sent);
}

// Receives at every step'th port from first on until nothing comes; sends from the others, when
// step is 2, until the measurement has ended.
static void
receive_for(uint16_t first, uint16_t step, unsigned size, unsigned warmup_ms, unsigned ms)
{
	struct tally all = {0}, at_begin = {0}, at_end = {0};
	uint64_t sent = 0, begin = 0, end = UINT64_MAX, last = now(), seen = last;

	for (;;) {
		unsigned n = 0;
		uint64_t t = now();

		if (t - seen > STALL_NS)
			all.stalls_ns += t - seen;
		seen = t;
		if (step == 2 && t < end)
			for (uint16_t id = 0; id < n_ports; id = (uint16_t)(id + step))
				sent += send_some(id, size);
		for (uint16_t id = first; id < n_ports; id = (uint16_t)(id + step))
			n += receive_some(id, &all);
		if (n && end == UINT64_MAX) {
			begin = t + warmup_ms * UINT64_C(1000000);
			end = begin + ms * UINT64_C(1000000);
		}
		if (n)
			last = t;
		else if (t - last > (end == UINT64_MAX ? PATIENCE_NS : QUIET_NS))
			break;
		if (t < begin)
			at_begin = all;
		if (t < end)
			at_end = all;
	}
	drop_rest();
	printf("{\"mpps\": %.4f, \"gbps\": %.4f, \"received\": %" PRIu64 ", \"sent\": %" PRIu64
	       ", \"stalls_us\": %" PRIu64 ", \"sum\": %" PRIu64 "}\n",
		(double)(at_end.frames - at_begin.frames) / ms / 1e3,
		(double)(at_end.bytes - at_begin.bytes) * 8 / ms / 1e6, all.frames, sent,
		(at_end.stalls_ns - at_begin.stalls_ns) / 1000, all.sum);
}

struct loop {
	uint64_t frames, bytes, busy, counted; // the last two are cycles
	uint64_t look, stall; // from one look to the next, cycles; more than that is a stall
	uint64_t found; // when a look that found frames had ended
	int64_t n_under_way;
};

// A frame that arrives at one port is as the other one has to send it. Returns what came.
static unsigned
pass_on(uint16_t id, struct loop *loop, uint64_t *bytes, bool is_draining)
{
	struct rte_mbuf *pkts[BURST];
	uint16_t n = rte_eth_rx_burst(id, 0, pkts, BURST), sent = 0;

	for (uint16_t i = 0; i < n; i++)
		*bytes += pkts[i]->pkt_len + FCS;
	if (n && !is_draining)
		sent = rte_eth_tx_burst(id ^ 1, 0, pkts, n);
	rte_pktmbuf_free_bulk(pkts + sent, n - sent);
	loop->n_under_way -= n - sent;
	return n;
}

// One look takes all that arrived at both ports. So many frames are under way that a long time
// without any is one in which the ends or the switch had no processor: it is not counted, nor is
// what it ended with.
static void
look(struct loop *loop, bool is_draining)
{
	uint64_t begin = rte_rdtsc(), end, bytes = 0;
	unsigned n, sum = 0;

	for (uint16_t id = 0; id < 2; id++) {
		do {
			n = pass_on(id, loop, &bytes, is_draining);
			sum += n;
		} while (n == BURST);
	}
	if (!sum)
		return;
	end = rte_rdtsc();
	if (end - loop->found < loop->stall) {
		loop->frames += sum;
		loop->bytes += bytes;
		loop->busy += end - begin;
		loop->counted += end - loop->found;
	}
	loop->found = end;
}

static void
look_for(struct loop *loop, uint64_t ns, bool is_draining)
{
	uint64_t seen = rte_rdtsc(), end = seen + ns * rte_get_tsc_hz() / 1000000000;

	for (uint64_t t = seen; t < end && loop->n_under_way > 0; t = rte_rdtsc())
		if (t - seen >= loop->look) {
			look(loop, is_draining);
			seen = rte_rdtsc();
		}
}

static void
loop_for(unsigned size, unsigned warmup_ms, unsigned ms, unsigned look_us)
{
	uint64_t hz = rte_get_tsc_hz(), begin, cycles;
	struct loop loop = {.look = look_us * hz / 1000000, .stall = hz / (1000000000 / AWAY_NS)}, got;
	double seconds, busy;
	int64_t lost;

	look(&loop, true); // what is left of earlier
	loop.n_under_way = 0;
	for (uint16_t id = 0; id < 2; id++)
		for (unsigned n = 0; n < WINDOW; n += BURST)
			loop.n_under_way += send_some(id, size);
	drop_rest();
	look_for(&loop, warmup_ms * UINT64_C(1000000), false);
	loop.frames = loop.bytes = loop.busy = loop.counted = 0;
	begin = rte_rdtsc();
	look_for(&loop, ms * UINT64_C(1000000), false);
	cycles = rte_rdtsc() - begin;
	got = loop;
	lost = 2 * WINDOW - loop.n_under_way;
	look_for(&loop, QUIET_NS, true);
	lost += loop.n_under_way;
	seconds = (double)got.counted / (double)hz;
	busy = (double)got.busy / (double)hz;
	printf("{\"mpps\": %.4f, \"gbps\": %.4f, \"busy\": %.4f, \"limit_mpps\": %.4f, \"lost\": %" PRId64
	       ", \"away\": %.4f}\n",
		seconds > 0 ? (double)got.frames / seconds / 1e6 : 0.0,
		seconds > 0 ? (double)got.bytes * 8 / seconds / 1e9 : 0.0, seconds > 0 ? busy / seconds : 0.0,
		busy > 0 ? (double)got.frames / busy / 1e6 : 0.0, lost,
		cycles > got.counted ? 1.0 - (double)got.counted / (double)cycles : 0.0);
}

// Turns each frame towards where it came from.
static unsigned
answer(uint16_t id)
{
	struct rte_mbuf *pkts[BURST];
	uint16_t sent, n = rte_eth_rx_burst(id, 0, pkts, BURST);

	for (uint16_t i = 0; i < n; i++)
		memcpy(rte_pktmbuf_mtod(pkts[i], void *), &ports[id].header, sizeof(ports[id].header));
	sent = n ? rte_eth_tx_burst(id, 0, pkts, n) : 0;
	rte_pktmbuf_free_bulk(pkts + sent, n - sent);
	return n;
}

static void
echo(void)
{
	uint64_t last = now(), patience = PATIENCE_NS;

	for (;;) {
		unsigned n = 0;

		for (uint16_t id = 0; id < n_ports; id++)
			n += answer(id);
		if (n) {
			last = now();
			patience = QUIET_NS;
		} else if (now() - last > patience) {
			break;
		}
	}
	printf("{}\n");
}

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

// One frame there and back. 0: it did not come back.
static uint64_t
ping_once(unsigned size, bool is_both, struct tally *tally)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	uint64_t begin = now(), t = begin;

	if (!m)
		return 0;
	write_frame(&ports[0], m, size);
	if (!rte_eth_tx_burst(0, 0, &m, 1))
		rte_pktmbuf_free(m);
	while (t - begin < LOST_NS) {
		bool is_back;

		if (is_both)
			(void)answer(1);
		is_back = receive_some(0, tally);
		t = now();
		if (is_back)
			return t - begin;
	}
	return 0;
}

static void
ping(unsigned size, unsigned ms, bool is_both)
{
	struct tally tally = {0};
	uint64_t end = now() + PATIENCE_NS, lost = 0;
	size_t n = 0;

	// Until the other end answers.
	while (!ping_once(size, is_both, &tally) && now() < end)
		;
	end = now() + ms * UINT64_C(1000000);
	while (n < MAX_SAMPLES && now() < end) {
		uint64_t ns = ping_once(size, is_both, &tally);

		if (ns)
			samples[n++] = (uint32_t)ns;
		else
			lost++;
	}
	qsort(samples, n, sizeof(*samples), compare);
	printf("{\"rtt_p50_us\": %.3f, \"rtt_p99_us\": %.3f, \"pings\": %zu, \"lost\": %" PRIu64 "}\n",
		n ? samples[n / 2] / 1e3 : 0.0, n ? samples[n * 99 / 100] / 1e3 : 0.0, n, lost);
}

// A switch learns where the addresses are.
static void
say_hello(void)
{
	struct tally ignored = {0};
	uint64_t end = now() + QUIET_NS;

	for (uint16_t id = 0; id < n_ports; id++) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

		if (!m)
			continue;
		write_frame(&ports[id], m, RTE_ETHER_MIN_LEN - FCS);
		if (!rte_eth_tx_burst(id, 0, &m, 1))
			rte_pktmbuf_free(m);
	}
	while (now() < end)
		for (uint16_t id = 0; id < n_ports; id++)
			(void)receive_some(id, &ignored);
}

static void
execute(const char *line)
{
	unsigned size, warmup, ms, every;

	if (sscanf(line, "loop %u %u %u %u", &size, &warmup, &ms, &every) == 4 && n_ports == 2)
		loop_for(size - FCS, warmup, ms, every);
	else if (sscanf(line, "send %u %u", &size, &ms) == 2)
		send_for(size - FCS, ms);
	else if (sscanf(line, "receive %u %u", &warmup, &ms) == 2)
		receive_for(0, 1, 0, warmup, ms);
	else if (sscanf(line, "both %u %u %u", &size, &warmup, &ms) == 3)
		receive_for(1, 2, size - FCS, warmup, ms);
	else if (sscanf(line, "ping %u %u", &size, &ms) == 2)
		ping(size - FCS, ms, false);
	else if (sscanf(line, "ping-both %u %u", &size, &ms) == 2)
		ping(size - FCS, ms, true);
	else if (!strncmp(line, "echo", 4))
		echo();
	else if (!strncmp(line, "hello", 5)) {
		say_hello();
		printf("{}\n");
	}
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	char line[256];
	int n_eal = rte_eal_init(argc, argv);

	if (n_eal < 0)
		return 1;
	n_ports = rte_eth_dev_count_avail();
	if (!n_ports || n_ports > MAX_PORTS || argc - n_eal - 1 != n_ports) {
		fprintf(stderr, "ends: needs an address for each of its 1 to %d ports\n", MAX_PORTS);
		return 1;
	}
	pool = rte_pktmbuf_pool_create(
		"ends", (RING * 2 + 128u) * n_ports + 1024, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (!pool) {
		fprintf(stderr, "ends: not enough memory for %u ports\n", n_ports);
		return 1;
	}
	for (uint16_t id = 0; id < n_ports; id++)
		if (start_port(id, argv[n_eal + 1 + id])) {
			fprintf(stderr, "ends: port %u does not start\n", id);
			return 1;
		}
	printf("{\"ready\": true}\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) && strncmp(line, "quit", 4))
		execute(line);
	for (uint16_t id = 0; id < n_ports; id++) {
		(void)rte_eth_dev_stop(id);
		(void)rte_eth_dev_close(id);
	}
	(void)rte_eal_cleanup();
	return 0;
}
