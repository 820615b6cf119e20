// Fuzz target: frames that an endpoint without a kernel answers by itself: neighbor messages, echo
// requests, packets too big. The first two bytes are not the frame's: the MTU. Each answer is
// well-formed, and answers to answers stop.
#include "promise.h"
#include "rtvs/frame.h"
#include "rtvs/icmp_too_big.h"
#include "rtvs/neighbor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEIGHBOR_FUZZ_MAX 10000

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

// Those of the corpus.
static const struct neighbor_self selves[] = {
	{.mac = {{2, 0, 0, 0, 0, 0xa0}}, .addr = {192, 0, 2, 1}},
	{.is_ipv6 = true, .vlan = 0x123, .mac = {{2, 0, 0, 0, 0, 0xa0}}, .addr = {0x20, 1, 0x0d, 0xb8, [15] = 1}},
};

static bool
is_sound(const uint8_t *data, size_t len)
{
	struct frame_l2 l2;
	struct frame_l3 l3;

	if (!frame_parse_l2(data, len, &l2))
		return false;
	frame_parse_l3(data, len, &l2, &l3);
	return !l3.is_malformed && l3.kind != FRAME_OTHER;
}

static void
check_messages(const uint8_t *data, size_t len)
{
	uint8_t out[NEIGHBOR_MAX];
	struct neighbor_msg msg, again;

	if (neighbor_parse(data, len, &msg))
		return;
	PROMISE(!(msg.mac.b[0] & 1) && !(msg.from.b[0] & 1));
	PROMISE(msg.is_ipv6 || msg.has_mac);
	PROMISE(msg.is_reply || (!msg.is_solicited && !msg.is_override));
	// One of ours answers it, asked or not.
	struct neighbor_self self = selves[msg.is_ipv6];
	self.vlan = msg.vlan <= RTVS_VLAN_MAX ? msg.vlan : 0;
	if (msg.is_reply)
		return;
	size_t n = neighbor_reply(&self, &msg, out);
	PROMISE(n <= NEIGHBOR_MAX && is_sound(out, n));
	PROMISE(neighbor_parse(out, n, &again) == 0);
	PROMISE(again.is_reply && again.is_ipv6 == msg.is_ipv6 && again.has_mac && again.vlan == self.vlan);
	PROMISE(memcmp(again.addr, self.addr, 16) == 0 && memcmp(again.mac.b, self.mac.b, 6) == 0);
}

static void
check_echo(const uint8_t *data, size_t len)
{
	static uint8_t out[NEIGHBOR_FUZZ_MAX];

	for (unsigned i = 0; i < 2; i++) {
		memcpy(out, data, len);
		if (neighbor_echo(out, len, &selves[i])) {
			PROMISE(memcmp(out, data, len) == 0);
			continue;
		}
		PROMISE(is_sound(out, len));
		PROMISE(memcmp(out, data + 6, 6) == 0 && memcmp(out + 6, data, 6) == 0);
		PROMISE(neighbor_echo(out, len, &selves[i])); // no answer to it
	}
}

static void
check_too_big(const uint8_t *data, size_t len, uint32_t mtu)
{
	uint8_t out[ICMP_TOO_BIG_MAX], again[ICMP_TOO_BIG_MAX];

	for (size_t head = len; head; head /= 2) {
		size_t n = icmp_too_big(data, head, len, mtu, out);

		if (!n)
			continue;
		PROMISE(n <= sizeof(out) && is_sound(out, n));
		PROMISE(memcmp(out, data + 6, 6) == 0 && memcmp(out + 6, data, 6) == 0);
		PROMISE(!icmp_too_big(out, n, n, mtu, again));
	}
}

static void
check_news(const uint8_t *data, size_t len)
{
	struct icmp_too_big_news news;

	if (!icmp_too_big_parse(data, len, &news))
		return;
	PROMISE(is_sound(data, len));
	PROMISE(news.vni <= 0xffffff && (news.has_vni || !news.vni));
	PROMISE(news.is_ipv6 || news.mtu <= UINT16_MAX);
}

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	if (len < 2 || len - 2 > NEIGHBOR_FUZZ_MAX)
		return 0;
	uint32_t mtu = (uint32_t)(input[0] << 8 | input[1]);

	check_messages(input + 2, len - 2);
	check_echo(input + 2, len - 2);
	check_too_big(input + 2, len - 2, mtu);
	check_news(input + 2, len - 2);
	return 0;
}
