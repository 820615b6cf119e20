#!/usr/bin/env bash
# The other half of the matrix: a on a listening port with a packed ring and four queues, b on a
# connecting port with a split ring and no offloads.
. "$(dirname "$0")/lib.sh"

daemon_start rtvsd
ctl bridge add br0
ctl port add a "socket=$work/a.sock" bridge=br0 queues=4
ctl port add b "socket=$work/b.sock" mode=connect bridge=br0
vm_start b "nic=$work/b.sock" mode=server csum=off tso=off mac=52:54:00:00:00:0b ip=10.0.0.12/24
vm_start a "nic=$work/a.sock" packed=on queues=4 cpus=2 mac=52:54:00:00:00:0a ip=10.0.0.11/24
wait_guests a b
for guest in a b; do in_guest $guest 10 "iperf3 -s -D"; done

negotiated() {
	wait_for 20 guest_pings a 10.0.0.12
	expect "ring of a" packed "$(port_state a ring)"
	expect "ring of b" split "$(port_state b ring)"
	in_guest b 10 "ethtool -k eth0" | has_line 'tx-checksumming: off' || fail "checksum offload was negotiated"
}

four_queues() {
	in_guest a 10 "ethtool -L eth0 combined 4; ethtool -l eth0"
	wait_for 10 is_port_state a queues 4
	# Several flows, so that the guest uses several queues.
	in_guest a 40 "iperf3 -c 10.0.0.12 -t 3 -P 4"
	in_guest a 10 "ethtool -L eth0 combined 1"
	wait_for 10 guest_pings a 10.0.0.12
	in_guest a 10 "ethtool -L eth0 combined 4"
	wait_for 10 guest_pings a 10.0.0.12
	is_conserved
}

# a offers TSO, b takes none: the switch cuts and fills in checksums.
offloads_are_bridged() {
	in_guest a 30 "iperf3 -c 10.0.0.12 -t 2"
	in_guest a 30 "iperf3 -c 10.0.0.12 -t 2 -R"
	is_conserved
}

cut_behind_two_tags() { behind_two_tags are_segments_right; }
are_segments_right() {
	in_guest a 10 "ethtool -k inner" | has_line 'tcp-segmentation-offload: on' || fail "a cuts its frames itself"
	[ "$(in_guest a 30 "iperf3 -c 10.0.20.2 -t 1 -J" | iperf_mbit)" -gt 10 ] || fail "TCP is too slow"
	expect "segments with a wrong checksum" 0 "$(in_guest b 10 "awk '/^Tcp: [0-9]/ {print \$16}' /proc/net/snmp")"
}

daemon_is_replaced() {
	daemon_replace KILL
	wait_for 20 guest_pings a 10.0.0.12
	wait_for 20 guest_pings b 10.0.0.11
	in_guest a 20 "ping -c 20 -i 0.05 -W 2 10.0.0.12"
	in_guest a 40 "iperf3 -c 10.0.0.12 -t 2 -P 4"
	is_conserved
}

guest_reboots() {
	vm_reboot a
	wait_guests a
	wait_for 20 guest_pings a 10.0.0.12
	expect "ring of a" packed "$(port_state a ring)"
}

run_case "packed listen, split connect, no offloads" negotiated
run_case "four queues" four_queues
run_case "TSO and checksums between unequal guests" offloads_are_bridged
run_case "TSO and checksums behind two tags" cut_behind_two_tags
run_case "daemon killed -9 and restarted (listen+packed, connect+split)" daemon_is_replaced
run_case "guest with four packed queues reboots" guest_reboots
