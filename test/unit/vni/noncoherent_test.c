// A non-coherent segment at its worst. Caches write back and fetch lines at any time. Nodes die
// before any step and come back, read nothing, or write anything. Frames carry their sender, their
// receiver, and a number: each arrives once, in order, and whole, also while a reader keeps it.
#include "segment_fixture.h"

#include <errno.h>

#define N FIXTURE_NODES
#define PER_NODE 128
#define KEPT 24

static const struct segment_geometry SMALL = {
	.memory = SEGMENT_NONCOHERENT, .n_nodes = N, .n_slots = N * PER_NODE, .slot_bytes = 2048, .inbox_size = 64};

static struct {
	struct fixture f;
	uint32_t n_sent[N][N], n_got[N][N]; // the last number
	// of those up to here some may be lost: one of both has had a new life since
	uint32_t n_missed[N][N];
	struct segment_frame kept[N][KEPT];
	unsigned n_kept[N];
	bool is_hostile; // a node writes anything: contents are ignored
} t;

static void
make(uint8_t *data, uint32_t len, uint8_t from, uint8_t to, uint32_t number)
{
	for (uint32_t i = 14; i < len; i++)
		data[i] = (uint8_t)(i * 5 + number * 3 + from);
	memcpy(data, (uint8_t[]){2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 8, 0}, 14);
	memcpy(data + 14, &number, sizeof(number));
}

// The frame's claim about itself; that it is whole.
static uint32_t
check(unsigned node, const struct segment_frame *frame)
{
	static uint8_t got[SEGMENT_MAX_FRAME], made[SEGMENT_MAX_FRAME];
	uint32_t number;

	segment_copy(t.f.node[node], frame, got);
	memcpy(&number, got + 14, sizeof(number));
	if (t.is_hostile)
		return number;
	make(made, frame->len, frame->from, got[5], number);
	assert_memory_equal(got + 6, made + 6, frame->len - 6);
	assert_true(got[5] == node || got[5] == 0xff);
	return number;
}

static void
put(unsigned from, unsigned to)
{
	static uint8_t data[SEGMENT_MAX_FRAME];
	uint32_t len = sim_random(8) ? 60 + sim_random(200) : 60 + sim_random(20000);
	struct segment_offload offload = {.flags = 1, .gso_size = (uint16_t)len};
	uint64_t wake = 0;

	make(data, len, (uint8_t)from, (uint8_t)to, ++t.n_sent[from][to]);
	if (segment_put(t.f.node[from], data, len, sim_random(2) ? &offload : NULL, &wake))
		t.n_sent[from][to]--;
}

// To all: numbers of their own, at the end of which who has no room misses some.
static void
put_all(unsigned from)
{
	uint8_t data[100];
	uint64_t wake = 0;

	make(data, sizeof(data), (uint8_t)from, 0xff, 0);
	memset(data, 0xff, 6);
	(void)segment_put(t.f.node[from], data, sizeof(data), NULL, &wake);
}

// In one call, so that nothing but the first fence orders the lines.
static void
put_burst(unsigned node, unsigned to)
{
	static struct segment_frame frames[24];
	static uint8_t data[5000];
	uint64_t wake = 0;
	unsigned n;

	for (n = 0; n < 24; n++) {
		if (segment_reserve(t.f.node[node], 1u << to, n % 8 ? 60 : 5000, &frames[n]))
			break;
		make(data, frames[n].len, (uint8_t)node, (uint8_t)to, ++t.n_sent[node][to]);
		for (unsigned k = 0; k < frames[n].n_slots; k++) {
			uint32_t len;
			uint8_t *piece = segment_piece(t.f.node[node], &frames[n], k, &len);

			memcpy(piece, data + k * SMALL.slot_bytes, len);
		}
	}
	(void)segment_send(t.f.node[node], frames, n, &wake);
}

static void
release(unsigned node, unsigned i)
{
	(void)check(node, &t.kept[node][i]);
	segment_release(t.f.node[node], &t.kept[node][i], 1);
	t.kept[node][i] = t.kept[node][--t.n_kept[node]];
}

static void
receive(unsigned node)
{
	struct segment_frame frames[4];
	unsigned n = segment_receive(t.f.node[node], frames, 1 + sim_random(4));

	for (unsigned i = 0; i < n; i++) {
		uint32_t number = check(node, &frames[i]), last = t.n_got[frames[i].from][node];

		if (number && !t.is_hostile) { // not to all
			assert_true(number > last);
			assert_true(number == last + 1 || number - 1 <= t.n_missed[frames[i].from][node]);
			t.n_got[frames[i].from][node] = number;
		}
		t.kept[node][t.n_kept[node]++] = frames[i];
		while (t.n_kept[node] > KEPT - 4)
			release(node, sim_random(t.n_kept[node]));
	}
	while (t.n_kept[node] && !sim_random(3))
		release(node, sim_random(t.n_kept[node]));
}

static void
act(unsigned node)
{
	unsigned to = (node + 1 + sim_random(N - 1)) % N;

	switch (sim_random(8)) {
	case 0:
		put_all(node);
		break;
	case 1:
	case 2:
	case 3:
		put(node, to);
		break;
	default:
		receive(node);
	}
}

static bool is_inside; // of a step of another node

// In the middle of what one node does, another does something, too.
static void
act_between(void)
{
	if (is_inside || sim_random(100))
		return;
	is_inside = true;
	receive(N - 1);
	is_inside = false;
}

static void
start(unsigned seed)
{
	memset(&t, 0, sizeof(t));
	fixture_make(&t.f, &SMALL, N);
	sim.random = seed;
}

static void
drain(void)
{
	for (unsigned turn = 0; turn < 200; turn++) {
		fixture_settle(&t.f);
		for (unsigned node = 0; node < N; node++)
			if (!(t.f.dead >> node & 1))
				receive(node);
	}
	for (unsigned node = 0; node < N; node++)
		while (t.n_kept[node])
			release(node, 0);
	fixture_settle(&t.f);
}

// Each node can have all its slots at once: none is lost, none is in use twice.
static void
assert_all_slots_there(void)
{
	for (unsigned node = 0; node < N; node++) {
		static struct segment_frame frames[PER_NODE];
		bool is_taken[PER_NODE] = {false};
		struct segment_frame one;

		for (unsigned i = 0; i < PER_NODE; i++) {
			assert_int_equal(segment_reserve(t.f.node[node], 1, 60, &frames[i]), 0);
			assert_int_equal(frames[i].slot[0] / PER_NODE, node);
			assert_false(is_taken[frames[i].slot[0] % PER_NODE]);
			is_taken[frames[i].slot[0] % PER_NODE] = true;
		}
		assert_int_equal(segment_reserve(t.f.node[node], 1, 60, &one), -ENOBUFS);
		for (unsigned i = 0; i < PER_NODE; i++)
			segment_unreserve(t.f.node[node], &frames[i]);
	}
}

static void
assert_nobody_holds_anything(void)
{
	struct segment_pool_info info;

	fixture_write_back(&t.f);
	segment_look_pool(t.f.node[0], &info);
	assert_int_equal(info.n_free, SMALL.n_slots);
}

static void
finish(void)
{
	drain();
	assert_nobody_holds_anything();
	assert_all_slots_there();
	for (unsigned node = 0; node < N; node++)
		segment_leave(t.f.node[node]);
	for (unsigned node = 0; node < N; node++)
		if (t.f.view[node])
			sim_assert_written_back(t.f.view[node], 0, 0);
	fixture_free(&t.f);
}

static void
each_frame_arrives_once_in_order_and_whole(void **state)
{
	unsigned seed = unit_seed();

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		start(seed + i);
		sim.step = act_between;
		for (unsigned turn = 0; turn < 3000; turn++) {
			unsigned node = sim_random(N);

			is_inside = node == N - 1;
			act(node);
			is_inside = false;
			if (!sim_random(100))
				fixture_settle(&t.f);
		}
		sim.step = NULL;
		drain();
		for (unsigned from = 0; from < N; from++)
			for (unsigned to = 0; to < N; to++)
				assert_int_equal(t.n_got[from][to], t.n_sent[from][to]);
		finish();
	}
}

// --- death

static jmp_buf death;
static uint32_t n_steps_left;

static void
die_at_step(void)
{
	if (n_steps_left && !--n_steps_left)
		longjmp(death, 1);
}

enum ending {
	PROCESS_DIES, // what it wrote stays in its host's caches
	HOST_DIES, // and some of it is lost
	GOES_SILENT, // and finds out that others took it for dead
	LEAVES,
	ENDINGS
};

static void
go_on_without(unsigned node)
{
	t.f.dead |= 1u << node;
	for (unsigned i = 0; i < 16; i++) {
		t.f.now_ns += SEGMENT_TEND_NS;
		fixture_settle(&t.f);
	}
	for (unsigned i = 0; i < 100; i++) {
		unsigned other = sim_random(N);

		if (!(t.f.dead >> other & 1))
			act(other);
	}
}

static void
come_back(unsigned node, enum ending ending)
{
	struct segment_identity identity = fixture_identity(node);

	t.n_kept[node] = 0; // not to be looked at any more
	if (ending == GOES_SILENT) {
		receive(node); // but what it still takes is whole
		t.n_kept[node] = 0;
	} else if (ending != LEAVES) {
		put_burst(node, (node + 1 + sim_random(N - 1)) % N);
	}
	for (unsigned i = 0; i < N; i++) {
		t.n_missed[i][node] = t.n_sent[i][node];
		t.n_missed[node][i] = t.n_sent[node][i];
	}
	if (ending == HOST_DIES) {
		sim_lose(t.f.view[node]);
		t.f.view[node] = NULL;
	}
	if (ending == PROCESS_DIES || ending == HOST_DIES) {
		free(t.f.node[node]);
		t.f.dead |= 1u << node;
		fixture_join(&t.f, node, 0);
		return;
	}
	if (ending == GOES_SILENT) {
		(void)segment_tend(t.f.node[node], NULL, NULL, t.f.now_ns);
		assert_true(segment_is_expelled(t.f.node[node]));
	}
	segment_leave(t.f.node[node]);
	t.f.dead &= ~(1u << node);
	assert_int_equal(segment_join(t.f.node[node], node, &identity), 0);
	fixture_settle(&t.f);
}

// The operations in which a node may die.
static void
do_all(unsigned node)
{
	put(node, (node + 1) % N);
	put_all(node);
	put_burst(node, (node + 2) % N);
	receive(node);
	receive(node);
	(void)segment_tend(t.f.node[node], NULL, NULL, t.f.now_ns);
	segment_leave(t.f.node[node]);
}

static void
node_dies_before_any_step(void **state)
{
	unsigned seed = unit_seed();
	uint32_t n_steps = 0;
	bool is_done = false;

	(void)state;
	start(seed);
	for (uint32_t step = 1; !is_done; step += 1 + step % 3) {
		static enum ending ending;
		unsigned node = step % N;

		ending = step % 2 ? PROCESS_DIES : HOST_DIES;
		for (unsigned i = 0; i < 30; i++)
			act(sim_random(N));
		if (!setjmp(death)) {
			n_steps_left = step;
			sim.step = die_at_step;
			do_all(node);
			is_done = true; // it left before it died
		}
		sim.step = NULL;
		n_steps_left = 0;
		if (is_done)
			break;
		if (step % 5 < 3)
			go_on_without(node);
		// Its next life dies, too, before any step of its coming back.
		if (step % 7 == 0 && !setjmp(death)) {
			n_steps_left = step / 7;
			sim.step = die_at_step;
			come_back(node, ending);
		}
		sim.step = NULL;
		n_steps_left = 0;
		come_back(node, t.f.view[node] ? PROCESS_DIES : ending);
		n_steps = step;
		if (step % 10 == 0) {
			drain();
			assert_nobody_holds_anything();
			assert_all_slots_there();
		}
	}
	assert_true(n_steps > 100);
	for (unsigned node = 0; node < N; node++)
		if (segment_self(t.f.node[node]) < 0)
			come_back(node, LEAVES);
	finish();
}

// The first of these: a reader that had an old copy of a line found a frame of its sender's former
// life there, behind some of the next.
static void
nodes_die_at_random_times(void **state)
{
	unsigned seed = unit_seed();

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		start(i ? seed + i : 1796025806);
		for (unsigned turn = 0; turn < 4000; turn++) {
			unsigned node = sim_random(N);
			enum ending ending = (enum ending)sim_random(ENDINGS);

			if (sim_random(50)) {
				act(node);
				continue;
			}
			if (ending == GOES_SILENT || (ending != LEAVES && sim_random(2)))
				go_on_without(node);
			come_back(node, ending);
		}
		finish();
	}
}

static void
frames_of_a_former_life_are_lost(void **state)
{
	struct segment_node_info info;

	(void)state;
	start(1);
	for (unsigned i = 1; i <= 10; i++) {
		for (unsigned k = 0; k < 3; k++)
			put(0, 1);
		come_back(0, PROCESS_DIES); // which sends more
		receive(1);
		assert_int_equal(t.n_kept[1], 0);
		drain();
		assert_true(segment_look(t.f.node[1], 1, &info));
		assert_true(info.counters.rx_stale >= 3 * i);
		assert_all_slots_there();
		put(0, 1);
		drain();
		assert_int_equal(t.n_got[0][1], t.n_sent[0][1]);
	}
	finish();
}

// --- those who do not keep to the rules

// Two read nothing. The third gets all its frames, and the sender has slots for them.
static void
stuck_nodes_cost_others_nothing(void **state)
{
	struct segment_node_info info;

	(void)state;
	start(1);
	for (unsigned i = 0; i < 2000; i++) {
		put(0, 1);
		put(0, 2);
		put_all(0);
		put(0, 3);
		fixture_settle(&t.f);
		for (unsigned k = 0; k < 8; k++)
			receive(3);
		fixture_settle(&t.f);
		assert_int_equal(t.n_got[0][3], t.n_sent[0][3]);
		assert_int_equal(t.n_sent[0][3], i + 1);
	}
	assert_true(segment_look(t.f.node[0], 0, &info));
	assert_int_equal(info.counters.tx_no_slot, 0);
	assert_true(info.counters.tx_inbox_full > 2000);
	go_on_without(1); // and are dead in the end
	t.f.dead |= 4;
	go_on_without(2);
	drain();
	assert_nobody_holds_anything();
	come_back(1, PROCESS_DIES);
	come_back(2, PROCESS_DIES);
	finish();
}

// Writes a word of the segment, of any owner; into caches, too.
static void
scribble(size_t at, uint64_t value)
{
	memcpy(sim.memory + at, &value, sizeof(value));
	for (unsigned i = 0; i < sim.n_views; i++)
		if (sim.view[i].cache) {
			memcpy(sim.view[i].cache + at, &value, sizeof(value));
			memcpy(sim.view[i].clean + at, &value, sizeof(value));
		}
}

static void
hostile_node_harms_frames_and_nothing_else(void **state)
{
	unsigned seed = unit_seed();
	size_t end = segment_bytes(&SMALL) / 8;
	unsigned n_lives = 0;

	(void)state;
	start(seed);
	t.is_hostile = true;
	for (unsigned turn = 0; turn < 30000; turn++) {
		// The table and the lanes, or anything; a value, or one that stood elsewhere, or
		// nearly so.
		size_t at = 512 + sim_random((uint32_t)(sim_random(2) ? 6000 : end - 512));
		uint64_t value = (uint64_t)sim_random(UINT32_MAX) << 32 | sim_random(UINT32_MAX);

		if (sim_random(4))
			memcpy(&value, sim.memory + 8 * (512 + sim_random(6000)), sizeof(value));
		if (sim_random(2))
			value ^= UINT64_C(1) << sim_random(64);
		scribble(8 * at, value);
		act(sim_random(N));
		if (sim_random(50))
			continue;
		fixture_settle(&t.f);
		for (unsigned node = 0; node < N; node++) {
			struct segment_identity identity = fixture_identity(node);

			if (segment_self(t.f.node[node]) >= 0 && !segment_is_expelled(t.f.node[node]))
				continue;
			segment_leave(t.f.node[node]);
			t.n_kept[node] = 0;
			(void)segment_expel(t.f.node[node], node);
			n_lives += !segment_join(t.f.node[node], node, &identity);
		}
	}
	assert_true(n_lives > 4); // 20 as a rule
	for (unsigned node = 0; node < N; node++) {
		segment_leave(t.f.node[node]);
		free(t.f.node[node]);
		t.f.node[node] = NULL;
		t.n_kept[node] = 0;
	}
	t.f.dead = (1u << N) - 1;
	for (unsigned node = 0; node < N; node++)
		fixture_join(&t.f, node, 0);
	t.is_hostile = false;
	memset(t.n_sent, 0, sizeof(t.n_sent));
	memset(t.n_got, 0, sizeof(t.n_got));
	for (unsigned turn = 0; turn < 3000; turn++)
		act(sim_random(N));
	drain();
	for (unsigned from = 0; from < N; from++)
		for (unsigned to = 0; to < N; to++)
			assert_int_equal(t.n_got[from][to], t.n_sent[from][to]);
	finish();
}

// An entry is emptied that must not be; a reader's word is overwritten.
static void
spoilt_lane_works_again(void **state)
{
	size_t lane = 8192, lane_bytes = 64 + 64 * 8, passed = lane + N * N * lane_bytes;

	(void)state;
	start(1);
	for (unsigned i = 0; i < 3; i++)
		put(0, 1);
	fixture_write_back(&t.f);
	scribble(lane + lane_bytes + 64, 0); // the first entry from 0 to 1
	t.n_missed[0][1] = 3;
	receive(1);
	assert_int_equal(t.n_got[0][1], 0);
	for (unsigned turn = 0; turn < 3 * 4096 * N; turn++)
		receive(1);
	assert_int_equal(t.n_got[0][1], 3);
	drain();
	scribble(passed + N * 64, UINT64_C(1) << 48 | 12345); // where 1 is in the lane from 0
	for (unsigned i = 0; i < 200; i++) {
		put(0, 1);
		fixture_write_back(&t.f);
		receive(1);
	}
	for (unsigned turn = 0; turn < 3 * 4096 * N; turn++)
		receive(1);
	fixture_write_back(&t.f);
	for (unsigned i = 0; i < 200; i++) {
		t.n_missed[0][1] = i < 100 ? t.n_sent[0][1] + 1 : t.n_missed[0][1];
		put(0, 1);
		fixture_write_back(&t.f);
		for (unsigned k = 0; k < 8; k++)
			receive(1);
		fixture_write_back(&t.f);
	}
	assert_int_equal(t.n_got[0][1], t.n_sent[0][1]);
	finish();
}

static struct segment *joining;

static void
join_second(void)
{
	struct segment_identity identity = fixture_identity(1);
	struct segment *second = joining;

	if (!second || sim_random(20))
		return;
	joining = NULL;
	identity.host[0] = 2;
	assert_int_equal(segment_join(second, 1, &identity), 0);
}

// Two hosts start a node with one number at the same time.
static void
two_with_one_number_notice(void **state)
{
	struct segment_identity a = fixture_identity(1), b = a;
	struct segment *first, *second, *loser;
	struct sim_view *view[2];

	(void)state;
	memset(&t, 0, sizeof(t));
	fixture_make(&t.f, &SMALL, 1);
	view[0] = sim_add(1);
	view[1] = sim_add(1);
	first = fixture_attach_at(&t.f, view[0]->cache);
	second = fixture_attach_at(&t.f, view[1]->cache);
	a.host[0] = 1;
	b.host[0] = 2;
	assert_int_equal(segment_join(first, 1, &a), 0);
	assert_int_equal(segment_join(second, 1, &b), -EBUSY);
	segment_leave(first);
	// Neither sees the other's entry in time: the second one begins before the first one's is
	// in memory.
	sim.step = join_second;
	joining = second;
	assert_int_equal(segment_join(first, 1, &a), 0);
	sim.step = NULL;
	for (unsigned i = 0; i < 4; i++) {
		(void)segment_tend(first, NULL, NULL, 1);
		(void)segment_tend(second, NULL, NULL, 1);
	}
	assert_true(segment_is_expelled(first) != segment_is_expelled(second));
	loser = segment_is_expelled(first) ? first : second;
	segment_leave(loser);
	assert_int_equal(segment_join(loser, 1, &a), -EBUSY);
	(void)segment_tend(loser == first ? second : first, NULL, NULL, 1);
	assert_false(segment_is_expelled(loser == first ? second : first));
	segment_leave(loser == first ? second : first);
	free(first);
	free(second);
	fixture_free(&t.f);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_frame_arrives_once_in_order_and_whole),
		cmocka_unit_test(node_dies_before_any_step),
		cmocka_unit_test(nodes_die_at_random_times),
		cmocka_unit_test(frames_of_a_former_life_are_lost),
		cmocka_unit_test(stuck_nodes_cost_others_nothing),
		cmocka_unit_test(hostile_node_harms_frames_and_nothing_else),
		cmocka_unit_test(spoilt_lane_works_again),
		cmocka_unit_test(two_with_one_number_notice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
