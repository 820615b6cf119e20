// QEMU's message in its log (libvirt keeps it) about a missing socket. Pure.
#pragma once

#include "domain.h"

// The socket of the switch in the last such message of the text; false: there is none. The text may
// come from any process: the path is one file below /run/rtvswitch, whatever the line says.
bool qemu_log_socket(const char *text, char ret_path[DOMAIN_PATH_SIZE]);
