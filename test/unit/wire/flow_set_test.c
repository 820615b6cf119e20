// Headers that a rule writes: afterwards the frame is as if its sender had written them. Random
// packets and rules; checksums are computed in full.
#include "../unit.h"
#include "packet.h"
#include "rtvs/flow_set.h"
#include "rtvs/frame.h"
#include "rtvs/random.h"

#include <errno.h>

#define SRC UINT64_C(0x02a00000000b)
#define TCP 6
#define UDP 17
#define ICMP6 58
#define SCTP 132
#define DCCP 33
#define N_ROUNDS 20000

static struct packet p;

// Of an L4 header that begins at l4; its field is 0, or the pseudo header's sum.
static uint64_t
pseudo_sum(size_t l4, unsigned proto)
{
	bool is_v6 = p.b[p.l3] >> 4 == 6;

	return frame_checksum_add(proto + (p.len - l4), p.b + p.l3 + (is_v6 ? 8 : 12), is_v6 ? 32 : 8);
}

static size_t
checksum_at(size_t l4, unsigned proto)
{
	return l4 + (proto == TCP ? 16 : proto == UDP ? 6 : 2);
}

static void
put_checksums(size_t l4, unsigned proto, bool is_partial)
{
	size_t at = checksum_at(l4, proto);
	uint64_t sum = pseudo_sum(l4, proto);

	packet_set16(&p, at, 0);
	packet_set16(&p, at,
		is_partial ? frame_checksum_fold(sum) :
			     frame_checksum_finish(frame_checksum_add(sum, p.b + l4, p.len - l4)));
	if (p.b[p.l3] >> 4 == 4) {
		packet_set16(&p, p.l3 + 10, 0);
		packet_set16(&p, p.l3 + 10, frame_checksum_finish(frame_checksum_add(0, p.b + p.l3, 20)));
	}
}

static void
put_random(uint64_t *r, size_t n)
{
	while (n--)
		packet_put8(&p, (unsigned)random_below(r, 4) ? (unsigned)random_below(r, 256) : 0);
}

// A packet with its checksums. Returns where its L4 header begins.
static size_t
make(uint64_t *r, bool is_v6, unsigned proto, bool is_tagged, bool is_partial)
{
	uint8_t src[16];
	size_t l4;

	packet_ethernet(&p, SRC);
	if (is_tagged) {
		packet_put16(&p, 0x8100);
		packet_put16(&p, (unsigned)random_below(r, 65536));
	}
	for (unsigned i = 0; i < sizeof(src); i++)
		src[i] = (uint8_t)random_below(r, 256);
	if (is_v6)
		packet_ipv6(&p, src, proto);
	else
		packet_ipv4(&p, (const char *)src, proto);
	l4 = p.len;
	put_random(r, 20 + (size_t)random_below(r, 30));
	if (proto == ICMP6)
		p.b[l4] = 128; // an echo request has no more headers
	packet_end(&p);
	put_checksums(l4, proto, is_partial);
	return l4;
}

static struct flow_set
random_set(uint64_t *r)
{
	struct flow_set set = {0};
	uint8_t *mask = (uint8_t *)&set.mask, *value = (uint8_t *)&set.value;

	for (size_t i = 0; i < sizeof(set.mask); i++) {
		mask[i] = (uint8_t)(random_below(r, 3) ? 0 : random_below(r, 2) ? 255 : random_below(r, 256));
		value[i] = (uint8_t)random_below(r, 256);
	}
	set.mask.in = set.mask.ether_type = set.mask.tcp_flags = 0;
	set.mask.ip_proto = set.mask.ip_frag = 0;
	set.mask.unused = 0;
	set.mask.vlan &= (uint16_t)~htobe16(FLOW_KEY_VLAN_PRESENT);
	for (unsigned i = 0; i < FLOW_KEY_WORDS; i++)
		set.value.word[i] &= set.mask.word[i];
	assert_int_equal(flow_set_check(&set), 0);
	return set;
}

// What the fields of a frame become, by its key: those that it does not have stay 0.
static struct flow_key
expected_key(const struct flow_set *set, const struct flow_key *before, bool is_v6, bool has_ports)
{
	struct flow_key key = *before, mask = set->mask;

	if (!before->vlan)
		mask.vlan = 0;
	if (!is_v6) {
		memset(mask.ip_src + 4, 0, 12);
		memset(mask.ip_dst + 4, 0, 12);
	}
	if (!has_ports)
		mask.l4_src = mask.l4_dst = 0;
	for (unsigned i = 0; i < FLOW_KEY_WORDS; i++)
		key.word[i] = (key.word[i] & ~mask.word[i]) | (set->value.word[i] & mask.word[i]);
	return key;
}

static void
frames_are_as_if_their_sender_had_written_them(void **state)
{
	static const unsigned protos[] = {TCP, UDP, ICMP6};
	static uint8_t written[sizeof(p.b)];
	uint64_t random = 5, *r = &random;

	(void)state;
	for (unsigned round = 0; round < N_ROUNDS; round++) {
		unsigned proto = protos[random_below(r, 3)];
		bool is_v6 = proto == ICMP6 || random_below(r, 2), is_tagged = random_below(r, 2),
		     is_partial = random_below(r, 2);
		size_t l4 = make(r, is_v6, proto, is_tagged, is_partial);
		struct flow_set set = random_set(r);
		struct flow_key before, after, expected;

		flow_key_read(p.b, p.len, p.len, 0, &before);
		assert_true(flow_set_apply(&set, p.b, p.len, p.len, is_partial));
		flow_key_read(p.b, p.len, p.len, 0, &after);
		expected = expected_key(&set, &before, is_v6, proto != ICMP6);
		assert_memory_equal(&after, &expected, sizeof(after));
		memcpy(written, p.b, p.len);
		put_checksums(l4, proto, is_partial);
		// Both zeros of one's complement are right in a partial sum.
		if (is_partial && p.b[checksum_at(l4, proto)] == p.b[checksum_at(l4, proto) + 1] &&
			(p.b[checksum_at(l4, proto)] == 0 || p.b[checksum_at(l4, proto)] == 255))
			continue;
		assert_memory_equal(written, p.b, p.len);
	}
}

static struct flow_set
set_all(void)
{
	uint64_t random = 9;
	struct flow_set set = random_set(&random);

	memset(set.mask.ip_src, 0xff, 16);
	memset(set.mask.ip_dst, 0xff, 16);
	set.mask.l4_src = set.mask.l4_dst = UINT16_MAX;
	return set;
}

static void
udp_without_a_checksum_stays_so(void **state)
{
	uint64_t random = 6;
	size_t l4 = make(&random, false, UDP, false, false);
	struct flow_set set = set_all();

	(void)state;
	packet_set16(&p, l4 + 6, 0);
	assert_true(flow_set_apply(&set, p.b, p.len, p.len, false));
	assert_int_equal(p.b[l4 + 6] | p.b[l4 + 7], 0);
}

// And none is computed to the value that says so.
static void
udp_never_gets_a_checksum_of_0(void **state)
{
	uint64_t random = 7;
	size_t l4 = make(&random, false, UDP, false, false);
	struct flow_set set = {.mask = {.l4_src = UINT16_MAX}};
	uint16_t sum = (uint16_t)(p.b[l4 + 6] << 8 | p.b[l4 + 7]), port = (uint16_t)(p.b[l4] << 8 | p.b[l4 + 1]);

	(void)state;
	// The port by which the sum of all would be 0xffff.
	set.value.l4_src = htobe16(frame_checksum_fold((uint64_t)port + sum));
	assert_true(flow_set_apply(&set, p.b, p.len, p.len, false));
	assert_int_equal(p.b[l4 + 6] << 8 | p.b[l4 + 7], 0xffff);
}

// The first fragment has the checksum, of which the addresses are a part.
static void
later_fragments_have_no_ports(void **state)
{
	uint64_t random = 8;
	size_t l4 = make(&random, false, UDP, false, false);
	struct flow_set set = set_all();
	struct packet before;

	(void)state;
	packet_set16(&p, p.l3 + 6, 1);
	before = p;
	assert_true(flow_set_apply(&set, p.b, p.len, p.len, false));
	assert_memory_equal(p.b + l4, before.b + l4, p.len - l4);
	assert_memory_equal(p.b + p.l3 + 12, set.value.ip_src, 4);
}

static void
assert_refused(const struct flow_set *set)
{
	struct packet before = p;

	assert_false(flow_set_apply(set, p.b, p.len, p.len, false));
	assert_memory_equal(p.b, before.b, p.len);
}

static void
what_would_be_wrong_is_refused(void **state)
{
	static const struct {
		unsigned proto;
		bool takes_addresses;
	} cases[] = {{SCTP, true}, {DCCP, false}, {136, false}};
	const struct flow_set ports = {.mask = {.l4_dst = UINT16_MAX}}, address = {.mask = {.ip_dst = {255}}},
			      ethernet = {.mask = {.eth_src = {255}}};
	uint64_t random = 9;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)make(&random, false, UDP, false, false);
		p.b[p.l3 + 9] = (uint8_t)cases[i].proto;
		assert_refused(&ports);
		if (!cases[i].takes_addresses)
			assert_refused(&address);
		assert_true(cases[i].takes_addresses == flow_set_apply(&address, p.b, p.len, p.len, false));
		assert_true(flow_set_apply(&ethernet, p.b, p.len, p.len, false));
	}
	// A first fragment without the checksum; a packet that is longer than its frame; no frame.
	(void)make(&random, false, TCP, false, false);
	p.len = p.l3 + 20 + 16;
	packet_end(&p);
	assert_refused(&ports);
	assert_refused(&address);
	packet_set16(&p, p.l3 + 2, 2000);
	assert_refused(&ports);
	assert_true(flow_set_apply(&ethernet, p.b, p.len, p.len, false));
	p.len = 13;
	assert_refused(&ethernet);
}

static void
dst_behind_a_routing_header_is_refused(void **state)
{
	static const uint8_t v6[16] = {0x20, 1};
	const struct flow_set dst = {.mask = {.ip_dst = {255}}}, src = {.mask = {.ip_src = {255}}};

	(void)state;
	packet_ethernet(&p, SRC);
	packet_ipv6(&p, v6, 43);
	packet_put(&p, "\x11\0\4\0\0\0\0\0\0\x35\0\x36\0\x08\0\0", 16);
	packet_end(&p);
	assert_refused(&dst);
	assert_true(flow_set_apply(&src, p.b, p.len, p.len, false));
}

static void
fields_that_cannot_be_set_are_refused(void **state)
{
	static const struct flow_key masks[] = {
		{.in = 1}, {.ether_type = 1}, {.tcp_flags = 1}, {.ip_proto = 1}, {.ip_frag = 1}, {.unused = 1}};
	struct flow_set set = {.value = {.l4_src = 1}};

	(void)state;
	assert_int_equal(flow_set_check(&set), -EINVAL); // outside the mask
	for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
		set = (struct flow_set){.mask = masks[i]};
		assert_int_equal(flow_set_check(&set), -EINVAL);
	}
	set = (struct flow_set){.mask = {.vlan = htobe16(FLOW_KEY_VLAN_PRESENT)}};
	assert_int_equal(flow_set_check(&set), -EINVAL);
	set.mask.vlan = htobe16(0xefff);
	assert_int_equal(flow_set_check(&set), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_are_as_if_their_sender_had_written_them),
		cmocka_unit_test(udp_without_a_checksum_stays_so),
		cmocka_unit_test(udp_never_gets_a_checksum_of_0),
		cmocka_unit_test(later_fragments_have_no_ports),
		cmocka_unit_test(what_would_be_wrong_is_refused),
		cmocka_unit_test(dst_behind_a_routing_header_is_refused),
		cmocka_unit_test(fields_that_cannot_be_set_are_refused),
	};

	return cmocka_run_group_tests_name("wire/flow_set", tests, NULL, NULL);
}
