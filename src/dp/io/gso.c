// Segmentation, fragments and checksums in software, for ports whose far side does not take them.
// frame_tso_* and fragment_* decide about headers; this file moves the bytes between buffers. One
// copy per segment, no allocation but the segments.
#include "gso.h"

#include "rtvs/fragment.h"
#include "rtvs/frame.h"

#include <rte_ip.h>
#include <rte_mbuf.h>

#include <string.h>

#define TCP_CHECKSUM_OFFSET 16
#define UDP_CHECKSUM_OFFSET 6

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
	const uint8_t *hdr = rte_pktmbuf_mtod(m, const uint8_t *);
	struct frame_tso plan;
	uint32_t offset;

	if (frame_tso_plan(hdr, m->data_len, m->pkt_len, m->tso_segsz, &plan) || plan.n_segments > max ||
		plan.hdr_len > RTE_MBUF_DEFAULT_DATAROOM / 2)
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

// The sum from the L4 header to the frame's end, over the guest's value in the field: its
// pseudo-header's sum, which includes routing headers, too. Padding is of zeroes.
static void
finish_here(struct rte_mbuf *m, const struct frame_offload *o)
{
	uint16_t sum = 0;

	(void)rte_raw_cksum_mbuf(m, o->l4_offset, m->pkt_len - o->l4_offset, &sum);
	sum = sum == UINT16_MAX ? sum : (uint16_t)~sum;
	memcpy(rte_pktmbuf_mtod_offset(m, void *, o->checksum_at), &sum, sizeof(sum));
}

enum drop
gso_take(struct rte_mbuf *m, const struct frame_l2 *l2)
{
	bool is_super = m->ol_flags & RTE_MBUF_F_RX_LRO;
	uint16_t l3_len;
	struct frame_offload o;

	m->ol_flags &= ~(RTE_MBUF_F_RX_LRO | RTE_MBUF_F_RX_L4_CKSUM_MASK);
	if (frame_offload(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, m->pkt_len, l2, is_super, &o))
		return DROP_OFFLOAD;
	l3_len = (uint16_t)(o.l4_offset - o.l3_offset);
	if (o.has_extensions && !is_super) {
		finish_here(m, &o);
		return DROP_NONE;
	}
	if (l3_len >= 1u << RTE_MBUF_L3_LEN_BITS)
		return DROP_OFFLOAD;
	m->l2_len = o.l3_offset & 0x7f; // two tags at most
	m->l3_len = l3_len & 0x1ff;
	m->l4_len = o.l4_len;
	m->ol_flags |= (o.is_v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4) |
		(o.is_tcp ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM);
	if (is_super)
		m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG | (o.is_v6 ? 0 : RTE_MBUF_F_TX_IP_CKSUM);
	return DROP_NONE;
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

bool
gso_finish_checksum(struct rte_mbuf *m)
{
	uint64_t kind = m->ol_flags & RTE_MBUF_F_TX_L4_MASK;
	bool is_tcp = kind == RTE_MBUF_F_TX_TCP_CKSUM || (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG);
	uint16_t l4 = (uint16_t)(m->l2_len + m->l3_len);
	uint16_t at = (uint16_t)(l4 + (is_tcp ? TCP_CHECKSUM_OFFSET : UDP_CHECKSUM_OFFSET));
	uint16_t min_l3 = m->ol_flags & RTE_MBUF_F_TX_IPV6 ? sizeof(struct rte_ipv6_hdr) : sizeof(struct rte_ipv4_hdr);
	uint8_t *data = rte_pktmbuf_mtod(m, uint8_t *);
	uint16_t sum;

	if ((!is_tcp && kind != RTE_MBUF_F_TX_UDP_CKSUM) || m->l2_len < RTE_ETHER_HDR_LEN || m->l3_len < min_l3 ||
		at + 2 > m->data_len)
		return false;
	memset(data + at, 0, 2);
	sum = m->ol_flags & RTE_MBUF_F_TX_IPV6 ?
		rte_ipv6_udptcp_cksum_mbuf(m, (struct rte_ipv6_hdr *)(data + m->l2_len), l4) :
		rte_ipv4_udptcp_cksum_mbuf(m, (struct rte_ipv4_hdr *)(data + m->l2_len), l4);
	memcpy(data + at, &sum, 2);
	m->ol_flags &= ~(RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_TCP_SEG);
	return true;
}
