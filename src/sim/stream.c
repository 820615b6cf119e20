// The streams of stream.h: a source that is initialised for each period. O(1) a packet, O(periods)
// to find a time.
#include "stream.h"

#include "rtvs/random.h"

static void
begin_period(struct stream *s)
{
	s->params.start_ns = s->times->at[s->period].from_ns + s->start_ns;
	source_init(&s->source, &s->params, random_next(&s->seed));
}

void
stream_init(struct stream *s, const struct source_params *params, const struct stream_times *times, uint64_t phase_ns,
	uint64_t seed)
{
	*s = (struct stream){.params = *params, .times = times, .start_ns = params->start_ns + phase_ns, .seed = seed};
	begin_period(s);
}

uint64_t
stream_next_ns(struct stream *s)
{
	while (s->source.next_ns >= s->times->at[s->period].to_ns) {
		if (s->period + 1 == s->times->n)
			return UINT64_MAX;
		s->period++;
		begin_period(s);
	}
	return s->source.next_ns;
}

bool
stream_times_has(const struct stream_times *times, uint64_t at_ns)
{
	for (uint32_t i = 0; i < times->n; i++)
		if (at_ns >= times->at[i].from_ns && at_ns < times->at[i].to_ns)
			return true;
	return false;
}
