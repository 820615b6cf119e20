#include "tunnel_table.h"

#include <rte_hash_crc.h>

#include <string.h>

static uint32_t
slot_of(const uint8_t *remote, bool is_v6, uint32_t vni)
{
	uint64_t high = 0, low = 0;

	memcpy(&high, remote, is_v6 ? 8 : 4);
	if (is_v6)
		memcpy(&low, remote + 8, 8);
	return rte_hash_crc_8byte(low, rte_hash_crc_8byte(high, vni));
}

void
tunnel_table_add(struct view_uplink *up, uint16_t tunnel, const struct prefix *remote, uint32_t vni)
{
	uint32_t slot = slot_of(remote->addr, remote->is_v6, vni) & up->mask;

	while (up->tunnel[slot] != VIEW_NO_PORT) // half of them are free
		slot = (slot + 1) & up->mask;
	up->tunnel[slot] = tunnel;
}

static bool
is_from(const struct view_tunnel *t, const struct geneve_packet *p)
{
	return t->vni == p->vni && t->remote.is_v6 == p->is_ipv6 &&
		!memcmp(t->remote.addr, p->src, p->is_ipv6 ? 16 : 4);
}

// last: the tunnel of the packet before, which most are of, or VIEW_NO_PORT.
uint16_t
tunnel_table_find(const struct view *view, const struct view_uplink *up, const struct geneve_packet *p, uint16_t last)
{
	uint32_t slot;

	if (last != VIEW_NO_PORT && is_from(view_port(view, last)->tunnel, p))
		return last;
	for (slot = slot_of(p->src, p->is_ipv6, p->vni) & up->mask; up->tunnel[slot] != VIEW_NO_PORT;
		slot = (slot + 1) & up->mask)
		if (is_from(view_port(view, up->tunnel[slot])->tunnel, p))
			return up->tunnel[slot];
	return VIEW_NO_PORT;
}
