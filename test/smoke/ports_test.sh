#!/usr/bin/env bash
# Port types other than tap: AF_XDP, memif, virtio-user against vhost-user, pcap files.
. "$(dirname "$0")/lib.sh"

daemon_start rtvsd
ctl bridge add br0
tap_port t1 10.0.0.1/24 bridge=br0

netns_del() { ip netns del "$1" && rm -f "$work/netns.$1"; } # NAME

after_failure() {
	local port
	stop far KILL
	stop icmp KILL
	stop noise KILL
	netns_del x1
	netns_del big
	ip link del fx1
	for port in x1 big mem v1 v2 in out; do ctl port del "$port"; done
}

# A generator or a guest of DPDK's own: a second process that moves packets.
testpmd() { # NAME VDEV FORWARD-MODE [ARG...]
	local name=$1 vdev=$2 mode=$3
	shift 3
	mkfifo "$work/$name.in"
	start "$name" bash -c 'exec 3<>"$0"; exec stdbuf -oL dpdk-testpmd "$@" <&3' "$work/$name.in" \
		--no-huge -m 128 --no-pci --file-prefix "$name$$" --lcores '0@0,1@0' --main-lcore 0 --vdev "$vdev" -- \
		-i --auto-start --nb-cores=1 --total-num-mbufs=4096 --forward-mode="$mode" "$@"
}

af_xdp() {
	ip link add fx1 type veth peer name px1 || skip "no veth"
	netns_add x1
	netns_give x1 px1 10.0.0.11/24
	ip link set fx1 up
	ns x1 ethtool -K px1 tx off
	ctl port add x1 type=ethdev devargs=net_af_xdp0,iface=fx1 bridge=br0 || { [ ! -e /proc/sys/net/core/bpf_jit_enable ] && skip "no AF_XDP"; false; }
	wait_for 10 can_ping t1 10.0.0.11
	ns x1 ping -c 10 -i 0.02 -W 1 10.0.0.1
	ctl port del x1
	ip link del fx1
	netns_del x1
	is_conserved
}

# Two queues of an interface, and what a port of two queues is refused for.
af_xdp_of_two_queues() {
	ip link add fx1 numrxqueues 2 numtxqueues 2 type veth peer name px1 numrxqueues 2 numtxqueues 2
	netns_add x1
	netns_give x1 px1 10.0.0.11/24
	ip link set fx1 up
	ns x1 ethtool -K px1 tx off
	ctl port add x1 type=ethdev devargs=net_af_xdp0,iface=fx1,queue_count=2,force_copy=1 queues=2 mtu=3000 bridge=br0
	expect "queues" 2 "$(port_state x1 queues)"
	expect "MTU" 3000 "$(cat /sys/class/net/fx1/mtu)"
	forget_neighbours t1
	wait_for 10 can_ping t1 10.0.0.11
	ns x1 ping -c 10 -i 0.02 -W 1 10.0.0.1
	expect_fails "mtu: the device refused 3819: AF_XDP has 3818 at most" ctl port set x1 mtu=3819
	expect_fails "device net_af_xdp0 is in use by another port" ctl port add x2 type=ethdev devargs=net_af_xdp0,iface=fx1 bridge=br0
	expect_fails "another socket has queue 1 of fx1" ctl port add x2 type=ethdev devargs=net_af_xdp1,iface=fx1,start_queue=1 bridge=br0
	expect_fails "fx1 has no queue 2" ctl port add x2 type=ethdev devargs=net_af_xdp1,iface=fx1,start_queue=2 bridge=br0
	expect_fails "iface: there is no interface x7" ctl port add x2 type=ethdev devargs=net_af_xdp1,iface=x7 bridge=br0
	wait_for 10 can_ping t1 10.0.0.11 # none of these took the program away
	ctl port del x1
	expect "programs" "" "$(ip -j -d link show dev fx1 | json 'd[0].get("xdp", "")')"
	# One queue each.
	ctl port add x1 type=ethdev devargs=net_af_xdp0,iface=fx1 bridge=br0
	ctl port add x2 type=ethdev devargs=net_af_xdp1,iface=fx1,start_queue=1 bridge=br0
	ctl port del x2
	wait_for 10 can_ping t1 10.0.0.11
	ctl port del x1
	ip link del fx1
	netns_del x1
	is_conserved
}

# With a file system for it, libxdp lets several programs share an interface.
af_xdp_by_the_dispatcher() {
	mount -t bpf bpf /sys/fs/bpf || skip "no bpf file system"
	af_xdp_of_two_queues
	umount /sys/fs/bpf
}

# What DPDK's driver alone knows is left to it.
af_xdp_of_the_driver() {
	ip link add fx1 type veth peer name px1
	netns_add x1
	netns_give x1 px1 10.0.0.11/24
	ip link set fx1 up
	ns x1 ethtool -K px1 tx off
	expect_fails "no driver made a device of" ctl port add x1 type=ethdev devargs=net_af_xdp0,iface=fx1,nonsense=1 bridge=br0
	ctl port add x1 type=ethdev devargs=net_af_xdp0,iface=fx1,busy_budget=0 bridge=br0
	forget_neighbours t1
	wait_for 10 can_ping t1 10.0.0.11
	ctl port del x1
	ip link del fx1
	netns_del x1
}

memif_between_daemons() {
	daemon_start far
	netns_add t2
	daemon=far ctl bridge add br0
	daemon=far ctl port add t2 type=ethdev devargs=net_tap0,iface=t2 bridge=br0
	netns_give t2 t2 10.0.0.2/24
	ctl port add mem type=ethdev "devargs=net_memif0,role=server,id=0,socket=$work/mem.sock,socket-abstract=no" bridge=br0
	daemon=far ctl port add mem type=ethdev \
		"devargs=net_memif0,role=client,id=0,socket=$work/mem.sock,socket-abstract=no,zero-copy=no" bridge=br0
	wait_for 20 can_ping t1 10.0.0.2
	ns t2 ping -c 10 -i 0.02 -W 1 10.0.0.1
	# One end restarts.
	stop far KILL
	daemon_start far
	daemon=far ctl bridge add br0
	daemon=far ctl port add t3 type=ethdev devargs=net_tap0,iface=t3 bridge=br0
	netns_add t3
	netns_give t3 t3 10.0.0.3/24
	daemon=far ctl port add mem type=ethdev \
		"devargs=net_memif0,role=client,id=0,socket=$work/mem.sock,socket-abstract=no,zero-copy=no" bridge=br0
	wait_for 20 can_ping t1 10.0.0.3
	stop far
	ctl port del mem
	is_conserved
}

# One daemon's virtio-user port is a guest of another daemon's vhost port.
virtio_user_meets_vhost() { # PARAM=VALUE of the vhost port, devargs of virtio-user
	ctl port add v1 "socket=$work/v1.sock" bridge=br0 $1
	daemon_start far
	daemon=far ctl bridge add br0
	daemon=far ctl port add t4 type=ethdev devargs=net_tap0,iface=t4 bridge=br0
	netns_add t4
	netns_give t4 t4 10.0.0.4/24
	daemon=far ctl port add up type=ethdev "devargs=net_virtio_user0,path=$work/v1.sock,queues=1$2" bridge=br0
	wait_for 20 is_port_state v1 link up
	forget_neighbours t1
	wait_for 20 can_ping t1 10.0.0.4
	ns t4 ping -c 10 -i 0.02 -W 1 10.0.0.1
	expect "ring" "$3" "$(port_state v1 ring)"
	stop far KILL
	wait_for 10 is_port_state v1 link down
	ctl port del v1
	is_conserved
}

# A testpmd guest answers pings itself.
testpmd_answers() {
	ctl port add v2 "socket=$work/v2.sock" bridge=br0
	testpmd icmp "net_virtio_user0,path=$work/v2.sock,mac=52:54:00:aa:bb:01" icmpecho
	wait_for 30 is_port_state v2 link up
	wait_for 20 can_ping t1 10.0.0.55
	stop icmp
	ctl port del v2
}

pcap_files() {

	python3 - "$work/in.pcap" <<-'EOF'
		import struct, sys
		frame = b"\xff" * 6 + bytes.fromhex("020000000001") + b"\x88\xb5" + bytes(50)
		with open(sys.argv[1], "wb") as out:
		    out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
		    for i in range(100):
		        out.write(struct.pack("<IIII", i, 0, len(frame), len(frame)) + frame)
	EOF
	ctl bridge add brp
	ctl port add out type=ethdev "devargs=net_pcap0,tx_pcap=$work/out.pcap" bridge=brp
	ctl port add in type=ethdev "devargs=net_pcap1,rx_pcap=$work/in.pcap" bridge=brp
	wait_for 10 is_stat_above out tx_pkts 99
	ctl port del in
	ctl port del out
	expect "packets in the file" 100 "$(tcpdump --count -nr "$work/out.pcap" 2>/dev/null | awk '{print $1}')"
	ctl bridge del brp
	is_conserved
}

refused_devices_leave_nothing() {
	expect_fails . ctl port add bad type=ethdev devargs=net_af_xdp1,iface=nothere bridge=br0
	expect_fails . ctl port add bad type=ethdev devargs=0000:99:00.0 bridge=br0
	expect_fails . ctl port add bad type=ethdev devargs= bridge=br0
	expect "ports" t1 "$(ctl -j port list | json '",".join(p["name"] for p in d)')"
}

is_down_because() { [ "$(port_state x1 link)" = down ] && [[ $(port_state x1 detail) =~ $1 ]]; } # REGEX

# What the kernel took of a socket while the carrier went, and dropped: it tells no one but this
# counter of the interface.
kernel_dropped() { [ "$driver" = net_tap ] && echo 0 || ip -j -s link show fx1 | json "d[0]['stats64']['tx']['dropped']"; }

# Whatever happens to the interface beneath a port: the port says it, no thread waits for it, and no
# lost packet is counted as sent.
interface_goes_away() { # net_tap, net_af_packet or net_af_xdp
	local driver=$1 iface=fx1 side=tx before sent in_ns=
	netns_add x1
	if [ "$driver" = net_tap ]; then
		iface=x1 side=rx in_ns="-n x1"
		ctl port add x1 type=ethdev devargs=net_tap9,iface=x1 bridge=br0
		netns_give x1 x1 10.0.0.11/24
	else
		ip link add fx1 type veth peer name px1 || skip "no veth"
		netns_give x1 px1 10.0.0.11/24
		ns x1 ethtool -K px1 tx off
		ctl port add x1 type=ethdev "devargs=${driver}0,iface=fx1" bridge=br0
		wait_for 5 is_down_because "fx1 is down"
		ip link set fx1 up
	fi
	forget_neighbours t1
	wait_for 10 can_ping t1 10.0.0.11
	ctl port set x1 admin_up=false
	wait_for 5 is_down_because administratively
	ctl port set x1 admin_up=true
	wait_for 10 can_ping t1 10.0.0.11

	before=$(($(ns_count) + $(kernel_dropped) - $(port_stat x1 tx_pkts)))
	start noise ip netns exec t1 ping -q -b -i 0.002 10.0.0.255
	for _ in 1 2 3; do
		ip $in_ns link set "$iface" down
		wait_for 5 is_down_because "$iface is down"
		ip $in_ns link set "$iface" up
		wait_for 5 is_port_state x1 link up
	done
	if [ "$driver" != net_tap ]; then
		ip -n x1 link set px1 down
		wait_for 5 is_down_because "fx1 has no carrier"
		ip -n x1 link set px1 up
		wait_for 5 is_port_state x1 link up
	fi
	wait_for 10 can_ping t1 10.0.0.11
	stop noise
	sent=$(port_stat x1 tx_pkts)
	[ "$((sent + before))" -le "$(($(ns_count) + $(kernel_dropped)))" ] ||
		fail "$sent were sent, $(($(ns_count) + $(kernel_dropped) - before)) came through the interface, or were dropped there"

	ip $in_ns link del "$iface"
	wait_for 5 is_down_because "$iface is gone"
	sent=$(port_stat x1 tx_pkts)
	before=$(port_stat x1 tx_full)
	ns t1 ping -b -c 5 -i 0.02 -W 0.1 10.0.0.255 || :
	expect "sent since" "$sent" "$(port_stat x1 tx_pkts)"
	expect "waited for since" "$before" "$(port_stat x1 tx_full)"
	is_conserved
	ctl port del x1
	is_conserved
	netns_del x1
}
# What the kernel has taken from the port.
ns_count() { ip ${in_ns:-} -j -s link show dev "$iface" | json "d[0]['stats64']['$side']['packets']"; }

# The target of a mirror gets frames unchanged, even those that its device never takes. These are
# dropped, and later ones pass.
frame_too_long_for_a_device() {
	local sent
	ctl port add x1 type=ethdev devargs=net_tap9,iface=x1 rate=1Gbit
	ctl port add big type=ethdev devargs=net_tap8,iface=big mtu=9000 bridge=br0 mirror=rx mirror_to=x1
	netns_add big
	netns_give big big 10.0.0.12/24
	wait_for 10 can_ping big 10.0.0.1
	ns big ping -c 1 -W 0.1 -s 4958 10.0.0.1 || :
	wait_for 5 is_stat_above x1 refused 0
	sent=$(port_stat x1 tx_pkts)
	ns big ping -c 5 -i 0.02 -W 1 10.0.0.1
	wait_for 5 is_stat_above x1 tx_pkts $((sent + 4))
	expect "lost at the target, as full" 0 "$(($(port_stat x1 tx_full) + $(port_stat x1 tx_timeout)))"
	is_conserved
	ctl port del big
	ctl port del x1
	netns_del big
}

# A TAP that is somebody else's would be shared with him.
taken_name_is_refused() {
	ip tuntap add mode tap multi_queue name x8
	expect_fails "iface: there is already an interface x8" ctl port add x1 type=ethdev devargs=net_tap8,iface=x8 bridge=br0
	expect_fails "iface: there is no interface x7" ctl port add x1 type=ethdev devargs=net_af_packet0,iface=x7 bridge=br0
	ip link del x8
	ctl port add x1 type=ethdev devargs=net_tap8,iface=x8 bridge=br0
	expect_fails "device net_tap8 is in use by another port" ctl port add x2 type=ethdev devargs=net_tap8,iface=x9 bridge=br0
	ctl port del x1
	expect_fails "mac: " ctl port add x1 type=ethdev devargs=net_tap8,iface=x8,mac=01:00:00:00:00:01 bridge=br0
	expect_fails "does not exist" ip link show x8
}

# It stays when its port is deleted, and is gone on with.
persistent_tap() {
	ip tuntap add mode tap name x8
	expect_fails "x8 is no name for a TAP with several queues" ctl port add x1 type=ethdev devargs=net_tap8,iface=x8,persist=1 bridge=br0
	ip link del x8
	for _ in 1 2; do
		ctl port add x1 type=ethdev devargs=net_tap8,iface=x8,persist=1,mac=02:00:00:00:08:01 queues=2 bridge=br0
		wait_for 5 is_port_state x1 link up
		ip addr replace 10.0.0.8/24 dev x8
		forget_neighbours t1
		wait_for 10 can_ping t1 10.0.0.8
		expect "address" 02:00:00:00:08:01 "$(port_state x1 mac)"
		ctl port del x1
		expect "address that stays" 02:00:00:00:08:01 "$(cat /sys/class/net/x8/address)"
	done
	ip tuntap del mode tap multi_queue name x8
}

run_case "AF_XDP on a veth" af_xdp
run_case "AF_XDP of two queues" af_xdp_of_two_queues
run_case "AF_XDP by libxdp's dispatcher" af_xdp_by_the_dispatcher
run_case "AF_XDP of DPDK's driver" af_xdp_of_the_driver
run_case "a TAP goes away" interface_goes_away net_tap
run_case "an interface goes away, AF_PACKET" interface_goes_away net_af_packet
run_case "an interface goes away, AF_XDP" interface_goes_away net_af_xdp
run_case "a frame is too long for a device" frame_too_long_for_a_device
run_case "a TAP's name that is taken is refused" taken_name_is_refused
run_case "a persistent TAP stays" persistent_tap
run_case "memif between two daemons, one restarts" memif_between_daemons
run_case "virtio-user on a vhost port, split ring" virtio_user_meets_vhost "" "" split
run_case "virtio-user on a vhost port, packed ring" virtio_user_meets_vhost "" ",packed_vq=1" packed
run_case "virtio-user, packed not offered" virtio_user_meets_vhost packed=false ",packed_vq=1" split
run_case "testpmd as a guest" testpmd_answers
run_case "pcap files" pcap_files
run_case "devices that are not there leave nothing" refused_devices_leave_nothing
