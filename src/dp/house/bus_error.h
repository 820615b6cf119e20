// Guest memory and a segment are files that others may truncate, or make shorter than they say,
// while the daemon uses them. An access to a missing page is a SIGBUS. The handler
// maps an empty page there. The guest that did it talks to itself, and the daemon and the other
// guests continue.
#pragma once

struct dp;

int bus_error_install(struct dp *dp); // 0 or a negative errno
