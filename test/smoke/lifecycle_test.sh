#!/usr/bin/env bash
# Starting, stopping, and all errors of a start.
. "$(dirname "$0")/lib.sh"

refuses_to_start() { # REGEX ARG...: ends by itself with one clear line
	local regex=$1 out rc=0
	shift
	out=$(timeout 30 "$rtvswitchd" "$@" 2>&1 </dev/null) || rc=$?
	[ $rc != 124 ] || fail "still running: $*"
	[ $rc != 0 ] || fail "exit code 0: $*"
	expect_match "$regex" "$out"
	last_rc=$rc
}

# Stops it with a signal; it must end with code 0.
ends_well() { # [SIGNAL]
	local pid rc=0
	pid=$(pid_of rtvsd)
	stop rtvsd "${1:-TERM}" 30
	wait "$pid" || rc=$?
	expect "exit code" 0 $rc
}

starts_and_stops() {
	daemon_start rtvsd
	[ -S "$work/rtvsd.sock" ] || fail "no control socket"
	ends_well
	is_gone "$work/rtvsd.sock" || fail "the control socket is left"
}

has_driver() { grep -q "librte_$1\.so" "/proc/$(pid_of rtvsd)/maps"; }

drivers_come_with_the_first_device() {
	daemon_start rtvsd
	ctl bridge add br0
	ctl port add vm "socket=$work/vm.sock" bridge=br0
	has_driver mempool_ring || fail "the pool's driver is not there"
	! has_driver 'net_.*' || fail "drivers of devices are open for a guest"
	ctl port add none type=ethdev devargs=net_null0 bridge=br0
	has_driver net_null || fail "the device's driver is not there"
	ctl port del none
	ctl port add none type=ethdev devargs=net_null0 bridge=br0
	stop rtvsd
}

# Arguments of the user's may name devices.
drivers_are_there_for_arguments() {
	daemon_start rtvsd --eal '--vdev net_null0'
	has_driver net_null || fail "the device's driver is not there"
	stop rtvsd
}

stops_by_rpc() {
	daemon_start rtvsd
	ctl system stop
	wait_for 10 is_stopped rtvsd
}

stops_on_ctrl_c() {
	# A background process ignores SIGINT unless told otherwise; a terminal's does not.
	start rtvsd env --default-signal=INT "$rtvswitchd" --socket "$work/rtvsd.sock" --fresh --no-huge --idle adaptive
	wait_for 30 is_serving rtvsd
	ends_well INT
	is_gone "$work/rtvsd.sock" || fail "the control socket is left"
}

stops_while_it_starts() {
	start rtvsd "$rtvswitchd" --socket "$work/rtvsd.sock" --fresh --no-huge
	is_initialising() { grep -qx rtvswitchd "/proc/$(pid_of rtvsd)/comm"; }
	wait_for 5 is_initialising
	stop rtvsd TERM 30
	is_gone "$work/rtvsd.sock" || fail "the control socket is left"
}

second_is_refused() {
	daemon_start rtvsd
	refuses_to_start "rtvsd.sock" --socket "$work/rtvsd.sock" --no-huge
	is_serving rtvsd || fail "the first one is disturbed"
	stop rtvsd
}

survives_leftovers() {
	daemon_start rtvsd
	ctl bridge add br0
	ctl port add vm1 "socket=$work/vm1.sock" bridge=br0
	[ -S "$work/vm1.sock" ] || fail "no vhost socket"
	stop rtvsd KILL
	[ -S "$work/rtvsd.sock" ] && [ -S "$work/vm1.sock" ] || fail "kill -9 should have left the sockets"
	daemon_start rtvsd
	ctl bridge add br0
	ctl port add vm1 "socket=$work/vm1.sock" bridge=br0
	stop rtvsd
	is_gone "$work/vm1.sock" || fail "the vhost socket is left"
}

two_side_by_side() {
	daemon_start rtvsd
	daemon_start other
	is_serving rtvsd
	is_serving other
	stop other
	is_serving rtvsd
	stop rtvsd
}

config_makes_ports() {
	cat >"$work/good.json" <<-EOF
		[{"method": "bridge.add", "params": {"name": "br0"}},
		 {"method": "port.add", "params": {"name": "vm1", "bridge": "br0", "socket": "$work/vm1.sock"}}]
	EOF
	daemon_start rtvsd --config "$work/good.json"
	expect "port" vm1 "$(ctl -j port list | json 'd[0]["name"]')"
	stop rtvsd
}

bad_config_leaves_nothing() { # TEXT REGEX
	printf '%s' "$1" | sed "s,WORK,$work,g" >"$work/bad.json"
	refuses_to_start "$2" --socket "$work/rtvsd.sock" --no-huge --config "$work/bad.json"
	is_gone "$work/rtvsd.sock" || fail "the control socket is left"
	is_gone "$work/vm1.sock" || fail "the vhost socket is left"
}

bad_arguments() {
	local arg
	for arg in --nonsense '--idle=sometimes' '--workers=9999' '--memory=lots' '--buffers=-1' stray; do
		refuses_to_start . --socket "$work/rtvsd.sock" --no-huge "$arg"
		expect "exit code of $arg" 2 "$last_rc"
	done
}

missing_config() { refuses_to_start 'none\.json' --socket "$work/rtvsd.sock" --no-huge --config "$work/none.json"; }
bad_socket() { refuses_to_start '/nowhere/' --socket /nowhere/at/all.sock --no-huge; }

# 37 GB; a machine with more takes it.
too_many_buffers() {
	[ "$(awk '/MemAvailable/ {print $2}' /proc/meminfo)" -lt 36000000 ] || skip "the machine has memory for 16 million buffers"
	refuses_to_start 'buffers: 16777216 need [0-9]+ bytes, this machine has [0-9]+ to spare' --socket "$work/many.sock" --no-huge --buffers 16777216
}

says_what_it_is() {
	expect_match 'rtvswitchd' "$("$rtvswitchd" --version)"
	expect_match '--socket' "$("$rtvswitchd" --help)"
}

sleeps_when_idle() {
	local before after
	daemon_start rtvsd
	ctl bridge add br0
	tap_port t1 10.0.0.1/24 bridge=br0
	cpu_ms() { awk -v hz="$(getconf CLK_TCK)" '{print int(($14 + $15) * 1000 / hz)}' "/proc/$(pid_of rtvsd)/stat"; }
	before=$(cpu_ms)
	sleep 2 # what is measured is how much of these two seconds it uses
	after=$(cpu_ms)
	stop rtvsd
	[ $((after - before)) -lt 600 ] || fail "used $((after - before)) ms of 2000 ms without traffic"
}

stall_is_recorded() {
	local begin
	daemon_start rtvsd
	ctl system set idle=busy
	begin=$(date +%s%N)
	kill -STOP "$(pid_of rtvsd)"
	sleep 0.05 # the stall
	kill -CONT "$(pid_of rtvsd)"
	wait_for 5 has_stall_since "$begin" 50000000
	expect_match 'worker: must be 0 to 0' "$(ctl worker stalls worker=1 2>&1)"
	stop rtvsd
}
# A worker that sleeps between packets is as much without its core.
stalls_of_a_sleeper_are_recorded() {
	daemon_start rtvsd
	ctl bridge add br0
	tap_port t1 10.0.0.1/24 bridge=br0
	tap_port t2 10.0.0.2/24 bridge=br0
	wait_for 10 can_ping t1 10.0.0.2
	start flow ip netns exec t1 ping -q -i 0.002 10.0.0.2
	for n in 1 2 3 4 5 6 7 8 9 10; do
		kill -STOP "$(pid_of rtvsd)"
		sleep 0.04 # the stall
		kill -CONT "$(pid_of rtvsd)"
		wait_for 5 has_stalls "$n" 39000000
	done
	stop flow || :
	stop rtvsd
}
has_stalls() { # NUMBER, NS OF LENGTH
	[ "$(ctl -j worker stalls | json "sum(s['stall_ns'] >= $2 for s in d['stalls']) >= $1")" = true ]
}
has_stall_since() { # NS OF CLOCK_REALTIME, NS OF LENGTH
	[ "$(ctl -j worker stalls | json "any(s['stall_ns'] >= $2 and s['time_ns'] >= $1 + $2 for s in d['stalls'])")" = true ]
}

# What the kernel says of the worker's thread: a window may be open while somebody looks.
worker_tid() { grep -l dpdk-worker "/proc/$(pid_of rtvsd)"/task/*/comm | cut -d/ -f5; }
worker_has() { [[ $(chrt --pid "$(worker_tid)" | head -n 1) == *$1 ]]; }
worker_nice() { awk '{print $19}' "/proc/$(pid_of rtvsd)/task/$(worker_tid)/stat"; }
n_refusals() { grep -c 'the kernel refuses' "$work/rtvsd.log" || :; }
expect_priority() { # NAME POLICY REFUSALS
	expect "priority" "$1" "$(ctl -j worker list | json 'd[0]["priority"]')"
	wait_for 5 worker_has "$2"
	expect "refusals told" "$3" "$(n_refusals)"
}
start_alone() { # [ARG...]: on a host of its own
	start rtvsd "$rtvswitchd" --socket "$work/rtvsd.sock" --fresh --no-huge --idle adaptive "$@"
	wait_for 30 is_serving rtvsd
}
workers_have_the_priority_asked_for() {
	: >"$work/rtvsd.log"
	start_alone
	expect_priority fifo SCHED_FIFO 0
	stop rtvsd
	start_alone --worker-priority nice
	expect_priority nice SCHED_OTHER 0
	expect "nice" -20 "$(worker_nice)"
	stop rtvsd
	printf '[{"method": "system.init", "params": {"worker_priority": "normal"}}]' >"$work/normal.json"
	start_alone --config "$work/normal.json"
	expect_priority normal SCHED_OTHER 0
	expect "nice" 0 "$(worker_nice)"
	expect "dumped" normal "$(ctl -j config dump | json '[c["params"]["worker_priority"] for c in d if c["method"] == "system.init"][0]')"
	stop rtvsd
}
priorities_that_are_refused_are_told_once() {
	: >"$work/rtvsd.log"
	for wanted in fifo nice; do
		start rtvsd prlimit --rtprio=0 --nice=0 setpriv --bounding-set -sys_nice "$rtvswitchd" --socket "$work/rtvsd.sock" --fresh --no-huge \
			--idle adaptive --worker-priority "$wanted"
		wait_for 30 is_serving rtvsd
		expect_priority normal SCHED_OTHER 1
		stop rtvsd
		: >"$work/rtvsd.log"
	done
}
wrong_priorities_are_refused() {
	refuses_to_start "--worker-priority: 'idle' is not fifo, nice or normal" --worker-priority idle
	printf '[{"method": "system.init", "params": {"worker_priority": "deadline"}}]' >"$work/wrong.json"
	refuses_to_start 'worker_priority' --socket "$work/x.sock" --no-huge --config "$work/wrong.json"
	expect "exit code" 2 "$last_rc"
}
# A worker that never sleeps, before all others, and a process that may use no other CPU.
others_run_on_a_workers_cpu() {
	local cpu
	start rtvsd "$rtvswitchd" --socket "$work/rtvsd.sock" --fresh --no-huge
	wait_for 30 is_serving rtvsd
	expect_priority fifo SCHED_FIFO 0
	cpu=$(ctl -j worker list | json 'd[0]["cpu"]')
	taskset -c "$cpu" dd if=/dev/zero of=/dev/null bs=1M count=200 2>"$work/dd.out" # 10 ms or so of work
	expect_match '200\+0 records out' "$(cat "$work/dd.out")"
	stop rtvsd
}

cli_says_who_is_missing() {
	local rc=0
	"$rtvsctl" -s "$work/nobody.sock" port list || rc=$?
	expect "exit code" 3 $rc
}

# The kernel takes its connection and its request; nobody answers.
cli_does_not_wait_for_ever() {
	local rc=0
	daemon_start rtvsd
	kill -STOP "$(pid_of rtvsd)"
	"$rtvsctl" -s "$work/rtvsd.sock" -t 100ms port list 2>"$work/late.out" || rc=$?
	kill -CONT "$(pid_of rtvsd)"
	expect "exit code" 3 $rc
	expect "what it says" "rtvsctl: rtvswitchd does not answer" "$(cat "$work/late.out")"
	expect_fails "not 0 or a time with its unit, from 1ms to 1h" ctl -t 1us port list
	stop rtvsd
}

# What a case leaves running is not the next one's.
after_failure() { stop rtvsd KILL || :; }

run_case "starts and stops" starts_and_stops
run_case "stops by system.stop" stops_by_rpc
run_case "drivers come with the first device" drivers_come_with_the_first_device
run_case "drivers are there for DPDK's arguments" drivers_are_there_for_arguments
run_case "stops on Ctrl-C" stops_on_ctrl_c
run_case "stops while it starts" stops_while_it_starts
run_case "a second one on the same socket is refused" second_is_refused
run_case "starts over what kill -9 left" survives_leftovers
run_case "two run side by side" two_side_by_side
run_case "makes what the configuration says" config_makes_ports
run_case "configuration that is not JSON leaves nothing" bad_config_leaves_nothing '[{"method":' 'bad\.json'
run_case "configuration with an unknown method leaves nothing" bad_config_leaves_nothing '[{"method": "port.fly"}]' 'port\.fly'
run_case "configuration with a late mistake leaves nothing" bad_config_leaves_nothing \
	'[{"method": "bridge.add", "params": {"name": "br0"}}, {"method": "port.add", "params": {"name": "vm1", "bridge": "br0", "socket": "WORK/vm1.sock"}}, {"method": "port.add", "params": {"name": "vm2", "bridge": "br1"}}]' 'br1'
run_case "configuration that is missing is named" missing_config
run_case "socket that cannot be made is named" bad_socket
run_case "buffers for which there is no memory are refused" too_many_buffers
run_case "bad arguments end with code 2" bad_arguments
run_case "help and version" says_what_it_is
run_case "sleeps when idle" sleeps_when_idle
run_case "tells when its core was taken" stall_is_recorded
run_case "tells it of a worker that sleeps, too" stalls_of_a_sleeper_are_recorded
run_case "workers have the priority asked for" workers_have_the_priority_asked_for
run_case "priorities that are refused are told once" priorities_that_are_refused_are_told_once
run_case "wrong priorities are refused" wrong_priorities_are_refused
run_case "others run on a worker's CPU" others_run_on_a_workers_cpu
run_case "the CLI ends with 3 when nobody serves" cli_says_who_is_missing
run_case "the CLI does not wait for ever" cli_does_not_wait_for_ever
