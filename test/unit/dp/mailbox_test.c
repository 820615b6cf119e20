// Packets between threads: each that was put is taken once, in the order of who put it; a full mailbox takes no more; what is left in one
// that ends is freed.
#include "../../../src/dp/base/mailbox.h"
#include "eal_fixture.h"

#include <rte_cycles.h>

#include <pthread.h>
#include <sched.h>

#define SIZE 64
#define N_SENDERS 3
#define N_EACH 20000
#define BURST 32
#define WAIT_S 20 // for all packets
#define N_MBUFS (N_SENDERS * SIZE + SIZE)

static struct mailbox box;
static _Atomic bool is_over; // the receiver has all, or waits no longer

static int
start(void **state)
{
	(void)state;
	return start_eal(N_MBUFS);
}

static int
begin(void **state)
{
	(void)state;
	return mailbox_init(&box, "box", SIZE);
}

static int
end(void **state)
{
	(void)state;
	mailbox_fini(&box);
	assert_false(mailbox_is(&box));
	assert_int_equal(rte_mempool_avail_count(pool), N_MBUFS);
	return 0;
}

static void
test_full_takes_no_more(void **state)
{
	struct rte_mbuf *m = pkt_make(pool, 1), *taken[SIZE];

	(void)state;
	for (unsigned i = 0; i < SIZE - 1; i++)
		assert_true(mailbox_put(&box, pkt_make(pool, 1)));
	assert_false(mailbox_put(&box, m));
	assert_int_equal(mailbox_take(&box, taken, SIZE), SIZE - 1);
	assert_int_equal(mailbox_take(&box, &taken[SIZE - 1], 1), 0);
	assert_true(mailbox_put(&box, m));
	pkt_free_burst(taken, SIZE - 1);
}

static void
test_what_is_left_is_freed(void **state)
{
	struct mailbox none = {.ring = NULL};

	(void)state;
	for (unsigned i = 0; i < SIZE - 1; i++)
		assert_true(mailbox_put(&box, pkt_make(pool, 1)));
	mailbox_clear(&box);
	assert_int_equal(rte_mempool_avail_count(pool), N_MBUFS);
	assert_true(mailbox_put(&box, pkt_make(pool, 1)));
	assert_false(mailbox_is(&none));
	mailbox_clear(&none);
	mailbox_fini(&none);
}

// Numbered packets; the mailbox may be full, the pool empty for a while.
static void *
send_numbered(void *arg)
{
	uint16_t sender = (uint16_t)(uintptr_t)arg;

	for (uint32_t i = 0; i < N_EACH; i++) {
		struct rte_mbuf *m;

		while (!(m = pkt_make(pool, sizeof(i))) && !is_over)
			sched_yield();
		if (!m)
			return NULL;
		m->port = sender;
		*rte_pktmbuf_mtod(m, uint32_t *) = i;
		while (!mailbox_put(&box, m) && !is_over)
			sched_yield();
	}
	return NULL;
}

static void
test_order_of_each_sender(void **state)
{
	uint64_t limit = rte_rdtsc() + rte_get_tsc_hz() * WAIT_S;
	uint32_t next[N_SENDERS] = {0}, sum = 0, n_wrong = 0;
	struct rte_mbuf *pkts[BURST];
	pthread_t thread[N_SENDERS];

	(void)state;
	for (uintptr_t i = 0; i < N_SENDERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, send_numbered, (void *)i), 0);
	while (sum < N_SENDERS * N_EACH && rte_rdtsc() < limit) {
		unsigned n = mailbox_take(&box, pkts, BURST);

		for (unsigned i = 0; i < n; i++)
			n_wrong += *rte_pktmbuf_mtod(pkts[i], uint32_t *) != next[pkts[i]->port]++;
		pkt_free_burst(pkts, n);
		sum += n;
		if (!n)
			sched_yield();
	}
	is_over = true;
	for (unsigned i = 0; i < N_SENDERS; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(sum, N_SENDERS * N_EACH);
	assert_int_equal(n_wrong, 0);
	assert_int_equal(mailbox_take(&box, pkts, 1), 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_full_takes_no_more),
		CASE(test_what_is_left_is_freed),
		CASE(test_order_of_each_sender),
	};

	return cmocka_run_group_tests(tests, start, stop_eal);
}
