// Guests in one process for the benches: a DPDK application with pairs of ports (virtio-user on the
// switch's sockets) and a fixed number of frames on their way between the two of each pair. An
// arriving frame is sent back with its addresses exchanged. So both directions are busy, nothing is
// ever lost to a full ring, and the rate is that of the slower of the two, switch or generator. The
// generator counts the cycles in which it had work, which tells which of them was slower. With
// "--tunnel" behind EAL's arguments the second port is the network of a Geneve tunnel's other end
// (tunnel_end.h), and all frames begin at the first. Commands on stdin, one a line, answered by one
// line of JSON: "run SIZE|imix FLOWS WARMUP_MS MS", "quit".
#include "tunnel_end.h"

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PORTS 8
#define POOL_PER_PORT 1024
#define BURST 32
#define WINDOW 192 // frames on their way in each direction; less than a ring of 256 holds
#define FCS 4 // sizes are told as on a wire
#define IMIX {64, 64, 64, 64, 64, 64, 64, 594, 594, 594, 594, 1518} // 7:4:1
#define DRAIN_NS 20000000

struct result {
	uint64_t pkts, bytes, busy_cycles, cycles;
};

struct frame {
	struct rte_ether_hdr eth;
	struct rte_ipv4_hdr ip;
	struct rte_udp_hdr udp;
} __attribute__((packed, aligned(2)));

static struct rte_mempool *pool;
static uint16_t n_ports;
static struct rte_ether_addr mac[MAX_PORTS];
static bool has_tunnel;

static int
start_port(uint16_t port)
{
	struct rte_eth_conf conf = {0};
	int rc = rte_eth_dev_configure(port, 1, 1, &conf);

	if (!rc)
		rc = rte_eth_rx_queue_setup(port, 0, 256, SOCKET_ID_ANY, NULL, pool);
	if (!rc)
		rc = rte_eth_tx_queue_setup(port, 0, 256, SOCKET_ID_ANY, NULL);
	if (!rc)
		rc = rte_eth_dev_start(port);
	if (!rc)
		rc = rte_eth_macaddr_get(port, &mac[port]);
	return rc;
}

static struct rte_mbuf *
make_frame(uint16_t from, unsigned size, unsigned flow)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	struct frame *h;

	if (!m)
		return NULL;
	h = (void *)rte_pktmbuf_append(m, (uint16_t)(size - FCS));
	memset(h, 0, size - FCS);
	h->eth.src_addr = mac[from];
	h->eth.dst_addr = mac[from ^ 1];
	h->eth.ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	h->ip.version_ihl = 0x45;
	h->ip.time_to_live = 64;
	h->ip.next_proto_id = IPPROTO_UDP;
	h->ip.total_length = rte_cpu_to_be_16((uint16_t)(size - FCS - sizeof(h->eth)));
	h->ip.src_addr = rte_cpu_to_be_32(0x0a000001u + from + (flow >> 8) * 256);
	h->ip.dst_addr = rte_cpu_to_be_32(0x0a000001u + (from ^ 1));
	h->ip.hdr_checksum = rte_ipv4_cksum(rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, sizeof(h->eth)));
	h->udp.src_port = rte_cpu_to_be_16((uint16_t)(1024 + flow));
	h->udp.dst_port = rte_cpu_to_be_16(9);
	h->udp.dgram_len = rte_cpu_to_be_16((uint16_t)(size - FCS - sizeof(h->eth) - sizeof(h->ip)));
	return m;
}

// Sends all, however long the ring takes: the window fits.
static void
send_all(uint16_t port, struct rte_mbuf **pkts, uint16_t n, uint64_t deadline)
{
	uint16_t sent = 0;

	while (sent < n && rte_rdtsc() < deadline)
		sent = (uint16_t)(sent + rte_eth_tx_burst(port, 0, pkts + sent, (uint16_t)(n - sent)));
	rte_pktmbuf_free_bulk(pkts + sent, n - sent);
}

// Frames of all flows come by in turn: each that arrives is answered as another flow.
static void
next_flow(struct rte_mbuf *m, unsigned n_flows, unsigned *flow)
{
	uint16_t *port =
		rte_pktmbuf_mtod_offset(m, uint16_t *, sizeof(struct rte_ether_hdr) + sizeof(struct rte_ipv4_hdr));

	if (n_flows == 1)
		return;
	*flow = *flow + 1 < n_flows ? *flow + 1 : 0;
	*port = rte_cpu_to_be_16((uint16_t)(1024 + *flow));
}

// As in real answers: addresses exchanged, and the ports where there is one flow. Checksums stay
// right.
static void
exchange(struct rte_mbuf *m, bool with_ports)
{
	struct frame *h = rte_pktmbuf_mtod(m, struct frame *);
	rte_be32_t addr = h->ip.src_addr;
	rte_be16_t port = h->udp.src_port;

	h->ip.src_addr = h->ip.dst_addr;
	h->ip.dst_addr = addr;
	if (with_ports) {
		h->udp.src_port = h->udp.dst_port;
		h->udp.dst_port = port;
	}
}

// Returns each frame to its sender. The result is how many stay in pkts; when draining, none but
// answers to ARP.
static uint16_t
answer(uint16_t port, struct rte_mbuf **pkts, uint16_t n, struct result *r, unsigned n_flows, unsigned *flow,
	bool is_draining)
{
	uint16_t kept = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct rte_ether_hdr *eth = rte_pktmbuf_mtod(pkts[i], struct rte_ether_hdr *);
		enum tunnel_end_answer what = TUNNEL_END_FRAME;

		if (has_tunnel && port == 1) {
			what = tunnel_end_answer(pkts[i], &mac[port]);
		} else {
			eth->dst_addr = mac[port ^ 1];
			eth->src_addr = mac[port];
			exchange(pkts[i], n_flows == 1);
			next_flow(pkts[i], n_flows, flow);
		}
		if (what == TUNNEL_END_NOTHING || (what == TUNNEL_END_FRAME && is_draining)) {
			rte_pktmbuf_free(pkts[i]);
			continue;
		}
		if (what == TUNNEL_END_FRAME) {
			r->bytes += pkts[i]->pkt_len + FCS;
			r->pkts++;
		}
		pkts[kept++] = pkts[i];
	}
	return kept;
}

static unsigned
turn(struct result *r, unsigned n_flows, unsigned *flow, bool is_draining)
{
	unsigned sum = 0;

	for (uint16_t port = 0; port < n_ports; port++) {
		struct rte_mbuf *pkts[BURST];
		uint64_t begin = rte_rdtsc();
		uint16_t n = rte_eth_rx_burst(port, 0, pkts, BURST);

		if (!n)
			continue;
		sum += n;
		n = answer(port, pkts, n, r, n_flows, flow, is_draining);
		send_all(port, pkts, n, begin + rte_get_tsc_hz());
		r->busy_cycles += rte_rdtsc() - begin;
	}
	return sum;
}

static void
drain(void)
{
	struct result ignored = {0};
	unsigned flow = 0;
	uint64_t quiet = rte_rdtsc();

	while (rte_rdtsc() - quiet < rte_get_tsc_hz() * DRAIN_NS / 1000000000)
		if (turn(&ignored, 1, &flow, true))
			quiet = rte_rdtsc();
}

static void
inject(const char *size_text, unsigned n_flows)
{
	static const unsigned imix[] = IMIX;
	bool is_imix = !strcmp(size_text, "imix");
	struct result ignored = {0};
	unsigned flow = 0;
	unsigned size = (unsigned)strtoul(size_text, NULL, 10);

	for (unsigned i = 0; i < n_ports * WINDOW; i++) {
		uint16_t port = has_tunnel ? 0 : (uint16_t)(i % n_ports);
		unsigned k = i / n_ports;
		struct rte_mbuf *m = make_frame(port, is_imix ? imix[k % RTE_DIM(imix)] : size, k % n_flows);

		if (m)
			send_all(port, &m, 1, rte_rdtsc() + rte_get_tsc_hz());
		// Through a tunnel all begin in one direction, whose rings do not hold them: half
		// have turned before the last leave.
		if (has_tunnel && i % BURST == 0)
			(void)turn(&ignored, n_flows, &flow, false);
	}
}

static struct result
measure(unsigned n_flows, uint64_t cycles)
{
	struct result r = {0};
	uint64_t begin = rte_rdtsc();
	unsigned flow = 0;

	while (rte_rdtsc() - begin < cycles)
		(void)turn(&r, n_flows, &flow, false);
	r.cycles = rte_rdtsc() - begin;
	return r;
}

static void
run(const char *size, unsigned n_flows, unsigned warmup_ms, unsigned ms)
{
	uint64_t hz = rte_get_tsc_hz();
	struct result r;

	drain();
	inject(size, n_flows);
	(void)measure(n_flows, hz / 1000 * warmup_ms);
	r = measure(n_flows, hz / 1000 * ms);
	drain();
	printf("{\"mpps\": %.4f, \"gbps\": %.4f, \"busy\": %.4f, \"limit_mpps\": %.4f}\n",
		(double)r.pkts / ((double)r.cycles / (double)hz) / 1e6,
		(double)r.bytes * 8 / ((double)r.cycles / (double)hz) / 1e9, (double)r.busy_cycles / (double)r.cycles,
		r.busy_cycles ? (double)r.pkts / ((double)r.busy_cycles / (double)hz) / 1e6 : 0.0);
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	char line[256], size[16];
	unsigned flows, warmup, ms;

	int n_eal = rte_eal_init(argc, argv);

	if (n_eal < 0)
		return 1;
	has_tunnel = n_eal + 1 < argc && !strcmp(argv[n_eal + 1], "--tunnel");
	n_ports = rte_eth_dev_count_avail();
	pool = rte_pktmbuf_pool_create(
		"gen", POOL_PER_PORT * (n_ports + 2u), 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (!pool || !n_ports || n_ports % 2 || n_ports > MAX_PORTS || (has_tunnel && n_ports != 2)) {
		fprintf(stderr, "gen: needs pairs of ports, %d ports at most\n", MAX_PORTS);
		return 1;
	}
	for (uint16_t port = 0; port < n_ports; port++)
		if (start_port(port)) {
			fprintf(stderr, "gen: port %u does not start\n", port);
			return 1;
		}
	printf("{\"ready\": true}\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) && strncmp(line, "quit", 4))
		if (sscanf(line, "run %15s %u %u %u", size, &flows, &warmup, &ms) == 4 && flows)
			run(size, flows, warmup, ms);
	for (uint16_t port = 0; port < n_ports; port++) {
		(void)rte_eth_dev_stop(port);
		(void)rte_eth_dev_close(port);
	}
	(void)rte_eal_cleanup();
	return 0;
}
