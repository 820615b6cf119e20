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
// Commands: traffic.h. A frame that comes after `end` counts as lost, and as reordered next time.
#include "front_end.h"
#include "traffic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME 60
#define NS_PER_S UINT64_C(1000000000)
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
	uint64_t n_sent; // since begin
	uint64_t n_given_up; // of those: they were on their way when a connection ended
};

static struct end ends[TRAFFIC_MAX_ENDS];
static unsigned window; // of each sender
static uint64_t period_ns; // 0: as the window allows

static void
count(struct end *end, struct traffic_end *to, const struct stamp *stamp)
{
	struct stream *s = &end->from[stamp->queue % GUEST_MAX_QUEUES];
	uint64_t n = stamp->number;

	if (n >= s->next) {
		for (uint64_t i = n - s->next < SEEN ? s->next : n + 1 - SEEN; i <= n; i++)
			s->seen[i % SEEN / 64] &= ~(UINT64_C(1) << i % 64);
		s->next = n + 1;
	} else if (n + SEEN < s->next || n < s->first) {
		to->n_reordered++;
		return;
	} else if (s->seen[n % SEEN / 64] >> n % 64 & 1) {
		to->n_duplicated++;
		return;
	} else {
		to->n_reordered++;
	}
	s->seen[n % SEEN / 64] |= UINT64_C(1) << n % 64;
	to->n_received++;
}

static void
receive(struct traffic *t, unsigned i, uint64_t now)
{
	struct end *end = &ends[i];
	struct guest *g = &end->front.guest;
	bool has_any = false;

	for (unsigned q = 0; q < g->cfg.n_queues; q++) {
		struct guest_vring *rx = &g->rx[q];
		unsigned n = guest_vring_ready(rx);

		for (unsigned k = 0; k < n; k++) {
			uint16_t id = (uint16_t)guest_vring_take(rx).id;
			uint64_t addr = guest_buffer_addr(g, q, id);
			struct stamp stamp;

			memcpy(&stamp, g->memory + addr + GUEST_HEADER + sizeof(struct ether_header), sizeof(stamp));
			count(end, &t->to[i], &stamp);
			guest_vring_repost(rx, id, addr, GUEST_STRIDE);
		}
		if (n)
			guest_vring_publish(rx);
		has_any |= n > 0;
	}
	if (has_any)
		traffic_came(t, i, now);
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
n_due(struct end *end, uint64_t n_came, uint64_t now)
{
	int64_t n = (int64_t)window - (int64_t)(end->n_sent - end->n_given_up - n_came);
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
send_all(struct end *end, uint64_t n_came, uint64_t now)
{
	struct guest *g = &end->front.guest;
	unsigned n = n_due(end, n_came, now), n_sent = 0;

	while (n_sent < n && send_one(end))
		n_sent++;
	end->next_send_ns += n_sent * period_ns;
	for (unsigned q = 0; n_sent && q < g->cfg.n_queues; q++)
		guest_vring_publish(&g->tx[q]);
}

static void
look(struct traffic *t, unsigned i, uint64_t now)
{
	struct end *end = &ends[i], *other = &ends[i ^ 1];
	bool was_there = end->is_there;

	end->is_there = front_end_is_there(&end->front, now / 1000000);
	if (!end->is_there || was_there)
		return;
	end->n_given_up = end->n_sent - t->to[i ^ 1].n_received;
	other->n_given_up = other->n_sent - t->to[i].n_received;
}

static void
turn(struct traffic *t, bool looks)
{
	for (unsigned i = 0; i < t->n; i++) {
		uint64_t now = traffic_now_ns();

		if (looks)
			look(t, i, now);
		receive(t, i, now);
		if (t->is_sending && ends[i].is_there)
			send_all(&ends[i], t->to[i ^ 1].n_received, now);
	}
}

static void
begin(struct traffic *t, uint64_t now)
{
	for (unsigned i = 0; i < t->n; i++) {
		struct end *end = &ends[i];

		for (unsigned q = 0; q < GUEST_MAX_QUEUES; q++)
			end->from[q].first = ends[i ^ 1].next_number[q];
		end->n_sent = end->n_given_up = 0;
		end->next_send_ns = now + i * period_ns / t->n; // not all at once
	}
}

static bool
is_done(struct traffic *t)
{
	uint64_t n_lost = 0;

	for (unsigned i = 0; i < t->n; i++) {
		t->to[i].n_sent = ends[i ^ 1].n_sent;
		t->to[i].n_lost = t->to[i].n_sent - t->to[i].n_received;
		n_lost += t->to[i].n_lost;
	}
	return !n_lost;
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
	static struct traffic t = {.turn = turn, .begin = begin, .is_done = is_done};
	int rc;

	if (argc < 5 || argc % 2 == 0 || argc - 3 > TRAFFIC_MAX_ENDS || !parse_load(argv[1], argv[2])) {
		fprintf(stderr, "usage: handover --pps N|--window N " FRONT_END_ARG "..., 2 to %d\n", TRAFFIC_MAX_ENDS);
		return 2;
	}
	for (; t.n < (unsigned)argc - 3; t.n++) {
		rc = front_end_init(&ends[t.n].front, argv[t.n + 3], GUEST_RING, GUEST_RING);
		if (rc) {
			fprintf(stderr, "handover: %s: %s\n", argv[t.n + 3], strerror(-rc));
			return 1;
		}
	}
	for (unsigned i = 0; i < t.n; i++)
		for (unsigned frame = 0; frame < ends[i].front.guest.cfg.n_frames; frame++)
			front_end_address(&ends[i].front, frame, &ends[i ^ 1].front);
	traffic_run(&t);
	for (unsigned i = 0; i < t.n; i++)
		guest_close(&ends[i].front.guest);
	return 0;
}
