// The pool of pool.h: chunks of objects, and a list of free ones through their first bytes.
#include "pool.h"

#include <errno.h>
#include <stdlib.h>

#define CHUNK_OBJECTS 4096u
#define ALIGNMENT _Alignof(max_align_t)

struct pool_link {
	struct pool_link *next;
};

struct pool_chunk {
	struct pool_chunk *next;
	max_align_t objects[];
};

void
pool_init(struct pool *p, size_t size, uint32_t max)
{
	*p = (struct pool){.size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT, .max = max};
}

void
pool_fini(struct pool *p)
{
	while (p->chunks) {
		struct pool_chunk *chunk = p->chunks;

		p->chunks = chunk->next;
		free(chunk);
	}
	p->free = NULL;
}

void
pool_put(struct pool *p, void *object)
{
	struct pool_link *link = object;

	link->next = p->free;
	p->free = link;
}

static int
grow(struct pool *p)
{
	struct pool_chunk *chunk;

	if (p->n >= p->max)
		return -ENOSPC;
	chunk = malloc(sizeof(*chunk) + CHUNK_OBJECTS * p->size);
	if (!chunk)
		return -ENOMEM;
	chunk->next = p->chunks;
	p->chunks = chunk;
	p->n += CHUNK_OBJECTS;
	for (size_t i = 0; i < CHUNK_OBJECTS; i++)
		pool_put(p, (char *)chunk->objects + i * p->size);
	return 0;
}

int
pool_get(struct pool *p, void **ret_object)
{
	int rc = p->free ? 0 : grow(p);

	if (rc)
		return rc;
	*ret_object = p->free;
	p->free = p->free->next;
	return 0;
}
