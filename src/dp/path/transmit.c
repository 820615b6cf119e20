#include "transmit.h"

#include "encap.h"
#include "rtvs/frame.h"
#include "trace.h"

// Queue of the packet, of n of the port.
static uint16_t
queue_of(const struct rte_mbuf *m, uint32_t n)
{
	return n > 1 ? (uint16_t)(frame_flow_hash(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len) % n) : 0;
}

// Gives packets at the front that go to the same queue, at most a burst. Packets that the port never takes are dropped, and the run ends
// behind those that the port is done with. Returns how many of the run are no longer the caller's.
uint16_t
transmit_run(
	struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf **pkts, uint16_t n, uint16_t *ret_run)
{
	struct port_path *port = view_port(view, out)->port;
	struct port_counters *c = &w->port[port->id].c;
	uint32_t n_txq = atomic_load_explicit(&port->device.n_txq, memory_order_relaxed);
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
	if (unlikely(view->has_traces))
		trace_before(w, view, out, q, pkts, run, &traced);
	refused.set = 0;
	n_sent = done = port->device.io->tx(&port->device, q, pkts, run, &refused);
	sent = (uint32_t)((UINT64_C(1) << done) - 1) & ~refused.set;
	if (unlikely(view->has_traces))
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

	do {
		gone = transmit_run(w, view, out, &pkts[sum], (uint16_t)(n - sum), &run);
		sum = (uint16_t)(sum + gone);
	} while (gone == run && sum < n);
	return sum;
}
