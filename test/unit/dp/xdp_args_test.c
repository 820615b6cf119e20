// Which devargs are an AF_XDP device's here, and which are DPDK's driver's.
#include "../unit.h"
#include "xdp_args.h"

#include <string.h>

static void
arguments_are_known(void **state)
{
	struct xdp_args args;

	(void)state;
	assert_true(xdp_args_parse("net_af_xdp0,iface=eth1", &args));
	assert_string_equal(args.device, "net_af_xdp0");
	assert_string_equal(args.iface, "eth1");
	assert_int_equal(args.start_queue, 0);
	assert_int_equal(args.n_queues, 1);
	assert_false(args.forces_copy);
	assert_true(xdp_args_parse("vdev:net_af_xdp12,queue_count=3,start_queue=5,force_copy=1,iface=e", &args));
	assert_string_equal(args.device, "net_af_xdp12");
	assert_string_equal(args.iface, "e");
	assert_int_equal(args.start_queue, 5);
	assert_int_equal(args.n_queues, 3);
	assert_true(args.forces_copy);
	assert_true(xdp_args_parse("net_af_xdp0,iface=eth1,force_copy=0", &args));
	assert_false(args.forces_copy);
}

static void
numbers_and_names_have_their_limits(void **state)
{
	struct xdp_args args;

	(void)state;
	assert_true(xdp_args_parse("net_af_xdp0,iface=e,queue_count=8", &args)); // XDP_MAX_QUEUES
	assert_int_equal(args.n_queues, 8);
	assert_false(xdp_args_parse("net_af_xdp0,iface=e,queue_count=9", &args));
	assert_true(xdp_args_parse("net_af_xdp0,iface=e,start_queue=4095", &args)); // XDP_MAX_START
	assert_int_equal(args.start_queue, 4095);
	assert_false(xdp_args_parse("net_af_xdp0,iface=e,start_queue=4096", &args));
	assert_true(xdp_args_parse("net_af_xdp0,iface=fifteen-letters", &args)); // IF_NAMESIZE - 1
	assert_false(xdp_args_parse("net_af_xdp0,iface=sixteen--letters", &args));
	assert_true(xdp_args_parse("net_af_xdp_23_letters__,iface=e", &args)); // the most
	assert_false(xdp_args_parse("net_af_xdp_24_letters___,iface=e", &args));
}

static void
others_are_left_to_a_driver(void **state)
{
	const char *const others[] = {
		"",
		"0000:01:00.0",
		"net_af_packet0,iface=eth1",
		"net_af_xd,iface=eth1",
		"net_af_xdp0",
		"net_af_xdp0,",
		"net_af_xdp0,iface",
		"net_af_xdp0,iface=",
		"net_af_xdp0,iface=e/1",
		"net_af_xdp0,iface=eth1,",
		"net_af_xdp0,iface=eth1,queue_count=0",
		"net_af_xdp0,iface=eth1,queue_count=-1",
		"net_af_xdp0,iface=eth1,start_queue=",
		"net_af_xdp0,iface=eth1,start_queue=x",
		"net_af_xdp0,iface=eth1,force_copy=2",
		"net_af_xdp0,iface=eth1,force_copy=yes",
		"net_af_xdp0,iface=eth1,busy_budget=64",
		"net_af_xdp0,iface=eth1,xdp_prog=/tmp/prog.o",
		"net_af_xdp0,iface=eth1,shared_umem=1",
		"net_af_xdp0,iface=eth1,use_cni=1",
	};
	struct xdp_args args = {.device = "untouched"};

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(xdp_args_parse(others[i], &args));
	assert_string_equal(args.device, "untouched");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arguments_are_known),
		cmocka_unit_test(numbers_and_names_have_their_limits),
		cmocka_unit_test(others_are_left_to_a_driver),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
