// Hints for other tools' names, from the program's table.
#include "../unit.h"
#include "api.h"
#include "hint.h"

#include <string.h>

// In place of the daemon's own.
const char api_json[] =
	"[{\"method\": \"port.add\", \"params\": [{\"name\": \"name\", \"key\": true}, {\"name\": \"uplink\"}, "
	"{\"name\": \"bridge\"},"
	" {\"name\": \"mtu\"}]}, {\"method\": \"port.del\", \"params\": [{\"name\": \"name\", \"key\": true}]},"
	" {\"method\": \"port.show\"}, {\"method\": \"port.list\"}, {\"method\": \"worker.list\"}, {\"method\": "
	"\"system.info\"},"
	" {\"method\": \"stats.drops\", \"params\": [{\"name\": \"port\"}]},"
	" {\"method\": \"config.apply\", \"params\": [{\"name\": \"calls\"}, {\"name\": \"replace\"}]}]";

static void
commands_are_found_by_other_words(void **state)
{
	static const struct {
		const char *noun, *verb, *hint;
	} cases[] = {{"port", "rm", "port del"}, {"port", "create", "port add"}, {"port", "get", "port show"},
		{"ports", "", "port list"}, {"ports", "rm", "port del"}, {"show", "port", "port show"},
		{"show", "ports", "port show"}, {"list", "workers", "worker list"}, {"del", "port", "port del"},
		{"rm", "port", "port del"}, {"worker", "show", "worker list"}, {"system", "status", "system info"},
		{"prot", "list", "port list"}, {"version", "", "--version"}, {"s", "", NULL}, {"", "", NULL},
		{"banana", "peel", NULL}};
	json_t *api = api_load();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char buf[64] = "";
		bool is_found = hint_command(api, cases[i].noun, cases[i].verb, buf, sizeof(buf));

		if (is_found != (cases[i].hint != NULL) || (is_found && strcmp(buf, cases[i].hint)))
			fail_msg("%s %s: '%s'", cases[i].noun, cases[i].verb, buf);
	}
	json_decref(api);
}

static void
words_are_written_as_they_must_be(void **state)
{
	static const struct {
		const char *method, *words[4], *hint; // the first word is not taken
	} cases[] = {{"port.add", {"br0"}, "bridge=br0"}, {"port.add", {"--bridge", "br0"}, "no dashes: bridge=br0"},
		{"port.add", {"--bridge=br0"}, "no dashes: bridge=br0"}, {"port.add", {"--mtu"}, "mtu=..."},
		{"port.add", {"bridge", "=", "br0"}, "one word: bridge=br0"},
		{"port.add", {"bridge", "=br0"}, "one word: bridge=br0"},
		{"port.add", {"bridge", "br0"}, "one word: bridge=br0"}, {"stats.drops", {"vm1"}, "port=vm1"},
		{"config.apply", {"/etc/c.json"}, "calls=@/etc/c.json"}, {"port.del", {"x"}, NULL},
		{"port.add", {"--colour"}, NULL}, {"port.add", {"colour=red"}, NULL}};
	json_t *api = api_load(), *params = json_object(), *method;
	size_t k;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char buf[256] = "";
		bool is_found = false;
		int n = 0;

		while (n < 4 && cases[i].words[n])
			n++;
		json_array_foreach (api, k, method)
			if (!strcmp(json_string_value(json_object_get(method, "method")), cases[i].method))
				is_found =
					hint_word(method, params, n, (char *const *)cases[i].words, buf, sizeof(buf));
		if (is_found != (cases[i].hint != NULL) || (is_found && !strstr(buf, cases[i].hint)))
			fail_msg("%s %s: '%s'", cases[i].method, cases[i].words[0], buf);
	}
	json_decref(params);
	json_decref(api);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_are_found_by_other_words),
		cmocka_unit_test(words_are_written_as_they_must_be),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
