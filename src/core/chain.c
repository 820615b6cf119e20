// The stages of a followed packet, and the records of packets that passed all of them. A stage has
// one owner at a time, and only the owner may advance it. Where two threads may (consumed by the
// driver, answered), compare-and-exchange decides. The comparison includes the id: a thread that
// had no core for a while finds another packet, perhaps at the same stage. Invariant: a record is
// written between winning STAGE_ENDING and storing STAGE_FREE, so the ring has one writer at a
// time.
#include "rtvs/chain.h"

#include <string.h>

// This many packets pass before the next one is followed, below it. Otherwise only packets behind a
// pause would be followed.
#define MAX_SKIPPED 4
#define PLAIN_EVERY 16 // followed packets, of which one is not woken ahead for
// The estimate moves by this part of itself towards each measurement, and so follows the median;
// the first measurements may be stalled.
#define WAKE_STEP 16
#define WAKE_FIRST_STEP 4
#define WAKE_FIRST 32

enum stage {
	STAGE_FREE,
	STAGE_QUEUED,
	STAGE_PUT,
	STAGE_CONSUMED,
	STAGE_ANSWERING, // its time is being written
	STAGE_ANSWERED,
	STAGE_ENDING
};

#define STAGE_BITS 8
#define KEY_WORDS (sizeof(struct chain_key) / sizeof(uint64_t))
_Static_assert(sizeof(struct chain_key) % sizeof(uint64_t) == 0, "a key is whole words");

static uint64_t
state_of(const struct chain *c)
{
	return atomic_load_explicit(&c->state, memory_order_acquire);
}

static enum stage
stage_in(uint64_t state)
{
	return state & ((1 << STAGE_BITS) - 1);
}

static uint32_t
id_in(uint64_t state)
{
	return (uint32_t)(state >> STAGE_BITS);
}

static uint64_t
state(uint32_t id, enum stage stage)
{
	return (uint64_t)id << STAGE_BITS | stage;
}

static bool
move(struct chain *c, uint64_t from, enum stage to)
{
	return atomic_compare_exchange_strong_explicit(
		&c->state, &from, state(id_in(from), to), memory_order_acq_rel, memory_order_relaxed);
}

// Its owner only.
static void
set_stage(struct chain *c, enum stage to)
{
	uint64_t now = atomic_load_explicit(&c->state, memory_order_relaxed);

	atomic_store_explicit(&c->state, state(id_in(now), to), memory_order_release);
}

// Pollers may read a key while the next one is written. The state then differs from the one that
// they read before.
static void
store_key(struct chain *c, const struct chain_key *key)
{
	uint64_t word[KEY_WORDS];

	memcpy(word, key, sizeof(word));
	atomic_thread_fence(memory_order_release);
	for (unsigned i = 0; i < KEY_WORDS; i++)
		atomic_store_explicit(&c->key[i], word[i], memory_order_relaxed);
}

static void
load_key(const struct chain *c, struct chain_key *ret_key)
{
	uint64_t word[KEY_WORDS];

	for (unsigned i = 0; i < KEY_WORDS; i++)
		word[i] = atomic_load_explicit(&c->key[i], memory_order_relaxed);
	atomic_thread_fence(memory_order_acquire);
	memcpy(ret_key, word, sizeof(word));
}

// How far index a is ahead of b.
static uint32_t
ahead(const struct chain_ring *ring, uint16_t a, uint16_t b)
{
	return (a + ring->cycle - b) % ring->cycle;
}

void
chain_init(struct chain *c, uint64_t interval_ns)
{
	memset(c, 0, sizeof(*c));
	atomic_store_explicit(&c->interval_ns, interval_ns, memory_order_relaxed);
}

bool
chain_is_due(const struct chain *c, uint64_t now_ns)
{
	return now_ns >= c->next_ns && stage_in(state_of(c)) == STAGE_FREE;
}

bool
chain_begin(struct chain *c, const struct chain_key *key, uint64_t arrived_ns, uint32_t *ret_id, uint64_t now_ns)
{
	uint32_t id = id_in(state_of(c));

	if (!chain_is_due(c, now_ns) || (key->dst_mac >> 40 & 1))
		return false;
	if (c->n_skipped++ < id % MAX_SKIPPED)
		return false;
	c->n_skipped = 0;
	c->next_ns = now_ns + atomic_load_explicit(&c->interval_ns, memory_order_relaxed);
	c->step_ns = now_ns;
	store_key(c, key);
	c->record = (struct chain_record){.arrived_ns = arrived_ns, .queued_ns = now_ns};
	atomic_store_explicit(&c->consumed_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&c->answered_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&c->left_ns, 0, memory_order_relaxed);
	*ret_id = id + 1;
	atomic_store_explicit(&c->state, state(id + 1, STAGE_QUEUED), memory_order_release);
	return true;
}

bool
chain_is_queued(const struct chain *c, uint32_t id)
{
	return state_of(c) == state(id, STAGE_QUEUED);
}

void
chain_put(struct chain *c, const struct chain_ring *before, uint16_t put, uint64_t prewoken_ns, uint64_t put_ns,
	uint64_t now_ns)
{
	struct chain_record *r = &c->record;

	r->put_ns = put_ns;
	r->kicked_ns = now_ns;
	r->prewoken_ns = prewoken_ns >= r->queued_ns ? prewoken_ns : 0;
	c->end = put;
	if (before) {
		r->depth = before->is_polling ? 0 : ahead(before, before->put, before->wanted);
		// Virtio 1.2, 2.7.7.2: a kick is due when the requested index is among those of the
		// burst.
		r->is_kicked = !before->is_polling &&
			ahead(before, before->wanted, before->put) < ahead(before, put, before->put);
	}
	c->step_ns = now_ns;
	set_stage(c, STAGE_PUT);
}

bool
chain_is_watched(const struct chain *c)
{
	enum stage stage = stage_in(state_of(c));

	return stage == STAGE_PUT || stage == STAGE_ANSWERING;
}

static void
learn_wake(struct chain *c, uint64_t took_ns)
{
	uint64_t wake_ns = atomic_load_explicit(&c->wake_ns, memory_order_relaxed);
	uint64_t step = wake_ns / (c->n_wakes < WAKE_FIRST ? WAKE_FIRST_STEP : WAKE_STEP) + 1;

	c->n_wakes++;
	if (!wake_ns)
		wake_ns = took_ns;
	else if (took_ns > wake_ns)
		wake_ns += step;
	else if (took_ns < wake_ns)
		wake_ns -= step < wake_ns ? step : 0;
	atomic_store_explicit(&c->wake_ns, wake_ns, memory_order_relaxed);
}

// In STAGE_ENDING.
static void
end(struct chain *c)
{
	struct chain_record *r = &c->record;
	uint32_t n = atomic_load_explicit(&c->n_written, memory_order_relaxed);

	r->consumed_ns = atomic_load_explicit(&c->consumed_ns, memory_order_relaxed);
	r->answered_ns = atomic_load_explicit(&c->answered_ns, memory_order_relaxed);
	r->left_ns = atomic_load_explicit(&c->left_ns, memory_order_relaxed);
	// An answered packet had been consumed, whether the driver had said so or not.
	if (r->answered_ns && (!r->consumed_ns || r->consumed_ns > r->answered_ns))
		r->consumed_ns = r->answered_ns;
	if (r->is_kicked && !r->prewoken_ns && r->consumed_ns > r->put_ns)
		learn_wake(c, r->consumed_ns - r->put_ns);
	if (n - atomic_load_explicit(&c->n_read, memory_order_acquire) < CHAIN_KEPT) {
		c->kept[n % CHAIN_KEPT] = *r;
		atomic_store_explicit(&c->n_written, n + 1, memory_order_release);
	} else {
		atomic_fetch_add_explicit(&c->lost, 1, memory_order_relaxed);
	}
	set_stage(c, STAGE_FREE);
}

void
chain_look(struct chain *c, const struct chain_ring *ring, uint64_t now_ns)
{
	uint64_t seen = state_of(c);
	enum stage stage = stage_in(seen);

	if (stage == STAGE_FREE || stage == STAGE_ANSWERING || stage == STAGE_ENDING)
		return;
	if (now_ns > c->step_ns && now_ns - c->step_ns > CHAIN_TIMEOUT_NS) {
		if (move(c, seen, STAGE_ENDING))
			end(c);
		return;
	}
	// Half of the indices are behind, half ahead.
	if (stage == STAGE_PUT && ring && !ring->is_polling && ahead(ring, ring->wanted, c->end) < ring->cycle / 2) {
		atomic_store_explicit(&c->consumed_ns, now_ns, memory_order_relaxed);
		c->step_ns = now_ns;
		(void)move(c, seen, STAGE_CONSUMED);
	}
}

static bool
is_answer(const struct chain_key *asked, const struct chain_key *answer)
{
	return asked->src_mac == answer->dst_mac && asked->dst_mac == answer->src_mac &&
		asked->ether_type == answer->ether_type && asked->proto == answer->proto &&
		asked->src_port == answer->dst_port && asked->dst_port == answer->src_port &&
		!memcmp(asked->src, answer->dst, sizeof(asked->src)) &&
		!memcmp(asked->dst, answer->src, sizeof(asked->dst));
}

static bool
is_unanswered(uint64_t seen)
{
	return stage_in(seen) == STAGE_PUT || stage_in(seen) == STAGE_CONSUMED;
}

bool
chain_is_unanswered(const struct chain *c)
{
	return is_unanswered(state_of(c));
}

bool
chain_answer(struct chain *c, const struct chain_key *key, uint32_t *ret_id, uint64_t now_ns)
{
	uint64_t seen = state_of(c);
	struct chain_key asked;

	if (!is_unanswered(seen))
		return false;
	load_key(c, &asked);
	if (!is_answer(&asked, key))
		return false;
	// The owner may see it consumed meanwhile.
	if (!move(c, seen, STAGE_ANSWERING) && !move(c, state(id_in(seen), STAGE_CONSUMED), STAGE_ANSWERING))
		return false;
	*ret_id = id_in(seen);
	atomic_store_explicit(&c->answered_ns, now_ns, memory_order_relaxed);
	set_stage(c, STAGE_ANSWERED);
	return true;
}

void
chain_left(struct chain *c, uint32_t id, uint64_t now_ns)
{
	if (!move(c, state(id, STAGE_ANSWERED), STAGE_ENDING))
		return;
	atomic_store_explicit(&c->left_ns, now_ns, memory_order_relaxed);
	end(c);
}

bool
chain_may_prewake(const struct chain *c)
{
	uint64_t seen = state_of(c);

	return atomic_load_explicit(&c->wake_ns, memory_order_relaxed) &&
		!(stage_in(seen) == STAGE_QUEUED && id_in(seen) % PLAIN_EVERY == 0);
}

bool
chain_next(struct chain *c, struct chain_record *ret_record)
{
	uint32_t n = atomic_load_explicit(&c->n_read, memory_order_relaxed);

	if (n == atomic_load_explicit(&c->n_written, memory_order_acquire))
		return false;
	*ret_record = c->kept[n % CHAIN_KEPT];
	atomic_store_explicit(&c->n_read, n + 1, memory_order_release);
	return true;
}
