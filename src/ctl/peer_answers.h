// The reaction to packets that are late at a peer.
#pragma once

#include "rtvs/peer_msg.h"

#include <stdint.h>

struct ctl;
struct feedback;
struct model_port;
struct peer;

// One flow of a report.
void peer_answers_take(struct ctl *ctl, struct peer *peer, const struct peer_msg_flow *report);
// The controller of a port's packets to the peer, by the port's configuration. NULL: there is
// nothing to control, or no memory.
struct feedback *peer_answers_control(struct ctl *ctl, struct peer *peer, const struct model_port *port);
// The datapath has what all controllers say now, and nothing of others.
void peer_answers_apply(struct ctl *ctl);
// From time to time: steps that are due without a report, and flows that are gone.
void peer_answers_poll(struct ctl *ctl, struct peer *peer);
// The DSCP of a port's packets as they are now, DSCP_KEEP: their own.
uint8_t peer_answers_dscp(const struct ctl *ctl, const struct model_port *port);
// The DSCP of a step in results; -1: the port's packets keep their own. tunnel NULL: there is none.
int peer_answers_shown_dscp(
	const struct ctl *ctl, const struct model_port *port, const struct model_port *tunnel, uint32_t step);
