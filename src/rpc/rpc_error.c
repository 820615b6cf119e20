// Errors of RPC calls: a code, one line for people, and for state errors the errno's name for
// programs. The line may quote a client's text, so it is made safe for JSON here, once.

#include "rtvs/rpc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// The text may quote bytes of a request cut in the middle of a character.
static void
make_utf8(char *text)
{
	json_t *value = json_string(text);

	if (value == NULL) {
		for (; *text != '\0'; text++) {
			if ((unsigned char)*text >= 0x80)
				*text = '?';
		}
	}
	json_decref(value);
}

static void
set_text(struct rpc_error *err, int code, const char *fmt, va_list args)
{
	char text[RPC_MAX_ERROR_TEXT]; // an argument may be err->message

	(void)vsnprintf(text, sizeof(text), fmt, args);
	make_utf8(text);
	memcpy(err->message, text, sizeof(text));
	err->code = code;
}

void
rpc_error_set(struct rpc_error *err, int code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	set_text(err, code, fmt, args);
	va_end(args);
}

void
rpc_error_errno(struct rpc_error *err, int neg_errno, const char *fmt, ...)
{
	const char *name = strerrorname_np(-neg_errno);
	va_list args;

	va_start(args, fmt);
	set_text(err, RPC_STATE_ERROR, fmt, args);
	va_end(args);
	json_decref(err->data);
	err->data = json_pack("{s:s}", "errno", name != NULL ? name : "EIO");
}
