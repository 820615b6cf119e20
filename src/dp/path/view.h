// The workers' view of the configuration: an immutable snapshot. The control thread makes the next
// one at every change (house/views.c), swaps it by pointer, and frees what it replaces after every
// worker has passed a quiescent point.
#pragma once

#include "bridge_path.h"
#include "port_path.h"
#include "rtvs/dp_eswitch.h"
#include "rtvs/geneve.h"
#include "rtvs/guard.h"
#include "rtvs/rate.h"
#include "rtvs/sched.h"

#include <rte_ether.h>

#define VIEW_NO_PORT MAC_TABLE_NO_PORT

struct decap_delays;
struct rules;

// A tunnel's port: its frames leave and come through an uplink.
struct view_tunnel {
	uint16_t uplink; // VIEW_NO_PORT: it has none
	bool is_resolved; // the next hop's MAC is known
	struct prefix remote;
	uint32_t vni;
	uint32_t frame_max; // bytes with tags that its way takes
	struct geneve_template headers;
	struct geneve_ignore ignore;
	struct decap_delays *delays;
	// of the next packet of each flow; the worker that owns the uplink, and the next
	uint64_t *seq;
	uint32_t *queued; // packets of each flow in the uplink's schedule
};

// A port without a bridge that has an address on the underlay: its tunnels by remote address and
// VNI. Open addressing, at least half of the slots are free.
struct view_uplink {
	struct prefix address;
	uint32_t mask; // slots less 1
	uint16_t tunnel[]; // VIEW_NO_PORT: free
};

// An eswitch in switchdev mode (rtvs/dp_eswitch.h).
struct view_eswitch {
	uint16_t pf, uplink; // ports
	uint16_t n_vfs;
	uint16_t n_macs; // 0: all addresses may leave through the uplink
	uint16_t vf[DP_ESWITCH_VFS];
	struct rate_limit miss; // packets, of each port
	struct {
		uint64_t value, mask;
	} macs[DP_ESWITCH_MACS];
};

struct view_port {
	struct port_path *port; // NULL: no such port
	struct bridge_path *bridge; // NULL: none
	uint16_t n_rxq; // queues that are polled
	uint16_t vlan; // access VLAN or the trunk's untagged one
	uint16_t mirror_to; // VIEW_NO_PORT: none
	uint8_t mirror; // enum dp_mirror_dir
	bool is_trunk, takes_untagged, carries_all; // trunk: untagged frames accepted; all VLANs
	bool is_admin_up, is_isolated, is_mirror_target, forwards_reserved;
	bool may_be_held; // back, by an egress port with may_hold that is slower than it sends
	bool may_hold;
	bool prewake; // and trace is there
	bool sends_super_frames; // its guest may
	bool passes; // its frames, unless what they are asks for more: pass.h
	bool writes_dscp; // into what it is given
	// Of its packets, at ports that write it, unless feedback raised it; DSCP_KEEP: they do
	// not.
	uint8_t dscp_out;
	uint32_t frame_max; // bytes without tags: MTU + Ethernet header
	uint32_t mac_limit; // UINT32_MAX: none
	struct rate_limit flood, max_rate, raised; // packets, bytes, bytes
	const struct view_tunnel *tunnel; // NULL: none
	const struct view_uplink *uplink; // NULL: none
	uint64_t deadline_ns; // of what it sends, as configured
	struct capture *capture; // NULL: none
	struct trace *trace; // NULL: none
	struct schedule *schedule; // of its egress, NULL: none
	struct sched_params sender; // of what it sends, as configured: see view_answer
	uint64_t link_rate; // bytes/s
	const struct rules *rules; // of what it sends, NULL: none
	const struct view_eswitch *eswitch; // that it belongs to, NULL: none
	const struct rules *guest_rules; // of a VF or an uplink, NULL: none
	uint16_t vid; // of its representor; 0: it is the PF, or of no eswitch
	struct guard guard;
	struct vlan_set trunk;
};

// The token bucket of what a port sends, where it leaves through an uplink or any other port.
static inline uint64_t
view_bucket_bytes(const struct view_port *from, bool is_uplink)
{
	return dp_bucket_bytes(from->sender.burst, from->frame_max - RTE_ETHER_HDR_LEN, is_uplink);
}

// Feedback's answer to what the port sends; a port that is gone has none.
static inline uint64_t
view_answer(const struct view_port *from)
{
	return from->port ? atomic_load_explicit(&from->port->answer, memory_order_relaxed) : PORT_NO_ANSWER;
}

struct view_rxq {
	uint16_t port, queue;
};

// What a worker polls and serves.
struct view_worker {
	uint16_t n_rxq, n_owned;
	const uint16_t *owned; // ports whose egress this worker serves
	struct view_rxq rxq[];
};

// A MAC in allowed_macs of a port. Open addressing, at least half of the slots are free.
struct view_bound {
	uint64_t mac; // 0: free
	uint16_t port;
};

struct view_bridge {
	const uint16_t *members; // ports that it floods to
	uint16_t n_members;
	uint32_t bound_mask; // slots less 1; 0: nothing is bound
	struct view_bound bound[];
};

#define VIEW_BLOCK 64 // entries

struct view_block {
	const struct view_port *port[VIEW_BLOCK];
};

// Each pointer leads to an immutable object of its own, which the next view has, too, unless it
// changed. So a change builds what it changes, whatever else there is.
struct view {
	uint64_t gen; // of the view, 1 and up
	const struct view_block *block[DP_MAX_PORTS / VIEW_BLOCK]; // see view_port
	const struct view_bridge *bridge[DP_MAX_BRIDGES]; // by id; NULL: no port is on it
	uint16_t n_ids; // all ids that were ever used are below
	uint16_t n_uplinks, n_schedules, n_traces; // entries that have one
	uint16_t n_changed; // ids whose entry is not that of the view before
	const uint16_t *changed;
	const struct view_worker *worker[]; // by index
};

extern const struct view_port view_no_port; // of ids without a port

// id: below DP_MAX_PORTS. Never NULL: an id without a port has an entry whose `port` is NULL.
static inline const struct view_port *
view_port(const struct view *view, uint16_t id)
{
	return view->block[id / VIEW_BLOCK]->port[id % VIEW_BLOCK];
}

// Does the port take frames of the VLAN? Those of its own leave without a tag, others with one.
// VLAN 0 is the bridge's untagged one: it has no tag, so a trunk cannot carry it.
static inline bool
view_carries(const struct view_port *vp, uint16_t vlan)
{
	if (vlan == vp->vlan)
		return vp->takes_untagged;
	return vlan && vp->is_trunk && (vp->carries_all || vlan_set_has(&vp->trunk, vlan));
}

static inline uint32_t
view_bound_slot(const struct view_bridge *bridge, uint64_t mac)
{
	return (uint32_t)(mac * UINT64_C(0x9e3779b97f4a7c15) >> 32) & bridge->bound_mask;
}

// Does the MAC in this VLAN belong to another port of the bridge, by its allowed_macs? Not while
// that port is down: its guest may have moved to another host. Not when the port has it in its own
// list; not one that floats between hosts (VRRP, CARP).
bool view_is_bound_elsewhere(const struct view *view, uint16_t port, uint64_t mac, uint16_t vlan);
