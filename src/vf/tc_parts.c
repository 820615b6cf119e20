// What the parts of a filter's translation share.
#include "tc_parts.h"

#include <stdarg.h>
#include <stdio.h>

void
tc_parts_trap(struct tc_rule *rule, const char *format, ...)
{
	va_list args;

	if (rule->reason[0])
		return;
	va_start(args, format);
	(void)vsnprintf(rule->reason, sizeof(rule->reason), format, args);
	va_end(args);
}
