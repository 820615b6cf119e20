// The two copies of rtvs/shared_clock.h. A writer that lost its core in the middle keeps no reader
// from the other copy.
#include "rtvs/shared_clock.h"

void
shared_clock_set(struct shared_clock *c, int64_t offset_ns, uint64_t uncertainty_ns)
{
	uint32_t gen = __atomic_load_n(&c->gen, __ATOMIC_RELAXED) + 1;

	// The value told last is known before this copy, which was read until then, changes.
	__atomic_thread_fence(__ATOMIC_RELEASE);
	__atomic_store_n(&c->copy[gen % 2].offset_ns, offset_ns, __ATOMIC_RELAXED);
	__atomic_store_n(&c->copy[gen % 2].uncertainty_ns, uncertainty_ns, __ATOMIC_RELAXED);
	__atomic_store_n(&c->gen, gen, __ATOMIC_RELEASE);
}

void
shared_clock_get(const struct shared_clock *c, int64_t *ret_offset_ns, uint64_t *ret_uncertainty_ns)
{
	uint32_t gen;

	do {
		gen = __atomic_load_n(&c->gen, __ATOMIC_ACQUIRE);
		*ret_offset_ns = __atomic_load_n(&c->copy[gen % 2].offset_ns, __ATOMIC_RELAXED);
		*ret_uncertainty_ns = __atomic_load_n(&c->copy[gen % 2].uncertainty_ns, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
	} while (gen != __atomic_load_n(&c->gen, __ATOMIC_RELAXED));
}
