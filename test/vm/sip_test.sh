#!/usr/bin/env bash
# A few hundred SIP calls from a namespace to a server in a guest: the laboratory of scripts/bench
# sip. The test asserts that calls are completed, figures are right, and nothing stays behind; not
# how long anything takes.
. "$(dirname "$0")/lib.sh"

recorded_figures_are_right() { python3 "$top/test/perf/sip_calls_test.py"; }

# A process of this world that is not this test's own.
strangers() {
	local stat name
	for stat in /proc/[0-9]*/stat; do
		name=$(sed -n 's/^[0-9]* (\(.*\)) .*/\1/p' "$stat" 2>/dev/null) || continue
		case $name in qemu-* | rtvswitchd | sipp | stalls | ovs* | python3) echo "$name" ;; esac
	done
}
has_no_strangers() { [ -z "$(strangers)" ]; }
nothing_is_left() {
	wait_for 5 has_no_strangers
	expect "namespaces" "" "$(ip netns list)"
	expect "interfaces" "lo" "$(ip -br link show | awk '{print $1}' | tr '\n' ' ' | sed 's/ $//')"
	expect "directories" "" "$(ls "$work/tmp")"
}

figure() { json "$1" <"$work/calls.json"; } # PYTHON, of d
row() { figure "next(r for r in d['rows'] if (r['system'], r['server'], r['neighbour']) == ('$1', '$2', $3))['$4']"; } # SYSTEM SERVER True|False KEY

calls_are_completed() {
	local where
	for where in "bridge sipp False" "plain sipp False" "deadlines kamailio False" "deadlines kamailio True"; do
		# shellcheck disable=SC2086 # three words
		expect "failed calls, $where" 0 "$(row $where failed)"
	done
	expect "rows with all figures" true "$(figure 'all(k in r for r in d["rows"] for k in
		("mean_ms", "sd_ms", "p50_ms", "p99_ms", "max_ms", "calls", "retransmissions", "failed", "outliers", "quantiles_ms"))')"
	expect "figures in order" true "$(figure 'all(0 < r["p50_ms"] <= r["p99_ms"] <= r["max_ms"] and r["quantiles_ms"] == sorted(r["quantiles_ms"])
		and 0 < r["calls"] <= r["wanted"] and r["by_host"] + r["by_scheduler"] <= r["outliers"] for r in d["rows"])')"
}

answers_with_a_deadline_pass_a_flood() {
	local without with
	without=$(row plain kamailio True p50_ms)
	with=$(row deadlines kamailio True p50_ms)
	echo "median beside the neighbour: $without ms without deadlines, $with ms with"
	expect "a fifth at most" true "$(json "5 * $with < $without" <<<'{}')"
}

many_calls_leave_nothing() {
	expect "failed calls of $(figure 'd["wanted"]')" 0 "$(figure 'd["many"]["failed"]')"
	expect "descriptors" "$(figure 'd["before"]["fds"]')" "$(figure 'd["after"]["fds"]')"
	expect "memory grew less than 2 MB" true "$(figure 'd["after"]["rss_kb"] - d["before"]["rss_kb"] < 2048')"
	nothing_is_left
}

has_begun() { grep -q "guests are up" "$work/again.log"; }
interrupted_calls_leave_nothing() {
	# In the background a shell's children ignore SIGINT.
	start again env --default-signal=INT python3 "$top/test/vm/sip.py" "$build" "$work/again.json"
	wait_for 60 has_begun
	kill -INT "$(pid_of again)"
	wait_for 20 is_stopped again
	rm -f "$work/again.pid"
	[ ! -e "$work/again.json" ] || fail "it was not interrupted"
	nothing_is_left
}

mkdir "$work/tmp"
export TMPDIR=$work/tmp
run_case "figures of recorded calls" recorded_figures_are_right
python3 "$top/test/vm/sip.py" "$build" "$work/calls.json"
run_case "calls through a bridge and the switch are completed" calls_are_completed
run_case "answers of a guest with a deadline pass a flood" answers_with_a_deadline_pass_a_flood
run_case "thousands of calls leave nothing behind" many_calls_leave_nothing
run_case "an interrupted run leaves nothing behind" interrupted_calls_leave_nothing
