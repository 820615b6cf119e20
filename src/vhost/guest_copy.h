// Copies of frames, by the widest moves that the CPU has. No byte beyond n is read or written. Some
// are copied twice, so a guest that changes them meanwhile decides which of its values stays. They
// are inline, so functions that copy exist once for each kind of moves: a body that is inlined gets
// the copy as its last argument (see guest_ring_take.c).
#pragma once

#include "rtvs/guest_ring.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define GUEST_HAS_WIDE_MOVES 1
#define GUEST_AVX2 __attribute__((target("avx2")))
#define GUEST_AVX512 __attribute__((target("avx512f,avx512bw,bmi2")))
#endif

#define GUEST_ALWAYS_INLINE static inline __attribute__((always_inline))

#define COPY_INLINE_MAX 256 // bytes; more go to memcpy, which has moves of its own
#define COPY_WIDE_MAX 2048

typedef void (*guest_copy_fn)(uint8_t *to, const uint8_t *from, uint32_t n);

// The kind that this CPU has.
enum guest_moves guest_copy_moves(void);

GUEST_ALWAYS_INLINE void
guest_copy_below_16(uint8_t *to, const uint8_t *from, uint32_t n)
{
	if (n >= 8) {
		memcpy(to, from, 8);
		memcpy(to + n - 8, from + n - 8, 8);
	} else
		for (uint32_t i = 0; i < n; i++)
			to[i] = from[i];
}

// The ends of two moves may overlap.
static inline void
guest_copy_plain(uint8_t *to, const uint8_t *from, uint32_t n)
{
	if (n > COPY_INLINE_MAX)
		memcpy(to, from, n);
	else if (n >= 16) {
		for (uint32_t i = 0; i + 16 < n; i += 16)
			memcpy(to + i, from + i, 16);
		memcpy(to + n - 16, from + n - 16, 16);
	} else
		guest_copy_below_16(to, from, n);
}

// Wide moves of longer frames go to multiples of their width, but the first and the last: a store
// across two lines costs two. There are no masks: what a masked store wrote cannot be loaded before
// it has left the CPU.
#ifdef GUEST_HAS_WIDE_MOVES
GUEST_AVX2 static inline void
guest_copy_avx2(uint8_t *to, const uint8_t *from, uint32_t n)
{
	if (n > COPY_WIDE_MAX)
		memcpy(to, from, n);
	else if (n >= 32) {
		__m256i first = _mm256_loadu_si256((const __m256i *)from);

		for (uint32_t i = 32 - ((uintptr_t)to & 31); n > 64 && i + 32 < n; i += 32)
			_mm256_storeu_si256((__m256i *)(to + i), _mm256_loadu_si256((const __m256i *)(from + i)));
		_mm256_storeu_si256((__m256i *)to, first);
		_mm256_storeu_si256((__m256i *)(to + n - 32), _mm256_loadu_si256((const __m256i *)(from + n - 32)));
	} else if (n >= 16) {
		memcpy(to, from, 16);
		memcpy(to + n - 16, from + n - 16, 16);
	} else
		guest_copy_below_16(to, from, n);
}

GUEST_AVX512 static inline void
guest_copy_avx512(uint8_t *to, const uint8_t *from, uint32_t n)
{
	__m512i first;

	if (n <= 64 || n > COPY_WIDE_MAX) {
		guest_copy_avx2(to, from, n);
		return;
	}
	first = _mm512_loadu_si512(from);
	for (uint32_t i = 64 - ((uintptr_t)to & 63); i + 64 < n; i += 64)
		_mm512_storeu_si512(to + i, _mm512_loadu_si512(from + i));
	_mm512_storeu_si512(to, first);
	_mm512_storeu_si512(to + n - 64, _mm512_loadu_si512(from + n - 64));
}
#endif
