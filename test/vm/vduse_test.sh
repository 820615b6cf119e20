#!/usr/bin/env bash
# The daemon as a device of the kernel's vDPA bus. All runs in one guest, whose kernel has that bus:
# the daemon, and the drivers of its devices, whose interfaces are in namespaces a and b.
. "$(dirname "$0")/lib.sh"

vm_pack "$work/files.tar" "$rtvswitchd" "$rtvsctl" "$(dirname "$0")/vduse_restarts.sh"
vm_start g mem=1024 cpus=2 "files=$work/files.tar"

in_g() { in_guest g "$@"; } # SECONDS COMMAND
g() { in_g 60 "( $* )"; } # COMMAND..., which may exit
# The harness's asks the daemon there.
ctl() { g "rtvsctl -s /run/rtvsd.sock $(printf '%q ' "$@")"; }
g_starts() { # [ARG...]
	g "setsid rtvswitchd --socket /run/rtvsd.sock --no-huge --idle adaptive --worker-priority normal --fresh $* >>/tmp/rtvsd.log 2>&1 </dev/null &
		for i in \$(seq 300); do rtvsctl -s /run/rtvsd.sock port list >/dev/null 2>&1 && exit 0; sleep 0.1; done; cat /tmp/rtvsd.log; exit 1"
}
g_has_ended() { ! g "pidof rtvswitchd"; }
g_ends() { # SIGNAL
	g "pkill -$1 -x rtvswitchd"
	wait_for 20 g_has_ended
}
# The port's interface, in the namespace of the same name. Drivers of ports without allowed_macs
# make addresses up, so that whoever knew the former one forgets it.
joins() { # PORT ADDRESS/LEN
	g "rtvsctl vdpa attach $1 --netns $1 --name eth0 >/dev/null && ip -n $1 addr replace $2 dev eth0
		for n in \$(ls /run/netns); do ip -n \$n neigh flush all; done"
}
# From both sides until it ends, whatever happens to the interfaces.
traffic() {
	g "(setsid ip netns exec a ping -q -i 0.01 -s 500 10.0.0.2 >/dev/null 2>&1 &); (setsid ip netns exec b ping -q -i 0.01 -s 500 10.0.0.1 >/dev/null 2>&1 &)"
	wait_for 20 pings b 10.0.0.1
}
traffic_ends() { g "pkill -KILL -x ping || :"; }
pings() { in_g 10 "ip netns exec $1 ping -c 1 -W 1 $2 >/dev/null"; } # NAMESPACE ADDRESS
cannot_reach() { ! in_g 10 "ip netns exec $1 ping -c 2 -i 0.2 -W 1 $2 >/dev/null"; }
after_failure() { traffic_ends; }
nobody_lost() { expect_match ' 0% packet loss' "$1"; } # TEXT
has_carrier() { [ "$(g "ip netns exec $1 cat /sys/class/net/eth0/carrier")" = "$2" ]; } # NAMESPACE 0|1

wait_guests g
vm_unpack g /
g "ip netns add a; ip netns add b; ip -n a link set lo up; ip -n b link set lo up; uname -r"
g_starts
ctl bridge add br0

no_module() {
	expect_fails 'modprobe vduse' ctl port add a type=vduse bridge=br0
	g "modprobe -a vduse virtio_vdpa vhost_vdpa"
}

wrong_ports_are_refused() {
	expect_fails 'queues: 2 is out of range 1 to 1: .*control queue' ctl port add a type=vduse bridge=br0 queues=2
	expect_fails "name: the kernel's own file" ctl port add control type=vduse bridge=br0
	expect_fails 'socket: only for type=vhost' ctl port add a type=vduse bridge=br0 socket=/run/a.sock
	expect_fails 'path: only for type=segment' ctl port add a type=vduse bridge=br0 path=/dev/vduse/a
	expect_fails 'devargs: only for type=ethdev' ctl port add a type=vduse bridge=br0 devargs=net_null0
	expect "devices" control "$(g "ls /dev/vduse")"
	expect "devices of the bus" "" "$(g "ls /sys/bus/vdpa/devices")"
}

two_meet() {
	ctl port add a type=vduse bridge=br0 allowed_macs=52:54:00:00:00:0a mtu=1400
	ctl port add b type=vduse bridge=br0 packed=false
	joins a 10.0.0.1/24
	joins b 10.0.0.2/24
	wait_for 20 pings a 10.0.0.2
	nobody_lost "$(g "ip netns exec a ping -q -c 20 -i 0.1 10.0.0.2")"
	expect_match 'mtu 1400' "$(g "ip -n a link show eth0")"
	expect_match 52:54:00:00:00:0a "$(g "ip -n a link show eth0")"
	expect "ring of a" packed "$(port_state a ring)"
	expect "ring of b" split "$(port_state b ring)"
	is_conserved
}

tcp_passes() {
	g "ip netns exec b iperf3 -s -D >/dev/null"
	g "ip netns exec a iperf3 -c 10.0.0.2 -t 2 -J" | json 'int(d["end"]["sum_received"]["bits_per_second"] / 1e6)' >"$work/there"
	g "ip netns exec a iperf3 -c 10.0.0.2 -t 2 -R -J" | json 'int(d["end"]["sum_received"]["bits_per_second"] / 1e6)' >"$work/back"
	echo "Mbit/s: there $(cat "$work/there"), back $(cat "$work/back")"
	[ "$(cat "$work/there")" -gt 2 ] && [ "$(cat "$work/back")" -gt 2 ]
	is_conserved
}

link_goes_down_with_the_port() {
	has_carrier a 1
	ctl port set a admin_up=false
	wait_for 5 has_carrier a 0
	has_carrier b 1
	cannot_reach b 10.0.0.1
	expect "detail" "administratively down" "$(port_state a detail)"
	ctl port set a admin_up=true
	wait_for 5 has_carrier a 1
	wait_for 10 pings b 10.0.0.1
	is_conserved
}

daemon_ends() {
	traffic
	g_ends TERM
	g_starts --config /tmp/saved.json
	wait_for 20 pings a 10.0.0.2
	wait_for 20 pings b 10.0.0.1
	traffic_ends
	nobody_lost "$(g "ip netns exec b ping -q -c 20 -i 0.05 10.0.0.1")"
	is_conserved
}

# A driver reads both when it is bound.
device_follows_its_port() {
	expect_fails "mtu: the driver of device a read it when it was bound: rtvsctl vdpa detach a" ctl port set a mtu=1300
	expect_match 'mtu 1400' "$(g "ip -n a link show eth0")"
	ctl vdpa detach a
	ctl port set a mtu=1300 allowed_macs=52:54:00:00:00:0c
	joins a 10.0.0.1/24
	expect_match 'mtu 1300 .*52:54:00:00:00:0c' "$(g "ip -n a link show eth0" | xargs)"
	wait_for 20 pings b 10.0.0.1
	# The address of an interface follows by hand: until then the port drops what it sends.
	ctl port set a allowed_macs=52:54:00:00:00:0a
	cannot_reach b 10.0.0.1
	ctl vdpa attach a --netns a --mac 52:54:00:00:00:0a
	joins a 10.0.0.1/24
	wait_for 20 pings b 10.0.0.1
	is_conserved
}

# RTVS_RESTARTS times (5); how long it took is only shown.
restarts_recover() {
	local n=${RTVS_RESTARTS:-5} column
	g "rtvsctl -s /run/rtvsd.sock -j config dump >/tmp/saved.json"
	in_g $((30 + 25 * n)) "vduse_restarts.sh $n /tmp/saved.json" >"$work/restarts"
	for column in ready answer; do
		echo "    ms from exec to $column: $(awk -v c=$column '{print c == "ready" ? $1 : $2}' "$work/restarts" | sort -n |
			awk '{t[NR] = $1} END {print "p50", t[int((NR + 1) / 2)], "p99", t[int(NR * 0.99 + 0.5)], "max", t[NR]}')"
	done >&3
	expect "restarts after which frames passed" "$n" "$(wc -l <"$work/restarts")"
	is_conserved
}

# The next daemon's port has not what the driver agreed to.
parameters_are_others() {
	g "sed 's/\"name\": *\"b\"/&, \"csum\": false, \"tso\": false/; s/\"allowed_macs\": *\[[^]]*\]/\"allowed_macs\": []/' /tmp/saved.json >/tmp/other.json"
	g_ends KILL
	g_starts --config /tmp/other.json
	g "grep \"port b: the driver of the VDUSE device uses .* it is made anew\" /tmp/rtvsd.log"
	joins b 10.0.0.2/24
	wait_for 20 pings a 10.0.0.2
	[[ $(port_state b features) != *tso* ]]
	g_ends KILL
	g_starts --config /tmp/saved.json
	joins b 10.0.0.2/24
	wait_for 20 pings a 10.0.0.2
}

# The daemon does not start, and the next one does: its devices were not deleted meanwhile.
configuration_is_wrong() {
	g "sed 's/^\]\$/,{\"method\": \"port.add\", \"params\": {\"name\": \"c\", \"type\": \"ethdev\", \"devargs\": \"net_none0\"}}]/' /tmp/saved.json >/tmp/wrong.json; tail -n 3 /tmp/wrong.json"
	g_ends KILL
	expect_fails 'port.add.*devargs' g "timeout 20 rtvswitchd --socket /run/rtvsd.sock --fresh --no-huge --idle adaptive --worker-priority normal --config /tmp/wrong.json"
	g_starts --config /tmp/saved.json
	wait_for 20 pings a 10.0.0.2
}

# Its interface may be set, and others' too; only what needs the device waits, as long as
# msg_timeout says. Then the kernel gives the device up, and the next daemon makes it anew.
daemon_is_away() {
	g "echo 2 >/sys/class/vduse/a/msg_timeout"
	g_ends KILL
	g "ip -n a link set eth0 down; ip -n a link set eth0 mtu 1200; ip -n a link set eth0 address 52:54:00:00:00:0b; ip -n a link set eth0 netns 1; ip link show"
	g "echo a >/sys/bus/vdpa/drivers/virtio_vdpa/unbind"
	expect "driver" "" "$(g "rtvsctl -j vdpa list" | json "[c['driver'] for c in d if c['device'] == 'a'][0]")"
	g_starts --config /tmp/saved.json
	g "grep \"port a: the kernel gave the VDUSE device up .* it is made anew\" /tmp/rtvsd.log"
	joins a 10.0.0.1/24
	wait_for 20 pings a 10.0.0.2
}

# As deadline_test.sh has it for guests: a and b share an uplink with c, which sends as much as it
# can until both have measured.
flow_stat() { ctl -j flow list "port=$2" "from=$1" | json "d[0]['$3'] if d else 0"; } # FROM PORT COUNTER
is_flooded() { [ "$(flow_stat c up queued)" -gt 32 ]; }
overload() { # FILE
	g "for n in 1 2 3; do ip netns exec up iperf3 -s -1 -D -p 530\$n >/dev/null; done
		(setsid ip netns exec c iperf3 -c 10.0.0.9 -p 5303 -u -b 0 -l 1000 -t 3600 >/dev/null 2>&1 &)"
	wait_for 10 is_flooded
	in_g 40 "for n in a:1 b:2; do ip netns exec \${n%:*} iperf3 -c 10.0.0.9 -p 530\${n#*:} -u -b 1M -l 1000 -t 4 >/dev/null & ip netns exec \${n%:*} ping -i 0.1 -c 30 -W 3 10.0.0.9 >/tmp/rt.\${n%:*} & done; wait \$(jobs -p)"
	for name in a b; do g "cat /tmp/rt.$name" >"$1.$name"; done
	g "pkill -KILL -x iperf3; :"
}
median_us() { sed -n 's/.*icmp_seq=.*time=\([0-9.]*\) ms.*/\1/p' "$1" | sort -n | awk '{t[NR] = $1} END {printf "%d\n", t[int((NR + 1) / 2)] * 1000}'; }
containers_keep_their_deadlines() {
	local name before after
	g "ip netns add c; ip netns add up"
	ctl port add c type=vduse bridge=br0 tso=no weight=16 queue=128
	ctl port add up type=vduse bridge=br0 tso=no rate=6Mbit
	joins c 10.0.0.3/24
	joins up 10.0.0.9/24
	for name in a b c; do wait_for 20 pings $name 10.0.0.9; done
	overload "$work/without"
	for name in a b; do ctl port set $name deadline=70ms min_rate=2500kbit burst=15kB; done
	overload "$work/with"
	for name in a b; do
		before=$(median_us "$work/without.$name")
		after=$(median_us "$work/with.$name")
		echo "$name: median round trip $before us without a deadline, $after us with" >&3
		[ $((after * 3)) -lt "$before" ] || fail "$name: $after us are not a third of $before us"
		[ "$(flow_stat $name up guaranteed_pkts)" -gt 200 ] || fail "$name was not guaranteed"
	done
	expect "guarantees of c" 0 "$(flow_stat c up guaranteed_pkts)"
	is_conserved
	for name in a b; do ctl port set $name deadline=0 min_rate=0; done
	ctl port del up
	ctl port del c
}

others_are_refused() {
	g_ends KILL
	g "(setsid sleep 1000 7<>/dev/vduse/a >/dev/null 2>&1 &)"
	g_starts
	ctl bridge add br0
	expect_fails "name: another program serves the VDUSE device 'a'" ctl port add a type=vduse bridge=br0
	g "pkill -x sleep"
	g_ends KILL
	g_starts --config /tmp/saved.json
	wait_for 20 pings a 10.0.0.2
}

# The daemon that serves the others runs on.
no_permission() {
	g "(setsid setpriv --bounding-set -net_admin rtvswitchd --socket /run/other.sock --no-huge --idle adaptive --worker-priority normal >/tmp/other.log 2>&1 </dev/null &)
		for i in \$(seq 300); do rtvsctl -s /run/other.sock port list >/dev/null 2>&1 && exit 0; sleep 0.1; done; cat /tmp/other.log; exit 1"
	expect_fails "type: the kernel refuses VDUSE device 'c': the daemon needs CAP_NET_ADMIN" g "rtvsctl -s /run/other.sock port add c type=vduse"
	g "pkill -TERM -f other.sock"
	expect "devices" "a b control" "$(g "ls /dev/vduse" | xargs)"
	pings a 10.0.0.2
}

# By sysfs, which asks nobody, and by the command.
driver_is_another() {
	traffic
	for _ in 1 2 3; do
		g "echo b >/sys/bus/vdpa/drivers/virtio_vdpa/unbind; echo b >/sys/bus/vdpa/drivers/vhost_vdpa/bind; ls -d /sys/bus/vdpa/devices/b/vhost-vdpa-*"
		wait_for 5 is_port_state b connected false
		expect_match "no driver has set up /sys/bus/vdpa/devices/b" "$(port_state b detail)"
		g "echo b >/sys/bus/vdpa/drivers/vhost_vdpa/unbind; echo b >/sys/bus/vdpa/drivers/virtio_vdpa/bind"
		joins b 10.0.0.2/24
		wait_for 20 pings a 10.0.0.2
	done
	ctl vdpa detach b
	ctl vdpa attach b --driver vhost
	joins b 10.0.0.2/24
	wait_for 20 pings a 10.0.0.2
	traffic_ends
	is_conserved
}

# By the bus's own tool, and by the port's end.
device_goes() {
	traffic
	g "vdpa dev del a"
	wait_for 5 is_port_state a connected false
	g "vdpa dev add name a mgmtdev vduse"
	joins a 10.0.0.1/24
	wait_for 20 pings b 10.0.0.1
	g "vdpa dev del a"
	ctl port del a
	expect "devices" "b control" "$(g "ls /dev/vduse" | xargs)"
	ctl port add a type=vduse bridge=br0
	joins a 10.0.0.1/24
	wait_for 20 pings b 10.0.0.1
	ctl port del a
	expect "devices" "b control" "$(g "ls /dev/vduse" | xargs)"
	expect "interfaces" lo "$(g "ip netns exec a ls /sys/class/net")"
	ctl port add a type=vduse bridge=br0
	joins a 10.0.0.1/24
	wait_for 20 pings b 10.0.0.1
	traffic_ends
	is_conserved
}

# A program has its file open, and the kernel would wait for that without limit.
device_is_in_use() {
	ctl vdpa detach b
	ctl vdpa attach b --driver vhost
	g "(setsid sleep 1000 7<>/dev/vhost-vdpa-0 >/dev/null 2>&1 &)"
	expect_fails "b is in use: a program" ctl vdpa detach b
	ctl port del b
	g "grep 'port b: its vDPA device stays: .*in use' /tmp/rtvsd.log"
	expect "devices" "a b control" "$(g "ls /dev/vduse" | xargs)"
	expect "devices of the bus" "a b" "$(g "ls /sys/bus/vdpa/devices" | xargs)"
	g "pkill -x sleep"
	ctl port add b type=vduse bridge=br0 packed=false
	joins b 10.0.0.2/24
	wait_for 20 pings a 10.0.0.2
}

namespace_goes() {
	traffic
	g "pkill -KILL -x -f 'ping.*10.0.0.2'; ip netns del a; ip netns add a; ip -n a link set lo up"
	a_joins() { joins a 10.0.0.1/24; }
	wait_for 20 a_joins
	wait_for 20 pings b 10.0.0.1
	traffic_ends
	is_conserved
}

run_case "without the module, the error says so" no_module
run_case "ports that cannot be are refused" wrong_ports_are_refused
run_case "two interfaces meet" two_meet
run_case "TCP passes both ways" tcp_passes
run_case "an interface has its port's link" link_goes_down_with_the_port
run_case "an interface follows its port when it is bound" device_follows_its_port
run_case "the daemon is killed under traffic, again and again" restarts_recover
run_case "the daemon is ended under traffic" daemon_ends
run_case "a device with other parameters is made anew" parameters_are_others
run_case "a wrong configuration deletes no devices" configuration_is_wrong
run_case "a daemon that is away keeps commands as long as the kernel is told" daemon_is_away
run_case "a device of another program is refused" others_are_refused
run_case "without the right to it, the error says so" no_permission
run_case "a device gets another driver, and the first again" driver_is_another
run_case "a device goes while it is used" device_goes
run_case "a device that a program holds open stays" device_is_in_use
run_case "containers with deadlines keep their delay beside one that floods" containers_keep_their_deadlines
run_case "a namespace goes with its interface" namespace_goes
