#include "front_end.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ether.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define RETRY_MS 10 // from one attempt to connect to the next

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

int
front_end_init(struct front_end *f, const char *arg, unsigned n_frames, unsigned n_buffers)
{
	char mode[8], ring[8], mac[18];
	unsigned n_queues;
	struct guest_cfg cfg = {.n_buffers = n_buffers};

	*f = (struct front_end){.listener = -1};
	if (sscanf(arg, "%107[^,],%7[^,],%7[^,],%u,%17s", f->path, mode, ring, &n_queues, mac) != 5 || !n_queues ||
		n_queues > GUEST_MAX_QUEUES || !ether_aton_r(mac, &f->mac))
		return -EINVAL;
	cfg.n_queues = n_queues;
	cfg.n_frames = n_queues * n_frames;
	cfg.is_packed = !strcmp(ring, "packed");
	f->listener = strcmp(mode, "listen") ? -1 : listen_at(f->path);
	if (f->listener < -1)
		return f->listener;
	return guest_init(&f->guest, &cfg);
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
meet(struct front_end *f, uint64_t now_ms)
{
	const char *ignored;
	int fd;

	if (now_ms < f->next_try_ms)
		return;
	f->next_try_ms = now_ms + RETRY_MS;
	if (f->listener < 0) {
		(void)guest_connect(&f->guest, f->path, &ignored);
		return;
	}
	fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		(void)guest_attach(&f->guest, fd, &ignored);
}

bool
front_end_is_there(struct front_end *f, uint64_t now_ms)
{
	if (f->guest.socket >= 0 && is_gone(&f->guest))
		guest_detach(&f->guest);
	if (f->guest.socket >= 0)
		return true;
	meet(f, now_ms);
	return false;
}

void
front_end_address(const struct front_end *f, unsigned frame, const struct front_end *to)
{
	struct ether_header *h = (void *)guest_frame(&f->guest, frame);

	memcpy(h->ether_dhost, &to->mac, ETH_ALEN);
	memcpy(h->ether_shost, &f->mac, ETH_ALEN);
	h->ether_type = htons(0x88b5); // for experiments
}
