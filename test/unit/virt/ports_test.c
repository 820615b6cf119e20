// A domain's ports at the daemon. A small model stands for the daemon: a list of ports, an egress
// whose capacity is a number of ports with a min_rate, and a wish to break the connection.
#include "../unit.h"
#include "ports.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define UUID "6ce5b3c0-6c2f-4d6d-9f0a-0d2c5a0f1e11"
#define OTHER "00000000-0000-0000-0000-000000000001"

static json_t *model; // array of {"name", "config"}
static unsigned n_calls, n_changes, calls_until_broken;
static char told[8192];
static json_t *came_meanwhile; // a port that another client adds before our next port.add

static size_t
position(const char *name)
{
	json_t *port;
	size_t i;

	json_array_foreach (model, i, port)
		if (!strcmp(json_string_value(json_object_get(port, "name")), name))
			return i;
	return SIZE_MAX;
}

static const char *
config_of(const char *name, const char *key)
{
	json_t *config = json_object_get(json_array_get(model, position(name)), "config");

	return json_string_value(json_object_get(config, key));
}

static json_t *
refuse(const char *text)
{
	return json_pack("{s:i, s:s}", "code", -32000, "message", text);
}

// As the daemon's: separated by semicolons, and "wrong" is refused.
static json_t *
set_rules(json_t *params)
{
	json_t *port = json_array_get(model, position(json_string_value(json_object_get(params, "port"))));
	const char *rules = json_string_value(json_object_get(params, "rules"));

	if (strstr(rules, "wrong"))
		return refuse("rule: wrong");
	json_object_set_new(port, "rules", json_integer(*rules != '\0'));
	json_object_set_new(port, "text", json_string(rules));
	return NULL;
}

static json_t *
list_rules(const json_t *params)
{
	json_t *port = json_array_get(model, position(json_string_value(json_object_get(params, "port"))));

	return json_pack("{s:[{s:O}]}", "rules", "rule", json_object_get(port, "text"));
}

static const char *
rules_of(const char *name)
{
	return json_string_value(json_object_get(json_array_get(model, position(name)), "text"));
}

static json_t *
change(const char *method, json_t *params)
{
	const char *name = json_string_value(json_object_get(params, "name"));
	const char *rate = json_string_value(json_object_get(params, "min_rate"));

	if (!strcmp(method, "rule.set"))
		return set_rules(params);
	if (!strcmp(method, "port.add") && came_meanwhile) {
		json_array_append_new(model, came_meanwhile);
		came_meanwhile = NULL;
	}
	if (!strcmp(method, "port.del")) {
		if (position(name) == SIZE_MAX)
			return refuse("no such port");
		json_array_remove(model, position(name));
		return NULL;
	}
	if (rate && !strcmp(rate, "too much"))
		return refuse("min_rate: does not fit");
	if (!strcmp(method, "port.add")) {
		if (position(name) != SIZE_MAX)
			return refuse("port exists");
		json_array_append_new(model, json_pack("{s:s, s:O}", "name", name, "config", params));
		return NULL;
	}
	if (json_object_get(params, "socket") || json_object_get(params, "mode") || json_object_get(params, "queues"))
		return refuse("cannot be changed");
	json_object_update(json_object_get(json_array_get(model, position(name)), "config"), params);
	return NULL;
}

// Parameters that the port has otherwise.
static json_t *
changes(json_t *params)
{
	const char *name = json_string_value(json_object_get(params, "name")), *key;
	json_t *list = json_array(), *value;

	json_object_foreach (params, key, value)
		if (config_of(name, key) && strcmp(config_of(name, key), json_string_value(value)))
			json_array_append_new(list, json_string(key));
	return list;
}

enum cli_exit
client_call(struct client *c, const char *method, json_t *params, json_t **ret_result, json_t **ret_error)
{
	json_t *error = NULL;

	(void)c;
	n_calls++;
	if (calls_until_broken && !--calls_until_broken) {
		json_decref(params);
		calls_until_broken = 1;
		return CLI_UNREACHABLE;
	}
	if (!strcmp(method, "port.list"))
		*ret_result = json_deep_copy(model);
	else if (!strcmp(method, "rule.list"))
		*ret_result = list_rules(params);
	else if (!strcmp(method, "admission.check")) {
		bool fits = strcmp(json_string_value(json_object_get(params, "min_rate")), "too much") != 0;

		*ret_result = json_pack(
			"{s:b, s:s, s:o}", "fits", fits, "why", fits ? "" : "at 3 ms", "changes", changes(params));
	} else {
		n_changes++;
		error = change(method, params);
		*ret_result = error ? NULL : json_true();
	}
	json_decref(params);
	*ret_error = error;
	return error ? CLI_REFUSED : CLI_OK;
}

static void
tell(void *ctx, bool is_problem, const char *text)
{
	(void)ctx;
	(void)snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s%s\n", is_problem ? "! " : "", text);
}

// Where links_make finds the kernel's files.
static char root[] = "/tmp/rtvs-ports-XXXXXX";
static struct ports ports = {.log = tell, .root = root};

static struct domain *
domain(const char *elements)
{
	char xml[8192], err[DOMAIN_ERR_SIZE];
	struct domain *d = NULL;
	int n = snprintf(xml, sizeof(xml),
		"<domain>\n<name>web1</name><uuid>" UUID "</uuid><metadata><r:ports xmlns:r='" DOMAIN_NAMESPACE
		"'>%s</r:ports></metadata>"
		"<memoryBacking><access mode='shared'/></memoryBacking><devices>",
		elements);

	for (unsigned i = 1; i <= 3; i++)
		n += snprintf(xml + n, sizeof(xml) - (size_t)n,
			"<interface type='vhostuser'><mac address='52:54:00:00:00:0%u'/>"
			"<source path='/run/guests/vm%u.sock' mode='client'/></interface>",
			i, i);
	(void)snprintf(xml + n, sizeof(xml) - (size_t)n,
		"<interface type='vdpa'><mac address='52:54:00:00:00:04'/><source dev='/run/rtvswitch/vm4.vdpa'/>"
		"</interface></devices></domain>");
	if (domain_parse(xml, strlen(xml), &d, err))
		fail_msg("%s", err);
	return d;
}

static enum cli_exit
apply(const char *elements, char err[DOMAIN_ERR_SIZE])
{
	struct domain *d = domain(elements);
	enum cli_exit rc;

	told[0] = err[0] = '\0';
	n_changes = n_calls = 0;
	rc = ports_apply(&ports, d, err);
	domain_free(d);
	return rc;
}

static int
begin(void **state)
{
	(void)state;
	model = json_array();
	calls_until_broken = 0;
	return 0;
}

static int
end(void **state)
{
	(void)state;
	json_decref(model);
	return 0;
}

#define ONE "<r:port mac='52:54:00:00:00:01' bridge='br0' min_rate='1Mbit'/>"
#define TWO "<r:port mac='52:54:00:00:00:02' bridge='br0'/>"

static void
ports_are_made_once(void **state)
{
	char err[DOMAIN_ERR_SIZE];

	(void)state;
	assert_int_equal(apply(ONE TWO, err), CLI_OK);
	assert_int_equal(json_array_size(model), 2);
	assert_string_equal(config_of("vm1", "min_rate"), "1Mbit");
	assert_string_equal(config_of("vm2", "domain_uuid"), UUID);
	assert_string_equal(told, "port vm1: made\nport vm2: made\n");
	assert_int_equal(apply(ONE TWO, err), CLI_OK);
	assert_int_equal(json_array_size(model), 2);
	assert_string_equal(told, "");
}

#define RULES                              \
	"<r:port mac='52:54:00:00:00:01' " \
	"bridge='br0'><r:rule>arp,actions=allow</r:rule><r:rule>actions=drop</r:rule></r:port>"

// And go with the element, or come back with what a refusal undoes.
static void
rules_follow_the_element(void **state)
{
	char err[DOMAIN_ERR_SIZE];

	(void)state;
	assert_int_equal(apply(TWO RULES, err), CLI_OK);
	assert_string_equal(rules_of("vm1"), "arp,actions=allow;actions=drop;");
	assert_null(rules_of("vm2"));
	assert_int_equal(apply("<r:port mac='52:54:00:00:00:01' bridge='br0'><r:rule>udp,actions=drop</r:rule></r:port>"
			       "<r:port mac='52:54:00:00:00:02' bridge='br0'><r:rule>wrong</r:rule></r:port>",
				 err),
		CLI_REFUSED);
	assert_non_null(strstr(err, "rule: wrong"));
	assert_string_equal(rules_of("vm1"), "arp,actions=allow;actions=drop;;");
	assert_int_equal(apply("<r:port mac='52:54:00:00:00:01' bridge='br0' min_rate='too much'/>", err), CLI_REFUSED);
	assert_string_equal(rules_of("vm1"), "arp,actions=allow;actions=drop;;");
	assert_int_equal(apply(ONE, err), CLI_OK);
	assert_string_equal(rules_of("vm1"), "");
}

// A port that is new to a running guest does not pass what its refused rules were to drop.
static void
running_guests_port_without_its_rules_forwards_nothing(void **state)
{
	char err[DOMAIN_ERR_SIZE];

	(void)state;
	ports.is_running = true;
	assert_int_equal(
		apply("<r:port mac='52:54:00:00:00:01' bridge='br0'><r:rule>wrong</r:rule></r:port>", err), CLI_OK);
	assert_string_equal(config_of("vm1", "bridge"), "");
	assert_non_null(strstr(told, "forwards nothing"));
	assert_int_equal(apply(RULES, err), CLI_OK);
	json_object_set_new(
		json_object_get(json_array_get(model, 0), "config"), "socket", json_string("/run/old.sock"));
	assert_int_equal( // made anew
		apply("<r:port mac='52:54:00:00:00:01' bridge='br0'><r:rule>wrong</r:rule></r:port>", err), CLI_OK);
	assert_string_equal(config_of("vm1", "bridge"), "");
	ports.is_running = false;
}

#define FOUR "<r:port mac='52:54:00:00:00:04' bridge='br0'/>"
#define BUS "/sys/bus/vdpa"

// Device vm4, which vhost_vdpa has as its third.
static void
make_root(void)
{
	char command[512];

	assert_non_null(mkdtemp(root));
	(void)snprintf(command, sizeof(command),
		"cd %s && mkdir -p run/rtvswitch .%s/drivers/vhost_vdpa .%s/devices/vm4/vhost-vdpa-2 && "
		"ln -s ../../drivers/vhost_vdpa .%s/devices/vm4/driver",
		root, BUS, BUS, BUS);
	assert_int_equal(system(command), 0);
}

static void
remove_root(void)
{
	char command[64];

	(void)snprintf(command, sizeof(command), "rm -r %s", root);
	assert_int_equal(system(command), 0);
	memcpy(root, "/tmp/rtvs-ports-XXXXXX", sizeof(root));
}

static void
vdpa_interface_gets_its_link(void **state)
{
	char err[DOMAIN_ERR_SIZE], path[256], target[64] = "";

	(void)state;
	make_root();
	(void)snprintf(path, sizeof(path), "%s/run/rtvswitch/vm4.vdpa", root);
	assert_int_equal(symlink("/dev/vhost-vdpa-0", path), 0); // of a former start
	assert_int_equal(apply(FOUR, err), CLI_OK);
	assert_string_equal(config_of("vm4", "type"), "vduse");
	assert_null(config_of("vm4", "socket"));
	assert_true(readlink(path, target, sizeof(target) - 1) > 0);
	assert_string_equal(target, "/dev/vhost-vdpa-2");
	assert_int_equal(apply(FOUR, err), CLI_OK);
	assert_string_equal(told, "");
	// Neither has a socket, which is not the same one.
	json_array_append_new(model,
		json_pack("{s:s, s:{s:s, s:s}}", "name", "other", "config", "domain_uuid", OTHER, "type", "vduse"));
	assert_int_equal(apply(FOUR, err), CLI_OK);
	assert_string_equal(told, "");
	assert_int_equal(apply(ONE, err), CLI_OK);
	assert_int_equal(position("vm4"), SIZE_MAX);
	assert_int_equal(readlink(path, target, sizeof(target)), -1);
	remove_root();
}

static void
port_without_a_device_is_refused(void **state)
{
	char err[DOMAIN_ERR_SIZE], path[256];

	(void)state;
	make_root();
	(void)snprintf(path, sizeof(path), "%s" BUS "/devices/vm4/driver", root);
	assert_int_equal(unlink(path), 0); // and there is no file to write to
	assert_int_equal(apply(FOUR, err), CLI_REFUSED);
	assert_non_null(strstr(err, "<port mac='52:54:00:00:00:04'>: vm4: driver vhost_vdpa: No such file"));
	assert_int_equal(position("vm4"), SIZE_MAX);
	remove_root();
}

static void
type_that_changes_makes_the_port_anew(void **state)
{
	char err[DOMAIN_ERR_SIZE];

	(void)state;
	make_root();
	json_array_append_new(model,
		json_pack("{s:s, s:{s:s, s:s, s:s, s:s}}", "name", "vm4", "config", "domain_uuid", UUID, "socket",
			"/run/rtvswitch/vm4.sock", "mode", "listen", "queues", "1"));
	assert_int_equal(apply(FOUR, err), CLI_OK);
	assert_string_equal(config_of("vm4", "type"), "vduse");
	assert_non_null(strstr(told, "port vm4: removed, to be made anew with another type"));
	remove_root();
}

static void
what_is_not_said_any_more_goes_back(void **state)
{
	char err[DOMAIN_ERR_SIZE];

	(void)state;
	assert_int_equal(apply(ONE, err), CLI_OK);
	assert_int_equal(apply("<r:port mac='52:54:00:00:00:01' bridge='br0' deadline='1ms'/>", err), CLI_OK);
	assert_string_equal(config_of("vm1", "min_rate"), "0");
	assert_string_equal(config_of("vm1", "deadline"), "1ms");
	assert_int_equal(apply(TWO, err), CLI_OK);
	assert_int_equal(json_array_size(model), 1);
	assert_non_null(strstr(told, "port vm1: removed"));
}

static void
refusal_leaves_everything_as_it_was(void **state)
{
	char err[DOMAIN_ERR_SIZE];
	json_t *before;

	(void)state;
	assert_int_equal(apply(ONE, err), CLI_OK);
	before = json_deep_copy(model);
	assert_int_equal(apply("<r:port bridge='br0' mac='52:54:00:00:00:01' min_rate='2Mbit'/>" TWO
			       "\n<r:port bridge='br0' mac='52:54:00:00:00:03' min_rate='too much'/>",
				 err),
		CLI_REFUSED);
	assert_string_equal(err, "line 3: <port mac='52:54:00:00:00:03'>: min_rate: does not fit");
	assert_true(json_equal(before, model));
	// A port that went is there again.
	assert_int_equal(
		apply(TWO "<r:port bridge='br0' mac='52:54:00:00:00:03' min_rate='too much'/>", err), CLI_REFUSED);
	assert_true(json_equal(before, model));
	json_decref(before);
}

static void
other_hands_ports_are_not_touched(void **state)
{
	char err[DOMAIN_ERR_SIZE];

	(void)state;
	json_array_append_new(model, json_pack("{s:s, s:{s:s}}", "name", "vm1", "config", "name", "vm1"));
	assert_int_equal(apply(ONE, err), CLI_REFUSED);
	assert_non_null(strstr(err, "port vm1 exists and is not this domain's but made by hand"));
	assert_int_equal(n_changes, 0);
	json_array_clear(model);
	json_array_append_new(model,
		json_pack("{s:s, s:{s:s, s:s, s:s}}", "name", "vm1", "config", "name", "vm1", "domain", "db",
			"domain_uuid", OTHER));
	assert_int_equal(apply(ONE, err), CLI_REFUSED);
	assert_non_null(strstr(err, "of domain db"));
	assert_int_equal(ports_remove(&ports, UUID, NULL), CLI_OK);
	assert_int_equal(json_array_size(model), 1);
	assert_int_equal(ports_remove(&ports, OTHER, NULL), CLI_OK);
	assert_int_equal(json_array_size(model), 0);
}

static void
a_port_that_a_qemu_has_is_kept(void **state)
{
	struct ports keeping = {.keeps_used = true};

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		json_array_append_new(model,
			json_pack("{s:s, s:b, s:{s:s, s:s, s:s}}", "name", i ? i == 1 ? "vm2" : "vm3" : "vm1",
				"connected", (int)(i < 2), "config", "name", "vm", "socket",
				i == 1 ? "" : "/run/vm.sock", "domain_uuid", UUID));
	// The second is no vhost-user port, the third has no QEMU.
	assert_int_equal(ports_remove(&keeping, UUID, NULL), CLI_OK);
	assert_int_equal(keeping.n_kept, 1);
	assert_int_equal(json_array_size(model), 1);
	assert_int_equal(position("vm1"), 0);
	// Of another domain none is kept, nor counted.
	assert_int_equal(ports_remove(&keeping, OTHER, NULL), CLI_OK);
	assert_int_equal(keeping.n_kept, 0);
	keeping.keeps_used = false;
	assert_int_equal(ports_remove(&keeping, UUID, NULL), CLI_OK);
	assert_int_equal(json_array_size(model), 0);
}

static void
another_socket_makes_the_port_anew(void **state)
{
	char err[DOMAIN_ERR_SIZE];

	(void)state;
	assert_int_equal(apply(ONE, err), CLI_OK);
	json_object_set_new(json_object_get(json_array_get(model, 0), "config"), "queues", json_integer(4));
	assert_int_equal(apply(ONE, err), CLI_OK);
	assert_string_equal(config_of("vm1", "queues"), "1");
	assert_non_null(strstr(told, "made anew"));
	// Its former state is there again after a refusal.
	json_object_set_new(json_object_get(json_array_get(model, 0), "config"), "queues", json_integer(4));
	assert_int_equal(
		apply(ONE "<r:port bridge='br0' mac='52:54:00:00:00:03' min_rate='too much'/>", err), CLI_REFUSED);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(json_array_get(model, 0), "config"), "queues")), 4);
}

static void
optional_port_comes_up_without_a_bridge(void **state)
{
	char err[DOMAIN_ERR_SIZE];

	(void)state;
	assert_int_equal(apply("<r:port mac='52:54:00:00:00:03' bridge='br0' vlan='7' min_rate='too much' "
			       "onerror='ignore'/>" TWO,
				 err),
		CLI_OK);
	assert_string_equal(config_of("vm3", "bridge"), "");
	assert_string_equal(config_of("vm3", "vlan"), "0");
	assert_string_equal(config_of("vm2", "bridge"), "br0");
	assert_non_null(strstr(told,
		"! port vm3: has no bridge and forwards nothing: line 2: <port mac='52:54:00:00:00:03'>: min_rate"));
	assert_int_equal(
		apply("<r:port mac='52:54:00:00:00:03' bridge='br0' colour='red' onerror='ignore'/>", err), CLI_OK);
	assert_string_equal(config_of("vm3", "bridge"), "");
	// It has what it asks for once that is possible.
	assert_int_equal(apply("<r:port mac='52:54:00:00:00:03' bridge='br0' onerror='ignore'/>", err), CLI_OK);
	assert_string_equal(config_of("vm3", "bridge"), "br0");
	// Nothing to make a port of, and no interface that would wait for it.
	assert_int_equal(apply("<r:port bridge='br0' onerror='ignore'/>", err), CLI_OK);
	assert_non_null(strstr(told, "! no port: line 2: <r:port>: mac: needed"));
	// Its name is another's: QEMU would wait for its socket.
	json_array_append_new(model, json_pack("{s:s, s:{s:s}}", "name", "vm1", "config", "name", "vm1"));
	assert_int_equal(apply("<r:port bridge='br0' mac='52:54:00:00:00:01' onerror='ignore'/>", err), CLI_REFUSED);
	assert_non_null(strstr(err, "made by hand"));
}

static void
optional_port_does_nothing_to_the_one_that_it_repeats(void **state)
{
	char err[DOMAIN_ERR_SIZE];

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(
			apply(ONE "<r:port bridge='br0' mac='52:54:00:00:00:01' onerror='ignore'/>", err), CLI_OK);
		assert_string_equal(config_of("vm1", "bridge"), "br0");
		assert_non_null(strstr(told, "! no port: line 2: <r:port>: mac: line 2 has 52:54:00:00:00:01, too"));
	}
	// Its interface would wait.
	assert_int_equal(apply(ONE "<r:port bridge='br0' mac='52:54:00:00:00:02' name='vm1' onerror='ignore'/>", err),
		CLI_REFUSED);
	assert_non_null(strstr(err, "name: the port of line 2 is called vm1, too"));
	assert_string_equal(config_of("vm1", "bridge"), "br0");
}

static void
running_guests_ports_are_each_for_itself(void **state)
{
#define REFUSED "<r:port mac='52:54:00:00:00:03' bridge='br0' min_rate='too much'/>"
	struct ports running = {.is_running = true, .log = tell};
	struct domain *d = domain(REFUSED ONE);
	char err[DOMAIN_ERR_SIZE];

	(void)state;
	told[0] = '\0';
	assert_int_equal(ports_apply(&running, d, err), CLI_OK);
	assert_string_equal(config_of("vm3", "bridge"), "");
	assert_string_equal(config_of("vm1", "bridge"), "br0");
	assert_non_null(strstr(told, "! port vm3: has no bridge"));
	domain_free(d);
	// Its former port is better than none.
	assert_int_equal(apply("<r:port mac='52:54:00:00:00:03' bridge='br0' min_rate='1Mbit'/>", err), CLI_OK);
	d = domain(REFUSED);
	told[0] = '\0';
	assert_int_equal(ports_apply(&running, d, err), CLI_OK);
	assert_string_equal(config_of("vm3", "min_rate"), "1Mbit");
	assert_non_null(strstr(told, "! port vm3: stays as it was: line 2: <port mac='52:54:00:00:00:03'>: min_rate"));
	domain_free(d);
}

// The interface is there and its element is not the one of any: a slip of who edits the metadata.
static void
running_guest_keeps_the_port_of_a_wrong_element(void **state)
{
	struct ports running = {.is_running = true, .log = tell};
	static const char *const wrong[] = {
		"<r:port mac='52:54:00:00:00:09' bridge='br0'/>", "<r:port mac='52-54-00-00-00-01' bridge='br0'/>"};
	char err[DOMAIN_ERR_SIZE];

	(void)state;
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct domain *d = domain(wrong[i]);

		assert_int_equal(apply(ONE TWO, err), CLI_OK);
		told[0] = '\0';
		assert_int_equal(ports_apply(&running, d, err), CLI_OK);
		assert_non_null(config_of("vm1", "min_rate"));
		assert_non_null(strstr(told, "! port vm1: stays"));
		assert_non_null(strstr(told, "! no port: line 2: <r:port>: "));
		domain_free(d);
	}
	// With a name it would be one that waits.
	struct domain *named = domain("<r:port mac='52:54:00:00:00:09' name='vm1' bridge='br0'/>");
	told[0] = '\0';
	assert_int_equal(ports_apply(&running, named, err), CLI_OK);
	assert_string_equal(config_of("vm1", "allowed_macs"), "52:54:00:00:00:01");
	assert_string_equal(config_of("vm1", "socket"), "/run/guests/vm1.sock");
	assert_non_null(
		strstr(told, "! port vm1: stays as it was: line 2: <port mac='52:54:00:00:00:09'>: no interface has"));
	domain_free(named);
	// Without the element it is meant to go.
	struct domain *d = domain(TWO);
	assert_int_equal(ports_apply(&running, d, err), CLI_OK);
	assert_null(config_of("vm1", "name"));
	domain_free(d);
}

static void
running_guests_port_made_anew_is_there_even_when_refused(void **state)
{
	struct ports running = {.is_running = true, .log = tell};
	struct domain *d = domain(REFUSED);
	char err[DOMAIN_ERR_SIZE];

	(void)state;
	assert_int_equal(apply("<r:port mac='52:54:00:00:00:03' bridge='br0'/>", err), CLI_OK);
	json_object_set_new(
		json_object_get(json_array_get(model, 0), "config"), "socket", json_string("/run/old.sock"));
	told[0] = '\0';
	assert_int_equal(ports_apply(&running, d, err), CLI_OK);
	assert_non_null(config_of("vm3", "socket"));
	assert_string_equal(config_of("vm3", "socket"), "/run/guests/vm3.sock");
	assert_string_equal(config_of("vm3", "bridge"), "");
	assert_non_null(strstr(told, "! port vm3: has no bridge"));
	domain_free(d);
}

static void
interface_with_nobodys_socket_is_refused(void **state)
{
	static const char xml[] =
		"<domain>\n<name>web1</name><uuid>" UUID "</uuid><devices>\n<interface type='vhostuser'>"
		"<mac address='52:54:00:00:00:07'/><source path='/run/rtvswitch/vm7.sock' mode='client'/></interface>"
		"<interface type='vhostuser'><source path='/run/ovs/vm7.sock' mode='client'/></interface>"
		"<interface type='vhostuser'><source path='/run/rtvswitch/x.sock' mode='server'/></interface>"
		"</devices></domain>";
	char err[DOMAIN_ERR_SIZE];
	struct domain *d = NULL;

	(void)state;
	assert_int_equal(domain_parse(xml, sizeof(xml) - 1, &d, err), 0);
	assert_int_equal(d->n_sockets, 1);
	assert_int_equal(ports_apply(&ports, d, err), CLI_REFUSED);
	assert_non_null(strstr(err, "line 3: <interface>: no <port> has its MAC"));
	// A port that was made by hand.
	json_array_append_new(model,
		json_pack("{s:s, s:{s:s, s:s}}", "name", "a", "config", "name", "a", "socket",
			"/run/rtvswitch/vm7.sock"));
	assert_int_equal(ports_apply(&ports, d, err), CLI_OK);
	domain_free(d);
}

// A copied domain: another UUID, and by and by other lines.
static enum cli_exit
apply_xml(const char *elements, const char *interfaces, bool is_running, char err[DOMAIN_ERR_SIZE])
{
	struct ports p = {.is_running = is_running, .log = tell};
	struct domain *d = NULL;
	char xml[8192];
	enum cli_exit rc;

	(void)snprintf(xml, sizeof(xml),
		"<domain>\n<name>copy</name><uuid>" OTHER "</uuid>\n<metadata><r:ports xmlns:r='" DOMAIN_NAMESPACE
		"'>%s</r:ports></metadata><memoryBacking><access "
		"mode='shared'/></memoryBacking>\n<devices>%s</devices></domain>",
		elements, interfaces);
	told[0] = err[0] = '\0';
	n_changes = 0;
	if (domain_parse(xml, strlen(xml), &d, err))
		fail_msg("%s", err);
	rc = ports_apply(&p, d, err);
	domain_free(d);
	return rc;
}

#define NIC(mac, path)                                                                           \
	"<interface type='vhostuser'><mac address='52:54:00:00:00:" mac "'/><source path='" path \
	"' mode='client'/></interface>"

static void
copied_domain_does_not_take_its_parents_port(void **state)
{
	static const struct {
		const char *elements, *interfaces, *text;
	} cases[] = {
		// Nothing is mended but what libvirt does itself; then one line after the other.
		{"<r:port mac='52:54:00:00:00:01' bridge='br0'/>", NIC("0a", "/run/guests/vm1.sock"),
			"no interface of the domain has the MAC 52:54:00:00:00:01"},
		{"<r:port mac='52:54:00:00:00:01' bridge='br0' onerror='ignore'/>", NIC("0a", "/run/guests/vm1.sock"),
			"line 4: <interface>: its socket /run/guests/vm1.sock is that of port vm1, of domain web1"},
		{"<r:port mac='52:54:00:00:00:01' bridge='br0' name='copy'/>", NIC("0a", "/run/guests/vm1.sock"),
			"line 4: <interface>: its socket /run/guests/vm1.sock is that of port vm1, of domain web1"},
		{"<r:port mac='52:54:00:00:00:0a' bridge='br0'/>", NIC("0a", "/run/guests/vm1.sock"),
			"line 3: <port mac='52:54:00:00:00:0a'>: port vm1 exists and is not this domain's but of "
			"domain "
			"web1, and has this socket: a <source path='...'> of its own is needed (<interface> in line "
			"4)"},
		{"<r:port mac='52:54:00:00:00:0a' bridge='br0' name='copy'/>", NIC("0a", "/run/guests/vm1.sock"),
			"port vm1 exists and is not this domain's but of domain web1, and has this socket"},
		{"<r:port mac='52:54:00:00:00:0a' bridge='br0' name='copy' onerror='ignore'/>",
			NIC("0a", "/run/guests/vm1.sock"), "port vm1 exists and is not this domain's"},
		{"<r:port mac='52:54:00:00:00:0a' bridge='br0' name='vm1'/>", NIC("0a", "/run/guests/copy.sock"),
			"port vm1 exists and is not this domain's but of domain web1: another name='...' is needed"},
	};
	char err[DOMAIN_ERR_SIZE];

	(void)state;
	assert_int_equal(apply(ONE, err), CLI_OK);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(apply_xml(cases[i].elements, cases[i].interfaces, false, err), CLI_REFUSED);
		if (!strstr(err, cases[i].text))
			fail_msg("'%s' is not in: %s", cases[i].text, err);
		assert_int_equal(json_array_size(model), 1);
		assert_string_equal(config_of("vm1", "domain_uuid"), UUID);
	}
	// A running one is told of it, and harms no other.
	assert_int_equal(apply_xml(cases[2].elements, cases[2].interfaces, true, err), CLI_OK);
	assert_non_null(strstr(told, "! line 4: <interface>: its socket /run/guests/vm1.sock is that of port vm1"));
	assert_string_equal(config_of("vm1", "domain_uuid"), UUID);
	// All of it mended.
	assert_int_equal(apply_xml("<r:port mac='52:54:00:00:00:0a' bridge='br0'/>", NIC("0a", "/run/guests/copy.sock"),
				 false, err),
		CLI_OK);
	assert_string_equal(config_of("copy", "domain_uuid"), OTHER);
}

static void
copied_domain_without_metadata_is_refused(void **state)
{
	char err[DOMAIN_ERR_SIZE];

	(void)state;
	json_array_append_new(model,
		json_pack("{s:s, s:{s:s, s:s, s:s}}", "name", "vm1", "config", "domain", "web1", "domain_uuid", UUID,
			"socket", "/run/rtvswitch/vm1.sock"));
	assert_int_equal(apply_xml("", NIC("0a", "/run/rtvswitch/vm1.sock"), false, err), CLI_REFUSED);
	assert_non_null(strstr(err, "is that of port vm1, of domain web1, and both guests would be offline"));
	// Its own, of an earlier life, is none: without an element it goes.
	json_object_set_new(json_object_get(json_array_get(model, 0), "config"), "domain_uuid", json_string(OTHER));
	assert_int_equal(apply_xml("", NIC("0a", "/run/rtvswitch/vm1.sock"), false, err), CLI_REFUSED);
	assert_non_null(strstr(err, "QEMU would wait for ever"));
}

static void
two_interfaces_of_a_domain_do_not_share_a_socket(void **state)
{
	static const char nics[] = NIC("0a", "/run/guests/a.sock") "\n" NIC("0b", "/run/guests/a.sock");
	char err[DOMAIN_ERR_SIZE];

	(void)state;
	assert_int_equal(apply_xml("<r:port mac='52:54:00:00:00:0a' bridge='br0'/>", nics, false, err), CLI_REFUSED);
	assert_non_null(
		strstr(err, "line 5: <interface>: its socket /run/guests/a.sock is that of line 4, too: each needs"));
	assert_int_equal(json_array_size(model), 0);
	assert_int_equal(apply_xml("<r:port mac='52:54:00:00:00:0a' bridge='br0'/>"
				   "<r:port mac='52:54:00:00:00:0b' bridge='br0' name='b' onerror='ignore'/>",
				 nics, false, err),
		CLI_REFUSED);
	assert_int_equal(json_array_size(model), 0);
}

// Its port would be made, and guard against the guest's own MAC.
static void
waiting_port_with_an_interfaces_socket_is_refused(void **state)
{
	char err[DOMAIN_ERR_SIZE];

	(void)state;
	assert_int_equal(apply_xml("<r:port mac='52:54:00:00:00:01' bridge='br0' name='vm1'/>",
				 NIC("0a", "/run/rtvswitch/vm1.sock"), false, err),
		CLI_REFUSED);
	assert_non_null(strstr(err,
		"line 3: <port mac='52:54:00:00:00:01'>: mac: the interface with its socket, line 4, has the MAC "
		"52:54:00:00:00:0a"));
}

static void
expect_differs(const char *element, const char *text)
{
	struct domain *d = domain(element);
	char is[DOMAIN_ERR_SIZE];

	assert_int_equal(
		ports_compare(&ports, d->ports, json_object_get(json_array_get(model, 0), "config"), is), CLI_OK);
	assert_string_equal(is, text);
	domain_free(d);
}

static void
what_a_port_has_otherwise_is_told(void **state)
{
#define VM1(more) "<r:port mac='52:54:00:00:00:01' bridge='br0' " more "/>"
	char err[DOMAIN_ERR_SIZE];

	(void)state;
	expect_differs(VM1("min_rate='1Mbit'"), "");
	expect_differs(VM1("min_rate='too much'"), "at 3 ms");
	assert_int_equal(apply(ONE, err), CLI_OK);
	expect_differs(VM1("min_rate='1Mbit'"), "");
	expect_differs(VM1("min_rate='1Mbit' late='drop' vlan='7'"), "vlan=0 instead of 7, late=send instead of drop");
	expect_differs(VM1("min_rate='too much'"), "min_rate=1Mbit instead of too much: at 3 ms");
	expect_differs(
		VM1("deadlin='2ms'"), "line 2: <r:port>: there is no attribute 'deadlin'; did you mean 'deadline'?");
	assert_int_equal(n_changes, 1);
	for (calls_until_broken = 1; calls_until_broken; calls_until_broken = 0) {
		struct domain *d = domain(ONE);

		assert_int_equal(ports_compare(&ports, d->ports, NULL, err), CLI_UNREACHABLE);
		domain_free(d);
	}
}

// An interface is plugged in that has no element; then it gets one.
static void
unknown_interface_is_answered(void **state)
{
	char err[DOMAIN_ERR_SIZE] = "", path[DOMAIN_PATH_SIZE];
	struct ports busy = {.is_running = true, .is_busy = true, .log = tell};
	static const char early[] = "/run/guests/vm3.sock";
	struct domain *d = domain(ONE);

	(void)state;
	assert_int_equal(ports_apply(&busy, d, err), CLI_OK);
	assert_int_equal(ports_answer(&ports, UUID, early, err), CLI_OK);
	assert_string_equal(config_of("vm3", "socket"), early);
	assert_null(config_of("vm3", "bridge"));
	// Once, and not where another has a port.
	assert_int_equal(ports_answer(&ports, UUID, early, err), CLI_OK);
	assert_int_equal(ports_answer(&ports, UUID, "/run/guests/vm1.sock", err), CLI_OK);
	assert_int_equal(json_array_size(model), 2);
	// While libvirt works, and when the interface is there.
	assert_int_equal(ports_answer(&ports, UUID, "/run/guests/else.sock", err), CLI_OK);
	assert_int_equal(ports_apply(&busy, d, err), CLI_OK);
	assert_int_equal(json_array_size(model), 3);
	busy.is_busy = false;
	assert_int_equal(ports_apply(&busy, d, err), CLI_OK);
	assert_int_equal(json_array_size(model), 2);
	assert_string_equal(config_of("vm3", "socket"), early);
	domain_free(d);
	// Its element makes it a port like any other; without interface and element it goes.
	d = domain(ONE "<r:port mac='52:54:00:00:00:03' bridge='br0'/>");
	assert_int_equal(ports_apply(&busy, d, err), CLI_OK);
	assert_string_equal(config_of("vm3", "bridge"), "br0");
	assert_string_equal(config_of("vm3", "domain"), "web1");
	domain_free(d);
	for (unsigned i = 0; i <= PORTS_MAX_UNKNOWN; i++) {
		(void)snprintf(path, sizeof(path), "/run/rtvswitch/%u.sock", i);
		assert_int_equal(ports_answer(&ports, UUID, path, err), i < PORTS_MAX_UNKNOWN ? CLI_OK : CLI_REFUSED);
	}
	assert_non_null(strstr(err, "8 ports for unknown interfaces already, the limit"));
	assert_int_equal(ports_remove(&ports, UUID, NULL), CLI_OK);
	assert_int_equal(json_array_size(model), 0);
}

// QEMU's words in its log are no reason to give it the packets of another port's mirror.
static void
unknown_interface_is_no_mirrors_target(void **state)
{
	char err[DOMAIN_ERR_SIZE] = "";
	struct domain *d = domain("<r:port mac='52:54:00:00:00:01' bridge='br0' mirror_to='probe' mirror='both'/>");

	(void)state;
	assert_int_equal(ports_apply(&ports, d, err), CLI_OK);
	assert_int_equal(ports_answer(&ports, OTHER, "/run/guests/probe.sock", err), CLI_REFUSED);
	assert_non_null(strstr(err, "a mirror waits for a port called probe"));
	assert_int_equal(ports_answer(&ports, OTHER, "/run/guests/probe2.sock", err), CLI_OK);
	assert_int_equal(ports_remove(&ports, OTHER, NULL), CLI_OK);
	assert_int_equal(ports_remove(&ports, UUID, NULL), CLI_OK);
	domain_free(d);
}

// A domain that claims to wait for another's socket does not keep that one from starting.
static void
unknown_interface_gives_way(void **state)
{
	static const char *const elements[] = {"<r:port mac='52:54:00:00:00:0a' bridge='br0'/>",
		"<r:port mac='52:54:00:00:00:0a' bridge='br0' name='other'/>"};
	char err[DOMAIN_ERR_SIZE];

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(ports_answer(&ports, UUID, "/run/guests/vm3.sock", err), CLI_OK);
		assert_int_equal(apply_xml(elements[i], NIC("0a", "/run/guests/vm3.sock"), false, err), CLI_OK);
		assert_int_equal(json_array_size(model), 1);
		assert_string_equal(config_of(i ? "other" : "vm3", "domain_uuid"), OTHER);
		assert_string_equal(config_of(i ? "other" : "vm3", "socket"), "/run/guests/vm3.sock");
		assert_int_equal(ports_remove(&ports, OTHER, NULL), CLI_OK);
	}
}

static void
who_comes_first_does_not_matter(void **state)
{
	char err[DOMAIN_ERR_SIZE];

	(void)state;
	came_meanwhile = json_pack("{s:s, s:{s:s, s:s, s:s, s:s, s:i}}", "name", "vm1", "config", "name", "vm1",
		"domain_uuid", UUID, "socket", "/run/rtvswitch/vm1.sock", "mode", "listen", "queues", 1);
	assert_int_equal(apply(ONE, err), CLI_OK);
	assert_int_equal(json_array_size(model), 1);
	assert_string_equal(config_of("vm1", "min_rate"), "1Mbit");
}

static void
check_changes_nothing(void **state)
{
	struct domain *d = domain(ONE "<r:port bridge='br0' mac='52:54:00:00:00:03' min_rate='too much'/>");
	char err[DOMAIN_ERR_SIZE];

	(void)state;
	n_changes = 0;
	assert_int_equal(ports_check(&ports, d, err), CLI_REFUSED);
	assert_non_null(strstr(err, "<port mac='52:54:00:00:00:03'>: at 3 ms"));
	domain_free(d);
	d = domain(ONE "<r:port bridge='br0' mac='52:54:00:00:00:03' min_rate='too much' onerror='ignore'/>");
	assert_int_equal(ports_check(&ports, d, err), CLI_OK);
	domain_free(d);
	assert_int_equal(n_changes, 0);
}

// At each call in turn the connection breaks: that is told, and the second attempt gets there.
static void
broken_connection_is_told_at_any_call(void **state)
{
	char err[DOMAIN_ERR_SIZE];

	for (unsigned i = 1; i < 20; i++) {
		json_array_clear(model);
		assert_int_equal(apply(ONE, err), CLI_OK);
		calls_until_broken = i;
		if (apply(TWO "<r:port bridge='br0' mac='52:54:00:00:00:03' min_rate='2Mbit'/>", err) == CLI_OK) {
			assert_true(i > 3);
			calls_until_broken = 0;
			return;
		}
		calls_until_broken = 0;
		assert_int_equal(
			apply(TWO "<r:port bridge='br0' mac='52:54:00:00:00:03' min_rate='2Mbit'/>", err), CLI_OK);
		assert_int_equal(json_array_size(model), 2);
	}
	fail_msg("never got through");
	(void)state;
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(vdpa_interface_gets_its_link),
		TEST(port_without_a_device_is_refused),
		TEST(type_that_changes_makes_the_port_anew),
		TEST(ports_are_made_once),
		TEST(what_is_not_said_any_more_goes_back),
		TEST(rules_follow_the_element),
		TEST(running_guests_port_without_its_rules_forwards_nothing),
		TEST(refusal_leaves_everything_as_it_was),
		TEST(other_hands_ports_are_not_touched),
		TEST(a_port_that_a_qemu_has_is_kept),
		TEST(another_socket_makes_the_port_anew),
		TEST(optional_port_comes_up_without_a_bridge),
		TEST(optional_port_does_nothing_to_the_one_that_it_repeats),
		TEST(running_guests_ports_are_each_for_itself),
		TEST(running_guest_keeps_the_port_of_a_wrong_element),
		TEST(running_guests_port_made_anew_is_there_even_when_refused),
		TEST(interface_with_nobodys_socket_is_refused),
		TEST(copied_domain_does_not_take_its_parents_port),
		TEST(copied_domain_without_metadata_is_refused),
		TEST(two_interfaces_of_a_domain_do_not_share_a_socket),
		TEST(waiting_port_with_an_interfaces_socket_is_refused),
		TEST(what_a_port_has_otherwise_is_told),
		TEST(unknown_interface_is_answered),
		TEST(unknown_interface_is_no_mirrors_target),
		TEST(unknown_interface_gives_way),
		TEST(who_comes_first_does_not_matter),
		TEST(check_changes_nothing),
		TEST(broken_connection_is_told_at_any_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
