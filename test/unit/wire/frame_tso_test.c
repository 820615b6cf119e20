// Segmentation: super-frames are cut, every segment is checked by code of its own, and the payload
// is put together again.
#include "../unit.h"
#include "packet.h"
#include "rtvs/frame.h"
#include "rtvs/random.h"

#include <errno.h>

#define SRC UINT64_C(0x02a00000000b)
#define FIN 0x01
#define PSH 0x08
#define ACK 0x10
#define CWR 0x80

static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 5};
static struct packet p;
static struct frame_tso plan;

static uint32_t
sum_bytes(const uint8_t *data, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? data[i] : (uint32_t)data[i] << 8;
	return sum;
}

// Of addresses, protocol and length.
static uint32_t
pseudo_sum(const uint8_t *ip, size_t tcp_len)
{
	return (ip[0] >> 4 == 6 ? sum_bytes(ip + 8, 32) : sum_bytes(ip + 12, 8)) + 6 + (uint32_t)tcp_len;
}

// The checksum field holds what a guest leaves there: the pseudo header's sum.
static void
put_tcp(unsigned n_option_bytes, size_t payload, unsigned flags, uint64_t *rng)
{
	size_t tcp = p.len;

	packet_put(&p, "\x12\x34\0\x50", 4);
	// the sequence number wraps inside the super-frame
	packet_put(&p, "\xff\xff\xfc\0\0\0\0\1", 8);
	packet_put8(&p, (5 + n_option_bytes / 4) << 4);
	packet_put8(&p, flags);
	packet_put16(&p, 0x7000);
	packet_put(&p, NULL, 4);
	for (unsigned i = 0; i < n_option_bytes; i++)
		packet_put8(&p, 1);
	for (size_t i = 0; i < payload; i++)
		packet_put8(&p, (unsigned)random_next(rng) & 0xff);
	packet_end(&p);
	packet_set16(&p, tcp + 16, frame_checksum_fold(pseudo_sum(p.b + p.l3, p.len - tcp)));
}

// A correct packet sums up to 0xffff, its checksum included.
static bool
sum_is_right(uint32_t sum)
{
	return sum && sum % 0xffff == 0;
}

static uint32_t
get32(const uint8_t *b)
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

// As a receiver would.
static void
check_segment(const uint8_t *seg, size_t len, uint32_t i, bool is_last)
{
	const uint8_t *ip = seg + plan.l3_offset, *tcp = seg + plan.l4_offset, *tcp_was = p.b + plan.l4_offset;
	size_t tcp_len = len - plan.l4_offset;
	unsigned flags_lost = (is_last ? 0 : FIN | PSH) | (i ? CWR : 0);

	assert_memory_equal(seg, p.b, plan.l3_offset);
	if (plan.is_v6) {
		assert_int_equal(ip[4] << 8 | ip[5], len - plan.l3_offset - 40);
	} else {
		assert_int_equal(ip[2] << 8 | ip[3], len - plan.l3_offset);
		assert_int_equal(ip[4] << 8 | ip[5], (0x1234 + i) & 0xffff);
		assert_true(sum_is_right(sum_bytes(ip, (ip[0] & 15) * 4u)));
	}
	assert_true(sum_is_right(pseudo_sum(ip, tcp_len) + sum_bytes(tcp, tcp_len)));
	assert_int_equal(get32(tcp + 4), get32(tcp_was + 4) + i * plan.mss);
	assert_memory_equal(tcp + 8, tcp_was + 8, 5);
	assert_int_equal(tcp[13], tcp_was[13] & ~flags_lost);
	assert_memory_equal(tcp + 20, tcp_was + 20, (size_t)(plan.hdr_len - plan.l4_offset - 20));
}

static void
segment_and_check(void)
{
	static uint8_t seg[70000], joined[70000];
	uint32_t done = 0;

	for (uint32_t i = 0; i < plan.n_segments; i++) {
		uint32_t n = frame_tso_header(&plan, p.b, i, seg);

		assert_true(n <= plan.mss && (n || plan.n_segments == 1));
		memcpy(seg + plan.hdr_len, p.b + plan.hdr_len + done, n);
		uint64_t sum = frame_checksum_add(0, seg + plan.l4_offset, plan.hdr_len - plan.l4_offset + n);
		uint16_t checksum = frame_checksum_finish(sum);
		seg[plan.l4_offset + 16] = (uint8_t)(checksum >> 8);
		seg[plan.l4_offset + 17] = (uint8_t)checksum;
		check_segment(seg, plan.hdr_len + n, i, i + 1 == plan.n_segments);
		memcpy(joined + done, seg + plan.hdr_len, n);
		done += n;
	}
	assert_int_equal(done, plan.payload_len);
	assert_memory_equal(joined, p.b + plan.hdr_len, done);
}

static void
segments_are_valid_packets_that_carry_the_whole_payload(void **state)
{
	uint64_t rng = unit_seed();

	(void)state;
	for (unsigned round = 0; round < 400; round++) {
		uint16_t mss = (uint16_t)(64 + random_below(&rng, 9000));
		unsigned n_options = (unsigned)random_below(&rng, 11) * 4;
		bool has_extension = random_below(&rng, 2);
		size_t payload = random_below(&rng, random_below(&rng, 4) ? 64000 : 3000);

		packet_ethernet(&p, SRC);
		packet_put(&p, "\x81\0\0\1\x88\xa8\0\2\x81\0\0\3", 4 * random_below(&rng, 4));
		if (random_below(&rng, 2)) {
			packet_ipv4(&p, "\x0a\0\0\5", 6);
		} else {
			packet_ipv6(&p, v6, has_extension ? 60 : 6);
			if (has_extension)
				packet_put(&p, "\6\0\1\4\0\0\0\0", 8);
		}
		put_tcp(n_options, payload, (unsigned)random_next(&rng) & 0xff, &rng);
		assert_int_equal(frame_tso_plan(p.b, 200, (uint32_t)(p.len < 200 ? 200 : p.len), mss, &plan), 0);
		assert_int_equal(plan.payload_len, payload);
		assert_int_equal(plan.n_segments, payload ? (payload + mss - 1) / mss : 1);
		segment_and_check();
	}
}

static int
plan_of(size_t payload, uint16_t mss)
{
	uint64_t rng = 1;

	packet_ethernet(&p, SRC);
	packet_ipv4(&p, "\x0a\0\0\5", 6);
	put_tcp(0, payload, ACK, &rng);
	return frame_tso_plan(p.b, p.len, (uint32_t)p.len, mss, &plan);
}

static void
padding_is_not_payload(void **state)
{
	(void)state;
	plan_of(2000, 1000);
	packet_put(&p, NULL, 7);
	assert_int_equal(frame_tso_plan(p.b, p.len, (uint32_t)p.len, 1000, &plan), 0);
	assert_int_equal(plan.payload_len, 2000);
	assert_int_equal(plan.n_segments, 2);
}

static void
segment_limit_holds_and_one_more_is_refused(void **state)
{
	(void)state;
	assert_int_equal(plan_of(FRAME_TSO_MAX_SEGMENTS * 8, 8), 0);
	assert_int_equal(plan.n_segments, FRAME_TSO_MAX_SEGMENTS);
	assert_int_equal(plan_of(FRAME_TSO_MAX_SEGMENTS * 8 + 1, 8), -EINVAL);
	assert_int_equal(plan_of(100, 0), -EINVAL);
	assert_int_equal(plan_of(100, UINT16_MAX), 0);
	assert_int_equal(plan.n_segments, 1);
}

static int
plan_with(size_t offset, uint8_t value)
{
	plan_of(2000, 1000);
	p.b[offset] = value;
	return frame_tso_plan(p.b, p.len, (uint32_t)p.len, 1000, &plan);
}

static void
what_is_no_whole_tcp_packet_is_refused(void **state)
{
	(void)state;
	assert_int_equal(plan_with(14 + 9, 17), -EINVAL); // UDP
	assert_int_equal(plan_with(14 + 6, 0x20), -EINVAL); // first fragment
	assert_int_equal(plan_with(14 + 7, 0x01), -EINVAL); // another fragment
	assert_int_equal(plan_with(14 + 20 + 12, 0x40), -EINVAL); // header of 16 bytes
	assert_int_equal(plan_with(14 + 2, 0xff), -EINVAL); // longer than the frame
	assert_int_equal(plan_with(13, 0x06), -EINVAL); // ARP
	plan_of(2000, 1000);
	for (size_t head = 0; head < 14 + 40; head++)
		assert_int_equal(frame_tso_plan(p.b, head, (uint32_t)p.len, 1000, &plan), -EINVAL);
	assert_int_equal(frame_tso_plan(p.b, 14 + 40, (uint32_t)p.len, 1000, &plan), 0);
	plan_of(10, 1000);
	packet_set16(&p, p.l3 + 2, 39); // the TCP header leaves the packet
	assert_int_equal(frame_tso_plan(p.b, p.len, (uint32_t)p.len, 1000, &plan), -EINVAL);
}

static void
put_extension(unsigned kind)
{
	uint64_t rng = 1;

	packet_ethernet(&p, SRC);
	packet_ipv6(&p, v6, kind);
	packet_put(&p, "\6\0\0\0\0\0\0\0", 8);
	put_tcp(0, 2000, ACK, &rng);
}

static void
fragment_header_is_refused(void **state)
{
	(void)state;
	put_extension(44);
	assert_int_equal(frame_tso_plan(p.b, p.len, (uint32_t)p.len, 1000, &plan), -EINVAL);
}

// The segments are for the destination that their sender meant, not for the next one on the way.
static void
routing_header_is_looked_through(void **state)
{
	(void)state;
	put_extension(43);
	p.b[p.l3 + 39] ^= 0x40; // the next one
	assert_int_equal(frame_tso_plan(p.b, p.len, (uint32_t)p.len, 1000, &plan), 0);
	for (uint32_t i = 0; i < plan.n_segments; i++) {
		static uint8_t seg[2000];
		uint32_t n = frame_tso_header(&plan, p.b, i, seg);
		const uint8_t *tcp = seg + plan.l4_offset;

		seg[p.l3 + 39] ^= 0x40;
		assert_int_equal(tcp[16] << 8 | tcp[17], frame_checksum_fold(pseudo_sum(seg + p.l3, 20 + n)));
	}
}

static void
four_tags_are_refused(void **state)
{
	uint64_t rng = 1;

	(void)state;
	for (unsigned n = 3; n <= 4; n++) {
		packet_ethernet(&p, SRC);
		for (unsigned i = 0; i < n; i++)
			packet_put(&p, "\x81\0\0\1", 4);
		packet_ipv4(&p, "\x0a\0\0\5", 6);
		put_tcp(0, 2000, ACK, &rng);
		assert_int_equal(frame_tso_plan(p.b, p.len, (uint32_t)p.len, 1000, &plan), n > 3 ? -EINVAL : 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segments_are_valid_packets_that_carry_the_whole_payload),
		cmocka_unit_test(padding_is_not_payload),
		cmocka_unit_test(segment_limit_holds_and_one_more_is_refused),
		cmocka_unit_test(what_is_no_whole_tcp_packet_is_refused),
		cmocka_unit_test(fragment_header_is_refused),
		cmocka_unit_test(routing_header_is_looked_through),
		cmocka_unit_test(four_tags_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
