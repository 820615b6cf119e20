// Messages of a kernel, as recorded in tc_messages.txt, become the rules that stand beside them.
#include "../unit.h"
#include "tc_rule.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <stdio.h>
#include <string.h>

#define LINE_SIZE 8192
#define R0 3
#define R1 4
#define U0 2

static const struct tc_rule_ports ports = {.ifindex = {[0] = R0, [1] = R1, [FLOW_TEXT_UPLINK] = U0}};

static size_t
read_hex(const char *text, uint8_t *bytes)
{
	size_t n = strspn(text, "0123456789abcdef") / 2;

	for (size_t i = 0; i < n; i++) {
		unsigned byte;

		assert_int_equal(sscanf(text + 2 * i, "%2x", &byte), 1);
		bytes[i] = (uint8_t)byte;
	}
	return n;
}

// As the file has it: "= vf0 RULE", and "! REASON" of a trap behind it.
static void
describe(const uint8_t *message, size_t len, char *text, size_t size)
{
	char rule_text[FLOW_TEXT_SIZE], name[RTVS_NAME_SIZE];
	struct tc_rule rule;
	int rc = tc_rule_read(message, len, &ports, &rule);

	if (rc)
		(void)snprintf(text, size, "= %s\n", rc == -ENOMSG ? "none" : "no message of a filter");
	else if (rule.is_deleted)
		(void)snprintf(text, size, "= deleted handle=%u prio=%u\n", rule.id.handle, (unsigned)rule.id.priority);
	else
		(void)snprintf(text, size, "= %s %s\n%s%s%s", flow_text_vfs.name(flow_text_vfs.arg, rule.in, name),
			flow_text_format(&rule.entry, &flow_text_vfs, rule_text), rule.reason[0] ? "! " : "",
			rule.reason, rule.reason[0] ? "\n" : "");
}

static void
recorded_messages_become_rules(void **state)
{
	_Alignas(8) static uint8_t message[LINE_SIZE];
	static char line[LINE_SIZE], command[LINE_SIZE], expected[LINE_SIZE], found[LINE_SIZE];
	FILE *file = fopen(TC_MESSAGES, "r");
	unsigned n = 0;
	size_t len = 0;

	(void)state;
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (line[0] == '>') {
			(void)snprintf(command, sizeof(command), "%s", line);
			expected[0] = '\0';
		} else if (line[0] == '=' || line[0] == '!') {
			(void)strncat(expected, line, sizeof(expected) - strlen(expected) - 1);
		} else if (line[0] == '\n' && len) {
			describe(message, len, found, sizeof(found));
			if (strcmp(found, expected) != 0)
				fail_msg("%sexpected\n%sgot\n%s", command, expected, found);
			len = 0;
			n++;
		} else if (line[0] != '#' && line[0] != '\n') {
			len += read_hex(line, message + len);
		}
	}
	(void)fclose(file);
	assert_true(n > 80);
}

// Each shorter one, and each with one byte inverted, is judged without reading outside (ASan) and
// never becomes what text cannot say.
static void
break_message(const uint8_t *whole, size_t len)
{
	uint8_t *message = malloc(len);
	char text[FLOW_TEXT_SIZE], err[FLOW_TEXT_ERROR_SIZE];
	struct flow_entry again;
	struct tc_rule rule;

	memcpy(message, whole, len);
	for (size_t i = 0; i < len; i++) {
		message[i] = (uint8_t)~message[i];
		if (!tc_rule_read(message, len, &ports, &rule) && !rule.is_deleted) {
			(void)flow_text_format(&rule.entry, &flow_text_vfs, text);
			assert_int_equal(flow_text_parse(text, &flow_text_vfs, &again, err), 0);
		}
		message[i] = (uint8_t)~message[i];
	}
	for (size_t n = 0; n < len; n++) {
		uint8_t *part = malloc(n ? n : 1);

		memcpy(part, message, n);
		assert_int_equal(tc_rule_read(part, n, &ports, &rule), -EBADMSG);
		free(part);
	}
	free(message);
}

static void
broken_messages_are_no_danger(void **state)
{
	_Alignas(8) static uint8_t message[LINE_SIZE];
	static char line[LINE_SIZE];
	FILE *file = fopen(TC_MESSAGES, "r");
	size_t len = 0;

	(void)state;
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (strchr("0123456789abcdef", line[0])) {
			len += read_hex(line, message + len);
			continue;
		}
		if (len)
			break_message(message, len);
		len = 0;
	}
	(void)fclose(file);
}

// ---- what no command made: messages that are put together here

struct made {
	_Alignas(struct nlmsghdr) char buf[4096];
	struct nlmsghdr *head;
	struct nlattr *options;
};

static void
begin(struct made *m, const char *kind, uint16_t protocol)
{
	struct tcmsg *tcm;

	m->head = mnl_nlmsg_put_header(m->buf);
	m->head->nlmsg_type = RTM_NEWTFILTER;
	tcm = mnl_nlmsg_put_extra_header(m->head, sizeof(*tcm));
	tcm->tcm_ifindex = R0;
	tcm->tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
	tcm->tcm_handle = 1;
	tcm->tcm_info = 10u << 16 | htobe16(protocol);
	mnl_attr_put_strz(m->head, TCA_KIND, kind);
	m->options = mnl_attr_nest_start(m->head, TCA_OPTIONS);
}

static void
redirect(struct made *m, uint16_t in, uint32_t ifindex)
{
	struct tc_mirred params = {.action = TC_ACT_STOLEN, .eaction = TCA_EGRESS_REDIR, .ifindex = ifindex};
	struct nlattr *actions = mnl_attr_nest_start(m->head, in), *one = mnl_attr_nest_start(m->head, 1), *options;

	mnl_attr_put_strz(m->head, TCA_ACT_KIND, "mirred");
	options = mnl_attr_nest_start(m->head, TCA_ACT_OPTIONS);
	mnl_attr_put(m->head, TCA_MIRRED_PARMS, sizeof(params), &params);
	mnl_attr_nest_end(m->head, options);
	mnl_attr_nest_end(m->head, one);
	mnl_attr_nest_end(m->head, actions);
}

static void
expect(struct made *m, const char *expected)
{
	char found[LINE_SIZE];

	mnl_attr_nest_end(m->head, m->options);
	describe((const uint8_t *)m->buf, m->head->nlmsg_len, found, sizeof(found));
	assert_string_equal(found, expected);
}

static void
matchall_is_executed(void **state)
{
	struct made m;

	(void)state;
	begin(&m, "matchall", 3); // ETH_P_ALL
	redirect(&m, TCA_MATCHALL_ACT, R1);
	expect(&m, "= vf0 priority=65525,actions=output:vf1\n");
	begin(&m, "matchall", 0x0800);
	redirect(&m, TCA_MATCHALL_ACT, U0);
	expect(&m, "= vf0 priority=65525,ip,dl_vlan=0xffff,actions=output:uplink\n");
	begin(&m, "matchall", 0x8100);
	redirect(&m, TCA_MATCHALL_ACT, U0);
	expect(&m, "= vf0 priority=65525,actions=allow\n! any VLAN\n");
}

static void
masks_that_no_rule_has_are_widened(void **state)
{
	static const uint8_t address[] = {10, 0, 0, 1}, mask[] = {255, 0, 255, 255};
	struct made m;

	(void)state;
	begin(&m, "flower", 0x0800);
	mnl_attr_put(m.head, TCA_FLOWER_KEY_IPV4_SRC, 4, address);
	mnl_attr_put(m.head, TCA_FLOWER_KEY_IPV4_SRC_MASK, 4, mask);
	mnl_attr_put_u16(m.head, TCA_FLOWER_KEY_ETH_TYPE, htobe16(0x0800));
	redirect(&m, TCA_FLOWER_ACT, R1);
	expect(&m,
		"= vf0 priority=65525,ip,dl_vlan=0xffff,nw_src=10.0.0.0/8,actions=allow\n! a mask that rules cannot "
		"have\n");
}

static void
keys_of_later_kernels_are_traps(void **state)
{
	struct made m;

	(void)state;
	begin(&m, "flower", 0x0800);
	mnl_attr_put_u16(m.head, 3000, 1);
	redirect(&m, TCA_FLOWER_ACT, R1);
	expect(&m, "= vf0 priority=65525,ip,dl_vlan=0xffff,actions=allow\n! key 3000 of flower\n");
	begin(&m, "flower", 0x0800);
	mnl_attr_put_u16(m.head, TCA_FLOWER_KEY_TCP_DST, htobe16(80)); // of no protocol
	redirect(&m, TCA_FLOWER_ACT, R1);
	expect(&m, "= vf0 priority=65525,ip,dl_vlan=0xffff,actions=allow\n! a key that its packets do not have\n");
	begin(&m, "flower", 0x0800);
	redirect(&m, TCA_FLOWER_ACT, 0);
	expect(&m,
		"= vf0 priority=65525,ip,dl_vlan=0xffff,actions=allow\n! an output to interface 0, which is no "
		"representor\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recorded_messages_become_rules),
		cmocka_unit_test(broken_messages_are_no_danger),
		cmocka_unit_test(matchall_is_executed),
		cmocka_unit_test(masks_that_no_rule_has_are_widened),
		cmocka_unit_test(keys_of_later_kernels_are_traps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
