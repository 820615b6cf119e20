// Only the peaks of a ring's depth matter, so a point that stands for several values is the
// greatest of them, at its own time.
#include "series.h"

#include <string.h>

void
series_init(struct series *s)
{
	memset(s, 0, sizeof(*s));
	s->per_point = 1;
}

static void
halve(struct series *s)
{
	for (unsigned i = 0; i < s->n / 2; i++) {
		const struct series_point *pair = &s->points[2 * i];

		s->points[i] = pair[1].value > pair[0].value ? pair[1] : pair[0];
	}
	s->n /= 2;
	s->per_point *= 2;
}

void
series_add(struct series *s, uint32_t value, uint64_t at_ns)
{
	if (s->n_pending) {
		struct series_point *last = &s->points[s->n - 1];

		if (value > last->value)
			*last = (struct series_point){.at_ns = at_ns, .value = value};
	} else {
		if (s->n == SERIES_MAX)
			halve(s);
		s->points[s->n++] = (struct series_point){.at_ns = at_ns, .value = value};
	}
	s->n_pending = (s->n_pending + 1) % s->per_point;
}
