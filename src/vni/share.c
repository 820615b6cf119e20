// See share.h. A word is always loaded before the check whether a node lives: a value from before a
// node's death belongs to its dead epoch.
#include "share.h"

#include "slot.h"

#define TRIES 1000 // at a word that 16 nodes change, each twice a frame

static _Atomic uint64_t *
share_word(const struct segment *seg, uint32_t slot, unsigned node)
{
	return &own_slot(seg, slot)->share[node / 16];
}

static uint64_t
waiting(unsigned node)
{
	return UINT64_C(1) << node % 16;
}

static uint64_t
held(unsigned node)
{
	return UINT64_C(1) << (16 + node % 16);
}

static bool
is_of(uint64_t share, uint64_t word)
{
	return share >> 32 == (uint32_t)word;
}

// Adds and removes bits in the slot's present use. False: that use is over, or `must` is not set.
static bool
change(struct segment *seg, uint32_t slot, uint64_t word, unsigned node, uint64_t must, uint64_t remove, uint64_t add)
{
	_Atomic uint64_t *share = share_word(seg, slot, node);

	for (unsigned i = 0; i < TRIES; i++) {
		uint64_t seen = shared_load(share);

		if (!is_of(seen, word) || (seen & must) != must)
			return false;
		if (shared_cas(share, seen, (seen & ~remove) | add))
			return true;
	}
	return false;
}

// A word of another generation in a slot that is still shared was spoiled by some node: the nodes
// that it named are forgotten.
static bool
free_if_last(struct segment *seg, uint32_t slot, uint64_t word)
{
	for (unsigned i = 0; i < SHARE_WORDS; i++) {
		uint64_t seen = shared_load_ordered(&own_slot(seg, slot)->share[i]);

		if (is_of(seen, word) && (uint32_t)seen)
			return false;
	}
	return slot_free_seen(seg, slot, word);
}

void
share_begin(struct segment *seg, uint32_t slot, uint64_t word)
{
	for (unsigned i = 0; i < SHARE_WORDS; i++)
		shared_store(&own_slot(seg, slot)->share[i],
			(uint64_t)(uint32_t)word << 32 |
				((unsigned)seg->self / 16 == i ? held((unsigned)seg->self) : 0));
}

bool
share_add(struct segment *seg, uint32_t slot, uint64_t word, unsigned node)
{
	return change(seg, slot, word, node, 0, 0, waiting(node));
}

bool
share_hold(struct segment *seg, uint32_t slot, uint64_t word)
{
	unsigned self = (unsigned)seg->self;

	return change(seg, slot, word, self, waiting(self), waiting(self), held(self));
}

void
share_drop(struct segment *seg, uint32_t slot, uint64_t word, unsigned node)
{
	(void)change(seg, slot, word, node, 0, waiting(node) | held(node), 0);
	(void)free_if_last(seg, slot, word);
}

bool
share_sweep(struct segment *seg, uint32_t slot, uint64_t word)
{
	bool has_sender = own_is_alive(seg, layout_word_owner(word), layout_word_epoch(word));

	for (unsigned i = 0; i < SHARE_WORDS; i++) {
		_Atomic uint64_t *share = &own_slot(seg, slot)->share[i];

		for (unsigned tries = 0; tries < TRIES; tries++) {
			uint64_t seen = shared_load_ordered(share), left = seen;

			if (!is_of(seen, word))
				break;
			for (unsigned k = 0; k < 16; k++) {
				unsigned node = 16 * i + k;
				uint64_t bits = waiting(node) | held(node);

				if (!(seen & bits))
					continue;
				if (node >= seg->g.n_nodes ||
					layout_state_of(shared_load_ordered(&own_node(seg, node)->state)) !=
						SEGMENT_LIVE)
					left &= ~bits;
				else if (!has_sender && node == layout_word_owner(word))
					left &= ~bits; // of its former life
				else if (!has_sender)
					left &= ~waiting(node);
			}
			if (left == seen || shared_cas(share, seen, left))
				break;
		}
	}
	return free_if_last(seg, slot, word);
}
