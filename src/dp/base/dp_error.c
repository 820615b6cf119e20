#include "dp_error.h"

#include <stdarg.h>
#include <stdio.h>

void
dp_error(char err[DP_ERR_SIZE], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, DP_ERR_SIZE, fmt, ap);
	va_end(ap);
}
