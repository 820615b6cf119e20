// Which moves the CPU has.
#include "guest_copy.h"

enum guest_moves
guest_copy_moves(void)
{
#ifdef GUEST_HAS_WIDE_MOVES
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("bmi2"))
		return GUEST_MOVES_AVX512;
	if (__builtin_cpu_supports("avx2"))
		return GUEST_MOVES_AVX2;
#endif
	return GUEST_MOVES_PLAIN;
}
