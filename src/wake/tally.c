// Counts chains by how far they came. Stages are counted of chains that came to the same end only,
// so that their means add up to the mean of the whole.
#include "tally.h"

#include <string.h>

static const char *const advice[STAGE_COUNT] = {
	[STAGE_SWITCH] =
		"The switch itself is late: give its workers CPUs of their own (see 'rtvsctl worker list' for stalls).",
	[STAGE_QUEUE] = "Packets wait for the port's turn: raise the port's rate, or give the guest's senders a "
			"deadline and a min_rate.",
	[STAGE_VRING] =
		"The kick is slow: give the worker a CPU of its own, or let the guest poll, so that it needs no kick.",
	[STAGE_EMULATOR] =
		"QEMU's main loop is in the way: use KVM with irqfd, or pin the emulator thread to a CPU that is free "
		"(see 'rtvsctl advise').",
	[STAGE_WAKE] = "The virtual processor sleeps and is slow to wake: keep it awake by halt polling or idle=poll "
		       "(see 'rtvsctl advise'), or "
		       "wake it ahead with prewake=yes on the port.",
	[STAGE_RUN] = "The virtual processor waits for a CPU: pin it to a CPU of its own or raise its priority (see "
		      "'rtvsctl advise').",
	[STAGE_CONSUME] = "The guest is slow to take packets: its kernel has interrupts off, its virtual processor "
			  "lost its CPU, or "
			  "interrupts are coalesced (see 'rtvsctl advise').",
	[STAGE_ANSWER] = "The guest's program is slow to answer: give the guest more virtual processors, or its "
			 "program a higher priority.",
	[STAGE_LEAVE] = "The answer waits in the switch: give the guest's port a deadline and a min_rate.",
};

static void
set_init(struct tally_set *set)
{
	memset(set, 0, sizeof(*set));
}

void
tally_init(struct tally *t)
{
	set_init(&t->answered);
	set_init(&t->unanswered);
	memset(t->results, 0, sizeof(t->results));
	memset(&t->depth, 0, sizeof(t->depth));
	series_init(&t->depths);
}

static void
add(struct tally_hist *h, uint64_t value)
{
	if (!h->hist.count || value < h->min)
		h->min = value;
	hist_add(&h->hist, value);
}

void
tally_add(struct tally *t, enum stages_result result, const struct stages *s, const struct stages_chain *chain,
	uint64_t at_ns)
{
	struct tally_set *set = result == STAGES_ANSWERED ? &t->answered : &t->unanswered;

	t->results[result]++;
	if (chain->put_ns) {
		add(&t->depth, chain->depth);
		series_add(&t->depths, chain->depth, at_ns);
	}
	if (result != STAGES_ANSWERED && result != STAGES_UNANSWERED)
		return;
	for (unsigned i = 0; i < STAGE_COUNT; i++)
		add(&set->stages[i], s->ns[i]);
	add(&set->total, s->total_ns);
	set->running += s->is_running;
	set->emulated += s->is_emulated;
	set->kicked += chain->is_kicked;
	set->prewoken += chain->prewoken_ns != 0;
}

struct tally_figures
tally_figures(const struct tally_hist *h)
{
	return (struct tally_figures){
		.count = h->hist.count,
		.min = h->min,
		.p50 = hist_percentile(&h->hist, 50000),
		.p90 = hist_percentile(&h->hist, 90000),
		.p99 = hist_percentile(&h->hist, 99000),
		.max = h->hist.max,
		.mean = h->hist.count ? h->hist.sum / h->hist.count : 0,
	};
}

// The sum of sums, so that rounding cannot add up.
uint64_t
tally_sum_of_means(const struct tally_set *set)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < STAGE_COUNT; i++)
		sum += set->stages[i].hist.sum;
	return set->total.hist.count ? sum / set->total.hist.count : 0;
}

static uint64_t
spread_of(const struct tally_hist *h)
{
	return hist_percentile(&h->hist, 99000) - hist_percentile(&h->hist, 50000);
}

bool
tally_worst(const struct tally_set *set, struct tally_worst *ret_worst)
{
	struct tally_worst worst = {.total_spread_ns = spread_of(&set->total)};

	if (!set->total.hist.count)
		return false;
	for (unsigned i = 0; i < STAGE_COUNT; i++) {
		uint64_t spread_ns = spread_of(&set->stages[i]);

		if (spread_ns > worst.spread_ns) {
			worst.stage = (enum stage)i;
			worst.spread_ns = spread_ns;
		}
	}
	*ret_worst = worst;
	return worst.spread_ns;
}

const char *
tally_advice(enum stage stage)
{
	return advice[stage];
}
