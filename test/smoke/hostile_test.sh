#!/usr/bin/env bash
# Front-ends that lie. After each attack: the daemon runs, other ports' traffic went on without a loss,
# an honest front-end can use the attacked port, and no descriptor or mapping stays behind.
. "$(dirname "$0")/lib.sh"

begin() {
	daemon_start rtvsd
	ctl bridge add br0
	ctl bridge add br1
	n_taps=0
	tap_port t1 10.0.0.1/24 bridge=br0
	tap_port t2 10.0.0.2/24 bridge=br0
	ctl port add evil "socket=$work/evil.sock" bridge=br1
	ctl port add peer "socket=$work/peer.sock" bridge=br1
	wait_for 10 can_ping t1 10.0.0.2
	honest_works
	n_fds >"$work/fds.before"
}
# What an attack broke is another attack's clean start.
after_failure() {
	stop flow KILL
	stop hang KILL
	stop rtvsd KILL
	begin
}
hostile() { timeout 40 python3 "$top/test/smoke/hostile.py" "$@"; }
n_fds() { find "/proc/$(pid_of rtvsd)/fd" -mindepth 1 | wc -l; }
n_maps() { grep -c 'memfd:guest' "/proc/$(pid_of rtvsd)/maps" || :; }
is_left() {
	[ "$(port_state evil connected)" = false ] && [ "$(n_fds)" -le "$(cat "$work/fds.before")" ] && [ "$(n_maps)" = 0 ]
}
nothing_stays() {
	wait_until 5 is_left ||
		fail "after 5 s: connected: $(port_state evil connected), descriptors: $(n_fds) (before: $(cat "$work/fds.before")), mappings: $(n_maps)"
}
# One packet may have been on its way when ping was ended.
nothing_was_lost() {
	kill -INT "$(pid_of flow)"
	wait_for 5 is_stopped flow
	tail -n 3 "$work/flow.log"
	awk '/packets transmitted/ {seen = 1; lost = $1 - $4} END {exit !(seen && lost <= 1)}' "$work/flow.log"
}

honest_works() {
	local before
	before=$(port_stat evil rx_pkts)
	hostile "$work/evil.sock" good
	wait_for 5 is_stat_above evil rx_pkts "$((before + 9))"
}

attack() { # NAME
	rm -f "$work/flow.log"
	start flow ip netns exec t1 ping -q -i 0.02 -W 2 10.0.0.2
	hostile "$work/evil.sock" "$1"
	is_running rtvsd || fail "the daemon is gone"
	nothing_stays
	nothing_was_lost
	honest_works
	nothing_stays
	is_conserved
}

neighbour_can_connect() {
	start hang python3 "$top/test/smoke/hostile.py" "$work/evil.sock" hang
	wait_for 5 is_port_state evil connected true
	timeout 5 python3 "$top/test/smoke/hostile.py" "$work/peer.sock" good
	is_running hang || fail "it did not hang"
	stop hang
}

# QEMU may have gone before its connection is in librte_vhost's list, which the daemon's control thread writes after the event thread has
# it. The shim makes that time long.
hangs_up_at_once() {
	local shim=$build/test/smoke/libslow_add_shim.so
	[ -s "$shim" ]
	LD_PRELOAD=$shim ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0 daemon_start slow
	daemon=slow ctl port add out mode=connect "socket=$work/out.sock"
	timeout 60 python3 - "$work/out.sock" <<-'END'
		import socket, sys
		listener = socket.socket(socket.AF_UNIX)
		listener.bind(sys.argv[1])
		listener.listen()
		for i in range(30):
		    listener.accept()[0].close()
	END
	rm -f "$work/out.sock"
	is_running slow || fail "it died"
	daemon=slow is_port_state out connected false
	stop slow
}

begin
run_case "a QEMU that hangs up at once" hangs_up_at_once
run_case "an honest front-end" honest_works
for name in $(hostile list); do
	run_case "${name//_/ }" attack "$name"
done
run_case "a front-end that stops in a message holds nobody up" neighbour_can_connect
