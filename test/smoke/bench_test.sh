#!/usr/bin/env bash
# The guests of the benches (test/perf/gen.c), which drive their rings themselves, exchange frames
# through the daemon and through testpmd.
. "$(dirname "$0")/lib.sh"

perf=${RTVS_BUILD:-$top/build/gcc}/test/perf
gen=$perf/gen
MACS=(52:54:00:aa:bb:01 52:54:00:aa:bb:02)

daemon_start rtvsd
ctl bridge add br0
for i in 0 1; do ctl port add "vm$i" bridge=br0 "socket=$work/v$i.sock" "allowed_macs=${MACS[i]}" queues=8; done
for i in 2 3; do ctl port add "vm$i" bridge=br0 "socket=$work/v$i.sock"; done

# The answers to COMMAND..., a line each.
ask() { # COMMAND... -- GEN-ARG...
	local commands=()
	while [ "$1" != -- ]; do commands+=("$1"); shift; done
	shift
	printf '%s\n' "${commands[@]}" quit | timeout 60 "$gen" "$@"
}
pair() { printf '%s\n' "$work/${1}0${2:-},${MACS[0]}" "$work/${1}1${2:-},${MACS[1]}"; } # PREFIX [SUFFIX]
nth() { sed -n "$1p"; }

exchanges() { # GEN-ARG...
	local out
	# The first run may lose frames: a tunnel drops some while it looks for its neighbour.
	out=$(ask "run 64 1 10 10" "run 64 1 10 100" "run imix 1000 10 100" "$@")
	expect "whether frames went, none was lost, and the generator was busy for a part of the time" "true true" \
		"$(for n in 3 4; do nth $n <<<"$out" | json 'd["mpps"] > 0 and d["gbps"] > 0 and d["lost"] == 0 and 0 < d["busy"] <= 1'; done | paste -sd' ')"
	nth 3 <<<"$out"
}

exchanges_with_daemon() { # GEN-OPTION...
	local out
	mapfile -t guests < <(pair v .sock)
	out=$(exchanges -- "$@" "${guests[@]}")
	# No thread waits for receive buffers; a guest that tells leaves its processor each time.
	expect "kicks for received buffers" 0 "$(json 'd["refill_kicks"]' <<<"$out")"
	is_conserved
}

uses_all_queues() {
	local n
	mapfile -t guests < <(pair v .sock)
	mkfifo "$work/gen.in"
	start gen bash -c 'exec 3<>"$0"; exec "$@" <&3' "$work/gen.in" "$gen" -q 8 "${guests[@]}"
	wait_for 10 grep -q ready "$work/gen.log"
	expect "queues" "8 8" "$(port_state vm0 queues) $(port_state vm1 queues)"
	echo quit >"$work/gen.in"
	wait_for 10 is_stopped gen
	rm "$work/gen.in"
}

exchanges_with_testpmd() {
	mapfile -t guests < <(pair t)
	mkfifo "$work/pmd.in"
	start pmd bash -c 'exec 3<>"$0"; exec dpdk-testpmd "$@" <&3' "$work/pmd.in" --no-huge -m 128 --no-pci --no-telemetry \
		--file-prefix "pmd$$" --lcores '0@0,1@1' --main-lcore 0 "--vdev=net_vhost0,iface=$work/t0,queues=4" \
		"--vdev=net_vhost1,iface=$work/t1,queues=4" -- --forward-mode=io --rxq=4 --txq=4 --nb-cores=1 --total-num-mbufs=4096 -i --auto-start
	wait_for 20 test -S "$work/t1"
	exchanges -- -q 4 "${guests[@]}"
	exchanges -- -o -q 4 "${guests[@]}"
	stop pmd
}

exchanges_through_tunnel() {
	ctl bridge add br1
	ctl port add vm4 bridge=br1 "socket=$work/v4.sock"
	ctl port add up0 "socket=$work/v5.sock" mtu=1700 address=10.9.0.1/24
	ctl port add tun0 type=geneve uplink=up0 remote=10.9.0.2 vni=100 bridge=br1
	exchanges -- -t "$work/v4.sock,${MACS[0]}" "$work/v5.sock,${MACS[1]}"
	for option in '-q 2' -p; do
		# shellcheck disable=SC2086
		expect_fails "with a tunnel one, with one queue, split" "$gen" -t $option "$work/v4.sock,${MACS[0]}" "$work/v5.sock,${MACS[1]}"
	done
	is_conserved
	for port in tun0 up0 vm4; do ctl port del $port; done
	ctl bridge del br1
}

measures_delays() {
	mapfile -t guests < <(pair v .sock)
	expect "whether there are samples, in order" true \
		"$(ask "delay 100" -- "${guests[@]}" | nth 2 | json 'd["samples"] > 0 and 0 < d["delay_p50_us"] <= d["delay_p99_us"]')"
}

# Their back end is killed and started again; the rings go on where they stood.
returns() {
	local mode ring k=0
	local -a guests=()
	for mode in connect listen; do for ring in split packed; do
		ctl bridge add "rb$k"
		for i in 0 1; do
			ctl port add "r$k$i" "bridge=rb$k" "socket=$work/r$k$i.sock" queues=4 mode=$mode
			guests+=("$work/r$k$i.sock,$([ $mode = connect ] && echo listen || echo connect),$ring,4,52:54:00:00:0$k:0$i")
		done
		k=$((k + 1))
	done; done
	mkfifo "$work/r.in"
	start reconnect bash -c 'exec 3<>"$0"; exec "$@" <&3' "$work/r.in" "$perf/reconnect" "${guests[@]}"
	ctl config dump >"$work/r.json"
	for n in 1 2 3; do
		[ $n = 1 ] || { stop rtvsd KILL; daemon_start rtvsd --config "$work/r.json"; }
		echo "check 20000" >"$work/r.in"
		wait_for 25 has_answers $n
		expect "who received" "true " "$(grep ok "$work/reconnect.log" | tail -n 1 | json '" ".join(sorted({str(ok).lower() for ok in d["ok"]})) + " "')"
		is_conserved
	done
	stop reconnect
	expect_fails "usage" "$perf/reconnect" "${guests[0]}"
	expect_fails "Invalid argument" "$perf/reconnect" a,connect,split,9,52:54:00:00:00:01 b
}
has_answers() { [ "$(grep -c ok "$work/reconnect.log")" -ge "$1" ]; } # N

# Numbers of all frames are looked at while another process takes the guests over.
is_replaced() {
	local mode ring load before k=0 n=0
	local -a guests=()
	for mode in connect listen; do for ring in split packed; do
		ctl bridge add "ub$k"
		for i in 0 1; do
			ctl port add "u$k$i" "bridge=ub$k" "socket=$work/u$k$i.sock" queues=4 mode=$mode
			guests+=("$work/u$k$i.sock,$([ $mode = connect ] && echo listen || echo connect),$ring,$((k % 2 ? 4 : 1)),52:54:00:00:1$k:0$i")
		done
		k=$((k + 1))
	done; done
	for load in "handover --pps 1000" "handover --window 32" "handover_tcp --mbit 5"; do
		n=$((n + 1))
		mkfifo "$work/h$n.in"
		# shellcheck disable=SC2086 # an option and its value
		start handover$n bash -c 'exec 3<>"$0"; exec "$@" <&3' "$work/h$n.in" "$perf/"$load "${guests[@]}"
		for i in {0..3}; do for side in 0 1; do wait_for 20 is_port_state "u$i$side" link up; done; done
		before=$(least_received)
		echo begin >"$work/h$n.in"
		wait_for 20 all_received $((before + 10))
		ctl -j system upgrade >"$work/upgrade.json"
		json 'd["pid"]' <"$work/upgrade.json" >"$work/rtvsd.pid"
		echo end >"$work/h$n.in"
		wait_for 20 grep -q sent "$work/handover$n.log"
		expect "frames that were lost, doubled, overtaken; silent guests; figures of guests" "True 0 0 0 0 8 8" \
			"$(grep sent "$work/handover$n.log" | json '" ".join(str(x) for x in [d["sent"] == d["received"] > 0, *(d[k] for k in ("lost", "duplicated", "reordered", "silent")), len(d["gap_ns"]), len(d["lost_of"])])')"
		stop handover$n
		rm "$work"/u[01]?.sock # guests' own
	done
	is_conserved
}
least_received() { ctl -j stats get | json 'min(p["tx_pkts"] for p in d["ports"] if p["port"].startswith("u"))'; }
all_received() { [ "$(least_received)" -ge "$1" ]; } # N

handover_keeps_limits() {
	local guests=(a,connect,split,1,52:54:00:00:00:01 b,connect,split,1,52:54:00:00:00:02) load
	for load in "--pps 0" "--pps 1000001" "--pps 1x" "--window 1" "--window 513" "--rate 1"; do
		# shellcheck disable=SC2086 # an option and its value
		expect_fails "usage" "$perf/handover" $load "${guests[@]}"
	done
	expect_fails "usage" "$perf/handover" --pps 1 "${guests[0]}"
	for load in "--mbit 0" "--mbit 1001" "--mbit 1x" "--pps 1"; do
		# shellcheck disable=SC2086 # an option and its value
		expect_fails "usage" "$perf/handover_tcp" $load "${guests[@]}"
	done
	expect_fails "Invalid argument" "$perf/handover" --pps 1 a,connect,split,9,52:54:00:00:00:01 b
}

# The frames are those that the switch counts. Nobody receives them.
sends_steadily() {
	local before
	local -a sender=("$perf/sender" "$work/v0.sock,connect,split,1,${MACS[0]}" "${MACS[1]}")
	mkfifo "$work/s.in"
	start sender bash -c 'exec 3<>"$0"; exec "$@" <&3' "$work/s.in" "${sender[@]}"
	wait_for 10 grep -q ready "$work/sender.log"
	for n in 1 2; do
		before=$(port_stat vm0 rx_pkts)
		echo begin 1000 >"$work/s.in"
		wait_for 10 has_sent $((before + 300)) # more than a ring has
		echo end >"$work/s.in"
		wait_for 10 has_said $n
		expect "frames" $(($(port_stat vm0 rx_pkts) - before)) "$(tail -n 1 "$work/sender.log" | json 'd["sent"]')"
		expect "whether the rate is that or less" true "$(tail -n 1 "$work/sender.log" | json 'd["sent"] / d["seconds"] < 1001')"
	done
	stop sender
	is_conserved
	expect_match '"sent"' "$(printf '%s\n' "begin 1000000" end quit | "${sender[@]}")"
	for word in 0 1000001 1x; do
		expect_fails "begin takes 1 to 1000000" bash -c 'echo "begin $0" | "$@"' $word "${sender[@]}"
	done
	expect_fails "nobody,.*: connect: No such file" "$perf/sender" "$work/nobody,connect,split,1,${MACS[0]}" "${MACS[1]}"
	expect_fails "usage" "$perf/sender" "$work/v0.sock,connect,split,1,${MACS[0]}" 52:54
	expect_fails "usage" "$perf/sender" "$work/v0.sock,connect,split,1,${MACS[0]}"
}
has_sent() { [ "$(port_stat vm0 rx_pkts)" -ge "$1" ]; } # N
has_said() { [ "$(grep -c sent "$work/sender.log")" -ge "$1" ]; } # N

writes() {
	local rc=0
	timeout 0.3 "$perf/writer" 1 65536 || rc=$?
	expect "status when it was ended" 124 $rc
	for words in "" 1 "0 1" "1 0" "65537 1" "1 65537" "1 1x" "1 1 1"; do
		# shellcheck disable=SC2086 # they are words
		expect_fails "usage" "$perf/writer" $words
	done
}

idles() {
	mkfifo "$work/idle.in"
	start idle bash -c 'exec 3<>"$0"; exec "$@" <&3' "$work/idle.in" "$gen" "$work/v2.sock" "$work/v3.sock"
	wait_for 10 grep -q ready "$work/idle.log"
	for port in vm2 vm3; do
		wait_for 5 is_port_state $port link up
		expect "$port sent" 0 "$(port_stat $port rx_pkts)"
	done
	stop idle
	wait_for 5 is_port_state vm3 link down
}

# A neighbour loses nothing meanwhile.
toggles() {
	local out
	mapfile -t guests < <(pair v .sock)
	out=$(ask "toggle 1" "run 64 1 10 300" "toggle 0" "run 64 1 10 100" "toggle 0" -- "${guests[@]}" "$work/v2.sock,toggle")
	expect "whether frames went, none was lost" "true true" \
		"$(for n in 3 5; do nth $n <<<"$out" | json 'd["mpps"] > 0 and d["lost"] == 0'; done | paste -sd' ')"
	expect "whether all steps were made, several times" true "$(nth 4 <<<"$out" | json 'd["toggles"] > 48')"
	expect "steps after the last" "$(nth 4 <<<"$out")" "$(nth 6 <<<"$out")"
	expect_match "toggle needs a guest" "$(ask "toggle 1" -- "${guests[@]}" | nth 2)"
	is_conserved
}

keeps_limits() {
	local out
	mapfile -t guests < <(pair v .sock)
	out=$(ask "run 64 1000 1 1" "run 1518 1 1 1" "run 63 1 1 1" "run 1519 1 1 1" "run 64 1001 1 1" "run 64 0 1 1" "delay" -- "${guests[@]}")
	expect "answers that are figures" "false true true false false false false false" \
		"$(for n in {1..8}; do nth "$n" <<<"$out" | json '"mpps" in d'; done | paste -sd' ')"
	expect_match "SIZE is imix or 64 to 1518, FLOWS 1 to 1000" "$(nth 4 <<<"$out")"
	out=$(ask "run 64 1 1 1" "delay 1" -- "$work/v2.sock")
	expect_match "need active guests.*need active guests" "$(paste -sd' ' <<<"$out")"
}

refuses() {
	mapfile -t guests < <(pair v .sock)
	expect_fails "nobody: connect: No such file" "$gen" "$work/nobody"
	expect_fails "-q takes 1 to 8" "$gen" -q 9 "${guests[@]}"
	expect_fails "-q takes 1 to 8" "$gen" -q 0 "${guests[@]}"
	expect_fails "'52:54' is no MAC" "$gen" "$work/v0.sock,52:54"
	expect_fails "come in pairs" "$gen" "${guests[0]}"
	expect_fails "come first" "$gen" "$work/v2.sock" "${guests[@]}"
}

run_case "guests exchange frames through the daemon" exchanges_with_daemon
run_case "with four queues" exchanges_with_daemon -q 4
run_case "with packed rings" exchanges_with_daemon -p
run_case "with packed rings used in order, four queues" exchanges_with_daemon -o -q 4
run_case "with eight queues, all are in use" uses_all_queues
run_case "through testpmd" exchanges_with_testpmd
run_case "through a tunnel and its far end" exchanges_through_tunnel
run_case "delays are measured" measures_delays
run_case "idle guests are connected and send nothing" idles
run_case "a guest toggles its rings, memory and interrupts" toggles
run_case "sizes and flows have limits" keeps_limits
run_case "what cannot be is refused" refuses
run_case "guests return to a daemon that was killed" returns
run_case "no frame is lost while the daemon is replaced" is_replaced
run_case "its loads have limits" handover_keeps_limits
run_case "frames are sent at a rate to an address" sends_steadily
run_case "memory is written at a rate" writes
