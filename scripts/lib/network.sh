# shellcheck shell=bash
# Two hosts and the network between them, for the demo and tests: two rtvswitchd whose uplinks are
# ports of an Open vSwitch (user space datapath, nothing but OpenFlow rules) with one path between
# them, or two. Sourced after processes.sh.
#
#                      namespace "net", bridge "net"
#                      +------------------------------------+
#     host 1's uplink  | host1    a1 ===== a2        host2  |  host 2's uplink
#     192.0.2.1 -------|  (1)    (11)     (12)        (2)   |------- 192.0.2.2
#                      |          b1 ===== b2               |
#                      |         (21)     (22)              |
#                      +------------------------------------+
#
# A path is a pair of ports with a cable between them; what limits it is a qdisc at its first port,
# so towards host 2. Everything goes through path a until an OpenFlow rule of a higher priority than
# 1 says otherwise. In parentheses: OpenFlow port numbers, which rules may use in place of names.
# Frames there are Geneve: their outer headers have a flow's DSCP.
#
#     make_work; trap cleanup_work EXIT     # as for everything in processes.sh
#     network_start                         # Open vSwitch runs, path a is there
#     network_path b                        # another one, which nothing goes through yet
#     daemon_start rtvsd; network_host 1 rtvsd rate=20Mbit    # port "uplink" of the daemon, with these parameters
#     daemon_start two; network_host 2 two
#     ctl bridge add br0; daemon=two ctl bridge add br0
#     network_tunnels br0 dscp=deadline     # ports "to2" of host 1 and "to1" of host 2: key, clock=peer, timestamps
#     wait_until 10 network_is_up           # the hosts know each other and their clocks
#     network_limit a 10mbit 80 18 26 34 46 # 10 Mbit/s; 80 packets wait at most; these DSCPs go first
#     network_ofctl add-flow net "priority=10,in_port=host1,ip,nw_tos=184,actions=output:b1"  # EF takes path b (tos = 4 * DSCP)
#     network_ofctl del-flows --strict net "priority=10,in_port=host1,ip,nw_tos=184"          # and path a again
#     network_unlimit a
#
# Guests are the caller's: any port of br0 on either host. Daemons' tap interfaces share one
# namespace until they are moved, so names differ, "host1" and "host2" are taken, and so is
# net_tap15 of both daemons.

network_mtu=1700
network_names=() # of the daemons of host 1 and 2

network_ovs() { OVS_RUNDIR=$work/ovs OVS_LOGDIR=$work/ovs "$@"; }
network_vsctl() { network_ovs ovs-vsctl "--db=unix:$work/ovs/db.sock" --timeout=20 "$@"; }
network_ofctl() { network_ovs ovs-ofctl --names "$@"; }

network_start() {
	mkdir -p "$work/ovs"
	netns_add net
	network_ovs ovsdb-tool create "$work/ovs/conf.db" /usr/share/openvswitch/vswitch.ovsschema
	network_ovs start ovsdb ovsdb-server "$work/ovs/conf.db" "--remote=punix:$work/ovs/db.sock"
	wait_until 10 test -S "$work/ovs/db.sock" || return
	network_vsctl --no-wait init
	network_ovs start ovs-vswitchd ip netns exec net ovs-vswitchd "unix:$work/ovs/db.sock"
	network_vsctl add-br net -- set bridge net datapath_type=netdev fail_mode=secure
	network_path a
	network_ofctl add-flow net "priority=1,in_port=1,actions=output:11"
	network_ofctl add-flow net "priority=1,in_port=2,actions=output:12"
}

network_port() { # NAME NUMBER: an interface in the namespace
	ip -n net link set "$1" addrgenmode none mtu $network_mtu up
	network_vsctl add-port net "$1" -- set interface "$1" "ofport_request=$2"
}

network_path() { # a|b
	local first=11
	[ "$1" = a ] || first=21
	ip -n net link add "${1}1" type veth peer name "${1}2"
	network_port "${1}1" $first
	network_port "${1}2" $((first + 1))
	network_ofctl add-flow net "priority=1,in_port=$first,actions=output:1"
	network_ofctl add-flow net "priority=1,in_port=$((first + 1)),actions=output:2"
}

# Gives a daemon its uplink on the network.
network_host() { # 1|2 DAEMON [PARAM=VALUE...]
	local n=$1
	network_names[n]=$2
	shift 2
	daemon=${network_names[n]} ctl port add uplink type=ethdev "devargs=net_tap15,iface=host$n" mtu=$network_mtu \
		"address=192.0.2.$n/24" "$@" >/dev/null
	ip link set "host$n" netns net
	network_port "host$n" "$n"
}

# A tunnel between bridges of the same name on both hosts; parameters are for both ends.
network_tunnels() { # BRIDGE [PARAM=VALUE...]
	local bridge=$1 n
	shift
	(umask 077 && printf '1 %s\n' "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" >"$work/network.key")
	for n in 1 2; do
		daemon=${network_names[n]} ctl port add "to$((3 - n))" type=geneve uplink=uplink "remote=192.0.2.$((3 - n))" vni=100 \
			"bridge=$bridge" "key_file=$work/network.key" clock=peer "$@" >/dev/null
	done
}

network_is_up() { network_knows 1 && network_knows 2; }
network_knows() { # 1|2
	[ "$(daemon=${network_names[$1]} ctl -j peer list | json 'any(p["known"] and p["clock_known"] for p in d)')" = true ]
}

# Limits a path towards host 2. The DSCPs have half of it for themselves and go first; both may use
# all of it.
network_limit() { # a|b RATE PACKETS [DSCP...]
	local port=${1}1 rate=$2 limit=$3 dscp
	shift 3
	tc -n net qdisc add dev "$port" root handle 1: htb default 20
	tc -n net class add dev "$port" parent 1: classid 1:1 htb rate "$rate"
	tc -n net class add dev "$port" parent 1:1 classid 1:10 htb rate "$((${rate%mbit} * 500))kbit" ceil "$rate" prio 0
	tc -n net class add dev "$port" parent 1:1 classid 1:20 htb rate "$((${rate%mbit} * 500))kbit" ceil "$rate" prio 1
	# Qdiscs that drop the arriving packet refuse the rest of Open vSwitch's burst with it,
	# whatever its class.
	tc -n net qdisc add dev "$port" parent 1:10 pfifo_head_drop limit "$limit"
	tc -n net qdisc add dev "$port" parent 1:20 pfifo_head_drop limit "$limit"
	for dscp; do
		tc -n net filter add dev "$port" parent 1: protocol ip u32 match ip tos $((dscp * 4)) 0xfc flowid 1:10
	done
}

network_unlimit() { tc -n net qdisc del dev "${1}1" root; } # a|b
