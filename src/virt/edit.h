// A domain's XML with another port or interface: rtvs-virt tries it at the daemon before libvirt
// gets it. Also the pieces that libvirt takes. Pure: text in, text out.
#pragma once

#include "domain.h"

#define EDIT_TEXT_SIZE 256

struct edit;

// The new value of an attribute. An empty value removes it, except for bridge, where empty means
// none.
struct edit_pair {
	char name[64];
	char value[EDIT_TEXT_SIZE];
};

// An interface, a port's element, or both.
struct edit_port {
	char mac[DOMAIN_MAC_SIZE]; // in lower case
	char alias[EDIT_TEXT_SIZE]; // libvirt's name of the device; empty: none
	char name[EDIT_TEXT_SIZE]; // the port's; empty: it has none
	bool has_interface, has_element;
};

// xml is what libvirt gave. 0, -ENOMEM or -EINVAL with err.
int edit_open(const char *xml, struct edit **ret_edit, char err[DOMAIN_ERR_SIZE]);
void edit_close(struct edit *e); // NULL is accepted

// The i-th of those vhost-user or vdpa interfaces, and then of those elements without an interface;
// false: no more.
bool edit_port_at(const struct edit *e, unsigned i, struct edit_port *ret_port);
// The object that `which` names: a MAC, a port's name or libvirt's alias. False: nothing.
bool edit_find(const struct edit *e, const char *which, struct edit_port *ret_port);
// of an interface of any type, or an element
bool edit_has_mac(const struct edit *e, const char *mac);
bool edit_is_memory_shared(const struct edit *e);

// Changes the element of this MAC, which is made if there is none. 0 or -ENOMEM.
int edit_set_port(struct edit *e, const char *mac, const struct edit_pair *pairs, unsigned n_pairs);
void edit_remove_port(struct edit *e, const char *mac);
// xml: one <interface>. 0, -ENOMEM or -EINVAL.
int edit_add_interface(struct edit *e, const char *xml);

// The whole; the interface with this MAC (NULL: there is none); and the element with all ports,
// without its name space, which libvirt adds (NULL: no ports). The caller frees them.
char *edit_text(const struct edit *e);
char *edit_interface(const struct edit *e, const char *mac);
char *edit_metadata(const struct edit *e);
