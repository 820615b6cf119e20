#include "rtvs/flow_cache.h"

#include <errno.h>

size_t
flow_cache_memory_bytes(uint32_t n)
{
	return n * (sizeof(struct flow_key) + sizeof(struct flow_cache_answer));
}

int
flow_cache_init(struct flow_cache *c, uint32_t n, void *memory, uint64_t seed)
{
	if (!n || n & (n - 1))
		return -EINVAL;
	*c = (struct flow_cache){.n = n, .seed = seed, .key = memory};
	c->answer = (struct flow_cache_answer *)(c->key + n);
	return 0;
}
