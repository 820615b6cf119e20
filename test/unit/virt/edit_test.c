// A domain's XML with ports and interfaces changed, and the words of commands that do it.
#include "../unit.h"
#include "snippets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAC1 "52:54:00:00:00:01"
#define MAC2 "52:54:00:00:00:02"
#define DOMAIN_XML(ports, devices)                                                                    \
	"<domain type='kvm'><name>web1</name><uuid>6ce5b3c0-6c2f-4d6d-9f0a-0d2c5a0f1e11</uuid>" ports \
	"<memoryBacking><access mode='shared'/></memoryBacking><devices>" devices "</devices></domain>"
#define PORTS                                                                               \
	"<metadata><r:ports xmlns:r='" DOMAIN_NAMESPACE "'><!-- mine --><r:port mac='" MAC1 \
	"' deadline='2ms' late='drop'/></r:ports></metadata>"
#define IFACE(mac, name)                                                                                               \
	"<interface type='vhostuser'><mac address='" mac "'/><source type='unix' path='/run/rtvswitch/" name ".sock' " \
	"mode='client'/><alias name='net0'/></interface>"

static struct edit *
open_xml(const char *xml)
{
	char err[DOMAIN_ERR_SIZE];
	struct edit *e = NULL;

	if (edit_open(xml, &e, err))
		fail_msg("refused: %s", err);
	return e;
}

static void
expect_text(char *text, const char *expected)
{
	assert_non_null(text);
	if (!strstr(text, expected))
		fail_msg("'%s' is not in: %s", expected, text);
	free(text);
}

static void
interface_is_found_by_mac_name_and_alias(void **state)
{
	struct edit *e = open_xml(DOMAIN_XML(PORTS, IFACE(MAC1, "vm1") IFACE(MAC2, "vm2")));
	const char *const names[] = {"vm1", "net0", MAC1};
	struct edit_port p;

	(void)state;
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		assert_true(edit_find(e, names[i], &p));
		assert_string_equal(p.mac, MAC1);
		assert_true(p.has_interface && p.has_element);
	}
	assert_true(edit_find(e, "vm2", &p));
	assert_false(p.has_element);
	assert_false(edit_find(e, "", &p));
	assert_false(edit_find(e, "vm3", &p));
	assert_false(edit_port_at(e, 2, &p));
	edit_close(e);
}

static void
vdpa_interface_is_found_too(void **state)
{
	struct edit *e = open_xml(DOMAIN_XML("",
		"<interface type='network'><mac address='" MAC1
		"'/></interface><interface type='vdpa'><mac address='" MAC2
		"'/><source dev='/run/rtvswitch/vm2.vdpa'/><alias name='net1'/></interface>"));
	struct edit_port p;

	(void)state;
	assert_true(edit_find(e, "vm2", &p));
	assert_string_equal(p.mac, MAC2);
	assert_string_equal(p.alias, "net1");
	assert_true(p.has_interface);
	assert_false(edit_port_at(e, 1, &p));
	expect_text(edit_interface(e, MAC2), "<interface type=\"vdpa\">");
	assert_null(edit_interface(e, MAC1));
	edit_close(e);
}

static void
element_alone_is_a_port_too(void **state)
{
	struct edit *e = open_xml(DOMAIN_XML(PORTS, IFACE(MAC2, "vm2")));
	struct edit_port p;

	(void)state;
	assert_true(edit_port_at(e, 1, &p));
	assert_string_equal(p.mac, MAC1);
	assert_true(p.has_element && !p.has_interface);
	edit_close(e);
}

static void
attributes_change_and_go(void **state)
{
	const struct edit_pair pairs[] = {{"deadline", "5ms"}, {"late", ""}, {"bridge", "a&b"}};
	struct edit *e = open_xml(DOMAIN_XML(PORTS, IFACE(MAC1, "vm1")));

	(void)state;
	assert_int_equal(edit_set_port(e, MAC1, pairs, 3), 0);
	// As libvirt takes it: without its name space, with what was there beside it.
	expect_text(edit_metadata(e),
		"<ports><!-- mine --><port mac=\"" MAC1 "\" deadline=\"5ms\" bridge=\"a&amp;b\"/></ports>");
	expect_text(edit_text(e), "<r:port mac=\"" MAC1 "\" deadline=\"5ms\" bridge=\"a&amp;b\"/>");
	edit_remove_port(e, MAC1);
	assert_null(edit_metadata(e));
	edit_close(e);
}

static void
domain_without_metadata_gets_it(void **state)
{
	const struct edit_pair pairs[] = {{"name", "plug"}, {"bridge", ""}}; // meant to have none
	struct edit *e = open_xml(DOMAIN_XML("", ""));
	char err[DOMAIN_ERR_SIZE], *text;
	struct domain *d = NULL;

	(void)state;
	assert_int_equal(edit_set_port(e, MAC1, pairs, 2), 0);
	assert_int_equal(edit_add_interface(e, IFACE(MAC1, "plug")), 0);
	assert_int_equal(edit_add_interface(e, "<interface"), -EINVAL);
	assert_true(edit_has_mac(e, MAC1));
	text = edit_text(e);
	assert_int_equal(domain_parse(text, strlen(text), &d, err), 0);
	assert_int_equal(d->n_ports, 1);
	assert_string_equal(d->ports[0].err, "");
	assert_true(d->ports[0].is_plugged);
	free(text);
	domain_free(d);
	expect_text(edit_interface(e, MAC1), "/run/rtvswitch/plug.sock");
	assert_null(edit_interface(e, MAC2));
	edit_close(e);
}

static void
other_documents_are_refused(void **state)
{
	const char *const texts[] = {"", "<x/>", "<domain>", "<d:domain xmlns:d='x'/>"};
	char err[DOMAIN_ERR_SIZE];
	struct edit *e = NULL;

	(void)state;
	for (unsigned i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		assert_int_equal(edit_open(texts[i], &e, err), -EINVAL);
	assert_null(e);
}

#define TEN "0123456789"

static void
words_are_checked(void **state)
{
	static const struct {
		enum words_kind kind;
		const char *word, *text;
	} cases[] = {{WORDS_NEW, "deadlin=2ms", "did you mean 'deadline'"}, {WORDS_NEW, "deadline", "not KEY=VALUE"},
		{WORDS_NEW, "=2ms", "not KEY=VALUE"}, {WORDS_NEW, "mac=52:54", "mac: must be like"},
		{WORDS_NEW, "name=-x", "name: must be"}, {WORDS_NEW, "mode=listen", "mode: must be client"},
		{WORDS_NEW, "socket=x", "absolute path"}, {WORDS_NEW, "onerror=x", "fail or ignore"},
		{WORDS_CHANGE, "mac=" MAC1, "there is no 'mac'"}, {WORDS_CHANGE, "name=x", "there is no 'name'"},
		{WORDS_NEW, "devargs=x", "there is no 'devargs'"},
		{WORDS_NEW, "name=" TEN TEN TEN TEN TEN TEN TEN TEN, "1 to 79"}};
	char err[DOMAIN_ERR_SIZE], twice[2][16] = {"late=drop", "late=send"};
	struct words w;

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char *word = strdup(cases[i].word);

		assert_int_equal(words_parse(&word, 1, cases[i].kind, &w, err), -EINVAL);
		if (!strstr(err, cases[i].text))
			fail_msg("'%s' is not in: %s", cases[i].text, err);
		free(word);
	}
	assert_int_equal(words_parse((char *[]){twice[0], twice[1]}, 2, WORDS_NEW, &w, err), -EINVAL);
	assert_non_null(strstr(err, "given twice"));
}

static void
complete(struct words *w, const char *word, const char *domain)
{
	char err[DOMAIN_ERR_SIZE], *copy = strdup(word);

	assert_int_equal(words_parse(&copy, *word ? 1 : 0, WORDS_NEW, w, err), 0);
	words_complete(w, domain, 0x123456789abcdef0);
	free(copy);
}

static void
what_was_not_said_is_made_up(void **state)
{
	struct words w;

	(void)state;
	complete(&w, "", "web1");
	assert_string_equal(w.mac, "52:54:00:bc:de:f0");
	assert_string_equal(w.name, "web1-bcdef0");
	assert_string_equal(w.socket, "/run/rtvswitch/web1-bcdef0.sock");
	assert_string_equal(words_value(&w, "name"), w.name);
	assert_null(words_value(&w, "socket"));
	complete(&w, "socket=/tmp/a.sock", "web1");
	assert_string_equal(w.name, "a");
	assert_string_equal(words_value(&w, "socket"), "/tmp/a.sock");
	complete(&w, "mode=server", "web1");
	assert_string_equal(words_value(&w, "mode"), "connect");
	assert_string_equal(w.socket, "/var/lib/libvirt/qemu/web1-bcdef0.sock");
	assert_string_equal(words_value(&w, "socket"), w.socket);
	// Names of domains may be anything, and any length.
	complete(&w, "", "/\xc3\xa4 name of a domain that is long");
	assert_string_equal(w.name, "name-of-a-domain-that-is-long-bcdef0");
	complete(&w, "", TEN TEN TEN TEN TEN TEN TEN TEN);
	assert_string_equal(w.name, TEN TEN TEN TEN TEN TEN TEN "01-bcdef0");
	complete(&w, "mode=server", TEN TEN TEN TEN TEN TEN TEN TEN);
	assert_string_equal(w.socket, "/var/lib/libvirt/qemu/" TEN TEN TEN TEN TEN TEN TEN "01-bcdef0.sock");
	complete(&w, "socket=/tmp/a b.sock", "web1");
	assert_string_equal(w.name, "a-b-01271629");
	complete(&w, "name=" TEN TEN TEN TEN TEN TEN TEN "012345678", "web1");
	assert_string_equal(w.name, TEN TEN TEN TEN TEN TEN TEN "012345678");
	complete(&w, "", "//");
	assert_string_equal(w.name, "p-bcdef0");
}

static void
pieces_are_xml(void **state)
{
	struct words w;

	(void)state;
	complete(&w, "bridge=<'&", "web1");
	expect_text(words_port(&w, 0), "bridge='&lt;&apos;&amp;'");
	complete(&w, "mode=server", "web1");
	expect_text(words_interface(&w, 2), "mode='server'/>");
	complete(&w, "type=vduse", "web1");
	expect_text(words_interface(&w, 0), "<interface type='vdpa'>");
	expect_text(words_interface(&w, 0), "<source dev='/run/rtvswitch/web1-bcdef0.vdpa'/>");
	expect_text(words_port(&w, 0), "type='vduse'");
	complete(&w, "queues=4", "web1");
	expect_text(words_interface(&w, 2), "<driver queues='4'/>");
}

static char *
print(const struct edit *e, const char *word)
{
	char err[DOMAIN_ERR_SIZE], *copy = strdup(word), *text = NULL;
	struct words w;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_int_equal(words_parse(&copy, *word ? 1 : 0, WORDS_NEW, &w, err), 0);
	assert_int_equal(snippets_print(e, &w, "web1", 1, out), 0);
	fclose(out);
	free(copy);
	return text;
}

static void
only_what_lacks_is_printed(void **state)
{
	struct edit *whole = open_xml(DOMAIN_XML(PORTS, IFACE(MAC1, "vm1")));
	struct edit *half = open_xml(DOMAIN_XML("", IFACE(MAC1, "vm1")));
	char *text;

	(void)state;
	expect_text(print(NULL, ""), "<memoryBacking>");
	expect_text(print(NULL, ""), "<interface type='vhostuser'>");
	expect_text(print(whole, ""), "has all that it needs");
	expect_text(print(whole, "deadline=1ms"), "<interface type='vhostuser'>");
	text = print(half, "deadline=1ms");
	assert_null(strstr(text, "<interface"));
	assert_null(strstr(text, "<memoryBacking>"));
	expect_text(text, "<rtvs:port mac='" MAC1 "' deadline='1ms' bridge='br0'/>");
	expect_text(print(half, "mac=" MAC2), "<mac address='" MAC2 "'/>");
	edit_close(whole);
	edit_close(half);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(interface_is_found_by_mac_name_and_alias),
		cmocka_unit_test(vdpa_interface_is_found_too),
		cmocka_unit_test(element_alone_is_a_port_too),
		cmocka_unit_test(attributes_change_and_go),
		cmocka_unit_test(domain_without_metadata_gets_it),
		cmocka_unit_test(other_documents_are_refused),
		cmocka_unit_test(words_are_checked),
		cmocka_unit_test(what_was_not_said_is_made_up),
		cmocka_unit_test(pieces_are_xml),
		cmocka_unit_test(only_what_lacks_is_printed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
