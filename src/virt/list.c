// A row for each vhost-user or vdpa interface and for each element that waits for one. The daemon's
// columns are empty where it has no such port.
#include "list.h"

#include "edit.h"
#include "host.h"
#include "ports.h"
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

// The error of the element, or the differing values of a running guest's port.
static void
describe_problem(struct client *client, const struct domain *d, const struct edit_port *p, const json_t *port,
	bool is_active, char text[DOMAIN_ERR_SIZE])
{
	const struct ports ports = {.client = client};

	text[0] = '\0';
	for (unsigned i = 0; d && i < d->n_ports; i++) {
		const struct domain_port *wanted = &d->ports[i];

		if (strcmp(wanted->mac, p->mac))
			continue;
		if (is_active)
			(void)ports_compare(&ports, wanted, json_object_get(port, "config"), text);
		else
			(void)snprintf(text, DOMAIN_ERR_SIZE, "%s", wanted->err);
		return;
	}
}

static void
add_row(json_t *rows, struct client *client, virDomainPtr dom, const struct domain *d, const struct edit_port *p,
	const json_t *ports)
{
	bool is_active = virDomainIsActive(dom) == 1;
	char problem[DOMAIN_ERR_SIZE];
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
	describe_problem(client, d, p, port, is_active, problem);
	(void)json_object_set_new(row, "problem", json_string(problem));
	(void)json_array_append_new(rows, row);
}

static void
add_domain(json_t *rows, struct client *client, virDomainPtr dom, const json_t *ports)
{
	char *xml = virDomainGetXMLDesc(dom, 0), err[DOMAIN_ERR_SIZE];
	struct domain *d = NULL;
	struct edit *e = NULL;
	struct edit_port p;

	if (xml && !edit_open(xml, &e, err)) {
		if (domain_parse(xml, strlen(xml), &d, err))
			fprintf(stderr, "rtvs-virt: %s: %s\n", virDomainGetName(dom), err);
		for (unsigned i = 0; edit_port_at(e, i, &p); i++)
			add_row(rows, client, dom, d, &p, ports);
	}
	domain_free(d);
	edit_close(e);
	free(xml);
}

// A table, and below it what is wrong: a line that is longer than any column.
static void
print_rows(json_t *rows)
{
	json_t *table = json_deep_copy(rows), *row;
	const char *problem;
	size_t i;

	json_array_foreach (table, i, row)
		(void)json_object_del(row, "problem");
	if (json_array_size(table))
		render(table, stdout);
	json_array_foreach (rows, i, row) {
		problem = json_string_value(json_object_get(row, "problem"));
		if (problem && *problem)
			printf("%s, %s: %s\n", json_string_value(json_object_get(row, "domain")),
				json_string_value(json_object_get(row, "mac")), problem);
	}
	json_decref(table);
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
		add_domain(rows, client, doms[i], ports);
		(void)virDomainFree(doms[i]);
	}
	free(doms);
	if (rc == CLI_OK && is_json) {
		(void)json_dumpf(rows, stdout, JSON_INDENT(1));
		putchar('\n');
	} else if (rc == CLI_OK) {
		print_rows(rows);
	}
	json_decref(rows);
	json_decref(ports);
	client_close(client);
	if (conn)
		(void)virConnectClose(conn);
	return rc;
}
