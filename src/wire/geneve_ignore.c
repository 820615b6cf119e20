// The list of rtvs/geneve_ignore.h. A tunnel has few entries and a packet few options, so both
// loops are linear.
#include "rtvs/geneve_ignore.h"

#include "bytes.h"

#include <errno.h>

#define CRITICAL 0x80 // of an option's type
#define HEADER 4

static const char form[] = "must be CLASS[/TYPE],... with classes to 0xffff and types to 0xff";

static int
refuse(char ret_err[GENEVE_IGNORE_ERR], const char *text)
{
	while ((*ret_err++ = *text++))
		;
	return -EINVAL;
}

static int
digit_of(char c, unsigned base)
{
	int value = c >= '0' && c <= '9' ? c - '0' :
		c >= 'a' && c <= 'f'	 ? c - 'a' + 10 :
		c >= 'A' && c <= 'F'	 ? c - 'A' + 10 :
					   -1;

	return value < (int)base ? value : -1;
}

// A number at *text, which moves behind it. -1: there is none, or it is above max.
static int32_t
number(const char **text, int32_t max)
{
	unsigned base = (*text)[0] == '0' && ((*text)[1] | 0x20) == 'x' ? 16 : 10;
	const char *p = *text + (base == 16 ? 2 : 0), *begin = p;
	int32_t value = 0;

	for (; digit_of(*p, base) >= 0; p++) {
		value = value * (int32_t)base + digit_of(*p, base);
		if (value > max)
			return -1;
	}
	*text = p;
	return p == begin ? -1 : value;
}

int
geneve_ignore_parse(const char *text, struct geneve_ignore *ret_ignore, char ret_err[GENEVE_IGNORE_ERR])
{
	struct geneve_ignore ignore = {0};

	while (*text) {
		int32_t class = number(&text, UINT16_MAX), type = -1;

		if (class >= 0 && *text == '/') {
			text++;
			type = number(&text, UINT8_MAX);
			if (type < 0)
				return refuse(ret_err, form);
			type &= ~CRITICAL;
		}
		if (class < 0 || (*text && (*text != ',' || !text[1])))
			return refuse(ret_err, form);
		if (ignore.n == GENEVE_IGNORE_MAX)
			return refuse(ret_err, "there may be 8 of them at most");
		ignore.option[ignore.n].class = (uint16_t)class;
		ignore.option[ignore.n++].type = (int16_t)type;
		text += *text == ',';
	}
	*ret_ignore = ignore;
	return 0;
}

static bool
has(const struct geneve_ignore *ignore, uint16_t class, uint8_t type)
{
	for (uint32_t i = 0; i < ignore->n; i++)
		if (ignore->option[i].class == class &&
			(ignore->option[i].type < 0 || ignore->option[i].type == (type & ~CRITICAL)))
			return true;
	return false;
}

bool
geneve_ignore_covers(const struct geneve_ignore *ignore, const uint8_t *options, size_t len)
{
	for (size_t at = 0; at < len; at += HEADER + (size_t)(options[at + 3] & 0x1f) * 4)
		if ((options[at + 2] & CRITICAL) && !has(ignore, bytes_load16(options + at), options[at + 2]))
			return false;
	return true;
}

_Static_assert(GENEVE_IGNORE_MAX == 8, "the text says so");
