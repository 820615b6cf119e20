// The command line of a QEMU process, option by option, and the properties in an option's value.
// Values are read in both of QEMU's forms: keys with commas between, or a JSON object.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define CMDLINE_MAX_WORDS 4096u
#define CMDLINE_ERROR_SIZE 256
#define CMDLINE_VALUE_SIZE 4096

struct cmdline_option {
	const char *name; // without dashes; "" before a disk image that has no option
	const char *value; // NULL: the option takes none
};

struct cmdline {
	unsigned n;
	struct cmdline_option *options;
};

// The words of /proc/PID/cmdline, each with its NUL; the first is the program's name. Both are
// copied. -EINVAL: err says which word is not understood. -E2BIG: more than CMDLINE_MAX_WORDS.
// -ENOMEM.
int cmdline_parse(const char *words, size_t len, struct cmdline **ret_cmdline, char err[CMDLINE_ERROR_SIZE]);
void cmdline_destroy(struct cmdline *c); // NULL is accepted

// Whether the option has this name, as machine has M.
bool cmdline_is(const struct cmdline_option *option, const char *name);
// Copies the property `key` of an option's value. The first piece of a value has no key where the
// option implies it, as "socket" in -chardev socket,id=x. A key alone is "on". false: the value has
// no such property, or it is not a text, number or boolean of less than CMDLINE_VALUE_SIZE bytes.
bool cmdline_get(const struct cmdline_option *option, const char *key, char ret_value[CMDLINE_VALUE_SIZE]);
bool cmdline_is_on(const struct cmdline_option *option, const char *key);
// The option's value with another property; text NULL removes it. Allocated; NULL: no memory, or
// the value is not an object although it begins as one.
char *cmdline_set(const struct cmdline_option *option, const char *key, const char *text);
// Whether any property of the value, or the value itself, names an open descriptor of the process.
bool cmdline_has_descriptor(const struct cmdline_option *option);
// The next option with that name from *cursor on, which moves behind it; NULL at the end. The
// caller starts with 0.
const struct cmdline_option *cmdline_next(const struct cmdline *c, const char *name, unsigned *cursor);

// The path of a unix socket that the option makes: -chardev socket,path=, or unix:PATH of -qmp,
// -monitor, -serial and their like. *ret_is_server: QEMU listens there. false: it makes none.
bool cmdline_get_socket(const struct cmdline_option *option, char ret_path[CMDLINE_VALUE_SIZE], bool *ret_is_server);
// The same option's value with another path. Allocated; NULL: no memory.
char *cmdline_set_socket(const struct cmdline_option *option, const char *path);
// Whether the option is one of those whose value names a character device in place: -serial and its
// like.
bool cmdline_is_chardev(const struct cmdline_option *option);
