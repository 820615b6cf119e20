// Fuzz target: a STAMP packet, taken for either kind. The first eight bytes are not the packet's:
// the time.
#include "promise.h"
#include "rtvs/stamp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STAMP_FUZZ_MAX 2000

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

// A time that NTP's fraction rounds to may be another nanosecond's; from there on it stays.
static void
check_request(const uint8_t *data, size_t len, uint64_t near_ns)
{
	struct stamp_request request, again;
	uint8_t out[STAMP_BYTES];

	if (stamp_request_decode(data, len, 37, near_ns, &request))
		return;
	PROMISE(len >= STAMP_BYTES);
	stamp_request_encode(&request, 37, out);
	PROMISE(stamp_request_decode(out, STAMP_BYTES, 37, near_ns, &again) == 0);
	PROMISE(again.seq == request.seq && again.sent_ns == request.sent_ns);
	PROMISE(again.clock.format == request.clock.format);
	PROMISE(again.clock.is_synchronized == request.clock.is_synchronized);
	PROMISE(again.clock.error_ns >= request.clock.error_ns || request.clock.error_ns > STAMP_ERROR_MAX_NS);
}

static void
check_reflect(const uint8_t *data, size_t len, uint64_t near_ns)
{
	const struct stamp_reply sent = {.clock = {STAMP_PTP, true, 5}, .received_ns = near_ns, .sent_ns = near_ns};
	static uint8_t out[STAMP_FUZZ_MAX];
	struct stamp_request request;
	struct stamp_reply reply;

	memcpy(out, data, len);
	if (stamp_reflect(out, len, &sent, 37))
		return;
	PROMISE(memcmp(out + STAMP_BYTES, data + STAMP_BYTES, len - STAMP_BYTES) == 0);
	int rc = stamp_reply_decode(out, len, 37, near_ns, &reply);
	PROMISE(rc == stamp_request_decode(data, len, 37, near_ns, &request));
	if (rc)
		return;
	PROMISE(reply.sent_ns == near_ns && reply.received_ns == near_ns);
	PROMISE(reply.request.seq == request.seq && reply.request.sent_ns == request.sent_ns);
}

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	struct stamp_reply reply;
	uint64_t near_ns;

	if (len < 8 || len - 8 > STAMP_FUZZ_MAX)
		return 0;
	memcpy(&near_ns, input, 8);
	near_ns &= INT64_MAX;
	(void)stamp_reply_decode(input + 8, len - 8, 37, near_ns, &reply);
	check_request(input + 8, len - 8, near_ns);
	check_reflect(input + 8, len - 8, near_ns);
	return 0;
}
