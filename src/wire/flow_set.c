// Sources: RFC 1624 (equation 3), RFC 791, 8200, 9293, 768, 3828, 4340, 9260.
#include "rtvs/flow_set.h"

#include "bytes.h"
#include "rtvs/frame.h"

#include <errno.h>
#include <string.h>

#define IPV6_HEADER 40
#define ADDRESS_V4 4
#define ADDRESS_V6 16
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_DCCP 33
#define PROTO_ICMP6 58
#define PROTO_SCTP 132
#define PROTO_UDPLITE 136

// Where a frame's fields are; NULL: it has none of them.
struct places {
	uint8_t *tag; // TCI
	uint8_t *ip;
	bool is_v6;
	uint8_t *ports, *checksum;
	bool is_udp;
};

int
flow_set_check(const struct flow_set *set)
{
	struct flow_key settable = {.vlan = (uint16_t)~htobe16(FLOW_KEY_VLAN_PRESENT),
		.l4_src = UINT16_MAX,
		.l4_dst = UINT16_MAX,
		.ip_tos = UINT8_MAX,
		.ip_ttl = UINT8_MAX};

	memset(settable.eth_dst, 0xff, sizeof(settable.eth_dst));
	memset(settable.eth_src, 0xff, sizeof(settable.eth_src));
	memset(settable.ip_src, 0xff, sizeof(settable.ip_src));
	memset(settable.ip_dst, 0xff, sizeof(settable.ip_dst));
	for (unsigned i = 0; i < FLOW_KEY_WORDS; i++)
		if (set->value.word[i] & ~set->mask.word[i] || set->mask.word[i] & ~settable.word[i])
			return -EINVAL;
	return 0;
}

bool
flow_set_is_same_action(const struct flow_action *a, const struct flow_action *b)
{
	return a->verdict == b->verdict && a->rate_bps == b->rate_bps && !memcmp(&a->set, &b->set, sizeof(a->set)) &&
		a->pops_tag == b->pops_tag && a->push_tci == b->push_tci && a->n_outputs == b->n_outputs &&
		!memcmp(a->output, b->output, a->n_outputs * sizeof(a->output[0]));
}

static bool
has_any(const void *mask, size_t n)
{
	static const uint8_t zeros[sizeof(struct flow_key)];

	return memcmp(mask, zeros, n) != 0;
}

// ---- what can be done

// False: these fields cannot be written without a checksum that cannot be brought up to date.
static bool
find_l4(const struct flow_key *mask, uint8_t *data, size_t end, const struct frame_l3 *l3, struct places *places)
{
	bool sets_ports = mask->l4_src || mask->l4_dst;
	bool sets_addresses = has_any(mask->ip_src, ADDRESS_V6) || has_any(mask->ip_dst, ADDRESS_V6);
	uint8_t *l4 = data + l3->l4_offset;
	size_t n = l3->l4_offset && end > l3->l4_offset ? end - l3->l4_offset : 0;

	if (l3->is_fragment)
		return true; // the first one has the checksum
	switch (l3->proto) {
	case PROTO_TCP:
	case PROTO_UDP:
		places->is_udp = l3->proto == PROTO_UDP;
		if (n < (places->is_udp ? 8 : 18))
			return !sets_ports && !sets_addresses;
		places->ports = l4;
		places->checksum = l4 + (places->is_udp ? 6 : 16);
		return true;
	case PROTO_ICMP6:
		if (n < 4)
			return !sets_addresses;
		places->checksum = l3->kind == FRAME_IPV6 ? l4 + 2 : NULL;
		return true;
	case PROTO_SCTP: // a CRC, without addresses
		return !sets_ports;
	case PROTO_DCCP:
	case PROTO_UDPLITE:
		return !sets_ports && !sets_addresses;
	default:
		return true; // there is none
	}
}

static bool
find(const struct flow_key *mask, uint8_t *data, size_t n_head, size_t len, struct places *places)
{
	bool sets_ip = has_any(mask->ip_src, ADDRESS_V6) || has_any(mask->ip_dst, ADDRESS_V6) || mask->ip_tos ||
		mask->ip_ttl || mask->l4_src || mask->l4_dst;
	struct frame_l2 l2;
	struct frame_l3 l3;
	size_t end;

	*places = (struct places){0};
	if (!frame_parse_l2(data, n_head, &l2))
		return false;
	if (l2.is_tagged)
		places->tag = data + 14;
	if (!sets_ip || (l2.ether_type != FRAME_ETHER_IPV4 && l2.ether_type != FRAME_ETHER_IPV6))
		return true;
	frame_parse_l3_head(data, n_head, len, &l2, &l3);
	if (l3.is_malformed || l3.is_unclear || (l3.has_routing_header && has_any(mask->ip_dst, ADDRESS_V6)))
		return false;
	places->is_v6 = l3.kind == FRAME_IPV6;
	places->ip = data + l2.l3_offset;
	end = l2.l3_offset;
	end += places->is_v6 ? IPV6_HEADER + bytes_load16(places->ip + 4) : bytes_load16(places->ip + 2);
	return find_l4(mask, data, end < n_head ? end : n_head, &l3, places);
}

// ---- doing it

// n is even, and so is the place in what a checksum covers. Adds the difference of the sums.
static void
set_bytes(uint8_t *at, const void *value, const void *mask, size_t n, uint64_t *difference)
{
	for (size_t i = 0; i < n; i += 2) {
		uint16_t old = bytes_load16(at + i), m = bytes_load16((const uint8_t *)mask + i);
		uint16_t new = (uint16_t)((old & ~m) | bytes_load16((const uint8_t *)value + i));

		*difference += (uint64_t)(uint16_t)~old + new;
		bytes_store16(at + i, new);
	}
}

static void
set_word(uint8_t *at, uint16_t value, uint16_t mask, uint64_t *difference)
{
	value = htobe16(value);
	mask = htobe16(mask);
	set_bytes(at, &value, &mask, sizeof(value), difference);
}

static void
update(uint8_t *checksum, uint64_t difference)
{
	bytes_store16(checksum, (uint16_t)~frame_checksum_fold((uint16_t)~bytes_load16(checksum) + difference));
}

static void
update_l4(const struct places *places, uint64_t addresses, uint64_t ports, bool is_partial)
{
	uint16_t old;

	if (!places->checksum)
		return;
	old = bytes_load16(places->checksum);
	if (is_partial) {
		bytes_store16(places->checksum, frame_checksum_fold(old + addresses));
	} else if (!places->is_udp || old) { // UDP's 0: none
		update(places->checksum, addresses + ports);
		if (places->is_udp && !bytes_load16(places->checksum))
			bytes_store16(places->checksum, UINT16_MAX);
	}
}

// Returns the difference of what pseudo headers have.
static uint64_t
set_ip(const struct flow_set *set, const struct places *places)
{
	const struct flow_key *value = &set->value, *mask = &set->mask;
	uint8_t *ip = places->ip;
	uint64_t addresses = 0, others = 0;

	if (places->is_v6) {
		set_bytes(ip + 8, value->ip_src, mask->ip_src, ADDRESS_V6, &addresses);
		set_bytes(ip + 24, value->ip_dst, mask->ip_dst, ADDRESS_V6, &addresses);
		set_word(ip, (uint16_t)(value->ip_tos << 4), (uint16_t)(mask->ip_tos << 4), &others);
		set_word(ip + 6, value->ip_ttl, mask->ip_ttl, &others);
		return addresses;
	}
	set_bytes(ip + 12, value->ip_src, mask->ip_src, ADDRESS_V4, &addresses);
	set_bytes(ip + 16, value->ip_dst, mask->ip_dst, ADDRESS_V4, &addresses);
	set_word(ip, value->ip_tos, mask->ip_tos, &others);
	set_word(ip + 8, (uint16_t)(value->ip_ttl << 8), (uint16_t)(mask->ip_ttl << 8), &others);
	update(ip + 10, addresses + others);
	return addresses;
}

bool
flow_set_apply(const struct flow_set *set, uint8_t *data, size_t n_head, size_t len, bool is_partial)
{
	const struct flow_key *value = &set->value, *mask = &set->mask;
	struct places places;
	uint64_t addresses = 0, ports = 0, none = 0;

	if (!find(mask, data, n_head, len, &places))
		return false;
	set_bytes(data, value->eth_dst, mask->eth_dst, sizeof(mask->eth_dst), &none);
	set_bytes(data + 6, value->eth_src, mask->eth_src, sizeof(mask->eth_src), &none);
	if (places.tag)
		set_bytes(places.tag, &value->vlan, &mask->vlan, sizeof(mask->vlan), &none);
	if (!places.ip)
		return true;
	addresses = set_ip(set, &places);
	if (places.ports) {
		set_bytes(places.ports, &value->l4_src, &mask->l4_src, sizeof(mask->l4_src), &ports);
		set_bytes(places.ports + 2, &value->l4_dst, &mask->l4_dst, sizeof(mask->l4_dst), &ports);
	}
	update_l4(&places, addresses, ports, is_partial);
	return true;
}
