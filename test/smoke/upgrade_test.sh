#!/usr/bin/env bash
# A running daemon is replaced by another one: guests, TAPs and AF_XDP ports keep their links,
# nothing is lost, and whatever dies or hangs at any step, one of the two has the guests. The guests
# are those of another daemon (virtio-user), with probes between them. Each TAP of the daemon and
# the far end of its AF_XDP port's veth send numbered packets, which guest 1 answers.
. "$(dirname "$0")/lib.sh"

export RTVS_RELAY=$work/relay RTVS_RELAY_PROGRAM=$rtvswitchd
relay=$top/test/smoke/upgrade_relay.py

pid() { ctl -j system info | json 'd["pid"]'; }
is_pid() { [ "$(pid)" = "$1" ]; }
# The first thread may end before the others, which still have the files.
is_process() { [ -d "/proc/$1" ] && ! { grep -q '^State:.*Z' "/proc/$1/status" && [ "$(ls "/proc/$1/task")" = "$1" ]; }; }
is_no_process() { ! is_process "$1"; }
far() { daemon=far ctl "$@"; }
# shellcheck disable=SC2120 # comes_again has the arguments
upgrade() { ctl -j system upgrade "$@" >"$work/upgrade.json"; }
follow() { pid >"$work/rtvsd.pid"; } # the daemon is another process now

# t1 - far - v1 - daemon - v2 - far - t2, each with a bridge of its own at the far end. Guest 1 has
# packed rings and makes the socket, guest 2 has split rings and connects.
plug() { # GUEST [DEVARG...]
	far port add "g$1" type=ethdev "devargs=net_virtio_user$1,path=$work/v$1.sock,queues=1,$2" "bridge=br$1"
}
place_guests() {
	local i
	ctl bridge add br0
	ctl port add v1 mode=connect packed=true "socket=$work/v1.sock" bridge=br0
	ctl port add v2 "socket=$work/v2.sock" bridge=br0
	for i in 1 2; do
		far bridge add br$i
		daemon=far tap_port t$i 10.0.0.$i/24 bridge=br$i
	done
	plug 1 packed_vq=1,server=1
	plug 2 packed_vq=0
	place_taps
	guests_are_there
	start echo ip netns exec t1 python3 "$top/test/smoke/numbered.py" echo 10.0.0.1
}
place_taps() {
	local i
	tap_port x1 10.0.0.11/24 bridge=br0
	tap_port x2 10.0.0.12/24 bridge=br0 queues=4
	for i in x1 x2; do # it speaks when nobody asked
		ns $i sh -c "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6"
	done
	ip -n x1 route add 10.77.0.0/16 via 10.0.0.1 dev x1
	place_xdp x3
}
place_xdp() { # NAME: in its namespace, fNAME is the switch's end
	ip link add "f$1" type veth peer name "$1"
	netns_add "$1"
	ns "$1" sh -c "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6"
	netns_give "$1" "$1" "10.0.0.1${1#x}/24"
	ns "$1" ethtool -K "$1" tx off
	echo 1 >"/proc/sys/net/ipv6/conf/f$1/disable_ipv6"
	ip link set "f$1" up
	ctl port add "$1" type=ethdev "devargs=net_af_xdp${1#x},iface=f$1" bridge=br0
}
guests_are_there() {
	local guest
	wait_for 20 is_port_state v1 link up
	wait_for 20 is_port_state v2 link up
	for guest in t1 x1 x2 x3; do
		wait_for 20 can_ping "$guest" 10.0.0.2
	done
}
# After a crash. A DPDK guest that connects does so once.
daemon_starts_again() {
	daemon_resume rtvsd
	far port del g2
	plug 2 packed_vq=0
	netns_give x1 x1 10.0.0.11/24 # a TAP ends with the last process that has it
	netns_give x2 x2 10.0.0.12/24
	ip -n x1 route add 10.77.0.0/16 via 10.0.0.1 dev x1
	forget_neighbours t1
	guests_are_there
}

# The guests' connections are those of the beginning, and packets pass.
is_as_before() {
	local i
	for i in 1 2; do
		expect "link of v$i" up "$(port_state v$i link)"
	done
	can_ping t1 10.0.0.2 || fail "no packet passes"
}

# The interfaces as the kernel has them, without what time changes.
interfaces() {
	local i
	ip -j -d link show dev fx3 | json '[d[0][k] for k in ("ifindex", "flags", "mtu", "promiscuity", "xdp")]'
	cat /sys/class/net/fx3/carrier_changes
	for i in x1 x2 x3; do
		ip -n $i -4 -o address show dev $i
		ip -n $i route show dev $i
		ns $i cat /sys/class/net/$i/ifindex /sys/class/net/$i/carrier_changes /sys/class/net/$i/address
		ns $i sh -c "ls -d /sys/class/net/$i/queues/*"
	done
}

# From each of these to guest 1 and back, with the probes between guests.
streams() { # [SECONDS]: between two packets
	local i
	for i in flow numbers.x1 numbers.x2 numbers.x3; do # of a case that failed
		! is_running "$i" || stop "$i" || :
	done
	flow
	rm -f "$work/numbers.end"
	interfaces >"$work/interfaces.before"
	for i in x1 x2 x3; do
		rm -f "$work/numbers.$i.log"
		start "numbers.$i" ip netns exec $i python3 "$top/test/smoke/numbered.py" $i 10.0.0.1 "$work/numbers.end" "${1:-0.004}"
	done
	for i in x1 x2 x3; do
		wait_for 20 grep -q answered "$work/numbers.$i.log"
	done
}
streams_lost_nothing() {
	local i
	nothing_was_lost
	touch "$work/numbers.end"
	for i in x1 x2 x3; do
		wait_for 20 is_stopped "numbers.$i"
		expect_match '^[1-9][0-9]* sent, 0 lost, 0 doubled$' "$(tail -n 1 "$work/numbers.$i.log")"
	done
	interfaces >"$work/interfaces.after"
	diff "$work/interfaces.before" "$work/interfaces.after"
}

goes_on_in_another_process() {
	local before i
	local connects
	connects="$(port_state v1 connects) $(port_state v2 connects)"
	streams
	ctl config dump >"$work/before.json"
	for i in 1 2 3 4 5; do
		before=$(pid)
		upgrade
		expect "process" "$(json 'd["pid"]' <"$work/upgrade.json")" "$(pid)"
		wait_for 30 is_no_process "$before"
		is_as_before
		follow
	done
	streams_lost_nothing
	ctl config dump >"$work/after.json"
	cmp "$work/before.json" "$work/after.json"
	# What a guest saw of it: nothing.
	expect "disconnects of g1" 0 "$(port_state v1 disconnects)"
	expect "connects" "$connects" "$(port_state v1 connects) $(port_state v2 connects)"
	expect "rings that a crash left" 0 "$(port_state v1 rings_recovered)"
	is_conserved
}

# Learned MACs, counters, numbers of ports.
state_goes_on() {
	local before numbers macs
	ctl port add v0 "socket=$work/v0.sock" bridge=br0
	ctl port del v2 # so that numbers are not those of a start
	ctl port add v2 "socket=$work/v2.sock" bridge=br0
	far port del g2
	plug 2 packed_vq=0
	ctl port del v0
	guests_are_there
	numbers() { ctl -j port list | json '[[p["name"], p["number"]] for p in d]'; }
	macs() { ctl -j mac list br0 | json 'sorted([m["mac"], m["port"]] for m in d["macs"])'; }
	numbers=$(numbers)
	macs=$(macs)
	before=$(port_stat v1 rx_pkts)
	upgrade
	follow
	expect "numbers" "$numbers" "$(numbers)"
	expect "MACs" "$macs" "$(macs)"
	[ "$(port_stat v1 rx_pkts)" -ge "$before" ] || fail "a counter went back"
	is_conserved
}

# Half a second each, so most of them wait whatever the machine does; a rate that the port may use.
packets_wait_for_their_turn() {
	local before
	before=$(pings_of_t2)
	ctl port set v2 rate=20kbit
	ctl port set v1 min_rate=15kbit burst=90kB deadline=60s # not dropped for their wait
	start burst ip netns exec t1 ping -q -c 40 -i 0.002 -s 1200 10.0.0.2
	wait_for 10 is_waiting
	upgrade
	follow
	[ "$(port_stat v2 queued)" -gt 0 ] || fail "nothing waits any more"
	ctl port set v1 min_rate=0 deadline=0
	ctl port set v2 rate=0
	wait_for 30 is_stopped burst
	wait_for 30 is_stat v2 queued 0
	expect "pings that arrived" 40 "$(($(pings_of_t2) - before))"
	expect "drops" 0 "$(port_stat v2 drops)"
	is_conserved
}
pings_of_t2() { ns t2 awk '$1 == "Icmp:" && !column { for (i = 1; $i != "InEchos"; i++); column = i; next } $1 == "Icmp:" { print $column }' /proc/net/snmp; }
is_stat() { [ "$(port_stat "$1" "$2")" = "$3" ]; } # PORT COUNTER VALUE
is_waiting() { is_stat_above v2 queued 10; }

subscribers_go_on() {
	start events "$rtvsctl" -s "$work/rtvsd.sock" -j events
	wait_for 10 has_subscriber
	upgrade
	follow
	ctl port add later "socket=$work/later.sock"
	wait_for 10 grep -q '"later"' "$work/events.log"
	ctl port del later
	is_running events || fail "the subscription ended"
	! grep '"link' "$work/events.log" || fail "a link is said to have changed"
	stop events
}
has_subscriber() { [ "$(ctl -j system info | json 'd["control"]["clients"]')" -ge 2 ]; }

# Half a request with any bytes is there, and its rest may be long. Calls behind the upgrade's own
# are not executed.
half_requests_go_on() {
	python3 - "$work/rtvsd.sock" <<-'END'
		import json, socket, sys
		def connect():
		    s = socket.socket(socket.AF_UNIX); s.settimeout(60); s.connect(sys.argv[1]); return s
		def call(method, **params): return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n"
		half, odd, caller = connect(), connect(), connect()
		half.sendall(b'{"jsonrpc": "2.0", "id": 7, ')
		odd.sendall(b"a\0b")
		caller.sendall(call("system.info")); assert b"result" in caller.recv(1 << 20)
		caller.sendall(call("system.upgrade") + call("port.del", name="v1"))
		answers = caller.makefile().read().splitlines() # to the end of the former daemon
		assert "result" in json.loads(answers[0]), answers
		assert all("error" in json.loads(a) for a in answers[1:]), answers
		half.sendall(b'"method": "port.list", ' + b" " * 200000 + b'"params": {}}\n')
		answer = json.loads(half.makefile().readline())
		assert answer["id"] == 7 and len(answer["result"]) == 5, answer
		odd.sendall(b"\n"); assert b"error" in odd.recv(1 << 20)
	END
	follow
	is_as_before
}

others_name_no_program() {
	chmod 666 "$work/rtvsd.sock"
	expect_fails 'binary: only root' setpriv --reuid 12345 --regid 12345 --clear-groups "$rtvsctl" -s "$work/rtvsd.sock" system upgrade binary=/bin/true
	is_as_before
}

configuration_is_kept_from_there_on() {
	upgrade
	follow
	ctl port add kept "socket=$work/kept.sock" vlan=7
	stop rtvsd KILL
	daemon_starts_again
	expect "vlan" 7 "$(ctl -j port show kept | json 'd["config"]["vlan"]')"
	ctl port del kept
}

# The socket listens all the time, and each port's.
clients_connect_meanwhile() {
	rm -f "$work/asking.end"
	# shellcheck disable=SC2016 # expanded by the inner shell
	start asking sh -c 'until [ -e "$0.end" ]; do "$1" -s "$2" --timeout 60s -j port list >/dev/null && echo answered || echo refused; done' \
		"$work/asking" "$rtvsctl" "$work/rtvsd.sock"
	for _ in 1 2 3; do
		upgrade
		follow
	done
	touch "$work/asking.end"
	wait_for 30 is_stopped asking
	has_line answered <"$work/asking.log"
	! grep -q refused "$work/asking.log" || fail "a client was refused"
}

# A TAP with an argument that DPDK's driver alone knows, and any TAP between versions of which one
# does not send them.
devices_of_the_host_come_again() {
	ctl port add x9 type=ethdev devargs=net_tap99,iface=x9,mac=fixed bridge=br0
	comes_again x9 upgrade
	ctl port del x9
	echo "hello before hide-taps" >"$RTVS_RELAY"
	comes_again x1 upgrade "binary=$relay"
	netns_give x2 x2 10.0.0.12/24
	ip -n x1 route add 10.77.0.0/16 via 10.0.0.1 dev x1
	guests_are_there
}
# The same of AF_XDP. The interface's other end sees no more of it than packets that are lost.
sockets_of_the_host_come_again() {
	place_xdp x8
	ctl port del x8
	ctl port add x8 type=ethdev devargs=net_af_xdp8,iface=fx8,busy_budget=0 bridge=br0
	comes_again x8 upgrade
	ctl port del x8
	netns_end x8
	echo "hello before hide-xdp" >"$RTVS_RELAY"
	comes_again x3 upgrade "binary=$relay"
	guests_are_there
}
netns_end() { ip netns del "$1" && rm -f "$work/netns.$1"; } # NAME
# A socket whose interface was deleted has no rings. Its port says so in the other process, too,
# although there is an interface of this name.
dead_socket_goes_over() {
	place_xdp x8
	wait_for 10 can_ping x8 10.0.0.1
	ip link del fx8
	is_gone_there() { [[ $(port_state x8 detail) =~ fx8\ is\ gone ]]; }
	wait_for 5 is_gone_there
	ip link add fx8 type veth peer name px8
	ip link set fx8 up
	ip link set px8 up
	upgrade
	follow
	is_gone_there
	expect "link" down "$(port_state x8 link)"
	ctl port del x8
	ctl port add x8 type=ethdev devargs=net_af_xdp8,iface=fx8 bridge=br0
	wait_for 5 is_port_state x8 link up
	ctl port del x8
	ip link del fx8
	netns_end x8
}
# The program at the interface is there as long as the port is, whichever process deletes that.
program_ends_with_its_port() {
	has_program() { ip -j -d link show dev fx8 | has_line '"xdp"'; }
	place_xdp x8
	has_program
	upgrade
	follow
	has_program
	wait_for 10 can_ping x8 10.0.0.1
	ctl port del x8
	! has_program || fail "the program is left"
	ip link del fx8
	netns_end x8
}
comes_again() { # PORT COMMAND [ARG...]
	local number before
	if [ ! -e "$work/netns.$1" ]; then
		netns_add "$1"
		netns_give "$1" "$1" "10.0.0.1${1#x}/24"
	fi
	wait_for 10 is_port_state "$1" link up
	wait_for 10 can_ping "$1" 10.0.0.1
	number=$(number_of "$1")
	before=$(port_stat "$1" rx_pkts)
	"${@:2}"
	follow
	expect "number" "$number" "$(number_of "$1")"
	[ "$(port_stat "$1" rx_pkts)" -ge "$before" ] || fail "a counter went back"
	[ -e "/sys/class/net/f$1" ] || netns_give "$1" "$1" "10.0.0.1${1#x}/24"
	wait_for 10 is_port_state "$1" link up
	forget_neighbours t1
	wait_for 10 can_ping "$1" 10.0.0.1
}
number_of() { ctl -j port list | json "next(p['number'] for p in d if p['name'] == '$1')"; } # PORT

two_at_once_come_one_after_the_other() {
	local first
	start one "$rtvsctl" -s "$work/rtvsd.sock" -j system upgrade
	start other "$rtvsctl" -s "$work/rtvsd.sock" -j system upgrade
	wait_for 60 is_stopped one
	wait_for 60 is_stopped other
	first=$(json 'd["pid"]' <"$work/one.log")
	expect "who is left" 1 "$( (is_pid "$first" && echo 1) || (is_pid "$(json 'd["pid"]' <"$work/other.log")" && echo 1))"
	follow
	is_as_before
}

is_refused() { # REGEX [ARG...]: and the daemon goes on
	local before
	before=$(pid)
	streams "${every:-}"
	expect_fails "$1" ctl system upgrade "${@:2}"
	expect "process" "$before" "$(pid)"
	is_as_before
	streams_lost_nothing
}
wrong_programs_are_refused() {
	is_refused 'binary: .*absolute path' binary=rtvswitchd
	is_refused 'binary: cannot start .*No such file' binary=/nowhere/rtvswitchd
	echo none >"$RTVS_RELAY"
	is_refused 'binary: cannot start .*Permission denied' "binary=$RTVS_RELAY"
	is_refused 'the new process ended' binary=/bin/false
	echo "hello before format" >"$RTVS_RELAY"
	is_refused 'this version knows format 1 alone' "binary=$relay"
	echo "fd before lose-taps" >"$RTVS_RELAY"
	is_refused 'port x[12]: the former process did not send the TAP net_tap' "binary=$relay"
	echo "fd before lose-xdp" >"$RTVS_RELAY"
	is_refused 'port x3: the former process did not send the sockets of net_af_xdp3' "binary=$relay"
}
program_without_memory_is_refused() {
	printf '#!/bin/sh\nulimit -v 300000\nexec %s "$@"\n' "$rtvswitchd" >"$work/small"
	chmod 755 "$work/small"
	is_refused 'no memory|the new process ended' "binary=$work/small"
}

relay_does() { # MESSAGE WHEN WHAT
	echo "$1 $2 $3" >"$RTVS_RELAY"
	rm -f "$RTVS_RELAY.done"
}

# Before it has the guests, its end changes nothing.
next_dies_before() {
	local message
	start events "$rtvsctl" -s "$work/rtvsd.sock" -j events
	wait_for 10 has_subscriber
	for message in hello ready fd prepared warm client go; do
		relay_does "$message" before kill-next
		is_refused 'the new process' "binary=$relay"
		[ -e "$RTVS_RELAY.done" ] || fail "no $message came"
	done
	is_running events || fail "the subscription ended"
	stop events
}
# Packets wait for a second, and the guest's ring has room for 256.
next_hangs_at_go() {
	local next
	relay_does go before stop-next
	every=0.02 is_refused 'the new process' "binary=$relay"
	read -r _ next <"$RTVS_RELAY.done"
	! is_process "$next" || kill -CONT "$next"
	wait_for 10 is_no_process "$next"
	is_as_before
}
# Which the former one has said last.
next_goes_on_alone() {
	local before message
	for message in go taken released; do
		before=$(pid)
		streams
		relay_does "$message" before kill-former
		! ctl system upgrade "binary=$relay" || [ "$message" = released ] || fail "who answered?"
		is_other_pid() { ! is_pid "$before"; }
		wait_for 20 is_other_pid
		follow
		is_as_before
		streams_lost_nothing
	done
}
# With no service manager, the daemon is started by hand.
all_are_lost_and_start_again() { # MESSAGE WHEN WHAT
	local next
	relay_does "$@"
	! ctl system upgrade "binary=$relay" || fail "it worked"
	wait_for 20 is_no_process "$(pid_of rtvsd)"
	read -r _ next <"$RTVS_RELAY.done"
	wait_for 20 is_no_process "$next"
	daemon_starts_again
}
former_dies_before() {
	local message
	for message in ready fd warm; do
		all_are_lost_and_start_again "$message" before kill-former
	done
}
next_dies_after_it_has_begun() {
	all_are_lost_and_start_again taken instead kill-next
}
former_is_stopped_meanwhile() {
	all_are_lost_and_start_again ready before term-former
}

daemon_start rtvsd
daemon_start far
place_guests
run_case "guests go on in another process" goes_on_in_another_process
run_case "MACs, counters and numbers go on" state_goes_on
run_case "packets that wait for their turn go on" packets_wait_for_their_turn
run_case "subscribers go on" subscribers_go_on
run_case "half requests go on" half_requests_go_on
run_case "others than root name no program" others_name_no_program
run_case "the configuration is kept from there on" configuration_is_kept_from_there_on
run_case "clients connect meanwhile" clients_connect_meanwhile
run_case "devices of the host come again" devices_of_the_host_come_again
run_case "sockets of the host come again" sockets_of_the_host_come_again
run_case "a dead socket goes over" dead_socket_goes_over
run_case "an interface's program ends with its port" program_ends_with_its_port
run_case "two at once come one after the other" two_at_once_come_one_after_the_other
run_case "wrong programs are refused" wrong_programs_are_refused
run_case "a program without memory is refused" program_without_memory_is_refused
run_case "the next one dies before it has the guests" next_dies_before
run_case "the next one hangs, and is not waited for" next_hangs_at_go
run_case "the next one goes on alone" next_goes_on_alone
run_case "the former one dies before it has stopped" former_dies_before
run_case "the next one dies with the guests" next_dies_after_it_has_begun
run_case "the former one is stopped meanwhile" former_is_stopped_meanwhile
