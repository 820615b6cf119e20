// Operations on a packet's bytes: no other owner sees a change, the packet's metadata stay with it,
// and without buffers nothing is left behind.
#include "eal_fixture.h"

#include <rte_mbuf.h>

#include <string.h>

#define N_MBUFS 8
#define LEN 100

static int
start(void **state)
{
	(void)state;
	return start_eal(N_MBUFS) || pkt_init() ? -1 : 0; // the second time nothing happens
}

// Nothing leaks, whatever the case did.
static int
nothing_is_left(void **state)
{
	(void)state;
	assert_int_equal(rte_mempool_avail_count(pool), N_MBUFS);
	return 0;
}

static struct rte_mbuf *
numbered(uint16_t len)
{
	struct rte_mbuf *m = pkt_make(pool, len);

	assert_non_null(m);
	for (uint16_t i = 0; i < len; i++)
		rte_pktmbuf_mtod(m, uint8_t *)[i] = (uint8_t)i;
	m->port = 7;
	m->ol_flags |= pkt_fields.is_followed;
	*pkt_trace_id(m) = 42;
	pkt_item(m)->arrival_ns = 123;
	return m;
}

static void
assert_numbered(const struct rte_mbuf *m, uint16_t len)
{
	uint8_t copy[2 * LEN];
	const uint8_t *data = rte_pktmbuf_read(m, 0, len, copy);

	assert_non_null(data);
	for (uint16_t i = 0; i < len; i++)
		assert_int_equal(data[i], (uint8_t)i);
	assert_int_equal(m->port, 7);
	assert_true(m->ol_flags & pkt_fields.is_followed);
	assert_int_equal(m->hash.usr, 42);
}

static void
take_all(struct rte_mbuf **taken, unsigned *ret_n)
{
	for (*ret_n = 0; (taken[*ret_n] = rte_pktmbuf_alloc(pool)); (*ret_n)++)
		;
}

static void
test_own_bytes_are_not_copied(void **state)
{
	struct rte_mbuf *m = numbered(LEN);

	(void)state;
	assert_ptr_equal(pkt_own(pool, m), m);
	assert_ptr_equal(pkt_room(pool, m, RTE_PKTMBUF_HEADROOM), m);
	pkt_free(m);
}

static void
test_others_see_no_change(void **state)
{
	struct rte_mbuf *(*const change[])(struct rte_mempool *, struct rte_mbuf *, uint16_t) = {
		pkt_room, pkt_push, pkt_pad};

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(change); i++) {
		struct rte_mbuf *m = numbered(LEN), *other = pkt_clone(pool, m), *changed;

		changed = change[i](pool, m, 4);
		assert_non_null(changed);
		assert_true(pkt_is_own(changed));
		memset(rte_pktmbuf_mtod(changed, void *), 0xff, changed->data_len);
		assert_int_equal(rte_pktmbuf_pkt_len(other), LEN);
		for (unsigned k = 0; k < LEN; k++)
			assert_int_equal(rte_pktmbuf_mtod(other, uint8_t *)[k], k);
		pkt_free(changed);
		pkt_free(other);
	}
}

static void
test_a_copy_carries_what_the_packet_did(void **state)
{
	struct rte_mbuf *m = numbered(LEN), *other = pkt_clone(pool, m), *own = pkt_own(pool, m);

	(void)state;
	assert_ptr_not_equal(own, m);
	assert_numbered(own, LEN);
	assert_int_equal(pkt_item(own)->arrival_ns, 123);
	pkt_free(own);
	pkt_free(other);
}

static void
test_bytes_before_and_behind(void **state)
{
	struct rte_mbuf *m = pkt_pad(pool, numbered(20), 40);

	(void)state;
	assert_int_equal(m->pkt_len, 60);
	assert_numbered(m, 20);
	for (unsigned i = 20; i < 60; i++)
		assert_int_equal(rte_pktmbuf_mtod(m, uint8_t *)[i], 0);
	m = pkt_push(pool, m, 4);
	assert_int_equal(m->pkt_len, 64);
	assert_memory_equal(rte_pktmbuf_mtod_offset(m, uint8_t *, 4), "\0\1\2", 3);
	pkt_free(m);
}

static void
test_chain_becomes_one_buffer(void **state)
{
	struct rte_mbuf *m = numbered(LEN), *tail = rte_pktmbuf_alloc(pool);

	(void)state;
	for (unsigned i = 0; i < LEN; i++)
		*(uint8_t *)rte_pktmbuf_append(tail, 1) = (uint8_t)(LEN + i);
	assert_int_equal(rte_pktmbuf_chain(m, tail), 0);
	m->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM;
	m = pkt_flatten(pool, m);
	assert_int_equal(m->nb_segs, 1);
	assert_int_equal(m->data_len, 2 * LEN);
	assert_numbered(m, 2 * LEN);
	assert_true(m->ol_flags & RTE_MBUF_F_TX_TCP_CKSUM);
	pkt_free(m);
}

static void
test_too_much_is_refused(void **state)
{
	uint16_t room = rte_pktmbuf_data_room_size(pool) - RTE_PKTMBUF_HEADROOM;
	struct rte_mbuf *m;

	(void)state;
	pkt_free(numbered(room));
	assert_null(pkt_make(pool, room + 1));
	assert_null(pkt_room(pool, numbered(LEN), RTE_PKTMBUF_HEADROOM + 1));
	assert_null(pkt_push(pool, numbered(LEN), RTE_PKTMBUF_HEADROOM + 1));
	m = pkt_pad(pool, numbered(LEN), room - LEN);
	assert_int_equal(m->pkt_len, room);
	assert_null(pkt_pad(pool, m, 1));
	m = numbered(room);
	assert_int_equal(rte_pktmbuf_chain(m, numbered(1)), 0);
	assert_null(pkt_flatten(pool, m));
}

static void
test_without_buffers_nothing_is_left(void **state)
{
	struct rte_mbuf *taken[N_MBUFS + 1], *m = numbered(LEN), *other = pkt_clone(pool, m), *chain = numbered(LEN);
	unsigned n;

	(void)state;
	assert_int_equal(rte_pktmbuf_chain(chain, numbered(1)), 0);
	take_all(taken, &n);
	assert_null(pkt_make(pool, 1));
	assert_null(pkt_clone(pool, other));
	assert_null(pkt_own(pool, m));
	assert_null(pkt_flatten(pool, chain));
	pkt_free_burst(taken, n);
	pkt_free(other);
	pkt_free(NULL);
}

static void
test_drop_is_counted(void **state)
{
	struct port_counters c = {0};

	(void)state;
	pkt_drop(&c, numbered(LEN), DROP_MTU);
	pkt_drop(&c, numbered(LEN), DROP_MTU);
	for (unsigned i = 0; i < DROP_COUNT; i++)
		assert_int_equal(c.drops[i], i == DROP_MTU ? 2 : 0);
}

static void
test_item_leads_back(void **state)
{
	struct rte_mbuf *m = numbered(LEN);

	(void)state;
	assert_ptr_equal(pkt_of_item(pkt_item(m)), m);
	pkt_free(m);
}

#define CASE(test) cmocka_unit_test_teardown(test, nothing_is_left)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_own_bytes_are_not_copied),
		CASE(test_others_see_no_change),
		CASE(test_a_copy_carries_what_the_packet_did),
		CASE(test_bytes_before_and_behind),
		CASE(test_chain_becomes_one_buffer),
		CASE(test_too_much_is_refused),
		CASE(test_without_buffers_nothing_is_left),
		CASE(test_drop_is_counted),
		CASE(test_item_leads_back),
	};

	return cmocka_run_group_tests(tests, start, stop_eal);
}
