// Help texts. Ranges, units and defaults come from the table.
#include "help.h"

#include "api.h"

#include <stdio.h>
#include <string.h>

void
help_usage(void)
{
	puts("usage: rtvsctl [-s SOCKET] [-j] NOUN VERB [NAME] [key=value...]\n"
	     "       rtvsctl [-s SOCKET] [-j] -f FILE\n"
	     "\n"
	     "Controls rtvswitchd(8). Values are written as people write them: mtu=9000 mac_age=5min trunk=10,20-29.\n"
	     "\n"
	     "  help [NOUN [VERB]]          what there is, with ranges and defaults\n"
	     "  top [interval=1s] [count=N] packets, drops and workers, live; q ends it\n"
	     "  latency FROM [port=EGRESS]  delays of what a port sent, as histograms\n"
	     "  latency TUNNEL [flow=N]     delays of what the other host sent through it\n"
	     "  events [names]              print events as they come\n"
	     "  capture PORT [filter=...] [count=N] [write=FILE|-] [snaplen=N]\n"
	     "                              packets of a port to a pcapng file, until Ctrl-C\n"
	     "  advise DOMAIN|PID           what makes a guest on this host answer unevenly, and the setting against "
	     "each;\n"
	     "                              exit status 0 also when there are problems\n"
	     "  virt attach|detach|set|xml|list ...\n"
	     "                              ports of libvirt's domains: see rtvsctl virt --help\n"
	     "  vdpa attach|detach|list ...\n"
	     "                              devices of the vDPA bus for containers: see rtvsctl vdpa --help\n"
	     "  call METHOD [JSON]          any method with parameters as JSON\n"
	     "\n"
	     "  -f, --file FILE    execute a list of calls, as in a configuration file; stop at the first error\n"
	     "  -j, --json         print results as JSON\n"
	     "  -s, --socket PATH  default: $RTVS_SOCKET or /run/rtvswitch/control.sock\n"
	     "  -t, --timeout TIME for the daemon's answer, default 15s; 0: none\n"
	     "  -h, --help         print this        -V, --version  print the version\n"
	     "\n"
	     "Exit status: 0 done, 1 refused, 2 wrong usage, 3 daemon not reachable.");
}

static const char *
text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

bool
help_noun(const json_t *api, const char *noun)
{
	bool found = false;
	json_t *method;
	size_t i;

	json_array_foreach (api, i, method) {
		const char *name = text_of(method, "method"), *dot = strchr(name, '.');

		if (!dot ||
			(noun && (strlen(noun) != (size_t)(dot - name) || strncmp(noun, name, (size_t)(dot - name)))))
			continue;
		printf("  %.*s %-22s %s\n", (int)(dot - name), name, dot + 1, text_of(method, "help"));
		found = true;
	}
	return found;
}

static void
print_range(const json_t *param)
{
	const char *type = text_of(param, "type"), *def = text_of(param, "default");
	json_t *names = json_object_get(param, "names"), *name;
	size_t i;

	if (names) {
		json_array_foreach (names, i, name)
			printf("%s%s", i ? "|" : "", json_string_value(name));
	} else {
		printf("%s", type);
		if (!strcmp(type, "uint") && json_object_get(param, "max"))
			printf(" %lld to %lld", (long long)json_integer_value(json_object_get(param, "min")),
				(long long)json_integer_value(json_object_get(param, "max")));
	}
	if (*def)
		printf(", default %s", def);
	if (json_is_true(json_object_get(param, "required")))
		printf(", required");
	json_array_foreach (json_object_get(param, "only_for"), i, name)
		printf("%s%s", i ? " or " : ", only ", json_string_value(name));
	if (json_is_true(json_object_get(param, "fixed")))
		printf(", fixed");
}

bool
help_method(const json_t *api, const char *noun, const char *verb)
{
	char name[128];
	json_t *method, *param;
	size_t i;

	(void)snprintf(name, sizeof(name), "%s.%s", noun, verb);
	method = api_find(api, name);
	if (!method)
		return false;
	printf("rtvsctl %s %s\n\n%s\nReturns: %s\n", noun, verb, text_of(method, "help"), text_of(method, "result"));
	json_array_foreach (json_object_get(method, "params"), i, param) {
		printf("\n  %s%s (", text_of(param, "name"), json_is_true(json_object_get(param, "key")) ? "" : "=");
		print_range(param);
		printf(")\n      %s\n", text_of(param, "help"));
	}
	return true;
}
