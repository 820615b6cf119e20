// Objects of one size, as many as are in use at one time, up to a limit.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct pool_chunk;
struct pool_link;

struct pool {
	size_t size; // of an object, rounded up to what fits any type
	uint32_t n, max; // objects that there are, that there may be
	struct pool_chunk *chunks;
	struct pool_link *free;
};

// Memory is taken when it is needed.
void pool_init(struct pool *p, size_t size, uint32_t max);
void pool_fini(struct pool *p); // and all objects
// Not cleared. 0, -ENOMEM, or -ENOSPC at the limit.
int pool_get(struct pool *p, void **ret_object);
void pool_put(struct pool *p, void *object);
