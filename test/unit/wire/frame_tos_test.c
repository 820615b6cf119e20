// Marking: every DSCP in every kind of frame, against checksums computed anew; no other byte
// changes.
#include "../unit.h"
#include "packet.h"
#include "rtvs/frame.h"
#include "rtvs/frame_tos.h"
#include "rtvs/random.h"

#include <stdlib.h>

#define SRC UINT64_C(0x02a00000000b)

static const char *const tags[] = {"", "\x81\0\x20\5", "\x81\0\0\5\x81\0\0\6", "\x88\xa8\0\5\x81\0\0\6"};
static const size_t tag_bytes[] = {0, 4, 8, 8};
static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 5};
static struct packet p, before;

static void
put_tags(unsigned kind)
{
	packet_ethernet(&p, SRC);
	packet_put(&p, tags[kind], tag_bytes[kind]);
}

// Of the header's bytes with the checksum's as they are: 0 when it is right.
static uint16_t
checksum_error(void)
{
	size_t len = (size_t)(p.b[p.l3] & 15) * 4;

	return (uint16_t)~frame_checksum_fold(frame_checksum_add(0, p.b + p.l3, len));
}

static void
renew_checksum(void)
{
	packet_set16(&p, p.l3 + 10, 0);
	packet_set16(&p, p.l3 + 10, checksum_error());
}

// Options, addresses, everything that the checksum covers, at random; version and length stay.
static void
put_random_ipv4(unsigned kind, uint64_t *seed)
{
	unsigned n_words = 5 + (unsigned)random_below(seed, 11);

	put_tags(kind);
	packet_put16(&p, 0x0800);
	p.l3 = p.len;
	for (unsigned i = 0; i < n_words * 4; i++)
		packet_put8(&p, (unsigned)random_below(seed, 256));
	p.b[p.l3] = (uint8_t)(0x40 | n_words);
	packet_put(&p, "payload", 7);
	renew_checksum();
}

static void
ipv4_checksum_is_the_one_computed_anew(void **state)
{
	uint64_t seed = unit_seed();

	(void)state;
	for (unsigned round = 0; round < 4000; round++) {
		put_random_ipv4(round % 4, &seed);
		for (unsigned dscp = 0; dscp < 64; dscp++) {
			uint8_t ecn = p.b[p.l3 + 1] & 3;
			bool is_same = p.b[p.l3 + 1] >> 2 == dscp;

			assert_int_equal(frame_dscp_set(p.b, p.len, (uint8_t)dscp), !is_same);
			assert_int_equal(p.b[p.l3 + 1], dscp << 2 | ecn);
			assert_int_equal(frame_dscp(p.b, p.len), dscp);
			uint16_t written = (uint16_t)(p.b[p.l3 + 10] << 8 | p.b[p.l3 + 11]);
			assert_int_equal(checksum_error(), 0);
			renew_checksum();
			assert_int_equal(p.b[p.l3 + 10] << 8 | p.b[p.l3 + 11], written);
		}
	}
}

static void
checksum_of_zero_is_right_before_and_after(void **state)
{
	(void)state;
	for (unsigned dscp = 0; dscp < 64; dscp++) {
		unsigned from = (dscp + 1) % 64;

		put_tags(0);
		packet_ipv4(&p, "\x0a\0\0\5", 17);
		packet_end(&p);
		// The identification makes the checksum 0 with this DSCP.
		p.b[p.l3 + 1] = (uint8_t)(dscp << 2);
		packet_set16(&p, p.l3 + 4, 0);
		packet_set16(&p, p.l3 + 4, checksum_error());
		assert_int_equal(checksum_error(), 0);
		assert_true(frame_dscp_set(p.b, p.len, (uint8_t)from));
		assert_int_equal(checksum_error(), 0);
		assert_true(frame_dscp_set(p.b, p.len, (uint8_t)dscp));
		// as who computes it anew
		assert_int_equal(p.b[p.l3 + 10] << 8 | p.b[p.l3 + 11], 0);
		// Some write -0, which verifies, too.
		packet_set16(&p, p.l3 + 10, 0xffff);
		assert_int_equal(checksum_error(), 0);
		assert_true(frame_dscp_set(p.b, p.len, (uint8_t)from));
		uint16_t written = (uint16_t)(p.b[p.l3 + 10] << 8 | p.b[p.l3 + 11]);
		renew_checksum();
		assert_int_equal(p.b[p.l3 + 10] << 8 | p.b[p.l3 + 11], written);
	}
}

static void
wrong_checksum_stays_wrong(void **state)
{
	uint64_t seed = unit_seed();

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		put_random_ipv4(0, &seed);
		p.b[p.l3 + 10] ^= 0x10;
		(void)frame_dscp_set(p.b, p.len, (uint8_t)random_below(&seed, 64));
		assert_int_not_equal(checksum_error(), 0);
	}
}

static void
ipv6_traffic_class_straddles_two_bytes(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < 4; kind++) {
		for (unsigned dscp = 0; dscp < 64; dscp++) {
			put_tags(kind);
			packet_ipv6(&p, v6, 17);
			packet_put(&p, "payload", 7);
			packet_end(&p);
			unsigned ecn = dscp % 4, old = 63 - dscp;
			// Version, traffic class, flow label abcde.
			packet_set16(&p, p.l3, 0x6000 | old << 6 | ecn << 4 | 0xa);
			packet_set16(&p, p.l3 + 2, 0xbcde);
			before = p;
			assert_int_equal(frame_dscp(p.b, p.len), old);
			assert_true(frame_dscp_set(p.b, p.len, (uint8_t)dscp));
			assert_int_equal(p.b[p.l3] << 8 | p.b[p.l3 + 1], 0x6000 | dscp << 6 | ecn << 4 | 0xa);
			assert_int_equal(frame_dscp(p.b, p.len), dscp);
			assert_memory_equal(p.b, before.b, p.l3);
			assert_memory_equal(p.b + p.l3 + 2, before.b + p.l3 + 2, p.len - p.l3 - 2);
			assert_false(frame_dscp_set(p.b, p.len, (uint8_t)dscp));
		}
	}
}

// Both families, all old and new values, and only the bits that were asked for.
static void
masked_bits_are_written_and_others_stay(void **state)
{
	static const uint8_t masks[] = {0, FRAME_TOS_ECN, FRAME_TOS_DSCP, 0xff};
	uint64_t seed = unit_seed();

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t old = (uint8_t)random_below(&seed, 256), tos = (uint8_t)random_below(&seed, 256);
		uint8_t mask = masks[random_below(&seed, 4)];
		uint8_t want = (uint8_t)((old & ~mask) | (tos & mask));
		bool is_v4 = i & 1;

		if (is_v4) {
			put_random_ipv4(i % 4, &seed);
			p.b[p.l3 + 1] = old;
			renew_checksum();
		} else {
			put_tags(i % 4);
			packet_ipv6(&p, v6, 17);
			packet_set16(&p, p.l3, 0x6000u | (unsigned)old << 4 | 0xa);
		}
		before = p;
		assert_int_equal(frame_tos(p.b, p.len), old);
		assert_int_equal(frame_tos_set(p.b, p.len, tos, mask), want != old);
		assert_int_equal(frame_tos(p.b, p.len), want);
		assert_true(!is_v4 || !checksum_error());
		assert_memory_equal(p.b, before.b, p.l3);
		assert_memory_equal(p.b + p.l3 + 12, before.b + p.l3 + 12, p.len - p.l3 - 12);
		assert_true(is_v4 || (p.b[p.l3] >> 4 == 6 && (p.b[p.l3 + 1] & 15) == 0xa));
	}
}

static void
assert_untouched(size_t len)
{
	// On the heap, so that a sanitizer sees a byte too many.
	uint8_t *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	memcpy(copy, p.b, len);
	assert_int_equal(frame_tos(copy, len), -1);
	assert_int_equal(frame_dscp(copy, len), -1);
	assert_false(frame_tos_set(copy, len, 0xff, 0xff));
	assert_false(frame_dscp_set(copy, len, 46));
	assert_memory_equal(copy, p.b, len);
	free(copy);
}

static void
truncated_headers_are_not_touched(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < 4; kind++) {
		put_tags(kind);
		packet_ipv4(&p, "\x0a\0\0\5", 17);
		p.b[p.l3] = 0x46;
		packet_put(&p, "\x94\4\0\0", 4); // router alert
		for (size_t len = 0; len < p.len; len++)
			assert_untouched(len);
		assert_true(frame_dscp_set(p.b, p.len, 46));
		put_tags(kind);
		packet_ipv6(&p, v6, 59);
		for (size_t len = 0; len < p.len; len++)
			assert_untouched(len);
		assert_true(frame_dscp_set(p.b, p.len, 46));
	}
}

static void
what_is_not_ip_is_not_touched(void **state)
{
	// ARP, an experimental type, an 802.3 length, MPLS, PPPoE, an old tag.
	static const unsigned types[] = {0x0806, 0x88b5, 0x0026, 0x8847, 0x8864, 0x9100};

	(void)state;
	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		packet_ethernet(&p, SRC);
		packet_put16(&p, types[i]);
		packet_put(&p, "\x45", 1);
		packet_put(&p, NULL, 63);
		assert_untouched(p.len);
	}
	// A third tag, which no other part looks behind either.
	packet_ethernet(&p, SRC);
	packet_put(&p, "\x81\0\0\1\x81\0\0\1\x81\0\0\1", 12);
	packet_ipv4(&p, "\x0a\0\0\5", 17);
	assert_untouched(p.len);
	// Types that lie about the version, and a header shorter than one can be.
	for (unsigned first = 0; first < 256; first++) {
		put_tags(0);
		packet_ipv4(&p, "\x0a\0\0\5", 17);
		packet_put(&p, NULL, 60);
		p.b[p.l3] = (uint8_t)first;
		if (first >> 4 != 4 || (first & 15) < 5)
			assert_untouched(p.len);
		put_tags(0);
		packet_ipv6(&p, v6, 17);
		p.b[p.l3] = (uint8_t)first;
		if (first >> 4 != 6)
			assert_untouched(p.len);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv4_checksum_is_the_one_computed_anew),
		cmocka_unit_test(checksum_of_zero_is_right_before_and_after),
		cmocka_unit_test(wrong_checksum_stays_wrong),
		cmocka_unit_test(ipv6_traffic_class_straddles_two_bytes),
		cmocka_unit_test(masked_bits_are_written_and_others_stay),
		cmocka_unit_test(truncated_headers_are_not_touched),
		cmocka_unit_test(what_is_not_ip_is_not_touched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
