// Next hops of tunnels in a state: without their MACs, packets of tunnels would be dropped until
// the hosts have answered. They are as old as they were, so the daemon asks again when it would
// have.
#include "state_hops.h"

#include "rtvs/frame.h"
#include "underlay.h"
#include "views.h"

#include <string.h>

struct saved_hop {
	uint32_t uplink, is_v6;
	uint8_t addr[16], mac[6], zero[2];
	uint64_t seen_ns;
};
_Static_assert(sizeof(struct saved_hop) == 40, "no padding");

void
state_hops_save(struct state_save *s)
{
	for (uint32_t i = 0; i < DP_MAX_PORTS; i++) {
		struct prefix addr;
		struct mac mac;
		uint64_t seen_ns;
		unsigned pos = 0;

		while (s->dp->port[i] && underlay_next_hop(s->dp->port[i], &pos, &addr, &mac, &seen_ns)) {
			struct saved_hop saved = {
				.uplink = i, .is_v6 = addr.is_v6, .seen_ns = state_saved_ns(s, seen_ns)};

			memcpy(saved.addr, addr.addr, sizeof(saved.addr));
			memcpy(saved.mac, mac.b, sizeof(saved.mac));
			state_record_begin(&s->out, STATE_HOP, 1);
			state_record_put(&s->out, &saved, sizeof(saved));
			state_record_end(&s->out);
		}
	}
}

bool
state_hops_load(struct state_load *l, struct state_record *record)
{
	struct saved_hop saved;
	struct prefix addr;
	struct port *uplink;
	struct mac mac;

	if (!state_take_all(record, &saved, sizeof(saved)) || saved.is_v6 > 1 || saved.zero[0] || saved.zero[1])
		return false;
	uplink = state_port(l, saved.uplink);
	addr = (struct prefix){.is_v6 = saved.is_v6};
	memcpy(addr.addr, saved.addr, sizeof(addr.addr));
	memcpy(mac.b, saved.mac, sizeof(mac.b));
	return uplink && frame_mac_value(&mac) && !(frame_mac_value(&mac) & FRAME_MAC_MULTICAST) &&
		underlay_restore_hop(uplink, &addr, &mac, RTE_MIN(state_loaded_ns(l, saved.seen_ns), l->now_ns)) &&
		!views_publish(l->dp);
}
