// A container's network configuration: what it becomes, each slip, and the number of a PCI address.
#include "../unit.h"
#include "cni_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char sys[] = "/tmp/rtvs-cni-XXXXXX";

static int
begin(void **state)
{
	char command[1024];

	(void)state;
	if (!mkdtemp(sys))
		return -1;
	(void)snprintf(command, sizeof(command),
		"cd %s && mkdir -p bus/pci/devices devices/0000:01:00.0 devices/0000:01:00.1 devices/0000:01:00.2 && "
		"for f in 0 1 2; do ln -s ../../../devices/0000:01:00.$f bus/pci/devices/; done && "
		"ln -s ../0000:01:00.1 devices/0000:01:00.0/virtfn0 && ln -s ../0000:01:00.2 "
		"devices/0000:01:00.0/virtfn1 && "
		"ln -s ../0000:01:00.0 devices/0000:01:00.1/physfn && ln -s ../0000:01:00.0 "
		"devices/0000:01:00.2/physfn",
		sys);
	return system(command);
}

static int
end(void **state)
{
	char command[64];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -r %s", sys);
	return system(command);
}

static int
read_text(const char *text, struct cni_config *ret, json_t **ret_json, char err[CNI_ERR_SIZE])
{
	*ret_json = json_loads(text, 0, NULL);
	assert_non_null(*ret_json);
	return vf_cni_config_read(*ret_json, sys, ret, err);
}

static void
keys_become_parameters(void **state)
{
	char err[CNI_ERR_SIZE], *text;
	struct cni_config config;
	json_t *json;

	(void)state;
	assert_int_equal(
		read_text("{\"cniVersion\": \"1.0.0\", \"vlan\": 5, \"vlanQoS\": 0, \"vlanProto\": \"802.1Q\", "
			  "\"mac\": \"a\","
			  "\"spoofchk\": \"off\", \"trust\": \"on\", \"link_state\": \"auto\", \"min_tx_rate\": 1,"
			  "\"max_tx_rate\": 2, \"runtimeConfig\": {\"deviceID\": \"0000:01:00.2\", \"mac\": \"b\"}}",
			&config, &json, err),
		0);
	text = json_dumps(config.params, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text,
		"{\"link_state\":\"auto\",\"mac\":\"b\",\"max_tx_rate\":2,\"min_tx_rate\":1,\"proto\":\"802.1Q\","
		"\"qos\":0,"
		"\"spoofchk\":false,\"trust\":true,\"vf\":1,\"vlan\":5}");
	assert_string_equal(config.version, "1.0.0");
	assert_string_equal(config.data_dir, "/var/lib/cni/rtvs-vf");
	free(text);
	vf_cni_config_free(&config);
	json_decref(json);
}

static void
slips_are_named(void **state)
{
	static const char *const cases[][2] = {{"{\"vlan\": \"5\", \"vf\": 0}", "vlan: a number"},
		{"{\"mac\": 5, \"vf\": 0}", "mac: a text"},
		{"{\"trust\": \"yes\", \"vf\": 0}", "trust: \"on\" or \"off\""},
		{"{\"vlanProto\": \"qinq\", \"vf\": 0}", "vlanProto: \"802.1q\""}, {"{}", "deviceID: no runtimeConfig"},
		{"{\"deviceID\": \"0000:01:00.0\"}", "is no virtual function"},
		{"{\"deviceID\": \"../../etc\"}", "is no PCI address"},
		{"{\"channel\": 1, \"vf\": 0}", "channel: a text"}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char err[CNI_ERR_SIZE] = "";
		struct cni_config config;
		json_t *json;

		assert_int_equal(read_text(cases[i][0], &config, &json, err), -1);
		if (!strstr(err, cases[i][1]))
			fail_msg("%s: '%s' does not say '%s'", cases[i][0], err, cases[i][1]);
		vf_cni_config_free(&config);
		json_decref(json);
	}
}

static void
addresses_have_numbers(void **state)
{
	char err[CNI_ERR_SIZE];

	(void)state;
	assert_int_equal(vf_cni_config_number(sys, "0000:01:00.1", err), 0);
	assert_int_equal(vf_cni_config_number(sys, "0000:01:00.2", err), 1);
	assert_int_equal(vf_cni_config_number(sys, "0000:01:00.3", err), -1);
}

static void
what_was_there_before_comes_back(void **state)
{
	json_t *params =
		json_pack("{s:i, s:i, s:s, s:b}", "vf", 3, "vlan", 5, "mac", "52:54:00:AA:00:01", "spoofchk", 1);
	json_t *row =
		json_pack("{s:i, s:i, s:n, s:b, s:i}", "vf", 3, "vlan", 0, "mac", "spoofchk", 0, "max_tx_rate", 9);
	json_t *restore = vf_cni_config_restore(params, row),
	       *wanted = json_pack("{s:i, s:i, s:b}", "vf", 3, "vlan", 0, "spoofchk", 0);

	(void)state;
	assert_true(json_equal(restore, wanted));
	assert_string_equal(vf_cni_config_difference(params, row), "mac");
	(void)json_object_set_new(row, "mac", json_string("52:54:00:aa:00:01"));
	assert_string_equal(vf_cni_config_difference(params, row), "vlan");
	(void)json_object_set_new(row, "vlan", json_integer(5));
	(void)json_object_set_new(row, "spoofchk", json_true());
	assert_null(vf_cni_config_difference(params, row));
	json_decref(params);
	json_decref(row);
	json_decref(restore);
	json_decref(wanted);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_become_parameters),
		cmocka_unit_test(slips_are_named),
		cmocka_unit_test(addresses_have_numbers),
		cmocka_unit_test(what_was_there_before_comes_back),
	};

	return cmocka_run_group_tests_name("vf/cni_config", tests, begin, end);
}
