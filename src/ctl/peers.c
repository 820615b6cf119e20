// Life of peers, and the effects of their messages. core's peer_session says whether the message is
// new. peer_clock.c takes its times, peer_answers.c its reports. Any host may send to us: a message
// without a right tag is counted and has no effect.
#include "peers.h"

#include "ctl.h"
#include "ctl_clock.h"
#include "peer.h"
#include "peer_answers.h"
#include "peer_clock.h"
#include "peer_sessions.h"
#include "rtvs/log.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RTT_UNKNOWN_NS UINT64_C(10000000)

static void
receive_known(struct ctl *ctl, struct peer *p, const struct peer_msg *msg, uint64_t received_ns)
{
	switch (msg->type) {
	case PEER_MSG_CLOCK_REQUEST:
		peer_clock_answer(ctl, p, msg, received_ns);
		break;
	case PEER_MSG_CLOCK_REPLY:
		peer_clock_take(ctl, p, msg, received_ns);
		break;
	case PEER_MSG_FEEDBACK:
		for (uint32_t i = 0; i < msg->n_flows; i++)
			peer_answers_take(ctl, p, &msg->flows[i]);
		break;
	case PEER_MSG_HELLO:
		break;
	}
}

void
peers_receive(struct ctl *ctl, const struct dp_datagram *d)
{
	static struct peer_msg msg;
	struct peer *p = peer_find(ctl, d->uplink, &d->from);

	if (!p) {
		ctl->peers.n_strangers++;
		return;
	}
	if (!peer_sessions_decode(p, d, &msg))
		return;
	if (peer_session_receive(&p->session,
		    &(struct peer_session_stamp){
			    .session = msg.session, .echo = msg.echo, .seq = msg.seq, .key = msg.key_id},
		    ctl_now_ns()) == PEER_SESSION_ACCEPTED)
		receive_known(ctl, p, &msg, d->time_ns);
	peer_sessions_greet(ctl, p);
}

void
peers_turn(struct ctl *ctl)
{
	for (struct peer *p = ctl->peers.list; p; p = p->next) {
		peer_sessions_greet(ctl, p);
		peer_clock_tell(ctl, p);
		peer_answers_poll(ctl, p);
	}
}

void
peers_ask_clocks(struct ctl *ctl)
{
	for (struct peer *p = ctl->peers.list; p; p = p->next)
		peer_clock_ask(ctl, p, ctl_now_ns());
}

static void
peer_destroy(struct peer *p)
{
	for (struct peer_flow *flow = p->flows, *next; flow; flow = next) {
		next = flow->next;
		free(flow);
	}
	sodium_memzero(&p->keys, sizeof(p->keys));
	free(p);
}

static void
set_keys(struct peer *p, const char *path, uint64_t now_ns)
{
	uint32_t ids[PEER_SESSION_MAX_KEYS];
	bool had_keys = p->keys.n;
	char err[DP_ERR_SIZE];
	uint64_t own;

	if (peer_keys_read(path, &p->keys, err)) {
		log_warning("%s; the keys stay as they are", err);
		return;
	}
	for (uint32_t i = 0; i < p->keys.n; i++)
		ids[i] = p->keys.key[i].id;
	(void)snprintf(p->key_file, sizeof(p->key_file), "%s", path);
	if (had_keys) {
		(void)peer_session_set_keys(&p->session, ids, p->keys.n);
		return;
	}
	do
		randombytes_buf(&own, sizeof(own));
	while (!own);
	(void)peer_session_init(&p->session, own, ids, p->keys.n, now_ns);
}

static void
want(struct ctl *ctl, unsigned uplink, const struct dp_port_cfg *tunnel)
{
	struct peer *p = peer_find(ctl, uplink, &tunnel->remote);

	if (p && p->is_wanted)
		return;
	if (!p) {
		p = calloc(1, sizeof(*p));
		if (!p)
			return;
		p->uplink = uplink;
		p->addr = tunnel->remote;
		p->rtt_ns = RTT_UNKNOWN_NS;
		clock_offset_init(&p->clock);
		p->next = ctl->peers.list;
		ctl->peers.list = p;
	}
	p->is_wanted = true;
	if (!p->keys.n || strcmp(p->key_file, tunnel->key_file))
		set_keys(p, tunnel->key_file, ctl_now_ns());
}

bool
peers_sync(struct ctl *ctl)
{
	struct peer **at = &ctl->peers.list;
	bool has_tunnels = false;

	for (struct peer *p = ctl->peers.list; p; p = p->next)
		p->is_wanted = false;
	for (unsigned i = 0; i < ctl->plane.live->n_ports; i++) {
		const struct dp_port_cfg *cfg = &ctl->plane.live->ports[i]->cfg;
		const struct model_port *uplink =
			cfg->key_file[0] ? model_port_find(ctl->plane.live, cfg->uplink) : NULL;

		has_tunnels |= port_has(cfg->type, PORT_IS_TUNNEL);
		if (uplink)
			want(ctl, uplink->id, cfg);
	}
	while (*at) {
		struct peer *p = *at;

		if (p->is_wanted && p->keys.n) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		peer_destroy(p);
	}
	return has_tunnels;
}

int
peers_reload(struct ctl *ctl, char err[DP_ERR_SIZE])
{
	for (unsigned i = 0; i < ctl->plane.live->n_ports; i++) {
		const char *file = ctl->plane.live->ports[i]->cfg.key_file;

		if (file[0] && peer_keys_check(file, err) < 0)
			return -EINVAL;
	}
	(void)peers_sync(ctl); // keys that could not be read when their tunnel came
	for (struct peer *p = ctl->peers.list; p; p = p->next)
		set_keys(p, p->key_file, ctl_now_ns());
	return 0;
}

void
peers_fini(struct ctl *ctl)
{
	while (ctl->peers.list) {
		struct peer *p = ctl->peers.list;

		ctl->peers.list = p->next;
		peer_destroy(p);
	}
}
