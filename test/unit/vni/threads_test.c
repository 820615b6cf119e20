// Nodes as threads of one process, for ThreadSanitizer: each has a thread that sends, one that
// receives and one that tends, as programs have.
#include "segment_fixture.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define N_FRAMES 5000
#define SHARED_EVERY 8 // frames, of which one goes to all

static struct fixture f;
static _Atomic unsigned n_sending;
static _Atomic uint32_t n_received[FIXTURE_NODES];
static _Atomic bool is_bad;

static void *
send_all(void *arg)
{
	unsigned self = *(unsigned *)arg;
	uint64_t wake = 0;

	for (uint32_t i = 0; i < N_FRAMES; i++) {
		uint64_t to = i % SHARED_EVERY ? UINT64_C(1) << (self + 1 + i % (FIXTURE_NODES - 1)) % FIXTURE_NODES :
						 (UINT64_C(1) << FIXTURE_NODES) - 1;
		struct segment_frame frame;
		uint32_t len;

		while (segment_reserve(f.node[self], to, i % 5 ? 60 : 3000, &frame))
			sched_yield();
		memcpy(segment_piece(f.node[self], &frame, 0, &len) + 16, &i, sizeof(i));
		if (!segment_send(f.node[self], &frame, 1, &wake))
			sched_yield(); // a full inbox
	}
	atomic_fetch_sub(&n_sending, 1);
	return NULL;
}

static void *
receive_all(void *arg)
{
	unsigned self = *(unsigned *)arg;
	int64_t last[FIXTURE_NODES] = {-1, -1, -1, -1};
	bool is_over = false;

	for (;;) {
		struct segment_frame frames[SEGMENT_BURST];
		unsigned n = segment_receive(f.node[self], frames, SEGMENT_BURST);

		for (unsigned i = 0; i < n; i++) {
			uint32_t number, len;

			memcpy(&number, segment_piece(f.node[self], &frames[i], 0, &len) + 16, sizeof(number));
			if (number <= last[frames[i].from] || number >= N_FRAMES)
				atomic_store(&is_bad, true);
			last[frames[i].from] = number;
		}
		segment_release(f.node[self], frames, n);
		atomic_fetch_add(&n_received[self], n);
		if (!n && is_over)
			return NULL;
		is_over = !atomic_load(&n_sending);
	}
}

static void *
tend_all(void *arg)
{
	unsigned self = *(unsigned *)arg;

	for (uint64_t now_ns = 1; atomic_load(&n_sending); now_ns++) {
		segment_tend(f.node[self], NULL, NULL, now_ns);
		segment_sweep(f.node[self]);
	}
	return NULL;
}

static void
threads_of_nodes_share_nothing_unguarded(void **state)
{
	static const struct segment_geometry g = {
		.n_nodes = FIXTURE_NODES, .n_slots = 256, .slot_bytes = 2048, .inbox_size = 64};
	void *(*const run[])(void *) = {receive_all, tend_all, send_all};
	pthread_t threads[3 * FIXTURE_NODES];
	unsigned numbers[FIXTURE_NODES];

	(void)state;
	fixture_make(&f, &g, FIXTURE_NODES);
	atomic_store(&n_sending, FIXTURE_NODES);
	for (unsigned i = 0; i < FIXTURE_NODES; i++)
		numbers[i] = i;
	for (unsigned i = 0; i < 3 * FIXTURE_NODES; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run[i % 3], &numbers[i / 3]), 0);
	for (unsigned i = 0; i < 3 * FIXTURE_NODES; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_false(atomic_load(&is_bad));
	for (unsigned i = 0; i < FIXTURE_NODES; i++)
		assert_true(atomic_load(&n_received[i]) > N_FRAMES / 100);
	for (unsigned i = 1; i < FIXTURE_NODES; i++)
		segment_leave(f.node[i]);
	segment_leave(f.node[0]);
	assert_int_equal(fixture_n_free(&f), g.n_slots);
	fixture_free(&f);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_of_nodes_share_nothing_unguarded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
