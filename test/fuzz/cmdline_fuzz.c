// Fuzz target: the arguments of a process, from anywhere. What is accepted becomes the arguments of
// another one, which are accepted, too, and ask for no more renames.
#include "cmdline.h"
#include "destination.h"
#include "plan.h"
#include "promise.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

static void
check_option(const struct cmdline_option *option)
{
	static const char *const keys[] = {"id", "type", "path", "driver"};
	char value[CMDLINE_VALUE_SIZE], *out;
	bool is_server;

	(void)cmdline_has_descriptor(option);
	if (cmdline_get_socket(option, value, &is_server)) {
		out = cmdline_set_socket(option, "/other");
		PROMISE(out != NULL);
		free(out);
	}
	for (unsigned i = 0; i < 4; i++) {
		struct cmdline_option other = *option;

		out = option->value ? cmdline_set(option, keys[i], "a,b") : NULL;
		if (!out)
			continue;
		other.value = out;
		PROMISE(cmdline_get(&other, keys[i], value) && !strcmp(value, "a,b"));
		free(out);
	}
}

static void
check(const struct cmdline *c)
{
	struct destination_options options = {
		.program = "/new", .machine = "m", .way = PLAN_PLAIN, .main_socket = "/main"};
	json_t *nothing = json_object();
	struct plan_facts facts = {.cmdline = c, .source = nothing, .target = nothing};
	struct destination *d;
	struct plan plan;

	for (unsigned i = 0; i < c->n; i++)
		check_option(&c->options[i]);
	plan_make(&facts, &plan);
	PROMISE(plan.reasons.n > 0);
	json_decref(nothing);
	if (destination_create(c, &options, &d))
		return;
	PROMISE(d->n_words <= 4 * c->n + 8 && !d->words[d->n_words]);
	destination_destroy(d);
}

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	char err[CMDLINE_ERROR_SIZE] = "";
	struct cmdline *c;

	if (cmdline_parse((const char *)input, len, &c, err)) {
		PROMISE(err[0] != '\0');
		return 0;
	}
	check(c);
	cmdline_destroy(c);
	return 0;
}
