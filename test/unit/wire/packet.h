// Frames for tests, put together front to back. packet_end fills in lengths, so that a test changes
// only its own subject.
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct packet {
	uint8_t b[70000];
	size_t len, l3; // l3: where the IP header starts
};

static inline void
packet_put(struct packet *p, const void *bytes, size_t len)
{
	assert(p->len + len <= sizeof(p->b));
	if (bytes)
		memcpy(p->b + p->len, bytes, len);
	else
		memset(p->b + p->len, 0, len);
	p->len += len;
}

static inline void
packet_put8(struct packet *p, unsigned value)
{
	packet_put(p, &(uint8_t){(uint8_t)value}, 1);
}

static inline void
packet_put16(struct packet *p, unsigned value)
{
	packet_put8(p, value >> 8);
	packet_put8(p, value & 0xff);
}

static inline void
packet_set16(struct packet *p, size_t offset, unsigned value)
{
	p->b[offset] = (uint8_t)(value >> 8);
	p->b[offset + 1] = (uint8_t)value;
}

static inline void
packet_mac(struct packet *p, uint64_t mac)
{
	for (int shift = 40; shift >= 0; shift -= 8)
		packet_put8(p, mac >> shift & 0xff);
}

// Broadcast, from mac; the EtherType or the first tag follows.
static inline void
packet_ethernet(struct packet *p, uint64_t src)
{
	p->len = 0;
	packet_mac(p, UINT64_C(0xffffffffffff));
	packet_mac(p, src);
}

static inline void
packet_ipv4(struct packet *p, const char *src, unsigned proto)
{
	packet_put16(p, 0x0800);
	p->l3 = p->len;
	packet_put(p, "\x45\0\0\0\x12\x34\0\0\x40", 9);
	packet_put8(p, proto);
	packet_put16(p, 0);
	packet_put(p, src, 4);
	packet_put(p, "\xc0\0\2\1", 4);
}

static inline void
packet_ipv6(struct packet *p, const uint8_t *src, unsigned next)
{
	packet_put16(p, 0x86dd);
	p->l3 = p->len;
	packet_put(p, "\x60\0\0\0\0\0", 6);
	packet_put8(p, next);
	packet_put8(p, 255);
	packet_put(p, src, 16);
	packet_put(p, "\xff\2\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
}

// The length of the packet that began last.
static inline void
packet_end(struct packet *p)
{
	if (p->b[p->l3] >> 4 == 4)
		packet_set16(p, p->l3 + 2, (unsigned)(p->len - p->l3));
	else
		packet_set16(p, p->l3 + 4, (unsigned)(p->len - p->l3 - 40));
}

static inline void
packet_arp(struct packet *p, unsigned op, uint64_t sender_mac, const char *sender, const char *target)
{
	packet_put16(p, 0x0806);
	p->l3 = p->len;
	packet_put(p, "\0\1\x08\0\6\4", 6);
	packet_put16(p, op);
	packet_mac(p, sender_mac);
	packet_put(p, sender, 4);
	packet_mac(p, 0);
	packet_put(p, target, 4);
}

// An ND message up to its options; types without target have what stands there as zeroes.
static inline void
packet_nd(struct packet *p, unsigned type, const uint8_t *target)
{
	packet_put8(p, type);
	packet_put(p, NULL, 7);
	if (type == 134)
		packet_put(p, NULL, 8);
	if (type >= 135)
		packet_put(p, target, 16);
	if (type == 137)
		packet_put(p, NULL, 16);
}

static inline void
packet_lladdr(struct packet *p, unsigned type, uint64_t mac)
{
	packet_put8(p, type);
	packet_put8(p, 1);
	packet_mac(p, mac);
}
