#!/usr/bin/env bash
# Two guests with deadlines and a third that floods share an uplink, together twice its rate. The
# same load without deadlines is measured first: the assertion is the difference, not a time.
. "$(dirname "$0")/lib.sh"

daemon_start rtvsd
ctl bridge add br0
tap_port up 10.0.0.9/24 bridge=br0 rate=20Mbit
n=0
for name in a b c; do
	n=$((n + 1))
	# Without tso one frame of a guest is one at the uplink.
	ctl port add $name "socket=$work/$name.sock" bridge=br0 tso=no
	vm_start $name "nic=$work/$name.sock" mac=52:54:00:00:00:0$n ip=10.0.0.1$n/24
done
# A quarter of c's queue leaves in 20 ms: the uplink is not too slow to hold c back.
ctl port set c weight=4 queue=128
for n in 1 2 3; do start "iperf$n" ip netns exec up iperf3 -s -p "530$n"; done
wait_guests a b c

flow_stat() { ctl -j flow list "port=$2" "from=$1" | json "d[0]['$3'] if d else 0"; } # FROM PORT COUNTER

# Real-time traffic of 5 Mbit/s and pings in one flow. The output: ping's, and iperf3's JSON.
rt_load() { # a|b NUMBER FILE
	in_guest "$1" 40 "iperf3 -c 10.0.0.9 -p 530$2 -u -b 5M -l 1000 -t 5 -J >/tmp/iperf & ping -i 0.1 -c 40 -W 3 10.0.0.9; wait; cat /tmp/iperf" >"$3"
}
is_flooded() { [ "$(flow_stat c up queued)" -gt 32 ]; }
overload() { # FILE
	local pids=()
	in_guest c 40 "iperf3 -c 10.0.0.9 -p 5303 -u -b 30M -l 500 -t 9 >/dev/null 2>&1" & pids+=($!)
	wait_for 10 is_flooded
	rt_load a 1 "$1.a" & pids+=($!)
	rt_load b 2 "$1.b" & pids+=($!)
	wait "${pids[@]}"
}
# Of a file of ping's, in us. Not the mean: somebody else may have had the processors for a while.
median_us() { sed -n 's/.*icmp_seq=.*time=\([0-9.]*\) ms.*/\1/p' "$1" | sort -n | awk '{t[NR] = $1} END {printf "%d\n", t[int((NR + 1) / 2)] * 1000}'; }
# Frames read from a guest, less those sent to the uplink or waiting for it. Floods are among both.
missing() { # GUEST
	ctl -j stats get | json "sum((p['port'] == '$1') * p['rx_pkts'] - sum((f['from'] == '$1') * (f['guaranteed_pkts'] + f['surplus_pkts'] + f['queued'])
		for f in p.get('flows', []) if p['port'] == 'up') for p in d['ports'])"
}
dropped() { echo "$(missing a) $(missing b) $(missing c) $(port_stat up queue_full)"; } # of a, b and c, and at the uplink
# Asked again: figures are a moment apart, in which a frame may come.
is_dropped() { [ "$(dropped)" = "$*" ]; } # A B C UPLINK
# How long the worker had no core, for more than a ms each time: at most.
away_ns() { ctl -j worker list | json 'sum(high * n for w in d for low, high, n in w["stalls"]["buckets"] if low >= 1000000)'; }

guests_suffer_without_deadlines() {
	local quiet
	wait_for 20 guest_pings c 10.0.0.9
	in_guest a 20 "ping -i 0.1 -c 20 -W 3 10.0.0.9" >"$work/quiet"
	quiet=$(median_us "$work/quiet")
	overload "$work/without"
	echo "median round trips: $(median_us "$work/without.a") us, $(median_us "$work/without.b") us"
	[ "$quiet" -gt 0 ] || fail "no pings came back"
	[ "$(median_us "$work/without.a")" -gt $((5 * quiet)) ] || fail "a is not delayed: $quiet us without a flood"
	[ "$(median_us "$work/without.b")" -gt $((5 * quiet)) ] || fail "b is not delayed: $quiet us without a flood"
	is_conserved
}

guests_keep_their_delay_with_deadlines() {
	local name before after of_a of_b of_c full begin took away lost
	for name in a b; do ctl port set $name deadline=20ms min_rate=9Mbit burst=20kB; done
	read -r of_a of_b of_c full < <(dropped)
	begin=${EPOCHREALTIME/[.,]/} away=$(away_ns)
	overload "$work/with"
	took=$(((${EPOCHREALTIME/[.,]/} - begin) * 1000)) away=$(($(away_ns) - away))
	for name in a b; do
		before=$(median_us "$work/without.$name")
		after=$(median_us "$work/with.$name")
		echo "$name: median round trip $before us without, $after us with"
		[ $((after * 5)) -lt "$before" ] || fail "$name: $after us are not a fifth of $before us"
		[ "$(flow_stat $name up guaranteed_pkts)" -gt 1500 ] || fail "$name was not guaranteed"
	done
	expect "guarantees of c" 0 "$(flow_stat c up guaranteed_pkts)"
	[ "$(port_stat c blocked_ns)" -gt 0 ] || fail "c was not held back"
	# No guest loses anything: c waits instead. Where the worker is away for a quarter of the
	# time, the uplink does not send the frames that c waits for; then c alone loses packets.
	lost=0
	[ $((away * 4)) -lt "$took" ] || lost=$(($(port_stat up queue_full) - full))
	echo "the worker was away for $away of $took ns, c lost $lost"
	wait_until 5 is_dropped "$of_a" "$of_b" $((of_c + lost)) $((full + lost)) ||
		fail "dropped of a, b, c and at the uplink: before $of_a $of_b $of_c $full, now $(dropped)"
	expect "received of what the uplink sent" "$(port_stat up tx_pkts)" "$(ns up cat /sys/class/net/up/statistics/rx_packets)"
	is_conserved
}

what_cannot_be_kept_is_refused() {
	expect_fails 'port up cannot keep' ctl port set c deadline=1ms min_rate=1Mbit
	expect_fails 'min_rate: port up carries' ctl port set c min_rate=5Mbit
}

run_case "a flood delays guests without deadlines" guests_suffer_without_deadlines
run_case "guests with deadlines keep their delay beside a flood" guests_keep_their_delay_with_deadlines
run_case "what the uplink cannot keep is refused" what_cannot_be_kept_is_refused
