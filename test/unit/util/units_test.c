// Numbers and addresses as people write them: exact, refused rather than rounded, and read back as
// written.
#include "../unit.h"
#include "rtvs/random.h"
#include "rtvs/units.h"

#include <errno.h>
#include <string.h>

#define N_RANDOM 100000

struct number_case {
	int (*parse)(const char *, uint64_t *);
	const char *text;
	int rc;
	uint64_t value;
};

static const struct number_case numbers[] = {
	{units_parse_uint, "0", 0, 0},
	{units_parse_uint, "18446744073709551615", 0, UINT64_MAX},
	{units_parse_uint, "18446744073709551616", -ERANGE, 0},
	{units_parse_uint, "", -EINVAL, 0},
	{units_parse_uint, "-1", -EINVAL, 0},
	{units_parse_uint, "+1", -EINVAL, 0},
	{units_parse_uint, " 1", -EINVAL, 0},
	{units_parse_uint, "1 ", -EINVAL, 0},
	{units_parse_uint, "0x10", -EINVAL, 0},
	{units_parse_uint, "1.0", -EINVAL, 0},
	{units_parse_time, "2ms", 0, 2000000},
	{units_parse_time, "1.5ms", 0, 1500000},
	{units_parse_time, "1.50000000000000000000000ms", 0, 1500000},
	{units_parse_time, "7", -EDOM, 0},
	{units_parse_time, "0", 0, 0},
	{units_parse_time, "0.0", 0, 0},
	{units_parse_time, "0.5", -EDOM, 0},
	{units_parse_time, "99999999999999999999", -EDOM, 0},
	{units_parse_time, "1min", 0, 60000000000},
	{units_parse_time, "0.5d", 0, 43200000000000},
	{units_parse_time, "0.1ns", -EINVAL, 0},
	{units_parse_time, "1.0000001us", -EINVAL, 0},
	{units_parse_time, "2parsecs", -EINVAL, 0},
	{units_parse_time, "2 ms", -EINVAL, 0},
	{units_parse_time, "ms", -EINVAL, 0},
	{units_parse_time, ".5s", -EINVAL, 0},
	{units_parse_time, "1.s", -EINVAL, 0},
	{units_parse_time, "1..5s", -EINVAL, 0},
	{units_parse_time, "-1s", -EINVAL, 0},
	{units_parse_time, "1e3", -EINVAL, 0},
	{units_parse_time, "1m", -EINVAL, 0},
	{units_parse_time, "213503d", 0, UINT64_C(213503) * 86400000000000},
	{units_parse_time, "213504d", -ERANGE, 0},
	{units_parse_time, "99999999999999999999parsecs", -EINVAL, 0},
	{units_parse_time, "99999999999999999999ns", -ERANGE, 0},
	{units_parse_rate, "20Mbit", 0, 20000000},
	{units_parse_rate, "20mbit", 0, 20000000},
	{units_parse_rate, "2.5Gbit", 0, 2500000000},
	{units_parse_rate, "1.5bit", -EINVAL, 0},
	{units_parse_rate, "20M", 0, 20000000},
	{units_parse_rate, "20m", 0, 20000000},
	{units_parse_rate, "20Mbps", 0, 20000000},
	{units_parse_rate, "2.5Gbit/s", 0, 2500000000},
	{units_parse_rate, "64kbps", 0, 64000},
	{units_parse_rate, "9bps", 0, 9},
	{units_parse_rate, "20000000", -EDOM, 0},
	{units_parse_rate, "99999999999T", -ERANGE, 0},
	{units_parse_rate, "20MB", -EINVAL, 0},
	{units_parse_rate, "20Mbits", -EINVAL, 0},
	{units_parse_size, "15kB", 0, 15000},
	{units_parse_size, "64MiB", 0, 67108864},
	{units_parse_size, "0.5KiB", 0, 512},
	{units_parse_size, "16777216TiB", -ERANGE, 0},
	{units_parse_size, "16777215TiB", 0, UINT64_C(16777215) << 40},
	{units_parse_size, "1k", -EINVAL, 0},
	{units_parse_size, "1500", -EDOM, 0},
	{units_parse_size, "0", 0, 0},
};

static void
numbers_are_exact_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		const struct number_case *c = &numbers[i];
		uint64_t value = 4711;
		int rc = c->parse(c->text, &value);

		if (rc != c->rc || value != (rc == 0 ? c->value : 4711))
			fail_msg("'%s': %d, %llu", c->text, rc, (unsigned long long)value);
	}
}

static void
formats_are_short(void **state)
{
	char buf[UNITS_TEXT_SIZE];

	(void)state;
	assert_string_equal(units_format_time(0, buf), "0ns");
	assert_string_equal(units_format_time(1500000, buf), "1.5ms");
	assert_string_equal(units_format_time(100000000, buf), "100ms");
	assert_string_equal(units_format_time(60000000000, buf), "1min");
	assert_string_equal(units_format_time(300000000000, buf), "5min");
	assert_string_equal(units_format_time_short(0, buf), "0ns");
	assert_string_equal(units_format_time_short(999, buf), "999ns");
	assert_string_equal(units_format_time_short(14155775, buf), "14.2ms");
	assert_string_equal(units_format_time_short(999499, buf), "999us");
	assert_string_equal(units_format_time_short(999500, buf), "1ms");
	assert_string_equal(units_format_time_short(1004, buf), "1us");
	assert_string_equal(units_format_time_short(1005, buf), "1.01us");
	assert_true(strlen(units_format_time_short(UINT64_MAX, buf)) < UNITS_TEXT_SIZE);
	assert_string_equal(units_format_rate(50000000, buf), "50Mbit");
	assert_string_equal(units_format_rate(2500000000, buf), "2.5Gbit");
	assert_string_equal(units_format_size(67108864, buf), "64MiB");
	assert_string_equal(units_format_size(2000, buf), "2kB");
	assert_string_equal(units_format_size(1, buf), "1B");
}

static void
what_is_written_reads_back(void **state)
{
	static const struct {
		const char *(*format)(uint64_t, char *);
		int (*parse)(const char *, uint64_t *);
	} pairs[] = {{units_format_time, units_parse_time}, {units_format_rate, units_parse_rate},
		{units_format_size, units_parse_size}};
	uint64_t seed = unit_seed();
	char buf[UNITS_TEXT_SIZE];

	(void)state;
	for (unsigned i = 0; i < N_RANDOM; i++) {
		uint64_t in = i == 0 ? UINT64_MAX : random_wide(&seed, 64), out = ~in;
		const char *text = pairs[i % 3].format(in, buf);

		if (strlen(text) >= sizeof(buf) || pairs[i % 3].parse(text, &out) != 0 || out != in)
			fail_msg("%llu: '%s'", (unsigned long long)in, text);
	}
	for (unsigned i = 0; i < 3; i++) {
		uint64_t out = 0;

		assert_int_equal(pairs[i].parse(pairs[i].format(UINT64_MAX, buf), &out), 0);
		assert_true(out == UINT64_MAX);
	}
}

static void
macs_are_six_pairs(void **state)
{
	static const char *const bad[] = {"", "52:54:00:00:00", "52:54:00:00:00:01:02", "52-54-00-00-00-01",
		"5254.0000.0001", "52:54:00:00:00:0g", "52:54:00:00:00:1 ", "052:54:00:00:0:01"};
	struct mac mac = {{9, 9, 9, 9, 9, 9}};
	char buf[UNITS_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(units_parse_mac(bad[i], &mac), -EINVAL);
	assert_int_equal(mac.b[0], 9);
	assert_int_equal(units_parse_mac("52:54:00:aB:Cd:01", &mac), 0);
	assert_string_equal(units_format_mac(&mac, buf), "52:54:00:ab:cd:01");
}

static void
prefixes_have_no_bits_beyond_their_length(void **state)
{
	static const char *const good[] = {"192.0.2.1", "192.0.2.0/24", "0.0.0.0/0", "2001:db8::/64", "::/0", "::1",
		"fe80::1:2", "2001:db8:1111:2222:3333:4444:5555:6666"};
	static const char *const bad[] = {"", "/", "/24", "192.0.2.1/24", "192.0.2.0/33", "192.0.2.0/", "192.0.2.0/-1",
		"192.0.2.0/24/1", "192.0.2", "192.0.2.256", "2001:db8::1/64", "::/129", "1::2::3", "fe80::1%eth0",
		"192.0.2.0/99999999999999999999", "localhost",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb"};
	char buf[UNITS_TEXT_SIZE];
	struct prefix prefix;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(units_parse_prefix(good[i], &prefix), 0);
		assert_string_equal(units_format_prefix(&prefix, buf), good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (units_parse_prefix(bad[i], &prefix) != -EINVAL)
			fail_msg("'%s' is no prefix", bad[i]);
	}
	assert_int_equal(units_parse_prefix("192.0.2.1/32", &prefix), 0);
	assert_string_equal(units_format_prefix(&prefix, buf), "192.0.2.1");
}

static void
addresses_keep_the_bits_beyond_their_length(void **state)
{
	static const char *const good[] = {"192.0.2.1", "192.0.2.1/24", "2001:db8::1/64", "::1"};
	static const char *const bad[] = {"", "192.0.2.1/0", "::/0", "192.0.2.1/33", "192.0.2.1/", "localhost"};
	char buf[UNITS_TEXT_SIZE];
	struct prefix addr;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(units_parse_addr(good[i], &addr), 0);
		assert_string_equal(units_format_prefix(&addr, buf), good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(units_parse_addr(bad[i], &addr), -EINVAL);
}

static void
vlans_are_1_to_4094(void **state)
{
	static const char *const bad[] = {",", "1,", ",1", "1,,2", "1-", "-1", "5-1", "1 ", "a", "1-2-3"};
	static char text[20480];
	struct vlan_set set, every_other = {0}, again;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(units_parse_vlans(bad[i], &set), -EINVAL);
	assert_int_equal(units_parse_vlans("0", &set), -ERANGE);
	assert_int_equal(units_parse_vlans("4095", &set), -ERANGE);
	assert_int_equal(units_parse_vlans("1-4095", &set), -ERANGE);
	assert_int_equal(units_parse_vlans("1-99999999999999999999", &set), -ERANGE);
	assert_int_equal(units_parse_vlans("200-300,5,1,4094,100-200", &set), 0);
	assert_int_equal(units_format_vlans(&set, text, sizeof(text)), 0);
	assert_string_equal(text, "1,5,100-300,4094");
	assert_int_equal(units_format_vlans(&set, text, (uint32_t)strlen("1,5,100-300,4094") + 1), 0);
	assert_int_equal(units_format_vlans(&set, text, (uint32_t)strlen("1,5,100-300,4094")), -ENOSPC);
	assert_int_equal(units_parse_vlans("", &set), 0);
	assert_int_equal(units_format_vlans(&set, text, sizeof(text)), 0);
	assert_string_equal(text, "");
	for (uint16_t vlan = 2; vlan <= RTVS_VLAN_MAX; vlan = (uint16_t)(vlan + 2))
		vlan_set_add(&every_other, vlan);
	assert_int_equal(units_format_vlans(&every_other, text, sizeof(text)), 0);
	assert_int_equal(units_parse_vlans(text, &again), 0);
	assert_memory_equal(&again, &every_other, sizeof(again));
}

static void
cpus_are_at_most_16_and_each_once(void **state)
{
	char text[UNITS_TEXT_SIZE * 2];
	struct cpu_list list;

	(void)state;
	assert_int_equal(units_parse_cpus("0-15", &list), 0);
	assert_int_equal(list.n, RTVS_MAX_CPUS);
	assert_int_equal(units_parse_cpus("0-16", &list), -ERANGE);
	assert_int_equal(units_parse_cpus("65536", &list), -ERANGE);
	assert_int_equal(units_parse_cpus("1,1", &list), -EINVAL);
	assert_int_equal(units_parse_cpus("2-4,3", &list), -EINVAL);
	assert_int_equal(units_parse_cpus("3-", &list), -EINVAL);
	assert_int_equal(units_parse_cpus("", &list), 0);
	assert_int_equal(list.n, 0);
	// The order is the caller's: worker 0 runs on the first.
	assert_int_equal(units_parse_cpus("8,1,3-5", &list), 0);
	assert_int_equal(list.cpu[0], 8);
	assert_int_equal(units_format_cpus(&list, text, sizeof(text)), 0);
	assert_string_equal(text, "8,1,3-5");
	assert_int_equal(units_format_cpus(&list, text, 7), -ENOSPC);
	for (unsigned i = 0; i < RTVS_MAX_CPUS; i++)
		list.cpu[i] = (uint16_t)(65535 - 2 * i);
	list.n = RTVS_MAX_CPUS;
	assert_int_equal(units_format_cpus(&list, text, sizeof(text)), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_exact_or_refused),
		cmocka_unit_test(formats_are_short),
		cmocka_unit_test(what_is_written_reads_back),
		cmocka_unit_test(macs_are_six_pairs),
		cmocka_unit_test(prefixes_have_no_bits_beyond_their_length),
		cmocka_unit_test(addresses_keep_the_bits_beyond_their_length),
		cmocka_unit_test(vlans_are_1_to_4094),
		cmocka_unit_test(cpus_are_at_most_16_and_each_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
