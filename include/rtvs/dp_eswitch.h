// The NIC of a guest in switchdev mode: what its virtual functions (VFs) send goes by rules of the
// guest. VFs have left their bridge, and exchange frames with it through the eswitch's uplink, a
// port of its own there (type=eswitch). What no rule of a VF, or of the uplink, outputs or drops
// goes to the guest's kernel: to its representor, a VLAN of the physical function (PF). What the
// guest sends in such a VLAN leaves for that VF or the uplink, by no rule. As port representors of
// Linux (Documentation/networking/switchdev.rst) and S-channels (IEEE 802.1Q, clause 40). Rules:
// dp_rules_change with DP_RULES_GUEST, of a VF's port or of the uplink. `output` has numbers of
// ports, which are VFs or the uplink of the same eswitch; others are not delivered to. FLOW_ALLOW
// is to the representor. Control thread.
#pragma once

#include "rtvs/dp.h"

#define DP_ESWITCH_VFS 64
#define DP_ESWITCH_MACS 16
// VLANs of representors: the uplink's, and that of VF n + 1 behind it.
#define DP_ESWITCH_VID 3072
// The priority in the tag of a copy of a packet that a rule handled: of each rule that is in use,
// one in DP_ESWITCH_COPY_NS. So the guest's kernel knows that a flow is not over. What comes back
// with this priority is dropped.
#define DP_ESWITCH_COPY_PCP 5
#define DP_ESWITCH_COPY_NS UINT64_C(3000000000)
#define DP_ESWITCH_MISS_PPS 20000 // default

struct dp_eswitch_cfg {
	unsigned pf, uplink; // ports; the PF is a guest's, the uplink has type=eswitch
	unsigned n_vfs; // 1 to DP_ESWITCH_VFS
	unsigned vf[DP_ESWITCH_VFS]; // guests' ports
	// Packets a second that go to the representor of one VF, or the uplink's. 0: no limit
	uint32_t miss_pps;
	// Source addresses that may leave through the uplink; n_macs 0: all
	unsigned n_macs; // up to DP_ESWITCH_MACS
	struct {
		struct mac mac;
		unsigned n_bits; // that count, 1 to 48
	} macs[DP_ESWITCH_MACS];
};

// The ports are in switchdev mode from then on, or have other limits. -ENOENT: no such port;
// -EINVAL: a port of a wrong type, or twice; -EBUSY: a port of another eswitch, or the same PF with
// other ports; -ENOMEM.
int dp_eswitch_set(struct dp *dp, const struct dp_eswitch_cfg *cfg, char err[DP_ERR_SIZE]);
// Ports are as before, and rules of DP_RULES_GUEST are gone. -ENOENT: the PF has none; -ENOMEM: all
// is as before.
int dp_eswitch_clear(struct dp *dp, unsigned pf);
