// Reading a domain's XML, and refusals with their line and element.
#include "../unit.h"
#include "domain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UUID "6ce5b3c0-6c2f-4d6d-9f0a-0d2c5a0f1e11"
#define SHARED "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"
#define PORTS(text) "<metadata><r:ports xmlns:r='" DOMAIN_NAMESPACE "'>" text "</r:ports></metadata>"
#define IFACE(mac, more)                                                                                          \
	"<interface type='vhostuser'><mac address='" mac "'/><source type='unix' path='/run/rtvswitch/vm1.sock' " \
	"mode='client'/>" more "</interface>"
#define DOMAIN(metadata, memory, devices)                                                                            \
	"<domain type='kvm'>\n<name>web1</name>\n<uuid>" UUID "</uuid>\n" metadata "\n" memory "\n<devices>" devices \
	"</devices></domain>"

static struct domain *
parse(const char *xml)
{
	char err[DOMAIN_ERR_SIZE];
	struct domain *d = NULL;
	int rc = domain_parse(xml, strlen(xml), &d, err);

	if (rc)
		fail_msg("refused: %s", err);
	return d;
}

static void
refused(const char *xml, size_t len, const char *text)
{
	char err[DOMAIN_ERR_SIZE];
	struct domain *d = NULL;

	assert_int_equal(domain_parse(xml, len, &d, err), -EINVAL);
	assert_null(d);
	if (!strstr(err, text))
		fail_msg("'%s' is not in: %s", text, err);
}

// The first error of the only port.
static void
port_refused(const char *xml, const char *text)
{
	struct domain *d = parse(xml);

	assert_true(d->n_ports > 0);
	if (!strstr(d->ports[d->n_ports - 1].err, text))
		fail_msg("'%s' is not in: %s", text, d->ports[d->n_ports - 1].err);
	domain_free(d);
}

static void
expect_param(const struct domain_port *p, const char *name, const char *value)
{
	const char *is = json_string_value(json_object_get(p->params, name));

	if (!is || strcmp(is, value))
		fail_msg("%s: '%s' instead of '%s'", name, is ? is : "(none)", value);
}

static void
rules_are_read_as_they_are_written(void **state)
{
	struct domain *d = parse(DOMAIN(PORTS("<r:port mac='52:54:00:aa:00:01' bridge='br0'> <!-- web -->"
					      "<r:rule>tcp,tp_dst=80,actions=allow</r:rule>\n"
					      "<r:rule> actions=drop </r:rule></r:port>"),
		SHARED, IFACE("52:54:00:aa:00:01", "")));

	(void)state;
	assert_string_equal(d->ports[0].err, "");
	assert_string_equal(d->ports[0].rules, "tcp,tp_dst=80,actions=allow; actions=drop ;");
	domain_free(d);
	port_refused(
		DOMAIN(PORTS("<r:port mac='52:54:00:aa:00:01' bridge='br0'><r:rules>actions=drop</r:rules></r:port>"),
			SHARED, IFACE("52:54:00:aa:00:01", "")),
		"only <rule> belongs into <port>");
}

static void
port_has_what_element_and_interface_say(void **state)
{
	struct domain *d =
		parse(DOMAIN(PORTS("<r:port mac='52:54:00:AA:00:01' bridge='br0' deadline='2ms' min_rate='50Mbit'/>"),
			SHARED, IFACE("52:54:00:aa:00:01", "<driver queues='4'/><mtu size='9000'/>")));
	const struct domain_port *p = d->ports;

	(void)state;
	assert_string_equal(d->name, "web1");
	assert_string_equal(d->uuid, UUID);
	assert_int_equal(d->n_ports, 1);
	assert_string_equal(p->err, "");
	assert_null(domain_refusal(d));
	assert_true(p->is_plugged);
	assert_false(p->is_optional);
	assert_int_equal(p->line, 4);
	assert_string_equal(domain_port_name(p), "vm1");
	expect_param(p, "socket", "/run/rtvswitch/vm1.sock");
	expect_param(p, "mode", "listen");
	expect_param(p, "queues", "4");
	expect_param(p, "mtu", "9000");
	expect_param(p, "bridge", "br0");
	expect_param(p, "deadline", "2ms");
	expect_param(p, "min_rate", "50Mbit");
	expect_param(p, "late", "send");
	expect_param(p, "max_rate", "0");
	expect_param(p, "allowed_macs", "52:54:00:aa:00:01");
	expect_param(p, "domain", "web1");
	expect_param(p, "domain_uuid", UUID);
	assert_null(json_object_get(p->params, "mac"));
	assert_null(json_object_get(p->params, "onerror"));
	domain_free(d);
}

static void
port_of_a_device_has_no_guard(void **state)
{
	struct domain *d = parse(DOMAIN(PORTS("<r:port mac='52:54:00:aa:00:01' bridge='' vdpa='pool:fast'/>"), SHARED,
		IFACE("52:54:00:aa:00:01", "")));
	const struct domain_port *p = d->ports;

	(void)state;
	assert_int_equal(d->n_ports, 1);
	assert_string_equal(p->err, "");
	expect_param(p, "vdpa", "pool:fast");
	expect_param(p, "bridge", "");
	expect_param(p, "allowed_macs", "");
	domain_free(d);
}

#define VDPA(dev, element)                                                                 \
	DOMAIN(PORTS("<r:port mac='52:54:00:00:00:04' bridge='br0'" element "/>"), SHARED, \
		"<interface type='vdpa'><mac address='52:54:00:00:00:04'/><source dev='" dev "'/></interface>")

static void
vdpa_interface_has_a_device_of_the_ports_name(void **state)
{
	struct domain *d = parse(VDPA("/run/rtvswitch/vm4.vdpa", ""));
	const struct domain_port *p = d->ports;

	(void)state;
	assert_string_equal(p->err, "");
	assert_true(p->is_plugged && p->has_link);
	assert_string_equal(domain_port_name(p), "vm4");
	expect_param(p, "type", "vduse");
	expect_param(p, "queues", "1");
	assert_null(json_object_get(p->params, "socket"));
	assert_null(json_object_get(p->params, "mode"));
	assert_int_equal(d->n_sockets, 0);
	domain_free(d);
	d = parse(DOMAIN(PORTS("<r:port mac='52:54:00:00:00:04' bridge='br0' name='vm4' type='vduse'/>"), SHARED, ""));
	assert_string_equal(d->ports[0].err, "");
	expect_param(d->ports, "type", "vduse");
	assert_null(json_object_get(d->ports[0].params, "socket"));
	assert_true(d->ports[0].has_link);
	domain_free(d);
	port_refused(VDPA("/dev/vhost-vdpa-0", ""), "must be /run/rtvswitch/NAME.vdpa");
	port_refused(VDPA("/run/rtvswitch/a b.vdpa", ""), "must be /run/rtvswitch/NAME.vdpa");
	port_refused(VDPA("/run/rtvswitch/vm4.vdpa", " name='vm5'"), "with the name of the port");
	port_refused(VDPA("/run/rtvswitch/vm4.vdpa", " type='vhost'"), "type: must be vduse");
	port_refused(VDPA("/run/rtvswitch/vm4.vdpa", " type='ethdev'"), "type: must be vhost or vduse");
}

static void
domain_without_our_element_has_no_ports(void **state)
{
	struct domain *d = parse(DOMAIN("<metadata><x:ports xmlns:x='urn:other'><x:port/></x:ports></metadata>", "",
		IFACE("52:54:00:00:00:01", "")));

	(void)state;
	assert_int_equal(d->n_ports, 0);
	assert_null(domain_refusal(d));
	domain_free(d);
	d = parse(DOMAIN("", "", ""));
	assert_int_equal(d->n_ports, 0);
	domain_free(d);
}

static void
server_mode_is_connected_to(void **state)
{
	struct domain *d = parse(DOMAIN(PORTS("<r:port bridge='br0' mac='52:54:00:00:00:01' name='a'/>"), SHARED,
		"<interface type='vhostuser'><mac address='52:54:00:00:00:01'/><source type='unix' path='/tmp/s' "
		"mode='server'/></interface>"));

	(void)state;
	expect_param(d->ports, "mode", "connect");
	expect_param(d->ports, "socket", "/tmp/s");
	expect_param(d->ports, "name", "a");
	expect_param(d->ports, "queues", "1");
	domain_free(d);
}

static void
libvirts_bandwidth_counts_unless_the_element_says(void **state)
{
#define BANDWIDTH "<bandwidth><inbound average='1000' floor='500'/><outbound average='250' peak='400'/></bandwidth>"
	struct domain *d = parse(DOMAIN(PORTS("<r:port bridge='br0' mac='52:54:00:00:00:01'/>"), SHARED,
		IFACE("52:54:00:00:00:01", BANDWIDTH)));

	(void)state;
	expect_param(d->ports, "rate", "8Mbit");
	expect_param(d->ports, "max_rate", "2Mbit");
	expect_param(d->ports, "min_rate", "4Mbit");
	domain_free(d);
	d = parse(DOMAIN(
		PORTS("<r:port bridge='br0' mac='52:54:00:00:00:01' rate='1Gbit' min_rate='1Mbit' max_rate='2Mbit'/>"),
		SHARED, IFACE("52:54:00:00:00:01", BANDWIDTH)));
	expect_param(d->ports, "rate", "1Gbit");
	expect_param(d->ports, "max_rate", "2Mbit");
	expect_param(d->ports, "min_rate", "1Mbit");
	domain_free(d);
}

static void
element_without_interface_waits_for_one(void **state)
{
	struct domain *d =
		parse(DOMAIN(PORTS("<r:port bridge='br0' mac='52:54:00:00:00:01' name='spare' queues='2'/>"), "", ""));

	(void)state;
	assert_false(d->ports[0].is_plugged);
	assert_string_equal(d->ports[0].err, "");
	expect_param(d->ports, "socket", "/run/rtvswitch/spare.sock");
	expect_param(d->ports, "mode", "listen");
	expect_param(d->ports, "queues", "2");
	domain_free(d);
	d = parse(DOMAIN(
		PORTS("<r:port bridge='br0' mac='52:54:00:00:00:01' name='spare' socket='/tmp/s' mode='connect'/>"), "",
		""));
	expect_param(d->ports, "socket", "/tmp/s");
	expect_param(d->ports, "mode", "connect");
	domain_free(d);
	port_refused(
		DOMAIN(PORTS("<r:port bridge='br0' mac='52:54:00:00:00:01'/>"), SHARED, IFACE("52:54:00:00:00:02", "")),
		"line 4: <r:port>: no interface of the domain has the MAC 52:54:00:00:00:01");
}

#define TEN "0123456789"

static void
socket_gives_a_name(void **state)
{
	static const struct {
		const char *path, *name;
	} cases[] = {
		{"/run/rtvswitch/web1.sock", "web1"},
		{"/run/rtvswitch/vhu3f2b8c1e-7d", "vhu3f2b8c1e-7d"},
		{"/run/rtvswitch/3f2b8c1e-7d54-4d0c-9a55-0c5d1f6f2a11.sock", "3f2b8c1e-7d54-4d0c-9a55-0c5d1f6f2a11"},
		// A container's id, and a prefix of 15 bytes: the longest.
		{"/run/rtvswitch/docker-network-" TEN TEN TEN TEN TEN TEN "abcd.sock",
			"docker-network-" TEN TEN TEN TEN TEN TEN "abcd"},
		{"/run/rtvswitch/docker-networks-" TEN TEN TEN TEN TEN TEN "abcd.sock",
			"docker-networks-" TEN TEN TEN TEN TEN "0123-5d371958"},
		{"/run/rtvswitch/web 1.sock", "web-1-991e019c"},
		{"/run/rtvswitch/\xc3\xbc"
		 "bung \xe2\x82\xac.sock",
			"bung---0161a122"},
		{"/run/a/web 1.sock", "web-1-5d3649e1"},
		{"/run/rtvswitch/.sock", "sock-844129cd"},
		{"/run/rtvswitch/-b.sock", "b-c278b724"},
		{"/run/rtvswitch/\xc3\xbc.sock", "port-e37bbeb8"},
		{"/run/rtvswitch/", "port-34fa12e1"},
	};
	char name[RTVS_NAME_SIZE];

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		domain_name_of_socket(cases[i].path, name);
		assert_string_equal(name, cases[i].name);
	}
}

static void
memory_must_be_shared(void **state)
{
#define ONE PORTS("<r:port bridge='br0' mac='52:54:00:00:00:01'/>")
	static const char *const good[] = {SHARED, "<memoryBacking><hugepages/><access mode='shared'/></memoryBacking>",
		"<cpu><numa><cell id='0' memAccess='shared'/><cell id='1' memAccess='shared'/></numa></cpu>"};
	static const char *const bad[] = {"", "<memoryBacking><hugepages/></memoryBacking>",
		"<memoryBacking><access mode='private'/></memoryBacking>",
		"<cpu><numa><cell id='0' memAccess='shared'/><cell id='1'/></numa></cpu>", "<cpu><numa/></cpu>"};
	char xml[4096];

	(void)state;
	for (unsigned i = 0; i < sizeof(good) / sizeof(*good); i++) {
		struct domain *d;

		(void)snprintf(xml, sizeof(xml), DOMAIN(ONE, "%s", IFACE("52:54:00:00:00:01", "")), good[i]);
		d = parse(xml);
		assert_string_equal(d->ports[0].err, "");
		domain_free(d);
	}
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		(void)snprintf(xml, sizeof(xml), DOMAIN(ONE, "%s", IFACE("52:54:00:00:00:01", "")), bad[i]);
		port_refused(xml, "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>");
	}
}

static void
mistakes_name_line_and_element(void **state)
{
#define GOOD_IFACE IFACE("52:54:00:00:00:01", "")
#define WITH(port) DOMAIN(PORTS("\n" port), SHARED, GOOD_IFACE)
#define WITH_IFACE(more) DOMAIN(ONE, SHARED, IFACE("52:54:00:00:00:01", more))
	static const struct {
		const char *xml, *text;
	} cases[] = {
		{WITH("<r:port/>"), "line 5: <r:port>: mac: needed"},
		{WITH("<r:port bridge='br0' mac='52:54:00:00:00'/>"), "mac: needed"},
		{WITH("<r:port bridge='br0' mac='52:54:00:00:00:0g'/>"), "mac: needed"},
		{WITH("<r:port bridge='br0' mac='52:54:00:00:00:01' deadlin='2ms'/>"),
			"'deadlin'; did you mean 'deadline'?"},
		{WITH("<r:port bridge='br0' mac='52:54:00:00:00:01' devargs='0000:01:00.0'/>"),
			"there is no attribute 'devargs'"},
		{WITH("<r:port bridge='br0' mac='52:54:00:00:00:02' name='b' socket='x'/>"),
			"socket: must be the path"},
		{WITH("<r:port bridge='br0' mac='52:54:00:00:00:01' domain_uuid='x'/>"),
			"there is no attribute 'domain_uuid'"},
		{WITH("<r:port bridge='br0' mac='52:54:00:00:00:01' r:late='drop'/>"),
			"r:late: its attributes have no prefix: write late='...'"},
		{WITH("<r:port mac='52:54:00:00:00:01'/>"), "line 5: <r:port>: bridge: needed, without one"},
		{WITH("<r:port bridge='br0' mac='52:54:00:00:00:01' onerror='x&#10;y'/>"),
			"onerror: must be fail or ignore, not 'x y'"},
		{WITH("<r:port bridge='br0' mac='52:54:00:00:00:01'/><r:port bridge='br0' mac='52:54:00:00:00:01' "
		      "name='b'/>"),
			"mac: line 5 has"},
		{DOMAIN(PORTS("<r:port bridge='br0' mac='52:54:00:00:00:01'/><r:port bridge='br0' "
			      "mac='52:54:00:00:00:02'/>"),
			 SHARED, IFACE("52:54:00:00:00:01", "") IFACE("52:54:00:00:00:02", "")),
			"name: the port of line 4 is called vm1, too"},
		{DOMAIN(ONE, SHARED, GOOD_IFACE "\n" GOOD_IFACE), "line 7: <interface>: another interface has the MAC"},
		{DOMAIN(ONE, SHARED, "<interface type='bridge'><mac address='52:54:00:00:00:01'/></interface>"),
			"line 6: <interface>: must be of type='vhostuser' or 'vdpa': line 4 has its MAC"},
		{DOMAIN(ONE, SHARED, "<interface type='vhostuser'><mac address='52:54:00:00:00:01'/></interface>"),
			"<source mode='...'>: must be client or server"},
		{DOMAIN(ONE, SHARED,
			 "<interface type='vhostuser'><mac address='52:54:00:00:00:01'/><source path='x' "
			 "mode='client'/></interface>"),
			"<source path='...'>: must be the path"},
		{WITH_IFACE("<bandwidth><inbound average='many'/></bandwidth>"),
			"<inbound>: average: must be a number"},
		{WITH_IFACE("<bandwidth><inbound average='-1'/></bandwidth>"), "<inbound>: average: must be a number"},
		{WITH_IFACE("<bandwidth><inbound average='99999999999999999999'/></bandwidth>"),
			"<inbound>: average: must be"},
		{WITH_IFACE("<bandwidth><outbound average='18446744073709551615'/></bandwidth>"),
			"<outbound>: average: must be"},
		{WITH_IFACE("<bandwidth><inbound average='10' floor='11'/></bandwidth>"),
			"floor: must be at most average, 10"},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		port_refused(cases[i].xml, cases[i].text);
}

static void
port_may_be_meant_to_have_no_bridge(void **state)
{
	struct domain *d = parse(WITH("<r:port mac='52:54:00:00:00:01' bridge=''/>"));

	(void)state;
	assert_string_equal(d->ports[0].err, "");
	expect_param(d->ports, "bridge", "");
	domain_free(d);
}

static void
onerror_ignore_is_no_refusal(void **state)
{
	struct domain *d =
		parse(WITH("<r:port mac='52:54:00:00:00:01' deadlin='2ms' bridge='br0' vlan='5' onerror='ignore'/>"));
	json_t *fallback;

	(void)state;
	assert_true(d->ports[0].is_optional);
	assert_string_not_equal(d->ports[0].err, "");
	assert_null(domain_refusal(d));
	fallback = domain_port_fallback(&d->ports[0]);
	assert_string_equal(json_string_value(json_object_get(fallback, "name")), "vm1");
	assert_string_equal(json_string_value(json_object_get(fallback, "socket")), "/run/rtvswitch/vm1.sock");
	assert_string_equal(json_string_value(json_object_get(fallback, "domain_uuid")), UUID);
	assert_string_equal(json_string_value(json_object_get(fallback, "bridge")), "");
	assert_string_equal(json_string_value(json_object_get(fallback, "vlan")), "0");
	json_decref(fallback);
	domain_free(d);
	d = parse(WITH("<r:port bridge='br0' mac='52:54:00:00:00:01' deadlin='2ms'/>"));
	assert_non_null(domain_refusal(d));
	domain_free(d);
}

static void
what_is_no_domain_is_refused(void **state)
{
	static const struct {
		const char *xml, *text;
	} cases[] = {
		{"", "line 1: not XML"},
		{"no XML", "line 1: not XML"},
		{"<domain>\n<name>", "line 2: not XML"},
		{"<domain><name>a</name></domain><!-- \xff -->", "not XML"},
		{"<network/>", "line 1: <network>: not a libvirt domain"},
		{"<domain/>", "<name>: needed"},
		{"<domain><name>a</name></domain>", "<uuid>: needed"},
		{"<domain><name>a</name><uuid>short</uuid></domain>", "<uuid>: needed"},
		{DOMAIN(PORTS("<r:prot mac='52:54:00:00:00:01'/>"), SHARED, ""), "line 4: <r:prot>: only <port>"},
		{DOMAIN(PORTS("<port mac='52:54:00:00:00:01'/>"), SHARED, ""), "line 4: <port>: only <port>"},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		refused(cases[i].xml, strlen(cases[i].xml), cases[i].text);
}

static void
hostile_documents_are_refused(void **state)
{
	static const char laughs[] =
		"<?xml version='1.0'?>\n<!DOCTYPE lolz [<!ENTITY a 'haha'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>"
		"<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;'>]>\n<domain><name>&c;</name></domain>";
	static const char file[] =
		"<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><domain><name>&x;</name></domain>";
	size_t len = DOMAIN_MAX_BYTES + 1;
	char *text = malloc(len + 1);

	(void)state;
	refused(laughs, strlen(laughs), "<!DOCTYPE> is not accepted");
	refused(file, strlen(file), "<!DOCTYPE> is not accepted");
	refused("<domain><name>&x;</name></domain>", 33, "not XML");
	assert_non_null(text);
	memset(text, ' ', len);
	refused(text, len, "longer than 4194304 bytes");
	for (size_t i = 0; i + 3 <= 300000; i += 3)
		memcpy(text + i, "<a>", 3);
	refused(text, 300000, "not XML");
	free(text);
}

static void
ports_are_bounded(void **state)
{
	static char xml[DOMAIN_MAX_PORTS * 80 + 1024];
	struct domain *d;

	(void)state;
	for (unsigned n = DOMAIN_MAX_PORTS; n <= DOMAIN_MAX_PORTS + 1; n++) {
		size_t at = (size_t)snprintf(xml, sizeof(xml),
			"<domain><name>a</name><uuid>" UUID "</uuid><metadata><r:ports xmlns:r='" DOMAIN_NAMESPACE
			"'>");

		for (unsigned i = 0; i < n; i++)
			at += (size_t)snprintf(xml + at, sizeof(xml) - at,
				"<r:port bridge='br0' mac='52:54:00:00:00:%02x' name='p%u'/>", i, i);
		(void)snprintf(xml + at, sizeof(xml) - at, "</r:ports></metadata></domain>");
		if (n == DOMAIN_MAX_PORTS) {
			d = parse(xml);
			assert_int_equal(d->n_ports, DOMAIN_MAX_PORTS);
			assert_null(domain_refusal(d));
			domain_free(d);
		} else
			refused(xml, strlen(xml), "more than 64 ports");
	}
}

static void
long_name_is_cut_between_characters(void **state)
{
	char name[401] = "x", xml[1024];
	struct domain *d;

	(void)state;
	for (unsigned i = 1; i + 2 < sizeof(name); i += 2)
		memcpy(name + i, "\xc3\xa9", 3);
	(void)snprintf(xml, sizeof(xml), "<domain><name>%s</name><uuid>" UUID "</uuid></domain>", name);
	d = parse(xml);
	assert_int_equal(strlen(d->name), DOMAIN_NAME_SIZE - 1);
	domain_free(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(port_has_what_element_and_interface_say),
		cmocka_unit_test(rules_are_read_as_they_are_written),
		cmocka_unit_test(port_of_a_device_has_no_guard),
		cmocka_unit_test(vdpa_interface_has_a_device_of_the_ports_name),
		cmocka_unit_test(domain_without_our_element_has_no_ports),
		cmocka_unit_test(server_mode_is_connected_to),
		cmocka_unit_test(libvirts_bandwidth_counts_unless_the_element_says),
		cmocka_unit_test(element_without_interface_waits_for_one),
		cmocka_unit_test(socket_gives_a_name),
		cmocka_unit_test(memory_must_be_shared),
		cmocka_unit_test(mistakes_name_line_and_element),
		cmocka_unit_test(port_may_be_meant_to_have_no_bridge),
		cmocka_unit_test(onerror_ignore_is_no_refusal),
		cmocka_unit_test(what_is_no_domain_is_refused),
		cmocka_unit_test(hostile_documents_are_refused),
		cmocka_unit_test(ports_are_bounded),
		cmocka_unit_test(long_name_is_cut_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
