#!/usr/bin/env bash
# Deadlines and guarantees on a tap port with a rate, with real kernels' traffic: who keeps them,
# who is refused.
. "$(dirname "$0")/lib.sh"

daemon_start rtvsd --metrics "unix:$work/metrics.sock"
ctl bridge add br0
tap_port rt 10.0.0.1/24 bridge=br0 deadline=5ms min_rate=10Mbit burst=15kB
tap_port bulk 10.0.0.2/24 bridge=br0
tap_port up 10.0.0.9/24 bridge=br0 rate=50Mbit
start iperf ip netns exec up iperf3 -s
start iperf2 ip netns exec up iperf3 -s -p 5202
start echo ip netns exec up python3 "$top/test/smoke/conforming.py" echo 10.0.0.9 5300
wait_for 5 ns up sh -c 'ss -ltn | grep -q :5201 && ss -ltn | grep -q :5202 && ss -lun | grep -q :5300'

# A counter of what one port sent to another.
flow_stat() { ctl -j flow list "port=$2" "from=$1" | json "d[0]['$3']"; } # FROM PORT COUNTER
received() { json 'int(d["end"]["sum_received"]["bits_per_second"])' <"$1"; } # JSON FILE OF iperf3

rt_flow_keeps_its_rate_beside_a_flood() {
	start flood ip netns exec bulk iperf3 -c 10.0.0.9 -u -b 100M -l 1400 -t 120 -p 5202
	wait_for 10 is_flooded
	conforming 8000 8000000 12000
	is_running flood || fail "the flood ended before"
	expect "packets that were not guaranteed" 0 "$(flow_stat rt up surplus_pkts)"
	[ "$(flow_stat rt up guaranteed_pkts)" -ge 8000 ] || fail "only $(flow_stat rt up guaranteed_pkts) were guaranteed"
	expect "guarantees broken beyond the worker's own stalls" yes "$(is_explained rt up)"
	stop flood
	is_conserved
}
# 542 bytes at a time, each echoed. The flow conforms to RATE and BURST where the switch reads it,
# whichever process had no CPU meanwhile.
conforming() { # N RATE BURST: prints the ns that it took
	ns rt python3 "$top/test/smoke/conforming.py" send 10.0.0.9 5300 "$@"
}
is_flooded() { [ "$(flow_stat bulk up surplus_pkts)" -gt 1000 ]; }
# A broken promise must follow from a worker without a core at that time. The packet is late by its
# longest stall at most, and a fifth of that, in which the link sends what the reserved 10 of 50
# Mbit/s brought meanwhile.
is_explained() { # FROM PORT
	local late stall
	late=$(flow_stat "$1" "$2" worst_late_ns)
	stall=$(ctl -j worker list | json 'max(w["stalls"]["max_ns"] for w in d)')
	[ "$late" -le $((stall * 6 / 5)) ] && echo yes || echo "no: $late ns late, longest stall $stall ns"
}

# All at once. What the bucket held, and what came meanwhile, is guaranteed, no more.
guarantee_has_its_limit() {
	local before took_ns guaranteed
	before=$(flow_stat rt up guaranteed_bytes)
	took_ns=$(conforming 300 10000000 200000)
	guaranteed=$(($(flow_stat rt up guaranteed_bytes) - before))
	echo "$guaranteed of 162600 bytes in $took_ns ns"
	[ "$guaranteed" -ge 15000 ] || fail "less than the burst"
	[ "$guaranteed" -le $((15000 + took_ns * 125 / 100000)) ] || fail "more than burst and rate bring"
	is_conserved
}

lost_at_up() { echo $(($(port_stat up queue_full) + $(port_stat up aqm))); }
# What is no guest may be an uplink, which many share.
device_loses_packets_and_is_not_held_back() {
	[ "$(lost_at_up)" -gt 0 ] || fail "nothing was dropped"
	expect "time held back" "0 0 0" "$(port_stat rt blocked_ns) $(port_stat bulk blocked_ns) $(port_stat up blocked_ns)"
}

holds() { ctl -j port show "$1" | json '" ".join(h["port"] for h in d["'"$2"'"] if h["held_ns"])'; } # PORT KEY
top_names_who_holds() { [[ $(ctl top count=1 interval=300ms | tr '\n' ' ') =~ 'blocked by'.*guest.*' up ' ]]; }
is_held_by_up() { [ "$(holds guest held_back_by)" = up ]; }
# The uplink sends a quarter of such a queue in 5 ms: a worker that has its core for a few of the
# 100 ms of a hold does it.
guest_is_held_back_and_loses_nothing() {
	local before
	before=$(lost_at_up)
	ctl port add guest "socket=$work/guest.sock" bridge=br0 queue=128
	start events "$rtvsctl" -s "$work/rtvsd.sock" -j events 'port.held'
	start guest python3 "$top/test/smoke/misbehave.py" sender "$work/guest.sock" "$(ns up cat /sys/class/net/up/address)"
	wait_for 10 is_held_by_up
	expect "ports that the uplink holds back" guest "$(holds up holds_back)"
	wait_for 10 top_names_who_holds
	wait_for 5 grep -q '"port":"guest","by":"up"' "$work/events.log"
	expect "events, however often it is held" 1 "$(grep -c '"by":"up"' "$work/events.log")"
	stop guest
	stop events
	[ "$(port_stat guest blocked_ns)" -gt 0 ] || fail "its ring was always read"
	expect "packets dropped at the uplink meanwhile" "$before" "$(lost_at_up)"
	expect "time held back at a port without a rate" 0 "$(port_stat up blocked_ns)"
	expect "flows that claim a port's time" 0 "$(ctl -j flow list | json 'sum("blocked_ns" in f for f in d)')"
	expect_match 'port_blocked_seconds_total.port="guest",bridge="br0". ([1-9]|0\.0*[1-9])' \
		"$(curl -s -m 5 --unix-socket "$work/metrics.sock" http://x/metrics)"
	ctl port del guest
	is_conserved
}

tcp_uses_what_is_left() {
	ns bulk timeout 20 iperf3 -c 10.0.0.9 -t 4 -J >"$work/tcp.json"
	# Of 50 Mbit/s on the wire, TCP's payload; no other port sends. A busy machine takes its
	# part; one loss per window would leave less.
	[ "$(received "$work/tcp.json")" -gt 15000000 ] || fail "only $(received "$work/tcp.json") bit/s"
	[ "$(received "$work/tcp.json")" -lt 50000000 ] || fail "$(received "$work/tcp.json") bit/s are more than the port's rate"
	is_conserved
}

max_rate_is_kept() {
	ctl port set bulk max_rate=5Mbit
	ns bulk timeout 20 iperf3 -c 10.0.0.9 -t 4 -J >"$work/tcp.json"
	ctl port set bulk max_rate=0
	[ "$(received "$work/tcp.json")" -lt 5500000 ] || fail "$(received "$work/tcp.json") bit/s"
	[ "$(received "$work/tcp.json")" -gt 3500000 ] || fail "$(received "$work/tcp.json") bit/s"
}

more_than_the_link_has_is_refused() {
	expect_fails 'min_rate: port up carries 6.25MB/s.*would fit.*min_rate to' ctl port set rt min_rate=60Mbit
	expect_fails 'deadline: port up cannot keep rt.*deadline from' ctl port set rt deadline=500us
	expect_fails 'deadline: port up cannot keep rt' ctl port set up rate=10500kbit
	expect "minimum rate" 10Mbit "$(ctl -j port show rt | json 'd["config"]["min_rate"]')"
}
force_takes_it_and_says_so() {
	ctl port set rt deadline=500us force=true
	expect "guarantee" unguaranteed "$(ctl -j port show rt | json 'd["guarantee"]')"
	grep -q 'warning: port rt: unguaranteed: deadline: port up cannot keep' "$work/rtvsd.log" || fail "no warning in the log"
	ctl port set rt deadline=5ms force=false
	expect "guarantee" kept "$(ctl -j port show rt | json 'd["guarantee"]')"
	expect "bound" 5ms "$(ctl -j port show rt | json 'd["bound"]')"
	expect "guarantee of who has none" none "$(ctl -j port show bulk | json 'd["guarantee"]')"
}

# TOS or traffic class of the first echo request that PING sends to the uplink's namespace.
tos_at_uplink() { # FILTER NAMESPACE PING...
	local filter=$1
	shift
	rm -f "$work/tos.log"
	start tos ip netns exec up timeout 20 tcpdump -lnvvi up -c 1 "$filter"
	wait_for 10 grep -q 'listening on' "$work/tos.log"
	ns "$@" >&2 # an answer: the checksum was right
	wait_for 10 is_stopped tos
	! grep -q 'bad' "$work/tos.log" || fail "$(cat "$work/tos.log")"
	grep -oE '(tos|class) 0x[0-9a-f]+' "$work/tos.log" || echo none
}
tos4() { tos_at_uplink 'ip and icmp[0] == 8' "$1" ping -c 1 -W 5 -Q "$2" 10.0.0.9; } # NAMESPACE TOS
tos6() { tos_at_uplink 'icmp6 and ip6[40] == 128' "$1" ping -c 1 -W 5 -Q "$2" fd00::9; } # NAMESPACE CLASS
uplink_shows_deadlines_as_dscps() {
	ip -n rt address add fd00::1/64 dev rt nodad
	ip -n up address add fd00::9/64 dev up nodad
	expect "not asked for" "tos 0x29" "$(tos4 rt 0x29)"
	ctl port set up dscp=deadline
	# AF41, and ECN as it was.
	expect "IPv4 with 5ms" "tos 0x89" "$(tos4 rt 0x29)"
	expect "IPv6 with 5ms" "class 0x8a" "$(tos6 rt 0x2a)"
	expect "IPv4 without deadline" "tos 0x29" "$(tos4 bulk 0x29)"
	ctl system set dscp_classes=4ms:ef,5ms:cs6
	expect "IPv4 of another table" "tos 0xc1" "$(tos4 rt 0x29)"
	expect "in the dump" "4ms:46,5ms:48 deadline" "$(ctl -j config dump |
		json '" ".join(c["params"][k] for c in d for k in ("dscp_classes", "dscp") if k in c["params"])')"
	is_conserved
}
wrong_dscps_are_refused() {
	ctl system set dscp_classes=1ms:ef
	expect_fails 'dscp.*keep.*deadline' ctl port set up dscp=perhaps
	expect_fails "dscp_classes: entry 2 \('2ms:64'\): the DSCP" ctl system set dscp_classes=1ms:ef,2ms:64
	expect_fails "dscp_classes: entry 2 \('1ms:af41'\): the deadline" ctl system set dscp_classes=2ms:ef,1ms:af41
	expect "the table before" 1ms:46 "$(ctl -j system info | json 'd["datapath"]["dscp_classes"]')"
}

wrong_parameters_are_named() {
	expect_fails 'min_rate' ctl port set rt min_rate=7kbit
	expect_fails 'burst: 1000 is out of range 1514 to' ctl port set rt burst=1000B
	expect_fails 'deadline' ctl port set rt deadline=2h
	expect_fails 'weight.*1 to 256' ctl port set rt weight=257
	expect_fails 'late.*send.*drop' ctl port set rt late=perhaps
	expect_fails 'max_rate' ctl port set rt max_rate=9Mbit
	expect_fails 'queue.*64 to 65536' ctl port set rt queue=63
}

admission_can_be_asked() {
	expect "a change that fits" true "$(ctl -j admission check rt min_rate=12Mbit | json 'd["fits"]')"
	expect "one that does not" false "$(ctl -j admission check rt min_rate=60Mbit | json 'd["fits"]')"
	expect "a further port" false "$(ctl -j admission check more bridge=br0 deadline=1ms min_rate=10Mbit burst=15kB | json 'd["fits"]')"
	expect "nothing is changed" 10Mbit "$(ctl -j port show rt | json 'd["config"]["min_rate"]')"
	expect_fails 'burst' ctl admission check rt burst=100B
}

counted_everywhere() {
	ns rt ping -c 1 -W 5 10.0.0.9
	ns bulk ping -c 1 -W 5 10.0.0.9
	expect "rows of the uplink" "bulk rt" "$(ctl -j stats get port=up | json '" ".join(sorted(f["from"] for f in d["ports"][0]["flows"]))')"
	expect "what stats say of a flow" "$(ctl -j flow list port=up from=rt | json 'sorted(d[0])')" \
		"$(ctl -j stats get port=up | json 'sorted(next(f for f in d["ports"][0]["flows"] if f["from"] == "rt"))')"
	expect_match 'flows:.*port +from +deadline.*up +rt +5ms' "$(ctl stats get | tr '\n' ' ')"
	expect_match 'flow_guaranteed_packets_total.port="up",from="rt"' "$(curl -s -m 5 --unix-socket "$work/metrics.sock" http://x/metrics)"
	expect_match 'flow_delay_seconds_bucket' "$(curl -s -m 5 --unix-socket "$work/metrics.sock" http://x/metrics)"
	expect_match 'FLOWS.*rt' "$(ctl top count=1 interval=200ms | tr '\n' ' ')"
}

stats_can_do_without_flows() {
	expect "rows when told not to" 0 "$(ctl -j stats get flows=no | json 'sum("flows" in p for p in d["ports"])')"
	[[ $(ctl stats get flows=no) != *flows:* ]] || fail "a table of flows"
	expect_fails 'flows.*perhaps|flows: ' ctl stats get flows=perhaps
	expect_fails 'nowhere does not exist' ctl stats get port=nowhere
}

latency_is_drawn() {
	expect_match 'rt to up, deadline 5ms: [0-9]+ packets' "$(ctl latency rt port=up)"
	expect_match '[0-9]+ +[0-9.]+% #' "$(ctl latency rt port=up)"
	expect_fails 'no such|does not exist' ctl latency rt port=nowhere
	expect_fails 'nobody' ctl latency nobody
	expect_fails 'usage' ctl latency
}

dump_has_it() {
	expect "in the dump" "5ms 10Mbit 50Mbit" "$(ctl -j config dump |
		json '" ".join(c["params"][k] for c in d for k in ("deadline", "min_rate", "rate") if k in c["params"])')"
}

after_failure() {
	stop flood
	stop guest
	ctl port del guest
}

run_case "a flow with a deadline keeps its rate beside a flood" rt_flow_keeps_its_rate_beside_a_flood
run_case "what exceeds the guarantee is surplus" guarantee_has_its_limit
run_case "a device loses packets and is not held back" device_loses_packets_and_is_not_held_back
run_case "a guest is held back and loses nothing" guest_is_held_back_and_loses_nothing
run_case "TCP uses what is left" tcp_uses_what_is_left
run_case "max_rate is kept" max_rate_is_kept
run_case "more than the link has is refused, with what would fit" more_than_the_link_has_is_refused
run_case "force takes it and says so" force_takes_it_and_says_so
run_case "the uplink shows deadlines as DSCPs, on IPv4 and IPv6" uplink_shows_deadlines_as_dscps
run_case "wrong DSCPs are refused" wrong_dscps_are_refused
run_case "admission can be asked without changing anything" admission_can_be_asked
run_case "stats, metrics and top have the flows" counted_everywhere
run_case "stats can do without flows, and refuse what is no answer" stats_can_do_without_flows
run_case "delays are drawn" latency_is_drawn
run_case "wrong parameters are named" wrong_parameters_are_named
run_case "configuration dump has it" dump_has_it
