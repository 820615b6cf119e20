// Pieces of a frame are as long as slots, parts of a chain as packet buffers: the copies go along
// both.
// Invariant: no byte of a slot is read twice, and no value that another node wrote is an index
// here.
#include "segment_mbuf.h"

#include "rtvs/frame.h"

#include <rte_byteorder.h>
#include <rte_ip.h>
#include <rte_net.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include <linux/virtio_net.h>
#include <string.h>

static uint8_t *
byte_at(struct rte_mbuf *m, uint32_t at)
{
	while (at >= m->data_len) {
		at -= m->data_len;
		m = m->next;
	}
	return rte_pktmbuf_mtod_offset(m, uint8_t *, at);
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

// A checksum that gso_take does not handle: of a protocol that it does not know, or inside of a
// tunnel. A claim that does not fit the frame is ignored.
static void
finish_checksum(struct rte_mbuf *m, uint32_t start, uint32_t at)
{
	uint16_t sum;

	if (at + sizeof(sum) > m->pkt_len)
		return;
	sum = frame_checksum_finish(sum_from(m, start));
	*byte_at(m, at) = (uint8_t)(sum >> 8);
	*byte_at(m, at + 1) = (uint8_t)sum;
}

// Where the frame's own headers have their checksum; 0: it is no TCP or UDP.
static uint32_t
checksum_at(const struct rte_mbuf *m)
{
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	struct frame_offload o;
	struct frame_l2 l2;

	return frame_parse_l2(data, m->data_len, &l2) && !frame_offload(data, m->data_len, m->pkt_len, &l2, false, &o) ?
		o.checksum_at :
		0;
}

// gso_take compares what is asked for with the frame, and refuses segments of anything but TCP.
static void
take_offload(struct rte_mbuf *m, const struct segment_offload *o)
{
	uint32_t at = (uint32_t)o->csum_start + o->csum_offset;

	if (o->gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		m->ol_flags |= RTE_MBUF_F_RX_LRO | RTE_MBUF_F_RX_L4_CKSUM_NONE;
		m->tso_segsz = o->gso_size;
	} else if (o->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		if (checksum_at(m) == at)
			m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
		else
			finish_checksum(m, o->csum_start, at);
	}
}

// Appends to the chain, in further buffers where the last is full.
static bool
append(struct rte_mempool *pool, struct rte_mbuf *head, struct rte_mbuf **last, const uint8_t *from, uint32_t len)
{
	while (len) {
		uint16_t n = (uint16_t)RTE_MIN(len, (uint32_t)rte_pktmbuf_tailroom(*last));

		if (!n) {
			(*last)->next = rte_pktmbuf_alloc(pool);
			if (!(*last)->next)
				return false;
			*last = (*last)->next;
			head->nb_segs++;
			continue;
		}
		memcpy(rte_pktmbuf_mtod_offset(*last, uint8_t *, (*last)->data_len), from, n);
		(*last)->data_len = (uint16_t)((*last)->data_len + n);
		head->pkt_len += n;
		from += n;
		len -= n;
	}
	return true;
}

struct rte_mbuf *
segment_mbuf_read(struct rte_mempool *pool, const struct segment *seg, const struct segment_frame *frame)
{
	struct rte_mbuf *head = rte_pktmbuf_alloc(pool), *last = head;

	for (unsigned i = 0; head && i < frame->n_slots; i++) {
		uint32_t len;
		const uint8_t *piece = segment_piece(seg, frame, i, &len);

		if (!append(pool, head, &last, piece, len)) {
			rte_pktmbuf_free(head);
			return NULL;
		}
	}
	if (head)
		take_offload(head, &frame->offload);
	return head;
}

// As librte_vhost asks a guest: the field has the pseudo header's sum, an IPv4 header is complete.
static struct segment_offload
ask_offload(struct rte_mbuf *m)
{
	bool is_super = m->ol_flags & RTE_MBUF_F_TX_TCP_SEG;
	uint64_t kind = m->ol_flags & RTE_MBUF_F_TX_L4_MASK;
	uint16_t l4 = (uint16_t)(m->l2_len + m->l3_len);
	struct segment_offload o = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = l4};

	if (!is_super && kind != RTE_MBUF_F_TX_TCP_CKSUM && kind != RTE_MBUF_F_TX_UDP_CKSUM)
		return (struct segment_offload){0};
	(void)rte_net_intel_cksum_prepare(m);
	if (m->ol_flags & RTE_MBUF_F_TX_IP_CKSUM) {
		struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, m->l2_len);

		ip->hdr_checksum = 0;
		ip->hdr_checksum = rte_ipv4_cksum(ip);
	}
	o.csum_offset = is_super || kind == RTE_MBUF_F_TX_TCP_CKSUM ? offsetof(struct rte_tcp_hdr, cksum) :
								      offsetof(struct rte_udp_hdr, dgram_cksum);
	if (is_super) {
		o.gso_type = m->ol_flags & RTE_MBUF_F_TX_IPV6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
		o.gso_size = m->tso_segsz;
		o.hdr_len = (uint16_t)(l4 + m->l4_len);
	}
	return o;
}

void
segment_mbuf_write(struct rte_mbuf *m, const struct segment *seg, struct segment_frame *frame)
{
	uint32_t at = 0;

	frame->offload = ask_offload(m);
	for (unsigned i = 0; i < frame->n_slots; i++) {
		uint32_t room;
		uint8_t *to = segment_piece(seg, frame, i, &room);

		while (room && m) {
			uint32_t n = RTE_MIN(room, m->data_len - at);

			memcpy(to, rte_pktmbuf_mtod_offset(m, const uint8_t *, at), n);
			to += n;
			room -= n;
			at += n;
			if (at == m->data_len) {
				m = m->next;
				at = 0;
			}
		}
	}
}
