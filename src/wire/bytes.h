// Big-endian numbers at any address, as networks have them. Compilers make one load or store with a swap of each.
#pragma once

#include <stdint.h>

static inline uint16_t
bytes_load16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t
bytes_load32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t
bytes_load64(const uint8_t *p)
{
	return (uint64_t)bytes_load32(p) << 32 | bytes_load32(p + 4);
}

static inline void
bytes_store16(uint8_t *p, uint16_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static inline void
bytes_store32(uint8_t *p, uint32_t value)
{
	p[0] = (uint8_t)(value >> 24);
	p[1] = (uint8_t)(value >> 16);
	p[2] = (uint8_t)(value >> 8);
	p[3] = (uint8_t)value;
}

static inline void
bytes_store64(uint8_t *p, uint64_t value)
{
	bytes_store32(p, (uint32_t)(value >> 32));
	bytes_store32(p + 4, (uint32_t)value);
}
