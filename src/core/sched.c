// The scheduler of rtvs/sched.h. A flow with packets is in exactly one of three places, by its head: `due` (guaranteed),
// `waiting` (will be, when there are tokens), or neither (never will be); in the last two it also takes part in the round of
// surplus. A flow that became due or empty leaves the round when its turn comes, not before.
// Enqueue and dequeue take O(log4 flows), surplus O(1) for each SCHED_QUANTUM_BYTES.
#include "rtvs/sched.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>

#define NS_PER_S UINT64_C(1000000000)
#define SLACK_MAX_NS NS_PER_S

static uint64_t
add_saturating(uint64_t a, uint64_t b)
{
	return a <= UINT64_MAX - b ? a + b : UINT64_MAX;
}

static uint64_t
round_up(uint64_t bytes)
{
	return (bytes + SCHED_ALIGN - 1) / SCHED_ALIGN * SCHED_ALIGN;
}

// In memory: flows, then the slots and positions of both queues. The second slot of a queue begins a cache line.
static uint64_t
slots_bytes(uint32_t n_flows)
{
	return round_up(SCHED_ALIGN + n_flows * (uint64_t)sizeof(struct edf_slot));
}

static uint64_t
positions_bytes(uint32_t n_flows)
{
	return round_up(n_flows * (uint64_t)sizeof(uint32_t));
}

uint64_t
sched_memory_bytes(uint32_t n_flows)
{
	return round_up(n_flows * (uint64_t)sizeof(struct sched_flow)) +
		2 * (slots_bytes(n_flows) + positions_bytes(n_flows));
}

void
sched_init(struct sched *s, uint32_t n_flows, void *memory, uint64_t now_ns)
{
	uint8_t *at = memory;
	struct edf *queue[2] = {&s->due, &s->waiting};

	assert((uintptr_t)memory % SCHED_ALIGN == 0);
	*s = (struct sched){.flow = memory,
		.n_flows = n_flows,
		.now_ns = now_ns,
		.link.free_ns = now_ns,
		.first_active = EDF_NONE,
		.last_active = EDF_NONE};
	at += round_up(n_flows * (uint64_t)sizeof(struct sched_flow));
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *slots = at + SCHED_ALIGN - sizeof(struct edf_slot);

		at += slots_bytes(n_flows);
		edf_init(queue[i], (struct edf_slot *)(void *)slots, (uint32_t *)(void *)at, n_flows);
		at += positions_bytes(n_flows);
	}
	for (uint32_t i = 0; i < n_flows; i++)
		s->flow[i] = (struct sched_flow){
			.params = {.weight = 1, .limit = 1}, .eligible_ns = UINT64_MAX, .next_active = EDF_NONE};
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

static bool
has_deadline(const struct sched_flow *f)
{
	return f->params.deadline_ns || f->params.min_rate;
}

// Time as the scheduler knows it, and flows whose tokens have come.
static void
advance(struct sched *s, uint64_t now_ns)
{
	if (now_ns > s->now_ns)
		s->now_ns = now_ns;
	while (!edf_is_empty(&s->waiting) && edf_first_ns(&s->waiting) <= s->now_ns) {
		uint32_t id = edf_first(&s->waiting);

		edf_remove(&s->waiting, id);
		edf_push(&s->due, id, add_saturating(s->flow[id].eligible_ns, s->flow[id].deadline_ns));
	}
}

static void
activate(struct sched *s, uint32_t id)
{
	struct sched_flow *f = &s->flow[id];

	if (f->is_active)
		return;
	f->is_active = true;
	f->deficit = SCHED_QUANTUM_BYTES * (uint64_t)f->params.weight;
	f->next_active = EDF_NONE;
	if (s->last_active == EDF_NONE)
		s->first_active = id;
	else
		s->flow[s->last_active].next_active = id;
	s->last_active = id;
}

// Takes the first flow out of the round of surplus.
static uint32_t
take_active(struct sched *s)
{
	uint32_t id = s->first_active;

	s->first_active = s->flow[id].next_active;
	if (s->first_active == EDF_NONE)
		s->last_active = EDF_NONE;
	s->flow[id].is_active = false;
	return id;
}

// When a packet of len bytes that arrived then is guaranteed. Packets are judged in their order: none before the one that
// last took tokens.
static uint64_t
eligible_ns(struct sched_flow *f, uint32_t len, uint64_t arrival_ns)
{
	uint64_t at = arrival_ns > f->tokens.last_ns ? arrival_ns : f->tokens.last_ns;

	return f->params.min_rate ? rate_ready_ns(&f->tokens, len, at) : UINT64_MAX;
}

// Puts a flow where its head belongs.
static void
place(struct sched *s, uint32_t id)
{
	struct sched_flow *f = &s->flow[id];
	uint64_t deadline_ns;
	bool is_due;

	f->eligible_ns = f->head ? eligible_ns(f, f->head->len, f->head->arrival_ns) : UINT64_MAX;
	is_due = f->head && f->eligible_ns <= s->now_ns;
	if (edf_has(&s->waiting, id)) {
		if (f->eligible_ns != UINT64_MAX && !is_due)
			edf_move(&s->waiting, id, f->eligible_ns);
		else
			edf_remove(&s->waiting, id);
	} else if (f->eligible_ns != UINT64_MAX && !is_due) {
		edf_push(&s->waiting, id, f->eligible_ns);
	}
	deadline_ns = add_saturating(f->eligible_ns, f->deadline_ns);
	if (edf_has(&s->due, id)) {
		if (is_due)
			edf_move(&s->due, id, deadline_ns);
		else
			edf_remove(&s->due, id);
	} else if (is_due) {
		edf_push(&s->due, id, deadline_ns);
	}
	if (f->head && !is_due)
		activate(s, id);
}

void
sched_set_flow(struct sched *s, uint32_t flow, const struct sched_params *params, uint64_t now_ns)
{
	struct sched_flow *f = &s->flow[flow];
	const char *field;

	assert(flow < s->n_flows && !sched_params_check(params, &field));
	(void)field;
	advance(s, now_ns);
	if (!f->params.min_rate && params->min_rate) {
		rate_init(&f->tokens, params->min_rate, params->burst, s->now_ns);
	} else {
		f->tokens.rate = params->min_rate;
		f->tokens.burst = params->burst;
		if (f->tokens.tokens >= params->burst) {
			f->tokens.tokens = params->burst;
			f->tokens.remainder = 0;
		}
	}
	f->params = *params;
	f->deadline_ns = params->deadline_ns ? params->deadline_ns : SCHED_DEADLINE_DEFAULT_NS;
	place(s, flow);
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
}

// The link takes n packets; returns when the last has left. (2^32 + 2^16 * 2^32) bytes at most, a burst: the product of
// bytes and 1e9 fits 128 bits, that of one packet 64.
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

static void
count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

// Packets of one flow with one arrival and one departure. promised_ns: their guaranteed deadline, UINT64_MAX: none.
static void
count_sent(struct sched_flow *f, bool is_guaranteed, uint32_t n, uint64_t bytes, uint64_t arrival_ns,
	uint64_t promised_ns, uint64_t left_ns)
{
	uint64_t delay_ns = left_ns > arrival_ns ? left_ns - arrival_ns : 0;

	count(is_guaranteed ? &f->stats.guaranteed_pkts : &f->stats.surplus_pkts, n);
	count(is_guaranteed ? &f->stats.guaranteed_bytes : &f->stats.surplus_bytes, bytes);
	if (f->delay)
		hist_add_n(f->delay, delay_ns, n);
	if (left_ns > promised_ns)
		count(&f->stats.broken_pkts, n);
	if (!has_deadline(f) || delay_ns <= f->deadline_ns)
		return;
	count(&f->stats.missed_pkts, n);
	if (delay_ns - f->deadline_ns > f->stats.worst_late_ns)
		count(&f->stats.worst_late_ns, delay_ns - f->deadline_ns - f->stats.worst_late_ns);
}

static struct sched_item *
take_head(struct sched *s, uint32_t id)
{
	struct sched_flow *f = &s->flow[id];
	struct sched_item *item = f->head;

	f->head = item->next;
	if (!f->head)
		f->deficit = 0;
	f->n_queued--;
	f->queued_bytes -= item->len;
	s->n_queued--;
	s->queued_bytes -= item->len;
	return item;
}

int
sched_enqueue(struct sched *s, uint32_t flow, struct sched_item *item, uint64_t now_ns)
{
	struct sched_flow *f = &s->flow[flow];

	assert(flow < s->n_flows && item->len);
	if (f->n_queued >= f->params.limit)
		return -ENOBUFS;
	item->next = NULL;
	f->n_queued++;
	f->queued_bytes += item->len;
	s->n_queued++;
	s->queued_bytes += item->len;
	if (f->head) {
		f->tail->next = item;
		f->tail = item;
		return 0;
	}
	f->head = f->tail = item;
	if (now_ns > s->now_ns)
		s->now_ns = now_ns;
	place(s, flow);
	return 0;
}

// The flow whose turn it is. All that are queued take part in the round when nothing is due.
static uint32_t
pick_surplus(struct sched *s)
{
	for (;;) {
		uint32_t id = s->first_active;
		struct sched_flow *f = &s->flow[id];

		if (f->head && f->deficit >= f->head->len) {
			f->deficit -= f->head->len;
			return id;
		}
		(void)take_active(s);
		if (f->head) {
			uint64_t deficit = f->deficit;

			activate(s, id);
			f->deficit += deficit;
		}
	}
}

// The next packet; the caller has seen that there is one.
static struct sched_item *
send_one(struct sched *s)
{
	bool is_due = !edf_is_empty(&s->due);
	uint32_t id = is_due ? edf_first(&s->due) : pick_surplus(s);
	struct sched_flow *f = &s->flow[id];
	struct sched_item *item = take_head(s, id);
	uint64_t left_ns;

	if (f->params.drops_late && has_deadline(f) && s->now_ns > add_saturating(item->arrival_ns, f->deadline_ns)) {
		item->verdict = SCHED_LATE;
		count(&f->stats.late_pkts, 1);
		count(&f->stats.missed_pkts, 1);
	} else {
		item->verdict = is_due ? SCHED_GUARANTEED : SCHED_SURPLUS;
		if (is_due)
			(void)rate_take(&f->tokens, item->len, f->eligible_ns);
		left_ns = use_link(&s->link, 1, item->len, s->now_ns);
		count_sent(f, is_due, 1, item->len, item->arrival_ns,
			is_due ? add_saturating(f->eligible_ns, f->deadline_ns) : UINT64_MAX, left_ns);
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
	advance(s, now_ns);
	while (n < max && s->n_queued && (!s->link.rate || s->link.free_ns <= s->now_ns))
		out[n++] = send_one(s);
	return n;
}

bool
sched_is_idle(const struct sched *s, uint64_t now_ns)
{
	return !s->n_queued && (!s->link.rate || s->link.free_ns <= now_ns);
}

void
sched_pass(struct sched *s, uint32_t flow, uint32_t n_pkts, uint64_t bytes, uint64_t arrival_ns, uint64_t now_ns)
{
	struct sched_flow *f = &s->flow[flow];
	uint64_t left_ns, at;
	bool is_guaranteed;

	assert(flow < s->n_flows && !s->n_queued);
	if (now_ns > s->now_ns)
		s->now_ns = now_ns;
	at = arrival_ns > f->tokens.last_ns ? arrival_ns : f->tokens.last_ns;
	is_guaranteed = f->params.min_rate && at <= s->now_ns && rate_take(&f->tokens, bytes, at);
	left_ns = use_link(&s->link, n_pkts, bytes, s->now_ns);
	count_sent(f, is_guaranteed, n_pkts, bytes, arrival_ns,
		is_guaranteed ? add_saturating(at, f->deadline_ns) : UINT64_MAX, left_ns);
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
sched_flush(struct sched *s, uint32_t flow)
{
	struct sched_item *item;

	if (!s->flow[flow].head)
		return NULL;
	item = take_head(s, flow);
	place(s, flow);
	return item;
}

uint64_t
sched_tokens(const struct sched *s, uint32_t flow, uint64_t now_ns)
{
	struct rate copy = s->flow[flow].tokens;

	(void)rate_take(&copy, 0, now_ns);
	return copy.tokens;
}

static bool
is_flow_consistent(const struct sched *s, uint32_t id)
{
	const struct sched_flow *f = &s->flow[id];
	uint64_t bytes = 0, arrival_ns = 0;
	uint32_t n = 0;

	for (const struct sched_item *item = f->head; item && n <= f->n_queued; item = item->next) {
		if (item->arrival_ns < arrival_ns || (!item->next && item != f->tail))
			return false;
		arrival_ns = item->arrival_ns;
		bytes += item->len;
		n++;
	}
	if (n != f->n_queued || bytes != f->queued_bytes)
		return false;
	if (!n)
		return !edf_has(&s->due, id) && !edf_has(&s->waiting, id);
	if (edf_has(&s->due, id))
		return !edf_has(&s->waiting, id) && f->eligible_ns <= s->now_ns;
	return f->is_active && edf_has(&s->waiting, id) == (f->eligible_ns != UINT64_MAX);
}

bool
sched_is_consistent(const struct sched *s)
{
	uint64_t bytes = 0;
	uint32_t n = 0, n_active = 0, n_in_round = 0;

	if (!edf_is_consistent(&s->due) || !edf_is_consistent(&s->waiting))
		return false;
	for (uint32_t i = 0; i < s->n_flows; i++) {
		if (!is_flow_consistent(s, i))
			return false;
		n += s->flow[i].n_queued;
		bytes += s->flow[i].queued_bytes;
		n_active += s->flow[i].is_active;
	}
	for (uint32_t id = s->first_active; id != EDF_NONE && n_in_round <= n_active; id = s->flow[id].next_active)
		n_in_round++;
	return n == s->n_queued && bytes == s->queued_bytes && n_active == n_in_round;
}
