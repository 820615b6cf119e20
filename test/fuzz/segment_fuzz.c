// Fuzz target: a node of a segment that writes anything anywhere, while others join, send, receive,
// tend and leave. They come to an end, stay within the segment, and find it whole again when the
// liar is gone and they have joined anew. The input's first page is also read as a header.
//
// A command is four bytes: what, which node or part, and where or how much.
#include "promise.h"
#include "rtvs/segment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_NODES 3
#define PAGE 4096
#define COMMANDS_MAX 2000

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

static const struct segment_geometry GEOMETRY = {
	.n_nodes = N_NODES, .n_slots = 132, .slot_bytes = 2048, .inbox_size = 64};
static uint64_t *mem;
static struct segment *nodes[N_NODES];
static struct segment *looker;
static uint8_t copied[SEGMENT_MAX_FRAME];

static void
check_header(const uint8_t *input, size_t len)
{
	struct segment_geometry g;
	uint8_t *page = aligned_alloc(PAGE, PAGE);

	PROMISE(page);
	memset(page, 0, PAGE);
	memcpy(page, input, len < PAGE ? len : PAGE);
	for (unsigned is_large = 0; is_large < 2; is_large++)
		if (!segment_read_geometry(page, is_large ? SIZE_MAX : PAGE, &g))
			PROMISE(segment_bytes(&g) && !segment_check_geometry(&g, NULL));
	free(page);
}

static struct segment *
attach(void)
{
	size_t bytes = (segment_own_bytes(&GEOMETRY) + 63) / 64 * 64;
	void *own = aligned_alloc(64, bytes);

	PROMISE(own);
	memset(own, 0, bytes);
	return segment_attach(own, mem, &GEOMETRY);
}

static int
join(unsigned i)
{
	struct segment_identity identity = {.name = "node", .n_macs = 1, .mac = {{{2, 0, 0, 0, 0, (uint8_t)i}}}};

	return segment_join(nodes[i], i, &identity);
}

static unsigned
receive(unsigned i)
{
	struct segment_frame frames[8];
	unsigned n = segment_receive(nodes[i], frames, 8);

	for (unsigned k = 0; k < n; k++) {
		PROMISE(frames[k].len >= 14 && frames[k].len <= SEGMENT_MAX_FRAME);
		PROMISE(frames[k].n_slots && frames[k].n_slots <= SEGMENT_MAX_CHAIN);
		segment_copy(nodes[i], &frames[k], copied);
	}
	segment_release(nodes[i], frames, n);
	return n;
}

static int
put(unsigned from, unsigned to, uint32_t len)
{
	struct segment_frame frame;
	uint64_t wake = 0;
	int rc = segment_reserve(nodes[from], to, len, &frame);

	if (rc)
		return rc;
	return segment_send(nodes[from], &frame, 1, &wake) ? 0 : -1;
}

// Parts of the segment by how often they matter; anything else lies behind the last.
static void
lie(const uint8_t c[4])
{
	size_t n_words = segment_bytes(&GEOMETRY) / 8, at = (size_t)(c[2] | c[3] << 8);
	uint64_t value;

	switch (c[1] % 4) {
	case 0: // header and nodes
		at %= 2 * PAGE / 8;
		break;
	case 1: // inboxes and words of slots
		at = 2 * PAGE / 8 + at % (2 * PAGE / 8);
		break;
	default:
		at = at * 7 % n_words;
	}
	value = mem[at];
	switch (c[1] / 4 % 8) {
	case 0:
		value ^= UINT64_C(1) << (c[0] + c[3]) % 64;
		break;
	case 1:
		value = mem[(at + c[2]) % n_words];
		break;
	case 2:
		value += UINT64_C(1) << c[2] % 64;
		break;
	case 3:
		value = UINT64_MAX;
		break;
	case 4:
		value = 0;
		break;
	default:
		value = (uint64_t)(c[2] + 1) * UINT64_C(0x9e3779b97f4a7c15) * (c[3] + 1);
	}
	mem[at] = value;
}

static void
obey(const uint8_t c[4], uint64_t now_ns)
{
	unsigned i = c[1] % N_NODES;
	struct segment_node_info info;
	struct segment_pool_info pool;

	switch (c[0] % 16) {
	case 8:
		(void)put(i, 1u << c[2] % N_NODES, 14 + c[3] * 8u);
		break;
	case 9:
		(void)put(i, 7, c[3] % 2 ? 60 : 5000);
		break;
	case 10:
		(void)put(i, 1u << c[2] % N_NODES, 14 + c[3] * 257u);
		break;
	case 11:
	case 12:
		(void)receive(i);
		break;
	case 13:
		(void)segment_tend(nodes[i], NULL, NULL, now_ns);
		break;
	case 14:
		if (c[2] % 2)
			segment_leave(nodes[i]);
		else if (segment_self(nodes[i]) < 0)
			(void)join(i);
		break;
	case 15:
		(void)segment_look(looker, i, &info);
		segment_look_pool(looker, &pool);
		(void)segment_sleep(nodes[i]);
		(void)segment_route(nodes[i], (const uint8_t[]){2, 0, 0, 0, 0, c[2]});
		break;
	default:
		lie(c);
	}
}

static void
check_that_it_is_whole_again(void)
{
	struct segment_pool_info pool;

	for (unsigned i = 0; i < N_NODES; i++)
		segment_leave(nodes[i]);
	for (unsigned i = 0; i < N_NODES; i++)
		(void)segment_expel(looker, i);
	(void)segment_sweep(looker);
	segment_look_pool(looker, &pool);
	PROMISE(pool.n_free == GEOMETRY.n_slots);
	for (unsigned i = 0; i < N_NODES; i++)
		PROMISE(!join(i));
	// Entries of a liar in an inbox of later lives are passed over.
	for (unsigned i = 0; i < N_NODES; i++)
		PROMISE(!receive(i));
	for (unsigned i = 0; i < N_NODES; i++)
		for (unsigned to = 0; to < N_NODES; to++)
			for (unsigned n = 0; i != to && n < GEOMETRY.inbox_size + 3; n++) {
				PROMISE(!put(i, 1u << to, 60));
				PROMISE(receive(to) == 1);
			}
}

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	size_t bytes = segment_bytes(&GEOMETRY);
	uint64_t now_ns = 1;

	check_header(input, len);
	mem = aligned_alloc(PAGE, bytes);
	PROMISE(mem);
	memset(mem, 0, bytes);
	PROMISE(!segment_format(mem, bytes, &GEOMETRY, (const uint8_t[16]){0}));
	looker = attach();
	for (unsigned i = 0; i < N_NODES; i++) {
		nodes[i] = attach();
		PROMISE(!join(i));
	}
	for (size_t at = 0; at + 4 <= len && at < 4 * COMMANDS_MAX; at += 4) {
		now_ns += (uint64_t)input[at] << 20;
		// No program calls for a node that has left.
		if (input[at] % 16 < 8 || input[at] % 16 > 10 || segment_self(nodes[input[at + 1] % N_NODES]) >= 0)
			obey(input + at, now_ns);
	}
	check_that_it_is_whole_again();
	for (unsigned i = 0; i < N_NODES; i++)
		free(nodes[i]);
	free(looker);
	free(mem);
	return 0;
}
