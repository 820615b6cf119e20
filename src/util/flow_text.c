// One table has the fields, in the order in which they are written: what follows another needs it.
#include "rtvs/flow_text.h"

#include "rtvs/flow_key.h"
#include "rtvs/frame.h"
#include "rtvs/text.h"
#include "rtvs/units.h"

#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_SIZE 160
#define PROTO_ICMP 1
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_ICMP6 58
#define PROTO_SCTP 132
#define VLAN_VID 0x0fff
#define VLAN_PCP 0xe000
#define VLAN_NONE 0xffff // dl_vlan: untagged
#define DSCP 0xfc // of the TOS byte

// What has to be known of a packet so that it has a field.
enum needs {
	NEEDS_NOTHING,
	NEEDS_IP, // of any version
	NEEDS_IPV4,
	NEEDS_IPV6,
	NEEDS_ARP,
	NEEDS_PORTS,
	NEEDS_TCP,
	NEEDS_ICMP, // of any version
	NEEDS_TAG
};

enum kind {
	KIND_NUMBER, // big-endian, of 1 or 2 bytes
	KIND_MAC,
	KIND_V4,
	KIND_V6,
	KIND_DSCP,
	KIND_VLAN,
	KIND_PCP,
	KIND_FRAG
};

struct field {
	const char *name, *other; // other: a name that is read, too; NULL: none
	enum kind kind;
	enum needs needs;
	size_t at, size; // in a key
	uint32_t max; // of a number
	bool has_mask; // it may have one: VALUE/MASK
	bool can_be_set; // by an action
};

#define AT(member) offsetof(struct flow_key, member), sizeof(((struct flow_key *)NULL)->member)
static const struct field fields[] = {
	{"dl_src", "eth_src", KIND_MAC, NEEDS_NOTHING, AT(eth_src), 0, true, true},
	{"dl_dst", "eth_dst", KIND_MAC, NEEDS_NOTHING, AT(eth_dst), 0, true, true},
	{"dl_vlan", NULL, KIND_VLAN, NEEDS_NOTHING, AT(vlan), 0, false, true},
	{"dl_vlan_pcp", NULL, KIND_PCP, NEEDS_TAG, AT(vlan), 7, false, true},
	{"dl_type", "eth_type", KIND_NUMBER, NEEDS_NOTHING, AT(ether_type), UINT16_MAX, false, false},
	{"nw_src", "ip_src", KIND_V4, NEEDS_IPV4, AT(ip_src), 0, false, true},
	{"nw_dst", "ip_dst", KIND_V4, NEEDS_IPV4, AT(ip_dst), 0, false, true},
	{"ipv6_src", NULL, KIND_V6, NEEDS_IPV6, AT(ip_src), 0, false, true},
	{"ipv6_dst", NULL, KIND_V6, NEEDS_IPV6, AT(ip_dst), 0, false, true},
	{"arp_spa", NULL, KIND_V4, NEEDS_ARP, AT(ip_src), 0, false, false},
	{"arp_tpa", NULL, KIND_V4, NEEDS_ARP, AT(ip_dst), 0, false, false},
	{"arp_op", NULL, KIND_NUMBER, NEEDS_ARP, AT(ip_proto), UINT8_MAX, false, false},
	{"nw_proto", "ip_proto", KIND_NUMBER, NEEDS_IP, AT(ip_proto), UINT8_MAX, false, false},
	{"ip_dscp", NULL, KIND_DSCP, NEEDS_IP, AT(ip_tos), 63, false, true},
	{"nw_ttl", NULL, KIND_NUMBER, NEEDS_IP, AT(ip_ttl), UINT8_MAX, false, true},
	{"ip_frag", NULL, KIND_FRAG, NEEDS_IP, AT(ip_frag), 0, false, false},
	{"tp_src", NULL, KIND_NUMBER, NEEDS_PORTS, AT(l4_src), UINT16_MAX, true, true},
	{"tp_dst", NULL, KIND_NUMBER, NEEDS_PORTS, AT(l4_dst), UINT16_MAX, true, true},
	{"tcp_flags", NULL, KIND_NUMBER, NEEDS_TCP, AT(tcp_flags), 0xfff, true, false},
	{"icmp_type", "icmpv6_type", KIND_NUMBER, NEEDS_ICMP, AT(l4_src), UINT8_MAX, false, false},
	{"icmp_code", "icmpv6_code", KIND_NUMBER, NEEDS_ICMP, AT(l4_dst), UINT8_MAX, false, false},
};
#define N_FIELDS (sizeof(fields) / sizeof(fields[0]))

// Words for a type, and a protocol. Of two that say the same the first is written.
static const struct {
	const char *name;
	uint16_t ether_type;
	uint8_t proto; // 0: any
} protocols[] = {
	{"tcp", FRAME_ETHER_IPV4, PROTO_TCP},
	{"udp", FRAME_ETHER_IPV4, PROTO_UDP},
	{"sctp", FRAME_ETHER_IPV4, PROTO_SCTP},
	{"icmp", FRAME_ETHER_IPV4, PROTO_ICMP},
	{"tcp6", FRAME_ETHER_IPV6, PROTO_TCP},
	{"udp6", FRAME_ETHER_IPV6, PROTO_UDP},
	{"sctp6", FRAME_ETHER_IPV6, PROTO_SCTP},
	{"icmp6", FRAME_ETHER_IPV6, PROTO_ICMP6},
	{"ip", FRAME_ETHER_IPV4, 0},
	{"ipv6", FRAME_ETHER_IPV6, 0},
	{"arp", FRAME_ETHER_ARP, 0},
};
#define N_PROTOCOLS (sizeof(protocols) / sizeof(protocols[0]))

static const struct {
	const char *name;
	uint8_t value, mask;
} frags[] = {
	{"no", 0, FLOW_FRAG_ANY},
	{"yes", FLOW_FRAG_ANY, FLOW_FRAG_ANY},
	{"first", FLOW_FRAG_ANY, FLOW_FRAG_ANY | FLOW_FRAG_LATER},
	{"later", FLOW_FRAG_LATER, FLOW_FRAG_LATER},
	{"not_later", 0, FLOW_FRAG_LATER},
};
#define N_FRAGS (sizeof(frags) / sizeof(frags[0]))

static int __attribute__((format(printf, 2, 3)))
fails(char err[FLOW_TEXT_ERROR_SIZE], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(err, FLOW_TEXT_ERROR_SIZE, format, args);
	va_end(args);
	return -EINVAL;
}

static uint16_t
type_of(const struct flow_rule *rule)
{
	return rule->mask.ether_type == UINT16_MAX ? be16toh(rule->key.ether_type) : 0;
}

static uint8_t
proto_of(const struct flow_rule *rule)
{
	return rule->mask.ip_proto == UINT8_MAX ? rule->key.ip_proto : 0;
}

// ---- ports of an eswitch

static bool
find_vf(const void *arg, const char *name, uint16_t *ret_number)
{
	uint64_t vf = FLOW_TEXT_UPLINK;

	(void)arg;
	if (strcmp(name, "uplink") != 0 &&
		(strncmp(name, "vf", 2) != 0 || (name[2] == '0' && name[3]) || units_parse_uint(name + 2, &vf) ||
			vf >= FLOW_TEXT_VFS))
		return false;
	*ret_number = (uint16_t)vf;
	return true;
}

static const char *
name_vf(const void *arg, uint16_t number, char buf[RTVS_NAME_SIZE])
{
	(void)arg;
	if (number == FLOW_TEXT_UPLINK)
		(void)snprintf(buf, RTVS_NAME_SIZE, "uplink");
	else
		(void)snprintf(buf, RTVS_NAME_SIZE, "vf%u", number);
	return buf;
}

const struct flow_text_ports flow_text_vfs = {.find = find_vf, .name = name_vf};

// ---- what a rule says of its packets

static const char *
needed(enum needs needs)
{
	static const char *const words[] = {[NEEDS_NOTHING] = "",
		[NEEDS_IP] = "ip or ipv6",
		[NEEDS_IPV4] = "ip",
		[NEEDS_IPV6] = "ipv6",
		[NEEDS_ARP] = "arp",
		[NEEDS_PORTS] = "tcp, udp, sctp, tcp6, udp6 or sctp6",
		[NEEDS_TCP] = "tcp or tcp6",
		[NEEDS_ICMP] = "icmp or icmp6",
		[NEEDS_TAG] = "dl_vlan"};

	return words[needs];
}

static bool
has_needs(const struct flow_rule *rule, enum needs needs)
{
	uint16_t type = type_of(rule);
	uint8_t proto = proto_of(rule);
	bool is_ip = type == FRAME_ETHER_IPV4 || type == FRAME_ETHER_IPV6;

	switch (needs) {
	case NEEDS_NOTHING:
		return true;
	case NEEDS_IP:
		return is_ip;
	case NEEDS_IPV4:
		return type == FRAME_ETHER_IPV4;
	case NEEDS_IPV6:
		return type == FRAME_ETHER_IPV6;
	case NEEDS_ARP:
		return type == FRAME_ETHER_ARP;
	case NEEDS_PORTS:
		return is_ip && (proto == PROTO_TCP || proto == PROTO_UDP || proto == PROTO_SCTP);
	case NEEDS_TCP:
		return is_ip && proto == PROTO_TCP;
	case NEEDS_ICMP:
		return is_ip && proto == (type == FRAME_ETHER_IPV4 ? PROTO_ICMP : PROTO_ICMP6);
	case NEEDS_TAG:
		return (rule->key.vlan & rule->mask.vlan) & htobe16(FLOW_KEY_VLAN_PRESENT);
	}
	return false;
}

// ---- fields

static void
put(struct flow_key *key, const struct field *f, const void *bytes)
{
	memcpy((uint8_t *)key + f->at, bytes, f->size);
}

static const uint8_t *
get(const struct flow_key *key, const struct field *f)
{
	return (const uint8_t *)key + f->at;
}

static void
put_number(struct flow_key *key, const struct field *f, uint64_t value)
{
	uint16_t wide = htobe16((uint16_t)value);
	uint8_t narrow = (uint8_t)value;

	put(key, f, f->size == sizeof(narrow) ? (const void *)&narrow : &wide);
}

static uint16_t
get_number(const struct flow_key *key, const struct field *f)
{
	uint16_t wide;

	if (f->size == 1)
		return *get(key, f);
	memcpy(&wide, get(key, f), sizeof(wide));
	return be16toh(wide);
}

// Decimal or 0x and hexadecimal.
static bool
parse_number(const char *text, uint64_t max, uint64_t *ret_value)
{
	char *end;
	bool is_hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*ret_value = strtoull(text, &end, is_hex ? 16 : 10);
	return !errno && !*end && *ret_value <= max;
}

static int
parse_numbers(const struct field *f, const char *value, const char *mask, struct flow_set *set, char *err)
{
	uint64_t number, bits = f->size == 1 ? UINT8_MAX : UINT16_MAX;
	uint64_t max_bits = f->max == UINT8_MAX || f->max == UINT16_MAX ? bits : f->max;

	if (!parse_number(value, f->max, &number) || (mask && !parse_number(mask, max_bits, &bits)))
		return fails(err, "%s: '%s' is no number from 0 to %u", f->name, mask ? mask : value, f->max);
	if (number & ~bits)
		return fails(err, "%s: %s has bits that are not in its mask %s", f->name, value, mask);
	if (!mask && f->max == 0xfff)
		bits = f->max;
	put_number(&set->value, f, number);
	put_number(&set->mask, f, bits);
	return 0;
}

static int
parse_mac(const struct field *f, const char *value, const char *mask, struct flow_set *set, char *err)
{
	struct mac mac, bits = {{255, 255, 255, 255, 255, 255}};

	if (units_parse_mac(value, &mac) || (mask && units_parse_mac(mask, &bits)))
		return fails(err, "%s: '%s' is no MAC address like 52:54:00:00:00:01", f->name, mask ? mask : value);
	for (unsigned i = 0; i < sizeof(mac.b); i++)
		if (mac.b[i] & ~bits.b[i])
			return fails(err, "%s: %s has bits that are not in its mask %s", f->name, value, mask);
	put(&set->value, f, mac.b);
	put(&set->mask, f, bits.b);
	return 0;
}

static int
parse_address(const struct field *f, const char *value, struct flow_set *set, char *err)
{
	struct prefix prefix;
	uint8_t bits[16] = {0};
	bool is_v6 = f->kind == KIND_V6;

	if (units_parse_prefix(value, &prefix) || prefix.is_v6 != is_v6)
		return fails(err, "%s: '%s' is no IPv%d address, or network like %s without bits behind its length",
			f->name, value, is_v6 ? 6 : 4, is_v6 ? "2001:db8::/64" : "10.0.0.0/8");
	for (unsigned i = 0; i < prefix.len; i++)
		bits[i / 8] |= (uint8_t)(0x80 >> i % 8);
	put(&set->value, f, prefix.addr);
	put(&set->mask, f, bits);
	return 0;
}

// An action writes into a tag that is there.
static int
parse_vid(const struct field *f, const char *value, struct flow_set *set, char *err)
{
	uint64_t vid;

	if (!parse_number(value, VLAN_VID, &vid))
		return fails(err, "%s: '%s' is no number from 0 to %u", f->name, value, VLAN_VID);
	set->mask.vlan |= htobe16(VLAN_VID);
	set->value.vlan |= htobe16((uint16_t)vid);
	return 0;
}

static int
parse_vlan(const struct field *f, const char *value, struct flow_set *set, char *err)
{
	uint64_t vid;

	if (!parse_number(value, VLAN_NONE, &vid) || (vid > VLAN_VID && vid != VLAN_NONE))
		return fails(
			err, "%s: '%s' is no number from 0 to 4095, and not 0xffff, which is no tag", f->name, value);
	set->mask.vlan |= htobe16(vid == VLAN_NONE ? FLOW_KEY_VLAN_PRESENT : FLOW_KEY_VLAN_PRESENT | VLAN_VID);
	if (vid != VLAN_NONE)
		set->value.vlan |= htobe16((uint16_t)(FLOW_KEY_VLAN_PRESENT | vid));
	return 0;
}

static int
parse_frag(const struct field *f, const char *value, struct flow_set *set, char *err)
{
	for (size_t i = 0; i < N_FRAGS; i++)
		if (!strcmp(frags[i].name, value)) {
			set->value.ip_frag = frags[i].value;
			set->mask.ip_frag = frags[i].mask;
			return 0;
		}
	return fails(err, "%s: '%s' is none of no, yes, first, later and not_later", f->name, value);
}

// Into what a rule matches on, or what an action sets.
static int
parse_value(const struct field *f, char *value, bool is_action, struct flow_set *set, char *err)
{
	bool takes_slash = f->kind == KIND_V4 || f->kind == KIND_V6;
	char *mask = takes_slash ? NULL : strchr(value, '/');
	uint64_t number;

	if (mask) {
		*mask++ = '\0';
		if (!f->has_mask)
			return fails(err, "%s takes no mask", f->name);
	}
	switch (f->kind) {
	case KIND_NUMBER:
		return parse_numbers(f, value, mask, set, err);
	case KIND_MAC:
		return parse_mac(f, value, mask, set, err);
	case KIND_V4:
	case KIND_V6:
		return parse_address(f, value, set, err);
	case KIND_VLAN:
		return is_action ? parse_vid(f, value, set, err) : parse_vlan(f, value, set, err);
	case KIND_FRAG:
		return parse_frag(f, value, set, err);
	case KIND_DSCP:
	case KIND_PCP:
		break;
	}
	if (!parse_number(value, f->max, &number))
		return fails(err, "%s: '%s' is no number from 0 to %u", f->name, value, f->max);
	if (f->kind == KIND_DSCP) {
		set->value.ip_tos = (uint8_t)(number << 2);
		set->mask.ip_tos = DSCP;
	} else {
		set->value.vlan |= htobe16((uint16_t)(number << 13));
		set->mask.vlan |= htobe16(VLAN_PCP);
	}
	return 0;
}

static const struct field *
find_field(const char *name)
{
	for (size_t i = 0; i < N_FIELDS; i++)
		if (!strcmp(fields[i].name, name) || (fields[i].other && !strcmp(fields[i].other, name)))
			return &fields[i];
	return NULL;
}

static int
unknown(const char *what, const char *name, bool is_action, char *err)
{
	for (size_t i = 0; i < N_FIELDS; i++)
		if ((!is_action || fields[i].can_be_set) && text_is_near(name, fields[i].name))
			return fails(err, "%s '%.60s' is not known; did you mean %s?", what, name, fields[i].name);
	return fails(err, "%s '%.60s' is not known", what, name);
}

// ---- parsing

static int
parse_protocol(const char *name, struct flow_rule *rule, bool *ret_is_one, char *err)
{
	for (size_t i = 0; i < N_PROTOCOLS; i++) {
		if (strcmp(protocols[i].name, name) != 0)
			continue;
		*ret_is_one = true;
		if (rule->mask.ether_type)
			return fails(err, "%s: the rule has a type already", name);
		rule->key.ether_type = htobe16(protocols[i].ether_type);
		rule->mask.ether_type = UINT16_MAX;
		if (protocols[i].proto) {
			rule->key.ip_proto = protocols[i].proto;
			rule->mask.ip_proto = UINT8_MAX;
		}
		return 0;
	}
	*ret_is_one = false;
	return 0;
}

static bool
is_taken(const struct flow_key *mask, const struct field *f)
{
	uint16_t vlan = be16toh(mask->vlan);

	if (f->kind == KIND_VLAN)
		return vlan & (FLOW_KEY_VLAN_PRESENT | VLAN_VID);
	if (f->kind == KIND_PCP)
		return vlan & VLAN_PCP;
	for (size_t i = 0; i < f->size; i++)
		if (get(mask, f)[i])
			return true;
	return false;
}

static int
parse_match(char *piece, struct flow_entry *rule, bool *has_priority, char *err)
{
	struct flow_set match = {.value = rule->rule.key, .mask = rule->rule.mask};
	char *value = strchr(piece, '=');
	const struct field *f;
	uint64_t priority;
	bool is_protocol;
	int rc;

	if (!value) {
		rc = parse_protocol(piece, &rule->rule, &is_protocol, err);
		return is_protocol ? rc : unknown("field", piece, false, err);
	}
	*value++ = '\0';
	if (!strcmp(piece, "priority")) {
		if (*has_priority || !parse_number(value, FLOW_PRIORITY_MAX, &priority))
			return fails(err, "priority: one number from 0 to %u", FLOW_PRIORITY_MAX);
		*has_priority = true;
		rule->rule.priority = (uint32_t)priority;
		return 0;
	}
	f = find_field(piece);
	if (!f)
		return unknown("field", piece, false, err);
	if (is_taken(&match.mask, f))
		return fails(err, "%s: the rule has it already", f->name);
	if (!has_needs(&rule->rule, f->needs))
		return fails(err, "%s needs %s before it", f->name, needed(f->needs));
	rc = parse_value(f, value, false, &match, err);
	rule->rule.key = match.value;
	rule->rule.mask = match.mask;
	return rc;
}

static bool
does_more(const struct flow_action *action)
{
	static const struct flow_key nothing;

	return action->rate_bps || action->pops_tag || action->push_tci ||
		memcmp(&action->set.mask, &nothing, sizeof(nothing)) != 0;
}

static int
parse_rate(const char *value, struct flow_action *action, char *err)
{
	if (action->rate_bps)
		return fails(err, "actions: rate is set twice");
	if (units_parse_rate(value, &action->rate_bps) || action->rate_bps < FLOW_RATE_MIN ||
		action->rate_bps > FLOW_RATE_MAX)
		return fails(err, "actions: rate: 8kbit to 400Gbit a second, as 10Mbit");
	return 0;
}

// "VID" or "VID/PRIORITY".
static int
parse_push(char *value, struct flow_action *action, char *err)
{
	char *priority = strchr(value, '/');
	uint64_t vid, pcp = 0;

	if (priority)
		*priority++ = '\0';
	if (action->push_tci)
		return fails(err, "actions: push_vlan stands twice");
	if (!parse_number(value, VLAN_VID, &vid) || (priority && !parse_number(priority, VLAN_PCP >> 13, &pcp)))
		return fails(err, "actions: push_vlan takes a VLAN from 0 to %u, with or without /0 to /%u", VLAN_VID,
			VLAN_PCP >> 13);
	action->push_tci = (uint16_t)(FLOW_KEY_VLAN_PRESENT | vid | pcp << 13);
	return 0;
}

static int
parse_strip(struct flow_action *action, char *err)
{
	if (action->pops_tag || action->push_tci)
		return fails(err, "actions: strip_vlan stands once, before push_vlan");
	action->pops_tag = true;
	return 0;
}

static int
parse_output(const char *name, const struct flow_text_ports *ports, struct flow_action *action, char *err)
{
	uint16_t number;

	if (!ports)
		return fails(err, "actions: output is not possible here");
	if (!ports->find(ports->arg, name, &number))
		return fails(err, "actions: output: there is no port '%.60s'", name);
	if (action->n_outputs == FLOW_OUTPUTS_MAX)
		return fails(err, "actions: output stands more than %u times, the limit", FLOW_OUTPUTS_MAX);
	action->verdict = FLOW_OUTPUT;
	action->output[action->n_outputs++] = number;
	return 0;
}

static int
parse_mod(char *name, char *value, struct flow_entry *rule, char *err)
{
	const struct field *f = find_field(name);
	enum needs needs = f && f->kind == KIND_VLAN ? NEEDS_TAG : f ? f->needs : NEEDS_NOTHING;

	if (!f || !f->can_be_set)
		return unknown("actions: mod_", name, true, err);
	if (rule->action.pops_tag || rule->action.push_tci)
		return fails(err, "actions: mod_%s stands before strip_vlan and push_vlan", f->name);
	if (is_taken(&rule->action.set.mask, f))
		return fails(err, "actions: %s is set twice", f->name);
	if (!has_needs(&rule->rule, needs))
		return fails(err, "actions: mod_%s is for a rule that matches %s", f->name, needed(needs));
	if (f->needs == NEEDS_PORTS && proto_of(&rule->rule) == PROTO_SCTP)
		return fails(err, "actions: mod_%s is not for sctp, whose checksum has no difference", f->name);
	if (strchr(value, '/'))
		return fails(err, "actions: mod_%s takes no mask", f->name);
	return parse_value(f, value, true, &rule->action.set, err);
}

// What ends the list.
static int
parse_verdict(const char *piece, struct flow_action *action, char *err)
{
	action->verdict = !strcmp(piece, "drop") ? FLOW_DROP : FLOW_ALLOW;
	if (action->verdict == FLOW_DROP && does_more(action))
		return fails(err, "actions: drop stands alone");
	return 0;
}

// *ret_is_last: it ends the list.
static int
parse_action(char *piece, const struct flow_text_ports *ports, struct flow_entry *rule, bool *ret_is_last, char *err)
{
	char *value = strchr(piece, ':');

	*ret_is_last = !strcmp(piece, "drop") || !strcmp(piece, "allow") || !strcmp(piece, "normal");
	if (rule->action.verdict == FLOW_OUTPUT && strncmp(piece, "output:", 7) != 0)
		return fails(err, "actions: only outputs follow an output");
	if (*ret_is_last)
		return parse_verdict(piece, &rule->action, err);
	if (!strcmp(piece, "strip_vlan"))
		return parse_strip(&rule->action, err);
	if (value)
		*value++ = '\0';
	if (value && !strcmp(piece, "rate"))
		return parse_rate(value, &rule->action, err);
	if (value && !strcmp(piece, "push_vlan"))
		return parse_push(value, &rule->action, err);
	if (value && !strcmp(piece, "output"))
		return parse_output(value, ports, &rule->action, err);
	if (value && !strncmp(piece, "mod_", 4))
		return parse_mod(piece + 4, value, rule, err);
	return fails(err,
		"actions: '%.60s' is none of allow, drop, output:PORT, rate:RATE, mod_FIELD:VALUE, strip_vlan and "
		"push_vlan:VLAN",
		piece);
}

int
flow_text_parse(const char *text, const struct flow_text_ports *ports, struct flow_entry *ret_rule,
	char err[FLOW_TEXT_ERROR_SIZE])
{
	struct flow_entry rule = {.rule = {.priority = FLOW_PRIORITY_DEFAULT}};
	bool has_priority = false, has_actions = false, is_last = false;
	const char *cursor = text;
	char piece[PIECE_SIZE];
	int rc = 0;

	while (!rc && text_next_piece(&cursor, piece, sizeof(piece))) {
		char *at = piece;

		if (is_last)
			rc = fails(err, "actions: nothing follows allow or drop");
		else if (!*at)
			rc = fails(err, "a field is empty, or longer than %d bytes", PIECE_SIZE - 1);
		if (!rc && !has_actions && !strncmp(at, "actions=", 8)) {
			has_actions = true;
			at += 8;
		}
		if (!rc)
			rc = has_actions ? parse_action(at, ports, &rule, &is_last, err) :
					   parse_match(at, &rule, &has_priority, err);
	}
	if (!rc && !is_last && rule.action.verdict != FLOW_OUTPUT)
		rc = fails(err, "actions= is missing, with allow, drop or output at its end");
	if (!rc)
		*ret_rule = rule;
	return rc;
}

// ---- formatting

struct out {
	char *buf;
	size_t n;
};

static void __attribute__((format(printf, 2, 3)))
write_piece(struct out *out, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(out->buf + out->n, FLOW_TEXT_SIZE - out->n, format, args);
	va_end(args);
	if (n > 0)
		out->n = out->n + (size_t)n < FLOW_TEXT_SIZE ? out->n + (size_t)n : FLOW_TEXT_SIZE - 1;
}

static void
write_address(struct out *out, const struct field *f, const struct flow_set *set, bool is_action)
{
	struct prefix prefix = {.is_v6 = f->kind == KIND_V6};
	char text[UNITS_TEXT_SIZE], *slash;
	unsigned n = prefix.is_v6 ? 128 : 32;

	memcpy(prefix.addr, get(&set->value, f), n / 8);
	while (prefix.len < n && get(&set->mask, f)[prefix.len / 8] & 0x80 >> prefix.len % 8)
		prefix.len++;
	(void)units_format_prefix(&prefix, text);
	slash = prefix.len == n ? strchr(text, '/') : NULL;
	if (slash)
		*slash = '\0';
	write_piece(out, "%s%c%s,", f->name, is_action ? ':' : '=', text);
}

static void
write_mac(struct out *out, const struct field *f, const struct flow_set *set, bool is_action)
{
	static const struct mac all = {{255, 255, 255, 255, 255, 255}};
	char text[UNITS_TEXT_SIZE], bits[UNITS_TEXT_SIZE];
	struct mac mac, mask;

	memcpy(mac.b, get(&set->value, f), sizeof(mac.b));
	memcpy(mask.b, get(&set->mask, f), sizeof(mask.b));
	write_piece(out, "%s%c%s", f->name, is_action ? ':' : '=', units_format_mac(&mac, text));
	if (memcmp(&mask, &all, sizeof(all)) != 0)
		write_piece(out, "/%s", units_format_mac(&mask, bits));
	write_piece(out, ",");
}

static void
write_number(struct out *out, const struct field *f, const struct flow_set *set, bool is_action)
{
	uint16_t value = get_number(&set->value, f), mask = get_number(&set->mask, f);
	uint16_t all = f->max == 0xfff ? 0xfff : f->size == 1 ? UINT8_MAX : UINT16_MAX;

	if (mask != all || !strcmp(f->name, "dl_type") || !strcmp(f->name, "tcp_flags"))
		write_piece(out, "%s%c0x%x", f->name, is_action ? ':' : '=', value);
	else
		write_piece(out, "%s%c%u", f->name, is_action ? ':' : '=', value);
	if (mask != all)
		write_piece(out, "/0x%x", mask);
	write_piece(out, ",");
}

static void
write_field(struct out *out, const struct field *f, const struct flow_set *set, bool is_action)
{
	uint16_t vlan = be16toh(set->value.vlan);

	switch (f->kind) {
	case KIND_NUMBER:
		write_number(out, f, set, is_action);
		break;
	case KIND_MAC:
		write_mac(out, f, set, is_action);
		break;
	case KIND_V4:
	case KIND_V6:
		write_address(out, f, set, is_action);
		break;
	case KIND_DSCP:
		write_piece(out, "%s%c%u,", f->name, is_action ? ':' : '=', set->value.ip_tos >> 2);
		break;
	case KIND_VLAN:
		if (is_action || vlan & FLOW_KEY_VLAN_PRESENT)
			write_piece(out, "%s%c%u,", f->name, is_action ? ':' : '=', vlan & VLAN_VID);
		else
			write_piece(out, "%s=0x%x,", f->name, VLAN_NONE);
		break;
	case KIND_PCP:
		write_piece(out, "%s%c%u,", f->name, is_action ? ':' : '=', vlan >> 13);
		break;
	case KIND_FRAG:
		for (size_t i = 0; i < N_FRAGS; i++)
			if (set->value.ip_frag == frags[i].value && set->mask.ip_frag == frags[i].mask)
				write_piece(out, "%s=%s,", f->name, frags[i].name);
		break;
	}
}

// Type and protocol as one word, where there is one.
static struct flow_rule
write_protocol(struct out *out, const struct flow_rule *rule)
{
	struct flow_rule rest = *rule;

	for (size_t i = 0; i < N_PROTOCOLS; i++)
		if (protocols[i].ether_type == type_of(rule) &&
			(!protocols[i].proto || protocols[i].proto == proto_of(rule))) {
			write_piece(out, "%s,", protocols[i].name);
			rest.key.ether_type = rest.mask.ether_type = 0;
			if (protocols[i].proto)
				rest.key.ip_proto = rest.mask.ip_proto = 0;
			break;
		}
	return rest;
}

static void
write_verdict(struct out *out, const struct flow_action *action, const struct flow_text_ports *ports)
{
	char name[RTVS_NAME_SIZE];

	if (action->pops_tag)
		write_piece(out, "strip_vlan,");
	if (action->push_tci) {
		write_piece(out, "push_vlan:%u", action->push_tci & VLAN_VID);
		if (action->push_tci & VLAN_PCP)
			write_piece(out, "/%u", action->push_tci >> 13);
		write_piece(out, ",");
	}
	if (action->verdict != FLOW_OUTPUT)
		write_piece(out, "%s", action->verdict == FLOW_ALLOW ? "allow" : "drop");
	for (unsigned i = 0; ports && i < action->n_outputs; i++)
		write_piece(out, "%soutput:%s", i ? "," : "", ports->name(ports->arg, action->output[i], name));
}

const char *
flow_text_format(const struct flow_entry *rule, const struct flow_text_ports *ports, char buf[FLOW_TEXT_SIZE])
{
	struct out out = {.buf = buf};
	char text[UNITS_TEXT_SIZE];
	struct flow_set match;
	struct flow_rule rest;

	write_piece(&out, "priority=%u,", rule->rule.priority);
	rest = write_protocol(&out, &rule->rule);
	match = (struct flow_set){.value = rest.key, .mask = rest.mask};
	for (size_t i = 0; i < N_FIELDS; i++)
		if (is_taken(&match.mask, &fields[i]) && has_needs(&rule->rule, fields[i].needs))
			write_field(&out, &fields[i], &match, false);
	write_piece(&out, "actions=");
	if (rule->action.rate_bps)
		write_piece(&out, "rate:%s,", units_format_rate(rule->action.rate_bps, text));
	for (size_t i = 0; i < N_FIELDS; i++)
		if (fields[i].can_be_set && is_taken(&rule->action.set.mask, &fields[i]) &&
			has_needs(&rule->rule, fields[i].needs)) {
			write_piece(&out, "mod_");
			write_field(&out, &fields[i], &rule->action.set, true);
		}
	write_verdict(&out, &rule->action, ports);
	return buf;
}
