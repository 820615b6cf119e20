// Virtio's header and requests. hdr_len is a hint that nobody needs: it is not read, and written as
// what it is. Flags that are no request are not read, either.
#include "guest_offload.h"

#include <linux/virtio_net.h>

static enum offload_kind
kind_of(const struct guest_hdr *hdr)
{
	if (hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return OFFLOAD_CHECKSUM;
	if (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) // which a driver must set then
		return OFFLOAD_NONSENSE;
	switch (hdr->gso_type) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return OFFLOAD_TCP4;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return OFFLOAD_TCP6;
	default: // also with VIRTIO_NET_HDR_GSO_ECN, which is not offered
		return OFFLOAD_NONSENSE;
	}
}

void
guest_offload_read(struct rte_mbuf *m, const struct guest_hdr *hdr)
{
	if (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return;
	pkt_set_offload(m,
		(struct offload){
			.csum_start = hdr->csum_start,
			.csum_offset = hdr->csum_offset,
			.gso_size = hdr->gso_size,
			.kind = (uint8_t)kind_of(hdr),
		});
}

struct guest_hdr
guest_offload_write(const struct rte_mbuf *m)
{
	struct offload o = pkt_offload(m);
	struct guest_hdr hdr = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = o.csum_start, .csum_offset = o.csum_offset};

	if (o.kind != OFFLOAD_CHECKSUM) {
		hdr.gso_type = o.kind == OFFLOAD_TCP6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
		hdr.gso_size = o.gso_size;
		hdr.hdr_len = (uint16_t)(o.csum_start + o.l4_len);
	}
	return hdr;
}
