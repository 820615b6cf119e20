#!/usr/bin/env bash
# rtvswitchd as a service of a systemd of its own, which is killed and restarted under Linux guests
# that ping each other: their link stays up. One has packed rings and no indirect descriptors, so
# that its buffers are chains.
. "$(dirname "$0")/lib.sh"
. "$top/test/smoke/systemd.sh"

options=$(meson introspect --buildoptions "$build")
# The sandbox's filter ends what sanitizers call.
[ "$(json "next(o['value'] for o in d if o['name'] == 'b_sanitize')" <<<"$options")" = none ] || exit 0
place_install
place_unit rtvswitch-hugepages.service "StandardOutput=append:$work/service.log" StandardError=inherit
place_unit rtvswitchd.service "StandardOutput=append:$work/service.log" StandardError=inherit
place_start
inside systemd-sysusers "$prefix/lib/sysusers.d/rtvswitch.conf"
inside systemd-tmpfiles --create "$prefix/lib/tmpfiles.d/rtvswitch.conf"
inside sh -c 'echo "RTVSWITCHD_OPTIONS=--no-huge --idle adaptive" >/etc/default/rtvswitchd
	echo "[{\"method\": \"bridge.add\", \"params\": {\"name\": \"br0\"}},
		{\"method\": \"port.add\", \"params\": {\"name\": \"a\", \"bridge\": \"br0\", \"socket\": \"$1/a.sock\", \"packed\": true}},
		{\"method\": \"port.add\", \"params\": {\"name\": \"b\", \"bridge\": \"br0\", \"socket\": \"$1/b.sock\"}}]" >/etc/rtvswitch/rtvswitch.json' - "$work"
chmod 755 "$work"
inside systemctl start rtvswitchd
ctl() { inside "$prefix/bin/rtvsctl" "$@"; }
show() { inside systemctl show --value --property "$1" rtvswitchd; }

vm_start a "nic=$work/a.sock" mac=52:54:00:00:00:0a ip=10.0.0.11/24 packed=on with=indirect_desc=off
vm_start b "nic=$work/b.sock" mac=52:54:00:00:00:0b ip=10.0.0.12/24
wait_guests a b
wait_for 20 guest_pings a 10.0.0.12

carriers() { local g; for g in a b; do in_guest $g 10 'cat /sys/class/net/eth0/carrier_changes'; done; } # as often as links changed
is_another() { [ "$(show MainPID)" != "$1" ] && [ "$(show ActiveState)" = active ]; }
has_stored() { [ "$(show NFileDescriptorStore)" -ge 12 ]; }
pinging() { in_guest a 10 'ping -q -i 0.05 10.0.0.12 >/tmp/ping 2>&1 & echo $! >/tmp/ping.pid'; }
pinged() { in_guest a 10 'kill -INT $(cat /tmp/ping.pid); sleep 0.2; cat /tmp/ping'; }

links_stay_up() { # COMMAND...: that ends the daemon
	local before pid lost
	wait_for 20 has_stored
	before=$(carriers)
	pinging
	pid=$(show MainPID)
	"$@"
	wait_for 30 is_another "$pid"
	wait_for 20 guest_pings a 10.0.0.12
	wait_for 20 guest_pings b 10.0.0.11
	lost=$(pinged)
	has_line 'packets transmitted' <<<"$lost" && echo "${lost##*---}"
	expect "changes of links" "$before" "$(carriers)"
	is_port_state a disconnects 0
	is_port_state b disconnects 0
}

# The program in the file takes over: not one packet is lost, and the service is the same.
has_ended() { in_guest a 10 'cat /tmp/ping' | has_line 'packets transmitted'; }
nothing_is_lost() {
	local before pid restarts
	before=$(carriers)
	restarts=$(show NRestarts)
	in_guest a 10 'ping -q -c 100 -i 0.05 -W 10 10.0.0.12 >/tmp/ping 2>&1 &'
	for _ in 1 2 3; do
		pid=$(show MainPID)
		inside systemctl reload rtvswitchd
		is_another "$pid" || fail "systemd knows process $(show MainPID) as the service, state $(show ActiveState)"
		expect "process" "$(show MainPID)" "$(ctl -j system info | json 'd["pid"]')"
	done
	wait_for 30 has_ended
	expect_match '100 packets transmitted, 100 (packets )?received' "$(in_guest a 10 'cat /tmp/ping')"
	expect "changes of links" "$before" "$(carriers)"
	expect "restarts" "$restarts" "$(show NRestarts)"
	is_port_state a disconnects 0
}
# Nor does a reload that is refused.
refused_reload_changes_nothing() {
	local pid
	pid=$(show MainPID)
	inside sh -c 'mkdir -p /run/systemd/system/rtvswitchd.service.d
		printf "[Service]\nExecReload=\nExecReload=%s/bin/rtvsctl system upgrade binary=/bin/false\n" "$1" >/run/systemd/system/rtvswitchd.service.d/case.conf
		systemctl daemon-reload' - "$prefix"
	expect_fails 'failed|control process' inside systemctl reload rtvswitchd
	expect "process" "$pid" "$(show MainPID)"
	expect "state" active "$(show ActiveState)"
	guest_pings a 10.0.0.12
}

run_case "links of guests stay up when the daemon is killed" links_stay_up inside systemctl kill --signal=KILL rtvswitchd
run_case "and once more" links_stay_up inside systemctl kill --signal=KILL rtvswitchd
run_case "and when it is restarted" links_stay_up inside systemctl restart rtvswitchd
run_case "nothing is lost when it is reloaded" nothing_is_lost
run_case "and the process that took over may be killed" links_stay_up inside systemctl kill --signal=KILL rtvswitchd
run_case "a reload that is refused changes nothing" refused_reload_changes_nothing
