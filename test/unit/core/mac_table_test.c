// MAC table: its promises one by one, random operations against a plain array, and threads that
// race for the same keys.
#include "../unit.h"
#include "rtvs/mac_table.h"
#include "rtvs/random.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MAC_A UINT64_C(0x020000000001)
#define MAC_B UINT64_C(0x020000000002)
#define N_PORTS 5

static struct mac_table t;
static struct mac_bucket small[16];

static void
reset(uint32_t limit, uint32_t seed)
{
	memset(small, 0, sizeof(small));
	assert_int_equal(mac_table_init(&t, small, 16, limit, seed), 0);
}

static enum mac_learn
learn(uint64_t mac, uint16_t vlan, uint16_t port, uint16_t *old_port, uint32_t now_s)
{
	return mac_table_learn(&t, mac, vlan, port, true, old_port, now_s);
}

static void
init_refuses_sizes_that_are_no_power_of_two(void **state)
{
	(void)state;
	assert_int_equal(mac_table_init(&t, small, 0, 1, 0), -EINVAL);
	assert_int_equal(mac_table_init(&t, small, 1, 1, 0), -EINVAL);
	assert_int_equal(mac_table_init(&t, small, 12, 1, 0), -EINVAL);
	assert_int_equal(mac_table_init(&t, small, 2, 1, 0), 0);
}

static void
bucket_count_keeps_the_load_at_one_half(void **state)
{
	(void)state;
	assert_int_equal(mac_table_n_buckets(0), 16);
	assert_int_equal(mac_table_n_buckets(32), 16);
	assert_int_equal(mac_table_n_buckets(33), 32);
	assert_int_equal(mac_table_n_buckets(1048576), 524288);
}

static void
learned_mac_is_found_in_its_vlan_only(void **state)
{
	uint16_t old = 77;

	(void)state;
	reset(32, 1);
	assert_int_equal(mac_table_find(&t, MAC_A, 5), MAC_TABLE_NO_PORT);
	assert_int_equal(learn(MAC_A, 5, 3, &old, 1), MAC_LEARNED);
	assert_int_equal(learn(MAC_A, 5, 3, &old, 1), MAC_KNOWN);
	assert_int_equal(old, 77);
	assert_int_equal(mac_table_find(&t, MAC_A, 5), 3);
	assert_int_equal(mac_table_find(&t, MAC_A, 6), MAC_TABLE_NO_PORT);
	assert_int_equal(mac_table_find(&t, MAC_B, 5), MAC_TABLE_NO_PORT);
}

static void
zero_mac_is_a_key_like_others(void **state)
{
	uint16_t old;

	(void)state;
	reset(32, 1);
	assert_int_equal(mac_table_find(&t, 0, 0), MAC_TABLE_NO_PORT);
	assert_int_equal(learn(0, 0, 4, &old, 0), MAC_LEARNED);
	assert_int_equal(mac_table_find(&t, 0, 0), 4);
	assert_true(mac_table_is_consistent(&t));
}

static void
moved_mac_names_its_old_port(void **state)
{
	uint16_t old = 77;

	(void)state;
	reset(32, 1);
	learn(MAC_A, 0, 3, &old, 1);
	assert_int_equal(mac_table_learn(&t, MAC_A, 0, 4, false, &old, 1), MAC_REFUSED);
	assert_int_equal(mac_table_find(&t, MAC_A, 0), 3);
	assert_int_equal(learn(MAC_A, 0, 4, &old, 1), MAC_MOVED);
	assert_int_equal(old, 3);
	assert_int_equal(mac_table_find(&t, MAC_A, 0), 4);
}

static void
port_at_its_limit_still_refreshes_what_it_has(void **state)
{
	struct mac_entry entry;
	uint32_t pos = 0;
	uint16_t old;

	(void)state;
	reset(32, 1);
	learn(MAC_A, 0, 3, &old, 1);
	assert_int_equal(mac_table_learn(&t, MAC_B, 0, 3, false, &old, 9), MAC_REFUSED);
	assert_int_equal(mac_table_learn(&t, MAC_A, 0, 3, false, &old, 9), MAC_KNOWN);
	assert_int_equal(mac_table_list(&t, &pos, &entry, 1), 1);
	assert_int_equal(entry.seen_s, 9);
}

static void
last_seen_never_goes_back(void **state)
{
	struct mac_entry entry;
	uint32_t pos = 0;
	uint16_t old;

	(void)state;
	reset(32, 1);
	learn(MAC_A, 0, 3, &old, 100);
	learn(MAC_A, 0, 3, &old, 99);
	assert_int_equal(mac_table_list(&t, &pos, &entry, 1), 1);
	assert_int_equal(entry.seen_s, 100);
	pos = 0;
	assert_int_equal(mac_table_sweep(&t, &pos, 16, 5, MAC_TABLE_NO_PORT, false, NULL, NULL, 98), 0);
}

static void
static_entry_cannot_be_taken_by_another_port(void **state)
{
	uint16_t old = 77;

	(void)state;
	reset(32, 1);
	learn(MAC_A, 0, 3, &old, 1);
	assert_int_equal(mac_table_add_static(&t, MAC_A, 0, 4, &old, 1), 0);
	assert_int_equal(old, 3);
	assert_int_equal(learn(MAC_A, 0, 3, &old, 2), MAC_STATIC_ELSEWHERE);
	assert_int_equal(learn(MAC_A, 0, 4, &old, 2), MAC_KNOWN);
	assert_int_equal(mac_table_find(&t, MAC_A, 0), 4);
	assert_int_equal(mac_table_add_static(&t, MAC_A, 0, 2, &old, 1), 0);
	assert_int_equal(old, MAC_TABLE_NO_PORT);
	assert_int_equal(mac_table_find(&t, MAC_A, 0), 2);
	assert_true(mac_table_is_consistent(&t));
}

static void
limit_holds_and_one_more_is_refused(void **state)
{
	uint16_t old;

	(void)state;
	reset(3, 1);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(learn(MAC_A + i, 0, 1, &old, 1), MAC_LEARNED);
	assert_int_equal(learn(MAC_A + 3, 0, 1, &old, 1), MAC_FULL);
	assert_int_equal(mac_table_add_static(&t, MAC_A + 3, 0, 1, &old, 1), -ENOSPC);
	assert_int_equal(mac_table_add_static(&t, MAC_A + 2, 0, 1, &old, 1), 0);
	mac_table_set_limit(&t, 4);
	assert_int_equal(learn(MAC_A + 3, 0, 1, &old, 1), MAC_LEARNED);
	mac_table_set_limit(&t, 1);
	assert_int_equal(learn(MAC_A + 4, 0, 1, &old, 1), MAC_FULL);
	assert_int_equal(mac_table_find(&t, MAC_A + 3, 0), 1);
	assert_true(mac_table_is_consistent(&t));
}

static void
full_buckets_refuse_and_stay_consistent(void **state)
{
	unsigned n_learned = 0;
	uint16_t old;

	(void)state;
	reset(1000, 1);
	for (uint64_t i = 0; i < 500; i++) {
		enum mac_learn result = learn(MAC_A + i, 0, 1, &old, 1);

		assert_true(result == MAC_LEARNED || result == MAC_FULL);
		n_learned += result == MAC_LEARNED;
	}
	assert_int_equal(n_learned, 16 * MAC_TABLE_WAYS);
	assert_true(mac_table_is_consistent(&t));
}

static void
del_tells_what_was_there(void **state)
{
	bool is_static = true;
	uint16_t port = 0, old;

	(void)state;
	reset(32, 1);
	assert_int_equal(mac_table_del(&t, MAC_A, 0, &port, &is_static), -ENOENT);
	learn(MAC_A, 0, 3, &old, 1);
	assert_int_equal(mac_table_del(&t, MAC_A, 0, &port, &is_static), 0);
	assert_int_equal(port, 3);
	assert_false(is_static);
	assert_int_equal(mac_table_add_static(&t, MAC_A, 0, 4, &old, 1), 0);
	assert_int_equal(mac_table_del(&t, MAC_A, 0, &port, &is_static), 0);
	assert_int_equal(port, 4);
	assert_true(is_static);
	assert_int_equal(mac_table_find(&t, MAC_A, 0), MAC_TABLE_NO_PORT);
	assert_int_equal(t.n_entries, 0);
}

static void
ageing_survives_the_wrap_of_seconds(void **state)
{
	uint32_t pos = 0;
	uint16_t old;

	(void)state;
	reset(32, 1);
	learn(MAC_A, 0, 3, &old, UINT32_MAX - 4);
	assert_int_equal(mac_table_sweep(&t, &pos, 16, 10, MAC_TABLE_NO_PORT, false, NULL, NULL, 4), 0);
	assert_int_equal(mac_table_sweep(&t, &pos, 16, 10, MAC_TABLE_NO_PORT, false, NULL, NULL, 5), 1);
}

// A guest that knows the code, but not the seed, chooses MACs with any structure: few may find no
// room at half load.
static void
half_full_table_takes_related_keys(void **state)
{
	enum {
		LIMIT = 65536
	};
	uint32_t n_buckets = mac_table_n_buckets(LIMIT);
	struct mac_bucket *buckets = aligned_alloc(64, n_buckets * sizeof(*buckets));
	uint32_t seed = unit_seed();
	uint16_t old;

	(void)state;
	assert_non_null(buckets);
	for (unsigned shift = 0; shift <= 32; shift++) {
		unsigned n_full = 0;

		memset(buckets, 0, n_buckets * sizeof(*buckets));
		assert_int_equal(mac_table_init(&t, buckets, n_buckets, LIMIT, seed + shift), 0);
		for (uint64_t i = 0; i < LIMIT; i++)
			n_full += learn(i << shift, 0, 1, &old, 1) == MAC_FULL;
		assert_in_range(n_full, 0, LIMIT / 1000);
	}
	free(buckets);
}

// The model: what should be there, by MAC number and VLAN.
#define N_MACS 24
#define N_VLANS 3

struct model_entry {
	bool is_there, is_static;
	uint16_t port;
	uint32_t seen_s;
};

struct model {
	struct model_entry entry[N_MACS][N_VLANS];
	uint32_t n, limit, now_s;
	uint64_t rng;
};

static uint64_t
model_mac(uint64_t i)
{
	return MAC_A + (i << (i % 3 * 16));
}

static void
model_learn(struct model *m, uint64_t i, uint16_t vlan)
{
	uint16_t port = (uint16_t)random_below(&m->rng, N_PORTS), old = 77;
	bool may_learn = random_below(&m->rng, 8);
	struct model_entry *e = &m->entry[i][vlan], before = *e;
	enum mac_learn result = mac_table_learn(&t, model_mac(i), vlan, port, may_learn, &old, m->now_s);

	switch (result) {
	case MAC_KNOWN:
		assert_true(before.is_there && before.port == port);
		break;
	case MAC_LEARNED:
		assert_true(!before.is_there && may_learn && m->n < m->limit);
		*e = (struct model_entry){.is_there = true, .port = port};
		m->n++;
		break;
	case MAC_MOVED:
		assert_true(before.is_there && !before.is_static && before.port == old && old != port && may_learn);
		e->port = port;
		break;
	case MAC_STATIC_ELSEWHERE:
		assert_true(before.is_there && before.is_static && before.port != port);
		return;
	case MAC_FULL: // the limit, or chance has filled both buckets
		assert_true(!before.is_there && may_learn && (m->n >= m->limit || m->n >= 2 * MAC_TABLE_WAYS));
		return;
	case MAC_REFUSED:
		assert_true(!may_learn && (!before.is_there || before.port != port));
		return;
	}
	e->seen_s = m->now_s;
}

static void
model_add_static(struct model *m, uint64_t i, uint16_t vlan)
{
	uint16_t port = (uint16_t)random_below(&m->rng, N_PORTS), old;
	struct model_entry *e = &m->entry[i][vlan];
	int rc = mac_table_add_static(&t, model_mac(i), vlan, port, &old, m->now_s);

	if (rc) {
		assert_int_equal(rc, -ENOSPC);
		assert_true(!e->is_there && (m->n >= m->limit || m->n >= 2 * MAC_TABLE_WAYS));
		return;
	}
	assert_int_equal(old, e->is_there && !e->is_static ? e->port : MAC_TABLE_NO_PORT);
	m->n += !e->is_there;
	*e = (struct model_entry){.is_there = true, .is_static = true, .port = port, .seen_s = m->now_s};
}

static void
model_del(struct model *m, uint64_t i, uint16_t vlan)
{
	struct model_entry *e = &m->entry[i][vlan];
	bool is_static;
	uint16_t port;
	int rc = mac_table_del(&t, model_mac(i), vlan, &port, &is_static);

	assert_int_equal(rc, e->is_there ? 0 : -ENOENT);
	if (rc)
		return;
	assert_int_equal(port, e->port);
	assert_int_equal(is_static, e->is_static);
	e->is_there = false;
	m->n--;
}

static struct model_entry *
model_find(struct model *m, const struct mac_entry *entry)
{
	for (uint64_t i = 0; i < N_MACS; i++)
		if (model_mac(i) == entry->mac)
			return &m->entry[i][entry->vlan];
	fail();
	return NULL;
}

static void
model_gone(void *arg, const struct mac_entry *entry)
{
	struct model *m = arg;
	struct model_entry *e = model_find(m, entry);

	assert_true(e->is_there && e->port == entry->port && e->seen_s == entry->seen_s);
	assert_int_equal(e->is_static, entry->is_static);
	e->is_there = false;
	m->n--;
}

// A whole round: afterwards nothing that was due is left.
static void
model_sweep(struct model *m)
{
	uint32_t age_s = (uint32_t)random_below(&m->rng, 20), pos = (uint32_t)random_below(&m->rng, 16);
	uint16_t port = random_below(&m->rng, 2) ? MAC_TABLE_NO_PORT : (uint16_t)random_below(&m->rng, N_PORTS);
	bool with_static = !random_below(&m->rng, 4);
	uint32_t n_before = m->n, start = pos;
	unsigned n_gone = mac_table_sweep(&t, &pos, 16, age_s, port, with_static, model_gone, m, m->now_s);

	assert_int_equal(pos, start);
	assert_int_equal(n_gone, n_before - m->n);
	for (unsigned i = 0; i < N_MACS * N_VLANS; i++) {
		const struct model_entry *e = &m->entry[i / N_VLANS][i % N_VLANS];

		if (!e->is_there || (port != MAC_TABLE_NO_PORT && port != e->port))
			continue;
		assert_true(e->is_static ? !with_static : age_s && m->now_s - e->seen_s < age_s);
	}
}

static void
model_list(struct model *m)
{
	struct mac_entry entries[7];
	uint32_t pos = 0, n_all = 0;
	unsigned n;

	do {
		n = mac_table_list(&t, &pos, entries, 7);
		for (unsigned i = 0; i < n; i++) {
			const struct model_entry *e = model_find(m, &entries[i]);

			assert_true(e->is_there && e->port == entries[i].port && e->seen_s == entries[i].seen_s);
			assert_int_equal(e->is_static, entries[i].is_static);
		}
		n_all += n;
	} while (n == 7);
	assert_int_equal(n_all, m->n);
}

static void
model_step(struct model *m)
{
	uint64_t i = random_below(&m->rng, N_MACS);
	uint16_t vlan = (uint16_t)random_below(&m->rng, N_VLANS);
	const struct model_entry *e = &m->entry[i][vlan];

	switch (random_below(&m->rng, 64)) {
	case 0:
		m->now_s++;
		break;
	case 1:
		model_sweep(m);
		break;
	case 2:
		model_list(m);
		break;
	case 3:
		m->limit = (uint32_t)random_below(&m->rng, 60);
		mac_table_set_limit(&t, m->limit);
		break;
	case 4 ... 6:
		model_add_static(m, i, vlan);
		break;
	case 7 ... 14:
		model_del(m, i, vlan);
		break;
	default:
		model_learn(m, i, vlan);
	}
	assert_int_equal(mac_table_find(&t, model_mac(i), vlan), e->is_there ? e->port : MAC_TABLE_NO_PORT);
	assert_int_equal(t.n_entries, m->n);
}

static void
random_operations_agree_with_a_plain_array(void **state)
{
	static struct model m;

	(void)state;
	m = (struct model){.limit = 40, .now_s = UINT32_MAX - 500, .rng = unit_seed()};
	reset(m.limit, (uint32_t)m.rng);
	for (unsigned i = 0; i < 200000; i++) {
		model_step(&m);
		assert_true(mac_table_is_consistent(&t));
	}
}

// Workers on ports of their own compete for the same keys while a control thread sweeps. Each keeps
// the books as the datapath does: one up for a learned MAC, one down for the port that lost it.
#define RACE_KEYS 40
#define RACE_ROUNDS 4000

struct worker {
	uint16_t port;
	uint64_t rng;
	int32_t n_macs[2]; // by port, of this thread's doing
};

static _Atomic unsigned n_running;

static void *
race_worker(void *arg)
{
	struct worker *w = arg;

	for (unsigned i = 0; i < RACE_ROUNDS * RACE_KEYS; i++) {
		uint16_t old;

		switch (learn(MAC_A + i % RACE_KEYS, 0, w->port, &old, i / 1000)) {
		case MAC_MOVED:
			w->n_macs[old]--;
			w->n_macs[w->port]++;
			break;
		case MAC_LEARNED:
			w->n_macs[w->port]++;
			break;
		default:
			break;
		}
	}
	n_running--;
	return NULL;
}

static void
race_gone(void *arg, const struct mac_entry *entry)
{
	((struct worker *)arg)->n_macs[entry->port]--;
}

static void
workers_that_learn_the_same_keys_leave_no_duplicate(void **state)
{
	struct worker w[3] = {{.port = 0}, {.port = 1}, {0}};
	int32_t n_macs[2] = {0, 0};
	pthread_t thread[2];
	uint32_t pos = 0;
	struct mac_entry entry;

	(void)state;
	reset(64, unit_seed());
	n_running = 2;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, race_worker, &w[i]), 0);
	while (n_running)
		mac_table_sweep(&t, &pos, 3, 0, MAC_TABLE_NO_PORT, false, race_gone, &w[2], 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_true(mac_table_is_consistent(&t));
	for (pos = 0; mac_table_list(&t, &pos, &entry, 1);)
		n_macs[entry.port]++;
	for (unsigned p = 0; p < 2; p++)
		assert_int_equal(w[0].n_macs[p] + w[1].n_macs[p] + w[2].n_macs[p], n_macs[p]);
}

// MAC_A + i is on port i whenever it is there; eight slots for sixteen keys, so entries replace
// each other all the time.
static void *
churn(void *arg)
{
	uint64_t rng = *(uint64_t *)arg;

	for (unsigned i = 0; i < 300000; i++) {
		uint64_t key = random_below(&rng, 16);
		bool is_static;
		uint16_t port;

		if (random_below(&rng, 2))
			(void)mac_table_del(&t, MAC_A + key, 0, &port, &is_static);
		else
			(void)learn(MAC_A + key, 0, (uint16_t)key, &port, i);
	}
	// a reader that comes late finds something
	(void)learn(MAC_A, 0, 0, &(uint16_t){0}, 300000);
	n_running--;
	return NULL;
}

static void
reader_never_sees_the_port_of_another_key(void **state)
{
	uint64_t rng = unit_seed();
	unsigned n_wrong = 0, n_found = 0;
	pthread_t thread;

	(void)state;
	memset(small, 0, sizeof(small));
	assert_int_equal(mac_table_init(&t, small, 2, 8, (uint32_t)rng), 0);
	n_running = 1;
	assert_int_equal(pthread_create(&thread, NULL, churn, &rng), 0);
	do
		for (uint16_t i = 0; i < 16; i++) {
			uint16_t port = mac_table_find(&t, MAC_A + i, 0);

			n_found += port == i;
			n_wrong += port != i && port != MAC_TABLE_NO_PORT;
		}
	while (n_running || !n_found); // it may have ended before this began
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(n_wrong, 0);
	assert_true(n_found > 0);
	assert_true(mac_table_is_consistent(&t));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(init_refuses_sizes_that_are_no_power_of_two),
		cmocka_unit_test(bucket_count_keeps_the_load_at_one_half),
		cmocka_unit_test(learned_mac_is_found_in_its_vlan_only),
		cmocka_unit_test(zero_mac_is_a_key_like_others),
		cmocka_unit_test(moved_mac_names_its_old_port),
		cmocka_unit_test(port_at_its_limit_still_refreshes_what_it_has),
		cmocka_unit_test(last_seen_never_goes_back),
		cmocka_unit_test(static_entry_cannot_be_taken_by_another_port),
		cmocka_unit_test(limit_holds_and_one_more_is_refused),
		cmocka_unit_test(full_buckets_refuse_and_stay_consistent),
		cmocka_unit_test(del_tells_what_was_there),
		cmocka_unit_test(ageing_survives_the_wrap_of_seconds),
		cmocka_unit_test(half_full_table_takes_related_keys),
		cmocka_unit_test(random_operations_agree_with_a_plain_array),
		cmocka_unit_test(workers_that_learn_the_same_keys_leave_no_duplicate),
		cmocka_unit_test(reader_never_sees_the_port_of_another_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
