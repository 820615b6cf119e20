// rtvs-virt list: domains of libvirt, their interfaces, and their state at the daemon.
#pragma once

#include "rtvs/client.h"

enum cli_exit list_run(const char *uri, const char *socket, bool is_json);
