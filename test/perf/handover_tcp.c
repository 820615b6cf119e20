// Guests that are the kernel's TCP, while their back end is replaced. Each has a TAP and a socket
// in a network namespace of its own, and this program carries frames between the TAP and the
// guest's rings. The two of a pair have one connection, and both send.
//
// usage: handover_tcp --mbit N PATH,connect|listen,split|packed,QUEUES,MAC...
//   In pairs, as handover. --mbit: each guest sends N Mbit/s, and makes up for delays of a buffer.
// Commands: traffic.h, in segments with data. lost: those that TCP sent again because nothing was
// heard of them; duplicated: those that it sent again although they had come; reordered: how often
// it saw that one had overtaken another. A guess of TCP's is not in these: without
// tcp_early_retrans it sends nothing again before its time, 200 ms.
#include "front_end.h"
#include "traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define SERVER "10.0.0.1"
#define CLIENT "10.0.0.2"
#define TCP_PORT 5001
#define BUFFER 131072 // of a socket, bytes; fewer frames than the TAP's queue of 500 has
#define MBIT_MAX 1000
#define FRAMES_AT_ONCE 32

struct end {
	struct front_end front;
	bool is_there;
	int tap, listener, tcp; // -1: none
	uint16_t id; // of the send ring's next frame, if there is one
	bool has_id;
	uint64_t begin_ns, n_skipped; // bytes that were due and are not made up for
	uint64_t sent, received; // bytes
	struct tcp_info before; // as of begin
};

static struct end ends[TRAFFIC_MAX_ENDS];
static uint64_t bytes_per_s;

// ---- the kernel's side

static int
write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool is_written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	(void)close(fd);
	return is_written ? 0 : -errno;
}

static struct sockaddr_in
address(const char *ip, uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};

	(void)inet_pton(AF_INET, ip, &in.sin_addr);
	return in;
}

// A TAP with this address, up.
static int
open_tap(const struct ether_addr *mac, const char *ip)
{
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC),
	    any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {.ifr_name = "tap0", .ifr_flags = IFF_TAP | IFF_NO_PI};
	struct sockaddr_in in = address(ip, 0), mask = address("255.255.255.0", 0);
	int rc = -1;

	if (fd < 0 || any < 0 || ioctl(fd, TUNSETIFF, &ifr))
		goto out;
	ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(ifr.ifr_hwaddr.sa_data, mac, sizeof(*mac));
	if (ioctl(any, SIOCSIFHWADDR, &ifr))
		goto out;
	memcpy(&ifr.ifr_addr, &in, sizeof(in));
	if (ioctl(any, SIOCSIFADDR, &ifr))
		goto out;
	memcpy(&ifr.ifr_netmask, &mask, sizeof(mask));
	if (ioctl(any, SIOCSIFNETMASK, &ifr))
		goto out;
	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	rc = ioctl(any, SIOCSIFFLAGS, &ifr);
out:
	rc = rc ? -errno : fd;
	(void)close(any);
	return rc;
}

static int
open_socket(struct end *end, bool is_server)
{
	struct sockaddr_in server = address(SERVER, TCP_PORT);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), size = BUFFER;

	// Before the connection: they determine the window.
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) ||
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)))
		return -errno;
	if (is_server) {
		end->listener = fd;
		return bind(fd, (struct sockaddr *)&server, sizeof(server)) || listen(fd, 1) ? -errno : 0;
	}
	end->tcp = fd;
	return connect(fd, (struct sockaddr *)&server, sizeof(server)) && errno != EINPROGRESS ? -errno : 0;
}

// The namespace lives as long as its sockets.
static int
begin_kernel(struct end *end, bool is_server)
{
	int rc;

	end->listener = end->tcp = -1;
	if (unshare(CLONE_NEWNET))
		return -errno;
	rc = write_file("/proc/sys/net/ipv4/tcp_early_retrans", "0");
	if (!rc) // a kernel may be without it
		(void)write_file("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
	end->tap = rc ? rc : open_tap(&end->front.mac, is_server ? SERVER : CLIENT);
	return end->tap < 0 ? end->tap : open_socket(end, is_server);
}

static struct tcp_info
info_of(const struct end *end)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	(void)getsockopt(end->tcp, IPPROTO_TCP, TCP_INFO, &info, &len);
	return info;
}

// ---- traffic

static void
to_kernel(struct end *end)
{
	struct guest *g = &end->front.guest;

	for (unsigned q = 0; q < g->cfg.n_queues; q++) {
		struct guest_vring *rx = &g->rx[q];
		unsigned n = guest_vring_ready(rx);

		for (unsigned i = 0; i < n; i++) {
			struct vring_used_elem used = guest_vring_take(rx);
			uint64_t addr = guest_buffer_addr(g, q, used.id);

			// What a TAP does not take is a frame that TCP misses.
			if (write(end->tap, g->memory + addr + GUEST_HEADER, used.len - GUEST_HEADER) < 0 &&
				errno == EBADF)
				abort();
			guest_vring_repost(rx, (uint16_t)used.id, addr, GUEST_STRIDE);
		}
		if (n)
			guest_vring_publish(rx);
	}
}

// What the ring has no room for waits in the TAP.
static void
to_ring(struct end *end)
{
	struct guest *g = &end->front.guest;
	struct guest_vring *tx = &g->tx[0];
	unsigned n = 0;
	ssize_t len;

	for (; n < FRAMES_AT_ONCE; n++) {
		end->has_id = end->has_id || guest_vring_free(tx, &end->id);
		if (!end->has_id)
			break;
		len = read(end->tap, guest_frame(g, end->id), GUEST_FRAME_MAX);
		if (len <= 0)
			break;
		guest_vring_post(tx, end->id, guest_frame_addr(g, end->id), GUEST_HEADER + (uint32_t)len, 0);
		end->has_id = false;
	}
	if (n)
		guest_vring_publish(tx);
}

static void
send_due(struct end *end, uint64_t now)
{
	static const char zeros[BUFFER];
	uint64_t due = (uint64_t)((double)(now - end->begin_ns) * (double)bytes_per_s / 1e9) - end->n_skipped;
	ssize_t n;

	if (due > end->sent + BUFFER) {
		end->n_skipped += due - end->sent - BUFFER;
		due = end->sent + BUFFER;
	}
	n = due > end->sent ? send(end->tcp, zeros, due - end->sent, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
	if (n > 0)
		end->sent += (uint64_t)n;
}

static bool
receive(struct end *end)
{
	uint64_t before = end->received;
	ssize_t n;

	while ((n = recv(end->tcp, NULL, BUFFER, MSG_DONTWAIT | MSG_TRUNC)) > 0)
		end->received += (uint64_t)n;
	return end->received > before;
}

static void
turn(struct traffic *t, bool looks)
{
	for (unsigned i = 0; i < t->n; i++) {
		struct end *end = &ends[i];
		uint64_t now = traffic_now_ns();

		if (looks)
			end->is_there = front_end_is_there(&end->front, now / 1000000);
		if (!end->is_there)
			continue;
		to_kernel(end);
		if (looks && end->tcp < 0)
			end->tcp = accept4(end->listener, NULL, NULL, SOCK_CLOEXEC);
		if (end->tcp >= 0 && receive(end))
			traffic_came(t, i, now);
		if (t->is_sending && end->tcp >= 0)
			send_due(end, now);
		to_ring(end);
	}
}

static void
begin(struct traffic *t, uint64_t now)
{
	for (unsigned i = 0; i < t->n; i++) {
		ends[i].begin_ns = now;
		ends[i].n_skipped = ends[i].sent = ends[i].received = 0;
		ends[i].before = info_of(&ends[i]);
	}
}

static bool
is_done(struct traffic *t)
{
	bool is_done = true;

	for (unsigned i = 0; i < t->n; i++) {
		const struct tcp_info *then = &ends[i ^ 1].before, *own_then = &ends[i].before;
		struct tcp_info now = info_of(&ends[i ^ 1]), own = info_of(&ends[i]);
		struct traffic_end *to = &t->to[i];
		uint32_t n_again = now.tcpi_total_retrans - then->tcpi_total_retrans;

		to->n_sent = now.tcpi_data_segs_out - then->tcpi_data_segs_out - n_again;
		to->n_received = own.tcpi_data_segs_in - own_then->tcpi_data_segs_in;
		to->n_duplicated = now.tcpi_dsack_dups - then->tcpi_dsack_dups;
		to->n_lost = n_again > to->n_duplicated ? n_again - to->n_duplicated : 0;
		to->n_reordered = now.tcpi_reord_seen - then->tcpi_reord_seen;
		// Of what never came nothing is counted as sent again.
		if (ends[i ^ 1].sent != ends[i].received) {
			to->n_lost++;
			is_done = false;
		}
	}
	return is_done;
}

int
main(int argc, char **argv)
{
	static struct traffic t = {.turn = turn, .begin = begin, .is_done = is_done};
	char *rest = NULL;
	unsigned long mbit = argc > 2 ? strtoul(argv[2], &rest, 10) : 0;
	int rc;

	if (argc < 5 || argc % 2 == 0 || argc - 3 > TRAFFIC_MAX_ENDS || strcmp(argv[1], "--mbit") != 0 || *rest ||
		!mbit || mbit > MBIT_MAX) {
		fprintf(stderr, "usage: handover_tcp --mbit 1..%d " FRONT_END_ARG "..., 2 to %d\n", MBIT_MAX,
			TRAFFIC_MAX_ENDS);
		return 2;
	}
	bytes_per_s = mbit * 125000;
	for (; t.n < (unsigned)argc - 3; t.n++) {
		rc = front_end_init(&ends[t.n].front, argv[t.n + 3], GUEST_RING, GUEST_RING);
		if (!rc)
			rc = begin_kernel(&ends[t.n], t.n % 2 == 0);
		if (rc) {
			fprintf(stderr, "handover_tcp: %s: %s\n", argv[t.n + 3], strerror(-rc));
			return 1;
		}
	}
	traffic_run(&t);
	for (unsigned i = 0; i < t.n; i++)
		guest_close(&ends[i].front.guest);
	return 0;
}
