// Cache lines of memory that hosts do not see alike. A node's write reaches the others when it was
// written back. Others' writes are visible after this node's copy was dropped. Both go on in the
// background, in any order, until the next fence. A line is written back as a whole, and may be
// written back or dropped sooner, by itself: a word is seen as it was written, a line in any state
// on the way.
//
// The code needs no more than this of such memory. The tests replace it by one that does no more
// (LINES_SIMULATED).
#pragma once

#include <stddef.h>
#include <stdint.h>

#define LINES_BYTES 64 // of a line

// The CPU's instructions; ask once, it is slow.
enum lines_how {
	LINES_FLUSH, // writes back and drops, one line at a time
	LINES_FLUSH_MANY, // the same, in any order
	LINES_KEEP, // can write back without dropping
};

#ifdef LINES_SIMULATED
enum lines_how lines_look(void);
void lines_write_back(enum lines_how how, const void *from, size_t bytes);
void lines_drop(enum lines_how how, const void *from, size_t bytes);
void lines_fence_writes(void);
void lines_fence(void);
#else

#if defined(__x86_64__)
static inline enum lines_how
lines_look(void)
{
	uint32_t a = 0, b, c, d;

	__asm__("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
	if (a < 7)
		return LINES_FLUSH;
	a = 7;
	c = 0;
	__asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return b & 1u << 24 ? LINES_KEEP : b & 1u << 23 ? LINES_FLUSH_MANY : LINES_FLUSH;
}

static inline void
lines_write_back_one(enum lines_how how, const uint8_t *line)
{
	if (how == LINES_KEEP)
		__asm__("clwb %0" : : "m"(*line) : "memory");
	else if (how == LINES_FLUSH_MANY)
		__asm__("clflushopt %0" : : "m"(*line) : "memory");
	else
		__asm__("clflush %0" : : "m"(*line) : "memory");
}

static inline void
lines_drop_one(enum lines_how how, const uint8_t *line)
{
	lines_write_back_one(how == LINES_KEEP ? LINES_FLUSH_MANY : how, line);
}

// Lines written back before are in memory before lines written after.
static inline void
lines_fence_writes(void)
{
	__asm__("sfence" : : : "memory");
}

// Also: what is read after was not read before.
static inline void
lines_fence(void)
{
	__asm__("mfence" : : : "memory");
}
#elif defined(__aarch64__)
static inline enum lines_how
lines_look(void)
{
	return LINES_KEEP;
}

static inline void
lines_write_back_one(enum lines_how how, const uint8_t *line)
{
	(void)how;
	__asm__("dc cvac, %0" : : "r"(line) : "memory");
}

static inline void
lines_drop_one(enum lines_how how, const uint8_t *line)
{
	(void)how;
	__asm__("dc civac, %0" : : "r"(line) : "memory");
}

static inline void
lines_fence_writes(void)
{
	__asm__("dsb sy" : : : "memory");
}

static inline void
lines_fence(void)
{
	lines_fence_writes();
}
#else
#error "how does this CPU write back a line?"
#endif

static inline const uint8_t *
lines_first(const void *from)
{
	return (const uint8_t *)from - (uintptr_t)from % LINES_BYTES;
}

// All lines of which a byte is in the range.
static inline void
lines_write_back(enum lines_how how, const void *from, size_t bytes)
{
	for (const uint8_t *line = lines_first(from); line < (const uint8_t *)from + bytes; line += LINES_BYTES)
		lines_write_back_one(how, line);
}

static inline void
lines_drop(enum lines_how how, const void *from, size_t bytes)
{
	for (const uint8_t *line = lines_first(from); line < (const uint8_t *)from + bytes; line += LINES_BYTES)
		lines_drop_one(how, line);
}
#endif
