#!/usr/bin/env bash
# Switching between kernel network namespaces on tap ports.
. "$(dirname "$0")/lib.sh"

daemon_start rtvsd
ctl bridge add br0
tap_port t1 10.0.0.1/24 bridge=br0
tap_port t2 10.0.0.2/24 bridge=br0
tap_port t3 10.0.0.3/24 bridge=br0
mac_of() { cat <(ns "$1" cat "/sys/class/net/$1/address"); }

pings_both_ways() {
	wait_for 10 can_ping t1 10.0.0.2
	ns t2 ping -c 5 -i 0.05 -W 1 10.0.0.1
	ns t1 ping -c 5 -i 0.05 -W 1 -s 1472 -M "do" 10.0.0.2
	is_conserved
}

# A sleeping worker is woken by a packet, not by the end of its longest sleep (100 ms). Two of
# twenty may be slow: another thread may have had the processor.
wakes_for_a_packet() {
	wait_for 10 can_ping t1 10.0.0.2
	ns t1 ping -c 20 -i 0.2 10.0.0.2 | tee "$work/pings"
	awk -F'time=' 'NF > 1 && $2 + 0 > 50 {slow++} END {print slow + 0, "slow"; exit !(slow <= 2)}' "$work/pings"
}

learns_macs() {
	wait_for 10 can_ping t1 10.0.0.2
	expect "port of t1's MAC" t1 "$(ctl -j mac list bridge=br0 | json "[m['port'] for m in d['macs'] if m['mac'] == '$(mac_of t1)'][0]")"
	ctl mac flush bridge=br0
	wait_for 5 can_ping t2 10.0.0.1
}

unicast_stays_private() {
	local before after
	wait_for 10 can_ping t1 10.0.0.2
	before=$(port_stat t3 tx_pkts)
	ns t1 ping -c 20 -i 0.02 -W 1 10.0.0.2
	after=$(port_stat t3 tx_pkts)
	[ $((after - before)) -lt 10 ] || fail "t3 saw $((after - before)) packets of a conversation that is not its own"
}

tcp_passes() {
	start iperf ip netns exec t2 iperf3 -s -1
	wait_for 5 ns t2 sh -c 'ss -ltn | grep -q :5201'
	ns t1 timeout 15 iperf3 -c 10.0.0.2 -t 2 -J >"$work/iperf.json"
	[ "$(json 'int(d["end"]["sum_received"]["bits_per_second"])' <"$work/iperf.json")" -gt 10000000 ] || fail "below 10 Mbit/s"
	stop iperf || :
	is_conserved
}

ipv6_passes() {
	ip -n t1 addr add fd00::1/64 dev t1 nodad
	ip -n t2 addr add fd00::2/64 dev t2 nodad
	wait_for 10 can_ping t1 fd00::2
}

access_vlans_isolate() {
	wait_for 10 can_ping t1 10.0.0.2
	ctl port set t1 vlan=10
	cannot_ping t1 10.0.0.2
	ctl port set t2 vlan=20
	cannot_ping t2 10.0.0.1
	ctl port set t2 vlan=10
	wait_for 5 can_ping t1 10.0.0.2
	cannot_ping t3 10.0.0.1
	ctl port set t1 vlan=0
	ctl port set t2 vlan=0
	wait_for 5 can_ping t1 10.0.0.2
	is_conserved
}

# The kernel here may lack 8021q: the trunk's side builds the tagged frame itself.
trunk_refuses_foreign_vlans() {
	ctl port set t3 vlan_mode=trunk trunk=10
	ctl port set t1 vlan=10
	ctl port set t2 vlan=20
	local t1_before t2_before refused
	t1_before=$(port_stat t1 tx_pkts)
	t2_before=$(port_stat t2 tx_pkts)
	refused=$(port_stat t3 vlan_ingress)
	ns t3 python3 "$top/test/smoke/frames.py" t3 tagged 10 5
	wait_for 5 is_stat_above t1 tx_pkts "$((t1_before + 4))"
	ns t3 python3 "$top/test/smoke/frames.py" t3 tagged 20 5
	wait_for 5 is_stat_above t3 vlan_ingress "$((refused + 4))"
	[ "$(port_stat t2 tx_pkts)" -lt $((t2_before + 5)) ] || fail "frames of VLAN 20 passed a trunk that carries 10"
	ctl port set t1 vlan=0
	ctl port set t2 vlan=0
	ctl port set t3 vlan_mode=access trunk=
	is_conserved
}

spoofed_mac_is_refused() {
	local before
	ctl port set t1 "allowed_macs=$(mac_of t1)"
	wait_for 5 can_ping t1 10.0.0.2
	before=$(port_stat t1 spoof_mac)
	ns t1 python3 "$top/test/smoke/frames.py" t1 from 02:00:00:00:00:99 5
	wait_for 5 is_stat_above t1 spoof_mac "$((before + 4))"
	expect_match "t1 +spoof_mac +$((before + 5)) " "$(ctl stats drops)"
	ctl port set t1 allowed_macs=
	is_conserved
}

spoofed_ip_is_refused() {
	local before
	ctl port set t1 allowed_ips=10.0.0.1
	wait_for 5 can_ping t1 10.0.0.2
	ip -n t1 addr add 10.0.0.77/24 dev t1
	before=$(port_stat t1 spoof_ip)
	ns t1 ping -I 10.0.0.77 -c 2 -i 0.2 -W 1 10.0.0.2 && fail "a foreign source address got an answer"
	wait_for 5 is_stat_above t1 spoof_ip "$before"
	ip -n t1 neigh flush dev t1
	before=$(port_stat t1 spoof_arp)
	ns t1 ping -I 10.0.0.77 -c 2 -i 0.2 -W 1 10.0.0.3 && fail "a foreign source address got an answer"
	wait_for 5 is_stat_above t1 spoof_arp "$before"
	ip -n t1 addr del 10.0.0.77/24 dev t1
	ctl port set t1 allowed_ips=
	wait_for 5 can_ping t1 10.0.0.2
}

isolated_ports_do_not_talk() {
	ctl port set t1 isolated=true
	ctl port set t2 isolated=true
	cannot_ping t1 10.0.0.2
	can_ping t1 10.0.0.3
	ctl port set t1 isolated=false
	ctl port set t2 isolated=false
	wait_for 5 can_ping t1 10.0.0.2
}

floods_are_limited() {
	local before
	ctl port set t1 flood_rate=10
	before=$(port_stat t1 flood_limit)
	ns t1 python3 "$top/test/smoke/frames.py" t1 broadcast 200
	wait_for 5 is_stat_above t1 flood_limit "$((before + 100))"
	ctl port set t1 flood_rate=0
	is_conserved
}

mac_limit_holds() {
	local before
	ctl port set t1 mac_limit=4
	before=$(port_stat t1 mac_limit)
	ns t1 python3 "$top/test/smoke/frames.py" t1 macs 20
	wait_for 5 is_stat_above t1 mac_limit "$before"
	[ "$(port_state t1 n_macs)" -le 4 ] || fail "learned $(port_state t1 n_macs) MACs"
	ctl port set t1 mac_limit=0
	ctl mac flush bridge=br0
}

# Its port is not there yet, then it is, then it is made anew.
mirror_sees_both_directions() {
	local before
	ctl port set t1 mirror_to=m1 mirror=both
	expect "mirror" "waits for its port" "$(ctl -j port show t1 | json 'd["state"]["mirror"]')"
	ns t1 ping -c 2 -i 0.02 -W 1 10.0.0.2
	for _ in 1 2; do
		tap_port m1 10.9.9.9/24
		before=$(port_stat m1 tx_pkts)
		ns t1 ping -c 10 -i 0.02 -W 1 10.0.0.2
		wait_for 5 is_stat_above m1 tx_pkts "$((before + 19))"
		ctl port del m1
	done
	ns t1 ping -c 2 -i 0.02 -W 1 10.0.0.2
	ctl port set t1 mirror=none mirror_to=
	is_conserved
}

capture_writes_what_it_says() {
	ctl capture start t1 "file=$work/all.pcapng" filter=icmp count=10
	expect_fails . ctl capture start t2 "file=$work/all.pcapng"
	expect_fails 'filter|syntax|parse' ctl capture start t2 "file=$work/no.pcapng" "filter=not a filter"
	is_gone "$work/no.pcapng" || fail "a refused capture left a file"
	ns t1 ping -c 10 -i 0.02 -W 1 10.0.0.2
	wait_for 5 is_capture_over
	expect "packets in the file" 10 "$(tcpdump --count -nr "$work/all.pcapng" icmp 2>/dev/null | awk '{print $1}')"
	is_conserved
}
cli_follows_a_capture() {
	local out
	start pinging ip netns exec t1 ping -i 0.02 -c 500 10.0.0.2
	out=$("$rtvsctl" -s "$work/rtvsd.sock" capture t1 filter=icmp count=5 "write=$work/five.pcapng" 2>&1)
	expect_match $'\n5 packets, 0 lost$' "$out"
	out=$("$rtvsctl" -s "$work/rtvsd.sock" capture t1 filter=icmp count=3 write=- 2>&1 >"$work/three.pcapng")
	expect "what it says" "3 packets, 0 lost" "$out"
	expect "packets in the file" 3 "$(tcpdump --count -nr "$work/three.pcapng" 2>/dev/null | awk '{print $1}')"
	# Ctrl-C ends it, and so does a reader that goes away.
	start capture "$rtvsctl" -s "$work/rtvsd.sock" capture t1 "write=$work/some.pcapng"
	wait_for 5 has_bytes "$work/some.pcapng"
	stop capture INT
	expect_match '[1-9][0-9]* packets, [0-9]+ lost' "$(cat "$work/capture.log")"
	# A daemon that hangs does not keep it.
	start capture "$rtvsctl" -s "$work/rtvsd.sock" --timeout 100ms capture t1 "write=$work/more.pcapng"
	wait_for 5 has_bytes "$work/more.pcapng"
	kill -STOP "$(pid_of rtvsd)"
	kill -INT "$(pid_of capture)"
	wait_until 10 is_stopped capture || { kill -CONT "$(pid_of rtvsd)"; fail "rtvsctl waits for a daemon that hangs"; }
	kill -CONT "$(pid_of rtvsd)"
	expect_match 'does not answer.*the capture may go on' "$(cat "$work/capture.log")"
	wait_for 5 is_capture_over
	"$rtvsctl" -s "$work/rtvsd.sock" capture t1 write=- 2>"$work/pipe.txt" | head -c 1 >"$work/byte" || :
	stop pinging INT
	wait_for 5 is_capture_over
	expect_fails 'no_such' "$rtvsctl" -s "$work/rtvsd.sock" capture no_such
}
has_bytes() { [ "$(stat -c %s "$1")" -gt 1000 ]; }
is_capture_over() { [ "$(ctl -j capture list | json 'len(d)')" = 0 ]; }

# All answers but the last: for that one ping waits no longer than twice the slowest so far.
ports_come_and_go_under_traffic() {
	local i
	start flow ip netns exec t1 ping -i 0.01 -c 301 10.0.0.2
	for i in 1 2 3 4 5; do
		ctl port add "x$i" type=ethdev "devargs=net_tap9$i,iface=x$i" bridge=br0
		ctl port add "v$i" "socket=$work/v$i.sock" bridge=br0
		ctl port del "x$i"
		ctl port del "v$i"
	done
	wait_for 20 is_stopped flow
	expect "answers to the first 300" 300 "$(sed -n 's/.*icmp_seq=\([0-9]*\).*/\1/p' "$work/flow.log" | sort -u | awk '$1 <= 300' | wc -l)"
	is_conserved
}

# An interface is set up, down and to its MTU only where the daemon is: these two stay there.
down_is_down() {
	ctl port add here type=ethdev devargs=net_tap80,iface=here bridge=br0
	ip addr add 10.0.0.8/24 dev here
	ip link set here up
	forget_neighbours t1
	wait_for 5 can_ping t1 10.0.0.8
	ctl port set here admin_up=false
	cannot_ping t1 10.0.0.8
	ctl port set here admin_up=true
	ip link set here up
	forget_neighbours t1
	wait_for 5 can_ping t1 10.0.0.8
	ctl port del here
}

mtu_is_kept() {
	local before
	ctl port add here type=ethdev devargs=net_tap81,iface=here bridge=br0 mtu=1000
	ip addr add 10.0.0.8/24 dev here
	ip link set here up
	forget_neighbours t1
	wait_for 5 can_ping t1 10.0.0.8
	before=$(port_stat here mtu)
	ns t1 ping -c 2 -i 0.2 -W 1 -s 1200 -M "do" 10.0.0.8 && fail "a frame longer than the MTU passed"
	wait_for 5 is_stat_above here mtu "$before"
	ctl port set here mtu=1500
	wait_for 5 ns t1 ping -c 1 -W 1 -s 1200 -M "do" 10.0.0.8
	ctl port del here
}

removed_port_comes_back() {
	ctl port del t2
	cannot_ping t1 10.0.0.2
	tap_port t2 10.0.0.2/24 bridge=br0
	forget_neighbours t1
	wait_for 10 can_ping t1 10.0.0.2
	is_conserved
}

run_case "ping both ways" pings_both_ways
run_case "a sleeping worker wakes for a packet" wakes_for_a_packet
run_case "learns MACs, and again after a flush" learns_macs
run_case "known unicast goes to its port only" unicast_stays_private
run_case "TCP" tcp_passes
run_case "IPv6" ipv6_passes
run_case "access VLANs isolate" access_vlans_isolate
run_case "trunk carries its VLANs and no others" trunk_refuses_foreign_vlans
run_case "spoofed MAC is refused and counted" spoofed_mac_is_refused
run_case "spoofed IP and ARP are refused and counted" spoofed_ip_is_refused
run_case "isolated ports do not talk" isolated_ports_do_not_talk
run_case "floods are limited" floods_are_limited
run_case "MAC limit holds" mac_limit_holds
run_case "mirror sees both directions" mirror_sees_both_directions
run_case "capture to a pcapng file" capture_writes_what_it_says
run_case "rtvsctl capture says what it got" cli_follows_a_capture
run_case "ports come and go under traffic" ports_come_and_go_under_traffic
run_case "admin_up=false stops a port" down_is_down
run_case "MTU is kept" mtu_is_kept
run_case "a removed port comes back" removed_port_comes_back
