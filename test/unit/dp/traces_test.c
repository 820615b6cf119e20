// Packets that are followed to a guest and back.
#include "tunnel_fixture.h"

#define FOLLOWED_US 150 // a packet may be followed as often

static void
ask_and_answer(unsigned i)
{
	rte_delay_us_block(FOLLOWED_US);
	send_frame(1 - i, i, 0, 60);
	expect_frame(i, 60);
	rte_delay_us_block(FOLLOWED_US);
	send_frame(i, 1 - i, 0, 61);
	expect_frame(1 - i, 61);
}

static void
start_traces(void)
{
	char err[DP_ERR_SIZE];

	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(dp_trace_start(dp, guest[i].port, 10000, err), 0);
}

// An answer to one guest's followed packet is a packet to the other, which is followed, too. A
// chain whose answer is lost stands still until it ends by time; so does one whose test does not
// get its processor.
static void
guests_that_answer_each_other_are_both_followed(void **state)
{
	uint64_t end = rte_rdtsc() + 2 * rte_get_tsc_hz();
	unsigned n_left[2] = {0}, n_lost = 0, n_slow = 0;
	struct chain_record r;

	(void)state;
	plain_guests();
	start_traces();
	while (rte_rdtsc() < end || !n_left[0] || !n_left[1]) {
		uint64_t begin = rte_rdtsc();

		ask_and_answer(1);
		n_slow += rte_rdtsc() - begin > rte_get_tsc_hz() / 100;
		for (unsigned i = 0; i < 2; i++)
			while (dp_trace_next(dp, guest[i].port, &r)) {
				n_left[i] += r.left_ns != 0;
				n_lost += r.answered_ns && !r.left_ns;
			}
	}
	assert_in_range(n_lost, 0, 2 + n_slow);
}

// The next record of guest 1, while the guests talk.
static struct chain_record
next_record(void)
{
	uint64_t end = wait_limit();
	struct chain_record r;

	while (!dp_trace_next(dp, guest[1].port, &r)) {
		assert_true(rte_rdtsc() < end);
		ask_and_answer(1);
	}
	return r;
}

static void
new_trace_begins_without_records_of_the_last_one(void **state)
{
	struct timespec begin;

	(void)state;
	plain_guests();
	start_traces();
	(void)next_record();
	for (unsigned i = 0; i < 20; i++) // which no client reads
		ask_and_answer(1);
	// one stays without an answer: it ends after the new trace has begun
	for (unsigned i = 0; i < 8; i++) {
		send_frame(0, 1, 0, 60);
		expect_frame(1, 60);
	}
	dp_trace_stop(dp, guest[1].port);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	start_traces();
	for (unsigned i = 0; i < 20; i++)
		assert_true(next_record().queued_ns >= (uint64_t)begin.tv_sec * 1000000000 + (uint64_t)begin.tv_nsec);
	assert_int_equal(dp_trace_lost(dp, guest[1].port), 0);
}

// A packet from another host is followed to the guest, and the guest's answer until it leaves
// through the tunnel.
static void
trace_goes_on_through_a_tunnel(void **state)
{
	uint8_t inner[FRAME_BYTES], frame[FRAME_BYTES];
	size_t len = make_udp(inner, &far_mac, &near_mac, 100, true);
	struct chain_record r = {0};
	uint64_t end = wait_limit();
	char err[DP_ERR_SIZE];

	(void)state;
	begin_tunnel(false, 0, 0);
	assert_int_equal(dp_trace_start(dp, guest[GUEST].port, 10000, err), 0);
	while (!r.left_ns) {
		assert_true(rte_rdtsc() < end);
		rte_delay_us_block(150); // one may be followed as often
		send_tunnelled(VNI, inner, len);
		rte_pktmbuf_free(receive(GUEST));
		rte_delay_us_block(150);
		guest_sends(100);
		(void)receive_tunnelled(frame);
		(void)dp_trace_next(dp, guest[GUEST].port, &r);
	}
	assert_true(r.left_ns > r.answered_ns);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(guests_that_answer_each_other_are_both_followed),
		WITH_BRIDGE(new_trace_begins_without_records_of_the_last_one),
		WITH_BRIDGE(trace_goes_on_through_a_tunnel),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests_name("dp/traces", tests, fixture_start, fixture_stop);
}
