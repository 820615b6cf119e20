// The library for other programs: segment_file and segment under names of this project. It exports
// nothing else.
#include "rtvs/segment_file.h"
#include "rtvswitch/segment.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

// A frame is the same to both sides.
#define SAME(member, public_member) \
	static_assert(              \
		offsetof(struct segment_frame, member) == offsetof(struct rtvs_segment_frame, public_member), #member)
SAME(len, len);
SAME(n_slots, n_pieces);
SAME(from, from);
SAME(is_shared, is_shared);
SAME(to, to);
SAME(offload, offload);
SAME(offset, offset);
SAME(slot, slot);
static_assert(sizeof(struct segment_frame) == sizeof(struct rtvs_segment_frame), "frame");
static_assert(sizeof(struct segment_offload) == sizeof(struct rtvs_segment_offload), "offload");
static_assert(SEGMENT_ERR_SIZE == RTVS_SEGMENT_ERR_SIZE && SEGMENT_MAX_FRAME == RTVS_SEGMENT_MAX_FRAME &&
		SEGMENT_MAX_CHAIN == RTVS_SEGMENT_MAX_PIECES && SEGMENT_MAX_MACS == RTVS_SEGMENT_MAX_MACS &&
		SEGMENT_TEND_NS == RTVS_SEGMENT_TEND_MS * UINT64_C(1000000),
	"limits");

static struct segment_file *
file_of(const struct rtvs_segment *s)
{
	return (struct segment_file *)(uintptr_t)s;
}

static struct segment *
segment_of(const struct rtvs_segment *s)
{
	return segment_file_segment(file_of(s));
}

static bool
is_name(const char *name)
{
	static const char chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-";
	size_t len = name ? strlen(name) : 0;

	return len && len < RTVS_NAME_SIZE && strspn(name, chars) == len;
}

EXPORT int
rtvs_segment_open(const char *path, const struct rtvs_segment_node *node, struct rtvs_segment **ret_segment,
	char err[RTVS_SEGMENT_ERR_SIZE])
{
	struct segment_identity identity = {
		.mtu = RTVS_SEGMENT_MAX_FRAME - 18, .flags = node->is_bridge ? SEGMENT_BRIDGE : 0};
	struct segment_file *file;
	int rc;

	if (!is_name(node->name)) {
		snprintf(err, RTVS_SEGMENT_ERR_SIZE, "name: must be 1 to %d of [A-Za-z0-9_.:-]", RTVS_NAME_SIZE - 1);
		return -EINVAL;
	}
	if (node->n_macs > RTVS_SEGMENT_MAX_MACS) {
		snprintf(err, RTVS_SEGMENT_ERR_SIZE, "n_macs: must be 0 to %d", RTVS_SEGMENT_MAX_MACS);
		return -EINVAL;
	}
	memcpy(identity.name, node->name, strlen(node->name));
	identity.n_macs = (uint8_t)node->n_macs;
	for (unsigned i = 0; i < node->n_macs; i++)
		memcpy(identity.mac[i].b, node->mac[i], sizeof(identity.mac[i].b));
	rc = segment_file_open(path, false, &file, err);
	if (rc)
		return rc;
	(void)segment_file_populate(file, SIZE_MAX);
	rc = segment_file_join(file, node->number, &identity, err);
	if (rc) {
		segment_file_close(file);
		return rc;
	}
	*ret_segment = (struct rtvs_segment *)(void *)file;
	return 0;
}

EXPORT void
rtvs_segment_close(struct rtvs_segment *s)
{
	segment_file_close(file_of(s));
}

EXPORT int
rtvs_segment_number(const struct rtvs_segment *s)
{
	return segment_self(segment_of(s));
}

EXPORT uint32_t
rtvs_segment_piece_bytes(const struct rtvs_segment *s)
{
	return segment_geometry_of(segment_of(s))->slot_bytes;
}

EXPORT int
rtvs_segment_catch_truncation(void)
{
	return segment_file_catch_truncation();
}

EXPORT bool
rtvs_segment_mend(const void *address)
{
	return segment_file_mend(address);
}

EXPORT int
rtvs_segment_tend(struct rtvs_segment *s)
{
	(void)segment_file_tend(file_of(s));
	return segment_is_expelled(segment_of(s)) || segment_self(segment_of(s)) < 0 ? -ESTALE : 0;
}

EXPORT int
rtvs_segment_rejoin(struct rtvs_segment *s, char err[RTVS_SEGMENT_ERR_SIZE])
{
	return segment_file_rejoin(file_of(s), err);
}

EXPORT void
rtvs_segment_stats(const struct rtvs_segment *s, struct rtvs_segment_stats *ret_stats)
{
	struct segment_node_info info = {0};
	int self = segment_self(segment_of(s));

	if (self >= 0)
		(void)segment_look(segment_of(s), (unsigned)self, &info);
	*ret_stats = (struct rtvs_segment_stats){
		.tx_frames = info.counters.tx_frames,
		.tx_bytes = info.counters.tx_bytes,
		.rx_frames = info.counters.rx_frames,
		.rx_bytes = info.counters.rx_bytes,
		.tx_no_slot = info.counters.tx_no_slot,
		.tx_inbox_full = info.counters.tx_inbox_full,
		.tx_nobody = info.counters.tx_nobody,
		.tx_gone = info.counters.tx_gone,
		.rx_stale = info.counters.rx_stale,
		.rx_bad = info.counters.rx_bad,
	};
}

EXPORT uint64_t
rtvs_segment_route(struct rtvs_segment *s, const uint8_t mac[6])
{
	return segment_route(segment_of(s), mac);
}

EXPORT int
rtvs_segment_reserve(struct rtvs_segment *s, uint64_t to, uint32_t len, struct rtvs_segment_frame *ret_frame)
{
	return segment_reserve(segment_of(s), to, len, (struct segment_frame *)ret_frame);
}

EXPORT void *
rtvs_segment_piece(
	const struct rtvs_segment *s, const struct rtvs_segment_frame *frame, unsigned i, uint32_t *ret_bytes)
{
	return segment_piece(segment_of(s), (const struct segment_frame *)frame, i, ret_bytes);
}

EXPORT void
rtvs_segment_shorten(struct rtvs_segment *s, struct rtvs_segment_frame *frame, uint32_t len)
{
	segment_shorten(segment_of(s), (struct segment_frame *)frame, len);
}

EXPORT void
rtvs_segment_unreserve(struct rtvs_segment *s, const struct rtvs_segment_frame *frame)
{
	segment_unreserve(segment_of(s), (const struct segment_frame *)frame);
}

EXPORT unsigned
rtvs_segment_send(struct rtvs_segment *s, struct rtvs_segment_frame *frames, unsigned n)
{
	uint64_t wake = 0;
	unsigned n_sent = segment_send(segment_of(s), (struct segment_frame *)frames, n, &wake);

	if (wake)
		segment_file_wake(file_of(s), wake);
	return n_sent;
}

EXPORT int
rtvs_segment_put(struct rtvs_segment *s, const void *data, uint32_t len, const struct rtvs_segment_offload *offload)
{
	uint64_t wake = 0;
	int rc = segment_put(segment_of(s), data, len, (const struct segment_offload *)offload, &wake);

	if (wake)
		segment_file_wake(file_of(s), wake);
	return rc;
}

EXPORT unsigned
rtvs_segment_receive(struct rtvs_segment *s, struct rtvs_segment_frame *ret_frames, unsigned n)
{
	return segment_receive(segment_of(s), (struct segment_frame *)ret_frames, n);
}

EXPORT void
rtvs_segment_copy(const struct rtvs_segment *s, const struct rtvs_segment_frame *frame, void *ret_data)
{
	segment_copy(segment_of(s), (const struct segment_frame *)frame, ret_data);
}

EXPORT void
rtvs_segment_release(struct rtvs_segment *s, const struct rtvs_segment_frame *frames, unsigned n)
{
	segment_release(segment_of(s), (const struct segment_frame *)frames, n);
}

EXPORT bool
rtvs_segment_wait(struct rtvs_segment *s, uint64_t max_ns)
{
	return segment_file_wait(file_of(s), max_ns);
}
