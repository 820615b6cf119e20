// Seconds of TAI since 1970 from their lower 32 bits, which packets carry (RFC 8877, section 4.3).
#pragma once

#include <stdint.h>

#define TAI_NS_PER_S UINT64_C(1000000000)

// The seconds nearest to near_ns, but none before 1970.
// Bound: near_ns < 2^63 has seconds below 2^33.2; 2^31 more, times 10^9, are below 2^64.
static inline uint64_t
tai_resolve_s(uint32_t seconds, uint64_t near_ns)
{
	uint64_t near_s = near_ns / TAI_NS_PER_S;
	int64_t distance_s = (int32_t)(seconds - (uint32_t)near_s);

	if (distance_s < 0 && (uint64_t)-distance_s > near_s)
		return seconds;
	return near_s + (uint64_t)distance_s;
}
