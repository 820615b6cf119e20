#!/usr/bin/env bash
# Guests of two hosts: two daemons whose uplinks meet on a network of their own, a Geneve tunnel
# between them, guest ga behind the first, gb behind the second. The guests know nothing of tunnels,
# times, or each other's host. The frames that one sends, by its own captures, must be those that
# the other receives. Delays are the daemons' own accounts; each assertion is a count or a state.
. "$(dirname "$0")/lib.sh"

helper() { python3 "$top/test/vm/overlay.py" "$@"; }

# The network: a Linux bridge in a namespace.
netns_add net
ip -n net link add lan type bridge
ip -n net link set lan up mtu 1700
n_hosts=0
host() { # NAME ADDRESS/LEN: a daemon whose uplink is on the network, and a bridge
	daemon_start "$1"
	daemon=$1 ctl port add "up$1" type=ethdev "devargs=net_tap0,iface=up$1" mtu=1700 "address=$2" dscp=keep
	netns_give net "up$1"
	# The cable's end has another address than the daemon's: a bridge keeps what is for its own.
	n_hosts=$((n_hosts + 1))
	ip -n net link set "up$1" address "02:00:00:09:00:0$n_hosts"
	ip -n net link set "up$1" master lan mtu 1700
	daemon=$1 ctl bridge add br0
}
container() { # HOST NAME ADDRESS/LEN
	n_containers=$((n_containers + 1))
	daemon=$1 ctl port add "$2" type=ethdev "devargs=net_tap$n_containers,iface=$2" bridge=br0
	netns_add "$2"
	netns_give "$2" "$2" "$3"
}
n_containers=0
host rtvsd 10.9.0.1/24
host b 10.9.0.2/24
ctl port add ga "socket=$work/ga.sock" bridge=br0
daemon=b ctl port add gb "socket=$work/gb.sock" bridge=br0
vm_start ga "nic=$work/ga.sock" mac=52:54:00:00:00:0a ip=10.0.0.11/24
vm_start gb "nic=$work/gb.sock" mac=52:54:00:00:00:0b ip=10.0.0.12/24
(umask 077 && printf '1 %s\n' "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" >"$work/keys")
tunnel() { # HOST NAME UPLINK REMOTE
	daemon=$1 ctl port add "$2" type=geneve "uplink=$3" "remote=$4" vni=100 bridge=br0 dscp=deadline "key_file=$work/keys" clock=peer
}
tunnel rtvsd tob uprtvsd 10.9.0.2
tunnel b toa upb 10.9.0.1
container rtvsd flood 10.0.0.21/24
container b sink 10.0.0.22/24
wait_guests ga gb
in_guest gb 10 "iperf3 -s -D"

both_are_conserved() { is_conserved && daemon=b is_conserved; }
peer_stat() { ctl -j peer list | json "d[0]['$1']"; }
is_peer() { [ "$(peer_stat "$1")" = "$2" ]; }
is_peer_above() { [ "$(peer_stat "$1")" -gt "$2" ]; }
at_b() { daemon=b "$@"; }

clocks_are_known() {
	wait_for 20 is_peer clock_known true
	wait_for 20 at_b is_peer clock_known true
}

iperf_bytes() { sed -n '/^{/,$p' | json 'int(d["end"]["sum_received" if "sum_received" in d["end"] else "sum"]["bytes"])'; }
guests_of_two_hosts_meet() {
	local what before
	wait_for 30 guest_pings ga 10.0.0.12
	wait_for 30 guest_pings gb 10.0.0.11
	before=$(port_stat tob tx_pkts)
	in_guest ga 20 "ping -c 10 -i 0.05 -W 2 -s 1472 -M do 10.0.0.12"
	in_guest gb 20 "ping -c 10 -i 0.05 -W 2 10.0.0.11"
	[ "$(port_stat tob tx_pkts)" -ge $((before + 20)) ] || fail "they did not go through the tunnel"
	for what in "" "-R" "-u -b 2M -l 1200" "-u -b 2M -l 1200 -R"; do
		in_guest ga 30 "iperf3 -c 10.0.0.12 -t 1 $what -J" >"$work/iperf.json"
		echo "iperf3 $what: $(iperf_bytes <"$work/iperf.json") bytes"
		[ "$(iperf_bytes <"$work/iperf.json")" -gt 50000 ] || fail "iperf3 $what: hardly anything arrived"
	done
	both_are_conserved
}

# Begins and ends the captures of both guests and of the network.
capture_begin() { # FILTER
	for guest in ga gb; do
		in_guest $guest 10 "rm -f /tmp/cap /tmp/cap.err; (tcpdump --immediate-mode -U -i eth0 -w /tmp/cap '$1' >/tmp/cap.err 2>&1 &)"
	done
	: >"$work/wire.log"
	start wire ip netns exec net tcpdump --immediate-mode -U -i upb -w "$work/wire.pcap"
	wait_for 10 grep -q 'listening on' "$work/wire.log"
	for guest in ga gb; do wait_for 20 in_guest $guest 5 "grep -q 'listening on' /tmp/cap.err"; done
}
capture_end() {
	stop wire INT
	for guest in ga gb; do
		in_guest $guest 20 "pkill -INT tcpdump; while pidof tcpdump >/dev/null; do sleep 0.1; done; busybox base64 /tmp/cap" >"$work/cap.$guest.txt"
		base64 -d <"$work/cap.$guest.txt" >"$work/cap.$guest"
	done
}
captured() { in_guest "$1" 10 "tcpdump -r /tmp/cap '$3' 2>/dev/null | wc -l" | has_line -x "$2"; } # GUEST N FILTER

# Marked packets of both, with DSCPs (and ECN) of their own: CS3 ones; a short, an odd and a long
# datagram with CS1 and ECT(0). Outside: AF21 by the deadline of ga; gb's packets, without a
# deadline, keep their own DSCP.
guests_never_see_the_tunnel() {
	wait_for 20 guest_pings ga 10.0.0.12
	# As a NIC without offloads sends it: the checksum is in the sender's capture, too.
	in_guest ga 10 "ethtool -K eth0 tx off"
	ctl port set ga deadline=200ms feedback=measure
	capture_begin "udp port 7777 or icmp[icmptype] == 0 or icmp[icmptype] == 8"
	in_guest ga 20 "ping -c 5 -i 0.1 -W 2 -Q 0x60 -p 727476732d76 10.0.0.12"
	in_guest ga 20 "for n in 1 33 230; do yes rtvs-v | tr -d '\n' | head -c \$((n * 6)) | socat -u -b 8192 - UDP4-SENDTO:10.0.0.12:7777,ip-tos=0x22; done"
	for guest in ga gb; do
		wait_for 20 captured $guest 3 udp
		wait_for 20 captured $guest 10 icmp
	done
	capture_end
	ctl port set ga deadline=0 feedback=act
	in_guest ga 10 "ethtool -K eth0 tx on"
	helper compare "$work/cap.ga" "$work/cap.gb" "$work/wire.pcap" rtvs-v | tee "$work/compared"
	# Inner CS3 and outer AF21; inner CS1 and outer AF21, both with ECT(0); the replies of b
	# unchanged.
	expect "packets, TOS inside and outside" "3 34 74 5 96 72 5 96 96" "$(paste -s -d ' ' "$work/compared")"
	both_are_conserved
}

# A network that honours DSCPs, with less rate than its load, towards b. Control (CS6) and packets
# with a class go first.
congest() {
	local class
	ip netns exec net tc qdisc add dev upb root handle 1: htb default 20
	ip netns exec net tc class add dev upb parent 1: classid 1:1 htb rate 4mbit
	ip netns exec net tc class add dev upb parent 1:1 classid 1:10 htb rate 2mbit ceil 4mbit prio 0
	ip netns exec net tc class add dev upb parent 1:1 classid 1:20 htb rate 2mbit ceil 4mbit prio 1
	ip netns exec net tc qdisc add dev upb parent 1:20 pfifo limit 100
	for class in 0x48 0x68 0x88 0xb8 0xc0; do # AF21 to EF, CS6
		ip netns exec net tc filter add dev upb parent 1: protocol ip u32 match ip tos $class 0xfc flowid 1:10
	done
	start load ip netns exec flood python3 "$top/test/vm/overlay.py" load 10.0.0.22 12
	wait_for 20 is_congested 0
}
network_drops() { ip netns exec net tc -s -j qdisc show dev upb | json "sum(q['drops'] for q in d if q['kind'] == 'pfifo')"; }
is_congested() { [ "$(network_drops)" -gt "$1" ]; } # SINCE
relieve() { ip netns exec net tc qdisc del dev upb root; }

flow_state() { ctl -j peer list | json "[f['$1'] for f in d[0]['flows'] if f['port'] == 'ga'][0]"; }
is_flow() { [ "$(flow_state "$1")" = "$2" ]; }
is_measured() { [ "$(flow_state missed)" -gt 0 ]; }
is_raised() { [ "$(flow_state step)" -gt 0 ]; }
is_at_start() { is_flow step 0 && is_flow scheduling_deadline 50ms; }
# Packets of ga, as the far daemon counts them: flow 1, since its daemon got that port second.
remote() { daemon=b ctl -j flow remote port=toa | json "sum(f['$1'] for f in d if f['flow'] == 1)"; }
is_remote_above() { [ "$(remote "$1")" -gt "$2" ]; }

# In 100 packets, while the network dropped others.
hundred_arrive() {
	received=$(remote received) missed=$(remote missed) drops=$(network_drops)
	wait_until 30 is_remote_above received $((received + 99)) || { echo "100 packets do not arrive"; return 1; }
	is_congested "$drops" || { echo "the network is not congested any more"; return 1; }
	missed=$(($(remote missed) - missed))
}
is_clean() { is_raised && hundred_arrive && [ "$missed" = 0 ]; }

realtime_begin() { in_guest ga 10 "(ping -q -i 0.01 -W 1 10.0.0.12 >/tmp/rt 2>&1 &)"; }
realtime_end() { in_guest ga 20 "pkill -INT ping; sleep 0.2; cat /tmp/rt"; }
# A flow with a deadline through a network that has room. The far end counts anew: a flow that has
# used up its reports gets one every 5 s.
flow_begin() { # MODE
	daemon=b ctl port del toa
	tunnel b toa upb 10.9.0.1
	wait_for 20 guest_pings ga 10.0.0.12
	wait_for 10 can_ping flood 10.0.0.22
	wait_for 10 is_peer known true
	clocks_are_known
	ctl system set dscp_classes=5ms:ef # so it begins without a class
	ctl port set ga deadline=50ms "feedback=$1"
	: >"$work/events.log"
	start events "$rtvsctl" -s "$work/rtvsd.sock" events 'flow.*'
	realtime_begin
}
flow_end() {
	realtime_end
	stop events || :
	ctl port set ga deadline=0 feedback=act
	both_are_conserved
}

deadlines_are_kept_through_congestion() {
	local before
	flow_begin act
	before=$(remote missed)
	congest
	wait_for 30 is_remote_above missed "$before"
	wait_for 30 is_raised
	wait_for 60 is_clean
	is_running load || fail "the load ended by itself"
	echo "$(remote missed) missed, $(flow_state raised) raised"
	stop load
	wait_for 90 is_at_start
	relieve
	flow_end
	grep -q flow.raised "$work/events.log" || fail "no event"
	grep -q flow.recovered "$work/events.log" || fail "no event of the recovery"
}

nothing_is_kept_without_feedback() { # MODE
	flow_begin "$1"
	congest
	wait_for 30 is_remote_above missed "$(remote missed)"
	for _ in 1 2; do
		hundred_arrive
		echo "$missed missed"
		[ "$missed" -gt 50 ] || fail "only $missed of 100 missed though nothing was done"
	done
	expect "flows that were raised" 0 "$(ctl -j peer list | json "sum(f['step'] + f['raised'] + f['shortened'] for f in d[0]['flows'])")"
	[ "$1" = off ] || wait_for 30 is_measured
	stop load
	relieve
	flow_end
	expect "events" "" "$(grep -o 'flow\.[a-z]*' "$work/events.log" || :)"
}

# What the daemons keep of each other, but for what grows by itself.
peers_state() { ctl -j peer list | json "[[p[k] for k in ('address', 'clock_steps', 'replayed', 'elsewhere', 'malformed', 'unknown_key', 'forged', 'reports', 'flows')] for p in d]"; }
tunnels_state() { ctl -j flow remote | json "[[f[k] for k in ('tunnel', 'flow', 'reordered', 'late', 'duplicates', 'restarts', 'missed', 'impossible')] for f in d]"; }
state() { ctl config dump && peers_state && tunnels_state; }
uplink_mac() { ctl -j port show "$1" | json 'd["state"]["mac"]'; }

# Datagrams of the daemons, byte for byte, sent again by a guest in their names, to all MACs that
# could be meant.
guests_cannot_speak_for_daemons() {
	local from to mac own other before n=0
	wait_for 20 guest_pings ga 10.0.0.12
	clocks_are_known
	ctl port set ga deadline=2s # so that a report would have an effect
	capture_begin icmp
	in_guest ga 20 "ping -c 2 -i 0.1 -W 2 10.0.0.12"
	for from in 10.9.0.1 10.9.0.2; do
		wait_for 10 recall 6081 $from
		wait_for 10 recall 6082 $from
	done
	capture_end
	other=$(at_b uplink_mac upb)
	own=$(uplink_mac uprtvsd)
	state >"$work/state.a"
	at_b state >"$work/state.b"
	capture_begin "udp port 6081 or udp port 6082 or icmp"
	while read -r from to mac; do
		in_guest ga 10 "for port in 6081 6082; do rm -f /tmp/\$port; done; ip addr add $from/32 dev eth0
			echo $(recall 6081 "$from") | busybox base64 -d >/tmp/6081
			echo $(recall 6082 "$from") | busybox base64 -d >/tmp/6082
			ip neigh replace $to lladdr $mac dev eth0; ip route replace $to dev eth0 src $from"
		in_guest ga 20 "for n in 1 2 3; do for port in 6081 6082; do socat -u -b 8192 OPEN:/tmp/\$port UDP4-SENDTO:$to:\$port,bind=$from:\$port; done; done"
		in_guest ga 10 "ip route del $to; ip neigh del $to dev eth0; ip addr del $from/32 dev eth0"
		n=$((n + 6))
	done <<-EOF
		10.9.0.1 10.9.0.2 52:54:00:00:00:0b
		10.9.0.1 10.9.0.2 $other
		10.9.0.1 10.9.0.2 $own
		10.9.0.2 10.9.0.1 $own
		10.9.0.2 10.9.0.1 ff:ff:ff:ff:ff:ff
	EOF
	# To gb they are datagrams like others, complete and unchanged. The bridge floods MACs that
	# no guest has: so gb gets them, too.
	wait_for 20 captured gb $n "udp and src net 10.9.0.0/24"
	capture_end
	captured gb 0 "icmp[icmptype] == 8" || fail "what was in the guest's tunnel packet was taken out"
	state | diff "$work/state.a" - || fail "the daemon of ga took what the guest said"
	at_b state | diff "$work/state.b" - || fail "the daemon of gb took what the guest said"
	both_are_conserved
	# The same from the network itself is known for what it is: so it would have been seen.
	before=$(at_b peer_stat replayed)
	repeat "$other" 6082
	wait_for 10 at_b is_peer_above replayed "$before"
	before=$(remote duplicates)
	repeat "$other" 6081
	wait_for 10 is_remote_above duplicates "$before"
	ctl port set ga deadline=0
}
recall() { helper find "$work/wire.pcap" "$1" "$2" 2>/dev/null; } # PORT FROM
repeat() { ns net python3 "$top/test/vm/overlay.py" send lan "$1" 10.9.0.1 10.9.0.2 "$2" "$(recall "$2" 10.9.0.1)"; } # MAC PORT

# The network has room again, and ga its plain configuration.
after_failure() {
	stop load || :
	relieve || :
	stop events || :
	stop wire || :
	realtime_end || :
	in_guest gb 10 "pkill tcpdump" || :
	in_guest ga 10 "pkill tcpdump; ethtool -K eth0 tx on" || :
	ctl port set ga deadline=0 feedback=act
}

run_case "guests of two hosts meet: ping, TCP, UDP" guests_of_two_hosts_meet
run_case "guests never see the tunnel, and are not changed by it" guests_never_see_the_tunnel
run_case "guests cannot speak for daemons" guests_cannot_speak_for_daemons
run_case "a deadline is kept through congestion" deadlines_are_kept_through_congestion
run_case "feedback=measure counts misses, and lets them be" nothing_is_kept_without_feedback measure
run_case "feedback=off does nothing" nothing_is_kept_without_feedback off
