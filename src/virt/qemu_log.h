// What a QEMU says in its log (libvirt keeps it) about a socket that is not there. Pure.
#pragma once

#include "domain.h"

// The socket of the switch that the last complaint in the text is about; false: there is none. Text of a process that may be anybody's: the
// path is one file below /run/rtvswitch, whatever the line says.
bool qemu_log_socket(const char *text, char ret_path[DOMAIN_PATH_SIZE]);
