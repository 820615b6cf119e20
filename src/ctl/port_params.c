// The parameters of port.add and port.set. One table makes both methods, the output of port.show
// and config.dump. A row says for which types a parameter is, and whether it is fixed for a port's
// life.
#include "port_params.h"

#include "probes.h"
#include "rtvs/geneve_ignore.h"

#include <string.h>

#define P(member, type, ...) RPC_PARAM(struct dp_port_cfg, member, type, __VA_ARGS__)
#define PAS(json_name, member, type, ...) RPC_PARAM_AS(json_name, struct dp_port_cfg, member, type, __VA_ARGS__)
#define FIXED "when the port is added; delete the port and add it again to change it"
// Features that a guest's driver agrees to when it starts.
#define NEGOTIATED FIXED "; a guest that runs keeps what it uses until it is powered off and on"

#define TYPE(arg, id, name, traits, about) "; " #name ": " about
static const char types[] = PORT_TYPES(TYPE, );

// clang-format off
const struct rpc_param port_params[] = {
	P(name, RPC_NAME, .is_required = true, .is_key = true, .min = 1, .max = RTVS_NAME_SIZE - 1, .help = "name of the port"),
	P(type, RPC_ENUM, .names = port_traits_names, .def = "vhost", .is_kind = true, .fixed = FIXED,
		.help = types + sizeof("; ") - 1),
	P(socket, RPC_STR, .max = RTVS_PATH_SIZE - 1, .kinds = PORT_KINDS(PORT_HAS_SOCKET), .fixed = FIXED,
		.help = "path of the socket; " PORT_PARAMS_RUN_DIR "/NAME.sock by default"),
	PAS("mode", vhost_mode, RPC_ENUM, .names = dp_vhost_mode_names, .def = "listen", .kinds = PORT_KINDS(PORT_HAS_SOCKET), .fixed = FIXED,
		.help = "listen: the daemon makes the socket; connect: it waits for QEMU's (server=on)"),
	P(socket_mode, RPC_OCTAL, .max = 0777, .def = "0660", .kinds = PORT_KINDS(PORT_HAS_SOCKET), .fixed = FIXED,
		.help = "mode=listen: permissions of the socket file"),
	P(socket_owner, RPC_STR, .max = RTVS_NAME_SIZE - 1, .kinds = PORT_KINDS(PORT_HAS_SOCKET), .fixed = FIXED,
		.help = "mode=listen: user who owns the socket file"),
	P(socket_group, RPC_STR, .max = RTVS_NAME_SIZE - 1, .kinds = PORT_KINDS(PORT_HAS_SOCKET), .fixed = FIXED,
		.help = "mode=listen: group of the socket file"),
	P(vdpa, RPC_STR, .max = RTVS_DEVARGS_SIZE - 1, .kinds = PORT_KINDS(PORT_HAS_SOCKET), .fixed = FIXED,
		.help = "vDPA device that moves the guest's packets itself: DPDK's name of it (\"0000:03:00.2\"), or pool:NAME; empty: the switch moves them"),
	P(packed, RPC_BOOL, .def = "true", .kinds = PORT_KINDS(PORT_IS_GUEST), .fixed = NEGOTIATED,
		.help = "offer packed rings"),
	P(csum, RPC_BOOL, .def = "true", .kinds = PORT_KINDS(PORT_IS_GUEST | PORT_IS_TUNNEL), .fixed = NEGOTIATED,
		.help = "vhost, vduse: offer checksum offload; geneve: UDP checksums outside; default true over IPv6, false over IPv4"),
	P(tso, RPC_BOOL, .def = "true", .kinds = PORT_KINDS(PORT_IS_GUEST), .fixed = NEGOTIATED,
		.help = "offer segmentation offload; needs csum"),
	P(devargs, RPC_STR, .max = RTVS_DEVARGS_SIZE - 1, .kinds = PORT_KINDS(PORT_IS_DEVICE), .fixed = FIXED,
		.help = "DPDK's name of the device (\"0000:01:00.0\", \"net_tap0,iface=t0\")"),
	P(path, RPC_STR, .max = RTVS_PATH_SIZE - 1, .kinds = PORT_KINDS(PORT_IS_NODE), .fixed = FIXED,
		.help = "the segment's file (\"/dev/shm/NAME\"), made by rtvs-vni create; the port waits for a missing file"),
	P(uplink, RPC_NAME, .max = RTVS_NAME_SIZE - 1, .kinds = PORT_KINDS(PORT_IS_TUNNEL), .fixed = FIXED,
		.help = "port of its packets, which has an address"),
	P(remote, RPC_ADDR, .kinds = PORT_KINDS(PORT_IS_TUNNEL), .fixed = FIXED,
		.help = "address of the other host on the underlay"),
	P(vni, RPC_UINT, .max = DP_VNI_MAX, .def = "0", .kinds = PORT_KINDS(PORT_IS_TUNNEL), .fixed = FIXED,
		.help = "virtual network, the same as on the other host"),
	P(timestamps, RPC_BOOL, .def = "true", .kinds = PORT_KINDS(PORT_IS_TUNNEL), .fixed = FIXED,
		.help = "packets carry their departure time and deadline"),
	PAS("queues", n_queues, RPC_UINT, .min = 1, .max = DP_MAX_QUEUES, .def = "1", .kinds = PORT_KINDS(PORT_IS_GUEST | PORT_IS_DEVICE), .fixed = NEGOTIATED,
		.help = "queue pairs at most; vduse: 1"),
	P(prewake, RPC_BOOL, .def = "false", .kinds = PORT_KINDS(PORT_IS_GUEST),
		.help = "kick a sleeping guest ahead of a packet that waits, by half of its wake-up time"),
	P(bridge, RPC_NAME, .max = RTVS_NAME_SIZE - 1, .help = "bridge of the port; empty: none, the port forwards nothing"),
	P(admin_up, RPC_BOOL, .def = "true", .help = "false: the socket is closed, the device stopped, or its link down"),
	P(mtu, RPC_UINT, .min = DP_MTU_MIN, .max = DP_MTU_MAX, .def = "1500", .help = "largest IP packet in bytes, as Linux counts"),
	P(vlan_mode, RPC_ENUM, .names = dp_vlan_mode_names, .def = "access",
		.help = "access: untagged frames only, all in `vlan`; trunk: tagged with a VLAN of `trunk`"),
	P(vlan, RPC_UINT, .max = RTVS_VLAN_MAX, .def = "0",
		.help = "VLAN of untagged frames; 0: access: the bridge's untagged VLAN, trunk: untagged frames are refused"),
	P(trunk, RPC_VLANS, .help = "trunk: VLANs of the port (\"1,5,100-200\"); empty: all"),
	P(address, RPC_ADDR, .kinds = PORT_KINDS(PORT_MAY_BE_UPLINK),
		.help = "own address on the underlay, with its prefix length, for tunnels through this port; empty: no tunnels"),
	P(gateway, RPC_ADDR, .kinds = PORT_KINDS(PORT_MAY_BE_UPLINK),
		.help = "with address: router to hosts outside of its prefix"),
	P(key_file, RPC_STR, .max = RTVS_PATH_SIZE - 1, .kinds = PORT_KINDS(PORT_IS_TUNNEL),
		.help = "keys shared with the other host's daemon, one or two lines \"NUMBER HEX\"; empty: no messages to it"),
	P(clock, RPC_ENUM, .names = dp_clock_names, .def = "system", .kinds = PORT_KINDS(PORT_IS_TUNNEL),
		.help = "system: both hosts' clocks follow PTP or NTP; peer: the daemons measure the distance of the clocks"),
	P(ignore_options, RPC_STR, .max = GENEVE_IGNORE_TEXT - 1, .kinds = PORT_KINDS(PORT_IS_TUNNEL),
		.help = "critical options that are accepted unread, CLASS[/TYPE],... (\"0x102/0x80\": OVN's)"),
	PAS("probe", probe_ns, RPC_TIME, .max = PROBES_MAX_NS, .def = "0", .kinds = PORT_KINDS(PORT_IS_TUNNEL),
		.help = "interval of probes of idle flows with a deadline (STAMP, RFC 8762); 0: never, or from 100ms"),
	P(stamp, RPC_BOOL, .def = "false", .kinds = PORT_KINDS(PORT_MAY_BE_UPLINK),
		.help = "with address: answer STAMP test packets (RFC 8762)"),
	P(allowed_macs, RPC_MACS, .max = RTVS_MAX_MACS, .help = "permitted source MACs, the first is a vduse device's own; empty: any"),
	P(allowed_ips, RPC_PREFIXES, .max = RTVS_MAX_PREFIXES, .help = "permitted source addresses or prefixes; empty: any"),
	P(isolated, RPC_BOOL, .def = "false", .help = "no packets pass to and from other isolated ports of its bridge"),
	P(forwards_reserved, RPC_BOOL, .def = "false",
		.help = "frames to 01:80:c2:00:00:0x (STP, LACP, 802.1X, LLDP; no PAUSE) pass to and from other such ports"),
	P(mac_limit, RPC_UINT, .max = 1048576, .def = "0", .help = "most MACs learned from the port; 0: only the bridge's limit"),
	PAS("flood_rate", flood_pps, RPC_UINT, .max = UINT32_MAX, .def = "0",
		.help = "most broadcast, multicast and unknown unicast packets from the port a second; 0: no limit"),
	P(mirror_to, RPC_NAME, .max = RTVS_NAME_SIZE - 1, .help = "port that receives a copy of its packets, whenever a port of that name exists; empty: none"),
	P(mirror, RPC_ENUM, .names = dp_mirror_dir_names, .def = "none",
		.help = "copied packets: rx: packets from the port, tx: packets to the port"),
	PAS("deadline", deadline_ns, RPC_TIME, .max = DP_DEADLINE_MAX_NS, .def = "0",
		.help = "time from the arrival of its packets to their departure; 0: no deadline"),
	PAS("min_rate", min_rate_bps, RPC_RATE, .max = DP_RATE_MAX, .def = "0",
		.help = "guaranteed rate of its packets, at every egress port; 0 or from 8kbit"),
	PAS("burst", burst_bytes, RPC_SIZE, .max = DP_BURST_MAX, .def = "15kB",
		.help = "bytes that may come at once within min_rate and max_rate; at least a frame of its mtu, tags and tunnel headers count"),
	PAS("max_rate", max_rate_bps, RPC_RATE, .max = DP_RATE_MAX, .def = "0",
		.help = "largest rate of packets from the port; 0: no limit, or from 8kbit"),
	P(weight, RPC_UINT, .min = 1, .max = DP_WEIGHT_MAX, .def = "1", .help = "its share of an egress port's rate beyond guarantees"),
	P(late, RPC_ENUM, .names = dp_late_names, .def = "send", .help = "send or drop packets whose deadline has passed"),
	P(feedback, RPC_ENUM, .names = dp_feedback_names, .def = "act",
		.help = "reaction to another host's reports of its late packets; act: they leave sooner, then with a higher DSCP"),
	P(domain, RPC_STR, .max = DP_DOMAIN_SIZE - 1, .help = "virtual machine of the port, by libvirt's name"),
	P(domain_uuid, RPC_NAME, .max = DP_UUID_SIZE - 1,
		.help = "UUID of that machine, when libvirt's hook makes and removes the port; empty: the operator does"),
	P(force, RPC_BOOL, .def = "false", .help = "accept its guarantee even if an egress port may not be able to keep it"),
	P(queue, RPC_UINT, .min = DP_QUEUE_MIN, .max = DP_QUEUE_MAX, .def = "512",
		.help = "most of its packets that wait at one egress port, in no more than system buffers / 16 / workers; a device with a rate holds a guest back from half of either on, up to 100 ms"),
	PAS("rate", link_rate_bps, RPC_RATE, .max = DP_RATE_MAX, .def = "0",
		.help = "egress rate, of packets to the port; 0: no limit, or from 8kbit"),
	P(dscp, RPC_ENUM, .names = dp_dscp_names, .def = "keep",
		.help = "DSCP of packets to the port: keep, or that of the sender's deadline (system.set dscp_classes)"),
	{0},
};
// clang-format on
const unsigned port_params_n = sizeof(port_params) / sizeof(port_params[0]) - 1;

bool
port_params_is_of_device(const struct rpc_param *param, const struct dp_port_cfg *cfg)
{
	static const char *const names[] = {"name", "type", "socket", "mode", "socket_mode", "socket_owner",
		"socket_group", "vdpa", "packed", "csum", "tso", "queues", "admin_up", "domain", "domain_uuid"};

	json_t *object = rpc_encode(param, 1, cfg);
	bool is_default = object && !json_object_size(object);

	json_decref(object);
	for (unsigned i = 0; !is_default && i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(param->name, names[i]))
			return true;
	return is_default;
}

bool
port_params_is_settable(const struct dp_port_cfg *from, const struct dp_port_cfg *to)
{
	struct rpc_error ignored = {0};

	return rpc_check_fixed(port_params, port_params_n, from, to, &ignored) == 0;
}

bool
port_params_is_same(const struct dp_port_cfg *a, const struct dp_port_cfg *b)
{
	return rpc_is_same(port_params, port_params_n, a, b);
}

json_t *
port_params_encode(const struct dp_port_cfg *cfg)
{
	json_t *object = rpc_encode(port_params, port_params_n, cfg);

	// Left out is what port_add makes of it.
	if (object && port_has(cfg->type, PORT_IS_TUNNEL)) {
		(void)json_object_del(object, "csum");
		if (cfg->csum != cfg->remote.is_v6)
			(void)json_object_set_new(object, "csum", json_boolean(cfg->csum));
	}
	return object;
}
