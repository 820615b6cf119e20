#!/usr/bin/env bash
# Two daemons, and an Open vSwitch, each with guests, meet on a network without other hosts: Geneve
# tunnels between them.
. "$(dirname "$0")/lib.sh"

# The network: a Linux bridge in a namespace.
netns_add net
ip -n net link add lan type bridge
ip -n net link set lan up mtu 1700
n_hosts=0
host() { # NAME ADDRESS/LEN: a daemon whose uplink is on the network, and a bridge
	daemon_start "$1" --metrics "unix:$work/$1-metrics.sock"
	daemon=$1 ctl port add "up$1" type=ethdev "devargs=net_tap0,iface=up$1" mtu=1700 "address=$2" dscp=keep
	netns_give net "up$1"
	# The cable's end has another address than the daemon's: a bridge keeps what is for its own.
	n_hosts=$((n_hosts + 1))
	ip -n net link set "up$1" address "02:00:00:09:00:0$n_hosts"
	ip -n net link set "up$1" master lan mtu 1700
	daemon=$1 ctl bridge add br0
}
guest() { # HOST NAME ADDRESS/LEN [PARAM=VALUE...]
	local host=$1 name=$2 address=$3
	shift 3
	n_guests=$((n_guests + 1))
	daemon=$host ctl port add "$name" type=ethdev "devargs=net_tap$n_guests,iface=$name" "$@"
	netns_add "$name"
	netns_give "$name" "$name" "$address"
}
n_guests=0
host rtvsd 10.9.0.1/24
host b 10.9.0.2/24
guest rtvsd ga 10.0.0.1/24 bridge=br0
guest b gb 10.0.0.2/24 bridge=br0
ctl port add tob type=geneve uplink=uprtvsd remote=10.9.0.2 vni=100 bridge=br0
daemon=b ctl port add toa type=geneve uplink=upb remote=10.9.0.1 vni=100 bridge=br0

both_are_conserved() { is_conserved && daemon=b is_conserved; }

guests_of_two_hosts_meet() {
	wait_for 10 is_port_state tob connected true
	wait_for 10 can_ping ga 10.0.0.2
	ns ga ping -c 10 -i 0.05 -W 1 -s 1472 -M "do" 10.0.0.2
	ns gb ping -c 10 -i 0.05 -W 1 10.0.0.1
	[ "$(port_stat tob tx_pkts)" -ge 20 ] || fail "they did not go through the tunnel"
	both_are_conserved
}

tcp_passes() {
	start iperf ip netns exec gb iperf3 -s -1
	wait_for 5 ns gb sh -c 'ss -ltn | grep -q :5201'
	ns ga timeout 15 iperf3 -c 10.0.0.2 -t 2 -J >"$work/iperf.json"
	[ "$(json 'int(d["end"]["sum_received"]["bits_per_second"])' <"$work/iperf.json")" -gt 10000000 ] || fail "below 10 Mbit/s"
	both_are_conserved
}

macs_are_learned_behind_tunnels() {
	wait_for 10 can_ping ga 10.0.0.2
	expect "port of gb's MAC" tob \
		"$(ctl -j mac list bridge=br0 | json "[m['port'] for m in d['macs'] if m['mac'] == '$(ns gb cat /sys/class/net/gb/address)'][0]")"
}

other_networks_stay_apart() {
	local before
	wait_for 10 can_ping ga 10.0.0.2
	before=$(daemon=b port_stat upb no_tunnel)
	ctl port del tob
	ctl port add tob type=geneve uplink=uprtvsd remote=10.9.0.2 vni=101 bridge=br0
	cannot_ping ga 10.0.0.2
	[ "$(daemon=b port_stat upb no_tunnel)" -gt "$before" ] || fail "nothing was counted"
	ctl port del tob
	ctl port add tob type=geneve uplink=uprtvsd remote=10.9.0.2 vni=100 bridge=br0
	wait_for 10 can_ping ga 10.0.0.2
	both_are_conserved
}

unanswered_next_hop_is_told() {
	ctl port add nobody type=geneve uplink=uprtvsd remote=10.9.0.77 vni=7 bridge=br0
	ctl port add beyond type=geneve uplink=uprtvsd remote=10.8.0.1 vni=7 bridge=br0
	ns ga ping -c 2 -i 0.1 -W 1 10.0.0.99 || : # an ARP request, to all
	expect_match "does not answer" "$(port_state nobody detail)"
	wait_for 5 is_stat_above nobody no_neighbor 0
	wait_for 5 is_stat_above beyond no_neighbor 0
	ctl port del nobody
	ctl port del beyond
	is_conserved
}

works_over_ipv6_and_vlans() {
	ctl port del tob
	daemon=b ctl port del toa
	ctl port set uprtvsd address=fd09::1/64 vlan=12
	daemon=b ctl port set upb address=fd09::2/64 vlan=12
	ctl port add tob type=geneve uplink=uprtvsd remote=fd09::2 vni=100 bridge=br0
	daemon=b ctl port add toa type=geneve uplink=upb remote=fd09::1 vni=100 bridge=br0
	wait_for 10 is_port_state tob connected true
	wait_for 10 can_ping ga 10.0.0.2
	ns ga ping -c 10 -i 0.05 -W 1 -s 1472 -M "do" 10.0.0.2
	both_are_conserved
	ctl port del tob
	daemon=b ctl port del toa
	ctl port set uprtvsd address=10.9.0.1/24 vlan=0
	daemon=b ctl port set upb address=10.9.0.2/24 vlan=0
	ctl port add tob type=geneve uplink=uprtvsd remote=10.9.0.2 vni=100 bridge=br0
	daemon=b ctl port add toa type=geneve uplink=upb remote=10.9.0.1 vni=100 bridge=br0
}

wrong_parameters_are_named() {
	expect_fails "uplink: needed" ctl port add x type=geneve remote=10.9.0.2
	expect_fails "uplink: port nic9 does not exist" ctl port add x type=geneve uplink=nic9 remote=10.9.0.2
	expect_fails "uplink: port ga has no address" ctl port add x type=geneve uplink=ga remote=10.9.0.2
	expect_fails "remote: must be one IPv4 address" ctl port add x type=geneve uplink=uprtvsd remote=fd00::1
	expect_fails "remote: must be one IPv4 address" ctl port add x type=geneve uplink=uprtvsd remote=10.9.0.0/24
	expect_fails "remote: is the uplink's own" ctl port add x type=geneve uplink=uprtvsd remote=10.9.0.1
	expect_fails "vni: .* out of range 0 to 16777215" ctl port add x type=geneve uplink=uprtvsd remote=10.9.0.9 vni=16777216
	expect_fails "vni: port tob has this" ctl port add x type=geneve uplink=uprtvsd remote=10.9.0.2 vni=100
	expect_fails "mtu: 1600 needs an uplink with an mtu of 1710" ctl port add x type=geneve uplink=uprtvsd remote=10.9.0.9 mtu=1600
	expect_fails "vni: only for type=geneve" ctl port add x type=ethdev devargs=net_null9 vni=3
	expect_fails "port tob goes through port uprtvsd" ctl port set uprtvsd address=10.9.0.5/24
	expect_fails "port tob goes through port uprtvsd" ctl port del uprtvsd
	expect_fails "address: only for a port without bridge" ctl port set ga address=10.9.0.7/24
	expect_fails "mtu: 2001 is out of range 68 to 2000" ctl port set uprtvsd mtu=2001
	expect_fails "gateway: must be another address" ctl port add x type=ethdev devargs=net_null9 address=10.7.0.1/24 gateway=fd00::1
}

configuration_comes_back() {
	ctl config dump >"$work/dump.json"
	python3 -c 'import json, sys; print(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "config.apply", "params": {"calls": json.load(sys.stdin)}}))' \
		<"$work/dump.json" | socat -t 5 - "unix-connect:$work/rtvsd.sock" | json 'd["result"]'
	ctl config dump | diff "$work/dump.json" -
	wait_for 10 can_ping ga 10.0.0.2
}

# Open vSwitch's own Geneve, in user space, with a guest.
ovs() { OVS_RUNDIR=$work OVS_LOGDIR=$work "$@"; }
vsctl() { ovs ovs-vsctl "--db=unix:$work/ovsdb.sock" --timeout=20 "$@"; }
meets_open_vswitch() {
	netns_add ovs
	ip -n net link add vo type veth peer name vo1
	ip -n net link set vo master lan up mtu 1700
	ip -n net link set vo1 netns ovs
	ip -n ovs link set vo1 up mtu 1700
	ovs ovsdb-tool create "$work/conf.db" /usr/share/openvswitch/vswitch.ovsschema
	start ovsdb env "OVS_RUNDIR=$work" "OVS_LOGDIR=$work" ovsdb-server "$work/conf.db" "--remote=punix:$work/ovsdb.sock"
	wait_for 10 test -S "$work/ovsdb.sock"
	vsctl --no-wait init
	start vswitchd ip netns exec ovs env "OVS_RUNDIR=$work" "OVS_LOGDIR=$work" ovs-vswitchd "unix:$work/ovsdb.sock"
	vsctl add-br phy -- set bridge phy datapath_type=netdev -- add-port phy vo1
	ip -n ovs address add 10.9.0.3/24 dev phy
	ip -n ovs link set phy up mtu 1700
	vsctl add-br int -- set bridge int datapath_type=netdev -- add-port int gnv -- \
		set interface gnv type=geneve options:remote_ip=10.9.0.1 options:key=300 -- \
		add-port int og -- set interface og type=internal
	netns_add og
	ip -n ovs link set og netns og
	ip -n og address add 10.0.3.3/24 dev og
	ip -n og link set og up
	ctl bridge add br3
	n_guests=20 guest rtvsd g3 10.0.3.1/24 bridge=br3
	ctl port add toovs type=geneve uplink=uprtvsd remote=10.9.0.3 vni=300 bridge=br3
	wait_for 10 is_port_state toovs connected true
	wait_for 20 can_ping g3 10.0.3.3
	ns g3 ping -c 10 -i 0.05 -W 1 10.0.3.3
	ns og ping -c 10 -i 0.05 -W 1 10.0.3.1
	is_conserved
}

daemon_mac() { ctl -j port show uprtvsd | json 'd["state"]["mac"]'; }
underlay() { ns net python3 "$top/test/smoke/underlay.py" "$1" "$(daemon_mac)" "${@:2}"; } # IFACE COMMAND [ARG...]

# What leaves: the sender's class outside, the packet as it was inside; our option, or none.
outer_headers_say_what_they_should() {
	wait_for 10 can_ping ga 10.0.0.2
	ctl system set dscp_classes=5ms:ef
	ctl port set ga deadline=2ms
	seen_on_the_wire >"$work/plain"
	expect "DSCP kept, as by default" "0 100 36 0" "$(sort -u "$work/plain")"
	ctl port set tob dscp=deadline
	seen_on_the_wire >"$work/marked"
	expect "DSCP by deadline" "184 100 36 0" "$(sort -u "$work/marked")"
	ctl port del tob
	ctl port add tob type=geneve uplink=uprtvsd remote=10.9.0.2 vni=100 bridge=br0 timestamps=off
	wait_for 10 can_ping ga 10.0.0.2
	seen_on_the_wire -Q 0x29 >"$work/bare"
	expect "without option; DSCP and ECN of the packet" "41 100 0 41" "$(sort -u "$work/bare")"
	ctl port del tob
	ctl port add tob type=geneve uplink=uprtvsd remote=10.9.0.2 vni=100 bridge=br0
	wait_for 10 can_ping ga 10.0.0.2
}
seen_on_the_wire() { # [PING OPTION...]
	ns ga ping -c 12 -i 0.2 -W 1 "$@" 10.0.0.2 >"$work/pings" &
	underlay upb watch 10.9.0.1 1.5
	wait $!
}

guests_never_see_the_tunnel() {
	wait_for 10 can_ping ga 10.0.0.2
	start sniff ip netns exec gb timeout 8 tcpdump -i gb -c 5 -w "$work/gb.pcap" icmp
	wait_for 5 grep -q "listening on" "$work/sniff.log"
	ns ga ping -c 6 -i 0.1 -s 56 -p abcd -Q 0x28 10.0.0.2
	wait_for 10 is_stopped sniff
	tshark -r "$work/gb.pcap" -T fields -e frame.len -e ip.dsfield -Y 'icmp.type == 8' >"$work/seen" 2>/dev/null
	expect "what the guest received" "$(printf '98\t0x28')" "$(sort -u "$work/seen")"
}

# Frames of the guest's MTU, each within its tokens, with what the tunnel adds.
burst_of_one_frame_is_guaranteed() {
	local n
	wait_for 10 can_ping ga 10.0.0.2
	ctl port set uprtvsd rate=100Mbit
	ctl port set ga min_rate=10Mbit deadline=50ms burst=1514B
	n=$(ctl -j flow list port=uprtvsd from=ga | json 'd[0]["guaranteed_pkts"] if d else 0')
	ns ga ping -c 10 -i 0.05 -W 1 -s 1472 -M "do" 10.0.0.2
	n=$(($(ctl -j flow list port=uprtvsd from=ga | json 'd[0]["guaranteed_pkts"]') - n))
	[ "$n" -ge 10 ] || fail "$n of 10 were guaranteed"
	ctl port set ga min_rate=0 deadline=0 burst=15kB
	ctl port set uprtvsd rate=0
	both_are_conserved
}

# The guest's kernel hears what fits, and sends that.
large_packets_find_their_size() {
	local before
	wait_for 10 can_ping ga 10.0.0.2
	ctl port set tob mtu=1400
	expect_fails "mtu ?= ?1400" ns ga ping -c 2 -i 0.2 -W 1 -s 1472 -M "do" 10.0.0.2
	ns ga ping -c 2 -i 0.2 -W 1 -s 1372 -M "do" 10.0.0.2
	ip -n ga addr add fd00::1/64 dev ga nodad
	ip -n gb addr add fd00::2/64 dev gb nodad
	wait_for 10 can_ping ga fd00::2
	expect_fails "mtu ?= ?1400" ns ga ping -c 2 -i 0.2 -W 1 -s 1452 -M "do" fd00::2
	ns ga ping -c 2 -i 0.2 -W 1 -s 1452 fd00::2 # in fragments
	# Who does not ask for the size is sent in fragments.
	before=$(port_stat tob replicated)
	ip -n ga route flush cache # it remembers
	ns ga ping -c 3 -i 0.2 -W 1 -s 1472 -M dont 10.0.0.2
	[ "$(port_stat tob replicated)" -ge $((before + 3)) ] || fail "they were not fragmented here"
	expect "unfragmentable" 0 "$(port_stat tob unfragmentable)"
	ctl port set tob mtu=1500
	ip -n ga route flush cache
	ip -n ga -6 route flush cache
	is_conserved
}

# Both daemons have this machine's clock.
delays_and_losses_are_measured() {
	ctl port set ga deadline=200ms
	ns ga ping -c 2 -i 0.2 -W 1 10.0.0.2
	wait_for 5 is_measured
	daemon=b ctl -j flow remote port=toa >"$work/before"
	ns ga ping -c 30 -i 0.02 -W 1 10.0.0.2
	daemon=b ctl -j flow remote port=toa >"$work/after"
	n=$(remote_count received)
	{ [ "$n" -ge 30 ] && [ "$n" -le 33 ]; } || fail "received $n of 30 and ARP"
	expect "lost" 0 "$(remote_count lost)"
	expect "sooner than at once" 0 "$(remote_count impossible)"
	[ "$(json 'd[0]["delay"]["max_ns"]' <"$work/after")" -lt 1000000000 ] || fail "a second through this machine"
	[ "$(json 'd[0]["delay"]["p50_ns"] >= d[0]["network"]["p50_ns"] > 0' <"$work/after")" = true ] || fail "more on the network than in all"
	expect_fails "port: ga is not of type=geneve" ctl flow remote port=ga
	daemon=b shows_what_was_measured "$(json 'd[0]["flow"]' <"$work/after")"
}
shows_what_was_measured() { # FLOW
	local page
	ctl latency toa >"$work/latency"
	expect_match "flow $1 through toa, deadline 200ms: [0-9]+ packets, [0-9]+ missed, [0-9]+ lost, [0-9]+ unjudged" "$(cat "$work/latency")"
	expect_match "end to end, .* p99.99 .* max .*on the network, .* less on average.* max " "$(tr '\n' ' ' <"$work/latency")"
	expect_match "^flow $1 through" "$(ctl latency toa "flow=$1")"
	expect_match "no port with a schedule" "$(ctl latency gb)"
	expect_fails "port toc does not exist" ctl latency toc
	expect_fails "flow: nothing came of 99 through toa" ctl latency toa flow=99
	expect_fails "port: gb is not of type=geneve" ctl latency gb flow=1
	expect_match "REMOTE FLOWS.*toa +$1 +200ms" "$(ctl top interval=100ms count=1 | tr '\n' ' ')"
	expect "flows of the tunnel in stats" "$1" "$(ctl -j stats get port=toa | json 'd["ports"][0]["remote_flows"][0]["flow"]')"
	page=$(curl -s -m 5 --unix-socket "$work/b-metrics.sock" http://x/metrics)
	expect_match "remote_flow_received_packets_total.tunnel=\"toa\",flow=\"$1\". [1-9]" "$page"
	expect_match "remote_flow_delay_seconds_bucket.tunnel=\"toa\"" "$page"
	expect_match "remote_flow_network_seconds_count.tunnel=\"toa\"" "$page"
}
is_measured() { [ "$(daemon=b ctl -j flow remote port=toa | json 'len(d)')" = 1 ]; }
remote_count() { echo $(($(json "d[0]['$1']" <"$work/after") - $(json "d[0]['$1']" <"$work/before"))); }

# Daemons that share a key.
new_key() { printf '%s %s\n' "$1" "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')"; }
peer_stat() { ctl -j peer list | json "d[0]['$1']"; }
is_peer() { [ "$(peer_stat "$1")" = "$2" ]; }
is_peer_above() { [ "$(peer_stat "$1")" -gt "$2" ]; }
daemons_know_each_other_and_their_clocks() {
	(umask 077 && new_key 1 >"$work/keys.a" && cp "$work/keys.a" "$work/keys.b")
	wait_for 10 can_ping ga 10.0.0.2
	ctl port set tob "key_file=$work/keys.a" clock=peer
	daemon=b ctl port set toa "key_file=$work/keys.b" clock=peer
	wait_for 10 is_peer known true
	wait_for 10 is_peer clock_known true
	wait_for 5 is_peer_above accepted 10
	ctl -j peer list
	[ "$(ctl -j peer list | json 'abs(d[0]["offset_ns"]) <= d[0]["uncertainty_ns"]')" = true ] || fail "one clock, but another time"
	wait_for 10 is_known_by_b
	expect "forged" 0 "$(peer_stat forged)"
	expect_match "PEERS.*10.9.0.2 +uprtvsd +yes +yes" "$(ctl top interval=100ms count=1 | tr '\n' ' ')"
	expect_match "peer_known.uplink=\"uprtvsd\",address=\"10.9.0.2\". 1" "$(curl -s -m 5 --unix-socket "$work/rtvsd-metrics.sock" http://x/metrics)"
}

is_known_by_b() { daemon=b is_peer known true; }

messages_come() { wait_for 10 is_peer_above accepted $(($(peer_stat accepted) + ${1:-5})); } # [HOW MANY]

keys_are_changed_without_loss() {
	local before
	(umask 077 && { cat "$work/keys.a"; new_key 2; } >"$work/keys.new" && sed 1d "$work/keys.new" >"$work/keys.last")
	cp "$work/keys.new" "$work/keys.a"
	ctl peer reload
	messages_come # one has both keys, the other the old one
	cp "$work/keys.new" "$work/keys.b"
	daemon=b ctl peer reload
	messages_come 20 # the newer key is found to be there
	cp "$work/keys.last" "$work/keys.a"
	ctl peer reload
	cp "$work/keys.last" "$work/keys.b"
	daemon=b ctl peer reload
	before=$(peer_stat accepted)
	wait_for 5 is_peer_above accepted $((before + 10))
	expect "under a key that it does not have" 0 "$(peer_stat unknown_key)"
	expect "forged" 0 "$(peer_stat forged)"
}

# A network that honours DSCPs, with less rate than its load, between the hosts: packets with a
# deadline move up, and down again after.
late_packets_change_their_class() {
	local class
	wait_for 10 can_ping ga 10.0.0.2
	n_guests=10 guest rtvsd flood 10.0.0.8/24 bridge=br0
	wait_for 10 can_ping flood 10.0.0.2
	ip netns exec net tc qdisc add dev upb root handle 1: htb default 20
	ip netns exec net tc class add dev upb parent 1: classid 1:1 htb rate 10mbit
	ip netns exec net tc class add dev upb parent 1:1 classid 1:10 htb rate 5mbit ceil 10mbit prio 0
	ip netns exec net tc class add dev upb parent 1:1 classid 1:20 htb rate 5mbit ceil 10mbit prio 1
	ip netns exec net tc qdisc add dev upb parent 1:20 pfifo limit 100
	for class in 0x48 0x68 0x88 0xb8; do # AF21 to EF
		ip netns exec net tc filter add dev upb parent 1: protocol ip u32 match ip tos $class 0xfc flowid 1:10
	done
	ctl system set dscp_classes=5ms:ef # so it begins without one
	ctl port set ga deadline=20ms
	ctl port set tob dscp=deadline
	start events "$rtvsctl" -s "$work/rtvsd.sock" events 'flow.*'
	start iperf ip netns exec gb iperf3 -s
	start iperf2 ip netns exec gb iperf3 -s -p 5202
	wait_for 5 ns gb sh -c 'ss -ltn | grep -q :5201 && ss -ltn | grep -q :5202'
	start rt ip netns exec ga iperf3 -c 10.0.0.2 -u -b 500k -l 200 -t 30 --forceflush
	wait_for 5 grep -q connected "$work/rt.log"
	start load ip netns exec flood iperf3 -c 10.0.0.2 -u -b 30M -l 1400 -t 5 -p 5202
	wait_for 10 is_flow raised
	wait_for 15 is_stopped load
	wait_for 25 is_at_start
	stop rt || :
	ip netns exec net tc qdisc del dev upb root
	stop events || :
	grep -q flow.raised "$work/events.log" || fail "no event"
	grep -q flow.recovered "$work/events.log" || fail "no event of the recovery"
	ctl port set tob dscp=keep
	ctl port set ga deadline=0
	ctl port del flood
	is_conserved
}
is_at_start() { [ "$(ctl -j peer list | json "['%s %s' % (f['step'], f['scheduling_deadline']) for f in d[0]['flows'] if f['port'] == 'ga'][0]")" = "0 20ms" ]; }
is_flow() { [ "$(ctl -j peer list | json "any(f['port'] == 'ga' and f['$1'] > 0 for f in d[0]['flows'])")" = true ]; }

# A flow that sends nothing: how would its packets fare? The other host's daemon reflects, and its
# clock is known.
idle_flows_are_probed() {
	wait_for 10 can_ping ga 10.0.0.2
	ctl port set ga deadline=200ms
	daemon=b ctl port set upb stamp=on
	ctl port set tob probe=100ms
	wait_for 10 is_probe received 5
	ctl -j probe list port=tob >"$work/probes"
	expect "whose" "tob ga" "$(json '"%s %s" % (d[0]["tunnel"], d[0]["port"])' <"$work/probes")"
	[ "$(json 'd[0]["rtt"]["max_ns"] > 0 and d[0]["there"]["max_ns"] > 0' <"$work/probes")" = true ] || fail "no delays"
	# Who sends is not idle.
	start busy ip netns exec ga ping -i 0.02 -c 100 10.0.0.2
	wait_for 5 is_stat_above ga rx_pkts $(($(port_stat ga rx_pkts) + 5))
	ctl -j probe list >"$work/before"
	sleep 1 # ten probes' time
	expect "probes of a busy flow" "$(json 'd[0]["sent"]' <"$work/before")" "$(ctl -j probe list | json 'd[0]["sent"]')"
	stop busy
	# Nobody reflects: they are lost.
	daemon=b ctl port set upb stamp=off
	wait_for 10 is_probe lost 3
	expect_fails "nobody" ctl probe list port=nobody
	expect_fails "probe: must be 0 or 100ms to 1h" ctl port set tob probe=99ms
	expect_fails "probe: only for type=geneve" ctl port set ga probe=1s
	ctl port set tob probe=0
	wait_for 5 has_no_probes
	ctl port set ga deadline=0
}
is_probe() { [ "$(ctl -j probe list | json "sum(p['$1'] for p in d)")" -ge "$2" ]; }
has_no_probes() { [ "$(ctl -j probe list | json 'len(d)')" = 0 ]; }

wrong_keys_are_refused() {
	echo "1 abcd" >"$work/short" && chmod 600 "$work/short"
	expect_fails "key_file: .*64 hexadecimal digits" ctl port set tob "key_file=$work/short"
	cp "$work/keys.a" "$work/open" && chmod 644 "$work/open"
	expect_fails "key_file: .*mode 0600" ctl port set tob "key_file=$work/open"
	expect_fails "key_file: .*No such file" ctl port set tob "key_file=$work/nothing"
	expect_fails "clock: peer needs key_file" ctl port set tob key_file= clock=peer
	expect_fails "key_file: only for type=geneve" ctl port set ga "key_file=$work/keys.a"
	(umask 077 && new_key 2 >"$work/other")
	daemon=b ctl port set toa "key_file=$work/other"
	wait_for 5 is_peer_above forged 0
	before=$(peer_stat accepted)
	sleep 0.5 # in which a good one would come
	expect "accepted under another key" "$before" "$(peer_stat accepted)"
	daemon=b ctl port set toa "key_file=$work/keys.b"
	wait_for 5 is_peer_above accepted "$before"
}

congestion_is_told_or_dropped() {
	local before
	wait_for 10 can_ping ga 10.0.0.2
	ctl port add evil type=geneve uplink=uprtvsd remote=10.9.0.50 vni=5 bridge=br0
	before=$(port_stat evil rx_pkts)
	underlay lan ecn 10.9.0.50 10.9.0.1 5 2
	wait_for 5 is_stat_above evil rx_pkts "$before"
	underlay lan ecn 10.9.0.50 10.9.0.1 5 3
	wait_for 5 is_stat_above evil ecn 0
	ctl port del evil
	is_conserved
}

hostile_packets_are_refused_and_counted() {
	local n=20
	wait_for 10 can_ping ga 10.0.0.2
	ctl port add evil type=geneve uplink=uprtvsd remote=10.9.0.50 vni=5 bridge=br0
	underlay lan hostile 10.9.0.50 10.9.0.1 5 $n
	wait_for 5 are_refused "$n"
	expect "among drops" none "$(ctl -j port show uprtvsd | json 'd["stats"]["drops_by_reason"].get("to_daemon", "none")')"
	[ "$(port_stat uprtvsd to_daemon)" -gt 0 ] || fail "nothing was for the daemon"
	expect "forwarded" 0 "$(port_stat evil rx_pkts)"
	ctl port del evil
	wait_for 5 can_ping ga 10.0.0.2
	is_conserved
}
are_refused() { # OF EACH KIND, AT LEAST
	local reason
	for reason in malformed checksum fragment version control protocol option; do
		[ "$(port_stat uprtvsd tunnel_$reason)" -ge "$1" ] || return
	done
}

stamp_is_reflected_where_it_may() {
	ctl port set uprtvsd stamp=on
	expect "good replies of 10" 10 "$(underlay lan stamp 10.9.0.60 10.9.0.1 10)"
	ctl port set uprtvsd stamp=off
	expect "replies when it is off" 0 "$(underlay lan stamp 10.9.0.60 10.9.0.1 2)"
	is_conserved
}

run_case "guests of two hosts meet" guests_of_two_hosts_meet
run_case "TCP passes" tcp_passes
run_case "MACs are learned behind tunnels" macs_are_learned_behind_tunnels
run_case "other VNIs stay apart" other_networks_stay_apart
run_case "outer headers say what they should" outer_headers_say_what_they_should
run_case "guests never see the tunnel" guests_never_see_the_tunnel
run_case "delays and losses are measured" delays_and_losses_are_measured
run_case "daemons know each other and their clocks" daemons_know_each_other_and_their_clocks
run_case "keys are changed without loss" keys_are_changed_without_loss
run_case "late packets change their class, and back" late_packets_change_their_class
run_case "idle flows are probed" idle_flows_are_probed
run_case "wrong keys are refused" wrong_keys_are_refused
run_case "a burst of one frame is guaranteed" burst_of_one_frame_is_guaranteed
run_case "large packets find their size" large_packets_find_their_size
run_case "congestion on the way is told, or the packet dropped" congestion_is_told_or_dropped
run_case "hostile packets are refused and counted" hostile_packets_are_refused_and_counted
run_case "STAMP packets are reflected where they may" stamp_is_reflected_where_it_may
run_case "a next hop that does not answer is told" unanswered_next_hop_is_told
run_case "works over IPv6 and VLANs" works_over_ipv6_and_vlans
run_case "wrong parameters are named" wrong_parameters_are_named
run_case "its configuration comes back" configuration_comes_back
run_case "Open vSwitch's Geneve is understood, and ours by it" meets_open_vswitch
