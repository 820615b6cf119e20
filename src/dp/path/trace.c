// The glue between bursts and chains. The packet itself has a mark that it is followed, to a guest
// or as the answer of one (a flag and the chain's number; one of both at a time). The port knows
// the guest's position in its ring. Costs nothing where no port has a trace: workers look at
// view->n_traces.
#include "trace.h"

#include "base/pkt.h"
#include "rtvs/frame.h"
#include "view.h"
#include "worker.h"

#include <string.h>

// The lead, as a part of the measured time until a packet is consumed: kick, waking, and the
// driver's work. Of 0.1 to 1.5, tried with a guest under QEMU's TCG, 0.25 to 0.6 made the shortest
// (median 108 to 110 us; 129 with 1; 130 without prewake).
#define LEAD_NUM 1
#define LEAD_DEN 2
// A worker that waits to see a packet consumed does not sleep, for so long at most.
#define AWAKE_NS UINT64_C(2000000)

static bool
key_of(const struct rte_mbuf *m, struct chain_key *ret_key)
{
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	struct frame_l2 l2;
	struct frame_l3 l3;
	unsigned addr_len;

	memset(ret_key, 0, sizeof(*ret_key));
	if (!frame_parse_l2(data, m->data_len, &l2))
		return false;
	ret_key->src_mac = l2.src;
	ret_key->dst_mac = l2.dst;
	ret_key->ether_type = l2.ether_type;
	frame_parse_l3_head(data, m->data_len, m->pkt_len, &l2, &l3);
	if (l3.kind == FRAME_OTHER || l3.is_malformed)
		return true;
	addr_len = l3.kind == FRAME_IPV6 ? 16 : 4;
	memcpy(ret_key->src, l3.src, addr_len);
	memcpy(ret_key->dst, l3.dst, addr_len);
	ret_key->proto = l3.proto;
	if ((l3.proto == 6 || l3.proto == 17) && l3.l4_offset && l3.l4_offset + 4 <= m->data_len) {
		memcpy(&ret_key->src_port, data + l3.l4_offset, 2);
		memcpy(&ret_key->dst_port, data + l3.l4_offset + 2, 2);
	}
	return true;
}

static bool
look(const struct view *view, uint16_t out, uint16_t q, struct chain_ring *ret_ring)
{
	struct port_path *port = view_port(view, out)->port;

	return port->device.io->look && port->device.io->look(&port->device, q, ret_ring);
}

void
trace_queued(struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf **pkts, uint16_t n)
{
	struct trace *t = view_port(view, out)->trace;
	struct rte_mbuf *m = pkts[n - 1]; // those before it in the burst are in its depth
	struct chain_key key;

	if (chain_is_due(&t->chain, w->now_ns) && !(m->ol_flags & pkt_fields.is_answer) && key_of(m, &key) &&
		chain_begin(&t->chain, &key, pkt_item(m)->arrival_ns, pkt_trace_id(m), clock_now_ns(&w->env->clock)))
		m->ol_flags |= pkt_fields.is_followed;
}

void
trace_before(struct worker *w, const struct view *view, uint16_t out, uint16_t q, struct rte_mbuf **pkts, uint16_t n,
	struct trace_burst *ret_burst)
{
	struct trace *t = view_port(view, out)->trace;

	ret_burst->guest = NULL;
	ret_burst->n_answers = 0;
	for (uint16_t i = 0; i < n; i++) {
		struct trace *from;

		if (likely(!(pkts[i]->ol_flags & pkt_trace_flags())))
			continue;
		from = view_port(view, pkts[i]->port)->trace;
		if (pkts[i]->ol_flags & pkt_fields.is_followed) {
			if (!t || !chain_is_queued(&t->chain, *pkt_trace_id(pkts[i])))
				continue;
			ret_burst->guest = t;
			ret_burst->at = i;
		} else if (from && ret_burst->n_answers < RTE_DIM(ret_burst->answer)) {
			ret_burst->answer[ret_burst->n_answers].guest = from;
			ret_burst->answer[ret_burst->n_answers].id = *pkt_trace_id(pkts[i]);
			ret_burst->answer[ret_burst->n_answers++].at = i;
		}
	}
	if (ret_burst->guest) {
		ret_burst->is_known = look(view, out, q, &ret_burst->before);
		ret_burst->put_ns = clock_now_ns(&w->env->clock);
	}
}

// The packet that the guest was woken for is there.
static void
end_prewake(struct trace *t, uint32_t sent)
{
	if (unlikely(t && sent && atomic_load_explicit(&t->prewoken_ns, memory_order_relaxed)))
		atomic_store_explicit(&t->prewoken_ns, 0, memory_order_relaxed);
}

void
trace_after(struct worker *w, const struct view *view, uint16_t out, uint16_t q, uint32_t sent,
	const struct trace_burst *burst)
{
	struct trace *t = view_port(view, out)->trace;
	struct chain_ring after = {0};
	uint64_t now_ns;

	if (likely(!burst->n_answers && !burst->guest)) {
		end_prewake(t, sent);
		return;
	}
	now_ns = clock_now_ns(&w->env->clock);

	for (unsigned i = 0; i < burst->n_answers; i++)
		if (sent >> burst->answer[i].at & 1)
			chain_left(&burst->answer[i].guest->chain, burst->answer[i].id, now_ns);
	if (burst->guest && sent >> burst->at & 1) {
		bool is_known = burst->is_known && look(view, out, q, &after);

		chain_put(&burst->guest->chain, is_known ? &burst->before : NULL, after.put,
			atomic_load_explicit(&burst->guest->prewoken_ns, memory_order_relaxed), burst->put_ns, now_ns);
		burst->guest->queue = q;
		w->awake_until_ns = now_ns + AWAKE_NS;
	}
	end_prewake(t, sent);
}

void
trace_received(struct worker *w, const struct view *view, uint16_t in, struct rte_mbuf **pkts, uint16_t n)
{
	struct trace *t = view_port(view, in)->trace;
	struct chain_key key;

	for (uint16_t i = 0; i < n && chain_is_unanswered(&t->chain); i++)
		if (key_of(pkts[i], &key) && chain_answer(&t->chain, &key, pkt_trace_id(pkts[i]), w->now_ns)) {
			pkts[i]->ol_flags |= pkt_fields.is_answer;
			break;
		}
}

void
trace_poll(struct worker *w, const struct view *view)
{
	const struct view_worker *mine = view->worker[w->index];
	bool is_waiting = false;

	for (uint16_t i = 0; i < mine->n_owned; i++) {
		struct trace *t = view_port(view, mine->owned[i])->trace;
		struct chain_ring ring;

		if (!t)
			continue;
		is_waiting |= chain_is_watched(&t->chain);
		if (chain_is_watched(&t->chain) && look(view, mine->owned[i], t->queue, &ring))
			chain_look(&t->chain, &ring, clock_now_ns(&w->env->clock));
		else
			chain_look(&t->chain, NULL, w->now_ns);
	}
	if (!is_waiting)
		w->awake_until_ns = 0;
}

// Which of several queues a packet will be put into is not known yet.
static bool
may_prewake(const struct view *view, uint16_t out)
{
	const struct trace *t = view_port(view, out)->trace;

	return view_port(view, out)->prewake && !atomic_load_explicit(&t->prewoken_ns, memory_order_relaxed) &&
		atomic_load_explicit(&view_port(view, out)->port->device.n_txq, memory_order_relaxed) == 1 &&
		chain_may_prewake(&t->chain);
}

uint64_t
trace_prewake_ns(const struct view *view, uint16_t out, uint64_t next_ns)
{
	const struct trace *t = view_port(view, out)->trace;
	uint64_t wake_ns;

	if (!may_prewake(view, out))
		return next_ns;
	wake_ns = atomic_load_explicit(&t->chain.wake_ns, memory_order_relaxed) * LEAD_NUM / LEAD_DEN;
	return next_ns > wake_ns ? next_ns - wake_ns : 0;
}

void
trace_prewake(struct worker *w, const struct view *view, uint16_t out, uint64_t next_ns)
{
	struct port_path *port = view_port(view, out)->port;
	struct trace *t = view_port(view, out)->trace;
	struct chain_ring ring;

	if (!may_prewake(view, out) || trace_prewake_ns(view, out, next_ns) > w->now_ns)
		return;
	if (!look(view, out, 0, &ring) || !chain_is_asleep(&ring))
		return;
	port->device.io->kick(&port->device, 0);
	atomic_store_explicit(&t->prewoken_ns, w->now_ns, memory_order_relaxed);
	counters_add(&w->port[out].c.prewakes, 1);
}
