// Fuzz target: a message of a kernel about a filter. A rule that comes out of it is text that is
// read back as the same rule, and a trap outputs and changes nothing.
#include "promise.h"
#include "tc_rule.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	static const struct tc_rule_ports ports = {.ifindex = {[0] = 3, [1] = 4, [FLOW_TEXT_UPLINK] = 2}};
	char text[FLOW_TEXT_SIZE], err[FLOW_TEXT_ERROR_SIZE];
	void *message = malloc(len ? len : 1); // aligned, and with a guarded end
	struct flow_entry again;
	struct tc_rule rule;

	PROMISE(message != NULL);
	if (len)
		memcpy(message, input, len);
	if (!tc_rule_read(message, len, &ports, &rule) && !rule.is_deleted) {
		(void)flow_text_format(&rule.entry, &flow_text_vfs, text);
		PROMISE(!flow_text_parse(text, &flow_text_vfs, &again, err));
		PROMISE(again.rule.priority == rule.entry.rule.priority);
		PROMISE(!memcmp(&again.rule.key, &rule.entry.rule.key, sizeof(again.rule.key)));
		PROMISE(!memcmp(&again.rule.mask, &rule.entry.rule.mask, sizeof(again.rule.mask)));
		PROMISE(flow_set_is_same_action(&again.action, &rule.entry.action));
		PROMISE(!rule.reason[0] || rule.entry.action.verdict == FLOW_ALLOW);
		PROMISE(rule.reason[0] || rule.entry.action.verdict != FLOW_ALLOW);
	}
	free(message);
	return 0;
}
