// Requests for checksums and segments, compared with the frame: behind any headers, and each lie.
#include "../unit.h"
#include "packet.h"
#include "rtvs/offload.h"

#include <errno.h>

#define SRC UINT64_C(0x02a00000000b)
#define TCP 6
#define UDP 17
#define IPIP 4
#define GRE 47
#define ROUTING 43
#define FRAGMENT 44
#define GSO_SIZE 4
#define PAYLOAD "payload."

static const char *const tags[] = {
	"", "\x81\0\x20\5", "\x88\xa8\0\5", "\x81\0\0\5\x81\0\0\6", "\x88\xa8\0\5\x81\0\0\6", "\x81\0\0\5\x88\xa8\0\6"};
static const size_t tag_bytes[] = {0, 4, 4, 8, 8, 8};
#define N_TAGS (sizeof(tag_bytes) / sizeof(tag_bytes[0]))
static const unsigned extensions[] = {0, 60, ROUTING}; // hop-by-hop, destination options
#define N_EXTENSIONS (sizeof(extensions) / sizeof(extensions[0]))
static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 5};

static struct packet p;
static size_t l4;
static struct offload asked;
static struct offload_places places;

static void
put_l4(unsigned proto)
{
	l4 = p.len;
	if (proto == TCP)
		packet_put(&p, "\0\1\0\2\0\0\0\1\0\0\0\2\x60\x10\xff\xff\0\0\0\0\1\1\1\1", 24);
	else if (proto == UDP)
		packet_put(&p, "\0\1\0\2\0\x10\0\0", 8);
	else
		packet_put(&p, NULL, 12);
	packet_put(&p, PAYLOAD, sizeof(PAYLOAD) - 1);
	packet_end(&p);
}

static void
put_ip(bool is_v6, unsigned proto, unsigned n_extensions, unsigned extension)
{
	if (is_v6)
		packet_ipv6(&p, v6, n_extensions ? extension : proto);
	else
		packet_ipv4(&p, "\x0a\0\0\5", proto);
	for (unsigned i = 0; i < n_extensions; i++) {
		packet_put8(&p, i + 1 < n_extensions ? 60 : proto);
		packet_put(&p, "\0\1\4\0\0\0\0", 7);
	}
}

static void
put(unsigned kind, bool is_v6, unsigned proto, unsigned n_extensions, unsigned extension)
{
	packet_ethernet(&p, SRC);
	packet_put(&p, tags[kind], tag_bytes[kind]);
	put_ip(is_v6, proto, n_extensions, extension);
	put_l4(proto);
	asked = (struct offload){.csum_start = (uint16_t)l4,
		.csum_offset = proto == TCP ? 16 : 6,
		.gso_size = GSO_SIZE,
		.kind = OFFLOAD_CHECKSUM};
}

static int
check_head(size_t head)
{
	struct frame_l2 l2;

	assert_true(frame_parse_l2(p.b, p.len, &l2));
	return offload_check(p.b, head, p.len, &l2, &asked);
}

static int
check(enum offload_kind kind)
{
	asked.kind = (uint8_t)kind;
	return check_head(p.len);
}

static bool
find(void)
{
	return offload_find(p.b, p.len, p.len, &asked, &places);
}

static void
requests_are_taken_behind_all_headers(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < N_TAGS; kind++)
		for (unsigned k = 0; k < N_EXTENSIONS; k++)
			for (unsigned i = 0; i < 8; i++) {
				bool is_v6 = i & 1, is_tcp = i & 2;
				unsigned n = is_v6 && i & 4 ? 2 : 0;

				put(kind, is_v6, is_tcp ? TCP : UDP, n, extensions[k]);
				assert_int_equal(check(OFFLOAD_CHECKSUM), 0);
				assert_int_equal(find(), !n);
				if (!n) {
					assert_int_equal(places.l3_offset, p.l3);
					assert_int_equal(places.l3_offset + places.l3_len, l4);
					assert_int_equal(places.l4_len, is_tcp ? 24 : 8);
					assert_true(places.is_v6 == is_v6 && places.is_tcp == is_tcp);
				}
				assert_int_equal(check(is_v6 ? OFFLOAD_TCP4 : OFFLOAD_TCP6), -EINVAL);
				assert_int_equal(check(is_v6 ? OFFLOAD_TCP6 : OFFLOAD_TCP4), is_tcp ? 0 : -EINVAL);
				if (is_tcp)
					assert_int_equal(asked.l4_len, 24);
			}
}

// Its own header, and another one in front: a tag that the switch adds.
static void
places_are_found_behind_a_further_tag(void **state)
{
	(void)state;
	for (unsigned n = 3; n <= 4; n++) {
		packet_ethernet(&p, SRC);
		for (unsigned i = 0; i < n; i++)
			packet_put(&p, "\x81\0\0\5", 4);
		put_ip(true, UDP, 0, 0);
		put_l4(UDP);
		asked = (struct offload){.csum_start = (uint16_t)l4, .csum_offset = 6};
		assert_int_equal(find(), n == 3);
	}
}

// What a guest's own tunnels have between the outer IP header and the inner one.
static const struct {
	unsigned proto;
	const char *bytes;
	size_t n;
} tunnels[] = {
	// VXLAN, with an Ethernet header
	{UDP, "\0\1\x12\xb5\0\0\0\0\x08\0\0\0\0\0\1\0\2\0\0\0\0\1\2\0\0\0\0\2\x08\0", 30},
	// Geneve, with an option and an Ethernet header
	{UDP, "\0\1\x17\xc1\0\0\0\0\1\0\x65\x58\0\0\1\0\1\2\3\0\2\0\0\0\0\1\2\0\0\0\0\2\x08\0", 34},
	{IPIP, "", 0},
	{GRE, "\0\0\x08\0", 4},
};
#define INNER_IP "\x45\0\0\x34\0\1\0\0\x40\6\0\0\x0a\1\0\1\x0a\1\0\2"

// The checksum of the inner packet is left to the next hop, though devices do not find it. Segments
// inside cannot be asked for.
static void
inner_checksums_are_taken_and_inner_segments_are_not(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(tunnels) / sizeof(tunnels[0]); i++)
		for (unsigned kind = 0; kind < N_TAGS; kind++) {
			packet_ethernet(&p, SRC);
			packet_put(&p, tags[kind], tag_bytes[kind]);
			put_ip(false, tunnels[i].proto, 0, 0);
			packet_put(&p, tunnels[i].bytes, tunnels[i].n);
			packet_put(&p, INNER_IP, 20);
			put_l4(TCP);
			asked = (struct offload){.csum_start = (uint16_t)l4, .csum_offset = 16, .gso_size = GSO_SIZE};
			assert_int_equal(check(OFFLOAD_CHECKSUM), 0);
			assert_false(find());
			assert_int_equal(check(OFFLOAD_TCP4), -EINVAL);
		}
}

// A checksum of a protocol that nobody here knows, of a fragment, of a frame that is no IP packet.
static void
checksums_of_anything_are_taken(void **state)
{
	(void)state;
	put(3, true, 132, 1, 60);
	asked.csum_offset = 8;
	assert_int_equal(check(OFFLOAD_CHECKSUM), 0);
	assert_false(find());
	put(0, false, UDP, 0, 0);
	packet_set16(&p, p.l3 + 6, 0x2000);
	assert_int_equal(check(OFFLOAD_CHECKSUM), 0);
	assert_false(find());
	put(0, false, TCP, 0, 0);
	p.b[p.l3 + 2] = 0xff; // longer than the frame
	assert_int_equal(check(OFFLOAD_CHECKSUM), 0);
	assert_false(find());
	packet_ethernet(&p, SRC);
	packet_put(&p, "\x88\xb5 what", 8);
	asked = (struct offload){.csum_start = 14, .csum_offset = 4};
	assert_int_equal(check(OFFLOAD_CHECKSUM), 0);
	assert_false(find());
}

// The last place that is permitted, and the next one.
static void
checksum_is_inside_of_the_frame(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < N_TAGS; kind++) {
		uint16_t first = kind == 1 || kind == 3 || kind == 5 ? 18 : 14;

		put(kind, false, UDP, 0, 0);
		asked.csum_start = first;
		assert_int_equal(check(OFFLOAD_CHECKSUM), 0);
		asked.csum_start = (uint16_t)(first - 1);
		assert_int_equal(check(OFFLOAD_CHECKSUM), -EINVAL);
		asked.csum_start = (uint16_t)(p.len - 2);
		asked.csum_offset = 0;
		assert_int_equal(check(OFFLOAD_CHECKSUM), 0);
		asked.csum_start++;
		assert_int_equal(check(OFFLOAD_CHECKSUM), -EINVAL);
		asked.csum_start = (uint16_t)(p.len - 10);
		asked.csum_offset = 8;
		assert_int_equal(check(OFFLOAD_CHECKSUM), 0);
		asked.csum_offset = 10;
		assert_int_equal(check(OFFLOAD_CHECKSUM), -EINVAL);
		asked.csum_offset = 7; // between the words of the sum
		assert_int_equal(check(OFFLOAD_CHECKSUM), -EINVAL);
		asked.csum_start = asked.csum_offset = UINT16_MAX - 1;
		assert_int_equal(check(OFFLOAD_CHECKSUM), -EINVAL);
		asked.csum_start = 18;
		assert_int_equal(check(OFFLOAD_CHECKSUM), -EINVAL);
	}
}

static void
super_frame_that_lies_is_refused(void **state)
{
	size_t n;

	(void)state;
	for (unsigned is_v6 = 0; is_v6 < 2; is_v6++) {
		const enum offload_kind kind = is_v6 ? OFFLOAD_TCP6 : OFFLOAD_TCP4;
		size_t length_at;

#define REFUSED(change)                                 \
	do {                                            \
		put(4, is_v6, TCP, 0, 0);               \
		length_at = p.l3 + (is_v6 ? 4 : 2);     \
		assert_int_equal(check(kind), 0);       \
		change;                                 \
		assert_int_equal(check(kind), -EINVAL); \
	} while (0)
		REFUSED(asked.gso_size = 0);
		REFUSED(asked.csum_start += 2);
		REFUSED(asked.csum_start -= 2);
		REFUSED(asked.csum_offset = 18);
		REFUSED(asked.csum_offset = 6);
		REFUSED(p.b[l4 + 12] = 0x40); // a TCP header of 16 bytes
		REFUSED(p.b[l4 + 12] = 0x90); // longer than the frame
		REFUSED(p.b[p.l3 + (is_v6 ? 6 : 9)] = UDP);
		REFUSED(p.b[p.l3] = 0x50);
		REFUSED(p.b[length_at + 1]--); // the packet ends before the frame
		REFUSED(p.b[length_at + 1]++);
		if (!is_v6) {
			REFUSED(packet_set16(&p, p.l3 + 6, 0x2000));
			REFUSED(packet_set16(&p, p.l3 + 6, 1));
			REFUSED(packet_set16(&p, length_at, 0));
		}
		// Headers that are not all there.
		put(4, is_v6, TCP, 0, 0);
		for (n = 18; n <= p.len; n++) {
			asked.kind = (uint8_t)kind;
			assert_int_equal(check_head(n), n < l4 + 24 ? -EINVAL : 0);
		}
	}
	put(0, true, TCP, 1, FRAGMENT); // an atomic fragment
	p.b[p.l3 + 42] = p.b[p.l3 + 43] = 0;
	assert_int_equal(check(OFFLOAD_TCP6), -EINVAL);
	assert_int_equal(check(OFFLOAD_CHECKSUM), 0);
	put(0, true, TCP, FRAME_MAX_EXT_HEADERS, 60);
	assert_int_equal(check(OFFLOAD_TCP6), 0);
	put(0, true, TCP, FRAME_MAX_EXT_HEADERS + 1, 60);
	assert_int_equal(check(OFFLOAD_TCP6), -EINVAL);
	put(0, false, TCP, 0, 0);
	assert_int_equal(check(OFFLOAD_NONSENSE), -EINVAL);
	put(0, false, UDP, 0, 0);
	assert_int_equal(check(OFFLOAD_NONSENSE), -EINVAL);
}

// One segment is the frame itself.
static void
super_frame_of_one_segment_is_none(void **state)
{
	(void)state;
	put(0, false, TCP, 0, 0);
	asked.gso_size = sizeof(PAYLOAD) - 2;
	assert_int_equal(check(OFFLOAD_TCP4), 0);
	assert_int_equal(asked.kind, OFFLOAD_TCP4);
	asked.gso_size = sizeof(PAYLOAD) - 1;
	assert_int_equal(check(OFFLOAD_TCP4), 0);
	assert_int_equal(asked.kind, OFFLOAD_CHECKSUM);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_taken_behind_all_headers),
		cmocka_unit_test(places_are_found_behind_a_further_tag),
		cmocka_unit_test(inner_checksums_are_taken_and_inner_segments_are_not),
		cmocka_unit_test(checksums_of_anything_are_taken),
		cmocka_unit_test(checksum_is_inside_of_the_frame),
		cmocka_unit_test(super_frame_that_lies_is_refused),
		cmocka_unit_test(super_frame_of_one_segment_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
