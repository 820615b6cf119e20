// A filter's kind says how to read its options: tc_match.c has the keys, tc_action.c the actions.
// Whatever is not known makes a trap, so a kernel of later years is no danger. Sources:
// linux/pkt_cls.h, linux/rtnetlink.h, and tcf_fill_node() of net/sched/cls_api.c.
#include "tc_rule.h"

#include "tc_parts.h"

#include <endian.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#define INGRESS TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)
#define INGRESS_OLD 0xffff0000u // the handle of the qdiscs, as parent

struct parts {
	const struct nlattr *options, *actions;
	char kind[16];
	uint32_t chain, flags;
};

static int
find_port(const struct tc_rule_ports *ports, uint32_t ifindex)
{
	for (int i = 0; ifindex && i < TC_RULE_PORTS; i++)
		if (ports->ifindex[i] == ifindex)
			return i;
	return -1;
}

static int
read_attributes(const struct nlmsghdr *head, struct parts *parts)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, head, sizeof(struct tcmsg))
	{
		switch (mnl_attr_get_type(attr)) {
		case TCA_KIND:
			if (mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) < 0)
				return -EBADMSG;
			(void)snprintf(parts->kind, sizeof(parts->kind), "%s", mnl_attr_get_str(attr));
			break;
		case TCA_CHAIN:
			if (mnl_attr_validate(attr, MNL_TYPE_U32) < 0)
				return -EBADMSG;
			parts->chain = mnl_attr_get_u32(attr);
			break;
		case TCA_OPTIONS:
			parts->options = attr;
			break;
		}
	}
	return 0;
}

// The attributes with the actions and with the flags, which each kind numbers on its own.
static void
read_options(struct tc_rule *rule, struct parts *parts, uint16_t actions, uint16_t flags)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, parts->options)
	{
		if (mnl_attr_get_type(attr) == actions)
			parts->actions = attr;
		else if (mnl_attr_get_type(attr) == flags && !mnl_attr_validate(attr, MNL_TYPE_U32))
			parts->flags = mnl_attr_get_u32(attr);
	}
	if (parts->flags & TCA_CLS_FLAGS_SKIP_HW)
		tc_parts_trap(rule, "skip_hw");
}

static void
read_filter(struct tc_rule *rule, struct parts *parts, const struct tc_rule_ports *ports)
{
	bool is_flower = !strcmp(parts->kind, "flower"), is_matchall = !strcmp(parts->kind, "matchall");
	uint16_t protocol = be16toh(rule->id.protocol);

	tc_match_protocol(rule, protocol);
	rule->is_empty = (is_flower || is_matchall) && !parts->options;
	if (rule->is_empty) {
		tc_parts_trap(rule, "not known yet");
	} else if (is_flower) {
		read_options(rule, parts, TCA_FLOWER_ACT, TCA_FLOWER_FLAGS);
		tc_match_flower(rule, parts->options, protocol);
		tc_action_read(rule, parts->actions, ports);
	} else if (is_matchall) {
		read_options(rule, parts, TCA_MATCHALL_ACT, TCA_MATCHALL_FLAGS);
		if (protocol == ETH_P_8021Q)
			tc_parts_trap(rule, "any VLAN");
		tc_action_read(rule, parts->actions, ports);
	} else {
		tc_parts_trap(rule, "a filter of kind %s", parts->kind);
	}
	if (rule->reason[0])
		rule->entry.action = (struct flow_action){.verdict = FLOW_ALLOW};
}

static bool
is_text(const struct flow_entry *entry)
{
	char text[FLOW_TEXT_SIZE], err[FLOW_TEXT_ERROR_SIZE];
	struct flow_entry again;

	return !flow_text_parse(flow_text_format(entry, &flow_text_vfs, text), &flow_text_vfs, &again, err) &&
		again.rule.priority == entry->rule.priority &&
		!memcmp(&again.rule.key, &entry->rule.key, sizeof(again.rule.key)) &&
		!memcmp(&again.rule.mask, &entry->rule.mask, sizeof(again.rule.mask)) &&
		flow_set_is_same_action(&again.action, &entry->action);
}

int
tc_rule_read(const void *message, size_t len, const struct tc_rule_ports *ports, struct tc_rule *ret_rule)
{
	const struct nlmsghdr *head = message;
	struct tc_rule rule = {0};
	struct parts parts = {0};
	const struct tcmsg *tcm;
	int in;

	// mnl_nlmsg_ok() takes lengths from 2^31 on for negative ones.
	if (len > INT32_MAX || len < sizeof(*head) || head->nlmsg_len > len || !mnl_nlmsg_ok(head, (int)len) ||
		head->nlmsg_len % MNL_ALIGNTO ||
		(head->nlmsg_type != RTM_NEWTFILTER && head->nlmsg_type != RTM_DELTFILTER) ||
		mnl_nlmsg_get_payload_len(head) < sizeof(*tcm))
		return -EBADMSG;
	tcm = mnl_nlmsg_get_payload(head);
	if (read_attributes(head, &parts))
		return -EBADMSG;
	in = find_port(ports, (uint32_t)tcm->tcm_ifindex);
	if (in < 0 || (tcm->tcm_parent != INGRESS && tcm->tcm_parent != INGRESS_OLD) || parts.chain)
		return -ENOMSG;
	rule.id = (struct tc_rule_id){.ifindex = (uint32_t)tcm->tcm_ifindex,
		.handle = tcm->tcm_handle,
		.priority = (uint16_t)(tcm->tcm_info >> 16),
		.protocol = (uint16_t)tcm->tcm_info};
	rule.in = (uint16_t)in;
	rule.is_deleted = head->nlmsg_type == RTM_DELTFILTER;
	rule.entry.rule.priority = (uint32_t)(FLOW_PRIORITY_MAX - rule.id.priority);
	if (!rule.is_deleted) {
		read_filter(&rule, &parts, ports);
		if (!is_text(&rule.entry)) {
			tc_parts_trap(&rule, "a rule of the switch cannot say it");
			rule.entry.rule.key = rule.entry.rule.mask = (struct flow_key){0};
			rule.entry.action = (struct flow_action){.verdict = FLOW_ALLOW};
		}
	}
	*ret_rule = rule;
	return 0;
}
