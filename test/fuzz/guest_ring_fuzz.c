// Fuzz target: a guest's memory, which is all of the input but its beginning, and what changes in
// it between two reads of the device. The beginning says what kind of ring it is, where its parts
// lie, what the device does, and the changes. Memory is one region, and ASan watches its ends.
#include "promise.h"
#include "rtvs/guest_ring.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define N_CHANGES 16
#define N_STEPS 8
#define GUEST UINT64_C(0x10000)

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);
void guest_step(void);

struct plan {
	uint8_t kind, size_log, steps[N_STEPS];
	uint16_t desc, driver, device, avail;
	struct {
		uint16_t reads, at, value; // so many reads after the last change
	} change[N_CHANGES];
};

static uint8_t *memory;
static uint32_t n_memory;
static struct plan plan;
static unsigned n_reads, next_change;

void
guest_step(void)
{
	if (next_change == N_CHANGES || n_reads++ < plan.change[next_change].reads % 64)
		return;
	memcpy(memory + plan.change[next_change].at % (n_memory - 1), &plan.change[next_change].value, 2);
	next_change++;
	n_reads = 0;
}

static bool
is_inside(const struct guest_piece *p)
{
	return p->at >= memory && p->n_bytes && p->n_bytes <= n_memory && p->at + p->n_bytes <= memory + n_memory &&
		(uint64_t)(p->at - memory) == p->guest - GUEST;
}

static void
check_burst(const struct guest_burst *burst, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const struct guest_frame *f = &burst->frame[i];
		uint32_t n_bytes = f->n_head;

		PROMISE(f->n_head <= GUEST_HEAD && (f->n_head == GUEST_HEAD || !f->n_pieces));
		PROMISE(f->first_piece + f->n_pieces <= GUEST_BURST_PIECES);
		for (unsigned k = 0; k < f->n_pieces; k++) {
			PROMISE(is_inside(&burst->piece[f->first_piece + k]));
			n_bytes += burst->piece[f->first_piece + k].n_bytes;
		}
		PROMISE(n_bytes == f->n_bytes);
	}
}

static void
deliver(struct guest_ring *r, unsigned n_bytes)
{
	static uint8_t bytes[4096];
	struct guest_piece piece[2] = {{.at = bytes, .n_bytes = n_bytes / 3}, {.at = bytes, .n_bytes = n_bytes}};
	struct guest_hdr hdr = {.flags = 1};
	struct guest_ring_pos pos = r->pos;
	int rc = guest_ring_deliver(r, &hdr, piece, 2);

	PROMISE(!rc || !memcmp(&pos, &r->pos, sizeof(pos)));
	PROMISE(r->fault ? rc != 0 : true);
}

// Frames of a burst that was taken from another guest.
static void
deliver_frames(struct guest_ring *r, unsigned n)
{
	static struct guest_burst burst;
	static uint8_t bytes[2048];
	const uint8_t which[] = {2, 0, 1, 0};
	struct guest_ring_pos pos = r->pos;
	unsigned done;

	for (unsigned i = 0; i < 3; i++) {
		uint32_t n_piece = n * 37 * i;

		burst.piece[i] = (struct guest_piece){.at = bytes, .n_bytes = n_piece};
		burst.frame[i] = (struct guest_frame){.head = bytes,
			.n_head = (uint16_t)(n_piece ? GUEST_HEAD : n),
			.n_bytes = n_piece ? GUEST_HEAD + n_piece : n,
			.first_piece = (uint16_t)i,
			.n_pieces = n_piece > 0};
	}
	done = guest_ring_deliver_frames(r, &burst, which, n % 5);
	PROMISE(done <= n % 5 && (done || !memcmp(&pos, &r->pos, sizeof(pos))));
}

static bool
begin(struct guest_ring *r, struct guest_mem *mem)
{
	struct guest_region region = {.guest = GUEST, .user = GUEST, .n_bytes = n_memory, .host = memory};
	bool is_packed = plan.kind & 1;
	uint16_t size = is_packed ? (uint16_t)(plan.size_log % 48 + 1) : (uint16_t)(1u << plan.size_log % 7);
	struct guest_ring_bytes n = guest_ring_bytes(size, is_packed);
	uint64_t at;
	struct guest_ring_cfg cfg = {.size = size,
		.is_packed = is_packed,
		.has_event_idx = plan.kind & 2,
		.has_indirect = plan.kind & 4,
		.has_mergeable = plan.kind & 8,
		.hdr_bytes = plan.kind & 16 ? 10 : 12,
		.mem = mem,
		.pos = {.avail = plan.avail % size,
			.used = plan.avail % size,
			.avail_wrap = plan.kind & 32,
			.used_wrap = plan.kind & 32}};

	memset(mem, 0, sizeof(*mem));
	PROMISE(guest_mem_add(mem, &region) == 0);
	cfg.desc = guest_mem_of_user(mem, GUEST + plan.desc / 16 * 16, n.desc, &cfg.desc_guest);
	cfg.driver = guest_mem_of_user(mem, GUEST + plan.driver / 4 * 4, n.driver, &at);
	cfg.device = guest_mem_of_user(mem, GUEST + plan.device / 4 * 4, n.device, &cfg.device_guest);
	return cfg.desc && cfg.driver && cfg.device && !guest_ring_init(r, &cfg);
}

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	static struct guest_burst burst;
	static uint8_t head[GUEST_BURST][GUEST_HEAD];
	static struct guest_mem mem;
	struct guest_ring r;
	bool is_ring;

	if (len < sizeof(plan) + 16 || len > sizeof(plan) + 65536)
		return 0;
	memcpy(&plan, input, sizeof(plan));
	n_memory = (uint32_t)(len - sizeof(plan)) / 16 * 16;
	memory = aligned_alloc(16, n_memory);
	PROMISE(memory != NULL);
	memcpy(memory, input + sizeof(plan), n_memory);
	n_reads = next_change = 0;
	is_ring = begin(&r, &mem);
	for (unsigned i = 0; i < GUEST_BURST; i++)
		burst.frame[i].head = head[i];
	for (unsigned i = 0; is_ring && i < N_STEPS; i++) {
		switch (plan.steps[i] % 8) {
		case 0:
		case 1:
			check_burst(&burst, guest_ring_take(&r, &burst, plan.steps[i] / 8 + 1u));
			break;
		case 2:
		case 3:
			deliver(&r, plan.steps[i] * 8u);
			break;
		case 4:
			deliver_frames(&r, plan.steps[i] / 8u);
			break;
		case 5:
			guest_ring_publish(&r);
			break;
		case 6:
			(void)guest_ring_must_signal(&r);
			break;
		default:
			guest_ring_arm(&r, plan.steps[i] & 8);
			(void)guest_ring_has_work(&r);
		}
	}
	free(memory);
	return 0;
}
