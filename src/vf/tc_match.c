// Keys of flower become the match of a rule. A key that no rule can express is left out, and the
// rule is a trap. Sources: linux/pkt_cls.h, fl_set_key() and fl_dump_key() of
// net/sched/cls_flower.c.
#include "rtvs/flow_key.h"
#include "rtvs/frame.h"
#include "tc_parts.h"

#include <endian.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <string.h>

#define PROTO_ICMP 1
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_ICMP6 58
#define PROTO_SCTP 132
#define VLAN_VID 0x0fff
#define VLAN_PCP_SHIFT 13
#define DSCP 0xfc
#define TCP_FLAGS_HIGH 0x0f
#define N_KEYS (TCA_FLOWER_MAX + 1)

enum family {
	ANY,
	IP,
	IPV4,
	IPV6,
	ARP
};

// A key that is a field of a rule, byte by byte.
static const struct field {
	uint16_t value, mask; // attributes; mask 0: it has none
	enum family family;
	uint8_t proto; // 0: of any
	size_t at, size;
} fields[] = {
#define AT(member) offsetof(struct flow_key, member)
	{TCA_FLOWER_KEY_ETH_DST, TCA_FLOWER_KEY_ETH_DST_MASK, ANY, 0, AT(eth_dst), 6},
	{TCA_FLOWER_KEY_ETH_SRC, TCA_FLOWER_KEY_ETH_SRC_MASK, ANY, 0, AT(eth_src), 6},
	{TCA_FLOWER_KEY_IP_PROTO, 0, IP, 0, AT(ip_proto), 1},
	{TCA_FLOWER_KEY_IPV4_SRC, TCA_FLOWER_KEY_IPV4_SRC_MASK, IPV4, 0, AT(ip_src), 4},
	{TCA_FLOWER_KEY_IPV4_DST, TCA_FLOWER_KEY_IPV4_DST_MASK, IPV4, 0, AT(ip_dst), 4},
	{TCA_FLOWER_KEY_IPV6_SRC, TCA_FLOWER_KEY_IPV6_SRC_MASK, IPV6, 0, AT(ip_src), 16},
	{TCA_FLOWER_KEY_IPV6_DST, TCA_FLOWER_KEY_IPV6_DST_MASK, IPV6, 0, AT(ip_dst), 16},
	{TCA_FLOWER_KEY_IP_TOS, TCA_FLOWER_KEY_IP_TOS_MASK, IP, 0, AT(ip_tos), 1},
	{TCA_FLOWER_KEY_IP_TTL, TCA_FLOWER_KEY_IP_TTL_MASK, IP, 0, AT(ip_ttl), 1},
	{TCA_FLOWER_KEY_ARP_SIP, TCA_FLOWER_KEY_ARP_SIP_MASK, ARP, 0, AT(ip_src), 4},
	{TCA_FLOWER_KEY_ARP_TIP, TCA_FLOWER_KEY_ARP_TIP_MASK, ARP, 0, AT(ip_dst), 4},
	{TCA_FLOWER_KEY_ARP_OP, TCA_FLOWER_KEY_ARP_OP_MASK, ARP, 0, AT(ip_proto), 1},
	{TCA_FLOWER_KEY_TCP_SRC, TCA_FLOWER_KEY_TCP_SRC_MASK, IP, PROTO_TCP, AT(l4_src), 2},
	{TCA_FLOWER_KEY_TCP_DST, TCA_FLOWER_KEY_TCP_DST_MASK, IP, PROTO_TCP, AT(l4_dst), 2},
	{TCA_FLOWER_KEY_TCP_FLAGS, TCA_FLOWER_KEY_TCP_FLAGS_MASK, IP, PROTO_TCP, AT(tcp_flags), 2},
	{TCA_FLOWER_KEY_UDP_SRC, TCA_FLOWER_KEY_UDP_SRC_MASK, IP, PROTO_UDP, AT(l4_src), 2},
	{TCA_FLOWER_KEY_UDP_DST, TCA_FLOWER_KEY_UDP_DST_MASK, IP, PROTO_UDP, AT(l4_dst), 2},
	{TCA_FLOWER_KEY_SCTP_SRC, TCA_FLOWER_KEY_SCTP_SRC_MASK, IP, PROTO_SCTP, AT(l4_src), 2},
	{TCA_FLOWER_KEY_SCTP_DST, TCA_FLOWER_KEY_SCTP_DST_MASK, IP, PROTO_SCTP, AT(l4_dst), 2},
	// One byte, at the end of a rule's two.
	{TCA_FLOWER_KEY_ICMPV4_TYPE, TCA_FLOWER_KEY_ICMPV4_TYPE_MASK, IPV4, PROTO_ICMP, AT(l4_src) + 1, 1},
	{TCA_FLOWER_KEY_ICMPV4_CODE, TCA_FLOWER_KEY_ICMPV4_CODE_MASK, IPV4, PROTO_ICMP, AT(l4_dst) + 1, 1},
	{TCA_FLOWER_KEY_ICMPV6_TYPE, TCA_FLOWER_KEY_ICMPV6_TYPE_MASK, IPV6, PROTO_ICMP6, AT(l4_src) + 1, 1},
	{TCA_FLOWER_KEY_ICMPV6_CODE, TCA_FLOWER_KEY_ICMPV6_CODE_MASK, IPV6, PROTO_ICMP6, AT(l4_dst) + 1, 1},
#undef AT
};

// Those that are read on their own, or say nothing about packets.
static const uint16_t others[] = {TCA_FLOWER_UNSPEC, TCA_FLOWER_CLASSID, TCA_FLOWER_ACT, TCA_FLOWER_FLAGS,
	TCA_FLOWER_IN_HW_COUNT, TCA_FLOWER_KEY_ETH_TYPE, TCA_FLOWER_KEY_VLAN_ID, TCA_FLOWER_KEY_VLAN_PRIO,
	TCA_FLOWER_KEY_VLAN_ETH_TYPE, TCA_FLOWER_KEY_FLAGS, TCA_FLOWER_KEY_FLAGS_MASK};

static const struct {
	uint16_t first, last;
	const char *name;
} names[] = {
	{TCA_FLOWER_INDEV, TCA_FLOWER_INDEV, "indev"},
	{TCA_FLOWER_KEY_ENC_KEY_ID, TCA_FLOWER_KEY_ENC_IPV6_DST_MASK, "of tunnels"},
	{TCA_FLOWER_KEY_ENC_UDP_SRC_PORT, TCA_FLOWER_KEY_ENC_UDP_DST_PORT_MASK, "of tunnels"},
	{TCA_FLOWER_KEY_ENC_IP_TOS, TCA_FLOWER_KEY_ENC_OPTS_MASK, "of tunnels"},
	{TCA_FLOWER_KEY_ARP_SHA, TCA_FLOWER_KEY_ARP_THA_MASK, "arp_sha or arp_tha"},
	{TCA_FLOWER_KEY_MPLS_TTL, TCA_FLOWER_KEY_MPLS_LABEL, "of MPLS"},
	{TCA_FLOWER_KEY_MPLS_OPTS, TCA_FLOWER_KEY_MPLS_OPTS, "of MPLS"},
	{TCA_FLOWER_KEY_CVLAN_ID, TCA_FLOWER_KEY_CVLAN_ETH_TYPE, "of a second tag"},
	{TCA_FLOWER_KEY_PORT_SRC_MIN, TCA_FLOWER_KEY_PORT_DST_MAX, "of a range of ports"},
	{TCA_FLOWER_KEY_CT_STATE, TCA_FLOWER_KEY_CT_LABELS_MASK, "of connection tracking"},
};

void
tc_match_protocol(struct tc_rule *rule, uint16_t protocol)
{
	struct flow_rule *r = &rule->entry.rule;

	// That there is a tag is a part of matching its VID; rules cannot say it alone.
	if (protocol == ETH_P_ALL || protocol == ETH_P_8021Q)
		return;
	if (protocol < ETH_P_802_3_MIN || protocol == ETH_P_8021AD) {
		tc_parts_trap(rule, "protocol 0x%04x", protocol);
		return;
	}
	r->mask.vlan = htobe16(FLOW_KEY_VLAN_PRESENT); // it has no tag
	r->key.ether_type = htobe16(protocol);
	r->mask.ether_type = UINT16_MAX;
}

static void
read_keys(struct tc_rule *rule, const struct nlattr *options, const struct nlattr *keys[N_KEYS])
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, options)
	{
		if (mnl_attr_get_type(attr) < N_KEYS)
			keys[mnl_attr_get_type(attr)] = attr;
		else
			tc_parts_trap(rule, "key %u of flower", mnl_attr_get_type(attr));
	}
}

static bool
is_known(uint16_t type)
{
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (others[i] == type)
			return true;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (fields[i].value == type || fields[i].mask == type)
			return true;
	return false;
}

static void
refuse_others(struct tc_rule *rule, const struct nlattr *const keys[N_KEYS])
{
	for (uint16_t type = 0; type < N_KEYS; type++) {
		size_t i = 0;

		if (!keys[type] || is_known(type))
			continue;
		while (i < sizeof(names) / sizeof(names[0]) && (type < names[i].first || type > names[i].last))
			i++;
		if (i < sizeof(names) / sizeof(names[0]))
			tc_parts_trap(rule, "a key %s", names[i].name);
		else
			tc_parts_trap(rule, "key %u of flower", type);
	}
}

static bool
read_bytes(const struct nlattr *attr, void *bytes, size_t n)
{
	if (!attr || mnl_attr_get_payload_len(attr) != n)
		return false;
	memcpy(bytes, mnl_attr_get_payload(attr), n);
	return true;
}

// ---- tag and type

static void
match_type(struct tc_rule *rule, uint16_t type)
{
	struct flow_rule *r = &rule->entry.rule;

	if (r->mask.ether_type && r->key.ether_type != type) {
		tc_parts_trap(rule, "a type that is not the protocol's");
		return;
	}
	if (be16toh(type) < ETH_P_802_3_MIN || type == htobe16(ETH_P_8021Q) || type == htobe16(ETH_P_8021AD)) {
		tc_parts_trap(rule, "type 0x%04x", be16toh(type));
		return;
	}
	r->key.ether_type = type;
	r->mask.ether_type = UINT16_MAX;
}

// Behind the tag's type the kernel also writes the inner one as ETH_TYPE.
static void
match_tag(struct tc_rule *rule, const struct nlattr *const keys[N_KEYS], uint16_t type)
{
	struct flow_rule *r = &rule->entry.rule;
	uint16_t vid;
	uint8_t pcp;

	(void)read_bytes(keys[TCA_FLOWER_KEY_VLAN_ETH_TYPE], &type, sizeof(type));
	if (type && (type != htobe16(ETH_P_8021Q) || keys[TCA_FLOWER_KEY_VLAN_ETH_TYPE]))
		match_type(rule, type);
	if (!read_bytes(keys[TCA_FLOWER_KEY_VLAN_ID], &vid, sizeof(vid)) || vid > VLAN_VID) {
		tc_parts_trap(rule, "any VLAN");
		return;
	}
	r->key.vlan = htobe16(FLOW_KEY_VLAN_PRESENT | vid);
	r->mask.vlan = htobe16(FLOW_KEY_VLAN_PRESENT | VLAN_VID);
	if (read_bytes(keys[TCA_FLOWER_KEY_VLAN_PRIO], &pcp, sizeof(pcp)) && pcp < 8) {
		r->key.vlan |= htobe16((uint16_t)(pcp << VLAN_PCP_SHIFT));
		r->mask.vlan |= htobe16(7 << VLAN_PCP_SHIFT);
	}
}

static void
match_frame(struct tc_rule *rule, const struct nlattr *const keys[N_KEYS], uint16_t protocol)
{
	struct flow_rule *r = &rule->entry.rule;
	uint16_t type = 0;

	(void)read_bytes(keys[TCA_FLOWER_KEY_ETH_TYPE], &type, sizeof(type));
	if (protocol == ETH_P_8021Q)
		match_tag(rule, keys, type);
	else if (keys[TCA_FLOWER_KEY_VLAN_ID] || keys[TCA_FLOWER_KEY_VLAN_PRIO] || keys[TCA_FLOWER_KEY_VLAN_ETH_TYPE])
		tc_parts_trap(rule, "a VLAN behind protocol 0x%04x", protocol);
	else if (type)
		match_type(rule, type);
	if (protocol == ETH_P_ALL && r->mask.ether_type)
		r->mask.vlan = htobe16(FLOW_KEY_VLAN_PRESENT);
}

// ---- what is behind the type

static bool
is_family(const struct flow_rule *r, enum family family)
{
	uint16_t type = r->mask.ether_type ? be16toh(r->key.ether_type) : 0;

	switch (family) {
	case ANY:
		return true;
	case IP:
		return type == FRAME_ETHER_IPV4 || type == FRAME_ETHER_IPV6;
	case IPV4:
		return type == FRAME_ETHER_IPV4;
	case IPV6:
		return type == FRAME_ETHER_IPV6;
	case ARP:
		return type == FRAME_ETHER_ARP;
	}
	return false;
}

static bool
is_proto(const struct flow_rule *r, uint8_t proto)
{
	return !proto || (r->mask.ip_proto == UINT8_MAX && r->key.ip_proto == proto);
}

// Takes the bits away that a rule's mask cannot have.
static void
cut_mask(const struct field *f, uint8_t *mask)
{
	bool is_prefix = true;

	if (f->value == TCA_FLOWER_KEY_IP_TOS)
		mask[0] = (mask[0] & DSCP) == DSCP ? DSCP : 0;
	else if (f->size == 1)
		mask[0] = mask[0] == UINT8_MAX ? UINT8_MAX : 0;
	for (unsigned i = 0; f->size >= 4 && f->family != ANY && i < 8 * f->size; i++) {
		is_prefix = is_prefix && mask[i / 8] & 0x80 >> i % 8;
		if (!is_prefix)
			mask[i / 8] &= (uint8_t)~(0x80 >> i % 8);
	}
}

static void
match_field(struct tc_rule *rule, const struct nlattr *const keys[N_KEYS], const struct field *f)
{
	static const uint8_t zeros[16];
	struct flow_rule *r = &rule->entry.rule;
	uint8_t value[16], mask[16], wanted[16];

	memset(mask, 0xff, sizeof(mask));
	if (!keys[f->value])
		return;
	if (!read_bytes(keys[f->value], value, f->size) ||
		(f->mask && keys[f->mask] && !read_bytes(keys[f->mask], mask, f->size)) || !is_family(r, f->family) ||
		!is_proto(r, f->proto)) {
		tc_parts_trap(rule, "a key that its packets do not have");
		return;
	}
	if (!memcmp(mask, zeros, f->size))
		return;
	if (f->value == TCA_FLOWER_KEY_TCP_FLAGS)
		mask[0] &= TCP_FLAGS_HIGH; // packets have none above
	memcpy(wanted, mask, f->size);
	cut_mask(f, mask);
	if (memcmp(wanted, mask, f->size) != 0)
		tc_parts_trap(rule, "a mask that rules cannot have");
	if (!memcmp(mask, zeros, f->size))
		return;
	for (size_t i = 0; i < f->size; i++) {
		((uint8_t *)&r->key)[f->at + i] = value[i] & mask[i];
		((uint8_t *)&r->mask)[f->at + i] = mask[i];
	}
	if (f->size == 1 &&
		(f->at == offsetof(struct flow_key, l4_src) + 1 || f->at == offsetof(struct flow_key, l4_dst) + 1))
		((uint8_t *)&r->mask)[f->at - 1] = UINT8_MAX;
}

static void
match_fragments(struct tc_rule *rule, const struct nlattr *const keys[N_KEYS])
{
	const uint32_t known = TCA_FLOWER_KEY_FLAGS_IS_FRAGMENT | TCA_FLOWER_KEY_FLAGS_FRAG_IS_FIRST;
	struct flow_rule *r = &rule->entry.rule;
	uint32_t flags = 0, mask = 0;
	bool is_first;

	if (!keys[TCA_FLOWER_KEY_FLAGS] && !keys[TCA_FLOWER_KEY_FLAGS_MASK])
		return;
	if (!read_bytes(keys[TCA_FLOWER_KEY_FLAGS], &flags, sizeof(flags)) ||
		!read_bytes(keys[TCA_FLOWER_KEY_FLAGS_MASK], &mask, sizeof(mask)) || !is_family(r, IP)) {
		tc_parts_trap(rule, "a key that its packets do not have");
		return;
	}
	flags = be32toh(flags);
	mask = be32toh(mask);
	if (mask & ~known)
		tc_parts_trap(rule, "flags 0x%x of packets", mask & ~known);
	is_first = flags & TCA_FLOWER_KEY_FLAGS_FRAG_IS_FIRST;
	switch (mask & known) {
	case TCA_FLOWER_KEY_FLAGS_IS_FRAGMENT:
		r->key.ip_frag = flags & TCA_FLOWER_KEY_FLAGS_IS_FRAGMENT ? FLOW_FRAG_ANY : 0;
		r->mask.ip_frag = FLOW_FRAG_ANY;
		break;
	case TCA_FLOWER_KEY_FLAGS_IS_FRAGMENT | TCA_FLOWER_KEY_FLAGS_FRAG_IS_FIRST:
		if (!(flags & TCA_FLOWER_KEY_FLAGS_IS_FRAGMENT)) {
			r->mask.ip_frag = FLOW_FRAG_ANY;
			if (is_first)
				tc_parts_trap(rule, "a fragment that is none");
		} else if (is_first) {
			r->key.ip_frag = FLOW_FRAG_ANY;
			r->mask.ip_frag = FLOW_FRAG_ANY | FLOW_FRAG_LATER;
		} else {
			r->key.ip_frag = r->mask.ip_frag = FLOW_FRAG_LATER;
		}
		break;
	case TCA_FLOWER_KEY_FLAGS_FRAG_IS_FIRST:
		if (is_first) {
			r->key.ip_frag = FLOW_FRAG_ANY;
			r->mask.ip_frag = FLOW_FRAG_ANY | FLOW_FRAG_LATER;
		} else {
			tc_parts_trap(rule, "fragments that are not the first");
		}
		break;
	}
}

void
tc_match_flower(struct tc_rule *rule, const struct nlattr *options, uint16_t protocol)
{
	const struct nlattr *keys[N_KEYS] = {0};

	read_keys(rule, options, keys);
	refuse_others(rule, keys);
	match_frame(rule, keys, protocol);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		match_field(rule, keys, &fields[i]);
	match_fragments(rule, keys);
}
