// The sums of one port's chains: per stage a histogram, and which stage makes response times
// fluctuate. Pure.
#pragma once

#include "rtvs/hist.h"
#include "series.h"
#include "stages.h"

struct tally_hist {
	struct hist hist;
	uint64_t min;
};

// Chains of one kind; they end at the same point.
struct tally_set {
	struct tally_hist stages[STAGE_COUNT], total;
	uint64_t running, emulated, kicked, prewoken; // chains of which it is true
};

struct tally {
	struct tally_set answered, unanswered;
	uint64_t results[STAGES_RESULTS];
	struct tally_hist depth;
	struct series depths;
};

struct tally_worst {
	enum stage stage;
	uint64_t spread_ns; // p99 - p50
	uint64_t total_spread_ns; // that of the time from end to end
};

// Of a histogram, exact except for the percentiles, which are upper bounds that are off by 6.25 %
// at most.
struct tally_figures {
	uint64_t count, min, p50, p90, p99, max, mean;
};

void tally_init(struct tally *t);
// at_ns: since the beginning.
void tally_add(struct tally *t, enum stages_result result, const struct stages *s, const struct stages_chain *chain,
	uint64_t at_ns);
struct tally_figures tally_figures(const struct tally_hist *h);
uint64_t tally_sum_of_means(const struct tally_set *set);
// The stage with the largest spread. false: there is nothing.
bool tally_worst(const struct tally_set *set, struct tally_worst *ret_worst);
// One sentence: what to change about a stage.
const char *tally_advice(enum stage stage);
