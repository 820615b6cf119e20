// Peer messages: the bytes of docs/wire.md, round trips, and that no other length, version, type or
// count is taken.
#include "../unit.h"
#include "rtvs/peer_msg.h"
#include "rtvs/random.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

// Put together by hand from docs/wire.md; the tags are 0.
// clang-format off
static const uint8_t golden_hello[] = {
	0x52, 0x54, 0x56, 0x53, 0x01, 0x01, 0x00, 0x03, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,
	0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};
static const uint8_t golden_request[] = {
	0x52, 0x54, 0x56, 0x53, 0x01, 0x02, 0x00, 0x03, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,
	0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05,
	0x18, 0x79, 0xfd, 0x44, 0x96, 0xe5, 0x0d, 0x15, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};
static const uint8_t golden_reply[] = {
	0x52, 0x54, 0x56, 0x53, 0x01, 0x03, 0x00, 0x03, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,
	0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05,
	0x18, 0x79, 0xfd, 0x44, 0x96, 0xe5, 0x0d, 0x15, 0x18, 0x79, 0xfd, 0x44, 0x96, 0xe5, 0x34, 0x25,
	0x18, 0x79, 0xfd, 0x44, 0x96, 0xe5, 0x5b, 0x35, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};
static const uint8_t golden_feedback[] = {
	0x52, 0x54, 0x56, 0x53, 0x01, 0x04, 0x00, 0x03, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,
	0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05,
	0x00, 0x02, 0x00, 0x00, 0x00, 0x07, 0x00, 0x01, 0x00, 0x00, 0x03, 0xe8, 0x00, 0x00, 0x00, 0x03,
	0x00, 0x00, 0x00, 0x14, 0x00, 0x02, 0x49, 0xf0, 0x00, 0x0d, 0xbb, 0xa0, 0x00, 0x00, 0x09, 0xc4,
	0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0xff, 0xff, 0x80, 0x00, 0xff, 0xff, 0xff, 0xff,
	0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x05,
	0x00, 0x00, 0x00, 0x06, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};
// clang-format on

static const struct {
	enum peer_msg_type type;
	const uint8_t *bytes;
	size_t len;
} golden[] = {
	{PEER_MSG_HELLO, golden_hello, sizeof(golden_hello)},
	{PEER_MSG_CLOCK_REQUEST, golden_request, sizeof(golden_request)},
	{PEER_MSG_CLOCK_REPLY, golden_reply, sizeof(golden_reply)},
	{PEER_MSG_FEEDBACK, golden_feedback, sizeof(golden_feedback)},
};
#define N_GOLDEN (sizeof(golden) / sizeof(golden[0]))

static struct peer_msg msg;
static uint8_t out[PEER_MSG_MAX];

// From a copy of exactly this length, so that a sanitizer sees a byte too many. A failure leaves
// msg alone.
static int
decode(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len + !len);
	static struct peer_msg before;

	before = msg;
	assert_non_null(copy);
	memcpy(copy, data, len);
	int rc = peer_msg_decode(copy, len, &msg);
	if (rc)
		assert_memory_equal(&msg, &before, sizeof(msg));
	free(copy);
	return rc;
}

static struct peer_msg
golden_msg(enum peer_msg_type type)
{
	static const uint64_t t1_ns = UINT64_C(1763719200123456789);

	return (struct peer_msg){.type = type,
		.key_id = 3,
		.session = UINT64_C(0x1122334455667788),
		.echo = UINT64_C(0x99aabbccddeeff00),
		.seq = 5,
		.t1_ns = t1_ns,
		.t2_ns = t1_ns + 10000,
		.t3_ns = t1_ns + 20000,
		.n_flows = 2,
		.flows = {{7, 1, 1000, 3, 20, 150000, 900000, 2500, UINT64_C(0x0102030405060708)},
			{UINT16_MAX, 0x8000, UINT32_MAX, 2, 1, 4, 5, 6, UINT64_MAX}}};
}

static void
assert_flows(const struct peer_msg_flow *flows, const struct peer_msg_flow *want, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(flows[i].flow, want[i].flow);
		assert_int_equal(flows[i].flags, want[i].flags);
		assert_int_equal(flows[i].packets, want[i].packets);
		assert_int_equal(flows[i].lost, want[i].lost);
		assert_int_equal(flows[i].missed, want[i].missed);
		assert_int_equal(flows[i].worst_over_ns, want[i].worst_over_ns);
		assert_int_equal(flows[i].worst_network_ns, want[i].worst_network_ns);
		assert_int_equal(flows[i].uncertainty_ns, want[i].uncertainty_ns);
		assert_true(flows[i].last_seq == want[i].last_seq);
	}
}

static void
messages_are_those_of_the_document(void **state)
{
	(void)state;
	for (unsigned i = 0; i < N_GOLDEN; i++) {
		msg = golden_msg(golden[i].type);
		assert_int_equal(peer_msg_encode(&msg, out), golden[i].len);
		assert_memory_equal(out, golden[i].bytes, golden[i].len);
		assert_int_equal(peer_msg_covered(golden[i].len), golden[i].len - 32);
	}
}

static void
golden_messages_are_read(void **state)
{
	(void)state;
	for (unsigned i = 0; i < N_GOLDEN; i++) {
		enum peer_msg_type type = golden[i].type;
		struct peer_msg want = golden_msg(type);

		memset(&msg, 0xee, sizeof(msg));
		assert_int_equal(decode(golden[i].bytes, golden[i].len), 0);
		assert_int_equal(msg.type, type);
		assert_int_equal(msg.key_id, 3);
		assert_true(msg.session == want.session && msg.echo == want.echo && msg.seq == want.seq);
		bool has_t1 = type == PEER_MSG_CLOCK_REQUEST || type == PEER_MSG_CLOCK_REPLY;
		bool has_t2 = type == PEER_MSG_CLOCK_REPLY;
		assert_true(msg.t1_ns == (has_t1 ? want.t1_ns : 0));
		assert_true(msg.t2_ns == (has_t2 ? want.t2_ns : 0) && msg.t3_ns == (has_t2 ? want.t3_ns : 0));
		assert_int_equal(msg.n_flows, type == PEER_MSG_FEEDBACK ? 2 : 0);
		assert_flows(msg.flows, want.flows, msg.n_flows);
	}
}

static void
what_is_encoded_is_decoded(void **state)
{
	uint64_t seed = unit_seed();
	static struct peer_msg sent;

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		sent.type = (enum peer_msg_type)(PEER_MSG_HELLO + random_below(&seed, 4));
		sent.key_id = (uint16_t)random_next(&seed);
		sent.session = random_wide(&seed, 64);
		sent.echo = random_wide(&seed, 64);
		sent.seq = random_wide(&seed, 64);
		sent.t1_ns = random_wide(&seed, 64);
		sent.t2_ns = random_wide(&seed, 64);
		sent.t3_ns = random_wide(&seed, 64);
		sent.n_flows = 1 + (uint32_t)random_below(&seed, PEER_MSG_MAX_FLOWS);
		for (unsigned j = 0; j < sent.n_flows; j++)
			sent.flows[j] = (struct peer_msg_flow){(uint16_t)random_next(&seed),
				(uint16_t)random_next(&seed), (uint32_t)random_wide(&seed, 32),
				(uint32_t)random_wide(&seed, 32), (uint32_t)random_wide(&seed, 32),
				(uint32_t)random_wide(&seed, 32), (uint32_t)random_wide(&seed, 32),
				(uint32_t)random_wide(&seed, 32), random_wide(&seed, 64)};
		size_t len = peer_msg_encode(&sent, out);

		memset(out + peer_msg_covered(len), (int)i, PEER_MSG_TAG_BYTES);
		assert_int_equal(peer_msg_decode(out, len, &msg), 0);
		assert_int_equal(msg.type, sent.type);
		assert_int_equal(msg.key_id, sent.key_id);
		assert_true(msg.session == sent.session && msg.echo == sent.echo && msg.seq == sent.seq);
		if (sent.type == PEER_MSG_CLOCK_REQUEST || sent.type == PEER_MSG_CLOCK_REPLY)
			assert_true(msg.t1_ns == sent.t1_ns);
		if (sent.type == PEER_MSG_CLOCK_REPLY)
			assert_true(msg.t2_ns == sent.t2_ns && msg.t3_ns == sent.t3_ns);
		if (sent.type == PEER_MSG_FEEDBACK) {
			assert_int_equal(msg.n_flows, sent.n_flows);
			assert_flows(msg.flows, sent.flows, sent.n_flows);
		}
	}
}

static void
largest_message_has_the_limit(void **state)
{
	(void)state;
	msg = golden_msg(PEER_MSG_FEEDBACK);
	msg.n_flows = PEER_MSG_MAX_FLOWS;
	assert_int_equal(peer_msg_encode(&msg, out), PEER_MSG_MAX);
	assert_int_equal(decode(out, PEER_MSG_MAX), 0);
	assert_int_equal(msg.n_flows, PEER_MSG_MAX_FLOWS);
	// One more, if there were room for it.
	uint8_t larger[PEER_MSG_MAX + PEER_MSG_FLOW_BYTES] = {0};
	memcpy(larger, out, PEER_MSG_MAX);
	larger[33]++;
	assert_int_equal(decode(larger, sizeof(larger)), -EBADMSG);
}

static void
every_other_length_is_refused(void **state)
{
	uint8_t bytes[2 * PEER_MSG_MAX] = {0};

	(void)state;
	for (unsigned i = 0; i < N_GOLDEN; i++) {
		memcpy(bytes, golden[i].bytes, golden[i].len);
		for (size_t len = 0; len < sizeof(bytes); len++) {
			int want = len < PEER_MSG_MIN ? -EPROTO : len != golden[i].len ? -EBADMSG : 0;

			assert_int_equal(decode(bytes, len), want);
		}
	}
}

static void
other_counts_are_refused(void **state)
{
	uint8_t bytes[sizeof(golden_feedback)];

	(void)state;
	memcpy(bytes, golden_feedback, sizeof(bytes));
	for (unsigned n = 0; n < 65536; n++) {
		bytes[32] = (uint8_t)(n >> 8);
		bytes[33] = (uint8_t)n;
		assert_int_equal(decode(bytes, sizeof(bytes)), n == 2 ? 0 : -EBADMSG);
	}
	// None at all, with the length for it.
	memset(bytes + 32, 0, sizeof(bytes) - 32);
	assert_int_equal(decode(bytes, PEER_MSG_MIN + 4), -EBADMSG);
}

static void
strangers_versions_and_types_are_told_apart(void **state)
{
	uint8_t bytes[sizeof(golden_hello)];

	(void)state;
	for (unsigned bit = 0; bit < 32; bit++) {
		memcpy(bytes, golden_hello, sizeof(bytes));
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(decode(bytes, sizeof(bytes)), -EPROTO);
	}
	memcpy(bytes, golden_hello, sizeof(bytes));
	for (unsigned version = 0; version < 256; version++) {
		bytes[4] = (uint8_t)version;
		assert_int_equal(decode(bytes, sizeof(bytes)), version == PEER_MSG_VERSION ? 0 : -EPROTONOSUPPORT);
	}
	bytes[4] = PEER_MSG_VERSION;
	for (unsigned type = 0; type < 256; type++) {
		int want = type == PEER_MSG_HELLO ? 0 : type && type <= PEER_MSG_FEEDBACK ? -EBADMSG : -EOPNOTSUPP;

		bytes[5] = (uint8_t)type;
		assert_int_equal(decode(bytes, sizeof(bytes)), want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_are_those_of_the_document),
		cmocka_unit_test(golden_messages_are_read),
		cmocka_unit_test(what_is_encoded_is_decoded),
		cmocka_unit_test(largest_message_has_the_limit),
		cmocka_unit_test(every_other_length_is_refused),
		cmocka_unit_test(other_counts_are_refused),
		cmocka_unit_test(strangers_versions_and_types_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
