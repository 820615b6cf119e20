// Guests in one process for the benches (guest.h). A guest whose MAC is given is active: it
// exchanges frames with the one beside it. A guest without a MAC is idle: it is connected, its
// receive rings are full, and it sends nothing. One of these may toggle: it takes its rings, memory
// and interrupts away and back, as fast as the switch follows. Each frame that arrives makes its
// sender send one more, so a fixed number is on its way in each direction. No ring is ever too
// small for them, and the rate is what the slower of the two, switch or generator, can do. The
// share of cycles in which the generator had work tells which it was. Frames are written once,
// before a run. Frames that arrive are not read.
//
// usage: gen [-H] [-p] [-o] [-q QUEUES] [-t] PATH[,MAC]... [PATH,toggle]
//   -H  the memory of active guests has pages of 2 MB
//   -p  active guests have packed rings; -o: and devices that work in order
//   -q  queue pairs of active guests, 1 to 8: bursts leave by each queue in turn, a flow by one
//   -t  the second guest is the far end of a Geneve tunnel (tunnel_end.h): it returns frames
// Active guests come first, in pairs. Commands on stdin, a line each, are answered by one of JSON:
//   run SIZE|imix FLOWS WARMUP_MS MS
//       {"mpps", "gbps", "busy", "limit_mpps", "lost", "send_kicks", "refill_kicks"}
//   toggle 0|1: whether the guest that may does so from now on
//       {"toggles"}: all steps so far
//   delay MS: one frame at a time, in the first pair
//       {"delay_p50_us", "delay_p99_us", "samples", "lost"}
//   quit
// Sizes include the 4 bytes of checksum that a wire has and memory does not.
#include "guest.h"
#include "tunnel_end.h"

#include <rte_cycles.h>
#include <rte_ip.h>
#include <rte_pause.h>
#include <rte_udp.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define BURST 32
#define WINDOW 192 // frames on their way in each direction: fewer than a ring holds
#define TUNNEL_WINDOW 224 // in both together: all of them may be in one ring
#define MAX_FLOWS 1000
// Different frames that a guest sends, about a ring of them: the first cache must not hold all.
#define MIN_FRAMES 252
#define FCS 4
#define MIN_SIZE 64
#define MAX_SIZE 1518
#define DRAIN_NS 20000000
#define CONTACT_NS UINT64_C(10000000000)
#define CONTACT_STEP_NS 10000000
// From one look at a guest's rings to the next. A look takes the cache line that the switch writes
// away from it, and frequent looks find fewer frames each. At 12 Mpps a window lasts 16 us.
#define LOOK_NS 2000
#define TOGGLE_NS 20000 // between two steps of the guest that toggles, at least
#define PAUSE_NS 4096 // at most, before a single frame: it meets a worker at any time of its turn
#define LOST_NS 20000000
#define MAX_SAMPLES (1u << 20)

struct result {
	uint64_t pkts, bytes, busy_cycles, cycles;
};

struct end {
	struct guest guest;
	struct rte_ether_addr mac;
	bool is_echo;
	unsigned n_frames;
	uint16_t len[MAX_FLOWS]; // of each frame to send
	unsigned next[GUEST_MAX_QUEUES]; // of each queue: the frame that leaves next
	unsigned queue; // that sends the next burst
	uint64_t look_cycles; // time of the next look
	uint64_t sent, received;
};

struct frame {
	struct rte_ether_hdr eth;
	struct rte_ipv4_hdr ip;
	struct rte_udp_hdr udp;
} __attribute__((packed, aligned(2)));

static struct end *ends;
static bool is_packed, is_in_order;
static struct end *toggler;
static bool is_toggling;
static unsigned n_active, n_queues = 1;
static uint64_t hz;
static uint32_t samples[MAX_SAMPLES];

static uint64_t
cycles_of(uint64_t ns)
{
	return (uint64_t)((__uint128_t)ns * hz / 1000000000);
}

static void
write_frame(unsigned from, unsigned k, unsigned size, unsigned flow)
{
	struct end *end = &ends[from];
	struct frame *h = (void *)guest_frame(&end->guest, k);

	end->len[k] = (uint16_t)(size - FCS);
	memset(h, 0, end->len[k]);
	h->eth.src_addr = end->mac;
	h->eth.dst_addr = ends[from ^ 1].mac;
	h->eth.ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	h->ip.version_ihl = RTE_IPV4_VHL_DEF;
	h->ip.time_to_live = 64;
	h->ip.next_proto_id = IPPROTO_UDP;
	h->ip.total_length = rte_cpu_to_be_16((uint16_t)(end->len[k] - sizeof(h->eth)));
	h->ip.src_addr = rte_cpu_to_be_32(0x0a000001u + from + (flow >> 8) * 256);
	h->ip.dst_addr = rte_cpu_to_be_32(0x0a000001u + (from ^ 1));
	h->ip.hdr_checksum = rte_ipv4_cksum(&h->ip);
	h->udp.src_port = rte_cpu_to_be_16((uint16_t)(1024 + flow));
	h->udp.dst_port = rte_cpu_to_be_16(9);
	h->udp.dgram_len = rte_cpu_to_be_16((uint16_t)(end->len[k] - sizeof(h->eth) - sizeof(h->ip)));
}

// Every flow has as many frames as the others. size 0: a mix of 7:4:1.
static void
write_frames(unsigned from, unsigned size, unsigned n_flows)
{
	static const unsigned imix[] = {64, 594, 64, 64, 594, 64, 1518, 64, 594, 64, 594, 64};
	struct end *end = &ends[from];

	end->n_frames = (MIN_FRAMES + n_flows - 1) / n_flows * n_flows;
	for (unsigned k = 0; k < end->n_frames; k++)
		write_frame(from, k, size ? size : imix[k / n_queues % RTE_DIM(imix)], k % n_flows);
	for (unsigned q = 0; q < n_queues; q++)
		end->next[q] = q;
}

// Exposes n frames of the queue whose turn it is. Returns its ring.
static struct guest_vring *
expose_burst(struct end *end, unsigned n)
{
	unsigned q = end->queue, k = end->next[q];
	struct guest_vring *tx = &end->guest.tx[q];
	uint16_t id;

	guest_vring_fetch(tx, RTE_MIN(n, guest_vring_ready(tx)));
	for (; n && guest_vring_free(tx, &id); n--) {
		guest_vring_post(tx, id, guest_frame_addr(&end->guest, k), GUEST_HEADER + (uint32_t)end->len[k], 0);
		k = k + n_queues < end->n_frames ? k + n_queues : q;
		end->sent++;
	}
	guest_vring_expose(tx);
	end->next[q] = k;
	end->queue = q + 1 < n_queues ? q + 1 : 0;
	return tx;
}

static void
send_burst(struct end *end, unsigned n)
{
	struct guest_vring *tx = expose_burst(end, n);

	rte_smp_mb();
	guest_vring_tell(tx);
}

// Gives what arrived in a queue back to the device, which is to be told when a burst is published.
static unsigned
receive(struct end *end, unsigned q, struct result *r)
{
	struct guest_vring *rx = &end->guest.rx[q];
	unsigned n = guest_vring_ready(rx);

	for (unsigned i = 0; i < n; i++) {
		struct vring_used_elem used = guest_vring_take(rx);

		r->bytes += used.len - GUEST_HEADER + FCS;
		guest_vring_repost(rx, (uint16_t)used.id, guest_buffer_addr(&end->guest, q, used.id), GUEST_STRIDE);
	}
	if (n)
		guest_vring_expose(rx);
	end->received += n;
	r->pkts += n;
	return n;
}

// Sends a received frame back in the buffer that it came in: the two descriptors exchange theirs.
// Of split rings, whose descriptors keep their places.
static bool
send_back(struct guest *g, uint16_t rx_id, uint32_t len)
{
	uint64_t addr = g->rx[0].desc[rx_id].addr;
	uint16_t id;

	if (!guest_vring_free(&g->tx[0], &id))
		return false;
	memset(g->memory + addr, 0, GUEST_HEADER);
	g->rx[0].desc[rx_id].addr = g->tx[0].desc[id].addr;
	guest_vring_post(&g->tx[0], id, addr, len, 0);
	return true;
}

// The far end of a tunnel. It answers when a run drains, too: the guest then sends no more.
static unsigned
echo(struct end *end, struct result *r)
{
	struct guest *g = &end->guest;
	unsigned n = guest_vring_ready(&g->rx[0]);

	for (unsigned i = 0; i < n; i++) {
		struct vring_used_elem used = guest_vring_take(&g->rx[0]);
		uint8_t *frame = g->memory + g->rx[0].desc[used.id].addr + GUEST_HEADER;
		enum tunnel_end_answer what = tunnel_end_answer(frame, used.len - GUEST_HEADER, &end->mac);

		if (what != TUNNEL_END_NOTHING && send_back(g, (uint16_t)used.id, used.len) &&
			what == TUNNEL_END_FRAME) {
			r->bytes += used.len - GUEST_HEADER + FCS;
			r->pkts++;
		}
		guest_vring_repost(&g->rx[0], (uint16_t)used.id, g->rx[0].desc[used.id].addr, GUEST_STRIDE);
	}
	if (n) {
		guest_vring_publish(&g->rx[0]);
		guest_vring_publish(&g->tx[0]);
	}
	return n;
}

// The sender of the frames that a guest receives: the one beside it, or itself where that returns
// frames.
static struct end *
source_of(unsigned i)
{
	return ends[i ^ 1].is_echo ? &ends[i] : &ends[i ^ 1];
}

// One fence for all rings that the guest and the one beside it touched.
static unsigned
relay(unsigned i, struct result *r, bool is_draining)
{
	struct end *end = &ends[i];
	struct guest_vring *tx = NULL;
	unsigned n = 0;

	for (unsigned q = 0; q < n_queues; q++)
		n += receive(end, q, r);
	if (!n)
		return 0;
	if (!is_draining)
		tx = expose_burst(source_of(i), n);
	rte_smp_mb();
	for (unsigned q = 0; q < n_queues; q++)
		guest_vring_tell(&end->guest.rx[q]);
	if (tx)
		guest_vring_tell(tx);
	return n;
}

static unsigned
serve(unsigned i, struct result *r, bool is_draining)
{
	struct end *end = &ends[i];
	uint64_t begin = rte_rdtsc();
	unsigned n;

	if (begin < end->look_cycles)
		return 0;
	end->look_cycles = begin + cycles_of(LOOK_NS);
	n = end->is_echo ? echo(end, r) : relay(i, r, is_draining);
	if (n)
		r->busy_cycles += rte_rdtsc() - begin;
	return n;
}

static void
toggle(struct result *r)
{
	uint64_t begin = rte_rdtsc();

	if (begin < toggler->look_cycles)
		return;
	toggler->look_cycles = begin + cycles_of(TOGGLE_NS);
	if (guest_toggle(&toggler->guest) < 0) {
		fprintf(stderr, "gen: the switch hung up on the guest that toggles\n");
		exit(1);
	}
	r->busy_cycles += rte_rdtsc() - begin;
}

static unsigned
turn(struct result *r, bool is_draining)
{
	unsigned sum = 0;

	if (is_toggling)
		toggle(r);
	for (unsigned i = 0; i < n_active; i++)
		sum += serve(i, r, is_draining);
	if (!sum)
		rte_pause();
	return sum;
}

// Kicks of all active guests so far, for frames to send and for buffers to receive into.
static void
sum_kicks(uint64_t *ret_send, uint64_t *ret_refill)
{
	*ret_send = *ret_refill = 0;
	for (unsigned i = 0; i < n_active; i++)
		for (unsigned q = 0; q < n_queues; q++) {
			*ret_send += ends[i].guest.tx[q].n_kicks;
			*ret_refill += ends[i].guest.rx[q].n_kicks;
		}
}

// Returns how many frames of the run did not arrive.
static uint64_t
drain(void)
{
	struct result ignored = {0};
	uint64_t quiet = rte_rdtsc(), sent = 0, received = 0;

	while (rte_rdtsc() - quiet < cycles_of(DRAIN_NS))
		if (turn(&ignored, true))
			quiet = rte_rdtsc();
	for (unsigned i = 0; i < n_active; i++) {
		sent += ends[i].sent;
		received += ends[i].received;
		ends[i].sent = ends[i].received = 0;
	}
	return sent > received ? sent - received : 0;
}

static struct result
measure(uint64_t ms)
{
	struct result r = {0};
	uint64_t begin = rte_rdtsc(), cycles = cycles_of(ms * 1000000);

	while (rte_rdtsc() - begin < cycles)
		(void)turn(&r, false);
	r.cycles = rte_rdtsc() - begin;
	return r;
}

// size 0: a mix.
static void
run(unsigned size, unsigned n_flows, unsigned warmup_ms, unsigned ms)
{
	unsigned window = ends[1].is_echo ? TUNNEL_WINDOW : WINDOW;
	uint64_t sends, refills, more_sends, more_refills, lost;
	struct result r;
	double seconds;

	(void)drain();
	for (unsigned i = 0; i < n_active; i++)
		if (!ends[i].is_echo) {
			write_frames(i, size, n_flows);
			for (unsigned n = 0; n < window; n += BURST)
				send_burst(&ends[i], BURST);
		}
	(void)measure(warmup_ms);
	sum_kicks(&sends, &refills);
	r = measure(ms);
	sum_kicks(&more_sends, &more_refills);
	lost = drain();
	seconds = (double)r.cycles / (double)hz;
	printf("{\"mpps\": %.4f, \"gbps\": %.4f, \"busy\": %.4f, \"limit_mpps\": %.4f, \"lost\": %lu, "
	       "\"send_kicks\": %lu, \"refill_kicks\": %lu}\n",
		(double)r.pkts / seconds / 1e6, (double)r.bytes * 8 / seconds / 1e9,
		(double)r.busy_cycles / (double)r.cycles,
		r.busy_cycles ? (double)r.pkts / ((double)r.busy_cycles / (double)hz) / 1e6 : 0.0, lost,
		more_sends - sends, more_refills - refills);
}

// Sends one frame and waits for it. Returns the cycles that it took, 0: it is lost.
static uint64_t
send_one(struct end *from, struct end *to)
{
	struct result r = {0};
	uint64_t begin = rte_rdtsc(), now = begin;

	send_burst(from, 1);
	while (now - begin < cycles_of(LOST_NS)) {
		unsigned n = 0;

		for (unsigned q = 0; q < n_queues; q++)
			n += receive(to, q, &r);
		now = rte_rdtsc();
		if (n)
			return now - begin;
	}
	return 0;
}

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static double
quantile_us(unsigned n, double q)
{
	return n ? (double)samples[(unsigned)(q * (n - 1))] / (double)hz * 1e6 : 0.0;
}

static void
delay(unsigned ms)
{
	uint64_t begin, end;
	uint32_t state = 1;
	unsigned n = 0, lost = 0;

	(void)drain();
	write_frames(0, MIN_SIZE, 1);
	write_frames(1, MIN_SIZE, 1);
	begin = rte_rdtsc();
	end = begin + cycles_of(ms * UINT64_C(1000000));
	for (unsigned i = 0; rte_rdtsc() < end && n < MAX_SAMPLES; i++) {
		uint64_t took, pause = rte_rdtsc();

		state = state * 1664525 + 1013904223;
		pause += cycles_of(state >> 16) * PAUSE_NS >> 16;
		while (rte_rdtsc() < pause)
			rte_pause();
		took = send_one(&ends[i % 2], &ends[(i + 1) % 2]);
		if (took)
			samples[n++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
		else
			lost++;
	}
	(void)drain();
	qsort(samples, n, sizeof(*samples), compare);
	printf("{\"delay_p50_us\": %.3f, \"delay_p99_us\": %.3f, \"samples\": %u, \"lost\": %u}\n", quantile_us(n, 0.5),
		quantile_us(n, 0.99), n, lost);
}

static void
obey(const char *line)
{
	char size[16];
	unsigned flows, warmup, ms, bytes;

	if (sscanf(line, "run %15s %u %u %u", size, &flows, &warmup, &ms) == 4) {
		bytes = strcmp(size, "imix") ? (unsigned)strtoul(size, NULL, 10) : 0;
		if (n_active && flows && flows <= MAX_FLOWS &&
			(!strcmp(size, "imix") || (bytes >= MIN_SIZE && bytes <= MAX_SIZE))) {
			run(bytes, flows, warmup, ms);
			return;
		}
	} else if (sscanf(line, "delay %u", &ms) == 1 && n_active && !ends[1].is_echo) {
		delay(ms);
		return;
	} else if (toggler && sscanf(line, "toggle %u", &ms) == 1) {
		is_toggling = ms;
		printf("{\"toggles\": %u}\n", toggler->guest.n_toggles);
		return;
	}
	printf("{\"error\": \"run: SIZE is imix or %d to %d, FLOWS 1 to %d; run and delay need "
	       "active guests, toggle needs a guest that toggles\"}\n",
		MIN_SIZE, MAX_SIZE, MAX_FLOWS);
}

// Before anything is measured frames pass between all pairs, so that the switch knows where each
// is.
static int
make_contact(void)
{
	struct result ignored = {0};
	uint64_t begin = rte_rdtsc(), next = begin;
	unsigned n_met = 0;

	for (unsigned i = 0; i < n_active; i++)
		if (!ends[i].is_echo)
			write_frames(i, MIN_SIZE, 1);
	while (n_met < n_active) {
		uint64_t now = rte_rdtsc();

		n_met = 0;
		for (unsigned i = 0; i < n_active; i++) {
			bool is_met = ends[i].is_echo || ends[i].received;

			n_met += is_met;
			if (now >= next && !is_met)
				send_burst(source_of(i), 1);
		}
		if (now >= next)
			next = now + cycles_of(CONTACT_STEP_NS);
		(void)turn(&ignored, false);
		if (now - begin > cycles_of(CONTACT_NS))
			return -ETIMEDOUT;
	}
	(void)drain();
	return 0;
}

static uint64_t
measure_hz(void)
{
	struct timespec a, b, pause = {.tv_nsec = 50000000};
	uint64_t begin, end;

	(void)clock_gettime(CLOCK_MONOTONIC, &a);
	begin = rte_rdtsc();
	(void)nanosleep(&pause, NULL);
	(void)clock_gettime(CLOCK_MONOTONIC, &b);
	end = rte_rdtsc();
	return (uint64_t)((double)(end - begin) * 1e9 /
		((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)));
}

// One argument: PATH, PATH,MAC or PATH,toggle.
static int
open_end(struct end *end, char *arg, bool has_hugepages, char err[static GUEST_ERR_SIZE])
{
	struct guest_cfg active = {n_queues, MAX_FLOWS, GUEST_RING, has_hugepages, is_packed, is_in_order};
	struct guest_cfg idle = {.n_queues = 1, .n_frames = 1, .n_buffers = 1};
	char *comma = strchr(arg, ',');

	if (!comma)
		return guest_open(&end->guest, arg, &idle, err);
	*comma = '\0';
	if (!strcmp(comma + 1, "toggle")) {
		toggler = end;
		return guest_open(&end->guest, arg, &idle, err);
	}
	if (rte_ether_unformat_addr(comma + 1, &end->mac)) {
		snprintf(err, GUEST_ERR_SIZE, "%s: '%s' is no MAC", arg, comma + 1);
		return -EINVAL;
	}
	if (end != &ends[n_active]) {
		snprintf(err, GUEST_ERR_SIZE, "%s: active guests come first", arg);
		return -EINVAL;
	}
	n_active++;
	return guest_open(&end->guest, arg, &active, err);
}

int
main(int argc, char **argv)
{
	char line[256], err[GUEST_ERR_SIZE];
	bool has_tunnel = false, has_hugepages = false;
	struct rlimit files;
	int option, n;

	while ((option = getopt(argc, argv, "Hpoq:t")) != -1)
		switch (option) {
		case 'H':
			has_hugepages = true;
			break;
		case 'o':
			is_in_order = true;
			// fall through
		case 'p':
			is_packed = true;
			break;
		case 'q':
			n_queues = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 't':
			has_tunnel = true;
			break;
		default:
			return 2;
		}
	if (!n_queues || n_queues > GUEST_MAX_QUEUES) {
		fprintf(stderr, "gen: -q takes 1 to %d\n", GUEST_MAX_QUEUES);
		return 2;
	}
	n = argc - optind;
	ends = calloc((size_t)n + 1, sizeof(*ends));
	if (!ends)
		return 1;
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max; // three descriptors a guest
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	if (has_tunnel && (n_queues > 1 || is_packed)) {
		fprintf(stderr, "gen: active guests come in pairs; with a tunnel one, with one queue, split\n");
		return 2;
	}
	for (int i = 0; i < n; i++)
		if (open_end(&ends[i], argv[optind + i], has_hugepages, err)) {
			fprintf(stderr, "gen: %s\n", err);
			return 1;
		}
	if (n_active % 2 || (has_tunnel && n_active != 2)) {
		fprintf(stderr, "gen: active guests come in pairs; with a tunnel one, with one queue, split\n");
		return 2;
	}
	if (has_tunnel)
		ends[1].is_echo = true;
	hz = measure_hz();
	if (make_contact()) {
		fprintf(stderr, "gen: no frames from one guest to another within 10 s\n");
		return 1;
	}
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	printf("{\"ready\": true}\n");
	while (fgets(line, sizeof(line), stdin) && strncmp(line, "quit", 4))
		obey(line);
	for (int i = 0; i < n; i++)
		guest_close(&ends[i].guest);
	free(ends);
	return 0;
}
