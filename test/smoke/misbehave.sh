# shellcheck shell=bash
# shellcheck disable=SC2034 # what misbehave_test.sh uses
# Receivers that misbehave, for misbehave_test.sh: a row of its table each. bad_NAME makes the port
# `bad` with the given parameters, and makes it misbehave. Its process is called `bad`, as is its
# namespace. gone_bad removes all of that. A further row is one more function, and its name in
# RECEIVERS.

BAD_MAC=02:00:00:00:00:ba
RECEIVERS=(never_reads stops_reading is_stopped_by_a_signal hangs_up tap_is_down tap_is_gone
	memif_peer_stops offers_short_buffers interface_is_down interface_is_gone)

is_bad_up() { is_port_state bad link up; }
front_end() { # MODE: of misbehave.py
	start bad python3 "$top/test/smoke/misbehave.py" "$1" "$work/bad.sock"
	wait_for 10 is_bad_up
}
gone_bad() {
	stop bad KILL
	ctl port set up mirror=none mirror_to=
	ctl port del bad
	rm -f "$work/bad.mem" "$work/bad.in"
	[ ! -e /sys/class/net/bad0 ] || ip link del bad0
	[ ! -e "$work/netns.bad" ] || ip netns del bad
	rm -f "$work/netns.bad"
}

# A guest whose driver is there and gives no buffers: it hangs, or its kernel has panicked.
bad_never_reads() {
	ctl port add bad "socket=$work/bad.sock" "$@"
	front_end deaf
}
# A guest that takes one ring of packets and no more.
bad_stops_reading() {
	ctl port add bad "socket=$work/bad.sock" "$@"
	front_end ring
}
# A guest that reads, until its process is stopped.
bad_is_stopped_by_a_signal() {
	ctl port add bad "socket=$work/bad.sock" "$@"
	front_end reader
	kill -STOP "$(pid_of bad)"
}
# One that is well.
bad_reads() {
	ctl port add bad "socket=$work/bad.sock" "$@"
	front_end reader
}
# A guest that leaves in the middle of the flood.
bad_hangs_up() {
	ctl port add bad "socket=$work/bad.sock" "$@"
	front_end leaver
}
bad_tap() { # [PARAM=VALUE...]
	ctl port add bad type=ethdev devargs=net_tap9,iface=bad0 "$@"
	netns_add bad
	netns_give bad bad0
}
bad_tap_is_down() {
	bad_tap "$@"
	ip -n bad link set bad0 down
}
bad_tap_is_gone() {
	bad_tap "$@"
	ip netns del bad
	rm "$work/netns.bad"
}
bad_memif_peer_stops() {
	ctl port add bad type=ethdev "devargs=net_memif0,role=server,id=0,socket=$work/bad.mem,socket-abstract=no" "$@"
	mkfifo "$work/bad.in" # testpmd ends when its standard input does
	start bad bash -c 'exec 3<>"$0"; exec dpdk-testpmd "$@" <&3' "$work/bad.in" --no-huge -m 64 --no-pci --no-telemetry --file-prefix "bad$$" --lcores '0@0,1@0' \
		--main-lcore 0 --vdev "net_memif0,role=client,id=0,socket=$work/bad.mem,socket-abstract=no,zero-copy=no" -- \
		-i --auto-start --nb-cores=1 --total-num-mbufs=2048 --forward-mode=rxonly
	wait_for 20 is_bad_up
	kill -STOP "$(pid_of bad)"
}
# A guest whose buffers hold less than a frame has: its ring takes none of them, for ever.
bad_offers_short_buffers() {
	ctl port add bad "socket=$work/bad.sock" "$@"
	front_end short
}
# The kernel's interface under a port, with a driver that says "sent" whatever the kernel says.
bad_interface() { # [PARAM=VALUE...]
	ip link add bad0 type veth peer name bad1
	ip link set bad0 up
	ip link set bad1 up
	ctl port add bad type=ethdev devargs=net_af_packet9,iface=bad0 "$@"
	wait_for 10 is_bad_up
}
bad_interface_is_down() {
	bad_interface "$@"
	ip link set bad0 down
}
bad_interface_is_gone() {
	bad_interface "$@"
	ip link del bad0
}
