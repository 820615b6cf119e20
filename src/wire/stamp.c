// STAMP test packets, both kinds (RFC 8762, sections 4.2.1 and 4.3.1). A reply has its own fields
// first and those of the request behind them.
// Invariant: encode(decode(x)) == x for packets of this codec; times survive both formats to the
// nanosecond.
#include "rtvs/stamp.h"

#include "bytes.h"
#include "tai.h"

#include <errno.h>
#include <string.h>

#define NTP_EPOCH_S UINT32_C(2208988800) // 1900 to 1970
#define SYNCHRONIZED 0x8000 // of the error estimate
#define FORMAT_PTP 0x4000
#define SCALE_SHIFT 8
#define SCALE_MAX 63
// Offsets, and lengths of a request's part that goes back in the reply.
#define TIME 4
#define ERROR_ESTIMATE 12
#define REQUEST_HEAD 14 // number, time and error estimate
#define RECEIVED 16
#define REQUEST 24
#define REQUEST_TTL 40

static void
put_time(uint8_t *p, enum stamp_format format, uint64_t time_ns, int32_t utc_offset_s)
{
	uint32_t seconds = (uint32_t)(time_ns / TAI_NS_PER_S), fraction = (uint32_t)(time_ns % TAI_NS_PER_S);

	if (format == STAMP_NTP) {
		seconds += NTP_EPOCH_S - (uint32_t)utc_offset_s;
		// Rounded up: below 2^32, and the same nanosecond to who rounds and who cuts.
		fraction = (uint32_t)((((uint64_t)fraction << 32) + TAI_NS_PER_S - 1) / TAI_NS_PER_S);
	}
	bytes_store32(p, seconds);
	bytes_store32(p + 4, fraction);
}

// False: not a time of this format.
static bool
read_time(const uint8_t *p, enum stamp_format format, int32_t utc_offset_s, uint64_t near_ns, uint64_t *ret_ns)
{
	uint32_t seconds = bytes_load32(p);
	uint64_t fraction_ns = bytes_load32(p + 4);

	if (format == STAMP_NTP) {
		seconds += (uint32_t)utc_offset_s - NTP_EPOCH_S;
		// Below 2^62; to the nearest.
		fraction_ns = (fraction_ns * TAI_NS_PER_S + (UINT32_C(1) << 31)) >> 32;
	} else if (fraction_ns >= TAI_NS_PER_S) {
		return false;
	}
	*ret_ns = tai_resolve_s(seconds, near_ns) * TAI_NS_PER_S + fraction_ns;
	return true;
}

// Multiplier * 2^(scale - 32) seconds, rounded up.
static uint16_t
error_estimate(const struct stamp_clock *clock)
{
	uint64_t error_ns = clock->error_ns < STAMP_ERROR_MAX_NS ? clock->error_ns : STAMP_ERROR_MAX_NS;
	// In 2^-32 s: 10^9 s are below 2^30, so this is below 2^62.
	uint64_t value = ((error_ns / TAI_NS_PER_S) << 32) +
		(((error_ns % TAI_NS_PER_S) << 32) + TAI_NS_PER_S - 1) / TAI_NS_PER_S;
	unsigned scale = 0, bits = clock->format == STAMP_PTP ? FORMAT_PTP : 0;

	for (; value > UINT8_MAX; scale++)
		value = (value + 1) / 2;
	bits |= clock->is_synchronized ? SYNCHRONIZED : 0;
	return (uint16_t)(bits | scale << SCALE_SHIFT | (value ? (unsigned)value : 1));
}

// False: corrupt.
static bool
read_error_estimate(uint16_t estimate, struct stamp_clock *clock)
{
	uint64_t multiplier = estimate & 0xff;
	unsigned scale = estimate >> SCALE_SHIFT & SCALE_MAX;

	clock->format = estimate & FORMAT_PTP ? STAMP_PTP : STAMP_NTP;
	clock->is_synchronized = estimate & SYNCHRONIZED;
	if (scale > 57) {
		clock->error_ns = UINT64_MAX; // 2^26 s and more
	} else if (scale >= 32) {
		clock->error_ns = (multiplier << (scale - 32)) * TAI_NS_PER_S; // below 2^33 s
	} else {
		uint64_t value = multiplier << scale;

		clock->error_ns = (value >> 32) * TAI_NS_PER_S +
			((uint32_t)value * TAI_NS_PER_S + UINT32_MAX) / (UINT64_C(1) << 32);
	}
	return multiplier;
}

static void
put_head(uint8_t *p, uint32_t seq, const struct stamp_clock *clock, uint64_t time_ns, int32_t utc_offset_s)
{
	bytes_store32(p, seq);
	put_time(p + TIME, clock->format, time_ns, utc_offset_s);
	bytes_store16(p + ERROR_ESTIMATE, error_estimate(clock));
}

// False: corrupt.
static bool
read_request(const uint8_t *p, int32_t utc_offset_s, uint64_t near_ns, struct stamp_request *request)
{
	request->seq = bytes_load32(p);
	return read_error_estimate(bytes_load16(p + ERROR_ESTIMATE), &request->clock) &&
		read_time(p + TIME, request->clock.format, utc_offset_s, near_ns, &request->sent_ns);
}

void
stamp_request_encode(const struct stamp_request *request, int32_t utc_offset_s, uint8_t out[STAMP_BYTES])
{
	memset(out, 0, STAMP_BYTES);
	put_head(out, request->seq, &request->clock, request->sent_ns, utc_offset_s);
}

int
stamp_request_decode(
	const uint8_t *data, size_t len, int32_t utc_offset_s, uint64_t near_ns, struct stamp_request *ret_request)
{
	struct stamp_request request;

	if (len < STAMP_BYTES || !read_request(data, utc_offset_s, near_ns, &request))
		return -EBADMSG;
	*ret_request = request;
	return 0;
}

int
stamp_reflect(uint8_t *data, size_t len, const struct stamp_reply *reply, int32_t utc_offset_s)
{
	uint8_t request[REQUEST_HEAD];

	if (len < STAMP_BYTES)
		return -EBADMSG;
	memcpy(request, data, REQUEST_HEAD);
	memset(data, 0, STAMP_BYTES);
	put_head(data, reply->seq, &reply->clock, reply->sent_ns, utc_offset_s);
	put_time(data + RECEIVED, reply->clock.format, reply->received_ns, utc_offset_s);
	memcpy(data + REQUEST, request, REQUEST_HEAD);
	data[REQUEST_TTL] = reply->request_ttl;
	return 0;
}

void
stamp_reply_patch(uint8_t *data, enum stamp_format format, uint64_t sent_ns, int32_t utc_offset_s)
{
	put_time(data + TIME, format, sent_ns, utc_offset_s);
}

int
stamp_reply_decode(
	const uint8_t *data, size_t len, int32_t utc_offset_s, uint64_t near_ns, struct stamp_reply *ret_reply)
{
	struct stamp_request own;
	struct stamp_reply reply;

	if (len < STAMP_BYTES || !read_request(data, utc_offset_s, near_ns, &own) ||
		!read_request(data + REQUEST, utc_offset_s, near_ns, &reply.request) ||
		!read_time(data + RECEIVED, own.clock.format, utc_offset_s, near_ns, &reply.received_ns))
		return -EBADMSG;
	reply.seq = own.seq;
	reply.clock = own.clock;
	reply.sent_ns = own.sent_ns;
	reply.request_ttl = data[REQUEST_TTL];
	*ret_reply = reply;
	return 0;
}
