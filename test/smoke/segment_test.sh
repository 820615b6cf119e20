#!/usr/bin/env bash
# Segments: containers whose interfaces are nodes of one, without a switch; and the fate of the
# others when one dies.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/segment.sh"

containers_talk() {
	node_start a
	node_start b
	wait_for 5 can_ping a 10.0.0.2
	ns a ping -c 5 -i 0.05 -W 1 -s 1472 -M "do" 10.0.0.2
	ns b ping -c 3 -i 0.05 -W 1 -s 30000 10.0.0.1
	wait_for 5 can_ping a fd00::2
	# A third one, which all can reach: broadcasts go to everybody.
	node_start c
	wait_for 5 can_ping a 10.0.0.3
	wait_for 5 can_ping b 10.0.0.3
	expect "MAC" "$(ns a cat /sys/class/net/a/address)" "$(of_node a macs | tr -d "[]'")"
	expect "MTU" 1500 "$(of_node a mtu)"
	expect_match " a  *live  *$(pid_of node_a) " "$("$vni" list "$seg")"
	nodes_end a b c
	is_all_free
}

tcp() { # FROM TO ADDRESS
	start iperf ip netns exec "$2" iperf3 -s -1
	wait_for 5 ns "$2" sh -c 'ss -ltn | grep -q :5201'
	ns "$1" timeout 20 iperf3 -c "$3" -n 32M
	stop iperf || :
}

mean_frame() { # NAME COMMAND...: of what a node sends meanwhile
	local frames bytes name=$1
	frames=$(of_node "$name" tx_frames) bytes=$(of_node "$name" tx_bytes)
	"${@:2}" >&2
	echo $((($(of_node "$name" tx_bytes) - bytes) / ($(of_node "$name" tx_frames) - frames)))
}

super_frames_pass() {
	local mean
	node_start a
	node_start b
	mean=$(mean_frame a tcp a b 10.0.0.2)
	[ "$mean" -gt 8000 ] || fail "frames of $mean bytes"
	expect "what b's interface refused" 0 "$(ns b cat /sys/class/net/b/statistics/rx_dropped)"
	mean=$(mean_frame b tcp b a fd00::1)
	[ "$mean" -gt 8000 ] || fail "IPv6: frames of $mean bytes"
	nodes_end a b
}

no_super_frames_without_segmentation() {
	local mean
	node_start a
	node_start b
	ns a ethtool -K a tso off gso off
	mean=$(mean_frame a tcp a b 10.0.0.2)
	[ "$mean" -le 1514 ] || fail "frames of $mean bytes"
	ns a ethtool -K a tso on gso on
	nodes_end a b
}

# UDP super-frames, as QUIC sends them, only while every node can take them: a guest with an old
# kernel cannot.
udp() { # FROM ADDRESS: 14,000 bytes at a time, in segments of 1,400
	ns "$1" python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(17, 103, 1400)
for i in range(20):
    s.sendto(bytes(14000), (sys.argv[1], 9))
    time.sleep(0.005)' "$2"
}

udp_super_frames_pass_where_all_take_them() {
	local mean
	node_start a
	node_start b
	wait_for 5 can_ping a 10.0.0.2
	start receiver ip netns exec b python3 -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 9))
print([len(s.recv(65536)) for i in range(200)] == 200 * [1400], flush=True)'
	wait_for 5 ns b sh -c 'ss -lun | grep -q :9'
	is_long() { mean=$(mean_frame a udp a 10.0.0.2); [ "$mean" -gt 8000 ]; }
	is_long || skip "a kernel before 6.2: frames of $mean bytes"
	wait_for 5 grep True "$work/receiver.log"
	stop receiver
	# A node whose entry in the table says otherwise: pid, then flags.
	node_start c
	python3 -c 'import struct, sys
with open(sys.argv[1], "r+b") as f:
    at = f.read(1 << 16).index(struct.pack("<II", int(sys.argv[2]), 2 | 4 | 8))
    f.seek(at + 4)
    f.write(bytes([2 | 4]))' "$seg" "$(pid_of node_c)"
	is_short() { ! is_long; }
	wait_for 5 is_short
	[ "$mean" -le 1514 ] || fail "frames of $mean bytes"
	node_ends c 0 TERM
	wait_for 5 is_long
	nodes_end a b
}

# At once: not after the time in which hearts are silent.
killed_one_comes_back() {
	node_start a
	node_start b
	wait_for 5 can_ping a 10.0.0.2
	kill -KILL "$(pid_of node_b)"
	wait_for 5 is_stopped node_b
	node_start b
	wait_for 5 can_ping a 10.0.0.2
	expect "nodes" "a b" "$(list | json '" ".join(sorted(n["name"] for n in d["nodes"] if n["state"] == "live"))')"
	nodes_end a b
}

# Under load, so that slots are everywhere. A dead node soon has none, and the living ones have
# enough to work with.
all_killed_come_back() { # [create's OPTION...]
	local name seg=/dev/shm/killed
	"$vni" create $seg --size 16M --nodes 4 --inbox 1024 "$@"
	for name in a b c; do node_start $name; done
	wait_for 5 can_ping a 10.0.0.2
	for _ in 1 2; do
		start flood ip netns exec a ping -f -q -s 1400 10.0.0.2
		frames=$(of_node b rx_frames)
		wait_for 5 has_received_more
		for name in b c a; do kill -KILL "$(pid_of node_$name)"; done
		for name in a b c; do wait_for 5 is_stopped node_$name; done
		for name in a b c; do node_start $name; done
		wait_for 5 can_ping a 10.0.0.2
		wait_for 5 can_ping b 10.0.0.3
		stop flood INT || :
	done
	nodes_end a b c
	is_all_free || fail "slots in use: $(slots_in_use)"
	rm $seg
}

has_received_more() { [ "$(of_node b rx_frames)" -gt $((frames + 100)) ]; }

separate_all_killed() { all_killed_come_back --separate; }

noncoherent_all_killed() { all_killed_come_back --noncoherent; }

leaves_cleanly() {
	node_start a --node 3
	expect "number" 3 "$(of_node a node)"
	node_ends a 0 TERM
	expect "nodes" "[]" "$(list | json 'd["nodes"]')"
	is_all_free
	node_start a --node 3
	node_ends a 0 INT
}

# A stopped node holds its lock, so it is not taken for dead, however long. The others lose only the
# frames that it does not take.
stopped_node_delays_nobody() {
	node_start a
	node_start b
	node_start c
	wait_for 5 can_ping a 10.0.0.3
	kill -STOP "$(pid_of node_c)"
	ns a python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); [s.sendto(bytes(1400), ("10.0.0.3", 9)) for i in range(5000)]'
	is_full() { [ "$(of_node a tx_inbox_full)" -gt 0 ]; }
	wait_for 5 is_full
	ns a ping -c 20 -i 0.05 -W 1 10.0.0.2 | tee "$work/pings"
	grep '20 received' "$work/pings"
	tcp a b 10.0.0.2
	expect_match 'dead nodes: 0' "$("$vni" reap "$seg")" # looks for longer than hearts may be silent
	expect "state" live "$(of_node c state)"
	kill -CONT "$(pid_of node_c)"
	wait_for 5 can_ping a 10.0.0.3
	! says_dead c
	nodes_end a b c
	is_all_free
}

says_dead() { grep 'took this one for dead' "$work/node_$1.log"; }

# A second path to the same memory without shared locks is another host to nodes: as for guests,
# hearts tell who lives.
other_host_is_watched_by_its_heart() {
	local seg
	mkdir /dev/shm/upper /dev/shm/lower /dev/shm/overlay "$work/host2"
	mount -t overlay -o lowerdir=/dev/shm/lower,upperdir=/dev/shm/upper,workdir=/dev/shm/overlay overlay "$work/host2" || skip "no overlay"
	seg=/dev/shm/upper/segment
	"$vni" create $seg --size 16M --nodes 4
	node_start a
	seg=$work/host2/segment node_start b
	wait_for 5 can_ping a 10.0.0.2
	ns a ping -c 20 -i 0.05 -W 1 10.0.0.2 | tee "$work/pings"
	grep '20 received' "$work/pings"
	tcp a b 10.0.0.2
	# It has another address when it comes back than when it came.
	ip -n b link set dev b address 52:54:00:00:00:0b
	is_mac() { [ "$(of_node b macs | tr -d "[]'")" = 52:54:00:00:00:0b ]; }
	wait_for 5 is_mac
	kill -STOP "$(pid_of node_b)"
	is_away() { ! list | json '[n for n in d["nodes"] if n["name"] == "b"]' | grep live; }
	wait_for 5 is_away
	says_soon a 'nodes died: 1'
	kill -CONT "$(pid_of node_b)"
	says_soon b 'took this one for dead'
	says_soon b 'back as node'
	wait_for 5 is_mac
	forget_neighbours a
	wait_for 5 can_ping a 10.0.0.2
	# And when somebody has its name by then, it waits.
	kill -STOP "$(pid_of node_b)"
	wait_for 5 is_away
	node_start c --name b
	kill -CONT "$(pid_of node_b)"
	says_soon b 'has the name b already'
	node_ends c 0 TERM
	wait_for 5 can_ping a 10.0.0.2
	# A dead one of another host is waited for, by name.
	kill -KILL "$(pid_of node_b)"
	wait_for 5 is_stopped node_b
	node_start b
	wait_for 5 can_ping a 10.0.0.2
	nodes_end a b
	is_all_free
	umount "$work/host2"
	rm -r /dev/shm/upper /dev/shm/lower /dev/shm/overlay
}

what_is_taken_is_refused() {
	node_start a
	node_start b
	refused 1 'node 0 is in use' ns d "$vni" join "$seg" --tap d --node 0 &
	refused 1 'node 1 has the name b already: take another name; waits for 1.8 s' ns c "$vni" join "$seg" --tap c --name b
	wait $!
	refused 1 'node: 4 is not from 0 to 3' ns c "$vni" join "$seg" --tap c --node 4
	refused 1 '--tap: a: another program has it' ns a "$vni" join "$seg" --tap a --name x
	refused 1 '--tap: lo: is no name for an interface, or is one of another kind' ns a "$vni" join "$seg" --tap lo
	refused 1 'exists already: --force' "$vni" create "$seg"
	wait_for 5 can_ping a 10.0.0.2
	nodes_end a b
}

other_geometries_work() {
	local options seg=/dev/shm/other
	for options in --separate "--noncoherent --slots 30000" "--slot-bytes 65536" "--slots 1000 --nodes 2 --slot-bytes 4096"; do
		# shellcheck disable=SC2086 # words
		"$vni" create $seg $options --nodes 3
		node_start a
		node_start b --poll
		wait_for 5 can_ping a 10.0.0.2
		tcp a b 10.0.0.2
		nodes_end a b
		is_all_free
		rm $seg
	done
}

interface_is_followed() {
	node_start a
	node_start b
	node_start d --mtu 9000 --mac 52:54:00:00:00:0d
	ip -n d addr add 10.0.0.4/24 dev d
	expect "MTU" 9000 "$(ns d cat /sys/class/net/d/mtu)"
	expect "MAC" 52:54:00:00:00:0d "$(of_node d macs | tr -d "[]'")"
	wait_for 5 can_ping d 10.0.0.2
	# Its address may change.
	ip -n d link set dev d address 52:54:00:00:00:0e
	is_mac() { [ "$(of_node d macs | tr -d "[]'")" = 52:54:00:00:00:0e ]; }
	wait_for 5 is_mac
	forget_neighbours b
	wait_for 5 can_ping b 10.0.0.4
	# What a TAP that is down refuses it alone loses, and says when it ends.
	ip -n d link set dev d down
	ns b ping -c 5 -i 0.05 -W 0.1 10.0.0.4 || :
	says_soon d 'the interface does not take frames: is it up'
	[ "$(of_node d rx_refused)" -gt 0 ] || fail "none is counted"
	wait_for 5 can_ping b 10.0.0.1
	ip -n d link del dev d
	node_ends d 1
	says d 'the interface is gone'
	says d 'frames that the interface did not take: [1-9]'
	nodes_end a b
}

# A container may get its interface from outside.
interface_may_move() {
	node_start a
	: >"$work/node_d.log"
	start node_d "$vni" join "$seg" --tap moves --name d
	wait_for 5 grep -q 'joined as node' "$work/node_d.log"
	netns_give d moves 10.0.0.4/24
	wait_for 5 can_ping a 10.0.0.4
	ip -n d link set dev moves address 52:54:00:00:00:0f
	is_mac() { [ "$(of_node d macs | tr -d "[]'")" = 52:54:00:00:00:0f ]; }
	wait_for 5 is_mac
	nodes_end a d
}

# Behind one node is a bridge with others: what no node has as its address goes there.
bridge_is_reached() {
	local name
	ip -n d link add br0 type bridge
	ip -n d link set dev br0 up
	node_start d --bridge
	ip -n d link set dev d master br0
	ip link add inner type veth peer name outer
	netns_add inner
	netns_give inner inner 10.0.0.9/24
	ip link set outer netns d
	ip -n d link set dev outer master br0 up
	node_start a
	node_start b
	wait_for 5 can_ping a 10.0.0.9
	wait_for 5 can_ping b 10.0.0.9
	expect_match ' bridge' "$("$vni" list "$seg" | grep ' d ')"
	nodes_end a b d
	ip -n d link del dev br0
}

run_case "containers talk: IPv4, IPv6, fragments, broadcasts" containers_talk
run_case "super-frames pass" super_frames_pass
run_case "and do not without segmentation offload" no_super_frames_without_segmentation
run_case "UDP super-frames, where every node takes them" udp_super_frames_pass_where_all_take_them
run_case "kill -9, and it is back at once" killed_one_comes_back
run_case "kill -9 of all, under load" all_killed_come_back
run_case "kill -9 of all, separate buffers" separate_all_killed
run_case "kill -9 of all, non-coherent memory" noncoherent_all_killed
run_case "SIGTERM and Ctrl-C leave cleanly" leaves_cleanly
run_case "a stopped node delays nobody and comes back" stopped_node_delays_nobody
run_case "numbers, names and interfaces in use" what_is_taken_is_refused
run_case "separate buffers, non-coherent memory, other sizes" other_geometries_work
run_case "the interface's address, MTU, state and end" interface_is_followed
run_case "an interface that moves to another namespace" interface_may_move
run_case "a bridge behind a node" bridge_is_reached
run_case "nodes of another host" other_host_is_watched_by_its_heart
