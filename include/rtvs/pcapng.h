// pcapng blocks (draft-ietf-opsawg-pcapng): section header, one interface, enhanced packets. Pure
// encoder, little-endian. Timestamps in ns (if_tsresol 9). Functions return the bytes written to
// out, 0 when max is too small.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCAPNG_HEADER_MAX 512 // always enough for pcapng_header
#define PCAPNG_PACKET_OVERHEAD 48 // beside the captured bytes

// Longer texts are cut: app and if_name at 64 bytes. A filter of 200 or more is omitted. NULL or
// "": no filter.
size_t pcapng_header(
	uint8_t *out, size_t max, const char *app, const char *if_name, const char *filter, uint32_t snaplen);
// is_tx becomes epb_flags' direction as the port sees it: outbound, else inbound.
size_t pcapng_packet(
	uint8_t *out, size_t max, uint64_t time_ns, bool is_tx, uint32_t len, const uint8_t *data, uint32_t caplen);
