// Histograms in a state: the totals, then the counters that are not 0. One is accepted only if its
// totals are those of its counters.
#include "state_hist.h"

struct saved_hist {
	uint64_t count, sum, max;
	uint32_t sub_bits, n_buckets; // which follow, ascending
};

struct saved_bucket {
	uint32_t number, zero;
	uint64_t n;
};

void
state_hist_put(struct state_writer *w, const struct hist *hist)
{
	struct saved_hist saved = {.count = hist->count, .sum = hist->sum, .max = hist->max, .sub_bits = HIST_SUB_BITS};

	for (uint32_t i = 0; i < HIST_BUCKETS; i++)
		saved.n_buckets += hist->bucket[i] != 0;
	state_record_put(w, &saved, sizeof(saved));
	for (uint32_t i = 0; i < HIST_BUCKETS; i++)
		if (hist->bucket[i])
			state_record_put(w, &(struct saved_bucket){.number = i, .n = hist->bucket[i]},
				sizeof(struct saved_bucket));
}

static bool
is_max(uint64_t max, uint64_t count, uint32_t last)
{
	return count ? max >= hist_bucket_low(last) && max <= hist_bucket_high(last) : !max;
}

bool
state_hist_take(struct state_record *record, struct hist *ret_hist)
{
	struct saved_bucket bucket = {.number = 0};
	struct saved_hist saved;
	uint64_t count = 0;

	if (!state_record_take(record, &saved, sizeof(saved)) || saved.sub_bits != HIST_SUB_BITS ||
		saved.n_buckets > HIST_BUCKETS)
		return false;
	hist_init(ret_hist);
	for (uint32_t i = 0, next = 0; i < saved.n_buckets; i++, next = bucket.number + 1) {
		if (!state_record_take(record, &bucket, sizeof(bucket)) || bucket.number < next ||
			bucket.number >= HIST_BUCKETS || bucket.zero || !bucket.n)
			return false;
		ret_hist->bucket[bucket.number] = bucket.n;
		count += bucket.n;
	}
	ret_hist->count = saved.count;
	ret_hist->sum = saved.sum;
	ret_hist->max = saved.max;
	return count == saved.count && is_max(saved.max, count, bucket.number);
}
