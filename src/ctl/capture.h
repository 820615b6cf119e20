// Packets of a port into a pcapng file, while traffic goes on.
#pragma once

#include "rtvs/dp.h"

#include <jansson.h>
#include <stdint.h>

struct ctl;
struct capture;

#define CAPTURE_MAX_SNAPLEN 65535
#define CAPTURE_POLL_MS 10 // between two looks at the datapath
#define CAPTURE_MAX_FILTER 512

struct capture_params {
	char port[RTVS_NAME_SIZE];
	char filter[CAPTURE_MAX_FILTER];
	uint32_t snaplen;
	char file[256];
	uint64_t count; // packets, then it ends; 0: no end
};

// -ENOENT (port), -EBUSY (has a capture), -EEXIST (file), or what dp.h says.
int capture_start(struct ctl *ctl, const struct capture_params *params, char err[DP_ERR_SIZE]);
// Ends it and tells so: event capture.end. -ENOENT
int capture_stop(struct ctl *ctl, const char *port, const char *reason);
void capture_stop_all(struct ctl *ctl);
// Writes what has come. Returns ms until the next call is due, -1: there are no captures.
int capture_poll(struct ctl *ctl);
json_t *capture_json(const struct ctl *ctl); // list of all
