// Each slot is compared with its word. The compare-and-swaps that follow decide whether it is still
// the same. A parcel is taken from its end, the first slot last. So the sweeper of a taker that
// died finds the others by the first.
#include "parcel.h"

// The items; each that is not packed names one more slot, with its tag in word. False: not n slots,
// or not in the segment.
static bool
read_items(const struct segment *seg, uint32_t first, unsigned n, struct own_parcel *p)
{
	unsigned n_slots = 0;

	p->n_items = (unsigned)shared_load(&own_slot(seg, first)->n_items) & 0xff;
	if (p->n_items < n || p->n_items > SEGMENT_MAX_CHAIN)
		return false;
	for (unsigned i = 0; i < p->n_items; i++) {
		uint64_t item = shared_load(parcel_item(seg, first, i));
		uint32_t slot = layout_ref_slot(item);

		p->item[i] = item;
		if (item & ITEM_PACKED)
			continue;
		if (n_slots == n || slot >= seg->g.n_slots)
			return false;
		p->slot[n_slots] = slot;
		if (n_slots)
			p->word[n_slots] = item;
		n_slots++;
		shared_prefetch_write(own_word(seg, slot));
		__builtin_prefetch(own_bytes(seg, slot));
		if (item & ITEM_OFFLOAD)
			__builtin_prefetch(own_slot(seg, slot));
	}
	return n_slots == n && p->slot[0] == first;
}

bool
parcel_read(const struct segment *seg, uint64_t ref, unsigned n, struct own_parcel *ret_parcel)
{
	struct own_parcel *p = ret_parcel;
	uint32_t first = layout_ref_slot(ref);
	unsigned owner;
	uint16_t epoch;
	bool is_possible;

	p->n = 0;
	if (!n || n > SEGMENT_MAX_CHAIN || first >= seg->g.n_slots)
		return false;
	shared_prefetch_write(own_word(seg, first));
	for (unsigned i = 0; i < n; i += SEGMENT_LINE / sizeof(uint64_t))
		__builtin_prefetch(&own_slot(seg, first)->first + i);
	__builtin_prefetch(own_bytes(seg, first));
	p->word[0] = shared_load(own_word(seg, first));
	if (layout_word_is_free(p->word[0]) || !layout_ref_fits(ref, p->word[0]))
		return true;
	owner = layout_word_owner(p->word[0]);
	epoch = layout_word_epoch(p->word[0]);
	if (owner >= seg->g.n_nodes || (p->word[0] & WORD_SHARED && n > 1))
		return false;
	is_possible = read_items(seg, first, n, p);
	// While they were read, a sweeper may have freed them, and the same sender begun another
	// parcel here.
	if (shared_load(own_word(seg, first)) != p->word[0])
		return true;
	p->slot[0] = first;
	p->n = 1;
	if (!is_possible)
		return false;
	for (; p->n < n; p->n++) {
		uint64_t word = shared_load(own_word(seg, p->slot[p->n]));

		if (!layout_ref_fits(p->word[p->n], word) || !layout_word_is(word, owner, epoch) || word & WORD_SHARED)
			break;
		p->word[p->n] = word;
	}
	return true;
}
