// Which of a peer's datagrams may have an effect, and under which key ours leave. One object per
// peer.
//
// Each side has a session id, random at its start. A datagram carries its sender's session, the
// receiver's as the sender knows it (echo) and a number that grows. A sender that echoes our id has
// heard of it since we took it. So a datagram with another echo has no effect, except that we owe
// the peer a HELLO. The HELLO tells the peer our id, and echoes the session of the datagram. An id
// of ours is tied to the first start of the peer that echoes it. When another start echoes it,
// either the peer has restarted, or a datagram from before its restart is replayed. Both look the
// same, so we take our next id: only a living peer can echo that, and no recorded datagram does.
// The ids of one start follow each other, so that its earlier ones are recognised as such. Inside a
// session a window of numbers accepts each number once (RFC 4303, 3.4.3).
//
// Keys: one or two are valid. Data leave under a key that the peer is known to have. A HELLO under
// the newer key asks every PEER_SESSION_PROBE_NS whether the peer has that, too. So either side may
// get a new key first, and no message is lost.
//
// The caller authenticates (peer_session_has_key before, peer_session_receive after), and gives
// each start of the daemon a new random id. Pure, O(1), no allocation; times are ns on one
// monotonic clock of the caller.
#pragma once

#include "rtvs/rate.h"

#include <stdbool.h>
#include <stdint.h>

#define PEER_SESSION_WINDOW 1024u // numbers below the highest seen that are still told apart
#define PEER_SESSION_WORDS (PEER_SESSION_WINDOW / 64 + 1)
#define PEER_SESSION_MAX_KEYS 2u
#define PEER_SESSION_IDS (UINT64_C(1) << 20) // that follow each other: of one start
#define PEER_SESSION_RATE 100u // datagrams a second, each way
#define PEER_SESSION_TX_BURST 10u // beyond that at once
// Of a peer with the same limits, whose datagrams were held up.
#define PEER_SESSION_RX_BURST 20u
#define PEER_SESSION_HELLO_NS UINT64_C(100000000) // between two HELLOs that are owed
// Between two datagrams that ask for an unknown peer or about a newer key.
#define PEER_SESSION_PROBE_NS UINT64_C(1000000000)

struct peer_session_stamp {
	uint64_t session; // the sender's, not 0
	uint64_t echo; // the receiver's, 0: not known
	uint64_t seq; // of the sender's datagrams in this session, ascending
	uint32_t key; // id of the key that authenticates it
};

enum peer_session_verdict {
	PEER_SESSION_ACCEPTED,
	PEER_SESSION_ELSEWHERE, // not of the two present sessions: no effect, a HELLO is owed
	PEER_SESSION_REPLAYED, // its number was seen
	// Its number is before the window, or its session before the peer's; or it names none.
	PEER_SESSION_STALE,
	PEER_SESSION_LIMITED, // more than PEER_SESSION_RATE
	PEER_SESSION_VERDICTS,
};

struct peer_session {
	uint64_t own, peer; // sessions; peer 0: not known
	uint64_t seq; // of the last datagram sent
	uint64_t top; // highest number received, if has_top
	// bit n: number n modulo their count; those ahead of top are 0
	uint64_t seen[PEER_SESSION_WORDS];
	bool has_top;

	bool owes_hello;
	uint64_t heard; // session that the HELLO is owed to
	uint32_t heard_key;
	uint64_t owed_ns, probe_ns; // when the next HELLO may leave
	uint32_t n_probes;

	uint32_t key[PEER_SESSION_MAX_KEYS]; // the last one is the newest
	uint32_t n_keys;
	uint32_t sends_with; // data: index of key

	struct rate rx, tx;
	uint64_t n_received[PEER_SESSION_VERDICTS];
};

// own: random, not 0. keys: ids, the newest last, 1 to PEER_SESSION_MAX_KEYS, different. 0 or
// -EINVAL.
int peer_session_init(struct peer_session *s, uint64_t own, const uint32_t *keys, uint32_t n_keys, uint64_t now_ns);
// Other keys for the same sessions. Data continue to leave under their key if it is among the new
// ones, else under the first. 0 or -EINVAL.
int peer_session_set_keys(struct peer_session *s, const uint32_t *keys, uint32_t n_keys);

// Whether a datagram under this key may be looked at.
bool peer_session_has_key(const struct peer_session *s, uint32_t key);
// An authentic datagram, whatever it says. Its contents count for PEER_SESSION_ACCEPTED only.
enum peer_session_verdict peer_session_receive(
	struct peer_session *s, const struct peer_session_stamp *stamp, uint64_t now_ns);

// The stamp of a datagram that leaves now. False: one too many. The peer ignores the content as
// long as it is not known.
bool peer_session_send(struct peer_session *s, struct peer_session_stamp *ret_stamp, uint64_t now_ns);
// The stamp of a HELLO. False: none is due.
bool peer_session_hello(struct peer_session *s, struct peer_session_stamp *ret_stamp, uint64_t now_ns);
// When the next HELLO is due; UINT64_MAX: none.
uint64_t peer_session_hello_ns(const struct peer_session *s);

static inline bool
peer_session_is_known(const struct peer_session *s)
{
	return s->peer;
}

bool peer_session_is_consistent(const struct peer_session *s); // for tests and fuzzers
