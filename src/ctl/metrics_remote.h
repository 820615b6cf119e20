// The part of the page of metrics that is about other hosts.
#pragma once

#include <stdio.h>

struct ctl;

// Nothing without tunnels and peers.
void metrics_remote(FILE *f, const struct ctl *ctl);
