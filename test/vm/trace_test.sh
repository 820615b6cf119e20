#!/usr/bin/env bash
# Packets to guests that are followed, and guests that are woken ahead of packets: s has a split
# ring, p a packed one.
. "$(dirname "$0")/lib.sh"

daemon_start rtvsd
ctl bridge add br0
ctl port add s "socket=$work/s.sock" bridge=br0
ctl port add p "socket=$work/p.sock" bridge=br0
vm_start s "nic=$work/s.sock" mac=52:54:00:00:00:0a ip=10.0.0.11/24
vm_start p "nic=$work/p.sock" packed=on mac=52:54:00:00:00:0b ip=10.0.0.12/24
tap_port t1 10.0.0.1/24 bridge=br0
wait_guests s p

# Counts, orders and adds up what trace.read says of a port. Prints the number of whole chains.
check_chains() { # PORT MIN-WHOLE
	ctl -j trace read | python3 -c '
import json, sys
port, least = sys.argv[1], int(sys.argv[2])
ports = {p["port"]: p for p in json.load(sys.stdin)["ports"]}
p = ports[port]
whole = kicked = 0
for c in p["chains"]:
    times = [c[k + "_ns"] for k in ("arrived", "queued", "put", "kicked", "consumed", "answered", "left")]
    seen = [t for t in times if t]
    assert times[:len(seen)] == seen, ("a stage is missing in the middle", c)
    if seen[-1] == times[-1]:
        whole += 1
        kicked += c["is_kicked"]
    # A burst is kicked for when it is in the ring; the guest may be faster than our clock is read.
    order = [t for i, t in enumerate(seen) if i != 3]
    assert order == sorted(order), ("goes back in time", c)
print(port, "pid", p["pid"], "chains", len(p["chains"]), "whole", whole, "kicked", kicked, "lost", p["lost"])
if p["chains"]:
    print(p["chains"][-1])
assert whole >= least, "too few"
assert kicked > 0, "never kicked"
' "$@"
}

followed() { # GUEST ADDRESS
	ctl trace start "$1" rate=1000
	ctl trace read >/dev/null
	ns t1 ping -c 100 -i 0.02 -W 2 "$2" # of 5 two are followed
	check_chains "$1" 30
	ctl trace stop "$1"
	expect "traced ports" 0 "$(ctl -j trace read | json 'len(d["ports"])')"
}

pid_is_told() {
	for guest in s p; do
		expect "pid of $guest" "$(cat "$work/$guest.pid")" "$(port_state $guest pid)"
	done
}

nobody_reads() {
	ctl trace start s
	expect "traced ports" 1 "$(ctl -j trace read | json 'len(d["ports"])')"
	sleep 12 # reading would go on with it
	expect "traced ports, unread" 0 "$(ctl -j trace read | json 'len(d["ports"])')"
	ctl trace start s # a port that goes takes its trace with it
	ctl port del s
	expect "traced ports" 0 "$(ctl -j trace read | json 'len(d["ports"])')"
	ctl port add s "socket=$work/s2.sock" bridge=br0
	expect "traced ports" 0 "$(ctl -j trace read | json 'len(d["ports"])')"
}

# Packets wait for a slow egress, so that there is something to wake ahead for.
guests_are_woken_ahead() { # GUEST ADDRESS
	ctl port set "$1" prewake=true rate=2Mbit
	wait_for 20 wake_is_known "$1" "$2"
	ctl trace start "$1" rate=1000
	ctl trace read >/dev/null
	ns t1 ping -c 60 -i 0.002 -s 1000 -W 2 "$2" # each takes 4 ms
	wait_for 5 is_stat_above "$1" prewakes 0
	ctl -j trace read | json 'sum(c["prewoken_ns"] > 0 for c in d["ports"][0]["chains"])' >"$work/prewoken"
	echo "woken ahead $(port_stat "$1" prewakes) times, of followed packets $(cat "$work/prewoken"), wake $(port_state "$1" wake)"
	[ "$(cat "$work/prewoken")" -gt 0 ] || fail "no followed packet says so"
	ctl trace stop "$1"
	ctl port set "$1" prewake=false rate=0
	is_conserved
}
wake_is_known() { # GUEST ADDRESS
	ns t1 ping -c 5 -i 0.1 -W 2 "$2" >/dev/null
	[ "$(port_state "$1" wake)" != null ] && [ "$(port_state "$1" wake)" != None ]
}

what_is_no_guest_is_refused() {
	expect_fails "no guest's" ctl trace start t1
	expect_fails "does not exist" ctl trace start nobody
	expect_fails "rate" ctl trace start s rate=0
	expect_fails "rate" ctl trace start s rate=10001
	expect_fails "does not exist" ctl trace stop nobody
	expect_fails "prewake: only for type=vhost" ctl port set t1 prewake=true
}

run_case "the processes of guests are known" pid_is_told
run_case "packets are followed, split ring" followed s 10.0.0.11
run_case "packets are followed, packed ring" followed p 10.0.0.12
run_case "guests are woken ahead, split ring" guests_are_woken_ahead s 10.0.0.11
run_case "guests are woken ahead, packed ring" guests_are_woken_ahead p 10.0.0.12
run_case "what is no guest is refused" what_is_no_guest_is_refused
run_case "what nobody reads ends" nobody_reads
