#include "guest_fixture.h"

#include <string.h>

struct guest guest[GUESTS_MAX];
static struct guest_turn *turn;

int
guests_start(void **state)
{
	(void)state;
	turn = guest_io_turn_create();
	guest_io_turn_join(turn);
	return turn ? start_eal(511) : -1;
}

int
guests_stop(void **state)
{
	guest_io_turn_destroy(turn);
	return stop_eal(state);
}

static bool
count_signal(int fd, unsigned owner)
{
	guest[owner].n_signals[fd]++;
	return true;
}

static void
begin_ring(struct guest *g, unsigned i, struct driver *d)
{
	const struct driver_cfg cfg = {.size = 256,
		.is_packed = (g - guest) % 2,
		.has_event_idx = true,
		.has_indirect = true,
		.has_mergeable = true,
		.hdr_bytes = GUEST_HDR};
	struct guest_queue *q = &g->queue[i];
	struct guest_ring_cfg ring;

	driver_init(d, &cfg, i + 1);
	ring = driver_ring_cfg(d);
	*q = (struct guest_queue){.is_enabled = true, .call = (int)i, .owner = (unsigned)(g - guest)};
	assert_int_equal(guest_ring_init(&q->ring, &ring), 0);
	assert_true(guest_ring_must_signal(&q->ring)); // the one of a new ring
	g->io.queue[i] = q;
	driver_want(d, 0);
}

int
guests_begin(void **state)
{
	(void)state;
	memset(guest, 0, sizeof(guest));
	for (struct guest *g = guest; g < guest + GUESTS_MAX; g++) {
		g->io.signal = count_signal;
		g->device = (struct device){.io = &guest_io_ops,
			.priv = &g->io,
			.pool = pool,
			.is_up = true,
			.caps = PORT_CAP_CSUM | PORT_CAP_TSO4 | PORT_CAP_TSO6 | PORT_CAP_SEGS,
			.n_txq = 1};
		begin_ring(g, GUEST_TO(0), &g->to);
		begin_ring(g, GUEST_FROM(0), &g->from);
	}
	return 0;
}

int
guests_end(void **state)
{
	(void)state;
	guest_io_turn_end();
	for (struct guest *g = guest; g < guest + GUESTS_MAX; g++) {
		driver_fini(&g->to);
		driver_fini(&g->from);
	}
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
	return 0;
}

void
guest_send(unsigned i, const struct virtio_net_hdr *hdr, const uint8_t *frame, uint32_t n)
{
	uint8_t bytes[DRIVER_AREA] = {0};

	assert_true(GUEST_HDR + n <= sizeof(bytes));
	if (hdr)
		memcpy(bytes, hdr, sizeof(*hdr));
	memcpy(bytes + GUEST_HDR, frame, n);
	assert_true(driver_offer(&guest[i].from, GUEST_HDR + n, bytes) >= 0);
}

void
guest_reuse(unsigned i)
{
	struct driver *d = &guest[i].from;
	uint32_t n;
	int id;

	while ((id = driver_reap(d, &n)) >= 0)
		for (uint32_t k = 0; k < DRIVER_AREA; k++)
			*driver_at(d, driver_area((uint16_t)id) + k) = 0xee;
}

void
guest_offer(unsigned i, uint32_t n)
{
	assert_true(driver_offer(&guest[i].to, GUEST_HDR + n, NULL) >= 0);
}

int
guest_receive(unsigned i, uint8_t *to, uint32_t max)
{
	uint8_t bytes[DRIVER_AREA];
	uint16_t n_buffers = 1;
	uint32_t sum = 0, n;

	for (uint16_t k = 0; k < n_buffers; k++) {
		int id = driver_reap(&guest[i].to, &n);

		if (id < 0 && !k)
			return -1;
		assert_true(id >= 0 && sum + n <= sizeof(bytes));
		driver_read(&guest[i].to, id, bytes + sum, n);
		sum += n;
		if (!k)
			memcpy(&n_buffers, bytes + sizeof(struct virtio_net_hdr), sizeof(n_buffers));
	}
	assert_true(sum >= GUEST_HDR && sum - GUEST_HDR <= max);
	memcpy(to, bytes + GUEST_HDR, sum - GUEST_HDR);
	return (int)(sum - GUEST_HDR);
}
