// Segmentation, fragments and checksums in software, for ports whose far side does not take them.
// frame_tso_* and fragment_* decide about headers; this file moves the bytes between buffers. One
// copy per segment, no allocation but the segments.
#include "gso.h"

#include "base/pkt.h"
#include "rtvs/fragment.h"
#include "rtvs/frame.h"
#include "rtvs/offload.h"

#include <rte_byteorder.h>
#include <rte_mbuf.h>

#include <string.h>

#define TCP_CHECKSUM_OFFSET 16
#define IPV4_CHECKSUM_OFFSET 10

static void
store_be16(uint8_t *p, uint16_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

// Reads len bytes at offset of a chain into out; the caller has checked the range.
static void
chain_read(const struct rte_mbuf *m, uint32_t offset, uint32_t len, uint8_t *out)
{
	const void *from = rte_pktmbuf_read(m, offset, len, out);

	if (from != out)
		memcpy(out, from, len);
}

// The bytes in which all headers are, if they are accepted: in place, or a copy.
static const uint8_t *
read_head(const struct rte_mbuf *m, uint8_t copy[OFFLOAD_HEAD_MAX], uint32_t *ret_n)
{
	*ret_n = RTE_MIN(m->pkt_len, (uint32_t)OFFLOAD_HEAD_MAX);
	return rte_pktmbuf_read(m, 0, *ret_n, copy);
}

static uint8_t *
byte_at(struct rte_mbuf *m, uint32_t at)
{
	while (at >= m->data_len) {
		at -= m->data_len;
		m = m->next;
	}
	return rte_pktmbuf_mtod_offset(m, uint8_t *, at);
}

static void
chain_store_be16(struct rte_mbuf *m, uint32_t at, uint16_t value)
{
	*byte_at(m, at) = (uint8_t)(value >> 8);
	*byte_at(m, at + 1) = (uint8_t)value;
}

// Of all bytes from start on. Not rte_raw_cksum_mbuf, which (24.11) loses a carry behind a part of
// odd length.
static uint64_t
sum_from(const struct rte_mbuf *m, uint32_t start)
{
	bool is_odd = false;
	uint64_t sum = 0;

	for (; m; m = m->next) {
		uint32_t skip = RTE_MIN(start, m->data_len), n = m->data_len - skip;
		uint16_t part = frame_checksum_fold(
			frame_checksum_add(0, rte_pktmbuf_mtod_offset(m, const uint8_t *, skip), n));

		sum += is_odd ? rte_bswap16(part) : part;
		is_odd ^= n & 1;
		start -= skip;
	}
	return sum;
}

// Appends n payload bytes to the segment, in further buffers where one is not enough (jumbo
// frames), and adds them to the checksum. Chunks are of even length except for the last, as the sum
// needs.
static bool
append_payload(struct rte_mempool *pool, struct rte_mbuf *seg, const struct rte_mbuf *m, uint32_t offset, uint32_t n,
	uint64_t *sum)
{
	while (n) {
		struct rte_mbuf *last = rte_pktmbuf_lastseg(seg);
		uint16_t room = rte_pktmbuf_tailroom(last) & ~1u;
		uint16_t len = (uint16_t)RTE_MIN(n, room);
		uint8_t *to;

		if (!room) {
			last->next = rte_pktmbuf_alloc(pool);
			if (!last->next)
				return false;
			seg->nb_segs++;
			continue;
		}
		to = rte_pktmbuf_mtod_offset(last, uint8_t *, last->data_len);
		chain_read(m, offset, len, to);
		*sum = frame_checksum_add(*sum, to, len);
		last->data_len = (uint16_t)(last->data_len + len);
		seg->pkt_len += len;
		offset += len;
		n -= len;
	}
	return true;
}

static struct rte_mbuf *
make_segment(struct rte_mempool *pool, const struct rte_mbuf *m, const struct frame_tso *plan, const uint8_t *hdr,
	uint32_t i, uint32_t *offset)
{
	struct rte_mbuf *seg = rte_pktmbuf_alloc(pool);
	uint64_t sum;
	uint8_t *out;
	uint32_t n;

	if (!seg)
		return NULL;
	out = rte_pktmbuf_mtod(seg, uint8_t *);
	n = frame_tso_header(plan, hdr, i, out);
	seg->data_len = plan->hdr_len;
	seg->pkt_len = plan->hdr_len;
	sum = frame_checksum_add(0, out + plan->l4_offset, (size_t)(plan->hdr_len - plan->l4_offset));
	if (!append_payload(pool, seg, m, *offset, n, &sum)) {
		rte_pktmbuf_free(seg);
		return NULL;
	}
	*offset += n;
	store_be16(out + plan->l4_offset + TCP_CHECKSUM_OFFSET, (uint16_t)~frame_checksum_fold(sum));
	return seg;
}

int
gso_segment(struct rte_mempool *pool, const struct rte_mbuf *m, struct rte_mbuf **out, unsigned max)
{
	uint8_t copy[OFFLOAD_HEAD_MAX];
	struct frame_tso plan;
	uint32_t offset, n;
	const uint8_t *hdr = read_head(m, copy, &n);

	if (frame_tso_plan(hdr, n, m->pkt_len, pkt_offload(m).gso_size, &plan) || plan.n_segments > max)
		return 0;
	offset = plan.hdr_len;
	for (uint32_t i = 0; i < plan.n_segments; i++) {
		out[i] = make_segment(pool, m, &plan, hdr, i, &offset);
		if (!out[i]) {
			while (i--)
				rte_pktmbuf_free(out[i]);
			return -1;
		}
	}
	return (int)plan.n_segments;
}

// DPDK's drivers leave an IPv4 header's checksum to whoever makes segments.
static void
complete_ipv4(struct rte_mbuf *m, const uint8_t *head, uint32_t n)
{
	uint16_t type;
	size_t l3 = frame_skip_tags(head, n, &type);
	uint64_t sum = frame_checksum_add(0, head + l3, IPV4_CHECKSUM_OFFSET);

	sum = frame_checksum_add(
		sum, head + l3 + IPV4_CHECKSUM_OFFSET + 2, (head[l3] & 15) * 4u - IPV4_CHECKSUM_OFFSET - 2);
	chain_store_be16(m, (uint32_t)l3 + IPV4_CHECKSUM_OFFSET, (uint16_t)~frame_checksum_fold(sum));
}

enum drop
gso_take(struct rte_mbuf *m, const struct frame_l2 *l2)
{
	uint8_t copy[OFFLOAD_HEAD_MAX];
	struct offload o = pkt_offload(m);
	uint32_t n;
	const uint8_t *head = read_head(m, copy, &n);

	if (offload_check(head, n, m->pkt_len, l2, &o))
		return DROP_OFFLOAD;
	pkt_set_offload(m, o);
	if (o.kind == OFFLOAD_TCP4)
		complete_ipv4(m, head, n);
	return DROP_NONE;
}

bool
gso_describe(struct rte_mbuf *m)
{
	struct offload o = pkt_offload(m);
	uint8_t copy[OFFLOAD_HEAD_MAX];
	struct offload_places p;
	uint32_t n;
	const uint8_t *head = read_head(m, copy, &n);

	// Drivers look for headers in the first buffer.
	if (!offload_find(head, n, m->pkt_len, &o, &p) || p.l3_offset + p.l3_len + p.l4_len > m->data_len)
		return false;
	m->tx_offload = 0;
	m->l2_len = p.l3_offset & 0x7f; // three tags at most
	m->l3_len = p.l3_len & 0x1ff; // 60 at most
	m->l4_len = p.l4_len;
	m->ol_flags &= ~pkt_fields.asks;
	m->ol_flags |= (p.is_v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4) |
		(p.is_tcp ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM);
	if (o.kind != OFFLOAD_CHECKSUM) {
		m->tso_segsz = o.gso_size;
		m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG | (p.is_v6 ? 0 : RTE_MBUF_F_TX_IP_CKSUM);
	}
	return true;
}

void
gso_finish_checksum(struct rte_mbuf *m)
{
	struct offload o = pkt_offload(m);

	chain_store_be16(m, (uint32_t)o.csum_start + o.csum_offset, frame_checksum_finish(sum_from(m, o.csum_start)));
	m->ol_flags &= ~pkt_fields.asks;
}

static struct rte_mbuf *
make_fragment(struct rte_mempool *pool, const struct rte_mbuf *m, const struct fragment_plan *plan, uint16_t i)
{
	struct rte_mbuf *part = rte_pktmbuf_alloc(pool);
	uint8_t hdr[FRAGMENT_HEADERS_MAX], *to;
	uint16_t payload;
	size_t offset, len = fragment_header(plan, rte_pktmbuf_mtod(m, const uint8_t *), i, hdr, &offset, &payload);

	to = part ? (uint8_t *)rte_pktmbuf_append(part, (uint16_t)(len + payload)) : NULL;
	if (!to) {
		rte_pktmbuf_free(part);
		return NULL;
	}
	memcpy(to, hdr, len);
	chain_read(m, (uint32_t)offset, payload, to + len);
	return part;
}

bool
gso_fragment(
	struct rte_mempool *pool, const struct rte_mbuf *m, const struct fragment_plan *plan, struct rte_mbuf **out)
{
	for (uint16_t i = 0; i < plan->n; i++) {
		out[i] = make_fragment(pool, m, plan, i);
		if (!out[i]) {
			rte_pktmbuf_free_bulk(out, i);
			return false;
		}
	}
	return true;
}
