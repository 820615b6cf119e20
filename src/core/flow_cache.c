#include "rtvs/flow_cache.h"

#include <errno.h>

_Static_assert(sizeof(struct flow_cache_line) == 64, "a line");

size_t
flow_cache_memory_bytes(uint32_t n)
{
	return n * (sizeof(struct flow_cache_line) + sizeof(((struct flow_cache *)NULL)->rest[0]));
}

int
flow_cache_init(struct flow_cache *c, uint32_t n, void *memory, uint64_t seed)
{
	if (n < 2 || n & (n - 1))
		return -EINVAL;
	*c = (struct flow_cache){.n = n, .seed = seed, .line = memory};
	c->rest = (void *)(c->line + n);
	return 0;
}
