// What workers see of the configuration (path/view.h), made from the control thread's objects.
// Control thread.
#pragma once

#include <stdint.h>

struct dp;

// What views have cost since the start.
struct views_cost {
	uint64_t n_entries; // of ports
	uint64_t n_bytes; // of everything that was built
	uint64_t n_live; // objects that there are
};

struct views_cost views_cost(const struct dp *dp);

int views_start(struct dp *dp); // a view without ports, before there are workers. -ENOMEM
void views_stop(struct dp *dp); // there are no workers any more
// Workers have what registry_touch was called for since. Returns when none uses what it replaces.
// -ENOMEM: nothing has changed, the next call tries again.
int views_publish(struct dp *dp);
