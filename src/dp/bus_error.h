// Guest memory is a file that the front-end may truncate while we use it; reading it then is a SIGBUS. With the
// guest's regions registered here, the signal replaces the region by zeroed memory of ours: the guest that did it talks
// to itself, the daemon and the other guests go on.
#pragma once

#include <stdint.h>

struct dp;

int bus_error_install(struct dp *dp);
void bus_error_guard(int vid); // event thread, when a guest's driver is ready
void bus_error_unguard(int vid);
