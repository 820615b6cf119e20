#!/usr/bin/env bash
# A guest that controls the virtual functions of its NIC, which QEMU emulates (SR-IOV): the channel
# is a serial port of virtio.
. "$(dirname "$0")/lib.sh"

rtvs_vf=$build/src/vf/rtvs-vf
[ -x "$rtvs_vf.static" ] || skip "rtvs-vf.static is not built: the C library or jansson has no static part"
[ ! -e "$(qemu_dir)/missing" ] || skip "no QEMU of trixie-backports: $(cat "$(qemu_dir)/missing")"
cp "$rtvs_vf.static" "$work/rtvs-vf"
tar -cf "$work/files.tar" -C "$work" rtvs-vf

daemon_start rtvsd
ctl bridge add br0
mac=(52:54:00:aa:00:10 52:54:00:aa:00:11)
ctl port add pf bridge=br0 "socket=$work/pf.sock"
for i in 0 1; do ctl port add vf$i bridge=br0 "socket=$work/vf$i.sock" "allowed_macs=${mac[i]}"; done
tap_port t1 10.0.0.1/24 bridge=br0
tap_port t2 10.0.0.2/24 bridge=br0 vlan=10
ctl eswitch add web1 pf=pf vfs=vf0,vf1 "control=$work/web1.ctl" allowed_macs=52:54:00:aa:00:00/40 vlans=10-19 max_rate=1Gbit
nic=()
while read -r option value; do nic+=("qemu=$option" "qemu=$value"); done < <(ctl eswitch qemu web1)
vm_start g "files=$work/files.tar" release=backports "${nic[@]}"
wait_guests g
vm_unpack g /usr/bin
# What udev does in other guests.
in_guest g 10 'mkdir -p /dev/virtio-ports; for p in /sys/class/virtio-ports/*; do ln -sf "/dev/${p##*/}" "/dev/virtio-ports/$(cat "$p/name")"; done'
vf() { in_guest g 20 "rtvs-vf $*"; }
about() { vf -j show "$1" | json "d['$2']"; } # VF KEY
is_enabled() { [ "$(about "$1" enabled)" = true ]; }
switch_vfs() { in_guest g 20 "echo $1 >/sys/bus/pci/devices/*/sriov_numvfs"; } # NUMBER
# The interface of the VF with this number, up and with the address.
take() { # VF ADDRESS/LEN
	in_guest g 20 "nic=\$(grep -il ${mac[$1]} /sys/class/net/*/address) && nic=\$(basename \$(dirname \$nic)) &&
		ip link set \$nic name vf$1 && ip addr replace $2 dev vf$1 && ip link set vf$1 up"
}

guest_sees_its_nic() {
	local out
	out=$(vf show)
	expect_match 'VF +MAC +VLAN' "$out"
	expect_match 'limits of the host: MACs 52:54:00:aa:00:00/40; VLANs 10-19' "$out"
	expect "VF 0" false "$(about 0 enabled)"
}

enabled_functions_are_ports() {
	switch_vfs 2
	wait_for 20 is_enabled 0
	wait_for 20 is_enabled 1
	take 0 10.0.0.10/24
	wait_for 20 guest_pings g 10.0.0.1
	is_conserved
}

settings_take_effect() {
	vf set 0 mac 52:54:00:aa:00:20 # the interface has another one yet
	guest_cannot_ping g 10.0.0.1
	[ "$(port_stat vf0 spoof_mac)" -gt 0 ] || fail "no foreign MAC was dropped"
	in_guest g 10 "ip link set vf0 address 52:54:00:aa:00:20"
	wait_for 20 guest_pings g 10.0.0.1
	vf ip link set dev ens1 vf 0 vlan 10
	wait_for 20 guest_pings g 10.0.0.2
	guest_cannot_ping g 10.0.0.1
	is_conserved
}

limits_are_the_hosts() {
	expect_fails 'mac: 52:54:01:00:00:01 is outside of allowed_macs' vf set 0 mac 52:54:01:00:00:01
	expect_fails 'vlan: 20 is outside of vlans 10-19' vf set 0 vlan 20
	expect_fails 'vf: 2 is out of range 0 to 1' vf set 2 vlan 10
	expect "VLAN" 10 "$(about 0 vlan)"
}

# Its QEMU connects to the next daemon by itself.
daemon_is_killed() {
	stop rtvsd KILL
	daemon_resume rtvsd
	wait_for 20 is_enabled 0
	expect "VLAN" 10 "$(about 0 vlan)"
	vf set 0 vlan 11
	expect "VLAN" 11 "$(ctl -j port show vf0 | json 'd["config"]["vlan"]')"
	in_guest g 10 "head -c 5000 /dev/urandom >/dev/virtio-ports/org.rtvswitch.nic.0" # and no program is confused
	expect "VLAN" 11 "$(about 0 vlan)"
}

functions_come_and_go() {
	local i n
	n=$(ls "/proc/$(cat "$work/rtvsd.pid")/fd" | wc -l)
	for i in 1 2 3; do
		switch_vfs 0
		wait_for 20 is_port_state vf0 link down
		switch_vfs 2
		wait_for 20 is_port_state vf0 link up
	done
	is_enabled 1
	[ "$(ls "/proc/$(cat "$work/rtvsd.pid")/fd" | wc -l)" -le "$n" ] || fail "descriptors were left"
	is_conserved
}

run_case "a guest sees its NIC" guest_sees_its_nic
run_case "functions that it enables are ports" enabled_functions_are_ports
run_case "settings take effect" settings_take_effect
run_case "limits are the host's" limits_are_the_hosts
run_case "the daemon is killed" daemon_is_killed
run_case "functions come and go" functions_come_and_go
