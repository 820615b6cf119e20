#!/bin/bash
# Inside the guest of the bench vdpa (vdpa.py): the switch with its ports, and who uses them.
#   start             daemon, ports, generators, containers
#   loops FRAME WARMUP_MS MS LOOK_US N
#                     N times with each generator in turn, a line each: vhost, vdpa, vhost, ...
#   trips MS          round trips of one frame, a line each: vhost, vdpa
#   stream PATH S     TCP between the two containers: iperf3's JSON
#   rr PATH S         UDP_RR: netperf's "p50,p99"
# PATH: vdpa, tap, veth. Generators have the first processor, the worker the second.
set -eu

socket=/run/rtvsd.sock
ctl() { rtvsctl -s $socket "$@" >/dev/null; }
wait_until() { # COMMAND...
	local i
	for ((i = 0; i < 200; i++)); do
		! "$@" >/dev/null 2>&1 || return 0
		sleep 0.1
	done
	echo "not within 20 s: $*"
	tail -n 5 /tmp/*.log
	return 1
}

start_generator() { # NAME PATH0 PATH1
	mkfifo "/run/$1.in" "/run/$1.out"
	(
		exec 7<>"/run/$1.in" 8<>"/run/$1.out"
		# Plain pages are one shared file: vhost_vdpa maps nothing else for a VDUSE device.
		exec setsid ends --no-huge -m 64 --no-pci --no-telemetry "--file-prefix=$1" --lcores=0@0 \
			"--vdev=net_virtio_user0,path=$2,mac=52:54:00:00:00:01" "--vdev=net_virtio_user1,path=$3,mac=52:54:00:00:00:02" \
			-- 52:54:00:00:00:02 52:54:00:00:00:01 <&7 >&8 2>"/tmp/$1.log" 7>&- 8>&-
	) &
	answer "$1" >/dev/null || { cat "/tmp/$1.log"; return 1; }
	ask "$1" hello >/dev/null
}
answer() { # NAME
	local line
	read -r -t 20 line <>"/run/$1.out" && echo "$line"
}
ask() { # NAME COMMAND
	echo "$2" >"/run/$1.in"
	answer "$1"
}

# The other end of each path is in the other container.
start_containers() {
	local i
	ip link add br0 type bridge
	ip link set br0 up
	for i in 1 2; do
		ip netns add n$i
		ip -n n$i link set lo up
		ip link set tap$i netns n$i
		rtvsctl vdpa attach c$i --netns n$i --name vdpa$i >/dev/null
		ip link add veth$i netns n$i type veth peer name peer$i
		ip link set peer$i master br0 up
		network vdpa 1 $i
		network tap 2 $i
		network veth 3 $i
	done
	ip netns exec n2 iperf3 -s -D >/dev/null
	ip netns exec n2 netserver >/dev/null
	for i in 1 2 3; do wait_until ip netns exec n1 ping -c 1 -W 1 10.0.$i.2; done
}
network() { # PATH NUMBER CONTAINER
	ip -n "n$3" addr add "10.0.$2.$3/24" dev "$1$3"
	ip -n "n$3" link set "$1$3" up
}
address() { # PATH
	case $1 in
	vdpa) echo 10.0.1.2 ;;
	tap) echo 10.0.2.2 ;;
	veth) echo 10.0.3.2 ;;
	esac
}

start() {
	local i n
	modprobe -a vduse virtio_vdpa vhost_vdpa tun veth bridge
	setsid rtvswitchd --socket $socket --no-huge --workers 1 --idle adaptive --worker-priority normal >/tmp/rtvsd.log 2>&1 </dev/null &
	wait_until ctl port list
	for n in generators_vhost generators_vdpa containers_vdpa containers_tap; do ctl bridge add $n; done
	for i in 1 2; do
		ctl port add g$i bridge=generators_vhost socket=/run/g$i.sock
		ctl port add d$i bridge=generators_vdpa type=vduse
		ctl port add c$i bridge=containers_vdpa type=vduse
		ctl port add t$i bridge=containers_tap type=ethdev devargs=net_tap$i,iface=tap$i
		rtvsctl vdpa attach d$i --driver vhost >/dev/null
	done
	start_generator vhost /run/g1.sock /run/g2.sock
	start_generator vdpa "$(file_of d1)" "$(file_of d2)"
	start_containers
}
file_of() { ls -d /sys/bus/vdpa/devices/"$1"/vhost-vdpa-* | sed "s:.*/:/dev/:"; } # DEVICE

loops() {
	local i name
	for ((i = 0; i < $5; i++)); do
		for name in vhost vdpa; do ask $name "loop $1 $2 $3 $4"; done
	done
}
trips() {
	local name
	for name in vhost vdpa; do ask $name "ping-both 64 $1"; done
}
stream() { ip netns exec n1 iperf3 -c "$(address "$1")" -t "$2" -J; }
rr() { ip netns exec n1 netperf -H "$(address "$1")" -t UDP_RR -l "$2" -P 0 -j -- -o P50_LATENCY,P99_LATENCY; }

"$@"
