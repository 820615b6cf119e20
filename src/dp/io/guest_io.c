// Packets from and to a guest's rings. The first GUEST_HEAD bytes of a frame are copied once; all
// decisions are made on that copy, and it is what leaves. The rest is borrowed: the receiver's
// device copies it straight from the sender's buffers, which the sender's driver gets back when the
// turn ends. A ring that is not enabled is run all the same: what its driver sends is taken and
// discarded, nothing is delivered (vhost-user, "Ring states"). A broken ring refuses what it is
// given: it takes nothing until its driver sets it up again.
#include "guest_io.h"

#include "base/pkt.h"
#include "device.h"
#include "guest_offload.h"
#include "rtvs/frame.h"

#include <rte_arp.h>
#include <rte_branch_prediction.h>
#include <rte_mbuf.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SEGMENTS 64 // buffers of one packet to a guest
// bytes of a frame: the largest IP packet, Ethernet's header, two tags
#define FRAME_MAX (UINT16_MAX + 22)
// Drivers learn of their packets after so many rings or steps of a turn at the latest: a turn of
// hundreds of busy ports does not delay the first one's.
#define RINGS_MAX 8
#define STEPS_MAX 8
#define RESTS_MAX 1024 // buffers of borrowed bytes between two steps; further frames are copied

static struct guest_queue *
queue_of(struct device *device, unsigned i)
{
	struct guest_io *g = device->priv;

	return atomic_load_explicit(&g->queue[i], memory_order_acquire);
}

static void
signal_driver(const struct guest_io *g, const struct guest_queue *q)
{
	int call = atomic_load_explicit(&q->call, memory_order_acquire);

	if (call >= 0)
		(void)g->signal(call, q->owner);
}

// Queues whose drivers were not told yet what was used.
struct used_list {
	struct guest_queue *first, *last;
	unsigned n;
};

struct guest_turn {
	struct used_list to_guests, from_guests;
	unsigned n_steps, n_rests;
	struct guest_burst burst;
	struct rte_mbuf *taken[GUEST_BURST]; // whose data room the heads of a burst are in
	// Buffers of borrowed bytes, in use from the first on. They have two references while a
	// packet has them, so that freeing the packet leaves them here.
	struct rte_mbuf rest[RESTS_MAX];
};

static _Thread_local struct guest_turn *turn;

struct guest_turn *
guest_io_turn_create(void)
{
	struct guest_turn *t = aligned_alloc(_Alignof(struct guest_turn), sizeof(*t));

	if (t)
		memset(t, 0, sizeof(*t));
	return t;
}

void
guest_io_turn_destroy(struct guest_turn *t)
{
	free(t);
}

void
guest_io_turn_join(struct guest_turn *t)
{
	turn = t;
}

static void
publish(const struct used_list *list)
{
	for (struct guest_queue *q = list->first; q; q = q->next)
		guest_ring_publish(&q->ring);
}

static void
wake(struct used_list *list)
{
	for (struct guest_queue *q = list->first; q; q = q->next) {
		q->is_used = false;
		if (guest_ring_must_signal(&q->ring))
			signal_driver(q->io, q);
	}
	*list = (struct used_list){0};
}

static void
give_back(struct guest_turn *t)
{
	for (unsigned i = 0; i < t->n_rests; i++)
		assert(rte_mbuf_refcnt_read(&t->rest[i]) == 1);
	t->n_rests = 0;
}

void
guest_io_turn_end(void)
{
	struct guest_turn *t = turn;

	give_back(t);
	if (likely(!t->to_guests.first && !t->from_guests.first))
		return;
	publish(&t->to_guests);
	publish(&t->from_guests);
	atomic_thread_fence(memory_order_seq_cst);
	wake(&t->to_guests);
	wake(&t->from_guests);
	t->n_steps = 0;
}

void
guest_io_turn_step(void)
{
	if (++turn->n_steps >= STEPS_MAX)
		guest_io_turn_end();
	else
		give_back(turn);
}

static void
note_used(struct used_list *list, const struct guest_io *g, struct guest_queue *q)
{
	if (q->is_used)
		return;
	q->is_used = true;
	q->io = g;
	q->next = NULL;
	if (list->first)
		list->last->next = q;
	else
		list->first = q;
	list->last = q;
	list->n++;
}

static void
count_fault(struct device *device, const struct guest_ring *r, bool was_broken)
{
	if (unlikely(r->fault && !was_broken))
		atomic_fetch_add_explicit(&device->guest_errors, 1, memory_order_relaxed);
}

// Appends bytes to a packet, in further buffers where one is not enough. False: there is no buffer.
static bool
append(struct rte_mempool *pool, struct rte_mbuf *m, struct rte_mbuf **last, const uint8_t *from, uint32_t n)
{
	while (n) {
		uint16_t room = rte_pktmbuf_tailroom(*last), part = (uint16_t)RTE_MIN(n, room);

		if (!room) {
			struct rte_mbuf *next = rte_pktmbuf_alloc(pool);

			if (!next)
				return false;
			next->data_off = 0; // nobody puts a header there
			(*last)->next = next;
			*last = next;
			m->nb_segs++;
			continue;
		}
		memcpy(rte_pktmbuf_mtod_offset(*last, uint8_t *, (*last)->data_len), from, part);
		(*last)->data_len = (uint16_t)((*last)->data_len + part);
		m->pkt_len += part;
		from += part;
		n -= part;
	}
	return true;
}

// Is all that anyone reads of a frame but its bytes among the first ones? The rest may change while
// it is looked at, and no parser sees it. A request for a checksum or segments is about headers
// that end with those of TCP.
static bool
has_all_headers(const struct guest_frame *f)
{
	if (unlikely((f->hdr.flags || f->hdr.gso_type) && f->hdr.csum_start + FRAME_TCP_MAX > f->n_head))
		return false;
	return frame_has_all_headers(f->head, f->n_head);
}

// The rest of the frame is left where it is.
static bool
borrow(struct guest_turn *t, struct rte_mbuf *m, const struct guest_frame *f, const struct guest_piece *piece)
{
	struct rte_mbuf *last = m;

	if (f->n_pieces >= MAX_SEGMENTS || t->n_rests + f->n_pieces > RESTS_MAX || !has_all_headers(f))
		return false;
	for (uint16_t i = 0; i < f->n_pieces; i++) {
		struct rte_mbuf *rest = &t->rest[t->n_rests++];

		rest->buf_addr = piece[i].at;
		rest->data_len = (uint16_t)piece[i].n_bytes;
		rest->next = NULL;
		rte_mbuf_refcnt_set(rest, 2);
		last->next = rest;
		last = rest;
	}
	m->nb_segs = (uint16_t)(m->nb_segs + f->n_pieces);
	m->pkt_len = f->n_bytes;
	m->ol_flags |= pkt_fields.is_borrowed;
	return true;
}

// m has the head. False: there are too few buffers, or the frame is longer than any.
static bool
fill(struct device *device, struct rte_mbuf *m, const struct guest_frame *f, const struct guest_piece *piece)
{
	struct rte_mbuf *last = m;

	if (unlikely(f->n_bytes > FRAME_MAX))
		return false;
	m->data_len = f->n_head;
	m->pkt_len = f->n_head;
	guest_offload_note(m, &f->hdr);
	if (f->n_pieces && borrow(turn, m, f, piece))
		return true;
	for (uint16_t i = 0; i < f->n_pieces; i++)
		if (!append(device->pool, m, &last, piece[i].at, piece[i].n_bytes))
			return false;
	return true;
}

void
guest_io_announce(struct guest_io *g, const uint8_t mac[6])
{
	uint64_t value = 0;

	memcpy(&value, mac, 6);
	atomic_store(&g->announced, value);
}

// A frame that the guest did not send, from which others learn where it is now.
static uint16_t
rx_announced(struct device *device, struct rte_mbuf **pkts)
{
	struct guest_io *g = device->priv;
	uint64_t value = atomic_exchange(&g->announced, 0);
	struct rte_ether_addr mac;

	memcpy(&mac, &value, sizeof(mac));
	pkts[0] = rte_net_make_rarp_packet(device->pool, &mac);
	return pkts[0] ? 1 : 0;
}

bool
guest_io_is_announced(const struct guest_io *g)
{
	return atomic_load_explicit(&g->announced, memory_order_relaxed);
}

struct guest_frame *
guest_io_taken(void)
{
	return turn->burst.frame;
}

uint16_t
guest_io_take(struct device *device, uint16_t pair, uint16_t n)
{
	struct guest_turn *t = turn;
	struct guest_queue *q = queue_of(device, GUEST_FROM(pair));
	uint16_t taken;
	bool was_broken;

	if (!q)
		return 0;
	was_broken = q->ring.fault;
	// Buffers come first: a frame that was taken and has none would be lost.
	n = (uint16_t)guest_ring_count(&q->ring, n);
	if (!n || rte_mempool_get_bulk(device->pool, (void **)t->taken, n)) {
		count_fault(device, &q->ring, was_broken);
		return 0;
	}
	for (unsigned k = 0; k < n; k++)
		t->burst.frame[k].head = (uint8_t *)t->taken[k]->buf_addr + RTE_PKTMBUF_HEADROOM;
	taken = (uint16_t)guest_ring_take(&q->ring, &t->burst, n);
	count_fault(device, &q->ring, was_broken);
	if (unlikely(!atomic_load_explicit(&q->is_enabled, memory_order_relaxed)))
		taken = 0;
	if (unlikely(taken < n))
		rte_mempool_put_bulk(device->pool, (void **)t->taken + taken, n - taken);
	note_used(&t->from_guests, device->priv, q);
	return taken;
}

uint16_t
guest_io_wrap(struct device *device, uint16_t first, uint16_t n, uint32_t gone, struct rte_mbuf **pkts)
{
	struct guest_turn *t = turn;
	struct rte_mbuf *back[GUEST_BURST];
	uint32_t all = (uint32_t)(((UINT64_C(1) << n) - 1) << first);
	uint16_t got = 0, n_back = 0, n_lost = 0;

	if (likely((gone & all) == all)) {
		rte_mempool_put_bulk(device->pool, (void **)t->taken + first, n);
		return 0;
	}
	for (unsigned k = first; k < (unsigned)first + n; k++) {
		const struct guest_frame *f = &t->burst.frame[k];
		struct rte_mbuf *m = t->taken[k];

		if (likely(gone >> k & 1)) {
			back[n_back++] = m;
			continue;
		}
		rte_pktmbuf_reset(m);
		m->data_off = (uint16_t)(f->head - (uint8_t *)m->buf_addr);
		if (likely(fill(device, m, f, &t->burst.piece[f->first_piece])))
			pkts[got++] = m;
		else {
			pkt_free(m);
			n_lost++;
		}
	}
	if (n_back)
		rte_mempool_put_bulk(device->pool, (void **)back, n_back);
	if (unlikely(n_lost))
		atomic_fetch_add_explicit(&device->guest_errors, n_lost, memory_order_relaxed);
	return got;
}

static uint16_t
guest_rx(struct device *device, uint16_t pair, struct rte_mbuf **pkts, uint16_t n)
{
	if (unlikely(guest_io_is_announced(device->priv)) && !pair && queue_of(device, GUEST_FROM(pair)))
		return rx_announced(device, pkts);
	n = guest_io_take(device, pair, n);
	return n ? guest_io_wrap(device, 0, n, 0, pkts) : 0;
}

// Drivers of many rings do not wait for the turn's end.
static void
note_delivered(const struct guest_io *g, struct guest_queue *q)
{
	note_used(&turn->to_guests, g, q);
	if (likely(turn->to_guests.n < RINGS_MAX))
		return;
	publish(&turn->to_guests);
	atomic_thread_fence(memory_order_seq_cst);
	wake(&turn->to_guests);
}

uint16_t
guest_io_pass(struct device *device, uint16_t pair, const uint8_t *which, uint16_t n)
{
	struct guest_queue *q = queue_of(device, GUEST_TO(pair));
	bool was_broken;

	if (!q || !atomic_load_explicit(&q->is_enabled, memory_order_relaxed))
		return 0;
	was_broken = q->ring.fault;
	n = (uint16_t)guest_ring_deliver_frames(&q->ring, &turn->burst, which, n);
	count_fault(device, &q->ring, was_broken);
	if (n)
		note_delivered(device->priv, q);
	return n;
}

static int
deliver(struct guest_ring *r, const struct rte_mbuf *m)
{
	struct guest_piece piece[MAX_SEGMENTS];
	struct guest_hdr room;
	unsigned n = 0;

	if (m->nb_segs > MAX_SEGMENTS)
		return -EMSGSIZE;
	for (const struct rte_mbuf *s = m; s; s = s->next)
		piece[n++] = (struct guest_piece){.at = rte_pktmbuf_mtod(s, uint8_t *), .n_bytes = s->data_len};
	return guest_ring_deliver(r, guest_offload_hdr(m, &room), piece, n);
}

// Borrowed bytes are not needed any more.
static inline void
cut_rest(struct rte_mbuf *m)
{
	if (!pkt_is_borrowed(m))
		return;
	for (struct rte_mbuf *rest = m->next; rest; rest = rest->next)
		rte_mbuf_refcnt_set(rest, 1);
	m->next = NULL;
	m->nb_segs = 1;
}

static uint16_t
guest_tx(struct device *device, uint16_t pair, struct rte_mbuf **pkts, uint16_t n, struct port_refused *refused)
{
	struct guest_queue *q = queue_of(device, GUEST_TO(pair));
	bool was_broken = q && q->ring.fault;
	uint16_t done = 0;

	if (!q || !atomic_load_explicit(&q->is_enabled, memory_order_relaxed))
		return 0;
	for (; done < n; done++) {
		int rc = deliver(&q->ring, pkts[done]);

		if (likely(!rc)) {
			cut_rest(pkts[done]);
			pkt_free(pkts[done]);
			continue;
		}
		if (rc == -EAGAIN)
			break;
		port_refuse(refused, done, DROP_REFUSED);
	}
	count_fault(device, &q->ring, was_broken);
	if (!done)
		return 0;
	note_delivered(device->priv, q);
	return done;
}

static int
guest_arm(struct device *device, uint16_t pair, bool is_on)
{
	struct guest_queue *q = queue_of(device, GUEST_FROM(pair));

	if (!q)
		return -2; // the front-end's next message wakes the workers
	guest_ring_arm(&q->ring, is_on);
	atomic_thread_fence(memory_order_seq_cst); // before whoever arms looks once more
	return q->kick;
}

static bool
guest_look(struct device *device, uint16_t pair, struct chain_ring *ret_ring)
{
	const struct guest_queue *q = queue_of(device, GUEST_TO(pair));
	struct guest_ring_progress p;

	if (!q || !guest_ring_look(&q->ring, &p))
		return false;
	*ret_ring = (struct chain_ring){
		.cycle = p.circle, .put = (uint16_t)p.used, .wanted = (uint16_t)p.wanted, .is_polling = p.is_polling};
	return true;
}

static void
guest_kick(struct device *device, uint16_t pair)
{
	const struct guest_queue *q = queue_of(device, GUEST_TO(pair));

	if (q)
		signal_driver(device->priv, q);
}

const struct port_io guest_io_ops = {
	.rx = guest_rx,
	.tx = guest_tx,
	.arm = guest_arm,
	.look = guest_look,
	.kick = guest_kick,
	.takes_borrowed = true,
};
