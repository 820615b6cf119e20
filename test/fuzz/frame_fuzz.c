// Fuzz target: a guest's frame. Parsing, the spoof guard and segmentation of one frame, with the
// promises of their contracts. The first two bytes are not the frame's: segment size.
#include "promise.h"
#include "rtvs/flow_set.h"
#include "rtvs/fragment.h"
#include "rtvs/frame.h"
#include "rtvs/frame_tos.h"
#include "rtvs/guard.h"
#include "rtvs/offload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_FUZZ_MAX 66000

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

static void
check_l3(const uint8_t *data, size_t len, const struct frame_l3 *l3)
{
	size_t n = l3->kind == FRAME_IPV6 ? 16 : 4;

	if (l3->is_malformed)
		return;
	PROMISE(!l3->l4_offset || l3->l4_offset < len);
	PROMISE(!l3->is_fragment || !l3->l4_offset);
	PROMISE(!l3->is_nd || l3->l4_offset);
	if (l3->kind == FRAME_OTHER)
		return;
	PROMISE(l3->src >= data + FRAME_MIN && l3->src + n <= data + len);
	PROMISE(l3->dst >= data + FRAME_MIN && l3->dst + n <= data + len);
	PROMISE(FRAME_MIN + (size_t)l3->l3_len <= len);
}

static void
check_guards(const uint8_t *data, size_t len, const struct frame_l2 *l2, const struct frame_l3 *l3)
{
	static const struct mac_list macs = {1, {{{0x02, 0xa0, 0, 0, 0, 0x0b}}}};
	static const struct prefix_list ips = {
		2, {{.addr = {10, 0, 0, 4}, .len = 30}, {.addr = {0x20, 0x01, 0x0d, 0xb8}, .len = 67, .is_v6 = true}}};
	static const struct mac_list no_macs;
	static const struct prefix_list no_ips;
	struct guard both, macs_only, ips_only;

	guard_init(&both, &macs, &ips);
	guard_init(&macs_only, &macs, &no_ips);
	guard_init(&ips_only, &no_macs, &ips);
	enum drop of_both = guard_check_l3(&both, data, len, l2, l3);
	enum drop of_macs = guard_check_l3(&macs_only, data, len, l2, l3);
	enum drop of_ips = guard_check_l3(&ips_only, data, len, l2, l3);
	PROMISE(!l3->is_malformed || of_ips == DROP_MALFORMED);
	// More rules never allow more.
	PROMISE(of_both != DROP_NONE || of_macs == DROP_NONE);
	PROMISE(of_both != DROP_NONE || of_ips == DROP_NONE);
	// A frame that is skipped without a look must not be one that the look would refuse.
	PROMISE(guard_needs_l3(&macs_only, l2) || !guard_allows_mac(&macs_only, l2->src) || l3->is_malformed ||
		of_macs == DROP_NONE);
}

static void
check_segments(const uint8_t *data, size_t len, uint16_t mss)
{
	static uint8_t out[FRAME_FUZZ_MAX];
	struct frame_tso plan;
	uint64_t sum = 0;

	if (frame_tso_plan(data, len, (uint32_t)len, mss, &plan))
		return;
	PROMISE(plan.hdr_len + (size_t)plan.payload_len <= len);
	PROMISE(plan.n_segments && plan.n_segments <= FRAME_TSO_MAX_SEGMENTS);
	for (uint32_t i = 0; i < plan.n_segments; i++) {
		uint32_t n = frame_tso_header(&plan, data, i, out);

		PROMISE(n <= mss);
		PROMISE(memcmp(out, data, plan.l3_offset) == 0);
		sum += n;
	}
	PROMISE(sum == plan.payload_len);
}

// The request's numbers are the frame's last bytes.
static void
check_request(const uint8_t *data, size_t head, size_t len, const struct frame_l2 *l2)
{
	struct offload_places p;
	struct frame_tso plan;
	struct offload o;

	if (len < sizeof(o))
		return;
	memcpy(&o, data + len - sizeof(o), sizeof(o));
	o.csum_start &= 511;
	o.csum_offset &= 31;
	o.kind &= 3;
	bool is_super = o.kind != OFFLOAD_CHECKSUM;
	if (offload_check(data, head, len, l2, &o))
		return;
	PROMISE(o.csum_start >= l2->l3_offset && !(o.csum_offset & 1));
	PROMISE((size_t)o.csum_start + o.csum_offset + 2 <= len);
	PROMISE(!is_super || (size_t)o.csum_start + o.l4_len <= head);
	if (o.kind != OFFLOAD_CHECKSUM) {
		int rc = frame_tso_plan(data, head, (uint32_t)len, o.gso_size, &plan);

		PROMISE(len - o.csum_start - o.l4_len > o.gso_size);
		PROMISE(!rc || (len - o.csum_start - o.l4_len - 1) / o.gso_size >= FRAME_TSO_MAX_SEGMENTS);
		PROMISE(rc || (plan.l4_offset == o.csum_start && plan.hdr_len == o.csum_start + o.l4_len));
		PROMISE(rc || plan.hdr_len + plan.payload_len == len);
	}
	if (!offload_find(data, head, len, &o, &p))
		return;
	PROMISE(p.l3_offset >= l2->l3_offset && p.l3_offset <= FRAME_MIN + 4 * (FRAME_MAX_TAGS + 1));
	PROMISE(p.l3_offset + p.l3_len == o.csum_start && p.l3_len <= 60);
	PROMISE(o.csum_start + (size_t)p.l4_len <= head);
	PROMISE(o.kind == OFFLOAD_CHECKSUM || (p.is_tcp && p.is_v6 == (o.kind == OFFLOAD_TCP6)));
}

static void
check_fragments(const uint8_t *data, size_t len, uint16_t mtu)
{
	uint8_t out[FRAGMENT_HEADERS_MAX];
	struct fragment_plan plan;
	size_t sum = 0;

	if (fragment_plan(data, len, len, mtu, &plan))
		return;
	PROMISE(plan.n && plan.n <= FRAGMENT_MAX);
	for (uint16_t i = 0; i < plan.n; i++) {
		size_t offset, headers;
		uint16_t n;

		headers = fragment_header(&plan, data, i, out, &offset, &n);
		PROMISE(headers <= sizeof(out) && headers - plan.l3_offset + n <= mtu);
		PROMISE(offset + n <= len && offset == plan.l3_offset + (size_t)plan.header_len + sum);
		sum += n;
	}
	PROMISE(sum == plan.payload_len);
}

static void
check_dscp(const uint8_t *data, size_t len, uint8_t dscp)
{
	static uint8_t out[FRAME_FUZZ_MAX];
	int before = frame_dscp(data, len);
	size_t n_different = 0;

	memcpy(out, data, len);
	PROMISE(frame_dscp_set(out, len, dscp) == (before >= 0 && before != dscp));
	PROMISE(frame_dscp(out, len) == (before < 0 ? -1 : dscp));
	for (size_t i = 0; i < len; i++)
		n_different += out[i] != data[i];
	PROMISE(n_different <= 3); // IPv4: the field and the checksum; IPv6: two of the field
	// And back again.
	if (before >= 0)
		(void)frame_dscp_set(out, len, (uint8_t)before);
	PROMISE(before < 0 ? memcmp(out, data, len) == 0 : frame_dscp(out, len) == before);
}

// What is written reads so afterwards, and writing the former values gives the former frame.
static void
check_rules(const uint8_t *data, size_t len, uint16_t value)
{
	struct flow_set set = {
		.value = {.l4_dst = value, .ip_ttl = (uint8_t)value, .ip_src = {1, 2, 3, (uint8_t)value}},
		.mask = {.l4_dst = UINT16_MAX, .ip_ttl = UINT8_MAX, .ip_src = {255, 255, 255, 255}}};
	struct flow_key before, after;
	uint8_t *copy = malloc(len + 1);

	PROMISE(copy);
	memcpy(copy, data, len);
	flow_key_read(copy, len, len, 0, &before);
	if (!flow_set_apply(&set, copy, len, len, false)) {
		PROMISE(!memcmp(copy, data, len));
		free(copy);
		return;
	}
	flow_key_read(copy, len, len, 0, &after);
	for (unsigned i = 0; i < FLOW_KEY_WORDS; i++) {
		PROMISE(!((before.word[i] ^ after.word[i]) & ~set.mask.word[i]));
		PROMISE(after.word[i] == before.word[i] || !((after.word[i] ^ set.value.word[i]) & set.mask.word[i]));
		set.value.word[i] = before.word[i] & set.mask.word[i];
	}
	PROMISE(flow_set_apply(&set, copy, len, len, false));
	flow_key_read(copy, len, len, 0, &after);
	PROMISE(!memcmp(&after, &before, sizeof(after)));
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	struct frame_l2 l2;
	struct frame_l3 l3;

	if (len < 2 || len > FRAME_FUZZ_MAX)
		return 0;
	uint16_t mss = (uint16_t)(input[0] << 8 | input[1]);
	const uint8_t *data = input + 2;

	len -= 2;
	(void)frame_checksum_fold(frame_checksum_add(0, data, len));
	check_segments(data, len, mss);
	check_fragments(data, len, mss);
	check_dscp(data, len, mss & 0x3f);
	check_rules(data, len, mss);
	if (!frame_parse_l2(data, len, &l2))
		return 0;
	PROMISE(l2.l3_offset <= len);
	frame_parse_l3_head(data, len / 2, len, &l2, &l3);
	check_l3(data, len / 2, &l3);
	frame_parse_l3(data, len, &l2, &l3);
	check_l3(data, len, &l3);
	check_guards(data, len, &l2, &l3);
	check_request(data, len / 2, len, &l2);
	check_request(data, len, len, &l2);
	return 0;
}
