#!/usr/bin/env bash
# Guests on a segment that is the memory of an ivshmem device: g1 and g2 are nodes of it by the
# static rtvs-vni. Further nodes are container n1 and the switch, behind which guest g3 and
# namespace t1 are. Nodes of different kernels know by their hearts only who lives. The programs of
# all know nothing of it.
. "$(dirname "$0")/lib.sh"

rtvs_vni=$build/src/segment/rtvs-vni
[ -x "$rtvs_vni.static" ] || skip "rtvs-vni.static is not built: the C library has no static part"
segment=/dev/shm/${work##*/}
other=$segment.other
device=0000:00:10.0
other_device=0000:00:11.0

cp "$rtvs_vni.static" "$work/rtvs-vni"
tar -cf "$work/files.tar" -C "$work" rtvs-vni
"$rtvs_vni" create "$segment" --size 64M --nodes 8
truncate -s 4M "$other"
start_g1() { vm_start g1 "segment=$segment" "files=$work/files.tar"; }
start_g1
vm_start g2 "segment=$segment" "segment=$other" "files=$work/files.tar"
daemon_start rtvsd
ctl bridge add br0
ctl port add g3 "socket=$work/g3.sock" bridge=br0
vm_start g3 "nic=$work/g3.sock" mac=52:54:00:00:00:13 ip=10.0.0.13/24 "files=$work/files.tar"
ctl port add seg type=segment "path=$segment" bridge=br0
tap_port t1 10.0.0.1/24 bridge=br0

declare -A node=([g1]=5 [g2]=6) address=([g1]=10.0.0.11 [g2]=10.0.0.12 [g3]=10.0.0.13 [n1]=10.0.0.21 [t1]=10.0.0.1)
# What a guest needs: the program, TUN, and an address at the interface.
guest_joins() { # NAME
	vm_unpack "$1" /usr/bin
	in_guest "$1" 20 "modprobe tun; (setsid rtvs-vni join --ivshmem $device --tap vni0 --name $1 --node ${node[$1]} >/tmp/vni.log 2>&1 &)
		for i in \$(seq 100); do grep -q 'joined as node ${node[$1]}' /tmp/vni.log && break; sleep 0.1; done; cat /tmp/vni.log
		ip addr add ${address[$1]}/24 dev vni0 && ip link set vni0 up && iperf3 -s -D && netserver"
}
about() { "$rtvs_vni" list -j "$segment" | json "$1"; } # EXPRESSION
of_node() { about "[n['$2'] for n in d['nodes'] if n['name'] == '$1'][0]"; } # NAME KEY
is_live() { [ "$(of_node "$1" state)" = live ]; }
is_away() { [ "$(about "len([n for n in d['nodes'] if n['name'] == '$1'])")" = 0 ]; }
# Each slot is free or a living node's.
no_slot_is_lost() { [ "$(about "d['slots'] - d['slots_free'] - sum(n['slots_held'] for n in d['nodes'] if n['state'] == 'live')")" = 0 ]; }
nobody_lost() { # NAME...: of ping processes
	local name
	for name in "$@"; do
		wait_for 30 is_stopped "$name"
		expect_match ' 0% packet loss' "$(cat "$work/$name.log")"
		rm "$work/$name.log"
	done
}
# So many bytes of TCP from a guest or namespace to another, in the program's writes of a length.
# The server may still be busy with the former client's end.
tcp() { # FROM TO LENGTH BYTES
	echo "$4 bytes of TCP from $1 to $2, in writes of $3"
	wait_for 60 tcp_arrives "$@"
}
tcp_arrives() {
	local -a command=(iperf3 -c "${address[$2]}" -l "$3" -n "$4" -J)
	local got
	case $1 in
	g*) got=$(in_guest "$1" 30 "${command[*]}" | sed -n '/^{/,$p') ;;
	*) got=$(ns "$1" timeout 30 "${command[@]}") ;;
	esac
	[ "$(json 'd["end"]["sum_received"]["bytes"]' <<<"$got")" -ge "$4" ]
}

# In g2, of whom a second device has memory without a segment.
wrong_devices_are_refused() {
	local join="rtvs-vni join --tap vni0 --ivshmem"
	expect_fails 'there is no ivshmem device \(PCI 1af4:1110\)' in_guest g3 10 "$join"
	expect_fails 'several ivshmem devices: name one' in_guest g2 10 "$join"
	expect_fails 'no ivshmem device has this PCI address' in_guest g2 10 "$join 0000:00:00.0"
	expect_fails "$other_device/resource2: is no segment: rtvs-vni create makes one" in_guest g2 10 "$join $other_device"
	expect_fails "/dev/net/tun: .*: modprobe tun" in_guest g2 10 "$join $device"
	# The header of a segment of 64 MiB, then of another version, then of no possible geometry.
	head -c 4096 "$segment" | dd of="$other" conv=notrunc status=none
	expect_fails 'is shorter \(4 ?MiB\) than its header says' in_guest g2 10 "$join $other_device"
	printf '\377' | dd of="$other" bs=1 seek=8 conv=notrunc status=none
	expect_fails 'of another version than' in_guest g2 10 "$join $other_device"
	head -c 4096 "$segment" | dd of="$other" conv=notrunc status=none
	printf '\377' | dd of="$other" bs=1 seek=20 conv=notrunc status=none
	expect_fails 'its header is out of range' in_guest g2 10 "$join $other_device"
	dd if=/dev/zero of="$other" bs=4096 count=1 conv=notrunc status=none
}

# And not over a node that lives.
guest_makes_a_segment() {
	local create="rtvs-vni create --ivshmem $other_device --inbox 64"
	expect_fails 'size: a device has its own' in_guest g2 10 "$create --size 4M"
	expect_fails 'has .*, which is too small for 16 nodes and 100000 slots' in_guest g2 10 "$create --slots 100000"
	in_guest g2 10 "$create"
	start n2 "$rtvs_vni" join "$other" --tap n2 --name n2
	is_there() { "$rtvs_vni" list -j "$other" | has_line '"live"'; }
	wait_for 5 is_there
	expect_fails 'nodes live there: 1' in_guest g2 10 "$create"
	in_guest g2 10 "rtvs-vni list --ivshmem $other_device" | has_line 'n2 .*live'
	stop n2
	in_guest g2 10 "$create"
	in_guest g2 10 "$create --if-missing" # as the service does
}

all_meet_all() {
	local from to
	for from in g1 g2 g3; do
		for to in g1 g2 g3 n1 t1; do
			[ $from = $to ] || wait_for 20 guest_pings $from "${address[$to]}"
		done
	done
	# Up to what IP can carry: in fragments.
	in_guest g1 30 "for size in 0 1 17 64 1000 1471 1472 1473 8000 65507; do for to in ${address[g2]} ${address[g3]} ${address[n1]} ${address[t1]}; do
		ping -q -c 1 -W 4 -s \$size \$to >/dev/null || { echo \$size bytes to \$to; exit 1; }; done; done"
	expect "nodes" 4 "$(about 'len(d["nodes"])')"
	expect "nodes, as the switch sees them" 4 "$(port_state seg nodes)"
	is_conserved
}

# Lengths of the programs' writes: the resulting segments and super-frames differ. Through the
# switch, which hears nothing of g1 and g2.
tcp_both_ways() {
	local before
	before=$(port_stat seg rx_bytes)
	tcp g1 g2 64 500000
	tcp g2 g1 1460 1000000
	tcp g2 g1 131072 1000000
	tcp n1 g1 131072 1000000
	[ $(($(port_stat seg rx_bytes) - before)) -lt 100000 ] || fail "the switch saw what nodes said to each other"
	tcp g1 g3 131072 1000000
	tcp g3 g2 131072 1000000
	tcp t1 g2 131072 1000000
	[ $(($(port_stat seg rx_bytes) - before)) -gt 1000000 ] || fail "the switch saw nothing"
	in_guest g2 20 "netperf -H ${address[g1]} -l 1 -t TCP_RR -P 0 && netperf -H ${address[n1]} -l 1 -t UDP_RR -P 0"
	is_conserved
}

nothing_is_changed() {
	local want to
	in_guest g1 20 "mkdir -p /www; dd if=/dev/urandom of=/www/f bs=1M count=8 2>/dev/null; busybox httpd -h /www"
	want=$(in_guest g1 10 "md5sum </www/f")
	for to in g2 g3; do
		expect "checksum in $to" "$want" "$(in_guest $to 60 "busybox wget -q -O - http://${address[g1]}/f | md5sum")"
	done
	expect "checksum in n1" "$want" "$(ns n1 curl -s -m 30 "http://${address[g1]}/f" | md5sum)"
}

# Checksums and segments are left out: frames are longer than the MTU.
offloads_pass_the_pool() {
	local frames bytes
	in_guest g1 10 "ethtool -k vni0" >"$work/features"
	grep -q 'tcp-segmentation-offload: on' "$work/features"
	grep -q 'tx-checksumming: on' "$work/features"
	frames=$(of_node g1 tx_frames) bytes=$(of_node g1 tx_bytes)
	tcp g1 g2 131072 4000000
	frames=$(($(of_node g1 tx_frames) - frames)) bytes=$(($(of_node g1 tx_bytes) - bytes))
	echo "$((bytes / frames)) bytes a frame"
	[ $((bytes / frames)) -gt 4000 ] || fail "frames of g1 had $((bytes / frames)) bytes on average"
}

# Under load. The others notice its silence.
guest_is_killed() {
	(in_guest g1 60 "iperf3 -c ${address[n1]} -t 60" >"$work/load.out" 2>&1 || :) &
	before=$(of_node g1 tx_bytes)
	is_under_load() { [ $(($(of_node g1 tx_bytes) - before)) -gt 1000000 ]; }
	wait_for 10 is_under_load
	start to_g2 ip netns exec n1 ping -i 0.05 -c 60 -W 2 "${address[g2]}"
	start to_n1 ip netns exec t1 ping -i 0.05 -c 60 -W 2 "${address[n1]}"
	stop g1 KILL
	wait_for 10 is_away g1
	wait_for 10 no_slot_is_lost
	expect "nodes" 3 "$(about 'len(d["nodes"])')"
	nobody_lost to_g2 to_n1
	start_g1
	is_conserved
}

# Longer than others wait for its heart. It comes back by itself.
guest_is_paused() {
	wait_for 10 guest_pings g2 "${address[n1]}"
	start load ip netns exec n1 ping -q -i 0.005 -s 1400 "${address[g2]}"
	start to_t1 ip netns exec n1 ping -i 0.05 -c 60 -W 2 "${address[t1]}"
	vm_qmp g2 stop
	wait_for 10 is_away g2
	wait_for 10 no_slot_is_lost
	nobody_lost to_t1 # 3 s
	stop load INT || :
	vm_qmp g2 cont
	wait_for 20 is_live g2
	expect "number" "${node[g2]}" "$(of_node g2 node)"
	wait_for 10 guest_pings g2 "${address[n1]}"
	wait_for 10 guest_pings g2 "${address[t1]}"
	in_guest g2 10 "cat /tmp/vni.log" | tee "$work/vni.log"
	grep -q "back as node ${node[g2]}" "$work/vni.log"
	is_conserved
}

# With the name and the number that it had.
killed_guest_is_replaced() {
	wait_guests g1
	guest_joins g1
	wait_for 10 guest_pings g1 "${address[g2]}"
	wait_for 10 guest_pings g1 "${address[g3]}"
	tcp g1 g2 131072 1000000
	no_slot_is_lost
	is_conserved
}

# Its memory goes on to be the segment; what ran in it is gone.
guest_is_reset() {
	start to_g1 ip netns exec n1 ping -i 0.05 -c 60 -W 2 "${address[g1]}"
	vm_reboot g2
	wait_for 10 is_away g2
	wait_for 10 no_slot_is_lost
	nobody_lost to_g1
	is_conserved
}

daemon_is_killed() {
	start g1_to_n1 vm_run g1 30 "ping -i 0.05 -c 60 -W 2 ${address[n1]}"
	daemon_replace KILL
	netns_give t1 t1 "${address[t1]}/24"
	nobody_lost g1_to_n1
	in_guest g1 10 "ip neigh flush all"
	wait_for 20 guest_pings g1 "${address[g3]}"
	wait_for 20 guest_pings g1 "${address[t1]}"
	wait_for 10 no_slot_is_lost
	is_conserved
}

reset_guest_is_back() {
	local to
	wait_guests g2
	guest_joins g2
	for to in g1 g3 n1; do wait_for 10 guest_pings g2 "${address[$to]}"; done
	no_slot_is_lost
	is_conserved
}

netns_add n1
start n1 ip netns exec n1 "$rtvs_vni" join "$segment" --tap vni0 --name n1
wait_for 20 is_live n1
ip -n n1 address add "${address[n1]}/24" dev vni0
for server in n1 t1; do start "iperf_$server" ip netns exec $server iperf3 -s; done
start netserver ip netns exec n1 netserver -D -4
wait_guests g3 g2
vm_unpack g2 /usr/bin
vm_unpack g3 /usr/bin
run_case "wrong devices are refused" wrong_devices_are_refused
run_case "a guest makes a segment, not over a living node" guest_makes_a_segment
wait_guests g1
guest_joins g1
guest_joins g2
in_guest g3 10 "iperf3 -s -D"
run_case "guests, a container and the switch meet each other" all_meet_all
run_case "TCP both ways" tcp_both_ways
run_case "nothing is changed" nothing_is_changed
run_case "super-frames pass the pool" offloads_pass_the_pool
run_case "a guest is killed under load" guest_is_killed
run_case "a guest that is paused comes back" guest_is_paused
run_case "a new QEMU has the dead one's place" killed_guest_is_replaced
run_case "a guest is reset" guest_is_reset
run_case "the daemon is killed" daemon_is_killed
run_case "the guest that was reset has its place again" reset_guest_is_back
rm -f "$segment" "$other"
