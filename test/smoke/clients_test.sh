#!/usr/bin/env bash
# Other programs than rtvsctl: the Python client, and one in C that is built with the files that
# `meson install` puts on a machine.
. "$(dirname "$0")/lib.sh"

daemon_start rtvsd
DESTDIR=$work/root meson install -C "$build" --no-rebuild --quiet
python_dir=$(dirname "$(find "$work/root" -name rtvswitch.py)")

# A script on standard input, which has r, the module, and client, a connection.
python() { # [SOCKET]
	PYTHONPATH=$python_dir PYTHONDONTWRITEBYTECODE=1 timeout 60 python3 -c '
import sys
import rtvswitch as r
client = r.Client(sys.argv[1], timeout=30)
exec(compile(sys.stdin.read(), "case", "exec"))' "${1:-$work/rtvsd.sock}"
}

python_is_found_where_it_is_installed() {
	expect_match " ${python_dir#"$work/root"} " " $(python3 -c 'import sys; print(*sys.path)') "
}
python_controls() {
	python <<-END
		assert client.bridge.add("br0", mac_limit=64) is True
		client.port.add("vm1", bridge="br0", socket="$work/vm1.sock", deadline="2ms", min_rate=20_000_000, burst="15kB",
		                allowed_macs=["52:54:00:00:00:01"])
		port = client.port.show("vm1")["config"]
		assert port["deadline"] == "2ms" and port["min_rate"] == "20Mbit" and port["allowed_macs"] == ["52:54:00:00:00:01"], port
		client.port.set("vm1", deadline="1ms", isolated=True)
		assert [p["name"] for p in client.port.list()] == ["vm1"]
		client.port.del_("vm1")
		assert client.call("port.list") == []
		client.bridge.del_("br0")
		with r.Client("$work/rtvsd.sock") as other:
		    assert other.system.info()["pid"]
	END
}
python_has_every_method() {
	python <<-END
		import inspect
		for m in client.rpc.discover():
		    noun, verb = m["method"].split(".")
		    f = getattr(getattr(client, noun), verb, None) or getattr(getattr(client, noun), verb + "_")
		    names = [name.rstrip("_") for name in inspect.signature(f).parameters]
		    assert sorted(names) == sorted(p["name"] for p in m["params"]), m["method"]
		    assert m["help"] in " ".join(f.__doc__.split()), f.__doc__
		    assert all(p["help"] in " ".join(f.__doc__.split()) for p in m["params"]), f.__doc__
	END
}
python_refusal_is_an_exception() {
	python <<-END
		try:
		    client.port.show("nobody")
		except r.Refused as e:
		    assert e.method == "port.show" and "nobody" in e.message and e.data["errno"] == "ENOENT", (e, e.data)
		else:
		    raise SystemExit("not refused")
		try:
		    client.port.add("x", mtu=9601)
		except r.Refused as e:
		    assert e.code == -32602 and "mtu" in str(e), e
		else:
		    raise SystemExit("not refused")
		assert client.port.list() == []
	END
}
# By Python itself, before anything is sent.
python_knows_no_such_parameter() {
	python <<-END
		client._socket.close()
		for wrong in (lambda: client.port.add("x", colour="red"), lambda: client.port.add("x", "br0"),
		              lambda: client.port.add(), lambda: client.log.set()):
		    try:
		        wrong()
		    except TypeError as e:
		        print(e)
		    else:
		        raise SystemExit("not refused")
	END
}
python_gets_events() {
	python <<-END
		events = client.listen("bridge.*", timeout=0)
		assert list(events) == []
		client.bridge.add("br1")
		client.port.list()
		event = client.event(30)
		assert event.name == "bridge.add" and event.params["bridge"] == "br1", event
		client.bridge.del_("br1")
		assert client.event(30).name == "bridge.del"
		client.events.unsubscribe()
		client.bridge.add("br1")
		client.bridge.del_("br1")
		assert client.event(0) is None
	END
}
python_sees_the_daemon_go() {
	daemon_start gone
	python "$work/gone.sock" <<-END
		client.system.stop()
		try:
		    while True:
		        client.port.list()
		except r.Unreachable as e:
		    print(e)
		try:
		    client.port.list()
		except r.Unreachable as e:
		    print(e)
	END
	wait_for 10 is_stopped gone
}
python_does_not_wait_for_ever() {
	start mute socat -u "UNIX-LISTEN:$work/mute.sock" OPEN:/dev/null
	exists() { [ -S "$work/mute.sock" ]; }
	wait_for 10 exists
	python "$work/mute.sock" <<-END
		client.timeout = 0.2
		try:
		    client.port.list()
		except r.TimedOut:
		    pass
		else:
		    raise SystemExit("answered")
	END
	stop mute
}
python_says_that_nobody_is_there() {
	expect_fails 'rtvswitch.Unreachable: cannot reach rtvswitchd at .*nobody.sock: No such file' python "$work/nobody.sock" </dev/null
}

# As somebody builds a program with the installed files.
options=$(meson introspect --buildoptions "$build")
option() { json "next(o['value'] for o in d if o['name'] == '$1')" <<<"$options"; }
example=$work/root$(option prefix)/share/doc/rtvswitch/examples/clients/late-ports.c
example_is_built() {
	local pc flags cc=cc sanitize
	pc=$(find "$work/root" -name rtvswitch.pc)
	flags=$(PKG_CONFIG_PATH=$(dirname "$pc") PKG_CONFIG_SYSROOT_DIR=$work/root pkg-config --cflags --libs rtvswitch)
	sanitize=$(option b_sanitize)
	[ "$sanitize" = none ] || cc="clang -fsanitize=$sanitize"
	# shellcheck disable=SC2086 # words
	$cc -Wall -Wextra -Werror -o "$work/late-ports" "$example" $flags
}
node_is_built() {
	local pc flags cc=cc sanitize
	pc=$(find "$work/root" -name rtvswitch-segment.pc)
	flags=$(PKG_CONFIG_PATH=$(dirname "$pc") PKG_CONFIG_SYSROOT_DIR=$work/root pkg-config --cflags --libs rtvswitch-segment)
	sanitize=$(option b_sanitize)
	[ "$sanitize" = none ] || cc="clang -fsanitize=$sanitize"
	# shellcheck disable=SC2086 # words
	$cc -Wall -Wextra -Werror -o "$work/segment-echo" "$(dirname "$example")/segment-echo.c" $flags
}
node_answers() {
	local vni=$build/src/segment/rtvs-vni
	"$vni" create /dev/shm/segment --size 4M
	start echo "$work/segment-echo" /dev/shm/segment
	wait_for 10 grep -q '^node 0 of' "$work/echo.log"
	expect_fails echo "$work/segment-echo" /dev/shm/segment # the name is taken
	netns_add node
	ns node ip tuntap add dev seg0 mode tap
	ip -n node address add 192.0.2.1/24 dev seg0
	ip -n node link set dev seg0 up
	ip -n node neighbor add 192.0.2.2 lladdr 02:65:63:68:6f:01 dev seg0
	start node ip netns exec node "$vni" join /dev/shm/segment --tap seg0 --name node
	wait_for 10 grep -q 'joined as node' "$work/node.log"
	ns node ping -c 3 -i 0.1 -W 1 192.0.2.2 || : # its own requests come back
	answered() { [ "$(ip -n node -j -s link show seg0 | json 'd[0]["stats64"]["rx"]["packets"]')" -ge 3 ]; }
	wait_for 10 answered
	stop node
	stop echo
	rm /dev/shm/segment
}
example_counts_what_was_late() {
	ctl bridge add br0
	tap_port t1 10.0.0.1/24 bridge=br0 deadline=1ms
	tap_port t2 10.0.0.2/24 bridge=br0 rate=1Mbit
	wait_for 10 can_ping t1 10.0.0.2
	ns t1 ping -q -c 30 -i 0.002 -s 1300 -W 2 10.0.0.2 || :
	wait_for 10 late_ports_agrees
}
# A packet of the kernel's own (neighbour discovery) may be counted between the two answers.
late_ports_agrees() {
	local missed
	missed=$(ctl -j flow list | json 'sum(f["missed_pkts"] for f in d if f["from"] == "t1")')
	[ "$missed" -gt 0 ] || return 1
	"$work/late-ports" "$work/rtvsd.sock" | tee /dev/stderr | has_line -x "t1: deadline 1ms, $missed packets missed it"
}
example_follows_events() {
	start follow stdbuf -oL "$work/late-ports" "$work/rtvsd.sock" --events
	is_in_log() { grep -q "$1" "$work/follow.log"; }
	wait_for 10 is_in_log '^listening'
	ctl bridge add br2
	wait_for 10 is_in_log '^bridge.add .*br2'
	ctl bridge del br2
	stop follow
}
example_says_what_is_wrong() {
	expect_fails 'nobody.sock: No such file' "$work/late-ports" "$work/nobody.sock"
	daemon_start gone
	start left stdbuf -oL "$work/late-ports" "$work/gone.sock" --events
	wait_for 10 grep -q '^listening' "$work/left.log"
	stop gone
	wait_for 10 grep -q 'events: Connection reset' "$work/left.log"
}
# A library has no business on somebody's terminal, and no names but its own.
library_is_silent() {
	local archive
	for archive in librtvswitch.a librtvs-segment.a; do
		archive=$(find "$work/root" -name $archive)
		expect "ways to say something" "" "$(nm -u "$archive" | grep -wE 'std(err|out)|(v?f?printf|f?puts|perror|syslog|__fprintf_chk|__printf_chk)' || :)"
		expect "foreign symbols" "" "$(nm -g --defined-only "$archive" | awk 'NF == 3 && $3 !~ /^(rtvs_client|rtvs_segment|_)_/ {print $3}')"
	done
}

run_case "Python finds its module where it is installed" python_is_found_where_it_is_installed
run_case "Python controls the switch" python_controls
run_case "Python has every method, with its documentation" python_has_every_method
run_case "Python: refusals are exceptions" python_refusal_is_an_exception
run_case "Python: unknown parameters are never sent" python_knows_no_such_parameter
run_case "Python: events" python_gets_events
run_case "Python does not wait for ever" python_does_not_wait_for_ever
run_case "Python: nobody at the socket" python_says_that_nobody_is_there
run_case "Python: the daemon goes" python_sees_the_daemon_go
run_case "C: the example is built with pkg-config" example_is_built
run_case "C: a node of a segment is built with pkg-config" node_is_built
run_case "C: the node of a segment answers frames" node_answers
run_case "C: the example counts what was late" example_counts_what_was_late
run_case "C: the example follows events" example_follows_events
run_case "C: the example says what is wrong" example_says_what_is_wrong
run_case "C: the library is silent and has its own names only" library_is_silent
