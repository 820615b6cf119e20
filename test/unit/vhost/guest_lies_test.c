// False claims of a guest: each lie has a name, ends the ring, and reads or writes nothing beyond
// the guest's memory. ASan watches the regions, which end where the guest's memory does.
#include "../unit.h"
#include "driver.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <string.h>

#define SIZE 8
#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define TABLE VRING_DESC_F_INDIRECT
#define TABLES UINT64_C(0x1000)

struct world {
	struct driver d;
	struct guest_ring ring;
};

static struct world world;

static void
begin(bool is_packed, bool has_indirect, bool has_mergeable)
{
	struct driver_cfg cfg = {.is_packed = is_packed,
		.has_indirect = has_indirect,
		.has_mergeable = has_mergeable,
		.size = SIZE,
		.hdr_bytes = 12};
	struct guest_ring_cfg ring;

	driver_init(&world.d, &cfg, 1);
	ring = driver_ring_cfg(&world.d);
	assert_int_equal(guest_ring_init(&world.ring, &ring), 0);
}

// Writes descriptor i of the ring, or of a table in the guest's memory.
static void
describe(uint64_t table, unsigned i, uint64_t addr, uint32_t len, unsigned flags, unsigned next)
{
	bool is_packed = world.d.cfg.is_packed;
	struct vring_desc split = {.addr = addr, .len = len, .flags = (uint16_t)flags, .next = (uint16_t)next};
	struct vring_packed_desc packed = {.addr = addr, .len = len, .flags = (uint16_t)flags};
	const uint8_t *from = is_packed ? (const uint8_t *)&packed : (const uint8_t *)&split;

	if (!table && is_packed)
		packed.flags |= 1 << VRING_PACKED_DESC_F_AVAIL;
	for (unsigned k = 0; k < 16; k++)
		*(table ? driver_at(&world.d, table + i * 16 + k) : world.d.desc + i * 16 + k) = from[k];
}

static void
ring(unsigned i, uint64_t addr, uint32_t len, unsigned flags, unsigned next)
{
	describe(0, i, addr, len, flags, next);
}

static void
offer(uint16_t head)
{
	struct vring_avail *avail = (void *)world.d.driver;

	if (!world.d.cfg.is_packed) {
		avail->ring[avail->idx % SIZE] = head;
		avail->idx++;
	}
}

// The ring takes n_before frames, and is then broken for good; what was taken is still told.
static void
expect_take(enum guest_ring_fault fault, unsigned n_before)
{
	static struct guest_burst burst;
	static uint8_t head[GUEST_BURST][GUEST_HEAD];

	for (unsigned i = 0; i < GUEST_BURST; i++)
		burst.frame[i].head = head[i];
	assert_int_equal(guest_ring_take(&world.ring, &burst, GUEST_BURST), n_before);
	assert_int_equal(world.ring.fault, fault);
	assert_int_equal(guest_ring_take(&world.ring, &burst, GUEST_BURST), 0);
	assert_int_equal(guest_ring_deliver(&world.ring, &(struct guest_hdr){0}, &(struct guest_piece){0}, 1),
		fault ? -EPROTO : -EAGAIN);
	assert_false(guest_ring_has_work(&world.ring));
	guest_ring_publish(&world.ring);
	driver_fini(&world.d);
}

static void
expect_deliver(enum guest_ring_fault fault, uint32_t n_bytes)
{
	static uint8_t bytes[65536];
	struct guest_piece piece = {.at = bytes, .n_bytes = n_bytes};
	struct guest_ring_pos pos = world.ring.pos;

	assert_int_equal(guest_ring_deliver(&world.ring, &(struct guest_hdr){0}, &piece, 1), -EPROTO);
	assert_int_equal(world.ring.fault, fault);
	assert_memory_equal(&world.ring.pos, &pos, sizeof(pos));
	driver_fini(&world.d);
}

static void
an_index_that_jumps(void **state)
{
	(void)state;
	for (unsigned beyond = 0; beyond < 2; beyond++) {
		begin(false, true, true);
		for (unsigned i = 0; i < SIZE; i++)
			ring(i, driver_area(0), 100, 0, 0);
		for (unsigned i = 0; i < SIZE + beyond; i++)
			offer((uint16_t)(i % SIZE));
		expect_take(beyond ? GUEST_RING_FAULT_INDEX : GUEST_RING_FAULT_NONE, beyond ? 0 : SIZE);
		begin(false, true, true);
		((struct vring_avail *)(void *)world.d.driver)->idx = UINT16_MAX; // goes back
		expect_take(GUEST_RING_FAULT_INDEX, 0);
	}
}

static void
a_head_beyond_the_ring(void **state)
{
	(void)state;
	begin(false, true, true);
	ring(SIZE - 1, driver_area(0), 100, 0, 0);
	offer(SIZE - 1);
	offer(SIZE);
	expect_take(GUEST_RING_FAULT_HEAD, 1);
}

static void
chains_that_do_not_end(void **state)
{
	(void)state;
	begin(false, true, true);
	ring(0, driver_area(0), 100, NEXT, 1);
	ring(1, driver_area(0), 100, NEXT, 0);
	offer(0);
	expect_take(GUEST_RING_FAULT_CHAIN, 0);
	begin(false, true, true);
	ring(0, driver_area(0), 100, NEXT, SIZE);
	offer(0);
	expect_take(GUEST_RING_FAULT_CHAIN, 0);
	begin(true, true, true);
	for (unsigned i = 0; i < SIZE; i++)
		ring(i, driver_area(0), 100, NEXT, 0);
	expect_take(GUEST_RING_FAULT_CHAIN, 0);
	begin(false, true, true); // as long as the ring is allowed
	for (unsigned i = 0; i < SIZE; i++)
		ring(i, driver_area(0), 100, i + 1 < SIZE ? NEXT : 0, i + 1);
	offer(0);
	expect_take(GUEST_RING_FAULT_NONE, 1);
}

static void
tables_that_lie(void **state)
{
	(void)state;
	for (unsigned is_packed = 0; is_packed < 2; is_packed++) {
		const struct {
			uint32_t len;
			unsigned flags, inner_flags;
			uint64_t addr;
			enum guest_ring_fault fault;
		} lie[] = {
			{16, TABLE, 0, TABLES, GUEST_RING_FAULT_NONE},
			{17, TABLE, 0, TABLES, GUEST_RING_FAULT_INDIRECT},
			{0, TABLE, 0, TABLES, GUEST_RING_FAULT_INDIRECT},
			{16, TABLE | NEXT, 0, TABLES, GUEST_RING_FAULT_INDIRECT},
			{16, TABLE, TABLE, TABLES, GUEST_RING_FAULT_INDIRECT},
			{16, TABLE, WRITE, TABLES, GUEST_RING_FAULT_DIRECTION},
			{16, TABLE | WRITE, 0, TABLES,
				GUEST_RING_FAULT_NONE}, // the flag means nothing there (2.7.5.3.2)
			{16, TABLE, 0, UINT64_C(1) << 50, GUEST_RING_FAULT_ADDRESS},
			{16, TABLE, 0, UINT64_MAX - 7, GUEST_RING_FAULT_ADDRESS},
			{16 * (SIZE + 1), TABLE, NEXT, TABLES, GUEST_RING_FAULT_CHAIN},
		};

		for (unsigned i = 0; i < sizeof(lie) / sizeof(lie[0]); i++) {
			begin(is_packed, true, true);
			for (unsigned k = 0; k <= SIZE; k++)
				describe(TABLES, k, driver_area(0), 100, lie[i].inner_flags, k + 1);
			ring(0, lie[i].addr, lie[i].len, lie[i].flags, 0);
			offer(0);
			expect_take(lie[i].fault, lie[i].fault == GUEST_RING_FAULT_NONE);
		}
		begin(is_packed, false, true); // not negotiated
		describe(TABLES, 0, driver_area(0), 100, 0, 0);
		ring(0, TABLES, 16, TABLE, 0);
		offer(0);
		expect_take(GUEST_RING_FAULT_INDIRECT, 0);
	}
	begin(false, true, true); // a successor beyond the table
	describe(TABLES, 0, driver_area(0), 100, NEXT, 1);
	ring(0, TABLES, 16, TABLE, 0);
	offer(0);
	expect_take(GUEST_RING_FAULT_CHAIN, 0);
}

static void
addresses_outside_of_memory(void **state)
{
	const struct {
		uint64_t addr;
		uint32_t len;
	} lie[] = {{UINT64_C(1) << 50, 100}, {UINT64_MAX - 10, 100}, {driver_area(DRIVER_MAX - 1), UINT32_MAX},
		{driver_area(0), 0xffffff00}};

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		begin(i & 1, true, true);
		ring(0, lie[i / 2].addr, lie[i / 2].len, 0, 0);
		offer(0);
		expect_take(GUEST_RING_FAULT_ADDRESS, 0);
		begin(i & 1, true, true);
		ring(0, lie[i / 2].addr, lie[i / 2].len, WRITE, 0);
		offer(0);
		expect_deliver(GUEST_RING_FAULT_ADDRESS, 60);
	}
}

static void
buffers_of_the_wrong_direction(void **state)
{
	(void)state;
	for (unsigned is_packed = 0; is_packed < 2; is_packed++) {
		begin(is_packed, true, true);
		ring(0, driver_area(0), 100, WRITE, 0);
		offer(0);
		expect_take(GUEST_RING_FAULT_DIRECTION, 0);
		begin(is_packed, true, true);
		ring(0, driver_area(0), 100, 0, 0);
		offer(0);
		expect_deliver(GUEST_RING_FAULT_DIRECTION, 60);
		begin(is_packed, true, true); // its second half
		ring(0, driver_area(0), 20, WRITE | NEXT, 1);
		ring(1, driver_area(0), 100, 0, 0);
		offer(0);
		expect_deliver(GUEST_RING_FAULT_DIRECTION, 60);
	}
}

// CVE-2022-2132 is of this kind, too: a chain that is too short for its header.
static void
a_frame_shorter_than_its_header(void **state)
{
	(void)state;
	for (uint32_t n = 0; n <= 12; n++) {
		begin(n & 1, true, true);
		ring(0, driver_area(0), n, 0, 0);
		offer(0);
		expect_take(!n	       ? GUEST_RING_FAULT_EMPTY :
				n < 12 ? GUEST_RING_FAULT_SHORT :
					 GUEST_RING_FAULT_NONE,
			n == 12);
	}
}

// A header in parts of so many bytes, and a frame behind it: a chain of the ring, or a table.
static void
split_header(bool is_table, unsigned part_bytes, unsigned flags)
{
	unsigned n_parts = 12 / part_bytes;
	uint64_t table = is_table ? TABLES : 0;

	for (unsigned i = 0; i < n_parts; i++)
		describe(table, i, driver_area(0) + i * 1000, part_bytes, flags | NEXT, i + 1);
	describe(table, n_parts, driver_area(1), 100, flags, 0);
	if (is_table)
		ring(0, TABLES, 16 * (n_parts + 1), TABLE, 0);
	offer(0);
}

// CVE-2022-2132: a header across more than two descriptors exhausted a back end's packet buffers.
static void
a_header_across_many_descriptors_is_a_header(void **state)
{
	static const uint8_t header[12] = {1, 2, 3, 0, 5, 0, 7, 0, 9, 0, 0xff, 0xff};
	const struct guest_hdr hdr = {
		.flags = 1, .gso_type = 2, .hdr_len = 3, .gso_size = 5, .csum_start = 7, .csum_offset = 9};
	static uint8_t head[GUEST_HEAD], frame[100];
	struct guest_piece piece = {.at = frame, .n_bytes = sizeof(frame)};
	static struct guest_burst burst;

	(void)state;
	burst.frame[0].head = head;
	for (unsigned i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(i + 1);
	for (unsigned i = 0; i < 12; i++) {
		unsigned part = (unsigned[]){2, 3, 4}[i / 4];
		bool is_packed = i & 1, is_table = i & 2;

		begin(is_packed, true, true);
		split_header(is_table, part, 0);
		for (unsigned k = 0; k < 12; k++)
			*driver_at(&world.d, driver_area(0) + k / part * 1000 + k % part) = header[k];
		for (unsigned k = 0; k < 100; k++)
			*driver_at(&world.d, driver_area(1) + k) = frame[k];
		assert_int_equal(guest_ring_take(&world.ring, &burst, GUEST_BURST), 1);
		assert_memory_equal(&burst.frame[0].hdr, &hdr, sizeof(hdr));
		assert_int_equal(burst.frame[0].n_bytes, 100);
		assert_memory_equal(head, frame, 100);
		driver_fini(&world.d);
		begin(is_packed, true, true);
		split_header(is_table, part, WRITE);
		assert_int_equal(guest_ring_deliver(&world.ring, &hdr, &piece, 1), 0);
		for (unsigned k = 0; k < 10; k++)
			assert_int_equal(*driver_at(&world.d, driver_area(0) + k / part * 1000 + k % part), header[k]);
		for (unsigned k = 0; k < 100; k++)
			assert_int_equal(*driver_at(&world.d, driver_area(1) + k), frame[k]);
		driver_fini(&world.d);
	}
}

// CVE-2020-10725: a back end wrote a burst to packed rings without a look at all addresses. That of
// a buffer without bytes is looked at, too.
static void
a_lie_among_receive_buffers_ends_the_burst_there(void **state)
{
	const struct {
		uint64_t addr;
		uint32_t len;
		enum guest_ring_fault fault;
	} lie[] = {{UINT64_C(1) << 50, 200, GUEST_RING_FAULT_ADDRESS}, {UINT64_C(1) << 50, 0, GUEST_RING_FAULT_EMPTY},
		{driver_area(3), 0, GUEST_RING_FAULT_EMPTY}, {0, 0, GUEST_RING_FAULT_EMPTY},
		{UINT64_MAX, 200, GUEST_RING_FAULT_ADDRESS}, {driver_area(3), UINT32_MAX, GUEST_RING_FAULT_ADDRESS}};
	uint8_t frame[60] = {0};
	struct guest_piece piece = {.at = frame, .n_bytes = sizeof(frame)};

	(void)state;
	for (unsigned i = 0; i < 2 * sizeof(lie) / sizeof(lie[0]); i++)
		for (unsigned at = 0; at < 4; at++) {
			begin(i & 1, true, true);
			for (unsigned k = 0; k < 4; k++) {
				ring(k, k == at ? lie[i / 2].addr : driver_area((uint16_t)k),
					k == at ? lie[i / 2].len : 200, WRITE, 0);
				offer((uint16_t)k);
			}
			for (unsigned k = 0; k < 4; k++)
				assert_int_equal(guest_ring_deliver(&world.ring, &(struct guest_hdr){0}, &piece, 1),
					k < at ? 0 : -EPROTO);
			assert_int_equal(world.ring.fault, lie[i / 2].fault);
			assert_int_equal(world.ring.pos.used, at);
			driver_fini(&world.d);
		}
}

// A chain of empty descriptors would be read to the end of its ring, or table, for each frame.
static void
descriptors_without_bytes(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		bool is_packed = i & 1, is_table = i & 2;

		for (unsigned flags = 0; flags <= WRITE; flags += WRITE) {
			begin(is_packed, true, true);
			describe(TABLES, 0, driver_area(0), 0, flags | NEXT, 1);
			describe(TABLES, 1, driver_area(0), 2000, flags, 0);
			if (is_table)
				ring(0, TABLES, 32, TABLE, 0);
			else {
				ring(0, driver_area(0), 0, flags | NEXT, 1);
				ring(1, driver_area(0), 2000, flags, 0);
			}
			offer(0);
			if (flags)
				expect_deliver(GUEST_RING_FAULT_EMPTY, 60);
			else
				expect_take(GUEST_RING_FAULT_EMPTY, 0);
		}
	}
}

static void
what_does_not_fit_is_told_apart_from_what_does_not_fit_yet(void **state)
{
	static uint8_t bytes[65536];
	struct guest_piece piece = {.at = bytes, .n_bytes = 189};
	struct guest_hdr hdr = {0};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		bool is_packed = i & 1, has_mergeable = i & 2;

		begin(is_packed, true, has_mergeable);
		assert_int_equal(guest_ring_deliver(&world.ring, &hdr, &piece, 1), -EAGAIN);
		assert_true(driver_offer(&world.d, 200, NULL) >= 0);
		assert_int_equal(guest_ring_deliver(&world.ring, &hdr, &piece, 1), has_mergeable ? -EAGAIN : -EMSGSIZE);
		piece.n_bytes = 188;
		assert_int_equal(guest_ring_deliver(&world.ring, &hdr, &piece, 1), 0);
		piece.n_bytes = 189;
		// All of the ring's buffers are too few for it.
		guest_ring_publish(&world.ring);
		assert_true(driver_reap(&world.d, &(uint32_t){0}) >= 0);
		while (driver_offer(&world.d, 200, NULL) >= 0)
			;
		piece.n_bytes = 200 * SIZE;
		assert_int_equal(guest_ring_deliver(&world.ring, &hdr, &piece, 1), -EMSGSIZE);
		assert_int_equal(world.ring.fault, GUEST_RING_FAULT_NONE);
		driver_fini(&world.d);
	}
}

static void
a_ring_is_refused_that_is_none(void **state)
{
	struct guest_ring_cfg cfg;

	(void)state;
	begin(false, true, true);
	cfg = driver_ring_cfg(&world.d);
#define REFUSED(change)                                                        \
	do {                                                                   \
		struct guest_ring_cfg kept = cfg;                              \
		change;                                                        \
		assert_int_equal(guest_ring_init(&world.ring, &cfg), -EINVAL); \
		cfg = kept;                                                    \
	} while (0)
	REFUSED(cfg.size = 0);
	REFUSED(cfg.size = 12);
	REFUSED(cfg.size = GUEST_RING_MAX + 1);
	REFUSED(cfg.hdr_bytes = 11);
	REFUSED(cfg.desc = (uint8_t *)cfg.desc + 8);
	REFUSED(cfg.driver = (uint8_t *)cfg.driver + 1);
	REFUSED(cfg.device = (uint8_t *)cfg.device + 2);
	REFUSED((cfg.is_packed = true, cfg.pos.avail = SIZE));
	REFUSED((cfg.is_packed = true, cfg.pos.used = SIZE));
	cfg.size = GUEST_RING_MAX;
	assert_int_equal(guest_ring_init(&world.ring, &cfg), 0);
	driver_fini(&world.d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_index_that_jumps),
		cmocka_unit_test(a_head_beyond_the_ring),
		cmocka_unit_test(chains_that_do_not_end),
		cmocka_unit_test(tables_that_lie),
		cmocka_unit_test(addresses_outside_of_memory),
		cmocka_unit_test(buffers_of_the_wrong_direction),
		cmocka_unit_test(a_frame_shorter_than_its_header),
		cmocka_unit_test(a_header_across_many_descriptors_is_a_header),
		cmocka_unit_test(a_lie_among_receive_buffers_ends_the_burst_there),
		cmocka_unit_test(descriptors_without_bytes),
		cmocka_unit_test(what_does_not_fit_is_told_apart_from_what_does_not_fit_yet),
		cmocka_unit_test(a_ring_is_refused_that_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
