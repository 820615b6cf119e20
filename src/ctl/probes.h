// Probing of idle flows: STAMP test packets (RFC 8762) to the far ends of tunnels with `probe`.
// They are sent for each port with a deadline that has sent nothing through the tunnel since the
// last one. They have the DSCP of the port's packets. So a user knows what a flow will meet before
// it begins. Any reflector of STAMP will do at the far end; with a daemon there it is `stamp=on`.
#pragma once

#include "rtvs/dp.h"
#include "rtvs/hist.h"

#include <jansson.h>

struct ctl;

#define PROBES_PORT 49862 // UDP source: replies come to it
#define PROBES_MIN_NS UINT64_C(100000000) // between two of one flow
#define PROBES_MAX_NS UINT64_C(3600000000000)
#define PROBES_MAX 256u // flows
#define PROBES_UNDER_WAY 4096u // a power of two; when there are more the oldest are lost
#define PROBES_LOST_NS UINT64_C(1000000000) // without a reply

struct probe;

struct probe_sent {
	struct probe *probe; // NULL: answered, or its flow is gone
	uint64_t tai_ns;
};

struct probes {
	struct probe *list;
	unsigned n;
	uint32_t head, tail; // sequence numbers: the oldest under way, the next
	struct probe_sent sent[PROBES_UNDER_WAY];
	uint64_t n_strays; // datagrams to PROBES_PORT that answer nothing
};

// The control thread, from time to time: sends what is due.
void probes_turn(struct ctl *ctl);
// A datagram to PROBES_PORT.
void probes_receive(struct ctl *ctl, const struct dp_datagram *datagram);
void probes_fini(struct ctl *ctl);
// Of the tunnel, "": all. New reference; NULL: there is no such port.
json_t *probes_json(const struct ctl *ctl, const char *tunnel);
