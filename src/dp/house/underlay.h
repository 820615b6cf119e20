// The daemon as a host on its underlay (underlay.c): the MAC addresses of neighbours, and datagrams
// of the daemon's own.
#pragma once

#include "path/view.h"
#include "port.h"
#include "rtvs/geneve.h"

struct underlay; // of one uplink

int underlay_start(struct dp *dp); // -errno
void underlay_stop(struct dp *dp);
// Control thread: of a port that has an address. -ENOMEM
int underlay_create(struct port *uplink);
void underlay_destroy(struct port *uplink); // no worker uses it any more; NULL underlay is accepted
// Control thread: the headers of a tunnel's packets. False: the next hop's MAC is not known yet, or
// there is no uplink.
bool underlay_headers(const struct dp *dp, const struct port *tunnel, struct geneve_template *ret_headers);
bool underlay_is_resolved(const struct port *tunnel);
// Control thread: asks for unknown neighbours, and for those known long ago. housekeeping: once a
// second. follow: the port, a tunnel or an uplink, came or changed. All touch the ports of which
// workers must hear anew.
void underlay_housekeeping(struct dp *dp);
void underlay_follow(struct port *port);
// Control thread: the next of the uplink's next hops whose MAC is known, and when it was last seen.
// *pos: 0 at first. False: no more.
bool underlay_next_hop(
	const struct port *uplink, unsigned *pos, struct prefix *ret_addr, struct mac *ret_mac, uint64_t *ret_seen_ns);
// Control thread: another process knew the hop's MAC. Touches the tunnels that need it. False: no
// tunnel does, or it is known.
bool underlay_restore_hop(struct port *uplink, const struct prefix *addr, const struct mac *mac, uint64_t seen_ns);
// Control thread: a packet that was punted from the uplink. True: ret_d is for the daemon. Other
// questions of the frame may be answered; m stays the caller's.
bool underlay_take(struct dp *dp, struct port *uplink, struct rte_mbuf *m, struct dp_datagram *ret_d);
