// Scheduler of one egress port: packets of many senders share one link. A sender is the traffic of
// one ingress port to this port.
//
// A packet is guaranteed when its sender's token bucket (min_rate, burst) has tokens for it. It is
// judged in order of arrival within the sender, at its arrival, not when the link is free: a
// conforming sender conforms however long others keep it waiting. A packet without tokens becomes
// guaranteed when there are enough. Guaranteed packets leave first, earliest deadline first;
// deadline = when it became guaranteed + the sender's deadline. The rest of the link is surplus:
// deficit round robin by weight among the packets that are not guaranteed yet. Those take no
// tokens. Packets of one sender never overtake each other. Several threads may receive a sender's
// packets, so a packet with an earlier arrival may be queued behind one with a later arrival. It is
// then judged as of the later, and its delay counts from its own arrival.
//
// Any one thread. Never allocates after init, never reads a clock: now_ns is passed, ns on one
// monotonic clock, and does not go back (earlier times count as the latest seen). All arithmetic is
// in integers; results are the same anywhere.
// Sources: earliest deadline first, Liu and Layland (1973); deadline scheduling of links with token
// buckets, Liebeherr, Wrege and Ferrari (1996); deficit round robin, Shreedhar and Varghese (1995).
#pragma once

#include "rtvs/codel.h"
#include "rtvs/edf.h"
#include "rtvs/hist.h"
#include "rtvs/rate.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCHED_ALIGN 64u
#define SCHED_DEADLINE_MAX_NS UINT64_C(3600000000000) // 1 h
// of a sender with min_rate and no deadline: 100 ms
#define SCHED_DEADLINE_DEFAULT_NS UINT64_C(100000000)
#define SCHED_WEIGHT_MAX 256u
#define SCHED_QUANTUM_BYTES 1514u // of surplus per weight and round
#define SCHED_RATE_MAX RATE_MAX // bytes/s: 400 Gbit/s
#define SCHED_RATE_MIN UINT64_C(1000) // bytes/s: 8 kbit/s
#define SCHED_BURST_MAX RATE_BURST_MAX
#define SCHED_FRESH_MAX 32u // senders that are judged together

// Part of a packet. The caller sets len and arrival_ns before sched_enqueue.
struct sched_item {
	struct sched_item *next;
	uint64_t arrival_ns; // when it entered the host
	uint32_t len; // bytes that it takes of rates, 1 at least
	uint16_t verdict; // enum sched_verdict, of sched_dequeue
	uint16_t user;
};

enum sched_verdict {
	SCHED_GUARANTEED,
	SCHED_SURPLUS,
	SCHED_LATE, // not to be sent: its deadline has passed and the sender says drop
	// Not to be sent: surplus of a sender whose packets wait too long, see sched_set_aqm.
	SCHED_AQM,
};

struct sched_params {
	// Relative, 0: none (SCHED_DEADLINE_DEFAULT_NS when there is a min_rate); up to
	// SCHED_DEADLINE_MAX_NS.
	uint64_t deadline_ns;
	uint64_t min_rate; // bytes/s, SCHED_RATE_MIN to SCHED_RATE_MAX, 0: nothing guaranteed
	// Bytes, up to SCHED_BURST_MAX. Packets larger than this are never guaranteed.
	uint64_t burst;
	uint32_t weight; // of surplus, 1 to SCHED_WEIGHT_MAX
	uint32_t limit; // packets queued, 1 at least
	bool drops_late;
};

// Counters of a sender's packets. The scheduler's thread writes, others read relaxed.
struct sched_sender_stats {
	uint64_t guaranteed_pkts, guaranteed_bytes;
	uint64_t surplus_pkts, surplus_bytes;
	// Guaranteed or not, that left, or were dropped, after arrival + deadline.
	uint64_t missed_pkts;
	// Guaranteed packets that left, or were dropped, after their deadline: admission promises
	// that there are none.
	uint64_t broken_pkts;
	uint64_t late_pkts; // dropped because of verdict SCHED_LATE
	uint64_t worst_late_ns; // largest time past arrival + deadline
};

// The first two cache lines are what a guaranteed packet needs.
struct sched_sender {
	struct sched_item *head; // NULL: no packets
	struct sched_item **end; // where the next packet is linked
	struct rate tokens; // as of the last packet that took some, or of the head's arrival
	uint32_t n_queued; // as stats: others may read it relaxed
	uint32_t limit; // params.limit
	uint64_t eligible_ns; // head: when it is, or was, guaranteed; UINT64_MAX: never
	uint64_t deadline_ns; // params.deadline_ns or the default
	bool has_deadline, drops_late;
	bool is_active; // in the round of surplus
	struct hist *delay; // ns from arrival to departure, NULL: not kept
	struct sched_sender_stats stats;
	bool has_aqm;
	struct codel codel;
	uint64_t deficit; // bytes it may still send in this round of surplus
	uint32_t next_active; // in the round
	struct sched_params params;
} __attribute__((aligned(SCHED_ALIGN)));

struct sched_link {
	uint64_t rate; // bytes/s, 0: as fast as sched_dequeue is called
	// Time without a packet that may be made up for when the caller is late.
	uint64_t slack_ns;
	uint32_t overhead; // bytes that the link adds to each packet
	uint64_t free_ns; // when the last packet has left
	uint64_t remainder; // of bytes * 1e9 / rate
	uint64_t target_ns; // of active queue management
};

struct sched {
	struct sched_sender *sender;
	uint32_t n_senders;
	uint64_t now_ns; // latest seen
	struct sched_link link;
	struct edf due; // senders whose head is guaranteed, by deadline
	struct edf waiting; // senders whose head is not yet, by eligible_ns
	uint32_t first_active, last_active; // the round of surplus, EDF_NONE: empty
	uint32_t n_queued;
	uint32_t n_fresh;
	// Senders whose head was not judged yet; the last entry is never one.
	uint32_t fresh[SCHED_FRESH_MAX + 1];
};

// Bytes that sched_init needs for n_senders (EDF_MAX at most), aligned to SCHED_ALIGN.
uint64_t sched_memory_bytes(uint32_t n_senders);
// memory: sched_memory_bytes(n_senders), aligned to SCHED_ALIGN, the caller's as long as the
// scheduler is used. Senders begin without guarantee, weight 1, limit 1.
void sched_init(struct sched *s, uint32_t n_senders, void *memory, uint64_t now_ns);
// The same without touching the memory of senders: each begins with sched_begin_sender, which makes
// it as sched_init does. So a scheduler for many senders takes the memory of those that come.
void sched_init_bare(struct sched *s, uint32_t n_senders, void *memory, uint64_t now_ns);
void sched_begin_sender(struct sched *s, uint32_t sender);

// 0 or -EINVAL (out of the ranges above); *ret_field names the member of sched_params then.
int sched_params_check(const struct sched_params *params, const char **ret_field);
// Changes a sender, whose packets stay, all under the new parameters. Checked parameters only. A
// growing bucket is not filled; a shrinking one loses the excess. A new min_rate or burst counts
// from now on: waiting packets are judged as if they arrived now.
void sched_set_sender(struct sched *s, uint32_t sender, const struct sched_params *params, uint64_t now_ns);
// Active queue management of the sender's surplus (rtvs/codel.h), on a link with a rate: for
// senders that only a loss slows down.
void sched_set_aqm(struct sched *s, uint32_t sender, bool is_on);
// rate: bytes/s up to SCHED_RATE_MAX, 0: no pacing. slack_ns: up to 1 s.
void sched_set_link(struct sched *s, uint64_t rate, uint64_t slack_ns, uint32_t overhead, uint64_t now_ns);

// For a burst of packets of many senders: asks for the memory that sched_enqueue will need.
static inline void
sched_prefetch(const struct sched *s, uint32_t sender)
{
	__builtin_prefetch(&s->sender[sender]);
	__builtin_prefetch((const char *)&s->sender[sender] + SCHED_ALIGN);
	__builtin_prefetch(&s->due.node[sender]);
}

// Judges the fresh senders: before a packet leaves, a sender changes, or SCHED_FRESH_MAX are fresh.
// For sched_enqueue.
void sched_judge(struct sched *s);

// Whatever the sender's limit is: who calls it bounds what waits. Inline: a call takes 1 ns of a
// packet's 26.
static inline void
sched_enqueue_any(struct sched *s, uint32_t sender, struct sched_item *item, uint64_t now_ns)
{
	struct sched_sender *f = &s->sender[sender];
	bool is_first = !f->head;

	assert(sender < s->n_senders && item->len);
	item->next = NULL;
	__atomic_store_n(&f->n_queued, f->n_queued + 1, __ATOMIC_RELAXED);
	s->n_queued++;
	// Without a branch on whether it is the first packet: that is different for each.
	s->fresh[s->n_fresh] = sender;
	s->n_fresh += is_first;
	*f->end = item;
	f->end = &item->next;
	if (now_ns > s->now_ns && is_first)
		s->now_ns = now_ns;
	if (s->n_fresh == SCHED_FRESH_MAX)
		sched_judge(s);
}

// 0, or -ENOBUFS when the sender's limit is reached; the item then stays the caller's.
static inline int
sched_enqueue(struct sched *s, uint32_t sender, struct sched_item *item, uint64_t now_ns)
{
	if (s->sender[sender].n_queued >= s->sender[sender].limit)
		return -ENOBUFS;
	sched_enqueue_any(s, sender, item, now_ns);
	return 0;
}

// Packets that may leave now, in order, at most max. Items belong to the caller again.
unsigned sched_dequeue(struct sched *s, struct sched_item **out, unsigned max, uint64_t now_ns);
// True: sched_dequeue would return all these packets of one sender, oldest arrival first, at
// now_ns. No packet is queued, the link has time for all of them, slack included, and none is too
// late. They then need not be queued.
bool sched_may_pass(
	const struct sched *s, uint32_t sender, uint32_t n_pkts, uint64_t bytes, uint64_t arrival_ns, uint64_t now_ns);
// Packets of one sender, with one arrival time, that leave at once because sched_may_pass said so.
// They take tokens and link time, and are counted, as if they had been queued.
void sched_pass(
	struct sched *s, uint32_t sender, const uint32_t *lens, uint32_t n_pkts, uint64_t arrival_ns, uint64_t now_ns);
// When sched_dequeue has something to give: now_ns or later. False: nothing is queued.
bool sched_next_ns(const struct sched *s, uint64_t *ret_ns, uint64_t now_ns);
// Takes out all packets of a sender, one by one; NULL: none left.
struct sched_item *sched_flush(struct sched *s, uint32_t sender);
// Tokens of a sender, bytes. Any thread: see rate_look.
uint64_t sched_tokens(const struct sched *s, uint32_t sender, uint64_t now_ns);

// What a sender has of the past, for the scheduler of a process that takes over.
struct sched_past {
	struct sched_sender_stats stats;
	uint64_t tokens, tokens_ns; // billionths of a byte, and when they were there
	struct codel codel; // all 0: not in use
};

void sched_past(const struct sched *s, uint32_t sender, struct sched_past *ret_past);
// Of a sender that has its parameters and no packets. The past is not trusted: counters are added,
// the bucket takes what it holds, and times that cannot be are as if nothing had been.
void sched_restore(struct sched *s, uint32_t sender, const struct sched_past *past, uint64_t now_ns);
// When the last packet has left the link, before anything is enqueued: no later than one packet of
// SCHED_PACKET_MAX bytes takes.
#define SCHED_PACKET_MAX UINT64_C(131072)
void sched_restore_link(struct sched *s, uint64_t free_ns, uint64_t now_ns);

bool sched_is_consistent(const struct sched *s); // for tests, the simulator and fuzzers
