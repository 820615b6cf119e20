// A virtqueue's life between set-up and the messages that end it: positions, and the guest's view
// of used buffers. There are two ways to say "do not wake me", by flags and by index (Virtio 1.2,
// 2.7.7, 2.7.10, 2.8.10). Indexes of both kinds are compared on one circle: 65536 values of a split
// ring, two rounds of a packed one, whose first round has the wrap counter 1.
#include "guest_chain.h"
#include "guest_copy.h"
#include "rtvs/guest_state.h"

#include <errno.h>
#include <stddef.h>

struct guest_ring_bytes
guest_ring_bytes(uint16_t size, bool is_packed)
{
	if (is_packed)
		return (struct guest_ring_bytes){.desc = (uint64_t)size * sizeof(struct vring_packed_desc),
			.driver = sizeof(struct vring_packed_desc_event),
			.device = sizeof(struct vring_packed_desc_event)};
	// Each of the two is followed by the event index of the other side.
	return (struct guest_ring_bytes){.desc = (uint64_t)size * sizeof(struct vring_desc),
		.driver = sizeof(struct vring_avail) + (size + UINT64_C(1)) * sizeof(uint16_t),
		.device =
			sizeof(struct vring_used) + (uint64_t)size * sizeof(struct vring_used_elem) + sizeof(uint16_t)};
}

int
guest_ring_init(struct guest_ring *r, const struct guest_ring_cfg *cfg)
{
	const struct vring_avail *avail = cfg->driver;

	if (!cfg->size || cfg->size > GUEST_RING_MAX || (!cfg->is_packed && cfg->size & (cfg->size - 1)) ||
		(cfg->hdr_bytes != 10 && cfg->hdr_bytes != 12) || (uintptr_t)cfg->desc % 16 ||
		(uintptr_t)cfg->driver % 2 || (uintptr_t)cfg->device % 4)
		return -EINVAL;
	if (cfg->is_packed && (cfg->pos.avail >= cfg->size || cfg->pos.used >= cfg->size))
		return -EINVAL;
	*r = (struct guest_ring){.cfg = *cfg,
		.pos = cfg->pos,
		.mask = (uint16_t)(cfg->size - 1),
		.quiet_at = &avail->idx, // any word: it is not compared yet
		.quiet = GUEST_RING_UNKNOWN,
		.seen = cfg->pos.avail,
		.published = cfg->pos.used,
		.moves = guest_copy_moves()};
	if (cfg->state && cfg->is_packed)
		guest_state_begin(cfg->state, cfg);
	return 0;
}

static uint32_t
circle(const struct guest_ring *r)
{
	return r->cfg.is_packed ? 2u * r->cfg.size : 1u << 16;
}

static uint32_t
on_circle(const struct guest_ring *r, uint16_t at, bool wrap)
{
	return r->cfg.is_packed && !wrap ? (uint32_t)at + r->cfg.size : at;
}

static uint32_t
distance(const struct guest_ring *r, uint32_t from, uint32_t to)
{
	return to >= from ? to - from : to + circle(r) - from;
}

static uint32_t
used_on_circle(const struct guest_ring *r)
{
	return on_circle(r, r->pos.used, r->pos.used_wrap);
}

static void
publish_split(struct guest_ring *r)
{
	struct vring_used *used = r->cfg.device;

	if (r->published == r->pos.used)
		return;
	__atomic_store_n(&used->idx, r->pos.used, __ATOMIC_RELEASE);
	r->published = r->pos.used;
	guest_log_mark(&r->cfg.log, r->cfg.device_guest + offsetof(struct vring_used, idx), sizeof(used->idx));
}

static void
keep_visible(struct guest_ring *r)
{
	if (r->cfg.state)
		atomic_store_explicit(
			&r->cfg.state->visible, (uint32_t)r->pos.used_wrap << 15 | r->pos.used, memory_order_release);
}

static void
publish_packed(struct guest_ring *r)
{
	struct vring_packed_desc *d = (struct vring_packed_desc *)r->cfg.desc + r->held_at;

	if (!r->is_held)
		return;
	guest_step();
	guest_chain_store_used(d, r->held);
	guest_step();
	r->is_held = false;
	keep_visible(r);
	// Once more: a full list of marks may have been flushed since the first time.
	guest_log_mark(&r->cfg.log, r->cfg.desc_guest + r->held_at * sizeof(*d), sizeof(*d));
}

void
guest_ring_publish(struct guest_ring *r)
{
	if (r->cfg.is_packed)
		publish_packed(r);
	else
		publish_split(r);
	guest_log_flush(&r->cfg.log);
}

// The position that the driver asks to be signalled at. False: it decides by flags alone,
// *ret_is_wanted.
static bool
reads_event(const struct guest_ring *r, uint32_t *ret_event, bool *ret_is_wanted)
{
	if (r->cfg.is_packed) {
		const struct vring_packed_desc_event *e = r->cfg.driver;
		uint16_t flags = guest_load_16(&e->flags, __ATOMIC_RELAXED), off_wrap;

		*ret_is_wanted = flags != VRING_PACKED_EVENT_FLAG_DISABLE;
		if (flags != VRING_PACKED_EVENT_FLAG_DESC || !r->cfg.has_event_idx)
			return false;
		off_wrap = guest_load_16(&e->off_wrap, __ATOMIC_ACQUIRE);
		// An offset beyond the ring is somewhere on the circle, too: the guest then harms
		// itself.
		*ret_event = on_circle(r, off_wrap & 0x7fff, off_wrap >> VRING_PACKED_EVENT_F_WRAP_CTR) % circle(r);
		return true;
	}
	const struct vring_avail *avail = r->cfg.driver;

	if (r->cfg.has_event_idx) {
		*ret_event = guest_load_16(&avail->ring[r->cfg.size], __ATOMIC_RELAXED);
		return true;
	}
	*ret_is_wanted = !(guest_load_16(&avail->flags, __ATOMIC_RELAXED) & VRING_AVAIL_F_NO_INTERRUPT);
	return false;
}

bool
guest_ring_must_signal(struct guest_ring *r)
{
	uint32_t told = r->told, now = used_on_circle(r), event;
	bool was_told = r->is_told, is_wanted = true;

	if (was_told && told == now)
		return false;
	r->told = (uint16_t)now;
	r->is_told = true;
	if (!was_told)
		return true;
	if (!reads_event(r, &event, &is_wanted))
		return is_wanted;
	return distance(r, told, event) < distance(r, told, now);
}

bool
guest_ring_look(const struct guest_ring *r, struct guest_ring_progress *ret_progress)
{
	bool is_wanted = true;
	uint32_t event = 0;

	if (r->fault || !r->cfg.has_event_idx)
		return false;
	if (!reads_event(r, &event, &is_wanted) && is_wanted)
		return false;
	*ret_progress = (struct guest_ring_progress){
		.circle = circle(r), .used = used_on_circle(r), .wanted = event, .is_polling = !is_wanted};
	return true;
}

void
guest_ring_arm(struct guest_ring *r, bool is_on)
{
	if (r->cfg.is_packed) {
		struct vring_packed_desc_event *e = r->cfg.device;
		uint16_t flags = VRING_PACKED_EVENT_FLAG_DISABLE;

		if (is_on && r->cfg.has_event_idx) {
			flags = VRING_PACKED_EVENT_FLAG_DESC;
			__atomic_store_n(&e->off_wrap,
				(uint16_t)(r->pos.avail | r->pos.avail_wrap << VRING_PACKED_EVENT_F_WRAP_CTR),
				__ATOMIC_RELAXED);
		} else if (is_on)
			flags = VRING_PACKED_EVENT_FLAG_ENABLE;
		__atomic_store_n(&e->flags, flags, __ATOMIC_RELEASE);
		guest_log_mark(&r->cfg.log, r->cfg.device_guest, sizeof(*e));
		return;
	}
	struct vring_used *used = r->cfg.device;
	uint16_t *event = (uint16_t *)&used->ring[r->cfg.size];

	if (r->cfg.has_event_idx) {
		// Off: the place that the driver reaches last. A caller that keeps it off sets it
		// anew now and then.
		uint16_t at = (uint16_t)(r->pos.avail + (is_on ? 0 : 1 << 15));

		__atomic_store_n(event, at, __ATOMIC_RELAXED);
		guest_log_mark(&r->cfg.log, r->cfg.device_guest + (uint64_t)((uint8_t *)event - (uint8_t *)used),
			sizeof(*event));
		return;
	}
	__atomic_store_n(&used->flags, is_on ? 0 : VRING_USED_F_NO_NOTIFY, __ATOMIC_RELAXED);
	guest_log_mark(&r->cfg.log, r->cfg.device_guest, sizeof(used->flags));
}

bool
guest_ring_has_work(const struct guest_ring *r)
{
	struct guest_cursor cursor = guest_cursor_of(r);
	const struct vring_avail *avail = r->cfg.driver;

	if (r->fault)
		return false;
	if (r->cfg.is_packed)
		// reads flags alone
		return guest_chain_is_offered((struct guest_ring *)r, &cursor, true);
	return guest_load_16(&avail->idx, __ATOMIC_ACQUIRE) != cursor.at;
}

// The driver's word that shows the next buffer: its index, or that descriptor's flags. Any change
// of it ends the quiet, a lie, too: whoever takes buffers finds out what it means.
static void
note_quiet(struct guest_ring *r)
{
	uint16_t flags;

	if (!r->cfg.is_packed) {
		r->quiet = r->pos.avail;
		return;
	}
	r->quiet_at = &((const struct vring_packed_desc *)r->cfg.desc + r->pos.avail)->flags;
	flags = guest_load_16(r->quiet_at, __ATOMIC_RELAXED);
	r->quiet = guest_chain_is_available(flags, r->pos.avail_wrap) ? GUEST_RING_UNKNOWN : flags;
}

unsigned
guest_ring_count(struct guest_ring *r, unsigned n)
{
	struct guest_cursor cursor = guest_cursor_of(r);
	unsigned k = 0;

	if (r->fault)
		return 0;
	if (!r->cfg.is_packed) {
		if ((uint16_t)(r->seen - cursor.at) < n && !guest_chain_read_index(r))
			return 0;
		k = (uint16_t)(r->seen - cursor.at) < n ? (uint16_t)(r->seen - cursor.at) : n;
	} else
		for (; k < n && guest_chain_is_offered(r, &cursor, true); k++)
			guest_cursor_step(r, &cursor, true);
	if (!k && n)
		note_quiet(r);
	return k;
}

const char *
guest_ring_fault_text(enum guest_ring_fault fault)
{
	static const char *const text[] = {
#define X(name, text) text,
		GUEST_RING_FAULTS(X)
#undef X
	};

	return fault < GUEST_RING_N_FAULTS ? text[fault] : "unknown";
}
