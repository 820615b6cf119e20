// Datagrams to a peer and from it. core's peer_session decides the stamp of each, and how many may
// be sent.
#include "peer_sessions.h"

#include "ctl.h"
#include "ctl_clock.h"
#include "peer.h"
#include "rtvs/peer_msg.h"

#define TOS_CS6 0xc0 // network control, RFC 4594

_Static_assert(PEER_MSG_MAX <= DP_DATAGRAM_MAX, "a message fits");

// msg but for its stamp.
static void
send_msg(struct ctl *ctl, struct peer *p, struct peer_msg *msg, const struct peer_session_stamp *stamp)
{
	struct dp_datagram d = {.uplink = p->uplink,
		.to = p->addr,
		.from_port = PEER_MSG_PORT,
		.to_port = PEER_MSG_PORT,
		.hop_limit = 64};
	const struct peer_key *key = peer_keys_find(&p->keys, stamp->key);

	if (!key)
		return;
	msg->key_id = (uint16_t)stamp->key;
	msg->session = stamp->session;
	msg->echo = stamp->echo;
	msg->seq = stamp->seq;
	d.len = (uint16_t)peer_msg_encode(msg, d.data);
	peer_keys_put_tag(d.data, d.len, key);
	if (dp_datagram_send(ctl->plane.dp, &d, TOS_CS6))
		p->count.unsent++;
	else
		p->count.sent++;
}

bool
peer_sessions_send(struct ctl *ctl, struct peer *p, struct peer_msg *msg)
{
	struct peer_session_stamp stamp;

	if (!peer_session_send(&p->session, &stamp, ctl_now_ns()))
		return false;
	send_msg(ctl, p, msg, &stamp);
	return true;
}

void
peer_sessions_greet(struct ctl *ctl, struct peer *p)
{
	struct peer_msg msg = {.type = PEER_MSG_HELLO};
	struct peer_session_stamp stamp;

	if (peer_session_hello(&p->session, &stamp, ctl_now_ns()))
		send_msg(ctl, p, &msg, &stamp);
}

bool
peer_sessions_decode(struct peer *p, const struct dp_datagram *d, struct peer_msg *ret_msg)
{
	const struct peer_key *key;

	if (peer_msg_decode(d->data, d->len, ret_msg)) {
		p->count.malformed++;
		return false;
	}
	key = peer_session_has_key(&p->session, ret_msg->key_id) ? peer_keys_find(&p->keys, ret_msg->key_id) : NULL;
	if (!key) {
		p->count.unknown_key++;
		return false;
	}
	if (!peer_keys_has_right_tag(d->data, d->len, key)) {
		p->count.forged++;
		return false;
	}
	return true;
}
