#!/usr/bin/env bash
# No step is left to the daemons: the path between two hosts is full of traffic of every class,
# which a third party sends, so no DSCP helps. scripts/sdn-reroute moves the flow that escalates to
# another path through Open vSwitch.
. "$(dirname "$0")/lib.sh"
. "$lib/network.sh"

network_start
network_path b
daemon_start rtvsd
daemon_start two
network_host 1 rtvsd
network_host 2 two
ctl bridge add br0
daemon=two ctl bridge add br0
network_tunnels br0 dscp=deadline
tap_port ga 10.0.0.1/24 bridge=br0
daemon=two tap_port gb 10.0.0.2/24 bridge=br0
ctl system set dscp_classes=5ms:ef # so that the flow begins without a class
wait_for 20 network_is_up

# The third party: a host on the network, whose packets take path a. Nobody listens to them.
netns_add other
ip link add other0 type veth peer name eth0 netns other
ip link set other0 netns net
network_port other0 3
network_ofctl add-flow net "priority=1,in_port=3,actions=output:11"
ip -n other address add 192.0.2.3/24 dev eth0
ip -n other link set eth0 up
ip -n other neigh add 192.0.2.2 lladdr 02:00:00:00:00:77 dev eth0

# 4 Mbit/s of DSCP $1, without bursts: twice what is left for each class.
cat >"$work/load.py" <<-'EOF2'
	import socket, sys, time
	conn = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	conn.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, int(sys.argv[1]) * 4)
	begin, sent = time.monotonic(), 0
	while True:
	    due = (time.monotonic() - begin) * 4e6 / 8 / 1400
	    sent = max(sent, due - 50)
	    while sent < due:
	        try:
	            conn.sendto(bytes(1372), ("192.0.2.2", 9))
	        except OSError:
	            pass
	        sent += 1
	    time.sleep(0.005)
EOF2

congest() {
	network_limit a 4mbit 40 18 26 34 46
	start load ip netns exec other python3 "$work/load.py" 0
	start load_ef ip netns exec other python3 "$work/load.py" 46
	wait_for 20 is_congested 0
}
relieve() {
	stop load
	stop load_ef
	network_unlimit a
}
network_drops() { tc -n net -s -j qdisc show dev a1 | json "min(q['drops'] for q in d if q['kind'] != 'htb')"; } # in both classes
is_congested() { [ "$(network_drops)" -gt "$1" ]; } # SINCE

# What ga sent, as the far daemon counts it: others have no deadline, and miss none.
remote() { daemon=two ctl -j flow remote port=to1 | json "sum(f['$1'] for f in d)"; }
is_remote_above() { [ "$(remote "$1")" -gt "$2" ]; }
flow_state() { ctl -j peer list | json "[f['$1'] for p in d for f in p['flows'] if f['port'] == 'ga'][0]"; }
is_flow() { [ "$(flow_state "$1")" = "$2" ]; }
is_at_start() { is_flow step 0 && is_flow scheduling_deadline 50ms; }
# The far end counts anew: a flow that has used up its reports gets one every 5 s, and this would
# take minutes.
flow_begin() {
	daemon=two ctl port del to1
	daemon=two ctl port add to1 type=geneve uplink=uplink remote=192.0.2.1 vni=100 bridge=br0 "key_file=$work/network.key" \
		clock=peer dscp=deadline
	wait_for 20 network_is_up
	wait_for 20 can_ping ga 10.0.0.2
	ctl port set ga deadline=50ms min_rate=1Mbit burst=20kB # EF is for what keeps to a rate
	: >"$work/events.log"
	start events "$rtvsctl" -s "$work/rtvsd.sock" events 'flow.*'
	start rt ip netns exec ga ping -q -i 0.01 10.0.0.2
}
flow_end() {
	stop rt INT || :
	stop events || :
	ctl port set ga deadline=0 min_rate=0
}

# In 100 packets, while the network dropped others of all classes.
hundred_arrive() {
	received=$(remote received) missed=$(remote missed) drops=$(network_drops)
	wait_until 30 is_remote_above received $((received + 99)) || { echo "100 packets do not arrive"; return 1; }
	is_congested "$drops" || { echo "the network is not congested any more"; return 1; }
	missed=$(($(remote missed) - missed))
}
is_clean() { hundred_arrive && [ "$missed" = 0 ]; }

reroute() { network_ovs "$top/scripts/sdn-reroute" --socket "$work/rtvsd.sock" --bridge net "$@"; }
# in_port: path b leads back into the bridge, where the rule must not match again.
reroute_start() { # [OFCTL]
	: >"$work/sdn.log"
	network_ovs start sdn "$top/scripts/sdn-reroute" --socket "$work/rtvsd.sock" --bridge net --ofctl "${1:-ovs-ofctl --names}" \
		--match "in_port=host1,udp,nw_dst={peer},tp_dst=6081,ip_dscp={dscp}" --actions output:b1
	wait_for 10 grep -q connected "$work/sdn.log"
}
n_rules() { network_ofctl dump-flows net cookie=0x72747673/-1 | grep -c priority= || :; }
has_rules() { [ "$(n_rules)" -gt 0 ]; }
has_no_rules() { [ "$(n_rules)" = 0 ]; }
moved_packets() { network_ofctl dump-flows net cookie=0x72747673/-1 | sed -n 's/.*n_packets=\([0-9]*\).*/\1/p' | paste -s -d +; }

highest_class_is_late_and_told() {
	flow_begin
	congest
	wait_for 60 is_flow escalated true
	for _ in 1 2; do
		hundred_arrive
		echo "$missed missed, DSCP $(flow_state dscp)"
		[ "$missed" -gt 50 ] || fail "only $missed of 100 missed, though the network is full"
	done
	expect "step, DSCP" "4 46" "$(flow_state step) $(flow_state dscp)"
	relieve
	wait_for 90 is_at_start
	flow_end
	grep -q flow.escalated "$work/events.log" || fail "no event"
	has_no_rules
	is_conserved
}

flow_is_moved_and_comes_back() {
	network_ofctl dump-flows net | sed 's/duration.*priority/priority/' >"$work/before"
	network_ofctl add-flow net "cookie=0x72747673,priority=9,udp,actions=drop" # of one that was killed
	reroute_start
	has_no_rules
	flow_begin
	congest
	wait_for 60 has_rules
	wait_for 60 is_clean
	echo "$(moved_packets) packets moved, by rule; now at step $(flow_state step)"
	[ "$(($(moved_packets)))" -gt 0 ] || fail "the rules match nothing"
	relieve
	wait_for 90 is_at_start
	wait_for 20 has_no_rules
	network_ofctl dump-flows net | sed 's/duration.*priority/priority/' | diff "$work/before" -
	stop sdn
	flow_end
	is_conserved
}

nothing_is_left_behind() {
	reroute_start
	flow_begin
	congest
	wait_for 60 has_rules
	stop sdn
	has_no_rules
	relieve
	wait_for 90 is_at_start
	flow_end
}

# What is on its way to a switch arrives, also when who sent it has gone.
ended_while_a_rule_is_on_its_way() {
	cat >"$work/slow-ofctl" <<-EOF
		#!/bin/sh
		case " \$* " in
		*" add-flow "*) setsid -w sh -c 'touch $work/leaves; sleep 0.5; ovs-ofctl "\$@"; touch $work/arrived' sh --names "\$@" ;;
		*) exec ovs-ofctl --names "\$@" ;;
		esac
	EOF
	chmod +x "$work/slow-ofctl"
	reroute_start "$work/slow-ofctl"
	flow_begin
	congest
	wait_for 60 test -e "$work/leaves"
	stop sdn
	wait_for 10 test -e "$work/arrived"
	has_no_rules
	relieve
	wait_for 90 is_at_start
	flow_end
}

# Last: the daemon forgets its ports.
daemon_may_restart() {
	reroute_start
	flow_begin
	congest
	wait_for 60 has_rules
	relieve
	stop rtvsd KILL
	wait_for 10 grep -q waiting "$work/sdn.log"
	has_rules
	daemon_start rtvsd
	wait_for 20 is_connected_twice
	wait_for 20 has_no_rules
	stop sdn
	stop rt INT || :
	stop events || :
}
is_connected_twice() { [ "$(grep -c '^connected' "$work/sdn.log")" -ge 2 ]; }

bad_options_are_refused() {
	expect_fails "required: --bridge" network_ovs "$top/scripts/sdn-reroute"
	expect_fails "bridge nothing: .*is not a bridge" reroute --bridge nothing
	expect_fails "bridge net: .*unknown action nonsense" reroute --actions nonsense
	expect_fails "bridge net: .*unknown port" reroute --actions output:nowhere
	expect_fails "bridge net: .*unknown keyword nonsense" reroute --match "udp,nonsense=1"
	expect_fails "match: \{remote\} is unknown: there are" reroute --match "nw_dst={remote}"
	expect_fails "match: expected '\}'" reroute --match "nw_dst={peer"
	expect_fails "priority: must be 0 to 65535" reroute --priority 65536
	expect_fails "cookie: must be 1 to" reroute --cookie 0
	expect_fails "nothing: No such file" reroute --ofctl nothing
	has_no_rules
}

after_failure() {
	stop sdn || :
	relieve || :
	stop rt || :
	stop events || :
	ctl port set ga deadline=0 min_rate=0 || :
}

run_case "bad options are refused" bad_options_are_refused
run_case "without help the highest class stays late" highest_class_is_late_and_told
run_case "a flow that escalates is moved, and comes back" flow_is_moved_and_comes_back
run_case "ended, it leaves no rules" nothing_is_left_behind
run_case "nor one that is on its way then" ended_while_a_rule_is_on_its_way
run_case "the daemon may restart" daemon_may_restart
