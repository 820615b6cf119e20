// Places of senders at ports of a worker made by hand: the limit and who shares beyond it, and how
// much a turn does after a change.
#include "../unit.h"
#include "path/schedule.h"
#include "path/senders.h"

#include <stdlib.h>
#include <string.h>

#define N_PORTS 2000 // senders
#define OUT 0
#define GUARANTEED (N_PORTS - 1)
#define N_SQUARE 256 // ports that all send to each other

static struct env env = {.n_mbufs = 65536, .n_workers = 1};
static struct worker w = {.env = &env};
static struct port_path path[N_PORTS];
static struct view_port entry[N_PORTS];
static uint16_t owned[N_PORTS];
static struct senders *t;
static void *memory;

static struct view_block block[(N_PORTS + VIEW_BLOCK - 1) / VIEW_BLOCK];
static struct view_worker mine = {.owned = owned};
static struct view *view;

// All entries are new.
static void
change_view(void)
{
	view->gen++;
}

// The worker serves the first n ports.
static void
own(uint16_t n)
{
	mine.n_owned = n;
}

static void
begin_view(void)
{
	for (unsigned i = 0; i < N_PORTS; i++)
		block[i / VIEW_BLOCK].port[i % VIEW_BLOCK] = &entry[i];
	for (unsigned i = 0; i < RTE_DIM(block); i++)
		view->block[i] = &block[i];
	view->worker[0] = &mine;
	view->gen++;
}

static void
set_port(uint16_t id, uint64_t deadline_ns)
{
	path[id].serial++;
	entry[id] = (struct view_port){
		.port = &path[id], .frame_max = 1514, .sender = {.deadline_ns = deadline_ns, .weight = 1, .limit = 64}};
}

static int
begin(void **state)
{
	(void)state;
	for (uint16_t i = 0; i < N_PORTS; i++) {
		set_port(i, i == GUARANTEED ? 1000000 : 0);
		owned[i] = i;
	}
	view = view ? view : calloc(1, sizeof(*view) + sizeof(view->worker[0]));
	if (!view)
		return -1;
	begin_view();
	w.waiting = calloc(N_PORTS, sizeof(*w.waiting));
	t = calloc(1, sizeof(*t));
	memory = aligned_alloc(SCHED_ALIGN, sched_memory_bytes(SENDERS_PLACES));
	if (!t || !memory || !w.waiting)
		return -1;
	memset(memory, 0, sched_memory_bytes(SENDERS_PLACES));
	senders_init(t, memory, 0);
	w.now_ns = 1000000000;
	w.view_gen = 0;
	w.update = (struct worker_update){0};
	w.stats = (struct worker_loop_stats){0};
	return 0;
}

static int
end(void **state)
{
	(void)state;
	free(t);
	free(memory);
	free(w.waiting);
	return 0;
}

static uint32_t
place(uint16_t port)
{
	return senders_place(&w, view, OUT, t, port);
}

static uint64_t
n_surplus(uint32_t at)
{
	struct dp_sender f;

	return senders_read(t, at, w.now_ns, &f) ? f.surplus_pkts : 0;
}

static void
pass_one(uint16_t port)
{
	sched_pass(&t->s, place(port), &(uint32_t){100}, 1, w.now_ns, w.now_ns);
}

static void
as_many_as_the_limit_have_places_and_one_more_shares(void **state)
{
	(void)state;
	assert_int_equal(senders_next(t, 0), SENDERS_PLACES);
	for (uint16_t i = 0; i < SENDER_MAX; i++)
		assert_int_equal(place(i), i);
	assert_int_equal(senders_next(t, SENDER_MAX), SENDERS_PLACES);
	assert_int_equal(place(SENDER_MAX), SENDER_SHARED);
	assert_int_equal(place(SENDER_MAX + 1), SENDER_SHARED);
	assert_int_equal(senders_next(t, SENDER_MAX), SENDER_SHARED);
	assert_int_equal(t->s.sender[SENDER_SHARED].limit, SENDERS_SHARED_LIMIT);
	pass_one(SENDER_MAX);
	pass_one(SENDER_MAX + 1);
	assert_int_equal(n_surplus(SENDER_SHARED), 2);
	for (uint16_t i = 0; i < SENDER_MAX; i++)
		assert_int_equal(place(i), i);
	assert_true(sched_is_consistent(&t->s));
}

static void
guarantee_takes_the_place_of_one_without_that_has_nothing_queued(void **state)
{
	struct sched_item item = {.len = 100, .arrival_ns = w.now_ns}, *out;

	(void)state;
	for (uint16_t i = 0; i < SENDER_MAX; i++)
		pass_one(i);
	assert_int_equal(sched_enqueue(&t->s, place(0), &item, w.now_ns), 0);
	assert_int_equal(place(GUARANTEED), 1); // the first that is empty
	assert_int_equal(place(1), SENDER_SHARED);
	assert_int_equal(n_surplus(SENDER_SHARED), 1);
	assert_int_equal(n_surplus(1), 0);
	assert_int_equal(t->s.sender[1].deadline_ns, 1000000);
	assert_non_null(t->s.sender[1].delay);
	assert_int_equal(place(0), 0);
	assert_int_equal(sched_dequeue(&t->s, &out, 1, w.now_ns), 1);
	// Where all have guarantees the next one has none.
	for (uint16_t i = 0; i < SENDER_MAX; i++)
		t->at[i].has_guarantee = true;
	set_port(GUARANTEED - 1, 1000000);
	assert_int_equal(place(GUARANTEED - 1), SENDER_SHARED);
	assert_int_equal(t->s.sender[SENDER_SHARED].params.deadline_ns, 0);
}

static void
place_of_a_port_that_is_gone_is_free_when_it_is_empty(void **state)
{
	struct sched_item item = {.len = 100, .arrival_ns = w.now_ns}, *out;
	uint32_t at = 0;

	(void)state;
	for (uint16_t i = 0; i < 3; i++)
		pass_one(i);
	assert_int_equal(sched_enqueue(&t->s, place(1), &item, w.now_ns), 0);
	entry[1].port = entry[2].port = NULL;
	change_view();
	assert_int_equal(senders_update(&w, view, OUT, t, &at, 100), 3);
	assert_int_equal(at, SENDERS_PLACES);
	assert_int_equal(sender_table_find(&t->table, 2), SENDER_SHARED);
	assert_int_equal(sender_table_find(&t->table, 1), 1);
	assert_int_equal(sched_dequeue(&t->s, &out, 1, w.now_ns), 1);
	at = 0;
	assert_int_equal(senders_update(&w, view, OUT, t, &at, 100), 2);
	assert_int_equal(sender_table_find(&t->table, 1), SENDER_SHARED);
	// Whoever comes next has no history.
	assert_int_equal(place(7), 1);
	assert_int_equal(n_surplus(1), 0);
}

static void
number_that_is_another_ports_has_no_history(void **state)
{
	(void)state;
	pass_one(5);
	assert_int_equal(n_surplus(place(5)), 1);
	set_port(5, 0);
	change_view();
	assert_int_equal(n_surplus(place(5)), 0);
}

// All of n ports have packets of all n behind them when a port changes.
static void
change_among(uint16_t n)
{
	struct schedule *q[N_SQUARE];
	unsigned n_turns = 0;

	for (uint16_t i = 0; i < n; i++) {
		assert_int_equal(schedule_create(&q[i], 0), 0);
		entry[i].schedule = q[i];
	}
	own(n);
	change_view();
	for (uint16_t i = 0; i < n; i++)
		for (uint16_t from = 0; from < n; from++)
			(void)senders_place(&w, view, i, schedule_senders(q[i]), from);
	set_port(1, 2000000);
	entry[1].schedule = q[1];
	change_view();
	for (w.stats.most_updated = 0; w.view_gen != view->gen; n_turns++)
		schedule_update(&w, view);
	assert_in_range(w.stats.most_updated, 1, SCHEDULE_UPDATE_AT_ONCE);
	assert_true(n_turns * SCHEDULE_UPDATE_AT_ONCE >= n * n);
	for (uint16_t i = 0; i < n; i++) {
		struct senders *s = schedule_senders(q[i]);

		assert_int_equal(s->at[1].gen, view->gen);
		assert_int_equal(s->s.sender[1].params.deadline_ns, 2000000);
		entry[i].schedule = NULL;
		schedule_destroy(q[i], &w);
	}
	own(0);
}

static void
change_costs_a_turn_no_more_at_256_ports_than_at_4(void **state)
{
	(void)state;
	change_among(4);
	change_among(N_SQUARE);
}

// Changes come faster than all are brought up to one.
static void
no_sender_is_left_behind_by_changes(void **state)
{
	struct schedule *q[8];
	unsigned n_turns = 0;

	(void)state;
	for (uint16_t i = 0; i < 8; i++) {
		assert_int_equal(schedule_create(&q[i], 0), 0);
		entry[i].schedule = q[i];
	}
	own(8);
	change_view();
	for (uint16_t i = 0; i < 8; i++)
		for (uint16_t from = 0; from < SENDER_MAX; from++)
			(void)senders_place(&w, view, i, schedule_senders(q[i]), from);
	entry[SENDER_MAX - 1].sender.deadline_ns = 3000000;
	for (uint16_t i = 0; i < 8; i++)
		for (n_turns = 0; !schedule_senders(q[i])->at[SENDER_MAX - 1].has_guarantee; n_turns++) {
			change_view();
			schedule_update(&w, view);
			assert_true(n_turns <= 9 * SENDERS_PLACES / SCHEDULE_UPDATE_AT_ONCE);
		}
	for (uint16_t i = 0; i < 8; i++) {
		entry[i].schedule = NULL;
		schedule_destroy(q[i], &w);
	}
	own(0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(as_many_as_the_limit_have_places_and_one_more_shares, begin, end),
		cmocka_unit_test_setup_teardown(
			guarantee_takes_the_place_of_one_without_that_has_nothing_queued, begin, end),
		cmocka_unit_test_setup_teardown(place_of_a_port_that_is_gone_is_free_when_it_is_empty, begin, end),
		cmocka_unit_test_setup_teardown(number_that_is_another_ports_has_no_history, begin, end),
		cmocka_unit_test_setup_teardown(change_costs_a_turn_no_more_at_256_ports_than_at_4, begin, end),
		cmocka_unit_test_setup_teardown(no_sender_is_left_behind_by_changes, begin, end),
	};

	return cmocka_run_group_tests_name("dp/senders", tests, NULL, NULL);
}
