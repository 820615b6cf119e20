// What the look at one idle ring costs: rtvswitchd's own back end, as a worker polls it, beside
// librte_vhost's. Two guests of this process (guest.h) are connected, one to each; their receive
// rings are full and they send nothing. Polls of the two alternate, so that what disturbs the
// machine disturbs both.
//
// usage: idle_ring ROUNDS POLLS
//   -> {"own_ns": [...], "librte_ns": [...]}: ns of a poll, by round
#include "guest.h"
#include "io/device.h"
#include "io/vhost_link.h"

#include <rte_branch_prediction.h>
#include <rte_eal.h>
#include <rte_mbuf.h>
#include <rte_vhost.h>

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define OFFERED                                                                                                       \
	(UINT64_C(1) << VIRTIO_F_VERSION_1 | UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF | UINT64_C(1) << VIRTIO_NET_F_MQ | \
		UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)
#define MBUFS 1024
#define FROM_GUEST 1 // number of the ring that it sends by
#define PATIENCE_MS 10000

static struct side {
	char path[64];
	struct guest guest;
	pthread_t thread;
	char err[GUEST_ERR_SIZE];
	int rc;
} own, librte;

static struct rte_mempool *pool;
static struct guest_io io;
static struct device device;
static _Atomic int vid = -1;

static uint64_t
now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void *
connect_guest(void *arg)
{
	struct side *side = arg;
	struct guest_cfg idle = {.n_queues = 1, .n_frames = 1, .n_buffers = 1};

	side->rc = guest_open(&side->guest, side->path, &idle, side->err);
	return NULL;
}

static bool
signal_now(int fd, unsigned owner)
{
	(void)owner;
	return !eventfd_write(fd, 1);
}

static void
announce(void *arg, const uint8_t mac[6])
{
	(void)arg;
	(void)mac;
}

static void
prepare(void *arg, const struct guest_link *link, unsigned ring, struct guest_ring_cfg *cfg, bool is_first)
{
	(void)is_first;
	(void)arg;
	(void)link;
	(void)ring;
	(void)cfg;
	(void)is_first;
}

static void
close_now(void *arg, int fd, bool is_foreign)
{
	(void)arg;
	(void)is_foreign;
	close(fd);
}

static void
unmap_now(void *arg, void *at, size_t n_bytes)
{
	(void)arg;
	(void)munmap(at, n_bytes);
}

static int
wait_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, PATIENCE_MS) == 1 ? 0 : -ETIMEDOUT;
}

// Reads until the guest's two rings run.
static int
serve(struct guest_link *link, int fd)
{
	int rc = 0;

	while (!rc && guest_link_enabled(link) != 3) {
		rc = wait_readable(fd);
		if (!rc)
			rc = guest_link_read(link);
		if (!rc)
			rc = guest_link_write(link);
	}
	// The guest's last message asks for an answer.
	while (!rc && !wait_readable(fd) && !guest_link_read(link) && !guest_link_has_replies(link) &&
		pthread_tryjoin_np(own.thread, NULL))
		(void)guest_link_write(link);
	return rc;
}

static int
start_own(struct guest_link **ret_link)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct guest_link_cfg cfg = {.features = OFFERED,
		.n_pairs = 1,
		.announce = announce,
		.prepare = prepare,
		.close = close_now,
		.unmap = unmap_now};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;

	memcpy(addr.sun_path, own.path, sizeof(own.path));
	if (listener < 0 || bind(listener, (struct sockaddr *)&addr, sizeof(addr)) || listen(listener, 1) ||
		pthread_create(&own.thread, NULL, connect_guest, &own))
		return -errno;
	cfg.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	close(listener);
	if (cfg.fd < 0)
		return -errno;
	*ret_link = vhost_link_create(&cfg);
	if (!*ret_link)
		return -ENOMEM;
	rc = serve(*ret_link, cfg.fd);
	if (rc)
		return rc;
	io.signal = signal_now;
	guest_link_show(*ret_link, &io);
	device = (struct device){.io = &guest_io_ops, .priv = &io, .pool = pool};
	return 0;
}

static int
new_device(int id)
{
	vid = id;
	return 0;
}

static void
destroy_device(int id)
{
	(void)id;
}

static int
start_librte(void)
{
	static const struct rte_vhost_device_ops ops = {.new_device = new_device, .destroy_device = destroy_device};
	uint64_t end = now_ns() + PATIENCE_MS * UINT64_C(1000000);

	if (rte_vhost_driver_register(librte.path, 0) || rte_vhost_driver_callback_register(librte.path, &ops) ||
		rte_vhost_driver_start(librte.path) || pthread_create(&librte.thread, NULL, connect_guest, &librte))
		return -EIO;
	pthread_join(librte.thread, NULL);
	while (!librte.rc && vid < 0)
		if (now_ns() > end)
			return -ETIMEDOUT;
	// As a worker does it that polls.
	return librte.rc ? librte.rc : rte_vhost_enable_guest_notification(vid, FROM_GUEST, 0);
}

static double
time_own(unsigned n_polls, uint64_t *got)
{
	struct rte_mbuf *pkts[PORT_BURST];
	uint64_t begin = now_ns();

	for (unsigned i = 0; i < n_polls; i++)
		if (unlikely(!guest_io_is_quiet(&io, 0))) // as a worker looks before it reads
			*got += device.io->rx(&device, 0, pkts, PORT_BURST);
	return (double)(now_ns() - begin) / n_polls;
}

static double
time_librte(unsigned n_polls, uint64_t *got)
{
	struct rte_mbuf *pkts[PORT_BURST];
	uint64_t begin = now_ns();

	for (unsigned i = 0; i < n_polls; i++)
		*got += rte_vhost_dequeue_burst(vid, FROM_GUEST, pool, pkts, PORT_BURST);
	return (double)(now_ns() - begin) / n_polls;
}

static void
print_list(const char *name, const double *ns, unsigned n)
{
	printf("\"%s\": [", name);
	for (unsigned i = 0; i < n; i++)
		printf("%s%.3f", i ? ", " : "", ns[i]);
	printf("]");
}

static int
measure(unsigned n_rounds, unsigned n_polls)
{
	double *ours = calloc(n_rounds, sizeof(*ours)), *theirs = calloc(n_rounds, sizeof(*theirs));
	uint64_t got = 0;

	if (ours && theirs) {
		for (unsigned i = 0; i < n_rounds; i++) {
			ours[i] = time_own(n_polls, &got);
			theirs[i] = time_librte(n_polls, &got);
		}
		printf("{");
		print_list("own_ns", ours, n_rounds);
		printf(", ");
		print_list("librte_ns", theirs, n_rounds);
		printf("}\n");
	}
	free(ours);
	free(theirs);
	return got ? -EBUSY : 0; // somebody was not idle
}

int
main(int argc, char **argv)
{
	char *eal[] = {argv[0], "--no-huge", "--no-shconf", "--no-pci", "--no-telemetry", "-m", "64", "-l", "0",
		"--log-level=error", NULL};
	unsigned n_rounds = argc == 3 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
	unsigned n_polls = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
	char dir[] = "/tmp/rtvs-idle-XXXXXX";
	struct guest_link *link = NULL;
	int rc;

	if (!n_rounds || !n_polls) {
		fprintf(stderr, "usage: idle_ring ROUNDS POLLS\n");
		return 2;
	}
	if (!mkdtemp(dir) || rte_eal_init((int)RTE_DIM(eal) - 1, eal) < 0)
		return 1;
	snprintf(own.path, sizeof(own.path), "%s/own", dir);
	snprintf(librte.path, sizeof(librte.path), "%s/librte", dir);
	pool = rte_pktmbuf_pool_create("idle", MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	rc = pool ? start_own(&link) : -ENOMEM;
	if (!rc)
		rc = start_librte();
	if (!rc)
		rc = measure(n_rounds, n_polls);
	if (rc)
		fprintf(stderr, "idle_ring: %s%s%s\n", strerror(-rc), own.err, librte.err);
	(void)rte_vhost_driver_unregister(librte.path);
	unlink(own.path);
	unlink(librte.path);
	rmdir(dir);
	return rc != 0;
}
