// The common part of both ends of a lane: its lines.
#include "lane.h"

#include "plain.h"

void
lane_drop(const struct segment *seg, unsigned from, unsigned to, uint64_t position, uint32_t n)
{
	struct layout_lane *lane = lane_at(seg, from, to);
	uint32_t at = (uint32_t)position & (seg->g.inbox_size - 1), before_end = seg->g.inbox_size - at;

	lines_drop(lane_own(seg)->how, &lane->entry[at], (n < before_end ? n : before_end) * sizeof(uint64_t));
	if (n > before_end)
		lines_drop(lane_own(seg)->how, lane->entry, (n - before_end) * sizeof(uint64_t));
}

void
lane_write_back(const struct segment *seg, unsigned to, uint64_t position, uint64_t n)
{
	struct layout_lane *lane = lane_at(seg, (unsigned)seg->self, to);
	uint32_t at = (uint32_t)position & (seg->g.inbox_size - 1), before_end = seg->g.inbox_size - at;

	lines_write_back(lane_own(seg)->how, &lane->entry[at], (n < before_end ? n : before_end) * sizeof(uint64_t));
	if (n > before_end)
		lines_write_back(lane_own(seg)->how, lane->entry, (n - before_end) * sizeof(uint64_t));
}

uint32_t
lane_n_waiting(const struct segment *seg, unsigned from, unsigned to, uint16_t epoch)
{
	struct layout_passed *passed = lane_passed(seg, to, from);
	struct layout_lane *lane = lane_at(seg, from, to);
	uint64_t at, entry;
	uint32_t n_slots = 0;

	lines_drop(lane_own(seg)->how, passed, sizeof(*passed));
	lines_fence();
	at = shared_load(&passed->passed);
	if (at >> 48 != epoch)
		return 0;
	at &= POSITION_MASK;
	for (uint32_t i = 0; i < seg->g.inbox_size; i++, at++) {
		if (!i || !(at % (LINES_BYTES / sizeof(uint64_t)))) {
			lane_drop(seg, from, to, at, 1);
			lines_fence();
		}
		entry = shared_load(lane_entry(seg, lane, at));
		if (!lane_is_full(seg, entry, epoch, at))
			break;
		n_slots += lane_count_of(entry);
	}
	return n_slots;
}
