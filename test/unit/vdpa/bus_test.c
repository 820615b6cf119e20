// A tree of files in place of /sys and /dev. What is written to bind and unbind is in the files.
#include "../unit.h"
#include "rtvs/vdpa.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUS "/sys/bus/vdpa"
#define LONG_MS 60000

static char root[] = "/tmp/rtvs-bus-XXXXXX";

static const char *
path_of(const char *path)
{
	static char buf[512];

	(void)snprintf(buf, sizeof(buf), "%s%s", root, path);
	return buf;
}

static void
make_file(const char *path)
{
	FILE *f = fopen(path_of(path), "w");

	assert_non_null(f);
	(void)fclose(f);
}

static void
assert_content(const char *path, const char *expected)
{
	char buf[64] = "";
	FILE *f = fopen(path_of(path), "r");

	assert_non_null(f);
	(void)!fread(buf, 1, sizeof(buf) - 1, f);
	(void)fclose(f);
	assert_string_equal(buf, expected);
}

static int
make_tree(void **state)
{
	static const char *const dirs[] = {"/sys", "/sys/bus", BUS, BUS "/devices", BUS "/drivers",
		BUS "/drivers/virtio_vdpa", BUS "/drivers/vhost_vdpa", BUS "/devices/c2", BUS "/devices/c1",
		BUS "/devices/c1/power", BUS "/devices/c1/virtio3"};
	static const char *const files[] = {BUS "/drivers/virtio_vdpa/bind", BUS "/drivers/virtio_vdpa/unbind",
		BUS "/drivers/vhost_vdpa/bind", BUS "/drivers/vhost_vdpa/unbind"};

	(void)state;
	assert_non_null(mkdtemp(root));
	for (unsigned i = 0; i < sizeof(dirs) / sizeof(*dirs); i++)
		assert_int_equal(mkdir(path_of(dirs[i]), 0755), 0);
	for (unsigned i = 0; i < sizeof(files) / sizeof(*files); i++)
		make_file(files[i]);
	return symlink("../../../bus/vdpa/drivers/virtio_vdpa", path_of(BUS "/devices/c1/driver"));
}

static int
remove_tree(void **state)
{
	char command[64];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

static void
driver_and_what_it_made_are_found(void **state)
{
	char text[VDPA_NAME_SIZE];

	(void)state;
	assert_int_equal(vdpa_bus_driver(root, "c1", text), 0);
	assert_string_equal(text, "virtio_vdpa");
	assert_int_equal(vdpa_bus_driver(root, "c2", text), 0);
	assert_string_equal(text, "");
	assert_int_equal(vdpa_bus_child(root, "c1", "virtio", text), 0);
	assert_string_equal(text, "virtio3");
	assert_int_equal(vdpa_bus_child(root, "c1", "vhost-vdpa-", text), -ENOENT);
}

static void
names_lead_nowhere_else(void **state)
{
	static const char *const names[] = {"", ".", "..", "../devices/c1", "c1/power", "c3"};
	char text[VDPA_NAME_SIZE], err[VDPA_ERR_SIZE];

	(void)state;
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		assert_int_equal(vdpa_bus_driver(root, names[i], text), -ENODEV);
		assert_int_equal(vdpa_bus_child(root, names[i], "virtio", text), -ENOENT);
		assert_int_equal(vdpa_bus_bind(root, names[i], "", LONG_MS, err), -ENODEV);
	}
}

static void
devices_are_listed_in_order(void **state)
{
	char(*names)[VDPA_NAME_SIZE];

	(void)state;
	assert_int_equal(vdpa_bus_list(root, &names), 2);
	assert_string_equal(names[0], "c1");
	assert_string_equal(names[1], "c2");
	free(names);
	assert_int_equal(vdpa_bus_list("/nonexistent", &names), 0);
	free(names);
}

static void
binding_takes_it_from_one_driver_to_another(void **state)
{
	char err[VDPA_ERR_SIZE] = "";

	(void)state;
	assert_int_equal(vdpa_bus_bind(root, "c1", "virtio_vdpa", LONG_MS, err), 0);
	assert_content(BUS "/drivers/virtio_vdpa/bind", "");
	assert_int_equal(vdpa_bus_bind(root, "c1", "vhost_vdpa", LONG_MS, err), 0);
	assert_content(BUS "/drivers/virtio_vdpa/unbind", "c1");
	assert_content(BUS "/drivers/vhost_vdpa/bind", "c1");
	assert_int_equal(vdpa_bus_bind(root, "c2", "", LONG_MS, err), 0);
	assert_content(BUS "/drivers/virtio_vdpa/unbind", "c1");
	assert_string_equal(err, "");
}

// And the driver that it has keeps it.
static void
missing_driver_is_refused(void **state)
{
	char err[VDPA_ERR_SIZE] = "";

	(void)state;
	assert_int_equal(vdpa_bus_bind(root, "c1", "other", LONG_MS, err), -ENOENT);
	assert_string_equal(err, "the kernel has no driver other: modprobe other");
	assert_int_equal(vdpa_bus_bind(root, "c3", "vhost_vdpa", LONG_MS, err), -ENODEV);
	assert_string_equal(err, "there is no vDPA device c3");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(driver_and_what_it_made_are_found),
		cmocka_unit_test(names_lead_nowhere_else),
		cmocka_unit_test(devices_are_listed_in_order),
		cmocka_unit_test(missing_driver_is_refused),
		cmocka_unit_test(binding_takes_it_from_one_driver_to_another),
	};

	return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
