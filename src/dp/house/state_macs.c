// Learned MACs in a state, with their ages. Static ones are configuration. A loaded MAC is learned
// as from a frame of its port: within the limits of the bridge and the port, and not if it belongs
// to another port.
#include "state_macs.h"

#include "bridge.h"
#include "rtvs/frame.h"

#define VERSION 1 // uint32_t bridge, zero; then MACs, AT_ONCE at most
#define MOVES_VERSION 1
#define AT_ONCE 256
#define SECOND_NS UINT64_C(1000000000)

struct saved_mac {
	uint64_t mac; // as a number
	uint32_t age_s;
	uint16_t vlan, port;
};
_Static_assert(sizeof(struct saved_mac) == 16, "no padding");

struct saved_moves {
	uint32_t bridge, zero;
	uint64_t n_moves, full_events;
};

static void
save_some(struct state_save *s, uint32_t bridge, const struct mac_entry *e, unsigned n)
{
	uint32_t now_s = (uint32_t)(s->now_ns / SECOND_NS);

	state_record_begin(&s->out, STATE_MACS, VERSION);
	state_record_put(&s->out, (uint32_t[]){bridge, 0}, 2 * sizeof(uint32_t));
	for (unsigned i = 0; i < n; i++) {
		uint32_t age_s = now_s - e[i].seen_s;
		struct saved_mac saved = {.mac = e[i].mac,
			.age_s = age_s > INT32_MAX ? 0 : age_s, // a worker's clock is ahead
			.vlan = e[i].vlan,
			.port = e[i].port};

		if (!e[i].is_static)
			state_record_put(&s->out, &saved, sizeof(saved));
	}
	state_record_end(&s->out);
}

static void
save_moves(struct state_save *s, uint32_t id)
{
	const struct bridge_path *path = &s->dp->bridge[id]->path;
	struct saved_moves saved = {
		.bridge = id, .n_moves = atomic_load(&path->n_moves), .full_events = atomic_load(&path->full_events)};

	state_record_begin(&s->out, STATE_MOVES, MOVES_VERSION);
	state_record_put(&s->out, &saved, sizeof(saved));
	state_record_end(&s->out);
}

void
state_macs_save(struct state_save *s)
{
	for (uint32_t i = 0; i < DP_MAX_BRIDGES; i++) {
		struct mac_entry e[AT_ONCE];
		uint32_t pos = 0;
		unsigned n;

		if (!s->dp->bridge[i])
			continue;
		while ((n = mac_table_list(&s->dp->bridge[i]->path.macs, &pos, e, AT_ONCE)))
			save_some(s, i, e, n);
		save_moves(s, i);
	}
}

static uint32_t
mac_limit(const struct port *port)
{
	return port->cfg.mac_limit ? port->cfg.mac_limit : UINT32_MAX;
}

static bool
learn(struct state_load *l, struct bridge *bridge, const struct saved_mac *saved)
{
	const struct view *view = atomic_load(&l->dp->env.view);
	uint64_t age_ns = saved->age_s * SECOND_NS + l->passed_ns;
	struct port *port = state_port(l, saved->port);
	uint16_t old;

	if (!port || port->place.bridge != bridge || !saved->mac || saved->mac >> 48 ||
		(saved->mac & FRAME_MAC_MULTICAST) || saved->vlan > RTVS_VLAN_MAX || age_ns >= bridge->cfg.mac_age_ns ||
		view_is_bound_elsewhere(view, port->path.id, saved->mac, saved->vlan))
		return false;
	switch (mac_table_learn(&bridge->path.macs, saved->mac, saved->vlan, port->path.id,
		(uint32_t)RTE_MAX(atomic_load(&port->path.n_macs), 0) < mac_limit(port), &old,
		(uint32_t)((l->now_ns - RTE_MIN(age_ns, l->now_ns)) / SECOND_NS))) {
	case MAC_MOVED: // it is in the state twice
		if (l->dp->port[old])
			atomic_fetch_sub(&l->dp->port[old]->path.n_macs, 1);
		// fallthrough
	case MAC_LEARNED:
		atomic_fetch_add(&port->path.n_macs, 1);
		l->told->n_macs++;
		return true;
	case MAC_KNOWN:
		return true;
	case MAC_STATIC_ELSEWHERE:
	case MAC_FULL:
	case MAC_REFUSED:
		break;
	}
	return false;
}

bool
state_macs_load(struct state_load *l, struct state_record *record)
{
	struct saved_mac saved;
	struct bridge *bridge;
	uint32_t head[2];

	if (!state_record_take(record, head, sizeof(head)) || head[1] || record->left % sizeof(saved))
		return false;
	bridge = state_bridge(l, head[0]);
	if (!bridge)
		return false;
	while (state_record_take(record, &saved, sizeof(saved)))
		l->told->n_macs_refused += !learn(l, bridge, &saved);
	return true;
}

bool
state_macs_load_moves(struct state_load *l, struct state_record *record)
{
	struct saved_moves saved;
	struct bridge *bridge;

	if (!state_take_all(record, &saved, sizeof(saved)) || saved.zero)
		return false;
	bridge = state_bridge(l, saved.bridge);
	if (!bridge)
		return false;
	atomic_fetch_add(&bridge->path.n_moves, saved.n_moves);
	bridge->moves.n += saved.n_moves; // they did not happen since the last look
	atomic_fetch_add(&bridge->path.full_events, saved.full_events);
	return true;
}
