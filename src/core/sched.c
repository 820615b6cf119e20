// The scheduler of rtvs/sched.h. A sender with packets is in exactly one of four places, by its
// head: `fresh` (not judged yet), `due` (guaranteed), `waiting` (guaranteed once there are tokens),
// or none (never guaranteed). In the last two the sender also takes part in the round of surplus.
// No sender is fresh when a packet leaves. A sender that became due or empty leaves the round at
// its turn, not before. All senders leave the round with the last queued packet, so that no turn is
// remembered where a burst may pass. Enqueue and dequeue take O(log4 senders). Surplus takes O(1) a
// packet as long as packets are not longer than their sender's quantum. Otherwise it takes
// O(senders), whatever their length.
#include "rtvs/sched.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>

#define NS_PER_S UINT64_C(1000000000)
#define SLACK_MAX_NS NS_PER_S
#define CODEL_COUNT_MAX (1u << 30) // of another scheduler's past
#define LOOK_AHEAD 3 // packets; 2 to 7 are alike

static uint64_t
add_saturating(uint64_t a, uint64_t b)
{
	return a <= UINT64_MAX - b ? a + b : UINT64_MAX;
}

// In memory: senders, then both queues.
static uint64_t
flows_bytes(uint32_t n_senders)
{
	return n_senders * (uint64_t)sizeof(struct sched_sender);
}

uint64_t
sched_memory_bytes(uint32_t n_senders)
{
	return flows_bytes(n_senders) + 2 * edf_memory_bytes(n_senders);
}

void
sched_init_bare(struct sched *s, uint32_t n_senders, void *memory, uint64_t now_ns)
{
	uint8_t *at = (uint8_t *)memory + flows_bytes(n_senders);

	assert((uintptr_t)memory % SCHED_ALIGN == 0);
	*s = (struct sched){.sender = memory,
		.n_senders = n_senders,
		.now_ns = now_ns,
		.link.free_ns = now_ns,
		.first_active = EDF_NONE,
		.last_active = EDF_NONE};
	edf_init_bare(&s->due, n_senders, at);
	edf_init_bare(&s->waiting, n_senders, at + edf_memory_bytes(n_senders));
}

void
sched_begin_sender(struct sched *s, uint32_t sender)
{
	assert(sender < s->n_senders);
	edf_begin_entry(&s->due, sender);
	edf_begin_entry(&s->waiting, sender);
	s->sender[sender] = (struct sched_sender){.end = &s->sender[sender].head,
		.params = {.weight = 1, .limit = 1},
		.limit = 1,
		.eligible_ns = UINT64_MAX,
		.next_active = EDF_NONE};
}

void
sched_init(struct sched *s, uint32_t n_senders, void *memory, uint64_t now_ns)
{
	sched_init_bare(s, n_senders, memory, now_ns);
	for (uint32_t i = 0; i < n_senders; i++)
		sched_begin_sender(s, i);
}

int
sched_params_check(const struct sched_params *p, const char **ret_field)
{
	const char *field = NULL;

	if (p->deadline_ns > SCHED_DEADLINE_MAX_NS)
		field = "deadline";
	else if (p->min_rate && (p->min_rate < SCHED_RATE_MIN || p->min_rate > SCHED_RATE_MAX))
		field = "min_rate";
	else if (p->burst > SCHED_BURST_MAX || (p->min_rate && !p->burst))
		field = "burst";
	else if (!p->weight || p->weight > SCHED_WEIGHT_MAX)
		field = "weight";
	else if (!p->limit)
		field = "limit";
	if (!field)
		return 0;
	*ret_field = field;
	return -EINVAL;
}

// Time as the scheduler knows it, and senders whose tokens have come.
static void
advance(struct sched *s, uint64_t now_ns)
{
	if (now_ns > s->now_ns)
		s->now_ns = now_ns;
	while (!edf_is_empty(&s->waiting) && edf_first_ns(&s->waiting) <= s->now_ns) {
		uint32_t id = edf_first(&s->waiting);

		edf_remove(&s->waiting, id);
		edf_push(&s->due, id, add_saturating(s->sender[id].eligible_ns, s->sender[id].deadline_ns));
	}
}

static void
activate(struct sched *s, uint32_t id)
{
	struct sched_sender *f = &s->sender[id];

	if (f->is_active)
		return;
	f->is_active = true;
	f->deficit = SCHED_QUANTUM_BYTES * (uint64_t)f->params.weight;
	f->next_active = EDF_NONE;
	if (s->last_active == EDF_NONE)
		s->first_active = id;
	else
		s->sender[s->last_active].next_active = id;
	s->last_active = id;
}

// Takes the first sender out of the round of surplus.
static uint32_t
take_active(struct sched *s)
{
	uint32_t id = s->first_active;

	s->first_active = s->sender[id].next_active;
	if (s->first_active == EDF_NONE)
		s->last_active = EDF_NONE;
	s->sender[id].is_active = false;
	return id;
}

// The time at which the next packet of the sender is guaranteed, UINT64_MAX: never. Packets are
// judged in the order of the queue: none as of a time before the one ahead of it.
static uint64_t
eligible_ns(struct sched_sender *f, uint32_t len, uint64_t arrival_ns)
{
	uint64_t at = arrival_ns > f->tokens.last_ns ? arrival_ns : f->tokens.last_ns;

	if (!f->tokens.rate)
		return UINT64_MAX;
	rate_refill(&f->tokens, at);
	return len * RATE_SCALE <= f->tokens.tokens ? at : rate_ready_ns(&f->tokens, len, at);
}

static void
judge_head(struct sched_sender *f)
{
	f->eligible_ns = eligible_ns(f, f->head->len, f->head->arrival_ns);
}

// A head that is not guaranteed now.
static void
wait_for_tokens(struct sched *s, uint32_t id)
{
	if (s->sender[id].eligible_ns != UINT64_MAX)
		edf_push(&s->waiting, id, s->sender[id].eligible_ns);
	activate(s, id);
}

// Of a sender that is in neither queue.
static void
queue_head(struct sched *s, uint32_t id)
{
	struct sched_sender *f = &s->sender[id];

	judge_head(f);
	if (f->eligible_ns <= s->now_ns)
		edf_push(&s->due, id, add_saturating(f->eligible_ns, f->deadline_ns));
	else
		wait_for_tokens(s, id);
}

// Together, senders are brought into order with few mispredicted branches.
void
sched_judge(struct sched *s)
{
	struct edf_entry due[EDF_BURST];
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->n_fresh; i++) {
		uint32_t id = s->fresh[i];
		struct sched_sender *f = &s->sender[id];

		judge_head(f);
		if (f->eligible_ns > s->now_ns) {
			wait_for_tokens(s, id);
			continue;
		}
		due[n++] = (struct edf_entry){add_saturating(f->eligible_ns, f->deadline_ns), id};
		if (n == EDF_BURST) {
			edf_push_burst(&s->due, due, n);
			n = 0;
		}
	}
	if (n)
		edf_push_burst(&s->due, due, n);
	s->n_fresh = 0;
}

// Puts a sender where its head belongs, wherever it was.
static void
place(struct sched *s, uint32_t id)
{
	struct sched_sender *f = &s->sender[id];

	if (edf_has(&s->due, id))
		edf_remove(&s->due, id);
	if (edf_has(&s->waiting, id))
		edf_remove(&s->waiting, id);
	if (f->head)
		queue_head(s, id);
}

void
sched_set_sender(struct sched *s, uint32_t sender, const struct sched_params *params, uint64_t now_ns)
{
	struct sched_sender *f = &s->sender[sender];
	const char *field;

	assert(sender < s->n_senders && !sched_params_check(params, &field));
	(void)field;
	sched_judge(s);
	advance(s, now_ns);
	if (!f->params.min_rate && params->min_rate)
		rate_init(&f->tokens, params->min_rate, params->burst, s->now_ns);
	else if (f->params.min_rate != params->min_rate || f->params.burst != params->burst)
		rate_set(&f->tokens, params->min_rate, params->burst, s->now_ns);
	f->params = *params;
	f->deadline_ns = params->deadline_ns ? params->deadline_ns : SCHED_DEADLINE_DEFAULT_NS;
	f->has_deadline = params->deadline_ns || params->min_rate;
	f->drops_late = params->drops_late && f->has_deadline;
	f->limit = params->limit;
	place(s, sender);
}

void
sched_set_aqm(struct sched *s, uint32_t sender, bool is_on)
{
	struct sched_sender *f = &s->sender[sender];

	assert(sender < s->n_senders);
	if (is_on != f->has_aqm)
		f->codel = (struct codel){0};
	f->has_aqm = is_on;
}

void
sched_set_link(struct sched *s, uint64_t rate, uint64_t slack_ns, uint32_t overhead, uint64_t now_ns)
{
	assert(rate <= SCHED_RATE_MAX && slack_ns <= SLACK_MAX_NS);
	advance(s, now_ns);
	if (rate != s->link.rate)
		s->link.remainder = 0;
	s->link.rate = rate;
	s->link.slack_ns = slack_ns;
	s->link.overhead = overhead;
	s->link.target_ns = codel_target_ns(rate, SCHED_QUANTUM_BYTES);
}

// The link takes n packets; returns when the last has left. A burst is below 2^33 bytes, overhead
// included. Times 1e9, and with the remainder, that fits 64 bits.
static uint64_t
use_link(struct sched_link *link, uint32_t n_pkts, uint64_t bytes, uint64_t now_ns)
{
	uint64_t work;

	if (!link->rate)
		return now_ns;
	if (now_ns > link->slack_ns && link->free_ns < now_ns - link->slack_ns) {
		link->free_ns = now_ns - link->slack_ns;
		link->remainder = 0;
	}
	work = (bytes + (uint64_t)n_pkts * link->overhead) * NS_PER_S + link->remainder;
	link->free_ns += work / link->rate;
	link->remainder = work % link->rate;
	return link->free_ns > now_ns ? link->free_ns : now_ns;
}

// Would use_link return now_ns? Without its division: a port that is not busy asks for each burst.
static bool
has_time(const struct sched_link *link, uint32_t n_pkts, uint64_t bytes, uint64_t now_ns)
{
	uint64_t free_ns = link->free_ns, remainder = link->remainder, work;

	if (!link->rate)
		return true;
	if (now_ns > link->slack_ns && free_ns < now_ns - link->slack_ns) {
		free_ns = now_ns - link->slack_ns;
		remainder = 0;
	}
	work = (bytes + (uint64_t)n_pkts * link->overhead) * NS_PER_S + remainder;
	return free_ns <= now_ns && work < (unsigned __int128)(now_ns - free_ns + 1) * link->rate;
}

// The part that other threads may read.
static void
set(uint32_t *value, uint32_t to)
{
	__atomic_store_n(value, to, __ATOMIC_RELAXED);
}

static void
count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

// Packets that left, or were dropped, delay_ns after their arrival.
static void
count_late(struct sched_sender *f, uint32_t n, uint32_t n_broken, uint64_t delay_ns)
{
	if (n_broken)
		count(&f->stats.broken_pkts, n_broken);
	if (!f->has_deadline || delay_ns <= f->deadline_ns)
		return;
	count(&f->stats.missed_pkts, n);
	if (delay_ns - f->deadline_ns > f->stats.worst_late_ns)
		count(&f->stats.worst_late_ns, delay_ns - f->deadline_ns - f->stats.worst_late_ns);
}

static uint64_t
since(uint64_t then_ns, uint64_t now_ns)
{
	return now_ns > then_ns ? now_ns - then_ns : 0;
}

// A packet that left. promised_ns: its guaranteed deadline, UINT64_MAX: none.
static void
count_sent(struct sched_sender *f, bool is_guaranteed, const struct sched_item *item, uint64_t promised_ns,
	uint64_t left_ns)
{
	uint64_t delay_ns = since(item->arrival_ns, left_ns);

	count(is_guaranteed ? &f->stats.guaranteed_pkts : &f->stats.surplus_pkts, 1);
	count(is_guaranteed ? &f->stats.guaranteed_bytes : &f->stats.surplus_bytes, item->len);
	if (f->delay)
		hist_add(f->delay, delay_ns);
	count_late(f, 1, left_ns > promised_ns, delay_ns);
}

static struct sched_item *
take_head(struct sched *s, struct sched_sender *f)
{
	struct sched_item *item = f->head;

	set(&f->n_queued, f->n_queued - 1);
	if (f->n_queued) {
		f->head = item->next;
		__builtin_prefetch(f->head->next); // judged when the one before it leaves
	} else {
		f->head = NULL;
		f->end = &f->head;
		if (f->is_active) // else it gets one when it becomes active
			f->deficit = 0;
	}
	if (!--s->n_queued)
		while (s->first_active != EDF_NONE)
			(void)take_active(s);
	return item;
}

// Rounds until the deficit of a sender reaches the length of its head.
static uint64_t
rounds_to_send(const struct sched_sender *f)
{
	uint64_t quantum = SCHED_QUANTUM_BYTES * (uint64_t)f->params.weight;

	return f->deficit >= f->head->len ? 0 : (f->head->len - f->deficit + quantum - 1) / quantum;
}

// A round that sends nothing adds a quantum to the deficit of every sender and keeps their order: n
// of them are a sum.
static void
skip_rounds(struct sched *s, uint64_t n)
{
	for (uint32_t id = s->first_active; id != EDF_NONE; id = s->sender[id].next_active)
		s->sender[id].deficit += n * SCHED_QUANTUM_BYTES * s->sender[id].params.weight;
}

// The sender whose turn it is. All that are queued take part in the round when nothing is due.
static uint32_t
pick_surplus(struct sched *s)
{
	uint32_t first_passed = EDF_NONE;
	uint64_t n_rounds = UINT64_MAX; // until one of those that were passed over may send

	for (;;) {
		uint32_t id = s->first_active;
		struct sched_sender *f = &s->sender[id];
		uint64_t n;

		if (id == first_passed) {
			skip_rounds(s, n_rounds);
			first_passed = EDF_NONE;
		}
		if (f->head && f->deficit >= f->head->len) {
			f->deficit -= f->head->len;
			return id;
		}
		(void)take_active(s);
		if (!f->head)
			continue;
		n = f->deficit;
		activate(s, id);
		f->deficit += n;
		n = rounds_to_send(f);
		n_rounds = n < n_rounds ? n : n_rounds;
		if (first_passed == EDF_NONE)
			first_passed = id;
	}
}

// True: the packet must not be sent any more. promised_ns as of count_sent: a broken guarantee is
// one, sent or not.
static bool
is_too_late(const struct sched *s, struct sched_sender *f, struct sched_item *item, uint64_t promised_ns)
{
	uint64_t delay_ns = since(item->arrival_ns, s->now_ns);

	if (!f->drops_late || delay_ns <= f->deadline_ns)
		return false;
	item->verdict = SCHED_LATE;
	count(&f->stats.late_pkts, 1);
	count_late(f, 1, s->now_ns > promised_ns, delay_ns);
	return true;
}

// Packets have waited for long, and are cold.
static inline void
prefetch_head(const struct sched *s, uint32_t sender)
{
	if (sender != EDF_NONE)
		__builtin_prefetch(s->sender[sender].head);
}

static struct sched_item *
send_due(struct sched *s)
{
	uint32_t id = edf_first(&s->due);
	struct sched_sender *f = &s->sender[id];
	struct sched_item *item = take_head(s, f);
	uint64_t promised_ns = edf_first_ns(&s->due);

	prefetch_head(s, edf_peek(&s->due, LOOK_AHEAD));
	if (!is_too_late(s, f, item, promised_ns)) {
		item->verdict = SCHED_GUARANTEED;
		(void)rate_take(&f->tokens, item->len, f->eligible_ns);
		count_sent(f, true, item, promised_ns, use_link(&s->link, 1, item->len, s->now_ns));
	}
	edf_remove(&s->due, id);
	if (f->n_queued)
		queue_head(s, id);
	return item;
}

// True: the packet is dropped so that its senders slow down. It takes neither the link's time nor
// the sender's turn.
static bool
is_managed_away(const struct sched *s, struct sched_sender *f, struct sched_item *item)
{
	uint64_t waited_ns = since(item->arrival_ns, s->now_ns);

	if (!f->has_aqm || !s->link.rate || !codel_drops(&f->codel, waited_ns, !f->head, s->link.target_ns, s->now_ns))
		return false;
	item->verdict = SCHED_AQM;
	f->deficit += item->len;
	count_late(f, 1, 0, waited_ns);
	return true;
}

static struct sched_item *
send_surplus(struct sched *s)
{
	uint32_t id = pick_surplus(s);
	struct sched_sender *f = &s->sender[id];
	struct sched_item *item = take_head(s, f);

	if (!is_too_late(s, f, item, UINT64_MAX) && !is_managed_away(s, f, item)) {
		item->verdict = SCHED_SURPLUS;
		count_sent(f, false, item, UINT64_MAX, use_link(&s->link, 1, item->len, s->now_ns));
	}
	place(s, id);
	return item;
}

unsigned
sched_dequeue(struct sched *s, struct sched_item **out, unsigned max, uint64_t now_ns)
{
	unsigned n = 0;

	if (!s->n_queued)
		return 0;
	sched_judge(s);
	advance(s, now_ns);
	while (n < max && s->n_queued && (!s->link.rate || s->link.free_ns <= s->now_ns))
		out[n++] = edf_is_empty(&s->due) ? send_surplus(s) : send_due(s);
	return n;
}

bool
sched_may_pass(
	const struct sched *s, uint32_t sender, uint32_t n_pkts, uint64_t bytes, uint64_t arrival_ns, uint64_t now_ns)
{
	const struct sched_sender *f = &s->sender[sender];
	uint64_t waited_ns = since(arrival_ns, now_ns);
	const struct sched_link *link = &s->link;

	if (s->n_queued || n_pkts > f->limit || (f->drops_late && waited_ns > f->deadline_ns))
		return false;
	// Active queue management has nothing to say about what has not waited for its target.
	return !link->rate || (waited_ns < link->target_ns && has_time(link, n_pkts, bytes, now_ns));
}

// True: there are tokens for all of the packets as of one time, *ret_at_ns, and they are taken.
static bool
takes_together(struct sched_sender *f, uint64_t bytes, uint64_t arrival_ns, uint64_t now_ns, uint64_t *ret_at_ns)
{
	uint64_t at = arrival_ns > f->tokens.last_ns ? arrival_ns : f->tokens.last_ns;

	*ret_at_ns = at;
	return f->tokens.rate && at <= now_ns && rate_take(&f->tokens, bytes, at);
}

void
sched_pass(
	struct sched *s, uint32_t sender, const uint32_t *lens, uint32_t n_pkts, uint64_t arrival_ns, uint64_t now_ns)
{
	struct sched_sender *f = &s->sender[sender];
	uint64_t bytes = 0, bytes_guaranteed = 0, delay_ns, at_ns;
	uint32_t n_guaranteed = 0, n_broken = 0;

	assert(sender < s->n_senders && !s->n_queued);
	if (now_ns > s->now_ns)
		s->now_ns = now_ns;
	delay_ns = since(arrival_ns, s->now_ns);
	for (uint32_t i = 0; i < n_pkts; i++)
		bytes += lens[i];
	if (takes_together(f, bytes, arrival_ns, s->now_ns, &at_ns)) {
		n_guaranteed = n_pkts;
		bytes_guaranteed = bytes;
		n_broken = s->now_ns > add_saturating(at_ns, f->deadline_ns) ? n_pkts : 0;
	} else {
		for (uint32_t i = 0; i < n_pkts; i++) {
			at_ns = eligible_ns(f, lens[i], arrival_ns);
			if (at_ns > s->now_ns)
				continue;
			(void)rate_take(&f->tokens, lens[i], at_ns);
			n_guaranteed++;
			bytes_guaranteed += lens[i];
			n_broken += s->now_ns > add_saturating(at_ns, f->deadline_ns);
		}
	}
	(void)use_link(&s->link, n_pkts, bytes, s->now_ns);
	count(&f->stats.guaranteed_pkts, n_guaranteed);
	count(&f->stats.guaranteed_bytes, bytes_guaranteed);
	count(&f->stats.surplus_pkts, n_pkts - n_guaranteed);
	count(&f->stats.surplus_bytes, bytes - bytes_guaranteed);
	if (f->delay)
		hist_add_n(f->delay, delay_ns, n_pkts);
	count_late(f, n_pkts, n_broken, delay_ns);
	if (f->has_aqm && s->link.rate && n_guaranteed < n_pkts)
		(void)codel_drops(&f->codel, delay_ns, true, s->link.target_ns, s->now_ns);
}

bool
sched_next_ns(const struct sched *s, uint64_t *ret_ns, uint64_t now_ns)
{
	if (!s->n_queued)
		return false;
	*ret_ns = s->link.rate && s->link.free_ns > now_ns ? s->link.free_ns : now_ns;
	return true;
}

struct sched_item *
sched_flush(struct sched *s, uint32_t sender)
{
	struct sched_item *item;

	if (!s->sender[sender].head)
		return NULL;
	sched_judge(s);
	item = take_head(s, &s->sender[sender]);
	place(s, sender);
	return item;
}

uint64_t
sched_tokens(const struct sched *s, uint32_t sender, uint64_t now_ns)
{
	return rate_look(&s->sender[sender].tokens, now_ns);
}

void
sched_past(const struct sched *s, uint32_t sender, struct sched_past *ret_past)
{
	const struct sched_sender *f = &s->sender[sender];

	*ret_past = (struct sched_past){
		.stats = f->stats, .tokens = f->tokens.tokens, .tokens_ns = f->tokens.last_ns, .codel = f->codel};
}

static void
restore_stats(struct sched_sender_stats *to, const struct sched_sender_stats *from)
{
	count(&to->guaranteed_pkts, from->guaranteed_pkts);
	count(&to->guaranteed_bytes, from->guaranteed_bytes);
	count(&to->surplus_pkts, from->surplus_pkts);
	count(&to->surplus_bytes, from->surplus_bytes);
	count(&to->missed_pkts, from->missed_pkts);
	count(&to->broken_pkts, from->broken_pkts);
	count(&to->late_pkts, from->late_pkts);
	if (from->worst_late_ns > to->worst_late_ns)
		count(&to->worst_late_ns, from->worst_late_ns - to->worst_late_ns);
}

// A state that codel_drops could have left on this link: no time is further ahead than an interval.
static bool
is_codel(const struct codel *c, uint64_t target_ns, uint64_t now_ns)
{
	uint64_t most_ns = now_ns + CODEL_INTERVAL_NS + target_ns;

	return c->first_above_ns <= most_ns && c->drop_next_ns <= most_ns && c->count <= CODEL_COUNT_MAX &&
		c->last_count <= c->count && (c->count || !c->is_dropping);
}

void
sched_restore(struct sched *s, uint32_t sender, const struct sched_past *past, uint64_t now_ns)
{
	struct sched_sender *f = &s->sender[sender];

	assert(sender < s->n_senders && !f->head);
	advance(s, now_ns);
	restore_stats(&f->stats, &past->stats);
	if (f->tokens.rate) {
		rate_store(&f->tokens.tokens, past->tokens < f->tokens.full ? past->tokens : f->tokens.full);
		rate_store(&f->tokens.last_ns, past->tokens_ns < s->now_ns ? past->tokens_ns : s->now_ns);
	}
	if (f->has_aqm && is_codel(&past->codel, s->link.target_ns, s->now_ns))
		f->codel = past->codel;
}

void
sched_restore_link(struct sched *s, uint64_t free_ns, uint64_t now_ns)
{
	uint64_t most_ns = s->link.rate ? SCHED_PACKET_MAX * NS_PER_S / s->link.rate : 0;

	advance(s, now_ns);
	s->link.free_ns = since(s->now_ns, free_ns) <= most_ns ? free_ns : s->now_ns + most_ns;
	s->link.remainder = 0;
}

static uint32_t
n_times_fresh(const struct sched *s, uint32_t id)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->n_fresh; i++)
		n += s->fresh[i] == id;
	return n;
}

static bool
is_sender_consistent(const struct sched *s, uint32_t id)
{
	const struct sched_sender *f = &s->sender[id];
	uint32_t n = 0;

	for (const struct sched_item *item = f->head; item && n <= f->n_queued; item = item->next) {
		if (!item->next && f->end != &item->next)
			return false;
		n++;
	}
	if (n != f->n_queued)
		return false;
	if (!n || n_times_fresh(s, id))
		return n_times_fresh(s, id) == !!n && !edf_has(&s->due, id) && !edf_has(&s->waiting, id);
	if (edf_has(&s->due, id))
		return !edf_has(&s->waiting, id) && f->eligible_ns <= s->now_ns;
	return f->is_active && edf_has(&s->waiting, id) == (f->eligible_ns != UINT64_MAX);
}

bool
sched_is_consistent(const struct sched *s)
{
	uint32_t n = 0, n_active = 0, n_in_round = 0;

	if (!edf_is_consistent(&s->due) || !edf_is_consistent(&s->waiting))
		return false;
	for (uint32_t i = 0; i < s->n_senders; i++) {
		if (!is_sender_consistent(s, i))
			return false;
		n += s->sender[i].n_queued;
		n_active += s->sender[i].is_active;
	}
	for (uint32_t id = s->first_active; id != EDF_NONE && n_in_round <= n_active; id = s->sender[id].next_active)
		n_in_round++;
	return n == s->n_queued && n_active == n_in_round;
}
