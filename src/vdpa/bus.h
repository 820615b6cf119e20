// What the rest of this directory asks of the bus.
#pragma once

#include <stdbool.h>

#define BUS_IN_USE "%.256s is in use: a program, as QEMU, has its vhost-vdpa file open, and must end first"

// A program has the device's vhost-vdpa file open. To know that, the file is opened, which resets a
// device that nobody uses.
bool bus_is_open(const char *root, const char *name);
