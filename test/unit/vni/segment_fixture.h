// A segment in plain memory, and nodes of it in one thread.
#pragma once

#include "../unit.h"
#include "rtvs/segment.h"

#include <stdio.h>
#include <string.h>

#define FIXTURE_NODES 4

struct fixture {
	struct segment_geometry g;
	void *mem;
	struct segment *node[SEGMENT_MAX_NODES];
};

static inline struct segment *
fixture_attach(struct fixture *f)
{
	size_t bytes = (segment_own_bytes(&f->g) + 63) / 64 * 64;
	void *own = aligned_alloc(64, bytes);

	assert_non_null(own);
	memset(own, 0, bytes);
	return segment_attach(own, f->mem, &f->g);
}

static inline struct segment_identity
fixture_identity(unsigned number)
{
	struct segment_identity identity = {.pid = 100 + number, .mtu = 1500, .n_macs = 1};

	snprintf(identity.name, sizeof(identity.name), "node%u", number);
	identity.mac[0] = (struct mac){{2, 0, 0, 0, 0, (uint8_t)number}};
	return identity;
}

static inline void
fixture_join(struct fixture *f, unsigned number, uint32_t flags)
{
	struct segment_identity identity = fixture_identity(number);

	identity.flags = flags;
	f->node[number] = fixture_attach(f);
	assert_int_equal(segment_join(f->node[number], number, &identity), 0);
}

static inline void
fixture_make(struct fixture *f, const struct segment_geometry *g, unsigned n_nodes)
{
	static const uint8_t id[16] = {1, 2, 3};
	size_t bytes = segment_bytes(g);

	*f = (struct fixture){.g = *g};
	assert_true(bytes);
	f->mem = aligned_alloc(4096, bytes);
	assert_non_null(f->mem);
	memset(f->mem, 0, bytes);
	assert_int_equal(segment_format(f->mem, bytes, g, id), 0);
	for (unsigned i = 0; i < n_nodes; i++)
		fixture_join(f, i, 0);
}

static inline void
fixture_free(struct fixture *f)
{
	for (unsigned i = 0; i < SEGMENT_MAX_NODES; i++)
		free(f->node[i]);
	free(f->mem);
}

// What the pool holds beyond what nodes have at hand for sending.
static inline uint32_t
fixture_n_free(const struct fixture *f)
{
	struct segment_pool_info info;

	segment_look_pool(f->node[0], &info);
	return info.n_free;
}
