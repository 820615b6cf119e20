// Guest memory is a file that the front-end may truncate, or make shorter than it says, while librte_vhost and we use
// it, and so is a segment; touching what is missing is a SIGBUS. The handler puts an empty page of ours there: the guest that did it talks
// to itself, the daemon and the other guests go on.
#pragma once

struct dp;

int bus_error_install(struct dp *dp); // 0 or a negative errno
