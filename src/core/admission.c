// The test of rtvs/admission.h. Amounts are counted in billionths of a byte: rate * ns. A sender's
// part is below 2^32 * 1e9 + 5e10 * 3.6e12 < 2^78, that of 65,536 senders below 2^94.
#include "rtvs/admission.h"

#include <assert.h>
#include <stddef.h>

#define NS_PER_S UINT64_C(1000000000)
#define RATE_MAX UINT64_C(50000000000)
#define BURST_MAX (UINT64_C(1) << 32)
#define DEADLINE_MAX_NS UINT64_C(3600000000000)

typedef unsigned __int128 nanobytes;

static void
sift_down(struct admission_sender *senders, uint32_t n, uint32_t at)
{
	struct admission_sender moved = senders[at];
	uint32_t child;

	while ((child = at * 2 + 1) < n) {
		if (child + 1 < n && senders[child + 1].deadline_ns > senders[child].deadline_ns)
			child++;
		if (senders[child].deadline_ns <= moved.deadline_ns)
			break;
		senders[at] = senders[child];
		at = child;
	}
	senders[at] = moved;
}

static void
sort_by_deadline(struct admission_sender *senders, uint32_t n)
{
	for (uint32_t i = n / 2; i-- > 0;)
		sift_down(senders, n, i);
	for (uint32_t end = n; end-- > 1;) {
		struct admission_sender last = senders[end];

		senders[end] = senders[0];
		senders[0] = last;
		sift_down(senders, end, 0);
	}
}

// The least that the link has served by t.
static nanobytes
supply(const struct admission_link *link, uint64_t t_ns)
{
	return t_ns > link->latency_ns ? (nanobytes)link->rate * (t_ns - link->latency_ns) : 0;
}

static bool
refuse(struct admission_result *result, enum admission_reason reason, const struct admission_sender *f,
	nanobytes demand, nanobytes supplied)
{
	*result = (struct admission_result){.reason = reason,
		.id = f->id,
		.t_ns = reason == ADMISSION_DEADLINE ? f->deadline_ns : 0,
		.demand_bytes = (uint64_t)((demand + NS_PER_S - 1) / NS_PER_S),
		.supply_bytes = (uint64_t)(supplied / NS_PER_S)};
	return false;
}

static bool
check_sums(const struct admission_sender *senders, uint32_t n, const struct admission_link *link,
	struct admission_result *result)
{
	uint64_t rates = 0; // 65,536 * 5e10 < 2^52

	for (uint32_t i = 0; i < n; i++) {
		const struct admission_sender *f = &senders[i];

		if (f->burst < f->max_packet)
			return refuse(result, ADMISSION_BURST, f, (nanobytes)f->max_packet * NS_PER_S,
				(nanobytes)f->burst * NS_PER_S);
		rates += f->rate;
		if (rates > link->rate)
			return refuse(result, ADMISSION_RATE, f, (nanobytes)rates * NS_PER_S,
				(nanobytes)link->rate * NS_PER_S);
	}
	return true;
}

// Goes from the last deadline to the first. The sum of senders with later deadlines is then known,
// and so is their longest packet.
static bool
check_deadlines(const struct admission_sender *senders, uint32_t n, const struct admission_link *link,
	struct admission_result *result)
{
	nanobytes bursts = 0, used = 0; // of senders 0 to k - 1; used: sum of rate * deadline
	uint64_t rates = 0;
	uint32_t longest = link->best_effort_packet; // of those with later deadlines than k's
	bool fits = true;

	for (uint32_t i = 0; i < n; i++) {
		bursts += (nanobytes)senders[i].burst * NS_PER_S;
		used += (nanobytes)senders[i].rate * senders[i].deadline_ns;
		rates += senders[i].rate;
	}
	for (uint32_t k = n; k-- > 0;) {
		const struct admission_sender *f = &senders[k];

		// Of senders with one deadline only the last is tested, before any of their packets
		// counts as later.
		if (k + 1 == n || senders[k + 1].deadline_ns > f->deadline_ns) {
			nanobytes demand, supplied = supply(link, f->deadline_ns);

			demand = bursts + (nanobytes)rates * f->deadline_ns - used + (nanobytes)longest * NS_PER_S;
			if (demand > supplied)
				fits = refuse(result, ADMISSION_DEADLINE, f, demand, supplied);
		}
		if (f->max_packet > longest)
			longest = f->max_packet;
		bursts -= (nanobytes)f->burst * NS_PER_S;
		used -= (nanobytes)f->rate * f->deadline_ns;
		rates -= f->rate;
	}
	return fits;
}

bool
admission_check(struct admission_sender *senders, uint32_t n, const struct admission_link *link,
	struct admission_result *ret_result)
{
	assert(n <= ADMISSION_MAX_SENDERS && link->rate);
	sort_by_deadline(senders, n);
	*ret_result = (struct admission_result){.reason = ADMISSION_FITS};
	return check_sums(senders, n, link, ret_result) && check_deadlines(senders, n, link, ret_result);
}

static struct admission_sender *
find(struct admission_sender *senders, uint32_t n, uint32_t id)
{
	for (uint32_t i = 0; i < n; i++)
		if (senders[i].id == id)
			return &senders[i];
	return NULL;
}

static uint64_t *
field_of(struct admission_sender *f, enum admission_field field)
{
	return field == ADMISSION_BEST_DEADLINE ? &f->deadline_ns : field == ADMISSION_BEST_RATE ? &f->rate : &f->burst;
}

static bool
fits_with(struct admission_sender *senders, uint32_t n, const struct admission_link *link, uint32_t id,
	enum admission_field field, uint64_t value)
{
	struct admission_result ignored;

	*field_of(find(senders, n, id), field) = value;
	return admission_check(senders, n, link, &ignored);
}

bool
admission_best(struct admission_sender *senders, uint32_t n, const struct admission_link *link, uint32_t id,
	enum admission_field field, uint64_t *ret_value)
{
	static const uint64_t largest[] = {DEADLINE_MAX_NS, RATE_MAX, BURST_MAX};
	bool wants_small = field == ADMISSION_BEST_DEADLINE;
	uint64_t low = field == ADMISSION_BEST_BURST ? find(senders, n, id)->max_packet : 0, high = largest[field];
	uint64_t was = *field_of(find(senders, n, id), field);
	// The easiest value to keep: when that does not fit, none does.
	bool is_possible = fits_with(senders, n, link, id, field, wants_small ? high : low);

	while (is_possible && low < high) {
		uint64_t mid = low + (high - low) / 2 + (wants_small ? 0 : 1);

		if (fits_with(senders, n, link, id, field, mid)) {
			if (wants_small)
				high = mid;
			else
				low = mid;
		} else if (wants_small) {
			low = mid + 1;
		} else {
			high = mid - 1;
		}
	}
	*field_of(find(senders, n, id), field) = was;
	if (is_possible)
		*ret_value = low;
	return is_possible;
}
