// The table of a guest's memory regions. A look-up that misses the hint is a binary search.
#include "rtvs/guest_mem.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static bool
is_apart(uint64_t a, uint64_t n_a, uint64_t b, uint64_t n_b)
{
	return a < b ? b - a >= n_a : a - b >= n_b;
}

int
guest_mem_add(struct guest_mem *mem, const struct guest_region *region)
{
	uint32_t at = mem->n_regions;

	if (!region->n_bytes || !region->host || region->guest + (region->n_bytes - 1) < region->guest ||
		region->user + (region->n_bytes - 1) < region->user)
		return -EINVAL;
	for (uint32_t i = 0; i < mem->n_regions; i++) {
		const struct guest_region *r = &mem->region[i];

		if (!is_apart(r->guest, r->n_bytes, region->guest, region->n_bytes) ||
			!is_apart(r->user, r->n_bytes, region->user, region->n_bytes))
			return -EEXIST;
	}
	if (mem->n_regions == GUEST_MEM_MAX_REGIONS)
		return -ENOSPC;
	while (at && mem->region[at - 1].guest > region->guest)
		at--;
	memmove(&mem->region[at + 1], &mem->region[at], (mem->n_regions - at) * sizeof(*region));
	mem->region[at] = *region;
	mem->n_regions++;
	return 0;
}

int
guest_mem_remove(struct guest_mem *mem, const struct guest_region *region, struct guest_region *ret_region)
{
	for (uint32_t i = 0; i < mem->n_regions; i++) {
		struct guest_region *r = &mem->region[i];

		if (r->guest != region->guest || r->user != region->user || r->n_bytes != region->n_bytes)
			continue;
		*ret_region = *r;
		mem->n_regions--;
		memmove(r, r + 1, (mem->n_regions - i) * sizeof(*r));
		mem->region[mem->n_regions] = (struct guest_region){0};
		return 0;
	}
	return -ENOENT;
}

uint8_t *
guest_mem_find(const struct guest_mem *mem, uint32_t *hint, uint64_t guest, uint32_t *n_bytes)
{
	uint32_t low = 0, high = mem->n_regions;
	const struct guest_region *r;
	uint64_t left;

	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (mem->region[mid].guest <= guest)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low)
		return NULL;
	r = &mem->region[low - 1];
	if (guest - r->guest >= r->n_bytes)
		return NULL;
	*hint = low - 1;
	left = r->n_bytes - (guest - r->guest);
	if (*n_bytes > left)
		*n_bytes = (uint32_t)left;
	return r->host + (guest - r->guest);
}

uint8_t *
guest_mem_of_user(const struct guest_mem *mem, uint64_t user, uint64_t n_bytes, uint64_t *ret_guest)
{
	for (uint32_t i = 0; i < mem->n_regions; i++) {
		const struct guest_region *r = &mem->region[i];

		if (user - r->user >= r->n_bytes)
			continue;
		if (n_bytes > r->n_bytes - (user - r->user))
			return NULL;
		*ret_guest = r->guest + (user - r->user);
		return r->host + (user - r->user);
	}
	return NULL;
}
