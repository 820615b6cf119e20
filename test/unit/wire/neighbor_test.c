// ARP, neighbor discovery and echo: the frames of the RFCs, and each thing that RFC 4861 and common
// sense forbid.
#include "../unit.h"
#include "packet.h"
#include "rtvs/frame.h"
#include "rtvs/neighbor.h"
#include "rtvs/random.h"

#include <errno.h>
#include <stdlib.h>

// Put together by hand from the RFCs, not by the code under test. A has 192.0.2.1 and 2001:db8::1,
// B 192.0.2.2 and 2001:db8::aa:bbcc; VLAN 0x123 where there is a tag.
// clang-format off
static const uint8_t arp_request[] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x08, 0x06, 0x00, 0x01,
	0x08, 0x00, 0x06, 0x04, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0xa0, 0xc0, 0x00, 0x02, 0x01,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xc0, 0x00, 0x02, 0x02,
};
static const uint8_t arp_reply[] = {
	0x02, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x02, 0x00, 0x00, 0x00, 0x00, 0xb0, 0x08, 0x06, 0x00, 0x01,
	0x08, 0x00, 0x06, 0x04, 0x00, 0x02, 0x02, 0x00, 0x00, 0x00, 0x00, 0xb0, 0xc0, 0x00, 0x02, 0x02,
	0x02, 0x00, 0x00, 0x00, 0x00, 0xa0, 0xc0, 0x00, 0x02, 0x01,
};
static const uint8_t arp_announcement[] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x81, 0x00, 0x01, 0x23,
	0x08, 0x06, 0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0xa0,
	0xc0, 0x00, 0x02, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xc0, 0x00, 0x02, 0x01,
};
static const uint8_t solicitation[] = {
	0x33, 0x33, 0xff, 0xaa, 0xbb, 0xcc, 0x02, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x81, 0x00, 0x01, 0x23,
	0x86, 0xdd, 0x60, 0x00, 0x00, 0x00, 0x00, 0x20, 0x3a, 0xff, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0xff, 0x02, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0xff, 0xaa, 0xbb, 0xcc, 0x87, 0x00, 0xa2, 0x9e, 0x00, 0x00,
	0x00, 0x00, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xaa,
	0xbb, 0xcc, 0x01, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0xa0,
};
static const uint8_t advertisement[] = {
	0x02, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x02, 0x00, 0x00, 0x00, 0x00, 0xb0, 0x81, 0x00, 0x01, 0x23,
	0x86, 0xdd, 0x60, 0x00, 0x00, 0x00, 0x00, 0x20, 0x3a, 0xff, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xaa, 0xbb, 0xcc, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x88, 0x00, 0x10, 0xda, 0x60, 0x00,
	0x00, 0x00, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xaa,
	0xbb, 0xcc, 0x02, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0xb0,
};
static const uint8_t announcement[] = {
	0x33, 0x33, 0x00, 0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x86, 0xdd, 0x60, 0x00,
	0x00, 0x00, 0x00, 0x20, 0x3a, 0xff, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x88, 0x00, 0xf8, 0x8b, 0x20, 0x00, 0x00, 0x00, 0x20, 0x01,
	0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x01,
	0x02, 0x00, 0x00, 0x00, 0x00, 0xa0,
};
static const uint8_t dad[] = {
	0x33, 0x33, 0xff, 0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0xb0, 0x86, 0xdd, 0x60, 0x00,
	0x00, 0x00, 0x00, 0x18, 0x3a, 0xff, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x01, 0xff, 0x00, 0x00, 0x01, 0x87, 0x00, 0x4c, 0xed, 0x00, 0x00, 0x00, 0x00, 0x20, 0x01,
	0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
};
static const uint8_t ping4[] = {
	0x02, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x02, 0x00, 0x00, 0x00, 0x00, 0xb0, 0x08, 0x00, 0x45, 0xb9,
	0x00, 0x20, 0x42, 0x42, 0x00, 0x00, 0x39, 0x01, 0xba, 0xde, 0xc0, 0x00, 0x02, 0x02, 0xc0, 0x00,
	0x02, 0x01, 0x08, 0x00, 0x06, 0xfa, 0x12, 0x34, 0x00, 0x01, 0x70, 0x69, 0x6e, 0x67,
};
static const uint8_t pong4[] = {
	0x02, 0x00, 0x00, 0x00, 0x00, 0xb0, 0x02, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x08, 0x00, 0x45, 0xb8,
	0x00, 0x20, 0x00, 0x00, 0x40, 0x00, 0x40, 0x01, 0xb6, 0x21, 0xc0, 0x00, 0x02, 0x01, 0xc0, 0x00,
	0x02, 0x02, 0x00, 0x00, 0x0e, 0xfa, 0x12, 0x34, 0x00, 0x01, 0x70, 0x69, 0x6e, 0x67,
};
static const uint8_t ping6[] = {
	0x02, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x02, 0x00, 0x00, 0x00, 0x00, 0xb0, 0x81, 0x00, 0x01, 0x23,
	0x86, 0xdd, 0x6b, 0x95, 0x00, 0x09, 0x00, 0x0c, 0x3a, 0x39, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xaa, 0xbb, 0xcc, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x80, 0x00, 0x76, 0xc9, 0x12, 0x34,
	0x00, 0x01, 0x70, 0x69, 0x6e, 0x67,
};
static const uint8_t pong6[] = {
	0x02, 0x00, 0x00, 0x00, 0x00, 0xb0, 0x02, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x81, 0x00, 0x01, 0x23,
	0x86, 0xdd, 0x6b, 0x85, 0x00, 0x09, 0x00, 0x0c, 0x3a, 0x40, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xaa, 0xbb, 0xcc, 0x81, 0x00, 0x75, 0xc9, 0x12, 0x34,
	0x00, 0x01, 0x70, 0x69, 0x6e, 0x67,
};
// clang-format on

#define TARGET6 "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\xaa\xbb\xcc"
#define L3 18 // offset behind the tag

static const struct neighbor_self a4 = {.mac = {{2, 0, 0, 0, 0, 0xa0}}, .addr = {192, 0, 2, 1}};
static const struct neighbor_self a6 = {
	.is_ipv6 = true, .mac = {{2, 0, 0, 0, 0, 0xa0}}, .addr = {0x20, 1, 0x0d, 0xb8, [15] = 1}};
static const struct neighbor_self b4 = {.mac = {{2, 0, 0, 0, 0, 0xb0}}, .addr = {192, 0, 2, 2}};
static const struct neighbor_self b6 = {.is_ipv6 = true,
	.vlan = 0x123,
	.mac = {{2, 0, 0, 0, 0, 0xb0}},
	.addr = {0x20, 1, 0x0d, 0xb8, [13] = 0xaa, 0xbb, 0xcc}};

static struct neighbor_msg msg;
static struct packet p;
static uint8_t out[NEIGHBOR_MAX];

static void
set(const uint8_t *bytes, size_t len)
{
	p.len = 0;
	packet_put(&p, bytes, len);
}
#define SET(golden) set(golden, sizeof(golden))

// From a copy of exactly this length, so that a sanitizer sees a byte too many. A failure leaves
// msg alone.
static int
parse(void)
{
	uint8_t *copy = malloc(p.len + !p.len);
	struct neighbor_msg before = msg;

	assert_non_null(copy);
	memcpy(copy, p.b, p.len);
	int rc = neighbor_parse(copy, p.len, &msg);
	if (rc)
		assert_memory_equal(&msg, &before, sizeof(msg));
	free(copy);
	return rc;
}

// Of the ND message in p, whose IPv6 header is at L3 and whose payload ends with the frame.
static void
renew_nd(void)
{
	uint64_t sum;

	packet_set16(&p, L3 + 4, (unsigned)(p.len - L3 - 40));
	packet_set16(&p, L3 + 42, 0);
	sum = frame_checksum_add(58 + p.len - L3 - 40, p.b + L3 + 8, p.len - L3 - 8);
	packet_set16(&p, L3 + 42, (uint16_t)~frame_checksum_fold(sum));
}

static void
requests_are_those_of_the_rfcs(void **state)
{
	struct neighbor_self tagged = a6;

	(void)state;
	tagged.vlan = 0x123;
	assert_int_equal(neighbor_request(&a4, b4.addr, NULL, out), sizeof(arp_request));
	assert_memory_equal(out, arp_request, sizeof(arp_request));
	assert_int_equal(neighbor_request(&tagged, b6.addr, NULL, out), sizeof(solicitation));
	assert_memory_equal(out, solicitation, sizeof(solicitation));
	assert_int_equal(sizeof(solicitation), NEIGHBOR_MAX);
}

static void
probes_go_to_one_neighbor(void **state)
{
	struct neighbor_self tagged = a6;

	(void)state;
	tagged.vlan = 0x123;
	p.len = neighbor_request(&a4, b4.addr, &b4.mac, p.b);
	assert_memory_equal(p.b, b4.mac.b, 6);
	assert_int_equal(parse(), 0);
	assert_true(neighbor_asks_for(&msg, &b4));
	p.len = neighbor_request(&tagged, b6.addr, &b6.mac, p.b);
	assert_memory_equal(p.b, b6.mac.b, 6);
	assert_memory_equal(p.b + L3 + 24, b6.addr, 16);
	assert_int_equal(parse(), 0);
	assert_true(neighbor_asks_for(&msg, &b6));
}

static void
requests_are_read_and_answered(void **state)
{
	(void)state;
	SET(arp_request);
	assert_int_equal(parse(), 0);
	assert_false(msg.is_ipv6 || msg.is_reply || msg.is_solicited || msg.is_override);
	assert_true(msg.has_mac);
	assert_memory_equal(msg.mac.b, a4.mac.b, 6);
	assert_memory_equal(msg.from.b, a4.mac.b, 6);
	assert_memory_equal(msg.addr, a4.addr, 16);
	assert_memory_equal(msg.target, b4.addr, 16);
	assert_int_equal(neighbor_reply(&b4, &msg, out), sizeof(arp_reply));
	assert_memory_equal(out, arp_reply, sizeof(arp_reply));

	SET(solicitation);
	assert_int_equal(parse(), 0);
	assert_true(msg.is_ipv6 && msg.has_mac && !msg.is_reply);
	assert_int_equal(msg.vlan, 0x123);
	assert_memory_equal(msg.mac.b, a6.mac.b, 6);
	assert_memory_equal(msg.addr, a6.addr, 16);
	assert_memory_equal(msg.target, b6.addr, 16);
	assert_int_equal(neighbor_reply(&b6, &msg, out), sizeof(advertisement));
	assert_memory_equal(out, advertisement, sizeof(advertisement));
}

static void
replies_are_read(void **state)
{
	(void)state;
	SET(arp_reply);
	assert_int_equal(parse(), 0);
	assert_true(msg.is_reply && msg.has_mac && msg.is_solicited && msg.is_override);
	assert_memory_equal(msg.addr, b4.addr, 16);
	assert_memory_equal(msg.target, a4.addr, 16);
	assert_memory_equal(msg.mac.b, b4.mac.b, 6);

	SET(advertisement);
	assert_int_equal(parse(), 0);
	assert_true(msg.is_ipv6 && msg.is_reply && msg.has_mac && msg.is_solicited && msg.is_override);
	assert_memory_equal(msg.addr, b6.addr, 16);
	assert_memory_equal(msg.target, b6.addr, 16);
	assert_memory_equal(msg.mac.b, b6.mac.b, 6);
	// Without the option, as an answer to one who knows the MAC may be.
	p.len -= 8;
	p.b[L3 + 44] = 0x40;
	renew_nd();
	assert_int_equal(parse(), 0);
	assert_true(!msg.has_mac && msg.is_solicited && !msg.is_override);
	assert_memory_equal(msg.from.b, b6.mac.b, 6);
}

static void
only_the_asked_one_answers(void **state)
{
	struct neighbor_self other;

	(void)state;
	SET(solicitation);
	assert_int_equal(parse(), 0);
	assert_true(neighbor_asks_for(&msg, &b6));
	other = b6;
	other.vlan = 0;
	assert_false(neighbor_asks_for(&msg, &other));
	other = b6;
	other.addr[15]++;
	assert_false(neighbor_asks_for(&msg, &other));
	assert_false(neighbor_asks_for(&msg, &b4));
	SET(advertisement);
	assert_int_equal(parse(), 0);
	assert_false(neighbor_asks_for(&msg, &b6));
	SET(arp_request);
	assert_int_equal(parse(), 0);
	assert_true(neighbor_asks_for(&msg, &b4));
	assert_false(neighbor_asks_for(&msg, &a4));
}

static void
announcements_are_those_of_the_rfcs(void **state)
{
	struct neighbor_self tagged = a4;

	(void)state;
	tagged.vlan = 0x123;
	assert_int_equal(neighbor_announce(&tagged, out), sizeof(arp_announcement));
	assert_memory_equal(out, arp_announcement, sizeof(arp_announcement));
	SET(arp_announcement);
	assert_int_equal(parse(), 0);
	assert_int_equal(neighbor_announce(&a6, out), sizeof(announcement));
	assert_memory_equal(out, announcement, sizeof(announcement));
	SET(announcement);
	assert_int_equal(parse(), 0);
	assert_true(msg.is_reply && msg.is_override && !msg.is_solicited);
}

static void
who_has_no_address_yet_is_answered(void **state)
{
	(void)state;
	// Everybody hears it (RFC 4861, section 7.2.4).
	SET(dad);
	assert_int_equal(parse(), 0);
	assert_true(neighbor_asks_for(&msg, &a6) && !msg.has_mac);
	assert_int_equal(neighbor_reply(&a6, &msg, out), sizeof(announcement));
	assert_memory_equal(out, announcement, sizeof(announcement));
	// RFC 5227's probe.
	SET(arp_request);
	memset(p.b + 28, 0, 4);
	assert_int_equal(parse(), 0);
	assert_true(neighbor_asks_for(&msg, &b4));
	assert_int_equal(neighbor_reply(&b4, &msg, out), sizeof(arp_reply));
	assert_memory_equal(out + 38, "\0\0\0", 4);
}

static void
solicitation_without_mac_is_answered_to_where_it_came_from(void **state)
{
	(void)state;
	SET(solicitation);
	p.len -= 8;
	renew_nd();
	p.b[11] = 0x77;
	assert_int_equal(parse(), 0);
	assert_false(msg.has_mac);
	assert_int_equal(neighbor_reply(&b6, &msg, out), NEIGHBOR_MAX);
	assert_int_equal(out[5], 0x77);
}

static void
every_truncation_is_refused(void **state)
{
	static const struct {
		const uint8_t *bytes;
		size_t len, known; // from where on it is seen what it is
	} cases[] = {
		{arp_request, sizeof(arp_request), 14},
		{arp_reply, sizeof(arp_reply), 14},
		{solicitation, sizeof(solicitation), L3 + 41},
		{advertisement, sizeof(advertisement), L3 + 41},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t len = 0; len < cases[i].len; len++) {
			set(cases[i].bytes, len);
			assert_int_equal(parse(), len < cases[i].known ? -ENOMSG : -EBADMSG);
		}
		set(cases[i].bytes, cases[i].len);
		packet_put(&p, NULL, 20); // padding
		assert_int_equal(parse(), 0);
	}
}

static void
other_arp_is_handed_on_or_refused(void **state)
{
	static const struct {
		unsigned offset;
		uint8_t value;
		int rc;
	} cases[] = {
		{15, 6, -ENOMSG}, // IEEE 802
		{16, 0x86, -ENOMSG}, // protocol
		{18, 8, -ENOMSG}, // lengths
		{19, 16, -ENOMSG},
		{21, 0, -ENOMSG}, // operations
		{21, 3, -ENOMSG},
		{20, 1, -ENOMSG},
		{22, 1, -EBADMSG}, // sender's MAC is a group's
		{6, 1, -EBADMSG}, // as is Ethernet's
		{28, 224, -EBADMSG}, // sender's address is one
		{28, 255, -EBADMSG},
		{28, 127, -EBADMSG},
		{28, 0, -EBADMSG},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		SET(arp_request);
		p.b[cases[i].offset] = cases[i].value;
		assert_int_equal(parse(), cases[i].rc);
	}
	SET(arp_request);
	memset(p.b + 22, 0, 6); // no MAC
	assert_int_equal(parse(), -EBADMSG);
	SET(arp_reply);
	memset(p.b + 28, 0, 4); // no host's
	assert_int_equal(parse(), -EBADMSG);
}

static void
nd_that_rfc_4861_forbids_is_refused(void **state)
{
	static const struct {
		unsigned offset; // from the IPv6 header
		uint8_t value;
	} of_both[] = {
		{7, 254}, // hop limit
		{41, 1}, // code
		{48, 0xff}, // target is a group
		{8, 0xff}, // source is one
		{65, 0}, // option without length
		{65, 2}, // option beyond the message
	};

	(void)state;
	for (unsigned i = 0; i < 2 * sizeof(of_both) / sizeof(of_both[0]); i++) {
		if (i % 2)
			SET(solicitation);
		else
			SET(advertisement);
		p.b[L3 + of_both[i / 2].offset] = of_both[i / 2].value;
		renew_nd();
		assert_int_equal(parse(), -EBADMSG);
	}
	// No host's target.
	SET(solicitation);
	memset(p.b + L3 + 48, 0, 16);
	renew_nd();
	assert_int_equal(parse(), -EBADMSG);
	// Solicited, yet to all.
	SET(advertisement);
	memcpy(p.b + L3 + 24, "\xff\2\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
	renew_nd();
	assert_int_equal(parse(), -EBADMSG);
	p.b[L3 + 44] = 0x20;
	renew_nd();
	assert_int_equal(parse(), 0);
	// From no host.
	memset(p.b + L3 + 8, 0, 16);
	renew_nd();
	assert_int_equal(parse(), -EBADMSG);
	// A host without an address names no MAC, and asks the group.
	SET(solicitation);
	memset(p.b + L3 + 8, 0, 16);
	renew_nd();
	assert_int_equal(parse(), -EBADMSG);
	p.len -= 8;
	renew_nd();
	assert_int_equal(parse(), 0);
	memcpy(p.b + L3 + 24, TARGET6, 16);
	renew_nd();
	assert_int_equal(parse(), -EBADMSG);
	// Another extension header, another type.
	SET(solicitation);
	p.b[L3 + 6] = 60;
	assert_int_equal(parse(), -ENOMSG);
	SET(solicitation);
	p.b[L3 + 40] = 134;
	assert_int_equal(parse(), -ENOMSG);
	SET(solicitation);
	p.b[L3] = 0x40;
	assert_int_equal(parse(), -ENOMSG);
}

static void
every_wrong_bit_of_nd_is_noticed(void **state)
{
	(void)state;
	for (unsigned bit = 0; bit < (sizeof(solicitation) - L3 - 8) * 8; bit++) {
		SET(solicitation);
		p.b[L3 + 8 + bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(parse(), 0);
	}
}

static void
mac_options_are_one_of_eight_bytes(void **state)
{
	static const uint8_t nonce[8] = {14, 1, 1, 2, 3, 4, 5, 6};

	(void)state;
	// Others are skipped, the limit of them included.
	SET(solicitation);
	for (unsigned i = 1; i < FRAME_MAX_ND_OPTIONS; i++)
		packet_put(&p, nonce, sizeof(nonce));
	renew_nd();
	assert_int_equal(parse(), 0);
	assert_true(msg.has_mac);
	packet_put(&p, nonce, sizeof(nonce));
	renew_nd();
	assert_int_equal(parse(), -EBADMSG);
	// An advertisement's is no solicitation's.
	SET(solicitation);
	p.b[L3 + 64] = 2;
	renew_nd();
	assert_int_equal(parse(), 0);
	assert_false(msg.has_mac);
	// Twice.
	SET(solicitation);
	packet_put(&p, solicitation + L3 + 64, 8);
	renew_nd();
	assert_int_equal(parse(), -EBADMSG);
	// Of a group; longer; a rest that is none.
	SET(solicitation);
	p.b[L3 + 66] |= 1;
	renew_nd();
	assert_int_equal(parse(), -EBADMSG);
	SET(solicitation);
	p.b[L3 + 65] = 2;
	packet_put(&p, NULL, 8);
	renew_nd();
	assert_int_equal(parse(), -EBADMSG);
	SET(solicitation);
	packet_put(&p, "\x0e", 1);
	renew_nd();
	assert_int_equal(parse(), -EBADMSG);
}

static int
echo(const struct neighbor_self *self)
{
	uint8_t *copy = malloc(p.len + !p.len);

	assert_non_null(copy);
	memcpy(copy, p.b, p.len);
	int rc = neighbor_echo(copy, p.len, self);
	if (rc)
		assert_memory_equal(copy, p.b, p.len);
	memcpy(p.b, copy, p.len);
	free(copy);
	return rc;
}

static void
renew_ipv4(void)
{
	packet_set16(&p, 24, 0);
	packet_set16(&p, 24, (uint16_t)~frame_checksum_fold(frame_checksum_add(0, p.b + 14, 20)));
}

static void
pings_are_answered_in_place(void **state)
{
	struct neighbor_self tagged = a6;

	(void)state;
	tagged.vlan = 0x123;
	SET(ping4);
	packet_put(&p, "padding", 7);
	assert_int_equal(echo(&a4), 0);
	assert_memory_equal(p.b, pong4, sizeof(pong4));
	assert_memory_equal(p.b + sizeof(pong4), "padding", 7);
	SET(ping6);
	assert_int_equal(echo(&tagged), 0);
	assert_memory_equal(p.b, pong6, sizeof(pong6));
	// Without data.
	set(ping6, L3 + 48);
	renew_nd();
	assert_int_equal(echo(&tagged), 0);
	set(ping6, L3 + 47);
	renew_nd();
	assert_int_equal(echo(&tagged), -ENOMSG);
	packet_put(&p, NULL, 1); // as padding
	assert_int_equal(echo(&tagged), -EBADMSG);
}

static void
pings_of_any_content_get_right_checksums(void **state)
{
	struct neighbor_self self = a4;
	uint64_t seed = unit_seed();

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		size_t len = 8 + random_below(&seed, 64);

		set(ping4, 34);
		packet_put(&p, "\x08\0\0", 4);
		for (size_t n = 4; n < len; n++)
			packet_put8(&p, (unsigned)random_below(&seed, i % 2 ? 256 : 2) * 0xff);
		packet_set16(&p, 16, (unsigned)(p.len - 14));
		renew_ipv4();
		packet_set16(&p, 36, (uint16_t)~frame_checksum_fold(frame_checksum_add(0, p.b + 34, len)));
		assert_int_equal(echo(&self), 0);
		assert_int_equal(frame_checksum_fold(frame_checksum_add(0, p.b + 34, len)), 0xffff);
		assert_int_equal(frame_checksum_fold(frame_checksum_add(0, p.b + 14, 20)), 0xffff);
	}
}

static void
other_pings_are_not_answered(void **state)
{
	static const struct {
		unsigned offset;
		uint8_t value;
	} cases[] = {
		{5, 0xa1}, // another MAC
		{6, 1}, // from a group
		{12, 0x86}, // type
		{14, 0x46}, // options
		{14, 0x65}, {20, 0x20}, // first fragment
		{21, 1}, // later one
		{23, 17}, // UDP
		{26, 224}, // from a group
		{26, 0}, {26, 127}, {33, 2}, // to another
		{34, 0}, // a reply
		{35, 1}, // code
	};
	struct neighbor_self other = a4;

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		SET(ping4);
		p.b[cases[i].offset] = cases[i].value;
		assert_int_equal(echo(&a4), -ENOMSG);
	}
	SET(ping4);
	other.vlan = 5;
	assert_int_equal(echo(&other), -ENOMSG);
	assert_int_equal(echo(&a6), -ENOMSG);

	static const unsigned of_v6[] = {L3, L3 + 6, L3 + 8, L3 + 39, L3 + 40, L3 + 41};
	other = a6;
	other.vlan = 0x123;
	for (unsigned i = 0; i < sizeof(of_v6) / sizeof(of_v6[0]); i++) {
		SET(ping6);
		p.b[of_v6[i]] = of_v6[i] == L3 + 8 ? 0xff : (uint8_t)(p.b[of_v6[i]] + 0x10);
		assert_int_equal(echo(&other), -ENOMSG);
	}
	SET(ping6);
	assert_int_equal(echo(&a6), -ENOMSG); // not its VLAN
	assert_int_equal(echo(&a4), -ENOMSG);
}

static void
broken_pings_are_refused(void **state)
{
	struct neighbor_self tagged = a6;

	(void)state;
	tagged.vlan = 0x123;
	for (size_t len = 0; len < sizeof(ping4); len++) {
		set(ping4, len);
		assert_int_equal(echo(&a4), len < 14 + 20 + 8 ? -ENOMSG : -EBADMSG);
	}
	for (size_t len = 0; len < sizeof(ping6); len++) {
		set(ping6, len);
		assert_int_equal(echo(&tagged), len < L3 + 40 + 8 ? -ENOMSG : -EBADMSG);
	}
	SET(ping4);
	p.b[22]--; // TTL, not in the checksum
	assert_int_equal(echo(&a4), -EBADMSG);
	SET(ping4);
	p.b[sizeof(ping4) - 1] ^= 1;
	assert_int_equal(echo(&a4), -EBADMSG);
	SET(ping4);
	packet_set16(&p, 16, 27);
	renew_ipv4();
	assert_int_equal(echo(&a4), -EBADMSG);
	SET(ping6);
	p.b[sizeof(ping6) - 1] ^= 1;
	assert_int_equal(echo(&tagged), -EBADMSG);
	SET(ping6);
	packet_set16(&p, L3 + 4, 7);
	assert_int_equal(echo(&tagged), -EBADMSG);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_those_of_the_rfcs),
		cmocka_unit_test(probes_go_to_one_neighbor),
		cmocka_unit_test(requests_are_read_and_answered),
		cmocka_unit_test(replies_are_read),
		cmocka_unit_test(only_the_asked_one_answers),
		cmocka_unit_test(announcements_are_those_of_the_rfcs),
		cmocka_unit_test(who_has_no_address_yet_is_answered),
		cmocka_unit_test(solicitation_without_mac_is_answered_to_where_it_came_from),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(other_arp_is_handed_on_or_refused),
		cmocka_unit_test(nd_that_rfc_4861_forbids_is_refused),
		cmocka_unit_test(every_wrong_bit_of_nd_is_noticed),
		cmocka_unit_test(mac_options_are_one_of_eight_bytes),
		cmocka_unit_test(pings_are_answered_in_place),
		cmocka_unit_test(pings_of_any_content_get_right_checksums),
		cmocka_unit_test(other_pings_are_not_answered),
		cmocka_unit_test(broken_pings_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
