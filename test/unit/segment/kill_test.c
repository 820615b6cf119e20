// Nodes that die. Processes join one segment and send each other all kinds of frames: small ones in
// bursts, super-frames, broadcasts. Others take them for dead, sweep and continue. This process
// kills them at random instants, and each operation before each of its steps. No slot may be lost,
// no frame spoiled, delivered twice or out of order, no node may hang.
//
// usage: kill_test [KILLS]
//
// KILLS, 10000 by default, are those at random instants; with fewer only some of the steps have
// their kill.
//
// The content of a frame follows from its sender, the sender's life and the frame's number, so that
// a receiver can check each byte. Counts of sent and received frames are in memory that the dead
// leave behind.
#include "../unit.h"
#include "own.h" // how many slots a node has at hand, no caller needs to know
#include "rtvs/segment_file.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void segment_step(void);

#define N_NODES 6
#define N_SLOTS 208
#define HELD_MAX 6
#define BURST_MAX 12
#define SUPER_MAX 20000
#define LIMIT_S 30 // for what must happen, on a computer that has other things to do
#define STEPS_MAX 200000 // of one operation
#define RANDOM_LIFE_US 4000
#define ROUND 500 // kills between two looks at the slots
#define N_FRAMES_IN_A_STEP 5

enum phase {
	RUN,
	DRAIN, // no node sends; all waiting frames are received
	EMPTY, // nothing waits
	CHECKED, // each has said what it has
};

// At a step of one of these a node ends itself.
enum operation {
	NONE,
	JOIN,
	SEND_BURST,
	SEND_SUPER,
	SEND_TO_ALL,
	RECEIVE,
	RELEASE,
	TEND,
	SLEEP,
	LEAVE,
	N_OPERATIONS
};
static const char *const operation_names[] = {"none", "join", "send a burst", "send a super-frame", "send to all",
	"receive", "release", "tend", "sleep", "leave"};

struct shared {
	_Atomic int phase;
	_Atomic uint32_t n_lives;
	_Atomic bool has_failed, has_corpse;
	char failure[256];
	struct {
		_Atomic int phase; // that it has come to
		_Atomic bool is_ready;
		_Atomic uint64_t sent; // life << 32 | number of the last frame
		_Atomic uint64_t got[N_NODES]; // likewise, of each sender
		_Atomic uint64_t n_received, n_turns;
	} node[N_NODES];
};
static struct shared *shared;
static char path[64];

__attribute__((format(printf, 1, 2))) static void
tell(const char *format, ...)
{
	va_list args;

	if (!atomic_exchange(&shared->has_failed, true)) {
		va_start(args, format);
		vsnprintf(shared->failure, sizeof(shared->failure), format, args);
		va_end(args);
	}
	_exit(1);
}

#define MUST(condition) ((condition) ? (void)0 : tell("node %u: line %d: %s", self, __LINE__, #condition))

// --- a node

static unsigned self;
static uint32_t life, n_sent;
static struct segment_file *file;
static struct segment *seg;
static struct segment_frame held[HELD_MAX];
static unsigned n_held;
static uint64_t random_state;
static enum operation armed;
static unsigned armed_steps, n_steps;
static bool is_armed;

static uint32_t
random_below(uint32_t n)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)((random_state >> 33) * n >> 31);
}

void
segment_step(void)
{
	if (is_armed && !armed_steps--)
		(void)kill(getpid(), SIGKILL);
	if (++n_steps > STEPS_MAX)
		tell("node %u: an operation does not end", self);
}

static void
begin(enum operation operation)
{
	n_steps = 0;
	is_armed = armed == operation;
}

static void
end(void)
{
	if (is_armed)
		_exit(0); // it has fewer steps
	is_armed = false;
}

static struct mac
mac_of(unsigned node)
{
	return (struct mac){{2, 0, 0, 0, 0, (uint8_t)node}};
}

static uint64_t
word_at(uint64_t id, uint32_t i)
{
	uint64_t x = (id + 1) * UINT64_C(0x9e3779b97f4a7c15) + i * UINT64_C(0xbf58476d1ce4e5b9);

	return x ^ x >> 29;
}

struct head {
	struct mac to, from;
	uint16_t type, node;
	uint64_t id;
	uint32_t len, padding;
};

static void
write_frame(const struct segment_frame *frame, struct mac to, uint64_t id)
{
	for (uint32_t i = 0; i < frame->n_slots; i++) {
		uint32_t len;
		uint8_t *piece = segment_piece(seg, frame, i, &len);

		for (uint32_t at = 0; at < len; at += 8) {
			uint64_t word = word_at(id, i * 256 + at / 8);

			memcpy(piece + at, &word, len - at < 8 ? len - at : 8);
		}
		if (!i)
			memcpy(piece, &(struct head){to, mac_of(self), 8, (uint16_t)self, id, frame->len, 0},
				sizeof(struct head));
	}
}

static uint64_t
check_frame(const struct segment_frame *frame)
{
	struct head head;
	uint32_t len;

	memcpy(&head, segment_piece(seg, frame, 0, &len), sizeof(head));
	MUST(head.len == frame->len && head.node == frame->from && head.node != self);
	MUST(head.to.b[0] == 0xff || head.to.b[5] == self);
	for (uint32_t i = 0; i < frame->n_slots; i++) {
		const uint8_t *piece = segment_piece(seg, frame, i, &len);

		for (uint32_t at = i ? 0 : sizeof(head); at < len; at += 8) {
			uint64_t word = word_at(head.id, i * 256 + at / 8);

			MUST(!memcmp(piece + at, &word, len - at < 8 ? len - at : 8));
		}
	}
	return head.id;
}

static bool
reserve_one(struct mac to, uint32_t len, struct segment_frame *ret_frame)
{
	uint64_t set = segment_route(seg, to.b);

	if (!set || segment_reserve(seg, set, len, ret_frame))
		return false;
	write_frame(ret_frame, to, (uint64_t)life << 32 | ++n_sent);
	atomic_store(&shared->node[self].sent, (uint64_t)life << 32 | n_sent);
	return true;
}

static void
send_frames(struct mac to, unsigned n, uint32_t len)
{
	struct segment_frame frames[BURST_MAX];
	uint64_t wake = 0;
	unsigned n_made = 0;

	while (n_made < n && reserve_one(to, len, &frames[n_made]))
		n_made++;
	if (random_below(50) == 0 && n_made > 1)
		segment_unreserve(seg, &frames[--n_made]);
	segment_send(seg, frames, n_made, &wake);
	segment_file_wake(file, wake);
}

static void
release_one(void)
{
	(void)check_frame(&held[0]); // no node has written there meanwhile
	begin(RELEASE);
	segment_release(seg, held, 1);
	end();
	memmove(held, held + 1, --n_held * sizeof(held[0]));
}

static void
receive(void)
{
	struct segment_frame frames[BURST_MAX];
	unsigned n;

	begin(RECEIVE);
	n = segment_receive(seg, frames, BURST_MAX);
	if (n)
		end();
	is_armed = false;
	for (unsigned i = 0; i < n; i++) {
		uint64_t id = check_frame(&frames[i]), sent = atomic_load(&shared->node[frames[i].from].sent);
		_Atomic uint64_t *got = &shared->node[self].got[frames[i].from];

		MUST(id <= sent);
		MUST(id > atomic_load(got));
		atomic_store(got, id);
		if (n_held == HELD_MAX)
			release_one();
		held[n_held++] = frames[i];
	}
	atomic_fetch_add(&shared->node[self].n_received, n);
	while (n_held && random_below(3))
		release_one();
}

static void
join(void)
{
	struct segment_identity identity = {.mtu = 1500, .n_macs = 1, .mac = {mac_of(self)}};
	char err[SEGMENT_ERR_SIZE];
	int rc;

	snprintf(identity.name, sizeof(identity.name), "node%u", self);
	life = atomic_fetch_add(&shared->n_lives, 1) + 1;
	n_sent = 0;
	do { // one that died while it joined is found by others when they tend
		begin(JOIN);
		rc = segment_file_join(file, (int)self, &identity, err);
		MUST(!rc || rc == -EBUSY || rc == -EEXIST);
		is_armed = is_armed && !rc;
	} while (rc && !usleep(200));
	end();
}

static void
turn(void)
{
	struct mac to = mac_of((self + 1 + random_below(N_NODES - 1)) % N_NODES);

	switch (random_below(16)) {
	case 0:
		begin(SEND_SUPER);
		send_frames(to, 1, 2049 + random_below(SUPER_MAX - 2049));
		end();
		break;
	case 1:
		begin(SEND_TO_ALL);
		send_frames(
			(struct mac){{255, 255, 255, 255, 255, 255}}, 1 + random_below(3), random_below(8) ? 60 : 3000);
		end();
		break;
	case 2:
		begin(SLEEP);
		(void)segment_file_wait(file, 20000);
		end();
		break;
	case 3:
		if (random_below(armed == LEAVE ? 5 : 100))
			break;
		while (n_held)
			release_one();
		begin(LEAVE);
		segment_file_leave(file);
		end();
		join();
		break;
	default:
		begin(SEND_BURST);
		send_frames(to, armed == SEND_BURST ? N_FRAMES_IN_A_STEP : 1 + random_below(BURST_MAX),
			60 + random_below(200));
		end();
	}
}

// When nothing waits, every slot of this node is at hand.
static void
check_none_is_lost(void)
{
	struct segment_pool_info info;

	segment_look_pool(seg, &info);
	MUST(info.n_held[self] == seg->tx.n_slots);
}

static void
run_node(unsigned number, enum operation operation, unsigned n_steps_before, unsigned seed)
{
	char err[SEGMENT_ERR_SIZE];

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	self = number;
	armed = operation;
	armed_steps = n_steps_before;
	random_state = seed + (uint64_t)getpid() * 7919;
	MUST(!segment_file_open(path, false, &file, err));
	seg = segment_file_segment(file);
	join();
	for (uint32_t i = 1;; i++) {
		int phase = atomic_load(&shared->phase), reached = atomic_load(&shared->node[self].phase);
		uint64_t n_before = atomic_load(&shared->node[self].n_received);

		if (phase == RUN)
			turn();
		receive();
		if (i % 16 == 0 || armed == TEND) {
			if (armed != TEND || atomic_load(&shared->has_corpse))
				begin(TEND);
			if (segment_file_tend(file))
				end();
			is_armed = false;
			MUST(!segment_is_expelled(seg));
		}
		atomic_fetch_add(&shared->node[self].n_turns, 1);
		if (atomic_load(&shared->node[self].n_received) > 20 || i > 1000)
			atomic_store(&shared->node[self].is_ready, true);
		if (phase == EMPTY && reached < EMPTY && atomic_load(&shared->node[self].n_received) == n_before) {
			while (n_held)
				release_one();
			atomic_store(&shared->node[self].phase, EMPTY);
		} else if (phase == CHECKED && reached < CHECKED) {
			check_none_is_lost();
			atomic_store(&shared->node[self].phase, CHECKED);
		} else if (phase <= DRAIN) {
			atomic_store(&shared->node[self].phase, phase);
		}
	}
}

// --- who kills them

static pid_t pids[N_NODES];
static unsigned n_killed, run_seed;
static uint64_t n_received;

static uint64_t
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void
assert_nothing_failed(void)
{
	if (!atomic_load(&shared->has_failed))
		return;
	usleep(1000); // for its text
	for (unsigned i = 0; i < N_NODES; i++)
		if (pids[i])
			kill(pids[i], SIGKILL);
	fail_msg("%s (after %u kills)", shared->failure, n_killed);
}

static void
start(unsigned number, enum operation operation, unsigned n_steps_before)
{
	atomic_store(&shared->node[number].is_ready, false);
	pids[number] = fork();
	assert_true(pids[number] >= 0);
	if (!pids[number])
		run_node(number, operation, n_steps_before, run_seed + n_killed);
}

static bool
is_reached(unsigned number, int phase)
{
	return atomic_load(&shared->node[number].phase) == phase;
}

static void
wait_for_phase(int phase)
{
	uint64_t end_us = now_us() + LIMIT_S * UINT64_C(1000000);

	atomic_store(&shared->phase, phase);
	for (unsigned i = 0; i < N_NODES; i++)
		while (pids[i] && !is_reached(i, phase)) {
			assert_nothing_failed();
			if (now_us() > end_us)
				fail_msg("node %u hangs: phase %d, %lu turns (after %u kills)", i, phase,
					(unsigned long)atomic_load(&shared->node[i].n_turns), n_killed);
			usleep(100);
		}
}

static void
wait_until_ready(unsigned number)
{
	uint64_t end_us = now_us() + LIMIT_S * UINT64_C(1000000);

	while (!atomic_load(&shared->node[number].is_ready)) {
		assert_nothing_failed();
		if (now_us() > end_us)
			fail_msg("node %u does not come to receive (after %u kills)", number, n_killed);
		usleep(50);
	}
}

// Kills it if it has not ended itself. True: before it came to the end of an operation.
static bool
bury(unsigned number)
{
	int status;

	assert_int_equal(waitpid(pids[number], &status, 0), pids[number]);
	pids[number] = 0;
	n_received += atomic_exchange(&shared->node[number].n_received, 0);
	assert_nothing_failed();
	if (WIFSIGNALED(status))
		assert_int_equal(WTERMSIG(status), SIGKILL);
	else
		assert_int_equal(WEXITSTATUS(status), 0);
	n_killed += WIFSIGNALED(status);
	return WIFSIGNALED(status);
}

static void
kill_node(unsigned number)
{
	kill(pids[number], SIGKILL);
	(void)bury(number);
}

// Of the dead nothing is left, and each living node has what it knows of.
static void
look_at_slots(void)
{
	struct segment_pool_info info;
	struct segment_file *looker;
	char err[SEGMENT_ERR_SIZE];
	uint64_t end_us = now_us() + LIMIT_S * UINT64_C(1000000);
	unsigned dead = n_killed % N_NODES;

	kill_node(dead);
	assert_int_equal(segment_file_open(path, true, &looker, err), 0);
	do {
		segment_look_pool(segment_file_segment(looker), &info);
		if (now_us() > end_us)
			fail_msg("node %u died %u s ago and has %u slots (after %u kills)", dead, LIMIT_S,
				info.n_held[dead], n_killed);
	} while (info.n_held[dead] && !usleep(100));
	wait_for_phase(DRAIN);
	wait_for_phase(EMPTY);
	wait_for_phase(CHECKED);
	segment_file_close(looker);
	atomic_store(&shared->phase, RUN);
	start(dead, NONE, 0);
}

static void
node_that_dies_at_a_random_instant_costs_nobody_else_anything(unsigned n_kills)
{
	unsigned n_before = n_killed;

	while (n_killed - n_before < n_kills) {
		unsigned victim[3], n = 1 + random_below(3), before = n_killed;

		for (unsigned i = 0; i < n; i++) {
			victim[i] = random_below(N_NODES);
			wait_until_ready(victim[i]);
		}
		usleep(random_below(RANDOM_LIFE_US));
		for (unsigned i = 0; i < n; i++)
			if (pids[victim[i]])
				kill_node(victim[i]);
		for (unsigned i = 0; i < n; i++)
			if (!pids[victim[i]])
				start(victim[i], NONE, 0);
		if (before / ROUND != n_killed / ROUND)
			look_at_slots();
	}
}

static void
node_that_dies_at_a_step_costs_nobody_else_anything(enum operation operation, unsigned stride)
{
	unsigned number = operation % N_NODES, other = (number + 1) % N_NODES, step = 0;

	kill_node(number);
	for (unsigned n_ended = 0; n_ended < 3; step += stride) {
		start(number, operation, step);
		if (operation == TEND) { // there is a dead node to sweep
			wait_until_ready(other);
			atomic_store(&shared->has_corpse, true); // no step of an idle look counts
			kill_node(other);
		}
		n_ended = bury(number) ? 0 : n_ended + 1;
		if (operation == TEND)
			start(other, NONE, 0);
		atomic_store(&shared->has_corpse, false);
	}
	start(number, NONE, 0);
	look_at_slots();
	print_message("%s: %u steps, %u kills\n", operation_names[operation], step, n_killed);
}

static unsigned n_kills = 10000;

static void
nodes_that_die_cost_others_nothing(void **state)
{
	struct segment_create create = {.path = path,
		.geometry = {.n_nodes = N_NODES, .n_slots = N_SLOTS, .slot_bytes = 2048, .inbox_size = 64},
		.mode = 0600};
	char err[SEGMENT_ERR_SIZE];

	(void)state;
	run_seed = unit_seed();
	random_state = run_seed;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(shared != MAP_FAILED);
	snprintf(path, sizeof(path), "/dev/shm/rtvs-kill-%d", (int)getpid());
	assert_int_equal(segment_file_create(&create, err), 0);
	for (unsigned i = 0; i < N_NODES; i++)
		start(i, NONE, 0);
	for (enum operation i = JOIN; i < N_OPERATIONS; i++)
		// A look at all nodes has thousands of steps.
		node_that_dies_at_a_step_costs_nobody_else_anything(i, n_kills >= 10000 ? 1 : i == TEND ? 29 : 7);
	node_that_dies_at_a_random_instant_costs_nobody_else_anything(n_kills);
	for (unsigned i = 0; i < N_NODES; i++)
		kill_node(i);
	print_message("%u kills, %u of them at random instants; %lu frames received\n", n_killed, n_kills,
		(unsigned long)n_received);
	unlink(path);
	munmap(shared, sizeof(*shared));
}

int
main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_that_die_cost_others_nothing),
	};

	if (argc > 1)
		n_kills = (unsigned)strtoul(argv[1], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
