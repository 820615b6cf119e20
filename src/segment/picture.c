// A process that has not joined may look at a segment, and its content may be anything: all printed
// text is made printable here.
#include "picture.h"

#include "rtvs/units.h"

#include <inttypes.h>
#include <string.h>

void
picture_take(struct segment_file *file, struct picture *p)
{
	struct segment *seg = segment_file_segment(file);

	p->geometry = *segment_geometry_of(seg);
	segment_look_pool(seg, &p->pool);
	for (unsigned i = 0; i < p->geometry.n_nodes; i++) {
		struct segment_node_info *node = &p->node[i];

		p->is_there[i] = segment_look(seg, i, node);
		p->is_dead[i] = p->is_there[i] && node->state == SEGMENT_LIVE &&
			(node->identity.flags & SEGMENT_LOCKED) && segment_file_is_neighbour(file, node) &&
			segment_file_has_lock(file, i) == 0;
		// The segment's, which any node may write: it goes to a terminal, and into JSON.
		node->identity.name[sizeof(node->identity.name) - 1] = '\0';
		for (char *c = node->identity.name; *c; c++)
			if (*c <= ' ' || *c >= 0x7f || *c == '"' || *c == '\\')
				*c = '?';
		if (node->identity.n_macs > SEGMENT_MAX_MACS)
			node->identity.n_macs = SEGMENT_MAX_MACS;
	}
}

const char *
picture_state(const struct picture *p, unsigned i)
{
	static const char *const names[] = {"free", "joining", "live", "leaving"};

	return p->is_dead[i] ? "dead" : p->node[i].state <= SEGMENT_REAPING ? names[p->node[i].state] : "unknown";
}

uint64_t
picture_dropped(const struct segment_counters *c)
{
	return c->tx_no_slot + c->tx_inbox_full + c->tx_nobody + c->tx_gone + c->rx_stale + c->rx_bad + c->rx_refused;
}

void
picture_print_segment(const struct picture *p, const char *path, FILE *out)
{
	char bytes[UNITS_TEXT_SIZE], slot[UNITS_TEXT_SIZE];

	fprintf(out,
		"%s: %s, %s, %s; %" PRIu32 " slots of %s, %" PRIu32 " free, taken back from dead nodes: %" PRIu64
		"; inboxes of %" PRIu32 "\n",
		path, units_format_size(segment_bytes(&p->geometry), bytes),
		p->geometry.memory == SEGMENT_COHERENT ? "coherent" : "noncoherent",
		p->geometry.buffers == SEGMENT_POOL ? "common pool" : "separate buffers", p->geometry.n_slots,
		units_format_size(p->geometry.slot_bytes, slot), p->pool.n_free, p->pool.n_reaped,
		p->geometry.inbox_size);
}
