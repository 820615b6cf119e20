// Reads what QEMU was started with. QEMU's own parser differs between versions only in the options
// that it knows, so an unknown option is taken for one with a value; a missing value is refused.
// Nothing here touches a process: bytes become options, options become other options.
#include "cmdline.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The options of QEMU 7.2 to 11.1 that take no value.
static const char *const flags[] = {"S", "alt-grab", "ctrl-grab", "curses", "daemonize", "enable-fips", "enable-kvm",
	"full-screen", "h", "help", "mem-prealloc", "no-acpi", "no-fd-bootchk", "no-frame", "no-hpet", "no-quit",
	"no-reboot", "no-shutdown", "no-user-config", "nodefaults", "nographic", "nouserconfig", "old-param",
	"one-insn-per-tb", "only-migratable", "portrait", "preconfig", "s", "sdl", "semihosting", "singlestep",
	"snapshot", "usb", "version", "win2k-hack", "xen-attach", "xen-domid-restrict"};

// The key that the first piece of an option's value may leave out.
static const struct {
	const char *name, *key;
} implied[] = {{"accel", "accel"}, {"blockdev", "driver"}, {"chardev", "backend"}, {"device", "driver"},
	{"display", "type"}, {"machine", "type"}, {"mon", "chardev"}, {"name", "guest"}, {"netdev", "type"},
	{"nic", "type"}, {"object", "qom-type"}};

static const char *
implied_key(const struct cmdline_option *option)
{
	for (size_t i = 0; i < sizeof(implied) / sizeof(implied[0]); i++)
		if (cmdline_is(option, implied[i].name))
			return implied[i].key;
	return NULL;
}

bool
cmdline_is(const struct cmdline_option *option, const char *name)
{
	return !strcmp(option->name, name) || (!strcmp(name, "machine") && !strcmp(option->name, "M"));
}

static bool
is_flag(const char *name)
{
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (!strcmp(name, flags[i]))
			return true;
	return false;
}

// Texts that are given freely may begin with a dash.
static bool
is_free(const char *name)
{
	return !strcmp(name, "append") || !strcmp(name, "name") || !strcmp(name, "fw_cfg");
}

static int
wrong(char *err, const char *text, const char *word)
{
	snprintf(err, CMDLINE_ERROR_SIZE, "%s: %.160s", text, word);
	return -EINVAL;
}

static int
read_options(struct cmdline *c, const char *const *words, unsigned n, char *err)
{
	for (unsigned i = 1; i < n; i++) {
		struct cmdline_option *option = &c->options[c->n++];
		const char *word = words[i];

		if (word[0] != '-' || !word[1]) {
			*option = (struct cmdline_option){.name = "", .value = word};
			continue;
		}
		word += word[1] == '-' ? 2 : 1;
		*option = (struct cmdline_option){.name = word};
		if (!*word)
			return wrong(err, "an argument of the process is not an option", words[i]);
		if (is_flag(word))
			continue;
		if (i + 1 == n || (words[i + 1][0] == '-' && words[i + 1][1] && !is_free(word)))
			return wrong(err, "an argument of the process has no value", words[i]);
		option->value = words[++i];
	}
	return 0;
}

int
cmdline_parse(const char *words, size_t len, struct cmdline **ret_cmdline, char err[CMDLINE_ERROR_SIZE])
{
	const char *list[CMDLINE_MAX_WORDS];
	struct cmdline *c;
	unsigned n = 0;
	char *text;
	int rc;

	if (!len || words[len - 1])
		return wrong(err, "the process has no arguments that can be read", "");
	c = calloc(1, sizeof(*c) + len);
	if (!c)
		return -ENOMEM;
	text = (char *)(c + 1);
	memcpy(text, words, len);
	for (size_t at = 0; at < len; at += strlen(text + at) + 1) {
		if (n == CMDLINE_MAX_WORDS) {
			snprintf(err, CMDLINE_ERROR_SIZE, "the process has more than %u arguments", CMDLINE_MAX_WORDS);
			cmdline_destroy(c);
			return -E2BIG;
		}
		list[n++] = text + at;
	}
	c->options = calloc(n, sizeof(*c->options));
	rc = c->options ? read_options(c, list, n, err) : -ENOMEM;
	if (rc) {
		cmdline_destroy(c);
		return rc;
	}
	*ret_cmdline = c;
	return 0;
}

void
cmdline_destroy(struct cmdline *c)
{
	if (c)
		free(c->options);
	free(c);
}

const struct cmdline_option *
cmdline_next(const struct cmdline *c, const char *name, unsigned *cursor)
{
	while (*cursor < c->n) {
		const struct cmdline_option *option = &c->options[(*cursor)++];

		if (cmdline_is(option, name))
			return option;
	}
	return NULL;
}

// A piece of a value up to the next comma; two commas are one of the text. Returns the begin of
// the next piece, NULL at the end. False in *ret_fits: it is longer than the buffer.
static const char *
next_piece(const char *from, char *buf, bool *ret_fits)
{
	size_t len = 0;

	*ret_fits = true;
	for (; *from; from++) {
		if (*from == ',' && from[1] != ',')
			break;
		if (*from == ',')
			from++;
		if (len + 1 < CMDLINE_VALUE_SIZE)
			buf[len++] = *from;
		else
			*ret_fits = false;
	}
	buf[len] = '\0';
	return *from ? from + 1 : NULL;
}

// The piece's value if it is the key's: "key=value", "key", or the first one without a key.
static const char *
value_of(const char *piece, const char *key, bool is_implied)
{
	size_t len = strlen(key);

	if (!strncmp(piece, key, len) && piece[len] == '=')
		return piece + len + 1;
	if (strchr(piece, '='))
		return NULL;
	if (is_implied)
		return piece;
	return !strcmp(piece, key) ? "on" : NULL;
}

static bool
get_json(const char *text, const char *key, char *ret_value)
{
	json_t *object = json_loads(text, 0, NULL);
	const json_t *value = json_object_get(object, key);
	int len = -1;

	if (json_is_string(value))
		len = snprintf(ret_value, CMDLINE_VALUE_SIZE, "%s", json_string_value(value));
	else if (json_is_integer(value))
		len = snprintf(ret_value, CMDLINE_VALUE_SIZE, "%lld", (long long)json_integer_value(value));
	else if (json_is_boolean(value))
		len = snprintf(ret_value, CMDLINE_VALUE_SIZE, "%s", json_is_true(value) ? "on" : "off");
	json_decref(object);
	return len >= 0 && len < CMDLINE_VALUE_SIZE;
}

bool
cmdline_get(const struct cmdline_option *option, const char *key, char ret_value[CMDLINE_VALUE_SIZE])
{
	const char *from = option->value, *first = implied_key(option);
	char piece[CMDLINE_VALUE_SIZE];
	bool is_found = false, fits, is_first = true;

	if (from && from[0] == '{')
		return get_json(from, key, ret_value);
	// The last one counts, as in QEMU.
	while (from) {
		const char *value;

		from = next_piece(from, piece, &fits);
		value = fits ? value_of(piece, key, is_first && first && !strcmp(first, key)) : NULL;
		is_first = false;
		if (value) {
			memmove(ret_value, value, strlen(value) + 1);
			is_found = true;
		}
	}
	return is_found;
}

bool
cmdline_is_on(const struct cmdline_option *option, const char *key)
{
	char value[CMDLINE_VALUE_SIZE];

	return cmdline_get(option, key, value) &&
		(!strcmp(value, "on") || !strcmp(value, "yes") || !strcmp(value, "true") || !strcmp(value, "y"));
}

static char *
set_json(const char *text, const char *key, const char *value)
{
	json_t *object = json_loads(text, 0, NULL);
	char *out = NULL;

	if (json_is_object(object) &&
		(value ? !json_object_set_new(object, key, json_string(value)) : (json_object_del(object, key), true)))
		out = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	return out;
}

// Appends the piece with its commas doubled.
static char *
put_piece(char *at, bool has_comma, const char *key, const char *text)
{
	if (has_comma)
		*at++ = ',';
	if (key) {
		at = stpcpy(at, key);
		*at++ = '=';
	}
	for (; *text; text++) {
		if (*text == ',')
			*at++ = ',';
		*at++ = *text;
	}
	*at = '\0';
	return at;
}

char *
cmdline_set(const struct cmdline_option *option, const char *key, const char *text)
{
	const char *from = option->value ? option->value : "", *first = implied_key(option);
	char piece[CMDLINE_VALUE_SIZE];
	bool fits, is_first = true, is_set = false;
	char *out, *at;

	if (from[0] == '{')
		return set_json(from, key, text);
	out = malloc(strlen(from) + strlen(key) + (text ? 2 * strlen(text) : 0) + 3);
	if (!out)
		return NULL;
	*out = '\0';
	at = out;
	while (from && *from) {
		const char *begin = from;

		from = next_piece(begin, piece, &fits);
		if (fits && value_of(piece, key, is_first && first && !strcmp(first, key))) {
			if (text && !is_set)
				at = put_piece(
					at, at != out, is_first && first && !strcmp(first, key) ? NULL : key, text);
			is_set = true;
		} else {
			// As it stands: it may be longer than the buffer.
			size_t len = from ? (size_t)(from - begin) - 1 : strlen(begin);

			if (at != out)
				*at++ = ',';
			memcpy(at, begin, len);
			at[len] = '\0';
			at += len;
		}
		is_first = false;
	}
	if (text && !is_set)
		(void)put_piece(at, at != out, key, text);
	return out;
}

bool
cmdline_has_descriptor(const struct cmdline_option *option)
{
	static const char *const keys[] = {"fd", "fds", "vhostfd", "vhostfds", "sock", "wakeup-fd"};
	char value[CMDLINE_VALUE_SIZE];

	if (cmdline_is(option, "add-fd"))
		return true;
	if (!option->value || cmdline_is(option, "append") || cmdline_is(option, "name"))
		return false;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (cmdline_get(option, keys[i], value))
			return true;
	return strstr(option->value, "/dev/fdset/") || strstr(option->value, "/dev/fd/") ||
		!strncmp(option->value, "fd:", 3);
}

bool
cmdline_is_chardev(const struct cmdline_option *option)
{
	static const char *const names[] = {"debugcon", "gdb", "monitor", "parallel", "qmp", "qmp-pretty", "serial"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (cmdline_is(option, names[i]))
			return true;
	return false;
}

// Where the path begins in unix:PATH,server=on; NULL: it is something else.
static const char *
path_in_place(const struct cmdline_option *option)
{
	const char *value = option->value;

	if (!value || !cmdline_is_chardev(option))
		return NULL;
	if (!strncmp(value, "mon:", 4))
		value += 4;
	return !strncmp(value, "unix:", 5) ? value + 5 : NULL;
}

bool
cmdline_get_socket(const struct cmdline_option *option, char ret_path[CMDLINE_VALUE_SIZE], bool *ret_is_server)
{
	const char *path = path_in_place(option);
	char kind[CMDLINE_VALUE_SIZE];
	size_t len;

	if (!path) {
		if (!cmdline_is(option, "chardev") || !cmdline_get(option, "backend", kind) ||
			strcmp(kind, "socket") != 0 || !cmdline_get(option, "path", ret_path))
			return false;
		*ret_is_server = cmdline_is_on(option, "server");
		return true;
	}
	len = strcspn(path, ",");
	if (len >= CMDLINE_VALUE_SIZE)
		return false;
	memcpy(ret_path, path, len);
	ret_path[len] = '\0';
	*ret_is_server = cmdline_is_on(option, "server");
	return true;
}

char *
cmdline_set_socket(const struct cmdline_option *option, const char *path)
{
	const char *old = path_in_place(option);
	char *out;

	if (!old)
		return cmdline_set(option, "path", path);
	out = malloc(strlen(option->value) + strlen(path) + 1);
	if (out)
		(void)stpcpy(stpcpy(mempcpy(out, option->value, (size_t)(old - option->value)), path),
			old + strcspn(old, ","));
	return out;
}
