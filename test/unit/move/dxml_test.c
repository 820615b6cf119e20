// What a domain's XML says against a move, and the XML of the destination.
#include "../unit.h"
#include "dxml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHARED "<memoryBacking><source type='file'/><access mode='shared'/></memoryBacking>"
#define QMP "/dev/shm/b/libvirt/qemu/x.qmp"

static void
allow(const char *xml, bool is_plain)
{
	struct reasons r = {0};

	if (!dxml_check(xml, is_plain, &r))
		fail_msg("'%s' is refused: %s", xml, r.text[0]);
}

static void
refuse(const char *xml, bool is_plain, const char *message)
{
	struct reasons r = {0};

	assert_false(dxml_check(xml, is_plain, &r));
	assert_int_equal(r.n, 1);
	if (!strstr(r.text[0], message))
		fail_msg("'%s' is not in '%s'", message, r.text[0]);
}

static void
memory_is_a_file_that_is_shared(void **state)
{
	(void)state;
	allow("<domain>" SHARED "</domain>", false);
	allow("<domain/>", true);
	refuse("<domain/>", false, "its memory is in no file");
	refuse("<domain><memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking></domain>", false,
		"its memory is in no file");
	refuse("<domain><memoryBacking><source type='file'/><access mode='private'/></memoryBacking></domain>", false,
		"its memory is in no file");
#define WITH(more) \
	"<domain><memoryBacking><source type='file'/><access mode='shared'/>" more "</memoryBacking></domain>"
	refuse(WITH("<hugepages/>"), false, "<hugepages>");
	refuse(WITH("<discard/>"), false, "<discard>");
	refuse(WITH("<allocation mode='immediate'/>"), false, "<allocation mode='immediate'>");
	allow(WITH("<allocation mode='ondemand'/>"), false);
	allow(WITH("<discard/>"), true);
	refuse("<domain>" SHARED "<devices><memory model='dimm'/></devices></domain>", false, "a <memory> device");
}

static void
devices_of_one_process_are_refused(void **state)
{
	static const char *const names[] = {"hostdev", "tpm", "filesystem", "vsock", "shmem", "redirdev", "smartcard"};
	char xml[512];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(xml, sizeof(xml), "<domain><devices><%s/></devices></domain>", names[i]);
		refuse(xml, true, names[i]);
	}
#define DEVICE(text) "<domain><devices>" text "</devices></domain>"
	refuse(DEVICE("<interface type='bridge'/>"), true, "not of type='vhostuser'");
	refuse(DEVICE("<interface type='vhostuser'><source mode='server' path='/x'/></interface>"), true,
		"QEMU listens on the socket");
	allow(DEVICE("<interface type='vhostuser'><source mode='client' path='/x'/></interface>"), true);
	refuse(DEVICE("<graphics type='vnc' port='5900' autoport='no'/>"), true, "fixed port");
	allow(DEVICE("<graphics type='vnc' port='5900' autoport='yes'/>"), true);
	refuse("<domain", true, "cannot be read");
	refuse("<network/>", true, "cannot be read");
}

static char *
make(const char *xml, const char *qmp, unsigned n_renamed)
{
	unsigned n = 99;
	char *text = dxml_make(xml, qmp, &n);

	assert_non_null(text);
	assert_int_equal(n, n_renamed);
	return text;
}

static void
sockets_have_another_name_each_time(void **state)
{
	char *there = make(DEVICE("<console type='unix'><source mode='bind' path='/run/a.con'/></console>"
				  "<channel type='unix'><source mode='connect' path='/run/b'/></channel>"
				  "<channel type='unix'><target type='virtio'/></channel>"
				  "<serial type='file'><source path='/run/log'/></serial>"),
		     NULL, 1),
	     *back;

	(void)state;
	assert_non_null(strstr(there, "path=\"/run/a.con.rtvs-move\""));
	assert_non_null(strstr(there, "path=\"/run/b\""));
	assert_non_null(strstr(there, "path=\"/run/log\" append=\"on\""));
	assert_null(strstr(there, "qemu:"));
	back = make(there, NULL, 1);
	assert_non_null(strstr(back, "path=\"/run/a.con\""));
	free(there);
	free(back);
}

static unsigned
count(const char *text, const char *word)
{
	unsigned n = 0;

	for (; (text = strstr(text, word)); text += strlen(word))
		n++;
	return n;
}

static void
one_qmp_socket_is_added_whatever_was_there(void **state)
{
	char *first = make("<domain type='kvm'><name>a</name></domain>", QMP, 0), *second, *third;

	(void)state;
	assert_non_null(strstr(first, "xmlns:qemu=\"http://libvirt.org/schemas/domain/qemu/1.0\""));
	assert_non_null(strstr(first, "<qemu:arg value=\"socket,id=rtvs-move,path=" QMP ",server=on,wait=off\"/>"));
	assert_int_equal(count(first, "<qemu:arg"), 4);
	second = make(first, QMP ".2", 0);
	assert_int_equal(count(second, "<qemu:arg"), 4);
	assert_int_equal(count(second, QMP ".2,"), 1);
	third = make(second, NULL, 0);
	assert_int_equal(count(third, "<qemu:arg"), 0);
	free(first);
	free(second);
	free(third);
	// Of another's arguments none is lost.
	first = make("<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:commandline><qemu:arg "
		     "value='-name'/><qemu:arg value='x'/></qemu:commandline></domain>",
		QMP, 0);
	assert_int_equal(count(first, "<qemu:commandline>"), 1);
	assert_int_equal(count(first, "<qemu:arg"), 6);
	second = make(first, NULL, 0);
	assert_int_equal(count(second, "<qemu:arg"), 2);
	free(first);
	free(second);
	assert_null(dxml_make("<network/>", NULL, &(unsigned){0}));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_a_file_that_is_shared),
		cmocka_unit_test(devices_of_one_process_are_refused),
		cmocka_unit_test(sockets_have_another_name_each_time),
		cmocka_unit_test(one_qmp_socket_is_added_whatever_was_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
