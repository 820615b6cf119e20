// Words of iproute2's `ip link set dev IF vf N ...` become parameters of vf.set. Ranges and limits
// are the host's question: only what is no value at all is refused here.
#include "words.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_DIGITS 9

enum value {
	NUMBER,
	TEXT,
	ON_OFF,
};

static const struct {
	const char *word, *param;
	enum value value;
} table[] = {
	{"mac", "mac", TEXT}, {"vlan", "vlan", NUMBER}, {"qos", "qos", NUMBER}, {"proto", "proto", TEXT},
	{"spoofchk", "spoofchk", ON_OFF}, {"trust", "trust", ON_OFF}, {"state", "link_state", TEXT},
	{"min_tx_rate", "min_tx_rate", NUMBER}, {"max_tx_rate", "max_tx_rate", NUMBER},
	{"deadline", "deadline", TEXT}, // the switch's own
	{"rate", "max_tx_rate", NUMBER}, // iproute2's older name
};

int
vf_words_number(const char *text, json_int_t *ret_number)
{
	size_t n = strspn(text, "0123456789");
	json_int_t number = 0;

	if (!n || n > MAX_DIGITS || text[n])
		return -1;
	for (; *text; text++)
		number = 10 * number + (*text - '0');
	*ret_number = number;
	return 0;
}

static json_t *
parse_value(enum value value, const char *text)
{
	json_int_t number;

	if (value == NUMBER)
		return vf_words_number(text, &number) ? NULL : json_integer(number);
	if (value == ON_OFF)
		return !strcmp(text, "on") ? json_true() : !strcmp(text, "off") ? json_false() : NULL;
	return json_string(text);
}

static int __attribute__((format(printf, 2, 3)))
fail(char err[WORDS_ERR_SIZE], const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(err, WORDS_ERR_SIZE, fmt, args);
	va_end(args);
	return -1;
}

// text NULL: it is missing.
static int
add(json_t *params, const char *word, const char *text, char err[WORDS_ERR_SIZE])
{
	static const char *const what[] = {[NUMBER] = "a number", [TEXT] = "a value", [ON_OFF] = "on or off"};
	json_t *value;
	unsigned i = 0;

	while (i < sizeof(table) / sizeof(table[0]) && strcmp(table[i].word, word) != 0)
		i++;
	if (i == sizeof(table) / sizeof(table[0]))
		return fail(err,
			"'%.60s' is not known here; known are mac, vlan, qos, proto, spoofchk, trust, state, "
			"min_tx_rate, max_tx_rate and deadline",
			word);
	if (!text)
		return fail(err, "%s needs %s", word, what[table[i].value]);
	if (json_object_get(params, table[i].param))
		return fail(err, "%s is given twice", word);
	value = parse_value(table[i].value, text);
	if (!value)
		return fail(err, "%s: '%.60s' is not %s", word, text, what[table[i].value]);
	return json_object_set_new(params, table[i].param, value);
}

json_t *
vf_words_parse(char *const *words, unsigned n, char err[WORDS_ERR_SIZE])
{
	json_t *params = json_object();
	int rc = n ? 0 : fail(err, "nothing is to be changed; give mac, vlan, ... with their values");

	for (unsigned i = 0; !rc && i < n; i += 2)
		rc = add(params, words[i], i + 1 < n ? words[i + 1] : NULL, err);
	if (!rc)
		return params;
	json_decref(params);
	return NULL;
}
