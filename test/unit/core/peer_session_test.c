// Sessions of two daemons over a network that loses, doubles, re-orders and replays; the window
// against a list of all numbers.
#include "../unit.h"
#include "rtvs/peer_session.h"
#include "rtvs/random.h"

#include <errno.h>
#include <string.h>

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define OWN UINT64_C(0x1111)
#define PEER UINT64_C(0x2222)

static const uint32_t one_key[] = {7};

static struct peer_session
session_of(uint64_t own, uint64_t now_ns)
{
	struct peer_session s;

	assert_int_equal(peer_session_init(&s, own, one_key, 1, now_ns), 0);
	return s;
}

static struct peer_session_stamp
stamp_of(uint64_t session, uint64_t echo, uint64_t seq)
{
	return (struct peer_session_stamp){.session = session, .echo = echo, .seq = seq, .key = 7};
}

// At a time when no limit matters.
static enum peer_session_verdict
receive(struct peer_session *s, uint64_t session, uint64_t echo, uint64_t seq)
{
	static uint64_t now_ns = SECOND;
	struct peer_session_stamp stamp = stamp_of(session, echo, seq);

	now_ns += SECOND;
	enum peer_session_verdict verdict = peer_session_receive(s, &stamp, now_ns);
	assert_true(peer_session_is_consistent(s));
	return verdict;
}

static void
only_who_echoes_our_session_has_an_effect(void **state)
{
	struct peer_session s = session_of(OWN, 0);

	(void)state;
	assert_int_equal(receive(&s, PEER, 0, 1), PEER_SESSION_ELSEWHERE);
	assert_int_equal(receive(&s, PEER, OWN + 1, 2), PEER_SESSION_ELSEWHERE);
	assert_false(peer_session_is_known(&s));
	assert_int_equal(receive(&s, 0, OWN, 3), PEER_SESSION_STALE);
	assert_false(peer_session_is_known(&s));
	assert_int_equal(receive(&s, PEER, OWN, 3), PEER_SESSION_ACCEPTED);
	assert_true(peer_session_is_known(&s));
	assert_int_equal(receive(&s, PEER, 0, 4), PEER_SESSION_ELSEWHERE);
	// the refused one left no mark
	assert_int_equal(receive(&s, PEER, OWN, 4), PEER_SESSION_ACCEPTED);
	assert_int_equal(s.n_received[PEER_SESSION_ACCEPTED], 2);
	assert_int_equal(s.n_received[PEER_SESSION_ELSEWHERE], 3);
	assert_int_equal(s.n_received[PEER_SESSION_STALE], 1);
}

static void
numbers_are_accepted_once_in_any_order_within_the_window(void **state)
{
	struct peer_session s = session_of(OWN, 0);

	(void)state;
	assert_int_equal(receive(&s, PEER, OWN, 5000), PEER_SESSION_ACCEPTED);
	assert_int_equal(receive(&s, PEER, OWN, 5000), PEER_SESSION_REPLAYED);
	assert_int_equal(receive(&s, PEER, OWN, 5000 - PEER_SESSION_WINDOW), PEER_SESSION_STALE);
	assert_int_equal(receive(&s, PEER, OWN, 5000 - PEER_SESSION_WINDOW + 1), PEER_SESSION_ACCEPTED);
	assert_int_equal(receive(&s, PEER, OWN, 5000 - PEER_SESSION_WINDOW + 1), PEER_SESSION_REPLAYED);
	assert_int_equal(receive(&s, PEER, OWN, 4998), PEER_SESSION_ACCEPTED);
	assert_int_equal(receive(&s, PEER, OWN, 4999), PEER_SESSION_ACCEPTED);
	assert_int_equal(receive(&s, PEER, OWN, 4998), PEER_SESSION_REPLAYED);
	assert_int_equal(receive(&s, PEER, OWN, 5001), PEER_SESSION_ACCEPTED);
	assert_int_equal(receive(&s, PEER, OWN, 5000), PEER_SESSION_REPLAYED);
}

static void
numbers_end_with_64_bits(void **state)
{
	struct peer_session s = session_of(UINT64_MAX, 0);
	struct peer_session_stamp stamp;

	(void)state;
	assert_int_equal(receive(&s, PEER, UINT64_MAX, 0), PEER_SESSION_ACCEPTED);
	assert_int_equal(receive(&s, PEER, UINT64_MAX, UINT64_MAX), PEER_SESSION_ACCEPTED);
	assert_int_equal(receive(&s, PEER, UINT64_MAX, UINT64_MAX), PEER_SESSION_REPLAYED);
	assert_int_equal(receive(&s, PEER, UINT64_MAX, UINT64_MAX - 1), PEER_SESSION_ACCEPTED);
	assert_int_equal(receive(&s, PEER, UINT64_MAX, 0), PEER_SESSION_STALE);
	assert_int_equal(receive(&s, PEER, UINT64_MAX, UINT64_MAX - PEER_SESSION_WINDOW), PEER_SESSION_STALE);
	// Ours do not begin again in a session; the next id of ours is not 0.
	s.seq = UINT64_MAX - 1;
	assert_true(peer_session_send(&s, &stamp, 0));
	assert_true(stamp.session == UINT64_MAX && stamp.seq == UINT64_MAX);
	assert_true(peer_session_send(&s, &stamp, 0));
	assert_true(stamp.session == 1 && stamp.seq == 1 && stamp.echo == 0);
	assert_false(peer_session_is_known(&s));
	assert_true(peer_session_is_consistent(&s));
}

static void
hellos_at_the_end_of_time_do_not_wrap(void **state)
{
	struct peer_session s = session_of(OWN, UINT64_MAX - 5);
	struct peer_session_stamp stamp;

	(void)state;
	assert_true(peer_session_hello(&s, &stamp, UINT64_MAX - 4));
	assert_false(peer_session_hello(&s, &stamp, UINT64_MAX - 3));
}

#define N_NUMBERS 3000
#define N_PICKS 200000

// Random walks over the numbers from a base on, against one flag for each and the largest.
static void
window_agrees_with_a_list_of_all_numbers(void **state)
{
	static const uint64_t bases[] = {0, 61, UINT64_C(1) << 32, UINT64_MAX - N_NUMBERS + 1};
	static bool seen[N_NUMBERS];
	uint64_t rng = unit_seed();

	(void)state;
	for (unsigned b = 0; b < sizeof(bases) / sizeof(*bases); b++) {
		struct peer_session s = session_of(OWN, 0);
		uint64_t top = 0, n[PEER_SESSION_VERDICTS] = {0};

		memset(seen, 0, sizeof(seen));
		assert_int_equal(receive(&s, PEER, OWN, bases[b]), PEER_SESSION_ACCEPTED);
		seen[0] = true;
		for (unsigned i = 0; i < N_PICKS; i++) {
			uint64_t reach = i * (uint64_t)N_NUMBERS / N_PICKS + 1;
			uint64_t at = random_below(&rng, 8) ? reach - 1 - random_below(&rng, reach) % 70 :
							      random_below(&rng, reach);
			enum peer_session_verdict expected = PEER_SESSION_ACCEPTED;

			at = at < reach ? at : 0;
			if (at <= top && top - at >= PEER_SESSION_WINDOW)
				expected = PEER_SESSION_STALE;
			else if (seen[at])
				expected = PEER_SESSION_REPLAYED;
			assert_int_equal(receive(&s, PEER, OWN, bases[b] + at), expected);
			n[expected]++;
			if (expected != PEER_SESSION_ACCEPTED)
				continue;
			seen[at] = true;
			top = at > top ? at : top;
		}
		assert_true(n[PEER_SESSION_ACCEPTED] && n[PEER_SESSION_REPLAYED] && n[PEER_SESSION_STALE]);
	}
}

static void
more_than_the_rate_is_refused_and_not_marked(void **state)
{
	struct peer_session s = session_of(OWN, 0);
	struct peer_session_stamp stamp;
	uint64_t n = 0, seq = 0;

	(void)state;
	for (uint64_t i = 0; i < 10000; i++) {
		stamp = stamp_of(PEER, OWN, ++seq);
		n += peer_session_receive(&s, &stamp, i * MS) == PEER_SESSION_ACCEPTED;
	}
	assert_in_range(n, 10 * PEER_SESSION_RATE, 10 * PEER_SESSION_RATE + PEER_SESSION_RX_BURST);
	stamp = stamp_of(PEER, OWN, ++seq);
	while (peer_session_receive(&s, &stamp, 10 * SECOND) == PEER_SESSION_ACCEPTED)
		stamp.seq = ++seq;
	assert_int_equal(peer_session_receive(&s, &stamp, 10 * SECOND), PEER_SESSION_LIMITED);
	assert_int_equal(peer_session_receive(&s, &stamp, 11 * SECOND), PEER_SESSION_ACCEPTED);
	// Replays take nothing of the peer's rate.
	for (unsigned i = 0; i < 10000; i++)
		assert_int_equal(peer_session_receive(&s, &stamp, 11 * SECOND), PEER_SESSION_REPLAYED);
	stamp.seq++;
	assert_int_equal(peer_session_receive(&s, &stamp, 11 * SECOND), PEER_SESSION_ACCEPTED);
}

static void
own_datagrams_keep_the_rate_and_are_all_accepted(void **state)
{
	struct peer_session a = session_of(OWN, 0), b = session_of(PEER, 0);
	struct peer_session_stamp stamp;
	uint64_t n = 0;

	(void)state;
	assert_int_equal(receive(&a, PEER, OWN, 1), PEER_SESSION_ACCEPTED);
	for (uint64_t i = 0; i < 10000; i++) {
		if (!peer_session_send(&a, &stamp, i * MS))
			continue;
		assert_int_equal(peer_session_receive(&b, &stamp, i * MS), PEER_SESSION_ACCEPTED);
		n++;
	}
	assert_in_range(n, 10 * PEER_SESSION_RATE, 10 * PEER_SESSION_RATE + PEER_SESSION_TX_BURST);
	assert_false(peer_session_send(&a, &stamp, 9999 * MS));
}

static void
hellos_are_limited_whatever_arrives(void **state)
{
	struct peer_session s = session_of(OWN, 0);
	uint64_t n = 0, rng = unit_seed(), now_ns = 0;
	struct peer_session_stamp stamp;

	(void)state;
	for (; now_ns < 10 * SECOND; now_ns += MS) {
		stamp = stamp_of(random_next(&rng) | 1, random_next(&rng), random_next(&rng));
		assert_int_equal(peer_session_receive(&s, &stamp, now_ns), PEER_SESSION_ELSEWHERE);
		assert_true(peer_session_hello_ns(&s) <= now_ns + PEER_SESSION_HELLO_NS);
		n += peer_session_hello(&s, &stamp, now_ns);
	}
	assert_int_equal(n, 10 * SECOND / PEER_SESSION_HELLO_NS);
	// Without a peer it continues to ask, slowly. A known peer is not asked.
	n = 0;
	for (now_ns += PEER_SESSION_PROBE_NS; now_ns < 21 * SECOND; now_ns += MS)
		n += peer_session_hello(&s, &stamp, now_ns);
	assert_in_range(n, 9, 11);
	assert_int_equal(receive(&s, PEER, OWN, 1), PEER_SESSION_ACCEPTED);
	assert_true(peer_session_hello(&s, &stamp, now_ns)); // that it has been heard
	assert_true(peer_session_hello_ns(&s) == UINT64_MAX);
	assert_false(peer_session_hello(&s, &stamp, UINT64_MAX));
}

// Two daemons, the network between them, and an attacker who has recorded everything.
#define N_RECORDED 4096

struct recorded {
	struct peer_session_stamp stamp;
	unsigned to;
	uint64_t arrives_ns; // UINT64_MAX: arrived or lost
	uint64_t life; // of its sender
	bool was_accepted;
};

struct net {
	struct peer_session side[2];
	uint64_t life[2]; // number of starts
	uint64_t life_seen[2]; // latest of the peer that has had an effect
	struct recorded recorded[N_RECORDED];
	unsigned n;
	uint64_t now_ns, rng, n_accepted, n_restarts, n_replays;
	unsigned loss_percent;
};

static void
start(struct net *net, unsigned side)
{
	assert_int_equal(peer_session_init(&net->side[side], random_next(&net->rng) | 1, one_key, 1, net->now_ns), 0);
	net->life[side]++;
	net->life_seen[side] = 0;
	net->n_restarts++;
}

static void
put(struct net *net, unsigned from, const struct peer_session_stamp *stamp)
{
	struct recorded *r = &net->recorded[net->n++ % N_RECORDED];

	*r = (struct recorded){.stamp = *stamp, .to = !from, .life = net->life[from]};
	r->arrives_ns = random_below(&net->rng, 100) < net->loss_percent ?
		UINT64_MAX :
		net->now_ns + random_below(&net->rng, 20 * MS);
}

// A datagram has an effect once, and none once a later start of its sender has had one.
static void
deliver(struct net *net, struct recorded *r)
{
	if (peer_session_receive(&net->side[r->to], &r->stamp, net->now_ns) == PEER_SESSION_ACCEPTED) {
		assert_false(r->was_accepted);
		assert_true(r->life >= net->life_seen[r->to]);
		r->was_accepted = true;
		net->life_seen[r->to] = r->life;
		net->n_accepted++;
	}
	assert_true(peer_session_is_consistent(&net->side[r->to]));
}

static void
step(struct net *net, bool has_data)
{
	struct peer_session_stamp stamp;

	net->now_ns += MS;
	for (unsigned i = 0; i < N_RECORDED && i < net->n; i++) {
		if (net->recorded[i].arrives_ns > net->now_ns)
			continue;
		net->recorded[i].arrives_ns = UINT64_MAX;
		deliver(net, &net->recorded[i]);
	}
	for (unsigned side = 0; side < 2; side++) {
		if (peer_session_hello(&net->side[side], &stamp, net->now_ns))
			put(net, side, &stamp);
		if (has_data && !random_below(&net->rng, 15) &&
			peer_session_send(&net->side[side], &stamp, net->now_ns))
			put(net, side, &stamp);
	}
}

static bool
is_agreed(const struct net *net)
{
	return net->side[0].peer == net->side[1].own && net->side[1].peer == net->side[0].own;
}

static void
run(struct net *net, uint64_t ms, bool has_data)
{
	for (uint64_t i = 0; i < ms; i++)
		step(net, has_data);
}

static void
replay_everything(struct net *net)
{
	for (unsigned i = 0; i < N_RECORDED && i < net->n; i++) {
		net->n_replays++;
		deliver(net, &net->recorded[i]);
	}
}

static struct net net;

static void
daemons_find_each_other_again_whoever_restarts(void **state)
{
	(void)state;
	net = (struct net){.rng = unit_seed()};
	start(&net, 0);
	start(&net, 1);
	run(&net, 500, false);
	assert_true(is_agreed(&net));
	for (unsigned round = 0; round < 30; round++) {
		if (round % 3 != 1)
			start(&net, 0);
		if (round % 3 != 0)
			start(&net, 1);
		run(&net, 600, round % 2);
		assert_true(is_agreed(&net));
		uint64_t n_accepted = net.n_accepted;
		run(&net, 1000, true);
		assert_true(net.n_accepted > n_accepted + 50);
	}
}

static void
recorded_datagrams_of_old_sessions_have_no_effect(void **state)
{
	(void)state;
	net = (struct net){.rng = unit_seed()};
	start(&net, 0);
	start(&net, 1);
	run(&net, 2000, true);
	for (unsigned round = 0; round < 20; round++) {
		start(&net, round % 2);
		replay_everything(&net); // to one that knows nothing
		run(&net, 3000, true);
		run(&net, 100, false); // all have arrived
		assert_true(is_agreed(&net));

		uint64_t n_accepted = net.n_accepted;
		struct peer_session before[2] = {net.side[0], net.side[1]};
		replay_everything(&net); // to one that was told of the other's new start
		assert_int_equal(net.n_accepted, n_accepted);
		assert_true(is_agreed(&net));
		for (unsigned side = 0; side < 2; side++) {
			assert_true(before[side].own == net.side[side].own);
			assert_true(before[side].top == net.side[side].top);
		}
		run(&net, 1000, true); // and they go on
		assert_true(is_agreed(&net) && net.n_accepted > n_accepted + 50);
	}
	assert_true(net.n_replays > 10000);
}

// A datagram that never arrived, from a start that no side knows any more.
static void
withheld_datagram_of_an_old_start_does_not_shut_the_new_one_out(void **state)
{
	const uint64_t old = PEER + PEER_SESSION_IDS;
	struct peer_session s = session_of(OWN, 0);

	(void)state;
	assert_int_equal(receive(&s, PEER, OWN, 1), PEER_SESSION_ACCEPTED);
	assert_int_equal(receive(&s, old, OWN, 900), PEER_SESSION_ELSEWHERE);
	assert_int_equal(s.own, OWN + 1);
	// what it knew is of no use
	assert_int_equal(receive(&s, old, OWN, 901), PEER_SESSION_ELSEWHERE);
	// who is alive has heard of the next
	assert_int_equal(receive(&s, PEER, OWN + 1, 2), PEER_SESSION_ACCEPTED);
	assert_int_equal(receive(&s, old, OWN, 902), PEER_SESSION_ELSEWHERE);
	assert_true(s.own == OWN + 1 && s.peer == PEER);
}

static void
ids_of_one_start_are_accepted_in_their_order_only(void **state)
{
	struct peer_session s = session_of(OWN, 0);

	(void)state;
	assert_int_equal(receive(&s, UINT64_MAX, OWN, 50), PEER_SESSION_ACCEPTED);
	assert_int_equal(receive(&s, 1, OWN, 3), PEER_SESSION_ACCEPTED); // numbers begin again
	assert_int_equal(receive(&s, 1, OWN, 3), PEER_SESSION_REPLAYED);
	assert_int_equal(receive(&s, UINT64_MAX, OWN, 51), PEER_SESSION_STALE);
	assert_int_equal(receive(&s, PEER_SESSION_IDS, OWN, 1), PEER_SESSION_ACCEPTED);
	assert_int_equal(receive(&s, 1, OWN, 4), PEER_SESSION_STALE);
	assert_int_equal(s.own, OWN);
	// another start's
	assert_int_equal(receive(&s, 2 * PEER_SESSION_IDS, OWN, 1), PEER_SESSION_ELSEWHERE);
	assert_int_equal(s.own, OWN + 1);
}

static void
chaos_ends_in_agreement(void **state)
{
	(void)state;
	net = (struct net){.rng = unit_seed(), .loss_percent = 30};
	start(&net, 0);
	start(&net, 1);
	for (unsigned round = 0; round < 100; round++) {
		for (unsigned i = 0; i < 600; i++) {
			step(&net, true);
			if (!random_below(&net.rng, 200))
				start(&net, (unsigned)random_below(&net.rng, 2));
			for (unsigned k = 0; k < 3; k++)
				deliver(&net,
					&net.recorded[random_below(&net.rng, net.n < N_RECORDED ? net.n : N_RECORDED)]);
		}
		net.loss_percent = 0;
		run(&net, 2000, true);
		assert_true(is_agreed(&net));
		net.loss_percent = 30;
	}
	print_message(
		"%llu starts, %llu accepted\n", (unsigned long long)net.n_restarts, (unsigned long long)net.n_accepted);
	assert_true(net.n_restarts > 200 && net.n_accepted > 1000);
}

static void
keys_are_one_or_two_and_different(void **state)
{
	static const uint32_t same[] = {7, 7}, three[] = {1, 2, 3}, two[] = {7, 8};
	struct peer_session s = session_of(OWN, 0);

	(void)state;
	assert_int_equal(peer_session_set_keys(&s, same, 2), -EINVAL);
	assert_int_equal(peer_session_set_keys(&s, three, 3), -EINVAL);
	assert_int_equal(peer_session_set_keys(&s, two, 0), -EINVAL);
	assert_true(peer_session_has_key(&s, 7));
	assert_false(peer_session_has_key(&s, 8));
	assert_int_equal(peer_session_set_keys(&s, two, 2), 0);
	assert_true(peer_session_has_key(&s, 7) && peer_session_has_key(&s, 8));
	assert_int_equal(peer_session_set_keys(&s, two + 1, 1), 0);
	assert_false(peer_session_has_key(&s, 7));
	assert_int_equal(peer_session_init(&s, 0, two, 2, 0), -EINVAL);
	assert_int_equal(peer_session_init(&s, OWN, same, 2, 0), -EINVAL);
}

// All sent datagrams, on a network without loss; a side without the key ignores them. Returns data
// refused.
static unsigned
exchange(struct peer_session *side, uint64_t *now_ns, unsigned ms)
{
	unsigned n_refused = 0;

	for (uint64_t end_ns = *now_ns + ms * MS; *now_ns < end_ns; *now_ns += MS)
		for (unsigned from = 0; from < 2; from++) {
			struct peer_session_stamp stamp;
			bool is_data = *now_ns % (20 * MS) == 0;

			if (peer_session_hello(&side[from], &stamp, *now_ns) &&
				peer_session_has_key(&side[!from], stamp.key))
				(void)peer_session_receive(&side[!from], &stamp, *now_ns);
			if (!is_data || !peer_session_send(&side[from], &stamp, *now_ns))
				continue;
			if (!peer_session_has_key(&side[!from], stamp.key) ||
				peer_session_receive(&side[!from], &stamp, *now_ns) != PEER_SESSION_ACCEPTED)
				n_refused++;
		}
	return n_refused;
}

static void
new_key_on_either_side_first_loses_nothing(void **state)
{
	static const uint32_t keys[] = {7, 8, 9, 10};

	(void)state;
	for (unsigned first = 0; first < 2; first++) {
		struct peer_session side[2] = {session_of(OWN, 0), session_of(PEER, 0)};
		uint64_t now_ns = 0;

		(void)exchange(side, &now_ns, 1000);
		for (unsigned k = 0; k + 1 < sizeof(keys) / sizeof(*keys); k++) {
			assert_int_equal(peer_session_set_keys(&side[first], keys + k, 2), 0);
			assert_int_equal(exchange(side, &now_ns, 3000), 0);
			assert_int_equal(side[first].key[side[first].sends_with], keys[k]);
			assert_int_equal(peer_session_set_keys(&side[!first], keys + k, 2), 0);
			assert_int_equal(exchange(side, &now_ns, 3000), 0);
			for (unsigned i = 0; i < 2; i++)
				assert_int_equal(side[i].key[side[i].sends_with], keys[k + 1]);
			// nothing left to ask
			assert_true(peer_session_hello_ns(&side[first]) == UINT64_MAX);
			assert_int_equal(peer_session_set_keys(&side[first], keys + k + 1, 1), 0);
			assert_int_equal(exchange(side, &now_ns, 3000), 0);
			assert_int_equal(peer_session_set_keys(&side[!first], keys + k + 1, 1), 0);
			assert_int_equal(exchange(side, &now_ns, 3000), 0);
		}
	}
}

static void
key_that_the_peer_lost_is_not_used_after_its_restart(void **state)
{
	static const uint32_t two[] = {7, 8};
	struct peer_session side[2] = {session_of(OWN, 0), session_of(PEER, 0)};
	uint64_t now_ns = 0;

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(peer_session_set_keys(&side[i], two, 2), 0);
	(void)exchange(side, &now_ns, 3000);
	assert_int_equal(side[0].sends_with, 1);
	side[1] = session_of(PEER + 99, now_ns); // with the older key alone
	(void)exchange(side, &now_ns, 3000);
	assert_int_equal(exchange(side, &now_ns, 3000), 0);
	assert_int_equal(side[0].sends_with, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_who_echoes_our_session_has_an_effect),
		cmocka_unit_test(numbers_are_accepted_once_in_any_order_within_the_window),
		cmocka_unit_test(numbers_end_with_64_bits),
		cmocka_unit_test(hellos_at_the_end_of_time_do_not_wrap),
		cmocka_unit_test(window_agrees_with_a_list_of_all_numbers),
		cmocka_unit_test(more_than_the_rate_is_refused_and_not_marked),
		cmocka_unit_test(own_datagrams_keep_the_rate_and_are_all_accepted),
		cmocka_unit_test(hellos_are_limited_whatever_arrives),
		cmocka_unit_test(daemons_find_each_other_again_whoever_restarts),
		cmocka_unit_test(recorded_datagrams_of_old_sessions_have_no_effect),
		cmocka_unit_test(withheld_datagram_of_an_old_start_does_not_shut_the_new_one_out),
		cmocka_unit_test(ids_of_one_start_are_accepted_in_their_order_only),
		cmocka_unit_test(chaos_ends_in_agreement),
		cmocka_unit_test(keys_are_one_or_two_and_different),
		cmocka_unit_test(new_key_on_either_side_first_loses_nothing),
		cmocka_unit_test(key_that_the_peer_lost_is_not_used_after_its_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
