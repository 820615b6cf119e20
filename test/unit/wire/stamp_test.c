// STAMP: the packets of RFC 8762, times and error estimates in both formats, and refusals.
#include "../unit.h"
#include "rtvs/random.h"
#include "rtvs/stamp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TIME_NS UINT64_C(1763719200123456789)
#define UTC_OFFSET_S 37
#define S UINT64_C(1000000000)

// Put together by hand from the RFCs, not by the code under test. Requests say that their clock
// errs by 1 us at most.
// clang-format off
static const uint8_t golden_request_ntp[] = {
	0x00, 0x00, 0x00, 0x07, 0xec, 0xca, 0xb6, 0x7b, 0x1f, 0x9a, 0xdd, 0x38, 0x85, 0x87, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};
static const uint8_t golden_request_ptp[] = {
	0x00, 0x00, 0x00, 0x07, 0x69, 0x20, 0x38, 0x20, 0x07, 0x5b, 0xcd, 0x15, 0xc5, 0x87, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};
static const uint8_t golden_reply_ptp[] = {
	0x00, 0x00, 0x00, 0x09, 0x69, 0x20, 0x38, 0x20, 0x07, 0x5c, 0x42, 0x45, 0x40, 0x01, 0x00, 0x00,
	0x69, 0x20, 0x38, 0x20, 0x07, 0x5b, 0xf4, 0x25, 0x00, 0x00, 0x00, 0x07, 0xec, 0xca, 0xb6, 0x7b,
	0x1f, 0x9a, 0xdd, 0x38, 0x85, 0x87, 0x00, 0x00, 0xfd, 0x00, 0x00, 0x00,
};
static const uint8_t golden_reply_ntp[] = {
	0x00, 0x00, 0x00, 0x09, 0xec, 0xca, 0xb6, 0x7b, 0x1f, 0x9c, 0xd4, 0x89, 0x00, 0x01, 0x00, 0x00,
	0xec, 0xca, 0xb6, 0x7b, 0x1f, 0x9b, 0x84, 0xfd, 0x00, 0x00, 0x00, 0x07, 0x69, 0x20, 0x38, 0x20,
	0x07, 0x5b, 0xcd, 0x15, 0xc5, 0x87, 0x00, 0x00, 0xfd, 0x00, 0x00, 0x00,
};
// clang-format on

static uint8_t out[STAMP_BYTES];
static struct stamp_request request;
static struct stamp_reply reply;

static struct stamp_request
golden_request(enum stamp_format format)
{
	return (struct stamp_request){7, {format, true, 1000}, TIME_NS};
}

static struct stamp_reply
golden_reply(enum stamp_format format)
{
	return (struct stamp_reply){.seq = 9,
		.clock = {format, false, 0},
		.received_ns = TIME_NS + 10000,
		.sent_ns = TIME_NS + 30000,
		.request_ttl = 253};
}

static int
decode_request(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len + !len);
	struct stamp_request before = request;

	assert_non_null(copy);
	memcpy(copy, data, len);
	int rc = stamp_request_decode(copy, len, UTC_OFFSET_S, TIME_NS, &request);
	if (rc)
		assert_memory_equal(&request, &before, sizeof(request));
	free(copy);
	return rc;
}

static int
decode_reply(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len + !len);
	struct stamp_reply before = reply;

	assert_non_null(copy);
	memcpy(copy, data, len);
	int rc = stamp_reply_decode(copy, len, UTC_OFFSET_S, TIME_NS, &reply);
	if (rc)
		assert_memory_equal(&reply, &before, sizeof(reply));
	free(copy);
	return rc;
}

static void
packets_are_those_of_the_rfc(void **state)
{
	(void)state;
	request = golden_request(STAMP_NTP);
	stamp_request_encode(&request, UTC_OFFSET_S, out);
	assert_memory_equal(out, golden_request_ntp, STAMP_BYTES);
	reply = golden_reply(STAMP_PTP);
	assert_int_equal(stamp_reflect(out, STAMP_BYTES, &reply, UTC_OFFSET_S), 0);
	assert_memory_equal(out, golden_reply_ptp, STAMP_BYTES);

	request = golden_request(STAMP_PTP);
	stamp_request_encode(&request, UTC_OFFSET_S, out);
	assert_memory_equal(out, golden_request_ptp, STAMP_BYTES);
	reply = golden_reply(STAMP_NTP);
	assert_int_equal(stamp_reflect(out, STAMP_BYTES, &reply, UTC_OFFSET_S), 0);
	assert_memory_equal(out, golden_reply_ntp, STAMP_BYTES);
}

static void
golden_packets_are_read(void **state)
{
	(void)state;
	assert_int_equal(decode_request(golden_request_ntp, STAMP_BYTES), 0);
	assert_int_equal(request.seq, 7);
	assert_int_equal(request.clock.format, STAMP_NTP);
	assert_true(request.clock.is_synchronized && request.sent_ns == TIME_NS);
	assert_in_range(request.clock.error_ns, 1000, 1008); // seven bits are exact
	assert_int_equal(decode_request(golden_request_ptp, STAMP_BYTES), 0);
	assert_int_equal(request.clock.format, STAMP_PTP);
	assert_true(request.sent_ns == TIME_NS);

	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(decode_reply(i ? golden_reply_ptp : golden_reply_ntp, STAMP_BYTES), 0);
		assert_int_equal(reply.seq, 9);
		assert_int_equal(reply.clock.format, i ? STAMP_PTP : STAMP_NTP);
		assert_false(reply.clock.is_synchronized);
		assert_int_equal(reply.clock.error_ns, 1); // 2^-32 s, rounded up
		assert_true(reply.received_ns == TIME_NS + 10000 && reply.sent_ns == TIME_NS + 30000);
		assert_int_equal(reply.request_ttl, 253);
		assert_int_equal(reply.request.seq, 7);
		assert_int_equal(reply.request.clock.format, i ? STAMP_NTP : STAMP_PTP);
		assert_true(reply.request.clock.is_synchronized && reply.request.sent_ns == TIME_NS);
	}
}

static void
what_is_encoded_is_decoded(void **state)
{
	uint64_t seed = unit_seed();

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		enum stamp_format format = i % 2 ? STAMP_PTP : STAMP_NTP;
		struct stamp_request sent = {(uint32_t)random_next(&seed), {format, random_below(&seed, 2), 0},
			random_below(&seed, INT64_MAX - 2 * S)};
		struct stamp_reply answer = {.seq = (uint32_t)random_next(&seed),
			.clock = {i % 3 ? STAMP_PTP : STAMP_NTP, random_below(&seed, 2), random_wide(&seed, 50)},
			.received_ns = sent.sent_ns + random_below(&seed, S),
			.sent_ns = sent.sent_ns + S + random_below(&seed, S),
			.request_ttl = (uint8_t)random_next(&seed)};
		int32_t utc_offset_s = (int32_t)random_below(&seed, 200) - 100;

		sent.clock.error_ns = random_wide(&seed, 59);
		stamp_request_encode(&sent, utc_offset_s, out);
		assert_int_equal(stamp_request_decode(out, STAMP_BYTES, utc_offset_s, sent.sent_ns, &request), 0);
		assert_true(request.seq == sent.seq && request.sent_ns == sent.sent_ns);
		assert_true(
			request.clock.format == format && request.clock.is_synchronized == sent.clock.is_synchronized);
		// Never less than it was; at most the lowest of eight bits and a nanosecond more.
		assert_true(request.clock.error_ns >= sent.clock.error_ns);
		assert_true(request.clock.error_ns <= sent.clock.error_ns + sent.clock.error_ns / 128 + 1);

		assert_int_equal(stamp_reflect(out, STAMP_BYTES, &answer, utc_offset_s), 0);
		assert_int_equal(stamp_reply_decode(out, STAMP_BYTES, utc_offset_s, sent.sent_ns, &reply), 0);
		assert_true(reply.seq == answer.seq && reply.received_ns == answer.received_ns);
		assert_true(reply.sent_ns == answer.sent_ns && reply.clock.format == answer.clock.format);
		assert_int_equal(reply.request_ttl, answer.request_ttl);
		assert_memory_equal(&reply.request.sent_ns, &request.sent_ns, sizeof(request.sent_ns));
		assert_int_equal(reply.request.seq, request.seq);
		assert_true(reply.request.clock.error_ns == request.clock.error_ns);
	}
}

static void
error_estimates_keep_to_their_eight_bits(void **state)
{
	static const uint64_t errors_ns[] = {0, 1, 59, 60, S - 1, S, 3600 * S, STAMP_ERROR_MAX_NS, UINT64_MAX};

	(void)state;
	for (unsigned i = 0; i < sizeof(errors_ns) / sizeof(errors_ns[0]); i++) {
		uint64_t error_ns = errors_ns[i] < STAMP_ERROR_MAX_NS ? errors_ns[i] : STAMP_ERROR_MAX_NS;

		request = (struct stamp_request){1, {STAMP_PTP, false, errors_ns[i]}, TIME_NS};
		stamp_request_encode(&request, UTC_OFFSET_S, out);
		assert_int_not_equal(out[13], 0);
		assert_int_equal(decode_request(out, STAMP_BYTES), 0);
		assert_true(
			request.clock.error_ns >= error_ns && request.clock.error_ns <= error_ns + error_ns / 128 + 1);
	}
	// Values that others may send: every scale.
	for (unsigned scale = 0; scale < 64; scale++) {
		uint64_t last_ns = request.clock.error_ns;

		out[12] = (uint8_t)scale;
		out[13] = 255;
		assert_int_equal(decode_request(out, STAMP_BYTES), 0);
		assert_true(!scale || request.clock.error_ns >= last_ns);
	}
	assert_true(request.clock.error_ns == UINT64_MAX);
	out[12] = 32;
	out[13] = 2;
	assert_int_equal(decode_request(out, STAMP_BYTES), 0);
	assert_true(request.clock.error_ns == 2 * S);
	out[12] = 57;
	assert_int_equal(decode_request(out, STAMP_BYTES), 0);
	assert_true(request.clock.error_ns == (UINT64_C(1) << 26) * S);
}

static void
ntp_era_ends_in_2036_and_nothing_happens(void **state)
{
	static const uint64_t era_s = UINT64_C(2085978496); // 7 February 2036, 06:28:16 UTC

	(void)state;
	for (int step = -1; step <= 1; step++) {
		uint64_t time_ns = (era_s + UTC_OFFSET_S) * S + (uint64_t)(int64_t)step;

		request = (struct stamp_request){1, {STAMP_NTP, true, 0}, time_ns};
		stamp_request_encode(&request, UTC_OFFSET_S, out);
		assert_int_equal(out[4], step < 0 ? 0xff : 0);
		assert_int_equal(stamp_request_decode(out, STAMP_BYTES, UTC_OFFSET_S, time_ns - 5 * S, &request), 0);
		assert_true(request.sent_ns == time_ns);
		assert_int_equal(stamp_request_decode(out, STAMP_BYTES, UTC_OFFSET_S, time_ns + 5 * S, &request), 0);
		assert_true(request.sent_ns == time_ns);
	}
}

static void
largest_ntp_fraction_is_the_next_second(void **state)
{
	(void)state;
	memcpy(out, golden_request_ntp, STAMP_BYTES);
	memset(out + 8, 0xff, 4);
	assert_int_equal(decode_request(out, STAMP_BYTES), 0);
	assert_true(request.sent_ns == (TIME_NS / S + 1) * S);
}

static void
reflector_keeps_what_is_behind_the_packet(void **state)
{
	uint8_t longer[STAMP_BYTES + 100];

	(void)state;
	memset(longer, 0x5a, sizeof(longer));
	memcpy(longer, golden_request_ntp, STAMP_BYTES);
	memset(longer + 14, 0xff, 30); // must be zero, and is not looked at
	reply = golden_reply(STAMP_PTP);
	assert_int_equal(stamp_reflect(longer, sizeof(longer), &reply, UTC_OFFSET_S), 0);
	assert_memory_equal(longer, golden_reply_ptp, STAMP_BYTES);
	for (size_t i = STAMP_BYTES; i < sizeof(longer); i++)
		assert_int_equal(longer[i], 0x5a);
	assert_int_equal(decode_reply(longer, sizeof(longer)), 0);
}

static void
sending_time_is_patched(void **state)
{
	(void)state;
	memcpy(out, golden_request_ntp, STAMP_BYTES);
	reply = golden_reply(STAMP_PTP);
	reply.sent_ns = 0;
	assert_int_equal(stamp_reflect(out, STAMP_BYTES, &reply, UTC_OFFSET_S), 0);
	stamp_reply_patch(out, STAMP_PTP, TIME_NS + 30000, UTC_OFFSET_S);
	assert_memory_equal(out, golden_reply_ptp, STAMP_BYTES);
}

static void
every_truncation_is_refused(void **state)
{
	(void)state;
	for (size_t len = 0; len < STAMP_BYTES; len++) {
		uint8_t *copy = malloc(len + !len);

		assert_non_null(copy);
		memcpy(copy, golden_request_ptp, len);
		assert_int_equal(decode_request(copy, len), -EBADMSG);
		assert_int_equal(decode_reply(golden_reply_ptp, len), -EBADMSG);
		reply = golden_reply(STAMP_PTP);
		assert_int_equal(stamp_reflect(copy, len, &reply, UTC_OFFSET_S), -EBADMSG);
		assert_memory_equal(copy, golden_request_ptp, len);
		free(copy);
	}
}

static void
impossible_fields_are_refused(void **state)
{
	// Of golden_reply_ptp, whose request is NTP: nanoseconds and multipliers.
	static const size_t ns_at[] = {8, 20}, multiplier_at[] = {13, 37};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		memcpy(out, golden_reply_ptp, STAMP_BYTES);
		memcpy(out + ns_at[i], "\x3b\x9a\xc9\xff", 4); // 999,999,999
		assert_int_equal(decode_reply(out, STAMP_BYTES), 0);
		memcpy(out + ns_at[i], "\x3b\x9a\xca\0", 4);
		assert_int_equal(decode_reply(out, STAMP_BYTES), -EBADMSG);
		memcpy(out, golden_reply_ptp, STAMP_BYTES);
		out[multiplier_at[i]] = 0;
		assert_int_equal(decode_reply(out, STAMP_BYTES), -EBADMSG);
	}
	memcpy(out, golden_reply_ntp, STAMP_BYTES); // whose request is PTP
	memcpy(out + 32, "\x3b\x9a\xca\0", 4);
	assert_int_equal(decode_reply(out, STAMP_BYTES), -EBADMSG);
	memcpy(out, golden_request_ptp, STAMP_BYTES);
	memcpy(out + 8, "\x3b\x9a\xca\0", 4);
	assert_int_equal(decode_request(out, STAMP_BYTES), -EBADMSG);
	memcpy(out, golden_request_ptp, STAMP_BYTES);
	out[13] = 0;
	assert_int_equal(decode_request(out, STAMP_BYTES), -EBADMSG);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_are_those_of_the_rfc),
		cmocka_unit_test(golden_packets_are_read),
		cmocka_unit_test(what_is_encoded_is_decoded),
		cmocka_unit_test(error_estimates_keep_to_their_eight_bits),
		cmocka_unit_test(ntp_era_ends_in_2036_and_nothing_happens),
		cmocka_unit_test(largest_ntp_fraction_is_the_next_second),
		cmocka_unit_test(reflector_keeps_what_is_behind_the_packet),
		cmocka_unit_test(sending_time_is_patched),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(impossible_fields_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
