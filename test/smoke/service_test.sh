#!/usr/bin/env bash
# rtvswitchd as the service that `meson install` makes, started by a systemd of its own: in its
# sandbox, and with the rights of its files. A system call that is missing in the unit's list kills
# the daemon here, instead of failing.
. "$(dirname "$0")/lib.sh"
. "$top/test/smoke/systemd.sh"

options=$(meson introspect --buildoptions "$build")
option() { json "next(o['value'] for o in d if o['name'] == '$1')" <<<"$options"; }
# Sanitizers make system calls of their own, which the service's filter ends: this test is for
# builds without them.
[ "$(option b_sanitize)" = none ] || exit 0
place_install

# Logs are files. DPDK asks for iopl at each start and goes on without.
place_unit rtvswitch-hugepages.service "StandardOutput=append:$work/service.log" StandardError=inherit
place_unit rtvswitchd.service "StandardOutput=append:$work/service.log" StandardError=inherit SystemCallErrorNumber=kill \
	SystemCallFilter=~iopl:EPERM TimeoutStopSec=20
place_start

show() { inside systemctl show --value --property "$1" "${2:-rtvswitchd}"; }
is_shown() { [ "$(show "$1" "${3:-}")" = "$2" ]; } # PROPERTY VALUE [UNIT]
ctl() { inside "$prefix/bin/rtvsctl" "$@"; }
is_serving() { if [ "$1" = far ]; then inside "$prefix/bin/rtvsctl" -s "$work/far.sock" port list; else ctl port list; fi; }
drop_in() { # NAME LINE...: of the section Service
	printf '%s\n' '[Service]' "${@:2}" | inside tee "/run/systemd/system/rtvswitchd.service.d/$1.conf"
	inside systemctl daemon-reload
}
no_drop_in() { inside rm -f "/run/systemd/system/rtvswitchd.service.d/$1.conf"; inside systemctl daemon-reload; }
after_failure() {
	inside systemctl status --no-pager --lines=0 rtvswitchd || :
	inside systemctl stop rtvswitchd
	inside systemctl reset-failed rtvswitchd
	inside sh -c 'rm -f /run/systemd/system/rtvswitchd.service.d/case.conf; echo [] >/etc/rtvswitch/rtvswitch.json
		systemctl daemon-reload; systemctl start rtvswitchd'
	stop far KILL
}

groups_and_files_are_made() {
	inside systemd-sysusers "$prefix/lib/sysusers.d/rtvswitch.conf"
	inside systemd-tmpfiles --create "$prefix/lib/tmpfiles.d/rtvswitch.conf"
	inside getent group rtvswitch rtvswitch-vhost
	expect "first configuration" "[]" "$(inside cat /etc/rtvswitch/rtvswitch.json)"
	inside grep -q '^RTVSWITCHD_OPTIONS="--idle adaptive"' /etc/default/rtvswitchd
	# What is there stays.
	inside sh -c 'echo "RTVSWITCHD_OPTIONS=--no-huge --idle adaptive --metrics 127.0.0.1:9475" >/etc/default/rtvswitchd'
	inside systemd-tmpfiles --create "$prefix/lib/tmpfiles.d/rtvswitch.conf"
	inside grep -q metrics /etc/default/rtvswitchd
}

service_starts() {
	inside sh -c 'echo "RTVSWITCHD_OPTIONS=--no-huge --idle adaptive --metrics 127.0.0.1:9475" >/etc/default/rtvswitchd'
	inside systemctl start rtvswitchd
	expect "state" active "$(show ActiveState)"
	ctl bridge add br0
}

is_in_the_sandbox() {
	local status
	status=$(inside cat "/proc/$(show MainPID)/status")
	expect_match $'NoNewPrivs:\t1' "$status"
	expect_match $'Seccomp:\t2' "$status"
	# CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, NET_ADMIN 12, NET_RAW 13, IPC_LOCK 14.
	expect_match $'CapEff:\t000000000000700b' "$status"
	expect_match $'CapBnd:\t000000000000700b' "$status"
}

# The limits are enough, unless the machine of this test has lower ones itself: then CAP_SYS_NICE
# shows that the sandbox permits it.
worker_priority() { ctl -j worker list | json 'd[0]["priority"]'; }
has_limit() { inside grep -q '^Max realtime priority *2 ' "/proc/$(show MainPID)/limits"; }
n_refusals() { grep -c 'the kernel refuses' "$work/service.log" || :; }
restart_with() { # LINE...
	drop_in case "$@"
	inside systemctl reset-failed rtvswitchd
	inside systemctl restart rtvswitchd
}
workers_have_real_time_priority() {
	if ! has_limit; then
		expect "without the right" normal "$(worker_priority)"
		restart_with CapabilityBoundingSet=CAP_SYS_NICE
	fi
	expect "priority" fifo "$(worker_priority)"
	no_drop_in case
	inside systemctl restart rtvswitchd
}
forbidden_priority_is_told_once() {
	local before
	before=$(n_refusals)
	restart_with CapabilityBoundingSet=CAP_SYS_NICE RestrictRealtime=yes
	expect "priority" nice "$(worker_priority)"
	expect "refusals" $((before + 1)) "$(n_refusals)"
	no_drop_in case
	inside systemctl restart rtvswitchd
}

# Ports of all kinds with packets through them, a tunnel's uplink, features that make threads and
# files.
tap_works() {
	tap_port t1 10.0.0.1/24 bridge=br0 deadline=2ms min_rate=1Mbit burst=15kB
	tap_port t2 10.0.0.2/24 bridge=br0 rate=100Mbit
	wait_for 10 can_ping t1 10.0.0.2
}
# Another daemon, as a guest and as another host: not a service.
far() { inside "$prefix/bin/rtvsctl" -s "$work/far.sock" "$@"; }
far_start() {
	start far nsenter --target "$systemd" --mount --pid --cgroup --root -- "$prefix/sbin/rtvswitchd" --socket "$work/far.sock" --no-huge --idle adaptive
	wait_for 30 is_serving far
	far bridge add br0
	far port add t4 type=ethdev devargs=net_tap8,iface=t4 bridge=br0
	netns_add t4
	netns_give t4 t4 10.0.0.4/24
}
vhost_works() {
	ctl port add v1 bridge=br0
	far_start
	far port add up type=ethdev devargs=net_virtio_user0,path=/run/rtvswitch/v1.sock,queues=1 bridge=br0
	wait_for 20 is_port_state v1 link up
	wait_for 20 can_ping t1 10.0.0.4
	ns t4 ping -c 10 -i 0.02 -W 1 10.0.0.1
	far system stop
	wait_for 10 is_port_state v1 link down
	is_conserved
}
segment_works() {
	inside "$prefix/bin/rtvs-vni" create /dev/shm/segment --group rtvswitch
	ctl port add seg bridge=br0 type=segment path=/dev/shm/segment
	far_start
	far port add fseg bridge=br0 type=segment path=/dev/shm/segment
	forget_neighbours t1
	wait_for 20 can_ping t1 10.0.0.4
	ns t4 ping -c 10 -i 0.02 -W 1 10.0.0.1
	far system stop
	wait_for 10 is_port_state seg nodes 1
	ctl port del seg
	inside rm /dev/shm/segment
	is_conserved
}
# The socket of a QEMU that runs as somebody else, where only it may go.
connects_to_another_users_socket() {
	inside install -d -m 700 -o 64055 -g 64055 /run/qemu
	start qemu nsenter --target "$systemd" --mount --root -- setpriv --reuid 64055 --regid 64055 --clear-groups socat -u UNIX-LISTEN:/run/qemu/v2.sock,fork OPEN:/dev/null
	inside_exists() { inside test -S "$1"; }
	wait_for 5 inside_exists /run/qemu/v2.sock
	ctl port add v2 mode=connect socket=/run/qemu/v2.sock bridge=br0
	wait_for 10 is_port_state v2 connected true
	ctl port del v2
	stop qemu
}
af_packet_works() {
	ip link add fx1 type veth peer name px1 || skip "no veth"
	netns_add x1
	netns_give x1 px1 10.0.0.11/24
	ip link set fx1 up
	ns x1 ethtool -K px1 tx off
	ctl port add x1 type=ethdev devargs=net_af_packet0,iface=fx1 bridge=br0
	wait_for 10 can_ping t1 10.0.0.11
	ctl port del x1
	is_conserved
}
# Its programs take more than anything else here, so it has a drop-in of its own.
af_xdp_wants_its_drop_in() {
	ip link show fx1 || skip "no veth"
	expect_fails 'devargs' ctl port add x1 type=ethdev devargs=net_af_xdp0,iface=fx1
	inside cp "$prefix/share/rtvswitch/af-xdp.conf" /run/systemd/system/rtvswitchd.service.d/case.conf
	inside systemctl daemon-reload
	inside systemctl restart rtvswitchd
	ctl bridge list | has_line br0 || ctl bridge add br0
	tap_port t3 10.0.0.3/24 bridge=br0
	ctl port add x1 type=ethdev devargs=net_af_xdp0,iface=fx1 bridge=br0
	wait_for 10 can_ping t3 10.0.0.11
	ctl port del x1
	is_conserved
	no_drop_in case
	inside systemctl restart rtvswitchd
}
tunnel_works() {
	inside sh -c "umask 077; echo 1 $(od -An -N32 -tx1 /dev/urandom | tr -d ' \n') >/etc/rtvswitch/key"
	netns_add lan
	ip -n lan link add lan type bridge
	ip -n lan link set lan up mtu 1700
	far_start
	ctl port add up1 type=ethdev devargs=net_tap12,iface=up1 mtu=1700 address=192.0.2.1/24
	far port add up2 type=ethdev devargs=net_tap13,iface=up2 mtu=1700 address=192.0.2.2/24
	for n in 1 2; do
		netns_give lan up$n
		ip -n lan link set up$n address 02:00:00:09:00:0$n # the daemon has the one that it was made with
		ip -n lan link set up$n master lan mtu 1700
	done
	ctl port add tun type=geneve uplink=up1 remote=192.0.2.2 vni=1 bridge=br0 key_file=/etc/rtvswitch/key clock=peer
	far port add tun type=geneve uplink=up2 remote=192.0.2.1 vni=1 bridge=br0 key_file=/etc/rtvswitch/key clock=peer
	far port set t4 deadline=1s
	is_known() { [ "$(ctl -j peer list | json 'd[0]["known"] and d[0]["clock_known"]')" = true ]; }
	wait_for 20 is_known
	forget_neighbours t1
	forget_neighbours t4
	wait_for 10 can_ping t1 10.0.0.4
	# Packets wait 11 ms each for their link, and come late: the other host says so.
	ctl port set t1 force=true
	ctl port set up1 rate=1Mbit
	ns t1 ping -q -c 30 -i 0.002 -s 1300 -W 2 10.0.0.4 || :
	ctl port set up1 rate=0
	ctl port set t1 force=false
	has_flows() { fetch && grep -q ^rtvs_remote_flow_delay_seconds_bucket "$work/page.txt" && grep -q ^rtvs_feedback_step "$work/page.txt"; }
	wait_for 20 has_flows
	far system stop
	is_conserved
}
fetch() { can_ping t1 10.0.0.4; curl -s -m 5 http://127.0.0.1:9475/metrics >"$work/page.txt"; }
capture_works() {
	ctl capture start t1 file=/var/lib/rtvswitch/t1.pcapng filter='icmp or arp'
	ns t2 ping -c 3 -i 0.05 -W 1 10.0.0.1
	ctl capture stop t1
	expect_match 'ICMP echo' "$(inside tcpdump -nr /var/lib/rtvswitch/t1.pcapng 2>/dev/null)"
	# To a terminal or a pipe, which goes through /tmp.
	start capture nsenter --target "$systemd" --mount --root -- sh -c "exec $prefix/bin/rtvsctl capture t1 write=- count=2 >$work/t1.pcapng"
	has_capture() { [ "$(ctl -j capture list | json 'len(d)')" = 1 ]; }
	wait_for 5 has_capture
	ns t2 ping -c 3 -i 0.05 -W 1 10.0.0.1
	wait_for 10 is_stopped capture
	expect "packets in the file" 2 "$(tcpdump --count -nr "$work/t1.pcapng" 2>/dev/null | awk '{print $1}')"
	for file in /usr/t1.pcapng /etc/t1.pcapng /var/t1.pcapng; do
		expect_fails 'Read-only file system' ctl capture start t1 "file=$file"
	done
	expect_fails 'denied|No such file|Read-only' ctl capture start t1 file=/root/t1.pcapng
}
config_is_saved() {
	ctl config save file=/etc/rtvswitch/rtvswitch.json
	inside grep -q net_tap0 /etc/rtvswitch/rtvswitch.json
	inside sh -c 'echo [] >/etc/rtvswitch/rtvswitch.json'
}
forbidden_call_kills() {
	drop_in case 'SystemCallFilter=~timerfd_create' # called before it is ready
	inside systemctl restart rtvswitchd && fail "it started"
	expect "signal" 31 "$(show ExecMainStatus)" # SIGSYS
	no_drop_in case
	inside systemctl reset-failed rtvswitchd
	inside systemctl start rtvswitchd
}

as() { inside setpriv --reuid 12345 --regid 12345 "$@"; } # GROUPS-OPTION COMMAND...
can_connect() { # SOCKET OPTION: with these groups
	as "$2" socat -u OPEN:/dev/null "UNIX-CONNECT:$1"
}
sockets_have_their_groups() {
	local control vhost
	control=$(inside getent group rtvswitch | cut -d: -f3)
	vhost=$(inside getent group rtvswitch-vhost | cut -d: -f3)
	ctl bridge list | has_line br0 || ctl bridge add br0
	ctl port list | has_line v1 || ctl port add v1 bridge=br0
	as "--groups=$control" "$prefix/bin/rtvsctl" port list
	can_connect /run/rtvswitch/v1.sock "--groups=$vhost"
	expect_fails denied can_connect /run/rtvswitch/control.sock --clear-groups
	expect_fails denied can_connect /run/rtvswitch/v1.sock --clear-groups
	# A guest's QEMU is no operator, and an operator no guest.
	expect_fails denied can_connect /run/rtvswitch/control.sock "--groups=$vhost"
	expect_fails denied can_connect /run/rtvswitch/v1.sock "--groups=$control"
	expect_fails denied as "--groups=$control,$vhost" touch /run/rtvswitch/mine
	expect_fails denied as "--groups=$control,$vhost" cat /etc/rtvswitch/rtvswitch.json
}

wrong_configuration_is_not_tried_again() {
	inside systemctl stop rtvswitchd
	inside sh -c 'echo "[{\"method\": \"no.such\"}]" >/etc/rtvswitch/rtvswitch.json'
	inside systemctl start rtvswitchd && fail "it started"
	sleep 3 # it would have been started again
	expect "state" failed "$(show ActiveState)"
	expect "status" 2 "$(show ExecMainStatus)"
	expect "restarts" 0 "$(show NRestarts)"
	inside sh -c 'echo [] >/etc/rtvswitch/rtvswitch.json'
	inside systemctl reset-failed rtvswitchd
	inside systemctl start rtvswitchd
}
kill_it() { inside systemctl kill --signal=KILL rtvswitchd; }
is_another() { [ "$(show MainPID)" != "$1" ] && [ "$(show ActiveState)" = active ]; }
crash_is_restarted_until_it_is_too_much() {
	local pid
	inside systemctl reset-failed rtvswitchd
	pid=$(show MainPID)
	kill_it
	wait_for 20 is_another "$pid"
	for _ in 1 2 3 4 5; do
		pid=$(show MainPID)
		[ "$pid" != 0 ] || break
		kill_it
		is_over() { is_another "$pid" || [ "$(show ActiveState)" = failed ]; }
		wait_for 20 is_over
	done
	expect "state" failed "$(show ActiveState)"
	inside systemctl reset-failed rtvswitchd
	inside systemctl start rtvswitchd
}
# systemd removes the directory with the kept configuration at a stop, and at nothing else.
has_k1() { ctl port show k1 >/dev/null 2>&1; }
configuration_outlives_all_but_a_stop() {
	local pid
	inside systemctl reset-failed rtvswitchd
	ctl port add k1
	pid=$(show MainPID)
	kill_it
	wait_for 20 is_another "$pid"
	wait_for 20 has_k1
	inside systemctl restart rtvswitchd
	has_k1 || fail "a restart lost a port"
	expect "mode" "600 root" "$(inside stat -c '%a %U' /run/rtvswitch/control.sock.running)"
	ctl port del k1
	inside systemctl restart rtvswitchd
	! has_k1 || fail "a port came back"
	ctl port add k1
	inside sh -c 'echo "[{\"method\": \"bridge.add\", \"params\": {\"name\": \"edited\"}}]" >/etc/rtvswitch/rtvswitch.json'
	inside systemctl restart rtvswitchd
	! has_k1 || fail "the edited file was not applied"
	ctl bridge show edited
	ctl port add k1
	inside systemctl stop rtvswitchd
	inside systemctl start rtvswitchd
	! has_k1 || fail "a port outlived a stop"
	inside sh -c 'echo [] >/etc/rtvswitch/rtvswitch.json'
	inside systemctl reset-failed rtvswitchd
	inside systemctl restart rtvswitchd
}
watchdog_is_fed() {
	local before
	expect "its time" 10s "$(show WatchdogUSec)"
	before=$(show WatchdogTimestampMonotonic)
	is_later() { [ "$(show WatchdogTimestampMonotonic)" != "$before" ]; }
	wait_for 10 is_later
}

names_are_exported() {
	[ -s "$work/page.txt" ] || fail "the tunnel's case left no page"
	python3 "$top/test/smoke/metric_names.py" "$work/page.txt" "$work/root$prefix/share/rtvswitch/prometheus-alerts.yml" \
		"$work/root$prefix/share/rtvswitch/grafana-dashboard.json"
}
wrong_names_are_seen() {
	sed 's/rtvs_buffers_free/rtvs_buffers_left/' "$top/conf/prometheus-alerts.yml" >"$work/wrong.yml"
	expect_fails 'rtvs_buffers_left' python3 "$top/test/smoke/metric_names.py" "$work/page.txt" "$work/wrong.yml"
	sed 's/queue_full/queue_fool/' "$top/conf/prometheus-alerts.yml" >"$work/wrong.yml"
	expect_fails 'reason queue_fool' python3 "$top/test/smoke/metric_names.py" "$work/page.txt" "$work/wrong.yml"
}

# systemd aborts a daemon that hangs and starts it again. With the configuration file its ports
# exist again, and the guest, which is connected to the socket, reconnects by itself.
hung_daemon_is_restarted() {
	local pid
	inside systemctl reset-failed rtvswitchd
	inside sh -c "cat >/etc/rtvswitch/rtvswitch.json" <<-'END'
		[{"method": "bridge.add", "params": {"name": "br0"}}, {"method": "port.add", "params": {"name": "w1", "bridge": "br0"}}]
	END
	drop_in case WatchdogSec=2
	inside systemctl restart rtvswitchd
	pid=$(show MainPID)
	expect "its time" 2s "$(show WatchdogUSec)"
	inside kill -STOP "$pid"
	wait_for 30 is_another "$pid"
	expect "restarts" 1 "$(show NRestarts)"
	wait_for 20 is_port_state w1 link down
	expect "ports" '["w1"]' "$(ctl -j port list | json 'json.dumps([p["name"] for p in d])')"
	# Its sibling: one that is well is left alone for longer than that.
	pid=$(show MainPID)
	sleep 4
	expect "process" "$pid" "$(show MainPID)"
	no_drop_in case
	inside sh -c 'echo [] >/etc/rtvswitch/rtvswitch.json'
	inside systemctl restart rtvswitchd
}

log_has() { # FIELD=VALUE PYTHON: of the messages that have the field, is this true of one? m is the message.
	inside journalctl --sync
	[ "$(inside journalctl -o json "$1" | python3 -c 'import json, sys
print(any(eval(sys.argv[1]) for m in map(json.loads, sys.stdin)))' "$2")" = True ]
}
log_id() { sed -n "s/^#define LOG_ID_$1 \"\(.*\)\"/\1/p" "$top/include/rtvs/log.h"; }
messages_have_fields() {
	local pid
	place_journal
	drop_in zz-journal StandardOutput=journal StandardError=inherit
	inside systemctl reset-failed rtvswitchd
	inside systemctl restart rtvswitchd
	pid=$(show MainPID)
	ctl bridge add br0
	ctl port add vm1 bridge=br0 domain=web1
	ctl port add vm2 bridge=br0
	wait_for 5 log_has RTVS_PORT=vm1 'm["MESSAGE"] == "port.add vm1" and m["RTVS_DOMAIN"] == "web1" and m["PRIORITY"] == "6"'
	wait_for 5 log_has RTVS_PORT=vm1 "m['SYSLOG_IDENTIFIER'] == 'rtvswitchd' and m['_SYSTEMD_UNIT'] == 'rtvswitchd.service' and m['_PID'] == '$pid'"
	log_has RTVS_PORT=vm1 '"vm2" in m["MESSAGE"]' && fail "of another port"
	wait_for 5 log_has RTVS_BRIDGE=br0 'm["MESSAGE"] == "bridge.add br0"'
	wait_for 5 log_has _SYSTEMD_UNIT=rtvswitchd.service 'm["MESSAGE"].startswith("ready: ")'
	# A guest comes and goes.
	far_start
	far port add up type=ethdev devargs=net_virtio_user0,path=/run/rtvswitch/vm1.sock,queues=1 bridge=br0
	wait_for 20 log_has "MESSAGE_ID=$(log_id GUEST_CONNECTED)" 'm["RTVS_PORT"] == "vm1" and m["RTVS_DOMAIN"] == "web1"'
	far system stop
	wait_for 10 log_has "MESSAGE_ID=$(log_id GUEST_LEFT)" 'm["RTVS_PORT"] == "vm1" and m["RTVS_BRIDGE"] == "br0"'
	# What is refused, and what is taken by force.
	ctl port set vm2 rate=10Mbit
	expect_fails 'min_rate' ctl port set vm1 min_rate=20Mbit deadline=1ms
	wait_for 5 log_has "MESSAGE_ID=$(log_id ADMISSION_REFUSED)" 'm["RTVS_PORT"] == "vm1" and m["PRIORITY"] == "4" and "min_rate: port vm2 carries" in m["MESSAGE"]'
	log_has "MESSAGE_ID=$(log_id UNGUARANTEED)" True && fail "nothing was forced"
	ctl port set vm1 min_rate=20Mbit deadline=1ms force=true
	wait_for 5 log_has "MESSAGE_ID=$(log_id UNGUARANTEED)" 'm["RTVS_PORT"] == "vm1"'
	expect_fails 'no.such' ctl call config.apply '{"calls": [{"method": "no.such"}]}'
	wait_for 5 log_has "MESSAGE_ID=$(log_id CONFIG_REFUSED)" '"no.such" in m["MESSAGE"]'
	# What a guest's name has in it makes no fields.
	ctl port add vm3 bridge=br0 domain=$'x\nRTVS_PORT=forged'
	wait_for 5 log_has RTVS_PORT=vm3 'm["RTVS_DOMAIN"] == "x\nRTVS_PORT=forged"'
	log_has RTVS_PORT=forged True && fail "forged"
	# libvirt's hook, which has nobody's stderr.
	inside "$prefix/libexec/rtvswitch/rtvs-hook" web9 release end - <"$top/test/smoke/domains/started.xml"
	expect_fails 'br9 does not exist' inside sh -c "sed 's/br0/br9/' $top/test/smoke/domains/prepare.xml |
		$prefix/libexec/rtvswitch/rtvs-hook web9 prepare begin -"
	wait_for 5 log_has "MESSAGE_ID=$(log_id GUEST_REFUSED)" \
		"m['SYSLOG_IDENTIFIER'] == 'rtvs-hook' and m['RTVS_DOMAIN'] == 'web9' and 'br9' in m['MESSAGE'] and m['PRIORITY'] == '3'"
	inside systemctl stop rtvswitchd
	inside sh -c 'echo "[{\"method\": \"no.such\"}]" >/etc/rtvswitch/rtvswitch.json'
	inside systemctl start rtvswitchd && fail "it started"
	wait_for 5 log_has RTVS_FILE=/etc/rtvswitch/rtvswitch.json "m['MESSAGE_ID'] == '$(log_id CONFIG_REFUSED)' and m['PRIORITY'] == '3'"
	inside sh -c 'echo [] >/etc/rtvswitch/rtvswitch.json'
	inside systemctl reset-failed rtvswitchd
	no_drop_in zz-journal
	inside systemctl start rtvswitchd
}

# One page more than before, through the unit's sandbox; then it is returned, unless another process
# changed the number.
hugepages_are_reserved() {
	local real=/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages had
	[ -w $real ] || skip "no hugepages of 2 MiB on this machine"
	had=$(cat $real)
	trap '[ "$(cat '$real')" != '$((had + 1))' ] || echo '"$had"' >'$real EXIT
	inside sh -c "echo 'HUGEPAGES_2M=\"0:$((had + 1))\"' >/etc/default/rtvswitch-hugepages"
	inside systemctl start rtvswitch-hugepages || skip "the kernel has no memory in one piece: $(tail -n 1 "$work/service.log")"
	expect "state" active "$(show ActiveState rtvswitch-hugepages)"
	[ "$(cat $real)" -gt "$had" ]
	inside systemctl stop rtvswitch-hugepages
}
# It says why, and the daemon starts all the same.
impossible_hugepages_are_refused() {
	local nodes=(/sys/devices/system/node/node[0-9]*)
	inside sh -c "echo 'HUGEPAGES_2M=\"${#nodes[@]}:1\"' >/etc/default/rtvswitch-hugepages"
	inside systemctl start rtvswitch-hugepages && fail "it worked"
	expect "result" exit-code "$(show Result rtvswitch-hugepages)"
	expect_match "there is no NUMA node ${#nodes[@]}" "$(tail -n 5 "$work/service.log")"
	inside systemctl reset-failed rtvswitchd rtvswitch-hugepages
	inside systemctl restart rtvswitchd
	expect "state" active "$(show ActiveState)"
}

# An interface on a segment, by its own service. It makes the segment, and returns when it is
# killed, and when the segment was replaced.
vni() { inside systemctl "$1" rtvs-vni@vni7; }
is_vni() { [ "$(show ActiveState rtvs-vni@vni7)" = "$1" ]; }
segment_of() { inside "$prefix/bin/rtvs-vni" list -j /dev/shm/service | json "$1"; }
vni_service_works() {
	inside mkdir -p /etc/rtvs-vni
	inside sh -c 'printf "%s\n" SEGMENT=/dev/shm/service "CREATE=--size 8M --group 12345" "OPTIONS=--name x7 --mtu 9000" >/etc/rtvs-vni/vni7.conf'
	vni start
	expect "state" active "$(show ActiveState rtvs-vni@vni7)"
	expect_match 'Node 0 of /dev/shm/service, interface vni7' "$(show StatusText rtvs-vni@vni7)"
	expect "group" 12345 "$(inside stat -c %g /dev/shm/service)"
	expect "node" "x7 live 9000" "$(segment_of '" ".join(str(d["nodes"][0][k]) for k in ("name", "state", "mtu"))')"
	expect_match $'Seccomp:\t2' "$(inside cat "/proc/$(show MainPID rtvs-vni@vni7)/status")"
	inside systemctl kill --signal=KILL rtvs-vni@vni7
	restarted() { [ "$(show NRestarts rtvs-vni@vni7)" -ge "$1" ] && is_vni active; }
	wait_for 20 restarted 1
	inside truncate -s 0 /dev/shm/service
	inside rm /dev/shm/service
	wait_for 20 restarted 2
	vni restart
	expect "nodes" 1 "$(segment_of 'len(d["nodes"])')"
	vni stop
	expect "result" success "$(show Result rtvs-vni@vni7)"
	expect "nodes" 0 "$(segment_of 'len(d["nodes"])')"
	inside rm /dev/shm/service
}
wrong_vni_configuration_is_not_tried_again() {
	inside mkdir -p /etc/rtvs-vni
	inside sh -c 'printf "%s\n" SEGMENT=/dev/shm/service OPTIONS=--mtu=1 >/etc/rtvs-vni/vni7.conf'
	vni start && fail "it started"
	expect "status" 2 "$(show ExecMainStatus rtvs-vni@vni7)"
	expect "restarts" 0 "$(show NRestarts rtvs-vni@vni7)"
	inside rm -f /dev/shm/service
}

stops_well() {
	inside systemctl stop rtvswitchd
	expect "state" inactive "$(show ActiveState)"
	expect "result" success "$(show Result)"
	inside test ! -e /run/rtvswitch || fail "the runtime directory is left"
}

# Guests whose connection outlives the daemon: honest front-ends (hostile.py).
guest_start() { # NAME KIND: at the port of its name
	guest_ends "$1" # of a case that failed
	mkfifo "$work/$1.in"
	inside timeout 120 python3 "$top/test/smoke/hostile.py" "/run/rtvswitch/$1.sock" "$2" <>"$work/$1.in" >"$work/$1.out" 2>&1 3>&- &
	echo $! >"$work/$1.pid"
	wait_for 5 grep -qx ready "$work/$1.out"
}
guest_ends() { # NAME
	inside pkill -f "hostile.py /run/rtvswitch/$1.sock" || :
	stop "$1" TERM 5 || :
	rm -f "$work/$1".{in,out,pid}
}
has_said() { [ "$(grep -cx "$2" "$work/$1.out")" = "$3" ]; } # NAME WORD TIMES
guest_sends() { # NAME
	local n
	n=$(grep -cx sent "$work/$1.out") || :
	echo >"$work/$1.in"
	wait_for 5 has_said "$1" sent "$((n + 1))" || { cat "$work/$1.out"; return 1; }
}
has_stored() { [ "$(show NFileDescriptorStore)" = "$1" ]; } # descriptors
crash() { # and its restart
	local pid
	pid=$(show MainPID)
	inside systemctl reset-failed rtvswitchd
	inside kill -KILL "$pid"
	wait_for 20 is_another "$pid"
	wait_for 20 is_shown ActiveState active
}
guests_ports() { # PORT...: and no others, also after a restart
	local port calls='{"method": "bridge.add", "params": {"name": "br0"}}'
	for port; do
		calls+=', {"method": "port.add", "params": {"name": "'$port'", "bridge": "br0", "packed": '$([[ $port = *packed ]] && echo true || echo false)'}}'
	done
	inside sh -c 'echo "[$1]" >/etc/rtvswitch/rtvswitch.json' - "$calls"
	inside systemctl restart rtvswitchd
}

connections_outlive_a_crash() {
	guests_ports split packed
	guest_start split hold
	guest_start packed hold_packed
	for _ in 1 2; do
		guest_sends split
		guest_sends packed
		wait_for 10 has_stored 12 # each: the connection, its memory, two rings with two descriptors
		crash
		is_port_state split disconnects 0
		is_port_state packed disconnects 0
		guest_sends split
		guest_sends packed
	done
	expect_match "port packed: its guest's connection goes on" "$(tail -n 20 "$work/service.log")"
	# Nor does a restart that somebody asked for end them.
	inside systemctl restart rtvswitchd
	guest_sends split
	guest_sends packed
	is_port_state split disconnects 0
	# What is stored ends with the connection.
	guest_ends split
	wait_for 10 has_stored 6
	ctl port del packed
	wait_for 10 has_stored 0
	guest_ends packed
}
stop_ends_connections() {
	guests_ports split
	guest_start split hold
	wait_for 10 has_stored 6
	inside systemctl stop rtvswitchd
	echo >"$work/split.in"
	wait_for 5 grep -q 'hung up' "$work/split.out"
	expect "what is stored" 0 "$(show NFileDescriptorStore)"
	guest_ends split
	inside systemctl start rtvswitchd
}
# It has to connect again, as without a store.
connection_that_was_changing_ends() {
	guests_ports split
	guest_start split hold_half
	wait_for 10 has_stored 6
	echo >"$work/split.in"
	wait_for 5 has_said split sent 1
	crash
	wait_for 20 has_said split closed 1
	wait_for 20 has_stored 0
	guest_ends split
	guest_start split hold
	guest_sends split
	guest_ends split
}
guest_that_ends_meanwhile_leaves_nothing() {
	guests_ports split
	guest_start split hold
	wait_for 10 has_stored 6
	drop_in case RestartSec=2
	inside systemctl reset-failed rtvswitchd
	inside kill -KILL "$(show MainPID)"
	guest_ends split
	wait_for 20 is_shown ActiveState active
	wait_for 20 has_stored 0
	no_drop_in case
	guest_start split hold
	guest_sends split
	guest_ends split
}
port_that_is_another_ends_its_connection() {
	local ports
	for ports in other packed; do # it is gone, or its guest uses what it does not offer any more
		guests_ports packed
		guest_start packed hold_packed
		wait_for 10 has_stored 6
		inside sh -c 'sed -i "s/\"name\": \"packed\"/\"name\": \"$1\"/; s/\"packed\": true/\"packed\": false/" /etc/rtvswitch/rtvswitch.json' - "$ports"
		inside systemctl reset-failed rtvswitchd
		inside systemctl restart rtvswitchd # a crash would apply no edit
		wait_for 20 has_stored 0
		echo >"$work/packed.in"
		wait_for 5 grep -q 'hung up' "$work/packed.out"
		guest_ends packed
	done
}

run_case "groups and first configuration, made once" groups_and_files_are_made
run_case "systemd starts the installed service" service_starts
run_case "capabilities, NoNewPrivileges, seccomp" is_in_the_sandbox
run_case "tap ports in the sandbox" tap_works
run_case "vhost ports in the sandbox" vhost_works
run_case "segments in the sandbox" segment_works
run_case "vhost ports to another user's socket" connects_to_another_users_socket
run_case "AF_PACKET in the sandbox" af_packet_works
run_case "a tunnel in the sandbox" tunnel_works
run_case "captures where the sandbox lets them" capture_works
run_case "metrics of alerts and dashboard are exported" names_are_exported
run_case "metrics that are not exported would be seen" wrong_names_are_seen
run_case "the configuration can be saved" config_is_saved
run_case "sockets are for their groups only" sockets_have_their_groups
run_case "the watchdog is fed" watchdog_is_fed
run_case "a forbidden system call would be seen" forbidden_call_kills
run_case "AF_XDP with its drop-in, refused without" af_xdp_wants_its_drop_in
run_case "workers have real-time priority" workers_have_real_time_priority
run_case "priority that is forbidden is told once" forbidden_priority_is_told_once
run_case "a wrong configuration is not tried again" wrong_configuration_is_not_tried_again
run_case "a crash is, but not for ever" crash_is_restarted_until_it_is_too_much
run_case "what was configured outlives a crash and a restart, not a stop" configuration_outlives_all_but_a_stop
run_case "a hung daemon is restarted by the watchdog" hung_daemon_is_restarted
run_case "messages in the journal have fields" messages_have_fields
run_case "connections of guests outlive a crash" connections_outlive_a_crash
run_case "and a restart, but not a stop" stop_ends_connections
run_case "one that was changing does not" connection_that_was_changing_ends
run_case "nor does that of a guest that ends meanwhile" guest_that_ends_meanwhile_leaves_nothing
run_case "nor that of a port that is another" port_that_is_another_ends_its_connection
run_case "an interface on a segment by its service" vni_service_works
run_case "and with a wrong configuration" wrong_vni_configuration_is_not_tried_again
run_case "hugepages by their service" hugepages_are_reserved
run_case "hugepages that cannot be had: said, and no obstacle" impossible_hugepages_are_refused
run_case "the service stops and leaves nothing" stops_well
