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
#include "guest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <netinet/ether.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MAX_GUESTS 64
#define SEND_MS 2
#define RETRY_MS 10 // from one attempt to connect to the next
#define FRAME 60

struct end {
	struct guest guest;
	char path[108];
	int listener; // -1: it connects
	struct ether_addr mac;
	unsigned queue; // that sends next
	uint64_t next_try_ms, next_send_ms;
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

static int
listen_at(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memcpy(addr.sun_path, path, strlen(path) + 1);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 1))
		return -errno;
	return fd;
}

static void
write_frame(struct end *end, const struct ether_addr *to)
{
	struct ether_header *h = (void *)guest_frame(&end->guest, 0);

	memcpy(h->ether_dhost, to, ETH_ALEN);
	memcpy(h->ether_shost, &end->mac, ETH_ALEN);
	h->ether_type = htons(0x88b5); // for experiments
}

static int
open_end(struct end *end, const char *arg)
{
	char mode[8], ring[8], mac[18];
	unsigned n_queues;
	struct guest_cfg cfg = {.n_frames = 1, .n_buffers = GUEST_RING};

	if (sscanf(arg, "%107[^,],%7[^,],%7[^,],%u,%17s", end->path, mode, ring, &n_queues, mac) != 5 || !n_queues ||
		n_queues > GUEST_MAX_QUEUES || !ether_aton_r(mac, &end->mac))
		return -EINVAL;
	cfg.n_queues = n_queues;
	cfg.is_packed = !strcmp(ring, "packed");
	end->listener = strcmp(mode, "listen") ? -1 : listen_at(end->path);
	if (end->listener < -1)
		return end->listener;
	return guest_init(&end->guest, &cfg);
}

static bool
is_gone(const struct guest *g)
{
	char byte;
	ssize_t n = recv(g->socket, &byte, 1, MSG_DONTWAIT | MSG_PEEK);

	return !n || (n < 0 && errno != EAGAIN);
}

// A back end that dies meanwhile is tried again, too.
static void
meet(struct end *end, uint64_t now)
{
	const char *ignored;
	int fd;

	if (now < end->next_try_ms)
		return;
	end->next_try_ms = now + RETRY_MS;
	if (end->listener < 0) {
		(void)guest_connect(&end->guest, end->path, &ignored);
		return;
	}
	fd = accept4(end->listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		(void)guest_attach(&end->guest, fd, &ignored);
}

static void
receive(struct end *end)
{
	for (unsigned q = 0; q < end->guest.cfg.n_queues; q++) {
		struct guest_vring *rx = &end->guest.rx[q];
		unsigned n = guest_vring_ready(rx);

		for (unsigned i = 0; i < n; i++) {
			uint16_t id = (uint16_t)guest_vring_take(rx).id;

			guest_vring_repost(rx, id, guest_buffer_addr(&end->guest, q, id), GUEST_STRIDE);
		}
		if (n)
			guest_vring_publish(rx);
		end->n_received += n;
	}
}

static void
send_one(struct end *end)
{
	struct guest_vring *tx = &end->guest.tx[end->queue];
	uint16_t id;

	if (guest_vring_free(tx, &id)) {
		guest_vring_post(tx, id, guest_frame_addr(&end->guest, 0), GUEST_HEADER + FRAME, 0);
		guest_vring_publish(tx);
	}
	end->queue = (end->queue + 1) % end->guest.cfg.n_queues;
}

static void
turn(void)
{
	for (unsigned i = 0; i < n_ends; i++) {
		struct end *end = &ends[i];
		uint64_t now = now_ms();

		if (end->guest.socket >= 0 && is_gone(&end->guest))
			guest_detach(&end->guest);
		if (end->guest.socket < 0) {
			meet(end, now);
			continue;
		}
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
		rc = open_end(&ends[n_ends], argv[n_ends + 1]);
		if (rc) {
			fprintf(stderr, "reconnect: %s: %s\n", argv[n_ends + 1], strerror(-rc));
			return 1;
		}
	}
	for (unsigned i = 0; i < n_ends; i++)
		write_frame(&ends[i], &ends[i ^ 1].mac);
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
		guest_close(&ends[i].guest);
	return 0;
}
