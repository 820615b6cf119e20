// Sessions, replay window, keys and limits of rtvs/peer_session.h. The control plane asks for every
// datagram of a peer. src/wire has the codec of datagrams, the control plane their authentication.
// Invariants: a start of the peer is believed only when it echoes an id of ours that no other start
// has echoed before. A number is accepted once per session; bits of numbers above `top` are 0. The
// window is a ring of words with one to spare (RFC 6479), so that it moves by clearing whole words:
// at most PEER_SESSION_WORDS of them. All else is O(1).
#include "rtvs/peer_session.h"

#include <errno.h>
#include <stddef.h>

#define WORD_BITS 64u

static uint64_t
add_saturating(uint64_t a, uint64_t b)
{
	return a <= UINT64_MAX - b ? a + b : UINT64_MAX;
}

static bool
are_keys_valid(const uint32_t *keys, uint32_t n_keys)
{
	return n_keys && n_keys <= PEER_SESSION_MAX_KEYS && (n_keys == 1 || keys[0] != keys[1]);
}

static uint32_t
find_key(const struct peer_session *s, uint32_t key)
{
	uint32_t i = 0;

	while (i < s->n_keys && s->key[i] != key)
		i++;
	return i;
}

int
peer_session_init(struct peer_session *s, uint64_t own, const uint32_t *keys, uint32_t n_keys, uint64_t now_ns)
{
	if (!own || !are_keys_valid(keys, n_keys))
		return -EINVAL;
	*s = (struct peer_session){.own = own, .owed_ns = now_ns, .probe_ns = now_ns};
	rate_init(&s->rx, PEER_SESSION_RATE, PEER_SESSION_RX_BURST, now_ns);
	rate_init(&s->tx, PEER_SESSION_RATE, PEER_SESSION_TX_BURST, now_ns);
	return peer_session_set_keys(s, keys, n_keys);
}

int
peer_session_set_keys(struct peer_session *s, const uint32_t *keys, uint32_t n_keys)
{
	uint32_t used = s->key[s->sends_with];
	bool has_used = s->n_keys;

	if (!are_keys_valid(keys, n_keys))
		return -EINVAL;
	s->n_keys = n_keys;
	for (uint32_t i = 0; i < n_keys; i++)
		s->key[i] = keys[i];
	s->sends_with = has_used ? find_key(s, used) : 0;
	if (s->sends_with == n_keys)
		s->sends_with = 0;
	return 0;
}

bool
peer_session_has_key(const struct peer_session *s, uint32_t key)
{
	return find_key(s, key) < s->n_keys;
}

// Takes an id that is known to no peer. The id must be new, not secret: a peer that echoes it has
// received it.
static void
renew(struct peer_session *s)
{
	s->own = s->own == UINT64_MAX ? 1 : s->own + 1;
	s->peer = 0;
	s->has_top = false;
}

// Both are ids of one start of a daemon, and this one it took later.
static bool
is_later(uint64_t id, uint64_t than)
{
	return id != than && id - than < PEER_SESSION_IDS;
}

// A peer that has taken another id since is told of that one.
static void
owe_hello(struct peer_session *s, const struct peer_session_stamp *stamp)
{
	s->owes_hello = true;
	s->heard = s->peer && is_later(s->peer, stamp->session) ? s->peer : stamp->session;
	s->heard_key = stamp->key;
}

// The peer has the key with which this session begins; after its restart it may have lost the newer
// one.
static void
bind(struct peer_session *s, const struct peer_session_stamp *stamp)
{
	s->peer = stamp->session;
	s->has_top = false;
	s->sends_with = find_key(s, stamp->key) % s->n_keys;
	owe_hello(s, stamp);
}

static uint64_t *
word_of(struct peer_session *s, uint64_t seq)
{
	return &s->seen[seq / WORD_BITS % PEER_SESSION_WORDS];
}

static enum peer_session_verdict
check_seq(struct peer_session *s, uint64_t seq)
{
	if (!s->has_top || seq > s->top)
		return PEER_SESSION_ACCEPTED;
	if (s->top - seq >= PEER_SESSION_WINDOW)
		return PEER_SESSION_STALE;
	return *word_of(s, seq) >> seq % WORD_BITS & 1 ? PEER_SESSION_REPLAYED : PEER_SESSION_ACCEPTED;
}

static void
mark_seq(struct peer_session *s, uint64_t seq)
{
	// Words to clear: those after the one of top, all at first. Numbers of words are below
	// 2^58: the sums fit.
	uint64_t first = s->has_top ? s->top / WORD_BITS + 1 : seq / WORD_BITS;
	uint64_t n = !s->has_top ? PEER_SESSION_WORDS : seq / WORD_BITS + 1 > first ? seq / WORD_BITS + 1 - first : 0;

	for (uint64_t i = 0; i < n && i < PEER_SESSION_WORDS; i++)
		s->seen[(first + i) % PEER_SESSION_WORDS] = 0;
	if (!s->has_top || seq > s->top)
		s->top = seq;
	s->has_top = true;
	*word_of(s, seq) |= UINT64_C(1) << seq % WORD_BITS;
}

static enum peer_session_verdict
judge(struct peer_session *s, const struct peer_session_stamp *stamp, uint64_t now_ns)
{
	enum peer_session_verdict verdict;

	if (!stamp->session)
		return PEER_SESSION_STALE;
	if (stamp->echo == s->own && s->peer && is_later(s->peer, stamp->session))
		return PEER_SESSION_STALE;
	if (stamp->echo == s->own && s->peer && stamp->session != s->peer && !is_later(stamp->session, s->peer))
		renew(s); // and so the echo is another's
	if (stamp->echo != s->own) {
		owe_hello(s, stamp);
		return PEER_SESSION_ELSEWHERE;
	}
	if (stamp->session != s->peer)
		bind(s, stamp);
	verdict = check_seq(s, stamp->seq);
	if (verdict != PEER_SESSION_ACCEPTED)
		return verdict;
	if (!rate_take(&s->rx, 1, now_ns))
		return PEER_SESSION_LIMITED;
	mark_seq(s, stamp->seq);
	if (s->n_keys > 1 && stamp->key == s->key[1])
		s->sends_with = 1;
	return PEER_SESSION_ACCEPTED;
}

enum peer_session_verdict
peer_session_receive(struct peer_session *s, const struct peer_session_stamp *stamp, uint64_t now_ns)
{
	enum peer_session_verdict verdict = judge(s, stamp, now_ns);

	s->n_received[verdict]++;
	return verdict;
}

// A peer that was told all numbers of an id is told a new id.
static bool
take_stamp(struct peer_session *s, struct peer_session_stamp *ret_stamp, uint64_t now_ns)
{
	if (!rate_take(&s->tx, 1, now_ns))
		return false;
	if (s->seq == UINT64_MAX) {
		renew(s);
		s->seq = 0;
	}
	*ret_stamp = (struct peer_session_stamp){
		.session = s->own, .echo = s->peer, .seq = ++s->seq, .key = s->key[s->sends_with]};
	return true;
}

bool
peer_session_send(struct peer_session *s, struct peer_session_stamp *ret_stamp, uint64_t now_ns)
{
	return take_stamp(s, ret_stamp, now_ns);
}

uint64_t
peer_session_hello_ns(const struct peer_session *s)
{
	bool asks = !s->peer || s->sends_with + 1 < s->n_keys;

	return s->owes_hello ? s->owed_ns : asks ? s->probe_ns : UINT64_MAX;
}

bool
peer_session_hello(struct peer_session *s, struct peer_session_stamp *ret_stamp, uint64_t now_ns)
{
	uint64_t due_ns = peer_session_hello_ns(s);

	if (due_ns == UINT64_MAX || now_ns < due_ns || !take_stamp(s, ret_stamp, now_ns))
		return false;
	if (s->owes_hello && peer_session_has_key(s, s->heard_key)) {
		ret_stamp->echo = s->heard;
		ret_stamp->key = s->heard_key;
	} else if (s->peer) {
		ret_stamp->key = s->key[s->n_keys - 1];
	} else {
		ret_stamp->key = s->key[s->n_probes++ % s->n_keys]; // the peer may have either
	}
	s->owes_hello = false;
	s->owed_ns = add_saturating(now_ns, PEER_SESSION_HELLO_NS);
	s->probe_ns = add_saturating(now_ns, PEER_SESSION_PROBE_NS);
	return true;
}

bool
peer_session_is_consistent(const struct peer_session *s)
{
	if (!s->own || !are_keys_valid(s->key, s->n_keys) || s->sends_with >= s->n_keys || (s->has_top && !s->peer))
		return false;
	// Bits ahead of top in its own word; all other words are below it.
	uint64_t ahead = s->top % WORD_BITS == WORD_BITS - 1 ? 0 : UINT64_MAX << (s->top % WORD_BITS + 1);
	uint64_t word = s->seen[s->top / WORD_BITS % PEER_SESSION_WORDS];

	return !s->has_top || (!(word & ahead) && word >> s->top % WORD_BITS & 1);
}
