// The list of actions becomes what a rule does. tc executes the list in order. A rule writes
// headers, takes a tag, puts a tag, and then outputs; a list that says something else is a trap. A
// list also has to end: a packet that goes on from it is for the guest's kernel. Sources:
// linux/tc_act/*.h, tcf_action_exec() of net/sched/act_api.c, tcf_pedit_act() of act_pedit.c.
#include "rtvs/flow_key.h"
#include "rtvs/frame.h"
#include "tc_parts.h"

#include <endian.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/tc_act/tc_csum.h>
#include <linux/tc_act/tc_gact.h>
#include <linux/tc_act/tc_mirred.h>
#include <linux/tc_act/tc_pedit.h>
#include <linux/tc_act/tc_vlan.h>
#include <string.h>

#define ACT_MAX 32 // TCA_ACT_MAX_PRIO
#define PROTO_TCP 6
#define PROTO_UDP 17
#define VLAN_VID 0x0fff
#define VLAN_PCP 0xe000
#define VLAN_PCP_SHIFT 13
#define HEADER_MAX 40 // of those that can be written

struct list {
	struct tc_rule *rule;
	const struct tc_rule_ports *ports;
	struct flow_action action;
	bool is_over; // a packet goes no further
};

// Bytes of one header, to which an action writes.
struct written {
	uint8_t value[HEADER_MAX], mask[HEADER_MAX];
};

// What comes behind an action.
static void
go_on(struct list *list, int verdict)
{
	switch (verdict) {
	case TC_ACT_PIPE:
		return;
	case TC_ACT_SHOT:
	case TC_ACT_STOLEN:
	case TC_ACT_QUEUED:
		list->is_over = true;
		return;
	case TC_ACT_OK:
		tc_parts_trap(list->rule, "its packets are for the guest's kernel");
		return;
	case TC_ACT_TRAP:
		tc_parts_trap(list->rule, "action trap");
		return;
	}
	if (TC_ACT_EXT_CMP(verdict, TC_ACT_GOTO_CHAIN))
		tc_parts_trap(list->rule, "action goto");
	else
		tc_parts_trap(list->rule, "an action that continues elsewhere");
}

// The parameters of a kind, which all begin as struct tc_gact does. False: they are not there.
static bool
read_params(struct list *list, const struct nlattr *attr, void *params, size_t n)
{
	if (mnl_attr_get_payload_len(attr) < n) {
		tc_parts_trap(list->rule, "an action without its parameters");
		return false;
	}
	memcpy(params, mnl_attr_get_payload(attr), n);
	return true;
}

static bool
may_modify(struct list *list)
{
	if (list->action.n_outputs)
		tc_parts_trap(list->rule, "a change behind an output");
	return !list->action.n_outputs;
}

static void
read_gact(struct list *list, const struct nlattr *options)
{
	const struct nlattr *attr;
	struct tc_gact params = {.action = TC_ACT_UNSPEC};

	mnl_attr_for_each_nested(attr, options)
	{
		if (mnl_attr_get_type(attr) == TCA_GACT_PROB)
			tc_parts_trap(list->rule, "an action by chance");
		else if (mnl_attr_get_type(attr) == TCA_GACT_PARMS)
			(void)read_params(list, attr, &params, sizeof(params));
	}
	go_on(list, params.action);
}

static void
read_mirred(struct list *list, const struct nlattr *options)
{
	struct tc_mirred params = {.action = TC_ACT_UNSPEC};
	struct flow_action *action = &list->action;
	const struct nlattr *attr;
	uint16_t port = 0;

	mnl_attr_for_each_nested(attr, options)
	{
		if (mnl_attr_get_type(attr) == TCA_MIRRED_PARMS)
			(void)read_params(list, attr, &params, sizeof(params));
		else if (mnl_attr_get_type(attr) > TCA_MIRRED_PAD)
			tc_parts_trap(list->rule, "an output to a block");
	}
	while (port < TC_RULE_PORTS && (!params.ifindex || list->ports->ifindex[port] != params.ifindex))
		port++;
	if (params.eaction != TCA_EGRESS_REDIR && params.eaction != TCA_EGRESS_MIRROR)
		tc_parts_trap(list->rule, "an output to an ingress");
	else if (port == TC_RULE_PORTS)
		tc_parts_trap(list->rule, "an output to interface %u, which is no representor", params.ifindex);
	else if (action->n_outputs == FLOW_OUTPUTS_MAX)
		tc_parts_trap(list->rule, "more than %d outputs", FLOW_OUTPUTS_MAX);
	else
		action->output[action->n_outputs++] = port;
	go_on(list, params.action);
}

// ---- tags

static void
pop_tag(struct list *list)
{
	struct flow_action *action = &list->action;

	if (action->push_tci) {
		action->push_tci = 0;
	} else if (action->pops_tag) {
		tc_parts_trap(list->rule, "more than one tag is taken");
	} else {
		action->pops_tag = true;
		action->set.value.vlan = action->set.mask.vlan = 0;
	}
}

static void
modify_tag(struct list *list, uint16_t tci, bool has_pcp)
{
	uint16_t bits = has_pcp ? VLAN_VID | VLAN_PCP : VLAN_VID;
	const struct flow_rule *match = &list->rule->entry.rule;
	struct flow_action *action = &list->action;

	if (action->push_tci) {
		action->push_tci = (uint16_t)((action->push_tci & ~bits) | tci);
	} else if (action->pops_tag) {
		tc_parts_trap(list->rule, "a change of the second tag");
	} else if (!(match->key.vlan & htobe16(FLOW_KEY_VLAN_PRESENT))) {
		tc_parts_trap(list->rule, "a change of a tag that packets may not have");
	} else {
		action->set.mask.vlan |= htobe16(bits);
		action->set.value.vlan = (uint16_t)((action->set.value.vlan & ~htobe16(bits)) | htobe16(tci));
	}
}

static void
read_vlan(struct list *list, const struct nlattr *options)
{
	struct tc_vlan params = {.action = TC_ACT_UNSPEC};
	uint16_t vid = 0, protocol = htobe16(ETH_P_8021Q);
	const struct nlattr *attr;
	bool has_pcp = false;
	uint8_t pcp = 0;
	uint16_t tci;

	mnl_attr_for_each_nested(attr, options)
	{
		switch (mnl_attr_get_type(attr)) {
		case TCA_VLAN_PARMS:
			(void)read_params(list, attr, &params, sizeof(params));
			break;
		case TCA_VLAN_PUSH_VLAN_ID:
			(void)read_params(list, attr, &vid, sizeof(vid));
			break;
		case TCA_VLAN_PUSH_VLAN_PROTOCOL:
			(void)read_params(list, attr, &protocol, sizeof(protocol));
			break;
		case TCA_VLAN_PUSH_VLAN_PRIORITY:
			has_pcp = read_params(list, attr, &pcp, sizeof(pcp));
			break;
		}
	}
	if (!may_modify(list))
		return;
	tci = (uint16_t)((vid & VLAN_VID) | (uint16_t)(pcp << VLAN_PCP_SHIFT));
	if (vid > VLAN_VID || pcp > 7 || protocol != htobe16(ETH_P_8021Q))
		tc_parts_trap(list->rule, "a tag 0x%04x", be16toh(protocol));
	else if (params.v_action == TCA_VLAN_ACT_POP)
		pop_tag(list);
	else if (params.v_action == TCA_VLAN_ACT_MODIFY)
		modify_tag(list, tci, has_pcp);
	else if (params.v_action != TCA_VLAN_ACT_PUSH)
		tc_parts_trap(list->rule, "an action of kind vlan, %d", params.v_action);
	else if (list->action.push_tci)
		tc_parts_trap(list->rule, "more than one tag is put");
	else
		list->action.push_tci = (uint16_t)(tci | FLOW_KEY_VLAN_PRESENT);
	go_on(list, params.action);
}

// ---- headers

static const struct place {
	enum pedit_header_type header;
	size_t at, size; // in the header
	size_t to; // in a key
} places[] = {
#define TO(member) offsetof(struct flow_key, member)
	{TCA_PEDIT_KEY_EX_HDR_TYPE_ETH, 0, 6, TO(eth_dst)},
	{TCA_PEDIT_KEY_EX_HDR_TYPE_ETH, 6, 6, TO(eth_src)},
	{TCA_PEDIT_KEY_EX_HDR_TYPE_IP4, 1, 1, TO(ip_tos)},
	{TCA_PEDIT_KEY_EX_HDR_TYPE_IP4, 8, 1, TO(ip_ttl)},
	{TCA_PEDIT_KEY_EX_HDR_TYPE_IP4, 12, 4, TO(ip_src)},
	{TCA_PEDIT_KEY_EX_HDR_TYPE_IP4, 16, 4, TO(ip_dst)},
	{TCA_PEDIT_KEY_EX_HDR_TYPE_IP6, 7, 1, TO(ip_ttl)},
	{TCA_PEDIT_KEY_EX_HDR_TYPE_IP6, 8, 16, TO(ip_src)},
	{TCA_PEDIT_KEY_EX_HDR_TYPE_IP6, 24, 16, TO(ip_dst)},
	{TCA_PEDIT_KEY_EX_HDR_TYPE_TCP, 0, 2, TO(l4_src)},
	{TCA_PEDIT_KEY_EX_HDR_TYPE_TCP, 2, 2, TO(l4_dst)},
	{TCA_PEDIT_KEY_EX_HDR_TYPE_UDP, 0, 2, TO(l4_src)},
	{TCA_PEDIT_KEY_EX_HDR_TYPE_UDP, 2, 2, TO(l4_dst)},
#undef TO
};

static bool
has_header(const struct flow_rule *r, enum pedit_header_type header)
{
	uint16_t type = r->mask.ether_type ? be16toh(r->key.ether_type) : 0;
	uint8_t proto = r->mask.ip_proto ? r->key.ip_proto : 0;

	switch (header) {
	case TCA_PEDIT_KEY_EX_HDR_TYPE_ETH:
		return true;
	case TCA_PEDIT_KEY_EX_HDR_TYPE_IP4:
		return type == FRAME_ETHER_IPV4;
	case TCA_PEDIT_KEY_EX_HDR_TYPE_IP6:
		return type == FRAME_ETHER_IPV6;
	case TCA_PEDIT_KEY_EX_HDR_TYPE_TCP:
		return proto == PROTO_TCP;
	case TCA_PEDIT_KEY_EX_HDR_TYPE_UDP:
		return proto == PROTO_UDP;
	default:
		return false;
	}
}

// What is written must be whole fields, or the DSCP, which is 6 bits.
static void
take_fields(struct list *list, enum pedit_header_type header, struct written *w)
{
	uint8_t *value = (uint8_t *)&list->action.set.value, *mask = (uint8_t *)&list->action.set.mask;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		const struct place *p = &places[i];

		if (p->header != header)
			continue;
		for (size_t k = 0; k < p->size; k++) {
			value[p->to + k] = (uint8_t)((value[p->to + k] & ~w->mask[p->at + k]) | w->value[p->at + k]);
			mask[p->to + k] |= w->mask[p->at + k];
			w->mask[p->at + k] = 0;
		}
	}
	for (size_t i = 0; i < HEADER_MAX; i++)
		if (w->mask[i])
			tc_parts_trap(list->rule, "a change of a field that cannot be set");
}

// The traffic class of IPv6 lies across two bytes.
static void
take_traffic_class(struct list *list, struct written *w)
{
	struct flow_set *set = &list->action.set;
	uint8_t bits = (uint8_t)(w->mask[0] << 4 | w->mask[1] >> 4);
	uint8_t tos = (uint8_t)(w->value[0] << 4 | w->value[1] >> 4);

	set->value.ip_tos = (uint8_t)((set->value.ip_tos & ~bits) | tos);
	set->mask.ip_tos |= bits;
	w->mask[0] &= 0xf0;
	w->mask[1] &= 0x0f;
}

// The keys of one header; of each the kernel makes word = (word & mask) ^ val.
static void
write_header(struct list *list, enum pedit_header_type header, const struct tc_pedit_key *keys,
	const enum pedit_header_type *headers, unsigned n)
{
	struct written w = {0};
	bool is_used = false;

	for (unsigned i = 0; i < n; i++) {
		const uint8_t *kept = (const uint8_t *)&keys[i].mask, *bits = (const uint8_t *)&keys[i].val;

		if (headers[i] != header)
			continue;
		is_used = true;
		if (keys[i].at || keys[i].offmask || keys[i].shift || keys[i].off > HEADER_MAX - 4 || keys[i].off % 4 ||
			keys[i].val & keys[i].mask) {
			tc_parts_trap(list->rule, "a change at an offset");
			return;
		}
		for (unsigned k = 0; k < 4; k++) {
			uint8_t *value = &w.value[keys[i].off + k];

			*value = (uint8_t)((*value & kept[k]) | bits[k]);
			w.mask[keys[i].off + k] |= (uint8_t)~kept[k];
		}
	}
	if (!is_used)
		return;
	if (!has_header(&list->rule->entry.rule, header)) {
		tc_parts_trap(list->rule, "a change of a header that packets may not have");
		return;
	}
	if (header == TCA_PEDIT_KEY_EX_HDR_TYPE_IP6)
		take_traffic_class(list, &w);
	take_fields(list, header, &w);
}

// How many of the keys have a header that is known.
static unsigned
read_headers(const struct nlattr *attr, enum pedit_header_type *headers, unsigned max)
{
	const struct nlattr *key, *part;
	unsigned n = 0;

	if (!attr)
		return 0;
	mnl_attr_for_each_nested(key, attr)
	{
		uint16_t header = 0, cmd = TCA_PEDIT_KEY_EX_CMD_SET;

		if (n == max)
			return 0;
		mnl_attr_for_each_nested(part, key)
		{
			if (mnl_attr_get_payload_len(part) < sizeof(uint16_t))
				return 0;
			if (mnl_attr_get_type(part) == TCA_PEDIT_KEY_EX_HTYPE)
				header = mnl_attr_get_u16(part);
			else if (mnl_attr_get_type(part) == TCA_PEDIT_KEY_EX_CMD)
				cmd = mnl_attr_get_u16(part);
		}
		if (cmd != TCA_PEDIT_KEY_EX_CMD_SET || header == TCA_PEDIT_KEY_EX_HDR_TYPE_NETWORK ||
			header > TCA_PEDIT_KEY_EX_HDR_TYPE_UDP)
			return n;
		headers[n++] = (enum pedit_header_type)header;
	}
	return n;
}

static void
read_pedit(struct list *list, const struct nlattr *options)
{
	enum pedit_header_type headers[UINT8_MAX]; // as many as there can be
	const struct nlattr *attr, *params = NULL, *extended = NULL;
	struct tc_pedit_key keys[UINT8_MAX];
	struct tc_pedit_sel sel;
	size_t n;

	mnl_attr_for_each_nested(attr, options)
	{
		if (mnl_attr_get_type(attr) == TCA_PEDIT_PARMS_EX)
			params = attr;
		else if (mnl_attr_get_type(attr) == TCA_PEDIT_KEYS_EX)
			extended = attr;
	}
	if (!params || !read_params(list, params, &sel, sizeof(sel))) {
		tc_parts_trap(list->rule, "a change at an offset");
		return;
	}
	if (!may_modify(list))
		return;
	n = sel.nkeys * sizeof(keys[0]);
	if (mnl_attr_get_payload_len(params) < sizeof(sel) + n ||
		read_headers(extended, headers, UINT8_MAX) != sel.nkeys) {
		tc_parts_trap(list->rule, "a change that is no set of a field");
		return;
	}
	memcpy(keys, (const uint8_t *)mnl_attr_get_payload(params) + sizeof(sel), n);
	for (int h = TCA_PEDIT_KEY_EX_HDR_TYPE_ETH; h <= TCA_PEDIT_KEY_EX_HDR_TYPE_UDP; h++)
		write_header(list, (enum pedit_header_type)h, keys, headers, sel.nkeys);
	go_on(list, sel.action);
}

// Checksums are brought up to date with each change.
static void
read_csum(struct list *list, const struct nlattr *options)
{
	struct tc_csum params = {.action = TC_ACT_UNSPEC};
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, options)
	{
		if (mnl_attr_get_type(attr) == TCA_CSUM_PARMS)
			(void)read_params(list, attr, &params, sizeof(params));
	}
	go_on(list, params.action);
}

// ---- the list

static void
read_action(struct list *list, const struct nlattr *action)
{
	static const struct {
		const char *kind;
		void (*read)(struct list *list, const struct nlattr *options);
	} kinds[] = {{"gact", read_gact}, {"mirred", read_mirred}, {"vlan", read_vlan}, {"pedit", read_pedit},
		{"csum", read_csum}};
	const struct nlattr *attr, *options = NULL;
	const char *kind = "?";

	mnl_attr_for_each_nested(attr, action)
	{
		if (mnl_attr_get_type(attr) == TCA_ACT_KIND && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			kind = mnl_attr_get_str(attr);
		else if (mnl_attr_get_type(attr) == TCA_ACT_OPTIONS)
			options = attr;
	}
	for (size_t i = 0; options && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kinds[i].kind, kind)) {
			kinds[i].read(list, options);
			return;
		}
	tc_parts_trap(list->rule, "action %.20s", kind);
}

void
tc_action_read(struct tc_rule *rule, const struct nlattr *actions, const struct tc_rule_ports *ports)
{
	struct list list = {.rule = rule, .ports = ports};
	const struct nlattr *action;

	if (actions) {
		mnl_attr_for_each_nested(action, actions)
		{
			if (list.is_over)
				break;
			read_action(&list, action);
		}
	}
	if (!list.is_over)
		go_on(&list, TC_ACT_OK);
	list.action.verdict = list.action.n_outputs ? FLOW_OUTPUT : FLOW_DROP;
	if (list.action.verdict == FLOW_DROP)
		list.action = (struct flow_action){.verdict = FLOW_DROP};
	rule->entry.action = list.action;
}
