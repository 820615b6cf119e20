// Geneve: the bytes that RFC 8926 asks for, round trips, each refusal, and that nothing outside a
// packet counts.
#include "../unit.h"
#include "packet.h"
#include "rtvs/frame.h"
#include "rtvs/geneve.h"
#include "rtvs/random.h"

#include <errno.h>
#include <stdlib.h>

#define NOW_NS UINT64_C(1763719200500000000)
#define OUTER_V4 34 // offset of UDP, untagged

// Put together by hand from the RFCs, not by the code under test.
// clang-format off
static const uint8_t golden_ipv4[] = {
	0x02, 0x00, 0x00, 0x00, 0x00, 0xb0, 0x02, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x08, 0x00, 0x45, 0xb9,
	0x00, 0x5b, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb5, 0xd5, 0xc0, 0x00, 0x02, 0x01, 0xc0, 0x00,
	0x02, 0x02, 0xc1, 0x23, 0x17, 0xc1, 0x00, 0x47, 0x00, 0x00, 0x09, 0x00, 0x65, 0x58, 0xab, 0xcd,
	0xef, 0x00, 0xff, 0xf5, 0x01, 0x08, 0x80, 0x00, 0xb0, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06,
	0x07, 0x08, 0x69, 0x20, 0x38, 0x20, 0x07, 0x5b, 0xcd, 0x15, 0x00, 0x00, 0x05, 0xdc, 0x00, 0x1e,
	0x84, 0x80, 0x00, 0x07, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x02, 0x00, 0x00, 0x00,
	0x00, 0x01, 0x88, 0xb5, 0x68, 0x65, 0x6c, 0x6c, 0x6f,
};
static const uint8_t golden_ipv6[] = {
	0x02, 0x00, 0x00, 0x00, 0x00, 0xb0, 0x02, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x81, 0x00, 0x01, 0x23,
	0x86, 0xdd, 0x6b, 0x90, 0xc1, 0x23, 0x00, 0x47, 0x11, 0x40, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0xc1, 0x23, 0x17, 0xc1, 0x00, 0x47,
	0x00, 0x00, 0x09, 0x00, 0x65, 0x58, 0xab, 0xcd, 0xef, 0x00, 0xff, 0xf5, 0x01, 0x08, 0x80, 0x00,
	0xb0, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x69, 0x20, 0x38, 0x20, 0x07, 0x5b,
	0xcd, 0x15, 0x00, 0x00, 0x05, 0xdc, 0x00, 0x1e, 0x84, 0x80, 0x00, 0x07, 0x00, 0x00, 0x02, 0x00,
	0x00, 0x00, 0x00, 0x02, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x88, 0xb5, 0x68, 0x65, 0x6c, 0x6c,
	0x6f,
};
static const uint8_t golden_plain[] = {
	0x02, 0x00, 0x00, 0x00, 0x00, 0xb0, 0x02, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x08, 0x00, 0x45, 0x00,
	0x00, 0x37, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb6, 0xb2, 0xc0, 0x00, 0x02, 0x01, 0xc0, 0x00,
	0x02, 0x02, 0xff, 0xff, 0x17, 0xc1, 0x00, 0x23, 0x00, 0x00, 0x00, 0x00, 0x65, 0x58, 0x00, 0x00,
	0x01, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x88, 0xb5,
	0x68, 0x65, 0x6c, 0x6c, 0x6f,
};
// clang-format on

static const struct geneve_meta golden_meta = {
	UINT64_C(0x0102030405060708), UINT64_C(1763719200123456789), 1500, 2000000, 7};
static const uint8_t golden_frame[] = "\2\0\0\0\0\2\2\0\0\0\0\1\x88\xb5hello";
#define GOLDEN_FRAME_LEN (sizeof(golden_frame) - 1)

static struct geneve_tunnel
tunnel_v4(void)
{
	return (struct geneve_tunnel){.has_meta = true,
		.hop_limit = 64,
		.option_class = GENEVE_CLASS_DEFAULT,
		.vni = 0xabcdef,
		.local_mac = {{2, 0, 0, 0, 0, 0xa0}},
		.remote_mac = {{2, 0, 0, 0, 0, 0xb0}},
		.local = {192, 0, 2, 1},
		.remote = {192, 0, 2, 2}};
}

static struct geneve_tunnel
tunnel_v6(void)
{
	struct geneve_tunnel tunnel = tunnel_v4();

	tunnel.is_ipv6 = true;
	tunnel.vlan = 0x123;
	memcpy(tunnel.local, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
	memcpy(tunnel.remote, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2", 16);
	return tunnel;
}

static struct geneve_template template;
static struct geneve_packet packet;
static struct packet p;

// p becomes the whole packet of one frame through the tunnel.
static void
push(const struct geneve_tunnel *tunnel, const uint8_t *frame, size_t len, uint16_t source_port, uint8_t tos,
	const struct geneve_meta *meta)
{
	assert_int_equal(geneve_template_init(&template, tunnel), 0);
	memset(p.b, 0xee, sizeof(p.b));
	memcpy(p.b + template.len, frame, len);
	geneve_push(&template, p.b, len, source_port, tos, meta ? meta->deadline_ns : 0, meta ? meta->flow : 0);
	if (meta)
		geneve_patch_meta(p.b, &template, meta->seq, meta->time_ns, meta->residence_ns, false);
	p.len = template.len + len;
	p.l3 = template.l3_offset;
}

static void
push_golden(const struct geneve_tunnel *tunnel)
{
	push(tunnel, golden_frame, GOLDEN_FRAME_LEN, 0xc123, 0xb9, &golden_meta);
}

static enum geneve_result
parse(void)
{
	// Exactly the packet's length on the heap, so that a sanitizer sees a byte too many.
	uint8_t *copy = malloc(p.len + !p.len);

	assert_non_null(copy);
	memcpy(copy, p.b, p.len);
	enum geneve_result result = geneve_parse(copy, p.len, NOW_NS, GENEVE_CLASS_DEFAULT, &packet);
	if (!result)
		packet.src = p.b + (packet.src - copy), packet.dst = p.b + (packet.dst - copy);
	free(copy);
	return result;
}

static uint16_t
get16(size_t offset)
{
	return (uint16_t)(p.b[offset] << 8 | p.b[offset + 1]);
}

static void
renew_ipv4_checksum(void)
{
	size_t len = (size_t)(p.b[p.l3] & 15) * 4;

	packet_set16(&p, p.l3 + 10, 0);
	packet_set16(&p, p.l3 + 10, (uint16_t)~frame_checksum_fold(frame_checksum_add(0, p.b + p.l3, len)));
}

// The outer lengths after the packet was cut or stretched by hand.
static void
renew_lengths(void)
{
	packet_end(&p);
	packet_set16(&p, template.udp_offset + 4u, (unsigned)(p.len - template.udp_offset));
	if (!template.is_ipv6)
		renew_ipv4_checksum();
}

static void
renew_udp_checksum(void)
{
	size_t udp = template.udp_offset, n = template.is_ipv6 ? 32 : 8;
	uint64_t sum = frame_checksum_add(17u + get16(udp + 4), p.b + udp - n, n);

	packet_set16(&p, udp + 6, 0);
	packet_set16(&p, udp + 6, frame_checksum_finish(frame_checksum_add(sum, p.b + udp, get16(udp + 4))));
}

// Options of n bytes between header and frame, ours left out.
static void
push_options(const void *options, size_t n)
{
	struct geneve_tunnel tunnel = tunnel_v4();

	tunnel.has_meta = false;
	push(&tunnel, golden_frame, GOLDEN_FRAME_LEN, 0xc123, 0, NULL);
	p.len = template.len;
	packet_put(&p, options, n);
	packet_put(&p, golden_frame, GOLDEN_FRAME_LEN);
	p.b[template.udp_offset + 8] = (uint8_t)(n / 4);
	renew_lengths();
}

static void
packets_are_those_of_the_rfcs(void **state)
{
	struct geneve_tunnel tunnel = tunnel_v4();

	(void)state;
	push_golden(&tunnel);
	assert_int_equal(p.len, sizeof(golden_ipv4));
	assert_memory_equal(p.b, golden_ipv4, p.len);
	tunnel = tunnel_v6();
	push_golden(&tunnel);
	assert_int_equal(p.len, sizeof(golden_ipv6));
	assert_memory_equal(p.b, golden_ipv6, p.len);
	tunnel = tunnel_v4();
	tunnel.has_meta = false;
	tunnel.vni = 1;
	push(&tunnel, golden_frame, GOLDEN_FRAME_LEN, 0xffff, 0, NULL);
	assert_int_equal(p.len, sizeof(golden_plain));
	assert_memory_equal(p.b, golden_plain, p.len);
}

static void
golden_packets_are_read(void **state)
{
	(void)state;
	p.len = 0;
	packet_put(&p, golden_ipv4, sizeof(golden_ipv4));
	assert_int_equal(parse(), GENEVE_OK);
	assert_false(packet.is_ipv6);
	assert_memory_equal(packet.src, "\xc0\0\2\1", 4);
	assert_memory_equal(packet.dst, "\xc0\0\2\2", 4);
	assert_int_equal(packet.tos, 0xb9);
	assert_int_equal(packet.vlan, 0);
	assert_int_equal(packet.vni, 0xabcdef);
	assert_int_equal(packet.source_port, 0xc123);
	assert_int_equal(packet.n_options, 1);
	assert_true(packet.has_meta);
	assert_true(packet.meta.seq == golden_meta.seq && packet.meta.time_ns == golden_meta.time_ns);
	assert_int_equal(packet.meta.residence_ns, 1500);
	assert_int_equal(packet.meta.deadline_ns, 2000000);
	assert_int_equal(packet.meta.flow, 7);
	assert_int_equal(packet.inner_len, GOLDEN_FRAME_LEN);
	assert_memory_equal(p.b + packet.inner_offset, golden_frame, GOLDEN_FRAME_LEN);

	p.len = 0;
	packet_put(&p, golden_ipv6, sizeof(golden_ipv6));
	assert_int_equal(parse(), GENEVE_OK);
	assert_true(packet.is_ipv6);
	assert_int_equal(packet.src[15], 1);
	assert_int_equal(packet.dst[15], 2);
	assert_int_equal(packet.vlan, 0x123);
	assert_int_equal(packet.tos, 0xb9);

	p.len = 0;
	packet_put(&p, golden_plain, sizeof(golden_plain));
	assert_int_equal(parse(), GENEVE_OK);
	assert_false(packet.has_meta);
	assert_int_equal(packet.n_options, 0);
	assert_int_equal(packet.vni, 1);
}

static void
random_tunnel(uint64_t *seed, struct geneve_tunnel *ret_tunnel)
{
	uint8_t *bytes = (uint8_t *)ret_tunnel->local;

	*ret_tunnel = (struct geneve_tunnel){.is_ipv6 = random_below(seed, 2),
		.has_meta = random_below(seed, 2),
		.hop_limit = (uint8_t)(1 + random_below(seed, 255)),
		.vlan = (uint16_t)(random_below(seed, 2) * random_below(seed, RTVS_VLAN_MAX + 1)),
		.option_class = (uint16_t)random_next(seed),
		.vni = (uint32_t)random_below(seed, GENEVE_VNI_MAX + 1)};
	for (size_t i = 0; i < sizeof(ret_tunnel->local); i++) {
		bytes[i] = (uint8_t)random_next(seed);
		ret_tunnel->remote[i] = (uint8_t)random_next(seed);
	}
}

static void
what_is_pushed_is_parsed(void **state)
{
	static uint8_t frame[GENEVE_INNER_MAX];
	uint64_t seed = unit_seed();

	(void)state;
	for (unsigned i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)random_next(&seed);
	for (unsigned i = 0; i < 30000; i++) {
		struct geneve_tunnel tunnel;
		struct geneve_meta meta = {random_wide(&seed, 64),
			NOW_NS + random_wide(&seed, 60) % (UINT64_C(1) << 60), (uint32_t)random_wide(&seed, 32),
			(uint32_t)random_wide(&seed, 32), (uint16_t)random_next(&seed)};
		size_t len = GENEVE_INNER_MIN +
			random_below(&seed, i % 100 ? 1500 : GENEVE_INNER_MAX - GENEVE_INNER_MIN + 1);
		uint8_t tos = (uint8_t)random_next(&seed);
		uint16_t source_port = (uint16_t)random_next(&seed);

		random_tunnel(&seed, &tunnel);
		push(&tunnel, frame, len, source_port, tos, &meta);
		assert_int_equal(p.b[p.len], 0xee);
		assert_int_equal(geneve_parse(p.b, p.len, meta.time_ns, tunnel.option_class, &packet), GENEVE_OK);
		assert_int_equal(packet.is_ipv6, tunnel.is_ipv6);
		assert_memory_equal(packet.src, tunnel.local, tunnel.is_ipv6 ? 16 : 4);
		assert_memory_equal(packet.dst, tunnel.remote, tunnel.is_ipv6 ? 16 : 4);
		assert_int_equal(packet.vlan, tunnel.vlan);
		assert_int_equal(packet.vni, tunnel.vni);
		assert_int_equal(packet.tos, tos);
		assert_int_equal(packet.source_port, source_port);
		assert_int_equal(packet.has_meta, tunnel.has_meta);
		if (tunnel.has_meta)
			assert_memory_equal(&packet.meta, &meta, offsetof(struct geneve_meta, flow) + 2);
		assert_int_equal(packet.inner_len, len);
		assert_int_equal(packet.inner_offset, template.len);
		assert_memory_equal(p.b + packet.inner_offset, frame, len);
	}
}

static void
largest_frame_fits(void **state)
{
	static uint8_t frame[GENEVE_INNER_MAX];
	struct geneve_tunnel tunnel = tunnel_v4();

	(void)state;
	push(&tunnel, frame, sizeof(frame), 50000, 0, &golden_meta);
	assert_int_equal(get16(p.l3 + 2u), 65535);
	assert_int_equal(parse(), GENEVE_OK);
	assert_int_equal(packet.inner_len, GENEVE_INNER_MAX);
}

static void
template_refuses_what_has_no_bits(void **state)
{
	struct geneve_tunnel tunnel = tunnel_v4();

	(void)state;
	tunnel.vni = GENEVE_VNI_MAX;
	tunnel.vlan = RTVS_VLAN_MAX;
	tunnel.hop_limit = 1;
	assert_int_equal(geneve_template_init(&template, &tunnel), 0);
	tunnel.vni++;
	assert_int_equal(geneve_template_init(&template, &tunnel), -EINVAL);
	tunnel = tunnel_v4();
	tunnel.vlan = RTVS_VLAN_MAX + 1;
	assert_int_equal(geneve_template_init(&template, &tunnel), -EINVAL);
	tunnel = tunnel_v4();
	tunnel.hop_limit = 0;
	assert_int_equal(geneve_template_init(&template, &tunnel), -EINVAL);
}

static void
meta_is_patched_before_transmission(void **state)
{
	struct geneve_tunnel tunnel = tunnel_v6();

	(void)state;
	push_golden(&tunnel);
	geneve_patch_meta(p.b, &template, 99, NOW_NS, UINT32_MAX, false);
	assert_int_equal(parse(), GENEVE_OK);
	assert_true(packet.meta.seq == 99 && packet.meta.time_ns == NOW_NS);
	assert_int_equal(packet.meta.residence_ns, UINT32_MAX);
	assert_int_equal(packet.meta.deadline_ns, golden_meta.deadline_ns);
	assert_int_equal(packet.meta.flow, golden_meta.flow);
	geneve_patch_meta(p.b, &template, 99, NOW_NS, UINT64_C(1) << 32, false);
	assert_int_equal(parse(), GENEVE_OK);
	assert_int_equal(packet.meta.residence_ns, UINT32_MAX);

	tunnel.has_meta = false;
	push_golden(&tunnel);
	struct packet *before = malloc(sizeof(p));
	assert_non_null(before);
	*before = p;
	geneve_patch_meta(p.b, &template, 99, NOW_NS, 1, false);
	assert_memory_equal(p.b, before->b, p.len);
	free(before);
}

// The checksum is right after encapsulation, and after each time that the option was written.
static void
checksum_is_kept_right(void **state)
{
	struct geneve_tunnel tunnels[] = {tunnel_v4(), tunnel_v6()};

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		for (size_t len = 60; len < 64; len++) {
			tunnels[i].has_csum = true;
			push(&tunnels[i], golden_frame, len < GOLDEN_FRAME_LEN ? len : GOLDEN_FRAME_LEN, 0xc123, 0xb9,
				NULL);
			geneve_finish_checksum(p.b, &template, p.len - template.len);
			assert_true(get16(template.udp_offset + 6));
			assert_int_equal(parse(), GENEVE_OK);
			for (uint64_t seq = 0; seq < 100; seq++) {
				geneve_patch_meta(
					p.b, &template, seq << (seq % 60), NOW_NS + seq * 12345678, seq * 999, true);
				assert_true(get16(template.udp_offset + 6));
				assert_int_equal(parse(), GENEVE_OK);
			}
			// Left to a device the field has the pseudo-header's sum: added to the rest
			// it makes the checksum.
			push(&tunnels[i], golden_frame, GOLDEN_FRAME_LEN, 0xc123, 0xb9, &golden_meta);
			assert_int_equal(parse(), GENEVE_UDP_CHECKSUM);
			geneve_finish_checksum(p.b, &template, p.len - template.len);
			assert_int_equal(parse(), GENEVE_OK);
		}
}

static uint64_t
time_as_read(uint64_t time_ns, uint64_t near_ns)
{
	struct geneve_tunnel tunnel = tunnel_v4();
	struct geneve_meta meta = {.time_ns = time_ns};

	push(&tunnel, golden_frame, GOLDEN_FRAME_LEN, 50000, 0, &meta);
	assert_int_equal(geneve_parse(p.b, p.len, near_ns, GENEVE_CLASS_DEFAULT, &packet), GENEVE_OK);
	return packet.meta.time_ns;
}

static void
seconds_are_those_nearest_to_now(void **state)
{
	static const uint64_t s = UINT64_C(1000000000), wrap = UINT64_C(1) << 32;

	(void)state;
	// February 2106 and after, looked at from either side.
	assert_true(time_as_read(wrap * s + 5, wrap * s - 5) == wrap * s + 5);
	assert_true(time_as_read(wrap * s - 5, wrap * s + 5) == wrap * s - 5);
	assert_true(time_as_read(2 * wrap * s + 7, 2 * wrap * s - s) == 2 * wrap * s + 7);
	// 68 years off, one way and the other.
	assert_true(time_as_read((wrap + wrap / 2 - 1) * s, wrap * s) == (wrap + wrap / 2 - 1) * s);
	assert_true(time_as_read((wrap - wrap / 2) * s, wrap * s) == (wrap - wrap / 2) * s);
	assert_true(time_as_read((wrap + wrap / 2) * s, wrap * s) == (wrap - wrap / 2) * s);
	// Nothing is before 1970.
	assert_true(time_as_read(0, 0) == 0);
	assert_true(time_as_read((wrap - 1) * s + 999999999, 5 * s) == (wrap - 1) * s + 999999999);
	// The largest now.
	assert_true(time_as_read(INT64_MAX, INT64_MAX) == INT64_MAX);
	assert_true(
		time_as_read(INT64_MAX + UINT64_C(2147483647) * s, INT64_MAX) == INT64_MAX + UINT64_C(2147483647) * s);
}

static void
every_truncation_is_refused(void **state)
{
	struct geneve_tunnel tunnels[] = {tunnel_v4(), tunnel_v6()};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		push_golden(&tunnels[i]);
		while (p.len--) {
			bool has_ports = p.len >= template.udp_offset + 4u;

			assert_int_equal(parse(), has_ports ? GENEVE_MALFORMED : GENEVE_NOT_OURS);
			if (!p.len)
				break;
		}
	}
}

// The same with outer lengths that agree with what is left.
static void
every_shorter_datagram_is_refused(void **state)
{
	struct geneve_tunnel tunnels[] = {tunnel_v4(), tunnel_v6()};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		push_golden(&tunnels[i]);
		size_t options_end = template.len, shortest = template.udp_offset + 8u;

		for (p.len--; p.len >= shortest; p.len--) {
			renew_lengths();
			enum geneve_result want = p.len < options_end  ? GENEVE_MALFORMED :
				p.len < options_end + GENEVE_INNER_MIN ? GENEVE_INNER_SHORT :
									 GENEVE_OK;
			assert_int_equal(parse(), want);
		}
	}
}

static void
padding_is_not_payload(void **state)
{
	struct geneve_tunnel tunnels[] = {tunnel_v4(), tunnel_v6()};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		push_golden(&tunnels[i]);
		packet_put(&p, NULL, 30);
		assert_int_equal(parse(), GENEVE_OK);
		assert_int_equal(packet.inner_len, GOLDEN_FRAME_LEN);
		// Behind the UDP datagram, inside of the IP packet.
		packet_end(&p);
		if (!template.is_ipv6)
			renew_ipv4_checksum();
		assert_int_equal(parse(), GENEVE_OK);
		assert_int_equal(packet.inner_len, GOLDEN_FRAME_LEN);
	}
}

static void
contradicting_lengths_are_malformed(void **state)
{
	struct geneve_tunnel tunnels[] = {tunnel_v4(), tunnel_v6()};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		unsigned udp_len;

		push_golden(&tunnels[i]);
		udp_len = get16(template.udp_offset + 4u);
		for (unsigned wrong = 0; wrong < 16; wrong++) {
			packet_set16(&p, template.udp_offset + 4u, wrong);
			assert_int_equal(parse(), GENEVE_MALFORMED);
		}
		packet_set16(&p, template.udp_offset + 4u, udp_len + 1); // beyond the IP packet
		packet_put(&p, NULL, 8);
		assert_int_equal(parse(), GENEVE_MALFORMED);
	}
	push_golden(&tunnels[0]);
	packet_set16(&p, p.l3 + 2, 19); // below its own header
	renew_ipv4_checksum();
	assert_int_equal(parse(), GENEVE_MALFORMED);
	push_golden(&tunnels[1]);
	packet_set16(&p, p.l3 + 4, 0); // a jumbogram's
	assert_int_equal(parse(), GENEVE_MALFORMED);
}

static void
others_packets_are_handed_on(void **state)
{
	struct geneve_tunnel v4 = tunnel_v4(), v6 = tunnel_v6();
	static const struct {
		bool is_v6;
		unsigned offset; // from the IP header
		uint8_t value;
	} cases[] = {
		{false, 0, 0x65}, // version
		{false, 0, 0x44}, // header of 16 bytes
		{false, 9, 6}, // TCP
		{false, 7, 1}, // a later fragment
		{false, 23, 0xc2}, // port 6082
		{true, 0, 0x4b}, // version
		{true, 6, 6}, // TCP
		{true, 6, 60}, // destination options
		{true, 43, 0xc2}, // port 6082
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		push_golden(cases[i].is_v6 ? &v6 : &v4);
		p.b[p.l3 + cases[i].offset] = cases[i].value;
		assert_int_equal(parse(), GENEVE_NOT_OURS);
	}
	push_golden(&v4);
	packet_set16(&p, 12, 0x0806);
	assert_int_equal(parse(), GENEVE_NOT_OURS);
	push_golden(&v4);
	packet_set16(&p, 12, 0x88a8);
	assert_int_equal(parse(), GENEVE_NOT_OURS);
}

static void
underlay_with_ipv4_options_is_read(void **state)
{
	struct geneve_tunnel tunnel = tunnel_v4();

	(void)state;
	push_golden(&tunnel);
	memmove(p.b + p.l3 + 24, p.b + p.l3 + 20, p.len - p.l3 - 20);
	memcpy(p.b + p.l3 + 20, "\x94\4\0\0", 4); // router alert
	p.len += 4;
	p.b[p.l3] = 0x46;
	packet_end(&p);
	renew_ipv4_checksum();
	assert_int_equal(parse(), GENEVE_OK);
	assert_memory_equal(p.b + packet.inner_offset, golden_frame, GOLDEN_FRAME_LEN);
	// And one whose header would go on behind the frame.
	p.b[p.l3] = 0x4f;
	p.len = p.l3 + 63;
	assert_int_equal(parse(), GENEVE_NOT_OURS);
}

static void
fragments_are_refused(void **state)
{
	struct geneve_tunnel v4 = tunnel_v4(), v6 = tunnel_v6();

	(void)state;
	push_golden(&v4);
	packet_set16(&p, p.l3 + 6, 0x2000);
	renew_ipv4_checksum();
	assert_int_equal(parse(), GENEVE_FRAGMENT);

	push_golden(&v6);
	memmove(p.b + p.l3 + 48, p.b + p.l3 + 40, p.len - p.l3 - 40);
	memcpy(p.b + p.l3 + 40, "\x11\0\0\1\0\0\0\1", 8);
	p.b[p.l3 + 6] = 44;
	p.len += 8;
	packet_end(&p);
	assert_int_equal(parse(), GENEVE_FRAGMENT);
	p.b[p.l3 + 43] = 8; // a later one: whose it is cannot be seen
	assert_int_equal(parse(), GENEVE_NOT_OURS);
	p.b[p.l3 + 43] = 1;
	p.len = p.l3 + 51;
	assert_int_equal(parse(), GENEVE_NOT_OURS);
}

static void
wrong_ipv4_checksum_is_refused(void **state)
{
	struct geneve_tunnel tunnel = tunnel_v4();

	(void)state;
	for (unsigned bit = 0; bit < 160; bit++) {
		push_golden(&tunnel);
		p.b[p.l3 + bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(parse(), GENEVE_OK);
	}
	push_golden(&tunnel);
	p.b[p.l3 + 8]--;
	assert_int_equal(parse(), GENEVE_IP_CHECKSUM);
}

static void
udp_checksum_counts_when_there_is_one(void **state)
{
	struct geneve_tunnel tunnels[] = {tunnel_v4(), tunnel_v6()};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		push_golden(&tunnels[i]);
		packet_put(&p, NULL, 9); // not covered
		renew_udp_checksum();
		assert_int_equal(parse(), GENEVE_OK);
		for (size_t at = template.udp_offset + 8u; at < p.len - 9; at++) {
			p.b[at] ^= 0x10;
			assert_int_equal(parse(), GENEVE_UDP_CHECKSUM);
			p.b[at] ^= 0x10;
		}
		p.b[p.l3 + (template.is_ipv6 ? 39 : 19)] ^= 1; // an address
		if (!template.is_ipv6)
			renew_ipv4_checksum();
		assert_int_equal(parse(), GENEVE_UDP_CHECKSUM);
	}
}

static void
geneve_header_says_what_is_refused(void **state)
{
	struct geneve_tunnel tunnel = tunnel_v4();
	unsigned header = OUTER_V4 + 8;

	(void)state;
	for (unsigned version = 1; version < 4; version++) {
		push_golden(&tunnel);
		p.b[header] |= (uint8_t)(version << 6);
		assert_int_equal(parse(), GENEVE_VERSION);
	}
	push_golden(&tunnel);
	p.b[header + 1] = 0x80;
	assert_int_equal(parse(), GENEVE_CONTROL);
	push_golden(&tunnel);
	packet_set16(&p, header + 2, 0x0800);
	assert_int_equal(parse(), GENEVE_PROTOCOL_TYPE);
	// Reserved bits are not looked at, nor is the C bit without a critical option.
	push_golden(&tunnel);
	p.b[header + 1] = 0x7f;
	p.b[header + 7] = 0xff;
	assert_int_equal(parse(), GENEVE_OK);
	assert_int_equal(packet.vni, 0xabcdef);
}

static void
short_inner_frame_is_refused(void **state)
{
	struct geneve_tunnel tunnel = tunnel_v4();

	(void)state;
	push(&tunnel, golden_frame, GENEVE_INNER_MIN, 50000, 0, &golden_meta);
	assert_int_equal(parse(), GENEVE_OK);
	p.len--;
	renew_lengths();
	assert_int_equal(parse(), GENEVE_INNER_SHORT);
}

static void
foreign_options_are_skipped(void **state)
{
	uint8_t options[252] = {0};

	(void)state;
	for (unsigned i = 0; i < 63; i++)
		memcpy(options + i * 4, "\1\2\x7f\xe0", 4); // empty, reserved bits set
	push_options(options, 252);
	assert_int_equal(parse(), GENEVE_OK);
	assert_int_equal(packet.n_options, 63);
	assert_false(packet.has_meta);
	// Ours between two of them.
	memcpy(options, "\1\2\1\3............", 16);
	memcpy(options + 16, golden_ipv4 + OUTER_V4 + 16, GENEVE_META_BYTES);
	memcpy(options + 16 + GENEVE_META_BYTES, "\1\2\1\0", 4);
	push_options(options, 16 + GENEVE_META_BYTES + 4);
	assert_int_equal(parse(), GENEVE_OK);
	assert_int_equal(packet.n_options, 3);
	assert_true(packet.has_meta && packet.meta.seq == golden_meta.seq);
}

static void
unknown_critical_option_is_refused(void **state)
{
	uint8_t options[GENEVE_META_BYTES + 4];

	(void)state;
	memcpy(options, golden_ipv4 + OUTER_V4 + 16, GENEVE_META_BYTES);
	memcpy(options + GENEVE_META_BYTES, "\1\2\x80\0", 4);
	push_options(options, sizeof(options));
	p.b[OUTER_V4 + 9] = 0x40; // C
	assert_int_equal(parse(), GENEVE_CRITICAL);
	p.b[OUTER_V4 + 9] = 0; // its sender forgot it
	assert_int_equal(parse(), GENEVE_CRITICAL);
	// Ours is never critical.
	options[2] |= 0x80;
	push_options(options, GENEVE_META_BYTES);
	assert_int_equal(parse(), GENEVE_CRITICAL);
}

static void
option_of_another_class_type_or_layout_is_not_ours(void **state)
{
	static const unsigned at[] = {0, 1, 2, 4, 5, 6, 7};
	uint8_t options[GENEVE_META_BYTES];

	(void)state;
	for (unsigned i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		memcpy(options, golden_ipv4 + OUTER_V4 + 16, sizeof(options));
		options[at[i]] ^= 2;
		push_options(options, sizeof(options));
		assert_int_equal(parse(), GENEVE_OK);
		assert_false(packet.has_meta);
		assert_int_equal(packet.n_options, 1);
	}
	// A longer one is another one, too.
	uint8_t longer[GENEVE_META_BYTES + 4] = {0};
	memcpy(longer, golden_ipv4 + OUTER_V4 + 16, GENEVE_META_BYTES);
	longer[3]++;
	push_options(longer, sizeof(longer));
	assert_int_equal(parse(), GENEVE_OK);
	assert_false(packet.has_meta);
}

static void
impossible_options_are_malformed(void **state)
{
	uint8_t options[2 * GENEVE_META_BYTES];

	(void)state;
	memcpy(options, golden_ipv4 + OUTER_V4 + 16, GENEVE_META_BYTES);
	memcpy(options + GENEVE_META_BYTES, options, GENEVE_META_BYTES);
	push_options(options, sizeof(options)); // twice
	assert_int_equal(parse(), GENEVE_MALFORMED);
	options[3]++; // the first now ends inside of the second, whose rest is no option
	push_options(options, GENEVE_META_BYTES);
	assert_int_equal(parse(), GENEVE_MALFORMED);
	options[3]--;
	memcpy(options + 20, "\x3b\x9a\xc9\xff", 4); // 999,999,999 ns
	push_options(options, GENEVE_META_BYTES);
	assert_int_equal(parse(), GENEVE_OK);
	memcpy(options + 20, "\x3b\x9a\xca\0", 4); // and one more
	push_options(options, GENEVE_META_BYTES);
	assert_int_equal(parse(), GENEVE_MALFORMED);
}

static void
ecn_is_combined_as_rfc_6040_says(void **state)
{
	enum {
		DROP = 9
	};
	// Columns: outer Not-ECT, ECT(1), ECT(0), CE.
	static const uint8_t want[4][4] = {{0, 0, 0, DROP}, {1, 1, 1, 3}, {2, 1, 2, 3}, {3, 3, 3, 3}};

	(void)state;
	for (unsigned inner = 0; inner < 256; inner++) {
		for (unsigned outer = 0; outer < 256; outer++) {
			uint8_t ecn = DROP, expected = want[inner & 3][outer & 3];

			assert_int_equal(geneve_inner_ecn((uint8_t)outer, (uint8_t)inner, &ecn), expected != DROP);
			assert_int_equal(ecn, expected);
		}
	}
	for (unsigned tos = 0; tos < 256; tos++)
		for (unsigned dscp = 0; dscp < 64; dscp++)
			assert_int_equal(geneve_outer_tos((uint8_t)tos, (uint8_t)dscp), dscp << 2 | (tos & 3));
}

// An inner packet with L4 bytes, from a MAC; v4 or v6.
static void
inner(bool is_v6, uint64_t mac, unsigned proto, const void *l4, size_t len)
{
	static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 5};

	packet_ethernet(&p, mac);
	if (is_v6)
		packet_ipv6(&p, v6, proto);
	else
		packet_ipv4(&p, "\x0a\0\0\5", proto);
	packet_put(&p, l4, len);
	packet_end(&p);
}

static uint16_t
source_port(void)
{
	uint16_t port = geneve_source_port(p.b, p.len);

	assert_true(port >= GENEVE_SOURCE_PORT_MIN);
	return port;
}

static void
packets_of_a_flow_have_one_source_port(void **state)
{
	(void)state;
	for (unsigned is_v6 = 0; is_v6 < 2; is_v6++) {
		inner(is_v6, 0x02a0, 17, "\1\2\3\4.......a", 12);
		uint16_t flow = source_port();

		inner(is_v6, 0x02a0, 17, "\1\2\3\4another length", 18);
		assert_int_equal(source_port(), flow);
		p.b[p.l3 + 1] ^= 0x3; // TOS, part of a flow label
		assert_int_equal(source_port(), flow);
		inner(is_v6, 0x02a0, 17, "\1\2\3\5.......a", 12);
		assert_int_not_equal(source_port(), flow);
		inner(is_v6, 0x02a0, 6, "\1\2\3\4.......a", 12);
		assert_int_not_equal(source_port(), flow);
		inner(is_v6, 0x02a1, 17, "\1\2\3\4.......a", 12);
		assert_int_not_equal(source_port(), flow);
		inner(is_v6, 0x02a0, 17, "\1\2\3\4.......a", 12);
		p.b[p.l3 + 15]++;
		assert_int_not_equal(source_port(), flow);
		// No ports in ICMP.
		inner(is_v6, 0x02a0, 1, "\1\2\3\4.......a", 12);
		flow = source_port();
		inner(is_v6, 0x02a0, 1, "\5\6\7\x08.......a", 12);
		assert_int_equal(source_port(), flow);
	}
}

static void
fragments_of_a_packet_have_one_source_port(void **state)
{
	(void)state;
	inner(false, 0x02a0, 17, "\1\2\3\4.......a", 12);
	packet_set16(&p, p.l3 + 6, 0x2000);
	uint16_t first = source_port();
	inner(false, 0x02a0, 17, "payload.....", 12);
	packet_set16(&p, p.l3 + 6, 0x0002);
	assert_int_equal(source_port(), first);
	inner(true, 0x02a0, 44, "\x11\0\0\1\0\0\0\1\1\2\3\4....", 16);
	first = source_port();
	inner(true, 0x02a0, 44, "\x11\0\0\x08\0\0\0\1payload.", 16);
	assert_int_equal(source_port(), first);
}

static void
source_ports_look_behind_tags(void **state)
{
	uint16_t ports[3][2];

	(void)state;
	for (unsigned n_tags = 0; n_tags < 3; n_tags++) {
		for (unsigned i = 0; i < 2; i++) {
			packet_ethernet(&p, 0x02a0);
			packet_put(&p, "\x81\0\0\1\x81\0\0\1", n_tags * 4);
			packet_ipv4(&p, "\x0a\0\0\5", 17);
			packet_put(&p, i ? "\1\2\3\4...." : "\1\2\3\5....", 8);
			packet_end(&p);
			ports[n_tags][i] = source_port();
		}
		assert_int_not_equal(ports[n_tags][0], ports[n_tags][1]);
		// Priority may change within a flow.
		assert_int_equal(ports[n_tags][1], ports[0][1]);
	}
}

static void
what_is_no_ip_counts_by_its_macs(void **state)
{
	(void)state;
	packet_ethernet(&p, 0x02a0);
	packet_put16(&p, 0x88b5);
	packet_put(&p, NULL, 60);
	uint16_t port = source_port();
	memset(p.b + 14, 0x11, 60);
	assert_int_equal(source_port(), port);
	packet_set16(&p, 12, 0x88b6);
	assert_int_not_equal(source_port(), port);
	// Not behind a third tag, either.
	packet_ethernet(&p, 0x02a0);
	packet_put(&p, "\x81\0\0\1\x81\0\0\1\x81\0\0\1", 12);
	packet_ipv4(&p, "\x0a\0\0\5", 17);
	port = source_port();
	p.b[p.l3 + 15]++;
	assert_int_equal(source_port(), port);
}

static void
source_ports_spread_flows(void **state)
{
	unsigned queues[16] = {0};

	(void)state;
	// One client's consecutive ports.
	for (unsigned i = 0; i < 16000; i++) {
		inner(false, 0x02a0, 6, (uint8_t[4]){(uint8_t)(i >> 8), (uint8_t)i, 0, 80}, 4);
		queues[source_port() & 15]++;
	}
	for (unsigned i = 0; i < 16; i++)
		assert_in_range(queues[i], 850, 1150); // 1000 and five standard deviations of 31
}

static void
any_bytes_have_a_source_port(void **state)
{
	uint64_t seed = unit_seed();

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		size_t len = random_below(&seed, 80);
		uint8_t *frame = malloc(len + !len);

		assert_non_null(frame);
		for (size_t at = 0; at < len; at++)
			frame[at] = (uint8_t)random_next(&seed);
		if (len >= 18 && i % 2)
			memcpy(frame + 12, i % 4 == 1 ? "\x08\0\x4f" : "\x81\0\0\1\x86\xdd", i % 4 == 1 ? 3 : 6);
		assert_true(geneve_source_port(frame, len) >= GENEVE_SOURCE_PORT_MIN);
		free(frame);
	}
}

static void
frames_of_a_run_are_those_pushed_and_patched(void **state)
{
	uint64_t seed = unit_seed();

	(void)state;
	for (unsigned i = 0; i < 10000; i++) {
		uint64_t seq = random_next(&seed), time_ns = random_next(&seed) >> 2;
		uint64_t residence_ns = random_next(&seed) >> random_below(&seed, 60);
		uint16_t source_port = (uint16_t)random_next(&seed), flow = (uint16_t)random_next(&seed);
		size_t len = GENEVE_INNER_MIN + random_below(&seed, 9000);
		uint32_t deadline_ns = (uint32_t)random_next(&seed);
		uint8_t tos = (uint8_t)random_next(&seed);
		uint8_t one[GENEVE_HEADER_MAX] = {0}, other[GENEVE_HEADER_MAX] = {0};
		struct geneve_template run;
		struct geneve_tunnel t;

		random_tunnel(&seed, &t);
		assert_int_equal(geneve_template_init(&template, &t), 0);
		geneve_push(&template, one, len, source_port, tos, deadline_ns, flow);
		geneve_patch_meta(one, &template, seq, time_ns, residence_ns, false);
		geneve_run_init(&run, &template, time_ns, residence_ns, deadline_ns, flow);
		geneve_push_run(&run, other, len, source_port, tos, seq);
		assert_memory_equal(one, other, sizeof(one));
	}
}

// Any bytes: what is said to be in the head does not depend on what is behind it.
static void
what_is_in_the_head_is_all_that_is_read(void **state)
{
	uint64_t seed = unit_seed();
	unsigned n_in = 0;

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		uint8_t bytes[400], others[400];
		struct geneve_packet a = {0}, b = {0};
		struct geneve_tunnel t;
		enum geneve_result result;
		size_t n = random_below(&seed, 140);

		random_tunnel(&seed, &t);
		t.has_csum = false;
		assert_int_equal(geneve_template_init(&template, &t), 0);
		for (unsigned k = 0; k < sizeof(bytes); k++)
			others[k] = bytes[k] = (uint8_t)random_next(&seed);
		geneve_push(&template, bytes, sizeof(bytes) - template.len, 50000, 0, 0, 0);
		geneve_patch_meta(bytes, &template, 1, NOW_NS, 1, false);
		if (random_below(&seed, 2))
			bytes[random_below(&seed, template.len)] ^= (uint8_t)(1 << random_below(&seed, 8));
		if (!geneve_is_in_head(bytes, n))
			continue;
		n_in++;
		memcpy(others, bytes, n);
		result = geneve_parse(bytes, sizeof(bytes), NOW_NS, t.option_class, &a);
		assert_int_equal(geneve_parse(others, sizeof(others), NOW_NS, t.option_class, &b), result);
		if (result != GENEVE_OK)
			continue;
		assert_int_equal(a.inner_offset, b.inner_offset);
		assert_int_equal(a.inner_len, b.inner_len);
		assert_memory_equal(&a.meta, &b.meta, a.has_meta ? sizeof(a.meta) : 0);
		assert_true(a.inner_offset + (size_t)GENEVE_INNER_MIN <= n);
	}
	assert_true(n_in > 10000);
}

// A checksum is one of all bytes.
static void
head_ends_where_the_inner_frame_has_begun(void **state)
{
	struct geneve_tunnel t = tunnel_v4();
	uint8_t bytes[200] = {0};

	(void)state;
	assert_int_equal(geneve_template_init(&template, &t), 0);
	geneve_push(&template, bytes, sizeof(bytes) - template.len, 50000, 0, 0, 0);
	assert_true(geneve_is_in_head(bytes, template.len + (size_t)GENEVE_INNER_MIN));
	assert_false(geneve_is_in_head(bytes, template.len + (size_t)GENEVE_INNER_MIN - 1));
	bytes[template.udp_offset + 7] = 1;
	assert_false(geneve_is_in_head(bytes, sizeof(bytes)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_are_those_of_the_rfcs),
		cmocka_unit_test(golden_packets_are_read),
		cmocka_unit_test(what_is_pushed_is_parsed),
		cmocka_unit_test(largest_frame_fits),
		cmocka_unit_test(template_refuses_what_has_no_bits),
		cmocka_unit_test(meta_is_patched_before_transmission),
		cmocka_unit_test(checksum_is_kept_right),
		cmocka_unit_test(frames_of_a_run_are_those_pushed_and_patched),
		cmocka_unit_test(what_is_in_the_head_is_all_that_is_read),
		cmocka_unit_test(head_ends_where_the_inner_frame_has_begun),
		cmocka_unit_test(seconds_are_those_nearest_to_now),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(every_shorter_datagram_is_refused),
		cmocka_unit_test(padding_is_not_payload),
		cmocka_unit_test(contradicting_lengths_are_malformed),
		cmocka_unit_test(others_packets_are_handed_on),
		cmocka_unit_test(underlay_with_ipv4_options_is_read),
		cmocka_unit_test(fragments_are_refused),
		cmocka_unit_test(wrong_ipv4_checksum_is_refused),
		cmocka_unit_test(udp_checksum_counts_when_there_is_one),
		cmocka_unit_test(geneve_header_says_what_is_refused),
		cmocka_unit_test(short_inner_frame_is_refused),
		cmocka_unit_test(foreign_options_are_skipped),
		cmocka_unit_test(unknown_critical_option_is_refused),
		cmocka_unit_test(option_of_another_class_type_or_layout_is_not_ours),
		cmocka_unit_test(impossible_options_are_malformed),
		cmocka_unit_test(ecn_is_combined_as_rfc_6040_says),
		cmocka_unit_test(packets_of_a_flow_have_one_source_port),
		cmocka_unit_test(fragments_of_a_packet_have_one_source_port),
		cmocka_unit_test(source_ports_look_behind_tags),
		cmocka_unit_test(what_is_no_ip_counts_by_its_macs),
		cmocka_unit_test(source_ports_spread_flows),
		cmocka_unit_test(any_bytes_have_a_source_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
