// A guest that sends frames to one address at a fixed rate. They carry no numbers, as the receiver
// is a kernel, which counts what it gets.
//
// usage: sender PATH,connect|listen,split|packed,QUEUES,MAC TO-MAC
// Commands on stdin, a line each:
//   begin PPS   it sends from now on, by its first queue, and makes up for delays of up to a ring
//   end -> {"sent", "seconds"}  after the back end took all, a second at most. What it did not take
//          is not sent, and the program ends.
//   quit
// It sleeps while it does not send.
#include "front_end.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/ether.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FRAME 60
#define NS_PER_S UINT64_C(1000000000)
#define NAP_NS 200000 // while it sends
#define DRAIN_NS NS_PER_S
#define MAX_PPS 1000000

static struct front_end front;
static uint64_t pps; // 0: it does not send
static uint64_t begin_ns, n_sent, n_skipped; // skipped: due, and not made up for
static int status; // of this program

static uint64_t
now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void
nap(void)
{
	(void)nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
}

// Frames for this guest, as a switch floods them, are thrown away.
static void
receive(void)
{
	struct guest *g = &front.guest;

	for (unsigned q = 0; q < g->cfg.n_queues; q++) {
		struct guest_vring *rx = &g->rx[q];
		unsigned n = guest_vring_ready(rx);

		for (unsigned i = 0; i < n; i++) {
			uint16_t id = (uint16_t)guest_vring_take(rx).id;

			guest_vring_repost(rx, id, guest_buffer_addr(g, q, id), GUEST_STRIDE);
		}
		if (n)
			guest_vring_publish(rx);
	}
}

static void
send_due(void)
{
	struct guest *g = &front.guest;
	// No overflow: a second at MAX_PPS is 10^15, and 64 bits have 18,000 of them.
	uint64_t due = (now_ns() - begin_ns) * pps / NS_PER_S - n_skipped;
	bool has_any = false;
	uint16_t id;

	if (due > n_sent + GUEST_RING) {
		n_skipped += due - n_sent - GUEST_RING;
		due = n_sent + GUEST_RING;
	}
	for (; n_sent < due && guest_vring_free(&g->tx[0], &id); n_sent++) {
		guest_vring_post(&g->tx[0], id, guest_frame_addr(g, id), GUEST_HEADER + FRAME, 0);
		has_any = true;
	}
	if (has_any)
		guest_vring_publish(&g->tx[0]);
}

static bool
all_taken(void)
{
	struct guest_vring *tx = &front.guest.tx[0];

	return guest_vring_ready(tx) == (uint16_t)(tx->posted - tx->taken);
}

static bool
finish(void)
{
	uint64_t end = now_ns();
	double seconds = (double)(end - begin_ns) / 1e9;

	pps = 0;
	while (!all_taken() && now_ns() < end + DRAIN_NS)
		nap();
	if (!all_taken()) {
		fprintf(stderr, "sender: the back end does not take what was sent\n");
		status = 1;
		return false;
	}
	printf("{\"sent\": %" PRIu64 ", \"seconds\": %.6f}\n", n_sent, seconds);
	return true;
}

static bool
begin(const char *text)
{
	char *rest;
	unsigned long n = strtoul(text, &rest, 10);

	if (*rest != '\n' || !n || n > MAX_PPS) {
		fprintf(stderr, "sender: begin takes 1 to %d frames a second\n", MAX_PPS);
		status = 1;
		return false;
	}
	pps = n;
	n_sent = n_skipped = 0;
	begin_ns = now_ns();
	return true;
}

// False: it is to end.
static bool
obey(void)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
	char line[64];

	if (poll(&p, 1, pps ? 0 : -1) != 1)
		return true;
	if (!fgets(line, sizeof(line), stdin))
		return false;
	if (!strncmp(line, "begin ", 6))
		return begin(line + 6);
	return !strncmp(line, "end", 3) && finish();
}

int
main(int argc, char **argv)
{
	struct front_end to = {0};
	const char *what = "";
	int rc;

	if (argc != 3 || !ether_aton_r(argv[2], &to.mac)) {
		fprintf(stderr, "usage: sender " FRONT_END_ARG " TO-MAC\n");
		return 2;
	}
	rc = front_end_init(&front, argv[1], GUEST_RING, GUEST_RING);
	if (!rc && front.listener < 0)
		rc = guest_connect(&front.guest, front.path, &what);
	if (rc) {
		fprintf(stderr, "sender: %s: %s: %s\n", argv[1], what, strerror(-rc));
		return 1;
	}
	while (!front_end_is_there(&front, now_ns() / 1000000))
		nap();
	for (unsigned frame = 0; frame < front.guest.cfg.n_frames; frame++)
		front_end_address(&front, frame, &to);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	(void)setvbuf(stdin, NULL, _IONBF, 0); // poll sees all that was not read
	printf("{\"ready\": true}\n");
	while (obey()) {
		receive();
		if (!pps)
			continue;
		send_due();
		nap();
	}
	guest_close(&front.guest);
	return status;
}
