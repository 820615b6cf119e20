// Frame parsing: the meaning of each field, and that no byte outside the frame counts, for any
// content.
#include "../unit.h"
#include "packet.h"
#include "rtvs/frame.h"
#include "rtvs/frame_flow.h"
#include "rtvs/frame_tos.h"
#include "rtvs/offload.h"
#include "rtvs/random.h"

#include <stdlib.h>

#define SRC UINT64_C(0x02a00000000b)

static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 5};
static struct packet p;
static struct frame_l2 l2;
static struct frame_l3 l3;

static void
parse(void)
{
	assert_true(frame_parse_l2(p.b, p.len, &l2));
	frame_parse_l3(p.b, p.len, &l2, &l3);
}

static void
l2_reads_macs_tag_and_type(void **state)
{
	(void)state;
	packet_ethernet(&p, SRC);
	packet_put16(&p, 0x0800);
	assert_true(frame_parse_l2(p.b, p.len, &l2));
	assert_true(l2.dst == FRAME_MAC_BROADCAST && l2.src == SRC);
	assert_false(l2.is_tagged);
	assert_int_equal(l2.l3_offset, 14);
	packet_ethernet(&p, SRC);
	packet_put(&p, "\x81\0\xb1\x23\x86\xdd", 6);
	assert_true(frame_parse_l2(p.b, p.len, &l2));
	assert_true(l2.is_tagged);
	assert_int_equal(l2.vlan, 0x123); // without priority and DEI
	assert_int_equal(l2.ether_type, 0x86dd);
	assert_int_equal(l2.l3_offset, 18);
}

static void
l2_refuses_frames_shorter_than_their_headers(void **state)
{
	(void)state;
	packet_ethernet(&p, SRC);
	packet_put(&p, "\x81\0\0\1\x08\0", 6);
	for (size_t len = 0; len < 18; len++)
		assert_false(frame_parse_l2(p.b, len, &l2));
	assert_true(frame_parse_l2(p.b, 18, &l2));
}

static void
ipv4_fields_are_found_behind_options_and_two_tags(void **state)
{
	(void)state;
	packet_ethernet(&p, SRC);
	packet_put(&p, "\x81\0\0\1\x81\0\0\2", 8);
	packet_ipv4(&p, "\x0a\0\0\5", 17);
	p.b[p.l3] = 0x46;
	packet_put(&p, "\x94\4\0\0", 4); // router alert
	packet_put(&p, "\0\x35\0\x44\0\x08\0\0", 8);
	packet_end(&p);
	packet_put(&p, NULL, 20); // padding
	parse();
	assert_int_equal(l3.kind, FRAME_IPV4);
	assert_false(l3.is_malformed || l3.is_unclear || l3.is_fragment || l3.has_more_fragments);
	assert_int_equal(l3.proto, 17);
	assert_int_equal(l3.l3_len, 24);
	assert_int_equal(l3.l4_offset, p.l3 + 24);
	assert_memory_equal(l3.src, "\x0a\0\0\5", 4);
	assert_ptr_equal(l3.dst, l3.src + 4);
}

static void
packet_without_payload_has_no_l4(void **state)
{
	(void)state;
	packet_ethernet(&p, SRC);
	packet_ipv4(&p, "\x0a\0\0\5", 17);
	packet_end(&p);
	packet_put(&p, NULL, 26);
	parse();
	assert_false(l3.is_malformed);
	assert_int_equal(l3.l4_offset, 0);
	packet_ethernet(&p, SRC);
	packet_ipv6(&p, v6, 59);
	packet_put(&p, NULL, 8);
	packet_end(&p);
	parse();
	assert_false(l3.is_malformed);
	assert_int_equal(l3.l4_offset, 0);
}

static void
ipv4_fragments_are_told_apart(void **state)
{
	static const struct {
		unsigned bits;
		bool is_fragment, has_more;
	} cases[] = {{0x4000, false, false}, {0x2000, false, true}, {0x2001, true, false}, {0x1fff, true, false}};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		packet_ethernet(&p, SRC);
		packet_ipv4(&p, "\x0a\0\0\5", 17);
		packet_put(&p, NULL, 8);
		packet_end(&p);
		packet_set16(&p, p.l3 + 6, cases[i].bits);
		parse();
		assert_int_equal(l3.is_fragment, cases[i].is_fragment);
		assert_int_equal(l3.has_more_fragments, cases[i].has_more);
		assert_int_equal(l3.l4_offset, cases[i].is_fragment ? 0 : p.l3 + 20);
	}
}

static void
ipv6_extension_headers_count_as_l3(void **state)
{
	(void)state;
	packet_ethernet(&p, SRC);
	packet_ipv6(&p, v6, 0);
	packet_put(&p, "\x2b\0\5\2\0\0\1\0", 8);
	packet_put(&p, "\x2c\0\0\0\0\0\0\0", 8);
	packet_put(&p, "\6\0\0\1\0\0\0\7", 8);
	packet_put(&p, NULL, 20);
	packet_end(&p);
	parse();
	assert_int_equal(l3.kind, FRAME_IPV6);
	assert_false(l3.is_malformed || l3.is_unclear);
	assert_true(l3.has_routing_header && l3.has_fragment_header && l3.has_more_fragments);
	assert_int_equal(l3.proto, 6);
	assert_int_equal(l3.l3_len, 64);
	assert_int_equal(l3.l4_offset, p.l3 + 64);
	assert_memory_equal(l3.src, v6, 16);
}

static void
nd_message_yields_target_and_first_address(void **state)
{
	(void)state;
	packet_ethernet(&p, SRC);
	packet_ipv6(&p, v6, 58);
	packet_nd(&p, 135, v6);
	packet_lladdr(&p, 1, SRC);
	packet_lladdr(&p, 1, SRC);
	packet_end(&p);
	parse();
	assert_true(l3.is_nd && l3.nd.has_target && l3.nd.has_lladdr && !l3.nd.has_second_lladdr);
	assert_int_equal(l3.nd.type, 135);
	assert_memory_equal(l3.nd.target, v6, 16);
	assert_true(l3.nd.lladdr == SRC);
}

static void
short_nd_messages_are_malformed(void **state)
{
	static const size_t n_bytes[] = {8, 16, 24, 24, 40};

	(void)state;
	for (unsigned type = 133; type <= 137; type++)
		for (size_t n = 0; n <= n_bytes[type - 133]; n++) {
			packet_ethernet(&p, SRC);
			packet_ipv6(&p, v6, 58);
			packet_nd(&p, type, v6);
			p.len = p.l3 + 40 + n;
			packet_end(&p);
			parse();
			assert_int_equal(l3.is_malformed, n < n_bytes[type - 133]);
		}
}

static void
header_behind_the_head_is_malformed(void **state)
{
	(void)state;
	packet_ethernet(&p, SRC);
	packet_ipv6(&p, v6, 60);
	packet_put(&p, "\6\0\1\4\0\0\0\0", 8);
	packet_put(&p, NULL, 2000);
	packet_end(&p);
	parse();
	for (size_t head = 14; head < 14 + 48; head++) {
		frame_parse_l3_head(p.b, head, p.len, &l2, &l3);
		assert_true(l3.is_malformed);
	}
	frame_parse_l3_head(p.b, 14 + 48, p.len, &l2, &l3);
	assert_false(l3.is_malformed);
	assert_int_equal(l3.l4_offset, 0);
	frame_parse_l3_head(p.b, 14 + 49, p.len, &l2, &l3);
	assert_int_equal(l3.l4_offset, 14 + 48);
}

static void
unknown_types_are_other(void **state)
{
	(void)state;
	packet_ethernet(&p, SRC);
	packet_put16(&p, 0x88cc);
	parse();
	assert_int_equal(l3.kind, FRAME_OTHER);
	assert_false(l3.is_malformed || l3.is_unclear);
}

static void
check_result(const uint8_t *data, size_t len)
{
	size_t n = l3.kind == FRAME_IPV6 ? 16 : 4;

	if (l3.is_malformed || l3.kind == FRAME_OTHER)
		return;
	assert_true(l3.src >= data + 14 && l3.src + n <= data + len);
	assert_true(l3.dst >= data + 14 && l3.dst + n <= data + len);
	assert_true(l3.l4_offset < len);
	assert_true(l3.l3_len <= len);
	if (l3.l4_offset)
		assert_true(l3.l4_offset >= 14 + l3.l3_len);
}

static void
put_seed_frame(uint64_t *rng)
{
	packet_ethernet(&p, SRC);
	for (uint64_t i = random_below(rng, 4); i > 1; i--)
		packet_put(&p, random_below(rng, 2) ? "\x81\0\0\1" : "\x88\xa8\0\1", 4);
	switch (random_below(rng, 4)) {
	case 0:
		packet_arp(&p, 1, SRC, "\x0a\0\0\5", "\x0a\0\0\1");
		return;
	case 1:
		packet_ipv4(&p, "\x0a\0\0\5", 17);
		packet_put(&p, NULL, random_below(rng, 60));
		break;
	default:
		packet_ipv6(&p, v6, random_below(rng, 2) ? 58 : 60);
		if (p.b[p.l3 + 6] == 60)
			packet_put(&p,
				random_below(rng, 2) ? "\x3c\0\1\4\0\0\0\0\x3a\0\1\4\0\0\0\0" :
						       "\x2c\1\1\4\0\0\0\0\0\0\0\0\0\0\0\0",
				16);
		packet_nd(&p, 133 + (unsigned)random_below(rng, 5), v6);
		packet_lladdr(&p, 1, SRC);
	}
	packet_end(&p);
}

// Changed and cut frames in buffers of exactly their length, so that a sanitizer sees any byte read
// too many.
static void
damaged_frames_never_lead_outside(void **state)
{
	uint64_t rng = unit_seed();

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		put_seed_frame(&rng);
		for (uint64_t n = random_below(&rng, 4); n; n--)
			p.b[12 + random_below(&rng, p.len - 12)] = (uint8_t)random_wide(&rng, 8);
		size_t len = random_below(&rng, 3) ? p.len : random_below(&rng, p.len + 1);
		uint8_t *data = malloc(len + !len);

		assert_non_null(data);
		memcpy(data, p.b, len);
		if (frame_parse_l2(data, len, &l2)) {
			assert_true(l2.l3_offset <= len);
			frame_parse_l3(data, len, &l2, &l3);
			check_result(data, len);
		}
		free(data);
	}
}

static uint16_t
plain_checksum(const uint8_t *data, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++) {
		sum += i & 1 ? data[i] : (uint32_t)data[i] << 8;
		if (sum > 0xffff)
			sum -= 0xffff;
	}
	return (uint16_t)sum;
}

static void
checksum_agrees_with_the_definition_however_it_is_cut(void **state)
{
	static uint8_t data[2000];
	uint64_t rng = unit_seed();

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		size_t len = random_below(&rng, i % 100 ? 100 : sizeof(data)),
		       cut = random_below(&rng, len / 2 + 1) * 2;
		bool is_extreme = random_below(&rng, 4) == 0;

		for (size_t k = 0; k < len; k++)
			data[k] = is_extreme ? 0xff : (uint8_t)random_next(&rng);
		uint64_t sum = frame_checksum_add(frame_checksum_add(0, data, cut), data + cut, len - cut);
		// 0 and 0xffff are the same number; a receiver accepts either.
		assert_int_equal(frame_checksum_fold(sum) % 0xffff, plain_checksum(data, len) % 0xffff);
		assert_int_equal(
			frame_checksum_fold(sum + 0x1234) % 0xffff, (plain_checksum(data, len) + 0x1234) % 0xffff);
	}
	assert_int_equal(frame_checksum_fold(UINT64_MAX), 0xffff);
	assert_int_equal(frame_checksum_finish(0xffff), 0xffff);
	assert_int_equal(frame_checksum_finish(0), 0xffff);
	assert_int_equal(frame_checksum_finish(1), 0xfffe);
}

// A frame of any kind with up to two tags, longer than the head.
static void
make_any(uint64_t *rng)
{
	static const uint8_t protos[] = {1, 6, 17, 58, 0, 43, 44, 51, 60, 132, 253};
	unsigned n_tags = (unsigned)random_below(rng, 3);

	packet_ethernet(&p, SRC);
	while (n_tags--)
		packet_put(&p, random_below(rng, 2) ? "\x81\0\0\5" : "\x88\xa8\0\5", 4);
	switch (random_below(rng, 4)) {
	case 0:
		packet_put16(&p, (unsigned)random_below(rng, 0x10000));
		break;
	case 1:
		packet_arp(&p, 1, SRC, "\x0a\0\0\5", "\x0a\0\0\6");
		break;
	case 2:
		packet_ipv6(&p, v6, protos[random_below(rng, sizeof(protos))]);
		break;
	default:
		packet_ipv4(&p, "\x0a\0\0\5", protos[random_below(rng, sizeof(protos))]);
		if (random_below(rng, 2))
			p.b[p.l3] = (uint8_t)(0x40 | random_below(rng, 16));
	}
	for (unsigned n = 200 + (unsigned)random_below(rng, 200); n; n--)
		packet_put8(&p, (unsigned)random_below(rng, 256));
	packet_end(&p);
}

static void
heads_with_all_headers_tell_what_the_frame_tells(void **state)
{
	uint64_t rng = unit_seed();
	unsigned n_all = 0;

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		size_t head = 128;
		struct offload o, of_head;
		struct offload_places places[2];
		struct frame_l3 l3_of_head;

		make_any(&rng);
		if (!frame_has_all_headers(p.b, head))
			continue;
		n_all++;
		parse();
		frame_parse_l3_head(p.b, head, p.len, &l2, &l3_of_head);
		assert_int_equal(l3_of_head.is_malformed, l3.is_malformed);
		if (!l3.is_malformed) {
			assert_int_equal(l3_of_head.kind, l3.kind);
			assert_int_equal(l3_of_head.is_unclear, l3.is_unclear);
			assert_int_equal(l3_of_head.is_fragment, l3.is_fragment);
			assert_int_equal(l3_of_head.l4_offset, l3.l4_offset);
			assert_int_equal(l3_of_head.proto, l3.proto);
			assert_ptr_equal(l3_of_head.src, l3.src);
			assert_ptr_equal(l3_of_head.dst, l3.dst);
		}
		o = (struct offload){.csum_start = l3.l4_offset,
			.csum_offset = l3.proto == 6 ? 16 : 6,
			.gso_size = 1,
			.kind = l3.kind == FRAME_IPV6 ? OFFLOAD_TCP6 : OFFLOAD_TCP4};
		of_head = o;
		assert_int_equal(
			offload_check(p.b, head, p.len, &l2, &of_head), offload_check(p.b, p.len, p.len, &l2, &o));
		assert_memory_equal(&of_head, &o, sizeof(o));
		assert_int_equal(offload_find(p.b, head, p.len, &o, &places[0]),
			offload_find(p.b, p.len, p.len, &o, &places[1]));
		assert_int_equal(frame_flow_hash(p.b, head), frame_flow_hash(p.b, p.len));
		assert_int_equal(frame_tos(p.b, head), frame_tos(p.b, p.len));
	}
	assert_true(n_all > 20000);
}

static void
heads_end_with_all_headers_or_one_byte_before(void **state)
{
	(void)state;
	packet_ethernet(&p, SRC);
	packet_put(&p, "\x88\xa8\0\1\x81\0\0\2", 8);
	packet_ipv4(&p, "\x0a\0\0\5", 6);
	packet_put(&p, NULL, 200);
	assert_true(frame_has_all_headers(p.b, 102));
	assert_false(frame_has_all_headers(p.b, 101));
	p.b[p.l3] = 0x4f; // 40 bytes of options
	assert_true(frame_has_all_headers(p.b, 142));
	assert_false(frame_has_all_headers(p.b, 141));
	packet_ethernet(&p, SRC);
	packet_ipv6(&p, v6, 17);
	packet_put(&p, NULL, 200);
	assert_true(frame_has_all_headers(p.b, 114));
	assert_false(frame_has_all_headers(p.b, 113));
	p.b[p.l3 + 6] = 58; // options of neighbour discovery have any length
	assert_false(frame_has_all_headers(p.b, 200));
	for (size_t n = 0; n < 14; n++)
		assert_false(frame_has_all_headers(p.b, n));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(l2_reads_macs_tag_and_type),
		cmocka_unit_test(l2_refuses_frames_shorter_than_their_headers),
		cmocka_unit_test(ipv4_fields_are_found_behind_options_and_two_tags),
		cmocka_unit_test(packet_without_payload_has_no_l4),
		cmocka_unit_test(ipv4_fragments_are_told_apart),
		cmocka_unit_test(ipv6_extension_headers_count_as_l3),
		cmocka_unit_test(nd_message_yields_target_and_first_address),
		cmocka_unit_test(short_nd_messages_are_malformed),
		cmocka_unit_test(header_behind_the_head_is_malformed),
		cmocka_unit_test(heads_with_all_headers_tell_what_the_frame_tells),
		cmocka_unit_test(heads_end_with_all_headers_or_one_byte_before),
		cmocka_unit_test(unknown_types_are_other),
		cmocka_unit_test(damaged_frames_never_lead_outside),
		cmocka_unit_test(checksum_agrees_with_the_definition_however_it_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
