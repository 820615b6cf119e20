// A model check of the coherent segment. The sources stop before each access to shared words, and a
// scheduler decides there which node continues. Nodes are coroutines of one thread on one small
// segment: inboxes of four entries, sixteen slots.
//
// For each case all schedules are tried that have up to PREEMPTIONS switches away from a node that
// could continue (RTVS_MODEL_PREEMPTIONS sets more). They are tried for each order in which nodes
// follow one another; in cases with a death the death is one of the switches. That is exhaustive
// within the bound, and sequentially consistent. Effects of weaker memory are for TSan and for the
// comments at the ordered loads. A schedule is run from the beginning.
//
// Checked in each: no frame comes twice, out of order, spoiled, or without having been sent.
// Afterwards each slot is free or cached by a living node.
#include "../unit.h"
#include "own.h"

#include <stdio.h>
#include <string.h>

void segment_step(void);

#define PREEMPTIONS 2
#define N_SLOTS 16
#define STACK_BYTES 32768
#define STEPS_MAX 20000
#define N_ACTORS 3
#define SMALL 60 // two of these share a slot
#define ONE 100
#define CHAIN 200 // two slots

enum node {
	A,
	B,
	R,
	T,
	N_NODES,
	NEXT = N_NODES, // R's next life
	N_OWN
};

static const struct segment_geometry GEOMETRY = {
	.n_nodes = N_NODES, .n_slots = N_SLOTS, .slot_bytes = 128, .inbox_size = 4};

struct model_case {
	const char *name;
	struct {
		void (*run)(enum node node);
		enum node node;
		bool can_die, can_be_late; // late: taken for dead, and goes on
	} actor[N_ACTORS];
	bool has_full_inbox, has_dead_receiver;
};

// --- what a run changes

static uint8_t *mem, *mem_before;
static size_t mem_bytes;
static struct segment *own[N_OWN];
static uint8_t *own_before[N_OWN];

static struct run_state {
	bool is_taken_for_dead[N_NODES], is_late[N_NODES];
	uint32_t sent[N_NODES]; // numbers of frames
	uint32_t got[N_OWN][N_NODES]; // the last number
	bool is_spoiled[N_SLOTS]; // by the bytes of a sender that was late
} now, now_before;

static struct actor {
	void *sp;
	bool has_begun, has_ended;
	_Alignas(16) uint8_t stack[STACK_BYTES];
} actors[N_ACTORS];
static int running = -1; // -1: the scheduler itself

static const struct model_case *checked;
static const char *violation;

static void
violate(const char *what)
{
	if (!violation)
		violation = what;
}

// --- coroutines

void model_switch(void **save_sp, void *sp);
__asm__(".text\n.globl model_switch\n.type model_switch,@function\nmodel_switch:\n"
	"push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
	"mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
	"pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
	".size model_switch,.-model_switch\n");

static void *scheduler_sp;

static void
actor_main(void)
{
	struct actor *actor = &actors[running];

	checked->actor[running].run(checked->actor[running].node);
	actor->has_ended = true;
	model_switch(&actor->sp, scheduler_sp);
}

void
segment_step(void)
{
	if (running >= 0)
		model_switch(&actors[running].sp, scheduler_sp);
}

// --- nodes

static bool
is_late(enum node node)
{
	return node < N_NODES && now.is_late[node];
}

static uint64_t *
word_of(enum node node, const struct segment_frame *frame, unsigned piece, unsigned i)
{
	uint32_t len;

	return (uint64_t *)(void *)segment_piece(own[node], frame, piece, &len) + 2 + i;
}

static void
write_word(enum node node, const struct segment_frame *frame, unsigned piece, unsigned i, uint64_t value)
{
	segment_step();
	if (is_late(node))
		now.is_spoiled[(uint32_t)frame->slot[piece]] = true;
	*word_of(node, frame, piece, i) = value;
}

static bool
send_frames(enum node node, uint64_t to, unsigned n, uint32_t len)
{
	struct segment_frame frames[3] = {0};
	uint64_t wake = 0;

	for (unsigned i = 0; i < n; i++) {
		uint64_t id = (uint64_t)node << 8 | ++now.sent[node];

		if (segment_reserve(own[node], to, len, &frames[i]))
			return false;
		for (unsigned piece = 0; piece < frames[i].n_slots; piece++)
			for (unsigned k = 0; k < 2; k++)
				write_word(node, &frames[i], piece, k, k ? ~id : id);
	}
	return segment_send(own[node], frames, n, &wake);
}

static void
check_frame(enum node node, const struct segment_frame *frame)
{
	uint64_t id = 0;

	for (unsigned piece = 0; piece < frame->n_slots; piece++) {
		uint64_t word[2];

		for (unsigned k = 0; k < 2; k++) {
			segment_step();
			word[k] = *word_of(node, frame, piece, k);
		}
		if (is_late(node) || now.is_spoiled[(uint32_t)frame->slot[piece]])
			return;
		if (word[0] != ~word[1] || (piece && word[0] != id))
			violate("a frame is spoiled");
		id = word[0];
	}
	if (id >> 8 != frame->from || (frame->n_slots > 1) != (frame->len == CHAIN))
		violate("a frame is another's");
	else if ((id & 0xff) > now.sent[frame->from])
		violate("a frame was never sent");
	else if ((id & 0xff) <= now.got[node][frame->from])
		violate("a frame comes twice, or out of order");
	else
		now.got[node][frame->from] = id & 0xff;
}

static unsigned
receive_some(enum node node)
{
	struct segment_frame frames[4];
	unsigned n = segment_receive(own[node], frames, 4);

	for (unsigned i = 0; i < n; i++)
		check_frame(node, &frames[i]);
	segment_release(own[node], frames, n);
	return n;
}

static int
has_lock(void *ctx, unsigned node)
{
	(void)ctx;
	return !now.is_taken_for_dead[node];
}

static void
send_one_twice(enum node node)
{
	send_frames(node, 1 << R, 1, ONE);
	send_frames(node, 1 << R, 1, ONE);
}

static void
send_two(enum node node)
{
	send_frames(node, 1 << R, 2, ONE);
}

static void
send_two_elsewhere(enum node node)
{
	send_frames(node, 1 << B, 2, ONE);
	receive_some(B);
	send_frames(node, 1 << B, 2, ONE);
}

static void
send_two_small(enum node node)
{
	send_frames(node, 1 << R, 2, SMALL);
}

static void
send_long(enum node node)
{
	send_frames(node, 1 << R, 1, CHAIN);
}

static void
send_to_all(enum node node)
{
	send_frames(node, (1 << A | 1 << B | 1 << R) & ~(1 << node), 1, ONE);
}

static void
receive_twice(enum node node)
{
	receive_some(node);
	receive_some(node);
}

static void
tend(enum node node)
{
	segment_tend(own[node], has_lock, NULL, 1);
}

static void
leave(enum node node)
{
	receive_some(node);
	now.is_taken_for_dead[node] = true;
	segment_leave(own[node]);
}

static struct segment_identity
identity_of(enum node node)
{
	return (struct segment_identity){.name = "node", .flags = SEGMENT_LOCKED, .pid = node};
}

// As the file's join does: the lock tells that the former life is over.
static void
join_again(enum node node)
{
	struct segment_identity identity = identity_of(node);

	segment_expel(own[NEXT], node);
	if (segment_join(own[NEXT], node, &identity))
		return;
	receive_some(NEXT);
}

// --- a run

static struct {
	unsigned step;
	enum {
		SWITCH,
		KILL,
		BE_LATE,
	} what;
	int to;
} decisions[8];
static unsigned n_decisions;
static int order[N_ACTORS];
static uint64_t n_runs;

// Where a table lies that no case uses, between what a run changes.
#define OWN_HEAD offsetof(struct segment, tx.known)
#define OWN_TAIL offsetof(struct segment, rx)

static void
restore(void)
{
	memcpy(mem, mem_before, mem_bytes);
	for (unsigned i = 0; i < N_OWN; i++) {
		memcpy(own[i], own_before[i], OWN_HEAD);
		memcpy((uint8_t *)own[i] + OWN_TAIL, own_before[i] + OWN_TAIL, segment_own_bytes(&GEOMETRY) - OWN_TAIL);
	}
	now = now_before;
	for (unsigned i = 0; i < N_ACTORS; i++) {
		actors[i].has_begun = false;
		actors[i].has_ended = !checked->actor[i].run;
	}
	violation = NULL;
}

// A sweeper, or a successor, waits until a node is dead.
static bool
is_enabled(int i)
{
	void (*run)(enum node) = checked->actor[i].run;

	if (actors[i].has_ended)
		return false;
	if (run != tend && run != join_again)
		return true;
	for (unsigned node = 0; node < N_NODES; node++)
		if (now.is_taken_for_dead[node])
			return true;
	return false;
}

static int
next_enabled(void)
{
	for (unsigned i = 0; i < N_ACTORS; i++)
		if (is_enabled(order[i]))
			return order[i];
	return -1;
}

static void
go_on(int i)
{
	struct actor *actor = &actors[i];

	if (!actor->has_begun) {
		void **top = (void **)(void *)(actor->stack + STACK_BYTES);

		actor->has_begun = true;
		*--top = NULL; // as after a call
		*--top = (void *)actor_main;
		top -= 6;
		actor->sp = top;
	}
	running = i;
	model_switch(&scheduler_sp, actor->sp);
	running = -1;
}

// False: a decision cannot be taken there.
static bool
decide(unsigned d, int *current)
{
	enum node node = checked->actor[*current].node;

	switch (decisions[d].what) {
	case SWITCH:
		if (decisions[d].to == *current || !is_enabled(decisions[d].to))
			return false;
		*current = decisions[d].to;
		return true;
	case KILL:
		if (!checked->actor[*current].can_die || !actors[*current].has_begun)
			return false;
		actors[*current].has_ended = true;
		break;
	default:
		if (!checked->actor[*current].can_be_late || !actors[*current].has_begun || now.is_late[node])
			return false;
		now.is_late[node] = true;
	}
	now.is_taken_for_dead[node] = true;
	for (int i = 0; i < N_ACTORS; i++)
		if (i != *current && is_enabled(i) && checked->actor[i].run == tend) {
			*current = i;
			return true;
		}
	*current = next_enabled();
	return true;
}

static bool
is_at_hand(enum node node, uint32_t slot, uint64_t word)
{
	const struct segment *seg = own[node];

	for (uint32_t i = 0; i < seg->tx.n_slots; i++)
		if (seg->tx.slot[(seg->tx.first + i) % SLOT_CACHE] == (slot | word << 32))
			return layout_word_is(word, (unsigned)seg->self, seg->epoch);
	return false;
}

static bool
lives(enum node node)
{
	return node == NEXT ? own[NEXT]->self >= 0 : !now.is_taken_for_dead[node];
}

static void
check_end(void)
{
	enum node tender = T;

	while (!lives(tender))
		tender--;
	// Others find a node that died while it swept or joined.
	for (unsigned i = 0; i < 18; i++)
		segment_tend(own[tender], has_lock, NULL, 1);
	for (enum node node = A; node < N_OWN; node++)
		while (lives(node) && receive_some(node))
			;
	for (uint32_t slot = 0; slot < N_SLOTS; slot++) {
		uint64_t word = *own_word(own[T], slot);
		bool is_known = layout_word_is_free(word);

		for (enum node node = A; node < N_OWN; node++)
			is_known |= lives(node) && is_at_hand(node, slot, word);
		if (!is_known)
			violate("a slot is lost");
	}
}

// Returns the number of steps, 0: the decisions do not go together.
static unsigned
run(void)
{
	unsigned step = 0, d = 0;
	int current;

	restore();
	n_runs++;
	current = next_enabled();
	while (current >= 0) {
		if (d < n_decisions && decisions[d].step == step && !decide(d++, &current))
			return 0;
		if (current < 0)
			break;
		go_on(current);
		if (++step > STEPS_MAX)
			violate("an operation does not end");
		if (violation)
			break;
		if (!is_enabled(current))
			current = next_enabled();
	}
	if (d < n_decisions)
		return 0;
	if (!violation)
		check_end();
	return step;
}

static void
print_schedule(void)
{
	static const char *const what[] = {"goes on", "dies", "is late"};

	print_message("%s: %s; order %d %d %d", checked->name, violation, order[0], order[1], order[2]);
	for (unsigned i = 0; i < n_decisions; i++)
		print_message("; before step %u: %d %s", decisions[i].step, decisions[i].to, what[decisions[i].what]);
	print_message("\n");
}

// True: all schedules with up to n more decisions are good. has_fault: one of them was a death, or
// lateness.
static bool
explore(unsigned n, bool has_fault)
{
	unsigned n_steps = run(), from = n_decisions ? decisions[n_decisions - 1].step + 1 : 1;

	if (violation) {
		print_schedule();
		return false;
	}
	if (!n_steps || !n)
		return true;
	for (unsigned step = from; step < n_steps; step++)
		for (int to = 0; to < N_ACTORS + 2; to++) {
			bool is_fault = to >= N_ACTORS, is_good;

			if (is_fault && has_fault)
				continue;
			decisions[n_decisions].step = step;
			decisions[n_decisions].what = is_fault ? to - N_ACTORS + KILL : SWITCH;
			decisions[n_decisions].to = to;
			n_decisions++;
			is_good = explore(n - 1, has_fault || is_fault);
			n_decisions--;
			if (!is_good)
				return false;
		}
	return true;
}

static void
prepare(const struct model_case *c)
{
	struct layout at;

	checked = c;
	segment_layout(&GEOMETRY, &at);
	mem_bytes = at.bytes;
	mem = aligned_alloc(4096, mem_bytes);
	mem_before = malloc(mem_bytes);
	assert_true(mem && mem_before);
	memset(mem, 0, mem_bytes);
	for (unsigned i = 0; i < N_OWN; i++) {
		struct segment_identity identity = identity_of(i);
		size_t bytes = (segment_own_bytes(&GEOMETRY) + 63) / 64 * 64;

		own[i] = aligned_alloc(64, bytes);
		own_before[i] = malloc(bytes);
		assert_true(own[i] && own_before[i]);
		memset(own[i], 0, bytes);
		segment_attach(own[i], mem, &GEOMETRY);
		if (i < N_NODES)
			assert_int_equal(segment_join(own[i], i, &identity), 0);
	}
	segment_tend(own[T], has_lock, NULL, 1); // has seen them live
	segment_tend(own[B], has_lock, NULL, 1);
	while (c->has_full_inbox && send_frames(B, 1 << R, 1, ONE))
		;
	if (c->has_dead_receiver)
		now.is_taken_for_dead[R] = send_frames(A, 1 << R, 2, ONE);
	now_before = now;
	memcpy(mem_before, mem, mem_bytes);
	for (unsigned i = 0; i < N_OWN; i++)
		memcpy(own_before[i], own[i], segment_own_bytes(&GEOMETRY));
}

static void
discard(void)
{
	for (unsigned i = 0; i < N_OWN; i++) {
		free(own[i]);
		free(own_before[i]);
	}
	free(mem);
	free(mem_before);
}

static bool
check(const struct model_case *c)
{
	static const int orders[][N_ACTORS] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
	const char *more = getenv("RTVS_MODEL_PREEMPTIONS");
	unsigned n = more ? (unsigned)strtoul(more, NULL, 10) : PREEMPTIONS;
	bool is_good = true;

	memset(&now, 0, sizeof(now));
	n_runs = 0;
	prepare(c);
	for (unsigned i = 0; is_good && i < sizeof(orders) / sizeof(orders[0]); i++) {
		memcpy(order, orders[i], sizeof(order));
		is_good = explore(n, false);
	}
	discard();
	print_message("%s: %lu schedules\n", c->name, (unsigned long)n_runs);
	return is_good;
}

// clang-format off
static const struct model_case cases[] = {
	{"a receiver's number is taken again", {{send_two, A}, {receive_twice, R, true}, {join_again, R}}},
	{"a late receiver's number is taken again", {{send_one_twice, A}, {receive_twice, R, false, true}, {join_again, R}}},
	{"two senders, one receiver", {{send_two, A}, {send_one_twice, B}, {receive_twice, R}}},
	{"a sender dies", {{send_one_twice, A, true}, {receive_twice, R}, {tend, T}}},
	{"a sender of two frames dies", {{send_two, A, true}, {receive_twice, R}, {tend, T}}},
	{"a sender of small frames dies", {{send_two_small, A, true}, {receive_twice, R}, {tend, T}}},
	{"a receiver of small frames dies", {{send_two_small, A}, {receive_twice, R, true}, {tend, T}}},
	{"a receiver of small frames is late", {{send_two_small, A}, {receive_twice, R, false, true}, {join_again, R}}},
	{"a sender of a chain dies", {{send_long, A, true}, {receive_twice, R}, {tend, T}}},
	{"a receiver dies", {{send_one_twice, A}, {receive_twice, R, true}, {tend, T}}},
	{"a receiver of two frames dies", {{send_two, A}, {receive_twice, R, true}, {tend, T}}},
	{"a receiver of a chain dies", {{send_long, A}, {receive_twice, R, true}, {tend, T}}},
	{"a frame for several, one dies", {{send_to_all, A}, {receive_twice, R, true}, {tend, T}}},
	{"a frame for several, its sender dies", {{send_to_all, A, true}, {receive_twice, R}, {tend, T}}},
	{"two clear up", {{send_two_elsewhere, A}, {tend, T}, {tend, B}}, .has_dead_receiver = true},
	{"one dies while it clears up", {{tend, T, true}, {send_two, A}, {tend, B}}, .has_dead_receiver = true},
	{"one leaves while others send", {{send_two, A}, {leave, R}, {send_one_twice, B}}},
	{"a sender is late", {{send_one_twice, A, false, true}, {send_one_twice, B}, {tend, T}}},
	{"a receiver is late", {{send_one_twice, A}, {receive_twice, R, false, true}, {tend, T}}},
	{"a full inbox", {{send_two, A}, {receive_twice, R}, {leave, B}}, .has_full_inbox = true},
};
// clang-format on
#define N_CASES (sizeof(cases) / sizeof(cases[0]))

static void
all_schedules_are_good(void **state)
{
	(void)state;
	for (unsigned i = 0; i < N_CASES; i++)
		assert_true(check(&cases[i]));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_schedules_are_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
