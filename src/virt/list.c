// A row for each vhost-user interface and for each element that waits for one; what the daemon says is empty where it has no such port.
#include "list.h"

#include "edit.h"
#include "host.h"
#include "rtvs/render.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const json_t *
find_port(const json_t *list, const char *name, const char *uuid)
{
	const json_t *port;
	size_t i;

	json_array_foreach (list, i, port) {
		const json_t *config = json_object_get(port, "config");
		const char *is = json_string_value(json_object_get(port, "name"));
		const char *of = json_string_value(json_object_get(config, "domain_uuid"));

		if (is && !strcmp(is, name) && of && !strcmp(of, uuid))
			return port;
	}
	return NULL;
}

// Why there is no port, where there should be one.
static const char *
state_of(const struct edit_port *p, const json_t *port, bool is_active)
{
	if (!is_active)
		return "shut off";
	if (!p->has_element)
		return "no element";
	if (!port)
		return "no port";
	if (!p->has_interface)
		return "waits for interface";
	return json_is_true(json_object_get(json_object_get(port, "state"), "connected")) ||
			json_is_true(json_object_get(port, "connected")) ?
		"connected" :
		"not connected";
}

static void
add_row(json_t *rows, virDomainPtr dom, bool is_active, const struct edit_port *p, const json_t *ports)
{
	static const char *const of_config[] = {"bridge", "deadline", "min_rate", "max_rate"};
	char uuid[VIR_UUID_STRING_BUFLEN] = "";
	const json_t *port;
	json_t *row = json_object();

	(void)virDomainGetUUIDString(dom, uuid);
	port = is_active ? find_port(ports, p->name, uuid) : NULL;
	(void)json_object_set_new(row, "domain", json_string(virDomainGetName(dom)));
	(void)json_object_set_new(row, "interface", json_string(p->alias[0] ? p->alias : p->has_interface ? "-" : ""));
	(void)json_object_set_new(row, "mac", json_string(p->mac));
	(void)json_object_set_new(row, "port", json_string(p->name));
	(void)json_object_set_new(row, "state", json_string(state_of(p, port, is_active)));
	for (unsigned i = 0; i < sizeof(of_config) / sizeof(*of_config); i++) {
		json_t *value = json_object_get(json_object_get(port, "config"), of_config[i]);

		(void)json_object_set_new(row, of_config[i], value ? json_incref(value) : json_string(""));
	}
	(void)json_object_set_new(row, "guarantee",
		port && json_object_get(port, "guarantee") ? json_incref(json_object_get(port, "guarantee")) :
							     json_string(""));
	(void)json_array_append_new(rows, row);
}

static void
add_domain(json_t *rows, virDomainPtr dom, const json_t *ports)
{
	bool is_active = virDomainIsActive(dom) == 1;
	char *xml = virDomainGetXMLDesc(dom, 0), err[DOMAIN_ERR_SIZE];
	struct edit *e = NULL;
	struct edit_port p;

	if (xml && !edit_open(xml, &e, err))
		for (unsigned i = 0; edit_port_at(e, i, &p); i++)
			add_row(rows, dom, is_active, &p, ports);
	edit_close(e);
	free(xml);
}

enum cli_exit
list_run(const char *uri, const char *socket, bool is_json)
{
	virConnectPtr conn = host_init() ? NULL : host_connect(uri);
	struct client *client = conn ? client_open(socket) : NULL;
	json_t *ports = NULL, *rows = json_array();
	virDomainPtr *doms = NULL;
	enum cli_exit rc = CLI_UNREACHABLE;
	int n = 0;

	if (!conn)
		fprintf(stderr, "rtvs-virt: %s: libvirt: %s\n", uri, host_error());
	if (client)
		rc = client_ask(client, "port.list", NULL, &ports);
	if (rc == CLI_OK && (n = virConnectListAllDomains(conn, &doms, 0)) < 0) {
		fprintf(stderr, "rtvs-virt: list of domains: libvirt: %s\n", host_error());
		rc = CLI_REFUSED;
	}
	for (int i = 0; i < n; i++) {
		add_domain(rows, doms[i], ports);
		(void)virDomainFree(doms[i]);
	}
	free(doms);
	if (rc == CLI_OK && is_json) {
		(void)json_dumpf(rows, stdout, JSON_INDENT(1));
		putchar('\n');
	} else if (rc == CLI_OK && json_array_size(rows)) {
		render(rows, stdout);
	}
	json_decref(rows);
	json_decref(ports);
	client_close(client);
	if (conn)
		(void)virConnectClose(conn);
	return rc;
}
