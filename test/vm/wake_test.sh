#!/usr/bin/env bash
# rtvs-wake beside a guest that is pinged from the kernel's namespace t1: its view of the switch and
# of the scheduler, its output without the kernel's side, and its reaction when guest, daemon or
# itself end.
. "$(dirname "$0")/lib.sh"

wake=$build/src/wake/rtvs-wake
[ -x "$wake" ] || skip "rtvs-wake is not built: it needs libbpf, clang and bpftool"
daemon_start rtvsd
ctl bridge add br0
ctl port add a "socket=$work/a.sock" bridge=br0
guest_start() { vm_start a "nic=$work/a.sock" mac=52:54:00:00:00:0a ip=10.0.0.11/24; }
guest_start
tap_port t1 10.0.0.1/24 bridge=br0
wait_guests a
wait_for 20 can_ping t1 10.0.0.11
start flow ip netns exec t1 ping -q -i 0.05 10.0.0.11

watch() { "$wake" -s "$work/rtvsd.sock" "$@"; }
check_report() { python3 "$top/test/vm/wake.py" "$@"; }
of_report() { json "$2" <"$work/$1.json"; } # NAME EXPRESSION

stages_add_up() {
	start client ip netns exec t1 ping -q -i 0.05 -c 90 10.0.0.11
	watch -j -d 5 --record "$work/record" a >"$work/all.json"
	wait_for 10 is_stopped client
	expect "whether the scheduler is seen" true "$(of_report all 'd["has_sched"]')"
	check_report "$work/all.json" a "$(pid_of a)" 40 "$work/client.log"
	[ "$(of_report all 'd["events"]')" -gt 100 ] || fail "too few events"
	[ "$(of_report all 'd["ports"][0]["answered"]["kicked"]')" -gt 0 ] || fail "nobody was kicked"
	# A guest that idles is woken, and under TCG by QEMU's main loop.
	[ "$(of_report all 'd["ports"][0]["answered"]["stages"]["run"]["max_ns"]')" -gt 0 ] || fail "no virtual processor waited"
	[ "$(vm_accel)" = kvm ] || [ "$(of_report all 'd["ports"][0]["answered"]["through_emulator"]')" -gt 0 ] || fail "no main loop"
}

record_is_replayed() {
	watch --replay "$work/record" -j >"$work/again.json"
	cmp "$work/all.json" "$work/again.json"
	expect_match 'end to end' "$(watch --replay "$work/record" --hist)"
	head -c 3000 "$work/record" >"$work/part"
	watch --replay "$work/part" >/dev/null
	sed '3s/kind/kino/' "$work/record" >"$work/bad"
	expect_fails 'bad: line 3: .*kind' watch --replay "$work/bad"
}

wrong_ports_are_refused() {
	expect_fails "no vhost port or domain 'x'; there are: a" watch -d 1 x
	expect_fails "no vhost port or domain 't1'; there are: a" watch -d 1 a t1
	expect "nothing is followed" 0 "$(ctl -j call trace.read | json 'len(d["ports"])')"
}

unreachable_daemon_is_told() {
	local rc=0
	"$wake" -s "$work/nobody.sock" -d 1 2>"$work/err" || rc=$?
	expect "exit status" 3 $rc
	expect_match 'rtvs-wake: cannot reach rtvswitchd' "$(cat "$work/err")"
}

# The switch's half is shown all the same.
without_the_right_to() {
	setpriv --bounding-set -bpf,-perfmon,-sys_admin --inh-caps -bpf,-perfmon,-sys_admin "$wake" -s "$work/rtvsd.sock" -j -d 4 >"$work/caps.json"
	check_report "$work/caps.json" a "$(pid_of a)" 15
	expect "whether the scheduler is seen" false "$(of_report caps 'd["has_sched"]')"
	expect_match 'CAP_BPF' "$(of_report caps 'd["missing"]')"
	expect_match 'sched_switch.*sched_waking' "$(of_report caps 'd["missing"]')"
}
without_btf() {
	# shellcheck disable=SC2016 # expanded by the inner shell
	unshare -m sh -c 'mount -t tmpfs tmpfs /sys/kernel/btf; exec "$0" -s "$1" -j -d 1' "$wake" "$work/rtvsd.sock" >"$work/btf.json"
	check_report "$work/btf.json" a "$(pid_of a)" 5
	expect_match 'no /sys/kernel/btf/vmlinux' "$(of_report btf 'd["missing"]')"
	expect_match 'part of consume' "$(unshare -m sh -c "mount -t tmpfs tmpfs /sys/kernel/btf; exec $wake -s $work/rtvsd.sock -d 1")"
}

tracefs_is_asked_for() {
	expect_match 'tracefs is not mounted|\[\]' "$(unshare -m sh -c "umount /sys/kernel/tracing 2>/dev/null; exec $wake -s $work/rtvsd.sock -j -d 1" |
		json '[m["why"] for m in d["missing"] if m["tracepoint"] == "kvm_exit"]')"
	unshare -m sh -c "mount -t tracefs tracefs /sys/kernel/tracing; exec $wake -s $work/rtvsd.sock -j -d 1" >"$work/tracefs.json"
	[[ $(of_report tracefs 'd["missing"]') != *tracefs* ]] || fail "tracefs is not seen"
}

is_in_kernel() { bpftool prog show | has_line 'name on_switch'; }
ctrl_c_leaves_nothing() {
	start one "$wake" -s "$work/rtvsd.sock" --record "$work/short" a
	wait_for 10 is_in_kernel
	wait_for 10 grep -q '"chain"' "$work/short"
	stop one INT
	expect "nothing is followed" 0 "$(ctl -j call trace.read | json 'len(d["ports"])')"
	! is_in_kernel || fail "a program is still in the kernel"
	expect_match '^a: process [0-9]+; [0-9]+ packets answered' "$(grep '^a:' "$work/one.log")"
}

has_guest() { grep -q "\"pid\":$(pid_of a)" "$work/$1"; } # RECORD
guest_is_replaced() {
	start one "$wake" -s "$work/rtvsd.sock" --record "$work/two" -j
	wait_for 10 grep -q '"chain"' "$work/two"
	stop a KILL
	wait_for 10 is_port_state a link down
	wait_for 10 grep -q '"port":"a","pid":0' "$work/two"
	guest_start
	wait_guests a
	wait_for 20 can_ping t1 10.0.0.11
	wait_for 10 has_guest two
	is_running one || fail "it ended"
	sleep 1 # of packets to the new guest, for its report
	stop one INT
	tail -n 1 "$work/one.log" >"$work/two.json"
	check_report "$work/two.json" a "$(pid_of a)" 5
	expect "guests" 2 "$(of_report two 'd["ports"][0]["guests"]')"
}

daemon_is_replaced() {
	start one "$wake" -s "$work/rtvsd.sock" --record "$work/three" -j a
	wait_for 10 grep -q '"chain"' "$work/three"
	daemon_replace KILL
	netns_give t1 t1 10.0.0.1/24
	wait_for 20 can_ping t1 10.0.0.11
	wait_for 10 grep -q 'rtvswitchd is back' "$work/one.log"
	local n
	n=$(grep -c '"chain"' "$work/three")
	has_more() { [ "$(grep -c '"chain"' "$work/three")" -gt "$n" ]; }
	stop flow INT
	start flow ip netns exec t1 ping -q -i 0.05 10.0.0.11
	wait_for 20 has_more
	stop one INT
	expect "how often it was told" "1 1" "$(grep -c 'waiting for rtvswitchd' "$work/one.log") $(grep -c 'is back' "$work/one.log")"
	tail -n 1 "$work/one.log" | json 'd["ports"][0]["chains"]'
}

run_case "stages of what is seen add up" stages_add_up
run_case "a record gives the same report" record_is_replayed
run_case "wrong ports are refused" wrong_ports_are_refused
run_case "a daemon that is not there is told" unreachable_daemon_is_told
run_case "without CAP_BPF the switch's half is shown" without_the_right_to
run_case "without BTF the switch's half is shown" without_btf
run_case "tracefs is asked for" tracefs_is_asked_for
run_case "Ctrl-C leaves nothing behind" ctrl_c_leaves_nothing
run_case "QEMU is killed and started again" guest_is_replaced
run_case "the daemon is killed and started again" daemon_is_replaced
