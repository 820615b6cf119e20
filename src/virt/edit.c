// Trees of libxml2: a copy of the domain that is changed in memory. It came from libvirt, which had
// parsed it; this file does not repeat the checks of domain_parse. The element keeps its content
// beside the ports (comments).
#include "edit.h"

#include "tree.h"

#include <errno.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PREFIX "rtvs"

struct edit {
	xmlDoc *doc;
};

static xmlNode *
root_of(const struct edit *e)
{
	return xmlDocGetRootElement(e->doc);
}

static xmlNode *
ports_of(const struct edit *e)
{
	return tree_child(tree_child(root_of(e), "metadata", NULL), "ports", DOMAIN_NAMESPACE);
}

static bool
is_attribute(const xmlNode *node, const char *name, const char *expected)
{
	char value[EDIT_TEXT_SIZE];

	(void)tree_attribute(node, name, value, sizeof(value));
	return !strcasecmp(value, expected);
}

int
edit_open(const char *xml, struct edit **ret_edit, char err[DOMAIN_ERR_SIZE])
{
	struct edit *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->doc = xmlReadMemory(xml, (int)strlen(xml), NULL, NULL,
		XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_BIG_LINES);
	if (!e->doc || !root_of(e) || !tree_is_element(root_of(e), "domain", NULL)) {
		(void)snprintf(err, DOMAIN_ERR_SIZE, "libvirt's description of the domain is not one");
		edit_close(e);
		return -EINVAL;
	}
	*ret_edit = e;
	return 0;
}

void
edit_close(struct edit *e)
{
	if (!e)
		return;
	xmlFreeDoc(e->doc);
	free(e);
}

static xmlNode *
find_element(const struct edit *e, const char *mac)
{
	xmlNode *ports = ports_of(e);

	for (xmlNode *p = ports ? ports->children : NULL; p; p = p->next)
		if (tree_is_element(p, "port", DOMAIN_NAMESPACE) && is_attribute(p, "mac", mac))
			return p;
	return NULL;
}

// Of those that a port of the switch may be for.
static bool
is_ours(const xmlNode *iface)
{
	return tree_is_element(iface, "interface", NULL) &&
		(is_attribute(iface, "type", "vhostuser") || is_attribute(iface, "type", "vdpa"));
}

static xmlNode *
find_interface(const struct edit *e, const char *mac, bool is_any_type)
{
	const xmlNode *devices = tree_child(root_of(e), "devices", NULL);

	for (xmlNode *i = devices ? devices->children : NULL; i; i = i->next)
		if (tree_is_element(i, "interface", NULL) && is_attribute(tree_child(i, "mac", NULL), "address", mac) &&
			(is_any_type || is_ours(i)))
			return i;
	return NULL;
}

static void
lower(char *text)
{
	for (; *text; text++)
		if (*text >= 'A' && *text <= 'Z')
			*text = (char)(*text - 'A' + 'a');
}

// Either may be NULL. A port without a name of its own has that of its socket's file.
static void
describe(const xmlNode *iface, const xmlNode *element, struct edit_port *p)
{
	*p = (struct edit_port){.has_interface = iface, .has_element = element};
	if (iface)
		(void)tree_attribute(tree_child(iface, "mac", NULL), "address", p->mac, sizeof(p->mac));
	else
		(void)tree_attribute(element, "mac", p->mac, sizeof(p->mac));
	lower(p->mac);
	(void)tree_attribute(iface ? tree_child(iface, "alias", NULL) : NULL, "name", p->alias, sizeof(p->alias));
	(void)tree_attribute(element, "name", p->name, sizeof(p->name));
	if (!p->name[0] && iface) {
		char path[EDIT_TEXT_SIZE];

		(void)tree_attribute(tree_child(iface, "source", NULL),
			is_attribute(iface, "type", "vdpa") ? "dev" : "path", path, sizeof(path));
		domain_name_of_socket(path, p->name);
	}
}

bool
edit_port_at(const struct edit *e, unsigned i, struct edit_port *ret_port)
{
	const xmlNode *devices = tree_child(root_of(e), "devices", NULL), *ports = ports_of(e);
	char mac[DOMAIN_MAC_SIZE];

	for (const xmlNode *n = devices ? devices->children : NULL; n; n = n->next) {
		if (!is_ours(n) || i--)
			continue;
		(void)tree_attribute(tree_child(n, "mac", NULL), "address", mac, sizeof(mac));
		describe(n, find_element(e, mac), ret_port);
		return true;
	}
	for (const xmlNode *n = ports ? ports->children : NULL; n; n = n->next) {
		if (!tree_is_element(n, "port", DOMAIN_NAMESPACE))
			continue;
		(void)tree_attribute(n, "mac", mac, sizeof(mac));
		if (find_interface(e, mac, false) || i--)
			continue;
		describe(NULL, n, ret_port);
		return true;
	}
	return false;
}

bool
edit_find(const struct edit *e, const char *which, struct edit_port *ret_port)
{
	struct edit_port p;

	for (unsigned i = 0; which[0] && edit_port_at(e, i, &p); i++) {
		if (strcasecmp(p.mac, which) && strcmp(p.alias, which) && strcmp(p.name, which))
			continue;
		*ret_port = p;
		return true;
	}
	return false;
}

bool
edit_has_mac(const struct edit *e, const char *mac)
{
	return find_element(e, mac) || find_interface(e, mac, true);
}

bool
edit_is_memory_shared(const struct edit *e)
{
	return tree_is_memory_shared(root_of(e));
}

// libvirt may have any prefix for our name space, or none.
static xmlNode *
make_ports(struct edit *e)
{
	xmlNode *metadata = tree_child(root_of(e), "metadata", NULL), *ports = ports_of(e);

	if (ports)
		return ports;
	if (!metadata)
		metadata = xmlNewChild(root_of(e), NULL, (const xmlChar *)"metadata", NULL);
	ports = metadata ? xmlNewChild(metadata, NULL, (const xmlChar *)"ports", NULL) : NULL;
	if (ports)
		xmlSetNs(ports, xmlNewNs(ports, (const xmlChar *)DOMAIN_NAMESPACE, (const xmlChar *)PREFIX));
	return ports;
}

int
edit_set_port(struct edit *e, const char *mac, const struct edit_pair *pairs, unsigned n_pairs)
{
	xmlNode *ports = make_ports(e), *port = find_element(e, mac);
	bool is_done = true;

	if (ports && !port) {
		port = xmlNewChild(ports, ports->ns, (const xmlChar *)"port", NULL);
		is_done = port && xmlSetProp(port, (const xmlChar *)"mac", (const xmlChar *)mac);
	}
	if (!port || !is_done)
		return -ENOMEM;
	for (unsigned i = 0; i < n_pairs; i++) {
		const xmlChar *name = (const xmlChar *)pairs[i].name;

		if (!pairs[i].value[0] && strcmp(pairs[i].name, "bridge"))
			(void)xmlUnsetProp(port, name);
		else if (!xmlSetProp(port, name, (const xmlChar *)pairs[i].value))
			return -ENOMEM;
	}
	return 0;
}

void
edit_remove_port(struct edit *e, const char *mac)
{
	xmlNode *port;

	while ((port = find_element(e, mac))) {
		xmlUnlinkNode(port);
		xmlFreeNode(port);
	}
}

int
edit_add_interface(struct edit *e, const char *xml)
{
	xmlNode *devices = tree_child(root_of(e), "devices", NULL), *copy;
	xmlDoc *doc = xmlReadMemory(
		xml, (int)strlen(xml), NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);

	if (!doc || !devices) {
		xmlFreeDoc(doc);
		return -EINVAL;
	}
	copy = xmlDocCopyNode(xmlDocGetRootElement(doc), e->doc, 1);
	xmlFreeDoc(doc);
	return copy && xmlAddChild(devices, copy) ? 0 : -ENOMEM;
}

// malloc's, whatever libxml2 allocates with.
static char *
to_text(xmlDoc *doc, xmlNode *node)
{
	xmlBuffer *buf = xmlBufferCreate();
	char *text = NULL;

	if (buf && xmlNodeDump(buf, doc, node, 0, 0) >= 0)
		text = strdup((const char *)xmlBufferContent(buf));
	xmlBufferFree(buf);
	return text;
}

char *
edit_text(const struct edit *e)
{
	return to_text(e->doc, root_of(e));
}

char *
edit_interface(const struct edit *e, const char *mac)
{
	xmlNode *iface = find_interface(e, mac, false);

	return iface ? to_text(e->doc, iface) : NULL;
}

static void
copy_port(xmlDoc *doc, xmlNode *to, const xmlNode *from)
{
	xmlNode *port = xmlNewDocNode(doc, NULL, from->name, NULL);

	if (!port)
		return;
	for (const xmlAttr *a = from->properties; a; a = a->next) {
		xmlChar *value = xmlGetNoNsProp((xmlNode *)from, a->name);

		(void)xmlNewProp(port, a->name, value);
		xmlFree(value);
	}
	(void)xmlAddChild(to, port);
}

char *
edit_metadata(const struct edit *e)
{
	xmlNode *from = ports_of(e), *ports;
	xmlDoc *doc = xmlNewDoc((const xmlChar *)"1.0");
	bool has_ports = false;
	char *text = NULL;

	ports = doc ? xmlNewDocNode(doc, NULL, (const xmlChar *)"ports", NULL) : NULL;
	if (ports)
		(void)xmlDocSetRootElement(doc, ports);
	for (const xmlNode *n = from ? from->children : NULL; n && ports; n = n->next) {
		if (n->type == XML_COMMENT_NODE)
			(void)xmlAddChild(ports, xmlNewDocComment(doc, n->content));
		if (n->type != XML_ELEMENT_NODE)
			continue;
		has_ports = true;
		copy_port(doc, ports, n);
	}
	if (has_ports && ports)
		text = to_text(doc, ports);
	xmlFreeDoc(doc);
	return text;
}
