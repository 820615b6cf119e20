// A datapath for tests: the same contracts as dp.h, no packets. One at a time, as of the real one.
#pragma once

#include "rtvs/dp.h"

#define FAKE_BAD_DEADLINE_NS 666 // dp_port_check_qos refuses it
#define FAKE_BAD_SEGMENT "/bad/segment" // dp_port_check_segment refuses it

// From here on the n-th change (1: the next) fails with rc, and only that one. 0: none. Returns
// changes counted so far.
unsigned fake_dp_fail(unsigned n, int rc);
// A device that ports to be added do not find, of a later dp_init as well. NULL: none.
void fake_dp_lose(const char *devargs);
// Changes (add, set, del of anything) since dp_init.
unsigned fake_dp_n_changes(void);
// Changes of this port since dp_init: a port that is left alone keeps its count.
unsigned fake_dp_n_port_changes(const char *name);
// All that is configured, as text, in order of names. Caller frees.
char *fake_dp_dump(void);
void fake_dp_event(const struct dp_event *event);
// into a running capture; data is copied
void fake_dp_packet(unsigned port, const struct dp_capture_pkt *pkt);
struct dp_port_stats *fake_dp_stats(const char *port);
void fake_dp_held(const char *port, const char *by, uint64_t ns);
struct dp_port_state *fake_dp_state(const char *port);
const struct dp_datagram *fake_dp_sent(void); // the last one
unsigned fake_dp_n_answers(void); // calls of dp_port_set_answer
struct dp_worker_stats *fake_dp_worker(unsigned worker);
// The packets of port from (NULL: all that share a place) through port out; made at the first call.
struct dp_sender *fake_dp_flow(const char *out, const char *from);
