// Datagrams of the daemon's own: built ones are parsed to the same; a datagram with any error is
// refused.
#include "../unit.h"
#include "rtvs/udp.h"

#include <string.h>

static uint8_t frame[UDP_HEADERS_MAX + UDP_DATA_MAX];

static struct udp_datagram
datagram(bool is_ipv6, uint16_t vlan, const uint8_t *data, uint16_t len)
{
	struct udp_datagram d = {.is_ipv6 = is_ipv6,
		.tos = 0xc0,
		.hop_limit = 64,
		.vlan = vlan,
		.src_mac = {{2, 0, 0, 0, 0, 1}},
		.dst_mac = {{2, 0, 0, 0, 0, 2}},
		.src_port = 6082,
		.dst_port = 862,
		.data = data,
		.len = len};

	for (unsigned i = 0; i < (is_ipv6 ? 16u : 4u); i++) {
		d.src[i] = (uint8_t)(10 + i);
		d.dst[i] = (uint8_t)(90 + i);
	}
	return d;
}

static void
assert_same_headers(const struct udp_datagram *a, const struct udp_datagram *b)
{
	assert_int_equal(a->is_ipv6, b->is_ipv6);
	assert_int_equal(a->tos, b->tos);
	assert_int_equal(a->hop_limit, b->hop_limit);
	assert_int_equal(a->vlan, b->vlan);
	assert_memory_equal(&a->src_mac, &b->src_mac, sizeof(a->src_mac));
	assert_memory_equal(&a->dst_mac, &b->dst_mac, sizeof(a->dst_mac));
	assert_memory_equal(a->src, b->src, sizeof(a->src));
	assert_memory_equal(a->dst, b->dst, sizeof(a->dst));
	assert_int_equal(a->src_port, b->src_port);
	assert_int_equal(a->dst_port, b->dst_port);
	assert_int_equal(a->len, b->len);
}

static void
what_is_built_is_parsed_to_the_same(void **state)
{
	uint8_t data[UDP_DATA_MAX];

	(void)state;
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	for (unsigned i = 0; i < 4; i++)
		for (unsigned len = 0; len <= UDP_DATA_MAX; len += len < 10 ? 1 : 139) {
			struct udp_datagram d = datagram(i & 1, i & 2 ? 100 : 0, data, (uint16_t)len), got;
			size_t n = udp_build(&d, frame);

			assert_int_equal(n, 14 + (d.vlan ? 4 : 0) + (d.is_ipv6 ? 40 : 20) + 8 + len);
			assert_true(udp_parse(frame, n, &got));
			assert_memory_equal(got.data, data, len);
			assert_same_headers(&got, &d);
			if (n + 4 > sizeof(frame))
				continue;
			memset(frame + n, 0xaa, 4); // padding
			assert_true(udp_parse(frame, n + 4, &got));
		}
}

static void
no_bit_and_no_byte_may_be_wrong(void **state)
{
	static const uint8_t data[9] = "deadline";

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct udp_datagram d = datagram(i, 0, data, sizeof(data)), got;
		size_t n = udp_build(&d, frame), l3 = 14, n_taken = 0;

		for (size_t len = 0; len < n; len++)
			assert_false(udp_parse(frame, len, &got));
		for (size_t bit = l3 * 8; bit < n * 8; bit++) {
			frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
			n_taken += udp_parse(frame, n, &got);
			frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		// IPv6 protects neither traffic class, flow label nor hop limit: 8 + 20 + 8 bits.
		assert_int_equal(n_taken, i ? 36 : 0);
		assert_true(udp_parse(frame, n, &got));
	}
}

static void
no_checksum_is_for_ipv4_alone(void **state)
{
	static const uint8_t data[2] = "ab";

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct udp_datagram d = datagram(i, 0, data, sizeof(data)), got;
		size_t n = udp_build(&d, frame);

		frame[n - sizeof(data) - 2] = frame[n - sizeof(data) - 1] = 0;
		assert_int_equal(udp_parse(frame, n, &got), !i);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_built_is_parsed_to_the_same),
		cmocka_unit_test(no_bit_and_no_byte_may_be_wrong),
		cmocka_unit_test(no_checksum_is_for_ipv4_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
