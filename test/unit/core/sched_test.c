// One port's scheduler under virtual time: its rules one by one, and random operations against a
// model that searches every sender and counts tokens as exact rationals. Admission's promises are
// compared with the scheduler's results.
#include "../unit.h"
#include "rtvs/admission.h"
#include "rtvs/random.h"
#include "rtvs/sched.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_S UINT64_C(1000000000)
#define MS UINT64_C(1000000)
#define US UINT64_C(1000)
#define MBIT (UINT64_C(1000000) / 8)
#define MAX_SENDERS 16
#define BATCH 64

static struct sched s;
static void *memory;
static struct sched_item items[4096];
static unsigned n_items;

static void
begin(uint32_t n_senders, uint64_t now_ns)
{
	free(memory);
	memory = aligned_alloc(SCHED_ALIGN, sched_memory_bytes(n_senders));
	assert_non_null(memory);
	sched_init(&s, n_senders, memory, now_ns);
	n_items = 0;
}

static int
teardown(void **state)
{
	(void)state;
	free(memory);
	memory = NULL;
	return 0;
}

static struct sched_params
rt(uint64_t deadline_ns, uint64_t min_rate, uint64_t burst)
{
	return (struct sched_params){
		.deadline_ns = deadline_ns, .min_rate = min_rate, .burst = burst, .weight = 1, .limit = 1000};
}

static const struct sched_params plain = {.weight = 1, .limit = 1000};

static struct sched_item *
send(uint32_t sender, uint32_t len, uint64_t now_ns)
{
	struct sched_item *item = &items[n_items++ % 4096];

	*item = (struct sched_item){.len = len, .arrival_ns = now_ns, .user = (uint16_t)sender};
	assert_int_equal(sched_enqueue(&s, sender, item, now_ns), 0);
	assert_true(sched_is_consistent(&s));
	return item;
}

static struct sched_item *
next(uint64_t now_ns)
{
	struct sched_item *item = NULL;
	unsigned n = sched_dequeue(&s, &item, 1, now_ns);

	assert_true(sched_is_consistent(&s));
	return n ? item : NULL;
}

static void
earliest_deadline_leaves_first_and_surplus_last(void **state)
{
	struct sched_params slow = rt(5 * MS, MBIT, 3000), fast = rt(1 * MS, MBIT, 3000);
	struct sched_item *a, *b, *c;

	(void)state;
	begin(3, 0);
	sched_set_sender(&s, 0, &plain, 0);
	sched_set_sender(&s, 1, &slow, 0);
	sched_set_sender(&s, 2, &fast, 0);
	a = send(0, 1000, 10);
	b = send(1, 1000, 20);
	c = send(2, 1000, 30);
	assert_ptr_equal(next(40), c);
	assert_ptr_equal(next(40), b);
	assert_ptr_equal(next(40), a);
	assert_null(next(40));
	assert_int_equal(c->verdict, SCHED_GUARANTEED);
	assert_int_equal(a->verdict, SCHED_SURPLUS);
	// An earlier arrival outweighs a longer deadline.
	b = send(1, 1000, 1 * MS);
	c = send(2, 1000, 5 * MS + 1);
	assert_ptr_equal(next(6 * MS), b);
	assert_ptr_equal(next(6 * MS), c);
}

static void
sender_is_fifo_when_its_deadline_changes(void **state)
{
	struct sched_params p = rt(9 * MS, MBIT, 6000), other = rt(5 * MS, MBIT, 6000);
	struct sched_item *a[3], *b;

	(void)state;
	begin(2, 0);
	sched_set_sender(&s, 0, &p, 0);
	sched_set_sender(&s, 1, &other, 0);
	a[0] = send(0, 1000, 0);
	a[1] = send(0, 1000, 0);
	b = send(1, 1000, 0);
	p.deadline_ns = 1 * MS; // the packets that wait inherit it
	sched_set_sender(&s, 0, &p, 0);
	a[2] = send(0, 1000, 0);
	for (unsigned i = 0; i < 3; i++)
		assert_ptr_equal(next(0), a[i]);
	assert_ptr_equal(next(0), b);
}

static void
packet_beyond_its_tokens_waits_for_them_or_for_surplus(void **state)
{
	struct sched_params p = rt(1 * MS, MBIT, 1000); // 125,000 bytes/s: 1,000 bytes in 8 ms
	struct sched_item *a, *b, *c;
	uint64_t at;

	(void)state;
	begin(2, 0);
	sched_set_sender(&s, 0, &p, 0);
	sched_set_sender(&s, 1, &plain, 0);
	sched_set_link(&s, MBIT * 100, 0, 0, 0);
	a = send(0, 1000, 0);
	b = send(0, 1000, 0);
	c = send(0, 1000, 0);
	assert_ptr_equal(next(0), a);
	assert_int_equal(a->verdict, SCHED_GUARANTEED);
	assert_null(next(1)); // the link is busy for 80 us
	assert_true(sched_next_ns(&s, &at, 1));
	assert_int_equal(at, 80 * US);
	assert_ptr_equal(next(80 * US), b);
	assert_int_equal(b->verdict, SCHED_SURPLUS); // and takes no tokens:
	(void)send(1, 1000, 100 * US);
	assert_ptr_equal(next(8 * MS), c);
	assert_int_equal(c->verdict, SCHED_GUARANTEED);
}

// A packet that conforms on arrival is guaranteed however long the link was taken: the bucket does
// not overflow meanwhile.
static void
waiting_costs_no_guarantee(void **state)
{
	struct sched_params p = rt(50 * MS, MBIT, 1000);

	(void)state;
	begin(1, 0);
	sched_set_sender(&s, 0, &p, 0);
	sched_set_link(&s, MBIT, 0, 0, 0);
	sched_pass(&s, 0, &(uint32_t){1}, 1, 0, 0); // 8 us
	for (unsigned i = 0; i < 5; i++)
		(void)send(0, 1000, 8 * US + i * 8 * MS);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(next(40 * MS + i * 8 * MS)->verdict, SCHED_GUARANTEED);
	assert_int_equal(s.sender[0].stats.broken_pkts, 0);
}

static void
late_packets_are_dropped_where_asked(void **state)
{
	struct sched_params drops = rt(1 * MS, MBIT, 5000), sends = rt(1 * MS, MBIT, 5000);
	struct sched_item *item;

	(void)state;
	begin(2, 0);
	drops.drops_late = true;
	sched_set_sender(&s, 0, &drops, 0);
	sched_set_sender(&s, 1, &sends, 0);
	(void)send(0, 1000, 0);
	(void)send(1, 1000, 0);
	(void)send(0, 1000, 2 * MS);
	item = next(1 * MS + 1);
	assert_int_equal(item->verdict, SCHED_LATE);
	assert_int_equal(next(2 * MS)->verdict, SCHED_GUARANTEED);
	assert_int_equal(next(3 * MS)->verdict, SCHED_GUARANTEED); // just in time
	assert_int_equal(s.sender[0].stats.late_pkts, 1);
	assert_int_equal(s.sender[0].stats.missed_pkts, 1);
	// Dropped or sent, a promise was not kept.
	assert_int_equal(s.sender[0].stats.broken_pkts, 1);
	assert_int_equal(s.sender[0].stats.worst_late_ns, 1);
	assert_int_equal(s.sender[1].stats.missed_pkts, 1);
	assert_int_equal(s.sender[1].stats.broken_pkts, 1);
	assert_int_equal(s.sender[1].stats.worst_late_ns, 1 * MS);
}

// Packets of a sender beyond its bucket wait for tokens. They are late by the sender's own doing,
// and dropping them breaks no promise.
static void
packet_that_is_late_by_its_own_doing_breaks_no_promise(void **state)
{
	struct sched_params p = rt(1 * MS, MBIT, 1000);

	(void)state;
	begin(1, 0);
	p.drops_late = true;
	sched_set_sender(&s, 0, &p, 0);
	sched_set_link(&s, MBIT, 0, 0, 0);
	(void)send(0, 1000, 0);
	(void)send(0, 1000, 0); // guaranteed at 8 ms
	assert_int_equal(next(0)->verdict, SCHED_GUARANTEED);
	assert_int_equal(next(8 * MS + 1)->verdict, SCHED_LATE);
	assert_int_equal(s.sender[0].stats.late_pkts, 1);
	// One that left after 8 ms, one that was dropped.
	assert_int_equal(s.sender[0].stats.missed_pkts, 2);
	assert_int_equal(s.sender[0].stats.broken_pkts, 1);
}

static void
new_rate_or_burst_grants_nothing_for_the_past(void **state)
{
	struct sched_params p = rt(1 * MS, MBIT, 1000), faster = rt(1 * MS, 100 * MBIT, 1000),
			    larger = rt(1 * MS, MBIT, 9000);

	(void)state;
	begin(1, 0);
	sched_set_sender(&s, 0, &p, 0);
	(void)send(0, 1000, 0);
	assert_non_null(next(0));
	sched_set_sender(&s, 0, &faster, 4 * MS); // 500 bytes came at the old rate
	assert_int_equal(sched_tokens(&s, 0, 4 * MS), 500);
	assert_int_equal(sched_tokens(&s, 0, 4 * MS + 10 * US), 625);
	sched_set_sender(&s, 0, &p, 5 * MS);
	assert_int_equal(sched_tokens(&s, 0, 5 * MS), 1000);
	sched_set_sender(&s, 0, &larger, 5000 * MS); // the bucket was full at 1,000
	assert_int_equal(sched_tokens(&s, 0, 5000 * MS), 1000);
	assert_int_equal(sched_tokens(&s, 0, 5008 * MS), 2000);
}

// The same with waiting packets: all guaranteed ones from the change on conform to the new rate and
// burst.
static void
new_rate_guarantees_no_backlog_at_once(void **state)
{
	struct sched_params p = rt(1 * MS, MBIT, 1000), faster = rt(1 * MS, 10 * MBIT, 1000);
	uint64_t guaranteed = 0;

	(void)state;
	begin(2, 0);
	sched_set_sender(&s, 0, &p, 0);
	sched_set_sender(&s, 1, &plain, 0);
	sched_set_link(&s, MBIT, 0, 0, 0);
	sched_pass(&s, 1, &(uint32_t){125000}, 1, 0, 0); // 1 s
	for (unsigned i = 0; i < 900; i++)
		(void)send(0, 1000, i * MS);
	sched_set_sender(&s, 0, &faster, NS_PER_S);
	sched_set_link(&s, 100 * MBIT, 0, 0, NS_PER_S);
	for (uint64_t now = NS_PER_S; now < NS_PER_S + 50 * MS; now += 10 * US) {
		struct sched_item *item = next(now);

		guaranteed += item && item->verdict == SCHED_GUARANTEED ? item->len : 0;
		assert_true(guaranteed <= 1000 + 10 * MBIT * (now - NS_PER_S) / NS_PER_S);
	}
}

// Two workers receive a sender's packets: the order of the queue stays, and each packet is late by
// its own arrival.
static void
earlier_arrival_behind_a_later_one_is_judged_after_it(void **state)
{
	struct sched_params p = rt(1 * MS, MBIT, 2000);
	struct sched_item *a, *b;

	(void)state;
	begin(1, 0);
	sched_set_sender(&s, 0, &p, 0);
	sched_set_link(&s, MBIT, 0, 0, 0);
	a = send(0, 1000, 5 * MS);
	b = send(0, 1000, 5 * MS);
	b->arrival_ns = 4 * MS;
	assert_true(sched_is_consistent(&s));
	assert_ptr_equal(next(5 * MS), a);
	assert_ptr_equal(next(13 * MS), b);
	assert_int_equal(b->verdict, SCHED_GUARANTEED);
	assert_int_equal(s.sender[0].stats.worst_late_ns, (13 + 8 - 4 - 1) * MS);
}

static void
limit_is_kept_and_one_more_is_refused(void **state)
{
	struct sched_params p = plain;
	struct sched_item more = {.len = 1};

	(void)state;
	begin(1, 0);
	p.limit = 3;
	sched_set_sender(&s, 0, &p, 0);
	for (unsigned i = 0; i < 3; i++)
		(void)send(0, 100, 0);
	assert_int_equal(sched_enqueue(&s, 0, &more, 0), -ENOBUFS);
	assert_non_null(next(0));
	assert_int_equal(sched_enqueue(&s, 0, &more, 0), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_non_null(sched_flush(&s, 0));
	assert_null(sched_flush(&s, 0));
	assert_true(sched_is_consistent(&s));
}

// Senders that were empty are judged together, SCHED_FRESH_MAX at most. They leave as if each had
// been judged at once, also when one of them changes, or loses its packets, before.
static void
flows_that_come_together_leave_by_deadline(void **state)
{
	enum {
		SENDERS = SCHED_FRESH_MAX + 1
	};
	struct sched_params p = rt(1 * MS, MBIT, 3000);

	(void)state;
	begin(SENDERS, 0);
	for (uint32_t i = 0; i < SENDERS; i++) {
		p.deadline_ns = (SENDERS - i) * MS;
		sched_set_sender(&s, i, &p, 0);
	}
	for (uint32_t i = 0; i < SENDERS; i++) {
		(void)send(i, 1000, 0);
		assert_int_equal(s.n_fresh, (i + 1) % SCHED_FRESH_MAX);
	}
	for (uint32_t i = 0; i < SENDERS; i++)
		assert_int_equal(next(0)->user, SENDERS - 1 - i);
	assert_null(next(0));
	for (uint32_t i = 0; i < 4; i++)
		(void)send(i, 1000, 1 * MS);
	assert_non_null(sched_flush(&s, 3));
	assert_true(sched_is_consistent(&s));
	(void)send(1, 1000, 1 * MS);
	(void)send(4, 1000, 1 * MS);
	p.deadline_ns = 1;
	sched_set_sender(&s, 4, &p, 1 * MS);
	assert_true(sched_is_consistent(&s));
	assert_int_equal(next(1 * MS)->user, 4);
	assert_int_equal(next(1 * MS)->user, 2);
	assert_int_equal(next(1 * MS)->user, 1);
	assert_int_equal(next(1 * MS)->user, 1);
	assert_int_equal(next(1 * MS)->user, 0);
	assert_null(next(1 * MS));
}

static void
parameters_out_of_range_are_named(void **state)
{
	static const struct {
		struct sched_params p;
		const char *field;
	} cases[] = {
		{{.deadline_ns = SCHED_DEADLINE_MAX_NS + 1, .weight = 1, .limit = 1}, "deadline"},
		{{.min_rate = SCHED_RATE_MIN - 1, .burst = 1, .weight = 1, .limit = 1}, "min_rate"},
		{{.min_rate = SCHED_RATE_MAX + 1, .burst = 1, .weight = 1, .limit = 1}, "min_rate"},
		{{.min_rate = SCHED_RATE_MIN, .weight = 1, .limit = 1}, "burst"},
		{{.burst = SCHED_BURST_MAX + 1, .weight = 1, .limit = 1}, "burst"},
		{{.weight = 0, .limit = 1}, "weight"},
		{{.weight = SCHED_WEIGHT_MAX + 1, .limit = 1}, "weight"},
		{{.weight = 1, .limit = 0}, "limit"},
	};
	struct sched_params good = {.deadline_ns = SCHED_DEADLINE_MAX_NS,
		.min_rate = SCHED_RATE_MAX,
		.burst = SCHED_BURST_MAX,
		.weight = SCHED_WEIGHT_MAX,
		.limit = UINT32_MAX};
	const char *field = NULL;

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(sched_params_check(&cases[i].p, &field), -EINVAL);
		assert_string_equal(field, cases[i].field);
	}
	assert_int_equal(sched_params_check(&good, &field), 0);
}

// Surplus of backlogged senders, by weight: at any time within one quantum and one packet of each.
static void
surplus_is_shared_by_weight(void **state)
{
	static const uint32_t weights[] = {1, 2, 5, 9}, lens[] = {64, 1514, 700, 9014};
	uint64_t served[4] = {0};
	struct sched_item *item;

	(void)state;
	begin(4, 0);
	for (uint32_t i = 0; i < 4; i++) {
		struct sched_params p = plain;

		p.weight = weights[i];
		sched_set_sender(&s, i, &p, 0);
		for (unsigned k = 0; k < 3; k++)
			(void)send(i, lens[i], 0);
	}
	for (unsigned step = 0; step < 20000; step++) {
		item = next(step);
		served[item->user] += item->len;
		(void)send(item->user, item->len, step);
		for (unsigned a = 0; step > 100 && a < 4; a++)
			for (unsigned b = 0; b < 4; b++) {
				// Service per weight differs by less than a quantum, and the part
				// of a quantum that one packet is.
				double gap = (double)served[a] / weights[a] - (double)served[b] / weights[b];
				double bound = 2 * SCHED_QUANTUM_BYTES + (double)lens[a] / weights[a] +
					(double)lens[b] / weights[b];

				assert_true(gap < bound);
			}
	}
}

static void
emptied_sender_keeps_nothing_of_its_turn(void **state)
{
	(void)state;
	begin(2, 0);
	for (uint32_t i = 0; i < 2; i++)
		sched_set_sender(&s, i, &plain, 0);
	(void)send(0, 100, 0);
	(void)send(1, 1000, 0);
	assert_int_equal(next(0)->user, 0); // 1,414 of its quantum are left
	(void)send(0, 1000, 0);
	assert_int_equal(next(0)->user, 1);
	assert_int_equal(next(0)->user, 0);
}

// The round as its definition has it, one step at a time. Returns the sender that sends.
struct round {
	uint32_t order[MAX_SENDERS], n;
	uint64_t deficit[MAX_SENDERS];
};

static uint32_t
walk_round(struct round *r, const uint32_t *weights, const uint32_t *lens)
{
	for (;;) {
		uint32_t id = r->order[0];

		if (r->deficit[id] >= lens[id]) {
			r->deficit[id] -= lens[id];
			return id;
		}
		r->deficit[id] += SCHED_QUANTUM_BYTES * (uint64_t)weights[id];
		memmove(r->order, r->order + 1, (r->n - 1) * sizeof(r->order[0]));
		r->order[r->n - 1] = id;
	}
}

static void
long_packets_take_turns_as_if_each_round_were_walked(void **state)
{
	uint64_t seed = 161803;

	(void)state;
	print_message("seed %llu\n", (unsigned long long)seed);
	for (unsigned set = 0; set < 200; set++) {
		uint32_t weights[MAX_SENDERS], lens[MAX_SENDERS];
		struct round r = {.n = 1 + (uint32_t)random_below(&seed, MAX_SENDERS)};

		begin(r.n, 0);
		for (uint32_t i = 0; i < r.n; i++) {
			struct sched_params p = plain;

			p.weight = weights[i] = 1 + (uint32_t)random_below(&seed, 4);
			lens[i] = 1 + (uint32_t)random_below(&seed, random_below(&seed, 2) ? 1514 : 65550);
			sched_set_sender(&s, i, &p, 0);
			(void)send(i, lens[i], 0);
			(void)send(i, lens[i], 0);
			r.order[i] = i;
			r.deficit[i] = SCHED_QUANTUM_BYTES * (uint64_t)weights[i];
		}
		for (unsigned step = 0; step < 500; step++) {
			uint32_t id = next(step)->user;

			assert_int_equal(id, walk_round(&r, weights, lens));
			lens[id] = 1 + (uint32_t)random_below(&seed, 65550);
			// The one behind it is the head now, and has the length that it had.
			(void)send(id, lens[id], step);
			lens[id] = s.sender[id].head->len;
		}
	}
}

// 4,096 senders of the longest packets there can be: 2.8 million rounds for each, were they walked.
static void
length_of_packets_costs_no_rounds(void **state)
{
	enum {
		SENDERS = 4096
	};

	(void)state;
	begin(SENDERS, 0);
	for (uint32_t i = 0; i < SENDERS; i++) {
		sched_set_sender(&s, i, &plain, 0);
		items[i] = (struct sched_item){.len = UINT32_MAX, .user = (uint16_t)i};
		assert_int_equal(sched_enqueue(&s, i, &items[i], 0), 0);
	}
	for (uint32_t i = 0; i < SENDERS; i++)
		assert_ptr_equal(next(i), &items[i]);
}

static void
nobody_starves(void **state)
{
	struct sched_params greedy = rt(1 * MS, 90 * MBIT, 15000);
	uint64_t now = 0, served = 0, begin_ns = 10 * MS;
	struct sched_item *item;

	(void)state;
	begin(2, 0);
	sched_set_sender(&s, 0, &greedy, 0);
	sched_set_sender(&s, 1, &plain, 0);
	sched_set_link(&s, 100 * MBIT, 0, 0, 0);
	for (; now < 200 * MS; now += 1 * US) {
		while (s.sender[0].n_queued < 50)
			(void)send(0, 1500, now);
		while (s.sender[1].n_queued < 50)
			(void)send(1, 1500, now);
		item = next(now);
		if (item && item->user == 1 && now > begin_ns)
			served += item->len;
	}
	// 10 Mbit/s are not reserved; of those the sender above its reservation takes half.
	assert_in_range(served, 190 * MS * MBIT / NS_PER_S * 5 * 98 / 100, 190 * MS * MBIT / NS_PER_S * 5 * 103 / 100);
}

static void
clock_at_its_edges(void **state)
{
	struct sched_params p = rt(1 * MS, MBIT, 3000);
	uint64_t at;

	(void)state;
	begin(1, 0);
	sched_set_sender(&s, 0, &p, 0);
	sched_set_link(&s, 10 * MBIT, 50 * US, 24, 0);
	(void)send(0, 1500, 0);
	assert_non_null(next(0)); // no time at all
	(void)send(0, 1500, UINT64_MAX / 2); // 292 years later
	assert_int_equal(next(UINT64_MAX / 2)->verdict, SCHED_GUARANTEED);
	(void)send(0, 1500, UINT64_MAX - 1000); // the end of the clock
	assert_int_equal(next(UINT64_MAX - 1000)->verdict, SCHED_GUARANTEED);
	// Deadlines beyond the end are the end.
	(void)send(0, 1500, UINT64_MAX - 10);
	assert_true(sched_next_ns(&s, &at, UINT64_MAX - 10));
	// A clock that goes back is one that stands still.
	begin(1, 5 * MS);
	sched_set_sender(&s, 0, &p, 5 * MS);
	(void)send(0, 1500, 5 * MS);
	assert_non_null(next(1 * MS));
	assert_int_equal(s.now_ns, 5 * MS);
}

// From the lowest to the highest rate, a sender that is always backlogged on a link of its own rate
// gets it exactly.
static void
rates_from_8_kbit_to_400_gbit_are_exact(void **state)
{
	static const uint64_t rates[] = {SCHED_RATE_MIN, 12345, MBIT, 999999937, 1250000000, SCHED_RATE_MAX};

	(void)state;
	for (unsigned i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
		struct sched_params p = rt(SCHED_DEADLINE_MAX_NS, rates[i], 9000);
		uint64_t now = 1000, sent = 0, end;

		begin(1, now);
		sched_set_sender(&s, 0, &p, now);
		sched_set_link(&s, rates[i], 0, 0, now);
		for (unsigned k = 0; k < 10000; k++) {
			(void)send(0, 1500, now);
			assert_int_equal(next(now)->verdict, SCHED_GUARANTEED);
			sent += 1500;
			now = s.link.free_ns + 1;
		}
		// One nanosecond a packet is the caller's coming late.
		end = 1000 + (uint64_t)((unsigned __int128)sent * NS_PER_S / rates[i]);
		assert_in_range(s.link.free_ns, end, end + 10000);
	}
}

static void
slack_makes_up_for_a_late_caller(void **state)
{
	uint64_t now = 0, sent = 0;

	(void)state;
	begin(1, 0);
	sched_set_sender(&s, 0, &plain, 0);
	sched_set_link(&s, 100 * MBIT, 200 * US, 0, 0);
	for (; now < 100 * MS; now += 150 * US) { // comes every 150 us; a packet takes 120
		while (s.sender[0].n_queued < 10)
			(void)send(0, 1500, now);
		while (next(now))
			sent += 1500;
	}
	assert_in_range(
		sent, 100 * MS * 100 * MBIT / NS_PER_S * 99 / 100, 100 * MS * 100 * MBIT / NS_PER_S * 101 / 100);
}

// The model: packets in arrays, tokens in billionths of a byte.
struct model_sender {
	struct sched_params p;
	uint64_t deadline_ns;
	unsigned __int128 tokens;
	uint64_t last_ns;
	struct sched_item *queue[64];
	unsigned n;
};

static void
model_refill(struct model_sender *f, uint64_t at_ns)
{
	unsigned __int128 full = (unsigned __int128)f->p.burst * NS_PER_S;

	if (at_ns <= f->last_ns)
		return;
	f->tokens += (unsigned __int128)f->p.min_rate * (at_ns - f->last_ns);
	f->last_ns = at_ns;
	if (f->tokens > full)
		f->tokens = full;
}

// The head is judged when it becomes the head, or its sender changes: tokens as of its arrival.
static void
model_judge(struct model_sender *f)
{
	if (f->n && f->p.min_rate)
		model_refill(f, f->queue[0]->arrival_ns);
}

// When the head is guaranteed, and the tokens of that time.
static uint64_t
model_eligible(const struct model_sender *f, unsigned __int128 *ret_tokens)
{
	unsigned __int128 full = (unsigned __int128)f->p.burst * NS_PER_S;
	unsigned __int128 need = (unsigned __int128)f->queue[0]->len * NS_PER_S;
	uint64_t dt = 0;

	if (!f->p.min_rate || need > full)
		return UINT64_MAX;
	if (f->tokens < need)
		dt = (uint64_t)((need - f->tokens + f->p.min_rate - 1) / f->p.min_rate);
	*ret_tokens = f->tokens + (unsigned __int128)f->p.min_rate * dt;
	if (*ret_tokens > full)
		*ret_tokens = full;
	return f->last_ns + dt;
}

static void
model_set(struct model_sender *f, const struct sched_params *p, uint64_t now)
{
	unsigned __int128 full = (unsigned __int128)p->burst * NS_PER_S;

	if (!f->p.min_rate && p->min_rate) {
		f->tokens = full;
		f->last_ns = now;
	} else if (f->p.min_rate != p->min_rate || f->p.burst != p->burst) {
		model_refill(f, now);
		if (f->tokens > full)
			f->tokens = full;
	}
	f->p = *p;
	f->deadline_ns = p->deadline_ns ? p->deadline_ns : SCHED_DEADLINE_DEFAULT_NS;
	model_judge(f);
}

// The scheduler's result is the expected one.
static void
model_take(struct model_sender *model, struct sched_item *item, uint64_t now)
{
	struct model_sender *f = &model[item->user];
	uint64_t best = UINT64_MAX, mine = UINT64_MAX;
	unsigned __int128 tokens = 0, my_tokens = 0;

	assert_true(f->n > 0);
	assert_ptr_equal(f->queue[0], item);
	for (unsigned i = 0; i < MAX_SENDERS; i++) {
		uint64_t e;

		if (!model[i].n)
			continue;
		e = model_eligible(&model[i], &tokens);
		if (e > now)
			continue;
		if (e + model[i].deadline_ns < best)
			best = e + model[i].deadline_ns;
		if (i == item->user) {
			mine = e + f->deadline_ns;
			my_tokens = tokens;
		}
	}
	assert_true(mine == best); // both none: surplus
	if (item->verdict != SCHED_LATE)
		assert_int_equal(item->verdict, best == UINT64_MAX ? SCHED_SURPLUS : SCHED_GUARANTEED);
	assert_int_equal(item->verdict == SCHED_LATE,
		f->p.drops_late && (f->p.deadline_ns || f->p.min_rate) && now > item->arrival_ns + f->deadline_ns);
	if (item->verdict == SCHED_GUARANTEED) {
		f->tokens = my_tokens - (unsigned __int128)item->len * NS_PER_S;
		f->last_ns = mine - f->deadline_ns;
	}
	memmove(f->queue, f->queue + 1, --f->n * sizeof(f->queue[0]));
	model_judge(f);
}

static struct sched_params
random_params(uint64_t *seed)
{
	struct sched_params p = {.weight = 1 + (uint32_t)random_below(seed, 4),
		.limit = 1 + (uint32_t)random_below(seed, 60),
		.drops_late = !random_below(seed, 4)};

	if (random_below(seed, 3)) {
		p.min_rate = SCHED_RATE_MIN + random_wide(seed, 26);
		p.burst = 1 + random_below(seed, 6000);
	}
	if (random_below(seed, 3))
		p.deadline_ns = 1 + random_wide(seed, 24);
	return p;
}

struct twin { // a scheduler and what left it, in order
	struct sched s;
	void *memory;
	struct hist delay[4];
	unsigned n_out;
	uint32_t out[512]; // sender, length and verdict
};

#define TWIN_SENDERS 4
#define TWIN_BURST 64

static void
twin_begin(struct twin *t)
{
	*t = (struct twin){.memory = aligned_alloc(SCHED_ALIGN, sched_memory_bytes(TWIN_SENDERS))};
	assert_non_null(t->memory);
	sched_init(&t->s, TWIN_SENDERS, t->memory, 0);
	for (uint32_t i = 0; i < TWIN_SENDERS; i++) {
		hist_init(&t->delay[i]);
		t->s.sender[i].delay = &t->delay[i];
	}
}

static void
twin_left(struct twin *t, uint32_t sender, uint32_t len, bool is_lost)
{
	assert_true(t->n_out < sizeof(t->out) / sizeof(t->out[0]));
	t->out[t->n_out++] = len << 4 | sender << 1 | is_lost;
}

static void
twin_dequeue(struct twin *t, uint64_t now)
{
	struct sched_item *item;

	while (sched_dequeue(&t->s, &item, 1, now)) {
		twin_left(t, item->user, item->len, item->verdict == SCHED_LATE || item->verdict == SCHED_AQM);
		free(item);
	}
	assert_true(sched_is_consistent(&t->s));
}

static void
twin_enqueue(struct twin *t, uint32_t sender, const uint32_t *lens, uint32_t n, uint64_t arrival, uint64_t now)
{
	for (uint32_t i = 0; i < n; i++) {
		struct sched_item *item = malloc(sizeof(*item));

		assert_non_null(item);
		*item = (struct sched_item){.len = lens[i], .arrival_ns = arrival, .user = (uint16_t)sender};
		if (sched_enqueue(&t->s, sender, item, now))
			free(item);
	}
}

// cmocka compares byte after byte: only where there is a difference to show.
static void
assert_same(const void *a, const void *b, size_t n_bytes)
{
	if (memcmp(a, b, n_bytes))
		assert_memory_equal(a, b, n_bytes);
}

static void
assert_twins(const struct twin *a, const struct twin *b)
{
	assert_int_equal(a->n_out, b->n_out);
	assert_same(a->out, b->out, a->n_out * sizeof(a->out[0]));
	assert_int_equal(a->s.link.free_ns, b->s.link.free_ns);
	assert_int_equal(a->s.link.remainder, b->s.link.remainder);
	assert_int_equal(a->s.n_queued, b->s.n_queued);
	for (uint32_t i = 0; i < TWIN_SENDERS; i++) {
		const struct sched_sender *f = &a->s.sender[i], *g = &b->s.sender[i];

		assert_same(&f->stats, &g->stats, sizeof(f->stats));
		assert_int_equal(f->tokens.tokens, g->tokens.tokens);
		assert_int_equal(f->tokens.last_ns, g->tokens.last_ns);
		assert_int_equal(f->codel.first_above_ns, g->codel.first_above_ns);
		assert_int_equal(f->codel.is_dropping, g->codel.is_dropping);
	}
	assert_same(a->delay, b->delay, sizeof(a->delay));
}

// Of two schedulers with the same bursts one lets pass what may, the other queues everything.
static void
passing_equals_queueing(void **state)
{
	static struct twin passes, queues;
	uint64_t seed = 271828, now = NS_PER_S;
	unsigned n_passed = 0, n_queued = 0;

	(void)state;
	print_message("seed %llu\n", (unsigned long long)seed);
	twin_begin(&passes);
	twin_begin(&queues);
	for (unsigned step = 0; step < 100000; step++) {
		uint32_t sender = (uint32_t)random_below(&seed, TWIN_SENDERS), lens[TWIN_BURST];
		uint32_t n = 1 + (uint32_t)random_below(&seed, random_below(&seed, 2) ? 4 : TWIN_BURST);
		uint64_t bytes = 0, arrival;

		if (step % 100 == 0) {
			uint64_t rate = random_below(&seed, 4) ? MBIT << random_below(&seed, 14) : 0;

			for (uint32_t i = 0; i < TWIN_SENDERS; i++) {
				struct sched_params p = random_params(&seed);
				bool has_aqm = random_below(&seed, 2);

				p.limit += 10;
				sched_set_sender(&passes.s, i, &p, now);
				sched_set_sender(&queues.s, i, &p, now);
				sched_set_aqm(&passes.s, i, has_aqm);
				sched_set_aqm(&queues.s, i, has_aqm);
			}
			sched_set_link(&passes.s, rate, MS, 24, now);
			sched_set_link(&queues.s, rate, MS, 24, now);
		}
		for (uint32_t i = 0; i < n; i++)
			bytes += lens[i] = 1 + (uint32_t)random_below(&seed, 2000);
		now += random_wide(&seed, 20);
		arrival = now - (random_below(&seed, 4) ? 0 : random_wide(&seed, 24));
		passes.n_out = queues.n_out = 0;
		twin_dequeue(&passes, now);
		twin_dequeue(&queues, now);
		if (sched_may_pass(&passes.s, sender, n, bytes, arrival, now)) {
			sched_pass(&passes.s, sender, lens, n, arrival, now);
			for (uint32_t i = 0; i < n; i++)
				twin_left(&passes, sender, lens[i], false);
			n_passed++;
		} else {
			twin_enqueue(&passes, sender, lens, n, arrival, now);
			n_queued++;
		}
		twin_enqueue(&queues, sender, lens, n, arrival, now);
		twin_dequeue(&passes, now);
		twin_dequeue(&queues, now);
		assert_twins(&passes, &queues);
	}
	print_message("%u bursts passed, %u were queued\n", n_passed, n_queued);
	assert_true(n_passed > 10000 && n_queued > 10000);
	for (passes.n_out = 0; passes.s.n_queued; passes.n_out = 0)
		twin_dequeue(&passes, passes.s.link.free_ns);
	for (queues.n_out = 0; queues.s.n_queued; queues.n_out = 0)
		twin_dequeue(&queues, queues.s.link.free_ns);
	free(passes.memory);
	free(queues.memory);
}

// The refusals, each beside the burst that just passes.
static void
what_would_wait_does_not_pass(void **state)
{
	struct sched_params p = rt(1 * MS, 0, 0);

	(void)state;
	begin(2, 0);
	p.drops_late = true;
	p.limit = 2;
	sched_set_sender(&s, 0, &p, 0);
	sched_set_link(&s, 8 * MBIT, MS, 0, 0); // a byte a microsecond: 1,000 make up for the slack
	assert_true(sched_may_pass(&s, 0, 1, 1000, NS_PER_S, NS_PER_S));
	assert_false(sched_may_pass(&s, 0, 1, 1001, NS_PER_S, NS_PER_S));
	assert_true(sched_may_pass(&s, 0, 2, 1000, NS_PER_S, NS_PER_S)); // its limit
	assert_false(sched_may_pass(&s, 0, 3, 1000, NS_PER_S, NS_PER_S));
	// late packets are dropped
	assert_true(sched_may_pass(&s, 0, 1, 1000, NS_PER_S - MS, NS_PER_S));
	assert_false(sched_may_pass(&s, 0, 1, 1000, NS_PER_S - MS - 1, NS_PER_S));
	sched_pass(&s, 0, &(uint32_t){1000}, 1, NS_PER_S, NS_PER_S);
	assert_false(sched_may_pass(&s, 0, 1, 1, NS_PER_S, NS_PER_S)); // the link is busy
	assert_true(sched_may_pass(&s, 0, 1, 1, NS_PER_S + US, NS_PER_S + US));
	(void)send(1, 1, 2 * NS_PER_S);
	assert_false(sched_may_pass(&s, 0, 1, 1, 2 * NS_PER_S, 2 * NS_PER_S)); // another waits
	assert_non_null(next(2 * NS_PER_S));
	assert_true(sched_may_pass(&s, 0, 1, 1, 2 * NS_PER_S, 2 * NS_PER_S));
}

static void
equals_a_model_of_exact_rationals(void **state)
{
	static struct model_sender model[MAX_SENDERS];
	uint64_t seed = 314159, now = 0;
	unsigned n_out = 0, n_guaranteed = 0;

	(void)state;
	print_message("seed %llu\n", (unsigned long long)seed);
	begin(MAX_SENDERS, 0);
	for (uint32_t i = 0; i < MAX_SENDERS; i++) {
		struct sched_params p = random_params(&seed);

		sched_set_sender(&s, i, &p, 0);
		model_set(&model[i], &p, 0);
	}
	sched_set_link(&s, 200 * MBIT, 0, 0, 0);
	for (unsigned step = 0; step < 200000; step++) {
		uint32_t sender = (uint32_t)random_below(&seed, MAX_SENDERS);
		struct model_sender *f = &model[sender];

		now += random_below(&seed, 3) ? random_below(&seed, 20 * US) : 0;
		switch (random_below(&seed, 12)) {
		case 0: {
			struct sched_params p = random_params(&seed);

			if (p.limit < f->n)
				p.limit = f->n;
			sched_set_sender(&s, sender, &p, now);
			model_set(f, &p, now);
			break;
		}
		default: {
			struct sched_item *item = malloc(sizeof(*item));

			assert_non_null(item);
			*item = (struct sched_item){.len = 1 + (uint32_t)random_below(&seed, 2000),
				.arrival_ns = now - random_below(&seed, now < 50 * US ? 1 : 50 * US),
				.user = (uint16_t)sender};
			assert_int_equal(sched_enqueue(&s, sender, item, now), f->n >= f->p.limit ? -ENOBUFS : 0);
			if (f->n < f->p.limit)
				f->queue[f->n++] = item;
			else
				free(item);
			if (f->n == 1)
				model_judge(f);
		}
		}
		for (struct sched_item *item; sched_dequeue(&s, &item, 1, now); n_out++) {
			n_guaranteed += item->verdict == SCHED_GUARANTEED;
			model_take(model, item, now);
			free(item);
		}
		if (step % 16 == 0)
			assert_true(sched_is_consistent(&s));
	}
	for (uint32_t i = 0; i < MAX_SENDERS; i++)
		for (struct sched_item *item; (item = sched_flush(&s, i));)
			free(item);
	print_message("%u packets out, %u of them guaranteed\n", n_out, n_guaranteed);
	assert_true(n_out > 50000 && n_guaranteed > n_out / 10 && n_guaranteed < n_out);
}

// Greedy senders: the whole burst at t = 0, then each packet when its tokens are there. Just
// before, the longest packet of the senders with later deadlines, or of best effort, has begun.
// Returns the worst lateness of guaranteed packets up to `end_ns`.
struct source {
	uint64_t next_ns;
	struct rate tokens;
};

static uint64_t
run_greedy(const struct admission_sender *f, uint32_t n, const struct admission_link *link, uint32_t blocking,
	uint64_t end_ns)
{
	struct source source[MAX_SENDERS];
	const uint64_t begin_ns = NS_PER_S;
	uint64_t now = begin_ns, worst = 0;

	begin(n + 1, 0);
	sched_set_link(&s, link->rate, 0, 0, 0);
	for (uint32_t i = 0; i < n; i++) {
		struct sched_params p = rt(f[i].deadline_ns, f[i].rate, f[i].burst);

		p.limit = UINT32_MAX;
		sched_set_sender(&s, i, &p, 0);
		source[i].next_ns = begin_ns;
		rate_init(&source[i].tokens, f[i].rate, f[i].burst, begin_ns);
	}
	sched_set_sender(&s, n, &plain, 0);
	if (blocking)
		sched_pass(&s, n, &blocking, 1, begin_ns, begin_ns);
	while (now < begin_ns + end_ns) {
		struct sched_item *out;
		uint64_t soon = UINT64_MAX;

		for (uint32_t i = 0; i < n; i++) {
			while (source[i].next_ns <= now) {
				struct sched_item *item = &items[n_items++ % 4096];

				(void)rate_take(&source[i].tokens, f[i].max_packet, source[i].next_ns);
				*item = (struct sched_item){
					.len = f[i].max_packet, .arrival_ns = now, .user = (uint16_t)i};
				assert_int_equal(sched_enqueue(&s, i, item, now), 0);
				source[i].next_ns =
					rate_ready_ns(&source[i].tokens, f[i].max_packet, source[i].next_ns);
			}
			if (source[i].next_ns < soon)
				soon = source[i].next_ns;
		}
		assert_true(s.n_queued < 4000);
		while (sched_dequeue(&s, &out, 1, now)) {
			uint64_t due = out->arrival_ns + f[out->user].deadline_ns;

			assert_int_equal(out->verdict, SCHED_GUARANTEED);
			if (s.link.free_ns > due && s.link.free_ns - due > worst)
				worst = s.link.free_ns - due;
		}
		now = s.n_queued && s.link.free_ns < soon ? s.link.free_ns : soon;
	}
	return worst;
}

// Times of all packets are whole microseconds, so that nothing is lost to rounding: 1 byte takes 8
// ns at 1 Gbit/s.
static uint32_t
whole_set(uint64_t *seed, struct admission_sender *f, struct admission_link *link)
{
	uint32_t n = (uint32_t)random_below(seed, 6) + 1;

	*link = (struct admission_link){.rate = 125000000, .best_effort_packet = random_below(seed, 2) ? 1500 : 0};
	for (uint32_t i = 0; i < n; i++) {
		f[i] = (struct admission_sender){.max_packet = 125 * (1 + (uint32_t)random_below(seed, 12)), .id = i};
		f[i].burst = f[i].max_packet * (1 + random_below(seed, 5));
		// A packet every 1 to 40 times its own time on the link, times the number of
		// senders.
		f[i].rate = link->rate / (n * (1 + random_below(seed, 20)));
		f[i].deadline_ns = (1 + random_below(seed, 120)) * 1000 * n;
	}
	return n;
}

static void
what_was_admitted_is_kept(void **state)
{
	uint64_t seed = 2718;
	unsigned n_admitted = 0, n_sets = 0;

	(void)state;
	while (n_admitted < 1500) {
		struct admission_sender f[MAX_SENDERS];
		struct admission_link link;
		struct admission_result r;
		uint32_t n = whole_set(&seed, f, &link), longest = link.best_effort_packet;

		n_sets++;
		if (!admission_check(f, n, &link, &r))
			continue;
		n_admitted++;
		assert_true(run_greedy(f, n, &link, longest, 3 * MS) == 0);
		assert_int_equal(s.sender[0].stats.broken_pkts, 0);
	}
	print_message("%u of %u sets admitted\n", n_admitted, n_sets);
}

// A refusal because of a deadline is right. Greedy senders with deadlines up to t, and the longest
// packet of the others having begun, make a packet late. Arrivals come in whole packets: the bound
// counts a part of a sender's next packet by t that has not come yet.
static void
what_was_refused_could_not_be_kept(void **state)
{
	uint64_t seed = 1618;
	unsigned n_refused = 0, n_within = 0;

	(void)state;
	while (n_refused < 1500) {
		struct admission_sender f[MAX_SENDERS], early[MAX_SENDERS];
		struct admission_link link;
		struct admission_result r;
		uint32_t n = whole_set(&seed, f, &link), n_early = 0, blocking = link.best_effort_packet;
		uint64_t partial = 0;

		if (admission_check(f, n, &link, &r) || r.reason != ADMISSION_DEADLINE)
			continue;
		n_refused++;
		for (uint32_t i = 0; i < n; i++) {
			uint64_t fluid;

			if (f[i].deadline_ns > r.t_ns) {
				blocking = f[i].max_packet > blocking ? f[i].max_packet : blocking;
				continue;
			}
			early[n_early++] = f[i];
			fluid = f[i].rate * (r.t_ns - f[i].deadline_ns) / NS_PER_S + 1;
			partial += fluid % f[i].max_packet + 1;
		}
		if (r.demand_bytes - r.supply_bytes <= partial + 1) {
			n_within++;
			continue;
		}
		assert_true(run_greedy(early, n_early, &link, blocking, r.t_ns + 3 * MS) > 0);
	}
	print_message("%u refused, %u of them by less than the packets that had not come\n", n_refused, n_within);
	assert_true(n_within < n_refused / 2);
}

// A sender sends five times the link's rate and does not slow down, another sends its guaranteed
// rate. Without management the first one's packets wait for as long as its queue is; with
// management for an interval at most. The link is never idle, and guaranteed packets are
// unaffected.
static void
managed_sender_waits_for_an_interval_and_the_link_is_full(void **state)
{
	struct sched_params guaranteed = rt(50 * MS, MBIT / 2, 3000);

	(void)state;
	for (int is_managed = 0; is_managed < 2; is_managed++) {
		uint64_t interval_ns =
			CODEL_INTERVAL_NS - CODEL_TARGET_NS + codel_target_ns(2 * MBIT, SCHED_QUANTUM_BYTES);
		uint64_t longest_ns = 0, sent_bytes = 0, n_dropped = 0;

		begin(2, 0);
		sched_set_link(&s, 2 * MBIT, 0, 0, 0);
		sched_set_sender(&s, 0, &plain, 0);
		sched_set_sender(&s, 1, &guaranteed, 0);
		for (uint32_t i = 0; i < 2; i++)
			sched_set_aqm(&s, i, is_managed);
		for (uint64_t now_ns = 100 * US; now_ns <= 10 * NS_PER_S; now_ns += 100 * US) {
			struct sched_item *item;

			if (now_ns % MS == 0 && s.sender[0].n_queued < s.sender[0].limit)
				(void)send(0, 1250, now_ns);
			if (now_ns % (20 * MS) == 100 * US)
				(void)send(1, 1000, now_ns);
			while ((item = next(now_ns))) {
				if (item->user)
					assert_int_equal(item->verdict, SCHED_GUARANTEED);
				if (item->verdict == SCHED_AQM) {
					n_dropped++;
					continue;
				}
				sent_bytes += item->len;
				if (!item->user && now_ns - item->arrival_ns > longest_ns)
					longest_ns = now_ns - item->arrival_ns;
			}
		}
		assert_in_range(sent_bytes, 10 * 2 * MBIT * 99 / 100, 10 * 2 * MBIT + 1250);
		if (is_managed) {
			assert_true(n_dropped > 0);
			// while a frame leaves, the next one waits
			assert_in_range(longest_ns, 1, interval_ns + 10 * MS);
		} else {
			assert_int_equal(n_dropped, 0);
			assert_true(longest_ns > NS_PER_S);
		}
	}
}

// A scheduler that goes on with another one's past gives the same packets at the same times.
static void
past_is_gone_on_with(void **state)
{
	struct sched_params params = rt(5 * MS, 1000, 3000);
	struct sched_past past;
	uint64_t free_ns;

	(void)state;
	begin(2, 1 * NS_PER_S);
	sched_set_link(&s, 100000, 0, 0, 1 * NS_PER_S);
	sched_set_sender(&s, 1, &params, 1 * NS_PER_S);
	send(1, 2000, 1 * NS_PER_S);
	assert_int_equal(next(1 * NS_PER_S)->verdict, SCHED_GUARANTEED);
	sched_past(&s, 1, &past);
	free_ns = s.link.free_ns;
	assert_int_equal(past.tokens, 1000 * NS_PER_S);
	assert_int_equal(past.stats.guaranteed_bytes, 2000);
	begin(2, 1 * NS_PER_S + 1 * MS);
	sched_set_link(&s, 100000, 0, 0, 1 * NS_PER_S + 1 * MS);
	sched_set_sender(&s, 1, &params, 1 * NS_PER_S + 1 * MS);
	sched_restore_link(&s, free_ns, 1 * NS_PER_S + 1 * MS);
	sched_restore(&s, 1, &past, 1 * NS_PER_S + 1 * MS);
	assert_int_equal(s.sender[1].stats.guaranteed_pkts, 1);
	assert_int_equal(s.link.free_ns, 1 * NS_PER_S + 20 * MS);
	send(1, 1020, 1 * NS_PER_S + 2 * MS); // its tokens are there 20 ms after the first
	assert_null(next(1 * NS_PER_S + 20 * MS - 1));
	assert_int_equal(next(1 * NS_PER_S + 20 * MS)->verdict, SCHED_GUARANTEED);
}

// One that lies neither owns more than a bucket holds nor stops the link or the sender.
static void
past_that_lies_is_bounded(void **state)
{
	const struct sched_past lie = {.tokens = UINT64_MAX,
		.tokens_ns = UINT64_MAX,
		.codel = {.first_above_ns = UINT64_MAX, .drop_next_ns = UINT64_MAX, .is_dropping = true}};
	struct sched_past codel = {.codel = {.drop_next_ns = 1, .first_above_ns = 1, .is_dropping = true}};
	struct sched_params params = rt(5 * MS, 1000, 3000);

	(void)state;
	begin(2, NS_PER_S);
	sched_set_link(&s, 1000, 0, 0, NS_PER_S);
	sched_set_sender(&s, 1, &params, NS_PER_S);
	sched_set_aqm(&s, 1, true);
	sched_restore(&s, 1, &lie, NS_PER_S);
	assert_int_equal(s.sender[1].tokens.tokens, 3000 * NS_PER_S);
	assert_int_equal(s.sender[1].tokens.last_ns, NS_PER_S);
	assert_int_equal(s.sender[1].codel.first_above_ns, 0);
	sched_restore(&s, 1, &codel, NS_PER_S); // dropping, without a drop: it would divide by 0
	assert_false(s.sender[1].codel.is_dropping);
	codel.codel.count = UINT32_MAX; // the next is 0
	sched_restore(&s, 1, &codel, NS_PER_S);
	assert_false(s.sender[1].codel.is_dropping);
	codel.codel.count = 1;
	sched_restore(&s, 1, &codel, NS_PER_S);
	assert_true(s.sender[1].codel.is_dropping);
	sched_restore_link(&s, UINT64_MAX, NS_PER_S);
	assert_int_equal(s.link.free_ns, NS_PER_S + SCHED_PACKET_MAX * NS_PER_S / 1000);
	sched_restore_link(&s, 0, NS_PER_S);
	assert_int_equal(s.link.free_ns, 0);
	sched_restore(&s, 0, &lie, NS_PER_S); // without a guarantee
	assert_int_equal(s.sender[0].tokens.tokens, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(earliest_deadline_leaves_first_and_surplus_last, teardown),
		cmocka_unit_test_teardown(sender_is_fifo_when_its_deadline_changes, teardown),
		cmocka_unit_test_teardown(packet_beyond_its_tokens_waits_for_them_or_for_surplus, teardown),
		cmocka_unit_test_teardown(waiting_costs_no_guarantee, teardown),
		cmocka_unit_test_teardown(late_packets_are_dropped_where_asked, teardown),
		cmocka_unit_test_teardown(packet_that_is_late_by_its_own_doing_breaks_no_promise, teardown),
		cmocka_unit_test_teardown(new_rate_or_burst_grants_nothing_for_the_past, teardown),
		cmocka_unit_test_teardown(new_rate_guarantees_no_backlog_at_once, teardown),
		cmocka_unit_test_teardown(earlier_arrival_behind_a_later_one_is_judged_after_it, teardown),
		cmocka_unit_test_teardown(limit_is_kept_and_one_more_is_refused, teardown),
		cmocka_unit_test_teardown(flows_that_come_together_leave_by_deadline, teardown),
		cmocka_unit_test_teardown(parameters_out_of_range_are_named, teardown),
		cmocka_unit_test_teardown(surplus_is_shared_by_weight, teardown),
		cmocka_unit_test_teardown(emptied_sender_keeps_nothing_of_its_turn, teardown),
		cmocka_unit_test_teardown(long_packets_take_turns_as_if_each_round_were_walked, teardown),
		cmocka_unit_test_teardown(length_of_packets_costs_no_rounds, teardown),
		cmocka_unit_test_teardown(nobody_starves, teardown),
		cmocka_unit_test_teardown(clock_at_its_edges, teardown),
		cmocka_unit_test_teardown(rates_from_8_kbit_to_400_gbit_are_exact, teardown),
		cmocka_unit_test_teardown(slack_makes_up_for_a_late_caller, teardown),
		cmocka_unit_test_teardown(managed_sender_waits_for_an_interval_and_the_link_is_full, teardown),
		cmocka_unit_test(passing_equals_queueing),
		cmocka_unit_test_teardown(what_would_wait_does_not_pass, teardown),
		cmocka_unit_test_teardown(equals_a_model_of_exact_rationals, teardown),
		cmocka_unit_test_teardown(past_is_gone_on_with, teardown),
		cmocka_unit_test_teardown(past_that_lies_is_bounded, teardown),
		cmocka_unit_test_teardown(what_was_admitted_is_kept, teardown),
		cmocka_unit_test_teardown(what_was_refused_could_not_be_kept, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
