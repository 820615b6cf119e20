#include "driver.h"

#include "../unit.h"
#include "rtvs/random.h"

#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TABLES UINT64_C(0x1000) // guest addresses: indirect tables of each id,
#define TABLE_BYTES 512
#define AREAS (TABLES + DRIVER_MAX * TABLE_BYTES) // then buffers of each
#define MIDDLE (AREAS + 7 * DRIVER_AREA + 1001) // where the first region ends
#define END (AREAS + DRIVER_MAX * (uint64_t)DRIVER_AREA)
#define RING END // the third region

uint64_t
driver_area(uint16_t id)
{
	return AREAS + id * (uint64_t)DRIVER_AREA;
}

// Bytes of host memory: of the heap, so that ASan watches their end, or a file's.
static uint8_t *
allocate(uint64_t n_bytes, int *ret_fd)
{
	uint8_t *at;

	if (!ret_fd) {
		at = aligned_alloc(64, (n_bytes + 63) / 64 * 64);
		assert_non_null(at);
		memset(at, 0, n_bytes);
		return at;
	}
	*ret_fd = memfd_create("guest", MFD_CLOEXEC);
	assert_true(*ret_fd >= 0);
	assert_int_equal(ftruncate(*ret_fd, (off_t)n_bytes), 0);
	at = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *ret_fd, 0);
	assert_true(at != MAP_FAILED);
	return at;
}

// Of an empty ring.
static void
lay_out(struct driver *d, uint32_t at)
{
	struct guest_ring_bytes n = guest_ring_bytes(d->cfg.size, d->cfg.is_packed);

	d->desc = d->host[2] + at;
	d->driver = d->desc + n.desc;
	d->device = d->driver + (n.driver + 3) / 4 * 4;
	d->n_free_slots = d->cfg.size;
	for (d->n_free = 0; d->n_free < d->cfg.size; d->n_free++)
		d->free_slot[d->n_free] = (uint16_t)(d->cfg.size - 1 - d->n_free);
	d->wrap = d->used_wrap = true;
}

static void
init(struct driver *d, const struct driver_cfg *cfg, uint64_t seed, bool has_files, uint64_t base)
{
	struct guest_ring_bytes n = guest_ring_bytes(cfg->size, cfg->is_packed);
	uint64_t ring_bytes = n.desc + n.driver + n.device + 64 + cfg->room;
	const struct {
		uint64_t guest, n_bytes;
	} region[] = {{MIDDLE, END - MIDDLE}, {0, MIDDLE}, {RING, ring_bytes}};

	memset(d, 0, sizeof(*d));
	d->cfg = *cfg;
	d->random = seed;
	d->base = base;
	for (unsigned i = 0; i < 3; i++) {
		struct guest_region r = {.guest = base + region[i].guest,
			.user = base + region[i].guest + DRIVER_USER,
			.n_bytes = region[i].n_bytes};

		d->fd[i] = -1;
		d->n_host[i] = r.n_bytes;
		d->host[i] = r.host = allocate(r.n_bytes, has_files ? &d->fd[i] : NULL);
		assert_int_equal(guest_mem_add(&d->mem, &r), 0);
	}
	lay_out(d, 0);
	d->dirty = calloc(1, DRIVER_LOG_BYTES);
	assert_non_null(d->dirty);
}

void
driver_init(struct driver *d, const struct driver_cfg *cfg, uint64_t seed)
{
	init(d, cfg, seed, false, 0);
}

void
driver_init_files(struct driver *d, const struct driver_cfg *cfg, uint64_t seed, uint64_t base)
{
	init(d, cfg, seed, true, base);
}

void
driver_move(struct driver *d, uint16_t size, uint32_t at)
{
	d->cfg.size = size;
	d->next = d->used = 0;
	d->n_used = 0;
	memset(d->buffer, 0, sizeof(d->buffer));
	memset(d->host[2], 0, d->n_host[2]);
	lay_out(d, at);
}

void
driver_fini(struct driver *d)
{
	for (unsigned i = 0; i < 3; i++) {
		if (d->fd[i] < 0) {
			free(d->host[i]);
			continue;
		}
		munmap(d->host[i], d->n_host[i]);
		close(d->fd[i]);
	}
	free((void *)d->dirty);
}

struct guest_ring_cfg
driver_ring_cfg(struct driver *d)
{
	return (struct guest_ring_cfg){.desc = d->desc,
		.driver = d->driver,
		.device = d->device,
		.desc_guest = RING + d->base + (uint64_t)(d->desc - d->host[2]),
		.device_guest = RING + d->base + (uint64_t)(d->device - d->host[2]),
		.size = d->cfg.size,
		.hdr_bytes = d->cfg.hdr_bytes,
		.is_packed = d->cfg.is_packed,
		.has_event_idx = d->cfg.has_event_idx,
		.has_indirect = d->cfg.has_indirect,
		.has_mergeable = d->cfg.has_mergeable,
		.mem = &d->mem,
		.pos = {.avail_wrap = true, .used_wrap = true}};
}

uint8_t *
driver_at(struct driver *d, uint64_t guest)
{
	if (guest >= RING)
		return d->host[2] + (guest - RING);
	return guest >= MIDDLE ? d->host[0] + (guest - MIDDLE) : d->host[1] + guest;
}

static void
cut_in_parts(struct driver *d, struct driver_buffer *b, uint64_t guest, uint32_t n_bytes, unsigned max)
{
	b->n_parts = 0;
	b->n_bytes = n_bytes;
	while (n_bytes) {
		uint32_t n = n_bytes;

		if (b->n_parts + 1 < max && random_below(&d->random, 2))
			n = 1 + (uint32_t)random_below(&d->random, n_bytes);
		b->part[b->n_parts].guest = guest;
		b->part[b->n_parts++].n_bytes = n;
		guest += n;
		n_bytes -= n;
	}
}

static void
write_desc(struct driver *d, uint64_t guest, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next, uint16_t id)
{
	uint8_t bytes[16];

	addr += d->base;
	memcpy(bytes, &addr, 8);
	memcpy(bytes + 8, &len, 4);
	memcpy(bytes + 12, d->cfg.is_packed ? &id : &flags, 2);
	memcpy(bytes + 14, d->cfg.is_packed ? &flags : &next, 2);
	for (unsigned i = 0; i < 16; i++)
		*driver_at(d, guest + i) = bytes[i];
}

// The parts from n_direct on. A split ring's table is linked in any order that begins with its
// first entry.
static void
write_table(struct driver *d, uint64_t table, const struct driver_buffer *b, unsigned n_direct, uint16_t flags)
{
	unsigned n = b->n_parts - n_direct;
	bool is_mixed = !d->cfg.is_packed && n > 2 && random_below(&d->random, 2);

	for (unsigned i = 0; i < n; i++) {
		unsigned at = is_mixed && i ? n - i : i, next = is_mixed ? n - i - 1 : i + 1;

		write_desc(d, table + at * 16, b->part[n_direct + i].guest, b->part[n_direct + i].n_bytes,
			(uint16_t)(flags | (!d->cfg.is_packed && i + 1 < n ? VRING_DESC_F_NEXT : 0)), (uint16_t)next,
			0);
	}
}

static void
put_avail_split(struct driver *d, uint16_t head)
{
	struct vring_avail *avail = (void *)d->driver;

	avail->ring[d->next % d->cfg.size] = head;
	__atomic_store_n(&avail->idx, ++d->next, __ATOMIC_RELEASE);
}

int
driver_offer(struct driver *d, uint32_t n_bytes, const uint8_t *from)
{
	uint16_t flags = from ? 0 : VRING_DESC_F_WRITE, id, first_flags = 0, first = d->next;
	uint64_t ring = RING + (uint64_t)(d->desc - d->host[2]);
	unsigned n_direct, n_table, n_slots;
	struct driver_buffer *b;

	if (!d->n_free)
		return -1;
	id = d->free_slot[d->n_free - 1];
	b = &d->buffer[id];
	assert_false(b->is_out);
	cut_in_parts(d, b, driver_area(id), n_bytes, d->cfg.is_plain ? 1 : DRIVER_PARTS);
	n_direct = b->n_parts;
	if (d->cfg.has_indirect && !d->cfg.is_plain && random_below(&d->random, 2))
		n_direct = (unsigned)random_below(&d->random, b->n_parts); // the rest is in a table
	n_table = b->n_parts - n_direct;
	n_slots = n_direct + !!n_table;
	if (n_slots > (d->cfg.is_packed ? d->n_free_slots : d->n_free))
		return -1;
	b->is_out = true;
	b->is_writable = !from;
	b->n_slots = (uint16_t)n_slots;
	if (d->cfg.is_packed) {
		d->n_free--;
		d->n_free_slots = (uint16_t)(d->n_free_slots - n_slots);
	} else
		for (unsigned i = 0; i < n_slots; i++)
			b->slot[i] = d->free_slot[--d->n_free];
	for (unsigned i = 0; from && i < b->n_parts; i++)
		for (uint32_t k = 0; k < b->part[i].n_bytes; k++)
			*driver_at(d, b->part[i].guest + k) = *from++;
	write_table(d, TABLES + id * (uint64_t)TABLE_BYTES, b, n_direct, flags);
	for (unsigned i = 0; i < n_slots; i++) {
		bool is_table = i == n_direct;
		uint16_t f = (uint16_t)((is_table ? VRING_DESC_F_INDIRECT : flags) |
			(i + 1 < n_slots ? VRING_DESC_F_NEXT : 0));
		uint64_t addr = is_table ? TABLES + id * (uint64_t)TABLE_BYTES : b->part[i].guest;
		uint32_t len = is_table ? n_table * 16 : b->part[i].n_bytes;

		if (!d->cfg.is_packed) {
			write_desc(d, ring + b->slot[i] * UINT64_C(16), addr, len, f,
				i + 1 < n_slots ? b->slot[i + 1] : 0, 0);
			continue;
		}
		f |= (uint16_t)(d->wrap ? 1 << VRING_PACKED_DESC_F_AVAIL : 1 << VRING_PACKED_DESC_F_USED);
		if (!i)
			first_flags = f;
		// The first descriptor is made available last; until then its flags say what they
		// said.
		write_desc(d, ring + d->next * UINT64_C(16), addr, len,
			i ? f : (uint16_t)(f ^ (1 << VRING_PACKED_DESC_F_AVAIL | 1 << VRING_PACKED_DESC_F_USED)), 0,
			id);
		if (++d->next == d->cfg.size) {
			d->next = 0;
			d->wrap = !d->wrap;
		}
	}
	if (d->cfg.is_packed)
		__atomic_store_n(
			&((struct vring_packed_desc *)(void *)d->desc)[first].flags, first_flags, __ATOMIC_RELEASE);
	else
		put_avail_split(d, b->slot[0]);
	return d->cfg.is_packed ? id : b->slot[0];
}

static struct driver_buffer *
end_use(struct driver *d, uint32_t id, uint32_t n_bytes)
{
	struct driver_buffer *b;

	assert_true(id < d->cfg.size);
	b = &d->buffer[id];
	assert_true(b->is_out);
	b->is_out = false;
	assert_true(b->is_writable ? n_bytes <= b->n_bytes : n_bytes == 0);
	return b;
}

int
driver_reap(struct driver *d, uint32_t *ret_bytes)
{
	struct driver_buffer *b;
	int id;

	if (!d->cfg.is_packed) {
		const struct vring_used *used = (const void *)d->device;
		const struct vring_used_elem *e = &used->ring[d->used % d->cfg.size];

		if (__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE) == d->used)
			return -1;
		id = (int)e->id;
		b = end_use(d, e->id, e->len);
		*ret_bytes = e->len;
		for (unsigned i = b->n_slots; i--;)
			d->free_slot[d->n_free++] = b->slot[i];
		d->used++;
		d->n_used++;
		return id;
	}
	const struct vring_packed_desc *desc = (const struct vring_packed_desc *)(const void *)d->desc + d->used;
	uint16_t flags = __atomic_load_n(&desc->flags, __ATOMIC_ACQUIRE);

	if (!!(flags & 1 << VRING_PACKED_DESC_F_AVAIL) != d->used_wrap ||
		!!(flags & 1 << VRING_PACKED_DESC_F_USED) != d->used_wrap)
		return -1;
	id = desc->id;
	b = end_use(d, desc->id, desc->len);
	assert_int_equal(!!(flags & VRING_DESC_F_WRITE), desc->len > 0);
	*ret_bytes = desc->len;
	d->free_slot[d->n_free++] = desc->id;
	d->n_free_slots = (uint16_t)(d->n_free_slots + b->n_slots);
	d->n_used += b->n_slots;
	if (d->used + b->n_slots >= d->cfg.size)
		d->used_wrap = !d->used_wrap;
	d->used = (uint16_t)((d->used + b->n_slots) % d->cfg.size);
	return id;
}

void
driver_read(struct driver *d, int id, uint8_t *to, uint32_t n_bytes)
{
	const struct driver_buffer *b = &d->buffer[id];

	for (unsigned i = 0; i < b->n_parts; i++)
		for (uint32_t k = 0; k < b->part[i].n_bytes && n_bytes; k++, n_bytes--)
			*to++ = *driver_at(d, b->part[i].guest + k);
	assert_int_equal(n_bytes, 0);
}

void
driver_want(struct driver *d, int ahead)
{
	uint32_t at = (uint32_t)(ahead < 0 ? 0 : ahead);

	if (d->cfg.is_packed) {
		struct vring_packed_desc_event *e = (void *)d->driver;
		uint32_t circle = 2u * d->cfg.size, place = (d->used + (d->used_wrap ? 0u : d->cfg.size) + at) % circle;

		e->off_wrap = place < d->cfg.size ? (uint16_t)(place | 1u << VRING_PACKED_EVENT_F_WRAP_CTR) :
						    (uint16_t)(place - d->cfg.size);
		e->flags = ahead < 0	     ? VRING_PACKED_EVENT_FLAG_DISABLE :
			d->cfg.has_event_idx ? VRING_PACKED_EVENT_FLAG_DESC :
					       VRING_PACKED_EVENT_FLAG_ENABLE;
		return;
	}
	struct vring_avail *avail = (void *)d->driver;

	if (d->cfg.has_event_idx)
		avail->ring[d->cfg.size] = (uint16_t)(d->used + (ahead < 0 ? UINT32_MAX : at));
	else
		avail->flags = ahead < 0 ? VRING_AVAIL_F_NO_INTERRUPT : 0;
}
