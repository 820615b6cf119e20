// The dirty log. The fence of a flush stands between data and the look at the bits: a bit that is
// set already is cleared by the hypervisor before it copies the page, so that copy has the data.
// Without the fence the look might come first, and the copy might miss the data.
#include "rtvs/guest_log.h"

void
guest_log_init(struct guest_log *log, _Atomic uint8_t *bits, uint64_t n_bytes)
{
	log->bits = bits;
	log->n_pages = n_bytes > UINT64_MAX / 8 ? UINT64_MAX : n_bytes * 8;
	log->n_pending = 0;
}

static void
mark(struct guest_log *log, uint64_t page)
{
	uint64_t byte = page / 8;
	uint8_t bit = (uint8_t)(1u << page % 8);

	if (log->n_pending && log->pending[log->n_pending - 1].byte == byte) {
		log->pending[log->n_pending - 1].bits |= bit;
		return;
	}
	if (log->n_pending == GUEST_LOG_PENDING)
		guest_log_flush(log);
	log->pending[log->n_pending].byte = byte;
	log->pending[log->n_pending].bits = bit;
	log->n_pending++;
}

void
guest_log_mark_pages(struct guest_log *log, uint64_t guest, uint64_t n_bytes)
{
	uint64_t page = guest / GUEST_LOG_PAGE, last;

	if (!n_bytes)
		return;
	last = guest + (n_bytes - 1) < guest ? UINT64_MAX : guest + (n_bytes - 1);
	last /= GUEST_LOG_PAGE;
	for (; page <= last && page < log->n_pages; page++)
		mark(log, page);
}

void
guest_log_flush(struct guest_log *log)
{
	if (!log->n_pending)
		return;
	atomic_thread_fence(memory_order_seq_cst);
	for (uint32_t i = 0; i < log->n_pending; i++) {
		_Atomic uint8_t *byte = &log->bits[log->pending[i].byte];
		uint8_t bits = log->pending[i].bits;

		if ((atomic_load_explicit(byte, memory_order_relaxed) & bits) != bits)
			atomic_fetch_or_explicit(byte, bits, memory_order_release);
	}
	log->n_pending = 0;
}
