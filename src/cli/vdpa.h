// rtvsctl vdpa: devices of the kernel's vDPA bus become interfaces of containers, or files for
// virtual machines. The daemon is not needed.
#pragma once

#include "rtvs/client.h"

#include <stdbool.h>

// argv: the words after "vdpa". socket: the daemon's, which says why a port has no device.
enum cli_exit vdpa_run(const char *socket, unsigned timeout_ms, bool is_json, int argc, char **argv);
