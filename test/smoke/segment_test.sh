#!/usr/bin/env bash
# Segments and rtvs-vni: containers whose interfaces are nodes of one segment, without a switch.
. "$(dirname "$0")/lib.sh"

vni=$build/src/segment/rtvs-vni
seg=/dev/shm/segment
netns_add a b c d

# A node is called as its namespace and its interface; the process is node_NAME. The TAP and its address stay when the node does not.
node_tap() { # NAME ADDRESS/LEN
	ns "$1" ip tuntap add dev "$1" mode tap
	ip -n "$1" address add "$2" dev "$1"
	ip -n "$1" link set dev "$1" up
}
node_start() { # NAME [ARG...]
	: >"$work/node_$1.log"
	start "node_$1" ip netns exec "$1" "${binary:-$vni}" join "$seg" --tap "$1" --name "$1" "${@:2}"
	wait_for 10 grep -q 'joined as node' "$work/node_$1.log"
}
# Ends as it should, by itself or by a signal: with this status.
node_ends() { # NAME STATUS [SIGNAL]
	local pid rc=0
	pid=$(pid_of "node_$1")
	[ -z "${3:-}" ] || kill "-$3" "$pid"
	wait_for 10 is_stopped "node_$1"
	rm "$work/node_$1.pid"
	wait "$pid" || rc=$?
	expect "status of $1" "$2" "$rc"
}
nodes_end() {
	local name
	for name in "$@"; do node_ends "$name" 0 TERM; done
}
list() { "$vni" list -j "$seg"; }
of_node() { list | json "[n for n in d['nodes'] if n['name'] == '$1'][0]['$2']"; } # NAME KEY
slots_in_use() { list | json 'd["slots"] - d["slots_free"]'; }
is_all_free() { [ "$(slots_in_use)" = 0 ]; }
says() { grep -qE "$2" "$work/node_$1.log" || fail "$1 does not say '$2': $(cat "$work/node_$1.log")"; }
says_soon() { wait_for 10 grep -qE "$2" "$work/node_$1.log"; }
refused() { # STATUS REGEX COMMAND [ARG...]
	local out rc=0
	out=$("${@:3}" 2>&1) || rc=$?
	expect "status of ${*:3}: $out" "$1" "$rc"
	expect_match "$2" "$out"
}
# Interfaces and a segment; a case begins and ends without nodes.
begin() {
	node_tap a 10.0.0.1/24
	node_tap b 10.0.0.2/24
	node_tap c 10.0.0.3/24
	"$vni" create "$seg" --size 16M --nodes 4 --inbox 2048
}
after_failure() {
	local name
	for name in node_a node_b node_c node_d flood watch iperf receiver; do stop $name KILL; done
	for name in a b c d; do ip -n $name link del dev $name; done
	rm -rf /dev/shm/*
	begin
}
begin

is_made_and_listed() {
	expect "size" $((16 << 20)) "$(stat -c %s "$seg")"
	expect "mode" 660 "$(stat -c %a "$seg")"
	expect "geometry" "coherent pool 4 2048 2048 0" "$(list | json '" ".join(str(d[k]) for k in ("memory", "buffers", "max_nodes", "slot_bytes", "inbox_size", "slots_reaped"))')"
	is_all_free
	expect_match '16MiB, coherent, common pool; [0-9]* slots of 2KiB' "$("$vni" list "$seg")"
}

containers_talk() {
	node_start a
	node_start b
	wait_for 5 can_ping a 10.0.0.2
	ns a ping -c 5 -i 0.05 -W 1 -s 1472 -M "do" 10.0.0.2
	ns b ping -c 3 -i 0.05 -W 1 -s 30000 10.0.0.1
	ip -n a addr add fd00::1/64 dev a nodad
	ip -n b addr add fd00::2/64 dev b nodad
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
	ns "$1" timeout 20 iperf3 -c "$3" -t 1 -J >"$work/iperf.json"
	stop iperf || :
	[ "$(json 'int(d["end"]["sum_received"]["bits_per_second"])' <"$work/iperf.json")" -gt 10000000 ] || fail "below 10 Mbit/s"
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

# UDP super-frames, as QUIC sends them, only while every node can take them: a guest with an old kernel cannot.
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
# Under load, so that slots are everywhere; whoever died has none soon, and the living ones have what they work with.
all_killed_come_back() {
	local name
	for name in a b c; do node_start $name; done
	for _ in 1 2 3; do
		start flood ip netns exec a ping -f -q -s 1400 10.0.0.2
		wait_for 5 is_running flood
		for name in b c a; do kill -KILL "$(pid_of node_$name)"; done
		for name in a b c; do wait_for 5 is_stopped node_$name; done
		for name in a b c; do node_start $name; done
		wait_for 5 can_ping a 10.0.0.2
		wait_for 5 can_ping b 10.0.0.3
		stop flood INT || :
	done
	nodes_end a b c
	is_all_free || fail "slots in use: $(slots_in_use)"
}

leaves_cleanly() {
	node_start a --node 3
	expect "number" 3 "$(of_node a node)"
	node_ends a 0 TERM
	expect "nodes" "[]" "$(list | json 'd["nodes"]')"
	is_all_free
	node_start a --node 3
	node_ends a 0 INT
}

# It holds its lock, so it is not taken for dead, however long; what it does not take the others lose, and nothing else.
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
	sleep 1 # longer than hearts may be silent
	expect "state" live "$(of_node c state)"
	kill -CONT "$(pid_of node_c)"
	wait_for 5 can_ping a 10.0.0.3
	! says_dead c
	nodes_end a b c
	is_all_free
}
says_dead() { grep 'took this one for dead' "$work/node_$1.log"; }

# A second way to the same memory which shares no locks with the first is another host to nodes: as for guests, hearts tell who lives.
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
	refused 1 'node 0 is in use' ns c "$vni" join "$seg" --tap c --node 0
	refused 1 'node 1 has the name b already: take another name; waits for 1.8 s' ns c "$vni" join "$seg" --tap c --name b
	refused 1 'node: 4 is not from 0 to 3' ns c "$vni" join "$seg" --tap c --node 4
	refused 1 '--tap: a: another program has it' ns a "$vni" join "$seg" --tap a --name x
	refused 1 '--tap: lo: is no name for an interface, or is one of another kind' ns a "$vni" join "$seg" --tap lo
	refused 1 'exists already: --force' "$vni" create "$seg"
	wait_for 5 can_ping a 10.0.0.2
	nodes_end a b
}

every_number_and_no_more() {
	local all=/dev/shm/all i
	"$vni" create $all --nodes 64
	for ((i = 0; i < 64; i++)); do
		start "many$i" ip netns exec d "$vni" join $all --tap "t$i"
	done
	all_there() { [ "$("$vni" list -j $all | json 'len([n for n in d["nodes"] if n["state"] == "live"])')" = 64 ]; }
	wait_for 30 all_there
	refused 1 'all 64 numbers are in use' ns d "$vni" join $all --tap t64
	for ((i = 0; i < 64; i++)); do kill -TERM "$(pid_of "many$i")"; done
	for ((i = 0; i < 64; i++)); do
		wait_for 10 is_stopped "many$i"
		rm "$work/many$i.pid" "$work/many$i.log"
	done
	rm $all
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

wrong_files_are_refused() {
	local bad=/dev/shm/bad
	refused 1 'there is no such file: rtvs-vni create' "$vni" list $bad
	refused 1 'is neither a file nor' "$vni" list /dev/shm
	refused 1 'is neither a file nor' "$vni" list /dev/null
	refused 1 'is neither a file nor' "$vni" create /dev/zero
	refused 1 'is no device that can hold a segment' "$vni" create /dev/zero --force
	refused 1 'exists already' "$vni" create /sys/kernel/mm/transparent_hugepage/enabled
	echo "a letter" >$bad
	refused 1 'is no segment' "$vni" list $bad
	refused 1 'is no segment' ns c "$vni" join $bad --tap c
	refused 1 'is no segment: it is not replaced' "$vni" create $bad --force
	expect "the letter" "a letter" "$(cat $bad)"
	: >$bad
	refused 1 'is empty' "$vni" reap $bad
	rm $bad
	"$vni" create $bad --size 4M
	printf '\2' | dd of=$bad bs=1 seek=8 conv=notrunc 2>/dev/null
	refused 1 'another version than 1' "$vni" list $bad
	printf '\1' | dd of=$bad bs=1 seek=8 conv=notrunc 2>/dev/null
	"$vni" list $bad
	printf '\377' | dd of=$bad bs=1 seek=20 conv=notrunc 2>/dev/null # nodes
	refused 1 'its header is out of range' ns c "$vni" join $bad --tap c
	"$vni" create $bad --size 4M --force
	truncate -s 2M $bad
	refused 1 'is shorter \(2MiB\)' ns c "$vni" join $bad --tap c
	rm $bad
}

# All of its nodes say so and end; nobody is ended by a signal, and other segments do not notice.
truncated_file_is_said() {
	local seg=/dev/shm/short
	"$vni" create $seg --size 4M
	node_start c
	"$vni" create /dev/shm/whole --size 4M
	seg=/dev/shm/whole node_start d
	start watch "$vni" watch $seg
	wait_for 5 grep -q 'name=c' "$work/watch.log"
	truncate -s 0 $seg
	node_ends c 1
	says c 'the file was truncated'
	watch_ends 'the file was truncated'
	is_running node_d
	node_ends d 0 TERM
	refused 1 'is empty' "$vni" list $seg
	rm $seg
	"$vni" create $seg --size 4M
	node_start c
	# Frames that go over what is missing, not only the header.
	node_start b
	wait_for 5 can_ping c 10.0.0.2
	start flood ip netns exec c ping -f -q -s 1400 10.0.0.2
	truncate -s 2M $seg
	node_ends c 1
	node_ends b 1
	stop flood INT || :
	rm $seg /dev/shm/whole
}

no_room_leaves_nothing() {
	mkdir "$work/small"
	mount -t tmpfs -o size=8M tmpfs "$work/small"
	refused 1 'has no room for 64MiB' "$vni" create "$work/small/segment"
	expect "what is left" "" "$(ls -A "$work/small")"
	expect "pages in use" 0 "$(df --output=used "$work/small" | tail -n 1 | tr -d ' ')"
	"$vni" create "$work/small/segment" --size 6M
	refused 1 'has no room for 6MiB' "$vni" create "$work/small/segment" --size 6M --force
	"$vni" list "$work/small/segment"
	umount "$work/small"
	rmdir "$work/small"
}

missing_ones_are_made() {
	local seg=/dev/shm/missing
	"$vni" create $seg --if-missing --size 4M
	node_start c
	"$vni" create $seg --if-missing --size 8M
	expect "size" $((4 << 20)) "$(stat -c %s $seg)"
	expect "state" live "$(of_node c state)"
	node_ends c 0 TERM
	echo "a letter" >$seg
	refused 1 'exists and is no segment' "$vni" create $seg --if-missing
	rm $seg
}

rights_are_the_files() {
	local seg=/dev/shm/closed
	as() { setpriv --reuid 12345 --regid "$1" --clear-groups "${@:2}"; } # GID COMMAND...
	chmod 755 "$build" "$build/src" "$build/src/segment" 2>/dev/null || :
	as 12345 "$vni" --version || skip "nobody else can run it from here"
	"$vni" create $seg --size 4M --group 4242
	expect "owner" "root:4242" "$(stat -c %U:%g $seg)"
	refused 1 'permission denied: its owner, mode and group decide who may read it' as 12345 "$vni" list $seg
	refused 1 'who may read and write it' as 12345 "$vni" join $seg --tap c
	as 4242 "$vni" list $seg
	refused 1 'zz: not permitted|/dev/net/tun: Permission denied' as 4242 "$vni" join $seg --tap zz
	refused 1 "/etc/group has no 'nobody-knows'" "$vni" create $seg --group nobody-knows --force
	refused 1 'only root and its members' as 12345 "$vni" create /dev/shm/theirs --group 0
	rm $seg
	"$vni" create $seg --size 4M --mode 0600
	refused 1 'permission denied' as 4242 "$vni" list $seg
	rm $seg
}

usage_is_checked() {
	refused 2 'which command' "$vni"
	refused 2 "no command 'jion'; did you mean 'join'" "$vni" jion
	refused 2 'which file' "$vni" list
	refused 2 'create: --foo is no option' "$vni" create x --foo
	refused 2 'create: --size needs a value' "$vni" create x --size
	refused 2 'create: --force=yes is no option, or takes no value' "$vni" create x --force=yes
	refused 2 'list: there is no option -x' "$vni" list x -jx
	refused 2 'watch: -c needs a value' "$vni" watch x -c
	refused 2 "\--tap: '' is not the name" "$vni" join x --tap ''
	refused 1 'exists and is no file' "$vni" create /dev/shm --force
	refused 1 '/dev/shm/no/: there is no such directory' "$vni" create /dev/shm/no/x
	refused 2 'more than one file: y' "$vni" create x y
	refused 2 "\--size: '64' is not a size with its unit" "$vni" create x --size 64
	refused 2 "\--size: '64Q'" "$vni" create x --size 64Q
	refused 2 "\--nodes: '65' is not a number from 2 to 64" "$vni" create x --nodes 65
	refused 2 "\--nodes: '1' is not" "$vni" create x --nodes 1
	refused 2 "\--slots: '63' is not a number from 64" "$vni" create x --slots 63
	refused 2 "\--inbox: '65537' is not" "$vni" create x --inbox 65537
	refused 2 "\--slot-bytes: '1024' is not" "$vni" create x --slot-bytes 1024
	refused 2 'slot-bytes: 3000 is not a power of two' "$vni" create /dev/shm/x --slot-bytes 3000
	refused 2 'inbox: 100 is not a power of two' "$vni" create /dev/shm/x --inbox 100
	refused 2 'inbox: 100 is not' "$vni" create "$seg" --inbox 100 # before it is looked whether it exists
	refused 2 'size: is too small for 64 nodes' "$vni" create /dev/shm/x --size 1M --nodes 64
	refused 2 "\--mode: '999' is not an octal mode" "$vni" create x --mode 999
	refused 2 '\--tap NAME is needed' "$vni" join "$seg"
	refused 2 "\--mtu: '65522' is not a number from 68 to 65521" "$vni" join "$seg" --tap c --mtu 65522
	refused 2 "\--mac: '01:00:5e:00:00:01' is not the address of one interface" "$vni" join "$seg" --tap c --mac 01:00:5e:00:00:01
	refused 2 "\--name: 'a b' is not a name" "$vni" join "$seg" --tap c --name 'a b'
	refused 2 "\--node: '64' is not" "$vni" join "$seg" --tap c --node 64
	refused 2 "\--tap: 'sixteen-letters-' is not the name of an interface, 1 to 15 letters" "$vni" join "$seg" --tap sixteen-letters-
	refused 2 "\--tap: 'a/b' is not" "$vni" join "$seg" --tap a/b
	refused 2 "\--count: '0' is not" "$vni" watch --count 0 "$seg"
	refused 1 'there is no ivshmem device' "$vni" list --ivshmem
	refused 1 'no ivshmem device has this PCI address' "$vni" join --ivshmem 0000:00:1f.0 --tap c
	expect_match 'usage: rtvs-vni join' "$("$vni" help join)"
	expect_match 'usage: rtvs-vni COMMAND' "$("$vni" --help)"
	expect "nothing was made" "" "$(ls x /dev/shm/x 2>/dev/null || :)"
}

# Nodes of the segment that was there talk to nobody who comes: they say so and end, and their services start them in the new one.
forced_segment_is_a_new_one() {
	node_start a
	mv "$seg" "$seg.away"
	says_soon a 'the file was removed: only nodes that have it already are reached'
	mv "$seg.away" "$seg"
	start watch "$vni" watch "$seg"
	wait_for 5 grep -q 'node=0' "$work/watch.log"
	"$vni" create "$seg" --force --size 8M --nodes 4
	node_ends a 1
	watch_ends 'another segment has this path'
	says a 'another segment has this path'
	expect "nodes" "[]" "$(list | json 'd["nodes"]')"
	expect "size" $((8 << 20)) "$(stat -c %s "$seg")"
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

watch_and_reap_tell() {
	node_start a
	node_start b
	start flood ip netns exec a ping -i 0.05 10.0.0.2
	"$vni" watch --count 2 "$seg" | tee "$work/watched"
	expect "lines" 6 "$(wc -l <"$work/watched")"
	expect_match 'node=0 name=a state=live sent/s=[1-9]' "$(cat "$work/watched")"
	stop flood INT
	# A terminal gets a screen; Ctrl-C ends it.
	start screen script -qfec "stty cols 200 rows 50; exec $vni watch $seg" "$work/screen"
	wait_for 10 grep -q 'rates come in a second' "$work/screen"
	wait_for 10 grep -q 'RECEIVED/s' "$work/screen"
	kill -KILL "$(pid_of node_a)" "$(pid_of node_b)"
	wait_for 5 is_stopped node_a
	wait_for 5 is_stopped node_b
	expect "state" dead "$(of_node a state)"
	"$vni" reap -j "$seg" | tee "$work/reaped"
	expect "dead nodes" 2 "$(json 'd["dead_nodes"]' <"$work/reaped")"
	is_all_free
	expect_match 'dead nodes: 0' "$("$vni" reap "$seg")"
	pkill -INT -P "$(pid_of screen)"
	wait_for 5 is_stopped screen
	rm "$work/screen.pid" "$work/node_a.pid" "$work/node_b.pid"
}

# Also of what it does not touch itself.
watch_ends_with_the_file() {
	local seg=/dev/shm/short
	"$vni" create $seg --size 4M
	node_start c
	start watch "$vni" watch $seg
	wait_for 5 grep -q 'name=c' "$work/watch.log"
	mv $seg $seg.away
	watch_ends 'the file was removed'
	mv $seg.away $seg
	node_ends c 0 TERM
	start watch "$vni" watch $seg
	wait_for 5 grep -q 'free=' "$work/watch.log"
	truncate -s 3M $seg
	watch_ends 'the file was truncated'
	rm $seg
}
watch_ends() { # REGEX
	local rc=0 pid
	pid=$(pid_of watch)
	wait_for 5 is_stopped watch
	rm "$work/watch.pid"
	wait "$pid" || rc=$?
	expect "status" 1 "$rc"
	expect_match "$1" "$(cat "$work/watch.log")"
}

# It takes numbers that are free, and nodes that are there go on meanwhile. Figures are not looked at: they are the machine's.
bench_measures() {
	node_start a
	"$vni" bench --nodes 2 --time 30 "$seg"
	"$vni" bench -j --frame 1518 --time 300 "$seg" >"$work/bench"
	expect "frame" 1518 "$(json 'd["frame"]' <"$work/bench")"
	expect "frames came" true "$(json 'd["mpps"] > 0 and d["sent"] > d["lost"] >= 0' <"$work/bench")"
	expect "answers came" true "$(json 'd["pings"] > 0 and 0 < d["rtt_p50_us"] <= d["rtt_p99_us"]' <"$work/bench")"
	"$vni" bench -j --frame 65557 --time 300 "$seg" >"$work/bench" # a chain of slots
	expect "super-frames came" true "$(json 'd["sent"] > d["lost"]' <"$work/bench")"
	expect "nodes" 1 "$(list | json 'len(d["nodes"])')"
	nodes_end a
	is_all_free
	"$vni" bench --nodes 4 --time 30 "$seg"
	"$vni" create /dev/shm/other --size 16M --nodes 4 --separate
	"$vni" bench -j --nodes 4 --time 300 /dev/shm/other >"$work/bench"
	expect "frames came, and answers" true "$(json 'd["sent"] > d["lost"] and d["pings"] > 0' <"$work/bench")"
	rm /dev/shm/other
	# Killed half way: others get its slots back.
	start bench "$vni" bench --time 20000 "$seg"
	wait_for 5 two_nodes_live
	stop bench KILL
	wait_for 5 no_node_lives
	"$vni" reap "$seg"
	is_all_free
}
two_nodes_live() { [ "$(list | json 'sum(n["state"] == "live" for n in d["nodes"])')" = 2 ]; }
no_node_lives() { [ "$(list | json 'sum(n["state"] == "live" for n in d["nodes"])')" = 0 ]; }

bench_refuses() {
	refused 2 'from 64 to 65557' "$vni" bench --frame 63 "$seg"
	refused 2 'from 64 to 65557' "$vni" bench --frame 65558 "$seg"
	refused 2 'an even number' "$vni" bench --nodes 3 "$seg"
	refused 2 'from 2 to 64' "$vni" bench --nodes 66 "$seg"
	refused 2 'from 10 to 60000' "$vni" bench --time 9 "$seg"
	refused 2 'from 10 to 60000' "$vni" bench --time 60001 "$seg"
	refused 2 'is not two CPUs' "$vni" bench --cpus 0,0 "$seg"
	refused 2 'is not two CPUs' "$vni" bench --cpus 0 "$seg"
	refused 1 'needs two CPUs' taskset -c 0 "$vni" bench "$seg"
	refused 1 "CPU: Invalid argument" "$vni" bench --cpus 0,1000 "$seg"
	refused 1 'there is no such file' "$vni" bench /dev/shm/nothing
	node_start a
	refused 1 '' "$vni" bench --nodes 4 --time 30 "$seg" # it has room for 4
	nodes_end a
	is_all_free
}

# For guests: needs no library at all.
static_program_works() {
	[ -x "$vni.static" ] || skip "not built: sanitizers, or no static C library"
	expect_match 'statically linked|not a dynamic' "$(ldd "$vni.static" 2>&1 || :)"
	binary=$vni.static node_start a
	node_start b
	wait_for 5 can_ping a 10.0.0.2
	nodes_end a b
}

service_manager_is_told() {
	start manager socat -u "UNIX-RECV:$work/notify" "CREATE:$work/told"
	wait_for 5 test -S "$work/notify"
	export NOTIFY_SOCKET=$work/notify
	node_start a
	wait_for 5 grep -q "READY=1" "$work/told"
	grep -q "STATUS=Node 0 of $seg, interface a" "$work/told"
	node_ends a 0 TERM
	wait_for 5 grep -q STOPPING=1 "$work/told"
	stop manager
}

run_case "a segment is made and listed" is_made_and_listed
run_case "containers talk: IPv4, IPv6, fragments, broadcasts" containers_talk
run_case "super-frames pass" super_frames_pass
run_case "and do not without segmentation offload" no_super_frames_without_segmentation
run_case "UDP super-frames, where every node takes them" udp_super_frames_pass_where_all_take_them
run_case "kill -9, and it is back at once" killed_one_comes_back
run_case "kill -9 of all, under load" all_killed_come_back
run_case "SIGTERM and Ctrl-C leave cleanly" leaves_cleanly
run_case "a stopped node delays nobody and comes back" stopped_node_delays_nobody
run_case "numbers, names and interfaces in use" what_is_taken_is_refused
run_case "64 nodes and no more" every_number_and_no_more
run_case "separate buffers, non-coherent memory, other sizes" other_geometries_work
run_case "files that are no segment, or another one" wrong_files_are_refused
run_case "truncated while in use" truncated_file_is_said
run_case "a full file system" no_room_leaves_nothing
run_case "--if-missing" missing_ones_are_made
run_case "rights" rights_are_the_files
run_case "bad options" usage_is_checked
run_case "--force" forced_segment_is_a_new_one
run_case "the interface's address, MTU, state and end" interface_is_followed
run_case "an interface that moves to another namespace" interface_may_move
run_case "a bridge behind a node" bridge_is_reached
run_case "nodes of another host" other_host_is_watched_by_its_heart
run_case "watch and reap" watch_and_reap_tell
run_case "watch ends with the file" watch_ends_with_the_file
run_case "bench" bench_measures
run_case "bench refuses" bench_refuses
run_case "the static program" static_program_works
run_case "the service manager is told" service_manager_is_told
