// Reading a domain's tree, for checks (domain.h) and for changes (edit.h).
#pragma once

#include <libxml/tree.h>
#include <stdbool.h>
#include <stddef.h>

// ns NULL: one of libvirt's own, in no name space.
bool tree_is_element(const xmlNode *node, const char *name, const char *ns);
// the first of that name; NULL: none. node may be NULL
xmlNode *tree_child(const xmlNode *node, const char *name, const char *ns);
// False, and an empty text: it is not there (nor is node), or too long for buf.
bool tree_attribute(const xmlNode *node, const char *name, char *buf, size_t size);
bool tree_is_memory_shared(const xmlNode *domain);
