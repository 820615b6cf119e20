// Each slot is compared with the word that it leads to. Whether it is still what it was is decided by the compare-and-swaps that follow: a
// parcel is taken from its end, the first slot last, so that whoever clears up behind a taker that died finds the others by the first.
#include "parcel.h"

bool
parcel_read(const struct segment *seg, uint64_t ref, unsigned n, struct parcel *ret_parcel)
{
	struct parcel *p = ret_parcel;
	const struct layout_slot *first;
	unsigned owner;
	uint16_t epoch;

	p->n = 0;
	p->slot[0] = layout_ref_slot(ref);
	if (!n || n > SEGMENT_MAX_CHAIN || p->slot[0] >= seg->g.n_slots)
		return false;
	p->word[0] = shared_load(own_word(seg, p->slot[0]));
	if (layout_word_is_free(p->word[0]) || !layout_ref_fits(ref, p->word[0]))
		return true;
	owner = layout_word_owner(p->word[0]);
	epoch = layout_word_epoch(p->word[0]);
	if (owner >= seg->g.n_nodes || (p->word[0] & WORD_SHARED && n > 1))
		return false;
	first = own_slot(seg, p->slot[0]);
	for (unsigned i = 1; i < n; i++) {
		uint64_t other = shared_load(&first->other[i - 1]);

		p->slot[i] = layout_ref_slot(other);
		p->word[i] = other;
		if (p->slot[i] >= seg->g.n_slots) {
			p->n = 1;
			return false;
		}
		shared_prefetch_write(own_word(seg, p->slot[i]));
		__builtin_prefetch(own_slot(seg, p->slot[i]));
		__builtin_prefetch(own_bytes(seg, p->slot[i]));
	}
	// While they were read, somebody may have cleared up and the same sender begun another parcel here.
	if (n > 1 && shared_load(own_word(seg, p->slot[0])) != p->word[0])
		return true;
	for (p->n = 1; p->n < n; p->n++) {
		uint64_t word = shared_load(own_word(seg, p->slot[p->n]));

		if (!layout_ref_fits(p->word[p->n], word) || !layout_word_is(word, owner, epoch) || word & WORD_SHARED)
			break;
		p->word[p->n] = word;
	}
	return true;
}
