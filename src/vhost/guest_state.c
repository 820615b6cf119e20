// Of a descriptor only the USED bit is asked, against the wrap counter of its position: it is equal
// from the moment when the descriptor was marked used, also when the driver offers the place again,
// until the device comes round.
#include "rtvs/guest_state.h"

#include "guest_chain.h"

struct at {
	uint16_t index;
	bool wrap;
};

static struct at
at_of(uint32_t position)
{
	return (struct at){position & 0x7fff, position >> 15 & 1};
}

static uint32_t
position(struct at at)
{
	return at.index | (uint32_t)at.wrap << 15;
}

static struct vring_packed_desc *
desc_at(const struct guest_ring_cfg *cfg, struct at at)
{
	return (struct vring_packed_desc *)cfg->desc + at.index;
}

static bool
has_bit(const struct guest_ring_cfg *cfg, struct at at, unsigned bit)
{
	return guest_load_16(&desc_at(cfg, at)->flags, __ATOMIC_ACQUIRE) >> bit & 1;
}

static bool
is_used(const struct guest_ring_cfg *cfg, struct at at)
{
	return has_bit(cfg, at, VRING_PACKED_DESC_F_USED) == at.wrap;
}

// From `visible` on nothing is visible: the last buffer may be written in part, those between are
// complete, and the first is as the driver offered it.
static void
complete(const struct guest_ring_cfg *cfg, struct at visible, struct at last, uint16_t id)
{
	uint64_t flags = last.wrap ? UINT64_C(1) << VRING_PACKED_DESC_F_AVAIL | 1 << VRING_PACKED_DESC_F_USED : 0;

	guest_chain_store_used(desc_at(cfg, last), (uint64_t)id << 32 | flags << 48);
	if (last.index != visible.index)
		guest_chain_store_used(desc_at(cfg, visible), atomic_load(&cfg->state->held));
}

// Could the driver have set it up anew? Then no descriptor was used in it, and those that are
// offered are the first ones. Where the former device was in a round with wrap counter 0, a word
// that is still zero looks used.
static bool
is_in_first_round(const struct guest_ring_cfg *cfg)
{
	bool is_offered = has_bit(cfg, (struct at){0}, VRING_PACKED_DESC_F_AVAIL);

	for (uint16_t i = 0; i < cfg->size; i++)
		if (has_bit(cfg, (struct at){.index = i}, VRING_PACKED_DESC_F_USED) ||
			(!is_offered && has_bit(cfg, (struct at){.index = i}, VRING_PACKED_DESC_F_AVAIL)))
			return false;
	return true;
}

// A device that keeps no state served the ring since: the place where the former one would have
// gone on was used, or is offered for the round after. The tail of a chain looks so, too, but where
// the driver offers that again, it has offered the last buffer again before.
static bool
is_overtaken(const struct guest_ring_cfg *cfg, struct at last, struct at end)
{
	return is_used(cfg, end) &&
		(has_bit(cfg, end, VRING_PACKED_DESC_F_AVAIL) == end.wrap ||
			(is_used(cfg, last) && has_bit(cfg, last, VRING_PACKED_DESC_F_AVAIL) != last.wrap));
}

static bool
is_of(const struct guest_state *s, const struct guest_ring_cfg *cfg)
{
	return cfg->is_packed && s->version == GUEST_STATE_VERSION && s->size == cfg->size &&
		s->desc_guest == cfg->desc_guest;
}

// The last buffer of the former device stays known until there is a next one.
void
guest_state_begin(struct guest_state *s, const struct guest_ring_cfg *cfg)
{
	struct at at = {cfg->pos.used, cfg->pos.used_wrap};

	if (is_of(s, cfg) && atomic_load(&s->visible) == position(at))
		return;
	*s = (struct guest_state){.version = GUEST_STATE_VERSION, .size = cfg->size, .desc_guest = cfg->desc_guest};
	atomic_store(&s->visible, position(at));
}

bool
guest_state_resume(struct guest_ring_cfg *cfg)
{
	struct guest_state *s = cfg->state;
	uint64_t word;
	struct at visible, last, end;

	if (!s || !is_of(s, cfg))
		return false;
	word = atomic_load(&s->last);
	visible = at_of(atomic_load(&s->visible));
	last = at_of((uint32_t)word & 0xffff);
	end = at_of((uint32_t)(word >> 16) & 0xffff);
	if (!(word >> 48 & 1) || visible.index >= cfg->size || last.index >= cfg->size || end.index >= cfg->size)
		return false;
	if ((!end.wrap && is_in_first_round(cfg)) || is_overtaken(cfg, last, end))
		return false;
	if (end.index == visible.index && end.wrap == visible.wrap) {
		if (!is_used(cfg, last))
			return false;
	} else if (!is_used(cfg, visible)) {
		// Offered still: it was not made visible.
		if (has_bit(cfg, visible, VRING_PACKED_DESC_F_AVAIL) != visible.wrap)
			return false;
		complete(cfg, visible, last, (uint16_t)(word >> 32));
	}
	atomic_store(&s->visible, position(end));
	cfg->pos = (struct guest_ring_pos){
		.avail = end.index, .avail_wrap = end.wrap, .used = end.index, .used_wrap = end.wrap};
	return true;
}
