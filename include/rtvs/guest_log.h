// The dirty log of a live migration: one bit for each page of 4096 bytes of guest-physical memory,
// in memory shared with the hypervisor, which clears bits as it copies pages.
// Source: vhost-user specification, "Migration".
//
// A writer marks what it wrote, and flushes once before it tells the guest of the data. Marks are
// kept until then, so a burst to one page costs one look at the shared byte.
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_LOG_PAGE 4096
#define GUEST_LOG_PENDING 32

struct guest_log {
	// shared with the hypervisor. NULL: no migration is under way, marks are ignored
	_Atomic uint8_t *bits;
	uint64_t n_pages; // that it has bits for; writes beyond are not told
	uint32_t n_pending;
	struct {
		uint64_t byte;
		uint8_t bits;
	} pending[GUEST_LOG_PENDING]; // no byte twice in a row
};

// bits: n_bytes shared bytes, 8 pages each. One writer a struct; several may share the bits.
void guest_log_init(struct guest_log *log, _Atomic uint8_t *bits, uint64_t n_bytes);

void guest_log_mark_pages(struct guest_log *log, uint64_t guest, uint64_t n_bytes);

// All bytes written before are seen by who sees the bits.
void guest_log_flush(struct guest_log *log);

static inline void
guest_log_mark(struct guest_log *log, uint64_t guest, uint64_t n_bytes)
{
	if (__builtin_expect(log->bits != NULL, 0))
		guest_log_mark_pages(log, guest, n_bytes);
}
