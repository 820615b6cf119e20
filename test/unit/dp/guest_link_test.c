// A front-end's connection from its first message to its end, and packets through its rings both
// ways: a socket, eventfds, files of memory and a model of the guest's driver stand at the other
// end.
#include "../vhost/driver.h"
#include "base/tsan.h"
#include "eal_fixture.h"
#include "io/device.h"
#include "io/vhost_link.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define F(bit) (UINT64_C(1) << (bit))
#define OFFERED                                                                                               \
	(F(VIRTIO_F_VERSION_1) | F(VIRTIO_NET_F_MRG_RXBUF) | F(VIRTIO_F_RING_PACKED) | F(VIRTIO_NET_F_CSUM) | \
		F(VIRTIO_NET_F_GUEST_CSUM) | F(VIRTIO_RING_F_EVENT_IDX) | F(VIRTIO_RING_F_INDIRECT_DESC))
#define RING 128 // descriptors
#define ROOM 16384 // bytes to move a ring by
#define SECOND (UINT64_C(1) << 32) // guest addresses of the second ring

struct region {
	uint64_t guest, n_bytes, user, offset;
};

static struct world {
	struct guest_io io;
	struct device device;
	struct guest_link *link;
	struct driver to, from; // rings of pair 0
	int socket, call[2], kick[2];
	unsigned n_hidden, n_closed, n_foreign, n_unmapped;
	struct guest_ring_pos found; // where a former device left rings, if is_found
	bool is_found;
	uint8_t mac[6];
} w;

static void
prepare(void *arg, const struct guest_link *link, unsigned ring, struct guest_ring_cfg *cfg, bool is_first)
{
	(void)arg;
	(void)link;
	(void)ring;
	if (w.is_found && is_first)
		cfg->pos = w.found;
}

static void
announce(void *arg, const uint8_t mac[6])
{
	(void)arg;
	memcpy(w.mac, mac, sizeof(w.mac));
}

static void
close_now(void *arg, int fd, bool is_foreign)
{
	(void)arg;
	w.n_closed++;
	w.n_foreign += is_foreign;
	assert_int_equal(close(fd), 0);
}

static void
unmap_now(void *arg, void *at, size_t n_bytes)
{
	(void)arg;
	w.n_unmapped++;
	assert_int_equal(munmap(at, n_bytes), 0);
}

static bool
signal_now(int fd, unsigned owner)
{
	(void)owner;
	return eventfd_write(fd, 1) == 0;
}

static unsigned
count_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static unsigned n_fds_before;

static int
begin(void **state)
{
	int pair[2];
	struct guest_link_cfg cfg = {.features = OFFERED,
		.n_pairs = 2,
		.announce = announce,
		.prepare = prepare,
		.close = close_now,
		.unmap = unmap_now};

	(void)state;
	n_fds_before = count_fds();
	memset(&w, 0, sizeof(w));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	w.io.signal = signal_now;
	w.socket = pair[0];
	cfg.fd = pair[1];
	w.link = vhost_link_create(&cfg);
	assert_non_null(w.link);
	w.device = (struct device){.io = &guest_io_ops, .priv = &w.io, .pool = pool};
	for (unsigned i = 0; i < 2; i++) {
		w.call[i] = eventfd(0, EFD_NONBLOCK);
		w.kick[i] = eventfd(0, EFD_NONBLOCK);
	}
	return 0;
}

static void
assert_no_rings(void)
{
	for (unsigned i = 0; i < VHOST_USER_MAX_RINGS; i++)
		assert_null(w.io.queue[i]);
}

static int
end(void **state)
{
	(void)state;
	guest_io_turn_end();
	guest_link_hide(w.link);
	assert_no_rings();
	guest_link_destroy(w.link);
	for (unsigned i = 0; i < 2; i++) {
		close(w.call[i]);
		close(w.kick[i]);
	}
	close(w.socket);
	if (w.to.dirty)
		driver_fini(&w.to);
	if (w.from.dirty)
		driver_fini(&w.from);
	assert_int_equal(count_fds(), n_fds_before);
	return 0;
}

static void
send_raw(const void *bytes, size_t n, const int *fds, unsigned n_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(32 * sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = n};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n_fds) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		CMSG_FIRSTHDR(&msg)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&msg)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&msg)->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), fds, n_fds * sizeof(int));
	}
	assert_int_equal(sendmsg(w.socket, &msg, 0), n);
}

// As the thread of a link does it.
static int
read_link(void)
{
	int rc = guest_link_read(w.link);

	if (rc == -EBUSY) {
		w.n_hidden++;
		guest_link_hide(w.link);
		assert_no_rings();
		rc = guest_link_read(w.link);
	}
	if (!rc)
		guest_link_show(w.link, &w.io);
	return rc;
}

static int
say(uint32_t request, const void *payload, uint32_t n, const int *fds, unsigned n_fds)
{
	uint8_t bytes[512];

	memcpy(bytes, (const uint32_t[]){request, 1, n}, 12);
	if (n)
		memcpy(bytes + 12, payload, n);
	send_raw(bytes, 12 + n, fds, n_fds);
	return read_link();
}

static int
say_u64(uint32_t request, uint64_t value, int fd)
{
	return say(request, &value, sizeof(value), &fd, fd >= 0);
}

static int
say_state(uint32_t request, uint32_t ring, uint32_t value)
{
	return say(request, (const uint32_t[]){ring, value}, 8, NULL, 0);
}

static void
start_ring(uint32_t ring, struct driver *d)
{
	uint64_t desc = DRIVER_USER + driver_ring_cfg(d).desc_guest;
	struct {
		uint32_t ring, flags;
		uint64_t desc, device, driver, log;
	} addr = {ring, 0, desc, desc + (uint64_t)(d->device - d->desc), desc + (uint64_t)(d->driver - d->desc), 0};
	uint32_t base = d->cfg.is_packed ? 0x80008000 : 0;

	assert_int_equal(say_u64(13, ring, w.call[ring]), 0);
	assert_int_equal(say_state(8, ring, d->cfg.size), 0);
	assert_int_equal(say_state(10, ring, base), 0);
	assert_int_equal(say(9, &addr, sizeof(addr), NULL, 0), 0);
	assert_int_equal(say_u64(12, ring, w.kick[ring]), 0);
	assert_int_equal(say_state(18, ring, 1), 0);
}

static void
say_memory(void)
{
	struct driver *d[2] = {&w.to, &w.from};
	struct {
		uint32_t n, unused;
		struct region region[6];
	} table = {.n = 6};
	int fds[6];

	for (unsigned i = 0; i < 6; i++) {
		const struct driver *of = d[i / 3];

		for (unsigned k = 0; k < of->mem.n_regions; k++) {
			const struct guest_region *r = &of->mem.region[k];

			if (r->host == of->host[i % 3])
				table.region[i] = (struct region){r->guest, r->n_bytes, r->user, 0};
		}
		fds[i] = of->fd[i % 3];
	}
	if (say(5, &table, sizeof(table), fds, 6))
		fail_msg("%s", guest_link_why(w.link));
}

static void
connect_guest(bool is_packed)
{
	struct driver_cfg cfg = {.size = RING,
		.room = ROOM,
		.is_packed = is_packed,
		.has_event_idx = true,
		.has_indirect = true,
		.has_mergeable = true,
		.hdr_bytes = 12};
	uint64_t features = (OFFERED & ~F(VIRTIO_F_RING_PACKED)) | F(VHOST_USER_F_PROTOCOL_FEATURES) |
		(is_packed ? F(VIRTIO_F_RING_PACKED) : 0);

	driver_init_files(&w.to, &cfg, 1, 0);
	driver_init_files(&w.from, &cfg, 2, SECOND);
	assert_int_equal(say_u64(16, VHOST_USER_PROTOCOL_FEATURES, -1), 0);
	assert_int_equal(say_u64(2, features, -1), 0);
	say_memory();
	start_ring(0, &w.to);
	start_ring(1, &w.from);
	assert_non_null(w.io.queue[0]);
	assert_non_null(w.io.queue[1]);
	assert_int_equal(guest_link_running(w.link), 3);
	assert_int_equal(guest_link_enabled(w.link), 3);
}

static bool
is_signalled(int fd)
{
	eventfd_t value;

	return eventfd_read(fd, &value) == 0;
}

static void
make_frame(uint8_t *to, uint32_t n, uint8_t mark)
{
	memset(to, 0, 12);
	for (uint32_t i = 12; i < n; i++)
		to[i] = (uint8_t)(i * 7 + mark);
}

static void
packets_go_both_ways(bool is_packed)
{
	static const uint32_t sizes[] = {60, 128, 129, 1514, 1900, 1921, 4000, 9000};
	unsigned n_free = rte_mempool_avail_count(pool);
	struct port_refused refused = {0};
	uint8_t sent[9100], got[9100];
	struct rte_mbuf *m[PORT_BURST];

	connect_guest(is_packed);
	// whatever a former device owed
	assert_true(is_signalled(w.call[0]) && is_signalled(w.call[1]));
	for (unsigned i = 0; i < RTE_DIM(sizes); i++) {
		uint32_t n = sizes[i] + 12, n_got, at = 0;

		make_frame(sent, n, (uint8_t)i);
		assert_int_equal(guest_io_ops.rx(&w.device, 0, m, PORT_BURST), 0);
		assert_true(driver_offer(&w.from, n, sent) >= 0);
		assert_int_equal(guest_io_ops.rx(&w.device, 0, m, PORT_BURST), 1);
		assert_int_equal(m[0]->pkt_len, sizes[i]);
		assert_memory_equal(rte_pktmbuf_read(m[0], 0, sizes[i], got), sent + 12, sizes[i]);
		// the guest offers nothing
		assert_int_equal(guest_io_ops.tx(&w.device, 0, m, 1, &refused), 0);
		while (at < n) {
			assert_true(driver_offer(&w.to, 3000, NULL) >= 0);
			at += 3000;
		}
		driver_want(&w.to, i % 2 ? 0 : -1);
		(void)is_signalled(w.call[0]);
		assert_int_equal(guest_io_ops.tx(&w.device, 0, m, 1, &refused), 1);
		guest_io_turn_end();
		assert_int_equal(refused.set, 0);
		assert_true(driver_reap(&w.from, &n_got) >= 0);
		// A ring that begins signals once in any case.
		assert_int_equal(is_signalled(w.call[0]), !i || i % 2);
		for (at = 0; at < n; at += n_got) {
			int id = driver_reap(&w.to, &n_got);

			assert_true(id >= 0);
			driver_read(&w.to, id, got + at, n_got);
		}
		assert_int_equal(at, n);
		assert_memory_equal(got + 12, sent + 12, sizes[i]);
	}
	assert_int_equal(w.device.guest_errors, 0);
	assert_int_equal(rte_mempool_avail_count(pool), n_free);
}

static void
packets_go_both_ways_by_split_rings(void **state)
{
	(void)state;
	packets_go_both_ways(false);
}

static void
packets_go_both_ways_by_packed_rings(void **state)
{
	(void)state;
	packets_go_both_ways(true);
}

static void
what_a_disabled_ring_sends_is_discarded(void **state)
{
	struct port_refused refused = {0};
	struct rte_mbuf *m[PORT_BURST], *out = rte_pktmbuf_alloc(pool);
	unsigned n_free = rte_mempool_avail_count(pool);
	uint8_t frame[100];
	uint32_t n;

	(void)state;
	connect_guest(false);
	make_frame(frame, sizeof(frame), 1);
	assert_int_equal(say_state(18, 0, 0), 0);
	assert_int_equal(say_state(18, 1, 0), 0);
	assert_true(driver_offer(&w.from, sizeof(frame), frame) >= 0);
	assert_true(driver_offer(&w.to, 2000, NULL) >= 0);
	assert_int_equal(guest_io_ops.rx(&w.device, 0, m, PORT_BURST), 0);
	guest_io_turn_end();
	assert_true(driver_reap(&w.from, &n) >= 0); // the specification says: taken, and discarded
	assert_non_null(rte_pktmbuf_append(out, 60));
	assert_int_equal(guest_io_ops.tx(&w.device, 0, &out, 1, &refused), 0);
	assert_int_equal(rte_mempool_avail_count(pool), n_free);
	rte_pktmbuf_free(out);
}

static void
a_frame_without_buffers_stays_with_the_guest(void **state)
{
	struct rte_mbuf *m[PORT_BURST], **all;
	unsigned n = rte_mempool_avail_count(pool);
	uint8_t frame[100];

	(void)state;
	connect_guest(false);
	make_frame(frame, sizeof(frame), 1);
	assert_true(driver_offer(&w.from, sizeof(frame), frame) >= 0);
	all = calloc(n, sizeof(*all));
	assert_int_equal(rte_pktmbuf_alloc_bulk(pool, all, n), 0);
	assert_int_equal(guest_io_ops.rx(&w.device, 0, m, PORT_BURST), 0);
	rte_pktmbuf_free_bulk(all, n);
	free(all);
	assert_int_equal(guest_io_ops.rx(&w.device, 0, m, PORT_BURST), 1);
	rte_pktmbuf_free(m[0]);
}

static void
a_ring_that_lies_is_broken_and_counted_once(void **state)
{
	struct port_refused refused = {0};
	struct rte_mbuf *m[PORT_BURST], *out = rte_pktmbuf_alloc(pool);

	(void)state;
	connect_guest(false);
	((struct vring_avail *)(void *)w.from.driver)->idx = 30000;
	((struct vring_avail *)(void *)w.to.driver)->idx = 30000;
	assert_non_null(rte_pktmbuf_append(out, 60));
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(guest_io_ops.rx(&w.device, 0, m, PORT_BURST), 0);
		assert_int_equal(guest_io_ops.tx(&w.device, 0, &out, 1, &refused), 1);
		assert_int_equal(refused.set, 1);
	}
	assert_int_equal(w.device.guest_errors, 2);
	rte_pktmbuf_free(out);
}

static void
a_ring_that_goes_is_taken_from_workers_before_its_memory_goes(void **state)
{
	uint32_t reply[5];
	unsigned n;

	(void)state;
	connect_guest(false);
	n = w.n_hidden;
	assert_int_equal(say(1, NULL, 0, NULL, 0), 0); // a query
	assert_int_equal(w.n_hidden, n);
	assert_int_equal(recv(w.socket, reply, sizeof(reply), MSG_DONTWAIT), 20);
	assert_int_equal(say_state(11, 1, 0), 0);
	assert_int_equal(w.n_hidden, n + 1);
	assert_null(w.io.queue[1]);
	assert_int_equal(guest_link_running(w.link), 1);
	assert_int_equal(recv(w.socket, reply, sizeof(reply), MSG_DONTWAIT), 20);
	assert_int_equal(reply[0], 11);
	assert_int_equal(reply[3], 1);
	n = w.n_hidden;
	say_memory(); // the same once more: QEMU does so
	assert_int_equal(w.n_hidden, n + 1);
	assert_int_equal(w.n_unmapped, 6);
	assert_non_null(w.io.queue[0]);
	assert_int_equal(say_u64(19, UINT64_C(0x060504030201), -1), 0);
	assert_memory_equal(w.mac, ((uint8_t[]){1, 2, 3, 4, 5, 6}), 6);
	assert_int_equal(say_u64(20, 9000, -1), 0);
	assert_int_equal(guest_link_mtu(w.link), 9000);
}

static void
take_frame(uint8_t mark)
{
	struct rte_mbuf *m[PORT_BURST];
	uint8_t frame[100], copy[100];
	uint32_t n;

	make_frame(frame, sizeof(frame), mark);
	assert_true(driver_offer(&w.from, sizeof(frame), frame) >= 0);
	assert_int_equal(guest_io_ops.rx(&w.device, 0, m, PORT_BURST), 1);
	assert_memory_equal(rte_pktmbuf_read(m[0], 0, sizeof(frame) - 12, copy), frame + 12, sizeof(frame) - 12);
	rte_pktmbuf_free(m[0]);
	guest_io_turn_end();
	assert_true(driver_reap(&w.from, &n) >= 0);
}

static void
deliver_frame(uint8_t mark)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	struct port_refused refused = {0};
	uint8_t frame[100], got[2000];
	uint32_t n;

	make_frame(frame, sizeof(frame), mark);
	memcpy(rte_pktmbuf_append(m, sizeof(frame) - 12), frame + 12, sizeof(frame) - 12);
	assert_true(driver_offer(&w.to, sizeof(got), NULL) >= 0);
	assert_int_equal(guest_io_ops.tx(&w.device, 0, &m, 1, &refused), 1);
	guest_io_turn_end();
	driver_read(&w.to, driver_reap(&w.to, &n), got, sizeof(frame));
	assert_int_equal(n, sizeof(frame));
	assert_memory_equal(got + 12, frame + 12, sizeof(frame) - 12);
}

// As a front-end does it whose guest resets one ring: the other one goes on meanwhile. Frames that
// were sent and not taken went with the former ring.
static void
move_ring(uint32_t ring, uint16_t size, uint32_t at)
{
	uint8_t frame[100], reply[20];

	if (ring) {
		make_frame(frame, sizeof(frame), 0);
		assert_true(driver_offer(&w.from, sizeof(frame), frame) >= 0);
	}
	assert_int_equal(say_state(11, ring, 0), 0);
	assert_int_equal(recv(w.socket, reply, sizeof(reply), MSG_DONTWAIT), sizeof(reply));
	assert_int_equal(guest_link_running(w.link), 2u >> ring);
	driver_move(ring ? &w.from : &w.to, size, at);
	if (ring)
		deliver_frame(1);
	else
		take_frame(1);
	start_ring(ring, ring ? &w.from : &w.to);
}

static void
rings_move(bool is_packed)
{
	static const struct {
		uint16_t size;
		uint32_t at;
	} rings[] = {{RING / 2, 64}, {DRIVER_MAX, ROOM / 2}, {16, 0}, {RING, 0}};

	connect_guest(is_packed);
	for (unsigned i = 0; i < RTE_DIM(rings); i++)
		for (uint32_t ring = 0; ring < 2; ring++) {
			move_ring(ring, rings[i].size, rings[i].at);
			for (unsigned k = 0; k < 2u * DRIVER_MAX + 1; k++) {
				take_frame((uint8_t)k);
				deliver_frame((uint8_t)k);
			}
		}
	assert_int_equal(w.device.guest_errors, 0);
}

static void
split_rings_move_and_change_their_size(void **state)
{
	(void)state;
	rings_move(false);
}

static void
packed_rings_move_and_change_their_size(void **state)
{
	(void)state;
	rings_move(true);
}

// Where the driver kicks, as the device says it.
static uint16_t
kick_at(const struct driver *d)
{
	uint16_t event;

	memcpy(&event, ((struct vring_used *)(void *)d->device)->ring + d->cfg.size, sizeof(event));
	return event;
}

static void
drivers_do_not_kick_unless_they_are_asked(void **state)
{
	(void)state;
	connect_guest(false);
	// Half a circle ahead. Also of the ring that no packet has come for.
	assert_int_equal(kick_at(&w.from), 1 << 15);
	assert_int_equal(kick_at(&w.to), 1 << 15);
}

static void
a_worker_is_woken_by_a_kick_that_it_asked_for(void **state)
{
	uint8_t frame[100];
	struct rte_mbuf *m[PORT_BURST];

	(void)state;
	connect_guest(false);
	make_frame(frame, sizeof(frame), 1);
	assert_true(guest_io_ops.arm(&w.device, 0, true) >= 0);
	assert_int_equal(guest_io_ops.arm(&w.device, 1, true), -2); // no such ring so far
	assert_int_equal(kick_at(&w.from), 0); // at the next buffer
	assert_true(driver_offer(&w.from, sizeof(frame), frame) >= 0);
	assert_int_equal(guest_io_ops.rx(&w.device, 0, m, PORT_BURST), 1);
	rte_pktmbuf_free(m[0]);
}

static void
foreign_descriptors_end_the_connection(void **state)
{
	int pipes[2], many[16];

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(say_u64(13, 0, pipes[1]), -EPROTO);
	assert_int_equal(w.n_foreign, 1);
	assert_true(strlen(guest_link_why(w.link)) > 0);
	close(pipes[0]);
	close(pipes[1]);
	assert_int_equal(end(state), 0);
	begin(state);
	many[0] = memfd_create("no eventfd", MFD_CLOEXEC);
	assert_int_equal(say_u64(13, 0, many[0]), -EPROTO);
	close(many[0]);
	assert_int_equal(w.n_foreign, 0);
	assert_int_equal(end(state), 0);
	begin(state);
	for (unsigned i = 0; i < 16; i++)
		many[i] = w.call[0];
	assert_int_equal(say(1, NULL, 0, many, 16), -EPROTO); // more than any message has
	assert_int_equal(end(state), 0);
	begin(state);
}

// They may hold any descriptor, so that the socket's end may wait.
static void
socket_with_messages_that_nobody_read_is_foreign(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		if (i)
			send_raw("unread", 6, &w.call[0], 1);
		assert_int_equal(end(state), 0);
		assert_int_equal(w.n_foreign, i);
		begin(state);
	}
}

static void
memory_that_is_shorter_than_it_is_said_to_be_is_refused(void **state)
{
	struct {
		uint32_t n, unused;
		struct region region;
	} table = {.n = 1, .region = {0, 8192, 0, 0}};
	int fd = memfd_create("short", MFD_CLOEXEC);
	static const struct {
		uint64_t n_bytes, offset;
		int rc;
	} cases[] = {{8192, 0, 0}, {8193, 0, -EPROTO}, {8192, 1, -EPROTO}, {8192, UINT64_MAX - 4095, -EPROTO},
		{4096, 4096, 0}, {UINT64_MAX, 0, -EPROTO}};

	for (unsigned i = 0; i < RTE_DIM(cases); i++) {
		assert_int_equal(ftruncate(fd, 8192), 0);
		table.region.n_bytes = cases[i].n_bytes;
		table.region.offset = cases[i].offset;
		assert_int_equal(say(5, &table, sizeof(table), &fd, 1), cases[i].rc);
		n_fds_before++; // fd
		assert_int_equal(end(state), 0);
		begin(state);
		n_fds_before--;
	}
	close(fd);
}

// Nothing of it is in memory: a front-end that maps more would leave other guests no addresses.
static void
memory_takes_no_more_than_its_part_of_the_address_space(void **state)
{
	struct {
		uint32_t n, unused;
		struct region region;
	} table = {.n = 1, .region = {0, UINT64_C(1) << 43, 0, 0}};
	int fd = memfd_create("huge", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(ftruncate(fd, INT64_MAX & ~4095), 0);
#ifndef RTVS_TSAN // which has less room
	assert_int_equal(say(5, &table, sizeof(table), &fd, 1), 0);
	assert_int_equal(say(5, &table, sizeof(table), &fd, 1), 0); // instead of the former
#endif
	table.region.n_bytes += 4096;
	assert_int_equal(say(5, &table, sizeof(table), &fd, 1), -EPROTO);
	close(fd);
}

static void
a_front_end_that_goes_is_noticed(void **state)
{
	(void)state;
	connect_guest(false);
	shutdown(w.socket, SHUT_RDWR);
	assert_true(guest_link_is_hung_up(w.link));
	assert_int_equal(guest_link_read(w.link), -ECONNRESET);
}

// The front-end says another position, which it had before the former device's end.
static void
a_ring_goes_on_where_a_former_device_left_it(void **state)
{
	(void)state;
	w.found = (struct guest_ring_pos){.avail = 7, .used = 7, .avail_wrap = true, .used_wrap = true};
	w.is_found = true;
	connect_guest(true);
	assert_int_equal(w.io.queue[0]->ring.pos.avail, 7);
	assert_int_equal(w.io.queue[1]->ring.pos.used, 7);
}

static struct guest_turn *turn;

static unsigned
count_maps(const char *name)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, name) != NULL;
	(void)fclose(f);
	return n;
}

// Before a hand-over. What no map can have is no error of it: its own link is refused.
static void
memory_that_is_mapped_ahead_is_not_mapped_again(void **state)
{
	int fd = memfd_create("rtvs-ahead", MFD_CLOEXEC);
	uint8_t *host, *other;

	(void)state;
	assert_int_equal(ftruncate(fd, 4 * 4096), 0);
	assert_int_equal(guest_link_warm(fd, 0, 4096), 0);
	assert_int_equal(guest_link_warm(fd, 2 * 4096, 4096), 0);
	assert_int_equal(guest_link_warm(fd, UINT64_MAX - 4095, 4096), 0);
	assert_int_equal(guest_link_warm(fd, 0, UINT64_MAX), 0);
	assert_int_equal(guest_link_warm(-1, 0, 4096), 0);
	assert_int_equal(count_maps("rtvs-ahead"), 2);
	assert_int_equal(guest_link_map_file(w.link, fd, 0, 4096, &host), 0);
	assert_int_equal(count_maps("rtvs-ahead"), 2);
	guest_link_cool();
	assert_int_equal(count_maps("rtvs-ahead"), 1);
	assert_int_equal(guest_link_map_file(w.link, fd, 0, 4096, &other), 0);
	host[0] = 7;
	assert_int_equal(other[0], 7);
	guest_link_unmap(w.link, host, 4096);
	guest_link_unmap(w.link, other, 4096);
	assert_int_equal(count_maps("rtvs-ahead"), 0);
	close(fd);
}

static int
start(void **state)
{
	(void)state;
	turn = guest_io_turn_create();
	guest_io_turn_join(turn);
	return turn ? start_eal(512) : -1;
}

static int
stop(void **state)
{
	guest_io_turn_destroy(turn);
	return stop_eal(state);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(packets_go_both_ways_by_split_rings, begin, end),
		cmocka_unit_test_setup_teardown(packets_go_both_ways_by_packed_rings, begin, end),
		cmocka_unit_test_setup_teardown(what_a_disabled_ring_sends_is_discarded, begin, end),
		cmocka_unit_test_setup_teardown(a_frame_without_buffers_stays_with_the_guest, begin, end),
		cmocka_unit_test_setup_teardown(a_ring_that_lies_is_broken_and_counted_once, begin, end),
		cmocka_unit_test_setup_teardown(
			a_ring_that_goes_is_taken_from_workers_before_its_memory_goes, begin, end),
		cmocka_unit_test_setup_teardown(split_rings_move_and_change_their_size, begin, end),
		cmocka_unit_test_setup_teardown(packed_rings_move_and_change_their_size, begin, end),
		cmocka_unit_test_setup_teardown(drivers_do_not_kick_unless_they_are_asked, begin, end),
		cmocka_unit_test_setup_teardown(a_worker_is_woken_by_a_kick_that_it_asked_for, begin, end),
		cmocka_unit_test_setup_teardown(foreign_descriptors_end_the_connection, begin, end),
		cmocka_unit_test_setup_teardown(socket_with_messages_that_nobody_read_is_foreign, begin, end),
		cmocka_unit_test_setup_teardown(memory_that_is_shorter_than_it_is_said_to_be_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(memory_takes_no_more_than_its_part_of_the_address_space, begin, end),
		cmocka_unit_test_setup_teardown(memory_that_is_mapped_ahead_is_not_mapped_again, begin, end),
		cmocka_unit_test_setup_teardown(a_front_end_that_goes_is_noticed, begin, end),
		cmocka_unit_test_setup_teardown(a_ring_goes_on_where_a_former_device_left_it, begin, end),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
