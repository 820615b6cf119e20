// STAMP test packets (RFC 8762), unauthenticated mode: measuring a path to any router or host that
// reflects them. Pure codec of the UDP payload. Times are TAI ns since 1970, whatever the packet's
// format is; near_ns is TAI now, below 2^63, and decoded times are those within 68 years of it.
// utc_offset_s is TAI - UTC (37 since 2017), which NTP's format needs.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STAMP_PORT 862 // UDP destination of a test packet
#define STAMP_HOP_LIMIT 255 // of test packets both ways (RFC 8762, section 4.2 and 4.3)
#define STAMP_BYTES 44 // of either kind, the least that is taken
#define STAMP_ERROR_MAX_NS UINT64_C(1000000000000000000) // larger ones are sent as this

enum stamp_format { // as in bit Z of the error estimate (RFC 8186)
	STAMP_NTP, // seconds since 1900 UTC, fraction of 2^32 (RFC 5905, section 6)
	STAMP_PTP, // lower 32 bits of TAI seconds since 1970, ns (RFC 8877, section 4.3)
};

// A party's claim about its clock: the error estimate (RFC 4656, section 4.1.2).
struct stamp_clock {
	enum stamp_format format;
	bool is_synchronized; // with an external source
	// Sent: rounded up to 8 significant bits, at least 2^-32 s; read: rounded up, UINT64_MAX:
	// that or more.
	uint64_t error_ns;
};

struct stamp_request {
	uint32_t seq;
	struct stamp_clock clock;
	uint64_t sent_ns;
};

struct stamp_reply {
	uint32_t seq; // the reflector's: its own count (stateful), or the request's
	struct stamp_clock clock;
	uint64_t received_ns; // when the request came in
	uint64_t sent_ns; // when the reply went out
	uint8_t request_ttl; // with which the request arrived
	struct stamp_request request; // as its sender wrote it
};

void stamp_request_encode(const struct stamp_request *request, int32_t utc_offset_s, uint8_t out[STAMP_BYTES]);
// -EBADMSG: below STAMP_BYTES, PTP nanoseconds from 10^9 on, or an error estimate whose multiplier
// is 0 (corrupt by RFC 4656). Bytes behind STAMP_BYTES are ignored.
int stamp_request_decode(
	const uint8_t *data, size_t len, int32_t utc_offset_s, uint64_t near_ns, struct stamp_request *ret_request);

// Turns a request of len bytes into its reply in place, from seq, clock, received_ns, sent_ns and
// request_ttl. The sender's number, time and error estimate are copied as bytes. Bytes behind
// STAMP_BYTES stay, so that both directions carry the same length (RFC 8762, section 4.3).
// -EBADMSG: below STAMP_BYTES; nothing was written.
int stamp_reflect(uint8_t *data, size_t len, const struct stamp_reply *reply, int32_t utc_offset_s);
// Writes sent_ns into a reply that stamp_reflect made with this clock, just before it is sent.
void stamp_reply_patch(uint8_t *data, enum stamp_format format, uint64_t sent_ns, int32_t utc_offset_s);
// -EBADMSG: as with requests, of either party's fields.
int stamp_reply_decode(
	const uint8_t *data, size_t len, int32_t utc_offset_s, uint64_t near_ns, struct stamp_reply *ret_reply);
