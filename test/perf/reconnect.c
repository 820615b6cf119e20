// Guests whose back end is killed and started again, with the rings of a DPDK driver: they poll,
// and return to a new back end as soon as they can, which takes their rings over where they stand
// (guest.h). Each sends a frame to the one beside it every SEND_MS, by its queues in turn.
//
// usage: reconnect PATH,connect|listen,split|packed,QUEUES,MAC...
//   In pairs. connect: the back end listens at PATH; listen: the guest does.
// Commands on stdin, a line each, are answered by one of JSON:
//   check MS -> {"ok": [true, ...]}: by guest, whether a frame came to it from now on, after MS at
//               most
//   quit
#include "front_end.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_GUESTS 64
#define SEND_MS 2
#define FRAME 60

struct end {
	struct front_end front;
	unsigned queue; // that sends next
	uint64_t next_send_ms;
	uint64_t n_received, n_before;
};

static struct end ends[MAX_GUESTS];
static unsigned n_ends;

static uint64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void
receive(struct end *end)
{
	for (unsigned q = 0; q < end->front.guest.cfg.n_queues; q++) {
		struct guest_vring *rx = &end->front.guest.rx[q];
		unsigned n = guest_vring_ready(rx);

		for (unsigned i = 0; i < n; i++) {
			uint16_t id = (uint16_t)guest_vring_take(rx).id;

			guest_vring_repost(rx, id, guest_buffer_addr(&end->front.guest, q, id), GUEST_STRIDE);
		}
		if (n)
			guest_vring_publish(rx);
		end->n_received += n;
	}
}

static void
send_one(struct end *end)
{
	struct guest_vring *tx = &end->front.guest.tx[end->queue];
	uint16_t id;

	if (guest_vring_free(tx, &id)) {
		guest_vring_post(tx, id, guest_frame_addr(&end->front.guest, 0), GUEST_HEADER + FRAME, 0);
		guest_vring_publish(tx);
	}
	end->queue = (end->queue + 1) % end->front.guest.cfg.n_queues;
}

static void
turn(void)
{
	for (unsigned i = 0; i < n_ends; i++) {
		struct end *end = &ends[i];
		uint64_t now = now_ms();

		if (!front_end_is_there(&end->front, now))
			continue;
		receive(end);
		if (now >= end->next_send_ms) {
			end->next_send_ms = now + SEND_MS;
			send_one(end);
		}
	}
}

// Waits for a line, or a millisecond.
static bool
has_line(void)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};

	return poll(&p, 1, 1) == 1;
}

static void
check(unsigned ms)
{
	uint64_t end = now_ms() + ms;
	unsigned n_ok;

	for (unsigned i = 0; i < n_ends; i++)
		ends[i].n_before = ends[i].n_received;
	do {
		turn();
		(void)poll(NULL, 0, 1);
		n_ok = 0;
		for (unsigned i = 0; i < n_ends; i++)
			n_ok += ends[i].n_received > ends[i].n_before;
	} while (n_ok < n_ends && now_ms() < end);
	printf("{\"ok\": [");
	for (unsigned i = 0; i < n_ends; i++)
		printf("%s%s", i ? ", " : "", ends[i].n_received > ends[i].n_before ? "true" : "false");
	printf("]}\n");
}

int
main(int argc, char **argv)
{
	char line[64];
	unsigned ms;
	int rc;

	if (argc < 3 || argc % 2 == 0 || argc - 1 > MAX_GUESTS) {
		fprintf(stderr, "usage: reconnect PATH,connect|listen,split|packed,QUEUES,MAC..., 2 to %d\n",
			MAX_GUESTS);
		return 2;
	}
	for (; n_ends < (unsigned)argc - 1; n_ends++) {
		rc = front_end_init(&ends[n_ends].front, argv[n_ends + 1], 1, GUEST_RING);
		if (rc) {
			fprintf(stderr, "reconnect: %s: %s\n", argv[n_ends + 1], strerror(-rc));
			return 1;
		}
	}
	for (unsigned i = 0; i < n_ends; i++)
		front_end_address(&ends[i].front, 0, &ends[i ^ 1].front);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	printf("{\"ready\": true}\n");
	for (;;) {
		turn();
		if (!has_line())
			continue;
		if (!fgets(line, sizeof(line), stdin) || !strncmp(line, "quit", 4))
			break;
		if (sscanf(line, "check %u", &ms) == 1)
			check(ms);
	}
	for (unsigned i = 0; i < n_ends; i++)
		guest_close(&ends[i].front.guest);
	return 0;
}
