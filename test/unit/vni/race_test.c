// Interleavings that once lost slots or frames, each by name. An operation stops before each of its
// steps in turn, others do whole operations there, and it continues. model_test.c tries all
// interleavings of smaller cases.
#include "segment_fixture.h"

void segment_step(void);

enum {
	A,
	B,
	R,
	T
};

#define LEN 1500 // of a frame that has a slot for itself

static const struct segment_geometry GEOMETRY = {
	.n_nodes = FIXTURE_NODES, .n_slots = 132, .slot_bytes = 2048, .inbox_size = 128};

// Before its step number `at` the running operation stops and act is run; operations of act may
// stop by the next hook.
static struct hook {
	unsigned at;
	void (*act)(struct fixture *f);
} hooks[2];
static struct fixture *hooked;
static unsigned depth; // hooks whose act is running

void
segment_step(void)
{
	struct hook *hook = &hooks[depth];

	if (depth == 2 || !hook->at || --hook->at)
		return;
	depth++;
	hook->act(hooked);
	depth--;
}

static bool
has_stopped_at(struct hook *hook) // once, and never again
{
	bool has = hook->act && !hook->at;

	*hook = (struct hook){0};
	return has;
}

// Frames of one slot, numbered by *number. Returns how many reached the node.
static unsigned
send_burst(struct fixture *f, unsigned from, unsigned to, unsigned n, uint32_t *number)
{
	struct segment_frame frames[SEGMENT_BURST];
	uint64_t wake = 0;

	for (unsigned i = 0; i < n; i++) {
		uint32_t len;

		if (segment_reserve(f->node[from], UINT64_C(1) << to, LEN, &frames[i])) {
			n = i;
			break;
		}
		memcpy(segment_piece(f->node[from], &frames[i], 0, &len), number, sizeof(*number));
		++*number;
	}
	return segment_send(f->node[from], frames, n, &wake);
}

static unsigned
receive(struct fixture *f, unsigned node, uint64_t ret_from[FIXTURE_NODES])
{
	struct segment_frame frames[SEGMENT_BURST];
	unsigned n, total = 0;

	while ((n = segment_receive(f->node[node], frames, SEGMENT_BURST))) {
		for (unsigned i = 0; i < n; i++)
			ret_from[frames[i].from]++;
		segment_release(f->node[node], frames, n);
		total += n;
	}
	return total;
}

static uint32_t number;
static uint64_t got[FIXTURE_NODES];

static void
start(struct fixture *f)
{
	fixture_make(f, &GEOMETRY, FIXTURE_NODES);
	hooked = f;
	number = 0;
	memset(got, 0, sizeof(got));
	memset(hooks, 0, sizeof(hooks));
}

static void
finish(struct fixture *f)
{
	struct segment_pool_info info;
	struct segment *looker = fixture_attach(f);

	for (unsigned i = 0; i < FIXTURE_NODES; i++)
		segment_leave(f->node[i]);
	segment_look_pool(looker, &info);
	assert_int_equal(info.n_free, GEOMETRY.n_slots);
	free(looker);
	fixture_free(f);
}

static void
a_sends_one(struct fixture *f)
{
	assert_int_equal(send_burst(f, A, R, 1, &number), 1);
}

static unsigned inner_at;

static void
r_receives_and_stops(struct fixture *f)
{
	hooks[1] = (struct hook){inner_at, a_sends_one};
	receive(f, R, got);
}

// B has published a parcel and has not moved the tail; R passes the entries that it covers; A,
// whose end is an old one, finds them empty.
static void
entry_between_those_that_a_parcel_covers_is_found(void **state)
{
	bool has_stopped = true;

	(void)state;
	for (unsigned at = 1; has_stopped; at++)
		for (inner_at = 1;; inner_at++) {
			struct fixture f;
			bool has_stopped_inside;

			start(&f);
			a_sends_one(&f);
			receive(&f, R, got);
			hooks[0] = (struct hook){at, r_receives_and_stops};
			assert_int_equal(send_burst(&f, B, R, 5, &number), 5);
			has_stopped = has_stopped_at(&hooks[0]);
			has_stopped_inside = has_stopped_at(&hooks[1]);
			receive(&f, R, got);
			assert_int_equal(got[A], 1 + has_stopped_inside);
			assert_int_equal(got[B], 5);
			finish(&f);
			if (!has_stopped_inside)
				break;
		}
}

static struct segment_frame held[128];
static uint8_t held_data[128][LEN];
static unsigned n_held;

// R dies, and T sweeps; A's slots become B's, which uses them for frames to A, which A's receiving
// thread holds.
static void
slots_come_back_to_a(struct fixture *f)
{
	segment_expel(f->node[T], R);
	segment_sweep(f->node[T]);
	for (unsigned i = 0; i < 4; i++)
		send_burst(f, B, A, 26, &number);
	n_held = segment_receive(f->node[A], held, 128);
	for (unsigned i = 0; i < n_held; i++)
		segment_copy(f->node[A], &held[i], held_data[i]);
}

static void
sending_thread_frees_nothing_that_the_receiving_thread_holds(void **state)
{
	bool has_stopped = true;

	(void)state;
	for (unsigned at = 1; has_stopped; at++) {
		struct fixture f;

		start(&f);
		n_held = 0;
		hooks[0] = (struct hook){at, slots_come_back_to_a};
		send_burst(&f, A, R, 3, &number);
		has_stopped = has_stopped_at(&hooks[0]);
		assert_true(!has_stopped || n_held > 90);
		number += 1000;
		for (unsigned i = 0; i < 8; i++)
			send_burst(&f, B, T, 16, &number);
		for (unsigned i = 0; i < n_held; i++) {
			uint8_t data[LEN];

			segment_copy(f.node[A], &held[i], data);
			assert_memory_equal(data, held_data[i], 4);
		}
		segment_release(f.node[A], held, n_held);
		finish(&f);
	}
}

// R dies, and T sweeps, between a sender's entry in its inbox and the sender's check whether it
// lives. The slots are B's by then.
static void
slots_go_on_to_other_frames(struct fixture *f)
{
	segment_expel(f->node[T], R);
	segment_sweep(f->node[T]);
	for (unsigned i = 0; i < 104; i++)
		send_burst(f, B, T, 1, &number);
}

static void
sender_of_a_dead_node_writes_into_no_slot_that_went_on(void **state)
{
	bool has_stopped = true;

	(void)state;
	for (unsigned at = 1; has_stopped; at++) {
		struct segment_frame frames[3], got_frame;
		struct fixture f;
		uint64_t wake = 0;

		start(&f);
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(segment_reserve(f.node[A], 1 << R, LEN + 1, &frames[i]), 0);
		hooks[0] = (struct hook){at, slots_go_on_to_other_frames};
		segment_send(f.node[A], frames, 3, &wake);
		has_stopped = has_stopped_at(&hooks[0]);
		for (uint32_t i = 0; has_stopped && i < number; i++) {
			assert_int_equal(segment_receive(f.node[T], &got_frame, 1), 1);
			assert_int_equal(got_frame.len, LEN);
			segment_release(f.node[T], &got_frame, 1);
		}
		finish(&f);
	}
}

// One sweeper reads a parcel in a dead node's inbox. Another frees it, and its slots pass on to a
// living node.
static void
slots_go_on_to_b(struct fixture *f)
{
	segment_sweep(f->node[T]);
	for (unsigned i = 0; i < 40; i++) {
		if (i < 24)
			receive(f, B, got);
		assert_int_equal(send_burst(f, A, B, 4, &number), 4);
	}
}

static void
sweeper_that_was_overtaken_frees_no_later_parcel(void **state)
{
	bool has_stopped = true;

	(void)state;
	for (unsigned at = 1; has_stopped; at++) {
		struct fixture f;
		uint32_t before;

		start(&f);
		assert_int_equal(send_burst(&f, A, R, 4, &number), 4);
		segment_expel(f.node[T], R);
		before = number;
		hooks[0] = (struct hook){at, slots_go_on_to_b};
		segment_sweep(f.node[B]);
		has_stopped = has_stopped_at(&hooks[0]);
		receive(&f, B, got);
		assert_int_equal(got[A], number - before);
		finish(&f);
	}
}

// R stops while it joins until others take it for dead; its number goes to another node, whose
// inbox has frames.
static struct segment *next_life;

static void
number_goes_on(struct fixture *f)
{
	struct segment_identity identity = fixture_identity(R);

	if (!segment_expel(f->node[T], R))
		return; // not yet joining, or done
	segment_tend(f->node[T], NULL, NULL, 1);
	next_life = fixture_attach(f);
	assert_int_equal(segment_join(next_life, R, &identity), 0);
	assert_int_equal(send_burst(f, A, R, 5, &number), 5);
}

static void
node_that_joins_too_late_spoils_nothing_of_the_next(void **state)
{
	bool has_stopped = true;

	(void)state;
	for (unsigned at = 1; has_stopped; at++) {
		struct segment_identity identity = fixture_identity(R);
		struct fixture f;
		struct segment *former;

		start(&f);
		segment_leave(f.node[R]);
		next_life = NULL;
		hooks[0] = (struct hook){at, number_goes_on};
		(void)segment_join(f.node[R], R, &identity);
		has_stopped = has_stopped_at(&hooks[0]);
		if (next_life) {
			former = f.node[R];
			f.node[R] = next_life;
			receive(&f, R, got);
			assert_int_equal(got[A], 5);
			segment_leave(former);
			free(former);
		}
		finish(&f);
	}
}

static void
expel_r(struct fixture *f)
{
	segment_expel(f->node[T], R);
	segment_tend(f->node[T], NULL, NULL, 1);
}

// A node that was taken for dead continues for a while, and ends without leave: all slots that it
// took meanwhile come back.
static void
slots_that_a_late_node_takes_come_back_without_another_death(void **state)
{
	bool has_stopped = true;

	(void)state;
	for (unsigned at = 1; has_stopped; at++) {
		struct segment_pool_info info;
		struct fixture f;

		start(&f);
		send_burst(&f, A, R, 20, &number);
		hooks[0] = (struct hook){at, expel_r};
		receive(&f, R, got);
		send_burst(&f, R, B, 20, &number);
		send_burst(&f, R, B, 20, &number);
		has_stopped = has_stopped_at(&hooks[0]);
		for (unsigned i = 0; has_stopped && i < 16; i++)
			assert_int_equal(segment_tend(f.node[T], NULL, NULL, 1), 0);
		segment_look_pool(f.node[T], &info);
		assert_true(!has_stopped || !info.n_held[R]);
		finish(&f);
	}
}

// A frame for several is held by a node that others take for dead. Its slot is used again for such
// a frame, which the number's next node holds.
static void
late_release_ends_no_later_use(void **state)
{
	struct segment_frame late_frame, next_frame, b_frame;
	struct segment *late;
	struct fixture f;
	uint64_t wake = 0;
	uint32_t len, n_free;

	(void)state;
	start(&f);
	for (bool is_first = true;; is_first = false) {
		assert_int_equal(segment_reserve(f.node[A], 1 << B | 1 << R, LEN, &next_frame), 0);
		memcpy(segment_piece(f.node[A], &next_frame, 0, &len), &number, sizeof(number));
		assert_int_equal(segment_send(f.node[A], &next_frame, 1, &wake), 1);
		assert_int_equal(segment_receive(f.node[R], &next_frame, 1), 1);
		assert_int_equal(segment_receive(f.node[B], &b_frame, 1), 1);
		if (is_first) {
			late_frame = next_frame;
			late = f.node[R];
			expel_r(&f);
			fixture_join(&f, R, 0);
		} else if ((uint32_t)next_frame.slot[0] == (uint32_t)late_frame.slot[0]) {
			break;
		} else {
			segment_release(f.node[R], &next_frame, 1);
		}
		segment_release(f.node[B], &b_frame, 1);
		number++;
	}
	n_free = fixture_n_free(&f);
	segment_release(late, &late_frame, 1);
	segment_release(f.node[B], &b_frame, 1);
	assert_int_equal(fixture_n_free(&f), n_free); // the next R reads it
	segment_release(f.node[R], &next_frame, 1);
	segment_leave(late);
	free(late);
	finish(&f);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(entry_between_those_that_a_parcel_covers_is_found),
		cmocka_unit_test(sending_thread_frees_nothing_that_the_receiving_thread_holds),
		cmocka_unit_test(sender_of_a_dead_node_writes_into_no_slot_that_went_on),
		cmocka_unit_test(sweeper_that_was_overtaken_frees_no_later_parcel),
		cmocka_unit_test(node_that_joins_too_late_spoils_nothing_of_the_next),
		cmocka_unit_test(late_release_ends_no_later_use),
		cmocka_unit_test(slots_that_a_late_node_takes_come_back_without_another_death),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
