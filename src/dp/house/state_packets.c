// Packets that wait for ports, in a state: in schedules, taken out of them for a device that took
// no more, and on their way to the worker that owns the port. The order of records is the order in
// which they leave; a time of arrival stays, so deadlines do. A packet has the form of its egress
// port already, and the offloads that it asks for are checked again. Invariant: a port gets no more
// packets than its counters say that it waits for.
#include "state_packets.h"

#include "path/encap.h"
#include "path/schedule.h"
#include "rtvs/frame.h"

#define PKT_MAX 65600 // bytes: a super-frame with tags

enum where { // a packet waits; numbers of records
	IN_QUEUE = 1,
	PENDING = 2,
	HANDED_OVER = 3,
};

struct saved_pkt {
	uint32_t port, from; // numbers; from: NONE: a port that is gone
	uint32_t tunnel; // that made it, NONE: none
	uint32_t where;
	uint64_t arrival_ns;
	uint16_t txq, asks, zero[2]; // asks: there is an offload
	struct offload offload;
}; // then the frame
#define NONE UINT32_MAX
_Static_assert(sizeof(struct saved_pkt) == 40 && sizeof(struct offload) == 8, "no padding");

struct saving {
	struct state_save *s;
	uint32_t port;
};

static uint32_t
number_of(const struct state_save *s, uint16_t id)
{
	return id < DP_MAX_PORTS && s->dp->port[id] ? id : NONE;
}

// NONE also for one that is gone: then it is sent as it is, as it would be here.
static uint32_t
tunnel_of(const struct state_save *s, struct rte_mbuf *m)
{
	uint32_t number;

	if (!(m->ol_flags & pkt_fields.is_tunnelled))
		return NONE;
	number = number_of(s, pkt_tunnel(m)->port);
	return number != NONE && (uint16_t)s->dp->port[number]->path.serial == pkt_tunnel(m)->serial ? number : NONE;
}

static void
save_pkt(const struct saving *saving, struct rte_mbuf *m, enum where where)
{
	struct state_save *s = saving->s;
	struct saved_pkt saved = {.port = saving->port,
		.from = number_of(s, m->port),
		.tunnel = tunnel_of(s, m),
		.where = where,
		.arrival_ns = state_saved_ns(s, pkt_item(m)->arrival_ns),
		.txq = *pkt_txq(m),
		.asks = pkt_asks(m)};

	if (saved.asks)
		saved.offload = pkt_offload(m);
	state_record_begin(&s->out, STATE_PACKET, 1);
	state_record_put(&s->out, &saved, sizeof(saved));
	for (const struct rte_mbuf *part = m; part; part = part->next)
		state_record_put(&s->out, rte_pktmbuf_mtod(part, const void *), part->data_len);
	state_record_end(&s->out);
}

static void
save_waiting_cb(void *arg, struct rte_mbuf *m, bool is_pending)
{
	save_pkt(arg, m, is_pending ? PENDING : IN_QUEUE);
}

// Each is taken out and put back behind the others: no worker does either meanwhile.
static void
save_handed_over(const struct saving *saving, struct mailbox *box)
{
	struct rte_mbuf *m;

	for (unsigned n = rte_ring_count(box->ring); n && mailbox_take(box, &m, 1); n--) {
		save_pkt(saving, m, HANDED_OVER);
		(void)mailbox_put(box, m); // where it was taken from
	}
}

void
state_packets_save(struct state_save *s)
{
	for (uint32_t i = 0; i < DP_MAX_PORTS; i++) {
		struct saving saving = {s, i};

		if (!s->dp->port[i])
			continue;
		if (s->dp->port[i]->schedule)
			schedule_each_waiting(s->dp->port[i]->schedule, save_waiting_cb, &saving);
		save_handed_over(&saving, &s->dp->port[i]->path.handoff);
	}
}

// NULL: no buffers.
static struct rte_mbuf *
make(struct rte_mempool *pool, struct state_record *record)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool), *last = m;
	uint32_t len = (uint32_t)record->left;

	while (last) {
		uint16_t n = (uint16_t)RTE_MIN(record->left, rte_pktmbuf_tailroom(last));

		(void)state_record_take(record, rte_pktmbuf_mtod(last, void *), n);
		last->data_len = n;
		if (!record->left)
			break;
		last->next = rte_pktmbuf_alloc(pool);
		last = last->next;
		m->nb_segs += last != NULL;
	}
	if (!last) {
		rte_pktmbuf_free(m);
		return NULL;
	}
	m->pkt_len = len;
	return m;
}

static bool
set_offload(struct rte_mbuf *m, struct offload offload)
{
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	struct frame_l2 l2;

	if (!frame_parse_l2(data, m->data_len, &l2))
		return false;
	l2.is_tagged = false; // the port's own tag may be before the sender's
	if (offload_check(data, m->data_len, m->pkt_len, &l2, &offload))
		return false;
	pkt_set_offload(m, offload);
	return true;
}

// Its headers are written once more when it leaves.
static bool
set_tunnel(struct rte_mbuf *m, const struct view *view, const struct port *out, const struct port *tunnel)
{
	const struct view_tunnel *t = tunnel ? view_port(view, tunnel->path.id)->tunnel : NULL;

	if (!t || t->uplink != out->path.id || m->nb_segs > 1 || m->data_len < t->headers.len + FRAME_MIN)
		return false;
	*pkt_tunnel(m) = (struct pkt_tunnel){.port = tunnel->path.id, .serial = (uint16_t)tunnel->path.serial};
	m->ol_flags |= pkt_fields.is_tunnelled;
	return true;
}

static bool
put(struct state_load *l, const struct view *view, struct port *out, struct rte_mbuf *m, uint32_t where)
{
	if (where == HANDED_OVER) {
		if (!mailbox_put(&out->path.handoff, m))
			return false;
		env_call_owner(&l->dp->env, &out->path);
		return true;
	}
	return out->schedule && schedule_restore(state_owner(l, out), view, out->path.id, m, where == PENDING);
}

bool
state_packets_load(struct state_load *l, struct state_record *record)
{
	const struct view *view = atomic_load(&l->dp->env.view);
	struct saved_pkt saved;
	struct port *out, *from;
	struct rte_mbuf *m;

	if (!state_record_take(record, &saved, sizeof(saved)) || record->left < FRAME_MIN || record->left > PKT_MAX ||
		saved.where < IN_QUEUE || saved.where > HANDED_OVER || saved.zero[0] || saved.zero[1])
		return false;
	out = state_port(l, saved.port);
	from = state_port(l, saved.from);
	if (!out || !from || !out->path.device.io || !l->n_waiting[out->path.id])
		return false;
	m = make(l->dp->env.pool, record);
	if (!m)
		return false;
	m->port = from->path.id;
	pkt_item(m)->arrival_ns = RTE_MIN(state_loaded_ns(l, saved.arrival_ns), l->now_ns);
	*pkt_txq(m) = saved.txq;
	if ((saved.tunnel != NONE && !set_tunnel(m, view, out, state_port(l, saved.tunnel))) ||
		(saved.asks && !set_offload(m, saved.offload)) || !put(l, view, out, m, saved.where)) {
		pkt_free(m);
		return false;
	}
	l->n_waiting[out->path.id]--;
	l->told->n_pkts++;
	return true;
}
