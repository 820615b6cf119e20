#!/usr/bin/env bash
# Two daemons that share a key and have clocks of their own: far apart, drifting, set while they
# run; restarts and cut cables. The other clock is a fake (test/perf/clock_shim.c): one machine has
# only one.
. "$(dirname "$0")/lib.sh"

export CLOCK_SHIM_OFFSET_NS=50000000 CLOCK_SHIM_DRIFT_PPB=50000 CLOCK_SHIM_STEP=$work/step
export CLOCK_SHIM_EPOCH_NS=${EPOCHREALTIME/[.,]/}000
set_clock() { python3 -c 'import struct, sys; open(sys.argv[1], "r+b").write(struct.pack("=q", int(sys.argv[2])))' "$work/step" "$1"; }
truncate -s 8 "$work/step"

netns_add net
ip -n net link add lan type bridge
ip -n net link set lan up mtu 1700
(umask 077 && printf '1 %s\n' "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" >"$work/keys")
start_host() { # NAME NUMBER OTHER
	local shim=
	[ "$1" != b ] || shim=$build/test/perf/libclock_shim.so
	# A sanitizer wants to be the first library; it works as the second.
	LD_PRELOAD=$shim ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0 daemon_start "$1"
	daemon=$1 ctl port add "up$2" type=ethdev "devargs=net_tap0,iface=up$2" mtu=1700 "address=10.9.0.$2/24"
	netns_give net "up$2"
	ip -n net link set "up$2" address "02:00:00:09:00:0$2"
	ip -n net link set "up$2" master lan mtu 1700
	daemon=$1 ctl bridge add br0
	daemon=$1 ctl port add "g$2" type=ethdev "devargs=net_tap1,iface=g$2" bridge=br0 deadline=1s
	netns_add "g$2"
	netns_give "g$2" "g$2" "10.0.0.$2/24"
	daemon=$1 ctl port add tun type=geneve uplink="up$2" "remote=10.9.0.$3" vni=1 bridge=br0 key_file="$work/keys" clock=peer
}
start_host rtvsd 1 2
start_host b 2 1

peer() { ctl -j peer list | json "d[0]['$1']"; }
is_peer() { [ "$(peer "$1")" = "$2" ]; }
# Is what a host takes the other's clock for within its own uncertainty? SIGN: +1 at a, -1 at b.
is_right() { # DAEMON SIGN
	python3 - "$rtvsctl" "$work/$1.sock" "$2" "$(od -An -td8 "$work/step")" <<-'EOF'
		import json, os, subprocess, sys, time
		before = time.time_ns()
		p = json.loads(subprocess.run([sys.argv[1], "-s", sys.argv[2], "-j", "peer", "list"], stdout=subprocess.PIPE).stdout)[0]
		after = time.time_ns()
		e = os.environ
		def truth(now):
		    return int(sys.argv[3]) * (int(e["CLOCK_SHIM_OFFSET_NS"]) + int(sys.argv[4])
		                               + (now - int(e["CLOCK_SHIM_EPOCH_NS"])) * int(e["CLOCK_SHIM_DRIFT_PPB"]) / 1e9)
		ends = truth(before), truth(after)
		low, high = p["offset_ns"] - p["uncertainty_ns"], p["offset_ns"] + p["uncertainty_ns"]
		print("offset", p["offset_ns"], "truth", ends, "uncertainty", p["uncertainty_ns"])
		sys.exit(not (p["clock_known"] and low <= max(ends) and min(ends) <= high))
	EOF
}

clocks_apart_are_known() {
	wait_for 10 is_peer clock_known true
	daemon=b wait_for 10 is_peer clock_known true
	for _ in $(seq 20); do
		is_right rtvsd 1 || fail "outside of what it says"
		is_right b -1 || fail "outside of what it says"
		sleep 0.1
	done
	expect "steps of the clock" 0 "$(peer clock_steps)"
	# So delays through the tunnel are right, too, though the clocks would make them 50 ms
	# longer, or negative.
	wait_for 10 can_ping g1 10.0.0.2
	ns g1 ping -c 20 -i 0.05 -W 1 10.0.0.2
	for daemon in rtvsd b; do
		expect "sooner than at once, at $daemon" 0 "$(ctl -j flow remote port=tun | json 'sum(f["impossible"] for f in d)')"
	done
}

clock_that_is_set_is_found_again() {
	set_clock 5000000000
	wait_for 10 is_step_seen
	wait_for 10 is_right rtvsd 1
	wait_for 10 is_right b -1
	set_clock -3000000000
	wait_for 10 is_right rtvsd 1
	wait_for 10 is_right b -1
	set_clock 0
	wait_for 10 is_right rtvsd 1
	can_ping g1 10.0.0.2
}
is_step_seen() { [ "$(peer clock_steps)" -ge 1 ]; }

restarted_peer_is_known_again() {
	local forged
	forged=$(peer forged)
	stop b KILL
	ip netns del g2
	rm -f "$work/netns.g2"
	start_host b 2 1
	ip -n g1 neigh flush all # its guest has another MAC now
	wait_for 10 can_ping g1 10.0.0.2
	wait_for 15 is_right rtvsd 1
	daemon=b wait_for 10 is_peer known true
	expect "forged" "$forged" "$(peer forged)"
}

# Nobody greets anybody: sessions, clocks and numbers of datagrams go on.
replaced_daemon_is_known_as_before() {
	local accepted elsewhere at_b
	wait_for 10 is_peer clock_known true
	accepted=$(peer accepted)
	elsewhere=$(daemon=b peer elsewhere)
	at_b=$(daemon=b peer accepted)
	ctl system upgrade
	ctl -j system info | json 'd["pid"]' >"$work/rtvsd.pid"
	is_right rtvsd 1
	[ "$(peer accepted)" -ge "$accepted" ] || fail "a counter went back"
	wait_for 10 is_accepted_above "$((accepted + 10))"
	daemon=b wait_for 10 is_accepted_above "$((at_b + 10))"
	expect "of another session" "$elsewhere" "$(daemon=b peer elsewhere)"
	can_ping g1 10.0.0.2
	is_right rtvsd 1
	is_right b -1
}

cut_cable_is_survived() {
	local accepted
	ip -n net link set up2 nomaster
	sleep 3 # nothing gets through meanwhile
	accepted=$(peer accepted)
	ip -n net link set up2 master lan
	wait_for 10 is_accepted_above "$((accepted + 10))"
	wait_for 10 is_right rtvsd 1
	wait_for 10 can_ping g1 10.0.0.2
	is_conserved
}
is_accepted_above() { [ "$(peer accepted)" -gt "$1" ]; }

wrong_key_stays_unknown() {
	local accepted
	(umask 077 && printf '1 %s\n' "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" >"$work/other")
	daemon=b ctl port set tun "key_file=$work/other"
	wait_for 10 is_forged
	accepted=$(peer accepted)
	sleep 1 # in which a good one would come
	expect "accepted of it" "$accepted" "$(peer accepted)"
	daemon=b ctl port set tun "key_file=$work/keys"
	wait_for 15 is_right rtvsd 1
}
is_forged() { [ "$(peer forged)" -gt 0 ]; }

run_case "clocks that are apart and drift are known" clocks_apart_are_known
run_case "a clock that is set is found again" clock_that_is_set_is_found_again
run_case "a restarted peer is known again" restarted_peer_is_known_again
run_case "a daemon that is replaced is known as before" replaced_daemon_is_known_as_before
run_case "a cut cable is survived" cut_cable_is_survived
run_case "a peer with another key stays unknown" wrong_key_stays_unknown
