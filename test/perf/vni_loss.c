// Losses of bursts in a segment of 16 nodes: one common pool, or buffers for each pair of nodes, at
// equal memory. The same code that carries frames between processes runs here in turns, so that a
// run is exact and can be repeated. In each turn every node starts bursts by the same random
// numbers whatever was lost, sends as permitted, and takes a fixed number of frames out of its
// inbox.
//
// usage: vni_loss pool|separate even|skewed|stuck SLOTS INBOX RHO SEED TURNS
//   even     all nodes receive alike, at RHO of what they take
//   skewed   node 0 at RHO, the others at a quarter of it
//   stuck    as even, but node 0 takes nothing in the middle third of the turns
// One line of JSON. lost_others: of frames that were not for node 0; lost_inbox_full: for want of
// room in an inbox, not of a slot. used_at_loss: the share of the slots that held a frame whenever
// one was lost; used_peak: at most.
#include "rtvs/segment.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_NODES 16
#define PAGE 4096
#define FRAME 1514
#define SLOT_BYTES 2048
#define TAKE 8 // frames that a node takes out of its inbox in a turn
#define SEND 32 // that it puts in at most
#define MEAN_BURST 64.0 // frames; geometrically distributed
#define MAX_BURSTS 4096 // that wait at a node

enum load {
	LOAD_EVEN,
	LOAD_SKEWED,
	LOAD_STUCK
};

struct burst {
	unsigned to, left;
};

struct sender {
	struct burst queue[MAX_BURSTS];
	unsigned first, n;
};

struct tally {
	uint64_t offered, lost, lost_others, used_at_loss, used_peak, used;
};

static uint64_t
random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static double
random_unit(uint64_t *state)
{
	return (double)(random_next(state) >> 11) * 0x1p-53;
}

// Starts a burst with the probability that keeps the receiver at its load.
static void
maybe_start(struct sender *sender, unsigned to, double rho, uint64_t *state)
{
	double chance = rho * TAKE / MEAN_BURST / (N_NODES - 1);
	unsigned frames = 1 + (unsigned)(log(1 - random_unit(state)) / log(1 - 1 / MEAN_BURST));

	if (random_unit(state) >= chance || sender->n == MAX_BURSTS)
		return;
	sender->queue[(sender->first + sender->n++) % MAX_BURSTS] = (struct burst){to, frames};
}

static double
rho_of(enum load load, unsigned to, double rho)
{
	return load == LOAD_SKEWED && to ? rho / 4 : rho;
}

static void
lose(struct tally *tally, unsigned to, unsigned n)
{
	tally->lost += n;
	tally->lost_others += to ? n : 0;
	tally->used_at_loss += tally->used * n;
}

static void
send_turn(struct segment *seg, struct sender *sender, struct tally *tally)
{
	for (unsigned room = SEND; room && sender->n;) {
		struct burst *burst = &sender->queue[sender->first];
		unsigned n = burst->left < room ? burst->left : room, made = 0, sent;
		struct segment_frame frames[SEND];
		uint64_t wake = 0;

		while (made < n && !segment_reserve(seg, UINT64_C(1) << burst->to, FRAME, &frames[made]))
			made++;
		sent = segment_send(seg, frames, made, &wake);
		tally->offered += n;
		tally->used += sent;
		if (tally->used > tally->used_peak)
			tally->used_peak = tally->used;
		lose(tally, burst->to, n - sent);
		room -= n;
		burst->left -= n;
		if (!burst->left) {
			sender->first = (sender->first + 1) % MAX_BURSTS;
			sender->n--;
		}
	}
}

static void
receive_turn(struct segment *seg, struct tally *tally)
{
	struct segment_frame frames[TAKE];
	unsigned n = segment_receive(seg, frames, TAKE);

	tally->used -= n;
	segment_release(seg, frames, n);
}

// own: what the node knows by itself.
static struct segment *
join(void *own, void *mem, const struct segment_geometry *g, unsigned node)
{
	struct segment_identity who = {.mtu = 1500, .n_macs = 1, .mac = {{{2, 0, 0, 0, 0, (uint8_t)node}}}};
	struct segment *seg = segment_attach(own, mem, g);

	(void)snprintf(who.name, sizeof(who.name), "n%u", node);
	return segment_join(seg, node, &who) ? NULL : seg;
}

// Zero.
static uint8_t *
pages(size_t size)
{
	void *mem = aligned_alloc(PAGE, (size + PAGE - 1) & ~(size_t)(PAGE - 1));

	if (mem)
		memset(mem, 0, size);
	return mem;
}

static void
run(struct segment *nodes[], enum load load, double rho, uint64_t seed, uint64_t turns, struct tally *tally)
{
	static struct sender senders[N_NODES];
	uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;

	for (uint64_t turn = 0; turn < turns; turn++) {
		bool is_stuck = load == LOAD_STUCK && turn >= turns / 3 && turn < turns / 3 * 2;

		for (unsigned from = 0; from < N_NODES; from++)
			for (unsigned to = 0; to < N_NODES; to++)
				if (to != from)
					maybe_start(&senders[from], to, rho_of(load, to, rho), &state);
		for (unsigned i = 0; i < N_NODES; i++)
			send_turn(nodes[(turn + i) % N_NODES], &senders[(turn + i) % N_NODES], tally);
		for (unsigned i = is_stuck; i < N_NODES; i++)
			receive_turn(nodes[i], tally);
	}
}

int
main(int argc, char **argv)
{
	static const uint8_t id[16] = {1};
	struct segment_geometry g = {.n_nodes = N_NODES, .slot_bytes = SLOT_BYTES};
	struct segment *nodes[N_NODES];
	struct segment_node_info info;
	struct tally tally = {0};
	uint64_t inbox_full = 0;
	const char *field;
	enum load load;
	size_t size, own_size;
	uint8_t *mem, *own;

	if (argc != 8)
		return 2;
	g.buffers = strcmp(argv[1], "pool") ? SEGMENT_SEPARATE : SEGMENT_POOL;
	load = !strcmp(argv[2], "stuck") ? LOAD_STUCK : !strcmp(argv[2], "skewed") ? LOAD_SKEWED : LOAD_EVEN;
	g.n_slots = (uint32_t)strtoul(argv[3], NULL, 10);
	g.inbox_size = (uint32_t)strtoul(argv[4], NULL, 10);
	if (segment_check_geometry(&g, &field)) {
		fprintf(stderr, "vni_loss: %s is out of range\n", field);
		return 2;
	}
	size = segment_bytes(&g);
	own_size = (segment_own_bytes(&g) + 63) & ~(size_t)63;
	mem = pages(size);
	own = pages(own_size * N_NODES);
	if (!mem || !own || segment_format(mem, size, &g, id))
		return 1;
	for (unsigned i = 0; i < N_NODES; i++) {
		nodes[i] = join(own + i * own_size, mem, &g, i);
		if (!nodes[i])
			return 1;
	}
	run(nodes, load, strtod(argv[5], NULL), strtoull(argv[6], NULL, 10), strtoull(argv[7], NULL, 10), &tally);
	for (unsigned i = 0; i < N_NODES; i++)
		if (segment_look(nodes[i], i, &info))
			inbox_full += info.counters.tx_inbox_full;
	printf("{\"offered\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"lost_others\": %" PRIu64
	       ", \"lost_inbox_full\": %" PRIu64 ", \"used_at_loss\": %.4f, \"used_peak\": %.4f, \"bytes\": %zu}\n",
		tally.offered, tally.lost, tally.lost_others, inbox_full,
		tally.lost ? (double)tally.used_at_loss / (double)tally.lost / g.n_slots : 0.0,
		(double)tally.used_peak / g.n_slots, size);
	return 0;
}
