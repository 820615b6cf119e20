// Guests whose back end is replaced while they send to each other. Each frame has a number in its
// stream (a sender's queue), so that each one that is lost, doubled or overtaken is counted. One
// thread polls the rings of all.
//
// usage: handover --pps N|--window N PATH,connect|listen,split|packed,QUEUES,MAC...
//   In pairs. connect: the back end listens at PATH; listen: the guest does. A guest whose back end
//   is gone returns to the next one.
//   --pps N     each guest sends N frames a second, and makes up for delays; no more than a ring's
//               are on their way to a guest, so that none is lost because it does not run
//   --window N  at most N frames of a pair are on their way
// Commands on stdin, a line each, are answered by one of JSON, but for the first:
//   begin  guests send from now on, by their queues in turn
//   end -> {"sent", "received", "lost", "duplicated", "reordered", "silent", "stall_ns",
//          "gap_ns": [], "lost_of": []}
//          after all that was sent came, or a second. silent: guests that received nothing;
//          stall_ns: the longest time in which this thread did not run, so that no guest did;
//          gap_ns: by receiver, the longest time until a frame came, or the end; lost_of: by
//          receiver. A frame that comes after its end counts as lost, and as reordered next time.
//   quit
#include "front_end.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_GUESTS 64
#define FRAME 60
#define NS_PER_S UINT64_C(1000000000)
#define NAP_NS 50000 // after each turn: a thread with real-time priority leaves its CPU to others
#define LOOK_NS 200000 // from one look at stdin and the connections to the next
#define DRAIN_NS NS_PER_S
#define SEEN 4096 // of the numbers before the latest, those that are known apart; a power of 2

struct stamp {
	uint32_t queue;
	uint32_t unused;
	uint64_t number;
};

// Of one queue of the other guest.
struct stream {
	uint64_t first; // sent since begin
	uint64_t next; // after the latest that came
	uint64_t seen[SEEN / 64];
};

struct end {
	struct front_end front;
	bool is_there;
	unsigned queue; // that sends next
	uint64_t next_number[GUEST_MAX_QUEUES];
	uint64_t next_send_ns;
	struct stream from[GUEST_MAX_QUEUES];
	// Since begin.
	uint64_t n_sent, n_received, n_duplicated, n_reordered;
	uint64_t n_given_up; // of those sent: they were on their way when a connection ended
	uint64_t last_ns, gap_ns;
};

static struct end ends[MAX_GUESTS];
static unsigned n_ends;
static unsigned window; // of each sender
static uint64_t period_ns; // 0: as the window allows
static bool is_sending;
static uint64_t turn_ns, stall_ns; // since begin

static uint64_t
now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void
count(struct end *end, const struct stamp *stamp)
{
	struct stream *s = &end->from[stamp->queue % GUEST_MAX_QUEUES];
	uint64_t n = stamp->number;

	if (n >= s->next) {
		for (uint64_t i = n - s->next < SEEN ? s->next : n + 1 - SEEN; i <= n; i++)
			s->seen[i % SEEN / 64] &= ~(UINT64_C(1) << i % 64);
		s->next = n + 1;
	} else if (n + SEEN < s->next || n < s->first) {
		end->n_reordered++;
		return;
	} else if (s->seen[n % SEEN / 64] >> n % 64 & 1) {
		end->n_duplicated++;
		return;
	} else {
		end->n_reordered++;
	}
	s->seen[n % SEEN / 64] |= UINT64_C(1) << n % 64;
	end->n_received++;
}

static void
receive(struct end *end, uint64_t now)
{
	struct guest *g = &end->front.guest;
	bool has_any = false;

	for (unsigned q = 0; q < g->cfg.n_queues; q++) {
		struct guest_vring *rx = &g->rx[q];
		unsigned n = guest_vring_ready(rx);

		for (unsigned i = 0; i < n; i++) {
			uint16_t id = (uint16_t)guest_vring_take(rx).id;
			uint64_t addr = guest_buffer_addr(g, q, id);
			struct stamp stamp;

			memcpy(&stamp, g->memory + addr + GUEST_HEADER + sizeof(struct ether_header), sizeof(stamp));
			count(end, &stamp);
			guest_vring_repost(rx, id, addr, GUEST_STRIDE);
		}
		if (n)
			guest_vring_publish(rx);
		has_any |= n > 0;
	}
	if (!has_any)
		return;
	if (now - end->last_ns > end->gap_ns)
		end->gap_ns = now - end->last_ns;
	end->last_ns = now;
}

// False: the ring has no descriptor left.
static bool
send_one(struct end *end)
{
	struct guest *g = &end->front.guest;
	unsigned q = end->queue, frame;
	struct stamp stamp = {.queue = q, .number = end->next_number[q]};
	uint16_t id;

	end->queue = (q + 1) % g->cfg.n_queues;
	if (!guest_vring_free(&g->tx[q], &id))
		return false;
	frame = q * GUEST_RING + id % GUEST_RING;
	memcpy(guest_frame(g, frame) + sizeof(struct ether_header), &stamp, sizeof(stamp));
	guest_vring_post(&g->tx[q], id, guest_frame_addr(g, frame), GUEST_HEADER + FRAME, 0);
	end->next_number[q]++;
	end->n_sent++;
	return true;
}

// How many frames are due. More than a ring's are not made up for.
static unsigned
n_due(struct end *end, const struct end *other, uint64_t now)
{
	int64_t n = (int64_t)window - (int64_t)(end->n_sent - end->n_given_up - other->n_received);
	uint64_t n_late;

	if (!period_ns || n <= 0)
		return n > 0 ? (unsigned)n : 0;
	if (now < end->next_send_ns)
		return 0;
	n_late = (now - end->next_send_ns) / period_ns;
	if (n_late >= GUEST_RING) {
		n_late = GUEST_RING - 1;
		end->next_send_ns = now - n_late * period_ns;
	}
	return n_late < (uint64_t)n ? (unsigned)n_late + 1 : (unsigned)n;
}

static void
send_all(struct end *end, const struct end *other, uint64_t now)
{
	struct guest *g = &end->front.guest;
	unsigned n = n_due(end, other, now), n_sent = 0;

	while (n_sent < n && send_one(end))
		n_sent++;
	end->next_send_ns += n_sent * period_ns;
	for (unsigned q = 0; n_sent && q < g->cfg.n_queues; q++)
		guest_vring_publish(&g->tx[q]);
}

static void
look(struct end *end, struct end *other, uint64_t now)
{
	bool was_there = end->is_there;

	end->is_there = front_end_is_there(&end->front, now / 1000000);
	if (!end->is_there || was_there)
		return;
	end->n_given_up = end->n_sent - other->n_received;
	other->n_given_up = other->n_sent - end->n_received;
}

static void
turn(bool looks)
{
	uint64_t begin_ns = now_ns();

	if (begin_ns - turn_ns > stall_ns)
		stall_ns = begin_ns - turn_ns;
	turn_ns = begin_ns;
	for (unsigned i = 0; i < n_ends; i++) {
		struct end *end = &ends[i];
		uint64_t now = now_ns();

		if (looks)
			look(end, &ends[i ^ 1], now);
		receive(end, now);
		if (is_sending && end->is_there)
			send_all(end, &ends[i ^ 1], now);
	}
}

static void
begin(void)
{
	uint64_t now = now_ns();

	for (unsigned i = 0; i < n_ends; i++) {
		struct end *end = &ends[i];

		for (unsigned q = 0; q < GUEST_MAX_QUEUES; q++)
			end->from[q].first = ends[i ^ 1].next_number[q];
		end->n_sent = end->n_received = end->n_duplicated = end->n_reordered = 0;
		end->n_given_up = end->gap_ns = 0;
		end->last_ns = now;
		end->next_send_ns = now + i * period_ns / n_ends; // not all at once
	}
	turn_ns = now;
	stall_ns = 0;
	is_sending = true;
}

static uint64_t
n_missing(unsigned receiver)
{
	return ends[receiver ^ 1].n_sent - ends[receiver].n_received;
}

static void
finish(void)
{
	uint64_t now = now_ns(), until = now + DRAIN_NS, sent = 0, received = 0, lost = 0, duplicated = 0,
		 reordered = 0;
	uint64_t gaps[MAX_GUESTS];
	uint64_t stall;
	unsigned silent = 0;

	for (unsigned i = 0; i < n_ends; i++)
		gaps[i] = now - ends[i].last_ns > ends[i].gap_ns ? now - ends[i].last_ns : ends[i].gap_ns;
	stall = stall_ns > now - turn_ns ? stall_ns : now - turn_ns;
	is_sending = false;
	do {
		turn(true);
		lost = 0;
		for (unsigned i = 0; i < n_ends; i++)
			lost += n_missing(i);
	} while (lost && now_ns() < until);
	for (unsigned i = 0; i < n_ends; i++) {
		sent += ends[i].n_sent;
		received += ends[i].n_received;
		duplicated += ends[i].n_duplicated;
		reordered += ends[i].n_reordered;
		silent += !ends[i].n_received;
	}
	printf("{\"sent\": %" PRIu64 ", \"received\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"duplicated\": %" PRIu64
	       ", \"reordered\": %" PRIu64 ", \"silent\": %u, \"stall_ns\": %" PRIu64 ", \"gap_ns\": [",
		sent, received, lost, duplicated, reordered, silent, stall);
	for (unsigned i = 0; i < n_ends; i++)
		printf("%s%" PRIu64, i ? ", " : "", gaps[i]);
	printf("], \"lost_of\": [");
	for (unsigned i = 0; i < n_ends; i++)
		printf("%s%" PRIu64, i ? ", " : "", n_missing(i));
	printf("]}\n");
}

// False: quit.
static bool
obey(void)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
	char line[64];

	if (poll(&p, 1, 0) != 1)
		return true;
	if (!fgets(line, sizeof(line), stdin) || !strncmp(line, "quit", 4))
		return false;
	if (!strncmp(line, "begin", 5))
		begin();
	else if (!strncmp(line, "end", 3))
		finish();
	return true;
}

static bool
parse_load(const char *option, const char *value)
{
	char *rest;
	unsigned long n = strtoul(value, &rest, 10);

	if (*rest || !n || n > 1000000)
		return false;
	if (!strcmp(option, "--pps")) {
		period_ns = NS_PER_S / n;
		window = GUEST_RING;
	} else if (!strcmp(option, "--window") && n >= 2 && n <= 2 * GUEST_RING) {
		window = (unsigned)n / 2;
	} else {
		return false;
	}
	return true;
}

int
main(int argc, char **argv)
{
	const struct timespec nap = {.tv_nsec = NAP_NS};
	uint64_t look_ns = 0;
	int rc;

	if (argc < 5 || argc % 2 == 0 || argc - 3 > MAX_GUESTS || !parse_load(argv[1], argv[2])) {
		fprintf(stderr, "usage: handover --pps N|--window N " FRONT_END_ARG "..., 2 to %d\n", MAX_GUESTS);
		return 2;
	}
	for (; n_ends < (unsigned)argc - 3; n_ends++) {
		rc = front_end_init(&ends[n_ends].front, argv[n_ends + 3], GUEST_RING, GUEST_RING);
		if (rc) {
			fprintf(stderr, "handover: %s: %s\n", argv[n_ends + 3], strerror(-rc));
			return 1;
		}
	}
	for (unsigned i = 0; i < n_ends; i++)
		for (unsigned frame = 0; frame < ends[i].front.guest.cfg.n_frames; frame++)
			front_end_address(&ends[i].front, frame, &ends[i ^ 1].front);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	(void)setvbuf(stdin, NULL, _IONBF, 0); // poll sees all that was not read
	printf("{\"ready\": true}\n");
	for (;;) {
		bool looks = now_ns() - look_ns >= LOOK_NS;

		turn(looks);
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
		if (!looks)
			continue;
		look_ns = now_ns();
		if (!obey())
			break;
	}
	for (unsigned i = 0; i < n_ends; i++)
		guest_close(&ends[i].front.guest);
	return 0;
}
