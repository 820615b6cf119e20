// Which frames of an AF_XDP socket's memory are free, whatever the kernel or another process says.
#include "../unit.h"
#include "xdp_frames.h"

#include <string.h>

#define FIRST ((uint64_t)XDP_RX_FRAMES * XDP_FRAME_SIZE)

static void
each_frame_is_taken_once(void **state)
{
	static struct xdp_frames f;
	bool is_taken[XDP_TX_FRAMES] = {0};
	uint64_t addr = 1;

	(void)state;
	xdp_frames_init(&f);
	assert_true(xdp_frames_is_consistent(&f));
	for (unsigned i = 0; i < XDP_TX_FRAMES; i++) {
		assert_true(xdp_frames_take(&f, &addr));
		assert_int_equal(addr % XDP_FRAME_SIZE, 0);
		assert_in_range(addr, FIRST, XDP_FRAMES_SIZE - XDP_FRAME_SIZE);
		assert_false(is_taken[(addr - FIRST) / XDP_FRAME_SIZE]);
		is_taken[(addr - FIRST) / XDP_FRAME_SIZE] = true;
		assert_true(xdp_frames_is_consistent(&f));
	}
	addr = 1;
	assert_false(xdp_frames_take(&f, &addr));
	assert_int_equal(addr, 1);
	for (unsigned i = 0; i < XDP_TX_FRAMES; i++)
		assert_true(xdp_frames_give(&f, FIRST + (uint64_t)i * XDP_FRAME_SIZE));
	assert_true(xdp_frames_is_consistent(&f));
	assert_int_equal(f.n_free, XDP_TX_FRAMES);
}

static void
addresses_that_cannot_be_change_nothing(void **state)
{
	static struct xdp_frames f, before;
	uint64_t addr;

	(void)state;
	xdp_frames_init(&f);
	assert_true(xdp_frames_take(&f, &addr));
	before = f;
	assert_false(xdp_frames_give(&f, 0)); // for reception
	assert_false(xdp_frames_give(&f, FIRST - XDP_FRAME_SIZE));
	assert_false(xdp_frames_give(&f, addr + 1));
	assert_false(xdp_frames_give(&f, addr + XDP_FRAME_SIZE)); // free, or beyond
	assert_false(xdp_frames_give(&f, XDP_FRAMES_SIZE));
	assert_false(xdp_frames_give(&f, UINT64_MAX));
	assert_memory_equal(&f, &before, sizeof(f));
	assert_true(xdp_frames_give(&f, addr));
	assert_false(xdp_frames_give(&f, addr)); // twice
	assert_true(xdp_frames_is_consistent(&f));
}

static void
records_that_cannot_be_are_found(void **state)
{
	static struct xdp_frames good, f;
	uint64_t addr;

	(void)state;
	xdp_frames_init(&good);
	assert_true(xdp_frames_take(&good, &addr));
	f = good;
	f.n_free = XDP_TX_FRAMES + 1;
	assert_false(xdp_frames_is_consistent(&f));
	assert_false(xdp_frames_take(&f, &addr));
	f = good;
	f.n_free--; // one is lost
	assert_false(xdp_frames_is_consistent(&f));
	f = good;
	f.free[0] = f.free[1]; // one is there twice
	assert_false(xdp_frames_is_consistent(&f));
	f = good;
	f.free[f.n_free - 1] = XDP_TX_FRAMES;
	assert_false(xdp_frames_is_consistent(&f));
	assert_false(xdp_frames_take(&f, &addr));
	f = good;
	f.is_free[f.free[0]] = 0;
	assert_false(xdp_frames_is_consistent(&f));
	memset(&f, 0, sizeof(f)); // no frame is free: so it may be
	assert_true(xdp_frames_is_consistent(&f));
}

static void
received_frames_lie_in_one_frame(void **state)
{
	(void)state;
	assert_true(xdp_frames_is_received(0, XDP_FRAME_SIZE));
	assert_true(xdp_frames_is_received(256, XDP_FRAME_SIZE - 256));
	assert_false(xdp_frames_is_received(256, XDP_FRAME_SIZE - 255));
	assert_true(xdp_frames_is_received(FIRST - XDP_FRAME_SIZE, XDP_FRAME_SIZE));
	assert_true(xdp_frames_is_received(FIRST - 1, 1));
	assert_false(xdp_frames_is_received(FIRST - 1, 2));
	assert_false(xdp_frames_is_received(FIRST, 1));
	assert_false(xdp_frames_is_received(UINT64_MAX, 1));
	assert_false(xdp_frames_is_received(0, UINT32_MAX));
	assert_int_equal(xdp_frames_base(3 * XDP_FRAME_SIZE + 256), 3 * XDP_FRAME_SIZE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_frame_is_taken_once),
		cmocka_unit_test(addresses_that_cannot_be_change_nothing),
		cmocka_unit_test(records_that_cannot_be_are_found),
		cmocka_unit_test(received_frames_lie_in_one_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
