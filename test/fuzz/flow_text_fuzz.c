// Fuzz target: the text of a rule, as a guest in switchdev mode sends it, or a client. One that is
// read, is written as a text that is read as the same rule; one without outputs is a rule of a port
// as well.
#include "promise.h"
#include "rtvs/flow_text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

static void
check_same(const struct flow_entry *a, const struct flow_entry *b)
{
	PROMISE(a->rule.priority == b->rule.priority);
	PROMISE(!memcmp(&a->rule.key, &b->rule.key, sizeof(a->rule.key)));
	PROMISE(!memcmp(&a->rule.mask, &b->rule.mask, sizeof(a->rule.mask)));
	PROMISE(flow_set_is_same_action(&a->action, &b->action));
}

static void
check_rule(const struct flow_entry *entry)
{
	const struct flow_action *action = &entry->action;

	PROMISE(!flow_set_check(&action->set));
	PROMISE((action->verdict == FLOW_OUTPUT) == (action->n_outputs > 0));
	PROMISE(action->n_outputs <= FLOW_OUTPUTS_MAX);
	for (unsigned i = 0; i < action->n_outputs; i++)
		PROMISE(action->output[i] <= FLOW_TEXT_UPLINK);
	PROMISE(entry->rule.priority <= FLOW_PRIORITY_MAX);
}

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	char written[FLOW_TEXT_SIZE], again_written[FLOW_TEXT_SIZE], err[FLOW_TEXT_ERROR_SIZE] = "";
	char *text = malloc(len + 1);
	struct flow_entry entry, again;

	PROMISE(text != NULL);
	if (len)
		memcpy(text, input, len);
	text[len] = '\0';
	if (flow_text_parse(text, &flow_text_vfs, &entry, err)) {
		PROMISE(err[0] && strlen(err) < sizeof(err));
	} else {
		check_rule(&entry);
		(void)flow_text_format(&entry, &flow_text_vfs, written);
		PROMISE(!flow_text_parse(written, &flow_text_vfs, &again, err));
		check_same(&entry, &again);
		PROMISE(!strcmp(flow_text_format(&again, &flow_text_vfs, again_written), written));
		PROMISE(!flow_text_parse(text, NULL, &again, err) == (entry.action.verdict != FLOW_OUTPUT));
	}
	free(text);
	return 0;
}
