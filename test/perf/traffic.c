#include "traffic.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)
#define NAP_NS 50000 // after each turn: a thread with real-time priority leaves its CPU to others
#define LOOK_NS 200000 // from one look at stdin and the connections to the next
#define DRAIN_NS NS_PER_S

uint64_t
traffic_now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

void
traffic_came(struct traffic *t, unsigned i, uint64_t now_ns)
{
	struct traffic_end *end = &t->to[i];

	if (now_ns - end->last_ns > end->gap_ns)
		end->gap_ns = now_ns - end->last_ns;
	end->last_ns = now_ns;
}

static void
turn(struct traffic *t, bool looks)
{
	uint64_t now = traffic_now_ns();

	if (now - t->turn_ns > t->stall_ns)
		t->stall_ns = now - t->turn_ns;
	t->turn_ns = now;
	t->turn(t, looks);
}

static void
begin(struct traffic *t)
{
	uint64_t now = traffic_now_ns();

	for (unsigned i = 0; i < t->n; i++)
		t->to[i] = (struct traffic_end){.last_ns = now};
	t->turn_ns = now;
	t->stall_ns = 0;
	t->begin(t, now);
	t->is_sending = true;
}

static void
print(const struct traffic *t, const uint64_t *gaps, uint64_t stall)
{
	struct traffic_end sum = {0};
	unsigned silent = 0;

	for (unsigned i = 0; i < t->n; i++) {
		sum.n_sent += t->to[i].n_sent;
		sum.n_received += t->to[i].n_received;
		sum.n_lost += t->to[i].n_lost;
		sum.n_duplicated += t->to[i].n_duplicated;
		sum.n_reordered += t->to[i].n_reordered;
		silent += !t->to[i].n_received;
	}
	printf("{\"sent\": %" PRIu64 ", \"received\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"duplicated\": %" PRIu64
	       ", \"reordered\": %" PRIu64 ", \"silent\": %u, \"stall_ns\": %" PRIu64 ", \"gap_ns\": [",
		sum.n_sent, sum.n_received, sum.n_lost, sum.n_duplicated, sum.n_reordered, silent, stall);
	for (unsigned i = 0; i < t->n; i++)
		printf("%s%" PRIu64, i ? ", " : "", gaps[i]);
	printf("], \"lost_of\": [");
	for (unsigned i = 0; i < t->n; i++)
		printf("%s%" PRIu64, i ? ", " : "", t->to[i].n_lost);
	printf("]}\n");
}

static void
finish(struct traffic *t)
{
	uint64_t now = traffic_now_ns(), until = now + DRAIN_NS, gaps[TRAFFIC_MAX_ENDS], stall;

	for (unsigned i = 0; i < t->n; i++)
		gaps[i] = now - t->to[i].last_ns > t->to[i].gap_ns ? now - t->to[i].last_ns : t->to[i].gap_ns;
	stall = t->stall_ns > now - t->turn_ns ? t->stall_ns : now - t->turn_ns;
	t->is_sending = false;
	do
		turn(t, true);
	while (!t->is_done(t) && traffic_now_ns() < until);
	print(t, gaps, stall);
}

// False: quit.
static bool
obey(struct traffic *t)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
	char line[64];

	if (poll(&p, 1, 0) != 1)
		return true;
	if (!fgets(line, sizeof(line), stdin) || !strncmp(line, "quit", 4))
		return false;
	if (!strncmp(line, "begin", 5))
		begin(t);
	else if (!strncmp(line, "end", 3))
		finish(t);
	return true;
}

void
traffic_run(struct traffic *t)
{
	const struct timespec nap = {.tv_nsec = NAP_NS};
	uint64_t look_ns = 0;

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	(void)setvbuf(stdin, NULL, _IONBF, 0); // poll sees all that was not read
	printf("{\"ready\": true}\n");
	for (;;) {
		bool looks = traffic_now_ns() - look_ns >= LOOK_NS;

		turn(t, looks);
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
		if (!looks)
			continue;
		look_ns = traffic_now_ns();
		if (!obey(t))
			break;
	}
}
