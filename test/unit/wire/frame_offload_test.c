// Requests for checksums and segments: the place of the header, with any headers before it, and
// refusals.
#include "../unit.h"
#include "packet.h"
#include "rtvs/frame.h"

#include <errno.h>

#define SRC UINT64_C(0x02a00000000b)
#define TCP "\0\1\0\2\0\0\0\1\0\0\0\2\x50\x10\xff\xff\0\0\0\0payload."
#define TCP_BYTES 28
#define UDP "\0\1\0\2\0\x10\0\0payload."
#define UDP_BYTES 16

static const char *const tags[] = {
	"", "\x81\0\x20\5", "\x88\xa8\0\5", "\x81\0\0\5\x81\0\0\6", "\x88\xa8\0\5\x81\0\0\6", "\x81\0\0\5\x88\xa8\0\6"};
static const size_t tag_bytes[] = {0, 4, 4, 8, 8, 8};
#define N_TAGS (sizeof(tag_bytes) / sizeof(tag_bytes[0]))
static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 5};
static struct packet p;
static struct frame_offload o;

// n_extensions: destination options of 8 bytes each.
static void
put(unsigned kind, bool is_v6, bool is_tcp, unsigned n_extensions)
{
	packet_ethernet(&p, SRC);
	packet_put(&p, tags[kind], tag_bytes[kind]);
	if (is_v6)
		packet_ipv6(&p, v6, n_extensions ? 60 : is_tcp ? 6 : 17);
	else
		packet_ipv4(&p, "\x0a\0\0\5", is_tcp ? 6 : 17);
	for (unsigned i = 0; i < n_extensions; i++) {
		packet_put8(&p, i + 1 < n_extensions ? 60 : is_tcp ? 6 : 17);
		packet_put(&p, "\0\1\4\0\0\0\0", 7);
	}
	packet_put(&p, is_tcp ? TCP : UDP, is_tcp ? TCP_BYTES : UDP_BYTES);
	packet_end(&p);
}

static int
ask(bool is_super)
{
	struct frame_l2 l2;

	assert_true(frame_parse_l2(p.b, p.len, &l2));
	return frame_offload(p.b, p.len, p.len, &l2, is_super, &o);
}

static void
header_is_found_behind_tags_and_extensions(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < N_TAGS; kind++)
		for (unsigned i = 0; i < 8; i++) {
			bool is_v6 = i & 1, is_tcp = i & 2;
			unsigned n_extensions = is_v6 && i & 4 ? 2 : 0;
			size_t l4 = 14 + tag_bytes[kind] + (is_v6 ? 40 : 20) + n_extensions * 8;

			put(kind, is_v6, is_tcp, n_extensions);
			assert_int_equal(ask(false), 0);
			assert_int_equal(o.l3_offset, p.l3);
			assert_int_equal(o.l4_offset, l4);
			assert_int_equal(o.checksum_at, l4 + (is_tcp ? 16 : 6));
			assert_int_equal(o.l4_len, is_tcp ? 20 : 8);
			assert_true(o.is_v6 == is_v6 && o.is_tcp == is_tcp && o.has_extensions == !!n_extensions);
			assert_int_equal(ask(true), is_tcp ? 0 : -EINVAL);
		}
}

static void
as_many_extensions_as_the_limit_are_looked_through(void **state)
{
	(void)state;
	put(0, true, true, FRAME_MAX_EXT_HEADERS);
	assert_int_equal(ask(true), 0);
	put(0, true, true, FRAME_MAX_EXT_HEADERS + 1);
	assert_int_equal(ask(true), -EINVAL);
	assert_int_equal(ask(false), -EINVAL);
}

static void
what_cannot_be_executed_is_refused(void **state)
{
	struct frame_l2 l2;

	(void)state;
	put(0, false, true, 0);
	p.b[p.l3 + 9] = 132; // SCTP has another checksum
	assert_int_equal(ask(false), -EINVAL);
	put(0, false, true, 0);
	packet_set16(&p, p.l3 + 6, 0x2000);
	assert_int_equal(ask(false), -EINVAL);
	packet_set16(&p, p.l3 + 6, 1);
	assert_int_equal(ask(false), -EINVAL);
	put(0, true, true, 1);
	p.b[p.l3 + 6] = 43; // a routing header
	assert_int_equal(ask(false), 0);
	assert_int_equal(ask(true), -EINVAL);
	p.b[p.l3 + 6] = 44; // an atomic fragment
	memset(p.b + p.l3 + 41, 0, 7);
	assert_int_equal(ask(false), 0);
	assert_int_equal(ask(true), -EINVAL);
	put(0, false, true, 0);
	p.b[p.l3 + 20 + 12] = 0x40; // a TCP header of 16 bytes
	assert_int_equal(ask(false), -EINVAL);
	p.b[p.l3 + 20 + 12] = 0x80; // longer than the frame
	assert_int_equal(ask(false), -EINVAL);
	packet_ethernet(&p, SRC);
	packet_put16(&p, 0x0806);
	packet_put(&p, NULL, 46);
	assert_int_equal(ask(false), -EINVAL);
	// Headers that are not all there.
	put(3, true, true, 2);
	assert_true(frame_parse_l2(p.b, p.len, &l2));
	for (size_t head = 18; head < p.len; head++)
		assert_int_equal(frame_offload(p.b, head, p.len, &l2, false, &o), head < p.len - 8 ? -EINVAL : 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_is_found_behind_tags_and_extensions),
		cmocka_unit_test(as_many_extensions_as_the_limit_are_looked_through),
		cmocka_unit_test(what_cannot_be_executed_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
