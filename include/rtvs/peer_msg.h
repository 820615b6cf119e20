// Datagrams between daemons: their presence, the time, and the arrival of a sender's packets. UDP;
// pure codec. docs/wire.md has every byte. The caller keeps strangers and replays out. It fills the
// tag of messages that it sends. It believes no decoded message before it has verified the tag
// under the named key (keyed BLAKE2b, 256 bits).
#pragma once

#include <stddef.h>
#include <stdint.h>

#define PEER_MSG_PORT 6082 // UDP, unless configured otherwise
#define PEER_MSG_VERSION 1
#define PEER_MSG_HEADER_BYTES 32
#define PEER_MSG_TAG_BYTES 32 // the last bytes of a datagram, over all before them
#define PEER_MSG_FLOW_BYTES 36
#define PEER_MSG_MIN (PEER_MSG_HEADER_BYTES + PEER_MSG_TAG_BYTES)
#define PEER_MSG_MAX 1400 // fits underlays of 1500 with either IP and a tag
#define PEER_MSG_MAX_FLOWS 37 // what PEER_MSG_MAX has room for

enum peer_msg_type { // as on the wire
	PEER_MSG_HELLO = 1, // no body
	PEER_MSG_CLOCK_REQUEST, // t1
	PEER_MSG_CLOCK_REPLY, // t1 as in the request, t2, t3
	PEER_MSG_FEEDBACK,
};

// The receiver's counts of one flow since its last message about it. Counters saturate.
struct peer_msg_flow {
	uint16_t flow; // as in the packets' geneve_meta
	uint16_t flags; // the controller's
	uint32_t packets; // that arrived
	uint32_t lost; // by their numbers
	uint32_t missed; // later than their deadline by more than the uncertainty
	uint32_t worst_over_ns; // beyond the deadline
	uint32_t worst_network_ns; // longest share of the network
	uint32_t uncertainty_ns; // of the delays
	uint64_t last_seq; // highest number that arrived
};

struct peer_msg {
	enum peer_msg_type type;
	uint16_t key_id; // under which key the tag is
	uint64_t session; // the sender's, random from its start
	uint64_t echo; // the receiver's session as the sender knows it, 0: not known
	uint64_t seq; // of the sender's datagrams in this session
	// CLOCK: request sent, request received, reply sent; TAI by the clock of the acting host.
	uint64_t t1_ns, t2_ns, t3_ns;
	uint32_t n_flows; // FEEDBACK: 1 to PEER_MSG_MAX_FLOWS
	struct peer_msg_flow flows[PEER_MSG_MAX_FLOWS];
};

// Writes a whole datagram with the tag's bytes 0 and returns its length, PEER_MSG_MIN to
// PEER_MSG_MAX. Members that the type does not name are ignored.
size_t peer_msg_encode(const struct peer_msg *msg, uint8_t out[PEER_MSG_MAX]);

// Members that the type does not name become 0, flows beyond n_flows are left as they are;
// untouched on failure.
// -EPROTO: not one of ours. -EPROTONOSUPPORT: another version. -EOPNOTSUPP: a type that this
// version does not have.
// -EBADMSG: a length that is not exactly that of the type and its count, or a count outside of its
// range.
int peer_msg_decode(const uint8_t *data, size_t len, struct peer_msg *ret_msg);

// The tag covers [data, data + peer_msg_covered(len)) of a datagram, and follows that range. len:
// of an encoded or decoded datagram.
static inline size_t
peer_msg_covered(size_t len)
{
	return len - PEER_MSG_TAG_BYTES;
}
