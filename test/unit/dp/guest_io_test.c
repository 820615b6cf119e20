// Rings of several guests in the turns of one worker.
#include "guest_fixture.h"

#include <string.h>

#define SIZE 60
#define LONG 9000

static void
forward(unsigned from, unsigned to)
{
	static const uint8_t frame[SIZE];
	struct rte_mbuf *m[PORT_BURST];
	struct port_refused refused = {0};

	guest_send(from, NULL, frame, SIZE);
	guest_offer(to, 2000);
	assert_int_equal(guest_io_ops.rx(&guest[from].device, 0, m, PORT_BURST), 1);
	assert_int_equal(guest_io_ops.tx(&guest[to].device, 0, m, 1, &refused), 1);
}

static bool
has_learned(struct driver *d)
{
	uint32_t n;

	return driver_reap(d, &n) >= 0;
}

static void
drivers_learn_of_all_bursts_when_the_turn_ends(void **state)
{
	unsigned *from = &guest[0].n_signals[GUEST_FROM(0)], *to = &guest[1].n_signals[GUEST_TO(0)];

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		forward(0, 1);
	assert_false(has_learned(&guest[0].from) || has_learned(&guest[1].to));
	assert_int_equal(*from + *to, 0);
	guest_io_turn_end();
	for (unsigned i = 0; i < 3; i++)
		assert_true(has_learned(&guest[0].from) && has_learned(&guest[1].to));
	assert_int_equal(*from, 1);
	assert_int_equal(*to, 1);
	guest_io_turn_end();
	assert_int_equal(*from + *to, 2);
}

// The position is behind what was delivered, before its driver knows.
static void
a_look_sees_what_was_delivered(void **state)
{
	struct chain_ring before, after;

	(void)state;
	for (unsigned i = 0; i < 2; i++) { // a split ring, and a packed one
		assert_true(guest_io_ops.look(&guest[i].device, 0, &before));
		forward(2, i);
		assert_true(guest_io_ops.look(&guest[i].device, 0, &after));
		assert_int_not_equal(after.put, before.put);
		guest_io_turn_end();
		assert_true(guest_io_ops.look(&guest[i].device, 0, &before));
		assert_int_equal(after.put, before.put);
	}
}

static unsigned
receive(unsigned i)
{
	struct rte_mbuf *m[PORT_BURST];
	unsigned n = guest_io_ops.rx(&guest[i].device, 0, m, PORT_BURST);

	rte_pktmbuf_free_bulk(m, n);
	guest_io_turn_end();
	return n;
}

static void
idle_ring_is_quiet_until_something_comes(void **state)
{
	static const uint8_t frame[SIZE], mac[6] = {2};

	(void)state;
	for (unsigned i = 0; i < 2; i++) { // a split ring, and a packed one
		struct guest_io *g = &guest[i].io;

		assert_false(guest_io_is_quiet(g, 0)); // nobody has looked yet
		for (unsigned k = 0; k < 2; k++) {
			assert_int_equal(receive(i), 0);
			assert_true(guest_io_is_quiet(g, 0));
			guest_send(i, NULL, frame, SIZE);
			assert_false(guest_io_is_quiet(g, 0));
			assert_int_equal(receive(i), 1);
			assert_false(guest_io_is_quiet(g, 0));
		}
		assert_int_equal(receive(i), 0);
		guest_io_announce(g, mac);
		assert_false(guest_io_is_quiet(g, 0));
		assert_int_equal(receive(i), 1);
		assert_true(guest_io_is_quiet(g, 0));
	}
}

// The word that was looked at is in memory that goes with the ring.
static void
ring_that_was_taken_away_is_not_looked_at(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct guest_queue *q = &guest[i].queue[GUEST_FROM(0)];
		const uint16_t *was;

		assert_int_equal(receive(i), 0);
		was = q->ring.quiet_at;
		assert_true(guest_io_is_quiet(&guest[i].io, 0));
		atomic_store(&guest[i].io.queue[GUEST_FROM(0)], NULL);
		q->ring.quiet_at = NULL; // a look would crash
		assert_false(guest_io_is_quiet(&guest[i].io, 0));
		assert_int_equal(receive(i), 0);
		q->ring.quiet_at = was;
		atomic_store(&guest[i].io.queue[GUEST_FROM(0)], q);
		assert_true(guest_io_is_quiet(&guest[i].io, 0));
	}
}

static void
a_turn_of_many_receivers_does_not_delay_the_first(void **state)
{
	(void)state;
	for (unsigned i = 1; i < 9; i++) {
		assert_false(has_learned(&guest[1].to));
		forward(0, i);
	}
	for (unsigned i = 1; i < 9; i++) {
		assert_true(has_learned(&guest[i].to));
		assert_int_equal(guest[i].n_signals[GUEST_TO(0)], 1);
	}
	assert_false(has_learned(&guest[0].from)); // what it sent may still be read
}

static void
a_turn_of_many_bursts_does_not_delay_the_first(void **state)
{
	(void)state;
	forward(0, 1);
	for (unsigned i = 0; i < 7; i++) {
		guest_io_turn_step();
		assert_false(has_learned(&guest[0].from) || has_learned(&guest[1].to));
	}
	guest_io_turn_step();
	assert_true(has_learned(&guest[0].from) && has_learned(&guest[1].to));
}

static void
assert_borrowed(const struct rte_mbuf *m, const uint8_t *frame, uint32_t n, bool is_borrowed)
{
	uint8_t copy[LONG];

	assert_int_equal(m->pkt_len, n);
	assert_memory_equal(rte_pktmbuf_read(m, 0, n, copy), frame, n);
	assert_int_equal(pkt_is_borrowed(m), is_borrowed);
}

static void
forward_frame(unsigned from, unsigned to, const uint8_t *frame, uint32_t n, bool is_borrowed)
{
	struct port_refused refused = {0};
	uint8_t got[LONG];
	struct rte_mbuf *m[PORT_BURST];

	guest_offer(to, LONG);
	assert_int_equal(guest_io_ops.rx(&guest[from].device, 0, m, PORT_BURST), 1);
	assert_borrowed(m[0], frame, n, is_borrowed);
	assert_int_equal(guest_io_ops.tx(&guest[to].device, 0, m, 1, &refused), 1);
	guest_io_turn_end();
	assert_int_equal(guest_receive(to, got, sizeof(got)), n);
	assert_memory_equal(got, frame, n);
}

// As many as there are buffers for, until a step of the turn.
static void
frames_beyond_the_most_that_may_be_borrowed_are_copied(void **state)
{
	unsigned n_borrowed = 0, n_copied = 0;
	uint8_t frame[LONG];

	(void)state;
	for (unsigned i = 0; i < LONG; i++)
		frame[i] = (uint8_t)(i * 3);
	for (unsigned i = 0; i < GUESTS_MAX; i++) {
		struct rte_mbuf *m[1];

		for (unsigned k = 0; k < 100; k++)
			guest_send(i, NULL, frame, LONG);
		while (guest_io_ops.rx(&guest[i].device, 0, m, 1)) {
			if (pkt_is_borrowed(m[0]))
				n_borrowed += m[0]->nb_segs - 1u;
			n_copied += !pkt_is_borrowed(m[0]);
			assert_borrowed(m[0], frame, LONG, pkt_is_borrowed(m[0]));
			pkt_free(m[0]);
		}
	}
	assert_true(n_copied > 0);
	assert_in_range(n_borrowed, 1024 - DRIVER_PARTS, 1024);
	guest_io_turn_step();
	guest_send(0, NULL, frame, LONG);
	forward_frame(0, 1, frame, LONG, true);
}

// All decisions are made on bytes that the guest cannot change: a frame whose headers may lie
// beyond the head is a copy as a whole.
static void
frames_with_headers_beyond_the_head_are_copied(void **state)
{
	static const struct virtio_net_hdr near = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 68},
					   far = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 69};
	uint8_t frame[LONG] = {[12] = 0x86, 0xdd, 0x60, [20] = 6};

	(void)state;
	guest_send(0, NULL, frame, LONG);
	forward_frame(0, 1, frame, LONG, true);
	guest_send(0, &near, frame, LONG);
	forward_frame(0, 1, frame, LONG, true);
	guest_send(0, &far, frame, LONG);
	forward_frame(0, 1, frame, LONG, false);
	frame[20] = 0; // hop-by-hop options
	guest_send(0, NULL, frame, LONG);
	forward_frame(0, 1, frame, LONG, false);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			drivers_learn_of_all_bursts_when_the_turn_ends, guests_begin, guests_end),
		cmocka_unit_test_setup_teardown(a_look_sees_what_was_delivered, guests_begin, guests_end),
		cmocka_unit_test_setup_teardown(idle_ring_is_quiet_until_something_comes, guests_begin, guests_end),
		cmocka_unit_test_setup_teardown(ring_that_was_taken_away_is_not_looked_at, guests_begin, guests_end),
		cmocka_unit_test_setup_teardown(
			a_turn_of_many_receivers_does_not_delay_the_first, guests_begin, guests_end),
		cmocka_unit_test_setup_teardown(
			a_turn_of_many_bursts_does_not_delay_the_first, guests_begin, guests_end),
		cmocka_unit_test_setup_teardown(
			frames_beyond_the_most_that_may_be_borrowed_are_copied, guests_begin, guests_end),
		cmocka_unit_test_setup_teardown(
			frames_with_headers_beyond_the_head_are_copied, guests_begin, guests_end),
	};

	return cmocka_run_group_tests(tests, guests_start, guests_stop);
}
