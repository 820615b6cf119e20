// Both QEMUs run on one host for a while. What has a name there needs another one in the second: a
// socket gets the suffix, and loses it with the next move. What exists once, as a device of the
// host, cannot be moved. libvirt itself compares the rest: it refuses an XML that would change the
// guest's machine.
#include "dxml.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QEMU_NAMESPACE "http://libvirt.org/schemas/domain/qemu/1.0"

static bool
is_element(const xmlNode *node, const char *name)
{
	return node->type == XML_ELEMENT_NODE && !strcmp((const char *)node->name, name);
}

static xmlNode *
find_child(const xmlNode *parent, const char *name)
{
	for (xmlNode *node = parent ? parent->children : NULL; node; node = node->next)
		if (is_element(node, name))
			return node;
	return NULL;
}

// Compares an attribute. False, too, where there is none, or no element.
static bool
has_value(const xmlNode *node, const char *attribute, const char *value)
{
	xmlChar *text = node ? xmlGetProp(node, (const xmlChar *)attribute) : NULL;
	bool is_same = text && !strcmp((const char *)text, value);

	xmlFree(text);
	return is_same;
}

// NULL: not a domain.
static xmlDoc *
parse(const char *xml)
{
	size_t len = strlen(xml);
	xmlDoc *doc = len > INT32_MAX ?
		NULL :
		xmlReadMemory(xml, (int)len, NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;

	if (!root || !is_element(root, "domain")) {
		xmlFreeDoc(doc);
		return NULL;
	}
	return doc;
}

// ---- what is in the way

static void
check_memory(const xmlNode *root, struct reasons *reasons)
{
	const xmlNode *backing = find_child(root, "memoryBacking");

	if (!has_value(find_child(backing, "source"), "type", "file") ||
		!has_value(find_child(backing, "access"), "mode", "shared"))
		reasons_add(reasons,
			"its memory is in no file that two processes can share: it needs <memoryBacking><source "
			"type='file'/><access mode='shared'/></memoryBacking>, from its next start on");
	if (find_child(backing, "hugepages"))
		reasons_add(reasons, "<hugepages>: such memory has no name");
	if (find_child(backing, "discard"))
		reasons_add(reasons, "<discard>: the memory would be emptied at the end of the source");
	if (has_value(find_child(backing, "allocation"), "mode", "immediate"))
		reasons_add(reasons, "<allocation mode='immediate'>: the destination would write to memory in use");
}

static void
check_interface(const xmlNode *node, struct reasons *reasons)
{
	if (!has_value(node, "type", "vhostuser"))
		reasons_add(reasons, "an <interface> is not of type='vhostuser'");
	else if (has_value(find_child(node, "source"), "mode", "server"))
		reasons_add(reasons, "QEMU listens on the socket of an <interface>: it needs mode='client'");
}

static void
check_graphics(const xmlNode *node, struct reasons *reasons)
{
	if ((has_value(node, "type", "vnc") || has_value(node, "type", "spice")) && !has_value(node, "autoport", "yes"))
		reasons_add(reasons,
			"<graphics> has a fixed port or socket, which one process has: it needs autoport='yes'");
}

bool
dxml_check(const char *xml, bool is_plain, struct reasons *reasons)
{
	// They have state outside of QEMU, or a device of the host.
	static const char *const refused[] = {
		"hostdev", "tpm", "filesystem", "vsock", "shmem", "redirdev", "smartcard"};
	unsigned n_before = reasons->n;
	xmlDoc *doc = parse(xml);
	const xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL, *devices = find_child(root, "devices");

	if (!doc) {
		reasons_add(reasons, "libvirt's XML of the domain cannot be read");
		return false;
	}
	if (!is_plain)
		check_memory(root, reasons);
	for (const xmlNode *node = devices ? devices->children : NULL; node; node = node->next) {
		for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
			if (is_element(node, refused[i]))
				reasons_add(reasons, "a <%s> cannot be in two processes: detach it", refused[i]);
		if (is_element(node, "memory") && !is_plain)
			reasons_add(reasons, "a <memory> device has memory of its own, which would be left behind");
		if (is_element(node, "interface"))
			check_interface(node, reasons);
		if (is_element(node, "graphics"))
			check_graphics(node, reasons);
	}
	xmlFreeDoc(doc);
	return reasons->n == n_before;
}

// ---- the destination

// False: no memory.
static bool
rename_socket(xmlNode *source, unsigned *ret_renamed)
{
	xmlChar *path = xmlGetProp(source, (const xmlChar *)"path");
	char *other = NULL;
	size_t len = path ? strlen((const char *)path) : 0, suffix = strlen(DXML_SUFFIX);
	bool is_ok = true;

	if (len > suffix && !strcmp((const char *)path + len - suffix, DXML_SUFFIX))
		other = strndup((const char *)path, len - suffix);
	else if (path && asprintf(&other, "%s" DXML_SUFFIX, (const char *)path) < 0)
		other = NULL;
	if (path)
		is_ok = other && xmlSetProp(source, (const xmlChar *)"path", (const xmlChar *)other);
	*ret_renamed += other != NULL;
	free(other);
	xmlFree(path);
	return is_ok;
}

// A character device of any kind.
static bool
change_chardev(const xmlNode *device, unsigned *ret_renamed)
{
	xmlNode *source = find_child(device, "source");

	if (source && has_value(device, "type", "unix") && has_value(source, "mode", "bind"))
		return rename_socket(source, ret_renamed);
	if (source && has_value(device, "type", "file"))
		return xmlSetProp(source, (const xmlChar *)"append", (const xmlChar *)"on");
	return true;
}

// Removes what an earlier move added.
static void
remove_arguments(const xmlNode *commandline)
{
	xmlNode *node = commandline->children, *next;

	for (; node; node = next) {
		xmlChar *value = is_element(node, "arg") ? xmlGetProp(node, (const xmlChar *)"value") : NULL;
		xmlNode *previous = node->prev;

		next = node->next;
		if (!value || !strstr((const char *)value, DXML_CHARDEV)) {
			xmlFree(value);
			continue;
		}
		xmlFree(value);
		while (previous && previous->type != XML_ELEMENT_NODE)
			previous = previous->prev;
		if (previous) { // -chardev or -mon
			xmlUnlinkNode(previous);
			xmlFreeNode(previous);
		}
		xmlUnlinkNode(node);
		xmlFreeNode(node);
	}
}

static bool
add_argument(xmlNode *commandline, const char *value)
{
	xmlNode *node = xmlNewChild(commandline, commandline->ns, (const xmlChar *)"arg", NULL);

	return node && xmlSetProp(node, (const xmlChar *)"value", (const xmlChar *)value);
}

static bool
add_qmp(xmlNode *root, xmlNode *commandline, const char *qmp)
{
	char *chardev = NULL;
	bool is_ok;

	if (!commandline) {
		xmlNs *ns = xmlSearchNsByHref(root->doc, root, (const xmlChar *)QEMU_NAMESPACE);

		if (!ns)
			ns = xmlNewNs(root, (const xmlChar *)QEMU_NAMESPACE, (const xmlChar *)"qemu");
		commandline = ns ? xmlNewChild(root, ns, (const xmlChar *)"commandline", NULL) : NULL;
	}
	if (!commandline || asprintf(&chardev, "socket,id=" DXML_CHARDEV ",path=%s,server=on,wait=off", qmp) < 0)
		return false;
	is_ok = add_argument(commandline, "-chardev") && add_argument(commandline, chardev) &&
		add_argument(commandline, "-mon") && add_argument(commandline, "chardev=" DXML_CHARDEV ",mode=control");
	free(chardev);
	return is_ok;
}

char *
dxml_make(const char *xml, const char *qmp, unsigned *ret_renamed)
{
	xmlDoc *doc = parse(xml);
	xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL, *devices = find_child(root, "devices"),
		*commandline = find_child(root, "commandline");
	bool is_ok = doc;
	unsigned n = 0;
	xmlChar *text = NULL;
	int size;

	for (const xmlNode *node = devices ? devices->children : NULL; is_ok && node; node = node->next)
		if (is_element(node, "serial") || is_element(node, "console") || is_element(node, "parallel") ||
			is_element(node, "channel"))
			is_ok = change_chardev(node, &n);
	if (is_ok && commandline)
		remove_arguments(commandline);
	if (is_ok && qmp)
		is_ok = add_qmp(root, commandline, qmp);
	if (is_ok)
		xmlDocDumpMemory(doc, &text, &size);
	xmlFreeDoc(doc);
	if (text)
		*ret_renamed = n;
	return (char *)text;
}
