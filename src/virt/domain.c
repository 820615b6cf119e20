// Reads libvirt's domain XML with libxml2: no network, no entities, no DTD, libxml2's own limits on
// depth and names. An error of the whole fails the call. An error of one port is kept with the
// port, since its element says whether the guest shall start nevertheless. Values are not checked
// here: the daemon, whose table has their ranges, refuses wrong ones.
#include "domain.h"

#include "rtvs/text.h"
#include "rtvs/units.h"
#include "tree.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_SIZE 4096 // of an attribute
#define HASH_SIZE 9 // -%08x

// The first of a port's errors is kept. Texts of the document are in it: no control characters.
__attribute__((format(printf, 3, 4))) static int
refuse(char err[DOMAIN_ERR_SIZE], const xmlNode *node, const char *fmt, ...)
{
	const char *prefix = node->ns && node->ns->prefix ? (const char *)node->ns->prefix : NULL;
	va_list args;
	int n;

	if (err[0])
		return -EINVAL;
	n = snprintf(err, DOMAIN_ERR_SIZE, "line %ld: <%.32s%s%.64s>: ", xmlGetLineNo((xmlNode *)node),
		prefix ? prefix : "", prefix ? ":" : "", (const char *)node->name);
	va_start(args, fmt);
	(void)vsnprintf(err + n, DOMAIN_ERR_SIZE - (size_t)n, fmt, args);
	va_end(args);
	for (char *c = err; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	return -EINVAL;
}

// The first child of that name among libvirt's own elements.
static const xmlNode *
child(const xmlNode *node, const char *name)
{
	return tree_child(node, name, NULL);
}

static bool
is_attribute(const xmlNode *node, const char *name, const char *expected)
{
	char value[VALUE_SIZE];

	return tree_attribute(node, name, value, sizeof(value)) && !strcmp(value, expected);
}

bool
domain_mac(const char *text, char ret_mac[DOMAIN_MAC_SIZE])
{
	char mac[DOMAIN_MAC_SIZE];

	if (strlen(text) != DOMAIN_MAC_SIZE - 1)
		return false;
	for (unsigned i = 0; i < DOMAIN_MAC_SIZE - 1; i++) {
		if (i % 3 == 2 ? text[i] != ':' : !isxdigit((unsigned char)text[i]))
			return false;
		mac[i] = (char)tolower((unsigned char)text[i]);
	}
	mac[DOMAIN_MAC_SIZE - 1] = '\0';
	memcpy(ret_mac, mac, sizeof(mac));
	return true;
}

// One - for each character of UTF-8.
bool
domain_fit_name(const char *text, char *ret_name, size_t size)
{
	static const char alnum[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	bool is_same = true;
	size_t n = 0;

	for (; *text && n < size - 1; text++) {
		bool is_alnum = strchr(alnum, *text), is_kept = is_alnum || (n && strchr("_.:-", *text));

		is_same &= is_kept;
		if (is_kept || (n && ((unsigned char)*text & 0xc0) != 0x80))
			ret_name[n++] = is_kept ? *text : '-';
	}
	ret_name[n] = '\0';
	return is_same && !*text && n;
}

// FNV-1a (RFC draft-eastlake-fnv), 32 bits.
static uint32_t
hash_of(const char *text)
{
	uint32_t hash = 2166136261u;

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 16777619u;
	return hash;
}

void
domain_name_of_socket(const char *path, char ret_name[RTVS_NAME_SIZE])
{
	const char *slash = strrchr(path, '/');
	char file[DOMAIN_PATH_SIZE], name[RTVS_NAME_SIZE - HASH_SIZE];
	size_t len;

	(void)snprintf(file, sizeof(file), "%s", slash ? slash + 1 : path);
	len = strlen(file);
	if (len > 5 && (!strcmp(file + len - 5, ".sock") || !strcmp(file + len - 5, ".vdpa")))
		file[len - 5] = '\0';
	if (domain_fit_name(file, ret_name, RTVS_NAME_SIZE))
		return;
	(void)domain_fit_name(file, name, sizeof(name));
	(void)snprintf(ret_name, RTVS_NAME_SIZE, "%s-%08x", name[0] ? name : "port", hash_of(path));
}

static bool
parse_mac(const xmlNode *node, const char *name, char mac[DOMAIN_MAC_SIZE])
{
	char value[DOMAIN_MAC_SIZE];

	return tree_attribute(node, name, value, sizeof(value)) && domain_mac(value, mac);
}

static void
set_param(struct domain_port *p, const char *name, const char *value)
{
	(void)json_object_set_new(p->params, name, json_string(value));
}

const char *
domain_port_name(const struct domain_port *p)
{
	const char *name = json_string_value(json_object_get(p->params, "name"));

	return name ? name : "";
}

// Which interface is meant, and what becomes of the guest when it cannot be.
static void
read_identity(struct domain_port *p, const xmlNode *element)
{
	char value[VALUE_SIZE];

	p->is_optional = is_attribute(element, "onerror", "ignore");
	if (!p->is_optional && tree_attribute(element, "onerror", value, sizeof(value)) && strcmp(value, "fail"))
		refuse(p->err, element, "onerror: must be fail or ignore, not '%.32s'", value);
	if (!parse_mac(element, "mac", p->mac))
		refuse(p->err, element, "mac: needed, the address of an interface, like 52:54:00:00:00:01");
}

static const xmlNode *
find_interface(struct domain_port *p, const xmlNode *devices)
{
	const xmlNode *found = NULL;
	char mac[DOMAIN_MAC_SIZE];

	for (const xmlNode *iface = devices ? devices->children : NULL; iface; iface = iface->next) {
		if (!tree_is_element(iface, "interface", NULL) || !parse_mac(child(iface, "mac"), "address", mac) ||
			strcmp(mac, p->mac))
			continue;
		if (!is_attribute(iface, "type", "vhostuser") && !is_attribute(iface, "type", "vdpa"))
			refuse(p->err, iface, "must be of type='vhostuser' or 'vdpa': line %u has its MAC, %s", p->line,
				p->mac);
		else if (found)
			refuse(p->err, iface, "another interface has the MAC %s, too", p->mac);
		else
			found = iface;
	}
	return found;
}

// kB/s, as libvirt counts; 0: not given.
static uint64_t
read_bandwidth(struct domain_port *p, const xmlNode *node, const char *name, const char *param)
{
	char value[32], text[UNITS_TEXT_SIZE];
	uint64_t kBps;
	char *end;

	if (!node || !xmlHasProp((xmlNode *)node, (const xmlChar *)name))
		return 0;
	errno = 0;
	kBps = tree_attribute(node, name, value, sizeof(value)) && isdigit((unsigned char)value[0]) ?
		strtoull(value, &end, 10) :
		0;
	if (!kBps || errno || *end || kBps > UINT64_MAX / 8000) {
		refuse(p->err, node, "%s: must be a number of kilobytes a second", name);
		return 0;
	}
	set_param(p, param, units_format_rate(kBps * 8000, text));
	return kBps;
}

// Attributes with words of libvirt's own; the element may override them.
static void
read_libvirts_words(struct domain_port *p, const xmlNode *iface)
{
	const xmlNode *bandwidth = child(iface, "bandwidth"), *in = child(bandwidth, "inbound");
	uint64_t average, floor;
	char value[VALUE_SIZE];

	if (tree_attribute(child(iface, "mtu"), "size", value, sizeof(value)))
		set_param(p, "mtu", value);
	(void)read_bandwidth(p, child(bandwidth, "outbound"), "average", "max_rate");
	average = read_bandwidth(p, in, "average", "rate");
	floor = read_bandwidth(p, in, "floor", "min_rate");
	if (average && floor > average)
		refuse(p->err, in, "floor: must be at most average, %" PRIu64, average);
}

static bool
is_known(const char *name)
{
	for (const struct domain_attribute *a = domain_attributes; a->name; a++)
		if (!strcmp(a->name, name))
			return true;
	return !strcmp(name, "mac") || !strcmp(name, "name") || !strcmp(name, "onerror") || !strcmp(name, "socket") ||
		!strcmp(name, "mode") || !strcmp(name, "type") || !strcmp(name, "vdpa");
}

static void
refuse_unknown(struct domain_port *p, const xmlNode *element, const xmlAttr *attribute)
{
	const char *name = (const char *)attribute->name;

	if (attribute->ns) {
		refuse(p->err, element, "%.32s:%.64s: its attributes have no prefix: write %.64s='...'",
			attribute->ns->prefix ? (const char *)attribute->ns->prefix : "", name, name);
		return;
	}
	for (const struct domain_attribute *a = domain_attributes; a->name; a++) {
		if (!text_is_near(name, a->name))
			continue;
		refuse(p->err, element, "there is no attribute '%.64s'; did you mean '%s'?", name, a->name);
		return;
	}
	refuse(p->err, element, "there is no attribute '%.64s'; rtvs-virt(1) has those that there are", name);
}

static void
read_attributes(struct domain_port *p, const xmlNode *element)
{
	char value[VALUE_SIZE];

	for (const xmlAttr *a = element->properties; a; a = a->next) {
		const char *name = (const char *)a->name;

		if (a->ns || !is_known(name))
			refuse_unknown(p, element, a);
		else if (!tree_attribute(element, name, value, sizeof(value)))
			refuse(p->err, element, "%s: at most %d bytes", name, VALUE_SIZE - 1);
		else if (!strcmp(name, "socket") && value[0] != '/')
			refuse(p->err, element, "socket: must be the path of a socket");
		else if (!strcmp(name, "mode") && strcmp(value, "listen") && strcmp(value, "connect"))
			refuse(p->err, element, "mode: must be listen or connect");
		else if (!strcmp(name, "type") && strcmp(value, "vhost") && strcmp(value, "vduse"))
			refuse(p->err, element, "type: must be vhost or vduse");
		else if (strcmp(name, "mac") && strcmp(name, "onerror"))
			set_param(p, name, value);
	}
	// The switch guards nothing that a vDPA device moves.
	if (!xmlHasProp((xmlNode *)element, (const xmlChar *)"allowed_macs") && !json_object_get(p->params, "vdpa"))
		set_param(p, "allowed_macs", p->mac);
}

// The texts of its <rule> elements.
static int
read_rules(struct domain_port *p, const xmlNode *element)
{
	size_t size;
	FILE *out = NULL;

	for (const xmlNode *node = element->children; node; node = node->next) {
		xmlChar *text;

		if (node->type != XML_ELEMENT_NODE)
			continue;
		if (!tree_is_element(node, "rule", DOMAIN_NAMESPACE)) {
			refuse(p->err, node, "only <rule> belongs into <port>");
			continue;
		}
		out = out ? out : open_memstream(&p->rules, &size);
		text = xmlNodeGetContent(node);
		if (out && text)
			fprintf(out, "%s;", (const char *)text);
		xmlFree(text);
		if (!out || !text)
			break;
	}
	return !out || !fclose(out) ? 0 : -ENOMEM;
}

// The socket's file is called like the port, whose name it gives where the element has none.
static void
read_socket(struct domain_port *p, const xmlNode *iface)
{
	const xmlNode *source = child(iface, "source");
	char path[VALUE_SIZE], name[RTVS_NAME_SIZE];

	if (is_attribute(source, "mode", "server"))
		set_param(p, "mode", "connect");
	else if (is_attribute(source, "mode", "client"))
		set_param(p, "mode", "listen");
	else
		refuse(p->err, iface, "<source mode='...'>: must be client or server");
	if (!tree_attribute(source, "path", path, sizeof(path)) || path[0] != '/') {
		refuse(p->err, iface, "<source path='...'>: must be the path of a socket");
		return;
	}
	set_param(p, "socket", path);
	domain_name_of_socket(path, name);
	if (!domain_port_name(p)[0])
		set_param(p, "name", name);
}

// The kernel numbers its files as they come, so libvirt is given a link of the port's name.
static void
read_link(struct domain_port *p, const xmlNode *iface)
{
	const char *type = json_string_value(json_object_get(p->params, "type"));
	char path[DOMAIN_PATH_SIZE] = "", expected[DOMAIN_PATH_SIZE], name[RTVS_NAME_SIZE];

	(void)tree_attribute(child(iface, "source"), "dev", path, sizeof(path));
	domain_name_of_socket(path, name);
	if (!domain_port_name(p)[0])
		set_param(p, "name", name);
	(void)snprintf(expected, sizeof(expected), DOMAIN_RUN_DIR "/%.79s.vdpa", domain_port_name(p));
	if (strcmp(path, expected))
		refuse(p->err, iface,
			"<source dev='...'>: must be " DOMAIN_RUN_DIR "/NAME.vdpa, with the name of the port: the "
			"switch makes it a link to the port's /dev/vhost-vdpa-N");
	if (type && strcmp(type, "vduse"))
		refuse(p->err, iface, "line %u: type: must be vduse for an interface of type='vdpa'", p->line);
	set_param(p, "type", "vduse");
	p->has_link = true;
}

// The element names the socket, or the port's name does. An interface that is plugged in later must
// find it unchanged, since libvirt waits for it.
static void
wait_for_interface(struct domain_port *p, const xmlNode *element)
{
	char path[DOMAIN_PATH_SIZE];

	if (!domain_port_name(p)[0]) {
		refuse(p->err, element,
			"no interface of the domain has the MAC %s (a port that waits for one needs a name)", p->mac);
		return;
	}
	p->has_link = is_attribute(element, "type", "vduse");
	if (p->has_link)
		return;
	(void)snprintf(path, sizeof(path), DOMAIN_RUN_DIR "/%.79s.sock", domain_port_name(p));
	if (!json_object_get(p->params, "socket"))
		set_param(p, "socket", path);
	if (!json_object_get(p->params, "mode"))
		set_param(p, "mode", "listen");
}

static void
check_port(struct domain *d, struct domain_port *p, const xmlNode *element, const xmlNode *root)
{
	if (p->is_plugged && !tree_is_memory_shared(root))
		refuse(p->err, element,
			"the switch needs shared memory: give the domain <memoryBacking><source type='memfd'/>"
			"<access mode='shared'/></memoryBacking>, or <hugepages/> with that access");
	for (const struct domain_port *other = d->ports; other < p; other++) {
		if (p->mac[0] && !strcmp(p->mac, other->mac)) {
			refuse(p->err, element, "mac: line %u has %s, too", other->line, p->mac);
			p->is_plugged = false; // the interface is the other's
		}
		if (domain_port_name(p)[0] && !strcmp(domain_port_name(p), domain_port_name(other))) {
			refuse(p->err, element, "name: the port of line %u is called %s, too", other->line,
				domain_port_name(p));
			(void)json_object_del(p->params, "name"); // it stays unchanged in this case
		}
	}
	if (!xmlHasProp((xmlNode *)element, (const xmlChar *)"bridge"))
		refuse(p->err, element,
			"bridge: needed, without one the guest has no network (bridge='' if that is meant)");
}

// After an error the rest is still read: an optional port needs its socket.
static int
add_port(struct domain *d, const xmlNode *element, const xmlNode *root, char err[DOMAIN_ERR_SIZE])
{
	struct domain_port *p = &d->ports[d->n_ports];
	const xmlNode *iface;

	if (!tree_is_element(element, "port", DOMAIN_NAMESPACE))
		return refuse(err, element, "only <port> of the namespace " DOMAIN_NAMESPACE " belongs here");
	if (d->n_ports == DOMAIN_MAX_PORTS)
		return refuse(err, element, "more than %d ports", DOMAIN_MAX_PORTS);
	p->params = json_object();
	if (!p->params)
		return -ENOMEM;
	d->n_ports++;
	p->line = (unsigned)xmlGetLineNo((xmlNode *)element);
	read_identity(p, element);
	iface = find_interface(p, child(root, "devices"));
	p->is_plugged = iface;
	p->iface_line = iface ? (unsigned)xmlGetLineNo((xmlNode *)iface) : 0;
	for (const struct domain_attribute *a = domain_attributes; a->name; a++)
		if (a->def)
			set_param(p, a->name, a->def);
	if (iface)
		read_libvirts_words(p, iface);
	if (iface && child(iface, "mtu") && !d->mtu_line)
		d->mtu_line = (unsigned)xmlGetLineNo(child(iface, "mtu"));
	read_attributes(p, element);
	if (read_rules(p, element))
		return -ENOMEM;
	if (iface) {
		char queues[32];

		set_param(p, "queues",
			tree_attribute(child(iface, "driver"), "queues", queues, sizeof(queues)) ? queues : "1");
		if (is_attribute(iface, "type", "vdpa"))
			read_link(p, iface);
		else
			read_socket(p, iface);
	} else
		wait_for_interface(p, element);
	set_param(p, "domain", d->name);
	set_param(p, "domain_uuid", d->uuid);
	check_port(d, p, element, root);
	return 0;
}

// QEMU connects to the switch's socket when it starts, and waits.
static bool
read_socket_of(const struct domain *d, const xmlNode *iface, struct domain_socket *s)
{
	*s = (struct domain_socket){.line = (unsigned)xmlGetLineNo((xmlNode *)iface)};
	if (!tree_is_element(iface, "interface", NULL) || !is_attribute(iface, "type", "vhostuser") ||
		!tree_attribute(child(iface, "source"), "path", s->path, sizeof(s->path)))
		return false;
	s->is_switchs = is_attribute(child(iface, "source"), "mode", "client") &&
		!strncmp(s->path, DOMAIN_RUN_DIR "/", sizeof(DOMAIN_RUN_DIR));
	(void)parse_mac(child(iface, "mac"), "address", s->mac);
	for (unsigned i = 0; i < d->n_ports; i++)
		s->has_element |= !strcmp(d->ports[i].mac, s->mac);
	for (unsigned i = 0; i < d->n_sockets && !s->twin_line; i++)
		if (!strcmp(d->sockets[i].path, s->path))
			s->twin_line = d->sockets[i].line;
	return s->is_switchs || d->n_ports;
}

static void
read_sockets(struct domain *d, const xmlNode *devices)
{
	for (const xmlNode *iface = devices ? devices->children : NULL; iface; iface = iface->next)
		if (d->n_sockets < DOMAIN_MAX_PORTS)
			d->n_sockets += read_socket_of(d, iface, &d->sockets[d->n_sockets]);
}

// A port that waits for an interface, with the socket of an existing one: a copied domain's MAC is
// new, its element has the old one.
static void
check_waiting(const struct domain *d, struct domain_port *p)
{
	const char *path = json_string_value(json_object_get(p->params, "socket"));

	for (unsigned i = 0; i < d->n_sockets && !p->is_plugged && !p->err[0]; i++)
		if (!d->sockets[i].has_element && !strcmp(path ? path : "", d->sockets[i].path))
			(void)snprintf(p->err, DOMAIN_ERR_SIZE,
				"line %u: <port mac='%s'>: mac: the interface with its socket, line %u, has the MAC %s",
				p->line, p->mac, d->sockets[i].line, d->sockets[i].mac);
}

// Cut where it is too long, between two characters.
static bool
read_text(const xmlNode *node, char *buf, size_t size)
{
	xmlChar *text = node ? xmlNodeGetContent(node) : NULL;
	size_t len = text ? strlen((const char *)text) : 0;

	if (len >= size)
		for (len = size - 1; len && ((unsigned char)text[len] & 0xc0) == 0x80;)
			len--;
	if (text)
		memcpy(buf, text, len);
	buf[len] = '\0';
	xmlFree(text);
	return len;
}

static int
read_domain(struct domain *d, const xmlNode *root, char err[DOMAIN_ERR_SIZE])
{
	const xmlNode *metadata = child(root, "metadata");
	int rc = 0;

	if (!tree_is_element(root, "domain", NULL))
		return refuse(err, root, "not a libvirt domain");
	if (!read_text(child(root, "name"), d->name, sizeof(d->name)))
		return refuse(err, root, "<name>: needed");
	if (!read_text(child(root, "uuid"), d->uuid, sizeof(d->uuid)) || strlen(d->uuid) != DOMAIN_UUID_SIZE - 1)
		return refuse(err, root, "<uuid>: needed, %d characters", DOMAIN_UUID_SIZE - 1);
	for (const xmlNode *ports = metadata ? metadata->children : NULL; ports; ports = ports->next) {
		if (!tree_is_element(ports, "ports", DOMAIN_NAMESPACE))
			continue;
		for (const xmlNode *port = ports->children; port && !rc; port = port->next)
			if (port->type == XML_ELEMENT_NODE)
				rc = add_port(d, port, root, err);
	}
	read_sockets(d, child(root, "devices"));
	for (unsigned i = 0; i < d->n_ports; i++)
		check_waiting(d, &d->ports[i]);
	return rc;
}

// Before its declarations are read.
static void
refuse_doctype(void *ctx, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
	xmlParserCtxt *parser = ctx;

	(void)name;
	(void)external;
	(void)system;
	*(bool *)parser->_private = true;
	xmlStopParser(parser);
}

static int
parse_document(const char *xml, size_t len, xmlDoc **ret_doc, char err[DOMAIN_ERR_SIZE])
{
	xmlParserCtxt *parser = xmlNewParserCtxt();
	bool has_doctype = false;
	const xmlError *error;
	xmlDoc *doc;

	if (!parser)
		return -ENOMEM;
	parser->_private = &has_doctype;
	parser->sax->internalSubset = refuse_doctype;
	doc = xmlCtxtReadMemory(parser, xml, (int)len, NULL, NULL,
		XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_BIG_LINES);
	error = xmlCtxtGetLastError(parser);
	if (has_doctype)
		(void)snprintf(err, DOMAIN_ERR_SIZE, "line %d: <!DOCTYPE> is not accepted",
			parser->input ? parser->input->line : 1);
	else if (!doc)
		(void)snprintf(err, DOMAIN_ERR_SIZE, "line %d: not XML: %s", error ? error->line : 1,
			error && error->message ? error->message : "nothing there");
	err[strcspn(err, "\n")] = '\0';
	if (has_doctype) {
		xmlFreeDoc(doc);
		doc = NULL;
	}
	xmlFreeParserCtxt(parser);
	*ret_doc = doc;
	return doc ? 0 : -EINVAL;
}

int
domain_parse(const char *xml, size_t len, struct domain **ret_domain, char err[DOMAIN_ERR_SIZE])
{
	struct domain *d;
	xmlDoc *doc;
	int rc;

	err[0] = '\0';
	if (len > DOMAIN_MAX_BYTES) {
		(void)snprintf(err, DOMAIN_ERR_SIZE, "the domain's XML is longer than %u bytes", DOMAIN_MAX_BYTES);
		return -EINVAL;
	}
	rc = parse_document(xml, len, &doc, err);
	if (rc)
		return rc;
	d = calloc(1, sizeof(*d));
	rc = d ? read_domain(d, xmlDocGetRootElement(doc), err) : -ENOMEM;
	xmlFreeDoc(doc);
	if (rc) {
		domain_free(d);
		return rc;
	}
	*ret_domain = d;
	return 0;
}

void
domain_free(struct domain *d)
{
	for (unsigned i = 0; d && i < d->n_ports; i++) {
		json_decref(d->ports[i].params);
		free(d->ports[i].rules);
	}
	free(d);
}

const char *
domain_refusal(const struct domain *d)
{
	for (unsigned i = 0; i < d->n_ports; i++)
		if (d->ports[i].err[0] && !d->ports[i].is_optional)
			return d->ports[i].err;
	return NULL;
}

json_t *
domain_port_fallback(const struct domain_port *p)
{
	static const char *const kept[] = {"name", "type", "socket", "mode", "queues", "domain", "domain_uuid"};
	json_t *params = json_object();

	for (const struct domain_attribute *a = domain_attributes; a->name; a++)
		if (a->def)
			(void)json_object_set_new(params, a->name, json_string(a->def));
	for (unsigned i = 0; i < sizeof(kept) / sizeof(*kept); i++)
		if (json_object_get(p->params, kept[i]))
			(void)json_object_set(params, kept[i], json_object_get(p->params, kept[i]));
	return params;
}
