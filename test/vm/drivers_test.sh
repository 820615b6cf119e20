#!/usr/bin/env bash
# One guest with eight NICs and other drivers than Linux's at its boot: legacy virtio, drivers that
# come and go under traffic, DPDK's in each of its ways. QEMU stops rings at any moment, and memory
# comes and goes. Most frames pass from ring to ring.
#
#   br0   new (split), old (legacy, headers of 10 bytes), t1
#   br1   d0 (split), t2                     testpmd forwards d0 <-> d1, d2 <-> d3, d4 <-> d5, so
#   br2   d1 (in order), d2 (packed)         t2 meets t3
#   br3   d3 (packed, in order), d4 (split, vectorized); both without mergeable buffers
#   br4   d5 (legacy), t3
. "$(dirname "$0")/lib.sh"

# The program and its libraries, of this world. The guest is of the same Debian, and has the C
# library.
testpmd_tar() { # FILE
	local libs
	mapfile -t libs < <(ldd /usr/bin/dpdk-testpmd | awk '$3 ~ "^/" && $3 !~ "/lib(c|m).so" {print $3}')
	tar -chPf "$1" --transform 's,^/lib/,/usr/lib/,' /usr/bin/dpdk-testpmd "${libs[@]}" \
		/usr/lib/x86_64-linux-gnu/dpdk/pmds-*/librte_{bus_pci,bus_vdev,mempool_ring,net_virtio}.so.*.*
}

daemon_start rtvsd
for n in 0 1 2 3 4; do ctl bridge add br$n; done
place() { ctl port add "$1" "socket=$work/$1.sock" "bridge=$2"; } # PORT BRIDGE
place new br0; place old br0
place d0 br1; place d1 br2; place d2 br2; place d3 br3; place d4 br3; place d5 br4
testpmd_tar "$work/testpmd.tar"
vm_start g mem=768,slots=16,maxmem=8G cpus=2 ip=10.0.0.11/24 "files=$work/testpmd.tar" \
	"nic=$work/new.sock" mac=52:54:00:00:00:0a with=addr=0x12 \
	"nic=$work/old.sock" mac=52:54:00:00:00:0b with=addr=0x13,disable-modern=on,mrg_rxbuf=off,rx_queue_size=512,tx_queue_size=1024 \
	"nic=$work/d0.sock" mac=52:54:00:00:00:d0 with=addr=0x14 \
	"nic=$work/d1.sock" mac=52:54:00:00:00:d1 with=addr=0x15,in_order=on \
	"nic=$work/d2.sock" mac=52:54:00:00:00:d2 packed=on with=addr=0x16 \
	"nic=$work/d3.sock" mac=52:54:00:00:00:d3 packed=on with=addr=0x17,in_order=on,mrg_rxbuf=off \
	"nic=$work/d4.sock" mac=52:54:00:00:00:d4 with=addr=0x18,mrg_rxbuf=off \
	"nic=$work/d5.sock" mac=52:54:00:00:00:d5 with=addr=0x19,disable-modern=on
tap_port t1 10.0.0.1/24 bridge=br0
tap_port t2 10.2.0.1/24 bridge=br1
tap_port t3 10.2.0.2/24 bridge=br4
mkdir "$work/www"
dd if=/dev/urandom of="$work/www/f" bs=1M count=4 status=none
sum=$(md5sum <"$work/www/f")
for ns in t1 t2 t3; do start http_$ns ip netns exec $ns busybox httpd -f -p 80 -h "$work/www"; done
wait_guests g

# Linux's interfaces, wherever they come from: new's in the guest's first namespace, the others in
# ones of their own names.
linux_joins() { # NAME DEVICE ADDRESS
	in_guest g 10 "for i in \$(seq 100); do nic=\$(ls /sys/bus/pci/devices/0000:00:$2.0/virtio*/net 2>/dev/null); [ -n \"\$nic\" ] && break; sleep 0.1; done
		if [ $1 != new ]; then ip netns add $1 2>/dev/null; ip link set \$nic netns $1; fi
		on() { if [ $1 = new ]; then \"\$@\"; else ip netns exec $1 \"\$@\"; fi; }
		on ip addr replace $3/24 dev \$nic; on ip link set \$nic up"
}
joins_br0() {
	linux_joins new 12 10.0.0.11
	linux_joins old 13 10.0.0.12
}
old_pings() { vm_run g 8 "ip netns exec old ping -c 1 -W 1 $1 >/dev/null"; } # ADDRESS
is_br0_whole() {
	local address
	for address in 10.0.0.11 10.0.0.12; do wait_for 20 can_ping t1 $address; done
	wait_for 20 old_pings 10.0.0.11
}
# A file, from the namespace and to it by both rings, and from ring to ring both ways.
nothing_is_changed() {
	local got
	for from in "ip netns exec old:10.0.0.1" "ip netns exec old:10.0.0.11" :10.0.0.1 :10.0.0.12; do
		got=$(in_guest g 30 "${from%:*} busybox wget -q -O - http://${from#*:}/f | md5sum")
		expect "checksum of ${from#*:}'s file" "$sum" "$got"
	done
	for address in 10.0.0.11 10.0.0.12; do
		expect "checksum of $address's file" "$sum" "$(ns t1 curl -s -m 30 "http://$address/f" | md5sum)"
	done
}
# Pings to both rings, and TCP between them.
traffic_start() {
	start flood_new ip netns exec t1 ping -q -i 0.003 10.0.0.11
	start flood_old ip netns exec t1 ping -q -i 0.003 10.0.0.12
	in_guest g 10 "(setsid ip netns exec old sh -c 'while :; do iperf3 -c 10.0.0.11 -t 60 -b 20M; sleep 0.1; done' >/dev/null 2>&1 & echo \$! >/tmp/traffic)"
}
# Frames arrived, and none arrived twice.
traffic_stop() {
	local name
	for name in flood_new flood_old; do
		stop $name INT || :
		cat "$work/$name.log"
		expect_match ' [1-9][0-9]* received' "$(cat "$work/$name.log")"
		grep -q duplicates "$work/$name.log" && fail "a frame came twice"
		rm "$work/$name.log"
	done
	in_guest g 10 "kill -- -\$(cat /tmp/traffic); pkill -x iperf3; iperf3 -s -D"
}

joins_br0
in_guest g 30 "mkdir -p /www; busybox wget -q -O /www/f http://10.0.0.1/f; busybox httpd -h /www; ip netns exec old busybox httpd -h /www; iperf3 -s -D"

features_of() { port_state "$1" features; }
legacy_works() {
	expect_match version_1 "$(features_of new)"
	expect_match csum "$(features_of old)"
	! [[ $(features_of old) =~ version_1|mrg_rxbuf ]] || fail "it is no old driver's: $(features_of old)"
	is_br0_whole
	nothing_is_changed
	is_conserved
}

qemu_stops_rings() {
	traffic_start
	for ((i = 0; i < 15; i++)); do
		vm_qmp g stop
		vm_qmp g cont
	done
	for ((i = 0; i < 15; i++)); do
		for up in false true; do vm_qmp g set_link "{\"name\": \"n$((i % 2))\", \"up\": $up}"; done
	done
	is_br0_whole
	traffic_stop
	nothing_is_changed
	is_conserved
}

# The other ring loses nothing meanwhile.
driver_is_rebound() {
	traffic_start
	start steady ip netns exec t1 ping -i 0.02 -c 150 -W 5 10.0.0.12
	in_guest g 60 "device=\$(basename /sys/bus/pci/devices/0000:00:12.0/virtio*); cd /sys/bus/virtio/drivers/virtio_net
		for i in \$(seq 10); do echo \$device >unbind; echo \$device >bind; done"
	linux_joins new 12 10.0.0.11
	wait_for 30 is_stopped steady
	expect_match ' 0% packet loss' "$(cat "$work/steady.log")"
	is_br0_whole
	traffic_stop
	is_conserved
}

driver_is_reloaded() {
	traffic_start
	for ((i = 0; i < 3; i++)); do
		in_guest g 30 "modprobe -r virtio_net; modprobe virtio_net"
		joins_br0
	done
	is_br0_whole
	traffic_stop
	nothing_is_changed
	is_conserved
}

devices="14 15 16 17 18 19"
to_driver() { # DRIVER: of all of DPDK's devices
	in_guest g 30 "modprobe uio_pci_generic; for n in $devices; do d=/sys/bus/pci/devices/0000:00:\$n.0; echo $1 >\$d/driver_override; echo 0000:00:\$n.0 >\$d/driver/unbind; echo 0000:00:\$n.0 >/sys/bus/pci/drivers_probe; done"
}
is_forwarding() { in_guest g 10 "grep -q 'Press enter to exit' /tmp/testpmd"; }
testpmd_start() {
	in_guest g 60 "echo 128 >/proc/sys/vm/nr_hugepages; mount -t hugetlbfs none /dev/hugepages 2>/dev/null
		(setsid sh -c 'tail -f /dev/null | stdbuf -oL dpdk-testpmd --in-memory -m 192 -l 0,1 --main-lcore 0 --no-telemetry --log-level=pmd.net.virtio.*:info \
			-a 00:14.0 -a 00:15.0 -a 00:16.0 -a 00:17.0,vectorized=1 -a 00:18.0,vectorized=1 -a 00:19.0 \
			-- --forward-mode=io --nb-cores=1 --total-num-mbufs=8192' >/tmp/testpmd 2>&1 &)"
	wait_until 20 is_forwarding || { in_guest g 10 "cat /tmp/testpmd; dmesg | tail -5"; fail "testpmd did not start"; }
}
testpmd_ends() {
	in_guest g 20 "pkill -INT -x dpdk-testpmd; while pgrep -x dpdk-testpmd; do sleep 0.1; done; pkill -x tail; echo 0 >/proc/sys/vm/nr_hugepages"
}

dpdk_drives_rings() {
	vm_unpack g /
	to_driver uio_pci_generic
	testpmd_start
	in_guest g 10 "grep using /tmp/testpmd" | tee "$work/paths"
	for path in "mergeable buffer Rx path on port 0" "inorder Rx path on port 1" "packed ring mergeable buffer Rx path on port 2" \
		"packed ring standard Rx path on port 3" "vectorized Rx path on port 4" "mergeable buffer Rx path on port 5"; do
		expect_match "using $path" "$(cat "$work/paths")"
	done
	expect_match version_1 "$(features_of d0)"
	[[ $(features_of d5) != *version_1* ]] || fail "d5 is no legacy device"
	wait_for 30 can_ping t2 10.2.0.2
	ns t2 ping -q -f -w 2 10.2.0.2
	expect "checksum" "$sum" "$(ns t2 curl -s -m 30 http://10.2.0.2/f | md5sum)"
	expect "checksum" "$sum" "$(ns t3 curl -s -m 30 http://10.2.0.1/f | md5sum)"
	is_conserved
	testpmd_ends
}

linux_follows_dpdk() {
	to_driver virtio-pci
	local n
	for n in 0 1 2 3 4 5; do linux_joins d$n 1$((n + 4)) 10.2.0.1$n; done
	for pair in "d0 10.2.0.1" "d1 10.2.0.12" "d3 10.2.0.14" "d5 10.2.0.2"; do
		in_guest g 20 "ip netns exec ${pair% *} ping -c 10 -i 0.05 -w 10 ${pair#* }"
	done
	is_conserved
}

n_memories() { vm_qmp g query-memory-devices | json 'len(d)'; }
has_memories() { [ "$(n_memories)" = "$1" ]; } # N
has_megabytes() { [ "$(in_guest g 10 "awk '/^MemTotal/ {print int(\$2 / 1024)}' /proc/meminfo")" -ge "$1" ]; }
# Four of twelve pieces stay: the kernel puts what it likes there, as receive buffers. The others
# are for what it can move elsewhere, as a file that is sent from there.
memory_comes_and_goes() {
	traffic_start
	for ((i = 0; i < 12; i++)); do
		[ $i != 0 ] || in_guest g 10 "echo online_kernel >/sys/devices/system/memory/auto_online_blocks"
		[ $i != 4 ] || { wait_for 20 has_megabytes 1150; in_guest g 10 "echo online_movable >/sys/devices/system/memory/auto_online_blocks"; }
		vm_qmp g object-add "{\"qom-type\": \"memory-backend-memfd\", \"id\": \"memory$i\", \"size\": 134217728, \"share\": true}"
		vm_qmp g device_add "{\"driver\": \"pc-dimm\", \"id\": \"m$i\", \"memdev\": \"memory$i\"}"
	done
	wait_for 30 has_megabytes 2100
	is_br0_whole
	in_guest g 20 "cp /www/f /www/g; mv /www/g /www/f"
	nothing_is_changed
	# The kernel gives up where a page is in use at that moment.
	in_guest g 60 "for block in \$(grep -lx Movable /sys/devices/system/memory/memory*/valid_zones); do
		for i in \$(seq 100); do echo offline >\${block%/*}/state && break; sleep 0.1; done; done"
	for ((i = 4; i < 12; i++)); do vm_qmp g device_del "{\"id\": \"m$i\"}"; done
	wait_for 40 has_memories 4
	is_br0_whole
	traffic_stop
	nothing_is_changed
	is_conserved
}

run_case "legacy virtio" legacy_works
run_case "QEMU stops and starts rings under traffic" qemu_stops_rings
run_case "a driver is bound anew under traffic" driver_is_rebound
run_case "all drivers are loaded anew under traffic" driver_is_reloaded
run_case "DPDK's driver: split, in order, packed, vectorized, legacy" dpdk_drives_rings
run_case "Linux's driver follows DPDK's" linux_follows_dpdk
run_case "memory comes and goes under traffic" memory_comes_and_goes
