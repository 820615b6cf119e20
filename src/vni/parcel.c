// Each slot is compared with the word that it leads to. Whether it is still what it was is decided by the compare-and-swaps that follow: a
// parcel is taken from its end, the first slot last, so that whoever clears up behind a taker that died finds the others by the first.
#include "parcel.h"

bool
parcel_read(const struct segment *seg, uint64_t ref, unsigned n, struct own_parcel *ret_parcel)
{
	struct own_parcel *p = ret_parcel;
	uint32_t first = layout_ref_slot(ref);
	unsigned owner;
	uint16_t epoch;

	p->n = 0;
	if (!n || n > SEGMENT_MAX_CHAIN || first >= seg->g.n_slots)
		return false;
	shared_prefetch_write(own_word(seg, first));
	for (unsigned i = 0; i < n; i += SEGMENT_LINE / sizeof(uint64_t))
		__builtin_prefetch(&own_slot(seg, first)->first + i);
	p->word[0] = shared_load(own_word(seg, first));
	if (layout_word_is_free(p->word[0]) || !layout_ref_fits(ref, p->word[0]))
		return true;
	owner = layout_word_owner(p->word[0]);
	epoch = layout_word_epoch(p->word[0]);
	if (owner >= seg->g.n_nodes || (p->word[0] & WORD_SHARED && n > 1))
		return false;
	for (unsigned i = 0; i < n; i++) {
		uint32_t slot;

		p->item[i] = shared_load(parcel_item(seg, first, i));
		slot = layout_ref_slot(p->item[i]);
		if (slot >= seg->g.n_slots || (!i && slot != first)) {
			p->item[0] = ref;
			p->n = 1;
			return false;
		}
		shared_prefetch_write(own_word(seg, slot));
		__builtin_prefetch(own_bytes(seg, slot));
		if (p->item[i] & ITEM_OFFLOAD)
			__builtin_prefetch(own_slot(seg, slot));
	}
	// While they were read, somebody may have cleared up and the same sender begun another parcel here.
	if (n > 1 && shared_load(own_word(seg, first)) != p->word[0])
		return true;
	for (p->n = 1; p->n < n; p->n++) {
		uint64_t word = shared_load(own_word(seg, layout_ref_slot(p->item[p->n])));

		if (!layout_ref_fits(p->item[p->n], word) || !layout_word_is(word, owner, epoch) || word & WORD_SHARED)
			break;
		p->word[p->n] = word;
	}
	return true;
}
