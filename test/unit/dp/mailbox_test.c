// Packets between threads: each is taken once, in the order of its sender; a full mailbox takes no
// more; packets left in one that ends are freed. A mark is seen.
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
	return mailbox_init(&box, SIZE);
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

static void
test_burst_fits_as_far_as_there_is_room(void **state)
{
	struct rte_mbuf *pkts[SIZE], *taken[SIZE];

	(void)state;
	for (unsigned i = 0; i < SIZE; i++)
		pkts[i] = pkt_make(pool, 1);
	assert_int_equal(mailbox_put_burst(&box, pkts, SIZE - 2), SIZE - 2);
	assert_int_equal(mailbox_put_burst(&box, pkts + SIZE - 2, 2), 1);
	assert_int_equal(mailbox_put_burst(&box, pkts + SIZE - 1, 1), 0);
	assert_int_equal(mailbox_take(&box, taken, SIZE), SIZE - 1);
	assert_memory_equal(taken, pkts, (SIZE - 1) * sizeof(pkts[0]));
	pkt_free_burst(pkts, SIZE);
}

// Mailboxes of a thread, the marks of two of them in one word.
static const unsigned number[N_SENDERS] = {0, 63, MAILBOX_SET_MAX - 1};
static _Atomic unsigned n_put[N_SENDERS]; // what is in each mailbox: what is marked is seen
static struct mailbox_set set;

static void *
mark_numbered(void *arg)
{
	unsigned sender = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0; i < N_EACH; i++) {
		atomic_fetch_add_explicit(&n_put[sender], 1, memory_order_relaxed);
		mailbox_set_mark(&set, number[sender]);
		if (i % BURST == 0)
			sched_yield();
	}
	return NULL;
}

static unsigned
take_marked(void)
{
	unsigned sum = 0;

	for (uint64_t words = mailbox_set_words(&set); words; words &= words - 1) {
		unsigned word = (unsigned)__builtin_ctzll(words);

		for (uint64_t bits = mailbox_set_take(&set, word); bits; bits &= bits - 1)
			for (unsigned i = 0; i < N_SENDERS; i++)
				if (number[i] == word * 64 + (unsigned)__builtin_ctzll(bits))
					sum += atomic_exchange_explicit(&n_put[i], 0, memory_order_relaxed);
	}
	return sum;
}

static void
test_what_is_marked_is_seen(void **state)
{
	uint64_t limit = rte_rdtsc() + rte_get_tsc_hz() * WAIT_S;
	pthread_t thread[N_SENDERS];
	unsigned sum = 0;

	(void)state;
	for (uintptr_t i = 0; i < N_SENDERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, mark_numbered, (void *)i), 0);
	while (sum < N_SENDERS * N_EACH && rte_rdtsc() < limit)
		sum += take_marked();
	for (unsigned i = 0; i < N_SENDERS; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(sum, N_SENDERS * N_EACH);
	assert_int_equal(take_marked(), 0);
	assert_int_equal(mailbox_set_words(&set), 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_full_takes_no_more),
		CASE(test_what_is_left_is_freed),
		CASE(test_order_of_each_sender),
		CASE(test_burst_fits_as_far_as_there_is_room),
		CASE(test_what_is_marked_is_seen),
	};

	return cmocka_run_group_tests(tests, start, stop_eal);
}
