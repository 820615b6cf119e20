// Packets too big: the answers of the RFCs, and each case in which none may be sent.
#include "../unit.h"
#include "packet.h"
#include "rtvs/frame.h"
#include "rtvs/geneve.h"
#include "rtvs/icmp_too_big.h"

#include <stdlib.h>

#define L4_V4 (18 + 20) // offsets in the frames below
#define L4_V6 (14 + 40)

// Put together by hand from the RFCs, not by the code under test: datagrams and their answers for
// an MTU of 1400.
// clang-format off
static const uint8_t udp4[] = {
	0x02, 0x00, 0x00, 0x00, 0x00, 0xb0, 0x02, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x81, 0x00, 0x01, 0x23,
	0x08, 0x00, 0x45, 0x00, 0x00, 0x3c, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb6, 0xad, 0xc0, 0x00,
	0x02, 0x01, 0xc0, 0x00, 0x02, 0x02, 0x03, 0xe8, 0x07, 0xd0, 0x00, 0x28, 0x00, 0x00, 0x00, 0x01,
	0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11,
	0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f,
};
static const uint8_t too_big4[] = {
	0x02, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x02, 0x00, 0x00, 0x00, 0x00, 0xb0, 0x81, 0x00, 0x01, 0x23,
	0x08, 0x00, 0x45, 0xc0, 0x00, 0x58, 0x00, 0x00, 0x40, 0x00, 0x40, 0x01, 0xb5, 0xe1, 0xc0, 0x00,
	0x02, 0x02, 0xc0, 0x00, 0x02, 0x01, 0x03, 0x04, 0xfa, 0xa2, 0x00, 0x00, 0x05, 0x78, 0x45, 0x00,
	0x00, 0x3c, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb6, 0xad, 0xc0, 0x00, 0x02, 0x01, 0xc0, 0x00,
	0x02, 0x02, 0x03, 0xe8, 0x07, 0xd0, 0x00, 0x28, 0x00, 0x00, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05,
	0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15,
	0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f,
};
static const uint8_t udp6[] = {
	0x02, 0x00, 0x00, 0x00, 0x00, 0xb0, 0x02, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x86, 0xdd, 0x60, 0x00,
	0x00, 0x00, 0x00, 0x28, 0x11, 0x40, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0xaa, 0xbb, 0xcc, 0x03, 0xe8, 0x07, 0xd0, 0x00, 0x28, 0xab, 0xcd, 0x00, 0x01,
	0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11,
	0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f,
};
static const uint8_t too_big6[] = {
	0x02, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x02, 0x00, 0x00, 0x00, 0x00, 0xb0, 0x86, 0xdd, 0x60, 0x00,
	0x00, 0x00, 0x00, 0x58, 0x3a, 0x40, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0xaa, 0xbb, 0xcc, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x00, 0xae, 0x0a, 0x00, 0x00, 0x05, 0x78, 0x60, 0x00,
	0x00, 0x00, 0x00, 0x28, 0x11, 0x40, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0xaa, 0xbb, 0xcc, 0x03, 0xe8, 0x07, 0xd0, 0x00, 0x28, 0xab, 0xcd, 0x00, 0x01,
	0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11,
	0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f,
};
// clang-format on

static struct packet p;
static uint8_t out[ICMP_TOO_BIG_MAX];

static void
set(const uint8_t *bytes, size_t len)
{
	p.len = 0;
	packet_put(&p, bytes, len);
	p.l3 = bytes == udp4 ? 18 : 14;
}
#define SET(golden) set(golden, sizeof(golden))

// With no more than head bytes there, on the heap, so that a sanitizer sees one too many.
static size_t
answer_head(size_t head, uint32_t mtu)
{
	uint8_t *copy = malloc(head + !head);

	assert_non_null(copy);
	memcpy(copy, p.b, head);
	memset(out, 0xee, sizeof(out));
	size_t len = icmp_too_big(copy, head, p.len, mtu, out);
	free(copy);
	assert_true(len <= sizeof(out));
	return len;
}

static size_t
answer(uint32_t mtu)
{
	return answer_head(p.len, mtu);
}

static void
answers_are_those_of_the_rfcs(void **state)
{
	(void)state;
	SET(udp4);
	assert_int_equal(answer(1400), sizeof(too_big4));
	assert_memory_equal(out, too_big4, sizeof(too_big4));
	SET(udp6);
	assert_int_equal(answer(1400), sizeof(too_big6));
	assert_memory_equal(out, too_big6, sizeof(too_big6));
}

static void
padding_is_not_quoted(void **state)
{
	(void)state;
	SET(udp4);
	packet_put(&p, NULL, 100);
	assert_int_equal(answer(1400), sizeof(too_big4));
	assert_memory_equal(out, too_big4, sizeof(too_big4));
	SET(udp6);
	packet_put(&p, NULL, 100);
	assert_int_equal(answer(1400), sizeof(too_big6));
	assert_memory_equal(out, too_big6, sizeof(too_big6));
}

// The checksum of what is in out, from its IP header on.
static void
assert_checksums(size_t l3, size_t len)
{
	bool is_v6 = out[l3] >> 4 == 6;
	size_t l4 = l3 + (is_v6 ? 40 : 20);
	uint64_t sum = is_v6 ? frame_checksum_add(58 + len - l4, out + l3 + 8, 32) : 0;

	assert_int_equal(frame_checksum_fold(frame_checksum_add(sum, out + l4, len - l4)), 0xffff);
	assert_true(is_v6 || frame_checksum_fold(frame_checksum_add(0, out + l3, 20)) == 0xffff);
}

static void
quotes_end_at_the_rfcs_limits(void **state)
{
	(void)state;
	for (size_t payload = 500; payload < 1600; payload++) {
		size_t want;

		SET(udp4);
		packet_put(&p, NULL, payload);
		packet_end(&p);
		want = p.len - 18 < 548 ? p.len - 18 : 548;
		size_t len = answer(1400);
		assert_int_equal(len, 18 + 20 + 8 + want);
		assert_checksums(18, len);
		SET(udp6);
		packet_put(&p, NULL, payload);
		packet_end(&p);
		want = p.len - 14 < 1232 ? p.len - 14 : 1232;
		len = answer(1400);
		assert_int_equal(len, 14 + 40 + 8 + want);
		assert_checksums(14, len);
	}
	// The longest of all: two tags.
	p.len = 0;
	packet_put(&p, udp6, 12);
	packet_put(&p, "\x81\0\0\1\x81\0\0\2", 8);
	packet_put(&p, udp6 + 12, sizeof(udp6) - 12);
	packet_put(&p, NULL, 2000);
	p.l3 = 22;
	packet_end(&p);
	assert_int_equal(answer(9000), ICMP_TOO_BIG_MAX);
	assert_memory_equal(out + 12, "\x81\0\0\1\x81\0\0\2\x86\xdd", 10);
}

static void
part_of_a_frame_is_quoted_as_far_as_it_is_there(void **state)
{
	(void)state;
	SET(udp4);
	for (size_t head = 0; head <= p.len; head++) {
		size_t len = answer_head(head, 1400);

		// Ethernet and IP headers have to be there; what is L4 does not matter to UDP.
		assert_int_equal(len, head < L4_V4 ? 0 : head + 28);
		if (len)
			assert_checksums(18, len);
	}
	SET(udp6);
	for (size_t head = 0; head <= p.len; head++)
		assert_int_equal(answer_head(head, 1400), head < L4_V6 ? 0 : head + 48);
}

static void
every_truncated_frame_is_refused(void **state)
{
	(void)state;
	SET(udp4);
	while (p.len--)
		if (p.len)
			assert_int_equal(answer(1400), 0);
		else
			break;
	SET(udp6);
	while (--p.len)
		assert_int_equal(answer(1400), 0);
}

static void
mtu_has_limits(void **state)
{
	(void)state;
	SET(udp4);
	assert_int_equal(answer(67), 0);
	assert_int_equal(answer(68), sizeof(too_big4));
	assert_int_equal(answer(65535), sizeof(too_big4));
	assert_int_equal(answer(65536), 0);
	SET(udp6);
	assert_int_equal(answer(1279), 0);
	assert_int_equal(answer(1280), sizeof(too_big6));
	assert_int_equal(answer(65536), sizeof(too_big6));
	assert_memory_equal(out + L4_V6 + 4, "\0\1\0", 4);
}

static void
ipv4_that_may_be_fragmented_gets_no_answer(void **state)
{
	(void)state;
	SET(udp4);
	p.b[p.l3 + 6] = 0;
	assert_int_equal(answer(1400), 0);
}

static void
later_fragments_get_no_answer(void **state)
{
	(void)state;
	SET(udp4);
	packet_set16(&p, p.l3 + 6, 0x6000);
	assert_int_equal(answer(1400), sizeof(too_big4)); // the first one
	packet_set16(&p, p.l3 + 6, 0x4001);
	assert_int_equal(answer(1400), 0);
	SET(udp6);
	p.b[p.l3 + 6] = 44;
	memcpy(p.b + L4_V6, "\x11\0\0\1\0\0\0\1", 8);
	assert_int_not_equal(answer(1400), 0);
	p.b[L4_V6 + 3] = 9;
	assert_int_equal(answer(1400), 0);
}

static void
what_is_not_from_one_host_to_one_gets_no_answer(void **state)
{
	static const struct {
		unsigned offset;
		uint8_t value;
	} v4[] = {{0, 1}, {6, 1}, {30, 0}, {30, 127}, {30, 224}, {30, 255}, {34, 0}, {34, 127}, {34, 239}, {34, 255}},
	  v6[] = {{0, 0x33}, {6, 1}, {22, 0xff}, {38, 0xff}};

	(void)state;
	for (unsigned i = 0; i < sizeof(v4) / sizeof(v4[0]); i++) {
		SET(udp4);
		p.b[v4[i].offset] = v4[i].value;
		assert_int_equal(answer(1400), 0);
	}
	for (unsigned i = 0; i < sizeof(v6) / sizeof(v6[0]); i++) {
		SET(udp6);
		p.b[v6[i].offset] = v6[i].value;
		assert_int_equal(answer(1400), 0);
	}
	SET(udp6);
	memset(p.b + 22, 0, 16);
	assert_int_equal(answer(1400), 0);
	SET(udp6);
	memset(p.b + 38, 0, 16);
	assert_int_equal(answer(1400), 0);
}

static void
icmp_errors_get_no_answer(void **state)
{
	static const uint8_t queries[] = {0, 8, 9, 10, 13, 14, 15, 16, 17, 18};

	(void)state;
	for (unsigned type = 0; type < 256; type++) {
		SET(udp4);
		p.b[p.l3 + 9] = 1;
		p.b[L4_V4] = (uint8_t)type;
		assert_int_equal(answer(1400) != 0, memchr(queries, (int)type, sizeof(queries)) != NULL);
		SET(udp6);
		p.b[p.l3 + 6] = 58;
		p.b[L4_V6] = (uint8_t)type;
		// Messages of neighbor discovery have a length of their own.
		if (type < 133 || type > 137)
			assert_int_equal(answer(1400) != 0, type >= 128);
	}
	// A redirect that is well-formed.
	SET(udp6);
	p.b[p.l3 + 6] = 58;
	memset(p.b + L4_V6, 0, 40);
	p.b[L4_V6] = 137;
	assert_int_equal(answer(1400), 0);
	p.b[L4_V6] = 128;
	assert_int_not_equal(answer(1400), 0);
	// ICMP of which nothing is there.
	SET(udp4);
	p.b[p.l3 + 9] = 1;
	assert_int_equal(answer_head(L4_V4, 1400), 0);
	assert_int_equal(answer_head(L4_V4 + 1, 1400) != 0, p.b[L4_V4] != 3);
}

static void
what_is_no_ip_gets_no_answer(void **state)
{
	(void)state;
	SET(udp4);
	packet_set16(&p, 16, 0x0806);
	assert_int_equal(answer(1400), 0);
	SET(udp4);
	packet_set16(&p, 16, 0x88b5);
	assert_int_equal(answer(1400), 0);
	SET(udp4);
	p.b[p.l3] = 0x65;
	assert_int_equal(answer(1400), 0);
	SET(udp6);
	p.b[p.l3 + 6] = 253; // may be an extension header
	assert_int_equal(answer(1400), 0);
}

// A router's report about a packet of a tunnel: made by geneve_push, quoted by icmp_too_big with
// another's addresses.
static struct geneve_tunnel
tunnel_of(bool is_ipv6)
{
	static const uint8_t local[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1},
			     remote[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 2};
	struct geneve_tunnel t = {.is_ipv6 = is_ipv6,
		.has_meta = true,
		.hop_limit = 64,
		.option_class = GENEVE_CLASS_DEFAULT,
		.vni = 0x123456,
		.local_mac = {{2, 0, 0, 0, 0, 1}},
		.remote_mac = {{2, 0, 0, 0, 0, 2}}};

	memcpy(t.local, is_ipv6 ? local : (const uint8_t *)"\xc0\0\2\1", is_ipv6 ? 16 : 4);
	memcpy(t.remote, is_ipv6 ? remote : (const uint8_t *)"\xc0\0\2\2", is_ipv6 ? 16 : 4);
	return t;
}

// Into out; its length. The answer is from the packet's destination, which serves as a router.
static size_t
router_answers(bool is_ipv6, uint32_t mtu)
{
	struct geneve_tunnel tunnel = tunnel_of(is_ipv6);
	struct geneve_template t;

	assert_int_equal(geneve_template_init(&t, &tunnel), 0);
	p.len = 0;
	packet_put(&p, NULL, t.len + 1400u);
	geneve_push(&t, p.b, 1400, 50000, 0, 0, 0);
	return answer(mtu);
}

static bool
parse_news(size_t len, struct icmp_too_big_news *news)
{
	uint8_t *copy = malloc(len + !len);
	bool is_parsed;

	assert_non_null(copy);
	memcpy(copy, out, len);
	is_parsed = icmp_too_big_parse(copy, len, news);
	free(copy);
	return is_parsed;
}

static void
renew_icmp_checksum(bool is_ipv6, size_t len)
{
	size_t l3 = 14, l4 = l3 + (is_ipv6 ? 40 : 20);
	uint64_t sum = is_ipv6 ? frame_checksum_add(58 + len - l4, out + l3 + 8, 32) : 0;

	out[l4 + 2] = out[l4 + 3] = 0;
	sum = (uint16_t)~frame_checksum_fold(frame_checksum_add(sum, out + l4, len - l4));
	out[l4 + 2] = (uint8_t)(sum >> 8);
	out[l4 + 3] = (uint8_t)sum;
}

static void
news_of_a_router_are_read(void **state)
{
	(void)state;
	for (unsigned is_ipv6 = 0; is_ipv6 < 2; is_ipv6++) {
		struct geneve_tunnel tunnel = tunnel_of(is_ipv6);
		struct icmp_too_big_news news;
		size_t len = router_answers(is_ipv6, 1300);

		assert_true(len && parse_news(len, &news));
		assert_int_equal(news.is_ipv6, is_ipv6);
		assert_int_equal(news.mtu, 1300);
		assert_true(news.has_vni && news.vni == 0x123456);
		assert_memory_equal(news.src, tunnel.local, is_ipv6 ? 16 : 4);
		assert_memory_equal(news.dst, tunnel.remote, is_ipv6 ? 16 : 4);
		for (size_t n = 0; n < len; n++)
			assert_false(parse_news(n, &news));
	}
}

// The least that a router may quote has no VNI.
static void
short_quote_has_no_vni(void **state)
{
	size_t len = 14 + 20 + 8 + 28;
	struct icmp_too_big_news news;

	(void)state;
	(void)router_answers(false, 1300);
	out[16] = 0;
	out[17] = 56; // total length
	out[24] = out[25] = 0;
	out[25] = 0;
	renew_icmp_checksum(false, len);
	assert_true(parse_news(len, &news));
	assert_false(news.has_vni);
	assert_int_equal(news.mtu, 1300);
	out[17] = 55;
	renew_icmp_checksum(false, len - 1);
	assert_false(parse_news(len - 1, &news));
}

// Each byte of what makes it ours may be wrong, with a right checksum: then it is not believed.
static void
news_of_what_is_not_ours_are_refused(void **state)
{
	static const struct {
		bool is_ipv6;
		size_t at;
		uint8_t value;
	} wrong[] = {
		{false, 34, 11},
		{false, 35, 1}, // type, code
		{false, 42, 0x46},
		{false, 42 + 5, 1},
		{false, 42 + 6, 0},
		{false, 42 + 9, 6}, // IP of the quote
		{false, 42 + 12, 1}, // not from whom the message is to
		{false, 42 + 20, 1},
		{false, 42 + 23, 0xc2}, // ports
		{false, 42 + 28, 0x40},
		{false, 42 + 30, 0}, // Geneve
		{true, 54, 1},
		{true, 55, 1},
		{true, 62, 0x40},
		{true, 62 + 6, 6},
		{true, 62 + 8, 1},
		{true, 62 + 40, 1},
		{true, 62 + 43, 0xc2},
		{true, 62 + 48, 0x40},
		{true, 62 + 50, 0},
	};
	struct icmp_too_big_news news;

	(void)state;
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		size_t len = router_answers(wrong[i].is_ipv6, 1300);

		assert_true(parse_news(len, &news));
		out[wrong[i].at] = wrong[i].value;
		assert_false(parse_news(len, &news)); // the checksum
		renew_icmp_checksum(wrong[i].is_ipv6, len);
		assert_false(parse_news(len, &news));
	}
	// A packet that fits is not too big: it has 20 + 8 + 8 + 36 + 1400 bytes.
	assert_true(parse_news(router_answers(false, 1471), &news));
	assert_false(parse_news(router_answers(false, 1472), &news));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_those_of_the_rfcs),
		cmocka_unit_test(padding_is_not_quoted),
		cmocka_unit_test(quotes_end_at_the_rfcs_limits),
		cmocka_unit_test(part_of_a_frame_is_quoted_as_far_as_it_is_there),
		cmocka_unit_test(every_truncated_frame_is_refused),
		cmocka_unit_test(mtu_has_limits),
		cmocka_unit_test(ipv4_that_may_be_fragmented_gets_no_answer),
		cmocka_unit_test(later_fragments_get_no_answer),
		cmocka_unit_test(what_is_not_from_one_host_to_one_gets_no_answer),
		cmocka_unit_test(icmp_errors_get_no_answer),
		cmocka_unit_test(what_is_no_ip_gets_no_answer),
		cmocka_unit_test(news_of_a_router_are_read),
		cmocka_unit_test(short_quote_has_no_vni),
		cmocka_unit_test(news_of_what_is_not_ours_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
