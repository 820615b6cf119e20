// Fuzz target: a datagram that claims to be from a peer. Each decoded datagram encodes to the same
// bytes, except for the tag, which is the caller's, and ignored bytes.
#include "promise.h"
#include "rtvs/peer_msg.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	static struct peer_msg msg;
	uint8_t out[PEER_MSG_MAX];

	if (peer_msg_decode(input, len, &msg))
		return 0;
	PROMISE(len >= PEER_MSG_MIN && len <= PEER_MSG_MAX);
	PROMISE(peer_msg_encode(&msg, out) == len);
	if (msg.type == PEER_MSG_FEEDBACK) {
		PROMISE(msg.n_flows && msg.n_flows <= PEER_MSG_MAX_FLOWS);
		memcpy(out + PEER_MSG_HEADER_BYTES + 2, input + PEER_MSG_HEADER_BYTES + 2, 2);
	}
	PROMISE(memcmp(out, input, peer_msg_covered(len)) == 0);
	return 0;
}
