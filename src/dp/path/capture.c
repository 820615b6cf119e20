#include "capture.h"

#include "worker.h"

#include <rte_ring.h>

#include <string.h>

static bool
matches(const struct capture *c, const struct rte_mbuf *m)
{
	return !c->has_filter ||
		bpf_filter(c->filter.bf_insns, rte_pktmbuf_mtod(m, const uint8_t *), m->pkt_len, m->data_len);
}

// Without an order: the worst is one wake-up of the control thread more or less.
static bool
is_empty(const struct rte_ring *ring)
{
	return __atomic_load_n(&ring->prod.tail, __ATOMIC_RELAXED) ==
		__atomic_load_n(&ring->cons.tail, __ATOMIC_RELAXED);
}

void
capture_burst(struct worker *w, struct capture *c, struct rte_mbuf **pkts, uint16_t n, bool is_tx)
{
	bool is_first = false;

	for (uint16_t i = 0; i < n; i++) {
		struct capture_slot *slot;
		const void *from;

		if (!matches(c, pkts[i]))
			continue;
		if (rte_ring_dequeue(c->empty, (void **)&slot)) {
			atomic_fetch_add_explicit(&c->lost, 1, memory_order_relaxed);
			continue;
		}
		slot->time_ns = clock_realtime_ns(&w->env->clock, w->now_ns);
		slot->is_tx = is_tx;
		slot->len = pkts[i]->pkt_len;
		slot->caplen = RTE_MIN(slot->len, c->snaplen);
		from = rte_pktmbuf_read(pkts[i], 0, slot->caplen, slot->data);
		if (from != slot->data)
			memcpy(slot->data, from, slot->caplen);
		is_first |= is_empty(c->filled);
		(void)rte_ring_enqueue(c->filled, slot); // has room for all slots
	}
	if (is_first) // the control thread looks at captures when it wakes
		event_queue_wake(&w->env->events);
}
