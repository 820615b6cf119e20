// Pieces of a frame are as long as slots, parts of a chain as packet buffers: the copies go along
// both.
// Invariant: no byte of a slot is read twice, and no value that another node wrote is an index
// here.
#include "segment_mbuf.h"

#include "guest_offload.h"

#include <linux/virtio_net.h>
#include <string.h>

// Interfaces of nodes may send TCP with ECN's mark in its first segment only, as all who make
// segments do.
static void
take_offload(struct rte_mbuf *m, const struct segment_offload *o)
{
	const struct guest_hdr hdr = {
		.flags = o->flags,
		.gso_type = o->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN,
		.gso_size = o->gso_size,
		.csum_start = o->csum_start,
		.csum_offset = o->csum_offset,
	};

	guest_offload_note(m, &hdr);
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

static struct segment_offload
ask_offload(const struct rte_mbuf *m)
{
	const struct guest_hdr hdr = *guest_offload_hdr(m, &(struct guest_hdr){0});

	return (struct segment_offload){
		.flags = hdr.flags,
		.gso_type = hdr.gso_type,
		.hdr_len = hdr.hdr_len,
		.gso_size = hdr.gso_size,
		.csum_start = hdr.csum_start,
		.csum_offset = hdr.csum_offset,
	};
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
