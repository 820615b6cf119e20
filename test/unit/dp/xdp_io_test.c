// Frames of AF_XDP between rings and packets. The test is the kernel at the other end of the rings,
// and two processes use them in turn, each with what libxdp's functions keep beside a ring.
#include "base/pkt.h"
#include "eal_fixture.h"
#include "io/device.h"
#include "io/frame.h"
#include "io/xdp_io.h"
#include "rtvs/random.h"

#include <errno.h>
#include <string.h>

#define N_MBUFS 256
#define N_HANDS 1000 // hand-overs
#define N_STEPS 20 // between two

// Shared memory of the two, and what the kernel has: frames in no ring.
static struct {
	uint32_t rx_prod, rx_cons, tx_prod, tx_cons, filled_prod, filled_cons, done_prod, done_cons, flags;
	struct xdp_desc rx[XDP_RX_FRAMES], tx[XDP_TX_FRAMES];
	uint64_t filled[XDP_RX_FRAMES], done[XDP_TX_FRAMES];
	uint64_t to_receive[XDP_RX_FRAMES], to_send[XDP_TX_FRAMES];
	uint32_t n_to_receive, n_to_send;
	struct xdp_record record;
	uint8_t *frames;
} k;

static struct process {
	struct xdp_io x;
	struct device device;
} processes[2];

static struct xdp_queue
queue_of_all(void)
{
	return (struct xdp_queue){.rx = {.mask = XDP_RX_FRAMES - 1,
					  .size = XDP_RX_FRAMES,
					  .producer = &k.rx_prod,
					  .consumer = &k.rx_cons,
					  .ring = k.rx,
					  .flags = &k.flags},
		.done = {.mask = XDP_TX_FRAMES - 1,
			.size = XDP_TX_FRAMES,
			.producer = &k.done_prod,
			.consumer = &k.done_cons,
			.ring = k.done,
			.flags = &k.flags},
		.filled = {.mask = XDP_RX_FRAMES - 1,
			.size = XDP_RX_FRAMES,
			.producer = &k.filled_prod,
			.consumer = &k.filled_cons,
			.ring = k.filled,
			.flags = &k.flags},
		.tx = {.mask = XDP_TX_FRAMES - 1,
			.size = XDP_TX_FRAMES,
			.producer = &k.tx_prod,
			.consumer = &k.tx_cons,
			.ring = k.tx,
			.flags = &k.flags},
		.frames = k.frames,
		.record = &k.record,
		.fd = -1,
		.memory_fd = -1,
		.is_mapped = true};
}

static int
set_up(void **state)
{
	uint8_t *frames = k.frames;

	(void)state;
	memset(&k, 0, sizeof(k));
	k.frames = frames ? frames : calloc(1, XDP_FRAMES_SIZE);
	assert_non_null(k.frames);
	xdp_frames_init(&k.record.tx);
	for (uint32_t i = 0; i < XDP_RX_FRAMES; i++)
		k.filled[i] = (uint64_t)i * XDP_FRAME_SIZE;
	k.filled_prod = XDP_RX_FRAMES;
	for (unsigned i = 0; i < 2; i++) {
		struct process *p = &processes[i];

		memset(p, 0, sizeof(*p));
		p->x.device.queue[0] = queue_of_all();
		p->x.device.n = 1;
		p->x.mtu = 1500;
		p->x.is_running = true;
		p->device.priv = &p->x;
		p->device.io = &xdp_io_ops;
		p->device.pool = pool;
		assert_int_equal(xdp_device_resume(&p->x.device), 0);
	}
	return 0;
}

// A packet of n bytes, the first of which are its number, arrives.
static bool
kernel_receives(uint32_t number, uint32_t len)
{
	uint64_t addr;

	if (k.filled_cons == k.filled_prod)
		return false;
	addr = k.filled[k.filled_cons++ % XDP_RX_FRAMES] + 256;
	memcpy(k.frames + addr, &number, sizeof(number));
	k.rx[k.rx_prod++ % XDP_RX_FRAMES] = (struct xdp_desc){.addr = addr, .len = len};
	return true;
}

static void
kernel_takes(uint32_t n)
{
	for (; n && k.tx_cons != k.tx_prod; n--)
		k.to_send[k.n_to_send++] = k.tx[k.tx_cons++ % XDP_TX_FRAMES].addr;
}

static void
kernel_sends(uint64_t *seed, uint32_t n)
{
	for (; n && k.n_to_send; n--) {
		uint32_t i = (uint32_t)random_below(seed, k.n_to_send);

		k.done[k.done_prod++ % XDP_TX_FRAMES] = k.to_send[i];
		k.to_send[i] = k.to_send[--k.n_to_send];
	}
}

static void
note(uint8_t *is_seen, uint64_t addr)
{
	assert_true(addr < XDP_FRAMES_SIZE);
	assert_false(is_seen[addr / XDP_FRAME_SIZE]); // it would be used twice
	is_seen[addr / XDP_FRAME_SIZE] = 1;
}

// Each frame is in one place.
static void
assert_all_frames(void)
{
	uint8_t is_seen[XDP_RX_FRAMES + XDP_TX_FRAMES] = {0};

	for (uint32_t i = k.filled_cons; i != k.filled_prod; i++)
		note(is_seen, k.filled[i % XDP_RX_FRAMES]);
	for (uint32_t i = k.rx_cons; i != k.rx_prod; i++)
		note(is_seen, k.rx[i % XDP_RX_FRAMES].addr);
	for (uint32_t i = k.tx_cons; i != k.tx_prod; i++)
		note(is_seen, k.tx[i % XDP_TX_FRAMES].addr);
	for (uint32_t i = k.done_cons; i != k.done_prod; i++)
		note(is_seen, k.done[i % XDP_TX_FRAMES]);
	for (uint32_t i = 0; i < k.n_to_send; i++)
		note(is_seen, k.to_send[i]);
	for (uint32_t i = 0; i < XDP_TX_FRAMES; i++)
		if (k.record.tx.is_free[i])
			note(is_seen, (uint64_t)(XDP_RX_FRAMES + i) * XDP_FRAME_SIZE);
	assert_null(memchr(is_seen, 0, sizeof(is_seen))); // it would be lost
	assert_true(xdp_frames_is_consistent(&k.record.tx));
}

static struct rte_mbuf *
packet(uint16_t len, unsigned n_parts)
{
	struct rte_mbuf *first = NULL;

	for (unsigned i = 0; i < n_parts; i++) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

		assert_non_null(m);
		memset(rte_pktmbuf_append(m, len), 'a' + (int)i, len);
		if (first)
			assert_int_equal(rte_pktmbuf_chain(first, m), 0);
		else
			first = m;
	}
	return first;
}

static void
no_frame_is_lost_in_a_thousand_hand_overs(void **state)
{
	uint64_t seed = unit_seed();
	uint32_t n_sent = 0, n_arrived = 0, next = 0;

	(void)state;
	for (unsigned hand = 0; hand < N_HANDS; hand++) {
		struct process *p = &processes[hand % 2];

		assert_int_equal(xdp_device_resume(&p->x.device), 0);
		for (unsigned step = 0; step < N_STEPS; step++) {
			struct rte_mbuf *pkts[PORT_BURST];
			struct port_refused refused = {0};
			uint16_t n = (uint16_t)random_below(&seed, PORT_BURST + 1), got;

			for (uint64_t i = random_below(&seed, 64); i; i--)
				n_arrived += kernel_receives(n_arrived, 60);
			got = xdp_io_ops.rx(&p->device, 0, pkts, n);
			for (uint16_t i = 0; i < got; i++)
				assert_int_equal(*rte_pktmbuf_mtod(pkts[i], uint32_t *), next++);
			n = xdp_io_ops.tx(&p->device, 0, pkts, got, &refused);
			assert_int_equal(refused.set, 0);
			n_sent += n;
			while (got > n)
				pkt_free(pkts[--got]);
			kernel_takes((uint32_t)random_below(&seed, 64));
			kernel_sends(&seed, (uint32_t)random_below(&seed, 48));
		}
		assert_all_frames();
	}
	assert_true(n_sent > N_HANDS && next > N_HANDS);
	assert_int_equal(rte_mempool_avail_count(pool), N_MBUFS);
	assert_int_equal(processes[0].device.guest_errors + processes[1].device.guest_errors, 0);
}

static void
bytes_are_those_of_the_packet(void **state)
{
	struct process *p = &processes[0];
	struct port_refused refused = {0};
	struct rte_mbuf *m = packet(600, 2), *got;
	struct xdp_desc *d = &k.tx[0];

	(void)state;
	assert_int_equal(xdp_io_ops.tx(&p->device, 0, &m, 1, &refused), 1);
	assert_int_equal(d->len, 1200);
	assert_int_equal(k.frames[d->addr], 'a');
	assert_int_equal(k.frames[d->addr + 599], 'a');
	assert_int_equal(k.frames[d->addr + 600], 'b');
	assert_int_equal(k.frames[d->addr + 1199], 'b');
	// Longer than one buffer.
	assert_true(kernel_receives(7, 3840));
	k.frames[256 + 3839] = 'z';
	assert_int_equal(xdp_io_ops.rx(&p->device, 0, &got, 1), 1);
	assert_int_equal(got->pkt_len, 3840);
	assert_int_equal(got->nb_segs, 2);
	assert_int_equal(*rte_pktmbuf_mtod_offset(got->next, char *, got->next->data_len - 1), 'z');
	pkt_free(got);
	assert_all_frames();
}

static void
frame_that_is_too_long_is_refused(void **state)
{
	struct process *p = &processes[0];
	struct port_refused refused = {0};
	struct rte_mbuf *m[] = {packet(1500 + FRAME_EXTRA, 1), packet(1500 + FRAME_EXTRA + 1, 1), packet(60, 1)};

	(void)state;
	assert_int_equal(xdp_io_ops.tx(&p->device, 0, m, 3, &refused), 3);
	assert_int_equal(refused.set, 2);
	assert_int_equal(refused.why[1], DROP_REFUSED);
	assert_int_equal(k.tx_prod, 2);
	pkt_free(m[1]);
	p->x.mtu = 9000; // as no port has: a frame has no room for it
	m[0] = packet(1024, 4); // one frame's
	m[1] = packet(1025, 4);
	refused.set = 0;
	assert_int_equal(xdp_io_ops.tx(&p->device, 0, m, 2, &refused), 2);
	assert_int_equal(refused.set, 2);
	pkt_free(m[1]);
	assert_all_frames();
}

static void
full_ring_takes_the_rest_later(void **state)
{
	struct process *p = &processes[0];
	struct port_refused refused = {0};
	struct rte_mbuf *m[PORT_BURST];
	uint64_t seed = 1;

	(void)state;
	for (unsigned i = 0; i < XDP_TX_FRAMES; i++) {
		m[0] = packet(60, 1);
		assert_int_equal(xdp_io_ops.tx(&p->device, 0, m, 1, &refused), 1);
	}
	m[0] = packet(60, 1);
	assert_int_equal(xdp_io_ops.tx(&p->device, 0, m, 1, &refused), 0);
	kernel_takes(1); // it has the frame still
	assert_int_equal(xdp_io_ops.tx(&p->device, 0, m, 1, &refused), 0);
	kernel_sends(&seed, 1);
	assert_int_equal(xdp_io_ops.tx(&p->device, 0, m, 1, &refused), 1);
	assert_all_frames();
}

static void
packets_without_a_buffer_wait(void **state)
{
	struct process *p = &processes[0];
	struct rte_mbuf *held[N_MBUFS + 1], *m[2];
	unsigned n = 0;

	(void)state;
	assert_true(kernel_receives(5, 60) && kernel_receives(6, 3000));
	while ((held[n] = rte_pktmbuf_alloc(pool)))
		n++;
	assert_int_equal(xdp_io_ops.rx(&p->device, 0, m, 2), 0);
	assert_int_equal(k.rx_cons, 0);
	pkt_free(held[--n]);
	pkt_free(held[--n]);
	assert_int_equal(xdp_io_ops.rx(&p->device, 0, m, 2), 1); // the second needs two
	assert_int_equal(*rte_pktmbuf_mtod(m[0], uint32_t *), 5);
	pkt_free(m[0]);
	assert_int_equal(xdp_io_ops.rx(&p->device, 0, m, 2), 1);
	assert_int_equal(*rte_pktmbuf_mtod(m[0], uint32_t *), 6);
	pkt_free(m[0]);
	while (n)
		pkt_free(held[--n]);
	assert_all_frames();
	assert_int_equal(rte_mempool_avail_count(pool), N_MBUFS);
}

static void
descriptors_that_cannot_be_are_counted(void **state)
{
	struct process *p = &processes[0];
	struct rte_mbuf *m[4];

	(void)state;
	k.rx[0] = (struct xdp_desc){.addr = XDP_FRAMES_SIZE, .len = 60};
	k.rx[1] = (struct xdp_desc){.addr = 256, .len = XDP_FRAME_SIZE};
	k.rx[2] = (struct xdp_desc){.addr = (uint64_t)XDP_RX_FRAMES * XDP_FRAME_SIZE, .len = 60};
	k.rx_prod = 3;
	assert_int_equal(xdp_io_ops.rx(&p->device, 0, m, 4), 0);
	assert_int_equal(k.rx_cons, 3);
	assert_int_equal(k.filled_prod, XDP_RX_FRAMES); // none is used again
	k.done[0] = 0;
	k.done_prod = 1;
	m[0] = packet(60, 1);
	assert_int_equal(xdp_io_ops.tx(&p->device, 0, m, 1, &(struct port_refused){0}), 1);
	assert_int_equal(p->device.guest_errors, 4);
	assert_true(xdp_frames_is_consistent(&k.record.tx));
}

static void
what_waits_is_discarded(void **state)
{
	struct process *p = &processes[0];
	struct rte_mbuf *m;

	(void)state;
	for (uint32_t i = 0; i < XDP_RX_FRAMES; i++)
		assert_true(kernel_receives(i, 60));
	assert_false(kernel_receives(0, 60));
	xdp_io_discard(&p->x);
	assert_all_frames();
	assert_int_equal(xdp_io_ops.rx(&p->device, 0, &m, 1), 0);
	assert_true(kernel_receives(9, 60));
	assert_int_equal(xdp_io_ops.rx(&p->device, 0, &m, 1), 1);
	assert_int_equal(*rte_pktmbuf_mtod(m, uint32_t *), 9);
	pkt_free(m);
}

static void
stopped_device_does_nothing(void **state)
{
	struct process *p = &processes[0];
	struct rte_mbuf *m = packet(60, 1), *got;

	(void)state;
	assert_true(kernel_receives(1, 60));
	p->x.is_running = false;
	assert_int_equal(xdp_io_ops.rx(&p->device, 0, &got, 1), 0);
	assert_int_equal(xdp_io_ops.tx(&p->device, 0, &m, 1, &(struct port_refused){0}), 0);
	assert_int_equal(xdp_io_ops.arm(&p->device, 0, true), -2);
	p->x.is_running = true;
	assert_int_equal(xdp_io_ops.arm(&p->device, 1, true), -2); // there is no such queue
	assert_int_equal(xdp_io_ops.rx(&p->device, 1, &got, 1), 0);
	assert_int_equal(xdp_io_ops.arm(&p->device, 0, true), -1); // its descriptor
	k.record.tx.n_free = XDP_TX_FRAMES + 1;
	assert_int_equal(xdp_device_resume(&p->x.device), -EPROTO);
	pkt_free(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(no_frame_is_lost_in_a_thousand_hand_overs, set_up),
		cmocka_unit_test_setup(bytes_are_those_of_the_packet, set_up),
		cmocka_unit_test_setup(frame_that_is_too_long_is_refused, set_up),
		cmocka_unit_test_setup(full_ring_takes_the_rest_later, set_up),
		cmocka_unit_test_setup(packets_without_a_buffer_wait, set_up),
		cmocka_unit_test_setup(descriptors_that_cannot_be_are_counted, set_up),
		cmocka_unit_test_setup(what_waits_is_discarded, set_up),
		cmocka_unit_test_setup(stopped_device_does_nothing, set_up),
	};

	if (start_eal(N_MBUFS))
		return 1;
	return cmocka_run_group_tests(tests, NULL, stop_eal);
}
