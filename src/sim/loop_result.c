// The counts of loop_result.h. The event loop reports each event with its object.
#include "loop_result.h"

#include <errno.h>
#include <stdlib.h>

#define SECOND UINT64_C(1000000000)
#define N_SAMPLES 500u // when the scenario does not say

int
loop_result_init(struct loop_result *r, const struct loop_scenario *sc)
{
	uint64_t least_ns = sc->time_ns / LOOP_RESULT_MAX_SAMPLES + 1;

	*r = (struct loop_result){.sample_ns = sc->sample_ns ? sc->sample_ns : sc->time_ns / N_SAMPLES + 1};
	if (r->sample_ns < least_ns)
		r->sample_ns = least_ns;
	r->n_samples = (uint32_t)((sc->time_ns - 1) / r->sample_ns + 1);
	for (uint32_t i = 0; i < sc->n_flows; i++) {
		hist_init(&r->flows[i].delay);
		r->flows[i].samples = calloc(r->n_samples, sizeof(struct loop_result_sample));
		if (!r->flows[i].samples)
			return -ENOMEM;
	}
	return 0;
}

void
loop_result_fini(struct loop_result *r)
{
	for (uint32_t i = 0; i < LOOP_MAX_FLOWS; i++) {
		free(r->flows[i].samples);
		r->flows[i].samples = NULL;
	}
}

static void
raise(uint64_t *value, uint64_t to)
{
	if (to > *value)
		*value = to;
}

static void
count_missed(struct loop_result_flow *f, struct loop_result_tally *tally, uint64_t created_ns)
{
	f->missed++;
	raise(&f->missed_most, ++tally->missed);
	if (tally->missed == 1 || created_ns > tally->last_missed_ns + LOOP_RESULT_QUIET_NS) {
		f->episodes++;
		tally->first_missed_ns = tally->last_missed_ns = created_ns;
	}
	raise(&tally->last_missed_ns, created_ns); // with another step it may have been overtaken
	raise(&f->longest_ns, tally->last_missed_ns - tally->first_missed_ns);
}

void
loop_result_deliver(struct loop_result *r, uint32_t flow, struct loop_result_tally *tally, uint64_t deadline_ns,
	uint64_t created_ns, uint64_t delay_ns)
{
	struct loop_result_flow *f = &r->flows[flow];
	struct loop_result_sample *sample = &f->samples[created_ns / r->sample_ns];

	f->delivered++;
	hist_add(&f->delay, delay_ns);
	raise(&sample->worst_ns, delay_ns);
	if (!deadline_ns || delay_ns <= deadline_ns)
		return;
	sample->missed++;
	count_missed(f, tally, created_ns);
}

void
loop_result_report(struct loop_result_flow *f, struct loop_result_tally *tally, uint64_t now_ns)
{
	f->reports++;
	if (!tally->reports || now_ns - tally->second_ns >= SECOND) {
		tally->reports = 0;
		tally->second_ns = now_ns;
	}
	raise(&f->reports_most, ++tally->reports);
}

void
loop_result_sample(struct loop_result *r, uint32_t flow, const struct feedback *control, uint64_t now_ns)
{
	struct loop_result_sample *sample = &r->flows[flow].samples[now_ns / r->sample_ns];

	if (!sample->deadline_min_ns || control->deadline_ns < sample->deadline_min_ns)
		sample->deadline_min_ns = control->deadline_ns;
	sample->deadline_sum_ns += control->deadline_ns;
	sample->step_sum += control->step;
	sample->shortened += control->deadline_ns < control->params.deadline_ns;
	sample->raised += control->step > 0;
	sample->escalated += control->is_escalated;
}
