// Random numbers of tests and the simulator: the same on every machine for the same seed
// (splitmix64, S. Vigna's constants).
#pragma once

#include <stdint.h>

static inline uint64_t
random_next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

// 0 to n - 1.
static inline uint64_t
random_below(uint64_t *state, uint64_t n)
{
	return random_next(state) % n;
}

// Small and large numbers alike: as many bits as chance wants, at most max_bits.
static inline uint64_t
random_wide(uint64_t *state, unsigned max_bits)
{
	unsigned bits = (unsigned)random_below(state, max_bits) + 1;

	return random_next(state) >> (64 - bits);
}
