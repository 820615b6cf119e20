// IPv4 fragmentation: RFC 791's rules for each fragment, reassembly, and each case without
// fragments.
#include "../unit.h"
#include "packet.h"
#include "rtvs/fragment.h"
#include "rtvs/frame.h"

#include <errno.h>
#include <stdlib.h>

#define DF 0x4000
#define MF 0x2000
#define ID 0x1234 // packet_ipv4's

static struct packet p;
static struct fragment_plan plan;
static uint8_t again[70000]; // the payload of the fragments, where they say that it belongs

static unsigned
load16(const uint8_t *b)
{
	return (unsigned)(b[0] << 8 | b[1]);
}

// A packet with these options (padded by the caller to 4), flags and offset, and payload that
// counts up.
static void
make(unsigned n_tags, const uint8_t *options, size_t options_len, unsigned flags, size_t payload)
{
	packet_ethernet(&p, 0x020000000001);
	for (unsigned i = 0; i < n_tags; i++) {
		packet_put16(&p, i + 1 < n_tags ? 0x88a8 : 0x8100);
		packet_put16(&p, 100 + i);
	}
	packet_ipv4(&p, "\x0a\0\0\1", 17);
	packet_put(&p, options, options_len);
	p.b[p.l3] = (uint8_t)(0x45 + options_len / 4);
	packet_set16(&p, p.l3 + 6, flags);
	for (size_t i = 0; i < payload; i++)
		packet_put8(&p, (unsigned)(i * 7 + i / 256) & 0xff);
	packet_end(&p);
	packet_set16(
		&p, p.l3 + 10, (uint16_t)~frame_checksum_fold(frame_checksum_add(0, p.b + p.l3, 20 + options_len)));
}

// As a caller that has no more than the headers in one piece, on the heap for sanitizers.
static int
try(size_t head, uint32_t mtu)
{
	uint8_t *copy = malloc(head + !head);
	int rc;

	assert_non_null(copy);
	memcpy(copy, p.b, head);
	rc = fragment_plan(copy, head, p.len, mtu, &plan);
	free(copy);
	return rc;
}

// Every fragment follows RFC 791, and together they are the packet. Returns how many there are.
static unsigned
check(uint32_t mtu)
{
	size_t header_len = (size_t)(p.b[p.l3] & 15) * 4, payload = p.len - p.l3 - header_len, sum = 0;
	unsigned flags = load16(p.b + p.l3 + 6);
	uint8_t out[FRAGMENT_HEADERS_MAX];

	assert_int_equal(try(p.l3 + header_len, mtu), 0);
	for (uint16_t i = 0; i < plan.n; i++) {
		size_t offset, len;
		uint16_t n;
		const uint8_t *ip = out + p.l3;
		unsigned f;

		memset(out, 0xee, sizeof(out));
		len = fragment_header(&plan, p.b, i, out, &offset, &n);
		f = load16(ip + 6);
		assert_memory_equal(out, p.b, p.l3);
		assert_int_equal(len, p.l3 + (size_t)(ip[0] & 15) * 4);
		assert_int_equal(ip[0] >> 4, 4);
		assert_int_equal(load16(ip + 2), len - p.l3 + n);
		assert_true(load16(ip + 2) <= mtu);
		assert_memory_equal(ip + 4, p.b + p.l3 + 4, 2);
		assert_memory_equal(ip + 8, p.b + p.l3 + 8, 2);
		assert_memory_equal(ip + 12, p.b + p.l3 + 12, 8);
		assert_int_equal(frame_checksum_fold(frame_checksum_add(0, ip, len - p.l3)), 0xffff);
		assert_true(i + 1 == plan.n ? n > 0 || !payload : n && n % 8 == 0);
		assert_int_equal(!!(f & MF), i + 1 < plan.n || (flags & MF));
		assert_int_equal(f & 0x1fff, (flags & 0x1fff) + sum / 8);
		assert_int_equal(offset, p.l3 + header_len + sum);
		memcpy(again + sum, p.b + offset, n);
		sum += n;
	}
	assert_int_equal(sum, payload);
	assert_memory_equal(again, p.b + p.l3 + header_len, payload);
	return plan.n;
}

static void
fragments_are_the_packet_again(void **state)
{
	(void)state;
	make(0, NULL, 0, 0, 1480);
	assert_int_equal(check(1500), 1);
	assert_int_equal(check(1499), 2);
	assert_int_equal(check(576), 3);
	make(2, NULL, 0, 0, 1400);
	assert_int_equal(check(1390), 2);
	make(1, NULL, 0, 0, 0);
	assert_int_equal(check(28), 1);
	for (size_t payload = 1; payload < 300; payload += 7)
		for (uint32_t mtu = 40; mtu < 330; mtu += 3) {
			make(0, NULL, 0, 0, payload);
			(void)check(mtu);
		}
}

// A packet that is fragmented already keeps its place, and only its last fragment ends the packet.
static void
fragments_are_fragmented_again(void **state)
{
	(void)state;
	make(0, NULL, 0, MF | 100, 1480);
	assert_int_equal(check(576), 3);
	make(0, NULL, 0, 285, 1001);
	assert_int_equal(check(576), 2);
	make(0, NULL, 0, MF | 100, 1481); // only the last of a packet may have such a length
	assert_int_equal(try(p.len, 576), -EBADMSG);
}

static void
no_fragment_ends_beyond_the_largest_packet(void **state)
{
	(void)state;
	make(0, NULL, 0, 8091, 787); // 64,728 + 787 bytes behind a header of 20: 65,535
	assert_int_equal(check(576), 2);
	make(0, NULL, 0, 8091, 788);
	assert_int_equal(try(p.len, 576), -EBADMSG);
}

static void
options_are_copied_by_their_flag(void **state)
{
	// NOP, record route (7, not copied), router alert (148, copied), end.
	static const uint8_t options[] = {1, 7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0, 0, 0, 0, 0};
	static const uint8_t copied[] = {148, 4, 0, 0};
	// Copied ones whose length is none of 4: padded.
	static const uint8_t odd[] = {0x82, 3, 9, 1};
	static const uint8_t padded[] = {0x82, 3, 9, 0};
	uint8_t out[FRAGMENT_HEADERS_MAX];
	size_t offset;
	uint16_t n;

	(void)state;
	make(0, options, sizeof(options), 0, 1000);
	assert_int_equal(check(576), 2);
	assert_int_equal(fragment_header(&plan, p.b, 0, out, &offset, &n), 14 + 36);
	assert_memory_equal(out + 34, options, sizeof(options));
	assert_int_equal(fragment_header(&plan, p.b, 1, out, &offset, &n), 14 + 24);
	assert_memory_equal(out + 34, copied, sizeof(copied));
	make(0, odd, sizeof(odd), 0, 1000);
	assert_int_equal(check(576), 2);
	assert_int_equal(fragment_header(&plan, p.b, 1, out, &offset, &n), 14 + 24);
	assert_memory_equal(out + 34, padded, sizeof(padded));
}

static void
options_that_lie_are_refused(void **state)
{
	static const uint8_t none[] = {0x82, 0, 0, 0}, beyond[] = {0x82, 5, 0, 0}, cut[] = {1, 1, 1, 0x82};

	(void)state;
	make(0, none, 4, 0, 1000);
	assert_int_equal(try(p.len, 576), -EBADMSG);
	make(0, beyond, 4, 0, 1000);
	assert_int_equal(try(p.len, 576), -EBADMSG);
	make(0, cut, 4, 0, 1000);
	assert_int_equal(try(p.len, 576), -EBADMSG);
}

static void
who_can_be_told_is_not_fragmented(void **state)
{
	static const uint8_t src[16] = {0x20, 1};

	(void)state;
	make(0, NULL, 0, DF, 1480);
	assert_int_equal(try(p.len, 576), -EMSGSIZE);
	packet_ethernet(&p, 0x020000000001);
	packet_ipv6(&p, src, 17);
	packet_put(&p, NULL, 1400);
	packet_end(&p);
	assert_int_equal(try(p.len, 1280), -EMSGSIZE);
}

static void
what_is_no_good_ipv4_is_refused(void **state)
{
	(void)state;
	packet_ethernet(&p, 0x020000000001);
	packet_arp(&p, 1, 0x020000000001, "\x0a\0\0\1", "\x0a\0\0\2");
	assert_int_equal(try(p.len, 576), -EPROTO);
	packet_ethernet(&p, 0x020000000001);
	packet_put16(&p, 0x88b5);
	packet_put(&p, NULL, 1000);
	assert_int_equal(try(p.len, 576), -EPROTO);
	assert_int_equal(try(13, 576), -EPROTO);
	make(0, NULL, 0, 0, 1000);
	p.b[p.l3 + 10] ^= 1; // checksum
	assert_int_equal(try(p.len, 576), -EBADMSG);
	make(0, NULL, 0, 0, 1000);
	packet_set16(&p, p.l3 + 2, 1021); // longer than the frame
	assert_int_equal(try(p.len, 576), -EBADMSG);
	make(0, NULL, 0, 0, 1000);
	for (size_t head = 14; head < 34; head++)
		assert_int_equal(try(head, 576), -EBADMSG);
}

static void
fragments_have_a_limit(void **state)
{
	(void)state;
	make(0, NULL, 0, 0, FRAGMENT_MAX * 8);
	assert_int_equal(check(28), FRAGMENT_MAX);
	make(0, NULL, 0, 0, FRAGMENT_MAX * 8 + 1);
	assert_int_equal(try(p.len, 28), -E2BIG);
	assert_int_equal(try(p.len, 27), -E2BIG);
}

static void
padding_is_no_payload(void **state)
{
	(void)state;
	make(0, NULL, 0, 0, 1000);
	packet_put(&p, NULL, 100);
	assert_int_equal(try(p.len, 576), 0);
	assert_int_equal(plan.payload_len, 1000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fragments_are_the_packet_again),
		cmocka_unit_test(fragments_are_fragmented_again),
		cmocka_unit_test(no_fragment_ends_beyond_the_largest_packet),
		cmocka_unit_test(options_are_copied_by_their_flag),
		cmocka_unit_test(options_that_lie_are_refused),
		cmocka_unit_test(who_can_be_told_is_not_fragmented),
		cmocka_unit_test(what_is_no_good_ipv4_is_refused),
		cmocka_unit_test(fragments_have_a_limit),
		cmocka_unit_test(padding_is_no_payload),
	};

	return cmocka_run_group_tests_name("wire/fragment", tests, NULL, NULL);
}
