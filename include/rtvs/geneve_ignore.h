// Critical options of Geneve that a tunnel accepts without reading them: the operator declares them
// dispensable (OVN marks its own, which carry logical ports, as critical). Pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GENEVE_IGNORE_MAX 8
#define GENEVE_IGNORE_TEXT 128 // bytes of the longest text
#define GENEVE_IGNORE_ERR 128

struct geneve_ignore {
	uint32_t n;
	struct {
		uint16_t class;
		int16_t type; // without its critical bit; -1: all of the class
	} option[GENEVE_IGNORE_MAX];
};

// text: "CLASS[/TYPE],...", decimal or hexadecimal ("0x102/0x80"), class to 0xffff, type to 0xff,
// with or without its critical bit; empty: none.
// -EINVAL: ret_err names the error and the accepted values.
int geneve_ignore_parse(const char *text, struct geneve_ignore *ret_ignore, char ret_err[GENEVE_IGNORE_ERR]);
// Whether each critical option of those in [options, options + len), whose lengths geneve_parse has
// checked, may be ignored.
bool geneve_ignore_covers(const struct geneve_ignore *ignore, const uint8_t *options, size_t len);
