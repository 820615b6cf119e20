// libxml2's trees of libvirt's domains (https://libvirt.org/formatdomain.html). Keeps no pointers
// into them.
#include "tree.h"

#include <string.h>

bool
tree_is_element(const xmlNode *node, const char *name, const char *ns)
{
	return node->type == XML_ELEMENT_NODE && !strcmp((const char *)node->name, name) &&
		(ns ? node->ns && !strcmp((const char *)node->ns->href, ns) : !node->ns);
}

xmlNode *
tree_child(const xmlNode *node, const char *name, const char *ns)
{
	for (xmlNode *c = node ? node->children : NULL; c; c = c->next)
		if (tree_is_element(c, name, ns))
			return c;
	return NULL;
}

bool
tree_attribute(const xmlNode *node, const char *name, char *buf, size_t size)
{
	xmlChar *value = node ? xmlGetNoNsProp((xmlNode *)node, (const xmlChar *)name) : NULL;
	size_t len = value ? strlen((const char *)value) : size;

	buf[0] = '\0';
	if (len < size)
		memcpy(buf, value, len + 1);
	xmlFree(value);
	return len < size;
}

static bool
is_shared(const xmlNode *node, const char *name)
{
	char value[16];

	return tree_attribute(node, name, value, sizeof(value)) && !strcmp(value, "shared");
}

// QEMU and the daemon both must see it.
bool
tree_is_memory_shared(const xmlNode *domain)
{
	const xmlNode *backing = tree_child(domain, "memoryBacking", NULL);
	const xmlNode *numa = tree_child(tree_child(domain, "cpu", NULL), "numa", NULL);
	unsigned n = 0;

	if (is_shared(tree_child(backing, "access", NULL), "mode"))
		return true;
	for (const xmlNode *cell = numa ? numa->children : NULL; cell; cell = cell->next)
		if (tree_is_element(cell, "cell", NULL) && ++n && !is_shared(cell, "memAccess"))
			return false;
	return n > 0;
}
