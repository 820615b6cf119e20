// A cable of a certain length for the benches: passes frames between two interfaces, each after the
// same time.
// usage: relay INTERFACE INTERFACE LATENCY_US
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAME_MAX 2048
#define QUEUE 8192 // frames under way in one direction, a power of two; more are lost
#define BURST 64
#define NS_PER_S 1000000000

struct frame {
	uint64_t due_ns;
	uint16_t len;
	uint8_t data[FRAME_MAX];
};

struct direction {
	int from, to;
	uint32_t head, tail; // frames taken out and put in
	struct frame *queue;
};

static uint64_t
now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static int
open_interface(const char *name)
{
	struct sockaddr_ll addr = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, bytes = 4 << 20;

	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) ||
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) ||
		setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) || !addr.sll_ifindex ||
		bind(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		fprintf(stderr, "relay: %s: %s\n", name, strerror(errno));
		exit(1);
	}
	return fd;
}

static void
take(struct direction *d, uint64_t latency_ns)
{
	for (unsigned i = 0; i < BURST && d->tail - d->head < QUEUE; i++) {
		struct frame *f = &d->queue[d->tail % QUEUE];
		ssize_t len = recv(d->from, f->data, sizeof(f->data), MSG_TRUNC);

		if (len < 0)
			return;
		if (len > FRAME_MAX)
			continue;
		f->len = (uint16_t)len;
		f->due_ns = now_ns() + latency_ns;
		d->tail++;
	}
}

static void
give(struct direction *d)
{
	for (; d->head != d->tail && d->queue[d->head % QUEUE].due_ns <= now_ns(); d->head++) {
		const struct frame *f = &d->queue[d->head % QUEUE];

		// a full device loses it, as a full port does
		(void)!send(d->to, f->data, f->len, 0);
	}
}

static uint64_t
next_ns(const struct direction *d)
{
	return d->head == d->tail ? UINT64_MAX : d->queue[d->head % QUEUE].due_ns;
}

int
main(int argc, char **argv)
{
	struct direction there, back;
	struct pollfd fds[2];
	uint64_t latency_ns;

	if (argc != 4) {
		fprintf(stderr, "usage: relay INTERFACE INTERFACE LATENCY_US\n");
		return 2;
	}
	there = (struct direction){.from = open_interface(argv[1]), .to = open_interface(argv[2])};
	back = (struct direction){.from = there.to, .to = there.from};
	latency_ns = strtoull(argv[3], NULL, 10) * 1000;
	there.queue = malloc(QUEUE * sizeof(struct frame));
	back.queue = malloc(QUEUE * sizeof(struct frame));
	if (!there.queue || !back.queue)
		return 1;
	(void)prctl(PR_SET_TIMERSLACK, 1);
	fds[0] = (struct pollfd){.fd = there.from, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = back.from, .events = POLLIN};
	for (;;) {
		uint64_t due = next_ns(&there) < next_ns(&back) ? next_ns(&there) : next_ns(&back), now = now_ns();
		uint64_t wait = due == UINT64_MAX ? NS_PER_S : due > now ? due - now : 0;
		struct timespec ts = {.tv_sec = (time_t)(wait / NS_PER_S), .tv_nsec = (long)(wait % NS_PER_S)};

		(void)ppoll(fds, 2, &ts, NULL);
		take(&there, latency_ns);
		take(&back, latency_ns);
		give(&there);
		give(&back);
	}
}
