// rtvs-virt listen: changes that libvirt's hook does not see (interfaces that are attached and
// detached, changed metadata), and work that it could not do (the daemon was away). Ports follow
// the running domains.
#pragma once

// Runs until SIGTERM or SIGINT. Both libvirtd and rtvswitchd may be away and come back at any time.
// 0, or 1: could not start.
int listen_run(const char *uri, const char *socket);
