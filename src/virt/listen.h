// rtvs-virt listen: what libvirt's hook is not told (interfaces that are attached and detached, changed metadata) and what it could not
// do (the daemon was away): ports follow the domains that run.
#pragma once

// Runs until SIGTERM or SIGINT. Both libvirtd and rtvswitchd may be away and come back at any time. 0, or 1: could not start.
int listen_run(const char *uri, const char *socket);
