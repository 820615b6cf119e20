// Classes of deadlines on links that do not know them. A packet that was sent with a deadline is
// marked with a DSCP by which routers and switches beyond this host can recognise it. Pure.
// Sources: RFC 2474 (the field), RFC 2597, 3246, 4594, 5865 and 8622 (names and classes).
#pragma once

#include <stdint.h>

#define DSCP_MAX 63
#define DSCP_KEEP UINT8_MAX // no DSCP: the packet's stays as it is
#define DSCP_MAX_CLASSES 8
#define DSCP_DEADLINE_MAX_NS UINT64_C(3600000000000) // 1 h, what a port may have
// The size of a table as text: eight classes in nanoseconds, with room for names and a terminating
// NUL.
#define DSCP_TEXT_SIZE 192
#define DSCP_ERR_SIZE 160
// After RFC 4594: EF, AF41, AF31, AF21, and AF11 for all other deadlines.
#define DSCP_DEFAULT "1ms:46,10ms:34,50ms:26,200ms:18,1h:10"

// Deadlines up to deadline_ns that no class before it has.
struct dscp_class {
	uint64_t deadline_ns; // 1 to DSCP_DEADLINE_MAX_NS
	uint8_t dscp; // 0 to DSCP_MAX
};

struct dscp_table {
	uint8_t n; // 0 to DSCP_MAX_CLASSES
	struct dscp_class classes[DSCP_MAX_CLASSES]; // deadlines ascend
};

// Reads "1ms:ef,10ms:34": DEADLINE:DSCP, separated by commas; an empty text is a table without
// classes. Deadlines are whole numbers of ns (a bare number), us, ms, s, min or h, each longer than
// the one before; a DSCP is a number or one of ef, va, le, df, cs0 to cs7, af11 to af43. Letters
// may be large or small. Returns 0, or -EINVAL with one line in ret_err that names the entry; then
// the table is untouched.
int dscp_parse(const char *text, struct dscp_table *ret_table, char ret_err[DSCP_ERR_SIZE]);
// The same with numbers and the largest units that need no fraction: parse reads it back. table: a
// result of parse.
void dscp_format(const struct dscp_table *table, char ret_text[DSCP_TEXT_SIZE]);
// DSCP of the first class whose deadline is not shorter; DSCP_KEEP: there is none, or no deadline
// (0).
uint8_t dscp_find(const struct dscp_table *table, uint64_t deadline_ns);
