// A tunnel as a port: a place in a bridge, with counters and parameters like any other, whose
// frames leave and come through its uplink (encap.c, decap.c). Nothing is polled or transmitted
// here.
#include "base/sparse.h"
#include "dp_state.h"
#include "port.h"
#include "port_link.h"
#include "port_type.h"
#include "registry.h"
#include "tunnel.h"
#include "underlay.h"

#include <errno.h>
#include <string.h>

static void
update_link(struct port *port)
{
	const struct tunnel *t = port->priv;
	const struct port *uplink = registry_uplink(port);
	bool is_up = t->is_started && uplink && uplink->cfg.address.len && atomic_load(&uplink->path.device.is_up);

	if (atomic_exchange(&port->path.device.is_up, is_up) != is_up)
		port_link_changed(port, is_up);
}

static int
geneve_open(struct port *port, char err[DP_ERR_SIZE])
{
	port->priv = sparse_alloc(sizeof(struct tunnel));
	if (port->priv) {
		// Nothing is judged until the clocks are known.
		shared_clock_set(&tunnel_delays(port)->clock, 0, UINT64_MAX);
		return 0;
	}
	dp_error(err, "no memory for a port");
	return -ENOMEM;
}

static void
geneve_close(struct port *port)
{
	tunnel_forget(port->dp, tunnel_delays(port));
	sparse_free(port->priv, sizeof(struct tunnel));
}

static int
geneve_start(struct port *port, char err[DP_ERR_SIZE])
{
	(void)err;
	((struct tunnel *)port->priv)->is_started = true;
	update_link(port);
	return 0;
}

static void
geneve_stop(struct port *port)
{
	((struct tunnel *)port->priv)->is_started = false;
	update_link(port);
}

static void
geneve_state(const struct port *port, struct dp_port_state *ret_state)
{
	const struct port *uplink = registry_uplink(port);

	ret_state->n_queues = 1;
	ret_state->mtu = tunnel_mtu(port);
	ret_state->is_connected = underlay_is_resolved(port);
	if (!uplink || !uplink->cfg.address.len)
		snprintf(ret_state->detail, sizeof(ret_state->detail), "its uplink is gone");
	else if (!ret_state->is_connected)
		snprintf(ret_state->detail, sizeof(ret_state->detail), "the next hop does not answer");
	else if (ret_state->mtu < port->cfg.mtu)
		snprintf(ret_state->detail, sizeof(ret_state->detail), "the network takes packets of %u bytes at most",
			((const struct tunnel *)port->priv)->path.mtu);
}

// The other host goes on counting by our numbers, and the network is as narrow as before. Senders
// ascend.
struct saved_sender {
	uint64_t seq;
	uint32_t id, zero;
};

struct saved {
	uint32_t version, n_senders;
	uint32_t path_mtu, zero; // path_mtu 0: nothing was said
	uint64_t path_mtu_left_ns; // clocks of processes differ
	struct saved_sender sender[];
};

#define SAVED_VERSION 1

static size_t
geneve_save(const struct port *port, void *state, size_t size)
{
	const struct tunnel *t = port->priv;
	uint64_t now_ns = clock_now_ns(&port->dp->env.clock);
	struct saved *saved = state;
	uint32_t n = 0;
	size_t len;

	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		n += t->seq[i] != 0;
	if (!n && !t->path.mtu)
		return 0;
	len = sizeof(*saved) + n * sizeof(saved->sender[0]);
	if (size < len)
		return len;
	*saved = (struct saved){.version = SAVED_VERSION, .n_senders = n};
	if (t->path.mtu && t->path.until_ns > now_ns) {
		saved->path_mtu = t->path.mtu;
		saved->path_mtu_left_ns = t->path.until_ns - now_ns;
	}
	n = 0;
	for (uint32_t i = 0; i < DP_MAX_PORTS; i++)
		if (t->seq[i])
			saved->sender[n++] = (struct saved_sender){.seq = t->seq[i], .id = i};
	return len;
}

static bool
is_sound(const struct saved *saved, size_t len, bool is_v6)
{
	uint32_t floor = is_v6 ? PATH_MTU_FLOOR_IPV6 : PATH_MTU_FLOOR_IPV4;

	if (len < sizeof(*saved) || saved->version != SAVED_VERSION || saved->zero || saved->n_senders > DP_MAX_PORTS ||
		len != sizeof(*saved) + saved->n_senders * sizeof(saved->sender[0]))
		return false;
	if (saved->path_mtu ? saved->path_mtu < floor || saved->path_mtu_left_ns > PATH_MTU_NS :
			      saved->path_mtu_left_ns != 0)
		return false;
	for (uint32_t i = 0; i < saved->n_senders; i++)
		if (saved->sender[i].id >= DP_MAX_PORTS || saved->sender[i].zero ||
			(i && saved->sender[i].id <= saved->sender[i - 1].id))
			return false;
	return true;
}

static int
geneve_restore(struct port *port, const void *state, size_t len)
{
	const struct saved *saved = state;
	struct tunnel *t = port->priv;

	if (!is_sound(saved, len, port->cfg.remote.is_v6))
		return -EINVAL;
	for (uint32_t i = 0; i < saved->n_senders; i++)
		t->seq[saved->sender[i].id] = saved->sender[i].seq;
	if (saved->path_mtu)
		t->path = (struct path_mtu){.mtu = saved->path_mtu,
			.until_ns = clock_now_ns(&port->dp->env.clock) + saved->path_mtu_left_ns};
	return 0;
}

const struct port_type port_geneve_type = {
	.open = geneve_open,
	.close = geneve_close,
	.start = geneve_start,
	.stop = geneve_stop,
	.state = geneve_state,
	.housekeeping = update_link,
	.save = geneve_save,
	.restore = geneve_restore,
};
