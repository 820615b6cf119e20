#!/usr/bin/env bash
# The switch as a node of a segment: containers on the segment by rtvs-vni, others on ports of the
# bridge.
. "$(dirname "$0")/lib.sh"

rtvs_vni=$build/src/segment/rtvs-vni
segment=/dev/shm/${work##*/}
daemon_args=(--metrics "unix:$work/metrics.sock")

# A container on a segment.
node_up() { # NAME ADDRESS/LEN [FILE]
	netns_add "$1"
	start "$1" ip netns exec "$1" "$rtvs_vni" join "${3:-$segment}" --tap "$1" --name "$1"
	wait_for 5 ns "$1" ip link show "$1"
	ip -n "$1" address add "$2" dev "$1"
	ip -n "$1" link set "$1" up
	wait_for 5 is_up "$1"
}
is_up() { ns "$1" ip link show "$1" | has_line LOWER_UP; }
mac_of() { ns "$1" cat "/sys/class/net/$1/address"; }
segment_up() { "$rtvs_vni" create "$segment" --size 8M --nodes 4 --inbox 64; }
nodes_are() { [ "$(port_state seg nodes)" = "$1" ]; }
# Each that is not free is a living node's.
slots_are_back() { [ "$("$rtvs_vni" list -j "$segment" | json 'd["slots"] - d["slots_free"] - sum(n["slots_held"] for n in d["nodes"])')" = 0 ]; }
# The whole of the configuration, as a restart would have it.
restart_daemon() { # SIGNAL
	ctl config dump >"$work/before.json"
	stop rtvsd "$1"
	daemon_start rtvsd --config "$work/before.json" "${daemon_args[@]}"
}

segment_up
daemon_start rtvsd "${daemon_args[@]}"
ctl bridge add br0
ctl port add seg type=segment "path=$segment" bridge=br0
tap_port t1 10.0.0.1/24 bridge=br0
node_up n1 10.0.0.2/24
node_up n2 10.0.0.3/24

pings_both_ways() {
	local before
	wait_for 10 can_ping t1 10.0.0.2
	ns n1 ping -c 5 -i 0.05 -W 1 10.0.0.1
	ns t1 ping -c 5 -i 0.05 -W 1 -s 1472 -M "do" 10.0.0.2
	ns n1 ping -c 1 -W 1 10.0.0.3
	before=$(port_stat seg rx_pkts)
	ns n1 ping -c 20 -i 0.02 -W 1 10.0.0.3
	[ $(($(port_stat seg rx_pkts) - before)) -lt 10 ] || fail "the switch saw what two nodes said to each other"
	expect "nodes" 3 "$(port_state seg nodes)"
	expect "link" up "$(port_state seg link)"
	is_conserved
}

# As of a TAP: woken by the frame, not by the end of the longest sleep. Two of twenty may be slow:
# another thread may have had the processor.
wakes_for_a_frame() {
	wait_for 10 can_ping n1 10.0.0.1
	ns n1 ping -c 20 -i 0.2 10.0.0.1 | tee "$work/pings"
	awk -F'time=' 'NF > 1 && $2 + 0 > 50 {slow++} END {print slow + 0, "slow"; exit !(slow <= 2)}' "$work/pings"
}

learns_macs() {
	wait_for 10 can_ping t1 10.0.0.2
	expect "port of n1's MAC" seg "$(ctl -j mac list bridge=br0 | json "[m['port'] for m in d['macs'] if m['mac'] == '$(mac_of n1)'][0]")"
}

# Whole super-frames go to the switch, by segments or whole ones from it.
tcp_passes() {
	local to from=n1 pkts bytes
	for to in t1 n1; do
		pkts=$(port_stat seg rx_pkts) bytes=$(port_stat seg rx_bytes)
		start iperf ip netns exec $to iperf3 -s -1
		wait_for 5 ns $to sh -c 'ss -ltn | grep -q :5201'
		ns $from timeout 15 iperf3 -c "$([ $to = t1 ] && echo 10.0.0.1 || echo 10.0.0.2)" -t 1 -J >"$work/iperf.json"
		json '"%d Mbit/s" % (d["end"]["sum_received"]["bits_per_second"] / 1e6)' <"$work/iperf.json"
		[ "$(json 'int(d["end"]["sum_received"]["bits_per_second"])' <"$work/iperf.json")" -gt 10000000 ] || fail "below 10 Mbit/s"
		stop iperf || :
		pkts=$(($(port_stat seg rx_pkts) - pkts)) bytes=$(($(port_stat seg rx_bytes) - bytes))
		[ $to = n1 ] || [ $((bytes / pkts)) -gt 3000 ] || fail "frames to the switch had $((bytes / pkts)) bytes on average"
		from=t1
	done
	is_conserved
}

spoofed_mac_is_refused() {
	local before
	ctl port set seg "allowed_macs=$(mac_of n1),$(mac_of n2)"
	wait_for 5 can_ping t1 10.0.0.2
	before=$(port_stat seg spoof_mac)
	ns n1 python3 "$top/test/smoke/frames.py" n1 from 02:00:00:00:00:99 5
	wait_for 5 is_stat_above seg spoof_mac "$((before + 4))"
	ctl port set seg allowed_macs=
	is_conserved
}

captures_and_guarantees() {
	ctl capture start seg "file=$work/seg.pcapng" filter=icmp count=10
	ns n1 ping -c 10 -i 0.02 -W 1 10.0.0.1
	wait_for 5 is_capture_over
	expect "packets in the file" 10 "$(tcpdump --count -nr "$work/seg.pcapng" icmp 2>/dev/null | awk '{print $1}')"
	ctl port set seg rate=1Gbit deadline=5ms min_rate=10Mbit burst=15kB
	ctl port set t1 deadline=5ms min_rate=10Mbit burst=15kB
	expect "guarantee" kept "$(ctl -j port show seg | json "d['guarantee']")"
	expect_fails 'min_rate|deadline' ctl port set t1 min_rate=2Gbit
	ns n1 ping -c 10 -i 0.02 -W 1 10.0.0.1
	[ "$(ctl -j flow list port=seg | json "sum(f['guaranteed_pkts'] for f in d)")" -ge 10 ] || fail "no packet was guaranteed"
	ctl port set t1 deadline=0 min_rate=0
	ctl port set seg rate=0 deadline=0 min_rate=0
	is_conserved
}
is_capture_over() { [ "$(ctl -j capture list | json 'len(d)')" = 0 ]; }

exports_metrics() {
	curl -s --unix-socket "$work/metrics.sock" http://localhost/metrics | grep '^rtvs_segment' | tee "$work/metrics"
	grep -q '^rtvs_segment_nodes{port="seg",bridge="br0"} 3$' "$work/metrics" || fail "number of nodes"
	grep -q '^rtvs_segment_inbox_size{port="seg",bridge="br0"} 64$' "$work/metrics" || fail "size of the inbox"
	grep -q '^rtvs_segment_dropped_packets_total{port="seg",bridge="br0",reason="rx_bad"} 0$' "$work/metrics" || fail "drops"
}

# The other node notices nothing; the dead one's place is taken again at once.
node_dies_and_comes_back() {
	wait_for 10 can_ping t1 10.0.0.2
	start flow ip netns exec t1 ping -i 0.02 -c 100 -W 5 10.0.0.3
	kill -KILL "$(pid_of n1)"
	wait_for 5 nodes_are 2
	wait_for 5 slots_are_back
	rm "$work/n1.pid"
	node_up n1 10.0.0.2/24
	forget_neighbours t1
	wait_for 5 nodes_are 3
	wait_for 5 can_ping t1 10.0.0.2
	wait_for 20 is_stopped flow
	expect_match ' 0% packet loss' "$(cat "$work/flow.log")"
	is_conserved
}

# Killed or ended, the switch has the number that it had, and its configuration.
daemon_dies_and_comes_back() {
	local node signal
	for signal in KILL TERM; do
		node=$(port_state seg node)
		start flow ip netns exec n1 ping -i 0.02 -c 100 -W 5 10.0.0.3
		restart_daemon $signal
		expect "number" "$node" "$(port_state seg node)"
		ctl config dump >"$work/after.json"
		cmp "$work/before.json" "$work/after.json"
		netns_give t1 t1 10.0.0.1/24
		forget_neighbours n1
		wait_for 10 can_ping n1 10.0.0.1
		wait_for 20 is_stopped flow
		expect_match ' 0% packet loss' "$(cat "$work/flow.log")"
	done
	is_conserved
}

# What it does not take is dropped by name; nobody else loses or waits.
stuck_node_holds_up_nobody() {
	local before
	wait_for 10 can_ping t1 10.0.0.2
	ip -n t1 neigh replace 10.0.0.2 lladdr "$(mac_of n1)" dev t1 nud permanent
	before=$(port_stat seg tx_full)
	kill -STOP "$(pid_of n1)"
	start flood ip netns exec t1 ping -i 0.002 -c 400 -W 1 -q 10.0.0.2
	wait_for 5 is_stat_above seg tx_full "$before"
	ns t1 ping -c 50 -i 0.02 -W 5 -q 10.0.0.3 | tee "$work/pings"
	ns n2 ping -c 20 -i 0.02 -W 5 -q 10.0.0.1 | tee -a "$work/pings"
	expect "pings without loss" 2 "$(grep -c ' 0% packet loss' "$work/pings")"
	expect "inbox of the switch" 64 "$(port_state seg inbox_size)"
	stop flood INT || :
	kill -CONT "$(pid_of n1)"
	wait_for 5 can_ping t1 10.0.0.2
	ip -n t1 neigh del 10.0.0.2 dev t1
	is_conserved
}

# A switch that was stopped for longer than others wait for it, too.
stopped_daemon_goes_on() {
	wait_for 10 can_ping t1 10.0.0.2
	kill -STOP "$(pid_of rtvsd)"
	ns n1 ping -c 100 -i 0.01 -W 5 -q 10.0.0.3 | tee "$work/pings"
	expect_match ' 0% packet loss' "$(cat "$work/pings")"
	kill -CONT "$(pid_of rtvsd)"
	wait_for 5 can_ping t1 10.0.0.2
	is_conserved
}

# A second path to the same memory without shared locks is another host. It knows of a node by its
# heart only, and cannot wake it. A switch that stands still for longer than others wait is dead to
# them, and joins again when it continues.
nodes_of_another_host_are_heard() {
	local upper=$segment.upper lower=$segment.lower overlay=$segment.overlay before
	mkdir "$upper" "$lower" "$overlay" "$work/host2"
	mount -t overlay -o "lowerdir=$lower,upperdir=$upper,workdir=$overlay" overlay "$work/host2" || skip "no overlay"
	"$rtvs_vni" create "$upper/s" --size 8M --nodes 4
	ctl port add far type=segment "path=$upper/s" bridge=br0
	node_up n3 10.0.0.5/24 "$work/host2/s"
	wait_for 5 can_ping n3 10.0.0.1
	wait_for 10 ns n3 ping -c 10 -i 0.05 -W 1 10.0.0.1
	before=$(port_state far connects)
	kill -STOP "$(pid_of rtvsd)"
	is_away() { ! "$rtvs_vni" list -j "$work/host2/s" | json '[n for n in d["nodes"] if n["name"] == "far"]' | grep live; }
	wait_for 5 is_away
	kill -CONT "$(pid_of rtvsd)"
	is_back() { [ "$(port_state far connects)" -gt "$before" ]; }
	wait_for 5 is_back
	wait_for 10 can_ping t1 10.0.0.5
	kill -KILL "$(pid_of n3)"
	wait_for 5 is_port_state far nodes 1
	rm "$work/n3.pid"
	ctl port del far
	umount "$work/host2"
	rm -r "$upper" "$lower" "$overlay"
	is_conserved
}

# In memory that hosts do not see alike no node wakes another. Frames to a node are lost until the
# switch has found it by tending.
noncoherent_segment_is_switched() {
	local size
	"$rtvs_vni" create "$segment.cxl" --noncoherent --size 8M --nodes 4
	ctl port add cxl type=segment "path=$segment.cxl" bridge=br0
	node_up n4 10.0.0.6/24 "$segment.cxl"
	wait_for 5 can_ping t1 10.0.0.6
	wait_for 5 can_ping n1 10.0.0.6
	for size in 56 1472; do
		ns t1 ping -c 20 -i 0.02 -W 5 -q -s $size -M "do" 10.0.0.6 | tee "$work/pings"
		expect_match ' 0% packet loss' "$(cat "$work/pings")"
		ns n4 ping -c 20 -i 0.02 -W 5 -q -s $size -M "do" 10.0.0.1 | tee "$work/pings"
		expect_match ' 0% packet loss' "$(cat "$work/pings")"
	done
	kill -KILL "$(pid_of n4)"
	wait_for 5 is_port_state cxl nodes 1
	rm "$work/n4.pid"
	node_up n4 10.0.0.6/24 "$segment.cxl"
	forget_neighbours t1
	wait_for 5 can_ping t1 10.0.0.6
	expect "link" up "$(port_state cxl link)"
	stop n4 KILL || :
	ctl port del cxl
	rm "$segment.cxl"
	is_conserved
}

truncated_file_costs_its_port_only() {
	tap_port t2 10.0.0.4/24 bridge=br0
	wait_for 10 can_ping t1 10.0.0.4
	start flow ip netns exec t1 ping -i 0.02 -c 100 -W 5 10.0.0.4
	start to_segment ip netns exec t1 ping -i 0.02 -W 1 10.0.0.2
	truncate -s 4096 "$segment"
	wait_for 5 is_port_state seg link down
	expect_match 'waiting for the segment: .*shorter' "$(port_state seg detail)"
	stop n1 KILL || :
	stop n2 KILL || :
	rm "$segment"
	wait_for 5 says 'there is no such file'
	segment_up
	wait_for 5 is_port_state seg link up
	node_up n1 10.0.0.2/24
	node_up n2 10.0.0.3/24
	forget_neighbours t1
	wait_for 5 can_ping t1 10.0.0.2
	stop to_segment INT || :
	wait_for 20 is_stopped flow
	expect_match ' 0% packet loss' "$(cat "$work/flow.log")"
	[ "$(ctl -j system info | json "d['datapath']['bus_errors']")" -le 3 ] || fail "more than one signal a thread"
	ctl port del t2
	is_conserved
}
says() { [[ $(port_state seg detail) == *$1* ]]; }

wrong_files_are_refused() {
	echo "not a segment, but a text" >"$segment.txt"
	expect_fails "path: $segment.txt: is no segment" ctl port add bad type=segment "path=$segment.txt"
	rm "$segment.txt"
	expect_fails "path: /dev/null: " ctl port add bad type=segment path=/dev/null
	expect_fails "path: /dev/shm: " ctl port add bad type=segment path=/dev/shm
	expect_fails "path: needed for type=segment, absolute" ctl port add bad type=segment path=segment
	expect_fails "path: $segment is the segment of port seg" ctl port add bad type=segment "path=$segment"
	expect_fails "path: only for type=segment" ctl port add bad "path=$segment"
	expect_fails "queues: only for type=vhost and type=ethdev and type=vduse" ctl port add bad type=segment "path=$segment.new" queues=2
	# What is yet to come is no mistake.
	ctl port add later type=segment "path=$segment.new"
	expect_match 'waiting for the segment: .*rtvs-vni create' "$(ctl -j port show later | json "d['state']['detail']")"
	"$rtvs_vni" create "$segment.new" --size 8M
	wait_for 5 is_port_state later link up
	ctl port del later
	rm "$segment.new"
}

run_case "ping both ways" pings_both_ways
run_case "a sleeping worker wakes for a frame" wakes_for_a_frame
run_case "learns MACs" learns_macs
run_case "TCP with super-frames" tcp_passes
run_case "spoofed MAC is refused and counted" spoofed_mac_is_refused
run_case "captures, deadlines and rates" captures_and_guarantees
run_case "metrics" exports_metrics
run_case "a node dies and comes back" node_dies_and_comes_back
run_case "the daemon dies and comes back" daemon_dies_and_comes_back
run_case "a stuck node holds up nobody" stuck_node_holds_up_nobody
run_case "a daemon that was stopped goes on" stopped_daemon_goes_on
run_case "nodes of another host are heard" nodes_of_another_host_are_heard
run_case "non-coherent memory is switched" noncoherent_segment_is_switched
run_case "a truncated file costs its port only" truncated_file_costs_its_port_only
run_case "wrong files are refused" wrong_files_are_refused
rm -f "$segment"
