// The content of a frame's slots. Both kinds of memory keep bytes and offload in the same places.
#include "piece.h"

#include <string.h>

// flags, gso_type, hdr_len, gso_size, csum_start, from the lowest byte, and csum_offset.
void
piece_write_offload(struct layout_slot *slot, const struct segment_offload *o)
{
	shared_store(&slot->offload[0],
		o->flags | (uint64_t)o->gso_type << 8 | (uint64_t)o->hdr_len << 16 | (uint64_t)o->gso_size << 32 |
			(uint64_t)o->csum_start << 48);
	shared_store(&slot->offload[1], o->csum_offset);
}

struct segment_offload
piece_read_offload(const struct layout_slot *slot)
{
	uint64_t offload = shared_load(&slot->offload[0]);

	return (struct segment_offload){
		.flags = (uint8_t)offload,
		.gso_type = (uint8_t)(offload >> 8),
		.hdr_len = (uint16_t)(offload >> 16),
		.gso_size = (uint16_t)(offload >> 32),
		.csum_start = (uint16_t)(offload >> 48),
		.csum_offset = (uint16_t)shared_load(&slot->offload[1]),
	};
}

uint8_t *
segment_piece(const struct segment *seg, const struct segment_frame *frame, unsigned i, uint32_t *ret_len)
{
	uint32_t before = i * seg->g.slot_bytes;

	*ret_len = frame->len - before < seg->g.slot_bytes ? frame->len - before : seg->g.slot_bytes;
	return own_bytes(seg, (uint32_t)frame->slot[i]) + (i ? 0 : frame->offset);
}

void
segment_copy(const struct segment *seg, const struct segment_frame *frame, void *ret_data)
{
	for (unsigned i = 0; i < frame->n_slots; i++) {
		uint32_t len;
		const uint8_t *piece = segment_piece(seg, frame, i, &len);

		memcpy((uint8_t *)ret_data + i * seg->g.slot_bytes, piece, len);
	}
}

void
segment_fill(const struct segment *seg, const struct segment_frame *frame, const void *data)
{
	for (unsigned i = 0; i < frame->n_slots; i++) {
		uint32_t len;
		uint8_t *piece = segment_piece(seg, frame, i, &len);

		memcpy(piece, (const uint8_t *)data + i * seg->g.slot_bytes, len);
	}
}
