// The admission test against its definition, evaluated at every deadline in 128 bits, and at its
// limits.
#include "../unit.h"
#include "rtvs/admission.h"
#include "rtvs/random.h"

#define NS_PER_S UINT64_C(1000000000)
#define MAX_SENDERS 12
#define N_SETS 20000
#define MBIT (1000000 / 8)

typedef unsigned __int128 exact;

// Liebeherr, Wrege, Ferrari: at the deadline of each sender.
static bool
model_fits(const struct admission_sender *f, uint32_t n, const struct admission_link *link)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		sum += f[i].rate;
		if (f[i].burst < f[i].max_packet)
			return false;
	}
	if (sum > link->rate)
		return false;
	for (uint32_t k = 0; k < n; k++) {
		uint64_t t = f[k].deadline_ns;
		exact demand = 0, supply = t > link->latency_ns ? (exact)link->rate * (t - link->latency_ns) : 0;
		uint32_t longest = link->best_effort_packet;

		for (uint32_t j = 0; j < n; j++) {
			if (f[j].deadline_ns <= t)
				demand += (exact)f[j].burst * NS_PER_S + (exact)f[j].rate * (t - f[j].deadline_ns);
			else if (f[j].max_packet > longest)
				longest = f[j].max_packet;
		}
		if (demand + (exact)longest * NS_PER_S > supply)
			return false;
	}
	return true;
}

static uint32_t
random_set(uint64_t *seed, struct admission_sender *f, struct admission_link *link)
{
	uint32_t n = (uint32_t)random_below(seed, MAX_SENDERS) + 1;

	*link = (struct admission_link){.rate = 1000 + random_wide(seed, 35),
		.latency_ns = random_below(seed, 3) ? 0 : random_wide(seed, 20),
		.best_effort_packet = random_below(seed, 2) ? 1514 : 0};
	for (uint32_t i = 0; i < n; i++) {
		f[i] = (struct admission_sender){.rate = random_below(seed, link->rate / n + 1),
			.max_packet = 64 + (uint32_t)random_below(seed, 1451),
			.id = i};
		f[i].burst = f[i].max_packet + random_wide(seed, 16) - random_below(seed, 100) / 99;
		// About what the bursts take, so that both answers are common.
		f[i].deadline_ns = (uint64_t)((exact)(random_below(seed, 60000) + 1) * NS_PER_S / link->rate);
		if (i && !random_below(seed, 4))
			f[i].deadline_ns = f[i - 1].deadline_ns;
	}
	return n;
}

static void
equals_its_definition(void **state)
{
	uint64_t seed = 42;
	unsigned n_fit = 0;

	(void)state;
	print_message("seed %llu\n", (unsigned long long)seed);
	for (unsigned i = 0; i < N_SETS; i++) {
		struct admission_sender f[MAX_SENDERS];
		struct admission_link link;
		struct admission_result result;
		uint32_t n = random_set(&seed, f, &link);
		bool fits = model_fits(f, n, &link);

		assert_int_equal(admission_check(f, n, &link, &result), fits);
		assert_int_equal(result.reason == ADMISSION_FITS, fits);
		if (!fits)
			assert_true(result.demand_bytes > result.supply_bytes);
		n_fit += fits;
	}
	print_message("%u of %u sets fit\n", n_fit, N_SETS);
	assert_true(n_fit > N_SETS / 20 && n_fit < N_SETS - N_SETS / 20);
}

static void
best_value_fits_and_the_next_does_not(void **state)
{
	uint64_t seed = 43;
	unsigned n_found = 0;

	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		struct admission_sender f[MAX_SENDERS];
		struct admission_link link;
		struct admission_result result;
		uint32_t n = random_set(&seed, f, &link), id = (uint32_t)random_below(&seed, n);
		enum admission_field field = (enum admission_field)random_below(&seed, 3);
		uint64_t best;

		if (!admission_best(f, n, &link, id, field, &best))
			continue;
		n_found++;
		for (unsigned step = 0; step < 2; step++) {
			for (uint32_t k = 0; k < n; k++) {
				if (f[k].id != id)
					continue;
				if (field == ADMISSION_BEST_DEADLINE)
					f[k].deadline_ns = best - step;
				else if (field == ADMISSION_BEST_RATE)
					f[k].rate = best + step;
				else
					f[k].burst = best + step;
			}
			if (step && (field == ADMISSION_BEST_DEADLINE ? best == 0 : best >= UINT64_C(1) << 32))
				break;
			assert_int_equal(admission_check(f, n, &link, &result), step == 0);
		}
	}
	assert_true(n_found > 200);
}

static void
says_what_failed_and_when(void **state)
{
	struct admission_link link = {.rate = 100 * MBIT, .best_effort_packet = 1514};
	struct admission_sender f[] = {
		{.rate = 10 * MBIT, .burst = 3000, .deadline_ns = 2000000, .max_packet = 1514, .id = 1},
		{.rate = 20 * MBIT, .burst = 15000, .deadline_ns = 1000000, .max_packet = 1514, .id = 2},
	};
	struct admission_result r;

	(void)state;
	// By 1 ms the link sends 12,500 bytes; due may be 15,000 and a packet that has begun.
	assert_false(admission_check(f, 2, &link, &r));
	assert_int_equal(r.reason, ADMISSION_DEADLINE);
	assert_int_equal(r.id, 2);
	assert_int_equal(r.t_ns, 1000000);
	assert_int_equal(r.demand_bytes, 15000 + 1514);
	assert_int_equal(r.supply_bytes, 12500);
	f[0].burst = 9000; // sorted: the sender with the earlier deadline
	assert_true(admission_check(f, 2, &link, &r));
	f[1].rate = 91 * MBIT;
	assert_false(admission_check(f, 2, &link, &r));
	assert_int_equal(r.reason, ADMISSION_RATE);
	assert_int_equal(r.id, 1);
	f[1].rate = 10 * MBIT;
	f[1].burst = 1513;
	assert_false(admission_check(f, 2, &link, &r));
	assert_int_equal(r.reason, ADMISSION_BURST);
}

static void
largest_values_do_not_overflow(void **state)
{
	static struct admission_sender f[ADMISSION_MAX_SENDERS];
	struct admission_link link = {.rate = UINT64_C(50000000000)};
	struct admission_result r;

	(void)state;
	for (uint32_t i = 0; i < ADMISSION_MAX_SENDERS; i++)
		f[i] = (struct admission_sender){.rate = link.rate / ADMISSION_MAX_SENDERS,
			.burst = UINT64_C(1) << 32,
			.deadline_ns = UINT64_C(3600000000000),
			.max_packet = 65535,
			.id = i};
	// 2^48 bytes of bursts: an hour of the link carries 1.8e14 of them.
	assert_false(admission_check(f, ADMISSION_MAX_SENDERS, &link, &r));
	assert_true(r.demand_bytes == UINT64_C(1) << 48);
	assert_true(r.supply_bytes == link.rate * 3600);
	assert_true(admission_check(f, ADMISSION_MAX_SENDERS / 2, &link, &r));
	assert_true(admission_check(f, 0, &link, &r));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equals_its_definition),
		cmocka_unit_test(best_value_fits_and_the_next_does_not),
		cmocka_unit_test(says_what_failed_and_when),
		cmocka_unit_test(largest_values_do_not_overflow),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
