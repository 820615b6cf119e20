// Hints for rtvsctl's mistakes: other verbs for the same, noun and verb swapped, plurals, options
// in place of parameters, a value without its name. The first candidate that the table has is the
// hint.
#include "hint.h"

#include "api.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *word, *verb;
} verbs[] = {{"rm", "del"}, {"remove", "del"}, {"delete", "del"}, {"destroy", "del"}, {"ls", "list"}, {"show", "list"},
	{"list", "show"}, {"create", "add"}, {"new", "add"}, {"make", "add"}, {"change", "set"}, {"modify", "set"},
	{"update", "set"}, {"get", "show"}, {"get", "list"}, {"info", "show"}, {"status", "info"}, {"show", "info"},
	{"show", "dump"}, {"", "list"}, {"", "info"}};

static bool
has(const json_t *api, const char *noun, size_t noun_len, const char *verb, char *buf, size_t size)
{
	char name[128];

	(void)snprintf(name, sizeof(name), "%.*s.%s", (int)noun_len, noun, verb);
	if (!api_find(api, name))
		return false;
	(void)snprintf(buf, size, "%.*s %s", (int)noun_len, noun, verb);
	return true;
}

// The noun as it is, or its singular.
static bool
has_verb(const json_t *api, const char *noun, const char *verb, char *buf, size_t size)
{
	size_t len = strlen(noun);

	for (int is_plural = 0; len > (size_t)is_plural && is_plural <= (noun[len - 1] == 's'); is_plural++) {
		if (has(api, noun, len - (size_t)is_plural, verb, buf, size))
			return true;
		for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
			if (!strcmp(verbs[i].word, verb) &&
				has(api, noun, len - (size_t)is_plural, verbs[i].verb, buf, size))
				return true;
	}
	return false;
}

bool
hint_command(const json_t *api, const char *noun, const char *verb, char *buf, size_t size)
{
	char name[128], *dot;
	const char *near;

	if (!strcmp(noun, "version")) {
		(void)snprintf(buf, size, "--version");
		return true;
	}
	if (has_verb(api, noun, verb, buf, size) || (verb[0] && has_verb(api, verb, noun, buf, size)))
		return true;
	(void)snprintf(name, sizeof(name), "%s.%s", noun, verb);
	near = api_near_method(api, name);
	if (!near)
		return false;
	(void)snprintf(buf, size, "%s", near);
	dot = strchr(buf, '.');
	if (dot)
		*dot = ' ';
	return true;
}

// The parameter that a value without a name may be for: a list of calls, or the name of another
// object.
static const char *
param_for(const json_t *method, const json_t *params, const char *word)
{
	static const char *const names[] = {"calls", "bridge", "port", "file"};

	if (strlen(word) == 17 && word[2] == ':' && word[5] == ':' && api_param(method, "mac"))
		return "mac";

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (api_param(method, names[i]) && !json_object_get(params, names[i]))
			return names[i];
	return NULL;
}

bool
hint_word(const json_t *method, const json_t *params, int n_words, char *const *words, char *buf, size_t size)
{
	const char *word = words[0], *next = n_words > 1 ? words[1] : "...", *name, *value;
	char option[64];

	if (word[0] == '-') {
		word += strspn(word, "-");
		value = strchr(word, '=');
		(void)snprintf(option, sizeof(option), "%.*s", (int)strcspn(word, "="), word);
		if (!api_param(method, option))
			return false;
		(void)snprintf(buf, size, "parameters have no dashes: %s=%s", option, value ? value + 1 : next);
		return true;
	}
	if (api_param(method, word)) {
		if (next[0] == '=')
			next = next[1] ? next + 1 : n_words > 2 ? words[2] : "...";
		(void)snprintf(buf, size, "a parameter and its value are one word: %s=%s", word, next);
		return true;
	}
	name = param_for(method, params, word);
	if (!name || strchr(word, '='))
		return false;
	(void)snprintf(buf, size, "'%s' needs its parameter's name; did you mean %s=%s%s?", word, name,
		strcmp(name, "calls") ? "" : "@", word);
	return true;
}
