// Memory that nodes do not see alike, and that is as hostile as permitted. Each node has a view:
// the segment as its host's caches show it. A view's writes are in memory when the line is written
// back; others' writes are in the view when the line was dropped. Besides, at every step, lines
// that were touched recently are written back too early, or fetched again too early. Lines to be
// written back go one at a time in any order, until a fence.
//
// A line that two nodes write ends the test.
#pragma once

#include "../../../src/vni/lines.h"
#include "../../../src/vni/shared.h"
#include "../unit.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SIM_VIEWS 16
#define SIM_RECENT 64

struct sim_view {
	uint8_t *cache, *clean; // clean: as it was fetched or written back last
	bool *is_pending; // a line
	uint32_t *pending, n_pending;
	uint32_t recent[SIM_RECENT], n_recent;
	int node; // -1: it only looks
};

static struct {
	uint8_t *memory;
	size_t n_lines;
	int8_t *writer; // of a line: node + 1
	struct sim_view view[SIM_VIEWS];
	unsigned n_views;
	uint64_t random;
	struct sim_view *last; // whose lines were asked for: fences are its
	void (*step)(void); // the test's
} sim;

static inline uint32_t
sim_random(uint32_t n)
{
	sim.random = sim.random * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)((sim.random >> 33) % n);
}

static inline uint8_t *
sim_line(uint8_t *of, size_t line)
{
	return of + line * LINES_BYTES;
}

static inline bool
sim_is_dirty(const struct sim_view *v, size_t line)
{
	return memcmp(sim_line(v->cache, line), sim_line(v->clean, line), LINES_BYTES);
}

static inline void
sim_clean(struct sim_view *v, size_t line)
{
	if (!sim_is_dirty(v, line))
		return;
	if (sim.writer[line] && sim.writer[line] != v->node + 1)
		fail_msg("line %zu: node %d writes it, and node %d wrote it", line, v->node, sim.writer[line] - 1);
	assert_true(v->node >= 0);
	sim.writer[line] = (int8_t)(v->node + 1);
	memcpy(sim_line(sim.memory, line), sim_line(v->cache, line), LINES_BYTES);
	memcpy(sim_line(v->clean, line), sim_line(v->cache, line), LINES_BYTES);
}

static inline void
sim_fetch(struct sim_view *v, size_t line)
{
	memcpy(sim_line(v->cache, line), sim_line(sim.memory, line), LINES_BYTES);
	memcpy(sim_line(v->clean, line), sim_line(sim.memory, line), LINES_BYTES);
}

static inline void
sim_apply_one(struct sim_view *v)
{
	uint32_t i = sim_random(v->n_pending), line = v->pending[i];

	v->pending[i] = v->pending[--v->n_pending];
	v->is_pending[line] = false;
	sim_clean(v, line);
}

static inline void
sim_apply_all(struct sim_view *v)
{
	while (v->n_pending)
		sim_apply_one(v);
}

// The actions of caches by themselves.
static inline void
sim_disturb(void)
{
	struct sim_view *v = &sim.view[sim_random(SIM_VIEWS)];
	uint32_t line;

	if (!v->cache || !v->n_recent)
		return;
	line = v->recent[sim_random(v->n_recent < SIM_RECENT ? v->n_recent : SIM_RECENT)];
	switch (sim_random(4)) {
	case 0:
		sim_clean(v, line);
		break;
	case 1:
		if (!sim_is_dirty(v, line))
			sim_fetch(v, line);
		break;
	case 2:
		if (v->n_pending)
			sim_apply_one(v);
		break;
	}
}

static inline struct sim_view *
sim_view_of(const void *at, size_t *ret_line)
{
	for (unsigned i = 0; i < sim.n_views; i++) {
		struct sim_view *v = &sim.view[i];

		if (v->cache && (const uint8_t *)at >= v->cache &&
			(const uint8_t *)at < v->cache + sim.n_lines * LINES_BYTES) {
			*ret_line = (size_t)((const uint8_t *)at - v->cache) / LINES_BYTES;
			return v;
		}
	}
	return NULL;
}

static inline void
sim_touch(struct sim_view *v, size_t line)
{
	v->recent[v->n_recent++ % SIM_RECENT] = (uint32_t)line;
}

void
segment_step(void)
{
	struct sim_view *last = sim.last;

	sim_disturb();
	if (sim.step)
		sim.step();
	sim.last = last;
}

enum lines_how
lines_look(void)
{
	return LINES_KEEP;
}

void
lines_write_back(enum lines_how how, const void *from, size_t bytes)
{
	size_t first, last = 0;
	struct sim_view *v = sim_view_of(from, &first);

	(void)how;
	if (!bytes || !v)
		return; // the segment as it is formatted
	assert_ptr_equal(sim_view_of((const uint8_t *)from + bytes - 1, &last), v);
	sim.last = v;
	for (size_t line = first; line <= last; line++) {
		sim_touch(v, line);
		if (sim_is_dirty(v, line) && !v->is_pending[line]) {
			v->is_pending[line] = true;
			v->pending[v->n_pending++] = (uint32_t)line;
		}
	}
	segment_step();
}

void
lines_drop(enum lines_how how, const void *from, size_t bytes)
{
	size_t first, last = 0;
	struct sim_view *v = sim_view_of(from, &first);

	(void)how;
	if (!bytes || !v)
		return;
	assert_ptr_equal(sim_view_of((const uint8_t *)from + bytes - 1, &last), v);
	sim.last = v;
	segment_step();
	for (size_t line = first; line <= last; line++) {
		sim_touch(v, line);
		sim_clean(v, line);
		sim_fetch(v, line);
	}
	segment_step();
}

void
lines_fence_writes(void)
{
	struct sim_view *v = sim.last;

	segment_step();
	if (v && v->cache)
		sim_apply_all(v);
}

void
lines_fence(void)
{
	lines_fence_writes();
}

static inline void
sim_init(uint8_t *memory, size_t bytes)
{
	assert_int_equal(bytes % LINES_BYTES, 0);
	memset(&sim, 0, sizeof(sim));
	sim.memory = memory;
	sim.n_lines = bytes / LINES_BYTES;
	sim.writer = calloc(sim.n_lines, 1);
	sim.random = 1;
	assert_non_null(sim.writer);
}

// Of a host whose caches are empty.
static inline struct sim_view *
sim_add(int node)
{
	struct sim_view *v = NULL;

	for (unsigned i = 0; i < SIM_VIEWS && !v; i++)
		if (!sim.view[i].cache)
			v = &sim.view[i];
	assert_non_null(v);
	if (v >= &sim.view[sim.n_views])
		sim.n_views++;
	*v = (struct sim_view){.node = node,
		.cache = aligned_alloc(4096, sim.n_lines * LINES_BYTES),
		.clean = aligned_alloc(4096, sim.n_lines * LINES_BYTES),
		.is_pending = calloc(sim.n_lines, sizeof(bool)),
		.pending = calloc(sim.n_lines, sizeof(uint32_t))};
	assert_true(v->cache && v->clean && v->is_pending && v->pending);
	memcpy(v->cache, sim.memory, sim.n_lines * LINES_BYTES);
	memcpy(v->clean, sim.memory, sim.n_lines * LINES_BYTES);
	return v;
}

static inline void
sim_remove(struct sim_view *v)
{
	free(v->cache);
	free(v->clean);
	free(v->is_pending);
	free(v->pending);
	*v = (struct sim_view){0};
}

// The host loses its power: some of what was written is in memory, some is not.
static inline void
sim_lose(struct sim_view *v)
{
	for (size_t line = 0; line < sim.n_lines; line++)
		if (sim_is_dirty(v, line) && sim_random(2))
			sim_clean(v, line);
	sim_remove(v);
}

// In time, everything that is to be written back has been.
static inline void
sim_settle(void)
{
	for (unsigned i = 0; i < sim.n_views; i++)
		if (sim.view[i].cache)
			sim_apply_all(&sim.view[i]);
}

// The node's writes that it does not write back, except those in [but, but + bytes).
static inline void
sim_assert_written_back(struct sim_view *v, size_t but, size_t bytes)
{
	for (size_t line = 0; line < sim.n_lines; line++)
		if (sim_is_dirty(v, line) && !v->is_pending[line] &&
			(line * LINES_BYTES < but || line * LINES_BYTES >= but + bytes))
			fail_msg("line %zu of node %d is not written back", line, v->node);
}

static inline void
sim_free(void)
{
	for (unsigned i = 0; i < sim.n_views; i++)
		sim_remove(&sim.view[i]);
	free(sim.writer);
}
