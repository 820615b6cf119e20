// The datapath's clock against the kernel's.
#include "dp_fixture.h"

// The fastest of a few readings of both clocks.
static void
read_clocks(uint64_t *ret_tsc, uint64_t *ret_ns)
{
	uint64_t fastest = UINT64_MAX;

	for (unsigned i = 0; i < 16; i++) {
		uint64_t before = rte_rdtsc(), after;
		struct timespec ts;

		clock_gettime(CLOCK_MONOTONIC, &ts);
		after = rte_rdtsc();
		if (after - before >= fastest)
			continue;
		fastest = after - before;
		*ret_tsc = before + fastest / 2;
		*ret_ns = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
	}
}

// Rates and deadlines are as exact as the clock is; DPDK rounds its frequency to 10 MHz.
static void
clock_runs_as_the_kernels_does(void **state)
{
	uint64_t tsc[2] = {0}, ns[2] = {0};
	struct dp_worker_stats s;
	double hz;

	(void)state;
	read_clocks(&tsc[0], &ns[0]);
	do
		read_clocks(&tsc[1], &ns[1]);
	while (ns[1] - ns[0] < 200000000);
	hz = (double)(tsc[1] - tsc[0]) * 1e9 / (double)(ns[1] - ns[0]);
	assert_int_equal(dp_worker_stats(dp, 0, &s), 0);
	assert_true((double)s.tsc_hz > hz * 0.9999 && (double)s.tsc_hz < hz * 1.0001);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clock_runs_as_the_kernels_does),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests_name("dp/clock", tests, fixture_start, fixture_stop);
}
