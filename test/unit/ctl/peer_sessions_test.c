// Messages that another host's daemon did not write are counted and change nothing.
#include "ctl_clock.h"
#include "remote.h"
#include "rtvs/random.h"

#include <string.h>

#define N_RANDOM 1000000

static void
no_bit_may_be_wrong(void **state)
{
	struct fixture *f = acquainted(state);
	struct peer_msg msg = late_report(f, 100);
	struct peer_session_stamp stamp;
	struct dp_datagram good, d;

	assert_true(peer_session_send(&remote, &stamp, ctl_now_ns()));
	good = datagram(&msg, &stamp);
	for (unsigned bit = 0; bit < good.len * 8u; bit++) {
		d = good;
		d.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		peers_receive(f->ctl, &d);
	}
	for (uint16_t len = 0; len < good.len; len++) {
		d = good;
		d.len = len;
		peers_receive(f->ctl, &d);
	}
	assert_int_equal(count(f, "malformed") + count(f, "unknown_key") + count(f, "forged"), good.len * 9u);
	assert_int_equal(count(f, "accepted"), 0);
	assert_int_equal(fake_dp_n_answers(), 0);
	peers_receive(f->ctl, &good);
	assert_int_equal(count(f, "accepted"), 1);
}

static void
random_datagrams_change_nothing(void **state)
{
	struct fixture *f = acquainted(state);
	struct peer_msg msg = late_report(f, 100);
	uint64_t seed = unit_seed();
	struct peer_session_stamp stamp;
	struct dp_datagram good, d;

	assert_true(peer_session_send(&remote, &stamp, ctl_now_ns()));
	good = datagram(&msg, &stamp);
	for (unsigned i = 0; i < N_RANDOM; i++) {
		d = good;
		if (random_below(&seed, 2)) // right in form
			for (unsigned k = 0; k < 3; k++)
				d.data[8 + random_below(&seed, d.len - 8u)] ^= (uint8_t)(1 + random_below(&seed, 255));
		else
			for (d.len = (uint16_t)random_below(&seed, 200), msg.n_flows = 0; msg.n_flows < d.len;
				msg.n_flows++)
				d.data[msg.n_flows] = (uint8_t)random_next(&seed);
		if (!memcmp(d.data, good.data, good.len) && d.len == good.len)
			d.data[8] ^= 1;
		peers_receive(f->ctl, &d);
	}
	assert_int_equal(count(f, "malformed") + count(f, "unknown_key") + count(f, "forged"), N_RANDOM);
	assert_int_equal(count(f, "accepted"), 0);
	assert_int_equal(fake_dp_n_answers(), 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, forget)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(no_bit_may_be_wrong),
		T(random_datagrams_change_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
