// The ports that a libvirt domain's XML asks for: one for each <rtvs:port> of its <metadata>,
// joined with the vhost-user or vdpa interface that has its MAC. Pure: text in, ports out.
// libvirt's format: https://libvirt.org/formatdomain.html; ours: docs/libvirt.md and domain.rng,
// which the build makes of the table of port.set.
#pragma once

#include "rtvs/types.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define DOMAIN_RUN_DIR "/run/rtvswitch" // where the daemon makes sockets
#define DOMAIN_NAMESPACE "urn:rtvswitch:domain:1"
#define DOMAIN_MAX_BYTES (4u << 20) // libvirt sends no longer ones
#define DOMAIN_MAX_PORTS 64
#define DOMAIN_MAX_QUEUES 8 // that a port can have
#define DOMAIN_NAME_SIZE 256 // longer names are cut
#define DOMAIN_UUID_SIZE 37
#define DOMAIN_MAC_SIZE 18
#define DOMAIN_PATH_SIZE 108 // of a unix socket
#define DOMAIN_ERR_SIZE 1024

struct domain_port {
	// Of port.add: all of domain_attributes, the interface's values, domain and domain_uuid;
	// owned.
	json_t *params;
	char *rules; // of rule.set, owned; NULL: it has no <rule>
	char mac[DOMAIN_MAC_SIZE]; // in lower case
	unsigned line; // of its element
	unsigned iface_line; // of its interface; 0: there is none
	bool has_link; // of type=vduse: QEMU opens the link that links_make makes
	bool is_optional; // onerror='ignore'
	bool is_plugged; // an interface of the domain has its MAC; false: one may be attached later
	char err[DOMAIN_ERR_SIZE]; // why it cannot be, with line and element; empty: it can
};

// Of a vhost-user interface.
struct domain_socket {
	char path[DOMAIN_PATH_SIZE];
	char mac[DOMAIN_MAC_SIZE];
	unsigned line;
	unsigned twin_line; // of an earlier interface with this path; 0: none
	bool has_element; // a <rtvs:port> is for it
	bool is_switchs; // it ought to be one of the switch's
};

struct domain {
	char name[DOMAIN_NAME_SIZE];
	char uuid[DOMAIN_UUID_SIZE];
	unsigned n_ports;
	struct domain_port ports[DOMAIN_MAX_PORTS];
	unsigned mtu_line; // of the first <mtu> of an interface that has a port; 0: none
	unsigned n_sockets;
	// further ones are ignored; without ports only the switch's
	struct domain_socket sockets[DOMAIN_MAX_PORTS];
};

// The attributes of an <rtvs:port> beside mac, name and onerror, with their defaults: parameters of
// port.set. The build makes the list; its end is a name of NULL.
struct domain_attribute {
	const char *name, *def;
};
extern const struct domain_attribute domain_attributes[];

// Reads a domain. Entities, more than DOMAIN_MAX_BYTES and nesting beyond libxml2's limit are
// refused. 0, -ENOMEM, or -EINVAL with the place in err; each port has its own errors in its err.
int domain_parse(const char *xml, size_t len, struct domain **ret_domain, char err[DOMAIN_ERR_SIZE]);
void domain_free(struct domain *d); // NULL is accepted

// An address, in lower case. False: it is none.
bool domain_mac(const char *text, char ret_mac[DOMAIN_MAC_SIZE]);
// A text as an object's name. Characters that a name may not have become -, wrong first ones are
// dropped, and so are those beyond size - 1 bytes. False: the name differs from the text. The name
// may be empty.
bool domain_fit_name(const char *text, char *ret_name, size_t size);
// The name of a port without a name of its own: the file without .sock or .vdpa. A file name that
// is no name for a port (spaces, other letters, too long) gets 8 digits of the path's hash behind
// it. So two files give two names.
void domain_name_of_socket(const char *path, char ret_name[RTVS_NAME_SIZE]);

const char *domain_port_name(const struct domain_port *p); // empty: it has none, and an err
// The first error of a port that is not optional; NULL: none.
const char *domain_refusal(const struct domain *d);
// Parameters of a port in place of the refused one of its element. The port exists, so that the
// guest starts, and has no bridge, so that no packet passes. New reference.
json_t *domain_port_fallback(const struct domain_port *p);
