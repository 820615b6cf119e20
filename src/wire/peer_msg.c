// Datagrams between daemons. The control plane sends and receives them; src/core interprets them.
// Invariant: a datagram's length follows from its type and count, so each datagram that passes
// check_length can be read without further checks.
#include "rtvs/peer_msg.h"

#include "bytes.h"

#include <assert.h>
#include <errno.h>

#define MAGIC UINT32_C(0x52545653) // "RTVS"
#define CLOCK_REQUEST_BYTES 8
#define CLOCK_REPLY_BYTES 24
#define COUNT_BYTES 4 // count and two bytes that are 0

_Static_assert(PEER_MSG_MIN + COUNT_BYTES + PEER_MSG_MAX_FLOWS * PEER_MSG_FLOW_BYTES <= PEER_MSG_MAX,
	"PEER_MSG_MAX_FLOWS fit a datagram");

static uint8_t *
put16(uint8_t *p, uint16_t value)
{
	bytes_store16(p, value);
	return p + 2;
}

static uint8_t *
put32(uint8_t *p, uint32_t value)
{
	bytes_store32(p, value);
	return p + 4;
}

static uint8_t *
put64(uint8_t *p, uint64_t value)
{
	bytes_store64(p, value);
	return p + 8;
}

static uint8_t *
put_flow(uint8_t *p, const struct peer_msg_flow *flow)
{
	p = put16(put16(p, flow->flow), flow->flags);
	p = put32(put32(put32(p, flow->packets), flow->lost), flow->missed);
	p = put32(put32(put32(p, flow->worst_over_ns), flow->worst_network_ns), flow->uncertainty_ns);
	return put64(p, flow->last_seq);
}

static uint8_t *
put_body(uint8_t *p, const struct peer_msg *msg)
{
	switch (msg->type) {
	case PEER_MSG_HELLO:
		break;
	case PEER_MSG_CLOCK_REQUEST:
		return put64(p, msg->t1_ns);
	case PEER_MSG_CLOCK_REPLY:
		return put64(put64(put64(p, msg->t1_ns), msg->t2_ns), msg->t3_ns);
	case PEER_MSG_FEEDBACK:
		assert(msg->n_flows && msg->n_flows <= PEER_MSG_MAX_FLOWS);
		p = put16(put16(p, (uint16_t)msg->n_flows), 0);
		for (uint32_t i = 0; i < msg->n_flows; i++)
			p = put_flow(p, &msg->flows[i]);
		break;
	}
	return p;
}

size_t
peer_msg_encode(const struct peer_msg *msg, uint8_t out[PEER_MSG_MAX])
{
	uint8_t *p = put32(out, MAGIC);

	*p++ = PEER_MSG_VERSION;
	*p++ = (uint8_t)msg->type;
	p = put16(p, msg->key_id);
	p = put64(put64(put64(p, msg->session), msg->echo), msg->seq);
	p = put_body(p, msg);
	for (unsigned i = 0; i < PEER_MSG_TAG_BYTES; i++)
		*p++ = 0;
	return (size_t)(p - out);
}

// body_len: bytes between header and tag.
static int
check_length(uint8_t type, const uint8_t *body, size_t body_len)
{
	uint16_t n;

	switch (type) {
	case PEER_MSG_HELLO:
		return body_len == 0 ? 0 : -EBADMSG;
	case PEER_MSG_CLOCK_REQUEST:
		return body_len == CLOCK_REQUEST_BYTES ? 0 : -EBADMSG;
	case PEER_MSG_CLOCK_REPLY:
		return body_len == CLOCK_REPLY_BYTES ? 0 : -EBADMSG;
	case PEER_MSG_FEEDBACK:
		n = body_len >= COUNT_BYTES ? bytes_load16(body) : 0;
		return n && n <= PEER_MSG_MAX_FLOWS && body_len == COUNT_BYTES + (size_t)n * PEER_MSG_FLOW_BYTES ?
			0 :
			-EBADMSG;
	default:
		return -EOPNOTSUPP;
	}
}

static void
read_flow(const uint8_t *p, struct peer_msg_flow *flow)
{
	flow->flow = bytes_load16(p);
	flow->flags = bytes_load16(p + 2);
	flow->packets = bytes_load32(p + 4);
	flow->lost = bytes_load32(p + 8);
	flow->missed = bytes_load32(p + 12);
	flow->worst_over_ns = bytes_load32(p + 16);
	flow->worst_network_ns = bytes_load32(p + 20);
	flow->uncertainty_ns = bytes_load32(p + 24);
	flow->last_seq = bytes_load64(p + 28);
}

int
peer_msg_decode(const uint8_t *data, size_t len, struct peer_msg *ret_msg)
{
	const uint8_t *body = data + PEER_MSG_HEADER_BYTES;
	int rc;

	if (len < PEER_MSG_MIN || bytes_load32(data) != MAGIC)
		return -EPROTO;
	if (data[4] != PEER_MSG_VERSION)
		return -EPROTONOSUPPORT;
	rc = check_length(data[5], body, len - PEER_MSG_MIN);
	if (rc)
		return rc;
	ret_msg->type = data[5];
	ret_msg->key_id = bytes_load16(data + 6);
	ret_msg->session = bytes_load64(data + 8);
	ret_msg->echo = bytes_load64(data + 16);
	ret_msg->seq = bytes_load64(data + 24);
	ret_msg->t1_ns = ret_msg->t2_ns = ret_msg->t3_ns = 0;
	ret_msg->n_flows = 0;
	if (ret_msg->type == PEER_MSG_CLOCK_REQUEST || ret_msg->type == PEER_MSG_CLOCK_REPLY)
		ret_msg->t1_ns = bytes_load64(body);
	if (ret_msg->type == PEER_MSG_CLOCK_REPLY) {
		ret_msg->t2_ns = bytes_load64(body + 8);
		ret_msg->t3_ns = bytes_load64(body + 16);
	}
	if (ret_msg->type == PEER_MSG_FEEDBACK)
		ret_msg->n_flows = bytes_load16(body);
	for (uint32_t i = 0; i < ret_msg->n_flows; i++)
		read_flow(body + COUNT_BYTES + i * PEER_MSG_FLOW_BYTES, &ret_msg->flows[i]);
	return 0;
}
