// Memory of a guest, as its device sees it: regions of guest-physical (or IOVA) addresses, each
// mapped somewhere in this process. Pure: the code that maps files fills the table.
//
// A table does not change while a thread reads it. A change makes another table. Any number of
// threads may read one; each brings a hint of its own, which remembers the region of its last
// address.
// Sources: vhost-user specification, "Memory region description"; CVE-2020-10725 (a length of 0).
#pragma once

#include <stddef.h>
#include <stdint.h>

#define GUEST_MEM_MAX_REGIONS 509 // QEMU's memory slots at most: KVM_USER_MEM_SLOTS

struct guest_region {
	uint64_t guest; // first address in the guest
	uint64_t user; // the same byte's address in the front-end's process
	uint64_t n_bytes;
	uint8_t *host; // the same byte in this process
};

struct guest_mem {
	uint32_t n_regions; // sorted by `guest`
	struct guest_region region[GUEST_MEM_MAX_REGIONS];
};

// Errors: -ENOSPC (GUEST_MEM_MAX_REGIONS are there), -EINVAL (no bytes, no mapping, an end beyond
// 64 bits), -EEXIST (it overlaps another region's guest or user addresses).
int guest_mem_add(struct guest_mem *mem, const struct guest_region *region);

// Finds the region by all that the front-end tells of it: guest, user, n_bytes. Error: -ENOENT.
int guest_mem_remove(struct guest_mem *mem, const struct guest_region *region, struct guest_region *ret_region);

// The host address of a guest address. Also how many of n_bytes (1 at least) are contiguous from
// there, which is less at the end of a region. NULL: no region has the address.
uint8_t *guest_mem_find(const struct guest_mem *mem, uint32_t *hint, uint64_t guest, uint32_t *n_bytes);

// Of an address in the front-end's process, all n_bytes in one region. Rings are told that way.
// NULL: they are not. *ret_guest is the guest's address of the first byte.
uint8_t *guest_mem_of_user(const struct guest_mem *mem, uint64_t user, uint64_t n_bytes, uint64_t *ret_guest);

// guest_mem_find for the region of the last address, without a call.
static inline uint8_t *
guest_mem_at(const struct guest_mem *mem, uint32_t *hint, uint64_t guest, uint32_t *n_bytes)
{
	const struct guest_region *r = &mem->region[*hint];

	// An unused region has no bytes, so the offset alone refuses it.
	if (__builtin_expect(guest - r->guest < r->n_bytes && *n_bytes <= r->n_bytes - (guest - r->guest), 1))
		return r->host + (guest - r->guest);
	return guest_mem_find(mem, hint, guest, n_bytes);
}
