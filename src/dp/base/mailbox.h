// Packets on their way from any thread to the one that takes them: from other workers, from the
// control thread, or to it. A thread with many mailboxes has a set of those that have something, so
// that empty ones cost it nothing.
#pragma once

#include <rte_mbuf.h>
#include <rte_ring.h>

#include <stdatomic.h>

#define MAILBOX_SET_MAX 4096 // numbers of a set

struct mailbox {
	struct rte_ring *ring; // NULL: there is no mailbox
};

// size: a power of two, one less fit. -errno
int mailbox_init(struct mailbox *box, unsigned size);
void mailbox_clear(struct mailbox *box); // no thread uses it any more: frees its packets
void mailbox_fini(struct mailbox *box); // as mailbox_clear, and ends the mailbox. Zero is accepted

static inline bool
mailbox_is(const struct mailbox *box)
{
	return box->ring;
}

// Any thread. False: it is full, and m stays the caller's.
static inline bool
mailbox_put(const struct mailbox *box, struct rte_mbuf *m)
{
	return !rte_ring_mp_enqueue(box->ring, m);
}

// As mailbox_put, of n packets; how many fit, from the front.
static inline unsigned
mailbox_put_burst(const struct mailbox *box, struct rte_mbuf **pkts, unsigned n)
{
	return rte_ring_mp_enqueue_burst(box->ring, (void **)pkts, n, NULL);
}

// Its thread: up to n packets, in the order in which they were put.
static inline unsigned
mailbox_take(struct mailbox *box, struct rte_mbuf **pkts, unsigned n)
{
	return rte_ring_sc_dequeue_burst(box->ring, (void **)pkts, n, NULL);
}

// Numbers that were marked and not taken yet. All zero: none.
struct mailbox_set {
	_Atomic uint64_t words; // of which not all bits are 0
	_Atomic uint64_t bits[MAILBOX_SET_MAX / 64];
} __rte_cache_aligned;

// Any thread, after it has put something into mailbox i: who takes i from then on sees it.
static inline void
mailbox_set_mark(struct mailbox_set *set, unsigned i)
{
	atomic_fetch_or(&set->bits[i / 64], UINT64_C(1) << i % 64);
	atomic_fetch_or(&set->words, UINT64_C(1) << i / 64);
}

// Its thread takes all that are marked: the words of the set that have some, and the marks of each.
static inline uint64_t
mailbox_set_words(struct mailbox_set *set)
{
	return atomic_load_explicit(&set->words, memory_order_relaxed) ? atomic_exchange(&set->words, 0) : 0;
}

static inline uint64_t
mailbox_set_take(struct mailbox_set *set, unsigned word)
{
	return atomic_exchange(&set->bits[word], 0);
}
