// Geometry and header, which are read once, when a segment is made or attached. A node works with
// its copy of the geometry, so that no later write into the header moves a pointer.
#include "lines.h"
#include "noncoherent.h"
#include "own.h"

#include <errno.h>
#include <string.h>

static bool
is_power_of_two(uint32_t n)
{
	return n && !(n & (n - 1));
}

int
segment_check_geometry(const struct segment_geometry *g, const char **ret_field)
{
	const char *field = NULL;

	if (g->memory != SEGMENT_COHERENT && g->memory != SEGMENT_NONCOHERENT)
		field = "memory";
	else if (g->buffers != SEGMENT_POOL && (g->buffers != SEGMENT_SEPARATE || g->memory == SEGMENT_NONCOHERENT))
		field = "buffers";
	else if (g->n_nodes < 2 || g->n_nodes > SEGMENT_MAX_NODES)
		field = "nodes";
	else if (g->slot_bytes < SEGMENT_MIN_SLOT_BYTES || g->slot_bytes > SEGMENT_MAX_SLOT_BYTES ||
		!is_power_of_two(g->slot_bytes))
		field = "slot_bytes";
	else if (g->inbox_size < SEGMENT_MIN_INBOX || g->inbox_size > SEGMENT_MAX_INBOX ||
		!is_power_of_two(g->inbox_size))
		field = "inbox";
	else if (g->n_slots < segment_min_slots(g) || g->n_slots > SEGMENT_MAX_SLOTS)
		field = "slots";
	if (!field)
		return 0;
	if (ret_field)
		*ret_field = field;
	return -EINVAL;
}

// Enough for one frame of the greatest length from each node, or to each node when buffers are
// separate.
uint32_t
segment_min_slots(const struct segment_geometry *g)
{
	uint32_t pairs = g->n_nodes * (g->n_nodes - 1), chain = (SEGMENT_MAX_FRAME + g->slot_bytes - 1) / g->slot_bytes;
	uint32_t n = chain * (g->buffers == SEGMENT_SEPARATE ? pairs : g->n_nodes);

	return n < SEGMENT_MIN_SLOTS ? SEGMENT_MIN_SLOTS : n;
}

static size_t
page_up(size_t n)
{
	return (n + SEGMENT_PAGE - 1) / SEGMENT_PAGE * SEGMENT_PAGE;
}

void
segment_layout(const struct segment_geometry *g, struct layout *ret_layout)
{
	struct layout at = {.nodes = SEGMENT_PAGE};

	at.inbox_stride = sizeof(struct layout_inbox) + g->inbox_size * sizeof(uint64_t);
	// An odd number of lines, so that the slots' headers spread over the sets of a cache.
	at.slot_stride = sizeof(struct layout_slot) + g->slot_bytes;
	at.inboxes = page_up(at.nodes + g->n_nodes * sizeof(struct layout_node));
	at.words = page_up(at.inboxes +
		(g->memory == SEGMENT_COHERENT ? g->n_nodes * at.inbox_stride : noncoherent_lane_bytes(g)));
	at.slots = page_up(at.words + (g->memory == SEGMENT_COHERENT ? g->n_slots * sizeof(uint64_t) : 0));
	at.bytes = page_up(at.slots + g->n_slots * at.slot_stride);
	*ret_layout = at;
}

size_t
segment_bytes(const struct segment_geometry *g)
{
	struct layout at;

	if (segment_check_geometry(g, NULL))
		return 0;
	segment_layout(g, &at);
	return at.bytes;
}

size_t
segment_own_bytes(const struct segment_geometry *g)
{
	return sizeof(struct segment) +
		(g->memory == SEGMENT_NONCOHERENT ? noncoherent_own_bytes(g) : 2 * (size_t)g->n_slots);
}

int
segment_format(void *mem, size_t size, const struct segment_geometry *g, const uint8_t id[16])
{
	struct layout_header *header = mem;

	if (segment_check_geometry(g, NULL))
		return -EINVAL;
	if (size < segment_bytes(g))
		return -ENOSPC;
	header->version = SEGMENT_VERSION;
	header->memory = g->memory;
	header->buffers = g->buffers;
	header->n_nodes = g->n_nodes;
	header->n_slots = g->n_slots;
	header->slot_bytes = g->slot_bytes;
	header->inbox_size = g->inbox_size;
	header->bytes = segment_bytes(g);
	memcpy(header->id, id, sizeof(header->id));
	// Also what the caller has made zero.
	if (g->memory == SEGMENT_NONCOHERENT)
		lines_write_back(lines_look(), mem, segment_bytes(g));
	lines_fence_writes();
	shared_store(&header->magic, SEGMENT_MAGIC);
	if (g->memory == SEGMENT_NONCOHERENT)
		lines_write_back(lines_look(), header, sizeof(*header));
	return 0;
}

int
segment_read_geometry(const void *mem, size_t size, struct segment_geometry *ret_g)
{
	const struct layout_header *header = mem;
	struct segment_geometry g;

	if (size < SEGMENT_PAGE)
		return -ENODATA;
	lines_drop(lines_look(), mem, sizeof(*header)); // another host may have made it
	lines_fence();
	if (shared_load(&header->magic) != SEGMENT_MAGIC)
		return -ENODATA;
	if (header->version != SEGMENT_VERSION)
		return -EPROTO;
	g = (struct segment_geometry){
		.memory = header->memory,
		.buffers = header->buffers,
		.n_nodes = header->n_nodes,
		.n_slots = header->n_slots,
		.slot_bytes = header->slot_bytes,
		.inbox_size = header->inbox_size,
	};
	if (segment_check_geometry(&g, NULL) || header->bytes != segment_bytes(&g))
		return -EINVAL;
	if (size < segment_bytes(&g))
		return -EFBIG;
	*ret_g = g;
	return 0;
}

struct segment *
segment_attach(void *own, void *mem, const struct segment_geometry *g)
{
	struct segment *seg = own;

	seg->g = *g;
	segment_layout(g, &seg->at);
	seg->mem = mem;
	seg->self = -1;
	while (1u << seg->inbox_shift < g->inbox_size)
		seg->inbox_shift++;
	while (1u << seg->slot_shift < g->slot_bytes)
		seg->slot_shift++;
	if (g->memory == SEGMENT_NONCOHERENT)
		noncoherent_attach(seg);
	return seg;
}

const struct segment_geometry *
segment_geometry_of(const struct segment *seg)
{
	return &seg->g;
}

int
segment_self(const struct segment *seg)
{
	return seg->self;
}

void
segment_count_refused(struct segment *seg)
{
	own_count_rx(seg, RX_REFUSED, 1);
}
