// Which devargs are a TAP's, and which are DPDK's driver's.
#include "../unit.h"
#include "tap_args.h"

#include <string.h>

static void
arguments_of_a_tap_are_known(void **state)
{
	const struct mac mac = {{2, 0, 0, 0, 0, 0xa}};
	struct tap_args args;

	(void)state;
	assert_true(tap_args_parse("net_tap0", &args));
	assert_string_equal(args.device, "net_tap0");
	assert_string_equal(args.iface, "");
	assert_false(args.has_mac || args.is_persistent);
	assert_true(tap_args_parse("vdev:net_tap12,persist=1,iface=t0,mac=02:00:00:00:00:0a", &args));
	assert_string_equal(args.device, "net_tap12");
	assert_string_equal(args.iface, "t0");
	assert_true(args.has_mac && args.is_persistent);
	assert_memory_equal(&args.mac, &mac, sizeof(mac));
}

static void
names_have_their_lengths(void **state)
{
	struct tap_args args;

	(void)state;
	assert_true(tap_args_parse("net_tap0,iface=fifteen-letters", &args)); // IF_NAMESIZE - 1
	assert_string_equal(args.iface, "fifteen-letters");
	assert_false(tap_args_parse("net_tap0,iface=sixteen--letters", &args));
	assert_true(tap_args_parse("net_tap_of_23_letters__", &args)); // TAP_DEVICE_SIZE - 1
	assert_false(tap_args_parse("net_tap_of_24_letters___", &args));
}

static void
others_are_left_to_a_driver(void **state)
{
	const char *const others[] = {
		"",
		"0000:01:00.0",
		"net_ta",
		"net_tun0,iface=t0",
		"net_af_xdp0,iface=net_tap0",
		"net_tap0,",
		"net_tap0,iface",
		"net_tap0,iface=",
		"net_tap0,iface=t%d",
		"net_tap0,iface=t/0",
		"net_tap0,ifaces=t0",
		"net_tap0,iface=t0,remote=eth0",
		"net_tap0,iface=t0,speed=10000",
		"net_tap0,mac=fixed",
		"net_tap0,persist=0",
		"net_tap0,mac=02:00:00:00:00:0a:02:00:00:00:00:0a:02:00:00:00:00:0a:02:00:00:00:00:0a",
	};
	struct tap_args args = {.device = "untouched"};

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(tap_args_parse(others[i], &args));
	assert_string_equal(args.device, "untouched");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arguments_of_a_tap_are_known),
		cmocka_unit_test(names_have_their_lengths),
		cmocka_unit_test(others_are_left_to_a_driver),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
