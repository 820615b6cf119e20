// A list that never fails: what does not fit is cut, and what is too much is left out.
#include "reasons.h"

#include <stdarg.h>
#include <stdio.h>

void
reasons_add(struct reasons *r, const char *format, ...)
{
	va_list args;

	if (r->n == REASONS_MAX)
		return;
	va_start(args, format);
	(void)vsnprintf(r->text[r->n++], REASONS_TEXT_SIZE, format, args);
	va_end(args);
}
