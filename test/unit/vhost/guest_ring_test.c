// Rings of every kind against a model of the driver: what is sent arrives, once and in order; what
// does not fit leaves no trace; who asked for a signal gets it. Then each lie of a guest by name.
#include "../unit.h"
#include "driver.h"
#include "rtvs/random.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define N_STEPS 40000 // of each kind: all together are above a million
#define FRAME_MAX 9000

static uint64_t seed;

struct sent {
	uint8_t bytes[FRAME_MAX + 12];
	uint32_t n_bytes;
};

struct model {
	struct driver d;
	struct guest_ring ring;
	struct guest_burst burst;
	uint8_t head[GUEST_BURST][GUEST_HEAD];
	struct sent sent[DRIVER_MAX]; // from the first that has not arrived on
	unsigned first, n_sent;
	uint64_t positions; // of used buffers, published and not
	uint64_t published; // what the driver may see of them
	uint64_t n_arrived;
	uint64_t n_plain; // delivered by guest_ring_deliver_frames
	int64_t wanted; // position of the driver's event, -1: none
	bool is_asked;
	enum guest_moves widest; // that the CPU has
};

static void
model_init(struct model *m, const struct driver_cfg *cfg)
{
	struct guest_ring_cfg ring;

	driver_init(&m->d, cfg, seed);
	ring = driver_ring_cfg(&m->d);
	guest_log_init(&ring.log, m->d.dirty, DRIVER_LOG_BYTES);
	assert_int_equal(guest_ring_init(&m->ring, &ring), 0);
	m->widest = m->ring.moves;
	m->first = m->n_sent = 0;
	m->positions = m->published = m->n_arrived = m->n_plain = 0;
	m->wanted = -1;
	m->is_asked = false;
	driver_want(&m->d, -1);
}

static uint64_t
chance(struct model *m, uint64_t n)
{
	return random_below(&m->d.random, n);
}

static void
make_bytes(struct model *m, uint8_t *to, uint32_t n)
{
	for (uint32_t i = 0; i < n; i += 8) {
		uint64_t x = random_next(&m->d.random);

		memcpy(to + i, &x, n - i < 8 ? n - i : 8);
	}
}

// The driver's event and the device's used positions are compared as whole numbers, which never
// wrap.
static void
publish(struct model *m)
{
	uint64_t now = m->positions;
	bool is_due = m->wanted >= 0 && m->published < now &&
		(!m->d.cfg.has_event_idx || ((uint64_t)m->wanted >= m->published && (uint64_t)m->wanted < now));

	guest_ring_publish(&m->ring);
	atomic_thread_fence(memory_order_seq_cst);
	assert_int_equal(guest_ring_must_signal(&m->ring), is_due || !m->is_asked);
	assert_false(guest_ring_must_signal(&m->ring));
	m->is_asked = true;
	m->published = now;
}

static void
want(struct model *m)
{
	int ahead = (int)chance(m, m->d.cfg.size) - 1;

	// An index that is behind cannot be told from one that is far ahead.
	if (m->d.cfg.has_event_idx && ahead < 0)
		ahead = 0;
	driver_want(&m->d, ahead);
	m->wanted = ahead < 0 ? -1 : (int64_t)m->d.n_used + ahead;
}

// The daemon's successor goes on where it was.
static void
succeed(struct model *m)
{
	struct guest_ring_cfg cfg = m->ring.cfg;

	publish(m);
	cfg.pos = m->ring.pos;
	assert_int_equal(guest_ring_init(&m->ring, &cfg), 0);
	m->is_asked = false;
}

static void
driver_sends(struct model *m)
{
	uint32_t n_hdr = m->d.cfg.hdr_bytes;
	struct sent *s = &m->sent[(m->first + m->n_sent) % DRIVER_MAX];

	if (m->n_sent == DRIVER_MAX)
		return;
	s->n_bytes = n_hdr + (uint32_t)random_wide(&m->d.random, 13) % FRAME_MAX;
	make_bytes(m, s->bytes, s->n_bytes);
	if (driver_offer(&m->d, s->n_bytes, s->bytes) >= 0)
		m->n_sent++;
}

static void
device_takes(struct model *m)
{
	bool was_quiet = !guest_ring_peek(&m->ring);
	unsigned max = 1 + (unsigned)chance(m, GUEST_BURST), n_offered = guest_ring_count(&m->ring, max), n;
	uint32_t n_hdr = m->d.cfg.hdr_bytes;

	assert_true(!was_quiet || !n_offered);
	assert_int_equal(!guest_ring_peek(&m->ring), !n_offered);
	for (unsigned i = 0; i < GUEST_BURST; i++)
		m->burst.frame[i].head = m->head[i];
	n = guest_ring_take(&m->ring, &m->burst, max);
	assert_true(n <= n_offered && (n || !n_offered));

	assert_int_equal(m->ring.fault, GUEST_RING_FAULT_NONE);
	if (!n) {
		assert_int_equal(m->n_sent, 0);
		assert_false(guest_ring_has_work(&m->ring));
	}
	m->n_arrived += n;
	for (unsigned i = 0; i < n; i++, m->n_sent--) {
		const struct sent *s = &m->sent[m->first++ % DRIVER_MAX];
		const struct guest_frame *f = &m->burst.frame[i];
		uint32_t at = n_hdr;

		assert_true(m->n_sent > 0);
		assert_int_equal(f->n_bytes, s->n_bytes - n_hdr);
		assert_memory_equal(&f->hdr, s->bytes, sizeof(f->hdr));
		assert_int_equal(f->n_head, f->n_bytes < GUEST_HEAD ? f->n_bytes : GUEST_HEAD);
		assert_memory_equal(f->head, s->bytes + at, f->n_head);
		at += f->n_head;
		for (unsigned k = 0; k < f->n_pieces; k++) {
			const struct guest_piece *p = &m->burst.piece[f->first_piece + k];

			assert_true(at + p->n_bytes <= s->n_bytes);
			assert_memory_equal(p->at, s->bytes + at, p->n_bytes);
			assert_ptr_equal(p->at, driver_at(&m->d, p->guest));
			at += p->n_bytes;
		}
		assert_int_equal(at, s->n_bytes);
	}
	m->first %= DRIVER_MAX;
}

static uint64_t
used_position(const struct guest_ring *r, uint16_t size)
{
	return r->cfg.is_packed ? r->pos.used + (r->pos.used_wrap ? 0u : size) : r->pos.used;
}

// Follows the ring's position, which wraps, with one that does not.
static void
count(struct model *m, uint64_t before)
{
	uint64_t circle = m->d.cfg.is_packed ? 2u * m->d.cfg.size : 1 << 16;

	m->positions += (used_position(&m->ring, m->d.cfg.size) + circle - before) % circle;
}

// Of the positions that were published and of no others.
static int
reap(struct model *m, uint32_t *ret_bytes)
{
	int id = driver_reap(&m->d, ret_bytes);

	assert_true(m->d.n_used <= m->published);
	assert_true(id >= 0 || m->d.n_used == m->published);
	return id;
}

static void
driver_reaps(struct model *m)
{
	uint32_t n_bytes;

	while (chance(m, 8) && reap(m, &n_bytes) >= 0)
		;
}

// What one of the two tests does: the driver's and the device's acts, and how many frames arrive at
// least.
struct acts {
	void (*offer)(struct model *m);
	void (*reap)(struct model *m);
	void (*device)(struct model *m);
	uint64_t n_least, n_least_plain;
};

static void
run_steps(const struct driver_cfg *cfg, const struct acts *acts)
{
	struct model *m = malloc(sizeof(*m));

	assert_non_null(m);
	model_init(m, cfg);
	for (unsigned i = 0; i < N_STEPS; i++) {
		uint64_t before = used_position(&m->ring, cfg->size);

		m->ring.moves = (enum guest_moves)chance(m, m->widest + 1u);
		switch (chance(m, 8)) {
		case 0:
		case 1:
		case 2:
			acts->offer(m);
			break;
		case 3:
			acts->reap(m);
			break;
		case 4:
			want(m);
			break;
		case 5:
			publish(m);
			break;
		case 6:
			if (!chance(m, 16))
				succeed(m);
			break;
		default:
			acts->device(m);
			count(m, before);
		}
	}
	assert_true(m->n_arrived > acts->n_least);
	assert_true(m->n_plain >= acts->n_least_plain);
	driver_fini(&m->d);
	free(m);
}

static void
driver_posts(struct model *m)
{
	uint32_t n = 1 + (uint32_t)random_wide(&m->d.random, m->d.cfg.has_mergeable ? 11 : 13);

	// The driver offers at least a header, and without merging, an Ethernet frame.
	(void)driver_offer(&m->d, n < 64 ? 64 : n, NULL);
}

// A hypervisor that copies pages while the driver runs finds those that were written, and clears
// their marks.
static void
take_marks(struct model *m, int id, uint32_t n_bytes)
{
	const struct driver_buffer *b = &m->d.buffer[id];

	for (unsigned i = 0; i < b->n_parts && n_bytes; i++) {
		uint32_t n = b->part[i].n_bytes < n_bytes ? b->part[i].n_bytes : n_bytes;
		uint64_t last = (b->part[i].guest + n - 1) / GUEST_LOG_PAGE;

		for (uint64_t page = b->part[i].guest / GUEST_LOG_PAGE; page <= last; page++)
			assert_true(atomic_load(&m->d.dirty[page / 8]) & 1 << page % 8);
		n_bytes -= n;
	}
	for (uint32_t k = 0; k < DRIVER_AREA / GUEST_LOG_PAGE; k++) {
		uint64_t page = driver_area((uint16_t)id) / GUEST_LOG_PAGE + k;

		atomic_fetch_and(&m->d.dirty[page / 8], (uint8_t)~(1 << page % 8));
	}
}

static bool
driver_receives(struct model *m)
{
	const struct sent *s = &m->sent[m->first % DRIVER_MAX];
	uint8_t got[FRAME_MAX + 12], num[2] = {0};
	uint32_t n, at = 0, n_hdr = m->d.cfg.hdr_bytes, n_buffers = 0;
	int id = reap(m, &n);

	if (id < 0)
		return false;
	assert_true(m->n_sent > 0);
	for (;; id = reap(m, &n)) {
		assert_true(id >= 0); // all buffers of a frame are used together
		assert_true(at + n <= s->n_bytes);
		driver_read(&m->d, id, got + at, n);
		take_marks(m, id, n);
		at += n;
		n_buffers++;
		if (at == s->n_bytes)
			break;
		assert_true(m->d.cfg.has_mergeable);
		assert_int_equal(n, m->d.buffer[id].n_bytes); // full but for the last
	}
	assert_memory_equal(got, s->bytes, 10);
	assert_memory_equal(got + n_hdr, s->bytes + n_hdr, s->n_bytes - n_hdr);
	if (n_hdr == 12) {
		memcpy(num, got + 10, 2);
		assert_int_equal(num[0] | num[1] << 8, n_buffers);
	}
	m->first = (m->first + 1) % DRIVER_MAX;
	m->n_sent--;
	m->n_arrived++;
	return true;
}

static void
device_delivers(struct model *m)
{
	uint32_t n_hdr = m->d.cfg.hdr_bytes, n_frame = 14 + (uint32_t)random_wide(&m->d.random, 12), at = 0;
	struct sent *s = &m->sent[(m->first + m->n_sent) % DRIVER_MAX];
	struct guest_ring_pos before = m->ring.pos;
	struct guest_piece piece[5];
	struct guest_hdr hdr;
	unsigned n = 0;
	int rc;

	if (m->n_sent == DRIVER_MAX)
		return;
	s->n_bytes = n_hdr + n_frame;
	make_bytes(m, s->bytes, s->n_bytes);
	memcpy(&hdr, s->bytes, sizeof(hdr));
	while (at < n_frame) {
		uint32_t part = n + 1 < 5 ? 1 + (uint32_t)chance(m, n_frame - at) : n_frame - at;

		piece[n++] = (struct guest_piece){.at = s->bytes + n_hdr + at, .n_bytes = part};
		at += part;
	}
	rc = guest_ring_deliver(&m->ring, &hdr, piece, n);
	assert_int_equal(m->ring.fault, GUEST_RING_FAULT_NONE);
	if (!rc) {
		m->n_sent++;
		return;
	}
	assert_true(rc == -EAGAIN || rc == -EMSGSIZE);
	assert_true(rc == -EAGAIN || guest_ring_has_work(&m->ring));
	assert_memory_equal(&m->ring.pos, &before, sizeof(before));
	// Nothing smaller comes to drivers whose next buffer is too small: the frame would wait for
	// ever.
	if (rc == -EMSGSIZE) {
		piece[0].n_bytes = piece[0].n_bytes < 14 ? piece[0].n_bytes : 14;
		s->n_bytes = n_hdr + piece[0].n_bytes;
		assert_int_equal(guest_ring_deliver(&m->ring, &hdr, piece, 1), 0);
		m->n_sent++;
	}
}

// A frame in `sent` of a burst that was taken: its first bytes, and up to 4 pieces. It asks for
// nothing.
static void
make_frame(struct model *m, struct sent *s, uint8_t which)
{
	uint32_t n_hdr = m->d.cfg.hdr_bytes, n = 14 + (uint32_t)random_wide(&m->d.random, 11), at;
	struct guest_frame *f = &m->burst.frame[which];

	s->n_bytes = n_hdr + n;
	make_bytes(m, s->bytes, s->n_bytes);
	memset(s->bytes, 0, n_hdr);
	at = n < GUEST_HEAD ? n : GUEST_HEAD;
	*f = (struct guest_frame){.head = m->head[which],
		.hdr = {.hdr_len = 1, .csum_start = 2}, // which mean nothing without a flag
		.n_bytes = n,
		.n_head = (uint16_t)at,
		.first_piece = (uint16_t)m->burst.n_pieces};
	memcpy(f->head, s->bytes + n_hdr, at);
	while (at < n) {
		uint32_t part = f->n_pieces < 3 ? 1 + (uint32_t)chance(m, n - at) : n - at;

		m->burst.piece[m->burst.n_pieces++] =
			(struct guest_piece){.at = s->bytes + n_hdr + at, .n_bytes = part};
		f->n_pieces++;
		at += part;
	}
}

static void
device_delivers_frames(struct model *m)
{
	unsigned n = 1 + (unsigned)chance(m, 8), done;
	struct guest_ring_pos pos;
	uint8_t which[8];

	m->d.cfg.is_plain = chance(m, 4); // of what the driver offers next
	if (m->n_sent + n > DRIVER_MAX)
		return;
	m->burst.n_pieces = 0;
	for (unsigned i = 0; i < n; i++) {
		which[i] = (uint8_t)((i * 5 + n) % GUEST_BURST);
		make_frame(m, &m->sent[(m->first + m->n_sent + i) % DRIVER_MAX], which[i]);
	}
	done = guest_ring_deliver_frames(&m->ring, &m->burst, which, n);
	assert_int_equal(m->ring.fault, GUEST_RING_FAULT_NONE);
	assert_true(done <= n);
	m->n_sent += done;
	m->n_plain += done;
	if (done == n)
		return;
	// Nothing is lost of the next, and whatever it needs, guest_ring_deliver finds.
	pos = m->ring.pos;
	assert_int_equal(guest_ring_deliver_frames(&m->ring, &m->burst, which + done, n - done), 0);
	assert_memory_equal(&m->ring.pos, &pos, sizeof(pos));
	device_delivers(m);
}

static void
driver_receives_some(struct model *m)
{
	while (driver_receives(m) && chance(m, 8))
		;
}

static void
each_kind(const struct acts *acts)
{
	for (unsigned i = 0; i < 16; i++) {
		struct driver_cfg cfg = {.is_packed = i & 1,
			.has_event_idx = i & 2,
			.has_indirect = i & 4,
			.has_mergeable = i & 8,
			.size = i & 1 ? 97 : 128, // a packed ring has any size
			.hdr_bytes = i == 0 ? 10 : 12};

		run_steps(&cfg, acts);
	}
}

static void
what_a_driver_sends_is_taken_once_and_in_order(void **state)
{
	const struct acts acts = {driver_sends, driver_reaps, device_takes, N_STEPS / 8};

	(void)state;
	each_kind(&acts);
}

static void
what_is_delivered_is_received_once_and_in_order(void **state)
{
	const struct acts acts = {driver_posts, driver_receives_some, device_delivers, N_STEPS / 16};

	(void)state;
	each_kind(&acts);
}

// Offered to a split ring that was quiet, in bursts that keep it busy until its index has the value
// again that meant quiet; to a packed ring, until its position comes back.
static void
busy_ring_is_never_quiet(void **state)
{
	(void)state;
	for (unsigned is_packed = 0; is_packed < 2; is_packed++) {
		struct driver_cfg cfg = {.is_packed = is_packed, .size = 128, .hdr_bytes = 12};
		struct model *m = malloc(sizeof(*m));
		uint32_t n_bytes;

		assert_non_null(m);
		model_init(m, &cfg);
		for (unsigned i = 0; i < GUEST_BURST; i++)
			m->burst.frame[i].head = m->head[i];
		assert_int_not_equal(guest_ring_peek(&m->ring), 0); // nobody has looked yet
		assert_int_equal(guest_ring_count(&m->ring, 1), 0);
		assert_int_equal(guest_ring_peek(&m->ring), 0);
		for (unsigned i = 0; i < 1 << 16; i++) {
			assert_true(driver_offer(&m->d, 64, m->sent[0].bytes) >= 0);
			assert_int_not_equal(guest_ring_peek(&m->ring), 0);
			if (!i) // one is always left
				continue;
			assert_int_equal(guest_ring_take(&m->ring, &m->burst, 1), 1);
			guest_ring_publish(&m->ring);
			assert_true(driver_reap(&m->d, &n_bytes) >= 0);
		}
		assert_int_equal(guest_ring_take(&m->ring, &m->burst, 1), 1);
		assert_int_equal(guest_ring_count(&m->ring, 1), 0);
		assert_int_equal(guest_ring_peek(&m->ring), 0);
		driver_fini(&m->d);
		free(m);
	}
}

static void
frames_of_a_burst_are_received_once_and_in_order(void **state)
{
	const struct acts acts = {
		driver_posts, driver_receives_some, device_delivers_frames, N_STEPS / 16, N_STEPS / 32};

	(void)state;
	each_kind(&acts);
}

// A line that is not written stays in the driver's cache.
static void
used_entries_that_repeat_are_not_stored(void **state)
{
	enum {
		SIZE = 8,
		PAGE = 4096
	};
	uint8_t *at = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct guest_mem mem = {0};
	struct guest_region region = {.host = at + 2 * PAGE, .n_bytes = PAGE};
	struct guest_ring_cfg cfg = {
		.desc = at, .driver = at + PAGE / 2, .device = at + PAGE, .size = SIZE, .hdr_bytes = 12, .mem = &mem};
	struct vring_desc *desc = (void *)at;
	struct vring_avail *avail = cfg.driver;
	struct vring_used *used = cfg.device;
	static uint8_t head[SIZE][GUEST_HEAD];
	static struct guest_burst burst;
	static struct guest_ring ring;

	(void)state;
	assert_ptr_not_equal(at, MAP_FAILED);
	assert_int_equal(guest_mem_add(&mem, &region), 0);
	assert_int_equal(guest_ring_init(&ring, &cfg), 0);
	for (uint16_t i = 0; i < SIZE; i++) {
		desc[i] = (struct vring_desc){.addr = i * 100, .len = 72};
		avail->ring[i] = i;
		burst.frame[i].head = head[i];
	}
	// The first entry of the second round is the first that is known to have been written.
	for (unsigned round = 0; round < 4; round++) {
		avail->idx = (uint16_t)(avail->idx + SIZE);
		assert_int_equal(mprotect(used, PAGE, round < 2 ? PROT_READ | PROT_WRITE : PROT_READ), 0);
		assert_int_equal(guest_ring_take(&ring, &burst, SIZE), SIZE);
		assert_int_equal(mprotect(used, PAGE, PROT_READ | PROT_WRITE), 0);
		guest_ring_publish(&ring);
		assert_int_equal(used->idx, avail->idx);
		for (uint16_t i = 0; i < SIZE; i++)
			assert_int_equal(used->ring[i].id, i);
	}
	// What differs is stored.
	avail->ring[3] = 4;
	avail->ring[4] = 3;
	avail->idx = (uint16_t)(avail->idx + SIZE);
	assert_int_equal(guest_ring_take(&ring, &burst, SIZE), SIZE);
	assert_int_equal(used->ring[3].id, 4);
	assert_int_equal(used->ring[4].id, 3);
	assert_int_equal(used->ring[5].id, 5);
	munmap(at, 3 * PAGE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(busy_ring_is_never_quiet),
		cmocka_unit_test(used_entries_that_repeat_are_not_stored),
		cmocka_unit_test(what_a_driver_sends_is_taken_once_and_in_order),
		cmocka_unit_test(what_is_delivered_is_received_once_and_in_order),
		cmocka_unit_test(frames_of_a_burst_are_received_once_and_in_order),
	};

	seed = unit_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
