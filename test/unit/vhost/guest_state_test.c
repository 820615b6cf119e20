// A device of a packed ring dies at any step, and the next one goes on where it stood: each buffer
// that the driver offers is used once, in order, whatever the buffers are made of. Only the words
// in guest memory and the kept state survive. A state that is not of this ring is not believed.
#include "../unit.h"
#include "driver.h"
#include "rtvs/guest_state.h"
#include "rtvs/random.h"

#include <linux/virtio_ring.h>
#include <setjmp.h>
#include <string.h>

#define N_LIVES 400 // devices of one ring, one after another
#define STEPS_MAX 120 // of one life

void guest_step(void);

static struct driver d;
static struct guest_ring ring;
static struct guest_burst burst;
static uint8_t head[GUEST_BURST][GUEST_HEAD];
static struct guest_state kept;
static uint64_t seed, n_offered, n_reaped, n_resumed;
static int offered[DRIVER_MAX]; // ids from n_reaped to n_offered
static jmp_buf death;
static unsigned steps_left; // 0: it does not die

void
guest_step(void)
{
	if (steps_left && !--steps_left)
		longjmp(death, 1);
}

static uint64_t
chance(uint64_t n)
{
	return random_below(&d.random, n);
}

static void
start_device(void)
{
	struct guest_ring_cfg cfg = driver_ring_cfg(&d);

	cfg.state = &kept;
	if (guest_state_resume(&cfg))
		n_resumed++;
	assert_int_equal(guest_ring_init(&ring, &cfg), 0);
}

static void
offer(bool is_out)
{
	static const uint8_t frame[3000];

	for (uint64_t n = chance(6); n; n--) {
		int id = driver_offer(&d, 64 + (uint32_t)chance(2000), is_out ? frame : NULL);

		if (id >= 0)
			offered[n_offered++ % DRIVER_MAX] = id;
	}
}

static void
reap(void)
{
	uint32_t n;
	int id;

	// driver_reap fails where the ring contradicts itself.
	while ((id = driver_reap(&d, &n)) >= 0)
		assert_int_equal(id, offered[n_reaped++ % DRIVER_MAX]);
}

static void
serve(bool is_out)
{
	static uint8_t frame[2100];
	struct guest_piece piece = {.at = frame, .n_bytes = 60 + (uint32_t)chance(1900)};
	const struct guest_hdr hdr = {0};

	for (unsigned i = 0; i < GUEST_BURST; i++)
		burst.frame[i].head = head[i];
	if (is_out)
		(void)guest_ring_take(&ring, &burst, 1 + (unsigned)chance(4));
	else
		for (uint64_t n = chance(4); n; n--)
			(void)guest_ring_deliver(&ring, &hdr, &piece, 1);
	guest_ring_publish(&ring);
	assert_int_equal(ring.fault, GUEST_RING_FAULT_NONE);
}

static void
live(bool is_out, unsigned steps)
{
	steps_left = steps;
	if (setjmp(death))
		return;
	while (steps_left) {
		offer(is_out);
		serve(is_out);
		reap();
	}
}

static void
ring_survives_its_devices(const struct driver_cfg *cfg, bool is_out)
{
	driver_init(&d, cfg, seed);
	kept = (struct guest_state){0};
	n_offered = n_reaped = n_resumed = 0;
	start_device();
	for (unsigned i = 0; i < N_LIVES; i++) {
		live(is_out, 1 + (unsigned)chance(STEPS_MAX));
		steps_left = 0;
		// The guest goes on without a device.
		if (chance(2))
			reap();
		if (chance(2))
			offer(is_out);
		start_device();
	}
	for (unsigned i = 0; i < DRIVER_MAX; i++) {
		serve(is_out);
		reap();
	}
	assert_true(n_resumed > N_LIVES / 2);
	assert_true(n_reaped > N_LIVES / 4);
	if (is_out)
		assert_int_equal(n_reaped, n_offered);
	driver_fini(&d);
}

static void
each_buffer_is_used_once_whenever_the_device_dies(void **state)
{
	static const uint16_t sizes[] = {DRIVER_PARTS, 20, 32, DRIVER_MAX};

	(void)state;
	for (unsigned i = 0; i < 16; i++) {
		struct driver_cfg cfg = {.size = sizes[i / 4],
			.is_packed = true,
			.has_event_idx = i & 1,
			.has_indirect = i & 1,
			.has_mergeable = true,
			.hdr_bytes = 12};

		ring_survives_its_devices(&cfg, i & 2);
	}
}

static void
begin_one(void)
{
	struct driver_cfg cfg = {.size = 32, .is_packed = true, .has_mergeable = true, .hdr_bytes = 12};

	driver_init(&d, &cfg, seed);
	kept = (struct guest_state){0};
	start_device();
	while (n_offered < 8)
		offer(true);
	for (unsigned i = 0; i < 4; i++)
		serve(true);
}

static void
state_of_another_ring_is_not_believed(void **state)
{
	struct guest_state good;
	struct guest_ring_cfg cfg;

	(void)state;
	n_offered = n_reaped = 0;
	begin_one();
	good = kept;
	cfg = driver_ring_cfg(&d);
	cfg.state = &kept;
	assert_true(guest_state_resume(&cfg));
	for (unsigned i = 0; i < 7; i++) {
		kept = good;
		switch (i) {
		case 0:
			kept.version++;
			break;
		case 1:
			kept.size--;
			break;
		case 2:
			kept.desc_guest += 16;
			break;
		case 3:
			atomic_store(&kept.visible, 32);
			break;
		case 4:
			atomic_store(&kept.last, atomic_load(&good.last) | 0x7fff);
			break;
		case 5:
			atomic_store(&kept.last, atomic_load(&good.last) | 0x7fff0000);
			break;
		default:
			atomic_store(&kept.last, 0);
		}
		cfg = driver_ring_cfg(&d);
		cfg.state = &kept;
		assert_false(guest_state_resume(&cfg));
		assert_int_equal(cfg.pos.avail, 0);
	}
	kept = good;
	cfg = driver_ring_cfg(&d);
	cfg.is_packed = false;
	cfg.state = &kept;
	assert_false(guest_state_resume(&cfg));
	driver_fini(&d);
}

static void
begin_anew(void)
{
	struct driver_cfg cfg = {.size = 32, .is_packed = true, .has_mergeable = true, .hdr_bytes = 12};

	n_offered = n_reaped = 0;
	driver_init(&d, &cfg, seed);
}

// While there was no device the guest started anew: its memory is as it was, but for the ring. What
// is offered there: nothing, some of it, all. The former ring died at each step of three rounds.
static void
state_of_a_ring_that_was_set_up_anew_is_not_believed(void **state)
{
	unsigned n_kept = 0;

	(void)state;
	for (unsigned n_served = 1; n_served < 96; n_served++) {
		begin_anew();
		kept = (struct guest_state){0};
		start_device();
		while (n_reaped < n_served) {
			offer(true);
			serve(true);
			reap();
		}
		driver_fini(&d);
		begin_anew();
		for (unsigned i = 0; i < 3; i++) {
			struct guest_ring_cfg cfg = driver_ring_cfg(&d), before = cfg;

			cfg.state = &kept;
			if (guest_state_resume(&cfg))
				n_kept += memcmp(&cfg.pos, &before.pos, sizeof(cfg.pos)) != 0;
			for (unsigned k = 0; (k < 5 || i) && driver_offer(&d, 2000, NULL) >= 0; k++)
				;
		}
		driver_fini(&d);
	}
	// A chain across the ring's end leaves what a new ring may have, too.
	assert_in_range(n_kept, 0, 40);
}

static const struct driver_cfg plain = {
	.size = 32, .is_packed = true, .has_mergeable = true, .is_plain = true, .hdr_bytes = 12};

static void
begin_ring(bool is_out, unsigned n)
{
	static const uint8_t frame[2000];

	n_offered = n_reaped = 0;
	for (unsigned i = 0; i < n; i++)
		offered[n_offered++ % DRIVER_MAX] = driver_offer(&d, 2000, is_out ? frame : NULL);
	kept = (struct guest_state){0};
	start_device();
}

static void
begin_plain(bool is_out, unsigned n)
{
	driver_init(&d, &plain, seed);
	begin_ring(is_out, n);
}

static void
deliver(uint32_t n_bytes)
{
	static uint8_t frame[2000];
	struct guest_piece piece = {.at = frame, .n_bytes = n_bytes};
	const struct guest_hdr hdr = {0};

	assert_int_equal(guest_ring_deliver(&ring, &hdr, &piece, 1), 0);
}

static unsigned
take(unsigned n)
{
	for (unsigned i = 0; i < GUEST_BURST; i++)
		burst.frame[i].head = head[i];
	return guest_ring_take(&ring, &burst, n);
}

// A device that knows no more than what the driver sees takes it again. A length of 0 there would
// stop the ring for good.
static void
first_buffer_of_a_batch_is_as_it_was_offered_until_it_is_published(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		bool is_out = i;
		uint8_t first[sizeof(struct vring_packed_desc)];
		struct guest_ring_cfg cfg;

		begin_plain(is_out, 8);
		cfg = driver_ring_cfg(&d);
		memcpy(first, d.desc, sizeof(first));
		for (unsigned k = 0; k < 3; k++)
			if (is_out)
				assert_int_equal(take(1), 1);
			else
				deliver(60);
		assert_memory_equal(d.desc, first, sizeof(first));
		assert_int_equal(guest_ring_init(&ring, &cfg), 0);
		if (is_out)
			assert_int_equal(take(1), 1);
		else
			deliver(1900);
		assert_int_equal(ring.fault, GUEST_RING_FAULT_NONE);
		driver_fini(&d);
	}
}

static void
batch_is_completed_with_the_lengths_of_all_but_the_last(void **state)
{
	static const uint32_t written[] = {12 + 60, 12 + 700, 0};
	uint32_t n;

	(void)state;
	begin_plain(false, 8);
	for (unsigned i = 0; i < 3; i++)
		deliver((uint32_t[]){60, 700, 80}[i]);
	assert_int_equal(driver_reap(&d, &n), -1);
	start_device();
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(driver_reap(&d, &n), offered[i]);
		assert_int_equal(n, written[i]);
	}
	driver_fini(&d);
}

// Another device, one that keeps no state, served the ring in between, and the driver offers all
// buffers again that it got back.
static void
state_of_before_another_device_is_not_believed(void **state)
{
	(void)state;
	// In the same memory each time: to map it anew takes a sanitizer longer than all the rest.
	driver_init(&d, &plain, seed);
	for (unsigned n_kept = 1; n_kept < 70; n_kept++)
		for (unsigned n_other = 1; n_other < 140; n_other++) {
			struct guest_ring_cfg cfg;
			struct guest_ring_pos pos;

			driver_move(&d, plain.size, 0);
			begin_ring(false, 32);
			cfg = driver_ring_cfg(&d);
			for (unsigned i = 0; i < n_kept + n_other; i++) {
				uint32_t n;

				if (i == n_kept) {
					cfg.pos = ring.pos;
					assert_int_equal(guest_ring_init(&ring, &cfg), 0);
				}
				deliver(60);
				guest_ring_publish(&ring);
				assert_true(driver_reap(&d, &n) >= 0);
				assert_true(driver_offer(&d, 2000, NULL) >= 0);
			}
			pos = ring.pos;
			cfg.pos = pos;
			cfg.state = &kept;
			if (guest_state_resume(&cfg))
				assert_memory_equal(&cfg.pos, &pos, sizeof(pos));
		}
	driver_fini(&d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_buffer_is_used_once_whenever_the_device_dies),
		cmocka_unit_test(first_buffer_of_a_batch_is_as_it_was_offered_until_it_is_published),
		cmocka_unit_test(batch_is_completed_with_the_lengths_of_all_but_the_last),
		cmocka_unit_test(state_of_another_ring_is_not_believed),
		cmocka_unit_test(state_of_before_another_device_is_not_believed),
		cmocka_unit_test(state_of_a_ring_that_was_set_up_anew_is_not_believed),
	};

	seed = unit_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
