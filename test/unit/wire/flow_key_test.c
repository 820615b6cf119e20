// What rules match on: each header's fields, and nothing of what is not there.
#include "../unit.h"
#include "packet.h"
#include "rtvs/flow_digest.h"
#include "rtvs/flow_key.h"
#include "rtvs/random.h"

#include <endian.h>
#include <stdlib.h>

#define SRC UINT64_C(0x02a00000000b)
#define IN 7
#define TCP 6
#define UDP 17
#define ICMP 1

static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 5};
static struct packet p;

// Of exactly the frame's first bytes, so that a sanitizer sees one more.
static struct flow_key
key_of_first(size_t len)
{
	uint8_t *copy = malloc(len + 1);
	struct flow_key key;

	assert_non_null(copy);
	memcpy(copy, p.b, len);
	flow_key_read(copy, len, len, IN, &key);
	free(copy);
	return key;
}

static struct flow_key
key(void)
{
	packet_end(&p);
	return key_of_first(p.len);
}

static struct flow_key
of_ethernet(uint16_t ether_type, uint16_t vlan)
{
	struct flow_key expected = {.in = IN,
		.vlan = htobe16(vlan),
		.ether_type = htobe16(ether_type),
		.eth_dst = {255, 255, 255, 255, 255, 255},
		.eth_src = {0x02, 0xa0, 0, 0, 0, 0x0b}};

	return expected;
}

static struct flow_key
of_ipv4(uint8_t proto)
{
	struct flow_key expected = of_ethernet(0x0800, 0);

	memcpy(expected.ip_src, "\x0a\0\0\5", 4);
	memcpy(expected.ip_dst, "\xc0\0\2\1", 4);
	expected.ip_proto = proto;
	expected.ip_ttl = 64;
	return expected;
}

static void
begin_ipv4(unsigned proto)
{
	packet_ethernet(&p, SRC);
	packet_ipv4(&p, "\x0a\0\0\5", proto);
}

static void
assert_key(struct flow_key found, struct flow_key expected)
{
	assert_memory_equal(&found, &expected, sizeof(found));
}

static void
all_fields_are_read(void **state)
{
	struct flow_key expected = of_ipv4(TCP);

	(void)state;
	begin_ipv4(TCP);
	p.b[p.l3 + 1] = 0xb8;
	packet_put(&p, "\1\2\3\4\0\0\0\0\0\0\0\0\x5f\x12", 14);
	expected.ip_tos = 0xb8;
	expected.l4_src = htobe16(0x0102);
	expected.l4_dst = htobe16(0x0304);
	expected.tcp_flags = htobe16(0x0f12);
	assert_key(key(), expected);
}

static void
icmp_has_a_type_and_a_code(void **state)
{
	struct flow_key expected = of_ipv4(ICMP);

	(void)state;
	begin_ipv4(ICMP);
	packet_put(&p, "\3\4\0\0", 4);
	expected.l4_src = htobe16(3);
	expected.l4_dst = htobe16(4);
	assert_key(key(), expected);
}

static void
ipv6_is_read_behind_its_extensions(void **state)
{
	struct flow_key expected = of_ethernet(0x86dd, 0);

	(void)state;
	packet_ethernet(&p, SRC);
	packet_ipv6(&p, v6, 60); // destination options
	p.b[p.l3] = 0x6b;
	p.b[p.l3 + 1] = 0x80;
	packet_put(&p, "\x11\0\1\4\0\0\0\0\0\x35\0\x36", 12);
	memcpy(expected.ip_src, v6, 16);
	memcpy(expected.ip_dst, p.b + p.l3 + 24, 16);
	expected.ip_proto = UDP;
	expected.ip_tos = 0xb8;
	expected.ip_ttl = 255;
	expected.l4_src = htobe16(0x35);
	expected.l4_dst = htobe16(0x36);
	assert_key(key(), expected);
}

static void
arp_has_its_operation_and_addresses(void **state)
{
	struct flow_key expected = of_ethernet(0x0806, 0);

	(void)state;
	packet_ethernet(&p, SRC);
	packet_arp(&p, 2, SRC, "\x0a\0\0\5", "\x0a\0\0\6");
	memcpy(expected.ip_src, "\x0a\0\0\5", 4);
	memcpy(expected.ip_dst, "\x0a\0\0\6", 4);
	expected.ip_proto = 2;
	assert_key(key_of_first(p.len), expected);
}

// A tag is a field; nobody looks behind a second one.
static void
tags_are_told(void **state)
{
	struct flow_key expected = of_ipv4(UDP);

	(void)state;
	for (unsigned second = 0; second < 2; second++) {
		packet_ethernet(&p, SRC);
		packet_put(&p, "\x81\0\x60\5\x81\0\0\6", second ? 8 : 4);
		packet_ipv4(&p, "\x0a\0\0\5", UDP);
		packet_put(&p, "\0\1\0\2\0\0\0\0", 8);
		if (second)
			expected = of_ethernet(0x8100, 0x7005);
		else {
			expected.vlan = htobe16(0x7005); // with the bit of a tag that is there
			expected.l4_src = htobe16(1);
			expected.l4_dst = htobe16(2);
		}
		assert_key(key(), expected);
	}
	// Priority 0, VID 0.
	packet_ethernet(&p, SRC);
	packet_put(&p, "\x81\0\0\0\x12\x34", 6);
	assert_key(key_of_first(p.len), of_ethernet(0x1234, 0x1000));
}

static void
fragments_are_told(void **state)
{
	static const struct {
		unsigned field;
		uint8_t frag;
		bool has_ports;
	} cases[] = {{0x4000, 0, true}, {0x2000, FLOW_FRAG_ANY, true}, {0x2001, FLOW_FRAG_ANY | FLOW_FRAG_LATER, false},
		{0x0001, FLOW_FRAG_ANY | FLOW_FRAG_LATER, false}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct flow_key expected = of_ipv4(UDP);

		begin_ipv4(UDP);
		packet_set16(&p, p.l3 + 6, cases[i].field);
		packet_put(&p, "\0\1\0\2\0\0\0\0", 8);
		expected.ip_frag = cases[i].frag;
		expected.l4_src = cases[i].has_ports ? htobe16(1) : 0;
		expected.l4_dst = cases[i].has_ports ? htobe16(2) : 0;
		assert_key(key(), expected);
	}
}

// Of a long packet the first bytes are there. Options make no difference but their length.
static void
a_head_is_enough(void **state)
{
	struct flow_key expected = of_ipv4(TCP), found;
	size_t l4;

	(void)state;
	expected.l4_src = htobe16(0x0102);
	expected.l4_dst = htobe16(0x0304);
	for (unsigned has_options = 0; has_options < 2; has_options++) {
		begin_ipv4(TCP);
		l4 = p.l3 + 20;
		if (has_options) {
			p.b[p.l3]++;
			packet_put(&p, "\1\1\1\0", 4);
			l4 += 4;
		}
		packet_put(&p, "\1\2\3\4\0\0\0\0\0\0\0\0\x5f\x12", 14);
		for (unsigned i = 0; i < 20; i++)
			packet_put(&p, "0123456789", 10);
		packet_end(&p);
		for (size_t n = 0; n < p.len; n++) {
			uint8_t *head = malloc(n + 1);

			assert_non_null(head);
			memcpy(head, p.b, n);
			flow_key_read(head, n, p.len, IN, &found);
			free(head);
			expected.tcp_flags = n < l4 + 14 ? 0 : htobe16(0x0f12);
			if (n >= l4 + 4)
				assert_key(found, expected);
			else
				assert_int_equal(found.l4_dst, 0);
		}
	}
}

// Of frames that differ in some bits: the same digest is of the same key, and what has one could be
// anything that is common.
static void
digests_tell_keys_apart(void **state)
{
	struct flow_digest first, second;
	struct flow_key before, after;
	uint64_t random = 5, *r = &random;
	unsigned n_same = 0, n_other = 0;

	(void)state;
	for (unsigned round = 0; round < 200000; round++) {
		bool is_tcp = random_below(r, 2), is_same, is_read;
		size_t n_bits;

		begin_ipv4(is_tcp ? TCP : UDP);
		for (unsigned i = 0; i < 3; i++)
			packet_put(&p, "\1\2\3\4\0\0\0\0\0\0\0\0\x50\x12\0", random_below(r, 16));
		packet_end(&p);
		flow_key_read(p.b, p.len, p.len, 0, &before);
		if (!flow_digest_read(p.b, p.len, p.len, &first)) {
			assert_true(p.len < 48);
			continue;
		}
		for (n_bits = 1 + random_below(r, 3); n_bits; n_bits--)
			p.b[random_below(r, 50 < p.len ? 50 : p.len)] ^= (uint8_t)(1 << random_below(r, 8));
		is_same = flow_digest_is(&first, p.b, p.len, p.len);
		is_read = flow_digest_read(p.b, p.len, p.len, &second);
		if (!is_read) {
			assert_false(is_same);
			continue;
		}
		assert_true(is_same == !memcmp(first.word, second.word, sizeof(first.word[0]) * FLOW_DIGEST_WORDS));
		flow_key_read(p.b, p.len, p.len, 0, &after);
		if (is_same) {
			assert_memory_equal(&before, &after, sizeof(before));
			n_same++;
		} else {
			n_other += memcmp(&before, &after, sizeof(before)) != 0;
		}
	}
	assert_true(n_same > 1000 && n_other > 1000);
}

// What a guest puts behind its packet is no header of it (RFC 1858 on tiny fragments).
static void
padding_is_not_read(void **state)
{
	(void)state;
	begin_ipv4(TCP);
	packet_put(&p, "\1\2\3", 3);
	packet_end(&p);
	packet_put(&p, "\4\0\0\0\0\0\0\0\0\0\0\x12", 12);
	assert_key(key_of_first(p.len), of_ipv4(TCP));
}

static void
headers_that_lie_have_no_fields(void **state)
{
	(void)state;
	begin_ipv4(UDP);
	packet_put(&p, "\0\1\0\2\0\0\0\0", 8);
	packet_set16(&p, p.l3 + 2, (unsigned)(p.len - p.l3 + 1)); // longer than the frame
	assert_key(key_of_first(p.len), of_ethernet(0x0800, 0));
	packet_ethernet(&p, SRC);
	assert_key(key_of_first(p.len), (struct flow_key){.in = IN});
}

// Cut anywhere, nothing is read that is not there.
static void
short_frames_are_read_as_far_as_they_go(void **state)
{
	(void)state;
	packet_ethernet(&p, SRC);
	packet_ipv6(&p, v6, TCP);
	packet_put(&p, "\1\2\3\4\0\0\0\0\0\0\0\0\x50\x12\0\0\0\0\0\0", 20);
	packet_end(&p);
	for (size_t len = 0; len < p.len; len++) {
		struct flow_key found = key_of_first(len);

		assert_int_equal(found.l4_dst, 0);
		assert_int_equal(found.ether_type, len < 14 ? 0 : htobe16(0x86dd));
	}
	assert_int_equal(key_of_first(p.len).l4_dst, htobe16(0x0304));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_fields_are_read),
		cmocka_unit_test(icmp_has_a_type_and_a_code),
		cmocka_unit_test(ipv6_is_read_behind_its_extensions),
		cmocka_unit_test(arp_has_its_operation_and_addresses),
		cmocka_unit_test(tags_are_told),
		cmocka_unit_test(fragments_are_told),
		cmocka_unit_test(a_head_is_enough),
		cmocka_unit_test(digests_tell_keys_apart),
		cmocka_unit_test(padding_is_not_read),
		cmocka_unit_test(headers_that_lie_have_no_fields),
		cmocka_unit_test(short_frames_are_read_as_far_as_they_go),
	};

	return cmocka_run_group_tests_name("wire/flow_key", tests, NULL, NULL);
}
