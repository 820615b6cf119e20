#!/usr/bin/env bash
# A NIC with virtual functions that its guest controls: rtvs-vf at the channel's socket, as a
# container has it. Refusals, restarts, hand-overs, and what another program left on the channel.
. "$(dirname "$0")/lib.sh"

daemon_start rtvsd
ctl bridge add br0
for p in pf vf0 vf1; do ctl port add "web1-$p" "socket=$work/$p.sock" bridge=br0; done
channel=$work/web1.ctl
ctl eswitch add web1 pf=web1-pf vfs=web1-vf0,web1-vf1 "control=$channel" \
	allowed_macs=52:54:00:aa:00:01,52:54:00:aa:00:02 vlans=10-19 max_rate=1Gbit min_rate=200Mbit

rtvs_vf=$build/src/vf/rtvs-vf
vf() { timeout 20 "$rtvs_vf" --channel "$channel" "$@"; }
config() { ctl -j port show "$1" | json "d['config']['$2']"; } # PORT KEY
exits() { # STATUS COMMAND [ARG...]
	local rc=0
	"${@:2}" >"$work/out" 2>&1 || rc=$?
	expect "exit status of ${*:2}: $(cat "$work/out")" "$1" "$rc"
}

a_guest_sees_its_nic() {
	local out
	out=$(vf show)
	expect_match 'VF +MAC +VLAN' "$out"
	expect_match 'limits of the host: MACs 52:54:00:aa:00:01,52:54:00:aa:00:02; VLANs 10-19; max_tx_rate 1000' "$out"
	expect "VFs" 2 "$(vf -j show | json "len(d['vfs'])")"
	expect "one VF" 1 "$(vf -j show 1 | json "d['vf']")"
	! vf show | has_line web1 # no name of the host
	exits 1 vf show 2
}

settings_become_the_ports() {
	vf set 0 mac 52:54:00:aa:00:01 vlan 10 spoofchk on state enable max_tx_rate 100 min_tx_rate 10
	expect "MACs" "['52:54:00:aa:00:01']" "$(config web1-vf0 allowed_macs)"
	expect "VLAN" 10 "$(config web1-vf0 vlan)"
	expect "rate" 100Mbit "$(config web1-vf0 max_rate)"
	expect "guarantee" 10Mbit "$(config web1-vf0 min_rate)"
	vf ip link set dev ens1 vf 1 mac 52:54:00:aa:00:02 vlan 11 qos 0 trust off
	vf ip link set ens1 vf 1 state disable
	expect "VLAN" 11 "$(config web1-vf1 vlan)"
	expect "link" false "$(config web1-vf1 admin_up)"
	vf set 1 state auto
	vf set 1 trust on
	expect "MACs" "['52:54:00:aa:00:02', '52:54:00:aa:00:01']" "$(config web1-vf1 allowed_macs)"
}

limits_and_slips_are_refused() {
	expect_fails 'mac: 52:54:00:bb:00:01 is outside of allowed_macs .*administrator' vf set 0 mac 52:54:00:bb:00:01
	expect_fails 'vlan: 20 is outside of vlans 10-19' vf set 0 vlan 20
	expect_fails 'max_tx_rate: 1001 Mbit/s is more than max_rate, 1Gbit' vf set 0 max_tx_rate 1001
	expect_fails 'qos: the switch gives packets no 802.1p priority' vf set 0 vlan 10 qos 3
	expect_fails 'vf: 2 is out of range 0 to 1' vf set 2 vlan 10
	exits 1 vf set 0 vlan 20
	exits 2 vf set
	exits 2 vf set x vlan 10
	exits 2 vf set 0
	exits 2 vf set 0 vlan
	exits 2 vf set 0 vlan ten
	exits 2 vf set 0 colour red
	exits 2 vf set 0 vlan 10 vlan 11
	exits 2 vf ip link show
	exits 2 vf ip link set dev ens1 vlan 10
	exits 2 vf fly
	exits 2 vf
	exits 2 vf --timeout 0 show
	exits 2 vf agent now
	exits 2 vf flows 0
	exits 2 vf --switchdev show
	exits 2 vf --pf ens1 flows
	exits 3 vf --agent "$work/none.sock" flows
	exits 3 vf --agent "$work/none.sock" stats
	expect_fails 'the NIC is in mode legacy; --switchdev changes it' vf --agent "$work/a.sock" agent --pf lo
	expect_fails 'switchdev needs an uplink' vf --agent "$work/a.sock" agent --pf lo --switchdev
	exits 3 vf --channel "$work/none.ctl" --agent "$work/a.sock" agent --pf lo
	exits 1 vf --agent "$work" agent --pf lo # a directory is in its place
	wait_for 1 is_gone "$work/a.sock"
	exits 3 timeout 20 "$rtvs_vf" --channel "$work/none.ctl" show
	exits 3 timeout 20 "$rtvs_vf" --channel "$work/pf.sock" --timeout 1 show # somebody else's protocol
	expect_fails 'port web1-vf0 belongs to eswitch web1' ctl port del web1-vf0
}

# In place of a container's first program: it leaves half a line, or garbage.
what_was_left_is_skipped() {
	printf 'half a li' | timeout 5 socat -t 1 - "UNIX-CONNECT:$channel" >"$work/left"
	[ ! -s "$work/left" ] || fail "somebody answered: $(cat "$work/left")"
	head -c 100000 /dev/urandom | timeout 5 socat -t 1 - "UNIX-CONNECT:$channel" >/dev/null || :
	vf -j show >/dev/null
	is_serving rtvsd
	[ "$(ctl -j eswitch show web1 | json "d['channel']['skipped'] + d['channel']['too_long']")" -gt 0 ]
}

a_restart_keeps_all_of_it() {
	local before
	before=$(vf -j show)
	ctl config dump >"$work/before.dump"
	kill -9 "$(cat "$work/rtvsd.pid")"
	wait_for 10 is_stopped rtvsd
	exits 3 vf --timeout 1 show
	daemon_resume rtvsd
	expect "the NIC" "$before" "$(vf -j show)"
	ctl config dump | diff "$work/before.dump" -
}

a_hand_over_opens_the_channel_again() {
	local before
	before=$(vf -j show)
	ctl system upgrade
	ctl -j system info | json "d['pid']" >"$work/rtvsd.pid" # the daemon is another process now
	wait_for 10 vf --timeout 1 show
	expect "the NIC" "$before" "$(vf -j show)"
	vf set 0 vlan 12
	expect "VLAN" 12 "$(config web1-vf0 vlan)"
}

# One call of a session of its own: its result or error.
nic_call() { # METHOD PARAMS
	python3 - "$channel" "$@" <<-'END'
		import json, socket, sys
		s = socket.socket(socket.AF_UNIX)
		s.settimeout(10)
		s.connect(sys.argv[1])
		for method, params in (("nic.hello", '{"nonce":"n"}'), sys.argv[2:]):
		    s.sendall((json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": json.loads(params)}) + "\n").encode())
		lines = s.makefile()
		lines.readline()
		print(lines.readline())
	END
}
rules() { ctl -j eswitch show web1 | json "d['channel']['rules']"; }
mode() { ctl -j eswitch show web1 | json "d['config']['mode']"; }

a_guest_brings_rules() {
	expect_match 'switchdev needs an uplink' "$(nic_call nic.mode '{"mode":"switchdev"}')"
	expect_fails 'mode: switchdev needs uplink' ctl eswitch set web1 mode=switchdev
	ctl eswitch del web1
	ctl port add web1-up type=eswitch bridge=br0
	expect "link" down "$(port_state web1-up link)"
	ctl eswitch add web1 pf=web1-pf vfs=web1-vf0,web1-vf1 uplink=web1-up "control=$channel" \
		allowed_macs=52:54:00:aa:00:01,52:54:00:aa:00:02 vlans=10-19 max_rate=1Gbit min_rate=200Mbit max_rules=2
	expect_match '"result":true' "$(nic_call nic.mode '{"mode":"switchdev"}')"
	wait_for 5 is_port_state web1-up link up
	expect_match '"refused":.."cookie":3,"reason":"there are 2 rules' "$(nic_call flow.sync \
		'{"add":[{"cookie":1,"in":"vf0","rule":"actions=output:vf1"},{"cookie":2,"in":"uplink","rule":"ip,actions=drop"},
		{"cookie":3,"in":"vf1","rule":"actions=drop"}]}')"
	expect "rules" 2 "$(rules)"
	expect_fails 'port web1-up belongs to eswitch web1' ctl port del web1-up
	ctl system upgrade
	ctl -j system info | json "d['pid']" >"$work/rtvsd.pid"
	wait_for 10 test -S "$channel"
	expect "mode" switchdev "$(mode)"
	wait_for 5 is_port_state web1-up link up
	expect "rules" 0 "$(rules)" # the guest brings them again
	expect_match '"refused":\[\]' "$(nic_call flow.sync '{"reset":true,"add":[{"cookie":1,"in":"vf0","rule":"actions=drop"}]}')"
	stop rtvsd KILL
	daemon_resume rtvsd
	expect "mode" switchdev "$(mode)"
	expect_match '"mode":"switchdev"' "$(nic_call nic.get '{}')"
	ctl eswitch set web1 mode=legacy
	expect "link" down "$(port_state web1-up link)"
}

is_watching() { [ "$(ctl -j eswitch show web1 | json "d['channel']['greeted']")" = true ]; }
a_watcher_gives_way() {
	start watcher "$rtvs_vf" --channel "$channel" watch
	wait_for 10 is_watching
	vf show >/dev/null # the newest connection is the only one
	wait_for 10 is_stopped watcher
}

static_file_needs_nothing() {
	[ -e "$rtvs_vf.static" ] || skip "no static program in this build"
	timeout 20 "$rtvs_vf.static" --channel "$channel" show >/dev/null
	! readelf -d "$rtvs_vf.static" | has_line NEEDED
}

# As a container's runtime calls it, with the network's keys beside those that it always has.
cni() { # COMMAND [JSON-MEMBERS]
	printf '{"cniVersion": "1.0.0", "name": "n", "type": "rtvs-vf", "channel": "%s", "dataDir": "%s"%s}' \
		"$channel" "$work/cni" "${2:+, $2}" |
		CNI_COMMAND=$1 CNI_CONTAINERID=c1 CNI_NETNS=/run/netns/pod CNI_IFNAME=net1 timeout 20 "$rtvs_vf"
}
previous='"prevResult": {"cniVersion": "1.0.0", "interfaces": [{"name": "net1", "mac": "52:54:00:00:00:99", "sandbox": "/run/netns/pod"}], "ips": []}'
containers_get_their_settings() {
	local keys='"vf": 0, "mac": "52:54:00:aa:00:02", "vlan": 15, "spoofchk": "on", "max_tx_rate": 300, "vlanProto": "802.1q"'
	netns_add pod
	ip -n pod link add net1 type veth peer name net1p
	vf set 0 mac 52:54:00:aa:00:01 vlan 10 max_tx_rate 100
	expect "MAC in the result" 52:54:00:aa:00:02 "$(cni ADD "$keys, $previous" | json 'd["interfaces"][0]["mac"]')"
	expect "MAC of the interface" 52:54:00:aa:00:02 "$(ip -n pod -j link show net1 | json 'd[0]["address"]')"
	expect "VLAN" 15 "$(config web1-vf0 vlan)"
	expect "rate" 300Mbit "$(config web1-vf0 max_rate)"
	cni CHECK "$keys, $previous"
	expect_fails '"msg": "vlan: the virtual function has another value"' cni CHECK "${keys/15/16}, $previous"
	cni ADD "$keys, $previous" >/dev/null # once more: what was there before is still known
	cni DEL "$keys"
	expect "VLAN as before" 10 "$(config web1-vf0 vlan)"
	expect "rate as before" 100Mbit "$(config web1-vf0 max_rate)"
	expect "MACs as before" "['52:54:00:aa:00:01']" "$(config web1-vf0 allowed_macs)"
	cni DEL "$keys"
	expect_fails 'vlan: 0 is outside of vlans' vf set 0 vlan 0
	ctl eswitch set web1 untagged=yes
	vf set 0 vlan 0
	vf show | has_line 'VLANs 10-19 and 0'
	[ -z "$(ls "$work/cni")" ] || fail "left: $(ls "$work/cni")"
}

wrong_networks_are_refused() {
	expect_fails '"code": 7,' cni ADD '"vf": 0, "vlan": 15'
	expect_fails 'deviceID: no runtimeConfig has it' cni ADD "\"vlan\": 15, $previous"
	expect_fails 'spoofchk: .*on.* or .*off' cni ADD "\"vf\": 0, \"spoofchk\": true, $previous"
	expect_fails 'is no virtual function of a device' cni ADD "\"runtimeConfig\": {\"deviceID\": \"0000:7f:1f.7\"}, $previous"
	expect_fails '"code": 100,.*vlan: 20 is outside of vlans 10-19' cni ADD "\"vf\": 0, \"vlan\": 20, $previous"
	expect_fails 'there is no virtual function 9' cni ADD "\"vf\": 9, \"vlan\": 12, $previous"
	expect_fails 'CNI_COMMAND: .*FLY' cni FLY '"vf": 0'
	expect_fails '"code": 6,' env CNI_COMMAND=ADD sh -c "echo none | '$rtvs_vf'"
	cni VERSION | has_line '"1.0.0"'
	cni DEL '"vf": 0'
}

deleted_eswitches_leave_nothing() {
	ctl eswitch del web1
	wait_for 5 is_gone "$channel"
	for p in pf vf0 vf1; do ctl port del "web1-$p"; done
}

run_case "a guest sees its NIC, and no name of the host" a_guest_sees_its_nic
run_case "settings become the port's" settings_become_the_ports
run_case "limits and slips are refused" limits_and_slips_are_refused
run_case "what another program left is skipped" what_was_left_is_skipped
run_case "a restart keeps all of it" a_restart_keeps_all_of_it
run_case "a hand-over opens the channel again" a_hand_over_opens_the_channel_again
run_case "a guest brings rules" a_guest_brings_rules
run_case "a watcher gives way to the next program" a_watcher_gives_way
run_case "the static file needs nothing" static_file_needs_nothing
run_case "containers get their settings" containers_get_their_settings
run_case "wrong networks are refused" wrong_networks_are_refused
run_case "deleted eswitches leave nothing" deleted_eswitches_leave_nothing
