// Ports of a domain at the daemon: the list is read, compared and changed by single calls, and
// other clients may change it at the same time. A port that appeared meanwhile is looked at again.
// A refusal for one port undoes the changes of the others.
#include "ports.h"

#include "links.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ATTEMPTS 3
#define MAX_RULES 4096 // of a port

// The undo of a step: calls, the last first.
struct undo {
	struct {
		const char *method;
		json_t *params; // owned
	} steps[4 * DOMAIN_MAX_PORTS];
	unsigned n;
};

__attribute__((format(printf, 3, 4))) static void
tell(const struct ports *p, bool is_problem, const char *fmt, ...)
{
	char text[DOMAIN_ERR_SIZE];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (p->log)
		p->log(p->log_ctx, is_problem, text);
}

static const char *
text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

// params is stolen. CLI_REFUSED with the daemon's message in err.
static enum cli_exit
call(const struct ports *p, const char *method, json_t *params, char err[DOMAIN_ERR_SIZE])
{
	json_t *result = NULL, *error = NULL;
	enum cli_exit rc = client_call(p->client, method, params, &result, &error);

	if (rc == CLI_REFUSED)
		(void)snprintf(err, DOMAIN_ERR_SIZE, "%s", text_of(error, "message"));
	json_decref(result);
	json_decref(error);
	return rc;
}

// CLI_REFUSED with the daemon's message in err (NULL: not wanted): it has no room for us, say.
static enum cli_exit
list_ports(const struct ports *p, json_t **ret_list, char *err)
{
	json_t *error = NULL;
	enum cli_exit rc = client_call(p->client, "port.list", NULL, ret_list, &error);

	if (rc == CLI_REFUSED && err)
		(void)snprintf(err, DOMAIN_ERR_SIZE, "rtvswitchd refuses: %s", text_of(error, "message"));
	json_decref(error);
	return rc == CLI_OK && !json_is_array(*ret_list) ? CLI_UNREACHABLE : rc;
}

// Its configuration as port.add takes it; NULL: there is none.
static const json_t *
find_port(const json_t *list, const char *name)
{
	const json_t *port;
	size_t i;

	json_array_foreach (list, i, port)
		if (!strcmp(text_of(port, "name"), name))
			return json_object_get(port, "config");
	return NULL;
}

// One of ports_answer.
static bool
is_unknown(const json_t *config)
{
	return !strcmp(text_of(config, "domain"), PORTS_UNKNOWN);
}

// Another owner than the domain with this UUID of a port with that name, or with that socket. NULL:
// none.
static const json_t *
find_foreign(const json_t *list, const char *name, const char *socket, const char *uuid)
{
	const json_t *port;
	size_t i;

	json_array_foreach (list, i, port) {
		const json_t *config = json_object_get(port, "config");

		if ((!strcmp(text_of(port, "name"), name) ||
			    (socket[0] && !strcmp(text_of(config, "socket"), socket))) &&
			strcmp(text_of(config, "domain_uuid"), uuid) && !is_unknown(config))
			return port;
	}
	return NULL;
}

// A domain's parameters of a port, in the form of `from`; for port.add, or for port.set, which
// cannot change the socket.
static json_t *
pick(const json_t *from, bool is_for_set)
{
	static const char *const own[] = {"name", "domain", "domain_uuid", "type", "socket", "mode", "queues", "vdpa"};
	json_t *object = json_object();

	for (unsigned i = 0; i < (is_for_set ? 3 : sizeof(own) / sizeof(*own)); i++)
		if (json_object_get(from, own[i]))
			(void)json_object_set(object, own[i], json_object_get(from, own[i]));
	for (const struct domain_attribute *a = domain_attributes; a->name; a++)
		if (json_object_get(from, a->name) && strcmp(a->name, "queues"))
			(void)json_object_set(object, a->name, json_object_get(from, a->name));
	return object;
}

// Numbers are texts in XML.
static bool
is_same(const json_t *params, const json_t *config, const char *key)
{
	const json_t *now = json_object_get(config, key);
	char text[32];

	(void)snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(now));
	return !strcmp(text_of(params, key), json_is_integer(now) ? text : text_of(config, key));
}

static bool
is_same_type(const json_t *params, const json_t *config)
{
	const char *wanted = text_of(params, "type"), *now = text_of(config, "type");

	return !strcmp(wanted[0] ? wanted : "vhost", now[0] ? now : "vhost");
}

static void
remember(struct undo *undo, const char *method, json_t *params)
{
	if (undo->n == sizeof(undo->steps) / sizeof(undo->steps[0])) {
		json_decref(params);
		return;
	}
	undo->steps[undo->n].method = method;
	undo->steps[undo->n++].params = params;
}

static void
undo_all(const struct ports *p, struct undo *undo)
{
	char err[DOMAIN_ERR_SIZE] = "";

	while (undo->n) {
		undo->n--;
		if (call(p, undo->steps[undo->n].method, undo->steps[undo->n].params, err) == CLI_REFUSED)
			tell(p, true, "%s to have things as they were: %s", undo->steps[undo->n].method, err);
	}
}

static void
undo_forget(struct undo *undo)
{
	while (undo->n)
		json_decref(undo->steps[--undo->n].params);
}

static const char *
root_of(const struct ports *p)
{
	return p->root ? p->root : "";
}

static bool
has_rules(const json_t *list, const char *name)
{
	const json_t *port;
	size_t i;

	json_array_foreach (list, i, port)
		if (!strcmp(text_of(port, "name"), name))
			return json_integer_value(json_object_get(port, "rules")) > 0;
	return false;
}

// The port gets the rules again that it has now.
static void
remember_rules(const struct ports *p, const json_t *list, const char *name, struct undo *undo)
{
	json_t *result = NULL, *error = NULL, *rule;
	char *text = NULL;
	size_t size, i;
	FILE *out;

	if (!undo || !has_rules(list, name) ||
		client_call(p->client, "rule.list", json_pack("{s:s, s:i}", "port", name, "max", MAX_RULES), &result,
			&error)) {
		json_decref(error);
		return;
	}
	out = open_memstream(&text, &size);
	json_array_foreach (json_object_get(result, "rules"), i, rule)
		if (out)
			fprintf(out, "%s;", text_of(rule, "rule"));
	if (out && !fclose(out))
		remember(undo, "rule.set", json_pack("{s:s, s:s}", "port", name, "rules", text));
	free(text);
	json_decref(result);
}

static bool
was_made(const struct undo *undo, const char *name)
{
	for (unsigned i = 0; i < undo->n; i++)
		if (!strcmp(undo->steps[i].method, "port.del") && !strcmp(text_of(undo->steps[i].params, "name"), name))
			return true;
	return false;
}

static enum cli_exit
apply_rules(const struct ports *p, const json_t *list, const struct domain_port *port, struct undo *undo,
	char err[DOMAIN_ERR_SIZE])
{
	const char *name = domain_port_name(port);
	char ignored[DOMAIN_ERR_SIZE];
	enum cli_exit rc;

	if (!port->rules && !has_rules(list, name))
		return CLI_OK;
	remember_rules(p, list, name, undo);
	rc = call(p, "rule.set", json_pack("{s:s, s:s}", "port", name, "rules", port->rules ? port->rules : ""), err);
	// A running guest's new port would stay, and let pass what the rules were to drop.
	if (rc == CLI_REFUSED && p->is_running && was_made(undo, name))
		(void)call(p, "port.del", json_pack("{s:s}", "name", name), ignored);
	return rc;
}

static enum cli_exit
remove_port(const struct ports *p, const json_t *list, const char *name, const char *why, struct undo *undo)
{
	const json_t *config = find_port(list, name);
	char err[DOMAIN_ERR_SIZE] = "";
	enum cli_exit rc;

	remember_rules(p, list, name, undo);
	rc = call(p, "port.del", json_pack("{s:s}", "name", name), err);
	if (rc == CLI_OK && !strcmp(text_of(config, "type"), "vduse"))
		links_drop(root_of(p), name);
	if (rc == CLI_OK && undo)
		remember(undo, "port.add", pick(config, false));
	if (rc == CLI_OK)
		tell(p, false, "port %s: removed, %s", name, why);
	else if (rc == CLI_REFUSED)
		tell(p, true, "port %s: not removed: %s", name, err);
	return rc == CLI_UNREACHABLE ? rc : CLI_OK;
}

static enum cli_exit
add_port(const struct ports *p, const json_t *params, struct undo *undo, char err[DOMAIN_ERR_SIZE])
{
	enum cli_exit rc = call(p, "port.add", json_deep_copy(params), err);

	if (rc == CLI_OK) {
		remember(undo, "port.del", json_pack("{s:s}", "name", text_of(params, "name")));
		tell(p, false, "port %s: made", text_of(params, "name"));
	}
	return rc;
}

// Does another owner have the port's socket or name, as a cloned domain's parent does? The message
// names the owner, and what to change. line: of the interface, 0: unknown.
static bool
is_taken(const json_t *list, const json_t *params, unsigned line, char err[DOMAIN_ERR_SIZE])
{
	const char *socket = text_of(params, "socket");
	const json_t *port = find_foreign(list, text_of(params, "name"), socket, text_of(params, "domain_uuid"));
	const json_t *config = json_object_get(port, "config");
	char where[48] = "";

	if (!port)
		return false;
	if (line)
		(void)snprintf(where, sizeof(where), " (<interface> in line %u)", line);
	(void)snprintf(err, DOMAIN_ERR_SIZE, "port %s exists and is not this domain's but %s%s%s%s",
		text_of(port, "name"), *text_of(config, "domain_uuid") ? "of domain " : "made by hand",
		text_of(config, "domain"),
		!socket[0] || strcmp(text_of(config, "socket"), socket) ?
			": another name='...' is needed" :
			", and has this socket: a <source path='...'> of its own is needed",
		where);
	return true;
}

// Makes one port match params. *ret_again: another client made it meanwhile, the list must be read
// again.
static enum cli_exit
apply_port(const struct ports *p, const json_t *list, const json_t *params, struct undo *undo, bool *ret_again,
	char err[DOMAIN_ERR_SIZE])
{
	const char *name = text_of(params, "name");
	const json_t *config = find_port(list, name);
	json_t *now = NULL;
	enum cli_exit rc;

	if (is_taken(list, params, 0, err))
		return CLI_REFUSED;
	if (!config) {
		rc = add_port(p, params, undo, err);
		if (rc == CLI_REFUSED && !list_ports(p, &now, NULL))
			*ret_again = find_port(now, name);
		json_decref(now);
		return rc;
	}
	// A port that answered for another domain is made anew: its connected front-end is not this
	// domain's.
	if (!is_same_type(params, config) || !is_same(params, config, "socket") || !is_same(params, config, "mode") ||
		!is_same(params, config, "queues") || !is_same(params, config, "vdpa") ||
		!is_same(params, config, "domain_uuid")) {
		rc = remove_port(
			p, list, name, "to be made anew with another type, socket, device or number of queues", undo);
		return rc ? rc : add_port(p, params, undo, err);
	}
	rc = call(p, "port.set", pick(params, true), err);
	if (rc == CLI_OK)
		remember(undo, "port.set", pick(config, true));
	return rc;
}

// QEMU's file for a vdpa interface, of a port that there is.
static enum cli_exit
make_link(const struct ports *p, const struct domain_port *port, char err[DOMAIN_ERR_SIZE])
{
	return port->has_link && links_make(root_of(p), domain_port_name(port), err) ? CLI_REFUSED : CLI_OK;
}

// The error of the element, or the daemon's message, with the element.
static void
refusal(const struct domain_port *port, const char *why, char err[DOMAIN_ERR_SIZE])
{
	if (port->err[0])
		(void)snprintf(err, DOMAIN_ERR_SIZE, "%s", port->err);
	else
		(void)snprintf(err, DOMAIN_ERR_SIZE, "line %u: <port mac='%s'>: %s", port->line, port->mac, why);
}

// A port that cannot be as its element says: a running guest's stays unchanged; otherwise one
// without a bridge lets the guest start.
static enum cli_exit
apply_fallback(const struct ports *p, const struct domain_port *port, struct undo *undo, const char *why)
{
	const char *name = domain_port_name(port);
	json_t *params = domain_port_fallback(port), *list = NULL;
	char err[DOMAIN_ERR_SIZE] = "";
	bool again = false;
	enum cli_exit rc = list_ports(p, &list, err); // it may have been removed, to be made anew

	if (rc == CLI_OK && p->is_running && find_port(list, name)) {
		tell(p, true, "port %s: stays as it was: %s", name, why);
	} else if (rc == CLI_OK) {
		rc = CLI_REFUSED;
		if (name[0] && (text_of(params, "socket")[0] || text_of(params, "type")[0]))
			rc = apply_port(p, list, params, undo, &again, err);
		if (rc == CLI_OK)
			tell(p, true, "port %s: has no bridge and forwards nothing: %s", name, why);
	}
	json_decref(list);
	json_decref(params);
	// No interface waits for a port that has no interface.
	if (rc == CLI_REFUSED && (p->is_running || !port->is_plugged)) {
		tell(p, true, "no port: %s", why);
		rc = CLI_OK;
	}
	return rc;
}

// An obstacle of an interface: no process answers at its socket, or it is another's.
static bool
is_socket_wrong(const struct ports *p, const struct domain *d, const struct domain_socket *s, const json_t *list,
	char err[DOMAIN_ERR_SIZE])
{
	const json_t *port = find_foreign(list, "", s->path, d->uuid), *config = json_object_get(port, "config");

	if (s->twin_line)
		(void)snprintf(err, DOMAIN_ERR_SIZE,
			"line %u: <interface>: its socket %s is that of line %u, too: each needs one of its own",
			s->line, s->path, s->twin_line);
	else if (s->has_element)
		return false;
	else if (*text_of(config, "domain_uuid"))
		(void)snprintf(err, DOMAIN_ERR_SIZE,
			"line %u: <interface>: its socket %s is that of port %s, of domain %s, and both guests "
			"would be "
			"offline: it needs a <source path='...'> of its own, and a <port mac='%s'>",
			s->line, s->path, text_of(port, "name"), text_of(config, "domain"), s->mac);
	else if (s->is_switchs && !port && p->is_running)
		(void)snprintf(err, DOMAIN_ERR_SIZE,
			"line %u: <interface>: no <port> has its MAC, %s: it has no network until there is one",
			s->line, s->mac);
	else if (s->is_switchs && !port) // not one of its own either: without an element that goes
		(void)snprintf(err, DOMAIN_ERR_SIZE,
			"line %u: <interface>: no <port> has its MAC, and no port of the switch the socket %s: QEMU "
			"would wait for ever",
			s->line, s->path);
	else
		return false;
	return true;
}

static enum cli_exit
check_sockets(const struct ports *p, const json_t *list, const struct domain *d, char err[DOMAIN_ERR_SIZE])
{
	for (unsigned i = 0; i < d->n_sockets; i++) {
		if (!is_socket_wrong(p, d, &d->sockets[i], list, err))
			continue;
		if (!p->is_running)
			return CLI_REFUSED;
		tell(p, true, "%s", err);
	}
	return CLI_OK;
}

// Of an interface without an element.
static bool
has_interface(const struct domain *d, const json_t *config)
{
	for (unsigned i = 0; i < d->n_sockets; i++)
		if (!d->sockets[i].has_element && !strcmp(d->sockets[i].path, text_of(config, "socket")))
			return true;
	return false;
}

// The owner of a wrong element is unknown. An interface without an element may be meant, and a
// running guest keeps its port.
static bool
may_be_meant(const struct domain *d, const json_t *config)
{
	bool is_wrong = false;

	for (unsigned i = 0; i < d->n_ports; i++)
		is_wrong |= d->ports[i].err[0] != '\0';
	return is_wrong && has_interface(d, config);
}

// Its interface is there, or may come to be in this moment.
static bool
is_answering(const struct ports *p, const struct domain *d, const json_t *config)
{
	return is_unknown(config) && (p->is_busy || has_interface(d, config));
}

// Another's that is none of an element's, and has the socket that a port of another name needs.
static bool
is_in_the_way(const struct domain *d, const char *name, const json_t *config)
{
	bool is_needed = false;

	for (unsigned i = 0; d && i < d->n_ports; i++)
		is_needed |= json_object_get(d->ports[i].params, "socket") &&
			!strcmp(text_of(d->ports[i].params, "socket"), text_of(config, "socket")) &&
			strcmp(domain_port_name(&d->ports[i]), name);
	return is_needed && is_unknown(config);
}

// Ports of the domain that it does not ask for (any more).
static enum cli_exit
remove_others(const struct ports *p, const json_t *list, const char *uuid, const struct domain *d, struct undo *undo)
{
	const json_t *port;
	size_t i;

	json_array_foreach (list, i, port) {
		const json_t *config = json_object_get(port, "config");
		const char *name = text_of(port, "name");
		bool is_wanted = false;

		for (unsigned k = 0; d && k < d->n_ports; k++)
			is_wanted |= !strcmp(name, domain_port_name(&d->ports[k]));
		if (strcmp(text_of(config, "domain_uuid"), uuid) ? !is_in_the_way(d, name, config) : is_wanted)
			continue;
		if (p->is_running && d && is_answering(p, d, config) && !is_in_the_way(d, name, config))
			continue;
		if (p->is_running && d && may_be_meant(d, config))
			tell(p, true, "port %s: stays as it was: its interface is there without an element", name);
		else if (remove_port(p, list, name, "its domain does not have it", undo) == CLI_UNREACHABLE)
			return CLI_UNREACHABLE;
	}
	return CLI_OK;
}

static enum cli_exit
apply_all(const struct ports *p, const struct domain *d, struct undo *undo, bool *ret_again, char err[DOMAIN_ERR_SIZE])
{
	json_t *list = NULL;
	enum cli_exit rc = list_ports(p, &list, err);

	if (rc == CLI_OK)
		rc = remove_others(p, list, d->uuid, d, undo);
	for (unsigned i = 0; i < d->n_ports && rc == CLI_OK; i++) {
		const struct domain_port *port = &d->ports[i];
		const json_t *config = find_port(list, domain_port_name(port));
		char why[DOMAIN_ERR_SIZE] = "no interface has this MAC, that of the port's socket has another";

		// Not a port that waits for its interface: it would be made anew for one, or guard
		// against the guest's own MAC.
		if (port->err[0] || (p->is_running && config && !port->is_plugged && has_interface(d, config)))
			rc = CLI_REFUSED;
		else if (is_taken(list, port->params, port->iface_line, why))
			rc = CLI_REFUSED;
		else
			rc = apply_port(p, list, port->params, undo, ret_again, why);
		if (rc == CLI_OK)
			rc = apply_rules(p, list, port, undo, why);
		if (rc == CLI_OK)
			rc = make_link(p, port, why);
		if (rc != CLI_REFUSED || *ret_again)
			continue;
		refusal(port, why, err);
		if (port->is_optional || p->is_running)
			rc = apply_fallback(p, port, undo, err);
	}
	if (rc == CLI_OK)
		rc = check_sockets(p, list, d, err);
	json_decref(list);
	return rc;
}

enum cli_exit
ports_apply(const struct ports *p, const struct domain *d, char err[DOMAIN_ERR_SIZE])
{
	struct undo undo = {0};
	enum cli_exit rc = CLI_OK;
	bool again = true;

	for (unsigned i = 0; i < MAX_ATTEMPTS && again; i++) {
		again = false;
		rc = apply_all(p, d, &undo, &again, err);
	}
	if (rc == CLI_REFUSED)
		undo_all(p, &undo);
	undo_forget(&undo);
	return rc;
}

enum cli_exit
ports_apply_one(const struct ports *p, const struct domain_port *port, char err[DOMAIN_ERR_SIZE])
{
	struct undo undo = {0};
	enum cli_exit rc = CLI_OK;
	bool again = true;

	for (unsigned i = 0; i < MAX_ATTEMPTS && again && rc != CLI_UNREACHABLE; i++) {
		json_t *list = NULL;

		again = false;
		rc = list_ports(p, &list, err);
		if (rc == CLI_OK)
			rc = apply_port(p, list, port->params, &undo, &again, err);
		if (rc == CLI_OK)
			rc = apply_rules(p, list, port, &undo, err);
		if (rc == CLI_OK)
			rc = make_link(p, port, err);
		json_decref(list);
	}
	if (rc == CLI_REFUSED)
		undo_all(p, &undo);
	undo_forget(&undo);
	return rc;
}

enum cli_exit
ports_answer(const struct ports *p, const char *uuid, const char *socket, char err[DOMAIN_ERR_SIZE])
{
	char name[RTVS_NAME_SIZE];
	json_t *list = NULL, *port;
	enum cli_exit rc = list_ports(p, &list, err);
	bool is_there = false, is_mirrored_to = false;
	unsigned n = 0;
	size_t i;

	domain_name_of_socket(socket, name);
	json_array_foreach (list, i, port) {
		const json_t *config = json_object_get(port, "config");

		is_there |= !strcmp(text_of(config, "socket"), socket);
		is_mirrored_to |= !strcmp(text_of(config, "mirror_to"), name);
		n += is_unknown(config) && !strcmp(text_of(config, "domain_uuid"), uuid);
	}
	json_decref(list);
	if (rc || is_there)
		return rc;
	if (n == PORTS_MAX_UNKNOWN) {
		(void)snprintf(err, DOMAIN_ERR_SIZE, "it has %d ports for unknown interfaces already, the limit",
			PORTS_MAX_UNKNOWN);
		return CLI_REFUSED;
	}
	// It would get what the mirror copies, with a bridge or without.
	if (is_mirrored_to) {
		(void)snprintf(err, DOMAIN_ERR_SIZE, "a mirror waits for a port called %s", name);
		return CLI_REFUSED;
	}
	return call(p, "port.add",
		json_pack("{s:s, s:s, s:s, s:s, s:i}", "name", name, "socket", socket, "domain", PORTS_UNKNOWN,
			"domain_uuid", uuid, "queues", DOMAIN_MAX_QUEUES),
		err);
}

// Whether the daemon could do it: CLI_OK, or CLI_REFUSED with its message. ret_changes: parameters
// that would change, NULL: not wanted.
static enum cli_exit
check_port(const struct ports *p, const struct domain_port *port, json_t **ret_changes, char err[DOMAIN_ERR_SIZE])
{
	json_t *result = NULL, *error = NULL;
	enum cli_exit rc = client_call(p->client, "admission.check", json_deep_copy(port->params), &result, &error);

	(void)snprintf(
		err, DOMAIN_ERR_SIZE, "%s", text_of(rc == CLI_OK ? result : error, rc == CLI_OK ? "why" : "message"));
	if (rc == CLI_OK && ret_changes)
		*ret_changes = json_incref(json_object_get(result, "changes"));
	if (rc == CLI_OK && !json_is_true(json_object_get(result, "fits")))
		rc = CLI_REFUSED;
	json_decref(result);
	json_decref(error);
	return rc;
}

enum cli_exit
ports_check(const struct ports *p, const struct domain *d, char err[DOMAIN_ERR_SIZE])
{
	for (unsigned i = 0; i < d->n_ports; i++) {
		const struct domain_port *port = &d->ports[i];
		char why[DOMAIN_ERR_SIZE] = "";
		enum cli_exit rc = CLI_REFUSED;

		if (port->is_optional)
			continue;
		if (!port->err[0])
			rc = check_port(p, port, NULL, why);
		if (rc == CLI_REFUSED)
			refusal(port, why, err);
		if (rc)
			return rc;
	}
	return CLI_OK;
}

// A port's value as a person would write it.
static const char *
value_text(const json_t *value, char *buf, size_t size)
{
	size_t n = 0, i;
	json_t *item;

	if (json_is_string(value))
		return json_string_value(value);
	(void)snprintf(buf, size, "%s", json_is_true(value) ? "true" : json_is_false(value) ? "false" : "");
	if (json_is_integer(value))
		(void)snprintf(buf, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	json_array_foreach (value, i, item)
		if (n < size)
			n += (size_t)snprintf(buf + n, size - n, "%s%s", i ? "," : "", json_string_value(item));
	return buf;
}

enum cli_exit
ports_compare(
	const struct ports *p, const struct domain_port *port, const json_t *config, char ret_text[DOMAIN_ERR_SIZE])
{
	char why[DOMAIN_ERR_SIZE] = "", buf[DOMAIN_ERR_SIZE];
	json_t *changes = NULL, *change;
	enum cli_exit rc;
	size_t n = 0, i;

	ret_text[0] = '\0';
	if (port->err[0]) {
		refusal(port, why, ret_text);
		return CLI_OK;
	}
	rc = check_port(p, port, config ? &changes : NULL, why);
	json_array_foreach (changes, i, change) {
		const char *name = json_string_value(change);

		if (n < DOMAIN_ERR_SIZE)
			n += (size_t)snprintf(ret_text + n, DOMAIN_ERR_SIZE - n, "%s%s=%s instead of %s", i ? ", " : "",
				name, value_text(json_object_get(config, name), buf, sizeof(buf)),
				text_of(port->params, name));
	}
	json_decref(changes);
	if (rc == CLI_REFUSED && (n || !config) && n < DOMAIN_ERR_SIZE)
		(void)snprintf(ret_text + n, DOMAIN_ERR_SIZE - n, "%s%s", n ? ": " : "", why);
	return rc == CLI_UNREACHABLE ? rc : CLI_OK;
}

// Takes those off the list that a QEMU is connected to.
static unsigned
keep_used(json_t *list, const char *uuid)
{
	unsigned n_kept = 0;

	for (size_t i = json_array_size(list); i-- > 0;) {
		const json_t *port = json_array_get(list, i), *config = json_object_get(port, "config");

		if (strcmp(text_of(config, "domain_uuid"), uuid) || !text_of(config, "socket")[0] ||
			!json_is_true(json_object_get(port, "connected")))
			continue;
		(void)json_array_remove(list, i);
		n_kept++;
	}
	return n_kept;
}

enum cli_exit
ports_remove(struct ports *p, const char *uuid, char *err)
{
	json_t *list = NULL;
	enum cli_exit rc = list_ports(p, &list, err);

	p->n_kept = rc == CLI_OK && p->keeps_used ? keep_used(list, uuid) : 0;
	if (rc == CLI_OK)
		rc = remove_others(p, list, uuid, NULL, NULL);
	json_decref(list);
	return rc;
}

enum cli_exit
ports_remove_one(const struct ports *p, const char *uuid, const char *name)
{
	const json_t *config;
	json_t *list = NULL;
	enum cli_exit rc = list_ports(p, &list, NULL);

	config = rc == CLI_OK ? find_port(list, name) : NULL;
	if (config && !strcmp(text_of(config, "domain_uuid"), uuid))
		rc = remove_port(p, list, name, "it is asked for no longer", NULL);
	json_decref(list);
	return rc;
}
