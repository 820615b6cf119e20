// The rate of MAC moves, over the time since the last look. Reports are limited in rate, because a
// loop lasts.
#include "rtvs/mac_moves.h"

#define NS_PER_S UINT64_C(1000000000)

bool
mac_moves_are_many(struct mac_moves *m, uint64_t n, uint32_t limit, uint64_t *ret_per_s, uint64_t now_ns)
{
	uint64_t took_ns = m->seen_ns ? now_ns - m->seen_ns : 0;
	uint64_t n_new = n - m->n;

	m->n = n;
	m->seen_ns = now_ns;
	if (!limit || !took_ns || n_new * NS_PER_S / took_ns <= limit ||
		(m->told_ns && now_ns - m->told_ns < MAC_MOVES_QUIET_NS))
		return false;
	m->told_ns = now_ns;
	*ret_per_s = n_new * NS_PER_S / took_ns;
	return true;
}
