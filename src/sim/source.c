// The sources of source.h. Averages are exact over any time: the difference of a gap from a whole
// nanosecond is carried to the next.
//
// Exponential numbers without floating point: -ln(u) = (64 - log2(x)) * ln 2 for u = x / 2^64, x
// uniform from 1 to 2^64 - 1. log2 comes bit by bit: the mantissa, between 1 and 2, is squared;
// when that reaches 2 the next binary digit is 1 and the mantissa is halved. 32 digits, 32
// multiplications.
#include "source.h"

#include "rtvs/random.h"

#define NS_PER_S UINT64_C(1000000000)
#define FRACTION_BITS 32
#define LN2 UINT64_C(2977044472) // ln 2 * 2^32, rounded

const char *const source_names[SOURCE_COUNT] = {"cbr", "onoff", "poisson", "greedy", "bursts", "trace"};

uint64_t
source_exponential(uint64_t *seed)
{
	uint64_t x = random_next(seed) | 1, log;
	unsigned shift = (unsigned)__builtin_clzll(x);

	log = (uint64_t)(63 - shift) << FRACTION_BITS;
	x <<= shift; // the mantissa times 2^63
	for (uint64_t digit = UINT64_C(1) << (FRACTION_BITS - 1); digit; digit >>= 1) {
		unsigned __int128 square = (unsigned __int128)x * x; // times 2^126, below 2^128

		if (square >> 127) {
			log |= digit;
			x = (uint64_t)(square >> 64);
		} else {
			x = (uint64_t)(square >> 63);
		}
	}
	// 64 * 2^32 * 2^32 is 2^70.
	return (uint64_t)((unsigned __int128)((UINT64_C(64) << FRACTION_BITS) - log) * LN2 >> FRACTION_BITS);
}

static uint64_t
exponential_ns(uint64_t mean_ns, uint64_t *seed)
{
	return (uint64_t)((unsigned __int128)mean_ns * source_exponential(seed) >> FRACTION_BITS);
}

// The time of a packet at the rate, times factor / 2^32, which is at most 2^32. 2^16 * 2^33 * 2^64
// fits 128 bits.
static void
add_gap(struct source *s, unsigned __int128 factor)
{
	unsigned __int128 bits = (unsigned __int128)s->len * 8 * NS_PER_S * factor + s->remainder;
	unsigned __int128 per_ns = (unsigned __int128)s->params->link_rate_bps << FRACTION_BITS;

	s->next_ns += (uint64_t)(bits / per_ns);
	s->remainder = bits % per_ns;
}

static uint64_t
burst_packets(const struct source_params *p)
{
	return p->burst_bytes / p->packet;
}

static void
read_trace(struct source *s)
{
	if (s->n_traced == s->params->n_trace) {
		s->next_ns = UINT64_MAX;
		return;
	}
	s->next_ns = s->params->trace[s->n_traced].at_ns;
	s->len = s->params->trace[s->n_traced].len;
	s->n_traced++;
}

void
source_init(struct source *s, const struct source_params *params, uint64_t seed)
{
	*s = (struct source){.params = params, .next_ns = params->start_ns, .len = params->packet, .seed = seed};
	if (params->type == SOURCE_GREEDY)
		rate_init(&s->tokens, params->link_rate_bps / 8, params->burst_bytes, params->start_ns);
	else if (params->type == SOURCE_ONOFF)
		s->on_until_ns = params->start_ns + exponential_ns(params->on_ns, &s->seed);
	else if (params->type == SOURCE_POISSON)
		add_gap(s, source_exponential(&s->seed));
	else if (params->type == SOURCE_BURSTS)
		s->n_left = burst_packets(params) - 1;
	else if (params->type == SOURCE_TRACE)
		read_trace(s);
}

void
source_advance(struct source *s)
{
	switch (s->params->type) {
	case SOURCE_POISSON:
		add_gap(s, source_exponential(&s->seed));
		break;
	case SOURCE_GREEDY:
		(void)rate_take(&s->tokens, s->len, s->next_ns);
		s->next_ns = rate_ready_ns(&s->tokens, s->len, s->next_ns);
		break;
	case SOURCE_BURSTS:
		if (s->n_left--)
			break;
		s->n_left = burst_packets(s->params) - 1;
		add_gap(s, (unsigned __int128)burst_packets(s->params) << FRACTION_BITS);
		break;
	case SOURCE_TRACE:
		read_trace(s);
		break;
	case SOURCE_ONOFF:
		add_gap(s, UINT64_C(1) << FRACTION_BITS);
		if (s->next_ns <= s->on_until_ns)
			break;
		s->next_ns = s->on_until_ns + exponential_ns(s->params->off_ns, &s->seed);
		s->on_until_ns = s->next_ns + exponential_ns(s->params->on_ns, &s->seed);
		break;
	default:
		add_gap(s, UINT64_C(1) << FRACTION_BITS);
	}
}
