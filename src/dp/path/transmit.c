// Packets into a device. A device of several queues gets those of one flow through the same queue,
// which a hash of their headers chooses. A burst is sorted by queue first, so that each queue costs
// one call.
#include "transmit.h"

#include "encap.h"
#include "rtvs/frame.h"
#include "rtvs/frame_flow.h"
#include "trace.h"

#include <string.h>

// The number of queues may have shrunk since the packet was steered.
static uint16_t
queue_of(struct rte_mbuf *m, uint32_t n_txq)
{
	return *pkt_txq(m) < n_txq ? *pkt_txq(m) : 0;
}

// Packets of one queue stand beside each other then, in the order in which they were.
static void
sort(struct rte_mbuf **pkts, uint16_t n, uint32_t n_txq)
{
	struct rte_mbuf *sorted[WORKER_STAGE];
	uint16_t at[DP_MAX_QUEUES] = {0}, sum = 0;
	bool is_sorted = true;

	for (uint16_t i = 0; i < n; i++) {
		at[queue_of(pkts[i], n_txq)]++;
		is_sorted &= !i || queue_of(pkts[i - 1], n_txq) <= queue_of(pkts[i], n_txq);
	}
	if (is_sorted)
		return;
	for (uint16_t q = 0; q < DP_MAX_QUEUES; q++) {
		uint16_t n_here = at[q];

		at[q] = sum;
		sum = (uint16_t)(sum + n_here);
	}
	for (uint16_t i = 0; i < n; i++)
		sorted[at[queue_of(pkts[i], n_txq)]++] = pkts[i];
	memcpy(pkts, sorted, n * sizeof(sorted[0]));
}

static uint32_t
n_txq_of(const struct view *view, uint16_t out)
{
	return atomic_load_explicit(&view_port(view, out)->port->device.n_txq, memory_order_relaxed);
}

void
transmit_steer(const struct view *view, uint16_t out, struct rte_mbuf **pkts, uint16_t n)
{
	uint32_t n_txq = n_txq_of(view, out);

	if (n_txq == 1)
		return;
	for (uint16_t i = 0; i < n; i++)
		*pkt_txq(pkts[i]) = (uint16_t)frame_flow_place(
			frame_flow_hash(rte_pktmbuf_mtod(pkts[i], const uint8_t *), pkts[i]->data_len), n_txq);
	sort(pkts, n, n_txq);
}

uint16_t
transmit_run(
	struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf **pkts, uint16_t n, uint16_t *ret_run)
{
	struct port_path *port = view_port(view, out)->port;
	struct port_counters *c = &w->port[port->id].c;
	uint32_t n_txq = n_txq_of(view, out);
	uint16_t q = queue_of(pkts[0], n_txq), run = 1, done, n_sent;
	struct port_refused refused;
	struct trace_burst traced;
	uint64_t bytes = 0;
	uint32_t sent;

	while (run < n && run < PORT_BURST && queue_of(pkts[run], n_txq) == q)
		run++;
	for (uint16_t k = 0; k < run; k++)
		bytes += pkts[k]->pkt_len;
	if (view_port(view, out)->uplink)
		encap_stamp(w, view, pkts, run);
	if (unlikely(view->n_traces))
		trace_before(w, view, out, q, pkts, run, &traced);
	refused.set = 0;
	n_sent = done = port->device.io->tx(&port->device, q, pkts, run, &refused);
	sent = (uint32_t)((UINT64_C(1) << done) - 1) & ~refused.set;
	if (unlikely(view->n_traces))
		trace_after(w, view, out, q, sent, &traced);
	if (unlikely(done < run || refused.set)) {
		if (view_port(view, out)->uplink)
			encap_unstamp(view, pkts, sent, run);
		for (uint16_t k = 0; k < run; k++)
			bytes -= sent >> k & 1 ? 0 : pkts[k]->pkt_len;
	}
	*ret_run = refused.set ? done : run;
	for (; unlikely(refused.set); refused.set &= refused.set - 1, n_sent--) {
		unsigned k = (unsigned)__builtin_ctz(refused.set);

		pkt_drop(&w->port[out].c, pkts[k], refused.why[k]);
	}
	counters_add(&c->tx_pkts, n_sent);
	counters_add(&c->tx_bytes, bytes);
	return done;
}

uint16_t
transmit(struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t sum = 0, gone, run;
	uint32_t n_txq = n_txq_of(view, out);

	if (n_txq > 1)
		sort(pkts, n, n_txq);
	do {
		gone = transmit_run(w, view, out, &pkts[sum], (uint16_t)(n - sum), &run);
		sum = (uint16_t)(sum + gone);
	} while (gone == run && sum < n);
	return sum;
}
