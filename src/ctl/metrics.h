// OpenMetrics over HTTP (https://prometheus.io/docs/specs/om/open_metrics_spec/), on loopback or a
// unix socket.
#pragma once

#include "rtvs/dp.h"

#include <stddef.h>

struct ctl;
struct metrics;

// address: "127.0.0.1:PORT", "[::1]:PORT" or "unix:PATH". -EINVAL, -EADDRINUSE, others as errno.
int metrics_create(struct ctl *ctl, const char *address, struct metrics **ret_metrics, char err[DP_ERR_SIZE]);
void metrics_destroy(struct metrics *metrics); // NULL is accepted
// ms until metrics_run is due, -1: when its descriptor is ready.
int metrics_timeout(const struct metrics *metrics);
void metrics_run(struct metrics *metrics);
void metrics_tick(struct metrics *metrics); // once a second; NULL is accepted
// The text. The caller frees it; NULL when out of memory.
char *metrics_text(const struct ctl *ctl, size_t *ret_len);
