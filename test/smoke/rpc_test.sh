#!/usr/bin/env bash
# The control socket: its refusals, its state, its answers.
. "$(dirname "$0")/lib.sh"

daemon_start rtvsd --monitor-socket "$work/monitor.sock" --metrics "unix:$work/metrics.sock"
ctl bridge add br0

# Sends bytes from standard input, prints the first line of the answer.
raw() { timeout 10 socat -t 5 - "UNIX-CONNECT:${1:-$work/rtvsd.sock}" | head -n 1; }
code_of() { json "d['error']['code']"; }

malformed_json() {
	local text
	for text in '{' 'null' '[]' '{"jsonrpc": "2.0"}' '"x"' '{"jsonrpc":"2.0","method":5,"id":1}' $'\x01\x02\xff' '{"jsonrpc":"2.0","id":1,"method":"port.list"'; do
		expect_match '^-32(700|600)$' "$(printf '%s\n' "$text" | raw | code_of)"
	done
	is_serving rtvsd
}

too_deep() {
	expect "code" -32700 "$(python3 -c 'print("[" * 5000 + "]" * 5000)' | raw | code_of)"
}

too_long() {
	# The connection ends with an error; the daemon and its other clients go on.
	python3 -c 'print("{\"x\": \"" + "a" * (25 << 20) + "\"}")' | raw >"$work/answer" || :
	[ ! -s "$work/answer" ] || expect_match '^-32' "$(code_of <"$work/answer")"
	is_serving rtvsd
}

unknown_method() {
	expect "code" -32601 "$(echo '{"jsonrpc":"2.0","id":1,"method":"port.fly"}' | raw | code_of)"
}

unknown_parameter() { expect_fails 'colour' ctl port add p1 colour=red; }
wrong_units() {
	expect_fails 'mtu' ctl port add p1 mtu=15parsec
	expect_fails 'mtu' ctl port add p1 mtu=9601
	expect_fails 'mtu' ctl port add p1 mtu=67
	expect_fails 'vlan' ctl port add p1 vlan=4095
	expect_fails 'mac_age|age' ctl bridge add br1 mac_age=5lightyears
	expect_fails 'mac_age: 300 needs a unit: 300ns, 300us, 300ms or 300s' ctl bridge add br1 mac_age=300
	expect_fails 'allowed_ips' ctl port add p1 allowed_ips=10.0.0.256
	expect_fails 'allowed_macs' ctl port add p1 allowed_macs=52:54:00
}
bad_names() {
	local name
	for name in '' '../x' 'a b' "$(printf 'x%.0s' {1..80})" '-x' 'x/y'; do
		expect_fails . ctl port add "name=$name" "socket=$work/p.sock"
	done
}
duplicate_names() {
	ctl port add p1 "socket=$work/p1.sock" bridge=br0
	expect_fails 'p1' ctl port add p1 "socket=$work/p2.sock" bridge=br0
	expect_fails 'p1.sock' ctl port add p2 "socket=$work/p1.sock" bridge=br0
	expect_fails 'br0' ctl bridge add br0
	expect_fails 'br0' ctl bridge del br0
	ctl port del p1
}
missing_things() {
	expect_fails 'nobody' ctl port del nobody
	expect_fails 'nobody' ctl port show nobody
	expect_fails 'nowhere' ctl port add p1 bridge=nowhere "socket=$work/p1.sock"
	is_gone "$work/p1.sock" || fail "a refused port left its socket"
	expect_fails 'mirror' ctl port add p1 mirror_to=p1 mirror=rx "socket=$work/p1.sock"
	expect_fails . ctl port add p1 type=ethdev devargs=net_nonsense0
	expect "no port is left" 0 "$(ctl -j port list | json 'len(d)')"
}

usage_is_two() {
	local rc=0
	ctl || rc=$?
	expect "without a command" 2 $rc
	rc=0
	ctl port fly || rc=$?
	expect "unknown command" 2 $rc
	expect_fails "did you mean 'rtvsctl port list'" ctl prot list
	expect_fails "did you mean 'rtvsctl port del'" ctl port rm p1
	expect_fails 'no dashes: bridge=br0' ctl port add x --bridge br0
	expect_fails 'did you mean bridge=br0' ctl port add x br0
	expect_match 'port add ' "$(ctl port --help)"
	expect_match 'Make a port' "$(ctl port add x -h)"
	expect_fails "did you mean 'bridge'" ctl port add x brigde=br0
}
refusal_is_one() {
	local rc=0
	ctl port del nobody || rc=$?
	expect "refusal" 1 $rc
}

batch_and_notification() {
	printf '[{"jsonrpc":"2.0","id":1,"method":"port.list"},{"jsonrpc":"2.0","method":"port.list"},{"jsonrpc":"2.0","id":2,"method":"x.y"}]\n' |
		raw >"$work/answer"
	expect "answers" 2 "$(json 'len(d)' <"$work/answer")"
}

monitors_only_read() {
	[ "$(echo '{"jsonrpc":"2.0","id":1,"method":"bridge.list"}' | raw "$work/monitor.sock" | json 'd["result"][0]["name"]')" = br0 ] ||
		fail "a monitor cannot read"
	echo '{"jsonrpc":"2.0","id":1,"method":"bridge.del","params":{"name":"br0"}}' | raw "$work/monitor.sock" | code_of
	echo '{"jsonrpc":"2.0","id":1,"method":"system.stop"}' | raw "$work/monitor.sock" | code_of
	expect "bridge" br0 "$(ctl -j bridge list | json 'd[0]["name"]')"
}

dump_is_complete() {
	ctl port add p1 "socket=$work/p1.sock" bridge=br0 vlan_mode=trunk trunk=1,5,100-200 mtu=9000 allowed_ips=10.0.0.1,fd00::/64
	ctl port add p2 "socket=$work/p2.sock" 'domain=web 1' domain_uuid=6ce5b3c0-6c2f-4d6d-9f0a-0d2c5a0f1e11 mode=connect isolated=true flood_rate=100 packed=false
	ctl port add p3 type=ethdev devargs=net_tap0,iface=p3 bridge=br0 mirror_to=p2 mirror=rx allowed_macs=52:54:00:00:00:01
	ctl mac add bridge=br0 mac=52:54:00:00:00:99 port=p1 vlan=5
	ctl -j config dump >"$work/first.json"
	stop rtvsd
	daemon_start rtvsd --monitor-socket "$work/monitor.sock" --config "$work/first.json"
	ctl -j config dump >"$work/second.json"
	diff "$work/first.json" "$work/second.json"
}

files_are_checked_and_applied() {
	ctl -j config dump >"$work/now.json"
	echo '[{"method": "bridge.add", "params": {"name": "brf"}}]' >"$work/file.json"
	ctl config check "calls=@$work/file.json"
	ctl config check "calls=@$work/now.json"
	expect_fails 'bridge br0 exists already' ctl config check replace=false "calls=@$work/now.json"
	expect_fails 'calls: must be @FILE' ctl config check 'calls=[]'
	expect_fails 'No such file' ctl config check "calls=@$work/nothing.json"
	echo '{"call": []}' >"$work/object.json"
	expect_fails 'object.json: neither a list of calls' ctl config check "calls=@$work/object.json"
	expect_fails 'object.json: neither a list of calls' ctl -f "$work/object.json"
	echo '[{"method": "port.add", "params": {"name": "f1", "mtu": 3}}]' >"$work/bad.json"
	expect_fails 'call 0 \(port.add\): mtu' ctl config check "calls=@$work/bad.json"
	expect_fails 'call 0 \(port.add\): mtu' ctl config apply "calls=@$work/bad.json"
	ctl -j config dump | diff "$work/now.json" -
	ctl config apply "calls=@$work/file.json"
	expect "bridges" brf "$(ctl -j bridge list | json '",".join(b["name"] for b in d)')"
	ctl config apply "calls=@$work/now.json"
	ctl -j config dump | diff "$work/now.json" -
}

events_arrive() {
	start events "$rtvsctl" -j -s "$work/rtvsd.sock" events
	is_heard() { grep -q 'port.add' "$work/events.log"; }
	hear() {
		ctl port add e1 "socket=$work/e1.sock"
		ctl port del e1
		is_heard
	}
	wait_for 10 hear
	stop events
}

many_clients() {
	# Clients without a use for their places do not keep others out.
	start crowd python3 "$top/test/smoke/crowd.py" "$work/rtvsd.sock"
	wait_for 20 grep -q full "$work/crowd.log"
	ctl bridge list
	timeout 10 "$rtvsctl" -s "$work/rtvsd.sock" -j system info | json "d['control']['evicted'] > 0 or exit('nobody made room')"
	stop crowd
}
crowded_process() {
	# Subscribers never make room: the process that is full of them is told, others are not.
	python3 - "$work/rtvsd.sock" "$rtvsctl" <<-'EOF'
		import json, socket, sys
		def connect():
		    conn = socket.socket(socket.AF_UNIX)
		    conn.settimeout(10)
		    conn.connect(sys.argv[1])
		    return conn, conn.makefile("rw")
		conns = []
		for i in range(32):
		    conn, f = connect()
		    f.write('{"jsonrpc":"2.0","id":1,"method":"events.subscribe"}\n'); f.flush()
		    assert json.loads(f.readline())["result"] is True, i
		    conns.append((conn, f))
		conn, f = connect()
		answer = json.loads(f.readline())
		assert answer["error"]["message"] == "too many clients of one process", answer
		assert f.readline() == ""
		import subprocess
		subprocess.run([sys.argv[2], "-s", sys.argv[1], "bridge", "list"], check=True, timeout=10)
	EOF
}

events_end() {
	# When the daemon ends, and when a write is impossible; there is no waiting for missing
	# output.
	local rc=0
	daemon_start mortal
	"$rtvsctl" -s "$work/mortal.sock" events >"$work/events.out" 2>&1 &
	is_subscribed() { [ "$(ctl_of mortal -j system info | json 'd["control"]["clients"]')" -gt 1 ]; }
	ctl_of() { "$rtvsctl" -s "$work/$1.sock" "${@:2}"; }
	wait_for 10 is_subscribed
	stop mortal KILL
	wait $! || rc=$?
	expect "status" 3 $rc
	expect_match 'the connection to rtvswitchd broke' "$(cat "$work/events.out")"
	expect_fails "no event is called 'port.ad'; there are port.add" ctl events port.ad
}
output_is_written() {
	# By every program, however little it prints; a reader that has enough is no failure.
	local bin=$top/${RTVS_BUILD:-build/gcc}/src program rc
	for program in "$rtvsctl" "$rtvswitchd" "$bin/sim/rtvs-sim" "$bin/segment/rtvs-vni" "$bin/move/rtvs-move" "$bin/wake/rtvs-wake" "$bin/virt/rtvs-virt" "$bin/virt/rtvs-hook"; do
		[ -x "$program" ] || continue
		for option in --help --version; do
			! "$program" $option >/dev/full || fail "$program $option: to a full disk"
			! "$program" $option >&- || fail "$program $option: nowhere"
			rc=0
			"$program" $option | true || rc=$?
			[ "$rc" = 0 ] || [ "$rc" = 141 ] || fail "$program $option: to nobody: $rc"
		done
	done
	expect_fails 'the output could not be written: No space' eval 'ctl config dump >/dev/full'
	expect_fails 'the output could not be written' eval 'ctl bridge list >&-'
	ctl port list <&- >/dev/null
}
stats_and_top() {
	ctl stats get
	ctl -j stats get | json 'd["total"]["rx_pkts"]'
	ctl top count=1
	# On a terminal, q ends it.
	timeout 20 python3 - "$rtvsctl" -s "$work/rtvsd.sock" top <<-'EOF'
		import os, pty, sys
		pid, fd = pty.fork()
		if not pid:
		    os.execv(sys.argv[1], ["rtvsctl", *sys.argv[2:]])
		text = b""
		while b"WORKERS" not in text:
		    text += os.read(fd, 65536)
		os.write(fd, b"q")
		try:
		    while os.read(fd, 65536):
		        pass
		except OSError:
		    pass
		sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
	EOF
	expect_match 'port.add' "$(ctl -j rpc discover)"
}

metrics_are_served() {
	get() { curl -s -m 5 --unix-socket "$work/metrics.sock" "$@"; }
	get http://x/metrics >"$work/metrics.txt"
	expect_match 'rtvs_build_info' "$(cat "$work/metrics.txt")"
	expect "last line" '# EOF' "$(tail -n 1 "$work/metrics.txt")"
	expect "another page" 404 "$(get -o /dev/null -w '%{http_code}' http://x/other)"
	expect "POST" 405 "$(get -o /dev/null -w '%{http_code}' -d x http://x/metrics)"
}

run_case "malformed requests get an error" malformed_json
run_case "JSON too deep" too_deep
run_case "line too long" too_long
run_case "unknown method" unknown_method
run_case "unknown parameter" unknown_parameter
run_case "wrong units and ranges name the parameter" wrong_units
run_case "bad names" bad_names
run_case "names and sockets that are taken" duplicate_names
run_case "things that do not exist; nothing is left" missing_things
run_case "usage errors end with 2" usage_is_two
run_case "refusals end with 1" refusal_is_one
run_case "batch with a notification" batch_and_notification
run_case "the monitors' socket refuses changes" monitors_only_read
run_case "events arrive" events_arrive
run_case "events end with the daemon" events_end
run_case "output that cannot be written is no success" output_is_written
run_case "a crowd of clients keeps nobody out" many_clients
run_case "limit of a process's clients" crowded_process
run_case "stats, top, discover" stats_and_top
run_case "metrics over HTTP" metrics_are_served
run_case "dump, restart, dump: identical" dump_is_complete
run_case "files are checked and applied" files_are_checked_and_applied
