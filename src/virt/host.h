// libvirt, as rtvs-virt uses it: a connection with its events, domains, and errors as libvirt words
// them.
#pragma once

#include <libvirt/libvirt.h>
#include <stdbool.h>

#define HOST_DEFAULT_URI "qemu:///system"

// Once, before any other call of libvirt: its event loop is the program's (virEventRunDefaultImpl).
// 0, or not.
int host_init(void);
// NULL: could not; host_error says why.
virConnectPtr host_connect(const char *uri);
// libvirt's last error, in this thread; until the next call of libvirt.
const char *host_error(void);
// By name, UUID or number. NULL: told on stderr.
virDomainPtr host_domain(virConnectPtr conn, const char *which);
