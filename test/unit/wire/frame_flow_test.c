// Flow hashes: one number for all packets of a flow, with any headers before its addresses, and
// different ones for others.
#include "../unit.h"
#include "packet.h"
#include "rtvs/frame.h"
#include "rtvs/frame_flow.h"

#include <stdlib.h>

#define SRC UINT64_C(0x02a00000000b)
#define SOME_PORTS "\1\2\3\4payload."
#define OTHER_PORTS "\1\2\3\5payload."
#define UDP 17

static const char *const tags[] = {
	"", "\x81\0\x20\5", "\x81\0\0\5\x81\0\0\6", "\x88\xa8\0\5", "\x88\xa8\0\5\x81\0\0\6"};
static const size_t tag_bytes[] = {0, 4, 8, 4, 8};
#define N_TAGS (sizeof(tag_bytes) / sizeof(tag_bytes[0]))
static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 5};
static struct packet p;

// Of exactly the frame's bytes, so that a sanitizer sees one more.
static uint64_t
hash(void)
{
	uint8_t *copy = malloc(p.len + 1);

	assert_non_null(copy);
	memcpy(copy, p.b, p.len);
	uint64_t value = frame_flow_hash(copy, p.len);
	free(copy);
	return value;
}

// headers: IPv6 extension headers, the first of type proto.
static uint64_t
hash_of(unsigned kind, bool is_v6, unsigned proto, const char *headers, size_t headers_len, const char *payload)
{
	packet_ethernet(&p, SRC);
	packet_put(&p, tags[kind], tag_bytes[kind]);
	if (is_v6)
		packet_ipv6(&p, v6, proto);
	else
		packet_ipv4(&p, "\x0a\0\0\5", proto);
	packet_put(&p, headers, headers_len);
	packet_put(&p, payload, 12);
	packet_end(&p);
	return hash();
}

static void
ports_tell_flows_apart_behind_any_tags(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < N_TAGS; kind++)
		for (unsigned is_v6 = 0; is_v6 < 2; is_v6++) {
			uint64_t one = hash_of(kind, is_v6, UDP, NULL, 0, SOME_PORTS);

			assert_true(hash_of(kind, is_v6, UDP, NULL, 0, SOME_PORTS) == one);
			assert_true(hash_of(kind, is_v6, UDP, NULL, 0, OTHER_PORTS) != one);
			assert_true(hash_of(kind, is_v6, 6, NULL, 0, SOME_PORTS) != one);
			(void)hash_of(kind, is_v6, UDP, NULL, 0, SOME_PORTS);
			p.b[p.l3 + 15]++; // of an address
			assert_true(hash() != one);
		}
}

// Frames without tags and options are read by a shorter way.
static void
ip_flow_has_one_hash_whatever_is_before(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < N_TAGS; kind++)
		for (unsigned is_v6 = 0; is_v6 < 2; is_v6++)
			for (unsigned proto = 0; proto < 256; proto++) {
				uint64_t one = hash_of(0, is_v6, proto, NULL, 0, SOME_PORTS);

				assert_true(hash_of(kind, is_v6, proto, NULL, 0, SOME_PORTS) == one);
			}
}

static void
fragments_of_an_ipv4_packet_have_one_hash(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < N_TAGS; kind++) {
		(void)hash_of(kind, false, UDP, NULL, 0, SOME_PORTS);
		packet_set16(&p, p.l3 + 6, 0x2000);
		uint64_t first = hash();

		(void)hash_of(kind, false, UDP, NULL, 0, OTHER_PORTS);
		packet_set16(&p, p.l3 + 6, 0x20b9);
		assert_true(hash() == first);
		packet_set16(&p, p.l3 + 6, 0x0172);
		assert_true(hash() == first);
		packet_set16(&p, p.l3 + 6, 0x4000); // DF is no fragment
		assert_true(hash() != first);
	}
}

static void
fragments_of_an_ipv6_packet_have_one_hash(void **state)
{
	static const char first[] = "\x11\0\0\1\0\0\0\1", last[] = "\x11\0\5\xc8\0\0\0\1";
	static const char hops_first[] = "\x2c\0\5\2\0\0\1\0\x11\0\0\1\0\0\0\1",
			  hops_last[] = "\x2c\0\5\2\0\0\1\0\x11\0\5\xc8\0\0\0\1";

	(void)state;
	for (unsigned kind = 0; kind < N_TAGS; kind++) {
		assert_true(
			hash_of(kind, true, 44, first, 8, SOME_PORTS) == hash_of(kind, true, 44, last, 8, OTHER_PORTS));
		// Behind hop-by-hop options.
		assert_true(hash_of(kind, true, 0, hops_first, 16, SOME_PORTS) ==
			hash_of(kind, true, 0, hops_last, 16, OTHER_PORTS));
	}
}

static void
frame_may_end_anywhere(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < N_TAGS; kind++)
		for (unsigned is_v6 = 0; is_v6 < 2; is_v6++) {
			(void)hash_of(kind, is_v6, UDP, NULL, 0, SOME_PORTS);
			for (size_t len = p.len; len-- > 0;) {
				p.len = len;
				(void)hash();
			}
			assert_true(hash() == 0); // nothing to tell from others
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports_tell_flows_apart_behind_any_tags),
		cmocka_unit_test(ip_flow_has_one_hash_whatever_is_before),
		cmocka_unit_test(fragments_of_an_ipv4_packet_have_one_hash),
		cmocka_unit_test(fragments_of_an_ipv6_packet_have_one_hash),
		cmocka_unit_test(frame_may_end_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
