#!/usr/bin/env bash
# A device of the kernel's vDPA bus as a switch's uplink: DPDK's virtio-user drives it by its file.
# All runs in one guest, whose kernel has that bus, but neither a NIC on it nor a simulated one: the
# device's other side is a VDUSE port of a second daemon. Daemons near and far have a container
# each; frames pass its VDUSE port, the switch, and /dev/vhost-vdpa-N between the two.
. "$(dirname "$0")/lib.sh"

vm_pack "$work/files.tar" "$rtvswitchd" "$rtvsctl" pmd=net_virtio
vm_start g mem=1024 cpus=2 append=tsc=reliable append=ipv6.disable=1 "files=$work/files.tar"

g() { in_guest g 60 "( $* )"; } # COMMAND..., which may exit
of() { g "rtvsctl -s /run/$1.sock $(printf '%q ' "${@:2}")"; } # DAEMON WORD...
g_starts() { # DAEMON [ARG...]
	g "setsid rtvswitchd --socket /run/$1.sock --no-huge --idle adaptive --worker-priority normal --fresh ${*:2} >>/tmp/$1.log 2>&1 </dev/null &
		for i in \$(seq 300); do rtvsctl -s /run/$1.sock port list >/dev/null 2>&1 && exit 0; sleep 0.1; done; cat /tmp/$1.log; exit 1"
}
is_up() { [ "$(of "$1" -j port show "$2" | json "d['state']['link']")" = up ]; } # DAEMON PORT
pings() { g "ip netns exec $1 ping -c 1 -W 1 $2 >/dev/null"; } # NAMESPACE ADDRESS
uplink() { of near port add up bridge=br0 type=ethdev "devargs=net_virtio_user0,path=$1"; } # PATH
daemon=near
ctl() { of $daemon "$@"; } # the harness's

wait_guests g
vm_unpack g /
g "modprobe -a vduse virtio_vdpa vhost_vdpa"
g_starts near
g_starts far
n=0
for daemon in near far; do
	n=$((n + 1))
	of $daemon bridge add br0
	of $daemon port add c$n bridge=br0 type=vduse
	g "ip netns add $daemon; rtvsctl vdpa attach c$n --netns $daemon --name eth0; ip -n $daemon addr add 10.0.0.$n/24 dev eth0"
done
of far port add other bridge=br0 type=vduse
file=$(g "rtvsctl vdpa attach other --driver vhost -j" | json 'd["path"]')

wrong_files_are_refused() {
	expect_fails "path: /dev/vhost-vdpa-9: No such file or directory; rtvsctl vdpa attach NAME --driver vhost" uplink /dev/vhost-vdpa-9
	expect_fails "path: /dev/null is neither a vhost-user socket nor the file of a vDPA device" uplink /dev/null
	g "(exec sleep 1000 5<>$file >/dev/null 2>&1 </dev/null & echo \$! >/run/holder.pid)"
	expect_fails "path: another program, or another port, has $file open" uplink "$file"
	g "kill \$(cat /run/holder.pid)"
	# Root needs a capability to open what is another's, and only its owner's.
	g "chown 1000 $file; (setsid setpriv --bounding-set -dac_override rtvswitchd --socket /run/weak.sock --no-huge --idle adaptive --worker-priority normal >/tmp/weak.log 2>&1 </dev/null &)
		for i in \$(seq 300); do rtvsctl -s /run/weak.sock port list >/dev/null 2>&1 && exit 0; sleep 0.1; done; cat /tmp/weak.log; exit 1"
	expect_fails "path: the daemon may not read and write $file" of weak port add up type=ethdev "devargs=net_virtio_user0,path=$file"
	g "pkill -TERM -f weak.sock; chown 0 $file"
	expect "ports" c1 "$(of near -j port list | json '" ".join(p["name"] for p in d)')"
}

containers_meet() {
	uplink "$file"
	expect_fails "path: another program, or another port, has $file open" of near port add up2 type=ethdev "devargs=net_virtio_user1,path=$file"
	wait_for 10 is_up near up
	wait_for 10 is_up far other
	wait_for 10 pings near 10.0.0.2
	expect_match ' 0% packet loss' "$(g "ip netns exec near ping -q -c 20 -i 0.05 10.0.0.2")"
	g "ip netns exec far iperf3 -s -D >/dev/null; ip netns exec near iperf3 -c 10.0.0.2 -t 1; ip netns exec near iperf3 -c 10.0.0.2 -t 1 -R"
	for daemon in near far; do is_conserved; done
}

far_daemon_is_killed() {
	g "rtvsctl -s /run/far.sock -j config dump >/tmp/far.json; pkill -KILL -f far.sock"
	g_starts far --config /tmp/far.json
	wait_for 20 pings near 10.0.0.2
	wait_for 20 pings far 10.0.0.1
}

uplink_goes_and_returns() {
	of near port del up
	is_free() { uplink "$file"; }
	wait_for 10 is_free
	wait_for 10 pings near 10.0.0.2
}

run_case "files that cannot be are refused" wrong_files_are_refused
run_case "containers meet by way of the uplink" containers_meet
run_case "the uplink goes on when the other side's daemon is killed" far_daemon_is_killed
run_case "the uplink is deleted, and added again" uplink_goes_and_returns
