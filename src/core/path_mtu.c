// rtvs/path_mtu.h. Invariant: mtu is 0, or the floor at least. O(1).
#include "rtvs/path_mtu.h"

bool
path_mtu_hear(struct path_mtu *p, uint32_t mtu, bool is_ipv6, uint64_t now_ns)
{
	if (is_ipv6 && mtu < PATH_MTU_FLOOR_IPV6)
		return false;
	if (!is_ipv6 && mtu < PATH_MTU_FLOOR_IPV4)
		mtu = PATH_MTU_FLOOR_IPV4;
	if (p->mtu && mtu >= p->mtu)
		return false;
	*p = (struct path_mtu){.mtu = mtu, .until_ns = now_ns + PATH_MTU_NS};
	return true;
}

bool
path_mtu_expire(struct path_mtu *p, uint64_t now_ns)
{
	if (!p->mtu || now_ns < p->until_ns)
		return false;
	p->mtu = 0;
	return true;
}
