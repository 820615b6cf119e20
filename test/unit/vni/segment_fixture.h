// A segment in plain memory, and nodes of it in one thread. In the test's own build for it, a
// non-coherent segment is in memory that is as little coherent as possible: sim_memory.h.
#pragma once

#include "../unit.h"
#include "rtvs/segment.h"

#include <stdio.h>
#include <string.h>

#ifdef LINES_SIMULATED
#include "sim_memory.h"
#endif

#define FIXTURE_NODES 4
#ifndef FIXTURE_MEMORY // of what the tests are run on
#define FIXTURE_MEMORY SEGMENT_COHERENT
#endif

struct fixture {
	struct segment_geometry g;
	void *mem;
	struct segment *node[SEGMENT_MAX_NODES];
	uint64_t now_ns;
	uint64_t dead; // set of nodes that end without a word
#ifdef LINES_SIMULATED
	struct sim_view *view[SEGMENT_MAX_NODES]; // of node[]
#endif
};

static inline struct segment *
fixture_attach_at(struct fixture *f, void *mem)
{
	size_t bytes = (segment_own_bytes(&f->g) + 63) / 64 * 64;
	void *own = aligned_alloc(64, bytes);

	assert_non_null(own);
	memset(own, 0, bytes);
	return segment_attach(own, mem, &f->g);
}

// number: as which it may join; -1: it only looks.
static inline struct segment *
fixture_attach_as(struct fixture *f, int number)
{
#ifdef LINES_SIMULATED
	return fixture_attach_at(f, sim_add(number)->cache);
#else
	(void)number;
	return fixture_attach_at(f, f->mem);
#endif
}

static inline struct segment *
fixture_attach(struct fixture *f)
{
	return fixture_attach_as(f, -1);
}

static inline struct segment_identity
fixture_identity(unsigned number)
{
	struct segment_identity identity = {.host = {(uint8_t)number}, .pid = 100 + number, .mtu = 1500, .n_macs = 1};

	snprintf(identity.name, sizeof(identity.name), "node%u", number);
	identity.mac[0] = (struct mac){{2, 0, 0, 0, 0, (uint8_t)number}};
	return identity;
}

static inline void
fixture_write_back(struct fixture *f)
{
	(void)f;
#ifdef LINES_SIMULATED
	sim_settle();
#endif
}

// All nodes have tended: where memory is not coherent, they know who is there.
static inline void
fixture_settle(struct fixture *f)
{
	fixture_write_back(f);
	if (f->g.memory != SEGMENT_NONCOHERENT)
		return;
	for (unsigned i = 0; i < f->g.n_nodes; i++)
		if (f->node[i] && segment_self(f->node[i]) >= 0 && !(f->dead >> i & 1))
			(void)segment_tend(f->node[i], NULL, NULL, f->now_ns);
}

static inline void
fixture_join(struct fixture *f, unsigned number, uint32_t flags)
{
	struct segment_identity identity = fixture_identity(number);

	identity.flags = flags;
#ifdef LINES_SIMULATED
	if (!f->view[number])
		f->view[number] = sim_add((int)number);
	f->node[number] = fixture_attach_at(f, f->view[number]->cache);
#else
	f->node[number] = fixture_attach_as(f, (int)number);
#endif
	if (f->dead >> number & 1)
		(void)segment_expel(f->node[number], number); // its lock was free
	f->dead &= ~(UINT64_C(1) << number);
	assert_int_equal(segment_join(f->node[number], number, &identity), 0);
	fixture_settle(f);
}

static inline void
fixture_leave(struct fixture *f, unsigned number)
{
	segment_leave(f->node[number]);
	fixture_settle(f);
}

static inline void
fixture_make(struct fixture *f, const struct segment_geometry *g, unsigned n_nodes)
{
	static const uint8_t id[16] = {1, 2, 3};
	size_t bytes = segment_bytes(g);

	*f = (struct fixture){.g = *g, .now_ns = 1};
	assert_true(bytes);
	f->mem = aligned_alloc(4096, bytes);
	assert_non_null(f->mem);
	memset(f->mem, 0, bytes);
	assert_int_equal(segment_format(f->mem, bytes, g, id), 0);
#ifdef LINES_SIMULATED
	sim_init(f->mem, bytes);
#endif
	for (unsigned i = 0; i < n_nodes; i++)
		fixture_join(f, i, 0);
}

static inline void
fixture_free(struct fixture *f)
{
	for (unsigned i = 0; i < SEGMENT_MAX_NODES; i++)
		free(f->node[i]);
#ifdef LINES_SIMULATED
	sim_free();
#endif
	free(f->mem);
}

// The pool's slots beyond those that nodes have cached for sending.
static inline uint32_t
fixture_n_free(const struct fixture *f)
{
	struct segment_pool_info info;

	segment_look_pool(f->node[0], &info);
	return info.n_free;
}
