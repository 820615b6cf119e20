// pcapng encoder for captures of one port: written by the control plane, read by tcpdump, tshark
// and Wireshark. draft-ietf-opsawg-pcapng, sections 3.1 (blocks), 3.5 (options), 4.1 to 4.3.
// Everything is little-endian, which the section header's magic tells the reader. Invariant: a
// block is written whole or not at all, padded to four bytes, with its length at both ends.
#include "rtvs/pcapng.h"

#include <string.h>

#define BLOCK_SECTION 0x0a0d0d0au
#define BLOCK_INTERFACE 1u
#define BLOCK_PACKET 6u
#define BYTE_ORDER_MAGIC 0x1a2b3c4du
#define LINKTYPE_ETHERNET 1
#define OPT_END 0
#define SHB_USERAPPL 4
#define IF_NAME 2
#define IF_TSRESOL 9
#define IF_FILTER 11
#define EPB_FLAGS 2
#define EPB_INBOUND 1
#define EPB_OUTBOUND 2
// The length to which pcapng_header cuts its texts, so that PCAPNG_HEADER_MAX is enough.
#define APP_MAX 64
#define NAME_MAX_BYTES 64
#define FILTER_MAX 200

_Static_assert(28 + 4 + APP_MAX + 4 + 20 + 4 + NAME_MAX_BYTES + 4 + FILTER_MAX + 4 + 8 + 4 <= PCAPNG_HEADER_MAX,
	"PCAPNG_HEADER_MAX holds the longest texts");

static uint8_t *
put16(uint8_t *p, uint32_t value)
{
	p[0] = (uint8_t)value;
	p[1] = (uint8_t)(value >> 8);
	return p + 2;
}

static uint8_t *
put32(uint8_t *p, uint32_t value)
{
	return put16(put16(p, value & 0xffff), value >> 16);
}

static uint8_t *
put_padded(uint8_t *p, const void *bytes, size_t len)
{
	size_t padding = -len & 3;

	memcpy(p, bytes, len);
	memset(p + len, 0, padding);
	return p + len + padding;
}

static uint8_t *
put_option(uint8_t *p, uint32_t code, const void *bytes, size_t len)
{
	return put_padded(put16(put16(p, code), (uint32_t)len), bytes, len);
}

// Ends a block that starts at block and sets its length at both ends.
static uint8_t *
put_end(uint8_t *p, uint8_t *block)
{
	p = put32(p, OPT_END);
	uint32_t len = (uint32_t)(p + 4 - block);

	(void)put32(block + 4, len);
	return put32(p, len);
}

static size_t
text_len(const char *text, size_t max)
{
	size_t n = 0;

	while (n < max && text[n])
		n++;
	return n;
}

// A filter that does not fit is left out: half of an expression would be another one.
static uint8_t *
put_filter(uint8_t *p, const char *filter)
{
	uint8_t option[FILTER_MAX] = {0}; // first byte 0: the expression follows as text
	size_t len = text_len(filter, FILTER_MAX);

	if (!len || len == FILTER_MAX)
		return p;
	memcpy(option + 1, filter, len);
	return put_option(p, IF_FILTER, option, len + 1);
}

static size_t
header_write(uint8_t *out, const char *app, const char *if_name, const char *filter, uint32_t snaplen)
{
	const uint8_t nanoseconds = 9; // if_tsresol: 10^-9 s
	uint8_t *p = put32(out, BLOCK_SECTION) + 4;

	p = put16(put16(put32(p, BYTE_ORDER_MAGIC), 1), 0); // version 1.0
	p = put32(put32(p, UINT32_MAX), UINT32_MAX); // length of the section: unknown
	p = put_end(put_option(p, SHB_USERAPPL, app, text_len(app, APP_MAX)), out);

	uint8_t *interface = p;
	p = put32(p, BLOCK_INTERFACE) + 4;
	p = put32(put16(put16(p, LINKTYPE_ETHERNET), 0), snaplen);
	p = put_option(p, IF_NAME, if_name, text_len(if_name, NAME_MAX_BYTES));
	p = put_option(put_filter(p, filter), IF_TSRESOL, &nanoseconds, 1);
	return (size_t)(put_end(p, interface) - out);
}

size_t
pcapng_header(uint8_t *out, size_t max, const char *app, const char *if_name, const char *filter, uint32_t snaplen)
{
	uint8_t header[PCAPNG_HEADER_MAX];
	size_t len = header_write(header, app, if_name, filter ? filter : "", snaplen);

	if (len > max)
		return 0;
	memcpy(out, header, len);
	return len;
}

size_t
pcapng_packet(
	uint8_t *out, size_t max, uint64_t time_ns, bool is_tx, uint32_t len, const uint8_t *data, uint32_t caplen)
{
	uint8_t flags[4] = {is_tx ? EPB_OUTBOUND : EPB_INBOUND};
	uint8_t *p = out;

	if (max < PCAPNG_PACKET_OVERHEAD || max - PCAPNG_PACKET_OVERHEAD < caplen)
		return 0;
	p = put32(put32(p, BLOCK_PACKET) + 4, 0); // interface 0
	p = put32(put32(p, (uint32_t)(time_ns >> 32)), (uint32_t)time_ns);
	p = put_padded(put32(put32(p, caplen), len), data, caplen);
	p = put_option(p, EPB_FLAGS, flags, sizeof(flags));
	return (size_t)(put_end(p, out) - out);
}
