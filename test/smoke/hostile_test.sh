#!/usr/bin/env bash
# Front-ends that lie. After each attack the daemon runs, and other ports' traffic went on without a
# loss. An honest front-end can use the attacked port, and no descriptor or mapping stays behind.
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
	ends_holder one
	ends_holder two
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
honest_works() {
	local before
	before=$(port_stat evil rx_pkts)
	wait_for 5 hostile "$work/evil.sock" good # a port whose front-end made others wait is not free at once
	wait_for 5 is_stat_above evil rx_pkts "$((before + 9))"
}

attack() { # NAME
	flow
	hostile "$work/evil.sock" "$1"
	is_running rtvsd || fail "the daemon is gone"
	nothing_stays
	nothing_was_lost
	honest_works
	nothing_stays
	is_conserved
}

neighbour_can_connect() {
	start hang python3 "$top/test/smoke/hostile.py" "$work/evil.sock" halves
	timeout 10 bash -ec 'for ((i = 0; i < 20; i++)); do python3 "$0" "$1" good; done' "$top/test/smoke/hostile.py" "$work/peer.sock"
	is_running hang || fail "it ended"
	stop hang
	nothing_stays
	honest_works
}

# Again and again, as QEMU does at a feature that it misses.
hangs_up_at_once() {
	ctl port add out mode=connect "socket=$work/out.sock"
	timeout 60 python3 - "$work/out.sock" <<-'END'
		import socket, sys, time
		listener = socket.socket(socket.AF_UNIX)
		listener.bind(sys.argv[1])
		listener.listen()
		for i in range(10):
		    listener.accept()[0].close()
		# Each attempt waits for longer than the one before, up to half a second.
		listener.settimeout(3)
		end, n = time.time() + 3, 0
		while time.time() < end:
		    listener.accept()[0].close()
		    n += 1
		assert n < 30, f"{n} connections in 3 s"
	END
	rm -f "$work/out.sock"
	is_running rtvsd || fail "it died"
	wait_for 5 is_port_state out connected false
	ctl port del out
}

# Without descriptors a connection is closed: a waiting one would keep its listener readable, and
# the event thread busy.
no_descriptors_left() {
	daemon_start few
	daemon=few ctl port add p1 "socket=$work/p1.sock"
	timeout 20 python3 - "$work/p1.sock" "$work/few.sock" "$(pid_of few)" <<-'END'
		import os, resource, socket, struct, sys, time
		def line(path):
		    s = socket.socket(socket.AF_UNIX)
		    s.settimeout(5)
		    s.connect(path)
		    return s
		pid = int(sys.argv[3])
		soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
		def path(fd):
		    try:
		        return os.readlink(f"/proc/{pid}/fd/{fd}")
		    except FileNotFoundError:
		        return ""
		# All numbers below the one in reserve are used, then there are no more.
		limit = 1 + max(fd for fd in range(3, 1000) if path(fd) == "/dev/null")
		resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))
		clients = []
		while not all(path(fd) for fd in range(limit)):
		    try:
		        clients.append(line(sys.argv[2]))
		    except BlockingIOError:  # its backlog is full
		        time.sleep(0.01)
		def first_byte():
		    try:
		        s = line(sys.argv[1])
		        s.sendall(struct.pack("<III", 1, 1, 0))
		        return s.recv(1)
		    except (BrokenPipeError, ConnectionResetError):
		        return b""
		for i in range(50):
		    assert first_byte() == b"", "descriptors are left"
		resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
	END
	hostile "$work/p1.sock" good
	expect "lines in the log" 1 "$(grep -c 'new front-ends are hung up on' "$work/few.log")"
	stop few
}

holder() { # NAME PORT: an honest front-end that stays
	mkfifo "$work/$1.in"
	timeout 60 python3 "$top/test/smoke/hostile.py" "$work/$2.sock" hold <>"$work/$1.in" >"$work/$1.out" 2>&1 3>&- &
	echo $! >"$work/$1.pid"
	wait_for 5 grep -qx ready "$work/$1.out"
}
holder_sends() { # NAME
	local n
	n=$(grep -cx sent "$work/$1.out") || :
	echo >"$work/$1.in"
	wait_for 5 has_sent "$1" "$((n + 1))"
}
has_sent() { [ "$(grep -cx sent "$work/$1.out")" = "$2" ]; }
ends_holder() { # NAME
	stop "$1" TERM 5 || :
	rm -f "$work/$1".{in,out,pid}
}
pid_holding() { pgrep -f "hostile.py $work/$1.sock hold" | tail -n 1; }

second_is_refused() {
	local first
	ctl port add shared "socket=$work/shared.sock" bridge=br1
	timeout 60 "$rtvsctl" -s "$work/rtvsd.sock" -j events port.refused >"$work/refused" 2>&1 3>&- &
	echo $! >"$work/events.pid"
	holder one shared
	first=$(pid_holding shared)
	wait_for 5 is_port_state shared pid "$first"
	expect_fails 'reset|closed|Broken|unpack' hostile "$work/shared.sock" good
	wait_until 5 grep -q "\"holder\": *$first" "$work/refused" || { cat "$work/refused"; false; }
	expect_match "refused process [0-9]+: process $first has the port" "$(port_state shared detail)"
	grep -q "refused process [0-9]* (python3): process $first has the port.*<source path='$work/shared.sock'/>" "$work/rtvsd.log"
	is_port_state shared pid "$first"
	expect connects 1 "$(($(port_state shared connects) - $(port_state shared disconnects)))"
	holder_sends one
	# A reconnection is no second one, as soon as the first has hung up.
	ends_holder one
	hostile "$work/shared.sock" good
	expect_match '^(listening|)$' "$(port_state shared detail)"
	stop events TERM 5 || :
	ctl port del shared
}

move_is_asked_for() {
	ctl port add shared "socket=$work/shared.sock" bridge=br1
	holder one shared
	ctl port move shared for=30s
	holder two shared
	expect_fails 'reset|closed|Broken|unpack' hostile "$work/shared.sock" good # one only
	ends_holder one
	holder_sends two
	ends_holder two
	expect_fails 'port nobody does not exist' ctl port move nobody
	expect_fails 'for: .*1s' ctl port move shared for=999ms
	expect_fails 'only a port with type=vhost' ctl port move t1
	ctl port del shared
	nothing_stays
}

down_is_not_connected() {
	ctl port add shared "socket=$work/shared.sock" bridge=br1
	holder one shared
	expect_fails 'reset|closed|Broken|unpack' hostile "$work/shared.sock" good
	ctl port set shared admin_up=no
	wait_for 5 is_port_state shared connected false
	expect detail "administratively down" "$(port_state shared detail)"
	ends_holder one
	ctl port del shared
}

begin
run_case "a QEMU that hangs up at once" hangs_up_at_once
run_case "an honest front-end" honest_works
for name in $(hostile list); do
	run_case "${name//_/ }" attack "$name"
done
run_case "a front-end that stops in a message holds nobody up" neighbour_can_connect
run_case "two front-ends want one port" second_is_refused
run_case "a move that was asked for" move_is_asked_for
run_case "a port that is taken down has no front-end" down_is_not_connected
run_case "no descriptors are left" no_descriptors_left
