// Rings of several guests in the turns of one worker. A model of each guest's driver stands at the
// other end.
#include "../vhost/driver.h"
#include "eal_fixture.h"
#include "io/device.h"
#include "io/guest_io.h"

#include <rte_ether.h>

#include <string.h>

#define N_GUESTS 9
#define HDR 12
#define SIZE 60

static struct guest {
	struct guest_io io;
	struct device device;
	struct guest_queue queue[2];
	struct driver to, from;
} guest[N_GUESTS];

static unsigned n_signals[2 * N_GUESTS]; // by call

static bool
count_signal(int fd, unsigned owner)
{
	(void)owner;
	n_signals[fd]++;
	return true;
}

static void
begin_ring(struct guest *g, unsigned i, struct driver *d)
{
	const struct driver_cfg cfg = {.size = 256,
		.is_packed = (g - guest) % 2,
		.has_event_idx = true,
		.has_mergeable = true,
		.hdr_bytes = HDR};
	struct guest_queue *q = &g->queue[i];
	struct guest_ring_cfg ring;

	driver_init(d, &cfg, i + 1);
	ring = driver_ring_cfg(d);
	*q = (struct guest_queue){.is_enabled = true, .call = (int)(2 * (g - guest) + i)};
	assert_int_equal(guest_ring_init(&q->ring, &ring), 0);
	assert_true(guest_ring_must_signal(&q->ring)); // the one of a new ring
	g->io.queue[i] = q;
	driver_want(d, 0);
}

static int
begin(void **state)
{
	(void)state;
	memset(guest, 0, sizeof(guest));
	memset(n_signals, 0, sizeof(n_signals));
	for (struct guest *g = guest; g < guest + N_GUESTS; g++) {
		g->io.signal = count_signal;
		g->device = (struct device){.io = &guest_io_ops, .priv = &g->io, .pool = pool};
		begin_ring(g, GUEST_TO(0), &g->to);
		begin_ring(g, GUEST_FROM(0), &g->from);
	}
	return 0;
}

static int
end(void **state)
{
	(void)state;
	guest_io_end_turn();
	for (struct guest *g = guest; g < guest + N_GUESTS; g++) {
		driver_fini(&g->to);
		driver_fini(&g->from);
	}
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
	return 0;
}

static void
offer_frame(struct guest *from)
{
	uint8_t bytes[HDR + SIZE] = {0};

	assert_true(driver_offer(&from->from, sizeof(bytes), bytes) >= 0);
}

static void
forward(struct guest *from, struct guest *to)
{
	struct rte_mbuf *m[PORT_BURST];
	struct port_refused refused = {0};
	uint16_t n = guest_io_ops.rx(&from->device, 0, m, PORT_BURST);

	assert_int_equal(n, 1);
	assert_int_equal(guest_io_ops.tx(&to->device, 0, m, n, &refused), n);
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
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		offer_frame(&guest[0]);
		assert_true(driver_offer(&guest[1].to, 2000, NULL) >= 0);
		forward(&guest[0], &guest[1]);
	}
	assert_false(has_learned(&guest[0].from) || has_learned(&guest[1].to));
	assert_int_equal(n_signals[1] + n_signals[2], 0);
	guest_io_end_turn();
	for (unsigned i = 0; i < 3; i++)
		assert_true(has_learned(&guest[0].from) && has_learned(&guest[1].to));
	assert_int_equal(n_signals[1], 1);
	assert_int_equal(n_signals[2], 1);
	guest_io_end_turn();
	assert_int_equal(n_signals[1] + n_signals[2], 2);
}

// The position is behind what was delivered, before its driver knows.
static void
a_look_sees_what_was_delivered(void **state)
{
	struct chain_ring before, after;

	(void)state;
	for (unsigned i = 0; i < 2; i++) { // a split ring, and a packed one
		struct guest *to = &guest[i];

		assert_true(guest_io_ops.look(&to->device, 0, &before));
		offer_frame(&guest[2]);
		assert_true(driver_offer(&to->to, 2000, NULL) >= 0);
		forward(&guest[2], to);
		assert_true(guest_io_ops.look(&to->device, 0, &after));
		assert_int_not_equal(after.put, before.put);
		guest_io_end_turn();
		assert_true(guest_io_ops.look(&to->device, 0, &before));
		assert_int_equal(after.put, before.put);
	}
}

static void
a_turn_of_many_receivers_does_not_delay_the_first(void **state)
{
	(void)state;
	for (unsigned i = 1; i < N_GUESTS; i++) {
		assert_false(has_learned(&guest[1].to));
		offer_frame(&guest[0]);
		assert_true(driver_offer(&guest[i].to, 2000, NULL) >= 0);
		forward(&guest[0], &guest[i]);
	}
	for (unsigned i = 1; i < N_GUESTS; i++) {
		assert_true(has_learned(&guest[i].to));
		assert_int_equal(n_signals[2 * i], 1);
	}
	assert_false(has_learned(&guest[0].from)); // what it sent may still be read
}

static void
a_turn_of_many_bursts_does_not_delay_the_first(void **state)
{
	(void)state;
	offer_frame(&guest[0]);
	assert_true(driver_offer(&guest[1].to, 2000, NULL) >= 0);
	forward(&guest[0], &guest[1]);
	for (unsigned i = 0; i < 7; i++) {
		guest_io_step();
		assert_int_equal(n_signals[1] + n_signals[2], 0);
	}
	guest_io_step();
	assert_true(has_learned(&guest[0].from) && has_learned(&guest[1].to));
	assert_int_equal(n_signals[1] + n_signals[2], 2);
}

static int
start(void **state)
{
	(void)state;
	return start_eal(511);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(drivers_learn_of_all_bursts_when_the_turn_ends, begin, end),
		cmocka_unit_test_setup_teardown(a_look_sees_what_was_delivered, begin, end),
		cmocka_unit_test_setup_teardown(a_turn_of_many_receivers_does_not_delay_the_first, begin, end),
		cmocka_unit_test_setup_teardown(a_turn_of_many_bursts_does_not_delay_the_first, begin, end),
	};

	return cmocka_run_group_tests(tests, start, stop_eal);
}
