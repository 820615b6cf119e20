// The size of the buffer is the same everywhere.
#include "failure.h"

#include "rtvs/segment_file.h"

#include <stdarg.h>
#include <stdio.h>

int
failure(char *err, int rc, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(err, SEGMENT_ERR_SIZE, format, args);
	va_end(args);
	return rc;
}
