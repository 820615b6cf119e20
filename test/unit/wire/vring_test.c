// A packed ring's position is recovered from the ring alone. The model is a driver and a device
// that follow the specification with explicit wrap counters; the test stops them anywhere and
// compares.
#include "../unit.h"
#include "rtvs/vring.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MAX 64

struct model {
	struct vring_packed_entry ring[MAX];
	uint16_t n, driver, device;
	bool driver_wrap, device_wrap;
	uint16_t n_outstanding; // descriptors
	uint16_t len[MAX]; // of the chain that starts here
	uint16_t next_id;
};

static void
model_init(struct model *m, uint16_t n)
{
	memset(m, 0, sizeof(*m));
	m->n = n;
	m->driver_wrap = m->device_wrap = true;
}

static void
model_add(struct model *m, uint16_t len)
{
	uint16_t head = m->driver, id = (uint16_t)(m->next_id++ % 1000);

	m->len[head] = len;
	for (uint16_t i = 0; i < len; i++) {
		struct vring_packed_entry *d = &m->ring[m->driver];

		d->id = id;
		d->addr = 0x1000;
		d->len = 100;
		d->flags = (uint16_t)((m->driver_wrap ? VRING_DESC_F_AVAIL : VRING_DESC_F_USED) |
			(i + 1 < len ? VRING_DESC_F_NEXT : 0));
		if (++m->driver == m->n) {
			m->driver = 0;
			m->driver_wrap = !m->driver_wrap;
		}
	}
	m->n_outstanding = (uint16_t)(m->n_outstanding + len);
}

static void
model_use(struct model *m)
{
	struct vring_packed_entry *d = &m->ring[m->device];
	uint16_t len = m->len[m->device];

	d->flags = m->device_wrap ? VRING_DESC_F_AVAIL | VRING_DESC_F_USED : 0;
	m->device = (uint16_t)(m->device + len);
	if (m->device >= m->n) {
		m->device = (uint16_t)(m->device - m->n);
		m->device_wrap = !m->device_wrap;
	}
	m->n_outstanding = (uint16_t)(m->n_outstanding - len);
}

static void
assert_recovers(const struct model *m)
{
	struct vring_position pos;

	assert_int_equal(vring_packed_recover(m->ring, m->n, &pos), 0);
	assert_int_equal(pos.index, m->device);
	assert_int_equal(pos.wrap, m->device_wrap);
	assert_int_equal(pos.n_unfinished, 0);
}

static void
run_model(uint16_t n, unsigned seed, unsigned steps)
{
	struct model m;

	srandom(seed);
	model_init(&m, n);
	assert_recovers(&m);
	for (unsigned i = 0; i < steps; i++) {
		const uint16_t len = 1;

		if (random() % 2 && m.n_outstanding + len <= n)
			model_add(&m, len);
		else if (m.n_outstanding)
			model_use(&m);
		assert_recovers(&m);
	}
}

static void
single_descriptor_buffers_are_recovered_anywhere(void **state)
{
	unsigned seed = unit_seed();

	(void)state;
	for (uint16_t n = 1; n <= MAX; n++)
		run_model(n, seed + n, 4000);
}

static void
chains_of_descriptors_are_refused(void **state)
{
	struct vring_position pos;
	struct model m;

	(void)state;
	model_init(&m, 16);
	model_add(&m, 3);
	assert_int_equal(vring_packed_recover(m.ring, 16, &pos), -ENOTSUP);
}

static void
batch_marked_from_its_second_buffer_on_is_reported_as_unfinished(void **state)
{
	struct vring_position pos;
	struct model m;

	(void)state;
	for (unsigned shift = 0; shift < 40; shift++) {
		uint16_t first;
		bool first_wrap;

		model_init(&m, 16);
		for (unsigned i = 0; i < shift; i++) {
			model_add(&m, 1);
			model_use(&m);
		}
		for (unsigned i = 0; i < 10; i++)
			model_add(&m, 1);
		first = m.device;
		first_wrap = m.device_wrap;
		for (unsigned i = 0; i < 5; i++)
			model_use(&m);
		// published last, never came
		m.ring[first].flags = first_wrap ? VRING_DESC_F_AVAIL : VRING_DESC_F_USED;
		assert_int_equal(vring_packed_recover(m.ring, 16, &pos), 0);
		assert_int_equal(pos.index, m.device);
		assert_int_equal(pos.wrap, m.device_wrap);
		assert_int_equal(pos.first_unfinished, first);
		assert_int_equal(pos.first_wrap, first_wrap);
		assert_int_equal(pos.n_unfinished, 5);
	}
}

static void
flags_that_no_driver_writes_are_refused(void **state)
{
	struct vring_position pos;
	struct model m;

	(void)state;
	model_init(&m, 16);
	m.ring[3].flags = VRING_DESC_F_AVAIL;
	m.ring[9].flags = VRING_DESC_F_AVAIL;
	assert_int_equal(vring_packed_recover(m.ring, 16, &pos), -EINVAL);
	assert_int_equal(vring_packed_recover(m.ring, 0, &pos), -EINVAL);
	assert_int_equal(vring_packed_recover(m.ring, VRING_PACKED_MAX + 1, &pos), -EINVAL);
}

static void
random_rings_never_lead_out_of_bounds(void **state)
{
	struct vring_packed_entry ring[MAX];
	struct vring_position pos;

	(void)state;
	srandom(unit_seed());
	for (unsigned i = 0; i < 100000; i++) {
		uint16_t n = (uint16_t)(1 + random() % MAX);
		bool lap = random() & 1;
		uint16_t step = (uint16_t)(random() % (n + 1));

		for (uint16_t k = 0; k < n; k++) {
			bool avail = k < step ? lap : !lap;

			ring[k].id = (uint16_t)(random() % 8);
			ring[k].flags =
				(uint16_t)((avail ? VRING_DESC_F_AVAIL : 0) | (random() & 1 ? VRING_DESC_F_USED : 0));
		}
		if (vring_packed_recover(ring, n, &pos))
			continue;
		assert_true(pos.index < n);
		assert_true(pos.first_unfinished < n);
		assert_true(pos.n_unfinished <= n);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(single_descriptor_buffers_are_recovered_anywhere),
		cmocka_unit_test(chains_of_descriptors_are_refused),
		cmocka_unit_test(batch_marked_from_its_second_buffer_on_is_reported_as_unfinished),
		cmocka_unit_test(flags_that_no_driver_writes_are_refused),
		cmocka_unit_test(random_rings_never_lead_out_of_bounds),
	};

	return cmocka_run_group_tests_name("vring", tests, NULL, NULL);
}
