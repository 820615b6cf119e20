// Another host's daemon that a control plane over the fake datapath knows.
#pragma once

#include "ctl_fixture.h"
#include "rtvs/peer_msg.h"
#include "rtvs/peer_session.h"

extern struct peer_session remote;
extern char key_path[64];
extern struct dp_datagram last; // that the remote sent

// A tunnel to a peer that knows us, and a port whose packets it may report.
struct fixture *acquainted(void **state);
int forget(void **state); // its teardown
// The file holds another key, under the same number; it is the remote's from here on.
void write_key(void);
// A datagram of the remote, under the key that it has.
struct dp_datagram datagram(struct peer_msg *msg, const struct peer_session_stamp *stamp);
void remote_sends(struct fixture *f, struct peer_msg *msg);
// The remote takes what was sent to it.
enum peer_session_verdict remote_takes(struct peer_msg *ret_msg);
// A report of packets of port vm that came late.
struct peer_msg late_report(struct fixture *f, uint64_t last_seq);
// A figure of the only peer in peer.list.
uint64_t count(struct fixture *f, const char *name);
